"""Fixtures for suites of the admission policies: a real control plane without the operator, shared by a package."""

import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hostnetwork_operator.api import labels
from tests.controlplane import cluster as controlplane

ROOT = pathlib.Path(__file__).parent.parent
_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def cluster() -> Iterator[controlplane.Cluster]:
    """A control plane without any object of the operator."""
    with controlplane.Cluster(audit=True) as running:
        yield running


@pytest.fixture(scope="package")
def governed(cluster: controlplane.Cluster) -> controlplane.Cluster:
    """The control plane with crds/ and manifests/admission applied and in force, without the operator."""
    for flag, path in (("-f", "crds"), ("-k", "manifests/admission")):
        completed = cluster.kubectl("apply", "--server-side", flag, str(ROOT / path))
        assert completed.returncode == 0, completed.stderr
    cluster.wait("the policies in force", lambda: _refuses(cluster))
    return cluster


def _refuses(cluster: controlplane.Cluster) -> bool:
    # A new policy takes about a second to come into force. namespace-labels refuses a forged label on a dry run.
    patch = {"metadata": {"labels": {labels.ENFORCEMENT: "Deny"}}}
    user = cluster.user("nobody-in-particular", "probers")
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "probers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "probers"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "probers"}],
    }
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "probers"},
        "rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "patch"]}],
    }
    cluster.admin.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", role).expect(201, 409)
    cluster.admin.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).expect(201, 409)
    if cluster.api(user).patch("/api/v1/namespaces/default?dryRun=All", patch).status != 403:
        return False
    # The policies come into force one by one. Each of these pods is refused by one policy only:
    # relaxed-namespace-restricted (a pod without a security context violates Restricted), relaxed-namespace,
    # host-namespaces.
    host_path = {"volumes": [{"name": "disk", "hostPath": {"path": "/"}}]}
    probes = (("restricted", {}), ("baseline", host_path), ("", {"hostNetwork": True}))
    return all(_refuses_pod(cluster, guard, spec) for guard, spec in probes)


def _refuses_pod(cluster: controlplane.Cluster, guard: str, spec: dict[str, Any]) -> bool:
    """Return whether such a pod is refused in a namespace at privileged, under this guard or none."""
    namespace = f"probed-{guard or 'alone'}"
    values = {labels.ENFORCEMENT: "Deny", labels.PSA_ENFORCE: "privileged", **({labels.GUARD: guard} if guard else {})}
    cluster.admin.post("/api/v1/namespaces", {"metadata": {"name": namespace, "labels": values}}).expect(201, 409)
    path = f"/api/v1/namespaces/{namespace}"
    cluster.admin.post(f"{path}/serviceaccounts", {"metadata": {"name": "default"}}).expect(201, 409)
    body = {"metadata": {"name": "probe"}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}
    return cluster.admin.post(f"{path}/pods?dryRun=All", body).status == 403


@pytest.fixture
def new_namespace(cluster: controlplane.Cluster) -> Callable[..., str]:
    """Return a function that creates a namespace with labels and annotations as cluster admin and returns its name."""

    def make(labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None) -> str:
        name = f"test-{next(_numbers)}"
        metadata = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        cluster.admin.post("/api/v1/namespaces", body).expect(201)
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        cluster.wait("its service account", lambda: cluster.admin.get(account).status == 200)
        return name

    return make
