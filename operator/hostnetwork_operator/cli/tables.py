"""Results as text: borderless tables, JSON and YAML. Every text of a cluster is hostile until it has come through here.

A renderer filters nothing: which rows a result has is decided before.
"""

import datetime
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from hostnetwork_operator.api import plaintext
from hostnetwork_operator.cli import flags

if TYPE_CHECKING:
    from hostnetwork_operator.cli import reading
    from hostnetwork_operator.decide import classify, snapshot

API_VERSION: Final = "cli.hostnetwork-operator.github.io/v1alpha1"  # of -o json and -o yaml
WIDEST: Final = 100  # columns of a table on a terminal
_GAP: Final = "   "
_NARROWEST: Final = 8  # a cell is not cut below this width
_CUT: Final = "…"
_NOTHING: Final = "-"
KINDS: Final = {
    "CronJob": "cj",
    "DaemonSet": "ds",
    "Deployment": "deploy",
    "Job": "job",
    "Pod": "pod",
    "ReplicaSet": "rs",
    "ReplicationController": "rc",
    "StatefulSet": "sts",
}


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a table. Columns named in `wide` are shown with -o wide only."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wide: frozenset[str] = frozenset()

    def lines(self, *, wide: bool = False, headers: bool = True, width: int | None = None) -> list[str]:
        """Return the lines of the table, at most `width` columns wide if that is not None.

        If the table is wider, columns without any content are left out first. Then the widest columns are cut.
        """
        shown = [number for number, name in enumerate(self.columns) if wide or name not in self.wide]
        columns = [[self.columns[number]] * headers + [cell(row[number]) for row in self.rows] for number in shown]
        if not self.rows and not headers:
            return []
        if width is not None and _width(columns) > width:
            columns = [column for column in columns if set(column[headers:]) != {_NOTHING}]
        widths = [max(map(len, column)) for column in columns]
        if width is not None:
            _narrow(widths, width)
        lines = zip(*columns, strict=True)
        return [_GAP.join(map(_fit, line, widths)).rstrip() for line in lines]


def cell(text: str) -> str:
    """Return a text as one cell: without characters that move the cursor or hide text, `-` if nothing is left."""
    return " ".join(plaintext.of(" ".join(text.split())).split()) or _NOTHING


def show(
    form: flags.Format,
    document: Callable[[], Mapping[str, Any]],
    table: Table,
    names: Iterable[str],
    *,
    headers: bool,
) -> None:
    """Write one result to stdout in this form: its document as JSON or YAML, its table, or the names of its rows."""
    if form is flags.Format.JSON:
        click.echo(as_json(document()))
    elif form is flags.Format.YAML:
        click.echo(as_yaml(document()))
    elif form is flags.Format.NAME:
        for name in names:
            click.echo(cell(name))
    else:
        for line in shown(table, form, headers=headers):
            click.echo(line)


def shown(table: Table, form: flags.Format, *, headers: bool) -> list[str]:
    """Return the lines of a table: within the width of a terminal, but whole in a pipe and with -o wide."""
    wide = form is flags.Format.WIDE
    width = None if wide or not sys.stdout.isatty() else min(WIDEST, shutil.get_terminal_size((80, 24)).columns)
    return table.lines(wide=wide, headers=headers, width=width)


def resource(subject: "snapshot.Reference") -> str:
    """Return the kind and group of an object as `kubectl -o name` writes them: `deployment.apps`."""
    group = subject.api_version.rpartition("/")[0]
    return subject.kind.lower() + (f".{group}" if group else "")


def kind(name: str) -> str:
    """Return the short name of a kind, as kubectl has it."""
    return KINDS.get(name, name.lower())


def moment(time: datetime.datetime | None) -> str | None:
    """Return a time as Kubernetes writes it."""
    return None if time is None else time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def until(time: datetime.datetime | None, now: datetime.datetime) -> str:
    """Return how long it is until a time, or since: `in 3d4h`, `2h ago`; '' without a time."""
    if time is None:
        return ""
    seconds = int((time - now).total_seconds())
    return f"in {age(seconds)}" if seconds > 0 else f"{age(-seconds)} ago"


def age(seconds: int) -> str:
    """Return a duration as kubectl writes ages: the two largest units."""
    for unit, size, smaller, smaller_size in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if seconds >= size:
            rest = seconds % size // smaller_size
            return f"{seconds // size}{unit}" + (f"{rest}{smaller}" if rest else "")
    return f"{seconds}s"


def as_json(result: Mapping[str, Any]) -> str:
    """Return JSON in which every character beyond ASCII is escaped: no text of it can move a cursor."""
    return json.dumps(result, indent=2)


def as_yaml(result: Mapping[str, Any]) -> str:
    """Return YAML, escaped like JSON, with the keys in the given order."""
    import yaml  # 30 ms that only this form needs

    return str(yaml.safe_dump(result, sort_keys=False, width=10_000)).rstrip("\n")


def not_looked_at(found: "Sequence[reading.NotLookedAt]") -> list[dict[str, str]]:
    """Return what was not looked at, for JSON and YAML."""
    return [{"what": each.what, "why": each.why, "consequence": each.consequence} for each in found]


def say_not_looked_at(found: "Sequence[reading.NotLookedAt]") -> None:
    """Say on stderr what was not looked at, a line each."""
    for each in found:
        click.echo(cell(f"not looked at: {each.what}: {each.why}; {each.consequence}"), err=True)


def tree(branches: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Return the lines of a tree of two levels."""
    lines = []
    for number, (branch, leaves) in enumerate(branches, 1):
        last = number == len(branches)
        lines.append(f"{'└─' if last else '├─'} {cell(branch)}")
        for position, leaf in enumerate(leaves, 1):
            lines.append(f"{'   ' if last else '│  '}{'└─' if position == len(leaves) else '├─'} {cell(leaf)}")
    return lines


def classification(seen: "classify.Classification | None") -> dict[str, Any] | None:
    """Return a class, for JSON and YAML."""
    if seen is None:
        return None
    return {
        "type": seen.type.value,
        "component": seen.component and seen.component.value,
        "agent": seen.agent or None,
        "confidence": seen.confidence.value,
        "reasons": list(seen.reasons),
    }


def _width(columns: Sequence[Sequence[str]]) -> int:
    return sum(max(map(len, column)) for column in columns) + len(_GAP) * (len(columns) - 1)


def _narrow(widths: list[int], width: int) -> None:
    """Make the widest columns narrower until the line has `width` columns, or none can be cut further."""
    while sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        widest = widths.index(max(widths))
        if widths[widest] <= _NARROWEST:
            return
        widths[widest] -= 1


def _fit(text: str, size: int) -> str:
    return (text if len(text) <= size else text[: size - 1] + _CUT).ljust(size)


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 pod`, `3 pods`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
