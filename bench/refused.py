"""The time from the creation of a DaemonSet whose pods are refused until an Event on it has the remedy."""

import random
import time
from typing import Any

from bench import figures, streams
from bench.world import World, host_pod, say

_WORKLOADS = 40
_GOAL = figures.Goal("p99", 2000)
_REASON = "HostNamespacesRefused"


def measure(world: World) -> list[figures.Row]:
    places = [f"refusing-{number}" for number in range(5)]
    world.enforced(places)
    say(f"refused: {_WORKLOADS} DaemonSets in {len(places)} enforced namespaces")
    events = streams.Moments()
    path = f"/api/v1/events?fieldSelector=reason%3D{_REASON}"
    until_event = []
    with streams.Watch(world.cluster, path, lambda moment, body: events.note(body["involvedObject"]["uid"], moment)):
        for number in range(_WORKLOADS):
            # A random pause avoids steps in time with the controller's retries for the earlier DaemonSets.
            time.sleep(random.uniform(0.5, 1.0))
            sent = time.monotonic()
            uid = _create(world, places[number % len(places)], f"agent-{number}")
            until_event.append(1000 * (events.wait(uid) - sent))
    for number in range(_WORKLOADS):
        world.api.delete(f"{_path(places[number % len(places)])}/agent-{number}").expect(200)
    return [figures.spread("refused DaemonSet created -> Event with the remedy", until_event, goal=_GOAL)]


def _path(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/daemonsets"


def _create(world: World, namespace: str, name: str) -> str:
    labels = {"app": name}
    template: dict[str, Any] = {"metadata": {"labels": labels}, "spec": host_pod(name)["spec"]}
    body = {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    return str(world.api.post(_path(namespace), body).expect(201).body["metadata"]["uid"])
