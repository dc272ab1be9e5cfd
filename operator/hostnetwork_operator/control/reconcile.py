"""The way of one namespace: snapshot, plan, urgent effects, needs, deferrable effects, schedule."""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hostnetwork_operator import clock, logs, metrics
from hostnetwork_operator.act import apply, events, gateway, outbox, reports
from hostnetwork_operator.control import (
    bookkeeping,
    gate_check,
    intake,
    memory,
    pace,
    pod_count,
    policy_status,
    schedule,
    shortages,
    telemetry,
    workers,
)
from hostnetwork_operator.control import needs as answering
from hostnetwork_operator.decide import contest, effects, isolate, needs, plan, settle, snapshot
from hostnetwork_operator.observe import cluster

_log = logging.getLogger(__name__)
# A plan holds up everything else. The tenant of a crowded namespace asks for one as often as he likes, so a namespace
# whose plan takes this long rests after it, for three times as long: its plans have no more than a quarter of the time.
_LONG_PLAN_SECONDS: Final = 0.05
_REST: Final = 3.0
_LONGEST_REST_SECONDS: Final = 5.0
_DRAIN_PAUSE_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class _Judged:
    """A plan, and the monotonic moment until which the plan may be begun."""

    settled: settle.Settlement
    deadline: float


class Reconciler:
    """`plans` are the latest plans by namespace, as far as they came true."""

    def __init__(
        self,
        api: gateway.Gateway,
        server_clock: clock.ServerClock,
        measures: metrics.Metrics,
        seen: cluster.Cluster,
        memories: memory.Memories,
        when: schedule.Schedule,
        answers: answering.Needs,
        checks: gate_check.GateChecks,
        counts: pod_count.PodCounts,
        books: bookkeeping.Bookkeeper,
        lacking: shortages.Shortages,
        plans: dict[str, plan.NamespacePlan],
    ) -> None:
        self._api = api
        self._clock = server_clock
        self._metrics = measures
        self._cluster = seen
        self._memories = memories
        self._schedule = when
        self._needs = answers
        self._checks = checks
        self._counts = counts
        self._books = books
        self._shortages = lacking
        self._plans = plans
        self._pace = pace.Pace(server_clock.monotonic)

    async def work(self) -> None:
        """Reconcile what is queued, until cancelled."""
        await workers.work(self._schedule.queue, self.reconcile, "reconcile")

    async def reconcile(self, name: str) -> None:
        """Observe, decide and act on one namespace. Where an effect fails, all others come first, and then its error is
        raised: mostly a gateway.ApiError.
        """
        began = time.monotonic()
        namespace = self._cluster.store.namespace(name)
        if namespace is None:
            self._forget(name)
            return
        failure: Exception | None = await self._needs.list_stale(name, self._memories.of(namespace))
        judged = await self._judge(name)
        if judged is None:
            self._forget(name)
            return
        seen, made = judged.settled.seen, judged.settled.plan
        known = self._memories.of(seen.namespace)
        self._checks.heed(judged.settled)
        application = self._application(seen, known, judged.deadline)
        await application.carry_out(made.urgent)
        self._remember(known, made, application)
        if failure is None and self._needs.list_is_due(made):
            self._needs.list_next(name, known)  # what is to be reported may be of pods that are gone, or not of all
        elif self._schedule.queue.pressing:
            self._schedule.queue.defer(name)  # others wait for their levels and deletes
        else:
            waiting = known.events.waiting if known.events.is_open(self._clock.monotonic()) else ()
            await application.carry_out((*waiting, *made.deferrable))
            failure = failure or await self._needs.find(made, known)
        self._show(name, made if application.namespace_written else plan.unchanged(made))
        self._shortages.heed(made, application.emitted, self._clock.now())
        telemetry.record(self._metrics, made, application.outcomes, time.monotonic() - began)
        await self._come_back(known, made, application)
        failure = next((outcome.error for outcome in application.outcomes if outcome.error is not None), failure)
        if failure is not None:
            raise failure

    async def drain(self, seconds: float) -> None:
        """Take no more work, finish what is begun, and emit what waits, for so many seconds at most."""
        queue = self._schedule.queue
        queue.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not queue.free:
                    await self._emit_what_waits()
                    await asyncio.sleep(_DRAIN_PAUSE_SECONDS)
                await self._emit_what_waits(last=True)
        if lost := sum(len(known.events) for known in self._memories):
            logs.log(_log, logging.WARNING, "events-lost", count=lost)

    async def _emit_what_waits(self, *, last: bool = False) -> None:
        """Emit what waits in every namespace, each up to the first Event that is refused."""
        await asyncio.gather(*(self._emit_all(known.events, last=last) for known in self._memories))

    async def _emit_all(self, box: outbox.Outbox, *, last: bool) -> None:
        """The last time the pause after a refusal does not count: nobody comes after it."""
        for event in box.waiting if last or box.is_open(self._clock.monotonic()) else ():
            try:
                await events.emit(self._api, event, self._clock.now())
            except Exception as error:  # of one namespace: all others have theirs emitted
                logs.log(_log, logging.WARNING, "event-not-emitted", reason=event.reason, error=str(error))
                box.refused(event, self._clock.monotonic())
                return
            else:
                box.stored(event)

    def _application(
        self, seen: snapshot.NamespaceSnapshot, known: memory.NamespaceMemory, deadline: float
    ) -> apply.Application:
        return apply.Application(
            self._api,
            seen,
            self._clock,
            self._cluster.store,
            functools.partial(self._books.submit, namespace=seen.namespace.name),
            known.events,
            deadline,
            self._pace.wait,
            lambda: self._schedule.queue.closed,
        )

    async def _judge(self, name: str) -> _Judged | None:
        """Plan what is seen of a namespace; None where there is no namespace.

        A write that takes grants needs no version of the namespace, so the exceptions of these grants are read again
        first: somebody may just have renewed one.
        """
        read: set[needs.ReadException] = set()
        while True:
            moment, began = self._clock.monotonic(), time.thread_time()
            seen = self._cluster.snapshot(name)
            if seen is None:
                return None
            try:
                settled = settle.settle(seen, self._clock.now())
            except Exception as error:
                if not self._set_aside(seen, error):
                    raise
                continue
            self._count_reverts(settled)
            if (took := time.thread_time() - began) > _LONG_PLAN_SECONDS:
                self._schedule.queue.rest(name, min(_REST * took, _LONGEST_REST_SECONDS))
            asked = set(settled.plan.asks(needs.ReadException))
            if read >= asked or not seen.exceptions_served:
                return _Judged(settled, moment + plan.FRESH_SECONDS)
            await self._needs.read_exceptions(name, asked)
            read |= asked

    def _set_aside(self, seen: snapshot.NamespaceSnapshot, error: Exception) -> bool:
        """Take what no plan can be made with for unreadable, until it changes; False if that would not help."""
        found = isolate.culprits(seen, self._clock.now())
        if found:
            _log.error("set-aside", exc_info=error, extra={"hno_fields": {"namespace": seen.namespace.name}})
        for one in found:
            self._cluster.store.misunderstood(one)
        intake.log_unread(self._cluster.store)
        return bool(found)

    def _count_reverts(self, settled: settle.Settlement) -> None:
        """Remember that somebody has reverted what the operator wrote."""
        if not settled.reverted:
            return
        namespace = settled.seen.namespace
        logs.log(_log, logging.WARNING, "undone", namespace=namespace.name, keys=settled.reverted)
        known = self._memories.of(namespace)
        known.answers.record = settled.seen.record
        known.events.add(settled.events)

    def _remember(
        self, known: memory.NamespaceMemory, made: plan.NamespacePlan, application: apply.Application
    ) -> None:
        """Remember what became of the urgent effects."""
        record = made.record
        for outcome in application.outcomes:
            write, error = outcome.effect, outcome.error
            if not isinstance(write, effects.WriteNamespace):
                continue
            if outcome.word == apply.DONE:
                record = contest.written(record, write, self._clock.now())
                self._schedule.wake(made.namespace.name)  # what the ledger is to have, or what comes next
            elif isinstance(error, gateway.ApiError) and error.status == 409:
                record = contest.refused(record)
            elif error is not None:
                record = contest.unsure(record, write)
        known.answers.record = record

    def _show(self, name: str, made: plan.NamespacePlan) -> None:
        """Keep a plan for the metrics, and have the policy's counts written if they show something else now."""
        before, self._plans[name] = self._plans.get(name), made
        if before is None or policy_status.counted(before) != policy_status.counted(made):
            self._schedule.policy_changed.set()

    async def _come_back(
        self, known: memory.NamespaceMemory, made: plan.NamespacePlan, application: apply.Application
    ) -> None:
        """Schedule the next reconcile for everything that this one leaves open."""
        name = made.namespace.name
        if application.paced_seconds:
            self._schedule.after(name, application.paced_seconds)
        if known.events.pause_seconds:
            self._memories.bound()
            self._schedule.after(name, known.events.pause_seconds)
        if made.next_check is not None:
            await self._schedule.at(name, made.next_check)
        if not known.stale:
            for need in made.asks(needs.ListPods):
                self._schedule.after(name, self._schedule.seconds_until(need.at))
        self._counts.heed(made)
        unwatched = {verdict.pod.uid for verdict in made.verdicts if not verdict.pod.watched}
        if _vanishing(application.outcomes) & unwatched:
            self._needs.list_next(name, known)  # nothing else will tell
        words = {outcome.word for outcome in application.outcomes if isinstance(outcome.effect, effects.WriteReport)}
        if reports.Outcome.GONE in words:
            self._schedule.wake(name)  # to be made anew, if it is wanted still
        if reports.Outcome.UNSERVED in words:
            self._schedule.wake_all()  # a kind that is gone concerns everybody

    def _forget(self, name: str) -> None:
        """Forget a namespace that is gone."""
        self._memories.forget(name)
        self._plans.pop(name, None)
        self._shortages.forget(name)
        for queue in (self._schedule.queue, self._checks.queue, self._counts.queue):
            queue.drop(name)
        self._schedule.policy_changed.set()


def _vanishing(outcomes: Sequence[apply.Outcome]) -> set[str]:
    """Uids of the pods that were not there any more, or will not be."""
    effected = (outcome.effect for outcome in outcomes if outcome.word in {"gone", "deleted"})
    return {effect.pod.uid for effect in effected if isinstance(effect, effects.WriteVerdict | effects.DeletePod)}
