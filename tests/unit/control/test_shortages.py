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
def kept(moment: Moment) -> shortages.Shortages:
    made = shortages.Shortages(moment, WAIT)
    made.listed()
    return made


def claim(name: str = "agent", namespace: str = NAMESPACE) -> snapshot.Reference:
    return replace(shortage(name).workload, namespace=namespace)


def plan_of(kept: shortages.Shortages, *things: Any) -> plan.NamespacePlan:
    """Return the plan for the kept shortages, with these exceptions in force and these pods."""
    exceptions = [one for one in things if not isinstance(one, snapshot.Pod)]
    return planned(seen(*things, namespace=denied(*exceptions), shortages=kept.of(NAMESPACE)))


def events(made: plan.NamespacePlan) -> list[effects.EmitEvent]:
    return [one for one in made.effects if isinstance(one, effects.EmitEvent)]


async def test_a_claim_is_read_at_once_and_once(kept: shortages.Shortages) -> None:
    """However often the claim is made meanwhile."""
    assert kept.claim(claim())
    assert kept.claim(claim())
    assert kept.next(NAMESPACE) == (claim(), 0.0)
    kept.drop(claim())
    assert kept.next(NAMESPACE) == (None, math.inf)


async def test_a_namespace_has_few_places(kept: shortages.Shortages) -> None:
    """Claims beyond the limit are counted. Another namespace has its own places."""
    taken = [kept.claim(claim(f"agent-{number}")) for number in range(shortages.MOST_IN_NAMESPACE + 5)]
    assert (taken.count(True), taken.count(False)) == (shortages.MOST_IN_NAMESPACE, 5)
    assert kept.dropped == 5
    assert kept.claim(claim(namespace="other"))


async def test_all_namespaces_together_have_a_limit(kept: shortages.Shortages) -> None:
    """A user with many namespaces cannot fill the memory."""
    each = shortages.MOST_IN_NAMESPACE
    for number in range(shortages.MOST):
        assert kept.claim(claim(f"agent-{number % each}", f"team-{number // each}"))
    for number in range(40):
        kept.claim(claim(namespace=f"more-{number}"))
    assert sum(len(home.places) for home in kept._by_namespace.values()) == shortages.MOST
    assert kept.dropped == 40


async def test_a_namespace_has_a_budget_of_reads(kept: shortages.Shortages, moment: Moment) -> None:
    """Ten reads, then one every half second, whatever the claims say."""
    for number in range(20):
        kept.claim(claim(f"agent-{number}"))
    read = 0
    while (one := kept.next(NAMESPACE)).claim is not None:
        kept.drop(one.claim)
        read += 1
    assert read == 10
    assert one[1] == pytest.approx(0.5)
    moment.seconds += 0.5
    assert kept.next(NAMESPACE).claim is not None


async def test_a_flood_takes_turns_with_other_namespaces(kept: shortages.Shortages) -> None:
    """The queue contains namespaces, so thirty claims of one namespace delay no other namespace."""
    for number in range(30):
        kept.claim(claim(f"agent-{number}", "noisy"))
    kept.claim(claim(namespace="quiet"))
    assert [await kept.queue.take(), await kept.queue.take()] == ["noisy", "quiet"]


async def test_a_status_that_is_behind_is_read_again(kept: shortages.Shortages, moment: Moment) -> None:
    """A controller emits its Event before it writes the number of pods. After some reads the operator stops reading."""
    kept.claim(claim())
    reads = 0
    while kept.next(NAMESPACE).wait_seconds < math.inf:
        found, seconds = kept.next(NAMESPACE)
        if found is None:
            moment.seconds += seconds
            continue
        kept.enough(found)
        reads += 1
    assert reads == 6
    assert moment.seconds - 1000 < 5


async def test_what_lacks_pods_is_read_ever_more_seldom(kept: shortages.Shortages, moment: Moment) -> None:
    """After one second, two, four, and so on, up to five minutes."""
    kept.claim(claim())
    pauses = []
    for _ in range(11):
        kept.keep(shortage())
        pauses.append(kept.next(NAMESPACE).wait_seconds)
        moment.seconds += pauses[-1]
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == 300


async def test_a_read_that_fails_is_tried_again_ever_more_seldom(kept: shortages.Shortages) -> None:
    """After two seconds, four, and so on, up to five minutes.

    This pause and the pause of a shortage do not lengthen each other.
    """
    kept.claim(claim())
    for _ in range(11):
        kept.keep(shortage())
    failing = []
    for _ in range(9):
        kept.later(claim())
        failing.append(kept.next(NAMESPACE)[1])
    assert failing[:4] == [2, 4, 8, 16]
    assert failing[-1] == 300
    kept.drop(claim())
    kept.claim(claim())
    kept.keep(shortage())
    for _ in range(9):
        kept.later(claim())
    kept.keep(shortage())
    assert kept.next(NAMESPACE)[1] == 2
    kept.later(claim())
    assert kept.next(NAMESPACE)[1] == 2


async def test_what_changes_is_read_again_soon(kept: shortages.Shortages) -> None:
    """A change is a new pod of the workload or a new template. Another resource version alone is no change."""
    kept.claim(claim())
    for _ in range(9):
        kept.keep(shortage())
    kept.keep(shortage(pod=builders.pod(resource_version="8")))
    assert kept.next(NAMESPACE)[1] == 300
    for changed in (shortage(present=1), shortage(present=1, wanted=3), shortage(pod=builders.pod(privileged=True))):
        kept.keep(changed)
        assert kept.next(NAMESPACE)[1] == 1


async def test_a_workload_that_has_its_pods_is_forgotten(kept: shortages.Shortages) -> None:
    """The workload no longer counts after the first read that shows its pods."""
    kept.claim(claim())
    kept.keep(shortage())
    assert kept.of(NAMESPACE) == (shortage(),)
    kept.enough(claim())
    assert kept.of(NAMESPACE) == ()


async def test_an_emitted_event_is_remembered(kept: shortages.Shortages) -> None:
    """The Event stays remembered when the workload is read again, so the plan does not have it any more."""
    kept.claim(claim())
    kept.keep(shortage())
    made = plan_of(kept)
    (event,) = events(made)
    kept.heed(made, [event], NOW)
    kept.keep(shortage())
    assert events(plan_of(kept)) == []


async def test_since_when_a_workload_is_covered_is_remembered(kept: shortages.Shortages, moment: Moment) -> None:
    """The workload is read again when its controller has had its time. That time begins again after another refusal."""
    kept.claim(claim())
    kept.keep(shortage())
    kept.heed(plan_of(kept), [], NOW)
    kept.heed(plan_of(kept, hne()), [], NOW)
    assert [one.covered for one in kept.of(NAMESPACE)] == [NOW]
    for seconds in (1, 2, 4, 8, 16, 27):
        moment.seconds += 5
        kept.keep(shortage(read=builders.at(seconds=seconds)))
    assert kept.next(NAMESPACE).wait_seconds == pytest.approx(32)
    moment.seconds += 40
    kept.keep(shortage(read=builders.at(seconds=59)))
    assert kept.next(NAMESPACE).wait_seconds == pytest.approx(1)
    kept.heed(plan_of(kept), [], NOW)
    assert [one.covered for one in kept.of(NAMESPACE)] == [None]


async def test_a_workload_that_was_never_refused_is_forgotten(kept: shortages.Shortages) -> None:
    """An exception covers its pods all the time, so the workload lacks pods for another reason."""
    kept.claim(claim())
    kept.keep(shortage())
    kept.heed(plan_of(kept, hne()), [], NOW)
    assert kept.of(NAMESPACE) == ()


async def test_a_pod_that_comes_is_a_reason_to_read(kept: shortages.Shortages, moment: Moment) -> None:
    """The read does not wait for the schedule. A plan that shows the same pods is no reason to read."""
    kept.claim(claim())
    for _ in range(9):
        kept.keep(shortage())
        kept.heed(plan_of(kept), [], NOW)
    moment.seconds += 10
    kept.heed(plan_of(kept), [], NOW)
    assert kept.next(NAMESPACE).claim is None
    kept.heed(plan_of(kept, builders.pod(owner=claim(), service_account="other")), [], NOW)
    assert kept.next(NAMESPACE).claim == claim()


async def test_a_namespace_that_is_gone_is_forgotten(kept: shortages.Shortages) -> None:
    """All claims of the namespace are forgotten."""
    kept.claim(claim())
    kept.keep(shortage())
    kept.forget(NAMESPACE)
    assert kept.of(NAMESPACE) == ()
    assert kept.next(NAMESPACE) == (None, math.inf)
    kept.keep(shortage())
    assert kept.of(NAMESPACE) == ()


async def test_a_namespace_has_a_budget_of_events(kept: shortages.Shortages, moment: Moment) -> None:
    """Fifty Events, then one every half second.

    Other namespaces have their own budgets, and an Event about no namespace always passes.
    """
    heard = [kept.hears("noisy") for _ in range(60)]
    assert (heard.count(True), kept.dropped) == (50, 10)
    assert kept.hears("quiet")
    assert kept.hears("")
    moment.seconds += 0.5
    assert [kept.hears("noisy"), kept.hears("noisy")] == [True, False]


async def test_before_the_first_list_nothing_is_known(moment: Moment) -> None:
    """None is not the empty tuple: a workload that lacked pods before a restart may still lack them."""
    kept = shortages.Shortages(moment, WAIT)
    kept.claim(claim())
    assert kept.of(NAMESPACE) is None
    kept.keep(shortage())
    assert kept.of(NAMESPACE) is None
    kept.listed()
    assert kept.of(NAMESPACE) == (shortage(),)
    assert kept.of("quiet") == ()


@pytest.mark.parametrize("end", ["keep", "drop", "forget"])
async def test_a_namespace_is_known_once_its_first_claims_are_read(moment: Moment, end: str) -> None:
    """Each namespace becomes known separately, so a flood in one namespace delays no other."""
    kept = shortages.Shortages(moment, WAIT)
    kept.claim(claim())
    kept.claim(claim("other"))
    kept.claim(claim(namespace="noisy"))
    kept.listed()
    kept.keep(shortage("other"))
    kept.later(claim())
    assert kept.of(NAMESPACE) is None
    {
        "keep": lambda: kept.keep(shortage()),
        "drop": lambda: kept.drop(claim()),
        "forget": lambda: kept.forget(NAMESPACE),
    }[end]()
    expected = {"keep": {"agent", "other"}, "drop": {"other"}, "forget": set()}
    assert {one.workload.name for one in kept.of(NAMESPACE) or ()} == expected[end]
    assert kept.of(NAMESPACE) is not None
    assert kept.of("noisy") is None


async def test_a_later_claim_makes_nothing_unknown(kept: shortages.Shortages) -> None:
    """After its first claims a namespace stays known. After the deadline every namespace does."""
    kept.claim(claim())
    kept.listed()
    assert kept.of(NAMESPACE) == ()


@pytest.mark.parametrize("listed", [False, True])
async def test_the_deadline_makes_everything_known(moment: Moment, listed: bool) -> None:
    """A list that fails, or a workload that cannot be read, leaves nothing unknown for ever."""
    kept = shortages.Shortages(moment, WAIT)
    kept.claim(claim())
    if listed:
        kept.listed()
    assert kept.of(NAMESPACE) is None
    kept.waited()
    assert kept.of(NAMESPACE) == ()


def _full(kept: shortages.Shortages, names: str = "team") -> None:
    """Take all places, with as few namespaces as possible."""
    each = shortages.MOST_IN_NAMESPACE
    for number in range(shortages.MOST):
        assert kept.claim(claim(f"agent-{number % each}", f"{names}-{number // each}"))


async def test_false_claims_of_a_few_namespaces_blind_no_other(kept: shortages.Shortages) -> None:
    """Claims that no read has confirmed give their places to namespaces that have fewer claims (A37)."""
    _full(kept)
    assert [kept.claim(claim(f"agent-{number}")) for number in range(10)] == [True] * 10
    assert kept.next(NAMESPACE).claim is not None
    left = [int(kept.next(f"team-{team}").claim is not None) for team in range(32)]
    assert left == [1] * 32
    assert kept.dropped == 10


async def test_what_was_read_is_displaced_by_no_claim(kept: shortages.Shortages) -> None:
    """A workload that lacks pods keeps its place. If such workloads have all places, a new claim is dropped."""
    _full(kept)
    each = shortages.MOST_IN_NAMESPACE
    for number in range(shortages.MOST):
        one = claim(f"agent-{number % each}", f"team-{number // each}")
        kept.keep(shortage(one.name, workload=one))
    assert not kept.claim(claim())
    assert sum(len(kept.of(f"team-{team}") or ()) for team in range(32)) == shortages.MOST


async def test_a_namespace_displaces_only_for_a_fairer_share(kept: shortages.Shortages) -> None:
    """Two namespaces never displace each other's claims in turn, and none loses its last claim."""
    for number in range(shortages.MOST):
        assert kept.claim(claim(namespace=f"team-{number}"))
    assert not kept.claim(claim())
    assert kept.dropped == 1


async def test_places_are_free_again(kept: shortages.Shortages) -> None:
    """The places of dropped claims, and of namespaces that no longer exist."""
    _full(kept)
    kept.forget("team-0")
    again = [kept.claim(claim(f"more-{number}", f"next-{number}")) for number in range(32)]
    assert all(again)
    assert kept.dropped == 0
    kept.drop(claim("agent-0", "team-1"))
    kept.drop(claim("agent-0", "team-1"))
    assert kept.claim(claim())
    assert kept.dropped == 0
    assert kept.claim(claim("second"))
    assert kept.dropped == 1


async def test_what_is_empty_is_swept(kept: shortages.Shortages, moment: Moment) -> None:
    """A namespace without claims and with full budgets takes no memory. Nothing else is swept."""
    kept.hears("gone")
    kept.claim(claim())
    kept.claim(claim("read", "idle"))
    kept.drop(kept.next("idle").claim or claim())
    kept.sweep()
    assert kept.namespaces == 3
    moment.seconds += 60
    kept.sweep()
    assert kept.namespaces == 1
    assert kept.next(NAMESPACE).claim == claim()


async def test_a_namespace_that_is_gone_leaves_no_moment_in_the_queue(kept: shortages.Shortages) -> None:
    """The next read of the namespace may have been minutes away."""
    kept.claim(claim())
    assert await kept.queue.take() == NAMESPACE
    kept.queue.add_after(NAMESPACE, 300)
    kept.queue.retry(NAMESPACE)
    kept.queue.done(NAMESPACE)
    kept.forget(NAMESPACE)
    assert (kept.queue._when, kept.queue._failures) == ({}, {})
