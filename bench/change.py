"""What one plan costs after one pod has changed, by the number of pods and of exceptions in its namespace.

No cluster runs: the pods come and go in the index of the store, and the plan is made with what the plan before found.
"""

import dataclasses
import time

from tests.property import cluster
from tests.unit import builders

from bench import figures
from hostnetwork_operator.api import report
from hostnetwork_operator.decide import plan, snapshot
from hostnetwork_operator.observe import pod_index

_SIZES = ((10, 1), (1000, 1), (5000, 1), (10, 20), (10, 64), (5000, 20))  # pods, exceptions
_OWNER = snapshot.Reference("DaemonSet", builders.NAMESPACE, "agent", "uid-of-agent", "apps/v1")
_CHANGES = 300
_ROUNDS = 5


def measure() -> list[figures.Row]:
    """Return the CPU time of a change for each size, measured alternately, and the spread of the sizes."""
    changes = {size: _Changing(*size) for size in _SIZES}
    values: dict[tuple[int, int], list[float]] = {size: [] for size in _SIZES}
    for _ in range(_ROUNDS):
        for size, changing in changes.items():
            values[size].append(changing.milliseconds())
    best = {size: min(of_one) for size, of_one in values.items()}
    rows = [
        figures.spread(f"change: one plan, pods {pods}, exceptions {count} (one for these pods)", values[pods, count])
        for pods, count in _SIZES
    ]
    more = 100 * (max(best.values()) / best[_SIZES[0]] - 1)
    return [*rows, figures.single("change: the dearest above the first, best of each", more, "%", at_most=20)]


class _Changing:
    """A settled namespace in which pods are replaced, one after the other."""

    def __init__(self, pods: int, exceptions: int) -> None:
        subjects = [builders.hne("net")]
        subjects += [builders.hne(f"other-{n}", service_account_name=f"account-{n}") for n in range(exceptions - 1)]
        accounts = ["netdebug", *(f"account-{number}" for number in range(exceptions))]
        state = builders.seen(
            *(builders.pod(f"agent-{number:05}", owner=_OWNER) for number in range(pods)),
            *subjects,
            namespace=builders.denied(*subjects),
            report_kind=report.OPEN_REPORT,
            every_pod_listed=builders.NOW,
            accounts={name: snapshot.Account(builders.NOW, exists=True) for name in accounts},
        )
        self._state, _ = cluster.settled(state, builders.NOW, (), 5)
        self._pods = list(self._state.pods)
        self._index = pod_index.PodIndex()
        for pod in self._pods:
            self._index.put(pod)
        self._number = 0
        self._plan: plan.NamespacePlan | None = None

    def milliseconds(self) -> float:
        """Return the CPU time of a change: a pod is replaced, and the namespace is planned."""
        began = time.process_time()
        for _ in range(_CHANGES):
            self._change()
        return 1000 * (time.process_time() - began) / _CHANGES

    def _change(self) -> None:
        self._number += 1
        pod = self._pods[self._number % len(self._pods)]
        self._index.put(dataclasses.replace(pod, uid=f"uid-{self._number}", node=f"node-{self._number}"))
        state = dataclasses.replace(self._state, pods=self._index.pods())
        self._plan = plan.plan_namespace(state, builders.NOW, self._plan)
