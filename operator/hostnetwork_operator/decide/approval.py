"""Whether a holder of the verb `approve` stands behind a generation of an exception, and what the ledger is to keep.

Believed are the uid, generation and creationTimestamp of the exception, which the API server sets, and the ledger. The
generation changes with every change of a spec, however equal the values look, and exception-writers lets only an
approver change it. So an exception is approved if

- it was created when exception-writers had been in place for five seconds, and it is there unchanged ever since, or
- the ledger has this generation as approved, or
- the ledger has an earlier generation that was read under the very exception-writers that is in place now, or
- the policy says trustAtInstall, and it was created, and never changed, close to the policy object.

managedFields, status, labels and annotations of the exception say nothing about that: a tenant writes them, or wrote
them while a policy was away (docs/adr/0026-believe-what-nobody-else-writes.md).
"""

import datetime
import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from hostnetwork_operator.api import exception, grant, labels, ledger
from hostnetwork_operator.decide import effects, snapshot, terms

_REMEDY: Final = "a user with the verb approve must change its spec, for instance review.time"
# So long the namespace may have been made anew without that being known: watches come in no common order.
_YOUNG: Final = datetime.timedelta(minutes=5)
# So many exceptions of a namespace are judged: a plan must not take seconds, during which other namespaces wait.
MOST: Final = 500
_LONG_AGO: Final = datetime.timedelta(days=1)  # the pods of an exception that ended so long ago are gone
_LOST: Final = f"the ledger was lost, so nothing proves that it was approved; {_REMEDY}"


class Standing(enum.Enum):
    """How the approval of an exception stands."""

    APPROVED = enum.auto()
    WAITING = enum.auto()  # approved by what is seen, and not recorded yet
    UNPROVEN = enum.auto()  # granted before, and the ledger cannot prove it: the grant stays
    UNKNOWN = enum.auto()  # the ledger cannot be read: nothing is granted, and nothing is deleted for want of it
    REFUSED = enum.auto()


@dataclass(frozen=True, slots=True)
class Ruling:
    """How the approval stands, why, and what the ledger is to keep of it.

    `doubted`: refused only because the ledger was lost. Nothing is deleted that the exception fits.
    """

    standing: Standing
    why: str = ""
    record: effects.RecordException | None = None
    doubted: bool = False


def rule(subject: exception.HostNetworkException, seen: snapshot.NamespaceSnapshot, now: datetime.datetime) -> Ruling:
    """Return how the approval of this generation in this incarnation of the namespace stands at `now`."""
    ruling = _rule(subject, seen, now)
    if ruling.record is None or now - subject.metadata.creation_timestamp > _YOUNG:
        return ruling
    return replace(ruling, record=replace(ruling.record, young=True))


def _rule(subject: exception.HostNetworkException, seen: snapshot.NamespaceSnapshot, now: datetime.datetime) -> Ruling:
    if subject.metadata.deletion_timestamp is not None:
        # The API server raises the generation with the deletion, and nobody has approved anything by that.
        return Ruling(Standing.REFUSED, "it is being deleted")
    record = seen.ledger.exceptions.get(subject.metadata.uid)
    if seen.ledger.state is ledger.State.UNREADABLE:
        return _without_ledger(subject, seen)
    if record is None:
        return _first(subject, seen, now)
    if record.namespace_uid != seen.namespace.uid:
        if subject.metadata.creation_timestamp > seen.namespace.created:
            # Recorded before this process knew that the namespace had been made anew. In the second of the creation
            # itself nobody can tell.
            return _first(subject, seen, now)
        why = f"it was approved in an earlier namespace {seen.namespace.name!r}; {_REMEDY}"
        return _refused(subject, seen, now, why)
    if record.generation != subject.metadata.generation:
        return _changed(subject, seen, now, record)
    if record.doubted:
        return _refused(subject, seen, now, _LOST, doubted=True)
    if not (record.approved or record.kept):
        return _refused(subject, seen, now, _why_refused(subject, seen))
    return _known(subject, seen, now, record)


def rulings(seen: snapshot.NamespaceSnapshot, now: datetime.datetime) -> dict[str, Ruling]:
    """Return the ruling about each exception of a namespace, by uid, but for those beyond MOST, about which there is
    none. Nothing is recorded of what cannot be read.
    """
    made = {subject.metadata.uid: rule(subject, seen, now) for subject in _judged(seen, now)}
    for subject in recalled(seen):
        made[subject.metadata.uid] = replace(rule(subject, seen, now), record=None)
    return made


def _judged(seen: snapshot.NamespaceSnapshot, now: datetime.datetime) -> Sequence[exception.HostNetworkException]:
    """The exceptions that are judged: first those that are granted, then the oldest. Those that ended long ago come
    last, or they would push out what is needed.
    """
    if len(seen.exceptions) <= MOST:
        return seen.exceptions
    present = seen.namespace.grants

    def order(subject: exception.HostNetworkException) -> tuple[bool, bool, datetime.datetime, str]:
        meta = subject.metadata
        ended = now - _LONG_AGO >= subject.spec.until  # a sum could be a year that there is not
        return ended, meta.name not in present, meta.creation_timestamp, meta.name

    return sorted(seen.exceptions, key=order)[:MOST]


def ending(seen: snapshot.NamespaceSnapshot, why: str) -> snapshot.NamespaceSnapshot:
    """Return a namespace with its exceptions as the ledger has them, where they are gone or about to go.

    Where a namespace goes, or the CRD, they go before the pods do, and what they said of the end of these pods must
    outlive them. `why` is for people to read.
    """
    staying = tuple(one for one in seen.exceptions if one.metadata.deletion_timestamp is None)
    there = {one.metadata.uid for one in staying} | {one.uid for one in seen.unreadable_exceptions}
    name = seen.namespace.name
    vanished = tuple(
        snapshot.UnreadableException(name, record.name, uid, why, record.generation)
        for uid, record in seen.ledger.exceptions.items()
        if uid not in there
    )
    return replace(seen, exceptions=staying, unreadable_exceptions=(*seen.unreadable_exceptions, *vanished))


def recalled(seen: snapshot.NamespaceSnapshot) -> tuple[exception.HostNetworkException, ...]:
    """Return the exceptions that cannot be read, as far as the ledger proves their terms."""
    found = (
        terms.recalled(one, seen.ledger.exceptions.get(one.uid), seen.namespace) for one in seen.unreadable_exceptions
    )
    return tuple(subject for subject in found if subject is not None)


def writers_of(seen: snapshot.NamespaceSnapshot) -> snapshot.Guard:
    """Return the guard exception-writers, as one that is not in place where it was not read yet."""
    name = labels.POLICY_EXCEPTION_WRITERS
    return seen.guards.get(name, snapshot.Guard(name, None, "not read yet"))


def _known(
    subject: exception.HostNetworkException,
    seen: snapshot.NamespaceSnapshot,
    now: datetime.datetime,
    record: ledger.ExceptionRecord,
) -> Ruling:
    """Approved or kept stays so. The record moves on to the present policy once that is settled (an upgrade)."""
    writers = writers_of(seen)
    under = writers.identity if writers.counts(now) else record.under
    wanted = terms.with_terms(record.model_copy(update={"under": under}), subject, seen.namespace)
    kept = _record(subject, wanted, guard=under, reread=True) if wanted != record else None
    if record.approved:
        return Ruling(Standing.APPROVED, record=kept)
    return Ruling(Standing.UNPROVEN, _LOST, kept)


def _changed(
    subject: exception.HostNetworkException,
    seen: snapshot.NamespaceSnapshot,
    now: datetime.datetime,
    record: ledger.ExceptionRecord,
) -> Ruling:
    """Every change since the record was made took the verb approve, if exception-writers is the same since."""
    writers = writers_of(seen)
    same = record.under != "" and record.under == writers.identity and writers.since is not None
    if same and subject.metadata.generation > record.generation:
        wanted = terms.record_of(subject, seen.namespace, approved=True, under=writers.identity)
        return Ruling(Standing.WAITING, record=_record(subject, wanted, guard=writers.identity))
    why = f"its spec was changed while {writers.name} was not in place, or within 5 s of a change of it; {_REMEDY}"
    return _refused(subject, seen, now, why)


def _first(subject: exception.HostNetworkException, seen: snapshot.NamespaceSnapshot, now: datetime.datetime) -> Ruling:
    """Without a record the creation is the only proof; after a loss a grant that nothing deletes for is kept."""
    writers = writers_of(seen)
    if _created_under(subject, seen, writers):
        wanted = terms.record_of(subject, seen.namespace, approved=True, under=writers.identity)
        return Ruling(Standing.WAITING, record=_record(subject, wanted, guard=writers.identity))
    if _trusted(subject, seen):
        wanted = terms.record_of(subject, seen.namespace, approved=True, under="")
        return Ruling(Standing.WAITING, record=_record(subject, wanted))
    if seen.ledger.state is ledger.State.LOST and _stays(subject, seen.namespace):
        wanted = terms.record_of(subject, seen.namespace, approved=False, under="").model_copy(update={"kept": True})
        return Ruling(Standing.UNPROVEN, _LOST, _record(subject, terms.with_terms(wanted, subject, seen.namespace)))
    if seen.ledger.state is ledger.State.LOST and subject.metadata.creation_timestamp >= seen.namespace.created:
        wanted = terms.record_of(subject, seen.namespace, approved=False, under="").model_copy(update={"doubted": True})
        return Ruling(Standing.REFUSED, _LOST, _record(subject, wanted), doubted=True)
    return _refused(subject, seen, now, _why_refused(subject, seen))


def _without_ledger(subject: exception.HostNetworkException, seen: snapshot.NamespaceSnapshot) -> Ruling:
    """While the ledger cannot be read, what a creation proves is proved, and what was granted stays or not by type."""
    if _created_under(subject, seen, writers_of(seen)):
        return Ruling(Standing.WAITING)
    why = f"the ledger cannot be read, so it is not known who approved it: {seen.ledger.trouble}"
    if _stays(subject, seen.namespace):
        return Ruling(Standing.UNPROVEN, why)
    return Ruling(Standing.UNKNOWN, why)


def _refused(
    subject: exception.HostNetworkException,
    seen: snapshot.NamespaceSnapshot,
    now: datetime.datetime,
    why: str,
    *,
    doubted: bool = False,
) -> Ruling:
    """Not approved; recorded as soon as the policy is settled, so that the next change of its spec approves it."""
    writers = writers_of(seen)
    refused = Ruling(Standing.REFUSED, why, doubted=doubted)
    if not writers.counts(now):
        return refused
    wanted = terms.record_of(subject, seen.namespace, approved=False, under=writers.identity)
    wanted = wanted.model_copy(update={"doubted": doubted})
    if wanted == seen.ledger.exceptions.get(subject.metadata.uid):
        return refused
    return replace(refused, record=_record(subject, wanted, guard=writers.identity, reread=True))


def _created_under(
    subject: exception.HostNetworkException, seen: snapshot.NamespaceSnapshot, writers: snapshot.Guard
) -> bool:
    """Whether exception-writers was in force when it was created, and has been the same since."""
    created = subject.metadata.creation_timestamp
    return writers.settled is not None and created >= writers.settled and created >= seen.namespace.created


def _trusted(subject: exception.HostNetworkException, seen: snapshot.NamespaceSnapshot) -> bool:
    """Whether spec.exceptions.trustAtInstall of the policy vouches for it."""
    created = subject.metadata.creation_timestamp
    never_changed = subject.metadata.generation == 1
    return never_changed and created >= seen.namespace.created and seen.policy.trusts(created)


def _stays(subject: exception.HostNetworkException, namespace: snapshot.Namespace) -> bool:
    """Whether its grant is set, and stays without proof: taking an agent's would stop network and ingress."""
    return subject.spec.type is not exception.ExceptionType.DIAGNOSTIC and terms.stands(subject, namespace)


def _why_refused(subject: exception.HostNetworkException, seen: snapshot.NamespaceSnapshot) -> str:
    writers, created = writers_of(seen), subject.metadata.creation_timestamp
    if created < seen.namespace.created:
        return f"it was created in an earlier namespace {seen.namespace.name!r}; {_REMEDY}"
    if writers.since is None:
        return f"nothing proves that it was approved, and {writers.name} is not in place now; {_REMEDY}"
    if created < writers.since:
        since = grant.format_time(writers.since)
        return f"it was created before {writers.name} was in place or last changed ({since}); {_REMEDY}"
    if writers.settled is not None and created < writers.settled:
        return f"it was created less than 5 s after {writers.name} was in place or last changed; {_REMEDY}"
    return f"its spec was written while {writers.name} was not in place; {_REMEDY}"


def _record(
    subject: exception.HostNetworkException, record: ledger.ExceptionRecord, *, guard: str = "", reread: bool = False
) -> effects.RecordException:
    metadata = subject.metadata
    reference = snapshot.Reference(exception.KIND, metadata.namespace, metadata.name, metadata.uid, labels.API_VERSION)
    return effects.RecordException(reference, record, guard, reread=reread)
