"""Lists of a namespace's pods from which only counts come, beside the work on the namespaces and one after the other.

No watch tells of pods without hostNetwork, so what an exception for such pods covers is counted by lists. Neither a
level nor a delete may wait for them, and the namespaces that are due at the same moment take their turns.
"""

import logging

from hostnetwork_operator import logs
from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import operator
from hostnetwork_operator.observe import live

_log = logging.getLogger(__name__)


async def work(core: operator.Operator) -> None:
    """List what is due, until it is cancelled."""
    while True:
        name = await core.counts.take()
        try:
            await _count(core, name)
            core.counts.forget(name)
        except gateway.ApiError as error:
            pause = core.counts.retry(name)
            logs.log(
                _log, logging.WARNING, "count-failed", namespace=name, error=str(error), retry_seconds=round(pause, 2)
            )
        except Exception:
            # One namespace's trouble must not end the counts of all others.
            pause = core.counts.retry(name)
            _log.exception("count-crashed", extra={"hno_fields": {"namespace": name, "retry_seconds": pause}})
        finally:
            core.counts.done(name)


async def _count(core: operator.Operator, name: str) -> None:
    """Have the namespace's pods listed, if that is due still, and the namespace judged by that."""
    made = core.plans.get(name)
    if made is None or made.recount is None:
        return
    left = (made.recount - core.clock.now()).total_seconds()
    if left > 0:  # another list has come first
        core.counts.add_after(name, left)
        return
    try:
        await live.fill_pods(core.api, core.store, name, core.clock)
    finally:
        core.log_unread()
    core.queue.add(name)
