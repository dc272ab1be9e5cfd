"""How a namespace would be governed for a manifest, which exceptions count there, and what is asked about a pod."""

import dataclasses
from typing import Any

import pytest

from hostnetwork_operator.api import exception, grant, labels
from hostnetwork_operator.decide import checking, snapshot
from tests.unit.builders import ABSENT, IMAGE, NOW, at, denied, governed, hne, namespace, pod

Level = labels.Level
BODY: dict[str, Any] = {
    "metadata": {"name": "gate"},
    "spec": {"hostNetwork": True, "containers": [{"name": "main", "image": IMAGE}]},
}
ENFORCE = labels.PSA_ENFORCE
RULE = {"selector": {"matchLabels": {"tier": "open"}}, "enforce": "privileged"}
RESTRICTED = {"audit": "restricted", "warn": "restricted", "version": "v1.36"}


def living(template: snapshot.Pod | None = None) -> snapshot.Living:
    return snapshot.Living("Pod", "capture", "a.yaml:1", NOW, template or pod(created=NOW), BODY)


@pytest.mark.parametrize(
    ("seen", "policy", "level", "barred"),
    [
        # Where enforcement is not on: the target, or a stricter level of the namespace, which nobody lifts.
        (namespace(), governed(), Level.BASELINE, False),
        (namespace(), governed(pod_security={"enforce": "restricted"}), Level.RESTRICTED, False),
        (namespace(labels={"tier": "open"}), governed(rules=[RULE]), Level.PRIVILEGED, False),
        (namespace(labels={ENFORCE: "restricted"}), governed(), Level.RESTRICTED, True),
        (namespace(labels={ENFORCE: "baseline"}), governed(), Level.BASELINE, True),
        (namespace(labels={ENFORCE: "no-level"}), governed(), Level.RESTRICTED, True),
        # The operator makes this level stricter, and may lift its own level.
        (
            namespace(labels={ENFORCE: "baseline"}),
            governed(pod_security={"enforce": "restricted"}),
            Level.RESTRICTED,
            False,
        ),
        (namespace(labels={ENFORCE: "privileged"}), governed(), Level.BASELINE, False),
        # Where enforcement is on: the level of the namespace, or of its guard while the level is lifted.
        (denied(), governed(), Level.BASELINE, False),
        (denied(hne()), governed(), Level.BASELINE, False),
        (denied(hne(), labels={labels.GUARD: "restricted"}), governed(), Level.RESTRICTED, False),
        # Another client has tightened that level, and the operator does not lift it.
        (denied(labels={ENFORCE: "restricted"}), governed(), Level.RESTRICTED, True),
        (denied(hne(), labels={ENFORCE: "restricted"}), governed(), Level.RESTRICTED, True),
        (denied(hne(), labels={ENFORCE: "no-level"}), governed(), Level.RESTRICTED, True),
        # The operator itself has set the target, and lifts it.
        (
            denied(labels={ENFORCE: "restricted"}),
            governed(pod_security={"enforce": "restricted"}),
            Level.RESTRICTED,
            False,
        ),
        # Without a policy: its defaults.
        (namespace(), ABSENT, Level.BASELINE, False),
        # A namespace that does not exist has the labels of a file. They do not loosen the target.
        (
            namespace(uid="", labels={labels.ENFORCEMENT: "Deny", ENFORCE: "privileged"}),
            governed(),
            Level.BASELINE,
            False,
        ),
        # An exempt namespace has the level that it has.
        (namespace(name="kube-system"), governed(), Level.PRIVILEGED, True),
        (namespace(name="kube-system", labels={ENFORCE: "baseline"}), governed(), Level.BASELINE, True),
        (namespace(), governed(mode="Release"), Level.PRIVILEGED, True),
    ],
)
def test_the_level_is_what_the_namespace_would_enforce(
    seen: snapshot.Namespace, policy: snapshot.PolicyState, level: Level, barred: bool
) -> None:
    found = checking.governed(seen, policy)
    assert (found.level, found.barred) == (level, barred)


@pytest.mark.parametrize(
    ("seen", "written", "target", "level", "barred"),
    [
        # Enforcement is not on: a level of the files counts as one of the namespace.
        (namespace(), "restricted", "baseline", Level.RESTRICTED, True),
        (namespace(), "baseline", "baseline", Level.BASELINE, True),
        (namespace(labels={ENFORCE: "restricted"}), "baseline", "baseline", Level.RESTRICTED, True),
        # Enforcement is on: the files tighten a level, so another client has set that level.
        (denied(), "restricted", "baseline", Level.RESTRICTED, True),
        (denied(hne()), "baseline", "baseline", Level.BASELINE, True),
        (denied(hne()), "no-level", "baseline", Level.RESTRICTED, True),
        # The files tighten nothing, or less than the operator does.
        (denied(), "baseline", "baseline", Level.BASELINE, False),
        (denied(hne()), "privileged", "baseline", Level.BASELINE, False),
        (denied(hne(), labels={labels.GUARD: "restricted"}), "baseline", "restricted", Level.RESTRICTED, False),
    ],
)
def test_a_level_that_the_files_set_counts_if_it_is_stricter(
    seen: snapshot.Namespace, written: str, target: str, level: Level, barred: bool
) -> None:
    found = checking.governed(seen, governed(pod_security={"enforce": target}), None, {ENFORCE: written})
    assert (found.level, found.barred) == (level, barred)


def test_exempt_namespaces_are_those_of_the_policy_unless_others_are_named() -> None:
    names = [name for name in ("kube-system", "a") if checking.governed(namespace(name=name), governed()).exempt]
    assert names == ["kube-system"]
    names = [name for name in ("kube-system", "a") if checking.governed(namespace(name=name), governed(), ["a"]).exempt]
    assert names == ["a"]


def test_the_version_is_that_of_the_policy() -> None:
    assert checking.governed(namespace(), governed(pod_security=RESTRICTED)).version == "v1.36"


def covering(seen: snapshot.Namespace, *written: Any, template: snapshot.Pod | None = None) -> str:
    """Return the verdict on a pod under the exceptions from files and the grants of a namespace."""
    standings = checking.standings(seen, written, None, NOW)
    verdict = checking.judge(template or pod(created=NOW), standings, exempt=False)
    assert verdict is not None
    return verdict.verdict.value


def test_granted_exceptions_count_and_a_file_replaces_the_end_of_its_grant() -> None:
    assert covering(namespace()) == "Uncovered"
    assert covering(namespace(), hne()) == "Covered"
    assert covering(denied(hne())) == "Covered"
    assert covering(denied(hne()), hne("other", images=("other:1",))) == "Covered"
    assert covering(denied(hne()), hne(expiry=at(minutes=-1))) == "Uncovered"
    assert covering(denied(hne(expiry=at(minutes=1))), hne()) == "Covered"


def test_an_end_that_has_passed_cannot_change() -> None:
    ended = denied(hne(expiry=at(minutes=-1)))
    assert checking.changed(hne(), ended, NOW) == ("expiry",)
    assert checking.changed(hne(expiry=at(minutes=-1)), ended, NOW) == ()
    assert covering(ended, hne()) == "Uncovered"


def test_the_granted_exception_stays_if_a_file_changes_what_was_approved() -> None:
    """The API server refuses the file, so that the file widens nothing and narrows nothing."""
    assert covering(denied(hne()), hne(images=("other:1",))) == "Covered"
    assert covering(denied(hne(images=("other:1",))), hne()) == "Uncovered"
    other = denied(hne(images=("other:1",)), uid="uid-of-another-incarnation")
    assert covering(other, hne()) == "Covered"


WIDE = {
    "type": "Infrastructure",
    "images": None,
    "service_account_name": "agent",
    "host_namespaces": ("Network", "PID"),
    "capabilities": ("NET_ADMIN", "SYS_TIME"),
    "host_paths": ({"path": "/proc", "read_only": True},),
}


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("type", {"type": "Application", "images": (IMAGE,)}),
        ("serviceAccountName", {"service_account_name": "other"}),
        ("hostNamespaces", {"host_namespaces": ("Network",)}),
        ("images", {"images": (IMAGE,)}),
        ("capabilities", {"capabilities": ()}),
        ("privileged", {"privileged": True}),
        ("hostPaths", {"host_paths": ({"path": "/proc", "read_only": False},)}),
        ("hostPorts", {"host_ports": True, "host_namespaces": ()}),
        ("podSecurityLevel", {"pod_security_level": "restricted"}),
    ],
)
def test_each_approved_field_that_a_file_changes_is_named(field: str, other: dict[str, Any]) -> None:
    assert field in checking.changed(hne(**{**WIDE, **other}), denied(hne(**WIDE)), NOW)


def test_what_may_change_is_no_change_of_an_approved_field() -> None:
    same = {**WIDE, "host_namespaces": ("PID", "Network"), "capabilities": ("SYS_TIME", "NET_ADMIN")}
    subject = hne(**same, owner="another team", reason="Another reason for it", expiry=at(hours=2))
    assert checking.changed(subject, denied(hne(**WIDE)), NOW) == ()
    assert checking.changed(hne("other"), denied(hne(**WIDE)), NOW) == ()


def test_every_approved_field_of_a_grant_is_compared() -> None:
    free = {"namespace_uid", "until"}
    assert set(checking.APPROVED.values()) == {each.name for each in dataclasses.fields(grant.Grant)} - free
    assert set(checking.APPROVED) == set(exception.IMMUTABLE) - {"component"}  # a grant has no component


def test_a_grant_covers_what_its_exception_covers() -> None:
    """Each field counts: with another value in the pod, the grant does not cover it."""
    subject = hne(
        type="Infrastructure",
        images=None,
        capabilities=("NET_ADMIN",),
        privileged=True,
        host_paths=({"path": "/proc", "read_only": True},),
        pod_security_level="restricted",
    )
    (granted,) = checking.standings(denied(subject), (), None, NOW)
    fields = {"owner", "reason", "on_expiry", "grace_period_seconds"}
    assert granted.exception.spec.model_dump(exclude=fields) == subject.spec.model_dump(exclude=fields)


@pytest.mark.parametrize(
    "seen",
    [
        denied(hne(expiry=at(minutes=-1))),
        denied(hne(), uid="uid-of-another-incarnation"),
        denied(annotations={f"{labels.GRANT_PREFIX}net": "no grant"}),
    ],
)
def test_a_grant_that_the_api_server_ignores_covers_nothing(seen: snapshot.Namespace) -> None:
    assert covering(seen) in {"Uncovered", "Expired"}


def test_an_exception_beyond_the_limits_of_the_policy_covers_nothing() -> None:
    """Once applied it would be Invalid."""
    spec = governed(exceptions={"maxDuration": {"diagnostic": "30m"}}).spec
    assert spec is not None
    (standing,) = checking.standings(namespace(), [hne()], spec.exceptions, NOW)
    assert not standing.in_force


def test_a_pod_without_host_namespaces_has_no_verdict() -> None:
    assert checking.judge(pod(host_namespaces=frozenset()), (), exempt=False) is None


def test_a_covered_pod_is_asked_about_without_its_host_namespaces_unless_its_level_is_not_lifted() -> None:
    """At a level of somebody else, Pod Security refuses also the covered pod, and the answer says the remedy."""
    standings = checking.standings(namespace(), [hne()], None, NOW)
    asked = checking.question(living(), standings, checking.governed(namespace(), governed()))
    assert asked is not None
    assert (asked.level, asked.covered, "hostNetwork" in asked.body["spec"]) == (Level.BASELINE, True, False)
    barred = checking.governed(namespace(labels={ENFORCE: "baseline"}), governed())
    asked = checking.question(living(), standings, barred)
    assert asked is not None
    assert (asked.level, asked.covered, asked.body) == (Level.BASELINE, False, BODY)
    assert asked.lacks.endswith(f"remove the label {ENFORCE}")
    asked = checking.question(living(), (), barred)
    assert asked is not None
    assert asked.lacks == ""


def test_nothing_is_asked_where_every_pod_is_allowed() -> None:
    for seen, policy in (
        (namespace(name="kube-system"), governed()),
        (namespace(), governed(pod_security={"enforce": "privileged"})),
    ):
        assert checking.question(living(), (), checking.governed(seen, policy)) is None
