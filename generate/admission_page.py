"""The generated part of docs/reference/admission.md: what each policy selects and refuses, read from manifests/."""

import pathlib
import re
from typing import Any, Final

import yaml

from generate import pages
from hostnetwork_operator.api import labels

PAGE: Final = pages.ROOT / "docs" / "reference" / "admission.md"
_MANIFESTS: Final = pages.ROOT / "manifests"
_KINDS: Final = ("ValidatingAdmissionPolicy", "MutatingAdmissionPolicy")


def files() -> dict[pathlib.Path, str]:
    """Return the page with its generated part for the present files of manifests/."""
    return {PAGE: pages.with_generated(PAGE, _policies_as_text())}


def policies() -> list[tuple[pathlib.Path, dict[str, Any], list[dict[str, Any]]]]:
    """Return each policy with its file and its bindings, sorted by name."""
    policies_with_bindings = []
    for path in [*_MANIFESTS.glob("admission/*.yaml"), *_MANIFESTS.glob("components/*/*.yaml")]:
        bodies = [body for body in yaml.safe_load_all(path.read_text()) if body]
        for body in bodies:
            if body["kind"] in _KINDS:
                name = body["metadata"]["name"]
                bindings = [candidate for candidate in bodies if candidate.get("spec", {}).get("policyName") == name]
                policies_with_bindings.append((path, body, bindings))
    return sorted(policies_with_bindings, key=lambda policy: str(policy[1]["metadata"]["name"]))


def short(name: str) -> str:
    return name.removesuffix(f".{labels.GROUP}")


def controls() -> set[tuple[str, str]]:
    """Return the level and the name of each control that relaxed-namespace evaluates."""
    text = (_MANIFESTS / "admission" / "relaxed-namespace.yaml").read_text()
    policy = next(iter(yaml.safe_load_all(text)))
    expressions = {variable["name"]: variable["expression"] for variable in policy["spec"]["variables"]}
    levels = {"Baseline": expressions["baseline"], "Restricted": expressions["restricted"]}
    return {(level, name) for level, expression in levels.items() for name in re.findall(r"\['(\w+)'\]", expression)}


def _policies_as_text() -> str:
    """Return the table of all policies, followed by the messages of each policy."""
    rows = ["| policy | file | evaluates | fails | bindings |", "|---|---|---|---|---|"]
    rows += [_row(path, policy, bindings) for path, policy, bindings in policies()]
    parts = ["\n".join(rows)]
    for _, policy, _ in policies():
        checks = [f"{number}. {_first_words(v)}" for number, v in enumerate(policy["spec"].get("validations", []), 1)]
        if checks:
            parts.append(
                f"The rules of `{short(policy['metadata']['name'])}`, as its messages begin:\n\n" + "\n".join(checks)
            )
    return "\n\n".join(parts) + "\n"


def _row(path: pathlib.Path, policy: dict[str, Any], bindings: list[dict[str, Any]]) -> str:
    constraints = policy["spec"]["matchConstraints"]
    selection = [
        f"{' '.join(rule['operations'])} of {', '.join(f'`{name}`' for name in rule['resources'])}"
        for rule in constraints["resourceRules"]
    ]
    if where := _selected(constraints):
        selection.append(where)
    actions = [_binding(binding["spec"]) for binding in bindings]
    place = path.relative_to(_MANIFESTS)
    cells = [
        f"`{short(policy['metadata']['name'])}`",
        f"[{place}](../../manifests/{place})",
        "; ".join(selection),
        "closed" if policy["spec"].get("failurePolicy", "Fail") == "Fail" else "open",
        "; ".join(actions),
    ]
    return f"| {' | '.join(cells)} |"


def _binding(spec: dict[str, Any]) -> str:
    actions = ", ".join(spec.get("validationActions", ["mutates"]))
    where = _selected(spec.get("matchResources", {}))
    return f"{actions} {where}" if where else f"{actions} everywhere"


def _selected(constraints: dict[str, Any]) -> str:
    selector = constraints.get("namespaceSelector") or {}
    texts = [f"`{key}` is {value}" for key, value in selector.get("matchLabels", {}).items()]
    for requirement in selector.get("matchExpressions", ()):
        word = {"In": "is", "NotIn": "is not", "Exists": "exists", "DoesNotExist": "does not exist"}[
            requirement["operator"]
        ]
        texts.append(f"`{requirement['key']}` {word} {' or '.join(requirement.get('values', ()))}".rstrip())
    return f"where {' and '.join(texts)}" if texts else ""


def _first_words(validation: dict[str, Any]) -> str:
    message = str(validation.get("message", validation.get("messageExpression", "")))
    return message.split(": ", 1)[-1].split("; ")[0].strip().replace("|", "\\|")
