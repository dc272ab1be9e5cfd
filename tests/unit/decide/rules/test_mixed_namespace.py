"""The rule MixedNamespace: ordinary pods in the namespace of an exception, of the same release or of another."""

import datetime
from typing import Any

import pytest

from hostnetwork_operator.api import conditions, exception
from hostnetwork_operator.decide import findings, rules, snapshot
from tests.unit.builders import NAMESPACE, NOW, at, governed, hne, planned, pod, seen, statuses
from tests.unit.decide.rules import judged

EXAMPLE = judged.example(hne())


@pytest.mark.parametrize(("ordinary", "result"), [(True, "warn"), (False, "pass"), (None, "skip")])
def test_ordinary_pods_beside_an_exception(ordinary: bool | None, result: str) -> None:
    """The last list of all pods counts.

    Without such a list the result is skip. Pods that the exception covers change nothing.
    """
    (finding,) = _findings(planned(seen(hne(), ordinary_pods=ordinary)))
    assert finding.result.value == result
    assert finding.moments == ()
    assert ("has not listed all pods since" in finding.sentence) is (ordinary is None)
    assert _findings(planned(seen(hne(), pod(), ordinary_pods=ordinary)))[0].sentence == finding.sentence


SPEAKER = pod(release=frozenset({"app=metallb", "app.kubernetes.io/instance=lb"}))


@pytest.mark.parametrize(
    ("releases", "result"),
    [
        ([{"app=metallb"}], "pass"),
        ([{"app.kubernetes.io/instance=lb", "app=controller"}, {"app=metallb"}], "pass"),
        ([{"app=metallb"}, {"app=web"}], "warn"),
        ([{"app=metallb"}, set()], "warn"),
        ([{"app.kubernetes.io/part-of=lb"}], "warn"),
        ([], "warn"),
    ],
)
def test_ordinary_pods_of_the_same_release_are_a_note(releases: list[set[str]], result: str) -> None:
    """All ordinary pods must be of the release, by any label that names the release.

    A pod of another owner, a pod without such labels, or too many pods lead to a warning.
    """
    ordinary_releases = frozenset(frozenset(release) for release in releases)
    (finding,) = _findings(planned(seen(hne(), SPEAKER, ordinary_pods=True, ordinary_releases=ordinary_releases)))
    assert (finding.result.value, finding.noted) == (result, result == "pass")
    assert ("are of the same release by their labels (app" in finding.sentence) is (result == "pass")


def test_a_release_of_pods_that_it_does_not_cover_counts_not() -> None:
    """A user who runs a pod that the exception does not cover is another owner, whatever that pod uses."""
    other = pod("other", service_account="web", release=frozenset({"app=web"}))
    fields = {"ordinary_pods": True, "ordinary_releases": frozenset({frozenset({"app=web"})})}
    (finding,) = _findings(planned(seen(hne(), SPEAKER, other, **fields)))
    assert finding.result.value == "warn"


def test_a_note_is_shown_and_not_told() -> None:
    """The message of InUse has the note as long as it applies. There is no Event, no warning and no second write."""
    fields = {"ordinary_pods": True, "ordinary_releases": frozenset({frozenset({"app=metallb"})})}
    first_plan = planned(seen(hne(), SPEAKER, **fields))
    assert (
        "the exception covers 1 pod; the ordinary pods in the namespace are of the same release"
        in judged.in_use_message(first_plan)
    )
    assert "MixedNamespace" not in judged.events(first_plan)
    assert statuses(planned(seen(hne(status=statuses(first_plan)["net"]), SPEAKER, **fields))) == {}


@pytest.mark.parametrize(("minutes", "result"), [(0, "skip"), (9, "skip"), (11, "warn")])
@pytest.mark.parametrize("since", ["creation", "last pod"])
def test_before_it_covers_pods_ordinary_ones_wait_for_ten_minutes(minutes: int, result: str, since: str) -> None:
    """The pods of a new exception, or of a rollout, are still to come.

    After ten minutes the rule warns without them.
    """
    moment = at(minutes=-minutes)
    if since == "creation":
        subject = hne(metadata={"creation_timestamp": moment})
    else:
        subject = hne(status=exception.ExceptionStatus(last_used_time=moment))
    (finding,) = _findings(planned(seen(subject, ordinary_pods=True)))
    assert finding.result.value == result
    assert finding.moments == ((moment + datetime.timedelta(minutes=10),) if result == "skip" else ())


def test_exempt_namespaces_are_mixed_on_purpose() -> None:
    """The rule does not apply in an exempt namespace, nor to an exception that has ended."""
    policy_state = governed(exempt_namespaces=(NAMESPACE,))
    assert _findings(planned(seen(hne(), ordinary_pods=True, policy=policy_state))) == []
    assert _findings(planned(seen(hne(expiry=NOW), ordinary_pods=True))) == []


@pytest.mark.parametrize("pods", [(), (pod(),)])
def test_in_use_says_that_ordinary_pods_are_there(pods: tuple[snapshot.Pod, ...]) -> None:
    """The message of InUse says so, whatever the reason of the condition.

    One Event reports ordinary pods when they come, and another one when they come again. As long as nothing changes,
    nothing is written.
    """
    status = statuses(planned(seen(hne(), *pods)))["net"]
    plan = planned(seen(hne(status=status), *pods, ordinary_pods=True))
    assert set(judged.events(plan)) == {"MixedNamespace"}
    assert "service account 'netdebug'" in judged.events(plan)["MixedNamespace"].message
    assert "kubectl get pods -n payments" in judged.in_use_message(plan)
    subject = hne(status=statuses(plan)["net"])
    assert statuses(planned(seen(subject, *pods, ordinary_pods=True))) == {}
    later_plan = planned(seen(subject, *pods))
    assert statuses(later_plan)["net"] == status
    assert judged.events(later_plan) == {}


def test_another_wording_emits_no_second_event() -> None:
    """If an upgrade words the warning differently, the message of InUse is written once, and no Event follows."""
    status = statuses(planned(seen(hne(), pod(), ordinary_pods=True)))["net"]
    old_conditions = tuple(
        condition.model_copy(update={"message": "1 pod covered by it; ordinary pods run in its namespace: whoever may"})
        if condition.type == "InUse"
        else condition
        for condition in status.conditions
    )
    plan = planned(
        seen(hne(status=status.model_copy(update={"conditions": old_conditions})), pod(), ordinary_pods=True)
    )
    assert "MixedNamespace" not in judged.events(plan)
    assert statuses(plan)["net"] == status


def test_that_ordinary_pods_are_there_is_told_once_beside_another_reason() -> None:
    """The reason is then TooWide, and the message has both."""
    first_plan = planned(seen(hne(privileged=True), pod(), ordinary_pods=True))
    assert {"TooWide", "MixedNamespace"} <= set(judged.events(first_plan))
    assert judged.condition(first_plan, conditions.ConditionType.IN_USE) == ("True", "TooWide")
    subject = hne(privileged=True, status=statuses(first_plan)["net"])
    later_plan = planned(seen(subject, pod("a"), pod("b"), ordinary_pods=True))
    assert statuses(later_plan)["net"].covered_pods == 2
    assert judged.events(later_plan) == {}


def _findings(plan: Any) -> list[findings.Finding]:
    return [finding for finding in plan.findings if finding.rule is rules.MIXED_NAMESPACE]
