"""Whether our admission policies are in place; `grants` says which of them a grant rests on.

A policy is in place if its text is that of this release or of the release before, its failurePolicy is Fail, a binding
that selects what ours selects says Deny, and neither object is being deleted. A policy that is bound only to audit is
somebody's choice: it refuses nothing, so nothing is relaxed on its account.
"""

import datetime
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hostnetwork_operator.api import fingerprint, labels, ledger
from hostnetwork_operator.decide import snapshot

Release = Mapping[str, fingerprint.Shipped]
# How much time may pass between applying the files of a release and starting the operator of that release
# (docs/explanation/architecture.md#when-an-admission-policy-is-missing).
_UPGRADE: Final = datetime.timedelta(seconds=60)
_APPLY: Final = "run kubectl apply -k manifests/admission"
# `kubectl apply` leaves what somebody has added: a match condition, a key of a selector (measured).
_REPLACE: Final = "run kubectl replace --save-config -k manifests/admission"


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """A ValidatingAdmissionPolicy, reduced to what `judge` needs. `selects` and `says` are fingerprints."""

    name: str
    uid: str
    generation: int
    created: datetime.datetime
    fails_closed: bool = field(kw_only=True)
    selects: str
    says: str
    deleting: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Binding:
    """A ValidatingAdmissionPolicyBinding, reduced to what `judge` needs. `bound` is a fingerprint."""

    name: str
    uid: str
    generation: int
    created: datetime.datetime
    policy: str
    denies: bool = field(kw_only=True)
    bound: str
    deleting: bool = field(default=False, kw_only=True)


def judge(
    policies: Iterable[AdmissionPolicy],
    bindings: Iterable[Binding],
    releases: Sequence[Release],
    records: Mapping[str, ledger.GuardRecord],
    now: datetime.datetime,
) -> dict[str, snapshot.Guard]:
    """Return a Guard for each policy of ours, by name.

    `releases` are the releases whose policies count. Each policy is judged by itself: in the middle of an upgrade there
    are policies of both releases. `records` says which identity of a policy is in place since when. A policy whose
    identity is not in `records`, and that was changed after its creation, counts from `now`.
    """
    present = {policy.name: policy for policy in policies}
    ordered = sorted(bindings, key=lambda binding: (binding.created, binding.name))
    guards = {}
    for name in labels.POLICIES:
        shipped = [release[name] for release in releases if name in release]
        of_this = [b for b in ordered if b.policy == name]
        guards[name] = _judge(name, present.get(name), of_this, shipped, records.get(name), now)
    return guards


def record(guard: snapshot.Guard) -> ledger.GuardRecord | None:
    """Return the record of a guard that the ledger is to keep; None if the guard has no moment from which it counts."""
    since = guard.since or (guard.excused - _UPGRADE if guard.excused is not None else None)
    return None if since is None else ledger.GuardRecord(identity=guard.identity, since=since)


def _judge(
    name: str,
    policy: AdmissionPolicy | None,
    bindings: list[Binding],
    shipped: Sequence[fingerprint.Shipped],
    recorded: ledger.GuardRecord | None,
    now: datetime.datetime,
) -> snapshot.Guard:
    denying = [binding for binding in bindings if binding.denies and not binding.deleting]
    matching = [binding for binding in denying if binding.bound in {release.bound for release in shipped}]
    subject = f"ValidatingAdmissionPolicy {name!r}"
    if policy is None or policy.deleting:
        return snapshot.Guard(name, None, f"{subject} is missing; {_APPLY}")
    if not policy.fails_closed:
        return snapshot.Guard(name, None, f"{subject} must have failurePolicy: Fail; {_APPLY}")
    if policy.selects not in {release.selects for release in shipped}:
        return snapshot.Guard(name, None, f"matchConstraints of {subject} differ from the shipped policy; {_REPLACE}")
    if not denying:
        return snapshot.Guard(name, None, f"{subject} has no binding with validationActions Deny; {_APPLY}")
    if not matching:
        named = ", ".join(repr(binding.name) for binding in denying)
        why_not = f"{subject} is bound by {named} to other requests than in the shipped binding; {_REPLACE}"
        return snapshot.Guard(name, None, why_not)
    present = _since(policy, matching[0], recorded, now)
    if policy.says not in {release.says for release in shipped}:
        why_not = (
            f"expressions of {subject} differ from those of this release and of the release before; {_REPLACE}"
            " from the files of the operator's release"
        )
        return snapshot.Guard(name, None, why_not, present.since + _UPGRADE, present.identity)
    return snapshot.Guard(name, present.since, identity=present.identity)


def _since(
    policy: AdmissionPolicy, binding: Binding, recorded: ledger.GuardRecord | None, now: datetime.datetime
) -> ledger.GuardRecord:
    """Return the identity of a policy and its binding, and the moment from which this identity counts.

    The API server raises the generation with every change of a spec. A first generation counts from the creation of the
    object. Of a later generation only the time is known at which the operator saw it.
    """
    text = f"{policy.uid} {policy.generation} {binding.uid} {binding.generation}"
    identity = hashlib.sha256(text.encode()).hexdigest()[:16]
    if recorded is not None and recorded.identity == identity:
        return recorded
    if (policy.generation, binding.generation) == (1, 1):
        return ledger.GuardRecord(identity=identity, since=max(policy.created, binding.created))
    return ledger.GuardRecord(identity=identity, since=now)


def first_uncounted(
    guards: Iterable[snapshot.Guard], names: Iterable[str], now: datetime.datetime
) -> snapshot.Guard | None:
    """Return the first of the named guards on which nothing new may rest, if any.

    A missing guard comes before a guard that is only not in force yet. So the same guard is named whether or not
    something rested on the guards before.
    """
    uncounted = [guard for guard in _named(guards, names) if not guard.counts(now)]
    return min(uncounted, key=lambda guard: not guard.missing(now), default=None)


def first_missing(
    guards: Iterable[snapshot.Guard], names: Iterable[str], now: datetime.datetime
) -> snapshot.Guard | None:
    """Return the first of the named guards that is missing, so that what rests on it ends; None if there is none."""
    return next((guard for guard in _named(guards, names) if guard.missing(now)), None)


def _named(guards: Iterable[snapshot.Guard], names: Iterable[str]) -> list[snapshot.Guard]:
    by_name = {guard.name: guard for guard in guards}
    return [
        by_name.get(name, snapshot.Guard(name, None, "the operator has not read the admission policies yet"))
        for name in names
    ]
