"""An exception that allows any image."""

from typing import Final

from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide.rules import rule


def _judge(case: rule.Case) -> rule.Judgement:
    if case.spec.images is None:
        return rule.Judgement(Result.WARN, f"it names no images: any image run as {case.account} is covered")
    return rule.Judgement(Result.PASS, "it lists its images")


RULE: Final = rule.Rule(
    "ImagesUnrestricted",
    Severity.MEDIUM,
    "Kubescape C-0078, base score 5",
    f"write a new exception that lists the images, then delete this one: {rule.SHOW_IMAGES}",
    _judge,
)
