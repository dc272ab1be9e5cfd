"""Ways to fill the operator's memory, or to make its work fail, by the content of an object (A25, A26).

Objects are as large as etcd stores them, and larger as JSON: `<` takes six bytes in the JSON of the API server. The
operator's container has 512 MiB.
"""

import datetime
import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hostnetwork_operator.api.labels import MANAGED_BY, MANAGER
from tests.controlplane import operator
from tests.e2e import conftest
from tests.e2e.conftest import OPERATOR, World
from tests.e2e.threats.conftest import container, deletions, pod, tenant, workload, workloads
from tests.e2e.threats.test_approval import exception_body

pytestmark = pytest.mark.alone
_CRD = pathlib.Path(__file__).parents[2] / "reports" / "openreports.yaml"
_MANY = 30
_MOST_MEGABYTES = 250
_LARGE = "<" * 1_400_000
_LARGE_HOST = "<" * 890_000  # pod-size admits no more


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A separate cluster: its objects are too large for the other tests."""
    with conftest.enforced() as new_world:
        operator.apply(new_world.cluster, "-f", str(_CRD))
        yield new_world


def _labels(size: int) -> dict[str, str]:
    return {f"l{number:05d}-" + "k" * 56: "v" * 63 for number in range(size // 126)}


def _ordinary_pod(name: str) -> tuple[str, dict[str, Any]]:
    return "pods", pod(name, containers=[container(args=[_LARGE])], schedulingGates=[{"name": "a.b/c"}])


def _host_pod(name: str) -> tuple[str, dict[str, Any]]:
    large = container(args=[_LARGE_HOST])
    return "pods", pod(name, hostNetwork=True, containers=[large], schedulingGates=[{"name": "a.b/c"}])


def _pod_of_many_parts(name: str) -> tuple[str, dict[str, Any]]:
    """Return a pod that is small as JSON and large as Python values."""
    parts = container(env=[{"name": f"v{number}"} for number in range(100_000)])
    return "pods", pod(name, containers=[parts], schedulingGates=[{"name": "a.b/c"}])


def _deployment(name: str) -> tuple[str, dict[str, Any]]:
    return "deployments", workload("Deployment", name, replicas=0, containers=[container(args=[_LARGE])])


def _exception(name: str) -> tuple[str, dict[str, Any]]:
    body = exception_body(name)
    body["metadata"]["labels"] = _labels(1_000_000)
    return "hostnetworkexceptions", body


def _report(name: str) -> tuple[str, dict[str, Any]]:
    """Return a tenant's report with the label of the operator's reports."""
    identity = {"apiVersion": "openreports.io/v1alpha1", "kind": "Report"}
    meta = {"name": f"hostnetwork-{name}", "labels": {MANAGED_BY: MANAGER}}
    return "reports", {**identity, "metadata": meta, "results": [{"policy": "p", "message": _LARGE[:220_000]}]}


KINDS: dict[str, Callable[[str], tuple[str, dict[str, Any]]]] = {
    "ordinary pods": _ordinary_pod,
    "host-namespace pods": _host_pod,
    "pods of many parts": _pod_of_many_parts,
    "workloads": _deployment,
    "exceptions": _exception,
    "reports": _report,
}


def _path(world: World, namespace: str, plural: str) -> str:
    paths = {
        "deployments": workloads(namespace, "Deployment"),
        "hostnetworkexceptions": world.exceptions(namespace),
        "pods": world.pods(namespace),
        "reports": f"/apis/openreports.io/v1alpha1/namespaces/{namespace}/reports",
    }
    return paths[plural]


@pytest.mark.parametrize("kind", KINDS)
def test_no_objects_fill_the_memory(world: World, kind: str) -> None:
    """A25: The operator starts, checks the objects' namespace, and uses less than 250 MB at any time."""
    world.operator.stop()
    namespace = world.namespace(deny=False, old=True)
    paths = []
    for number in range(_MANY):
        plural, body = KINDS[kind](f"large-{number}")
        path = _path(world, namespace, plural)
        world.admin.request("POST", path, body, timeout=60).expect(201)
        paths.append(f"{path}/{body['metadata']['name']}")
    world.operator.start()
    world.until("it is looked at", lambda: _is_checked(world, namespace), 120)
    assert _most_megabytes(world.operator.pid) < _MOST_MEGABYTES
    for path in paths:
        world.admin.delete(path, {"gracePeriodSeconds": 0}).expect(200, 404)


def test_no_namespaces_fill_the_memory(world: World) -> None:
    """A25: A holder of setlevel made the namespaces, and so may make them larger than namespace-size allows others."""
    world.operator.stop()
    names = [f"large-{number}" for number in range(_MANY)]
    for name in names:
        body = {"metadata": {"name": name, "labels": _labels(1_000_000)}}
        world.admin.request("POST", "/api/v1/namespaces", body, timeout=60).expect(201)
    world.operator.start()
    world.until("they are enforced", lambda: all(world.enforced(name) for name in names), 120)
    assert _most_megabytes(world.operator.pid) < _MOST_MEGABYTES


# The garbage collector deletes a pod whose owner is of an existing kind that has no object of that name.
OWNERS: dict[str, dict[str, str]] = {
    "a query in the version": {"apiVersion": "apps/v1?x=", "kind": "ReplicaSet", "name": "web"},
    "no name of an object": {"apiVersion": "example.com/v1", "kind": "Any Thing", "name": "No Name/at:all"},
}


@pytest.mark.parametrize("owner", OWNERS)
def test_no_owner_steers_or_fails_the_operator(world: World, owner: str) -> None:
    """A26: A tenant names a malformed owner on a pod: reports and deletes in the namespace continue, and on time."""
    if not world.operator.running():
        world.operator.start()
    since = world.request_count()
    namespace = world.namespace()
    world.exception(namespace, seconds=12).expect(201)
    body = pod("capture", hostNetwork=True)
    body["metadata"]["ownerReferences"] = [{**OWNERS[owner], "uid": "a-uid", "controller": True}]
    attacker = tenant(world, namespace)
    world.until("in force", lambda: attacker.post(world.pods(namespace), body).status in {201, 409})
    reports = f"/apis/openreports.io/v1alpha1/namespaces/{namespace}/reports"
    world.until("it is reported", lambda: world.admin.items(reports))
    expiry = datetime.datetime.fromisoformat(
        world.admin.get(f"{world.exceptions(namespace)}/capture").body["spec"]["expiry"]
    )
    world.until("it is deleted", lambda: deletions(world, namespace))
    deleted_at = datetime.datetime.fromisoformat(deletions(world, namespace)[0]["requestReceivedTimestamp"])
    assert expiry <= deleted_at <= expiry + datetime.timedelta(seconds=5)
    requests = [
        e for e in itertools.islice(world.cluster.audit_events(), since, None) if e["user"]["username"] == OPERATOR
    ]
    assert not [e["requestURI"] for e in requests if "x=" in e["requestURI"] or "secrets" in e["requestURI"]]
    assert "reconcile-crashed" not in world.operator.tail(2000)


def _is_checked(world: World, namespace: str) -> bool:
    return world.labels(namespace).get(f"{conftest.LABEL}/enforcement") in {"Deny", "Held"}


def _most_megabytes(pid: int) -> float:
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6
