"""The findings about an exception: who gets an Event about them, and when.

Each rule has its own test file in rules/.
"""

import pytest

from hostnetwork_operator.api import conditions, policy
from hostnetwork_operator.decide import effects, findings, rules, snapshot
from tests.unit.builders import ABSENT, NAMESPACE, UNKNOWN, at, governed, hne, planned, pod, seen, statuses
from tests.unit.decide.rules import judged


@pytest.mark.parametrize("rule", [rules.EXPIRING, rules.REVIEW_DUE, rules.UNUSED])
def test_where_the_policy_is_not_known_its_rules_cannot_be_judged(rule: rules.Rule) -> None:
    """The result is an error, and the conditions stay as they are.

    Without any policy, the defaults of the policy count.
    """
    subject = hne(**judged.AGENT, expiry=at(hours=1))
    assert judged.result_of(rule, subject, policy_state=UNKNOWN) == "error"
    assert judged.result_of(rule, subject) == judged.result_of(rule, subject, policy_state=ABSENT)
    plan = planned(seen(subject, policy=UNKNOWN))
    kinds = {condition.type for condition in statuses(plan)["net"].conditions}
    assert {"Ready", "InUse"} == kinds


def test_a_finding_is_told_when_it_appears_and_not_again() -> None:
    """The Event is a warning on the exception, with the remedy. Once the status has the finding, no Event follows."""
    subject = hne(expiry=at(minutes=20))
    first_plan = planned(seen(subject))
    assert {"Active", "Expiring", "ImageNotPinned", "ContactMissing"} == set(judged.events(first_plan))
    event = judged.events(first_plan)["ContactMissing"]
    assert (event.type, event.regarding.name) == ("Warning", "net")
    assert "how to reach owner 'team-sre-network'; set spec.contact: kubectl patch hne" in event.message
    assert "kubectl patch hne net -n payments" in event.message
    state = seen(hne(expiry=at(minutes=20), status=statuses(first_plan)["net"]), pod())
    assert judged.events(planned(state)) == {}


def test_a_changed_spec_is_told_of_again() -> None:
    """Everything that a person has just written is evaluated again."""
    status = statuses(planned(seen(hne())))["net"]
    subject = hne(status=status, metadata={"generation": 2})
    assert {"ImageNotPinned", "ContactMissing"} == set(judged.events(planned(seen(subject))))


def test_pods_and_owners_are_told_of_the_end() -> None:
    """Ten pods and their owners get one Event each."""
    owner = snapshot.Reference("Deployment", NAMESPACE, "proxy", "uid-of-proxy", "apps/v1")
    subject = hne(type="Application", expiry=at(hours=100))
    plan = planned(seen(subject, *(pod(f"pod-{n:02}", owner=owner) for n in range(12))))
    (write,) = [e for e in plan.effects if isinstance(e, effects.WriteExceptionStatus)]
    names = [event.regarding.name for event in write.events if event.reason == "Expiring"]
    assert ["net", *(f"pod-{n:02}" for n in range(10)), "proxy"] == names


def test_in_exempt_namespaces_nobody_is_told() -> None:
    """The findings exist nevertheless, and so do the conditions."""
    plan = planned(seen(hne(), policy=governed(exempt_namespaces=(NAMESPACE,))))
    assert judged.events(plan) == {}
    assert plan.findings
    assert judged.condition(plan, conditions.ConditionType.EXPIRING) == ("False", "NotSoon")


def test_in_use_says_what_is_too_wide_and_what_is_unused() -> None:
    """The reason of InUse changes, its status does not."""
    wide_plan = planned(seen(hne(privileged=True), pod()))
    assert judged.condition(wide_plan, conditions.ConditionType.IN_USE) == ("True", "TooWide")
    unused_plan = planned(seen(hne(**judged.AGENT, **judged.OLD)))
    assert judged.condition(unused_plan, conditions.ConditionType.IN_USE) == ("False", "Unused")
    assert {"TooWide"} <= set(judged.events(wide_plan))
    assert {"Unused"} <= set(judged.events(unused_plan))


def test_every_rule_has_another_id_and_a_remedy_filled_in() -> None:
    """No placeholder in angle brackets is left."""
    all_findings = planned(seen(hne(**judged.AGENT, privileged=True), kubernetes=judged.V136)).findings
    all_findings += planned(seen(hne())).findings
    assert len({rule.id for rule in rules.RULES}) == len(rules.RULES)
    assert {finding.rule for finding in all_findings} == set(rules.RULES)
    assert [finding.remedy for finding in all_findings if "<" in finding.remedy] == []


def test_the_settings_are_the_policys() -> None:
    """Without a policy the defaults count. If the policy is not known, there are no settings."""
    assert policy.Exceptions() == findings.settings_of(ABSENT)
    assert None is findings.settings_of(UNKNOWN)
    assert governed(exceptions={"unusedAfter": "1h"}).spec is not None
