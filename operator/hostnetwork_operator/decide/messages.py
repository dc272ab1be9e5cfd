"""The Events: on which object, with which message, and on which transition the operator emits each of them.

Each Event has a key, so that it stays one Event however often it is emitted. A message names the subject, its state,
and what to do.
"""

import enum
from collections.abc import Sequence
from typing import Final

from hostnetwork_operator.api import conditions, exception, labels
from hostnetwork_operator.decide import (
    classify,
    contest,
    coverage,
    effects,
    findings,
    rules,
    snapshot,
    status,
    validity,
)

_EXCEPTION_API: Final = labels.API_VERSION


class Reason(enum.StrEnum):
    """Event reasons, each documented in docs/reference/events.md."""

    UNCOVERED = "HostNamespacesUncovered"
    EXPIRED = "HostNamespacesExpired"
    STATIC = "HostNamespacesStatic"
    COVERED = "HostNamespacesCovered"
    DELETED = "ExpiredPodDeleted"
    JOB_DELETED = "ExpiredJobDeleted"
    OWNER_LEFT = "ExpiredPodOwnerLeft"
    ENFORCED = "LevelEnforced"
    HELD = "EnforcementHeld"
    AUDITED = "EnforcementAudit"
    RELAXED = "LevelRelaxed"
    RESTORED = "LevelRestored"
    REPAIRED = "LabelsRepaired"
    RELEASED = "NamespaceReleased"
    CONTESTED = "NamespaceContested"
    REFUSED = "HostNamespacesRefused"
    WAITING = "ControllerWaiting"


class PolicyReason(enum.StrEnum):
    """Reasons of the Events on the policy object, each documented in docs/reference/events.md. All but LedgerSeeded are
    reasons of a condition of the policy, after the word Policy.
    """

    ACCEPTED = "PolicyAccepted"
    BROKEN = "PolicyBroken"
    INTACT = "PolicyIntact"
    GUARD_MISSING = "PolicyGuardMissing"
    AGREES = "PolicyAgrees"
    SKEWED = "PolicySkewed"
    SPREAD = "PolicySpread"
    RECORDED = "PolicyRecorded"
    LEDGER_LOST = "PolicyLedgerLost"
    LEDGER_UNREADABLE = "PolicyLedgerUnreadable"
    LEDGER_UNWRITABLE = "PolicyLedgerUnwritable"
    GRANTS_UNPROVEN = "PolicyGrantsUnproven"
    LEDGER_SEEDED = "PolicyLedgerSeeded"
    KUBERNETES_TESTED = "PolicyKubernetesTested"
    KUBERNETES_NOT_TESTED = "PolicyKubernetesNotTested"
    KUBERNETES_VERSIONS_DIFFER = "PolicyKubernetesVersionsDiffer"
    SEALED = "PolicySealed"
    NOT_SEALED = "PolicyNotSealed"
    PARTLY_SEALED = "PolicyPartlySealed"


_VERDICT_REASONS: Final = {
    labels.Verdict.UNCOVERED: Reason.UNCOVERED,
    labels.Verdict.EXPIRED: Reason.EXPIRED,
    labels.Verdict.STATIC: Reason.STATIC,
    labels.Verdict.COVERED: Reason.COVERED,
}
_ACTION_REASONS: Final = {
    effects.Action.ENFORCE: Reason.ENFORCED,
    effects.Action.HOLD: Reason.HELD,
    effects.Action.AUDIT: Reason.AUDITED,
    effects.Action.RELAX: Reason.RELAXED,
    effects.Action.RESTORE: Reason.RESTORED,
    effects.Action.REPAIR: Reason.REPAIRED,
    effects.Action.RELEASE: Reason.RELEASED,
}


def reference(subject: exception.HostNetworkException) -> snapshot.Reference:
    """Return the reference to an exception, as Events and effects use it."""
    meta = subject.metadata
    return snapshot.Reference(exception.KIND, meta.namespace, meta.name, meta.uid, _EXCEPTION_API)


def verdict_text(verdict: coverage.PodVerdict, looks: str = "") -> str:
    """Return which host namespaces a pod uses, what it looks like, the reason of its verdict, and what to do: text that
    follows `a pod` or the name of the pod.
    """
    pod = verdict.pod
    text = f"uses {coverage.used(pod.host_namespaces)}, {f'{looks}, ' if looks else ''}and {verdict.why}"
    if verdict.verdict is labels.Verdict.UNCOVERED:
        fields = ", ".join(f"host{name}" for name in sorted(pod.host_namespaces))
        text += (
            f". Remove {fields}, or request a HostNetworkException for service account {pod.service_account!r}"
            " (kubectl explain hne.spec)"
        )
    return text


def verdict_events(verdict: coverage.PodVerdict) -> tuple[effects.EmitEvent, ...]:
    """Return the Events on a pod and on its owner when its verdict label changes.

    The class is that of this pod alone. So all pods of a template lead to one Event on their owner, and the Event does
    not change when the top owner becomes known.
    """
    pod = verdict.pod
    reason = _VERDICT_REASONS[verdict.verdict]
    normal = verdict.verdict in {labels.Verdict.COVERED, labels.Verdict.STATIC}
    looks = ""
    if verdict.verdict is labels.Verdict.UNCOVERED:  # a person has to decide about the pod now
        looks = classify.clause(classify.of_pods(pod.owner or pod.reference, (pod,)))
    text = verdict_text(verdict, looks)
    key = " ".join([verdict.verdict, *(e.metadata.uid for e in verdict.exceptions)])
    on_pod = _event(pod.reference, reason, text, key, normal=normal)
    if pod.owner is None or pod.mirror:  # the owner of a mirror pod is its Node
        return (on_pod,)
    return on_pod, _event(pod.owner, reason, f"a pod of this workload {text}", key, normal=normal)


def deletion_events(verdict: coverage.PodVerdict) -> tuple[effects.EmitEvent, ...]:
    """Return the Events on the exceptions of a pod when the pod is deleted at the end of its diagnostic exceptions."""
    text = f"the operator deleted pod {verdict.pod.name}: {verdict.why}"
    return tuple(_event(reference(e), Reason.DELETED, text, verdict.pod.uid) for e in verdict.exceptions)


def job_events(verdict: coverage.PodVerdict) -> tuple[effects.EmitEvent, ...]:
    """Return the Events on a Job and on the exceptions of its pod when the Job is deleted with the pod."""
    job = verdict.pod.owner
    if job is None:
        return ()
    text = (
        f"the operator deleted Job {job.name}, which would create pods such as {verdict.pod.name} again: {verdict.why}"
    )
    subjects = (job, *(reference(e) for e in verdict.exceptions))
    return tuple(_event(subject, Reason.JOB_DELETED, text, job.uid) for subject in subjects)


def owner_events(verdict: coverage.PodVerdict) -> tuple[effects.EmitEvent, ...]:
    """Return the Event on an owner that stays when its pod is deleted: one Event, however many pods the owner has."""
    owner = verdict.pod.owner
    if owner is None:
        return ()
    text = (
        f"the operator deleted a pod of this workload: {verdict.why}. No exception covers the next pod: remove the host"
        " namespaces from the pod template, delete the workload, or write a new exception"
    )
    key = " ".join(e.metadata.uid for e in verdict.exceptions)
    return (_event(owner, Reason.OWNER_LEFT, text, key, normal=False),)


def standing_events(standing: validity.Standing) -> tuple[effects.EmitEvent, ...]:
    """Return the Event on an exception when the reason of its condition Ready changes."""
    subject = standing.exception
    before = conditions.find(subject.status.conditions, conditions.ConditionType.READY)
    if before is not None and before.reason == standing.reason:
        return ()
    normal = standing.reason in {conditions.Ready.ACTIVE, conditions.Ready.EXPIRED}
    key = f"{standing.reason} {subject.metadata.resource_version}"
    return (_event(reference(subject), standing.reason, standing.why, key, normal=normal),)


def finding_events(
    subject: exception.HostNetworkException,
    exception_findings: Sequence[findings.Finding],
    verdicts: Sequence[coverage.PodVerdict],
) -> tuple[effects.EmitEvent, ...]:
    """Return the Events on an exception when a finding appears. If the exception ends soon, at most ten of its pods and
    their owners get the Event too.
    """
    emitted = []
    for finding in exception_findings:
        if not finding.warns or status.reported(finding, subject):
            continue
        text = f"{finding.sentence}; {finding.remedy}"
        emitted.append(_event(reference(subject), finding.rule.id, text, finding.sentence, normal=False))
        if finding.rule is rules.EXPIRING:
            pods = status.covered_samples(subject, verdicts)
            owners = {pod.owner: None for pod in pods if pod.owner is not None}
            text = f"covered by exception {subject.metadata.name!r}: {text}"
            key = f"{subject.metadata.uid} {finding.sentence}"
            subjects = [*(pod.reference for pod in pods), *owners]
            emitted += [_event(regarding, finding.rule.id, text, key, normal=False) for regarding in subjects]
    return tuple(emitted)


def namespace_events(
    write: effects.WriteNamespace, standings: Sequence[validity.Standing]
) -> tuple[effects.EmitEvent, ...]:
    """Return the Event on a namespace for a write that changes its state."""
    text = _namespace_text(write, standings)
    if text is None:
        return ()
    reason, normal = _ACTION_REASONS[write.action], write.action is not effects.Action.REPAIR
    key = f"{write.action} {write.namespace.resource_version}"
    return (_event(write.namespace.reference, reason, text, key, normal=normal),)


def contested_event(namespace: snapshot.Namespace, record: snapshot.Record, keys: Sequence[str]) -> effects.EmitEvent:
    """Return the Event on a namespace that a revert of these keys makes contested."""
    key = " ".join(moment.isoformat() for moment in record.reverts)
    return _event(namespace.reference, Reason.CONTESTED, contest.described(namespace, keys), key, normal=False)


def _namespace_text(write: effects.WriteNamespace, standings: Sequence[validity.Standing]) -> str | None:
    level = {**write.namespace.labels, **write.labels}.get(labels.PSA_ENFORCE) or "none"
    active = ", ".join(s.exception.metadata.name for s in standings if s.in_force)
    ended = ", ".join(
        key.removeprefix(labels.GRANT_PREFIX) for key in write.annotations if key.startswith(labels.GRANT_PREFIX)
    )
    match write.action:
        case effects.Action.ENFORCE:
            return f"level {level} is enforced; from now on host namespaces need an exception"
        case effects.Action.HOLD if labels.ENFORCEMENT in write.labels:
            held_by = write.annotations.get(labels.HELD_BY)
            blocked = f"; blocked {held_by}" if held_by else ""
            return f"enforcement is Held, and nothing is refused yet{blocked}"
        case effects.Action.AUDIT:
            return "audit only: nothing is refused"
        case effects.Action.RELAX:
            return f"the level is {level} while an exception is in force ({active}); all other pods must meet the guard"
        case effects.Action.RESTORE:
            why = f"grants that ended or were revoked: {ended}" if ended else "no exception is granted"
            return f"the operator restored level {level}; {why}"
        case effects.Action.REPAIR if write.labels:
            return f"the operator corrected labels: {', '.join(sorted(write.labels))}"
        case effects.Action.RELEASE:
            return "the namespace is exempt or the mode is Release; the operator no longer governs the namespace"
    return None


def _event(
    regarding: snapshot.Reference, reason: str, text: str, key: str, *, normal: bool = True
) -> effects.EmitEvent:
    return effects.EmitEvent(regarding, "Normal" if normal else "Warning", reason, text, key)
