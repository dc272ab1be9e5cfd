"""Ways to use the operator against others, to outlast it, and to remove what it rests on (T7 to T9, T12 to T22)."""

import contextlib
import datetime
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from hostnetwork_operator.act import events
from hostnetwork_operator.decide import effects, snapshot
from tests.controlplane import api
from tests.e2e.conftest import LABEL, OPERATOR, PSA, World
from tests.e2e.threats.conftest import (
    POD_GUARDS,
    container,
    deletions,
    host_pods,
    kubelet,
    lift,
    messages_of,
    operator_client,
    pod,
    refused,
    tenant,
    workload,
    workloads,
    writes,
)

MIRROR = {"kubernetes.io/config.mirror": "abc", "kubernetes.io/config.source": "file"}
ADMISSION = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
WEAKER_POLICIES = (
    "host-namespaces",
    "relaxed-namespace",
    "relaxed-namespace-restricted",
    "exception-writers",
    "namespace-labels",
)


def _stays(world: World, path: str) -> bool:
    answer = world.admin.get(path)
    return answer.status == 200 and "deletionTimestamp" not in answer.body["metadata"]


def _uid(world: World, path: str) -> str:
    return str(world.admin.get(path).expect(200).body["metadata"]["uid"])


def _seconds_from_now(world: World, seconds: float) -> datetime.datetime:
    return world.now() + datetime.timedelta(seconds=seconds)


# -- the wrong pod -----------------------------------------------------------------------------------------------------


def test_no_pod_is_deleted_in_place_of_another(world: World) -> None:
    """T7: The operator never deletes a pod that replaces an expired pod of the same name: each DELETE names a uid."""
    namespace = world.namespace()
    attacker = tenant(world, namespace)
    world.exception(namespace, seconds=7).expect(201)
    names = [f"race-{number}" for number in range(8)]
    spec = {"hostNetwork": True, "terminationGracePeriodSeconds": 0}
    dry_run_path = f"{world.pods(namespace)}?dryRun=All"
    world.until("in force", lambda: attacker.post(dry_run_path, pod(**spec)).status == 201)
    for name in names:
        attacker.post(world.pods(namespace), pod(name, **spec)).expect(201)
    expired_uids = {_uid(world, f"{world.pods(namespace)}/{name}") for name in names}
    expiry = world.admin.get(f"{world.exceptions(namespace)}/capture").body["spec"]["expiry"]
    stop = threading.Event()

    def replace(name: str) -> None:
        while not stop.is_set():
            attacker.delete(f"{world.pods(namespace)}/{name}", {"gracePeriodSeconds": 0})
            attacker.post(world.pods(namespace), pod(name, terminationGracePeriodSeconds=0))

    world.holds_until(datetime.datetime.fromisoformat(expiry) - datetime.timedelta(seconds=1), "the pods", lambda: True)
    threads = [threading.Thread(target=replace, args=(name,)) for name in names[:4]]
    for thread in threads:
        thread.start()
    try:
        world.until("the others are deleted", lambda: host_pods(world, namespace) == [])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    pod_deletions = deletions(world, namespace)
    assert len(pod_deletions) >= 4
    for event in pod_deletions:
        assert event["requestObject"]["preconditions"]["uid"] in expired_uids, event
    for name in names[:4]:  # the last replaced pod may still be terminating
        path = f"{world.pods(namespace)}/{name}"
        world.until(
            f"another {name}",
            lambda path=path, name=name: (
                attacker.post(world.pods(namespace), pod(name)).status in {201, 409} and _stays(world, path)
            ),
        )
        assert _uid(world, path) not in expired_uids


def test_the_operator_is_nobodys_weapon(world: World) -> None:
    """T8, CVE-2026-22039: No mark that a tenant can set makes the operator delete a pod or owner that did not expire.

    The operator also requests nothing from the API server that a tenant has named.
    """
    namespace = world.namespace()
    attacker, pods = tenant(world, namespace), world.pods(namespace)
    lift(world, namespace, "agents", "agent")
    for name, account, kind in (("capture", "default", "Diagnostic"), ("both", "app", "Application")):
        world.admin.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": account}})
        world.exception(namespace, name, seconds=20, type=kind, serviceAccountName=account).expect(201)
    world.exception(namespace, "and-diagnostic", seconds=20, serviceAccountName="app").expect(201)
    world.until("all in force", lambda: len(world.grants(namespace)) == 4)
    job = attacker.post(workloads(namespace, "Job"), workload("Job", "victim")).expect(201).body
    marks = {"app.kubernetes.io/managed-by": "kubectl-debug", f"{LABEL}/verdict": "Expired"}
    victims = {
        "node-debugger-node-1-abcde": {},
        "agent": {"hostNetwork": True, "serviceAccountName": "agent"},
        "app": {"hostNetwork": True, "serviceAccountName": "app"},
    }
    for name, spec in victims.items():
        body = pod(name, **spec)
        body["metadata"]["labels"] = marks
        world.until(f"{name} is admitted", lambda body=body: attacker.post(pods, body).status in {201, 409})
    node = {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": _uid(world, "/api/v1/nodes/node-1")}
    mirror = pod("mirror", hostNetwork=True, nodeName="node-1")
    mirror["metadata"] |= {"annotations": MIRROR, "labels": marks, "ownerReferences": [{**node, "controller": True}]}
    kubelet(world).post(pods, mirror).expect(201)
    bait = pod("bait", hostNetwork=True)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "victim", "uid": job["metadata"]["uid"]}
    bait["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
    world.until("the bait is taken", lambda: attacker.post(pods, bait).status in {201, 409})
    elsewhere = pod("elsewhere", hostNetwork=True)
    foreign = {"apiVersion": "v1", "kind": "Secret", "name": "../../kube-system/secrets/x", "uid": "1"}
    elsewhere["metadata"]["ownerReferences"] = [{**foreign, "controller": True}]
    attacker.post(pods, elsewhere).expect(201)
    world.until("the bait has ended", lambda: world.is_deleted(namespace, "bait"))
    alive = [*victims, "mirror"]
    world.holds_until(
        _seconds_from_now(world, 2),
        "the victims live",
        lambda: not [name for name in alive if world.is_deleted(namespace, name)],
    )
    world.admin.get(f"{workloads(namespace, 'Job')}/victim").expect(200)
    assert world.verdict(namespace, "app") == "Expired"
    world.until("a false label on a covered pod is corrected", lambda: world.verdict(namespace, "agent") is None)
    requested = {
        (event["objectRef"].get("resource"), event["objectRef"].get("subresource"))
        for event in world.cluster.audit_events()
        if event["user"]["username"] == OPERATOR and "objectRef" in event and event["userAgent"] != api.USER_AGENT
    }
    allowed = {("pods", None), ("pods", "status"), ("namespaces", None), ("events", None), ("jobs", None)}
    allowed |= {(f"hostnetworkexception{suffix}", sub) for suffix in ("s", "policies") for sub in (None, "status")}
    allowed |= {(f"validatingadmissionpolic{suffix}", None) for suffix in ("ies", "ybindings")}
    allowed |= {(kind, None) for kind in ("reports", "policyreports")}
    # The gate reads these kinds, all except ReplicaSets in namespaces and never by a name that a user gives.
    allowed |= {(f"{kind}s", None) for kind in ("daemonset", "replicaset", "deployment", "statefulset", "cronjob")}
    allowed |= {("replicationcontrollers", None), ("configmaps", None)}  # ConfigMaps by their own names: the ledger
    allowed |= {("endpointslices", None)}  # one object in namespace default, which the API servers write
    allowed |= {("serviceaccounts", None)}  # by the name in an approved exception, in the namespace of the exception
    assert requested <= allowed


def test_a_forged_owner_takes_no_job(world: World) -> None:
    """T8: Pods that claim a Job by a forged reference are deleted, and no Job that would have stayed goes with them."""
    namespace = world.namespace()
    attacker, jobs = tenant(world, namespace), workloads(namespace, "Job")
    lift(world, namespace, "agents", "agent")
    world.exception(namespace, seconds=15).expect(201)
    world.until("both in force", lambda: len(world.grants(namespace)) == 2)
    uids = {}
    for name, spec in (("plain", {}), ("covered", {"hostNetwork": True, "serviceAccountName": "agent"})):
        body = workload("Job", name, **spec)
        body["spec"]["managedBy"] = "example.com/nobody"  # or the Job controller releases pods that are not its own
        uids[name] = attacker.post(jobs, body).expect(201).body["metadata"]["uid"]
    elsewhere = world.namespace()
    body = workload("Job", "elsewhere", hostNetwork=True)
    body["spec"]["managedBy"] = "example.com/nobody"
    uids["elsewhere"] = world.admin.post(workloads(elsewhere, "Job"), body).expect(201).body["metadata"]["uid"]
    claims = {
        "plain": ("plain", uids["plain"]),
        "covered": ("covered", uids["covered"]),
        "another": ("plain", uids["covered"]),
        "path": (f"../../{elsewhere}/jobs/elsewhere", uids["elsewhere"]),
        "query": ("plain?propagationPolicy=Orphan", uids["plain"]),
        "dots": ("..", uids["plain"]),
    }
    for name, (job, uid) in claims.items():
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid, "controller": True}
        bait = pod(name, hostNetwork=True, nodeSelector={"example.com/no-such-node": "true"})
        label = {"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": "x"}
        bait["metadata"] |= {"ownerReferences": [owner], "labels": label}
        world.until(
            f"{name} is admitted", lambda bait=bait: attacker.post(world.pods(namespace), bait).status in {201, 409}
        )
    world.until("they have ended", lambda: host_pods(world, namespace) == [])
    world.until("it is recorded", lambda: world.ready(namespace) == "Expired")
    for name in ("plain", "covered"):
        assert uids[name] == _uid(world, f"{jobs}/{name}")
    assert uids["elsewhere"] == _uid(world, f"{workloads(elsewhere, 'Job')}/elsewhere")
    requested_uris = {
        event["requestURI"]
        for event in world.cluster.audit_events()
        if event["user"]["username"] == OPERATOR and "/jobs" in event["requestURI"] and namespace in event["requestURI"]
    }
    # The gate lists Jobs if a namespace is not created enforced.
    assert {f"{jobs}/plain", f"{jobs}/covered"} == {uri for uri in requested_uris if "?limit=" not in uri}
    assert not [
        event
        for event in world.writes()
        if event["verb"] == "delete"
        and event["objectRef"]["resource"] == "jobs"
        and event["objectRef"]["namespace"] in {namespace, elsewhere}
    ]


def test_a_flag_does_not_come_off(world: World) -> None:
    """T9: No write of its labels takes an uncovered pod's verdict away, in label or metric."""
    namespace = world.namespace()
    world.granted_pod(namespace)
    lift(world, namespace, "agents", "agent")
    world.admin.delete(f"{world.exceptions(namespace)}/capture").expect(200)
    world.until("it is flagged", lambda: world.verdict(namespace, "capture") == "Uncovered")
    attacker, path = tenant(world, namespace), f"{world.pods(namespace)}/capture"
    key = f"{LABEL}/verdict"
    for subresource in ("", "/status", "/resize", "/ephemeralcontainers"):
        for value in ("Covered", None):
            current = world.admin.get(path).body
            for method, _ in writes(attacker, path + subresource, current, ("metadata", "labels", key), value):
                world.until(
                    f"flagged again after {method} {subresource}",
                    lambda: world.verdict(namespace, "capture") == "Uncovered",
                )
    assert f'hostnetwork_pods{{namespace="{namespace}",verdict="Uncovered"}} 1.0' in world.operator.metrics()
    # The service account of an exception in force cannot be put into a pod afterwards.
    patch = [{"op": "replace", "path": "/spec/serviceAccountName", "value": "agent"}]
    refused(attacker.patch(path, patch, api.JSON_PATCH), "validation")


def test_a_finished_pod_is_not_forgotten(world: World) -> None:
    """T9: A pod whose status a tenant writes as Succeeded is judged and deleted like any other pod."""
    namespace = world.namespace()
    world.granted_pod(namespace, seconds=5)
    patch = {"status": {"phase": "Succeeded"}}
    tenant(world, namespace).patch(f"{world.pods(namespace)}/capture/status", patch).expect(200)
    world.until("it is deleted", lambda: world.is_deleted(namespace))


# -- nodes -------------------------------------------------------------------------------------------------------------


def test_a_kubelet_makes_mirror_pods_and_no_other(world: World, enforced: str, relaxed: str) -> None:
    """T12, CVE-2025-4563: A node creates mirrors of its static pods, which are flagged and stay, and no other pod."""
    node = kubelet(world)
    pods = world.pods(relaxed)
    owner = {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": _uid(world, "/api/v1/nodes/node-1")}
    mirror = pod("static-node-1", hostNetwork=True, nodeName="node-1")
    mirror["metadata"] |= {"annotations": MIRROR, "ownerReferences": [{**owner, "controller": True}]}
    plain = pod("plain-node-1", hostNetwork=True, nodeName="node-1")
    refused(node.post(pods, plain), ("node",))
    refused(kubelet(world, "node-2").post(pods, mirror), ("node",))
    refused(node.post(world.pods(enforced), mirror), "PSA")  # where PSA refuses, no static pod is visible
    node.post(pods, mirror).expect(201)
    world.until("it is shown", lambda: world.verdict(relaxed, "static-node-1") == "Static")
    line = f'hostnetwork_pods{{namespace="{relaxed}",verdict="Static"}}'
    world.until("it is counted", lambda: f"{line} 1.0" in world.operator.metrics())
    node.delete(f"{pods}/static-node-1", {"gracePeriodSeconds": 0}).expect(200)


def test_a_kubelet_writes_status_and_nothing_of_ours(world: World) -> None:
    """T12, honest: A kubelet writes a pod's status before and after its expiry, but no label, level or exception."""
    namespace = world.namespace()
    world.exception(namespace, seconds=6, onExpiry="Report").expect(201)
    body = pod("capture", hostNetwork=True, nodeName="node-1")
    world.until("admitted", lambda: world.admin.post(world.pods(namespace), body).status in {201, 409})
    node, path = kubelet(world), f"{world.pods(namespace)}/capture/status"
    status_patch = {"status": {"message": "before"}}
    node.patch(path, status_patch, api.STRATEGIC).expect(200)
    world.until("it has ended", lambda: world.verdict(namespace, "capture") == "Expired")
    node.patch(path, {"status": {"message": "after"}}, api.STRATEGIC).expect(200)
    label_patch = {"metadata": {"labels": {f"{LABEL}/verdict": None}}}
    refused(node.patch(path, label_patch, api.STRATEGIC), ("node",))
    refused(node.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {PSA: "privileged"}}}), "RBAC")
    refused(node.patch(f"{world.exceptions(namespace)}/capture/status", {"status": {}}), "RBAC")


# -- pods that will not go ---------------------------------------------------------------------------------------------


def test_a_pod_that_will_not_go_is_asked_once_and_in_time(world: World) -> None:
    """T14: Finalizers, an endless grace period and scheduling gates do not delay the operator's one DELETE.

    The DELETE has the grace period of the exception. A tenant may remove the finalizer, and then the pod is gone.
    """
    namespace = world.namespace()
    attacker, pods = tenant(world, namespace), world.pods(namespace)
    world.exception(namespace, seconds=7, gracePeriodSeconds=1).expect(201)
    body = pod("stubborn", hostNetwork=True, terminationGracePeriodSeconds=10**9)
    body["metadata"]["finalizers"] = ["example.com/never"]
    gated = pod("gated", hostNetwork=True, terminationGracePeriodSeconds=10**9, schedulingGates=[{"name": "a.b/c"}])
    gated["metadata"]["finalizers"] = ["example.com/never"]
    world.until("in force", lambda: attacker.post(pods, body).status in {201, 409})
    attacker.post(pods, gated).expect(201)

    def pod_metadata(name: str) -> dict[str, Any]:
        metadata: dict[str, Any] = world.admin.get(f"{pods}/{name}").expect(200).body["metadata"]
        return metadata

    for name in ("stubborn", "gated"):
        world.until(f"{name} is asked to go", lambda name=name: "deletionTimestamp" in pod_metadata(name))
        assert pod_metadata(name)["deletionGracePeriodSeconds"] <= 1
        patch = {"metadata": {"finalizers": ["example.com/never", "example.com/more"]}}
        refused(attacker.patch(f"{pods}/{name}", patch), "validation")
    world.holds_until(_seconds_from_now(world, 2), "asked once", lambda: len(deletions(world, namespace)) == 2)
    assert world.condition(namespace, kind="CleanedUp").get("status") != "True"
    for name in ("stubborn", "gated"):
        attacker.patch(f"{pods}/{name}", {"metadata": {"finalizers": None}}).expect(200, 404)
        world.until(f"{name} is gone", lambda name=name: world.is_deleted(namespace, name))
    world.until("it says so", lambda: world.condition(namespace, kind="CleanedUp").get("status") == "True")


@pytest.mark.parametrize("how", ["plainly", "with a finalizer on the exception", "while the operator is away"])
def test_a_namespace_that_goes_keeps_no_pod_beyond_its_expiry(world: World, how: str) -> None:
    """A24: A tenant deletes the namespace of a pod with endless grace: the operator deletes the pod in time."""
    namespace = world.namespace()
    attacker, path = tenant(world, namespace), f"{world.pods(namespace)}/capture"
    world.exception(namespace, seconds=20, gracePeriodSeconds=1).expect(201)
    node = world.cluster.nodes[0]
    body = pod("capture", hostNetwork=True, terminationGracePeriodSeconds=10**9, nodeName=node)
    body["metadata"]["annotations"] = {"example.com/kubelet": "stuck"}  # or kwok gives no pod its grace period
    world.until("in force", lambda: attacker.post(world.pods(namespace), body).status in {201, 409})
    world.until("it is covered", lambda: world.status(namespace).get("coveredPods") == 1)
    exception = f"{world.exceptions(namespace)}/capture"
    expiry = datetime.datetime.fromisoformat(world.admin.get(exception).body["spec"]["expiry"])
    if how == "with a finalizer on the exception":
        attacker.patch(exception, {"metadata": {"finalizers": ["example.com/hold"]}}).expect(200)
    if how == "while the operator is away":
        world.operator.stop()
    attacker.delete(f"/api/v1/namespaces/{namespace}").expect(200)
    world.until("it is to go, some day", lambda: world.admin.get(path).body["metadata"].get("deletionTimestamp"))
    assert world.admin.get(path).body["metadata"]["deletionGracePeriodSeconds"] == 10**9
    if how == "while the operator is away":
        attacker.delete(exception).expect(200)
        world.operator.start()
    world.until("it is asked", lambda: deletions(world, namespace), 60)
    deleted_at = datetime.datetime.fromisoformat(deletions(world, namespace)[0]["requestReceivedTimestamp"])
    assert expiry <= deleted_at <= expiry + datetime.timedelta(seconds=5)
    assert world.admin.get(path).body["metadata"]["deletionGracePeriodSeconds"] <= 1
    world.admin.patch(exception, {"metadata": {"finalizers": None}}).expect(200, 404)
    world.admin.delete(path, {"gracePeriodSeconds": 0}).expect(200)


def test_a_controller_that_makes_pods_anew_makes_none(world: World) -> None:
    """T15: At the expiry each pod of a ReplicaSet is deleted once, its next is refused, and the operator is quiet."""
    namespace = world.namespace()
    world.exception(namespace, seconds=8, gracePeriodSeconds=0).expect(201)
    world.until("in force", lambda: world.pod(namespace, dry_run=True).status == 201)
    body = workload("ReplicaSet", "again", replicas=3, hostNetwork=True)
    tenant(world, namespace).post(workloads(namespace, "ReplicaSet"), body).expect(201)
    world.until("three pods", lambda: world.status(namespace).get("coveredPods") == 3)
    world.until("none left", lambda: host_pods(world, namespace) == [])
    marks = ("PodSecurity", *POD_GUARDS)
    world.until(
        "its owner says why",
        lambda: any(mark in messages_of(world, namespace, "ReplicaSet", "again") for mark in marks),
    )
    assert len({event["requestObject"]["preconditions"]["uid"] for event in deletions(world, namespace)}) == 3
    assert len(deletions(world, namespace)) == 3
    world.until("it says so", lambda: world.condition(namespace, kind="CleanedUp").get("status") == "True")
    count_before = len(_writes_in(world, namespace))
    world.holds_until(_seconds_from_now(world, 3), "no pod comes back", lambda: host_pods(world, namespace) == [])
    assert count_before == len(_writes_in(world, namespace))


def _writes_in(world: World, namespace: str) -> list[dict[str, Any]]:
    return [event for event in world.writes() if namespace in event["requestURI"]]


def test_a_war_over_the_verdict_is_paced(world: World) -> None:
    """A27: A tenant undoes the verdict label without pause: the operator writes it ten times immediately.

    Then the operator writes the label once per five seconds.
    """
    namespace = world.namespace()
    world.granted_pod(namespace, seconds=100)
    attacker, path = tenant(world, namespace), f"{world.pods(namespace)}/capture"
    patch = {"metadata": {"labels": {f"{LABEL}/verdict": "Uncovered"}}}

    def label_writes() -> int:
        return sum(event["requestURI"].startswith(f"{path}/status") for event in world.writes())

    begun, end, patch_count = world.now(), _seconds_from_now(world, 6), 0
    deadline = _seconds_from_now(world, 60)
    while world.now() < end or (label_writes() < 10 and world.now() < deadline):
        attacker.patch(path, patch).expect(200)
        patch_count += 1
    seconds = (world.now() - begun).total_seconds()
    assert 10 <= label_writes() <= 12 + seconds / 5 < patch_count
    world.until("it is put right", lambda: world.verdict(namespace, "capture") is None)


@pytest.mark.parametrize(
    "request_text", [b"", b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 50], ids=["silent", "asking"]
)
def test_nobody_at_a_port_holds_up_the_work(world: World, request_text: bytes) -> None:
    """A30: While 300 clients per port read nothing, probes and metrics are answered, and a pod is deleted in time."""
    namespace = world.namespace()
    world.granted_pod(namespace, seconds=12)
    exception = f"{world.exceptions(namespace)}/capture"
    expiry = datetime.datetime.fromisoformat(world.admin.get(exception).body["spec"]["expiry"])
    with contextlib.ExitStack() as stack:
        for port in (world.operator.port, world.operator.probe_port):
            for _ in range(300):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
                with contextlib.suppress(ConnectionError):
                    client.sendall(request_text)
        assert world.operator.probe("/healthz") == 200
        assert "hostnetwork_pods" in world.operator.metrics()
        world.until("it is deleted", lambda: deletions(world, namespace))
    deleted_at = datetime.datetime.fromisoformat(deletions(world, namespace)[0]["requestReceivedTimestamp"])
    assert expiry <= deleted_at <= expiry + datetime.timedelta(seconds=5)


# -- T20: a careless administrator -------------------------------------------------------------------------------------


def _weaken(world: World) -> None:
    def binding(name: str) -> str:
        return f"{ADMISSION}ybindings/{name}-deny.{LABEL}"

    world.admin.delete(binding("host-namespaces")).expect(200)
    world.admin.delete(f"{ADMISSION}ies/relaxed-namespace.{LABEL}").expect(200)
    world.admin.delete(binding("relaxed-namespace-restricted")).expect(200)
    world.admin.patch(f"{ADMISSION}ies/exception-writers.{LABEL}", {"spec": {"failurePolicy": "Ignore"}}).expect(200)
    world.admin.patch(binding("namespace-labels"), {"spec": {"validationActions": ["Warn"]}}).expect(200)


@pytest.fixture
def repaired_world(world: World) -> Iterator[World]:
    """The cluster; afterwards its admission policies are as before, and in force.

    The fixture does not use kubectl apply, which keeps a match condition or a selector that somebody has added.
    """
    policies_before = _policies(world)
    yield world
    policies_now = _policies(world)
    for path, body in policies_before.items():
        metadata = {key: body["metadata"][key] for key in ("name", "labels", "annotations") if key in body["metadata"]}
        restored = {**body, "metadata": metadata}
        if path in policies_now:
            metadata["resourceVersion"] = policies_now[path]["metadata"]["resourceVersion"]
            world.admin.put(path, restored).expect(200)
        else:
            world.admin.post(path.rsplit("/", 1)[0], restored).expect(201)
    repaired_at = world.now()
    world.until("all in place", lambda: not [name for name in WEAKER_POLICIES if not _intact(world, name)])
    # The API server picks up a written policy once per second, and an exception counts only if it is written when the
    # policies that it rests on are five seconds old.
    world.until("in force", lambda: world.now() > repaired_at + datetime.timedelta(seconds=6))


def _policies(world: World) -> dict[str, dict[str, Any]]:
    policies = {}
    for kind in ("ies", "ybindings"):
        for body in world.admin.items(f"{ADMISSION}{kind}"):
            if body["metadata"]["name"].endswith(LABEL):
                policies[f"{ADMISSION}{kind}/{body['metadata']['name']}"] = body
    return policies


def _intact(world: World, name: str) -> bool:
    return f'hostnetwork_admission_policy_intact{{policy="{name}.{LABEL}"}} 1.0' in world.operator.metrics()


def test_a_policy_that_is_taken_away_is_missed(repaired_world: World) -> None:
    """T20: An unbound, deleted, failing-open or only warning policy is reported, and relaxed levels are restored.

    Nothing new is granted. The operator writes no policy, so that it does not fight an administrator who opens the
    cluster on purpose.
    """
    namespace = repaired_world.namespace()
    repaired_world.granted_pod(namespace)
    other = repaired_world.namespace()
    for name in WEAKER_POLICIES:
        assert _intact(repaired_world, name)
    _weaken(repaired_world)
    for name in WEAKER_POLICIES:
        repaired_world.until(f"{name} is missed", lambda name=name: not _intact(repaired_world, name), 10)
    repaired_world.until("the level is back", lambda: repaired_world.labels(namespace)[PSA] == "baseline")
    repaired_world.until("it says why", lambda: repaired_world.ready(namespace) == "GuardMissing")
    guard_event = ("HostNetworkException", "capture", "GuardMissing")
    repaired_world.until("an Event says so", lambda: guard_event in repaired_world.events(namespace))
    repaired_world.exception(other, "new").expect(201)
    withheld = {"GuardMissing", "NotApproved"}
    repaired_world.until("a new one is not granted", lambda: repaired_world.ready(other, "new") in withheld)
    assert repaired_world.grants(other) == {}
    refused(repaired_world.pod(other, "evil"), "PSA")
    written_resources = {event["objectRef"]["resource"] for event in repaired_world.writes()}
    assert not {resource for resource in written_resources if resource.startswith("validating")}


NARROWED: dict[str, tuple[str, dict[str, Any]]] = {
    "a binding that selects nothing": (
        f"{ADMISSION}ybindings/host-namespaces-deny.{LABEL}",
        {"spec": {"matchResources": {"namespaceSelector": {"matchLabels": {"never": "there"}}}}},
    ),
    "a policy that says true": (
        f"{ADMISSION}ies/host-namespaces.{LABEL}",
        {"spec": {"validations": [{"expression": "true"}]}},
    ),
    "a policy that never matches": (
        f"{ADMISSION}ies/host-namespaces.{LABEL}",
        {"spec": {"matchConditions": [{"name": "never", "expression": "false"}]}},
    ),
}


@pytest.mark.parametrize("change", NARROWED)
def test_a_policy_that_is_narrowed_is_missed(repaired_world: World, change: str) -> None:
    """T20: A policy or binding that exists but restricts nothing is reported like a missing one."""
    path, patch = NARROWED[change]
    repaired_world.admin.patch(path, patch).expect(200)
    repaired_world.until("it is missed", lambda: not _intact(repaired_world, "host-namespaces"), 5)


# -- T22: the operator's token -----------------------------------------------------------------------------------------

_ALL = "create update patch delete deletecollection"
FORBIDDEN: list[tuple[str, str, str]] = [
    ("", "pods", "create update patch deletecollection"),
    ("", "pods/exec", "create get"),
    ("", "pods/attach", "create get"),
    ("", "pods/portforward", "create get"),
    ("", "pods/proxy", "create get"),
    ("", "pods/log", "get"),
    ("", "pods/eviction", "create"),
    ("", "pods/binding", "create"),
    ("", "pods/ephemeralcontainers", "update patch"),
    ("", "pods/resize", "update patch"),
    ("", "pods/status", "update"),
    ("", "secrets", f"get list watch {_ALL}"),
    ("", "configmaps", f"get list {_ALL}"),
    ("", "serviceaccounts", f"list watch impersonate {_ALL}"),
    ("", "serviceaccounts/token", "create"),
    ("", "users", "impersonate"),
    ("", "groups", "impersonate"),
    ("", "nodes", f"get list {_ALL}"),
    ("", "nodes/proxy", "get create"),
    ("", "namespaces", "create update delete deletecollection"),
    (LABEL, "namespaces", "setlevel"),
    ("", "namespaces/finalize", "update"),
    ("", "namespaces/status", "update patch"),
    ("", "events", "update patch delete deletecollection"),
    (LABEL, "hostnetworkexceptions", f"{_ALL} approve"),
    (LABEL, "hostnetworkexceptionpolicies", _ALL),
    (LABEL, "hostnetworkexceptions/status", "update"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", _ALL),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings", _ALL),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", f"get {_ALL}"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies", _ALL),
    ("apiextensions.k8s.io", "customresourcedefinitions", _ALL),
    ("rbac.authorization.k8s.io", "clusterroles", f"{_ALL} escalate bind"),
    ("rbac.authorization.k8s.io", "clusterrolebindings", _ALL),
    ("rbac.authorization.k8s.io", "rolebindings", _ALL),
    ("apps", "deployments", _ALL),
    ("apps", "daemonsets", _ALL),
    ("apps", "replicasets", f"watch {_ALL}"),
    ("openreports.io", "reports", "get watch update deletecollection"),
    ("openreports.io", "clusterreports", f"get list {_ALL}"),
    ("wgpolicyk8s.io", "policyreports", "get watch update deletecollection"),
    ("wgpolicyk8s.io", "clusterpolicyreports", f"get list {_ALL}"),
    ("batch", "jobs", "watch create update patch deletecollection"),
    ("batch", "cronjobs", f"get {_ALL}"),
    ("certificates.k8s.io", "certificatesigningrequests/approval", "update patch"),
]


@pytest.mark.parametrize("namespace", ["default", "hostnetwork-system", "kube-system"])
def test_the_stolen_token_may_do_nothing_else(world: World, namespace: str) -> None:
    """T22: In no namespace does the operator's token have a right that would extend its power.

    In its own namespace the token may list and create ConfigMaps, which operator-limits restricts to the ledger's.
    """
    client = operator_client(world)
    allowed_requests = []
    ledger_requests = {"list /configmaps", "create /configmaps"} if namespace == "hostnetwork-system" else set()
    for group, resource, verbs in FORBIDDEN:
        name, _, subresource = resource.partition("/")
        for verb in verbs.split():
            attributes = {"group": group, "resource": name, "subresource": subresource, "verb": verb}
            if client.may({**attributes, "namespace": namespace}):
                allowed_requests.append(f"{verb} {group}/{resource}")
    assert set(allowed_requests) == ledger_requests


def test_the_stolen_token_is_refused_in_words(world: World, relaxed: str) -> None:
    """T22: RBAC refuses to let the token make pods and exceptions, enter pods, or write policies."""
    client, admin = operator_client(world), world.admin
    system = "/api/v1/namespaces/hostnetwork-system"
    policy = f"{ADMISSION}ies/host-namespaces.{LABEL}"
    for answer in (
        client.post(world.pods(relaxed), pod(hostNetwork=True, serviceAccountName="agent")),
        client.post(f"{system}/pods", pod(serviceAccountName="hostnetwork-operator")),
        client.get("/api/v1/secrets"),
        client.post(f"{system}/serviceaccounts/hostnetwork-operator/token", {}),
        client.post("/api/v1/namespaces", {"metadata": {"name": "mine"}}),
        client.put(f"/api/v1/namespaces/{relaxed}/finalize", admin.get(f"/api/v1/namespaces/{relaxed}").body),
        client.delete(f"/api/v1/namespaces/{relaxed}"),
        client.patch(f"{world.exceptions(relaxed)}/theirs", {"spec": {"owner": "me"}}),
        client.delete(f"{world.exceptions(relaxed)}/theirs"),
        client.patch(policy, {"spec": {"failurePolicy": "Ignore"}}),
        client.delete(policy),
    ):
        refused(answer, "RBAC")


def test_what_the_stolen_token_opens_is_closed_again(world: World) -> None:
    """T22: A grant and a level written with the operator's token are refused, or the operator undoes them."""
    namespace = world.namespace()
    uid = world.metadata(namespace)["uid"]
    line = f"{uid}|Infrastructure|9999-12-31T23:59:59Z|default|Network|true|privileged|-|-|*"
    metadata = {"labels": {PSA: "privileged"}, "annotations": {f"grant.{LABEL}/mine": line}}
    answer = operator_client(world).patch(f"/api/v1/namespaces/{namespace}", {"metadata": metadata})
    if answer.status != 200:
        refused(answer, "operator-limits")
    world.until("the grant is gone", lambda: world.grants(namespace) == {})
    world.until("the level is back", lambda: world.labels(namespace)[PSA] == "baseline")
    refused(world.pod(namespace, "evil"), ("PSA", *POD_GUARDS))


def test_the_stolen_token_is_held_to_what_the_operator_does(world: World, enforced: str) -> None:
    """T22: The token writes no other label and no status but a verdict, and leaves ordinary and system pods alone."""
    client, pods = operator_client(world), world.pods(enforced)
    world.admin.post(pods, pod("ordinary")).expect(201, 409)
    world.admin.post(world.pods("kube-system"), pod("system", hostNetwork=True)).expect(201, 409)
    try:
        for answer in (
            client.patch(f"/api/v1/namespaces/{enforced}", {"metadata": {"labels": {"team": "mine"}}}),
            client.patch(f"/api/v1/namespaces/{enforced}", {"metadata": {"annotations": {"a": "b"}}}),
            client.patch("/api/v1/namespaces/kube-system", {"metadata": {"labels": {PSA: "restricted"}}}),
            client.patch(f"{pods}/ordinary/status", {"status": {"phase": "Failed"}}),
            client.patch(f"{pods}/ordinary/status", {"metadata": {"labels": {"app": "other"}}}),
            client.delete(f"{pods}/ordinary"),
            client.delete(f"{world.pods('kube-system')}/system"),
        ):
            refused(answer, "operator-limits")
    finally:
        world.admin.delete(f"{world.pods('kube-system')}/system", {"gracePeriodSeconds": 0})


def test_a_thousand_keys_hide_no_other_write_of_the_stolen_token(world: World) -> None:
    """T22: Beside 1,001 keys of its own the token changes no foreign label and writes at most 64 grants.

    A Deployment replaces a pod that loses its label, so each such write would give coredns one more pod.
    """
    namespace = world.namespace(labels={"team": "a"})
    path = f"/api/v1/namespaces/{namespace}"
    dns = world.pods("kube-system")
    body = workload("Deployment", "coredns")
    world.admin.post(workloads("kube-system", "Deployment"), body).expect(201)
    selector_path = f"{dns}?labelSelector=app%3Dcoredns"
    world.until("its pod", lambda: len(world.admin.items(selector_path)) == 1)
    (pod_before,) = world.admin.items(selector_path)
    status = f"{dns}/{pod_before['metadata']['name']}/status"
    client, many_keys = operator_client(world), {f"smoke-{number}": "" for number in range(1001)}
    grants = {f"grant.{LABEL}/g{number}": "x" for number in range(200)}
    try:
        for target, metadata in (
            (status, {"labels": {**many_keys, "app": None}}),
            (status, {"labels": {**many_keys, f"{LABEL}/verdict": "Uncovered"}}),
            (path, {"labels": {**many_keys, "team": None}}),
            (path, {"labels": many_keys}),
            (path, {"annotations": {**many_keys, **grants}}),
            (path, {"annotations": grants}),
        ):
            refused(client.patch(target, {"metadata": metadata}), "operator-limits")
        assert [item["metadata"]["uid"] for item in world.admin.items(selector_path)] == [pod_before["metadata"]["uid"]]
        assert world.labels(namespace)["team"] == "a"
        assert world.grants(namespace) == {}
    finally:
        world.admin.delete(f"{workloads('kube-system', 'Deployment')}/coredns").expect(200)


def test_the_operators_words_are_its_own(world: World) -> None:
    """A8: A tenant may store an Event in the operator's name; label and metric still tell the truth."""
    namespace = world.namespace()
    world.granted_pod(namespace)
    forged_event = {
        "metadata": {"name": "forged"},
        "involvedObject": {"kind": "Pod", "name": "capture", "namespace": namespace},
        "reason": "HostNamespacesCovered",
        "message": "nothing to see here",
        "source": {"component": "hostnetwork-operator"},
    }
    tenant(world, namespace).post(f"/api/v1/namespaces/{namespace}/events", forged_event).expect(201)
    world.admin.delete(f"{world.exceptions(namespace)}/capture").expect(200)
    world.until("the label", lambda: world.verdict(namespace, "capture") == "Uncovered")
    line = f'hostnetwork_pods{{namespace="{namespace}",verdict="Uncovered"}} 1.0'
    world.until("the metric", lambda: line in world.operator.metrics())


def test_no_image_name_breaks_or_turns_a_line(world: World) -> None:
    """A8: Line breaks, direction marks and escape sequences in an image name reach no Event and no held-by."""
    world.operator.stop()
    namespace = world.namespace(deny=False, old=True)
    world.exception(namespace, type="Application").expect(201)
    image = "app\nHostNamespacesCovered: all is well\u2028\u202e\x1b[2J:1"
    body = pod("odd", hostNetwork=True, containers=[container(image=image)])
    tenant(world, namespace).post(world.pods(namespace), body).expect(201)
    world.operator.start()

    def messages() -> list[str]:
        api_events = world.admin.items(f"/api/v1/namespaces/{namespace}/events")
        own_messages = [e["message"] for e in api_events if e["source"].get("component") == "hostnetwork-operator"]
        return [message for message in own_messages if "all is well" in message]

    world.until("it is told", messages)
    world.until("it is Held", lambda: f"{LABEL}/held-by" in world.metadata(namespace).get("annotations", {}))
    held_by = world.metadata(namespace)["annotations"][f"{LABEL}/held-by"]
    assert all(text.isprintable() for text in (*messages(), held_by)), (messages(), held_by)


def test_an_event_that_somebody_stored_first_keeps_none_of_the_operator_back(world: World) -> None:
    """A8: A tenant computes the name of a future Event and stores another under it; the operator's Event is emitted."""
    namespace = world.namespace()
    world.granted_pod(namespace, seconds=10)
    pod_uid = world.admin.get(f"{world.pods(namespace)}/capture").body["metadata"]["uid"]
    exception_uid = world.admin.get(f"{world.exceptions(namespace)}/capture").body["metadata"]["uid"]
    subject = snapshot.Reference("HostNetworkException", namespace, "capture", exception_uid, f"{LABEL}/v1alpha1")
    expected = effects.EmitEvent(subject, "Warning", "ExpiredPodDeleted", "", pod_uid)
    forged_event = {
        "metadata": {"name": events.name_of(expected)},
        "involvedObject": {"kind": "Pod", "name": "capture", "namespace": namespace},
        "reason": "ExpiredPodDeleted",
        "message": "nothing to see here",
        "source": {"component": "hostnetwork-operator"},
    }
    path = f"/api/v1/namespaces/{namespace}/events"
    tenant(world, namespace).post(path, forged_event).expect(201)

    def messages() -> list[str]:
        api_events = world.admin.items(path)
        own_events = [
            e
            for e in api_events
            if e["reason"] == "ExpiredPodDeleted" and e["involvedObject"].get("uid") == exception_uid
        ]
        return [event["message"] for event in own_events]

    world.until("it is told", messages)
    assert messages()[0].startswith("the operator deleted pod capture: ")
    assert world.admin.get(f"{path}/{events.name_of(expected)}").body["message"] == "nothing to see here"
