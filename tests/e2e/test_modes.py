"""The policy's modes, rules and exempt namespaces, and changes between them."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import IMAGE, LABEL, PSA, World

_RESTRICTED: dict[str, Any] = {  # a pod spec that meets Restricted
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "main",
            "image": IMAGE,
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}

_POLICY = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"


@pytest.fixture
def world(world: World) -> Iterator[World]:
    """The policy with rules that select by the label `wave`; the policy is restored afterwards."""
    spec_before = world.admin.get(_POLICY).expect(200).body["spec"]
    rules = [
        {"selector": {"matchLabels": {"wave": "audit"}}, "mode": "Audit"},
        {"selector": {"matchLabels": {"wave": "now"}}, "rollout": "Immediate"},
        {
            "selector": {"matchExpressions": [{"key": "wave", "operator": "In", "values": ["agents"]}]},
            "enforce": "privileged",
        },
        {"selector": {"matchLabels": {"wave": "strict"}}, "enforce": "restricted"},
    ]
    _set(world, {**spec_before, "rules": rules})
    yield world
    _set(world, {**spec_before, "rules": [], "exemptNamespaces": spec_before["exemptNamespaces"]})


def _set(world: World, spec: dict[str, Any]) -> None:
    world.admin.patch(_POLICY, {"spec": spec}).expect(200)


def _enforcement(world: World, name: str) -> str | None:
    return world.labels(name).get(f"{LABEL}/enforcement")


def test_in_audit_everything_is_shown_and_nothing_refused(world: World) -> None:
    """A hostNetwork pod is admitted and flagged; levels are audited and warned about, and none is enforced."""
    name = world.namespace(deny=False, labels={"wave": "audit"})
    world.until("it is audited", lambda: _enforcement(world, name) == "Audit")
    world.until("a pod is admitted", lambda: world.pod(name, "squatter").status == 201)
    answer = world.pod(name, "another", dry_run=True).expect(201)
    assert any("host-namespaces" in warning for warning in answer.warnings), answer.warnings
    world.until("it is flagged", lambda: world.verdict(name, "squatter") == "Uncovered")
    assert PSA not in world.labels(name)
    assert world.labels(name)["pod-security.kubernetes.io/warn"] == "restricted"


def test_in_audit_an_exception_counts_and_its_end_deletes_nothing(world: World) -> None:
    """A covered pod is not flagged; when the exception ends, the operator flags the pod as Expired and lets it run."""
    name = world.namespace(deny=False, labels={"wave": "audit"})
    world.until("it is audited", lambda: _enforcement(world, name) == "Audit")
    world.granted_pod(name, seconds=6)
    assert set(world.grants(name)) == {"capture"}
    assert PSA not in world.labels(name)
    world.until("it is flagged", lambda: world.verdict(name, "capture") == "Expired")
    world.until(
        "it says why it lives on", lambda: world.condition(name, kind="CleanedUp").get("reason") == "NotEnforced"
    )
    assert not world.is_deleted(name)


def test_from_enforce_to_audit_the_level_before_comes_back(world: World) -> None:
    """The guard, the level and the effect of grants end; the level from before adoption is restored, with an Event."""
    name = world.namespace(labels={"wave": "later"})
    world.granted_pod(name)
    assert world.labels(name)[PSA] == "privileged"
    world.admin.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {"wave": "audit"}}}).expect(200)
    world.until("it is audited", lambda: _enforcement(world, name) == "Audit")
    assert PSA not in world.labels(name)
    assert f"{LABEL}/guard" not in world.labels(name)
    assert f"{LABEL}/level-before" not in world.metadata(name)["annotations"]
    world.until("its Event", lambda: ("Namespace", name, "EnforcementAudit") in world.events(name))
    world.until("a pod is admitted", lambda: world.pod(name, "squatter").status == 201)


def test_a_level_that_stood_before_is_written_back(world: World) -> None:
    """A namespace that was explicitly privileged before adoption is privileged again in Audit."""
    name = world.namespace(labels={"wave": "later", PSA: "privileged"})
    assert world.labels(name)[PSA] == "baseline"
    world.admin.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {"wave": "audit"}}}).expect(200)
    world.until("it is audited", lambda: _enforcement(world, name) == "Audit")
    assert world.labels(name)[PSA] == "privileged"


def test_immediate_enforces_over_what_lives_there(world: World) -> None:
    """With rollout Immediate the operator enforces despite a violating pod, which is flagged and keeps running."""
    name = world.namespace(deny=False, labels={"wave": "audit"})
    world.until("it is audited", lambda: _enforcement(world, name) == "Audit")
    world.until("a pod is admitted", lambda: world.pod(name, "squatter").status == 201)
    world.admin.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {"wave": "now"}}}).expect(200)
    world.until("it is enforced", lambda: _enforcement(world, name) == "Deny")
    assert world.labels(name)[PSA] == "baseline"
    assert world.pod(name, "another").status == 403
    world.until("it is flagged", lambda: world.verdict(name, "squatter") == "Uncovered")
    assert not world.is_deleted(name, "squatter")


def test_a_namespace_kept_for_agents_still_needs_exceptions(world: World) -> None:
    """With target privileged PSA refuses nothing and no guard is set, but host-namespaces still refuses the pod."""
    name = world.namespace(labels={"wave": "agents"})
    assert world.labels(name)[PSA] == "privileged"
    world.until("the level of birth is lifted", lambda: "host-namespaces" in world.pod(name).message)
    world.granted_pod(name)
    assert f"{LABEL}/guard" not in world.labels(name)


def test_an_exception_in_a_restricted_namespace_opens_it_for_its_pods_only(world: World) -> None:
    """Beside a covered pod at Baseline the guard holds all others to Restricted; afterwards Pod Security does."""
    name = world.namespace(labels={"wave": "strict"})
    assert world.labels(name)[PSA] == "restricted"
    world.granted_pod(name, seconds=12)
    assert (world.labels(name)[PSA], world.labels(name)[f"{LABEL}/guard"]) == ("privileged", "restricted")
    answer = world.pod(name, "plain", hostNetwork=False)
    assert answer.status == 403
    assert "relaxed-namespace: the pod violates the Restricted control " in answer.message
    world.pod(name, "good", hostNetwork=False, **_RESTRICTED).expect(201)
    world.until("its pod is gone", lambda: world.is_deleted(name))
    world.until("restored", lambda: world.labels(name)[PSA] == "restricted")
    assert world.pod(name, "plain", hostNetwork=False).status == 403
    world.pod(name, "better", hostNetwork=False, **_RESTRICTED).expect(201)


def test_a_covered_pod_is_held_to_the_level_of_its_exception(world: World) -> None:
    """With podSecurityLevel restricted a covered pod has to meet Restricted in everything but its host network."""
    name = world.namespace()
    world.exception(name, podSecurityLevel="restricted").expect(201)
    world.until("it is granted", lambda: world.ready(name) == "Active")
    world.until("the guard answers", lambda: "violates the Restricted control" in world.pod(name).message)
    world.pod(name, **_RESTRICTED).expect(201)
    world.pod(name, "plain", hostNetwork=False).expect(201)


def test_a_namespace_that_becomes_exempt_is_cleaned_in_one_write(world: World) -> None:
    """The operator removes all that it wrote, restores the earlier level, and writes nothing afterwards."""
    name = world.namespace()
    spec_before = world.admin.get(_POLICY).body["spec"]
    _set(world, {**spec_before, "exemptNamespaces": [*spec_before["exemptNamespaces"], name]})
    world.until("it is released", lambda: _enforcement(world, name) is None)
    assert {"kubernetes.io/metadata.name"} == set(world.labels(name))
    assert not world.metadata(name).get("annotations")
    _set(world, spec_before)
    world.until("it is governed again", lambda: _enforcement(world, name) == "Deny")


def test_a_new_ceiling_makes_a_longer_exception_invalid(world: World) -> None:
    """An exception longer than a lowered exceptions.maxDuration becomes Invalid, and the message shows the sum."""
    name = world.namespace()
    world.exception(name, seconds=4 * 3600).expect(201)
    world.until("in force", lambda: world.ready(name) == "Active")
    spec_before = world.admin.get(_POLICY).body["spec"]
    _set(world, {"exceptions": {"maxDuration": {"Diagnostic": "2h"}}})
    world.until("it is judged", lambda: world.ready(name) == "Invalid")
    assert "(2h after creation)" in world.condition(name)["message"]
    world.until("its grant is gone", lambda: world.grants(name) == {})
    _set(world, spec_before)
    world.until("in force again", lambda: world.ready(name) == "Active")


def test_the_policy_tells_how_the_cluster_stands(world: World) -> None:
    """The status counts namespaces and pods, and `kubectl get hnep` says that the operator acts on the policy."""
    name = world.namespace()
    world.granted_pod(name)

    def is_reported() -> bool:
        status = world.admin.get(_POLICY).body.get("status", {})
        namespaces = world.admin.items("/api/v1/namespaces")
        values = [n["metadata"]["labels"].get(f"{LABEL}/enforcement") for n in namespaces]
        counts = status.get("namespaces", {})
        return (
            counts.get("deny") == values.count("Deny")
            and counts.get("audit") == values.count("Audit")
            and counts.get("exempt") == 5  # three of the system, two for previews
            and status["pods"]["covered"] >= 1
        )

    world.until("the counts are those of the cluster", is_reported)
    assert "Accepted" in world.cluster.kubectl("get", "hnep").stdout
