"""A pod that another exception fits survives an expired Diagnostic, for whatever reason that one is withheld."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import IMAGE, LABEL, PSA, World
from tests.e2e.threats.conftest import POLICY, deletions, tenant, workload, workloads
from tests.e2e.threats.test_approval import unguarded, wanted

BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
BINDING = f"{BINDINGS}/host-namespaces-deny.{LABEL}"
_DIAGNOSTIC_SECONDS = 12


def _tightened(world: World, namespace: str) -> Callable[[], object]:
    """Tighten the level, which any user who may write the Namespace can do."""
    tenant(world, namespace).patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {PSA: "restricted"}}})
    return lambda: world.ready(namespace, "agent") == "LevelOwnedByOther"


def _digests(world: World, namespace: str) -> Callable[[], object]:
    """Let the policy require digests, which the exception does not have."""
    world.admin.patch(POLICY, {"spec": {"exceptions": {"imageDigests": "Require"}}}).expect(200)
    return lambda: world.ready(namespace, "agent") == "Invalid"


def _unbound(world: World, namespace: str) -> Callable[[], object]:
    """Unbind an admission policy for a while."""
    world.admin.delete(BINDING).expect(200)
    return lambda: world.ready(namespace, "agent") == "GuardMissing"


@pytest.fixture
def mended(attacked: World) -> Any:
    """Undo afterwards what the test did to the cluster."""
    stored = attacked.admin.get(BINDING).expect(200).body
    yield
    attacked.admin.patch(POLICY, {"spec": {"exceptions": {"imageDigests": None}}}).expect(200)
    body = {"apiVersion": stored["apiVersion"], "kind": stored["kind"], "spec": stored["spec"]}
    attacked.admin.post(BINDINGS, {**body, "metadata": {"name": stored["metadata"]["name"]}}).expect(201, 409)
    later = attacked.now() + datetime.timedelta(seconds=7)
    attacked.until("the policies have settled", lambda: attacked.now() > later)


def _exceptions(world: World, namespace: str) -> datetime.datetime:
    """Create a Diagnostic that ends soon and an exception that fits the same pods; return when the first ends."""
    world.exception(namespace, "soon", seconds=_DIAGNOSTIC_SECONDS).expect(201)
    world.exception(namespace, "agent").expect(201)
    for name in ("soon", "agent"):
        world.until("in force", lambda name=name: world.ready(namespace, name) == "Active")
    ends = world.admin.get(f"{world.exceptions(namespace)}/soon").body["spec"]["expiry"]
    return datetime.datetime.fromisoformat(ends)


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize("withhold", [_tightened, _digests, _unbound])
def test_a_withheld_exception_spares_its_pods(
    attacked: World, withhold: Callable[[World, str], Callable[[], object]]
) -> None:
    """A12: The pod is at most flagged, and covered again once the exception is in force again.

    The pod's Job stays, too.
    """
    namespace = attacked.namespace()
    ends = _exceptions(attacked, namespace)
    attacked.pod(namespace).expect(201)
    jobs = workloads(namespace, "Job")
    attacked.admin.post(jobs, workload("Job", "capture", hostNetwork=True)).expect(201)
    attacked.until("the Job has its pod", lambda: len(attacked.admin.items(attacked.pods(namespace))) == 2)
    uids = {one["metadata"]["uid"] for one in attacked.admin.items(attacked.pods(namespace))}
    attacked.until("it is withheld", withhold(attacked, namespace))
    attacked.until("the Diagnostic has ended", lambda: attacked.now() > ends)
    attacked.until("it says so", lambda: attacked.ready(namespace, "soon") == "Expired")
    later = attacked.now() + datetime.timedelta(seconds=8)
    attacked.holds_until(later, "nothing is deleted", lambda: deletions(attacked, namespace) == [])
    assert {one["metadata"]["uid"] for one in attacked.admin.items(attacked.pods(namespace))} == uids
    attacked.admin.get(f"{jobs}/capture").expect(200)


def test_what_no_exception_fits_goes(attacked: World) -> None:
    """A12: If the other exception is for another service account, the same pods are deleted, and so is the Job."""
    namespace = attacked.namespace()
    attacked.exception(namespace, "soon", seconds=_DIAGNOSTIC_SECONDS).expect(201)
    attacked.exception(namespace, "agent", type="Application", serviceAccountName="agent").expect(201)
    attacked.until("in force", lambda: attacked.ready(namespace, "soon") == "Active")
    jobs = workloads(namespace, "Job")
    attacked.admin.post(jobs, workload("Job", "capture", hostNetwork=True)).expect(201)
    attacked.until("the Job has its pod", lambda: attacked.admin.items(attacked.pods(namespace)))
    attacked.until("its pods are deleted", lambda: deletions(attacked, namespace), _DIAGNOSTIC_SECONDS + 30)
    attacked.until("the Job goes", lambda: attacked.admin.get(f"{jobs}/capture").status == 404)


def test_an_exception_that_nobody_approved_spares_nothing(attacked: World) -> None:
    """A12: A tenant's own exception, written without exception-writers, does not keep the pod beyond its expiry."""
    namespace = attacked.namespace()
    attacked.exception(namespace, "soon", seconds=25).expect(201)
    attacked.until("in force", lambda: attacked.ready(namespace, "soon") == "Active")
    attacked.pod(namespace).expect(201)
    writers = f"{BINDINGS}/exception-writers-deny.{LABEL}"
    stored = attacked.admin.get(writers).expect(200).body
    attacked.admin.delete(writers).expect(200)
    attacker = tenant(attacked, namespace)
    own = {**attacked.admin.get(f"{attacked.exceptions(namespace)}/soon").body["spec"], "type": "Application"}
    own |= {"expiry": attacked.time(3600), "owner": "me"}
    body = {
        "apiVersion": f"{LABEL}/v1alpha1",
        "kind": "HostNetworkException",
        "metadata": {"name": "mine"},
        "spec": own,
    }
    attacked.until("written", lambda: attacker.post(attacked.exceptions(namespace), body).status == 201)
    again = {"apiVersion": stored["apiVersion"], "kind": stored["kind"], "spec": stored["spec"]}
    attacked.admin.post(BINDINGS, {**again, "metadata": {"name": stored["metadata"]["name"]}}).expect(201)
    attacked.until("NotApproved", lambda: attacked.ready(namespace, "mine") == "NotApproved")
    attacked.until("its pod is deleted", lambda: deletions(attacked, namespace), 25 + 30)
    assert attacked.admin.delete(f"{attacked.exceptions(namespace)}/mine").status == 200


def test_an_exception_that_was_deleted_spares_nothing(attacked: World) -> None:
    """A12: An approver has deleted the other exception; a tenant's finalizer keeps the object, and nothing else."""
    namespace = attacked.namespace()
    _exceptions(attacked, namespace)
    attacked.pod(namespace).expect(201)
    path = f"{attacked.exceptions(namespace)}/agent"
    tenant(attacked, namespace).patch(path, {"metadata": {"finalizers": ["example.com/mine"]}}).expect(200)
    attacked.admin.delete(path).expect(200)
    attacked.until("its pod is deleted", lambda: deletions(attacked, namespace), _DIAGNOSTIC_SECONDS + 30)
    attacked.admin.get(path).expect(200)


def test_a_deletion_approves_nothing(attacked: World) -> None:
    """A9: Deleting an unapproved exception that has a finalizer raises its generation, which approves nothing."""
    namespace = attacked.namespace()
    attacker, path = tenant(attacked, namespace), f"{attacked.exceptions(namespace)}/mine"
    body = wanted(images=[IMAGE])
    body["metadata"]["finalizers"] = ["example.com/mine"]
    with unguarded(attacked, attacker, namespace):
        attacker.post(attacked.exceptions(namespace), body).expect(201)
    attacked.until("it is judged", lambda: attacked.ready(namespace, "mine") == "NotApproved")
    uid = attacked.admin.get(path).body["metadata"]["uid"]
    attacked.until("it is recorded", lambda: attacked.ledger_record(f"hne.{uid}").get("under"))
    attacked.admin.delete(path).expect(200)
    assert attacked.admin.get(path).body["metadata"]["generation"] == 2
    later = attacked.now() + datetime.timedelta(seconds=4)
    attacked.holds_until(later, "not approved", lambda: not attacked.ledger_record(f"hne.{uid}").get("approved"))
