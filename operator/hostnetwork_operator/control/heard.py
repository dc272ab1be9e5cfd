"""When the operator last heard from the API server through each watch.

kopf repeats a failing request for ever, and reports that only in its log. So this module notes what comes through
kopf's sessions. A kind counts as not watched if its watch has been failing for a while, or has been silent for longer
than a working watch ever is.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from hostnetwork_operator.observe import store

FAILING_SECONDS: Final = 15.0  # a watch that breaks, or a token that is rotated, recovers sooner
SILENT_SECONDS: Final = 180.0  # the API server sends a bookmark each minute


@dataclass(slots=True)
class _Watch:
    heard: float
    failing: float | None = None  # since when
    why: str = ""


class Heard:
    """The state of the watches of `kinds`. A kind without any answer or failure so far is not counted: nothing watches
    it.
    """

    def __init__(self, kinds: Iterable[store.Kind], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._kinds = frozenset(kinds)
        self._monotonic = monotonic
        self._watches: dict[store.Kind, _Watch] = {}

    def heard(self, kind: object) -> None:
        """Note that an answer, or a line of a watch, has come."""
        if isinstance(kind, store.Kind) and kind in self._kinds:
            self._watches[kind] = _Watch(self._monotonic())

    def failed(self, kind: object, why: str) -> None:
        """Note that a request has failed."""
        if isinstance(kind, store.Kind) and kind in self._kinds:
            now = self._monotonic()
            watch = self._watches.setdefault(kind, _Watch(now))
            watch.failing, watch.why = watch.failing or now, why

    def begin(self) -> None:
        """Forget all watches, because every watch begins again and some may not succeed. What the earlier watches heard
        no longer counts.
        """
        self._watches.clear()

    def trouble(self) -> str:
        """Return which kind is not watched and why, or ''."""
        now = self._monotonic()
        for kind, watch in self._watches.items():
            if watch.failing is not None and now - watch.failing > FAILING_SECONDS:
                return f"the watch of {kind.value} has failed for {now - watch.failing:.0f} s: {watch.why}"
            if now - watch.heard > SILENT_SECONDS:
                return f"the watch of {kind.value} has been silent for {now - watch.heard:.0f} s"
        return ""
