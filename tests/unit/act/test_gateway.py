"""An answer that cannot be decoded is an ordinary error, and affects that request only."""

import dataclasses
import math
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from hostnetwork_operator import bodies, clock, metrics
from hostnetwork_operator.act import gateway, jobs
from hostnetwork_operator.control import needs, operator
from hostnetwork_operator.decide import needs as decided
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import live
from tests.unit import builders, serving
from tests.unit.test_bodies import NEST

NESTED = b'{"spec":' + NEST + b"}"


class Server:
    """A server that answers each request with `status` and `body`."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b'{"metadata":{"resourceVersion":"1"},"items":[]}'
        self.asked: list[tuple[str, str]] = []  # method, and the accepted media type

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.headers["Accept"]))
        return web.Response(status=self.status, body=self.body)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[gateway.Gateway]:
    async with serving.gateway_to(server.answer) as gateway_client:
        yield gateway_client


async def test_an_undecodable_answer_is_an_error_and_asked_for_once(api: gateway.Gateway, server: Server) -> None:
    """A caller that expects errors of the API catches this error, and so does a caller that expects decode errors."""
    server.body = NESTED
    with pytest.raises(gateway.UndecodableError) as raised:
        await api.get("/api/v1/pods")
    error = raised.value
    assert isinstance(error, bodies.DecodeError)
    assert (error.status, error.reason, error.outcome) == (200, "Undecodable", "undecodable")
    assert "deeper than 100 levels" == error.why == error.message
    assert len(server.asked) == 1


async def test_an_undecodable_answer_has_told_the_time(api: gateway.Gateway, server: Server) -> None:
    """The clock uses the Date header of the answer."""
    server.body = NESTED
    with pytest.raises(gateway.UndecodableError):
        await api.get("/version")
    assert api._clock.asked_within(10)


async def test_managed_fields_are_empty_in_every_answer(api: gateway.Gateway, server: Server) -> None:
    """In answers to reads and to writes, however deep the managedFields are nested."""
    metadata = b'"name":"a","uid":"u","resourceVersion":"1"'
    server.body = b'{"metadata":{' + metadata + b',"managedFields":[{"fieldsV1":' + NEST + b"}]}}"
    expected = {"metadata": {"name": "a", "uid": "u", "resourceVersion": "1", "managedFields": []}}
    assert expected == (await api.get("/api/v1/namespaces/a")).body
    assert expected == (await api.patch("/api/v1/namespaces/a", {})).body
    assert expected == (await api.create("/api/v1/namespaces", {})).body


@pytest.mark.parametrize("body", [NESTED, b"<html>\xff", b"", b"[]"])
async def test_an_error_that_cannot_be_decoded_has_its_status(
    api: gateway.Gateway, server: Server, body: bytes
) -> None:
    """The message of the error is the beginning of the answer's text."""
    server.status, server.body = 403, body
    with pytest.raises(gateway.ApiError) as raised:
        await api.get("/api/v1/pods")
    assert raised.value.status == 403
    assert raised.value.message == body[:200].decode(errors="replace")


async def test_a_delete_is_done_whatever_the_answer_shows(api: gateway.Gateway, server: Server) -> None:
    """The API server answers with the deleted object, which may be impossible to decode."""
    server.body = NESTED
    assert (await api.delete("/api/v1/pods/a", {})).body is None
    assert [method for method, _ in server.asked] == ["DELETE"]


async def test_another_form_is_asked_for_by_its_media_type(api: gateway.Gateway, server: Server) -> None:
    """For instance metadata alone. Without a media type, the operator asks for JSON."""
    await api.get("/api/v1/pods")
    await api.get("/api/v1/pods", accept=live.METADATA_LIST)
    assert [media_type for _, media_type in server.asked] == ["application/json", live.METADATA_LIST]


async def test_a_job_that_cannot_be_decoded_is_not_taken(api: gateway.Gateway, server: Server) -> None:
    """Nobody can tell which pods the Job creates.

    The expired pod that names the Job as its owner is deleted all the same.
    """
    server.body = NESTED
    job = snapshot.Reference("Job", builders.NAMESPACE, "capture", "u", "batch/v1")
    assert not await jobs.delete(api, job, builders.seen(), clock.ServerClock(), math.inf)
    assert [method for method, _ in server.asked] == ["GET"]


async def test_an_owner_that_cannot_be_decoded_is_at_the_top(api: gateway.Gateway, server: Server) -> None:
    """So the reconcile of the namespace continues, and never asks for the owner again."""
    server.body = NESTED
    core = operator.Operator(api, clock.ServerClock(), metrics.Metrics())
    answering = needs.Needs(api, core.clock, core.store, core.schedule)
    owner = snapshot.Reference("ReplicaSet", builders.NAMESPACE, "web", "u", "apps/v1")
    namespace_plan = dataclasses.replace(builders.planned(builders.seen()), needs=(decided.FindOwner(owner),))
    namespace_memory = core.memories.of(namespace_plan.namespace)
    assert await answering.find(namespace_plan, namespace_memory) is None
    assert namespace_memory.answers.tops == {owner: owner}


async def test_the_end_of_an_outage_is_told_once(api: gateway.Gateway, server: Server) -> None:
    """The first answer after a request without an answer ends the outage.

    A refusal is an answer; 503, 429 and 500 are not.
    """
    recoveries: list[int] = []
    api.on_recovery(lambda: recoveries.append(server.status))
    await api.get("/api/v1/pods")
    for status in (503, 429, 500):
        server.status = status
        with pytest.raises(gateway.ApiError):
            await api.delete("/api/v1/namespaces/a/pods/a", {}, repeat=False)
    assert recoveries == []
    server.status = 404
    for _ in range(2):
        with pytest.raises(gateway.ApiError):
            await api.get("/api/v1/pods")
    server.status = 200
    await api.get("/api/v1/pods")
    assert recoveries == [404]
