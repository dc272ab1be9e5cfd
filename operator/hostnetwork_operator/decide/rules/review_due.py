"""An exception of type Infrastructure that nobody has reviewed for a long time, or since an upgrade of Kubernetes."""

from typing import Final

from hostnetwork_operator.api import exception, fields, grant
from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.decide.rules import rule


def _judge(case: rule.Case) -> rule.Judgement | None:
    if case.spec.type is not exception.ExceptionType.INFRASTRUCTURE:
        return None
    if case.settings is None:
        return rule.POLICY_UNKNOWN
    every = case.settings.review_every
    review = case.spec.review or exception.Review()
    # A review in the future does not count: it would silence this finding for as long as its writer likes.
    reviewed = review.time if review.time is not None and review.time <= case.now else None
    since = max(case.created, reviewed or case.created)
    due = since + every
    moments = (due, *([review.time] if review.time else []))
    text = f"the exception was {'created' if since == case.created else 'last reviewed'} at {grant.format_time(since)}"
    if case.now >= due:
        return rule.Judgement(Result.WARN, f"{text}; a review is due every {fields.format_duration(every)}", moments)
    if not case.settings.review_on_upgrade or case.kubernetes is None:
        return rule.Judgement(Result.PASS, text, moments)
    if review.kubernetes_version is None:
        text = "spec.review.kubernetesVersion is not set, so a review for an older Kubernetes cannot be recognized"
        return rule.Judgement(Result.SKIP, f"{text}; {_version_said(case.kubernetes)}", moments)
    if case.kubernetes > snapshot.MinorVersion.parse(review.kubernetes_version):
        reviewed_for = f"the exception was reviewed for Kubernetes {review.kubernetes_version}"
        text = f"{reviewed_for}, and the cluster runs Kubernetes {case.kubernetes}"
        return rule.Judgement(Result.WARN, text, moments)
    return rule.Judgement(Result.PASS, text, moments)


def _version_said(kubernetes: snapshot.MinorVersion) -> str:
    return f'if the exception was reviewed for this Kubernetes, set spec.review.kubernetesVersion to "{kubernetes}"'


RULE: Final = rule.Rule(
    "ReviewDue",
    Severity.MEDIUM,
    "NIST SP 800-53 CM-7(1), periodic review; severity ours",
    "check whether the pods still need the whole exception, then record the review: "
    + rule.PATCH
    + r'"{\"spec\":{\"review\":{\"time\":\"$(date -u +%FT%TZ)\",\"kubernetesVersion\":\"<version>\"}}}"',
    _judge,
)
