"""Reads the workloads that Events with reason FailedCreate name. This runs concurrently with the reconciles.

A namespace is planned again when something that concerns it has been read. The plan decides what is counted and
emitted.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Final

from hostnetwork_operator import clock, logs
from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import labels
from hostnetwork_operator.control import budget, intake, loops, schedule, shortages, workers
from hostnetwork_operator.decide import plan, snapshot
from hostnetwork_operator.observe import live, refused

_log = logging.getLogger(__name__)
_READS: Final = budget.Budget(burst=50, refill_seconds=0.05)  # for all namespaces together
_MOST_PAGES: Final = 50  # per list of Events: a tenant can make the list as long as he likes
_LIST_PAUSE_SECONDS: Final = 30.0
_LOG_SECONDS: Final = 60.0
_WAIT_SECONDS: Final = 60.0  # after a start, for the first list and for the reads that its Events cause


class Refused:
    """Lists Events, and reads the workloads that they name. `ready` is set when every namespace has been evaluated
    once, so that the operator knows in which namespaces enforcement is on.

    `wait_seconds` after that, whatever could not be listed and read is treated as no shortage.
    """

    def __init__(
        self,
        api: gateway.Gateway,
        server_clock: clock.ServerClock,
        taking: intake.Intake,
        lacking: shortages.Shortages,
        plans: Mapping[str, plan.NamespacePlan],
        when: schedule.Schedule,
        ready: asyncio.Event,
        wait_seconds: float = _WAIT_SECONDS,
    ) -> None:
        self._api = api
        self._clock = server_clock
        self._intake = taking
        self._shortages = lacking
        self._plans = plans
        self._schedule = when
        self._ready = ready
        self._wait_seconds = wait_seconds
        self._due = asyncio.Event()
        self._full = 0.0
        self._logged = 0
        self._complete = True  # whether the last list of Events was read to its end

    def relist(self) -> None:
        """Have the Events listed: a watch of Events has started, or has lost a line."""
        self._due.set()

    def loops(self) -> list[loops.Loop]:
        """Return the loops that list the Events when that is due, and read the workloads of claims."""
        return [
            loops.Loop("refusals-list", self._list),
            loops.Loop("refusals-read", self._read),
            loops.Loop("refusals-wait", self._wait, ends=True),
            loops.Loop("refusals-log", self._log_dropped),
        ]

    async def _wait(self) -> None:
        with loops.idle():
            await self._ready.wait()
            await asyncio.sleep(self._wait_seconds)
        if not self._shortages.complete:
            self._shortages.waited()
            self._schedule.wake_all()

    async def _list(self) -> None:
        with loops.idle():
            await self._ready.wait()
        with (
            contextlib.suppress(TimeoutError),
            loops.idle(),
        ):  # list even if the watch does not start: the log then says why
            async with asyncio.timeout(_LIST_PAUSE_SECONDS):
                await self._due.wait()
        self._due.set()
        while True:
            with loops.idle():
                await self._due.wait()
            self._due.clear()
            try:
                last_namespace = await self._list_once()
                self._log_completeness(last_namespace)
                if self._shortages.listed(last_namespace):
                    self._schedule.wake_all()
            except gateway.ApiError as error:
                rights = "; run kubectl apply -k manifests/base to grant the operator's rights"
                remedy = rights if error.status == 403 else ""
                logs.log(_log, logging.WARNING, "refusals-not-listed", error=f"{error}{remedy}")
                self._due.set()
            except Exception:
                _log.exception("refusals-crashed")
                self._due.set()
            await loops.sleep(_LIST_PAUSE_SECONDS)

    async def _list_once(self) -> str | None:
        """Make a claim of every Event. Return None or, if the list is too long to be read to its end, the namespace of
        the last Event that was read.
        """
        page_count, last_namespace = 0, ""
        async for event_page in live.pages(self._api, refused.EVENTS_PATH):
            if page_count == _MOST_PAGES:
                return last_namespace
            page_count += 1
            for body in event_page.items:
                self._intake.claimed(body)
                last_namespace = str((body.get("metadata") or {}).get("namespace"))
        return None

    def _log_completeness(self, last_namespace: str | None) -> None:
        """Log whether the list of Events was read to its end, if the list before was different."""
        complete = last_namespace is None
        if complete and not self._complete:
            logs.log(_log, logging.INFO, "refusals-list-complete")
        if not complete and self._complete:
            fields = {"pages": _MOST_PAGES, "last_namespace": last_namespace}
            logs.log(_log, logging.WARNING, "refusals-list-incomplete", **fields)
        self._complete = complete

    async def _log_dropped(self) -> None:
        while True:
            await loops.sleep(_LOG_SECONDS)
            self._shortages.sweep()
            dropped = self._shortages.dropped
            if dropped > self._logged:
                logs.log(_log, logging.WARNING, "refusal-events-dropped", events=dropped - self._logged)
                self._logged = dropped

    async def _read(self) -> None:
        await workers.work(self._shortages.queue, self._next, "refusal")

    async def _next(self, name: str) -> None:
        """Read one workload of a namespace if one is due. Then the other namespaces take their turns."""
        shortages = self._shortages
        claim, seconds = shortages.next(name)
        if claim is not None:
            shortages_before = shortages.of(name)
            try:
                await self._look(claim)
            except Exception:
                shortages.later(claim)
                raise
            finally:
                shortages.queue.add(name)  # for the other workloads, and for this one when it is due again
                if shortages_before != shortages.of(name):
                    self._schedule.wake(name)
        elif seconds < float("inf"):
            shortages.queue.add_after(name, seconds)

    async def _look(self, claim: snapshot.Reference) -> None:
        name = claim.namespace
        if not self._enforced(name):
            self._shortages.drop(claim)
            return
        wait_seconds, self._full = _READS.spend(self._full, self._clock.monotonic())
        while wait_seconds > 0:
            await asyncio.sleep(wait_seconds)
            wait_seconds, self._full = _READS.spend(self._full, self._clock.monotonic())
        try:
            shortage = await refused.read(self._api, claim, self._clock.now())
        except gateway.ApiError as error:
            if not error.gone:
                self._shortages.later(claim)
                logs.log(_log, logging.WARNING, "refusal-not-read", namespace=name, error=str(error))
                return
            shortage = refused.NoShortage.NOTHING
        match shortage:
            case snapshot.Shortage():
                self._shortages.keep(shortage)
            case refused.NoShortage.ENOUGH:
                self._shortages.enough(claim)
            case _:
                self._shortages.drop(claim)

    def _enforced(self, name: str) -> bool:
        """Return whether enforcement is on in a namespace, or not known yet."""
        namespace_plan = self._plans.get(name)
        return namespace_plan is None or namespace_plan.enforcement is labels.Enforcement.DENY
