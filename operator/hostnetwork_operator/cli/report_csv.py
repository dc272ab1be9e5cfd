"""The evidence as one table for a spreadsheet: a record a row, of the kind that the first column names.

A spreadsheet runs a cell that begins with = + - or @ as a formula. So such a cell gets an apostrophe before it, every
cell is quoted, and a line end or a tab within a cell is a space (OWASP, CSV Injection).
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from hostnetwork_operator.cli import tables
from hostnetwork_operator.decide import exhibits

COLUMNS: Final = (
    "record", "namespace", "kind", "name", "result", "why", "remedy", "class", "owner", "contact", "reason", "ticket",
    "created", "expiry", "pods", "hostNetworkPods", "exceptions", "findings", "hostNamespaces", "serviceAccounts",
    "images", "privileged", "capabilities", "hostPaths", "hostPorts", "podSecurityLevel",
)  # fmt: skip
# Full-width signs begin a formula in spreadsheets of East Asia.
_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_LIST: Final = "; "
Row = Mapping[str, str | int | None]


def render(found: exhibits.AuditEvidence, digest: str) -> str:
    """Return the table. It begins with a byte order mark, without which Excel does not read UTF-8."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in _rows(found, digest):
        writer.writerow([cell(row.get(name)) for name in COLUMNS])
    return "\ufeff" + text.getvalue()


def cell(value: str | int | None) -> str:
    """Return a value as a cell that no spreadsheet runs and no terminal obeys."""
    text = "" if value is None else tables.plain(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text


def _rows(found: exhibits.AuditEvidence, digest: str) -> Iterable[Row]:
    control = found.control
    yield {
        "record": "report",
        "kind": f"{control.framework} {control.version}, {control.id}",
        "name": found.cluster.name,
        "result": control.assessment,
        "why": f"{control.statement} SHA-256 of the evidence: {digest}",
        "created": tables.moment(found.generated),
        "expiry": tables.moment(found.as_of) if found.as_of != found.generated else None,
    }
    for unseen in found.scope.not_looked_at:
        yield {"record": "notLookedAt", "name": unseen.what, "why": f"{unseen.why}; {unseen.consequence}"}
    for line in found.verdicts:
        yield {"record": "verdict", "name": line.id, "result": line.result, "why": f"{line.sentence} {line.rule}"}
    for namespace in found.namespaces:
        yield _namespace(namespace)
    for workload in found.workloads:
        yield _workload(workload)
    for each in found.exceptions:
        yield _exception(each)
    for violation in found.violations:
        yield {
            "record": "violation",
            "namespace": violation.namespace,
            "kind": violation.kind,
            "name": violation.subject,
            "why": violation.sentence,
            "remedy": violation.remedy,
            "created": tables.moment(violation.since),
        }
    for finding in found.findings:
        yield {
            "record": "finding",
            "namespace": finding.namespace,
            "kind": finding.rule,
            "name": finding.exception,
            "result": finding.severity,
            "why": finding.sentence,
            "remedy": finding.remedy,
        }
    for duty in found.duties:
        holders = None if duty.holders is None else _LIST.join(duty.holders) or "nobody but system:masters"
        yield {"record": "duty", "name": duty.right, "owner": holders, "result": None if holders else "not known"}


def _namespace(namespace: exhibits.NamespaceEvidence) -> Row:
    return {
        "record": "namespace",
        "namespace": namespace.name,
        "name": namespace.name,
        "result": namespace.restriction if namespace.counted else f"{namespace.restriction}, not counted",
        "why": namespace.why,
        "class": namespace.enforcement or ("Exempt" if namespace.exempt else None),
        "pods": namespace.pods,
        "hostNetworkPods": namespace.host_network_pods,
        "podSecurityLevel": namespace.enforce,
    }


def _workload(workload: exhibits.WorkloadEvidence) -> Row:
    seen = workload.class_
    return {
        "record": "workload",
        "namespace": workload.namespace,
        "kind": workload.kind,
        "name": workload.name,
        "result": workload.verdict,
        "why": workload.why,
        "class": f"{seen.type} ({seen.confidence})" if seen is not None else None,
        "owner": workload.owner,
        "created": tables.moment(workload.since),
        "expiry": tables.moment(workload.expiry),
        "pods": workload.pods,
        "hostNetworkPods": workload.host_network_pods,
        "exceptions": _LIST.join(workload.exceptions),
        "hostNamespaces": _LIST.join(workload.host_namespaces),
        "serviceAccounts": _LIST.join(workload.service_accounts),
        "images": _LIST.join(image.name for image in workload.images),
        "privileged": _yes(workload.privileged),
        "capabilities": _LIST.join(workload.capabilities),
        "hostPaths": _paths(workload.host_paths),
        "hostPorts": _yes(workload.host_ports),
    }


def _exception(each: exhibits.ExceptionEvidence) -> Row:
    return {
        "record": "exception",
        "namespace": each.namespace,
        "kind": each.type,
        "name": each.name,
        "result": each.state or "Unreadable",
        "why": each.why,
        "class": each.component,
        "owner": each.owner,
        "contact": each.contact,
        "reason": each.reason,
        "ticket": each.ticket,
        "created": tables.moment(each.created),
        "expiry": tables.moment(each.expiry),
        "pods": each.covered_pods or each.remaining_pods,
        "findings": _LIST.join(each.findings),
        "hostNamespaces": _LIST.join(each.host_namespaces),
        "serviceAccounts": each.service_account,
        "images": None if each.state is None else _LIST.join(each.images) if each.images is not None else "any",
        "privileged": _yes(each.privileged),
        "capabilities": _LIST.join(each.capabilities),
        "hostPaths": _paths(each.host_paths),
        "hostPorts": _yes(each.host_ports),
        "podSecurityLevel": each.pod_security_level,
    }


def _paths(paths: Sequence[exhibits.PathEvidence]) -> str:
    return _LIST.join(f"{each.path} ({'read only' if each.read_only else 'writable'})" for each in paths)


def _yes(value: bool) -> str:  # noqa: FBT001 - what it converts
    return "yes" if value else "no"
