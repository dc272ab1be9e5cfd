"""The CustomResourceDefinitions, made from the models; `make generate` writes them to crds/.

The API server requires structural schemas: no references, no `anyOf` with null, no unknown keywords. A field that has
no structural schema is an error with the path of the field. No field is omitted silently.
"""

from typing import Any, Final

import yaml

from hostnetwork_operator.api import exception, fields, labels, policy

_KEPT: Final = frozenset(
    "type description properties required items enum default pattern minLength maxLength minItems maxItems"
    " maxProperties minimum maximum additionalProperties x-kubernetes-validations x-kubernetes-list-type"
    " x-kubernetes-list-map-keys".split()
)
_DROPPED: Final = frozenset({"title"})
_HEADER: Final = "# Generated from operator/hostnetwork_operator/api by `make generate`; do not edit.\n"


class _NoAliases(yaml.SafeDumper):
    """A YAML writer without anchors: a value that occurs twice is written twice, for the reader of a CRD."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class SchemaError(Exception):
    """A model has no structural schema. The message has the path of the field."""


def exceptions_crd() -> dict[str, Any]:
    """Return the CRD of HostNetworkException."""
    columns = [
        _column("Type", "string", ".spec.type"),
        _column("Owner", "string", ".spec.owner"),
        _column("Ticket", "string", ".spec.ticket"),
        _column("Ready", "string", '.status.conditions[?(@.type=="Ready")].reason'),
        _column("Pods", "integer", ".status.coveredPods"),
        # A column of type date shows <invalid> for a time in the future.
        _column("Expiry", "string", ".spec.expiry"),
        _column("Age", "date", ".metadata.creationTimestamp"),
        _column("Reason", "string", ".spec.reason", priority=1),
        _column("Contact", "string", ".spec.contact", priority=1),
    ]
    return _crd(exception, exception.HostNetworkException, "hne", "Namespaced", columns, [".spec.type", ".spec.owner"])


def policies_crd() -> dict[str, Any]:
    """Return the CRD of HostNetworkExceptionPolicy."""
    columns = [
        _column("Mode", "string", ".spec.mode"),
        _column("Enforce", "string", ".spec.podSecurity.enforce"),
        _column("Ready", "string", '.status.conditions[?(@.type=="Ready")].reason'),
        _column("Deny", "integer", ".status.namespaces.deny"),
        _column("Held", "integer", ".status.namespaces.held"),
        _column("Relaxed", "integer", ".status.namespaces.relaxed"),
        _column("Uncovered", "integer", ".status.pods.uncovered"),
        _column("Age", "date", ".metadata.creationTimestamp"),
    ]
    return _crd(policy, policy.HostNetworkExceptionPolicy, "hnep", "Cluster", columns, [])


def files() -> dict[str, str]:
    """Return the whole content of crds/: the text of each file by its name."""
    definitions = {exception.PLURAL: exceptions_crd(), policy.PLURAL: policies_crd()}
    return {
        f"{plural}.yaml": _HEADER + yaml.dump(crd, Dumper=_NoAliases, sort_keys=False, width=120, allow_unicode=True)
        for plural, crd in definitions.items()
    }


def structural(schema: dict[str, Any], definitions: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Return the structural schema for a schema from pydantic. Raise SchemaError if there is none."""
    schema = _without_null(_resolved(schema, definitions), definitions, path)
    unknown = schema.keys() - _KEPT - _DROPPED
    if unknown or "type" not in schema:
        raise SchemaError(f"{path or '.'}: cannot be expressed in a CRD: {', '.join(sorted(unknown)) or 'no type'}")
    result = {key: schema[key] for key in schema if key in _KEPT and schema[key] not in (None, [])}
    if result["type"] == "object" and "properties" in result:
        result.pop("additionalProperties", None)
    result["properties"] = {
        name: structural(value, definitions, f"{path}.{name}") for name, value in schema.get("properties", {}).items()
    }
    for key in ("items", "additionalProperties"):
        if isinstance(result.get(key), dict):
            result[key] = structural(result[key], definitions, f"{path}[{key}]")
    if not result["properties"]:
        del result["properties"]
    if isinstance(result.get("description"), str):
        result["description"] = " ".join(result["description"].split())
    return result


def _resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        other_keys = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**definitions[schema["$ref"].rsplit("/", 1)[1]], **other_keys}
    return schema


def _without_null(schema: dict[str, Any], definitions: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the schema without the choice of null: in Kubernetes an optional field is absent, never null."""
    if "anyOf" not in schema:
        return schema
    options = [option for option in schema["anyOf"] if option.get("type") != "null"]
    if len(options) != 1:
        raise SchemaError(f"{path}: a choice between types cannot be expressed in a CRD")
    other_keys = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    return {**_resolved(options[0], definitions), **other_keys}


def _column(name: str, kind: str, json_path: str, priority: int = 0) -> dict[str, Any]:
    return {"name": name, "type": kind, "jsonPath": json_path, **({"priority": priority} if priority else {})}


def _schema(model: type[fields.Model]) -> dict[str, Any]:
    raw = model.model_json_schema(by_alias=True, mode="validation")
    definitions = raw.pop("$defs", {})
    rules = raw.pop("x-kubernetes-validations", None)
    properties = raw["properties"]
    root = {
        "type": "object",
        "description": " ".join(raw["description"].split()),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"apiVersion is always {labels.API_VERSION}."},
            "kind": {"type": "string", "description": f"kind is always {model.__name__}."},
            "metadata": {"type": "object"},
            "spec": structural(properties["spec"], definitions, ".spec"),
            "status": structural({**properties["status"], "default": None}, definitions, ".status"),
        },
    }
    return {**root, "x-kubernetes-validations": rules} if rules else root


def _crd(
    kind: Any, model: type[fields.Model], short: str, scope: str, columns: list[dict[str, Any]], selectable: list[str]
) -> dict[str, Any]:
    version = {
        "name": labels.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        **({"selectableFields": [{"jsonPath": path} for path in selectable]} if selectable else {}),
        "schema": {"openAPIV3Schema": _schema(model)},
    }
    names = {
        "kind": kind.KIND,
        "listKind": f"{kind.KIND}List",
        "plural": kind.PLURAL,
        "singular": kind.KIND.lower(),
        "shortNames": [short],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.PLURAL}.{labels.GROUP}"},
        "spec": {"group": labels.GROUP, "scope": scope, "names": names, "versions": [version]},
    }
