"""Asks the API server, at the start, whether its CRDs fit this operator."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import hostnetwork_operator
from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import definitions

# The CRDs and the operator may be applied together, and the API server publishes a new schema a second later.
_ASKED: Final = 3
_PAUSE_SECONDS: Final = 2.0
_KIND: Final = "x-kubernetes-group-version-kind"


async def trouble(api: gateway.Gateway) -> str:
    """Return why this operator cannot work with the served CRDs, '' if it can or if that is unknown."""
    reason = ""
    for attempt in range(_ASKED):
        if attempt:
            await asyncio.sleep(_PAUSE_SECONDS)
        reason = definitions.trouble(await _served(api), hostnetwork_operator.__version__)
        if not reason:
            break
    return reason


async def _served(api: gateway.Gateway) -> definitions.Served:
    return definitions.Served(await _plurals(api), await _schemas(api))


async def _plurals(api: gateway.Gateway) -> dict[str, frozenset[str]]:
    """Return the plural names by version of the operator's group. Return none if a version cannot be read, because the
    missing kind may be in that version.
    """
    plurals: dict[str, frozenset[str]] = {}
    try:
        group = (await api.get(f"/apis/{labels.GROUP}")).body
        for version in (entry["version"] for entry in group["versions"]):
            resources = (await api.get(f"/apis/{labels.GROUP}/{version}")).body["resources"]
            plurals[version] = frozenset(resource["name"] for resource in resources)
    except gateway.ApiError:
        return {}
    return plurals


async def _schemas(api: gateway.Gateway) -> dict[str, Mapping[str, Any]]:
    """Return the published schemas by kind, for the operator's version."""
    try:
        published = (await api.get(f"/openapi/v3/apis/{labels.API_VERSION}")).body
    except gateway.ApiError:
        return {}
    schemas = (published.get("components") or {}).get("schemas") or {}
    return {str(kind.get("kind")): schema for schema in schemas.values() for kind in _named(schema)}


def _named(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the kinds that a schema describes."""
    kinds = schema.get(_KIND)
    return [kind for kind in kinds if isinstance(kind, Mapping)] if isinstance(kinds, list) else []
