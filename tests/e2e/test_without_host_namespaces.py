"""An exception for pods that need their node but share no host namespace: from the first refusal to its end."""

from typing import Any

from tests.e2e.conftest import IMAGE, LABEL, PSA, World

AGENT: dict[str, Any] = {
    "type": "Infrastructure",
    "expiry": None,
    "ticket": None,
    "serviceAccountName": "sensor",
    "hostNamespaces": [],
    "hostPorts": True,
    "privileged": True,
    "hostPaths": [{"path": "/proc", "readOnly": True}],
}


def pod(account: str = "sensor") -> dict[str, Any]:
    """Return the spec of a pod that uses all of AGENT."""
    return {
        "serviceAccountName": account,
        "hostNetwork": False,
        "volumes": [{"name": "proc", "hostPath": {"path": "/proc"}}],
        "containers": [
            {
                "name": "main",
                "image": IMAGE,
                "ports": [{"containerPort": 9, "hostPort": 9}],
                "securityContext": {"privileged": True},
                "volumeMounts": [{"name": "proc", "mountPath": "/host/proc", "readOnly": True}],
            }
        ],
    }


def workload(world: World, name: str) -> None:
    """Create two service accounts and a DaemonSet of such pods."""
    for account in ("sensor", "other"):
        world.admin.post(f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": account}}).expect(201)
    template = {"metadata": {"labels": {"app": "sensor"}}, "spec": pod()}
    spec = {"selector": {"matchLabels": {"app": "sensor"}}, "template": template}
    world.admin.post(
        f"/apis/apps/v1/namespaces/{name}/daemonsets", {"metadata": {"name": "sensor"}, "spec": spec}
    ).expect(201)


def covered(world: World, name: str) -> int | None:
    count = world.status(name, "sensor").get("coveredPods")
    return int(count) if count is not None else None


def test_such_an_exception_lifts_the_level_for_its_pods_alone(world: World) -> None:
    """The pods are refused, then admitted and counted, and refused again at the end.

    They get no verdict and no Event.
    """
    name = world.namespace()
    workload(world, name)
    plain_pod = pod()
    world.until("they are refused", lambda: world.pod(name, "probe", dry_run=True, **plain_pod).status == 403)
    world.exception(name, "sensor", **AGENT).expect(201)
    world.until("it is in force", lambda: world.ready(name, "sensor") == "Active")
    world.until("they are admitted", lambda: world.pod(name, "probe", dry_run=True, **plain_pod).status == 201)
    assert world.labels(name)[PSA] == "privileged"
    nodes = len(world.cluster.nodes)
    # The controller of a refused DaemonSet retries at growing intervals.
    world.until("they are counted", lambda: covered(world, name) == nodes, deadline_seconds=150)
    assert world.condition(name, "sensor", "InUse")["reason"] == "PodsCovered"
    pods = world.admin.items(world.pods(name))
    assert [p["metadata"]["name"] for p in pods if f"{LABEL}/verdict" in p["metadata"].get("labels", {})] == []
    assert {kind for kind, _, _ in world.events(name)} <= {"Namespace", "HostNetworkException", "DaemonSet"}
    # The guard holds every other pod, and so another pod of the same account.
    answer = world.pod(name, "other", dry_run=True, **pod("other"))
    assert answer.status == 403, answer.body
    assert world.pod(name, "host", dry_run=True, **{**plain_pod, "hostNetwork": True}).status == 403
    patch = {"spec": {"expiry": world.time(1)}}
    world.admin.patch(f"{world.exceptions(name)}/sensor", patch).expect(200)
    world.until("the level is put back", lambda: world.labels(name)[PSA] == "baseline")
    assert world.pod(name, "probe", dry_run=True, **plain_pod).status == 403
    world.until(
        "it says what remains", lambda: world.condition(name, "sensor", "CleanedUp").get("reason") == "Reported"
    )
    assert len(world.admin.items(world.pods(name))) == nodes  # nothing is deleted
