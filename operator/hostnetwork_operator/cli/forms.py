"""The forms of the result of `check`: text, JSON, SARIF, JUnit, and commands of GitHub Actions.

Each form says what was asked: not looked at is not clean.
"""

import json
import pathlib
import re
import sys
import urllib.parse
from typing import TYPE_CHECKING, Any, Final

from hostnetwork_operator.cli import checked, tables

if TYPE_CHECKING:
    from hostnetwork_operator.observe import manifests

_COMMAND: Final = re.compile(r"##(?=[a-z]*\[)", re.IGNORECASE)


def text(result: checked.CheckResult) -> str:
    lines = []
    for each in result.checked:
        place = each.template.place
        if each.verdict is not None:
            lines.append(f"{place.file}:{place.line}: {each.host_sentence}")
        if each.violates:
            lines.append(f"{place.file}:{place.line}: {each.security_sentence}")
    lines += [each.line for each in (*result.refused_changes, *result.gaps)]
    width = tables.width_of(sys.stdout)
    wrapped = [part for line in [*lines, _summary(result)] for part in tables.wrapped(inert(line), width, "  ")]
    return "".join(f"{line}\n" for line in wrapped)


def inert(line: str) -> str:
    """Return a line for people that is no command to a pipeline, whatever the names of files and pods are.

    GitHub Actions reads `::` at the beginning of a line as a command, and `##[` anywhere in a line; Azure Pipelines
    reads `##vso[`.
    """
    plain = _COMMAND.sub("# #", tables.cell(line))
    return f"./{plain}" if plain.startswith("::") else plain


def _summary(result: checked.CheckResult) -> str:
    sharing = sum(each.verdict is not None for each in result.checked)
    unreadable = len(result.manifests.unreadable)
    counted = [
        tables.count(result.manifests.documents, "document"),
        *([tables.count(len(result.checked), "pod")] if result.server else []),
        f"{sharing} with host namespaces",
        f"{len(result.refused)} would be refused{_reasons(result)}",
        *([f"{tables.count(len(result.changes), 'exception')} would be refused"] if result.changes else []),
        *([f"{unreadable} cannot be read"] if unreadable else []),
        *([f"{tables.count(len(result.unknown), 'pod template')} not checked"] if result.unknown else []),
    ]
    return f"{', '.join(counted)}. {_asked(result)}"


def _reasons(result: checked.CheckResult) -> str:
    """Return why the pods would be refused, each pod counted once."""
    kinds = [(each.uncovered, each.violates) for each in result.checked]
    reasons = (
        ((True, False), "for host namespaces alone"),
        ((False, True), "by Pod Security alone"),
        ((True, True), "for both reasons, host namespaces and Pod Security"),
    )
    parts = [f"{kinds.count(kind)} {reason}" for kind, reason in reasons if kind in kinds]
    return f" ({'; '.join(parts)})" if result.server and parts else ""


def _asked(result: checked.CheckResult) -> str:
    """Return whether Pod Security was asked, as a sentence."""
    missed = sum(each.pods for each in result.not_asked) + len(result.unknown)
    pods = len(result.checked) + len(result.unknown)
    if not result.server:
        return "Pod Security was not asked."
    if not pods:
        return "Pod Security was not asked, because no pod was found."
    if missed:
        return f"Pod Security was not asked about {missed} of {tables.count(pods, 'pod')}."
    return "Pod Security was asked."


def _was_asked(result: checked.CheckResult) -> bool:
    """Return whether Pod Security was asked about every pod, and about at least one."""
    return result.server and bool(result.checked) and not result.not_asked and not result.unknown


def as_json(result: checked.CheckResult) -> str:
    document = {
        "apiVersion": tables.API_VERSION,
        "kind": "HostNetworkCheck",
        "asked": {"hostNamespaces": True, "podSecurity": _was_asked(result)},
        "documents": result.manifests.documents,
        "refused": len(result.refused),
        "pods": [_json_pod(each) for each in result.checked],
        "unreadable": [
            {"file": each.place.file, "line": each.place.line, "why": each.why} for each in result.manifests.unreadable
        ],
        "notChecked": [
            {"file": each.place.file, "line": each.place.line, "podTemplate": ".".join(each.path), "why": each.why}
            for each in result.unknown
        ],
        "refusedExceptions": [
            {
                "file": each.written.place.file,
                "line": each.written.place.line,
                "namespace": each.written.exception.metadata.namespace,
                "name": each.written.exception.metadata.name,
                "changed": list(each.changed),
            }
            for each in result.changes
        ],
        "notAsked": [
            {
                "file": each.first.template.place.file,
                "line": each.first.template.place.line,
                "pods": each.pods,
                "why": each.why,
            }
            for each in result.not_asked
        ],
    }
    return tables.as_json(document) + "\n"


def _json_pod(each: checked.Checked) -> dict[str, Any]:
    verdict, security = each.verdict, each.security
    return {
        "file": each.template.place.file,
        "line": each.template.place.line,
        "kind": each.template.kind,
        "namespace": each.template.pod.namespace,
        "name": each.template.name,
        "hostNamespaces": sorted(each.template.pod.host_namespaces),
        "verdict": verdict and verdict.verdict.value,
        "refused": bool(each.problems),
        "why": verdict and verdict.why,
        "podSecurity": security
        and {
            "level": security.level,
            "version": security.version,
            "refused": each.violates,
            "why": security.refusal or None,
        },
    }


def sarif(result: checked.CheckResult) -> str:
    """Return SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/)."""
    rules = [{"id": rule.value, "shortDescription": {"text": rule.text}} for rule in checked.CheckRule]
    results = [_sarif_result(problem) for problem in (*result.refusals, *result.gaps)]
    driver = {"name": "kubectl-hostnetwork", "rules": rules}
    note = {"level": "note", "message": {"text": _summary(result)}}
    invocation = {"executionSuccessful": not result.gaps, "toolExecutionNotifications": [note]}
    log = {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "invocations": [invocation],
                "results": results,
                "columnKind": "unicodeCodePoints",
            }
        ],
    }
    return tables.as_json(log) + "\n"


def _sarif_result(problem: checked.Problem) -> dict[str, Any]:
    artifact = {"uri": urllib.parse.quote(pathlib.PurePath(problem.place.file).as_posix())}
    return {
        "ruleId": problem.rule.value,
        "ruleIndex": list(checked.CheckRule).index(problem.rule),
        "level": "error",
        "message": {"text": tables.cell(problem.sentence)},
        "locations": [
            {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": problem.place.line}}}
        ],
    }


def junit(result: checked.CheckResult) -> str:
    """Return a test case for each question: about host namespaces, and to Pod Security."""
    cases = []
    for each in result.checked:
        name = f"{each.template.kind} {each.template.pod.namespace}/{each.template.name}"
        problems = {problem.rule: problem for problem in each.problems}
        if each.verdict is not None:
            cases.append(_case(each.template.place, name, problems.get(checked.CheckRule.HOST_NAMESPACES)))
        if each.security is not None:
            name = f"{checked.CheckRule.POD_SECURITY} of {name}"
            cases.append(_case(each.template.place, name, problems.get(checked.CheckRule.POD_SECURITY)))
    cases += [_case(each.place, f"{each.place.file}:{each.place.line}", each) for each in result.refused_changes]
    gaps = [_case(gap.place, f"{gap.place.file}:{gap.place.line}", gap, "error") for gap in result.gaps]
    counts = f'tests="{len(cases) + len(gaps)}" failures="{len(result.refusals)}" errors="{len(gaps)}"'
    head = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuite name="hostnetwork" {counts}>']
    summary = f'  <properties><property name="summary" value="{_summary(result)}"/></properties>'
    return "\n".join([*head, summary, *cases, *gaps, "</testsuite>"]) + "\n"


def _case(place: "manifests.Position", name: str, problem: checked.Problem | None, tag: str = "failure") -> str:
    from xml.sax.saxutils import quoteattr

    case = f"  <testcase classname={quoteattr(_ascii(place.file))} name={quoteattr(_ascii(name))}"
    if problem is None:
        return f"{case}/>"
    message = quoteattr(_ascii(problem.line if tag == "failure" else problem.sentence))
    return f"{case}>\n    <{tag} message={message}/>\n  </testcase>"


def github(result: checked.CheckResult) -> str:
    """Return commands of GitHub Actions, which show a finding at its line, and the summary as a notice."""
    found = [
        f"::error file={_escaped(problem.place.file, ':,')},line={problem.place.line}"
        f"::{_escaped(tables.cell(problem.sentence))}\n"
        for problem in (*result.refusals, *result.gaps)
    ]
    return "".join([*found, f"::notice::{_escaped(_summary(result))}\n"])


def _escaped(text: str, more: str = "") -> str:
    for character in f"%\r\n{more}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _ascii(text: str) -> str:
    """Return a text without characters that XML does not allow; others beyond ASCII become `\\uXXXX`."""
    return json.dumps(tables.cell(text))[1:-1].replace('\\"', '"').replace("\\\\", "\\")


RENDER: Final = {"text": text, "json": as_json, "sarif": sarif, "junit": junit, "github": github}
