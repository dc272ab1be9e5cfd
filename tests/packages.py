"""One run of apt-get at a time: the test workers run side by side, and two runs refuse each other."""

import contextlib
import fcntl
from collections.abc import Iterator

from tests.controlplane import binary


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Hold the turn for apt-get."""
    binary.cache_directory().mkdir(parents=True, exist_ok=True)
    with (binary.cache_directory() / "apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
