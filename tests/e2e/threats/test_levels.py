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


def claims(client: api.Api, path: str) -> None:
    """Write everything that managedFields can claim about who wrote the labels."""
    fields = {"f:metadata": {"f:labels": {f"f:{PSA}": {}, f"f:{LABEL}/enforcement": {}}}}
    entry = {"operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}
    client.patch(path, {"metadata": {"managedFields": [{**entry, "manager": "hostnetwork-operator"}]}}).expect(200)
    client.patch(path, {"metadata": {"managedFields": [{}]}}).expect(200)


def test_a_stricter_level_of_somebody_else_stays(attacked: World) -> None:
    """A16: A platform team sets restricted; the tenant empties managedFields, or claims that the operator wrote it."""
    namespace = attacked.namespace()
    path = f"/api/v1/namespaces/{namespace}"
    attacked.admin.patch(path, {"metadata": {"labels": {PSA: "restricted"}}}).expect(200)
    claims(tenant(attacked, namespace), path)
    later = attacked.now() + datetime.timedelta(seconds=5)
    attacked.holds_until(later, "restricted", lambda: attacked.labels(namespace)[PSA] == "restricted")
    attacked.exception(namespace).expect(201)
    attacked.until("nothing is lifted", lambda: attacked.ready(namespace) == "LevelOwnedByOther")
    attacked.admin.patch(path, {"metadata": {"labels": {PSA: None}}}).expect(200)
    attacked.until("its own again, lifted", lambda: attacked.labels(namespace).get(PSA) == "privileged")


def test_a_stricter_level_of_before_stays(attacked: World) -> None:
    """A16: The same for a namespace that was restricted before enforcement, and for hostnetwork-system."""
    namespace = attacked.namespace(labels={PSA: "restricted"})
    for name in (namespace, "hostnetwork-system"):
        stands = attacked.labels(name)[PSA]
        assert stands == "restricted"
        client = tenant(attacked, name) if name == namespace else attacked.admin
        claims(client, f"/api/v1/namespaces/{name}")
        later = attacked.now() + datetime.timedelta(seconds=5)
        attacked.holds_until(later, "restricted", lambda n=name: attacked.labels(n)[PSA] == "restricted")


def test_tightening_makes_nothing_contested(attacked: World) -> None:
    """A16: A tenant tightens repeatedly under the operator's field manager; all exceptions still count."""
    namespace = attacked.namespace()
    path = f"/api/v1/namespaces/{namespace}"
    attacker = tenant(attacked, namespace)
    for level in ("restricted", "restricted", "restricted"):
        labelled = {"metadata": {"labels": {PSA: level, "pod-security.kubernetes.io/warn": "privileged"}}}
        attacker.patch(f"{path}?fieldManager=hostnetwork-operator", labelled).expect(200, 403, 422)
        tightened = {"metadata": {"labels": {PSA: level}}}
        attacker.patch(f"{path}?fieldManager=hostnetwork-operator", tightened).expect(200)
        attacked.admin.patch(path, {"metadata": {"labels": {PSA: None}}}).expect(200)
        attacked.until("the target", lambda: attacked.labels(namespace).get(PSA) == "baseline")
    assert [reason for _, _, reason in attacked.events(namespace) if reason == "NamespaceContested"] == []
    attacked.exception(namespace).expect(201)
    attacked.until("granted", lambda: attacked.ready(namespace) == "Active")


def test_tightening_short_of_the_target_makes_nothing_contested(attacked: World) -> None:
    """A16: The tenant of a lifted namespace with target restricted sets baseline: stricter, but not strict enough."""
    rules = [{"selector": {"matchLabels": {KEPT: "strict"}}, "enforce": "restricted"}]
    attacked.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
    namespace = attacked.namespace(labels={KEPT: "strict"})
    path = f"/api/v1/namespaces/{namespace}"
    try:
        attacked.exception(
            namespace, type="Infrastructure", expiry=None, ticket=None, serviceAccountName="default"
        ).expect(201)
        for _ in range(3):
            attacked.until("it is lifted", lambda: attacked.labels(namespace)[PSA] == "privileged")
            since = attacked.request_count()
            tightened = {"metadata": {"labels": {PSA: "baseline"}}}
            tenant(attacked, namespace).patch(path, tightened).expect(200)
            attacked.until("the target is written", lambda since=since: _restricted(attacked, since))
        attacked.until("and it is lifted", lambda: attacked.labels(namespace)[PSA] == "privileged")
        assert [reason for _, _, reason in attacked.events(namespace) if reason == "NamespaceContested"] == []
    finally:
        attacked.admin.patch(POLICY, {"spec": {"rules": None}}).expect(200)


def _restricted(world: World, since: int) -> bool:
    """Return whether the operator has written the level restricted since then."""
    return any(f"'{PSA}': 'restricted'" in str(one.get("requestObject")) for one in world.writes(since))


def test_a_label_of_before_the_installation_takes_no_namespace_out_of_enforce() -> None:
    """A6: A tenant who sets the label of a future rule before there is a policy gains nothing."""
    with cluster.Cluster() as running:
        world = World(running)
        namespace = world.namespace(deny=False)
        attacker, path = tenant(world, namespace), f"/api/v1/namespaces/{namespace}"
        chosen = {"metadata": {"labels": {KEPT: "anything"}}}
        attacker.patch(path, chosen).expect(200)
        operator.install(running)
        rules = [{"selector": {"matchLabels": {KEPT: "anything"}}, "mode": "Audit"}]
        world.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
        later = world.now() + datetime.timedelta(seconds=7)
        world.until("the policies have settled", lambda: world.now() > later)
        with world.operator:
            world.until("enforced", lambda: world.labels(namespace).get(f"{LABEL}/enforcement") == "Deny")
            refused(attacker.post(world.pods(namespace), pod(hostNetwork=True)), ("host-namespaces", "PSA"))
            # A holder of setlevel removes the label and sets it again.
            world.admin.patch(path, {"metadata": {"labels": {KEPT: None}}}).expect(200)
            uid = world.metadata(namespace)["uid"]
            world.until("seen without", lambda: world.ledger_record(f"ns.{uid}").get("under"))
            world.admin.patch(path, chosen).expect(200)
            world.until("Audit", lambda: world.labels(namespace)[f"{LABEL}/enforcement"] == "Audit")


@contextlib.contextmanager
def unguarded(world: World, namespace: str) -> Iterator[None]:
    """Unbind namespace-labels for the `with` block; then bind it again and wait until it has settled."""
    stored = world.admin.get(BINDING).expect(200).body
    world.admin.delete(BINDING).expect(200)
    loose: dict[str, Any] = {"metadata": {"labels": {f"{LABEL}/probe": "x"}}}
    dry = f"/api/v1/namespaces/{namespace}?dryRun=All"
    attacker = tenant(world, namespace)
    world.until("nobody asks", lambda: attacker.patch(dry, loose).status == 200)
    try:
        yield
    finally:
        body = {key: stored[key] for key in ("apiVersion", "kind", "spec")}
        world.admin.post(BINDINGS, {**body, "metadata": {"name": stored["metadata"]["name"]}}).expect(201)
        world.until("he is asked again", lambda: attacker.patch(dry, loose).status in {403, 422})
        later = world.now() + datetime.timedelta(seconds=7)
        world.until("it has settled", lambda: world.now() > later)


def test_a_label_of_the_moment_without_the_policy_takes_no_namespace_out_of_enforce(attacked: World) -> None:
    """A6: A tenant sets the label of a rule without the policy: that loosens nothing, then or later.

    An administrator who sets the label again with the policy makes it count.
    """
    rules = [{"selector": {"matchLabels": {KEPT: "anything"}}, "mode": "Audit", "enforce": "privileged"}]
    attacked.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
    namespace = attacked.namespace()
    path, chosen = f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {KEPT: "anything"}}}
    try:
        with unguarded(attacked, namespace):
            tenant(attacked, namespace).patch(path, chosen).expect(200)
        later = attacked.now() + datetime.timedelta(seconds=4)
        attacked.holds_until(
            later,
            "enforced",
            lambda: (
                (attacked.labels(namespace)[PSA], attacked.labels(namespace)[f"{LABEL}/enforcement"])
                == ("baseline", "Deny")
            ),
        )
        attacked.admin.patch(path, {"metadata": {"labels": {KEPT: None}}}).expect(200)
        later = attacked.now() + datetime.timedelta(seconds=2)
        attacked.until("that is recorded", lambda: attacked.now() > later)
        attacked.admin.patch(path, chosen).expect(200)
        attacked.until("Audit", lambda: attacked.labels(namespace)[f"{LABEL}/enforcement"] == "Audit")
    finally:
        attacked.admin.patch(POLICY, {"spec": {"rules": None}}).expect(200)
