"""How an exception stands by itself: valid, approved, not yet over. What withholds it besides is in `plan`.

The CRD refuses what can be seen from the object alone, exception-writers refuses whoever may not write one. Here is
what needs the policy, the namespace's identity or the time.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from hostnetwork_operator.api import conditions, exception, fields, grant, labels, policy
from hostnetwork_operator.decide import snapshot


@dataclass(frozen=True, slots=True)
class Standing:
    """How an exception stands: the reason of its Ready condition, and the sentence for it."""

    exception: exception.HostNetworkException
    reason: conditions.Ready
    why: str

    @property
    def in_force(self) -> bool:
        return self.reason is conditions.Ready.ACTIVE

    @property
    def expired(self) -> bool:
        """Everything else about it is in order: only its expiry has passed."""
        return self.reason is conditions.Ready.EXPIRED


def stand(
    subject: exception.HostNetworkException,
    namespace: snapshot.Namespace,
    rules: policy.Exceptions | None,
    writers: snapshot.Guard,
    now: datetime.datetime,
) -> Standing:
    """Active, Expired, NotApproved or Invalid. `rules` is None where no policy is known: then only the ceilings that
    the API server holds apply. `writers` is the policy that lets only approvers write exceptions.
    """
    if subject.metadata.deletion_timestamp is not None:
        return Standing(subject, conditions.Ready.INVALID, "it is being deleted")
    # First of all, so that every other judgement of a generation is also one that it was approved.
    if why_not := _unapproved(subject, namespace, writers):
        return Standing(subject, conditions.Ready.NOT_APPROVED, why_not)
    until = grant.format_time(subject.spec.until)
    if now >= subject.spec.until:
        return Standing(subject, conditions.Ready.EXPIRED, f"it ended {until}; from then nothing is admitted under it")
    if rules is not None and (mistake := _mistake(subject, rules)):
        return Standing(subject, conditions.Ready.INVALID, mistake)
    lasts = f"until {until}" if subject.spec.expiry else "without expiry"
    return Standing(subject, conditions.Ready.ACTIVE, f"in force {lasts}")


def standings(seen: snapshot.NamespaceSnapshot, now: datetime.datetime) -> tuple[Standing, ...]:
    """How each exception of a namespace stands, by name."""
    rules = seen.policy.spec.exceptions if seen.policy.spec else None
    writers = seen.guards.get(
        labels.POLICY_EXCEPTION_WRITERS, snapshot.Guard(labels.POLICY_EXCEPTION_WRITERS, None, "not read yet")
    )
    ordered = sorted(seen.exceptions, key=lambda e: e.metadata.name)
    return tuple(stand(subject, seen.namespace, rules, writers, now) for subject in ordered)


def _mistake(subject: exception.HostNetworkException, rules: policy.Exceptions) -> str:
    spec = subject.spec
    limit = {
        exception.ExceptionType.DIAGNOSTIC: rules.max_duration.diagnostic,
        exception.ExceptionType.APPLICATION: rules.max_duration.application,
    }.get(spec.type)
    created = subject.metadata.creation_timestamp
    if limit is not None and spec.until > created + limit:
        latest = grant.format_time(created + limit)
        return (
            f"expiry must be no later than {latest} ({fields.format_duration(limit)} after creation) for type"
            f" {spec.type}, got {grant.format_time(spec.until)}; shorten it or raise exceptions.maxDuration"
        )
    if rules.image_digests is policy.ImageDigests.REQUIRE:
        loose = unpinned(spec.images or ("any image",))
        if loose:
            return (
                f"images must be pinned by digest (exceptions.imageDigests: Require), got {loose[0]}; write a new"
                " exception with images such as registry.example.com/netshoot@sha256:…"
            )
    return ""


def unpinned(images: Sequence[str]) -> list[str]:
    """Those that are not pinned by digest."""
    return sorted(image for image in images if "@sha256:" not in image)


def _unapproved(subject: exception.HostNetworkException, namespace: snapshot.Namespace, writers: snapshot.Guard) -> str:
    """Why nobody with the verb `approve` stands behind this spec in this incarnation of the namespace, or ''.

    The threat: a tenant who deletes and recreates a namespace, or who writes while the policy is away, would have an
    exception that nobody approved. So what was written when the policy was not in place never counts by itself.
    """
    status, generation = subject.status, subject.metadata.generation
    ready = conditions.find(status.conditions, conditions.ConditionType.READY)
    refused = ready is not None and ready.reason == conditions.Ready.NOT_APPROVED
    elsewhere = status.namespace_uid not in (None, namespace.uid)
    if status.namespace_uid == namespace.uid and not refused and generation == status.observed_generation:
        return ""
    remedy = "somebody with the verb approve must change its spec, for instance review.time"
    why_not = f"it was written while {writers.name} was not in place; {remedy}"
    if elsewhere:
        why_not = f"it was approved in an earlier namespace {namespace.name!r}; {remedy}"
    if (refused or elsewhere) and generation == status.observed_generation:
        return why_not
    written, settled = subject.metadata.written, writers.settled
    if settled is None or written < settled or written < namespace.created:
        return why_not
    return ""
