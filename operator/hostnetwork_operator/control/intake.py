"""What watches tell: into the store, and the namespaces that it concerns into the queue."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from hostnetwork_operator import logs
from hostnetwork_operator.control import bookkeeping, schedule, shortages
from hostnetwork_operator.observe import refused, store

_log = logging.getLogger(__name__)
# Kinds that say something about every namespace.
_GLOBAL: Final = frozenset({store.Kind.POLICY, store.Kind.ADMISSION_POLICY, store.Kind.ADMISSION_BINDING})


class Intake:
    """One watch event after the other. Nothing in here waits."""

    def __init__(
        self,
        kept: store.Store,
        when: schedule.Schedule,
        books: bookkeeping.Bookkeeper,
        lacking: shortages.Shortages,
    ) -> None:
        self._store = kept
        self._schedule = when
        self._books = books
        self._shortages = lacking

    def changed(self, kind: store.Kind, event: str | None, body: Mapping[str, Any]) -> None:
        """Take one watch event in. An event that is not what an event should be is logged and counted, and the next
        list has what it said (control/resync).
        """
        try:
            self._take(kind, event, body)
        except Exception as error:  # raised, kopf would swallow it
            self.missed(kind, f"{type(error).__name__}: {error}")

    def _take(self, kind: store.Kind, event: str | None, body: Mapping[str, Any]) -> None:
        before = (self._store.policy_state(), self._store.guards()) if kind in _GLOBAL else None
        news = True
        if event == "DELETED":
            self._store.remove(kind, body)
            self._books.forget(kind, body["metadata"]["uid"])
        else:
            news = self._store.put(kind, body)
        log_unread(self._store)
        if not news:
            return
        meta = body["metadata"]
        if kind is store.Kind.NAMESPACE:
            self._schedule.wake(meta["name"])
        elif kind not in _GLOBAL:
            self._schedule.wake(meta["namespace"])
        elif before != (self._store.policy_state(), self._store.guards()):
            self._schedule.wake_all()
        if kind is store.Kind.POLICY:
            self._schedule.policy_changed.set()

    def claimed(self, event: Mapping[str, Any]) -> None:
        """An Event says that a controller could not create a pod: a reason to read its workload (control/refused)."""
        claim = refused.claimed(event)
        if claim is not None:
            self._shortages.claim(claim)

    def missed(self, kind: store.Kind, why: str) -> None:
        """A line of a watch could not be decoded or understood. The next list has what the line said
        (control/resync).
        """
        self._store.unread.add_line(kind.value, why)
        log_unread(self._store)


def log_unread(kept: store.Store) -> None:
    """Log which objects can no longer be read, and which can be read again."""
    for news in kept.unread.take_news():
        subject = f"{news.namespace}/{news.name}" if news.name else "a line of the watch"
        if news.why:
            logs.log(_log, logging.WARNING, "unreadable", kind=news.kind, object=subject, error=news.why)
        else:
            logs.log(_log, logging.INFO, "unreadable-ended", kind=news.kind, object=subject)
