"""A verb is held by whom a ClusterRoleBinding binds to a ClusterRole that has the verb, and by nobody else."""

from typing import Any

import pytest

from hostnetwork_operator.decide import holders

GROUP = "hostnetwork-operator.github.io"


def role(name: str = "approver", **rule: Any) -> dict[str, Any]:
    defaults = {"apiGroups": [GROUP], "resources": ["hostnetworkexceptions"], "verbs": ["approve"]}
    return {"metadata": {"name": name}, "rules": [{**defaults, **rule}]}


def binding(*subjects: dict[str, str], role_name: str = "approver", kind: str = "ClusterRole") -> dict[str, Any]:
    return {"roleRef": {"kind": kind, "name": role_name}, "subjects": list(subjects)}


ANN = {"kind": "User", "name": "ann"}


def found(*roles: dict[str, Any], bindings: tuple[dict[str, Any], ...] = (binding(ANN),)) -> list[str]:
    return [str(each) for each in holders.holders(roles, bindings, GROUP, "hostnetworkexceptions", ["approve"])]


@pytest.mark.parametrize(
    "rule", [{}, {"verbs": ["*"]}, {"apiGroups": ["*"]}, {"resources": ["*"]}, {"verbs": ["get", "approve"]}]
)
def test_a_rule_gives_the_verb(rule: dict[str, Any]) -> None:
    assert found(role(**rule)) == ["User ann by approver"]


@pytest.mark.parametrize(
    "rule",
    [
        {"verbs": ["get"]},
        {"apiGroups": [""]},
        {"resources": ["namespaces"]},
        {"resourceNames": ["one"]},
        {"apiGroups": None},
    ],
)
def test_a_rule_does_not_give_the_verb(rule: dict[str, Any]) -> None:
    """A rule with resourceNames gives nothing: the admission policies ask without a name."""
    assert found(role(**rule)) == []


def test_a_role_in_a_namespace_gives_nothing() -> None:
    assert found(role(), bindings=(binding(ANN, kind="Role"),)) == []
    assert found(role(), bindings=(binding(ANN, role_name="another"),)) == []


def test_each_subject_is_named_once_and_a_service_account_with_its_namespace() -> None:
    account = {"kind": "ServiceAccount", "name": "bot", "namespace": "ci"}
    bindings = (binding(account, ANN), binding(ANN), {"roleRef": {"kind": "ClusterRole", "name": "approver"}})
    assert found(role(), bindings=bindings) == ["ServiceAccount ci/bot by approver", "User ann by approver"]


def test_a_role_without_rules_gives_nothing() -> None:
    """An aggregated ClusterRole has null rules before its controller has seen it."""
    assert found({"metadata": {"name": "approver"}, "rules": None}) == []
