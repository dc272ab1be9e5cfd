"""A workload whose pods are refused for their host namespaces is reported where users look, with the remedy."""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tests.controlplane import operator
from tests.e2e import conftest
from tests.e2e.conftest import IMAGE, LABEL, World
from tests.e2e.test_reports import FILES, OPEN, reports_by_owner, results
from tests.e2e.threats.conftest import tenant, workload, workloads

REFUSED, WAITING = "HostNamespacesRefused", "ControllerWaiting"
POLICY = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"
WAIT_SECONDS = 2
KINDS = ("DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet")


@pytest.fixture(scope="module")
def separate_world() -> Iterator[World]:
    """A separate cluster that serves reports, with an operator that waits two seconds for a controller."""
    with conftest.enforced(HOSTNETWORK_CONTROLLER_WAIT_SECONDS=str(WAIT_SECONDS)) as world:
        operator.apply(world.cluster, "-f", str(FILES[OPEN]))
        yield world


@pytest.fixture
def world(separate_world: World) -> World:
    """The cluster of `separate_world` with the operator running."""
    if not separate_world.operator.running():
        separate_world.operator.start()
    return separate_world


def create(world: World, namespace: str, kind: str = "DaemonSet", name: str = "agent", **spec: Any) -> dict[str, Any]:
    """Create a workload whose pods share the node's network, and return it as the API server has it."""
    body = workload(kind, name, **{"hostNetwork": True, **spec})
    return dict(world.admin.post(workloads(namespace, kind), body).expect(201).body)


def events_of(world: World, namespace: str, reason: str = REFUSED) -> list[dict[str, Any]]:
    """Return the operator's Events with this reason."""
    events = world.admin.items(f"/api/v1/namespaces/{namespace}/events?fieldSelector=reason%3D{reason}")
    return [event for event in events if event["source"].get("component") == "hostnetwork-operator"]


def refused_count(world: World, namespace: str = '[^"]*') -> float:
    """Return hostnetwork_refused_workloads of a namespace, by default of all namespaces; -1 if it has no series."""
    pattern = rf'^hostnetwork_refused_workloads{{namespace="{namespace}"}} (\S+)$'
    samples = re.findall(pattern, world.operator.metrics(), re.MULTILINE)
    return sum(map(float, samples)) if samples else -1


def total(world: World) -> int:
    """Return the policy's count of refused workloads in the whole cluster."""
    return int(world.admin.get(POLICY).expect(200).body["status"]["workloads"]["refused"])


def claim(
    namespace: str, subject: dict[str, Any], event: str = "claim", message: str = "forbidden", **involved: Any
) -> dict[str, Any]:
    """Return an Event about an object, as controllers emit it."""
    meta = subject["metadata"]
    involved_object = {key: subject[key] for key in ("apiVersion", "kind")} | {"name": meta["name"], "uid": meta["uid"]}
    return {
        "metadata": {"name": event, "namespace": namespace},
        "involvedObject": {**involved_object, "namespace": namespace, **involved},
        "reason": "FailedCreate",
        "type": "Warning",
        "message": message,
        "source": {"component": "daemonset-controller"},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_workload_gets_an_event_with_the_remedy(world: World, kind: str) -> None:
    """The Event is on the workload that users describe; it names what the pods use and what to request."""
    namespace = world.namespace()
    subject = create(world, namespace, kind)
    world.until("the Event", lambda: events_of(world, namespace))
    (event,) = events_of(world, namespace)
    involved_object = event["involvedObject"]
    assert (involved_object["kind"], involved_object["name"], involved_object["uid"]) == (
        kind,
        "agent",
        subject["metadata"]["uid"],
    )
    assert involved_object["apiVersion"] == subject["apiVersion"]
    for text in ("Network", "the namespace has no HostNetworkException", "serviceAccountName: default", IMAGE):
        assert text in event["message"]
    description = world.cluster.kubectl("describe", kind.lower(), "agent", "-n", namespace).stdout
    assert REFUSED in description
    world.until("the metric", lambda: refused_count(world, namespace) == 1)
    world.until("the report", lambda: (kind, "agent") in reports_by_owner(world, namespace, OPEN))
    assert results(reports_by_owner(world, namespace, OPEN)[kind, "agent"]) == {"RefusedWorkload": "fail"}


def test_the_event_names_the_nearest_exception_and_what_it_lacks(world: World) -> None:
    """If an exception nearly covers the pods, the Event names the exception and the missing field."""
    namespace = world.namespace()
    world.exception(namespace, "nearly", images=["registry.example.com/other:1"]).expect(201)
    world.until("in force", lambda: world.ready(namespace, "nearly") == "Active")
    create(world, namespace)
    world.until("the Event", lambda: events_of(world, namespace))
    assert "Closest: 'nearly' (the pod uses images" in events_of(world, namespace)[0]["message"]


def test_an_exception_ends_the_refusal(world: World) -> None:
    """The policy's status, the metric and the report count a refused workload until its pods exist."""
    namespace = world.namespace()
    create(world, namespace)
    world.until("counted", lambda: refused_count(world, namespace) == 1)
    world.until("in the status", lambda: 0 < total(world) == refused_count(world))
    world.exception(namespace).expect(201)
    world.until("its pods", lambda: len(world.admin.items(world.pods(namespace))) == 2, 60)
    world.until("no longer counted", lambda: refused_count(world, namespace) == 0)
    world.until("no longer in the status", lambda: total(world) == refused_count(world))

    def report() -> dict[str, str]:
        return results(reports_by_owner(world, namespace, OPEN)["DaemonSet", "agent"])

    world.until("the report", lambda: report().get("HostNamespaces") == "pass" and "RefusedWorkload" not in report())


@pytest.mark.parametrize("end", ["scaled", "deleted"])
def test_a_workload_that_wants_no_pod_is_counted_no_longer(world: World, end: str) -> None:
    """The workload is scaled to zero, or deleted."""
    namespace = world.namespace()
    create(world, namespace, "StatefulSet")
    world.until("counted", lambda: refused_count(world, namespace) == 1)
    path = f"{workloads(namespace, 'StatefulSet')}/agent"
    if end == "scaled":
        world.admin.patch(path, {"spec": {"replicas": 0}}).expect(200)
    else:
        world.admin.delete(path).expect(200)
    world.until("no longer counted", lambda: refused_count(world, namespace) == 0, 60)


# After this number of refusals the controller waits 16 to 20 seconds.
@pytest.mark.parametrize(("kind", "refusals"), [("DaemonSet", 12), ("Job", 5), ("ReplicaSet", 12)])
def test_a_controller_that_waits_is_reported_with_what_wakes_it(world: World, kind: str, refusals: int) -> None:
    """After an exception is granted the Event names a command, and with the command the pods are created."""
    namespace = world.namespace()
    create(world, namespace, kind)
    world.until("the Event", lambda: events_of(world, namespace))
    world.until("long pauses", lambda: attempts(world, namespace) >= refusals, 90)
    world.exception(namespace).expect(201)
    world.until("the Event about it", lambda: events_of(world, namespace, WAITING))
    assert world.admin.items(world.pods(namespace)) == []
    message = events_of(world, namespace, WAITING)[0]["message"]
    command = re.search(r"kubectl ([^;]*);", message)
    assert command is not None
    arguments = shlex.split(command[1].replace("$(date +%s)", "1"))
    completed = world.cluster.kubectl(*arguments)
    assert completed.returncode == 0, completed.stderr
    world.until("its pods", lambda: world.admin.items(world.pods(namespace)), 5)
    world.until("counted no longer", lambda: refused_count(world, namespace) == 0)


def attempts(world: World, namespace: str) -> int:
    """Return how many pods were refused in the namespace, from the audit log."""
    path = world.pods(namespace)
    creates = (
        e for e in world.cluster.audit_events() if e["verb"] == "create" and e["requestURI"].split("?")[0] == path
    )
    return sum(e.get("responseStatus", {}).get("code") == 403 for e in creates)


def test_a_restart_counts_again_and_repeats_no_event(world: World) -> None:
    """The operator finds earlier refusals by their Events, reports them once, and writes no report again."""
    namespace = world.namespace()
    create(world, namespace)
    world.until("the Event", lambda: events_of(world, namespace))
    world.until("the report", lambda: ("DaemonSet", "agent") in reports_by_owner(world, namespace, OPEN))
    world.operator.stop()
    since = world.request_count()
    world.operator.start()
    world.until("counted again", lambda: refused_count(world, namespace) == 1)
    new_events = list(world.cluster.audit_events())[since:]
    report_events = [e for e in new_events if f"/namespaces/{namespace}/reports" in e["requestURI"]]
    assert [e["verb"] for e in report_events if e["verb"] not in {"get", "list", "watch"}] == []
    create(world, namespace, name="later")
    world.until("what comes later too", lambda: refused_count(world, namespace) == 2)
    names = sorted(event["involvedObject"]["name"] for event in events_of(world, namespace))
    assert names == ["agent", "later"]


def test_in_audit_nothing_is_refused(world: World) -> None:
    """Where enforcement is off, a FailedCreate Event about an uncovered workload has no effect."""
    rule = {"selector": {"matchLabels": {"kubernetes.io/metadata.name": "audited"}}, "mode": "Audit"}
    world.admin.patch(POLICY, {"spec": {"rules": [rule]}}).expect(200)
    world.admin.post("/api/v1/namespaces", {"metadata": {"name": "audited"}}).expect(201)
    world.until("Audit", lambda: world.labels("audited").get(f"{LABEL}/enforcement") == "Audit")
    subject = create(world, "audited", "StatefulSet")
    world.admin.post("/api/v1/namespaces/audited/events", claim("audited", subject)).expect(201)
    _wait_for_later_refusal(world)
    assert events_of(world, "audited") == []
    assert refused_count(world, "audited") == -1


def _wait_for_later_refusal(world: World) -> None:
    """Wait until the operator reports a later refusal, of another workload."""
    namespace = world.namespace()
    create(world, namespace)
    world.until("a later refusal is reported", lambda: events_of(world, namespace))


def _covered_daemon_set(world: World) -> tuple[str, dict[str, Any]]:
    """Return a namespace and a covered DaemonSet that has its pods, and whose controller has reported that."""
    namespace = world.namespace()
    world.exception(namespace).expect(201)
    world.until("in force", lambda: world.pod(namespace, dry_run=True).status == 201)
    create(world, namespace)
    world.until("its pods", lambda: world.status(namespace).get("coveredPods") == 2)
    path = f"{workloads(namespace, 'DaemonSet')}/agent"
    world.until("its status", lambda: world.admin.get(path).body["status"]["currentNumberScheduled"] == 2)
    return namespace, dict(world.admin.get(path).expect(200).body)


def _uncovered_daemon_set(world: World) -> tuple[str, dict[str, Any]]:
    """Return the same after the exception is deleted: the workload has all its pods, and no exception."""
    namespace, subject = _covered_daemon_set(world)
    world.admin.delete(f"{world.exceptions(namespace)}/capture").expect(200)
    world.until("no grant", lambda: not world.grants(namespace))
    return namespace, subject


def _create_unmanaged_job(world: World, namespace: str) -> dict[str, Any]:
    """Create a Job that lacks its pod, shares host namespaces, and has no controller that could emit an Event."""
    body = workload("Job", "agent", hostNetwork=True)
    body["spec"]["managedBy"] = "example.com/nobody"
    return dict(world.admin.post(workloads(namespace, "Job"), body).expect(201).body)


def _false_event(world: World, kind: str) -> tuple[str, dict[str, Any]]:
    """Return a namespace, and a false Event for it."""
    namespace = world.namespace()
    match kind:
        case "all its pods":
            namespace, subject = _uncovered_daemon_set(world)
            return namespace, claim(namespace, subject)
        case "no host namespaces":
            return namespace, claim(namespace, create(world, namespace, "StatefulSet", hostNetwork=False))
        case "another namespace":
            return namespace, claim(namespace, _create_unmanaged_job(world, world.namespace()))
    subject = _create_unmanaged_job(world, namespace)
    changes = {
        "another uid": {"uid": "5f0c8f1e-0000-4000-8000-000000000001"},
        "another name": {"name": "other"},
        "a path": {"name": "../../../secrets/agent"},
        "another kind": {"kind": "StatefulSet", "apiVersion": "apps/v1"},
    }
    return namespace, claim(namespace, subject, **changes[kind])


@pytest.mark.parametrize(
    "kind",
    [
        *("another uid", "another name", "another kind", "another namespace", "a path"),
        *("all its pods", "no host namespaces"),
    ],
)
def test_a_false_event_counts_and_emits_nothing(world: World, kind: str) -> None:
    """A37: An Event about another object, or about a workload that lacks no pod or shares nothing, has no effect."""
    namespace, event = _false_event(world, kind)
    tenant(world, namespace).post(f"/api/v1/namespaces/{namespace}/events", event).expect(201)
    _wait_for_later_refusal(world)
    assert events_of(world, namespace) == []
    assert refused_count(world, namespace) == 0


def test_what_an_event_names_is_read_and_believed(world: World) -> None:
    """Whichever client emits the Event about a workload that lacks pods, the operator reports what is true of it."""
    namespace = world.namespace()
    subject = _create_unmanaged_job(world, namespace)
    event = claim(namespace, subject, message="give it privileged")
    tenant(world, namespace).post(f"/api/v1/namespaces/{namespace}/events", event).expect(201)
    world.until("the Event", lambda: events_of(world, namespace))
    assert "privileged" not in events_of(world, namespace)[0]["message"]
    assert refused_count(world, namespace) == 1


def test_without_the_right_to_watch_events_all_else_goes_on(world: World) -> None:
    """With the ClusterRole of the release before, the operator flags pods, and the log says what is missing."""
    role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/hostnetwork-operator"
    rules = world.admin.get(role).expect(200).body["rules"]
    older_rules = [{**rule, "verbs": ["create", "get"]} if rule["resources"] == ["events"] else rule for rule in rules]
    world.operator.stop()  # the pod has to exist before the namespace can be enforced
    namespace = world.namespace(deny=False, old=True)
    world.pod(namespace).expect(201)
    world.admin.patch(role, {"rules": older_rules}).expect(200)
    try:
        world.operator.start()
        world.until("flagged", lambda: world.verdict(namespace, "capture") == "Uncovered")
        world.pod(namespace, "later").expect(201)
        world.until("by the watch too", lambda: world.verdict(namespace, "later") == "Uncovered", 5)
        world.until("the log says so", lambda: "refusals-not-listed" in world.operator.log.read_text(), 60)
    finally:
        world.admin.patch(role, {"rules": rules}).expect(200)
    world.operator.stop()
    world.operator.start()
    _wait_for_later_refusal(world)


def test_a_flood_of_false_events_is_bounded(world: World) -> None:
    """A37: Few of hundreds of false Events lead to a read, and a workload of another namespace is reported."""
    namespace = world.namespace()
    client = tenant(world, namespace)
    subject = create(world, namespace, "StatefulSet", hostNetwork=False, nodeSelector={"no": "where"})
    since = world.request_count()
    for number in range(300):
        body = claim(namespace, subject, f"flood-{number}", name=f"false-{number}", uid=f"uid-{number}")
        client.post(f"/api/v1/namespaces/{namespace}/events", body).expect(201)
    _wait_for_later_refusal(world)
    reads = [e for e in list(world.cluster.audit_events())[since:] if "/statefulsets/false-" in e["requestURI"]]
    assert len(reads) < 100
    world.until("the log says so", lambda: "refusal-events-dropped" in world.operator.log.read_text(), 90)
    lines = [json.loads(line) for line in world.operator.log.read_text().splitlines() if "events-dropped" in line]
    assert sum(line["events"] for line in lines) > 100
