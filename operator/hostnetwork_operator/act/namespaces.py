"""Writes a Namespace's labels and annotations by one merge patch.

A merge patch is as atomic as server-side apply and has none of its traps here: a key that is left out is left alone, a
key that is null is removed whoever else applied it, and there is one kind of ownership
(docs/adr/0002-merge-patch-with-resource-version.md).

The API server decodes the whole object after it has patched it. In the status and in managedFields a tenant can store
times that it encodes and does not decode (the year 10000). So every patch leaves both out: the API server keeps the
stored status in a request that is not about the status, and the stored managedFields where a patch has none.
"""

from collections.abc import Mapping
from typing import Any

from hostnetwork_operator.act import gateway
from hostnetwork_operator.decide import effects


async def write(api: gateway.Gateway, effect: effects.WriteNamespace, deadline: float) -> Mapping[str, Any]:
    """Write, and return the namespace as it is then. Raise gateway.ApiError.

    409 means that the namespace has changed since it was judged, 404 that it is gone or that another one has its name.
    """
    namespace = effect.namespace
    metadata: dict[str, Any] = {"uid": namespace.uid, "managedFields": None}
    if effect.versioned:
        metadata["resourceVersion"] = namespace.resource_version
    if effect.labels:
        metadata["labels"] = dict(effect.labels)
    if effect.annotations:
        metadata["annotations"] = dict(effect.annotations)
    answer = await api.patch(f"/api/v1/namespaces/{namespace.name}", {"metadata": metadata, "status": None}, deadline)
    body: Mapping[str, Any] = answer.body
    return body
