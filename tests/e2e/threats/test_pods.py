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
    messages_of,
    pod,
    refused,
    refuser,
    tenant,
    workload,
    workloads,
    writes,
)

OTHER = "registry.example.com/other:1"
VENUES = {"enforced": ("PSA",), "relaxed": POD_GUARDS, "agents_namespace": ("host-namespaces",)}


@pytest.fixture(params=VENUES)
def venue(request: pytest.FixtureRequest, world: World) -> tuple[str, tuple[str, ...]]:
    """Each sort of namespace, and the parts of the API server that have to refuse there."""
    return request.getfixturevalue(request.param), VENUES[request.param]


# -- T1: made directly ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", HOSTS)
def test_no_path_makes_a_host_namespace_pod(world: World, venue: tuple[str, tuple[str, ...]], field: str) -> None:
    """T1: create, generateName, dry run, server-side apply and replace make no pod, and each refusal says why."""
    namespace, refusers = venue
    attacker, pods = tenant(world, namespace), world.pods(namespace)
    body = pod(**{field: True})
    unnamed_body = {**body, "metadata": {"generateName": "evil-"}}
    for answer in (
        attacker.post(pods, body),
        attacker.post(f"{pods}?dryRun=All", body),
        attacker.post(pods, unnamed_body),
        attacker.apply(f"{pods}/evil", body, "attacker"),
        attacker.apply(f"{pods}/evil", body, "attacker", force=True),
        world.admin.post(pods, body),
    ):
        refused(answer, refusers, HOSTS[field])
    assert attacker.put(f"{pods}/evil", body).status == 404  # replace creates no pod
    assert host_pods(world, namespace) == []
    attacker.post(f"{pods}?dryRun=All", pod("plain")).expect(201)


def test_kubectl_makes_no_host_namespace_pod(world: World, relaxed: str) -> None:
    """T1: kubectl run with overrides, and a careless administrator's kubectl debug node/, are refused with a reason."""
    overrides = f"--overrides={json.dumps({'spec': {'hostNetwork': True}})}"
    user = world.cluster.tenant(relaxed)
    completed = world.cluster.kubectl("run", "evil", f"--image={IMAGE}", overrides, "-n", relaxed, user=user)
    assert completed.returncode != 0
    assert any(guard in completed.stderr for guard in POD_GUARDS), completed.stderr
    for profile in ("general", "sysadmin"):
        arguments = ["debug", "node/node-1", "-n", relaxed, f"--image={IMAGE}", f"--profile={profile}"]
        completed = world.cluster.kubectl(*arguments)
        assert completed.returncode != 0
        assert any(guard in completed.stderr for guard in POD_GUARDS), completed.stderr
    assert host_pods(world, relaxed) == []


def test_a_running_pod_does_not_become_one(world: World, relaxed: str) -> None:
    """T1: No write and no subresource turns an ordinary pod into a host-namespace pod."""
    attacker, path = tenant(world, relaxed), f"{world.pods(relaxed)}/turncoat"
    attacker.post(world.pods(relaxed), pod("turncoat")).expect(201)
    for subresource in ("", "/status", "/resize", "/ephemeralcontainers"):
        for field in HOSTS:
            current = world.admin.get(path).expect(200).body
            for method, answer in writes(attacker, path + subresource, current, ("spec", field), value=True):
                if answer.status != 200:
                    assert answer.status in {403, 404, 409, 415, 422, 500}, f"{method}: {answer.message}"
            assert host_pods(world, relaxed) == []


# -- T1: made by controllers ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evil_workloads(world: World, enforced: str, relaxed: str, agents_namespace: str) -> None:
    """In each namespace one workload of every kind that asks for the host network, created by the tenant."""
    old_status = {"status": {"lastScheduleTime": world.time(-90)}}  # so that the CronJob is due immediately
    for namespace in (enforced, relaxed, agents_namespace):
        attacker = tenant(world, namespace)
        for kind in WORKLOADS:
            path, name = workloads(namespace, kind), f"evil-{kind.lower()}"
            attacker.post(path, workload(kind, name, hostNetwork=True)).expect(201)
            if kind == "CronJob":
                attacker.patch(f"{path}/{name}/status", old_status).expect(200)


@pytest.mark.parametrize("kind", WORKLOADS)
def test_no_controller_makes_one(
    world: World, evil_workloads: None, venue: tuple[str, tuple[str, ...]], kind: str
) -> None:
    """T1: Workloads of every kind are accepted, their pods are refused, and a condition or an Event says why."""
    namespace, refusers = venue
    owner = "Job" if kind == "CronJob" else kind
    marks = ("violates PodSecurity",) if refusers == ("PSA",) else refusers

    def is_reported() -> bool:
        text = messages_of(world, namespace, owner, f"evil-{kind.lower()}")
        return any(mark in text for mark in marks)

    world.until(f"{kind} says why it has no pod", is_reported)
    assert host_pods(world, namespace) == []


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController"])
def test_no_workload_is_turned_into_one(world: World, relaxed: str, kind: str) -> None:
    """T1: A running workload whose template any verb changes to the host network gets no such pod."""
    attacker, name = tenant(world, relaxed), f"turned-{kind.lower()}"
    path = f"{workloads(relaxed, kind)}/{name}"
    attacker.post(workloads(relaxed, kind), workload(kind, name)).expect(201)

    def pod_runs() -> bool:
        pods = world.admin.items(f"{world.pods(relaxed)}?labelSelector=app%3D{name}")
        return any(pod_body.get("status", {}).get("phase") == "Running" for pod_body in pods)

    world.until("its ordinary pod runs", pod_runs)
    for field in HOSTS:
        field_path = ("spec", "template", "spec", field)
        for _, answer in writes(attacker, path, world.admin.get(path).body, field_path, value=True):
            assert answer.status in {200, 409}, answer.message
    if kind in {"ReplicaSet", "ReplicationController"}:  # these do not replace pods automatically
        attacker.delete(f"{world.pods(relaxed)}?labelSelector=app%3D{name}").expect(200)
    world.until(
        "it says why it has no new pod",
        lambda: any(guard in messages_of(world, relaxed, kind, name) for guard in POD_GUARDS),
    )
    assert host_pods(world, relaxed) == []


# -- the honest neighbour of all this ---------------------------------------------------------------------------------


def test_a_covered_deployment_scales_rolls_and_is_drained(world: World) -> None:
    """T1, honest: A covered Deployment scales up and rolls out, and its evicted pod is replaced, beside plain pods."""
    namespace = world.namespace()
    lift(world, namespace, images=[IMAGE, OTHER])
    owner = tenant(world, namespace)
    path = f"{workloads(namespace, 'Deployment')}/agent"
    spec = {"hostNetwork": True, "serviceAccountName": "agent", "terminationGracePeriodSeconds": 0}
    # The pods have no host ports, which would collide in the scheduler on one node.
    owner.post(workloads(namespace, "Deployment"), workload("Deployment", "agent", **spec)).expect(201)
    owner.post(workloads(namespace, "Deployment"), workload("Deployment", "plain")).expect(201)

    def ready(name: str, count: int) -> bool:
        status = world.admin.get(f"{workloads(namespace, 'Deployment')}/{name}").body.get("status", {})
        return status.get("readyReplicas") == count == status.get("updatedReplicas") == status.get("replicas")

    world.until("one pod each", lambda: ready("agent", 1) and ready("plain", 1))
    owner.patch(f"{path}/scale", {"spec": {"replicas": 3}}).expect(200)
    world.until("three pods", lambda: ready("agent", 3))
    image_patch = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": OTHER}]}}}}
    owner.patch(path, image_patch, api.STRATEGIC).expect(200)
    world.until("rolled out", lambda: ready("agent", 3))
    world.until("the old ones gone", lambda: len(host_pods(world, namespace)) == 3)
    evicted = host_pods(world, namespace)[0]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": evicted, "namespace": namespace}}
    world.admin.post(f"{world.pods(namespace)}/{evicted}/eviction", eviction).expect(201)
    world.until("replaced", lambda: evicted not in host_pods(world, namespace) and ready("agent", 3))
    world.until("counted", lambda: world.status(namespace, "theirs").get("coveredPods") == 3)


@pytest.fixture(scope="module")
def covered_path(world: World, relaxed: str) -> str:
    """The path of a covered pod in the relaxed namespace."""
    body = pod("covered", hostNetwork=True, serviceAccountName="agent", nodeName="node-1")
    world.admin.post(world.pods(relaxed), body).expect(201)
    return f"{world.pods(relaxed)}/covered"


def test_what_is_done_to_covered_pods_every_day_is_done(world: World, relaxed: str, covered_path: str) -> None:
    """T13, honest: A kubelet's status write, labels, finalizers added and removed, a resize and a binding pass."""
    status = {"status": {"message": "all is well"}}
    kubelet(world).patch(f"{covered_path}/status", status, api.STRATEGIC).expect(200)
    owner = tenant(world, relaxed)
    owner.patch(covered_path, {"metadata": {"labels": {"a": "b"}, "finalizers": ["example.com/f"]}}).expect(200)
    owner.patch(covered_path, {"metadata": {"finalizers": None}}).expect(200)
    resize_patch = {"spec": {"containers": [{"name": "main", "resources": {"limits": {"memory": "1Gi"}}}]}}
    answer = owner.patch(f"{covered_path}/resize", resize_patch, api.STRATEGIC)
    assert answer.status == 200 or refuser(answer) == "validation", answer.message  # because of its quality of service
    unscheduled_pod = pod("bound", hostNetwork=True, serviceAccountName="agent", schedulerName="nobody")
    owner.post(world.pods(relaxed), unscheduled_pod).expect(201)
    binding = {"metadata": {"name": "bound"}, "target": {"kind": "Node", "name": "node-2"}}
    owner.post(f"{world.pods(relaxed)}/bound/binding", binding).expect(201)
    owner.delete(f"{world.pods(relaxed)}/bound", {"gracePeriodSeconds": 0}).expect(200)


# -- images, ephemeral containers (T13) -------------------------------------------------------------------------------


def test_the_images_of_a_covered_pod_stay(world: World, relaxed: str, covered_path: str) -> None:
    """A1: No verb and no subresource gives a covered pod another image, even a granted image."""
    attacker = tenant(world, relaxed)
    image_before = world.admin.get(covered_path).body["spec"]["containers"][0]["image"]
    main = world.admin.get(covered_path).body["spec"]["containers"][0]
    for subresource in ("", "/status", "/resize", "/ephemeralcontainers"):
        current = world.admin.get(covered_path).expect(200).body
        containers = [{**main, "image": OTHER}]
        for method, answer in writes(attacker, covered_path + subresource, current, ("spec", "containers"), containers):
            if answer.status in {403, 422} and subresource == "":
                refused(answer, (*POD_GUARDS, "validation"))
            image_after = world.admin.get(covered_path).body["spec"]["containers"][0]["image"]
            assert image_after == image_before, f"{method} {subresource}: {answer.status}"
    patch = {"spec": {"containers": [{"name": "main", "image": OTHER}]}}
    refused(attacker.patch(covered_path, patch, api.STRATEGIC), POD_GUARDS)
    refused(world.admin.patch(covered_path, patch, api.STRATEGIC), POD_GUARDS)


@pytest.mark.parametrize("end", ["while it is in force", "after its expiry"])
def test_a_host_namespace_pod_takes_no_ephemeral_container(world: World, end: str) -> None:
    """T13: Replace, patch and apply add an ephemeral container to an ordinary pod, but none to a host-namespace pod."""
    namespace = world.namespace()
    attacker = tenant(world, namespace)
    world.granted_pod(namespace, seconds=3600 if end.startswith("while") else 8, onExpiry="Report")
    attacker.post(world.pods(namespace), pod("plain")).expect(201)
    if end.startswith("after"):
        world.until("it has ended", lambda: world.verdict(namespace, "capture") == "Expired")
    path = f"{world.pods(namespace)}/capture"
    containers = [{"name": "debugger", "image": IMAGE}]
    current = world.admin.get(path).expect(200).body
    field_path = ("spec", "ephemeralContainers")
    for method, answer in writes(attacker, f"{path}/ephemeralcontainers", current, field_path, containers):
        assert answer.status != 200, method
        if answer.status in {403, 422}:  # the subresource has no server-side apply
            refused(answer, (*POD_GUARDS, "PSA"))
    refused(attacker.patch(f"{path}/ephemeralcontainers", _debugger_patch(), api.STRATEGIC), (*POD_GUARDS, "PSA"))
    assert "ephemeralContainers" not in world.admin.get(path).body["spec"]
    plain_path = f"{world.pods(namespace)}/plain/ephemeralcontainers"
    privileged_patch = _debugger_patch(securityContext={"privileged": True})
    refused(attacker.patch(plain_path, privileged_patch, api.STRATEGIC), ("PSA", "relaxed-namespace"), "privileged")
    attacker.patch(plain_path, _debugger_patch(), api.STRATEGIC).expect(200)


def _debugger_patch(**fields: Any) -> dict[str, Any]:
    return {"spec": {"ephemeralContainers": [{"name": "debugger", "image": IMAGE, **fields}]}}


# -- disguises (T10, T11, T25, T26) -----------------------------------------------------------------------------------


def test_the_looks_of_a_covered_pod_cover_nothing(world: World, relaxed: str, covered_path: str) -> None:
    """T10, CVE-2025-5187: The labels and the owner of a covered pod do not cover a pod of another account."""
    attacker = tenant(world, relaxed)
    path = workloads(relaxed, "DaemonSet")
    agent = workload("DaemonSet", "allowed", hostNetwork=True, serviceAccountName="agent")
    owner = attacker.post(path, agent).expect(201).body
    reference = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "allowed", "uid": owner["metadata"]["uid"]}
    forged_pod = pod("forged", hostNetwork=True)
    forged_pod["metadata"] |= {
        "labels": {"app": "allowed", f"{LABEL}/verdict": "Covered", "app.kubernetes.io/managed-by": "kubectl-debug"},
        "ownerReferences": [{**reference, "controller": True, "blockOwnerDeletion": True}],
    }
    refused(attacker.post(world.pods(relaxed), forged_pod), POD_GUARDS)
    world.until("the owner's own pods are made", lambda: len(_pods_of(world, relaxed, "allowed")) == 2)
    attacker.delete(f"{path}/allowed").expect(200)


def _pods_of(world: World, namespace: str, app: str) -> list[dict[str, Any]]:
    return world.admin.items(f"{world.pods(namespace)}?labelSelector=app%3D{app}")


def test_no_service_account_stands_in_for_another(world: World, relaxed: str) -> None:
    """T10: Neither the deprecated alias of the field nor an account that does not exist gets the grant of `agent`."""
    attacker = tenant(world, relaxed)
    for account in ({"serviceAccount": "default"}, {"serviceAccountName": "default", "serviceAccount": "agent"}):
        answer = attacker.post(world.pods(relaxed), pod(hostNetwork=True, **account))
        assert refuser(answer) in POD_GUARDS, answer.message
    answer_without_account = attacker.post(world.pods(relaxed), pod(hostNetwork=True, serviceAccountName="agent2"))
    assert answer_without_account.status == 403, answer_without_account.message
    honest_pod = pod("honest", hostNetwork=True, serviceAccount="agent")
    attacker.post(f"{world.pods(relaxed)}?dryRun=All", honest_pod).expect(201)


@pytest.mark.parametrize("kind", ["relaxed", "agents_namespace"])
def test_a_forged_mirror_pod_is_refused(world: World, request: pytest.FixtureRequest, kind: str) -> None:
    """T11: Only a kubelet may set the annotation of a mirror pod, at creation and afterwards."""
    namespace = request.getfixturevalue(kind)
    attacker = tenant(world, namespace)
    body = pod("mirror", hostNetwork=True, nodeName="node-1")
    body["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "abc", "kubernetes.io/config.source": "file"}
    refusers = POD_GUARDS if kind == "relaxed" else ("host-namespaces",)
    message = refused(attacker.post(world.pods(namespace), body), refusers)
    if kind == "agents_namespace":
        assert "only a kubelet may set the annotation kubernetes.io/config.mirror" in message
    attacker.post(world.pods(namespace), pod("later")).expect(201)
    later_path = f"{world.pods(namespace)}/later"
    for subresource in ("", "/status"):
        current = world.admin.get(later_path).body
        field_path = ("metadata", "annotations", "kubernetes.io/config.mirror")
        for method, answer in writes(attacker, later_path + subresource, current, field_path, "abc"):
            assert answer.status in {409, 422}, f"{method}: {answer.status}"
    assert "kubernetes.io/config.mirror" not in world.admin.get(later_path).body["metadata"].get("annotations", {})


def test_a_mirror_annotation_by_binding_is_refused(world: World) -> None:
    """T11: A Binding does not make a covered pod static, so the operator deletes it when its exception ends."""
    namespace = world.namespace()
    attacker, pods = tenant(world, namespace), world.pods(namespace)
    world.exception(namespace, seconds=8, gracePeriodSeconds=0).expect(201)
    body = pod("capture", hostNetwork=True, schedulerName="nobody")
    world.until("in force", lambda: attacker.post(pods, body).status in {201, 409})
    target = {"kind": "Node", "name": "node-1"}
    for value in ("", "abc"):
        annotations = {"kubernetes.io/config.mirror": value}
        binding = {"metadata": {"name": "capture", "annotations": annotations}, "target": target}
        for path in (f"{pods}/capture/binding", f"/api/v1/namespaces/{namespace}/bindings"):
            refused(attacker.post(path, binding), "pod-size", "only a kubelet may set")
    attacker.post(f"{pods}/capture/binding", {"metadata": {"name": "capture"}, "target": target}).expect(201)
    world.until("it is covered", lambda: world.status(namespace).get("coveredPods") == 1)
    world.until("it is gone", lambda: world.is_deleted(namespace))
    assert deletions(world, namespace)


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


@pytest.mark.parametrize(("beyond", "container_fields", "pod_fields"), BEYOND, ids=[name for name, _, _ in BEYOND])
def test_an_exception_is_no_general_pass(
    world: World, relaxed: str, beyond: str, container_fields: dict[str, Any], pod_fields: dict[str, Any]
) -> None:
    """T25: A covered pod that asks for anything beyond its exception is refused."""
    attacker = tenant(world, relaxed)
    spec = {"hostNetwork": True, "serviceAccountName": "agent"}
    answer = attacker.post(world.pods(relaxed), pod(containers=[container(**container_fields)], **spec, **pod_fields))
    # procMount needs a user namespace, which the API server refuses to every pod on the host network.
    refused(answer, "validation" if beyond == "procMount" else POD_GUARDS)
    attacker.post(f"{world.pods(relaxed)}?dryRun=All", pod(**spec)).expect(201)


def test_host_ports_are_for_the_host_network_only(world: World, relaxed: str) -> None:
    """T25: A covered pod may have host ports, because its localhost is the node's anyway; any other pod may not."""
    attacker = tenant(world, relaxed)
    containers = [container(ports=[{"containerPort": 80, "hostPort": 80}])]
    refused(attacker.post(world.pods(relaxed), pod(containers=containers)), "relaxed-namespace", "hostPort")
    honest_pod = pod(containers=containers, hostNetwork=True, serviceAccountName="agent")
    attacker.post(f"{world.pods(relaxed)}?dryRun=All", honest_pod).expect(201)


@pytest.mark.parametrize("sort", ["containers", "initContainers", "sidecar"])
def test_no_sort_of_container_is_forgotten(world: World, relaxed: str, sort: str) -> None:
    """CVE-2023-2727, CVE-2023-2728, CVE-2024-3177: Every container counts, also an init container and a sidecar."""
    attacker = tenant(world, relaxed)
    spec = {"hostNetwork": True, "serviceAccountName": "agent"}
    for fields in (
        {"image": OTHER},
        {"securityContext": {"privileged": True}},
        {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}},
    ):
        second_container = {"name": "second", "image": IMAGE, **fields}
        if sort == "containers":
            body = pod(containers=[container(), second_container], **spec)
        else:
            restart_policy = {"restartPolicy": "Always"} if sort == "sidecar" else {}
            body = pod(initContainers=[{**second_container, **restart_policy}], **spec)
        refused(attacker.post(world.pods(relaxed), body), POD_GUARDS)
    honest_pod = pod(initContainers=[{"name": "second", "image": IMAGE}], **spec)
    attacker.post(f"{world.pods(relaxed)}?dryRun=All", honest_pod).expect(201)


@pytest.mark.parametrize("kind", VENUES)
@pytest.mark.parametrize("field", HOSTS)
def test_a_user_namespace_is_no_bait(world: World, request: pytest.FixtureRequest, kind: str, field: str) -> None:
    """T26: hostUsers: false beside a host namespace is refused, by whichever part of the API server checks first."""
    namespace = request.getfixturevalue(kind)
    answer = tenant(world, namespace).post(world.pods(namespace), pod(hostUsers=False, **{field: True}))
    refused(answer, (*VENUES[kind], "validation"))
    tenant(world, namespace).post(f"{world.pods(namespace)}?dryRun=All", pod(hostUsers=False)).expect(201)


def test_a_forged_time_of_creation_is_not_taken(world: World) -> None:
    """A4: The API server's clock decides about a pod that claims to be older than the exception's end."""
    namespace = world.namespace()
    lift(world, namespace, seconds=4, onExpiry="Report")
    world.until("it has ended", lambda: world.ready(namespace, "theirs") == "Expired")
    body = pod(hostNetwork=True, serviceAccountName="agent")
    body["metadata"]["creationTimestamp"] = world.time(-60)
    refused(tenant(world, namespace).post(world.pods(namespace), body), (*POD_GUARDS, "PSA"))


# -- weight (T24) -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", VENUES)
def test_a_huge_pod_is_judged_like_any_other(world: World, request: pytest.FixtureRequest, kind: str) -> None:
    """T24: 2,000 containers are admitted without host namespaces; with them 1,500 are judged like a single one."""
    namespace = request.getfixturevalue(kind)
    attacker, pods = tenant(world, namespace), world.pods(namespace)
    many = [{"name": f"c{number}", "image": f"registry.example.com/{number:0400}:1"} for number in range(2000)]
    attacker.post(f"{pods}?dryRun=All", pod("huge", containers=many)).expect(201)
    refused(attacker.post(pods, pod("huge", containers=many, hostNetwork=True)), (*VENUES[kind], "pod-size"))
    granted = [{"name": f"c{number}", "image": IMAGE} for number in range(1500)]
    others = [{**granted_container, "image": OTHER} for granted_container in granted]
    refused(attacker.post(pods, pod("huge", containers=others, hostNetwork=True)), VENUES[kind])
    if kind == "relaxed":
        honest_pod = pod("huge", containers=granted, hostNetwork=True, serviceAccountName="agent")
        attacker.post(f"{pods}?dryRun=All", honest_pod).expect(201)
        containers = [*granted, {"name": "last", "image": OTHER}]
        refused(
            attacker.post(pods, {**honest_pod, "spec": {**honest_pod["spec"], "containers": containers}}), POD_GUARDS
        )


@pytest.mark.alone
def test_no_tenant_fills_a_pod_against_its_deletion(world: World) -> None:
    """A21: A tenant who fills a covered pod, at its creation or by every write, does not keep it beyond its expiry."""
    namespace = world.namespace()
    world.granted_pod(namespace, seconds=100)
    attacker, pods = tenant(world, namespace), world.pods(namespace)
    large_pod = pod("born", containers=[container(args=["x" * 1_300_000])], hostNetwork=True)
    answers = [attacker.post(pods, large_pod)]
    patch = {"metadata": {"managedFields": [_managed_entry("x" * 1_300_000)]}}
    answers.append(attacker.request("PATCH", f"{pods}/capture", patch, api.MERGE, 60))
    answers.append(attacker.patch(f"{pods}/capture/status", {"status": {"message": "x" * 1_300_000}}))
    answers += fill(attacker, f"{pods}/capture", 11_400)
    world.until("it is gone", lambda: host_pods(world, namespace) == [], 120)
    for answer in answers:
        refused(answer, "pod-size", "at most 900000 bytes")
    assert deletions(world, namespace)


def _managed_entry(text: str) -> dict[str, Any]:
    identity = {"manager": "me", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1"}
    return {**identity, "fieldsV1": {"f:metadata": {f"f:{text}": {}}}}


# -- a namespace that is going ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["relaxed", "agents_namespace"])
def test_a_namespace_that_is_going_opens_nothing(world: World, agents_namespace: str, kind: str) -> None:
    """A5, CVE-2024-7598: Once the exceptions are gone, no pod is created, and no existing pod gets another image."""
    namespace = world.namespace(labels={} if kind == "relaxed" else {KEPT: "agents"})
    attacker = tenant(world, namespace)
    lift(world, namespace)
    path = f"{world.pods(namespace)}/held"
    body = pod("held", hostNetwork=True, serviceAccountName="agent", terminationGracePeriodSeconds=0)
    body["metadata"]["finalizers"] = ["example.com/hold"]
    attacker.post(world.pods(namespace), body).expect(201)
    world.until("it is covered", lambda: world.status(namespace, "theirs").get("coveredPods") == 1)
    attacker.delete(f"/api/v1/namespaces/{namespace}").expect(200)
    world.until("the pods go", lambda: "deletionTimestamp" in world.admin.get(path).body["metadata"])
    attacker.delete(f"{world.exceptions(namespace)}/theirs").expect(200)
    answer = attacker.post(world.pods(namespace), pod("late", hostNetwork=True, serviceAccountName="agent"))
    assert answer.status == 403
    image_patch = {"spec": {"containers": [{"name": "main", "image": OTHER}]}}
    refused(attacker.patch(path, image_patch, api.STRATEGIC), POD_GUARDS)
    refused(attacker.patch(f"{path}/ephemeralcontainers", _debugger_patch(), api.STRATEGIC), POD_GUARDS)
    attacker.patch(path, {"metadata": {"finalizers": None}}).expect(200)
    world.until("it is gone", lambda: world.admin.get(f"/api/v1/namespaces/{namespace}").status == 404, 60)
