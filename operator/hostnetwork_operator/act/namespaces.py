"""Writes a Namespace's labels and annotations: one merge patch, valid only for the version that was judged.

A merge patch with the judged resourceVersion is as atomic as server-side apply and has none of its traps here: a key
that is left out is left alone, a key that is null goes whoever else applied it, and there is one kind of ownership
(docs/adr/0002-merge-patch-with-resource-version.md).
"""

from collections.abc import Mapping
from typing import Any

from hostnetwork_operator.act import gateway
from hostnetwork_operator.decide import effects


async def write(api: gateway.Gateway, effect: effects.WriteNamespace, version: str) -> Mapping[str, Any]:
    """The namespace as it is then. Raises gateway.ApiError: 409 where it has changed since it was judged."""
    metadata: dict[str, Any] = {"uid": effect.namespace.uid, "resourceVersion": version}
    if effect.labels:
        metadata["labels"] = dict(effect.labels)
    if effect.annotations:
        metadata["annotations"] = dict(effect.annotations)
    answer = await api.patch(f"/api/v1/namespaces/{effect.namespace.name}", {"metadata": metadata})
    body: Mapping[str, Any] = answer.body
    return body
