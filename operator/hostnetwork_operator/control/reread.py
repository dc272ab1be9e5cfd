"""Reads one object again, into the store. What a watch reported about the object may be out of date."""

from collections.abc import Mapping
from typing import Any

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import exception
from hostnetwork_operator.observe import live, store


async def an_exception(api: gateway.Gateway, cache: store.Store, namespace: str, name: str) -> Mapping[str, Any] | None:
    """Return an exception, as `_read` does. Raise gateway.ApiError."""
    path = f"{live.CUSTOM}/namespaces/{namespace}/{exception.PLURAL}/{name}"
    return await _read(api, cache, path, store.Kind.EXCEPTION, namespace, name)


async def a_namespace(api: gateway.Gateway, cache: store.Store, name: str) -> Mapping[str, Any] | None:
    """Return a Namespace, as `_read` does. Raise gateway.ApiError."""
    return await _read(api, cache, f"/api/v1/namespaces/{name}", store.Kind.NAMESPACE, "", name)


async def _read(
    api: gateway.Gateway, cache: store.Store, path: str, kind: store.Kind, namespace: str, name: str
) -> Mapping[str, Any] | None:
    """Return the object that was read, and put it into the store.

    Return None for an object that no longer exists, which the store forgets. Also return None for an object that cannot
    be decoded: the store keeps the last version that could be.
    """
    try:
        body: Mapping[str, Any] = (await api.get(path)).body
    except gateway.UndecodableError:
        return None
    except gateway.ApiError as error:
        if not error.gone:
            raise
        cache.removed(kind, namespace, name)
        return None
    cache.put(kind, body)
    return body
