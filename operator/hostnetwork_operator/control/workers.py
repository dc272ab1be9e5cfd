"""The loop of every worker: take a name from a queue, work on it, and retry after a pause if that failed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from hostnetwork_operator import logs
from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import loops, workqueue

_log = logging.getLogger(__name__)


async def work(queue: workqueue.WorkQueue, do: Callable[[str], Awaitable[None]], what: str) -> None:
    """Work on the names of a queue until cancelled. A failure with one name never ends the work on the others.

    A gateway.ApiError is logged as `what`-failed. Any other failure is unexpected, and is logged with its traceback as
    `what`-crashed.
    """
    while True:
        with loops.idle():
            name = await queue.take()
        try:
            await do(name)
            queue.forget(name)
        except gateway.ApiError as error:
            pause = round(queue.retry(name), 2)
            logs.log(_log, logging.WARNING, f"{what}-failed", namespace=name, error=str(error), retry_seconds=pause)
        except Exception:
            pause = round(queue.retry(name), 2)
            _log.exception(f"{what}-crashed", extra={"hno_fields": {"namespace": name, "retry_seconds": pause}})
        finally:
            queue.done(name)
        await asyncio.sleep(0)  # one name may take a moment; let deletes, probes and watches run before the next name
