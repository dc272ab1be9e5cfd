"""When the API server was last heard of through each watch.

kopf repeats a request that fails for ever, and says so only in its log. So what comes through its sessions is noted
here: a kind whose watch has failed for a while, or has been silent for longer than any watch is, is not watched.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from hostnetwork_operator.observe import store

FAILING_SECONDS: Final = 15.0  # a watch that breaks, and a token that is rotated, are over sooner
SILENT_SECONDS: Final = 180.0  # the API server sends a bookmark each minute


@dataclass(slots=True)
class _Watch:
    heard: float
    failing: float | None = None  # since when
    why: str = ""


class Heard:
    """Of these kinds. A kind that was neither heard of nor failed is not counted: nobody watches it."""

    def __init__(self, kinds: Iterable[store.Kind], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._kinds = frozenset(kinds)
        self._monotonic = monotonic
        self._watches: dict[store.Kind, _Watch] = {}

    def heard(self, kind: object) -> None:
        """An answer, or a line of a watch, has come."""
        if isinstance(kind, store.Kind) and kind in self._kinds:
            self._watches[kind] = _Watch(self._monotonic())

    def failed(self, kind: object, why: str) -> None:
        """A request has failed."""
        if isinstance(kind, store.Kind) and kind in self._kinds:
            now = self._monotonic()
            watch = self._watches.setdefault(kind, _Watch(now))
            watch.failing, watch.why = watch.failing or now, why

    def begin(self) -> None:
        """Every watch begins anew, and some may not: what was heard through the earlier ones counts no longer."""
        self._watches.clear()

    def trouble(self) -> str:
        """Return which kind is not watched and why, or ''."""
        now = self._monotonic()
        for kind, watch in self._watches.items():
            if watch.failing is not None and now - watch.failing > FAILING_SECONDS:
                return f"{kind.value} not watched for {now - watch.failing:.0f} s: {watch.why}"
            if now - watch.heard > SILENT_SECONDS:
                return f"nothing heard of {kind.value} for {now - watch.heard:.0f} s"
        return ""
