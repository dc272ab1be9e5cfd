"""Gate checks: what would enforcement refuse of what lives in a namespace?

The checks run beside the work on the namespaces, because a check sends many requests and neither a flag nor a delete
may wait for these. A namespace is reconciled again when its check has ended. Until then only that is done in the
namespace which no answer changes.
"""

from typing import Final

from hostnetwork_operator import clock
from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import labels
from hostnetwork_operator.control import memory, schedule, workers, workqueue
from hostnetwork_operator.decide import gate, needs, plan, settle, snapshot
from hostnetwork_operator.observe import cluster, preview

# At once: each holds a page of pods in memory, and what takes the time is to read it, so that more at the same time are
# no faster. With eight the process had 50 MB more at 50,000 pods.
CHECKERS: Final = 2


class GateChecks:
    """`queue` has the namespaces that wait for a check."""

    def __init__(
        self,
        api: gateway.Gateway,
        server_clock: clock.ServerClock,
        seen: cluster.Cluster,
        memories: memory.Memories,
        when: schedule.Schedule,
    ) -> None:
        self.queue = workqueue.WorkQueue()
        self._api = api
        self._clock = server_clock
        self._cluster = seen
        self._memories = memories
        self._schedule = when

    async def work(self) -> None:
        """Check namespaces until cancelled."""
        await workers.work(self.queue, self._check, "gate-check")

    def heed(self, settled: settle.Settlement) -> None:
        """Begin a check where the plan asks for one. Forget the answer where nothing is to be held any more: the answer
        does not know what comes from now on.
        """
        made = settled.plan
        if made.asks(needs.AskGate):
            self.queue.add(made.namespace.name)
        elif made.enforcement is not labels.Enforcement.HELD and not _is_begun(settled.seen, made):
            self._memories.of(made.namespace).forget_gate()

    async def _check(self, name: str) -> None:
        """Keep what the gate says of a namespace, if the gate is to be asked still."""
        seen = self._cluster.snapshot(name)
        if seen is None:
            return
        asked = plan.plan_namespace(seen, self._clock.now()).asks(needs.AskGate)
        if not asked:
            return
        known = self._memories.of(seen.namespace)
        known.checking = True
        try:
            answer = await preview.look(self._api, seen, asked[0].level, self._clock)
        except gateway.ApiError as error:
            counted = gate.names(gate.excepted(seen, self._clock.now()))
            why = preview.explained(error.message or error.reason)
            answer = snapshot.GateAnswer(asked[0].level, self._clock.now(), failed=why, excepted=counted)
        if known.checking:
            known.answers.gate = answer
        known.checking = False
        self._schedule.wake(name)


def _is_begun(seen: snapshot.NamespaceSnapshot, made: plan.NamespacePlan) -> bool:
    """Whether enforcement is decided and not written yet: the write waits for the ledger, and until then the gate's
    answer counts. A second check would see what came in after the first.
    """
    deny = labels.Enforcement.DENY
    return made.enforcement is deny and seen.namespace.enforcement is not deny
