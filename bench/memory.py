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
    with crowd.Crowd(pods, _RESYNC_SECONDS) as full:
        began = time.monotonic()
        full.operator.start(ready=False)
        _until(full, "ready", lambda: full.operator.probe("/readyz") == 200)
        _until(full, "all labelled", lambda: full.reported() == full.host_pods)
        took, pid = time.monotonic() - began, full.operator.pid
        cpu, reported = usage.cpu_seconds(pid), usage.megabytes(pid, "VmRSS")
        say(f"all {full.host_pods} labelled; {_LISTS} more lists of everything")
        last = _listed(full)
        for _ in range(_LISTS):
            _until(full, "another list of all pods", lambda last=last: _listed(full) > last)  # type: ignore[misc]
            last = _listed(full)
        name = f"{full.host_pods} offenders"
        rows = [
            figures.single(f"memory: start -> {name} labelled, /readyz 200", took, "s"),
            figures.single("memory: CPU until then", cpu, "CPU s"),
            figures.single("memory: RSS then", reported, "MB", at_most=100),
            figures.single(f"memory: RSS after {_LISTS} resyncs", usage.megabytes(pid, "VmRSS"), "MB", at_most=100),
            figures.single("memory: most RSS so far (VmHWM)", usage.megabytes(pid, "VmHWM"), "MB", at_most=100),
        ]
        return rows + detection.measure_held(full, _DETECTED)


def _listed(full: crowd.Crowd) -> float:
    found = _LISTED.search(full.operator.metrics())
    return float(found[1]) if found else 0.0


def _until(full: crowd.Crowd, what: str, done: Callable[[], bool]) -> None:
    until = time.monotonic() + _DEADLINE_SECONDS
    while not done():
        assert time.monotonic() < until, f"not yet: {what}\n{full.operator.tail()}"
        assert full.operator.running(), f"the operator ended:\n{full.operator.tail()}"
        time.sleep(_POLL_SECONDS)
