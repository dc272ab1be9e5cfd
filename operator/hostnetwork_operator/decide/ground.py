"""What a plan rests on besides the pods of the namespace: how the namespace is governed, and the exceptions in force.

Pods come and go by the thousand, and everything else in a namespace changes rarely. So a plan takes over the ground of
the plan before, if that ground is still what it would be now: made from equal inputs, with nothing left to do, and
before the first moment at which time alone could change it. Then the cost of a pod does not depend on how many
exceptions the namespace has.
"""

import datetime
import operator
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Final

from hostnetwork_operator.api import labels, ledger
from hostnetwork_operator.decide import (
    approval,
    contest,
    coverage,
    effects,
    gate,
    grants,
    level,
    needs,
    ownership,
    selection,
    snapshot,
    validity,
    writes,
)
from hostnetwork_operator.decide.effects import Effect
from hostnetwork_operator.decide.needs import Need

# What no part of a ground depends on.
_OF_PODS: Final = frozenset(
    {"pods", "plain_pods", "unreadable_pods", "reports", "written", "tops", "shortages", "shortages_complete"}
)
_INPUTS: Final[Callable[[snapshot.NamespaceSnapshot], tuple[object, ...]]] = operator.attrgetter(
    *(each.name for each in fields(snapshot.NamespaceSnapshot) if each.name not in _OF_PODS)
)


@dataclass(frozen=True, slots=True)
class Ground:
    """How a namespace is governed at `made`, and what is to be done about that.

    `state` is the snapshot with the exceptions that count: in a namespace that is being deleted, those of the ledger.
    `records` and `write` are the urgent effects, in this order. `needs` and `partial` are those of the plan.
    `next_check` is the earliest moment at which the ground could differ although nothing has changed.
    """

    inputs: tuple[object, ...]
    made: datetime.datetime
    state: snapshot.NamespaceSnapshot
    settings: level.Settings
    owned: ownership.Owned
    decision: level.Decision
    standings: tuple[validity.Standing, ...]
    candidates: coverage.Candidates
    relaxed: bool = field(kw_only=True)
    contested: datetime.datetime | None = None
    records: tuple[Effect, ...] = ()
    write: effects.WriteNamespace | None = None
    needs: tuple[Need, ...] = ()
    partial: bool = field(default=False, kw_only=True)
    record: snapshot.Record = field(default_factory=snapshot.Record)
    next_check: datetime.datetime | None = None

    @property
    def waiting(self) -> bool:
        """Whether an exception waits for its record."""
        return any(standing.waiting for standing in self.standings)

    def lasts(self, state: snapshot.NamespaceSnapshot, now: datetime.datetime) -> bool:
        """Return whether the ground of this snapshot at `now` is this one."""
        return (
            not (self.records or self.write or self.needs or self.partial or self.contested)
            and len(self.state.exceptions) <= approval.MOST  # which of more are judged depends on the time
            and self.made <= now
            and (self.next_check is None or now < self.next_check)
            and self.inputs == _INPUTS(state)
        )


def of(state: snapshot.NamespaceSnapshot, now: datetime.datetime) -> Ground:
    """Return the ground of a snapshot at `now`, which is the API server's time."""
    inputs = _INPUTS(state)
    # Nothing here can depend on a pod, and a ground that lasts for days keeps no pod in memory.
    state = replace(state, pods=snapshot.NO_PODS, plain_pods=snapshot.NO_PODS, unreadable_pods=(), reports=(), tops={})
    namespace = state.namespace
    if namespace.terminating:
        state = approval.ending(state, "the exception is deleted with its namespace")
    elif not state.exceptions_served:
        state = approval.ending(state, "the API server does not serve HostNetworkExceptions")
    settings = selection.settings(state)
    rulings = approval.rulings(state, now)
    owned = ownership.owned(state)
    decision = level.decide(state, settings, gate.names(gate.excepted(state, now)), now)
    recorded = state.ledger.namespace is not None and state.ledger.namespace.enforced
    standings, relaxed = grants.withhold(
        state, owned, settings, decision, validity.standings(state, rulings, now), now, recorded=recorded
    )
    ground = Ground(
        inputs,
        now,
        state,
        settings,
        owned,
        decision,
        standings,
        coverage.Candidates(standings),
        relaxed=relaxed,
        contested=contest.ends(state.record, now),
        records=tuple(ruling.record for _, ruling in sorted(rulings.items()) if ruling.record is not None),
        record=state.record,
    )
    ground = replace(ground, next_check=_next_check(ground, now))
    if namespace.terminating:
        return replace(ground, record=_remembered(ground, ()))
    return _with_writes(ground, now)


def _with_writes(ground: Ground, now: datetime.datetime) -> Ground:
    state, decision = ground.state, ground.decision
    following = writes.Next()
    if decision.ask is None:
        following = writes.following(
            state, ground.owned, ground.settings, decision, ground.standings, now, relaxed=ground.relaxed
        )
    adopted = _namespace_record(ground, following, now)
    write = following.write
    if write is not None and adopted and not state.ledger.trouble and not writes.revokes(write):
        # The process may end after the write. By then the ledger must have the level before, and which labels are ours.
        write = None
    partial = decision.ask is not None or following.more or write is not following.write or ground.waiting
    asked = () if decision.ask is None or ground.waiting else (needs.AskGate(decision.ask),)
    return replace(
        ground,
        records=(*ground.records, *adopted),
        write=write,
        needs=(*_reread(write, ground), *asked),
        partial=partial,
        # The operator remembers nothing of a partial plan: what a partial plan leaves alone may be wrong.
        record=state.record if partial else _remembered(ground, () if write is None else (write,)),
    )


def _namespace_record(ground: Ground, following: writes.Next, now: datetime.datetime) -> list[Effect]:
    """Return the effect that records the namespace in the ledger; none if the ledger has that record and is not about
    to store another.
    """
    state, settings, decision = ground.state, ground.settings, ground.decision
    if decision.ask is not None or state.ledger.state is ledger.State.UNREADABLE:
        return []
    stored = state.ledger.namespace or ledger.NamespaceRecord()
    changed_labels = following.write.labels if following.write is not None else {}
    chosen, under = selection.record(state, now)
    if decision.enforcement is None and not chosen:
        under = ""  # a namespace that is not governed needs no record
    warn = settings.pod_security.warn if settings.pod_security is not None else None
    wanted = ownership.record(state, ground.owned, settings.target, decision.enforcement, changed_labels, warn)
    held_fields = {"held": decision.since, **gate.holder_fields(state, stored, decision)}
    wanted = wanted.model_copy(update={**held_fields, "chosen": chosen, "under": under})
    new_record = None if wanted == ledger.NamespaceRecord() else wanted
    if new_record == state.ledger.namespace and all(record == new_record for record in state.ledger.coming):
        return []
    guard = under if (dict(chosen), under) != (dict(stored.chosen), stored.under) else ""
    return [effects.RecordNamespace(state.namespace, new_record, guard)]


def _remembered(ground: Ground, planned: tuple[effects.WriteNamespace, ...]) -> snapshot.Record:
    """Return what the operator is to remember about the namespace."""
    return contest.planned(
        ground.state, ground.owned, ground.decision.enforcement, planned, contested=ground.contested is not None
    )


def _reread(write: effects.WriteNamespace | None, ground: Ground) -> tuple[Need, ...]:
    """Return the exceptions to read again: those whose grants a write revokes for every version of the namespace."""
    if write is None or write.versioned:
        return ()
    prefix = labels.GRANT_PREFIX
    unreadable = {standing.exception.metadata.name for standing in ground.standings if not standing.readable}
    names = (key.removeprefix(prefix) for key in write.annotations if key.startswith(prefix))
    return tuple(needs.ReadException(name) for name in sorted(names) if name not in unreadable)


def _next_check(ground: Ground, now: datetime.datetime) -> datetime.datetime | None:
    state, decision = ground.state, ground.decision
    moments = [s.exception.spec.until for s in ground.standings if s.exception.spec.expiry is not None]
    moments += [guard.settled for guard in state.guards.values() if guard.settled is not None]
    moments += [guard.excused for guard in state.guards.values() if guard.excused is not None]
    moments += [decision.again] if decision.again is not None else []
    moments += contest.moments(state, now)
    if ground.contested is not None and state.gate is not None:  # what the gate allowed is not written during a contest
        moments.append(state.gate.asked + level.GATE_AGAIN)
    return min((moment for moment in moments if moment > now), default=None)
