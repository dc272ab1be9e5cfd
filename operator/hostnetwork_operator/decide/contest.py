"""Contested: somebody undoes what the operator writes on a namespace, and what is still written then.

A revert is told by content: a key has another value than the operator wrote there, and the plan would write it again.
So nothing of our own doing is one, and neither is what the operator leaves alone: a stricter level, a label of others.
Two reverts within ten minutes, and for ten minutes after the last only what takes away is written: grants that end and
the level that was lifted for them. Each side could go on for ever; the one that wins a write war is the last to write,
not the one that is right (docs/adr/0018-contested-namespaces.md).
"""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import effects, level, ownership, snapshot

WITHIN: Final = datetime.timedelta(minutes=10)  # docs/explanation/architecture.md#other-writers
# What was taken away and is put back is taken again this often: somebody with setlevel puts it back at any pace.
PACE: Final = datetime.timedelta(seconds=60)


def ends(record: snapshot.Record, now: datetime.datetime) -> datetime.datetime | None:
    """Until when the namespace is contested; None if it is not."""
    if len(record.reverts) < 2:
        return None
    before, last = record.reverts[-2:]
    return last + WITHIN if last - before < WITHIN and now < last + WITHIN else None


def undone(seen: snapshot.NamespaceSnapshot, writes: Iterable[effects.WriteNamespace]) -> tuple[str, ...]:
    """The keys that these writes would write again because somebody has changed them; each once after each write."""
    record, namespace = seen.record, seen.namespace
    again = {key for write in writes for key in (*write.labels, *write.annotations)}
    found = (
        key
        for key in again & record.uncounted
        if record.wrote[key] != _present(namespace, key) and not _tightened(record.wrote[key], key, namespace)
    )
    return tuple(sorted(found))


def _tightened(wrote: str | None, key: str, namespace: snapshot.Namespace) -> bool:
    """Whether somebody holds pods to more than the operator does, which everybody may, and which undoes nothing."""
    present, loosest = namespace.labels.get(key), labels.Level.PRIVILEGED
    if key == labels.PSA_VERSIONS[0]:  # no version is the newest: whoever takes the level off takes this off with it
        return not level.older(present, wrote or "latest")
    held = level.strictness(present, absent=loosest) > level.strictness(wrote, absent=loosest)
    return key == labels.PSA_ENFORCE and held


def stands(
    seen: snapshot.NamespaceSnapshot,
    owned: ownership.Owned,
    enforcement: labels.Enforcement | None,
    writes: Iterable[effects.WriteNamespace],
    *,
    contested: bool,
) -> snapshot.Record:
    """The record of a namespace for which these writes were planned. What they leave alone is as the operator would
    write it, whoever did: the operator before a restart, or label-at-birth.

    A label that somebody else has set stays, so it is no revert, and neither is its removal later.
    """
    record = replace(seen.record, enforced=enforcement is labels.Enforcement.DENY)
    if contested or enforcement is None:
        return record
    present = seen.namespace.labels
    theirs = {key for key in ownership.PSA_LABELS if key in present and key not in owned.labels}
    if level.level_of(seen.namespace) is labels.Level.PRIVILEGED:
        theirs.discard(labels.PSA_ENFORCE)
    changed = {key for write in writes for key in write.labels}
    mine = {key: text for key, text in present.items() if _ours(key) and key not in theirs | changed}
    new = {key: text for key, text in mine.items() if record.wrote.get(key) != text}
    return replace(
        record, wrote={**record.wrote, **new}, uncounted=(record.uncounted - (theirs - changed)) | new.keys()
    )


def counted(record: snapshot.Record, keys: Iterable[str], now: datetime.datetime) -> snapshot.Record:
    """The record with one revert more, of these keys."""
    return replace(record, reverts=(*record.reverts[-1:], now), uncounted=record.uncounted - set(keys))


def written(record: snapshot.Record, write: effects.WriteNamespace, now: datetime.datetime) -> snapshot.Record:
    """The record once that is written. What was removed is remembered until the next write, what stands for good.

    The level and version that are put back with the end of enforcement are their owner's again.
    """
    new = {**write.labels, **write.annotations}
    wrote = {key: value for key, value in record.wrote.items() if value is not None} | new
    if write.labels.get(labels.ENFORCEMENT, labels.Enforcement.DENY) != labels.Enforcement.DENY:
        wrote = {key: value for key, value in wrote.items() if key not in ownership.PUT_BACK}
    uncounted = (record.uncounted | new.keys()) & wrote.keys()
    return replace(record, wrote=wrote, uncounted=uncounted, written=now, conflicts=0)


def unsure(record: snapshot.Record, write: effects.WriteNamespace) -> snapshot.Record:
    """The record once that has failed: it may have been carried out all the same, so another value is no revert."""
    keys = write.labels.keys() | write.annotations.keys()
    wrote = {key: value for key, value in record.wrote.items() if key not in keys}
    return replace(record, wrote=wrote, uncounted=record.uncounted - keys)


def refused(record: snapshot.Record) -> snapshot.Record:
    """The record once a write was refused because the namespace had changed meanwhile: nothing was written."""
    return replace(record, conflicts=record.conflicts + 1)


def takes(
    seen: snapshot.NamespaceSnapshot, taken: Mapping[str, str | None], changed: Mapping[str, str | None]
) -> dict[str, str | None]:
    """What is written in a contested namespace: grants that end, and a level that nobody else lifted."""
    made = dict(taken)
    lifted = level.level_of(seen.namespace) is labels.Level.PRIVILEGED
    lifted = lifted and seen.record.wrote.get(labels.PSA_ENFORCE) == labels.Level.PRIVILEGED
    if lifted and labels.PSA_ENFORCE in changed:
        made[labels.PSA_ENFORCE] = changed[labels.PSA_ENFORCE]
    return made


def agrees(seen: snapshot.NamespaceSnapshot) -> bool:
    """Whether the other writer has lifted the level, which a grant needs, and leaves enforcement on.

    Then a grant and its guard end the contest, where withholding them would leave a level that nothing holds.
    """
    namespace, wrote = seen.namespace, seen.record.wrote.get(labels.PSA_ENFORCE)
    lifted = level.level_of(namespace) is labels.Level.PRIVILEGED and wrote != labels.Level.PRIVILEGED
    return lifted and namespace.enforcement is labels.Enforcement.DENY


def gives(
    seen: snapshot.NamespaceSnapshot, given: Mapping[str, str | None], changed: Mapping[str, str | None]
) -> dict[str, str | None]:
    """What is given in a contested namespace: grants that agree with the other writer, and their guard with them.

    The warn level that follows the guard too: written after the contest, it would be one more write of a label.
    """
    if not given or not agrees(seen) or labels.PSA_ENFORCE in changed:
        return {}
    return {**given, **{key: value for key, value in changed.items() if key in {labels.GUARD, labels.PSA_WARN}}}


def paced(record: snapshot.Record, taking: Mapping[str, str | None], now: datetime.datetime) -> bool:
    """Whether all of it was taken once and put back, and it is too early to take it again."""
    early = record.written is not None and now < record.written + PACE
    return early and all(key in record.wrote and record.wrote[key] == value for key, value in taking.items())


def moments(seen: snapshot.NamespaceSnapshot, now: datetime.datetime) -> list[datetime.datetime]:
    """When something in a contested namespace may be done again."""
    until = ends(seen.record, now)
    if until is None:
        return []
    return [until] if seen.record.written is None else [until, seen.record.written + PACE]


def why_nothing_is_granted(namespace: snapshot.Namespace) -> str:
    """For the exceptions that are not granted meanwhile."""
    return (
        f"namespace {namespace.name} is contested: what the operator writes there was undone twice within"
        f" {_minutes()} minutes, so it gives nothing there until {_minutes()} minutes after the last time; find who"
        f" else writes its labels (kubectl get namespace {namespace.name} -o yaml --show-managed-fields) and stop that"
    )


def described(namespace: snapshot.Namespace, keys: Iterable[str]) -> str:
    """For the namespace: what was undone, and what to do."""
    return (
        f"contested: somebody has undone what the operator writes here, twice within {_minutes()} minutes:"
        f" {', '.join(keys)}; until {_minutes()} minutes after the last time only grants that end are taken and levels"
        f" lifted for them put back; find who writes these labels (the audit log, or kubectl get namespace"
        f" {namespace.name} -o yaml --show-managed-fields) and stop that"
    )


def _minutes() -> int:
    return round(WITHIN.total_seconds() / 60)


def _present(namespace: snapshot.Namespace, key: str) -> str | None:
    return (namespace.labels if _ours(key) else namespace.annotations).get(key)


def _ours(key: str) -> bool:
    """Whether it is a label that the operator writes; what else it writes on a namespace are annotations."""
    return key.startswith(labels.PSA_PREFIX) or key in {labels.ENFORCEMENT, labels.GUARD}
