"""A verb is held by whom a ClusterRoleBinding binds to a ClusterRole that has the verb, and by nobody else."""

import itertools
import pathlib
from typing import Any

import pytest
import yaml

from hostnetwork_operator.decide import holders

RBAC = pathlib.Path(__file__).parents[3] / "manifests" / "rbac"
FILES = [yaml.safe_load(path.read_text()) for path in sorted(RBAC.glob("*.yaml"))]
ROLES = [body for body in FILES if body["kind"] in {"ClusterRole", "Role"}]
BINDINGS = [body for body in FILES if body["kind"] in {"ClusterRoleBinding", "RoleBinding"}]
(ROLE,) = (body for body in ROLES if body["metadata"]["name"] == "hostnetwork-operator")
(BINDING,) = (body for body in BINDINGS if body["kind"] == "ClusterRoleBinding")

GROUP = "hostnetwork-operator.github.io"


def role(name: str = "approver", **rule: Any) -> dict[str, Any]:
    defaults = {"apiGroups": [GROUP], "resources": ["hostnetworkexceptions"], "verbs": ["approve"]}
    return {"metadata": {"name": name}, "rules": [{**defaults, **rule}]}


def binding(*subjects: dict[str, str], role_name: str = "approver", kind: str = "ClusterRole") -> dict[str, Any]:
    return {"roleRef": {"kind": kind, "name": role_name}, "subjects": list(subjects)}


ANN = {"kind": "User", "name": "ann"}


def found(*roles: dict[str, Any], bindings: tuple[dict[str, Any], ...] = (binding(ANN),)) -> list[str]:
    question = holders.ResourceAttributes(GROUP, "hostnetworkexceptions", ("approve",))
    return [str(each) for each in holders.holders(roles, bindings, question)]


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


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ({"resourceNames": ["ours"], "verbs": ["patch"]}, True),
        ({"resourceNames": ["another", "ours"], "verbs": ["*"]}, True),
        ({"resourceNames": ["another"], "verbs": ["patch"]}, False),
        ({"resourceNames": ["ours"], "verbs": ["deletecollection"]}, False),
        ({"verbs": ["deletecollection"]}, True),
        ({"verbs": ["create"]}, False),
    ],
)
def test_a_rule_for_one_object_is_enough_to_change_the_object(rule: dict[str, Any], changes: bool) -> None:
    """A request for a collection names no object, so RBAC does not allow it by a rule with resourceNames."""
    question = holders.ResourceAttributes(GROUP, "hostnetworkexceptions", ("patch", "deletecollection"), ("ours",))
    assert bool(holders.holders([role(**rule)], [binding(ANN)], question)) is changes


def test_who_may_break_the_glass_may_change_the_bindings() -> None:
    """The shipped ClusterRole names each binding."""
    question = holders.ResourceAttributes(
        "admissionregistration.k8s.io", "validatingadmissionpolicybindings", ("delete",), [f"pod-size-deny.{GROUP}"]
    )
    given = holders.holders(ROLES, [binding(ANN, role_name="hostnetwork-break-glass")], question)
    assert list(map(str, given)) == ["User ann by hostnetwork-break-glass"]


# -- the operator -----------------------------------------------------------------------------------------------------


def given_by(rules: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    return {
        (group, resource, verb, *sorted(rule.get("resourceNames", ())))
        for rule in rules
        for group, resource, verb in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"])
    }


def test_the_rights_of_the_operator_are_those_of_its_roles() -> None:
    """Each right that the manifests give the operator is in the lists, with its namespace and names, and no other."""
    rules = {(role["metadata"].get("namespace", ""), role["metadata"]["name"]): role["rules"] for role in ROLES}
    shipped = set()
    for each in BINDINGS:
        where, reference = each["metadata"].get("namespace", ""), each["roleRef"]
        at = "" if reference["kind"] == "ClusterRole" else where
        shipped |= {(where, *right) for right in given_by(rules[at, reference["name"]])}
    assert shipped == {
        *(
            ("", group, resource, verb)
            for group, resources, verbs in holders.OPERATOR_RIGHTS
            for resource, verb in itertools.product(resources, verbs)
        ),
        *(
            (namespace, group, resource, verb, *sorted(names))
            for namespace, group, resource, verbs, names in holders.OPERATOR_RIGHTS_SOMEWHERE
            for verb in verbs
        ),
    }
    assert holders.lacking(ROLES, BINDINGS) == ()


@pytest.mark.parametrize(
    ("name", "lacking"),
    [
        ("hostnetwork-operator-api-servers", ("get endpointslices.discovery.k8s.io kubernetes in namespace default",)),
        (
            "hostnetwork-operator-ledger",
            (
                "list configmaps in namespace hostnetwork-system",
                "create configmaps in namespace hostnetwork-system",
                "patch configmaps hostnetwork-ledger-1 and 31 more in namespace hostnetwork-system",
            ),
        ),
        (
            "hostnetwork-operator-preview",
            (
                "create pods in namespace hostnetwork-preview-baseline",
                "create pods in namespace hostnetwork-preview-restricted",
            ),
        ),
    ],
)
def test_a_right_that_the_operator_lacks_in_a_namespace_is_named(name: str, lacking: tuple[str, ...]) -> None:
    """Without the role, without its binding, and with the binding in another namespace."""
    bindings = [body for body in BINDINGS if body["roleRef"]["name"] != name]
    elsewhere = [
        {**body, "metadata": {**body["metadata"], "namespace": "shop"}} for body in BINDINGS if body not in bindings
    ]
    assert holders.lacking([body for body in ROLES if body["metadata"]["name"] != name], BINDINGS) == lacking
    assert holders.lacking(ROLES, bindings) == lacking
    assert holders.lacking(ROLES, [*bindings, *elsewhere]) == lacking


def test_without_the_name_of_the_seal_probe_the_right_is_lacking() -> None:
    rules = [rule for rule in ROLE["rules"] if "resourceNames" not in rule]
    found = holders.lacking([*(body for body in ROLES if body is not ROLE), {**ROLE, "rules": rules}], BINDINGS)
    assert found == (f"patch validatingadmissionpolicies.admissionregistration.k8s.io seal-probe.{GROUP}",)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("User", "system:serviceaccount:hostnetwork-system:hostnetwork-operator"),
        ("Group", "system:serviceaccounts:hostnetwork-system"),
        ("Group", "system:serviceaccounts"),
        ("Group", "system:authenticated"),
    ],
)
def test_the_operator_has_the_rights_of_its_user_and_groups(kind: str, name: str) -> None:
    subjects = [{"kind": kind, "name": name}]
    assert holders.lacking(ROLES, [{**body, "subjects": subjects} for body in BINDINGS]) == ()


def test_a_rule_for_a_subresource_of_every_resource_gives_the_right() -> None:
    """RBAC reads `*/status` as the status of every resource of the groups."""
    rules = [
        {**rule, "resources": ["*/status"] if "/status" in rule["resources"][0] else rule["resources"]}
        for rule in ROLE["rules"]
    ]
    others = [body for body in ROLES if body is not ROLE]
    assert holders.lacking([*others, {**ROLE, "rules": rules}], BINDINGS) == ()


def test_a_right_that_the_operator_lacks_is_named() -> None:
    rules = [
        {**rule, "verbs": [verb for verb in rule["verbs"] if (rule["resources"], verb) != (["pods"], "delete")]}
        for rule in ROLE["rules"]
    ]
    others = [body for body in ROLES if body is not ROLE]
    assert holders.lacking([*others, {**ROLE, "rules": rules}], BINDINGS) == ("delete pods",)
    lacking = holders.lacking(ROLES, [{**BINDING, "subjects": [ANN]}])
    assert {"patch namespaces", "list cronjobs.batch"} <= set(lacking)
