"""Which pods of ended exceptions are to be deleted, how, and what else goes or is told with them.

It says so from a snapshot; whoever carries it out looks at pod and exceptions again first.
"""

import datetime
from collections.abc import Sequence

from hostnetwork_operator.api import labels, meta
from hostnetwork_operator.decide import coverage, effects, messages, snapshot, status, validity


def deletes(
    seen: snapshot.NamespaceSnapshot,
    enforcement: labels.Enforcement | None,
    verdicts: Sequence[coverage.PodVerdict],
    now: datetime.datetime,
) -> list[effects.DeletePod]:
    """One for each pod that is to go, with its Job if it claims one."""
    # A policy that cannot be read may be one that exempts this namespace, and an exception that nobody can read may
    # cover the pod: cannot tell is never a delete.
    trusted = seen.clock_trusted and seen.policy.known is not snapshot.Known.UNKNOWN and not validity.blind(seen)
    made = []
    for verdict in verdicts:
        if _deletable(verdict, enforcement, now, trusted=trusted):
            told = (*messages.verdict_events(verdict), *messages.deletion_events(verdict))
            job = _job_of(verdict.pod)
            made.append(
                effects.DeletePod(
                    verdict.pod.reference,
                    _grace_seconds(verdict),
                    told,
                    job,
                    messages.job_events(verdict) if job else (),
                    messages.owner_events(verdict),
                )
            )
    return made


def _deletable(
    verdict: coverage.PodVerdict, enforcement: labels.Enforcement | None, now: datetime.datetime, *, trusted: bool
) -> bool:
    """Whether a pod is to be deleted: expired, all of its expired exceptions say so, enforcement wanted, time sure.

    One that is on its way out already is left alone, unless somebody gave it longer than we would: a grace of years.
    """
    latest = now + datetime.timedelta(seconds=_grace_seconds(verdict)) + status.OVERDUE
    return (
        trusted
        and verdict.verdict is labels.Verdict.EXPIRED
        and all(subject.spec.deletes for subject in verdict.exceptions)
        and enforcement in {labels.Enforcement.DENY, labels.Enforcement.HELD}
        and (not verdict.pod.deleting or (verdict.pod.to_be_gone or now) > latest)
    )


def _grace_seconds(verdict: coverage.PodVerdict) -> int:
    """How long an expired pod is given to end: as long as any of its exceptions says."""
    return max((subject.spec.grace_period_seconds for subject in verdict.exceptions), default=0)


def _job_of(pod: snapshot.Pod) -> snapshot.Reference | None:
    """The Job that a pod claims as its own."""
    owner = pod.owner
    if owner is None or (owner.api_version, owner.kind) != ("batch/v1", "Job"):
        return None
    return owner if meta.is_name(owner.name) else None
