"""Reads what a command is about, once, and keeps what it could not read: not looked at is not clean."""

import asyncio
import dataclasses
import datetime
import enum
import functools
import urllib.parse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import labels
from hostnetwork_operator.cli import connect, errors
from hostnetwork_operator.decide import inventory, plan, report, snapshot
from hostnetwork_operator.observe import cluster, live, store

_AT_ONCE: Final = 16  # requests for owners at the same time
_KINDS: Final = tuple(kind for kind in cluster.ORDER if kind is not store.Kind.EVERY_POD)
_LEDGER: Final = "ledger"
# What a command cannot tell while it may not read a kind.
_CONSEQUENCES: Final = {
    store.Kind.POD.value: "pods are not shown",
    store.Kind.EVERY_POD.value: "pods with only hostPID or hostIPC are not shown",
    store.Kind.NAMESPACE.value: "namespaces are not shown",
    store.Kind.EXCEPTION.value: "no exception is known",
    store.Kind.POLICY.value: "the HostNetworkExceptionPolicy is not known, so namespaces may be exempt",
    store.Kind.ADMISSION_POLICY.value: "whether the admission policies are intact is not known",
    store.Kind.ADMISSION_BINDING.value: "whether the admission policies are intact is not known",
    _LEDGER: "which exceptions are approved is not known",
}


@dataclass(frozen=True, slots=True)
class NotLookedAt:
    """Something that a command could not read: what, why, and what it therefore cannot tell."""

    what: str
    why: str
    consequence: str


@dataclass(slots=True)
class Reading:
    """The cluster as it was read at `now`, which is the API server's time.

    `installed`: whether the API server serves HostNetworkExceptions.
    """

    cluster: cluster.Cluster
    now: datetime.datetime
    installed: bool
    not_looked_at: tuple[NotLookedAt, ...]

    @property
    def exceptions(self) -> bool:
        """Whether the exceptions were read."""
        return all(each.what != store.Kind.EXCEPTION.value for each in self.not_looked_at)

    @property
    def approvals(self) -> bool:
        """Whether the ledger was read, which proves approvals."""
        return all(each.what != _LEDGER for each in self.not_looked_at)

    def plans(self) -> Iterable[tuple[snapshot.NamespaceSnapshot, plan.NamespacePlan]]:
        """Yield each namespace with the plan that the operator would make for it, with the verdicts that are known."""
        for name in self.cluster.store.namespaces():
            state = self.cluster.snapshot(name)
            if state is not None:
                made = plan.plan_namespace(state, self.now)
                known = functools.partial(
                    inventory.as_known, standings=made.standings, exceptions=self.exceptions, approvals=self.approvals
                )
                yield state, dataclasses.replace(made, judged=tuple(map(known, made.judged)))


@dataclass(slots=True)
class _Failures:
    """Collects what cannot be read."""

    found: list[NotLookedAt] = field(default_factory=list)
    installed: bool = True

    def __call__(self, objects: store.Store, what: str, error: Exception) -> None:
        """Note the error of a read, or raise it if it says that nothing can be read."""
        if not isinstance(error, gateway.ApiError) or error.status in {0, 401}:
            raise error
        missing = error.status == 404
        if missing and what in {store.Kind.EXCEPTION.value, store.Kind.POLICY.value}:
            self.installed = False
            objects.policies_gone()
            return
        if what in {store.Kind.ADMISSION_POLICY.value, store.Kind.ADMISSION_BINDING.value}:
            objects.admission_unlisted(store.Kind(what))
        self.found.append(NotLookedAt(what, error.message or error.reason, _CONSEQUENCES[what]))


class WhichPods(enum.Enum):
    """Which pods to read. Only for hostNetwork the API server has a field selector; else every pod is listed."""

    ON_THE_HOST_NETWORK = enum.auto()
    OF_EXCEPTIONS = enum.auto()  # also every pod of a namespace with an exception for other pods
    ALL = enum.auto()


async def read(
    connection: connect.Connection,
    scope: live.Scope = live.EVERYWHERE,
    *,
    pods: WhichPods = WhichPods.ON_THE_HOST_NETWORK,
) -> Reading:
    """Read the cluster, or one namespace.

    Raise CommandError for a namespace that does not exist, and the ApiErrors of a server that answers nobody.
    """
    unread = _Failures()
    answers: dict[str, cluster.Answers] = {}
    kinds = [*_KINDS, store.Kind.EVERY_POD] if pods is WhichPods.ALL else _KINDS
    seen = await cluster.read(
        connection.gateway,
        connection.clock,
        kinds=kinds,
        scope=scope,
        unread=unread,
        answers=lambda namespace: answers.setdefault(namespace.uid, cluster.Answers()),
    )
    names_unread = any(each.what == store.Kind.NAMESPACE.value for each in unread.found)
    if scope.namespace is not None and not names_unread and seen.store.namespace(scope.namespace) is None:
        raise errors.CommandError(f'Error from server (NotFound): namespaces "{scope.namespace}" not found')
    if pods is WhichPods.OF_EXCEPTIONS:
        await _read_pods_of_exceptions(connection, seen, unread)
    unread.found += await _read_tops(connection.gateway, seen, answers)
    if not unread.installed:  # then there are no approvals to read
        unread.found = [each for each in unread.found if each.what != _LEDGER]
    return Reading(seen, connection.clock.now(), unread.installed, tuple(_once(unread.found)))


async def selected(connection: connect.Connection, path: str, selector: str) -> frozenset[tuple[str, str]]:
    """Return the namespace and the name of each object of a list whose labels match. The API server compares them.

    An object without a namespace has '' for it. A kind that is not served has no objects.
    """
    found = set()
    try:
        async for page in live.pages(connection.gateway, f"{path}?labelSelector={urllib.parse.quote(selector)}"):
            bodies = (*(body["metadata"] for body in page.items), *(each.meta for each in page.undecoded))
            found |= {(meta.get("namespace", ""), meta["name"]) for meta in bodies}
    except gateway.ApiError as error:
        if error.status != 404:
            raise
    return frozenset(found)


async def _read_pods_of_exceptions(connection: connect.Connection, seen: cluster.Cluster, unread: _Failures) -> None:
    """List every pod of the namespaces that have an exception for pods without the host network."""
    for name in seen.store.namespaces():
        state = seen.store.snapshot(name)
        if state is None or all(labels.HostNamespace.NETWORK in e.spec.host_namespaces for e in state.exceptions):
            continue
        try:
            await live.fill_pods(connection.gateway, seen.store, name, connection.clock)
        except gateway.ApiError as error:
            unread(seen.store, store.Kind.EVERY_POD.value, error)


async def _read_tops(
    reader: live.Reader, seen: cluster.Cluster, answers: dict[str, cluster.Answers]
) -> list[NotLookedAt]:
    """Read the controllers of the ReplicaSets and Jobs that pods name as owners."""
    limit = asyncio.Semaphore(_AT_ONCE)
    failed: list[NotLookedAt] = []

    async def read_top(tops: dict[snapshot.Reference, snapshot.Reference | None], owner: snapshot.Reference) -> None:
        async with limit:
            try:
                tops[owner] = await live.top_of(reader, owner)
            except gateway.ApiError as error:
                if error.status in {0, 401}:
                    raise
                tops[owner] = owner if error.status != 404 else None
                if error.status != 404:
                    what, why = f"{owner.kind.lower()}s", error.message or error.reason
                    failed.append(NotLookedAt(what, why, f"pods are shown under their {owner.kind}"))

    reads = []
    for name in seen.store.namespaces():
        state = seen.snapshot(name)
        if state is None:
            continue
        tops = answers[state.namespace.uid].tops
        reads += [read_top(tops, owner) for owner in report.unknown_owners(state)]
    await asyncio.gather(*reads)
    return failed


def _once(found: Sequence[NotLookedAt]) -> list[NotLookedAt]:
    """Return one entry for each kind."""
    return list({each.what: each for each in reversed(found)}.values())[::-1]
