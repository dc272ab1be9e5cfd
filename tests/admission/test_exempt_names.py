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
def exempting_cluster(governed: controlplane.Cluster) -> Iterator[controlplane.Cluster]:
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
    creator = _creator(governed)
    governed.wait("it is seen", lambda: _dry_run_create(creator, "rook-ceph").status == 403)
    yield governed
    governed.admin.delete(f"{POLICIES}/{policy.NAME}").expect(200)
    governed.wait("it is not seen any more", lambda: _dry_run_create(creator, "rook-ceph").status == 201)


def _creator(cluster: controlplane.Cluster, *more: str) -> api.Api:
    user = workbench.may(cluster, "exempt-names", "namespaces", "create", "update", "patch", "delete", *more)
    cluster.wait_for_right(user, {"resource": "namespaces", "verb": "create"})
    return cluster.api(user)


def _dry_run_create(client: api.Api, name: str, **metadata: Any) -> api.Response:
    return client.post(f"{NAMESPACES}?dryRun=All", {"metadata": {"name": name, **metadata}})


@pytest.mark.parametrize("name", ["rook-ceph", "watched-1", "watched-2", "watched-3", "lifted"])
def test_a_name_that_is_let_off_needs_setlevel(exempting_cluster: controlplane.Cluster, name: str) -> None:
    """Labels in the request make no difference; a holder of setlevel and an administrator can create the namespace."""
    field = "spec.exemptNamespaces" if name == "rook-ceph" else "spec.rules"
    text = (
        f'exempt-names: HostNetworkExceptionPolicy "default" exempts namespaces with the name "{name}" in {field}, so'
    )
    for metadata in ({}, {"labels": {"team": "a"}}, {"labels": {labels.ENFORCEMENT: "Deny"}}):
        workbench.refused(workbench.sound(_dry_run_create(_creator(exempting_cluster), name, **metadata)), text)
    for client in (_creator(exempting_cluster, "setlevel"), exempting_cluster.admin):
        workbench.sound(_dry_run_create(client, name)).expect(201)


@pytest.mark.parametrize("name", ["payments", "stricter", "rook-ceph-2", "watched"])
def test_any_other_name_is_free(exempting_cluster: controlplane.Cluster, name: str) -> None:
    """A name that no rule relaxes is free, also beside rules that select by other labels."""
    workbench.sound(_dry_run_create(_creator(exempting_cluster), name, labels={"team": "a"})).expect(201)


def test_a_generated_name_is_the_one_that_is_judged(exempting_cluster: controlplane.Cluster) -> None:
    """A generateName prefix that equals an exempt name is not refused, because the generated name differs."""
    workbench.sound(
        _creator(exempting_cluster).post(f"{NAMESPACES}?dryRun=All", {"metadata": {"generateName": "rook-ceph"}})
    ).expect(201)


def test_a_namespace_that_is_there_is_changed_as_ever(exempting_cluster: controlplane.Cluster) -> None:
    """The policy applies to creation only, including a new creation after deletion."""
    exempting_cluster.admin.post(NAMESPACES, {"metadata": {"name": "rook-ceph"}}).expect(201)
    creator, path = _creator(exempting_cluster), f"{NAMESPACES}/rook-ceph"
    workbench.sound(creator.patch(path, {"metadata": {"labels": {"a": "b"}}})).expect(200)
    creator.delete(path).expect(200)
    exempting_cluster.wait("it is gone", lambda: exempting_cluster.admin.get(path).status == 404)
    workbench.refused(_dry_run_create(creator, "rook-ceph"), "exempt-names: ")
