"""Writes the policy's status: whether the operator acts on the policy, and the counts of the whole cluster."""

import datetime
from collections.abc import Sequence

from hostnetwork_operator.act import gateway, outbox
from hostnetwork_operator.api import conditions, labels, policy
from hostnetwork_operator.decide import plan, snapshot, summary
from hostnetwork_operator.observe import live, store


async def write_status(
    api: gateway.Gateway,
    cache: store.Store,
    plans: Sequence[plan.NamespacePlan],
    clock_state: conditions.ClockSynchronized,
    ledger_summary: snapshot.LedgerSummary,
    box: outbox.Outbox,
    clock: live.Clock,
) -> Exception | None:
    """Write the status only if it has changed. Raise gateway.ApiError. A policy that no longer exists or has changed is
    no error.

    No later status contains the Events of this one. So an Event that the API server refuses waits in `box`. The status
    is written all the same. Return why an Event was refused.
    """
    policy_object = cache.policy_object()
    if policy_object is None:
        return None
    now = clock.now()
    guards = list(cache.guards().values())
    changes = (
        summary.policy_event(policy_object),
        summary.guards_event(policy_object, guards, now),
        summary.clock_event(policy_object, clock_state),
        summary.ledger_event(policy_object, ledger_summary),
        summary.kubernetes_event(policy_object, cache.kubernetes_versions()),
        summary.seal_event(policy_object, cache.api_servers()),
    )
    box.add(event for event in changes if event is not None)
    refused = await box.emit_waiting(api, clock)
    await _write(api, cache, policy_object, plans, guards, clock_state, ledger_summary, now)
    return refused


async def _write(
    api: gateway.Gateway,
    cache: store.Store,
    present: snapshot.PolicyObject,
    plans: Sequence[plan.NamespacePlan],
    guards: Sequence[snapshot.Guard],
    clock_state: conditions.ClockSynchronized,
    ledger_summary: snapshot.LedgerSummary,
    now: datetime.datetime,
) -> None:
    status = summary.with_guards(summary.policy_status(present, plans, now), guards, now)
    status = summary.with_ledger(summary.with_clock(status, clock_state, now), ledger_summary, now)
    status = summary.with_kubernetes(status, cache.kubernetes_versions(), now)
    status = summary.with_seal(status, cache.api_servers(), now)
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
    cache.put(store.Kind.POLICY, answer.body)
