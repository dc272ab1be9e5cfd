"""The standing of an exception by itself: whether it is valid, approved and before its expiry. `grants` decides what
else withholds an exception.

The CRD refuses mistakes that can be seen in the object alone. exception-writers refuses users who may not write an
exception. This module checks what needs the policy or the time.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from hostnetwork_operator.api import conditions, exception, fields, grant, image, policy
from hostnetwork_operator.decide import approval, snapshot

# The reasons of Ready with which a grant is written, or stays.
_IN_FORCE: Final = frozenset({conditions.Ready.ACTIVE, conditions.Ready.APPROVAL_UNPROVEN})


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of an exception by itself: the reason of its condition Ready, and the sentence for that reason.

    `spares`: no pod that fits the exception is deleted, because the exception is approved, or may be, and has not
    ended. `waiting`: only the record of its approval is missing, and the operator is writing that record. `readable` is
    False if the object cannot be read, so that the terms come from the ledger.
    """

    exception: exception.HostNetworkException
    reason: conditions.Ready
    why: str
    spares: bool = field(default=False, kw_only=True)
    waiting: bool = field(default=False, kw_only=True)
    readable: bool = field(default=True, kw_only=True)

    @property
    def in_force(self) -> bool:
        return self.reason in _IN_FORCE

    @property
    def expired(self) -> bool:
        """Whether the expiry of the exception has passed, and everything else about the exception is in order."""
        return self.reason is conditions.Ready.EXPIRED


def stand(
    subject: exception.HostNetworkException,
    rules: policy.Exceptions | None,
    ruling: approval.Ruling,
    now: datetime.datetime,
) -> Standing:
    """Return the standing of an exception by itself. If no policy is known, `rules` is None, and only the ceilings that
    the API server enforces apply.
    """
    standing = approval.ApprovalState
    spares = (ruling.state is not standing.REFUSED or ruling.doubted) and now < subject.spec.until
    if subject.metadata.deletion_timestamp is not None:
        # Only a holder of the verb approve can delete an exception. A tenant's finalizer does not undo the deletion.
        return Standing(subject, conditions.Ready.INVALID, "the exception is being deleted")
    if ruling.state is standing.REFUSED:
        return Standing(subject, conditions.Ready.NOT_APPROVED, ruling.why, spares=spares)
    if ruling.state is standing.UNKNOWN:
        return Standing(subject, conditions.Ready.NOT_RECORDED, ruling.why, spares=spares)
    until = grant.format_time(subject.spec.until)
    if now >= subject.spec.until:
        why = f"the exception ended at {until}; the API server admits no pod under an exception that has ended"
        return Standing(subject, conditions.Ready.EXPIRED, why)
    if rules is not None and (mistake := _mistake(subject, rules)):
        return Standing(subject, conditions.Ready.INVALID, mistake, spares=spares)
    if ruling.state is standing.WAITING:
        why = "the ledger does not have the approval yet; until then the operator does not grant the exception"
        return Standing(subject, conditions.Ready.NOT_RECORDED, why, spares=spares, waiting=True)
    lasts = f"in force until {until}" if subject.spec.expiry else "in force without expiry"
    if ruling.state is standing.UNPROVEN:
        return Standing(
            subject, conditions.Ready.APPROVAL_UNPROVEN, f"the exception is still {lasts}: {ruling.why}", spares=spares
        )
    return Standing(subject, conditions.Ready.ACTIVE, f"the exception is {lasts}", spares=spares)


def standings(
    state: snapshot.NamespaceSnapshot, rulings: Mapping[str, approval.Ruling], now: datetime.datetime
) -> tuple[Standing, ...]:
    """Return the standing of each exception of a namespace, in the order of the names.

    `rulings` has the rulings about approval by uid, for the exceptions that are judged at all.
    """
    rules = state.policy.spec.exceptions if state.policy.spec else None
    readable = {subject.metadata.uid for subject in state.exceptions}
    ordered = sorted((*state.exceptions, *approval.recalled(state)), key=lambda e: e.metadata.name)
    all_standings = []
    for subject in ordered:
        ruling = rulings.get(subject.metadata.uid)
        standing = _beyond(subject, state, now) if ruling is None else stand(subject, rules, ruling, now)
        standing = _in_trouble(standing, state) if standing.waiting else standing
        all_standings.append(replace(standing, readable=subject.metadata.uid in readable))
    return tuple(all_standings)


def _beyond(
    subject: exception.HostNetworkException, state: snapshot.NamespaceSnapshot, now: datetime.datetime
) -> Standing:
    """Return the standing of an exception beyond the number that is judged. It grants nothing, and no pod that it may
    cover is deleted.
    """
    name = state.namespace.name
    why = (
        f"namespace {name} has {len(state.exceptions)} exceptions, and the operator evaluates"
        f" {approval.MOST} per namespace: first the granted exceptions, then the oldest; delete exceptions that have"
        f" ended (kubectl get hne -n {name}), or use another namespace"
    )
    return Standing(subject, conditions.Ready.TOO_MANY, why, spares=now < subject.spec.until)


def blind(state: snapshot.NamespaceSnapshot) -> bool:
    """Return whether the namespace has an exception whose terms neither the object nor the ledger can tell."""
    return len(approval.recalled(state)) < len(state.unreadable_exceptions)


def _in_trouble(standing: Standing, state: snapshot.NamespaceSnapshot) -> Standing:
    """Return the standing of an exception that waits for its record while no record can be written: withheld, except
    for grants that must stay.
    """
    trouble = state.ledger.trouble
    if not trouble:
        return standing
    stays = standing.exception.spec.type is not exception.ExceptionType.DIAGNOSTIC
    if stays and standing.exception.metadata.name in state.namespace.grants:
        why = f"the grant of the exception stays, although the approval cannot be recorded: {trouble}"
        return replace(standing, reason=conditions.Ready.APPROVAL_UNPROVEN, why=why, waiting=False)
    why = f"the exception is not granted, because the approval cannot be recorded: {trouble}"
    return replace(standing, why=why, waiting=False)


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
            f"spec.expiry must be no later than {latest} ({fields.format_duration(limit)} after creation) for type"
            f" {spec.type}, got {grant.format_time(spec.until)}; set an earlier expiry, or raise exceptions.maxDuration"
            " of the HostNetworkExceptionPolicy"
        )
    if rules.image_digests is policy.ImageDigests.REQUIRE:
        unpinned = image.unpinned(spec.images or ("any image",))
        if unpinned:
            return (
                f"spec.images must be pinned by digest (exceptions.imageDigests: Require), got {unpinned[0]}; write a"
                " new exception with images such as registry.example.com/netshoot@sha256:…"
            )
    return ""
