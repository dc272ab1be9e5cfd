"""Puts what the watches report into the store, and the namespaces that a change concerns into the queue."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from hostnetwork_operator import logs
from hostnetwork_operator.control import bookkeeping, schedule, shortages
from hostnetwork_operator.decide import gathering, plan, snapshot
from hostnetwork_operator.observe import refused, store

_log = logging.getLogger(__name__)
# A change to an object of these kinds can concern every namespace.
_GLOBAL: Final = frozenset({store.Kind.POLICY, store.Kind.ADMISSION_POLICY, store.Kind.ADMISSION_BINDING})


class Intake:
    """Takes in one watch event at a time. Nothing in this class waits. `plans` are the latest plans of namespaces."""

    def __init__(
        self,
        cache: store.Store,
        when: schedule.Schedule,
        books: bookkeeping.Bookkeeper,
        lacking: shortages.Shortages,
        plans: Mapping[str, plan.NamespacePlan],
    ) -> None:
        self._store = cache
        self._schedule = when
        self._books = books
        self._shortages = lacking
        self._plans = plans

    def changed(self, kind: store.Kind, event: str | None, body: Mapping[str, Any]) -> None:
        """Take in one watch event. An event that is not well-formed is logged and counted, and the next list supplies
        what the event was about (control/resync).
        """
        try:
            self._take(kind, event, body)
        except Exception as error:  # kopf would swallow an exception that is raised here
            self.missed(kind, f"{type(error).__name__}: {error}")

    def _take(self, kind: store.Kind, event: str | None, body: Mapping[str, Any]) -> None:
        meta = body["metadata"]
        state_before = (self._store.policy_state(), self._store.guards()) if kind in _GLOBAL else None
        pod_before = self._store.pod(meta["namespace"], meta["name"]) if kind is store.Kind.POD else None
        changed = True
        if event == "DELETED":
            self._store.remove(kind, body)
            self._books.forget(kind, body["metadata"]["uid"])
        else:
            changed = self._store.put(kind, body)
        log_unread(self._store)
        if not changed:
            return
        if kind is store.Kind.NAMESPACE:
            self._schedule.wake(meta["name"])
        elif kind is store.Kind.POD and self._moves_numbers(pod_before, None if event == "DELETED" else meta):
            self._schedule.after(meta["namespace"], gathering.GATHER_SECONDS)
        elif kind not in _GLOBAL:
            self._schedule.wake(meta["namespace"])
        elif state_before != (self._store.policy_state(), self._store.guards()):
            self._schedule.wake_all()
        if kind is store.Kind.POLICY:
            self._schedule.policy_changed.set()

    def _moves_numbers(self, before: snapshot.Pod | None, meta: Mapping[str, Any] | None) -> bool:
        """Return whether the change of a pod changes only how many pods there are of a kind that the latest plan knows:
        a rollout changes a pod thirty times a second, and a person waits for none of that. `meta` is the metadata of
        the pod as it is now, None if it is gone.
        """
        pods = [before] if before is not None else []
        if before is not None and not self._store.has_kind(before):
            return False  # that was the last pod of its kind
        if meta is not None:
            after = self._store.pod(meta["namespace"], meta["name"])
            if after is None:
                return False  # the pod cannot be read
            pods.append(after)
        return bool(pods) and all(self._is_calm(pod) for pod in pods)

    def _is_calm(self, pod: snapshot.Pod) -> bool:
        namespace_plan = self._plans.get(pod.namespace)
        return namespace_plan is not None and snapshot.kind(pod) in namespace_plan.calm

    def claimed(self, event: Mapping[str, Any]) -> None:
        """Take in an Event which says that a controller could not create a pod: a reason to read the workload
        (control/refused).
        """
        claim = refused.claimed(event)
        if claim is not None:
            self._shortages.claim(claim)

    def missed(self, kind: store.Kind, why: str) -> None:
        """Count a line of a watch that could not be decoded or understood. The next list supplies what the line was
        about (control/resync).
        """
        self._store.unread.add_line(kind.value, why)
        log_unread(self._store)


def log_unread(cache: store.Store) -> None:
    """Log which objects can no longer be read, and which objects can be read again."""
    for change in cache.unread.take_news():
        subject = f"{change.namespace}/{change.name}" if change.name else "a line of the watch"
        if change.why:
            logs.log(_log, logging.WARNING, "unreadable", kind=change.kind, object=subject, error=change.why)
        else:
            logs.log(_log, logging.INFO, "unreadable-ended", kind=change.kind, object=subject)
