"""Whether the operator works, as `doctor` reads it from its Deployment and its Lease."""

import datetime
import json
from typing import Any

import pytest
from aiohttp import web

from hostnetwork_operator import clock
from hostnetwork_operator.cli import connect, doctor
from tests.unit import serving

LEASE = "hostnetwork-system/hostnetwork-operator"
META = {"name": "hostnetwork-operator", "uid": "u", "resourceVersion": "1"}


def deployment(available: int, lease: str = LEASE) -> dict[str, Any]:
    variables = [{"name": "OTHER"}, {"name": "HOSTNETWORK_LEASE", "value": lease}]
    pod = {"containers": [{"name": "operator", "env": variables}]}
    return {"spec": {"replicas": 2, "template": {"spec": pod}}, "status": {"availableReplicas": available}}


async def check(available: int, lease: dict[str, Any] | int, seconds: float = 1) -> doctor.Check:
    """Return the check of a Deployment whose Lease was renewed some seconds ago, or cannot be read."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if "deployments" in request.path:
            return web.json_response({"metadata": META, **deployment(available)})
        if isinstance(lease, int):
            return web.json_response({"reason": "No", "message": "no"}, status=lease)
        renewed = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)  # noqa: TID251 - the server
        spec = {"renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), **lease}
        return web.json_response({"metadata": META, "spec": spec})

    server_clock = clock.ServerClock()
    async with serving.gateway_to(answer, server_clock) as api:
        return await doctor._operator(connect.Connection(api, server_clock, "default"))


@pytest.mark.parametrize(
    ("available", "lease", "seconds", "state", "message"),
    [
        (2, {"holderIdentity": "a_1"}, 1, "ok", "2 of 2 replicas available; a_1 holds the Lease and works"),
        (1, {"holderIdentity": "a_1"}, 1, "warning", "1 of 2 replicas available; a_1 holds the Lease and works, and"),
        (2, {"holderIdentity": "a_1"}, 100, "failed", f"a_1 has not renewed Lease {LEASE} for "),
        (2, {"holderIdentity": "a_1", "renewTime": None}, 1, "failed", f"a_1 has not renewed Lease {LEASE} for "),
        (2, {"holderIdentity": ""}, 1, "failed", f"no replica holds Lease {LEASE}"),
        (2, {}, 1, "failed", f"no replica holds Lease {LEASE}"),
        (2, 404, 1, "failed", f"there is no Lease {LEASE}"),
        (2, 403, 1, "unknown", "no"),
        (0, 404, 1, "failed", "no replica is available"),
    ],
)
async def test_with_a_lease_its_holder_tells_whether_the_operator_works(
    available: int, lease: dict[str, Any] | int, seconds: float, state: str, message: str
) -> None:
    """A standby is available and ready, and does not work."""
    found = await check(available, lease, seconds)
    assert (found.name, found.state) == ("Operator", state)
    assert found.message.startswith(message)


@pytest.mark.parametrize("body", [{}, {"spec": None}, deployment(1, ""), json.loads('{"spec": {"template": {}}}')])
def test_a_deployment_without_a_lease_has_none(body: dict[str, Any]) -> None:
    """Then the number of available replicas tells, as before."""
    assert doctor._lease(body) == ""
