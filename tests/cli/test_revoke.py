"""`kubectl hostnetwork revoke`: ends an exception, and its pods with it if they are for a diagnosis."""

from tests.cli.conftest import hostnetwork
from tests.e2e.conftest import World


def test_a_diagnostic_is_revoked_and_its_pod_is_deleted(world: World) -> None:
    """The exception stays as the record, with the reason. A second revocation changes nothing."""
    namespace = world.namespace()
    world.granted_pod(namespace)
    arguments = ("revoke", "capture", "-n", namespace, "--reason", "capture is complete")
    shown = hostnetwork(world.cluster, *arguments, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "The operator deletes 1 pod: capture." in shown.stderr
    assert not world.is_deleted(namespace)
    revoked = hostnetwork(world.cluster, *arguments, "--yes")
    assert (revoked.returncode, revoked.stdout) == (
        0,
        "hostnetworkexception.hostnetwork-operator.github.io/capture revoked\n",
    ), revoked.stderr
    assert "Expired: the exception ended at " in revoked.stderr
    world.until("the pod is deleted", lambda: world.is_deleted(namespace))
    spec = world.admin.get(f"{world.exceptions(namespace)}/capture").expect(200).body["spec"]
    assert spec["reason"] == "Capture SYN retries on a node; revoked: capture is complete"
    again = hostnetwork(world.cluster, *arguments, "--yes")
    assert (again.returncode, again.stdout) == (0, "")
    assert "has ended already" in again.stderr


def test_what_is_permanent_ends_too_and_its_pod_is_flagged(world: World) -> None:
    namespace = world.namespace()
    agent = {"type": "Infrastructure", "ticket": None, "expiry": None, "serviceAccountName": "default"}
    world.granted_pod(namespace, **agent)
    revoked = hostnetwork(world.cluster, "revoke", "capture", "-n", namespace, "--yes")
    assert revoked.returncode == 0, revoked.stderr
    assert "The operator flags 1 pod as expired, and deletes none of them: capture." in revoked.stderr
    world.until("the pod is flagged", lambda: world.verdict(namespace, "capture") == "Expired")
