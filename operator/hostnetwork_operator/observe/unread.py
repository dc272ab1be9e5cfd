"""Objects that are there and could not be read: which ones, why, and what of that is not logged yet.

Watch lines that could not be decoded are counted here too. Nobody knows which objects they were about, so they count
until a complete list of their kind has been read.
"""

import collections
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Final

Key = tuple[str, str]  # namespace, name
_LOGGED_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class News:
    """An object that cannot be read any more, or again: then `why` is ''. A watch line has no `name`."""

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
        """The object cannot be read, for this reason."""
        if key not in self._objects[kind]:
            self._objects[kind].add(key)
            self._news.append(News(kind, *key, why[:_LOGGED_CHARACTERS]))

    def discard(self, kind: str, key: Key) -> None:
        """The object can be read, or no longer exists."""
        if key in self._objects[kind]:
            self._objects[kind].remove(key)
            self._news.append(News(kind, *key, ""))

    def keep(self, kind: str, there: Set[Key]) -> None:
        """No other objects exist than these."""
        for key in self._objects[kind] - there:
            self.discard(kind, key)

    def add_line(self, kind: str, why: str) -> None:
        """A line of the watch of this kind could not be decoded."""
        self._lines[kind] += 1
        if self._lines[kind] == 1:
            self._news.append(News(kind, "", "", why))

    def lines(self, kind: str) -> int:
        """How many watch lines no complete list has made up for."""
        return self._lines[kind]

    def listed(self, kind: str, lines: int) -> None:
        """A complete list was read, which began after so many of the lines."""
        self._lines[kind] -= min(lines, self._lines[kind])

    def counts(self) -> Mapping[str, int]:
        """The unread objects and lines per kind; a kind that never had any may be absent."""
        return {kind: len(self._objects[kind]) + self._lines[kind] for kind in {*self._objects, *self._lines}}

    def take_news(self) -> list[News]:
        """What has changed since the last call."""
        taken, self._news = self._news, []
        return taken
