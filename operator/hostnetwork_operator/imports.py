"""Which modules of others are loaded at their first use, not at the start: the half of kubernetes that is not used.

`kubernetes.aio` stands inside `kubernetes`, whose own import loads a second client with requests and websocket and all:
250 modules, 0.25 CPU seconds and 9 MB of each start (measured with 37.0.2). Nothing of it is taken away. Whoever
touches one of these modules has it loaded at that moment (importlib.util.LazyLoader).
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

_LATER: Final = frozenset(
    [f"kubernetes.{name}" for name in "config dynamic informer leaderelection stream utils watch".split()]
    + [f"kubernetes.aio.{name}" for name in "dynamic leaderelection stream watch".split()]
)


def defer() -> None:
    """From now on. What has been imported before stays as it is."""
    sys.meta_path.insert(0, _Later())


class _Later(importlib.abc.MetaPathFinder):
    """Finds what is found anyway, and puts its execution off."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _LATER:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec
