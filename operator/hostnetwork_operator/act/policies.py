"""Writes the status of the policy: whether it is acted on, and the counts of the whole cluster."""

import datetime
from collections.abc import Sequence
from typing import Final

from hostnetwork_operator.act import events, gateway
from hostnetwork_operator.api import conditions, labels, policy
from hostnetwork_operator.decide import effects, plan, snapshot, summary
from hostnetwork_operator.observe import store

_MOST_POSTPONED: Final = 20  # of the one policy


async def emit_begun(
    api: gateway.Gateway,
    kept: store.Store,
    plans: Sequence[plan.NamespacePlan],
    recorded: snapshot.LedgerSummary,
    now: datetime.datetime,
) -> None:
    """Say what is not approved or not known after the ledger was begun. Raise gateway.ApiError."""
    present = kept.policy_object()
    event = summary.begun_event(present, recorded, plans) if present is not None else None
    if event is not None:
        await events.emit(api, event, now)


async def write_status(
    api: gateway.Gateway,
    kept: store.Store,
    plans: Sequence[plan.NamespacePlan],
    clock_state: conditions.Clock,
    recorded: snapshot.LedgerSummary,
    postponed: list[effects.EmitEvent],
    now: datetime.datetime,
) -> None:
    """Write the status only if it says something new. Raise gateway.ApiError; a policy that is gone or has changed is
    no error.

    No later status has its Events again. So an Event that the API server refuses stays in `postponed` and is emitted
    with the next status; it does not hold the status back.
    """
    present = kept.policy_object()
    if present is None:
        return
    found = list(kept.guards().values())
    for event in (
        summary.policy_event(present),
        summary.guards_event(present, found, now),
        summary.clock_event(present, clock_state),
        summary.ledger_event(present, recorded),
    ):
        if event is not None and event not in postponed:
            postponed.append(event)
    refused = await emit_postponed(api, postponed, now)
    await _write(api, kept, present, plans, found, clock_state, recorded, now)
    if refused is not None:
        raise refused


async def emit_postponed(
    api: gateway.Gateway, postponed: list[effects.EmitEvent], now: datetime.datetime
) -> gateway.ApiError | None:
    """Emit Events, which are postponed no longer then, up to the first that is refused; return why it was."""
    del postponed[:-_MOST_POSTPONED]
    while postponed:
        try:
            await events.emit(api, postponed[0], now)
        except gateway.ApiError as error:
            return error
        del postponed[0]
    return None


async def _write(
    api: gateway.Gateway,
    kept: store.Store,
    present: snapshot.PolicyObject,
    plans: Sequence[plan.NamespacePlan],
    found: Sequence[snapshot.Guard],
    clock_state: conditions.Clock,
    recorded: snapshot.LedgerSummary,
    now: datetime.datetime,
) -> None:
    wanted = summary.with_guards(summary.policy_status(present, plans, now), found, now)
    wanted = summary.with_ledger(summary.with_clock(wanted, clock_state, now), recorded, now)
    if wanted == present.status:
        return
    path = f"/apis/{labels.GROUP}/{labels.VERSION}/{policy.PLURAL}/{policy.NAME}/status"
    metadata = {"uid": present.uid, "resourceVersion": present.resource_version}
    body = {"metadata": metadata, "status": wanted.model_dump(mode="json", by_alias=True)}
    try:
        answer = await api.patch(path, body)
    except gateway.ApiError as error:
        if error.status in {404, 409}:
            return
        raise
    kept.put(store.Kind.POLICY, answer.body)
