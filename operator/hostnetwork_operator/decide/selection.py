"""Which rule of the policy a namespace is under, although rules select by labels.

namespace-labels keeps labels under our prefix from everybody without the verb setlevel. In a moment without that policy
a tenant may set such a label, and would leave Enforce for good. So the ledger keeps the labels that somebody with
setlevel set. A label that nothing proves can only make things stricter. Labels under other prefixes belong to whoever
may write the Namespace; rule-selectors warns who selects by one.
"""

import datetime
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from hostnetwork_operator.api import labels, ledger, policy
from hostnetwork_operator.decide import level, snapshot

_STATES: Final = (labels.ENFORCEMENT, labels.GUARD)  # written by the operator; no rule needs to select by them
# Before the policy came a tenant may have set any number of labels under our prefix, and the ledger has to hold them.
_MOST_LABELS, _MOST_BYTES = 64, 4096


def settings(seen: snapshot.NamespaceSnapshot) -> level.Settings:
    """Return how the policy wants the namespace, by its labels as far as they are proved."""
    namespace, claimed, proved = seen.namespace, present(seen.namespace), _proved(seen)
    by_present = level.settings_for(namespace, seen.policy)
    if proved == claimed:
        return by_present
    free = {key: value for key, value in namespace.labels.items() if key not in claimed}
    by_proved = level.settings_for(replace(namespace, labels={**free, **proved}), seen.policy)
    return _stricter(by_proved, by_present)


def record(seen: snapshot.NamespaceSnapshot, now: datetime.datetime) -> tuple[Mapping[str, str], str]:
    """Return the labels that the ledger is to keep, and the identity of namespace-labels that they were read under.

    Labels that nothing proves are kept once they are as the ledger has them: somebody has to take them off and set them
    again under the policy.
    """
    guard = seen.guards.get(labels.POLICY_NAMESPACE_LABELS)
    identity = guard.identity if guard is not None and guard.since is not None else ""
    claimed, proved, under = present(seen.namespace), _proved(seen), _under(seen)
    if identity and under == identity:
        return kept(claimed), identity
    if guard is not None and guard.counts(now) and proved == claimed:
        return kept(claimed), identity
    return proved if under else {}, under


def kept(chosen: Mapping[str, str]) -> Mapping[str, str]:
    """Return the labels that the ledger keeps: none if they are more than any rule needs."""
    size = sum(len(key) + len(value) for key, value in chosen.items())
    return chosen if len(chosen) <= _MOST_LABELS and size <= _MOST_BYTES else {}


def present(namespace: snapshot.Namespace) -> dict[str, str]:
    """Return the labels under our prefix that a rule may select by."""
    prefix = f"{labels.GROUP}/"
    return {k: v for k, v in namespace.labels.items() if k.startswith(prefix) and k not in _STATES}


def _proved(seen: snapshot.NamespaceSnapshot) -> dict[str, str]:
    """Those that a holder of setlevel set: what the ledger has or, before there is a record, what was there on a
    namespace that was created under namespace-labels.
    """
    known = seen.ledger.namespace
    if known is not None and known.under:
        return dict(known.chosen)
    guard = seen.guards.get(labels.POLICY_NAMESPACE_LABELS)
    settled = guard.settled if guard is not None else None
    created = seen.namespace.created
    born_under = settled is not None and created >= settled
    believed = born_under or seen.policy.trusts(created) or _is_what_stands(seen)
    return dict(kept(present(seen.namespace))) if believed else {}


def _is_what_stands(seen: snapshot.NamespaceSnapshot) -> bool:
    """Whether the ledger is lost or cannot be read, and the labels loosen nothing that is enforced.

    Then a rule that was in force goes on, and a label that was not believed before the loss is not believed after it.
    """
    namespace = seen.namespace
    if seen.ledger.state not in {ledger.State.LOST, ledger.State.UNREADABLE}:
        return False
    if namespace.enforcement is not labels.Enforcement.DENY:
        return True
    asked = level.settings_for(namespace, seen.policy)
    held_to = namespace.labels.get(labels.GUARD, namespace.labels.get(labels.PSA_ENFORCE))
    strict = level.strictness(held_to, absent=labels.Level.PRIVILEGED)
    return asked.mode is not policy.Mode.AUDIT and asked.target.strictness >= strict


def _under(seen: snapshot.NamespaceSnapshot) -> str:
    return seen.ledger.namespace.under if seen.ledger.namespace is not None else ""


def _stricter(one: level.Settings, other: level.Settings) -> level.Settings:
    """The two of one namespace, field by field what refuses more."""
    modes, rollouts = {one.mode, other.mode}, {one.rollout, other.rollout}
    return replace(
        one,
        mode=policy.Mode.ENFORCE if policy.Mode.ENFORCE in modes else one.mode,
        target=max(one.target, other.target, key=lambda target: target.strictness),
        rollout=policy.Rollout.IMMEDIATE if policy.Rollout.IMMEDIATE in rollouts else one.rollout,
    )
