"""The form that the answer to a request must have: as much of the form as the operator relies on without a check.

The answer may come from a proxy, a load balancer or a login page, and not from the API server. This module decides
nothing else, and does not check what a tenant may write into an object.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Body = Mapping[str, Any]
_PATH: Final = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)(?:/(?P<version>[^/]+))?)"
    r"(?:/namespaces/[^/]+(?=/[^/]+))?(?:/(?P<kind>[^/]+))?(?P<name>/[^/]+)?(?P<status>/status)?"
)
_VERBS: Final = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}
_OPENAPI: Final = "/openapi/"


@dataclass(frozen=True, slots=True)
class Right:
    """What RBAC must allow for a request. `kind` has the form that `kubectl auth can-i` takes, such as `jobs.batch`."""

    verb: str
    kind: str


def right(method: str, path: str) -> Right | None:
    """Return the right that a request needs, None for a request that is not about objects."""
    parts = _PATH.fullmatch(path.partition("?")[0])
    if parts is None or parts["kind"] is None:
        return None
    reading = "list" if parts["name"] is None else "get"
    group = f".{parts['group']}" if parts["group"] else ""
    return Right(_VERBS.get(method, reading), f"{parts['kind']}{group}{parts['status'] or ''}")


def trouble(method: str, path: str, body: Body) -> str:
    """Return why an answer does not answer the request, '' if it does."""
    bare_path = path.partition("?")[0]
    parts = _PATH.fullmatch(bare_path)
    if parts is None:
        return _published(body) if bare_path.startswith(_OPENAPI) else ""
    if parts["kind"] is None:
        array_name, item_key = (
            ("versions", "version") if parts["group"] and not parts["version"] else ("resources", "name")
        )
        return "" if _objects(body.get(array_name), item_key) else f"no {array_name}"
    if method == "DELETE":  # the operator does not use the answer: it is the deleted object, or a Status
        return "" if _texts(body, "kind") or _texts(body.get("metadata"), "name") else "no object and no Status"
    if method == "GET" and parts["name"] is None:
        return _list(body)
    if method == "POST" and isinstance(body.get("status"), dict) and str(body.get("kind")).endswith("Review"):
        return ""
    # An object from a dry run has no resourceVersion.
    keys = ("name", "uid") if method == "POST" else ("name", "uid", "resourceVersion")
    return "" if _texts(body.get("metadata"), *keys) else "no object"


def _list(body: Body) -> str:
    if not _texts(body.get("metadata"), "resourceVersion") or "items" not in body:
        return "no list"
    items = body["items"]
    if items is None:  # some API servers write null for an empty list
        return ""
    complete = _objects(items) and _objects([item.get("metadata") for item in items], "name", "uid", "resourceVersion")
    return "" if complete else "no list of objects"


def _published(body: Body) -> str:
    components = body.get("components", {})
    schemas = components.get("schemas", {}) if isinstance(components, dict) else None
    complete = isinstance(schemas, dict) and _objects(list(schemas.values()))
    return "" if complete else "no schemas"


def _objects(value: object, *keys: str) -> bool:
    """Return whether `value` is an array of objects that have texts under these keys."""
    if not isinstance(value, list):
        return False
    return all(_texts(item, *keys) for item in value)


def _texts(value: object, *keys: str) -> bool:
    """Return whether `value` is an object that has texts under these keys."""
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in keys)
