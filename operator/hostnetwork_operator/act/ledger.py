"""Writes the ConfigMaps of the ledger."""

from collections.abc import Mapping
from typing import Any

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import labels
from hostnetwork_operator.observe import ledger, live


async def write(api: gateway.Gateway, change: ledger.Change) -> Mapping[str, Any]:
    """Carry out a change, and return the ConfigMap as it is after the change. Raise gateway.ApiError.

    404 means that the ConfigMap no longer exists, or that another ConfigMap has its name.
    """
    shard = change.shard
    if not shard.uid:
        try:
            return await _create(api, change)
        except gateway.ApiError as error:
            if error.reason != "AlreadyExists":
                raise
    metadata = {"uid": shard.uid} if shard.uid else {}
    body: Mapping[str, Any] = (
        await api.patch(f"{live.LEDGER}/{shard.name}", {"metadata": metadata, "data": dict(change.texts)})
    ).body
    return body


async def _create(api: gateway.Gateway, change: ledger.Change) -> Mapping[str, Any]:
    metadata = {"name": change.shard.name, "labels": {labels.MANAGED_BY: labels.MANAGER}}
    data = {key: text for key, text in change.texts.items() if text is not None}
    body: Mapping[str, Any] = (
        await api.create(live.LEDGER, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    ).body
    return body
