"""Ordinary pods of another release in the namespace of an exception."""

from typing import Final

from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide.rules import rule

ALONE: Final = "no ordinary pod was in its namespace when all pods were last listed"


def _judge(case: rule.Case) -> rule.Judgement | None:
    if case.exempt:
        return None  # such a namespace is mixed on purpose, for example kube-system
    # The sentences have no name, no number and no time: pods come and go, and the sentence must not change with them.
    if case.ordinary is None:
        sentence = "its namespace has not been looked through for ordinary pods since it was made"
        return rule.Judgement(Result.SKIP, sentence)
    if not case.ordinary:
        return rule.Judgement(Result.PASS, ALONE)
    if not case.pods and case.now < (settled := case.last_used + rule.SETTLED):
        sentence = "ordinary pods run in its namespace; whether they are of its release is known once it covers pods"
        return rule.Judgement(Result.SKIP, sentence, (settled,))
    # The release is a claim: a tenant who forges the labels turns a warning into this note, and gains nothing.
    shared = _shared_release(case)
    if shared:
        sentence = f"the ordinary pods in its namespace are of the same release by their labels ({', '.join(shared)})"
        return rule.Judgement(Result.PASS, f"{sentence}: whoever may create pods there can use {case.account} too")
    sentence = "ordinary pods run in its namespace: whoever may create pods there can use"
    return rule.Judgement(Result.WARN, f"{sentence} {case.account} and with it what is excepted")


def _shared_release(case: rule.Case) -> list[str]:
    """Return the labels by which every ordinary pod belongs to a release of the covered pods; none if an ordinary pod
    does not belong to such a release, or may not.
    """
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
