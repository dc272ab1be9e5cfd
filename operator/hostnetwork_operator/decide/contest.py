"""Contested namespaces: when somebody undoes what the operator writes, and what the operator still writes then.

A revert is recognized by content: a key has another value than the operator wrote there, and the plan would write that
value again. So no write of the operator is a revert, and no change that the operator leaves alone is a revert: a
stricter level, or a label that somebody else has set. After two reverts within ten minutes, and for ten minutes after
the last, the operator writes only what revokes: grants that end, and the level that was lifted for them. Both sides
could go on forever, and the winner of a write war is the last to write, not the one that is right
(docs/adr/0018-contested-namespaces.md).
"""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import effects, level, ownership, snapshot

WITHIN: Final = datetime.timedelta(minutes=10)  # docs/explanation/architecture.md#other-writers
# How often the operator revokes again what somebody puts back: a holder of setlevel can put it back at any pace.
PACE: Final = datetime.timedelta(seconds=60)
# What is written with a grant that agrees with the other writer. After the contest it would be one more write.
_WITH_GRANTS: Final = frozenset({labels.GUARD, labels.GUARD_VERSION, labels.PSA_WARN})


def ends(record: snapshot.Record, now: datetime.datetime) -> datetime.datetime | None:
    """Return until when the namespace is contested; None if it is not contested."""
    if len(record.reverts) < 2:
        return None
    before, last = record.reverts[-2:]
    return last + WITHIN if last - before < WITHIN and now < last + WITHIN else None


def undone(state: snapshot.NamespaceSnapshot, writes: Iterable[effects.WriteNamespace]) -> tuple[str, ...]:
    """Return the keys that these writes would write again because somebody has changed them. A key counts once after
    each write.
    """
    record, namespace = state.record, state.namespace
    to_write = {key for write in writes for key in (*write.labels, *write.annotations)}
    undone_keys = (
        key
        for key in to_write & record.uncounted
        if record.wrote[key] != _present(namespace, key) and not _tightened(record.wrote[key], key, namespace)
    )
    return tuple(sorted(undone_keys))


def _tightened(wrote: str | None, key: str, namespace: snapshot.Namespace) -> bool:
    """Return whether somebody restricts pods more than the operator does, which everybody may and which is no
    revert.
    """
    present, loosest = namespace.labels.get(key), labels.Level.PRIVILEGED
    if key == labels.PSA_VERSIONS[0]:  # no version means the newest; a removal of the level removes the version with it
        return not level.older(present, wrote or "latest")
    stricter = level.strictness(present, absent=loosest) > level.strictness(wrote, absent=loosest)
    return key == labels.PSA_ENFORCE and stricter


def planned(
    state: snapshot.NamespaceSnapshot,
    owned: ownership.Owned,
    enforcement: labels.Enforcement | None,
    writes: Iterable[effects.WriteNamespace],
    *,
    contested: bool,
) -> snapshot.Record:
    """Return the record of a namespace for which these writes were planned. The labels that the writes leave alone have
    the values that the operator would write, whether the operator wrote them before a restart or label-at-birth did.

    A label that somebody else has set stays, so it is not a revert, and its later removal is not a revert either.
    """
    record = replace(state.record, enforced=enforcement is labels.Enforcement.DENY)
    if contested or enforcement is None:
        return record
    present = state.namespace.labels
    set_by_others = {key for key in ownership.PSA_LABELS if key in present and key not in owned.labels}
    if level.level_of(state.namespace) is labels.Level.PRIVILEGED:
        set_by_others.discard(labels.PSA_ENFORCE)
    changed_keys = {key for write in writes for key in write.labels}
    as_written = {key: text for key, text in present.items() if _ours(key) and key not in set_by_others | changed_keys}
    new_values = {key: text for key, text in as_written.items() if record.wrote.get(key) != text}
    return replace(
        record,
        wrote={**record.wrote, **new_values},
        uncounted=(record.uncounted - (set_by_others - changed_keys)) | new_values.keys(),
    )


def counted(record: snapshot.Record, keys: Iterable[str], now: datetime.datetime) -> snapshot.Record:
    """Return the record with one more revert, of these keys."""
    return replace(record, reverts=(*record.reverts[-1:], now), uncounted=record.uncounted - set(keys))


def written(record: snapshot.Record, write: effects.WriteNamespace, now: datetime.datetime) -> snapshot.Record:
    """Return the record after a write. Removed keys are remembered until the next write, values that are set for good.

    The level and version that the operator restores when enforcement ends belong to their earlier writer again.
    """
    values = {**write.labels, **write.annotations}
    wrote = {key: value for key, value in record.wrote.items() if value is not None} | values
    if write.labels.get(labels.ENFORCEMENT, labels.Enforcement.DENY) != labels.Enforcement.DENY:
        wrote = {key: value for key, value in wrote.items() if key not in ownership.PUT_BACK}
    uncounted = (record.uncounted | values.keys()) & wrote.keys()
    return replace(record, wrote=wrote, uncounted=uncounted, written=now, conflicts=0)


def unsure(record: snapshot.Record, write: effects.WriteNamespace) -> snapshot.Record:
    """Return the record after a failed write. The API server may have carried the write out all the same, so another
    value is not a revert.
    """
    keys = write.labels.keys() | write.annotations.keys()
    wrote = {key: value for key, value in record.wrote.items() if key not in keys}
    return replace(record, wrote=wrote, uncounted=record.uncounted - keys)


def refused(record: snapshot.Record) -> snapshot.Record:
    """Return the record after a refused write, which wrote nothing: the namespace had changed meanwhile."""
    return replace(record, conflicts=record.conflicts + 1)


def revoked(
    state: snapshot.NamespaceSnapshot, revoked_grants: Mapping[str, str | None], changed: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Return what the operator revokes in a contested namespace: grants that end, and a level that it lifted itself."""
    taking = dict(revoked_grants)
    lifted = level.level_of(state.namespace) is labels.Level.PRIVILEGED
    lifted = lifted and state.record.wrote.get(labels.PSA_ENFORCE) == labels.Level.PRIVILEGED
    if lifted and labels.PSA_ENFORCE in changed:
        taking[labels.PSA_ENFORCE] = changed[labels.PSA_ENFORCE]
    return taking


def agrees(state: snapshot.NamespaceSnapshot) -> bool:
    """Return whether the other writer has lifted the level, as a grant needs it, and leaves enforcement on.

    Then a grant and its guard end the contest. Without them the namespace would stay at privileged with no guard.
    """
    namespace, wrote = state.namespace, state.record.wrote.get(labels.PSA_ENFORCE)
    lifted = level.level_of(namespace) is labels.Level.PRIVILEGED and wrote != labels.Level.PRIVILEGED
    return lifted and namespace.enforcement is labels.Enforcement.DENY


def granted(
    state: snapshot.NamespaceSnapshot, new_grants: Mapping[str, str | None], changed: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Return what is granted in a contested namespace: grants that agree with the other writer, with their guard."""
    if not new_grants or not agrees(state) or labels.PSA_ENFORCE in changed:
        return {}
    return {**new_grants, **{key: value for key, value in changed.items() if key in _WITH_GRANTS}}


def paced(record: snapshot.Record, taking: Mapping[str, str | None], now: datetime.datetime) -> bool:
    """Return whether everything in `taking` was revoked before and put back, and it is too early to revoke it again."""
    early = record.written is not None and now < record.written + PACE
    return early and all(key in record.wrote and record.wrote[key] == value for key, value in taking.items())


def moments(state: snapshot.NamespaceSnapshot, now: datetime.datetime) -> list[datetime.datetime]:
    """Return the moments from which the operator may write more in a namespace that is contested now."""
    until = ends(state.record, now)
    if until is None:
        return []
    return [until] if state.record.written is None else [until, state.record.written + PACE]


def why_nothing_is_granted(namespace: snapshot.Namespace) -> str:
    """Return the sentence for exceptions that are not granted during a contest."""
    return (
        f"namespace {namespace.name} is contested: another client undid writes of the operator there twice within"
        f" {_minutes()} minutes, so the operator grants nothing there until {_minutes()} minutes after the last time;"
        f" find the client (kubectl get namespace {namespace.name} -o yaml --show-managed-fields) and stop its writes"
    )


def described(namespace: snapshot.Namespace, keys: Iterable[str]) -> str:
    """Return the sentence for the namespace: what was undone, and what to do."""
    return (
        f"contested: another client undid writes of the operator here twice within {_minutes()} minutes:"
        f" {', '.join(keys)}; until {_minutes()} minutes after the last time the operator only revokes grants that end"
        f" and restores the levels that were lifted for these grants; find the client (the audit log, or kubectl get"
        f" namespace {namespace.name} -o yaml --show-managed-fields) and stop its writes"
    )


def _minutes() -> int:
    return round(WITHIN.total_seconds() / 60)


def _present(namespace: snapshot.Namespace, key: str) -> str | None:
    return (namespace.labels if _ours(key) else namespace.annotations).get(key)


def _ours(key: str) -> bool:
    """Return whether the key is a label that the operator writes; its other keys on a namespace are annotations."""
    return key.startswith(labels.PSA_PREFIX) or key in {labels.ENFORCEMENT, labels.GUARD, labels.GUARD_VERSION}
