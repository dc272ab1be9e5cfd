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

    Without such a list the result is not clean, and which pods there are does not matter.
    """
    (found,) = _mixed(planned(seen(hne(), ordinary_pods=ordinary)))
    assert found.result.value == result
    assert found.moments == ()
    assert ("has not listed all pods since" in found.sentence) is (ordinary is None)
    assert _mixed(planned(seen(hne(), pod(), ordinary_pods=ordinary)))[0].sentence == found.sentence


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
    """All of them must be of the release, by any label that names it.

    A pod of another owner, a pod without such labels, or too many pods lead to a warning.
    """
    beside = frozenset(frozenset(release) for release in releases)
    (found,) = _mixed(planned(seen(hne(), SPEAKER, ordinary_pods=True, ordinary_releases=beside)))
    assert (found.result.value, found.noted) == (result, result == "pass")
    assert ("are of the same release by their labels (app" in found.sentence) is (result == "pass")


def test_a_release_of_pods_that_it_does_not_cover_counts_not() -> None:
    """A user who runs a pod beside the exception is another owner, whether or not that pod uses host namespaces."""
    other = pod("other", service_account="web", release=frozenset({"app=web"}))
    beside = {"ordinary_pods": True, "ordinary_releases": frozenset({frozenset({"app=web"})})}
    (found,) = _mixed(planned(seen(hne(), SPEAKER, other, **beside)))
    assert found.result.value == "warn"


def test_a_note_is_shown_and_not_told() -> None:
    """The message of InUse has the note as long as it applies. There is no Event, no warning and no second write."""
    beside = {"ordinary_pods": True, "ordinary_releases": frozenset({frozenset({"app=metallb"})})}
    first = planned(seen(hne(), SPEAKER, **beside))
    assert (
        "the exception covers 1 pod; the ordinary pods in the namespace are of the same release"
        in judged.in_use_message(first)
    )
    assert "MixedNamespace" not in judged.events(first)
    assert statuses(planned(seen(hne(status=statuses(first)["net"]), SPEAKER, **beside))) == {}


@pytest.mark.parametrize(("minutes", "result"), [(0, "skip"), (9, "skip"), (11, "warn")])
@pytest.mark.parametrize("since", ["creation", "last pod"])
def test_before_it_covers_pods_ordinary_ones_wait_for_ten_minutes(minutes: int, result: str, since: str) -> None:
    """The pods of a new exception, or of a rollout, are still to come.

    After ten minutes the rule warns without them.
    """
    ago = at(minutes=-minutes)
    if since == "creation":
        subject = hne(metadata={"creation_timestamp": ago})
    else:
        subject = hne(status=exception.ExceptionStatus(last_used_time=ago))
    (found,) = _mixed(planned(seen(subject, ordinary_pods=True)))
    assert found.result.value == result
    assert found.moments == ((ago + datetime.timedelta(minutes=10),) if result == "skip" else ())


def test_exempt_namespaces_are_mixed_on_purpose() -> None:
    """The rule does not apply in an exempt namespace, nor to an exception that has ended."""
    exempt = governed(exempt_namespaces=(NAMESPACE,))
    assert _mixed(planned(seen(hne(), ordinary_pods=True, policy=exempt))) == []
    assert _mixed(planned(seen(hne(expiry=NOW), ordinary_pods=True))) == []


@pytest.mark.parametrize("pods", [(), (pod(),)])
def test_in_use_says_that_ordinary_pods_are_there(pods: tuple[snapshot.Pod, ...]) -> None:
    """The message of InUse says so, whatever the reason of the condition.

    One Event reports ordinary pods when they come, and another one when they come again. As long as nothing changes,
    nothing is written.
    """
    alone = statuses(planned(seen(hne(), *pods)))["net"]
    mixed = planned(seen(hne(status=alone), *pods, ordinary_pods=True))
    assert set(judged.events(mixed)) == {"MixedNamespace"}
    assert "service account 'netdebug'" in judged.events(mixed)["MixedNamespace"].message
    assert "kubectl get pods -n payments" in judged.in_use_message(mixed)
    shown = hne(status=statuses(mixed)["net"])
    assert statuses(planned(seen(shown, *pods, ordinary_pods=True))) == {}
    back = planned(seen(shown, *pods))
    assert statuses(back)["net"] == alone
    assert judged.events(back) == {}


def test_another_wording_emits_no_second_event() -> None:
    """If an upgrade words the warning differently, the message of InUse is written once, and no Event follows."""
    status = statuses(planned(seen(hne(), pod(), ordinary_pods=True)))["net"]
    old = tuple(
        condition.model_copy(update={"message": "1 pod covered by it; ordinary pods run in its namespace: whoever may"})
        if condition.type == "InUse"
        else condition
        for condition in status.conditions
    )
    made = planned(seen(hne(status=status.model_copy(update={"conditions": old})), pod(), ordinary_pods=True))
    assert "MixedNamespace" not in judged.events(made)
    assert statuses(made)["net"] == status


def test_that_ordinary_pods_are_there_is_told_once_beside_another_reason() -> None:
    """The reason is then TooWide, and the message has both."""
    first = planned(seen(hne(privileged=True), pod(), ordinary_pods=True))
    assert {"TooWide", "MixedNamespace"} <= set(judged.events(first))
    assert judged.condition(first, conditions.ConditionType.IN_USE) == ("True", "TooWide")
    again = hne(privileged=True, status=statuses(first)["net"])
    more = planned(seen(again, pod("a"), pod("b"), ordinary_pods=True))
    assert statuses(more)["net"].covered_pods == 2
    assert judged.events(more) == {}


def _mixed(made: Any) -> list[findings.Finding]:
    return [finding for finding in made.findings if finding.rule is rules.MIXED_NAMESPACE]
