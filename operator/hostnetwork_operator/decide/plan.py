"""The plan for one namespace: everything that the operator is to do there now, and when it is to plan again.

The same function plans for every event, for the CLI and for tests. A plan is a function of the snapshot and the time
alone. So once a plan has been carried out, a new snapshot yields an empty plan.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from hostnetwork_operator.api import labels, ledger
from hostnetwork_operator.decide import (
    approval,
    contest,
    coverage,
    deletion,
    effects,
    findings,
    gate,
    grants,
    level,
    messages,
    needs,
    ownership,
    refusals,
    report,
    selection,
    snapshot,
    status,
    unused,
    validity,
    writes,
)
from hostnetwork_operator.decide.effects import Effect
from hostnetwork_operator.decide.findings import Finding
from hostnetwork_operator.decide.needs import Need

Asked = TypeVar("Asked", bound=Need)

# A watch may report a pod that was admitted at the last moment late, or never if the watch broke
# (docs/explanation/architecture.md#expiry).
LOOK_AGAIN: Final = datetime.timedelta(seconds=60)
# How long after its snapshot a plan may be carried out. A process may be stopped and continued, and its snapshot is
# stale then.
FRESH_SECONDS: Final = 2.0
# After its grace period a pod is removed immediately if the kubelet of its node is running. deletionTimestamp has whole
# seconds.
_GONE: Final = datetime.timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class NamespacePlan:
    """The state of one namespace, and what the operator is to do about that state.

    The operator carries out `urgent` before `deferrable`, each in the order of the tuple: levels, grants, records and
    deletions come before anything that is only reported. `needs` are the questions whose answers lead to another plan;
    decide/needs says which effects wait for which answer.

    `partial`: another plan follows as soon as the urgent effects are carried out, or as soon as the gate or the ledger
    has answered. A partial plan has only the effects that no answer changes.

    `record` is what the operator is to remember about the namespace before it carries out any effect (decide/contest).
    `next_check` is the earliest moment at which the plan could differ although nothing has changed. `contested` is the
    end of a contest that is going on. `refused` are the workloads that lack pods, None while these are not known;
    there may be more if they are not `refused_complete`.
    `tops` has the top owner by owner, as far as known: the operator asks for top owners only if it writes reports.
    `plain` says which exceptions cover pods without host namespaces: these pods are counted and have no verdict.
    """

    namespace: snapshot.Namespace
    exempt: bool = field(kw_only=True)
    enforcement: labels.Enforcement | None
    relaxed: bool = field(kw_only=True)
    verdicts: tuple[coverage.PodVerdict, ...]
    standings: tuple[validity.Standing, ...]
    owned: ownership.Owned
    unreadable: int = 0
    findings: tuple[Finding, ...] = ()
    urgent: tuple[Effect, ...] = ()
    deferrable: tuple[Effect, ...] = ()
    needs: tuple[Need, ...] = ()
    record: snapshot.Record = field(default_factory=snapshot.Record)
    next_check: datetime.datetime | None = None
    partial: bool = field(default=False, kw_only=True)
    contested: datetime.datetime | None = None
    refused: tuple[refusals.Refusal, ...] | None = ()
    refused_complete: bool = True
    plain: tuple[coverage.PodVerdict, ...] = ()
    tops: Mapping[snapshot.Reference, snapshot.Reference | None] = field(default_factory=dict)

    @property
    def writes(self) -> tuple[effects.WriteNamespace, ...]:
        """The writes of the Namespace object: at most one."""
        return tuple(effect for effect in self.urgent if isinstance(effect, effects.WriteNamespace))

    @property
    def refused_count(self) -> int | None:
        """How many workloads are refused; None if that is not known."""
        return refusals.count(self.refused, complete=self.refused_complete)

    @property
    def effects(self) -> tuple[Effect, ...]:
        """All effects, the urgent ones first."""
        return (*self.urgent, *self.deferrable)

    def asks(self, kind: type[Asked]) -> tuple[Asked, ...]:
        """Return the needs of one kind."""
        return tuple(need for need in self.needs if isinstance(need, kind))


def plan_namespace(state: snapshot.NamespaceSnapshot, now: datetime.datetime) -> NamespacePlan:
    """Return the plan for one namespace at `now`, which is the API server's time."""
    namespace = state.namespace
    if namespace.terminating:
        state = approval.ending(state, "the exception is deleted with its namespace")
    elif not state.exceptions_served:
        state = approval.ending(state, "the API server does not serve HostNetworkExceptions")
    settings = selection.settings(state)
    rulings = approval.rulings(state, now)
    standings = validity.standings(state, rulings, now)
    owned = ownership.owned(state)
    decision = level.decide(state, settings, gate.names(gate.excepted(state, now)), now)
    recorded = state.ledger.namespace is not None and state.ledger.namespace.enforced
    standings, relaxed = grants.withhold(state, owned, settings, decision, standings, now, recorded=recorded)
    verdicts = _verdicts(state, standings, exempt=settings.exempt)
    plain = coverage.plain(state.plain_pods, standings, settings.target)
    by_exception = coverage.by_exception((*verdicts, *plain))
    namespace_findings = tuple(
        finding
        for standing in standings
        if standing.readable  # the ledger has only the terms
        for finding in findings.find(
            standing, by_exception.get(standing.exception.metadata.uid, ()), state, now, exempt=settings.exempt
        )
    )
    plan = NamespacePlan(
        namespace,
        decision.enforcement,
        verdicts,
        standings,
        owned,
        len(state.unreadable_pods),
        namespace_findings,
        exempt=settings.exempt,
        relaxed=relaxed,
        record=state.record,
        contested=contest.ends(state.record, now),
        refused=refusals.find(state, standings, now, exempt=settings.exempt),
        refused_complete=refusals.complete(state, now, exempt=settings.exempt),
        plain=plain,
        tops=state.tops,
    )
    approvals = tuple(ruling.record for _, ruling in sorted(rulings.items()) if ruling.record is not None)
    if namespace.terminating:
        return _ending(plan, state, decision, approvals, now)
    return _with_effects(plan, state, settings, decision, approvals, now)


def _ending(
    plan: NamespacePlan,
    state: snapshot.NamespaceSnapshot,
    decision: level.Decision,
    approvals: tuple[Effect, ...],
    now: datetime.datetime,
) -> NamespacePlan:
    """Return the plan for a namespace that is being deleted. Only its pods matter: the user who deleted the namespace
    may have given them a grace period of years. What the exceptions say about the end of these pods is recorded before
    the exceptions are removed.
    """
    deletes = deletion.deletes(state, decision.enforcement, plan.verdicts, now)
    flags = _flags(_sure(plan), exempt=plan.exempt, gone={effect.pod.uid for effect in deletes})
    return replace(
        plan,
        urgent=(*approvals, *deletes),
        deferrable=tuple(flags),
        needs=_lists(state, plan, flags, now),
        record=_remembered(state, plan, ()),
        next_check=_next_check(state, plan, decision, now),
    )


def _with_effects(
    plan: NamespacePlan,
    state: snapshot.NamespaceSnapshot,
    settings: level.Settings,
    decision: level.Decision,
    approvals: tuple[Effect, ...],
    now: datetime.datetime,
) -> NamespacePlan:
    deletes = deletion.deletes(state, decision.enforcement, plan.verdicts, now)
    deleted_uids = {effect.pod.uid for effect in deletes}
    following = writes.Next()
    if decision.ask is None:
        following = writes.following(state, plan.owned, settings, decision, plan.standings, now, relaxed=plan.relaxed)
    adopted = _namespace_record(plan, state, settings, decision, following, now)
    write = following.write
    if write is not None and adopted and not state.ledger.trouble and not writes.revokes(write):
        # The process may end after the write. By then the ledger must have the level before, and which labels are ours.
        write = None
    waiting = any(standing.waiting for standing in plan.standings)
    written = (write,) if write is not None else ()
    plan = replace(
        plan,
        urgent=(*approvals, *adopted, *written, *deletes),
        needs=_reread(write, plan),
        partial=decision.ask is not None or following.more or write is not following.write or waiting,
        next_check=_next_check(state, plan, decision, now),
    )
    if plan.partial:
        asked = () if decision.ask is None or waiting else (needs.AskGate(decision.ask),)
        flags = _flags(_sure(plan), exempt=settings.exempt, gone=deleted_uids)
        return replace(plan, deferrable=tuple(flags), needs=(*plan.needs, *asked))
    reasons = unused.reasons(state, plan.standings, (*plan.verdicts, *plan.plain), now)
    flags = _flags(plan.verdicts, exempt=settings.exempt, gone=deleted_uids)
    return replace(
        plan,
        deferrable=(
            *flags,
            *_statuses(state, plan, decision, reasons.why, now),
            *report.changes(state, plan.verdicts, plan.findings, plan.refused, exempt=settings.exempt),
            *refusals.events(plan.refused, state.patience, now),
        ),
        needs=(
            *plan.needs,
            *_lists(state, plan, flags, now),
            *_counts(state, plan),
            *(map(needs.FindOwner, report.unknown_owners(state)) if state.report_kind and not settings.exempt else ()),
            *map(needs.FindAccount, reasons.ask),
        ),
        record=_remembered(state, plan, written),
        next_check=min((moment for moment in (plan.next_check, *reasons.moments) if moment is not None), default=None),
    )


def unchanged(plan: NamespacePlan) -> NamespacePlan:
    """Return the plan with the state of a namespace whose write failed: the state before that write."""
    namespace = plan.namespace
    relaxed = labels.GUARD in namespace.labels and level.level_of(namespace) is labels.Level.PRIVILEGED
    return replace(plan, enforcement=namespace.enforcement, relaxed=relaxed)


def deletes_job(
    state: snapshot.NamespaceSnapshot, template: snapshot.Pod | snapshot.UnreadablePod, now: datetime.datetime
) -> bool:
    """Return whether a Job is deleted with its expired pod: if the pods that the Job creates would be deleted too."""
    if isinstance(template, snapshot.UnreadablePod) or not template.host_namespaces:
        return False
    plan = plan_namespace(replace(state, pods=(template,)), now)
    return any(isinstance(effect, effects.DeletePod) for effect in plan.effects)


def _verdicts(
    state: snapshot.NamespaceSnapshot, standings: Sequence[validity.Standing], *, exempt: bool
) -> tuple[coverage.PodVerdict, ...]:
    ordered = sorted(state.pods, key=lambda pod: (pod.name, pod.uid))
    return tuple(coverage.judge(pod, standings, exempt=exempt) for pod in ordered)


def _namespace_record(
    plan: NamespacePlan,
    state: snapshot.NamespaceSnapshot,
    settings: level.Settings,
    decision: level.Decision,
    following: writes.Next,
    now: datetime.datetime,
) -> list[Effect]:
    """Return the effect that records the namespace in the ledger; none if the ledger has that record and is not about
    to store another.
    """
    if decision.ask is not None or state.ledger.state is ledger.State.UNREADABLE:
        return []
    stored = state.ledger.namespace or ledger.NamespaceRecord()
    changed_labels = following.write.labels if following.write is not None else {}
    chosen, under = selection.record(state, now)
    if decision.enforcement is None and not chosen:
        under = ""  # a namespace that is not governed needs no record
    warn = settings.pod_security.warn if settings.pod_security is not None else None
    wanted = ownership.record(state, plan.owned, settings.target, decision.enforcement, changed_labels, warn)
    held_fields = {"held": decision.since, **gate.holder_fields(state, stored, decision)}
    wanted = wanted.model_copy(update={**held_fields, "chosen": chosen, "under": under})
    new_record = None if wanted == ledger.NamespaceRecord() else wanted
    if new_record == state.ledger.namespace and all(record == new_record for record in state.ledger.coming):
        return []
    guard = under if (dict(chosen), under) != (dict(stored.chosen), stored.under) else ""
    return [effects.RecordNamespace(state.namespace, new_record, guard)]


def _remembered(
    state: snapshot.NamespaceSnapshot, plan: NamespacePlan, planned: Sequence[effects.WriteNamespace]
) -> snapshot.Record:
    """Return what the operator is to remember about the namespace. It remembers nothing of a partial plan: what a
    partial plan leaves alone may be wrong.
    """
    return contest.planned(state, plan.owned, plan.enforcement, planned, contested=plan.contested is not None)


def _reread(write: effects.WriteNamespace | None, plan: NamespacePlan) -> tuple[Need, ...]:
    """Return the exceptions to read again: those whose grants a write revokes for every version of the namespace."""
    if write is None or write.versioned:
        return ()
    prefix = labels.GRANT_PREFIX
    unreadable = {standing.exception.metadata.name for standing in plan.standings if not standing.readable}
    names = (key.removeprefix(prefix) for key in write.annotations if key.startswith(prefix))
    return tuple(needs.ReadException(name) for name in sorted(names) if name not in unreadable)


def _sure(plan: NamespacePlan) -> list[coverage.PodVerdict]:
    """Return the verdicts that no answer of the gate or the ledger changes.

    Once enforcement is on in a namespace, fewer exceptions may be in force than before, never more: a pod that is
    uncovered now is uncovered then. A pod that fits an exception which waits for its record will be covered.
    """
    waiting = [standing for standing in plan.standings if standing.waiting]
    in_force = coverage.Criterion.IN_FORCE
    return [
        verdict
        for verdict in plan.verdicts
        if verdict.verdict is not labels.Verdict.COVERED
        and not any(coverage.covers(standing, verdict.pod).failed is in_force for standing in waiting)
    ]


def _flags(verdicts: Sequence[coverage.PodVerdict], *, exempt: bool, gone: set[str]) -> list[Effect]:
    """Return the writes of the verdict labels that change, with the Events about the change. Each Event is emitted
    before its label is written, so that a crash between the two loses neither.
    """
    flags: list[Effect] = []
    for verdict in verdicts:
        pod, value = verdict.pod, verdict.verdict
        if pod.deleting or pod.uid in gone:
            continue
        if exempt and pod.verdict_label is not None:  # the label is from before the namespace became exempt
            flags.append(effects.WriteVerdict(pod.reference, None))
        if exempt:
            continue
        wanted = None if value is labels.Verdict.COVERED else value
        if pod.verdict_label == (wanted.value if wanted else None):
            continue
        flags.append(effects.WriteVerdict(pod.reference, wanted, messages.verdict_events(verdict)))
    return flags


def _statuses(
    state: snapshot.NamespaceSnapshot,
    judged: NamespacePlan,
    decision: level.Decision,
    why: Mapping[str, unused.Why | None],
    now: datetime.datetime,
) -> list[Effect]:
    status_writes: list[Effect] = []
    by_exception = coverage.by_exception((*judged.verdicts, *judged.plain))
    findings_by_exception: dict[str, list[Finding]] = {}
    for finding in judged.findings:
        findings_by_exception.setdefault(finding.subject.uid, []).append(finding)
    for standing in judged.standings:
        subject = standing.exception
        uid = subject.metadata.uid
        verdicts, its_findings = by_exception.get(uid, []), findings_by_exception.get(uid, [])
        if subject.metadata.deletion_timestamp is not None or not standing.readable:
            continue
        if uid in why and why[uid] is None:
            continue  # the operator asks for its service account first; the plan after that has a reason
        wanted = status.status_for(
            standing,
            state.namespace,
            verdicts,
            decision.enforcement,
            now,
            its_findings,
            why.get(uid),
            clock_trusted=state.clock_trusted,
            counted=not unused.unlisted(standing, state),
        )
        if wanted == subject.status:
            continue
        events = (*messages.standing_events(standing), *messages.finding_events(subject, its_findings, verdicts))
        status_writes.append(
            effects.WriteExceptionStatus(messages.reference(subject), wanted, () if judged.exempt else events)
        )
    return status_writes


def _next_check(
    state: snapshot.NamespaceSnapshot, judged: NamespacePlan, decision: level.Decision, now: datetime.datetime
) -> datetime.datetime | None:
    moments = [s.exception.spec.until for s in judged.standings if s.exception.spec.expiry is not None]
    moments += [moment for finding in judged.findings for moment in finding.moments]
    moments += [guard.settled for guard in state.guards.values() if guard.settled is not None]
    moments += [guard.excused for guard in state.guards.values() if guard.excused is not None]
    moments += [decision.again] if decision.again is not None else []
    moments += contest.moments(state, now)
    if judged.contested is not None and state.gate is not None:  # what the gate allowed is not written during a contest
        moments.append(state.gate.asked + level.GATE_AGAIN)
    ends_of_grace = [verdict.pod.to_be_gone for verdict in judged.verdicts if verdict.verdict is labels.Verdict.EXPIRED]
    moments += [moment + status.OVERDUE for moment in ends_of_grace if moment is not None]
    return min((moment for moment in moments if moment > now), default=None)


def _counts(state: snapshot.NamespaceSnapshot, plan: NamespacePlan) -> tuple[Need, ...]:
    """Return the earliest moment at which a list of every pod could show that an exception covers other pods, if there
    is such a moment.
    """
    listed = state.every_pod_listed
    if listed is None:
        return ()
    by_exception = coverage.by_exception((*plan.verdicts, *plan.plain))
    moments = []
    for standing in plan.standings:
        if unused.unlisted(standing, state):
            moments.append(listed + LOOK_AGAIN)
        if standing.in_force:
            moments += unused.lists(standing, listed, covers=bool(by_exception.get(standing.exception.metadata.uid)))
    return tuple(map(needs.CountPods, sorted(moment for moment in moments if moment > listed)[:1]))


def _lists(
    state: snapshot.NamespaceSnapshot, plan: NamespacePlan, flags: Sequence[Effect], now: datetime.datetime
) -> tuple[Need, ...]:
    """Return the earliest moment that requires a list of every pod and that no list has covered yet, if there is such a
    moment.
    """
    listed = now if state.every_pod_listed is None else state.every_pod_listed
    moments = []
    for standing in plan.standings:
        spec = standing.exception.spec
        if standing.expired and set(spec.host_namespaces) != {labels.HostNamespace.NETWORK}:
            moments.append(spec.until)  # its pods may have been created since the last list, and no watch reports them
        if standing.expired and spec.deletes:
            moments.append(spec.until + LOOK_AGAIN)
    unwatched = [pod for pod in state.pods if not pod.watched]
    for pod in unwatched:
        if pod.to_be_gone is not None:  # no watch will report that the pod is removed
            removed = pod.to_be_gone + _GONE
            moments.append(removed if removed > listed else listed + LOOK_AGAIN)
    unwatched_uids = {pod.uid for pod in unwatched}
    if listed + LOOK_AGAIN < now and any(
        isinstance(e, effects.WriteVerdict) and e.pod.uid in unwatched_uids for e in flags
    ):
        moments.append(now)  # such a pod may have been removed an hour ago, and no Event is about a pod that is removed
    return tuple(map(needs.ListPods, sorted(moment for moment in moments if moment > listed)[:1]))
