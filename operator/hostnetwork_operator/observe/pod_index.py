"""The pods of a namespace in groups of pods that are alike (decide/snapshot), while pods come and go."""

import bisect
import datetime
from dataclasses import replace
from typing import Final

from hostnetwork_operator.decide import snapshot

_LONGEST_RUN: Final = 128


class PodIndex:
    """The pods of one namespace, grouped while they come and go. `pods` always equals PodSet.of all that can be read.
    `unreadable` has the others by name.
    """

    def __init__(self) -> None:
        self.unreadable: dict[str, snapshot.UnreadablePod] = {}
        self._by_name: dict[str, tuple[_Group, snapshot.Pod]] = {}
        self._groups: dict[tuple[object, ...], _Group] = {}
        self._pods: snapshot.PodSet | None = None

    def put(self, pod: snapshot.Pod | snapshot.UnreadablePod) -> snapshot.Pod | snapshot.UnreadablePod:
        """Add a pod, in place of the pod that had its name. Return the pod that is kept: an equal one that shares with
        the pods that are alike what they have in common.
        """
        self.remove(pod.name)
        if isinstance(pod, snapshot.UnreadablePod):
            self.unreadable[pod.name] = pod
            return pod
        key = snapshot.traits(pod)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(key)
        else:
            pod = replace(group.first, **{name: getattr(pod, name) for name in snapshot.OWN_FIELDS})
        group.add(pod)
        self._by_name[pod.name] = (group, pod)
        self._pods = None
        return pod

    def remove(self, name: str) -> None:
        """Remove the pod of this name, if there is one."""
        self.unreadable.pop(name, None)
        present = self._by_name.pop(name, None)
        if present is None:
            return
        group, pod = present
        group.remove(pod)
        if not group:
            del self._groups[group.key]
        self._pods = None

    def has_kind(self, pod: snapshot.Pod) -> bool:
        """Return whether there is a pod of the same kind."""
        kind = snapshot.kind(pod)
        return any((*kind, deleting) in self._groups for deleting in (False, True))

    def __bool__(self) -> bool:
        return bool(self._by_name or self.unreadable)

    def pods(self) -> snapshot.PodSet:
        """Return all pods. Groups that have not changed since the last call are the same objects."""
        if self._pods is None:
            self._pods = snapshot.PodSet(group.frozen() for group in self._groups.values())
        return self._pods


class _Group:
    """Alike pods while they come and go. They are kept in runs, and a change makes one run anew: a single tuple of
    thousands of pods would be copied with every change.
    """

    __slots__ = ("_created", "_frozen", "_runs", "key")

    def __init__(self, key: tuple[object, ...]) -> None:
        self.key = key
        self._runs: list[tuple[snapshot.Pod, ...]] = []
        self._created: list[datetime.datetime] = []  # in order
        self._frozen: snapshot.AlikePods | None = None

    def __bool__(self) -> bool:
        return bool(self._created)

    @property
    def first(self) -> snapshot.Pod:
        return self._runs[0][0]

    def add(self, pod: snapshot.Pod) -> None:
        bisect.insort(self._created, pod.created)
        self._frozen = None
        position = self._position(pod)
        run = list(self._runs[position]) if self._runs else []
        bisect.insort(run, pod, key=snapshot.ORDER)
        middle = len(run) // 2
        parts = [tuple(run)] if len(run) <= _LONGEST_RUN else [tuple(run[:middle]), tuple(run[middle:])]
        self._runs[position : position + 1] = parts

    def remove(self, pod: snapshot.Pod) -> None:
        del self._created[bisect.bisect_left(self._created, pod.created)]
        self._frozen = None
        position = self._position(pod)
        rest = tuple(other for other in self._runs[position] if other is not pod)
        self._runs[position : position + 1] = [rest] if rest else []

    def _position(self, pod: snapshot.Pod) -> int:
        """Return the position of the run that has the pod, or will have it."""
        return max(0, bisect.bisect_right(self._runs, snapshot.ORDER(pod), key=lambda run: snapshot.ORDER(run[0])) - 1)

    def frozen(self) -> snapshot.AlikePods:
        if self._frozen is None:
            self._frozen = snapshot.AlikePods(
                tuple(self._runs), len(self._created), self._created[0], self._created[-1]
            )
        return self._frozen
