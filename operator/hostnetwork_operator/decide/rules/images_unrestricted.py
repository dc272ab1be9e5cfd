"""An exception that allows any image."""

from typing import Final

from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide.rules import rule


def _judge(case: rule.Case) -> rule.Judgement:
    if case.spec.images is None:
        return rule.Judgement(
            Result.WARN, f"spec.images is not set, so the exception covers any image that runs as {case.account}"
        )
    return rule.Judgement(Result.PASS, "spec.images lists the images")


RULE: Final = rule.Rule(
    "ImagesUnrestricted",
    Severity.MEDIUM,
    "Kubescape C-0078, base score 5",
    f"write a new exception that lists the images, then delete this exception: {rule.SHOW_IMAGES}",
    _judge,
)
