"""Stores Events under names made from their content, so that no Event is stored twice, however often it is emitted.

The Events are core/v1 Events, because `kubectl describe` shows these. A user who may create Events in a namespace can
first store an Event under a name that he expects. So an existing Event counts as the operator's only if its content is
the same.
"""

import datetime
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import grant, labels, meta, plaintext
from hostnetwork_operator.decide import effects

_NOTE_LIMIT: Final = 1024  # characters that Kubernetes accepts in the message of an Event
_NAME_LIMIT: Final = 200


def name_of(effect: effects.EmitEvent, *more: str) -> str:
    """Return the name of the Event: the subject's name, if it can be part of a name, and a digest of what identifies
    the Event.
    """
    subject = effect.regarding
    digest = hashlib.sha256("\0".join([subject.uid, effect.reason, effect.key, *more]).encode()).hexdigest()[:16]
    # The creator of a pod can write anything as the name of its owner.
    stem = subject.name[:_NAME_LIMIT].rstrip("-.") if meta.is_name(subject.name) else "object"
    return f"{stem}.{digest}"


async def emit(api: gateway.Gateway, effect: effects.EmitEvent, now: datetime.datetime) -> bool:
    """Store the Event. Return whether it was stored now, False if it was stored before or cannot be stored. Raise
    gateway.ApiError.

    If another Event has the name, a new name is made from the message too, and then from the uid of the other Event,
    which nobody knows beforehand.
    """
    body = _body(effect, now)
    path = f"/api/v1/namespaces/{body['metadata']['namespace']}/events"
    name_parts: list[str] = []
    for next_part in ("message", "uid", ""):
        name = name_of(effect, *name_parts)
        try:
            await api.create(path, {**body, "metadata": {**body["metadata"], "name": name}})
        except gateway.ApiError as error:
            if error.namespace_ends or error.status == 404:
                return False  # no attempt will succeed: the namespace is being deleted, or no longer exists
            if error.reason != "AlreadyExists":
                raise
        else:
            return True
        existing = await _read(api, f"{path}/{name}") if next_part else None
        if existing is None:
            continue
        if _same(existing, body):
            break
        name_parts.append(effect.message if next_part == "message" else str(existing["metadata"]["uid"]))
    return False


def _body(effect: effects.EmitEvent, now: datetime.datetime) -> dict[str, Any]:
    subject = effect.regarding
    moment = grant.format_time(now)
    involved = {
        "apiVersion": subject.api_version,
        "kind": subject.kind,
        "name": subject.name,
        "uid": subject.uid,
        **({"namespace": subject.namespace} if subject.namespace else {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": subject.namespace or "default"},  # where Events of cluster-scoped objects are
        "involvedObject": involved,
        "type": effect.type,
        "reason": effect.reason,
        "message": plaintext.of(effect.message)[:_NOTE_LIMIT],
        "source": {"component": labels.MANAGER},
        "reportingComponent": labels.GROUP,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


async def _read(api: gateway.Gateway, path: str) -> Mapping[str, Any] | None:
    """Return the Event, None if it no longer exists or may not be read (rules of an older release)."""
    try:
        body: Mapping[str, Any] = (await api.get(path)).body
    except gateway.ApiError as error:
        if error.status in {403, 404}:
            return None
        raise
    return body


def _same(existing: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    contents = [
        [event["involvedObject"].get("uid"), event.get("reason"), event.get("message")] for event in (existing, wanted)
    ]
    return contents[0] == contents[1]
