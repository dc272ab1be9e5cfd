"""An exception whose images can be replaced by other images of the same name."""

from typing import Final

from hostnetwork_operator.api import image
from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide.rules import rule


def _judge(case: rule.Case) -> rule.Judgement | None:
    if case.spec.images is None:
        return None  # there is no image to pin
    if wide := sorted(entry for entry in case.spec.images if image.any_of_a_repository(entry)):
        return rule.Judgement(
            Result.WARN, f"the exception covers any image that a user pushes to the repository: {wide[0]}"
        )
    unpinned = image.unpinned(case.spec.images)
    if unpinned:
        return rule.Judgement(Result.WARN, f"an image is not pinned by digest, so the image can change: {unpinned[0]}")
    return rule.Judgement(Result.PASS, "the images are pinned by digest")


RULE: Final = rule.Rule(
    "ImageNotPinned",
    Severity.LOW,
    "Checkov CKV_K8S_43",
    f"run the pods with images pinned by digest, and write a new exception that lists these images: {rule.SHOW_IMAGES}",
    _judge,
)
