"""Who owns a level: no tenant lowers what a platform team set, or blocks the operator's work by tightening."""

import contextlib
import datetime
from collections.abc import Iterator
from typing import Any

from tests.controlplane import api, cluster, operator
from tests.e2e.conftest import LABEL, PSA, World
from tests.e2e.threats.conftest import KEPT, POLICY, pod, refused, tenant

BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
BINDING = f"{BINDINGS}/namespace-labels-deny.{LABEL}"


def write_claims(client: api.Api, path: str) -> None:
    """Write everything that managedFields can claim about who wrote the labels."""
    fields = {"f:metadata": {"f:labels": {f"f:{PSA}": {}, f"f:{LABEL}/enforcement": {}}}}
    entry = {"operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}
    client.patch(path, {"metadata": {"managedFields": [{**entry, "manager": "hostnetwork-operator"}]}}).expect(200)
    client.patch(path, {"metadata": {"managedFields": [{}]}}).expect(200)


def test_a_stricter_level_of_somebody_else_stays(world: World) -> None:
    """A16: A platform team sets restricted; the tenant empties managedFields, or claims that the operator wrote it."""
    namespace = world.namespace()
    path = f"/api/v1/namespaces/{namespace}"
    world.admin.patch(path, {"metadata": {"labels": {PSA: "restricted"}}}).expect(200)
    write_claims(tenant(world, namespace), path)
    end = world.now() + datetime.timedelta(seconds=5)
    world.holds_until(end, "restricted", lambda: world.labels(namespace)[PSA] == "restricted")
    world.exception(namespace).expect(201)
    world.until("nothing is lifted", lambda: world.ready(namespace) == "LevelOwnedByOther")
    world.admin.patch(path, {"metadata": {"labels": {PSA: None}}}).expect(200)
    world.until("its own again, lifted", lambda: world.labels(namespace).get(PSA) == "privileged")


def test_a_stricter_level_of_before_stays(world: World) -> None:
    """A16: The same for a namespace that was restricted before enforcement, and for hostnetwork-system."""
    namespace = world.namespace(labels={PSA: "restricted"})
    for name in (namespace, "hostnetwork-system"):
        level = world.labels(name)[PSA]
        assert level == "restricted"
        client = tenant(world, name) if name == namespace else world.admin
        write_claims(client, f"/api/v1/namespaces/{name}")
        end = world.now() + datetime.timedelta(seconds=5)
        world.holds_until(end, "restricted", lambda n=name: world.labels(n)[PSA] == "restricted")


def test_tightening_makes_nothing_contested(world: World) -> None:
    """A16: A tenant tightens repeatedly under the operator's field manager; all exceptions still count."""
    namespace = world.namespace()
    path = f"/api/v1/namespaces/{namespace}"
    attacker = tenant(world, namespace)
    for level in ("restricted", "restricted", "restricted"):
        looser_patch = {"metadata": {"labels": {PSA: level, "pod-security.kubernetes.io/warn": "privileged"}}}
        attacker.patch(f"{path}?fieldManager=hostnetwork-operator", looser_patch).expect(200, 403, 422)
        patch = {"metadata": {"labels": {PSA: level}}}
        attacker.patch(f"{path}?fieldManager=hostnetwork-operator", patch).expect(200)
        world.admin.patch(path, {"metadata": {"labels": {PSA: None}}}).expect(200)
        world.until("the target", lambda: world.labels(namespace).get(PSA) == "baseline")
    assert [reason for _, _, reason in world.events(namespace) if reason == "NamespaceContested"] == []
    world.exception(namespace).expect(201)
    world.until("granted", lambda: world.ready(namespace) == "Active")


def test_tightening_short_of_the_target_makes_nothing_contested(world: World) -> None:
    """A16: The tenant of a lifted namespace with target restricted sets baseline: stricter, but not strict enough."""
    rules = [{"selector": {"matchLabels": {KEPT: "strict"}}, "enforce": "restricted"}]
    world.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
    namespace = world.namespace(labels={KEPT: "strict"})
    path = f"/api/v1/namespaces/{namespace}"
    try:
        world.exception(
            namespace, type="Infrastructure", expiry=None, ticket=None, serviceAccountName="default"
        ).expect(201)
        for _ in range(3):
            world.until("it is lifted", lambda: world.labels(namespace)[PSA] == "privileged")
            since = world.request_count()
            patch = {"metadata": {"labels": {PSA: "baseline"}}}
            tenant(world, namespace).patch(path, patch).expect(200)
            world.until("the target is written", lambda since=since: _has_written_restricted(world, since))
        world.until("and it is lifted", lambda: world.labels(namespace)[PSA] == "privileged")
        assert [reason for _, _, reason in world.events(namespace) if reason == "NamespaceContested"] == []
    finally:
        world.admin.patch(POLICY, {"spec": {"rules": None}}).expect(200)


def _has_written_restricted(world: World, since: int) -> bool:
    """Return whether the operator has written the level restricted since then."""
    return any(f"'{PSA}': 'restricted'" in str(event.get("requestObject")) for event in world.writes(since))


def test_a_label_of_before_the_installation_takes_no_namespace_out_of_enforce() -> None:
    """A6: A tenant who sets the label of a future rule before there is a policy gains nothing."""
    with cluster.Cluster() as control_plane:
        world = World(control_plane)
        namespace = world.namespace(deny=False)
        attacker, path = tenant(world, namespace), f"/api/v1/namespaces/{namespace}"
        patch = {"metadata": {"labels": {KEPT: "anything"}}}
        attacker.patch(path, patch).expect(200)
        operator.install(control_plane)
        rules = [{"selector": {"matchLabels": {KEPT: "anything"}}, "mode": "Audit"}]
        world.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
        settled_at = world.now() + datetime.timedelta(seconds=7)
        world.until("the policies have settled", lambda: world.now() > settled_at)
        with world.operator:
            world.until("enforced", lambda: world.labels(namespace).get(f"{LABEL}/enforcement") == "Deny")
            refused(attacker.post(world.pods(namespace), pod(hostNetwork=True)), ("host-namespaces", "PSA"))
            # A holder of setlevel removes the label and sets it again.
            world.admin.patch(path, {"metadata": {"labels": {KEPT: None}}}).expect(200)
            uid = world.metadata(namespace)["uid"]
            world.until("seen without", lambda: world.ledger_record(f"ns.{uid}").get("under"))
            world.admin.patch(path, patch).expect(200)
            world.until("Audit", lambda: world.labels(namespace)[f"{LABEL}/enforcement"] == "Audit")


@contextlib.contextmanager
def unguarded(world: World, namespace: str) -> Iterator[None]:
    """Unbind namespace-labels for the `with` block; then bind it again and wait until it has settled."""
    binding_body = world.admin.get(BINDING).expect(200).body
    world.admin.delete(BINDING).expect(200)
    probe_patch: dict[str, Any] = {"metadata": {"labels": {f"{LABEL}/probe": "x"}}}
    dry_run_path = f"/api/v1/namespaces/{namespace}?dryRun=All"
    attacker = tenant(world, namespace)
    world.until("nobody asks", lambda: attacker.patch(dry_run_path, probe_patch).status == 200)
    try:
        yield
    finally:
        body = {key: binding_body[key] for key in ("apiVersion", "kind", "spec")}
        world.admin.post(BINDINGS, {**body, "metadata": {"name": binding_body["metadata"]["name"]}}).expect(201)
        world.until("he is asked again", lambda: attacker.patch(dry_run_path, probe_patch).status in {403, 422})
        settled_at = world.now() + datetime.timedelta(seconds=7)
        world.until("it has settled", lambda: world.now() > settled_at)


def test_a_label_of_the_moment_without_the_policy_takes_no_namespace_out_of_enforce(world: World) -> None:
    """A6: A tenant sets the label of a rule without the policy: that loosens nothing, then or later.

    An administrator who sets the label again with the policy makes it count.
    """
    rules = [{"selector": {"matchLabels": {KEPT: "anything"}}, "mode": "Audit", "enforce": "privileged"}]
    world.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
    namespace = world.namespace()
    path, patch = f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {KEPT: "anything"}}}
    try:
        with unguarded(world, namespace):
            tenant(world, namespace).patch(path, patch).expect(200)
        end = world.now() + datetime.timedelta(seconds=4)
        world.holds_until(
            end,
            "enforced",
            lambda: (
                (world.labels(namespace)[PSA], world.labels(namespace)[f"{LABEL}/enforcement"]) == ("baseline", "Deny")
            ),
        )
        world.admin.patch(path, {"metadata": {"labels": {KEPT: None}}}).expect(200)
        end = world.now() + datetime.timedelta(seconds=2)
        world.until("that is recorded", lambda: world.now() > end)
        world.admin.patch(path, patch).expect(200)
        world.until("Audit", lambda: world.labels(namespace)[f"{LABEL}/enforcement"] == "Audit")
    finally:
        world.admin.patch(POLICY, {"spec": {"rules": None}}).expect(200)
