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


def held(*things: Any, **fields: Any) -> snapshot.NamespaceSnapshot:
    """Return a namespace that is to be enforced and that the gate blocks."""
    given = {"namespace": namespace(labels=HELD), "policy": governed(rollout="Gated")}
    made = seen(*things, **{**given, **fields})
    return replace(made, gate=replace(HOLDING, excepted=gate.names(gate.excepted(made, NOW))))


def only(made: plan.NamespacePlan) -> effects.WriteNamespace:
    (write,) = writes(made)
    return write


# -- granting, relaxing, restoring ----------------------------------------------------------------------------------


def test_a_settled_namespace_needs_nothing() -> None:
    """Without pods and exceptions, and with all labels set, there are no effects, and there is nothing to wait for."""
    made = planned(seen())
    assert made.effects == ()
    assert None is made.next_check


def test_relaxing_is_one_write_of_grant_guard_and_level() -> None:
    """The level is never lifted without the grant and the guard in the same write.

    That write does not wait for a record.
    """
    made = plan.plan_namespace(seen(pod(), hne()), NOW)
    write = only(made)
    assert write.action == Action.RELAX
    assert write.labels == {labels.PSA_ENFORCE: "privileged", labels.GUARD: "baseline", labels.PSA_WARN: "baseline"}
    assert {key("net"): line(hne())} == write.annotations
    assert (verdicts(made), reasons(made), made.relaxed) == ({"capture": "Covered"}, {"net": "Active"}, True)


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
    """If one write with both, "revoke a, add b", failed, a would stay granted.

    The grant is planned again after the revocation.
    """
    both = seen(hne("a", expiry=NOW), hne("b"), namespace=denied(hne("a")))
    both, first = cluster.answered(both, NOW, ())
    revoke = only(first)
    assert (Action.REVOKE, {}, {key("a"): None}) == (revoke.action, revoke.labels, revoke.annotations)
    assert (first.partial, statuses(first)) == (True, {})
    give = only(planned(cluster.carry_out(both, first)))
    assert (Action.GRANT, {key("b"): line(hne("b"))}) == (give.action, give.annotations)


def test_shortening_is_a_revocation() -> None:
    """A line with an earlier end revokes something, so it is written first and alone."""
    shorter = hne("a", expiry=at(minutes=1))
    both = seen(shorter, hne("b"), namespace=denied(hne("a")))
    both, first = cluster.answered(both, NOW, ())
    assert only(first).annotations == {key("a"): line(shorter)}
    assert only(planned(cluster.carry_out(both, first))).annotations == {key("b"): line(hne("b"))}


def test_lengthening_is_a_grant() -> None:
    """The longer line is not written in the first of two writes."""
    longer = hne("a", expiry=at(hours=2))
    write = only(planned(seen(longer, namespace=denied(hne("a")))))
    assert (Action.GRANT, {key("a"): line(longer)}) == (write.action, write.annotations)


def test_what_is_taken_goes_before_deletes_and_what_is_given_is_planned_after() -> None:
    """No grant comes before a revocation or a delete."""
    both = seen(pod(), hne("a", expiry=NOW), hne("b", images=("other:1",)), namespace=denied(hne("a")))
    both, first = cluster.answered(both, NOW, ())
    assert [effects.WriteNamespace, effects.DeletePod] == [type(effect) for effect in first.effects]
    second = [type(effect) for effect in planned(cluster.carry_out(both, first)).effects]
    assert second == [effects.WriteNamespace, *[effects.WriteExceptionStatus] * 2]


# -- which version a write is valid for -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "versioned"),
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
def test_only_what_gives_needs_the_version_that_was_judged(made: snapshot.NamespaceSnapshot, versioned: bool) -> None:
    """A write that revokes, that tightens, or that opens nothing is valid for every version.

    So a tenant who patches delays nothing.
    """
    assert versioned is only(planned(made)).versioned


def test_after_three_conflicts_the_part_that_tightens_goes_first() -> None:
    """Enforcement together with a grant is one write.

    A tenant who patches without pause must not prevent enforcement.
    """
    home = namespace(labels=HELD)
    clean = seen(hne(), namespace=home, policy=governed())
    assert (only(planned(clean)).action, only(planned(clean)).versioned) == (Action.RELAX, True)
    refused, first = cluster.answered(replace(clean, record=snapshot.Record(conflicts=3)), NOW, ())
    write = only(first)
    assert (write.versioned, write.annotations, first.partial) == (False, {}, True)
    assert (write.labels[labels.ENFORCEMENT], write.labels[labels.PSA_ENFORCE]) == ("Deny", "baseline")
    rest = only(planned(replace(cluster.carry_out(refused, first), record=snapshot.Record())))
    assert (rest.action, rest.versioned) == (Action.RELAX, True)


def test_exceptions_are_read_again_before_their_grants_are_taken_for_every_version() -> None:
    """One of the exceptions may have been renewed a moment ago.

    A write that grants is refused anyway if something has changed.
    """
    ended = hne("a", expiry=NOW)
    assert exceptions(planned(seen(ended))) == ()  # nothing is granted
    home = denied(hne("a"), hne("b"), annotations={labels.GRANT_PREFIX + "forged": "x"})
    assert exceptions(planned(seen(ended, hne("b"), namespace=home))) == ("a", "forged")
    assert exceptions(planned(seen(hne("a")))) == ()


# -- what waits for the ledger --------------------------------------------------------------------------------------


def unrecorded(*things: Any, **fields: Any) -> snapshot.NamespaceSnapshot:
    return seen(*things, **{"ledger": snapshot.LedgerView(), **fields})


def test_nothing_is_granted_before_the_ledger_has_the_approval_and_the_level() -> None:
    """The first plan asks for the records, and claims no labels. The next plan relaxes the namespace."""
    born = {labels.BORN_WITH: "enforce,enforce-version,audit,audit-version,warn,warn-version"}
    made = unrecorded(pod(), hne(), namespace=namespace(labels=DENIED, annotations=born))
    first = plan.plan_namespace(made, NOW)
    assert {type(effect) for effect in first.effects} == {effects.RecordException, effects.RecordNamespace}
    assert (first.partial, first.relaxed, reasons(first)) == (True, False, {"net": "NotRecorded"})
    assert only(planned(made)).action == Action.RELAX


def test_a_pod_that_will_be_covered_is_not_flagged_while_its_exception_is_recorded() -> None:
    """A pod that no exception fits is flagged."""
    stranger = pod("stranger", images=frozenset({"another:1"}))
    first = plan.plan_namespace(unrecorded(pod(), stranger, hne()), NOW)
    assert flags(first) == {"stranger": "Uncovered"}


def test_a_grant_that_is_set_stays_while_its_approval_is_recorded_again() -> None:
    """After a loss of the ledger, and when an approver extends the exception, no grant is revoked and given again."""
    made = unrecorded(pod(), hne(), namespace=denied(hne()), policy=governed())
    assert writes(plan.plan_namespace(made, NOW)) == []
    later = hne(expiry=at(hours=2), metadata={"generation": 2})
    extended = seen(pod(), later, namespace=denied(hne()), ledger=recorded(denied(hne()), hne()))
    first = plan.plan_namespace(extended, NOW)
    assert (writes(first), first.relaxed) == ([], True)
    assert only(planned(extended)).annotations == {key("net"): line(later)}


def test_a_revocation_does_not_wait_for_the_ledger() -> None:
    """An expiry that is moved to now is a change of the spec. The first plan revokes the grant."""
    revoked = hne(expiry=NOW, metadata={"generation": 2})
    made = seen(pod(), revoked, namespace=denied(hne()), ledger=recorded(denied(hne()), hne()))
    first = plan.plan_namespace(made, NOW)
    assert (only(first).action, len(deletes(first))) == (Action.RESTORE, 1)


def test_enforcement_waits_for_the_ledger_to_have_what_stood_before() -> None:
    """If nothing can be recorded, enforcement is turned on nevertheless, and nothing is relaxed."""
    first = plan.plan_namespace(unrecorded(namespace=namespace(labels={labels.PSA_ENFORCE: "privileged"})), NOW)
    (effect,) = first.effects
    assert isinstance(effect, effects.RecordNamespace)
    ours = {label: (value,) for label, value in DENIED.items() if label.startswith(labels.PSA_PREFIX)}
    assert effect.record == ledger.NamespaceRecord(
        enforced=True,
        before="privileged",
        version_before="",
        ours={**ours, labels.PSA_WARN: ("baseline", "restricted")},
        under=IDENTITY,
    )
    trouble = snapshot.LedgerView(trouble="forbidden")
    made = plan.plan_namespace(unrecorded(hne(), namespace=namespace(), ledger=trouble), NOW)
    assert (only(made).action, only(made).versioned, made.relaxed) == (Action.ENFORCE, False, False)
    assert reasons(made) == {"net": "NotRecorded"}


def test_a_record_that_is_being_stored_and_is_another_one_by_now_is_replaced_before_anything_is_written() -> None:
    """Somebody set another level and removed it again.

    The record that is being stored would forget that the level is the operator's.
    """
    home = denied()
    stays = {key: value for key, value in home.labels.items() if key != labels.PSA_ENFORCE}
    kept = recorded(home)
    assert kept.namespace is not None
    without = kept.namespace.model_copy(update={"ours": {labels.PSA_WARN: ("restricted",)}})
    bare = seen(namespace=replace(home, labels=stays), ledger=replace(kept, coming=(without,)))
    first = plan.plan_namespace(bare, NOW)
    (effect,) = records(first)
    assert (effect.record, writes(first)) == (kept.namespace, [])
    waiting = replace(bare, ledger=replace(kept, coming=(without, kept.namespace)))
    assert writes(plan.plan_namespace(waiting, NOW)) == []
    assert only(plan.plan_namespace(replace(bare, ledger=kept), NOW)).labels == {labels.PSA_ENFORCE: "baseline"}


def test_where_nothing_can_be_recorded_a_namespace_is_not_enforced_for_an_exception_that_is_not_granted() -> None:
    """The gate then counts no exception, because enforcement would refuse the pods that the exception covers."""
    trouble = replace(recorded(denied(), hne()), namespace=None, trouble="forbidden")
    made = seen(hne(), namespace=namespace(), policy=governed(rollout="Gated"), ledger=trouble)
    assert gate.excepted(made, NOW) == ()


def test_what_is_released_is_forgotten_once_it_is_written() -> None:
    """The previous level is needed until it is restored."""
    home = denied(annotations={labels.LEVEL_BEFORE: "privileged"})
    made, first = cluster.answered(seen(namespace=home, policy=EXEMPT), NOW, ())
    assert only(first).labels[labels.PSA_ENFORCE] == "privileged"
    after = cluster.carry_out(made, first)
    assert after.ledger.namespace is not None
    last = plan.plan_namespace(after, NOW)
    assert [effects.RecordNamespace(after.namespace, None)] == list(last.effects)


def test_the_level_before_is_kept_while_only_the_grants_are_taken() -> None:
    """Grants are revoked in a write of their own. The ledger must keep the rest until the write after that."""
    home = denied(
        labels={labels.PSA_ENFORCE: "privileged", labels.GUARD: "baseline"}, annotations={key("net"): line(hne())}
    )
    first = plan.plan_namespace(seen(hne(), namespace=home, policy=EXEMPT), NOW)
    assert (only(first).annotations, only(first).labels) == ({key("net"): None}, {})
    kept = [effect.record for effect in records(first)]
    assert [record for record in kept if record is None or not record.enforced] == []


@pytest.mark.parametrize("text", ["nonsense", "|" * 9, ""])
def test_a_grant_of_no_exception_is_removed(text: str) -> None:
    """Whoever wrote the grant: a key with the prefix exists only for an exception in force."""
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
    made = planned(seen(pod(), namespace=denied(hne())))
    assert {key("net"): None} == only(made).annotations
    assert flags(made) == {"capture": "Uncovered"}
    assert deletes(made) == []


def test_the_guard_stays_while_nothing_is_granted() -> None:
    """The guard stays for good: a namespace with a guard and without a grant needs no write."""
    home = namespace(labels={**DENIED, labels.GUARD: "baseline"}, annotations=ADOPTED)
    assert writes(planned(seen(namespace=home))) == []


def test_loosened_labels_are_put_back() -> None:
    """The write is a repair, and its Event is a warning."""
    write = only(planned(seen(namespace=denied(labels={labels.PSA_ENFORCE: "privileged"}))))
    assert (write.action, write.labels) == (Action.REPAIR, {labels.PSA_ENFORCE: "baseline"})


def test_a_removed_enforcement_label_is_put_back() -> None:
    """The Deny that the operator saw last counts."""
    stands = {label: value for label, value in DENIED.items() if label != labels.ENFORCEMENT}
    home = namespace(labels=stands, annotations=ADOPTED)
    write = only(planned(seen(namespace=home, policy=governed(rollout="Gated"))))
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
    """One write, named after the state that the namespace then has."""
    assert action == only(planned(seen(namespace=namespace(), policy=policy, gate=answer))).action


@pytest.mark.parametrize(
    ("policy", "action"),
    [(governed(), Action.ENFORCE), (AUDIT, Action.AUDIT), (EXEMPT, Action.RELEASE)],
    ids=["enforce", "audit", "exempt"],
)
def test_a_namespace_that_was_born_enforced_is_taken_up(policy: Any, action: str) -> None:
    """The first write is named after what the policy wants, although the labels of Deny are set already."""
    home = namespace(labels=DENIED)
    assert action == only(planned(seen(namespace=home, policy=policy))).action


def test_what_birth_wrote_is_claimed_once() -> None:
    """With the first write, even if that write relaxes: the labels that are set and that the write does not change."""
    home = namespace(labels=DENIED, annotations={labels.BORN_WITH: "enforce,audit"})
    ours = {labels.ENFORCEMENT: "Deny", labels.PSA_AUDIT: "restricted"}
    write = only(planned(unrecorded(namespace=home)))
    assert write.claims == {**ours, labels.PSA_ENFORCE: "baseline"}
    write = only(planned(unrecorded(hne(), namespace=home)))
    assert (write.action, write.claims) == (Action.RELAX, ours)
    assert only(planned(seen(hne(), namespace=denied()))).claims == {}


def test_an_exception_counts_where_the_namespace_was_born_enforced() -> None:
    """Nobody set the level that label-at-birth wrote, so the operator lifts it."""
    born = {labels.BORN_WITH: "enforce,enforce-version"}
    write = only(planned(unrecorded(hne(), namespace=namespace(labels=DENIED, annotations=born))))
    assert (write.action, write.labels) == (Action.RELAX, {labels.PSA_ENFORCE: "privileged", labels.GUARD: "baseline"})
    assert write.annotations == {key("net"): line(hne()), **ADOPTED, labels.BORN_WITH: None}


def test_a_gate_that_has_to_be_asked_comes_first() -> None:
    """Until the gate has answered, nothing is written on the namespace or its exceptions."""
    made = planned(seen(pod(), hne(), namespace=namespace(), policy=governed(rollout="Gated")))
    assert (gate_level(made), made.effects) == (labels.Level.BASELINE, ())


def test_a_new_pod_is_flagged_while_the_gate_is_asked() -> None:
    """A gate check takes seconds.

    A flag that is set stays, because the exception that covers the pod now may be withheld by then.
    """
    flagged = pod("covered", verdict_label="Uncovered")
    stranger = pod("stranger", images=frozenset({"another:1"}))
    made = planned(seen(flagged, stranger, hne(), namespace=namespace(), policy=governed(rollout="Gated")))
    assert verdicts(made) == {"covered": "Covered", "stranger": "Uncovered"}
    assert flags(made) == {"stranger": "Uncovered"}
    assert len(made.effects) == 1


@pytest.mark.parametrize(("enforcement", "count"), [("Held", 1), ("Audit", 0)])
def test_an_expired_pod_goes_while_the_gate_is_asked(enforcement: str, count: int) -> None:
    """The pod is deleted if no answer of the gate would spare it.

    If nothing was enforced before, the answer comes first.
    """
    ended = hne(expiry=NOW - datetime.timedelta(seconds=1))
    home = namespace(labels={labels.ENFORCEMENT: enforcement})
    made = planned(seen(pod(), ended, namespace=home, policy=governed(rollout="Gated")))
    assert (labels.Level.BASELINE, count) == (gate_level(made), len(deletes(made)))


def test_while_the_gate_is_asked_an_end_is_not_missed() -> None:
    """Like any plan, the plan says when another plan may differ."""
    ends = NOW + datetime.timedelta(seconds=1)
    made = planned(seen(pod(), hne(expiry=ends), namespace=namespace(), policy=governed(rollout="Gated")))
    assert (labels.Level.BASELINE, ends) == (gate_level(made), made.next_check)


def test_a_namespace_on_its_way_out_is_not_looked_at() -> None:
    """The gate's answer would change nothing there."""
    home = replace(namespace(), terminating=True)
    made = planned(seen(pod(), hne(), namespace=home, policy=governed(rollout="Gated")))
    assert (gate_level(made), made.effects) == (None, ())


# -- what withholds a grant -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", grants.WHAT_RELAXING_RESTS_ON)
def test_nothing_new_is_relaxed_without_every_guard(name: str) -> None:
    """Each of the four policies is needed to lift a level, whatever the type of the exception."""
    for kind in ("Diagnostic", "Application", "Infrastructure"):
        made = planned(seen(pod(), hne(type=kind, images=(IMAGE,)), guards=guards(missing=[name])))
        assert ({"net": "GuardMissing"}, set(), False) == (reasons(made), granted(made), made.relaxed)
        assert f"ValidatingAdmissionPolicy {name!r} is missing" == made.standings[0].why


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
    made = planned(seen(pod(), subject, namespace=denied(subject), guards=guards(missing=[name])))
    assert {"net": reason} == reasons(made)
    assert [level] * (level is not None) == [write.labels.get(labels.PSA_ENFORCE) for write in writes(made)]
    assert deletes(made) == []


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
    for home in (denied(), denied(subject)):
        made = planned(seen(pod(), subject, namespace=home, guards=guards(missing=[name])))
        assert ({"net": "Active"}, {"net"}, True) == (reasons(made), granted(made), made.relaxed)


def test_a_guard_counts_after_five_seconds() -> None:
    """Until then the exception waits, and the plan says until when."""
    young = guards(since=at(seconds=-3))
    made = planned(seen(hne(), guards=young))
    assert reasons(made) == {"net": "GuardMissing"}
    assert "is not in force yet" in made.standings[0].why
    assert at(seconds=2) == made.next_check
    assert reasons(planned(seen(hne(), guards=young), at(seconds=2))) == {"net": "Active"}


@pytest.mark.parametrize("name", grants.WHAT_RELAXING_RESTS_ON)
@pytest.mark.parametrize("kind", ["Diagnostic", "Application", "Infrastructure"])
def test_in_an_upgrade_what_stands_stays_and_nothing_new_is_granted(name: str, kind: str) -> None:
    """This applies as long as the guard is excused, and the plan says until when."""
    subject, changing = (
        hne(type=kind, images=(IMAGE,)),
        guards(missing=[name], excused=at(seconds=40)),
    )
    made = planned(seen(pod(), subject, namespace=denied(subject), guards=changing))
    assert (reasons(made), writes(made), made.next_check) == ({"net": "Active"}, [], at(seconds=40))
    new = planned(seen(pod(), subject, guards=changing))
    assert (reasons(new), granted(new), new.relaxed) == ({"net": "GuardMissing"}, set(), False)
    assert new.standings[0].why == f"ValidatingAdmissionPolicy {name!r} is missing"


@pytest.mark.parametrize(
    ("kind", "reason"), [("Diagnostic", "GuardMissing"), ("Application", "Active"), ("Infrastructure", "Active")]
)
def test_when_the_upgrade_takes_too_long_diagnostics_end(kind: str, reason: str) -> None:
    """A policy that is still not known by then counts as missing."""
    subject = hne(type=kind, images=(IMAGE,))
    home = seen(
        pod(), subject, namespace=denied(subject), guards=guards(missing=[labels.POLICY_HOST_NAMESPACES], excused=NOW)
    )
    assert {"net": reason} == reasons(planned(home))


def test_a_guard_that_is_young_takes_nothing_away() -> None:
    """A policy of this release that replaces that of the last release counts from the replacement.

    Existing grants stay.
    """
    subject = hne()
    made = planned(seen(pod(), subject, namespace=denied(subject), guards=guards(since=at(seconds=-1))))
    assert (reasons(made), writes(made)) == ({"net": "Active"}, [])


def test_an_exception_written_while_a_policy_is_not_known_is_not_approved() -> None:
    """That policy may have let anything through."""
    changing = guards(missing=[labels.POLICY_EXCEPTION_WRITERS], excused=at(seconds=40))
    assert reasons(planned(unrecorded(hne(), guards=changing))) == {"net": "NotApproved"}


@pytest.mark.parametrize("level", ["restricted", "baseline", "privileged"])
@pytest.mark.parametrize("target", ["restricted", "baseline"])
def test_the_guard_is_the_target_whatever_level_a_grant_asks_for(target: str, level: str) -> None:
    """All other pods must meet the level that was to be enforced. podSecurityLevel is for the pods of its exception."""
    made = planned(seen(hne(pod_security_level=level), policy=governed(pod_security={"enforce": target})))
    assert ({"net": "Active"}, {"net"}, True) == (reasons(made), granted(made), made.relaxed)
    written = dict(only(made).labels)
    assert (target, "privileged") == (written[labels.GUARD], written[labels.PSA_ENFORCE])


@pytest.mark.parametrize("present", ["baseline", "restricted"])
def test_where_somebody_else_set_the_level_nothing_is_relaxed(present: str) -> None:
    """The exception names the label and the remedy."""
    home = denied(labels={labels.PSA_ENFORCE: present})
    made = planned(seen(pod(), hne(), namespace=home, ledger=recorded(home, hne(), theirs=(labels.PSA_ENFORCE,))))
    assert (reasons(made), writes(made), made.relaxed) == ({"net": "LevelOwnedByOther"}, [], False)
    assert made.standings[0].why == (
        "the operator does not lift the level, because another client set the label"
        f" pod-security.kubernetes.io/enforce={present}; find the client (kubectl get namespace payments -o yaml"
        " --show-managed-fields), stop its writes, and remove the label (kubectl label namespace payments"
        " pod-security.kubernetes.io/enforce-): the operator then sets the label"
    )


def test_who_set_other_labels_withholds_nothing() -> None:
    """Audit and warn enforce nothing, so a conflict about them does not matter."""
    made = planned(seen(hne(), ledger=recorded(denied(), hne(), theirs=(labels.PSA_WARN,))))
    assert reasons(made) == {"net": "Active"}


@pytest.mark.parametrize("state", [ABSENT, UNKNOWN], ids=["absent", "unknown"])
def test_without_a_policy_nothing_new_is_granted(state: snapshot.PolicyState) -> None:
    """The reason of the exception is NoPolicy. The pod gets its verdict nevertheless, and the verdict is shown."""
    made = planned(seen(pod(), hne(), policy=state))
    assert (reasons(made), writes(made)) == ({"net": "NoPolicy"}, [])
    assert verdicts(made) == {"capture": "Uncovered"}


@pytest.mark.parametrize("state", [ABSENT, UNKNOWN], ids=["absent", "unknown"])
def test_without_a_policy_what_is_granted_stays(state: snapshot.PolicyState) -> None:
    """The level is restored when the exception ends."""
    made = planned(seen(pod(), hne(), namespace=denied(hne()), policy=state))
    assert (reasons(made), writes(made), made.relaxed) == ({"net": "Active"}, [], True)
    ended = only(planned(seen(hne(), namespace=denied(hne()), policy=state), at(hours=1)))
    assert ({labels.PSA_ENFORCE: "baseline"}, {key("net"): None}) == (ended.labels, ended.annotations)


def test_the_65th_grant_is_too_many() -> None:
    """64 exceptions are granted. The youngest waits, and no line is cut."""
    many = [hne(f"e{n:02}", metadata={"creation_timestamp": at(minutes=-60 + n / 10)}) for n in range(65)]
    made = planned(seen(*many))
    assert {name: reason for name, reason in reasons(made).items() if reason != "Active"} == {"e64": "GrantTooLarge"}
    assert len(granted(made)) == 64
    assert "at most 64 grants, of 128 KiB in total" in made.standings[-1].why


def test_the_501st_exception_is_not_judged() -> None:
    """Granted exceptions come first, and exceptions that ended long ago come last.

    An exception that is not judged grants nothing.
    """
    old = [hne(f"old{n:03}", metadata={"creation_timestamp": at(hours=-40)}, expiry=at(hours=-30)) for n in range(3)]
    many = [hne(f"e{n:03}", metadata={"creation_timestamp": at(minutes=-60 + n / 100)}) for n in range(500)]
    granted_one = hne("young", type="Infrastructure", metadata={"creation_timestamp": at(minutes=-1)})
    made = planned(seen(*old, *many, granted_one, namespace=denied(granted_one, created=at(hours=-50))))
    found = reasons(made)
    assert found["young"] == "Active"
    beyond = {name for name, reason in found.items() if reason == "TooMany"}
    assert beyond == {"old000", "old001", "old002", "e499"}
    why = next(one.why for one in made.standings if one.exception.metadata.name == "e499")
    assert why.startswith("namespace payments has 504 exceptions, and the operator evaluates 500 per namespace")
    assert key("e499") not in {name for write in writes(made) for name in write.annotations}


def test_a_pod_of_an_exception_that_is_not_judged_is_spared() -> None:
    """Another exception that fits the pod has ended, and nobody knows what this one would say."""
    many = [hne(f"e{n:03}", images=("other",), metadata={"creation_timestamp": at(hours=-3)}) for n in range(499)]
    over = hne("over", metadata={"creation_timestamp": at(hours=-3)}, expiry=at(minutes=-1))
    young = hne("young", metadata={"creation_timestamp": at(minutes=-1)})
    held = seen(pod(created=at(hours=-2)), *many, over, young, namespace=denied(created=at(hours=-4)))
    assert deletes(planned(held)) == []
    assert verdicts(planned(held)) == {"capture": "Uncovered"}
    assert len(deletes(planned(replace(held, exceptions=(over,))))) == 1


def test_annotations_of_others_leave_less_room() -> None:
    """A grant that the API server would refuse for its size is withheld, and the reason says so.

    A smaller grant is given.
    """
    size = len(key("net")) + len(line(hne()))
    for free, reason in ((size, "Active"), (size - 1, "GrantTooLarge")):
        others = {"a": "x" * (labels.ANNOTATION_BYTES - free - 1 - sum(len(k + v) for k, v in ADOPTED.items()))}
        made = planned(seen(hne(), namespace=namespace(labels=DENIED, annotations={**ADOPTED, **others})))
        assert reasons(made) == {"net": reason}
    assert f"the other annotations of this namespace leave room for {size - 1} bytes" in made.standings[0].why


def annotation_bytes(home: snapshot.Namespace) -> int:
    return sum(len(key.encode()) + len(text.encode()) for key, text in home.annotations.items())


@pytest.mark.parametrize("blocked", [False, True], ids=["clean", "held"])
@pytest.mark.parametrize("spare", [-1, 0, 1, 27, 50, 51, 100, 900, 2000])
def test_every_write_fits_into_the_annotations_of_a_namespace(spare: int, *, blocked: bool) -> None:
    """Enforcement is turned on, or the namespace is Held, however little room a tenant leaves.

    Each write stays within 256 KiB. `spare` is the room beside the grant.
    """
    size = len(key("net")) + len(line(hne()))
    others = {"a": "x" * (labels.ANNOTATION_BYTES - size - spare - 1)}
    made = seen(hne(), namespace=namespace(annotations=others), policy=governed(rollout="Gated"))
    holders = tuple(f"Deployment wéb-{number}: host namespaces" for number in range(40)) if blocked else ()
    for _ in range(4):
        made, found = cluster.answered(made, NOW, holders)
        made = cluster.carry_out(made, found)
        assert annotation_bytes(made.namespace) <= labels.ANNOTATION_BYTES
    made, found = cluster.answered(made, NOW, holders)
    assert cluster.doing(found) == []
    assert made.namespace.labels[labels.ENFORCEMENT] == ("Held" if blocked else "Deny")
    assert (reasons(found), key("net") in made.namespace.annotations) == (
        {"net": "Active" if spare >= 0 else "GrantTooLarge"},
        spare >= 0,
    )


def test_held_by_makes_room_for_a_grant() -> None:
    """The annotation that says what blocks enforcement is cut, and the grant is written whole."""
    holders = tuple(f"Deployment web-{number}: hostNetwork" for number in range(20))
    notes = {labels.HELD_BY: "since 2026-11-22T11:00:00Z: " + "; ".join(holders)}
    others = {"a": "x" * (labels.ANNOTATION_BYTES - 1 - sum(len(key + text) for key, text in notes.items()))}
    full = held(hne(), namespace=namespace(labels=HELD, annotations={**notes, **others}))
    assert annotation_bytes(full.namespace) == labels.ANNOTATION_BYTES
    full = replace(full, gate=replace(HOLDING, holders=holders, excepted=gate.names(gate.excepted(full, NOW))))
    made = planned(full)
    write, size = only(made), len(key("net")) + len(line(hne()))
    assert (write.annotations[key("net")], reasons(made)) == (line(hne()), {"net": "Active"})
    assert write.annotations[labels.HELD_BY] == notes[labels.HELD_BY][:-size]
    assert annotation_bytes(cluster.carry_out(full, made).namespace) == labels.ANNOTATION_BYTES


def test_what_is_granted_already_keeps_its_place() -> None:
    """An older exception that appears later does not displace an exception that pods rely on."""
    many = [hne(f"e{n:02}") for n in range(64)]
    older = hne("a", metadata={"creation_timestamp": at(hours=-2)})
    made = planned(seen(*many, older, namespace=denied(*many, created=at(hours=-3))))
    assert {name: reason for name, reason in reasons(made).items() if reason != "Active"} == {"a": "GrantTooLarge"}
    assert writes(made) == []


@pytest.mark.parametrize("created", [at(hours=-2), at(minutes=-1)], ids=["older", "younger"])
def test_a_grant_keeps_its_place_while_its_exception_waits_for_a_record(created: datetime.datetime) -> None:
    """An approver has changed one of 64 exceptions.

    No other exception takes its place, and there are never 65 grants.
    """
    many = [hne(f"e{n:02}") for n in range(64)]
    other = hne("a", metadata={"creation_timestamp": created})
    before = seen(*many, other, namespace=denied(*many, created=at(hours=-3)))
    changed = hne("e07", metadata={"generation": many[7].metadata.generation + 1})
    after = replace(before, exceptions=(*many[:7], changed, *many[8:], other))
    made = plan.plan_namespace(after, NOW)
    assert reasons(made)["e07"] == "NotRecorded"
    assert (reasons(made)["a"], writes(made)) == ("GrantTooLarge", [])


def test_grants_stay_below_128_kib() -> None:
    """The lines that fit are written whole."""
    image = "registry.example.com/" + "x" * 480
    many = [hne(f"e{n:02}", images=tuple(f"{image}:{m:02}" for m in range(16))) for n in range(20)]
    made = planned(seen(*many))
    written = {
        k: v for write in writes(made) for k, v in write.annotations.items() if k.startswith(labels.GRANT_PREFIX)
    }
    size = sum(len(k) + len(v or "") for k, v in written.items())
    assert 15 <= len(written) < 20
    assert size <= grant.MAX_BYTES
    assert {"GrantTooLarge"} == {r for name, r in reasons(made).items() if key(name) not in written}
    assert all(
        line(subject) == written[key(subject.metadata.name)]
        for subject in many
        if key(subject.metadata.name) in written
    )


def test_an_exception_without_a_line_is_invalid_and_spoils_no_other() -> None:
    """A value that could separate fields never reaches an annotation (the CRD refuses it before)."""
    made = planned(seen(hne("bad", service_account_name="a|b"), hne("good")))
    assert ({"bad": "Invalid", "good": "Active"}, {"good"}) == (reasons(made), granted(made))


# -- where nothing is enforced --------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [planned(held(hne())), planned(seen(hne(), policy=AUDIT))], ids=["held", "audit"])
def test_an_exception_where_nothing_is_enforced_is_a_grant_and_nothing_else(made: plan.NamespacePlan) -> None:
    """There is no guard and no level, because a level would refuse the holders."""
    assert ({"net": "Active"}, {"net"}, False) == (reasons(made), granted(made), made.relaxed)
    for write in writes(made):
        assert write.labels.get(labels.GUARD) is None
        assert write.labels.get(labels.PSA_ENFORCE) is None


def test_a_held_namespace_is_looked_at_again() -> None:
    """The next check is a minute after the gate was asked."""
    assert at(seconds=60) == planned(held()).next_check


def test_audit_takes_level_and_guard_down() -> None:
    """The previous level is restored. Grants stay, so that verdicts agree."""
    home = denied(hne(), annotations={labels.LEVEL_BEFORE: "baseline"})
    write = only(planned(seen(pod(), hne(), namespace=home, policy=AUDIT)))
    back = {labels.PSA_ENFORCE: "baseline", labels.PSA_WARN: "restricted"}
    assert write.labels == {labels.ENFORCEMENT: "Audit", labels.GUARD: None, **back}
    assert write.annotations == {labels.LEVEL_BEFORE: None}


def test_an_exempt_namespace_gets_no_grants() -> None:
    """Existing grants are removed."""
    made = planned(seen(pod(), hne(), namespace=denied(hne()), policy=EXEMPT))
    assert set() == granted(made)
    assert all(value is None for write in writes(made) for value in write.annotations.values())
    assert (verdicts(made), made.enforcement, made.exempt) == ({"capture": "Covered"}, None, True)


def test_an_exempt_namespace_is_left_alone() -> None:
    """The operator writes nothing there except the status of exceptions."""
    made = planned(seen(pod("a"), pod("b", service_account="x"), hne(), namespace=namespace(), policy=EXEMPT))
    assert {effects.WriteExceptionStatus} == {type(e) for e in made.effects}


def test_a_static_pod_of_an_exempt_namespace_is_left_alone() -> None:
    """Mirror pods of kube-system get no label and no Events. The label is for pods outside exempt namespaces."""
    made = planned(seen(pod(mirror=True), namespace=namespace(), policy=EXEMPT))
    assert made.effects == ()


def test_of_a_terminating_namespace_only_the_pods_count() -> None:
    """The pods are flagged, and deleted at the expiry of their exception. Nothing else is written."""
    home, forged = denied(hne(), terminating=True), pod("forged", service_account="default")
    before = planned(seen(pod(), forged, hne(), namespace=home))
    assert (flags(before), deletes(before)) == ({"forged": "Uncovered"}, [])
    assert before.next_check is not None
    made = planned(seen(pod(), forged, hne(expiry=NOW), namespace=home))
    assert (flags(made), [e.pod for e in deletes(made)]) == ({"forged": "Uncovered"}, [pod().reference])
    assert len(made.effects) == 2


@pytest.mark.parametrize("going", [False, True], ids=["gone", "going"])
def test_an_exception_that_goes_with_its_namespace_ends_its_pods_in_time(going: bool) -> None:
    """The exception is removed before its pods, immediately or when its finalizers are removed.

    The ledger has its terms.
    """
    subject = hne(metadata={"deletion_timestamp": NOW, "generation": 2}) if going else hne()
    there = seen(pod(deleting=True, to_be_gone=at(days=3650)), hne(), namespace=denied(terminating=True))
    left = replace(there, exceptions=(subject,) if going else ())
    assert verdicts(planned(left)) == {"capture": "Covered"}
    assert deletes(planned(left)) == []
    assert [e.pod for e in deletes(planned(left, at(hours=1)))] == [pod().reference]


def test_without_their_kind_exceptions_end_as_the_ledger_says() -> None:
    """Their CRD was deleted, so no exception object exists.

    A grant stays until its expiry, and its pod is deleted then.
    """
    home = denied(hne())
    there = replace(seen(pod(), hne(), namespace=home), exceptions=(), exceptions_served=False)
    assert (verdicts(planned(there)), deletes(planned(there)), planned(there).relaxed) == (
        {"capture": "Covered"},
        [],
        True,
    )
    made = planned(there, at(hours=1))
    assert [e.pod for e in deletes(made)] == [pod().reference]
    assert not made.relaxed
    taken = planned(replace(there, namespace=denied(labels={labels.GUARD: "baseline"})))  # deleted before the CRD
    assert not taken.relaxed
    assert not [e for e in taken.effects if isinstance(e, effects.WriteNamespace)]
    gone = planned(replace(there, exceptions_served=True))  # as when somebody has deleted the exception
    assert (verdicts(gone), gone.relaxed) == ({"capture": "Uncovered"}, False)


# -- deletes --------------------------------------------------------------------------------------------------------


def test_at_the_expiry_the_pods_are_deleted() -> None:
    """With the grace period of the exception, after the write of the namespace."""
    made = planned(seen(pod(), hne(expiry=NOW, grace_period_seconds=7), namespace=denied(hne())))
    (delete,) = deletes(made)
    assert (pod().reference, 7) == (delete.pod, delete.grace_seconds)
    assert isinstance(made.effects[0], effects.WriteNamespace)
    assert flags(made) == {}


def test_the_longest_grace_counts() -> None:
    """Of several exceptions that have ended, the longest grace period counts."""
    subjects = [hne(name, expiry=NOW, grace_period_seconds=grace) for name, grace in (("a", 5), ("b", 90), ("c", 30))]
    assert [e.grace_seconds for e in deletes(planned(seen(pod(), *subjects)))] == [90]


def test_held_namespaces_are_cleaned_up_too() -> None:
    """In a Held namespace enforcement is wanted."""
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
    made = planned(seen(pod(), hne(expiry=NOW), namespace=denied(hne()), clock_trusted=False))
    assert only(made).action == Action.RESTORE
    assert flags(made) == {"capture": "Expired"}


# -- flags and statuses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "things", "label"),
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
    subject: snapshot.Pod, things: Any, label: str | None
) -> None:
    """Covered pods have no label. The operator leaves pods alone that are being deleted."""
    assert ({} if label == "nothing" else {"capture": label}) == flags(planned(seen(subject, *things)))


def test_a_status_is_written_once() -> None:
    """A status that is stored already is not written again."""
    first = statuses(planned(seen(pod(), hne())))["net"]
    assert (first.covered_pods, first.sample_pods, first.namespace_uid) == (1, ("capture",), UID)
    again = planned(seen(pod(), hne(status=first), namespace=denied(hne())), at(minutes=3))
    assert again.effects == ()


def test_an_exception_that_is_being_deleted_gets_no_status() -> None:
    """The write would fail or come too late."""
    assert statuses(planned(seen(hne(metadata={"deletion_timestamp": NOW})))) == {}


def test_unreadable_pods_are_counted() -> None:
    """The pods count as Unknown, and nothing is done to them."""
    made = planned(seen(snapshot.UnreadablePod(NAMESPACE, "odd", "u", "KeyError: 'image'")))
    assert (made.unreadable, made.verdicts, made.effects) == (1, (), ())


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
    things = [pod("b"), pod("a"), hne("z"), hne("y", expiry=NOW)]
    one, other = seen(*things), seen(*reversed(things))
    assert one != other
    assert planned(one) == planned(other)


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


def relist(*things: Any, listed: datetime.datetime | None = NOW, now: datetime.datetime = NOW) -> Any:
    return list_at(planned(seen(*things, every_pod_listed=listed), now))


def test_the_pods_are_listed_at_the_end_of_an_exception_for_what_is_not_watched() -> None:
    """Pods of the exception may have been created since the last list.

    The watch has reported all pods of an exception for the host network alone.
    """
    assert relist(hne(expiry=NOW, host_namespaces=FOR_PID), listed=at(minutes=-9)) == NOW
    assert relist(hne(expiry=NOW, host_namespaces=("Network", "IPC")), listed=at(minutes=-9)) == NOW
    assert at(minutes=1) == relist(hne(expiry=NOW), listed=at(minutes=-9))
    assert None is relist(hne(expiry=at(hours=1), host_namespaces=FOR_PID), listed=at(minutes=-9))


def test_what_was_listed_since_is_not_listed_again() -> None:
    """One list at the end, and one a minute after it.

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
    going = {"deleting": True, "to_be_gone": at(seconds=30)}
    assert at(seconds=31) == relist(pod(host_namespaces=PID, **going))
    assert at(seconds=100) == relist(pod(host_namespaces=PID, **going), listed=at(seconds=40), now=at(seconds=50))
    assert None is relist(pod(**going))


def test_nobody_is_told_of_an_unwatched_pod_that_was_not_looked_at_lately() -> None:
    """An old list is renewed before an Event is emitted. If there is nothing to report, it is not renewed."""
    assert relist(pod(host_namespaces=PID), listed=at(minutes=-2)) == NOW
    assert None is relist(pod(host_namespaces=PID), listed=at(seconds=-59))
    assert None is relist(pod(host_namespaces=PID, verdict_label="Uncovered"), listed=at(minutes=-2))
    assert None is relist(pod(), listed=at(minutes=-2))


@pytest.mark.parametrize(("to_be_gone", "deleted"), [(at(seconds=90), 0), (at(seconds=91), 1), (at(days=9999), 1)])
def test_a_longer_grace_than_the_exceptions_is_shortened(to_be_gone: datetime.datetime, deleted: int) -> None:
    """A pod that somebody deleted with a grace period of years would outlive its exception.

    A minute more is tolerated.
    """
    made = planned(seen(pod(deleting=True, to_be_gone=to_be_gone), hne(expiry=NOW)))
    assert deleted == len(deletes(made))


def owned(kind: str, version: str = "batch/v1", name: str = "trace") -> snapshot.Pod:
    return pod(owner=snapshot.Reference(kind, NAMESPACE, name, "uid-of-owner", version))


@pytest.mark.parametrize(
    ("owner", "job"),
    [
        (owned("Job"), True),
        (owned("Job", name="trace-28.a"), True),
        (owned("Job", "example.com/v1"), False),
        (owned("CronJob"), False),
        (owned("ReplicaSet", "apps/v1"), False),
        (owned("Job", name="../../../kube-system/jobs/x"), False),
        (owned("Job", name="x?dryRun=All"), False),
        (owned("Job", name=".."), False),
        (owned("Job", name="x" * 254), False),
        (pod(), False),
    ],
)
def test_only_a_job_goes_with_its_pod(owner: snapshot.Pod, job: bool) -> None:
    """A Job counts by kind and group, under a name that a Job can have. Any other owner of the pod gets an Event."""
    (made,) = deletes(planned(seen(owner, hne(expiry=NOW))))
    assert job is (made.job is not None)
    assert bool(owner.owner) is bool(made.owner_events)


def test_an_owner_is_told_once_for_all_its_pods() -> None:
    """The key contains the owner and the exceptions."""
    first, second = deletes(planned(seen(owned("Job"), replace(owned("Job"), name="b", uid="b"), hne(expiry=NOW))))
    assert first.owner_events[0].key == second.owner_events[0].key
    assert {e.key for e in first.job_events} == {e.key for e in second.job_events}
    assert [e.regarding.kind for e in first.job_events] == ["Job", "HostNetworkException"]


@pytest.mark.parametrize(
    ("template", "things", "taken"),
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
def test_a_job_goes_if_its_own_pods_would(template: Any, things: Any, taken: bool) -> None:
    """The owner that a pod names is a claim, so the Job is judged by its template.

    A Job that was created after the expiry stays.
    """
    assert taken is plan.deletes_job(seen(pod(), *things), template, NOW)


def test_a_pod_that_does_not_go_is_overdue_a_minute_after_its_grace() -> None:
    """The plan is made again at that moment. The condition says since when and on which node, and no delete follows."""
    subject = pod(deleting=True, to_be_gone=at(seconds=30), node="node-7", verdict_label="Expired")
    before = planned(seen(subject, hne(expiry=NOW)))
    assert at(seconds=90) == before.next_check
    after = planned(seen(subject, hne(expiry=NOW)), at(seconds=90))
    assert deletes(after) == []
    found = conditions.find(statuses(after)["net"].conditions, conditions.ConditionType.CLEANED_UP)
    assert found is not None
    assert (found.status, found.reason) == ("False", "DeletionPending")
    assert "capture since 2026-11-22T12:00:30Z on node node-7" in found.message


def test_a_delete_that_waits_for_the_clocks_is_said() -> None:
    """The condition CleanedUp reports it. A pod that is being deleted already does not wait for the clocks."""
    made = statuses(planned(seen(pod(), hne(expiry=NOW), clock_trusted=False)))["net"]
    found = conditions.find(made.conditions, conditions.ConditionType.CLEANED_UP)
    assert found is not None
    assert (found.status, found.reason) == ("False", "ClockUnsure")
    assert "the operator deletes no pod while clocks differ by more than 5 s: capture;" in found.message
    many = [pod(name=f"capture-{number:03}", uid=f"uid-{number}") for number in range(200)]
    made = statuses(planned(seen(*many, hne(expiry=NOW), clock_trusted=False)))["net"]
    found = conditions.find(made.conditions, conditions.ConditionType.CLEANED_UP)
    assert found is not None
    assert found.message.count("capture-") == status.SAMPLE
    going = pod(deleting=True, to_be_gone=at(seconds=30))
    made = statuses(planned(seen(going, hne(expiry=NOW), clock_trusted=False)))["net"]
    found = conditions.find(made.conditions, conditions.ConditionType.CLEANED_UP)
    assert found is not None
    assert found.reason == "Deleting"
