"""Findings: what people should know about an exception, each with a rule, a result, a sentence and a remedy.

A finding grants, refuses and deletes nothing. A rule needs only the exception, the pods that the exception covers,
whether ordinary pods run beside them, the policy's settings, the cluster's version and the time. Each rule is a module
in rules/ and has a page in docs/reference/findings.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from hostnetwork_operator.api import exception, labels, policy
from hostnetwork_operator.api.report import Result
from hostnetwork_operator.decide import coverage, rules, snapshot, validity
from hostnetwork_operator.decide.rules import mixed_namespace, rule


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says about an exception. At `moments`, time alone could make the rule say something else."""

    rule: rules.Rule
    result: Result
    subject: snapshot.Reference
    sentence: str
    remedy: str
    moments: tuple[datetime.datetime, ...] = ()

    @property
    def noted(self) -> bool:
        """Whether the finding is shown beside others although it does not warn: ordinary pods of the same release."""
        passes = self.rule is rules.MIXED_NAMESPACE and self.result is Result.PASS
        return passes and self.sentence != mixed_namespace.ALONE

    @property
    def warns(self) -> bool:
        return self.result in {Result.WARN, Result.FAIL}


def settings_of(state: snapshot.PolicyState) -> policy.Exceptions | None:
    """Return the policy's settings for exceptions: the defaults if there is no policy, None if it is not known."""
    if state.spec is not None:
        return state.spec.exceptions
    return policy.Exceptions() if state.existence is snapshot.Existence.ABSENT else None


def find(
    standing: validity.Standing,
    verdicts: Sequence[coverage.PodVerdict],
    state: snapshot.NamespaceSnapshot,
    now: datetime.datetime,
    *,
    exempt: bool,
) -> tuple[Finding, ...]:
    """Return a finding for each rule that applies, in the order of rules.RULES; none if the exception has ended."""
    subject = standing.exception
    meta = subject.metadata
    if standing.expired or meta.deletion_timestamp is not None:
        return ()
    covered = [v for v in verdicts if v.verdict is labels.Verdict.COVERED and meta.uid in _uids(v.exceptions)]
    case = rule.Case(
        subject,
        [verdict.pod for verdict in covered],
        settings_of(state.policy),
        state.kubernetes,
        state.ordinary_releases,
        now,
        oldest=min((verdict.oldest for verdict in covered), default=None),
        ordinary=state.ordinary_pods,
        exempt=exempt,
    )
    reference = snapshot.Reference(exception.KIND, meta.namespace, meta.name, meta.uid, labels.API_VERSION)
    version = str(state.kubernetes or snapshot.NEWEST_TESTED)
    results = []
    for each_rule in rules.RULES:
        judgement = each_rule.judge(case)
        if judgement is None:
            continue
        remedy = each_rule.remedy
        for word, value in (("<name>", meta.name), ("<namespace>", meta.namespace), ("<version>", version)):
            remedy = remedy.replace(word, value)
        results.append(Finding(each_rule, judgement.result, reference, judgement.sentence, remedy, judgement.moments))
    return tuple(results)


def _uids(subjects: Sequence[exception.HostNetworkException]) -> set[str]:
    return {subject.metadata.uid for subject in subjects}
