"""The evidence of a report: what the plans of all namespaces show, and three questions about it.

CIS 5.2.5 asks for a policy in each namespace with user workloads, kube-bench counts running pods, and a governed
cluster asks for pods without an exception. The three answers differ for good reasons, so they are never merged into
one. Something that was not looked at makes an answer NOT DETERMINED, unless what was seen fails already.
"""

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hostnetwork_operator.api import exception, labels, policy
from hostnetwork_operator.decide import benchmark, coverage, exhibits, listing, register, snapshot
from hostnetwork_operator.decide.exhibits import Determination, Restriction, ViolationKind

# The names of kinds in `Unseen.what`, as cli/reading writes them.
PODS: Final = frozenset({"pods"})
NAMESPACES: Final = frozenset({"namespaces"})
ADMISSION: Final = frozenset({"validatingadmissionpolicies", "validatingadmissionpolicybindings"})
_POLICY: Final = frozenset({policy.PLURAL})
_OF_EXCEPTIONS: Final = frozenset({exception.PLURAL, policy.PLURAL, "ledger"}) | ADMISSION
_NAMED: Final = 5  # names in a sentence
_COMMANDS: Final = frozenset(
    "CronJob DaemonSet Deployment Job Pod ReplicaSet ReplicationController StatefulSet".split()
)  # the kinds that `kubectl hostnetwork why` knows
_ATTENTION: Final = {
    labels.Verdict.UNCOVERED: ViolationKind.UNCOVERED,
    labels.Verdict.EXPIRED: ViolationKind.EXPIRED,
    labels.Verdict.UNKNOWN: ViolationKind.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """What the evidence needs beside the plans. `namespace` is None if all namespaces were read.

    `policy_known`: whether the HostNetworkExceptionPolicy was read, also if there is none.
    """

    generated: datetime.datetime
    as_of: datetime.datetime
    cluster: exhibits.ClusterIdentity
    tool: exhibits.Tool
    namespace: str | None
    installed: bool
    not_looked_at: tuple[exhibits.Unseen, ...]
    policy: snapshot.PolicyObject | None
    guards: Mapping[str, snapshot.Guard]
    operator: exhibits.OperatorEvidence
    duties: tuple[exhibits.Duty, ...]

    def unread(self, kinds: frozenset[str]) -> bool:
        """Return whether one of these kinds could not be read."""
        return any(each.what in kinds for each in self.not_looked_at)

    def sentence(self, counted: str, kinds: frozenset[str]) -> str:
        """Return a sentence with what was counted, and what of these kinds was not looked at."""
        missing = ", ".join(sorted({each.what for each in self.not_looked_at if each.what in kinds}))
        return f"{counted}. Not looked at, so there may be more: {missing}." if missing else f"{counted}."


def evidence(pairs: listing.Pairs, facts: ReportFacts) -> exhibits.AuditEvidence:
    """Return the evidence of these namespaces, each with its plan at `facts.as_of`."""
    admission = listing.Admission(facts.guards, known=not facts.unread(ADMISSION))
    namespaces = listing.namespaces(pairs, admission)
    workloads = listing.workloads(pairs)
    entries = sorted(register.register(pairs), key=lambda entry: (entry.namespace, entry.name))
    exceptions = tuple(map(listing.exception, entries))
    findings = tuple(found for entry in entries for found in listing.findings(entry))
    violations = (*_open(namespaces), *_attention(workloads))
    pods = [verdict for _, each in pairs for verdict in each.verdicts]
    unreadable = sum(each.unreadable for _, each in pairs)
    on_network = [verdict for verdict in pods if labels.HostNamespace.NETWORK in verdict.pod.host_namespaces]
    return exhibits.AuditEvidence(
        generated=facts.generated,
        as_of=facts.as_of,
        cluster=facts.cluster,
        tool=facts.tool,
        scope=exhibits.EvidenceScope(facts.namespace, contacts_masked=False, not_looked_at=facts.not_looked_at),
        verdicts=(
            _policies(namespaces, facts),
            _running(on_network, unreadable, facts),
            _excepted(on_network, unreadable, facts),
        ),
        summary=exhibits.EvidenceSummary(
            namespaces=len(namespaces),
            workloads=len(workloads),
            exceptions=len(exceptions),
            in_force=sum(each.in_force for each in exceptions),
            violations=len(violations),
            findings=len(findings),
            pods=len(pods) + unreadable,
            host_network_pods=len(on_network),
            host_pid_pods=sum(labels.HostNamespace.PID in verdict.pod.host_namespaces for verdict in pods),
            host_ipc_pods=sum(labels.HostNamespace.IPC in verdict.pod.host_namespaces for verdict in pods),
        ),
        governance=_governance(facts),
        namespaces=namespaces,
        workloads=workloads,
        exceptions=exceptions,
        violations=violations,
        findings=findings,
        duties=facts.duties,
    )


# -- the three questions --------------------------------------------------------------------------------------------


def _policies(namespaces: Sequence[exhibits.NamespaceEvidence], facts: ReportFacts) -> exhibits.VerdictLine:
    """Return the answer to the question of CIS 5.2.5 itself: a policy in each namespace with user workloads."""
    counted = [each for each in namespaces if each.counted]
    by_restriction = Counter(each.restriction for each in counted)
    open_namespaces = [each.name for each in counted if each.restriction is Restriction.NONE]
    unknown = by_restriction[Restriction.UNKNOWN]
    restricted = len(counted) - len(open_namespaces) - unknown
    sentence = f"{restricted} of {len(counted)} namespaces refuse hostNetwork pods without an exception"
    sentence += f"; open: {_names(open_namespaces)}" if open_namespaces else ""
    sentence += f"; not known: {unknown}" if unknown else ""
    return exhibits.VerdictLine(
        "policy-per-namespace",
        "Policy in every namespace",
        _determined(failed=bool(open_namespaces), unsure=bool(unknown) or not counted or facts.unread(NAMESPACES)),
        f"Every namespace except {', '.join(sorted(benchmark.SYSTEM_NAMESPACES))} enforces the Pod Security level"
        " baseline or restricted, or has enforcement Deny while the admission policy host-namespaces is in place. A"
        " namespace without pods counts too, and so does an exempt namespace.",
        facts.sentence(sentence, NAMESPACES),
        {
            "namespaces": len(counted),
            "restricted": restricted,
            "open": len(open_namespaces),
            "unknown": unknown,
            "notCounted": len(namespaces) - len(counted),
        },
    )


def _running(on_network: Sequence[coverage.PodVerdict], unreadable: int, facts: ReportFacts) -> exhibits.VerdictLine:
    """Return the answer to the question of kube-bench: does any pod run with hostNetwork?"""
    nodes = len({verdict.pod.node for verdict in on_network if verdict.pod.node})
    sentence = f"{_count(len(on_network), 'pod')} with hostNetwork on {_count(nodes, 'node')}"
    sentence = sentence if on_network else "No pod with hostNetwork was seen"
    sentence += f"; {_count(unreadable, 'pod')} could not be read" if unreadable else ""
    return exhibits.VerdictLine(
        "running-pods",
        "Running hostNetwork pods",
        _determined(failed=bool(on_network), unsure=bool(unreadable) or facts.unread(PODS | NAMESPACES)),
        "No pod has hostNetwork: true, in any namespace. kube-bench counts the same. kube-proxy and most network"
        " plugins need hostNetwork, so few clusters pass.",
        facts.sentence(sentence, PODS | NAMESPACES),
        {"pods": len(on_network), "nodes": nodes, "unreadable": unreadable},
    )


def _excepted(on_network: Sequence[coverage.PodVerdict], unreadable: int, facts: ReportFacts) -> exhibits.VerdictLine:
    """Return the answer to the question of this operator: is each such pod covered by an exception in force?"""
    counts = Counter(verdict.verdict for verdict in on_network)
    counts[labels.Verdict.UNKNOWN] += unreadable
    without = counts[labels.Verdict.UNCOVERED] + counts[labels.Verdict.EXPIRED]
    static, exempt = counts[labels.Verdict.STATIC], counts[labels.Verdict.EXEMPT]
    governed = counts.total() - static - exempt
    covered = f"An exception in force covers {counts[labels.Verdict.COVERED]} of {_count(governed, 'hostNetwork pod')}"
    covered = covered if governed else "No hostNetwork pod that needs an exception was seen"
    lacking = "".join(f"; {counts[each]} {each}" for each in _ATTENTION if counts[each])
    sentence = f"{covered}{lacking}; not counted: {static} Static, {exempt} Exempt"
    # Without the policy it is not known which namespaces are exempt, so an uncovered pod may be an exempt pod.
    failed = bool(without) and not facts.unread(_POLICY)
    kinds = PODS | NAMESPACES | _OF_EXCEPTIONS
    unsure = bool(counts[labels.Verdict.UNKNOWN]) or facts.unread(kinds)
    return exhibits.VerdictLine(
        "pods-without-exception",
        "hostNetwork pods without an exception",
        _determined(failed=failed, unsure=unsure),
        "Every pod with hostNetwork: true is covered by an exception in force. Static pods, which no API can refuse,"
        " and pods in exempt namespaces are not counted, and are listed.",
        facts.sentence(sentence, kinds),
        {verdict.value.lower(): counts[verdict] for verdict in labels.Verdict} | {"pods": counts.total()},
    )


def _determined(*, failed: bool, unsure: bool) -> Determination:
    if failed:
        return Determination.FAIL
    return Determination.NOT_DETERMINED if unsure else Determination.PASS


# -- what needs attention ---------------------------------------------------------------------------------------------


def _open(namespaces: Iterable[exhibits.NamespaceEvidence]) -> Iterable[exhibits.Violation]:
    for each in namespaces:
        if each.counted and each.restriction is Restriction.NONE:
            remedy = (
                f"see what a level would refuse: kubectl label --dry-run=server --overwrite namespace {each.name}"
                f" {labels.PSA_ENFORCE}=baseline"
            )
            yield exhibits.Violation(ViolationKind.NAMESPACE_OPEN, each.name, "", None, each.why, remedy)


def _attention(workloads: Sequence[exhibits.WorkloadEvidence]) -> Iterable[exhibits.Violation]:
    for verdict, kind in _ATTENTION.items():
        for each in workloads:
            if each.verdict is verdict:
                subject = f"{each.kind.lower()}/{each.name}"
                # Of another kind only a pod can be asked about.
                asked = subject if each.kind in _COMMANDS else "pod/NAME"
                remedy = f"kubectl hostnetwork why -n {each.namespace} {asked}"
                yield exhibits.Violation(kind, each.namespace, subject, each.since, each.why, remedy)


def _governance(facts: ReportFacts) -> exhibits.Governance:
    found = facts.policy
    stored = exhibits.PolicyEvidence(known=not facts.unread(_POLICY))
    if found is not None:
        spec = found.spec.model_dump(mode="json", by_alias=True, exclude_none=True) if found.spec is not None else None
        stored = exhibits.PolicyEvidence(found.created, found.generation, spec, known=True)
    return exhibits.Governance(
        facts.installed,
        stored,
        tuple(
            exhibits.AdmissionEvidence(
                name,
                None if facts.unread(ADMISSION) else guard.since is not None,
                guard.since,
                guard.why_not,
            )
            for name, guard in sorted(facts.guards.items())
        ),
        facts.operator,
    )


def _names(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
