"""The ledger in use: what is granted while the operator cannot write or read it, and after it was lost."""

import datetime
import re
from collections.abc import Iterator

import pytest

from tests.controlplane import api, operator
from tests.e2e.conftest import LABEL, PSA, World

CONFIGMAPS = "/api/v1/namespaces/hostnetwork-system/configmaps"
SELECTED = f"{CONFIGMAPS}?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dhostnetwork-operator"
ROLE = "/apis/rbac.authorization.k8s.io/v1/namespaces/hostnetwork-system/roles/hostnetwork-operator-ledger"
POLICY = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"
CRD = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/hostnetworkexceptions.{LABEL}"
AGENT = {"type": "Infrastructure", "expiry": None, "ticket": None, "serviceAccountName": "default"}
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
WRITERS = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/exception-writers.{LABEL}"


def intact(world: World) -> tuple[str, bool]:
    """Return the reason of the policy's condition LedgerIntact, and whether the metric is 1."""
    conditions = world.admin.get(POLICY).expect(200).body.get("status", {}).get("conditions", [])
    reason = next((str(condition["reason"]) for condition in conditions if condition["type"] == "LedgerIntact"), "")
    return reason, "hostnetwork_ledger_intact 1.0" in world.operator.metrics()


def delete_ledger(world: World) -> None:
    """Delete every ConfigMap of the ledger."""
    for body in world.admin.items(SELECTED):
        world.admin.delete(f"{CONFIGMAPS}/{body['metadata']['name']}").expect(200)


def under_policy(world: World, namespace: str) -> bool:
    """Return whether the ledger says under which exception-writers it has read the namespace's exception."""
    uid = world.admin.get(f"{world.exceptions(namespace)}/capture").expect(200).body["metadata"]["uid"]
    return "under" in world.ledger_record(f"hne.{uid}")


@pytest.fixture
def world(world: World) -> Iterator[World]:
    """The cluster with the operator running; afterwards its Role is restored and the test's exceptions are deleted."""
    role = world.admin.get(ROLE).expect(200).body
    yield world
    body = {"metadata": {"name": role["metadata"]["name"]}, "rules": role["rules"]}
    world.admin.post(ROLE.rpartition("/")[0], body).expect(201, 409)
    if not world.operator.running():
        world.operator.start()
    for exception_body in world.admin.items(f"/apis/{LABEL}/v1alpha1/hostnetworkexceptions"):
        world.admin.delete(
            f"{world.exceptions(exception_body['metadata']['namespace'])}/{exception_body['metadata']['name']}"
        ).expect(200)
    world.until("it is whole", lambda: intact(world) == ("Recorded", True), 90)


def forbid(world: World) -> None:
    """Take away the operator's right to write its ledger, and wait until the API server knows."""
    world.admin.delete(ROLE).expect(200)
    attributes = {"group": "", "resource": "configmaps", "verb": "list", "namespace": "hostnetwork-system"}
    client = world.cluster.api(world.cluster.service_account("hostnetwork-system", "hostnetwork-operator"))
    world.until("RBAC refuses", lambda: not client.may(attributes))


def test_what_cannot_be_recorded_is_not_granted(world: World) -> None:
    """The exception, the condition and the metric say why; an earlier grant goes on and ends in time.

    Once the operator may write again, it grants the waiting exception.
    """
    earlier, namespace = world.namespace(), world.namespace()
    world.granted_pod(earlier, seconds=25)
    forbid(world)
    world.exception(namespace).expect(201)
    world.until("it waits", lambda: world.ready(namespace) == "NotRecorded")
    world.until("and says why", lambda: "cannot be recorded" in world.condition(namespace)["message"])
    world.until("condition and metric", lambda: intact(world) == ("LedgerUnwritable", False))
    assert world.grants(namespace) == {}
    assert world.labels(namespace)[PSA] == "baseline"
    world.until(
        "the other one ends in time", lambda: world.is_deleted(earlier) and world.labels(earlier)[PSA] == "baseline"
    )
    operator.apply(world.cluster, "-k", str(operator.ROOT / "manifests" / "rbac"))
    world.until("granted", lambda: world.ready(namespace) == "Active", 90)


def test_an_operator_that_cannot_read_its_ledger_starts_and_grants_nothing(world: World) -> None:
    """A Diagnostic's grant ends, an agent's grant stays, and no pod is deleted.

    Once the ledger is readable again, all exceptions are in force.
    """
    agents, captures, later = world.namespace(), world.namespace(), world.namespace()
    world.granted_pod(agents, **AGENT)
    world.granted_pod(captures)
    # An upgrade, so that the creation time of an exception proves nothing.
    patch = [{"op": "add", "path": "/spec/validations/0/message", "value": "in other words"}]
    spec_before = world.admin.get(WRITERS).expect(200).body["spec"]
    world.admin.patch(WRITERS, patch, api.JSON_PATCH).expect(200)
    world.admin.patch(WRITERS, {"spec": spec_before}).expect(200)
    settled = world.now() + datetime.timedelta(seconds=7)
    world.until("recorded", lambda: world.now() > settled)
    assert world.operator.stop() == 0
    forbid(world)
    world.operator.start()
    world.until("it is said", lambda: intact(world) == ("LedgerUnreadable", False))
    world.until("the agent's stays", lambda: world.ready(agents) == "ApprovalUnproven")
    assert "capture" in world.grants(agents)
    world.until("the Diagnostic's ends", lambda: world.grants(captures) == {})
    assert not world.is_deleted(captures)
    world.exception(later, **AGENT).expect(201)
    world.until("nothing new", lambda: world.ready(later) == "NotRecorded")
    operator.apply(world.cluster, "-k", str(operator.ROOT / "manifests" / "rbac"))
    for namespace in (agents, captures, later):
        world.until("in force", lambda n=namespace: world.ready(n) == "Active", 90)
    assert not world.is_deleted(captures)


def test_after_a_loss_agents_keep_their_grants_and_diagnostics_do_not(world: World) -> None:
    """An agent's grant that the present policies do not prove stays until an approver acts; a Diagnostic's ends.

    The operator flags the Diagnostic's pod and does not delete it. The loss approves nothing that nobody approved.
    """
    agents, captures, attacked = (world.namespace() for _ in range(3))
    world.granted_pod(agents, **AGENT)
    world.granted_pod(captures)
    binding = f"{BINDINGS}/exception-writers-deny.{LABEL}"
    binding_body = world.admin.get(binding).expect(200).body
    world.admin.delete(binding).expect(200)
    world.exception(attacked, **AGENT).expect(201)
    body = {"apiVersion": binding_body["apiVersion"], "kind": binding_body["kind"], "spec": binding_body["spec"]}
    world.admin.post(BINDINGS, {**body, "metadata": {"name": binding_body["metadata"]["name"]}}).expect(201)
    settled = world.now() + datetime.timedelta(seconds=7)
    world.until("settled", lambda: world.now() > settled)
    for namespace, reason in ((agents, "Active"), (captures, "Active"), (attacked, "NotApproved")):
        world.until(reason, lambda n=namespace, r=reason: world.ready(n) == r)
    assert world.operator.stop() == 0
    delete_ledger(world)
    world.operator.start()
    world.until("the agent's stays", lambda: world.ready(agents) == "ApprovalUnproven")
    world.until("it is said", lambda: intact(world) == ("GrantsUnproven", False))
    events = "/api/v1/namespaces/default/events?fieldSelector=reason%3DPolicyLedgerLost"
    world.until("and what it costs", lambda: world.admin.items(events))
    message = world.admin.items(events)[-1]["message"]
    assert "ApprovalUnproven: 1;" in message
    assert f"{captures}/capture" in message
    assert re.search(r"level before enforcement is not known: [1-9]", message)
    world.until("the Diagnostic's ends", lambda: world.ready(captures) == "NotApproved")
    world.until("and is taken", lambda: world.grants(captures) == {})
    assert world.ready(attacked) == "NotApproved"
    assert "capture" in world.grants(agents)
    assert (world.labels(agents)[PSA], world.labels(captures)[PSA]) == ("privileged", "baseline")
    world.until("a pod of the agent comes", lambda: world.pod(agents, "next").status == 201)
    world.until("flagged", lambda: world.verdict(captures, "capture") == "Uncovered")
    assert not world.is_deleted(captures)
    # Once the ledger says under which policy it has read an exception, the next change approves the exception.
    world.until("read under the policy", lambda: all(under_policy(world, n) for n in (agents, captures, attacked)))
    for namespace in (agents, captures, attacked):
        path = f"{world.exceptions(namespace)}/capture"
        world.admin.patch(path, {"spec": {"review": {"time": world.time()}}}).expect(200)
    world.admin.patch(f"{world.exceptions(captures)}/capture", {"spec": {"reason": "Capture SYN again"}}).expect(200)
    for namespace in (agents, captures):
        world.until("approved", lambda n=namespace: world.ready(n) == "Active")


def test_a_running_operator_puts_its_records_back(world: World) -> None:
    """If an administrator of hostnetwork-system deletes or changes records, the next record brings them back."""
    namespace, other_namespace = world.namespace(), world.namespace()
    world.granted_pod(namespace, **AGENT)
    uid = world.admin.get(f"{world.exceptions(namespace)}/capture").body["metadata"]["uid"]
    name = next(b["metadata"]["name"] for b in world.admin.items(SELECTED) if f"hne.{uid}" in b["data"])
    record = world.admin.get(f"{CONFIGMAPS}/{name}").body["data"][f"hne.{uid}"]
    delete_ledger(world)
    world.granted_pod(other_namespace, **AGENT)
    world.until("it is back", lambda: world.admin.get(f"{CONFIGMAPS}/{name}").body.get("data", {}).get(f"hne.{uid}"))
    assert world.admin.get(f"{CONFIGMAPS}/{name}").body["data"][f"hne.{uid}"] == record
    assert world.ready(namespace) == "Active"


def test_an_exception_that_cannot_be_read_ends_as_the_ledger_says(world: World) -> None:
    """Another CRD drops a field of every stored exception, without a new generation: the Diagnostic still ends."""
    namespace = world.namespace()
    world.granted_pod(namespace, seconds=20)
    schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec"
    crd_spec = world.admin.get(CRD).expect(200).body["spec"]
    required = crd_spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["required"]
    without = [
        {"op": "remove", "path": f"{schema}/properties/reason"},
        {"op": "replace", "path": f"{schema}/required", "value": [field for field in required if field != "reason"]},
    ]
    world.admin.patch(CRD, without, api.JSON_PATCH).expect(200)
    path = f"{world.exceptions(namespace)}/capture"
    try:
        world.until("it has no reason", lambda: "reason" not in world.admin.get(path).body["spec"])
        world.until("the level is back", lambda: world.labels(namespace)[PSA] == "baseline", 60)
        world.until("its pod is deleted", lambda: world.is_deleted(namespace), 60)
        assert world.grants(namespace) == {}
    finally:
        world.admin.patch(CRD, {"spec": {"versions": crd_spec["versions"]}}).expect(200)
    # The API server takes a moment to use the CRD; until then the next test's exceptions would lose their reason.
    spec = {**world.admin.get(path).expect(200).body["spec"], "reason": "Another reason", "expiry": world.time(3600)}
    kind = {"apiVersion": f"{LABEL}/v1alpha1", "kind": "HostNetworkException"}
    other_body, dry = {**kind, "metadata": {"name": "other"}, "spec": spec}, f"{world.exceptions(namespace)}?dryRun=All"
    world.until("reasons are kept", lambda: "reason" in world.admin.post(dry, other_body).expect(201).body["spec"])
    world.until("readable again", lambda: world.ready(namespace) == "Expired")
    # For a second, a watch still reports by the CRD without the field. The next list of exceptions has the field.
    world.exception(namespace, "later").expect(201)
    world.until("in force", lambda: world.ready(namespace, "later") == "Active", 60)
