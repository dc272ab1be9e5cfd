"""The fingerprints that decide whether two admission policies, or two bindings, are the same."""

import copy
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from hostnetwork_operator.api import fingerprint, labels, shipped, shipped_before

ADMISSION = pathlib.Path(__file__).parents[3] / "manifests" / "admission"


def test_every_policy_that_denies_is_shipped() -> None:
    """All policies of this release are shipped, and the previous release has no others. Their fingerprints differ."""
    assert set(labels.POLICIES) == set(shipped.POLICIES)
    assert set(shipped_before.POLICIES) <= set(labels.POLICIES)
    for number in (1, 2):
        assert len({entry[number] for entry in shipped.POLICIES.values()}) == len(labels.POLICIES)


def test_a_policy_without_its_binding_is_not_generated(tmp_path: pathlib.Path) -> None:
    """The error names the policy whose binding is missing."""
    for file in ADMISSION.glob("*.yaml"):
        (tmp_path / file.name).write_text(file.read_text().replace("[Deny]", "[Warn]"))
    with pytest.raises(ValueError, match=r"exception-writers\S+ must be there with one binding that denies, got 0"):
        fingerprint.generated(tmp_path, ADMISSION.parent / "static")


SELECTION: dict[str, Any] = {
    "resourceRules": [{"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["pods"]}],
}
POLICY: dict[str, Any] = {
    "failurePolicy": "Fail",
    "matchConstraints": SELECTION,
    "matchConditions": [{"name": "a", "expression": "true"}, {"name": "b", "expression": "object != null"}],
    "variables": [{"name": "v", "expression": "1"}],
    "validations": [{"expression": "variables.v == 1", "message": "no"}, {"expression": "a\n&& b"}],
}
BINDING: dict[str, Any] = {
    "policyName": "p",
    "validationActions": ["Deny"],
    "matchResources": {"namespaceSelector": {"matchLabels": {"guard": "baseline"}}},
}
DEFAULTS: dict[str, Any] = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
Change = Callable[[dict[str, Any]], Any]


def _prints(policy: dict[str, Any]) -> tuple[str, str]:
    return fingerprint.selects(policy), fingerprint.says(policy)


def _changed(body: dict[str, Any], change: Change) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    change(changed)
    return changed


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p["matchConstraints"].update(DEFAULTS),
        lambda p: p["matchConstraints"]["resourceRules"][0].update(scope="*", resourceNames=None),
        lambda p: p["matchConstraints"].update(excludeResourceRules=[]),
        lambda p: p.update(paramKind=None, auditAnnotations=[]),
        lambda p: p.pop("failurePolicy"),
        lambda p: p.update(failurePolicy="Ignore"),
        lambda p: p["validations"][1].update(expression="a\n\n  && b\n"),
    ],
)
def test_defaults_and_what_is_empty_are_no_difference(change: Change) -> None:
    """The API server writes defaults, and clients write null. The operator checks failurePolicy separately."""
    assert _prints(POLICY) == _prints(_changed(POLICY, change))


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p["matchConstraints"].update(matchPolicy="Exact"),
        lambda p: p["matchConstraints"].update(namespaceSelector={"matchLabels": {"a": ""}}),
        lambda p: p["matchConstraints"].update(namespaceSelector={"matchLabels": {"matchPolicy": "Equivalent"}}),
        lambda p: p["matchConstraints"].update(
            objectSelector={"matchExpressions": [{"key": "a", "operator": "Exists"}]}
        ),
        lambda p: p["matchConstraints"].update(excludeResourceRules=SELECTION["resourceRules"]),
        lambda p: p["matchConstraints"]["resourceRules"][0].update(scope="Cluster"),
        lambda p: p["matchConstraints"]["resourceRules"][0].update(operations=["UPDATE"]),
        lambda p: p["matchConstraints"]["resourceRules"][0].update(resourceNames=["a"]),
        lambda p: p["matchConstraints"].update(laterField="x"),
    ],
)
def test_another_selection_is_a_difference_of_what_is_selected(change: Change) -> None:
    """Anything that narrows what a policy or a binding applies to, and any field that a later Kubernetes may add."""
    changed = _changed(POLICY, change)
    assert fingerprint.selects(changed) != fingerprint.selects(POLICY)
    assert fingerprint.says(changed) == fingerprint.says(POLICY)
    binding = {**BINDING, "matchResources": changed["matchConstraints"]}
    assert fingerprint.bound(binding) != fingerprint.bound({**BINDING, "matchResources": SELECTION})


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p["validations"][0].update(expression="true"),
        lambda p: p["validations"].append({"expression": "false"}),
        lambda p: p["validations"].pop(),
        lambda p: p["matchConditions"].append({"name": "never", "expression": "false"}),
        lambda p: p["matchConditions"].reverse(),
        lambda p: p["validations"][1].update(expression="a && b"),
        lambda p: p["variables"][0].update(expression="2"),
        lambda p: p.update(paramKind={"apiVersion": "v1", "kind": "ConfigMap"}),
        lambda p: p.update(laterField="x"),
    ],
)
def test_other_expressions_are_a_difference_of_what_is_said(change: Change) -> None:
    """Validations, match conditions, variables and parameters.

    Their order counts too, because some of them depend on it.
    """
    changed = _changed(POLICY, change)
    assert fingerprint.says(changed) != fingerprint.says(POLICY)
    assert fingerprint.selects(changed) == fingerprint.selects(POLICY)


def test_a_binding_is_what_it_selects_and_not_what_is_done_on_a_refusal() -> None:
    """The operator checks separately that validationActions has Deny. Audit beside Deny weakens nothing."""
    same = {**BINDING, "validationActions": ["Deny", "Audit"], "matchResources": {**BINDING["matchResources"]}}
    same["matchResources"] |= {"matchPolicy": "Equivalent", "objectSelector": {}}
    assert fingerprint.bound(BINDING) == fingerprint.bound(same)
    others = [{**BINDING, "policyName": "q"}, {**BINDING, "paramRef": {"name": "x"}}, {**BINDING, "matchResources": {}}]
    assert len({fingerprint.bound(binding) for binding in [BINDING, *others]}) == 4
