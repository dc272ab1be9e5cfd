"""An exception that does not say how its owner is reached."""

from typing import Final

from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide.rules import rule


def _judge(case: rule.Case) -> rule.Judgement:
    if case.spec.contact is None:
        sentence = f"spec.contact is not set: the exception does not say how to reach owner {case.spec.owner!r}"
        return rule.Judgement(Result.WARN, sentence)
    return rule.Judgement(Result.PASS, "spec.contact is set")


RULE: Final = rule.Rule(
    "ContactMissing",
    Severity.LOW,
    "ours: in an incident somebody must reach the owner",
    "set spec.contact: " + rule.PATCH + '\'{"spec":{"contact":"team@example.com"}}\'',
    _judge,
)
