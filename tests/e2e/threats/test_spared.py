"""A pod that another exception fits survives an expired Diagnostic, for whatever reason that one is withheld."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import IMAGE, LABEL, PSA, World
from tests.e2e.threats.conftest import POLICY, deletions, tenant, workload, workloads
from tests.e2e.threats.test_approval import exception_body, unguarded

BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
BINDING = f"{BINDINGS}/host-namespaces-deny.{LABEL}"
_DIAGNOSTIC_SECONDS = 12


def _tighten_level(world: World, namespace: str) -> Callable[[], object]:
    """Tighten the level, which any user who may write the Namespace can do."""
    tenant(world, namespace).patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {PSA: "restricted"}}})
    return lambda: world.ready(namespace, "agent") == "LevelOwnedByOther"


def _require_digests(world: World, namespace: str) -> Callable[[], object]:
    """Let the policy require digests, which the exception does not have."""
    world.admin.patch(POLICY, {"spec": {"exceptions": {"imageDigests": "Require"}}}).expect(200)
    return lambda: world.ready(namespace, "agent") == "Invalid"


def _unbind_policy(world: World, namespace: str) -> Callable[[], object]:
    """Unbind an admission policy for a while."""
    world.admin.delete(BINDING).expect(200)
    return lambda: world.ready(namespace, "agent") == "GuardMissing"


@pytest.fixture
def repair_afterwards(world: World) -> Any:
    """Undo afterwards what the test did to the cluster."""
    binding_body = world.admin.get(BINDING).expect(200).body
    yield
    world.admin.patch(POLICY, {"spec": {"exceptions": {"imageDigests": None}}}).expect(200)
    body = {"apiVersion": binding_body["apiVersion"], "kind": binding_body["kind"], "spec": binding_body["spec"]}
    world.admin.post(BINDINGS, {**body, "metadata": {"name": binding_body["metadata"]["name"]}}).expect(201, 409)
    settled_at = world.now() + datetime.timedelta(seconds=7)
    world.until("the policies have settled", lambda: world.now() > settled_at)


def _exceptions(world: World, namespace: str) -> datetime.datetime:
    """Create a Diagnostic that ends soon and an exception that fits the same pods; return when the first ends."""
    world.exception(namespace, "soon", seconds=_DIAGNOSTIC_SECONDS).expect(201)
    world.exception(namespace, "agent").expect(201)
    for name in ("soon", "agent"):
        world.until("in force", lambda name=name: world.ready(namespace, name) == "Active")
    expiry = world.admin.get(f"{world.exceptions(namespace)}/soon").body["spec"]["expiry"]
    return datetime.datetime.fromisoformat(expiry)


@pytest.mark.usefixtures("repair_afterwards")
@pytest.mark.parametrize("withhold", [_tighten_level, _require_digests, _unbind_policy])
def test_a_withheld_exception_spares_its_pods(
    world: World, withhold: Callable[[World, str], Callable[[], object]]
) -> None:
    """A12: The pod is at most flagged, and covered again once the exception is in force again.

    The pod's Job stays, too.
    """
    namespace = world.namespace()
    expiry = _exceptions(world, namespace)
    world.pod(namespace).expect(201)
    jobs = workloads(namespace, "Job")
    world.admin.post(jobs, workload("Job", "capture", hostNetwork=True)).expect(201)
    world.until("the Job has its pod", lambda: len(world.admin.items(world.pods(namespace))) == 2)
    uids = {pod_body["metadata"]["uid"] for pod_body in world.admin.items(world.pods(namespace))}
    world.until("it is withheld", withhold(world, namespace))
    world.until("the Diagnostic has ended", lambda: world.now() > expiry)
    world.until("it says so", lambda: world.ready(namespace, "soon") == "Expired")
    end = world.now() + datetime.timedelta(seconds=8)
    world.holds_until(end, "nothing is deleted", lambda: deletions(world, namespace) == [])
    assert {pod_body["metadata"]["uid"] for pod_body in world.admin.items(world.pods(namespace))} == uids
    world.admin.get(f"{jobs}/capture").expect(200)


def test_what_no_exception_fits_goes(world: World) -> None:
    """A12: If the other exception is for another service account, the same pods are deleted, and so is the Job."""
    namespace = world.namespace()
    world.exception(namespace, "soon", seconds=_DIAGNOSTIC_SECONDS).expect(201)
    world.exception(namespace, "agent", type="Application", serviceAccountName="agent").expect(201)
    world.until("in force", lambda: world.ready(namespace, "soon") == "Active")
    jobs = workloads(namespace, "Job")
    world.admin.post(jobs, workload("Job", "capture", hostNetwork=True)).expect(201)
    world.until("the Job has its pod", lambda: world.admin.items(world.pods(namespace)))
    world.until("its pods are deleted", lambda: deletions(world, namespace), _DIAGNOSTIC_SECONDS + 30)
    world.until("the Job goes", lambda: world.admin.get(f"{jobs}/capture").status == 404)


def test_an_exception_that_nobody_approved_spares_nothing(world: World) -> None:
    """A12: A tenant's own exception, written without exception-writers, does not keep the pod beyond its expiry."""
    namespace = world.namespace()
    world.exception(namespace, "soon", seconds=25).expect(201)
    world.until("in force", lambda: world.ready(namespace, "soon") == "Active")
    world.pod(namespace).expect(201)
    writers = f"{BINDINGS}/exception-writers-deny.{LABEL}"
    binding_body = world.admin.get(writers).expect(200).body
    world.admin.delete(writers).expect(200)
    attacker = tenant(world, namespace)
    spec = {**world.admin.get(f"{world.exceptions(namespace)}/soon").body["spec"], "type": "Application"}
    spec |= {"expiry": world.time(3600), "owner": "me"}
    body = {
        "apiVersion": f"{LABEL}/v1alpha1",
        "kind": "HostNetworkException",
        "metadata": {"name": "mine"},
        "spec": spec,
    }
    world.until("written", lambda: attacker.post(world.exceptions(namespace), body).status == 201)
    restored_binding = {
        "apiVersion": binding_body["apiVersion"],
        "kind": binding_body["kind"],
        "spec": binding_body["spec"],
    }
    world.admin.post(BINDINGS, {**restored_binding, "metadata": {"name": binding_body["metadata"]["name"]}}).expect(201)
    world.until("NotApproved", lambda: world.ready(namespace, "mine") == "NotApproved")
    world.until("its pod is deleted", lambda: deletions(world, namespace), 25 + 30)
    assert world.admin.delete(f"{world.exceptions(namespace)}/mine").status == 200


def test_an_exception_that_was_deleted_spares_nothing(world: World) -> None:
    """A12: An approver has deleted the other exception; a tenant's finalizer keeps the object, and nothing else."""
    namespace = world.namespace()
    _exceptions(world, namespace)
    world.pod(namespace).expect(201)
    path = f"{world.exceptions(namespace)}/agent"
    tenant(world, namespace).patch(path, {"metadata": {"finalizers": ["example.com/mine"]}}).expect(200)
    world.admin.delete(path).expect(200)
    world.until("its pod is deleted", lambda: deletions(world, namespace), _DIAGNOSTIC_SECONDS + 30)
    world.admin.get(path).expect(200)


def test_a_deletion_approves_nothing(world: World) -> None:
    """A9: Deleting an unapproved exception that has a finalizer raises its generation, which approves nothing."""
    namespace = world.namespace()
    attacker, path = tenant(world, namespace), f"{world.exceptions(namespace)}/mine"
    body = exception_body(images=[IMAGE])
    body["metadata"]["finalizers"] = ["example.com/mine"]
    with unguarded(world, attacker, namespace):
        attacker.post(world.exceptions(namespace), body).expect(201)
    world.until("it is judged", lambda: world.ready(namespace, "mine") == "NotApproved")
    uid = world.admin.get(path).body["metadata"]["uid"]
    world.until("it is recorded", lambda: world.ledger_record(f"hne.{uid}").get("under"))
    world.admin.delete(path).expect(200)
    assert world.admin.get(path).body["metadata"]["generation"] == 2
    end = world.now() + datetime.timedelta(seconds=4)
    world.holds_until(end, "not approved", lambda: not world.ledger_record(f"hne.{uid}").get("approved"))
