"""Reconciles one namespace: takes a snapshot, makes a plan, carries out the urgent effects, answers the needs of the
plan, carries out the deferrable effects, and schedules the next reconcile.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hostnetwork_operator import clock, logs, metrics
from hostnetwork_operator.act import apply, gateway
from hostnetwork_operator.act.outcomes import Outcome
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
from hostnetwork_operator.decide import contest, effects, gathering, isolate, needs, plan, settle, snapshot
from hostnetwork_operator.observe import cluster

_log = logging.getLogger(__name__)
# No other work runs while a plan is made. The tenant of a crowded namespace can cause as many plans as he likes. So, if
# making a plan takes this long, the namespace then rests for three times as long: its plans use at most a quarter of
# the time.
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
    """The reconciler of all namespaces. `plans` has the latest plan of each namespace, without the changes to the
    namespace that could not be written.
    """

    def __init__(
        self,
        api: gateway.Gateway,
        server_clock: clock.ServerClock,
        measures: metrics.Metrics,
        observed_cluster: cluster.Cluster,
        memories: memory.Memories,
        when: schedule.Schedule,
        answers: answering.Needs,
        checks: gate_check.GateChecks,
        counts: pod_count.PodCounter,
        books: bookkeeping.Bookkeeper,
        lacking: shortages.Shortages,
        plans: dict[str, plan.NamespacePlan],
    ) -> None:
        self._api = api
        self._clock = server_clock
        self._metrics = measures
        self._cluster = observed_cluster
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
        """Reconcile the namespaces in the queue, until cancelled."""
        await workers.work(self._schedule.queue, self.reconcile, "reconcile")

    async def reconcile(self, name: str) -> None:
        """Observe, decide and act on one namespace. If an effect fails, all other effects are carried out first. Then
        the error of the failed effect is raised: usually a gateway.ApiError.
        """
        start = time.monotonic()
        namespace = self._cluster.store.namespace(name)
        if namespace is None:
            self._forget(name)
            return
        failure: Exception | None = await self._needs.list_stale(name, self._memories.of(namespace))
        judged = await self._judge(name)
        if judged is None:
            self._forget(name)
            return
        state, namespace_plan = judged.settled.state, judged.settled.plan
        namespace_memory = self._memories.of(state.namespace)
        self._checks.heed(judged.settled)
        application = self._application(state, namespace_memory, judged.deadline)
        await application.carry_out(namespace_plan.urgent)
        self._remember(namespace_memory, namespace_plan, application)
        if failure is None and self._needs.list_is_due(namespace_plan):
            # Without a new list, reports might include pods that no longer exist, and might omit others.
            self._needs.list_next(name, namespace_memory)
        elif self._schedule.queue.pressing:
            self._schedule.queue.defer(name)  # other namespaces wait for their levels and deletes
        else:
            waiting = namespace_memory.events.sendable(self._clock.monotonic())
            await application.carry_out((*waiting, *namespace_plan.deferrable))
            failure = failure or await self._needs.find(namespace_plan, namespace_memory)
        self._remember_written(namespace_memory, application)
        self._show(name, namespace_plan if application.namespace_written else plan.unchanged(namespace_plan))
        self._shortages.heed(namespace_plan, application.emitted, self._clock.now())
        telemetry.record(self._metrics, namespace_plan, application.results, time.monotonic() - start)
        await self._come_back(namespace_memory, namespace_plan, application)
        failure = next((result.error for result in application.results if result.error is not None), failure)
        if failure is not None:
            raise failure

    async def drain(self, seconds: float) -> None:
        """Stop taking work, finish the reconciles that have begun, and emit the postponed Events. Take at most
        `seconds` for all of that.
        """
        queue = self._schedule.queue
        queue.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not queue.free:
                    await self._emit_waiting()
                    await asyncio.sleep(_DRAIN_PAUSE_SECONDS)
                await self._emit_waiting(last=True)
        if lost := sum(len(namespace_memory.events) for namespace_memory in self._memories):
            logs.log(_log, logging.WARNING, "events-lost", count=lost)

    async def _emit_waiting(self, *, last: bool = False) -> None:
        """Emit the postponed Events of every namespace."""
        boxes = [namespace_memory.events for namespace_memory in self._memories]
        errors = await asyncio.gather(*(box.emit_waiting(self._api, self._clock, last=last) for box in boxes))
        for error in filter(None, errors):
            logs.log(_log, logging.WARNING, "event-not-emitted", error=str(error))

    def _application(
        self, state: snapshot.NamespaceSnapshot, namespace_memory: memory.NamespaceMemory, deadline: float
    ) -> apply.Application:
        return apply.Application(
            self._api,
            state,
            self._clock,
            self._cluster.store,
            functools.partial(self._books.submit, namespace=state.namespace.name),
            namespace_memory.events,
            deadline,
            self._pace.wait,
            lambda: self._schedule.queue.closed,
        )

    async def _judge(self, name: str) -> _Judged | None:
        """Return the plan for a namespace, made from what the operator has observed, or None if there is no namespace.

        A write that revokes grants is valid for every version of the namespace. So the exceptions of these grants are
        read again before that write: a user may have renewed an exception just now.
        """
        already_read: set[needs.ReadException] = set()
        while True:
            start, cpu_start = self._clock.monotonic(), time.thread_time()
            state = self._cluster.snapshot(name)
            if state is None:
                return None
            try:
                settled = settle.settle(state, self._clock.now(), self._plans.get(name))
            except Exception as error:
                if not self._set_aside(state, error):
                    raise
                continue
            self._count_reverts(settled)
            if (seconds := time.thread_time() - cpu_start) > _LONG_PLAN_SECONDS:
                self._schedule.queue.rest(name, min(_REST * seconds, _LONGEST_REST_SECONDS))
            to_read = set(settled.plan.asks(needs.ReadException))
            if already_read >= to_read or not state.exceptions_served:
                return _Judged(settled, start + plan.FRESH_SECONDS)
            await self._needs.read_exceptions(name, to_read)
            already_read |= to_read

    def _set_aside(self, state: snapshot.NamespaceSnapshot, error: Exception) -> bool:
        """Treat the objects that make planning fail as unreadable, until they change. Return False if leaving
        objects out would not help.
        """
        culprits = isolate.culprits(state, self._clock.now())
        if culprits:
            _log.error("set-aside", exc_info=error, extra={"hno_fields": {"namespace": state.namespace.name}})
        for culprit in culprits:
            self._cluster.store.misunderstood(culprit)
        intake.log_unread(self._cluster.store)
        return bool(culprits)

    def _count_reverts(self, settled: settle.Settlement) -> None:
        """Remember that another client has reverted what the operator wrote."""
        if not settled.reverted:
            return
        namespace = settled.state.namespace
        logs.log(_log, logging.WARNING, "undone", namespace=namespace.name, keys=settled.reverted)
        namespace_memory = self._memories.of(namespace)
        namespace_memory.answers.record = settled.state.record
        namespace_memory.events.add(settled.events)

    def _remember(
        self,
        namespace_memory: memory.NamespaceMemory,
        namespace_plan: plan.NamespacePlan,
        application: apply.Application,
    ) -> None:
        """Remember the results of the urgent effects."""
        record = namespace_plan.record
        for result in application.results:
            write, error = result.effect, result.error
            if not isinstance(write, effects.WriteNamespace):
                continue
            if result.outcome is Outcome.DONE:
                record = contest.written(record, write, self._clock.now())
                self._schedule.wake(
                    namespace_plan.namespace.name
                )  # for the record in the ledger, and for the next step
            elif isinstance(error, gateway.ApiError) and error.status == 409:
                record = contest.refused(record)
            elif error is not None:
                record = contest.unsure(record, write)
        namespace_memory.answers.record = record

    def _remember_written(self, namespace_memory: memory.NamespaceMemory, application: apply.Application) -> None:
        """Remember what was written about exceptions and reports, as long as that can make another write wait."""
        now = self._clock.now()
        answers = namespace_memory.answers
        answers.written = {a: last for a, last in answers.written.items() if now < last.at + gathering.INTERVAL}
        for result in application.results:
            about = gathering.subject(result.effect) if result.outcome is Outcome.DONE else ""
            if about:
                answers.written[about] = snapshot.LastWrite(now, gathering.gist(result.effect))

    def _show(self, name: str, namespace_plan: plan.NamespacePlan) -> None:
        """Keep a plan for the metrics. Have the counts in the policy's status written if the plan changes them."""
        previous_plan, self._plans[name] = self._plans.get(name), namespace_plan
        if previous_plan is None or policy_status.counted(previous_plan) != policy_status.counted(namespace_plan):
            self._schedule.policy_changed.set()

    async def _come_back(
        self,
        namespace_memory: memory.NamespaceMemory,
        namespace_plan: plan.NamespacePlan,
        application: apply.Application,
    ) -> None:
        """Schedule the next reconcile for everything that this reconcile leaves open."""
        name = namespace_plan.namespace.name
        if application.paced_seconds:
            self._schedule.after(name, application.paced_seconds)
        if namespace_memory.events.pause_seconds:
            self._memories.bound()
            self._schedule.after(name, namespace_memory.events.pause_seconds)
        if namespace_plan.next_check is not None:
            await self._schedule.at(name, namespace_plan.next_check)
        if not namespace_memory.stale:
            for need in namespace_plan.asks(needs.ListPods):
                self._schedule.after(name, self._schedule.seconds_until(need.at))
        self._counts.heed(namespace_plan)
        vanishing = _vanishing(application.results)
        if vanishing and any(
            pod.uid in vanishing for v in namespace_plan.judged if not v.pod.watched for pod in v.pods
        ):
            self._needs.list_next(name, namespace_memory)  # no watch reports that these pods are removed
        report_outcomes = {
            result.outcome for result in application.results if isinstance(result.effect, effects.WriteReport)
        }
        if Outcome.GONE in report_outcomes:
            self._schedule.wake(name)  # creates the report again, if the report is still wanted
        if Outcome.UNSERVED in report_outcomes:
            self._schedule.wake_all()  # a kind of report that is no longer served concerns every namespace

    def _forget(self, name: str) -> None:
        """Forget a namespace that no longer exists."""
        self._memories.forget(name)
        self._plans.pop(name, None)
        self._shortages.forget(name)
        for queue in (self._schedule.queue, self._checks.queue, self._counts.queue):
            queue.drop(name)
        self._schedule.policy_changed.set()


def _vanishing(results: Sequence[apply.EffectResult]) -> set[str]:
    """Return the uids of the pods that no longer exist, or that the operator has deleted."""
    effected = (result.effect for result in results if result.outcome in {Outcome.GONE, Outcome.DELETED})
    return {effect.pod.uid for effect in effected if isinstance(effect, effects.WriteVerdict | effects.DeletePod)}
