"""Whose a Pod Security label of a namespace is: the operator's, or somebody else's.

The ledger says which values the operator wrote. managedFields say who wrote a label last, and a tenant may reset them
or write under any name. So a label is the operator's if its value is one that the operator wrote there, and nothing
else is: a level that somebody set is never lowered, and a label that somebody wants otherwise is left alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hostnetwork_operator.api import labels, ledger
from hostnetwork_operator.decide import snapshot

PSA_LABELS: Final = frozenset({labels.PSA_ENFORCE, labels.PSA_AUDIT, labels.PSA_WARN, *labels.PSA_VERSIONS})
# Where enforcement goes off, the operator writes of these what stood before it: somebody else's.
PUT_BACK: Final = (labels.PSA_ENFORCE, labels.PSA_VERSIONS[0])


@dataclass(frozen=True, slots=True)
class Owned:
    """The Pod Security labels that stand by the operator's hand, and the record that this is read from.

    `record` is the ledger's (`stored`) or, before there is one, what can be proved of the namespace.
    """

    record: ledger.NamespaceRecord
    labels: frozenset[str]
    stored: bool = False


def owned(seen: snapshot.NamespaceSnapshot) -> Owned:
    """Return which labels are the operator's.

    What this process wrote last counts before what the ledger has: a level that was put back does not wait for its
    record, and what the operator once wrote may be somebody else's now.
    """
    record = seen.ledger.namespace or _adopted(seen)
    present, wrote = seen.namespace.labels, seen.record.wrote
    found = set()
    for label in PSA_LABELS & present.keys():
        mine = (wrote[label],) if label in wrote else record.ours.get(label, ())
        if present[label] in mine and (label, present[label]) != (labels.PSA_ENFORCE, labels.Level.PRIVILEGED):
            found.add(label)
    return Owned(record, frozenset(found), stored=seen.ledger.namespace is not None)


def record(
    seen: snapshot.NamespaceSnapshot,
    before: Owned,
    target: labels.Level,
    enforcement: labels.Enforcement | None,
    changes: Mapping[str, str | None],
    warn: labels.Level | None,
) -> ledger.NamespaceRecord:
    """Return what the ledger is to have of the namespace when these changes of its labels are written.

    privileged is in no record of the enforce label: nothing is looser, so nobody needs to know whose it is. While a
    level is lifted the record keeps the level that will be put back. `warn` is the policy's, None if that is not known.
    """
    present = seen.namespace.labels
    enforced = enforcement is labels.Enforcement.DENY
    ours: dict[str, tuple[str, ...]] = {}
    put_back = dict(zip(PUT_BACK, (before.record.before, before.record.version_before), strict=True))
    for label in PSA_LABELS:
        values = {present[label]} if label in before.labels else set()
        if changes.get(label) is not None:
            values.add(str(changes[label]))
        if not enforced:
            values.discard(put_back.get(label))
        if label == labels.PSA_ENFORCE:
            lifted = labels.Level.PRIVILEGED in {present.get(label), changes.get(label)}
            values |= {target.value} if lifted and enforced else set()
            values -= {labels.Level.PRIVILEGED.value}
        values |= _in_turn(before, target, warn) if label == labels.PSA_WARN and values and enforced else set()
        if values:
            ours[label] = tuple(sorted(values))
    standing = changes or present.get(labels.ENFORCEMENT) == labels.Enforcement.DENY
    if not enforced and before.record.enforced and standing:
        # What stood before is needed until it is written back, which may be the write after this one.
        was = before.record
        return ledger.NamespaceRecord(enforced=True, before=was.before, version_before=was.version_before, ours=ours)
    if not enforced:
        return ledger.NamespaceRecord(ours=ours)
    if before.record.enforced:
        stood, version = before.record.before, before.record.version_before
    else:
        stood, version = present.get(labels.PSA_ENFORCE, ""), None
    if version is None and labels.PSA_VERSIONS[0] not in before.labels:
        version = present.get(labels.PSA_VERSIONS[0], "")
    return ledger.NamespaceRecord(enforced=True, before=stood, version_before=version, ours=ours)


def _in_turn(before: Owned, target: labels.Level, warn: labels.Level | None) -> set[str]:
    """Return the values that the warn label has in turn: the guard's and the policy's.

    The record has both all the time, so that no grant waits for a record of the other.
    """
    guard = {target.value} if target is not labels.Level.PRIVILEGED else set()
    return guard | ({warn.value} if warn is not None else set(before.record.ours.get(labels.PSA_WARN, ())))


def _adopted(seen: snapshot.NamespaceSnapshot) -> ledger.NamespaceRecord:
    """Return what is known of a namespace that the ledger does not have.

    Its labels and annotations of ours are believed if namespace-labels was in force before the namespace was created,
    and has been the same since: then only label-at-birth and the operator can have written them, or a holder of
    setlevel. trustAtInstall vouches for the namespaces of the installation as it does for their exceptions.
    """
    namespace = seen.namespace
    if namespace.enforcement is not labels.Enforcement.DENY:
        return ledger.NamespaceRecord()
    guard = seen.guards.get(labels.POLICY_NAMESPACE_LABELS)
    proved = guard is not None and guard.settled is not None and namespace.created >= guard.settled
    if not proved and not seen.policy.trusts(namespace.created):
        return ledger.NamespaceRecord(enforced=True)
    present, version = (namespace.labels.get(label, "") for label in (labels.PSA_ENFORCE, labels.PSA_VERSIONS[0]))
    born = namespace.annotations.get(labels.BORN_WITH)
    if born is None:
        # After a loss: what the operator wrote last is not told from what stood before, but for the level.
        before = namespace.annotations.get(labels.LEVEL_BEFORE)
        known = version if before is None else None
        return ledger.NamespaceRecord(enforced=True, before=present if before is None else before, version_before=known)
    # A mark stands behind what was replaced: a creator's level without setlevel is none that stood before.
    written = {labels.PSA_PREFIX + name.removesuffix("!") for name in born.split(",")}
    ours = {label: (namespace.labels[label],) for label in PSA_LABELS if label in written & namespace.labels.keys()}
    before = "" if labels.PSA_ENFORCE in ours else present
    version = "" if labels.PSA_VERSIONS[0] in ours else version
    return ledger.NamespaceRecord(enforced=True, before=before, version_before=version, ours=ours)
