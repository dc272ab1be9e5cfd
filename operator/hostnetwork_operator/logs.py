"""The log: one JSON object per line on stdout, with time, level, logger, event, and the fields of that event.

Text from tenants is logged only as the value of a field, and JSON quotes it.

The process that reads stdout and stderr may stop reading, and a disk may be full. So a separate thread writes to each
of them, and no other thread does. A text that does not fit into the queue of the thread is dropped and counted: no
delete, probe or signal waits for a reader of logs.
"""

import atexit
import collections
import datetime
import io
import json
import logging
import os
import select
import sys
import threading
import time
from typing import Any, Final

_FIELDS: Final = "hno_fields"
_QUEUE_BYTES: Final = 4 * 2**20  # some thousands of lines; most lines are logged at the start
_WRITE_BYTES: Final = 2**16  # as much as a pipe can buffer
_FLUSH_SECONDS: Final = 2.0  # at the end of the process; the Deployment allows 30 s for the whole shutdown


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Stream(io.TextIOBase):
    """A text stream to a file descriptor that never waits and never fails.

    If the descriptor is None, every text is dropped.
    """

    def __init__(self, descriptor: int | None, queue_bytes: int = _QUEUE_BYTES) -> None:
        self._descriptor = descriptor
        self._queue_bytes = queue_bytes
        self._texts: collections.deque[bytes] = collections.deque()
        self._bytes = 0  # in the queue, and in the texts that are being written
        self._changed = threading.Condition()
        self.dropped = 0  # lines, and other pieces of text
        if descriptor is not None:
            threading.Thread(target=self._write, args=(descriptor,), name="logs", daemon=True).start()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Queue a text as a whole, or drop it as a whole."""
        data = text.encode(errors="replace")
        with self._changed:
            if self._descriptor is None or self._bytes + len(data) > self._queue_bytes:
                self.dropped += 1
            elif data:
                self._texts.append(data)
                self._bytes += len(data)
                self._changed.notify_all()
        return len(text)

    def finish(self, seconds: float) -> None:
        """Wait until everything is written, but no longer than `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._bytes, seconds)

    def _write(self, descriptor: int) -> None:
        begin = b""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._texts)
                texts = [self._texts.popleft()]
                while self._texts and sum(map(len, texts)) < _WRITE_BYTES:
                    texts.append(self._texts.popleft())
            unwritten = _written(descriptor, begin + b"".join(texts))
            begin = (
                b"\n" if unwritten else b""
            )  # perhaps only the beginning of the last line was written: end that line
            with self._changed:
                self._bytes -= sum(map(len, texts))
                self.dropped += _cut_off(texts, len(unwritten))
                self._changed.notify_all()


def _written(descriptor: int, data: bytes) -> bytes:
    """Write the data, however long that takes, and return the rest that could not be written."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # another process that shares this pipe has set it to non-blocking
            select.select([], [descriptor], [])
        except OSError:  # nobody reads the pipe, or the disk is full: either may end
            return data
    return b""


def _cut_off(texts: list[bytes], left: int) -> int:
    """Return how many of the texts were not written in full, if the last `left` bytes of them were not written."""
    count = 0
    for text in reversed(texts):
        if left <= 0:
            break
        count, left = count + 1, left - len(text)
    return count


_out: Stream | None = None


def unblock() -> None:
    """Replace stdout and stderr by streams that never wait. Call it once, at the start of the process.

    When the process ends, the queued texts get a moment to be written. An error of a write does not change the exit
    status.
    """
    global _out
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    _out, errors = (Stream(stream.fileno() if stream is not None else None) for stream in (sys.stdout, sys.stderr))
    sys.stdout, sys.stderr = _out, errors
    atexit.register(_finish, (_out, errors))


def dropped() -> int:
    """Return how many lines of the log could not be written."""
    return _out.dropped if _out is not None else 0


def _finish(streams: tuple[Stream, ...]) -> None:
    deadline = time.monotonic() + _FLUSH_SECONDS
    for stream in streams:
        stream.finish(max(0.0, deadline - time.monotonic()))


def configure(level: str) -> None:
    """Set up logging to stdout. Call it once, at the start of the process."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Json())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level)
    # kopf logs every call of a handler at INFO: one line for each event of each pod.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def log(logger: logging.Logger, level: int, event: str, **fields: Any) -> None:
    """Log one line. `event` is a fixed name, and everything that varies is a field."""
    logger.log(level, event, extra={_FIELDS: fields})
