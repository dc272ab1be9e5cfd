"""Claims have few places and a budget of reads, and a workload that lacks pods is read again, ever more seldom."""

import datetime
import math
from dataclasses import replace
from typing import Any

import pytest

from hostnetwork_operator.control import shortages
from hostnetwork_operator.decide import effects, plan, snapshot
from tests.unit import builders
from tests.unit.builders import NAMESPACE, NOW, denied, hne, planned, seen, shortage

WAIT = datetime.timedelta(seconds=60)


class Moment:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def moment() -> Moment:
    return Moment()


@pytest.fixture
def kept(moment: Moment) -> shortages.Shortages:
    return shortages.Shortages(moment, WAIT)


def claim(name: str = "agent", namespace: str = NAMESPACE) -> snapshot.Reference:
    return replace(shortage(name).workload, namespace=namespace)


def plan_of(kept: shortages.Shortages, *things: Any) -> plan.NamespacePlan:
    """What a plan makes of the shortages that are kept, with these exceptions in force and these pods."""
    exceptions = [one for one in things if not isinstance(one, snapshot.Pod)]
    return planned(seen(*things, namespace=denied(*exceptions), shortages=kept.of(NAMESPACE)))


def events(made: plan.NamespacePlan) -> list[effects.EmitEvent]:
    return [one for one in made.effects if isinstance(one, effects.EmitEvent)]


async def test_a_claim_is_read_at_once_and_once(kept: shortages.Shortages) -> None:
    """However often it is made meanwhile."""
    assert kept.claim(claim())
    assert kept.claim(claim())
    assert kept.next(NAMESPACE) == (claim(), 0.0)
    kept.drop(claim())
    assert kept.next(NAMESPACE) == (None, math.inf)


async def test_a_namespace_has_few_places(kept: shortages.Shortages) -> None:
    """What is beyond is counted, and another namespace has its own."""
    taken = [kept.claim(claim(f"agent-{number}")) for number in range(shortages.MOST_IN_NAMESPACE + 5)]
    assert (taken.count(True), taken.count(False)) == (shortages.MOST_IN_NAMESPACE, 5)
    assert kept.dropped == 5
    assert kept.claim(claim(namespace="other"))


async def test_all_namespaces_together_have_a_limit(kept: shortages.Shortages) -> None:
    """Whoever has many namespaces fills no memory."""
    each = shortages.MOST_IN_NAMESPACE
    for number in range(shortages.MOST):
        assert kept.claim(claim(f"agent-{number % each}", f"team-{number // each}"))
    assert not kept.claim(claim(namespace="one-more"))


async def test_a_namespace_has_a_budget_of_reads(kept: shortages.Shortages, moment: Moment) -> None:
    """Ten, then one every half second, whatever the claims say."""
    for number in range(20):
        kept.claim(claim(f"agent-{number}"))
    read = 0
    while (one := kept.next(NAMESPACE))[0] is not None:
        kept.drop(one[0])
        read += 1
    assert read == 10
    assert one[1] == pytest.approx(0.5)
    moment.seconds += 0.5
    assert kept.next(NAMESPACE)[0] is not None


async def test_a_flood_takes_turns_with_other_namespaces(kept: shortages.Shortages) -> None:
    """The queue has namespaces, so thirty claims of one stand before no other namespace."""
    for number in range(30):
        kept.claim(claim(f"agent-{number}", "noisy"))
    kept.claim(claim(namespace="quiet"))
    assert [await kept.queue.take(), await kept.queue.take()] == ["noisy", "quiet"]


async def test_a_status_that_is_behind_is_read_again(kept: shortages.Shortages, moment: Moment) -> None:
    """A controller emits its Event before it writes how many pods there are. After some reads that is over."""
    kept.claim(claim())
    reads = 0
    while kept.next(NAMESPACE)[1] < math.inf:
        found, seconds = kept.next(NAMESPACE)
        if found is None:
            moment.seconds += seconds
            continue
        kept.enough(found)
        reads += 1
    assert reads == 6
    assert moment.seconds - 1000 < 5


async def test_what_lacks_pods_is_read_ever_more_seldom(kept: shortages.Shortages, moment: Moment) -> None:
    """After one second, two, four, up to five minutes."""
    kept.claim(claim())
    pauses = []
    for _ in range(11):
        kept.keep(shortage())
        pauses.append(kept.next(NAMESPACE)[1])
        moment.seconds += pauses[-1]
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == 300


async def test_a_workload_that_has_its_pods_is_forgotten(kept: shortages.Shortages) -> None:
    """It counts no longer with the first read that says so."""
    kept.claim(claim())
    kept.keep(shortage())
    assert kept.of(NAMESPACE) == (shortage(),)
    kept.enough(claim())
    assert kept.of(NAMESPACE) == ()


async def test_an_emitted_event_is_remembered(kept: shortages.Shortages) -> None:
    """Also when the workload is read again: the plan has it no more."""
    kept.claim(claim())
    kept.keep(shortage())
    made = plan_of(kept)
    (event,) = events(made)
    kept.heed(made, [event], NOW)
    kept.keep(shortage())
    assert events(plan_of(kept)) == []


async def test_since_when_a_workload_is_covered_is_remembered(kept: shortages.Shortages, moment: Moment) -> None:
    """It is read again when its controller has had its time, and the time begins anew with another refusal."""
    kept.claim(claim())
    kept.keep(shortage())
    kept.heed(plan_of(kept), [], NOW)
    kept.heed(plan_of(kept, hne()), [], NOW)
    assert [one.covered for one in kept.of(NAMESPACE)] == [NOW]
    for seconds in (1, 2, 4, 8, 16, 27):
        moment.seconds += 5
        kept.keep(shortage(read=builders.at(seconds=seconds)))
    assert kept.next(NAMESPACE)[1] == pytest.approx(32)
    moment.seconds += 40
    kept.keep(shortage(read=builders.at(seconds=59)))
    assert kept.next(NAMESPACE)[1] == pytest.approx(1)
    kept.heed(plan_of(kept), [], NOW)
    assert [one.covered for one in kept.of(NAMESPACE)] == [None]


async def test_a_workload_that_was_never_refused_is_forgotten(kept: shortages.Shortages) -> None:
    """An exception covers its pods all the time, so something else keeps it from having them."""
    kept.claim(claim())
    kept.keep(shortage())
    kept.heed(plan_of(kept, hne()), [], NOW)
    assert kept.of(NAMESPACE) == ()


async def test_a_pod_that_comes_is_a_reason_to_read(kept: shortages.Shortages, moment: Moment) -> None:
    """Without waiting for the schedule; a plan that says the same is none."""
    kept.claim(claim())
    for _ in range(9):
        kept.keep(shortage())
        kept.heed(plan_of(kept), [], NOW)
    moment.seconds += 10
    kept.heed(plan_of(kept), [], NOW)
    assert kept.next(NAMESPACE)[0] is None
    kept.heed(plan_of(kept, builders.pod(owner=claim(), service_account="other")), [], NOW)
    assert kept.next(NAMESPACE)[0] == claim()


async def test_a_namespace_that_is_gone_is_forgotten(kept: shortages.Shortages) -> None:
    """With all its claims."""
    kept.claim(claim())
    kept.keep(shortage())
    kept.forget(NAMESPACE)
    assert kept.of(NAMESPACE) == ()
    assert kept.next(NAMESPACE) == (None, math.inf)
    kept.keep(shortage())
    assert kept.of(NAMESPACE) == ()


async def test_a_namespace_has_a_budget_of_events(kept: shortages.Shortages, moment: Moment) -> None:
    """Fifty, then one every half second; other namespaces have their own, and what is about none always passes."""
    heard = [kept.hears("noisy") for _ in range(60)]
    assert (heard.count(True), kept.dropped) == (50, 10)
    assert kept.hears("quiet")
    assert kept.hears("")
    moment.seconds += 0.5
    assert [kept.hears("noisy"), kept.hears("noisy")] == [True, False]
