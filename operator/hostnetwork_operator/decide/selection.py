"""Which rule of the policy applies to a namespace, although rules select by labels that a tenant may forge.

namespace-labels lets only holders of the verb setlevel write labels under our prefix. In a moment without that policy,
a tenant could set such a label and leave Enforce for good. So the ledger keeps the labels that a holder of setlevel
set, and a label that nothing proves can only make things stricter. Every user who may write the Namespace may set
labels under other prefixes; rule-selectors warns a user who writes a rule that selects by such a label.
"""

import datetime
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from hostnetwork_operator.api import labels, ledger, policy
from hostnetwork_operator.decide import level, snapshot

# Written by the operator; no rule needs to select by them.
_STATES: Final = (labels.ENFORCEMENT, labels.GUARD, labels.GUARD_VERSION)
# Before namespace-labels was installed, a tenant may have set any number of labels under our prefix. The ledger needs
# room for the labels that it keeps.
_MOST_LABELS, _MOST_BYTES = 64, 4096


def settings(state: snapshot.NamespaceSnapshot) -> level.Settings:
    """Return how the policy wants the namespace, by its proved labels and, where that is stricter, by all its
    labels.
    """
    namespace, claimed, proved = state.namespace, present(state.namespace), _proved(state)
    by_present = level.settings_for(namespace, state.policy)
    if proved == claimed:
        return by_present
    free = {key: value for key, value in namespace.labels.items() if key not in claimed}
    by_proved = level.settings_for(replace(namespace, labels={**free, **proved}), state.policy)
    return _stricter(by_proved, by_present)


class ChosenLabels(NamedTuple):
    """The labels that rules select by, as the ledger keeps them, and the identity of namespace-labels that they were
    read under.
    """

    chosen: Mapping[str, str]
    under: str


def record(state: snapshot.NamespaceSnapshot, now: datetime.datetime) -> ChosenLabels:
    """Return the labels that the ledger is to keep, and the identity of namespace-labels that they were read under.

    A label that nothing proves is not kept. A holder of setlevel must remove such a label, so that the labels are those
    of the ledger again, and must then set the label again while namespace-labels is in place.
    """
    guard = state.guards.get(labels.POLICY_NAMESPACE_LABELS)
    identity = guard.identity if guard is not None and guard.since is not None else ""
    claimed, proved, under = present(state.namespace), _proved(state), _proved_under(state)
    if identity and under == identity:
        return ChosenLabels(recordable(claimed), identity)
    if guard is not None and guard.counts(now) and proved == claimed:
        return ChosenLabels(recordable(claimed), identity)
    return ChosenLabels(proved if under else {}, under)


def recordable(chosen: Mapping[str, str]) -> Mapping[str, str]:
    """Return the labels that the ledger keeps: none of them if there are more than any rule needs."""
    size = sum(len(key) + len(value) for key, value in chosen.items())
    return chosen if len(chosen) <= _MOST_LABELS and size <= _MOST_BYTES else {}


def present(namespace: snapshot.Namespace) -> dict[str, str]:
    """Return the labels under our prefix that a rule may select by."""
    prefix = f"{labels.GROUP}/"
    return {k: v for k, v in namespace.labels.items() if k.startswith(prefix) and k not in _STATES}


def _proved(state: snapshot.NamespaceSnapshot) -> dict[str, str]:
    """Return the labels that a holder of setlevel set: those in the ledger or, before the ledger has a record, those on
    a namespace that was created under namespace-labels.
    """
    recorded = state.ledger.namespace
    if recorded is not None and recorded.under:
        return dict(recorded.chosen)
    guard = state.guards.get(labels.POLICY_NAMESPACE_LABELS)
    settled = guard.settled if guard is not None else None
    created = state.namespace.created
    born_under = settled is not None and created >= settled
    believed = born_under or state.policy.trusts(created) or _is_what_stands(state)
    return dict(recordable(present(state.namespace))) if believed else {}


def _is_what_stands(state: snapshot.NamespaceSnapshot) -> bool:
    """Return whether the ledger is lost or cannot be read, and the labels loosen nothing that is enforced.

    Then a rule that was in force stays in force, and a label that was not believed before the loss is not believed
    after the loss.
    """
    namespace = state.namespace
    if state.ledger.state not in {ledger.State.LOST, ledger.State.UNREADABLE}:
        return False
    if namespace.enforcement is not labels.Enforcement.DENY:
        return True
    by_labels = level.settings_for(namespace, state.policy)
    enforced_level = namespace.labels.get(labels.GUARD, namespace.labels.get(labels.PSA_ENFORCE))
    strict = level.strictness(enforced_level, absent=labels.Level.PRIVILEGED)
    return by_labels.mode is not policy.Mode.AUDIT and by_labels.target.strictness >= strict


def _proved_under(state: snapshot.NamespaceSnapshot) -> str:
    return state.ledger.namespace.under if state.ledger.namespace is not None else ""


def _stricter(first: level.Settings, second: level.Settings) -> level.Settings:
    """Return the settings that refuse more, field by field, of two settings for the same namespace."""
    modes, rollouts = {first.mode, second.mode}, {first.rollout, second.rollout}
    return replace(
        first,
        mode=policy.Mode.ENFORCE if policy.Mode.ENFORCE in modes else first.mode,
        target=max(first.target, second.target, key=lambda target: target.strictness),
        rollout=policy.Rollout.IMMEDIATE if policy.Rollout.IMMEDIATE in rollouts else first.rollout,
    )
