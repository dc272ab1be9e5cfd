"""Ordinary pods of another release in the namespace of an exception."""

from typing import Final

from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide.rules import rule

ALONE: Final = "no ordinary pod was in its namespace when all pods were last listed"


def _judge(case: rule.Case) -> rule.Judgement | None:
    if case.exempt:
        return None  # mixed on purpose, such as kube-system
    # No name, no number, no time: pods come and go, and what is said of them stays.
    if case.ordinary is None:
        text = "its namespace has not been looked through for ordinary pods since it was made"
        return rule.Judgement(Result.SKIP, text)
    if not case.ordinary:
        return rule.Judgement(Result.PASS, ALONE)
    if not case.pods and case.now < (settled := case.last_used + rule.SETTLED):
        text = "ordinary pods run in its namespace; whether they are of its release is known once it covers pods"
        return rule.Judgement(Result.SKIP, text, (settled,))
    # A claim: a tenant who forges the labels turns a warning into this note, and opens nothing.
    shared = _shared_release(case)
    if shared:
        text = f"the ordinary pods in its namespace are of the same release by their labels ({', '.join(shared)})"
        return rule.Judgement(Result.PASS, f"{text}: whoever may create pods there can use {case.account} too")
    text = "ordinary pods run in its namespace: whoever may create pods there can use"
    return rule.Judgement(Result.WARN, f"{text} {case.account} and with it what is excepted")


def _shared_release(case: rule.Case) -> list[str]:
    """The labels by which every ordinary pod is of a release of the covered ones; none if one is not, or may not be."""
    covered = {text for pod in case.pods for text in pod.release}
    if not case.releases or not all(release & covered for release in case.releases):
        return []
    return sorted({text for release in case.releases for text in release & covered})[: rule.NAMED]


RULE: Final = rule.Rule(
    "MixedNamespace",
    Severity.MEDIUM,
    "ours: image and service account are no boundary to whoever may create pods in a namespace, measured",
    "move what is excepted into a namespace of its own and write the exception anew there, or move the ordinary pods:"
    " kubectl get pods -n <namespace> -o custom-columns=POD:.metadata.name,SERVICEACCOUNT:.spec.serviceAccountName"
    ",HOSTNETWORK:.spec.hostNetwork",
    _judge,
)
