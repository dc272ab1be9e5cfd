"""Namespaces that are created enforced while the operator is down, and what the operator does when it starts."""

import datetime
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import ENFORCED, LABEL, OPERATOR, PSA, World

pytestmark = pytest.mark.since("1.36", "MutatingAdmissionPolicy")
_POLICY = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"
_BEFORE = f"{LABEL}/level-before"


@pytest.fixture
def world_with_rules(unattended: World) -> Iterator[World]:
    """The policy with rules that select by the label `kept`, and the operator stopped; both are restored afterwards."""
    spec_before = unattended.admin.get(_POLICY).expect(200).body["spec"]
    rules = [
        {"selector": {"matchLabels": {"kept": "audit"}}, "mode": "Audit"},
        {"selector": {"matchLabels": {"kept": "agents"}}, "enforce": "privileged"},
        {"selector": {"matchLabels": {"kept": "strict"}}, "enforce": "restricted"},
    ]
    unattended.admin.patch(_POLICY, {"spec": {"rules": rules}}).expect(200)
    unattended.operator.stop()
    yield unattended
    if not unattended.operator.running():
        unattended.operator.start()
    exempt_namespaces = spec_before["exemptNamespaces"]
    unattended.admin.patch(_POLICY, {"spec": {"rules": [], "exemptNamespaces": exempt_namespaces}}).expect(200)


def _labels(world: World, name: str) -> dict[str, str]:
    """Return the labels without the name label and without those that the rules select by."""
    return {
        key: value for key, value in world.labels(name).items() if "/" in key and not key.endswith("/metadata.name")
    }


def _note(world: World, name: str) -> str | None:
    note: str | None = world.metadata(name).get("annotations", {}).get(_BEFORE)
    return note


def _set(world: World, name: str, **values: str) -> None:
    world.admin.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": values}}).expect(200)


def _requests(world: World, name: str) -> list[dict[str, Any]]:
    """Return the operator's patches of that Namespace object, including dry runs."""
    return [
        event
        for event in world.cluster.audit_events()
        if event["user"]["username"] == OPERATOR
        and event["verb"] == "patch"
        and event["objectRef"]["resource"] == "namespaces"
        and event["objectRef"]["name"] == name
    ]


def test_with_the_operator_away_a_new_namespace_is_governed(world_with_rules: World) -> None:
    """A namespace is enforced from its creation, although the operator is stopped.

    When the operator starts, it claims the labels, writes one note (level-before), runs no gate check, and emits one
    Event.
    """
    name = world_with_rules.namespace(deny=False)
    assert _labels(world_with_rules, name) == ENFORCED
    assert world_with_rules.pod(name).status == 403
    world_with_rules.pod(name, "plain", hostNetwork=False).expect(201)
    assert _requests(world_with_rules, name) == []
    world_with_rules.operator.start()
    world_with_rules.until("it is taken up", lambda: world_with_rules.enforced(name))
    assert _labels(world_with_rules, name) == ENFORCED
    assert _note(world_with_rules, name) == ""
    world_with_rules.until("its Event", lambda: world_with_rules.events(name) == [("Namespace", name, "LevelEnforced")])
    path = f"/api/v1/namespaces/{name}"
    assert [event["requestURI"].split("?")[0] for event in _requests(world_with_rules, name)] == [path, path]
    world_with_rules.granted_pod(name)
    assert world_with_rules.labels(name)[PSA] == "privileged"


def test_the_policy_says_what_comes_of_it(world_with_rules: World) -> None:
    """If a rule says restricted, privileged or Audit, the level set at birth has no owner and follows the rule."""
    strict, agents, audit = (
        world_with_rules.namespace(deny=False, labels={"kept": rule_name})
        for rule_name in ("strict", "agents", "audit")
    )
    for name in (strict, agents, audit):
        assert _labels(world_with_rules, name) == ENFORCED
    world_with_rules.operator.start()
    world_with_rules.until(
        "strict is tightened", lambda: _labels(world_with_rules, strict) == {**ENFORCED, PSA: "restricted"}
    )
    world_with_rules.until(
        "agents are let in", lambda: _labels(world_with_rules, agents) == {**ENFORCED, PSA: "privileged"}
    )
    level = {PSA, f"{PSA}-version"}
    audit_labels = {key: value for key, value in ENFORCED.items() if key not in level} | {
        f"{LABEL}/enforcement": "Audit"
    }
    world_with_rules.until("audit is shown only", lambda: _labels(world_with_rules, audit) == audit_labels)
    assert [_note(world_with_rules, name) for name in (strict, agents, audit)] == ["", "", None]
    # On a later change from Enforce to Audit, the operator does not write back the level set at birth: nothing was set
    # before.
    _set(world_with_rules, strict, kept="audit")
    _set(world_with_rules, agents, kept="audit")
    for name in (strict, agents):
        world_with_rules.until(
            f"{name} is shown only", lambda name=name: _labels(world_with_rules, name) == audit_labels
        )
        world_with_rules.until("a pod is admitted", lambda name=name: world_with_rules.pod(name).status == 201)


def test_a_namespace_that_is_exempt_loses_all_of_it(world_with_rules: World) -> None:
    """If the exempt name is unknown to label-at-birth, one clean-up write of the operator removes every label."""
    name = world_with_rules.namespace(deny=False)
    exempt_namespaces = world_with_rules.admin.get(_POLICY).body["spec"]["exemptNamespaces"]
    world_with_rules.admin.patch(_POLICY, {"spec": {"exemptNamespaces": [*exempt_namespaces, name]}}).expect(200)
    world_with_rules.operator.start()
    world_with_rules.until("it is clean", lambda: _labels(world_with_rules, name) == {})
    assert _note(world_with_rules, name) is None
    assert len(_requests(world_with_rules, name)) == 1
    world_with_rules.until("a pod is admitted", lambda: world_with_rules.pod(name).status == 201)


@pytest.mark.parametrize("level", ["privileged", "restricted"])
def test_a_level_of_the_creator_is_his(world_with_rules: World, level: str) -> None:
    """The namespace is enforced from its creation, and the creator's level comes back in Audit.

    When the operator starts, it tightens a looser level and keeps a stricter one.
    """
    name = world_with_rules.namespace(deny=False, labels={PSA: level})
    assert _labels(world_with_rules, name) == {**ENFORCED, PSA: level}
    assert world_with_rules.pod(name).status == 403
    world_with_rules.operator.start()
    world_with_rules.until("it is taken up", lambda: world_with_rules.enforced(name))
    assert _labels(world_with_rules, name) == {**ENFORCED, PSA: "baseline" if level == "privileged" else level}
    assert _note(world_with_rules, name) == level
    _set(world_with_rules, name, kept="audit")
    world_with_rules.until(
        "it is his again", lambda: world_with_rules.labels(name).get(f"{LABEL}/enforcement") == "Audit"
    )
    assert world_with_rules.labels(name)[PSA] == level


def test_what_server_side_apply_makes_of_it(world_with_rules: World) -> None:
    """Before the operator writes, a bare applied namespace has no managedFields; a later apply owns its own fields."""
    name = "applied-twice"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    path = f"/api/v1/namespaces/{name}"
    world_with_rules.admin.apply(path, body, "argocd").expect(201)
    world_with_rules.operator.start()
    world_with_rules.until("it is taken up", lambda: world_with_rules.enforced(name))
    body_with_label = {**body, "metadata": {"name": name, "labels": {"team": "net"}}}
    answer = world_with_rules.admin.apply(path, body_with_label, "argocd").expect(200)
    managers = {entry["manager"] for entry in answer.body["metadata"]["managedFields"]}
    assert managers == {"argocd", "before-first-apply", "hostnetwork-operator"}
    world_with_rules.granted_pod(name)


def test_a_namespace_that_is_made_again_is_closed(world_with_rules: World) -> None:
    """With the operator down, a recreated namespace starts enforced, and an old grant annotation opens nothing."""
    world_with_rules.operator.start()
    name = world_with_rules.namespace()
    world_with_rules.granted_pod(name)
    grants = world_with_rules.metadata(name)["annotations"]
    world_with_rules.operator.stop()
    world_with_rules.admin.delete(f"/api/v1/namespaces/{name}").expect(200)
    world_with_rules.until(
        "it is gone", lambda: world_with_rules.admin.get(f"/api/v1/namespaces/{name}").status == 404, 60
    )
    world_with_rules.admin.post("/api/v1/namespaces", {"metadata": {"name": name, "annotations": grants}}).expect(201)
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    world_with_rules.until("its service account", lambda: world_with_rules.admin.get(account).status == 200)
    assert _labels(world_with_rules, name) == ENFORCED
    assert world_with_rules.pod(name).status == 403


def test_only_a_diagnostic_has_a_deadline(world: World) -> None:
    """A Diagnostic's pod ends within a day of its start, even without the operator; an Application's pod runs on."""
    diagnostic, application = world.namespace(), world.namespace()
    world.granted_pod(diagnostic)
    world.granted_pod(application, type="Application")
    pods = [world.admin.get(f"{world.pods(name)}/capture").body["spec"] for name in (diagnostic, application)]
    assert [spec.get("activeDeadlineSeconds") for spec in pods] == [86400, None]


def test_a_manifest_that_loses_its_last_label_takes_none_of_ours(world_with_rules: World) -> None:
    """The operator owns every label that it relies on, including those that label-at-birth wrote.

    The creator of the namespace applies it server-side without labels. By then the operator is stopped and labels-kept
    is unbound.
    """
    world_with_rules.operator.start()
    bindings = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings"
    name, path = "e2e-applied", "/api/v1/namespaces/e2e-applied"
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    body["metadata"]["labels"] = {"team": "net"}
    world_with_rules.admin.apply(path, body, "gitops").expect(201)
    world_with_rules.until(
        "its service account", lambda: world_with_rules.admin.get(f"{path}/serviceaccounts/default").status == 200
    )
    world_with_rules.until("it is taken up", lambda: world_with_rules.enforced(name))
    assert world_with_rules.operator.stop() == 0
    binding = world_with_rules.admin.get(f"{bindings}/labels-kept-all.{LABEL}").expect(200).body
    world_with_rules.admin.delete(f"{bindings}/labels-kept-all.{LABEL}").expect(200)
    try:
        labels_before = world_with_rules.labels(name)
        del body["metadata"]["labels"]
        # Until the API server knows that the binding is gone, the test proves nothing.
        moment = world_with_rules.now() + datetime.timedelta(seconds=3)
        world_with_rules.until("it is known", lambda: world_with_rules.now() > moment)
        world_with_rules.admin.apply(path, body, "gitops").expect(200)
        assert world_with_rules.labels(name) == {key: text for key, text in labels_before.items() if key != "team"}
        assert world_with_rules.pod(name).status == 403
    finally:
        metadata = {key: binding["metadata"][key] for key in ("name", "labels") if key in binding["metadata"]}
        world_with_rules.admin.post(bindings, {"metadata": metadata, "spec": binding["spec"]}).expect(201)
