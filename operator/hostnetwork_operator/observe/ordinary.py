"""Where ordinary pods live: one answer a namespace, from the last list that had all pods of it. Never which pods.

No watch tells of ordinary pods, so an answer is as old as that list. It has what their labels say they were installed
with, for a few of them: a tenant makes as many as he likes, and each namespace has an answer.
"""

from dataclasses import dataclass
from typing import Final

_MOST_RELEASES: Final = 8


@dataclass(slots=True)
class Answer:
    """Whether there are ordinary pods, and their releases, each once; none where they are too many to be kept."""

    some: bool = False
    releases: frozenset[frozenset[str]] = frozenset()
    _full: bool = False

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
