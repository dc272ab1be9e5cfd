"""Which reports should stand about the host-namespace pods of a namespace: one for each top owner of such pods.

A report shows what was decided elsewhere, the verdicts on pods and the findings about the exceptions that cover them;
it decides nothing. Owners are claims of whoever made the pod, and a report is no more than such a claim's address.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from hostnetwork_operator.api import labels, meta, report
from hostnetwork_operator.decide import coverage, effects, messages, refusals, rules, snapshot
from hostnetwork_operator.decide.findings import Finding

# Controllers that others make for their own pods. What a pod says of its owner becomes part of a request: it is exactly
# one of these, or nobody is asked.
_BETWEEN: Final = frozenset({("apps/v1", "ReplicaSet"), ("batch/v1", "Job")})
_WORDS: Final = {
    labels.Verdict.COVERED: report.Result.PASS,
    labels.Verdict.UNCOVERED: report.Result.FAIL,
    labels.Verdict.EXPIRED: report.Result.FAIL,
    labels.Verdict.STATIC: report.Result.SKIP,  # nothing that the API holds
    labels.Verdict.EXEMPT: report.Result.SKIP,
}
POLICY: Final = "host-namespaces"
RULE: Final = "HostNamespaces"
REFUSED_RULE: Final = "RefusedWorkload"
# Kubescape C-0038 and C-0041, base score 7: severities as in decide/rules.
_SEVERITY: Final = report.Severity.HIGH
_CATEGORY: Final = "Pod Security Standards (Baseline)"
FINDINGS_POLICY: Final = "exceptions"
_FINDINGS_CATEGORY: Final = "HostNetworkException"
_POD: Final = "Pod"


def unknown_owners(seen: snapshot.NamespaceSnapshot) -> tuple[snapshot.Reference, ...]:
    """The owners of pods whose own owner has to be asked for before anything can be reported."""
    found = {owner for pod in seen.pods if (owner := _between(pod)) is not None and owner not in seen.tops}
    return tuple(sorted(found, key=lambda owner: (owner.name, owner.uid)))


def reports(
    seen: snapshot.NamespaceSnapshot,
    verdicts: Sequence[coverage.PodVerdict],
    found: Sequence[Finding],
    refused: Sequence[refusals.Refusal] = (),
) -> tuple[report.Report, ...]:
    """What should stand, by the names of the owners. All that is given is of this very namespace."""
    owned: dict[str, list[tuple[snapshot.Reference, coverage.PodVerdict]]] = {}
    for verdict in verdicts:
        top = _top(verdict.pod, seen.tops)
        owned.setdefault(top.uid, []).append((top, verdict))
    made = []
    about: dict[str, list[Finding]] = {}
    for finding in found:
        about.setdefault(finding.subject.uid, []).append(finding)
    lacking = {one.shortage.top.uid: one for one in reversed(refused) if one.refused}
    for uid, group in owned.items():
        # Of two names under one uid one is forged, and there is one report for it.
        owner = min((top for top, _ in group), key=lambda top: (top.api_version, top.kind, top.name))
        judged = [verdict for _, verdict in group]
        without = [_refused_entry(lacking.pop(uid))] if uid in lacking else []
        entries = (_verdict_entry(judged), *without, *_finding_entries(judged, about))
        made.append(report.Report(seen.namespace.name, _owner(owner), entries))
    made += [
        report.Report(seen.namespace.name, _owner(one.shortage.top), (_refused_entry(one),)) for one in lacking.values()
    ]
    for pod in seen.unreadable_pods:
        owner = snapshot.Reference(_POD, pod.namespace, pod.name, pod.uid)
        made.append(report.Report(seen.namespace.name, _owner(owner), (_unreadable_entry(pod),)))
    return tuple(sorted(made, key=lambda one: (one.owner.kind, one.owner.name, one.name)))


def changes(
    seen: snapshot.NamespaceSnapshot,
    verdicts: Sequence[coverage.PodVerdict],
    found: Sequence[Finding],
    refused: Sequence[refusals.Refusal] | None = (),
    *,
    exempt: bool,
) -> list[effects.Effect]:
    """What is to be done about reports: first what goes. In an exempt namespace everything goes.

    Nothing, as long as no kind is served, or an owner is not known. While it is not known which workloads are refused,
    the reports that exist stay as they are: the entry about that would go at every start, and come back.
    """
    kind = seen.report_kind
    if kind is None or (not exempt and unknown_owners(seen)):
        return []
    wanted = {} if exempt else {one.name: one for one in reports(seen, verdicts, found, refused or ())}
    present = {one.name: one for one in seen.reports if one.kind == kind}
    made: list[effects.Effect] = []
    ours = [one for one in seen.reports if one.name.startswith(report.PREFIX)]
    for one in sorted(ours, key=lambda one: (one.kind.group, one.name)):
        stays = one.kind == kind and (one.name in wanted or (not exempt and one.owner_kind == _POD))
        if not stays and refused is not None:  # what a pod owned goes with it, by the garbage collector
            subject = snapshot.Reference(one.kind.kind, seen.namespace.name, one.name, one.uid, one.kind.api_version)
            made.append(effects.DeleteReport(one.kind, subject))
    for name, wish in wanted.items():
        stands = present.get(name)
        if stands is None or (refused is not None and stands.digest != report.digest(wish.body(kind))):
            made.append(effects.WriteReport(kind, wish, stands.uid if stands else ""))
    return made


def _between(pod: snapshot.Pod) -> snapshot.Reference | None:
    """The ReplicaSet or Job that a pod claims as its own."""
    owner = pod.owner
    if owner is None or (owner.api_version, owner.kind) not in _BETWEEN:
        return None
    return owner if meta.is_name(owner.name) else None


def _top(pod: snapshot.Pod, tops: Mapping[snapshot.Reference, snapshot.Reference | None]) -> snapshot.Reference:
    """Whom a pod is reported under: the controller's controller, the controller, or itself."""
    top = None if pod.mirror else pod.owner  # a mirror pod's is its Node
    if _between(pod) is not None and top is not None:
        top = tops[top]
    # The uid becomes part of a name; one that could not be is forged.
    return top if top is not None and meta.is_name(report.PREFIX + top.uid) else pod.reference


def _owner(top: snapshot.Reference) -> report.Owner:
    return report.Owner(top.api_version, top.kind, top.name, top.uid)


def _verdict_entry(judged: Sequence[coverage.PodVerdict]) -> report.Entry:
    """The worst verdict counts, and a pod that has it explains. Where all is well nothing of single pods is said, so
    that a rollout is no news.
    """
    worst = min(judged, key=lambda one: (_WORDS[one.verdict].rank, one.verdict, one.pod.name, one.pod.uid))
    result = _WORDS[worst.verdict]
    if result is report.Result.PASS:
        covering = sorted({e.metadata.name for one in judged for e in one.exceptions})
        text = f"every pod with host namespaces is covered by an exception in force: {report.names(covering)}"
        return _entry(result, text, {"exceptions": report.names(covering)})
    counts = Counter(one.verdict for one in judged)
    counted = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    text = f"pods with host namespaces: {counted}; {worst.pod.name} {messages.verdict_text(worst)}"
    like = [one.pod.name for one in judged if one.verdict is worst.verdict]
    return _entry(result, text, {"verdict": worst.verdict.value, "pods": str(len(like)), "names": report.names(like)})


def _refused_entry(one: refusals.Refusal) -> report.Entry:
    return report.Entry(POLICY, REFUSED_RULE, _CATEGORY, _SEVERITY, report.Result.FAIL, one.text)


def _unreadable_entry(pod: snapshot.UnreadablePod) -> report.Entry:
    text = f"{pod.name} could not be read, so it is not known whether an exception covers it: {pod.why}"
    properties = {"verdict": labels.Verdict.UNKNOWN.value, "pods": "1", "names": pod.name}
    return _entry(report.Result.ERROR, text, properties)


def _entry(result: report.Result, text: str, properties: Mapping[str, str]) -> report.Entry:
    return report.Entry(POLICY, RULE, _CATEGORY, _SEVERITY, result, text, properties)


def _finding_entries(
    judged: Sequence[coverage.PodVerdict], found: Mapping[str, Sequence[Finding]]
) -> list[report.Entry]:
    """Of each rule the worst result among the exceptions that cover these pods. `found` is by uids of exceptions."""
    uids = {e.metadata.uid for one in judged for e in one.exceptions}
    theirs = [one for uid in sorted(uids) for one in found.get(uid, ())]
    made = []
    for rule in rules.RULES:
        about = [one for one in theirs if one.rule is rule]
        if not about:
            continue
        worst = min(about, key=lambda one: (one.result.rank, one.subject.name))
        like = [one.subject.name for one in about if one.result is worst.result]
        text = f"exception {worst.subject.name!r}: {worst.sentence}"
        text += f"; {worst.remedy}" if worst.warns else ""
        properties = {"exceptions": report.names(like)}
        entry = report.Entry(
            FINDINGS_POLICY, rule.id, _FINDINGS_CATEGORY, rule.severity, worst.result, text, properties
        )
        made.append(entry)
    return made
