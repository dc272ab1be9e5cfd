"""Puts the parts of a running operator together: each part is given what it uses, and nothing else."""

import asyncio
import datetime
from typing import Final

from hostnetwork_operator import clock, metrics
from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import (
    bookkeeping,
    clock_watch,
    gate_check,
    intake,
    memory,
    needs,
    pod_count,
    policy_status,
    reconcile,
    schedule,
    shortages,
)
from hostnetwork_operator.decide import plan, snapshot
from hostnetwork_operator.observe import cluster, store

_LOOK_SECONDS: Final = 0.1


class Operator:
    """The operator of one cluster, with one gateway. No part runs before its `work` or `keep` is awaited
    (control/startup).
    """

    def __init__(
        self,
        api: gateway.Gateway,
        server_clock: clock.ServerClock,
        measures: metrics.Metrics,
        patience: datetime.timedelta = snapshot.PATIENCE,
    ) -> None:
        self.api = api
        self.clock = server_clock
        self.metrics = measures
        self.plans: dict[str, plan.NamespacePlan] = {}
        self.store = store.Store(server_clock.now)
        self.schedule = schedule.Schedule(api, self.store, server_clock)
        self.shortages = shortages.Shortages(server_clock.monotonic, patience)
        self.memories = memory.Memories(self.shortages.forget)
        namespace_schedule = self.schedule
        self.books = bookkeeping.Bookkeeper(
            api,
            self.store,
            server_clock,
            namespace_schedule.wake,
            namespace_schedule.wake_all,
            namespace_schedule.policy_changed.set,
        )
        self.intake = intake.Intake(self.store, namespace_schedule, self.books, self.shortages, self.plans)
        self.clock_watch = clock_watch.ClockWatch(api, server_clock, namespace_schedule)
        self.cluster = cluster.Cluster(
            self.store,
            self.books.view,
            self.clock_watch.trusted,
            lambda namespace: self.memories.of(namespace).answers,
            self.shortages.of,
            patience,
            self.shortages.listed_in_full,
            self.store.pods_complete,
        )
        self.gate_checks = gate_check.GateChecks(api, server_clock, self.cluster, self.memories, namespace_schedule)
        self.pod_counts = pod_count.PodCounter(api, server_clock, self.store, self.plans, namespace_schedule)
        self.policy_status = policy_status.PolicyStatusWriter(
            api, server_clock, self.store, self.plans, self.books, namespace_schedule
        )
        self.reconciler = reconcile.Reconciler(
            api,
            server_clock,
            measures,
            self.cluster,
            self.memories,
            namespace_schedule,
            needs.Needs(api, server_clock, self.store, namespace_schedule),
            self.gate_checks,
            self.pod_counts,
            self.books,
            self.shortages,
            self.plans,
        )
        measures.show(
            metrics.StateCollector(
                self.plans,
                self.store.guards,
                self.store.unread.counts,
                self.store.api_servers,
                server_clock,
                self.books.copy,
            )
        )

    def hurry(self) -> None:
        """Have the work that failed in an outage done now, because the outage is over."""
        for queue in (self.schedule.queue, self.gate_checks.queue, self.pod_counts.queue):
            queue.hurry()

    async def until_evaluated(self) -> None:
        """Wait until every namespace has been evaluated once. What that asks of the gate and of the ledger may not be
        answered yet.
        """
        while not (self.schedule.queue.idle or self.plans.keys() >= set(self.store.namespaces())):  # noqa: ASYNC110 - once
            await asyncio.sleep(_LOOK_SECONDS)

    async def until_idle(self) -> None:
        """Wait until every namespace is evaluated, recorded in the ledger, and checked by the gate if its plan asks for
        that. Work that is due later does not count.
        """
        check_queue = self.gate_checks.queue
        await self.schedule.queue.until_idle()
        while not (check_queue.idle and self.books.idle):
            await check_queue.until_idle()
            await self.books.until_idle()
            await self.schedule.queue.until_idle()
