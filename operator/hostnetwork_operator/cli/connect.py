"""From the flags of a command to the API server, and from its errors to sentences for people."""

import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from hostnetwork_operator import clock
from hostnetwork_operator.act import gateway, identity
from hostnetwork_operator.api import labels
from hostnetwork_operator.cli import errors, flags

_ATTEMPTS: Final = 2  # a person waits


@dataclass(frozen=True, slots=True)
class Connection:
    """The API server as one user. `namespace` is that of the context, `cluster` the name of the cluster there."""

    gateway: gateway.Gateway
    clock: clock.ServerClock
    namespace: str
    cluster: str = ""


@contextlib.asynccontextmanager
async def connect(target: flags.Target) -> AsyncIterator[Connection]:
    """Yield a connection. Raise CommandError if there is none, also for an error of the API server that ends a
    command.
    """
    options = gateway.RequestOptions(
        headers=_impersonation(target),
        seconds=target.timeout_seconds or gateway.TIMEOUT_SECONDS,
        attempts=_ATTEMPTS,
        manager="kubectl-hostnetwork",
        refresh=False,
    )
    server_clock = clock.ServerClock()
    # What the operator logs about a missing right, the command says itself.
    logging.getLogger("hostnetwork_operator").addHandler(logging.NullHandler())
    try:
        context = await identity.of_context(target.kubeconfig, target.context)
        server = gateway.Gateway(context.configuration, server_clock, _not_counted, options)
    except identity.IdentityError as error:
        raise errors.CommandError(f"error: {error}") from error
    try:
        yield Connection(server, server_clock, context.namespace, context.cluster)
    except gateway.ApiError as error:
        raise errors.CommandError(sentence(error, context.configuration.host)) from error
    finally:
        await server.close()


async def preview_is_there(connection: Connection) -> bool:
    """Return whether the preview namespaces are installed. A user who may not read them gets True."""
    try:
        await connection.gateway.get(f"/api/v1/namespaces/{labels.PREVIEW_NAMESPACES[0]}")
    except gateway.ApiError as error:
        if error.status in {0, 401}:
            raise
        return error.status != 404
    return True


def sentence(error: gateway.ApiError, host: str) -> str:
    """Return an error of the API server as kubectl writes it, with the remedy if there is one."""
    if error.status == 0:
        return (
            f"error: the server {host} does not answer ({error.message or error.reason}); check the address, the"
            " network and --context"
        )
    if error.status == 401:
        return "error: You must be logged in to the server (Unauthorized); log in again, or use --context"
    return f"Error from server ({error.reason or error.status}): {error.message}"


def _not_counted(_method: str, _status: int) -> None:
    """A command has no metrics."""


def _impersonation(target: flags.Target) -> tuple[tuple[str, str], ...]:
    """Return the headers of https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/."""
    if target.user is None:
        return ()
    return ("Impersonate-User", target.user), *(("Impersonate-Group", group) for group in target.groups)
