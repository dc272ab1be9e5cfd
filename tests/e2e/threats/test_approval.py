"""Ways to an approval that nobody gave: a moment without exception-writers, and what a tenant may claim any time."""

import contextlib
import datetime
import json
import os
import pathlib
import signal
from collections.abc import Iterator
from typing import Any

from tests.controlplane import api, cluster, operator
from tests.controlplane.operator import ROOT
from tests.e2e.conftest import LABEL, World
from tests.e2e.threats.conftest import POD_GUARDS, VERBS, holder, pod, refused, tenant

BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
BINDING = f"{BINDINGS}/exception-writers-deny.{LABEL}"
WRITERS = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/exception-writers.{LABEL}"
RAISING = '{{"spec":{{"gracePeriodSeconds":{}}}}}'  # the same number, written in another way
NODE = {"hostPaths": [{"path": "/", "readOnly": False}], "privileged": True, "podSecurityLevel": "privileged"}


def exception_body(name: str = "mine", **spec: Any) -> dict[str, Any]:
    """Return an exception that makes a tenant root on every node."""
    full_spec = {
        "type": "Infrastructure",
        "owner": "me",
        "reason": "I would like to have it",
        "serviceAccountName": "default",
        **NODE,
        **spec,
    }
    identity = {"apiVersion": f"{LABEL}/v1alpha1", "kind": "HostNetworkException"}
    return {**identity, "metadata": {"name": name}, "spec": full_spec}


def evil_pod() -> dict[str, Any]:
    body = pod("evil", hostNetwork=True, volumes=[{"name": "root", "hostPath": {"path": "/"}}])
    body["spec"]["containers"][0] |= {
        "securityContext": {"privileged": True},
        "volumeMounts": [{"name": "root", "mountPath": "/host"}],
    }
    return body


@contextlib.contextmanager
def unguarded(world: World, attacker: api.Api, namespace: str) -> Iterator[None]:
    """Unbind exception-writers for the `with` block; then bind it again and wait until it has settled."""
    binding_body = world.admin.get(BINDING).expect(200).body
    world.admin.delete(BINDING).expect(200)
    dry_run_path = f"{world.exceptions(namespace)}?dryRun=All"
    world.until("nobody asks the tenant", lambda: attacker.post(dry_run_path, exception_body("probe")).status == 201)
    try:
        yield
    finally:
        body = {key: binding_body[key] for key in ("apiVersion", "kind", "spec")}
        body["metadata"] = {"name": binding_body["metadata"]["name"]}
        world.admin.post(BINDINGS, body).expect(201)
        world.until(
            "he is asked again", lambda: attacker.post(dry_run_path, exception_body("probe")).status in {403, 422}
        )
        since = world.now()
        world.until("it has settled", lambda: world.now() > since + datetime.timedelta(seconds=7))
        world.until("and is seen", lambda: "exception-writers" not in failing_policies(world))


def failing_policies(world: World) -> str:
    metrics = world.operator.metrics()
    lines = [line for line in metrics.splitlines() if line.startswith("hostnetwork_admission_policy_intact")]
    return "\n".join(line for line in lines if line.endswith(" 0.0"))


def write_claims(world: World, attacker: api.Api, path: str) -> None:
    """Write everything that a tenant can claim about when and by whom a spec was written."""
    entry = {
        "manager": "kubectl",
        "operation": "Update",
        "apiVersion": f"{LABEL}/v1alpha1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {".": {}, "f:owner": {}, "f:type": {}}},
    }
    for manager in ("kubectl", "hostnetwork-operator"):
        claim = {"managedFields": [{**entry, "manager": manager, "time": world.time()}], "annotations": {"a": manager}}
        attacker.patch(path, {"metadata": claim}).expect(200)
    attacker.patch(path, {"metadata": {"managedFields": [{}], "labels": {"approved": "true"}}}).expect(200)


def assert_stays_unapproved(world: World, namespace: str, name: str = "mine") -> None:
    """Assert that the exception stays unapproved for a while, and that no pod is admitted under it."""
    end = world.now() + datetime.timedelta(seconds=4)
    world.until("it is judged", lambda: world.ready(namespace, name) == "NotApproved")
    world.holds_until(end, "not approved", lambda: world.ready(namespace, name) == "NotApproved")
    assert name not in world.grants(namespace)
    refused(tenant(world, namespace).post(world.pods(namespace), evil_pod()), (*POD_GUARDS, "PSA"))


def test_an_exception_of_the_moment_without_the_policy_is_never_approved_by_claims(world: World) -> None:
    """A9: A tenant writes and edits an exception, and later claims a new spec in managedFields, under any manager."""
    namespace = world.namespace()
    attacker, path = tenant(world, namespace), f"{world.exceptions(namespace)}/mine"
    with unguarded(world, attacker, namespace):
        attacker.post(world.exceptions(namespace), exception_body()).expect(201)
        attacker.patch(path, {"spec": {"owner": "me again"}}).expect(200)
    write_claims(world, attacker, path)
    assert_stays_unapproved(world, namespace)
    for text in ("30.0", "3e1"):  # CEL finds both equal to 30; the API server raises the generation
        refused(attacker.patch(path, RAISING.format(text).encode()), "exception-writers")
    assert_stays_unapproved(world, namespace)


def test_a_status_of_the_moment_without_the_policy_approves_nothing(world: World) -> None:
    """A9: While the operator is down, a tenant's status claims approval in this namespace and generation."""
    namespace = world.namespace()
    attacker, path = tenant(world, namespace), f"{world.exceptions(namespace)}/mine"
    uid = world.metadata(namespace)["uid"]
    world.operator.stop()
    try:
        with unguarded_without_operator(world, attacker, namespace):
            attacker.post(world.exceptions(namespace), exception_body()).expect(201)
            ready = {
                "type": "Ready",
                "status": "True",
                "reason": "Active",
                "message": "in force",
                "observedGeneration": 1,
                "lastTransitionTime": world.time(),
            }
            status = {"observedGeneration": 1, "namespaceUID": uid, "conditions": [ready], "coveredPods": 0}
            attacker.patch(f"{path}/status", {"status": status}).expect(200)
    finally:
        world.operator.start()
    since = world.now()
    assert_stays_unapproved(world, namespace)
    # An exception of the next test counts only if the operator has then seen the policies for five seconds.
    world.until("the policies have settled", lambda: world.now() > since + datetime.timedelta(seconds=7))


@contextlib.contextmanager
def unguarded_without_operator(world: World, attacker: api.Api, namespace: str) -> Iterator[None]:
    """Unbind exception-writers as `unguarded` does, while no operator runs that could report the policy."""
    binding_body = world.admin.get(BINDING).expect(200).body
    world.admin.delete(BINDING).expect(200)
    dry_run_path = f"{world.exceptions(namespace)}?dryRun=All"
    world.until("nobody asks the tenant", lambda: attacker.post(dry_run_path, exception_body("probe")).status == 201)
    yield
    body = {key: binding_body[key] for key in ("apiVersion", "kind", "spec")}
    world.admin.post(BINDINGS, {**body, "metadata": {"name": binding_body["metadata"]["name"]}}).expect(201)
    since = world.now()
    world.until("it has settled", lambda: world.now() > since + datetime.timedelta(seconds=7))


def test_what_was_approved_is_not_what_was_edited_in_the_moment_without_the_policy(world: World) -> None:
    """A9: The tenant extends an approved exception, which then ends; claims do not bring it back, an approver does."""
    namespace = world.namespace()
    world.exception(namespace, "mine", seconds=600).expect(201)
    world.until("in force", lambda: world.ready(namespace, "mine") == "Active")
    attacker, path = tenant(world, namespace), f"{world.exceptions(namespace)}/mine"
    with unguarded(world, attacker, namespace):
        attacker.patch(path, {"spec": {"expiry": world.time(86000)}}).expect(200)
        world.until("it ends", lambda: world.ready(namespace, "mine") in {"NotApproved", "GuardMissing"})
    write_claims(world, attacker, path)
    assert_stays_unapproved(world, namespace)
    world.admin.patch(path, {"spec": {"review": {"time": world.time()}}}).expect(200)
    world.until("approved", lambda: world.ready(namespace, "mine") == "Active")


def test_a_tenant_takes_no_approval_away(world: World) -> None:
    """A10: After a policy change, as in an upgrade, no tenant's write raises the generation of an agent's exception.

    The exception stays in force, and its next pod is admitted.
    """
    namespace = world.namespace()
    permanent = {"type": "Infrastructure", "expiry": None, "ticket": None, "serviceAccountName": "default"}
    world.granted_pod(namespace, "agent", **permanent)
    attacker, path = tenant(world, namespace), f"{world.exceptions(namespace)}/agent"
    world.admin.patch(WRITERS, {"metadata": {"annotations": {"upgraded": "yes"}}}).expect(200)
    changed_message = [{"op": "add", "path": "/spec/validations/0/message", "value": "in other words"}]
    spec_before = world.admin.get(WRITERS).body["spec"]
    world.admin.patch(WRITERS, changed_message, api.JSON_PATCH).expect(200)
    world.admin.patch(WRITERS, {"spec": spec_before}).expect(200)
    for text in ("30.0", "3e1"):
        refused(attacker.patch(path, RAISING.format(text).encode()), "exception-writers")
    write_claims(world, attacker, path)
    end = world.now() + datetime.timedelta(seconds=8)
    world.holds_until(end, "in force", lambda: world.ready(namespace, "agent") == "Active")
    attacker.delete(f"{world.pods(namespace)}/agent", {"gracePeriodSeconds": 0})
    world.until("its next pod is admitted", lambda: world.pod(namespace, "next").status == 201)


def test_trust_at_the_installation_converges_from_one_sync(tmp_path: pathlib.Path) -> None:
    """A9: Everything in one apply, repeated until it exits 0, brings every exception into force without other steps."""
    with cluster.Cluster(audit=True) as control_plane:
        world = World(control_plane)
        agent = exception_body("agent") | {"metadata": {"name": "agent", "namespace": "agents"}}
        objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "agents"}}, agent]
        overlay = control_plane.kubectl("kustomize", str(ROOT / "manifests" / "overlays" / operator.enforcing())).stdout
        trusting_overlay = overlay.replace("  mode: Enforce\n", "  mode: Enforce\n  exceptions: {trustAtInstall: 5m}\n")
        assert trusting_overlay != overlay
        crds = [path.read_text() for path in sorted((ROOT / "crds").glob("*.yaml"))]
        sync = tmp_path / "sync.yaml"
        sync.write_text("---\n".join([*crds, trusting_overlay, *(f"{json.dumps(body)}\n" for body in objects)]))
        outcomes = []

        def succeeds() -> bool:
            outcomes.append(control_plane.kubectl("apply", "--server-side", "-f", str(sync)).returncode)
            return outcomes[-1] == 0

        world.until("the sync succeeds", succeeds)
        assert outcomes[0] != 0, "kinds that are new with the file are refused in the first go"
        control_plane.kubectl("scale", "deployment", "hostnetwork-operator", "-n", "hostnetwork-system", "--replicas=0")
        with world.operator:
            world.until("in force", lambda: world.ready("agents", "agent") == "Active")
            assert "agent" in world.grants("agents")
            world.until("its pod is admitted", lambda: world.pod("agents").status == 201)


def test_a_slow_watch_of_namespaces_takes_no_approval_away(world: World) -> None:
    """A10: The operator sees an approver's exception before it sees the recreated namespace of that exception.

    A creator causes this with large writes of another Namespace, which the watch of namespaces has to deliver first.
    """
    rule = {"apiGroups": [""], "resources": ["namespaces"], "verbs": VERBS}
    creator = holder(world, "creator", rule)
    creator.post("/api/v1/namespaces", {"metadata": {"name": "bulky"}}).expect(201)
    namespace = world.namespace()
    path = f"/api/v1/namespaces/{namespace}"
    os.kill(world.operator.pid, signal.SIGSTOP)
    try:
        for number in range(40):
            patch = {"metadata": {"annotations": {"x": "y" * 240_000 + str(number)}}}
            creator.patch("/api/v1/namespaces/bulky", patch).expect(200)
        creator.delete(path).expect(200)
        world.until("it is gone", lambda: world.admin.get(path).status == 404)
        creator.post("/api/v1/namespaces", {"metadata": {"name": namespace}}).expect(201)
        world.exception(
            namespace, type="Infrastructure", expiry=None, ticket=None, serviceAccountName="default"
        ).expect(201)
    finally:
        os.kill(world.operator.pid, signal.SIGCONT)
    world.until("it is in force", lambda: world.ready(namespace) == "Active")
    world.admin.delete("/api/v1/namespaces/bulky").expect(200)
