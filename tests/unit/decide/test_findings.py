"""The findings about an exception: when each rule warns, when it passes, and when it cannot tell."""

import datetime
from typing import Any

import pytest

from hostnetwork_operator.api import conditions, exception, policy
from hostnetwork_operator.decide import effects, findings, rules, snapshot
from tests.unit.builders import (
    ABSENT,
    IMAGE,
    NAMESPACE,
    NOW,
    PINNED,
    UNKNOWN,
    at,
    governed,
    hne,
    host_path,
    planned,
    pod,
    seen,
    statuses,
)

V136 = snapshot.MinorVersion(1, 36)
OLD = {"metadata": {"creation_timestamp": at(hours=-4320)}}
AGENT: dict[str, Any] = {"type": "Infrastructure"}


def said(
    rule: rules.Rule,
    subject: exception.HostNetworkException,
    *pods: snapshot.Pod,
    state: snapshot.PolicyState | None = None,
    kubernetes: snapshot.MinorVersion | None = V136,
    now: datetime.datetime = NOW,
) -> str | None:
    """The result word of the rule about that exception, None where it does not apply."""
    made = planned(seen(subject, *pods, policy=state or governed(), kubernetes=kubernetes), now)
    results = [finding.result.value for finding in made.findings if finding.rule is rule]
    return results[0] if results else None


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (rules.IMAGES_UNRESTRICTED, {**AGENT, "images": None}, {}),
        (rules.IMAGE_NOT_PINNED, {"images": (PINNED, IMAGE)}, {"images": (PINNED,)}),
        (rules.IMAGE_NOT_PINNED, {**AGENT, "images": (PINNED, "r.example.com/agent:*")}, {"images": (PINNED,)}),
        (rules.IMAGE_NOT_PINNED, {**AGENT, "images": ("r.example.com/agent@*",)}, {"images": (PINNED,)}),
        (rules.PRIVILEGED_GRANTED, {"privileged": True}, {}),
        (rules.DEFAULT_SERVICE_ACCOUNT, {"service_account_name": None}, {}),
        (rules.DEFAULT_SERVICE_ACCOUNT, {"service_account_name": "default"}, {}),
        (rules.CONTACT_MISSING, {}, {"contact": "net@example.com"}),
    ],
)
def test_a_rule_on_what_an_exception_says(rule: rules.Rule, bad: dict[str, Any], good: dict[str, Any]) -> None:
    """It warns of the one and passes the other."""
    assert (said(rule, hne(**bad)), said(rule, hne(**good))) == ("warn", "pass")


def test_without_images_there_is_nothing_to_pin() -> None:
    """Then ImagesUnrestricted says it."""
    assert None is said(rules.IMAGE_NOT_PINNED, hne(**AGENT))


@pytest.mark.parametrize(
    ("kind", "warning", "before"),
    [
        ("Diagnostic", {}, {"minutes": 30}),
        ("Diagnostic", {"Diagnostic": "5m"}, {"minutes": 5}),
        ("Application", {}, {"hours": 168}),
        ("Infrastructure", {"Application": "1h"}, {"hours": 1}),
    ],
)
def test_it_is_expiring_from_so_long_before_its_end(kind: str, warning: dict[str, str], before: Any) -> None:
    """From that second on, and the next check is then."""
    end = at(hours=200) if kind != "Diagnostic" else at(hours=1)
    subject = hne(type=kind, images=(IMAGE,), expiry=end)
    state = governed(exceptions={"warnBefore": warning})
    moment = end - datetime.timedelta(**before)
    second = datetime.timedelta(seconds=1)
    assert said(rules.EXPIRING, subject, state=state, now=moment - second) == "pass"
    assert said(rules.EXPIRING, subject, state=state, now=moment) == "warn"
    assert moment == planned(seen(subject, policy=state), moment - second).next_check


def test_what_has_no_expiry_or_has_ended_is_not_expiring() -> None:
    """The condition says so; of what has ended there is no finding at all."""
    assert said(rules.EXPIRING, hne(**AGENT)) == "pass"
    made = planned(seen(hne(expiry=NOW)))
    assert made.findings == ()
    assert _shown(made, conditions.ConditionType.EXPIRING) == ("False", "Ended")


@pytest.mark.parametrize(
    ("review", "created", "now", "result"),
    [
        (None, -4320, NOW, "warn"),
        (None, -4319, NOW, "pass"),
        ({"time": at(hours=-1)}, -9000, NOW, "pass"),
        ({"time": at(hours=-4320)}, -9000, NOW, "warn"),
        ({"time": at(hours=1)}, -9000, NOW, "warn"),
        ({"time": at(hours=1)}, -9000, at(hours=1), "pass"),
    ],
)
def test_a_review_is_due_so_long_after_the_last(review: Any, created: int, now: datetime.datetime, result: str) -> None:
    """After the later of creation and review.time; a review that is yet to come is none."""
    subject = hne(**AGENT, review=review, metadata={"creation_timestamp": at(hours=created)})
    state = governed(exceptions={"reviewOnUpgrade": False})
    assert result == said(rules.REVIEW_DUE, subject, state=state, now=now)
    assert None is said(rules.REVIEW_DUE, hne())


@pytest.mark.parametrize(
    ("reviewed", "cluster", "asked", "result"),
    [
        ("1.35", V136, True, "warn"),
        ("1.9", V136, True, "warn"),
        ("1.36", V136, True, "pass"),
        ("1.37", V136, True, "pass"),
        ("1.35", V136, False, "pass"),
        ("1.35", None, True, "pass"),
        (None, V136, True, "skip"),
        (None, V136, False, "pass"),
    ],
)
def test_a_review_is_due_after_an_upgrade(reviewed: Any, cluster: Any, asked: bool, result: str) -> None:
    """Where the cluster's minor version is newer than that of the review; without one it cannot be told."""
    subject = hne(**AGENT, review={"kubernetes_version": reviewed})
    state = governed(exceptions={"reviewOnUpgrade": asked})
    assert result == said(rules.REVIEW_DUE, subject, state=state, kubernetes=cluster)


def test_without_a_version_the_condition_is_unknown() -> None:
    """Cannot tell is its own answer, and no Event."""
    made = planned(seen(hne(**AGENT), kubernetes=V136))
    assert _shown(made, conditions.ConditionType.REVIEW_DUE) == ("Unknown", "VersionNotSaid")
    assert "ReviewDue" not in _told(made)


def test_it_is_unused_so_long_after_its_last_pod() -> None:
    """After its creation where it never had one; with a pod never."""
    subject = hne(**AGENT, metadata={"creation_timestamp": at(hours=-720)})
    assert said(rules.UNUSED, subject) == "warn"
    assert said(rules.UNUSED, subject, now=at(seconds=-1)) == "pass"
    soon = governed(exceptions={"unusedAfter": "30m"})
    assert said(rules.UNUSED, hne(), state=soon) == "warn"
    assert said(rules.UNUSED, hne(), pod(), state=soon) == "pass"
    left = hne(**AGENT, **OLD, status=exception.ExceptionStatus(last_used_time=at(hours=-719)))
    assert said(rules.UNUSED, left) == "pass"
    assert said(rules.UNUSED, left, now=at(hours=1)) == "warn"
    going = hne(**AGENT, **OLD, status=exception.ExceptionStatus(covered_pods=1))
    assert said(rules.UNUSED, going) == "pass"


@pytest.mark.parametrize(
    ("named", "used", "excess"),
    [
        ({"privileged": True}, {}, "privileged"),
        ({"host_namespaces": ("Network", "PID")}, {}, "host namespace PID"),
        (
            {"capabilities": ("NET_ADMIN", "SYS_TIME")},
            {"capabilities": frozenset({"NET_ADMIN"})},
            "capability SYS_TIME",
        ),
        ({"host_paths": ({"path": "/proc"},)}, {}, "host path /proc"),
        (
            {"host_paths": ({"path": "/", "read_only": False},)},
            {"host_paths": frozenset({host_path("/etc")})},
            "writing to /",
        ),
        ({"images": (IMAGE, PINNED)}, {}, f"image {PINNED}"),
    ],
)
def test_what_no_pod_uses_is_too_wide(named: dict[str, Any], used: dict[str, Any], excess: str) -> None:
    """Each thing that an exception names; not while its pods are young, and not without pods."""
    subject = hne(**named)
    (wide,) = [f for f in planned(seen(subject, pod(**used))).findings if f.rule is rules.TOO_WIDE]
    assert ("warn", f"it names what no pod of it uses: {excess}") == (wide.result, wide.sentence)
    assert said(rules.TOO_WIDE, subject, pod(**used, created=at(minutes=-9))) == "skip"
    assert said(rules.TOO_WIDE, subject) == "skip"


def test_a_young_pod_beside_an_old_one_does_not_end_the_judgement() -> None:
    """The oldest counts: where pods come and go all day it is judged all the same."""
    subject = hne(privileged=True)
    assert said(rules.TOO_WIDE, subject, pod("old"), pod("young", created=at(minutes=-1))) == "warn"


def test_a_path_that_is_named_read_only_is_used_by_reading() -> None:
    """Only a path that may be written can be too wide for that."""
    subject = hne(host_paths=({"path": "/proc"},))
    assert said(rules.TOO_WIDE, subject, pod(host_paths=frozenset({host_path("/proc")}))) == "pass"


def test_what_one_of_its_pods_uses_is_not_too_wide() -> None:
    """All pods together; a mount below a path uses it."""
    named = {"privileged": True, "capabilities": ("NET_ADMIN",), "host_paths": ({"path": "/proc", "read_only": False},)}
    one = pod("one", privileged=True, host_paths=frozenset({host_path("/proc/net", write=True)}))
    assert said(rules.TOO_WIDE, hne(**named), one, pod("two", capabilities=frozenset({"NET_ADMIN"}))) == "pass"


@pytest.mark.parametrize("rule", [rules.EXPIRING, rules.REVIEW_DUE, rules.UNUSED])
def test_where_the_policy_is_not_known_its_rules_cannot_be_judged(rule: rules.Rule) -> None:
    """An error, and the conditions stay as they are; where there is none its defaults count."""
    subject = hne(**AGENT, expiry=at(hours=1))
    assert said(rule, subject, state=UNKNOWN) == "error"
    assert said(rule, subject) == said(rule, subject, state=ABSENT)
    made = planned(seen(subject, policy=UNKNOWN))
    kinds = {one.type for one in statuses(made)["net"].conditions}
    assert {"Ready", "InUse"} == kinds


@pytest.mark.parametrize(("ordinary", "result"), [(True, "warn"), (False, "pass"), (None, "skip")])
def test_ordinary_pods_beside_an_exception(ordinary: bool | None, result: str) -> None:
    """As the last list had it; not looked at is not clean, and which pods it was does not matter."""
    (found,) = _mixed(planned(seen(hne(), ordinary_pods=ordinary)))
    assert found.result.value == result
    assert found.moments == ()
    assert ("has not been looked through" in found.sentence) is (ordinary is None)
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
    """All of them, by any label that says it; one of another owner, without such labels, or of too many, is none."""
    beside = frozenset(frozenset(release) for release in releases)
    (found,) = _mixed(planned(seen(hne(), SPEAKER, ordinary_pods=True, ordinary_releases=beside)))
    assert (found.result.value, found.noted) == (result, result == "pass")
    assert ("are of the same release by their labels (app" in found.sentence) is (result == "pass")


def test_a_release_of_pods_that_it_does_not_cover_counts_not() -> None:
    """Whoever runs a pod of his own beside it is another owner, host namespaces or not."""
    other = pod("other", service_account="web", release=frozenset({"app=web"}))
    beside = {"ordinary_pods": True, "ordinary_releases": frozenset({frozenset({"app=web"})})}
    (found,) = _mixed(planned(seen(hne(), SPEAKER, other, **beside)))
    assert found.result.value == "warn"


def test_a_note_is_shown_and_not_told() -> None:
    """In the message of InUse, as long as it stays so; no Event, no warning, no second write."""
    beside = {"ordinary_pods": True, "ordinary_releases": frozenset({frozenset({"app=metallb"})})}
    first = planned(seen(hne(), SPEAKER, **beside))
    assert "1 pod covered by it; the ordinary pods in its namespace are of the same release" in _message(first)
    assert "MixedNamespace" not in _told(first)
    assert statuses(planned(seen(hne(status=statuses(first)["net"]), SPEAKER, **beside))) == {}


@pytest.mark.parametrize(("minutes", "result"), [(0, "skip"), (9, "skip"), (11, "warn")])
@pytest.mark.parametrize("since", ["creation", "last pod"])
def test_before_it_covers_pods_ordinary_ones_wait_for_ten_minutes(minutes: int, result: str, since: str) -> None:
    """The pods of a new exception, and of a rollout, are still to come; then the warning is due without them."""
    ago = at(minutes=-minutes)
    if since == "creation":
        subject = hne(metadata={"creation_timestamp": ago})
    else:
        subject = hne(status=exception.ExceptionStatus(last_used_time=ago))
    (found,) = _mixed(planned(seen(subject, ordinary_pods=True)))
    assert found.result.value == result
    assert found.moments == ((ago + datetime.timedelta(minutes=10),) if result == "skip" else ())


def test_exempt_namespaces_are_mixed_on_purpose() -> None:
    """There it is no matter, nor of an exception that has ended."""
    exempt = governed(exempt_namespaces=(NAMESPACE,))
    assert _mixed(planned(seen(hne(), ordinary_pods=True, policy=exempt))) == []
    assert _mixed(planned(seen(hne(expiry=NOW), ordinary_pods=True))) == []


@pytest.mark.parametrize("pods", [(), (pod(),)])
def test_in_use_says_that_ordinary_pods_are_there(pods: tuple[snapshot.Pod, ...]) -> None:
    """In its message, whatever its reason; told once when they come, again when they have been away, and no write
    as long as it stays so."""
    alone = statuses(planned(seen(hne(), *pods)))["net"]
    mixed = planned(seen(hne(status=alone), *pods, ordinary_pods=True))
    assert set(_told(mixed)) == {"MixedNamespace"}
    assert "service account 'netdebug'" in _told(mixed)["MixedNamespace"].message
    assert "kubectl get pods -n payments" in _message(mixed)
    shown = hne(status=statuses(mixed)["net"])
    assert statuses(planned(seen(shown, *pods, ordinary_pods=True))) == {}
    back = planned(seen(shown, *pods))
    assert statuses(back)["net"] == alone
    assert _told(back) == {}


def test_that_ordinary_pods_are_there_is_told_once_beside_another_reason() -> None:
    """TooWide is the reason then, and the message has both."""
    first = planned(seen(hne(privileged=True), pod(), ordinary_pods=True))
    assert {"TooWide", "MixedNamespace"} <= set(_told(first))
    assert _shown(first, conditions.ConditionType.IN_USE) == ("True", "TooWide")
    again = hne(privileged=True, status=statuses(first)["net"])
    more = planned(seen(again, pod("a"), pod("b"), ordinary_pods=True))
    assert statuses(more)["net"].covered_pods == 2
    assert _told(more) == {}


# -- who is told, and when ------------------------------------------------------------------------------------------


def test_a_finding_is_told_when_it_appears_and_not_again() -> None:
    """On the exception, as a warning, with the remedy; once the status says it, no more."""
    subject = hne(expiry=at(minutes=20))
    first = planned(seen(subject))
    assert {"Active", "Expiring", "ImageNotPinned", "ContactMissing"} == set(_told(first))
    event = _told(first)["ContactMissing"]
    assert (event.type, event.regarding.name) == ("Warning", "net")
    assert "it does not say how its owner 'team-sre-network' is reached; say how" in event.message
    assert "kubectl patch hne net -n payments" in event.message
    again = seen(hne(expiry=at(minutes=20), status=statuses(first)["net"]), pod())
    assert _told(planned(again)) == {}


def test_a_changed_spec_is_told_of_again() -> None:
    """What a person has just written is judged as a whole."""
    first = statuses(planned(seen(hne())))["net"]
    changed = hne(status=first, metadata={"generation": 2})
    assert {"ImageNotPinned", "ContactMissing"} == set(_told(planned(seen(changed))))


def test_pods_and_owners_are_told_of_the_end() -> None:
    """Ten pods and their owners, each once."""
    owner = snapshot.Reference("Deployment", NAMESPACE, "proxy", "uid-of-proxy", "apps/v1")
    subject = hne(type="Application", expiry=at(hours=100))
    made = planned(seen(subject, *(pod(f"pod-{n:02}", owner=owner) for n in range(12))))
    (write,) = [e for e in made.effects if isinstance(e, effects.WriteExceptionStatus)]
    told = [event.regarding.name for event in write.told if event.reason == "Expiring"]
    assert ["net", *(f"pod-{n:02}" for n in range(10)), "proxy"] == told


def test_in_exempt_namespaces_nobody_is_told() -> None:
    """The findings are there, and the conditions."""
    made = planned(seen(hne(), policy=governed(exempt_namespaces=(NAMESPACE,))))
    assert _told(made) == {}
    assert made.findings
    assert _shown(made, conditions.ConditionType.EXPIRING) == ("False", "NotSoon")


def test_in_use_says_what_is_too_wide_and_what_is_unused() -> None:
    """Its reason changes, its status does not."""
    wide = planned(seen(hne(privileged=True), pod()))
    assert _shown(wide, conditions.ConditionType.IN_USE) == ("True", "TooWide")
    unused = planned(seen(hne(**AGENT, **OLD)))
    assert _shown(unused, conditions.ConditionType.IN_USE) == ("False", "Unused")
    assert {"TooWide"} <= set(_told(wide))
    assert {"Unused"} <= set(_told(unused))


def test_every_rule_has_another_id_and_a_remedy_filled_in() -> None:
    """Nothing in angle brackets is left."""
    made = planned(seen(hne(**AGENT, privileged=True), kubernetes=V136)).findings
    made += planned(seen(hne())).findings
    assert len({rule.id for rule in findings.RULES}) == len(findings.RULES)
    assert {finding.rule for finding in made} == set(findings.RULES)
    assert [finding.remedy for finding in made if "<" in finding.remedy] == []


def test_the_settings_are_the_policys() -> None:
    """Defaults without one, nothing where it is not known."""
    assert policy.Exceptions() == findings.settings_of(ABSENT)
    assert None is findings.settings_of(UNKNOWN)
    assert governed(exceptions={"unusedAfter": "1h"}).spec is not None


def _told(made: Any) -> dict[str, effects.EmitEvent]:
    """Reason to Event on an exception."""
    writes = [e for e in made.effects if isinstance(e, effects.WriteExceptionStatus)]
    return {event.reason: event for write in writes for event in write.told if event.regarding.name == "net"}


def _mixed(made: Any) -> list[findings.Finding]:
    return [finding for finding in made.findings if finding.rule is rules.MIXED_NAMESPACE]


def _message(made: Any) -> str:
    """Of the condition InUse that is to be written."""
    found = conditions.find(statuses(made)["net"].conditions, conditions.ConditionType.IN_USE)
    assert found is not None
    return found.message


def _shown(made: Any, kind: conditions.ConditionType) -> tuple[str, str]:
    found = conditions.find(statuses(made)["net"].conditions, kind)
    assert found is not None
    return found.status, found.reason
