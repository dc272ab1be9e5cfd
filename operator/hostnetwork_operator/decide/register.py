"""The register: every exception with its state, pods and findings, in the order in which they need attention."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from hostnetwork_operator.api import conditions, exception, labels
from hostnetwork_operator.decide import coverage, findings, plan, rules, snapshot

# Findings that a person must act on soon. The others say what could be better about an exception.
_PRESSING = (rules.EXPIRING, rules.REVIEW_DUE, rules.UNUSED)


@dataclass(frozen=True, slots=True)
class Registered:
    """An exception: the reason of its condition Ready, and the sentence for that reason.

    `covered` is how many pods it covers now, and `remaining` how many pods are left although it has expired. `warnings`
    are the findings that warn. An exception that cannot be read has no `subject`.
    """

    namespace: str
    name: str
    subject: exception.HostNetworkException | None
    state: conditions.Ready | None
    why: str
    in_force: bool
    covered: int
    remaining: int
    warnings: tuple[findings.Finding, ...]

    @property
    def rank(self) -> int:
        """The place in the order of attention; 0 is first."""
        if self.subject is None or (not self.in_force and self.state is not conditions.Ready.EXPIRED):
            return 0
        if self.remaining:
            return 1
        if self.in_force and any(finding.rule in _PRESSING for finding in self.warnings):
            return 2
        if self.in_force:
            return 3
        return 4

    def warns(self, rule: rules.Rule) -> bool:
        """Return whether a finding of this rule warns."""
        return any(finding.rule is rule for finding in self.warnings)

    def ends_within(self, period: datetime.timedelta, now: datetime.datetime) -> bool:
        """Return whether the exception is in force now, and ends within the period."""
        expiry = self.subject.spec.expiry if self.subject is not None else None
        return self.in_force and expiry is not None and expiry <= now + period

    @property
    def review_due(self) -> bool:
        return self.warns(rules.REVIEW_DUE)

    @property
    def unused(self) -> bool:
        """Whether the exception is in force and covers no pod."""
        return self.in_force and not self.covered


def register(pairs: Iterable[tuple[snapshot.NamespaceSnapshot, plan.NamespacePlan]]) -> tuple[Registered, ...]:
    """Return the exceptions of these namespaces, each with its plan."""
    found = [entry for state, namespace_plan in pairs for entry in _of_namespace(state, namespace_plan)]
    return tuple(sorted(found, key=lambda entry: (entry.rank, _end(entry), entry.namespace, entry.name)))


def _of_namespace(state: snapshot.NamespaceSnapshot, namespace_plan: plan.NamespacePlan) -> Iterable[Registered]:
    by_exception = coverage.by_exception((*namespace_plan.judged, *namespace_plan.plain))
    for standing in namespace_plan.standings:
        if not standing.readable:
            continue
        meta = standing.exception.metadata
        counts = coverage.count(by_exception.get(meta.uid, ()), unreadable=0)
        yield Registered(
            namespace=meta.namespace,
            name=meta.name,
            subject=standing.exception,
            state=standing.reason,
            why=standing.why,
            in_force=standing.in_force,
            covered=counts[labels.Verdict.COVERED],
            remaining=counts[labels.Verdict.EXPIRED],
            warnings=tuple(f for f in namespace_plan.findings if f.subject.uid == meta.uid and f.warns),
        )
    for unreadable in state.unreadable_exceptions:
        why = f"the exception cannot be read: {unreadable.why}"
        yield Registered(
            unreadable.namespace, unreadable.name, None, None, why, in_force=False, covered=0, remaining=0, warnings=()
        )


def _end(entry: Registered) -> datetime.datetime:
    """Return the end of an exception, for the order: what ends first comes first, and what has ended long ago last."""
    if entry.subject is None:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)
    return entry.subject.spec.until
