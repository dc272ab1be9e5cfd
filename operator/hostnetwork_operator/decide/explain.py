"""Why a workload has its verdict: each exception with the first condition that is not met, and what puts it right."""

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

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
    verdict right, and is empty if nothing needs to be put right. `commands` do that, or show more. `drafts`: the remedy
    is another exception.
    """

    workload: inventory.HostWorkload
    from_template: bool
    considered: tuple[Considered, ...]
    namespace: inventory.GovernedNamespace
    held_by: str
    remedy: str
    commands: tuple[str, ...]
    drafts: bool


def explain(
    state: snapshot.NamespaceSnapshot,
    namespace_plan: plan.NamespacePlan,
    top: snapshot.Reference,
    template: snapshot.Pod,
    now: datetime.datetime,
    *,
    exceptions: bool = True,
    approvals: bool = True,
) -> Explanation | None:
    """Return why the pods of a workload have their verdict; None if they share no host namespace.

    `top` is the workload, or the pod itself. `template` is a pod as the template of the workload makes it now.
    `exceptions` and `approvals` say what was read, as for inventory.as_known.
    """
    verdicts = [v for v in namespace_plan.verdicts if top.uid in {v.pod.uid, report.top_owner(v.pod, state.tops).uid}]
    from_template = not verdicts
    if verdicts:
        workload = inventory.of_pods(top, verdicts)
        pod = next(v.pod for v in verdicts if v.verdict is workload.verdict)
    elif template.host_namespaces:
        # An exception that ended before now covers no pod that is created now.
        pod = replace(template, namespace=state.namespace.name, created=max(template.created, now))
        verdict = coverage.judge(pod, namespace_plan.standings, exempt=namespace_plan.exempt)
        verdict = inventory.as_known(verdict, namespace_plan.standings, exceptions=exceptions, approvals=approvals)
        workload = inventory.of_template(top, verdict)
    else:
        return None
    considered = [_consider(standing, pod) for standing in namespace_plan.standings]
    order = [criterion.value for criterion in coverage.Criterion]
    considered.sort(key=lambda each: (-len(order) if each.covers else -order.index(each.failed), each.name))
    remedy = _remedy(workload, considered, now)
    return Explanation(
        workload=workload,
        from_template=from_template,
        considered=tuple(considered),
        namespace=inventory.namespace(state, namespace_plan),
        held_by=state.namespace.annotations.get(labels.HELD_BY, ""),
        remedy=remedy.text,
        commands=remedy.commands,
        drafts=remedy.drafts,
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


class _Remedy(NamedTuple):
    """What puts a verdict right, as a sentence and as commands, and whether that is another exception."""

    text: str
    commands: tuple[str, ...] = ()
    drafts: bool = False


def _remedy(workload: inventory.HostWorkload, considered: Sequence[Considered], now: datetime.datetime) -> _Remedy:
    match workload.verdict:
        case labels.Verdict.COVERED | labels.Verdict.EXEMPT | labels.Verdict.STATIC:
            return _Remedy("")
        case labels.Verdict.UNKNOWN:
            return _Remedy("ask a person who may read what was not looked at")
        case labels.Verdict.EXPIRED:
            return _Remedy(
                "an expiry that has passed cannot change; create an exception, or delete the pods", drafts=True
            )
    nearest = considered[0] if considered else None
    if nearest is None:
        return _Remedy("create an exception that allows what the pods use", drafts=True)
    if nearest.failed == coverage.Criterion.IN_FORCE.value and nearest.state is not conditions.Ready.EXPIRED:
        return _Remedy(
            f"exception {nearest.name!r} matches the pods; put right why the exception is not in force",
            _commands(nearest, workload.subject.namespace, now),
        )
    text = "the terms of an exception cannot change after its approval; create another that allows what the pods use"
    return _Remedy(text, drafts=True)


def _commands(considered: Considered, namespace: str, now: datetime.datetime) -> tuple[str, ...]:
    """Return the commands that put an exception into force that is not, or that show who can. The API server has
    validated both names.

    An exception that is not approved may be from a tenant, from a moment without policies. A level that the operator
    does not own may be somebody's intent. So a command that shows the object comes first.
    """
    exception = f"hne {considered.name} -n {namespace}"
    match considered.state:
        case conditions.Ready.NOT_APPROVED:
            change = json.dumps({"spec": {"review": {"time": f"{now:%Y-%m-%dT%H:%M:%SZ}"}}}, separators=(",", ":"))
            return f"kubectl get {exception} -o yaml", f"kubectl patch {exception} --type=merge -p '{change}'"
        case conditions.Ready.INVALID:
            return (f"kubectl edit {exception}",)
        case conditions.Ready.LEVEL_OWNED_BY_OTHER:
            return _writers(namespace), f"kubectl label namespace {namespace} {labels.PSA_ENFORCE}-"
        case conditions.Ready.CONTESTED:
            return (_writers(namespace),)
        case conditions.Ready.TOO_MANY | conditions.Ready.GRANT_TOO_LARGE:
            return (f"kubectl hostnetwork exceptions -n {namespace}",)
        case _:  # the policy, the guard or the ledger is not as it should be
            return ("kubectl hostnetwork doctor",)


def _writers(namespace: str) -> str:
    """Return the command that shows who says to have written which label. managedFields are a claim."""
    return f"kubectl get namespace {namespace} -o yaml --show-managed-fields"
