"""A log without a reader, or on a full disk, neither blocks the process nor changes its exit status."""

import json
import os
import pathlib
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator

import pytest

from hostnetwork_operator import logs

# Writes more than the queue and a pipe can take together, and then exits with a status of its own.
FLOOD = """
    import logging, sys
    from hostnetwork_operator import logs

    logs.unblock()
    logs.configure("INFO")
    for number in range(1_000):
        logs.log(logging.getLogger("test"), logging.INFO, "flood", number=number, text="x" * 10_000)
        print("y" * 10_000, file=sys.stderr)
    sys.exit(3)
"""
SECONDS = 60  # far more than the process needs; a process that waits for a reader never ends


def start(program: str, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Yield both ends of a pipe."""
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        try:
            os.close(end)
        except OSError:
            continue  # the test has closed this end


def test_a_process_whose_log_nobody_reads_goes_on_and_ends(pipe: tuple[int, int]) -> None:
    """Stdout and stderr are the same full pipe."""
    process = start(FLOOD, stdout=pipe[1], stderr=pipe[1])
    try:
        assert process.wait(timeout=SECONDS) == 3
    finally:
        process.kill()
        process.wait()


def test_a_full_disk_behind_the_log_does_not_change_the_exit_status() -> None:
    """Neither the status of a normal exit changes, nor that of an exit because of an invalid setting."""
    with pathlib.Path("/dev/full").open("wb") as device:
        process = start(FLOOD, stdout=device.fileno(), stderr=device.fileno())
        assert process.wait(timeout=SECONDS) == 3
        command = [sys.executable, "-m", "hostnetwork_operator"]
        environment = {"PATH": os.environ["PATH"], "HOSTNETWORK_PORT": "none"}
        assert (
            subprocess.run(
                command, env=environment, stdout=device, stderr=device, timeout=SECONDS, check=False
            ).returncode
            == 2
        )


def test_a_log_whose_reader_is_gone_does_not_change_the_exit_status(pipe: tuple[int, int]) -> None:
    """Each write fails with EPIPE."""
    os.close(pipe[0])
    process = start(FLOOD, stdout=pipe[1], stderr=pipe[1])
    assert process.wait(timeout=SECONDS) == 3


def test_a_process_without_stdout_and_stderr_ends_as_it_would_with_them() -> None:
    """A closed descriptor may belong to a socket by then.

    So the process writes nothing to the number of that descriptor.
    """
    program = textwrap.dedent(FLOOD)
    command = ["sh", "-c", 'exec "$0" -c "$1" >&- 2>&-', sys.executable, program]
    assert subprocess.run(command, timeout=SECONDS, check=False).returncode == 3


def test_every_line_is_written_whole_and_in_order_before_the_process_ends() -> None:
    """Before the process ends, it waits for a reader that reads."""
    program = FLOOD.replace("1_000", "400").replace('print("y" * 10_000, file=sys.stderr)', "pass")
    command = [sys.executable, "-c", textwrap.dedent(program)]
    completed = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    assert [json.loads(line)["number"] for line in completed.stdout.splitlines()] == list(range(400))


def until(probe: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not probe():
        assert time.monotonic() < deadline, "never"
        time.sleep(0.01)


def test_what_does_not_fit_is_dropped_and_counted(pipe: tuple[int, int]) -> None:
    """The lines that fit arrive as soon as somebody reads. The other lines never arrive."""
    os.set_blocking(pipe[1], False)
    while True:
        try:
            os.write(pipe[1], b"." * 4096)
        except BlockingIOError:
            break
    os.set_blocking(pipe[1], True)
    stream = logs.Stream(pipe[1], queue_bytes=100)
    for number in range(30):
        stream.write(f"line {number:04}\n")
    assert stream.dropped == 20
    stream.finish(0.01)  # nobody reads, so it gives up
    output = b""
    while not output.endswith(b"line 0009\n"):
        output += os.read(pipe[0], 2**16)
    assert output.lstrip(b".") == b"".join(b"line %04d\n" % number for number in range(10))
    stream.finish(SECONDS)
    stream.write("later\n")
    assert os.read(pipe[0], 100) == b"later\n"
    assert stream.dropped == 20


def test_what_a_disk_does_not_take_is_counted() -> None:
    """Each line that a full disk refuses counts as dropped."""
    with pathlib.Path("/dev/full").open("wb") as device:
        stream = logs.Stream(device.fileno())
        for _ in range(7):
            stream.write("line\n")
        until(lambda: stream.dropped == 7)
        stream.finish(SECONDS)


def test_a_half_line_is_ended_before_the_next_one(tmp_path: pathlib.Path) -> None:
    """A disk takes the first bytes of a line, is full, and has room again.

    The next line then begins on a line of its own.
    """
    path = tmp_path / "log"
    program = """
        import os, pathlib, resource, signal, sys
        from hostnetwork_operator import logs

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (12, resource.RLIM_INFINITY))
        stream = logs.Stream(sys.stdout.fileno())
        stream.write("whole\\nlonger than the room\\n")
        stream.finish(60)
        dropped = stream.dropped
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        stream.write("next\\n")
        stream.finish(60)
        os._exit(dropped)
    """
    with path.open("wb") as file:
        process = start(program, stdout=file.fileno(), stderr=subprocess.DEVNULL)
        assert process.wait(timeout=SECONDS) == 1
    assert path.read_text() == "whole\nlonger\nnext\n"
