"""The owner of each Pod Security label of a namespace: the operator, or somebody else.

The ledger says which values the operator wrote. managedFields say who wrote a label last, but a tenant may reset them
or write under any name. So the operator owns a label only if the value is one that the operator wrote there. The
operator never lowers a level that somebody else set, and never changes a label to which somebody else gave another
value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hostnetwork_operator.api import labels, ledger
from hostnetwork_operator.decide import snapshot

PSA_LABELS: Final = frozenset({labels.PSA_ENFORCE, labels.PSA_AUDIT, labels.PSA_WARN, *labels.PSA_VERSIONS})
# When enforcement is turned off, the operator restores the earlier values of these labels, which somebody else owns.
PUT_BACK: Final = (labels.PSA_ENFORCE, labels.PSA_VERSIONS[0])


@dataclass(frozen=True, slots=True)
class Owned:
    """The Pod Security labels that the operator owns, and the record that says so.

    `record` is the ledger's (then `stored` is true) or, before the ledger has one, what can be proved of the namespace.
    """

    record: ledger.NamespaceRecord
    labels: frozenset[str]
    stored: bool = field(default=False, kw_only=True)


def owned(state: snapshot.NamespaceSnapshot) -> Owned:
    """Return which labels the operator owns.

    The last write of this process counts more than the ledger: a level that was restored does not wait for its record,
    and a value that the operator once wrote may belong to somebody else now.
    """
    record = state.ledger.namespace or _adopted(state)
    present, wrote = state.namespace.labels, state.record.wrote
    owned_labels = set()
    for label in PSA_LABELS & present.keys():
        our_values = (wrote[label],) if label in wrote else record.ours.get(label, ())
        if present[label] in our_values and (label, present[label]) != (labels.PSA_ENFORCE, labels.Level.PRIVILEGED):
            owned_labels.add(label)
    return Owned(record, frozenset(owned_labels), stored=state.ledger.namespace is not None)


def record(
    state: snapshot.NamespaceSnapshot,
    before: Owned,
    target: labels.Level,
    enforcement: labels.Enforcement | None,
    changes: Mapping[str, str | None],
    warn: labels.Level | None,
) -> ledger.NamespaceRecord:
    """Return what the ledger is to have of the namespace when these changes of its labels are written.

    No record of the enforce label has privileged: nothing is looser, so its owner does not matter. While a level is
    lifted, the record keeps the level that will be restored. `warn` is the warn level of the policy, None if the policy
    is not known.
    """
    present = state.namespace.labels
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
    still_written = changes or present.get(labels.ENFORCEMENT) == labels.Enforcement.DENY
    if not enforced and before.record.enforced and still_written:
        # The earlier values are needed until they are restored, which may happen with the write after this one.
        was = before.record
        return ledger.NamespaceRecord(enforced=True, before=was.before, version_before=was.version_before, ours=ours)
    if not enforced:
        return ledger.NamespaceRecord(ours=ours)
    if before.record.enforced:
        level_before, version = before.record.before, before.record.version_before
    else:
        level_before, version = present.get(labels.PSA_ENFORCE, ""), None
    if version is None and labels.PSA_VERSIONS[0] not in before.labels:
        version = present.get(labels.PSA_VERSIONS[0], "")
    return ledger.NamespaceRecord(enforced=True, before=level_before, version_before=version, ours=ours)


def _in_turn(before: Owned, target: labels.Level, warn: labels.Level | None) -> set[str]:
    """Return the values between which the warn label changes: the level of the guard and that of the policy.

    The record always has both, so that no grant waits for a record of the other value.
    """
    guard = {target.value} if target is not labels.Level.PRIVILEGED else set()
    return guard | ({warn.value} if warn is not None else set(before.record.ours.get(labels.PSA_WARN, ())))


def _adopted(state: snapshot.NamespaceSnapshot) -> ledger.NamespaceRecord:
    """Return what can be proved of a namespace that the ledger does not have.

    The operator believes the labels and annotations under our names if namespace-labels was in force before the
    namespace was created, and is the same since: then only label-at-birth, the operator or a holder of setlevel can
    have written them. trustAtInstall vouches for the namespaces of the installation as it does for their exceptions.
    """
    namespace = state.namespace
    if namespace.enforcement is not labels.Enforcement.DENY:
        return ledger.NamespaceRecord()
    guard = state.guards.get(labels.POLICY_NAMESPACE_LABELS)
    under_guard = guard is not None and guard.settled is not None and namespace.created >= guard.settled
    if not under_guard and not state.policy.trusts(namespace.created):
        return ledger.NamespaceRecord(enforced=True)
    present, version = (namespace.labels.get(label, "") for label in (labels.PSA_ENFORCE, labels.PSA_VERSIONS[0]))
    born = namespace.annotations.get(labels.BORN_WITH)
    if born is None:
        # After a loss of the ledger, only the level before is known. Of other labels, what the operator wrote cannot be
        # told from what was set before.
        before = namespace.annotations.get(labels.LEVEL_BEFORE)
        version_was = version if before is None else None
        return ledger.NamespaceRecord(
            enforced=True, before=present if before is None else before, version_before=version_was
        )
    # The mark `!` follows a label whose value label-at-birth replaced. The level that a creator without setlevel asked
    # for does not count as an earlier level.
    written = {labels.PSA_PREFIX + name.removesuffix("!") for name in born.split(",")}
    ours = {label: (namespace.labels[label],) for label in PSA_LABELS if label in written & namespace.labels.keys()}
    before = "" if labels.PSA_ENFORCE in ours else present
    version = "" if labels.PSA_VERSIONS[0] in ours else version
    return ledger.NamespaceRecord(enforced=True, before=before, version_before=version, ours=ours)
