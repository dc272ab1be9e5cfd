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

# Plans until nothing is left to do: a write that revokes, a write that grants, and the effects of both. One more round
# is for a level that a user set and that the operator tightens first, or for an unknown policy, where the target is the
# level that is set.
_ROUNDS = 4
_MOMENT = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_plans_that_are_carried_out_leave_nothing_to_do(
    state: snapshot.NamespaceSnapshot, holders: tuple[str, ...]
) -> None:
    """A few plans at the same time, each carried out, end with a plan without effects."""
    _, namespace_plan = cluster.answered(state, NOW, holders)
    after, again = cluster.settled(state, NOW, holders, _ROUNDS)
    hypothesis.note(f"first: {namespace_plan.effects}")
    assert cluster.doing(again) == []
    assert namespace_plan.enforcement == again.enforcement or namespace_plan.partial
    assert after.namespace.labels == cluster.carry_out(after, again).namespace.labels


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS, st.sampled_from(["Held", "Audit", None]))
def test_what_is_done_before_the_gate_has_answered_is_right_after_it(
    state: snapshot.NamespaceSnapshot, holders: tuple[str, ...], enforcement: str | None
) -> None:
    """A plan that asks the gate only flags and deletes pods.

    It does so only if every answer of the gate leaves the pod uncovered or expired.
    """
    namespace = dataclasses.replace(
        state.namespace, labels={labels.ENFORCEMENT: enforcement} if enforcement else {}, annotations={}
    )
    ended = builders.hne("ended", expiry=NOW - datetime.timedelta(seconds=1), images=None)
    exception_records = {**state.ledger.exceptions, "uid-of-ended": builders.approved(ended)}
    state = dataclasses.replace(
        state,
        namespace=namespace,
        exceptions=(*state.exceptions[:1], ended),
        policy=builders.governed(rollout="Gated"),
        record=dataclasses.replace(state.record, enforced=False),
        ledger=dataclasses.replace(state.ledger, namespace=None, exceptions=exception_records),
    )
    before = plan.plan_namespace(state, NOW)
    _, after = cluster.answered(state, NOW, holders)
    flags, deletes = builders.flags(before), builders.deletes(before)
    hypothesis.event(f"flags: {bool(flags)}, deletes: {bool(deletes)}, asks: {builders.gate_level(before) is not None}")
    waits = any(standing.waiting for standing in before.standings)
    assert (builders.gate_level(before) is None) == (namespace.terminating or waits)
    assert len(flags) + len(deletes) == len(cluster.doing(before))
    assert flags.items() <= builders.verdicts(after).items()
    assert {e.pod for e in deletes} <= {e.pod for e in builders.deletes(after)}


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS, st.randoms(use_true_random=False))
def test_the_order_of_pods_and_exceptions_changes_nothing(
    state: snapshot.NamespaceSnapshot, holders: tuple[str, ...], random: Any
) -> None:
    """The same pods and exceptions in another order give the same plan."""
    pods, subjects = list(state.pods), list(state.exceptions)
    random.shuffle(pods)
    random.shuffle(subjects)
    shuffled = dataclasses.replace(state, pods=snapshot.PodSet.of(pods), exceptions=tuple(subjects))
    assert cluster.answered(state, NOW, holders)[1] == cluster.answered(shuffled, NOW, holders)[1]


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_no_two_exceptions_add_up(state: snapshot.NamespaceSnapshot, holders: tuple[str, ...]) -> None:
    """A pod is Covered if and only if a single exception covers it alone."""
    _, namespace_plan = cluster.answered(state, NOW, holders)
    for verdict in namespace_plan.verdicts:
        alone = [
            coverage.judge(verdict.pod, [standing], exempt=namespace_plan.exempt).verdict is labels.Verdict.COVERED
            for standing in namespace_plan.standings
        ]
        assert any(alone) == (verdict.verdict is labels.Verdict.COVERED)


@hypothesis.given(strategies.parts())
def test_no_two_exceptions_that_name_a_part_each_add_up(
    parts: tuple[snapshot.Pod, tuple[exception.HostNetworkException, ...]],
) -> None:
    """If one exception names a part of what the pod needs and another exception the rest, the pod is not Covered."""
    pod, subjects = parts
    (verdict,) = builders.planned(builders.seen(pod, *subjects)).verdicts
    alone = [
        pod.images <= set(subject.spec.images or ())
        and pod.capabilities <= set(subject.spec.capabilities)
        and pod.host_namespaces <= set(subject.spec.host_namespaces)
        for subject in subjects
    ]
    hypothesis.event(verdict.verdict)
    assert any(alone) == (verdict.verdict is labels.Verdict.COVERED)


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS, st.data())
def test_taking_away_never_gives(
    state: snapshot.NamespaceSnapshot, holders: tuple[str, ...], data: st.DataObject
) -> None:
    """Removing, ending or shortening an exception covers no other pod and writes no other grant."""
    if not state.exceptions:
        return
    victim = data.draw(st.sampled_from(state.exceptions))
    change = data.draw(st.sampled_from(["removed", "ended", "shortened"]))
    hypothesis.event(change)
    if change == "removed" and (state.namespace.terminating or not state.exceptions_served):
        return  # takes nothing away: the terms in the ledger outlive the object (approval.ending)
    replacement = {
        "removed": [],
        "ended": [_until(victim, NOW)],
        "shortened": [_until(victim, victim.spec.until - datetime.timedelta(minutes=20))],
    }[change]
    others = [other for other in state.exceptions if other is not victim]
    # The gate evaluates the existing objects. So removing an exception may block enforcement in the namespace, and then
    # less is withheld. The test therefore asks for the same enforcement on both sides.
    if state.policy.spec is not None:
        state = dataclasses.replace(state, policy=_with_immediate_rollout(state.policy))
    _, before = cluster.answered(state, NOW, holders)
    _, after = cluster.answered(dataclasses.replace(state, exceptions=(*others, *replacement)), NOW, holders)
    assert _covered_uids(after) <= _covered_uids(before)
    assert builders.granted(after) <= builders.granted(before)


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_only_expired_diagnostic_pods_are_ever_deleted(
    state: snapshot.NamespaceSnapshot, holders: tuple[str, ...]
) -> None:
    """The operator never deletes a pod that is Covered, Unknown, a mirror pod, exempt, in Audit or of another type.

    It deletes no pod while the time is uncertain.
    """
    _, namespace_plan = cluster.answered(state, NOW, holders)
    by_uid = {verdict.pod.uid: verdict for verdict in namespace_plan.verdicts}
    for effect in builders.deletes(namespace_plan):
        verdict = by_uid[effect.pod.uid]
        assert labels.Verdict.EXPIRED is verdict.verdict
        assert verdict.exceptions
        for subject in verdict.exceptions:
            assert exception.ExceptionType.DIAGNOSTIC is subject.spec.type
            assert exception.OnExpiry.REPORT is not subject.spec.on_expiry
            assert subject.spec.until <= NOW
            assert verdict.pod.created < subject.spec.until
        assert namespace_plan.enforcement in {labels.Enforcement.DENY, labels.Enforcement.HELD}
        assert not verdict.pod.mirror
        assert not verdict.pod.deleting
        sparing = [
            standing for standing in namespace_plan.standings if standing.spares and _fits(standing, verdict.pod)
        ]
        assert sparing == []
        assert not namespace_plan.exempt
        assert not state.namespace.terminating
        assert state.clock_trusted
        assert snapshot.Existence.UNKNOWN is not state.policy.existence
        assert effect.pod.uid not in {pod.uid for pod in state.unreadable_pods}


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_a_level_is_lifted_only_under_a_guard_and_a_grant(
    state: snapshot.NamespaceSnapshot, holders: tuple[str, ...]
) -> None:
    """With enforcement on and a target below privileged, level privileged needs a guard label and a grant."""
    state, namespace_plan = cluster.answered(state, NOW, holders)
    if (
        namespace_plan.enforcement is not labels.Enforcement.DENY
        or state.policy.spec is None
        or state.namespace.terminating
    ):
        return
    after = cluster.carry_out(state, namespace_plan).namespace
    target = _target(state)
    if target is labels.Level.PRIVILEGED:
        return
    if namespace_plan.contested is not None:
        return  # another client reverts the level, and the operator does not write for now; test_contest covers that
    if namespace_plan.partial:
        return  # the next plan does the rest
    if after.labels.get(labels.PSA_ENFORCE) == labels.Level.PRIVILEGED:
        assert target.value == after.labels[labels.GUARD]
        assert after.grants
        assert namespace_plan.relaxed
    else:
        assert labels.Level(after.labels[labels.PSA_ENFORCE]).strictness >= target.strictness
        assert not after.grants


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS, st.integers(1, 10**8))
def test_time_comes_in_only_as_now(state: snapshot.NamespaceSnapshot, holders: tuple[str, ...], seconds: int) -> None:
    """Shifting every time and `now` by the same amount gives the same plan, shifted."""
    delta = datetime.timedelta(seconds=seconds)
    _, namespace_plan = cluster.answered(_without_held_by(state), NOW, holders)
    _, shifted_plan = cluster.answered(strategies.shifted(_without_held_by(state), delta), NOW + delta, holders)
    assert _shape(namespace_plan, NOW) == _shape(shifted_plan, NOW + delta)


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_nothing_changes_before_the_next_check(state: snapshot.NamespaceSnapshot, holders: tuple[str, ...]) -> None:
    """The next check is after now, and until just before it a settled namespace has nothing to do."""
    state, namespace_plan = cluster.answered(state, NOW, holders)
    if state.namespace.terminating:
        return
    assert namespace_plan.next_check is None or namespace_plan.next_check > NOW
    after, settled_plan = cluster.settled(state, NOW, holders, _ROUNDS)
    last_moment = (settled_plan.next_check or NOW + datetime.timedelta(days=3650)) - datetime.timedelta(microseconds=1)
    later_plan = plan.plan_namespace(after, last_moment)
    hypothesis.event("never again" if settled_plan.next_check is None else "again")
    assert cluster.doing(later_plan) == []
    assert builders.gate_level(later_plan) is None
    assert [(v.pod.uid, v.verdict) for v in settled_plan.verdicts] == [
        (v.pod.uid, v.verdict) for v in later_plan.verdicts
    ]
    assert settled_plan.standings == later_plan.standings
    assert settled_plan.next_check == later_plan.next_check


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_an_unsettled_plan_does_not_change_before_the_next_check_either(
    state: snapshot.NamespaceSnapshot, holders: tuple[str, ...]
) -> None:
    """Until just before the next check, or until the gate's answer is stale, the effects differ only in times."""
    state, namespace_plan = cluster.answered(state, NOW, holders)
    moments = [NOW + datetime.timedelta(days=365)]
    moments += [namespace_plan.next_check] if namespace_plan.next_check else []
    moments += [state.gate.asked + datetime.timedelta(seconds=60)] if state.gate else []
    later_plan = plan.plan_namespace(state, min(moments) - datetime.timedelta(seconds=1))
    assert _timeless(namespace_plan) == _timeless(later_plan)


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_at_every_next_check_a_cluster_settles_again(
    state: snapshot.NamespaceSnapshot, holders: tuple[str, ...]
) -> None:
    """From check to check each plan converges, until everything with an expiry has ended."""
    now: datetime.datetime | None = NOW
    for _ in range(8):
        state, settled_plan = cluster.settled(state, now, holders, _ROUNDS)
        assert cluster.doing(settled_plan) == []
        assert settled_plan.next_check is None or settled_plan.next_check > now
        now = settled_plan.next_check
        if now is None:
            break


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_what_takes_away_is_a_write_of_its_own_before_what_gives(
    state: snapshot.NamespaceSnapshot, holders: tuple[str, ...]
) -> None:
    """A plan has at most one write of the Namespace.

    A write that removes a grant adds none, and needs no version of the Namespace.
    """
    _, namespace_plan = cluster.answered(state, NOW, holders)
    writes = builders.writes(namespace_plan)
    assert len(writes) <= 1
    for write in writes:
        lines = {key: line for key, line in write.annotations.items() if key.startswith(labels.GRANT_PREFIX)}
        removes = any(line is None for line in lines.values())
        adds = any(line for key, line in lines.items() if key not in state.namespace.annotations)
        lifts = write.labels.get(labels.PSA_ENFORCE) == labels.Level.PRIVILEGED
        assert not (removes and adds)
        assert not (removes and write.versioned)
        assert write.versioned or not (adds or lifts)


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_exempt_and_terminating_namespaces_get_no_labels(
    state: snapshot.NamespaceSnapshot, holders: tuple[str, ...]
) -> None:
    """In a terminating namespace the operator only flags and deletes pods, and records what ends these pods.

    In an exempt namespace it only removes what it wrote.
    """
    state, namespace_plan = cluster.answered(state, NOW, holders)
    if state.namespace.terminating:
        about_pods = effects.WriteVerdict | effects.DeletePod | effects.RecordException
        assert all(isinstance(effect, about_pods) for effect in namespace_plan.effects)
    if namespace_plan.exempt:
        for write in builders.writes(namespace_plan):
            assert all(value is None for value in write.annotations.values())
            assert all(value is None for key, value in write.labels.items() if key != labels.PSA_ENFORCE)
        assert builders.deletes(namespace_plan) == []


@hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
def test_reports_say_what_is_decided_and_are_of_one_kind(
    state: snapshot.NamespaceSnapshot, holders: tuple[str, ...]
) -> None:
    """After a plan, every pod is in exactly one report of the written kind, and the report counts the pod's verdict.

    An exempt namespace has no report, and no report of another kind exists. If no kind is served, the operator changes
    no report.
    """
    state, namespace_plan = cluster.answered(dataclasses.replace(state, pods_complete=True), NOW, holders)
    after = cluster.carry_out(state, namespace_plan)
    if (
        state.report_kind is None
        or builders.owners(namespace_plan)
        or state.namespace.terminating
        or namespace_plan.partial
    ):
        assert after.reports == state.reports
        return
    if namespace_plan.refused is not None:  # until then existing reports stay, because their workloads may be refused
        assert {stored.kind for stored in after.reports} <= {state.report_kind}
    if namespace_plan.exempt:
        assert after.reports == ()
        return
    wanted_reports = decide_report.reports(state, namespace_plan.judged, namespace_plan.found)
    names = [wanted_report.name for wanted_report in wanted_reports]
    assert len(names) == len(set(names))
    assert set(names) <= {stored.name for stored in after.reports}
    failing = {labels.Verdict.UNCOVERED, labels.Verdict.EXPIRED}
    fails = any(wanted_report.entries[0].result is report.Result.FAIL for wanted_report in wanted_reports)
    assert fails == any(verdict.verdict in failing for verdict in namespace_plan.verdicts)
    assert all(
        len({entry.rule for entry in wanted_report.entries}) == len(wanted_report.entries)
        for wanted_report in wanted_reports
    )


def test_the_strategies_reach_every_verdict_and_every_reason() -> None:
    """The strategies reach every verdict, Ready reason, enforcement and action, so no property is vacuous."""
    reached: Counter[object] = Counter()

    @hypothesis.settings(max_examples=2500, derandomize=True, database=None)
    @hypothesis.given(strategies.snapshots(), strategies.GATE_ANSWERS)
    def collect(state: snapshot.NamespaceSnapshot, holders: tuple[str, ...]) -> None:
        _, namespace_plan = cluster.answered(state, NOW, holders)
        reached.update(verdict.verdict for verdict in namespace_plan.verdicts)
        reached.update([labels.Verdict.UNKNOWN] if namespace_plan.unreadable else [])
        reached.update(standing.reason for standing in namespace_plan.standings)
        reached.update([namespace_plan.enforcement, "deletes" if builders.deletes(namespace_plan) else "spares"])
        reached.update(write.action for write in builders.writes(namespace_plan))
        reached.update((finding.rule, finding.result) for finding in namespace_plan.findings)
        reached.update(type(effect) for effect in namespace_plan.effects)
        reached.update(["owners asked for"] if builders.owners(namespace_plan) else [])
        reached.update(["partial"] if namespace_plan.partial else [])

    collect()
    actions = {value for name, value in vars(effects.Action).items() if name.isupper()}
    # Unit tests cover 65 and 501 exceptions, which are too many to draw by chance.
    ready = set(conditions.Ready) - {conditions.Ready.GRANT_TOO_LARGE, conditions.Ready.TOO_MANY}
    expected = {*labels.Verdict, *ready, *labels.Enforcement, None, *actions, "deletes", "partial"}
    expected |= {effects.WriteReport, effects.DeleteReport, "owners asked for"}
    expected |= {(rule, result) for rule in rules.RULES for result in (report.Result.PASS, report.Result.WARN)}
    assert set() == {str(item) for item in expected if not reached[item]}


# -- helpers to compare plans ---------------------------------------------------------------------------------------


def _fits(standing: validity.Standing, pod: snapshot.Pod) -> bool:
    """Return whether an exception covers a pod in everything except being in force."""
    return coverage.covers(standing, pod).failed in {None, coverage.Criterion.IN_FORCE}


def _until(subject: exception.HostNetworkException, moment: datetime.datetime) -> exception.HostNetworkException:
    if moment >= subject.spec.until:
        return subject
    return subject.model_copy(update={"spec": subject.spec.model_copy(update={"expiry": moment})})


def _with_immediate_rollout(policy_state: snapshot.PolicyState) -> snapshot.PolicyState:
    assert policy_state.spec is not None
    return dataclasses.replace(
        policy_state, spec=policy_state.spec.model_copy(update={"rollout": policy.Rollout.IMMEDIATE})
    )


def _covered_uids(namespace_plan: plan.NamespacePlan) -> set[str]:
    return {verdict.pod.uid for verdict in namespace_plan.verdicts if verdict.verdict is labels.Verdict.COVERED}


def _target(state: snapshot.NamespaceSnapshot) -> labels.Level:
    spec = state.policy.spec
    assert spec is not None
    for rule in spec.rules:
        if rule.selector.matches(dict(state.namespace.labels)) and rule.enforce is not None:
            return rule.enforce
    return spec.pod_security.enforce


def _without_held_by(state: snapshot.NamespaceSnapshot) -> snapshot.NamespaceSnapshot:
    annotations = {key: text for key, text in state.namespace.annotations.items() if key != labels.HELD_BY}
    return dataclasses.replace(state, namespace=dataclasses.replace(state.namespace, annotations=annotations))


def _plain(content: object) -> Any:
    match content:
        case snapshot.Namespace() | snapshot.Pod():
            return content.uid
        case exception.HostNetworkException():
            return content.metadata.uid
        case ledger.ExceptionRecord():
            return _plain(dict(content))
        case datetime.datetime():
            return content.strftime("%Y-%m-%dT%H:%M:%SZ")
        case pydantic.BaseModel():
            return content.model_dump(mode="json")
        case dict():
            return {str(key): _plain(value) for key, value in content.items()}
        case list() | tuple():
            return [_plain(item) for item in content]
    if dataclasses.is_dataclass(content):
        return {field.name: _plain(getattr(content, field.name)) for field in dataclasses.fields(content)}
    return content if content is None or isinstance(content, bool | int) else str(content)


def _shape(namespace_plan: plan.NamespacePlan, now: datetime.datetime) -> str:
    """Return the plan as text, with each time as seconds from `now`."""

    def ago(match: re.Match[str]) -> str:
        return f"<{(datetime.datetime.fromisoformat(match.group()) - now).total_seconds():+.0f}s>"

    return _MOMENT.sub(ago, json.dumps(_plain(builders.bare(namespace_plan)), indent=1))


def _timeless(namespace_plan: plan.NamespacePlan) -> str:
    """Return the effects as text, without their times."""
    return _MOMENT.sub("<time>", json.dumps(_plain(namespace_plan.effects), indent=1))
