"""The operator's copy of its ledger: what is stored, what is to be stored, and in which ConfigMap.

Only what is stored counts in a decision. How a change is written is in act/ledger, when in control/bookkeeping.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hostnetwork_operator.api import ledger, policy
from hostnetwork_operator.decide import snapshot

Body = Mapping[str, Any]
_INDEX_BYTES: Final = 512  # kept free in the first object
_FULL: Final = f"the ledger is full: {len(ledger.SHARDS)} ConfigMaps of {ledger.SHARD_BYTES // 1024} KiB"


@dataclass(slots=True)
class Shard:
    """One ConfigMap: its uid, '' for one that is still to be made, and the texts by data key."""

    name: str
    uid: str = ""
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(len(key) + len(text.encode()) for key, text in self.texts.items())


@dataclass(frozen=True, slots=True)
class Change:
    """What one ConfigMap is to get; None removes a key."""

    shard: Shard
    texts: Mapping[str, str | None]


class Ledger:
    """Records by data key, as they are stored."""

    def __init__(self) -> None:
        self._shards: dict[str, Shard] = {}
        self._where: dict[str, str] = {}  # data key to name of its shard
        self._records: dict[str, ledger.Record] = {}
        self.damaged: set[str] = set()  # data keys whose text is no record
        self.omitted: set[str] = set()  # data keys of records that found no room
        self.state = ledger.State.UNREADABLE
        self.trouble = "the ledger was not read yet"

    # -- reading ------------------------------------------------------------------------------------------------

    def load(self, bodies: Iterable[Body], known: policy.LedgerCounts | None) -> None:
        """Take in all ConfigMaps of the ledger. `known` is what the policy's status says of a ledger, if anything."""
        self._shards.clear()
        self._where.clear()
        self._records.clear()
        self.damaged.clear()
        for body in bodies:
            meta = body["metadata"]
            if meta["name"] not in ledger.SHARDS:
                continue
            texts = {str(key): str(text) for key, text in (body.get("data") or {}).items()}
            self._shards[meta["name"]] = Shard(meta["name"], meta["uid"], texts)
            for key, text in texts.items():
                self._where[key] = meta["name"]
                try:
                    self._records[key] = ledger.decode(key, text)
                except ValueError:
                    self.damaged.add(key)
        self.trouble = ""
        self.state = self._judged(known)
        if self.state is ledger.State.UNREADABLE:
            self.trouble = "the ledger was written by a newer release; install that release again"
        if self.index is None:
            self._records[ledger.INDEX] = ledger.Index(id=uuid.uuid4().hex, format=ledger.FORMAT)

    @property
    def index(self) -> ledger.Index | None:
        found = self._records.get(ledger.INDEX)
        return found if isinstance(found, ledger.Index) else None

    @property
    def id(self) -> str:
        return self.index.id if self.index is not None else ""

    def view(self, seen: snapshot.NamespaceSnapshot) -> snapshot.Ledger:
        """Return what is stored of a namespace and its exceptions; where it goes, or the kind of its exceptions is not
        served, also of those that are gone.
        """
        uids = {subject.metadata.uid for subject in seen.exceptions} | {one.uid for one in seen.unreadable_exceptions}
        if seen.namespace.terminating or not seen.exceptions_served:
            uids |= self._of(seen.namespace.uid)
        found = {uid: self._records.get(ledger.EXCEPTION + uid) for uid in uids}
        own = ledger.NAMESPACE + seen.namespace.uid
        namespace = self._records.get(own)
        asked = {own, *(ledger.EXCEPTION + uid for uid in uids)}
        return snapshot.Ledger(
            state=self.state,
            trouble=self.trouble or (_FULL if asked & self.omitted else ""),
            namespace=namespace if isinstance(namespace, ledger.NamespaceRecord) else None,
            exceptions={uid: one for uid, one in found.items() if isinstance(one, ledger.ExceptionRecord)},
        )

    def _of(self, namespace_uid: str) -> set[str]:
        """The uids of the exceptions that are recorded for a namespace."""
        return {
            key.removeprefix(ledger.EXCEPTION)
            for key, record in self._records.items()
            if isinstance(record, ledger.ExceptionRecord) and record.namespace_uid == namespace_uid
        }

    def settle(self) -> None:
        """Leave the state after a first start or a loss; what could not be read is removed with the next write."""
        self.state = ledger.State.INTACT

    def guards(self) -> dict[str, ledger.GuardRecord]:
        """Return the records of admission policies by name."""
        return {
            key.removeprefix(ledger.GUARD): record
            for key, record in self._records.items()
            if isinstance(record, ledger.GuardRecord)
        }

    def get(self, key: str) -> ledger.Record | None:
        return self._records.get(key)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the data keys that are stored."""
        return iter(self._records)

    def summary(self) -> snapshot.LedgerSummary:
        """Return what status and metrics show."""
        exceptions = [record for record in self._records.values() if isinstance(record, ledger.ExceptionRecord)]
        namespaces = [record for record in self._records.values() if isinstance(record, ledger.NamespaceRecord)]
        counts = policy.LedgerCounts(
            id=self.id,
            exceptions=sum(record.approved for record in exceptions),
            namespaces=len(namespaces),
            unproven=sum(record.kept and not record.approved for record in exceptions),
            levels_unknown=sum(record.enforced and record.before is None for record in namespaces),
        )
        return snapshot.LedgerSummary(self.state, self.trouble or (_FULL if self.omitted else ""), counts)

    @property
    def bytes(self) -> int:
        """The size of all data keys and values."""
        return sum(shard.size for shard in self._shards.values())

    # -- writing ------------------------------------------------------------------------------------------------

    def changes(self, records: Mapping[str, ledger.Record | None]) -> list[Change]:
        """Return what is to be written for these records, the first ConfigMap with the index last.

        A record that finds no room is omitted: it must not keep the others from being stored.
        """
        self.omitted = set()
        wanted: dict[str, dict[str, str | None]] = {}
        if self.state is ledger.State.INTACT:
            records = {**dict.fromkeys(self.damaged), **records}
        room = {name: ledger.SHARD_BYTES - shard.size for name, shard in self._shards.items()}
        for key, record in sorted(records.items()):
            text = ledger.encode(record) if record is not None else None
            place = self._where.get(key)
            if text is None and place is None:
                continue
            if place is None:
                size = len(key) + len((text or "").encode())
                place = self._place(room, size)
                if place is None:
                    self.omitted.add(key)
                    continue
                room[place] -= size
            if self._text(place, key) != text:
                wanted.setdefault(place, {})[key] = text
        self._indexed(wanted)
        ordered = sorted(wanted, key=lambda name: (name == ledger.SHARDS[0], name))
        return [Change(self._shards.get(name, Shard(name)), wanted[name]) for name in ordered]

    def stored(self, change: Change, body: Body) -> None:
        """Take in a ConfigMap as it is after a change."""
        name = change.shard.name
        shard = self._shards.setdefault(name, Shard(name))
        shard.uid = body["metadata"]["uid"]
        for key, text in change.texts.items():
            if text is None:
                shard.texts.pop(key, None)
                self._where.pop(key, None)
                self._records.pop(key, None)
            else:
                shard.texts[key] = text
                self._where[key] = name
                self._records[key] = ledger.decode(key, text)
            self.damaged.discard(key)

    def repairs(self, bodies: Iterable[Body]) -> list[Change]:
        """Return what the stored ConfigMaps lack or have otherwise; what this process knows counts."""
        stored = {body["metadata"]["name"]: body for body in bodies}
        made = []
        for name, shard in sorted(self._shards.items()):
            body = stored.get(name)
            if body is None:
                made.append(Change(Shard(name, "", {}), dict(shard.texts)))
                continue
            shard.uid = body["metadata"]["uid"]
            data = body.get("data") or {}
            texts: dict[str, str | None] = {k: t for k, t in shard.texts.items() if data.get(k) != t}
            texts |= dict.fromkeys(data.keys() - shard.texts.keys())
            if texts:
                made.append(Change(shard, texts))
        return made

    def _judged(self, known: policy.LedgerCounts | None) -> ledger.State:
        index = self.index
        if index is not None and index.format > ledger.FORMAT:
            return ledger.State.UNREADABLE
        if index is not None and index.state is not None:
            return index.state
        if index is None and not self._shards and not (known and known.id):
            return ledger.State.SEEDING
        lost = index is None or any(name not in self._shards for name in ledger.SHARDS[: index.shards])
        return ledger.State.LOST if lost or self.damaged else ledger.State.INTACT

    def _place(self, room: dict[str, int], size: int) -> str | None:
        for number, name in enumerate(ledger.SHARDS):
            reserved = _INDEX_BYTES if number == 0 else 0
            if room.setdefault(name, ledger.SHARD_BYTES) - reserved >= size:
                return name
        return None

    def _text(self, place: str, key: str) -> str | None:
        shard = self._shards.get(place)
        return shard.texts.get(key) if shard is not None else None

    def _indexed(self, wanted: dict[str, dict[str, str | None]]) -> None:
        """Add the index, if it is to change: it counts the ConfigMaps, and keeps a state that is not over."""
        if self.index is None:
            return
        names = self._shards.keys() | wanted.keys()
        shards = max((number for number, name in enumerate(ledger.SHARDS, 1) if name in names), default=1)
        lasting = self.state if self.state in {ledger.State.SEEDING, ledger.State.LOST} else None
        text = ledger.encode(self.index.model_copy(update={"shards": shards, "state": lasting}))
        first = ledger.SHARDS[0]
        if self._text(first, ledger.INDEX) != text:
            wanted.setdefault(first, {})[ledger.INDEX] = text
