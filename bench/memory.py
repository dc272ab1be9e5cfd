"""The operator's memory with very many pods: when all are reported, and while everything is listed again.

Meanwhile the benchmark also measures how soon the operator flags one more pod.
"""

import re
import time
from collections.abc import Callable

from bench import crowd, detection, figures, usage
from bench.world import say

_POLL_SECONDS = 1.0  # a poll lists by label, which costs the API server something
_DEADLINE_SECONDS = 900.0
_RESYNC_SECONDS = 60
_LISTS = 2  # complete lists of all pods to wait for, besides the first
_DETECTED = figures.Goal("p99", 1000)
_LISTED = re.compile(r'^hostnetwork_operator_last_resync_timestamp_seconds\{kind="pods-all"\} (\S+)$', re.MULTILINE)


def measure(pods: int) -> list[figures.Row]:
    with crowd.Crowd(pods, _RESYNC_SECONDS) as world:
        began = time.monotonic()
        world.operator.start(ready=False)
        _until(world, "ready", lambda: world.operator.probe("/readyz") == 200)
        _until(world, "all labelled", lambda: world.reported() == world.host_pods)
        seconds, pid = time.monotonic() - began, world.operator.pid
        cpu, reported = usage.cpu_seconds(pid), usage.megabytes(pid, "VmRSS")
        say(f"all {world.host_pods} labelled; {_LISTS} more lists of everything")
        last = _last_list(world)
        for _ in range(_LISTS):
            _until(world, "another list of all pods", lambda last=last: _last_list(world) > last)  # type: ignore[misc]
            last = _last_list(world)
        name = f"{world.host_pods} offenders"
        rows = [
            figures.single(f"memory: start -> {name} labelled, /readyz 200", seconds, "s"),
            figures.single("memory: CPU until then", cpu, "CPU s"),
            figures.single("memory: RSS then", reported, "MB", at_most=100),
            figures.single(f"memory: RSS after {_LISTS} resyncs", usage.megabytes(pid, "VmRSS"), "MB", at_most=100),
            figures.single("memory: most RSS so far (VmHWM)", usage.megabytes(pid, "VmHWM"), "MB", at_most=100),
        ]
        return rows + detection.measure_held(world, _DETECTED)


def _last_list(world: crowd.Crowd) -> float:
    match = _LISTED.search(world.operator.metrics())
    return float(match[1]) if match else 0.0


def _until(world: crowd.Crowd, what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not yet: {what}\n{world.operator.tail()}"
        assert world.operator.running(), f"the operator ended:\n{world.operator.tail()}"
        time.sleep(_POLL_SECONDS)
