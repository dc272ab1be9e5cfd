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


def stored(**fields: Any) -> snapshot.PolicyObject:
    given = {
        "uid": "u",
        "created": at(days=-1),
        "resource_version": "1",
        "generation": 3,
        "status": policy.PolicyStatus(),
        "spec": governed().spec,
    }
    return snapshot.PolicyObject(**{**given, **fields})


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
    made = summary.policy_status(stored(), plans(), NOW)
    assert policy.NamespaceCounts(deny=2, held=0, audit=1, exempt=1, relaxed=1) == made.namespaces
    assert policy.PodCounts(covered=1, uncovered=1, expired=1, static=1) == made.pods


def test_refused_workloads_are_counted_where_they_are_known() -> None:
    """While they are not known in one namespace, the stored count stays."""
    counted = planned(seen(namespace=denied(), shortages=(shortage(), shortage("other"))))
    unknown = planned(seen(namespace=denied(), shortages=None))
    stands = policy.PolicyStatus(workloads=policy.WorkloadCounts(refused=7))
    found = [
        summary.policy_status(stored(status=stands), made, NOW).workloads
        for made in ([counted, counted], [counted, unknown], [])
    ]
    assert found == [policy.WorkloadCounts(refused=count) for count in (4, 7, 0)]


def test_refused_workloads_are_not_counted_where_there_may_be_more() -> None:
    """No number is shown, not even an old one. If nothing is refused, no list is needed."""
    counted = planned(seen(namespace=denied(), shortages=(shortage(),)))
    more = planned(seen(namespace=denied(), shortages=(shortage(),), shortages_complete=False))
    off = planned(seen(namespace=namespace(), policy=governed(mode="Audit"), shortages_complete=False))
    assert [made.refused_count for made in (counted, more, off)] == [1, None, 0]
    assert [refusal.refused for refusal in more.refused or ()] == [True]  # what is known is still reported
    stands = policy.PolicyStatus(workloads=policy.WorkloadCounts(refused=7))
    found = [
        summary.policy_status(stored(status=stands), made, NOW).workloads for made in ([counted, more], [counted, off])
    ]
    assert found == [None, policy.WorkloadCounts(refused=1)]


def test_a_policy_that_is_acted_on_is_accepted() -> None:
    """The condition names the mode, and the status has the generation."""
    made = summary.policy_status(stored(), [], NOW)
    contested, ready = made.conditions
    assert (contested.type, contested.status, contested.reason) == ("Contested", "False", "Uncontested")
    assert (
        ready.status, ready.reason, ready.message, made.observed_generation,
    ) == ("True", "Accepted", "the operator acts on this policy in mode Enforce", 3)  # fmt: skip


def test_a_broken_policy_says_what_is_wrong_and_that_the_last_good_one_holds() -> None:
    """The remedy is to correct the policy."""
    made = summary.policy_status(stored(spec=None, mistake="mode: Input should be 'Enforce' or 'Audit'"), [], NOW)
    contested, ready = made.conditions
    assert (contested.type, contested.status, contested.reason) == ("Contested", "False", "Uncontested")
    assert (ready.status, ready.reason) == ("False", "Broken")
    assert ready.message == (
        "the operator cannot act on this policy: mode: Input should be 'Enforce' or 'Audit'; correct the policy; until"
        " then the last valid policy that the operator has read stays in effect"
    )


def test_a_status_that_says_the_same_is_the_same() -> None:
    """If nothing changes, the operator does not write a status every minute."""
    first = summary.policy_status(stored(), plans(), NOW)
    assert first == summary.policy_status(stored(status=first), plans(), at(minutes=9))


def test_an_event_tells_of_a_change_only() -> None:
    """The Event is emitted the first time, and when the reason changes."""
    event = summary.policy_event(stored())
    assert event is not None
    assert (event.type, event.reason) == ("Normal", "PolicyAccepted")
    told = stored(status=summary.policy_status(stored(), [], NOW))
    assert None is summary.policy_event(told)
    broken = summary.policy_event(replace(told, resource_version="2", generation=4, spec=None, mistake="no"))
    assert broken is not None
    assert (broken.type, broken.reason) == ("Warning", "PolicyBroken")


def said(*missing: snapshot.Guard, before: policy.PolicyStatus | None = None, now: datetime.datetime = NOW) -> Any:
    """Return status, reason and message of the condition Guarded, and type and reason of the Event about it."""
    found = list({**builders.guards(), **{guard.name: guard for guard in missing}}.values())
    status = before or summary.policy_status(stored(), [], NOW)
    (told,) = [c for c in summary.with_guards(status, found, now).conditions if c.type == "Guarded"]
    event = summary.guards_event(stored(status=status), found, now)
    return (told.status, told.reason, told.message), (event.type, event.reason) if event else None


def lacking(name: str = "a", **fields: Any) -> snapshot.Guard:
    return snapshot.Guard(name, None, f"{name} is missing", **fields)


def test_policies_that_are_in_place_are_no_news() -> None:
    """The condition says so, and no Event does."""
    assert said() == (("True", "Intact", "all admission policies that deny are in place"), None)


def test_policies_that_are_missing_are_named_with_the_remedy() -> None:
    """One Event names all of them."""
    told, event = said(lacking("b"), lacking("a"))
    assert told == ("False", "GuardMissing", "a is missing; b is missing")
    assert event == ("Warning", "PolicyGuardMissing")


def test_half_an_upgrade_is_no_alarm_until_it_takes_too_long() -> None:
    """After that, the policy is missing like any other."""
    changing = lacking(excused=at(seconds=40))
    told, event = said(changing)
    assert (told[:2], event) == (("Unknown", "Changing"), None)
    assert "and grants nothing new" in told[2]
    assert said(changing, lacking("b"))[0][:2] == ("False", "GuardMissing")
    late, event = said(changing, now=at(seconds=40))
    assert (late[:2], event) == (("False", "GuardMissing"), ("Warning", "PolicyGuardMissing"))


def after(*steps: Iterable[snapshot.Guard], before: policy.PolicyStatus | None = None) -> policy.PolicyStatus:
    """Return the status after the admission policies were found in these states, one after the other."""
    status = before or summary.policy_status(stored(), [], NOW)
    for found in steps:
        status = summary.with_guards(status, list({**builders.guards(), **{g.name: g for g in found}}.values()), NOW)
    return status


def test_the_end_of_an_upgrade_is_no_news() -> None:
    """No Event says that the policies are in place again if none said that one was missing."""
    changing = lacking(excused=at(seconds=40))
    upgraded = after([changing])
    assert said(before=upgraded) == (("True", "Intact", "all admission policies that deny are in place"), None)
    assert said(before=after([changing], []))[1] is None
    assert said(lacking(), before=after([changing], []))[1] == ("Warning", "PolicyGuardMissing")


def test_a_return_by_way_of_an_upgrade_is_told() -> None:
    """The condition still says what was reported.

    So a restart in between loses nothing, and nothing is reported twice.
    """
    changing = lacking(excused=at(seconds=40))
    between = after([lacking()], [changing])
    told, event = said(changing, before=between)
    assert (told[:2], event) == (("False", "GuardMissing"), None)
    assert told[2].endswith("and grants nothing new")
    assert said(lacking(), before=between)[1] is None
    assert said(before=between)[1] == ("Normal", "PolicyIntact")


def test_missing_policies_are_told_once_and_so_is_their_return() -> None:
    """The stored condition decides, so a restart repeats nothing. Each Event has another key."""
    intact = list(builders.guards().values())
    first = summary.with_guards(summary.policy_status(stored(), [], NOW), [lacking()], NOW)
    assert None is said(lacking(), lacking("b"), before=first)[1]
    assert said(before=first)[1] == ("Normal", "PolicyIntact")
    back = summary.with_guards(first, intact, at(seconds=9))
    again = summary.with_guards(back, [lacking()], at(seconds=20))
    events = [
        summary.guards_event(stored(status=status), guards, at(seconds=30))
        for status, guards in (
            (policy.PolicyStatus(), [lacking()]),
            (first, intact),
            (back, [lacking()]),
            (again, intact),
        )
    ]
    assert len({event.key for event in events if event}) == 4


def test_conditions_stand_beside_each_other() -> None:
    """If nothing has changed, the new status is the same."""
    found = list(builders.guards().values())
    made = summary.with_guards(summary.policy_status(stored(), [], NOW), found, NOW)
    assert [condition.type for condition in made.conditions] == ["Contested", "Guarded", "Ready"]
    assert made == summary.with_guards(
        summary.policy_status(stored(status=made), [], at(minutes=5)), found, at(minutes=5)
    )


def test_contested_namespaces_are_named() -> None:
    """Ten of them are named, with the number of the others. The metric counts all of them."""
    contested = [
        replace(one, namespace=replace(one.namespace, name=f"ns-{number:02}"), contested=at(minutes=9))
        for number in range(12)
        for one in plans()[:1]
    ]
    found = conditions.find(
        summary.policy_status(stored(), [*plans(), *contested], NOW).conditions, conditions.ConditionType.CONTESTED
    )
    assert found is not None
    assert (found.status, found.reason) == ("True", "LabelsReverted")
    assert "on namespaces: ns-00, ns-01, ns-02," in found.message
    assert "ns-09 and 2 more; the Events NamespaceContested of these namespaces name the labels" in found.message


@pytest.mark.parametrize("state", [conditions.ClockSynchronized.SKEWED, conditions.ClockSynchronized.SPREAD])
def test_clocks_that_differ_are_told_once_and_again_when_they_agree(state: conditions.ClockSynchronized) -> None:
    """There is a condition, and one Event for each transition."""
    first = summary.with_clock(summary.policy_status(stored(), [], NOW), state, NOW)
    found = conditions.find(first.conditions, conditions.ConditionType.CLOCK_SYNCHRONIZED)
    assert found is not None
    assert (found.status, found.reason) == ("False", state.value)
    assert "the operator deletes nothing" in found.message
    event = summary.clock_event(stored(), state)
    assert event is not None
    assert (event.type, event.reason) == ("Warning", f"Policy{state}")
    assert None is summary.clock_event(stored(status=first), state)
    back = summary.clock_event(stored(status=first), conditions.ClockSynchronized.AGREES)
    assert back is not None
    assert (back.type, back.reason) == ("Normal", "PolicyAgrees")
    assert None is summary.clock_event(stored(), conditions.ClockSynchronized.AGREES)


def begun(state: ledger.State, *made: plan.NamespacePlan, **counts: int) -> tuple[str, str, str] | None:
    """Return type, reason and message of the Event after a start with the ledger in this state."""
    found = snapshot.LedgerSummary(state, "", policy.LedgerCounts(id="l", **counts))
    event = summary.begun_event(stored(), found, made)
    return (event.type, event.reason, event.message) if event else None


def unapproved() -> plan.NamespacePlan:
    """Return the plan for an exception from before the admission policies."""
    late = builders.guards(since=at(seconds=-1))
    return planned(seen(hne(), guards=late, ledger=snapshot.LedgerView(state=ledger.State.SEEDING)))


def test_a_first_start_names_what_nobody_approved() -> None:
    """If there is no such exception, there is no Event. A start with an intact ledger never has one."""
    assert begun(ledger.State.SEEDING, exceptions=2) is None
    assert begun(ledger.State.INTACT, unapproved()) is None
    told = begun(ledger.State.SEEDING, unapproved(), exceptions=2)
    assert told is not None
    assert told[:2] == ("Warning", "PolicyLedgerSeeded")
    assert told[2].startswith(f"the operator began a new ledger; approved exceptions: 2; NotApproved: {NAMESPACE}/")


def test_a_loss_is_told_of_even_where_every_exception_is_approved_again() -> None:
    """The Event also counts the levels that nobody knows any more, which Release leaves as they are."""
    cost = (
        "the ledger was lost, completely or in part; approved exceptions: 2; ApprovalUnproven: 1;"
        " NotApproved: none; namespaces whose level before enforcement is not known: 3"
    )
    told = begun(ledger.State.LOST, exceptions=2, unproven=1, levels_unknown=3)
    assert told == ("Warning", "PolicyLedgerLost", cost)


def test_levels_that_nobody_knows_are_in_the_condition() -> None:
    """The condition stays True, because everything that can be recorded is recorded, and nothing is withheld."""
    for unknown, words in ((0, "every record"), (3, "namespaces whose level before enforcement is not known: 3;")):
        counts = policy.LedgerCounts(id="l", levels_unknown=unknown)
        found = snapshot.LedgerSummary(ledger.State.INTACT, "", counts)
        made = summary.with_ledger(summary.policy_status(stored(), [], NOW), found, NOW)
        (told,) = [one for one in made.conditions if one.type == "LedgerIntact"]
        assert (told.status, told.reason) == ("True", "Recorded")
        assert words in told.message
        assert ("not known" in told.message) is (unknown > 0)
        assert found.intact
