"""A process writes only while nobody else can hold the Lease: every turn of a standby and of the leader."""

import asyncio
import copy
import datetime
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from hostnetwork_operator.act import gateway, lease
from hostnetwork_operator.control import leading
from tests.unit import serving
from tests.unit.builders import NOW

NAME = "hostnetwork-system/hostnetwork-operator"
PATH = "/apis/coordination.k8s.io/v1/namespaces/hostnetwork-system/leases/hostnetwork-operator"
QUICK = gateway.RequestOptions(seconds=0.3, attempts=1)
ME, OTHER = "me_1", "other_2"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime.datetime:
        return NOW

    def monotonic(self) -> float:
        return self.seconds


class LeaseServer:
    """One Lease with optimistic locking, as the API server has it.

    `refuse` returns the status with which a request is refused, `lose` whether its answer is lost after it was done,
    `hang` whether it is done and never answered.
    """

    def __init__(self) -> None:
        self.body: dict[str, Any] | None = {
            "metadata": {"name": "hostnetwork-operator", "uid": "u", "resourceVersion": "1"}
        }
        self.requests: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.sent: dict[str, Any] = {}
        self.refuse: Callable[[str], int] = lambda _method: 0
        self.lose: Callable[[str], bool] = lambda _method: False
        self.hang: Callable[[str], bool] = lambda _method: False
        self.before: Callable[[], None] = lambda: None

    @property
    def spec(self) -> dict[str, Any]:
        assert self.body is not None
        return dict(self.body.get("spec", {}))

    def write(self, uid: str = "u", **spec: Any) -> None:
        """Write the Lease as another client."""
        version = str(int(self.body["metadata"]["resourceVersion"]) + 1) if self.body is not None else "100"
        metadata = {"name": "hostnetwork-operator", "uid": uid, "resourceVersion": version}
        self.body = {"metadata": metadata, "spec": {**(self.spec if self.body is not None else {}), **spec}}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        assert request.path == PATH
        self.requests.append(request.method)
        self.queries.append(dict(request.query))
        self.before()
        status, body = self._do(request.method, json.loads(await request.text() or "{}"))
        if self.hang(request.method):
            await asyncio.sleep(60)
        if self.lose(request.method):
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(body, status=status)

    def _do(self, method: str, sent: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if refusal := self.refuse(method):
            return refusal, {"reason": "Refused", "message": 'User "o" cannot get resource "leases"'}
        if self.body is None:
            return 404, {"reason": "NotFound", "message": "not found"}
        if method == "GET":
            return 200, copy.deepcopy(self.body)
        self.sent = sent
        stored = self.body["metadata"]
        if (sent["metadata"]["uid"], sent["metadata"]["resourceVersion"]) != (stored["uid"], stored["resourceVersion"]):
            return 409, {"reason": "Conflict", "message": "the object has been modified"}
        self.write(**sent["spec"])
        return 200, copy.deepcopy(self.body)


class Subject:
    """A process that seeks the Lease of a server, with a clock that the test sets."""

    def __init__(self, server: LeaseServer, api: gateway.Gateway, holder: str = ME) -> None:
        self.server = server
        self.clock = Clock()
        self.leading = leading.Leading(lease.LeaseObject(api, NAME), self.clock, holder)
        self.regained = 0
        self.leading.on_regained(self._count)

    def _count(self) -> None:
        self.regained += 1

    async def turn(self, seconds: float = 0) -> bool:
        """Let time pass, and have the process take a turn. Return whether it may write then."""
        self.clock.seconds += seconds
        await self.leading.turn()
        return self.leading.may_write()


@asynccontextmanager
async def process(
    server: LeaseServer, holder: str = ME, options: gateway.RequestOptions = leading.REQUEST_OPTIONS
) -> AsyncIterator[Subject]:
    async with serving.gateway_to(server.answer) as first:
        api = first.beside(options)
        try:
            yield Subject(server, api, holder)
        finally:
            await api.close()


@asynccontextmanager
async def leader(
    server: LeaseServer, options: gateway.RequestOptions = leading.REQUEST_OPTIONS
) -> AsyncIterator[Subject]:
    async with process(server, options=options) as subject:
        assert await subject.turn()
        yield subject


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.endswith("leading")]


# -- a standby -----------------------------------------------------------------------------------------------------


async def test_a_lease_without_a_holder_is_taken_at_once() -> None:
    """A holder that has released the Lease writes no more. The fields say who holds the Lease, for kubectl."""
    server = LeaseServer()
    async with leader(server) as subject:
        assert subject.leading.led.is_set()
        assert subject.leading.role() == f"the leader, as {ME}"
    time = NOW.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    assert server.spec == {
        "holderIdentity": ME,
        "leaseDurationSeconds": 10,
        "acquireTime": time,
        "renewTime": time,
        "leaseTransitions": 1,
    }
    assert server.queries[-1] == {"force": "true", "fieldManager": "hostnetwork-operator"}


async def test_a_standby_waits_for_ten_seconds_without_a_change() -> None:
    """The ten seconds count from the first read that showed the record, by this machine's clock alone: the time and
    the duration in the Lease may come from any client.
    """
    server = LeaseServer()
    server.write(
        holderIdentity=OTHER, leaseDurationSeconds=1, renewTime="2001-01-01T00:00:00.000000Z", leaseTransitions=4
    )
    async with process(server) as subject:
        assert not await subject.turn()
        assert not await subject.turn(9.9)
        server.write(renewTime="2001-01-01T00:00:01.000000Z")
        assert not await subject.turn(0.1)
        assert not await subject.turn(9.9)
        assert not subject.leading.led.is_set()
        assert subject.leading.role() == f"a standby: Lease {NAME} has the holder {OTHER}"
        assert subject.leading.trouble() == ""
        assert server.requests == ["GET"] * 4
        assert await subject.turn(0.1)
    assert (server.spec["holderIdentity"], server.spec["leaseTransitions"]) == (ME, 5)


async def test_the_time_of_an_outage_does_not_count() -> None:
    """The leader could not renew its Lease either. After the outage it has as long as before to do so."""
    server = LeaseServer()
    server.write(holderIdentity=OTHER)
    async with process(server) as subject:
        assert not await subject.turn()
        assert not await subject.turn(4)
        server.refuse = lambda _method: 503
        for _ in range(10):
            assert not await subject.turn(2)
        server.refuse = lambda _method: 0
        assert not await subject.turn(2)
        assert not await subject.turn(5.9)
        assert await subject.turn(0.1)


async def test_of_two_standbys_one_is_faster() -> None:
    """The other gets a 409, which is no trouble, and waits for the new holder."""
    server = LeaseServer()
    async with process(server) as subject, process(server, OTHER) as rival:
        server.before = lambda: server.write(holderIdentity=OTHER) if server.requests == ["GET", "PATCH"] else None
        assert not await subject.turn()
        assert not await subject.turn(2)
        assert subject.leading.trouble() == ""
        assert await rival.turn()
        assert not await subject.turn(9.9)
    assert server.spec["holderIdentity"] == OTHER


async def test_a_standby_whose_take_over_got_no_answer_leads_after_the_next_read() -> None:
    """The Lease then has its name, which nobody else has."""
    server = LeaseServer()
    async with process(server) as subject:
        server.lose = lambda method: method == "PATCH"
        assert not await subject.turn()
        assert server.spec["holderIdentity"] == ME
        server.lose = lambda _method: False
        assert await subject.turn(2)
        assert subject.leading.led.is_set()
    assert server.spec["leaseTransitions"] == 1


@pytest.mark.parametrize("transitions", [2**31 - 1, -1])
async def test_a_forged_count_keeps_nobody_from_the_lease(transitions: int) -> None:
    """The API server refuses a number that does not fit."""
    server = LeaseServer()
    server.write(leaseTransitions=transitions)
    async with leader(server):
        assert server.spec["leaseTransitions"] == 1


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (403, f"the operator must be allowed to get and patch Lease {NAME}, got: User "),
        (404, f"Lease {NAME} must exist, got none; "),
    ],
)
async def test_a_missing_lease_or_right_is_logged_once_with_the_remedy(
    caplog: pytest.LogCaptureFixture, harm: int, reason: str
) -> None:
    """The standby waits, and takes the Lease once it can."""
    caplog.set_level("INFO")
    server = LeaseServer()
    async with process(server) as subject:
        server.refuse = lambda _method: harm
        for _ in range(3):
            assert not await subject.turn(2)
        trouble = subject.leading.trouble()
        assert trouble.startswith(reason)
        assert trouble.endswith("an overlay that has the component standby (docs/howto/standby.md)")
        assert events(caplog) == ["lease-failed"]
        assert [record.levelname for record in caplog.records if record.name.endswith("leading")] == ["ERROR"]
        server.refuse = lambda _method: 0
        assert await subject.turn(2)
        assert subject.leading.trouble() == ""
    assert events(caplog) == ["lease-failed", "standby", "lease-recovered", "leading"]


# -- the leader ----------------------------------------------------------------------------------------------------


async def test_the_leader_writes_for_eight_seconds_after_it_sent_the_renewal() -> None:
    """Not after the answer came: a standby may have read the renewal long before."""
    server = LeaseServer()
    async with leader(server) as subject:

        def take_time() -> None:
            subject.clock.seconds += 1.5

        server.before = take_time
        sent = subject.clock.seconds + 2
        assert await subject.turn(2)
        subject.clock.seconds = sent + 7.9
        assert subject.leading.may_write()
        subject.clock.seconds = sent + 8
        assert not subject.leading.may_write()


@pytest.mark.parametrize("harm", ["lose", "hang"])
async def test_a_renewal_whose_answer_is_lost_is_recognized(harm: str) -> None:
    """The Lease still has this holder, so the next renewal begins from its current version. Only an answered renewal
    counts as one.
    """
    server = LeaseServer()
    async with leader(server, QUICK if harm == "hang" else leading.REQUEST_OPTIONS) as subject:
        setattr(server, harm, lambda method: method == "PATCH")
        assert await subject.turn(2)
        assert not await subject.turn(6)
        setattr(server, harm, lambda _method: False)
        assert await subject.turn(2)
        assert subject.regained == 1


async def test_a_lease_that_somebody_else_has_edited_is_still_held() -> None:
    """For example a label: the renewal gets a 409, and the next one succeeds. Nothing is logged."""
    server = LeaseServer()
    async with leader(server) as subject:
        server.write()
        assert await subject.turn(2)
        assert await subject.turn(5)
        assert await subject.turn(7)
        assert subject.regained == 0


@pytest.mark.parametrize("status", [0, 403, 404, 429, 500])
async def test_an_outage_stops_the_writes_and_ends_no_process(caplog: pytest.LogCaptureFixture, status: int) -> None:
    """After the outage the process goes on, and has the work done that failed meanwhile."""
    caplog.set_level("INFO")
    server = LeaseServer()
    async with leader(server) as subject:
        caplog.clear()
        if status:
            server.refuse = lambda _method: status
        else:
            server.lose = lambda _method: True
        assert await subject.turn(2)
        assert subject.leading.trouble() == ""
        for _ in range(10):
            assert not await subject.turn(6)
        assert NAME in subject.leading.trouble()
        server.refuse, server.lose = lambda _method: 0, lambda _method: False
        await subject.turn(2)
        assert await subject.turn(2)
        assert subject.leading.trouble() == ""
        assert subject.regained == 1
    assert events(caplog) == ["lease-failed", "lease-recovered"]


@pytest.mark.parametrize(
    ("change", "got"),
    [({"holderIdentity": OTHER}, OTHER), ({"holderIdentity": ""}, "none"), ({"uid": "v"}, ME)],
)
async def test_a_lease_that_is_no_longer_its_own_ends_the_process(change: dict[str, str], got: str) -> None:
    """Another holder may write already. Without a holder, and as another object, anybody may take the Lease."""
    server = LeaseServer()
    async with leader(server) as subject:
        server.write(**change)
        with pytest.raises(
            leading.LeaseLostError, match=re.escape(f"must have this process as its holder, {ME}, got {got};")
        ):
            await subject.turn(2)
        assert not subject.leading.may_write()
        server.requests.clear()
        await subject.leading.release()
        assert server.requests == ["GET"]


async def test_a_leader_that_was_stopped_for_long_writes_nothing_and_ends() -> None:
    """As after SIGSTOP: time has passed, and the first thing that it learns is another holder."""
    server = LeaseServer()
    async with leader(server) as subject, process(server, OTHER) as rival:
        assert not await rival.turn()
        assert await rival.turn(10)
        subject.clock.seconds += 20
        assert not subject.leading.may_write()
        with pytest.raises(leading.LeaseLostError):
            await subject.turn()
    assert server.spec["holderIdentity"] == OTHER


async def test_at_no_moment_may_both_write() -> None:
    """The leader's renewals stop at any moment, and a standby reads every two seconds from any moment on."""
    for offset in range(0, 20, 3):
        server = LeaseServer()
        async with leader(server) as subject, process(server, OTHER) as rival:
            rival.clock = subject.clock
            rival.leading._clock = subject.clock
            server.refuse = lambda method: 500 if method == "PATCH" else 0
            assert not await rival.turn(offset / 10)
            server.refuse = lambda _method: 0
            while not await rival.turn(2):
                pass
            assert not subject.leading.may_write()


# -- the end -------------------------------------------------------------------------------------------------------


async def test_a_released_lease_has_no_holder_and_is_taken_at_once() -> None:
    """The process stops writing before it releases. The answer to its last renewal may have been lost."""
    server = LeaseServer()
    async with leader(server) as subject, process(server, OTHER) as rival:
        assert not await rival.turn()
        server.lose = lambda method: method == "PATCH"
        assert await subject.turn(2)
        server.lose = lambda _method: False
        could_write: list[bool] = []
        server.before = lambda: could_write.append(subject.leading.may_write())
        await subject.leading.release()
        assert could_write == [False, False]
        assert server.spec["holderIdentity"] == ""
        assert await rival.turn(2)
    assert (server.spec["holderIdentity"], server.spec["leaseTransitions"]) == (OTHER, 2)


async def test_a_release_that_fails_is_logged_only(caplog: pytest.LogCaptureFixture) -> None:
    """The standby takes the Lease ten seconds later."""
    server = LeaseServer()
    async with leader(server) as subject:
        server.refuse = lambda method: 500 if method == "PATCH" else 0
        await subject.leading.release()
    assert events(caplog) == ["lease-not-released"]


async def test_a_standby_releases_nothing() -> None:
    """It holds nothing."""
    server = LeaseServer()
    server.write(holderIdentity=OTHER)
    async with process(server) as subject:
        await subject.turn()
        await subject.leading.release()
    assert server.requests == ["GET"]


async def test_the_loop_takes_a_turn_every_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a turn counts, so a slow API server makes no renewal late."""
    slept: list[float] = []
    server = LeaseServer()
    async with process(server) as subject:

        async def sleep(seconds: float) -> None:
            slept.append(round(seconds, 3))
            if len(slept) == 3:
                raise asyncio.CancelledError

        def take_time() -> None:
            subject.clock.seconds += 0.75

        monkeypatch.setattr(leading.loops, "sleep", sleep)
        server.before = take_time
        with pytest.raises(asyncio.CancelledError):
            await subject.leading.keep()
    assert slept == [0.5, 1.25, 1.25]


def test_every_process_is_another_holder() -> None:
    """A container that restarts has the same host name."""
    first, second = leading.identity(), leading.identity()
    assert first != second
    assert first.rpartition("_")[0] == second.rpartition("_")[0] != ""


def test_a_renewal_that_hangs_leaves_time_for_another() -> None:
    """Two requests that get no answer, and one that does, must fit into the time in which the leader may write."""
    options = leading.REQUEST_OPTIONS
    assert options.attempts == 1
    assert leading.RENEW_SECONDS + 2 * options.seconds < leading.WRITE_SECONDS < lease.LEASE_SECONDS
