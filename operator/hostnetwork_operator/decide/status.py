"""The status of an exception, from how it stands and which pods it has."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from hostnetwork_operator.api import conditions, exception, grant, labels, plaintext
from hostnetwork_operator.api.report import Result
from hostnetwork_operator.decide import coverage, findings, rules, snapshot, unused, validity

SAMPLE: Final = 10  # pods named in a status, and told of its end; the count is exact
# How long after the end of its grace a pod that is still there is called overdue: a kubelet needs seconds.
OVERDUE: Final = datetime.timedelta(seconds=60)
# Findings that come and go are conditions, and so remembered: which one with which reason.
_SHOWN: Final = {
    rules.EXPIRING: (conditions.ConditionType.EXPIRING, "EndsSoon"),
    rules.REVIEW_DUE: (conditions.ConditionType.REVIEW_DUE, "Overdue"),
    rules.UNUSED: (conditions.ConditionType.IN_USE, "Unused"),
    rules.TOO_WIDE: (conditions.ConditionType.IN_USE, "TooWide"),
}
_REVIEWED: Final[dict[Result, tuple[conditions.Word, str]]] = {
    Result.WARN: ("True", "Overdue"),
    Result.PASS: ("False", "Reviewed"),
    Result.SKIP: ("Unknown", "VersionNotSaid"),
}


def status_for(
    standing: validity.Standing,
    namespace: snapshot.Namespace,
    verdicts: Sequence[coverage.PodVerdict],
    enforcement: labels.Enforcement | None,
    now: datetime.datetime,
    found: Sequence[findings.Finding] = (),
    why: unused.Why | None = None,
    *,
    clock_trusted: bool = True,
    counted: bool = True,
) -> exception.ExceptionStatus:
    """The status that should stand; equal to the present one where nothing changed. `found` is about it, and `why` it
    covers nothing. Without `counted` nobody can tell which pods it covers, and what is shown of that stays.
    """
    subject = standing.exception
    present = subject.status
    covered = pods_with(labels.Verdict.COVERED, subject, verdicts)
    remaining = _pods_with(labels.Verdict.EXPIRED, subject, verdicts)
    observed = [
        *_observations(standing, remaining, enforcement, now),
        _in_use(covered, found, why),
        *_looming(standing, found),
    ]
    if not counted:
        about_pods = {conditions.ConditionType.IN_USE, conditions.ConditionType.CLEANED_UP}
        observed = [one for one in observed if one.type not in about_pods]
    if not clock_trusted:
        observed = [_held(one, remaining) for one in observed]
    gone = counted and present.covered_pods and not covered
    last_used = now.replace(microsecond=0) if gone else present.last_used_time
    return exception.ExceptionStatus(
        observed_generation=subject.metadata.generation,
        namespace_uid=(present.namespace_uid if standing.reason is conditions.Ready.NOT_APPROVED else namespace.uid),
        conditions=conditions.observe(present.conditions, observed, subject.metadata.generation, now),
        covered_pods=len(covered) if counted else present.covered_pods,
        sample_pods=tuple(covered[:SAMPLE]) if counted else present.sample_pods,
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


def told(finding: findings.Finding, subject: exception.HostNetworkException) -> bool:
    """Whether the status says it already; what rests on the spec alone was told when that spec was judged first."""
    if finding.rule is rules.MIXED_NAMESPACE:  # beside whatever reason
        shown = conditions.find(subject.status.conditions, conditions.ConditionType.IN_USE)
        return shown is not None and plaintext.of(finding.sentence) in shown.message
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
    observed = [conditions.Observation(ready, status, standing.reason.value, standing.why)]
    if standing.expired:
        observed.append(_cleaned_up(standing.exception, remaining, enforcement, now))
    return observed


def _looming(standing: validity.Standing, found: Sequence[findings.Finding]) -> list[conditions.Observation]:
    """Expiring, and ReviewDue for Infrastructure; where the policy is not known they stay as they are."""
    kind, saying = conditions.ConditionType, conditions.Observation
    observed: list[conditions.Observation] = []
    if standing.expired:
        observed.append(saying(kind.EXPIRING, "False", "Ended", "it has ended"))
        if conditions.find(standing.exception.status.conditions, kind.REVIEW_DUE) is not None:
            observed.append(saying(kind.REVIEW_DUE, "False", "Ended", "it has ended"))
    for finding in found:
        if finding.result is Result.ERROR:
            continue
        if finding.rule is rules.EXPIRING:
            reason = "EndsSoon" if finding.warns else "NotSoon"
            observed.append(saying(kind.EXPIRING, conditions.word(finding.warns), reason, _sentence(finding)))
        elif finding.rule is rules.REVIEW_DUE:
            observed.append(saying(kind.REVIEW_DUE, *_REVIEWED[finding.result], _sentence(finding)))
    return observed


def _sentence(finding: findings.Finding) -> str:
    return f"{finding.sentence}; {finding.remedy}" if finding.warns else finding.sentence


def _in_use(
    covered: Sequence[str], found: Sequence[findings.Finding], why: unused.Why | None
) -> conditions.Observation:
    shown = {finding.rule: finding for finding in found if finding.warns or finding.noted}
    reason, message = _used(covered, shown, why)
    if mixed := shown.get(rules.MIXED_NAMESPACE):
        message = f"{message}; {_sentence(mixed)}"
    return conditions.Observation(conditions.ConditionType.IN_USE, conditions.word(bool(covered)), reason, message)


def _used(
    covered: Sequence[str], warning: Mapping[rules.Rule, findings.Finding], why: unused.Why | None
) -> tuple[str, str]:
    """Reason and message of InUse."""
    if not covered:
        if long_unused := warning.get(rules.UNUSED):
            more = f"; {why.sentence}" if why is not None else ""
            return "Unused", f"{_sentence(long_unused)}{more}"
        if why is not None:
            return why.reason, why.sentence
        return "NoPods", "no pod is covered by it"
    text = f"{len(covered)} pod{'s' * (len(covered) > 1)} covered by it"
    if wide := warning.get(rules.TOO_WIDE):
        return "TooWide", f"{text}; {_sentence(wide)}"
    return "PodsCovered", text


def _held(observed: conditions.Observation, remaining: Sequence[snapshot.Pod]) -> conditions.Observation:
    """What is observed where the time is not sure: what would be deleted is not."""
    if observed.reason != "Deleting" or all(pod.deleting for pod in remaining):
        return observed
    names = ", ".join([pod.name for pod in remaining if not pod.deleting][:SAMPLE])
    text = (
        f"pods remain, and nothing is deleted while clocks differ by more than 5 s: {names}; see the condition"
        " ClockSynchronized of the HostNetworkExceptionPolicy"
    )
    return replace(observed, reason="ClockUnsure", message=text)


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
) -> tuple[str, str]:
    """Reason and message of CleanedUp."""
    if not remaining:
        return "NoPods", "no pod of it is left"
    names = ", ".join(pod.name for pod in remaining[:SAMPLE])
    overdue = [(pod.to_be_gone, pod) for pod in remaining if pod.to_be_gone and now >= pod.to_be_gone + OVERDUE]
    if overdue:
        shown = ", ".join(
            f"{pod.name} since {grant.format_time(since)}" + (f" on node {pod.node}" if pod.node else "")
            for since, pod in overdue[:SAMPLE]
        )
        remedy = "ask their nodes (kubectl get node) and look for finalizers; the operator forces nothing"
        return "DeletionPending", f"pods were deleted and do not go: {shown}; {remedy}"
    if not subject.spec.host_namespaces:
        text = f"pods remain, and none of them can be created anew: {names}; delete them or write a new exception"
        return "Reported", text
    if not subject.spec.deletes:
        return "Reported", f"pods remain, and are flagged only: {names}; delete them or write a new exception"
    if enforcement not in {labels.Enforcement.DENY, labels.Enforcement.HELD}:
        return "NotEnforced", f"pods remain, and nothing is deleted where nothing is enforced: {names}"
    return "Deleting", f"pods are being deleted: {names}"
