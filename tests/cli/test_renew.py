"""`kubectl hostnetwork renew`: moves an end, and says what stands in the way."""

import json

from tests.cli.conftest import hostnetwork
from tests.e2e.conftest import World


def test_an_end_is_moved_and_the_exception_stays_in_force(world: World) -> None:
    """Ticket and reason change only if a person says so. A pod stays covered all the time."""
    namespace = world.namespace()
    world.granted_pod(namespace, seconds=600)
    arguments = ("renew", "hne/capture", "-n", namespace, "--for", "3h", "--ticket", "INC-2")
    renewed = hostnetwork(world.cluster, *arguments, "--yes", "-o", "json")
    assert renewed.returncode == 0, renewed.stderr
    body = json.loads(renewed.stdout)
    assert (body["spec"]["ticket"], body["spec"]["reason"]) == ("INC-2", "Capture SYN retries on a node")
    assert body["spec"]["expiry"] > world.time(3600 * 2.9)
    assert f"Active: the exception is in force until {body['spec']['expiry']}; it covers 1 pod." in renewed.stderr
    assert "ticket: INC-4711 → INC-2" in renewed.stderr
    late = hostnetwork(world.cluster, "renew", "capture", "-n", namespace, "--for", "30h", "--yes")
    assert (late.returncode, late.stdout) == (1, "")
    assert "set spec.expiry to " in late.stderr
    tenant = world.cluster.tenant(namespace)
    asked = hostnetwork(world.cluster, *arguments, "--yes", user=tenant)
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
    assert "error: the operator would end the exception: spec.expiry must be no later than " in refused.stderr
    assert world.admin.get(f"{world.exceptions(namespace)}/capture").body["metadata"]["generation"] == 1
