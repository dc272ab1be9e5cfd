"""Gate checks: what would enforcement refuse of the pods and templates that exist in a namespace?

The checks run concurrently with the reconciles: a check sends many requests, and neither a label nor a delete may wait
for them. A namespace is reconciled again when its check has ended. Until then, the operator does in the namespace only
what does not depend on the check's answer.
"""

from typing import Final

from hostnetwork_operator import clock
from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import labels
from hostnetwork_operator.control import memory, schedule, workers, workqueue
from hostnetwork_operator.decide import gate, needs, plan, settle, snapshot
from hostnetwork_operator.observe import cluster, preview

# The number of checks at the same time. Each check holds a page of pods in memory, and most of the time goes into
# reading that page, so more checks at the same time are no faster. With eight checks the process had 50 MB more at
# 50,000 pods.
CHECKERS: Final = 2


class GateChecks:
    """The gate checks of all namespaces. `queue` has the namespaces that wait for a check."""

    def __init__(
        self,
        api: gateway.Gateway,
        server_clock: clock.ServerClock,
        observed_cluster: cluster.Cluster,
        memories: memory.Memories,
        when: schedule.Schedule,
    ) -> None:
        self.queue = workqueue.WorkQueue()
        self._api = api
        self._clock = server_clock
        self._cluster = observed_cluster
        self._memories = memories
        self._schedule = when

    async def work(self) -> None:
        """Check namespaces until cancelled."""
        await workers.work(self.queue, self._check, "gate-check")

    def heed(self, settled: settle.Settlement) -> None:
        """Begin a check if the plan asks for one. Forget the gate's answer if enforcement in the namespace is no longer
        held: the answer says nothing about pods and templates that are created from now on.
        """
        namespace_plan = settled.plan
        if namespace_plan.asks(needs.AskGate):
            self.queue.add(namespace_plan.namespace.name)
        elif namespace_plan.enforcement is not labels.Enforcement.HELD and not _is_begun(settled.state, namespace_plan):
            self._memories.of(namespace_plan.namespace).forget_gate()

    async def _check(self, name: str) -> None:
        """Ask the gate about a namespace and remember the answer, if the plan still needs it."""
        state = self._cluster.snapshot(name)
        if state is None:
            return
        needed = plan.plan_namespace(state, self._clock.now()).asks(needs.AskGate)
        if not needed:
            return
        remembered = self._memories.of(state.namespace)
        remembered.checking = True
        try:
            answer = await preview.look(self._api, state, needed[0].level, self._clock)
        except gateway.ApiError as error:
            excepted = gate.names(gate.excepted(state, self._clock.now()))
            reason = preview.explained(error.message or error.reason)
            answer = snapshot.GateAnswer(needed[0].level, self._clock.now(), failed=reason, excepted=excepted)
        if remembered.checking:
            remembered.answers.gate = answer
        remembered.checking = False
        self._schedule.wake(name)


def _is_begun(state: snapshot.NamespaceSnapshot, namespace_plan: plan.NamespacePlan) -> bool:
    """Return whether enforcement is decided but not yet written. The write waits for the ledger, and until the write
    the gate's answer counts. A second check would include pods and templates that were created after the first.
    """
    deny = labels.Enforcement.DENY
    return namespace_plan.enforcement is deny and state.namespace.enforcement is not deny
