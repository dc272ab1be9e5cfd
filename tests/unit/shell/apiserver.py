"""A scripted API server on loopback: objects by path, and failures where a test wants them.

The server complements the tests on a real control plane, where a failure of every single request cannot be arranged. It
implements only what the operator uses: objects and lists, merge patches, uids and resource versions as preconditions,
and dry runs that refuse nothing.
"""

import asyncio
import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

Body = dict[str, Any]
_CREATED = "2026-01-01T00:00:00Z"
VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0"}


@dataclass(frozen=True)
class Request:
    """A request that the server received. `number` counts reads and writes alike, from 0."""

    number: int
    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


Fails = Callable[[Request], web.Response | None]


class ApiServer:
    """A server with scripted failures.

    The server calls `fails` before each request, and answers with the response that `fails` returns, if any. If `loses`
    is true for a request, the server carries the request out and closes the connection without an answer. The server
    calls `notify` with each change, as a watch would.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Body] = {}
        self.requests: list[Request] = []
        self.fails: Fails = lambda _: None
        self.loses: Callable[[Request], bool] = lambda _: False
        self.notify: Callable[[str, str, Body], None] = lambda kind, event, body: None
        self._version = 1

    def put(self, path: str, body: Body) -> Body:
        """Store an object, with the metadata that every object has."""
        self._version += 1
        parts = path.split("/")
        meta = {"uid": f"uid-of-{path}", "creationTimestamp": _CREATED, "generation": 1, **body.get("metadata", {})}
        meta |= {"name": parts[-1], "resourceVersion": str(self._version)}
        if "namespaces" in parts[:-2]:
            meta["namespace"] = parts[parts.index("namespaces") + 1]
        event = "MODIFIED" if path in self.objects else "ADDED"
        self.objects[path] = {**body, "metadata": meta}
        self.notify(parts[-2], event, self.objects[path])
        return self.objects[path]

    def remove(self, path: str) -> None:
        """Remove an object."""
        self.notify(path.split("/")[-2], "DELETED", self.objects.pop(path))

    def clone(self) -> "ApiServer":
        """Return another server with a copy of all objects."""
        other = ApiServer()
        other.objects, other._version = copy.deepcopy(self.objects), self._version
        return other

    def under(self, collection: str) -> list[Body]:
        """Return the objects of a collection, from every namespace if the path names none."""
        group, _, plural = collection.rpartition("/")
        return [
            body
            for path, body in sorted(self.objects.items())
            if path.rsplit("/", 1)[0] == collection
            or (path.startswith(f"{group}/namespaces/") and path.split("/")[-2:-1] == [plural])
        ]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        received = Request(len(self.requests), request.method, request.path)
        self.requests.append(received)
        if (failure := self.fails(received)) is not None:
            return failure
        answer = self._answer(request, json.loads(await request.read() or b"{}"))
        if self.loses(received):
            assert request.transport is not None
            request.transport.close()
        return answer

    def _answer(self, request: web.Request, body: Body) -> web.Response:
        match request.method:
            case "GET":
                return self._get(request)
            case "POST" if request.query.get("dryRun"):
                return web.json_response(body, status=201)
            case "POST":
                return self._create(request.path, body)
            case "PATCH":
                return self._patch(request.path, body)
            case _:
                return self._delete(request.path, body)

    def _get(self, request: web.Request) -> web.Response:
        path = request.path
        if path == "/version":
            return web.json_response(VERSION)
        if path in self.objects:
            return web.json_response(self.objects[path])
        items = self.under(path)
        if "spec.hostNetwork=true" in request.query.get("fieldSelector", ""):
            items = [item for item in items if item["spec"].get("hostNetwork")]
        is_collection = items or path.rsplit("/", 1)[-1] in _PLURALS
        if not is_collection:
            return refusal(404, "NotFound")
        return web.json_response({"metadata": {"resourceVersion": str(self._version)}, "items": items})

    def _create(self, collection: str, body: Body) -> web.Response:
        path = f"{collection}/{body['metadata']['name']}"
        if path in self.objects:
            return refusal(409, "AlreadyExists")
        return web.json_response(self.put(path, body), status=201)

    def _patch(self, path: str, body: Body) -> web.Response:
        path = path.removesuffix("/status")
        present = self.objects.get(path)
        if present is None:
            return refusal(404, "NotFound")
        metadata = body["metadata"]
        for key in ("uid", "resourceVersion"):
            if metadata.get(key, present["metadata"][key]) != present["metadata"][key]:
                return refusal(409, "Conflict")
        body = {key: value for key, value in body.items() if value is not None}
        body["metadata"] = {key: value for key, value in metadata.items() if key in {"labels", "annotations"}}
        return web.json_response(self.put(path, _merged(present, body)))

    def _delete(self, path: str, body: Body) -> web.Response:
        present = self.objects.get(path)
        if present is None:
            return refusal(404, "NotFound")
        if body.get("preconditions", {}).get("uid", "") != present["metadata"]["uid"]:
            return refusal(409, "Conflict")
        self.remove(path)
        return web.json_response(present)


_PLURALS = frozenset(
    {
        "configmaps",
        "cronjobs",
        "daemonsets",
        "deployments",
        "events",
        "hostnetworkexceptionpolicies",
        "hostnetworkexceptions",
        "jobs",
        "namespaces",
        "pods",
        "networkpolicies",
        "replicasets",
        "replicationcontrollers",
        "rolebindings",
        "roles",
        "statefulsets",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
    }
)


def refusal(status: int, reason: str = "Forbidden") -> web.Response:
    """Return a refusal with a Status as its body, as the API server sends it."""
    return web.json_response({"kind": "Status", "reason": reason, "message": f"scripted: {reason}"}, status=status)


def _merged(present: Any, patch: Any) -> Any:
    """Return the result of a JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(present) if isinstance(present, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


async def until(probe: Callable[[], object], what: str) -> None:
    """Wait until the probe is true. Fail after two minutes."""
    try:
        async with asyncio.timeout(120):
            while not probe():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within two minutes: {what}") from None
