"""Fingerprints of admission policies, to compare the files of this release with the objects in the cluster.

The API server adds defaults to the objects that it stores. A default counts as absent here. So do null and empty, which
mean the same. Several line breaks with the blanks around them count as one line break, because kustomize doubles some.
Anything else that is not in the files of this release is a difference, also a field that a later Kubernetes adds.

`make generate` writes `shipped.py` from manifests/admission and manifests/static, because the image has no manifests.
"""

import hashlib
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import yaml

from hostnetwork_operator.api import labels

Spec = Mapping[str, Any]
_BREAK: Final = re.compile(r"\s*\n\s*")
_RULES: Final = ("resourceRules", "excludeResourceRules")
_HEADER: Final = '''"""The admission policies that deny, as this release ships them in manifests/admission.

Generated from there by `make generate`; do not edit. `shipped_before.py` is this file of the release before.
"""

from typing import Final

from hostnetwork_operator.api.fingerprint import Seal, Shipped

POLICIES: Final[dict[str, Shipped]] = {
'''


class Seal(NamedTuple):
    """The fingerprints of the seal: its policy, and its binding while the seal is closed and open."""

    policy: str
    closed: str
    open: str


class Shipped(NamedTuple):
    """The fingerprints of one policy: which requests it selects, what it says of them, and its binding that denies."""

    selects: str
    says: str
    bound: str


def selects(spec: Spec) -> str:
    """Return the fingerprint of which requests a policy evaluates."""
    return _digest(_constraints(spec.get("matchConstraints")))


def says(spec: Spec) -> str:
    """Return the fingerprint of everything else in a policy, without failurePolicy, which is checked separately."""
    return _digest({key: spec[key] for key in spec if key not in {"matchConstraints", "failurePolicy"}})


def bound(spec: Spec) -> str:
    """Return the fingerprint of a binding, without its validationActions, which are checked separately."""
    compared = {key: spec[key] for key in spec if key != "validationActions"}
    return _digest({**compared, "matchResources": _constraints(spec.get("matchResources"))})


def digest(spec: Spec) -> str:
    """Return the fingerprint of the whole spec of a policy or a binding."""
    return _digest({**spec, "matchConstraints": _constraints(spec.get("matchConstraints"))})


def _constraints(match_constraints: Spec | None) -> dict[str, Any]:
    constraints = dict(match_constraints or {})
    if constraints.get("matchPolicy") == "Equivalent":
        del constraints["matchPolicy"]
    for name in _RULES:
        rules = constraints.get(name) or ()
        constraints[name] = [{key: rule[key] for key in rule if (key, rule[key]) != ("scope", "*")} for rule in rules]
    return constraints


def _digest(value: Spec) -> str:
    return hashlib.sha256(json.dumps(_canonical(value), sort_keys=True).encode()).hexdigest()


def _canonical(value: Any) -> Any:
    """Return the value without fields that are null, {} or [].

    Items of lists stay. Empty texts stay too, because an empty text selects something. A line break stays a line break,
    because it ends a comment.
    """
    if isinstance(value, str):
        return _BREAK.sub("\n", value).strip()
    if isinstance(value, Mapping):
        fields = {key: _canonical(item) for key, item in value.items()}
        return {key: item for key, item in fields.items() if item is not None and item not in ({}, [])}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return value


def generated(directory: pathlib.Path, static: pathlib.Path) -> str:
    """Return the text of shipped.py, from the directories of the admission policies and of the seal.

    Raise ValueError if `directory` lacks a policy of the operator, or has not exactly one binding of it that denies.
    """
    bodies = [body for path in sorted(directory.glob("*.yaml")) for body in yaml.safe_load_all(path.read_text())]
    specs = {(body["kind"], body["metadata"]["name"]): body["spec"] for body in bodies if "spec" in body}
    text = _HEADER
    for name in labels.POLICIES:
        policy = specs.get(("ValidatingAdmissionPolicy", name))
        denying = [
            spec
            for (kind, _), spec in specs.items()
            if kind == "ValidatingAdmissionPolicyBinding"
            and spec["policyName"] == name
            and "Deny" in spec["validationActions"]
        ]
        if policy is None or len(denying) != 1:
            raise ValueError(f"{directory}: {name} must be there with one binding that denies, got {len(denying)}")
        digests = (selects(policy), says(policy), bound(denying[0]))
        lines = "".join(f'        "{digest}",\n' for digest in digests)
        text += f'    "{name}": Shipped(\n{lines}    ),\n'
    return f"{text}}}\n{_seal(static)}"


def _seal(static: pathlib.Path) -> str:
    policy, closed = (body["spec"] for body in yaml.safe_load_all((static / "seal.yaml").read_text()))
    _, opened = (body["spec"] for body in yaml.safe_load_all((static / "open" / "seal.yaml").read_text()))
    digests = "".join(f'    "{digest(spec)}",\n' for spec in (policy, closed, opened))
    return f"# manifests/static\nSEAL: Final = Seal(\n{digests})\n"
