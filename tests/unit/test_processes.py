"""The tests' own harness: a component that ends at any moment, by whatever hand, is ended without an error."""

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
    """Between the moment in which it still runs and the signal to it; its exit status is that of the other hand."""
    component = processes.Component(
        "sleep", [sys.executable, "-c", "import time; time.sleep(600)"], tmp_path, detached=False
    )
    component.start()
    process, kill = component._process, os.kill

    def late(pid: int, number: int) -> None:
        """As if the other thread came first."""
        if process is not None and process.returncode is None:
            kill(pid, signal.SIGKILL)
            process.wait()
        kill(pid, number)

    monkeypatch.setattr(os, "kill", late)
    end(component)
    assert component.wait(10) == -signal.SIGKILL
    assert not component.running()
    end(component)
