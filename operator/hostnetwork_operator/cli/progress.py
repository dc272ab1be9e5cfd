"""Progress of what takes longer than a second, on stderr, and only if a person looks."""

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Final

_PATIENCE_SECONDS: Final = 1.0


@contextlib.contextmanager
def shown(what: str) -> Iterator[None]:
    """Say what takes so long, once a second has passed, and remove the line at the end."""
    if not sys.stderr.isatty():
        yield
        return
    over = threading.Event()

    def tell() -> None:
        seconds = 0
        while not over.wait(_PATIENCE_SECONDS):
            seconds += 1
            sys.stderr.write(f"\r{what} … {seconds}s")
            sys.stderr.flush()

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()
