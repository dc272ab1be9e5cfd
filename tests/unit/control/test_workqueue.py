"""The queue of namespaces: each name is queued once and has at most one worker, and delayed names come on time.

No test waits for a time other than the queue's own, and no test is about how long something takes.
"""

import asyncio

import pytest

from hostnetwork_operator.control.workqueue import WorkQueue


async def empty(queue: WorkQueue) -> bool:
    """Return True if there is nothing to take now, so that a worker has to wait. Fail if there is something."""
    task = asyncio.ensure_future(queue.take())
    for _ in range(5):
        await asyncio.sleep(0)  # lets the task run, takes no time
    if task.done():
        raise AssertionError(f"{task.result()!r} was there")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return True


async def test_names_come_in_order() -> None:
    """First in, first out."""
    queue = WorkQueue()
    for name in ("a", "b", "c"):
        queue.add(name)
    assert [await queue.take() for _ in range(3)] == ["a", "b", "c"]


async def test_a_name_is_queued_once() -> None:
    """However often the name is added."""
    queue = WorkQueue()
    for name in ("a", "b", "a", "a"):
        queue.add(name)
    assert [await queue.take() for _ in range(2)] == ["a", "b"]
    assert await empty(queue)


async def test_a_name_has_at_most_one_worker() -> None:
    """If a name is added while a worker has it, the name comes again afterwards, once."""
    queue = WorkQueue()
    queue.add("a")
    assert await queue.take() == "a"
    queue.add("a")
    queue.add("a")
    assert await empty(queue)
    queue.done("a")
    assert await queue.take() == "a"
    queue.done("a")
    assert await empty(queue)


async def test_other_names_are_not_held_up() -> None:
    """A slow namespace delays only itself."""
    queue = WorkQueue()
    queue.add("slow")
    await queue.take()
    queue.add("slow")
    queue.add("b")
    assert await queue.take() == "b"


async def test_a_waiting_worker_is_woken() -> None:
    """The next name wakes the worker."""
    queue = WorkQueue()
    task = asyncio.ensure_future(queue.take())
    await asyncio.sleep(0)
    queue.add("a")
    assert await asyncio.wait_for(task, 10) == "a"


async def test_many_workers_share_the_work() -> None:
    """Every name is worked on, and no name by two at a time."""
    queue = WorkQueue()
    in_progress: set[str] = set()
    finished: list[str] = []

    async def work() -> None:
        while True:
            name = await queue.take()
            assert name not in in_progress
            in_progress.add(name)
            await asyncio.sleep(0)
            queue.add(f"n{(len(finished) * 7) % 10}") if len(finished) < 200 else None
            await asyncio.sleep(0)
            in_progress.discard(name)
            finished.append(name)
            queue.done(name)

    for number in range(10):
        queue.add(f"n{number}")
    workers = [asyncio.ensure_future(work()) for _ in range(4)]
    idle = asyncio.ensure_future(queue.until_idle())
    done, _ = await asyncio.wait([idle, *workers], timeout=30, return_when=asyncio.FIRST_COMPLETED)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    assert {idle} == done
    assert {f"n{number}" for number in range(10)} == set(finished)
    assert len(finished) >= 200


async def test_a_later_wish_waits() -> None:
    """The name comes when its delay is over."""
    queue = WorkQueue()
    queue.add_after("late", 3600)
    assert await empty(queue)
    queue.add_after("soon", 0.01)
    assert await asyncio.wait_for(queue.take(), 10) == "soon"


@pytest.mark.parametrize("pauses", [(3600, 0.01), (0.01, 3600), (3600, 0.01, 7200)])
async def test_the_earliest_of_several_wishes_counts(pauses: tuple[float, ...]) -> None:
    """That request ends the others."""
    queue = WorkQueue()
    for pause in pauses:
        queue.add_after("a", pause)
    assert await asyncio.wait_for(queue.take(), 10) == "a"
    queue.done("a")
    assert await empty(queue)


async def test_an_earlier_wish_wakes_a_worker_that_waits_for_a_later_one() -> None:
    """The worker does not sleep past the earlier moment."""
    queue = WorkQueue()
    queue.add_after("late", 3600)
    task = asyncio.ensure_future(queue.take())
    await asyncio.sleep(0)
    queue.add_after("soon", 0.01)
    assert await asyncio.wait_for(task, 10) == "soon"


@pytest.mark.parametrize("pause", [0.0, -5.0])
async def test_a_wish_for_the_past_is_due_now(pause: float) -> None:
    """A moment that came while the delay was computed is not lost."""
    queue = WorkQueue()
    queue.add_after("a", pause)
    assert await asyncio.wait_for(queue.take(), 10) == "a"


async def test_wishes_come_in_the_order_of_their_moments() -> None:
    """Names do not come in the order of the requests."""
    queue = WorkQueue()
    for name, pause in (("c", 0.03), ("a", 0.01), ("b", 0.02)):
        queue.add_after(name, pause)
    assert [await asyncio.wait_for(queue.take(), 10) for _ in range(3)] == ["a", "b", "c"]


async def test_a_new_wish_after_one_that_came_is_a_new_one() -> None:
    """A namespace is planned again at each of its moments."""
    queue = WorkQueue()
    for _ in range(3):
        queue.add_after("a", 0.01)
        assert await asyncio.wait_for(queue.take(), 10) == "a"
        queue.done("a")


async def test_the_pause_after_a_failure_grows() -> None:
    """The pause doubles from a quarter of a second to a minute, minus a random part of up to half."""
    queue = WorkQueue()
    pauses = [queue.retry("a") for _ in range(40)]
    for number, pause in enumerate(pauses):
        longest = min(60.0, 0.25 * 2.0**number)
        assert longest / 2 <= pause <= longest
    assert len(set(pauses)) > 30


async def test_each_name_has_its_own_failures_until_a_success() -> None:
    """The pause of another name is short, and so is the pause of a name whose failures were forgotten."""
    queue = WorkQueue()
    for _ in range(10):
        queue.retry("a")
    assert queue.retry("b") <= 0.25
    queue.forget("a")
    queue.forget("never failed")
    assert queue.retry("a") <= 0.25


async def test_a_failed_name_comes_again() -> None:
    """The name comes again after its pause."""
    queue = WorkQueue()
    queue.add("a")
    await queue.take()
    queue.retry("a")
    queue.done("a")
    assert await asyncio.wait_for(queue.take(), 10) == "a"


async def fail(queue: WorkQueue, name: str) -> None:
    """Let a worker take the name and fail, not for the first time. The pause is then at least half a minute."""
    queue._failures[name] = 20
    queue.add(name)
    while await queue.take() != name:
        pass
    queue.retry(name)
    queue.done(name)


async def test_what_failed_in_an_outage_is_due_when_that_is_over() -> None:
    """All of these names are due, however long their pauses are by then, and each of them once."""
    queue = WorkQueue()
    for name in ("a", "b", "c"):
        await fail(queue, name)
    queue.add_after("later", 3600)
    assert await empty(queue)
    queue.hurry()
    assert [await queue.take() for _ in range(3)] == ["a", "b", "c"]
    for name in ("a", "b", "c"):
        queue.forget(name)
        queue.done(name)
    assert await empty(queue)


async def test_what_fails_for_a_reason_of_its_own_keeps_its_pauses() -> None:
    """However often other names recover, the name is hurried once, and again only by an outage that lasts."""
    queue = WorkQueue()
    await fail(queue, "broken")
    queue.hurry()
    assert await queue.take() == "broken"
    queue.retry("broken")
    queue.done("broken")
    for _ in range(5):
        queue.hurry()
        assert await empty(queue)
    await fail(queue, "broken")
    queue.hurry()
    assert await empty(queue)
    await fail(queue, "broken")
    await fail(queue, "broken")
    queue.hurry()
    assert await queue.take() == "broken"


async def test_a_name_that_is_dropped_leaves_nothing_behind() -> None:
    """No moment, no failure and no rest is left: over the years a cluster has very many namespaces."""
    queue = WorkQueue()
    for number in range(1000):
        name = f"gone-{number}"
        queue.add(name)
        assert await queue.take() == name
        queue.add_after(name, 86400)
        queue.retry(name)
        queue.rest(name, 5)
        queue.done(name)
        queue.drop(name)
    collections = (queue._when, queue._failures, queue._failed_at, queue._hasty, queue._rests)
    assert [len(collection) for collection in collections] == [0] * 5
    assert len(queue._later) < 100
    queue.add_after("there", 0.01)
    assert await asyncio.wait_for(queue.take(), 10) == "there"


async def test_moments_that_no_longer_count_do_not_gather() -> None:
    """Each earlier request replaces a later one."""
    queue = WorkQueue()
    for number in range(1000):
        queue.add_after("a", 86400 - number)
    assert len(queue._later) < 100
    queue.add_after("a", 0.01)
    assert await asyncio.wait_for(queue.take(), 10) == "a"


async def test_a_name_that_is_asked_for_while_it_is_dropped_comes_again() -> None:
    """Another namespace has the name by then."""
    queue = WorkQueue()
    queue.add("again")
    assert await queue.take() == "again"
    queue.add("again")
    queue.drop("again")
    queue.done("again")
    assert await queue.take() == "again"


async def test_a_queue_that_nothing_was_put_in_is_idle() -> None:
    """Otherwise a cluster without work would never be ready."""
    queue = WorkQueue()
    assert queue.idle
    await asyncio.wait_for(queue.until_idle(), 10)
    queue.add("a")
    assert not queue.idle


async def test_idle_is_when_nobody_works_and_nothing_is_ready() -> None:
    """Delayed names do not count. A name that was added during the work does."""
    queue = WorkQueue()
    queue.add("a")
    queue.add_after("late", 3600)
    idle = asyncio.ensure_future(queue.until_idle())
    await queue.take()
    await asyncio.sleep(0)
    assert not idle.done()
    queue.add("a")
    queue.done("a")
    await asyncio.sleep(0)
    assert not idle.done()
    await queue.take()
    queue.done("a")
    await asyncio.wait_for(idle, 10)


@pytest.mark.parametrize("asks", ["meanwhile", "afterwards", "later", "deferred"])
async def test_a_name_that_rests_is_not_taken_before_its_rest_ends(asks: str) -> None:
    """Whatever adds the name, and however often.

    Other names are taken meanwhile, and the queue is idle without the resting name.
    """
    queue = WorkQueue()
    queue.add("crowded")
    assert await queue.take() == "crowded"
    end_of_rest = asyncio.get_running_loop().time() + 0.05
    queue.rest("crowded", 0.05)
    ask = {"deferred": queue.defer, "later": lambda name: queue.add_after(name, 0.01)}.get(asks, queue.add)
    if asks != "afterwards":
        ask("crowded")
    queue.done("crowded")
    if asks == "afterwards":
        ask("crowded")
    queue.add("ordinary")
    assert await queue.take() == "ordinary"
    queue.done("ordinary")
    assert queue.idle
    assert await queue.take() == "crowded"
    assert asyncio.get_running_loop().time() >= end_of_rest
    queue.done("crowded")
    assert queue.idle
    assert await empty(queue)


@pytest.mark.parametrize("asks", ["deferred", "later", "again"])
async def test_a_queue_is_not_idle_while_a_name_is_worked_on_after_its_rest(asks: str) -> None:
    """The queue was idle while the name rested. A caller that waits for idle after that waits for the work."""
    queue = WorkQueue()
    queue.add("crowded")
    assert await queue.take() == "crowded"
    queue.rest("crowded", 0.01)
    {"deferred": queue.defer, "later": lambda name: queue.add_after(name, 0.01), "again": queue.add}[asks]("crowded")
    queue.done("crowded")
    assert queue.idle
    assert await queue.take() == "crowded"
    assert not queue.idle
    idle = asyncio.ensure_future(queue.until_idle())
    await asyncio.sleep(0)
    assert not idle.done()
    queue.done("crowded")
    await asyncio.wait_for(idle, 10)


async def test_a_rest_is_for_one_name_and_ends() -> None:
    """If nothing adds the name during its rest, the name is taken immediately when it is added afterwards."""
    queue = WorkQueue()
    queue.add("crowded")
    assert await queue.take() == "crowded"
    queue.rest("crowded", 0.01)
    queue.done("crowded")
    assert queue.idle
    await asyncio.sleep(0.02)
    queue.add("crowded")
    assert queue.pressing
    assert await queue.take() == "crowded"


async def test_two_names_that_rest_by_turns_keep_nobody_waiting() -> None:
    """A caller that waits until the queue is idle, as the start does, continues.

    It does not matter how often somebody adds the two names.
    """
    queue = WorkQueue()

    async def work() -> None:
        while True:
            name = await queue.take()
            await asyncio.sleep(0.002)
            queue.rest(name, 0.02)
            queue.done(name)

    async def ask() -> None:
        while True:
            for name in ("one", "other"):
                queue.add(name)
            await asyncio.sleep(0.001)

    queue.add("one")
    queue.add("other")
    tasks = [asyncio.create_task(work()), asyncio.create_task(ask())]
    async with asyncio.timeout(10):
        await queue.until_idle()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_deferred_name_that_rests_comes_after_all_others() -> None:
    """After its rest the name still has nothing pressing left."""
    queue = WorkQueue()
    queue.add("crowded")
    assert await queue.take() == "crowded"
    queue.rest("crowded", 0.01)
    queue.defer("crowded")
    queue.done("crowded")
    await asyncio.sleep(0.02)
    queue.add("ordinary")
    assert [await queue.take() for _ in range(2)] == ["ordinary", "crowded"]
