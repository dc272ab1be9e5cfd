"""Why a workload has its verdict: each exception with the first condition that is not met, and what puts it right."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hostnetwork_operator.api import conditions, labels
from hostnetwork_operator.decide import coverage, inventory, plan, report, snapshot, validity


@dataclass(frozen=True, slots=True)
class Considered:
    """An exception of the namespace: whether it covers the pod, and if not, the first condition that is not met."""

    name: str
    covers: bool
    failed: str
    why: str
    state: conditions.Ready


@dataclass(frozen=True, slots=True)
class Explanation:
    """What decides about a workload, or about one pod.

    `from_template`: there is no pod, and the explanation is about the next pod of the template. `considered` are the
    exceptions, the nearest first. `held_by` is what blocks enforcement in the namespace. `remedy` says what puts the
    verdict right, and is empty if nothing needs to be.
    """

    workload: inventory.HostWorkload
    from_template: bool
    considered: tuple[Considered, ...]
    namespace: inventory.GovernedNamespace
    held_by: str
    remedy: str


def explain(
    state: snapshot.NamespaceSnapshot,
    namespace_plan: plan.NamespacePlan,
    top: snapshot.Reference,
    template: snapshot.Pod | None,
    now: datetime.datetime,
) -> Explanation | None:
    """Return why the pods of a workload have their verdict; None if there is neither such a pod nor a template.

    `top` is the workload, or the pod itself. `template` is a pod as the template of the workload makes it now.
    """
    known = inventory.verdicts_of(state, namespace_plan)
    verdicts = [v for v in known if top.uid in {v.pod.uid, report.top_owner(v.pod, state.tops).uid}]
    from_template = not verdicts
    if verdicts:
        workload = inventory.of_pods(top, verdicts)
        pod = next(v.pod for v in verdicts if v.verdict is workload.verdict)
    elif template is not None:
        # An exception that ended before now covers no pod that is created now.
        pod = replace(template, namespace=state.namespace.name, created=max(template.created, now))
        verdict = coverage.judge(pod, namespace_plan.standings, exempt=namespace_plan.exempt)
        workload = inventory.of_template(top, verdict)
    else:
        return None
    considered = [_consider(standing, pod) for standing in namespace_plan.standings]
    order = [criterion.value for criterion in coverage.Criterion]
    considered.sort(key=lambda each: (-len(order) if each.covers else -order.index(each.failed), each.name))
    return Explanation(
        workload=workload,
        from_template=from_template,
        considered=tuple(considered),
        namespace=inventory.namespace(state, namespace_plan),
        held_by=state.namespace.annotations.get(labels.HELD_BY, ""),
        remedy=_remedy(workload, considered),
    )


def _consider(standing: validity.Standing, pod: snapshot.Pod) -> Considered:
    found = coverage.covers(standing, pod)
    return Considered(
        name=standing.exception.metadata.name,
        covers=found.covers,
        failed="" if found.failed is None else found.failed.value,
        why=found.why,
        state=standing.reason,
    )


def _remedy(workload: inventory.HostWorkload, considered: Sequence[Considered]) -> str:
    """Return what puts the verdict right, as a sentence without the command."""
    match workload.verdict:
        case labels.Verdict.COVERED | labels.Verdict.EXEMPT | labels.Verdict.STATIC:
            return ""
        case labels.Verdict.UNKNOWN:
            return "read the pod yourself: kubectl get pod -o yaml"
        case labels.Verdict.EXPIRED:
            return "an expiry that has passed cannot change; create a new exception, or delete the pods"
    in_force = coverage.Criterion.IN_FORCE.value
    nearest = considered[0] if considered else None
    if nearest is not None and nearest.failed == in_force and nearest.state is not conditions.Ready.EXPIRED:
        return f"exception {nearest.name!r} matches the pods; put right why it is not in force"
    if nearest is not None:
        return "what an exception allows cannot change after its approval; create one that allows what the pods use"
    return "create an exception that allows what the pods use"
