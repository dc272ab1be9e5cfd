"""`debug`: a debug pod on a node under a Diagnostic exception that ends with the session.

The exception is created, the pod is created under it as soon as the API server admits the pod, the terminal is
attached, and the exception is revoked at the end. If the client dies, the exception ends at its expiry.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

from hostnetwork_operator.api import labels
from hostnetwork_operator.cli import errors, flags, progress, tables
from hostnetwork_operator.decide import debugging

if TYPE_CHECKING:
    from hostnetwork_operator.cli import connect

_EXAMPLES: Final = """\b
Examples:
  # A shell in the network of a node, for an hour at most
  kubectl hostnetwork debug node/node-1 -n debug --ticket INC-4711 --image example.com/tools:1
\b
  # A capture into a file on this machine, for ten minutes at most
  kubectl hostnetwork debug node/node-1 -n debug --ticket INC-4711 --image example.com/tools:1 \\
    --for 10m -- tcpdump -i any -w - port 53 > dns.pcap
\b
  # Print the exception and the pod, and create nothing
  kubectl hostnetwork debug node/node-1 -n debug --ticket INC-4711 --image example.com/tools:1 \\
    --dry-run
\b
  # Put a debug pod that no exception covers under an exception that ends
  kubectl hostnetwork debug -n debug --adopt node-debugger-node-1-x7k2f --ticket INC-4711"""
_SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes makes names: no vowels, so no words
_NODE: Final = frozenset({"node", "nodes", "no"})
# What a session does, apart from creating the exception: the API server says itself who may not.
_NEEDED: Final = (
    ("create", "", "pods", ""),
    ("get", "", "pods", ""),
    ("create", "", "pods", "attach"),
    ("get", "", "pods", "attach"),
    ("get", labels.GROUP, "hostnetworkexceptions", ""),
    ("patch", labels.GROUP, "hostnetworkexceptions", ""),
)
_NO_IMAGE: Final = (
    "--image is required, because the exception lists the image exactly; use the image of your team, with its digest if"
    " you can: --image registry.example.com/netshoot@sha256:…"
)


class _NodeName(click.ParamType[str]):
    """A node, such as `node/node-1`, or a word of the command."""

    name = "node"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from hostnetwork_operator.cli import names

        return [CompletionItem(name) for name in names.nodes(ctx, incomplete)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says. None stands for what the command finds out itself."""

    namespace: str | None
    node: str
    image: str
    command: tuple[str, ...]
    ticket: str
    seconds: float
    owner: str | None
    reason: str | None
    name: str | None
    service_account: str
    profile: debugging.DebugProfile
    interactive: bool
    terminal: bool


@click.command(name="debug", epilog=_EXAMPLES, short_help="Debug a node under an exception that ends with the session")
@click.argument("words", type=_NodeName(), nargs=-1, metavar="[node/NAME] [-- COMMAND ...]")
@flags.namespace
@click.option("--image", metavar="IMAGE", help="The image of the pod. The exception lists exactly this text.")
@click.option("--ticket", metavar="TICKET", help="The ticket that asks for the session. Required.")
@click.option("--for", "seconds", type=flags.DURATION, default=3600.0, metavar="DURATION",
              help="When the exception ends at the latest. Default: 1h.")  # fmt: skip
@click.option("--profile", type=click.Choice(list(debugging.PROFILES)), default=debugging.NETWORK,
              help="What the pod has: the network of the node alone, or as kubectl debug --profile.")  # fmt: skip
@click.option("--host-pid", is_flag=True, help="The pod also shares the processes of the node.")
@click.option("--host-ipc", is_flag=True, help="The pod also shares the IPC of the node.")
@click.option("-i", "--stdin", "interactive", is_flag=True,
              help="Pass stdin to the container. Default: if stdin is a terminal.")  # fmt: skip
@click.option("-t", "--tty", "terminal", is_flag=True,
              help="Give the container a terminal. Default: if stdin and stdout are one.")  # fmt: skip
@click.option("--owner", metavar="TEXT", help="Who answers for the pod. Default: you, as the API server knows you.")
@click.option("--reason", metavar="TEXT", help="Why, in a sentence. Default: from the node and the ticket.")
@click.option("--name", metavar="NAME", help="The name of exception and pod. Default: debug-NODE and random letters.")
@click.option("--serviceaccount", "service_account", metavar="NAME", default="default",
              help="The service account of the pod. Default: default.")  # fmt: skip
@click.option("--adopt", metavar="POD", help="Put this pod under an exception that ends, instead of creating one.")
@click.option("--dry-run", is_flag=True, help="Print the objects as YAML, and create nothing.")
@flags.cluster
def command(
    *,
    target: flags.Target,
    words: tuple[str, ...],
    namespace: str | None,
    image: str | None,
    ticket: str | None,
    seconds: float,
    profile: str,
    host_pid: bool,
    host_ipc: bool,
    interactive: bool,
    terminal: bool,
    owner: str | None,
    reason: str | None,
    name: str | None,
    service_account: str,
    adopt: str | None,
    dry_run: bool,
) -> int:
    """Start a pod on a node under an exception of its own, attach to it, and revoke the exception at the end.

    You need the verb approve. Without it, the command prints the exception and the pod for a person who has it. The
    exception ends with the session, or after --for if this command dies. A shell also ends with the connection.

    With a terminal you get the shell of the image, or COMMAND. The exit status is that of the process.
    """
    if not ticket:
        raise click.UsageError("--ticket is required: a Diagnostic exception needs one, such as INC-4711")
    if not 1 <= seconds <= 86_400:
        raise click.UsageError("--for must be between 1s and 24h, the limit of a Diagnostic exception")
    import asyncio
    import sys

    if adopt is not None:
        if words or image:
            raise click.UsageError(
                "--adopt takes the node and the image of the pod: use it without node/NAME and --image"
            )
        from hostnetwork_operator.cli import adopt as adopting

        stray = adopting.Stray(namespace, adopt, ticket, seconds, owner, reason, name, dry_run=dry_run)
        return asyncio.run(adopting.adopt(target, stray))
    node = _node(words)
    if not image:
        raise click.UsageError(_NO_IMAGE)
    if terminal and not sys.stdin.isatty():
        raise click.UsageError("-t needs a terminal as stdin; use -i alone to pass a pipe or file")
    wanted = Wanted(
        namespace=namespace,
        node=node,
        image=image,
        command=words[1:],
        ticket=ticket,
        seconds=seconds,
        owner=owner,
        reason=reason,
        name=name,
        service_account=service_account,
        profile=debugging.with_host_namespaces(debugging.PROFILES[profile], pid=host_pid, ipc=host_ipc),
        interactive=interactive or terminal or sys.stdin.isatty(),
        terminal=terminal or (sys.stdin.isatty() and sys.stdout.isatty()),
    )
    return asyncio.run(_debug(target, wanted, dry_run=dry_run))


def _node(words: tuple[str, ...]) -> str:
    """Return the name of the node."""
    from hostnetwork_operator.api import meta

    kind, _, name = (words[0] if words else "").partition("/")
    if kind not in _NODE or not meta.is_name(name):
        raise click.UsageError(
            "name one node, such as node/node-1; to debug a container, kubectl debug needs no exception"
        )
    return name


async def _debug(target: flags.Target, wanted: Wanted, *, dry_run: bool) -> int:
    from hostnetwork_operator.cli import approving, connect, debug_session

    async with connect.connect(target) as connection:
        with progress.shown("asking the API server"):
            session, missing = await _prepare(connection, wanted)
            exception = debugging.exception(session)
            pod = debugging.pod(session, connection.clock.now())
            if dry_run:
                click.echo(approving.documents(exception, pod))
                return errors.Exit.FINE
            checked = await approving.check(connection, exception)
        if isinstance(checked, approving.NotAllowed):
            click.echo(approving.documents(exception, pod))
            approving.hand_over(exception, checked)
            tables.say(
                "Then create the pod, which is printed too, and attach to it:"
                f" kubectl attach -n {session.namespace} {session.name} {'-it' if session.interactive else ''}"
            )
            return errors.Exit.FAILED
        if missing:
            raise errors.CommandError(
                f"error: you may not {', '.join(missing)} in namespace {session.namespace}; ask for these"
                " rights, or use another namespace (-n)"
            )
        return await debug_session.run(connection, session, exception)


async def _prepare(connection: "connect.Connection", wanted: Wanted) -> tuple[debugging.DebugSession, list[str]]:
    """Return the session, and the rights on pods that the person lacks. Nothing is created.

    Raise CommandError for what cannot work.
    """
    import asyncio
    import secrets

    from hostnetwork_operator.cli import approving, rbac

    namespace = wanted.namespace or connection.namespace
    (owner, _, _), allowed = await asyncio.gather(
        asyncio.gather(
            approving.owner(connection, wanted.owner),
            approving.check_policy(connection, namespace, wanted.seconds),
            _check_node(connection, wanted.node),
        ),
        asyncio.gather(
            *(
                rbac.may(connection, verb, group, resource, namespace=namespace, subresource=subresource)
                for verb, group, resource, subresource in _NEEDED
            )
        ),
    )
    missing = [
        f"{verb} {resource}{f'/{subresource}' if subresource else ''}"
        for (verb, _, resource, subresource), may in zip(_NEEDED, allowed, strict=True)
        if not may
    ]
    suffix = "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))
    session = debugging.DebugSession(
        name=wanted.name or debugging.name(wanted.node, suffix),
        namespace=namespace,
        node=wanted.node,
        image=wanted.image,
        owner=owner,
        reason=wanted.reason or f"Debug node {wanted.node}, ticket {wanted.ticket}",
        ticket=wanted.ticket,
        expiry=debugging.expiry(connection.clock.now(), wanted.seconds),
        profile=wanted.profile,
        command=wanted.command,
        service_account=wanted.service_account,
        interactive=wanted.interactive,
        terminal=wanted.terminal,
    )
    return session, missing


async def _check_node(connection: "connect.Connection", node: str) -> None:
    """Raise an error if there is no such node. A person who may not read nodes goes on without this check."""
    from hostnetwork_operator.act import gateway

    try:
        await connection.gateway.get(f"/api/v1/nodes/{node}")
    except gateway.ApiError as error:
        if error.status != 403:
            raise
