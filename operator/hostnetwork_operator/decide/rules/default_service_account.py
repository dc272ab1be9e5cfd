"""An exception for the service account `default`, which a pod gets if it names no account."""

from typing import Final

from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide.rules import rule


def _judge(case: rule.Case) -> rule.Judgement:
    if case.spec.service_account == "default":
        sentence = "the exception is for service account 'default', which is used by every pod that names no account"
        return rule.Judgement(Result.WARN, sentence)
    return rule.Judgement(Result.PASS, f"the exception is for {case.account}")


RULE: Final = rule.Rule(
    "DefaultServiceAccount",
    Severity.MEDIUM,
    "CIS Kubernetes Benchmark 5.1.5; Kubescape C-0189, base score 5",
    "run the pods with a service account of their own, and write a new exception for that account: kubectl create"
    " serviceaccount <name> -n <namespace>",
    _judge,
)
