"""`report`: evidence for CIS 5.2.5 as one file, for an auditor, a spreadsheet or a program."""

import sys
from typing import TYPE_CHECKING, Final

import click

from hostnetwork_operator.cli import errors, flags, progress, tables

if TYPE_CHECKING:
    import datetime
    import pathlib

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
  # What will have expired at the end of the year, if nobody acts
  kubectl hostnetwork report --as-of 2026-12-31T23:59:59Z --out year-end.html"""
_FORMS: Final = ("html", "json", "csv")
_PAST_SECONDS: Final = 60  # a moment that a script took just before the command
_FUTURE_DAYS: Final = 3660


@click.command(name="report", epilog=_EXAMPLES, short_help="Write evidence for CIS 5.2.5 to a file")
@flags.namespaces
@click.option("-o", "--output", "form", type=click.Choice(_FORMS), default="html", help="The form of the file.")
@click.option("--out", "path", metavar="FILE", required=True, help="The file to write. - is stdout.")
@click.option(
    "--as-of",
    type=flags.MOMENT,
    metavar="TIME",
    help="Judge expiries for this time in the future. Default: now. The API server keeps no past.",
)
@click.option("--mask-contacts", is_flag=True, help="Hide contacts and e-mail addresses.")
@flags.cluster
def command(
    *,
    target: flags.Target,
    namespace: str | None,
    form: str,
    path: str,
    as_of: "datetime.datetime | None",
    mask_contacts: bool,
) -> int:
    """Write a report for an auditor: policies, pods, exceptions, violations, who may approve, and the method.

    The report answers three questions and never merges them: does each namespace have a policy, does any pod run with
    hostNetwork, and has each such pod an exception. CIS 5.2.5 is a manual control: the auditor decides. The page has
    no JavaScript and loads nothing. The same state of the cluster, read at the same time, gives the same bytes.

    Lists every pod. Exits 1 if something could not be looked at: the report names what, and is written all the same.
    """
    import asyncio

    found = asyncio.run(look(target, namespace, as_of))
    if mask_contacts:
        from hostnetwork_operator.decide import exhibits

        found = exhibits.masked(found)
    _write(path, form, found)
    for line in found.verdicts:
        tables.say(f"{line.result}: {line.title}: {line.sentence}", "  ")
    for each in found.scope.not_looked_at:
        tables.say(f"not looked at: {each.what}: {each.why}; {each.consequence}", "  ")
    return errors.Exit.FAILED if found.scope.not_looked_at else errors.Exit.FINE


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


def render(form: str, found: "exhibits.AuditEvidence", canonical: str) -> str:
    """Return the report in this form. `canonical` is the canonical JSON of the evidence."""
    from hostnetwork_operator.cli import report_csv, report_page
    from hostnetwork_operator.decide import exhibits

    if form == "csv":
        return report_csv.render(found, exhibits.digest(canonical))
    return report_page.render(found, canonical) if form == "html" else canonical


def _write(path: str, form: str, found: "exhibits.AuditEvidence") -> None:
    """Write the report, and say what was written."""
    import pathlib

    from hostnetwork_operator.decide import exhibits

    canonical = exhibits.canonical(found)
    content = render(form, found, canonical).encode()
    if path == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        try:
            _replace(pathlib.Path(path).resolve(), content)
        except OSError as error:
            raise errors.CommandError(f"error: {path!r} cannot be written: {error.strerror or error}") from error
    where = "stdout" if path == "-" else path
    tables.say(f"Wrote {where}. SHA-256 of the evidence: {exhibits.digest(canonical)}")


def _replace(target: "pathlib.Path", content: bytes) -> None:
    """Write a file whole or not at all. Something that is no file, such as /dev/null, is written and not replaced."""
    if target.exists() and not target.is_file():
        target.write_bytes(content)
        return
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_bytes(content)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
