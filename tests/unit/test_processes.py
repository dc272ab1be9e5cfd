"""The tests' own harness: ending a component raises no error, whatever ends the component and whenever."""

import os
import pathlib
import signal
import sys
from collections.abc import Callable

import pytest

from tests.controlplane import processes


@pytest.mark.parametrize("end", [processes.Component.stop, processes.Component.kill])
def test_a_component_that_another_thread_has_just_reaped_is_ended_without_an_error(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, end: Callable[[processes.Component], object]
) -> None:
    """The other thread reaps the component between the check that the component still runs and the signal.

    The exit status is the one that the other thread caused.
    """
    component = processes.Component(
        "sleep", [sys.executable, "-c", "import time; time.sleep(600)"], tmp_path, detached=False
    )
    component.start()
    process, kill = component._process, os.kill

    def late(pid: int, number: int) -> None:
        """Send the signal after the other thread has killed and reaped the process."""
        if process is not None and process.returncode is None:
            kill(pid, signal.SIGKILL)
            process.wait()
        kill(pid, number)

    monkeypatch.setattr(os, "kill", late)
    end(component)
    assert component.wait(10) == -signal.SIGKILL
    assert not component.running()
    end(component)
