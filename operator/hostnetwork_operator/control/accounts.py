"""Whether service accounts exist: of those alone that an exception names which covers nothing, one request each.

The right to get a service account shows its annotations and the names of its Secrets, and no token.
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
    """Return what is known of these accounts of a namespace now."""
    answers = await asyncio.gather(*(_exists(api, namespace, name) for name in names))
    return {name: snapshot.Account(exists, clock.now()) for name, exists in zip(names, answers, strict=True)}


async def _exists(api: gateway.Gateway, namespace: str, name: str) -> bool | None:
    """Return None where nobody can tell: the right may be missing, or the API server away."""
    try:
        # The CRD lets no path through as a name, and an older CRD is no reason to ask for another object.
        await api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{urllib.parse.quote(name, safe='')}")
    except gateway.ApiError as error:
        return False if error.gone else None
    return True
