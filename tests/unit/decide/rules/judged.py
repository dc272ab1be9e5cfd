"""Helpers for the tests of all rules: the result of a rule, and what is reported and shown about the exception."""

import datetime
from typing import Any

from hostnetwork_operator.api import conditions, exception
from hostnetwork_operator.decide import effects, findings, rules, snapshot
from tests.unit.builders import NOW, at, governed, planned, seen, statuses

V136 = snapshot.MinorVersion(1, 36)
OLD = {"metadata": {"creation_timestamp": at(hours=-4320)}}
AGENT: dict[str, Any] = {"type": "Infrastructure"}


def example(subject: exception.HostNetworkException, *pods: snapshot.Pod) -> snapshot.NamespaceSnapshot:
    """Return a namespace in which the tested rule warns: on Kubernetes 1.36, with ordinary pods.

    The page of the rule shows why it warns.
    """
    return seen(subject, *pods, kubernetes=V136, ordinary_pods=True)


def warns(rule: rules.Rule, state: snapshot.NamespaceSnapshot) -> findings.Finding:
    """Return the finding of the rule, which must warn."""
    (finding,) = [finding for finding in planned(state).findings if finding.rule is rule]
    assert finding.warns, finding
    return finding


def result_of(
    rule: rules.Rule,
    subject: exception.HostNetworkException,
    *pods: snapshot.Pod,
    policy_state: snapshot.PolicyState | None = None,
    kubernetes: snapshot.MinorVersion | None = V136,
    now: datetime.datetime = NOW,
) -> str | None:
    """Return the result word of the rule for the exception; None if the rule does not apply to the exception."""
    plan = planned(seen(subject, *pods, policy=policy_state or governed(), kubernetes=kubernetes), now)
    results = [finding.result.value for finding in plan.findings if finding.rule is rule]
    return results[0] if results else None


def events(plan: Any) -> dict[str, effects.EmitEvent]:
    """Return the Events about the exception, by reason."""
    writes = [e for e in plan.effects if isinstance(e, effects.WriteExceptionStatus)]
    return {event.reason: event for write in writes for event in write.events if event.regarding.name == "net"}


def in_use_message(plan: Any) -> str:
    """Return the message of the InUse condition that the plan writes."""
    return _condition(plan, conditions.ConditionType.IN_USE).message


def condition(plan: Any, kind: conditions.ConditionType) -> tuple[str, str]:
    """Return the status and the reason of a condition that the plan writes."""
    written = _condition(plan, kind)
    return written.status, written.reason


def _condition(plan: Any, kind: conditions.ConditionType) -> conditions.Condition:
    written = conditions.find(statuses(plan)["net"].conditions, kind)
    assert written is not None
    return written
