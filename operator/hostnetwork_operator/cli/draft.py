"""`draft`: the smallest exception that covers a workload. The API server refuses it until a person has filled it in."""

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Final

import click

from hostnetwork_operator.cli import draft_text, errors, flags, progress, tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostnetwork_operator.decide import plan, snapshot

_EXAMPLES: Final = """\b
Examples:
  # Draft an exception for a DaemonSet, fill it in, apply it
  kubectl hostnetwork draft -n monitoring ds/node-exporter > exception.yaml
\b
  # What a tenant hands to an approver
  kubectl hostnetwork draft -n debug pod/tcpdump --for-approval
\b
  # One file for each workload of the cluster that needs an exception and has none
  kubectl hostnetwork draft --all -o exceptions/"""


@click.command(name="draft", epilog=_EXAMPLES, short_help="Draft the smallest exception for a workload")
@click.argument("workload", type=flags.WORKLOAD, nargs=-1, metavar="[[TYPE/]NAME]")
@flags.namespace
@click.option(
    "--all", "everything", is_flag=True, help="Every workload that needs an exception and has none; needs -o."
)
@click.option("-o", "--output-dir", type=click.Path(path_type=pathlib.Path, file_okay=False), metavar="DIR",
              help="With --all: write DIR/NAMESPACE/NAME.yaml.")  # fmt: skip
@flags.exception_type
@click.option("--for-approval", is_flag=True, help="Also say what the pods use and what is wide about that.")
@flags.cluster
def command(
    *,
    target: flags.Target,
    workload: tuple[str, ...],
    namespace: str | None,
    everything: bool,
    output_dir: pathlib.Path | None,
    kind: str | None,
    for_approval: bool,
) -> int:
    """Draft the smallest exception that covers a workload, as YAML on stdout.

    The draft lists what the template and the running pods use: service account, images, capabilities, host paths,
    read-only where they are mounted so, and the strictest podSecurityLevel. Owner, reason, ticket and expiry are empty,
    and the API server refuses them, so that nobody applies a draft unread.
    """
    if everything is bool(workload) or len(workload) > 2:
        raise click.UsageError("name one workload, such as ds/node-exporter, or use --all")
    if everything is not (output_dir is not None):
        raise click.UsageError("--all writes files: use --all and -o DIR together")
    import asyncio

    if output_dir is not None:
        return asyncio.run(_write_all(target, namespace, output_dir, kind, for_approval=for_approval))
    found = asyncio.run(_one(target, namespace, workload, kind))
    click.echo(draft_text.render(found, for_approval=for_approval), nl=False)
    for line in draft_text.notes(found):
        tables.say(line)
    return errors.Exit.FINE


async def _one(
    target: flags.Target, namespace: str | None, arguments: tuple[str, ...], kind: str | None
) -> draft_text.Drafted:
    from hostnetwork_operator.cli import composing, connect

    async with connect.connect(target) as connection:
        where = namespace or connection.namespace
        with progress.shown(f"reading namespace {where}"):
            return (await composing.of_workload(connection, where, arguments, kind)).drafted


async def _write_all(
    target: flags.Target, namespace: str | None, directory: pathlib.Path, kind: str | None, *, for_approval: bool
) -> int:
    """Write a file for each workload that needs an exception and has none. Files that exist stay as they are."""
    from hostnetwork_operator.cli import composing, connect, reading
    from hostnetwork_operator.decide import snapshot
    from hostnetwork_operator.observe import live, preview

    async with connect.connect(target) as connection:
        with progress.shown("reading the cluster"):
            read = await reading.read(connection, live.Scope(namespace))
            digests = await composing.digests(connection, namespace)
            groups: dict[tuple[str, str], list[snapshot.Living]] = {}
            async for each in preview.existing(connection.gateway, namespace):
                groups.setdefault((each.pod.namespace, each.identity), []).append(each)
        unreadable = [each for living in groups.values() for each in living if _unreadable(each)]
        plans = {state.namespace.name: (state, plan) for state, plan in read.plans()}
        drafts: list[draft_text.Drafted] = []
        with progress.shown(f"drafting for {tables.count(len(groups), 'workload')}"):
            for (where, identity), living in sorted(groups.items(), key=lambda item: (item[0][0], item[1][0].name)):
                if where in plans and not any(map(_unreadable, living)) and _lacks_one(living, plans[where][1]):
                    subject = snapshot.Reference(living[0].kind, where, living[0].name, identity, "")
                    version = composing.version(plans[where][0])
                    drafts.append(await composing.of_templates(connection, subject, living, digests, kind, version))
    written = _write(directory, drafts, for_approval=for_approval)
    click.echo(
        f"\n{tables.count(written, 'draft')} written, {len(drafts) - written} kept. Fill in each draft, then run"
        f" kubectl apply -R -f {directory}",
        err=True,
    )
    for each in unreadable:
        name = f"{tables.kind(each.kind)}/{each.name} in namespace {each.pod.namespace}"
        tables.say(f"not looked at: {name}: the object cannot be read; nothing is drafted", "  ")
    tables.say_not_looked_at(read.not_looked_at)
    return errors.Exit.FAILED if read.not_looked_at or unreadable else errors.Exit.FINE


def _unreadable(living: "snapshot.Living") -> bool:
    from hostnetwork_operator.decide import snapshot

    return isinstance(living.pod, snapshot.UnreadablePod)


def _lacks_one(living: "Sequence[snapshot.Living]", plan: "plan.NamespacePlan") -> bool:
    """Return whether a workload needs an exception and no exception in force covers all its templates and pods."""
    from hostnetwork_operator.decide import coverage, draft, snapshot

    pods = [each.pod for each in living if isinstance(each.pod, snapshot.Pod)]
    if plan.exempt or not any(draft.needs_an_exception(pod) for pod in pods):
        return False
    in_force = [standing for standing in plan.standings if standing.in_force]
    return not all(any(coverage.covers(standing, pod).covers for standing in in_force) for pod in pods)


def _write(directory: pathlib.Path, drafts: "Sequence[draft_text.Drafted]", *, for_approval: bool) -> int:
    """Write each draft into a file that does not exist yet. Return how many were written.

    Workloads of several kinds may have one name in a namespace. Then the names of the later exceptions have the kind.
    """
    written = 0
    taken: set[tuple[str, str]] = set()
    for each in drafts:
        drafted = each
        if (each.draft.namespace, each.draft.name) in taken:
            drafted = dataclasses.replace(each, draft=each.draft.with_suffix(each.subject.kind.lower()))
        taken.add((drafted.draft.namespace, drafted.draft.name))
        path = directory / drafted.draft.namespace / f"{drafted.draft.name}.yaml"
        if path.exists():
            click.echo(f"{path} exists, and stays as it is", err=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(draft_text.render(drafted, for_approval=for_approval))
        click.echo(str(path))
        for line in draft_text.notes(drafted):
            tables.say(f"{path}: {line}", "  ")
        written += 1
    return written
