"""The operator's cost when nothing changes, and for ordinary pods: nothing, if the watch is selective."""

import dataclasses
import functools
import re
import time
from collections.abc import Callable

from bench import audit, figures, usage
from bench.world import World, ordinary_pod, say

_SETTLING_SECONDS = 10.0  # the start's last writes (the policy's status) are not steady state
_SECONDS = 60.0
_ORDINARY = 200
_BATCHES = 3
_AFTER_SECONDS = 2.0  # for possible effects of the pods
_RECONCILES = "hostnetwork_operator_reconcile_duration_seconds_count"
_SKEW = "hostnetwork_operator_clock_skew_seconds"


@dataclasses.dataclass(frozen=True, slots=True)
class _Window:
    """The operator's activity in a period."""

    requests: list[audit.Request]
    cpu_seconds: float
    reconciles: float
    minutes: float

    @property
    def writes(self) -> int:
        return sum(request.writes for request in self.requests)


def measure(world: World) -> list[figures.Row]:
    say(f"steady state: {_SECONDS:.0f} s of nothing, {_BATCHES} x {_ORDINARY} ordinary pods, then the clock")
    time.sleep(_SETTLING_SECONDS)
    window = _window(world, lambda: time.sleep(_SECONDS))
    rows = [
        figures.single("steady: writes a minute", window.writes / window.minutes, "requests", at_most=0),
        figures.single("steady: CPU a minute", window.cpu_seconds / window.minutes, "CPU s"),
        figures.single("steady: RSS", usage.megabytes(world.operator.pid, "VmRSS"), "MB", at_most=100),
        figures.single("steady: reconciles a minute", window.reconciles / window.minutes, "reconciles"),
    ]
    for name, number in audit.counts(window.requests).items():
        rows.append(figures.single(f"steady:   {name}", number / window.minutes, "requests"))
    return [*rows, *_ordinary(world), figures.spread("steady: operator's clock behind the API server's", _clock(world))]


def _ordinary(world: World) -> list[figures.Row]:
    """Measure ordinary pods, and take the minimum of several batches.

    The operator repeats the gate check of Held namespaces every minute, which may fall into a batch.
    """
    batches = [_window(world, functools.partial(_create, world, batch)) for batch in range(_BATCHES)]
    return [
        figures.single(f"{_ORDINARY} ordinary pods: writes", max(b.writes for b in batches), "requests", at_most=0),
        figures.single(f"{_ORDINARY} ordinary pods: reconciles", min(b.reconciles for b in batches), "reconciles", 0),
        figures.single(f"{_ORDINARY} ordinary pods: CPU", min(b.cpu_seconds for b in batches), "CPU s"),
    ]


def _create(world: World, batch: int) -> None:
    teams = world.teams
    world.create_pods(
        (teams[number % len(teams)], ordinary_pod(f"later-{batch}-{number}")) for number in range(_ORDINARY)
    )
    time.sleep(_AFTER_SECONDS)


def _window(world: World, activity: Callable[[], None]) -> _Window:
    pid = world.operator.pid
    since, began = audit.now(), time.monotonic()
    cpu, reconciles = usage.cpu_seconds(pid), _metric(world, _RECONCILES)
    activity()
    return _Window(
        audit.by_operator(world.cluster, since),
        usage.cpu_seconds(pid) - cpu,
        _metric(world, _RECONCILES) - reconciles,
        (time.monotonic() - began) / 60,
    )


def _clock(world: World) -> list[float]:
    """Return the lag of the operator's clock, second by second, while the operator sends few requests.

    The operator's clock is a lower bound of the API server's clock. Both use this machine's clock, so the reported skew
    is the lag.
    """
    values = []
    for _ in range(int(_SECONDS)):
        values.append(1000 * _metric(world, _SKEW))
        time.sleep(1)
    return values


def _metric(world: World, name: str) -> float:
    match = re.search(rf"^{name} (\S+)$", world.operator.metrics(), re.MULTILINE)
    assert match, f"/metrics has no {name}"
    return float(match[1])
