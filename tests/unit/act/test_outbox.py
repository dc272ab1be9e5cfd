"""Events that wait: each is sent once, there are not too many, and none is sent for a while after a refusal."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from hostnetwork_operator.act import events, gateway, outbox
from hostnetwork_operator.decide import effects, snapshot
from tests.unit import serving
from tests.unit.builders import NAMESPACE, NOW


class Clock:
    """A clock whose seconds a test sets."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> object:
        return NOW

    def monotonic(self) -> float:
        return self.seconds


class Server:
    """A server that stores Events, and answers those about a pod in `refused` with the status given there."""

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.refused: dict[str, int] = {}
        self.asked = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        if request.method == "GET":
            return web.json_response({"reason": "NotFound"}, status=404)
        body = await request.json()
        name = body["involvedObject"]["name"]
        if (status := self.refused.get(name)) is not None:
            return web.json_response({"reason": "Forbidden", "message": "exceeded quota"}, status=status)
        self.stored.append(name)
        return web.json_response({**body, "metadata": {**body["metadata"], "uid": "u"}}, status=201)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[gateway.Gateway]:
    async with serving.gateway_to(server.answer) as gateway_client:
        yield gateway_client


@pytest.fixture
def clock() -> Clock:
    return Clock()


def event(number: int) -> effects.EmitEvent:
    regarding = snapshot.Reference("Pod", NAMESPACE, f"pod-{number}", f"uid-{number}")
    return effects.EmitEvent(regarding, "Warning", "HostNamespacesUncovered", "message", "key")


async def test_each_waits_once_until_it_is_stored(api: gateway.Gateway, server: Server, clock: Clock) -> None:
    """The Events are emitted in the order in which they were added."""
    box = outbox.Outbox()
    box.add([event(1), event(2)])
    box.add([event(1), event(3)])
    assert box.waiting == (event(1), event(2), event(3))
    assert await box.emit_waiting(api, clock) is None  # type: ignore[arg-type]
    assert (server.stored, box.waiting) == (["pod-1", "pod-2", "pod-3"], ())


def test_the_oldest_go_where_there_are_too_many() -> None:
    """A tenant can set a quota that refuses every Event."""
    box = outbox.Outbox()
    box.add(event(number) for number in range(outbox.MOST + 10))
    assert len(box) == outbox.MOST
    assert box.waiting[-1] == event(outbox.MOST + 9)


async def test_each_refusal_closes_it_for_longer_and_a_success_opens_it(
    api: gateway.Gateway, server: Server, clock: Clock
) -> None:
    """The pauses are 1, 2, 4 seconds and so on, at most a minute. No request is sent during a pause."""
    box = outbox.Outbox()
    box.add([event(1)])
    server.refused = {"pod-1": 403}
    for number, pause in enumerate((1, 2, 4, 8, 16, 32, 60, 60), 1):
        assert await box.emit_waiting(api, clock) is not None  # type: ignore[arg-type]
        assert box.pause_seconds == pause
        clock.seconds += pause - 0.1
        assert await box.emit_waiting(api, clock) is None  # type: ignore[arg-type]
        assert server.asked == number
        clock.seconds += 0.1
    server.refused = {}
    assert await box.emit_waiting(api, clock) is None  # type: ignore[arg-type]
    assert (box.pause_seconds, len(box)) == (0, 0)


async def test_one_that_is_always_refused_keeps_no_other_back(
    api: gateway.Gateway, server: Server, clock: Clock
) -> None:
    """A webhook may refuse one Event because of its text, and accept all others."""
    box = outbox.Outbox()
    box.add(map(event, range(4)))
    server.refused = {"pod-0": 403}
    assert await box.emit_waiting(api, clock) is not None  # type: ignore[arg-type]
    assert server.stored == []
    clock.seconds += 60
    assert await box.emit_waiting(api, clock) is not None  # type: ignore[arg-type]
    assert (server.stored, box.waiting) == (["pod-1", "pod-2", "pod-3"], (event(0),))


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_one_that_is_never_stored_is_dropped(
    api: gateway.Gateway, server: Server, clock: Clock, status: int
) -> None:
    """Its namespace no longer exists, or the Event is malformed. The other Events follow without a pause."""
    box = outbox.Outbox()
    box.add(map(event, range(2)))
    server.refused = {"pod-0": status}
    assert await box.emit_waiting(api, clock) is None  # type: ignore[arg-type]
    assert (server.stored, box.waiting) == (["pod-1"], ())


async def test_the_last_time_no_pause_counts(api: gateway.Gateway, server: Server, clock: Clock) -> None:
    """No later process knows the Events."""
    box = outbox.Outbox()
    box.add([event(1)])
    server.refused = {"pod-1": 403}
    await box.emit_waiting(api, clock)  # type: ignore[arg-type]
    server.refused = {}
    assert await box.emit_waiting(api, clock, last=True) is None  # type: ignore[arg-type]
    assert server.stored == ["pod-1"]


async def test_a_failure_that_nobody_foresaw_loses_no_event(
    api: gateway.Gateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Event waits, as after a refusal."""

    async def broken(*_: object) -> bool:
        raise ValueError("nobody foresaw it")

    monkeypatch.setattr(events, "emit", broken)
    box = outbox.Outbox()
    with pytest.raises(ValueError, match="nobody foresaw it"):
        await box.emit(api, event(1), clock)  # type: ignore[arg-type]
    assert box.waiting == (event(1),)
    assert box.pause_seconds == 1
