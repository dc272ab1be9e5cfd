"""When the operator is idle, and how long an answer of the gate counts."""

import asyncio
from typing import Any, cast

import pytest

from hostnetwork_operator import clock, metrics
from hostnetwork_operator.api import labels
from hostnetwork_operator.control import operator
from hostnetwork_operator.decide import settle, snapshot
from tests.unit.builders import denied, governed, namespace, seen


async def test_it_is_not_idle_while_a_namespace_is_looked_at_or_judged_by_that() -> None:
    """Otherwise the operator would be ready before a namespace is enforced."""
    core = operator.Operator(cast("Any", None), clock.ServerClock(), metrics.Metrics())
    core.schedule.queue.add("payments")
    idle = asyncio.ensure_future(core.until_idle())
    await core.schedule.queue.take()
    core.gate_checks.queue.add("payments")
    core.schedule.queue.done("payments")
    await _a_while()
    assert not idle.done()
    await core.gate_checks.queue.take()
    core.schedule.queue.add("payments")
    core.gate_checks.queue.done("payments")
    await _a_while()
    assert not idle.done()
    await core.schedule.queue.take()
    core.schedule.queue.done("payments")
    await asyncio.wait_for(idle, 10)


@pytest.mark.parametrize(
    ("namespace_state", "is_kept"),
    [(namespace(labels={labels.ENFORCEMENT: "Audit"}), True), (denied(), False)],
    ids=["to be", "is"],
)
async def test_an_answer_of_the_gate_counts_until_enforcement_is_written(
    namespace_state: snapshot.Namespace, is_kept: bool
) -> None:
    """The write waits for the ledger.

    With another gate check meanwhile, objects that were created later could prevent the write.
    """
    core = operator.Operator(cast("Any", None), clock.ServerClock(), metrics.Metrics())
    answer = snapshot.GateAnswer(labels.Level.BASELINE, core.clock.now())
    core.memories.of(namespace_state).answers.gate = answer
    record = snapshot.Record(wrote={labels.ENFORCEMENT: "Audit"}) if is_kept else snapshot.Record()
    state = seen(namespace=namespace_state, policy=governed(rollout="Gated"), gate=answer, record=record)
    settlement = settle.settle(state, core.clock.now())
    core.gate_checks.heed(settlement)
    assert settlement.plan.enforcement is labels.Enforcement.DENY
    assert (core.memories.of(namespace_state).answers.gate is answer) is is_kept


async def _a_while() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
