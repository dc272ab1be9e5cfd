"""Python imports this module automatically if its directory is on PYTHONPATH; it shifts the process's wall clock.

The file named in WALL_CLOCK has the number of seconds. Each call reads the file again, so that a test can step the
clock. The monotonic clock does not change, as on a machine whose time is set.
"""

import os
import pathlib
import time

_file = pathlib.Path(os.environ["WALL_CLOCK"])
_true = time.time


def _time() -> float:
    return _true() + float(_file.read_text())


time.time = _time
time.time_ns = lambda: int(_time() * 1e9)
