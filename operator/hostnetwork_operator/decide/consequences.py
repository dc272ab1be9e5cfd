"""What a new exception opens, and what the end of an exception does to existing pods, before anybody writes either.

A person decides by it. The operator decides anew, by what is in the cluster then. So nothing is granted and nothing is
deleted because of this module.
"""

import datetime
from dataclasses import dataclass, field, replace

from hostnetwork_operator.api import conditions, exception, labels
from hostnetwork_operator.decide import approval, coverage, plan, report, snapshot, validity


@dataclass(frozen=True, slots=True)
class Opening:
    """What a new exception for a workload opens: names of pods with host namespaces, each in the order of the names.

    `newly` are pods that no exception covers now, and `again` pods that another exception covers already. `others` are
    those of both that do not belong to the workload. In an exempt namespace the API server refuses none of them.
    """

    newly: tuple[str, ...]
    again: tuple[str, ...]
    others: tuple[str, ...]
    exempt: bool = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Ending:
    """What the end of an exception does to the pods that it covers, by name.

    The operator deletes `deleted` and flags `flagged`. Other exceptions still cover `kept`. `plain` are pods without
    host namespaces: they run on.
    """

    deleted: tuple[str, ...]
    flagged: tuple[str, ...]
    kept: tuple[str, ...]
    plain: tuple[str, ...]


def mistake(subject: exception.HostNetworkException, state: snapshot.NamespaceSnapshot, now: datetime.datetime) -> str:
    """Return why the operator would not grant an exception although the API server accepts it; '' if it would.

    An exception that breaks a rule of the HostNetworkExceptionPolicy is Invalid, also if it was in force before.
    """
    standing = _once_approved(subject, state, now)
    return standing.why if standing.reason is conditions.Ready.INVALID else ""


def opened(
    state: snapshot.NamespaceSnapshot,
    namespace_plan: plan.NamespacePlan,
    subject: exception.HostNetworkException,
    workload: snapshot.Reference,
    now: datetime.datetime,
) -> Opening:
    """Return what an exception opens that is not in the cluster yet."""
    standing = _once_approved(subject, state, now)
    covered = [verdict for verdict in namespace_plan.verdicts if coverage.covers(standing, verdict.pod).covers]
    again = [verdict.pod for verdict in covered if verdict.verdict is labels.Verdict.COVERED]
    newly = [verdict.pod for verdict in covered if verdict.verdict is not labels.Verdict.COVERED]
    others = [pod for pod in (*newly, *again) if workload.uid not in {pod.uid, report.top_owner(pod, state.tops).uid}]
    return Opening(_names(newly), _names(again), _names(others), exempt=namespace_plan.exempt)


def ended(namespace_plan: plan.NamespacePlan, name: str, end: datetime.datetime) -> Ending:
    """Return what happens to the pods of the exception of this name if it ends at `end`, a moment from now."""
    standings = namespace_plan.standings
    before = next(standing for standing in standings if standing.exception.metadata.name == name)
    subject = before.exception
    after = tuple(_ended(standing, end) if standing is before else standing for standing in standings)
    acts = namespace_plan.enforcement in {labels.Enforcement.DENY, labels.Enforcement.HELD}
    deleted, flagged, kept = [], [], []
    for pod in (each.pod for each in namespace_plan.verdicts if coverage.covers(before, each.pod).covers):
        verdict = coverage.judge(pod, after, exempt=namespace_plan.exempt)
        if verdict.verdict is labels.Verdict.COVERED:
            kept.append(pod)
        elif acts and verdict.verdict is labels.Verdict.EXPIRED and all(e.spec.deletes for e in verdict.exceptions):
            deleted.append(pod)
        else:
            flagged.append(pod)
    plain = [
        verdict.pod
        for verdict in coverage.each(namespace_plan.plain)
        if verdict.verdict is labels.Verdict.COVERED
        and subject.metadata.uid in {e.metadata.uid for e in verdict.exceptions}
    ]
    return Ending(_names(deleted), _names(flagged), _names(kept), _names(plain))


def covered(namespace_plan: plan.NamespacePlan, name: str) -> tuple[str, ...]:
    """Return the names of the pods that the exception of this name covers, also of pods without host namespaces."""
    return _names(
        [
            verdict.pod
            for verdict in (*namespace_plan.verdicts, *coverage.each(namespace_plan.plain))
            if verdict.verdict is labels.Verdict.COVERED and name in {each.metadata.name for each in verdict.exceptions}
        ]
    )


def _ended(standing: validity.Standing, end: datetime.datetime) -> validity.Standing:
    subject = standing.exception
    shorter = subject.model_copy(update={"spec": subject.spec.model_copy(update={"expiry": end})})
    return replace(
        standing, exception=shorter, reason=conditions.Ready.EXPIRED, why="the exception has ended", spares=False
    )


def _once_approved(
    subject: exception.HostNetworkException, state: snapshot.NamespaceSnapshot, now: datetime.datetime
) -> validity.Standing:
    rules = state.policy.spec.exceptions if state.policy.spec else None
    return validity.stand(subject, rules, approval.Ruling(approval.ApprovalState.APPROVED), now)


def _names(pods: list[snapshot.Pod]) -> tuple[str, ...]:
    return tuple(sorted(pod.name for pod in pods))
