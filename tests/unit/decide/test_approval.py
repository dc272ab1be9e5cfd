"""Which generation of an exception is approved, and what the ledger is to record about it."""

from dataclasses import replace
from typing import Any

import pytest

from hostnetwork_operator.api import exception, labels, ledger
from hostnetwork_operator.decide import approval, effects, snapshot, terms, validity
from tests.unit.builders import (
    IDENTITY,
    NOW,
    UID,
    accounts,
    approved,
    at,
    denied,
    governed,
    guards,
    hne,
    namespace,
    planned,
    recorded,
    seen,
)

ApprovalState = approval.ApprovalState
WRITERS = labels.POLICY_EXCEPTION_WRITERS
NOTHING = snapshot.LedgerView()


def writers(since: Any, identity: str = IDENTITY) -> dict[str, snapshot.Guard]:
    """Return all guards as in place, with exception-writers in place from `since` on."""
    return {**guards(), WRITERS: snapshot.Guard(WRITERS, since, identity=identity if since else "")}


def rule(subject: exception.HostNetworkException, **fields: Any) -> approval.Ruling:
    return approval.rule(subject, seen(subject, **fields), NOW)


def record(ruling: approval.Ruling) -> ledger.ExceptionRecord:
    assert ruling.record is not None
    return ruling.record.record


def changed(generation: int = 2, **spec: Any) -> exception.HostNetworkException:
    return hne(metadata={"generation": generation}, **spec)


# -- what the creation proves -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "standing"),
    [
        (None, ApprovalState.REFUSED),
        (at(hours=-1), ApprovalState.REFUSED),
        (at(hours=-1, seconds=-4), ApprovalState.REFUSED),
        (at(hours=-1, seconds=-5), ApprovalState.WAITING),
        (at(minutes=-30), ApprovalState.REFUSED),
    ],
)
def test_what_was_created_five_seconds_after_the_policy_is_approved(since: Any, standing: ApprovalState) -> None:
    """The policy counts from five seconds after its installation. A user who wrote earlier needed no verb."""
    assert standing is rule(hne(), ledger=NOTHING, guards=writers(since)).state


def test_what_the_creation_approves_is_recorded_with_its_terms() -> None:
    """The record is confirmed against the policy that the decision rests on, and can end the exception later."""
    effect = rule(hne(), ledger=NOTHING).record
    assert effect is not None
    assert (effect.guard, effect.reread) == (IDENTITY, False)
    assert effect.record == approved(hne())
    assert (effect.record.deletes, effect.record.grace_period_seconds) == (True, 30)
    assert effect.record.grant == terms.line_of(hne(), namespace())


def test_a_later_generation_is_approved_by_the_creation_too() -> None:
    """The policy has been the same since before the creation, so every change needed the verb."""
    assert ApprovalState.WAITING is rule(changed(5), ledger=NOTHING).state


def test_what_is_older_than_its_namespace_is_not_approved() -> None:
    """The exception was written into an earlier namespace of that name, or came with a restored etcd."""
    found = rule(hne(), ledger=NOTHING, namespace=denied(created=at(minutes=-30)))
    assert found.state is ApprovalState.REFUSED
    assert found.why.startswith(
        "the exception was created before the present namespace 'payments'; a user with the verb"
    )


@pytest.mark.parametrize(
    ("since", "why"),
    [
        (at(hours=-1), "the exception was created less than 5 s after the admission policy exception-writers"),
        (at(minutes=-30), "was installed or last changed (2026-11-22T11:30:00Z)"),
        (None, "is not in place now"),
    ],
)
def test_a_refusal_says_what_is_missing_and_what_to_do(since: Any, why: str) -> None:
    """The sentence names the moment and the remedy."""
    found = rule(hne(), ledger=NOTHING, guards=writers(since)).why
    assert why in found
    assert found.endswith(
        "a user with the verb approve must change the spec of the exception, for example spec.review.time"
    )


# -- what the ledger proves -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("since", [None, NOW, at(minutes=-30)], ids=["away", "new", "later"])
def test_what_was_approved_stays_so_whatever_comes_of_the_policy(since: Any) -> None:
    """Also across an upgrade of the operator."""
    assert ApprovalState.APPROVED is rule(hne(), guards=writers(since, "another")).state


def test_an_approval_moves_on_to_the_next_policy_once_that_has_settled() -> None:
    """The operator reads the exception again before that, because it may not have seen a change in between."""
    assert rule(hne(), guards=writers(at(seconds=-4), "another")).record is None
    effect = rule(hne(), guards=writers(at(seconds=-5), "another")).record
    assert effect == effects.RecordException(
        snapshot.Reference("HostNetworkException", "payments", "net", "uid-of-net", labels.API_VERSION),
        approved(hne(), under="another"),
        "another",
        reread=True,
    )


def test_a_change_under_the_same_policy_is_approved() -> None:
    """Whether the exception was approved or refused before: only an approver can have made the change."""
    for before in (approved(hne()), approved(hne(), approved=False)):
        found = rule(changed(), ledger=recorded(denied(), exceptions={"uid-of-net": before}))
        assert (found.state, record(found)) == (ApprovalState.WAITING, approved(changed()))


@pytest.mark.parametrize(
    "guard",
    [writers(None), writers(at(days=-1), "another"), writers(NOW, "another")],
    ids=["away", "changed and settled", "changed"],
)
def test_a_change_under_another_policy_is_not_approved(guard: dict[str, snapshot.Guard]) -> None:
    """Nobody knows whether the change was made while no policy was in place."""
    found = rule(changed(), ledger=recorded(denied(), hne()), guards=guard)
    assert found.state is ApprovalState.REFUSED
    assert "the spec of the exception was changed while the admission policy exception-writers" in found.why


def test_a_record_of_no_policy_proves_no_change() -> None:
    """The record of an exception that was trusted at installation rests on no policy."""
    before = approved(hne(), under="")
    assert ApprovalState.REFUSED is rule(changed(), ledger=recorded(denied(), exceptions={"uid-of-net": before})).state


def test_a_generation_that_went_back_is_not_approved() -> None:
    """The API server only ever raises the generation."""
    before = approved(changed(3))
    assert ApprovalState.REFUSED is rule(changed(2), ledger=recorded(denied(), exceptions={"uid-of-net": before})).state


def test_what_is_refused_is_recorded_once_the_policy_has_settled_and_read_again() -> None:
    """The record has no terms. The next change of the spec then approves the exception, also across a restart."""
    late = writers(at(minutes=-30))
    found = rule(hne(), ledger=NOTHING, guards=late)
    assert found.record is not None
    assert (found.record.guard, found.record.reread) == (IDENTITY, True)
    assert (record(found).approved, record(found).grant) == (False, "")
    known = recorded(denied(), exceptions={"uid-of-net": record(found)})
    assert rule(hne(), ledger=known, guards=late) == approval.Ruling(ApprovalState.REFUSED, found.why)
    assert ApprovalState.WAITING is rule(changed(), ledger=known, guards=late).state
    assert rule(hne(), ledger=NOTHING, guards=writers(NOW)).record is None


def test_an_approval_is_worth_nothing_in_the_next_namespace_of_the_name() -> None:
    """Not even with a change that an approver made: the change may have been made in the previous namespace."""
    before = approved(hne(), namespace_uid="of-the-old-one")
    known = recorded(denied(), exceptions={"uid-of-net": before})
    for subject in (hne(), changed()):
        found = rule(subject, ledger=known)
        assert found.state is ApprovalState.REFUSED
        assert "the exception was approved before the present namespace 'payments' was created" in found.why
        assert (record(found).namespace_uid, record(found).approved) == (UID, False)
    again = recorded(denied(), exceptions={"uid-of-net": record(rule(hne(), ledger=known))})
    assert ApprovalState.WAITING is rule(changed(), ledger=again).state


def test_what_was_recorded_for_a_namespace_that_is_gone_is_proved_again_by_its_creation() -> None:
    """The watch of namespaces lagged.

    The exception was created after the present namespace, so it belongs to that namespace.
    """
    home = denied(created=at(hours=-1, seconds=-1))
    assert hne().metadata.creation_timestamp == at(hours=-1)
    known = recorded(home, exceptions={"uid-of-net": approved(hne(), namespace_uid="of-the-old-one")})
    found = rule(hne(), ledger=known, namespace=home)
    assert (found.state, record(found).namespace_uid) == (ApprovalState.WAITING, UID)
    late = rule(hne(), ledger=known, namespace=home, guards=writers(at(minutes=-30)))
    assert late.state is ApprovalState.REFUSED


def test_the_namespace_of_a_young_exception_is_read_again() -> None:
    """An exception is young for five minutes after its creation."""
    for minutes, young in ((5, True), (6, False)):
        found = approval.rule(hne(), seen(hne(), ledger=NOTHING), at(hours=-1, minutes=minutes)).record
        assert found is not None
        assert found.young is young


@pytest.mark.parametrize("approval_of", [True, False])
def test_a_deletion_approves_nothing(approval_of: bool) -> None:
    """A deletion raises the generation, and a finalizer of a tenant keeps the object. The ledger keeps its record."""
    going = hne(metadata={"generation": 2, "deletion_timestamp": NOW})
    known = recorded(denied(), exceptions={"uid-of-net": approved(hne(), approved=approval_of)})
    assert rule(going, ledger=known) == approval.Ruling(ApprovalState.REFUSED, "the exception is being deleted")


# -- what a tenant can write proves nothing -------------------------------------------------------------------------


def test_no_status_approves_anything() -> None:
    """While exception-writers is missing, a tenant can write any status."""
    ready = {"type": "Ready", "status": "True", "reason": "Active", "message": "m", "lastTransitionTime": at(hours=-1)}
    forged = exception.ExceptionStatus.model_validate(
        {"observedGeneration": 1, "namespaceUID": UID, "conditions": [ready]}
    )
    assert ApprovalState.REFUSED is rule(hne(status=forged), ledger=NOTHING, guards=writers(None)).state
    assert ApprovalState.REFUSED is rule(hne(status=forged), ledger=NOTHING, guards=writers(at(minutes=-30))).state


# -- trust at the installation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trust", "created", "generation", "standing"),
    [
        ("5m", at(hours=-1), 1, ApprovalState.WAITING),
        ("5m", at(hours=-1, minutes=5), 1, ApprovalState.WAITING),
        ("5m", at(hours=-1, minutes=-5), 1, ApprovalState.WAITING),
        ("5m", at(hours=-1, minutes=5, seconds=1), 1, ApprovalState.REFUSED),
        ("5m", at(hours=-1, minutes=-5, seconds=-1), 1, ApprovalState.REFUSED),
        ("5m", at(hours=-1), 2, ApprovalState.REFUSED),
        (None, at(hours=-1), 1, ApprovalState.REFUSED),
    ],
)
def test_trust_is_for_what_was_created_beside_the_policy_object_and_never_changed(
    trust: str | None, created: Any, generation: int, standing: ApprovalState
) -> None:
    """`created` is the creation of the policy object.

    The exception was created an hour ago, before exception-writers.
    """
    rules = {"exceptions": {"trustAtInstall": trust}} if trust else {}
    state = replace(governed(**rules), created=created)
    subject = hne(metadata={"generation": generation})
    found = rule(subject, ledger=NOTHING, policy=state, guards=writers(at(minutes=-30)))
    assert standing is found.state
    if standing is ApprovalState.WAITING:
        assert (record(found).approved, record(found).under) == (True, "")


def test_trust_is_for_one_incarnation_of_the_namespace() -> None:
    """An exception that is older than its namespace was written into another namespace."""
    state = replace(governed(exceptions={"trustAtInstall": "10m"}), created=at(hours=-1))
    home = denied(created=at(minutes=-59))
    found = rule(hne(), ledger=NOTHING, policy=state, guards=writers(None), namespace=home)
    assert found.state is ApprovalState.REFUSED


# -- without the ledger ------------------------------------------------------------------------------------------------

LOST = snapshot.LedgerView(state=ledger.State.LOST)
AGENT = hne(type="Infrastructure")


def test_after_a_loss_the_creation_still_proves_what_it_proves() -> None:
    """The approval is recorded again."""
    assert ApprovalState.WAITING is rule(hne(), ledger=LOST).state


def test_after_a_loss_a_grant_that_nothing_proves_stays_for_an_agent_only() -> None:
    """A Diagnostic ends.

    An Infrastructure or Application exception that has its grant keeps the grant, and that is recorded.
    """
    late = writers(at(minutes=-30))
    assert ApprovalState.REFUSED is rule(hne(), ledger=LOST, guards=late, namespace=denied(hne())).state
    assert ApprovalState.REFUSED is rule(AGENT, ledger=LOST, guards=late).state
    found = rule(AGENT, ledger=LOST, guards=late, namespace=denied(AGENT))
    assert found.state is ApprovalState.UNPROVEN
    assert (record(found).approved, record(found).kept) == (False, True)
    assert record(found).grant == terms.line_of(AGENT, namespace())
    kept = recorded(denied(AGENT), exceptions={"uid-of-net": record(found)})
    assert ApprovalState.UNPROVEN is rule(AGENT, ledger=kept, guards=late, namespace=denied(AGENT)).state


def test_after_a_loss_nothing_is_deleted_that_an_unproved_exception_fits() -> None:
    """Nobody knows whether the exception was approved.

    So it grants nothing, and spares its pods until an approver acts.
    """
    late = writers(at(minutes=-30))
    found = rule(hne(), ledger=LOST, guards=late)
    assert (found.state, found.doubted, record(found).doubted) == (ApprovalState.REFUSED, True, True)
    kept = recorded(denied(), exceptions={"uid-of-net": record(found)})
    again = rule(hne(), ledger=kept, guards=late)
    assert (again.state, again.doubted, record(again).under) == (ApprovalState.REFUSED, True, IDENTITY)
    kept = recorded(denied(), exceptions={"uid-of-net": record(again)})
    assert rule(hne(), ledger=kept, guards=late) == approval.Ruling(ApprovalState.REFUSED, again.why, doubted=True)
    changed = rule(hne(metadata={"generation": 2}), ledger=kept, guards=late)
    assert (changed.state, record(changed).doubted) == (ApprovalState.WAITING, False)
    assert validity.stand(hne(), None, again, NOW).spares
    assert not validity.stand(hne(), None, replace(again, doubted=False), NOW).spares


def test_without_a_loss_a_grant_on_the_namespace_proves_nothing() -> None:
    """While namespace-labels is missing, a tenant can write such a grant."""
    for state in (ledger.State.INTACT, ledger.State.SEEDING):
        found = rule(
            AGENT,
            ledger=snapshot.LedgerView(state=state),
            guards=writers(at(minutes=-30)),
            namespace=denied(AGENT),
        )
        assert found.state is ApprovalState.REFUSED


def test_a_grant_that_stays_without_proof_is_approved_by_a_change_of_the_spec() -> None:
    """The alert asks for that change."""
    kept = approved(AGENT, approved=False, kept=True)
    later = hne(type="Infrastructure", metadata={"generation": 2})
    found = rule(later, ledger=recorded(denied(AGENT), exceptions={"uid-of-net": kept}), namespace=denied(AGENT))
    assert (found.state, record(found).approved, record(found).kept) == (ApprovalState.WAITING, True, False)


def test_while_the_ledger_cannot_be_read_only_the_creation_proves_anything() -> None:
    """Nothing is recorded, and nothing is refused for good."""
    late, unread = writers(at(minutes=-30)), snapshot.LedgerView(state=ledger.State.UNREADABLE, trouble="forbidden")
    assert rule(hne(), ledger=unread) == approval.Ruling(ApprovalState.WAITING)
    found = rule(hne(), ledger=unread, guards=late)
    assert (found.state, found.record) == (ApprovalState.UNKNOWN, None)
    assert found.why.endswith("forbidden")
    assert ApprovalState.UNPROVEN is rule(AGENT, ledger=unread, guards=late, namespace=denied(AGENT)).state


# -- what cannot be read -----------------------------------------------------------------------------------------------


def unreadable(generation: int = 1) -> snapshot.UnreadableException:
    return snapshot.UnreadableException("payments", "net", "uid-of-net", "spec.x: unknown", generation)


@pytest.mark.parametrize(
    "subject",
    [
        hne(),
        hne(on_expiry="Report", grace_period_seconds=3, host_paths=({"path": "/proc"},), capabilities=("NET_ADMIN",)),
        hne(type="Infrastructure"),
        hne(type="Infrastructure", images=None, privileged=True, host_namespaces=("PID", "IPC")),
        hne(type="Application", pod_security_level="privileged"),
    ],
)
def test_the_ledger_has_all_terms_of_an_exception_that_cannot_be_read(
    subject: exception.HostNetworkException,
) -> None:
    """The exception that is made from the record has the grant of the approved exception, and ends in the same way."""
    back = terms.recalled(unreadable(), approved(subject), namespace())
    assert back is not None
    assert terms.line_of(back, namespace()) == terms.line_of(subject, namespace())
    assert (back.spec.deletes, back.spec.grace_period_seconds) == (
        subject.spec.deletes,
        subject.spec.grace_period_seconds,
    )
    assert (back.metadata.uid, back.metadata.creation_timestamp) == (
        subject.metadata.uid,
        subject.metadata.creation_timestamp,
    )


@pytest.mark.parametrize(
    ("record", "generation"),
    [
        (None, 1),
        (approved(hne(), approved=False), 1),
        (approved(hne(), namespace_uid="another"), 1),
        (approved(hne(), grant="nonsense"), 1),
        (approved(hne()), 2),
    ],
    ids=["none", "not approved", "another namespace", "spoilt", "another generation"],
)
def test_the_ledger_proves_no_terms_of_anything_else(record: ledger.ExceptionRecord | None, generation: int) -> None:
    """The operator cannot tell, and that is an answer of its own."""
    assert None is terms.recalled(unreadable(generation), record, namespace())


def test_of_an_exception_that_cannot_be_read_nothing_is_recorded() -> None:
    """Its record stays as it is, even if the policy has changed."""
    made = seen(
        unreadable_exceptions=(unreadable(),),
        ledger=recorded(denied(), hne()),
        guards=writers(at(hours=-2), "another"),
    )
    assert approval.rulings(made, NOW) == {"uid-of-net": approval.Ruling(ApprovalState.APPROVED)}


def test_of_an_exception_that_cannot_be_read_nothing_is_found() -> None:
    """The ledger has neither its owner nor its contact, and the operator does not ask for its service account."""
    subject = hne(type="Infrastructure", images=None, privileged=True, service_account_name="default")
    known = {"ledger": recorded(denied(subject), subject), "namespace": denied(subject), "accounts": {}}
    readable = planned(seen(subject, **known))
    assert {finding.rule.id for finding in readable.findings} >= {"ContactMissing", "ImagesUnrestricted"}
    assert accounts(readable) == ("default",)
    made = planned(seen(unreadable_exceptions=(unreadable(),), **known))
    assert [(one.reason.value, one.readable) for one in made.standings] == [("Active", False)]
    assert (made.findings, accounts(made)) == ((), ())
