"""`debug --adopt`: an exception for a debug pod that runs already and that no exception covers."""

import asyncio
import dataclasses
import secrets
from collections.abc import Mapping
from typing import Any, Final

import click

from hostnetwork_operator.api import conditions, labels
from hostnetwork_operator.api import exception as exceptions
from hostnetwork_operator.cli import (
    approving,
    composing,
    connect,
    draft_text,
    errors,
    flags,
    progress,
    reading,
    tables,
    workloads,
    writing,
)
from hostnetwork_operator.decide import coverage, debugging, draft, snapshot
from hostnetwork_operator.observe import live

_COVER_SECONDS: Final = 20.0  # until the operator reports the pod as covered: it needs a second
_PAUSE_SECONDS: Final = 0.2


@dataclasses.dataclass(frozen=True, slots=True)
class Stray:
    """The pod, as a person names it, and the fields of its exception that nothing else tells."""

    namespace: str | None
    pod: str
    ticket: str
    seconds: float
    owner: str | None
    reason: str | None
    name: str | None
    dry_run: bool


async def adopt(target: flags.Target, stray: Stray) -> int:
    """Put the pod under an exception, and return the exit status of the command."""
    kind, name = workloads.words((stray.pod,))
    if kind != "Pod":
        raise errors.CommandError("error: --adopt takes a pod; kubectl hostnetwork draft is for a workload")
    async with connect.connect(target) as connection:
        namespace = stray.namespace or connection.namespace
        with progress.shown(f"reading namespace {namespace}"):
            await approving.check_policy(connection, namespace, stray.seconds)
            diagnostic = exceptions.ExceptionType.DIAGNOSTIC
            drafted = (await composing.of_workload(connection, namespace, ("pod", name), diagnostic)).drafted
            _check(drafted, await _verdict(connection, namespace, drafted.subject))
            owner = await approving.owner(connection, stray.owner)
            body = _exception(connection, stray, drafted, owner)
            if stray.dry_run:
                click.echo(approving.documents(body))
                return errors.Exit.FINE
            checked = await approving.check(connection, body)
        if isinstance(checked, approving.NotAllowed):
            click.echo(approving.documents(body))
            approving.hand_over(body, checked)
            return errors.Exit.FAILED
        await writing.create(connection, body, checked)
        with progress.shown("waiting until the exception covers the pod"):
            why = await _until_covered(connection, body)
    told = f"exception {body['metadata']['name']} in namespace {namespace}"
    if why:
        raise errors.CommandError(
            f"error: {told} was created, and does not cover the pod: {why}; to end the exception: kubectl hostnetwork"
            f" revoke {body['metadata']['name']} -n {namespace}"
        )
    tables.say(f"{told} covers pod {name} until {body['spec']['expiry']}. Then the operator deletes the pod.")
    return errors.Exit.FINE


async def _verdict(
    connection: connect.Connection, namespace: str, pod: snapshot.Reference
) -> coverage.PodVerdict | None:
    """Return the verdict on the pod; None if it shares no host namespace, or its verdict is not known."""
    read = await reading.read(connection, live.Scope(namespace), pods=reading.WhichPods.ALL)
    if not (read.exceptions and read.approvals):
        return None
    verdicts = (verdict for _, plan in read.plans() for verdict in plan.verdicts)
    return next((verdict for verdict in verdicts if verdict.pod.uid == pod.uid), None)


def _check(drafted: draft_text.Drafted, verdict: coverage.PodVerdict | None) -> None:
    """Raise CommandError if the pod is not a stray one, or no Diagnostic exception can cover it."""
    name = f"pod {drafted.subject.name} in namespace {drafted.subject.namespace}"
    if not drafted.draft.host_namespaces:
        raise errors.CommandError(f"error: {name} shares no host namespace, so no Diagnostic exception is for it")
    if drafted.draft.inexpressible:
        raise errors.CommandError(f"error: no exception can list what {name} uses: {drafted.draft.inexpressible[0]}")
    if verdict is None:
        return
    if verdict.verdict in {labels.Verdict.COVERED, labels.Verdict.STATIC}:
        raise errors.CommandError(f"error: {name} is not a stray pod: {verdict.why}")
    if verdict.pod.owner is not None:
        owner = verdict.pod.owner
        raise errors.CommandError(
            f"error: {name} belongs to {owner.kind} {owner.name}, which would create the pod again; kubectl hostnetwork"
            f" draft -n {drafted.subject.namespace} {tables.kind(owner.kind)}/{owner.name}"
        )


def _exception(
    connection: connect.Connection, stray: Stray, drafted: draft_text.Drafted, owner: str
) -> Mapping[str, Any]:
    subject = drafted.subject
    justification = draft.Justification(
        owner=owner,
        reason=stray.reason or f"Debug pod {subject.name}, ticket {stray.ticket}",
        ticket=stray.ticket,
        expiry=debugging.expiry(connection.clock.now(), stray.seconds),
    )
    name = stray.name or debugging.name(subject.name, secrets.token_hex(3))
    body = dataclasses.replace(drafted.draft, name=name).manifest(justification)
    body["metadata"]["labels"] = {labels.MANAGED_BY: debugging.MANAGED_BY}
    return body


async def _until_covered(connection: connect.Connection, body: Mapping[str, Any]) -> str:
    """Wait until the operator reports a covered pod. Return why not if it does not."""
    path = writing.path(body["metadata"]["namespace"], body["metadata"]["name"])
    deadline = connection.clock.monotonic() + _COVER_SECONDS
    while True:
        seen = (await connection.gateway.get(path)).body
        if writing.covered(seen):
            return ""
        if connection.clock.monotonic() > deadline:
            ready = writing.condition(seen, conditions.ConditionType.READY)
            return f"{ready['reason']}: {ready['message']}" if ready else "the operator has not evaluated the exception"
        await asyncio.sleep(_PAUSE_SECONDS)
