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
def ruled(unattended: World) -> Iterator[World]:
    """The policy with rules that select by the label `kept`, and the operator stopped; both are restored afterwards."""
    before = unattended.admin.get(_POLICY).expect(200).body["spec"]
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
    exempt = before["exemptNamespaces"]
    unattended.admin.patch(_POLICY, {"spec": {"rules": [], "exemptNamespaces": exempt}}).expect(200)


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


def test_with_the_operator_away_a_new_namespace_is_governed(ruled: World) -> None:
    """A namespace is enforced from its creation, although the operator is stopped.

    When the operator starts, it claims the labels, writes one note (level-before), runs no gate check, and emits one
    Event.
    """
    name = ruled.namespace(deny=False)
    assert _labels(ruled, name) == ENFORCED
    assert ruled.pod(name).status == 403
    ruled.pod(name, "plain", hostNetwork=False).expect(201)
    assert _requests(ruled, name) == []
    ruled.operator.start()
    ruled.until("it is taken up", lambda: ruled.enforced(name))
    assert _labels(ruled, name) == ENFORCED
    assert _note(ruled, name) == ""
    ruled.until("its Event", lambda: ruled.events(name) == [("Namespace", name, "LevelEnforced")])
    path = f"/api/v1/namespaces/{name}"
    assert [event["requestURI"].split("?")[0] for event in _requests(ruled, name)] == [path, path]
    ruled.granted_pod(name)
    assert ruled.labels(name)[PSA] == "privileged"


def test_the_policy_says_what_comes_of_it(ruled: World) -> None:
    """If a rule says restricted, privileged or Audit, the level set at birth has no owner and follows the rule."""
    strict, agents, audit = (
        ruled.namespace(deny=False, labels={"kept": kept}) for kept in ("strict", "agents", "audit")
    )
    for name in (strict, agents, audit):
        assert _labels(ruled, name) == ENFORCED
    ruled.operator.start()
    ruled.until("strict is tightened", lambda: _labels(ruled, strict) == {**ENFORCED, PSA: "restricted"})
    ruled.until("agents are let in", lambda: _labels(ruled, agents) == {**ENFORCED, PSA: "privileged"})
    level = {PSA, f"{PSA}-version"}
    shown = {key: value for key, value in ENFORCED.items() if key not in level} | {f"{LABEL}/enforcement": "Audit"}
    ruled.until("audit is shown only", lambda: _labels(ruled, audit) == shown)
    assert [_note(ruled, name) for name in (strict, agents, audit)] == ["", "", None]
    # On a later change from Enforce to Audit, the operator does not write back the level set at birth: nothing was set
    # before.
    _set(ruled, strict, kept="audit")
    _set(ruled, agents, kept="audit")
    for name in (strict, agents):
        ruled.until(f"{name} is shown only", lambda name=name: _labels(ruled, name) == shown)
        ruled.until("a pod is admitted", lambda name=name: ruled.pod(name).status == 201)


def test_a_namespace_that_is_exempt_loses_all_of_it(ruled: World) -> None:
    """If the exempt name is unknown to label-at-birth, one clean-up write of the operator removes every label."""
    name = ruled.namespace(deny=False)
    exempt = ruled.admin.get(_POLICY).body["spec"]["exemptNamespaces"]
    ruled.admin.patch(_POLICY, {"spec": {"exemptNamespaces": [*exempt, name]}}).expect(200)
    ruled.operator.start()
    ruled.until("it is clean", lambda: _labels(ruled, name) == {})
    assert _note(ruled, name) is None
    assert len(_requests(ruled, name)) == 1
    ruled.until("a pod is admitted", lambda: ruled.pod(name).status == 201)


@pytest.mark.parametrize("given", ["privileged", "restricted"])
def test_a_level_of_the_creator_is_his(ruled: World, given: str) -> None:
    """The namespace is enforced from its creation, and the creator's level comes back in Audit.

    When the operator starts, it tightens a looser level and keeps a stricter one.
    """
    name = ruled.namespace(deny=False, labels={PSA: given})
    assert _labels(ruled, name) == {**ENFORCED, PSA: given}
    assert ruled.pod(name).status == 403
    ruled.operator.start()
    ruled.until("it is taken up", lambda: ruled.enforced(name))
    assert _labels(ruled, name) == {**ENFORCED, PSA: "baseline" if given == "privileged" else given}
    assert _note(ruled, name) == given
    _set(ruled, name, kept="audit")
    ruled.until("it is his again", lambda: ruled.labels(name).get(f"{LABEL}/enforcement") == "Audit")
    assert ruled.labels(name)[PSA] == given


def test_what_server_side_apply_makes_of_it(ruled: World) -> None:
    """Before the operator writes, a bare applied namespace has no managedFields; a later apply owns its own fields."""
    name = "applied-twice"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    path = f"/api/v1/namespaces/{name}"
    ruled.admin.apply(path, body, "argocd").expect(201)
    ruled.operator.start()
    ruled.until("it is taken up", lambda: ruled.enforced(name))
    labelled = {**body, "metadata": {"name": name, "labels": {"team": "net"}}}
    applied = ruled.admin.apply(path, labelled, "argocd").expect(200)
    managers = {entry["manager"] for entry in applied.body["metadata"]["managedFields"]}
    assert managers == {"argocd", "before-first-apply", "hostnetwork-operator"}
    ruled.granted_pod(name)


def test_a_namespace_that_is_made_again_is_closed(ruled: World) -> None:
    """With the operator down, a recreated namespace starts enforced, and an old grant annotation opens nothing."""
    ruled.operator.start()
    name = ruled.namespace()
    ruled.granted_pod(name)
    grants = ruled.metadata(name)["annotations"]
    ruled.operator.stop()
    ruled.admin.delete(f"/api/v1/namespaces/{name}").expect(200)
    ruled.until("it is gone", lambda: ruled.admin.get(f"/api/v1/namespaces/{name}").status == 404, 60)
    ruled.admin.post("/api/v1/namespaces", {"metadata": {"name": name, "annotations": grants}}).expect(201)
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    ruled.until("its service account", lambda: ruled.admin.get(account).status == 200)
    assert _labels(ruled, name) == ENFORCED
    assert ruled.pod(name).status == 403


def test_only_a_diagnostic_has_a_deadline(world: World) -> None:
    """A Diagnostic's pod ends within a day of its start, even without the operator; an Application's pod runs on."""
    diagnostic, application = world.namespace(), world.namespace()
    world.granted_pod(diagnostic)
    world.granted_pod(application, type="Application")
    pods = [world.admin.get(f"{world.pods(name)}/capture").body["spec"] for name in (diagnostic, application)]
    assert [spec.get("activeDeadlineSeconds") for spec in pods] == [86400, None]


def test_a_manifest_that_loses_its_last_label_takes_none_of_ours(ruled: World) -> None:
    """The operator owns every label that it relies on, including those that label-at-birth wrote.

    The creator of the namespace applies it server-side without labels. By then the operator is stopped and labels-kept
    is unbound.
    """
    ruled.operator.start()
    bindings = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings"
    name, path = "e2e-applied", "/api/v1/namespaces/e2e-applied"
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    body["metadata"]["labels"] = {"team": "net"}
    ruled.admin.apply(path, body, "gitops").expect(201)
    ruled.until("its service account", lambda: ruled.admin.get(f"{path}/serviceaccounts/default").status == 200)
    ruled.until("it is taken up", lambda: ruled.enforced(name))
    assert ruled.operator.stop() == 0
    kept = ruled.admin.get(f"{bindings}/labels-kept-all.{LABEL}").expect(200).body
    ruled.admin.delete(f"{bindings}/labels-kept-all.{LABEL}").expect(200)
    try:
        before = ruled.labels(name)
        del body["metadata"]["labels"]
        # Until the API server knows that the binding is gone, the test proves nothing.
        until = ruled.now() + datetime.timedelta(seconds=3)
        ruled.until("it is known", lambda: ruled.now() > until)
        ruled.admin.apply(path, body, "gitops").expect(200)
        assert ruled.labels(name) == {key: text for key, text in before.items() if key != "team"}
        assert ruled.pod(name).status == 403
    finally:
        again = {key: kept["metadata"][key] for key in ("name", "labels") if key in kept["metadata"]}
        ruled.admin.post(bindings, {"metadata": again, "spec": kept["spec"]}).expect(201)
