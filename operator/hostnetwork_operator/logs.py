"""One JSON object a line on stdout: time, level, logger, event, and the fields of that event.

Text that tenants wrote arrives in here as field values only, and JSON keeps it in its place.
"""

import datetime
import json
import logging
import sys
from typing import Any, Final

_FIELDS: Final = "hno_fields"


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


def configure(level: str) -> None:
    """Once, at the start of the process."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Json())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level)
    # kopf tells every handler call at INFO: one line for each event of each pod.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def log(logger: logging.Logger, level: int, event: str, **fields: Any) -> None:
    """One line: `event` is a fixed name, everything that varies is a field."""
    logger.log(level, event, extra={_FIELDS: fields})
