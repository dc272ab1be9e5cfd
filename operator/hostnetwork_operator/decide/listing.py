"""The rows of the evidence: namespaces, workloads, exceptions and findings, as the plans show them."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hostnetwork_operator.api import conditions, labels
from hostnetwork_operator.decide import benchmark, exhibits, inventory, plan, register, snapshot
from hostnetwork_operator.decide.exhibits import Restriction

Pairs = Sequence[tuple[snapshot.NamespaceSnapshot, plan.NamespacePlan]]
_RESTRICTING = frozenset({labels.Level.BASELINE.value, labels.Level.RESTRICTED.value})


@dataclass(frozen=True, slots=True)
class Admission:
    """The admission policies of the operator, by name; `known`: whether they were read."""

    guards: Mapping[str, snapshot.Guard]
    known: bool = field(kw_only=True)


def namespaces(pairs: Pairs, admission: Admission) -> tuple[exhibits.NamespaceEvidence, ...]:
    """Return the namespaces by name."""
    found = (_namespace(*pair, admission) for pair in pairs)
    return tuple(sorted(found, key=lambda each: each.name))


def workloads(pairs: Pairs) -> tuple[exhibits.WorkloadEvidence, ...]:
    """Return the workloads with pods that share a namespace of their node, by namespace, kind and name."""
    found = (workload for pair in pairs for workload in _workloads(*pair))
    return tuple(sorted(found, key=lambda each: (each.namespace, each.kind, each.name, each.uid)))


def _namespace(
    state: snapshot.NamespaceSnapshot, namespace_plan: plan.NamespacePlan, admission: Admission
) -> exhibits.NamespaceEvidence:
    present, name = state.namespace.labels, state.namespace.name
    governed = inventory.namespace(state, namespace_plan)
    restriction, why = _restriction(governed, admission)
    pods = namespace_plan.verdicts
    owned = namespace_plan.owned
    known = owned.stored and labels.PSA_ENFORCE in present and not governed.relaxed
    return exhibits.NamespaceEvidence(
        name=name,
        uid=state.namespace.uid,
        counted=name not in benchmark.SYSTEM_NAMESPACES,
        restriction=restriction,
        why=why,
        enforce=present.get(labels.PSA_ENFORCE),
        enforce_version=present.get(labels.PSA_VERSIONS[0]),
        audit=present.get(labels.PSA_AUDIT),
        warn=present.get(labels.PSA_WARN),
        enforcement=governed.enforcement,
        guard=present.get(labels.GUARD),
        relaxed=governed.relaxed,
        exempt=governed.exempt,
        terminating=state.namespace.terminating,
        level_by_operator=labels.PSA_ENFORCE in owned.labels if known else None,
        host_network_pods=sum(labels.HostNamespace.NETWORK in verdict.pod.host_namespaces for verdict in pods),
        pods=len(pods) + namespace_plan.unreadable,
    )


def _restriction(namespace: inventory.GovernedNamespace, admission: Admission) -> tuple[Restriction, str]:
    """Return what refuses a hostNetwork pod in a namespace.

    Pod Security Admission and the admission policies enforce by the very labels that are read here.
    """
    if namespace.level in _RESTRICTING:
        return Restriction.POD_SECURITY, f"Pod Security Admission enforces {namespace.level}"
    needed = ""
    if namespace.enforcement is labels.Enforcement.DENY:
        needed = labels.POLICY_HOST_NAMESPACES
    elif namespace.name in labels.PREVIEW_NAMESPACES:
        needed = labels.POLICY_PREVIEW_DRY_RUN
    if needed:
        guard = admission.guards.get(needed)
        if guard is not None and guard.since is not None:
            return Restriction.ADMISSION_POLICY, f"the admission policy {needed} is in place"
        if not admission.known:
            return Restriction.UNKNOWN, f"whether the admission policy {needed} is in place could not be read"
        return Restriction.NONE, guard.why_not if guard is not None else f"the admission policy {needed} is missing"
    level = f"the Pod Security level is {namespace.level}" if namespace.level else "there is no Pod Security level"
    enforcement = f"enforcement is {namespace.enforcement}" if namespace.enforcement else "enforcement is off"
    exempt = ", because the namespace is exempt" if namespace.exempt else ""
    return Restriction.NONE, f"{level}, and {enforcement}{exempt}"


def _workloads(
    state: snapshot.NamespaceSnapshot, namespace_plan: plan.NamespacePlan
) -> Iterable[exhibits.WorkloadEvidence]:
    for top, verdicts in inventory.by_top(namespace_plan):
        yield _workload(inventory.of_pods(top, verdicts), [verdict.pod for verdict in verdicts])
    for pod in state.unreadable_pods:
        yield _workload(inventory.unreadable(pod), [])


def _workload(found: inventory.HostWorkload, pods: Sequence[snapshot.Pod]) -> exhibits.WorkloadEvidence:
    images = sorted({image for pod in pods for image in pod.images})
    return exhibits.WorkloadEvidence(
        namespace=found.subject.namespace,
        api_version=found.subject.api_version,
        kind=found.subject.kind,
        name=found.subject.name,
        uid=found.subject.uid,
        class_=found.classification,
        host_namespaces=found.host_namespaces,
        verdict=found.verdict,
        why=found.why,
        verdicts=dict(sorted(found.verdicts.items())),
        exceptions=found.exceptions,
        owner=found.owner or None,
        expiry=found.expiry,
        pods=found.pods,
        host_network_pods=sum(labels.HostNamespace.NETWORK in pod.host_namespaces for pod in pods),
        nodes=found.nodes,
        since=min((pod.created for pod in pods), default=None),
        service_accounts=tuple(sorted({pod.service_account for pod in pods})),
        images=tuple(exhibits.ImageEvidence(image, "@sha256:" in image) for image in images),
        capabilities=tuple(sorted({name for pod in pods for name in pod.capabilities})),
        privileged=any(pod.privileged for pod in pods),
        host_paths=tuple(
            exhibits.PathEvidence(path, read_only)
            for path, read_only in sorted({(each.path, each.read_only) for pod in pods for each in pod.host_paths})
        ),
        host_ports=any(pod.host_ports for pod in pods),
    )


def exception(entry: register.Registered) -> exhibits.ExceptionEvidence:
    """Return an exception of the register."""
    subject = entry.subject
    spec = subject.spec if subject is not None else None
    review = spec.review if spec is not None else None
    return exhibits.ExceptionEvidence(
        namespace=entry.namespace,
        name=entry.name,
        uid=subject.metadata.uid if subject is not None else None,
        created=subject.metadata.creation_timestamp if subject is not None else None,
        generation=subject.metadata.generation if subject is not None else None,
        type=spec.type if spec else None,
        component=spec.component if spec else None,
        owner=spec.owner if spec else None,
        contact=spec.contact if spec else None,
        reason=spec.reason if spec else None,
        ticket=spec.ticket if spec else None,
        expiry=spec.expiry if spec else None,
        on_expiry=spec.on_expiry if spec else None,
        reviewed=review.time if review else None,
        reviewed_for=review.kubernetes_version if review else None,
        state=entry.state,
        in_force=entry.in_force,
        why=entry.why,
        covered_pods=entry.covered,
        remaining_pods=entry.remaining,
        cleaned_up=_cleaned_up(entry),
        service_account=spec.service_account if spec else None,
        host_namespaces=tuple(sorted(spec.host_namespaces)) if spec else (),
        images=tuple(sorted(spec.images)) if spec and spec.images is not None else None,
        capabilities=tuple(sorted(spec.capabilities)) if spec else (),
        privileged=spec.privileged if spec else False,
        host_paths=tuple(exhibits.PathEvidence(each.path, each.read_only) for each in spec.host_paths) if spec else (),
        host_ports=spec.host_ports if spec else False,
        pod_security_level=spec.pod_security_level if spec else None,
        findings=tuple(finding.rule.id for finding in entry.warnings),
    )


def _cleaned_up(entry: register.Registered) -> datetime.datetime | None:
    """Return since when no pod is left of an exception that has ended; exception-writers guards the status."""
    if entry.subject is None or entry.state is not conditions.Ready.EXPIRED:
        return None
    kind = conditions.ConditionType.CLEANED_UP
    found = next((each for each in entry.subject.status.conditions if each.type == kind), None)
    return found.last_transition_time if found is not None and found.status == "True" else None


def findings(entry: register.Registered) -> Iterable[exhibits.FindingEvidence]:
    """Yield the findings about an exception that warn."""
    for finding in entry.warnings:
        yield exhibits.FindingEvidence(
            finding.rule.id,
            finding.rule.severity,
            entry.namespace,
            entry.name,
            finding.sentence,
            finding.remedy,
            finding.rule.source,
        )
