"""Objects that exist and could not be read: which objects, why, and which changes are not logged yet.

Watch lines that could not be decoded are counted here too. It is not known which objects they were about, so they count
until a complete list of their kind has been read.
"""

import collections
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

_LOGGED_CHARACTERS: Final = 500


class Key(NamedTuple):
    """The key of an object among the objects of its kind. `namespace` is '' for a cluster-scoped object."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class News:
    """An object that can no longer be read. If it can be read again, `why` is ''. For a watch line, `name` is ''."""

    kind: str
    namespace: str
    name: str
    why: str


class Unread:
    """The unread objects of every kind, by namespace and name."""

    def __init__(self) -> None:
        self._objects: dict[str, set[Key]] = collections.defaultdict(set)
        self._lines: collections.Counter[str] = collections.Counter()
        self._news: list[News] = []

    def add(self, kind: str, key: Key, why: str) -> None:
        """Add an object that cannot be read, and why."""
        if key not in self._objects[kind]:
            self._objects[kind].add(key)
            self._news.append(News(kind, *key, why[:_LOGGED_CHARACTERS]))

    def discard(self, kind: str, key: Key) -> None:
        """Remove an object, because it can be read or no longer exists."""
        if key in self._objects[kind]:
            self._objects[kind].remove(key)
            self._news.append(News(kind, *key, ""))

    def keep(self, kind: str, *existing: Container[Key]) -> None:
        """Remove every object of a kind except these, because no other object of the kind exists."""
        for key in list(self._objects[kind]):
            if not any(key in keys for keys in existing):
                self.discard(kind, key)

    def add_line(self, kind: str, why: str) -> None:
        """Count a line of the watch of this kind that could not be decoded."""
        self._lines[kind] += 1
        if self._lines[kind] == 1:
            self._news.append(News(kind, "", "", why))

    def lines(self, kind: str) -> int:
        """Return the number of undecoded watch lines of a kind that are still counted."""
        return self._lines[kind]

    def listed(self, kind: str, lines: int) -> None:
        """Stop counting the undecoded watch lines that came before a complete list began. `lines` is their number."""
        self._lines[kind] -= min(lines, self._lines[kind])

    def counts(self) -> Mapping[str, int]:
        """Return the number of unread objects and lines by kind. A kind that never had any may be absent."""
        return {kind: len(self._objects[kind]) + self._lines[kind] for kind in {*self._objects, *self._lines}}

    def take_news(self) -> list[News]:
        """Return what has changed since the last call of this method."""
        changes, self._news = self._news, []
        return changes
