"""Lists every kind completely into the store: once before anything is evaluated, and again at intervals.

A watch can lose an event: kopf does not report what was removed while its watch was interrupted. A list cannot. And no
field selector finds pods that have only hostPID or hostIPC, so from time to time all pods are read to find these pods.
"""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Sequence
from typing import Final

from hostnetwork_operator import clock, config, logs, metrics
from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import bookkeeping, intake, loops, memory, schedule
from hostnetwork_operator.observe import cluster, live, store

_log = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 2.0
_EVERY_POD_PAUSE_SECONDS: Final = 60.0  # a list of all pods costs the API server too much to be repeated sooner
# Watch lines that cannot be decoded cause a list at most this often, however many lines there are.
_MISSED_PAUSE_SECONDS: Final = 30.0
_OUTAGE_SECONDS: Final = 300.0  # an outage of the API server of this length is no reason to restart the operator
# If the API server does not serve a kind for this long, that is no hiccup of a start or an upgrade: its CRD no longer
# exists, nor do its objects. Then grants end as the ledger says, and do not wait for the kind to be served again.
_UNSERVED_SECONDS: Final = 60.0
_CUSTOM: Final = frozenset({store.Kind.POLICY, store.Kind.EXCEPTION})
# If the operator cannot read these kinds, it grants nothing, and existing grants end as they would otherwise.
_DISPENSABLE: Final = frozenset({store.Kind.ADMISSION_POLICY, store.Kind.ADMISSION_BINDING, store.Kind.POLICY})
_FORBIDDEN_SECONDS: Final = 60.0  # while an API server starts, RBAC may refuse everything for a moment
_WATCHED: Final = tuple(kind for kind in cluster.ORDER if kind is not store.Kind.EVERY_POD)


class Resync:
    """Lists kinds into an operator's store, and remembers which lists failed."""

    def __init__(
        self,
        api: gateway.Gateway,
        server_clock: clock.ServerClock,
        cache: store.Store,
        books: bookkeeping.Bookkeeper,
        memories: memory.Memories,
        when: schedule.Schedule,
        measures: metrics.Metrics,
        settings: config.Config,
    ) -> None:
        self._api = api
        self._clock = server_clock
        self._store = cache
        self._books = books
        self._memories = memories
        self._schedule = when
        self._metrics = measures
        self._settings = settings
        self._when: dict[store.Kind, float] = {}
        self.trouble: dict[store.Kind, str] = {}
        self._unserved: dict[store.Kind, float] = {}  # since when the API server has not served the kind
        self._forbidden: dict[store.Kind, float] = {}  # since when the operator has not been allowed to list the kind
        self._due: set[store.Kind] = set()
        self._hurry = asyncio.Event()
        self.recovered = asyncio.Event()  # set when a kind can be listed again: then it can also be watched again
        self.every_pod = asyncio.Event()  # set when all pods have been listed once

    async def fill(self) -> None:
        """List every kind that is watched once. Wait for as long as that takes, and log what is waited for.

        Start without a custom kind that has not been served for a minute. Also start without a kind that the API server
        has forbidden the operator to read for a minute, if the kind is not needed to end existing grants.
        """
        for kind in _WATCHED:
            while not await self._list(kind):
                if kind in _DISPENSABLE and self._is_long_forbidden(kind):
                    self._go_on_without(kind)
                    break
                await asyncio.sleep(_PAUSE_SECONDS)
            if kind is store.Kind.POLICY:  # the policy's status says whether there was a ledger
                while not await self._books.load():  # noqa: ASYNC110 - a retry, and nothing signals that it would succeed
                    await asyncio.sleep(_PAUSE_SECONDS)
        await self._list_reports()
        self._schedule.wake_all()

    def _go_on_without(self, kind: store.Kind) -> None:
        """Start without a kind that cannot be read. Its objects are unknown: the operator grants nothing, and existing
        grants end as they would otherwise.
        """
        logs.log(_log, logging.ERROR, "started-without", kind=kind.value, error=self.trouble[kind])
        self._when[kind] = asyncio.get_running_loop().time()
        if kind is not store.Kind.POLICY:
            self._store.admission_unlisted(kind)

    def loops(self) -> list[loops.Loop]:
        """Return the loops that list each kind at its interval. The long list of every pod delays no other list."""
        watched = functools.partial(self._keep, _WATCHED, _PAUSE_SECONDS, self._hurry)
        return [
            loops.Loop("resync", watched),
            loops.Loop("full-resync", self._keep_every_pod),
            loops.Loop("reports-resync", self._keep_reports),
            loops.Loop("ledger-check", self._keep_ledger),
        ]

    async def _keep(self, kinds: Sequence[store.Kind], pause: float, hurry: asyncio.Event) -> None:
        while True:
            with contextlib.suppress(TimeoutError), loops.idle():
                async with asyncio.timeout(min(pause, *(self._interval(kind) for kind in kinds))):
                    await hurry.wait()
            hurry.clear()
            now = asyncio.get_running_loop().time()
            for kind in kinds:
                interval = self._interval(kind)
                if self._store.unread.lines(kind.value):
                    interval = min(interval, _MISSED_PAUSE_SECONDS)
                if kind in self._due or now - self._when[kind] >= interval or kind in self.trouble:
                    self._due.discard(kind)
                    await self._list(kind)

    async def _keep_every_pod(self) -> None:
        """List all pods at once and then at intervals. Most of them are ordinary pods, and no level and no delete
        depends on these. So neither waits for the first list, which takes minutes in a large cluster.
        """
        while not await self._list(store.Kind.EVERY_POD):
            await loops.sleep(_PAUSE_SECONDS)  # not a minute: statuses and reports wait for the first list
        self.every_pod.set()
        self._schedule.wake_all()  # what people are told has waited for this list
        await self._keep((store.Kind.EVERY_POD,), _EVERY_POD_PAUSE_SECONDS, asyncio.Event())

    async def _keep_reports(self) -> None:
        while True:
            await loops.sleep(self._settings.resync_seconds)
            await self._list_reports()

    async def _keep_ledger(self) -> None:
        while True:
            await loops.sleep(self._settings.resync_seconds)
            try:
                await self._books.check()
            except gateway.ApiError as error:
                logs.log(_log, logging.ERROR, "ledger-not-checked", error=str(error))
            except Exception:  # the next check may succeed, and the reconciles go on
                _log.exception("ledger-check-crashed")

    async def _list_reports(self) -> None:
        """Find out which kind of report is served, and which reports of the operator exist. Only reports wait for this
        list.
        """
        operator_store, namespaces = self._store, set[str]()
        kind_before, failed = operator_store.report_kind(), False
        for kind in store.REPORTS:
            try:
                namespaces |= await live.fill(self._api, operator_store, kind, self._clock)
                operator_store.serves(kind)
            except gateway.ApiError as error:
                if error.status == 404:
                    namespaces |= operator_store.serves_not(kind)
                    continue
                failed = True  # so the store keeps what it knows of the kind
                logs.log(_log, logging.WARNING, "list-failed", kind=kind.value, error=_explained(kind, error))
            except Exception:  # another project's API server may serve these kinds
                failed = True
                _log.exception("list-crashed", extra={"hno_fields": {"kind": kind.value}})
        intake.log_unread(self._store)
        self._memories.forget_tops()
        if not failed:
            self._metrics.resync.labels("reports").set(self._clock.now().timestamp())
        if kind_before != (kind_after := operator_store.report_kind()):
            logs.log(_log, logging.INFO, "reports", api=kind_after.api_version if kind_after else "none")
            self._schedule.wake_all()
        for name in namespaces:
            self._schedule.wake(name)

    def relist(self, *kinds: store.Kind) -> None:
        """List these kinds immediately, every watched kind if none is named: a watch has started again, or could not
        start.
        """
        self._due.update(kinds or _WATCHED)
        self._hurry.set()

    def stale(self) -> str:
        """Return which kind has not been listed for three intervals and an outage, or ''."""
        now = asyncio.get_running_loop().time()
        for kind, last_listed in self._when.items():
            if now - last_listed > 3 * self._interval(kind) + _OUTAGE_SECONDS:
                seconds = f"{now - last_listed:.0f} s"
                return f"the last list of {kind.value} is {seconds} old: {self.trouble.get(kind, 'no answer')}"
        return ""

    @property
    def missing(self) -> str:
        """Return why the operator works without a kind: the kind has not been served for a while, and the operator
        works by the ledger alone, or the operator may not read the kind. Return '' if neither is the case.
        """
        unserved = (self.trouble[kind] for kind in self._unserved if self._is_long_gone(kind))
        forbidden = (self.trouble[kind] for kind in self._forbidden if self._is_long_forbidden(kind))
        return next(unserved, None) or next(forbidden, "")

    def _is_gone(self, kind: store.Kind, error: gateway.ApiError) -> bool:
        """Return whether a failed list counts as an answer: this custom kind is not served, and has not been for a
        while.
        """
        if error.status != 404 or kind not in _CUSTOM:
            self._unserved.pop(kind, None)
            return False
        now = asyncio.get_running_loop().time()
        self._unserved.setdefault(kind, now)
        if not self._is_long_gone(kind):
            return False
        self._when[kind] = now
        is_policy = kind is store.Kind.POLICY
        if self._store.policies_gone() if is_policy else self._store.exceptions_are_served(served=False):
            self._schedule.wake_all()
        return True

    def _note_forbidden(self, kind: store.Kind, error: gateway.ApiError) -> None:
        """Note since when the operator may not list a kind. If the operator works without the kind, a restart fixes
        nothing, so the kind does not make the process unhealthy.
        """
        if error.status != 403:
            self._forbidden.pop(kind, None)
            return
        now = asyncio.get_running_loop().time()
        self._forbidden.setdefault(kind, now)
        if kind in _DISPENSABLE and self._is_long_forbidden(kind):
            self._when[kind] = now

    def _is_long_forbidden(self, kind: store.Kind) -> bool:
        since = self._forbidden.get(kind)
        return since is not None and asyncio.get_running_loop().time() - since >= _FORBIDDEN_SECONDS

    def _is_long_gone(self, kind: store.Kind) -> bool:
        return asyncio.get_running_loop().time() - self._unserved[kind] >= _UNSERVED_SECONDS

    def _interval(self, kind: store.Kind) -> float:
        if kind is store.Kind.EXCEPTION:
            return self._settings.exceptions_resync_seconds
        if kind is store.Kind.EVERY_POD:
            return self._settings.full_resync_seconds
        return self._settings.resync_seconds

    async def _list(self, kind: store.Kind) -> bool:
        state_before = (self._store.policy_state(), self._store.guards())
        try:
            namespaces = await live.fill(self._api, self._store, kind, self._clock)
        except gateway.ApiError as error:
            self.trouble[kind] = _explained(kind, error)
            logs.log(_log, logging.ERROR, "list-failed", kind=kind.value, error=self.trouble[kind])
            self._note_forbidden(kind, error)
            gone = self._is_gone(kind, error)
            if kind is store.Kind.POLICY and error.status and not gone:
                self._store.policy_unlisted()
            return gone
        except Exception as error:
            # A problem with one kind must not end the lists of all other kinds.
            self.trouble[kind] = f"{type(error).__name__}: {error}"
            _log.exception("list-crashed", extra={"hno_fields": {"kind": kind.value}})
            return False
        finally:
            intake.log_unread(self._store)
        if self.trouble.pop(kind, None) is not None and kind in _WATCHED:
            self.recovered.set()
        self._unserved.pop(kind, None)
        self._forbidden.pop(kind, None)
        if kind is store.Kind.EXCEPTION and self._store.exceptions_are_served(served=True):
            self._schedule.wake_all()
        self._when[kind] = asyncio.get_running_loop().time()
        self._metrics.resync.labels(kind.value).set(self._clock.now().timestamp())
        if kind in {store.Kind.EXCEPTION, store.Kind.NAMESPACE}:
            self._books.prune(kind, self._store.uids(kind))
        if state_before != (self._store.policy_state(), self._store.guards()):
            self._schedule.wake_all()
        for name in namespaces - {""}:
            self._schedule.wake(name)
        return True


def _explained(kind: store.Kind, error: gateway.ApiError) -> str:
    if error.status == 404:
        return f"the API server does not serve {kind.value}; run kubectl apply --server-side -f crds/"
    if error.status == 403:
        return f"{error.message}; run kubectl apply -k manifests/base to grant the operator's rights"
    return str(error)
