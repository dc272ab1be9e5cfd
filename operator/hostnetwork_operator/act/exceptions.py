"""Writes the status of an exception."""

from collections.abc import Mapping
from typing import Any

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import exception, labels
from hostnetwork_operator.decide import effects


async def write_status(api: gateway.Gateway, effect: effects.WriteExceptionStatus) -> Mapping[str, Any]:
    """The exception as it is then. Raises gateway.ApiError: 409 where it is not the version that was judged."""
    subject = effect.subject
    path = (
        f"/apis/{labels.GROUP}/{labels.VERSION}/namespaces/{subject.namespace}/{exception.PLURAL}/{subject.name}/status"
    )
    body = {
        "metadata": {"uid": subject.uid, "resourceVersion": effect.resource_version},
        "status": effect.status.model_dump(mode="json", by_alias=True),
    }
    answer: Mapping[str, Any] = (await api.patch(path, body)).body
    return answer
