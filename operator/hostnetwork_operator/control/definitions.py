"""Asks the API server, at the start, whether its CRDs are those of this operator."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import hostnetwork_operator
from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import definitions

# CRDs and operator may be applied together, and the API server publishes a new schema a second later.
_ASKED: Final = 3
_PAUSE_SECONDS: Final = 2.0
_KIND: Final = "x-kubernetes-group-version-kind"


async def trouble(api: gateway.Gateway) -> str:
    """Return why this operator cannot work with the CRDs that are served, '' if it can or if nobody can tell."""
    found = ""
    for attempt in range(_ASKED):
        if attempt:
            await asyncio.sleep(_PAUSE_SECONDS)
        found = definitions.trouble(await _served(api), hostnetwork_operator.__version__)
        if not found:
            break
    return found


async def _served(api: gateway.Gateway) -> definitions.Served:
    return definitions.Served(await _plurals(api), await _schemas(api))


async def _plurals(api: gateway.Gateway) -> dict[str, frozenset[str]]:
    """By version of our group; none where one of them cannot be read, since the kind may be just there."""
    plurals: dict[str, frozenset[str]] = {}
    try:
        group = (await api.get(f"/apis/{labels.GROUP}")).body
        for version in (found["version"] for found in group["versions"]):
            resources = (await api.get(f"/apis/{labels.GROUP}/{version}")).body["resources"]
            plurals[version] = frozenset(resource["name"] for resource in resources)
    except gateway.ApiError:
        return {}
    return plurals


async def _schemas(api: gateway.Gateway) -> dict[str, Mapping[str, Any]]:
    """By kind of our version, as far as they are published."""
    try:
        published = (await api.get(f"/openapi/v3/apis/{labels.API_VERSION}")).body
    except gateway.ApiError:
        return {}
    schemas = (published.get("components") or {}).get("schemas") or {}
    return {str(named.get("kind")): schema for schema in schemas.values() for named in _named(schema)}


def _named(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The kinds that a schema is of."""
    named = schema.get(_KIND)
    return [one for one in named if isinstance(one, Mapping)] if isinstance(named, list) else []
