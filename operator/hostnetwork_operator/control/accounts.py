"""Whether service accounts exist. The operator asks only about an account that is named by an exception which covers
nothing, with one request per account.

The right to get a service account gives access to its annotations and the names of its Secrets, but to no token.
"""

import asyncio
import urllib.parse
from collections.abc import Sequence

from hostnetwork_operator.act import gateway
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import live


async def ask(
    api: gateway.Gateway, clock: live.Clock, namespace: str, names: Sequence[str]
) -> dict[str, snapshot.Account]:
    """Return whether each of these accounts of a namespace exists now."""
    answers = await asyncio.gather(*(_exists(api, namespace, name) for name in names))
    return {name: snapshot.Account(clock.now(), exists=exists) for name, exists in zip(names, answers, strict=True)}


async def _exists(api: gateway.Gateway, namespace: str, name: str) -> bool | None:
    """Return whether an account exists, None if that is unknown: the right may be missing, or the API server may be
    unavailable.
    """
    try:
        # The CRD allows no path as a name. The name is quoted, so that even with an older CRD no other object is read.
        await api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{urllib.parse.quote(name, safe='')}")
    except gateway.ApiError as error:
        return False if error.gone else None
    return True
