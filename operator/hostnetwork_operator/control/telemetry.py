"""What is recorded about a reconcile: the counters of its effects, and one log line."""

import logging
from collections.abc import Sequence

from hostnetwork_operator import logs, metrics
from hostnetwork_operator.act import apply
from hostnetwork_operator.act.outcomes import Outcome
from hostnetwork_operator.decide import effects, plan

_log = logging.getLogger(__name__)


def record(
    measures: metrics.Metrics, namespace_plan: plan.NamespacePlan, results: Sequence[apply.EffectResult], seconds: float
) -> None:
    """Count and log the results of a plan."""
    measures.reconcile.observe(seconds)
    for result in results:
        _count(measures, result)
    _tell(namespace_plan, results, seconds)


def _count(measures: metrics.Metrics, result: apply.EffectResult) -> None:
    effect = result.effect
    measures.effects.labels(type(effect).__name__, result.outcome).inc()
    if isinstance(effect, effects.WriteNamespace):
        measures.namespace_writes.labels(effect.action, result.outcome).inc()
    elif isinstance(effect, effects.DeletePod):
        measures.deleted_pods.labels(result.outcome).inc()
    elif isinstance(effect, effects.WriteVerdict) and effect.verdict and result.outcome is Outcome.DONE:
        measures.detected_pods.labels(effect.verdict.value).inc()


def _tell(namespace_plan: plan.NamespacePlan, results: Sequence[apply.EffectResult], seconds: float) -> None:
    """Write the canonical log line of a reconcile. A reconcile that did nothing is logged at DEBUG only."""
    failed = [result for result in results if result.error is not None]
    level = logging.WARNING if failed else logging.INFO if results else logging.DEBUG
    logs.log(
        _log,
        level,
        "reconcile",
        namespace=namespace_plan.namespace.name,
        enforcement=namespace_plan.enforcement,
        relaxed=namespace_plan.relaxed,
        pods=sum(verdict.count for verdict in namespace_plan.judged),
        exceptions=len(namespace_plan.standings),
        findings=[f"{finding.subject.name}:{finding.rule.id}" for finding in namespace_plan.findings if finding.warns],
        effects=_first(20, [f"{type(result.effect).__name__}:{result.outcome}" for result in results]),
        errors=_first(5, [str(result.error) for result in failed]),
        next_check=namespace_plan.next_check,
        seconds=round(seconds, 4),
    )


def _first(count: int, texts: Sequence[str]) -> list[str]:
    """Return the first `count` texts, and how many more there are: a tenant's quota can cause hundreds."""
    more = len(texts) - count
    return [*texts[:count], *([f"and {more} more"] if more > 0 else [])]
