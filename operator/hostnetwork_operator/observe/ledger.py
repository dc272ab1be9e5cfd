"""The operator's copy of its ledger: what is stored, what has to be stored, and in which ConfigMap.

Decisions use only stored records. act/ledger writes a change, and control/bookkeeping decides when.
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
    """One ConfigMap of the ledger: its uid ('' while it does not exist yet), and the texts by data key."""

    name: str
    uid: str = ""
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(len(key) + len(text.encode()) for key, text in self.texts.items())


@dataclass(frozen=True, slots=True)
class Change:
    """The keys of one ConfigMap that have to be written, with their texts; None removes a key."""

    shard: Shard
    texts: Mapping[str, str | None]


class Ledger:
    """The stored records, by data key."""

    def __init__(self) -> None:
        self._shards: dict[str, Shard] = {}
        self._where: dict[str, str] = {}  # data key to the name of the ConfigMap that has it
        self._records: dict[str, ledger.Record] = {}
        self.damaged: set[str] = set()  # data keys whose text cannot be decoded
        self.omitted: set[str] = set()  # data keys of records for which no ConfigMap had room
        self.state = ledger.State.UNREADABLE
        self.trouble = "the operator has not read the ledger yet"

    # -- reading ------------------------------------------------------------------------------------------------

    def load(self, bodies: Iterable[Body], recorded_counts: policy.LedgerCounts | None) -> None:
        """Read all ConfigMaps of the ledger into this copy.

        `recorded_counts` is what the policy's status says about a ledger, or None.
        """
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
        self.state = self._judged(recorded_counts)
        if self.state is ledger.State.UNREADABLE:
            self.trouble = "a newer release of the operator wrote the ledger; install that release again"
        if self.index is None:
            self._records[ledger.INDEX] = ledger.Index(id=uuid.uuid4().hex, format=ledger.FORMAT)

    @property
    def index(self) -> ledger.Index | None:
        record = self._records.get(ledger.INDEX)
        return record if isinstance(record, ledger.Index) else None

    @property
    def id(self) -> str:
        return self.index.id if self.index is not None else ""

    def view(self, state: snapshot.NamespaceSnapshot) -> snapshot.LedgerView:
        """Return what is stored about a namespace and its exceptions.

        While the namespace is terminating, or the API server does not serve the kind of exceptions, the result also has
        the exceptions that no longer exist.
        """
        uids = {subject.metadata.uid for subject in state.exceptions} | {
            item.uid for item in state.unreadable_exceptions
        }
        if state.namespace.terminating or not state.exceptions_served:
            uids |= self._of(state.namespace.uid)
        records = {uid: self._records.get(ledger.EXCEPTION + uid) for uid in uids}
        namespace_key = ledger.NAMESPACE + state.namespace.uid
        namespace_record = self._records.get(namespace_key)
        keys = {namespace_key, *(ledger.EXCEPTION + uid for uid in uids)}
        return snapshot.LedgerView(
            state=self.state,
            trouble=self.trouble or (_FULL if keys & self.omitted else ""),
            namespace=namespace_record if isinstance(namespace_record, ledger.NamespaceRecord) else None,
            exceptions={uid: record for uid, record in records.items() if isinstance(record, ledger.ExceptionRecord)},
        )

    def _of(self, namespace_uid: str) -> set[str]:
        """Return the uids of the exceptions that are recorded for a namespace."""
        return {
            key.removeprefix(ledger.EXCEPTION)
            for key, record in self._records.items()
            if isinstance(record, ledger.ExceptionRecord) and record.namespace_uid == namespace_uid
        }

    def settle(self) -> None:
        """Leave the state after a first start or a loss. The next write removes the records that could not be read."""
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
        """Return what the policy's status and the metrics show about the ledger."""
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
        """Return what has to be written to store these records. The first ConfigMap, which has the index, comes last.

        A record for which no ConfigMap has room is omitted: it must not prevent the other records from being stored.
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
        """Update this copy after a change was written. `body` is the ConfigMap after the change."""
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
        """Return the changes that make the ConfigMaps agree with this process's copy, which counts as correct."""
        stored = {body["metadata"]["name"]: body for body in bodies}
        changes = []
        for name, shard in sorted(self._shards.items()):
            body = stored.get(name)
            if body is None:
                changes.append(Change(Shard(name, "", {}), dict(shard.texts)))
                continue
            shard.uid = body["metadata"]["uid"]
            data = body.get("data") or {}
            texts: dict[str, str | None] = {k: t for k, t in shard.texts.items() if data.get(k) != t}
            texts |= dict.fromkeys(data.keys() - shard.texts.keys())
            if texts:
                changes.append(Change(shard, texts))
        return changes

    def _judged(self, recorded_counts: policy.LedgerCounts | None) -> ledger.State:
        index = self.index
        if index is not None and index.format > ledger.FORMAT:
            return ledger.State.UNREADABLE
        if index is not None and index.state is not None:
            return index.state
        if index is None and not self._shards and not (recorded_counts and recorded_counts.id):
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
        """Add the index to `wanted` if it has to change.

        The index has the number of ConfigMaps, and the state of the ledger after a first start or a loss until that
        state ends.
        """
        if self.index is None:
            return
        names = self._shards.keys() | wanted.keys()
        shards = max((number for number, name in enumerate(ledger.SHARDS, 1) if name in names), default=1)
        lasting = self.state if self.state in {ledger.State.SEEDING, ledger.State.LOST} else None
        text = ledger.encode(self.index.model_copy(update={"shards": shards, "state": lasting}))
        first = ledger.SHARDS[0]
        if self._text(first, ledger.INDEX) != text:
            wanted.setdefault(first, {})[ledger.INDEX] = text
