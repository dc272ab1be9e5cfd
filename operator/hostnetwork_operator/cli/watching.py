"""-w: a table that is shown again whenever it has changed, until a person interrupts the command."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NoReturn, TypeVar

import click

from hostnetwork_operator.cli import flags, tables

_SECONDS: Final = 2.0

Result = TypeVar("Result")


def check(form: flags.Format, fail_on: object, targets: Sequence[flags.Target]) -> None:
    """Raise UsageError for flags that a command with -w cannot have."""
    if not form.for_people:
        raise click.UsageError("-w shows a table; use -w without -o, or with -o wide")
    if fail_on:
        raise click.UsageError("-w goes on until you interrupt the command; use either -w or --fail-on")
    if len(targets) > 1:
        raise click.UsageError("-w shows one cluster; use --context once")


async def watch(
    look: Callable[[], Awaitable[Result]],
    table: Callable[[Result], tables.Table],
    show: Callable[[Result], None],
    form: flags.Format,
    *,
    headers: bool,
) -> NoReturn:
    """Show a result, and again whenever its table has changed.

    Once there is a result, an API server that does not answer for a while is said and asked again.
    """
    import asyncio

    from hostnetwork_operator.act import gateway

    seen: list[str] | None = None
    while True:
        try:
            result = await look()
        except gateway.ApiError as error:
            if seen is None or not error.passing:
                raise
            tables.say(f"error: {error.message or error.reason or error.status}; trying again")
        else:
            lines = tables.shown(table(result), form, headers=headers)
            if lines != seen:
                if seen:
                    click.echo()
                show(result)
                seen = lines
        await asyncio.sleep(_SECONDS)
