"""The operator watches the admission policies: their content, their bindings, and both during an upgrade."""

import datetime
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from hostnetwork_operator.api import labels
from hostnetwork_operator.observe import store
from tests.conftest import ROOT
from tests.controlplane import api
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
TOLD = {"PolicyGuardMissing", "PolicyIntact"}


def lost(world: World) -> list[str]:
    """Return the policies that the metric shows as not intact."""
    text = world.operator.metrics()
    assert "hostnetwork_admission_policy_intact{" in text
    return [name for name in labels.POLICIES if f'_policy_intact{{policy="{name}"}} 1.0' not in text]


def guarded(world: World) -> str:
    """Return the reason of the policy's condition Guarded."""
    path = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"
    conditions = world.admin.get(path).expect(200).body.get("status", {}).get("conditions", [])
    return next((str(one["reason"]) for one in conditions if one["type"] == "Guarded"), "")


def told(world: World) -> list[str]:
    return [reason for _, _, reason in world.events("default") if reason in TOLD]


def mend(world: World) -> None:
    """Repair the policies as the messages say, and wait until exceptions count again."""
    for words in (("apply",), ("replace", "--save-config")):
        done = world.cluster.kubectl(*words, "-k", str(ADMISSION))
        assert done.returncode == 0, done.stderr
    world.until("all in place", lambda: lost(world) == [])
    world.until("the policy says so", lambda: guarded(world) == "Intact")
    mended = world.now()
    # An exception counts only if it is written when the policies that it rests on are five seconds old.
    world.until("they have settled", lambda: world.now() > mended + datetime.timedelta(seconds=6))


def bodies() -> list[dict[str, Any]]:
    """Return every object of manifests/admission, in the order of the files."""
    files = [file for file in sorted(ADMISSION.glob("*.yaml")) if file.name != "kustomization.yaml"]
    return [body for file in files for body in yaml.safe_load_all(file.read_text())]


def change_all(world: World) -> None:
    """Change every policy as another release might: with another first message."""
    for body in bodies():
        if body["kind"] == "ValidatingAdmissionPolicy":
            word = [{"op": "add", "path": "/spec/validations/0/message", "value": "in other words"}]
            path = f"{KINDS[body['kind']]}/{body['metadata']['name']}"
            world.admin.patch(path, word, api.JSON_PATCH).expect(200)


def not_shipped(world: World) -> list[str]:
    """Return what is wrong with the policies as the API server returns them, without an operator."""
    kept = store.Store()
    for kind, path in zip((store.Kind.ADMISSION_POLICY, store.Kind.ADMISSION_BINDING), KINDS.values(), strict=True):
        for body in world.admin.items(path):
            kept.put(kind, body)
    return [guard.why_not for guard in kept.guards().values() if guard.since is None]


@pytest.fixture
def mended(unattended: World) -> Iterator[World]:
    """The cluster; afterwards the operator runs and the policies are as shipped."""
    yield unattended
    if not unattended.operator.running():
        unattended.operator.start()
    mend(unattended)


def test_what_the_api_server_gives_back_is_what_is_shipped(mended: World) -> None:
    """A store that reads the policies back finds every guard in place.

    The API server adds its defaults, and the test applies the files in three ways.
    """
    for words in (("apply",), ("apply", "--server-side", "--force-conflicts"), ("replace", "--save-config")):
        done = mended.cluster.kubectl(*words, "-k", str(ADMISSION))
        assert done.returncode == 0, done.stderr
        assert not_shipped(mended) == [], words


def test_a_narrowed_binding_ends_diagnostics_and_nothing_else(mended: World) -> None:
    """Within seconds the level is restored, and the exception and the policy say why.

    The Infrastructure exception stays, and nothing new is granted. After the repair every exception is in force.
    """
    since = mended.audited()
    diagnostic, permanent, later = (mended.namespace() for _ in range(3))
    mended.granted_pod(diagnostic)
    mended.granted_pod(permanent, type="Infrastructure", expiry=None, ticket=None, serviceAccountName="default")
    never = {"spec": {"matchResources": {"namespaceSelector": {"matchLabels": {"never": "there"}}}}}
    mended.admin.patch(HOST_NAMESPACES_DENY, never).expect(200)
    mended.until("it is missed", lambda: lost(mended) == [labels.POLICY_HOST_NAMESPACES], 5)
    mended.until("the level is back", lambda: mended.labels(diagnostic)[PSA] == "baseline", 5)
    mended.until("it says why", lambda: "kubectl replace" in mended.condition(diagnostic)["message"])
    mended.until("the policy says so", lambda: guarded(mended) == "GuardMissing", 5)
    mended.until("an Event says so", lambda: "PolicyGuardMissing" in told(mended), 5)
    assert (mended.ready(permanent), mended.labels(permanent)[PSA]) == ("Active", "privileged")
    mended.exception(later, type="Infrastructure", expiry=None, ticket=None, serviceAccountName="default").expect(201)
    mended.until("nothing new is granted", lambda: mended.ready(later) == "GuardMissing")
    assert mended.labels(later)[PSA] == "baseline"
    mend(mended)
    for namespace in (diagnostic, permanent, later):
        mended.until("in force", lambda namespace=namespace: mended.ready(namespace) == "Active")
    assert not [e for e in mended.writes(since) if str(e["objectRef"]["resource"]).startswith("validating")], OPERATOR


def test_an_upgrade_is_no_alarm(mended: World) -> None:
    """Under another release's files grants stay, no Event is emitted, and nothing new is granted.

    The operator restarts in between. With its own files again, it grants the new exception.
    """
    name, later = mended.namespace(), mended.namespace()
    mended.granted_pod(name)
    before = told(mended)
    words = [{"op": "add", "path": "/spec/validations/0/message", "value": "in other words"}]
    mended.admin.patch(HOST_NAMESPACES, words, api.JSON_PATCH).expect(200)
    mended.until("the metric shows it", lambda: lost(mended) == [labels.POLICY_HOST_NAMESPACES], 5)
    mended.exception(later).expect(201)
    mended.until("nothing new is granted", lambda: mended.ready(later) == "GuardMissing")
    change_all(mended)
    mended.until("the policy shows it", lambda: guarded(mended) == "Changing")
    mended.until("the metric shows all", lambda: len(lost(mended)) == len(labels.POLICIES), 5)
    mended.operator.kill()
    mended.operator.start()
    assert len(lost(mended)) == len(labels.POLICIES)
    assert (mended.ready(name), mended.labels(name)[PSA]) == ("Active", "privileged")
    mend(mended)
    assert (mended.ready(name), mended.labels(name)[PSA]) == ("Active", "privileged")
    mended.until("the new one is granted", lambda: mended.ready(later) == "Active")
    assert {"PolicyGuardMissing": before.count("PolicyGuardMissing")} == {
        "PolicyGuardMissing": told(mended).count("PolicyGuardMissing")
    }
    assert ("Namespace", name, "LevelRestored") not in mended.events(name)


def test_what_is_not_known_after_a_minute_is_missing(mended: World) -> None:
    """A policy that always says true ends Diagnostics 60 s after that change, also if the operator restarts."""
    name = mended.namespace()
    mended.granted_pod(name)
    mended.admin.patch(HOST_NAMESPACES, OPEN).expect(200)
    mended.until("the metric shows it", lambda: lost(mended) == [labels.POLICY_HOST_NAMESPACES], 5)
    mended.operator.stop()
    mended.operator.start()
    assert mended.labels(name)[PSA] == "privileged"
    before = told(mended).count("PolicyGuardMissing")
    mended.until("the level is back", lambda: mended.labels(name)[PSA] == "baseline", 75)
    mended.until("it says why", lambda: "expressions of" in mended.condition(name)["message"])
    mended.until("the policy says so", lambda: guarded(mended) == "GuardMissing", 5)
    mended.until("once", lambda: told(mended).count("PolicyGuardMissing") == before + 1)
    mend(mended)
    mended.until("in force", lambda: mended.ready(name) == "Active")


def test_what_was_written_under_a_weak_policy_is_not_approved(mended: World) -> None:
    """The policy counts from its repair, even if the operator was down while the policy was weak."""
    name = mended.namespace()
    mended.operator.stop()
    mended.admin.patch(WRITERS, OPEN).expect(200)
    mended.exception(name).expect(201)
    done = mended.cluster.kubectl("apply", "-k", str(ADMISSION))
    assert done.returncode == 0, done.stderr
    mended.operator.start()
    mended.until("it is judged", lambda: mended.ready(name) == "NotApproved")
    assert mended.grants(name) == {}


ORDERS: dict[str, Any] = {
    "bindings first": lambda found: sorted(found, key=lambda body: body["kind"], reverse=True),
    "policies first": lambda found: sorted(found, key=lambda body: body["kind"]),
    "backwards": lambda found: found[::-1],
}


@pytest.mark.parametrize("order", ORDERS)
def test_the_files_can_be_applied_in_any_order(mended: World, order: str) -> None:
    """Applied one by one from nothing, every policy counts in the end, and an older exception is in force again."""
    name = mended.namespace()
    mended.granted_pod(name)
    found = ORDERS[order](bodies())
    for body in found:
        mended.admin.delete(f"{KINDS[body['kind']]}/{body['metadata']['name']}").expect(200)
    mended.until("all are missed", lambda: len(lost(mended)) == len(labels.POLICIES), 5)
    mended.until("it ends", lambda: mended.ready(name) == "GuardMissing")
    for body in found:
        done = mended.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))
        assert done.returncode == 0, done.stderr
    mended.until("all in place", lambda: lost(mended) == [])
    mended.until("in force", lambda: mended.ready(name) == "Active")
