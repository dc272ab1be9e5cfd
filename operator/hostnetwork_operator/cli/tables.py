"""Results as text: borderless tables, JSON and YAML. Every text of a cluster is hostile until it has come through here.

A renderer filters nothing: which rows a result has is decided before. On a terminal, text keeps within its width. In a
pipe it is whole.
"""

import datetime
import json
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from hostnetwork_operator.api import plaintext
from hostnetwork_operator.cli import flags

if TYPE_CHECKING:
    from hostnetwork_operator.cli import reading
    from hostnetwork_operator.decide import classify, snapshot

API_VERSION: Final = "cli.hostnetwork-operator.github.io/v1alpha1"  # of -o json and -o yaml
WIDEST: Final = 100  # columns of a text on a terminal
_GAP: Final = "  "
_NARROWEST: Final = 10  # a cell is not cut below this width
_PROSE: Final = 36  # other columns are cut or left out before the column with prose is narrower,
_LEAST_PROSE: Final = 24  # and names are cut before it is narrower than that
_CUT: Final = "…"
_NOTHING: Final = "-"
_FEW: Final = 5
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
    """The rows of a table.

    Columns named in `wide` are shown with -o wide only. Where there is little room, those named in `flexible` are cut,
    then left out, in this order. Other columns have names, and are cut last. If the last column has `prose`, its text
    is wrapped instead.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wide: frozenset[str] = frozenset()
    flexible: tuple[str, ...] = ()
    prose: bool = False

    def lines(self, *, wide: bool = False, headers: bool = True, width: int | None = None) -> list[str]:
        """Return the lines of the table, at most `width` columns wide if that is not None."""
        if not self.rows and not headers:
            return []
        sizes = self._sizes(wide=wide, headers=headers, width=width)
        cells = [list(sizes)] * headers + [[cell(row[self.columns.index(name)]) for name in sizes] for row in self.rows]
        return [line for each in cells for line in _lines(each, list(sizes.values()), prose=self.prose)]

    def left_out(self, width: int | None) -> tuple[str, ...]:
        """Return the flexible columns with content for which there is no room within `width` columns."""
        shown = self._sizes(wide=False, headers=True, width=width)
        filled = {name for name in self.flexible if any(row[self.columns.index(name)] for row in self.rows)}
        return tuple(name for name in self.columns if name in filled and name not in {*self.wide, *shown})

    def _sizes(self, *, wide: bool, headers: bool, width: int | None) -> dict[str, int]:
        """Return the columns that are shown, and how wide each is."""
        names = [name for name in self.columns if wide or name not in self.wide]
        texts = {name: [cell(row[self.columns.index(name)]) for row in self.rows] for name in names}
        sizes = {name: max(map(_width, [name] * headers + texts[name])) for name in names}
        if width is None or _total(sizes) <= width:
            return sizes
        filled = {name: size for name, size in sizes.items() if set(texts[name]) != {_NOTHING}}
        sizes = filled if self.rows and filled else sizes
        prose = list(sizes)[-1] if self.prose else ""
        whole = sizes.get(prose, 0)
        if prose:
            sizes[prose] = min(_PROSE, whole)
        self._squeeze(sizes, width)
        if prose and _total(sizes) > width:
            sizes[prose] = min(_LEAST_PROSE, whole)
        _cut(sizes, [name for name in sizes if name != prose], width)
        if prose:
            sizes[prose] = min(whole, max(sizes[prose], width - _total(sizes) + sizes[prose]))
        return sizes

    def _squeeze(self, sizes: dict[str, int], width: int) -> None:
        """Cut the flexible columns, or leave them out one by one, until a line has `width` columns."""
        for name in self.flexible:
            whole = {each: sizes[each] for each in self.flexible if each in sizes}
            _cut(sizes, list(whole), width)
            if _total(sizes) <= width:
                return
            sizes.update(whole)
            sizes.pop(name, None)


def joined(column: str, parts: Sequence[tuple[str, Table]]) -> Table:
    """Return tables with the same columns as one table, with a first column that says from which part a row is."""
    first = parts[0][1]
    rows = tuple((name, *row) for name, table in parts for row in table.rows)
    return Table((column, *first.columns), rows, first.wide, first.flexible, first.prose)


def cell(text: str) -> str:
    """Return a text as one cell: `plain`, or `-` if nothing is left."""
    return plain(text) or _NOTHING


def plain(text: str) -> str:
    """Return a text on one line, without characters that move the cursor or hide text."""
    return " ".join(plaintext.of(" ".join(text.split())).split())


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
    return table.lines(wide=wide, headers=headers, width=None if wide else width_of(sys.stdout))


def width_of(stream: TextIO) -> int | None:
    """Return how many columns a text may have there; None if the stream is no terminal."""
    return min(WIDEST, shutil.get_terminal_size((80, 24)).columns) if stream.isatty() else None


def say(text: str, indent: str = "") -> None:
    """Write a text for people to stderr: one line, or several on a terminal. A continued line begins with `indent`."""
    for line in wrapped(cell(text), width_of(sys.stderr), indent):
        click.echo(line, err=True)


def say_left_out(table: Table, form: flags.Format) -> None:
    """Say on stderr which columns the terminal has no room for."""
    if form is flags.Format.TABLE and (names := table.left_out(width_of(sys.stdout))):
        say(f"No room for {', '.join(names)}: use -o wide.")


def wrapped(text: str, width: int | None, indent: str = "", *, first: str = "") -> list[str]:
    """Return a text as lines of at most `width` columns, the first with `first` before it, the others with `indent`.

    Words are whole, because people paste them.
    """
    if width is None or _width(first + text) <= width:
        return [first + text]
    lines, empty = [first], True
    for word in text.split():
        if not empty and _width(lines[-1]) + 1 + _width(word) > width:
            lines.append(indent)
            empty = True
        lines[-1] += word if empty else f" {word}"
        empty = False
    return lines


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

    plain = json.loads(json.dumps(result))  # a value of an enum is a text in JSON, and an error for the YAML library
    return str(yaml.safe_dump(plain, sort_keys=False, width=10_000)).rstrip("\n")


def not_looked_at(found: "Sequence[reading.NotLookedAt]") -> list[dict[str, str]]:
    """Return what was not looked at, for JSON and YAML."""
    return [{"what": each.what, "why": each.why, "consequence": each.consequence} for each in found]


def say_not_looked_at(found: "Sequence[reading.NotLookedAt]", prefix: str = "") -> None:
    """Say on stderr what was not looked at, a line each. `prefix` names the cluster if there are several."""
    for each in found:
        say(f"{prefix}not looked at: {each.what}: {each.why}; {each.consequence}", "  ")


def tree(branches: Sequence[tuple[str, Sequence[str]]], width: int | None = None) -> list[str]:
    """Return the lines of a tree of two levels. A leaf that begins with `kubectl` is a command, and is not wrapped."""
    lines = []
    for number, (branch, leaves) in enumerate(branches, 1):
        last = number == len(branches)
        under = "   " if last else "│  "
        continued = under + ("│  " if leaves else "   ")
        lines += wrapped(cell(branch), width, continued, first="└─ " if last else "├─ ")
        for position, leaf in enumerate(leaves, 1):
            end = position == len(leaves)
            within = None if leaf.startswith("kubectl ") else width
            first = under + ("└─ " if end else "├─ ")
            lines += wrapped(cell(leaf), within, under + ("   " if end else "│  "), first=first)
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


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes: letters of East Asia take two, combining marks none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in {"W", "F"} for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) > 0 for character in text)


def _total(sizes: Mapping[str, int]) -> int:
    return sum(sizes.values()) + len(_GAP) * (len(sizes) - 1)


def _cut(sizes: dict[str, int], names: Sequence[str], width: int) -> None:
    """Make the widest of these columns narrower until a line has `width` columns, or none can be cut further."""
    while names and _total(sizes) > width:
        widest = max(names, key=lambda name: sizes[name])
        if sizes[widest] <= _NARROWEST:
            return
        sizes[widest] -= 1


def _lines(cells: Sequence[str], sizes: Sequence[int], *, prose: bool) -> list[str]:
    """Return the lines of a row: one, or more if the last column has prose."""
    *heads, last = cells
    rest = wrapped(last, sizes[-1]) if prose else [_fit(last, sizes[-1])]
    start = "".join(_fit(text, size) + _GAP for text, size in zip(heads, sizes, strict=False))
    return [f"{start if number == 0 else ' ' * len(start)}{line}".rstrip() for number, line in enumerate(rest)]


def _fit(text: str, size: int) -> str:
    doubt = ""
    if _width(text) > size:
        doubt = text[len(text.rstrip("?")) :][:2]  # a class that is cut must look no surer than it is
        while _width(text) > size - 1 - len(doubt):
            text = text[: size - 1 - len(doubt)] if len(text) > size else text[:-1]
        text += _CUT + doubt
    return text + " " * (size - _width(text))


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 pod`, `3 pods`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def few(names: Sequence[str]) -> str:
    """Return the first names of many: `a, b, c and 4 more`."""
    rest = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {rest} more" if rest > 0 else "")
