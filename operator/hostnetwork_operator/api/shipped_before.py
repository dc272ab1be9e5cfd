"""`shipped.py` of the release before, so that its admission policies still count while a cluster is upgraded.

At a release: `cp shipped.py shipped_before.py`, once the tag is set. 0.1.0 is the first, so there is nothing yet.
"""

from typing import Final

from hostnetwork_operator.api.fingerprint import Shipped

POLICIES: Final[dict[str, Shipped]] = {}
