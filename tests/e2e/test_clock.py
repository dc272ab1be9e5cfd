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
    """The wall clock of an operator's process, some seconds ahead of this machine's clock."""

    def __init__(self, file: pathlib.Path) -> None:
        self._file = file
        self.ahead(0)

    def ahead(self, seconds: float) -> None:
        new_file = self._file.with_suffix(".new")
        new_file.write_text(str(seconds))
        new_file.rename(self._file)  # atomic: the operator reads the file at any time

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(_WALL_CLOCK), "WALL_CLOCK": str(self._file)}


@pytest.fixture
def wall(tmp_path: pathlib.Path) -> Wall:
    return Wall(tmp_path / "ahead")


@pytest.fixture
def shifted_operator(unattended: World, wall: Wall) -> Iterator[operator.OperatorProcess]:
    """An operator whose wall clock is shifted, in place of the usual operator; not started."""
    unattended.operator.stop()
    process = operator.OperatorProcess(unattended.cluster, name="operator-off", environment=wall.environment)
    yield process
    process.stop()


def _gauge(process: operator.OperatorProcess, name: str) -> float:
    (line,) = [
        text for text in process.metrics().splitlines() if text.startswith(f"hostnetwork_operator_clock_{name} ")
    ]
    return float(line.split()[1])


def _clock_condition(world: World) -> tuple[str, str]:
    """Return status and reason of the policy's condition ClockSynchronized."""
    path = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"
    conditions = world.admin.get(path).expect(200).body.get("status", {}).get("conditions", [])
    return next(
        (
            (condition["status"], condition["reason"])
            for condition in conditions
            if condition["type"] == "ClockSynchronized"
        ),
        ("", ""),
    )


def _event_count(world: World, reason: str) -> int:
    events = world.admin.items("/api/v1/namespaces/default/events")
    return len([event for event in events if event["reason"] == reason])


def _until(world: World, process: operator.OperatorProcess, what: str, probe: Callable[[], object]) -> None:
    try:
        world.until(what, probe, deadline_seconds=90)
    except AssertionError as error:
        raise AssertionError(f"never: {what}\n{process.tail(10)}") from error


def _writes(world: World, namespace: str, verb: str, resource: str) -> list[dict[str, Any]]:
    return [
        event
        for event in world.writes()
        if (event["verb"], event["objectRef"]["resource"]) == (verb, resource)
        and namespace in {event["objectRef"].get("namespace"), event["objectRef"].get("name")}
        and event["responseStatus"]["code"] == 200
    ]


def _assert_restored_and_pod_kept(world: World, process: operator.OperatorProcess, name: str) -> None:
    """Assert that the level is restored, not before the expiry, and that the pod stays and its exception says why."""
    expiry = world.admin.get(f"{world.exceptions(name)}/capture").body["spec"]["expiry"]
    _until(world, process, "restored", lambda: world.labels(name)[PSA] == "baseline")
    last_write = _writes(world, name, "patch", "namespaces")[-1]
    assert last_write["requestReceivedTimestamp"] >= expiry.removesuffix("Z")
    _until(world, process, "it says so", lambda: world.condition(name, kind="CleanedUp").get("reason") == "ClockUnsure")
    end = world.now() + datetime.timedelta(seconds=3)
    world.holds_until(end, "the pod stays", lambda: not world.is_deleted(name))
    assert _writes(world, name, "delete", "pods") == []


def _wait_until_deleted(world: World, process: operator.OperatorProcess, name: str) -> None:
    """Assert that the operator deletes the pod once the clocks agree again, without any other change."""
    _until(world, process, "the pod is deleted", lambda: world.is_deleted(name))
    _until(world, process, "the condition", lambda: _clock_condition(world) == ("True", "Agrees"))
    _until(world, process, "cleaned up", lambda: world.condition(name, kind="CleanedUp").get("status") == "True")


@pytest.mark.parametrize("ahead", [3600, -3600])
def test_an_hour_off_holds_deletes_and_nothing_else(
    unattended: World, wall: Wall, shifted_operator: operator.OperatorProcess, ahead: int
) -> None:
    """An operator that starts with a wrong clock reports it by metric, condition and Event.

    The operator still lifts and restores levels by the API server's clock.
    """
    wall.ahead(ahead)
    events_before = _event_count(unattended, "PolicySkewed")
    shifted_operator.start()
    name = unattended.namespace()
    assert abs(_gauge(shifted_operator, "skew_seconds") - ahead) < 5
    assert _gauge(shifted_operator, "spread_seconds") < 5
    unattended.granted_pod(name, seconds=12, gracePeriodSeconds=0)
    _until(unattended, shifted_operator, "the condition", lambda: _clock_condition(unattended) == ("False", "Skewed"))
    _assert_restored_and_pod_kept(unattended, shifted_operator, name)
    _until(
        unattended, shifted_operator, "the Event", lambda: _event_count(unattended, "PolicySkewed") == events_before + 1
    )
    wall.ahead(0)
    _wait_until_deleted(unattended, shifted_operator, name)


def test_a_clock_that_steps_is_flagged_and_followed_by_nothing(
    unattended: World, wall: Wall, shifted_operator: operator.OperatorProcess
) -> None:
    """The clock steps an hour forward and back during an exception, which ends by the API server's clock.

    Deletes resume once the clocks agree.
    """
    shifted_operator.start()
    name = unattended.namespace()
    _until(unattended, shifted_operator, "agreed", lambda: _clock_condition(unattended) == ("True", "Agrees"))
    unattended.granted_pod(name, seconds=40, gracePeriodSeconds=0)
    end = unattended.now() + datetime.timedelta(seconds=40)
    for ahead in (3600, -3600, 0, 3600):
        wall.ahead(ahead)
        expected = ("False", "Skewed") if ahead else ("True", "Agrees")
        _until(
            unattended,
            shifted_operator,
            f"{ahead}: {expected}",
            lambda expected=expected: _clock_condition(unattended) == expected,
        )
    _assert_restored_and_pod_kept(unattended, shifted_operator, name)
    # Until only the clocks can delay the delete: the operator has checked the namespace for the last time.
    unattended.holds_until(end + plan.LOOK_AGAIN * 1.2, "the pod stays", lambda: not unattended.is_deleted(name))
    wall.ahead(0)
    _wait_until_deleted(unattended, shifted_operator, name)


def test_api_servers_that_contradict_each_other_hold_deletes(unattended: World) -> None:
    """Every other answer is 30 seconds ahead. The level is restored, and the pod is deleted once the answers agree."""
    unattended.operator.stop()
    name = unattended.namespace(deny=False)
    offsets = itertools.cycle([0.0, 30.0])
    with proxy.Proxy(unattended.cluster.url, str(unattended.cluster.authority.certificate_path)) as proxied:
        process = operator.OperatorProcess(unattended.cluster, name="operator-spread", server=proxied.url)
        with process:
            unattended.until("enforced", lambda: unattended.enforced(name))
            unattended.granted_pod(name, seconds=60, gracePeriodSeconds=0)
            proxied.ahead_seconds = lambda: next(offsets)
            _until(unattended, process, "the condition", lambda: _clock_condition(unattended) == ("False", "Spread"))
            assert _gauge(process, "spread_seconds") > 5
            _until(unattended, process, "restored", lambda: unattended.labels(name)[PSA] == "baseline")
            expected = ("False", "ClockUnsure")
            _until(unattended, process, "it says so", lambda: _cleanup_condition(unattended, name) == expected)
            assert not unattended.is_deleted(name)
            proxied.ahead_seconds = lambda: 0.0
            _wait_until_deleted(unattended, process, name)


def _cleanup_condition(world: World, name: str) -> tuple[str, str]:
    condition = world.condition(name, kind="CleanedUp")
    return str(condition.get("status")), str(condition.get("reason"))
