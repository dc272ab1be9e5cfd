"""The standing of an exception by itself: valid, approved, and not ended."""

from dataclasses import replace
from typing import Any

import pytest

from hostnetwork_operator.api import conditions, exception, policy
from hostnetwork_operator.decide import approval, validity
from tests.unit.builders import IMAGE, NOW, PINNED, at, denied, hne, seen

Ready = conditions.Ready
APPROVED = approval.Ruling(approval.ApprovalState.APPROVED)


def stand(
    subject: exception.HostNetworkException,
    *,
    rules: policy.Exceptions | None = policy.Exceptions(),  # noqa: B008 - frozen
    ruling: approval.Ruling = APPROVED,
    now: Any = NOW,
) -> validity.Standing:
    return validity.stand(subject, rules, ruling, now)


def test_an_exception_in_order_is_active() -> None:
    """The message says until when the exception is in force."""
    standing = stand(hne())
    assert (standing.reason, standing.why, standing.in_force) == (
        Ready.ACTIVE,
        "the exception is in force until 2026-11-22T13:00:00Z",
        True,
    )


def test_permanent_infrastructure_is_active_without_end() -> None:
    """Infrastructure needs no expiry."""
    assert stand(hne(type="Infrastructure")).why == "the exception is in force without expiry"


@pytest.mark.parametrize(("seconds", "reason"), [(-1, Ready.ACTIVE), (0, Ready.EXPIRED), (1, Ready.EXPIRED)])
def test_from_the_second_of_its_expiry_it_is_expired(seconds: int, reason: Ready) -> None:
    """The reason changes in exactly that second."""
    assert reason is stand(hne(), now=at(hours=1, seconds=seconds)).reason


def test_an_exception_that_is_being_deleted_is_not_in_force() -> None:
    """A deletion ends an exception, although the object may still exist."""
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
    """An exception that lasts longer than the policy's maxDuration for its type is Invalid.

    Infrastructure has no limit.
    """
    rules = policy.Exceptions.model_validate({"maxDuration": limits})
    assert reason is stand(hne(type=kind, expiry=at(hours=-1, seconds=lasts)), rules=rules).reason


def test_an_exception_that_lasts_too_long_is_told_how_long_it_may() -> None:
    """The sentence has the rule, the given value and the remedy."""
    rules = policy.Exceptions.model_validate({"maxDuration": {"Diagnostic": "1h30m"}})
    expected = (
        "spec.expiry must be no later than 2026-11-22T12:30:00Z (1h30m after creation) for type Diagnostic, got"
        " 2026-11-22T13:00:00Z; set an earlier expiry, or raise exceptions.maxDuration of the"
        " HostNetworkExceptionPolicy"
    )
    assert expected == stand(hne(), rules=rules).why


def test_without_a_policy_only_the_api_servers_ceilings_hold() -> None:
    """An exception that the CRD and exception-writers let through is not refused for lack of a policy."""
    assert Ready.ACTIVE is stand(hne(expiry=at(days=3)), rules=None).reason


def test_what_is_over_is_expired_however_long_it_was() -> None:
    """If the limit in the policy is lowered later, an exception that has ended is cleaned up nevertheless."""
    rules = policy.Exceptions.model_validate({"maxDuration": {"Diagnostic": "10m"}})
    assert Ready.EXPIRED is stand(hne(expiry=NOW), rules=rules).reason


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        ((PINNED,), Ready.ACTIVE),
        ((PINNED, IMAGE), Ready.INVALID),
        ((IMAGE,), Ready.INVALID),
        (("r.example.com/agent@*",), Ready.ACTIVE),
        (("r.example.com/agent:*", PINNED), Ready.INVALID),
        (None, Ready.INVALID),
    ],
)
def test_digests_are_required_where_the_policy_says_so(images: tuple[str, ...] | None, reason: Ready) -> None:
    """Every image must be pinned. An exception that allows any image is not pinned."""
    rules = policy.Exceptions.model_validate({"imageDigests": "Require"})
    subject = hne(type="Infrastructure", images=images)
    assert reason is stand(subject, rules=rules).reason
    assert Ready.ACTIVE is stand(subject).reason


# -- approval ------------------------------------------------------------------------------------------------------


def test_an_exception_that_nobody_approved_does_not_expire() -> None:
    """NotApproved comes before Expired: the end of the exception deletes no pods, and the exception spares none."""
    standing = stand(hne(expiry=NOW), ruling=approval.Ruling(approval.ApprovalState.REFUSED, "why"))
    assert (standing.reason, standing.expired, standing.why, standing.spares) == (
        Ready.NOT_APPROVED,
        False,
        "why",
        False,
    )


def test_an_exception_that_waits_for_its_record_is_not_in_force_and_ends_all_the_same() -> None:
    """An exception that is approved by what the operator sees ends without the ledger."""
    waiting = approval.Ruling(approval.ApprovalState.WAITING)
    standing = stand(hne(), ruling=waiting)
    assert (standing.reason, standing.in_force, standing.waiting, standing.spares) == (
        Ready.NOT_RECORDED,
        False,
        True,
        True,
    )
    assert stand(hne(expiry=NOW), ruling=waiting).expired


def test_an_exception_whose_grant_stays_without_proof_is_in_force_and_says_so() -> None:
    """If the operator revoked the grant of an agent, network and ingress would stop."""
    standing = stand(
        hne(type="Infrastructure"), ruling=approval.Ruling(approval.ApprovalState.UNPROVEN, "the ledger was lost")
    )
    assert (standing.reason, standing.in_force) == (Ready.APPROVAL_UNPROVEN, True)
    assert standing.why == "the exception is still in force without expiry: the ledger was lost"


def test_while_the_ledger_cannot_be_read_nothing_expires_and_everything_spares() -> None:
    """If the operator cannot tell, it never deletes."""
    unknown = approval.Ruling(approval.ApprovalState.UNKNOWN, "forbidden")
    for subject in (hne(), hne(expiry=at(seconds=-1))):
        standing = stand(subject, ruling=unknown)
        assert (standing.reason, standing.in_force, standing.expired) == (Ready.NOT_RECORDED, False, False)
    assert stand(hne(), ruling=unknown).spares


@pytest.mark.parametrize("rules", [policy.Exceptions.model_validate({"imageDigests": "Require"})])
def test_what_withholds_an_approved_exception_spares_its_pods(rules: policy.Exceptions) -> None:
    """If the exception is Invalid because of the policy, no pod that fits it is deleted before its expiry.

    A deletion ends the exception for good.
    """
    assert stand(hne(), rules=rules).spares
    assert not stand(hne(expiry=NOW), rules=rules).spares
    assert not stand(hne(metadata={"deletion_timestamp": NOW}), rules=rules).spares


def standing_in_trouble(*objects: Any, **fields: Any) -> validity.Standing:
    """Return the standing of the first exception if records cannot be written."""
    state = seen(*objects, **fields)
    state = replace(state, ledger=replace(state.ledger, trouble="forbidden", exceptions={}))
    return validity.standings(state, approval.rulings(state, NOW), NOW)[0]


def test_where_records_cannot_be_written_only_grants_that_must_stay_do() -> None:
    """A Diagnostic that waits for its record is withheld, and so is every exception that has no grant yet."""
    agent = hne(type="Infrastructure")
    assert standing_in_trouble(hne(), namespace=denied(hne())).reason is Ready.NOT_RECORDED
    assert standing_in_trouble(agent).reason is Ready.NOT_RECORDED
    standing = standing_in_trouble(agent, namespace=denied(agent))
    assert (standing.reason, standing.in_force, standing.waiting) == (Ready.APPROVAL_UNPROVEN, True, False)
    assert "cannot be recorded: forbidden" in standing.why
