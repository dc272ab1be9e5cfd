"""The demo, which a new user sees first."""

import subprocess
import sys

from tests.controlplane import operator


def test_the_demo_observes_everything_that_it_claims() -> None:
    """`make demo` ends with status 0, claims each part of the main job, and leaves nothing running."""
    completed = subprocess.run(
        [sys.executable, "-m", "tests.demo"],
        cwd=operator.ROOT,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout[-2000:] + completed.stderr[-2000:]
    for part in ("Uncovered", "Held", "admitted and run", "its pod was deleted", "kill -9", "all of it was observed"):
        assert part in completed.stdout, part
