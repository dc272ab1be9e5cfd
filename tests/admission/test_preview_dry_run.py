"""preview-dry-run: the preview namespaces answer dry runs about pods, and no pod ever runs there."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from hostnetwork_operator.api import labels
from tests.admission import workbench
from tests.controlplane import api, operator
from tests.controlplane import cluster as controlplane

NAMESPACES = labels.PREVIEW_NAMESPACES
FINALIZER = "example.com/kept"
BAD = {"hostNetwork": True, "hostPID": True}


@pytest.fixture(scope="module")
def cluster() -> Iterator[controlplane.Cluster]:
    """A control plane with two pods in each preview namespace from before the policies."""
    with controlplane.Cluster() as control_plane:
        for level in ("baseline", "restricted"):
            operator.apply(control_plane, "-f", str(operator.ROOT / f"manifests/base/preview-{level}-namespace.yaml"))
        for name in NAMESPACES:
            account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
            control_plane.wait("its service account", lambda path=account: control_plane.admin.get(path).status == 200)
            for pod_name in ("first", "second"):
                body = workbench.pod()
                body["metadata"] = {"name": pod_name, "finalizers": [FINALIZER]}
                control_plane.admin.post(f"/api/v1/namespaces/{name}/pods", body).expect(201)
        operator.apply(control_plane, "--server-side", "-f", str(operator.ROOT / "crds"))
        operator.apply(control_plane, "-k", str(operator.ROOT / "manifests" / "admission"))
        yield control_plane


@pytest.fixture(scope="module")
def governed(cluster: controlplane.Cluster) -> controlplane.Cluster:
    """That control plane with the policies in force."""
    for name in NAMESPACES:
        pods = f"/api/v1/namespaces/{name}/pods"

        def refuses(pods: str = pods) -> bool:
            answer = cluster.admin.post(pods, workbench.pod())
            if answer.status == 201:  # the policy is not in force yet
                cluster.admin.delete(f"{pods}/{answer.body['metadata']['name']}").expect(200)
            return answer.status == 403

        cluster.wait("preview-dry-run in force", refuses)
    return cluster


def asker(cluster: controlplane.Cluster, name: str, who: str) -> api.Api:
    users = {
        "administrator": lambda: cluster.kubeconfig,
        "tenant": lambda: cluster.tenant(name),
        "node": lambda: cluster.node_user("node-1"),
        "operator": lambda: _operator_that_may_create_pods(cluster),
    }
    return cluster.api(users[who]())


def _operator_that_may_create_pods(cluster: controlplane.Cluster) -> pathlib.Path:
    account = workbench.operator(cluster)
    rbac = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": "stolen"},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "namespace": labels.SYSTEM_NAMESPACE, "name": labels.MANAGER}],
    }
    cluster.admin.post(f"/apis/{rbac}/v1/clusterrolebindings", binding).expect(201, 409)
    cluster.wait("its right", lambda: cluster.api(account).get("/api/v1/nodes").status == 200)
    return account


@pytest.mark.parametrize("name", NAMESPACES)
@pytest.mark.parametrize("who", ["administrator", "tenant", "operator"])
@pytest.mark.parametrize("spec", [{}, BAD], ids=["harmless", "host-namespaces"])
def test_nobody_creates_a_pod(governed: controlplane.Cluster, name: str, who: str, spec: dict[str, Any]) -> None:
    """Every pod is refused, with a remedy: posted with a name or a generated name, or applied."""
    client = asker(governed, name, who)
    pods = f"/api/v1/namespaces/{name}/pods"
    body = workbench.pod(**spec)
    generated_body = {**body, "metadata": {"generateName": "any-"}}
    pod_name = body["metadata"]["name"]
    for answer in (
        client.post(pods, body),
        client.post(pods, generated_body),
        client.apply(f"{pods}/{pod_name}", body, "somebody"),
    ):
        workbench.refused(
            answer, f'preview-dry-run: no pod may run in namespace "{name}"', "repeat the request with --dry-run=server"
        )
    assert {"first", "second"} == _names(governed, name)


def _names(cluster: controlplane.Cluster, name: str) -> set[str]:
    return {body["metadata"]["name"] for body in cluster.admin.items(f"/api/v1/namespaces/{name}/pods")}


@pytest.mark.parametrize("name", NAMESPACES)
def test_a_node_stores_no_mirror_pod_there(governed: controlplane.Cluster, name: str) -> None:
    """NodeRestriction would let a kubelet store its own mirror pod; the policy refuses it like any other pod."""
    node = governed.admin.get("/api/v1/nodes/node-1").expect(200).body["metadata"]
    body = workbench.pod(nodeName="node-1", hostNetwork=True)
    body["metadata"]["annotations"] = {labels.MIRROR: "x"}
    owner = {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": node["uid"], "controller": True}
    body["metadata"]["ownerReferences"] = [owner]
    client = asker(governed, name, "node")
    client.post("/api/v1/namespaces/default/pods?dryRun=All", body).expect(201)
    workbench.refused(client.post(f"/api/v1/namespaces/{name}/pods", body), "preview-dry-run: no pod may run")


@pytest.mark.parametrize("name", NAMESPACES)
def test_a_dry_run_is_answered_with_all_that_pod_security_has_against_a_pod(
    governed: controlplane.Cluster, name: str
) -> None:
    """The API server admits the dry run, stores nothing and warns of each violated control.

    A pod without a violation gets no warning.
    """
    level = name.removeprefix("hostnetwork-preview-")
    client = asker(governed, name, "tenant")
    violating = workbench.pod({"securityContext": {"privileged": True}}, **BAD)
    (warning,) = client.post(f"/api/v1/namespaces/{name}/pods?dryRun=All", violating).expect(201).warnings
    assert warning.startswith(f'would violate PodSecurity "{level}:latest": host namespaces')
    assert "privileged" in warning
    assert ("runAsNonRoot" in warning) == (level == "restricted")
    conforming = workbench.pod(
        {"securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}},
        securityContext={"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    )
    answer = client.post(f"/api/v1/namespaces/{name}/pods?dryRun=All", conforming).expect(201)
    assert answer.warnings == ()
    assert {"first", "second"} == _names(governed, name)


@pytest.mark.parametrize("name", NAMESPACES)
def test_controllers_are_made_and_their_pods_refused(governed: controlplane.Cluster, name: str) -> None:
    """The API server stores Deployment, DaemonSet and Job and refuses their pods; their Events report the refusal."""
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [workbench.container()]}}
    base, selector = f"/apis/apps/v1/namespaces/{name}", {"matchLabels": {"app": "a"}}
    spec = {"selector": selector, "template": template}
    governed.admin.post(f"{base}/deployments", {"metadata": {"name": "a"}, "spec": spec}).expect(201)
    governed.admin.post(f"{base}/daemonsets", {"metadata": {"name": "b"}, "spec": spec}).expect(201)
    job_spec = {"template": {"spec": {**template["spec"], "restartPolicy": "Never"}}}
    governed.admin.post(f"/apis/batch/v1/namespaces/{name}/jobs", {"metadata": {"name": "c"}, "spec": job_spec}).expect(
        201
    )

    def refused_kinds() -> set[str]:
        events = governed.admin.items(f"/api/v1/namespaces/{name}/events?fieldSelector=reason%3DFailedCreate")
        return {event["involvedObject"]["kind"] for event in events if "preview-dry-run: no pod" in event["message"]}

    governed.wait("three refusals told", lambda: refused_kinds() == {"ReplicaSet", "DaemonSet", "Job"})
    assert {"first", "second"} == _names(governed, name)
    for path in (f"{base}/deployments/a", f"{base}/daemonsets/b", f"/apis/batch/v1/namespaces/{name}/jobs/c"):
        governed.admin.delete(path).expect(200)


@pytest.mark.parametrize("name", NAMESPACES)
def test_the_name_that_it_is_selected_by_stays(governed: controlplane.Cluster, name: str) -> None:
    """No write by any path can change kubernetes.io/metadata.name or remove it with all labels."""
    path = f"/api/v1/namespaces/{name}"
    key = "kubernetes.io/metadata.name"
    namespace = governed.admin.get(path).expect(200).body
    for subresource in ("", "/status", "/finalize"):
        for new_labels in ({key: "other"}, {key: ""}, {}):
            body = governed.admin.get(path).expect(200).body
            body["metadata"]["labels"] = new_labels
            governed.admin.put(path + subresource, body)
            assert governed.admin.get(path).expect(200).body["metadata"]["labels"][key] == name
            workbench.refused(governed.admin.post(f"{path}/pods", workbench.pod()), "preview-dry-run")
    governed.admin.patch(path, {"metadata": {"labels": namespace["metadata"]["labels"]}}).expect(200)


@pytest.mark.parametrize("name", NAMESPACES)
def test_a_pod_that_was_there_before_gets_no_ephemeral_container(governed: controlplane.Cluster, name: str) -> None:
    """Not even a harmless container is allowed; a dry run is."""
    path = f"/api/v1/namespaces/{name}/pods/first/ephemeralcontainers"
    change = {"spec": {"ephemeralContainers": [{"name": "debugger", "image": workbench.IMAGE}]}}
    for user in ("administrator", "tenant"):
        client = asker(governed, name, user)
        answer = client.patch(path, change, content_type=api.STRATEGIC)
        workbench.refused(answer, f'preview-dry-run: no pod may run in namespace "{name}"')
        client.patch(f"{path}?dryRun=All", change, content_type=api.STRATEGIC).expect(200)


@pytest.mark.parametrize("name", NAMESPACES)
def test_what_ends_a_pod_and_a_namespace_passes(governed: controlplane.Cluster, name: str) -> None:
    """Changes of labels, status and finalizers, evictions and deletions pass, and so does a new service account."""
    namespace = f"/api/v1/namespaces/{name}"
    first, second = f"{namespace}/pods/first", f"{namespace}/pods/second"
    tenant = asker(governed, name, "tenant")
    tenant.post(f"{namespace}/serviceaccounts", {"metadata": {"name": "another"}}).expect(201)
    tenant.patch(first, {"metadata": {"labels": {"a": "b"}}}).expect(200)
    tenant.patch(f"{first}/status", {"status": {"message": "m"}}).expect(200)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "second", "namespace": name}}
    tenant.post(f"{second}/eviction", eviction).expect(201)
    tenant.patch(second, {"metadata": {"finalizers": None}}).expect(200)
    governed.wait("it is gone", lambda: governed.admin.get(second).status == 404)
    tenant.request("DELETE", f"{namespace}/pods").expect(200)
    governed.admin.delete(namespace).expect(200)
    tenant.patch(first, {"metadata": {"finalizers": None}}).expect(200)
    governed.wait("all of it is gone", lambda: governed.admin.get(namespace).status == 404)
    level = name.removeprefix("hostnetwork-preview-")
    operator.apply(governed, "-f", str(operator.ROOT / f"manifests/base/preview-{level}-namespace.yaml"))
    account = f"{namespace}/serviceaccounts/default"
    governed.wait("its service account", lambda: governed.admin.get(account).status == 200)
    workbench.refused(governed.admin.post(f"{namespace}/pods", workbench.pod()), "preview-dry-run")


@pytest.mark.parametrize("spec", [{}, BAD], ids=["harmless", "host-namespaces"])
def test_elsewhere_nothing_is_refused(governed: controlplane.Cluster, spec: dict[str, Any]) -> None:
    """This includes a namespace with the same labels and nearly the same name."""
    namespace_labels = {"pod-security.kubernetes.io/warn": "baseline", "app.kubernetes.io/name": "hostnetwork-operator"}
    metadata = {"name": "hostnetwork-preview", "labels": namespace_labels}
    governed.admin.post("/api/v1/namespaces", {"metadata": metadata}).expect(201, 409)
    path = "/api/v1/namespaces/hostnetwork-preview"
    governed.wait("its account", lambda: governed.admin.get(f"{path}/serviceaccounts/default").status == 200)
    governed.admin.post(f"{path}/pods", workbench.pod(**spec)).expect(201)
