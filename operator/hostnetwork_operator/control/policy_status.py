"""Keeps the policy's status: whether the operator acts on the policy, and the counts of the whole cluster."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Final

from hostnetwork_operator import clock, logs
from hostnetwork_operator.act import gateway, outbox, policies
from hostnetwork_operator.control import bookkeeping, loops, schedule
from hostnetwork_operator.decide import coverage, plan, summary
from hostnetwork_operator.observe import store

_log = logging.getLogger(__name__)
_GATHER_SECONDS: Final = 2.0  # changes within this time are written together
_CRASHED_SECONDS: Final = 60.0


class PolicyStatusWriter:
    """The policy's status. `plans` are the latest plans of all namespaces."""

    def __init__(
        self,
        api: gateway.Gateway,
        server_clock: clock.ServerClock,
        cache: store.Store,
        plans: Mapping[str, plan.NamespacePlan],
        books: bookkeeping.Bookkeeper,
        when: schedule.Schedule,
    ) -> None:
        self._api = api
        self._clock = server_clock
        self._store = cache
        self._plans = plans
        self._books = books
        self._changed = when.policy_changed
        self._events = outbox.Outbox()

    async def keep(self) -> None:
        """Write the status whenever it has changed, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError), loops.idle():
                await asyncio.wait_for(self._changed.wait(), self._excused_seconds())
            await loops.sleep(_GATHER_SECONDS)
            self._changed.clear()
            try:
                refused = await policies.write_status(
                    self._api,
                    self._store,
                    list(self._plans.values()),
                    self._clock.state(),
                    self._books.copy.summary(),
                    self._events,
                    self._clock,
                )
            except gateway.ApiError as error:
                logs.log(_log, logging.WARNING, "policy-status-failed", error=str(error))
                self._changed.set()
            except Exception:  # concerns only the status, and no namespace waits for the status
                _log.exception("policy-status-crashed")
                self._changed.set()
                await loops.sleep(_CRASHED_SECONDS)
            else:
                if refused is not None:
                    logs.log(_log, logging.WARNING, "policy-event-failed", error=str(refused))
                if self._events:
                    self._changed.set()

    async def drain(self, seconds: float) -> None:
        """Emit the postponed Events, for at most `seconds`: no later process knows these Events."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._events.emit_waiting(self._api, self._clock, last=True)

    async def settle_ledger(self) -> None:
        """Emit what the ledger begins with, and end the ledger's state of a first start. Called when every namespace
        has been evaluated once.
        """
        policy_object, recorded = self._store.policy_object(), self._books.copy.summary()
        if policy_object is not None:
            event = summary.begun_event(policy_object, recorded, list(self._plans.values()))
            self._events.add([event] if event is not None else [])
            if (refused := await self._events.emit_waiting(self._api, self._clock)) is not None:
                logs.log(_log, logging.WARNING, "policy-event-failed", error=str(refused))
        self._books.settle()
        self._changed.set()

    def _excused_seconds(self) -> float | None:
        """Return the seconds until the status changes without a trigger: the first moment at which an incomplete
        admission policy no longer counts as half of an upgrade. Return None if there is none.
        """
        now = self._clock.now()
        moments = [guard.excused for guard in self._store.guards().values() if guard.excused is not None]
        return min(((moment - now).total_seconds() for moment in moments if moment > now), default=None)


def counted(namespace_plan: plan.NamespacePlan) -> object:
    """Return what the policy's status counts of a plan."""
    return (
        namespace_plan.exempt,
        namespace_plan.enforcement,
        namespace_plan.relaxed,
        namespace_plan.contested is None,
        coverage.count(namespace_plan.judged, namespace_plan.unreadable),
        namespace_plan.refused_count,
    )
