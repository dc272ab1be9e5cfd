"""A scripted API server: a dictionary of objects behind the gateway's methods, with failures where a test wants them.

The server complements the tests on a real control plane. There, neither a failure of every single request nor an object
that changes between two requests can be arranged.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hostnetwork_operator import bodies
from hostnetwork_operator.act import gateway

Body = dict[str, Any]


class Server:
    """A server that calls `before` with method and path before each request.

    `before` may change objects, or raise ApiError.
    """

    def __init__(self, *bodies: Body) -> None:
        self.objects: dict[str, Body] = {}
        self.requests: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = lambda method, path: None
        self._version = 100
        for body in bodies:
            self.put(body.pop("path"), body)

    def put(self, path: str, body: Body) -> Body:
        """Store an object and replace any object at that path."""
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self.objects[path] = body
        return body

    async def get(self, path: str, *, most: int = 0) -> bodies.Answer:
        self._ask("GET", path)
        path_only = path.split("?")[0]
        if path_only in self.objects:
            return bodies.Answer(self.objects[path_only])
        items = [body for name, body in sorted(self.objects.items()) if name.rsplit("/", 1)[0] == path_only]
        if not items and "?" not in path:
            raise gateway.ApiError("GET", path, 404, "NotFound", "not found")
        return bodies.Answer({"metadata": {"resourceVersion": str(self._version)}, "items": items})

    async def create(self, path: str, body: Mapping[str, Any]) -> bodies.Answer:
        self._ask("POST", path)
        name = f"{path}/{body['metadata']['name']}"
        if name in self.objects:
            raise gateway.ApiError("POST", path, 409, "AlreadyExists", "exists")
        stored = {**body, "metadata": {**body["metadata"], "uid": f"uid-of-{body['metadata']['name']}"}}
        return bodies.Answer(self.put(name, stored))

    async def patch(self, path: str, body: Mapping[str, Any], deadline: float = 0.0) -> bodies.Answer:
        self._ask("PATCH", path)
        stored = self.objects.get(path)
        if stored is None or body["metadata"].get("uid", stored["metadata"]["uid"]) != stored["metadata"]["uid"]:
            raise gateway.ApiError("PATCH", path, 404, "NotFound", "not found")
        data = {**stored.get("data", {}), **body.get("data", {})}
        stored["data"] = {key: text for key, text in data.items() if text is not None}
        return bodies.Answer(self.put(path, stored))

    def writes(self) -> list[tuple[str, str]]:
        return [request for request in self.requests if request[0] != "GET"]

    def _ask(self, method: str, path: str) -> None:
        self.requests.append((method, path))
        self.before(method, path)
