"""Writes the status of the policy: whether it is acted on, and the counts of the whole cluster."""

import datetime
from collections.abc import Sequence

from hostnetwork_operator.act import events, gateway
from hostnetwork_operator.api import conditions, labels, policy
from hostnetwork_operator.decide import plan, snapshot, summary
from hostnetwork_operator.observe import store


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
    now: datetime.datetime,
) -> None:
    """Only if it says something new. Raises gateway.ApiError; a policy that is gone or changed is no error."""
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
        if event is not None:
            await events.emit(api, event, now)
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
