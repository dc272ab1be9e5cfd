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


def reader(admin: Any, user: str, rules: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a user who has these rights in the whole cluster."""
    name = f"doctor-{user}"
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    meta = {"metadata": {"name": name}}
    admin.post(f"{RBAC}/clusterroles", {**meta, "rules": rules}).expect(201)
    admin.post(f"{RBAC}/clusterrolebindings", {**meta, "roleRef": reference, "subjects": [subject]}).expect(201)
    yield user
    for plural in ("clusterrolebindings", "clusterroles"):
        admin.delete(f"{RBAC}/{plural}/{name}").expect(200)


READING = {"verbs": ["get", "list"]}


@pytest.fixture
def without_rbac(bare: cluster.Cluster) -> Iterator[str]:
    """A user who may read everything but RBAC."""
    groups = ["", "apps", "batch", "admissionregistration.k8s.io", "apiextensions.k8s.io", labels.GROUP]
    rules = [{**READING, "apiGroups": groups, "resources": ["*"]}]
    yield from reader(bare.admin, "without-rbac", rules)


def test_who_holds_a_right_that_may_not_be_read_is_no_success(bare: cluster.Cluster, without_rbac: str) -> None:
    """Nothing is installed, so no check of the operator's rights has the state unknown."""
    found = result(bare, "doctor", "--as", without_rbac, status=1)
    assert "unknown" not in states(found).values()
    assert set(found["holders"].values()) == {None}


@pytest.fixture
def without_policies(world: World) -> Iterator[str]:
    """A user who may read everything but HostNetworkExceptionPolicies."""
    others = ["", "apps", "batch", "admissionregistration.k8s.io", "apiextensions.k8s.io", "rbac.authorization.k8s.io"]
    rules = [
        {**READING, "apiGroups": others, "resources": ["*"]},
        {**READING, "apiGroups": [labels.GROUP], "resources": ["hostnetworkexceptions"]},
    ]
    yield from reader(world.admin, "without-policies", rules)


def test_a_policy_that_may_not_be_read_is_not_called_missing(world: World, without_policies: str) -> None:
    """A remedy for a policy that exists could put the cluster into mode Audit."""
    found = result(world.cluster, "doctor", "--as", without_policies, status=1)
    assert states(found)["Reading hostnetworkexceptionpolicies"] == "unknown"
    assert "Policy" not in states(found)


@pytest.fixture
def breaker(world: World) -> Iterator[str]:
    """A user with the shipped ClusterRole for emergencies."""
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "hostnetwork-break-glass"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "breaker"}
    binding = {"metadata": {"name": "doctor-breaker"}, "roleRef": reference, "subjects": [subject]}
    world.admin.post(f"{RBAC}/clusterrolebindings", binding).expect(201)
    yield "User breaker by hostnetwork-break-glass"
    world.admin.delete(f"{RBAC}/clusterrolebindings/doctor-breaker").expect(200)


def test_a_user_who_may_delete_a_binding_by_its_name_is_named(world: World, breaker: str) -> None:
    """The operator may patch the seal probe by its name. The probe restricts nothing, so the operator is not named."""
    found = result(world.cluster, "doctor")["holders"]
    assert breaker in found["change their bindings"]
    assert breaker not in found["change admission policies"]
    assert not any("hostnetwork-operator" in each for each in found["change admission policies"])


def test_a_right_that_the_operator_lacks_in_a_namespace_is_named(world: World) -> None:
    path = f"{RBAC}/namespaces/hostnetwork-preview-baseline/rolebindings/hostnetwork-operator"
    body = world.admin.get(path).expect(200).body
    world.admin.delete(path).expect(200)
    try:
        found = result(world.cluster, "doctor")
        (check,) = [each for each in found["checks"] if each["name"] == "Rights of the operator"]
        message = "lacks create pods in namespace hostnetwork-preview-baseline"
        assert (check["state"], check["message"]) == ("failed", message)
    finally:
        meta = {key: body["metadata"][key] for key in ("name", "labels")}
        world.admin.post(path.rpartition("/")[0], {**body, "metadata": meta}).expect(201)
