"""The plan for one namespace: everything that the operator is to do there now, and when it is to plan again.

The same function plans for every event, for the CLI and for tests. A plan is a function of the snapshot and the time
alone. So once a plan has been carried out, a new snapshot yields an empty plan.

Most of a namespace stays as it is from plan to plan. So a plan takes over what an earlier plan found from equal inputs
(decide/ground, decide/trail), and judges pods that are alike together. The cost of a change does not depend on how many
pods the namespace has.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, TypeVar

from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import (
    coverage,
    deletion,
    effects,
    findings,
    gathering,
    ground,
    level,
    messages,
    needs,
    ownership,
    refusals,
    report,
    snapshot,
    status,
    trail,
    unused,
    validity,
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
    `judged` has one verdict on all pods that are alike. `found` has the findings by uid of the exception. `plain` says
    which exceptions cover pods without host namespaces: these pods are counted and have no verdict. `calm` has
    the kinds of pods (snapshot.kind) of which one more or one less changes only numbers. `kept` is for the next plan of
    the namespace.
    """

    namespace: snapshot.Namespace
    exempt: bool = field(kw_only=True)
    enforcement: labels.Enforcement | None
    relaxed: bool = field(kw_only=True)
    judged: tuple[coverage.PodVerdict, ...]
    standings: tuple[validity.Standing, ...]
    owned: ownership.Owned
    unreadable: int = 0
    found: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
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
    calm: frozenset[tuple[object, ...]] = frozenset()
    kept: trail.Trail | None = field(default=None, compare=False, repr=False)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings about all exceptions, in the order of the names of the exceptions."""
        uids = (standing.exception.metadata.uid for standing in self.standings)
        return tuple(finding for uid in uids for finding in self.found.get(uid, ()))

    @property
    def verdicts(self) -> tuple[coverage.PodVerdict, ...]:
        """A verdict for each pod, in the order of the pod names."""
        return coverage.each(self.judged)

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


def plan_namespace(
    state: snapshot.NamespaceSnapshot, now: datetime.datetime, previous: NamespacePlan | None = None
) -> NamespacePlan:
    """Return the plan for one namespace at `now`, which is the API server's time.

    `previous` is an earlier plan for the same namespace. It makes this plan faster and never different.
    """
    before = previous.kept if previous is not None else None
    found = before.ground if before is not None and before.ground.lasts(state, now) else ground.of(state, now)
    new_trail = trail.Trail(found, now, before)
    plan = _Planner(found, state, now, new_trail).plan()
    new_trail.end()
    return plan


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
    plan = plan_namespace(replace(state, pods=snapshot.PodSet.of([template])), now)
    return any(isinstance(effect, effects.DeletePod) for effect in plan.effects)


class _Noted(NamedTuple):
    """The findings about an exception; from `until` on they may be others. They last until then if `lasts`."""

    findings: tuple[Finding, ...]
    until: datetime.datetime | None
    lasts: bool


def _first(noted: Mapping[str, _Noted]) -> datetime.datetime | None:
    return min((each.until for each in noted.values() if each.until is not None), default=None)


def _lasting(noted: Mapping[str, _Noted]) -> bool:
    return all(each.lasts for each in noted.values())


class _Planner:
    """Makes one plan. What it finds about a part of the namespace, it finds by way of the trail."""

    def __init__(
        self,
        found: ground.Ground,
        state: snapshot.NamespaceSnapshot,
        now: datetime.datetime,
        new_trail: trail.Trail,
    ) -> None:
        kept = found.state
        self.ground = found
        self.state = replace(state, exceptions=kept.exceptions, unreadable_exceptions=kept.unreadable_exceptions)
        self.now = now
        self.trail = new_trail
        self.exempt = found.settings.exempt
        self.judged = tuple(verdict for alike in state.pods.groups for verdict in self._judge(alike))
        self.traits = [snapshot.traits(verdict.pod) for verdict in self.judged]
        self.plain = new_trail.find("plain", (state.plain_pods,), self._judge_plain)
        self.all = (*self.judged, *self.plain)
        self.by_exception = coverage.by_exception(self.all)
        standings = [standing for standing in found.standings if standing.readable]  # the ledger has only the terms
        self.used = tuple(standing for standing in standings if standing.exception.metadata.uid in self.by_exception)
        self.unused = tuple(s for s in standings if s.exception.metadata.uid not in self.by_exception)
        self.noted_unused = new_trail.find("unused", (self.unused,), self._note_unused, until=_first, keep=_lasting)
        self.noted = {
            **self.noted_unused,
            **{standing.exception.metadata.uid: self._note(standing) for standing in self.used},
        }
        self.refused = refusals.find(self.state, found.standings, now, exempt=self.exempt)

    def plan(self) -> NamespacePlan:
        state, found, now = self.state, self.ground, self.now
        deletes = deletion.deletes(state, found.decision.enforcement, self.judged, now)
        gone = {effect.pod.uid for effect in deletes}
        written = () if found.write is None else (found.write,)
        plan = NamespacePlan(
            state.namespace,
            found.decision.enforcement,
            self.judged,
            found.standings,
            found.owned,
            len(state.unreadable_pods),
            {uid: noted.findings for uid, noted in self.noted.items()},
            exempt=self.exempt,
            relaxed=found.relaxed,
            urgent=(*found.records, *written, *deletes),
            needs=found.needs,
            record=found.record,
            next_check=self._next_check(),
            partial=found.partial,
            contested=found.contested,
            refused=self.refused,
            refused_complete=refusals.complete(state, now, exempt=self.exempt),
            plain=self.plain,
            tops=state.tops,
            kept=self.trail,
        )
        if state.namespace.terminating:
            # Only the pods matter: the user who deleted the namespace may have given them a grace period of years. What
            # the exceptions say about the end of these pods is recorded before the exceptions are removed.
            flags = _flags(self._sure(), exempt=self.exempt, gone=gone)
            return replace(plan, deferrable=tuple(flags), needs=self._lists(flags))
        if plan.partial:
            return replace(plan, deferrable=tuple(_flags(self._sure(), exempt=self.exempt, gone=gone)))
        return self._with_reports(plan, _flags(self.judged, exempt=self.exempt, gone=gone))

    def _with_reports(self, plan: NamespacePlan, flags: Sequence[Effect]) -> NamespacePlan:
        """Return the plan with everything that people are told, and with what the operator must ask for that."""
        state, now = self.state, self.now
        if not state.pods_complete:
            # A status and a report without the pods that no watch reports would take back what the process before this
            # one has told.
            return replace(plan, deferrable=tuple(flags), calm=self._calm())
        reasons = self._reasons()
        reports = report.changes(state, self.judged, plan.found, self.refused, exempt=self.exempt, find=self.trail.find)
        numbers = gathering.due((*self._statuses(reasons.why), *reports), state.written, now)
        owners = report.unknown_owners(state) if state.report_kind and not self.exempt else ()
        moments = (plan.next_check, *reasons.moments, *numbers.moments)
        return replace(
            plan,
            deferrable=(*flags, *numbers.effects, *refusals.events(self.refused, state.patience, now)),
            needs=(
                *plan.needs,
                *self._lists(flags),
                *self._counts(),
                *map(needs.FindOwner, owners),
                *map(needs.FindAccount, reasons.ask),
            ),
            next_check=min((moment for moment in moments if moment is not None), default=None),
            calm=self._calm(),
        )

    def _calm(self) -> frozenset[tuple[object, ...]]:
        """Return the kinds of pods for which nothing is due, which have the same verdict whatever their age, and which
        share their report.
        """
        kinds: dict[tuple[object, ...], set[labels.Verdict]] = {}
        unrest = set()
        for verdict in self.judged:
            kind = snapshot.kind(verdict.pod)
            kinds.setdefault(kind, set()).add(verdict.verdict)
            own_report = report.top_owner(verdict.pod, self.state.tops).uid == verdict.pod.uid
            if own_report or verdict.verdict is labels.Verdict.EXPIRED or not _flagged(verdict, exempt=self.exempt):
                unrest.add(kind)
        return frozenset(kind for kind, verdicts in kinds.items() if len(verdicts) == 1 and kind not in unrest)

    # -- what is found about a part of the namespace ----------------------------------------------------------------

    def _judge(self, alike: snapshot.AlikePods) -> tuple[coverage.PodVerdict, ...]:
        candidates, exempt = self.ground.candidates, self.exempt
        return self.trail.find(alike, (), lambda: coverage.judge_alike(alike, candidates, exempt=exempt))

    def _judge_plain(self) -> tuple[coverage.PodVerdict, ...]:
        return coverage.plain(self.state.plain_pods, self.ground.standings, self.ground.settings.target)

    def _note(self, standing: validity.Standing) -> _Noted:
        uid = standing.exception.metadata.uid
        verdicts = self.by_exception[uid]
        return self.trail.find(
            ("findings", uid), trail.identity(verdicts), lambda: self._find(standing, verdicts), until=lambda n: n.until
        )

    def _note_unused(self) -> Mapping[str, _Noted]:
        return {standing.exception.metadata.uid: self._find(standing, ()) for standing in self.unused}

    def _find(self, standing: validity.Standing, verdicts: Sequence[coverage.PodVerdict]) -> _Noted:
        found = findings.find(standing, verdicts, self.state, self.now, exempt=self.exempt)
        until = min((m for finding in found for m in finding.moments if m > self.now), default=None)
        # An exception that has just lost its last pod was last used now, until its status says when.
        lasts = bool(coverage.covered(verdicts)) or not standing.exception.status.covered_pods
        return _Noted(found, until, lasts)

    def _reasons(self) -> unused.Reasons:
        """Return why exceptions cover nothing. That depends on what the pods are like, and not on their number."""
        plain = ((snapshot.traits(v.pod), v.verdict, v.why) for v in self.plain)
        likes = frozenset((*zip(self.traits, ((v.verdict, v.why) for v in self.judged), strict=True), *plain))
        return self.trail.find(
            "reasons",
            (likes, *(uid for uid in self.by_exception)),
            lambda: unused.reasons(self.state, self.ground.standings, self.all, self.now),
            until=lambda reasons: reasons.until,
        )

    def _statuses(self, why: Mapping[str, unused.Why | None]) -> list[Effect]:
        """Return the statuses to write."""
        of_unused = self.trail.find(
            "unused statuses",
            (self.unused, why, self.noted_unused),
            lambda: [effect for standing in self.unused if (effect := self._status(standing, why)) is not None],
            keep=lambda effects: not effects,
        )
        of_used = (self._status_of_used(standing, why) for standing in self.used)
        return [*of_unused, *(effect for effect in of_used if effect is not None)]

    def _status_of_used(
        self, standing: validity.Standing, why: Mapping[str, unused.Why | None]
    ) -> effects.WriteExceptionStatus | None:
        uid = standing.exception.metadata.uid
        verdicts = self.by_exception[uid]
        # The pods of an ended exception have times of their own.
        ends = any(verdict.verdict is labels.Verdict.EXPIRED for verdict in verdicts)
        return self.trail.find(
            ("status", uid),
            (self.noted[uid].findings, why.get(uid), *trail.identity(verdicts)),
            lambda: self._status(standing, why),
            keep=lambda effect: effect is None and not ends,  # a status has the time of its change
        )

    def _status(
        self, standing: validity.Standing, why: Mapping[str, unused.Why | None]
    ) -> effects.WriteExceptionStatus | None:
        """Return the status to write; None if the present status is right, or if the operator must ask first."""
        subject = standing.exception
        uid = subject.metadata.uid
        verdicts, its_findings = self.by_exception.get(uid, []), self.noted[uid].findings
        if subject.metadata.deletion_timestamp is not None:
            return None
        if uid in why and why[uid] is None:
            return None  # the operator asks for its service account first; the plan after that has a reason
        wanted = status.status_for(
            standing,
            self.state.namespace,
            verdicts,
            self.ground.decision.enforcement,
            self.now,
            its_findings,
            why.get(uid),
            clock_trusted=self.state.clock_trusted,
            counted=not unused.unlisted(standing, self.state),
        )
        if wanted == subject.status:
            return None
        events = (*messages.standing_events(standing), *messages.finding_events(subject, its_findings, verdicts))
        return effects.WriteExceptionStatus(messages.reference(subject), wanted, () if self.exempt else events)

    # -- what the plan is put together from -------------------------------------------------------------------------

    def _sure(self) -> list[coverage.PodVerdict]:
        """Return the verdicts that no answer of the gate or the ledger changes.

        Once enforcement is on in a namespace, fewer exceptions may be in force than before, never more: a pod that is
        uncovered now is uncovered then. A pod that fits an exception which waits for its record will be covered.
        """
        waiting = [standing for standing in self.ground.standings if standing.waiting]
        in_force = coverage.Criterion.IN_FORCE
        return [
            verdict
            for verdict in self.judged
            if verdict.verdict is not labels.Verdict.COVERED
            and not any(coverage.covers(standing, verdict.pod).failed is in_force for standing in waiting)
        ]

    def _next_check(self) -> datetime.datetime | None:
        moments = [self.ground.next_check] if self.ground.next_check is not None else []
        moments += [noted.until for noted in self.noted.values() if noted.until is not None]
        expired = (verdict for verdict in self.judged if verdict.verdict is labels.Verdict.EXPIRED)
        ends_of_grace = (pod.to_be_gone for verdict in expired for pod in verdict.pods)
        moments += [moment + status.OVERDUE for moment in ends_of_grace if moment is not None]
        return min((moment for moment in moments if moment > self.now), default=None)

    def _counts(self) -> tuple[Need, ...]:
        """Return the earliest moment at which a list of every pod could show that an exception covers other pods, if
        there is such a moment.
        """
        return self.trail.find("counts", (tuple(self.by_exception),), self._next_count)

    def _next_count(self) -> tuple[Need, ...]:
        state = self.state
        listed = state.every_pod_listed
        if listed is None:
            return ()
        moments = []
        for standing in self.ground.standings:
            if unused.unlisted(standing, state):
                moments.append(listed + LOOK_AGAIN)
            if standing.in_force:
                covers = bool(self.by_exception.get(standing.exception.metadata.uid))
                moments += unused.lists(standing, listed, covers=covers)
        return tuple(map(needs.CountPods, sorted(moment for moment in moments if moment > listed)[:1]))

    def _lists(self, flags: Sequence[Effect]) -> tuple[Need, ...]:
        """Return the earliest moment that requires a list of every pod and that no list has covered yet, if there is
        such a moment.
        """
        now = self.now
        listed = now if self.state.every_pod_listed is None else self.state.every_pod_listed
        moments = []
        for standing in self.ground.standings:
            spec = standing.exception.spec
            if standing.expired and set(spec.host_namespaces) != {labels.HostNamespace.NETWORK}:
                moments.append(spec.until)  # its pods may have been created since the last list; no watch reports them
            if standing.expired and spec.deletes:
                moments.append(spec.until + LOOK_AGAIN)
        unwatched = [alike for alike in self.state.pods.groups if not alike.first.watched]
        for pod in (pod for alike in unwatched if alike.first.deleting for pod in alike):
            if pod.to_be_gone is not None:  # no watch will report that the pod is removed
                removed = pod.to_be_gone + _GONE
                moments.append(removed if removed > listed else listed + LOOK_AGAIN)
        if unwatched and listed + LOOK_AGAIN < now:
            uids = {pod.uid for alike in unwatched for pod in alike}
            if any(isinstance(e, effects.WriteVerdict) and e.pod.uid in uids for e in flags):
                moments.append(now)  # such a pod may have been removed an hour ago; no Event is about a removed pod
        return tuple(map(needs.ListPods, sorted(moment for moment in moments if moment > listed)[:1]))


def _flags(verdicts: Iterable[coverage.PodVerdict], *, exempt: bool, gone: set[str]) -> list[Effect]:
    """Return the writes of the verdict labels that change, with the Events about the change. Each Event is emitted
    before its label is written, so that a crash between the two loses neither.
    """
    flags: list[Effect] = []
    due = (v for v in verdicts if not v.pod.deleting and not _flagged(v, exempt=exempt))
    for verdict in coverage.each(due):
        if verdict.pod.uid in gone:
            continue
        if exempt:  # the label is from before the namespace became exempt
            flags.append(effects.WriteVerdict(verdict.pod.reference, None))
            continue
        flags.append(
            effects.WriteVerdict(verdict.pod.reference, _label(verdict, exempt=False), messages.verdict_events(verdict))
        )
    return flags


def _flagged(verdict: coverage.PodVerdict, *, exempt: bool) -> bool:
    """Return whether pods have the verdict label that they should have."""
    wanted = _label(verdict, exempt=exempt)
    return verdict.pod.verdict_label == (wanted.value if wanted else None)


def _label(verdict: coverage.PodVerdict, *, exempt: bool) -> labels.Verdict | None:
    return None if exempt or verdict.verdict is labels.Verdict.COVERED else verdict.verdict
