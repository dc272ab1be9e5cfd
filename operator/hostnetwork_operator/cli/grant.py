"""`grant`: composes the smallest exception for a workload, shows it, has it checked, and creates it."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import click

from hostnetwork_operator.cli import asking, errors, flags, progress, tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostnetwork_operator.cli import composing
    from hostnetwork_operator.decide import consequences, draft

_EXAMPLES: Final = """\b
Examples:
  # Let a DaemonSet share its nodes for good, after you have seen what that opens
  kubectl hostnetwork grant -n monitoring ds/node-exporter --owner team-observability \\
    --reason "Reads the metrics of the node itself"
\b
  # Two hours for a debug pod
  kubectl hostnetwork grant -n debug pod/tcpdump --type Diagnostic --for 2h --ticket INC-4711 \\
    --owner team-sre --reason "Capture SYN retries on node-7"
\b
  # The file for a user who may approve
  kubectl hostnetwork grant -n monitoring ds/node-exporter --owner team-observability \\
    --reason "Reads the metrics of the node itself" --dry-run > exception.yaml"""

# The controllers of these kinds create pods immediately after a rollout restart.
_RESTARTED: Final = frozenset({"DaemonSet", "Deployment", "StatefulSet"})


@click.command(name="grant", epilog=_EXAMPLES, short_help="Create the smallest exception for a workload")
@click.argument("workload", type=flags.WORKLOAD, nargs=-1, required=True, metavar="[TYPE/]NAME")
@flags.namespace
@click.option("--owner", metavar="TEXT", help="The team or person who is responsible for the pods.")
@click.option("--reason", metavar="TEXT", help="Why the pods need the host, in a sentence for an auditor.")
@click.option("--ticket", metavar="TEXT", help="The ticket; needed unless the type is Infrastructure.")
@click.option("--contact", metavar="TEXT", help="How to reach the owner, such as an e-mail address.")
@flags.end
@click.option(
    "--name", type=flags.EXCEPTION, metavar="NAME", help="The name of the exception. Default: that of the workload."
)
@flags.exception_type
@flags.write
@flags.cluster
def command(
    *,
    target: flags.Target,
    form: flags.Format,
    workload: tuple[str, ...],
    namespace: str | None,
    name: str | None,
    kind: str | None,
    end: flags.End | None,
    dry_run: bool,
    yes: bool,
    **words: str | None,
) -> int:
    """Create the smallest exception that covers a workload.

    Shows the exception as YAML and what it opens, asks the API server whether it would accept the exception, and asks
    you before it creates anything. Owner and reason are needed and, unless the type is Infrastructure, a ticket and an
    end: in a terminal, you are asked for what no flag says. The type is that of the class; if the class is a guess
    (CLASS has ?? in status), say the type with --type.

    You need the verb approve. Without it, the YAML on stdout is for a user who has it, and stderr names who that is.
    After the creation the command waits up to 10 s for what the operator reports. The exit status does not depend on
    the report.
    """
    if len(workload) > 2:
        raise click.UsageError("name one workload, such as ds/node-exporter")
    texts = {word: text or "" for word, text in words.items()}
    if not asking.possible():
        texts = _said(texts)  # so that wrong usage costs no request
    import asyncio

    composed = asyncio.run(_compose(target, namespace, workload, kind))
    if kind is None and (said := _type(composed)):
        composed = asyncio.run(_compose(target, namespace, workload, said))
    if taken := _taken(composed, name or composed.drafted.draft.name):
        raise errors.CommandError(taken)
    proposal = _proposal(composed, name, _said(texts), end)
    proposal = asyncio.run(_check(target, proposal))
    return _decide(target, proposal, form, dry_run=dry_run, yes=yes)


@dataclass(frozen=True, slots=True)
class Proposal:
    """An exception that is to be created. `checked` is the API server's answer to the dry run.

    If the person may not write exceptions, there is no answer, `refused` says why, and `approvers` who may.
    """

    composed: "composing.Composition"
    proposed: "draft.Draft"
    justification: "draft.Justification"
    checked: "Mapping[str, Any] | None" = None
    opening: "consequences.Opening | None" = None
    refused: str = ""
    approvers: tuple[str, ...] = ()

    @property
    def manifest(self) -> dict[str, Any]:
        return self.proposed.manifest(self.justification)

    def text(self, *, for_approval: bool) -> str:
        """Return the manifest as YAML with comments."""
        from hostnetwork_operator.cli import draft_text

        drafted = replace(self.composed.drafted, draft=self.proposed)
        return draft_text.render(drafted, for_approval=for_approval, justification=self.justification)


def _type(composed: "composing.Composition") -> str:
    """Return the type that a person says if the class is a guess, else ''. Raise UsageError.

    A guess grants nothing: an exception of type Infrastructure may be permanent.
    """
    from hostnetwork_operator.decide import classify

    drafted = composed.drafted
    if drafted.seen.confidence is not classify.Confidence.UNKNOWN:
        return ""
    name = f"{tables.kind(drafted.subject.kind)}/{drafted.subject.name}"
    what = f"say what {name} is, because its class is a guess: {', '.join(flags.TYPES)}"
    answer = asking.text("--type", what)
    return str(click.Choice(flags.TYPES, case_sensitive=False).convert(answer, None, None))


def _said(texts: "Mapping[str, str]") -> dict[str, str]:
    """Return the texts with those that every exception needs: what no flag says is asked. Raise UsageError."""
    needed = {
        "owner": "the team or person who is responsible for the pods",
        "reason": "why the pods need the host, in a sentence for an auditor",
    }
    return {**texts, **{word: texts[word] or asking.text(f"--{word}", what) for word, what in needed.items()}}


async def _compose(
    target: flags.Target, namespace: str | None, workload: tuple[str, ...], kind: str | None
) -> "composing.Composition":
    from hostnetwork_operator.cli import composing, connect, reading

    async with connect.connect(target) as connection:
        where = namespace or connection.namespace
        with progress.shown(f"reading namespace {where}"):
            return await composing.of_workload(connection, where, workload, kind, reading.WhichPods.ALL)


def _proposal(
    composed: "composing.Composition", name: str | None, texts: "Mapping[str, str]", end: flags.End | None
) -> Proposal:
    """Return the proposal with everything that a person must say about it. Raise UsageError if something is missing."""
    from hostnetwork_operator.api.exception import ExceptionType
    from hostnetwork_operator.decide import draft

    drafted = composed.drafted.draft
    now = composed.reading.now.replace(microsecond=0)
    if drafted.inexpressible:
        raise errors.CommandError(
            f"error: no exception can list {', '.join(drafted.inexpressible)}, so no exception covers the pods"
        )
    texts = dict(texts)
    if drafted.type is not ExceptionType.INFRASTRUCTURE:
        needed = f"type {drafted.type} needs"
        texts["ticket"] = texts["ticket"] or asking.text("--ticket", f"{needed} a ticket, such as INC-4711")
        if end is None:
            answer = asking.text("--for", f"{needed} an end: after which time, such as 2h or 7d")
            end = flags.End(None, flags.DURATION.convert(answer, None, None))
    expiry = None if end is None else end.at(now)
    if expiry is not None and expiry <= now:
        raise click.UsageError(f"the end must be in the future, got {tables.moment(expiry)} at {tables.moment(now)}")
    renamed = replace(drafted, name=name) if name else drafted
    return Proposal(composed, renamed, draft.Justification(expiry=expiry, **texts))


async def _check(target: flags.Target, proposal: Proposal) -> Proposal:
    """Return the proposal with the API server's answer to the dry run. Raise CommandError if it would not do."""
    from hostnetwork_operator.act import gateway
    from hostnetwork_operator.api.exception import HostNetworkException
    from hostnetwork_operator.cli import connect, writing
    from hostnetwork_operator.decide import consequences
    from hostnetwork_operator.observe import parse

    drafted, read = proposal.proposed, proposal.composed.reading
    pairs = {state.namespace.name: (state, plan) for state, plan in read.plans()}
    state, plan = pairs.get(drafted.namespace, (None, None))
    if not read.installed:
        raise errors.CommandError(writing.NOT_SERVED)
    async with connect.connect(target) as connection:
        try:
            with progress.shown("asking the API server"):
                answer = await writing.dry_create(connection, proposal.manifest)
        except gateway.ApiError as error:
            if error.status == 409:
                raise errors.CommandError(_taken(proposal.composed, drafted.name, surely=True)) from error
            if not await writing.lacks_right(connection, error, "create", drafted.namespace):
                raise
            approvers = await writing.approvers(connection)
            return replace(proposal, refused=error.message or error.reason, approvers=tuple(approvers))
    writing.say_warnings(answer)
    proposal = replace(proposal, checked=answer.body)
    subject = parse.host_network_exception(answer.body)
    if state is None or plan is None or not isinstance(subject, HostNetworkException):
        return proposal
    if wrong := consequences.mistake(subject, state, read.now):
        raise errors.CommandError(f"error: the exception would be Invalid: {wrong}")
    opening = consequences.opened(state, plan, subject, proposal.composed.drafted.subject, read.now)
    return replace(proposal, opening=opening)


def _taken(composed: "composing.Composition", name: str, *, surely: bool = False) -> str:
    """Return the error about an exception that exists already, with the remedy; '' if it is not known to exist."""
    namespace = composed.drafted.draft.namespace
    state = composed.reading.cluster.snapshot(namespace)
    exceptions = state.exceptions if state is not None else ()
    present = next((each for each in exceptions if each.metadata.name == name), None)
    text = f"error: exception {name} exists already in namespace {namespace}"
    if present is None and not surely:
        return ""
    if present is not None and present.spec.until <= composed.reading.now:
        return f"{text}, and has ended; it stays as the record; choose another name with --name"
    renew = f"kubectl hostnetwork renew {name} -n {namespace} --for DURATION"
    return f"{text}; to move its end, use {renew}; for another exception, choose another name with --name"


def _decide(target: flags.Target, proposal: Proposal, form: flags.Format, *, dry_run: bool, yes: bool) -> int:
    """Show the proposal, ask, and create the exception. Return the exit status."""
    import asyncio

    from hostnetwork_operator.cli import writing

    if proposal.refused:
        return _hand_over(proposal, form)
    in_text = form is flags.Format.TABLE
    if dry_run and in_text:
        click.echo(proposal.text(for_approval=False), nl=False)
        click.echo(err=True)
    elif in_text or not (dry_run or yes):
        click.echo(f"{proposal.text(for_approval=False)}\n", err=True, nl=False)
    for line in _opens(proposal):
        tables.say(line, "  ")
    writing.say_unread(proposal.composed.reading, "what is shown may lack something")
    if dry_run:
        if not in_text:
            writing.show(proposal.checked or {}, form, "created (server dry run)")
        tables.say(f"The API server would accept the exception. {asking.NOTHING_WRITTEN}")
        return errors.Exit.FINE
    if not yes and not asking.agreed("Create the exception?"):
        return errors.Exit.FAILED
    asyncio.run(_create(target, proposal, form))
    return errors.Exit.FINE


async def _create(target: flags.Target, proposal: Proposal, form: flags.Format) -> None:
    """Create the exception, and say what the operator reports about it."""
    from hostnetwork_operator.cli import connect, writing

    async with connect.connect(target) as connection:
        created = await writing.create(connection, proposal.manifest, proposal.checked or {})
        if form is flags.Format.TABLE:
            writing.show(created, form, "created")
        with progress.shown("waiting for the operator"):
            seen = await writing.reported(connection, created, writing.decided)
    if form is not flags.Format.TABLE:
        writing.show(seen, form, "created")
    writing.say_state(seen)
    subject = proposal.composed.drafted.subject
    covered = proposal.opening is not None and proposal.opening.again
    if writing.covers_nothing(seen) and not covered and subject.kind in _RESTARTED:
        restart = f"kubectl rollout restart -n {subject.namespace} {_workload(proposal)}"
        tables.say("If pods were refused, the controller creates them within 17 minutes. To create the pods now:")
        click.echo(f"  {tables.cell(restart)}", err=True)


def _hand_over(proposal: Proposal, form: flags.Format) -> int:
    """Write what a person who may not write exceptions gives to one who may."""
    from hostnetwork_operator.cli import writing

    if form is flags.Format.TABLE:
        click.echo(proposal.text(for_approval=True), nl=False)
    else:
        writing.show(proposal.manifest, form, "")
    tables.say(f"Error from server (Forbidden): {proposal.refused}")
    tables.say(f"You may not create the exception. {asking.NOTHING_WRITTEN} Hand over the file on stdout.")
    for line in proposal.approvers:
        tables.say(line, "  ")
    return errors.Exit.FAILED


def _opens(proposal: Proposal) -> list[str]:
    """Return what the exception opens, a line for each thing."""
    from hostnetwork_operator.cli import draft_text

    drafted, expiry = proposal.proposed, proposal.justification.expiry
    account = f"service account {drafted.service_account} in namespace {drafted.namespace}"
    now = proposal.composed.reading.now.replace(microsecond=0)
    return [
        f"The exception is for pods of {account}. Every user who can create such pods can use the exception.",
        *(f"- {each}" for each in _covers(proposal)),
        f"- host namespaces: {', '.join(drafted.host_namespaces) or 'none'}",
        *(f"- {each}" for each in (*drafted.wide, *draft_text.notes(proposal.composed.drafted))),
        f"The exception ends at {tables.moment(expiry)}, {tables.until(expiry, now)}."
        if expiry
        else "The exception has no end.",
    ]


def _covers(proposal: Proposal) -> list[str]:
    """Return which existing pods the exception covers."""
    opening = proposal.opening
    if opening is None:
        return ["which pods the exception covers is not known"]
    found = [
        ("covers {} that no exception covers now: {}", opening.newly),
        ("covers {} that another exception covers already: {}", opening.again),
        (f"of these, {{}} of other workloads than {_workload(proposal)}: {{}}", opening.others),
    ]
    lines = [text.format(tables.count(len(pods), "pod"), tables.few(pods)) for text, pods in found if pods]
    if not lines and proposal.proposed.host_namespaces:
        lines = ["covers no existing pod: the exception is for the next pods"]
    exempt = "the namespace is exempt: the API server refuses no pod there, with or without the exception"
    return [*lines, *([exempt] if opening.exempt else [])]


def _workload(proposal: Proposal) -> str:
    subject = proposal.composed.drafted.subject
    return f"{tables.kind(subject.kind)}/{subject.name}"
