"""The reports that should exist about the host-namespace pods of a namespace: a report for each top owner of such pods.

A report shows what other modules decide: the verdicts on pods, what their owner looks like, and the findings about the
exceptions that cover them. A report decides nothing. The owner that a pod names is a claim of the user who created the
pod, and a report uses the owner only as its address, and as one of the traits that a class depends on.
"""

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from hostnetwork_operator.api import labels, meta, report
from hostnetwork_operator.decide import classify, coverage, effects, messages, refusals, rules, snapshot, trail
from hostnetwork_operator.decide.findings import Finding

# Controllers that other controllers create for their own pods. The operator puts the owner that a pod names into a
# request, so it asks only about exactly these.
_BETWEEN: Final = frozenset({("apps/v1", "ReplicaSet"), ("batch/v1", "Job")})
_WORDS: Final = {
    labels.Verdict.COVERED: report.Result.PASS,
    labels.Verdict.UNCOVERED: report.Result.FAIL,
    labels.Verdict.EXPIRED: report.Result.FAIL,
    labels.Verdict.STATIC: report.Result.SKIP,  # the API server cannot restrict a static pod
    labels.Verdict.EXEMPT: report.Result.SKIP,
}
POLICY: Final = "host-namespaces"
RULE: Final = "HostNamespaces"
REFUSED_RULE: Final = "RefusedWorkload"
# Kubescape C-0038 and C-0041, base score 7; severities are used as in decide/rules.
_SEVERITY: Final = report.Severity.HIGH
_CATEGORY: Final = "Pod Security Standards (Baseline)"
FINDINGS_POLICY: Final = "exceptions"
_FINDINGS_CATEGORY: Final = "HostNetworkException"
_POD: Final = "Pod"


def unknown_owners(state: snapshot.NamespaceSnapshot) -> tuple[snapshot.Reference, ...]:
    """Return the owners of pods whose own controller the operator must ask for before it can report anything."""
    firsts = (alike.first for alike in state.pods.groups)
    owners = {owner for pod in firsts if (owner := _between(pod)) is not None and owner not in state.tops}
    return tuple(sorted(owners, key=lambda owner: (owner.name, owner.uid)))


def reports(
    state: snapshot.NamespaceSnapshot,
    verdicts: Sequence[coverage.PodVerdict],
    findings_by_uid: Mapping[str, Sequence[Finding]],
    refused: Sequence[refusals.Refusal] = (),
    *,
    find: trail.Finder = trail.afresh,
) -> tuple[report.Report, ...]:
    """Return the reports that should exist, sorted by owner. All arguments are about the namespace of `state`;
    `findings_by_uid` has the findings by uid of the exception.
    """
    all_reports = []
    refusals_by_top = {refusal.shortage.top.uid: refusal for refusal in reversed(refused) if refusal.refused}
    for owner, judged in by_top(verdicts, lambda pod: top_owner(pod, state.tops)):
        refusal = refusals_by_top.pop(owner.uid, None)
        covering = {e.metadata.uid for verdict in judged for e in verdict.exceptions}
        found = tuple(finding for uid in sorted(covering) for finding in findings_by_uid.get(uid, ()))
        make = functools.partial(_report, state.namespace.name, owner, judged, refusal, found)
        all_reports.append(find(("report", owner), (refusal, found, *trail.identity(judged)), make))
    all_reports += [
        report.Report(state.namespace.name, _owner(refusal.shortage.top), (_refused_entry(refusal),))
        for refusal in refusals_by_top.values()
    ]
    for pod in state.unreadable_pods:
        owner = snapshot.Reference(_POD, pod.namespace, pod.name, pod.uid)
        all_reports.append(report.Report(state.namespace.name, _owner(owner), (_unreadable_entry(pod),)))
    return tuple(
        sorted(all_reports, key=lambda new_report: (new_report.owner.kind, new_report.owner.name, new_report.name))
    )


def _report(
    namespace: str,
    owner: snapshot.Reference,
    judged: Sequence[coverage.PodVerdict],
    refusal: refusals.Refusal | None,
    found: Sequence[Finding],
) -> report.Report:
    """Return the report about an owner. `found` are the findings about the exceptions that cover its pods."""
    refused_entries = [_refused_entry(refusal)] if refusal is not None else []
    entries = (_verdict_entry(owner, judged), *refused_entries, *_finding_entries(found))
    return report.Report(namespace, _owner(owner), entries)


def changes(
    state: snapshot.NamespaceSnapshot,
    verdicts: Sequence[coverage.PodVerdict],
    findings_by_uid: Mapping[str, Sequence[Finding]],
    refused: Sequence[refusals.Refusal] | None = (),
    *,
    exempt: bool,
    find: trail.Finder = trail.afresh,
) -> list[effects.Effect]:
    """Return the changes of reports: first the deletions, then the writes. In an exempt namespace all are deleted.

    Change nothing as long as no kind of report is served, or an owner is not known. While it is not known which
    workloads are refused, existing reports stay as they are: otherwise every start of the operator would remove the
    entry about a refused workload and write it again.
    """
    kind = state.report_kind
    if kind is None or (not exempt and unknown_owners(state)):
        return []
    made = () if exempt else reports(state, verdicts, findings_by_uid, refused or (), find=find)
    wanted = {new.name: new for new in made}
    present = {stored.name: stored for stored in state.reports if stored.kind == kind}
    report_effects: list[effects.Effect] = []
    ours = [stored for stored in state.reports if stored.name.startswith(report.PREFIX)]
    for stored in sorted(ours, key=lambda item: (item.kind.group, item.name)):
        stays = stored.kind == kind and (stored.name in wanted or (not exempt and stored.owner_kind == _POD))
        if not stays and refused is not None:  # the garbage collector deletes the report about a pod with the pod
            subject = snapshot.Reference(
                stored.kind.kind, state.namespace.name, stored.name, stored.uid, stored.kind.api_version
            )
            report_effects.append(effects.DeleteReport(stored.kind, subject))
    for name, wanted_report in wanted.items():
        stored_report = present.get(name)
        digest = functools.partial(_digest, wanted_report, kind)
        if stored_report is None or (
            refused is not None and stored_report.digest != find(("digest", name), (wanted_report, kind), digest)
        ):
            report_effects.append(effects.WriteReport(kind, wanted_report, stored_report.uid if stored_report else ""))
    return report_effects


def _digest(wanted: report.Report, kind: report.ReportKind) -> str:
    return report.digest(wanted.body(kind))


def _between(pod: snapshot.Pod) -> snapshot.Reference | None:
    """Return the ReplicaSet or Job that a pod names as its owner, if any. That is a claim."""
    owner = pod.owner
    if owner is None or (owner.api_version, owner.kind) not in _BETWEEN:
        return None
    return owner if meta.is_name(owner.name) else None


def top_owner(pod: snapshot.Pod, tops: Mapping[snapshot.Reference, snapshot.Reference | None]) -> snapshot.Reference:
    """Return the top owner of a pod: the controller of its controller, as far as known, its controller, or the pod
    itself.
    """
    top = None if pod.mirror else pod.owner  # the owner of a mirror pod is its Node
    if _between(pod) is not None and top is not None:
        top = tops.get(top, top)
    # The uid becomes part of a name; a uid that cannot be part of a name is forged.
    return top if top is not None and meta.is_name(report.PREFIX + top.uid) else pod.reference


def by_top(
    verdicts: Iterable[coverage.PodVerdict], top_of: Callable[[snapshot.Pod], snapshot.Reference]
) -> list[tuple[snapshot.Reference, list[coverage.PodVerdict]]]:
    """Return each top owner with the verdicts on its pods.

    If pods give the same uid to two names, one name is forged. Such pods share one owner.
    """
    groups: dict[str, tuple[set[snapshot.Reference], list[coverage.PodVerdict]]] = {}
    for verdict in verdicts:
        # Pods without an owner may be alike, and each is its own top owner.
        alone = verdict.count > 1 and top_of(verdict.pod).uid == verdict.pod.uid
        for each in verdict.each() if alone else (verdict,):
            top = top_of(each.pod)
            tops, judged = groups.setdefault(top.uid, (set(), []))
            tops.add(top)
            judged.append(each)
    return [
        (min(tops, key=lambda top: (top.api_version, top.kind, top.name)), judged) for tops, judged in groups.values()
    ]


def _owner(top: snapshot.Reference) -> report.Owner:
    return report.Owner(top.api_version, top.kind, top.name, top.uid)


def _verdict_entry(owner: snapshot.Reference, judged: Sequence[coverage.PodVerdict]) -> report.Entry:
    """Return the entry about the verdicts on these pods: the worst verdict, explained by one pod that has it.

    If every pod is covered, the entry names no pod, so that a rollout does not change the report.
    """
    worst = min(judged, key=lambda item: (_WORDS[item.verdict].rank, item.verdict, item.pod.name, item.pod.uid))
    result = _WORDS[worst.verdict]
    looks = _class(classify.of_pods(owner, (verdict.pod for verdict in judged)))
    if result is report.Result.PASS:
        covering = sorted({e.metadata.name for verdict in judged for e in verdict.exceptions})
        text = f"every pod with host namespaces is covered by an exception in force: {report.names(covering)}"
        return _entry(result, text, {"exceptions": report.names(covering), **looks})
    counts: Counter[labels.Verdict] = Counter()
    for pod_verdict in judged:
        counts[pod_verdict.verdict] += pod_verdict.count
    counted = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    text = f"pods with host namespaces: {counted}; pod {worst.pod.name} {messages.verdict_text(worst)}"
    same_verdict = [v for v in judged if v.verdict is worst.verdict]
    named = [pod.name for v in same_verdict for pod in itertools.islice(v.pods, report.NAMES)]
    return _entry(
        result,
        text,
        {
            "verdict": worst.verdict.value,
            "pods": str(counts[worst.verdict]),
            "names": report.names(named, counts[worst.verdict]),
            **looks,
        },
    )


def _refused_entry(refusal: refusals.Refusal) -> report.Entry:
    looks = _class(refusal.classification)
    return report.Entry(POLICY, REFUSED_RULE, _CATEGORY, _SEVERITY, report.Result.FAIL, refusal.text, looks)


def _class(seen: classify.Classification) -> dict[str, str]:
    """Return the properties about what a workload looks like. The reasons are not among these: they name accounts and
    namespaces, so a report would have more text of users, and would change more often.
    """
    texts = {
        "class": seen.type.value,
        "component": seen.component.value if seen.component else "",
        "agent": seen.agent,
        "confidence": seen.confidence.value,
    }
    return {name: text for name, text in texts.items() if text}


def _unreadable_entry(pod: snapshot.UnreadablePod) -> report.Entry:
    text = f"the operator cannot read pod {pod.name}, and does not know whether an exception covers the pod: {pod.why}"
    properties = {"verdict": labels.Verdict.UNKNOWN.value, "pods": "1", "names": pod.name}
    return _entry(report.Result.ERROR, text, properties)


def _entry(result: report.Result, text: str, properties: Mapping[str, str]) -> report.Entry:
    return report.Entry(POLICY, RULE, _CATEGORY, _SEVERITY, result, text, properties)


def _finding_entries(all_findings: Sequence[Finding]) -> list[report.Entry]:
    """Return an entry for each rule: the worst result among the exceptions that these findings are about."""
    entries = []
    for rule in rules.RULES:
        of_rule = [finding for finding in all_findings if finding.rule is rule]
        if not of_rule:
            continue
        worst = min(of_rule, key=lambda item: (item.result.rank, item.subject.name))
        same_result = [finding.subject.name for finding in of_rule if finding.result is worst.result]
        text = f"exception {worst.subject.name!r}: {worst.sentence}"
        text += f"; {worst.remedy}" if worst.warns else ""
        properties = {"exceptions": report.names(same_result)}
        entry = report.Entry(
            FINDINGS_POLICY, rule.id, _FINDINGS_CATEGORY, rule.severity, worst.result, text, properties
        )
        entries.append(entry)
    return entries
