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


def settings(home: snapshot.Namespace | None = None, **spec: Any) -> level.Settings:
    return level.settings_for(home or namespace(), governed(**spec))


def decide(
    home: snapshot.Namespace, gate: snapshot.GateAnswer | None = None, excepted: tuple[str, ...] = (), **spec: Any
) -> level.Decision:
    made = seen(namespace=home, policy=governed(**spec), gate=gate)
    return level.decide(made, level.settings_for(home, made.policy), frozenset(excepted), NOW)


def owned(home: snapshot.Namespace, *theirs: str, **record: Any) -> ownership.Owned:
    """Return the ownership of the labels if the ledger has all except `theirs` as the operator's."""
    return ownership.owned(seen(namespace=home, ledger=recorded(home, theirs=theirs, **record)))


KUBERNETES = snapshot.MinorVersion(1, 36)


def changes(
    home: snapshot.Namespace,
    enforcement: Enforcement | None,
    *,
    relaxed: bool = False,
    held_by: str = "",
    theirs: tuple[str, ...] = (),
    kubernetes: snapshot.MinorVersion | None = None,
    **spec: Any,
) -> tuple[dict[str, str | None], dict[str, str | None]]:
    decision = level.Decision(enforcement, held_by=held_by)
    found = settings(home, **spec)
    return level.changes(home, owned(home, *theirs), found, decision, relaxed=relaxed, kubernetes=kubernetes)


# -- settings -------------------------------------------------------------------------------------------------------


def test_the_first_rule_that_selects_counts() -> None:
    """The values of the rule replace those of the policy. A value that the rule omits comes from the policy."""
    rules = (
        {"selector": {"matchLabels": {"team": "web"}}, "mode": "Audit"},
        {"selector": {"matchLabels": {"team": "net"}}, "enforce": "restricted", "rollout": "Gated"},
        {"selector": {}, "enforce": "privileged"},
    )
    found = settings(namespace(labels={"team": "net"}), rules=rules)
    assert (found.mode, found.target, found.rollout) == (policy.Mode.ENFORCE, Level.RESTRICTED, policy.Rollout.GATED)
    assert policy.Mode.AUDIT is settings(namespace(labels={"team": "web"}), rules=rules).mode
    assert Level.PRIVILEGED is settings(namespace(), rules=rules).target


def test_without_a_rule_the_policy_counts() -> None:
    """The target is baseline, with mode Enforce and rollout Immediate."""
    found = settings()
    assert (
        found.mode,
        found.target,
        found.rollout,
        found.exempt,
    ) == (policy.Mode.ENFORCE, Level.BASELINE, policy.Rollout.IMMEDIATE, False)


def test_exempt_stands_over_every_rule() -> None:
    """Nothing else governs a namespace on the list."""
    found = settings(exempt_namespaces=(NAMESPACE,), rules=({"selector": {}, "mode": "Enforce"},))
    assert (found.exempt, found.mode) == (True, None)


def test_release_stands_over_every_rule() -> None:
    """Every namespace is treated as exempt: the operator's labels are removed, and the previous level is restored."""
    home = namespace(labels=RELAXED, annotations={labels.LEVEL_BEFORE: "restricted"})
    found = settings(home, mode="Release", rules=({"selector": {}, "mode": "Enforce"},))
    assert (found.exempt, found.mode) == (True, None)
    wanted, notes = level.changes(home, owned(home), found, level.Decision(None), relaxed=False)
    assert (wanted[labels.PSA_ENFORCE], wanted[labels.ENFORCEMENT], wanted[labels.GUARD]) == ("restricted", None, None)
    assert notes == {labels.LEVEL_BEFORE: None}


@pytest.mark.parametrize("name", labels.PREVIEW_NAMESPACES)
@pytest.mark.parametrize("state", [governed(), governed(exempt_namespaces=()), ABSENT, UNKNOWN])
@pytest.mark.parametrize("stands", [{}, DENIED, RELAXED])
def test_the_preview_namespaces_are_always_exempt(
    name: str, state: snapshot.PolicyState, stands: dict[str, str]
) -> None:
    """Whatever the policy says, even without a policy, and whatever labels somebody has set."""
    home = namespace(name=name, labels=stands)
    found = level.settings_for(home, state)
    assert (found.exempt, found.mode) == (True, None)
    assert (stands == {}) == (level.changes(home, owned(home), found, level.Decision(None), relaxed=False) == ({}, {}))


@pytest.mark.parametrize("state", [ABSENT, UNKNOWN], ids=["absent", "unknown"])
@pytest.mark.parametrize(
    ("stands", "target"),
    [
        ({}, Level.PRIVILEGED),
        (DENIED, Level.BASELINE),
        (RELAXED, Level.BASELINE),
        ({labels.PSA_ENFORCE: "odd"}, Level.PRIVILEGED),
    ],
    ids=["untouched", "denied", "relaxed", "odd"],
)
def test_without_a_policy_what_stands_is_the_target(
    state: snapshot.PolicyState, stands: dict[str, str], target: Level
) -> None:
    """The target is the level of the guard, if there is a guard, because the level itself may be lifted."""
    found = level.settings_for(namespace(labels=stands), state)
    assert (None, None, target) == (found.mode, found.pod_security, found.target)


# -- decisions ------------------------------------------------------------------------------------------------------


def test_audit_takes_enforcement_down() -> None:
    """Even if enforcement was on."""
    assert Enforcement.AUDIT is decide(denied(), mode="Audit").enforcement


@pytest.mark.parametrize(("wrote", "asked"), [({}, False), ({labels.ENFORCEMENT: "Audit"}, True)])
def test_what_this_process_has_taken_off_is_off_before_the_ledger_says_so(wrote: dict[str, str], asked: bool) -> None:
    """If the mode is Enforce again at that moment, the gate checks what was created since."""
    home = namespace(labels={labels.ENFORCEMENT: "Audit"})
    known = snapshot.LedgerView(namespace=ledger.NamespaceRecord(enforced=True))
    made = seen(namespace=home, policy=governed(rollout="Gated"), ledger=known, record=snapshot.Record(wrote=wrote))
    found = level.decide(made, level.settings_for(home, made.policy), frozenset(), NOW)
    assert (found.ask is not None) is asked


@pytest.mark.parametrize(
    "home",
    [
        denied(),
        namespace(annotations=ADOPTED),
        namespace(labels=HELD, annotations=ADOPTED),
    ],
    ids=["label", "label removed", "label forged to Held"],
)
def test_once_on_enforcement_stays_on(home: snapshot.Namespace) -> None:
    """The gate is not asked again. Nothing that exists in the namespace now can turn enforcement off."""
    found = decide(home, uncovered=("pod new: no exception",), rollout="Gated")
    assert (found.enforcement, found.ask) == (Enforcement.DENY, None)


def test_enforcement_goes_on_without_room_for_its_note() -> None:
    """If a tenant has filled the annotations of the Namespace, the labels are written nevertheless."""
    full = namespace(annotations={"a": "x" * (labels.ANNOTATION_BYTES - 1)})
    wanted, notes = changes(full, Enforcement.DENY)
    assert (wanted[labels.ENFORCEMENT], wanted[labels.PSA_ENFORCE], notes) == ("Deny", "baseline", {})
    one_left = {"a": "x" * (labels.ANNOTATION_BYTES - 1 - len(labels.LEVEL_BEFORE))}
    assert changes(namespace(annotations=one_left), Enforcement.DENY)[1] == {labels.LEVEL_BEFORE: ""}


def test_immediate_asks_nobody() -> None:
    """Enforcement is turned on, whatever exists in the namespace."""
    assert Enforcement.DENY is decide(namespace(), gate=HOLDING).enforcement


@pytest.mark.parametrize("home", [namespace(), namespace(labels=HELD)], ids=["untouched", "held"])
def test_gated_asks_for_the_target_first(home: snapshot.Namespace) -> None:
    """Until the answer arrives, the namespace stays as it is."""
    found = decide(home, rollout="Gated")
    assert (home.enforcement, Level.BASELINE) == (found.enforcement, found.ask)


def test_an_answer_about_another_level_is_none() -> None:
    """The policy has changed since the gate was asked."""
    assert Level.BASELINE is decide(namespace(), gate=snapshot.GateAnswer(Level.RESTRICTED, NOW), rollout="Gated").ask


@pytest.mark.parametrize(("age", "ask"), [(59, None), (60, Level.BASELINE)])
def test_an_answer_is_good_for_sixty_seconds(age: int, ask: Level | None) -> None:
    """After that the gate is asked again."""
    gate = snapshot.GateAnswer(Level.BASELINE, at(seconds=-age), ("Deployment web: privileged",))
    assert ask is decide(namespace(), gate=gate, rollout="Gated").ask


def test_a_clean_gate_turns_enforcement_on() -> None:
    """An answer without holders is clean."""
    assert (
        Enforcement.DENY
        is decide(namespace(), gate=snapshot.GateAnswer(Level.BASELINE, NOW), rollout="Gated").enforcement
    )


def test_who_would_be_refused_holds() -> None:
    """The annotation says since when, and names the holders. After a minute the gate is asked again."""
    gate = replace(HOLDING, asked=at(seconds=-10), holders=(*HOLDING.holders, "Pod x: host namespaces"))
    found = decide(namespace(), gate=gate, rollout="Gated")
    assert (Enforcement.HELD, at(seconds=50)) == (found.enforcement, found.again)
    who = "Deployment web: privileged (level baseline); Pod x: host namespaces"
    assert f"since 2026-11-22T12:00:00Z: {who}" == found.held_by


def test_an_answer_without_an_exception_that_is_in_force_now_is_none() -> None:
    """So a new exception lets the namespace continue immediately, and an exception that ends invalidates the answer."""
    gate = replace(HOLDING, excepted=frozenset({"net"}))
    assert decide(namespace(), gate=gate, excepted=("net",), rollout="Gated").ask is None
    assert Level.BASELINE is decide(namespace(), gate=gate, excepted=("net", "cni"), rollout="Gated").ask
    assert Level.BASELINE is decide(namespace(), gate=gate, rollout="Gated").ask


def test_a_gate_that_did_not_answer_holds() -> None:
    """An unknown answer is not clean."""
    found = decide(namespace(), gate=snapshot.GateAnswer(Level.BASELINE, NOW, failed="timeout"), rollout="Gated")
    assert Enforcement.HELD is found.enforcement
    assert "the operator does not know what level baseline would refuse: timeout" in found.held_by


@pytest.mark.parametrize(
    ("note", "since"),
    [
        ("since 2026-11-20T08:00:00Z: web", "2026-11-20T08:00:00Z"),
        ("since 2026-11-19T08:00:00Z: web", "2026-11-22T12:00:00Z"),
        ("nonsense", "2026-11-22T12:00:00Z"),
        ("", "2026-11-22T12:00:00Z"),
    ],
)
def test_the_moment_since_when_it_is_held_is_kept(note: str, since: str) -> None:
    """A new moment is written if somebody has spoilt the annotation.

    The same applies to a moment before the creation of the namespace, which comes from a backup.
    """
    made = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
    home = namespace(labels=HELD, annotations={labels.HELD_BY: note} if note else {}, created=made)
    assert f"since {since}: {HOLDING.holders[0]}" == decide(home, gate=HOLDING, rollout="Gated").held_by


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
    home = namespace(labels=HELD, created=at(minutes=-minutes))
    made = seen(namespace=home, policy=governed(**{"rollout": "Gated", **spec}), ledger=NOT_RECORDED)
    found = level.decide(made, level.settings_for(home, made.policy), frozenset(), NOW)
    if until is None:
        assert Level.BASELINE is found.ask or Enforcement.DENY is found.enforcement
        return
    assert (found.enforcement, found.ask, found.since) == (Enforcement.HELD, None, None)
    assert found.held_by.endswith(f"the operator checks the namespace from {until}")
    assert found.again is not None
    assert f"{found.again:%Y-%m-%dT%H:%M:%SZ}" == until
    ours = replace(made, ledger=recorded(home, namespace=written(home, held=at(minutes=-1))))  # the operator's own
    assert Level.BASELINE is level.decide(ours, level.settings_for(home, made.policy), frozenset(), NOW).ask


def test_a_long_list_of_holders_is_cut() -> None:
    """A terminal shows a thousand characters."""
    gate = snapshot.GateAnswer(Level.BASELINE, NOW, ("w" * 100,) * 50)
    assert len(decide(namespace(), gate=gate, rollout="Gated").held_by) == 1000


def test_where_the_target_is_privileged_there_is_a_gate_too() -> None:
    """Pod Security Admission refuses nothing there, but the policy host-namespaces does."""
    kept = {"rollout": "Gated", "pod_security": {"enforce": "privileged"}}
    assert Level.PRIVILEGED is decide(namespace(), **kept).ask
    gate = snapshot.GateAnswer(Level.PRIVILEGED, NOW, ("Pod web: the namespace has no HostNetworkException",))
    assert Enforcement.HELD is decide(namespace(), gate=gate, **kept).enforcement
    assert Enforcement.DENY is decide(namespace(), gate=replace(gate, holders=()), **kept).enforcement


@pytest.mark.parametrize("state", [ABSENT, UNKNOWN], ids=["absent", "unknown"])
@pytest.mark.parametrize(
    ("home", "enforcement"),
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
    state: snapshot.PolicyState, home: snapshot.Namespace, enforcement: Enforcement | None
) -> None:
    """No new enforcement begins, and no enforcement ends."""
    made = seen(namespace=home, policy=state)
    assert enforcement is level.decide(made, level.settings_for(home, state), (), NOW).enforcement


# -- labels and annotations -----------------------------------------------------------------------------------------


def test_enforcing_writes_the_level_and_keeps_what_was_before() -> None:
    """The labels are enforce, audit, warn, their versions, and the enforcement label.

    The annotation has the previous level, or is empty if there was none.
    """
    wanted, notes = changes(namespace(), Enforcement.DENY)
    assert wanted == DENIED
    assert notes == ADOPTED
    _, notes = changes(namespace(labels={labels.PSA_ENFORCE: "privileged"}), Enforcement.DENY)
    assert notes == {labels.LEVEL_BEFORE: "privileged"}


@pytest.mark.parametrize("relaxed", [False, True])
def test_a_namespace_in_order_needs_nothing(relaxed: bool) -> None:
    """In the steady state there are no writes."""
    home = namespace(labels=RELAXED if relaxed else DENIED, annotations=ADOPTED)
    assert changes(home, Enforcement.DENY, relaxed=relaxed) == ({}, {})


def test_relaxing_lifts_the_level_and_sets_the_guard() -> None:
    """All other pods must still meet the target, and users are warned of nothing beyond that."""
    wanted, _ = changes(denied(), Enforcement.DENY, relaxed=True)
    assert wanted == {labels.PSA_ENFORCE: "privileged", labels.GUARD: "baseline", labels.PSA_WARN: "baseline"}


@pytest.mark.parametrize("target", ["baseline", "restricted"])
@pytest.mark.parametrize("warn", list(Level))
def test_the_warn_level_of_a_relaxed_namespace_is_its_guard(target: str, warn: Level) -> None:
    """Whatever the policy warns of elsewhere. The audit level stays as in the policy."""
    spec = {"enforce": target, "warn": warn.value, "audit": "restricted"}
    wanted, _ = changes(namespace(), Enforcement.DENY, relaxed=True, pod_security=spec)
    assert [wanted[label] for label in (labels.GUARD, labels.PSA_WARN, labels.PSA_AUDIT)] == [
        target,
        target,
        "restricted",
    ]


def test_a_warn_level_of_somebody_else_does_not_follow_the_guard() -> None:
    """The operator leaves the label alone, so it causes no contest."""
    home = denied(labels={labels.PSA_WARN: "restricted"})
    wanted, _ = changes(home, Enforcement.DENY, relaxed=True, theirs=(labels.PSA_WARN,))
    assert wanted == {labels.PSA_ENFORCE: "privileged", labels.GUARD: "baseline"}


def test_restoring_leaves_the_guard() -> None:
    """A request in flight may already have passed Pod Security Admission. The warn level of the policy is restored."""
    assert changes(namespace(labels=RELAXED, annotations=ADOPTED), Enforcement.DENY) == (
        {labels.PSA_ENFORCE: "baseline", labels.PSA_WARN: "restricted"},
        {},
    )


def test_the_guard_follows_the_target() -> None:
    """A guard with another level is corrected, even while nothing is granted."""
    home = namespace(labels={**DENIED, labels.GUARD: "restricted"}, annotations=ADOPTED)
    assert changes(home, Enforcement.DENY) == ({labels.GUARD: "baseline"}, {})


def test_a_namespace_kept_for_such_workloads_has_no_guard() -> None:
    """If the target is privileged, there is no level that other pods must meet."""
    wanted, _ = changes(namespace(labels=RELAXED), Enforcement.DENY, pod_security={"enforce": "privileged"})
    assert wanted == {labels.GUARD: None, labels.PSA_WARN: "restricted"}


@pytest.mark.parametrize("present", ["baseline", "restricted"])
def test_a_level_that_somebody_else_holds_at_least_as_strict_stays(present: str) -> None:
    """The operator changes neither the level nor its version, so there is no write war."""
    home = denied(labels={labels.PSA_ENFORCE: present, labels.PSA_VERSIONS[0]: "latest"})
    theirs = (labels.PSA_ENFORCE, labels.PSA_VERSIONS[0])
    assert changes(home, Enforcement.DENY, theirs=theirs) == ({}, {})
    assert level.lifting_is_barred(home, owned(home, labels.PSA_ENFORCE))
    assert not level.lifting_is_barred(home, owned(home))


@pytest.mark.parametrize("present", ["privileged", "baseline", "restricted"])
@pytest.mark.parametrize(
    ("theirs", "wanted", "written"),
    [
        ("v1.0", "latest", True),
        ("v1.30", "v1.31", True),
        ("v1.9", "v1.10", True),
        ("v1.31", "v1.31", False),
        ("v1.32", "v1.31", False),
        ("latest", "v1.31", False),
    ],
)
def test_an_older_version_of_somebody_else_is_tightened(present: str, theirs: str, wanted: str, written: bool) -> None:
    """An older version refuses less, so it is tightened like a level, whatever the level is.

    When enforcement ends, the owner's version is restored.
    """
    home = namespace(labels={labels.PSA_ENFORCE: present, labels.PSA_VERSIONS[0]: theirs})
    pinned = {"pod_security": {"version": wanted}}
    changed, _ = changes(home, Enforcement.DENY, theirs=(labels.PSA_ENFORCE, labels.PSA_VERSIONS[0]), **pinned)
    assert changed.get(labels.PSA_VERSIONS[0]) == (wanted if written else None)
    assert level.older(theirs, wanted) is written
    since = denied(labels={labels.PSA_VERSIONS[0]: wanted})
    record = ledger.NamespaceRecord(
        enforced=True, before=present, version_before=theirs, ours={labels.PSA_VERSIONS[0]: (wanted,)}
    )
    mine = ownership.owned(seen(namespace=since, ledger=recorded(since, namespace=record)))
    for enforcement, spec in ((Enforcement.AUDIT, {"mode": "Audit"}), (None, {"exempt_namespaces": (NAMESPACE,)})):
        found = level.settings_for(since, governed(**spec))
        back, _ = level.changes(since, mine, found, level.Decision(enforcement), relaxed=False)
        assert back.get(labels.PSA_VERSIONS[0], wanted) == theirs


def test_a_looser_level_of_somebody_else_is_tightened() -> None:
    """Tightening needs nobody's permission."""
    home = denied(labels={labels.PSA_ENFORCE: "privileged"})
    theirs = (labels.PSA_ENFORCE,)
    assert changes(home, Enforcement.DENY, theirs=theirs) == ({labels.PSA_ENFORCE: "baseline"}, {})
    assert not level.lifting_is_barred(home, owned(home, *theirs))


@pytest.mark.parametrize("label", [labels.PSA_AUDIT, labels.PSA_WARN, *labels.PSA_VERSIONS])
def test_a_conflict_on_audit_warn_or_version_is_left_out(label: str) -> None:
    """The operator leaves that label to its owner, and writes the others."""
    home = namespace(labels={label: "mine"})
    wanted, _ = changes(home, Enforcement.DENY)
    assert {key: value for key, value in DENIED.items() if key != label} == wanted


@pytest.mark.parametrize("enforcement", [Enforcement.AUDIT, Enforcement.HELD])
def test_where_nothing_is_enforced_audit_and_warn_are_written(enforcement: Enforcement) -> None:
    """In that case the enforce label is not the operator's."""
    wanted, notes = changes(namespace(labels={labels.PSA_ENFORCE: "baseline"}), enforcement, held_by="since …")
    assert {labels.ENFORCEMENT: enforcement.value, **AUDIT_AND_WARN} == {labels.PSA_VERSIONS[0]: "latest", **wanted}
    assert labels.PSA_ENFORCE not in wanted
    assert notes == {labels.HELD_BY: "since …"}


@pytest.mark.parametrize(
    ("before", "restored"),
    [
        ("", {labels.PSA_ENFORCE: None, labels.PSA_VERSIONS[0]: None}),
        ("privileged", {labels.PSA_ENFORCE: "privileged"}),
    ],
)
def test_audit_writes_back_the_level_of_before(before: str, restored: dict[str, str | None]) -> None:
    """The guard and the annotation are removed too. If there was no level before, the label is removed."""
    home = namespace(labels={**DENIED, labels.GUARD: "baseline"}, annotations={labels.LEVEL_BEFORE: before})
    wanted, notes = changes(home, Enforcement.AUDIT, mode="Audit")
    assert {labels.ENFORCEMENT: "Audit", labels.GUARD: None, **restored} == wanted
    assert notes == {labels.LEVEL_BEFORE: None}


def test_audit_does_not_take_a_level_that_somebody_else_has_set_since() -> None:
    """The level now belongs to that client."""
    home = denied()
    wanted, _ = changes(home, Enforcement.AUDIT, theirs=(labels.PSA_ENFORCE,), mode="Audit")
    assert wanted == {labels.ENFORCEMENT: "Audit"}


def test_an_exempt_namespace_is_cleaned_once() -> None:
    """Everything that the operator wrote is removed, and the previous level is restored.

    After that nothing more is written.
    """
    home = namespace(
        labels={**RELAXED, "team": "net"},
        annotations={labels.LEVEL_BEFORE: "baseline", labels.HELD_BY: "x"},
    )
    exempt = {"exempt_namespaces": (NAMESPACE,)}
    wanted, notes = changes(home, None, **exempt)
    gone = dict.fromkeys((labels.ENFORCEMENT, labels.GUARD, *AUDIT_AND_WARN))
    assert {**gone, labels.PSA_ENFORCE: "baseline"} == wanted
    assert notes == {labels.LEVEL_BEFORE: None, labels.HELD_BY: None}
    assert changes(namespace(labels={labels.PSA_ENFORCE: "baseline", labels.PSA_WARN: "baseline"}), None, **exempt) == (
        {},
        {},
    )


def test_an_exempt_namespace_keeps_what_others_have_written() -> None:
    """The operator does not remove labels that others own."""
    theirs = (labels.PSA_WARN, labels.PSA_ENFORCE)
    wanted, _ = changes(denied(), None, theirs=theirs, exempt_namespaces=(NAMESPACE,))
    assert labels.PSA_WARN not in wanted
    assert labels.PSA_ENFORCE not in wanted


def test_without_a_policy_nothing_is_written_to_a_namespace_nobody_governs() -> None:
    """The operator writes neither labels nor annotations."""
    home = namespace(labels={labels.PSA_ENFORCE: "baseline"})
    found = level.changes(home, owned(home), level.settings_for(home, ABSENT), level.Decision(None), relaxed=False)
    assert found == ({}, {})


# -- born enforced: label-at-birth has written the labels, and says which -----------------------------------------

BORN_WITH = "enforce,enforce-version,audit,audit-version,warn,warn-version"
BORN = namespace(labels=DENIED, annotations={labels.BORN_WITH: BORN_WITH})
NOT_RECORDED = snapshot.LedgerView()


def adopted(
    home: snapshot.Namespace,
    enforcement: Enforcement | None,
    *,
    relaxed: bool = False,
    stored: bool = True,
    **spec: Any,
) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """Return the changes of a namespace that was not in the ledger before. `stored`: the ledger has it by now."""
    mine = replace(ownership.owned(seen(namespace=home, ledger=NOT_RECORDED)), stored=stored)
    return level.changes(home, mine, settings(home, **spec), level.Decision(enforcement), relaxed=relaxed)


@pytest.mark.parametrize("rollout", ["Gated", "Immediate"])
def test_a_namespace_that_was_born_enforced_asks_no_gate(rollout: str) -> None:
    """Nothing existed in the namespace before."""
    found = decide(BORN, uncovered=("pod new: no exception",), rollout=rollout)
    assert (found.enforcement, found.ask) == (Enforcement.DENY, None)


def test_a_namespace_that_was_born_enforced_had_no_level_before() -> None:
    """The only write left says that there was no label."""
    notes = {**ADOPTED, labels.BORN_WITH: None}
    assert adopted(BORN, Enforcement.DENY) == ({}, notes)
    relaxed = {labels.PSA_ENFORCE: "privileged", labels.GUARD: "baseline", labels.PSA_WARN: "baseline"}
    assert adopted(BORN, Enforcement.DENY, relaxed=True) == (relaxed, notes)


def test_what_birth_says_stays_until_the_ledger_has_it() -> None:
    """If records cannot be written, a restart would otherwise turn the operator's own levels into levels of others."""
    _, notes = adopted(BORN, Enforcement.DENY, stored=False)
    assert labels.BORN_WITH not in notes


@pytest.mark.parametrize("target", ["restricted", "privileged"])
def test_a_level_of_birth_follows_the_policy(target: str) -> None:
    """No user set the level, so it is tightened or loosened to the policy's level, and counts as no previous level."""
    wanted, notes = adopted(BORN, Enforcement.DENY, pod_security={"enforce": target})
    assert wanted == {labels.PSA_ENFORCE: target}
    assert notes == {**ADOPTED, labels.BORN_WITH: None}


@pytest.mark.parametrize("given", ["privileged", "baseline", "restricted"])
def test_a_level_that_the_creator_set_stays_the_creators(given: str) -> None:
    """The level is noted as it was, and restored in Audit only if the operator changed it. A stricter level stays."""
    born_with = {labels.BORN_WITH: BORN_WITH.removeprefix("enforce,")}
    home = namespace(labels={**DENIED, labels.PSA_ENFORCE: given}, annotations=born_with)
    wanted, notes = adopted(home, Enforcement.DENY)
    assert wanted == ({labels.PSA_ENFORCE: "baseline"} if given == "privileged" else {})
    assert notes == {labels.LEVEL_BEFORE: given, labels.BORN_WITH: None}
    in_audit = ({labels.ENFORCEMENT: "Audit", labels.PSA_VERSIONS[0]: None}, {labels.BORN_WITH: None})
    assert adopted(home, Enforcement.AUDIT, mode="Audit") == in_audit


def test_a_level_that_birth_replaced_is_none_of_before() -> None:
    """The creator was not allowed to set the level, so neither the level nor its version is restored."""
    born_with = {labels.BORN_WITH: "enforce!,enforce-version!,audit,audit-version,warn,warn-version"}
    home = namespace(labels=DENIED, annotations=born_with)
    assert adopted(home, Enforcement.DENY) == adopted(BORN, Enforcement.DENY)
    assert adopted(home, Enforcement.AUDIT, mode="Audit") == adopted(BORN, Enforcement.AUDIT, mode="Audit")


def test_where_a_rule_says_audit_the_level_of_birth_goes() -> None:
    """The level was written on behalf of nobody."""
    wanted, notes = adopted(BORN, Enforcement.AUDIT, mode="Audit")
    assert wanted == {labels.ENFORCEMENT: "Audit", labels.PSA_ENFORCE: None, labels.PSA_VERSIONS[0]: None}
    assert notes == {labels.BORN_WITH: None}


def test_where_a_namespace_is_exempt_everything_of_birth_goes() -> None:
    """One write removes everything. A level that the creator set stays."""
    exempt = {"exempt_namespaces": (NAMESPACE,)}
    gone = {labels.BORN_WITH: None}
    assert adopted(BORN, None, **exempt) == (dict.fromkeys(DENIED), gone)
    born_with = {labels.BORN_WITH: BORN_WITH.removeprefix("enforce,")}
    home = namespace(labels={**DENIED, "team": "net"}, annotations=born_with)
    wanted, _ = adopted(home, None, **exempt)
    assert wanted == dict.fromkeys(DENIED.keys() - {labels.PSA_ENFORCE})


def test_without_a_policy_what_birth_wrote_stays() -> None:
    """Nothing is written, because nobody knows yet what the policy will be."""
    found = level.settings_for(BORN, ABSENT)
    mine = ownership.owned(seen(namespace=BORN, ledger=NOT_RECORDED))
    assert level.changes(BORN, mine, found, level.Decision(Enforcement.DENY), relaxed=False) == ({}, {})


# -- claims: what is on a namespace that the ledger does not have -----------------------------------------------------


@pytest.mark.parametrize("since", [None, at(hours=-1, seconds=-4), at(minutes=-30)], ids=["away", "young", "later"])
def test_birth_is_believed_only_under_namespace_labels(since: Any) -> None:
    """While the policy was missing, a tenant may have written all of that. So nobody knows the previous level."""
    guard = snapshot.Guard(labels.POLICY_NAMESPACE_LABELS, since)
    made = seen(namespace=BORN, ledger=NOT_RECORDED, guards={**guards(), labels.POLICY_NAMESPACE_LABELS: guard})
    mine = ownership.owned(made)
    assert mine == ownership.Owned(ledger.NamespaceRecord(enforced=True), frozenset())
    decision = level.Decision(Enforcement.AUDIT)
    wanted, _ = level.changes(BORN, mine, settings(BORN, mode="Audit"), decision, relaxed=False)
    assert wanted == {labels.ENFORCEMENT: "Audit"}


def test_what_nobody_knows_of_before_a_relaxed_namespace_is_put_back_to_its_guard() -> None:
    """The ledger is lost, and the namespace is older than the policy. The level that others had to meet stays."""
    home = namespace(labels=RELAXED, annotations={labels.LEVEL_BEFORE: "privileged"}, created=at(days=-2))
    mine = ownership.owned(seen(namespace=home, ledger=NOT_RECORDED))
    found = settings(home, mode="Release")
    wanted, _ = level.changes(home, mine, found, level.Decision(None), relaxed=False)
    assert wanted[labels.PSA_ENFORCE] == "baseline"


def test_a_note_that_a_tenant_wrote_is_put_right() -> None:
    """The ledger has the previous level. The annotation is for people to read."""
    home = denied(annotations={labels.LEVEL_BEFORE: "privileged"})
    mine = owned(home, namespace=ledger.NamespaceRecord(enforced=True, before="restricted"))
    decision = level.Decision(Enforcement.DENY)
    changed = level.changes(home, mine, settings(home), decision, relaxed=False)
    assert changed.annotations == {labels.LEVEL_BEFORE: "restricted"}
    back, _ = level.changes(home, mine, settings(home, mode="Release"), level.Decision(None), relaxed=False)
    assert labels.PSA_ENFORCE not in back  # this ledger does not have baseline as the operator's


def test_a_label_that_was_changed_since_the_last_write_is_somebody_elses() -> None:
    """A tenant tightens a lifted level to exactly the level that the operator would restore.

    The operator does not lift it again.
    """
    home = denied(hne(), labels={labels.PSA_ENFORCE: "baseline"})
    record = recorded(home, namespace=ledger.NamespaceRecord(enforced=True, ours={labels.PSA_ENFORCE: ("baseline",)}))
    lifted = snapshot.Record(wrote={labels.PSA_ENFORCE: "privileged"})
    assert labels.PSA_ENFORCE in ownership.owned(seen(namespace=home, ledger=record)).labels
    mine = ownership.owned(seen(namespace=home, ledger=record, record=lifted))
    assert labels.PSA_ENFORCE not in mine.labels
    assert level.lifting_is_barred(home, mine)


@pytest.mark.parametrize("off", [Enforcement.AUDIT, None])
@pytest.mark.parametrize("lowered", [False, True])
@pytest.mark.parametrize("again", [{"enforce": "restricted"}, {"enforce": "privileged", "version": "v1.29"}])
def test_what_is_put_back_is_its_owners_again(off: Enforcement | None, again: dict[str, str], lowered: bool) -> None:
    """Neither this process nor the ledger takes the restored level for the operator's.

    This applies when enforcement is turned on and off again. It also applies if the operator has lowered its own level
    to that of the owner meanwhile, so that nothing is left to do.
    """
    stood = {labels.PSA_ENFORCE: "baseline", labels.PSA_VERSIONS[0]: "v1.30"}
    home, record, kept = namespace(labels=stood), snapshot.Record(), ledger.NamespaceRecord()
    seen_so_far = []
    own = [(Enforcement.DENY, {"enforce": "baseline", "version": "v1.30"})] if lowered else []
    steps = [(Enforcement.DENY, {"enforce": "restricted"}), *own, (off, {}), (Enforcement.DENY, again), (off, {})]
    for enforcement, wanted in (step for step in steps for _ in range(2)):
        found = seen(namespace=home, record=record, ledger=recorded(home, namespace=kept))
        mine = ownership.owned(found)
        spec = {"mode": "Release"} if enforcement is None else {}
        now = settings(home, pod_security=wanted, **spec)
        changed, _ = level.changes(home, mine, now, level.Decision(enforcement), relaxed=False)
        kept = ownership.record(found, mine, now.target, enforcement, changed, Level.RESTRICTED)
        if changed:
            record = contest.written(record, effects.WriteNamespace(home, "", changed, {}), NOW)
        present = {**home.labels, **changed}
        home = replace(home, labels={label: text for label, text in present.items() if text is not None})
        seen_so_far.append({label: home.labels.get(label) for label in stood})
    stricter = {labels.PSA_ENFORCE: "restricted", labels.PSA_VERSIONS[0]: "latest"}
    assert seen_so_far[1::2] == [
        stricter,
        *([stood] if lowered else []),
        stood,
        stood if "version" in again else stricter,
        stood,
    ]


def test_what_this_process_wrote_last_is_its_own_before_the_ledger_says_so() -> None:
    """After a loss of the ledger, the next plan knows whose a restored level is.

    The level is restored immediately, and is the operator's. Privileged has no owner.
    """
    home = denied(labels={labels.PSA_ENFORCE: "baseline"}, created=at(days=-2))
    wrote = snapshot.Record(wrote={labels.PSA_ENFORCE: "baseline"})
    assert labels.PSA_ENFORCE not in ownership.owned(seen(namespace=home, ledger=NOT_RECORDED)).labels
    assert labels.PSA_ENFORCE in ownership.owned(seen(namespace=home, ledger=NOT_RECORDED, record=wrote)).labels
    lifted = replace(home, labels={**home.labels, labels.PSA_ENFORCE: "privileged"})
    wrote = snapshot.Record(wrote={labels.PSA_ENFORCE: "privileged"})
    assert labels.PSA_ENFORCE not in ownership.owned(seen(namespace=lifted, ledger=NOT_RECORDED, record=wrote)).labels


# -- the version of the guard --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pinned", "expected"),
    [("latest", "v1.36"), ("v1.30", "v1.30"), ("v1.36", "v1.36"), ("v1.37", "v1.36"), ("v1.100", "v1.36")],
)
def test_the_guard_judges_by_the_version_of_pod_security(pinned: str, expected: str) -> None:
    """The version of the policy, but none that is newer than the API servers: for those `latest` means their own."""
    pod_security = {"version": pinned}
    wanted, _ = changes(denied(), Enforcement.DENY, relaxed=True, kubernetes=KUBERNETES, podSecurity=pod_security)
    assert (wanted[labels.GUARD], wanted[labels.GUARD_VERSION]) == ("baseline", expected)


def test_the_guard_follows_an_upgrade_also_where_the_level_is_restored() -> None:
    """The guard stays there and judges the same pods as Pod Security Admission."""
    guard = {labels.GUARD: "baseline", labels.GUARD_VERSION: "v1.35"}
    for home, relaxed in ((denied(labels=guard), False), (denied(hne(), labels=guard), True)):
        wanted, _ = changes(home, Enforcement.DENY, relaxed=relaxed, kubernetes=KUBERNETES)
        assert wanted[labels.GUARD_VERSION] == "v1.36"


def test_the_version_of_the_guard_stays_while_no_other_is_known() -> None:
    """At the start no API server has been asked yet. A namespace without a guard gets no version."""
    guarded = denied(hne(), labels={labels.GUARD: "baseline", labels.GUARD_VERSION: "v1.35"})
    assert labels.GUARD_VERSION not in changes(guarded, Enforcement.DENY, relaxed=True)[0]
    assert labels.GUARD_VERSION not in changes(denied(), Enforcement.DENY, kubernetes=KUBERNETES)[0]


@pytest.mark.parametrize("enforcement", [Enforcement.AUDIT, Enforcement.HELD, None])
def test_the_version_of_the_guard_goes_with_the_guard(enforcement: Enforcement | None) -> None:
    """Where enforcement ends, and where the namespace is released."""
    guarded = denied(labels={labels.GUARD: "baseline", labels.GUARD_VERSION: "v1.36"})
    exempt = {"exemptNamespaces": [guarded.name]} if enforcement is None else {}
    wanted, _ = changes(guarded, enforcement, kubernetes=KUBERNETES, **exempt)
    assert (wanted[labels.GUARD], wanted[labels.GUARD_VERSION]) == (None, None)
