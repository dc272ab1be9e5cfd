"""The gate's looks, beside the work on the namespaces: neither a flag nor a delete may wait for their many requests.

A namespace is judged anew when its look has ended. Meanwhile only that is done in it which no answer changes.
"""

import logging
from typing import Final

from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import operator
from hostnetwork_operator.decide import gate, plan, snapshot
from hostnetwork_operator.observe import preview

_log = logging.getLogger(__name__)
# At once: each holds a page of pods in memory, and what takes the time is to read it, so that more at the same time are
# no faster. With eight the process had 50 MB more at 50,000 pods.
LOOKERS: Final = 2


async def work(core: operator.Operator) -> None:
    """A looker, until it is cancelled."""
    while True:
        name = await core.looks.take()
        try:
            await _look(core, name)
            core.looks.forget(name)
        except Exception:
            # One namespace's trouble must not end the looks at all others.
            pause = core.looks.retry(name)
            _log.exception("look-crashed", extra={"hno_fields": {"namespace": name, "retry_seconds": pause}})
        finally:
            core.looks.done(name)


async def _look(core: operator.Operator, name: str) -> None:
    """Has the namespace judged by what the gate says, if it is to be asked still."""
    seen = core.observe(name)
    ask = plan.plan_namespace(seen, core.clock.now()).ask if seen is not None else None
    if seen is None or ask is None:
        return
    known = core.memories[name]
    known.looking = seen.namespace.uid
    try:
        answer = await preview.look(core.api, seen, ask, core.clock)
    except gateway.ApiError as error:
        counted = gate.names(gate.excepted(seen, core.clock.now()))
        why = preview.explained(error.message or error.reason)
        answer = snapshot.GateAnswer(ask, core.clock.now(), failed=why, excepted=counted)
    after = core.observe(name)
    if after is not None and after.namespace.uid == known.looking:
        known.gate = answer
    known.looking = ""
    core.queue.add(name)
