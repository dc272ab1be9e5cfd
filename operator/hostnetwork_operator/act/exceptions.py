"""Writes the status of an exception."""

from collections.abc import Mapping
from typing import Any

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import exception, labels
from hostnetwork_operator.decide import effects


async def write_status(api: gateway.Gateway, effect: effects.WriteExceptionStatus) -> Mapping[str, Any]:
    """Write the status, and return the exception as it is after the write. Raise gateway.ApiError.

    The status says which generation was evaluated, so it is valid whatever labels change meanwhile. 404 means that the
    exception no longer exists, or that another exception has its name.
    """
    subject = effect.subject
    path = (
        f"/apis/{labels.GROUP}/{labels.VERSION}/namespaces/{subject.namespace}/{exception.PLURAL}/{subject.name}/status"
    )
    body = {
        "metadata": {"uid": subject.uid},
        "status": effect.status.model_dump(mode="json", by_alias=True),
    }
    answer: Mapping[str, Any] = (await api.patch(path, body)).body
    return answer
