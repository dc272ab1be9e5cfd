"""An exception for the service account `default`, which a pod gets if it names no account."""

from typing import Final

from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide.rules import rule


def _judge(case: rule.Case) -> rule.Judgement:
    if case.spec.service_account == "default":
        sentence = "it is for service account 'default', which every pod has that names none"
        return rule.Judgement(Result.WARN, sentence)
    return rule.Judgement(Result.PASS, f"it is for {case.account}")


RULE: Final = rule.Rule(
    "DefaultServiceAccount",
    Severity.MEDIUM,
    "CIS Kubernetes Benchmark 5.1.5; Kubescape C-0189, base score 5",
    "run the pods with a service account of their own and write a new exception for it: kubectl create serviceaccount"
    " <name> -n <namespace>",
    _judge,
)
