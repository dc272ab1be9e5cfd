"""`kubectl-hostnetwork`: finds the module of a verb, and turns the end of a command into an exit status."""

import importlib
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import click

from hostnetwork_operator.cli import errors, tables

# The verbs with the texts of `--help`. A verb is imported when it is used: an import costs a part of a second.
VERBS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "status": "Show every workload with host networking",
        "why": "Explain the verdict on a workload or pod",
        "draft": "Draft the smallest exception for a workload",
        "whatif": "Show what enforcement would refuse",
        "check": "Check manifests before they are applied",
        "doctor": "Check the installation, and who may open it",
        "exceptions": "List exceptions, what needs attention first",
        "report": "Write evidence for CIS 5.2.5 to a file",
        "grant": "Create the smallest exception for a workload",
        "renew": "Move the end of an exception",
        "revoke": "End an exception now",
        "review": "Record that an exception was reviewed",
        "debug": "Debug a node under an exception that ends with the session",
    }
)
# Flags after which the next word is a value.
_WITH_VALUE: Final = frozenset({
    "--append", "--as", "--as-group", "--as-of", "--contact", "--context", "--for", "--head", "--kubeconfig", "--name",
    "--namespace", "--out", "--output", "--owner", "--reason", "--request-timeout", "--selector", "--ticket", "--type",
    "--until", "--verify", "-l", "-n", "-o",
})  # fmt: skip


class Verbs(click.Group):
    """The verbs, each in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"hostnetwork_operator.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Accept the flags of a verb before the verb, as kubectl does: `-n kube-system status`."""
        return super().parse_args(ctx, _verb_first(args))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"unknown command {args[0]!r}; the commands are {', '.join(VERBS)}")
        return super().resolve_command(ctx, args)


def _verb_first(arguments: list[str]) -> list[str]:
    """Return the arguments with the verb before its flags."""
    for number, word in enumerate(arguments):
        if word in VERBS and (number == 0 or arguments[number - 1] not in _WITH_VALUE):
            return [word, *arguments[:number], *arguments[number + 1 :]]
        if word in {"-h", "--help", "--version", "--"}:
            break
    return arguments


@click.command(
    cls=Verbs,
    name="kubectl hostnetwork",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="hostnetwork-operator", prog_name="kubectl-hostnetwork")
def root() -> None:
    """See, ask about and govern pods that share the network, PIDs or IPC of their node.

    The command reads the cluster as you, with your kubeconfig. It judges with the code of the operator, and works also
    where the operator is not installed. Only debug, grant, renew, revoke and review write, and all but debug
    ask you before.

    Exit status: 0 fine, 1 the command could not do or see all of it, 2 wrong usage, 3 findings (--fail-on).
    """


def main() -> None:
    """Run the command, and end the process."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command with these arguments, and return its exit status.

    If nobody reads stdout any more, click ends the process quietly.
    """
    try:
        status = root.main(arguments, prog_name="kubectl hostnetwork", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return errors.Exit.USAGE
    except click.Abort:
        return errors.Exit.INTERRUPTED
    except errors.CommandError as error:
        click.echo(tables.cell(str(error)), err=True)  # the API server quotes names that others have chosen
        return errors.Exit.FAILED
    return int(status or 0)


if __name__ == "__main__":
    main()
