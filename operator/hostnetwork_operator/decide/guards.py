"""Whether our admission policies are in place; which of them a grant rests on is said in `grants`.

In place: the policy says what this release or the one before ships, failurePolicy Fail, a binding of it that selects
what ours does says Deny, neither is being deleted. A policy bound only to audit is somebody's configuration: nothing is
refused by it, so nothing is relaxed on its account.
"""

import datetime
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hostnetwork_operator.api import fingerprint, labels, ledger
from hostnetwork_operator.decide import snapshot

Release = Mapping[str, fingerprint.Shipped]
# How long the files of a release and its operator may take to follow each other
# (docs/explanation/architecture.md#when-an-admission-policy-is-missing).
_UPGRADE: Final = datetime.timedelta(seconds=60)
_APPLY: Final = "kubectl apply -k manifests/admission"
# apply leaves what somebody has added: a match condition, a key of a selector (measured).
_REPLACE: Final = "kubectl replace --save-config -k manifests/admission"


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """A ValidatingAdmissionPolicy, reduced. `selects` and `says` are fingerprints."""

    name: str
    uid: str
    generation: int
    created: datetime.datetime
    fails_closed: bool
    selects: str
    says: str
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """A ValidatingAdmissionPolicyBinding, reduced. `bound` is a fingerprint."""

    name: str
    uid: str
    generation: int
    created: datetime.datetime
    policy: str
    denies: bool
    bound: str
    deleting: bool = False


def judge(
    policies: Iterable[AdmissionPolicy],
    bindings: Iterable[Binding],
    releases: Sequence[Release],
    known: Mapping[str, ledger.GuardRecord],
    now: datetime.datetime,
) -> dict[str, snapshot.Guard]:
    """Return a Guard for each policy of ours, by name. `releases` are those whose policies count, each for itself: in
    the middle of an upgrade there are some of both. `known` says since when what identity has been there; one that is
    not in there, and is not as it was created, counts from `now`.
    """
    present = {policy.name: policy for policy in policies}
    bound = sorted(bindings, key=lambda binding: (binding.created, binding.name))
    made = {}
    for name in labels.POLICIES:
        shipped = [release[name] for release in releases if name in release]
        of_this = [b for b in bound if b.policy == name]
        made[name] = _judge(name, present.get(name), of_this, shipped, known.get(name), now)
    return made


def record(guard: snapshot.Guard) -> ledger.GuardRecord | None:
    """Return what is to be remembered of a guard; None where there is nothing to tell it by."""
    since = guard.since or (guard.excused - _UPGRADE if guard.excused is not None else None)
    return None if since is None else ledger.GuardRecord(identity=guard.identity, since=since)


def _judge(
    name: str,
    policy: AdmissionPolicy | None,
    bindings: list[Binding],
    shipped: Sequence[fingerprint.Shipped],
    known: ledger.GuardRecord | None,
    now: datetime.datetime,
) -> snapshot.Guard:
    denying = [binding for binding in bindings if binding.denies and not binding.deleting]
    ours = [binding for binding in denying if binding.bound in {one.bound for one in shipped}]
    subject = f"ValidatingAdmissionPolicy {name!r}"
    if policy is None or policy.deleting:
        return snapshot.Guard(name, None, f"{subject} is missing; {_APPLY}")
    if not policy.fails_closed:
        return snapshot.Guard(name, None, f"{subject} has not failurePolicy: Fail; {_APPLY}")
    if policy.selects not in {one.selects for one in shipped}:
        return snapshot.Guard(name, None, f"matchConstraints of {subject} are not ours; {_REPLACE}")
    if not denying:
        return snapshot.Guard(name, None, f"{subject} has no binding with Deny; {_APPLY}")
    if not ours:
        named = ", ".join(repr(binding.name) for binding in denying)
        return snapshot.Guard(name, None, f"{subject} is bound by {named} to other requests than ours; {_REPLACE}")
    identity, since = _since(policy, ours[0], known, now)
    if policy.says not in {one.says for one in shipped}:
        why_not = (
            f"expressions of {subject} are not those of this release of the operator nor of the one before; {_REPLACE}"
            " of the release that the operator has"
        )
        return snapshot.Guard(name, None, why_not, since + _UPGRADE, identity)
    return snapshot.Guard(name, since, identity=identity)


def _since(
    policy: AdmissionPolicy, binding: Binding, known: ledger.GuardRecord | None, now: datetime.datetime
) -> tuple[str, datetime.datetime]:
    """The identity of both, and since when they are so.

    The API server raises the generation with every change of a spec. The first generation is as old as the object; of
    a later one only that it was seen is known.
    """
    text = f"{policy.uid} {policy.generation} {binding.uid} {binding.generation}"
    identity = hashlib.sha256(text.encode()).hexdigest()[:16]
    if known is not None and known.identity == identity:
        return identity, known.since
    if (policy.generation, binding.generation) == (1, 1):
        return identity, max(policy.created, binding.created)
    return identity, now


def first_uncounted(
    guards: Iterable[snapshot.Guard], names: Iterable[str], now: datetime.datetime
) -> snapshot.Guard | None:
    """The first of the named guards on which nothing new may rest, if any: a missing one before one that only is not in
    force yet, so that it is told the same whether something rested on them before or not.
    """
    uncounted = [guard for guard in _named(guards, names) if not guard.counts(now)]
    return min(uncounted, key=lambda guard: not guard.missing(now), default=None)


def first_missing(
    guards: Iterable[snapshot.Guard], names: Iterable[str], now: datetime.datetime
) -> snapshot.Guard | None:
    """The first of the named guards without which what rests on it ends, if any."""
    return next((guard for guard in _named(guards, names) if guard.missing(now)), None)


def _named(guards: Iterable[snapshot.Guard], names: Iterable[str]) -> list[snapshot.Guard]:
    by_name = {guard.name: guard for guard in guards}
    return [by_name.get(name, snapshot.Guard(name, None, "admission policies were not read yet")) for name in names]
