"""Lists of a namespace's pods that are used only for counts.

The operator does not watch pods without hostNetwork. So the pods that an exception without hostNetwork covers are
counted by lists. The lists run concurrently with the reconciles, one list at a time: neither a level nor a delete may
wait for a list.
"""

from collections.abc import Mapping

from hostnetwork_operator import clock
from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import intake, schedule, workers, workqueue
from hostnetwork_operator.decide import needs, plan
from hostnetwork_operator.observe import live, store


class PodCounter:
    """The lists for counts. `queue` has the namespaces whose pods must be counted. `plans` say when a list is due."""

    def __init__(
        self,
        api: gateway.Gateway,
        server_clock: clock.ServerClock,
        cache: store.Store,
        plans: Mapping[str, plan.NamespacePlan],
        when: schedule.Schedule,
    ) -> None:
        self.queue = workqueue.WorkQueue()
        self._api = api
        self._clock = server_clock
        self._store = cache
        self._plans = plans
        self._schedule = when

    async def work(self) -> None:
        """List the pods of each namespace in the queue when the list is due, until cancelled."""
        await workers.work(self.queue, self._count, "count")

    def heed(self, namespace_plan: plan.NamespacePlan) -> None:
        """Have the pods of a plan's namespace listed if the plan asks for a count."""
        for need in namespace_plan.asks(needs.CountPods):
            self.queue.add_after(namespace_plan.namespace.name, self._schedule.seconds_until(need.at))

    async def _count(self, name: str) -> None:
        namespace_plan = self._plans.get(name)
        needed = namespace_plan.asks(needs.CountPods) if namespace_plan is not None else ()
        if not needed:
            return
        seconds_left = self._schedule.seconds_until(needed[0].at)
        if seconds_left > 0:  # another list was taken meanwhile
            self.queue.add_after(name, seconds_left)
            return
        try:
            await live.fill_pods(self._api, self._store, name, self._clock)
        finally:
            intake.log_unread(self._store)
        self._schedule.wake(name)
