"""The status of an exception, from its standing and from the verdicts on its pods."""

import datetime
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from hostnetwork_operator.api import conditions, exception, grant, labels
from hostnetwork_operator.api.conditions import CleanedUp, Expiring, InUse, ReviewDue
from hostnetwork_operator.api.report import Result
from hostnetwork_operator.decide import coverage, findings, rules, snapshot, unused, validity
from hostnetwork_operator.decide.rules import mixed_namespace

# Pods named in a status, and pods that get an Event about the end of their exception. `covered_pods` counts all.
SAMPLE: Final = 10
# How long after the end of its grace period a pod that still exists is called overdue: a kubelet needs seconds.
OVERDUE: Final = datetime.timedelta(seconds=60)
# Findings that come and go are conditions, so that the status remembers them: the condition and its reason.
_SHOWN: Final = {
    rules.EXPIRING: (conditions.ConditionType.EXPIRING, Expiring.ENDS_SOON),
    rules.REVIEW_DUE: (conditions.ConditionType.REVIEW_DUE, ReviewDue.OVERDUE),
    rules.UNUSED: (conditions.ConditionType.IN_USE, InUse.UNUSED),
    rules.TOO_WIDE: (conditions.ConditionType.IN_USE, InUse.TOO_WIDE),
}
_REVIEWED: Final[dict[Result, tuple[conditions.Word, ReviewDue]]] = {
    Result.WARN: ("True", ReviewDue.OVERDUE),
    Result.PASS: ("False", ReviewDue.REVIEWED),
    Result.SKIP: ("Unknown", ReviewDue.VERSION_NOT_SAID),
}


def status_for(
    standing: validity.Standing,
    namespace: snapshot.Namespace,
    verdicts: Sequence[coverage.PodVerdict],
    enforcement: labels.Enforcement | None,
    now: datetime.datetime,
    exception_findings: Sequence[findings.Finding] = (),
    why: unused.Why | None = None,
    *,
    clock_trusted: bool = True,
    counted: bool = True,
) -> exception.ExceptionStatus:
    """Return the status that an exception should have; it equals the present status if nothing changed.

    `exception_findings` are the findings about the exception, and `why` is why it covers nothing. If not `counted`, it
    is not known which pods the exception covers, and what the status says about pods stays.
    """
    subject = standing.exception
    present = subject.status
    covering = [verdict for verdict in verdicts if _because_of(verdict, labels.Verdict.COVERED, subject)]
    covered = coverage.covered(covering)
    remaining = _pods_with(labels.Verdict.EXPIRED, subject, verdicts)
    observed = [
        *_observations(standing, remaining, enforcement, now),
        _in_use(covered, exception_findings, why),
        *_looming(standing, exception_findings),
    ]
    if not counted:
        about_pods = {conditions.ConditionType.IN_USE, conditions.ConditionType.CLEANED_UP}
        observed = [observation for observation in observed if observation.type not in about_pods]
    if not clock_trusted:
        observed = [_held(observation, remaining) for observation in observed]
    last_pod_removed = counted and present.covered_pods and not covered
    last_used = now.replace(microsecond=0) if last_pod_removed else present.last_used_time
    return exception.ExceptionStatus(
        observed_generation=subject.metadata.generation,
        namespace_uid=(present.namespace_uid if standing.reason is conditions.Ready.NOT_APPROVED else namespace.uid),
        conditions=conditions.observe(present.conditions, observed, subject.metadata.generation, now),
        covered_pods=covered if counted else present.covered_pods,
        sample_pods=tuple(pod.name for pod in samples(covering)) if counted else present.sample_pods,
        last_used_time=last_used,
    )


def samples(verdicts: Iterable[coverage.PodVerdict]) -> list[snapshot.Pod]:
    """Return the pods that a status names: the first ten of the pods that these verdicts are about, by name."""
    first = (pod for verdict in verdicts for pod in itertools.islice(verdict.pods, SAMPLE))
    return sorted(first, key=lambda pod: pod.name)[:SAMPLE]


def covered_samples(
    subject: exception.HostNetworkException, verdicts: Iterable[coverage.PodVerdict]
) -> list[snapshot.Pod]:
    """Return the pods that the status of an exception names as covered."""
    return samples(verdict for verdict in verdicts if _because_of(verdict, labels.Verdict.COVERED, subject))


def _because_of(verdict: coverage.PodVerdict, kind: labels.Verdict, subject: exception.HostNetworkException) -> bool:
    return verdict.verdict is kind and subject.metadata.uid in {e.metadata.uid for e in verdict.exceptions}


def _pods_with(
    kind: labels.Verdict, subject: exception.HostNetworkException, verdicts: Sequence[coverage.PodVerdict]
) -> list[snapshot.Pod]:
    pods = (pod for verdict in verdicts if _because_of(verdict, kind, subject) for pod in verdict.pods)
    return sorted(pods, key=lambda pod: pod.name)


def reported(finding: findings.Finding, subject: exception.HostNetworkException) -> bool:
    """Return whether a finding was reported already: its condition has it or, if it has no condition, the status is of
    the present generation. A finding that rests on the spec alone is reported when that spec is judged first.
    """
    if finding.rule is rules.MIXED_NAMESPACE:  # the message of InUse has this finding beside any reason
        shown = conditions.find(subject.status.conditions, conditions.ConditionType.IN_USE)
        return shown is not None and mixed_namespace.FOUND in shown.message
    if finding.rule not in _SHOWN:
        return subject.status.observed_generation == subject.metadata.generation
    kind, reason = _SHOWN[finding.rule]
    before = conditions.find(subject.status.conditions, kind)
    return before is not None and before.reason == reason


def _observations(
    standing: validity.Standing,
    remaining: Sequence[snapshot.Pod],
    enforcement: labels.Enforcement | None,
    now: datetime.datetime,
) -> list[conditions.Observation]:
    ready, status = conditions.ConditionType.READY, conditions.word(standing.in_force)
    observed = [conditions.Observation(ready, status, standing.reason, standing.why)]
    if standing.expired:
        observed.append(_cleaned_up(standing.exception, remaining, enforcement, now))
    return observed


def _looming(
    standing: validity.Standing, exception_findings: Sequence[findings.Finding]
) -> list[conditions.Observation]:
    """Return the conditions Expiring and, for Infrastructure, ReviewDue. If the policy is not known, both stay as they
    are.
    """
    types, observe = conditions.ConditionType, conditions.Observation
    observed: list[conditions.Observation] = []
    if standing.expired:
        observed.append(observe(types.EXPIRING, "False", Expiring.ENDED, "the exception has ended"))
        if conditions.find(standing.exception.status.conditions, types.REVIEW_DUE) is not None:
            observed.append(observe(types.REVIEW_DUE, "False", ReviewDue.ENDED, "the exception has ended"))
    for finding in exception_findings:
        if finding.result is Result.ERROR:
            continue
        if finding.rule is rules.EXPIRING:
            reason = Expiring.ENDS_SOON if finding.warns else Expiring.NOT_SOON
            observed.append(observe(types.EXPIRING, conditions.word(finding.warns), reason, _sentence(finding)))
        elif finding.rule is rules.REVIEW_DUE:
            observed.append(observe(types.REVIEW_DUE, *_REVIEWED[finding.result], _sentence(finding)))
    return observed


def _sentence(finding: findings.Finding) -> str:
    return f"{finding.sentence}; {finding.remedy}" if finding.warns else finding.sentence


def _in_use(
    covered: int, exception_findings: Sequence[findings.Finding], why: unused.Why | None
) -> conditions.Observation:
    shown = {finding.rule: finding for finding in exception_findings if finding.warns or finding.noted}
    reason, message = _used(covered, shown, why)
    if mixed := shown.get(rules.MIXED_NAMESPACE):
        message = f"{message}; {_sentence(mixed)}"
    return conditions.Observation(conditions.ConditionType.IN_USE, conditions.word(bool(covered)), reason, message)


def _used(covered: int, warning: Mapping[rules.Rule, findings.Finding], why: unused.Why | None) -> tuple[InUse, str]:
    """Return the reason and the message of the condition InUse."""
    if not covered:
        if long_unused := warning.get(rules.UNUSED):
            more = f"; {why.sentence}" if why is not None else ""
            return InUse.UNUSED, f"{_sentence(long_unused)}{more}"
        if why is not None:
            return why.reason, why.sentence
        return InUse.NO_PODS, "the exception covers no pod"
    text = f"the exception covers {covered} pod{'s' * (covered > 1)}"
    if wide := warning.get(rules.TOO_WIDE):
        return InUse.TOO_WIDE, f"{text}; {_sentence(wide)}"
    return InUse.PODS_COVERED, text


def _held(observed: conditions.Observation, remaining: Sequence[snapshot.Pod]) -> conditions.Observation:
    """Return the observation to show while the time is not sure: pods that would be deleted are not."""
    if observed.reason != CleanedUp.DELETING or all(pod.deleting for pod in remaining):
        return observed
    names = ", ".join([pod.name for pod in remaining if not pod.deleting][:SAMPLE])
    text = (
        f"pods remain, and the operator deletes no pod while clocks differ by more than 5 s: {names}; see the condition"
        " ClockSynchronized of the HostNetworkExceptionPolicy"
    )
    return replace(observed, reason=CleanedUp.CLOCK_UNSURE, message=text)


def _cleaned_up(
    subject: exception.HostNetworkException,
    remaining: Sequence[snapshot.Pod],
    enforcement: labels.Enforcement | None,
    now: datetime.datetime,
) -> conditions.Observation:
    reason, message = _remaining(subject, remaining, enforcement, now)
    return conditions.Observation(conditions.ConditionType.CLEANED_UP, conditions.word(not remaining), reason, message)


def _remaining(
    subject: exception.HostNetworkException,
    remaining: Sequence[snapshot.Pod],
    enforcement: labels.Enforcement | None,
    now: datetime.datetime,
) -> tuple[CleanedUp, str]:
    """Return the reason and the message of the condition CleanedUp."""
    if not remaining:
        return CleanedUp.NO_PODS, "no pod of the exception is left"
    names = ", ".join(pod.name for pod in remaining[:SAMPLE])
    overdue = [(pod.to_be_gone, pod) for pod in remaining if pod.to_be_gone and now >= pod.to_be_gone + OVERDUE]
    if overdue:
        shown = ", ".join(
            f"{pod.name} since {grant.format_time(since)}" + (f" on node {pod.node}" if pod.node else "")
            for since, pod in overdue[:SAMPLE]
        )
        remedy = "check the nodes (kubectl get node) and the finalizers of the pods; the operator forces no deletion"
        return CleanedUp.DELETION_PENDING, f"pods are still terminating after the grace period: {shown}; {remedy}"
    if not subject.spec.host_namespaces:
        text = (
            f"pods remain, and none of the pods can be created again: {names}; delete the pods or write a new exception"
        )
        return CleanedUp.REPORTED, text
    if not subject.spec.deletes:
        text = f"pods remain, and the operator only flags the pods: {names}; delete the pods or write a new exception"
        return CleanedUp.REPORTED, text
    if enforcement not in {labels.Enforcement.DENY, labels.Enforcement.HELD}:
        text = f"pods remain, and the operator deletes pods only where enforcement is Deny or Held: {names}"
        return CleanedUp.NOT_ENFORCED, text
    return CleanedUp.DELETING, f"the operator is deleting pods: {names}"
