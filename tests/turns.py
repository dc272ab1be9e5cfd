"""Turns for tests that run in parallel processes: a test that is marked `alone` runs while no other test runs."""

import contextlib
import fcntl
import os
import pathlib
import tempfile
import threading
from collections.abc import Iterator

_LOCK = pathlib.Path(tempfile.gettempdir()) / f"hostnetwork-operator-tests-{os.getuid()}"  # for the whole machine
# Set while a test of this process runs. Background work does nothing while the process waits for its turn.
RUNNING = threading.Event()
RUNNING.set()


@contextlib.contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Hold the turn for one test, under pytest-xdist."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    RUNNING.clear()
    with _LOCK.with_suffix(".next").open("w") as next_lock, _LOCK.with_suffix(".turn").open("w") as lock:
        fcntl.flock(next_lock, fcntl.LOCK_EX)  # while a test waits for the others, no new test starts
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(next_lock, fcntl.LOCK_UN)
        RUNNING.set()
        yield
