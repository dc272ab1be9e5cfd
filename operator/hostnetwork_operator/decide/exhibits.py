"""The evidence of a report as data, and its canonical bytes. `evidence` makes it, and every form of a report shows it.

The names of the fields in camelCase are the names in the JSON. The same evidence has the same bytes.
"""

import dataclasses
import datetime
import enum
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from hostnetwork_operator.api import conditions, exception, grant, labels, report
from hostnetwork_operator.decide import benchmark, classify

API_VERSION: Final = f"cli.{labels.GROUP}/{labels.VERSION}"
KIND: Final = "HostNetworkEvidence"
_MASK: Final = "[contact {}]"
# The longest local part of RFC 5321 bounds the work for a text without an address.
_ADDRESS: Final = re.compile(r"[^\s@<>()\[\]:;,\"'/\\]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
_UNDERSCORE: Final = re.compile("_([a-z])")
Value = TypeVar("Value")


class Determination(enum.StrEnum):
    """The result of one line of the verdict. What was not looked at is never a pass."""

    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    NOT_DETERMINED = "NOT DETERMINED"


class Restriction(enum.StrEnum):
    """What refuses a hostNetwork pod without an exception in a namespace."""

    POD_SECURITY = "PodSecurity"
    ADMISSION_POLICY = "AdmissionPolicy"
    NONE = "None"
    UNKNOWN = "Unknown"


class ViolationKind(enum.StrEnum):
    """What a person must act on."""

    NAMESPACE_OPEN = "NamespaceOpen"
    UNCOVERED = "Uncovered"
    EXPIRED = "Expired"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something that could not be read: what, why, and what is therefore not known."""

    what: str
    why: str
    consequence: str


@dataclass(frozen=True, slots=True)
class ClusterIdentity:
    """The cluster: its name in the kubeconfig, the uid of its namespace kube-system, and the version of Kubernetes.

    None: could not be read.
    """

    name: str
    uid: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class Tool:
    """What wrote the report."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class EvidenceScope:
    """What was looked at. `namespace` is None for all namespaces.

    `not_contained` is what an auditor may ask for and the API server does not keep.
    """

    namespace: str | None
    contacts_masked: bool
    not_looked_at: tuple[Unseen, ...]
    not_contained: tuple[str, ...] = benchmark.NOT_CONTAINED


@dataclass(frozen=True, slots=True)
class ControlId:
    """The control that the evidence is for."""

    framework: str = benchmark.BENCHMARK
    version: str = benchmark.BENCHMARK_VERSION
    id: str = benchmark.CONTROL
    title: str = benchmark.CONTROL_TITLE
    assessment: str = benchmark.ASSESSMENT
    statement: str = benchmark.STATEMENT


@dataclass(frozen=True, slots=True)
class VerdictLine:
    """One of the three questions: the rule that decided, its result, what was counted, and the result in a sentence."""

    id: str
    title: str
    result: Determination
    rule: str
    sentence: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class EvidenceSummary:
    """The number of entries of each list, and of pods by the namespaces of the node that they share."""

    namespaces: int
    workloads: int
    exceptions: int
    in_force: int
    violations: int
    findings: int
    pods: int
    host_network_pods: int
    host_pid_pods: int
    host_ipc_pods: int


@dataclass(frozen=True, slots=True)
class PolicyEvidence:
    """The HostNetworkExceptionPolicy `default`, as it is stored. `spec` is None if there is none that can be read."""

    known: bool = field(kw_only=True)
    created: datetime.datetime | None = None
    generation: int | None = None
    spec: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AdmissionEvidence:
    """A ValidatingAdmissionPolicy of the operator. `in_place`: as shipped and bound to deny; None if that is not known.

    `since` is the time since which it is in place.
    """

    name: str
    in_place: bool | None
    since: datetime.datetime | None
    why_not: str


@dataclass(frozen=True, slots=True)
class OperatorEvidence:
    """The Deployment of the operator. `found` is None if that is not known."""

    found: bool | None
    image: str | None = None
    available_replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Governance:
    """What governs the cluster at this moment. `installed`: whether the API server serves HostNetworkExceptions."""

    installed: bool
    policy: PolicyEvidence
    admission_policies: tuple[AdmissionEvidence, ...]
    operator: OperatorEvidence


@dataclass(frozen=True, slots=True)
class NamespaceEvidence:
    """A namespace, what restricts it, and its labels as they are.

    `counted`: whether the first line of the verdict counts it. `level_by_operator` is whether the operator wrote the
    enforce label, as its ledger says; None if the ledger does not say it.
    """

    name: str
    uid: str
    counted: bool
    restriction: Restriction
    why: str
    enforce: str | None
    enforce_version: str | None
    audit: str | None
    warn: str | None
    enforcement: labels.Enforcement | None
    guard: str | None
    relaxed: bool
    exempt: bool
    terminating: bool
    level_by_operator: bool | None
    host_network_pods: int
    pods: int


@dataclass(frozen=True, slots=True)
class ImageEvidence:
    """An image as the pods write it, and whether it is pinned by a digest."""

    name: str
    pinned: bool


@dataclass(frozen=True, slots=True)
class PathEvidence:
    """A path of the node that pods mount or an exception allows."""

    path: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class WorkloadEvidence:
    """A workload with pods that share a namespace of their node.

    `verdict` is the worst verdict on its pods, and `why` explains it. `since` is the creation of the oldest pod. `uid`
    is that of the owner which the pods name. A pod that cannot be read is a workload without a class.
    """

    namespace: str
    api_version: str
    kind: str
    name: str
    uid: str
    class_: classify.Classification | None
    host_namespaces: tuple[labels.HostNamespace, ...]
    verdict: labels.Verdict
    why: str
    verdicts: Mapping[labels.Verdict, int]
    exceptions: tuple[str, ...]
    owner: str | None
    expiry: datetime.datetime | None
    pods: int
    host_network_pods: int
    nodes: int
    since: datetime.datetime | None
    service_accounts: tuple[str, ...]
    images: tuple[ImageEvidence, ...]
    capabilities: tuple[str, ...]
    privileged: bool
    host_paths: tuple[PathEvidence, ...]
    host_ports: bool


@dataclass(frozen=True, slots=True)
class ExceptionEvidence:
    """An exception. An exception that cannot be read has no `spec` fields and no `state`, and `why` says why.

    `covered_pods` is how many pods the exception covers, `remaining_pods` how many are left although it has expired.
    `cleaned_up` is since when no pod of an exception that has ended is left, as the operator wrote into its status.
    """

    namespace: str
    name: str
    uid: str | None
    created: datetime.datetime | None
    generation: int | None
    type: exception.ExceptionType | None
    component: exception.Component | None
    owner: str | None
    contact: str | None
    reason: str | None
    ticket: str | None
    expiry: datetime.datetime | None
    on_expiry: exception.OnExpiry | None
    reviewed: datetime.datetime | None
    reviewed_for: str | None
    state: conditions.Ready | None
    in_force: bool
    why: str
    covered_pods: int
    remaining_pods: int
    cleaned_up: datetime.datetime | None
    service_account: str | None
    host_namespaces: tuple[labels.HostNamespace, ...]
    images: tuple[str, ...] | None
    capabilities: tuple[str, ...]
    privileged: bool
    host_paths: tuple[PathEvidence, ...]
    host_ports: bool
    pod_security_level: labels.Level | None
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that a person must act on, in a namespace. `subject` is a workload, or '' for the namespace itself.

    `since` is the creation of the oldest pod of the workload; None if that is not known.
    """

    kind: ViolationKind
    namespace: str
    subject: str
    since: datetime.datetime | None
    sentence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class FindingEvidence:
    """A finding about an exception that warns."""

    rule: str
    severity: report.Severity
    namespace: str
    exception: str
    sentence: str
    remedy: str
    source: str


@dataclass(frozen=True, slots=True)
class Duty:
    """Who may do something, as RBAC grants it; None if RBAC could not be read."""

    right: str
    holders: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Method:
    """How a reader can count again, and what the evidence does not prove."""

    queries: tuple[str, ...] = benchmark.QUERIES
    limits: tuple[str, ...] = benchmark.LIMITS


@dataclass(frozen=True, slots=True)
class AuditEvidence:
    """Everything that a report says. `generated` is when the cluster was read, by the API server's time.

    `as_of` is the moment for which expiries were judged. The lists are sorted.
    """

    generated: datetime.datetime
    as_of: datetime.datetime
    cluster: ClusterIdentity
    tool: Tool
    scope: EvidenceScope
    verdicts: tuple[VerdictLine, VerdictLine, VerdictLine]
    summary: EvidenceSummary
    governance: Governance
    namespaces: tuple[NamespaceEvidence, ...]
    workloads: tuple[WorkloadEvidence, ...]
    exceptions: tuple[ExceptionEvidence, ...]
    violations: tuple[Violation, ...]
    findings: tuple[FindingEvidence, ...]
    duties: tuple[Duty, ...]
    control: ControlId = field(default_factory=ControlId)
    method: Method = field(default_factory=Method)
    mapping: tuple[benchmark.RelatedControl, ...] = benchmark.MAPPING
    api_version: str = API_VERSION
    kind: str = KIND


def document(evidence: AuditEvidence) -> dict[str, Any]:
    """Return the evidence as it is written in JSON."""
    plain: dict[str, Any] = _plain(evidence)
    return plain


def canonical(evidence: AuditEvidence) -> str:
    """Return the JSON whose bytes have the digest: sorted keys, two spaces of indentation, ASCII, one line end."""
    return json.dumps(document(evidence), sort_keys=True, indent=2) + "\n"


def digest(text: str) -> str:
    """Return the SHA-256 of a canonical text in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def masked(evidence: AuditEvidence) -> AuditEvidence:
    """Return the evidence without contacts: every contact, and every e-mail address in any text.

    The same contact has the same mark everywhere in the report. The number of a mark follows the order of the
    exceptions, so a mark says nothing about the contact.
    """
    marks: dict[str, str] = {}

    def mark(contact: str) -> str:
        return marks.setdefault(contact.casefold(), _MASK.format(len(marks) + 1))

    hidden = tuple(
        dataclasses.replace(each, contact=mark(each.contact) if each.contact else each.contact)
        for each in evidence.exceptions
    )
    scope = dataclasses.replace(evidence.scope, contacts_masked=True)
    without = dataclasses.replace(evidence, exceptions=hidden, scope=scope)
    return with_texts(without, lambda text: _ADDRESS.sub(lambda found: mark(found[0]), text) if "@" in text else text)


def with_texts(value: Value, change: Callable[[str], str]) -> Value:
    """Return the value with every text in it changed, but no key of a mapping."""
    changed: Any = value
    if isinstance(value, str):
        changed = value if isinstance(value, enum.Enum) else change(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {each.name: with_texts(getattr(value, each.name), change) for each in dataclasses.fields(value)}
        changed = dataclasses.replace(value, **parts)
    elif isinstance(value, tuple):
        changed = tuple(with_texts(each, change) for each in value)
    elif isinstance(value, Mapping):
        changed = {key: with_texts(each, change) for key, each in value.items()}
    return changed  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    """Return the value as JSON has it."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, datetime.datetime):
        return grant.format_time(value)
    if dataclasses.is_dataclass(value):
        return {_camel(each.name): _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _camel(name: str) -> str:
    return _UNDERSCORE.sub(lambda found: found[1].upper(), name.rstrip("_"))
