"""Writes a Namespace's labels and annotations by one merge patch.

A merge patch is as atomic as server-side apply and has none of its traps here: a key that is left out is left alone, a
key that is null is removed whoever else applied it, and there is one kind of ownership
(docs/adr/0002-merge-patch-with-resource-version.md).
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
    metadata: dict[str, Any] = {"uid": namespace.uid}
    if effect.versioned:
        metadata["resourceVersion"] = namespace.resource_version
    if effect.labels:
        metadata["labels"] = dict(effect.labels)
    if effect.annotations:
        metadata["annotations"] = dict(effect.annotations)
    answer = await api.patch(f"/api/v1/namespaces/{namespace.name}", {"metadata": metadata}, deadline)
    body: Mapping[str, Any] = answer.body
    return body
