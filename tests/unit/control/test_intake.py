"""A watch event wakes its namespace: at once, or with other events if only numbers move."""

from collections.abc import Mapping
from typing import Any

import pytest

from hostnetwork_operator.control import intake
from hostnetwork_operator.decide import gathering, plan
from hostnetwork_operator.observe import store
from hostnetwork_operator.observe.store import Kind
from tests.unit.builders import IMAGE, NAMESPACE, NOW, denied, hne, seen


class Schedule:
    """Notes what is scheduled."""

    def __init__(self) -> None:
        self.calls: list[float] = []

    def wake(self, name: str) -> None:
        assert name == NAMESPACE
        self.calls.append(0)

    def after(self, name: str, seconds: float) -> None:
        assert name == NAMESPACE
        self.calls.append(seconds)


class Watch:
    """A namespace with an exception in force, and the pods of an agent that it covers."""

    def __init__(self) -> None:
        self.version = 100
        self.names: set[str] = set()
        self.schedule = Schedule()
        self.plans: dict[str, plan.NamespacePlan] = {}
        self.store = store.Store(lambda: NOW)
        self.intake = intake.Intake(self.store, self.schedule, self, self, self.plans)  # type: ignore[arg-type]

    def forget(self, *_: object) -> None:
        """Nothing is recorded."""

    def judge(self) -> None:
        """Plan with the pods of the store, as a worker does when it is woken."""
        subject = hne()
        pods = [pod for name in self.names if (pod := self.store.pod(NAMESPACE, name)) is not None]
        self.plans[NAMESPACE] = plan.plan_namespace(seen(*pods, subject, namespace=denied(subject)), NOW)

    def event(self, name: str, event: str = "MODIFIED", **spec: Any) -> list[float]:
        """Take in an event, and return what was scheduled for it: seconds, 0 for at once."""
        self.version += 1
        self.names.add(name)
        self.schedule.calls.clear()
        self.intake.changed(Kind.POD, event, self.body(name, **spec))
        return list(self.schedule.calls)

    def body(self, name: str, *, deleting: bool = False, status: str = "", **spec: Any) -> Mapping[str, Any]:
        owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "d", "controller": True}
        meta: dict[str, Any] = {
            "namespace": NAMESPACE,
            "name": name,
            "uid": f"uid-of-{name}",
            "resourceVersion": str(self.version),
            "creationTimestamp": "2026-11-22T11:59:00Z",
            "ownerReferences": [owner],
        }
        if deleting:
            meta |= {"deletionTimestamp": "2026-11-22T12:00:30Z", "deletionGracePeriodSeconds": 30}
        fields = {
            "hostNetwork": True,
            "serviceAccountName": "netdebug",
            "containers": [{"name": "main", "image": IMAGE}],
            **spec,
        }
        return {"metadata": meta, "spec": fields, "status": {"phase": status}}


GATHERED = [gathering.GATHER_SECONDS]
AT_ONCE = [0]


@pytest.fixture
def watch() -> Watch:
    """Return the namespace with two covered pods, on a plan that knows them."""
    namespace = Watch()
    assert namespace.event("agent-0", "ADDED") == AT_ONCE
    assert namespace.event("agent-1", "ADDED") == AT_ONCE
    namespace.judge()
    return namespace


def test_a_pod_like_the_others_waits_for_more(watch: Watch) -> None:
    """Its creation, its node, and its removal."""
    assert watch.event("agent-2", "ADDED") == GATHERED
    assert watch.event("agent-2", nodeName="node-7") == GATHERED
    assert watch.event("agent-2", "DELETED") == GATHERED


def test_what_no_decision_reads_wakes_nobody(watch: Watch) -> None:
    """Most events about a pod are about its status."""
    assert watch.event("agent-1", status="Running") == []
    assert watch.event("agent-1", status="Running", nodeName="node-7") == GATHERED


def test_another_kind_of_pod_is_judged_at_once(watch: Watch) -> None:
    """A pod with another image, account or namespace is another kind."""
    assert watch.event("other", "ADDED", serviceAccountName="default") == AT_ONCE
    assert watch.event("other-image", "ADDED", containers=[{"name": "main", "image": "evil:1"}]) == AT_ONCE


def test_the_last_pod_of_a_kind_is_missed_at_once(watch: Watch) -> None:
    """A pod that is being deleted is still of its kind."""
    assert watch.event("agent-0", deleting=True) == GATHERED
    assert watch.event("agent-1", deleting=True) == GATHERED
    assert watch.event("agent-0", "DELETED") == GATHERED
    assert watch.event("agent-1", "DELETED") == AT_ONCE


def test_a_pod_that_is_flagged_wrongly_is_judged_at_once(watch: Watch) -> None:
    """An uncovered pod without a label is never calm, however many there are."""
    assert watch.event("uncovered-0", "ADDED", serviceAccountName="default") == AT_ONCE
    watch.judge()
    assert watch.event("uncovered-1", "ADDED", serviceAccountName="default") == AT_ONCE


def test_a_pod_that_cannot_be_read_is_told_at_once(watch: Watch) -> None:
    """Its verdict is not known any more."""
    assert watch.event("agent-1", serviceAccountName=7) == AT_ONCE


def test_without_a_plan_every_pod_wakes_its_namespace(watch: Watch) -> None:
    """The namespace was not judged yet."""
    watch.plans.clear()
    assert watch.event("agent-2", "ADDED") == AT_ONCE
