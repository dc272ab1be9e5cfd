"""Names for the shell: a person is typing, so an answer comes within a second or not at all, and no error is shown."""

import asyncio
from typing import Final

import click

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import exception
from hostnetwork_operator.cli import connect, errors, flags, tables
from hostnetwork_operator.cli import workloads as named
from hostnetwork_operator.observe import live

_SECONDS: Final = 1.0
_MOST: Final = 500  # names that a shell can show


def namespaces(context: click.Context, incomplete: str) -> list[str]:
    """Return the names of namespaces that begin with these letters."""
    return _listed(context, "/api/v1/namespaces", incomplete)


def workloads(context: click.Context, incomplete: str) -> list[str]:
    """Return the workloads of the namespace on the command line that begin with these letters: `ds/node-e`."""
    kind, slash, _ = incomplete.rpartition("/")
    if not slash:
        return [f"{each}/" for each in sorted(tables.KINDS.values()) if each.startswith(incomplete)]
    path = named.PATHS.get(named.KINDS.get(kind.lower(), ""))
    if path is None:
        return []
    return [f"{kind}/{name}" for name in _listed(context, path, incomplete.removeprefix(f"{kind}/"))]


def exceptions(context: click.Context, incomplete: str) -> list[str]:
    """Return the exceptions of the namespace on the command line whose names begin with these letters."""
    return _listed(context, f"{live.CUSTOM}/namespaces/{{}}/{exception.PLURAL}", incomplete)


def nodes(context: click.Context, incomplete: str) -> list[str]:
    """Return the nodes that begin with these letters: `node/node-1`."""
    kind, slash, _ = incomplete.partition("/")
    if not slash:
        return ["node/"] if "node".startswith(incomplete) else []
    found = _listed(context, "/api/v1/nodes", incomplete.removeprefix(f"{kind}/")) if kind == "node" else []
    return [f"{kind}/{name}" for name in found]


def _listed(context: click.Context, path: str, incomplete: str) -> list[str]:
    given = context.params
    context_name = next(iter(given.get("contexts") or ()), None)
    groups = tuple(given.get("groups") or ())
    target = flags.Target(given.get("kubeconfig"), context_name, given.get("user"), groups, _SECONDS)

    async def read() -> list[str]:
        async with connect.connect(target) as connection:
            whole = path.format(given.get("namespace") or connection.namespace)
            answer = await connection.gateway.get(f"{whole}?limit={_MOST}", accept=live.METADATA_LIST)
            return [item["metadata"]["name"] for item in answer.body["items"]]

    try:
        names = asyncio.run(asyncio.wait_for(read(), _SECONDS))
    except (errors.CommandError, gateway.ApiError, TimeoutError):
        return []
    return [name for name in names if name.startswith(incomplete)]
