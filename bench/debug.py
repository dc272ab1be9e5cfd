"""`kubectl hostnetwork debug`: from the exception of a session until the person sees what the container writes."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from bench import figures
from bench.world import World, say

_SESSIONS = 10
_DEADLINE_SECONDS = 60.0
_LINE = "the container writes"
_COMMAND = [str(pathlib.Path(sys.executable).parent / "kubectl-hostnetwork"), "debug", "node/node-1"]


def measure(world: World) -> list[figures.Row]:
    say(f"debug: {_SESSIONS} sessions, each in a clean enforced namespace of its own")
    places = [f"debugged-{number}" for number in range(_SESSIONS)]
    world.enforced(places)
    values = [_attach(world, place) for place in places]
    goal = figures.Goal("p99", 3000)
    return [figures.spread("debug: exception created -> attached", values, goal=goal)]


def _attach(world: World, place: str) -> float:
    """Return the milliseconds from the exception until a line of the container has been read."""
    exceptions = f"/apis/hostnetwork-operator.github.io/v1alpha1/namespaces/{place}/hostnetworkexceptions"
    command = [*_COMMAND, "-n", place, "--image", "registry.example.com/netshoot:1", "--ticket", "INC-1"]
    environment = {**os.environ, "KUBECONFIG": str(world.cluster.kubeconfig)}
    output = pathlib.Path(world.cluster.directory) / f"{place}.out"
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.DEVNULL
        )
    try:
        _until(lambda: world.api.items(exceptions), process)
        began = time.monotonic()
        _until(lambda: _LINE in _written(world, output), process)
        return 1000 * (time.monotonic() - began)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _until(probe: Callable[[], object], session: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not probe():
        assert session.poll() is None, "the command has ended"
        assert time.monotonic() < deadline, "the session is not attached"
        time.sleep(0.005)


def _written(world: World, output: pathlib.Path) -> str:
    """Have the container write a line, and return what the person has seen: what it writes once attached."""
    with world.cluster.container_log.open("a") as log:
        log.write(f"2026-01-01T00:00:00Z stdout F {_LINE}\n")
    return output.read_text()
