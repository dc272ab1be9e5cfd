"""Whether the CRDs that the API server serves are those of this operator.

If a CRD lacks a field, the API server drops that field from every write: the operator would write a status again and
again, and a spec would mean less than its author wrote. What is not known does not count as a difference.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hostnetwork_operator.api import crd, exception, labels, policy

PLURALS: Final = {exception.KIND: exception.PLURAL, policy.KIND: policy.PLURAL}
_APPLY: Final = "run kubectl apply --server-side -f crds/ of the release of this operator"
_NAMED: Final = 3  # fields that a message names


@dataclass(frozen=True, slots=True)
class Served:
    """What the API server serves in our API group: the plurals by version, and the schemas of our version by kind."""

    plurals: Mapping[str, frozenset[str]] = field(default_factory=dict)
    schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def trouble(served: Served, release: str) -> str:
    """Return why this operator cannot work with the CRDs that are served, '' if it can.

    A kind that is served in no version is not a reason: the operator waits for it.
    """
    ours = served.plurals.get(labels.VERSION, frozenset())
    for kind, plural in PLURALS.items():
        served_versions = sorted(version for version, plurals in served.plurals.items() if plural in plurals)
        if plural not in ours and served_versions:
            return (
                f"CRD {plural}.{labels.GROUP} must serve version {labels.VERSION} for operator {release}, got"
                f" {', '.join(served_versions)}; {_APPLY}, or run the release of the operator that these CRDs belong to"
            )
        missing = sorted(_paths(_shipped_schema(kind)) - _paths(served.schemas[kind])) if kind in served.schemas else []
        if missing:
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            return (
                f"CRD {plural}.{labels.GROUP} must have every field of operator {release}, got a CRD without"
                f" {', '.join(missing[:_NAMED])}{more}; {_APPLY}"
            )
    return ""


def _shipped_schema(kind: str) -> Mapping[str, Any]:
    definition = crd.exceptions_crd() if kind == exception.KIND else crd.policies_crd()
    schema: Mapping[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _paths(schema: Mapping[str, Any]) -> set[str]:
    """Return the paths of all fields of spec and status, with the fields inside lists and maps."""
    top = schema.get("properties") or {}
    return {path for name in ("spec", "status") if name in top for path in _below(top[name], name)}


def _below(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    yield path
    for name, value in (schema.get("properties") or {}).items():
        yield from _below(value, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), Mapping):
            yield from _below(schema[name], path)
