"""What is recorded about a reconcile: the counters of its effects, and one log line."""

import logging
from collections.abc import Sequence

from hostnetwork_operator import logs, metrics
from hostnetwork_operator.act import apply
from hostnetwork_operator.decide import effects, plan

_log = logging.getLogger(__name__)


def record(
    measures: metrics.Metrics, made: plan.NamespacePlan, outcomes: Sequence[apply.Outcome], seconds: float
) -> None:
    """Count and log the results of a plan."""
    measures.reconcile.observe(seconds)
    for outcome in outcomes:
        _count(measures, outcome)
    _tell(made, outcomes, seconds)


def _count(measures: metrics.Metrics, outcome: apply.Outcome) -> None:
    effect = outcome.effect
    measures.effects.labels(type(effect).__name__, outcome.word).inc()
    if isinstance(effect, effects.WriteNamespace):
        measures.namespace_writes.labels(effect.action, outcome.word).inc()
    elif isinstance(effect, effects.DeletePod):
        measures.deleted_pods.labels(outcome.word).inc()
    elif isinstance(effect, effects.WriteVerdict) and effect.verdict and outcome.word == apply.DONE:
        measures.detected_pods.labels(effect.verdict.value).inc()


def _tell(made: plan.NamespacePlan, outcomes: Sequence[apply.Outcome], seconds: float) -> None:
    """Write the canonical log line of a reconcile. A reconcile that did nothing is logged at DEBUG only."""
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    level = logging.WARNING if failed else logging.INFO if outcomes else logging.DEBUG
    logs.log(
        _log,
        level,
        "reconcile",
        namespace=made.namespace.name,
        enforcement=made.enforcement,
        relaxed=made.relaxed,
        pods=len(made.verdicts),
        exceptions=len(made.standings),
        findings=[f"{finding.subject.name}:{finding.rule.id}" for finding in made.findings if finding.warns],
        effects=_first(20, [f"{type(outcome.effect).__name__}:{outcome.word}" for outcome in outcomes]),
        errors=_first(5, [str(outcome.error) for outcome in failed]),
        next_check=made.next_check,
        seconds=round(seconds, 4),
    )


def _first(count: int, texts: Sequence[str]) -> list[str]:
    """Return the first `count` texts, and how many more there are: a tenant's quota can cause hundreds."""
    more = len(texts) - count
    return [*texts[:count], *([f"and {more} more"] if more > 0 else [])]
