"""Keeps the ledger: gathers records from plans, confirms what the records rest on, stores the records, and has the
waiting namespaces planned again.

This work runs concurrently with the reconciles, so that no level and no delete waits for the ledger.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from hostnetwork_operator import logs
from hostnetwork_operator.act import gateway
from hostnetwork_operator.act import ledger as storage
from hostnetwork_operator.api import ledger
from hostnetwork_operator.control import loops, reread
from hostnetwork_operator.decide import effects, selection, snapshot
from hostnetwork_operator.observe import ledger as copies
from hostnetwork_operator.observe import live, parse, store

_log = logging.getLogger(__name__)
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0
# Records of removed objects wait at most this long for their removal, less if another record is written.
_PRUNE_SECONDS: Final = 30.0
# Records that come together are stored together. At the first start the records of all namespaces come within seconds.
# A longer wait then turns many writes into few, and no delete and no label waits for it.
_GATHER_SECONDS: Final = 0.01
_GATHER_FIRST_SECONDS: Final = 0.5


class _Submission(NamedTuple):
    """A record to be stored, and the name of its namespace."""

    effect: effects.RecordException | effects.RecordNamespace
    namespace: str


class Bookkeeper:
    """The ledger of one cluster. `wake` has a namespace planned again, `wake_all` has all namespaces planned again.
    `changed` is called when the policy's status and the metrics must show something else.
    """

    def __init__(
        self,
        api: gateway.Gateway,
        cache: store.Store,
        clock: live.Clock,
        wake: Callable[[str], None],
        wake_all: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self.copy = copies.Ledger()
        self._api = api
        self._store = cache
        self._clock = clock
        self._wake = wake
        self._wake_all = wake_all
        self._on_change = changed
        self._pending: dict[str, _Submission] = {}
        self._storing: dict[str, _Submission] = {}
        self._gone: set[str] = set()
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._writing = asyncio.Lock()

    # -- the interface --------------------------------------------------------------------------------------------

    def submit(self, effect: effects.RecordException | effects.RecordNamespace, namespace: str) -> None:
        """Have a record stored as soon as possible. For each object, the newest record counts."""
        self._pending[_key(effect)] = _Submission(effect, namespace)
        self._changed.set()
        if not self.copy.trouble:
            self._idle.clear()

    def view(self, state: snapshot.NamespaceSnapshot) -> snapshot.LedgerView:
        """Return what the ledger has about a namespace and its exceptions, and which records wait to be stored."""
        key = ledger.NAMESPACE + state.namespace.uid
        submitted = (self._storing.get(key), self._pending.get(key))
        effects_of_namespace = (submission.effect for submission in submitted if submission is not None)
        coming = tuple(effect.record for effect in effects_of_namespace if isinstance(effect, effects.RecordNamespace))
        return replace(self.copy.view(state), coming=coming)

    def forget(self, kind: store.Kind, uid: str) -> None:
        """Have the record of a removed object removed."""
        prefix = {store.Kind.EXCEPTION: ledger.EXCEPTION, store.Kind.NAMESPACE: ledger.NAMESPACE}.get(kind)
        if prefix is None:
            return
        self._pending.pop(prefix + uid, None)
        if self.copy.get(prefix + uid) is not None:
            self._gone.add(prefix + uid)

    def prune(self, kind: store.Kind, uids: Iterable[str]) -> None:
        """Have the records of a kind removed whose objects are missing from a complete list."""
        prefix = {store.Kind.EXCEPTION: ledger.EXCEPTION, store.Kind.NAMESPACE: ledger.NAMESPACE}[kind]
        present_keys = {prefix + uid for uid in uids}
        self._gone |= {key for key in self.copy if key.startswith(prefix)} - present_keys

    @property
    def idle(self) -> bool:
        """Return whether no record waits that could be stored now."""
        return self._idle.is_set()

    async def until_idle(self) -> None:
        """Wait until no submitted record waits that could be stored now."""
        await self._idle.wait()

    async def load(self) -> bool:
        """Read the ledger. Return False if that failed and must be tried again. If the operator may not read the
        ledger, return True, and the operator works without the ledger.
        """
        policy = self._store.policy_object()
        try:
            bodies = await live.ledger(self._api)
        except gateway.ApiError as error:
            self.copy.trouble = f"the operator cannot read the ledger: {error.message or error.reason}"
            logs.log(_log, logging.ERROR, "ledger-unreadable", error=str(error))
            return error.status in {403, 404}
        self.copy.load(bodies, policy.status.ledger if policy is not None else None)
        self._store.guards_recorded(self.copy.guards())
        counts = self.copy.summary().counts
        level = logging.INFO if self.copy.state is not ledger.State.LOST else logging.ERROR
        logs.log(
            _log,
            level,
            "ledger",
            state=self.copy.state.value,
            exceptions=counts.exceptions,
            namespaces=counts.namespaces,
            damaged=sorted(self.copy.damaged),
        )
        return True

    def settle(self) -> None:
        """End the ledger's state of a first start or of a loss, because everything has been planned once. From now
        on, what existed before and is not recorded is not approved.
        """
        if self.copy.state in {ledger.State.SEEDING, ledger.State.LOST}:
            self.copy.settle()
            self._changed.set()
            if self._pending:
                self._wake_all()  # until now, what the pending records say counted, although it is not stored

    async def keep(self) -> None:
        """Store the submitted records, until cancelled."""
        failures = 0
        while True:
            if not self._pending.keys() - self.copy.omitted or self.copy.trouble:
                self._idle.set()
            with loops.idle():
                await self._wait(failures)
            try:
                if self.copy.state is ledger.State.UNREADABLE:
                    await self._recover()
                    continue
                if failures:
                    await self.check()  # a ConfigMap may have been deleted
                async with self._writing:
                    await self._store_pending()
                failures = 0
            except Exception as error:
                # Whatever the error is, nothing new may be granted from now on, and the reconciles go on.
                failures += 1
                self._failed(error)

    async def check(self) -> None:
        """Compare the stored ledger with the operator's copy, and store what is missing. Raise gateway.ApiError."""
        if self.copy.state is ledger.State.UNREADABLE:
            return
        async with self._writing:
            for change in self.copy.repairs(await live.ledger(self._api)):
                self.copy.stored(change, await storage.write(self._api, change))
                logs.log(_log, logging.ERROR, "ledger-repaired", object=change.shard.name, records=len(change.texts))

    # -- the implementation ---------------------------------------------------------------------------------------

    async def _wait(self, failures: int) -> None:
        if failures:
            longest_pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 10))
            await asyncio.sleep(random.uniform(longest_pause / 2, longest_pause))  # noqa: S311 - no secret
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PRUNE_SECONDS):
                await self._changed.wait()
            first = self.copy.state is ledger.State.SEEDING
            await asyncio.sleep(_GATHER_FIRST_SECONDS if first else _GATHER_SECONDS)
        self._changed.clear()

    async def _recover(self) -> None:
        await self.load()
        if self.copy.state is ledger.State.UNREADABLE:
            await asyncio.sleep(_LONGEST_PAUSE_SECONDS / 3)
        else:
            self._wake_all()

    async def _store_pending(self) -> None:
        """Store the pending records: first confirm those that rest on an admission policy, then write all together."""
        self._storing = batch = dict(self._pending)
        confirmed = await self._confirmed(batch)
        records: dict[str, ledger.Record | None] = dict(confirmed)
        records |= {ledger.GUARD + name: record for name, record in self._store.guard_records().items()}
        removing, omitted = await self._removable(), self.copy.omitted
        records |= dict.fromkeys(removing - records.keys())
        for change in self.copy.changes(records):
            self.copy.stored(change, await storage.write(self._api, change))
        self._gone -= removing
        if self.copy.omitted - omitted:
            logs.log(_log, logging.ERROR, "ledger-full", records=len(self.copy.omitted))
        names = set()
        for key, submission in batch.items():
            if self._pending.get(key) == submission and key not in self.copy.omitted:
                del self._pending[key]
            if key not in self.copy.omitted & omitted:
                names.add(submission.namespace)
        self._storing = {}
        if self.copy.trouble:
            self.copy.trouble = ""
            logs.log(_log, logging.INFO, "ledger-stored-again")
            self._wake_all()
        for name in sorted(names):
            self._wake(name)
        if names:
            self._on_change()

    async def _removable(self) -> set[str]:
        """Return the keys of removed objects whose records are no longer needed.

        When a namespace is deleted, its exceptions may be removed before its pods, and these pods still end as the
        exceptions said. Watches are not ordered among each other, so the namespace is read again if it is not known to
        be terminating.
        """
        records = {key: self.copy.get(key) for key in self._gone}
        uids = {record.namespace_uid for record in records.values() if isinstance(record, ledger.ExceptionRecord)}
        terminating = {uid for uid in uids if await self._going(uid)}
        return {
            key
            for key, record in records.items()
            if not (isinstance(record, ledger.ExceptionRecord) and record.namespace_uid in terminating)
        }

    async def _going(self, uid: str) -> bool:
        """Return whether this incarnation of a namespace is being deleted."""
        namespace = self._store.incarnation(uid)
        if namespace is not None and not namespace.terminating:
            await reread.a_namespace(self._api, self._store, namespace.name)
            namespace = self._store.incarnation(uid)
        return namespace is not None and namespace.terminating

    async def _confirmed(self, batch: Mapping[str, _Submission]) -> dict[str, ledger.Record | None]:
        """Return the records that may be stored.

        A record that rests on an admission policy is made from what a watch reported, and watches are not ordered among
        each other: the policy may already have been absent when the object was changed. So the policy is read again,
        after the object was seen.
        """
        in_place = await self._present() if any(submission.effect.guard for submission in batch.values()) else set()
        effects_by_key = {key: submission.effect for key, submission in batch.items()}
        possible = {
            key: effect for key, effect in effects_by_key.items() if not effect.guard or effect.guard in in_place
        }
        unchanged = await asyncio.gather(*(self._still(effect) for effect in possible.values()))
        return {
            key: effect.record
            for (key, effect), is_unchanged in zip(possible.items(), unchanged, strict=True)
            if is_unchanged
        }

    async def _present(self) -> set[str]:
        """Return the identities of the admission policies that are in place now."""
        for kind in (store.Kind.ADMISSION_POLICY, store.Kind.ADMISSION_BINDING):
            namespaces = await live.fill(self._api, self._store, kind, self._clock)
            if namespaces:
                self._wake_all()
        return {guard.identity for guard in self._store.guards().values() if guard.since is not None}

    async def _still(self, effect: effects.RecordException | effects.RecordNamespace) -> bool:
        """Return whether an object that must be read again still is as the record says: the namespace and the
        generation of an exception, or the labels of a namespace that rules select by.
        """
        if isinstance(effect, effects.RecordNamespace):
            return not effect.guard or await self._still_chosen(effect)
        subject = effect.subject
        if effect.young:
            namespace_body = await reread.a_namespace(self._api, self._store, subject.namespace)
            if namespace_body is None or namespace_body["metadata"]["uid"] != effect.record.namespace_uid:
                return False
        if not effect.reread:
            return True
        body = await reread.an_exception(self._api, self._store, subject.namespace, subject.name)
        metadata = body["metadata"] if body is not None else {}
        return bool(metadata.get("uid") == subject.uid and metadata.get("generation") == effect.record.generation)

    async def _still_chosen(self, effect: effects.RecordNamespace) -> bool:
        body = await reread.a_namespace(self._api, self._store, effect.namespace.name)
        if body is None or effect.record is None:
            return False
        namespace = parse.namespace(body)
        return (
            namespace.uid == effect.namespace.uid
            and selection.recordable(selection.present(namespace)) == effect.record.chosen
        )

    def _failed(self, error: Exception) -> None:
        reason = (error.message or error.reason) if isinstance(error, gateway.ApiError) else str(error)
        if isinstance(error, gateway.ApiError):
            logs.log(_log, logging.ERROR, "ledger-not-stored", error=str(error), records=len(self._pending))
        else:
            _log.error("ledger-crashed", exc_info=error)
        if not self.copy.trouble:
            self.copy.trouble = f"the operator cannot write the ledger: {reason}"
            self._wake_all()


def _key(effect: effects.RecordException | effects.RecordNamespace) -> str:
    if isinstance(effect, effects.RecordNamespace):
        return ledger.NAMESPACE + effect.namespace.uid
    return ledger.EXCEPTION + effect.subject.uid
