"""An exception that does not say how its owner is reached."""

from typing import Final

from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide.rules import rule


def _judge(case: rule.Case) -> rule.Judgement:
    if case.spec.contact is None:
        return rule.Judgement(Result.WARN, f"it does not say how its owner {case.spec.owner!r} is reached")
    return rule.Judgement(Result.PASS, "it says how its owner is reached")


RULE: Final = rule.Rule(
    "ContactMissing",
    Severity.LOW,
    "ours: nobody can be asked when it matters",
    "say how the owner is reached: " + rule.PATCH + '\'{"spec":{"contact":"team@example.com"}}\'',
    _judge,
)
