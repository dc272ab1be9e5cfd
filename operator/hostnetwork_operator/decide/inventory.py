"""What the plans of all namespaces show to people: each workload with host namespaces, with its verdict and class.

A workload is a top owner of pods, as in decide/report. The owner that a pod names is a claim, and only an address here.
"""

import dataclasses
import datetime
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hostnetwork_operator.api import conditions, labels, meta
from hostnetwork_operator.decide import classify, coverage, plan, report, snapshot, validity

_KIND = re.compile("[A-Za-z][A-Za-z0-9]{0,62}")
_API_VERSION = re.compile("([a-z0-9][a-z0-9.-]{0,252}/)?v[a-z0-9]{1,62}")
# What needs attention comes first.
_ORDER = (
    labels.Verdict.UNCOVERED,
    labels.Verdict.EXPIRED,
    labels.Verdict.UNKNOWN,
    labels.Verdict.COVERED,
    labels.Verdict.STATIC,
    labels.Verdict.EXEMPT,
)


@dataclass(frozen=True, slots=True)
class HostWorkload:
    """A workload with host namespaces.

    `verdict` is the worst verdict on its pods, and `why` explains that verdict. `exceptions` are the names of the
    exceptions behind the verdicts; `owner` and `expiry` are those of the exception that ends first. `nodes` is the
    number of nodes on which its pods run.
    """

    subject: snapshot.Reference
    classification: classify.Classification | None
    verdict: labels.Verdict
    why: str
    verdicts: Mapping[labels.Verdict, int]
    host_namespaces: tuple[labels.HostNamespace, ...]
    exceptions: tuple[str, ...]
    owner: str
    expiry: datetime.datetime | None
    pods: int
    nodes: int


@dataclass(frozen=True, slots=True)
class GovernedNamespace:
    """How a namespace is governed: its enforcement (None: not governed), its PSA level as written, and whether the
    level is lifted for a grant.
    """

    name: str
    enforcement: labels.Enforcement | None
    level: str
    relaxed: bool
    exempt: bool


def namespace(state: snapshot.NamespaceSnapshot, namespace_plan: plan.NamespacePlan) -> GovernedNamespace:
    """Return how a namespace is governed at this moment: by its labels, not by what the operator will do."""
    present = state.namespace.labels
    return GovernedNamespace(
        state.namespace.name,
        state.namespace.enforcement,
        present.get(labels.PSA_ENFORCE, ""),
        relaxed=labels.GUARD in present,
        exempt=namespace_plan.exempt,
    )


def workloads(state: snapshot.NamespaceSnapshot, namespace_plan: plan.NamespacePlan) -> tuple[HostWorkload, ...]:
    """Return the workloads of a namespace, in the order of `ordered`."""
    found = [of_pods(top, verdicts) for top, verdicts in by_top(namespace_plan)]
    return ordered((*found, *map(unreadable, state.unreadable_pods)))


def count(namespace_plan: plan.NamespacePlan) -> Counter[tuple[str, str, str]]:
    """Return the number of workloads by class, confidence and worst verdict. A pod that could not be read counts as a
    workload with class Unknown.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    for top, verdicts in by_top(namespace_plan):
        seen = classify.of_pods(top, (verdict.pod for verdict in verdicts))
        counts[seen.type.value, seen.confidence.value, _worst(verdicts).verdict.value] += 1
    if namespace_plan.unreadable:
        unknown = labels.Verdict.UNKNOWN.value
        counts[unknown, classify.Confidence.UNKNOWN.value, unknown] += namespace_plan.unreadable
    return counts


def as_known(
    verdict: coverage.PodVerdict, standings: Iterable[validity.Standing], *, exceptions: bool, approvals: bool
) -> coverage.PodVerdict:
    """Return the verdict, or Unknown if what was not read could make it another one.

    `exceptions`: whether the exceptions of the namespace were read. `approvals`: whether the ledger was read, which
    proves approvals. The operator must act in these cases. A person must be told that the verdict is not known.
    """
    unknown = dataclasses.replace(verdict, verdict=labels.Verdict.UNKNOWN)
    if verdict.verdict not in {labels.Verdict.UNCOVERED, labels.Verdict.EXPIRED}:
        return verdict
    if not exceptions:
        return dataclasses.replace(unknown, why="the exceptions of the namespace were not read")
    for standing in standings if not approvals else ():
        open_question = standing.reason is conditions.Ready.NOT_RECORDED
        if open_question and coverage.covers(standing, verdict.pod).failed is coverage.Criterion.IN_FORCE:
            name = standing.exception.metadata.name
            why = f"the ledger was not read, so whether exception {name!r} is approved is not known"
            return dataclasses.replace(unknown, why=why)
    return verdict


def by_top(namespace_plan: plan.NamespacePlan) -> list[tuple[snapshot.Reference, list[coverage.PodVerdict]]]:
    """Return each top owner of pods with host namespaces, with the verdicts on its pods; one on pods that are alike."""
    return report.by_top(namespace_plan.judged, lambda pod: _top(pod, namespace_plan.tops))


def _worst(verdicts: Iterable[coverage.PodVerdict]) -> coverage.PodVerdict:
    return min(verdicts, key=lambda each: (_ORDER.index(each.verdict), each.pod.name, each.pod.uid))


def _top(pod: snapshot.Pod, tops: Mapping[snapshot.Reference, snapshot.Reference | None]) -> snapshot.Reference:
    """Return the top owner of a pod, or the pod itself if the owner that it names cannot be an object.

    Whoever creates a pod writes the kind and the name of its owner, and people paste what a command prints.
    """
    top = report.top_owner(pod, tops)
    can_be = meta.is_name(top.name) and _KIND.fullmatch(top.kind) and _API_VERSION.fullmatch(top.api_version)
    return top if can_be else pod.reference


def ordered(found: Iterable[HostWorkload]) -> tuple[HostWorkload, ...]:
    """Return the workloads in the order in which they need attention, then by namespace, kind and name."""
    return tuple(
        sorted(found, key=lambda w: (_ORDER.index(w.verdict), w.subject.namespace, w.subject.kind, w.subject.name))
    )


def of_pods(top: snapshot.Reference, verdicts: Sequence[coverage.PodVerdict]) -> HostWorkload:
    """Return a workload with the verdicts on its pods, of which there is at least one."""
    worst = _worst(verdicts)
    pods = tuple(pod for verdict in verdicts for pod in verdict.pods)
    exceptions = {e.metadata.uid: e for verdict in verdicts for e in verdict.exceptions}.values()
    first = min(exceptions, key=lambda e: (e.spec.until, e.metadata.name), default=None)
    shared = {name for pod in pods for name in pod.host_namespaces}
    return HostWorkload(
        subject=top,
        classification=classify.of_pods(top, (verdict.pod for verdict in verdicts)),
        verdict=worst.verdict,
        why=worst.why,
        verdicts={kind: count for kind, count in coverage.count(verdicts, unreadable=0).items() if count},
        host_namespaces=tuple(name for name in labels.HostNamespace if name in shared),
        exceptions=tuple(sorted(e.metadata.name for e in exceptions)),
        owner=first.spec.owner if first is not None else "",
        expiry=first.spec.expiry if first is not None else None,
        pods=len(pods),
        nodes=len({pod.node for pod in pods if pod.node}),
    )


def of_template(top: snapshot.Reference, verdict: coverage.PodVerdict) -> HostWorkload:
    """Return a workload that has no pod, as its next pod would be."""
    return dataclasses.replace(of_pods(top, [verdict]), verdicts={verdict.verdict: 0}, pods=0, nodes=0)


def unreadable(pod: snapshot.UnreadablePod) -> HostWorkload:
    """Return a pod that cannot be read, as a workload without a class."""
    verdict = labels.Verdict.UNKNOWN
    subject = snapshot.Reference("Pod", pod.namespace, pod.name, pod.uid)
    why = f"the pod cannot be read: {pod.why}"
    return HostWorkload(subject, None, verdict, why, {verdict: 1}, (), (), "", None, 1, 0)


@dataclass(frozen=True, slots=True)
class Overview:
    """The workloads with host namespaces of all namespaces that were looked at, and how these are governed."""

    workloads: tuple[HostWorkload, ...]
    namespaces: tuple[GovernedNamespace, ...]

    @property
    def pods(self) -> dict[labels.Verdict, int]:
        """The number of pods for each verdict, without verdicts that no pod has."""
        total: Counter[labels.Verdict] = Counter()
        for workload in self.workloads:
            total.update(workload.verdicts)
        return {verdict: total[verdict] for verdict in _ORDER if total[verdict]}

    @property
    def enforcement(self) -> dict[str, int]:
        """The number of namespaces for each enforcement, and of those that are exempt or not governed."""
        return _counted("Exempt" if n.exempt else n.enforcement or "not governed" for n in self.namespaces)

    @property
    def levels(self) -> dict[str, int]:
        """The number of namespaces for each level as written, and of those that a grant has relaxed."""
        return _counted("relaxed" if n.relaxed else n.level or "no level" for n in self.namespaces)


def overview(pairs: Iterable[tuple[snapshot.NamespaceSnapshot, plan.NamespacePlan]]) -> Overview:
    """Return the overview of namespaces, each with its plan."""
    found: list[HostWorkload] = []
    namespaces: list[GovernedNamespace] = []
    for state, namespace_plan in pairs:
        found += workloads(state, namespace_plan)
        namespaces.append(namespace(state, namespace_plan))
    return Overview(ordered(found), tuple(sorted(namespaces, key=lambda each: each.name)))


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))
