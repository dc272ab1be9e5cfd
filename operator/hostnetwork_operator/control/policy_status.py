"""Keeps the status of the policy: whether the policy is acted on, and the counts of the whole cluster."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Final

from hostnetwork_operator import clock, logs
from hostnetwork_operator.act import gateway, policies
from hostnetwork_operator.control import bookkeeping, loops, schedule
from hostnetwork_operator.decide import effects, plan, refusals
from hostnetwork_operator.observe import store

_log = logging.getLogger(__name__)
_GATHER_SECONDS: Final = 2.0  # changes that come together are written together
_CRASHED_SECONDS: Final = 60.0


class PolicyStatus:
    """`plans` are the latest plans of all namespaces."""

    def __init__(
        self,
        api: gateway.Gateway,
        server_clock: clock.ServerClock,
        kept: store.Store,
        plans: Mapping[str, plan.NamespacePlan],
        books: bookkeeping.Bookkeeper,
        when: schedule.Schedule,
    ) -> None:
        self._api = api
        self._clock = server_clock
        self._store = kept
        self._plans = plans
        self._books = books
        self._changed = when.policy_changed
        self._postponed: list[effects.EmitEvent] = []

    async def keep(self) -> None:
        """Write the status whenever it says something new, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError), loops.idle():
                await asyncio.wait_for(self._changed.wait(), self._excused_seconds())
            await loops.sleep(_GATHER_SECONDS)
            self._changed.clear()
            try:
                await policies.write_status(
                    self._api,
                    self._store,
                    list(self._plans.values()),
                    self._clock.state(),
                    self._books.copy.summary(),
                    self._postponed,
                    self._clock.now(),
                )
            except gateway.ApiError as error:
                logs.log(_log, logging.WARNING, "policy-status-failed", error=str(error))
                self._changed.set()
            except Exception:  # of the status alone: no namespace waits for it
                _log.exception("policy-status-crashed")
                self._changed.set()
                await loops.sleep(_CRASHED_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Emit the Events that wait, for so many seconds at most: no later process has them again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await policies.emit_postponed(self._api, self._postponed, self._clock.now())

    async def settle_ledger(self) -> None:
        """Every namespace was judged once: say what the ledger begins with, and leave the state of a first start."""
        recorded, plans = self._books.copy.summary(), list(self._plans.values())
        try:
            await policies.emit_begun(self._api, self._store, plans, recorded, self._clock.now())
        except gateway.ApiError as error:
            logs.log(_log, logging.WARNING, "ledger-event-failed", error=str(error))
        self._books.settle()
        self._changed.set()

    def _excused_seconds(self) -> float | None:
        """How long an admission policy may still be half of an upgrade: then its status changes by itself."""
        now = self._clock.now()
        moments = [guard.excused for guard in self._store.guards().values() if guard.excused is not None]
        return min(((moment - now).total_seconds() for moment in moments if moment > now), default=None)


def counted(made: plan.NamespacePlan) -> object:
    """What the status of the policy counts of a plan."""
    return (
        made.exempt,
        made.enforcement,
        made.relaxed,
        made.contested is None,
        [verdict.verdict for verdict in made.verdicts],
        refusals.count(made.refused),
    )
