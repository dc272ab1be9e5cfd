"""Which pods of ended exceptions the operator is to delete, with which grace period, and the Jobs and Events with them.

This module decides from a snapshot. `act` reads the pod and the exceptions again before it carries out a deletion.
"""

import datetime
from collections.abc import Sequence

from hostnetwork_operator.api import labels, meta
from hostnetwork_operator.decide import coverage, effects, messages, snapshot, status, validity


def deletes(
    state: snapshot.NamespaceSnapshot,
    enforcement: labels.Enforcement | None,
    verdicts: Sequence[coverage.PodVerdict],
    now: datetime.datetime,
) -> list[effects.DeletePod]:
    """Return a deletion for each pod that the operator is to delete, with the Job that the pod names as its owner."""
    # A policy that cannot be read may exempt this namespace, and an exception that cannot be read may cover the pod:
    # "cannot tell" is never a deletion.
    trusted = (
        state.clock_trusted and state.policy.existence is not snapshot.Existence.UNKNOWN and not validity.blind(state)
    )
    pod_deletions = []
    expired = (verdict for verdict in verdicts if verdict.verdict is labels.Verdict.EXPIRED)
    for verdict in coverage.each(expired):
        if _deletable(verdict, enforcement, now, trusted=trusted):
            events = (*messages.verdict_events(verdict), *messages.deletion_events(verdict))
            job = _job_of(verdict.pod)
            pod_deletions.append(
                effects.DeletePod(
                    verdict.pod.reference,
                    _grace_seconds(verdict),
                    events,
                    job,
                    messages.job_events(verdict) if job else (),
                    messages.owner_events(verdict),
                )
            )
    return pod_deletions


def _deletable(
    verdict: coverage.PodVerdict, enforcement: labels.Enforcement | None, now: datetime.datetime, *, trusted: bool
) -> bool:
    """Return whether the operator is to delete a pod: its verdict is Expired, all of its expired exceptions say so,
    enforcement is wanted, and the time is sure.

    A pod that is being deleted already is left alone, unless somebody gave it a longer grace period than the operator
    would, for example years.
    """
    latest = now + datetime.timedelta(seconds=_grace_seconds(verdict)) + status.OVERDUE
    return (
        trusted
        and all(subject.spec.deletes for subject in verdict.exceptions)
        and enforcement in {labels.Enforcement.DENY, labels.Enforcement.HELD}
        and (not verdict.pod.deleting or (verdict.pod.to_be_gone or now) > latest)
    )


def _grace_seconds(verdict: coverage.PodVerdict) -> int:
    """Return the grace period of an expired pod: the longest of its exceptions."""
    return max((subject.spec.grace_period_seconds for subject in verdict.exceptions), default=0)


def _job_of(pod: snapshot.Pod) -> snapshot.Reference | None:
    """Return the Job that a pod names as its owner, if any. That is a claim."""
    owner = pod.owner
    if owner is None or (owner.api_version, owner.kind) != ("batch/v1", "Job"):
        return None
    return owner if meta.is_name(owner.name) else None
