"""The labels that a namespace should have, and whether enforcement is on."""

import datetime
from dataclasses import replace
from typing import Any

import pytest

from hostnetwork_operator.api import labels, ledger, policy
from hostnetwork_operator.decide import contest, effects, level, ownership, snapshot
from tests.unit.builders import (
    ABSENT,
    ADOPTED,
    AUDIT_AND_WARN,
    DENIED,
    NAMESPACE,
    NOW,
    RELAXED,
    UNKNOWN,
    at,
    denied,
    governed,
    guards,
    hne,
    namespace,
    recorded,
    seen,
    written,
)

Level, Enforcement = labels.Level, labels.Enforcement
HELD = {labels.ENFORCEMENT: "Held", **AUDIT_AND_WARN}
HOLDING = snapshot.GateAnswer(Level.BASELINE, NOW, ("Deployment web: privileged (level baseline)",))


def settings(present_namespace: snapshot.Namespace | None = None, **spec: Any) -> level.Settings:
    return level.settings_for(present_namespace or namespace(), governed(**spec))


def decide(
    present_namespace: snapshot.Namespace,
    gate: snapshot.GateAnswer | None = None,
    excepted: tuple[str, ...] = (),
    **spec: Any,
) -> level.Decision:
    state = seen(namespace=present_namespace, policy=governed(**spec), gate=gate)
    return level.decide(state, level.settings_for(present_namespace, state.policy), frozenset(excepted), NOW)


def owned(present_namespace: snapshot.Namespace, *keys_of_others: str, **record: Any) -> ownership.Owned:
    """Return which labels the operator owns if the ledger has all labels as the operator's except `keys_of_others`."""
    return ownership.owned(
        seen(namespace=present_namespace, ledger=recorded(present_namespace, theirs=keys_of_others, **record))
    )


KUBERNETES = snapshot.MinorVersion(1, 36)


def changes(
    present_namespace: snapshot.Namespace,
    enforcement: Enforcement | None,
    *,
    relaxed: bool = False,
    held_by: str = "",
    keys_of_others: tuple[str, ...] = (),
    kubernetes: snapshot.MinorVersion | None = None,
    **spec: Any,
) -> tuple[dict[str, str | None], dict[str, str | None]]:
    decision = level.Decision(enforcement, held_by=held_by)
    namespace_settings = settings(present_namespace, **spec)
    return level.changes(
        present_namespace,
        owned(present_namespace, *keys_of_others),
        namespace_settings,
        decision,
        relaxed=relaxed,
        kubernetes=kubernetes,
    )


# -- settings -------------------------------------------------------------------------------------------------------


def test_the_first_rule_that_selects_counts() -> None:
    """The values of the rule replace those of the policy. A value that the rule omits comes from the policy."""
    rules = (
        {"selector": {"matchLabels": {"team": "web"}}, "mode": "Audit"},
        {"selector": {"matchLabels": {"team": "net"}}, "enforce": "restricted", "rollout": "Gated"},
        {"selector": {}, "enforce": "privileged"},
    )
    namespace_settings = settings(namespace(labels={"team": "net"}), rules=rules)
    assert (namespace_settings.mode, namespace_settings.target, namespace_settings.rollout) == (
        policy.Mode.ENFORCE,
        Level.RESTRICTED,
        policy.Rollout.GATED,
    )
    assert policy.Mode.AUDIT is settings(namespace(labels={"team": "web"}), rules=rules).mode
    assert Level.PRIVILEGED is settings(namespace(), rules=rules).target


def test_without_a_rule_the_policy_counts() -> None:
    """The target is baseline, with mode Enforce and rollout Immediate."""
    namespace_settings = settings()
    assert (
        namespace_settings.mode,
        namespace_settings.target,
        namespace_settings.rollout,
        namespace_settings.exempt,
    ) == (policy.Mode.ENFORCE, Level.BASELINE, policy.Rollout.IMMEDIATE, False)


def test_exempt_stands_over_every_rule() -> None:
    """Nothing else governs a namespace on the list."""
    namespace_settings = settings(exempt_namespaces=(NAMESPACE,), rules=({"selector": {}, "mode": "Enforce"},))
    assert (namespace_settings.exempt, namespace_settings.mode) == (True, None)


def test_release_stands_over_every_rule() -> None:
    """Every namespace is treated as exempt: the operator's labels are removed, and the previous level is restored."""
    relaxed_namespace = namespace(labels=RELAXED, annotations={labels.LEVEL_BEFORE: "restricted"})
    namespace_settings = settings(relaxed_namespace, mode="Release", rules=({"selector": {}, "mode": "Enforce"},))
    assert (namespace_settings.exempt, namespace_settings.mode) == (True, None)
    changed_labels, changed_annotations = level.changes(
        relaxed_namespace, owned(relaxed_namespace), namespace_settings, level.Decision(None), relaxed=False
    )
    assert (changed_labels[labels.PSA_ENFORCE], changed_labels[labels.ENFORCEMENT], changed_labels[labels.GUARD]) == (
        "restricted",
        None,
        None,
    )
    assert changed_annotations == {labels.LEVEL_BEFORE: None}


@pytest.mark.parametrize("name", labels.PREVIEW_NAMESPACES)
@pytest.mark.parametrize("state", [governed(), governed(exempt_namespaces=()), ABSENT, UNKNOWN])
@pytest.mark.parametrize("stands", [{}, DENIED, RELAXED])
def test_the_preview_namespaces_are_always_exempt(
    name: str, state: snapshot.PolicyState, stands: dict[str, str]
) -> None:
    """Neither the policy nor the labels of the namespace matter. There may even be no policy."""
    labelled_namespace = namespace(name=name, labels=stands)
    namespace_settings = level.settings_for(labelled_namespace, state)
    assert (namespace_settings.exempt, namespace_settings.mode) == (True, None)
    assert (stands == {}) == (
        level.changes(
            labelled_namespace, owned(labelled_namespace), namespace_settings, level.Decision(None), relaxed=False
        )
        == ({}, {})
    )


@pytest.mark.parametrize("policy_state", [ABSENT, UNKNOWN], ids=["absent", "unknown"])
@pytest.mark.parametrize(
    ("namespace_labels", "target"),
    [
        ({}, Level.PRIVILEGED),
        (DENIED, Level.BASELINE),
        (RELAXED, Level.BASELINE),
        ({labels.PSA_ENFORCE: "odd"}, Level.PRIVILEGED),
    ],
    ids=["untouched", "denied", "relaxed", "odd"],
)
def test_without_a_policy_what_stands_is_the_target(
    policy_state: snapshot.PolicyState, namespace_labels: dict[str, str], target: Level
) -> None:
    """The target is the level of the guard, if there is a guard, because the level itself may be lifted."""
    namespace_settings = level.settings_for(namespace(labels=namespace_labels), policy_state)
    assert (None, None, target) == (namespace_settings.mode, namespace_settings.pod_security, namespace_settings.target)


# -- decisions ------------------------------------------------------------------------------------------------------


def test_audit_takes_enforcement_down() -> None:
    """The decision is Audit even if enforcement was on."""
    assert Enforcement.AUDIT is decide(denied(), mode="Audit").enforcement


@pytest.mark.parametrize(("wrote", "asks_gate"), [({}, False), ({labels.ENFORCEMENT: "Audit"}, True)])
def test_what_this_process_has_taken_off_is_off_before_the_ledger_says_so(
    wrote: dict[str, str], asks_gate: bool
) -> None:
    """If the mode is Enforce again at that moment, the gate checks what was created since."""
    audit_namespace = namespace(labels={labels.ENFORCEMENT: "Audit"})
    ledger_view = snapshot.LedgerView(namespace=ledger.NamespaceRecord(enforced=True))
    state = seen(
        namespace=audit_namespace,
        policy=governed(rollout="Gated"),
        ledger=ledger_view,
        record=snapshot.Record(wrote=wrote),
    )
    decision = level.decide(state, level.settings_for(audit_namespace, state.policy), frozenset(), NOW)
    assert (decision.ask is not None) is asks_gate


@pytest.mark.parametrize(
    "present_namespace",
    [
        denied(),
        namespace(annotations=ADOPTED),
        namespace(labels=HELD, annotations=ADOPTED),
    ],
    ids=["label", "label removed", "label forged to Held"],
)
def test_once_on_enforcement_stays_on(present_namespace: snapshot.Namespace) -> None:
    """The gate is not asked again. Nothing that exists in the namespace now can turn enforcement off."""
    decision = decide(present_namespace, uncovered=("pod new: no exception",), rollout="Gated")
    assert (decision.enforcement, decision.ask) == (Enforcement.DENY, None)


def test_enforcement_goes_on_without_room_for_its_note() -> None:
    """If a tenant has filled the annotations of the Namespace, the labels are written nevertheless."""
    full_namespace = namespace(annotations={"a": "x" * (labels.ANNOTATION_BYTES - 1)})
    changed_labels, changed_annotations = changes(full_namespace, Enforcement.DENY)
    assert (changed_labels[labels.ENFORCEMENT], changed_labels[labels.PSA_ENFORCE], changed_annotations) == (
        "Deny",
        "baseline",
        {},
    )
    annotations_with_room = {"a": "x" * (labels.ANNOTATION_BYTES - 1 - len(labels.LEVEL_BEFORE))}
    assert changes(namespace(annotations=annotations_with_room), Enforcement.DENY)[1] == {labels.LEVEL_BEFORE: ""}


def test_immediate_asks_nobody() -> None:
    """Enforcement is turned on, whatever exists in the namespace."""
    assert Enforcement.DENY is decide(namespace(), gate=HOLDING).enforcement


@pytest.mark.parametrize("present_namespace", [namespace(), namespace(labels=HELD)], ids=["untouched", "held"])
def test_gated_asks_for_the_target_first(present_namespace: snapshot.Namespace) -> None:
    """Until the answer arrives, the namespace stays as it is."""
    decision = decide(present_namespace, rollout="Gated")
    assert (present_namespace.enforcement, Level.BASELINE) == (decision.enforcement, decision.ask)


def test_an_answer_about_another_level_is_none() -> None:
    """The policy has changed since the gate was asked."""
    assert Level.BASELINE is decide(namespace(), gate=snapshot.GateAnswer(Level.RESTRICTED, NOW), rollout="Gated").ask


@pytest.mark.parametrize(("age", "asked_level"), [(59, None), (60, Level.BASELINE)])
def test_an_answer_is_good_for_sixty_seconds(age: int, asked_level: Level | None) -> None:
    """After that the gate is asked again."""
    gate = snapshot.GateAnswer(Level.BASELINE, at(seconds=-age), ("Deployment web: privileged",))
    assert asked_level is decide(namespace(), gate=gate, rollout="Gated").ask


def test_a_clean_gate_turns_enforcement_on() -> None:
    """An answer without holders is clean."""
    assert (
        Enforcement.DENY
        is decide(namespace(), gate=snapshot.GateAnswer(Level.BASELINE, NOW), rollout="Gated").enforcement
    )


def test_who_would_be_refused_holds() -> None:
    """The annotation says since when the namespace is Held, and by whom. After a minute the gate is asked again."""
    gate = replace(HOLDING, asked=at(seconds=-10), holders=(*HOLDING.holders, "Pod x: host namespaces"))
    decision = decide(namespace(), gate=gate, rollout="Gated")
    assert (Enforcement.HELD, at(seconds=50)) == (decision.enforcement, decision.again)
    holders = "Deployment web: privileged (level baseline); Pod x: host namespaces"
    assert f"since 2026-11-22T12:00:00Z: {holders}" == decision.held_by


def test_an_answer_without_an_exception_that_is_in_force_now_is_none() -> None:
    """So a new exception lets the namespace continue immediately, and an exception that ends invalidates the answer."""
    gate = replace(HOLDING, excepted=frozenset({"net"}))
    assert decide(namespace(), gate=gate, excepted=("net",), rollout="Gated").ask is None
    assert Level.BASELINE is decide(namespace(), gate=gate, excepted=("net", "cni"), rollout="Gated").ask
    assert Level.BASELINE is decide(namespace(), gate=gate, rollout="Gated").ask


def test_a_gate_that_did_not_answer_holds() -> None:
    """An unknown answer is not clean."""
    decision = decide(namespace(), gate=snapshot.GateAnswer(Level.BASELINE, NOW, failed="timeout"), rollout="Gated")
    assert Enforcement.HELD is decision.enforcement
    assert "the operator does not know what level baseline would refuse: timeout" in decision.held_by


@pytest.mark.parametrize(
    ("annotation", "since"),
    [
        ("since 2026-11-20T08:00:00Z: web", "2026-11-20T08:00:00Z"),
        ("since 2026-11-19T08:00:00Z: web", "2026-11-22T12:00:00Z"),
        ("nonsense", "2026-11-22T12:00:00Z"),
        ("", "2026-11-22T12:00:00Z"),
    ],
)
def test_the_moment_since_when_it_is_held_is_kept(annotation: str, since: str) -> None:
    """A new moment is written if somebody has spoilt the annotation.

    The same applies to a moment before the creation of the namespace, which comes from a backup.
    """
    created = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
    held_namespace = namespace(
        labels=HELD, annotations={labels.HELD_BY: annotation} if annotation else {}, created=created
    )
    assert f"since {since}: {HOLDING.holders[0]}" == decide(held_namespace, gate=HOLDING, rollout="Gated").held_by


@pytest.mark.parametrize(
    ("minutes", "spec", "until"),
    [
        (14, {}, "2026-11-22T12:01:00Z"),
        (15, {}, None),
        (14, {"restoreGrace": "14m"}, None),
        (90, {"restoreGrace": "2h"}, "2026-11-22T12:30:00Z"),
        (14, {"rollout": "Immediate"}, None),
    ],
)
def test_a_namespace_that_comes_into_being_held_is_left_alone(minutes: int, spec: Any, until: str | None) -> None:
    """A backup tool creates the namespace first and its pods later.

    Enforcement in the empty namespace would refuse these pods.
    """
    held_namespace = namespace(labels=HELD, created=at(minutes=-minutes))
    state = seen(namespace=held_namespace, policy=governed(**{"rollout": "Gated", **spec}), ledger=NOT_RECORDED)
    decision = level.decide(state, level.settings_for(held_namespace, state.policy), frozenset(), NOW)
    if until is None:
        assert Level.BASELINE is decision.ask or Enforcement.DENY is decision.enforcement
        return
    assert (decision.enforcement, decision.ask, decision.since) == (Enforcement.HELD, None, None)
    assert decision.held_by.endswith(f"the operator checks the namespace from {until}")
    assert decision.again is not None
    assert f"{decision.again:%Y-%m-%dT%H:%M:%SZ}" == until
    # The ledger has the moment since which the operator itself holds the namespace.
    recorded_state = replace(
        state, ledger=recorded(held_namespace, namespace=written(held_namespace, held=at(minutes=-1)))
    )
    assert (
        Level.BASELINE
        is level.decide(recorded_state, level.settings_for(held_namespace, state.policy), frozenset(), NOW).ask
    )


def test_a_long_list_of_holders_is_cut() -> None:
    """A terminal shows a thousand characters."""
    gate = snapshot.GateAnswer(Level.BASELINE, NOW, ("w" * 100,) * 50)
    assert len(decide(namespace(), gate=gate, rollout="Gated").held_by) == 1000


def test_where_the_target_is_privileged_there_is_a_gate_too() -> None:
    """Pod Security Admission refuses nothing there, but the policy host-namespaces does."""
    spec = {"rollout": "Gated", "pod_security": {"enforce": "privileged"}}
    assert Level.PRIVILEGED is decide(namespace(), **spec).ask
    gate = snapshot.GateAnswer(Level.PRIVILEGED, NOW, ("Pod web: the namespace has no HostNetworkException",))
    assert Enforcement.HELD is decide(namespace(), gate=gate, **spec).enforcement
    assert Enforcement.DENY is decide(namespace(), gate=replace(gate, holders=()), **spec).enforcement


@pytest.mark.parametrize("policy_state", [ABSENT, UNKNOWN], ids=["absent", "unknown"])
@pytest.mark.parametrize(
    ("present_namespace", "enforcement"),
    [
        (namespace(), None),
        (denied(), Enforcement.DENY),
        (namespace(labels=HELD), Enforcement.HELD),
        (namespace(labels={labels.ENFORCEMENT: "Audit"}), Enforcement.AUDIT),
        (namespace(annotations=ADOPTED), Enforcement.DENY),
    ],
    ids=["untouched", "denied", "held", "audit", "label removed"],
)
def test_without_a_policy_what_stands_stays(
    policy_state: snapshot.PolicyState, present_namespace: snapshot.Namespace, enforcement: Enforcement | None
) -> None:
    """No new enforcement begins, and no enforcement ends."""
    state = seen(namespace=present_namespace, policy=policy_state)
    assert enforcement is level.decide(state, level.settings_for(present_namespace, policy_state), (), NOW).enforcement


# -- labels and annotations -----------------------------------------------------------------------------------------


def test_enforcing_writes_the_level_and_keeps_what_was_before() -> None:
    """The labels are enforce, audit, warn, their versions, and the enforcement label.

    The annotation has the previous level, or is empty if there was none.
    """
    changed_labels, changed_annotations = changes(namespace(), Enforcement.DENY)
    assert changed_labels == DENIED
    assert changed_annotations == ADOPTED
    _, changed_annotations = changes(namespace(labels={labels.PSA_ENFORCE: "privileged"}), Enforcement.DENY)
    assert changed_annotations == {labels.LEVEL_BEFORE: "privileged"}


@pytest.mark.parametrize("relaxed", [False, True])
def test_a_namespace_in_order_needs_nothing(relaxed: bool) -> None:
    """In the steady state there are no writes."""
    enforced_namespace = namespace(labels=RELAXED if relaxed else DENIED, annotations=ADOPTED)
    assert changes(enforced_namespace, Enforcement.DENY, relaxed=relaxed) == ({}, {})


def test_relaxing_lifts_the_level_and_sets_the_guard() -> None:
    """All other pods must still meet the target, and users are warned of nothing beyond that."""
    changed_labels, _ = changes(denied(), Enforcement.DENY, relaxed=True)
    assert changed_labels == {labels.PSA_ENFORCE: "privileged", labels.GUARD: "baseline", labels.PSA_WARN: "baseline"}


@pytest.mark.parametrize("target", ["baseline", "restricted"])
@pytest.mark.parametrize("warn", list(Level))
def test_the_warn_level_of_a_relaxed_namespace_is_its_guard(target: str, warn: Level) -> None:
    """The warn level of the policy does not apply there. The audit level stays as in the policy."""
    pod_security = {"enforce": target, "warn": warn.value, "audit": "restricted"}
    changed_labels, _ = changes(namespace(), Enforcement.DENY, relaxed=True, pod_security=pod_security)
    assert [changed_labels[label] for label in (labels.GUARD, labels.PSA_WARN, labels.PSA_AUDIT)] == [
        target,
        target,
        "restricted",
    ]


def test_a_warn_level_of_somebody_else_does_not_follow_the_guard() -> None:
    """The operator leaves the label alone, so it causes no contest."""
    enforced_namespace = denied(labels={labels.PSA_WARN: "restricted"})
    changed_labels, _ = changes(enforced_namespace, Enforcement.DENY, relaxed=True, keys_of_others=(labels.PSA_WARN,))
    assert changed_labels == {labels.PSA_ENFORCE: "privileged", labels.GUARD: "baseline"}


def test_restoring_leaves_the_guard() -> None:
    """A request in flight may already have passed Pod Security Admission. The warn level of the policy is restored."""
    assert changes(namespace(labels=RELAXED, annotations=ADOPTED), Enforcement.DENY) == (
        {labels.PSA_ENFORCE: "baseline", labels.PSA_WARN: "restricted"},
        {},
    )


def test_the_guard_follows_the_target() -> None:
    """A guard with another level is corrected, even while nothing is granted."""
    guarded_namespace = namespace(labels={**DENIED, labels.GUARD: "restricted"}, annotations=ADOPTED)
    assert changes(guarded_namespace, Enforcement.DENY) == ({labels.GUARD: "baseline"}, {})


def test_a_namespace_kept_for_such_workloads_has_no_guard() -> None:
    """If the target is privileged, there is no level that other pods must meet."""
    changed_labels, _ = changes(namespace(labels=RELAXED), Enforcement.DENY, pod_security={"enforce": "privileged"})
    assert changed_labels == {labels.GUARD: None, labels.PSA_WARN: "restricted"}


@pytest.mark.parametrize("present_level", ["baseline", "restricted"])
def test_a_level_that_somebody_else_holds_at_least_as_strict_stays(present_level: str) -> None:
    """The operator changes neither the level nor its version, so there is no write war."""
    enforced_namespace = denied(labels={labels.PSA_ENFORCE: present_level, labels.PSA_VERSIONS[0]: "latest"})
    keys_of_others = (labels.PSA_ENFORCE, labels.PSA_VERSIONS[0])
    assert changes(enforced_namespace, Enforcement.DENY, keys_of_others=keys_of_others) == ({}, {})
    assert level.lifting_is_barred(enforced_namespace, owned(enforced_namespace, labels.PSA_ENFORCE))
    assert not level.lifting_is_barred(enforced_namespace, owned(enforced_namespace))


@pytest.mark.parametrize("present_level", ["privileged", "baseline", "restricted"])
@pytest.mark.parametrize(
    ("version_of_other", "policy_version", "is_tightened"),
    [
        ("v1.0", "latest", True),
        ("v1.30", "v1.31", True),
        ("v1.9", "v1.10", True),
        ("v1.31", "v1.31", False),
        ("v1.32", "v1.31", False),
        ("latest", "v1.31", False),
    ],
)
def test_an_older_version_of_somebody_else_is_tightened(
    present_level: str, version_of_other: str, policy_version: str, is_tightened: bool
) -> None:
    """An older version refuses less, so it is tightened like a level, whatever the level is.

    When enforcement ends, the owner's version is restored.
    """
    namespace_before = namespace(labels={labels.PSA_ENFORCE: present_level, labels.PSA_VERSIONS[0]: version_of_other})
    policy_spec = {"pod_security": {"version": policy_version}}
    changed_labels, _ = changes(
        namespace_before, Enforcement.DENY, keys_of_others=(labels.PSA_ENFORCE, labels.PSA_VERSIONS[0]), **policy_spec
    )
    assert changed_labels.get(labels.PSA_VERSIONS[0]) == (policy_version if is_tightened else None)
    assert level.older(version_of_other, policy_version) is is_tightened
    namespace_after = denied(labels={labels.PSA_VERSIONS[0]: policy_version})
    record = ledger.NamespaceRecord(
        enforced=True,
        before=present_level,
        version_before=version_of_other,
        ours={labels.PSA_VERSIONS[0]: (policy_version,)},
    )
    operator_labels = ownership.owned(
        seen(namespace=namespace_after, ledger=recorded(namespace_after, namespace=record))
    )
    for enforcement, spec in ((Enforcement.AUDIT, {"mode": "Audit"}), (None, {"exempt_namespaces": (NAMESPACE,)})):
        namespace_settings = level.settings_for(namespace_after, governed(**spec))
        restored_labels, _ = level.changes(
            namespace_after, operator_labels, namespace_settings, level.Decision(enforcement), relaxed=False
        )
        assert restored_labels.get(labels.PSA_VERSIONS[0], policy_version) == version_of_other


def test_a_looser_level_of_somebody_else_is_tightened() -> None:
    """Tightening needs nobody's permission."""
    enforced_namespace = denied(labels={labels.PSA_ENFORCE: "privileged"})
    keys_of_others = (labels.PSA_ENFORCE,)
    assert changes(enforced_namespace, Enforcement.DENY, keys_of_others=keys_of_others) == (
        {labels.PSA_ENFORCE: "baseline"},
        {},
    )
    assert not level.lifting_is_barred(enforced_namespace, owned(enforced_namespace, *keys_of_others))


@pytest.mark.parametrize("label", [labels.PSA_AUDIT, labels.PSA_WARN, *labels.PSA_VERSIONS])
def test_a_conflict_on_audit_warn_or_version_is_left_out(label: str) -> None:
    """The operator leaves that label to its owner, and writes the others."""
    labelled_namespace = namespace(labels={label: "mine"})
    changed_labels, _ = changes(labelled_namespace, Enforcement.DENY)
    assert {key: value for key, value in DENIED.items() if key != label} == changed_labels


@pytest.mark.parametrize("enforcement", [Enforcement.AUDIT, Enforcement.HELD])
def test_where_nothing_is_enforced_audit_and_warn_are_written(enforcement: Enforcement) -> None:
    """In that case the enforce label is not the operator's."""
    changed_labels, changed_annotations = changes(
        namespace(labels={labels.PSA_ENFORCE: "baseline"}), enforcement, held_by="since …"
    )
    assert {labels.ENFORCEMENT: enforcement.value, **AUDIT_AND_WARN} == {
        labels.PSA_VERSIONS[0]: "latest",
        **changed_labels,
    }
    assert labels.PSA_ENFORCE not in changed_labels
    assert changed_annotations == {labels.HELD_BY: "since …"}


@pytest.mark.parametrize(
    ("level_before", "restored"),
    [
        ("", {labels.PSA_ENFORCE: None, labels.PSA_VERSIONS[0]: None}),
        ("privileged", {labels.PSA_ENFORCE: "privileged"}),
    ],
)
def test_audit_writes_back_the_level_of_before(level_before: str, restored: dict[str, str | None]) -> None:
    """The guard and the annotation are removed too. If there was no level before, the label is removed."""
    guarded_namespace = namespace(
        labels={**DENIED, labels.GUARD: "baseline"}, annotations={labels.LEVEL_BEFORE: level_before}
    )
    changed_labels, changed_annotations = changes(guarded_namespace, Enforcement.AUDIT, mode="Audit")
    assert {labels.ENFORCEMENT: "Audit", labels.GUARD: None, **restored} == changed_labels
    assert changed_annotations == {labels.LEVEL_BEFORE: None}


def test_audit_does_not_take_a_level_that_somebody_else_has_set_since() -> None:
    """The level now belongs to that client."""
    enforced_namespace = denied()
    changed_labels, _ = changes(
        enforced_namespace, Enforcement.AUDIT, keys_of_others=(labels.PSA_ENFORCE,), mode="Audit"
    )
    assert changed_labels == {labels.ENFORCEMENT: "Audit"}


def test_an_exempt_namespace_is_cleaned_once() -> None:
    """Everything that the operator wrote is removed, and the previous level is restored.

    After that nothing more is written.
    """
    relaxed_namespace = namespace(
        labels={**RELAXED, "team": "net"},
        annotations={labels.LEVEL_BEFORE: "baseline", labels.HELD_BY: "x"},
    )
    exempt_spec = {"exempt_namespaces": (NAMESPACE,)}
    changed_labels, changed_annotations = changes(relaxed_namespace, None, **exempt_spec)
    removed_labels = dict.fromkeys((labels.ENFORCEMENT, labels.GUARD, *AUDIT_AND_WARN))
    assert {**removed_labels, labels.PSA_ENFORCE: "baseline"} == changed_labels
    assert changed_annotations == {labels.LEVEL_BEFORE: None, labels.HELD_BY: None}
    assert changes(
        namespace(labels={labels.PSA_ENFORCE: "baseline", labels.PSA_WARN: "baseline"}), None, **exempt_spec
    ) == (
        {},
        {},
    )


def test_an_exempt_namespace_keeps_what_others_have_written() -> None:
    """The operator does not remove labels that others own."""
    keys_of_others = (labels.PSA_WARN, labels.PSA_ENFORCE)
    changed_labels, _ = changes(denied(), None, keys_of_others=keys_of_others, exempt_namespaces=(NAMESPACE,))
    assert labels.PSA_WARN not in changed_labels
    assert labels.PSA_ENFORCE not in changed_labels


def test_without_a_policy_nothing_is_written_to_a_namespace_nobody_governs() -> None:
    """The operator writes neither labels nor annotations."""
    labelled_namespace = namespace(labels={labels.PSA_ENFORCE: "baseline"})
    namespace_changes = level.changes(
        labelled_namespace,
        owned(labelled_namespace),
        level.settings_for(labelled_namespace, ABSENT),
        level.Decision(None),
        relaxed=False,
    )
    assert namespace_changes == ({}, {})


# -- born enforced: label-at-birth has written the labels, and says which -----------------------------------------

BORN_WITH = "enforce,enforce-version,audit,audit-version,warn,warn-version"
BORN_ENFORCED = namespace(labels=DENIED, annotations={labels.BORN_WITH: BORN_WITH})
NOT_RECORDED = snapshot.LedgerView()


def adopted(
    present_namespace: snapshot.Namespace,
    enforcement: Enforcement | None,
    *,
    relaxed: bool = False,
    stored: bool = True,
    **spec: Any,
) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """Return the changes of a namespace that was not in the ledger before. `stored` says whether it is there now."""
    operator_labels = replace(ownership.owned(seen(namespace=present_namespace, ledger=NOT_RECORDED)), stored=stored)
    return level.changes(
        present_namespace,
        operator_labels,
        settings(present_namespace, **spec),
        level.Decision(enforcement),
        relaxed=relaxed,
    )


@pytest.mark.parametrize("rollout", ["Gated", "Immediate"])
def test_a_namespace_that_was_born_enforced_asks_no_gate(rollout: str) -> None:
    """Nothing existed in the namespace before."""
    decision = decide(BORN_ENFORCED, uncovered=("pod new: no exception",), rollout=rollout)
    assert (decision.enforcement, decision.ask) == (Enforcement.DENY, None)


def test_a_namespace_that_was_born_enforced_had_no_level_before() -> None:
    """The only write left says that there was no label."""
    changed_annotations = {**ADOPTED, labels.BORN_WITH: None}
    assert adopted(BORN_ENFORCED, Enforcement.DENY) == ({}, changed_annotations)
    relaxing_labels = {labels.PSA_ENFORCE: "privileged", labels.GUARD: "baseline", labels.PSA_WARN: "baseline"}
    assert adopted(BORN_ENFORCED, Enforcement.DENY, relaxed=True) == (relaxing_labels, changed_annotations)


def test_what_birth_says_stays_until_the_ledger_has_it() -> None:
    """If records cannot be written, a restart would otherwise turn the operator's own levels into levels of others."""
    _, changed_annotations = adopted(BORN_ENFORCED, Enforcement.DENY, stored=False)
    assert labels.BORN_WITH not in changed_annotations


@pytest.mark.parametrize("target", ["restricted", "privileged"])
def test_a_level_of_birth_follows_the_policy(target: str) -> None:
    """No user set the level, so it is tightened or loosened to the policy's level, and counts as no previous level."""
    changed_labels, changed_annotations = adopted(BORN_ENFORCED, Enforcement.DENY, pod_security={"enforce": target})
    assert changed_labels == {labels.PSA_ENFORCE: target}
    assert changed_annotations == {**ADOPTED, labels.BORN_WITH: None}


@pytest.mark.parametrize("creator_level", ["privileged", "baseline", "restricted"])
def test_a_level_that_the_creator_set_stays_the_creators(creator_level: str) -> None:
    """The level is noted as it was, and restored in Audit only if the operator changed it. A stricter level stays."""
    born_with = {labels.BORN_WITH: BORN_WITH.removeprefix("enforce,")}
    born_namespace = namespace(labels={**DENIED, labels.PSA_ENFORCE: creator_level}, annotations=born_with)
    changed_labels, changed_annotations = adopted(born_namespace, Enforcement.DENY)
    assert changed_labels == ({labels.PSA_ENFORCE: "baseline"} if creator_level == "privileged" else {})
    assert changed_annotations == {labels.LEVEL_BEFORE: creator_level, labels.BORN_WITH: None}
    changes_in_audit = ({labels.ENFORCEMENT: "Audit", labels.PSA_VERSIONS[0]: None}, {labels.BORN_WITH: None})
    assert adopted(born_namespace, Enforcement.AUDIT, mode="Audit") == changes_in_audit


def test_a_level_that_birth_replaced_is_none_of_before() -> None:
    """The creator was not allowed to set the level, so neither the level nor its version is restored."""
    born_with = {labels.BORN_WITH: "enforce!,enforce-version!,audit,audit-version,warn,warn-version"}
    born_namespace = namespace(labels=DENIED, annotations=born_with)
    assert adopted(born_namespace, Enforcement.DENY) == adopted(BORN_ENFORCED, Enforcement.DENY)
    assert adopted(born_namespace, Enforcement.AUDIT, mode="Audit") == adopted(
        BORN_ENFORCED, Enforcement.AUDIT, mode="Audit"
    )


def test_where_a_rule_says_audit_the_level_of_birth_goes() -> None:
    """No user asked for the level."""
    changed_labels, changed_annotations = adopted(BORN_ENFORCED, Enforcement.AUDIT, mode="Audit")
    assert changed_labels == {labels.ENFORCEMENT: "Audit", labels.PSA_ENFORCE: None, labels.PSA_VERSIONS[0]: None}
    assert changed_annotations == {labels.BORN_WITH: None}


def test_where_a_namespace_is_exempt_everything_of_birth_goes() -> None:
    """One write removes everything. A level that the creator set stays."""
    exempt_spec = {"exempt_namespaces": (NAMESPACE,)}
    removed_annotations = {labels.BORN_WITH: None}
    assert adopted(BORN_ENFORCED, None, **exempt_spec) == (dict.fromkeys(DENIED), removed_annotations)
    born_with = {labels.BORN_WITH: BORN_WITH.removeprefix("enforce,")}
    born_namespace = namespace(labels={**DENIED, "team": "net"}, annotations=born_with)
    changed_labels, _ = adopted(born_namespace, None, **exempt_spec)
    assert changed_labels == dict.fromkeys(DENIED.keys() - {labels.PSA_ENFORCE})


def test_without_a_policy_what_birth_wrote_stays() -> None:
    """Nothing is written, because nobody knows yet what the policy will be."""
    namespace_settings = level.settings_for(BORN_ENFORCED, ABSENT)
    operator_labels = ownership.owned(seen(namespace=BORN_ENFORCED, ledger=NOT_RECORDED))
    assert level.changes(
        BORN_ENFORCED, operator_labels, namespace_settings, level.Decision(Enforcement.DENY), relaxed=False
    ) == ({}, {})


# -- claims: what is on a namespace that the ledger does not have -----------------------------------------------------


@pytest.mark.parametrize("since", [None, at(hours=-1, seconds=-4), at(minutes=-30)], ids=["away", "young", "later"])
def test_birth_is_believed_only_under_namespace_labels(since: Any) -> None:
    """While the policy was missing, a tenant may have written all of this. So nobody knows the previous level."""
    guard = snapshot.Guard(labels.POLICY_NAMESPACE_LABELS, since)
    state = seen(
        namespace=BORN_ENFORCED, ledger=NOT_RECORDED, guards={**guards(), labels.POLICY_NAMESPACE_LABELS: guard}
    )
    operator_labels = ownership.owned(state)
    assert operator_labels == ownership.Owned(ledger.NamespaceRecord(enforced=True), frozenset())
    decision = level.Decision(Enforcement.AUDIT)
    changed_labels, _ = level.changes(
        BORN_ENFORCED, operator_labels, settings(BORN_ENFORCED, mode="Audit"), decision, relaxed=False
    )
    assert changed_labels == {labels.ENFORCEMENT: "Audit"}


def test_what_nobody_knows_of_before_a_relaxed_namespace_is_put_back_to_its_guard() -> None:
    """The ledger is lost, and the namespace is older than the policy. The level that others had to meet stays."""
    relaxed_namespace = namespace(labels=RELAXED, annotations={labels.LEVEL_BEFORE: "privileged"}, created=at(days=-2))
    operator_labels = ownership.owned(seen(namespace=relaxed_namespace, ledger=NOT_RECORDED))
    namespace_settings = settings(relaxed_namespace, mode="Release")
    changed_labels, _ = level.changes(
        relaxed_namespace, operator_labels, namespace_settings, level.Decision(None), relaxed=False
    )
    assert changed_labels[labels.PSA_ENFORCE] == "baseline"


def test_a_note_that_a_tenant_wrote_is_put_right() -> None:
    """The ledger has the previous level. The annotation is for people to read."""
    enforced_namespace = denied(annotations={labels.LEVEL_BEFORE: "privileged"})
    operator_labels = owned(enforced_namespace, namespace=ledger.NamespaceRecord(enforced=True, before="restricted"))
    decision = level.Decision(Enforcement.DENY)
    namespace_changes = level.changes(
        enforced_namespace, operator_labels, settings(enforced_namespace), decision, relaxed=False
    )
    assert namespace_changes.annotations == {labels.LEVEL_BEFORE: "restricted"}
    released_labels, _ = level.changes(
        enforced_namespace,
        operator_labels,
        settings(enforced_namespace, mode="Release"),
        level.Decision(None),
        relaxed=False,
    )
    assert labels.PSA_ENFORCE not in released_labels  # this ledger does not have baseline as the operator's


def test_a_label_that_was_changed_since_the_last_write_is_somebody_elses() -> None:
    """A tenant tightens a lifted level to exactly the level that the operator would restore.

    The operator does not lift it again.
    """
    tightened_namespace = denied(hne(), labels={labels.PSA_ENFORCE: "baseline"})
    ledger_view = recorded(
        tightened_namespace, namespace=ledger.NamespaceRecord(enforced=True, ours={labels.PSA_ENFORCE: ("baseline",)})
    )
    lifting_record = snapshot.Record(wrote={labels.PSA_ENFORCE: "privileged"})
    assert labels.PSA_ENFORCE in ownership.owned(seen(namespace=tightened_namespace, ledger=ledger_view)).labels
    operator_labels = ownership.owned(seen(namespace=tightened_namespace, ledger=ledger_view, record=lifting_record))
    assert labels.PSA_ENFORCE not in operator_labels.labels
    assert level.lifting_is_barred(tightened_namespace, operator_labels)


@pytest.mark.parametrize("enforcement_after", [Enforcement.AUDIT, None])
@pytest.mark.parametrize("lowered", [False, True])
@pytest.mark.parametrize("again", [{"enforce": "restricted"}, {"enforce": "privileged", "version": "v1.29"}])
def test_what_is_put_back_is_its_owners_again(
    enforcement_after: Enforcement | None, again: dict[str, str], lowered: bool
) -> None:
    """Neither this process nor the ledger counts the restored level as the operator's.

    This applies when enforcement is turned on and off again. It also applies if the operator has lowered its own level
    to that of the owner meanwhile, so that nothing is left to do.
    """
    labels_before = {labels.PSA_ENFORCE: "baseline", labels.PSA_VERSIONS[0]: "v1.30"}
    present_namespace, record, namespace_record = (
        namespace(labels=labels_before),
        snapshot.Record(),
        ledger.NamespaceRecord(),
    )
    labels_by_step = []
    lowering_steps = [(Enforcement.DENY, {"enforce": "baseline", "version": "v1.30"})] if lowered else []
    steps = [
        (Enforcement.DENY, {"enforce": "restricted"}),
        *lowering_steps,
        (enforcement_after, {}),
        (Enforcement.DENY, again),
        (enforcement_after, {}),
    ]
    for enforcement, pod_security in (step for step in steps for _ in range(2)):
        state = seen(
            namespace=present_namespace, record=record, ledger=recorded(present_namespace, namespace=namespace_record)
        )
        operator_labels = ownership.owned(state)
        spec = {"mode": "Release"} if enforcement is None else {}
        namespace_settings = settings(present_namespace, pod_security=pod_security, **spec)
        changed_labels, _ = level.changes(
            present_namespace, operator_labels, namespace_settings, level.Decision(enforcement), relaxed=False
        )
        namespace_record = ownership.record(
            state, operator_labels, namespace_settings.target, enforcement, changed_labels, Level.RESTRICTED
        )
        if changed_labels:
            record = contest.written(record, effects.WriteNamespace(present_namespace, "", changed_labels, {}), NOW)
        new_labels = {**present_namespace.labels, **changed_labels}
        present_namespace = replace(
            present_namespace, labels={label: text for label, text in new_labels.items() if text is not None}
        )
        labels_by_step.append({label: present_namespace.labels.get(label) for label in labels_before})
    stricter_labels = {labels.PSA_ENFORCE: "restricted", labels.PSA_VERSIONS[0]: "latest"}
    assert labels_by_step[1::2] == [
        stricter_labels,
        *([labels_before] if lowered else []),
        labels_before,
        labels_before if "version" in again else stricter_labels,
        labels_before,
    ]


def test_what_this_process_wrote_last_is_its_own_before_the_ledger_says_so() -> None:
    """After a loss of the ledger, the next plan knows who owns a restored level.

    The level is restored immediately, and is the operator's. Privileged has no owner.
    """
    restored_namespace = denied(labels={labels.PSA_ENFORCE: "baseline"}, created=at(days=-2))
    record = snapshot.Record(wrote={labels.PSA_ENFORCE: "baseline"})
    assert labels.PSA_ENFORCE not in ownership.owned(seen(namespace=restored_namespace, ledger=NOT_RECORDED)).labels
    assert (
        labels.PSA_ENFORCE
        in ownership.owned(seen(namespace=restored_namespace, ledger=NOT_RECORDED, record=record)).labels
    )
    lifted_namespace = replace(
        restored_namespace, labels={**restored_namespace.labels, labels.PSA_ENFORCE: "privileged"}
    )
    record = snapshot.Record(wrote={labels.PSA_ENFORCE: "privileged"})
    assert (
        labels.PSA_ENFORCE
        not in ownership.owned(seen(namespace=lifted_namespace, ledger=NOT_RECORDED, record=record)).labels
    )


# -- the version of the guard --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy_version", "expected"),
    [("latest", "v1.36"), ("v1.30", "v1.30"), ("v1.36", "v1.36"), ("v1.37", "v1.36"), ("v1.100", "v1.36")],
)
def test_the_guard_judges_by_the_version_of_pod_security(policy_version: str, expected: str) -> None:
    """The guard has the version of the policy, or that of the API servers if the policy's is newer or `latest`."""
    pod_security = {"version": policy_version}
    changed_labels, _ = changes(
        denied(), Enforcement.DENY, relaxed=True, kubernetes=KUBERNETES, podSecurity=pod_security
    )
    assert (changed_labels[labels.GUARD], changed_labels[labels.GUARD_VERSION]) == ("baseline", expected)


def test_the_guard_follows_an_upgrade_also_where_the_level_is_restored() -> None:
    """The guard stays after that, and must judge pods by the same version as Pod Security Admission."""
    guard_labels = {labels.GUARD: "baseline", labels.GUARD_VERSION: "v1.35"}
    for present_namespace, relaxed in (
        (denied(labels=guard_labels), False),
        (denied(hne(), labels=guard_labels), True),
    ):
        changed_labels, _ = changes(present_namespace, Enforcement.DENY, relaxed=relaxed, kubernetes=KUBERNETES)
        assert changed_labels[labels.GUARD_VERSION] == "v1.36"


def test_the_version_of_the_guard_stays_while_no_other_is_known() -> None:
    """At the start no API server has been asked yet. A namespace without a guard gets no version."""
    guarded_namespace = denied(hne(), labels={labels.GUARD: "baseline", labels.GUARD_VERSION: "v1.35"})
    assert labels.GUARD_VERSION not in changes(guarded_namespace, Enforcement.DENY, relaxed=True)[0]
    assert labels.GUARD_VERSION not in changes(denied(), Enforcement.DENY, kubernetes=KUBERNETES)[0]


@pytest.mark.parametrize("enforcement", [Enforcement.AUDIT, Enforcement.HELD, None])
def test_the_version_of_the_guard_goes_with_the_guard(enforcement: Enforcement | None) -> None:
    """Both labels are removed when enforcement ends and when the namespace is released."""
    guarded_namespace = denied(labels={labels.GUARD: "baseline", labels.GUARD_VERSION: "v1.36"})
    exempt_spec = {"exemptNamespaces": [guarded_namespace.name]} if enforcement is None else {}
    changed_labels, _ = changes(guarded_namespace, enforcement, kubernetes=KUBERNETES, **exempt_spec)
    assert (changed_labels[labels.GUARD], changed_labels[labels.GUARD_VERSION]) == (None, None)
