"""`kubectl hostnetwork review`: what was shown is recorded as reviewed, and the finding ends."""

from tests.cli.conftest import hostnetwork, result
from tests.e2e.conftest import World


def due(world: World, namespace: str) -> list[str]:
    document = result(world.cluster, "exceptions", "-n", namespace, "--review-due")
    return [entry["name"] for entry in document["exceptions"]]


def test_a_review_ends_the_finding(world: World) -> None:
    """What the exception allows is shown first. A dry run records nothing."""
    namespace = world.namespace()
    agent = {"type": "Infrastructure", "ticket": None, "expiry": None, "serviceAccountName": "agent"}
    world.exception(namespace, "agent", review={"kubernetesVersion": "1.20"}, **agent).expect(201)
    world.until("the review is due", lambda: world.condition(namespace, "agent", "ReviewDue").get("status") == "True")
    shown = hostnetwork(world.cluster, "review", "agent", "-n", namespace, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "serviceAccountName: agent\n" in shown.stderr
    assert "reviewed at: none → 20" in shown.stderr
    assert world.condition(namespace, "agent", "ReviewDue")["status"] == "True"
    reviewed = hostnetwork(world.cluster, "review", "agent", "-n", namespace, "--yes")
    assert reviewed.returncode == 0, reviewed.stderr
    world.until("no review is due", lambda: world.condition(namespace, "agent", "ReviewDue").get("status") == "False")
    review = world.admin.get(f"{world.exceptions(namespace)}/agent").expect(200).body["spec"]["review"]
    assert review["time"] <= world.time()
    assert review["kubernetesVersion"] != "1.20"
