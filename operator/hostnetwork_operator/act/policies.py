"""Writes the policy's status: whether the operator acts on the policy, and the counts of the whole cluster."""

import datetime
from collections.abc import Sequence
from typing import Final

from hostnetwork_operator.act import events, gateway
from hostnetwork_operator.api import conditions, labels, policy
from hostnetwork_operator.decide import effects, plan, snapshot, summary
from hostnetwork_operator.observe import store

_MOST_POSTPONED: Final = 20  # for the only policy


async def emit_begun(
    api: gateway.Gateway,
    kept: store.Store,
    plans: Sequence[plan.NamespacePlan],
    recorded: snapshot.LedgerSummary,
    now: datetime.datetime,
) -> None:
    """Emit the Event about what is not approved or not known when the ledger begins. Raise gateway.ApiError."""
    policy_object = kept.policy_object()
    event = summary.begun_event(policy_object, recorded, plans) if policy_object is not None else None
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
    """Write the status only if it has changed. Raise gateway.ApiError. A policy that no longer exists or has changed is
    no error.

    No later status contains the Events of this one. So an Event that the API server refuses stays in `postponed` and is
    emitted with the next status. The status is written all the same.
    """
    policy_object = kept.policy_object()
    if policy_object is None:
        return
    guards = list(kept.guards().values())
    for event in (
        summary.policy_event(policy_object),
        summary.guards_event(policy_object, guards, now),
        summary.clock_event(policy_object, clock_state),
        summary.ledger_event(policy_object, recorded),
    ):
        if event is not None and event not in postponed:
            postponed.append(event)
    refused = await emit_postponed(api, postponed, now)
    await _write(api, kept, policy_object, plans, guards, clock_state, recorded, now)
    if refused is not None:
        raise refused


async def emit_postponed(
    api: gateway.Gateway, postponed: list[effects.EmitEvent], now: datetime.datetime
) -> gateway.ApiError | None:
    """Emit the postponed Events up to the first that is refused, and remove the emitted ones from `postponed`. Return
    the error of the refused Event.
    """
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
    status = summary.with_guards(summary.policy_status(present, plans, now), found, now)
    status = summary.with_ledger(summary.with_clock(status, clock_state, now), recorded, now)
    if status == present.status:
        return
    path = f"/apis/{labels.GROUP}/{labels.VERSION}/{policy.PLURAL}/{policy.NAME}/status"
    metadata = {"uid": present.uid, "resourceVersion": present.resource_version}
    body = {"metadata": metadata, "status": status.model_dump(mode="json", by_alias=True)}
    try:
        answer = await api.patch(path, body)
    except gateway.ApiError as error:
        if error.status in {404, 409}:
            return
        raise
    kept.put(store.Kind.POLICY, answer.body)
