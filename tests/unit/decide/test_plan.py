"""The plan for one namespace: what is done, in which order, and what is left alone."""

import datetime
from dataclasses import replace
from typing import Any

import pytest

from hostnetwork_operator.api import conditions, exception, grant, labels, ledger
from hostnetwork_operator.decide import effects, gate, grants, plan, snapshot, status, terms
from tests.property import cluster
from tests.unit.builders import (
    ABSENT,
    ADOPTED,
    AUDIT_AND_WARN,
    DENIED,
    IDENTITY,
    IMAGE,
    NAMESPACE,
    NOW,
    UID,
    UNKNOWN,
    at,
    deletes,
    denied,
    exceptions,
    flags,
    gate_level,
    governed,
    granted,
    guards,
    hne,
    list_at,
    namespace,
    planned,
    pod,
    reasons,
    recorded,
    records,
    seen,
    statuses,
    verdicts,
    writes,
)

Action = effects.Action
EXEMPT = governed(exempt_namespaces=(NAMESPACE,))
AUDIT = governed(mode="Audit")
HELD = {labels.ENFORCEMENT: "Held", **AUDIT_AND_WARN}
HOLDING = snapshot.GateAnswer(labels.Level.BASELINE, NOW, ("Deployment web: host namespaces",))


def key(name: str) -> str:
    return labels.GRANT_PREFIX + name


def line(subject: exception.HostNetworkException) -> str:
    return terms.line_of(subject, namespace())


def held(*objects: Any, **fields: Any) -> snapshot.NamespaceSnapshot:
    """Return a namespace that the policy wants to enforce and in which the gate blocks enforcement."""
    defaults = {"namespace": namespace(labels=HELD), "policy": governed(rollout="Gated")}
    state = seen(*objects, **{**defaults, **fields})
    return replace(state, gate=replace(HOLDING, excepted=gate.names(gate.excepted(state, NOW))))


def only(namespace_plan: plan.NamespacePlan) -> effects.WriteNamespace:
    (write,) = writes(namespace_plan)
    return write


# -- granting, relaxing, restoring ----------------------------------------------------------------------------------


def test_a_settled_namespace_needs_nothing() -> None:
    """Without pods and exceptions, and with all labels set, there are no effects, and there is nothing to wait for."""
    namespace_plan = planned(seen())
    assert namespace_plan.effects == ()
    assert None is namespace_plan.next_check


def test_relaxing_is_one_write_of_grant_guard_and_level() -> None:
    """The level is never lifted without the grant and the guard in the same write.

    That write does not wait for a record.
    """
    namespace_plan = plan.plan_namespace(seen(pod(), hne()), NOW)
    write = only(namespace_plan)
    assert write.action == Action.RELAX
    assert write.labels == {labels.PSA_ENFORCE: "privileged", labels.GUARD: "baseline", labels.PSA_WARN: "baseline"}
    assert {key("net"): line(hne())} == write.annotations
    assert (verdicts(namespace_plan), reasons(namespace_plan), namespace_plan.relaxed) == (
        {"capture": "Covered"},
        {"net": "Active"},
        True,
    )


def test_a_second_grant_is_a_grant() -> None:
    """The namespace is relaxed already, so the write has only the grant."""
    write = only(planned(seen(hne("a"), hne("b"), namespace=denied(hne("a")))))
    assert (Action.GRANT, {}, {key("b"): line(hne("b"))}) == (write.action, write.labels, write.annotations)


def test_restoring_is_one_write_of_grant_and_level() -> None:
    """At the expiry, one write removes the grant and restores the level. The guard stays."""
    write = only(planned(seen(hne(expiry=NOW), namespace=denied(hne()))))
    assert write.action == Action.RESTORE
    assert write.labels == {labels.PSA_ENFORCE: "baseline", labels.PSA_WARN: "restricted"}
    assert {key("net"): None} == write.annotations


def test_one_of_two_that_ends_is_a_revocation() -> None:
    """The level stays lifted for the other exception."""
    write = only(planned(seen(hne("a", expiry=NOW), hne("b"), namespace=denied(hne("a"), hne("b")))))
    assert (Action.REVOKE, {}, {key("a"): None}) == (write.action, write.labels, write.annotations)


def test_a_revocation_is_a_write_of_its_own_before_a_grant() -> None:
    """If one write both revoked a and granted b, and failed, a would stay granted.

    The plan after the revocation grants b.
    """
    state = seen(hne("a", expiry=NOW), hne("b"), namespace=denied(hne("a")))
    state, first_plan = cluster.answered(state, NOW, ())
    revoke = only(first_plan)
    assert (Action.REVOKE, {}, {key("a"): None}) == (revoke.action, revoke.labels, revoke.annotations)
    assert (first_plan.partial, statuses(first_plan)) == (True, {})
    give = only(planned(cluster.carry_out(state, first_plan)))
    assert (Action.GRANT, {key("b"): line(hne("b"))}) == (give.action, give.annotations)


def test_shortening_is_a_revocation() -> None:
    """A line with an earlier end revokes something, so it is written first and alone."""
    shorter = hne("a", expiry=at(minutes=1))
    state = seen(shorter, hne("b"), namespace=denied(hne("a")))
    state, first_plan = cluster.answered(state, NOW, ())
    assert only(first_plan).annotations == {key("a"): line(shorter)}
    assert only(planned(cluster.carry_out(state, first_plan))).annotations == {key("b"): line(hne("b"))}


def test_lengthening_is_a_grant() -> None:
    """A line with a later end grants something, so its write is a grant."""
    longer = hne("a", expiry=at(hours=2))
    write = only(planned(seen(longer, namespace=denied(hne("a")))))
    assert (Action.GRANT, {key("a"): line(longer)}) == (write.action, write.annotations)


def test_what_is_taken_goes_before_deletes_and_what_is_given_is_planned_after() -> None:
    """No grant comes before a revocation or a delete."""
    state = seen(pod(), hne("a", expiry=NOW), hne("b", images=("other:1",)), namespace=denied(hne("a")))
    state, first_plan = cluster.answered(state, NOW, ())
    assert [effects.WriteNamespace, effects.DeletePod] == [type(effect) for effect in first_plan.effects]
    kinds = [type(effect) for effect in planned(cluster.carry_out(state, first_plan)).effects]
    assert kinds == [effects.WriteNamespace, *[effects.WriteExceptionStatus] * 2]


# -- which version a write is valid for -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "versioned"),
    [
        (seen(hne(expiry=NOW), namespace=denied(hne())), False),
        (seen(hne("a", expiry=NOW), hne("b"), namespace=denied(hne("a"), hne("b"))), False),
        (seen(hne("a", expiry=at(minutes=1)), namespace=denied(hne("a"))), False),
        (seen(namespace=denied(annotations={labels.GRANT_PREFIX + "forged": "x"})), False),
        (seen(namespace=denied(labels={labels.PSA_ENFORCE: "privileged"})), False),
        (seen(namespace=namespace()), False),
        (seen(namespace=namespace(), policy=AUDIT), False),
        (seen(namespace=namespace(labels=DENIED), policy=governed(pod_security={"enforce": "restricted"})), False),
        (seen(hne()), True),
        (seen(hne("a"), hne("b"), namespace=denied(hne("a"))), True),
        (seen(hne(expiry=at(hours=2)), namespace=denied(hne())), True),
        (seen(policy=AUDIT), True),
        (seen(policy=EXEMPT), True),
        (seen(namespace=namespace(labels={**DENIED, labels.PSA_ENFORCE: "restricted"}, annotations=ADOPTED)), True),
        (seen(namespace=denied(), policy=governed(pod_security={"version": "v1.30"})), True),
    ],
    ids=[
        "expiry", "expiry of one of two", "shortened", "forged", "loosened", "adopted", "audited", "tightened",
        "relaxed", "granted", "renewed", "enforcement down", "released", "level down", "version down",
    ],
)  # fmt: skip
def test_only_what_gives_needs_the_version_that_was_judged(state: snapshot.NamespaceSnapshot, versioned: bool) -> None:
    """A write that revokes, tightens or loosens nothing is valid for every version of the namespace.

    So a tenant who patches the namespace delays nothing.
    """
    assert versioned is only(planned(state)).versioned


def test_after_three_conflicts_the_part_that_tightens_goes_first() -> None:
    """Enforcement together with a grant is one write.

    A tenant who patches without pause must not prevent enforcement.
    """
    held_namespace = namespace(labels=HELD)
    state = seen(hne(), namespace=held_namespace, policy=governed())
    assert (only(planned(state)).action, only(planned(state)).versioned) == (Action.RELAX, True)
    refused_state, first_plan = cluster.answered(replace(state, record=snapshot.Record(conflicts=3)), NOW, ())
    write = only(first_plan)
    assert (write.versioned, write.annotations, first_plan.partial) == (False, {}, True)
    assert (write.labels[labels.ENFORCEMENT], write.labels[labels.PSA_ENFORCE]) == ("Deny", "baseline")
    last_write = only(planned(replace(cluster.carry_out(refused_state, first_plan), record=snapshot.Record())))
    assert (last_write.action, last_write.versioned) == (Action.RELAX, True)


def test_exceptions_are_read_again_before_their_grants_are_taken_for_every_version() -> None:
    """One of the exceptions may have been renewed a moment ago.

    A write that grants is refused anyway if something has changed.
    """
    ended = hne("a", expiry=NOW)
    assert exceptions(planned(seen(ended))) == ()  # nothing is granted
    relaxed_namespace = denied(hne("a"), hne("b"), annotations={labels.GRANT_PREFIX + "forged": "x"})
    assert exceptions(planned(seen(ended, hne("b"), namespace=relaxed_namespace))) == ("a", "forged")
    assert exceptions(planned(seen(hne("a")))) == ()


# -- what waits for the ledger --------------------------------------------------------------------------------------


def unrecorded(*objects: Any, **fields: Any) -> snapshot.NamespaceSnapshot:
    return seen(*objects, **{"ledger": snapshot.LedgerView(), **fields})


def test_nothing_is_granted_before_the_ledger_has_the_approval_and_the_level() -> None:
    """The first plan asks for the records, and claims no labels. The next plan relaxes the namespace."""
    annotations = {labels.BORN_WITH: "enforce,enforce-version,audit,audit-version,warn,warn-version"}
    state = unrecorded(pod(), hne(), namespace=namespace(labels=DENIED, annotations=annotations))
    first_plan = plan.plan_namespace(state, NOW)
    assert {type(effect) for effect in first_plan.effects} == {effects.RecordException, effects.RecordNamespace}
    assert (first_plan.partial, first_plan.relaxed, reasons(first_plan)) == (True, False, {"net": "NotRecorded"})
    assert only(planned(state)).action == Action.RELAX


def test_a_pod_that_will_be_covered_is_not_flagged_while_its_exception_is_recorded() -> None:
    """A pod that no exception fits is flagged."""
    stranger = pod("stranger", images=frozenset({"another:1"}))
    first_plan = plan.plan_namespace(unrecorded(pod(), stranger, hne()), NOW)
    assert flags(first_plan) == {"stranger": "Uncovered"}


def test_a_grant_that_is_set_stays_while_its_approval_is_recorded_again() -> None:
    """After a loss of the ledger, and when an approver extends the exception, no grant is revoked and given again."""
    state = unrecorded(pod(), hne(), namespace=denied(hne()), policy=governed())
    assert writes(plan.plan_namespace(state, NOW)) == []
    longer = hne(expiry=at(hours=2), metadata={"generation": 2})
    extended_state = seen(pod(), longer, namespace=denied(hne()), ledger=recorded(denied(hne()), hne()))
    first_plan = plan.plan_namespace(extended_state, NOW)
    assert (writes(first_plan), first_plan.relaxed) == ([], True)
    assert only(planned(extended_state)).annotations == {key("net"): line(longer)}


def test_a_revocation_does_not_wait_for_the_ledger() -> None:
    """An expiry that is moved to now is a change of the spec. The first plan revokes the grant."""
    subject = hne(expiry=NOW, metadata={"generation": 2})
    state = seen(pod(), subject, namespace=denied(hne()), ledger=recorded(denied(hne()), hne()))
    first_plan = plan.plan_namespace(state, NOW)
    assert (only(first_plan).action, len(deletes(first_plan))) == (Action.RESTORE, 1)


def test_enforcement_waits_for_the_ledger_to_have_what_stood_before() -> None:
    """If nothing can be recorded, enforcement is turned on nevertheless, and nothing is relaxed."""
    first_plan = plan.plan_namespace(unrecorded(namespace=namespace(labels={labels.PSA_ENFORCE: "privileged"})), NOW)
    (effect,) = first_plan.effects
    assert isinstance(effect, effects.RecordNamespace)
    ours = {label: (value,) for label, value in DENIED.items() if label.startswith(labels.PSA_PREFIX)}
    assert effect.record == ledger.NamespaceRecord(
        enforced=True,
        before="privileged",
        version_before="",
        ours={**ours, labels.PSA_WARN: ("baseline", "restricted")},
        under=IDENTITY,
    )
    ledger_view = snapshot.LedgerView(trouble="forbidden")
    namespace_plan = plan.plan_namespace(unrecorded(hne(), namespace=namespace(), ledger=ledger_view), NOW)
    assert (only(namespace_plan).action, only(namespace_plan).versioned, namespace_plan.relaxed) == (
        Action.ENFORCE,
        False,
        False,
    )
    assert reasons(namespace_plan) == {"net": "NotRecorded"}


def test_a_record_that_is_being_stored_and_is_another_one_by_now_is_replaced_before_anything_is_written() -> None:
    """Somebody set another level and removed it again.

    The record that is being stored would forget that the level is the operator's.
    """
    enforced_namespace = denied()
    remaining_labels = {key: value for key, value in enforced_namespace.labels.items() if key != labels.PSA_ENFORCE}
    ledger_view = recorded(enforced_namespace)
    assert ledger_view.namespace is not None
    other_record = ledger_view.namespace.model_copy(update={"ours": {labels.PSA_WARN: ("restricted",)}})
    state = seen(
        namespace=replace(enforced_namespace, labels=remaining_labels),
        ledger=replace(ledger_view, coming=(other_record,)),
    )
    first_plan = plan.plan_namespace(state, NOW)
    (effect,) = records(first_plan)
    assert (effect.record, writes(first_plan)) == (ledger_view.namespace, [])
    waiting_state = replace(state, ledger=replace(ledger_view, coming=(other_record, ledger_view.namespace)))
    assert writes(plan.plan_namespace(waiting_state, NOW)) == []
    assert only(plan.plan_namespace(replace(state, ledger=ledger_view), NOW)).labels == {labels.PSA_ENFORCE: "baseline"}


def test_where_nothing_can_be_recorded_a_namespace_is_not_enforced_for_an_exception_that_is_not_granted() -> None:
    """The gate then counts no exception, because enforcement would refuse the pods that the exception covers."""
    ledger_view = replace(recorded(denied(), hne()), namespace=None, trouble="forbidden")
    state = seen(hne(), namespace=namespace(), policy=governed(rollout="Gated"), ledger=ledger_view)
    assert gate.excepted(state, NOW) == ()


def test_what_is_released_is_forgotten_once_it_is_written() -> None:
    """The previous level is needed until it is restored."""
    enforced_namespace = denied(annotations={labels.LEVEL_BEFORE: "privileged"})
    state, first_plan = cluster.answered(seen(namespace=enforced_namespace, policy=EXEMPT), NOW, ())
    assert only(first_plan).labels[labels.PSA_ENFORCE] == "privileged"
    released_state = cluster.carry_out(state, first_plan)
    assert released_state.ledger.namespace is not None
    last_plan = plan.plan_namespace(released_state, NOW)
    assert [effects.RecordNamespace(released_state.namespace, None)] == list(last_plan.effects)


def test_the_level_before_is_kept_while_only_the_grants_are_taken() -> None:
    """Grants are revoked in a write of their own. The ledger must keep the rest until the write after that."""
    relaxed_namespace = denied(
        labels={labels.PSA_ENFORCE: "privileged", labels.GUARD: "baseline"}, annotations={key("net"): line(hne())}
    )
    first_plan = plan.plan_namespace(seen(hne(), namespace=relaxed_namespace, policy=EXEMPT), NOW)
    assert (only(first_plan).annotations, only(first_plan).labels) == ({key("net"): None}, {})
    new_records = [effect.record for effect in records(first_plan)]
    assert [record for record in new_records if record is None or not record.enforced] == []


@pytest.mark.parametrize("text", ["nonsense", "|" * 9, ""])
def test_a_grant_of_no_exception_is_removed(text: str) -> None:
    """It does not matter who wrote the grant. A key with the prefix exists only for an exception in force."""
    write = only(planned(seen(namespace=denied(annotations={key("forged"): text}))))
    assert {key("forged"): None} == write.annotations


def test_a_spoilt_grant_is_written_again() -> None:
    """The line says what the exception says, whatever the annotation had before."""
    write = only(planned(seen(hne(), namespace=denied(hne(), annotations={key("net"): "nonsense"}))))
    assert {key("net"): line(hne())} == write.annotations


def test_a_grant_of_an_earlier_namespace_is_written_for_this_one() -> None:
    """The uid in the line is that of this incarnation."""
    old = line(hne()).replace(UID, "uid-of-the-old-one")
    write = only(planned(seen(hne(), namespace=denied(hne(), annotations={key("net"): old}))))
    assert {key("net"): line(hne())} == write.annotations


def test_a_deleted_exception_ends_its_grant_and_spares_its_pods() -> None:
    """The pods of the exception become Uncovered: they are flagged, not deleted."""
    namespace_plan = planned(seen(pod(), namespace=denied(hne())))
    assert {key("net"): None} == only(namespace_plan).annotations
    assert flags(namespace_plan) == {"capture": "Uncovered"}
    assert deletes(namespace_plan) == []


def test_the_guard_stays_while_nothing_is_granted() -> None:
    """The guard stays for good: a namespace with a guard and without a grant needs no write."""
    guarded_namespace = namespace(labels={**DENIED, labels.GUARD: "baseline"}, annotations=ADOPTED)
    assert writes(planned(seen(namespace=guarded_namespace))) == []


def test_loosened_labels_are_put_back() -> None:
    """The write is a repair, and its Event is a warning."""
    write = only(planned(seen(namespace=denied(labels={labels.PSA_ENFORCE: "privileged"}))))
    assert (write.action, write.labels) == (Action.REPAIR, {labels.PSA_ENFORCE: "baseline"})


def test_a_removed_enforcement_label_is_put_back() -> None:
    """The Deny that the operator saw last counts."""
    remaining_labels = {label: value for label, value in DENIED.items() if label != labels.ENFORCEMENT}
    changed_namespace = namespace(labels=remaining_labels, annotations=ADOPTED)
    write = only(planned(seen(namespace=changed_namespace, policy=governed(rollout="Gated"))))
    assert (write.action, write.labels) == (Action.REPAIR, {labels.ENFORCEMENT: "Deny"})


@pytest.mark.parametrize(
    ("policy", "answer", "action"),
    [
        (governed(), None, Action.ENFORCE),
        (AUDIT, None, Action.AUDIT),
        (governed(rollout="Gated"), HOLDING, Action.HOLD),
    ],
    ids=["enforce", "audit", "hold"],
)
def test_a_new_namespace_is_taken_up(policy: Any, answer: Any, action: str) -> None:
    """The operator makes one write. Its action is named after the state that the namespace then has."""
    assert action == only(planned(seen(namespace=namespace(), policy=policy, gate=answer))).action


@pytest.mark.parametrize(
    ("policy", "action"),
    [(governed(), Action.ENFORCE), (AUDIT, Action.AUDIT), (EXEMPT, Action.RELEASE)],
    ids=["enforce", "audit", "exempt"],
)
def test_a_namespace_that_was_born_enforced_is_taken_up(policy: Any, action: str) -> None:
    """The first write is named after what the policy wants, although the labels of Deny are set already."""
    born_enforced = namespace(labels=DENIED)
    assert action == only(planned(seen(namespace=born_enforced, policy=policy))).action


def test_what_birth_wrote_is_claimed_once() -> None:
    """The first write claims the labels that are set and that this write does not change, even if the write relaxes."""
    born_enforced = namespace(labels=DENIED, annotations={labels.BORN_WITH: "enforce,audit"})
    ours = {labels.ENFORCEMENT: "Deny", labels.PSA_AUDIT: "restricted"}
    write = only(planned(unrecorded(namespace=born_enforced)))
    assert write.claims == {**ours, labels.PSA_ENFORCE: "baseline"}
    write = only(planned(unrecorded(hne(), namespace=born_enforced)))
    assert (write.action, write.claims) == (Action.RELAX, ours)
    assert only(planned(seen(hne(), namespace=denied()))).claims == {}


def test_an_exception_counts_where_the_namespace_was_born_enforced() -> None:
    """Nobody set the level that label-at-birth wrote, so the operator lifts it."""
    annotations = {labels.BORN_WITH: "enforce,enforce-version"}
    write = only(planned(unrecorded(hne(), namespace=namespace(labels=DENIED, annotations=annotations))))
    assert (write.action, write.labels) == (Action.RELAX, {labels.PSA_ENFORCE: "privileged", labels.GUARD: "baseline"})
    assert write.annotations == {key("net"): line(hne()), **ADOPTED, labels.BORN_WITH: None}


def test_a_gate_that_has_to_be_asked_comes_first() -> None:
    """Until the gate has answered, nothing is written on the namespace or its exceptions."""
    namespace_plan = planned(seen(pod(), hne(), namespace=namespace(), policy=governed(rollout="Gated")))
    assert (gate_level(namespace_plan), namespace_plan.effects) == (labels.Level.BASELINE, ())


def test_a_new_pod_is_flagged_while_the_gate_is_asked() -> None:
    """A gate check takes seconds.

    A flag that is set stays, because the exception that covers the pod now may be withheld by then.
    """
    flagged_pod = pod("covered", verdict_label="Uncovered")
    stranger = pod("stranger", images=frozenset({"another:1"}))
    namespace_plan = planned(
        seen(flagged_pod, stranger, hne(), namespace=namespace(), policy=governed(rollout="Gated"))
    )
    assert verdicts(namespace_plan) == {"covered": "Covered", "stranger": "Uncovered"}
    assert flags(namespace_plan) == {"stranger": "Uncovered"}
    assert len(namespace_plan.effects) == 1


@pytest.mark.parametrize(("enforcement", "count"), [("Held", 1), ("Audit", 0)])
def test_an_expired_pod_goes_while_the_gate_is_asked(enforcement: str, count: int) -> None:
    """The pod is deleted if no answer of the gate would spare it.

    If nothing was enforced before, the answer comes first.
    """
    ended = hne(expiry=NOW - datetime.timedelta(seconds=1))
    labelled_namespace = namespace(labels={labels.ENFORCEMENT: enforcement})
    namespace_plan = planned(seen(pod(), ended, namespace=labelled_namespace, policy=governed(rollout="Gated")))
    assert (labels.Level.BASELINE, count) == (gate_level(namespace_plan), len(deletes(namespace_plan)))


def test_while_the_gate_is_asked_an_end_is_not_missed() -> None:
    """A plan that asks the gate also says when another plan may differ."""
    ends = NOW + datetime.timedelta(seconds=1)
    namespace_plan = planned(seen(pod(), hne(expiry=ends), namespace=namespace(), policy=governed(rollout="Gated")))
    assert (labels.Level.BASELINE, ends) == (gate_level(namespace_plan), namespace_plan.next_check)


def test_a_namespace_on_its_way_out_is_not_looked_at() -> None:
    """The gate's answer would change nothing in a namespace that is being deleted."""
    terminating_namespace = replace(namespace(), terminating=True)
    namespace_plan = planned(seen(pod(), hne(), namespace=terminating_namespace, policy=governed(rollout="Gated")))
    assert (gate_level(namespace_plan), namespace_plan.effects) == (None, ())


# -- what withholds a grant -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", grants.WHAT_RELAXING_RESTS_ON)
def test_nothing_new_is_relaxed_without_every_guard(name: str) -> None:
    """Each of the four policies is needed to lift a level, whatever the type of the exception."""
    for kind in ("Diagnostic", "Application", "Infrastructure"):
        namespace_plan = planned(seen(pod(), hne(type=kind, images=(IMAGE,)), guards=guards(missing=[name])))
        assert ({"net": "GuardMissing"}, set(), False) == (
            reasons(namespace_plan),
            granted(namespace_plan),
            namespace_plan.relaxed,
        )
        assert f"ValidatingAdmissionPolicy {name!r} is missing" == namespace_plan.standings[0].why


@pytest.mark.parametrize("name", grants.WHAT_RELAXING_RESTS_ON)
@pytest.mark.parametrize(
    ("kind", "reason", "level"),
    [("Diagnostic", "GuardMissing", "baseline"), ("Application", "Active", None), ("Infrastructure", "Active", None)],
)
def test_without_a_guard_diagnostics_end_and_the_rest_stays(
    name: str, kind: str, reason: str, level: str | None
) -> None:
    """If the operator revoked an existing grant of Infrastructure, the network would stop at the next restart."""
    subject = hne(type=kind, images=(IMAGE,))
    namespace_plan = planned(seen(pod(), subject, namespace=denied(subject), guards=guards(missing=[name])))
    assert {"net": reason} == reasons(namespace_plan)
    assert [level] * (level is not None) == [write.labels.get(labels.PSA_ENFORCE) for write in writes(namespace_plan)]
    assert deletes(namespace_plan) == []


@pytest.mark.parametrize(
    "name",
    [
        labels.POLICY_NAMESPACE_SIZE,
        labels.POLICY_OPERATOR_LIMITS,
        labels.POLICY_OWN_NAMESPACES,
        labels.POLICY_POD_SIZE,
        labels.POLICY_PREVIEW_DRY_RUN,
    ],
)
@pytest.mark.parametrize("kind", ["Diagnostic", "Application", "Infrastructure"])
def test_policies_that_hold_no_pod_of_a_tenant_withhold_no_grant(name: str, kind: str) -> None:
    """Without one of these policies an exception is in force nevertheless, and an existing grant stays."""
    subject = hne(type=kind, images=(IMAGE,))
    for present_namespace in (denied(), denied(subject)):
        namespace_plan = planned(seen(pod(), subject, namespace=present_namespace, guards=guards(missing=[name])))
        assert ({"net": "Active"}, {"net"}, True) == (
            reasons(namespace_plan),
            granted(namespace_plan),
            namespace_plan.relaxed,
        )


def test_a_guard_counts_after_five_seconds() -> None:
    """Until then the exception waits, and the plan says until when."""
    young_guards = guards(since=at(seconds=-3))
    namespace_plan = planned(seen(hne(), guards=young_guards))
    assert reasons(namespace_plan) == {"net": "GuardMissing"}
    assert "is not in force yet" in namespace_plan.standings[0].why
    assert at(seconds=2) == namespace_plan.next_check
    assert reasons(planned(seen(hne(), guards=young_guards), at(seconds=2))) == {"net": "Active"}


@pytest.mark.parametrize("name", grants.WHAT_RELAXING_RESTS_ON)
@pytest.mark.parametrize("kind", ["Diagnostic", "Application", "Infrastructure"])
def test_in_an_upgrade_what_stands_stays_and_nothing_new_is_granted(name: str, kind: str) -> None:
    """This applies as long as the guard is excused, and the plan says until when."""
    subject, changing_guards = (
        hne(type=kind, images=(IMAGE,)),
        guards(missing=[name], excused=at(seconds=40)),
    )
    namespace_plan = planned(seen(pod(), subject, namespace=denied(subject), guards=changing_guards))
    assert (reasons(namespace_plan), writes(namespace_plan), namespace_plan.next_check) == (
        {"net": "Active"},
        [],
        at(seconds=40),
    )
    new_plan = planned(seen(pod(), subject, guards=changing_guards))
    assert (reasons(new_plan), granted(new_plan), new_plan.relaxed) == ({"net": "GuardMissing"}, set(), False)
    assert new_plan.standings[0].why == f"ValidatingAdmissionPolicy {name!r} is missing"


@pytest.mark.parametrize(
    ("kind", "reason"), [("Diagnostic", "GuardMissing"), ("Application", "Active"), ("Infrastructure", "Active")]
)
def test_when_the_upgrade_takes_too_long_diagnostics_end(kind: str, reason: str) -> None:
    """A policy that is still not known by then counts as missing."""
    subject = hne(type=kind, images=(IMAGE,))
    state = seen(
        pod(), subject, namespace=denied(subject), guards=guards(missing=[labels.POLICY_HOST_NAMESPACES], excused=NOW)
    )
    assert {"net": reason} == reasons(planned(state))


def test_a_guard_that_is_young_takes_nothing_away() -> None:
    """A policy of this release that replaces that of the last release counts from the replacement.

    Existing grants stay.
    """
    subject = hne()
    namespace_plan = planned(seen(pod(), subject, namespace=denied(subject), guards=guards(since=at(seconds=-1))))
    assert (reasons(namespace_plan), writes(namespace_plan)) == ({"net": "Active"}, [])


def test_an_exception_written_while_a_policy_is_not_known_is_not_approved() -> None:
    """That policy may have let anything through."""
    changing_guards = guards(missing=[labels.POLICY_EXCEPTION_WRITERS], excused=at(seconds=40))
    assert reasons(planned(unrecorded(hne(), guards=changing_guards))) == {"net": "NotApproved"}


@pytest.mark.parametrize("level", ["restricted", "baseline", "privileged"])
@pytest.mark.parametrize("target", ["restricted", "baseline"])
def test_the_guard_is_the_target_whatever_level_a_grant_asks_for(target: str, level: str) -> None:
    """All other pods must meet the level that was to be enforced. podSecurityLevel is for the pods of its exception."""
    namespace_plan = planned(seen(hne(pod_security_level=level), policy=governed(pod_security={"enforce": target})))
    assert ({"net": "Active"}, {"net"}, True) == (
        reasons(namespace_plan),
        granted(namespace_plan),
        namespace_plan.relaxed,
    )
    new_labels = dict(only(namespace_plan).labels)
    assert (target, "privileged") == (new_labels[labels.GUARD], new_labels[labels.PSA_ENFORCE])


@pytest.mark.parametrize("present", ["baseline", "restricted"])
def test_where_somebody_else_set_the_level_nothing_is_relaxed(present: str) -> None:
    """The exception names the label and the remedy."""
    enforced_namespace = denied(labels={labels.PSA_ENFORCE: present})
    namespace_plan = planned(
        seen(
            pod(),
            hne(),
            namespace=enforced_namespace,
            ledger=recorded(enforced_namespace, hne(), theirs=(labels.PSA_ENFORCE,)),
        )
    )
    assert (reasons(namespace_plan), writes(namespace_plan), namespace_plan.relaxed) == (
        {"net": "LevelOwnedByOther"},
        [],
        False,
    )
    assert namespace_plan.standings[0].why == (
        "the operator does not lift the level, because another client set the label"
        f" pod-security.kubernetes.io/enforce={present}; find the client (kubectl get namespace payments -o yaml"
        " --show-managed-fields), stop its writes, and remove the label (kubectl label namespace payments"
        " pod-security.kubernetes.io/enforce-): the operator then sets the label"
    )


def test_who_set_other_labels_withholds_nothing() -> None:
    """Audit and warn enforce nothing, so a conflict about them does not matter."""
    namespace_plan = planned(seen(hne(), ledger=recorded(denied(), hne(), theirs=(labels.PSA_WARN,))))
    assert reasons(namespace_plan) == {"net": "Active"}


@pytest.mark.parametrize("policy_state", [ABSENT, UNKNOWN], ids=["absent", "unknown"])
def test_without_a_policy_nothing_new_is_granted(policy_state: snapshot.PolicyState) -> None:
    """The reason of the exception is NoPolicy. The pod gets its verdict nevertheless, and the verdict is shown."""
    namespace_plan = planned(seen(pod(), hne(), policy=policy_state))
    assert (reasons(namespace_plan), writes(namespace_plan)) == ({"net": "NoPolicy"}, [])
    assert verdicts(namespace_plan) == {"capture": "Uncovered"}


@pytest.mark.parametrize("policy_state", [ABSENT, UNKNOWN], ids=["absent", "unknown"])
def test_without_a_policy_what_is_granted_stays(policy_state: snapshot.PolicyState) -> None:
    """The level is restored when the exception ends."""
    namespace_plan = planned(seen(pod(), hne(), namespace=denied(hne()), policy=policy_state))
    assert (reasons(namespace_plan), writes(namespace_plan), namespace_plan.relaxed) == ({"net": "Active"}, [], True)
    write = only(planned(seen(hne(), namespace=denied(hne()), policy=policy_state), at(hours=1)))
    assert ({labels.PSA_ENFORCE: "baseline"}, {key("net"): None}) == (write.labels, write.annotations)


def test_the_65th_grant_is_too_many() -> None:
    """64 exceptions are granted. The youngest waits, and no line is cut."""
    subjects = [hne(f"e{n:02}", metadata={"creation_timestamp": at(minutes=-60 + n / 10)}) for n in range(65)]
    namespace_plan = planned(seen(*subjects))
    assert {name: reason for name, reason in reasons(namespace_plan).items() if reason != "Active"} == {
        "e64": "GrantTooLarge"
    }
    assert len(granted(namespace_plan)) == 64
    assert "at most 64 grants, of 128 KiB in total" in namespace_plan.standings[-1].why


def test_the_501st_exception_is_not_judged() -> None:
    """Granted exceptions come first, and exceptions that ended long ago come last.

    An exception that is not judged grants nothing.
    """
    old_subjects = [
        hne(f"old{n:03}", metadata={"creation_timestamp": at(hours=-40)}, expiry=at(hours=-30)) for n in range(3)
    ]
    subjects = [hne(f"e{n:03}", metadata={"creation_timestamp": at(minutes=-60 + n / 100)}) for n in range(500)]
    granted_subject = hne("young", type="Infrastructure", metadata={"creation_timestamp": at(minutes=-1)})
    namespace_plan = planned(
        seen(*old_subjects, *subjects, granted_subject, namespace=denied(granted_subject, created=at(hours=-50)))
    )
    ready_reasons = reasons(namespace_plan)
    assert ready_reasons["young"] == "Active"
    beyond = {name for name, reason in ready_reasons.items() if reason == "TooMany"}
    assert beyond == {"old000", "old001", "old002", "e499"}
    why = next(standing.why for standing in namespace_plan.standings if standing.exception.metadata.name == "e499")
    assert why.startswith("namespace payments has 504 exceptions, and the operator evaluates 500 per namespace")
    assert key("e499") not in {name for write in writes(namespace_plan) for name in write.annotations}


def test_a_pod_of_an_exception_that_is_not_judged_is_spared() -> None:
    """Another exception that fits the pod has ended. The operator does not know what the unjudged exception says."""
    subjects = [hne(f"e{n:03}", images=("other",), metadata={"creation_timestamp": at(hours=-3)}) for n in range(499)]
    ended = hne("over", metadata={"creation_timestamp": at(hours=-3)}, expiry=at(minutes=-1))
    young = hne("young", metadata={"creation_timestamp": at(minutes=-1)})
    state = seen(pod(created=at(hours=-2)), *subjects, ended, young, namespace=denied(created=at(hours=-4)))
    assert deletes(planned(state)) == []
    assert verdicts(planned(state)) == {"capture": "Uncovered"}
    assert len(deletes(planned(replace(state, exceptions=(ended,))))) == 1


def test_annotations_of_others_leave_less_room() -> None:
    """A grant that the API server would refuse for its size is withheld, and the reason says so.

    A smaller grant is given.
    """
    size = len(key("net")) + len(line(hne()))
    for free, reason in ((size, "Active"), (size - 1, "GrantTooLarge")):
        other_annotations = {
            "a": "x" * (labels.ANNOTATION_BYTES - free - 1 - sum(len(k + v) for k, v in ADOPTED.items()))
        }
        namespace_plan = planned(
            seen(hne(), namespace=namespace(labels=DENIED, annotations={**ADOPTED, **other_annotations}))
        )
        assert reasons(namespace_plan) == {"net": reason}
    assert f"the other annotations of this namespace leave room for {size - 1} bytes" in namespace_plan.standings[0].why


def annotation_bytes(annotated_namespace: snapshot.Namespace) -> int:
    return sum(len(key.encode()) + len(text.encode()) for key, text in annotated_namespace.annotations.items())


@pytest.mark.parametrize("blocked", [False, True], ids=["clean", "held"])
@pytest.mark.parametrize("spare", [-1, 0, 1, 27, 50, 51, 100, 900, 2000])
def test_every_write_fits_into_the_annotations_of_a_namespace(spare: int, *, blocked: bool) -> None:
    """Enforcement is turned on, or the namespace is Held, however little room a tenant leaves.

    Each write stays within 256 KiB. `spare` is the room beside the grant.
    """
    size = len(key("net")) + len(line(hne()))
    other_annotations = {"a": "x" * (labels.ANNOTATION_BYTES - size - spare - 1)}
    state = seen(hne(), namespace=namespace(annotations=other_annotations), policy=governed(rollout="Gated"))
    holders = tuple(f"Deployment wéb-{number}: host namespaces" for number in range(40)) if blocked else ()
    for _ in range(4):
        state, namespace_plan = cluster.answered(state, NOW, holders)
        state = cluster.carry_out(state, namespace_plan)
        assert annotation_bytes(state.namespace) <= labels.ANNOTATION_BYTES
    state, namespace_plan = cluster.answered(state, NOW, holders)
    assert cluster.doing(namespace_plan) == []
    assert state.namespace.labels[labels.ENFORCEMENT] == ("Held" if blocked else "Deny")
    assert (reasons(namespace_plan), key("net") in state.namespace.annotations) == (
        {"net": "Active" if spare >= 0 else "GrantTooLarge"},
        spare >= 0,
    )


def test_held_by_makes_room_for_a_grant() -> None:
    """The annotation that says what blocks enforcement is cut, and the grant is written whole."""
    holders = tuple(f"Deployment web-{number}: hostNetwork" for number in range(20))
    held_by = {labels.HELD_BY: "since 2026-11-22T11:00:00Z: " + "; ".join(holders)}
    other_annotations = {
        "a": "x" * (labels.ANNOTATION_BYTES - 1 - sum(len(key + text) for key, text in held_by.items()))
    }
    state = held(hne(), namespace=namespace(labels=HELD, annotations={**held_by, **other_annotations}))
    assert annotation_bytes(state.namespace) == labels.ANNOTATION_BYTES
    state = replace(state, gate=replace(HOLDING, holders=holders, excepted=gate.names(gate.excepted(state, NOW))))
    namespace_plan = planned(state)
    write, size = only(namespace_plan), len(key("net")) + len(line(hne()))
    assert (write.annotations[key("net")], reasons(namespace_plan)) == (line(hne()), {"net": "Active"})
    assert write.annotations[labels.HELD_BY] == held_by[labels.HELD_BY][:-size]
    assert annotation_bytes(cluster.carry_out(state, namespace_plan).namespace) == labels.ANNOTATION_BYTES


def test_what_is_granted_already_keeps_its_place() -> None:
    """An older exception that appears later does not displace an exception that pods rely on."""
    subjects = [hne(f"e{n:02}") for n in range(64)]
    older = hne("a", metadata={"creation_timestamp": at(hours=-2)})
    namespace_plan = planned(seen(*subjects, older, namespace=denied(*subjects, created=at(hours=-3))))
    assert {name: reason for name, reason in reasons(namespace_plan).items() if reason != "Active"} == {
        "a": "GrantTooLarge"
    }
    assert writes(namespace_plan) == []


@pytest.mark.parametrize("created", [at(hours=-2), at(minutes=-1)], ids=["older", "younger"])
def test_a_grant_keeps_its_place_while_its_exception_waits_for_a_record(created: datetime.datetime) -> None:
    """An approver has changed one of 64 exceptions.

    No other exception takes its place, and there are never 65 grants.
    """
    subjects = [hne(f"e{n:02}") for n in range(64)]
    other = hne("a", metadata={"creation_timestamp": created})
    state_before = seen(*subjects, other, namespace=denied(*subjects, created=at(hours=-3)))
    changed_subject = hne("e07", metadata={"generation": subjects[7].metadata.generation + 1})
    state = replace(state_before, exceptions=(*subjects[:7], changed_subject, *subjects[8:], other))
    namespace_plan = plan.plan_namespace(state, NOW)
    assert reasons(namespace_plan)["e07"] == "NotRecorded"
    assert (reasons(namespace_plan)["a"], writes(namespace_plan)) == ("GrantTooLarge", [])


def test_grants_stay_below_128_kib() -> None:
    """The lines that fit are written whole."""
    image = "registry.example.com/" + "x" * 480
    subjects = [hne(f"e{n:02}", images=tuple(f"{image}:{m:02}" for m in range(16))) for n in range(20)]
    namespace_plan = planned(seen(*subjects))
    grant_lines = {
        k: v
        for write in writes(namespace_plan)
        for k, v in write.annotations.items()
        if k.startswith(labels.GRANT_PREFIX)
    }
    size = sum(len(k) + len(v or "") for k, v in grant_lines.items())
    assert 15 <= len(grant_lines) < 20
    assert size <= grant.MAX_BYTES
    assert {"GrantTooLarge"} == {r for name, r in reasons(namespace_plan).items() if key(name) not in grant_lines}
    assert all(
        line(subject) == grant_lines[key(subject.metadata.name)]
        for subject in subjects
        if key(subject.metadata.name) in grant_lines
    )


def test_an_exception_without_a_line_is_invalid_and_spoils_no_other() -> None:
    """A value that could separate fields never reaches an annotation (the CRD refuses it before)."""
    namespace_plan = planned(seen(hne("bad", service_account_name="a|b"), hne("good")))
    assert ({"bad": "Invalid", "good": "Active"}, {"good"}) == (reasons(namespace_plan), granted(namespace_plan))


# -- where nothing is enforced --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "namespace_plan", [planned(held(hne())), planned(seen(hne(), policy=AUDIT))], ids=["held", "audit"]
)
def test_an_exception_where_nothing_is_enforced_is_a_grant_and_nothing_else(namespace_plan: plan.NamespacePlan) -> None:
    """There is no guard and no level, because a level would refuse the holders."""
    assert ({"net": "Active"}, {"net"}, False) == (
        reasons(namespace_plan),
        granted(namespace_plan),
        namespace_plan.relaxed,
    )
    for write in writes(namespace_plan):
        assert write.labels.get(labels.GUARD) is None
        assert write.labels.get(labels.PSA_ENFORCE) is None


def test_a_held_namespace_is_looked_at_again() -> None:
    """The next check is a minute after the gate was asked."""
    assert at(seconds=60) == planned(held()).next_check


def test_audit_takes_level_and_guard_down() -> None:
    """The previous level is restored. Grants stay, so that verdicts agree."""
    relaxed_namespace = denied(hne(), annotations={labels.LEVEL_BEFORE: "baseline"})
    write = only(planned(seen(pod(), hne(), namespace=relaxed_namespace, policy=AUDIT)))
    restored_labels = {labels.PSA_ENFORCE: "baseline", labels.PSA_WARN: "restricted"}
    assert write.labels == {labels.ENFORCEMENT: "Audit", labels.GUARD: None, **restored_labels}
    assert write.annotations == {labels.LEVEL_BEFORE: None}


def test_an_exempt_namespace_gets_no_grants() -> None:
    """Existing grants are removed."""
    namespace_plan = planned(seen(pod(), hne(), namespace=denied(hne()), policy=EXEMPT))
    assert set() == granted(namespace_plan)
    assert all(value is None for write in writes(namespace_plan) for value in write.annotations.values())
    assert (verdicts(namespace_plan), namespace_plan.enforcement, namespace_plan.exempt) == (
        {"capture": "Covered"},
        None,
        True,
    )


def test_an_exempt_namespace_is_left_alone() -> None:
    """The operator writes nothing there except the status of exceptions."""
    namespace_plan = planned(seen(pod("a"), pod("b", service_account="x"), hne(), namespace=namespace(), policy=EXEMPT))
    assert {effects.WriteExceptionStatus} == {type(e) for e in namespace_plan.effects}


def test_a_static_pod_of_an_exempt_namespace_is_left_alone() -> None:
    """Mirror pods of kube-system get no label and no Events. The label is for pods outside exempt namespaces."""
    namespace_plan = planned(seen(pod(mirror=True), namespace=namespace(), policy=EXEMPT))
    assert namespace_plan.effects == ()


def test_of_a_terminating_namespace_only_the_pods_count() -> None:
    """The pods are flagged, and deleted at the expiry of their exception. Nothing else is written."""
    terminating_namespace, forged = denied(hne(), terminating=True), pod("forged", service_account="default")
    plan_before = planned(seen(pod(), forged, hne(), namespace=terminating_namespace))
    assert (flags(plan_before), deletes(plan_before)) == ({"forged": "Uncovered"}, [])
    assert plan_before.next_check is not None
    namespace_plan = planned(seen(pod(), forged, hne(expiry=NOW), namespace=terminating_namespace))
    assert (flags(namespace_plan), [e.pod for e in deletes(namespace_plan)]) == (
        {"forged": "Uncovered"},
        [pod().reference],
    )
    assert len(namespace_plan.effects) == 2


@pytest.mark.parametrize("deleting", [False, True], ids=["gone", "going"])
def test_an_exception_that_goes_with_its_namespace_ends_its_pods_in_time(deleting: bool) -> None:
    """The exception is removed before its pods, immediately or when its finalizers are removed.

    The ledger has its terms.
    """
    subject = hne(metadata={"deletion_timestamp": NOW, "generation": 2}) if deleting else hne()
    state_before = seen(pod(deleting=True, to_be_gone=at(days=3650)), hne(), namespace=denied(terminating=True))
    state = replace(state_before, exceptions=(subject,) if deleting else ())
    assert verdicts(planned(state)) == {"capture": "Covered"}
    assert deletes(planned(state)) == []
    assert [e.pod for e in deletes(planned(state, at(hours=1)))] == [pod().reference]


def test_without_their_kind_exceptions_end_as_the_ledger_says() -> None:
    """Their CRD was deleted, so no exception object exists.

    A grant stays until its expiry, and its pod is deleted then.
    """
    relaxed_namespace = denied(hne())
    state = replace(seen(pod(), hne(), namespace=relaxed_namespace), exceptions=(), exceptions_served=False)
    assert (verdicts(planned(state)), deletes(planned(state)), planned(state).relaxed) == (
        {"capture": "Covered"},
        [],
        True,
    )
    namespace_plan = planned(state, at(hours=1))
    assert [e.pod for e in deletes(namespace_plan)] == [pod().reference]
    assert not namespace_plan.relaxed
    bare_plan = planned(replace(state, namespace=denied(labels={labels.GUARD: "baseline"})))  # deleted before the CRD
    assert not bare_plan.relaxed
    assert not [e for e in bare_plan.effects if isinstance(e, effects.WriteNamespace)]
    plan_after_deletion = planned(replace(state, exceptions_served=True))  # as when somebody has deleted the exception
    assert (verdicts(plan_after_deletion), plan_after_deletion.relaxed) == ({"capture": "Uncovered"}, False)


# -- deletes --------------------------------------------------------------------------------------------------------


def test_at_the_expiry_the_pods_are_deleted() -> None:
    """The deletes have the grace period of the exception, and come after the write of the namespace."""
    namespace_plan = planned(seen(pod(), hne(expiry=NOW, grace_period_seconds=7), namespace=denied(hne())))
    (delete,) = deletes(namespace_plan)
    assert (pod().reference, 7) == (delete.pod, delete.grace_seconds)
    assert isinstance(namespace_plan.effects[0], effects.WriteNamespace)
    assert flags(namespace_plan) == {}


def test_the_longest_grace_counts() -> None:
    """Of several exceptions that have ended, the longest grace period counts."""
    subjects = [hne(name, expiry=NOW, grace_period_seconds=grace) for name, grace in (("a", 5), ("b", 90), ("c", 30))]
    assert [e.grace_seconds for e in deletes(planned(seen(pod(), *subjects)))] == [90]


def test_held_namespaces_are_cleaned_up_too() -> None:
    """In a Held namespace the policy wants enforcement, so expired pods are deleted."""
    assert len(deletes(planned(held(pod(), hne(expiry=NOW))))) == 1


SPARED: dict[str, snapshot.NamespaceSnapshot] = {
    "audit": seen(pod(), hne(expiry=NOW), policy=AUDIT),
    "exempt": seen(pod(), hne(expiry=NOW), policy=EXEMPT),
    "nothing enforced": seen(pod(), hne(expiry=NOW), namespace=namespace(), policy=ABSENT),
    "mirror": seen(pod(mirror=True), hne(expiry=NOW)),
    "uncovered": seen(pod(), hne(expiry=NOW, images=("other:1",))),
    "no exception": seen(pod()),
    "expiry before its birth": seen(pod(), hne(expiry=at(minutes=-59))),
    "unknown policy": seen(pod(), hne(expiry=NOW), policy=UNKNOWN),
    "untrusted clock": seen(pod(), hne(expiry=NOW), clock_trusted=False),
    "application": seen(pod(), hne(type="Application", expiry=NOW)),
    "infrastructure": seen(pod(), hne(type="Infrastructure", expiry=NOW)),
    "report": seen(pod(), hne(expiry=NOW, on_expiry="Report")),
    "one of two reports": seen(pod(), hne("a", expiry=NOW), hne("b", expiry=NOW, on_expiry="Report")),
    "one of two is an application": seen(pod(), hne("a", expiry=NOW), hne("b", type="Application", expiry=NOW)),
    "another in force": seen(pod(), hne("a", expiry=NOW), hne("b")),
    "deleting already": seen(pod(deleting=True), hne(expiry=NOW)),
    "not approved": unrecorded(pod(), hne(expiry=NOW), guards=guards(missing=[labels.POLICY_EXCEPTION_WRITERS])),
    "a second to go": seen(pod(), hne(expiry=at(seconds=1))),
    "exception deleted": seen(pod(), hne(expiry=NOW, metadata={"deletion_timestamp": NOW})),
    "unreadable": seen(snapshot.UnreadablePod(NAMESPACE, "capture", "u", "KeyError"), hne(expiry=NOW)),
}


@pytest.mark.parametrize("case", SPARED)
def test_nothing_else_is_deleted(case: str) -> None:
    """Each of these cases alone spares a pod that would be deleted otherwise."""
    assert deletes(planned(SPARED[case])) == []


def test_the_untrusted_clock_stops_no_restore() -> None:
    """Only deletes wait until the time can be trusted."""
    namespace_plan = planned(seen(pod(), hne(expiry=NOW), namespace=denied(hne()), clock_trusted=False))
    assert only(namespace_plan).action == Action.RESTORE
    assert flags(namespace_plan) == {"capture": "Expired"}


# -- flags and statuses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "objects", "label"),
    [
        (pod(), (), "Uncovered"),
        (pod(verdict_label="Uncovered"), (), "nothing"),
        (pod(verdict_label="Expired"), (), "Uncovered"),
        (pod(), (hne(),), "nothing"),
        (pod(verdict_label="Uncovered"), (hne(),), None),
        (pod(), (hne(expiry=NOW, on_expiry="Report"),), "Expired"),
        (pod(mirror=True), (), "Static"),
        (pod(deleting=True), (), "nothing"),
        (pod(verdict_label="Covered"), (hne(),), None),
    ],
)
def test_the_verdict_label_is_written_on_transitions_only(
    subject: snapshot.Pod, objects: Any, label: str | None
) -> None:
    """Covered pods have no label. The operator leaves pods alone that are being deleted."""
    assert ({} if label == "nothing" else {"capture": label}) == flags(planned(seen(subject, *objects)))


def test_a_status_is_written_once() -> None:
    """A status that is stored already is not written again."""
    first_status = statuses(planned(seen(pod(), hne())))["net"]
    assert (first_status.covered_pods, first_status.sample_pods, first_status.namespace_uid) == (1, ("capture",), UID)
    later_plan = planned(seen(pod(), hne(status=first_status), namespace=denied(hne())), at(minutes=3))
    assert later_plan.effects == ()


def test_an_exception_that_is_being_deleted_gets_no_status() -> None:
    """The write would fail or come too late."""
    assert statuses(planned(seen(hne(metadata={"deletion_timestamp": NOW})))) == {}


def test_unreadable_pods_are_counted() -> None:
    """The pods count as Unknown, and nothing is done to them."""
    namespace_plan = planned(seen(snapshot.UnreadablePod(NAMESPACE, "odd", "u", "KeyError: 'image'")))
    assert (namespace_plan.unreadable, namespace_plan.verdicts, namespace_plan.effects) == (1, (), ())


# -- the next check -------------------------------------------------------------------------------------------------


def check(now: datetime.datetime = NOW, **fields: Any) -> datetime.datetime | None:
    return planned(
        seen(hne("a", expiry=at(minutes=30)), hne("b"), hne("c", type="Infrastructure"), **fields), now
    ).next_check


def test_the_next_expiry_is_the_next_check() -> None:
    """The next check is at the earliest expiry that is still to come."""
    assert at(minutes=30) == check(at(minutes=1))
    assert at(hours=1) == check(at(minutes=30))


def test_what_a_finding_waits_for_is_a_check() -> None:
    """At these moments an exception without an end would be unused, and due for review."""
    assert at(hours=719) == check(at(hours=1))
    assert at(hours=4319) == check(at(hours=719))
    assert None is check(at(hours=4319))


def test_a_guard_that_settles_is_a_check() -> None:
    """From that moment on, something may be granted."""
    assert at(seconds=4) == check(guards=guards(since=at(seconds=-1)))


def test_plans_do_not_depend_on_the_order_they_are_given_in() -> None:
    """Pods and exceptions are sorted before anything is emitted."""
    objects = [pod("b"), pod("a"), hne("z"), hne("y", expiry=NOW)]
    state, reversed_state = seen(*objects), seen(*reversed(objects))
    assert state != reversed_state
    assert planned(state) == planned(reversed_state)


def test_a_line_says_all_that_the_exception_says() -> None:
    """The line has type, end, account, host namespaces, privileged, level, capabilities, paths and images."""
    subject = hne(
        host_namespaces=("PID", "Network"),
        privileged=True,
        pod_security_level="privileged",
        capabilities=("SYS_PTRACE",),
        host_paths=({"path": "/proc"}, {"path": "/var/lib", "read_only": False}),
        images=("b:2", "a:1"),
    )
    assert (
        f"{UID}|Diagnostic|2026-11-22T13:00:00Z|netdebug|Network PID|true|privileged|SYS_PTRACE"
        "|ro:/proc rw:/var/lib|a:1 b:2"
    ) == line(subject)


def test_nothing_of_an_exception_but_its_record_stays_out_of_the_line() -> None:
    """Every field of the spec either changes the line, or is a field that a grant does not need."""
    record = {
        "component",
        "owner",
        "contact",
        "reason",
        "ticket",
        "review",
        "on_expiry",
        "grace_period_seconds",
        "namespace",
    }
    in_line = {
        "type",
        "expiry",
        "service_account_name",
        "host_namespaces",
        "images",
        "capabilities",
        "privileged",
        "host_paths",
        "host_ports",
        "pod_security_level",
    }
    assert set(exception.ExceptionSpec.model_fields) == record | in_line


# -- pods that no watch reports, owners, pods that are not removed --------------------------------------------------

PID = frozenset({labels.HostNamespace.PID})
FOR_PID = ("PID",)


def relist(*objects: Any, listed: datetime.datetime | None = NOW, now: datetime.datetime = NOW) -> Any:
    return list_at(planned(seen(*objects, every_pod_listed=listed), now))


def test_the_pods_are_listed_at_the_end_of_an_exception_for_what_is_not_watched() -> None:
    """Pods of the exception may have been created since the last list.

    The watch has reported all pods of an exception for the host network alone.
    """
    assert relist(hne(expiry=NOW, host_namespaces=FOR_PID), listed=at(minutes=-9)) == NOW
    assert relist(hne(expiry=NOW, host_namespaces=("Network", "IPC")), listed=at(minutes=-9)) == NOW
    assert at(minutes=1) == relist(hne(expiry=NOW), listed=at(minutes=-9))
    assert None is relist(hne(expiry=at(hours=1), host_namespaces=FOR_PID), listed=at(minutes=-9))


def test_what_was_listed_since_is_not_listed_again() -> None:
    """The operator lists the pods at the end of an exception, and again a minute later.

    An exception that ended before the process started needs no list.
    """
    ended = hne(expiry=NOW, host_namespaces=FOR_PID)
    assert at(minutes=1) == relist(ended, now=at(seconds=5))
    assert None is relist(ended, listed=at(minutes=1), now=at(minutes=2))
    assert None is relist(hne(expiry=at(minutes=-3)))


def test_an_unwatched_pod_on_its_way_out_is_looked_for() -> None:
    """The pods are listed when its grace period has passed, and every minute until it is removed.

    A watch reports a watched pod.
    """
    fields = {"deleting": True, "to_be_gone": at(seconds=30)}
    assert at(seconds=31) == relist(pod(host_namespaces=PID, **fields))
    assert at(seconds=100) == relist(pod(host_namespaces=PID, **fields), listed=at(seconds=40), now=at(seconds=50))
    assert None is relist(pod(**fields))


def test_nobody_is_told_of_an_unwatched_pod_that_was_not_looked_at_lately() -> None:
    """The operator renews an old list before it emits an Event. If there is nothing to report, the list stays."""
    assert relist(pod(host_namespaces=PID), listed=at(minutes=-2)) == NOW
    assert None is relist(pod(host_namespaces=PID), listed=at(seconds=-59))
    assert None is relist(pod(host_namespaces=PID, verdict_label="Uncovered"), listed=at(minutes=-2))
    assert None is relist(pod(), listed=at(minutes=-2))


@pytest.mark.parametrize(("to_be_gone", "deleted"), [(at(seconds=90), 0), (at(seconds=91), 1), (at(days=9999), 1)])
def test_a_longer_grace_than_the_exceptions_is_shortened(to_be_gone: datetime.datetime, deleted: int) -> None:
    """A pod that somebody deleted with a grace period of years would outlive its exception.

    A minute more is tolerated.
    """
    namespace_plan = planned(seen(pod(deleting=True, to_be_gone=to_be_gone), hne(expiry=NOW)))
    assert deleted == len(deletes(namespace_plan))


def pod_of(kind: str, version: str = "batch/v1", name: str = "trace") -> snapshot.Pod:
    return pod(owner=snapshot.Reference(kind, NAMESPACE, name, "uid-of-owner", version))


@pytest.mark.parametrize(
    ("owned_pod", "job"),
    [
        (pod_of("Job"), True),
        (pod_of("Job", name="trace-28.a"), True),
        (pod_of("Job", "example.com/v1"), False),
        (pod_of("CronJob"), False),
        (pod_of("ReplicaSet", "apps/v1"), False),
        (pod_of("Job", name="../../../kube-system/jobs/x"), False),
        (pod_of("Job", name="x?dryRun=All"), False),
        (pod_of("Job", name=".."), False),
        (pod_of("Job", name="x" * 254), False),
        (pod(), False),
    ],
)
def test_only_a_job_goes_with_its_pod(owned_pod: snapshot.Pod, job: bool) -> None:
    """A Job counts by kind and group, under a name that a Job can have. Any other owner of the pod gets an Event."""
    (delete,) = deletes(planned(seen(owned_pod, hne(expiry=NOW))))
    assert job is (delete.job is not None)
    assert bool(owned_pod.owner) is bool(delete.owner_events)


def test_an_owner_is_told_once_for_all_its_pods() -> None:
    """The key contains the owner and the exceptions."""
    first, second = deletes(planned(seen(pod_of("Job"), replace(pod_of("Job"), name="b", uid="b"), hne(expiry=NOW))))
    assert first.owner_events[0].key == second.owner_events[0].key
    assert {e.key for e in first.job_events} == {e.key for e in second.job_events}
    assert [e.regarding.kind for e in first.job_events] == ["Job", "HostNetworkException"]


@pytest.mark.parametrize(
    ("template", "objects", "deleted"),
    [
        (pod(), (hne(expiry=NOW),), True),
        (pod(host_namespaces=frozenset()), (hne(expiry=NOW),), False),
        (pod(service_account="app"), (hne(expiry=NOW),), False),
        (pod(images=frozenset({"other:1"})), (hne(expiry=NOW),), False),
        (pod(privileged=True), (hne(expiry=NOW),), False),
        (pod(created=NOW), (hne(expiry=NOW),), False),
        (pod(), (hne(expiry=NOW), hne("longer")), False),
        (pod(), (hne(expiry=NOW, on_expiry="Report"),), False),
        (pod(deleting=True), (hne(expiry=NOW),), False),
        (snapshot.UnreadablePod(NAMESPACE, "trace", "u", "KeyError"), (hne(expiry=NOW),), False),
    ],
)
def test_a_job_goes_if_its_own_pods_would(template: Any, objects: Any, deleted: bool) -> None:
    """The owner that a pod names is a claim, so the Job is judged by its template.

    A Job that was created after the expiry stays.
    """
    assert deleted is plan.deletes_job(seen(pod(), *objects), template, NOW)


def test_a_pod_that_does_not_go_is_overdue_a_minute_after_its_grace() -> None:
    """The plan is made again at that moment. The condition says since when and on which node, and no delete follows."""
    subject = pod(deleting=True, to_be_gone=at(seconds=30), node="node-7", verdict_label="Expired")
    before = planned(seen(subject, hne(expiry=NOW)))
    assert at(seconds=90) == before.next_check
    after = planned(seen(subject, hne(expiry=NOW)), at(seconds=90))
    assert deletes(after) == []
    condition = conditions.find(statuses(after)["net"].conditions, conditions.ConditionType.CLEANED_UP)
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "DeletionPending")
    assert "capture since 2026-11-22T12:00:30Z on node node-7" in condition.message


def test_a_delete_that_waits_for_the_clocks_is_said() -> None:
    """The condition CleanedUp reports that a delete waits. A pod that is being deleted does not wait for the clocks."""
    exception_status = statuses(planned(seen(pod(), hne(expiry=NOW), clock_trusted=False)))["net"]
    condition = conditions.find(exception_status.conditions, conditions.ConditionType.CLEANED_UP)
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "ClockUnsure")
    assert "the operator deletes no pod while clocks differ by more than 5 s: capture;" in condition.message
    pods = [pod(name=f"capture-{number:03}", uid=f"uid-{number}") for number in range(200)]
    exception_status = statuses(planned(seen(*pods, hne(expiry=NOW), clock_trusted=False)))["net"]
    condition = conditions.find(exception_status.conditions, conditions.ConditionType.CLEANED_UP)
    assert condition is not None
    assert condition.message.count("capture-") == status.SAMPLE
    deleting_pod = pod(deleting=True, to_be_gone=at(seconds=30))
    exception_status = statuses(planned(seen(deleting_pod, hne(expiry=NOW), clock_trusted=False)))["net"]
    condition = conditions.find(exception_status.conditions, conditions.ConditionType.CLEANED_UP)
    assert condition is not None
    assert condition.reason == "Deleting"
