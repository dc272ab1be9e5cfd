"""Whether a holder of the verb `approve` stands behind a generation of an exception, and what the ledger is to keep.

The operator believes the ledger, and the uid, generation and creationTimestamp of the exception, which the API server
sets. The generation changes with every change of a spec, however equal the values look, and exception-writers lets only
an approver change a spec. So an exception is approved if

- it was created after exception-writers had been in place for five seconds, and that policy is unchanged since, or
- the ledger has this generation as approved, or
- the ledger has an earlier generation that was read under the same exception-writers that is in place now, or
- the policy says trustAtInstall, and the exception was created close to the policy object and never changed.

managedFields, status, labels and annotations of the exception prove nothing: a tenant can write them, or wrote them
while an admission policy was missing (docs/adr/0026-believe-what-nobody-else-writes.md).
"""

import datetime
import enum
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from hostnetwork_operator.api import exception, grant, labels, ledger
from hostnetwork_operator.decide import effects, snapshot, terms

_REMEDY: Final = "a user with the verb approve must change the spec of the exception, for example spec.review.time"
# For so long a namespace may have been deleted and created again before the operator knows: watches of different kinds
# have no common order.
_YOUNG: Final = datetime.timedelta(minutes=5)
# How many exceptions of a namespace are judged: a plan must not take seconds, during which other namespaces wait.
MOST: Final = 500
_LONG_AGO: Final = datetime.timedelta(days=1)  # the pods of an exception that ended so long ago no longer exist
_LOST: Final = f"the ledger was lost, so nothing proves that the exception was approved; {_REMEDY}"


class ApprovalState(enum.Enum):
    """Whether an exception is approved."""

    APPROVED = enum.auto()
    WAITING = enum.auto()  # approved by the objects of the snapshot, and not recorded yet
    UNPROVEN = enum.auto()  # granted before, and the ledger cannot prove the approval: the grant stays
    UNKNOWN = (
        enum.auto()
    )  # the ledger cannot be read: nothing is granted, and no pod is deleted for want of an approval
    REFUSED = enum.auto()


@dataclass(frozen=True, slots=True)
class Ruling:
    """The state of an approval, the reason, and the record that the ledger is to keep.

    `doubted`: the approval is refused only because the ledger was lost. No pod is deleted that fits the exception.
    """

    state: ApprovalState
    why: str = ""
    record: effects.RecordException | None = None
    doubted: bool = field(default=False, kw_only=True)


def rule(subject: exception.HostNetworkException, state: snapshot.NamespaceSnapshot, now: datetime.datetime) -> Ruling:
    """Return the ruling about the approval of this generation, in this incarnation of the namespace, at `now`."""
    ruling = _rule(subject, state, now)
    if ruling.record is None or now - subject.metadata.creation_timestamp > _YOUNG:
        return ruling
    return replace(ruling, record=replace(ruling.record, young=True))


def _rule(subject: exception.HostNetworkException, state: snapshot.NamespaceSnapshot, now: datetime.datetime) -> Ruling:
    if subject.metadata.deletion_timestamp is not None:
        # The API server raises the generation when an exception is deleted. That is no approval.
        return Ruling(ApprovalState.REFUSED, "the exception is being deleted")
    record = state.ledger.exceptions.get(subject.metadata.uid)
    if state.ledger.state is ledger.State.UNREADABLE:
        return _without_ledger(subject, state)
    if record is None:
        return _first(subject, state, now)
    if record.namespace_uid != state.namespace.uid:
        if subject.metadata.creation_timestamp > state.namespace.created:
            # The record was made before this process knew that the namespace had been created again. An exception that
            # was created in the same second as the namespace may belong to either incarnation.
            return _first(subject, state, now)
        why = f"the exception was approved before the present namespace {state.namespace.name!r} was created; {_REMEDY}"
        return _refused(subject, state, now, why)
    if record.generation != subject.metadata.generation:
        return _changed(subject, state, now, record)
    if record.doubted:
        return _refused(subject, state, now, _LOST, doubted=True)
    if not (record.approved or record.kept):
        return _refused(subject, state, now, _why_refused(subject, state))
    return _recorded(subject, state, now, record)


def rulings(state: snapshot.NamespaceSnapshot, now: datetime.datetime) -> dict[str, Ruling]:
    """Return the ruling about each exception of a namespace, by uid. There is no ruling about exceptions beyond MOST,
    and a ruling about an exception that cannot be read has no record.
    """
    rulings_by_uid = {subject.metadata.uid: rule(subject, state, now) for subject in _judged(state, now)}
    for subject in recalled(state):
        rulings_by_uid[subject.metadata.uid] = replace(rule(subject, state, now), record=None)
    return rulings_by_uid


def _judged(state: snapshot.NamespaceSnapshot, now: datetime.datetime) -> Sequence[exception.HostNetworkException]:
    """Return the exceptions that are judged: first those that are granted, then the oldest. Exceptions that ended long
    ago come last, or they would displace exceptions that are needed.
    """
    if len(state.exceptions) <= MOST:
        return state.exceptions
    present = state.namespace.grants

    def order(subject: exception.HostNetworkException) -> tuple[bool, bool, datetime.datetime, str]:
        meta = subject.metadata
        ended = now - _LONG_AGO >= subject.spec.until  # a sum on the right could exceed the last year of datetime
        return ended, meta.name not in present, meta.creation_timestamp, meta.name

    return sorted(state.exceptions, key=order)[:MOST]


def ending(state: snapshot.NamespaceSnapshot, why: str) -> snapshot.NamespaceSnapshot:
    """Return the snapshot with exceptions from the ledger in place of those that are deleted or being deleted.

    When a namespace or the CRD is deleted, the exceptions are removed before the pods are. What the exceptions said
    about the end of these pods must outlive them. `why` is for people to read.
    """
    staying = tuple(subject for subject in state.exceptions if subject.metadata.deletion_timestamp is None)
    present_uids = {subject.metadata.uid for subject in staying} | {
        subject.uid for subject in state.unreadable_exceptions
    }
    name = state.namespace.name
    vanished = tuple(
        snapshot.UnreadableException(name, record.name, uid, why, record.generation)
        for uid, record in state.ledger.exceptions.items()
        if uid not in present_uids
    )
    return replace(state, exceptions=staying, unreadable_exceptions=(*state.unreadable_exceptions, *vanished))


def recalled(state: snapshot.NamespaceSnapshot) -> tuple[exception.HostNetworkException, ...]:
    """Return the exceptions that cannot be read, if the ledger proves their terms."""
    recalled_exceptions = (
        terms.recalled(unreadable, state.ledger.exceptions.get(unreadable.uid), state.namespace)
        for unreadable in state.unreadable_exceptions
    )
    return tuple(subject for subject in recalled_exceptions if subject is not None)


def writers_of(state: snapshot.NamespaceSnapshot) -> snapshot.Guard:
    """Return the guard exception-writers; a guard that is not in place if the policy was not read yet."""
    name = labels.POLICY_EXCEPTION_WRITERS
    return state.guards.get(name, snapshot.Guard(name, None, "the operator has not read the admission policies yet"))


def _recorded(
    subject: exception.HostNetworkException,
    state: snapshot.NamespaceSnapshot,
    now: datetime.datetime,
    record: ledger.ExceptionRecord,
) -> Ruling:
    """Return the ruling about an exception that the ledger has as approved or kept, which it stays. After an upgrade,
    the record changes to the present exception-writers once that policy is settled.
    """
    writers = writers_of(state)
    under = writers.identity if writers.counts(now) else record.under
    wanted = terms.with_terms(record.model_copy(update={"under": under}), subject, state.namespace)
    effect = _record(subject, wanted, guard=under, reread=True) if wanted != record else None
    if record.approved:
        return Ruling(ApprovalState.APPROVED, record=effect)
    return Ruling(ApprovalState.UNPROVEN, _LOST, effect)


def _changed(
    subject: exception.HostNetworkException,
    state: snapshot.NamespaceSnapshot,
    now: datetime.datetime,
    record: ledger.ExceptionRecord,
) -> Ruling:
    """Return the ruling about an exception that has changed since its record. Only a holder of the verb approve can
    have changed its spec, if exception-writers is the same since.
    """
    writers = writers_of(state)
    same_policy = record.under != "" and record.under == writers.identity and writers.since is not None
    if same_policy and subject.metadata.generation > record.generation:
        wanted = terms.record_of(subject, state.namespace, approved=True, under=writers.identity)
        return Ruling(ApprovalState.WAITING, record=_record(subject, wanted, guard=writers.identity))
    why = (
        f"the spec of the exception was changed while the admission policy {writers.name} was not in place, or within"
        f" 5 s of a change of that policy; {_REMEDY}"
    )
    return _refused(subject, state, now, why)


def _first(
    subject: exception.HostNetworkException, state: snapshot.NamespaceSnapshot, now: datetime.datetime
) -> Ruling:
    """Return the ruling about an exception without a record, whose creation is the only proof. After a loss of the
    ledger, a grant stays if the operator deletes no pods at its end.
    """
    writers = writers_of(state)
    if _created_under(subject, state, writers):
        wanted = terms.record_of(subject, state.namespace, approved=True, under=writers.identity)
        return Ruling(ApprovalState.WAITING, record=_record(subject, wanted, guard=writers.identity))
    if _trusted(subject, state):
        wanted = terms.record_of(subject, state.namespace, approved=True, under="")
        return Ruling(ApprovalState.WAITING, record=_record(subject, wanted))
    if state.ledger.state is ledger.State.LOST and _stays(subject, state.namespace):
        wanted = terms.record_of(subject, state.namespace, approved=False, under="").model_copy(update={"kept": True})
        return Ruling(
            ApprovalState.UNPROVEN, _LOST, _record(subject, terms.with_terms(wanted, subject, state.namespace))
        )
    if state.ledger.state is ledger.State.LOST and subject.metadata.creation_timestamp >= state.namespace.created:
        wanted = terms.record_of(subject, state.namespace, approved=False, under="").model_copy(
            update={"doubted": True}
        )
        return Ruling(ApprovalState.REFUSED, _LOST, _record(subject, wanted), doubted=True)
    return _refused(subject, state, now, _why_refused(subject, state))


def _without_ledger(subject: exception.HostNetworkException, state: snapshot.NamespaceSnapshot) -> Ruling:
    """Return the ruling while the ledger cannot be read: the creation still proves what it proves, and an existing
    grant stays or not by its type.
    """
    if _created_under(subject, state, writers_of(state)):
        return Ruling(ApprovalState.WAITING)
    why = f"the operator does not know whether the exception was approved: {state.ledger.trouble}"
    if _stays(subject, state.namespace):
        return Ruling(ApprovalState.UNPROVEN, why)
    return Ruling(ApprovalState.UNKNOWN, why)


def _refused(
    subject: exception.HostNetworkException,
    state: snapshot.NamespaceSnapshot,
    now: datetime.datetime,
    why: str,
    *,
    doubted: bool = False,
) -> Ruling:
    """Return the ruling that an exception is not approved. The operator records it as soon as exception-writers is
    settled, so that the next change of its spec approves it.
    """
    writers = writers_of(state)
    refused = Ruling(ApprovalState.REFUSED, why, doubted=doubted)
    if not writers.counts(now):
        return refused
    wanted = terms.record_of(subject, state.namespace, approved=False, under=writers.identity)
    wanted = wanted.model_copy(update={"doubted": doubted})
    if wanted == state.ledger.exceptions.get(subject.metadata.uid):
        return refused
    return replace(refused, record=_record(subject, wanted, guard=writers.identity, reread=True))


def _created_under(
    subject: exception.HostNetworkException, state: snapshot.NamespaceSnapshot, writers: snapshot.Guard
) -> bool:
    """Return whether exception-writers was in force when the exception was created, and is the same since."""
    created = subject.metadata.creation_timestamp
    return writers.settled is not None and created >= writers.settled and created >= state.namespace.created


def _trusted(subject: exception.HostNetworkException, state: snapshot.NamespaceSnapshot) -> bool:
    """Return whether spec.exceptions.trustAtInstall of the policy vouches for the exception."""
    created = subject.metadata.creation_timestamp
    never_changed = subject.metadata.generation == 1
    return never_changed and created >= state.namespace.created and state.policy.trusts(created)


def _stays(subject: exception.HostNetworkException, namespace: snapshot.Namespace) -> bool:
    """Return whether the grant of an exception is set and stays without proof: revoking the grant of an agent would
    stop network and ingress.
    """
    return subject.spec.type is not exception.ExceptionType.DIAGNOSTIC and terms.is_granted(subject, namespace)


def _why_refused(subject: exception.HostNetworkException, state: snapshot.NamespaceSnapshot) -> str:
    writers, created = writers_of(state), subject.metadata.creation_timestamp
    if created < state.namespace.created:
        return f"the exception was created before the present namespace {state.namespace.name!r}; {_REMEDY}"
    policy = f"the admission policy {writers.name}"
    if writers.since is None:
        return f"nothing proves that the exception was approved, and {policy} is not in place now; {_REMEDY}"
    if created < writers.since:
        since = grant.format_time(writers.since)
        return f"the exception was created before {policy} was installed or last changed ({since}); {_REMEDY}"
    if writers.settled is not None and created < writers.settled:
        return f"the exception was created less than 5 s after {policy} was installed or last changed; {_REMEDY}"
    return f"the spec of the exception was written while {policy} was not in place; {_REMEDY}"


def _record(
    subject: exception.HostNetworkException, record: ledger.ExceptionRecord, *, guard: str = "", reread: bool = False
) -> effects.RecordException:
    metadata = subject.metadata
    reference = snapshot.Reference(exception.KIND, metadata.namespace, metadata.name, metadata.uid, labels.API_VERSION)
    return effects.RecordException(reference, record, guard, reread=reread)
