"""Whatever request fails: the final state is the same, and each Event is emitted.

tests/faults/test_any_request.py fails each request of the end of a grant.
"""

import asyncio
import datetime
import gc
from collections.abc import Callable
from typing import Any

import kopf
import pytest
from aiohttp import web

from hostnetwork_operator import config, metrics
from hostnetwork_operator.act import outbox
from hostnetwork_operator.api import labels
from hostnetwork_operator.control import loops, operator, policy_status, resync, startup
from hostnetwork_operator.decide import effects, settle, snapshot
from hostnetwork_operator.observe import cluster, store
from tests.unit import serving
from tests.unit.shell import world
from tests.unit.shell.apiserver import ApiServer, refusal, until

_HOUR = datetime.timedelta(hours=1)
DEFAULT_EVENTS = "/api/v1/namespaces/default/events"


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)  # noqa: TID251 - the server's clock is this machine's


@pytest.fixture(scope="module")
def relaxed() -> ApiServer:
    """Return a server whose namespace is relaxed for a covered diagnostic pod. The exception has ended since."""
    for seconds in (2, 4, 8, 16, 32, 64):  # a busy machine needs more, and no test waits for longer than it must
        server = asyncio.run(_relaxed(_now() + datetime.timedelta(seconds=seconds)))
        if server is not None:
            return server
    raise AssertionError("not relaxed within a minute")


async def _relaxed(expiry: datetime.datetime) -> ApiServer | None:
    """Return None if the exception ended before all was done."""
    server = world.installed()
    server.put(world.EXCEPTION, world.diagnostic(expiry))
    server.put(world.POD, world.pod())
    async with world.operating(server) as core:
        await core.until_idle()
        await core.policy_status.settle_ledger()
        await core.until_idle()
    seconds_left = (expiry - _now()).total_seconds()
    if seconds_left < 0.5 or world.enforce_level(server) != "privileged":
        return None
    await asyncio.sleep(seconds_left + 1)
    return server


def state(server: ApiServer) -> object:
    """Return what people see of the cluster."""
    metadata = server.objects[world.NAMESPACE_PATH]["metadata"]
    ready = [
        condition["reason"]
        for condition in server.objects[world.EXCEPTION]["status"]["conditions"]
        if condition["type"] == "Ready"
    ]
    grants = [key for key in metadata["annotations"] if key.startswith(labels.GRANT_PREFIX)]
    return metadata["labels"], grants, ready, world.POD in server.objects, world.emitted(server)


async def run_to_the_end(
    server: ApiServer, disturb: Callable[[ApiServer], None] = lambda _: None
) -> tuple[ApiServer, operator.Operator]:
    """Return the same cluster once an operator that was started after the expiry has nothing left to do."""
    copied_server = server.clone()
    async with world.operating(copied_server) as core:
        copied_server.requests.clear()
        disturb(copied_server)
        await core.until_idle()
        await core.policy_status.settle_ledger()
        await until(lambda: _is_done(copied_server, core), f"all is done: {state(copied_server)}")
    return copied_server, core


def _is_done(server: ApiServer, core: operator.Operator) -> bool:
    return (
        world.POD not in server.objects
        and world.enforce_level(server) == "baseline"
        and "LevelRestored" in world.emitted(server)
        and "Expired" in str(state(server))
        and core.schedule.queue.idle
        and not any(namespace_memory.events for namespace_memory in core.memories)
    )


async def test_a_refused_event_holds_nothing_back_and_is_told_later(relaxed: ApiServer) -> None:
    """With a quota of Events in a namespace, level, grant, pod and status are as usual.

    Once there is no quota, each Event is emitted.
    """
    undisturbed, _ = await run_to_the_end(relaxed)
    server, full = relaxed.clone(), True
    async with world.operating(server) as core:
        server.fails = lambda request: refusal(403) if full and request.path.endswith("/events") else None
        await core.until_idle()
        await core.policy_status.settle_ledger()
        await until(lambda: world.POD not in server.objects and "Expired" in str(state(server)), "all is ended")
        assert world.enforce_level(server) == "baseline"
        assert world.emitted(server) == world.emitted(relaxed)
        full = False
        await until(lambda: world.emitted(server) == world.emitted(undisturbed), "each Event is told")


async def test_a_refused_event_about_the_policy_holds_back_no_status(
    relaxed: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status is written, and few requests are sent. The Event is emitted once Events are accepted again."""
    monkeypatch.setattr(policy_status, "_GATHER_SECONDS", 0.01)
    monkeypatch.setattr(outbox, "_FIRST_PAUSE_SECONDS", 2.0)
    server = relaxed.clone()
    server.objects[world.POLICY]["metadata"]["generation"] = 2
    refusing, count_before = True, len(server.under(DEFAULT_EVENTS))
    async with world.operating(server) as core:
        server.fails = lambda request: refusal(403) if refusing and request.path == DEFAULT_EVENTS else None
        core.schedule.policy_changed.set()
        task = asyncio.create_task(core.policy_status.keep())
        await until(lambda: _observed(server) == 2, "the status is written")
        await asyncio.sleep(0.5)
        assert len([request for request in server.requests if request.path == DEFAULT_EVENTS]) == 1
        refusing = False
        await until(lambda: len(server.under(DEFAULT_EVENTS)) > count_before, "it is told")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _observed(server: ApiServer) -> int:
    return int(server.objects[world.POLICY].get("status", {}).get("observedGeneration", 0))


async def test_events_that_are_refused_cost_one_request_a_pause(
    relaxed: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who has hundreds of Events refused does not multiply the operator's requests."""
    monkeypatch.setattr(outbox, "_FIRST_PAUSE_SECONDS", 3600.0)
    server = relaxed.clone()
    async with world.operating(server) as core:
        await core.until_idle()
        (namespace_memory,) = core.memories
        regarding = snapshot.Reference("Pod", "payments", "capture", "u")
        namespace_memory.events.add(
            effects.EmitEvent(regarding, "Normal", "Told", "message", str(number)) for number in range(100)
        )
        server.fails = lambda request: refusal(403) if request.path.endswith("/events") else None
        server.requests.clear()
        core.schedule.wake("payments")
        await until(lambda: server.requests, "a request")
        await core.until_idle()
        for _ in range(5):  # whatever wakes the namespace
            core.schedule.wake("payments")
            await core.until_idle()
        assert [request.method for request in server.requests] == ["POST"]
        assert len(namespace_memory.events) == 100
        server.fails = lambda _: None
        await core.reconciler.drain(60)
        assert not namespace_memory.events


async def test_what_is_postponed_is_told_before_the_process_ends(relaxed: ApiServer) -> None:
    """SIGTERM arrives between a delete and its Event. No later process knows that the pod existed."""
    server = relaxed.clone()
    async with world.operating(server) as core:
        server.fails = lambda request: refusal(403) if request.path.endswith("/events") else None
        await core.until_idle()
        (namespace_memory,) = core.memories
        await until(lambda: len(namespace_memory.events) > 1, "what is refused waits")
        server.fails = lambda _: None
        await core.reconciler.drain(10)
        assert not namespace_memory.events


async def test_who_is_stopped_among_many_deletes_tells_of_each(relaxed: ApiServer) -> None:
    """SIGTERM arrives while a worker deletes pods one after the other.

    No delete begins after it, and each finished delete is reported.
    """
    server = relaxed.clone()
    for number in range(30):
        server.put(f"{world.POD}-{number}", world.pod())
    async with world.operating(server) as core:
        await until(lambda: len(server.under(world.POD.rpartition("/")[0])) < 25, "some are deleted")
        await core.reconciler.drain(10)
        remaining = len(server.under(world.POD.rpartition("/")[0]))
    assert remaining > 0
    assert world.emitted(server).count("ExpiredPodDeleted") == 31 - remaining


async def test_without_the_right_to_read_admission_policies_what_is_granted_ends(
    relaxed: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart, the grant, the level and the pod end on time. Nothing new is granted, and the probe says why."""
    monkeypatch.setattr(resync, "_FORBIDDEN_SECONDS", 0.0)
    server = relaxed.clone()
    server.put(f"{world.EXCEPTION}-again", world.diagnostic(_now() + _HOUR))
    server.fails = lambda request: refusal(403) if "validatingadmission" in request.path else None
    async with world.operating(server) as core:
        await until(lambda: world.POD not in server.objects, "the pod is deleted")
        await until(lambda: world.enforce_level(server) == "baseline", "the level is restored")
        await core.until_idle()
    assert not [
        key for key in server.objects[world.NAMESPACE_PATH]["metadata"]["annotations"] if key.startswith("grant.")
    ]


async def test_a_namespace_that_is_created_again_is_judged_for_itself(relaxed: ApiServer) -> None:
    """The gate's answer about the earlier namespace, and the operator's writes there, do not count for the new one."""
    server = relaxed.clone()
    async with world.operating(server) as core:
        await core.until_idle()
        (memory_before,) = core.memories
        memory_before.answers.tops[snapshot.Reference("ReplicaSet", "payments", "old", "u")] = None
        server.remove(world.NAMESPACE_PATH)
        server.put(world.NAMESPACE_PATH, {"metadata": {"uid": "another"}})
        await core.until_idle()
        (memory_after,) = core.memories
    assert (memory_after.uid, memory_after.answers.tops) == ("another", {})
    assert memory_after.answers.record.wrote != memory_before.answers.record.wrote


async def test_who_looks_once_sees_what_the_operator_sees(relaxed: ApiServer) -> None:
    """Live reads alone, without an operator, show the same verdicts, standings and needs of the namespace."""
    server, _ = await run_to_the_end(relaxed)
    async with world.operating(server) as core:
        await core.until_idle()
        operator_plan = core.plans[world.NAMESPACE_PATH.rsplit("/", 1)[-1]]
        snapshot_read = (await cluster.read(core.api, core.clock)).snapshot(operator_plan.namespace.name)
        assert snapshot_read is not None
        live_plan = settle.settle(snapshot_read, core.clock.now()).plan
    assert (live_plan.enforcement, live_plan.relaxed, live_plan.exempt) == (
        operator_plan.enforcement,
        operator_plan.relaxed,
        operator_plan.exempt,
    )
    assert (live_plan.verdicts, live_plan.standings, live_plan.urgent) == (
        operator_plan.verdicts,
        operator_plan.standings,
        (),
    )


async def test_a_clock_that_cannot_be_asked_holds_nothing_up(relaxed: ApiServer) -> None:
    """The moment of the next check may be past already, and the API server does not say what time it is."""
    server = relaxed.clone()
    async with world.operating(server) as core:
        await core.until_idle()
        server.fails = lambda request: refusal(403) if request.path == "/version" else None
        await asyncio.sleep(0.2)
        moment = core.clock.now()
        assert core.clock.may_be_past(moment)
        await core.schedule.at("payments", moment)


async def test_an_odd_answer_about_reports_ends_nothing(relaxed: ApiServer) -> None:
    """An API server of somebody else may serve reports."""
    server = relaxed.clone()
    odd = {"metadata": {"resourceVersion": ""}, "items": []}
    server.fails = lambda request: web.json_response(odd) if "openreports" in request.path else None
    async with world.operating(server):
        await until(lambda: world.POD not in server.objects, "the pod is deleted")


async def test_a_right_that_stays_missing_is_no_reason_for_a_restart(
    relaxed: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the operator works without a kind, a restart repairs nothing.

    A momentary 403 does not make the operator unready.
    """
    monkeypatch.setattr(resync, "_OUTAGE_SECONDS", 0.0)
    server = relaxed.clone()
    async with world.operating(server) as core:
        lists = world.listing(core, resync_seconds=0.1)
        await lists.fill()
        server.fails = lambda request: refusal(403) if "validatingadmissionpolicies" in request.path else None
        await lists._list(store.Kind.ADMISSION_POLICY)
        assert lists.missing == ""
        monkeypatch.setattr(resync, "_FORBIDDEN_SECONDS", 0.0)
        for _ in range(8):
            await lists._list(store.Kind.ADMISSION_POLICY)
            await asyncio.sleep(0.1)
        assert "to grant the operator's rights" in lists.missing
        assert "validatingadmissionpolicies" not in lists.stale()


async def test_no_loop_that_waits_is_taken_for_one_that_hangs(
    relaxed: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every loop of the process has nothing to do, and kopf watches. The probe lets the process live."""
    monkeypatch.setattr(loops, "_STALE_SECONDS", 0.5)

    async def watch(**options: Any) -> None:
        await options["stop_flag"].wait()

    monkeypatch.setattr(kopf, "operator", watch)
    gc.unfreeze()
    server = relaxed.clone()
    async with serving.gateway_to(server.answer) as api:
        process = startup._Process(api, api._clock, metrics.Metrics(), config.Config(), asyncio.Event())
        await process.lists.fill()
        task = asyncio.create_task(process._loops.run(process._every_loop()))
        await until(lambda: process._ready.is_set(), "it is ready")
        assert gc.get_freeze_count() > 0, "whole collections look at everything that is stored"
        assert gc.isenabled()
        await asyncio.sleep(1.5)
        await until(lambda: process._loops.stale() == "", "no loop hangs")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
