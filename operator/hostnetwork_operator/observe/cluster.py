"""The complete snapshot of a namespace. Nobody completes it elsewhere.

A snapshot is made from a store of objects, a copy of the ledger, the API server's clock, and what was asked about the
namespace. The running operator keeps all of these up to date. Whoever looks once reads them (`read`), and has asked
nothing yet.
"""

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from hostnetwork_operator import clock
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import ledger as copies
from hostnetwork_operator.observe import live, store

# What makes the rest understood comes first; pods last, so that none is judged before what covers it is known.
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
    """What was asked about a namespace, because no object says it. `tops` is who is at the top of an owner, None where
    that owner is gone. `accounts` are the service accounts of exceptions that cover nothing, by name. `record` is what
    this process has written on the namespace.
    """

    gate: snapshot.GateAnswer | None = None
    tops: dict[snapshot.Reference, snapshot.Reference | None] = field(default_factory=dict)
    accounts: dict[str, snapshot.Account] = field(default_factory=dict)
    record: snapshot.Record = field(default_factory=snapshot.Record)


class Cluster:
    """The cluster as it is known. `ledger` gives what the ledger says about a namespace, `trusted` whether the API
    server's time is sure enough to delete by, `shortages` which workloads lack pods, None while that is not known.
    """

    def __init__(
        self,
        kept: store.Store,
        ledger: Callable[[snapshot.NamespaceSnapshot], snapshot.Ledger],
        trusted: Callable[[], bool],
        answers: Callable[[snapshot.Namespace], Answers] = lambda _: Answers(),
        shortages: Callable[[str], Sequence[snapshot.Shortage] | None] = lambda _: None,
        patience: datetime.timedelta = snapshot.PATIENCE,
    ) -> None:
        self.store = kept
        self._ledger = ledger
        self._trusted = trusted
        self._answers = answers
        self._shortages = shortages
        self._patience = patience

    def snapshot(self, name: str) -> snapshot.NamespaceSnapshot | None:
        """Return everything that the plan for a namespace depends on; None where there is no namespace of that name."""
        seen = self.store.snapshot(name)
        if seen is None:
            return None
        answers, shortages = self._answers(seen.namespace), self._shortages(name)
        return dataclasses.replace(
            seen,
            ledger=self._ledger(seen),
            gate=answers.gate,
            clock_trusted=self._trusted(),
            tops=dict(answers.tops),
            accounts=dict(answers.accounts),
            record=answers.record,
            shortages=None if shortages is None else tuple(shortages),
            patience=self._patience,
        )


async def read(reader: live.Reader, server_clock: clock.ServerClock) -> Cluster:
    """Read the whole cluster once, and return the cluster as it is. Raise what the reader raises.

    Nothing was asked about a namespace and no report is known, so its plan has needs, and no reports to write.
    """
    kept, copy = store.Store(server_clock.now), copies.Ledger()
    for kind in ORDER:
        await live.fill(reader, kept, kind, server_clock)
    known = kept.policy_object()
    copy.load(await live.ledger(reader), known.status.ledger if known is not None else None)
    kept.guards_recorded(copy.guards())
    return Cluster(kept, copy.view, server_clock.trusted)
