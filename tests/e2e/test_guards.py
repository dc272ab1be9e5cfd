"""The operator watches the admission policies: their content, their bindings, and both during an upgrade."""

import datetime
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from hostnetwork_operator.api import labels
from hostnetwork_operator.observe import store
from tests.controlplane import api
from tests.controlplane.operator import ROOT
from tests.e2e.conftest import LABEL, OPERATOR, PSA, World

ADMISSION = ROOT / "manifests" / "admission"
KINDS = {
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
}
HOST_NAMESPACES = f"{KINDS['ValidatingAdmissionPolicy']}/{labels.POLICY_HOST_NAMESPACES}"
HOST_NAMESPACES_DENY = f"{KINDS['ValidatingAdmissionPolicyBinding']}/host-namespaces-deny.{LABEL}"
WRITERS = f"{KINDS['ValidatingAdmissionPolicy']}/{labels.POLICY_EXCEPTION_WRITERS}"
OPEN = {"spec": {"validations": [{"expression": "true"}]}}
GUARD_REASONS = {"PolicyGuardMissing", "PolicyIntact"}


def lost_policies(world: World) -> list[str]:
    """Return the policies that the metric shows as not intact."""
    text = world.operator.metrics()
    assert "hostnetwork_admission_policy_intact{" in text
    return [name for name in labels.POLICIES if f'_policy_intact{{policy="{name}"}} 1.0' not in text]


def guarded_reason(world: World) -> str:
    """Return the reason of the policy's condition Guarded."""
    path = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"
    conditions = world.admin.get(path).expect(200).body.get("status", {}).get("conditions", [])
    return next((str(condition["reason"]) for condition in conditions if condition["type"] == "Guarded"), "")


def guard_events(world: World) -> list[str]:
    return [reason for _, _, reason in world.events("default") if reason in GUARD_REASONS]


def repair(world: World) -> None:
    """Repair the policies as the messages say, and wait until exceptions count again."""
    for arguments in (("apply",), ("replace", "--save-config")):
        completed = world.cluster.kubectl(*arguments, "-k", str(ADMISSION))
        assert completed.returncode == 0, completed.stderr
    world.until("all in place", lambda: lost_policies(world) == [])
    world.until("the policy says so", lambda: guarded_reason(world) == "Intact")
    repaired = world.now()
    # An exception counts only if it is written when the policies that it rests on are five seconds old.
    world.until("they have settled", lambda: world.now() > repaired + datetime.timedelta(seconds=6))


def bodies() -> list[dict[str, Any]]:
    """Return every object of manifests/admission, in the order of the files."""
    files = [file for file in sorted(ADMISSION.glob("*.yaml")) if file.name != "kustomization.yaml"]
    return [body for file in files for body in yaml.safe_load_all(file.read_text())]


def change_all(world: World) -> None:
    """Change every policy as another release might: with another first message."""
    for body in bodies():
        if body["kind"] == "ValidatingAdmissionPolicy":
            patch = [{"op": "add", "path": "/spec/validations/0/message", "value": "in other words"}]
            path = f"{KINDS[body['kind']]}/{body['metadata']['name']}"
            world.admin.patch(path, patch, api.JSON_PATCH).expect(200)


def not_shipped(world: World) -> list[str]:
    """Return what is wrong with the policies as the API server returns them, without an operator."""
    cache = store.Store()
    for kind, path in zip((store.Kind.ADMISSION_POLICY, store.Kind.ADMISSION_BINDING), KINDS.values(), strict=True):
        for body in world.admin.items(path):
            cache.put(kind, body)
    return [guard.why_not for guard in cache.guards().values() if guard.since is None]


@pytest.fixture
def world(unattended: World) -> Iterator[World]:
    """The cluster; afterwards the operator runs and the policies are as shipped."""
    yield unattended
    if not unattended.operator.running():
        unattended.operator.start()
    repair(unattended)


def test_what_the_api_server_gives_back_is_what_is_shipped(world: World) -> None:
    """A store that reads the policies back finds every guard in place.

    The API server adds its defaults, and the test applies the files in three ways.
    """
    for arguments in (("apply",), ("apply", "--server-side", "--force-conflicts"), ("replace", "--save-config")):
        completed = world.cluster.kubectl(*arguments, "-k", str(ADMISSION))
        assert completed.returncode == 0, completed.stderr
        assert not_shipped(world) == [], arguments


def test_a_narrowed_binding_ends_diagnostics_and_nothing_else(world: World) -> None:
    """Within seconds the level is restored, and the exception and the policy say why.

    The Infrastructure exception stays, and nothing new is granted. After the repair every exception is in force.
    """
    since = world.request_count()
    diagnostic, permanent, later = (world.namespace() for _ in range(3))
    world.granted_pod(diagnostic)
    world.granted_pod(permanent, type="Infrastructure", expiry=None, ticket=None, serviceAccountName="default")
    narrowed = {"spec": {"matchResources": {"namespaceSelector": {"matchLabels": {"never": "there"}}}}}
    world.admin.patch(HOST_NAMESPACES_DENY, narrowed).expect(200)
    world.until("it is missed", lambda: lost_policies(world) == [labels.POLICY_HOST_NAMESPACES], 5)
    world.until("the level is back", lambda: world.labels(diagnostic)[PSA] == "baseline", 5)
    world.until("it says why", lambda: "kubectl replace" in world.condition(diagnostic)["message"])
    world.until("the policy says so", lambda: guarded_reason(world) == "GuardMissing", 5)
    world.until("an Event says so", lambda: "PolicyGuardMissing" in guard_events(world), 5)
    assert (world.ready(permanent), world.labels(permanent)[PSA]) == ("Active", "privileged")
    world.exception(later, type="Infrastructure", expiry=None, ticket=None, serviceAccountName="default").expect(201)
    world.until("nothing new is granted", lambda: world.ready(later) == "GuardMissing")
    assert world.labels(later)[PSA] == "baseline"
    repair(world)
    for namespace in (diagnostic, permanent, later):
        world.until("in force", lambda namespace=namespace: world.ready(namespace) == "Active")
    assert not [e for e in world.writes(since) if str(e["objectRef"]["resource"]).startswith("validating")], OPERATOR


def test_an_upgrade_is_no_alarm(world: World) -> None:
    """Under another release's files grants stay, no Event is emitted, and nothing new is granted.

    The operator restarts in between. With its own files again, it grants the new exception.
    """
    name, later = world.namespace(), world.namespace()
    world.granted_pod(name)
    reasons_before = guard_events(world)
    patch = [{"op": "add", "path": "/spec/validations/0/message", "value": "in other words"}]
    world.admin.patch(HOST_NAMESPACES, patch, api.JSON_PATCH).expect(200)
    world.until("the metric shows it", lambda: lost_policies(world) == [labels.POLICY_HOST_NAMESPACES], 5)
    world.exception(later).expect(201)
    world.until("nothing new is granted", lambda: world.ready(later) == "GuardMissing")
    change_all(world)
    world.until("the policy shows it", lambda: guarded_reason(world) == "Changing")
    world.until("the metric shows all", lambda: len(lost_policies(world)) == len(labels.POLICIES), 5)
    world.operator.kill()
    world.operator.start()
    assert len(lost_policies(world)) == len(labels.POLICIES)
    assert (world.ready(name), world.labels(name)[PSA]) == ("Active", "privileged")
    repair(world)
    assert (world.ready(name), world.labels(name)[PSA]) == ("Active", "privileged")
    world.until("the new one is granted", lambda: world.ready(later) == "Active")
    assert {"PolicyGuardMissing": reasons_before.count("PolicyGuardMissing")} == {
        "PolicyGuardMissing": guard_events(world).count("PolicyGuardMissing")
    }
    assert ("Namespace", name, "LevelRestored") not in world.events(name)


def test_what_is_not_known_after_a_minute_is_missing(world: World) -> None:
    """A policy that always says true ends Diagnostics 60 s after that change, also if the operator restarts."""
    name = world.namespace()
    world.granted_pod(name)
    world.admin.patch(HOST_NAMESPACES, OPEN).expect(200)
    world.until("the metric shows it", lambda: lost_policies(world) == [labels.POLICY_HOST_NAMESPACES], 5)
    world.operator.stop()
    world.operator.start()
    assert world.labels(name)[PSA] == "privileged"
    count_before = guard_events(world).count("PolicyGuardMissing")
    world.until("the level is back", lambda: world.labels(name)[PSA] == "baseline", 75)
    world.until("it says why", lambda: "expressions of" in world.condition(name)["message"])
    world.until("the policy says so", lambda: guarded_reason(world) == "GuardMissing", 5)
    world.until("once", lambda: guard_events(world).count("PolicyGuardMissing") == count_before + 1)
    repair(world)
    world.until("in force", lambda: world.ready(name) == "Active")


def test_what_was_written_under_a_weak_policy_is_not_approved(world: World) -> None:
    """The policy counts from its repair, even if the operator was down while the policy was weak."""
    name = world.namespace()
    world.operator.stop()
    world.admin.patch(WRITERS, OPEN).expect(200)
    world.exception(name).expect(201)
    completed = world.cluster.kubectl("apply", "-k", str(ADMISSION))
    assert completed.returncode == 0, completed.stderr
    world.operator.start()
    world.until("it is judged", lambda: world.ready(name) == "NotApproved")
    assert world.grants(name) == {}


ORDERS: dict[str, Any] = {
    "bindings first": lambda unordered: sorted(unordered, key=lambda body: body["kind"], reverse=True),
    "policies first": lambda unordered: sorted(unordered, key=lambda body: body["kind"]),
    "backwards": lambda unordered: unordered[::-1],
}


@pytest.mark.parametrize("order", ORDERS)
def test_the_files_can_be_applied_in_any_order(world: World, order: str) -> None:
    """Applied one by one from nothing, every policy counts in the end, and an older exception is in force again."""
    name = world.namespace()
    world.granted_pod(name)
    ordered = ORDERS[order](bodies())
    for body in ordered:
        world.admin.delete(f"{KINDS[body['kind']]}/{body['metadata']['name']}").expect(200)
    world.until("all are missed", lambda: len(lost_policies(world)) == len(labels.POLICIES), 5)
    world.until("it ends", lambda: world.ready(name) == "GuardMissing")
    for body in ordered:
        completed = world.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))
        assert completed.returncode == 0, completed.stderr
    world.until("all in place", lambda: lost_policies(world) == [])
    world.until("in force", lambda: world.ready(name) == "Active")
