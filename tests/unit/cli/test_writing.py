"""Writes of the command when answers are lost or somebody else writes: nothing is repeated blindly or overwritten."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from hostnetwork_operator import clock
from hostnetwork_operator.act import gateway
from hostnetwork_operator.cli import connect, errors, writing
from tests.unit import serving
from tests.unit.shell.apiserver import ApiServer, Request, refusal, until

SPEC = {"owner": "team-sre", "expiry": "2026-11-22T16:00:00Z"}
BODY = {"metadata": {"name": "capture", "namespace": "payments"}, "spec": SPEC}
PATH = writing.path("payments", "capture")
LATER = {"expiry": "2026-11-22T18:00:00Z"}


@contextlib.asynccontextmanager
async def connected(server: ApiServer) -> AsyncIterator[connect.Connection]:
    server_clock = clock.ServerClock()
    async with serving.gateway_to(server.answer, server_clock) as api:
        yield connect.Connection(api, server_clock, "default")


def lost_once(server: ApiServer, method: str) -> None:
    """Let the server carry out the first write, and lose its answer."""
    lost: list[Request] = []

    def loses(request: Request) -> bool:
        if request.method != method or lost:
            return False
        lost.append(request)
        return True

    server.loses = loses


async def test_a_creation_whose_answer_is_lost_is_ones_own() -> None:
    """The second request is refused, because the exception exists as it was to be."""
    server = ApiServer()
    lost_once(server, "POST")
    async with connected(server) as connection:
        created = await writing.create(connection, BODY, BODY)
    assert created["metadata"]["uid"]
    assert [request.method for request in server.requests] == ["POST", "POST", "GET"]


async def test_an_exception_of_somebody_else_is_not_ones_own() -> None:
    """If the first request never arrived, and somebody else has created another exception, that is an error."""
    server = ApiServer()
    server.put(PATH, {"spec": {**SPEC, "owner": "somebody"}})
    lost_once(server, "POST")
    async with connected(server) as connection:
        with pytest.raises(gateway.ApiError) as refused:
            await writing.create(connection, BODY, BODY)
    assert refused.value.status == 409


async def test_a_write_without_any_answer_is_not_known() -> None:
    """It is an error that names the command which shows the exception."""
    server = ApiServer()
    server.loses = lambda request: request.method == "POST"
    server.fails = lambda request: refusal(503, "ServiceUnavailable") if request.number else None
    async with connected(server) as connection:
        with pytest.raises(errors.CommandError, match="is not known; see kubectl get hne capture -n payments"):
            await writing.create(connection, BODY, BODY)


async def test_a_creation_that_may_have_been_lost_and_is_then_refused_is_not_known() -> None:
    """The first request may have created the exception before the second was refused."""
    server = ApiServer()
    lost_once(server, "POST")
    server.fails = lambda request: refusal(403) if request.number else None
    async with connected(server) as connection:
        with pytest.raises(errors.CommandError, match="whether exception capture was written is not known"):
            await writing.create(connection, BODY, BODY)


async def test_a_refusal_after_a_lost_answer_is_not_known_if_nobody_can_look() -> None:
    server = ApiServer()
    lost_once(server, "POST")
    server.fails = lambda request: refusal(403) if request.method == "GET" else None
    async with connected(server) as connection:
        with pytest.raises(errors.CommandError, match="whether exception capture was written is not known"):
            await writing.create(connection, BODY, BODY)


async def test_a_lost_change_that_somebody_else_has_changed_again_is_not_known() -> None:
    """It is not said that nothing was written."""
    server = ApiServer()
    present = server.put(PATH, BODY)
    lost_once(server, "PATCH")

    def fails(request: Request) -> None:
        if request.number == 1:  # the second attempt
            metadata = {**server.objects[PATH]["metadata"], "generation": 3}
            server.put(PATH, {**BODY, "metadata": metadata})

    server.fails = fails  # type: ignore[assignment]
    async with connected(server) as connection:
        with pytest.raises(errors.CommandError, match="whether exception capture was written is not known"):
            await writing.patch(connection, present, LATER, versioned=True)


async def test_who_interrupts_a_write_is_told_what_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    server = ApiServer()
    arrived = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await asyncio.sleep(60)
        return await server.answer(request)

    server_clock = clock.ServerClock()
    async with serving.gateway_to(answer, server_clock) as api:
        task = asyncio.create_task(writing.create(connect.Connection(api, server_clock, "default"), BODY, BODY))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert "interrupted; whether exception capture was written is not known" in capsys.readouterr().err


def touched(server: ApiServer, times: int, **spec: Any) -> None:
    """Let somebody change the exception before each of the first patches."""
    left = [times]

    def fails(request: Request) -> None:
        if request.method == "PATCH" and left[0]:
            left[0] -= 1
            present = server.objects[PATH]
            generation = present["metadata"]["generation"] + bool(spec)
            metadata = {**present["metadata"], "generation": generation}
            server.put(PATH, {**present, "metadata": metadata, "spec": {**present["spec"], **spec}})

    server.fails = fails  # type: ignore[assignment]


async def test_a_change_of_the_status_does_not_stop_a_change_of_the_spec() -> None:
    server = ApiServer()
    present = server.put(PATH, BODY)
    touched(server, 2)
    async with connected(server) as connection:
        written = await writing.patch(connection, present, LATER, versioned=True)
    assert written["spec"] == {**SPEC, **LATER}


async def test_a_change_of_the_spec_by_somebody_else_is_not_overwritten() -> None:
    server = ApiServer()
    present = server.put(PATH, BODY)
    touched(server, 1, owner="somebody")
    async with connected(server) as connection:
        with pytest.raises(errors.CommandError, match="has changed since it was shown; nothing was written"):
            await writing.patch(connection, present, LATER, versioned=True)
    assert server.objects[PATH]["spec"] == {**SPEC, "owner": "somebody"}


async def test_who_changes_labels_without_pause_does_not_make_the_command_wait_for_ever() -> None:
    server = ApiServer()
    present = server.put(PATH, BODY)
    touched(server, 100)
    async with connected(server) as connection:
        with pytest.raises(errors.CommandError, match="is changed without pause; nothing was written"):
            await writing.patch(connection, present, LATER, versioned=True)


async def test_no_change_by_somebody_else_delays_a_revocation() -> None:
    server = ApiServer()
    present = server.put(PATH, BODY)
    touched(server, 1, owner="somebody")
    async with connected(server) as connection:
        written = await writing.patch(connection, present, LATER, versioned=False)
    assert written["spec"] == {"owner": "somebody", **LATER}


async def test_an_equal_change_by_somebody_else_is_not_ones_own() -> None:
    """Without a lost answer, somebody else has made the change, and perhaps others with it."""
    server = ApiServer()
    present = server.put(PATH, BODY)
    touched(server, 1, **LATER, owner="somebody")
    async with connected(server) as connection:
        with pytest.raises(errors.CommandError, match="has changed since it was shown"):
            await writing.patch(connection, present, LATER, versioned=True)


async def test_a_change_whose_answer_is_lost_is_ones_own() -> None:
    server = ApiServer()
    present = server.put(PATH, BODY)
    lost_once(server, "PATCH")
    async with connected(server) as connection:
        written = await writing.patch(connection, present, LATER, versioned=True)
    assert written["spec"] == {**SPEC, **LATER}
    assert [request.method for request in server.requests] == ["PATCH", "PATCH", "GET"]


async def test_who_interrupts_the_wait_is_told_that_the_write_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    server = ApiServer()
    written = server.put(PATH, BODY)
    async with connected(server) as connection:
        task = asyncio.create_task(writing.reported(connection, written, writing.decided, 60))
        await until(lambda: server.requests, "the exception is read again")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert capsys.readouterr().err == "interrupted; the exception is written\n"


async def test_another_exception_of_that_name_is_not_reported_about() -> None:
    """Somebody may have deleted the exception and created another."""
    server = ApiServer()
    written = server.put(PATH, {**BODY, "metadata": {"uid": "first"}})
    ready = {"type": "Ready", "status": "True", "reason": "Active", "observedGeneration": 1}
    server.put(PATH, {**BODY, "metadata": {"uid": "second"}, "status": {"conditions": [ready]}})
    async with connected(server) as connection:
        assert await writing.reported(connection, written, writing.decided, 0.3) == written


async def test_who_may_not_read_an_exception_may_write_it() -> None:
    """Then there is no report of the operator, and no error."""
    server = ApiServer()
    server.fails = lambda request: refusal(403) if request.method == "GET" else None
    async with connected(server) as connection:
        created = await writing.create(connection, BODY, BODY)
        assert await writing.reported(connection, created, writing.decided, 0.3) == created


async def test_the_operator_is_not_waited_for_without_end() -> None:
    """A report about an earlier spec does not count."""
    server = ApiServer()
    condition = {"type": "Ready", "status": "True", "reason": "Active", "observedGeneration": 1}
    body = {**BODY, "metadata": {**BODY["metadata"], "generation": 2}, "status": {"conditions": [condition]}}
    written = server.put(PATH, body)
    async with connected(server) as connection:
        assert not writing.decided(await writing.reported(connection, written, writing.decided, 0.3))
        server.put(PATH, {**written, "status": {"conditions": [{**condition, "observedGeneration": 2}]}})
        seen = await writing.reported(connection, written, writing.decided, 60)
    assert writing.decided(seen)


async def test_an_equal_exception_that_existed_before_is_not_ones_own() -> None:
    """Without a lost answer, an exception of that name was there before the first request."""
    server = ApiServer()
    server.put(PATH, BODY)
    async with connected(server) as connection:
        with pytest.raises(gateway.ApiError) as refused:
            await writing.create(connection, BODY, BODY)
    assert refused.value.status == 409
