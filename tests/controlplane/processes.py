"""A component of a control plane as a child process that a test can start, kill and stop, with a log file."""

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import time

_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    # A killed test run must not leave etcd running.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Component:
    """A process of `command` with a log file in `directory`; with `detached`, the process survives this process."""

    def __init__(self, name: str, command: list[str], directory: pathlib.Path, *, detached: bool) -> None:
        self.name = name
        self.command = command
        self.log = directory / f"{name}.log"
        self._detached = detached
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    def start(self, environment: dict[str, str] | None = None) -> None:
        assert not self.running(), f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
                preexec_fn=None if self._detached else _die_with_parent,
            )

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Send SIGKILL and wait until the process has ended."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def wait(self, deadline_seconds: float) -> int:
        """Return the exit status. Raise subprocess.TimeoutExpired after the deadline."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.wait(timeout=deadline_seconds)

    def stop(self, deadline_seconds: float = 10) -> int | None:
        """Send SIGTERM, and SIGKILL after the deadline; return the exit status."""
        if self._process is None:
            return None
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=deadline_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        return self._process.returncode

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _signal(self, number: int) -> None:
        """Send a signal, unless the process has ended: another thread may just have killed it and waited for it."""
        if self.running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def tail(self, lines: int = 5) -> str:
        if not self.log.exists():
            return "(no log)"
        return "\n".join(line[:300] for line in self.log.read_text(errors="replace").splitlines()[-lines:])


def end(pid: int, deadline_seconds: float = 10) -> None:
    """End a process that is not a child: SIGTERM, then SIGKILL after the deadline. An ended process is no error."""
    for number, seconds in ((signal.SIGTERM, deadline_seconds), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not pathlib.Path(f"/proc/{pid}").exists():
                return
            time.sleep(0.05)
