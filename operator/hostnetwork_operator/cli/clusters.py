"""One result from each of several clusters: `--context A --context B`.

A cluster that cannot be reached is named, and does not hide the others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from hostnetwork_operator.cli import connect, errors, flags, progress, tables

if TYPE_CHECKING:
    from hostnetwork_operator.cli import reading

Result = TypeVar("Result")
_COLUMN = "CLUSTER"


@dataclass(frozen=True, slots=True)
class ClusterAnswer(Generic[Result]):
    """What a cluster answered. `result` is None if the cluster could not be looked at, and `error` says why.

    `context` is that of the flag, None without the flag.
    """

    context: str | None
    result: Result | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class View(Generic[Result]):
    """How a verb shows a result: as a document, as a table, as names, and as sentences for people.

    `summary` also gets the context, because people paste its commands.
    """

    document: Callable[[Result], dict[str, Any]]
    table: Callable[[Result], tables.Table]
    names: Callable[[Result], Iterable[str]]
    summary: Callable[[Result, str | None], list[str]]
    reading: Callable[[Result], "reading.Reading"]


async def ask(
    targets: Sequence[flags.Target], look: Callable[[connect.Connection], Awaitable[Result]]
) -> list[ClusterAnswer[Result]]:
    """Ask every cluster at the same time. Raise CommandError if the only cluster cannot be looked at."""

    async def answer(target: flags.Target) -> Result:
        async with connect.connect(target) as connection:
            return await look(connection)

    async def noted(target: flags.Target) -> ClusterAnswer[Result]:
        try:
            return ClusterAnswer(target.context, await answer(target))
        except errors.CommandError as error:
            return ClusterAnswer(target.context, None, str(error).removeprefix("error: "))

    with progress.shown("reading the cluster" if len(targets) == 1 else f"reading {len(targets)} clusters"):
        if len(targets) == 1:
            return [ClusterAnswer(targets[0].context, await answer(targets[0]))]
        return list(await asyncio.gather(*map(noted, targets)))


def show(answers: Sequence[ClusterAnswer[Result]], view: View[Result], form: flags.Format, *, headers: bool) -> None:
    """Write the results in this form, and what people must know to stderr."""
    several = len(answers) > 1
    found = [(each.context, each.result) for each in answers if each.result is not None]
    parts = [(context or "", view.table(result)) for context, result in found]
    table = (tables.joined(_COLUMN, parts) if several else parts[0][1]) if parts else tables.Table((), ())
    names = (f"{context}/{name}" if several else name for context, result in found for name in view.names(result))
    if parts or not form.for_people:
        tables.show(form, lambda: _document(answers, view), table, names, headers=headers)
    for context, result in found:
        prefix = f"{context}: " if several else ""
        if form.for_people:
            click.echo(err=True)
            for line in view.summary(result, context):
                tables.say(prefix + line, "  ")
        tables.say_not_looked_at(view.reading(result).not_looked_at, prefix)
    if form.for_people:
        tables.say_left_out(table, form)
    for each in answers:
        if each.result is None:
            tables.say(f"not looked at: cluster {each.context}: {each.error}", "  ")


def unreached(answers: Iterable[ClusterAnswer[Result]]) -> bool:
    """Return whether a cluster could not be looked at."""
    return any(each.result is None for each in answers)


def _document(answers: Sequence[ClusterAnswer[Result]], view: View[Result]) -> Mapping[str, Any]:
    """Return the document of the only cluster, or one document with those of all clusters."""
    documents = [None if each.result is None else view.document(each.result) for each in answers]
    if len(documents) == 1 and documents[0] is not None:
        return documents[0]
    clusters: list[dict[str, Any]] = []
    for each, document in zip(answers, documents, strict=True):
        told = {"error": each.error} if document is None else {"result": document}
        clusters.append({"context": each.context, **told})
    return {"apiVersion": tables.API_VERSION, "kind": "ClusterList", "clusters": clusters}
