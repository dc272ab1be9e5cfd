"""What the tests of all rules ask of a plan: the result of a rule, and what is reported and shown of the exception."""

import datetime
from typing import Any

from hostnetwork_operator.api import conditions, exception
from hostnetwork_operator.decide import effects, findings, rules, snapshot
from tests.unit.builders import NOW, at, governed, planned, seen, statuses

V136 = snapshot.MinorVersion(1, 36)
OLD = {"metadata": {"creation_timestamp": at(hours=-4320)}}
AGENT: dict[str, Any] = {"type": "Infrastructure"}


def example(subject: exception.HostNetworkException, *pods: snapshot.Pod) -> snapshot.NamespaceSnapshot:
    """A namespace in which the rule of the test warns: on 1.36, beside ordinary pods. The rule's page shows why."""
    return seen(subject, *pods, kubernetes=V136, ordinary_pods=True)


def warns(rule: rules.Rule, warned: snapshot.NamespaceSnapshot) -> findings.Finding:
    """The finding of that rule, which must warn."""
    (finding,) = [finding for finding in planned(warned).findings if finding.rule is rule]
    assert finding.warns, finding
    return finding


def result_of(
    rule: rules.Rule,
    subject: exception.HostNetworkException,
    *pods: snapshot.Pod,
    state: snapshot.PolicyState | None = None,
    kubernetes: snapshot.MinorVersion | None = V136,
    now: datetime.datetime = NOW,
) -> str | None:
    """The result word of the rule about that exception, None if the rule does not apply to it."""
    plan = planned(seen(subject, *pods, policy=state or governed(), kubernetes=kubernetes), now)
    results = [finding.result.value for finding in plan.findings if finding.rule is rule]
    return results[0] if results else None


def events(plan: Any) -> dict[str, effects.EmitEvent]:
    """Reason to Event on the exception."""
    writes = [e for e in plan.effects if isinstance(e, effects.WriteExceptionStatus)]
    return {event.reason: event for write in writes for event in write.events if event.regarding.name == "net"}


def in_use_message(plan: Any) -> str:
    """The message of the condition InUse that the plan writes."""
    return _condition(plan, conditions.ConditionType.IN_USE).message


def condition(plan: Any, kind: conditions.ConditionType) -> tuple[str, str]:
    """Status and reason of a condition that the plan writes."""
    written = _condition(plan, kind)
    return written.status, written.reason


def _condition(plan: Any, kind: conditions.ConditionType) -> conditions.Condition:
    written = conditions.find(statuses(plan)["net"].conditions, kind)
    assert written is not None
    return written
