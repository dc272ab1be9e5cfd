"""kill -9 of the API server, repeatedly: from its first answer on it enforces as before, and refuses no more."""

import os
import random
import statistics
import time

import pytest

from tests.controlplane import api, cluster
from tests.e2e.conftest import World
from tests.faults import answers, canary, door

_KILLS = int(os.environ.get("HNO_KILLS", "5"))


@pytest.mark.timeout(600 + 200 * _KILLS)
def test_kills_of_the_api_server_open_nothing_and_refuse_nothing_ordinary(
    unattended: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the first answer after each restart, uncovered pods are refused, and covered and ordinary pods are admitted.

    HNO_KILLS=20 is the long run.
    """
    enforced, relaxed = unattended.namespace(), unattended.namespace()
    unattended.granted_pod(relaxed)
    randomness = random.Random(_KILLS)
    starts: list[float] = []
    with (
        canary.Canary(unattended.cluster, [enforced, relaxed], [(relaxed, "capture")]) as tenant,
        door.Door(unattended.admin, relaxed, door.COVERED) as covered,
        door.Door(unattended.admin, enforced, door.COVERED) as without_exception,
        door.Door(unattended.admin, relaxed, door.UNCOVERED) as uncovered,
        door.Door(unattended.admin, relaxed, door.PRIVILEGED) as privileged,
    ):
        doors = [covered, without_exception, uncovered, privileged]
        for _ in range(_KILLS):
            starts.append(_kill(unattended, tenant, covered))
            # The next kill comes within the start-up hooks or a little later: 0 to 2 s after pods are admitted.
            time.sleep(randomness.choice((0, 0.5, 2)))
        unattended.until("all are answered", lambda: all(any_door.tried[-1].ended > starts[-1] for any_door in doors))
    delays_by_kind = {
        "ordinary": [_delay(tenant.passes("create", start), start) for start in starts],
        "covered": [_delay(covered.admitted(start), start) for start in starts],
    }
    hostile = [answer for any_door in doors[1:] for answer in any_door.tried]
    early = sum(any(0 <= answer.began - start < 3 for start in starts) for answer in hostile)
    with capsys.disabled():
        print(f"\n{_KILLS} kills: {tenant}")
        print(
            f"  uncovered or privileged pods admitted {sum(a.passed for a in hostile)} of {len(hostile)},"
            f" {early} of these within 3 s of a first answer;"
            f" covered pods refused {len(covered.refused)} of {len(covered.tried)}"
        )
        for kind, delays in delays_by_kind.items():
            print(
                f"  first answer to first {kind} pod: median {statistics.median(delays):.2f} s,"
                f" longest {max(delays):.2f} s"
            )
    assert [str(answer) for answer in hostile if answer.passed] == []
    assert [str(answer) for answer in covered.refused] == []


def _kill(world: World, tenant: canary.Canary, covered: door.Door) -> float:
    """Kill and restart the API server, wait until it admits pods, and return when it first answered."""
    world.cluster.kill_apiserver()
    world.cluster.components["kube-apiserver"].start()
    start = _first_answer(world)
    world.until("an ordinary pod is admitted", lambda: tenant.passes("create", start), deadline_seconds=60)
    world.until("a covered pod is admitted", lambda: covered.admitted(start), deadline_seconds=60)
    return start


def _first_answer(world: World) -> float:
    """Return when the API server that was just started first answered any request."""
    deadline = time.monotonic() + cluster.PATIENCE * 60
    while time.monotonic() < deadline:
        try:
            world.admin.request("GET", "/version", timeout=1)
        except api.ConnectionFailedError:
            time.sleep(0.01)
        else:
            return time.monotonic()
    raise AssertionError(f"no answer from the API server:\n{world.cluster.components['kube-apiserver'].tail(20)}")


def _delay(passed: list[answers.Answer], start: float) -> float:
    return min(answer.ended for answer in passed) - start
