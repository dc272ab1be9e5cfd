"""Where ordinary pods live: one answer a namespace, from the last list that had all pods of it.

No watch tells of ordinary pods, so an answer is as old as that list. It has what their labels say they were installed
with, for a few of them: a tenant makes as many as he likes, and each namespace has an answer. Which pods they are is
kept only of those that an exception for pods without host namespaces may cover.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import coverage, snapshot
from hostnetwork_operator.observe import parse

_MOST_RELEASES: Final = 8


@dataclass(slots=True)
class Answer:
    """Whether there are ordinary pods, and their releases, each once; none where they are too many to be kept.

    `accounts` are the service accounts of exceptions for pods without host namespaces, as known when the list began.
    `plain` are the pods of these accounts that need an exception; they are no ordinary pods beside it.
    """

    some: bool = False
    releases: frozenset[frozenset[str]] = frozenset()
    accounts: frozenset[str] = frozenset()
    plain: list[snapshot.Pod] = field(default_factory=list)
    _full: bool = False

    def take(self, body: Mapping[str, Any]) -> None:
        """Takes in one pod without host namespaces, as the API server gave it."""
        if (body["spec"].get("serviceAccountName") or "default") in self.accounts:
            read = parse.pod(body)
            # By the stricter guard; which one holds there is not known here.
            if isinstance(read, snapshot.Pod) and coverage.relies_on_a_grant(read, labels.Level.RESTRICTED):
                self.plain.append(read)
                return
        self.add(parse.release(body))

    def add(self, release: frozenset[str]) -> None:
        """Takes in one ordinary pod."""
        self.some = True
        if self._full or release in self.releases:
            return
        self._full = len(self.releases) == _MOST_RELEASES
        self.releases = frozenset() if self._full else self.releases | {release}


class OrdinaryPods:
    """By name and uid of the namespace, so that what was known of one never counts for the next of that name."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, int, Answer]] = {}  # name to uid, the list's resource version, and the answer

    def live_in(self, name: str, uid: str) -> Answer | None:
        """Whether there were any; None: it has not been listed since it was made."""
        found = self._found.get(name)
        return found[2] if found and found[0] == uid else None

    def listed(self, name: str, uid: str, version: int, answer: Answer) -> bool:
        """Takes the answer of a complete list; whether it is another one than before. An older one is left aside."""
        before = self.live_in(name, uid)
        if before is not None and self._found[name][1] > version:
            return False
        self._found[name] = (uid, version, answer)
        return before != answer

    def forget(self, name: str) -> None:
        """The namespace is gone."""
        self._found.pop(name, None)
