"""`kubectl hostnetwork renew`: moves an end, and says what stands in the way."""

import json
import pathlib

import pytest

from tests.cli.conftest import hostnetwork
from tests.e2e.conftest import World


@pytest.fixture
def approver(world: World) -> pathlib.Path:
    """A user who may write exceptions, and has no other right."""
    group = "rbac.authorization.k8s.io"
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": "hostnetwork-exception-approver"}
    subject = {"apiGroup": group, "kind": "User", "name": "approver"}
    binding = {"metadata": {"name": "renewing"}, "roleRef": reference, "subjects": [subject]}
    world.admin.post(f"/apis/{group}/v1/clusterrolebindings", binding).expect(201)
    kubeconfig = world.cluster.user("approver", "system:authenticated")
    attributes = {"group": "hostnetwork-operator.github.io", "resource": "hostnetworkexceptions", "verb": "approve"}
    world.cluster.wait_for_right(kubeconfig, attributes)
    return kubeconfig


def test_an_end_is_moved_and_the_exception_stays_in_force(world: World, approver: pathlib.Path) -> None:
    """An approver needs no other right. Ticket and reason change only if the approver says so."""
    namespace = world.namespace()
    world.granted_pod(namespace, seconds=600)
    arguments = ("renew", "hne/capture", "-n", namespace, "--for", "3h", "--ticket", "INC-2")
    renewed = hostnetwork(world.cluster, *arguments, "--yes", "-o", "json", user=approver)
    assert renewed.returncode == 0, renewed.stderr
    body = json.loads(renewed.stdout)
    assert (body["spec"]["ticket"], body["spec"]["reason"]) == ("INC-2", "Capture SYN retries on a node")
    assert body["spec"]["expiry"] > world.time(3600 * 2.9)
    assert f"Active: the exception is in force until {body['spec']['expiry']}; it covers 1 pod." in renewed.stderr
    assert "ticket: INC-4711 → INC-2" in renewed.stderr
    tenant = world.cluster.tenant(namespace)
    asked = hostnetwork(world.cluster, "renew", "capture", "-n", namespace, "--for", "2h", "--yes", user=tenant)
    assert asked.returncode == 1
    assert asked.stdout.startswith(f"kubectl hostnetwork renew capture -n {namespace} --until ")
    assert "Who may approve exceptions is not known" in asked.stderr


def test_an_end_beyond_the_policy_is_not_written(world: World) -> None:
    """The API server would accept it, and the operator would end the exception as Invalid."""
    namespace = world.namespace()
    world.exception(namespace).expect(201)
    policy = "/apis/hostnetwork-operator.github.io/v1alpha1/hostnetworkexceptionpolicies/default"
    world.admin.patch(policy, {"spec": {"exceptions": {"maxDuration": {"Diagnostic": "2h"}}}}).expect(200)
    try:
        refused = hostnetwork(world.cluster, "renew", "capture", "-n", namespace, "--for", "3h", "--yes")
    finally:
        world.admin.patch(policy, {"spec": {"exceptions": None}}).expect(200)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "error: the exception would be Invalid: spec.expiry must be no later than " in refused.stderr
    assert world.admin.get(f"{world.exceptions(namespace)}/capture").body["metadata"]["generation"] == 1
