"""`kubectl hostnetwork doctor`: what works, what does not and how to mend it, and who may open the cluster."""

from collections.abc import Iterator
from typing import Any

import pytest

from hostnetwork_operator.api import labels
from tests.cli.conftest import hostnetwork, result
from tests.controlplane import cluster
from tests.e2e.conftest import World

RBAC = "/apis/rbac.authorization.k8s.io/v1"
BINDING = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/pod-size-deny.{labels.GROUP}"


def states(document: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["state"] for check in document["checks"]}


@pytest.fixture
def approver(world: World) -> Iterator[str]:
    """A group whose members may approve exceptions."""
    rule = {"apiGroups": [labels.GROUP], "resources": ["hostnetworkexceptions"], "verbs": ["approve"]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "doctor-approver"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "security"}
    meta = {"metadata": {"name": "doctor-approver"}}
    world.admin.post(f"{RBAC}/clusterroles", {**meta, "rules": [rule]}).expect(201)
    binding = {**meta, "roleRef": reference, "subjects": [subject]}
    world.admin.post(f"{RBAC}/clusterrolebindings", binding).expect(201)
    yield "Group security by doctor-approver"
    for plural in ("clusterrolebindings", "clusterroles"):
        world.admin.delete(f"{RBAC}/{plural}/doctor-approver").expect(200)


def test_a_sound_installation_has_nothing_that_failed(world: World, approver: str) -> None:
    """The operator of the tests runs beside the cluster, so its Deployment has no replica."""
    world.until("the operator has seen its policy", lambda: "Policy Ready" in states(result(world.cluster, "doctor")))
    found = result(world.cluster, "doctor")
    failed = {name for name, state in states(found).items() if state in {"failed", "unknown"}}
    assert failed <= {"Operator"}
    working = {"Kubernetes", "Clock", "CRDs", "Admission policies", "Policy Ready", "Policy Guarded"}
    assert working | {"Rights of the operator"} <= {name for name, state in states(found).items() if state == "ok"}
    assert approver in found["holders"]["approve exceptions"]
    assert approver not in found["holders"]["set Pod Security levels"]
    assert "Group system:masters by cluster-admin" in found["holders"]["change admission policies"]


def test_a_policy_that_is_missing_is_named_with_the_remedy(world: World) -> None:
    body = world.admin.get(BINDING).expect(200).body
    world.admin.delete(BINDING).expect(200)
    try:
        found = result(world.cluster, "doctor")
        (check,) = [each for each in found["checks"] if each["name"] == "Admission policies"]
        assert (check["state"], check["remedy"]) == ("failed", "kubectl apply --server-side -k manifests/admission")
        assert "pod-size" in check["message"]
        assert hostnetwork(world.cluster, "doctor", "--fail-on", "failed").returncode == 3
    finally:
        meta = {key: body["metadata"][key] for key in ("name", "labels", "annotations") if key in body["metadata"]}
        world.admin.post(BINDING.rpartition("/")[0], {**body, "metadata": meta}).expect(201)
        world.until(
            "the policies are intact", lambda: states(result(world.cluster, "doctor"))["Admission policies"] == "ok"
        )


def test_a_right_that_the_operator_lacks_is_named_with_the_remedy(world: World) -> None:
    path = f"{RBAC}/clusterroles/hostnetwork-operator"
    rules = world.admin.get(path).expect(200).body["rules"]
    fewer = [rule for rule in rules if rule["resources"] != ["cronjobs"]]
    world.admin.patch(path, {"rules": fewer}).expect(200)
    try:
        found = result(world.cluster, "doctor")
        (check,) = [each for each in found["checks"] if each["name"] == "Rights of the operator"]
        assert (check["state"], check["message"]) == ("failed", "lacks list cronjobs.batch")
        assert check["remedy"] == "apply your overlay again"
    finally:
        world.admin.patch(path, {"rules": rules}).expect(200)


def test_before_the_installation_the_rights_to_install_are_asked(bare: cluster.Cluster) -> None:
    assert set(states(result(bare, "doctor", "--pre")).values()) == {"ok"}
    tenant = states(result(bare, "doctor", "--pre", user=bare.tenant("default", "installer")))
    assert tenant["create clusterroles"] == "failed"
    assert tenant["Kubernetes"] == "ok"
    arguments = ("doctor", "--pre", "--fail-on", "failed")
    assert hostnetwork(bare, *arguments, user=bare.tenant("default", "installer")).returncode == 3


def test_where_nothing_is_installed_that_is_said(bare: cluster.Cluster) -> None:
    found = states(result(bare, "doctor"))
    assert (found["CRDs"], found["Operator"]) == ("failed", "failed")


def test_what_may_not_be_read_is_unknown(bare: cluster.Cluster) -> None:
    found = result(bare, "doctor", "--as", "nobody", status=1)
    assert "unknown" in states(found).values()
    assert set(found["holders"].values()) == {None}
