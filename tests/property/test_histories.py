"""Properties of every history of one namespace: writes by users, missing policies, and events that the operator misses.

The simulated world knows the truth: who wrote which generation of an exception, and which policies were in force at
that moment. The operator learns of changes late or in time, keeps its ledger, and carries out its plans.
"""

import datetime
from dataclasses import replace
from typing import Any

import hypothesis
from hypothesis import strategies as st

from hostnetwork_operator.api import conditions, exception, labels, ledger
from hostnetwork_operator.decide import contest, coverage, effects, plan, snapshot, validity
from tests.property import cluster
from tests.unit import builders

_WRITERS = labels.POLICY_EXCEPTION_WRITERS
_POLICIES: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"mode": "Audit"},
    {"exceptions": {"imageDigests": "Require"}},
    {"rollout": "Gated"},
)
# The API server enforces an admission policy about a second after its creation (measured).
_IN_FORCE = datetime.timedelta(seconds=1)


class World:
    """A namespace with one pod of each of two kinds, and an operator that watches it."""

    def __init__(self) -> None:
        self.now = builders.NOW
        self.number = 0
        self.guards = builders.guards(since=self.now - datetime.timedelta(minutes=1))
        self.exceptions: dict[str, exception.HostNetworkException] = {}
        self.approved: dict[str, bool] = {}  # uid to whether an approver wrote the present generation
        self.proved: dict[str, bool] = {}  # and whether that can be proved; a loss may end that
        self.pods = {name: self._pod(name, image) for name, image in (("one", builders.IMAGE), ("two", "other:1"))}
        self.namespace = builders.denied(created=self.now - datetime.timedelta(hours=1))
        self.policy = builders.governed()
        self.ledger = builders.recorded(self.namespace)
        self.memory = snapshot.Record()
        self.stopped = False
        self.granted = self.deleted = self.refused = 0
        self.missed: dict[str, exception.HostNetworkException] | None = None  # what the operator's watch shows instead
        self.stale_guards: dict[str, snapshot.Guard] | None = None

    # -- actions of users -------------------------------------------------------------------------------------------

    def create(self, name: str, kind: str, minutes: int, both: bool, tenant: bool) -> None:
        """Create an exception: as an approver at any time, as a tenant only while the policy does not refuse it."""
        if name in self.exceptions or (tenant and self._refuses_tenants):
            return
        self.number += 1
        expiry = {} if kind == "Infrastructure" else {"expiry": self.now + datetime.timedelta(minutes=minutes)}
        subject = builders.hne(
            name,
            metadata={"uid": f"uid-{self.number}", "creation_timestamp": self.now.replace(microsecond=0)},
            type=kind,
            images=(builders.IMAGE, "other:1") if both else (builders.IMAGE,),
            **expiry,
        )
        self.exceptions[name] = subject
        self._note_approval(subject, tenant=tenant)

    def change(self, name: str, minutes: int, tenant: bool) -> None:
        """Move the expiry of an exception; the API server raises the generation."""
        subject = self.exceptions.get(name)
        if subject is None or (tenant and self._refuses_tenants):
            return
        new_expiry = {"expiry": (self.now + datetime.timedelta(minutes=minutes)).replace(microsecond=0)}
        new_generation = {"generation": subject.metadata.generation + 1}
        self.exceptions[name] = subject.model_copy(
            update={
                "spec": subject.spec.model_copy(update=new_expiry),
                "metadata": subject.metadata.model_copy(update=new_generation),
            }
        )
        self._note_approval(subject, tenant=tenant)

    def _note_approval(self, subject: exception.HostNetworkException, *, tenant: bool) -> None:
        self.approved[subject.metadata.uid] = not tenant
        self.proved[subject.metadata.uid] = not tenant and self.guards[_WRITERS].counts(self.now)

    def remove(self, name: str) -> None:
        self.exceptions.pop(name, None)

    def label(self, level: str | None) -> None:
        """Set the level: a tenant tightens it, or a user with setlevel removes it."""
        other_labels = {key: value for key, value in self.namespace.labels.items() if key != labels.PSA_ENFORCE}
        self.namespace = replace(self.namespace, labels=other_labels | ({labels.PSA_ENFORCE: level} if level else {}))

    def disturb(self, name: str, tenant: bool) -> None:
        """Remove a policy; a tenant who waits for that writes immediately."""
        self.guards[name] = snapshot.Guard(name, None, "missing")
        if tenant and name == _WRITERS:
            self.change("a", 30, tenant=True)
            self.create("b", "Infrastructure", 30, both=True, tenant=True)

    def repair(self, seconds: int) -> None:
        """Create every missing policy again, with another identity.

        An approval that is not recorded by now can no longer be proved.
        """
        for name, guard in self.guards.items():
            if guard.since is None and name == _WRITERS:
                self._forget()
            if guard.since is None:
                self.number += 1
                self.guards[name] = snapshot.Guard(name, self.now, identity=f"identity-{self.number}")
        self.wait(seconds)

    def _forget(self) -> None:
        for subject in self.exceptions.values():
            record = self.ledger.exceptions.get(subject.metadata.uid)
            is_current = record is not None and record.generation == subject.metadata.generation
            self.proved[subject.metadata.uid] &= (
                is_current and record is not None and (record.approved or record.doubted)
            )

    def govern(self, spec: dict[str, Any]) -> None:
        self.policy = builders.governed(**spec)

    def wait(self, seconds: int) -> None:
        self.now += datetime.timedelta(seconds=seconds)

    # -- faults of the operator -------------------------------------------------------------------------------------

    def trouble(self, trouble: bool) -> None:
        """Make the ledger writable or not writable."""
        self.ledger = replace(self.ledger, trouble="forbidden" if trouble else "")

    def lose(self, state: ledger.State) -> None:
        """Delete the ledger and restart the operator, which may or may not know that there was a ledger."""
        self.ledger, self.memory = snapshot.LedgerView(state=state, trouble=self.ledger.trouble), snapshot.Record()
        settled = self.guards[_WRITERS].settled
        for subject in self.exceptions.values() if state is not ledger.State.LOST else ():
            since_then = settled is not None and subject.metadata.creation_timestamp >= settled
            self.proved[subject.metadata.uid] &= since_then

    def lag(self) -> None:
        """Stop the watches of exceptions and policies."""
        self.missed, self.stale_guards = dict(self.exceptions), dict(self.guards)

    def catch_up(self, which: str) -> None:
        """Resume one or both watches, in any order."""
        self.missed = self.missed if which == "policies" else None
        self.stale_guards = self.stale_guards if which == "exceptions" else None

    def stop(self, stopped: bool) -> None:
        """Stop or start the operator."""
        self.stopped = stopped

    def reconcile(self) -> None:
        """Let the operator plan and act a few times, as after each of its own writes."""
        for _ in range(0 if self.stopped else 3):
            self._reconcile_once()

    def _reconcile_once(self) -> None:
        namespace_plan = plan.plan_namespace(self._state(), self.now)
        self.refused += any(standing.reason is conditions.Ready.NOT_APPROVED for standing in namespace_plan.standings)
        for record in builders.records(namespace_plan):
            self._record(record)
        memory = namespace_plan.record
        for effect in namespace_plan.effects:
            if isinstance(effect, effects.WriteNamespace):
                self._write(effect)
                memory = contest.written(memory, effect, self.now)
            elif isinstance(effect, effects.DeletePod):
                self._delete(effect)
        self.memory = memory

    def _state(self, *, live: bool = False) -> snapshot.NamespaceSnapshot:
        exceptions = self.exceptions if live or self.missed is None else self.missed
        return builders.seen(
            *self.pods.values(),
            *exceptions.values(),
            namespace=self.namespace,
            policy=self.policy,
            guards=dict(self.guards if self.stale_guards is None else self.stale_guards),
            ledger=self.ledger,
            record=self.memory,
            gate=snapshot.GateAnswer(labels.Level.BASELINE, self.now),
        )

    def _record(self, effect: effects.RecordException | effects.RecordNamespace) -> None:
        """Record as control/bookkeeping does: first read again what the record depends on."""
        if self.ledger.trouble:
            return
        if isinstance(effect, effects.RecordException):
            if effect.guard and effect.guard != self.guards[_WRITERS].identity:
                self.stale_guards = None
                return
            live = {subject.metadata.uid: subject for subject in self.exceptions.values()}.get(effect.subject.uid)
            if effect.reread and (live is None or live.metadata.generation != effect.record.generation):
                self.missed = None
                return
        namespace_plan = replace(plan.plan_namespace(self._state(), self.now), urgent=(effect,), deferrable=())
        self.ledger = builders.stored(self._state(), namespace_plan).ledger

    def _write(self, write: effects.WriteNamespace) -> None:
        self.namespace = cluster.carry_out(self._state(), _plan_with(self._state(), self.now, write)).namespace
        for key, line in write.annotations.items():
            name = key.removeprefix(labels.GRANT_PREFIX)
            if line is None or name == key:
                continue
            subject = (self.exceptions if self.missed is None else self.missed)[name]
            self.granted += 1
            live_subject = self.exceptions.get(name)
            newest = live_subject is not None and live_subject.metadata == subject.metadata
            assert self.approved[subject.metadata.uid] or not newest, f"{name} was granted, and nobody approved it"

    def _delete(self, effect: effects.DeletePod) -> None:
        """Delete as act/pods does: re-evaluate with the live objects first."""
        live_plan = plan.plan_namespace(self._state(live=True), self.now)
        if not any(isinstance(other, effects.DeletePod) and other.pod == effect.pod for other in live_plan.effects):
            return
        self.deleted += 1
        pod = self.pods.pop(effect.pod.name)
        for subject in self.exceptions.values():
            ended = subject.spec.until <= self.now
            standing = validity.Standing(subject, conditions.Ready.INVALID, "withheld")
            fits = coverage.covers(standing, pod).failed is coverage.Criterion.IN_FORCE
            assert ended or not fits or not self.proved[subject.metadata.uid], f"{pod.name} fits {subject}"

    def _pod(self, name: str, image: str) -> snapshot.Pod:
        return builders.pod(name, created=self.now - datetime.timedelta(minutes=1), images=frozenset({image}))

    def run(self, name: str) -> None:
        """Create the pod if it does not exist."""
        image = builders.IMAGE if name == "one" else "other:1"
        self.pods.setdefault(name, builders.pod(name, created=self.now, images=frozenset({image})))

    @property
    def _refuses_tenants(self) -> bool:
        """Return whether exception-writers would refuse a tenant now."""
        since = self.guards[_WRITERS].since
        return since is not None and self.now >= since + _IN_FORCE


def _plan_with(state: snapshot.NamespaceSnapshot, now: datetime.datetime, effect: effects.Effect) -> plan.NamespacePlan:
    return replace(plan.plan_namespace(state, now), urgent=(effect,), deferrable=())


_NAMES = st.sampled_from("ab")
_TENANT = st.sampled_from([False, False, True])
_KINDS = st.sampled_from(["Diagnostic", "Diagnostic", "Diagnostic", "Application", "Infrastructure"])
# Each step with its weight and the values to draw.
_STEPS: dict[Any, tuple[int, tuple[st.SearchStrategy[Any], ...]]] = {
    World.create: (5, (_NAMES, _KINDS, st.sampled_from([1, 1, 30]), st.booleans(), _TENANT)),
    World.change: (4, (_NAMES, st.sampled_from([0, 0, 0, -1, 1, 30]), _TENANT)),
    World.wait: (3, (st.sampled_from([1, 6, 6, 60, 60, 1800]),)),
    World.run: (2, (st.sampled_from(["one", "two"]),)),
    World.disturb: (2, (st.sampled_from([_WRITERS, _WRITERS, labels.POLICY_HOST_NAMESPACES]), _TENANT)),
    World.repair: (3, (st.sampled_from([0, 4, 6, 6]),)),
    World.catch_up: (2, (st.sampled_from(["exceptions", "policies", "both"]),)),
    World.remove: (1, (_NAMES,)),
    World.label: (2, (st.sampled_from(["baseline", "restricted", None]),)),
    World.govern: (1, (st.sampled_from(_POLICIES),)),
    World.trouble: (1, (st.sampled_from([False, False, False, True]),)),
    World.lose: (1, (st.sampled_from([ledger.State.INTACT, ledger.State.LOST]),)),
    World.stop: (1, (st.sampled_from([False, False, True]),)),
    World.lag: (1, ()),
}
_WEIGHTED = [step for step, (weight, _) in _STEPS.items() for _ in range(weight)]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    steps = draw(st.lists(st.sampled_from(_WEIGHTED), min_size=25, max_size=40))
    return [(step, *(draw(values) for values in _STEPS[step][1])) for step in steps]


@hypothesis.given(histories())
def test_nobody_approves_himself_and_no_pod_is_deleted_that_an_approved_exception_fits(steps: list[Any]) -> None:
    """The operator grants an exception only if an approver wrote the generation that the grant comes from.

    The operator deletes no pod while an exception that is provably approved and has not ended fits the pod. The
    exception may fail to cover the pod only because it is not in force.
    """
    world = World()
    for step, *arguments in steps:
        step(world, *arguments)
        world.reconcile()
    hypothesis.event(f"granted: {world.granted > 0}, deleted: {world.deleted > 0}, refused: {world.refused > 0}")
