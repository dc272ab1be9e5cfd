"""Which rule applies to a namespace: only labels that a user with setlevel has set select a rule."""

import datetime
from dataclasses import replace
from typing import Any

import pytest

from hostnetwork_operator.api import labels, ledger, policy
from hostnetwork_operator.decide import effects, level, plan, selection, snapshot
from tests.unit.builders import (
    IDENTITY,
    NOW,
    RELAXED,
    at,
    denied,
    governed,
    guards,
    namespace,
    recorded,
    records,
    seen,
    stored,
    written,
)

KEPT = f"{labels.GROUP}/kept-for"
RULES = ({"selector": {"matchLabels": {KEPT: "storage"}}, "mode": "Audit", "enforce": "privileged"},)
TIGHTENING = ({"selector": {"matchLabels": {KEPT: "storage"}}, "mode": "Enforce", "enforce": "restricted"},)
NAMESPACE_LABELS = labels.POLICY_NAMESPACE_LABELS
LOOSE, STRICT = policy.Mode.AUDIT, policy.Mode.ENFORCE


def labelled(*, rules: Any = RULES, known: ledger.NamespaceRecord | None = None, **fields: Any) -> Any:
    """Return a namespace that has the label of a rule, and about which the ledger has the record `known`."""
    home = denied(labels={KEPT: "storage"}, **fields.pop("home", {}))
    kept = recorded(home, namespace=known, **fields.pop("kept", {}))
    return seen(namespace=home, policy=governed(rules=rules), ledger=kept, **fields)


def unlabelled_before() -> ledger.NamespaceRecord:
    """Return the record of the same namespace without the label."""
    record = written(denied())
    assert record is not None
    return record


def other(since: datetime.datetime = NOW - datetime.timedelta(minutes=1)) -> dict[str, snapshot.Guard]:
    """Return guards in which namespace-labels has another identity by now."""
    changed = snapshot.Guard(NAMESPACE_LABELS, since, identity="another")
    return {**guards(), NAMESPACE_LABELS: changed}


def test_a_label_that_is_recorded_counts() -> None:
    """Whatever happens to the policy later."""
    record = unlabelled_before().model_copy(update={"chosen": {KEPT: "storage"}})
    for present in (guards(), other(), guards(missing=[NAMESPACE_LABELS])):
        assert selection.settings(labelled(known=record, guards=present)).mode is LOOSE


@pytest.mark.parametrize("many", [{f"{labels.GROUP}/a{n}": "" for n in range(65)}, {f"{labels.GROUP}/a": "x" * 4096}])
def test_more_labels_than_any_rule_needs_prove_nothing(many: dict[str, str]) -> None:
    """A tenant may have set them before the policy existed.

    The ledger keeps none of them, and the rule does not apply.
    """
    home = denied(labels={KEPT: "storage", **many})
    first = seen(namespace=home, policy=governed(rules=RULES), ledger=snapshot.LedgerView(state=ledger.State.SEEDING))
    assert selection.settings(first).mode is STRICT
    assert selection.record(first, NOW).chosen == {}


def test_a_label_that_is_set_under_the_policy_counts_once_it_is_recorded() -> None:
    """The record rests on the policy and has the label. After that, the label counts."""
    first = labelled(known=unlabelled_before())
    assert selection.settings(first).mode is STRICT
    made = plan.plan_namespace(first, NOW)
    (effect,) = records(made)
    assert isinstance(effect, effects.RecordNamespace)
    assert (effect.guard, effect.record and effect.record.chosen) == (IDENTITY, {KEPT: "storage"})
    assert selection.settings(stored(first, made)).mode is LOOSE


@pytest.mark.parametrize("present", [other(), guards(missing=[NAMESPACE_LABELS])], ids=["made anew", "missing"])
def test_a_label_of_the_moment_without_the_policy_loosens_nothing(present: dict[str, snapshot.Guard]) -> None:
    """Neither at that moment nor later. The namespace stays at the level that applies to everybody."""
    made = labelled(known=unlabelled_before(), guards=present)
    found = selection.settings(made)
    assert (found.mode, found.target) == (STRICT, labels.Level.BASELINE)
    assert selection.record(made, NOW) == ({}, IDENTITY)
    assert selection.record(made, at(days=300)) == ({}, IDENTITY)


def test_taken_off_and_set_again_it_counts() -> None:
    """The record moves on to the present policy once the labels are as recorded. After that, a change counts."""
    record = unlabelled_before()
    clean = seen(namespace=denied(), policy=governed(rules=RULES), guards=other(), ledger=recorded(denied()))
    assert selection.record(clean, NOW) == ({}, "another")
    moved = record.model_copy(update={"under": "another"})
    assert selection.record(labelled(known=moved, guards=other()), NOW) == ({KEPT: "storage"}, "another")


def test_within_five_seconds_of_a_change_of_the_policy_nothing_moves_on() -> None:
    """Not every API server applies the policy yet."""
    young = other(since=at(seconds=-4))
    made = seen(namespace=denied(), guards=young, ledger=recorded(denied()))
    assert selection.record(made, NOW) == ({}, IDENTITY)
    assert selection.record(made, at(seconds=1)) == ({}, "another")


@pytest.mark.parametrize("present", [other(), guards(missing=[NAMESPACE_LABELS])], ids=["made anew", "missing"])
def test_a_label_that_nothing_proves_tightens(present: dict[str, snapshot.Guard]) -> None:
    """The rule of the label then applies, field by field where it is stricter."""
    made = labelled(rules=TIGHTENING, known=unlabelled_before(), guards=present)
    found = selection.settings(made)
    assert (found.mode, found.target) == (STRICT, labels.Level.RESTRICTED)


@pytest.mark.parametrize(
    ("created", "state", "mode"),
    [
        (at(hours=-1), ledger.State.INTACT, LOOSE),
        (at(days=-2), ledger.State.INTACT, STRICT),
        (at(hours=-1), ledger.State.SEEDING, LOOSE),
        (at(days=-2), ledger.State.SEEDING, STRICT),
        (at(days=-2), ledger.State.LOST, STRICT),
        (at(days=-2), ledger.State.UNREADABLE, STRICT),
    ],
)
def test_without_a_record_the_creation_proves_it(
    created: datetime.datetime, state: ledger.State, mode: policy.Mode
) -> None:
    """A namespace that was created under the policy was labelled under it.

    A tenant may have labelled an older one before.
    """
    made = labelled(home={"created": created}, kept={"state": state})
    assert selection.settings(made).mode is mode


@pytest.mark.parametrize("state", [ledger.State.LOST, ledger.State.UNREADABLE])
@pytest.mark.parametrize(
    ("stands", "rule", "loosened"),
    [
        ({labels.ENFORCEMENT: "Audit"}, {"mode": "Audit"}, False),
        ({}, {"mode": "Audit"}, False),
        ({labels.ENFORCEMENT: "Deny", labels.PSA_ENFORCE: "privileged"}, {"enforce": "privileged"}, False),
        ({labels.ENFORCEMENT: "Deny", labels.PSA_ENFORCE: "baseline"}, {"enforce": "privileged"}, True),
        (RELAXED, {"enforce": "privileged"}, True),
        (RELAXED, {"enforce": "baseline"}, False),
        (RELAXED, {"mode": "Audit"}, True),
    ],
)
def test_after_a_loss_a_label_goes_on_as_far_as_it_loosens_nothing(
    stands: dict[str, str], rule: dict[str, str], loosened: bool, state: ledger.State
) -> None:
    """A rule that governed the namespace still does.

    A label that was not believed before the loss is not believed after it.
    """
    home = namespace(labels={**stands, KEPT: "storage"}, created=at(days=-2))
    rules = ({"selector": {"matchLabels": {KEPT: "storage"}}, **rule},)
    made = seen(namespace=home, policy=governed(rules=rules), ledger=recorded(home, namespace=None, state=state))
    wanted = level.settings_for(home if not loosened else replace(home, labels=stands), made.policy)
    assert selection.settings(made) == wanted


def test_labels_of_other_prefixes_are_free() -> None:
    """Nothing protects them from a user who may write the Namespace."""
    rules = ({"selector": {"matchLabels": {"team": "net"}}, "mode": "Audit"},)
    home = denied(labels={"team": "net"})
    made = seen(namespace=home, policy=governed(rules=rules), guards=other(), ledger=recorded(denied()))
    assert selection.settings(made).mode is LOOSE


def test_an_exempt_namespace_keeps_a_record_of_its_labels_and_of_nothing_else() -> None:
    """When the namespace is governed again, the same rule applies."""
    spec = governed(rules=RULES, exempt_namespaces=["payments"])
    for home, chosen in ((namespace(labels={KEPT: "storage"}), {KEPT: "storage"}), (namespace(), None)):
        made = seen(namespace=home, policy=spec, ledger=recorded(home, namespace=None))
        kept = [effect.record for effect in plan.plan_namespace(made, NOW).effects if hasattr(effect, "record")]
        assert [record.chosen for record in kept if record] == ([chosen] if chosen else [])


# -- since when it is Held --------------------------------------------------------------------------------------------


def test_since_when_a_namespace_is_held_is_read_from_the_ledger() -> None:
    """An annotation with another moment, which a tenant may write, does not let a later pod block enforcement."""
    note = {labels.HELD_BY: "since 9999-01-01T00:00:00Z: me"}
    home = namespace(labels={labels.ENFORCEMENT: "Held"}, annotations=note)
    known = ledger.NamespaceRecord(held=at(days=-1), under=IDENTITY)
    assert level.held_since(seen(namespace=home, ledger=recorded(home, namespace=known)), NOW) == at(days=-1)


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("since 9999-01-01T00:00:00Z: me", NOW),
        ("since 2026-11-22T11:00:00Z: Pod web", at(hours=-1)),
        ("", NOW),
        ("since yesterday", NOW),
    ],
)
def test_before_the_ledger_has_it_the_annotation_counts_up_to_now(text: str, since: datetime.datetime) -> None:
    """This applies after a loss. A tenant who wrote the annotation gains no more than through the loss itself."""
    home = namespace(labels={labels.ENFORCEMENT: "Held"}, annotations={labels.HELD_BY: text})
    made = seen(namespace=home, ledger=recorded(home, namespace=None, state=ledger.State.LOST))
    assert level.held_since(made, NOW) == since
