"""An exception that allows privileged containers."""

from typing import Final

from hostnetwork_operator.api.report import Result, Severity
from hostnetwork_operator.decide.rules import rule


def _judge(case: rule.Case) -> rule.Judgement:
    if case.spec.privileged:
        return rule.Judgement(Result.WARN, "it lets containers be privileged, which is root on the node")
    return rule.Judgement(Result.PASS, "it lets no container be privileged")


RULE: Final = rule.Rule(
    "PrivilegedGranted",
    Severity.HIGH,
    "CIS Kubernetes Benchmark 5.2.2; Kubescape C-0057, base score 8",
    "if the pods can do with capabilities and hostPaths, write a new exception that names those instead, then delete"
    " this one: kubectl delete hne <name> -n <namespace>",
    _judge,
)
