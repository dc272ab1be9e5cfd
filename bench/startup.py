"""The time, writes, CPU and memory from the start of the process until every offender is reported."""

import dataclasses
import time
from typing import Any

from bench import audit, figures, streams, usage
from bench.world import OFFENDERS, VERDICT, World, say

_POLL_SECONDS = 0.02
_DEADLINE_SECONDS = 300.0
_AFTER_SECONDS = 10.0  # writes after the last report (the policy's status) belong to the start too


@dataclasses.dataclass(slots=True)
class _Progress:
    began: float
    ready: float = 0.0
    cpu_seconds: float = 0.0
    rss: float = 0.0


def measure(world: World) -> list[figures.Row]:
    labels, events = streams.Moments(), streams.Moments()

    def note_event(moment: float, body: dict[str, Any]) -> None:
        if body["reason"].startswith("HostNamespaces"):
            events.note(body["involvedObject"]["uid"], moment)

    with (
        streams.Watch(
            world.cluster,
            f"/api/v1/pods?labelSelector={VERDICT}",
            lambda moment, body: labels.note(body["metadata"]["uid"], moment),
        ),
        streams.Watch(world.cluster, "/api/v1/events", note_event),
    ):
        since = audit.now()
        progress = _Progress(time.monotonic())
        world.operator.start(ready=False)
        _follow(world, progress, labels, events)
    say(f"all reported; {_AFTER_SECONDS:.0f} s for what is written afterwards")
    time.sleep(_AFTER_SECONDS)
    return [*_times(world, progress, labels, events), *_costs(world, progress, since)]


def _follow(world: World, progress: _Progress, labels: streams.Moments, events: streams.Moments) -> None:
    """Wait until all offenders are labelled and reported and the operator is ready.

    Raise AssertionError after the deadline, with the progress so far.
    """
    uids, pid = world.offenders, world.operator.pid
    while True:
        counts = labels.count(uids), events.count(uids)
        if counts == (OFFENDERS, OFFENDERS) and not progress.cpu_seconds:
            progress.cpu_seconds, progress.rss = usage.cpu_seconds(pid), usage.megabytes(pid, "VmRSS")
        if not progress.ready and world.operator.probe("/readyz") == 200:
            progress.ready = time.monotonic()
        if progress.ready and progress.cpu_seconds:
            return
        is_late = time.monotonic() - progress.began > _DEADLINE_SECONDS
        assert not is_late, f"labelled, reported: {counts} of {OFFENDERS}\n{world.operator.tail()}"
        assert world.operator.running(), f"the operator ended:\n{world.operator.tail()}"
        time.sleep(_POLL_SECONDS)


def _times(world: World, progress: _Progress, labels: streams.Moments, events: streams.Moments) -> list[figures.Row]:
    label_seconds = labels.latest(world.offenders) - progress.began
    event_seconds = events.latest(world.offenders) - progress.began
    uncovered = sum(value for value in _uncovered_counts(world.operator.metrics()))
    return [
        figures.single("start -> /readyz 200", progress.ready - progress.began, "s"),
        figures.single("start -> all 50 labelled", label_seconds, "s", at_most=5),
        figures.single("start -> all 50 have their Event", event_seconds, "s", at_most=5),
        figures.single("offenders that /metrics does not count", OFFENDERS - uncovered, "pods", at_most=0),
    ]


def _costs(world: World, progress: _Progress, since: float) -> list[figures.Row]:
    requests = audit.by_operator(world.cluster, since)
    writes = [request for request in requests if request.writes]
    rows = [
        figures.single("start: CPU until all 50 reported", progress.cpu_seconds, "CPU s", at_most=3),
        figures.single("start: RSS when all 50 are reported", progress.rss, "MB", at_most=100),
        figures.single(
            "start: most RSS so far (VmHWM)", usage.megabytes(world.operator.pid, "VmHWM"), "MB", at_most=100
        ),
        figures.single("start: writes, all", len(writes), "requests", at_most=150),
    ]
    for name, number in audit.counts(requests).items():
        rows.append(figures.single(f"start:   {name}", number, "requests"))
    return rows


def _uncovered_counts(text: str) -> list[float]:
    lines = [line for line in text.splitlines() if line.startswith("hostnetwork_pods{") and '"Uncovered"' in line]
    return [float(line.rpartition(" ")[2]) for line in lines]
