"""What an answer of the API server must have, by what was asked: as much of its form as is relied on without a check.

Whoever answers may be a proxy, a load balancer or a login page. Nothing is judged here, and what a tenant may write
into an object is not looked at.
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
    """What RBAC must allow for a request: `kind` is as `kubectl auth can-i` takes it, such as `jobs.batch`."""

    verb: str
    kind: str


def right(method: str, path: str) -> Right | None:
    """Return the right that a request needs; None for a request that is not about objects."""
    found = _PATH.fullmatch(path.partition("?")[0])
    if found is None or found["kind"] is None:
        return None
    reading = "list" if found["name"] is None else "get"
    group = f".{found['group']}" if found["group"] else ""
    return Right(_VERBS.get(method, reading), f"{found['kind']}{group}{found['status'] or ''}")


def trouble(method: str, path: str, body: Body) -> str:
    """Return why an answer is none to the question, '' if it is one."""
    bare = path.partition("?")[0]
    found = _PATH.fullmatch(bare)
    if found is None:
        return _published(body) if bare.startswith(_OPENAPI) else ""
    if found["kind"] is None:
        every, one = ("versions", "version") if found["group"] and not found["version"] else ("resources", "name")
        return "" if _objects(body.get(every), one) else f"no {every}"
    if method == "DELETE":  # nobody reads it: it is what was deleted, or a Status
        return "" if _texts(body, "kind") or _texts(body.get("metadata"), "name") else "no object and no Status"
    if method == "GET" and found["name"] is None:
        return _list(body)
    if method == "POST" and isinstance(body.get("status"), dict) and str(body.get("kind")).endswith("Review"):
        return ""
    # What a dry run creates has no version.
    keys = ("name", "uid") if method == "POST" else ("name", "uid", "resourceVersion")
    return "" if _texts(body.get("metadata"), *keys) else "no object"


def _list(body: Body) -> str:
    if not _texts(body.get("metadata"), "resourceVersion") or "items" not in body:
        return "no list"
    items = body["items"]
    if items is None:  # as some API servers write an empty one
        return ""
    whole = _objects(items) and _objects([item.get("metadata") for item in items], "name", "uid", "resourceVersion")
    return "" if whole else "no list of objects"


def _published(body: Body) -> str:
    components = body.get("components", {})
    schemas = components.get("schemas", {}) if isinstance(components, dict) else None
    whole = isinstance(schemas, dict) and _objects(list(schemas.values()))
    return "" if whole else "no schemas"


def _objects(found: object, *keys: str) -> bool:
    """Whether this is an array of objects with these texts."""
    if not isinstance(found, list):
        return False
    return all(_texts(one, *keys) for one in found)


def _texts(found: object, *keys: str) -> bool:
    """Whether this is an object that has these texts."""
    return isinstance(found, dict) and all(isinstance(found.get(key), str) for key in keys)
