"""Claims have few places and a budget of reads. A workload that lacks pods is read again, less and less often."""

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
def lacking(moment: Moment) -> shortages.Shortages:
    lacking = shortages.Shortages(moment, WAIT)
    lacking.listed()
    return lacking


def claim(name: str = "agent", namespace: str = NAMESPACE) -> snapshot.Reference:
    return replace(shortage(name).workload, namespace=namespace)


def plan_of(lacking: shortages.Shortages, *things: Any) -> plan.NamespacePlan:
    """Return the plan for the kept shortages, with these exceptions in force and these pods."""
    exceptions = [thing for thing in things if not isinstance(thing, snapshot.Pod)]
    return planned(seen(*things, namespace=denied(*exceptions), shortages=lacking.of(NAMESPACE)))


def events(namespace_plan: plan.NamespacePlan) -> list[effects.EmitEvent]:
    return [effect for effect in namespace_plan.effects if isinstance(effect, effects.EmitEvent)]


async def test_a_claim_is_read_at_once_and_once(lacking: shortages.Shortages) -> None:
    """However often the claim is made meanwhile."""
    assert lacking.claim(claim())
    assert lacking.claim(claim())
    assert lacking.next(NAMESPACE) == (claim(), 0.0)
    lacking.drop(claim())
    assert lacking.next(NAMESPACE) == (None, math.inf)


async def test_a_namespace_has_few_places(lacking: shortages.Shortages) -> None:
    """Claims beyond the limit are counted. Another namespace has its own places."""
    accepted = [lacking.claim(claim(f"agent-{number}")) for number in range(shortages.MOST_IN_NAMESPACE + 5)]
    assert (accepted.count(True), accepted.count(False)) == (shortages.MOST_IN_NAMESPACE, 5)
    assert lacking.dropped == 5
    assert lacking.claim(claim(namespace="other"))


async def test_all_namespaces_together_have_a_limit(lacking: shortages.Shortages) -> None:
    """A user with many namespaces cannot fill the memory."""
    each = shortages.MOST_IN_NAMESPACE
    for number in range(shortages.MOST):
        assert lacking.claim(claim(f"agent-{number % each}", f"team-{number // each}"))
    for number in range(40):
        lacking.claim(claim(namespace=f"more-{number}"))
    assert sum(len(claims.places) for claims in lacking._by_namespace.values()) == shortages.MOST
    assert lacking.dropped == 40


async def test_a_namespace_has_a_budget_of_reads(lacking: shortages.Shortages, moment: Moment) -> None:
    """Ten reads, then one every half second, whatever the claims say."""
    for number in range(20):
        lacking.claim(claim(f"agent-{number}"))
    count = 0
    while (next_read := lacking.next(NAMESPACE)).claim is not None:
        lacking.drop(next_read.claim)
        count += 1
    assert count == 10
    assert next_read[1] == pytest.approx(0.5)
    moment.seconds += 0.5
    assert lacking.next(NAMESPACE).claim is not None


async def test_a_flood_takes_turns_with_other_namespaces(lacking: shortages.Shortages) -> None:
    """The queue contains namespaces, so thirty claims of one namespace delay no other namespace."""
    for number in range(30):
        lacking.claim(claim(f"agent-{number}", "noisy"))
    lacking.claim(claim(namespace="quiet"))
    assert [await lacking.queue.take(), await lacking.queue.take()] == ["noisy", "quiet"]


async def test_a_status_that_is_behind_is_read_again(lacking: shortages.Shortages, moment: Moment) -> None:
    """A controller emits its Event before it writes the number of pods. After some reads the operator stops reading."""
    lacking.claim(claim())
    count = 0
    while lacking.next(NAMESPACE).wait_seconds < math.inf:
        next_claim, seconds = lacking.next(NAMESPACE)
        if next_claim is None:
            moment.seconds += seconds
            continue
        lacking.enough(next_claim)
        count += 1
    assert count == 6
    assert moment.seconds - 1000 < 5


async def test_what_lacks_pods_is_read_ever_more_seldom(lacking: shortages.Shortages, moment: Moment) -> None:
    """After one second, two, four, and so on, up to five minutes."""
    lacking.claim(claim())
    pauses = []
    for _ in range(11):
        lacking.keep(shortage())
        pauses.append(lacking.next(NAMESPACE).wait_seconds)
        moment.seconds += pauses[-1]
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == 300


async def test_a_read_that_fails_is_tried_again_ever_more_seldom(lacking: shortages.Shortages) -> None:
    """After two seconds, four, and so on, up to five minutes.

    This pause and the pause of a shortage do not lengthen each other.
    """
    lacking.claim(claim())
    for _ in range(11):
        lacking.keep(shortage())
    failing = []
    for _ in range(9):
        lacking.later(claim())
        failing.append(lacking.next(NAMESPACE)[1])
    assert failing[:4] == [2, 4, 8, 16]
    assert failing[-1] == 300
    lacking.drop(claim())
    lacking.claim(claim())
    lacking.keep(shortage())
    for _ in range(9):
        lacking.later(claim())
    lacking.keep(shortage())
    assert lacking.next(NAMESPACE)[1] == 2
    lacking.later(claim())
    assert lacking.next(NAMESPACE)[1] == 2


async def test_what_changes_is_read_again_soon(lacking: shortages.Shortages) -> None:
    """A change is a new pod of the workload or a new template. Another resource version alone is no change."""
    lacking.claim(claim())
    for _ in range(9):
        lacking.keep(shortage())
    lacking.keep(shortage(pod=builders.pod(resource_version="8")))
    assert lacking.next(NAMESPACE)[1] == 300
    for changed in (shortage(present=1), shortage(present=1, wanted=3), shortage(pod=builders.pod(privileged=True))):
        lacking.keep(changed)
        assert lacking.next(NAMESPACE)[1] == 1


async def test_a_workload_that_has_its_pods_is_forgotten(lacking: shortages.Shortages) -> None:
    """The workload no longer counts after the first read that shows its pods."""
    lacking.claim(claim())
    lacking.keep(shortage())
    assert lacking.of(NAMESPACE) == (shortage(),)
    lacking.enough(claim())
    assert lacking.of(NAMESPACE) == ()


async def test_an_emitted_event_is_remembered(lacking: shortages.Shortages) -> None:
    """The Event stays remembered when the workload is read again, so the plan does not have it any more."""
    lacking.claim(claim())
    lacking.keep(shortage())
    namespace_plan = plan_of(lacking)
    (event,) = events(namespace_plan)
    lacking.heed(namespace_plan, [event], NOW)
    lacking.keep(shortage())
    assert events(plan_of(lacking)) == []


async def test_since_when_a_workload_is_covered_is_remembered(lacking: shortages.Shortages, moment: Moment) -> None:
    """The workload is read again when its controller has had its time. That time begins again after another refusal."""
    lacking.claim(claim())
    lacking.keep(shortage())
    lacking.heed(plan_of(lacking), [], NOW)
    lacking.heed(plan_of(lacking, hne()), [], NOW)
    assert [item.covered for item in lacking.of(NAMESPACE)] == [NOW]
    for seconds in (1, 2, 4, 8, 16, 27):
        moment.seconds += 5
        lacking.keep(shortage(read=builders.at(seconds=seconds)))
    assert lacking.next(NAMESPACE).wait_seconds == pytest.approx(32)
    moment.seconds += 40
    lacking.keep(shortage(read=builders.at(seconds=59)))
    assert lacking.next(NAMESPACE).wait_seconds == pytest.approx(1)
    lacking.heed(plan_of(lacking), [], NOW)
    assert [item.covered for item in lacking.of(NAMESPACE)] == [None]


async def test_a_workload_that_was_never_refused_is_forgotten(lacking: shortages.Shortages) -> None:
    """An exception covers its pods all the time, so the workload lacks pods for another reason."""
    lacking.claim(claim())
    lacking.keep(shortage())
    lacking.heed(plan_of(lacking, hne()), [], NOW)
    assert lacking.of(NAMESPACE) == ()


async def test_a_pod_that_comes_is_a_reason_to_read(lacking: shortages.Shortages, moment: Moment) -> None:
    """The read does not wait for the schedule. A plan that shows the same pods is no reason to read."""
    lacking.claim(claim())
    for _ in range(9):
        lacking.keep(shortage())
        lacking.heed(plan_of(lacking), [], NOW)
    moment.seconds += 10
    lacking.heed(plan_of(lacking), [], NOW)
    assert lacking.next(NAMESPACE).claim is None
    lacking.heed(plan_of(lacking, builders.pod(owner=claim(), service_account="other")), [], NOW)
    assert lacking.next(NAMESPACE).claim == claim()


async def test_a_namespace_that_is_gone_is_forgotten(lacking: shortages.Shortages) -> None:
    """All claims of the namespace are forgotten."""
    lacking.claim(claim())
    lacking.keep(shortage())
    lacking.forget(NAMESPACE)
    assert lacking.of(NAMESPACE) == ()
    assert lacking.next(NAMESPACE) == (None, math.inf)
    lacking.keep(shortage())
    assert lacking.of(NAMESPACE) == ()


async def test_a_namespace_has_a_budget_of_events(lacking: shortages.Shortages, moment: Moment) -> None:
    """Fifty Events, then one every half second.

    Other namespaces have their own budgets, and an Event about no namespace always passes.
    """
    heard = [lacking.hears("noisy") for _ in range(60)]
    assert (heard.count(True), lacking.dropped) == (50, 10)
    assert lacking.hears("quiet")
    assert lacking.hears("")
    moment.seconds += 0.5
    assert [lacking.hears("noisy"), lacking.hears("noisy")] == [True, False]


async def test_before_the_first_list_nothing_is_known(moment: Moment) -> None:
    """None is not the empty tuple: a workload that lacked pods before a restart may still lack them."""
    lacking = shortages.Shortages(moment, WAIT)
    lacking.claim(claim())
    assert lacking.of(NAMESPACE) is None
    lacking.keep(shortage())
    assert lacking.of(NAMESPACE) is None
    lacking.listed()
    assert lacking.of(NAMESPACE) == (shortage(),)
    assert lacking.of("quiet") == ()


@pytest.mark.parametrize("end", ["keep", "drop", "forget"])
async def test_a_namespace_is_known_once_its_first_claims_are_read(moment: Moment, end: str) -> None:
    """Each namespace becomes known separately, so a flood in one namespace delays no other."""
    lacking = shortages.Shortages(moment, WAIT)
    lacking.claim(claim())
    lacking.claim(claim("other"))
    lacking.claim(claim(namespace="noisy"))
    lacking.listed()
    lacking.keep(shortage("other"))
    lacking.later(claim())
    assert lacking.of(NAMESPACE) is None
    {
        "keep": lambda: lacking.keep(shortage()),
        "drop": lambda: lacking.drop(claim()),
        "forget": lambda: lacking.forget(NAMESPACE),
    }[end]()
    expected = {"keep": {"agent", "other"}, "drop": {"other"}, "forget": set()}
    assert {item.workload.name for item in lacking.of(NAMESPACE) or ()} == expected[end]
    assert lacking.of(NAMESPACE) is not None
    assert lacking.of("noisy") is None


async def test_a_later_claim_makes_nothing_unknown(lacking: shortages.Shortages) -> None:
    """After its first claims a namespace stays known. After the deadline every namespace does."""
    lacking.claim(claim())
    lacking.listed()
    assert lacking.of(NAMESPACE) == ()


@pytest.mark.parametrize("listed", [False, True])
async def test_the_deadline_makes_everything_known(moment: Moment, listed: bool) -> None:
    """A list that fails, or a workload that cannot be read, leaves nothing unknown for ever."""
    lacking = shortages.Shortages(moment, WAIT)
    lacking.claim(claim())
    if listed:
        lacking.listed()
    assert lacking.of(NAMESPACE) is None
    lacking.waited()
    assert lacking.of(NAMESPACE) == ()


def _full(lacking: shortages.Shortages, names: str = "team") -> None:
    """Take all places, with as few namespaces as possible."""
    each = shortages.MOST_IN_NAMESPACE
    for number in range(shortages.MOST):
        assert lacking.claim(claim(f"agent-{number % each}", f"{names}-{number // each}"))


async def test_false_claims_of_a_few_namespaces_blind_no_other(lacking: shortages.Shortages) -> None:
    """Claims that no read has confirmed give their places to namespaces that have fewer claims (A37)."""
    _full(lacking)
    assert [lacking.claim(claim(f"agent-{number}")) for number in range(10)] == [True] * 10
    assert lacking.next(NAMESPACE).claim is not None
    remaining = [int(lacking.next(f"team-{team}").claim is not None) for team in range(32)]
    assert remaining == [1] * 32
    assert lacking.dropped == 10


async def test_what_was_read_is_displaced_by_no_claim(lacking: shortages.Shortages) -> None:
    """A workload that lacks pods keeps its place. If such workloads have all places, a new claim is dropped."""
    _full(lacking)
    each = shortages.MOST_IN_NAMESPACE
    for number in range(shortages.MOST):
        workload = claim(f"agent-{number % each}", f"team-{number // each}")
        lacking.keep(shortage(workload.name, workload=workload))
    assert not lacking.claim(claim())
    assert sum(len(lacking.of(f"team-{team}") or ()) for team in range(32)) == shortages.MOST


async def test_a_namespace_displaces_only_for_a_fairer_share(lacking: shortages.Shortages) -> None:
    """Two namespaces never displace each other's claims in turn, and none loses its last claim."""
    for number in range(shortages.MOST):
        assert lacking.claim(claim(namespace=f"team-{number}"))
    assert not lacking.claim(claim())
    assert lacking.dropped == 1


async def test_places_are_free_again(lacking: shortages.Shortages) -> None:
    """The places of dropped claims, and of namespaces that no longer exist."""
    _full(lacking)
    lacking.forget("team-0")
    accepted = [lacking.claim(claim(f"more-{number}", f"next-{number}")) for number in range(32)]
    assert all(accepted)
    assert lacking.dropped == 0
    lacking.drop(claim("agent-0", "team-1"))
    lacking.drop(claim("agent-0", "team-1"))
    assert lacking.claim(claim())
    assert lacking.dropped == 0
    assert lacking.claim(claim("second"))
    assert lacking.dropped == 1


async def test_what_is_empty_is_swept(lacking: shortages.Shortages, moment: Moment) -> None:
    """A namespace without claims and with full budgets takes no memory. Nothing else is swept."""
    lacking.hears("gone")
    lacking.claim(claim())
    lacking.claim(claim("read", "idle"))
    lacking.drop(lacking.next("idle").claim or claim())
    lacking.sweep()
    assert lacking.namespaces == 3
    moment.seconds += 60
    lacking.sweep()
    assert lacking.namespaces == 1
    assert lacking.next(NAMESPACE).claim == claim()


async def test_a_namespace_that_is_gone_leaves_no_moment_in_the_queue(lacking: shortages.Shortages) -> None:
    """The next read of the namespace may have been minutes away."""
    lacking.claim(claim())
    assert await lacking.queue.take() == NAMESPACE
    lacking.queue.add_after(NAMESPACE, 300)
    lacking.queue.retry(NAMESPACE)
    lacking.queue.done(NAMESPACE)
    lacking.forget(NAMESPACE)
    assert (lacking.queue._when, lacking.queue._failures) == ({}, {})
