"""Properties of every plan in any cluster state."""

import dataclasses
import datetime
import json
import re
from collections import Counter
from typing import Any

import hypothesis
import pydantic
from hypothesis import strategies as st

from hostnetwork_operator.api import conditions, exception, labels, ledger, policy, report
from hostnetwork_operator.decide import coverage, effects, plan, rules, snapshot, validity
from hostnetwork_operator.decide import report as decide_report
from tests.property import cluster, strategies
from tests.unit import builders
from tests.unit.builders import NOW

# Plans until nothing is left to do: a write that takes, a write that gives, and the effects of both. One more round is
# for a level that a user set and that is tightened first, or for an unknown policy, where the target is the written
# level.
_ROUNDS = 4
_MOMENT = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_plans_that_are_carried_out_leave_nothing_to_do(
    seen: snapshot.NamespaceSnapshot, gate: tuple[str, ...]
) -> None:
    """A few plans at the same time, each carried out, end with a plan without effects."""
    _, made = cluster.answered(seen, NOW, gate)
    after, again = cluster.settled(seen, NOW, gate, _ROUNDS)
    hypothesis.note(f"first: {made.effects}")
    assert cluster.doing(again) == []
    assert made.enforcement == again.enforcement or made.partial
    assert after.namespace.labels == cluster.carry_out(after, again).namespace.labels


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS, st.sampled_from(["Held", "Audit", None]))
def test_what_is_done_before_the_gate_has_answered_is_right_after_it(
    seen: snapshot.NamespaceSnapshot, gate: tuple[str, ...], enforcement: str | None
) -> None:
    """A plan that asks the gate only flags and deletes pods.

    It does so only if every answer of the gate leaves the pod uncovered or expired.
    """
    home = dataclasses.replace(
        seen.namespace, labels={labels.ENFORCEMENT: enforcement} if enforcement else {}, annotations={}
    )
    ended = builders.hne("ended", expiry=NOW - datetime.timedelta(seconds=1), images=None)
    kept = {**seen.ledger.exceptions, "uid-of-ended": builders.approved(ended)}
    seen = dataclasses.replace(
        seen,
        namespace=home,
        exceptions=(*seen.exceptions[:1], ended),
        policy=builders.governed(rollout="Gated"),
        record=dataclasses.replace(seen.record, enforced=False),
        ledger=dataclasses.replace(seen.ledger, namespace=None, exceptions=kept),
    )
    before = plan.plan_namespace(seen, NOW)
    _, after = cluster.answered(seen, NOW, gate)
    flags, deletes = builders.flags(before), builders.deletes(before)
    hypothesis.event(f"flags: {bool(flags)}, deletes: {bool(deletes)}, asks: {builders.gate_level(before) is not None}")
    waits = any(standing.waiting for standing in before.standings)
    assert (builders.gate_level(before) is None) == (home.terminating or waits)
    assert len(flags) + len(deletes) == len(cluster.doing(before))
    assert flags.items() <= builders.verdicts(after).items()
    assert {e.pod for e in deletes} <= {e.pod for e in builders.deletes(after)}


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS, st.randoms(use_true_random=False))
def test_the_order_of_pods_and_exceptions_changes_nothing(
    seen: snapshot.NamespaceSnapshot, gate: tuple[str, ...], random: Any
) -> None:
    """The same pods and exceptions in another order give the same plan."""
    pods, subjects = list(seen.pods), list(seen.exceptions)
    random.shuffle(pods)
    random.shuffle(subjects)
    shuffled = dataclasses.replace(seen, pods=tuple(pods), exceptions=tuple(subjects))
    assert cluster.answered(seen, NOW, gate)[1] == cluster.answered(shuffled, NOW, gate)[1]


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_no_two_exceptions_add_up(seen: snapshot.NamespaceSnapshot, gate: tuple[str, ...]) -> None:
    """A pod is Covered if and only if a single exception covers it alone."""
    _, made = cluster.answered(seen, NOW, gate)
    for verdict in made.verdicts:
        alone = [
            coverage.judge(verdict.pod, [standing], exempt=made.exempt).verdict is labels.Verdict.COVERED
            for standing in made.standings
        ]
        assert any(alone) == (verdict.verdict is labels.Verdict.COVERED)


@hypothesis.given(strategies.parts())
def test_no_two_exceptions_that_name_a_part_each_add_up(
    parts: tuple[snapshot.Pod, tuple[exception.HostNetworkException, ...]],
) -> None:
    """If one exception names a part of what the pod needs and another exception the rest, the pod is not Covered."""
    subject, named = parts
    (verdict,) = builders.planned(builders.seen(subject, *named)).verdicts
    alone = [
        subject.images <= set(one.spec.images or ())
        and subject.capabilities <= set(one.spec.capabilities)
        and subject.host_namespaces <= set(one.spec.host_namespaces)
        for one in named
    ]
    hypothesis.event(verdict.verdict)
    assert any(alone) == (verdict.verdict is labels.Verdict.COVERED)


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS, st.data())
def test_taking_away_never_gives(seen: snapshot.NamespaceSnapshot, gate: tuple[str, ...], data: st.DataObject) -> None:
    """Removing, ending or shortening an exception covers no other pod and writes no other grant."""
    if not seen.exceptions:
        return
    victim = data.draw(st.sampled_from(seen.exceptions))
    how = data.draw(st.sampled_from(["removed", "ended", "shortened"]))
    hypothesis.event(how)
    less = {
        "removed": [],
        "ended": [_until(victim, NOW)],
        "shortened": [_until(victim, victim.spec.until - datetime.timedelta(minutes=20))],
    }[how]
    rest = [one for one in seen.exceptions if one is not victim]
    # The gate evaluates the existing objects. So removing an exception may block enforcement in the namespace, and then
    # less is withheld. The test therefore asks for the same enforcement on both sides.
    if seen.policy.spec is not None:
        seen = dataclasses.replace(seen, policy=_at_once(seen.policy))
    _, before = cluster.answered(seen, NOW, gate)
    _, after = cluster.answered(dataclasses.replace(seen, exceptions=(*rest, *less)), NOW, gate)
    assert _covered(after) <= _covered(before)
    assert builders.granted(after) <= builders.granted(before)


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_only_expired_diagnostic_pods_are_ever_deleted(seen: snapshot.NamespaceSnapshot, gate: tuple[str, ...]) -> None:
    """The operator never deletes a pod that is covered, unknown, a mirror pod, exempt, in Audit or of another type.

    It deletes no pod while the time is uncertain.
    """
    _, made = cluster.answered(seen, NOW, gate)
    by_uid = {verdict.pod.uid: verdict for verdict in made.verdicts}
    for effect in builders.deletes(made):
        verdict = by_uid[effect.pod.uid]
        assert labels.Verdict.EXPIRED is verdict.verdict
        assert verdict.exceptions
        for subject in verdict.exceptions:
            assert exception.ExceptionType.DIAGNOSTIC is subject.spec.type
            assert exception.OnExpiry.REPORT is not subject.spec.on_expiry
            assert subject.spec.until <= NOW
            assert verdict.pod.created < subject.spec.until
        assert made.enforcement in {labels.Enforcement.DENY, labels.Enforcement.HELD}
        assert not verdict.pod.mirror
        assert not verdict.pod.deleting
        spared = [one for one in made.standings if one.spares and _fits(one, verdict.pod)]
        assert spared == []
        assert not made.exempt
        assert not seen.namespace.terminating
        assert seen.clock_trusted
        assert snapshot.Existence.UNKNOWN is not seen.policy.existence
        assert effect.pod.uid not in {pod.uid for pod in seen.unreadable_pods}


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_a_level_is_lifted_only_under_a_guard_and_a_grant(
    seen: snapshot.NamespaceSnapshot, gate: tuple[str, ...]
) -> None:
    """With enforcement on and a target below privileged, level privileged needs a guard label and a grant."""
    seen, made = cluster.answered(seen, NOW, gate)
    if made.enforcement is not labels.Enforcement.DENY or seen.policy.spec is None or seen.namespace.terminating:
        return
    after = cluster.carry_out(seen, made).namespace
    target = _target(seen)
    if target is labels.Level.PRIVILEGED:
        return
    if made.contested is not None:
        return  # another client reverts the level, and the operator does not write for now; test_contest covers that
    if made.partial:
        return  # the next plan does the rest
    if after.labels.get(labels.PSA_ENFORCE) == labels.Level.PRIVILEGED:
        assert target.value == after.labels[labels.GUARD]
        assert after.grants
        assert made.relaxed
    else:
        assert labels.Level(after.labels[labels.PSA_ENFORCE]).strictness >= target.strictness
        assert not after.grants


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS, st.integers(1, 10**8))
def test_time_comes_in_only_as_now(seen: snapshot.NamespaceSnapshot, gate: tuple[str, ...], seconds: int) -> None:
    """Shifting every time and `now` by the same amount gives the same plan, shifted."""
    delta = datetime.timedelta(seconds=seconds)
    _, made = cluster.answered(_without_held_by(seen), NOW, gate)
    _, moved = cluster.answered(strategies.shifted(_without_held_by(seen), delta), NOW + delta, gate)
    assert _shape(made, NOW) == _shape(moved, NOW + delta)


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_nothing_changes_before_the_next_check(seen: snapshot.NamespaceSnapshot, gate: tuple[str, ...]) -> None:
    """The next check is after now, and until just before it a settled namespace has nothing to do."""
    seen, made = cluster.answered(seen, NOW, gate)
    if seen.namespace.terminating:
        return
    assert made.next_check is None or made.next_check > NOW
    after, settled = cluster.settled(seen, NOW, gate, _ROUNDS)
    last = (settled.next_check or NOW + datetime.timedelta(days=3650)) - datetime.timedelta(microseconds=1)
    later = plan.plan_namespace(after, last)
    hypothesis.event("never again" if settled.next_check is None else "again")
    assert cluster.doing(later) == []
    assert builders.gate_level(later) is None
    assert [(v.pod.uid, v.verdict) for v in settled.verdicts] == [(v.pod.uid, v.verdict) for v in later.verdicts]
    assert settled.standings == later.standings
    assert settled.next_check == later.next_check


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_an_unsettled_plan_does_not_change_before_the_next_check_either(
    seen: snapshot.NamespaceSnapshot, gate: tuple[str, ...]
) -> None:
    """Until just before the next check, or until the gate's answer is stale, the effects differ only in times."""
    seen, made = cluster.answered(seen, NOW, gate)
    moments = [NOW + datetime.timedelta(days=365)]
    moments += [made.next_check] if made.next_check else []
    moments += [seen.gate.asked + datetime.timedelta(seconds=60)] if seen.gate else []
    later = plan.plan_namespace(seen, min(moments) - datetime.timedelta(seconds=1))
    assert _timeless(made) == _timeless(later)


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_at_every_next_check_a_cluster_settles_again(seen: snapshot.NamespaceSnapshot, gate: tuple[str, ...]) -> None:
    """From check to check each plan converges, until everything with an expiry has ended."""
    now: datetime.datetime | None = NOW
    for _ in range(8):
        seen, settled = cluster.settled(seen, now, gate, _ROUNDS)
        assert cluster.doing(settled) == []
        assert settled.next_check is None or settled.next_check > now
        now = settled.next_check
        if now is None:
            break


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_what_takes_away_is_a_write_of_its_own_before_what_gives(
    seen: snapshot.NamespaceSnapshot, gate: tuple[str, ...]
) -> None:
    """A plan has at most one write of the Namespace.

    A write that removes a grant adds none, and needs no version of the Namespace.
    """
    _, made = cluster.answered(seen, NOW, gate)
    written = builders.writes(made)
    assert len(written) <= 1
    for write in written:
        lines = {key: line for key, line in write.annotations.items() if key.startswith(labels.GRANT_PREFIX)}
        removes = any(line is None for line in lines.values())
        adds = any(line for key, line in lines.items() if key not in seen.namespace.annotations)
        lifts = write.labels.get(labels.PSA_ENFORCE) == labels.Level.PRIVILEGED
        assert not (removes and adds)
        assert not (removes and write.versioned)
        assert write.versioned or not (adds or lifts)


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_exempt_and_terminating_namespaces_get_no_labels(
    seen: snapshot.NamespaceSnapshot, gate: tuple[str, ...]
) -> None:
    """In a terminating namespace the operator only flags and deletes pods.

    In an exempt namespace it only removes what it wrote.
    """
    seen, made = cluster.answered(seen, NOW, gate)
    if seen.namespace.terminating:
        assert all(isinstance(effect, effects.WriteVerdict | effects.DeletePod) for effect in made.effects)
    if made.exempt:
        for write in builders.writes(made):
            assert all(value is None for value in write.annotations.values())
            assert all(value is None for key, value in write.labels.items() if key != labels.PSA_ENFORCE)
        assert builders.deletes(made) == []


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_reports_say_what_is_decided_and_are_of_one_kind(
    seen: snapshot.NamespaceSnapshot, gate: tuple[str, ...]
) -> None:
    """After a plan, every pod is in exactly one report of the written kind, and the report counts the pod's verdict.

    An exempt namespace has no report, and no report of another kind exists. If no kind is served, the operator changes
    no report.
    """
    seen, made = cluster.answered(seen, NOW, gate)
    after = cluster.carry_out(seen, made)
    if seen.report_kind is None or builders.owners(made) or seen.namespace.terminating or made.partial:
        assert after.reports == seen.reports
        return
    assert {one.kind for one in after.reports} <= {seen.report_kind}
    if made.exempt:
        assert after.reports == ()
        return
    wanted = decide_report.reports(seen, made.verdicts, made.findings)
    names = [one.name for one in wanted]
    assert len(names) == len(set(names))
    assert set(names) <= {one.name for one in after.reports}
    failing = {labels.Verdict.UNCOVERED, labels.Verdict.EXPIRED}
    fails = any(one.entries[0].result is report.Result.FAIL for one in wanted)
    assert fails == any(verdict.verdict in failing for verdict in made.verdicts)
    assert all(len({entry.rule for entry in one.entries}) == len(one.entries) for one in wanted)


def test_the_strategies_reach_every_verdict_and_every_reason() -> None:
    """The strategies reach every verdict, Ready reason, enforcement and action, so no property is vacuous."""
    reached: Counter[object] = Counter()

    @hypothesis.settings(max_examples=2500, derandomize=True, database=None)
    @hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
    def look(seen: snapshot.NamespaceSnapshot, gate: tuple[str, ...]) -> None:
        _, made = cluster.answered(seen, NOW, gate)
        reached.update(verdict.verdict for verdict in made.verdicts)
        reached.update([labels.Verdict.UNKNOWN] if made.unreadable else [])
        reached.update(standing.reason for standing in made.standings)
        reached.update([made.enforcement, "deletes" if builders.deletes(made) else "spares"])
        reached.update(write.action for write in builders.writes(made))
        reached.update((finding.rule, finding.result) for finding in made.findings)
        reached.update(type(effect) for effect in made.effects)
        reached.update(["owners asked for"] if builders.owners(made) else [])
        reached.update(["partial"] if made.partial else [])

    look()
    actions = {value for name, value in vars(effects.Action).items() if name.isupper()}
    # Unit tests cover 65 and 501 exceptions, which are too many to draw by chance.
    ready = set(conditions.Ready) - {conditions.Ready.GRANT_TOO_LARGE, conditions.Ready.TOO_MANY}
    wanted = {*labels.Verdict, *ready, *labels.Enforcement, None, *actions, "deletes", "partial"}
    wanted |= {effects.WriteReport, effects.DeleteReport, "owners asked for"}
    wanted |= {(rule, result) for rule in rules.RULES for result in (report.Result.PASS, report.Result.WARN)}
    assert set() == {str(one) for one in wanted if not reached[one]}


# -- helpers to compare plans ---------------------------------------------------------------------------------------


def _fits(standing: validity.Standing, pod: snapshot.Pod) -> bool:
    """Return whether an exception covers a pod in everything except being in force."""
    return coverage.covers(standing, pod).failed in {None, coverage.Criterion.IN_FORCE}


def _until(subject: exception.HostNetworkException, moment: datetime.datetime) -> exception.HostNetworkException:
    if moment >= subject.spec.until:
        return subject
    return subject.model_copy(update={"spec": subject.spec.model_copy(update={"expiry": moment})})


def _at_once(state: snapshot.PolicyState) -> snapshot.PolicyState:
    assert state.spec is not None
    return dataclasses.replace(state, spec=state.spec.model_copy(update={"rollout": policy.Rollout.IMMEDIATE}))


def _covered(made: plan.NamespacePlan) -> set[str]:
    return {verdict.pod.uid for verdict in made.verdicts if verdict.verdict is labels.Verdict.COVERED}


def _target(seen: snapshot.NamespaceSnapshot) -> labels.Level:
    spec = seen.policy.spec
    assert spec is not None
    for rule in spec.rules:
        if rule.selector.matches(dict(seen.namespace.labels)) and rule.enforce is not None:
            return rule.enforce
    return spec.pod_security.enforce


def _without_held_by(seen: snapshot.NamespaceSnapshot) -> snapshot.NamespaceSnapshot:
    notes = {key: text for key, text in seen.namespace.annotations.items() if key != labels.HELD_BY}
    return dataclasses.replace(seen, namespace=dataclasses.replace(seen.namespace, annotations=notes))


def _plain(thing: object) -> Any:
    match thing:
        case snapshot.Namespace() | snapshot.Pod():
            return thing.uid
        case exception.HostNetworkException():
            return thing.metadata.uid
        case ledger.ExceptionRecord():
            return _plain(dict(thing))
        case datetime.datetime():
            return thing.strftime("%Y-%m-%dT%H:%M:%SZ")
        case pydantic.BaseModel():
            return thing.model_dump(mode="json")
        case dict():
            return {str(key): _plain(value) for key, value in thing.items()}
        case list() | tuple():
            return [_plain(one) for one in thing]
    if dataclasses.is_dataclass(thing):
        return {field.name: _plain(getattr(thing, field.name)) for field in dataclasses.fields(thing)}
    return thing if thing is None or isinstance(thing, bool | int) else str(thing)


def _shape(made: plan.NamespacePlan, now: datetime.datetime) -> str:
    """Return the plan as text, with each time as seconds from `now`."""

    def ago(match: re.Match[str]) -> str:
        return f"<{(datetime.datetime.fromisoformat(match.group()) - now).total_seconds():+.0f}s>"

    return _MOMENT.sub(ago, json.dumps(_plain(made), indent=1))


def _timeless(made: plan.NamespacePlan) -> str:
    """Return the effects as text, without their times."""
    return _MOMENT.sub("<time>", json.dumps(_plain(made.effects), indent=1))
