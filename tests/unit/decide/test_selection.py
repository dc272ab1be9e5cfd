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


def labelled_state(*, rules: Any = RULES, record: ledger.NamespaceRecord | None = None, **fields: Any) -> Any:
    """Return a namespace that has the label of a rule, and about which the ledger has `record`."""
    labelled_namespace = denied(labels={KEPT: "storage"}, **fields.pop("namespace_fields", {}))
    ledger_view = recorded(labelled_namespace, namespace=record, **fields.pop("ledger_fields", {}))
    return seen(namespace=labelled_namespace, policy=governed(rules=rules), ledger=ledger_view, **fields)


def record_without_label() -> ledger.NamespaceRecord:
    """Return the record of the same namespace without the label."""
    record = written(denied())
    assert record is not None
    return record


def changed_guards(since: datetime.datetime = NOW - datetime.timedelta(minutes=1)) -> dict[str, snapshot.Guard]:
    """Return guards in which namespace-labels has another identity by now."""
    changed_guard = snapshot.Guard(NAMESPACE_LABELS, since, identity="another")
    return {**guards(), NAMESPACE_LABELS: changed_guard}


def test_a_label_that_is_recorded_counts() -> None:
    """It does not matter what happens to the policy later."""
    record = record_without_label().model_copy(update={"chosen": {KEPT: "storage"}})
    for present_guards in (guards(), changed_guards(), guards(missing=[NAMESPACE_LABELS])):
        assert selection.settings(labelled_state(record=record, guards=present_guards)).mode is LOOSE


@pytest.mark.parametrize(
    "more_labels", [{f"{labels.GROUP}/a{n}": "" for n in range(65)}, {f"{labels.GROUP}/a": "x" * 4096}]
)
def test_more_labels_than_any_rule_needs_prove_nothing(more_labels: dict[str, str]) -> None:
    """A tenant may have set them before the policy existed.

    The ledger keeps none of them, and the rule does not apply.
    """
    labelled_namespace = denied(labels={KEPT: "storage", **more_labels})
    state = seen(
        namespace=labelled_namespace,
        policy=governed(rules=RULES),
        ledger=snapshot.LedgerView(state=ledger.State.SEEDING),
    )
    assert selection.settings(state).mode is STRICT
    assert selection.record(state, NOW).chosen == {}


def test_a_label_that_is_set_under_the_policy_counts_once_it_is_recorded() -> None:
    """The record rests on the policy and has the label. After that, the label counts."""
    state = labelled_state(record=record_without_label())
    assert selection.settings(state).mode is STRICT
    namespace_plan = plan.plan_namespace(state, NOW)
    (effect,) = records(namespace_plan)
    assert isinstance(effect, effects.RecordNamespace)
    assert (effect.guard, effect.record and effect.record.chosen) == (IDENTITY, {KEPT: "storage"})
    assert selection.settings(stored(state, namespace_plan)).mode is LOOSE


@pytest.mark.parametrize(
    "present_guards", [changed_guards(), guards(missing=[NAMESPACE_LABELS])], ids=["made anew", "missing"]
)
def test_a_label_of_the_moment_without_the_policy_loosens_nothing(present_guards: dict[str, snapshot.Guard]) -> None:
    """The label loosens nothing at that moment or later. The namespace stays at the level that applies to everybody."""
    state = labelled_state(record=record_without_label(), guards=present_guards)
    settings = selection.settings(state)
    assert (settings.mode, settings.target) == (STRICT, labels.Level.BASELINE)
    assert selection.record(state, NOW) == ({}, IDENTITY)
    assert selection.record(state, at(days=300)) == ({}, IDENTITY)


def test_taken_off_and_set_again_it_counts() -> None:
    """The record moves on to the present policy once the labels are as recorded. After that, a change counts."""
    record = record_without_label()
    state = seen(namespace=denied(), policy=governed(rules=RULES), guards=changed_guards(), ledger=recorded(denied()))
    assert selection.record(state, NOW) == ({}, "another")
    moved_record = record.model_copy(update={"under": "another"})
    assert selection.record(labelled_state(record=moved_record, guards=changed_guards()), NOW) == (
        {KEPT: "storage"},
        "another",
    )


def test_within_five_seconds_of_a_change_of_the_policy_nothing_moves_on() -> None:
    """Not every API server applies the policy yet."""
    young_guards = changed_guards(since=at(seconds=-4))
    state = seen(namespace=denied(), guards=young_guards, ledger=recorded(denied()))
    assert selection.record(state, NOW) == ({}, IDENTITY)
    assert selection.record(state, at(seconds=1)) == ({}, "another")


@pytest.mark.parametrize(
    "present_guards", [changed_guards(), guards(missing=[NAMESPACE_LABELS])], ids=["made anew", "missing"]
)
def test_a_label_that_nothing_proves_tightens(present_guards: dict[str, snapshot.Guard]) -> None:
    """The rule of the label then applies, field by field where it is stricter."""
    state = labelled_state(rules=TIGHTENING, record=record_without_label(), guards=present_guards)
    settings = selection.settings(state)
    assert (settings.mode, settings.target) == (STRICT, labels.Level.RESTRICTED)


@pytest.mark.parametrize(
    ("created", "ledger_state", "mode"),
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
    created: datetime.datetime, ledger_state: ledger.State, mode: policy.Mode
) -> None:
    """A namespace that was created under the policy was labelled under it.

    A tenant may have labelled an older one before.
    """
    state = labelled_state(namespace_fields={"created": created}, ledger_fields={"state": ledger_state})
    assert selection.settings(state).mode is mode


@pytest.mark.parametrize("ledger_state", [ledger.State.LOST, ledger.State.UNREADABLE])
@pytest.mark.parametrize(
    ("present_labels", "rule", "loosened"),
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
    present_labels: dict[str, str], rule: dict[str, str], loosened: bool, ledger_state: ledger.State
) -> None:
    """A rule that governed the namespace before the loss still governs it.

    A label that was not believed before the loss is not believed after it.
    """
    labelled_namespace = namespace(labels={**present_labels, KEPT: "storage"}, created=at(days=-2))
    rules = ({"selector": {"matchLabels": {KEPT: "storage"}}, **rule},)
    state = seen(
        namespace=labelled_namespace,
        policy=governed(rules=rules),
        ledger=recorded(labelled_namespace, namespace=None, state=ledger_state),
    )
    wanted = level.settings_for(
        labelled_namespace if not loosened else replace(labelled_namespace, labels=present_labels), state.policy
    )
    assert selection.settings(state) == wanted


def test_labels_of_other_prefixes_are_free() -> None:
    """Nothing protects them from a user who may write the Namespace."""
    rules = ({"selector": {"matchLabels": {"team": "net"}}, "mode": "Audit"},)
    labelled_namespace = denied(labels={"team": "net"})
    state = seen(
        namespace=labelled_namespace, policy=governed(rules=rules), guards=changed_guards(), ledger=recorded(denied())
    )
    assert selection.settings(state).mode is LOOSE


def test_an_exempt_namespace_keeps_a_record_of_its_labels_and_of_nothing_else() -> None:
    """When the namespace is governed again, the same rule applies."""
    policy_state = governed(rules=RULES, exempt_namespaces=["payments"])
    for exempt_namespace, chosen in ((namespace(labels={KEPT: "storage"}), {KEPT: "storage"}), (namespace(), None)):
        state = seen(namespace=exempt_namespace, policy=policy_state, ledger=recorded(exempt_namespace, namespace=None))
        new_records = [effect.record for effect in plan.plan_namespace(state, NOW).effects if hasattr(effect, "record")]
        assert [record.chosen for record in new_records if record] == ([chosen] if chosen else [])


# -- since when it is Held --------------------------------------------------------------------------------------------


def test_since_when_a_namespace_is_held_is_read_from_the_ledger() -> None:
    """An annotation with another moment, which a tenant may write, does not let a later pod block enforcement."""
    annotations = {labels.HELD_BY: "since 9999-01-01T00:00:00Z: me"}
    held_namespace = namespace(labels={labels.ENFORCEMENT: "Held"}, annotations=annotations)
    record = ledger.NamespaceRecord(held=at(days=-1), under=IDENTITY)
    assert level.held_since(
        seen(namespace=held_namespace, ledger=recorded(held_namespace, namespace=record)), NOW
    ) == at(days=-1)


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
    held_namespace = namespace(labels={labels.ENFORCEMENT: "Held"}, annotations={labels.HELD_BY: text})
    state = seen(namespace=held_namespace, ledger=recorded(held_namespace, namespace=None, state=ledger.State.LOST))
    assert level.held_since(state, NOW) == since
