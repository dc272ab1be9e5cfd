"""Stores Events under names made from what they say, so that none is stored twice, whoever asks and how often.

core/v1 Events, because that is where `kubectl describe` looks.
"""

import datetime
import hashlib
from typing import Final

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import grant, labels, meta
from hostnetwork_operator.decide import effects

_NOTE_LIMIT: Final = 1024  # characters that Kubernetes takes for an Event's message
_NAME_LIMIT: Final = 200


def name_of(effect: effects.EmitEvent) -> str:
    """The name of the Event: the subject's, if it can be part of one, and a digest of what makes this Event one."""
    subject = effect.regarding
    digest = hashlib.sha256("\0".join([subject.uid, effect.reason, effect.key]).encode()).hexdigest()[:16]
    # Whoever makes a pod writes what he likes as the name of its owner.
    stem = subject.name[:_NAME_LIMIT].rstrip("-.") if meta.is_name(subject.name) else "object"
    return f"{stem}.{digest}"


async def emit(api: gateway.Gateway, effect: effects.EmitEvent, now: datetime.datetime) -> bool:
    """Whether it was stored now; False if it was before. Raises gateway.ApiError."""
    subject = effect.regarding
    namespace = subject.namespace or "default"  # where Kubernetes wants Events of cluster-scoped objects
    moment = grant.format_time(now)
    involved = {
        "apiVersion": subject.api_version,
        "kind": subject.kind,
        "name": subject.name,
        "uid": subject.uid,
        **({"namespace": subject.namespace} if subject.namespace else {}),
    }
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name_of(effect), "namespace": namespace},
        "involvedObject": involved,
        "type": effect.type,
        "reason": effect.reason,
        "message": effect.message[:_NOTE_LIMIT],
        "source": {"component": labels.MANAGER},
        "reportingComponent": labels.GROUP,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
    try:
        await api.create(f"/api/v1/namespaces/{namespace}/events", body)
    except gateway.ApiError as error:
        if error.reason == "AlreadyExists":
            return False
        if error.status in {403, 404} and _namespace_ends(error):
            return False
        raise
    return True


def _namespace_ends(error: gateway.ApiError) -> bool:
    return error.status == 404 or "being terminated" in error.message
