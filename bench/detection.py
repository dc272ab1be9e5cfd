"""The time from the creation of an uncovered host-namespace pod to its flags: label, Event, metric."""

import random
import time
from typing import Any

import urllib3

from bench import figures, streams
from bench.world import VERDICT, World, host_pod, say

_PODS = 100  # for label and Event, in each kind of namespace
_POLLED = 50  # for the metric, in each kind
_POLL_SECONDS = 0.005
_DEADLINE_SECONDS = 30.0
_GOAL = figures.Goal("p99", 250)


def measure(world: World) -> list[figures.Row]:
    audited = [f"audited-{number}" for number in range(5)]
    world.audited(audited)
    return [*_rows(world, "Held", world.teams[:5], _GOAL), *_rows(world, "Audit", audited, _GOAL)]


def measure_held(world: World, goal: figures.Goal) -> list[figures.Row]:
    """Measure in Held namespaces only, whose other pods the operator reads again and again."""
    return _rows(world, "Held", world.teams[:5], goal)


def _rows(world: World, kind: str, places: list[str], goal: figures.Goal) -> list[figures.Row]:
    say(f"detection: {_PODS} + {_POLLED} uncovered pods in {kind} namespaces")
    label_times, event_times = _label_and_event_times(world, kind, places)
    return [
        figures.spread(f"pod created ({kind}) -> label", label_times, goal=goal),
        figures.spread(f"pod created ({kind}) -> Event", event_times, goal=goal),
        figures.spread(f"pod created ({kind}) -> metric", _metric_times(world, kind, places), goal=goal),
    ]


def _label_and_event_times(world: World, kind: str, places: list[str]) -> tuple[list[float], list[float]]:
    labels, events = streams.Moments(), streams.Moments()

    def note_event(moment: float, body: dict[str, Any]) -> None:
        if body["reason"] == "HostNamespacesUncovered":
            events.note(body["involvedObject"]["uid"], moment)

    path = f"/api/v1/pods?labelSelector={VERDICT}"
    until_label, until_event = [], []
    with (
        streams.Watch(world.cluster, path, lambda moment, body: labels.note(body["metadata"]["uid"], moment)),
        streams.Watch(world.cluster, "/api/v1/events", note_event),
    ):
        for number in range(_PODS):
            _rest()
            sent = time.monotonic()
            uid = world.create_pod(places[number % len(places)], host_pod(f"watched-{number}"))
            until_label.append(1000 * (labels.wait(uid) - sent))
            until_event.append(1000 * (events.wait(uid) - sent))
    _clean(world, places, "watched", _PODS)
    say(f"detection: {kind} done by watch")
    return until_label, until_event


def _metric_times(world: World, kind: str, places: list[str]) -> list[float]:
    """Measure the metric in a separate pass, because 200 requests per second take CPU from the operator."""
    until_metric = []
    with urllib3.HTTPConnectionPool("127.0.0.1", world.operator.port, maxsize=1) as http:
        for number in range(_POLLED):
            _rest()
            place = places[number % len(places)]
            before = _uncovered_count(http, place)
            sent = time.monotonic()
            world.create_pod(place, host_pod(f"polled-{number}"))
            while _uncovered_count(http, place) <= before:
                assert time.monotonic() - sent < _DEADLINE_SECONDS, f"a pod in {place} is never counted"
                time.sleep(_POLL_SECONDS)
            until_metric.append(1000 * (time.monotonic() - sent))
    _clean(world, places, "polled", _POLLED)
    say(f"detection: {kind} done by metric")
    return until_metric


def _uncovered_count(http: urllib3.HTTPConnectionPool, namespace: str) -> float:
    start = f'hostnetwork_pods{{namespace="{namespace}",verdict="Uncovered"}} '
    for line in http.request("GET", "/metrics", timeout=5).data.decode().splitlines():
        if line.startswith(start):
            return float(line.removeprefix(start))
    return 0.0


def _clean(world: World, places: list[str], prefix: str, count: int) -> None:
    """Delete the pods and let the operator become idle, so that one pass does not affect the next."""
    for index in range(count):
        world.api.delete(f"/api/v1/namespaces/{places[index % len(places)]}/pods/{prefix}-{index}").expect(200)
    time.sleep(1)


def _rest() -> None:
    # A random pause avoids steps in time with kwok's and the scheduler's work on the previous pod.
    time.sleep(random.uniform(0.05, 0.15))
