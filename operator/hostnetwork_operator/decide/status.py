"""The status of an exception, from how it stands and which pods it has."""

import datetime
from collections.abc import Sequence
from typing import Final

from hostnetwork_operator.api import conditions, exception, grant, labels
from hostnetwork_operator.decide import coverage, snapshot, validity

_SAMPLE = 10  # pods named in a status; the count is exact
# How long after the end of its grace a pod that is still there is called overdue: a kubelet needs seconds.
OVERDUE: Final = datetime.timedelta(seconds=60)


def status_for(
    standing: validity.Standing,
    namespace: snapshot.Namespace,
    verdicts: Sequence[coverage.PodVerdict],
    enforcement: labels.Enforcement | None,
    now: datetime.datetime,
) -> exception.ExceptionStatus:
    """The status that should stand; equal to the present one where nothing changed."""
    subject = standing.exception
    present = subject.status
    covered = pods_with(labels.Verdict.COVERED, subject, verdicts)
    remaining = _pods_with(labels.Verdict.EXPIRED, subject, verdicts)
    made = present.conditions
    for kind, true, reason, message in _conditions(standing, covered, remaining, enforcement, now):
        made = conditions.set_condition(
            made,
            conditions.Condition(
                type=kind,
                status="True" if true else "False",
                observed_generation=subject.metadata.generation,
                last_transition_time=now.replace(microsecond=0),
                reason=reason,
                message=message,
            ),
        )
    last_used = now.replace(microsecond=0) if present.covered_pods and not covered else present.last_used_time
    return exception.ExceptionStatus(
        observed_generation=subject.metadata.generation,
        namespace_uid=(present.namespace_uid if standing.reason is conditions.Ready.NOT_APPROVED else namespace.uid),
        conditions=made,
        covered_pods=len(covered),
        sample_pods=tuple(covered[:_SAMPLE]),
        last_used_time=last_used,
    )


def pods_with(
    kind: labels.Verdict, subject: exception.HostNetworkException, verdicts: Sequence[coverage.PodVerdict]
) -> list[str]:
    """Names of the pods that have this verdict by this exception."""
    return [pod.name for pod in _pods_with(kind, subject, verdicts)]


def _pods_with(
    kind: labels.Verdict, subject: exception.HostNetworkException, verdicts: Sequence[coverage.PodVerdict]
) -> list[snapshot.Pod]:
    uid = subject.metadata.uid
    found = [v.pod for v in verdicts if v.verdict is kind and uid in {e.metadata.uid for e in v.exceptions}]
    return sorted(found, key=lambda pod: pod.name)


def _conditions(
    standing: validity.Standing,
    covered: Sequence[str],
    remaining: Sequence[snapshot.Pod],
    enforcement: labels.Enforcement | None,
    now: datetime.datetime,
) -> list[tuple[str, bool, str, str]]:
    kind = conditions.ConditionType
    made = [
        (kind.READY.value, standing.in_force, standing.reason.value, standing.why),
        (kind.IN_USE.value, *_in_use(covered)),
    ]
    if standing.expired:
        made.append((kind.CLEANED_UP.value, *_cleaned_up(standing.exception, remaining, enforcement, now)))
    return made


def _in_use(covered: Sequence[str]) -> tuple[bool, str, str]:
    if not covered:
        return False, "NoPods", "no pod is covered by it"
    return True, "PodsCovered", f"{len(covered)} pod{'s' * (len(covered) > 1)} covered by it"


def _cleaned_up(
    subject: exception.HostNetworkException,
    remaining: Sequence[snapshot.Pod],
    enforcement: labels.Enforcement | None,
    now: datetime.datetime,
) -> tuple[bool, str, str]:
    if not remaining:
        return True, "NoPods", "no pod of it is left"
    names = ", ".join(pod.name for pod in remaining[:_SAMPLE])
    overdue = [(pod.to_be_gone, pod) for pod in remaining if pod.to_be_gone and now >= pod.to_be_gone + OVERDUE]
    if overdue:
        shown = ", ".join(
            f"{pod.name} since {grant.format_time(since)}" + (f" on node {pod.node}" if pod.node else "")
            for since, pod in overdue[:_SAMPLE]
        )
        remedy = "ask their nodes (kubectl get node) and look for finalizers; the operator forces nothing"
        return False, "DeletionPending", f"pods were deleted and do not go: {shown}; {remedy}"
    if not subject.spec.deletes:
        return False, "Reported", f"pods remain, and are flagged only: {names}; delete them or write a new exception"
    if enforcement not in {labels.Enforcement.DENY, labels.Enforcement.HELD}:
        return False, "NotEnforced", f"pods remain, and nothing is deleted where nothing is enforced: {names}"
    return False, "Deleting", f"pods are being deleted: {names}"
