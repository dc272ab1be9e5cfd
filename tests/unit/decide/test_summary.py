"""What the status of the policy says."""

import datetime
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from hostnetwork_operator.api import conditions, ledger, policy
from hostnetwork_operator.decide import plan, snapshot, summary
from tests.unit import builders
from tests.unit.builders import NAMESPACE, NOW, at, denied, governed, hne, namespace, planned, pod, seen, shortage


def policy_object(**fields: Any) -> snapshot.PolicyObject:
    defaults = {
        "uid": "u",
        "created": at(days=-1),
        "resource_version": "1",
        "generation": 3,
        "status": policy.PolicyStatus(),
        "spec": governed().spec,
    }
    return snapshot.PolicyObject(**{**defaults, **fields})


def plans() -> list[plan.NamespacePlan]:
    """Return four plans: of a relaxed, an audited and an exempt namespace, and of one with an ended exception.

    The last exception has onExpiry Report.
    """
    return [
        planned(seen(pod(), pod("b", mirror=True), hne(), namespace=denied(hne()))),
        planned(seen(pod(), policy=governed(mode="Audit"))),
        planned(seen(pod(), namespace=namespace(), policy=governed(exempt_namespaces=(NAMESPACE,)))),
        planned(seen(pod(), hne(expiry=NOW, on_expiry="Report"))),
    ]


def test_namespaces_and_pods_are_counted() -> None:
    """Namespaces are counted by their state, and pods by their verdict."""
    policy_status = summary.policy_status(policy_object(), plans(), NOW)
    assert policy.NamespaceCounts(deny=2, held=0, audit=1, exempt=1, relaxed=1) == policy_status.namespaces
    assert policy.PodCounts(covered=1, uncovered=1, expired=1, static=1) == policy_status.pods


def test_refused_workloads_are_counted_where_they_are_known() -> None:
    """While they are not known in one namespace, the stored count stays."""
    counted_plan = planned(seen(namespace=denied(), shortages=(shortage(), shortage("other"))))
    unknown_plan = planned(seen(namespace=denied(), shortages=None))
    stored_status = policy.PolicyStatus(workloads=policy.WorkloadCounts(refused=7))
    counts = [
        summary.policy_status(policy_object(status=stored_status), namespace_plans, NOW).workloads
        for namespace_plans in ([counted_plan, counted_plan], [counted_plan, unknown_plan], [])
    ]
    assert counts == [policy.WorkloadCounts(refused=count) for count in (4, 7, 0)]


def test_refused_workloads_are_not_counted_where_there_may_be_more() -> None:
    """No number is shown, not even an old one. If nothing is refused, no list is needed."""
    counted_plan = planned(seen(namespace=denied(), shortages=(shortage(),)))
    incomplete_plan = planned(seen(namespace=denied(), shortages=(shortage(),), shortages_complete=False))
    audit_plan = planned(seen(namespace=namespace(), policy=governed(mode="Audit"), shortages_complete=False))
    assert [namespace_plan.refused_count for namespace_plan in (counted_plan, incomplete_plan, audit_plan)] == [
        1,
        None,
        0,
    ]
    assert [refusal.refused for refusal in incomplete_plan.refused or ()] == [True]  # what is known is still reported
    stored_status = policy.PolicyStatus(workloads=policy.WorkloadCounts(refused=7))
    counts = [
        summary.policy_status(policy_object(status=stored_status), namespace_plans, NOW).workloads
        for namespace_plans in ([counted_plan, incomplete_plan], [counted_plan, audit_plan])
    ]
    assert counts == [None, policy.WorkloadCounts(refused=1)]


def test_a_policy_that_is_acted_on_is_accepted() -> None:
    """The condition names the mode, and the status has the generation."""
    policy_status = summary.policy_status(policy_object(), [], NOW)
    contested, ready = policy_status.conditions
    assert (contested.type, contested.status, contested.reason) == ("Contested", "False", "Uncontested")
    assert (
        ready.status, ready.reason, ready.message, policy_status.observed_generation,
    ) == ("True", "Accepted", "the operator acts on this policy in mode Enforce", 3)  # fmt: skip


def test_a_broken_policy_says_what_is_wrong_and_that_the_last_good_one_holds() -> None:
    """The remedy is to correct the policy."""
    policy_status = summary.policy_status(
        policy_object(spec=None, mistake="mode: Input should be 'Enforce' or 'Audit'"), [], NOW
    )
    contested, ready = policy_status.conditions
    assert (contested.type, contested.status, contested.reason) == ("Contested", "False", "Uncontested")
    assert (ready.status, ready.reason) == ("False", "Broken")
    assert ready.message == (
        "the operator cannot act on this policy: mode: Input should be 'Enforce' or 'Audit'; correct the policy; until"
        " then the last valid policy that the operator has read stays in effect"
    )


def test_a_status_that_says_the_same_is_the_same() -> None:
    """If nothing changes, the operator does not write a status every minute."""
    first = summary.policy_status(policy_object(), plans(), NOW)
    assert first == summary.policy_status(policy_object(status=first), plans(), at(minutes=9))


def test_an_event_tells_of_a_change_only() -> None:
    """The Event is emitted the first time, and when the reason changes."""
    event = summary.policy_event(policy_object())
    assert event is not None
    assert (event.type, event.reason) == ("Normal", "PolicyAccepted")
    reported_object = policy_object(status=summary.policy_status(policy_object(), [], NOW))
    assert None is summary.policy_event(reported_object)
    broken_event = summary.policy_event(
        replace(reported_object, resource_version="2", generation=4, spec=None, mistake="no")
    )
    assert broken_event is not None
    assert (broken_event.type, broken_event.reason) == ("Warning", "PolicyBroken")


def observe(*missing: snapshot.Guard, before: policy.PolicyStatus | None = None, now: datetime.datetime = NOW) -> Any:
    """Return status, reason and message of the condition Guarded, and type and reason of the Event about it."""
    present_guards = list({**builders.guards(), **{guard.name: guard for guard in missing}}.values())
    status = before or summary.policy_status(policy_object(), [], NOW)
    (condition,) = [c for c in summary.with_guards(status, present_guards, now).conditions if c.type == "Guarded"]
    event = summary.guards_event(policy_object(status=status), present_guards, now)
    return (condition.status, condition.reason, condition.message), (event.type, event.reason) if event else None


def missing_guard(name: str = "a", **fields: Any) -> snapshot.Guard:
    return snapshot.Guard(name, None, f"{name} is missing", **fields)


def test_policies_that_are_in_place_are_no_news() -> None:
    """The condition says so, and no Event does."""
    assert observe() == (("True", "Intact", "all admission policies that deny are in place"), None)


def test_policies_that_are_missing_are_named_with_the_remedy() -> None:
    """One Event names all of them."""
    condition, event = observe(missing_guard("b"), missing_guard("a"))
    assert condition == ("False", "GuardMissing", "a is missing; b is missing")
    assert event == ("Warning", "PolicyGuardMissing")


def test_half_an_upgrade_is_no_alarm_until_it_takes_too_long() -> None:
    """After that, the policy is missing like any other."""
    changing_guard = missing_guard(excused=at(seconds=40))
    condition, event = observe(changing_guard)
    assert (condition[:2], event) == (("Unknown", "Changing"), None)
    assert "and grants nothing new" in condition[2]
    assert observe(changing_guard, missing_guard("b"))[0][:2] == ("False", "GuardMissing")
    late_condition, event = observe(changing_guard, now=at(seconds=40))
    assert (late_condition[:2], event) == (("False", "GuardMissing"), ("Warning", "PolicyGuardMissing"))


def status_after(*steps: Iterable[snapshot.Guard], before: policy.PolicyStatus | None = None) -> policy.PolicyStatus:
    """Return the status after the operator has found the admission policies in these states, one after the other."""
    status = before or summary.policy_status(policy_object(), [], NOW)
    for step in steps:
        status = summary.with_guards(status, list({**builders.guards(), **{g.name: g for g in step}}.values()), NOW)
    return status


def test_the_end_of_an_upgrade_is_no_news() -> None:
    """No Event says that the policies are in place again if none said that one was missing."""
    changing_guard = missing_guard(excused=at(seconds=40))
    upgraded_status = status_after([changing_guard])
    assert observe(before=upgraded_status) == (
        ("True", "Intact", "all admission policies that deny are in place"),
        None,
    )
    assert observe(before=status_after([changing_guard], []))[1] is None
    assert observe(missing_guard(), before=status_after([changing_guard], []))[1] == ("Warning", "PolicyGuardMissing")


def test_a_return_by_way_of_an_upgrade_is_told() -> None:
    """The condition still says what was reported.

    So a restart in between loses nothing, and nothing is reported twice.
    """
    changing_guard = missing_guard(excused=at(seconds=40))
    status_between = status_after([missing_guard()], [changing_guard])
    condition, event = observe(changing_guard, before=status_between)
    assert (condition[:2], event) == (("False", "GuardMissing"), None)
    assert condition[2].endswith("and grants nothing new")
    assert observe(missing_guard(), before=status_between)[1] is None
    assert observe(before=status_between)[1] == ("Normal", "PolicyIntact")


def test_missing_policies_are_told_once_and_so_is_their_return() -> None:
    """The stored condition decides, so a restart repeats nothing. Each Event has another key."""
    intact_guards = list(builders.guards().values())
    first_status = summary.with_guards(summary.policy_status(policy_object(), [], NOW), [missing_guard()], NOW)
    assert None is observe(missing_guard(), missing_guard("b"), before=first_status)[1]
    assert observe(before=first_status)[1] == ("Normal", "PolicyIntact")
    intact_status = summary.with_guards(first_status, intact_guards, at(seconds=9))
    second_status = summary.with_guards(intact_status, [missing_guard()], at(seconds=20))
    events = [
        summary.guards_event(policy_object(status=status), guards, at(seconds=30))
        for status, guards in (
            (policy.PolicyStatus(), [missing_guard()]),
            (first_status, intact_guards),
            (intact_status, [missing_guard()]),
            (second_status, intact_guards),
        )
    ]
    assert len({event.key for event in events if event}) == 4


def test_conditions_stand_beside_each_other() -> None:
    """If nothing has changed, the new status is the same."""
    intact_guards = list(builders.guards().values())
    policy_status = summary.with_guards(summary.policy_status(policy_object(), [], NOW), intact_guards, NOW)
    assert [condition.type for condition in policy_status.conditions] == ["Contested", "Guarded", "Ready"]
    assert policy_status == summary.with_guards(
        summary.policy_status(policy_object(status=policy_status), [], at(minutes=5)), intact_guards, at(minutes=5)
    )


def test_contested_namespaces_are_named() -> None:
    """Ten of them are named, with the number of the others. The metric counts all of them."""
    contested_plans = [
        replace(
            namespace_plan, namespace=replace(namespace_plan.namespace, name=f"ns-{number:02}"), contested=at(minutes=9)
        )
        for number in range(12)
        for namespace_plan in plans()[:1]
    ]
    condition = conditions.find(
        summary.policy_status(policy_object(), [*plans(), *contested_plans], NOW).conditions,
        conditions.ConditionType.CONTESTED,
    )
    assert condition is not None
    assert (condition.status, condition.reason) == ("True", "LabelsReverted")
    assert "on namespaces: ns-00, ns-01, ns-02," in condition.message
    assert "ns-09 and 2 more; the Events NamespaceContested of these namespaces name the labels" in condition.message


@pytest.mark.parametrize("state", [conditions.ClockSynchronized.SKEWED, conditions.ClockSynchronized.SPREAD])
def test_clocks_that_differ_are_told_once_and_again_when_they_agree(state: conditions.ClockSynchronized) -> None:
    """There is a condition, and one Event for each transition."""
    first_status = summary.with_clock(summary.policy_status(policy_object(), [], NOW), state, NOW)
    condition = conditions.find(first_status.conditions, conditions.ConditionType.CLOCK_SYNCHRONIZED)
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", state.value)
    assert "the operator deletes nothing" in condition.message
    event = summary.clock_event(policy_object(), state)
    assert event is not None
    assert (event.type, event.reason) == ("Warning", f"Policy{state}")
    assert None is summary.clock_event(policy_object(status=first_status), state)
    agreeing_event = summary.clock_event(policy_object(status=first_status), conditions.ClockSynchronized.AGREES)
    assert agreeing_event is not None
    assert (agreeing_event.type, agreeing_event.reason) == ("Normal", "PolicyAgrees")
    assert None is summary.clock_event(policy_object(), conditions.ClockSynchronized.AGREES)


def begun_event(
    state: ledger.State, *namespace_plans: plan.NamespacePlan, **counts: int
) -> tuple[str, str, str] | None:
    """Return type, reason and message of the Event after a start with the ledger in this state."""
    ledger_summary = snapshot.LedgerSummary(state, "", policy.LedgerCounts(id="l", **counts))
    event = summary.begun_event(policy_object(), ledger_summary, namespace_plans)
    return (event.type, event.reason, event.message) if event else None


def unapproved_plan() -> plan.NamespacePlan:
    """Return the plan for an exception from before the admission policies."""
    young_guards = builders.guards(since=at(seconds=-1))
    return planned(seen(hne(), guards=young_guards, ledger=snapshot.LedgerView(state=ledger.State.SEEDING)))


def test_a_first_start_names_what_nobody_approved() -> None:
    """If there is no such exception, there is no Event. A start with an intact ledger never has one."""
    assert begun_event(ledger.State.SEEDING, exceptions=2) is None
    assert begun_event(ledger.State.INTACT, unapproved_plan()) is None
    event = begun_event(ledger.State.SEEDING, unapproved_plan(), exceptions=2)
    assert event is not None
    assert event[:2] == ("Warning", "PolicyLedgerSeeded")
    assert event[2].startswith(f"the operator began a new ledger; approved exceptions: 2; NotApproved: {NAMESPACE}/")


def test_a_loss_is_told_of_even_where_every_exception_is_approved_again() -> None:
    """The Event also counts the levels that nobody knows any more, which Release leaves as they are."""
    message = (
        "the ledger was lost, completely or in part; approved exceptions: 2; ApprovalUnproven: 1;"
        " NotApproved: none; namespaces whose level before enforcement is not known: 3"
    )
    event = begun_event(ledger.State.LOST, exceptions=2, unproven=1, levels_unknown=3)
    assert event == ("Warning", "PolicyLedgerLost", message)


def test_levels_that_nobody_knows_are_in_the_condition() -> None:
    """The condition stays True, because everything that can be recorded is recorded, and nothing is withheld."""
    for unknown, words in ((0, "every record"), (3, "namespaces whose level before enforcement is not known: 3;")):
        counts = policy.LedgerCounts(id="l", levels_unknown=unknown)
        ledger_summary = snapshot.LedgerSummary(ledger.State.INTACT, "", counts)
        policy_status = summary.with_ledger(summary.policy_status(policy_object(), [], NOW), ledger_summary, NOW)
        (condition,) = [condition for condition in policy_status.conditions if condition.type == "LedgerIntact"]
        assert (condition.status, condition.reason) == ("True", "Recorded")
        assert words in condition.message
        assert ("not known" in condition.message) is (unknown > 0)
        assert ledger_summary.intact
