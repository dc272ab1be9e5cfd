"""The command at a terminal, with a person who answers its questions."""

import os
import pty
import select
import signal
from collections.abc import Sequence

from tests.cli.conftest import COMMAND
from tests.controlplane import cluster


def converse(target: cluster.Cluster, arguments: Sequence[str], answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
    """Run `kubectl hostnetwork` at a terminal. Give each answer once the text before it was shown.

    Return the exit status and everything that was shown. Raise AssertionError if a text was never shown.
    """
    environment = {"PATH": os.environ["PATH"], "KUBECONFIG": str(target.kubeconfig), "TERM": "dumb"}
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell ignores the signal for what runs in its background
        os.execve(COMMAND, [str(COMMAND), *arguments], environment)
    shown = b""
    for text, answer in answers:
        while text.encode() not in shown:
            piece = _read(terminal)
            assert piece, f"never shown: {text!r}\n{shown.decode()}"
            shown += piece
        os.write(terminal, answer.encode())
    while piece := _read(terminal):
        shown += piece
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), shown.decode()


def _read(terminal: int) -> bytes:
    """Return what was shown next, b'' at the end: Linux reports the end of a terminal as an error."""
    ready, _, _ = select.select([terminal], [], [], cluster.PATIENCE * 60)
    assert ready, "nothing was shown for a minute"
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
