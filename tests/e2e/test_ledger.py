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
    reason = next((str(one["reason"]) for one in conditions if one["type"] == "LedgerIntact"), "")
    return reason, "hostnetwork_ledger_intact 1.0" in world.operator.metrics()


def lose(world: World) -> None:
    """Delete every ConfigMap of the ledger."""
    for body in world.admin.items(SELECTED):
        world.admin.delete(f"{CONFIGMAPS}/{body['metadata']['name']}").expect(200)


def under_policy(world: World, namespace: str) -> bool:
    """Return whether the ledger says under which exception-writers it has read the namespace's exception."""
    uid = world.admin.get(f"{world.exceptions(namespace)}/capture").expect(200).body["metadata"]["uid"]
    return "under" in world.recorded(f"hne.{uid}")


@pytest.fixture
def ruled(world: World) -> Iterator[World]:
    """The cluster with the operator running; afterwards its Role is restored and the test's exceptions are deleted."""
    stored = world.admin.get(ROLE).expect(200).body
    yield world
    body = {"metadata": {"name": stored["metadata"]["name"]}, "rules": stored["rules"]}
    world.admin.post(ROLE.rpartition("/")[0], body).expect(201, 409)
    if not world.operator.running():
        world.operator.start()
    for one in world.admin.items(f"/apis/{LABEL}/v1alpha1/hostnetworkexceptions"):
        world.admin.delete(f"{world.exceptions(one['metadata']['namespace'])}/{one['metadata']['name']}").expect(200)
    world.until("it is whole", lambda: intact(world) == ("Recorded", True), 90)


def forbid(world: World) -> None:
    """Take away the operator's right to write its ledger, and wait until the API server knows."""
    world.admin.delete(ROLE).expect(200)
    attributes = {"group": "", "resource": "configmaps", "verb": "list", "namespace": "hostnetwork-system"}
    client = world.cluster.api(world.cluster.service_account("hostnetwork-system", "hostnetwork-operator"))
    world.until("RBAC refuses", lambda: not client.may(attributes))


def test_what_cannot_be_recorded_is_not_granted(ruled: World) -> None:
    """The exception, the condition and the metric say why; an earlier grant goes on and ends in time.

    Once the operator may write again, it grants the waiting exception.
    """
    before, namespace = ruled.namespace(), ruled.namespace()
    ruled.granted_pod(before, seconds=25)
    forbid(ruled)
    ruled.exception(namespace).expect(201)
    ruled.until("it waits", lambda: ruled.ready(namespace) == "NotRecorded")
    ruled.until("and says why", lambda: "cannot be recorded" in ruled.condition(namespace)["message"])
    ruled.until("condition and metric", lambda: intact(ruled) == ("LedgerUnwritable", False))
    assert ruled.grants(namespace) == {}
    assert ruled.labels(namespace)[PSA] == "baseline"
    ruled.until("the other one ends in time", lambda: ruled.gone(before) and ruled.labels(before)[PSA] == "baseline")
    operator.apply(ruled.cluster, "-k", str(operator.ROOT / "manifests" / "rbac"))
    ruled.until("granted", lambda: ruled.ready(namespace) == "Active", 90)


def test_an_operator_that_cannot_read_its_ledger_starts_and_grants_nothing(ruled: World) -> None:
    """A Diagnostic's grant ends, an agent's grant stays, and no pod is deleted.

    Once the ledger is readable again, all exceptions are in force.
    """
    agents, captures, later = ruled.namespace(), ruled.namespace(), ruled.namespace()
    ruled.granted_pod(agents, **AGENT)
    ruled.granted_pod(captures)
    # An upgrade, so that the creation time of an exception proves nothing.
    word = [{"op": "add", "path": "/spec/validations/0/message", "value": "in other words"}]
    before = ruled.admin.get(WRITERS).expect(200).body["spec"]
    ruled.admin.patch(WRITERS, word, api.JSON_PATCH).expect(200)
    ruled.admin.patch(WRITERS, {"spec": before}).expect(200)
    settled = ruled.now() + datetime.timedelta(seconds=7)
    ruled.until("recorded", lambda: ruled.now() > settled)
    assert ruled.operator.stop() == 0
    forbid(ruled)
    ruled.operator.start()
    ruled.until("it is said", lambda: intact(ruled) == ("LedgerUnreadable", False))
    ruled.until("the agent's stays", lambda: ruled.ready(agents) == "ApprovalUnproven")
    assert "capture" in ruled.grants(agents)
    ruled.until("the Diagnostic's ends", lambda: ruled.grants(captures) == {})
    assert not ruled.gone(captures)
    ruled.exception(later, **AGENT).expect(201)
    ruled.until("nothing new", lambda: ruled.ready(later) == "NotRecorded")
    operator.apply(ruled.cluster, "-k", str(operator.ROOT / "manifests" / "rbac"))
    for namespace in (agents, captures, later):
        ruled.until("in force", lambda n=namespace: ruled.ready(n) == "Active", 90)
    assert not ruled.gone(captures)


def test_after_a_loss_agents_keep_their_grants_and_diagnostics_do_not(ruled: World) -> None:
    """An agent's grant that the present policies do not prove stays until an approver acts; a Diagnostic's ends.

    The operator flags the Diagnostic's pod and does not delete it. The loss approves nothing that nobody approved.
    """
    agents, captures, attacked = (ruled.namespace() for _ in range(3))
    ruled.granted_pod(agents, **AGENT)
    ruled.granted_pod(captures)
    binding = f"{BINDINGS}/exception-writers-deny.{LABEL}"
    stored = ruled.admin.get(binding).expect(200).body
    ruled.admin.delete(binding).expect(200)
    ruled.exception(attacked, **AGENT).expect(201)
    body = {"apiVersion": stored["apiVersion"], "kind": stored["kind"], "spec": stored["spec"]}
    ruled.admin.post(BINDINGS, {**body, "metadata": {"name": stored["metadata"]["name"]}}).expect(201)
    settled = ruled.now() + datetime.timedelta(seconds=7)
    ruled.until("settled", lambda: ruled.now() > settled)
    for namespace, reason in ((agents, "Active"), (captures, "Active"), (attacked, "NotApproved")):
        ruled.until(reason, lambda n=namespace, r=reason: ruled.ready(n) == r)
    assert ruled.operator.stop() == 0
    lose(ruled)
    ruled.operator.start()
    ruled.until("the agent's stays", lambda: ruled.ready(agents) == "ApprovalUnproven")
    ruled.until("it is said", lambda: intact(ruled) == ("GrantsUnproven", False))
    events = "/api/v1/namespaces/default/events?fieldSelector=reason%3DPolicyLedgerLost"
    ruled.until("and what it costs", lambda: ruled.admin.items(events))
    message = ruled.admin.items(events)[-1]["message"]
    assert "ApprovalUnproven: 1;" in message
    assert f"{captures}/capture" in message
    assert re.search(r"level before enforcement is not known: [1-9]", message)
    ruled.until("the Diagnostic's ends", lambda: ruled.ready(captures) == "NotApproved")
    ruled.until("and is taken", lambda: ruled.grants(captures) == {})
    assert ruled.ready(attacked) == "NotApproved"
    assert "capture" in ruled.grants(agents)
    assert (ruled.labels(agents)[PSA], ruled.labels(captures)[PSA]) == ("privileged", "baseline")
    ruled.until("a pod of the agent comes", lambda: ruled.pod(agents, "next").status == 201)
    ruled.until("flagged", lambda: ruled.verdict(captures, "capture") == "Uncovered")
    assert not ruled.gone(captures)
    # Once the ledger says under which policy it has read an exception, the next change approves the exception.
    ruled.until("read under the policy", lambda: all(under_policy(ruled, n) for n in (agents, captures, attacked)))
    for namespace in (agents, captures, attacked):
        path = f"{ruled.exceptions(namespace)}/capture"
        ruled.admin.patch(path, {"spec": {"review": {"time": ruled.time()}}}).expect(200)
    ruled.admin.patch(f"{ruled.exceptions(captures)}/capture", {"spec": {"reason": "Capture SYN again"}}).expect(200)
    for namespace in (agents, captures):
        ruled.until("approved", lambda n=namespace: ruled.ready(n) == "Active")


def test_a_running_operator_puts_its_records_back(ruled: World) -> None:
    """If an administrator of hostnetwork-system deletes or changes records, the next record brings them back."""
    namespace, other = ruled.namespace(), ruled.namespace()
    ruled.granted_pod(namespace, **AGENT)
    uid = ruled.admin.get(f"{ruled.exceptions(namespace)}/capture").body["metadata"]["uid"]
    name = next(b["metadata"]["name"] for b in ruled.admin.items(SELECTED) if f"hne.{uid}" in b["data"])
    record = ruled.admin.get(f"{CONFIGMAPS}/{name}").body["data"][f"hne.{uid}"]
    lose(ruled)
    ruled.granted_pod(other, **AGENT)
    ruled.until("it is back", lambda: ruled.admin.get(f"{CONFIGMAPS}/{name}").body.get("data", {}).get(f"hne.{uid}"))
    assert ruled.admin.get(f"{CONFIGMAPS}/{name}").body["data"][f"hne.{uid}"] == record
    assert ruled.ready(namespace) == "Active"


def test_an_exception_that_cannot_be_read_ends_as_the_ledger_says(ruled: World) -> None:
    """Another CRD drops a field of every stored exception, without a new generation: the Diagnostic still ends."""
    namespace = ruled.namespace()
    ruled.granted_pod(namespace, seconds=20)
    schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec"
    stored = ruled.admin.get(CRD).expect(200).body["spec"]
    required = stored["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["required"]
    without = [
        {"op": "remove", "path": f"{schema}/properties/reason"},
        {"op": "replace", "path": f"{schema}/required", "value": [field for field in required if field != "reason"]},
    ]
    ruled.admin.patch(CRD, without, api.JSON_PATCH).expect(200)
    path = f"{ruled.exceptions(namespace)}/capture"
    try:
        ruled.until("it has no reason", lambda: "reason" not in ruled.admin.get(path).body["spec"])
        ruled.until("the level is back", lambda: ruled.labels(namespace)[PSA] == "baseline", 60)
        ruled.until("its pod is deleted", lambda: ruled.gone(namespace), 60)
        assert ruled.grants(namespace) == {}
    finally:
        ruled.admin.patch(CRD, {"spec": {"versions": stored["versions"]}}).expect(200)
    # The API server takes a moment to use the CRD; until then the next test's exceptions would lose their reason.
    spec = {**ruled.admin.get(path).expect(200).body["spec"], "reason": "Another reason", "expiry": ruled.time(3600)}
    kind = {"apiVersion": f"{LABEL}/v1alpha1", "kind": "HostNetworkException"}
    other, dry = {**kind, "metadata": {"name": "other"}, "spec": spec}, f"{ruled.exceptions(namespace)}?dryRun=All"
    ruled.until("reasons are kept", lambda: "reason" in ruled.admin.post(dry, other).expect(201).body["spec"])
    ruled.until("readable again", lambda: ruled.ready(namespace) == "Expired")
    # For a second, a watch still reports by the CRD without the field. The next list of exceptions has the field.
    ruled.exception(namespace, "later").expect(201)
    ruled.until("in force", lambda: ruled.ready(namespace, "later") == "Active", 60)
