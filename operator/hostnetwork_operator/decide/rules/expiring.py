"""An exception that ends soon."""

from typing import Final

from hostnetwork_operator.api import exception, grant
from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide.rules import rule


def _judge(case: rule.Case) -> rule.Judgement:
    if case.spec.expiry is None:
        return rule.Judgement(Result.PASS, "the exception has no expiry")
    if case.settings is None:
        return rule.POLICY_UNKNOWN
    before = case.settings.warn_before
    # People look at an agent with an expiry as seldom as at an application, and the policy has no setting for agents.
    diagnostic = case.spec.type is exception.ExceptionType.DIAGNOSTIC
    moment = case.spec.until - (before.diagnostic if diagnostic else before.application)
    sentence = f"the exception ends at {grant.format_time(case.spec.until)}"
    return rule.Judgement(Result.WARN if case.now >= moment else Result.PASS, sentence, (moment,))


RULE: Final = rule.Rule(
    "Expiring",
    Severity.MEDIUM,
    "ours: at the end the pods are deleted or no longer covered",
    "if the exception is still needed, set a later spec.expiry before the end, or write a new exception if"
    " exceptions.maxDuration is reached: "
    + rule.PATCH
    + r'"{\"spec\":{\"expiry\":\"$(date -u -d +4hours +%FT%TZ)\"}}"',
    _judge,
)
