"""Pods with only hostPID or hostIPC, which no field selector selects and no watch reports; lost watch events."""

import datetime
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tests.controlplane import operator
from tests.e2e.conftest import IMAGE, LABEL, OPERATOR, PSA, World
from tests.faults import proxy


def _pid(world: World, namespace: str, name: str = "capture", **spec: Any) -> int:
    """Create a pod of IMAGE with hostPID alone, and return the status of the answer."""
    return world.pod(namespace, name, hostNetwork=False, hostPID=True, **spec).status


@pytest.fixture
def often(unattended: World) -> Iterator[World]:
    """The cluster with an operator that lists all pods every second."""
    unattended.operator.stop()
    before = unattended.operator
    unattended.operator = operator.OperatorProcess(
        unattended.cluster, name="operator-often", environment={"HOSTNETWORK_FULL_RESYNC_SECONDS": "1"}
    )
    try:
        yield unattended
    finally:
        unattended.operator.stop()
        unattended.operator = before
        before.start()


def test_one_that_was_there_before_is_found_at_the_start(unattended: World) -> None:
    """The operator flags, reports and counts the pod, and the pod blocks enforcement in its namespace."""
    unattended.operator.stop()
    name = unattended.namespace(deny=False, old=True)
    assert _pid(unattended, name, "legacy") == 201
    assert unattended.pod(name, "legacy-ipc", hostNetwork=False, hostIPC=True).status == 201
    unattended.operator.start()
    for pod in ("legacy", "legacy-ipc"):
        unattended.until(f"{pod} is flagged", lambda pod=pod: unattended.verdict(name, pod) == "Uncovered")
        assert ("Pod", pod, "HostNamespacesUncovered") in unattended.events(name)
    assert unattended.labels(name)[f"{LABEL}/enforcement"] == "Held"
    assert f'hostnetwork_pods{{namespace="{name}",verdict="Uncovered"}} 2.0' in unattended.operator.metrics()
    assert 'last_resync_timestamp_seconds{kind="pods-all"}' in unattended.operator.metrics()


def test_one_that_nobody_has_seen_yet_is_deleted_when_its_diagnostic_ends(world: World) -> None:
    """The pod was admitted between two lists of all pods.

    The operator checks the namespace when the exception ends, and until the pod is gone.
    """
    name = world.namespace()
    world.exception(name, seconds=8, hostNamespaces=["PID"], gracePeriodSeconds=1).expect(201)
    world.until("it is admitted", lambda: _pid(world, name) == 201)
    assert not world.status(name).get("coveredPods")
    world.until("it is gone", lambda: world.gone(name))
    world.until("the level is restored", lambda: world.labels(name)[PSA] == "baseline")
    world.until("it is cleaned up", lambda: world.condition(name, kind="CleanedUp").get("status") == "True")
    assert ("HostNetworkException", "capture", "ExpiredPodDeleted") in world.events(name)
    deletes = [e for e in world.writes() if e["verb"] == "delete" and e["objectRef"].get("namespace") == name]
    assert len(deletes) == 1
    assert set(deletes[0]["requestObject"]["preconditions"]) == {"uid"}


def test_they_come_and_go_by_lists_of_all_pods(often: World) -> None:
    """A pod that an exception covers counts as covered until it is deleted."""
    often.operator.start()
    name = often.namespace()
    often.exception(name, hostNamespaces=["PID"]).expect(201)
    often.until("it is admitted", lambda: _pid(often, name) == 201)
    often.until("it is covered", lambda: often.status(name).get("coveredPods") == 1)
    assert often.condition(name, kind="InUse")["status"] == "True"
    assert often.verdict(name, "capture") is None
    often.admin.delete(f"{often.pods(name)}/capture", {"gracePeriodSeconds": 0}).expect(200)
    often.until("it is forgotten", lambda: often.status(name).get("coveredPods") == 0)


def test_one_that_went_away_unseen_makes_no_error_and_no_event(unattended: World) -> None:
    """The exception is deleted after its pod, long before the next list of all pods: no Event mentions the pod."""
    name = unattended.namespace()
    unattended.exception(name, hostNamespaces=["PID"]).expect(201)
    unattended.until("it is admitted", lambda: _pid(unattended, name) == 201)
    unattended.operator.stop()
    unattended.operator.start()
    unattended.until("it is covered", lambda: unattended.status(name).get("coveredPods") == 1)
    unattended.admin.delete(f"{unattended.pods(name)}/capture", {"gracePeriodSeconds": 0}).expect(200)
    # The list from the operator's start counts as fresh for a minute.
    later = unattended.now() + datetime.timedelta(seconds=61)
    unattended.holds_until(later, "nothing tells", lambda: unattended.status(name).get("coveredPods") == 1)
    unattended.admin.delete(f"{unattended.exceptions(name)}/capture").expect(200)
    gone = f'hostnetwork_pods{{namespace="{name}",verdict="Uncovered"}} 0.0'
    unattended.until("it is forgotten", lambda: gone in unattended.operator.metrics())
    assert not [event for event in unattended.events(name) if event[0] == "Pod"]
    assert "reconcile-failed" not in unattended.operator.log.read_text().rpartition('"event": "starting"')[2]


def test_nothing_is_judged_before_every_pod_was_listed(unattended: World) -> None:
    """While the list of all pods fails, the operator is not ready and says which list; then it starts to work."""
    unattended.operator.stop()
    ca = str(unattended.cluster.authority.certificate_path)
    with proxy.Proxy(unattended.cluster.url, ca) as between:
        between.refused = lambda _, path: 403 if path.startswith("/api/v1/pods?limit") else 0
        process = operator.OperatorProcess(unattended.cluster, name="operator-unlisted", server=between.url)
        process.start(ready=False)
        unattended.until("it says so", lambda: '"kind": "pods-all"' in process.log.read_text())
        assert process.probe("/readyz") == 503
        between.refused = lambda _method, _path: 0
        unattended.until("it is ready", lambda: process.probe("/readyz") == 200)
        process.stop()


def test_a_pod_whose_farewell_was_lost_is_forgotten(unattended: World) -> None:
    """If every watch of pods is refused, the lists by the field selector show that the pod is gone."""
    name = unattended.namespace()
    unattended.granted_pod(name)
    unattended.operator.stop()
    ca = str(unattended.cluster.authority.certificate_path)
    with proxy.Proxy(unattended.cluster.url, ca) as between:
        between.refused = lambda _, path: 500 if "/pods?" in path and "watch=true" in path else 0
        process = operator.OperatorProcess(
            unattended.cluster,
            name="operator-unwatching",
            server=between.url,
            environment={"HOSTNETWORK_RESYNC_SECONDS": "2"},
        )
        with process:
            unattended.admin.delete(f"{unattended.pods(name)}/capture", {"gracePeriodSeconds": 0}).expect(200)
            unattended.until("it is forgotten", lambda: unattended.status(name).get("coveredPods") == 0)
    unattended.operator.start()


def _plain(world: World, namespace: str, *names: str) -> None:
    """Create ordinary pods."""
    for name in names:
        world.pod(namespace, name, hostNetwork=False).expect(201)


def _listed_again(world: World) -> None:
    """Wait until the operator has begun more lists of all pods, so that at least one is complete."""

    def lists() -> int:
        found = [e for e in world.cluster.audit_events() if e["verb"] == "list" and e["user"]["username"] == OPERATOR]
        return sum(e["requestURI"].startswith("/api/v1/pods?limit") for e in found)

    before = lists()
    world.until("all pods were listed again", lambda: lists() >= before + 3)


def test_ordinary_pods_beside_excepted_ones_are_a_finding(often: World) -> None:
    """InUse and the metrics show the finding as long as ordinary pods run, and one Event reports it.

    More ordinary pods cause no write. If the exception's pods are alone, there is no finding.
    """
    often.operator.start()
    mixed, own = often.namespace(), often.namespace()
    for name in (mixed, own):
        often.granted_pod(name)
    _plain(often, mixed, "web")
    text = "the exception covers 1 pod; ordinary pods run in the namespace of the exception: a user who may create pods"
    often.until("it is shown", lambda: often.condition(mixed, kind="InUse")["message"].startswith(text))
    finding = f'finding="MixedNamespace",name="capture",namespace="{mixed}"'
    often.until("it is counted", lambda: finding in often.operator.metrics())
    remedy = often.condition(mixed, kind="InUse")["message"].rpartition(": kubectl ")[2]
    assert "web " in often.cluster.kubectl(*shlex.split(remedy)).stdout

    before = len(often.writes())
    _plain(often, mixed, "web-2", "web-3")
    _listed_again(often)
    assert {e["objectRef"].get("namespace") for e in often.writes()[before:]}.isdisjoint({mixed, own})
    assert often.condition(own, kind="InUse")["message"] == "the exception covers 1 pod"
    assert f'finding="MixedNamespace",name="capture",namespace="{own}"' not in often.operator.metrics()

    for name in ("web", "web-2", "web-3"):
        often.admin.delete(f"{often.pods(mixed)}/{name}", {"gracePeriodSeconds": 0}).expect(200)
    often.until("it is alone", lambda: often.condition(mixed, kind="InUse")["message"] == "the exception covers 1 pod")
    told = [subject for _, subject, reason in (*often.events(mixed), *often.events(own)) if reason == "MixedNamespace"]
    assert told == ["capture"]


def test_the_controller_of_a_load_balancer_beside_its_speaker_is_a_note(often: World) -> None:
    """As its chart ships both, the controller causes no warning; another workload in the namespace does."""
    often.operator.start()
    name = often.namespace()
    apps = f"/apis/apps/v1/namespaces/{name}"
    for kind, role in (("deployments", "controller"), ("daemonsets", "speaker")):
        marks = {"app": "metallb", "component": role}
        spec = {"containers": [{"name": "main", "image": IMAGE}], "hostNetwork": role == "speaker"}
        template = {"metadata": {"labels": marks}, "spec": spec}
        body = {"metadata": {"name": role}, "spec": {"selector": {"matchLabels": marks}, "template": template}}
        if role == "speaker":
            often.exception(name, type="Infrastructure", ticket=None, expiry=None, serviceAccountName="default")
            often.until("it is in force", lambda: often.ready(name) == "Active")
            _listed_again(often)
        often.admin.post(f"{apps}/{kind}", body).expect(201)
    text = "2 pods; the ordinary pods in the namespace are of the same release by their labels (app=metallb): "
    often.until("it is noted", lambda: text in often.condition(name, kind="InUse").get("message", ""), 60)
    finding = f'finding="MixedNamespace",name="capture",namespace="{name}"'
    assert finding not in often.operator.metrics()
    assert "MixedNamespace" not in [reason for _, _, reason in often.events(name)]

    _plain(often, name, "web")
    often.until("it is counted", lambda: finding in often.operator.metrics())
    shown = "; ordinary pods run in the namespace of the exception: a user who may create pods there"
    often.until("it is shown", lambda: shown in often.condition(name, kind="InUse")["message"])
    often.until("it is told", lambda: "MixedNamespace" in [reason for _, _, reason in often.events(name)])


def test_ordinary_pods_in_a_namespace_that_was_not_looked_through_are_not_known(unattended: World) -> None:
    """The next list may be an hour away; after that list, or after a restart, the exception reports the pods."""
    name = unattended.namespace()
    _plain(unattended, name, "web")
    unattended.granted_pod(name)
    assert unattended.condition(name, kind="InUse")["message"] == "the exception covers 1 pod"
    unattended.operator.stop()
    unattended.operator.start()
    message = "the exception covers 1 pod; ordinary pods run in the namespace of the exception"
    unattended.until("it is shown", lambda: unattended.condition(name, kind="InUse")["message"].startswith(message))


def test_ordinary_pods_leave_no_trace(often: World) -> None:
    """The operator reads and drops ordinary pods: no label, no Event, no series, no write."""
    often.operator.start()
    name = often.namespace()
    often.pod(name, "plain", hostNetwork=False, containers=[{"name": "main", "image": IMAGE}]).expect(201)
    later = often.now() + datetime.timedelta(seconds=4)
    often.holds_until(later, "nothing is told", lambda: not [e for e in often.events(name) if e[0] == "Pod"])
    assert often.verdict(name, "plain") is None
    assert f'hostnetwork_pods{{namespace="{name}",verdict="Uncovered"}} 0.0' in often.operator.metrics()
