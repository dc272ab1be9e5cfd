"""Tests run side by side in several processes. One that is marked `alone` runs while no other does."""

import contextlib
import fcntl
import os
import pathlib
import threading
from collections.abc import Iterator

_LOCKS = pathlib.Path(__file__).parent.parent / ".venv"
# Whether a test of this process runs. What works in the background does nothing while the process waits for its turn.
RUNNING = threading.Event()
RUNNING.set()


@contextlib.contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """For the time of one test, under pytest-xdist."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    RUNNING.clear()
    with (_LOCKS / "next.lock").open("w") as following, (_LOCKS / "turn.lock").open("w") as lock:
        fcntl.flock(following, fcntl.LOCK_EX)  # while one waits for the others, none begins
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(following, fcntl.LOCK_UN)
        RUNNING.set()
        yield
