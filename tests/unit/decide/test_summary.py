"""What the policy's status says."""

from typing import Any

from hostnetwork_operator.api import policy
from hostnetwork_operator.decide import plan, snapshot, summary
from tests.unit.builders import NAMESPACE, NOW, at, denied, governed, hne, namespace, planned, pod, seen


def stored(**fields: Any) -> snapshot.PolicyObject:
    given = {
        "uid": "u", "resource_version": "1", "generation": 3, "status": policy.PolicyStatus(), "spec": governed().spec,
    }  # fmt: skip
    return snapshot.PolicyObject(**{**given, **fields})


def plans() -> list[plan.NamespacePlan]:
    """A relaxed namespace, an audited one, an exempt one and a terminating one that is judged only."""
    return [
        planned(seen(pod(), pod("b", mirror=True), hne(), namespace=denied(hne()))),
        planned(seen(pod(), policy=governed(mode="Audit"))),
        planned(seen(pod(), namespace=namespace(), policy=governed(exempt_namespaces=(NAMESPACE,)))),
        planned(seen(pod(), hne(expiry=NOW, on_expiry="Report"))),
    ]


def test_namespaces_and_pods_are_counted() -> None:
    """By how they stand and by verdict."""
    made = summary.policy_status(stored(), plans(), NOW)
    assert policy.NamespaceCounts(deny=2, held=0, audit=1, exempt=1, relaxed=1) == made.namespaces
    assert policy.PodCounts(covered=1, uncovered=1, expired=1, static=1) == made.pods


def test_a_policy_that_is_acted_on_is_accepted() -> None:
    """With its generation and mode."""
    made = summary.policy_status(stored(), [], NOW)
    (ready,) = made.conditions
    assert (
        ready.status, ready.reason, ready.message, made.observed_generation,
    ) == ("True", "Accepted", "acted on; mode Enforce", 3)  # fmt: skip


def test_a_broken_policy_says_what_is_wrong_and_that_the_last_good_one_holds() -> None:
    """Correct it, is the remedy."""
    made = summary.policy_status(stored(spec=None, mistake="mode: Input should be 'Enforce' or 'Audit'"), [], NOW)
    (ready,) = made.conditions
    assert (ready.status, ready.reason) == ("False", "Broken")
    assert (
        ready.message == "not acted on, the last good one holds: mode: Input should be 'Enforce' or 'Audit'; correct it"
    )


def test_a_status_that_says_the_same_is_the_same() -> None:
    """No write a minute when nothing changes."""
    first = summary.policy_status(stored(), plans(), NOW)
    assert first == summary.policy_status(stored(status=first), plans(), at(minutes=9))


def test_an_event_tells_of_a_change_only() -> None:
    """The first time, and when the reason changes."""
    event = summary.policy_event(stored())
    assert event is not None
    assert (event.type, event.reason) == ("Normal", "PolicyAccepted")
    told = stored(status=summary.policy_status(stored(), [], NOW))
    assert None is summary.policy_event(told)
    broken = summary.policy_event(snapshot.PolicyObject("u", "2", 4, told.status, None, "no"))
    assert broken is not None
    assert (broken.type, broken.reason) == ("Warning", "PolicyBroken")
