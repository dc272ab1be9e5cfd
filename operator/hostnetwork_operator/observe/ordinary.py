"""Where ordinary pods exist: one answer per namespace, from the last list that had all pods of the namespace.

No watch reports ordinary pods, so an answer is as old as that list. An answer has the releases of ordinary pods, which
are what the labels of the pods say they were installed with. The number of releases is limited: a tenant can make any
number of them, and there is an answer for each namespace. The pods themselves are kept only where an exception for pods
without host namespaces may cover them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import coverage, snapshot
from hostnetwork_operator.observe import parse

_MOST_RELEASES: Final = 8


@dataclass(slots=True)
class OrdinaryPodSummary:
    """What a list says about the ordinary pods of one namespace.

    `some` is whether there are any. `releases` are their releases, each once; none where there are too many to keep.
    `accounts` are the service accounts of exceptions for pods without host namespaces, as known when the list began.
    `plain` are the pods of these accounts that need an exception. They do not count as ordinary pods.
    """

    some: bool = False
    releases: frozenset[frozenset[str]] = frozenset()
    accounts: frozenset[str] = frozenset()
    plain: list[snapshot.Pod] = field(default_factory=list)
    _full: bool = False
    _pods: snapshot.PodSet | None = field(default=None, compare=False)

    @property
    def pods(self) -> snapshot.PodSet:
        """The pods in `plain`. Read it when the list is complete."""
        if self._pods is None:
            self._pods = snapshot.PodSet.of(self.plain)
        return self._pods

    def take(self, body: Mapping[str, Any]) -> None:
        """Add one pod without host namespaces, given as its body."""
        if (body["spec"].get("serviceAccountName") or "default") in self.accounts:
            pod = parse.pod(body)
            # By the strictest level that a guard can have: which guard the namespace has is not known here.
            if isinstance(pod, snapshot.Pod) and coverage.relies_on_a_grant(pod, labels.Level.RESTRICTED):
                self.plain.append(pod)
                return
        self.add(parse.release(body))

    def add(self, release: frozenset[str]) -> None:
        """Add one ordinary pod, given as its release."""
        self.some = True
        if self._full or release in self.releases:
            return
        self._full = len(self.releases) == _MOST_RELEASES
        self.releases = frozenset() if self._full else self.releases | {release}


class _ListedNamespace(NamedTuple):
    """The answer for a namespace with this uid, and the resource version of the list that the answer is from."""

    uid: str
    version: int
    summary: OrdinaryPodSummary


class OrdinaryPods:
    """The answers by name and uid of the namespace. So an answer never counts for a later namespace of that name."""

    def __init__(self) -> None:
        self._listed: dict[str, _ListedNamespace] = {}

    def live_in(self, name: str, uid: str) -> OrdinaryPodSummary | None:
        """Return the answer for a namespace; None if its pods were not listed since the namespace was created."""
        entry = self._listed.get(name)
        return entry.summary if entry and entry.uid == uid else None

    def listed(self, name: str, uid: str, version: int, answer: OrdinaryPodSummary) -> bool:
        """Store the answer of a complete list. Return whether the answer has changed.

        The answer of an older list than the last is ignored.
        """
        before = self.live_in(name, uid)
        if before is not None and self._listed[name].version > version:
            return False
        self._listed[name] = _ListedNamespace(uid, version, answer)
        return before != answer

    def forget(self, name: str) -> None:
        """Remove the answer for a namespace that no longer exists."""
        self._listed.pop(name, None)
