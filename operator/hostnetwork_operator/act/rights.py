"""Which rights the operator turns out to lack, logged once per kind of object: a missing right is often no error, since
everything else goes on without what it would have shown.
"""

import logging
import re
from collections.abc import Callable
from typing import Final

from hostnetwork_operator import logs
from hostnetwork_operator.act import forms

_log = logging.getLogger(__name__)
# How RBAC refuses; admission refuses with the same status. What a refusal names of the request is not read from it.
_REFUSED: Final = re.compile(r' cannot [a-z]+ resource "')
_AGAIN_SECONDS: Final = 600.0  # a right that comes and goes, or is there in some namespaces only


class Rights:
    """Verbs and kinds of requests that were refused, and not answered since."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._missing: dict[forms.Right, bool] = {}  # and whether that is in the log
        self._logged: dict[forms.Right, float] = {}

    def refused(self, method: str, path: str, message: str) -> None:
        """Note that a request was forbidden."""
        right = forms.right(method, path)
        if right is None or self._missing.get(right) or not _REFUSED.search(message):
            return
        now = self._monotonic()
        self._missing[right] = now - self._logged.get(right, -_AGAIN_SECONDS) >= _AGAIN_SECONDS
        if self._missing[right]:
            self._logged[right] = now
            error = f"{message}; kubectl apply -k manifests/base gives the operator's rights"
            logs.log(_log, logging.WARNING, "right-missing", verb=right.verb, kind=right.kind, error=error)

    def granted(self, method: str, path: str) -> None:
        """Note that a request was answered."""
        if not self._missing:
            return
        right = forms.right(method, path)
        if right is not None and self._missing.pop(right, False):
            logs.log(_log, logging.INFO, "right-restored", verb=right.verb, kind=right.kind)
