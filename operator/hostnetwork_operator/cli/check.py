"""`check`: manifests before they are applied: which pods would be refused, and where they are written."""

import json
import pathlib
import sys
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from hostnetwork_operator.cli import errors, tables

if TYPE_CHECKING:
    from hostnetwork_operator.decide import coverage
    from hostnetwork_operator.observe import manifests

_EXAMPLES: Final = """\b
Examples:
  # Fail a pipeline if a pod shares a host namespace without an exception
  kubectl hostnetwork check -f deploy/
\b
  # Rendered manifests, with the exceptions beside them
  kustomize build . | kubectl hostnetwork check -f - -f exceptions/
\b
  # For code scanning
  kubectl hostnetwork check -f deploy/ -o sarif > hostnetwork.sarif
\b
  # A kind of your own that has a pod template
  kubectl hostnetwork check -f rollout.yaml --pod-template spec.workload.template"""
_FORMS: Final = ("text", "json", "sarif", "junit", "github")
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_RULE: Final = "HostNamespaces"
_SAYS: Final = "A pod that shares a host namespace of its node needs a HostNetworkException that covers it."


@click.command(name="check", epilog=_EXAMPLES, short_help="Check manifests before they are applied")
@click.option("-f", "--filename", "filenames", multiple=True, required=True, metavar="FILE|DIR|-",
              type=click.Path(path_type=str), help="Manifests: files, directories, or - for stdin.")  # fmt: skip
@click.option("-n", "--namespace", default="default", metavar="NAME", help="The namespace of objects that name none.")
@click.option("--pod-template", "paths", multiple=True, metavar="PATH",
              help="Where objects of other kinds have a pod template: spec.workload.template.")  # fmt: skip
@click.option(
    "--exempt",
    multiple=True,
    metavar="NAME",
    help="An exempt namespace. Default: kube-system, kube-public and kube-node-lease.",
)
@click.option("-o", "--output", "form", type=click.Choice(_FORMS), default="text", help="The form of the output.")
@click.option("--fail-on", type=click.Choice(["refused", "nothing"]), default="refused",
              help="Exit 3 if a pod would be refused, which is the default.")  # fmt: skip
def command(
    *,
    filenames: tuple[str, ...],
    namespace: str,
    paths: tuple[str, ...],
    exempt: tuple[str, ...],
    form: str,
    fail_on: str,
) -> int:
    """Check which pods of manifests share a host namespace that no exception covers.

    Exceptions are read from the same files, and count as approved. Nothing is asked of a cluster: host namespaces and
    coverage are judged as the operator does, and other rules of Pod Security are not. A document that cannot be read is
    named with its line, hides no other, and makes the exit status 1.
    """
    result = look(_sources(filenames), namespace, [tuple(path.split(".")) for path in paths], exempt)
    click.echo(_RENDER[form](result), nl=False)
    if form != "text":
        for each in result.manifests.unreadable:
            click.echo(tables.cell(f"{each.place.file}:{each.place.line}: {each.why}"), err=True)
    if result.manifests.unreadable:
        return errors.Exit.FAILED
    return errors.Exit.FINDINGS if result.refused and fail_on == "refused" else errors.Exit.FINE


@dataclass(frozen=True, slots=True)
class Checked:
    """A pod template with its verdict."""

    template: "manifests.Template"
    verdict: "coverage.PodVerdict"

    @property
    def refused(self) -> bool:
        return self.verdict.verdict in {"Uncovered", "Expired"}

    @property
    def sentence(self) -> str:
        """What would happen to the pod, and why."""
        where = f"{self.template.kind} {self.template.name} in namespace {self.template.pod.namespace}"
        shares = ", ".join(sorted(self.template.pod.host_namespaces))
        what = "would be refused" if self.refused else self.verdict.verdict.value
        return tables.cell(f"{where} shares {shares}: {what}: {self.verdict.why}")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What the command found, for every form: the templates with host namespaces."""

    manifests: "manifests.Manifests"
    checked: tuple[Checked, ...]

    @property
    def refused(self) -> tuple[Checked, ...]:
        return tuple(each for each in self.checked if each.refused)


def look(
    sources: Sequence[tuple[str, str]], namespace: str, paths: Sequence[tuple[str, ...]], exempt: Sequence[str]
) -> CheckResult:
    """Return the verdicts on the pods of these texts, each with the name of its file."""
    from hostnetwork_operator import clock
    from hostnetwork_operator.api import policy
    from hostnetwork_operator.decide import checking
    from hostnetwork_operator.observe import manifests

    now = clock.of_this_machine()
    found = manifests.read(sources, namespace, now, paths)
    exempt_names = frozenset(exempt or policy.EXEMPT_BY_DEFAULT)
    checked = [
        Checked(template, checking.judge(template.pod, found.exceptions, exempt_names, now))
        for template in found.templates
        if template.pod.host_namespaces
    ]
    checked.sort(key=lambda each: (each.template.place.file, each.template.place.line))
    return CheckResult(found, tuple(checked))


def _sources(filenames: Sequence[str]) -> list[tuple[str, str]]:
    """Return each text with the name of its file. Raise CommandError for a file that cannot be read."""
    found = []
    for name in filenames:
        if name == "-":
            found.append(("stdin", sys.stdin.read()))
            continue
        path = pathlib.Path(name)
        files = [path]
        if path.is_dir():
            files = sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES and each.is_file())
            if not files:
                raise errors.CommandError(f"error: the directory {name} has no .yaml, .yml or .json file")
        for file in files:
            try:
                found.append((str(file), file.read_text(encoding="utf-8")))
            except FileNotFoundError as error:
                raise errors.CommandError(f"error: the path {str(file)!r} does not exist") from error
            except (OSError, UnicodeDecodeError) as error:
                raise errors.CommandError(f"error: the file {str(file)!r} cannot be read: {error}") from error
    return found


def _text(result: CheckResult) -> str:
    lines = [f"{each.template.place.file}:{each.template.place.line}: {each.sentence}" for each in result.checked]
    lines += [f"{each.place.file}:{each.place.line}: {each.why}" for each in result.manifests.unreadable]
    counted = [
        tables.count(result.manifests.documents, "document"),
        f"{len(result.checked)} with host namespaces",
        f"{len(result.refused)} would be refused",
        *([f"{len(result.manifests.unreadable)} cannot be read"] if result.manifests.unreadable else []),
    ]
    return "".join(f"{tables.cell(line)}\n" for line in [*lines, f"{', '.join(counted)}. Pod Security was not asked."])


def _json(result: CheckResult) -> str:
    document = {
        "apiVersion": tables.API_VERSION,
        "kind": "HostNetworkCheck",
        "asked": {"hostNamespaces": True, "podSecurity": False},
        "documents": result.manifests.documents,
        "refused": len(result.refused),
        "pods": [
            {
                "file": each.template.place.file,
                "line": each.template.place.line,
                "kind": each.template.kind,
                "namespace": each.template.pod.namespace,
                "name": each.template.name,
                "hostNamespaces": sorted(each.template.pod.host_namespaces),
                "verdict": each.verdict.verdict.value,
                "refused": each.refused,
                "why": each.verdict.why,
            }
            for each in result.checked
        ],
        "unreadable": [
            {"file": each.place.file, "line": each.place.line, "why": each.why} for each in result.manifests.unreadable
        ],
    }
    return tables.as_json(document) + "\n"


def _sarif(result: CheckResult) -> str:
    """Return SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/)."""
    rule = {"id": _RULE, "shortDescription": {"text": _SAYS}}
    unreadable_rule = {"id": "Unreadable", "shortDescription": {"text": "A document cannot be read."}}
    results = [_sarif_result(_RULE, 0, each.sentence, each.template.place) for each in result.refused]
    results += [_sarif_result("Unreadable", 1, each.why, each.place) for each in result.manifests.unreadable]
    driver = {"name": "kubectl-hostnetwork", "rules": [rule, unreadable_rule]}
    log = {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}],
    }
    return tables.as_json(log) + "\n"


def _sarif_result(rule: str, index: int, text: str, place: "manifests.Position") -> dict[str, Any]:
    artifact = {"uri": urllib.parse.quote(pathlib.PurePath(place.file).as_posix())}
    return {
        "ruleId": rule,
        "ruleIndex": index,
        "level": "error",
        "message": {"text": tables.cell(text)},
        "locations": [{"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": place.line}}}],
    }


def _junit(result: CheckResult) -> str:
    from xml.sax.saxutils import quoteattr

    unreadable = result.manifests.unreadable
    counts = (
        f'tests="{len(result.checked) + len(unreadable)}" failures="{len(result.refused)}" errors="{len(unreadable)}"'
    )
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuite name="hostnetwork" {counts}>']
    for each in result.checked:
        name = tables.cell(f"{each.template.kind} {each.template.pod.namespace}/{each.template.name}")
        case = f"  <testcase classname={quoteattr(_ascii(each.template.place.file))} name={quoteattr(_ascii(name))}"
        if each.refused:
            line = f"{each.template.place.file}:{each.template.place.line}: {each.sentence}"
            lines += [f"{case}>", f"    <failure message={quoteattr(_ascii(line))}/>", "  </testcase>"]
        else:
            lines.append(f"{case}/>")
    for broken in unreadable:
        place = f"{broken.place.file}:{broken.place.line}"
        lines += [
            f"  <testcase classname={quoteattr(_ascii(broken.place.file))} name={quoteattr(_ascii(place))}>",
            f"    <error message={quoteattr(_ascii(broken.why))}/>",
            "  </testcase>",
        ]
    return "\n".join([*lines, "</testsuite>"]) + "\n"


def _github(result: CheckResult) -> str:
    """Return commands of GitHub Actions, which show a finding at its line."""
    found = [(each.template.place, each.sentence) for each in result.refused]
    found += [(each.place, each.why) for each in result.manifests.unreadable]
    return "".join(
        f"::error file={_escaped(place.file, ':,')},line={place.line}::{_escaped(tables.cell(text))}\n"
        for place, text in found
    )


def _escaped(text: str, more: str = "") -> str:
    for character in f"%\r\n{more}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _ascii(text: str) -> str:
    """Return a text without characters that XML does not allow; others beyond ASCII become `\\uXXXX`."""
    return json.dumps(tables.cell(text))[1:-1].replace('\\"', '"').replace("\\\\", "\\")


_RENDER: Final = {"text": _text, "json": _json, "sarif": _sarif, "junit": _junit, "github": _github}
