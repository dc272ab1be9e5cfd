"""A verb is held by whom a ClusterRoleBinding binds to a ClusterRole that has the verb, and by nobody else."""

import itertools
import pathlib
from typing import Any

import pytest
import yaml

from hostnetwork_operator.decide import holders

RBAC = pathlib.Path(__file__).parents[3] / "manifests" / "rbac"
ROLE, BINDING = (
    yaml.safe_load((RBAC / f"operator-{kind}.yaml").read_text()) for kind in ("clusterrole", "clusterrolebinding")
)

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


# -- the operator -----------------------------------------------------------------------------------------------------


def test_the_rights_of_the_operator_are_those_of_its_cluster_role() -> None:
    """Each right of the manifest is in the list, and no other. A rule for one named object is no right for all."""
    rules = [rule for rule in ROLE["rules"] if "resourceNames" not in rule]
    shipped = {
        each for rule in rules for each in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"])
    }
    assert shipped == {
        (group, resource, verb)
        for group, resources, verbs in holders.OPERATOR_RIGHTS
        for resource, verb in itertools.product(resources, verbs)
    }
    assert holders.lacking([ROLE], [BINDING]) == ()


def test_a_right_that_the_operator_lacks_is_named() -> None:
    rules = [
        {**rule, "verbs": [verb for verb in rule["verbs"] if (rule["resources"], verb) != (["pods"], "delete")]}
        for rule in ROLE["rules"]
    ]
    assert holders.lacking([{**ROLE, "rules": rules}], [BINDING]) == ("delete pods",)
    lacking = holders.lacking([ROLE], [{**BINDING, "subjects": [ANN]}])
    assert {"patch namespaces", "list cronjobs.batch"} <= set(lacking)
