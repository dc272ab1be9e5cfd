"""Whether the admission policies that everything rests on are in place."""

from typing import Any

import pytest

from hostnetwork_operator.api import fingerprint, labels, ledger
from hostnetwork_operator.decide import guards, snapshot
from tests.unit import builders
from tests.unit.builders import NOW, at

NAME = labels.POLICY_HOST_NAMESPACES
APPLY = "run kubectl apply -k manifests/admission"
REPLACE = "run kubectl replace --save-config -k manifests/admission"
OTHER = f"to other requests than in the shipped binding; {REPLACE}"
THIS = {NAME: fingerprint.Shipped("requests", "words", "bound")}
BEFORE = {NAME: fingerprint.Shipped("requests before", "words before", "bound before")}


def rule(**fields: Any) -> guards.AdmissionPolicy:
    defaults = {
        "name": NAME,
        "uid": "uid-of-policy",
        "generation": 1,
        "created": at(hours=-2),
        "fails_closed": True,
        "selects": "requests",
        "says": "words",
    }
    return guards.AdmissionPolicy(**{**defaults, **fields})


def binding(**fields: Any) -> guards.Binding:
    defaults = {
        "name": "b",
        "uid": "uid-of-b",
        "generation": 1,
        "created": at(hours=-1),
        "policy": NAME,
        "denies": True,
        "bound": "bound",
    }
    return guards.Binding(**{**defaults, **fields})


def judge(
    *objects: guards.AdmissionPolicy | guards.Binding, record: ledger.GuardRecord | None = None, now: Any = NOW
) -> snapshot.Guard:
    return guards.judge(
        (t for t in objects if isinstance(t, guards.AdmissionPolicy)),
        (t for t in objects if isinstance(t, guards.Binding)),
        (THIS, BEFORE),
        {NAME: record} if record else {},
        now,
    )[NAME]


def test_a_policy_that_was_never_changed_is_in_place_since_the_younger_of_both_was_created() -> None:
    """Only the API server sets generation and creationTimestamp."""
    assert at(hours=-1) == judge(rule(), binding()).since
    assert judge(rule(created=NOW), binding()).since == NOW


@pytest.mark.parametrize(("of_policy", "of_binding"), [(2, 1), (1, 2), (3, 7)])
def test_a_policy_that_was_changed_counts_from_when_it_was_first_seen_so(of_policy: int, of_binding: int) -> None:
    """Nobody knows when the policy was changed. What the ledger remembers about the very same generations counts."""
    objects = rule(generation=of_policy), binding(generation=of_binding)
    first = judge(*objects)
    assert first.since == NOW
    assert judge(*objects, record=guards.record(first), now=at(hours=1)).since == NOW
    assert judge(*objects, now=at(hours=1)).since == at(hours=1)


@pytest.mark.parametrize(
    "objects",
    [
        (rule(generation=3), binding()),
        (rule(uid="another", generation=2), binding()),
        (rule(generation=2), binding(generation=2)),
        (rule(generation=2), binding(uid="another")),
    ],
)
def test_any_change_of_policy_or_binding_makes_another_identity(objects: tuple[Any, ...]) -> None:
    """This includes a change that was reverted, and a policy or binding that was deleted and created again."""
    before = judge(rule(generation=2), binding())
    after = judge(*objects, record=guards.record(before), now=at(hours=1))
    assert after.identity != before.identity
    assert after.since == at(hours=1)


def test_labels_annotations_and_managed_fields_make_nothing_younger() -> None:
    """Such changes raise no generation, so the identity is the same."""
    assert judge(rule(), binding()).identity == judge(rule(), binding()).identity != ""


def test_what_is_not_in_place_is_not_remembered() -> None:
    """The ledger remembers since when the expressions are unknown, so a restart does not start another minute."""
    assert None is guards.record(judge(binding()))
    unknown_guard = judge(rule(says="x", generation=2), binding())
    later_guard = judge(
        rule(says="x", generation=2), binding(), record=guards.record(unknown_guard), now=at(seconds=30)
    )
    assert later_guard.excused == unknown_guard.excused == at(seconds=60)


def test_the_oldest_denying_binding_counts() -> None:
    """A second binding changes nothing, whatever it selects, because every binding of a policy is enforced."""
    assert at(hours=-1) == judge(rule(), binding(), binding(name="a", created=NOW)).since
    assert at(hours=-1) == judge(rule(), binding(), binding(name="a", bound="other")).since


def test_what_the_last_release_ships_counts_piece_by_piece() -> None:
    """During an upgrade the policy may be of one release and the binding of the other."""
    before = {"selects": "requests before", "says": "words before"}
    for policy, bound in ((before, "bound before"), (before, "bound"), ({}, "bound before")):
        assert at(hours=-1) == judge(rule(**policy), binding(bound=bound)).since


def test_a_policy_that_no_release_is_known_to_ship_does_not_count() -> None:
    """If no release is known, no policy counts."""
    assert None is guards.judge([rule()], [binding()], ({},), {}, NOW)[NAME].since


@pytest.mark.parametrize(
    ("objects", "why"),
    [
        ((), f"is missing; {APPLY}"),
        ((binding(),), f"is missing; {APPLY}"),
        ((rule(deleting=True), binding()), f"is missing; {APPLY}"),
        ((rule(fails_closed=False), binding()), f"must have failurePolicy: Fail; {APPLY}"),
        ((rule(fails_closed=False, says="x"), binding()), f"must have failurePolicy: Fail; {APPLY}"),
        ((rule(),), f"has no binding with validationActions Deny; {APPLY}"),
        ((rule(), binding(denies=False)), f"has no binding with validationActions Deny; {APPLY}"),
        ((rule(), binding(deleting=True)), f"has no binding with validationActions Deny; {APPLY}"),
        ((rule(), binding(policy="another")), f"has no binding with validationActions Deny; {APPLY}"),
        ((rule(says="x"), binding(denies=False)), f"has no binding with validationActions Deny; {APPLY}"),
        (
            (rule(), binding(bound="x"), binding(name="a", bound="y")),
            f"is bound by 'a', 'b' {OTHER}",
        ),
        (
            (rule(), binding(bound="x"), binding(denies=False)),
            f"is bound by 'b' {OTHER}",
        ),
        ((rule(says="x"), binding(bound="x")), f"is bound by 'b' {OTHER}"),
    ],
)
def test_anything_weaker_is_missing_at_once(objects: tuple[Any, ...], why: str) -> None:
    """The guard says what is missing."""
    guard = judge(*objects)
    assert None is guard.since
    assert f"ValidatingAdmissionPolicy {NAME!r} {why}" == guard.why_not
    assert not guard.counts(NOW)
    assert guard.missing(NOW)


def test_other_match_constraints_are_missing_at_once() -> None:
    """The operator does not guess whether they are narrower."""
    guard = judge(rule(selects="x", says="x", created=NOW), binding())
    assert (guard.since, guard.missing(NOW)) == (None, True)
    assert (
        f"matchConstraints of ValidatingAdmissionPolicy {NAME!r} differ from the shipped policy; {REPLACE}"
        == guard.why_not
    )


def test_other_expressions_are_missing_a_minute_after_they_came() -> None:
    """Until then the policy may be half of an upgrade: nothing new rests on it, and existing grants stay."""
    guard = judge(rule(says="x", created=NOW), binding())
    assert (guard.since, guard.excused) == (None, at(seconds=60))
    assert f"expressions of ValidatingAdmissionPolicy {NAME!r} differ from those" in guard.why_not
    assert [guard.missing(now) for now in (NOW, at(seconds=59), at(seconds=60))] == [False, False, True]
    assert not [now for now in (NOW, at(seconds=59), at(seconds=60)) if guard.counts(now)]


def test_what_is_there_and_young_is_not_missing() -> None:
    """The guard does not count yet, and revokes nothing."""
    guard = judge(rule(created=NOW), binding())
    assert (guard.counts(at(seconds=4)), guard.missing(at(seconds=4))) == (False, False)


def test_every_policy_of_ours_has_a_guard() -> None:
    """This is true even if the cluster has no admission policy at all."""
    assert set(labels.POLICIES) == set(guards.judge((), (), (THIS,), {}, NOW))


@pytest.mark.parametrize(("age", "counts"), [(4, False), (5, True), (6, True)])
def test_a_policy_counts_after_five_seconds(age: int, counts: bool) -> None:
    """The API server needs about one second to load a policy."""
    assert counts is snapshot.Guard(NAME, at(seconds=-age)).counts(NOW)


def test_the_first_that_is_missing_is_named() -> None:
    """The order of the requested names decides which guard is first. If no guard is missing, the result is None."""
    present_guards = builders.guards(missing=[labels.POLICY_RELAXED_NAMESPACE, labels.POLICY_HOST_NAMESPACES])
    for find in (guards.first_uncounted, guards.first_missing):
        guard = find(present_guards.values(), labels.POLICIES, NOW)
        assert guard is not None
        assert guard.name == labels.POLICY_HOST_NAMESPACES
        assert None is find(builders.guards().values(), labels.POLICIES, NOW)


def test_a_guard_that_was_never_read_is_missing() -> None:
    """A guard that was not read is not in place."""
    for find in (guards.first_uncounted, guards.first_missing):
        guard = find([], labels.POLICIES, NOW)
        assert guard is not None
        assert guard.why_not == "the operator has not read the admission policies yet"
