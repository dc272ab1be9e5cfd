"""How an exception stands by itself: valid, approved, not yet over."""

from typing import Any

import pytest

from hostnetwork_operator.api import conditions, exception, labels, policy
from hostnetwork_operator.decide import snapshot, validity
from tests.unit.builders import IMAGE, NOW, PINNED, UID, at, hne, namespace

Ready = conditions.Ready
WRITERS = labels.POLICY_EXCEPTION_WRITERS


def stand(
    subject: exception.HostNetworkException,
    *,
    home: snapshot.Namespace | None = None,
    rules: policy.Exceptions | None = policy.Exceptions(),  # noqa: B008 - frozen
    writers: snapshot.Guard | None = None,
    now: Any = NOW,
) -> validity.Standing:
    return validity.stand(subject, home or namespace(), rules, writers or snapshot.Guard(WRITERS, at(days=-1)), now)


def judged(uid: str | None = UID, *, generation: int = 1, reason: Ready = Ready.ACTIVE) -> exception.ExceptionStatus:
    ready = conditions.Condition(
        type="Ready",
        status="True" if reason is Ready.ACTIVE else "False",
        last_transition_time=NOW,
        reason=reason,
        message="m",
    )
    return exception.ExceptionStatus(observed_generation=generation, namespace_uid=uid, conditions=(ready,))


def respecified(generation: int, written: Any) -> dict[str, Any]:
    """Metadata of an exception whose spec was last written then."""
    entry = {"manager": "kubectl", "time": written, "fieldsV1": {"f:spec": {}}}
    return {"generation": generation, "managed_fields": (entry,)}


def test_an_exception_in_order_is_active() -> None:
    """And says until when."""
    found = stand(hne())
    assert (found.reason, found.why, found.in_force) == (Ready.ACTIVE, "in force until 2026-11-22T13:00:00Z", True)


def test_permanent_infrastructure_is_active_without_end() -> None:
    """Infrastructure needs no expiry."""
    assert stand(hne(type="Infrastructure")).why == "in force without expiry"


@pytest.mark.parametrize(("seconds", "reason"), [(-1, Ready.ACTIVE), (0, Ready.EXPIRED), (1, Ready.EXPIRED)])
def test_from_the_second_of_its_expiry_it_is_expired(seconds: int, reason: Ready) -> None:
    """Not a second later."""
    assert reason is stand(hne(), now=at(hours=1, seconds=seconds)).reason


def test_an_exception_that_is_being_deleted_is_not_in_force() -> None:
    """Deleting an exception ends it, although it may still be there."""
    assert Ready.INVALID is stand(hne(metadata={"deletion_timestamp": NOW})).reason


# -- ceilings and digests ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "limits", "lasts", "reason"),
    [
        ("Diagnostic", {}, 24 * 3600, Ready.ACTIVE),
        ("Diagnostic", {}, 24 * 3600 + 1, Ready.INVALID),
        ("Diagnostic", {"Diagnostic": "2h"}, 7200, Ready.ACTIVE),
        ("Diagnostic", {"Diagnostic": "2h"}, 7201, Ready.INVALID),
        ("Application", {}, 2160 * 3600, Ready.ACTIVE),
        ("Application", {}, 2160 * 3600 + 1, Ready.INVALID),
        ("Application", {"Diagnostic": "2h"}, 7201, Ready.ACTIVE),
        ("Infrastructure", {}, 99999 * 3600, Ready.ACTIVE),
    ],
)
def test_a_life_is_measured_from_creation_to_expiry(
    kind: str, limits: dict[str, str], lasts: int, reason: Ready
) -> None:
    """Longer than the policy's maxDuration of the type is Invalid; Infrastructure has no limit."""
    rules = policy.Exceptions.model_validate({"maxDuration": limits})
    assert reason is stand(hne(type=kind, expiry=at(hours=-1, seconds=lasts)), rules=rules).reason


def test_an_exception_that_lasts_too_long_is_told_how_long_it_may() -> None:
    """Rule, got and remedy are in the sentence."""
    rules = policy.Exceptions.model_validate({"maxDuration": {"Diagnostic": "1h30m"}})
    expected = (
        "expiry must be no later than 2026-11-22T12:30:00Z (1h30m after creation) for type Diagnostic, got"
        " 2026-11-22T13:00:00Z; shorten it or raise exceptions.maxDuration"
    )
    assert expected == stand(hne(), rules=rules).why


def test_without_a_policy_only_the_api_servers_ceilings_hold() -> None:
    """What the CRD and exception-writers let through is not refused for want of a policy."""
    assert Ready.ACTIVE is stand(hne(expiry=at(days=3)), rules=None).reason


def test_what_is_over_is_expired_however_long_it_was() -> None:
    """A policy that is shortened later does not keep an ended exception from being cleaned up."""
    rules = policy.Exceptions.model_validate({"maxDuration": {"Diagnostic": "10m"}})
    assert Ready.EXPIRED is stand(hne(expiry=NOW), rules=rules).reason


@pytest.mark.parametrize(
    ("images", "reason"),
    [((PINNED,), Ready.ACTIVE), ((PINNED, IMAGE), Ready.INVALID), ((IMAGE,), Ready.INVALID), (None, Ready.INVALID)],
)
def test_digests_are_required_where_the_policy_says_so(images: tuple[str, ...] | None, reason: Ready) -> None:
    """Every image, and any image is none that is pinned."""
    rules = policy.Exceptions.model_validate({"imageDigests": "Require"})
    subject = hne(type="Infrastructure", images=images)
    assert reason is stand(subject, rules=rules).reason
    assert Ready.ACTIVE is stand(subject).reason


# -- approval ------------------------------------------------------------------------------------------------------


def test_what_was_written_under_the_policy_is_approved_at_first_sight() -> None:
    """exception-writers let it through, so somebody with `approve` wrote it."""
    assert stand(hne(status=exception.ExceptionStatus())).in_force


@pytest.mark.parametrize(
    ("since", "reason"),
    [
        (None, Ready.NOT_APPROVED),
        (at(hours=-1), Ready.NOT_APPROVED),
        (at(hours=-1, seconds=-4), Ready.NOT_APPROVED),
        (at(hours=-1, seconds=-5), Ready.ACTIVE),
        (at(minutes=-30), Ready.NOT_APPROVED),
    ],
)
def test_what_was_written_before_the_policy_counted_is_not_approved(since: Any, reason: Ready) -> None:
    """A policy counts five seconds after it is there; who wrote before that was asked for nothing."""
    found = stand(hne(), writers=snapshot.Guard(WRITERS, since))
    assert reason is found.reason
    if reason is Ready.NOT_APPROVED:
        assert "was not in place; somebody with the verb approve must change its spec" in found.why


def test_an_approved_exception_stays_approved_while_the_policy_is_away() -> None:
    """Its spec has not changed since it was judged."""
    assert stand(hne(status=judged()), writers=snapshot.Guard(WRITERS, None)).in_force


def test_a_spec_that_changed_while_the_policy_was_away_is_not_approved() -> None:
    """Generation 2 was written after the policy went and before it came back."""
    changed = hne(metadata=respecified(2, at(minutes=-10)), status=judged())
    assert Ready.NOT_APPROVED is stand(changed, writers=snapshot.Guard(WRITERS, at(minutes=-5))).reason
    assert Ready.NOT_APPROVED is stand(changed, writers=snapshot.Guard(WRITERS, None)).reason


def test_a_spec_that_changed_under_the_policy_is_approved() -> None:
    """Generation 2 was let through by exception-writers."""
    assert stand(hne(metadata=respecified(2, at(minutes=-10)), status=judged())).in_force


def test_the_way_out_is_a_change_of_the_spec_under_the_policy() -> None:
    """A refused exception stays refused until its spec changes, whatever else happens."""
    refused = judged(None, reason=Ready.NOT_APPROVED)
    late = snapshot.Guard(WRITERS, at(minutes=-30))
    assert Ready.NOT_APPROVED is stand(hne(status=refused), writers=late).reason
    assert Ready.NOT_APPROVED is stand(hne(status=refused)).reason
    assert stand(hne(status=refused, metadata=respecified(2, at(minutes=-5))), writers=late).in_force


def test_an_exception_of_an_earlier_namespace_is_not_approved() -> None:
    """A tenant who makes his namespace anew gets nothing of what was approved for the old one."""
    found = stand(hne(status=judged("uid-of-the-old-one")))
    assert Ready.NOT_APPROVED is found.reason
    assert "it was approved in an earlier namespace 'payments'; somebody with the verb approve" in found.why


def test_a_change_of_the_spec_approves_it_in_the_new_namespace() -> None:
    """Once, and then the new uid is in its status."""
    home = namespace(created=at(minutes=-30))
    again = hne(status=judged("uid-of-the-old-one"), metadata=respecified(2, at(minutes=-5)))
    assert stand(again, home=home).in_force


def test_a_spec_older_than_its_namespace_is_not_approved() -> None:
    """Whoever put it there (a restore of etcd) did not ask exception-writers."""
    assert Ready.NOT_APPROVED is stand(hne(), home=namespace(created=at(minutes=-30))).reason


def test_an_exception_that_nobody_approved_does_not_expire() -> None:
    """NotApproved stands before Expired: its pods are not deleted for its end."""
    found = stand(hne(expiry=NOW), writers=snapshot.Guard(WRITERS, None))
    assert (found.reason, found.expired) == (Ready.NOT_APPROVED, False)
