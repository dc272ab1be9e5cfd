"""What the policies add to creating an ordinary pod and a covered pod, beside a trivial policy and a webhook.

Two API servers differ by more than a policy costs. So what is added is the time in a place minus the time in another
place of the same API server in the same round. Every place gets a create in each round, in a new order per round. So
other load on the machine affects all places alike. There are one or eight parallel clients, in dry runs or for real.

The ratios are of the time that the API server's own metrics name, which has less noise than the time of a create.
"""

import concurrent.futures
import contextlib
import dataclasses
import random
import time
from collections.abc import Iterable
from typing import Any

from bench import figures, places, plugins
from bench.world import LABEL, host_pod, ordinary_pod, say

_CLEAN_EVERY = 20  # rounds; existing pods make lists longer, not creates slower


@dataclasses.dataclass(frozen=True)
class Mode:
    """The number of parallel clients, whether the creates are real, and the number of rounds."""

    clients: int
    dry_run: bool = dataclasses.field(kw_only=True)
    rounds: int
    warm_up: int

    def __str__(self) -> str:
        return f"{self.clients} client{'s' * (self.clients > 1)}, {'dry run' if self.dry_run else 'real'}"


_MODES = (
    Mode(1, 1000, 150, dry_run=True),
    Mode(8, 100, 10, dry_run=True),
    Mode(1, 200, 20, dry_run=False),
    Mode(8, 40, 5, dry_run=False),
)
# Creates between two readings of the metrics, and such blocks in each place. More creates in a block have less noise by
# creates of others, more blocks a better median.
_BLOCK, _BLOCKS = 20, 40
_BEYOND = "ours, enforced, beyond the labels"
_REFUSING = (places.PSA, places.ENFORCED, places.RESTORED)  # places that refuse a host-namespace pod


def measure() -> list[figures.Row]:
    with contextlib.ExitStack() as stack:
        sides = places.build(stack)
        rows: list[figures.Row] = []
        for mode in _MODES:
            say(f"admission: an ordinary pod, {mode}, {mode.rounds} rounds")
            rows += _ordinary(mode, sides)
        return rows + _ratios(sides) + _covered(sides)


def _ordinary(mode: Mode, sides: list[places.Side]) -> list[figures.Row]:
    values = _alternate(_all(sides), mode)
    return [
        *(figures.spread(f"pod create, {mode}: {name}", milliseconds) for name, milliseconds in values.items()),
        *(
            figures.spread(f"added, {mode}: {name}", milliseconds)
            for name, milliseconds in _added(sides, values).items()
        ),
    ]


def _ratios(sides: list[places.Side]) -> list[figures.Row]:
    """Measure what admission plug-ins take for an ordinary pod, and compare ours with the trivial policy."""
    say(f"admission: plug-ins, {_BLOCKS} rounds of {_BLOCK} creates")
    added = _added(sides, _plugins(_all(sides)))
    added[_BEYOND] = [ours - levels for ours, levels in zip(added[places.ENFORCED], added[places.PSA], strict=True)]
    trivial = _median(added[places.TRIVIAL])
    goals = {places.ENFORCED: 0.5, **dict.fromkeys(places.RELAXED.values(), 1.3)}
    ratios = (places.POD_SIZE, places.PSA, places.ENFORCED, _BEYOND, places.RESTORED, *places.RELAXED.values())
    return [
        *(figures.spread(f"plug-ins, added: {name}", milliseconds) for name, milliseconds in added.items()),
        *(
            figures.single(
                f"plug-ins, times the trivial policy's: {name}", _median(added[name]) / trivial, "x", at_most
            )
            for name, at_most in ((name, goals.get(name)) for name in ratios)
        ),
    ]


def _plugins(all_places: dict[str, places.Place]) -> dict[str, list[float]]:
    """Return the milliseconds that plug-ins take for a dry-run create in each place, one value per round."""
    values: dict[str, list[float]] = {name: [] for name in all_places}
    for _ in range(_BLOCKS):
        for name in random.sample(list(all_places), len(all_places)):
            place = all_places[name]
            before = plugins.seconds(place.client)
            for _ in range(_BLOCK):
                _create((place, True, False))
            values[name].append(1000 * (plugins.seconds(place.client) - before) / _BLOCK)
    return values


def _covered(sides: list[places.Side]) -> list[figures.Row]:
    """Measure the excepted pod itself, which pays for the grants of its namespace."""
    mode = dataclasses.replace(_MODES[0], rounds=300)
    say(f"admission: a covered pod, {mode}, {mode.rounds} rounds")
    all_places = {name: place for name, place in _all(sides).items() if name not in _REFUSING}
    values = _alternate(all_places, mode, host=True)
    goals = {places.RELAXED[10]: figures.Goal("p50", 4), places.RELAXED[64]: figures.Goal("p50", 10)}
    return [
        *(figures.spread(f"covered pod create, {mode}: {name}", values[name]) for name in values),
        *(
            figures.spread(f"covered pod, added, {mode}: {name}", milliseconds, goal=goals.get(name))
            for name, milliseconds in _added(sides, values).items()
        ),
    ]


def _alternate(all_places: dict[str, places.Place], mode: Mode, *, host: bool = False) -> dict[str, list[float]]:
    """Return the milliseconds of each place, one per round and client, in the order of the rounds."""
    values: dict[str, list[float]] = {name: [] for name in all_places}
    with concurrent.futures.ThreadPoolExecutor(mode.clients) as pool:
        for number in range(mode.warm_up + mode.rounds):
            for name in random.sample(list(all_places), len(all_places)):
                milliseconds = list(pool.map(_create, [(all_places[name], mode.dry_run, host)] * mode.clients))
                if number >= mode.warm_up:
                    values[name] += milliseconds
            if not mode.dry_run and number % _CLEAN_EVERY == 0:
                _clean(all_places.values())
    if not mode.dry_run:
        _clean(all_places.values())
    return values


def _create(request: tuple[places.Place, bool, bool]) -> float:
    place, dry_run, host = request
    path = place.pods + ("?dryRun=All" if dry_run else "")
    body = host_pod("probe") if host else _restricted_pod()
    body["metadata"] = {**body["metadata"], "generateName": "probe-", "name": ""}
    began = time.perf_counter()
    answer = place.client.post(path, body)
    seconds = time.perf_counter() - began
    answer.expect(201)
    return 1000 * seconds


def _clean(all_places: Iterable[places.Place]) -> None:
    for place in all_places:
        place.client.delete(f"{place.pods}?labelSelector={LABEL}/bench", {"gracePeriodSeconds": 0}).expect(200)


def _restricted_pod() -> dict[str, Any]:
    """Return an ordinary pod that every level admits without a warning, so that no place has to write a warning."""
    body = ordinary_pod("probe")
    body["metadata"]["labels"] = {f"{LABEL}/bench": "probe"}
    body["spec"]["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    harmless = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    body["spec"]["containers"][0]["securityContext"] = harmless
    return body


def _all(sides: list[places.Side]) -> dict[str, places.Place]:
    """Return every place of every API server."""
    return {name: place for side in sides for name, place in side.places.items()}


def _added(sides: list[places.Side], values: dict[str, list[float]]) -> dict[str, list[float]]:
    """Return by how many milliseconds a place took longer than the first place of its API server, in each round."""
    return {
        name: [with_it - without for with_it, without in zip(values[name], values[side.name], strict=True)]
        for side in sides
        for name in side.places
        if name != side.name and name in values
    }


def _median(values: list[float]) -> float:
    return figures.spread("", values).quantile(0.5)
