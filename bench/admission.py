"""What the policies add to creating an ordinary pod, compared with no policy, a trivial policy and a webhook.

Every place gets a create in each round, in a new order per round. So other load on the machine affects all places
alike. There are one or eight parallel clients, in dry runs or for real.
"""

import concurrent.futures
import contextlib
import dataclasses
import random
import time
from collections.abc import Iterable
from typing import Any

from bench import figures, places
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


def measure() -> list[figures.Row]:
    with contextlib.ExitStack() as stack:
        all_places = places.build(stack)
        rows: list[figures.Row] = []
        for mode in _MODES:
            say(f"admission: {mode}, {mode.rounds} rounds of {len(all_places)} places")
            rows += _rows(mode, _alternate(all_places, mode))
        return rows + _covered(all_places)


def _rows(mode: Mode, values: dict[str, list[float]]) -> list[figures.Row]:
    rows = [figures.spread(f"pod create, {mode}: {name}", milliseconds) for name, milliseconds in values.items()]
    added = {name: _added(values, name) for name in values if name != places.BARE}
    rows += [figures.spread(f"added, {mode}: {name}", milliseconds) for name, milliseconds in added.items()]
    if mode != _MODES[0]:
        return rows
    bare, trivial = rows[0].quantile(0.5), _median(added[places.TRIVIAL])
    beyond_labels = [ours - psa for ours, psa in zip(values[places.ENFORCED], values[places.PSA], strict=True)]
    share = {name: 100 * _median(added[name]) / bare for name in added}
    return [
        *rows,
        figures.single("added, of a create: A/A, the noise", share[places.AGAIN], "%"),
        figures.single("added, of a create: ours, exempt", share[places.EXEMPT], "%"),
        figures.single("added, of a create: ours, enforced", share[places.ENFORCED], "%", at_most=2),
        figures.single(
            "added, of a create: ours, enforced, beyond the labels'", 100 * _median(beyond_labels) / bare, "%"
        ),
        *(
            figures.single(f"added, times the trivial policy's: {name}", _median(added[name]) / trivial, "x", 1.5)
            for name in places.RELAXED.values()
        ),
    ]


def _covered(all_places: dict[str, places.Place]) -> list[figures.Row]:
    """Measure the excepted pod itself, which pays for reading all grants, beside the same pod without a policy."""
    chosen = {name: all_places[name] for name in (places.BARE, places.TRIVIAL, *places.RELAXED.values())}
    mode = dataclasses.replace(_MODES[0], rounds=300)
    say(f"admission: an excepted pod, {mode.rounds} rounds of {len(chosen)} places")
    values = _alternate(chosen, mode, host=True)
    return [
        figures.spread(f"excepted pod create, {mode}: {name}", milliseconds) for name, milliseconds in values.items()
    ]


def _alternate(all_places: dict[str, places.Place], mode: Mode, *, host: bool = False) -> dict[str, list[float]]:
    """Return the milliseconds per place, with the rounds in step."""
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


def _added(values: dict[str, list[float]], name: str) -> list[float]:
    """Return by how much a place took longer than the place without policies, per round."""
    return [with_policies - without for with_policies, without in zip(values[name], values[places.BARE], strict=True)]


def _median(values: list[float]) -> float:
    return figures.spread("", values).quantile(0.5)
