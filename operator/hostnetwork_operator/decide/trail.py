"""What was found in making a plan, so that the next plan for the same namespace finds again only what has changed.

A trail makes a plan faster and never different. Each value is kept with all that it was found from, and is taken over
only if a new plan would find it from equal inputs, on the same ground, before time alone could change it. A trail can
be thrown away at any moment.
"""

import datetime
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, TypeVar, cast

from hostnetwork_operator.decide import coverage
from hostnetwork_operator.decide.ground import Ground

Found = TypeVar("Found")


class Finder(Protocol):
    """Finds a value; see Trail.find."""

    def __call__(self, about: object, inputs: tuple[object, ...], find: Callable[[], Found], /) -> Found:
        """Return the value of `find`, or an earlier value that was found from equal inputs."""


def afresh(_about: object, _inputs: tuple[object, ...], find: Callable[[], Found]) -> Found:
    """Return the value of `find`."""
    return find()


def identity(verdicts: Iterable[coverage.PodVerdict]) -> tuple[object, ...]:
    """Return what tells these verdicts from others on the same ground: the pods that each is about."""
    return tuple((verdict.alike or verdict.pod, verdict.verdict) for verdict in verdicts)


class _KeptValue(NamedTuple):
    """A value, what it was found from, and from when and until when it stays the same; None: for ever."""

    inputs: tuple[object, ...]
    made: datetime.datetime
    until: datetime.datetime | None
    value: object


class Trail:
    """The values of one plan, by what they are about. `before` is the trail of an earlier plan on the same ground."""

    __slots__ = ("_before", "_entries", "_now", "ground")

    def __init__(self, ground: Ground, now: datetime.datetime, before: "Trail | None" = None) -> None:
        self.ground = ground
        self._now = now
        self._before = before._entries if before is not None and before.ground is ground else {}
        self._entries: dict[object, _KeptValue] = {}

    def find(
        self,
        about: object,
        inputs: tuple[object, ...],
        find: Callable[[], Found],
        *,
        until: Callable[[Found], datetime.datetime | None] = lambda _: None,
        keep: Callable[[Found], bool] = lambda _: True,
    ) -> Found:
        """Return the value of `find`, which depends on the ground and on these inputs alone until `until`. A value is
        not kept if `keep` returns False.
        """
        entry = self._before.get(about)
        if (
            entry is not None
            and entry.made <= self._now
            and (entry.until is None or self._now < entry.until)
            and entry.inputs == inputs
        ):
            self._entries[about] = entry
            return cast("Found", entry.value)
        value = find()
        if keep(value):
            self._entries[about] = _KeptValue(inputs, self._now, until(value), value)
        return value

    def end(self) -> None:
        """Forget the earlier trail. Call it when the plan is made."""
        self._before = {}
