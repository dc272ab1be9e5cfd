"""`report`: evidence for CIS 5.2.5 as one file, for an auditor, a spreadsheet or a program."""

import sys
from typing import TYPE_CHECKING, Final

import click

from hostnetwork_operator.cli import errors, flags, progress, tables

if TYPE_CHECKING:
    import datetime
    import pathlib
    from collections.abc import Sequence

    from hostnetwork_operator.cli import report_page
    from hostnetwork_operator.decide import exhibits

_EXAMPLES: Final = """\b
Examples:
  # One page for the auditor, with the evidence inside
  kubectl hostnetwork report --out cis-5.2.5.html
\b
  # The same evidence for a program and for a spreadsheet
  kubectl hostnetwork report -o json --out evidence.json
  kubectl hostnetwork report -o csv --out evidence.csv --mask-contacts
\b
  # Every day: add a report to an archive, and write a page with the trend
  kubectl hostnetwork report --append evidence/ --out evidence/report.html
\b
  # Prove that no report of the archive was changed, removed or inserted since you noted its head
  kubectl hostnetwork report --verify evidence/ --head 9f2c…
\b
  # A page for each cluster
  kubectl hostnetwork report --context east --context west --out 'cis-{context}.html'
\b
  # What will have expired at the end of the year, if nobody acts
  kubectl hostnetwork report --as-of 2026-12-31T23:59:59Z --out year-end.html"""
_FORMS: Final = ("html", "json", "csv")
_CONTEXT: Final = "{context}"
_PAST_SECONDS: Final = 60  # a moment that a script took just before the command
_FUTURE_DAYS: Final = 3660


@click.command(name="report", epilog=_EXAMPLES, short_help="Write evidence for CIS 5.2.5 to a file")
@flags.namespaces
@click.option("-o", "--output", "form", type=click.Choice(_FORMS), default="html", help="The form of the file.")
@click.option(
    "--out",
    "path",
    metavar="FILE",
    help="The file to write. - is stdout. With several clusters, {context} in the name becomes the context.",
)
@click.option("--append", "append_to", metavar="DIR", help="Also add the report to the archive in this directory.")
@click.option("--verify", metavar="DIR", help="Check the archive in this directory instead. Reads no cluster.")
@click.option("--head", metavar="SHA256", help="With --verify: also check that the archive has this line.")
@click.option(
    "--as-of",
    type=flags.MOMENT,
    metavar="TIME",
    help="Judge expiries for this time in the future. Default: now. The API server keeps no past.",
)
@click.option("--mask-contacts", is_flag=True, help="Hide contacts and e-mail addresses.")
@flags.clusters
def command(
    *,
    targets: tuple[flags.Target, ...],
    namespace: str | None,
    form: str,
    path: str | None,
    append_to: str | None,
    verify: str | None,
    head: str | None,
    as_of: "datetime.datetime | None",
    mask_contacts: bool,
) -> int:
    """Write a report for an auditor: policies, pods, exceptions, violations, who may approve, and the method.

    The report answers three questions and never merges them: does each namespace have a policy, does any pod run with
    hostNetwork, and has each such pod an exception. CIS 5.2.5 is a manual control: the auditor decides. The page has
    no JavaScript and loads nothing. The same state of the cluster, read at the same time, gives the same bytes.

    Lists every pod. Exits 1 if something could not be looked at: the report names what, and is written all the same.
    With --verify, exits 3 if the archive is broken.
    """
    if verify is not None:
        if path or append_to or namespace or as_of or mask_contacts:
            raise click.UsageError("--verify reads no cluster and writes nothing; use it alone or with --head")
        return _verify(verify, head, as_json=form == "json")
    _check_usage(targets, namespace, path, append_to, as_of=as_of, head=head)
    ends = []
    for target in targets:
        try:
            ends.append(_report(target, namespace, form, path, append_to, as_of, mask_contacts=mask_contacts))
        except errors.CommandError as error:
            if len(targets) == 1:
                raise
            tables.say(f"not looked at: cluster {target.context}: {str(error).removeprefix('error: ')}", "  ")
            ends.append(errors.Exit.FAILED)
    return max(ends)


def _check_usage(
    targets: "Sequence[flags.Target]",
    namespace: str | None,
    path: str | None,
    append_to: str | None,
    *,
    as_of: "datetime.datetime | None",
    head: str | None,
) -> None:
    """Raise UsageError for flags that exclude each other, or that lack another."""
    if head is not None:
        raise click.UsageError("--head is for --verify")
    if path is None and append_to is None:
        raise click.UsageError("say where the report goes with --out FILE or --append DIR")
    if append_to is not None and (namespace or as_of or len(targets) > 1):
        raise click.UsageError("--append needs a report about one whole cluster now; leave out -n and --as-of")
    if len(targets) > 1 and _CONTEXT not in (path or ""):
        raise click.UsageError(
            f"with several clusters, --out must have {_CONTEXT} in the name, as it is: --out 'cis-{_CONTEXT}.html'"
        )


def _report(
    target: flags.Target,
    namespace: str | None,
    form: str,
    path: str | None,
    append_to: str | None,
    as_of: "datetime.datetime | None",
    *,
    mask_contacts: bool,
) -> int:
    """Write the report about one cluster, and return the exit status."""
    import asyncio
    import re

    from hostnetwork_operator.decide import exhibits

    found = asyncio.run(look(target, namespace, as_of))
    if mask_contacts:
        found = exhibits.masked(found)
    canonical = exhibits.canonical(found)
    history = _append(append_to, canonical) if append_to is not None else None
    if path is not None:
        # The name of a context can be a path: EKS has the ARN of the cluster.
        file = path.replace(_CONTEXT, re.sub(r"[^A-Za-z0-9._-]", "-", target.context or "cluster"))
        _write(file, render(form, found, canonical, history).encode(), exhibits.digest(canonical))
    where = f"{target.context}: " if target.context else ""
    for line in found.verdicts:
        tables.say(f"{where}{line.result}: {line.title}: {line.sentence}", "  ")
    for each in found.scope.not_looked_at:
        tables.say(f"{where}not looked at: {each.what}: {each.why}; {each.consequence}", "  ")
    return errors.Exit.FAILED if found.scope.not_looked_at else errors.Exit.FINE


def _append(directory: str, canonical: str) -> "report_page.History":
    """Add a report to an archive, and return what its page shows of the archive."""
    import pathlib

    from hostnetwork_operator.cli import archive, report_page
    from hostnetwork_operator.decide import trend

    place = pathlib.Path(directory)
    try:
        line = archive.append(place, canonical)
        points = archive.points(place)
    except OSError as error:
        raise errors.CommandError(f"error: {directory!r} cannot be written: {error.strerror or error}") from error
    tables.say(f"Added report {line.number} to {directory}. Head of the archive: {line.digest}")
    return report_page.History(trend.trend(points), line.number, line.digest)


def _verify(directory: str, head: str | None, *, as_json: bool) -> int:
    """Check an archive, say what is wrong with it, and return the exit status."""
    import pathlib

    from hostnetwork_operator.cli import archive

    try:
        found = archive.verify(pathlib.Path(directory), head)
    except OSError as error:
        raise errors.CommandError(f"error: {directory!r} cannot be read: {error.strerror or error}") from error
    times = [tables.moment(line.point.time) for line in found.lines]
    if as_json:
        document = {
            "apiVersion": tables.API_VERSION,
            "kind": "ArchiveVerification",
            "intact": not found.broken,
            "reports": len(times),
            "first": times[0] if times else None,
            "last": times[-1] if times else None,
            "head": found.head,
            "broken": list(found.broken),
            "notCompared": list(found.not_compared),
        }
        click.echo(tables.as_json(document))
    else:
        span = f" from {times[0]} to {times[-1]}" if times else ""
        result = "The archive is broken" if found.broken else "The chain is intact"
        click.echo(f"{result}: {tables.count(len(times), 'report')}{span}. Head: {found.head}")
    for sentence in found.broken:
        tables.say(f"broken: {sentence}", "  ")
    for name in found.not_compared:
        tables.say(
            f"{name}: only the SHA-256 was compared, because the report before it, or its own form, is not known"
        )
    return errors.Exit.FINDINGS if found.broken else errors.Exit.FINE


async def look(
    target: flags.Target, namespace: str | None, as_of: "datetime.datetime | None"
) -> "exhibits.AuditEvidence":
    """Read the cluster, and return the evidence. Raise CommandError for a moment in the past."""
    import dataclasses

    from hostnetwork_operator.cli import connect, proof, reading
    from hostnetwork_operator.decide import evidence
    from hostnetwork_operator.observe import live

    async with connect.connect(target) as connection:
        with progress.shown("reading the cluster"):
            read = await reading.read(connection, live.Scope(namespace), pods=reading.WhichPods.ALL)
            facts = await proof.look(connection, read, namespace)
    moment = _moment(as_of, read.now)
    read = dataclasses.replace(read, now=moment)
    return evidence.evidence(list(read.plans()), dataclasses.replace(facts, as_of=moment))


def _moment(as_of: "datetime.datetime | None", now: "datetime.datetime") -> "datetime.datetime":
    """Return the moment for which to judge."""
    if as_of is None or -_PAST_SECONDS <= (as_of - now).total_seconds() < 0:
        return now
    if as_of < now:
        raise errors.CommandError(
            f"error: --as-of {tables.moment(as_of)} is in the past, and the API server keeps no past; leave out"
            " --as-of, and keep the reports of earlier days"
        )
    if (as_of - now).days > _FUTURE_DAYS:
        raise errors.CommandError(f"error: --as-of {tables.moment(as_of)} is more than ten years away")
    return as_of


def render(
    form: str, found: "exhibits.AuditEvidence", canonical: str, history: "report_page.History | None" = None
) -> str:
    """Return the report in this form. `canonical` is the canonical JSON of the evidence."""
    from hostnetwork_operator.cli import report_csv, report_page
    from hostnetwork_operator.decide import exhibits

    if form == "csv":
        return report_csv.render(found, exhibits.digest(canonical))
    return report_page.render(found, canonical, history) if form == "html" else canonical


def _write(path: str, content: bytes, digest: str) -> None:
    """Write the report, and say what was written."""
    import pathlib

    if path == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        try:
            _replace(pathlib.Path(path).resolve(), content)
        except OSError as error:
            raise errors.CommandError(f"error: {path!r} cannot be written: {error.strerror or error}") from error
    where = "stdout" if path == "-" else path
    tables.say(f"Wrote {where}. SHA-256 of the evidence: {digest}")


def _replace(target: "pathlib.Path", content: bytes) -> None:
    """Write a file whole or not at all. Something that is no file, such as /dev/null, is written and not replaced."""
    import os

    if target.exists() and not target.is_file():
        target.write_bytes(content)
        return
    part = target.with_name(f".{target.name}.{os.getpid()}")
    file = part.open("xb")  # exclusive: in a directory of others the name may be a link to another file
    try:
        with file:
            file.write(content)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
