"""Ordinary pods of another release in the namespace of an exception."""

from typing import Final

from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide.rules import rule

ALONE: Final = "no ordinary pod was in the namespace when the operator last listed all pods"
# The first words of the warning. `status` finds a warning in a condition by these words, so a new wording of the rest
# does not emit the Event a second time.
FOUND: Final = "ordinary pods run in "


def _judge(case: rule.Case) -> rule.Judgement | None:
    if case.exempt:
        return None  # such a namespace is mixed on purpose, for example kube-system
    # The sentences have no name, no number and no time: pods come and go, and the sentence must not change with them.
    if case.ordinary is None:
        sentence = "the operator has not listed all pods since the namespace was created"
        return rule.Judgement(Result.SKIP, sentence)
    if not case.ordinary:
        return rule.Judgement(Result.PASS, ALONE)
    if not case.pods and case.now < (settled := case.last_used + rule.SETTLED):
        sentence = f"{FOUND}the namespace; their release is compared once the exception covers pods"
        return rule.Judgement(Result.SKIP, sentence, (settled,))
    # The release is a claim: a tenant who forges the labels turns a warning into this note, and gains nothing.
    shared = _shared_release(case)
    if shared:
        sentence = f"the ordinary pods in the namespace are of the same release by their labels ({', '.join(shared)})"
        return rule.Judgement(Result.PASS, f"{sentence}: a user who may create pods there can use {case.account} too")
    sentence = f"{FOUND}the namespace of the exception: a user who may create pods there can use {case.account}"
    return rule.Judgement(Result.WARN, f"{sentence}, and with the account everything that the exception allows")


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
    "ours, measured: image and service account do not restrict a user who may create pods in the namespace",
    "move the covered pods to a namespace of their own and write a new exception there, or move the ordinary pods:"
    " kubectl get pods -n <namespace> -o custom-columns=POD:.metadata.name,SERVICEACCOUNT:.spec.serviceAccountName"
    ",HOSTNETWORK:.spec.hostNetwork",
    _judge,
)
