"""If nobody reads the operator's log, all other work goes on."""

import os
import sys

from tests.controlplane import operator
from tests.e2e.conftest import PSA, World

COMMAND = ["sh", "-c", 'exec "$0" -m hostnetwork_operator >"$1" 2>&1', sys.executable]


def test_a_reader_of_the_log_that_is_stuck_holds_nothing_up(unattended: World) -> None:
    """An expired pod is deleted and its level restored, the probes answer, and SIGTERM ends the process with 0."""
    unattended.operator.stop()
    fifo = unattended.cluster.directory / "log.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)  # never read; full from the first line on
    while True:
        try:
            os.write(reader, b"." * 4096)
        except BlockingIOError:
            break
    process = operator.OperatorProcess(unattended.cluster, name="stuck", command=[*COMMAND, str(fifo)])
    try:
        process.start()
        name = unattended.namespace()
        unattended.granted_pod(name, seconds=15, gracePeriodSeconds=0)
        unattended.until("its pod is deleted", lambda: unattended.is_deleted(name))
        unattended.until("its level is restored", lambda: unattended.labels(name)[PSA] == "baseline")
        assert (process.probe("/readyz"), process.probe("/healthz")) == (200, 200)
        assert "hostnetwork_operator_log_lines_dropped_total 0.0" in process.metrics()
        assert process.stop() == 0
    finally:
        process.kill()
        os.close(reader)
