"""Reports as other tools read them: OpenReports, or PolicyReport, which it comes from. One shape for both kinds.

Both CRDs belong to other projects and are never installed from here. There is no time in a report: what was written
when is no part of what is the case, and a report that says the same is not written again.
"""

import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from hostnetwork_operator.api import labels, plaintext

Body = Mapping[str, Any]
PREFIX: Final = "hostnetwork-"  # a bare uid is the name that Kyverno gives its report of the same object
_TEXT_BYTES: Final = 1000  # of a message; eleven results with the longest names stay below 64 KiB, etcd takes 1.5 MiB
_NAMES: Final = 10  # named in a property; how many there are is said


class Result(enum.StrEnum):
    """The result words of a report (https://openreports.io), the worst first."""

    FAIL = "fail"
    ERROR = "error"
    WARN = "warn"
    SKIP = "skip"
    PASS = "pass"  # noqa: S105 - a word, no password

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Result).index(self)


class Severity(enum.StrEnum):
    """The severities of a report."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A kind of report. `sourced`: the report itself says who made it, not only each result."""

    group: str
    version: str
    kind: str
    plural: str
    sourced: bool

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"

    def path(self, namespace: str) -> str:
        return f"/apis/{self.api_version}/namespaces/{namespace}/{self.plural}"


OPEN_REPORT: Final = Kind("openreports.io", "v1alpha1", "Report", "reports", sourced=True)
POLICY_REPORT: Final = Kind("wgpolicyk8s.io", "v1alpha2", "PolicyReport", "policyreports", sourced=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """What a report is about, and goes with."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """What one rule says of the owner's pods. `properties` are texts by name."""

    policy: str
    rule: str
    category: str
    severity: Severity
    result: Result
    message: str
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """One owner, at most one entry a rule."""

    namespace: str
    owner: Owner
    entries: tuple[Entry, ...]

    @property
    def name(self) -> str:
        return PREFIX + self.owner.uid

    def body(self, kind: Kind) -> dict[str, Any]:
        """The object to be stored. The same report gives the same object."""
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
    """Of what the operator writes into a report, wherever the object comes from; what others add is left out."""
    meta = body["metadata"]
    said = [
        (meta.get("labels") or {}).get(labels.MANAGED_BY),
        meta.get("ownerReferences"),
        *(body.get(field) for field in ("source", "scope", "summary", "results")),
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def names(found: list[str]) -> str:
    """Ten of them at most, in order, and how many more there are."""
    shown = sorted(found)
    more = f" and {len(shown) - _NAMES} more" if len(shown) > _NAMES else ""
    return ", ".join(shown[:_NAMES]) + more


def _result(entry: Entry, owner: Owner) -> dict[str, Any]:
    # What a reader keeps a result by: without it every rewrite would be news.
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
    return f"{data[:_TEXT_BYTES].decode(errors='ignore')}… (cut here, it has {len(data)} bytes)"
