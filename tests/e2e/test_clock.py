"""Wrong clocks: the operator's by an hour either way and stepping, and API servers that contradict each other.

tests/faults/wall_clock shifts the wall clock of the operator's process; a proxy changes the Date in the API servers'
answers. Whatever the operator's clock shows, the API server's clock decides when an exception ends.
"""

import datetime
import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hostnetwork_operator.decide import plan
from tests.controlplane import operator
from tests.e2e.conftest import LABEL, PSA, World
from tests.faults import proxy

_WALL_CLOCK = pathlib.Path(__file__).parent.parent / "faults" / "wall_clock"


class Wall:
    """The wall clock of an operator's process, so many seconds ahead of this machine's clock."""

    def __init__(self, file: pathlib.Path) -> None:
        self._file = file
        self.ahead(0)

    def ahead(self, seconds: float) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds))
        new.rename(self._file)  # atomic: the operator reads the file at any time

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(_WALL_CLOCK), "WALL_CLOCK": str(self._file)}


@pytest.fixture
def wall(tmp_path: pathlib.Path) -> Wall:
    return Wall(tmp_path / "ahead")


@pytest.fixture
def off(unattended: World, wall: Wall) -> Iterator[operator.OperatorProcess]:
    """An operator whose wall clock is shifted, in place of the usual operator; not started."""
    unattended.operator.stop()
    process = operator.OperatorProcess(unattended.cluster, name="operator-off", environment=wall.environment)
    yield process
    process.stop()


def _gauge(process: operator.OperatorProcess, name: str) -> float:
    (line,) = [one for one in process.metrics().splitlines() if one.startswith(f"hostnetwork_operator_clock_{name} ")]
    return float(line.split()[1])


def _synchronized(world: World) -> tuple[str, str]:
    """Return status and reason of the policy's condition ClockSynchronized."""
    path = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"
    found = world.admin.get(path).expect(200).body.get("status", {}).get("conditions", [])
    return next(((one["status"], one["reason"]) for one in found if one["type"] == "ClockSynchronized"), ("", ""))


def _told(world: World, reason: str) -> int:
    found = world.admin.items("/api/v1/namespaces/default/events")
    return len([event for event in found if event["reason"] == reason])


def _until(world: World, process: operator.OperatorProcess, what: str, probe: Callable[[], object]) -> None:
    try:
        world.until(what, probe, deadline_seconds=90)
    except AssertionError as error:
        raise AssertionError(f"never: {what}\n{process.tail(10)}") from error


def _written(world: World, namespace: str, verb: str, resource: str) -> list[dict[str, Any]]:
    return [
        event
        for event in world.writes()
        if (event["verb"], event["objectRef"]["resource"]) == (verb, resource)
        and namespace in {event["objectRef"].get("namespace"), event["objectRef"].get("name")}
        and event["responseStatus"]["code"] == 200
    ]


def _restored_and_held(world: World, process: operator.OperatorProcess, name: str) -> None:
    """Assert that the level is restored, not before the expiry, and that the pod stays and its exception says why."""
    until = world.admin.get(f"{world.exceptions(name)}/capture").body["spec"]["expiry"]
    _until(world, process, "restored", lambda: world.labels(name)[PSA] == "baseline")
    restore = _written(world, name, "patch", "namespaces")[-1]
    assert restore["requestReceivedTimestamp"] >= until.removesuffix("Z")
    _until(world, process, "it says so", lambda: world.condition(name, kind="CleanedUp").get("reason") == "ClockUnsure")
    later = world.now() + datetime.timedelta(seconds=3)
    world.holds_until(later, "the pod stays", lambda: not world.gone(name))
    assert _written(world, name, "delete", "pods") == []


def _deleted(world: World, process: operator.OperatorProcess, name: str) -> None:
    """Assert that the operator deletes the pod once the clocks agree again, without any other change."""
    _until(world, process, "the pod is deleted", lambda: world.gone(name))
    _until(world, process, "the condition", lambda: _synchronized(world) == ("True", "Agrees"))
    _until(world, process, "cleaned up", lambda: world.condition(name, kind="CleanedUp").get("status") == "True")


@pytest.mark.parametrize("ahead", [3600, -3600])
def test_an_hour_off_holds_deletes_and_nothing_else(
    unattended: World, wall: Wall, off: operator.OperatorProcess, ahead: int
) -> None:
    """An operator that starts with a wrong clock reports it by metric, condition and Event.

    The operator still lifts and restores levels by the API server's clock.
    """
    wall.ahead(ahead)
    told = _told(unattended, "PolicySkewed")
    off.start()
    name = unattended.namespace()
    assert abs(_gauge(off, "skew_seconds") - ahead) < 5
    assert _gauge(off, "spread_seconds") < 5
    unattended.granted_pod(name, seconds=12, gracePeriodSeconds=0)
    _until(unattended, off, "the condition", lambda: _synchronized(unattended) == ("False", "Skewed"))
    _restored_and_held(unattended, off, name)
    _until(unattended, off, "the Event", lambda: _told(unattended, "PolicySkewed") == told + 1)
    wall.ahead(0)
    _deleted(unattended, off, name)


def test_a_clock_that_steps_is_flagged_and_followed_by_nothing(
    unattended: World, wall: Wall, off: operator.OperatorProcess
) -> None:
    """The clock steps an hour forward and back during an exception, which ends by the API server's clock.

    Deletes resume once the clocks agree.
    """
    off.start()
    name = unattended.namespace()
    _until(unattended, off, "agreed", lambda: _synchronized(unattended) == ("True", "Agrees"))
    unattended.granted_pod(name, seconds=40, gracePeriodSeconds=0)
    end = unattended.now() + datetime.timedelta(seconds=40)
    for ahead in (3600, -3600, 0, 3600):
        wall.ahead(ahead)
        wanted = ("False", "Skewed") if ahead else ("True", "Agrees")
        _until(unattended, off, f"{ahead}: {wanted}", lambda wanted=wanted: _synchronized(unattended) == wanted)
    _restored_and_held(unattended, off, name)
    # Until only the clocks can delay the delete: the operator has checked the namespace for the last time.
    unattended.holds_until(end + plan.LOOK_AGAIN * 1.2, "the pod stays", lambda: not unattended.gone(name))
    wall.ahead(0)
    _deleted(unattended, off, name)


def test_api_servers_that_contradict_each_other_hold_deletes(unattended: World) -> None:
    """Every other answer is 30 seconds ahead. The level is restored, and the pod is deleted once the answers agree."""
    unattended.operator.stop()
    name = unattended.namespace(deny=False)
    turns = itertools.cycle([0.0, 30.0])
    with proxy.Proxy(unattended.cluster.url, str(unattended.cluster.authority.certificate_path)) as between:
        process = operator.OperatorProcess(unattended.cluster, name="operator-spread", server=between.url)
        with process:
            unattended.until("enforced", lambda: unattended.enforced(name))
            unattended.granted_pod(name, seconds=60, gracePeriodSeconds=0)
            between.ahead_seconds = lambda: next(turns)
            _until(unattended, process, "the condition", lambda: _synchronized(unattended) == ("False", "Spread"))
            assert _gauge(process, "spread_seconds") > 5
            _until(unattended, process, "restored", lambda: unattended.labels(name)[PSA] == "baseline")
            held = ("False", "ClockUnsure")
            _until(unattended, process, "it says so", lambda: _cleaned_up(unattended, name) == held)
            assert not unattended.gone(name)
            between.ahead_seconds = lambda: 0.0
            _deleted(unattended, process, name)


def _cleaned_up(world: World, name: str) -> tuple[str, str]:
    found = world.condition(name, kind="CleanedUp")
    return str(found.get("status")), str(found.get("reason"))
