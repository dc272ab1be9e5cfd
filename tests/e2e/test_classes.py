"""What a workload looks like is where people look: in Events and metrics. tests/e2e/test_reports.py has the reports."""

import re
from typing import Any

from hostnetwork_operator.decide import catalogue
from tests.e2e.conftest import IMAGE, World

AGENT = next(agent for agent in catalogue.AGENTS if agent.name == "node-exporter (kube-prometheus)")
AGENT_IMAGE = f"{AGENT.images[0]}:v1"


def daemon_set(world: World, namespace: str, image: str) -> None:
    """Create a DaemonSet node-exporter whose pods share the network of their nodes."""
    pod_spec = {"hostNetwork": True, "containers": [{"name": "main", "image": image}]}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": pod_spec}
    spec = {"selector": {"matchLabels": {"app": "x"}}, "template": template}
    path = f"/apis/apps/v1/namespaces/{namespace}/daemonsets"
    world.admin.post(path, {"metadata": {"name": "node-exporter"}, "spec": spec}).expect(201)


def messages(world: World, namespace: str, **fields: str) -> set[str]:
    """Return the messages of the operator's Events on an object."""
    selector = ",".join(f"{field.replace('_', '.')}={value}" for field, value in fields.items())
    events: list[dict[str, Any]] = world.admin.items(f"/api/v1/namespaces/{namespace}/events?fieldSelector={selector}")
    return {event["message"] for event in events if event["source"].get("component") == "hostnetwork-operator"}


def workload_counts(world: World) -> dict[tuple[str, str, str], float]:
    pattern = r'^hostnetwork_workloads{class="(\w+)",confidence="(\w+)",verdict="(\w+)"} (\S+)$'
    found = re.findall(pattern, world.operator.metrics(), re.MULTILINE)
    return {(kind, confidence, verdict): float(number) for kind, confidence, verdict, number in found}


def test_events_and_metrics_have_the_class(world: World) -> None:
    """A DaemonSet of node-exporter is likely one. One with the name alone is not, and its Events name no agent."""
    real, forged = world.namespace(), world.namespace()
    uncovered = {"reason": "HostNamespacesUncovered"}
    before = workload_counts(world)
    for namespace, image in ((real, AGENT_IMAGE), (forged, IMAGE)):
        world.exception(namespace, images=[image]).expect(201)
        world.until("in force", lambda namespace=namespace: world.ready(namespace) == "Active")
        daemon_set(world, namespace, image)
        world.until("covered", lambda namespace=namespace: world.status(namespace).get("coveredPods"))
        world.admin.delete(f"{world.exceptions(namespace)}/capture").expect(200)
        on_owner = {**uncovered, "involvedObject_kind": "DaemonSet"}
        world.until("its Event", lambda namespace=namespace, on=on_owner: messages(world, namespace, **on))
    looks = "looks like node-exporter (kube-prometheus) (Infrastructure, likely), and"
    assert all(looks in message for message in messages(world, real, **uncovered))
    assert not any("looks like" in message for message in messages(world, forged, **uncovered))

    def counted() -> bool:
        keys = (("Infrastructure", confidence, "Uncovered") for confidence in ("likely", "unknown"))
        now = workload_counts(world)
        return all(now.get(key, 0) == before.get(key, 0) + 1 for key in keys)

    world.until("both are counted", counted)
    for namespace in (real, forged):
        world.admin.delete(world.pods(namespace)).expect(200)
        refused = {"reason": "HostNamespacesRefused"}
        world.until("refused", lambda namespace=namespace, on=refused: messages(world, namespace, **on), 60)
    assert all(looks in message for message in messages(world, real, **refused))
    assert not any("looks like" in message for message in messages(world, forged, **refused))
