"""The complete snapshot of a namespace. No other module completes a snapshot.

A snapshot is made from a store of objects, a copy of the ledger, the API server's clock, and the answers to what was
asked about the namespace. The running operator keeps all of these up to date. A command that needs the cluster only
once reads them with `read`, and has no answers.
"""

import asyncio
import dataclasses
import datetime
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from hostnetwork_operator import clock
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import ledger as copies
from hostnetwork_operator.observe import live, store

# The kinds that other kinds depend on come first. Pods come last, so that no pod is evaluated before the exception
# that covers it is known.
ORDER: Final = (
    store.Kind.ADMISSION_POLICY,
    store.Kind.ADMISSION_BINDING,
    store.Kind.POLICY,
    store.Kind.EXCEPTION,
    store.Kind.NAMESPACE,
    store.Kind.POD,
    store.Kind.EVERY_POD,
)


@dataclass(slots=True)
class Answers:
    """The answers to what was asked about a namespace, because no stored object contains it.

    `tops` has the top owner by owner, None where the owner no longer exists. `accounts` are the service accounts of
    exceptions that cover nothing, by name. `record` is what this process has written on the namespace, and `written`
    what it has written about exceptions and reports.
    """

    gate: snapshot.GateAnswer | None = None
    tops: dict[snapshot.Reference, snapshot.Reference | None] = field(default_factory=dict)
    accounts: dict[str, snapshot.Account] = field(default_factory=dict)
    record: snapshot.Record = field(default_factory=snapshot.Record)
    written: dict[str, snapshot.LastWrite] = field(default_factory=dict)


class Cluster:
    """The cluster as this process knows it.

    `ledger` returns what the ledger says about a namespace. `trusted` returns whether the API server's time is certain
    enough to delete pods by. `shortages` returns which workloads lack pods; None while that is not known. `complete`
    returns whether these are all. `pods_complete` returns whether all pods have been listed, also those that no watch
    reports.
    """

    def __init__(
        self,
        cache: store.Store,
        ledger: Callable[[snapshot.NamespaceSnapshot], snapshot.LedgerView],
        trusted: Callable[[], bool],
        answers: Callable[[snapshot.Namespace], Answers] = lambda _: Answers(),
        shortages: Callable[[str], Sequence[snapshot.Shortage] | None] = lambda _: None,
        patience: datetime.timedelta = snapshot.PATIENCE,
        complete: Callable[[str], bool] = lambda _: True,
        pods_complete: Callable[[], bool] = lambda: True,
    ) -> None:
        self.store = cache
        self._ledger = ledger
        self._trusted = trusted
        self._answers = answers
        self._shortages = shortages
        self._patience = patience
        self._complete = complete
        self._pods_complete = pods_complete

    def snapshot(self, name: str) -> snapshot.NamespaceSnapshot | None:
        """Return everything that the plan for a namespace depends on; None if no namespace has that name."""
        stored = self.store.snapshot(name)
        if stored is None:
            return None
        answers, shortages = self._answers(stored.namespace), self._shortages(name)
        return dataclasses.replace(
            stored,
            ledger=self._ledger(stored),
            gate=answers.gate,
            clock_trusted=self._trusted(),
            tops=dict(answers.tops),
            accounts=dict(answers.accounts),
            record=answers.record,
            written=dict(answers.written),
            shortages=None if shortages is None else tuple(shortages),
            shortages_complete=self._complete(name),
            pods_complete=self._pods_complete(),
            patience=self._patience,
        )


async def read(
    reader: live.Reader,
    server_clock: clock.ServerClock,
    *,
    kinds: Sequence[store.Kind] = ORDER,
    scope: live.Scope = live.EVERYWHERE,
    unread: Callable[[store.Store, str, Exception], None] | None = None,
    answers: Callable[[snapshot.Namespace], Answers] = lambda _: Answers(),
) -> Cluster:
    """Read the cluster once, and return its current state. `kinds` are the kinds to read.

    If something cannot be read, call `unread` with the store, the name of the kind (or `ledger`) and the reader's
    error; `unread` may raise. Without `unread`, raise the error.

    Nothing was asked about any namespace but what `answers` has, so a plan for a namespace has needs. No report is
    known, so the plan has no reports to write.
    """

    async def attempt(name: str, reading: Awaitable[object]) -> None:
        try:
            await reading
        except Exception as error:  # the reader raises its own errors
            if unread is None:
                raise
            unread(objects, name, error)

    objects, copy = store.Store(server_clock.now), copies.Ledger()
    config_maps: list[live.Body] = []

    async def read_ledger() -> None:
        config_maps.extend(await live.ledger(reader))
        policy_object = objects.policy_object()
        copy.load(config_maps, policy_object.status.ledger if policy_object is not None else None)
        objects.guards_recorded(copy.guards())

    def fill(kind: store.Kind) -> Awaitable[None]:
        return attempt(kind.value, live.fill(reader, objects, kind, server_clock, scope))

    await asyncio.gather(*(fill(kind) for kind in kinds if kind is not store.Kind.EVERY_POD))
    if store.Kind.EVERY_POD in kinds:  # counts the ordinary pods of namespaces that are known already
        await fill(store.Kind.EVERY_POD)
    await attempt("ledger", read_ledger())
    return Cluster(objects, copy.view, server_clock.trusted, answers)
