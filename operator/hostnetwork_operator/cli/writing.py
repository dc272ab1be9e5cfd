"""Writes an exception as the person who runs the command: first a dry run, then once, then what the operator reports.

No write is repeated blindly. If the answer to a write was lost, and the object is then as the dry run showed it, the
write was carried out. Verbs that write an exception share this module; none of them decides here.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import click

from hostnetwork_operator import bodies
from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import conditions, exception, labels
from hostnetwork_operator.cli import connect, errors, flags, rbac, reading, tables
from hostnetwork_operator.observe import live

Body = Mapping[str, Any]
RESOURCE: Final = f"hostnetworkexception.{labels.GROUP}"
NOT_SERVED: Final = "error: the API server does not serve HostNetworkExceptions; install the operator"
_DRY: Final = "?dryRun=All"
# The operator reports about an exception in less than a second, unless it has much to do.
PATIENCE_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.2
# Each change of labels or status gives an exception another resourceVersion. A tenant can make changes without pause.
_TRIES: Final = 5


def path(namespace: str, name: str = "") -> str:
    """Return the path of the exceptions of a namespace, or of one of them."""
    whole = f"{live.CUSTOM}/namespaces/{namespace}/{exception.PLURAL}"
    return f"{whole}/{name}" if name else whole


async def dry_create(connection: connect.Connection, body: Body) -> bodies.Answer:
    """Return the exception as the API server would store it. Raise gateway.ApiError if the API server refuses it."""
    return await connection.gateway.create(path(body["metadata"]["namespace"]) + _DRY, body)


async def create(connection: connect.Connection, body: Body, expected: Body) -> Body:
    """Create an exception, and return it. `expected` is the result of the dry run. Raise gateway.ApiError, and
    CommandError if it is not known whether the exception was created.
    """
    namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
    try:
        with _uncertain(namespace, name):
            created: Body = (await connection.gateway.create(path(namespace), body)).body
    except gateway.ApiError as error:
        if error.status != 409 or not error.lost:
            raise
        created = await _present(connection, namespace, name, lost=True)
        if created.get("spec") != expected["spec"]:
            raise
    return created


async def dry_patch(connection: connect.Connection, present: Body, spec: Body) -> bodies.Answer:
    """Return the exception as a merge patch of its spec would leave it. Raise gateway.ApiError if it is refused."""
    meta = present["metadata"]
    whole = path(meta["namespace"], meta["name"]) + _DRY
    return await connection.gateway.patch(whole, {"metadata": {"uid": meta["uid"]}, "spec": spec})


async def patch(connection: connect.Connection, present: Body, spec: Body, *, versioned: bool) -> Body:
    """Merge `spec` into the spec of an exception, and return the exception.

    With `versioned`, nothing is written if the spec is no longer the one that the person saw. A write that only takes
    away needs no version: somebody who changes the exception without pause must not delay its end
    (docs/adr/0028-what-takes-away-needs-no-version.md). Raise gateway.ApiError, and CommandError as `create` does.
    """
    meta = present["metadata"]
    namespace, name, version = meta["namespace"], meta["name"], meta["resourceVersion"]
    again = "nothing was written; run the command again"
    for _ in range(_TRIES):
        condition = {"uid": meta["uid"], **({"resourceVersion": version} if versioned else {})}
        try:
            with _uncertain(namespace, name):
                answer = await connection.gateway.patch(path(namespace, name), {"metadata": condition, "spec": spec})
                written: Body = answer.body
                return written
        except gateway.ApiError as error:
            if error.status != 409:
                raise
            lost = error.lost
        found = await _present(connection, namespace, name, lost=lost)
        if lost and all(found["spec"].get(field) == value for field, value in spec.items()):
            return found
        fresh = found["metadata"]
        if (fresh["uid"], fresh["generation"]) != (meta["uid"], meta["generation"]):
            if lost:
                raise errors.CommandError(
                    f"error: somebody else changes the exception too; {_unknown(namespace, name)}"
                )
            raise errors.CommandError(f"error: exception {name} has changed since it was shown; {again}")
        version = fresh["resourceVersion"]  # only labels or the status have changed
    raise errors.CommandError(f"error: exception {name} is changed without pause; {again}")


async def _present(connection: connect.Connection, namespace: str, name: str, *, lost: bool) -> Body:
    """Return an exception after a write was refused, because there is another version or an exception of that name.

    `lost`: an earlier attempt at the write got no answer.
    """
    try:
        found: Body = (await connection.gateway.get(path(namespace, name))).body
    except gateway.ApiError as error:
        if not lost:
            raise
        raise errors.CommandError(f"error: {error.message or error.reason}; {_unknown(namespace, name)}") from error
    return found


def _unknown(namespace: str, name: str) -> str:
    return f"whether exception {name} was written is not known; see kubectl get hne {name} -n {namespace} -o yaml"


@contextlib.contextmanager
def _uncertain(namespace: str, name: str) -> Iterator[None]:
    """Say what is not known if the answer to a write is lost, or if a person interrupts the write."""
    try:
        yield
    except gateway.ApiError as error:
        if error.status == 409 or not (error.unanswered or error.lost or isinstance(error, gateway.UndecodableError)):
            raise
        raise errors.CommandError(
            f"error: no answer ({error.message or error.reason}); {_unknown(namespace, name)}"
        ) from error
    except asyncio.CancelledError:
        tables.say(f"interrupted; {_unknown(namespace, name)}")
        raise


async def reported(
    connection: connect.Connection, written: Body, done: Callable[[Body], bool], seconds: float = PATIENCE_SECONDS
) -> Body:
    """Return the exception once the operator has reported what `done` wants, or as it is after so many seconds."""
    deadline = connection.clock.monotonic() + seconds
    seen = written
    try:
        while not done(seen) and connection.clock.monotonic() < deadline:
            await asyncio.sleep(_PAUSE_SECONDS)
            seen = await _again(connection, seen)
    except asyncio.CancelledError:
        tables.say("interrupted; the exception is written")
        raise
    return seen


async def _again(connection: connect.Connection, seen: Body) -> Body:
    """Return the exception as it is now, or as it was if it cannot be read, or is another one."""
    meta = seen["metadata"]
    try:
        fresh: Body = (await connection.gateway.get(path(meta["namespace"], meta["name"]))).body
    except gateway.ApiError:  # a person who may write exceptions need not be able to read them
        return seen
    return fresh if fresh["metadata"]["uid"] == meta["uid"] else seen


def condition(body: Body, kind: conditions.ConditionType) -> Mapping[str, Any] | None:
    """Return a condition of an exception; None if the operator has not reported it about the present spec.

    Only the operator can write the status (exception-writers).
    """
    for each in (body.get("status") or {}).get("conditions") or ():
        if each.get("type") == kind and each.get("observedGeneration") == body["metadata"].get("generation"):
            found: Mapping[str, Any] = each
            return found
    return None


def decided(body: Body) -> bool:
    """Return whether the operator has reported whether the exception is in force, and waits for nothing."""
    ready = condition(body, conditions.ConditionType.READY)
    return ready is not None and ready.get("reason") != conditions.Ready.NOT_RECORDED


def ended(body: Body) -> bool:
    """Return whether the operator has reported the end of an exception, and that no pod is left."""
    ready = condition(body, conditions.ConditionType.READY)
    cleaned = condition(body, conditions.ConditionType.CLEANED_UP)
    if ready is None or ready.get("reason") != conditions.Ready.EXPIRED or cleaned is None:
        return False
    return cleaned.get("reason") not in {conditions.CleanedUp.DELETING, conditions.CleanedUp.DELETION_PENDING}


def covered(body: Body) -> int:
    """Return how many pods an exception covers, as the operator has reported it."""
    return int((body.get("status") or {}).get("coveredPods") or 0)


def covers_nothing(body: Body) -> bool:
    """Return whether an exception is in force and covers no pod."""
    ready = condition(body, conditions.ConditionType.READY)
    return ready is not None and ready.get("status") == "True" and not covered(body)


def show(body: Body, form: flags.Format, done: str) -> None:
    """Write an exception to stdout as kubectl does: as an object, as its name, or as its name with what was done."""
    name = tables.cell(f"{RESOURCE}/{body['metadata']['name']}")
    metadata = {key: value for key, value in body["metadata"].items() if value != []}  # bodies empties a list
    if form is flags.Format.JSON:
        click.echo(tables.as_json({**body, "metadata": metadata}))
    elif form is flags.Format.YAML:
        click.echo(tables.as_yaml({**body, "metadata": metadata}))
    else:
        click.echo(name if form is flags.Format.NAME or not done else f"{name} {done}")


def say_warnings(answer: bodies.Answer) -> None:
    """Say what the API server warns of, as kubectl does."""
    for text in answer.warnings:
        tables.say(f"Warning: {text}")


def say_unread(read: reading.Reading, consequence: str) -> None:
    """Say in one line what could not be read. A person who may write exceptions need not be able to read the rest."""
    if read.not_looked_at:
        tables.say(f"not looked at: {', '.join(each.what for each in read.not_looked_at)}; {consequence}", "  ")


def say_state(body: Body) -> None:
    """Say what the operator reports about an exception."""
    ready = condition(body, conditions.ConditionType.READY)
    if ready is None:
        tables.say(
            f"The operator has reported nothing about the exception within {PATIENCE_SECONDS:.0f} s, so whether the"
            " exception is in force is not known; see kubectl hostnetwork doctor"
        )
        return
    in_force = ready.get("status") == "True"
    covers = f"; it covers {tables.count(covered(body), 'pod')}" if in_force else ""
    tables.say(f"{ready.get('reason')}: {ready.get('message')}{covers}.")
    cleaned = condition(body, conditions.ConditionType.CLEANED_UP)
    if cleaned is not None:
        tables.say(f"{cleaned.get('reason')}: {cleaned.get('message')}.")


async def may(connection: connect.Connection, verb: str, namespace: str = "") -> bool | None:
    """Return whether RBAC gives the person a verb on exceptions, in a namespace or in the whole cluster; None if that
    is not known.
    """
    try:
        return await rbac.may(connection, verb, labels.GROUP, exception.PLURAL, namespace=namespace)
    except gateway.ApiError as error:
        if error.status in {0, 401}:
            raise
        return None


async def lacks_right(connection: connect.Connection, error: gateway.ApiError, verb: str, namespace: str) -> bool:
    """Return whether a write was refused because the person may not write exceptions.

    The admission policies refuse an expiry that is too late with the same status and reason, so RBAC is asked.
    """
    if error.status != 403 or error.namespace_ends:
        return False
    return False in {await may(connection, "approve"), await may(connection, verb, namespace)}


async def approvers(connection: connect.Connection) -> list[str]:
    """Return lines that name who may approve exceptions, as RBAC grants it, or say that this is not known."""
    holders = rbac.holders(await rbac.read(connection))["approve exceptions"]
    if holders is None:
        return ["Who may approve exceptions is not known, because you may not read RBAC: ask an administrator."]
    if not holders:
        return ["Nobody may approve exceptions but the members of the group system:masters."]
    return ["Who may approve exceptions:", *(f"- {each}" for each in holders)]
