"""`draft`: the smallest exception that covers a workload. The API server refuses it until a person has filled it in."""

import json
import pathlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from hostnetwork_operator.cli import errors, flags, progress, tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hostnetwork_operator.cli import connect
    from hostnetwork_operator.decide import classify, draft, snapshot

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
_WORDS_OF_YAML: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_TYPES: Final = ("Infrastructure", "Diagnostic", "Application")


@click.command(name="draft", epilog=_EXAMPLES, short_help="Draft the smallest exception for a workload")
@click.argument("workload", nargs=-1, metavar="[[TYPE/]NAME]")
@flags.namespace
@click.option(
    "--all", "everything", is_flag=True, help="Every workload that needs an exception and has none; needs -o."
)
@click.option("-o", "--output-dir", type=click.Path(path_type=pathlib.Path, file_okay=False), metavar="DIR",
              help="With --all: write DIR/NAMESPACE/NAME.yaml.")  # fmt: skip
@click.option("--type", "kind", type=click.Choice(_TYPES), help="The type of the exception. Default: by the class.")
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
    click.echo(text(found, for_approval=for_approval), nl=False)
    for line in notes(found):
        click.echo(line, err=True)
    return errors.Exit.FINE


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft, and what goes with it as comments: the workload, its class, digests by image, and notes for people."""

    draft: "draft.Draft"
    subject: "snapshot.Reference"
    seen: "classify.Classification"
    digests: "Mapping[str, Sequence[str]]"
    level_unknown: str


async def _one(target: flags.Target, namespace: str | None, arguments: tuple[str, ...], kind: str | None) -> Drafted:
    from hostnetwork_operator.cli import connect, workloads
    from hostnetwork_operator.observe import preview

    name_of_kind, name = workloads.words(arguments)
    async with connect.connect(target) as connection:
        where = namespace or connection.namespace
        with progress.shown(f"reading namespace {where}"):
            named = await workloads.find(connection, where, name_of_kind, name)
            living = [named.template]
            if name_of_kind != "Pod":
                objects = await preview.living_objects(connection.gateway, where)
                living += [each for each in objects if each.identity == named.subject.uid]
            digests = await _digests(connection, where)
            return await _draft(connection, named.subject, living, digests, kind)


async def _draft(
    connection: "connect.Connection",
    subject: "snapshot.Reference",
    living: "Sequence[snapshot.Living]",
    digests: "Mapping[str, Sequence[str]]",
    kind: str | None,
) -> Drafted:
    """Return the draft for the templates and pods of one workload. Raise CommandError if it needs none."""
    from hostnetwork_operator.api.exception import ExceptionType
    from hostnetwork_operator.api.labels import HostNamespace, Level
    from hostnetwork_operator.decide import classify, draft, snapshot, spared
    from hostnetwork_operator.observe import preview

    pods = [each.pod for each in living if isinstance(each.pod, snapshot.Pod)]
    name = f"{tables.kind(subject.kind)}/{subject.name}"
    if not pods:
        raise errors.CommandError(
            f"error: {name} in namespace {subject.namespace} cannot be read, so nothing is drafted"
        )
    if not any(draft.needs_an_exception(pod) for pod in pods):
        raise errors.CommandError(
            f"error: {name} in namespace {subject.namespace} needs no exception: it shares no host namespace, and uses"
            " no host path, host port, added capability or privileged container"
        )
    questions = [
        spared.rest(
            each.body, network=HostNamespace.NETWORK in each.pod.host_namespaces, ports=not each.pod.host_namespaces
        )
        for each in living
        if isinstance(each.pod, snapshot.Pod)
    ]
    found = await preview.strictest(connection.gateway, questions, "latest")
    level = found if isinstance(found, Level) else Level.BASELINE
    seen = classify.classify(classify.Evidence(subject.namespace, subject.kind, subject.name, tuple(pods)))
    drafted = draft.draft(subject, pods, seen, level, ExceptionType(kind) if kind else None)
    return Drafted(drafted, subject, seen, digests, "" if isinstance(found, Level) else found)


async def _digests(connection: "connect.Connection", namespace: str | None) -> dict[str, list[str]]:
    """Return the digests under which each image of the running pods runs."""
    import re

    from hostnetwork_operator.observe import live

    found: dict[str, set[str]] = {}
    path = "/api/v1/pods" if namespace is None else f"/api/v1/namespaces/{namespace}/pods"
    async for page in live.pages(connection.gateway, path):
        for body in page.items:
            status = body.get("status") or {}
            statuses = [s for key in ("initContainerStatuses", "containerStatuses") for s in status.get(key) or ()]
            ids = {s.get("name"): str(s.get("imageID") or "") for s in statuses}
            for container in (*(body["spec"].get("initContainers") or ()), *body["spec"]["containers"]):
                digest = re.search(r"sha256:[0-9a-f]{64}$", ids.get(container["name"], ""))
                if digest:
                    found.setdefault(container["image"], set()).add(digest[0])
    return {image: sorted(digests) for image, digests in found.items()}


async def _write_all(
    target: flags.Target, namespace: str | None, directory: pathlib.Path, kind: str | None, *, for_approval: bool
) -> int:
    """Write a file for each workload that needs an exception and has none. Files that exist stay as they are."""
    from hostnetwork_operator.cli import connect, reading
    from hostnetwork_operator.decide import coverage, draft, snapshot
    from hostnetwork_operator.observe import live, preview

    async with connect.connect(target) as connection:
        with progress.shown("reading the cluster"):
            read = await reading.read(connection, live.Scope(namespace))
            objects = await preview.living_objects(connection.gateway, namespace)
            digests = await _digests(connection, namespace)
        plans = {state.namespace.name: plan for state, plan in read.plans()}
        groups: dict[tuple[str, str], list[snapshot.Living]] = {}
        for each in objects:
            groups.setdefault((each.pod.namespace, each.identity), []).append(each)
        written = kept = 0
        for (where, identity), living in sorted(groups.items(), key=lambda item: (item[0][0], item[1][0].name)):
            plan = plans.get(where)
            pods = [each.pod for each in living if isinstance(each.pod, snapshot.Pod)]
            if plan is None or plan.exempt or not any(draft.needs_an_exception(pod) for pod in pods):
                continue
            in_force = [standing for standing in plan.standings if standing.in_force]
            if all(any(coverage.covers(standing, pod).covers for standing in in_force) for pod in pods):
                continue
            first = living[0]
            subject = snapshot.Reference(first.kind, where, first.name, identity, "")
            with progress.shown(f"drafting {where}/{first.name}"):
                drafted = await _draft(connection, subject, living, digests, kind)
            path = directory / where / f"{drafted.draft.name}.yaml"
            if path.exists():
                kept += 1
                click.echo(f"{path} exists, and stays as it is", err=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text(drafted, for_approval=for_approval))
            click.echo(str(path))
            for line in notes(drafted):
                click.echo(f"{path}: {line}", err=True)
            written += 1
    click.echo(
        f"\n{tables.count(written, 'draft')} written, {kept} kept. Fill in each, then: kubectl apply -R -f {directory}",
        err=True,
    )
    tables.say_not_looked_at(read.not_looked_at)
    return errors.Exit.FAILED if read.not_looked_at else errors.Exit.FINE


def notes(found: Drafted) -> list[str]:
    """Return what a person must know that no field of the draft says."""
    said = [
        f"no exception can list {tables.cell(each)}: the draft does not cover the pods"
        for each in found.draft.inexpressible
    ]
    if found.level_unknown:
        said.append(
            f"podSecurityLevel is a guess, because Pod Security was not asked: {tables.cell(found.level_unknown)}"
        )
    return said


def text(found: Drafted, *, for_approval: bool) -> str:
    """Return the draft as YAML with comments. Texts of the cluster are quoted as JSON, which is YAML."""
    drafted, subject, seen = found.draft, found.subject, found.seen
    lines = []
    name = tables.cell(f"{subject.kind} {subject.name}")
    if for_approval:
        looks = seen.agent or f"{seen.type}, by its kind"
        lines += [
            f"# {name} in namespace {subject.namespace} asks for an exception.",
            f"# It looks like {looks} ({seen.confidence}): {tables.cell('; '.join(seen.reasons))}.",
            "#",
            "# What is wide about it:" if drafted.wide else "# Nothing about it is wide.",
            *(f"# - {tables.cell(each)}" for each in drafted.wide),
            "#",
            "# Where enforcement is on, its pods are refused without an exception. To approve it, a user with the verb",
            "# approve fills it in and applies it.",
        ]
    lines += [
        "apiVersion: hostnetwork-operator.github.io/v1alpha1",
        "kind: HostNetworkException",
        "metadata:",
        f"  name: {_quoted(drafted.name)}",
        f"  namespace: {_quoted(drafted.namespace)}",
        "spec:",
        f"  type: {drafted.type}",
        *([f"  component: {drafted.component}"] if drafted.component else []),
        '  owner: "" # TODO: the team that answers for the pods',
        f'  reason: "" # TODO: why {name} needs this, in a sentence for an auditor',
    ]
    if drafted.type != "Infrastructure":
        lines += ['  ticket: "" # TODO: such as INC-4711', '  expiry: "" # TODO: date -u -d "+2 hours" +%FT%TZ']
    for field, value in drafted.spec.items():
        if not isinstance(value, list):
            lines.append(f"  {field}: {_flow(value)}")
        elif field == "images" or any(isinstance(each, dict) for each in value):
            lines += [f"  {field}:", *(f"    - {_flow(each)}{_runs(found, each)}" for each in value)]
        else:
            lines.append(f"  {field}: [{', '.join(map(_flow, value))}]")
    return "\n".join(lines) + "\n"


def _runs(found: Drafted, image: object) -> str:
    """Return as a comment under which digests an image runs that is listed without one."""
    digests = found.digests.get(image, ()) if isinstance(image, str) and "@" not in image else ()
    return f" # runs as {', '.join(digests)}" if digests else ""


def _flow(value: object) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(value: str) -> str:
    """Return a text as YAML: plain if that is safe, else as JSON, in which every odd character is escaped."""
    import re

    plain = re.fullmatch(r"[A-Za-z_/][A-Za-z0-9_./-]*", value) and value.lower() not in _WORDS_OF_YAML
    return value if plain else json.dumps(value)
