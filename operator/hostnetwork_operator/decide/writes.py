"""The next write of a namespace, from what is written on it to what should be, and for which version it is valid.

A write that revokes, tightens or deletes is valid for every version of the namespace. A write that grants or loosens is
valid only for the version that was judged. So a tenant who patches without pause delays only what he would gain
(docs/adr/0028-what-takes-away-needs-no-version.md).
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from hostnetwork_operator.api import conditions, labels
from hostnetwork_operator.decide import contest, effects, grants, level, messages, ownership, snapshot, terms, validity

# After so many writes in a row were refused because somebody changed the namespace meanwhile, the operator writes the
# part that tightens first, alone: a moment without the rest is better than a namespace that stays open.
_CONFLICTS: Final = 3


@dataclass(frozen=True, slots=True)
class Next:
    """The next write, if any. `more`: the write is only a part of the difference; the rest is planned after it."""

    write: effects.WriteNamespace | None = None
    more: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class _Difference:
    """The changes from the present labels and annotations to the wanted ones, by key; None removes a key.

    `notes` are annotations other than grants. `revoked` are grants to revoke or shorten, `granted` are grants to write.
    """

    labels: dict[str, str | None]
    notes: dict[str, str | None]
    revoked: dict[str, str | None]
    granted: dict[str, str | None]

    @property
    def nothing(self) -> bool:
        return not (self.labels or self.notes or self.revoked or self.granted)


def following(
    state: snapshot.NamespaceSnapshot,
    owned: ownership.Owned,
    settings: level.Settings,
    decision: level.Decision,
    standings: Sequence[validity.Standing],
    now: datetime.datetime,
    *,
    relaxed: bool,
) -> Next:
    """Return the next write of a namespace.

    Revocations come first, and alone, so that a failure of the rest leaves nothing open. After _CONFLICTS refused
    writes, changes that tighten come first too. In a contested namespace only what `_contested` allows is written.
    """
    namespace, kubernetes = state.namespace, state.oldest_kubernetes
    revoked, granted = _grants(namespace, decision, standings)
    changed, notes = level.changes(
        namespace,
        owned,
        settings,
        decision,
        relaxed=relaxed,
        kubernetes=kubernetes,
        grants=revoked | granted,
    )
    difference = _Difference(changed, notes, revoked, granted)
    if contest.ends(state.record, now) is not None:
        return _contested(state, owned, difference, decision, standings, now)
    if difference.nothing:
        return Next()
    gives = granted or any(_loosens(namespace, key, value) for key, value in changed.items())
    if gives and (revoked or state.record.conflicts >= _CONFLICTS):
        if revoked:
            tight: dict[str, str | None] = {}
        else:
            changed, _ = level.changes(namespace, owned, settings, decision, relaxed=False, kubernetes=kubernetes)
            tight = {key: value for key, value in changed.items() if not _loosens(namespace, key, value)}
        if revoked or tight:
            part = _Difference(tight, {}, revoked, {})
            return Next(_write(namespace, part, owned, decision, standings, versioned=False), more=True)
    return Next(_write(namespace, difference, owned, decision, standings, versioned=bool(gives)))


def revokes(write: effects.WriteNamespace) -> bool:
    """Return whether a write revokes grants. Such a write waits for nothing."""
    return write.action in {effects.Action.REVOKE, effects.Action.RESTORE}


class _GrantChanges(NamedTuple):
    """The grants to revoke or shorten, and the grants to write, by annotation key."""

    revoked: dict[str, str | None]
    granted: dict[str, str | None]


def _grants(
    namespace: snapshot.Namespace, decision: level.Decision, standings: Sequence[validity.Standing]
) -> _GrantChanges:
    present, wanted = namespace.grants, dict[str, str]()
    if decision.enforcement is not None:
        for standing in standings:
            name = standing.exception.metadata.name
            if standing.in_force or grants.keeps(standing, namespace):
                line = terms.line_of(standing.exception, namespace)
                wanted[name] = _no_longer(present.get(name), line, proven=_proven(standing))
    revoked: dict[str, str | None] = {}
    granted: dict[str, str | None] = {}
    for name in sorted(present.keys() | wanted.keys()):
        key, old, new = labels.GRANT_PREFIX + name, present.get(name), wanted.get(name)
        if old != new:
            (revoked if new is None or terms.shorter(old, new) else granted)[key] = new
    return _GrantChanges(revoked, granted)


def _proven(standing: validity.Standing) -> bool:
    return standing.reason is conditions.Ready.ACTIVE


def _no_longer(present: str | None, line: str, *, proven: bool) -> str:
    """Return the grant line to write; if the approval is not proved, it grants at most what is granted already."""
    return line if proven or present is None or terms.shorter(present, line) else present


def _loosens(namespace: snapshot.Namespace, key: str, value: str | None) -> bool:
    """Return whether a change of a label loosens something. A change of audit or warn never does."""
    old = namespace.labels.get(key)
    match key:
        case labels.PSA_ENFORCE | labels.GUARD:
            # Without the label the cluster's default level applies, which privileged may loosen.
            wanted = level.strictness(value, absent=labels.Level.PRIVILEGED)
            return wanted < level.strictness(old, absent=labels.Level.BASELINE)
        case labels.ENFORCEMENT:
            return old == labels.Enforcement.DENY
        case labels.GUARD_VERSION:
            return True  # some versions of a level allow more than the version before, others allow less
    return key == labels.PSA_VERSIONS[0] and (value is None or level.older(value, old or "latest"))


def _contested(
    state: snapshot.NamespaceSnapshot,
    owned: ownership.Owned,
    difference: _Difference,
    decision: level.Decision,
    standings: Sequence[validity.Standing],
    now: datetime.datetime,
) -> Next:
    taking = contest.revoked(state, difference.revoked, difference.labels)
    giving = contest.granted(state, difference.granted, difference.labels)
    if giving and not taking and not contest.paced(state.record, giving, now):
        guard = {key: value for key, value in giving.items() if key not in difference.granted}
        part = _Difference(guard, {}, {}, difference.granted)
        return Next(_write(state.namespace, part, owned, decision, standings, versioned=True))
    if not taking or contest.paced(state.record, taking, now):
        return Next()
    tight = {key: value for key, value in difference.labels.items() if not _loosens(state.namespace, key, value)}
    part = _Difference(tight, difference.notes, difference.revoked, {})
    return Next(_write(state.namespace, part, owned, decision, standings, versioned=False))


def _write(
    namespace: snapshot.Namespace,
    part: _Difference,
    owned: ownership.Owned,
    decision: level.Decision,
    standings: Sequence[validity.Standing],
    *,
    versioned: bool,
) -> effects.WriteNamespace:
    notes = part.revoked | part.granted | part.notes
    action = _action(namespace, part, decision)
    new = decision.enforcement is labels.Enforcement.DENY and labels.LEVEL_BEFORE not in namespace.annotations
    claims = _claims(namespace, owned, part) if new and not part.revoked else {}
    write = effects.WriteNamespace(namespace, action, part.labels, notes, versioned=versioned, claims=claims)
    return replace(write, events=messages.namespace_events(write, standings))


def _claims(namespace: snapshot.Namespace, owned: ownership.Owned, part: _Difference) -> dict[str, str]:
    """Return the labels that the operator relies on and does not write now, because label-at-birth has set them."""
    relied = {labels.ENFORCEMENT, labels.GUARD, *owned.labels} - part.labels.keys()
    return {label: text for label, text in sorted(namespace.labels.items()) if label in relied}


def _action(namespace: snapshot.Namespace, part: _Difference, decision: level.Decision) -> effects.Action:
    changed: Mapping[str, str | None] = part.labels
    if changed.get(labels.PSA_ENFORCE) == labels.Level.PRIVILEGED and part.granted:
        return effects.Action.RELAX
    if part.revoked:
        restored = changed.get(labels.PSA_ENFORCE, labels.Level.PRIVILEGED.value) != labels.Level.PRIVILEGED.value
        return effects.Action.RESTORE if restored else effects.Action.REVOKE
    if decision.enforcement is None:
        return effects.Action.RELEASE
    if decision.enforcement is labels.Enforcement.HELD and not part.labels and not part.granted:
        return effects.Action.HOLD  # only the annotation changes: other objects block enforcement now
    if namespace.enforcement is decision.enforcement and part.granted:
        return effects.Action.GRANT
    has_level_before = labels.LEVEL_BEFORE in namespace.annotations
    if decision.enforcement is labels.Enforcement.DENY and not has_level_before:
        return effects.Action.ENFORCE  # also where label-at-birth has written the labels already
    if namespace.enforcement is decision.enforcement or (namespace.enforcement is None and has_level_before):
        return effects.Action.REPAIR
    return {
        labels.Enforcement.DENY: effects.Action.ENFORCE,
        labels.Enforcement.HELD: effects.Action.HOLD,
        labels.Enforcement.AUDIT: effects.Action.AUDIT,
    }[decision.enforcement]
