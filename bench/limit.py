"""The operator at the limit of Kubernetes (bench/fleet): its start, a rollout of one agent, a quiet minute.

kopf's share is measured apart in the same run (bench/kopf_alone): more of the same rollout, watched by kopf with an
empty handler.
"""

import contextlib
import math
import pathlib
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.controlplane import processes

from bench import etcd, figures, streams, usage
from bench.fleet import AGENTS, STRAY, Fleet
from bench.world import LABEL, PSA_ENFORCE, VERDICT, say

_PODS_A_SECOND = 30
_ROLLOUT_SECONDS = 60
_ALONE_SECONDS = 10  # of the rollout that kopf watches alone
_HOME = AGENTS - 2  # the agent that is rolled out: it has an exception, and a watch reports its pods
_QUIET_SECONDS = 300  # as long as it takes until everything has been listed again once
_DEADLINE_SECONDS = 900.0
_EXPIRIES = 8
_FLAGGED = figures.Goal("p99", 1000)
# In the log, when every namespace has been evaluated once, and when each has been evaluated with all pods. To look at
# the metrics would cost the operator more CPU time: it has thousands of series.
_EVALUATED, _READY = '"event": "evaluated"', '"event": "ready"'
_LAG = re.compile(r'^hostnetwork_operator_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)
_WRITES = re.compile(
    r'^hostnetwork_operator_api_requests_total\{code="[^"]+",method="(?:POST|PUT|PATCH|DELETE)"\} (\S+)$', re.MULTILINE
)


def measure(agents: int) -> list[figures.Row]:
    with Fleet(agents) as fleet:
        rows = [*_started(fleet), *_rolled_out(fleet), *_quiet(fleet)]
        return [*rows, *_alone(fleet, next(row for row in rows if "CPU a pod" in row.what))]


def curve(rows: list[figures.Row]) -> list[figures.Row]:
    """Return how each figure grows with the number of host-namespace pods: the exponent of a power law, 1 for as many
    times as there are pods.
    """
    exponents = []
    for what in dict.fromkeys(row.what for row in rows):
        of_one = [(row.pods, row.quantile(0.5)) for row in rows if row.what == what]
        points = [(math.log(pods), math.log(value)) for pods, value in of_one if pods and value > 0]
        if len(points) > 1:
            exponents.append(figures.single(f"{what}: exponent", _slope(points), ""))
    return exponents


def _slope(points: list[tuple[float, float]]) -> float:
    """Return the slope of the line with the least squares."""
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


# -- start ----------------------------------------------------------------------------------------------------------


def _started(fleet: Fleet) -> list[figures.Row]:
    began = time.monotonic()
    fleet.operator.start(ready=False)
    _until(fleet, "evaluated", lambda: _EVALUATED in fleet.operator.log.read_text())
    evaluated = time.monotonic() - began
    pid = fleet.operator.pid
    evaluated_cpu = usage.cpu_seconds(pid)
    _until(fleet, "ready", lambda: _READY in fleet.operator.log.read_text())
    seconds, cpu = time.monotonic() - began, usage.cpu_seconds(pid)
    judged = f'hostnetwork_pods{{namespace="{fleet.homes[-1]}",verdict="Covered"}} {float(fleet.nodes_count)}'
    assert judged in fleet.operator.metrics(), "pods with only hostPID are not judged"
    say(f"evaluated after {evaluated:.0f} s; settling")
    _settle(fleet)
    return [
        figures.single("limit: start -> every hostNetwork pod judged", evaluated, "s", at_most=60),
        figures.single("limit: start -> pods with only hostPID judged", seconds, "s", at_most=300),
        figures.single("limit: CPU until every hostNetwork pod is judged", evaluated_cpu, "CPU s"),
        figures.single("limit: CPU until all judged", cpu, "CPU s", at_most=90),
        figures.single("limit: CPU until all is written", usage.cpu_seconds(pid), "CPU s"),
        figures.single("limit: most RSS (VmHWM)", usage.megabytes(pid, "VmHWM"), "MB", at_most=250),
        figures.single("limit: RSS then", usage.megabytes(pid, "VmRSS"), "MB"),
        _lag(fleet, "start", {}),
    ]


def _settle(fleet: Fleet) -> None:
    """Wait until the operator has written nothing for 15 seconds."""
    last, deadline = -1.0, time.monotonic() + _DEADLINE_SECONDS
    while (now := _writes(fleet)) != last:
        assert time.monotonic() < deadline, "the operator does not stop writing"
        last = now
        time.sleep(15)


# -- a rollout ------------------------------------------------------------------------------------------------------


def _rolled_out(fleet: Fleet) -> list[figures.Row]:
    say(f"a rollout over {fleet.nodes_count} nodes, {_PODS_A_SECOND} pods a second")
    pid, lags = fleet.operator.pid, _lags(fleet)
    statuses = streams.Moments()
    ends = _expiring(fleet)
    restored = streams.Moments()

    def note_status(moment: float, body: dict[str, Any]) -> None:
        if body["metadata"]["namespace"] == fleet.homes[_HOME]:
            statuses.note(body["metadata"]["resourceVersion"], moment)

    def note_namespace(moment: float, body: dict[str, Any]) -> None:
        # A level that was lifted is restored; before that it is privileged.
        name = body["metadata"]["name"]
        if name in ends and time.time() >= ends[name] and body["metadata"]["labels"].get(PSA_ENFORCE) != "privileged":
            restored.note(name, moment)

    with (
        streams.Watch(fleet.cluster, f"/apis/{LABEL}/v1alpha1/hostnetworkexceptions", note_status),
        streams.Watch(fleet.cluster, "/api/v1/namespaces", note_namespace),
    ):
        before = len(statuses)
        cpu, began = usage.cpu_seconds(pid), time.monotonic()
        with _replacing(fleet, 0, _ROLLOUT_SECONDS) as replaced:
            flagged = _uncovered(fleet, began + _ROLLOUT_SECONDS - 5)
        count = replaced()
        used = usage.cpu_seconds(pid) - cpu
        time.sleep(10)
        written, watched_seconds = len(statuses) - before, time.monotonic() - began
        offset = time.time() - time.monotonic()
        late = [1000 * (restored.wait(name) + offset - end) for name, end in ends.items()]
    assert count >= 0.9 * _PODS_A_SECOND * _ROLLOUT_SECONDS, f"only {count} pods were replaced"
    return [
        figures.single("limit: rollout, pods replaced", count, ""),
        figures.single("limit: rollout, CPU a pod", 1000 * used / count, "ms", at_most=10),
        figures.spread("limit: rollout, uncovered pod created -> label", flagged.created, goal=_FLAGGED),
        figures.single("limit: rollout, longest behind the watch", max(flagged.watched) / 1000, "s", at_most=2),
        figures.spread("limit: rollout, expiry -> namespace restored", late, goal=_FLAGGED),
        figures.single(
            "limit: rollout, status writes of its exception in 5 s", 5 * written / watched_seconds, "", at_most=1
        ),
        _lag(fleet, "rollout", lags),
    ]


@contextlib.contextmanager
def _replacing(fleet: Fleet, first: int, seconds: int) -> Iterator[Callable[[], int]]:
    """Replace pods in a thread, from the pod `first` on. Yields how many were replaced."""
    done = 0
    failures: list[Exception] = []

    def work() -> None:
        nonlocal done
        began = time.monotonic()
        try:
            for number in range(_PODS_A_SECOND * seconds):
                time.sleep(max(0.0, began + number / _PODS_A_SECOND - time.monotonic()))
                fleet.replace(_HOME, first + number)
                done = number + 1
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield lambda: done
    finally:
        thread.join()
    if failures:
        raise failures[0]


class _Flagged(NamedTuple):
    """For each uncovered pod, the ms until its label: from its creation, and from the watch event about it."""

    created: list[float]
    watched: list[float]


def _uncovered(fleet: Fleet, until: float) -> _Flagged:
    """Create uncovered pods in enforced namespaces of other teams until `until`, one a second."""
    seen, labels, flagged = streams.Moments(), streams.Moments(), _Flagged([], [])

    def note(moment: float, body: dict[str, Any]) -> None:
        meta = body["metadata"]
        seen.note(meta["uid"], moment)
        if VERDICT in meta["labels"]:
            labels.note(meta["uid"], moment)

    with streams.Watch(fleet.cluster, f"/api/v1/pods?labelSelector={STRAY}", note):
        number = 0
        while time.monotonic() < until:
            pod = fleet.stray(fleet.teams[number % 20], f"stray-{number}")
            uid, sent = pod["metadata"]["uid"], time.monotonic()
            fleet.run([etcd.put(pod)])
            try:
                labelled = labels.wait(uid)
            except AssertionError as error:
                raise AssertionError(
                    f"{pod['metadata']['name']} has no label: {error}\n{fleet.operator.tail(60)}"
                ) from error
            flagged.created.append(1000 * (labelled - sent))
            flagged.watched.append(1000 * (labelled - seen.wait(uid)))
            number += 1
            time.sleep(max(0.0, 1 - (time.monotonic() - sent)))
    return flagged


def _expiring(fleet: Fleet) -> dict[str, float]:
    """Create exceptions that end one after the other in the rollout. Return their ends (Unix seconds) by namespace."""
    names = fleet.teams[20 : 20 + _EXPIRIES]
    first = math.ceil(time.time()) + 25
    ends = {name: float(first + 4 * number) for number, name in enumerate(names)}
    for name, end in ends.items():
        fleet.create_exception(name, end)
    lifted = set(names)
    fleet.cluster.wait("lifted levels", lambda: lifted <= fleet.labelled(f"{PSA_ENFORCE}=privileged"), 20)
    return ends


# -- a quiet minute, and kopf alone ---------------------------------------------------------------------------------


def _quiet(fleet: Fleet) -> list[figures.Row]:
    _settle(fleet)
    say(f"{_QUIET_SECONDS} s in which nothing changes")
    pid, lags = fleet.operator.pid, _lags(fleet)
    writes, cpu = _writes(fleet), usage.cpu_seconds(pid)
    time.sleep(_QUIET_SECONDS)
    used = usage.cpu_seconds(pid) - cpu
    return [
        figures.single("limit: quiet, writes in five minutes", _writes(fleet) - writes, "", at_most=0),
        figures.single("limit: quiet, share of a core", 100 * used / _QUIET_SECONDS, "%", at_most=1),
        _lag(fleet, "quiet", lags),
    ]


def _alone(fleet: Fleet, with_kopf: figures.Row) -> list[figures.Row]:
    """Stop the operator, and measure what kopf needs by itself: with its defaults, and as the operator sets it."""
    fleet.operator.stop()
    first = _PODS_A_SECOND * _ROLLOUT_SECONDS
    by_default = _kopf(fleet, first)
    tuned = _kopf(fleet, first + _PODS_A_SECOND * _ALONE_SECONDS, "as-the-operator")
    own = with_kopf.quantile(0.5) - tuned.replaced
    return [
        figures.single("limit: kopf alone, CPU a listed pod", by_default.listed, "ms"),
        figures.single("limit: kopf alone, CPU a replaced pod", by_default.replaced, "ms"),
        figures.single("limit: kopf alone, as the operator sets it, CPU a replaced pod", tuned.replaced, "ms"),
        figures.single("limit: rollout, own CPU a pod", own, "ms", at_most=2),
    ]


class _Alone(NamedTuple):
    """The CPU time that kopf needs by itself for a pod that it lists, and for one that is replaced, in ms."""

    listed: float
    replaced: float


def _kopf(fleet: Fleet, first: int, *arguments: str) -> _Alone:
    say(f"kopf alone, with an empty handler {' '.join(arguments)}")
    kubeconfig = fleet.cluster.service_account("hostnetwork-system", "hostnetwork-operator")
    command = [sys.executable, str(pathlib.Path(__file__).with_name("kopf_alone.py")), *arguments]
    component = processes.Component("kopf-alone", command, fleet.cluster.directory, detached=False)
    component.start({"KUBECONFIG": str(kubeconfig), "PATH": "/usr/bin:/bin"})
    try:
        listed = _idle(component.pid)
        with _replacing(fleet, first, _ALONE_SECONDS) as replaced:
            pass
        cpu = _idle(component.pid) - listed
        assert component.running(), f"kopf ended:\n{component.tail(20)}"
    finally:
        component.stop()
    return _Alone(1000 * listed / (fleet.nodes_count * (AGENTS - 1)), 1000 * cpu / replaced())


def _idle(pid: int) -> float:
    """Wait until a process uses less than a tenth of a core for three seconds, and return its CPU seconds."""
    cpu = usage.cpu_seconds(pid)
    while True:
        time.sleep(3)
        before, cpu = cpu, usage.cpu_seconds(pid)
        if cpu - before < 0.3:
            return cpu


# -- the operator's metrics -----------------------------------------------------------------------------------------


def _writes(fleet: Fleet) -> float:
    return sum(float(value) for value in _WRITES.findall(fleet.operator.metrics()))


def _lags(fleet: Fleet) -> dict[float, float]:
    """Return how often the event loop was at most so late, by the bounds of the metric in seconds."""
    return {float(bound): float(value) for bound, value in _LAG.findall(fleet.operator.metrics())}


def _lag(fleet: Fleet, phase: str, before: dict[float, float]) -> figures.Row:
    """Return the smallest bound of the metric that no lag exceeded since `before`."""
    since = {bound: value - before.get(bound, 0) for bound, value in _lags(fleet).items()}
    most = min(bound for bound, value in since.items() if value == max(since.values()))
    return figures.single(f"limit: {phase}, event loop lag at most", 1000 * most, "ms", at_most=50)


def _until(fleet: Fleet, what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not yet: {what}\n{fleet.operator.tail()}"
        assert fleet.operator.running(), f"the operator ended:\n{fleet.operator.tail()}"
        time.sleep(1)
