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
    text = f"it was {'made' if since == case.created else 'last reviewed'} {grant.format_time(since)}"
    if case.now >= due:
        return rule.Judgement(Result.WARN, f"{text}; every {fields.format_duration(every)} a review is due", moments)
    if not case.settings.review_on_upgrade or case.kubernetes is None:
        return rule.Judgement(Result.PASS, text, moments)
    if review.kubernetes_version is None:
        text = "it does not say for which version of Kubernetes it was reviewed, so whether an upgrade came since is"
        return rule.Judgement(Result.SKIP, f"{text} not known; {_version_said(case.kubernetes)}", moments)
    if case.kubernetes > snapshot.MinorVersion.parse(review.kubernetes_version):
        text = f"it was reviewed for Kubernetes {review.kubernetes_version}, the cluster is at {case.kubernetes}"
        return rule.Judgement(Result.WARN, text, moments)
    return rule.Judgement(Result.PASS, text, moments)


def _version_said(kubernetes: snapshot.MinorVersion) -> str:
    return f'set spec.review.kubernetesVersion, to "{kubernetes}" if it was reviewed for this one'


RULE: Final = rule.Rule(
    "ReviewDue",
    Severity.MEDIUM,
    "NIST SP 800-53 CM-7(1), periodic review; severity ours",
    "see whether it is still needed as it is, then say so: "
    + rule.PATCH
    + r'"{\"spec\":{\"review\":{\"time\":\"$(date -u +%FT%TZ)\",\"kubernetesVersion\":\"<version>\"}}}"',
    _judge,
)
