"""`renew`: moves the end of an exception that has not ended."""

import shlex
from typing import TYPE_CHECKING, Final

import click

from hostnetwork_operator.cli import errors, flags, tables

if TYPE_CHECKING:
    from hostnetwork_operator.cli import changing

_EXAMPLES: Final = """\b
Examples:
  # Two more hours from now
  kubectl hostnetwork renew tcpdump-inc4711 -n payments --for 2h
\b
  # Until the end of the year, with the ticket that asks for it
  kubectl hostnetwork renew vrrp -n legacy --until 2026-12-31T12:00:00Z --ticket NET-99
\b
  # What would be written, as JSON
  kubectl hostnetwork renew vrrp -n legacy --for 14d --dry-run -o json"""


@click.command(name="renew", epilog=_EXAMPLES, short_help="Move the end of an exception")
@click.argument("name", type=flags.EXCEPTION, metavar="NAME")
@flags.namespace
@flags.end
@click.option("--reason", metavar="TEXT", help="A new reason, in place of the present one.")
@click.option("--ticket", metavar="TEXT", help="A new ticket, in place of the present one.")
@flags.write
@flags.cluster
def command(
    *,
    target: flags.Target,
    form: flags.Format,
    name: str,
    namespace: str | None,
    end: flags.End | None,
    reason: str | None,
    ticket: str | None,
    dry_run: bool,
    yes: bool,
) -> int:
    """Move the end of an exception that has not ended yet.

    --for counts from now, by the clock of the API server. From its creation on, a Diagnostic exception lasts at most
    24h and an Application at most 2160h, or less by the HostNetworkExceptionPolicy. An end that has passed cannot
    change: create another exception.

    Nothing is written if somebody else has changed the spec of the exception since it was shown. You need the verb
    approve. Without it, stdout has the command for a user who has it.
    """
    if end is None:
        raise click.UsageError("say the new end with --for or --until")
    wanted = end
    from hostnetwork_operator.cli import changing

    def intend(present: changing.Present) -> changing.Intent:
        return _intent(present, wanted, {"reason": reason, "ticket": ticket})

    return changing.run(target, namespace, name, intend, form, "renewed", dry_run=dry_run, yes=yes)


def _intent(present: "changing.Present", end: flags.End, texts: dict[str, str | None]) -> "changing.Intent":
    from hostnetwork_operator.cli import changing

    spec, now = present.spec, present.now
    if present.ended:
        raise errors.CommandError(
            f"error: exception {present.name} ended at {spec.get('expiry')}, and an end that has passed cannot change;"
            " create another exception: kubectl hostnetwork grant --name NAME"
        )
    expiry = end.at(now)
    if expiry <= now:
        raise click.UsageError(
            f"the end must be in the future, got {tables.moment(expiry)} at {tables.moment(now)}; to end the exception,"
            f" use kubectl hostnetwork revoke {present.name} -n {present.namespace}"
        )
    new = {"expiry": tables.moment(expiry) or "", **{word: text for word, text in texts.items() if text}}
    lines = [changing.head(present), *(changing.moved(word, spec.get(word), text) for word, text in new.items())]
    lines[1] += f", {tables.until(expiry, now)}"
    entry = present.entry
    if entry is not None and entry.subject is not None and expiry < entry.subject.spec.until:
        lines.append("The new end is earlier than the present end.")
    words = [part for word, text in texts.items() if text for part in (f"--{word}", text)]
    command = [
        "kubectl",
        "hostnetwork",
        "renew",
        present.name,
        "-n",
        present.namespace,
        "--until",
        new["expiry"],
        *words,
    ]
    unapproved = changing.approves(present)
    return changing.Intent(
        lambda _: new,
        [*lines, *unapproved],
        "Move the end of the exception?",
        shlex.join(command),
        gives=True,
        moves_end=True,
        shown=changing.as_yaml(present) if unapproved else "",
    )
