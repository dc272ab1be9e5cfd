"""Whether our admission policies are in place; which of them a grant rests on is said in `grants`.

In place: the policy says failurePolicy Fail, a binding of it says Deny, neither is being deleted. A policy bound only
to audit is somebody's configuration: nothing is refused by it, so nothing is relaxed on its account.
"""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import snapshot


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """A ValidatingAdmissionPolicy, reduced."""

    name: str
    created: datetime.datetime
    fails_closed: bool
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """A ValidatingAdmissionPolicyBinding, reduced."""

    name: str
    policy: str
    created: datetime.datetime
    denies: bool
    deleting: bool = False


def judge(policies: Iterable[AdmissionPolicy], bindings: Iterable[Binding]) -> dict[str, snapshot.Guard]:
    """A Guard for each policy of ours, by name."""
    known = {policy.name: policy for policy in policies}
    bound = sorted(bindings, key=lambda binding: binding.name)
    return {name: _judge(name, known.get(name), [b for b in bound if b.policy == name]) for name in labels.POLICIES}


def _judge(name: str, policy: AdmissionPolicy | None, bindings: list[Binding]) -> snapshot.Guard:
    denying = [binding for binding in bindings if binding.denies and not binding.deleting]
    if policy is None or policy.deleting:
        return snapshot.Guard(name, None, f"ValidatingAdmissionPolicy {name!r} is missing")
    if not policy.fails_closed:
        return snapshot.Guard(name, None, f"ValidatingAdmissionPolicy {name!r} has not failurePolicy: Fail")
    if not denying:
        return snapshot.Guard(name, None, f"ValidatingAdmissionPolicy {name!r} has no binding with Deny")
    return snapshot.Guard(name, max(policy.created, min(binding.created for binding in denying)))


def first_missing(
    guards: Iterable[snapshot.Guard], names: Iterable[str], now: datetime.datetime
) -> snapshot.Guard | None:
    """The first of the named guards that does not count yet, if any."""
    by_name = {guard.name: guard for guard in guards}
    for name in names:
        guard = by_name.get(name, snapshot.Guard(name, None, "admission policies were not read yet"))
        if not guard.counts(now):
            return guard
    return None
