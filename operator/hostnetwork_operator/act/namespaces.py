"""Writes a Namespace's labels and annotations by one merge patch.

A merge patch is as atomic as server-side apply and has none of its traps here: a key that is left out is left alone, a
key that is null is removed whoever else applied it, and there is one kind of ownership
(docs/adr/0002-merge-patch-with-resource-version.md).

The API server decodes the whole object after it has patched it. In the status and in managedFields a tenant can store
times that it encodes and does not decode (the year 10000). So every patch leaves both out: the API server keeps the
stored status in a request that is not about the status, and the stored managedFields where a patch has none.
"""

import logging
from collections.abc import Mapping
from typing import Any

from hostnetwork_operator import logs
from hostnetwork_operator.act import gateway
from hostnetwork_operator.decide import effects

_log = logging.getLogger(__name__)


async def write(api: gateway.Gateway, effect: effects.WriteNamespace, deadline: float) -> Mapping[str, Any]:
    """Write, and return the namespace as it is then. Raise gateway.ApiError.

    409 means that the namespace has changed since it was judged, 404 that it is gone or that another one has its name.
    Where an answer was lost, a namespace that is as the write leaves it was written.
    """
    namespace = effect.namespace
    version = await _claim(api, effect, deadline) if effect.claims else namespace.resource_version
    metadata: dict[str, Any] = {"uid": namespace.uid, "managedFields": None}
    if effect.versioned:
        metadata["resourceVersion"] = version
    if effect.labels:
        metadata["labels"] = dict(effect.labels)
    if effect.annotations:
        metadata["annotations"] = dict(effect.annotations)
    path = f"/api/v1/namespaces/{namespace.name}"
    try:
        body: Mapping[str, Any] = (await api.patch(path, {"metadata": metadata, "status": None}, deadline)).body
    except gateway.ApiError as error:
        written = await _written(api, path, effect) if error.lost or error.unanswered else None
        if written is None:
            raise
        return written
    return body


async def _written(api: gateway.Gateway, path: str, effect: effects.WriteNamespace) -> Mapping[str, Any] | None:
    """Return the namespace if it is as the write leaves it, None if it is not or cannot be read."""
    try:
        body: Mapping[str, Any] = (await api.get(path)).body
    except gateway.ApiError:
        return None
    metadata = body["metadata"]
    found = {"labels": metadata.get("labels") or {}, "annotations": metadata.get("annotations") or {}}
    wanted = {"labels": effect.labels, "annotations": effect.annotations}
    same = all(found[field].get(key) == value for field, keys in wanted.items() for key, value in keys.items())
    return body if same and metadata["uid"] == effect.namespace.uid else None


async def _claim(api: gateway.Gateway, effect: effects.WriteNamespace, deadline: float) -> str:
    """Apply what stands, so that it is the operator's too; return the version of the namespace then.

    Enforcement does not wait for it: a tenant can write managedFields that no apply decodes.
    """
    namespace = effect.namespace
    metadata = {"name": namespace.name, "uid": namespace.uid, "labels": dict(effect.claims)}
    if effect.versioned:
        metadata["resourceVersion"] = namespace.resource_version
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    try:
        answer = await api.apply(f"/api/v1/namespaces/{namespace.name}", body, deadline)
    except gateway.ApiError as error:
        logs.log(_log, logging.WARNING, "not-claimed", namespace=namespace.name, error=str(error))
        return namespace.resource_version  # where that is why, the write that follows fails too
    return str(answer.body["metadata"]["resourceVersion"])
