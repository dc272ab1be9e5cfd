"""Writes the status of an exception."""

from collections.abc import Mapping
from typing import Any

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import exception, labels
from hostnetwork_operator.decide import effects


async def write_status(api: gateway.Gateway, effect: effects.WriteExceptionStatus) -> Mapping[str, Any]:
    """Write, and return the exception as it is then. Raise gateway.ApiError.

    The status says which generation was judged, so it is valid beside any change of labels. 404 means that the
    exception is gone or that another one has its name.
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
