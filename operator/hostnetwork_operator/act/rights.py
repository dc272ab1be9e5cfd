"""Logs once per kind of object which rights the operator lacks. A missing right is often no error: the operator does
everything else, without what the request would have shown.
"""

import logging
import re
from collections.abc import Callable
from typing import Final

from hostnetwork_operator import logs
from hostnetwork_operator.act import forms

_log = logging.getLogger(__name__)
# The wording of a refusal by RBAC. Admission refuses with the same status. What the refusal names is not used.
_REFUSED: Final = re.compile(r' cannot [a-z]+ resource "')
_AGAIN_SECONDS: Final = 600.0  # a right may come and go, or exist only in some namespaces


class Rights:
    """The verbs and kinds of requests that were refused, and not answered since."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._missing: dict[forms.Right, bool] = {}  # whether the missing right has been logged
        self._logged: dict[forms.Right, float] = {}

    def refused(self, method: str, path: str, message: str) -> None:
        """Note that a request was forbidden. Log the missing right if it has not been logged recently."""
        right = forms.right(method, path)
        if right is None or self._missing.get(right) or not _REFUSED.search(message):
            return
        now = self._monotonic()
        self._missing[right] = now - self._logged.get(right, -_AGAIN_SECONDS) >= _AGAIN_SECONDS
        if self._missing[right]:
            self._logged[right] = now
            error = f"{message}; run kubectl apply -k manifests/base to grant the operator's rights"
            logs.log(_log, logging.WARNING, "right-missing", verb=right.verb, kind=right.kind, error=error)

    def granted(self, method: str, path: str) -> None:
        """Note that a request was answered. Log the right if it was logged as missing."""
        if not self._missing:
            return
        right = forms.right(method, path)
        if right is not None and self._missing.pop(right, False):
            logs.log(_log, logging.INFO, "right-restored", verb=right.verb, kind=right.kind)
