"""rule-selectors: the API server warns a user whose rule selects by a label that tenants can change."""

from typing import Any

import pytest

from hostnetwork_operator.api import labels, policy
from tests.admission import objects, workbench
from tests.controlplane import cluster as controlplane

PATH = f"/apis/{labels.API_VERSION}/hostnetworkexceptionpolicies?dryRun=All"
OURS = f"{labels.GROUP}/wave"
NAME = "kubernetes.io/metadata.name"


def by(*keys: str) -> dict[str, Any]:
    return {"selector": {"matchLabels": dict.fromkeys(keys, "a")}, "mode": "Audit"}


def expression(key: str) -> dict[str, Any]:
    return {"selector": {"matchExpressions": [{"key": key, "operator": "Exists"}]}, "mode": "Audit"}


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        (None, None),
        ([], None),
        ([by(OURS)], None),
        ([by(NAME), expression(OURS)], None),
        ([by(OURS, "team")], "team"),
        ([by(OURS), expression("team")], "team"),
        ([by("a"), expression("b")], "a, b"),
        ([by(f"x{OURS}")], f"x{OURS}"),
        ([{"mode": "Audit", "selector": {}}], None),
    ],
    ids=str,
)
def test_a_rule_by_a_free_label_is_warned_of(
    governed: controlplane.Cluster, rules: list[dict[str, Any]] | None, named: str | None
) -> None:
    """The warning names the unprotected labels; a rule by a protected label or by name gets no warning."""
    spec: dict[str, Any] = {"mode": "Enforce"} if rules is None else {"mode": "Enforce", "rules": rules}
    body = {
        "apiVersion": labels.API_VERSION,
        "kind": "HostNetworkExceptionPolicy",
        "metadata": {"name": "default"},
        "spec": spec,
    }
    answer = workbench.sound(governed.admin.post(PATH, body).expect(201))
    if named is None:
        assert answer.warnings == ()
    else:
        (warning,) = answer.warnings
        assert f"rule-selectors: spec.rules select by label {named}, which" in warning


def test_a_warning_of_more_labels_than_a_sentence_holds_names_none(governed: controlplane.Cluster) -> None:
    """For a key of more than a megabyte the warning is the general sentence, and no expression costs too much."""
    rules = [by("k" * 1_450_000)]
    spec = {"mode": "Enforce", "rules": rules}
    identity = {"apiVersion": labels.API_VERSION, "kind": policy.KIND, "metadata": {"name": "default"}}
    (warning,) = governed.admin.post(PATH, {**identity, "spec": spec}).expect(201).warnings
    assert "rule-selectors: spec.rules select by a label that any user who may write a Namespace can change" in warning
    assert objects.failures(governed) == []
