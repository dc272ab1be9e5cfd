"""An exception that has covered no pod for a long time."""

from typing import Final

from hostnetwork_operator.api import grant
from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide.rules import rule


def _judge(case: rule.Case) -> rule.Judgement:
    if case.pods:
        return rule.Judgement(Result.PASS, "the exception covers pods")
    if case.settings is None:
        return rule.POLICY_UNKNOWN
    since = case.last_used
    moment = since + case.settings.unused_after
    sentence = f"the exception has covered no pod since {grant.format_time(since)}"
    return rule.Judgement(Result.WARN if case.now >= moment else Result.PASS, sentence, (moment,))


RULE: Final = rule.Rule(
    "Unused",
    Severity.MEDIUM,
    "NIST SP 800-53 CM-7(1), periodic review; severity ours",
    "if no pod needs the exception, delete the exception: kubectl delete hne <name> -n <namespace>",
    _judge,
)
