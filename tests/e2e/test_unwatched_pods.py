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
def resyncing_world(unattended: World) -> Iterator[World]:
    """The cluster with an operator that lists all pods every second."""
    unattended.operator.stop()
    operator_before = unattended.operator
    unattended.operator = operator.OperatorProcess(
        unattended.cluster, name="operator-often", environment={"HOSTNETWORK_FULL_RESYNC_SECONDS": "1"}
    )
    try:
        yield unattended
    finally:
        unattended.operator.stop()
        unattended.operator = operator_before
        operator_before.start()


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
    world.until("it is gone", lambda: world.is_deleted(name))
    world.until("the level is restored", lambda: world.labels(name)[PSA] == "baseline")
    world.until("it is cleaned up", lambda: world.condition(name, kind="CleanedUp").get("status") == "True")
    assert ("HostNetworkException", "capture", "ExpiredPodDeleted") in world.events(name)
    deletes = [e for e in world.writes() if e["verb"] == "delete" and e["objectRef"].get("namespace") == name]
    assert len(deletes) == 1
    assert set(deletes[0]["requestObject"]["preconditions"]) == {"uid"}


def test_they_come_and_go_by_lists_of_all_pods(resyncing_world: World) -> None:
    """A pod that an exception covers counts as covered until it is deleted."""
    resyncing_world.operator.start()
    name = resyncing_world.namespace()
    resyncing_world.exception(name, hostNamespaces=["PID"]).expect(201)
    resyncing_world.until("it is admitted", lambda: _pid(resyncing_world, name) == 201)
    resyncing_world.until("it is covered", lambda: resyncing_world.status(name).get("coveredPods") == 1)
    assert resyncing_world.condition(name, kind="InUse")["status"] == "True"
    assert resyncing_world.verdict(name, "capture") is None
    resyncing_world.admin.delete(f"{resyncing_world.pods(name)}/capture", {"gracePeriodSeconds": 0}).expect(200)
    resyncing_world.until("it is forgotten", lambda: resyncing_world.status(name).get("coveredPods") == 0)


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
    end = unattended.now() + datetime.timedelta(seconds=61)
    unattended.holds_until(end, "nothing tells", lambda: unattended.status(name).get("coveredPods") == 1)
    unattended.admin.delete(f"{unattended.exceptions(name)}/capture").expect(200)
    sample = f'hostnetwork_pods{{namespace="{name}",verdict="Uncovered"}} 0.0'
    unattended.until("it is forgotten", lambda: sample in unattended.operator.metrics())
    assert not [event for event in unattended.events(name) if event[0] == "Pod"]
    assert "reconcile-failed" not in unattended.operator.log.read_text().rpartition('"event": "starting"')[2]


def test_nothing_is_judged_before_every_pod_was_listed(unattended: World) -> None:
    """While the list of all pods fails, the operator is not ready and says which list; then it starts to work."""
    unattended.operator.stop()
    ca = str(unattended.cluster.authority.certificate_path)
    with proxy.Proxy(unattended.cluster.url, ca) as connection:
        connection.refused = lambda _, path: 403 if path.startswith("/api/v1/pods?limit") else 0
        process = operator.OperatorProcess(unattended.cluster, name="operator-unlisted", server=connection.url)
        process.start(ready=False)
        unattended.until("it says so", lambda: '"kind": "pods-all"' in process.log.read_text())
        assert process.probe("/readyz") == 503
        connection.refused = lambda _method, _path: 0
        unattended.until("it is ready", lambda: process.probe("/readyz") == 200)
        process.stop()


def test_a_pod_whose_farewell_was_lost_is_forgotten(unattended: World) -> None:
    """If every watch of pods is refused, the lists by the field selector show that the pod is gone."""
    name = unattended.namespace()
    unattended.granted_pod(name)
    unattended.operator.stop()
    ca = str(unattended.cluster.authority.certificate_path)
    with proxy.Proxy(unattended.cluster.url, ca) as connection:
        connection.refused = lambda _, path: 500 if "/pods?" in path and "watch=true" in path else 0
        process = operator.OperatorProcess(
            unattended.cluster,
            name="operator-unwatching",
            server=connection.url,
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


def _wait_for_lists(world: World) -> None:
    """Wait until the operator has begun more lists of all pods, so that at least one is complete."""

    def lists() -> int:
        events = [e for e in world.cluster.audit_events() if e["verb"] == "list" and e["user"]["username"] == OPERATOR]
        return sum(e["requestURI"].startswith("/api/v1/pods?limit") for e in events)

    count_before = lists()
    world.until("all pods were listed again", lambda: lists() >= count_before + 3)


def test_ordinary_pods_beside_excepted_ones_are_a_finding(resyncing_world: World) -> None:
    """InUse and the metrics show the finding as long as ordinary pods run, and one Event reports it.

    More ordinary pods cause no write. If the exception's pods are alone, there is no finding.
    """
    resyncing_world.operator.start()
    mixed, alone = resyncing_world.namespace(), resyncing_world.namespace()
    for name in (mixed, alone):
        resyncing_world.granted_pod(name)
    _plain(resyncing_world, mixed, "web")
    text = "the exception covers 1 pod; ordinary pods run in the namespace of the exception: a user who may create pods"
    resyncing_world.until(
        "it is shown", lambda: resyncing_world.condition(mixed, kind="InUse")["message"].startswith(text)
    )
    finding = f'finding="MixedNamespace",name="capture",namespace="{mixed}"'
    resyncing_world.until("it is counted", lambda: finding in resyncing_world.operator.metrics())
    remedy = resyncing_world.condition(mixed, kind="InUse")["message"].rpartition(": kubectl ")[2]
    assert "web " in resyncing_world.cluster.kubectl(*shlex.split(remedy)).stdout

    count_before = len(resyncing_world.writes())
    _plain(resyncing_world, mixed, "web-2", "web-3")
    _wait_for_lists(resyncing_world)
    assert {e["objectRef"].get("namespace") for e in resyncing_world.writes()[count_before:]}.isdisjoint({mixed, alone})
    assert resyncing_world.condition(alone, kind="InUse")["message"] == "the exception covers 1 pod"
    assert f'finding="MixedNamespace",name="capture",namespace="{alone}"' not in resyncing_world.operator.metrics()

    for name in ("web", "web-2", "web-3"):
        resyncing_world.admin.delete(f"{resyncing_world.pods(mixed)}/{name}", {"gracePeriodSeconds": 0}).expect(200)
    resyncing_world.until(
        "it is alone", lambda: resyncing_world.condition(mixed, kind="InUse")["message"] == "the exception covers 1 pod"
    )
    subjects = [
        subject
        for _, subject, reason in (*resyncing_world.events(mixed), *resyncing_world.events(alone))
        if reason == "MixedNamespace"
    ]
    assert subjects == ["capture"]


def test_the_controller_of_a_load_balancer_beside_its_speaker_is_a_note(resyncing_world: World) -> None:
    """As its chart ships both, the controller causes no warning; another workload in the namespace does."""
    resyncing_world.operator.start()
    name = resyncing_world.namespace()
    base = f"/apis/apps/v1/namespaces/{name}"
    for kind, role in (("deployments", "controller"), ("daemonsets", "speaker")):
        pod_labels = {"app": "metallb", "component": role}
        spec = {"containers": [{"name": "main", "image": IMAGE}], "hostNetwork": role == "speaker"}
        template = {"metadata": {"labels": pod_labels}, "spec": spec}
        body = {"metadata": {"name": role}, "spec": {"selector": {"matchLabels": pod_labels}, "template": template}}
        if role == "speaker":
            resyncing_world.exception(
                name, type="Infrastructure", ticket=None, expiry=None, serviceAccountName="default"
            )
            resyncing_world.until("it is in force", lambda: resyncing_world.ready(name) == "Active")
            _wait_for_lists(resyncing_world)
        resyncing_world.admin.post(f"{base}/{kind}", body).expect(201)
    text = "2 pods; the ordinary pods in the namespace are of the same release by their labels (app=metallb): "
    resyncing_world.until(
        "it is noted", lambda: text in resyncing_world.condition(name, kind="InUse").get("message", ""), 60
    )
    finding = f'finding="MixedNamespace",name="capture",namespace="{name}"'
    assert finding not in resyncing_world.operator.metrics()
    assert "MixedNamespace" not in [reason for _, _, reason in resyncing_world.events(name)]

    _plain(resyncing_world, name, "web")
    resyncing_world.until("it is counted", lambda: finding in resyncing_world.operator.metrics())
    expected_text = "; ordinary pods run in the namespace of the exception: a user who may create pods there"
    resyncing_world.until(
        "it is shown", lambda: expected_text in resyncing_world.condition(name, kind="InUse")["message"]
    )
    resyncing_world.until(
        "it is told", lambda: "MixedNamespace" in [reason for _, _, reason in resyncing_world.events(name)]
    )


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


def test_ordinary_pods_leave_no_trace(resyncing_world: World) -> None:
    """The operator reads and drops ordinary pods: no label, no Event, no series, no write."""
    resyncing_world.operator.start()
    name = resyncing_world.namespace()
    resyncing_world.pod(name, "plain", hostNetwork=False, containers=[{"name": "main", "image": IMAGE}]).expect(201)
    end = resyncing_world.now() + datetime.timedelta(seconds=4)
    resyncing_world.holds_until(
        end, "nothing is told", lambda: not [e for e in resyncing_world.events(name) if e[0] == "Pod"]
    )
    assert resyncing_world.verdict(name, "plain") is None
    assert f'hostnetwork_pods{{namespace="{name}",verdict="Uncovered"}} 0.0' in resyncing_world.operator.metrics()
