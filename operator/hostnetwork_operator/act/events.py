"""Stores Events under names made from what they say, so that none is stored twice, whoever asks and how often.

core/v1 Events, because that is where `kubectl describe` looks. Whoever may create Events in a namespace can store one
first under a name that he expects. So an Event that is there counts as ours only if it says the same.
"""

import datetime
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import grant, labels, meta, plaintext
from hostnetwork_operator.decide import effects

_NOTE_LIMIT: Final = 1024  # characters that Kubernetes takes for an Event's message
_NAME_LIMIT: Final = 200


def name_of(effect: effects.EmitEvent, *more: str) -> str:
    """The name of the Event: the subject's, if it can be part of one, and a digest of what makes this Event one."""
    subject = effect.regarding
    digest = hashlib.sha256("\0".join([subject.uid, effect.reason, effect.key, *more]).encode()).hexdigest()[:16]
    # Whoever makes a pod writes what he likes as the name of its owner.
    stem = subject.name[:_NAME_LIMIT].rstrip("-.") if meta.is_name(subject.name) else "object"
    return f"{stem}.{digest}"


async def emit(api: gateway.Gateway, effect: effects.EmitEvent, now: datetime.datetime) -> bool:
    """Whether it was stored now; False if it was before, or cannot be. Raises gateway.ApiError.

    Where another Event has its name, the name is made from the message too, and then from the uid of the other one,
    which nobody knows beforehand.
    """
    body = _body(effect, now)
    path = f"/api/v1/namespaces/{body['metadata']['namespace']}/events"
    more: list[str] = []
    for further in ("message", "uid", ""):
        name = name_of(effect, *more)
        if await _create(api, path, {**body, "metadata": {**body["metadata"], "name": name}}):
            return True
        present = await _read(api, f"{path}/{name}") if further else None
        if present is None:
            continue
        if _same(present, body):
            break
        more.append(effect.message if further == "message" else str(present["metadata"]["uid"]))
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


async def _create(api: gateway.Gateway, path: str, body: gateway.Body) -> bool:
    """False if the name is taken, or the namespace ends."""
    try:
        await api.create(path, body)
    except gateway.ApiError as error:
        if error.reason == "AlreadyExists" or (error.status in {403, 404} and _namespace_ends(error)):
            return False
        raise
    return True


async def _read(api: gateway.Gateway, path: str) -> Mapping[str, Any] | None:
    """The Event; None if it is gone, or may not be read (rules of an older release)."""
    try:
        body: Mapping[str, Any] = (await api.get(path)).body
    except gateway.ApiError as error:
        if error.status in {403, 404}:
            return None
        raise
    return body


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    said = [[e["involvedObject"].get("uid"), e.get("reason"), e.get("message")] for e in (one, other)]
    return said[0] == said[1]


def _namespace_ends(error: gateway.ApiError) -> bool:
    return error.status == 404 or "being terminated" in error.message
