"""A right that the operator lacks is logged once per kind with the remedy, and again when the right comes back."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from hostnetwork_operator.act import forms, gateway, rights
from tests.unit import serving

JOB = "/apis/batch/v1/namespaces/a/jobs/capture"
USER = 'User "system:serviceaccount:hostnetwork-system:hostnetwork-operator"'
REFUSAL = f'jobs.batch "capture" is forbidden: {USER} cannot get resource "jobs" in API group "batch" in the namespace'
REMEDY = "; run kubectl apply -k manifests/base to grant the operator's rights"


class Server:
    """A server that answers with `status` and `message`."""

    def __init__(self) -> None:
        self.status = 403
        self.message = REFUSAL

    async def answer(self, _: web.Request) -> web.Response:
        if self.status == 200:
            return web.json_response({"metadata": {"name": "capture", "uid": "u", "resourceVersion": "1"}})
        return web.json_response({"reason": "Forbidden", "message": self.message}, status=self.status)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[gateway.Gateway]:
    async with serving.gateway_to(server.answer) as gateway_client:
        yield gateway_client


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, str]]]:
    return [
        (record.message, record.__dict__["hno_fields"]) for record in caplog.records if "hno_fields" in record.__dict__
    ]


async def ask(api: gateway.Gateway, path: str = JOB) -> None:
    with contextlib.suppress(gateway.ApiError):
        await api.get(path)


async def test_a_missing_right_is_logged_once_per_kind(api: gateway.Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """However many objects of the kind the operator asks for."""
    for name in ("capture", "other", "third"):
        await ask(api, f"/apis/batch/v1/namespaces/{name}/jobs/{name}")
    await ask(api, "/apis/apps/v1/namespaces/a/daemonsets/agent")
    expected = [{"verb": "get", "kind": kind, "error": REFUSAL + REMEDY} for kind in ("jobs.batch", "daemonsets.apps")]
    assert lines(caplog) == [("right-missing", fields) for fields in expected]


async def test_a_right_that_comes_back_is_logged(
    api: gateway.Gateway, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has one line about it."""
    caplog.set_level("INFO")
    await ask(api)
    server.status = 200
    await ask(api)
    await ask(api)
    assert lines(caplog)[1:] == [("right-restored", {"verb": "get", "kind": "jobs.batch"})]


async def test_a_refusal_by_admission_is_no_missing_right(
    api: gateway.Gateway, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The refusal has the same status."""
    server.message = "ValidatingAdmissionPolicy 'operator-limits' with binding 'operator-limits' denied request: no"
    await ask(api)
    assert lines(caplog) == []


def test_a_right_that_comes_and_goes_is_logged_every_ten_minutes(caplog: pytest.LogCaptureFixture) -> None:
    """For instance a right that the operator has in some namespaces only."""
    caplog.set_level("INFO")
    seconds = [0.0]
    tracker = rights.Rights(lambda: seconds[0])
    for _ in range(3):
        tracker.refused("GET", JOB, REFUSAL)
        tracker.granted("GET", JOB)
    assert [event for event, _ in lines(caplog)] == ["right-missing", "right-restored"]
    seconds[0] = 601.0
    tracker.refused("GET", JOB, REFUSAL)
    assert [event for event, _ in lines(caplog)][2:] == ["right-missing"]


@pytest.mark.parametrize(
    ("method", "path", "verb", "kind"),
    [
        ("GET", "/api/v1/pods?limit=100", "list", "pods"),
        ("GET", "/api/v1/namespaces/a/pods", "list", "pods"),
        ("GET", "/api/v1/namespaces/a", "get", "namespaces"),
        ("PATCH", "/api/v1/namespaces/a/pods/b/status?fieldManager=x", "patch", "pods/status"),
        ("POST", "/api/v1/namespaces/a/events", "create", "events"),
        ("DELETE", JOB, "delete", "jobs.batch"),
    ],
)
def test_a_right_is_named_as_kubectl_names_it(method: str, path: str, verb: str, kind: str) -> None:
    """`kubectl auth can-i VERB KIND` takes both words."""
    assert forms.right(method, path) == forms.Right(verb, kind)


def test_a_request_that_is_not_about_objects_needs_no_right_of_that_form() -> None:
    """Every client may ask for the version."""
    assert [forms.right("GET", path) for path in ("/version", "/apis/apps", "/openapi/v3/apis/a/v1")] == [None] * 3
