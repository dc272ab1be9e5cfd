"""exempt-names: only a holder of `setlevel` may create a namespace whose name the policy object exempts."""

from collections.abc import Iterator
from typing import Any

import pytest

from hostnetwork_operator.api import labels, policy
from tests.admission import workbench
from tests.controlplane import api
from tests.controlplane import cluster as controlplane

NAMESPACES = "/api/v1/namespaces"
POLICIES = f"/apis/{labels.API_VERSION}/hostnetworkexceptionpolicies"
NAME = "kubernetes.io/metadata.name"


def by_name(names: list[str], **fields: Any) -> dict[str, Any]:
    return {"selector": {"matchExpressions": [{"key": NAME, "operator": "In", "values": names}]}, **fields}


RULES = [
    {"selector": {"matchLabels": {NAME: "watched-1"}}, "mode": "Audit"},
    by_name(["watched-2", "watched-3"], mode="Audit"),
    by_name(["lifted"], enforce="privileged"),
    by_name(["stricter"], enforce="restricted", mode="Enforce"),
    {"selector": {"matchLabels": {"team": "a"}}, "mode": "Audit"},
    {"selector": {}, "rollout": "Immediate"},
]


@pytest.fixture(scope="module")
def named(governed: controlplane.Cluster) -> Iterator[controlplane.Cluster]:
    """The governed cluster with a policy object that exempts some names.

    Without the object, the policy refuses no name.
    """
    body = {
        "apiVersion": labels.API_VERSION,
        "kind": policy.KIND,
        "metadata": {"name": policy.NAME},
        "spec": {"mode": "Enforce", "exemptNamespaces": ["kube-system", "rook-ceph"], "rules": RULES},
    }
    governed.admin.post(POLICIES, body).expect(201)
    someone = _creator(governed)
    governed.wait("it is seen", lambda: _made(someone, "rook-ceph").status == 403)
    yield governed
    governed.admin.delete(f"{POLICIES}/{policy.NAME}").expect(200)
    governed.wait("it is not seen any more", lambda: _made(someone, "rook-ceph").status == 201)


def _creator(cluster: controlplane.Cluster, *more: str) -> api.Api:
    user = workbench.may(cluster, "exempt-names", "namespaces", "create", "update", "patch", "delete", *more)
    cluster.wait_for_right(user, {"resource": "namespaces", "verb": "create"})
    return cluster.api(user)


def _made(who: api.Api, name: str, **metadata: Any) -> api.Response:
    return who.post(f"{NAMESPACES}?dryRun=All", {"metadata": {"name": name, **metadata}})


@pytest.mark.parametrize("name", ["rook-ceph", "watched-1", "watched-2", "watched-3", "lifted"])
def test_a_name_that_is_let_off_needs_setlevel(named: controlplane.Cluster, name: str) -> None:
    """Labels in the request make no difference; a holder of setlevel and an administrator can create the namespace."""
    by = "spec.exemptNamespaces" if name == "rook-ceph" else "spec.rules"
    text = f'exempt-names: HostNetworkExceptionPolicy "default" exempts namespaces with the name "{name}" in {by}, so'
    for metadata in ({}, {"labels": {"team": "a"}}, {"labels": {labels.ENFORCEMENT: "Deny"}}):
        workbench.refused(workbench.sound(_made(_creator(named), name, **metadata)), text)
    for who in (_creator(named, "setlevel"), named.admin):
        workbench.sound(_made(who, name)).expect(201)


@pytest.mark.parametrize("name", ["payments", "stricter", "rook-ceph-2", "watched"])
def test_any_other_name_is_free(named: controlplane.Cluster, name: str) -> None:
    """A name that no rule relaxes is free, also beside rules that select by other labels."""
    workbench.sound(_made(_creator(named), name, labels={"team": "a"})).expect(201)


def test_a_generated_name_is_the_one_that_is_judged(named: controlplane.Cluster) -> None:
    """A generateName prefix that equals an exempt name is not refused, because the generated name differs."""
    workbench.sound(
        _creator(named).post(f"{NAMESPACES}?dryRun=All", {"metadata": {"generateName": "rook-ceph"}})
    ).expect(201)


def test_a_namespace_that_is_there_is_changed_as_ever(named: controlplane.Cluster) -> None:
    """The policy applies to creation only, including a new creation after deletion."""
    named.admin.post(NAMESPACES, {"metadata": {"name": "rook-ceph"}}).expect(201)
    someone, path = _creator(named), f"{NAMESPACES}/rook-ceph"
    workbench.sound(someone.patch(path, {"metadata": {"labels": {"a": "b"}}})).expect(200)
    someone.delete(path).expect(200)
    named.wait("it is gone", lambda: named.admin.get(path).status == 404)
    workbench.refused(_made(someone, "rook-ceph"), "exempt-names: ")
