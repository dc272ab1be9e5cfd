"""Lists of a namespace's pods from which only counts come.

No watch tells of pods without hostNetwork, so what an exception for such pods covers is counted by lists. The lists run
beside the work on the namespaces and one after the other: neither a level nor a delete may wait for a list.
"""

from collections.abc import Mapping

from hostnetwork_operator import clock
from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import intake, schedule, workers, workqueue
from hostnetwork_operator.decide import needs, plan
from hostnetwork_operator.observe import live, store


class PodCounts:
    """`queue` has the namespaces whose pods are to be counted, `plans` says until when that is due."""

    def __init__(
        self,
        api: gateway.Gateway,
        server_clock: clock.ServerClock,
        kept: store.Store,
        plans: Mapping[str, plan.NamespacePlan],
        when: schedule.Schedule,
    ) -> None:
        self.queue = workqueue.WorkQueue()
        self._api = api
        self._clock = server_clock
        self._store = kept
        self._plans = plans
        self._schedule = when

    async def work(self) -> None:
        """List what is due, until cancelled."""
        await workers.work(self.queue, self._count, "count")

    def heed(self, made: plan.NamespacePlan) -> None:
        """Have the pods of a plan's namespace listed when the plan asks for that."""
        for need in made.asks(needs.CountPods):
            self.queue.add_after(made.namespace.name, self._schedule.seconds_until(need.at))

    async def _count(self, name: str) -> None:
        made = self._plans.get(name)
        asked = made.asks(needs.CountPods) if made is not None else ()
        if not asked:
            return
        left = self._schedule.seconds_until(asked[0].at)
        if left > 0:  # another list has come first
            self.queue.add_after(name, left)
            return
        try:
            await live.fill_pods(self._api, self._store, name, self._clock)
        finally:
            intake.log_unread(self._store)
        self._schedule.wake(name)
