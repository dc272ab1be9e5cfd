"""Reports that other tools read: objects of OpenReports, or of PolicyReport, its predecessor. Both kinds share a shape.

Both CRDs belong to other projects, and the operator never installs them. A report has no time in it, so a report whose
content has not changed is not written again.
"""

import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from hostnetwork_operator.api import labels, plaintext

Body = Mapping[str, Any]
PREFIX: Final = "hostnetwork-"  # the uid alone is the name that Kyverno gives its report about the same object
# The largest size of a message. Eleven results with the longest names stay below 64 KiB; etcd accepts 1.5 MiB.
_TEXT_BYTES: Final = 1000
NAMES: Final = 10  # so many names are in a property, followed by the number of the remaining names


class Result(enum.StrEnum):
    """The results that a report can have (https://openreports.io), the worst first."""

    FAIL = "fail"
    ERROR = "error"
    WARN = "warn"
    SKIP = "skip"
    PASS = "pass"  # noqa: S105 - a result, no password

    @property
    def rank(self) -> int:
        """The position of the result in the order of severity; 0 for the worst."""
        return list(Result).index(self)


class Severity(enum.StrEnum):
    """The severities of a report."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclasses.dataclass(frozen=True, slots=True)
class ReportKind:
    """A kind of report. `sourced`: the report itself has a field `source`, not only each result."""

    group: str
    version: str
    kind: str
    plural: str
    sourced: bool = dataclasses.field(kw_only=True)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"

    def path(self, namespace: str) -> str:
        return f"/apis/{self.api_version}/namespaces/{namespace}/{self.plural}"


OPEN_REPORT: Final = ReportKind("openreports.io", "v1alpha1", "Report", "reports", sourced=True)
POLICY_REPORT: Final = ReportKind("wgpolicyk8s.io", "v1alpha2", "PolicyReport", "policyreports", sourced=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """The object that a report is about. The report is removed together with it."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """What one rule says about the owner's pods. `properties` are texts by name."""

    policy: str
    rule: str
    category: str
    severity: Severity
    result: Result
    message: str
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """A report about one owner, with at most one entry per rule."""

    namespace: str
    owner: Owner
    entries: tuple[Entry, ...]

    @property
    def name(self) -> str:
        return PREFIX + self.owner.uid

    def body(self, kind: ReportKind) -> dict[str, Any]:
        """Return the object to store. The same report always gives the same object."""
        owner = self.owner
        reference = {"apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid}
        return {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "labels": {labels.MANAGED_BY: labels.MANAGER},
                "ownerReferences": [reference],
            },
            **({"source": labels.MANAGER} if kind.sourced else {}),
            "scope": {**reference, "namespace": self.namespace},
            "summary": {word.value: sum(entry.result is word for entry in self.entries) for word in Result},
            "results": [_result(entry, owner) for entry in self.entries],
        }


def digest(body: Body) -> str:
    """Return a hash of the fields that the operator writes into a report, without what other clients add.

    The object may come from `Report.body` or from the cluster.
    """
    meta = body["metadata"]
    written = [
        (meta.get("labels") or {}).get(labels.MANAGED_BY),
        meta.get("ownerReferences"),
        *(body.get(field) for field in ("source", "scope", "summary", "results")),
    ]
    return hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()


def names(texts: list[str], count: int | None = None) -> str:
    """Return a text with at most ten of the names, in order, and the number of the remaining names. `count` is the
    number of all names, if `texts` has only the first ones.
    """
    in_order = sorted(texts)
    total = len(in_order) if count is None else count
    more = f" and {total - NAMES} more" if total > NAMES else ""
    return ", ".join(in_order[:NAMES]) + more


def _result(entry: Entry, owner: Owner) -> dict[str, Any]:
    # Readers identify a result by this id. Without it, each rewrite of a report would look like new results.
    identity = hashlib.sha256("\0".join([entry.policy, entry.rule, owner.uid]).encode()).hexdigest()[:32]
    return {
        "source": labels.MANAGER,
        "policy": entry.policy,
        "rule": entry.rule,
        "category": entry.category,
        "severity": entry.severity.value,
        "result": entry.result.value,
        "message": _cut(plaintext.of(entry.message)),
        "properties": {**{key: plaintext.of(value) for key, value in entry.properties.items()}, "resultID": identity},
    }


def _cut(text: str) -> str:
    data = text.encode()
    if len(data) <= _TEXT_BYTES:
        return text
    return f"{data[:_TEXT_BYTES].decode(errors='ignore')}… (cut here; the full text has {len(data)} bytes)"
