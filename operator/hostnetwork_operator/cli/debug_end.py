"""The end of a debug session: the exception is revoked, and the pod is deleted.

The operator deletes the pod, because its exception has ended. If no operator does, this client deletes the pod.
"""

import asyncio
import contextlib
import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import grant
from hostnetwork_operator.cli import connect, tables, writing
from hostnetwork_operator.decide import debugging

_PAUSE_SECONDS: Final = 0.1  # between two questions while a person waits
_DELETION_SECONDS: Final = 5.0  # until the operator has deleted the pod
_CREATION_SECONDS: Final = 2.0  # for which the API server may carry out a request whose client has gone
_ATTEMPTS: Final = 5


@dataclass(slots=True)
class StartedSession:
    """What a session has created so far.

    `tried` and `pod_tried`: the API server may have got a request to create the exception and the pod. `uid` is that of
    the exception, and `created` the creation of the pod, both unknown until the API server has answered.
    """

    connection: connect.Connection
    session: debugging.DebugSession
    exception: Mapping[str, Any]
    tried: bool = False
    pod_tried: bool = False
    uid: str = ""
    created: datetime.datetime | None = None

    @property
    def pods(self) -> str:
        return f"/api/v1/namespaces/{self.session.namespace}/pods"

    @property
    def pod(self) -> str:
        return f"{self.pods}/{self.session.name}"

    @property
    def path(self) -> str:
        return writing.path(self.session.namespace, self.session.name)

    def revoked_at(self) -> datetime.datetime:
        """Return the expiry with which the exception is revoked now."""
        return debugging.revoked_at(self.connection.clock.now(), self.created)


async def end(started: StartedSession) -> None:
    """Revoke the exception, and see to it that the pod is deleted. Say what could not be done, and raise nothing."""
    if not started.tried:
        return
    session = started.session
    try:
        result = await _revoke(started)
    except (Exception, asyncio.CancelledError) as error:  # whatever it is, the person must know how to revoke it
        change = json.dumps({"spec": {"expiry": tables.moment(started.revoked_at())}}, separators=(",", ":"))
        _say(
            f"error: exception {session.name} is not revoked: {_why(error)}. It ends at"
            f" {grant.format_time(session.expiry)} all the same. To revoke it now:"
            f" kubectl patch hne {session.name} -n {session.namespace} --type=merge -p '{change}'"
        )
        return
    if not result:
        return
    try:
        by = await _see_pod_deleted(started) if started.pod_tried else ""
    except (Exception, asyncio.CancelledError) as error:
        _say(
            f"exception {session.name} {result}. Whether its pod is deleted is not known: {_why(error)}. To delete it:"
            f" kubectl delete pod {session.name} -n {session.namespace}"
        )
        return
    _say(f"exception {session.name} {result}{by}")


async def _revoke(started: StartedSession) -> str:
    """Set the expiry to now. Return what became of the exception, '' if there is none."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return await _try_to_revoke(started)
        except gateway.ApiError as error:
            if attempt == _ATTEMPTS or not error.passing:
                raise
        await gateway.pause(attempt)
    raise AssertionError("unreachable")


async def _try_to_revoke(started: StartedSession) -> str:
    api = started.connection.gateway
    body = await _exception(started)
    if body is None:
        return ""
    if started.pod_tried and started.created is None:  # the answer was lost
        with contextlib.suppress(gateway.ApiError):
            meta = (await api.get(started.pod)).body["metadata"]
            started.created = datetime.datetime.fromisoformat(meta["creationTimestamp"])
    moment = started.revoked_at()
    if grant.parse_time(body["spec"]["expiry"]) <= moment:
        return "has ended"
    change = {"metadata": {"uid": body["metadata"]["uid"]}, "spec": {"expiry": grant.format_time(moment)}}
    await api.patch(started.path, change)
    return "is revoked"


async def _exception(started: StartedSession) -> Mapping[str, Any] | None:
    """Return the exception of the session, None if there is none.

    The API server may still carry out a request whose client was interrupted before the answer.
    """
    clock = started.connection.clock
    deadline = clock.monotonic() + (0 if started.uid else _CREATION_SECONDS)
    while True:
        try:
            body: Mapping[str, Any] = (await started.connection.gateway.get(started.path)).body
        except gateway.ApiError as error:
            if not error.gone:
                raise
        else:
            return body if _is_ours(started, body) else None
        if clock.monotonic() >= deadline:
            return None
        await asyncio.sleep(_PAUSE_SECONDS)


def _is_ours(started: StartedSession, body: Mapping[str, Any]) -> bool:
    """Return whether the session has created the exception. If the answer was lost, a name that a person chose may be
    that of another exception.
    """
    if started.uid:
        return bool(body["metadata"]["uid"] == started.uid)
    return all(body["spec"].get(key) == value for key, value in started.exception["spec"].items())


async def _see_pod_deleted(started: StartedSession) -> str:
    """Wait until the operator has deleted the pod, or delete it. Return who did, as the end of a sentence."""
    api, clock, uid = started.connection.gateway, started.connection.clock, ""
    deadline = clock.monotonic() + _DELETION_SECONDS
    try:
        while clock.monotonic() < deadline:
            meta = (await api.get(started.pod)).body["metadata"]
            if "deletionTimestamp" in meta:
                return ", and the operator deletes the pod"
            uid = meta["uid"]
            await asyncio.sleep(_PAUSE_SECONDS)
        await api.delete(started.pod, {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}})
    except gateway.ApiError as error:
        if error.status not in {404, 409}:  # 409: another pod has the name
            raise
        return ", and its pod no longer exists"
    return f". The operator has not deleted the pod within {_DELETION_SECONDS:.0f} s, so this command has"


def _why(error: BaseException) -> str:
    if isinstance(error, gateway.ApiError):
        return error.message or error.reason
    return "interrupted" if isinstance(error, asyncio.CancelledError) else f"{type(error).__name__}: {error}"


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        tables.say(text)
