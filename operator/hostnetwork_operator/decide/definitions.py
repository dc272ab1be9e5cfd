"""Whether the CRDs that the API server serves are those of this operator.

A CRD that lacks a field has the API server drop that field from every write: a status would be written again and
again, and a spec would mean less than its author wrote. What is not known is no difference.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hostnetwork_operator.api import crd, exception, labels, policy

PLURALS: Final = {exception.KIND: exception.PLURAL, policy.KIND: policy.PLURAL}
_APPLY: Final = "kubectl apply --server-side -f crds/ of the release of this operator"
_NAMED: Final = 3  # fields that a message names


@dataclass(frozen=True, slots=True)
class Served:
    """What the API server serves of our group: the plurals by version, and the schemas of our version by kind."""

    plurals: Mapping[str, frozenset[str]] = field(default_factory=dict)
    schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def trouble(served: Served, release: str) -> str:
    """Return why this operator cannot work with the CRDs that are served, '' if it can.

    A kind that is served in no version is no trouble here: the operator waits for it.
    """
    ours = served.plurals.get(labels.VERSION, frozenset())
    for kind, plural in PLURALS.items():
        others = sorted(version for version, plurals in served.plurals.items() if plural in plurals)
        if plural not in ours and others:
            return (
                f"CRD {plural}.{labels.GROUP} must serve version {labels.VERSION} for operator {release}, got"
                f" {', '.join(others)}; {_APPLY}, or run the release of the operator that these CRDs belong to"
            )
        lacking = sorted(_paths(_wanted(kind)) - _paths(served.schemas[kind])) if kind in served.schemas else []
        if lacking:
            more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
            return (
                f"CRD {plural}.{labels.GROUP} must have every field of operator {release}, got one without"
                f" {', '.join(lacking[:_NAMED])}{more}; {_APPLY}"
            )
    return ""


def _wanted(kind: str) -> Mapping[str, Any]:
    definition = crd.exceptions_crd() if kind == exception.KIND else crd.policies_crd()
    found: Mapping[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def _paths(schema: Mapping[str, Any]) -> set[str]:
    """The fields of spec and status, with those within lists and maps."""
    top = schema.get("properties") or {}
    return {path for name in ("spec", "status") if name in top for path in _below(top[name], name)}


def _below(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    yield path
    for name, value in (schema.get("properties") or {}).items():
        yield from _below(value, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), Mapping):
            yield from _below(schema[name], path)
