"""Reads the workloads that Events with reason FailedCreate name, beside the work on the namespaces.

A namespace is planned again when something was read that concerns it: what is counted and emitted is decided there.
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
_READS: Final = budget.Budget(burst=50, refill_seconds=0.05)  # of all namespaces together
_MOST_PAGES: Final = 50  # of a list of Events, which a tenant makes as long as he likes
_LIST_PAUSE_SECONDS: Final = 30.0
_LOG_SECONDS: Final = 60.0
_WAIT_SECONDS: Final = 60.0  # at a start, for the first list and the reads that its Events lead to


class Refused:
    """Claims in, reads out. `ready`: every namespace was judged once, so that what is enforced is known.

    At the latest `wait_seconds` after that, what could not be listed and read counts as nothing.
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

    def relist(self) -> None:
        """Have the Events listed: a watch of them has begun, or has lost a line."""
        self._due.set()

    def loops(self) -> list[loops.Loop]:
        """List the Events when that is due, and read what claims lead to."""
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
        if not self._shortages.known:
            self._shortages.waited()
            self._schedule.wake_all()

    async def _list(self) -> None:
        with loops.idle():
            await self._ready.wait()
        with (
            contextlib.suppress(TimeoutError),
            loops.idle(),
        ):  # also where the watch does not begin, so that the log says why
            async with asyncio.timeout(_LIST_PAUSE_SECONDS):
                await self._due.wait()
        self._due.set()
        while True:
            with loops.idle():
                await self._due.wait()
            self._due.clear()
            try:
                pages = 0
                async for page in live.pages(self._api, refused.EVENTS_PATH):
                    for body in page.items:
                        self._intake.claimed(body)
                    pages += 1
                    if pages == _MOST_PAGES:
                        break
                if self._shortages.listed():
                    self._schedule.wake_all()
            except gateway.ApiError as error:
                remedy = "; kubectl apply -k manifests/base gives the operator's rights" if error.status == 403 else ""
                logs.log(_log, logging.WARNING, "refusals-not-listed", error=f"{error}{remedy}")
                self._due.set()
            except Exception:
                _log.exception("refusals-crashed")
            await loops.sleep(_LIST_PAUSE_SECONDS)

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
        """Read one workload of a namespace, if one is due; then the others take their turns."""
        shortages = self._shortages
        claim, seconds = shortages.next(name)
        if claim is not None:
            before = shortages.of(name)
            try:
                await self._look(claim)
            except Exception:
                shortages.later(claim)
                raise
            finally:
                shortages.queue.add(name)  # the others, and this one when it is due again
                if before != shortages.of(name):
                    self._schedule.wake(name)
        elif seconds < float("inf"):
            shortages.queue.add_after(name, seconds)

    async def _look(self, claim: snapshot.Reference) -> None:
        name = claim.namespace
        if not self._enforced(name):
            self._shortages.drop(claim)
            return
        early, self._full = _READS.spend(self._full, self._clock.monotonic())
        while early > 0:
            await asyncio.sleep(early)
            early, self._full = _READS.spend(self._full, self._clock.monotonic())
        try:
            found = await refused.read(self._api, claim, self._clock.now())
        except gateway.ApiError as error:
            if not error.gone:
                self._shortages.later(claim)
                logs.log(_log, logging.WARNING, "refusal-not-read", namespace=name, error=str(error))
                return
            found = refused.Standing.NOTHING
        match found:
            case snapshot.Shortage():
                self._shortages.keep(found)
            case refused.Standing.ENOUGH:
                self._shortages.enough(claim)
            case _:
                self._shortages.drop(claim)

    def _enforced(self, name: str) -> bool:
        """Whether enforcement is on in a namespace, or nobody knows yet."""
        made = self._plans.get(name)
        return made is None or made.enforcement is labels.Enforcement.DENY
