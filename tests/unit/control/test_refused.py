"""Which workloads lack pods is not known at a start.

It is known once the Events are listed and their workloads are read, or once the time is up.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from hostnetwork_operator import bodies, clock, metrics
from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import loops, operator, refused
from hostnetwork_operator.observe import refused as events
from hostnetwork_operator.observe import store
from tests.unit.builders import NAMESPACE, denied, planned, seen, shortage
from tests.unit.control.test_session import namespace
from tests.unit.observe.test_refused import event, workload

FIRST_PAGE = f"{events.EVENTS_PATH}&limit=100"


class Api:
    """An API server that lists these Events, one per page.

    `fails`: each list is refused. `breaks`: the first list fails with an error that nobody foresaw. A workload can be
    read once `reads` is set.
    """

    def __init__(self, *listed: dict[str, Any], fails: bool = False, breaks: bool = False) -> None:
        self.listed, self.fails, self.breaks = listed, fails, breaks
        self.reads = asyncio.Event()
        self.asked: list[str] = []
        self.relist: Callable[[], None] = lambda: None

    async def get(self, path: str, **_: Any) -> Any:
        self.asked.append(path)
        if not path.startswith(events.EVENTS_PATH):
            await self.reads.wait()
            status = {"currentNumberScheduled": 0, "desiredNumberScheduled": 2}
            return bodies.Answer(workload("DaemonSet", {}, status))
        if self.breaks:
            self.breaks = False
            raise ValueError("an answer that nobody foresaw")
        if self.fails:
            raise gateway.ApiError("GET", path, 403, "Forbidden", "no right")
        position = int(path.partition("continue=")[2] or 0)
        more = {"continue": str(position + 1)} if position + 1 < len(self.listed) else {}
        items = list(self.listed[position : position + 1])
        return bodies.Answer({"metadata": {"resourceVersion": "1", **more}, "items": items})


@contextlib.asynccontextmanager
async def running_core(api: Api, wait_seconds: float = 600) -> AsyncIterator[operator.Operator]:
    """Yield a core with one namespace and an empty queue, as when the operator is ready."""
    core = operator.Operator(cast("Any", api), clock.ServerClock(), metrics.Metrics())
    core.store.put(store.Kind.NAMESPACE, namespace(NAMESPACE, 1))
    ready = asyncio.Event()
    ready.set()
    refusals = refused.Refused(
        core.api, core.clock, core.intake, core.shortages, core.plans, core.schedule, ready, wait_seconds
    )
    refusals.relist()
    api.relist = refusals.relist
    task = asyncio.create_task(loops.Loops().run(refusals.loops()))
    try:
        yield core
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def wait_for_plan(core: operator.Operator) -> None:
    """Wait until the namespace is to be planned."""
    async with asyncio.timeout(10):
        assert await core.schedule.queue.take() == NAMESPACE
    core.schedule.queue.done(NAMESPACE)


async def until(probe: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not probe():
            await asyncio.sleep(0.01)


async def test_a_list_without_events_makes_every_namespace_known() -> None:
    """The operator also plans every namespace again, because nothing about refused workloads was decided before."""
    async with running_core(Api()) as core:
        assert core.shortages.of(NAMESPACE) is None
        await wait_for_plan(core)
        assert core.shortages.of(NAMESPACE) == ()


async def test_a_list_that_breaks_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the operator would know nothing about refused workloads until a watch begins again."""
    monkeypatch.setattr(refused, "_LIST_PAUSE_SECONDS", 0.05)
    async with running_core(Api(breaks=True)) as core:
        await wait_for_plan(core)
        assert core.shortages.of(NAMESPACE) == ()


async def test_a_namespace_is_planned_again_when_its_claims_are_read() -> None:
    """Until then nothing is known about the namespace, although the list is complete."""
    api = Api(event())
    async with running_core(api) as core:
        await wait_for_plan(core)  # the list is complete
        await until(lambda: len(api.asked) == 2)
        assert core.shortages.of(NAMESPACE) is None
        api.reads.set()
        await wait_for_plan(core)
        assert [lacking.workload.name for lacking in core.shortages.of(NAMESPACE) or ()] == ["agent"]


@pytest.mark.parametrize("api", [Api(fails=True), Api(event())], ids=["no list", "no read"])
async def test_after_a_while_what_is_not_read_counts_as_nothing(api: Api) -> None:
    """A list that fails, or a workload that cannot be read, does not delay reports for ever."""
    async with running_core(api, 0.2) as core:
        await until(lambda: core.shortages.complete)
        await wait_for_plan(core)
        assert core.shortages.of(NAMESPACE) == ()


async def test_a_list_that_is_not_read_to_its_end_is_not_complete(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only the namespaces before the last one that was read are listed in full, and only their counts are complete.

    That includes a namespace without Events. The log has one line per change.
    """
    monkeypatch.setattr(refused, "_MOST_PAGES", 3)
    monkeypatch.setattr(refused, "_LIST_PAUSE_SECONDS", 0.01)
    names = ("a", "b", "b", "b", "z")
    api = Api(*(event(metadata={"name": "agent.1", "namespace": name}, namespace=name) for name in names))
    api.reads.set()

    def logged_events() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.getMessage().startswith("refusals-list")]

    async def names_in_full(core: operator.Operator) -> list[bool]:
        for _ in range(2):  # the second list begins when the first has ended
            lists = api.asked.count(FIRST_PAGE)
            api.relist()
            await until(lambda lists=lists: api.asked.count(FIRST_PAGE) > lists)
        return [core.shortages.listed_in_full(name) for name in ("a", "b-x", "b", "z", NAMESPACE)]

    with caplog.at_level("INFO"):
        async with running_core(api) as core:
            await until(lambda: core.shortages.of("a") is not None)
            assert await names_in_full(core) == [True, True, False, False, False]
            assert logged_events() == ["refusals-list-incomplete"]
            api.listed = api.listed[:3]
            assert await names_in_full(core) == [True] * 5
            assert logged_events() == ["refusals-list-incomplete", "refusals-list-complete"]


async def test_without_a_list_no_count_is_complete() -> None:
    """After the deadline the reports continue, but the operator does not count a zero that no list has shown."""
    async with running_core(Api(fails=True), 0.2) as core:
        await until(lambda: core.shortages.complete)
        state = core.cluster.snapshot(NAMESPACE)
        assert state is not None
        assert (state.shortages, state.shortages_complete) == ((), False)


async def test_the_metric_leaves_out_what_is_not_known() -> None:
    """A namespace has a count once its shortages are known, and no zero before that."""
    measures = metrics.Metrics()
    core = operator.Operator(cast("Any", None), clock.ServerClock(), measures)
    known, unknown = (
        planned(seen(namespace=denied(), shortages=namespace_shortages))
        for namespace_shortages in ((shortage(),), None)
    )
    core.plans |= {"counted": known, "unknown": unknown}
    measures.gather()
    lines = [
        line for line in measures.text().decode().splitlines() if line.startswith("hostnetwork_refused_workloads{")
    ]
    assert lines == ['hostnetwork_refused_workloads{namespace="counted"} 1.0']
