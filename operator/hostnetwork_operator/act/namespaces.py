"""Writes the labels and annotations of a Namespace with one merge patch.

A merge patch is as atomic as server-side apply, and has none of its traps here. A key that the patch omits is left
alone, a key that is null is removed no matter who applied it, and there is only one kind of ownership
(docs/adr/0002-merge-patch-with-resource-version.md).

The API server decodes the whole object after it has patched it. In the status and in managedFields a tenant can store
times that the API server can encode but cannot decode (the year 10000). So every patch sets both to null. Then the API
server keeps the stored status, because the request is not about the status, and the stored managedFields, because the
patch has none.
"""

import logging
from collections.abc import Mapping
from typing import Any

from hostnetwork_operator import logs
from hostnetwork_operator.act import gateway
from hostnetwork_operator.decide import effects

_log = logging.getLogger(__name__)


async def write(api: gateway.Gateway, effect: effects.WriteNamespace, deadline: float) -> Mapping[str, Any]:
    """Write the namespace, and return the namespace as it is after the write. Raise gateway.ApiError.

    409 means that the namespace has changed since it was evaluated. 404 means that it no longer exists, or that another
    namespace has its name. If an answer was lost and the namespace is as the write leaves it, the write counts as done.
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
        body_after = await _written(api, path, effect) if error.lost or error.unanswered else None
        if body_after is None:
            raise
        return body_after
    return body


async def _written(api: gateway.Gateway, path: str, effect: effects.WriteNamespace) -> Mapping[str, Any] | None:
    """Return the namespace if it is as the write leaves it, None if it is not or cannot be read."""
    try:
        body: Mapping[str, Any] = (await api.get(path)).body
    except gateway.ApiError:
        return None
    metadata = body["metadata"]
    current = {"labels": metadata.get("labels") or {}, "annotations": metadata.get("annotations") or {}}
    wanted = {"labels": effect.labels, "annotations": effect.annotations}
    is_written = all(current[field].get(key) == value for field, keys in wanted.items() for key, value in keys.items())
    return body if is_written and metadata["uid"] == effect.namespace.uid else None


async def _claim(api: gateway.Gateway, effect: effects.WriteNamespace, deadline: float) -> str:
    """Apply the labels that are set already, so that the operator owns them too. Return the version of the namespace
    after that.

    Enforcement does not wait for the apply: a tenant can write managedFields that make every apply fail.
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
        return namespace.resource_version  # if the version is why the apply failed, the write that follows fails too
    return str(answer.body["metadata"]["resourceVersion"])
