"""The time from the second of an exception's expiry until its namespace is restored and its pod's DELETE is sent."""

import dataclasses
import time

from bench import audit, figures
from bench.world import PSA_ENFORCE, World, host_pod, parallel, say

_SINGLES = 30
_BURSTS = (100, 500)
_DEADLINE_SECONDS = 300.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Delays:
    """Milliseconds after the expiry, one value of each per exception."""

    restored: list[float]
    deleted: list[float]


def singles(world: World) -> list[figures.Row]:
    """Measure one expiry per second."""
    places = [f"expiring-{number}" for number in range(_SINGLES)]
    say(f"expiry: {_SINGLES} diagnostics, one ending each second")
    world.enforced(places)
    first_end = int(audit.now()) + 20
    delays = _expire(world, {place: first_end + number for number, place in enumerate(places)})
    goal = figures.Goal("p99", 1000)
    return [
        figures.spread("expiry -> namespace restored", delays.restored, goal=goal),
        figures.spread("expiry -> DELETE sent", delays.deleted, goal=goal),
    ]


def bursts(world: World) -> list[figures.Row]:
    """Measure many expiries in the same second, each in its own namespace: the restores cannot share a write."""
    return [row for size in _BURSTS for row in _burst(world, size)]


def _burst(world: World, size: int) -> list[figures.Row]:
    places = [f"burst-{size}-{number}" for number in range(size)]
    say(f"burst: {size} clean namespaces")
    began = time.monotonic()
    world.enforced(places)
    enforce_seconds = time.monotonic() - began
    # Grants and pods must exist by then, which takes about twice as long as enforcing. The measure checks that.
    end = int(audit.now() + 20 + 5 * enforce_seconds)
    say(f"burst: {size} diagnostics that end in the same second, {end - int(audit.now())} s from now")
    delays = _expire(world, dict.fromkeys(places, end))
    goal = figures.Goal("max", 30)
    return [
        figures.single(f"{size} namespaces made -> all enforced", enforce_seconds, "s"),
        figures.spread(f"{size} expiries at once -> namespace restored", _seconds(delays.restored), "s", goal),
        figures.spread(f"{size} expiries at once -> DELETE sent", _seconds(delays.deleted), "s", goal),
    ]


def _expire(world: World, ends: dict[str, int]) -> _Delays:
    """Create exceptions with these expiries and a running pod under each, and return the delays of the operator."""
    parallel(lambda item: world.create_exception(*item), ends.items())
    selector = f"{PSA_ENFORCE}=privileged"
    world.cluster.wait("the namespaces relaxed", lambda: ends.keys() <= world.labelled(selector), _DEADLINE_SECONDS)
    world.create_pods((place, host_pod("diagnostic")) for place in ends)
    assert audit.now() < min(ends.values()), "the first exception ended before its pod was there: a slower machine"
    say(f"expiry: all set up {min(ends.values()) - audit.now():.0f} s before the first end")
    last_end = max(ends.values())
    time.sleep(max(0.0, last_end - audit.now()))
    world.cluster.wait("the namespaces restored", lambda: not ends.keys() & world.labelled(selector), _DEADLINE_SECONDS)
    world.cluster.wait("the pods gone", lambda: not ends.keys() & _namespaces_with_diagnostic(world), _DEADLINE_SECONDS)
    return _delays(world, ends)


def _namespaces_with_diagnostic(world: World) -> set[str]:
    pods = world.api.items("/api/v1/pods?fieldSelector=metadata.name%3Ddiagnostic")
    return {item["metadata"]["namespace"] for item in pods}


def _delays(world: World, ends: dict[str, int]) -> _Delays:
    """Return the delays from the audit log: the answer to the restoring patch and the arrival of the delete."""
    restored: dict[str, float] = {}
    deleted: dict[str, float] = {}
    for request in audit.by_operator(world.cluster, min(ends.values()) - 1):
        if request.verb == "patch" and request.resource == "namespaces" and _restores(request):
            _note_first(restored, request.name, request.answered, ends)
        elif request.verb == "delete" and request.resource == "pods":
            _note_first(deleted, request.namespace, request.received, ends)
    for effect, delays in (("restored", restored), ("deleted", deleted)):
        missing = sorted(ends.keys() - delays.keys())
        assert not missing, f"not {effect} by the operator: {len(missing)}, first {missing[:3]}"
    return _Delays(list(restored.values()), list(deleted.values()))


def _restores(request: audit.Request) -> bool:
    labels = request.body.get("metadata", {}).get("labels") or {}
    return request.status == 200 and labels.get(PSA_ENFORCE) not in {None, "privileged"}


def _note_first(delays: dict[str, float], namespace: str, moment: float, ends: dict[str, int]) -> None:
    if namespace in ends and namespace not in delays:
        delays[namespace] = 1000 * (moment - ends[namespace])


def _seconds(milliseconds: list[float]) -> list[float]:
    return [value / 1000 for value in milliseconds]
