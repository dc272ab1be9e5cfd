"""A success that does not answer the request is an error of that request: repeated, counted, and never a crash."""

import datetime
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from hostnetwork_operator import bodies, metrics
from hostnetwork_operator.act import definitions, forms, gateway
from hostnetwork_operator.api import labels
from hostnetwork_operator.observe import live, store
from tests.unit import serving

META = {"name": "a", "uid": "u", "resourceVersion": "7"}
OBJECT = {"kind": "Pod", "metadata": META}
LIST = {"kind": "PodList", "metadata": {"resourceVersion": "9"}, "items": [{"metadata": META}]}
POD = "/api/v1/namespaces/a/pods/a"
PAGE = b"<html>Log in</html>"
GROUP = f"/apis/{labels.GROUP}"
RIGHT = [
    ("GET", "/api/v1/pods?limit=100", LIST),
    ("GET", "/api/v1/namespaces", LIST),
    ("GET", "/api/v1/namespaces/a/pods", LIST),
    ("GET", "/apis/apps/v1/namespaces/a/daemonsets?limit=1", {**LIST, "items": []}),
    ("GET", "/api/v1/pods", {**LIST, "items": None}),
    ("GET", "/api/v1/namespaces/a", OBJECT),
    ("GET", POD, OBJECT),
    ("GET", "/apis/batch/v1/namespaces/a/jobs/a", OBJECT),
    ("GET", f"{GROUP}/v1alpha1/hostnetworkexceptionpolicies/default", OBJECT),
    ("PATCH", f"{POD}/status?fieldManager=x", OBJECT),
    ("PATCH", "/api/v1/namespaces/a?fieldManager=x", OBJECT),
    ("POST", "/api/v1/namespaces/a/pods?dryRun=All", {"metadata": {"name": "gate", "uid": "u"}}),
    ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"kind": "TokenReview", "metadata": {}, "status": {}}),
    ("DELETE", POD, OBJECT),
    ("DELETE", POD, {"kind": "Status", "status": "Success"}),
    ("GET", GROUP, {"versions": [{"version": "v1alpha1"}]}),
    ("GET", f"{GROUP}/v1alpha1", {"resources": [{"name": "hostnetworkexceptions"}]}),
    ("GET", f"/openapi/v3/apis/{labels.API_VERSION}", {"components": {"schemas": {"a": {"type": "object"}}}}),
    ("GET", "/version", {"major": "1"}),
]
OTHERS: list[Any] = [
    {},
    {"kind": "Status", "status": "Success", "metadata": {}},
    {"metadata": None, "items": None, "versions": None, "resources": None, "components": []},
    {"metadata": [], "items": {}, "versions": {}, "resources": {}, "components": {"schemas": []}},
    {"metadata": {"resourceVersion": 9, "name": 1}, "items": [], "versions": [{}], "resources": [1]},
    {"metadata": {"resourceVersion": "9"}, "items": ["a"], "versions": ["a"], "components": {"schemas": {"a": 1}}},
    {"metadata": {"resourceVersion": "9"}, "items": [{"metadata": {**META, "uid": None}}], "components": 1},
]


@pytest.mark.parametrize(("method", "path", "body"), RIGHT)
def test_an_answer_to_the_question_is_one(method: str, path: str, body: dict[str, Any]) -> None:
    """Whatever the answer contains beyond its form."""
    assert forms.trouble(method, path, body) == ""


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize(("method", "path"), sorted({(method, path) for method, path, _ in RIGHT[:-1]}))
def test_an_answer_of_another_form_is_none(method: str, path: str, other: Any) -> None:
    """None of these bodies has the fields that the operator reads from an answer to these requests."""
    if (method, other.get("kind")) == ("DELETE", "Status") or ("openapi" in path and "components" not in other):
        return  # this body is an answer
    assert forms.trouble(method, path, other) != ""


class Server:
    """A server that answers with `bodies` one after the other, then with the last one for ever.

    The Date is in the year 2040.
    """

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.method)
        body = self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(body=data, headers={"Date": "Sun, 01 Jan 2040 00:00:00 GMT"})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def measures() -> metrics.Metrics:
    return metrics.Metrics()


@pytest.fixture
async def api(
    server: Server, measures: metrics.Metrics, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[gateway.Gateway]:
    monkeypatch.setattr(gateway, "_FIRST_WAIT_SECONDS", 0.005)
    async with serving.gateway_to(server.answer, count=measures.count_request) as gateway_client:
        yield gateway_client


@pytest.mark.parametrize("other", [PAGE, b"", b"[]", b'"text"', b"null", b"{", {}, {"kind": "Status"}])
async def test_what_is_no_answer_is_asked_for_again(
    api: gateway.Gateway, server: Server, measures: metrics.Metrics, other: Any
) -> None:
    """The answer also counts as a request without an answer, with code 0."""
    server.bodies = [other, LIST]
    assert (await api.get("/api/v1/pods")).body == LIST
    assert server.asked == ["GET", "GET"]
    text = measures.text().decode()
    assert 'hostnetwork_operator_api_requests_total{code="0",method="GET"} 1.0' in text
    assert 'hostnetwork_operator_api_requests_total{code="200",method="GET"} 1.0' in text


async def test_what_is_no_answer_every_time_is_an_error_of_the_api(api: gateway.Gateway, server: Server) -> None:
    """The error says what the response was, and has an outcome of its own for the metrics.

    It is not a DecodeError, which an object can cause.
    """
    server.bodies = [PAGE]
    with pytest.raises(gateway.ApiError) as raised:
        await api.get("/api/v1/pods")
    error = raised.value
    assert str(error) == "GET /api/v1/pods: no answer Unexpected: status 200 with no JSON at character 0"
    assert (error.status, error.outcome, error.unanswered) == (0, "unexpected", True)
    assert not isinstance(error, bodies.DecodeError)
    assert len(server.asked) == gateway.ATTEMPTS


async def test_what_is_no_answer_does_not_tell_the_time(api: gateway.Gateway, server: Server) -> None:
    """The clock of a proxy may be ahead of the API server's clock. Exceptions would then end too early."""
    server.bodies = [PAGE]
    with pytest.raises(gateway.ApiError):
        await api.get("/api/v1/pods")
    assert api._clock.now() == datetime.datetime.fromtimestamp(0, datetime.UTC)


@pytest.mark.parametrize("other", [PAGE, {}])
async def test_a_delete_that_a_proxy_answered_is_not_done(api: gateway.Gateway, server: Server, other: Any) -> None:
    """Nobody knows whether the pod was deleted, so the delete is repeated, or the operator reads the cluster again."""
    server.bodies = [other]
    with pytest.raises(gateway.ApiError) as raised:
        await api.delete(POD, {}, repeat=False)
    assert raised.value.unanswered


@pytest.mark.parametrize("other", [PAGE, {}, {"items": []}, {"metadata": {}, "items": [1]}])
async def test_a_list_goes_on_after_what_is_no_answer(api: gateway.Gateway, server: Server, other: Any) -> None:
    """No object counts as unreadable, and none as deleted."""
    cache = store.Store()
    body = {"metadata": {**META, "creationTimestamp": "2026-11-22T12:00:00Z"}}
    server.bodies = [other, {**LIST, "items": [body]}]
    await live.fill(api, cache, store.Kind.NAMESPACE, api._clock)
    assert (cache.namespaces(), sum(cache.unread.counts().values())) == (["a"], 0)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 500])
@pytest.mark.parametrize("body", [{"details": []}, {"details": {"causes": {}}}, {"details": {"causes": [1]}}])
async def test_an_error_of_another_form_is_an_error_of_the_api(status: int, body: dict[str, Any]) -> None:
    """The error has the status of the answer."""
    data = json.dumps({**body, "reason": 5, "message": ["a"]}).encode()
    error = gateway._error("GET", POD, status, data)
    assert (error.status, error.reason, error.message) == (status, "", "")


@pytest.mark.parametrize("other", [PAGE, [], {}, *OTHERS[2:], {"components": {"schemas": {"a": {"x": 1}}}}])
async def test_whoever_answers_for_the_crds_does_not_end_the_start(
    api: gateway.Gateway, server: Server, other: Any
) -> None:
    """An answer that says nothing about the CRDs is not reported as trouble with the CRDs."""
    server.bodies = [other]
    assert await definitions.trouble(api) == ""
