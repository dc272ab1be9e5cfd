"""The plan for one namespace: everything that is to be done now, and when to look again.

One function for every event, for the CLI and for tests. A plan is a function of the snapshot and the time alone, so
carrying one out and looking again yields an empty one.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hostnetwork_operator.api import grant, labels
from hostnetwork_operator.decide import (
    contest,
    coverage,
    deletion,
    effects,
    findings,
    gate,
    grants,
    level,
    messages,
    report,
    snapshot,
    status,
    validity,
)
from hostnetwork_operator.decide.effects import Effect
from hostnetwork_operator.decide.findings import Finding

# A pod that was admitted in the last moment may be told of late, or never where a watch broke (design, section 4).
LOOK_AGAIN: Final = datetime.timedelta(seconds=60)
# After its grace a pod goes at once where its kubelet lives; deletionTimestamp has whole seconds.
_GONE: Final = datetime.timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class NamespacePlan:
    """What is the case and what is to be done, in this order. `ask` set: ask the gate, then plan again; what is to be
    done meanwhile is what no answer changes.

    `next_check` is the earliest moment at which the plan could differ without anything having changed. `relist` is
    when the namespace's pods are to be listed, all of them, although nothing told of a change; what is pressing does
    not wait for that, the rest does. `owners` are to be looked up before anything is reported: then plan again.
    `undone` not empty: somebody has changed these keys since the operator wrote them; first count that
    (contest.counted), then plan again. `contested` is until when.
    """

    namespace: snapshot.Namespace
    exempt: bool
    enforcement: labels.Enforcement | None
    relaxed: bool
    verdicts: tuple[coverage.PodVerdict, ...]
    standings: tuple[validity.Standing, ...]
    unreadable: int = 0
    findings: tuple[Finding, ...] = ()
    effects: tuple[Effect, ...] = ()
    next_check: datetime.datetime | None = None
    relist: datetime.datetime | None = None
    ask: labels.Level | None = None
    owners: tuple[snapshot.Reference, ...] = ()
    undone: tuple[str, ...] = ()
    contested: datetime.datetime | None = None


def plan_namespace(seen: snapshot.NamespaceSnapshot, now: datetime.datetime) -> NamespacePlan:
    """The plan for one namespace at `now` (the API server's time)."""
    namespace = seen.namespace
    settings = level.settings_for(namespace, seen.policy)
    standings = validity.standings(seen, now)
    decision = level.decide(seen, settings, gate.names(gate.excepted(seen, now)), now)
    standings, relaxed = grants.withhold(seen, settings, decision, standings, now)
    verdicts = _verdicts(seen, standings, exempt=settings.exempt)
    found = tuple(one for s in standings for one in findings.find(s, verdicts, seen, now, exempt=settings.exempt))
    made = NamespacePlan(
        namespace,
        settings.exempt,
        decision.enforcement,
        relaxed,
        verdicts,
        standings,
        len(seen.unreadable_pods),
        found,
        ask=None if namespace.terminating else decision.ask,
        contested=contest.ends(seen.record, now),
    )
    if namespace.terminating:
        return made
    deletes = deletion.deletes(seen, decision.enforcement, verdicts, now)
    gone = {effect.pod.uid for effect in deletes}
    if made.ask is not None:
        # Once enforced, fewer exceptions may be in force than now, never more: who is uncovered now is so then.
        sure = [verdict for verdict in verdicts if verdict.verdict is not labels.Verdict.COVERED]
        flags = _flags(sure, exempt=False, gone=gone)
        return replace(made, effects=(*deletes, *flags), next_check=_next_check(seen, made, decision, now))
    writes = _writes(seen, settings, decision, made, now)
    doing: tuple[Effect, ...] = (
        *writes[:1],
        *deletes,
        *writes[1:],
        *_flags(verdicts, exempt=settings.exempt, gone=gone),
        *_statuses(seen, made, decision, now),
        *report.changes(seen, verdicts, found, exempt=settings.exempt),
    )
    return replace(
        made,
        effects=doing,
        next_check=_next_check(seen, made, decision, now),
        relist=_relist(seen, standings, doing, now),
        owners=report.unknown_owners(seen) if seen.report_kind and not settings.exempt else (),
        undone=contest.undone(seen, writes),
    )


def unchanged(made: NamespacePlan) -> NamespacePlan:
    """What is the case where the plan's write of the namespace failed: it stands as it stood."""
    namespace = made.namespace
    relaxed = labels.GUARD in namespace.labels and level.level_of(namespace) is labels.Level.PRIVILEGED
    return replace(made, enforcement=namespace.enforcement, relaxed=relaxed)


def takes_job(
    seen: snapshot.NamespaceSnapshot, template: snapshot.Pod | snapshot.UnreadablePod, now: datetime.datetime
) -> bool:
    """Whether a Job goes with an expired pod: if the pods that it makes would be deleted just so."""
    if isinstance(template, snapshot.UnreadablePod) or not template.host_namespaces:
        return False
    made = plan_namespace(replace(seen, pods=(template,)), now)
    return any(isinstance(effect, effects.DeletePod) for effect in made.effects)


def _verdicts(
    seen: snapshot.NamespaceSnapshot, standings: Sequence[validity.Standing], *, exempt: bool
) -> tuple[coverage.PodVerdict, ...]:
    ordered = sorted(seen.pods, key=lambda pod: (pod.name, pod.uid))
    return tuple(coverage.judge(pod, standings, exempt=exempt) for pod in ordered)


def _writes(
    seen: snapshot.NamespaceSnapshot,
    settings: level.Settings,
    decision: level.Decision,
    judged: NamespacePlan,
    now: datetime.datetime,
) -> tuple[effects.WriteNamespace, ...]:
    """At most two writes: what takes away comes first, and alone, so that a failure of the rest leaves nothing open.

    In a contested namespace one at most, and none that does not take away.
    """
    namespace, standings = seen.namespace, judged.standings
    present = namespace.grants
    wanted = {}
    if decision.enforcement is not None:
        wanted = {s.exception.metadata.name: grants.line_of(s.exception, namespace) for s in standings if s.in_force}
    taken: dict[str, str | None] = {}
    given: dict[str, str | None] = {}
    for name in sorted(present.keys() | wanted.keys()):
        key, old, new = labels.GRANT_PREFIX + name, present.get(name), wanted.get(name)
        if old == new:
            continue
        if new is None or (old is not None and _shorter(old, new)):
            taken[key] = new
        else:
            given[key] = new
    changed, notes = level.changes(namespace, settings, decision, relaxed=judged.relaxed)
    if judged.contested is not None:
        given = {}
        taking = contest.takes(namespace, taken, changed)
        if not taking or contest.paced(seen.record, taking, now):
            return ()
    first: dict[str, str | None] = dict(taken)
    made = []
    if (taken and not given) or judged.contested is not None:
        first |= notes
        made.append(
            effects.WriteNamespace(namespace, _action(namespace, changed, decision, taken=True), changed, first)
        )
    else:
        if taken:
            made.append(effects.WriteNamespace(namespace, effects.Action.REVOKE, {}, taken))
        if given or changed or notes:
            action = _action(namespace, changed, decision, given=bool(given))
            made.append(effects.WriteNamespace(namespace, action, changed, given | notes))
    return tuple(replace(write, told=messages.namespace_events(write, standings)) for write in made)


def _shorter(old: str, new: str) -> bool:
    """Whether the new line allows no more than the old: the same but for an earlier end."""
    try:
        before, after = grant.Grant.decode(old), grant.Grant.decode(new)
    except grant.GrantError:
        return False
    return after.until <= before.until and replace(after, until=before.until) == before


def _action(
    namespace: snapshot.Namespace,
    changed: Mapping[str, str | None],
    decision: level.Decision,
    *,
    taken: bool = False,
    given: bool = False,
) -> str:
    if labels.PSA_ENFORCE in changed and changed[labels.PSA_ENFORCE] == labels.Level.PRIVILEGED and given:
        return effects.Action.RELAX
    if taken:
        restored = changed.get(labels.PSA_ENFORCE, labels.Level.PRIVILEGED.value) != labels.Level.PRIVILEGED.value
        return effects.Action.RESTORE if restored else effects.Action.REVOKE
    if decision.enforcement is None:
        return effects.Action.RELEASE
    if decision.enforcement is labels.Enforcement.HELD and not changed and not given:
        return effects.Action.HOLD  # others hold it now
    if namespace.enforcement is decision.enforcement and given:
        return effects.Action.GRANT
    noted = labels.LEVEL_BEFORE in namespace.annotations
    if decision.enforcement is labels.Enforcement.DENY and not noted:
        return effects.Action.ENFORCE  # also where label-at-birth has written the labels already
    if namespace.enforcement is decision.enforcement or (namespace.enforcement is None and noted):
        return effects.Action.REPAIR
    return {
        labels.Enforcement.DENY: effects.Action.ENFORCE,
        labels.Enforcement.HELD: effects.Action.HOLD,
        labels.Enforcement.AUDIT: effects.Action.AUDIT,
    }[decision.enforcement]


def _flags(verdicts: Sequence[coverage.PodVerdict], *, exempt: bool, gone: set[str]) -> list[Effect]:
    """The verdict label, and on its transitions the Events: first the Event, so that a crash between loses neither."""
    made: list[Effect] = []
    for verdict in verdicts:
        pod, shown = verdict.pod, verdict.verdict
        if pod.deleting or pod.uid in gone:
            continue
        if exempt and pod.verdict_label is not None:  # flagged before the namespace became exempt
            made.append(effects.WriteVerdict(pod.reference, None))
        if exempt:
            continue
        wanted = None if shown is labels.Verdict.COVERED else shown
        if pod.verdict_label == (wanted.value if wanted else None):
            continue
        made.append(effects.WriteVerdict(pod.reference, wanted, messages.verdict_events(verdict)))
    return made


def _statuses(
    seen: snapshot.NamespaceSnapshot, judged: NamespacePlan, decision: level.Decision, now: datetime.datetime
) -> list[Effect]:
    made: list[Effect] = []
    for standing in judged.standings:
        subject = standing.exception
        if subject.metadata.deletion_timestamp is not None:
            continue
        reference = messages.reference(subject)
        found = [finding for finding in judged.findings if finding.subject == reference]
        wanted = status.status_for(
            standing,
            seen.namespace,
            judged.verdicts,
            decision.enforcement,
            now,
            found,
            clock_trusted=seen.clock_trusted,
        )
        if wanted == subject.status:
            continue
        told = (*messages.standing_events(standing), *messages.finding_events(subject, found, judged.verdicts))
        version = subject.metadata.resource_version
        made.append(effects.WriteExceptionStatus(reference, version, wanted, () if judged.exempt else told))
    return made


def _next_check(
    seen: snapshot.NamespaceSnapshot, judged: NamespacePlan, decision: level.Decision, now: datetime.datetime
) -> datetime.datetime | None:
    moments = [s.exception.spec.until for s in judged.standings if s.exception.spec.expiry is not None]
    moments += [moment for finding in judged.findings for moment in finding.moments]
    moments += [guard.settled for guard in seen.guards.values() if guard.settled is not None]
    moments += [guard.excused for guard in seen.guards.values() if guard.excused is not None]
    moments += [decision.again] if decision.again is not None else []
    moments += contest.moments(seen, now)
    if judged.contested is not None and seen.gate is not None:  # what it allowed is not written yet
        moments.append(seen.gate.asked + level.GATE_AGAIN)
    gone = [v.pod.to_be_gone for v in judged.verdicts if v.verdict is labels.Verdict.EXPIRED]
    moments += [moment + status.OVERDUE for moment in gone if moment is not None]
    return min((moment for moment in moments if moment > now), default=None)


def _relist(
    seen: snapshot.NamespaceSnapshot,
    standings: Sequence[validity.Standing],
    doing: Sequence[Effect],
    now: datetime.datetime,
) -> datetime.datetime | None:
    """The earliest moment that no list of every pod has seen yet and that asks for one."""
    listed = now if seen.every_pod_listed is None else seen.every_pod_listed
    moments = []
    for standing in standings:
        spec = standing.exception.spec
        if standing.expired and set(spec.host_namespaces) != {labels.HostNamespace.NETWORK}:
            moments.append(spec.until)  # its pods may have come since the last list, and no watch told
        if standing.expired and spec.deletes:
            moments.append(spec.until + LOOK_AGAIN)
    unwatched = [pod for pod in seen.pods if not pod.watched]
    for pod in unwatched:
        if pod.to_be_gone is not None:  # nothing will tell that it is
            gone = pod.to_be_gone + _GONE
            moments.append(gone if gone > listed else listed + LOOK_AGAIN)
    uids = {pod.uid for pod in unwatched}
    if listed + LOOK_AGAIN < now and any(isinstance(e, effects.WriteVerdict) and e.pod.uid in uids for e in doing):
        moments.append(now)  # it may be gone for an hour, and nobody is told of what is not there
    return min((moment for moment in moments if moment > listed), default=None)
