"""An exception that allows privileged containers."""

from typing import Final

from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide.rules import rule


def _judge(case: rule.Case) -> rule.Judgement:
    if case.spec.privileged:
        return rule.Judgement(
            Result.WARN, "the exception allows privileged containers, and a privileged container is root on the node"
        )
    return rule.Judgement(Result.PASS, "the exception allows no privileged container")


RULE: Final = rule.Rule(
    "PrivilegedGranted",
    Severity.HIGH,
    "CIS Kubernetes Benchmark 5.2.2; Kubescape C-0057, base score 8",
    "if capabilities and hostPaths are enough for the pods, write a new exception that lists those instead, then delete"
    " this exception: kubectl delete hne <name> -n <namespace>",
    _judge,
)
