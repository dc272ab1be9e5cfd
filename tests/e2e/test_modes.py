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
def waves(world: World) -> Iterator[World]:
    """The policy with rules that select by the label `wave`; the policy is restored afterwards."""
    before = world.admin.get(_POLICY).expect(200).body["spec"]
    rules = [
        {"selector": {"matchLabels": {"wave": "audit"}}, "mode": "Audit"},
        {"selector": {"matchLabels": {"wave": "now"}}, "rollout": "Immediate"},
        {
            "selector": {"matchExpressions": [{"key": "wave", "operator": "In", "values": ["agents"]}]},
            "enforce": "privileged",
        },
        {"selector": {"matchLabels": {"wave": "strict"}}, "enforce": "restricted"},
    ]
    _set(world, {**before, "rules": rules})
    yield world
    _set(world, {**before, "rules": [], "exemptNamespaces": before["exemptNamespaces"]})


def _set(world: World, spec: dict[str, Any]) -> None:
    world.admin.patch(_POLICY, {"spec": spec}).expect(200)


def _enforcement(world: World, name: str) -> str | None:
    return world.labels(name).get(f"{LABEL}/enforcement")


def test_in_audit_everything_is_shown_and_nothing_refused(waves: World) -> None:
    """A hostNetwork pod is admitted and flagged; levels are audited and warned about, and none is enforced."""
    name = waves.namespace(deny=False, labels={"wave": "audit"})
    waves.until("it is audited", lambda: _enforcement(waves, name) == "Audit")
    waves.until("a pod is admitted", lambda: waves.pod(name, "squatter").status == 201)
    answer = waves.pod(name, "another", dry_run=True).expect(201)
    assert any("host-namespaces" in warning for warning in answer.warnings), answer.warnings
    waves.until("it is flagged", lambda: waves.verdict(name, "squatter") == "Uncovered")
    assert PSA not in waves.labels(name)
    assert waves.labels(name)["pod-security.kubernetes.io/warn"] == "restricted"


def test_in_audit_an_exception_counts_and_its_end_deletes_nothing(waves: World) -> None:
    """A covered pod is not flagged; when the exception ends, the operator flags the pod as Expired and lets it run."""
    name = waves.namespace(deny=False, labels={"wave": "audit"})
    waves.until("it is audited", lambda: _enforcement(waves, name) == "Audit")
    waves.granted_pod(name, seconds=6)
    assert set(waves.grants(name)) == {"capture"}
    assert PSA not in waves.labels(name)
    waves.until("it is flagged", lambda: waves.verdict(name, "capture") == "Expired")
    waves.until(
        "it says why it lives on", lambda: waves.condition(name, kind="CleanedUp").get("reason") == "NotEnforced"
    )
    assert not waves.gone(name)


def test_from_enforce_to_audit_the_level_before_comes_back(waves: World) -> None:
    """The guard, the level and the effect of grants end; the level from before adoption is restored, with an Event."""
    name = waves.namespace(labels={"wave": "later"})
    waves.granted_pod(name)
    assert waves.labels(name)[PSA] == "privileged"
    waves.admin.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {"wave": "audit"}}}).expect(200)
    waves.until("it is audited", lambda: _enforcement(waves, name) == "Audit")
    assert PSA not in waves.labels(name)
    assert f"{LABEL}/guard" not in waves.labels(name)
    assert f"{LABEL}/level-before" not in waves.metadata(name)["annotations"]
    waves.until("its Event", lambda: ("Namespace", name, "EnforcementAudit") in waves.events(name))
    waves.until("a pod is admitted", lambda: waves.pod(name, "squatter").status == 201)


def test_a_level_that_stood_before_is_written_back(waves: World) -> None:
    """A namespace that was explicitly privileged before adoption is privileged again in Audit."""
    name = waves.namespace(labels={"wave": "later", PSA: "privileged"})
    assert waves.labels(name)[PSA] == "baseline"
    waves.admin.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {"wave": "audit"}}}).expect(200)
    waves.until("it is audited", lambda: _enforcement(waves, name) == "Audit")
    assert waves.labels(name)[PSA] == "privileged"


def test_immediate_enforces_over_what_lives_there(waves: World) -> None:
    """With rollout Immediate the operator enforces despite a violating pod, which is flagged and keeps running."""
    name = waves.namespace(deny=False, labels={"wave": "audit"})
    waves.until("it is audited", lambda: _enforcement(waves, name) == "Audit")
    waves.until("a pod is admitted", lambda: waves.pod(name, "squatter").status == 201)
    waves.admin.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {"wave": "now"}}}).expect(200)
    waves.until("it is enforced", lambda: _enforcement(waves, name) == "Deny")
    assert waves.labels(name)[PSA] == "baseline"
    assert waves.pod(name, "another").status == 403
    waves.until("it is flagged", lambda: waves.verdict(name, "squatter") == "Uncovered")
    assert not waves.gone(name, "squatter")


def test_a_namespace_kept_for_agents_still_needs_exceptions(waves: World) -> None:
    """With target privileged PSA refuses nothing and no guard is set, but host-namespaces still refuses the pod."""
    name = waves.namespace(labels={"wave": "agents"})
    assert waves.labels(name)[PSA] == "privileged"
    waves.until("the level of birth is lifted", lambda: "host-namespaces" in waves.pod(name).message)
    waves.granted_pod(name)
    assert f"{LABEL}/guard" not in waves.labels(name)


def test_an_exception_in_a_restricted_namespace_opens_it_for_its_pods_only(waves: World) -> None:
    """Beside a covered pod at Baseline the guard holds all others to Restricted; afterwards Pod Security does."""
    name = waves.namespace(labels={"wave": "strict"})
    assert waves.labels(name)[PSA] == "restricted"
    waves.granted_pod(name, seconds=12)
    assert (waves.labels(name)[PSA], waves.labels(name)[f"{LABEL}/guard"]) == ("privileged", "restricted")
    answer = waves.pod(name, "plain", hostNetwork=False)
    assert answer.status == 403
    assert "relaxed-namespace: the pod violates the Restricted control " in answer.message
    waves.pod(name, "good", hostNetwork=False, **_RESTRICTED).expect(201)
    waves.until("its pod is gone", lambda: waves.gone(name))
    waves.until("restored", lambda: waves.labels(name)[PSA] == "restricted")
    assert waves.pod(name, "plain", hostNetwork=False).status == 403
    waves.pod(name, "better", hostNetwork=False, **_RESTRICTED).expect(201)


def test_a_covered_pod_is_held_to_the_level_of_its_exception(waves: World) -> None:
    """With podSecurityLevel restricted a covered pod has to meet Restricted in everything but its host network."""
    name = waves.namespace()
    waves.exception(name, podSecurityLevel="restricted").expect(201)
    waves.until("it is granted", lambda: waves.ready(name) == "Active")
    waves.until("the guard answers", lambda: "violates the Restricted control" in waves.pod(name).message)
    waves.pod(name, **_RESTRICTED).expect(201)
    waves.pod(name, "plain", hostNetwork=False).expect(201)


def test_a_namespace_that_becomes_exempt_is_cleaned_in_one_write(waves: World) -> None:
    """The operator removes all that it wrote, restores the earlier level, and writes nothing afterwards."""
    name = waves.namespace()
    before = waves.admin.get(_POLICY).body["spec"]
    _set(waves, {**before, "exemptNamespaces": [*before["exemptNamespaces"], name]})
    waves.until("it is released", lambda: _enforcement(waves, name) is None)
    assert {"kubernetes.io/metadata.name"} == set(waves.labels(name))
    assert not waves.metadata(name).get("annotations")
    _set(waves, before)
    waves.until("it is governed again", lambda: _enforcement(waves, name) == "Deny")


def test_a_new_ceiling_makes_a_longer_exception_invalid(waves: World) -> None:
    """An exception longer than a lowered exceptions.maxDuration becomes Invalid, and the message shows the sum."""
    name = waves.namespace()
    waves.exception(name, seconds=4 * 3600).expect(201)
    waves.until("in force", lambda: waves.ready(name) == "Active")
    before = waves.admin.get(_POLICY).body["spec"]
    _set(waves, {"exceptions": {"maxDuration": {"Diagnostic": "2h"}}})
    waves.until("it is judged", lambda: waves.ready(name) == "Invalid")
    assert "(2h after creation)" in waves.condition(name)["message"]
    waves.until("its grant is gone", lambda: waves.grants(name) == {})
    _set(waves, before)
    waves.until("in force again", lambda: waves.ready(name) == "Active")


def test_the_policy_tells_how_the_cluster_stands(waves: World) -> None:
    """The status counts namespaces and pods, and `kubectl get hnep` says that the operator acts on the policy."""
    name = waves.namespace()
    waves.granted_pod(name)

    def told() -> bool:
        status = waves.admin.get(_POLICY).body.get("status", {})
        namespaces = waves.admin.items("/api/v1/namespaces")
        values = [n["metadata"]["labels"].get(f"{LABEL}/enforcement") for n in namespaces]
        counted = status.get("namespaces", {})
        return (
            counted.get("deny") == values.count("Deny")
            and counted.get("audit") == values.count("Audit")
            and counted.get("exempt") == 5  # three of the system, two for previews
            and status["pods"]["covered"] >= 1
        )

    waves.until("the counts are those of the cluster", told)
    assert "Accepted" in waves.cluster.kubectl("get", "hnep").stdout
