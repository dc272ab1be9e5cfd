"""Ways to a pod with host namespaces: by every kind, path and disguise (T1, T10, T11, T13, T24 to T26, A21)."""

import json
from typing import Any

import pytest

from tests.controlplane import api
from tests.e2e.conftest import IMAGE, LABEL, World
from tests.e2e.threats.conftest import (
    HOSTS,
    KEPT,
    POD_GUARDS,
    WORKLOADS,
    container,
    deletions,
    fill,
    host_pods,
    kubelet,
    lift,
    pod,
    refused,
    refuser,
    said_of,
    tenant,
    workload,
    workloads,
    writes,
)

OTHER = "registry.example.com/other:1"
VENUES = {"enforced": ("PSA",), "relaxed": POD_GUARDS, "kept": ("host-namespaces",)}


@pytest.fixture(params=VENUES)
def venue(request: pytest.FixtureRequest, attacked: World) -> tuple[str, tuple[str, ...]]:
    """Each sort of namespace, and the parts of the API server that have to refuse there."""
    return request.getfixturevalue(request.param), VENUES[request.param]


# -- T1: made directly ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", HOSTS)
def test_no_path_makes_a_host_namespace_pod(attacked: World, venue: tuple[str, tuple[str, ...]], field: str) -> None:
    """T1: create, generateName, dry run, server-side apply and replace make no pod, and each refusal says why."""
    namespace, by = venue
    attacker, pods = tenant(attacked, namespace), attacked.pods(namespace)
    body = pod(**{field: True})
    generated = {**body, "metadata": {"generateName": "evil-"}}
    for answer in (
        attacker.post(pods, body),
        attacker.post(f"{pods}?dryRun=All", body),
        attacker.post(pods, generated),
        attacker.apply(f"{pods}/evil", body, "attacker"),
        attacker.apply(f"{pods}/evil", body, "attacker", force=True),
        attacked.admin.post(pods, body),
    ):
        refused(answer, by, HOSTS[field])
    assert attacker.put(f"{pods}/evil", body).status == 404  # replace creates no pod
    assert host_pods(attacked, namespace) == []
    attacker.post(f"{pods}?dryRun=All", pod("plain")).expect(201)


def test_kubectl_makes_no_host_namespace_pod(attacked: World, relaxed: str) -> None:
    """T1: kubectl run with overrides, and a careless administrator's kubectl debug node/, are refused with a reason."""
    overrides = f"--overrides={json.dumps({'spec': {'hostNetwork': True}})}"
    user = attacked.cluster.tenant(relaxed)
    done = attacked.cluster.kubectl("run", "evil", f"--image={IMAGE}", overrides, "-n", relaxed, user=user)
    assert done.returncode != 0
    assert any(guard in done.stderr for guard in POD_GUARDS), done.stderr
    for profile in ("general", "sysadmin"):
        words = ["debug", "node/node-1", "-n", relaxed, f"--image={IMAGE}", f"--profile={profile}"]
        done = attacked.cluster.kubectl(*words)
        assert done.returncode != 0
        assert any(guard in done.stderr for guard in POD_GUARDS), done.stderr
    assert host_pods(attacked, relaxed) == []


def test_a_running_pod_does_not_become_one(attacked: World, relaxed: str) -> None:
    """T1: No write and no subresource turns an ordinary pod into a host-namespace pod."""
    attacker, path = tenant(attacked, relaxed), f"{attacked.pods(relaxed)}/turncoat"
    attacker.post(attacked.pods(relaxed), pod("turncoat")).expect(201)
    for subresource in ("", "/status", "/resize", "/ephemeralcontainers"):
        for field in HOSTS:
            seen = attacked.admin.get(path).expect(200).body
            for way, answer in writes(attacker, path + subresource, seen, ("spec", field), value=True):
                if answer.status != 200:
                    assert answer.status in {403, 404, 409, 415, 422, 500}, f"{way}: {answer.message}"
            assert host_pods(attacked, relaxed) == []


# -- T1: made by controllers ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def born(attacked: World, enforced: str, relaxed: str, kept: str) -> None:
    """In each namespace one workload of every kind that asks for the host network, created by the tenant."""
    long_ago = {"status": {"lastScheduleTime": attacked.time(-90)}}  # so that the CronJob is due immediately
    for namespace in (enforced, relaxed, kept):
        attacker = tenant(attacked, namespace)
        for kind in WORKLOADS:
            path, name = workloads(namespace, kind), f"evil-{kind.lower()}"
            attacker.post(path, workload(kind, name, hostNetwork=True)).expect(201)
            if kind == "CronJob":
                attacker.patch(f"{path}/{name}/status", long_ago).expect(200)


@pytest.mark.parametrize("kind", WORKLOADS)
def test_no_controller_makes_one(attacked: World, born: None, venue: tuple[str, tuple[str, ...]], kind: str) -> None:
    """T1: Workloads of every kind are accepted, their pods are refused, and a condition or an Event says why."""
    namespace, by = venue
    owner = "Job" if kind == "CronJob" else kind
    marks = ("violates PodSecurity",) if by == ("PSA",) else by

    def told() -> bool:
        text = said_of(attacked, namespace, owner, f"evil-{kind.lower()}")
        return any(mark in text for mark in marks)

    attacked.until(f"{kind} says why it has no pod", told)
    assert host_pods(attacked, namespace) == []


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController"])
def test_no_workload_is_turned_into_one(attacked: World, relaxed: str, kind: str) -> None:
    """T1: A running workload whose template any verb changes to the host network gets no such pod."""
    attacker, name = tenant(attacked, relaxed), f"turned-{kind.lower()}"
    path = f"{workloads(relaxed, kind)}/{name}"
    attacker.post(workloads(relaxed, kind), workload(kind, name)).expect(201)

    def running() -> bool:
        found = attacked.admin.items(f"{attacked.pods(relaxed)}?labelSelector=app%3D{name}")
        return any(p.get("status", {}).get("phase") == "Running" for p in found)

    attacked.until("its ordinary pod runs", running)
    for field in HOSTS:
        at = ("spec", "template", "spec", field)
        for _, answer in writes(attacker, path, attacked.admin.get(path).body, at, value=True):
            assert answer.status in {200, 409}, answer.message
    if kind in {"ReplicaSet", "ReplicationController"}:  # these do not replace pods automatically
        attacker.delete(f"{attacked.pods(relaxed)}?labelSelector=app%3D{name}").expect(200)
    attacked.until(
        "it says why it has no new pod",
        lambda: any(guard in said_of(attacked, relaxed, kind, name) for guard in POD_GUARDS),
    )
    assert host_pods(attacked, relaxed) == []


# -- the honest neighbour of all this ---------------------------------------------------------------------------------


def test_a_covered_deployment_scales_rolls_and_is_drained(attacked: World) -> None:
    """T1, honest: A covered Deployment scales up and rolls out, and its evicted pod is replaced, beside plain pods."""
    namespace = attacked.namespace()
    lift(attacked, namespace, images=[IMAGE, OTHER])
    owner = tenant(attacked, namespace)
    path = f"{workloads(namespace, 'Deployment')}/agent"
    spec = {"hostNetwork": True, "serviceAccountName": "agent", "terminationGracePeriodSeconds": 0}
    # The pods have no host ports, which would collide in the scheduler on one node.
    owner.post(workloads(namespace, "Deployment"), workload("Deployment", "agent", **spec)).expect(201)
    owner.post(workloads(namespace, "Deployment"), workload("Deployment", "plain")).expect(201)

    def ready(name: str, count: int) -> bool:
        status = attacked.admin.get(f"{workloads(namespace, 'Deployment')}/{name}").body.get("status", {})
        return status.get("readyReplicas") == count == status.get("updatedReplicas") == status.get("replicas")

    attacked.until("one pod each", lambda: ready("agent", 1) and ready("plain", 1))
    owner.patch(f"{path}/scale", {"spec": {"replicas": 3}}).expect(200)
    attacked.until("three pods", lambda: ready("agent", 3))
    image = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": OTHER}]}}}}
    owner.patch(path, image, api.STRATEGIC).expect(200)
    attacked.until("rolled out", lambda: ready("agent", 3))
    attacked.until("the old ones gone", lambda: len(host_pods(attacked, namespace)) == 3)
    drained = host_pods(attacked, namespace)[0]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": drained, "namespace": namespace}}
    attacked.admin.post(f"{attacked.pods(namespace)}/{drained}/eviction", eviction).expect(201)
    attacked.until("replaced", lambda: drained not in host_pods(attacked, namespace) and ready("agent", 3))
    attacked.until("counted", lambda: attacked.status(namespace, "theirs").get("coveredPods") == 3)


@pytest.fixture(scope="module")
def covered(attacked: World, relaxed: str) -> str:
    """The path of a covered pod in the relaxed namespace."""
    body = pod("covered", hostNetwork=True, serviceAccountName="agent", nodeName="node-1")
    attacked.admin.post(attacked.pods(relaxed), body).expect(201)
    return f"{attacked.pods(relaxed)}/covered"


def test_what_is_done_to_covered_pods_every_day_is_done(attacked: World, relaxed: str, covered: str) -> None:
    """T13, honest: A kubelet's status write, labels, finalizers added and removed, a resize and a binding pass."""
    status = {"status": {"message": "all is well"}}
    kubelet(attacked).patch(f"{covered}/status", status, api.STRATEGIC).expect(200)
    owner = tenant(attacked, relaxed)
    owner.patch(covered, {"metadata": {"labels": {"a": "b"}, "finalizers": ["example.com/f"]}}).expect(200)
    owner.patch(covered, {"metadata": {"finalizers": None}}).expect(200)
    resized = {"spec": {"containers": [{"name": "main", "resources": {"limits": {"memory": "1Gi"}}}]}}
    answer = owner.patch(f"{covered}/resize", resized, api.STRATEGIC)
    assert answer.status == 200 or refuser(answer) == "validation", answer.message  # because of its quality of service
    gated = pod("bound", hostNetwork=True, serviceAccountName="agent", schedulerName="nobody")
    owner.post(attacked.pods(relaxed), gated).expect(201)
    binding = {"metadata": {"name": "bound"}, "target": {"kind": "Node", "name": "node-2"}}
    owner.post(f"{attacked.pods(relaxed)}/bound/binding", binding).expect(201)
    owner.delete(f"{attacked.pods(relaxed)}/bound", {"gracePeriodSeconds": 0}).expect(200)


# -- images, ephemeral containers (T13) -------------------------------------------------------------------------------


def test_the_images_of_a_covered_pod_stay(attacked: World, relaxed: str, covered: str) -> None:
    """A1: No verb and no subresource gives a covered pod another image, even a granted image."""
    attacker = tenant(attacked, relaxed)
    before = attacked.admin.get(covered).body["spec"]["containers"][0]["image"]
    main = attacked.admin.get(covered).body["spec"]["containers"][0]
    for subresource in ("", "/status", "/resize", "/ephemeralcontainers"):
        seen = attacked.admin.get(covered).expect(200).body
        evil = [{**main, "image": OTHER}]
        for way, answer in writes(attacker, covered + subresource, seen, ("spec", "containers"), evil):
            if answer.status in {403, 422} and subresource == "":
                refused(answer, (*POD_GUARDS, "validation"))
            after = attacked.admin.get(covered).body["spec"]["containers"][0]["image"]
            assert after == before, f"{way} {subresource}: {answer.status}"
    strategic = {"spec": {"containers": [{"name": "main", "image": OTHER}]}}
    refused(attacker.patch(covered, strategic, api.STRATEGIC), POD_GUARDS)
    refused(attacked.admin.patch(covered, strategic, api.STRATEGIC), POD_GUARDS)


@pytest.mark.parametrize("end", ["while it is in force", "after its expiry"])
def test_a_host_namespace_pod_takes_no_ephemeral_container(attacked: World, end: str) -> None:
    """T13: Replace, patch and apply add an ephemeral container to an ordinary pod, but none to a host-namespace pod."""
    namespace = attacked.namespace()
    attacker = tenant(attacked, namespace)
    attacked.granted_pod(namespace, seconds=3600 if end.startswith("while") else 4, onExpiry="Report")
    attacker.post(attacked.pods(namespace), pod("plain")).expect(201)
    if end.startswith("after"):
        attacked.until("it has ended", lambda: attacked.verdict(namespace, "capture") == "Expired")
    path = f"{attacked.pods(namespace)}/capture"
    debugger = [{"name": "debugger", "image": IMAGE}]
    seen = attacked.admin.get(path).expect(200).body
    at = ("spec", "ephemeralContainers")
    for way, answer in writes(attacker, f"{path}/ephemeralcontainers", seen, at, debugger):
        assert answer.status != 200, way
        if answer.status in {403, 422}:  # the subresource has no server-side apply
            refused(answer, (*POD_GUARDS, "PSA"))
    refused(attacker.patch(f"{path}/ephemeralcontainers", _debugger(), api.STRATEGIC), (*POD_GUARDS, "PSA"))
    assert "ephemeralContainers" not in attacked.admin.get(path).body["spec"]
    plain = f"{attacked.pods(namespace)}/plain/ephemeralcontainers"
    privileged = _debugger(securityContext={"privileged": True})
    refused(attacker.patch(plain, privileged, api.STRATEGIC), ("PSA", "relaxed-namespace"), "privileged")
    attacker.patch(plain, _debugger(), api.STRATEGIC).expect(200)


def _debugger(**fields: Any) -> dict[str, Any]:
    return {"spec": {"ephemeralContainers": [{"name": "debugger", "image": IMAGE, **fields}]}}


# -- disguises (T10, T11, T25, T26) -----------------------------------------------------------------------------------


def test_the_looks_of_a_covered_pod_cover_nothing(attacked: World, relaxed: str, covered: str) -> None:
    """T10, CVE-2025-5187: The labels and the owner of a covered pod do not cover a pod of another account."""
    attacker = tenant(attacked, relaxed)
    path = workloads(relaxed, "DaemonSet")
    agent = workload("DaemonSet", "allowed", hostNetwork=True, serviceAccountName="agent")
    owner = attacker.post(path, agent).expect(201).body
    reference = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "allowed", "uid": owner["metadata"]["uid"]}
    forged = pod("forged", hostNetwork=True)
    forged["metadata"] |= {
        "labels": {"app": "allowed", f"{LABEL}/verdict": "Covered", "app.kubernetes.io/managed-by": "kubectl-debug"},
        "ownerReferences": [{**reference, "controller": True, "blockOwnerDeletion": True}],
    }
    refused(attacker.post(attacked.pods(relaxed), forged), POD_GUARDS)
    attacked.until("the owner's own pods are made", lambda: len(_pods_of(attacked, relaxed, "allowed")) == 2)
    attacker.delete(f"{path}/allowed").expect(200)


def _pods_of(world: World, namespace: str, app: str) -> list[dict[str, Any]]:
    return world.admin.items(f"{world.pods(namespace)}?labelSelector=app%3D{app}")


def test_no_service_account_stands_in_for_another(attacked: World, relaxed: str) -> None:
    """T10: Neither the deprecated alias of the field nor an account that does not exist gets the grant of `agent`."""
    attacker = tenant(attacked, relaxed)
    for account in ({"serviceAccount": "default"}, {"serviceAccountName": "default", "serviceAccount": "agent"}):
        answer = attacker.post(attacked.pods(relaxed), pod(hostNetwork=True, **account))
        assert refuser(answer) in POD_GUARDS, answer.message
    missing = attacker.post(attacked.pods(relaxed), pod(hostNetwork=True, serviceAccountName="agent2"))
    assert missing.status == 403, missing.message
    honest = pod("honest", hostNetwork=True, serviceAccount="agent")
    attacker.post(f"{attacked.pods(relaxed)}?dryRun=All", honest).expect(201)


@pytest.mark.parametrize("kind", ["relaxed", "kept"])
def test_a_forged_mirror_pod_is_refused(attacked: World, request: pytest.FixtureRequest, kind: str) -> None:
    """T11: Only a kubelet may set the annotation of a mirror pod, at creation and afterwards."""
    namespace = request.getfixturevalue(kind)
    attacker = tenant(attacked, namespace)
    body = pod("mirror", hostNetwork=True, nodeName="node-1")
    body["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "abc", "kubernetes.io/config.source": "file"}
    by = POD_GUARDS if kind == "relaxed" else ("host-namespaces",)
    message = refused(attacker.post(attacked.pods(namespace), body), by)
    if kind == "kept":
        assert "only a kubelet may set the annotation kubernetes.io/config.mirror" in message
    attacker.post(attacked.pods(namespace), pod("later")).expect(201)
    later = f"{attacked.pods(namespace)}/later"
    for subresource in ("", "/status"):
        seen = attacked.admin.get(later).body
        at = ("metadata", "annotations", "kubernetes.io/config.mirror")
        for way, answer in writes(attacker, later + subresource, seen, at, "abc"):
            assert answer.status in {409, 422}, f"{way}: {answer.status}"
    assert "kubernetes.io/config.mirror" not in attacked.admin.get(later).body["metadata"].get("annotations", {})


def test_a_mirror_annotation_by_binding_is_refused(attacked: World) -> None:
    """T11: A Binding does not make a covered pod static, so the operator deletes it when its exception ends."""
    namespace = attacked.namespace()
    attacker, pods = tenant(attacked, namespace), attacked.pods(namespace)
    attacked.exception(namespace, seconds=8, gracePeriodSeconds=0).expect(201)
    body = pod("capture", hostNetwork=True, schedulerName="nobody")
    attacked.until("in force", lambda: attacker.post(pods, body).status in {201, 409})
    target = {"kind": "Node", "name": "node-1"}
    for value in ("", "abc"):
        annotations = {"kubernetes.io/config.mirror": value}
        binding = {"metadata": {"name": "capture", "annotations": annotations}, "target": target}
        for path in (f"{pods}/capture/binding", f"/api/v1/namespaces/{namespace}/bindings"):
            refused(attacker.post(path, binding), "pod-size", "only a kubelet may set")
    attacker.post(f"{pods}/capture/binding", {"metadata": {"name": "capture"}, "target": target}).expect(201)
    attacked.until("it is covered", lambda: attacked.status(namespace).get("coveredPods") == 1)
    attacked.until("it is gone", lambda: attacked.is_deleted(namespace))
    assert deletions(attacked, namespace)


BEYOND: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("privileged", {"securityContext": {"privileged": True}}, {}),
    ("SYS_ADMIN", {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}, {}),
    ("hostPath", {}, {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}),
    ("host PID", {}, {"hostPID": True}),
    ("host IPC", {}, {"hostIPC": True}),
    ("sysctls", {}, {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}}),
    ("seccomp", {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, {}),
    ("AppArmor", {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}, {}),
    ("SELinux", {"securityContext": {"seLinuxOptions": {"type": "spc_t"}}}, {}),
    ("procMount", {"securityContext": {"procMount": "Unmasked"}}, {"hostUsers": False}),
]


@pytest.mark.parametrize(("what", "inner", "outer"), BEYOND, ids=[name for name, _, _ in BEYOND])
def test_an_exception_is_no_general_pass(
    attacked: World, relaxed: str, what: str, inner: dict[str, Any], outer: dict[str, Any]
) -> None:
    """T25: A covered pod that asks for anything beyond its exception is refused."""
    attacker = tenant(attacked, relaxed)
    spec = {"hostNetwork": True, "serviceAccountName": "agent"}
    answer = attacker.post(attacked.pods(relaxed), pod(containers=[container(**inner)], **spec, **outer))
    # procMount needs a user namespace, which the API server refuses to every pod on the host network.
    refused(answer, "validation" if what == "procMount" else POD_GUARDS)
    attacker.post(f"{attacked.pods(relaxed)}?dryRun=All", pod(**spec)).expect(201)


def test_host_ports_are_for_the_host_network_only(attacked: World, relaxed: str) -> None:
    """T25: A covered pod may have host ports, because its localhost is the node's anyway; any other pod may not."""
    attacker = tenant(attacked, relaxed)
    ports = [container(ports=[{"containerPort": 80, "hostPort": 80}])]
    refused(attacker.post(attacked.pods(relaxed), pod(containers=ports)), "relaxed-namespace", "hostPort")
    honest = pod(containers=ports, hostNetwork=True, serviceAccountName="agent")
    attacker.post(f"{attacked.pods(relaxed)}?dryRun=All", honest).expect(201)


@pytest.mark.parametrize("sort", ["containers", "initContainers", "sidecar"])
def test_no_sort_of_container_is_forgotten(attacked: World, relaxed: str, sort: str) -> None:
    """CVE-2023-2727, CVE-2023-2728, CVE-2024-3177: Every container counts, also an init container and a sidecar."""
    attacker = tenant(attacked, relaxed)
    spec = {"hostNetwork": True, "serviceAccountName": "agent"}
    for evil in (
        {"image": OTHER},
        {"securityContext": {"privileged": True}},
        {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}},
    ):
        second = {"name": "second", "image": IMAGE, **evil}
        if sort == "containers":
            body = pod(containers=[container(), second], **spec)
        else:
            always = {"restartPolicy": "Always"} if sort == "sidecar" else {}
            body = pod(initContainers=[{**second, **always}], **spec)
        refused(attacker.post(attacked.pods(relaxed), body), POD_GUARDS)
    honest = pod(initContainers=[{"name": "second", "image": IMAGE}], **spec)
    attacker.post(f"{attacked.pods(relaxed)}?dryRun=All", honest).expect(201)


@pytest.mark.parametrize("kind", VENUES)
@pytest.mark.parametrize("field", HOSTS)
def test_a_user_namespace_is_no_bait(attacked: World, request: pytest.FixtureRequest, kind: str, field: str) -> None:
    """T26: hostUsers: false beside a host namespace is refused, by whichever part of the API server checks first."""
    namespace = request.getfixturevalue(kind)
    answer = tenant(attacked, namespace).post(attacked.pods(namespace), pod(hostUsers=False, **{field: True}))
    refused(answer, (*VENUES[kind], "validation"))
    tenant(attacked, namespace).post(f"{attacked.pods(namespace)}?dryRun=All", pod(hostUsers=False)).expect(201)


def test_a_forged_time_of_creation_is_not_taken(attacked: World) -> None:
    """A4: The API server's clock decides about a pod that claims to be older than the exception's end."""
    namespace = attacked.namespace()
    lift(attacked, namespace, seconds=4, onExpiry="Report")
    attacked.until("it has ended", lambda: attacked.ready(namespace, "theirs") == "Expired")
    body = pod(hostNetwork=True, serviceAccountName="agent")
    body["metadata"]["creationTimestamp"] = attacked.time(-60)
    refused(tenant(attacked, namespace).post(attacked.pods(namespace), body), (*POD_GUARDS, "PSA"))


# -- weight (T24) -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", VENUES)
def test_a_huge_pod_is_judged_like_any_other(attacked: World, request: pytest.FixtureRequest, kind: str) -> None:
    """T24: 2,000 containers are admitted without host namespaces; with them 1,500 are judged like a single one."""
    namespace = request.getfixturevalue(kind)
    attacker, pods = tenant(attacked, namespace), attacked.pods(namespace)
    many = [{"name": f"c{number}", "image": f"registry.example.com/{number:0400}:1"} for number in range(2000)]
    attacker.post(f"{pods}?dryRun=All", pod("huge", containers=many)).expect(201)
    refused(attacker.post(pods, pod("huge", containers=many, hostNetwork=True)), (*VENUES[kind], "pod-size"))
    granted = [{"name": f"c{number}", "image": IMAGE} for number in range(1500)]
    others = [{**one, "image": OTHER} for one in granted]
    refused(attacker.post(pods, pod("huge", containers=others, hostNetwork=True)), VENUES[kind])
    if kind == "relaxed":
        honest = pod("huge", containers=granted, hostNetwork=True, serviceAccountName="agent")
        attacker.post(f"{pods}?dryRun=All", honest).expect(201)
        last = [*granted, {"name": "last", "image": OTHER}]
        refused(attacker.post(pods, {**honest, "spec": {**honest["spec"], "containers": last}}), POD_GUARDS)


def test_no_tenant_fills_a_pod_against_its_deletion(attacked: World) -> None:
    """A21: A tenant who fills a covered pod, at its creation or by every write, does not keep it beyond its expiry."""
    namespace = attacked.namespace()
    attacked.granted_pod(namespace, seconds=100)
    attacker, pods = tenant(attacked, namespace), attacked.pods(namespace)
    born = pod("born", containers=[container(args=["x" * 1_300_000])], hostNetwork=True)
    answers = [attacker.post(pods, born)]
    managed = {"metadata": {"managedFields": [_managed("x" * 1_300_000)]}}
    answers.append(attacker.request("PATCH", f"{pods}/capture", managed, api.MERGE, 60))
    answers.append(attacker.patch(f"{pods}/capture/status", {"status": {"message": "x" * 1_300_000}}))
    answers += fill(attacker, f"{pods}/capture", 11_400)
    attacked.until("it is gone", lambda: host_pods(attacked, namespace) == [], 120)
    for answer in answers:
        refused(answer, "pod-size", "at most 900000 bytes")
    assert deletions(attacked, namespace)


def _managed(text: str) -> dict[str, Any]:
    identity = {"manager": "me", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1"}
    return {**identity, "fieldsV1": {"f:metadata": {f"f:{text}": {}}}}


# -- a namespace that is going ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["relaxed", "kept"])
def test_a_namespace_that_is_going_opens_nothing(attacked: World, kept: str, kind: str) -> None:
    """A5, CVE-2024-7598: Once the exceptions are gone, no pod is created, and no existing pod gets another image."""
    namespace = attacked.namespace(labels={} if kind == "relaxed" else {KEPT: "agents"})
    attacker = tenant(attacked, namespace)
    lift(attacked, namespace)
    path = f"{attacked.pods(namespace)}/held"
    body = pod("held", hostNetwork=True, serviceAccountName="agent", terminationGracePeriodSeconds=0)
    body["metadata"]["finalizers"] = ["example.com/hold"]
    attacker.post(attacked.pods(namespace), body).expect(201)
    attacked.until("it is covered", lambda: attacked.status(namespace, "theirs").get("coveredPods") == 1)
    attacker.delete(f"/api/v1/namespaces/{namespace}").expect(200)
    attacked.until("the pods go", lambda: "deletionTimestamp" in attacked.admin.get(path).body["metadata"])
    attacker.delete(f"{attacked.exceptions(namespace)}/theirs").expect(200)
    late = attacker.post(attacked.pods(namespace), pod("late", hostNetwork=True, serviceAccountName="agent"))
    assert late.status == 403
    image = {"spec": {"containers": [{"name": "main", "image": OTHER}]}}
    refused(attacker.patch(path, image, api.STRATEGIC), POD_GUARDS)
    refused(attacker.patch(f"{path}/ephemeralcontainers", _debugger(), api.STRATEGIC), POD_GUARDS)
    attacker.patch(path, {"metadata": {"finalizers": None}}).expect(200)
    attacked.until("it is gone", lambda: attacked.admin.get(f"/api/v1/namespaces/{namespace}").status == 404, 60)
