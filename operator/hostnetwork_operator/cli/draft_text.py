"""A draft as text: YAML with comments for the person who fills it in, and what no field says."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hostnetwork_operator.cli import tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hostnetwork_operator.decide import classify, draft, snapshot

_WORDS_OF_YAML: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft, and what goes with it as comments: the workload, its class, and notes for people.

    `digests` are those of the running pods, by namespace and image.
    """

    draft: "draft.Draft"
    subject: "snapshot.Reference"
    seen: "classify.Classification"
    digests: "Mapping[tuple[str, str], Sequence[str]]"
    level_unknown: str


def notes(found: Drafted) -> list[str]:
    """Return what a person must know that no field of the draft says."""
    said = [f"no exception can list {each}: the draft does not cover the pods" for each in found.draft.inexpressible]
    if found.level_unknown:
        said.append(f"podSecurityLevel is a guess, because Pod Security was not asked: {found.level_unknown}")
    return said


def render(found: Drafted, *, for_approval: bool = False, justification: "draft.Justification | None" = None) -> str:
    """Return the draft as YAML with comments: the manifest of the draft if a justification is given.

    Texts of people and of the cluster are quoted, with an escape for every odd character.
    """
    drafted, subject, seen = found.draft, found.subject, found.seen
    lines = []
    name = tables.cell(f"{subject.kind} {subject.name}")
    if for_approval:
        looks = seen.agent or f"{seen.type}, by its kind"
        comments = [
            f"{name} in namespace {subject.namespace} asks for an exception.",
            f"The workload looks like {looks} ({seen.confidence}): {tables.cell('; '.join(seen.reasons))}.",
            "",
            "What is wide about the exception:" if drafted.wide else "Nothing about the exception is wide.",
            *(f"- {tables.cell(each)}" for each in drafted.wide),
            "",
            "Where enforcement is on, the pods are refused without an exception.",
            "To approve the exception, a user with the verb approve "
            + ("fills in this file and applies it." if justification is None else "applies this file."),
        ]
        lines += [line.rstrip() for each in comments for line in tables.wrapped(each, tables.WIDEST, "# ", first="# ")]
    lines += [
        "apiVersion: hostnetwork-operator.github.io/v1alpha1",
        "kind: HostNetworkException",
        "metadata:",
        f"  name: {_quoted(drafted.name)}",
        f"  namespace: {_quoted(drafted.namespace)}",
        "spec:",
        f"  type: {drafted.type}",
        *([f"  component: {drafted.component}"] if drafted.component else []),
    ]
    if justification is not None:
        lines += [f"  {field}: {_quoted(text)}" for field, text in justification.spec.items()]
    else:
        lines += _to_fill_in(drafted, name)
    for field, value in drafted.spec.items():
        if not isinstance(value, list):
            lines.append(f"  {field}: {_flow(value)}")
        elif field == "images" or any(isinstance(each, dict) for each in value):
            lines += [f"  {field}:", *(f"    - {_flow(each)}{_runs(found, each)}" for each in value)]
        else:
            lines.append(f"  {field}: [{', '.join(map(_flow, value))}]")
    return "\n".join(lines) + "\n"


def _to_fill_in(drafted: "draft.Draft", name: str) -> list[str]:
    lines = [
        '  owner: "" # TODO: the team that answers for the pods',
        f'  reason: "" # TODO: why {name} needs the following, in a sentence',
    ]
    if drafted.type != "Infrastructure":
        lines += [
            '  ticket: "" # TODO: such as INC-4711',
            '  expiry: "" # TODO: RFC 3339, such as 2026-12-31T12:00:00Z',
        ]
    return lines


def _runs(found: Drafted, image: object) -> str:
    """Return as a comment under which digests an image runs that is listed without one."""
    pinned = not isinstance(image, str) or "@" in image
    digests = () if pinned else found.digests.get((found.subject.namespace, str(image)), ())
    return f" # runs as {', '.join(digests)}" if digests else ""


def _flow(value: object) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(value: str) -> str:
    """Return a text as YAML: plain if that is safe, else in quotes, with an escape for every odd character.

    JSON escapes a character beyond the first 65,536 as two halves, which YAML does not put together.
    """
    import re

    if re.fullmatch(r"[A-Za-z_/][A-Za-z0-9_./-]*", value) and value.lower() not in _WORDS_OF_YAML:
        return value
    return "".join(f"\\U{ord(each):08X}" if ord(each) > 0xFFFF else json.dumps(each)[1:-1] for each in value).join('""')
