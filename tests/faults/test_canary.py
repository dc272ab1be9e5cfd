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
    projects and matches no request. Components are in it only if the release serves their kinds.

    The Deployment has no replicas: kwok would only fake the pod, and the deletion of its namespace would take half a
    minute.
    """
    paths = [*(ROOT / "crds").glob("*.yaml"), *(ROOT / "manifests").rglob("*.yaml")]
    left_out = {"audit", "monitoring"}
    if not binary.release().has("1.36"):
        left_out |= {"label-at-birth", "labels-kept", "diagnostic-deadline"}
    kept = [path for path in paths if path.name != "kustomization.yaml" and path.parent.name not in left_out]
    found = itertools.chain.from_iterable(yaml.safe_load_all(path.read_text()) for path in sorted(kept))
    wanted = [document for document in found if document]
    for document in wanted:
        if document["kind"] == "Deployment":
            document["spec"]["replicas"] = 0
    return wanted


def changed(document: Document) -> Document:
    """Return the object as in another release: each policy and binding has other text with the same meaning."""
    other = copy.deepcopy(document)
    other["metadata"].setdefault("annotations", {})["example.com/release"] = "other"
    for validation in other.get("spec", {}).get("validations", []):
        validation["expression"] = f"({validation['expression']}\n) && true"
    for condition in other.get("spec", {}).get("matchConditions", []):
        condition["expression"] = f"({condition['expression']}\n) || false"
    return other


class Installer:
    """Applies and deletes single objects, in orders that kubectl would not choose."""

    def __init__(self, running: cluster.Cluster) -> None:
        self._admin = running.admin
        self.applied = self.deleted = 0

    def apply(self, document: Document) -> api.Response:
        answer = self._admin.apply(self._path(document), document, "installer", force=True)
        # Its kind or its namespace may not exist yet, or may be in deletion. Any other failure is an error.
        going = answer.status in (404, 405) or "being terminated" in answer.message or "terminating" in answer.message
        assert answer.status in (200, 201) or going, f"{_title(document)}: {answer.status} {answer.message}"
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
    lower = kind.lower()
    return lower[:-1] + "ies" if lower.endswith("y") else lower + "s"


def _title(document: Document) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


# -- any order --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare() -> Iterator[cluster.Cluster]:
    """A control plane of this module's own without our objects: the test is about the order of their creation."""
    with cluster.Cluster() as running:
        for name, labels in STATES.items():
            running.admin.post("/api/v1/namespaces", {"metadata": {"name": name}}).expect(201)
            account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
            running.wait("its service account", lambda path=account: running.admin.get(path).status == 200)
            running.admin.post(_pods(name), _host_pod("old")).expect(201)
            running.admin.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": labels}}).expect(200)
        yield running


@pytest.mark.timeout(600 + 200 * _ORDERS)
def test_ordinary_work_passes_in_any_order_of_install_upgrade_and_delete(
    bare: cluster.Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """Our objects are created, changed and deleted in a random order, and no ordinary request is refused.

    Even orders have phases: the test creates all objects, then changes all (in place, or by deleting and creating
    them), then deletes all, in another order per phase. Odd orders mix the three. HNO_ORDERS=120 is the long run.
    """
    installer = Installer(bare)
    with canary.Canary(bare, STATES, [(name, "old") for name in STATES], delete_namespaces_every=4) as bird:
        for number in range(_ORDERS):
            chance = random.Random(_SEED + number)
            try:
                if number % 2:
                    _mixed(bare, installer, bird, chance)
                else:
                    _in_phases(bare, installer, bird, chance)
            except AssertionError as error:
                raise AssertionError(f"order {number}: {error}") from error
            assert bird.findings() == [], f"order {number}: {bird.findings()[:5]}"
    assert bird.passes("host pod released"), "no finalizer was taken off a host-namespace pod"
    with capsys.disabled():
        print(f"\n{_ORDERS} orders, {installer.applied} objects applied, {installer.deleted} deleted: {bird}")


def _in_phases(running: cluster.Cluster, installer: Installer, bird: canary.Canary, chance: random.Random) -> None:
    todo = documents()
    missing = chance.sample(todo, len(todo))
    deadline = time.monotonic() + cluster.PATIENCE * 60
    while missing:  # an object that needs its kind or namespace first is retried in the next round
        assert time.monotonic() < deadline, f"cannot be applied: {[_title(document) for document in missing]}"
        missing = [d for d in missing if _step(bird, lambda d=d: installer.apply(d)).status not in (200, 201)]
    running.wait("our policies in force", lambda: _enforced(running))
    bird.look(len(STATES))
    for document in chance.sample(todo, len(todo)):
        # The test recreates any object except a namespace or a kind, whose deletion would remove everything in it.
        anew = chance.random() < 0.5 and document["kind"] not in ("Namespace", "CustomResourceDefinition")
        if anew:
            _step(bird, lambda d=document: installer.delete(d))
            _linger(bird, chance)
        _step(bird, lambda d=document: installer.apply(changed(d)))
        _linger(bird, chance)
    running.wait("our policies in force", lambda: _enforced(running))
    bird.settle(60)
    for document in chance.sample(todo, len(todo)):
        _step(bird, lambda d=document: installer.delete(d))
        _linger(bird, chance)
    running.wait("everything gone", lambda: all(installer.is_deleted(d) for d in todo), 120)


def _mixed(running: cluster.Cluster, installer: Installer, bird: canary.Canary, chance: random.Random) -> None:
    todo = documents()
    turns = chance.sample([*range(len(todo))] * 3, 3 * len(todo))
    seen: dict[int, int] = {}
    for index in turns:
        document = todo[index]
        seen[index] = seen.get(index, 0) + 1
        work = [
            lambda d=document: installer.apply(d),
            lambda d=document: installer.apply(changed(d)),
            lambda d=document: installer.delete(d),
        ][seen[index] - 1]
        _step(bird, work)
        _linger(bird, chance)
    running.wait("everything gone", lambda: all(installer.is_deleted(d) for d in todo), 120)


def _step(bird: canary.Canary, work: Any) -> Any:
    done = work()
    bird.look(2)
    return done


def _linger(bird: canary.Canary, chance: random.Random) -> None:
    """Wait now and then until the API server uses the last writes: it reads policies once per second."""
    if chance.random() < 0.03:
        time.sleep(1.2)  # nothing shows that a policy with the same meaning is in use
        bird.look(len(STATES))


def _enforced(running: cluster.Cluster) -> bool:
    """Return whether enforcement refuses a host-namespace pod, and a guard a privileged pod."""
    host = running.admin.post(f"{_pods('deny')}?dryRun=All", _host_pod("new"))
    body = {"containers": [{"name": "main", "image": "a:1", "securityContext": {"privileged": True}}]}
    privileged = running.admin.post(f"{_pods('relaxed')}?dryRun=All", {"metadata": {"name": "new"}, "spec": body})
    return all("ValidatingAdmissionPolicy" in answer.message for answer in (host, privileged))


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
    homes = [unattended.namespace() for _ in range(2)]
    for home in homes:
        unattended.granted_pod(home, "steady")
    with canary.Canary(unattended.cluster, homes, [(home, "steady") for home in homes]) as bird:
        since = unattended.now()
        for number in range(10):
            expiry = unattended.time(12 - (unattended.now() - since).total_seconds())
            for home in homes:
                name = f"burst-{number}"
                given = {"expiry": expiry} if number % 2 else {}
                unattended.exception(home, name, serviceAccountName=name, **given).expect(201)
        names = [f"burst-{number}" for number in range(10)]
        for home in homes:
            unattended.until("all granted", lambda home=home: set(names) <= set(unattended.grants(home)))
        unattended.operator.kill()
        for home, name in itertools.product(homes, names[::2]):
            unattended.admin.delete(f"{unattended.exceptions(home)}/{name}").expect(200)
        unattended.operator.start()
        for home in homes:
            unattended.until("all ended", lambda home=home: set(unattended.grants(home)) == {"steady"}, 60)
            unattended.admin.delete(f"{unattended.exceptions(home)}/steady").expect(200)
            unattended.until("restored", lambda home=home: unattended.labels(home)[PSA] == "baseline")
    assert bird.passes("host pod released"), "no finalizer was taken off a host-namespace pod"
    with capsys.disabled():
        print(f"\ngrants and ends: {bird}")
