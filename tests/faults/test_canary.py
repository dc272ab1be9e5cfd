"""Ordinary work is never refused while our objects are created, changed and deleted, and grants begin and end."""

import copy
import functools
import itertools
import os
import pathlib
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.controlplane import api, binary, cluster
from tests.e2e.conftest import LABEL, PSA, World
from tests.faults import canary

ROOT = pathlib.Path(__file__).parent.parent.parent
_ORDERS = int(os.environ.get("HNO_ORDERS", "6"))
_SEED = 20260722
# Every state in which a namespace can meet our policies; the level of the states with a guard is lifted.
_LIFTED = {PSA: "privileged"}
STATES: dict[str, dict[str, str]] = {
    "plain": {},
    "deny": {f"{LABEL}/enforcement": "Deny"},
    "held": {f"{LABEL}/enforcement": "Held"},
    "audit": {f"{LABEL}/enforcement": "Audit"},
    "relaxed": {f"{LABEL}/enforcement": "Deny", f"{LABEL}/guard": "baseline", **_LIFTED},
    "strict": {f"{LABEL}/enforcement": "Deny", f"{LABEL}/guard": "restricted", **_LIFTED},
    "restored": {f"{LABEL}/enforcement": "Deny", f"{LABEL}/guard": "baseline", PSA: "baseline"},
}
Document = dict[str, Any]


def documents() -> list[Document]:
    """Return every object of crds/ and manifests/ as it is today.

    Of the overlays, which give one object, only enforce is in it. Monitoring is left out: it needs kinds of other
    projects and matches no request. The seal is left out: the API refuses its names, because API servers read it from
    files. Components are in it only if the release serves their kinds.

    The Deployment has no replicas: kwok would only fake the pod, and the deletion of its namespace would take half a
    minute.
    """
    paths = [*(ROOT / "crds").glob("*.yaml"), *(ROOT / "manifests").rglob("*.yaml")]
    omitted = {"audit", "monitoring", "static"}
    if not binary.release().has("1.36"):
        omitted |= {"label-at-birth", "labels-kept", "diagnostic-deadline"}
    files = [
        path for path in paths if path.name != "kustomization.yaml" and omitted.isdisjoint(path.relative_to(ROOT).parts)
    ]
    parsed = itertools.chain.from_iterable(yaml.safe_load_all(path.read_text()) for path in sorted(files))
    all_documents = [document for document in parsed if document]
    for document in all_documents:
        if document["kind"] == "Deployment":
            document["spec"]["replicas"] = 0
    return all_documents


def changed_release(document: Document) -> Document:
    """Return the object as in another release: each policy and binding has other text with the same meaning."""
    changed_document = copy.deepcopy(document)
    changed_document["metadata"].setdefault("annotations", {})["example.com/release"] = "other"
    for validation in changed_document.get("spec", {}).get("validations", []):
        validation["expression"] = f"({validation['expression']}\n) && true"
    for condition in changed_document.get("spec", {}).get("matchConditions", []):
        condition["expression"] = f"({condition['expression']}\n) || false"
    return changed_document


class Installer:
    """Applies and deletes single objects, in orders that kubectl would not choose."""

    def __init__(self, control_plane: cluster.Cluster) -> None:
        self._admin = control_plane.admin
        self.applied = self.deleted = 0

    def apply(self, document: Document) -> api.Response:
        answer = self._admin.apply(self._path(document), document, "installer", force=True)
        # Its kind or its namespace may not exist yet, or may be in deletion. Any other failure is an error.
        is_expected = (
            answer.status in (404, 405) or "being terminated" in answer.message or "terminating" in answer.message
        )
        assert answer.status in (200, 201) or is_expected, f"{_title(document)}: {answer.status} {answer.message}"
        self.applied += answer.status in (200, 201)
        return answer

    def delete(self, document: Document) -> None:
        answer = self._admin.delete(self._path(document))
        self.deleted += answer.expect(200, 202, 404, 405, 409).status in (200, 202)

    def is_deleted(self, document: Document) -> bool:
        return self._admin.get(self._path(document)).status == 404

    def _path(self, document: Document) -> str:
        version, metadata = document["apiVersion"], document["metadata"]
        namespace = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
        prefix = "/apis" if "/" in version else "/api"
        return f"{prefix}/{version}{namespace}/{_plural(document['kind'])}/{metadata['name']}"


@functools.cache
def _plural(kind: str) -> str:
    name = kind.lower()
    return name[:-1] + "ies" if name.endswith("y") else name + "s"


def _title(document: Document) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


# -- any order --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare_cluster() -> Iterator[cluster.Cluster]:
    """A control plane of this module's own without our objects: the test is about the order of their creation."""
    with cluster.Cluster() as control_plane:
        for name, labels in STATES.items():
            control_plane.admin.post("/api/v1/namespaces", {"metadata": {"name": name}}).expect(201)
            account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
            control_plane.wait("its service account", lambda path=account: control_plane.admin.get(path).status == 200)
            control_plane.admin.post(_pods(name), _host_pod("old")).expect(201)
            control_plane.admin.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": labels}}).expect(200)
        yield control_plane


@pytest.mark.timeout(600 + 200 * _ORDERS)
def test_ordinary_work_passes_in_any_order_of_install_upgrade_and_delete(
    bare_cluster: cluster.Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """Our objects are created, changed and deleted in a random order, and no ordinary request is refused.

    Even orders have phases: the test creates all objects, then changes all (in place, or by deleting and creating
    them), then deletes all, in another order per phase. Odd orders mix the three. HNO_ORDERS=120 is the long run.
    """
    installer = Installer(bare_cluster)
    with canary.Canary(bare_cluster, STATES, [(name, "old") for name in STATES], delete_namespaces_every=4) as tenant:
        for number in range(_ORDERS):
            randomness = random.Random(_SEED + number)
            try:
                if number % 2:
                    _mixed(bare_cluster, installer, tenant, randomness)
                else:
                    _in_phases(bare_cluster, installer, tenant, randomness)
            except AssertionError as error:
                raise AssertionError(f"order {number}: {error}") from error
            assert tenant.findings() == [], f"order {number}: {tenant.findings()[:5]}"
    assert tenant.passes("host pod released"), "no finalizer was taken off a host-namespace pod"
    with capsys.disabled():
        print(f"\n{_ORDERS} orders, {installer.applied} objects applied, {installer.deleted} deleted: {tenant}")


def _in_phases(
    control_plane: cluster.Cluster, installer: Installer, tenant: canary.Canary, randomness: random.Random
) -> None:
    all_documents = documents()
    missing = randomness.sample(all_documents, len(all_documents))
    deadline = time.monotonic() + cluster.PATIENCE * 60
    while missing:  # an object that needs its kind or namespace first is retried in the next round
        assert time.monotonic() < deadline, f"cannot be applied: {[_title(document) for document in missing]}"
        missing = [
            remaining
            for remaining in missing
            if _step(tenant, lambda remaining=remaining: installer.apply(remaining)).status not in (200, 201)
        ]
    control_plane.wait("our policies in force", lambda: _policies_in_force(control_plane))
    tenant.look(len(STATES))
    for document in randomness.sample(all_documents, len(all_documents)):
        # The test recreates any object except a namespace or a kind, whose deletion would remove everything in it.
        recreate = randomness.random() < 0.5 and document["kind"] not in ("Namespace", "CustomResourceDefinition")
        if recreate:
            _step(tenant, lambda remaining=document: installer.delete(remaining))
            _linger(tenant, randomness)
        _step(tenant, lambda remaining=document: installer.apply(changed_release(remaining)))
        _linger(tenant, randomness)
    control_plane.wait("our policies in force", lambda: _policies_in_force(control_plane))
    tenant.settle(60)
    for document in randomness.sample(all_documents, len(all_documents)):
        _step(tenant, lambda remaining=document: installer.delete(remaining))
        _linger(tenant, randomness)
    control_plane.wait(
        "everything gone", lambda: all(installer.is_deleted(remaining) for remaining in all_documents), 120
    )


def _mixed(
    control_plane: cluster.Cluster, installer: Installer, tenant: canary.Canary, randomness: random.Random
) -> None:
    all_documents = documents()
    indices = randomness.sample([*range(len(all_documents))] * 3, 3 * len(all_documents))
    visits: dict[int, int] = {}
    for index in indices:
        document = all_documents[index]
        visits[index] = visits.get(index, 0) + 1
        work = [
            lambda d=document: installer.apply(d),
            lambda d=document: installer.apply(changed_release(d)),
            lambda d=document: installer.delete(d),
        ][visits[index] - 1]
        _step(tenant, work)
        _linger(tenant, randomness)
    control_plane.wait("everything gone", lambda: all(installer.is_deleted(d) for d in all_documents), 120)


def _step(tenant: canary.Canary, work: Any) -> Any:
    result = work()
    tenant.look(2)
    return result


def _linger(tenant: canary.Canary, randomness: random.Random) -> None:
    """Wait now and then until the API server uses the last writes: it reads policies once per second."""
    if randomness.random() < 0.03:
        time.sleep(1.2)  # nothing shows that a policy with the same meaning is in use
        tenant.look(len(STATES))


def _policies_in_force(control_plane: cluster.Cluster) -> bool:
    """Return whether enforcement refuses a host-namespace pod, and a guard a privileged pod."""
    host_answer = control_plane.admin.post(f"{_pods('deny')}?dryRun=All", _host_pod("new"))
    body = {"containers": [{"name": "main", "image": "a:1", "securityContext": {"privileged": True}}]}
    privileged_answer = control_plane.admin.post(
        f"{_pods('relaxed')}?dryRun=All", {"metadata": {"name": "new"}, "spec": body}
    )
    return all("ValidatingAdmissionPolicy" in answer.message for answer in (host_answer, privileged_answer))


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def _host_pod(name: str) -> Document:
    return {
        "metadata": {"name": name},
        "spec": {"hostNetwork": True, "containers": [{"name": "main", "image": "registry.example.com/app:1"}]},
    }


# -- grants and their ends --------------------------------------------------------------------------------------------


def test_ordinary_work_passes_while_grants_come_and_end_and_the_operator_is_killed(
    unattended: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twenty exceptions in two namespaces begin; half expire in the same second, half are revoked.

    In between the test kills the operator.
    """
    namespaces = [unattended.namespace() for _ in range(2)]
    for namespace in namespaces:
        unattended.granted_pod(namespace, "steady")
    with canary.Canary(unattended.cluster, namespaces, [(namespace, "steady") for namespace in namespaces]) as tenant:
        since = unattended.now()
        for number in range(10):
            expiry = unattended.time(12 - (unattended.now() - since).total_seconds())
            for namespace in namespaces:
                name = f"burst-{number}"
                spec = {"expiry": expiry} if number % 2 else {}
                unattended.exception(namespace, name, serviceAccountName=name, **spec).expect(201)
        names = [f"burst-{number}" for number in range(10)]
        for namespace in namespaces:
            unattended.until("all granted", lambda namespace=namespace: set(names) <= set(unattended.grants(namespace)))
        unattended.operator.kill()
        for namespace, name in itertools.product(namespaces, names[::2]):
            unattended.admin.delete(f"{unattended.exceptions(namespace)}/{name}").expect(200)
        unattended.operator.start()
        for namespace in namespaces:
            unattended.until(
                "all ended", lambda namespace=namespace: set(unattended.grants(namespace)) == {"steady"}, 60
            )
            unattended.admin.delete(f"{unattended.exceptions(namespace)}/steady").expect(200)
            unattended.until("restored", lambda namespace=namespace: unattended.labels(namespace)[PSA] == "baseline")
    assert tenant.passes("host pod released"), "no finalizer was taken off a host-namespace pod"
    with capsys.disabled():
        print(f"\ngrants and ends: {tenant}")
