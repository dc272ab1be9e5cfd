"""What an Event leads to, and what a workload lacks."""

from typing import Any

import pytest

from hostnetwork_operator import bodies
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import refused
from tests.unit.builders import NAMESPACE, NETWORK, NOW

VERSIONS = {"Job": "batch/v1", "ReplicationController": "v1"}
HOST = {"hostNetwork": True, "containers": [{"name": "main", "image": "agent:1"}]}


def event(**changes: Any) -> dict[str, Any]:
    """Return an Event as the controller of DaemonSets emits it."""
    involved = {"apiVersion": "apps/v1", "kind": "DaemonSet", "namespace": NAMESPACE, "name": "agent", "uid": "uid-1"}
    body = {
        "metadata": {"name": "agent.1", "namespace": NAMESPACE},
        "reason": "FailedCreate",
        "involvedObject": involved,
    }
    for key, value in changes.items():
        if key in involved:
            involved[key] = value
        else:
            body[key] = value
    return body


def claim(kind: str = "DaemonSet") -> snapshot.Reference:
    return snapshot.Reference(kind, NAMESPACE, "agent", "uid-1", VERSIONS.get(kind, "apps/v1"))


def workload(kind: str, spec: dict[str, Any], status: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    defaults = {"name": "agent", "namespace": NAMESPACE, "uid": "uid-1", "resourceVersion": "7"}
    metadata = {**defaults, "creationTimestamp": "2026-11-22T11:00:00Z", **meta}
    return {"kind": kind, "metadata": metadata, "spec": {"template": {"spec": HOST}, **spec}, "status": status or {}}


def read_shortage(kind: str, spec: dict[str, Any], status: dict[str, Any] | None = None, **meta: Any) -> Any:
    return refused.shortage(workload(kind, spec, status, **meta), claim(kind), NOW)


def test_an_event_names_a_workload() -> None:
    """The claim has kind, namespace, name, uid and version."""
    assert refused.claimed(event()) == claim()


@pytest.mark.parametrize(
    "changed",
    [
        {"reason": "Created"},
        {"involvedObject": None},
        {"involvedObject": "agent"},
        {"kind": "Pod", "apiVersion": "v1"},
        {"apiVersion": "apps/v1beta1"},
        {"namespace": "other"},
        {"name": "../../secrets/agent"},
        {"name": "agent?x=y"},
        {"name": ""},
        {"uid": ""},
        {"uid": "u" * 65},
        {"uid": None},
        {"kind": ["DaemonSet"]},
        {"metadata": {"name": "agent.1"}},
    ],
    ids=str,
)
def test_an_event_that_names_none_leads_to_nothing(changed: dict[str, Any]) -> None:
    """Another reason, another kind, another namespace, a path instead of a name, or no text."""
    assert refused.claimed(event(**changed)) is None


@pytest.mark.parametrize(
    ("kind", "spec", "status", "expected"),
    [
        ("DaemonSet", {}, {"currentNumberScheduled": 1, "desiredNumberScheduled": 3}, (1, 3)),
        ("StatefulSet", {"replicas": 2}, {"replicas": 1}, (1, 2)),
        ("ReplicaSet", {"replicas": 2}, {}, (0, 2)),
        ("ReplicaSet", {}, None, (0, 1)),
        ("ReplicationController", {"replicas": 5}, {"replicas": 4}, (4, 5)),
        ("Job", {}, {}, (0, 1)),
        ("Job", {"parallelism": 3, "completions": 9}, {"succeeded": 7, "active": 1}, (1, 2)),
    ],
)
def test_a_workload_lacks_pods(
    kind: str, spec: dict[str, Any], status: dict[str, Any] | None, expected: tuple[int, int]
) -> None:
    """Fewer pods exist than the workload wants."""
    shortage = read_shortage(kind, spec, status)
    assert isinstance(shortage, snapshot.Shortage)
    assert (shortage.present, shortage.wanted) == expected
    assert shortage.pod.host_namespaces == {NETWORK}
    assert (shortage.workload, shortage.top, shortage.read) == (claim(kind), claim(kind), NOW)


@pytest.mark.parametrize(
    ("kind", "spec", "status"),
    [
        ("DaemonSet", {}, {}),
        ("DaemonSet", {}, {"currentNumberScheduled": 3, "desiredNumberScheduled": 3}),
        ("StatefulSet", {"replicas": 0}, {}),
        ("ReplicaSet", {"replicas": 2}, {"replicas": 3}),
        ("Job", {}, {"active": 1}),
        ("Job", {"suspend": True}, {}),
        ("Job", {"parallelism": 0}, {}),
        ("Job", {"completions": 1}, {"succeeded": 1}),
        ("Job", {}, {"conditions": [{"type": "Failed", "status": "True"}]}),
    ],
)
def test_a_workload_has_enough(kind: str, spec: dict[str, Any], status: dict[str, Any]) -> None:
    """The workload has the pods that it wants, or its status does not say yet how many it wants."""
    assert read_shortage(kind, spec, status) is refused.NoShortage.ENOUGH


@pytest.mark.parametrize(
    ("spec", "meta"),
    [
        ({}, {"uid": "uid-2"}),
        ({}, {"deletionTimestamp": "2026-11-22T11:59:00Z"}),
        ({"template": {"spec": {**HOST, "hostNetwork": False}}}, {}),
        ({"template": None}, {}),
        ({"template": {"spec": {"hostNetwork": True, "containers": [{"name": "x", "image": 1}]}}}, {}),
    ],
)
def test_what_is_not_meant_is_nothing(spec: dict[str, Any], meta: dict[str, Any]) -> None:
    """Another uid, a workload that is being deleted, one without host namespaces, or one that cannot be understood."""
    assert read_shortage("StatefulSet", spec, None, **meta) is refused.NoShortage.NOTHING


def test_annotations_of_the_workload_are_not_those_of_its_pods() -> None:
    """A workload with the annotation of a mirror pod creates pods that are no mirror pods."""
    shortage = read_shortage(
        "StatefulSet", {}, None, annotations={"kubernetes.io/config.mirror": "x"}, labels={"a": "b"}
    )
    assert not shortage.pod.mirror


@pytest.mark.parametrize(
    ("kind", "owner", "top"),
    [
        ("ReplicaSet", ("apps/v1", "Deployment", "web"), "Deployment web"),
        ("Job", ("batch/v1", "CronJob", "web"), "CronJob web"),
        ("StatefulSet", ("apps/v1", "Deployment", "web"), "StatefulSet agent"),
        ("ReplicaSet", ("example.com/v1", "Rollout", "web"), "ReplicaSet agent"),
        ("ReplicaSet", ("apps/v1", "Deployment", "../web"), "ReplicaSet agent"),
    ],
)
def test_people_look_at_the_controller_of_kubernetes(kind: str, owner: tuple[str, str, str], top: str) -> None:
    """The Deployment of a ReplicaSet, or the CronJob of a Job.

    Any other owner is a claim that the operator does not follow.
    """
    version, owner_kind, name = owner
    reference = {"apiVersion": version, "kind": owner_kind, "name": name, "uid": "uid-9", "controller": True}
    shortage = read_shortage(kind, {}, None, ownerReferences=[reference])
    assert f"{shortage.top.kind} {shortage.top.name}" == top


class Server:
    """A server that answers with one body, or with an answer that cannot be decoded."""

    def __init__(self, body: Any) -> None:
        self.body = body
        self.warnings = ()
        self.asked: list[str] = []

    async def get(self, path: str, *, accept: str = "", most: int = bodies.BYTES) -> Any:
        self.asked.append(path)
        if self.body is None:
            raise bodies.DecodeError("too long")
        return self


async def test_a_workload_is_read_by_its_path() -> None:
    """The operator requests exactly the object that the claim names."""
    server = Server(workload("StatefulSet", {}))
    assert isinstance(await refused.read(server, claim("StatefulSet"), NOW), snapshot.Shortage)
    assert server.asked == [f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/agent"]


async def test_a_workload_that_cannot_be_decoded_is_not_known() -> None:
    """The operator counts nothing about it."""
    assert await refused.read(Server(None), claim(), NOW) is None
