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
    ("since", "approval_state"),
    [
        (None, ApprovalState.REFUSED),
        (at(hours=-1), ApprovalState.REFUSED),
        (at(hours=-1, seconds=-4), ApprovalState.REFUSED),
        (at(hours=-1, seconds=-5), ApprovalState.WAITING),
        (at(minutes=-30), ApprovalState.REFUSED),
    ],
)
def test_what_was_created_five_seconds_after_the_policy_is_approved(since: Any, approval_state: ApprovalState) -> None:
    """The policy counts from five seconds after its installation. A user who wrote earlier needed no verb."""
    assert approval_state is rule(hne(), ledger=NOTHING, guards=writers(since)).state


def test_what_the_creation_approves_is_recorded_with_its_terms() -> None:
    """The operator checks the policy again before it records the decision. The record can end the exception later."""
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
    ruling = rule(hne(), ledger=NOTHING, namespace=denied(created=at(minutes=-30)))
    assert ruling.state is ApprovalState.REFUSED
    assert ruling.why.startswith(
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
    message = rule(hne(), ledger=NOTHING, guards=writers(since)).why
    assert why in message
    assert message.endswith(
        "a user with the verb approve must change the spec of the exception, for example spec.review.time"
    )


# -- what the ledger proves -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("since", [None, NOW, at(minutes=-30)], ids=["away", "new", "later"])
def test_what_was_approved_stays_so_whatever_comes_of_the_policy(since: Any) -> None:
    """The approval also stays across an upgrade of the operator."""
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
    """Only an approver can have made the change, whether the exception was approved or refused before."""
    for before in (approved(hne()), approved(hne(), approved=False)):
        ruling = rule(changed(), ledger=recorded(denied(), exceptions={"uid-of-net": before}))
        assert (ruling.state, record(ruling)) == (ApprovalState.WAITING, approved(changed()))


@pytest.mark.parametrize(
    "changed_guards",
    [writers(None), writers(at(days=-1), "another"), writers(NOW, "another")],
    ids=["away", "changed and settled", "changed"],
)
def test_a_change_under_another_policy_is_not_approved(changed_guards: dict[str, snapshot.Guard]) -> None:
    """Nobody knows whether the change was made while no policy was in place."""
    ruling = rule(changed(), ledger=recorded(denied(), hne()), guards=changed_guards)
    assert ruling.state is ApprovalState.REFUSED
    assert "the spec of the exception was changed while the admission policy exception-writers" in ruling.why


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
    late_guards = writers(at(minutes=-30))
    ruling = rule(hne(), ledger=NOTHING, guards=late_guards)
    assert ruling.record is not None
    assert (ruling.record.guard, ruling.record.reread) == (IDENTITY, True)
    assert (record(ruling).approved, record(ruling).grant) == (False, "")
    ledger_view = recorded(denied(), exceptions={"uid-of-net": record(ruling)})
    assert rule(hne(), ledger=ledger_view, guards=late_guards) == approval.Ruling(ApprovalState.REFUSED, ruling.why)
    assert ApprovalState.WAITING is rule(changed(), ledger=ledger_view, guards=late_guards).state
    assert rule(hne(), ledger=NOTHING, guards=writers(NOW)).record is None


def test_an_approval_is_worth_nothing_in_the_next_namespace_of_the_name() -> None:
    """A change does not help: an approver may have made the change in the previous namespace."""
    before = approved(hne(), namespace_uid="of-the-old-one")
    ledger_view = recorded(denied(), exceptions={"uid-of-net": before})
    for subject in (hne(), changed()):
        ruling = rule(subject, ledger=ledger_view)
        assert ruling.state is ApprovalState.REFUSED
        assert "the exception was approved before the present namespace 'payments' was created" in ruling.why
        assert (record(ruling).namespace_uid, record(ruling).approved) == (UID, False)
    next_view = recorded(denied(), exceptions={"uid-of-net": record(rule(hne(), ledger=ledger_view))})
    assert ApprovalState.WAITING is rule(changed(), ledger=next_view).state


def test_what_was_recorded_for_a_namespace_that_is_gone_is_proved_again_by_its_creation() -> None:
    """The watch of namespaces lagged.

    The exception was created after the present namespace, so it belongs to that namespace.
    """
    present_namespace = denied(created=at(hours=-1, seconds=-1))
    assert hne().metadata.creation_timestamp == at(hours=-1)
    ledger_view = recorded(
        present_namespace, exceptions={"uid-of-net": approved(hne(), namespace_uid="of-the-old-one")}
    )
    ruling = rule(hne(), ledger=ledger_view, namespace=present_namespace)
    assert (ruling.state, record(ruling).namespace_uid) == (ApprovalState.WAITING, UID)
    late_ruling = rule(hne(), ledger=ledger_view, namespace=present_namespace, guards=writers(at(minutes=-30)))
    assert late_ruling.state is ApprovalState.REFUSED


def test_the_namespace_of_a_young_exception_is_read_again() -> None:
    """An exception is young for five minutes after its creation."""
    for minutes, young in ((5, True), (6, False)):
        effect = approval.rule(hne(), seen(hne(), ledger=NOTHING), at(hours=-1, minutes=minutes)).record
        assert effect is not None
        assert effect.young is young


@pytest.mark.parametrize("was_approved", [True, False])
def test_a_deletion_approves_nothing(was_approved: bool) -> None:
    """A deletion raises the generation, and a finalizer of a tenant keeps the object. The ledger keeps its record."""
    subject = hne(metadata={"generation": 2, "deletion_timestamp": NOW})
    ledger_view = recorded(denied(), exceptions={"uid-of-net": approved(hne(), approved=was_approved)})
    assert rule(subject, ledger=ledger_view) == approval.Ruling(ApprovalState.REFUSED, "the exception is being deleted")


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
    ("trust", "created", "generation", "approval_state"),
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
    trust: str | None, created: Any, generation: int, approval_state: ApprovalState
) -> None:
    """`created` is the creation of the policy object.

    The exception was created an hour ago, before exception-writers.
    """
    rules = {"exceptions": {"trustAtInstall": trust}} if trust else {}
    policy_state = replace(governed(**rules), created=created)
    subject = hne(metadata={"generation": generation})
    ruling = rule(subject, ledger=NOTHING, policy=policy_state, guards=writers(at(minutes=-30)))
    assert approval_state is ruling.state
    if approval_state is ApprovalState.WAITING:
        assert (record(ruling).approved, record(ruling).under) == (True, "")


def test_trust_is_for_one_incarnation_of_the_namespace() -> None:
    """An exception that is older than its namespace was written into another namespace."""
    policy_state = replace(governed(exceptions={"trustAtInstall": "10m"}), created=at(hours=-1))
    present_namespace = denied(created=at(minutes=-59))
    ruling = rule(hne(), ledger=NOTHING, policy=policy_state, guards=writers(None), namespace=present_namespace)
    assert ruling.state is ApprovalState.REFUSED


# -- without the ledger ------------------------------------------------------------------------------------------------

LOST = snapshot.LedgerView(state=ledger.State.LOST)
AGENT = hne(type="Infrastructure")


def test_after_a_loss_the_creation_still_proves_what_it_proves() -> None:
    """The approval is recorded again."""
    assert ApprovalState.WAITING is rule(hne(), ledger=LOST).state


def test_after_a_loss_a_grant_that_nothing_proves_stays_for_an_agent_only() -> None:
    """A Diagnostic ends.

    An Infrastructure or Application exception keeps the grant that it has, and the ledger records that.
    """
    late_guards = writers(at(minutes=-30))
    assert ApprovalState.REFUSED is rule(hne(), ledger=LOST, guards=late_guards, namespace=denied(hne())).state
    assert ApprovalState.REFUSED is rule(AGENT, ledger=LOST, guards=late_guards).state
    ruling = rule(AGENT, ledger=LOST, guards=late_guards, namespace=denied(AGENT))
    assert ruling.state is ApprovalState.UNPROVEN
    assert (record(ruling).approved, record(ruling).kept) == (False, True)
    assert record(ruling).grant == terms.line_of(AGENT, namespace())
    ledger_view = recorded(denied(AGENT), exceptions={"uid-of-net": record(ruling)})
    assert ApprovalState.UNPROVEN is rule(AGENT, ledger=ledger_view, guards=late_guards, namespace=denied(AGENT)).state


def test_after_a_loss_nothing_is_deleted_that_an_unproved_exception_fits() -> None:
    """Nobody knows whether the exception was approved.

    So it grants nothing, and spares its pods until an approver acts.
    """
    late_guards = writers(at(minutes=-30))
    ruling = rule(hne(), ledger=LOST, guards=late_guards)
    assert (ruling.state, ruling.doubted, record(ruling).doubted) == (ApprovalState.REFUSED, True, True)
    ledger_view = recorded(denied(), exceptions={"uid-of-net": record(ruling)})
    next_ruling = rule(hne(), ledger=ledger_view, guards=late_guards)
    assert (next_ruling.state, next_ruling.doubted, record(next_ruling).under) == (
        ApprovalState.REFUSED,
        True,
        IDENTITY,
    )
    ledger_view = recorded(denied(), exceptions={"uid-of-net": record(next_ruling)})
    assert rule(hne(), ledger=ledger_view, guards=late_guards) == approval.Ruling(
        ApprovalState.REFUSED, next_ruling.why, doubted=True
    )
    changed_ruling = rule(hne(metadata={"generation": 2}), ledger=ledger_view, guards=late_guards)
    assert (changed_ruling.state, record(changed_ruling).doubted) == (ApprovalState.WAITING, False)
    assert validity.stand(hne(), None, next_ruling, NOW).spares
    assert not validity.stand(hne(), None, replace(next_ruling, doubted=False), NOW).spares


def test_without_a_loss_a_grant_on_the_namespace_proves_nothing() -> None:
    """While namespace-labels is missing, a tenant can write such a grant."""
    for ledger_state in (ledger.State.INTACT, ledger.State.SEEDING):
        ruling = rule(
            AGENT,
            ledger=snapshot.LedgerView(state=ledger_state),
            guards=writers(at(minutes=-30)),
            namespace=denied(AGENT),
        )
        assert ruling.state is ApprovalState.REFUSED


def test_a_grant_that_stays_without_proof_is_approved_by_a_change_of_the_spec() -> None:
    """The alert asks for that change."""
    kept_record = approved(AGENT, approved=False, kept=True)
    subject = hne(type="Infrastructure", metadata={"generation": 2})
    ruling = rule(
        subject, ledger=recorded(denied(AGENT), exceptions={"uid-of-net": kept_record}), namespace=denied(AGENT)
    )
    assert (ruling.state, record(ruling).approved, record(ruling).kept) == (ApprovalState.WAITING, True, False)


def test_while_the_ledger_cannot_be_read_only_the_creation_proves_anything() -> None:
    """Nothing is recorded, and nothing is refused for good."""
    late_guards, unreadable_view = (
        writers(at(minutes=-30)),
        snapshot.LedgerView(state=ledger.State.UNREADABLE, trouble="forbidden"),
    )
    assert rule(hne(), ledger=unreadable_view) == approval.Ruling(ApprovalState.WAITING)
    ruling = rule(hne(), ledger=unreadable_view, guards=late_guards)
    assert (ruling.state, ruling.record) == (ApprovalState.UNKNOWN, None)
    assert ruling.why.endswith("forbidden")
    assert (
        ApprovalState.UNPROVEN is rule(AGENT, ledger=unreadable_view, guards=late_guards, namespace=denied(AGENT)).state
    )


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
    recalled = terms.recalled(unreadable(), approved(subject), namespace())
    assert recalled is not None
    assert terms.line_of(recalled, namespace()) == terms.line_of(subject, namespace())
    assert (recalled.spec.deletes, recalled.spec.grace_period_seconds) == (
        subject.spec.deletes,
        subject.spec.grace_period_seconds,
    )
    assert (recalled.metadata.uid, recalled.metadata.creation_timestamp) == (
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
    """The operator cannot tell what such an exception allowed."""
    assert None is terms.recalled(unreadable(generation), record, namespace())


def test_of_an_exception_that_cannot_be_read_nothing_is_recorded() -> None:
    """Its record stays as it is, even if the policy has changed."""
    state = seen(
        unreadable_exceptions=(unreadable(),),
        ledger=recorded(denied(), hne()),
        guards=writers(at(hours=-2), "another"),
    )
    assert approval.rulings(state, NOW) == {"uid-of-net": approval.Ruling(ApprovalState.APPROVED)}


def test_of_an_exception_that_cannot_be_read_nothing_is_found() -> None:
    """The ledger has neither its owner nor its contact, and the operator does not ask for its service account."""
    subject = hne(type="Infrastructure", images=None, privileged=True, service_account_name="default")
    fields = {"ledger": recorded(denied(subject), subject), "namespace": denied(subject), "accounts": {}}
    readable_plan = planned(seen(subject, **fields))
    assert {finding.rule.id for finding in readable_plan.findings} >= {"ContactMissing", "ImagesUnrestricted"}
    assert accounts(readable_plan) == ("default",)
    plan = planned(seen(unreadable_exceptions=(unreadable(),), **fields))
    assert [(standing.reason.value, standing.readable) for standing in plan.standings] == [("Active", False)]
    assert (plan.findings, accounts(plan)) == ((), ())
