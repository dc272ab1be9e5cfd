"""Whether our admission policies are in place; which of them a grant rests on is said in `grants`.

In place: the policy says what this release or the one before ships, failurePolicy Fail, a binding of it that selects
what ours does says Deny, neither is being deleted. A policy bound only to audit is somebody's configuration: nothing is
refused by it, so nothing is relaxed on its account.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hostnetwork_operator.api import fingerprint, labels
from hostnetwork_operator.decide import snapshot

Release = Mapping[str, fingerprint.Shipped]
# How long the files of a release and its operator may take to follow each other (design, section 5).
_UPGRADE: Final = datetime.timedelta(seconds=60)
_APPLY: Final = "kubectl apply -k manifests/admission"
# apply leaves what somebody has added: a match condition, a key of a selector (measured).
_REPLACE: Final = "kubectl replace --save-config -k manifests/admission"


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """A ValidatingAdmissionPolicy, reduced. `changed` is when it was made or its spec was last changed; `selects`
    and `says` are fingerprints.
    """

    name: str
    changed: datetime.datetime
    fails_closed: bool
    selects: str
    says: str
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """A ValidatingAdmissionPolicyBinding, reduced. `changed` as above; `bound` is a fingerprint."""

    name: str
    policy: str
    changed: datetime.datetime
    denies: bool
    bound: str
    deleting: bool = False


def judge(
    policies: Iterable[AdmissionPolicy], bindings: Iterable[Binding], releases: Sequence[Release]
) -> dict[str, snapshot.Guard]:
    """A Guard for each policy of ours, by name. `releases` are those whose policies count, each for itself: in the
    middle of an upgrade there are some of both.
    """
    present = {policy.name: policy for policy in policies}
    bound = sorted(bindings, key=lambda binding: binding.name)
    made = {}
    for name in labels.POLICIES:
        known = [release[name] for release in releases if name in release]
        made[name] = _judge(name, present.get(name), [b for b in bound if b.policy == name], known)
    return made


def _judge(
    name: str, policy: AdmissionPolicy | None, bindings: list[Binding], known: Sequence[fingerprint.Shipped]
) -> snapshot.Guard:
    denying = [binding for binding in bindings if binding.denies and not binding.deleting]
    ours = [binding for binding in denying if binding.bound in {shipped.bound for shipped in known}]
    subject = f"ValidatingAdmissionPolicy {name!r}"
    if policy is None or policy.deleting:
        return snapshot.Guard(name, None, f"{subject} is missing; {_APPLY}")
    if not policy.fails_closed:
        return snapshot.Guard(name, None, f"{subject} has not failurePolicy: Fail; {_APPLY}")
    if policy.selects not in {shipped.selects for shipped in known}:
        return snapshot.Guard(name, None, f"matchConstraints of {subject} are not ours; {_REPLACE}")
    if not denying:
        return snapshot.Guard(name, None, f"{subject} has no binding with Deny; {_APPLY}")
    if not ours:
        named = ", ".join(repr(binding.name) for binding in denying)
        return snapshot.Guard(name, None, f"{subject} is bound by {named} to other requests than ours; {_REPLACE}")
    if policy.says not in {shipped.says for shipped in known}:
        why_not = (
            f"expressions of {subject} are not those of this release of the operator nor of the one before; {_REPLACE}"
            " of the release that the operator has"
        )
        return snapshot.Guard(name, None, why_not, policy.changed + _UPGRADE)
    return snapshot.Guard(name, max(policy.changed, min(binding.changed for binding in ours)))


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
