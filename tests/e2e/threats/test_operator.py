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
    pod,
    refused,
    said_of,
    stolen,
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


def _soon(world: World, seconds: float) -> datetime.datetime:
    return world.now() + datetime.timedelta(seconds=seconds)


# -- the wrong pod -----------------------------------------------------------------------------------------------------


def test_no_pod_is_deleted_in_place_of_another(attacked: World) -> None:
    """T7: The operator never deletes a pod that replaces an expired pod of the same name: each DELETE names a uid."""
    namespace = attacked.namespace()
    attacker = tenant(attacked, namespace)
    attacked.exception(namespace, seconds=7).expect(201)
    names = [f"race-{number}" for number in range(8)]
    spec = {"hostNetwork": True, "terminationGracePeriodSeconds": 0}
    dry = f"{attacked.pods(namespace)}?dryRun=All"
    attacked.until("in force", lambda: attacker.post(dry, pod(**spec)).status == 201)
    for name in names:
        attacker.post(attacked.pods(namespace), pod(name, **spec)).expect(201)
    guilty = {_uid(attacked, f"{attacked.pods(namespace)}/{name}") for name in names}
    expiry = attacked.admin.get(f"{attacked.exceptions(namespace)}/capture").body["spec"]["expiry"]
    stop = threading.Event()

    def replace(name: str) -> None:
        while not stop.is_set():
            attacker.delete(f"{attacked.pods(namespace)}/{name}", {"gracePeriodSeconds": 0})
            attacker.post(attacked.pods(namespace), pod(name, terminationGracePeriodSeconds=0))

    attacked.holds_until(
        datetime.datetime.fromisoformat(expiry) - datetime.timedelta(seconds=1), "the pods", lambda: True
    )
    threads = [threading.Thread(target=replace, args=(name,)) for name in names[:4]]
    for thread in threads:
        thread.start()
    try:
        attacked.until("the others are deleted", lambda: host_pods(attacked, namespace) == [])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    asked = deletions(attacked, namespace)
    assert len(asked) >= 4
    for event in asked:
        assert event["requestObject"]["preconditions"]["uid"] in guilty, event
    for name in names[:4]:  # the last replaced pod may still be terminating
        path = f"{attacked.pods(namespace)}/{name}"
        attacked.until(
            f"another {name}",
            lambda path=path, name=name: (
                attacker.post(attacked.pods(namespace), pod(name)).status in {201, 409} and _stays(attacked, path)
            ),
        )
        assert _uid(attacked, path) not in guilty


def test_the_operator_is_nobodys_weapon(attacked: World) -> None:
    """T8, CVE-2026-22039: No mark that a tenant can set makes the operator delete a pod or owner that did not expire.

    The operator also requests nothing from the API server that a tenant has named.
    """
    namespace = attacked.namespace()
    attacker, pods = tenant(attacked, namespace), attacked.pods(namespace)
    lift(attacked, namespace, "agents", "agent")
    for name, account, kind in (("capture", "default", "Diagnostic"), ("both", "app", "Application")):
        attacked.admin.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": account}})
        attacked.exception(namespace, name, seconds=9, type=kind, serviceAccountName=account).expect(201)
    attacked.exception(namespace, "and-diagnostic", seconds=9, serviceAccountName="app").expect(201)
    attacked.until("all in force", lambda: len(attacked.grants(namespace)) == 4)
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
        attacked.until(f"{name} is admitted", lambda body=body: attacker.post(pods, body).status in {201, 409})
    node = {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": _uid(attacked, "/api/v1/nodes/node-1")}
    mirror = pod("mirror", hostNetwork=True, nodeName="node-1")
    mirror["metadata"] |= {"annotations": MIRROR, "labels": marks, "ownerReferences": [{**node, "controller": True}]}
    kubelet(attacked).post(pods, mirror).expect(201)
    bait = pod("bait", hostNetwork=True)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "victim", "uid": job["metadata"]["uid"]}
    bait["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
    attacked.until("the bait is taken", lambda: attacker.post(pods, bait).status in {201, 409})
    elsewhere = pod("elsewhere", hostNetwork=True)
    foreign = {"apiVersion": "v1", "kind": "Secret", "name": "../../kube-system/secrets/x", "uid": "1"}
    elsewhere["metadata"]["ownerReferences"] = [{**foreign, "controller": True}]
    attacker.post(pods, elsewhere).expect(201)
    attacked.until("the bait has ended", lambda: attacked.is_deleted(namespace, "bait"))
    alive = [*victims, "mirror"]
    attacked.holds_until(
        _soon(attacked, 2),
        "the victims live",
        lambda: not [name for name in alive if attacked.is_deleted(namespace, name)],
    )
    attacked.admin.get(f"{workloads(namespace, 'Job')}/victim").expect(200)
    assert attacked.verdict(namespace, "app") == "Expired"
    attacked.until("a false label on a covered pod is corrected", lambda: attacked.verdict(namespace, "agent") is None)
    asked = {
        (event["objectRef"].get("resource"), event["objectRef"].get("subresource"))
        for event in attacked.cluster.audit_events()
        if event["user"]["username"] == OPERATOR and "objectRef" in event
    }
    known = {("pods", None), ("pods", "status"), ("namespaces", None), ("events", None), ("jobs", None)}
    known |= {(f"hostnetworkexception{s}", sub) for s in ("s", "policies") for sub in (None, "status")}
    known |= {(f"validatingadmissionpolic{s}", None) for s in ("ies", "ybindings")}
    known |= {(kind, None) for kind in ("reports", "policyreports")}
    # The gate reads these kinds, all except ReplicaSets in namespaces and never by a name that a user gives.
    known |= {(f"{kind}s", None) for kind in ("daemonset", "replicaset", "deployment", "statefulset", "cronjob")}
    known |= {("replicationcontrollers", None), ("configmaps", None)}  # ConfigMaps by their own names: the ledger
    known |= {("serviceaccounts", None)}  # by the name in an approved exception, in the namespace of the exception
    assert asked <= known


def test_a_forged_owner_takes_no_job(attacked: World) -> None:
    """T8: Pods that claim a Job by a forged reference are deleted, and no Job that would have stayed goes with them."""
    namespace = attacked.namespace()
    attacker, jobs = tenant(attacked, namespace), workloads(namespace, "Job")
    lift(attacked, namespace, "agents", "agent")
    attacked.exception(namespace, seconds=15).expect(201)
    attacked.until("both in force", lambda: len(attacked.grants(namespace)) == 2)
    uids = {}
    for name, spec in (("plain", {}), ("covered", {"hostNetwork": True, "serviceAccountName": "agent"})):
        body = workload("Job", name, **spec)
        body["spec"]["managedBy"] = "example.com/nobody"  # or the Job controller releases pods that are not its own
        uids[name] = attacker.post(jobs, body).expect(201).body["metadata"]["uid"]
    elsewhere = attacked.namespace()
    body = workload("Job", "elsewhere", hostNetwork=True)
    body["spec"]["managedBy"] = "example.com/nobody"
    uids["elsewhere"] = attacked.admin.post(workloads(elsewhere, "Job"), body).expect(201).body["metadata"]["uid"]
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
        attacked.until(
            f"{name} is admitted", lambda bait=bait: attacker.post(attacked.pods(namespace), bait).status in {201, 409}
        )
    attacked.until("they have ended", lambda: host_pods(attacked, namespace) == [])
    attacked.until("it is recorded", lambda: attacked.ready(namespace) == "Expired")
    for name in ("plain", "covered"):
        assert uids[name] == _uid(attacked, f"{jobs}/{name}")
    assert uids["elsewhere"] == _uid(attacked, f"{workloads(elsewhere, 'Job')}/elsewhere")
    asked = {
        event["requestURI"]
        for event in attacked.cluster.audit_events()
        if event["user"]["username"] == OPERATOR and "/jobs" in event["requestURI"] and namespace in event["requestURI"]
    }
    # The gate lists Jobs if a namespace is not created enforced.
    assert {f"{jobs}/plain", f"{jobs}/covered"} == {uri for uri in asked if "?limit=" not in uri}
    assert not [
        e
        for e in attacked.writes()
        if e["verb"] == "delete"
        and e["objectRef"]["resource"] == "jobs"
        and e["objectRef"]["namespace"] in {namespace, elsewhere}
    ]


def test_a_flag_does_not_come_off(attacked: World) -> None:
    """T9: No write of its labels takes an uncovered pod's verdict away, in label or metric."""
    namespace = attacked.namespace()
    attacked.granted_pod(namespace)
    lift(attacked, namespace, "agents", "agent")
    attacked.admin.delete(f"{attacked.exceptions(namespace)}/capture").expect(200)
    attacked.until("it is flagged", lambda: attacked.verdict(namespace, "capture") == "Uncovered")
    attacker, path = tenant(attacked, namespace), f"{attacked.pods(namespace)}/capture"
    key = f"{LABEL}/verdict"
    for subresource in ("", "/status", "/resize", "/ephemeralcontainers"):
        for value in ("Covered", None):
            seen = attacked.admin.get(path).body
            for way, _ in writes(attacker, path + subresource, seen, ("metadata", "labels", key), value):
                attacked.until(
                    f"flagged again after {way} {subresource}",
                    lambda: attacked.verdict(namespace, "capture") == "Uncovered",
                )
    assert f'hostnetwork_pods{{namespace="{namespace}",verdict="Uncovered"}} 1.0' in attacked.operator.metrics()
    # The service account of an exception in force cannot be put into a pod afterwards.
    swap = [{"op": "replace", "path": "/spec/serviceAccountName", "value": "agent"}]
    refused(attacker.patch(path, swap, api.JSON_PATCH), "validation")


def test_a_finished_pod_is_not_forgotten(attacked: World) -> None:
    """T9: A pod whose status a tenant writes as Succeeded is judged and deleted like any other pod."""
    namespace = attacked.namespace()
    attacked.granted_pod(namespace, seconds=5)
    lie = {"status": {"phase": "Succeeded"}}
    tenant(attacked, namespace).patch(f"{attacked.pods(namespace)}/capture/status", lie).expect(200)
    attacked.until("it is deleted", lambda: attacked.is_deleted(namespace))


# -- nodes -------------------------------------------------------------------------------------------------------------


def test_a_kubelet_makes_mirror_pods_and_no_other(attacked: World, enforced: str, relaxed: str) -> None:
    """T12, CVE-2025-4563: A node creates mirrors of its static pods, which are flagged and stay, and no other pod."""
    node = kubelet(attacked)
    pods = attacked.pods(relaxed)
    owner = {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": _uid(attacked, "/api/v1/nodes/node-1")}
    mirror = pod("static-node-1", hostNetwork=True, nodeName="node-1")
    mirror["metadata"] |= {"annotations": MIRROR, "ownerReferences": [{**owner, "controller": True}]}
    plain = pod("plain-node-1", hostNetwork=True, nodeName="node-1")
    refused(node.post(pods, plain), ("node",))
    refused(kubelet(attacked, "node-2").post(pods, mirror), ("node",))
    refused(node.post(attacked.pods(enforced), mirror), "PSA")  # where PSA refuses, no static pod is visible
    node.post(pods, mirror).expect(201)
    attacked.until("it is shown", lambda: attacked.verdict(relaxed, "static-node-1") == "Static")
    line = f'hostnetwork_pods{{namespace="{relaxed}",verdict="Static"}}'
    attacked.until("it is counted", lambda: f"{line} 1.0" in attacked.operator.metrics())
    node.delete(f"{pods}/static-node-1", {"gracePeriodSeconds": 0}).expect(200)


def test_a_kubelet_writes_status_and_nothing_of_ours(attacked: World) -> None:
    """T12, honest: A kubelet writes a pod's status before and after its expiry, but no label, level or exception."""
    namespace = attacked.namespace()
    attacked.exception(namespace, seconds=6, onExpiry="Report").expect(201)
    body = pod("capture", hostNetwork=True, nodeName="node-1")
    attacked.until("admitted", lambda: attacked.admin.post(attacked.pods(namespace), body).status in {201, 409})
    node, path = kubelet(attacked), f"{attacked.pods(namespace)}/capture/status"
    told = {"status": {"message": "before"}}
    node.patch(path, told, api.STRATEGIC).expect(200)
    attacked.until("it has ended", lambda: attacked.verdict(namespace, "capture") == "Expired")
    node.patch(path, {"status": {"message": "after"}}, api.STRATEGIC).expect(200)
    unflagged = {"metadata": {"labels": {f"{LABEL}/verdict": None}}}
    refused(node.patch(path, unflagged, api.STRATEGIC), ("node",))
    refused(node.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {PSA: "privileged"}}}), "RBAC")
    refused(node.patch(f"{attacked.exceptions(namespace)}/capture/status", {"status": {}}), "RBAC")


# -- pods that will not go ---------------------------------------------------------------------------------------------


def test_a_pod_that_will_not_go_is_asked_once_and_in_time(attacked: World) -> None:
    """T14: Finalizers, an endless grace period and scheduling gates do not delay the operator's one DELETE.

    The DELETE has the grace period of the exception. A tenant may remove the finalizer, and then the pod is gone.
    """
    namespace = attacked.namespace()
    attacker, pods = tenant(attacked, namespace), attacked.pods(namespace)
    attacked.exception(namespace, seconds=7, gracePeriodSeconds=1).expect(201)
    body = pod("stubborn", hostNetwork=True, terminationGracePeriodSeconds=10**9)
    body["metadata"]["finalizers"] = ["example.com/never"]
    gated = pod("gated", hostNetwork=True, terminationGracePeriodSeconds=10**9, schedulingGates=[{"name": "a.b/c"}])
    gated["metadata"]["finalizers"] = ["example.com/never"]
    attacked.until("in force", lambda: attacker.post(pods, body).status in {201, 409})
    attacker.post(pods, gated).expect(201)

    def asked(name: str) -> dict[str, Any]:
        found: dict[str, Any] = attacked.admin.get(f"{pods}/{name}").expect(200).body["metadata"]
        return found

    for name in ("stubborn", "gated"):
        attacked.until(f"{name} is asked to go", lambda name=name: "deletionTimestamp" in asked(name))
        assert asked(name)["deletionGracePeriodSeconds"] <= 1
        more = {"metadata": {"finalizers": ["example.com/never", "example.com/more"]}}
        refused(attacker.patch(f"{pods}/{name}", more), "validation")
    attacked.holds_until(_soon(attacked, 2), "asked once", lambda: len(deletions(attacked, namespace)) == 2)
    assert attacked.condition(namespace, kind="CleanedUp").get("status") != "True"
    for name in ("stubborn", "gated"):
        attacker.patch(f"{pods}/{name}", {"metadata": {"finalizers": None}}).expect(200, 404)
        attacked.until(f"{name} is gone", lambda name=name: attacked.is_deleted(namespace, name))
    attacked.until("it says so", lambda: attacked.condition(namespace, kind="CleanedUp").get("status") == "True")


@pytest.mark.parametrize("how", ["plainly", "with a finalizer on the exception", "while the operator is away"])
def test_a_namespace_that_goes_keeps_no_pod_beyond_its_expiry(attacked: World, how: str) -> None:
    """A24: A tenant deletes the namespace of a pod with endless grace: the operator deletes the pod in time."""
    namespace = attacked.namespace()
    attacker, path = tenant(attacked, namespace), f"{attacked.pods(namespace)}/capture"
    attacked.exception(namespace, seconds=20, gracePeriodSeconds=1).expect(201)
    node = attacked.cluster.nodes[0]
    body = pod("capture", hostNetwork=True, terminationGracePeriodSeconds=10**9, nodeName=node)
    body["metadata"]["annotations"] = {"example.com/kubelet": "stuck"}  # or kwok gives no pod its grace period
    attacked.until("in force", lambda: attacker.post(attacked.pods(namespace), body).status in {201, 409})
    attacked.until("it is covered", lambda: attacked.status(namespace).get("coveredPods") == 1)
    exception = f"{attacked.exceptions(namespace)}/capture"
    ends = datetime.datetime.fromisoformat(attacked.admin.get(exception).body["spec"]["expiry"])
    if how == "with a finalizer on the exception":
        attacker.patch(exception, {"metadata": {"finalizers": ["example.com/hold"]}}).expect(200)
    if how == "while the operator is away":
        attacked.operator.stop()
    attacker.delete(f"/api/v1/namespaces/{namespace}").expect(200)
    attacked.until("it is to go, some day", lambda: attacked.admin.get(path).body["metadata"].get("deletionTimestamp"))
    assert attacked.admin.get(path).body["metadata"]["deletionGracePeriodSeconds"] == 10**9
    if how == "while the operator is away":
        attacker.delete(exception).expect(200)
        attacked.operator.start()
    attacked.until("it is asked", lambda: deletions(attacked, namespace), 60)
    asked = datetime.datetime.fromisoformat(deletions(attacked, namespace)[0]["requestReceivedTimestamp"])
    assert ends <= asked <= ends + datetime.timedelta(seconds=5)
    assert attacked.admin.get(path).body["metadata"]["deletionGracePeriodSeconds"] <= 1
    attacked.admin.patch(exception, {"metadata": {"finalizers": None}}).expect(200, 404)
    attacked.admin.delete(path, {"gracePeriodSeconds": 0}).expect(200)


def test_a_controller_that_makes_pods_anew_makes_none(attacked: World) -> None:
    """T15: At the expiry each pod of a ReplicaSet is deleted once, its next is refused, and the operator is quiet."""
    namespace = attacked.namespace()
    attacked.exception(namespace, seconds=8, gracePeriodSeconds=0).expect(201)
    attacked.until("in force", lambda: attacked.pod(namespace, dry_run=True).status == 201)
    body = workload("ReplicaSet", "again", replicas=3, hostNetwork=True)
    tenant(attacked, namespace).post(workloads(namespace, "ReplicaSet"), body).expect(201)
    attacked.until("three pods", lambda: attacked.status(namespace).get("coveredPods") == 3)
    attacked.until("none left", lambda: host_pods(attacked, namespace) == [])
    marks = ("PodSecurity", *POD_GUARDS)
    attacked.until(
        "its owner says why",
        lambda: any(mark in said_of(attacked, namespace, "ReplicaSet", "again") for mark in marks),
    )
    assert len({event["requestObject"]["preconditions"]["uid"] for event in deletions(attacked, namespace)}) == 3
    assert len(deletions(attacked, namespace)) == 3
    attacked.until("it says so", lambda: attacked.condition(namespace, kind="CleanedUp").get("status") == "True")
    before = len(_writes_in(attacked, namespace))
    attacked.holds_until(_soon(attacked, 3), "no pod comes back", lambda: host_pods(attacked, namespace) == [])
    assert before == len(_writes_in(attacked, namespace))


def _writes_in(world: World, namespace: str) -> list[dict[str, Any]]:
    return [event for event in world.writes() if namespace in event["requestURI"]]


def test_a_war_over_the_verdict_is_paced(attacked: World) -> None:
    """A27: A tenant undoes the verdict label without pause: the operator writes it ten times immediately.

    Then the operator writes the label once per five seconds.
    """
    namespace = attacked.namespace()
    attacked.granted_pod(namespace, seconds=100)
    attacker, path = tenant(attacked, namespace), f"{attacked.pods(namespace)}/capture"
    forged = {"metadata": {"labels": {f"{LABEL}/verdict": "Uncovered"}}}
    ends, tries = _soon(attacked, 6), 0
    while attacked.now() < ends:
        attacker.patch(path, forged).expect(200)
        tries += 1
    written = [event for event in attacked.writes() if event["requestURI"].startswith(f"{path}/status")]
    assert 10 <= len(written) <= 13 < tries
    attacked.until("it is put right", lambda: attacked.verdict(namespace, "capture") is None)


@pytest.mark.parametrize(
    "request_text", [b"", b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 50], ids=["silent", "asking"]
)
def test_nobody_at_a_port_holds_up_the_work(attacked: World, request_text: bytes) -> None:
    """A30: While 300 clients per port read nothing, probes and metrics are answered, and a pod is deleted in time."""
    namespace = attacked.namespace()
    attacked.granted_pod(namespace, seconds=12)
    exception = f"{attacked.exceptions(namespace)}/capture"
    ends = datetime.datetime.fromisoformat(attacked.admin.get(exception).body["spec"]["expiry"])
    with contextlib.ExitStack() as held:
        for port in (attacked.operator.port, attacked.operator.probe_port):
            for _ in range(300):
                client = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
                with contextlib.suppress(ConnectionError):
                    client.sendall(request_text)
        assert attacked.operator.probe("/healthz") == 200
        assert "hostnetwork_pods" in attacked.operator.metrics()
        attacked.until("it is deleted", lambda: deletions(attacked, namespace))
    asked = datetime.datetime.fromisoformat(deletions(attacked, namespace)[0]["requestReceivedTimestamp"])
    assert ends <= asked <= ends + datetime.timedelta(seconds=5)


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
def careless(attacked: World) -> Iterator[World]:
    """The cluster; afterwards its admission policies are as before, and in force.

    The fixture does not use kubectl apply, which keeps a match condition or a selector that somebody has added.
    """
    before = _policies(attacked)
    yield attacked
    now = _policies(attacked)
    for path, body in before.items():
        metadata = {key: body["metadata"][key] for key in ("name", "labels", "annotations") if key in body["metadata"]}
        written = {**body, "metadata": metadata}
        if path in now:
            metadata["resourceVersion"] = now[path]["metadata"]["resourceVersion"]
            attacked.admin.put(path, written).expect(200)
        else:
            attacked.admin.post(path.rsplit("/", 1)[0], written).expect(201)
    mended = attacked.now()
    attacked.until("all in place", lambda: not [name for name in WEAKER_POLICIES if not _intact(attacked, name)])
    # The API server picks up a written policy once per second, and an exception counts only if it is written when the
    # policies that it rests on are five seconds old.
    attacked.until("in force", lambda: attacked.now() > mended + datetime.timedelta(seconds=6))


def _policies(world: World) -> dict[str, dict[str, Any]]:
    found = {}
    for kind in ("ies", "ybindings"):
        for body in world.admin.items(f"{ADMISSION}{kind}"):
            if body["metadata"]["name"].endswith(LABEL):
                found[f"{ADMISSION}{kind}/{body['metadata']['name']}"] = body
    return found


def _intact(world: World, name: str) -> bool:
    return f'hostnetwork_admission_policy_intact{{policy="{name}.{LABEL}"}} 1.0' in world.operator.metrics()


def test_a_policy_that_is_taken_away_is_missed(careless: World) -> None:
    """T20: An unbound, deleted, failing-open or only warning policy is reported, and relaxed levels are restored.

    Nothing new is granted. The operator writes no policy, so that it does not fight an administrator who opens the
    cluster on purpose.
    """
    namespace = careless.namespace()
    careless.granted_pod(namespace)
    other = careless.namespace()
    for name in WEAKER_POLICIES:
        assert _intact(careless, name)
    _weaken(careless)
    for name in WEAKER_POLICIES:
        careless.until(f"{name} is missed", lambda name=name: not _intact(careless, name), 10)
    careless.until("the level is back", lambda: careless.labels(namespace)[PSA] == "baseline")
    careless.until("it says why", lambda: careless.ready(namespace) == "GuardMissing")
    told = ("HostNetworkException", "capture", "GuardMissing")
    careless.until("an Event says so", lambda: told in careless.events(namespace))
    careless.exception(other, "new").expect(201)
    withheld = {"GuardMissing", "NotApproved"}
    careless.until("a new one is not granted", lambda: careless.ready(other, "new") in withheld)
    assert careless.grants(other) == {}
    refused(careless.pod(other, "evil"), "PSA")
    written = {event["objectRef"]["resource"] for event in careless.writes()}
    assert not {resource for resource in written if resource.startswith("validating")}


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


@pytest.mark.parametrize("how", NARROWED)
def test_a_policy_that_is_narrowed_is_missed(careless: World, how: str) -> None:
    """T20: A policy or binding that exists but restricts nothing is reported like a missing one."""
    path, patch = NARROWED[how]
    careless.admin.patch(path, patch).expect(200)
    careless.until("it is missed", lambda: not _intact(careless, "host-namespaces"), 5)


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
def test_the_stolen_token_may_do_nothing_else(attacked: World, namespace: str) -> None:
    """T22: In no namespace does the operator's token have a right that would extend its power.

    In its own namespace the token may list and create ConfigMaps, which operator-limits restricts to the ledger's.
    """
    thief = stolen(attacked)
    allowed = []
    ledger = {"list /configmaps", "create /configmaps"} if namespace == "hostnetwork-system" else set()
    for group, resource, verbs in FORBIDDEN:
        name, _, subresource = resource.partition("/")
        for verb in verbs.split():
            attributes = {"group": group, "resource": name, "subresource": subresource, "verb": verb}
            if thief.may({**attributes, "namespace": namespace}):
                allowed.append(f"{verb} {group}/{resource}")
    assert set(allowed) == ledger


def test_the_stolen_token_is_refused_in_words(attacked: World, relaxed: str) -> None:
    """T22: RBAC refuses to let the token make pods and exceptions, enter pods, or write policies."""
    thief, admin = stolen(attacked), attacked.admin
    system = "/api/v1/namespaces/hostnetwork-system"
    policy = f"{ADMISSION}ies/host-namespaces.{LABEL}"
    for answer in (
        thief.post(attacked.pods(relaxed), pod(hostNetwork=True, serviceAccountName="agent")),
        thief.post(f"{system}/pods", pod(serviceAccountName="hostnetwork-operator")),
        thief.get("/api/v1/secrets"),
        thief.post(f"{system}/serviceaccounts/hostnetwork-operator/token", {}),
        thief.post("/api/v1/namespaces", {"metadata": {"name": "mine"}}),
        thief.put(f"/api/v1/namespaces/{relaxed}/finalize", admin.get(f"/api/v1/namespaces/{relaxed}").body),
        thief.delete(f"/api/v1/namespaces/{relaxed}"),
        thief.patch(f"{attacked.exceptions(relaxed)}/theirs", {"spec": {"owner": "me"}}),
        thief.delete(f"{attacked.exceptions(relaxed)}/theirs"),
        thief.patch(policy, {"spec": {"failurePolicy": "Ignore"}}),
        thief.delete(policy),
    ):
        refused(answer, "RBAC")


def test_what_the_stolen_token_opens_is_closed_again(attacked: World) -> None:
    """T22: A grant and a level written with the operator's token are refused, or the operator undoes them."""
    namespace = attacked.namespace()
    uid = attacked.metadata(namespace)["uid"]
    line = f"{uid}|Infrastructure|9999-12-31T23:59:59Z|default|Network|true|privileged|-|-|*"
    metadata = {"labels": {PSA: "privileged"}, "annotations": {f"grant.{LABEL}/mine": line}}
    answer = stolen(attacked).patch(f"/api/v1/namespaces/{namespace}", {"metadata": metadata})
    if answer.status != 200:
        refused(answer, "operator-limits")
    attacked.until("the grant is gone", lambda: attacked.grants(namespace) == {})
    attacked.until("the level is back", lambda: attacked.labels(namespace)[PSA] == "baseline")
    refused(attacked.pod(namespace, "evil"), ("PSA", *POD_GUARDS))


def test_the_stolen_token_is_held_to_what_the_operator_does(attacked: World, enforced: str) -> None:
    """T22: The token writes no other label and no status but a verdict, and leaves ordinary and system pods alone."""
    thief, pods = stolen(attacked), attacked.pods(enforced)
    attacked.admin.post(pods, pod("ordinary")).expect(201, 409)
    attacked.admin.post(attacked.pods("kube-system"), pod("system", hostNetwork=True)).expect(201, 409)
    try:
        for answer in (
            thief.patch(f"/api/v1/namespaces/{enforced}", {"metadata": {"labels": {"team": "mine"}}}),
            thief.patch(f"/api/v1/namespaces/{enforced}", {"metadata": {"annotations": {"a": "b"}}}),
            thief.patch("/api/v1/namespaces/kube-system", {"metadata": {"labels": {PSA: "restricted"}}}),
            thief.patch(f"{pods}/ordinary/status", {"status": {"phase": "Failed"}}),
            thief.patch(f"{pods}/ordinary/status", {"metadata": {"labels": {"app": "other"}}}),
            thief.delete(f"{pods}/ordinary"),
            thief.delete(f"{attacked.pods('kube-system')}/system"),
        ):
            refused(answer, "operator-limits")
    finally:
        attacked.admin.delete(f"{attacked.pods('kube-system')}/system", {"gracePeriodSeconds": 0})


def test_a_thousand_keys_hide_no_other_write_of_the_stolen_token(attacked: World) -> None:
    """T22: Beside 1,001 keys of its own the token changes no foreign label and writes at most 64 grants.

    A Deployment replaces a pod that loses its label, so each such write would give coredns one more pod.
    """
    namespace = attacked.namespace(labels={"team": "a"})
    path = f"/api/v1/namespaces/{namespace}"
    dns = attacked.pods("kube-system")
    body = workload("Deployment", "coredns")
    attacked.admin.post(workloads("kube-system", "Deployment"), body).expect(201)
    label = f"{dns}?labelSelector=app%3Dcoredns"
    attacked.until("its pod", lambda: len(attacked.admin.items(label)) == 1)
    (before,) = attacked.admin.items(label)
    status = f"{dns}/{before['metadata']['name']}/status"
    thief, smoke = stolen(attacked), {f"smoke-{number}": "" for number in range(1001)}
    grants = {f"grant.{LABEL}/g{number}": "x" for number in range(200)}
    try:
        for at, metadata in (
            (status, {"labels": {**smoke, "app": None}}),
            (status, {"labels": {**smoke, f"{LABEL}/verdict": "Uncovered"}}),
            (path, {"labels": {**smoke, "team": None}}),
            (path, {"labels": smoke}),
            (path, {"annotations": {**smoke, **grants}}),
            (path, {"annotations": grants}),
        ):
            refused(thief.patch(at, {"metadata": metadata}), "operator-limits")
        assert [pod["metadata"]["uid"] for pod in attacked.admin.items(label)] == [before["metadata"]["uid"]]
        assert attacked.labels(namespace)["team"] == "a"
        assert attacked.grants(namespace) == {}
    finally:
        attacked.admin.delete(f"{workloads('kube-system', 'Deployment')}/coredns").expect(200)


def test_the_operators_words_are_its_own(attacked: World) -> None:
    """A8: A tenant may store an Event in the operator's name; label and metric still tell the truth."""
    namespace = attacked.namespace()
    attacked.granted_pod(namespace)
    forged = {
        "metadata": {"name": "forged"},
        "involvedObject": {"kind": "Pod", "name": "capture", "namespace": namespace},
        "reason": "HostNamespacesCovered",
        "message": "nothing to see here",
        "source": {"component": "hostnetwork-operator"},
    }
    tenant(attacked, namespace).post(f"/api/v1/namespaces/{namespace}/events", forged).expect(201)
    attacked.admin.delete(f"{attacked.exceptions(namespace)}/capture").expect(200)
    attacked.until("the label", lambda: attacked.verdict(namespace, "capture") == "Uncovered")
    line = f'hostnetwork_pods{{namespace="{namespace}",verdict="Uncovered"}} 1.0'
    attacked.until("the metric", lambda: line in attacked.operator.metrics())


def test_no_image_name_breaks_or_turns_a_line(attacked: World) -> None:
    """A8: Line breaks, direction marks and escape sequences in an image name reach no Event and no held-by."""
    attacked.operator.stop()
    namespace = attacked.namespace(deny=False, old=True)
    attacked.exception(namespace, type="Application").expect(201)
    odd = "app\nHostNamespacesCovered: all is well\u2028\u202e\x1b[2J:1"
    body = pod("odd", hostNetwork=True, containers=[container(image=odd)])
    tenant(attacked, namespace).post(attacked.pods(namespace), body).expect(201)
    attacked.operator.start()

    def told() -> list[str]:
        found = attacked.admin.items(f"/api/v1/namespaces/{namespace}/events")
        ours = [e["message"] for e in found if e["source"].get("component") == "hostnetwork-operator"]
        return [message for message in ours if "all is well" in message]

    attacked.until("it is told", told)
    attacked.until("it is Held", lambda: f"{LABEL}/held-by" in attacked.metadata(namespace).get("annotations", {}))
    held = attacked.metadata(namespace)["annotations"][f"{LABEL}/held-by"]
    assert all(text.isprintable() for text in (*told(), held)), (told(), held)


def test_an_event_that_somebody_stored_first_keeps_none_of_the_operator_back(attacked: World) -> None:
    """A8: A tenant computes the name of a future Event and stores another under it; the operator's Event is emitted."""
    namespace = attacked.namespace()
    attacked.granted_pod(namespace, seconds=10)
    pod_uid = attacked.admin.get(f"{attacked.pods(namespace)}/capture").body["metadata"]["uid"]
    exception_uid = attacked.admin.get(f"{attacked.exceptions(namespace)}/capture").body["metadata"]["uid"]
    subject = snapshot.Reference("HostNetworkException", namespace, "capture", exception_uid, f"{LABEL}/v1alpha1")
    expected = effects.EmitEvent(subject, "Warning", "ExpiredPodDeleted", "", pod_uid)
    forged = {
        "metadata": {"name": events.name_of(expected)},
        "involvedObject": {"kind": "Pod", "name": "capture", "namespace": namespace},
        "reason": "ExpiredPodDeleted",
        "message": "nothing to see here",
        "source": {"component": "hostnetwork-operator"},
    }
    path = f"/api/v1/namespaces/{namespace}/events"
    tenant(attacked, namespace).post(path, forged).expect(201)

    def told() -> list[str]:
        found = attacked.admin.items(path)
        ours = [
            e for e in found if e["reason"] == "ExpiredPodDeleted" and e["involvedObject"].get("uid") == exception_uid
        ]
        return [event["message"] for event in ours]

    attacked.until("it is told", told)
    assert told()[0].startswith("the operator deleted pod capture: ")
    assert attacked.admin.get(f"{path}/{events.name_of(expected)}").body["message"] == "nothing to see here"
