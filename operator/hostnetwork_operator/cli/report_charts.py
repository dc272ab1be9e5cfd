"""The pictures of a report as inline SVG, each beside a table with the same numbers."""

import datetime
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from hostnetwork_operator.api import labels
from hostnetwork_operator.cli import tables
from hostnetwork_operator.cli.markup import Child, Markup, element
from hostnetwork_operator.decide import exhibits, trend

_WIDTH: Final = 440
_LANES: Final = 12  # of more exceptions the picture shows only how many end in each period
_NAME: Final = 34  # characters of a name in a picture
_BAR: Final = 18
_STEP: Final = 42
_HIGH: Final = 90  # the bars of the trend
_DAYS: Final = 31  # that the trend shows
_VERDICTS: Final = ("Covered", "Uncovered", "Expired", "Unknown", "Static", "Exempt")
_CLASSES: Final = ("Infrastructure", "Diagnostic", "Application", "Not readable")
_PERIODS: Final = (("within 24 hours", 1), ("within 7 days", 7), ("within 30 days", 30), ("within 90 days", 90))
_LEVELS: Final = (
    "restricted",
    "baseline",
    "privileged, lifted for an exception",
    "privileged",
    "no level",
    "not a level",
)


def expiries(found: exhibits.AuditEvidence) -> Markup:
    """Return when the exceptions in force end: as a lane each if they are few, and as numbers."""
    title = "Exceptions in force by time to their end"
    ending = sorted(
        (each for each in found.exceptions if each.in_force and each.expiry is not None),
        key=lambda each: (each.expiry, each.namespace, each.name),
    )
    endless = sum(each.in_force and each.expiry is None for each in found.exceptions)
    rows = [*_periods(ending, found.as_of), ("no expiry", endless)]
    table = _numbers(title, ("Ends", "Exceptions"), [*_texts(rows), ("in force", str(len(ending) + endless))])
    if not ending:
        return _figure("expiries", title, None, table)
    picture = _lanes(ending, found.as_of) if len(ending) <= _LANES else _bars("expiries", title, rows)
    return _figure("expiries", title, picture, table)


def classes(found: exhibits.AuditEvidence) -> Markup:
    """Return the workloads by class and verdict."""
    counts = Counter(
        (each.class_.type.value if each.class_ is not None else _CLASSES[-1], each.verdict.value)
        for each in found.workloads
    )
    shown = [name for name in _CLASSES if name != _CLASSES[-1] or any(key[0] == name for key in counts)]
    verdicts = [name for name in _VERDICTS if any(key[1] == name for key in counts)] or ["Covered", "Uncovered"]
    rows = [(verdict, *(str(counts[name, verdict]) for name in shown)) for verdict in verdicts]
    table = _numbers("Workloads by class and verdict", ("Verdict", *shown), rows, swatches=True)
    largest = max((sum(counts[name, verdict] for verdict in verdicts) for name in shown), default=0)
    if not largest:
        return _figure("classes", "Workloads by class and verdict", None, table)
    bars: list[Markup] = []
    for number, name in enumerate(shown):
        top, left = number * _STEP + 16, 0.0
        total = sum(counts[name, verdict] for verdict in verdicts)
        bars.append(_label(0, top - 4, f"{name}: {total}"))
        for verdict in verdicts:
            width = counts[name, verdict] * _WIDTH / largest
            if width:
                bars.append(_rect(left, top, width, f"fill-{verdict.lower()}"))
                left += width
    spoken = "; ".join(
        f"{name}: " + (", ".join(f"{counts[name, v]} {v}" for v in verdicts if counts[name, v]) or "none")
        for name in shown
    )
    picture = _svg("classes", "Workloads by class and verdict", spoken, len(shown) * _STEP, [_patterns(), *bars])
    return _figure("classes", "Workloads by class and verdict", picture, table)


def levels(found: exhibits.AuditEvidence) -> Markup:
    """Return the namespaces by their Pod Security level."""
    title = "Namespaces by enforced Pod Security level"
    counts = Counter(map(_level, found.namespaces))
    rows = [(name, counts[name]) for name in _LEVELS if counts[name]]
    table = _numbers(title, ("Level", "Namespaces"), _texts(rows))
    return _figure("levels", title, _bars("levels", title, rows) if rows else None, table)


def days(found: trend.Trend) -> Markup:
    """Return the last days of an archive: workloads without an exception in force, and what opened and ended."""
    shown = found.days[-_DAYS:]
    rows = [(f"{day.date}", *_of_day(day), str(day.opened), str(day.ended)) for day in reversed(shown)]
    heads = ("Day (UTC)", "Workloads", "Without an exception", "In force", "Opened", "Ended")
    more = "" if len(shown) == len(found.days) else f", the last {len(shown)} of {len(found.days)}"
    table = _numbers(f"The days of the archive{more}", heads, rows)
    largest = max((day.last.uncovered for day in shown if day.last is not None), default=0)
    step = _WIDTH / len(shown)
    bars: list[Markup] = []
    for number, day in enumerate(shown):
        left, width = number * step + step / 8, step * 3 / 4
        if day.last is None:
            bars.append(_column(left, width, _HIGH, "fill-blind"))
        elif day.last.uncovered:
            bars.append(_column(left, width, max(2.0, day.last.uncovered * _HIGH / largest), "fill-lacking"))
    bars += [
        _label(0, 12, f"at most {largest}"),
        _label(0, _HIGH + 36, f"{shown[0].date}"),
        _label(_WIDTH, _HIGH + 36, f"{shown[-1].date}", "end"),
    ]
    spoken = "; ".join(f"{day.date}: " + ("blind" if day.last is None else str(day.last.uncovered)) for day in shown)
    title = "Workloads without an exception in force, by day"
    return _figure("days", title, _svg("days", title, spoken, _HIGH + 40, bars), table)


def _of_day(day: trend.Day) -> tuple[str, str, str]:
    if day.last is None:
        return "blind", "blind", "blind"
    return str(day.last.workloads), str(day.last.uncovered), str(day.last.in_force)


def _column(left: float, width: float, height: float, name: str) -> Markup:
    return element(
        "rect",
        x=f"{left:.1f}",
        y=f"{_HIGH + 18 - height:.1f}",
        width=f"{width:.1f}",
        height=f"{height:.1f}",
        class_=f"bar {name}",
    )


def _texts(rows: Iterable[tuple[str, int]]) -> list[tuple[str, str]]:
    return [(name, str(number)) for name, number in rows]


def _bars(name: str, title: str, rows: Sequence[tuple[str, int]]) -> Markup:
    """Return a bar for each row."""
    largest = max(1, max(number for _, number in rows))
    parts: list[Markup] = []
    for position, (label, number) in enumerate(rows):
        top = position * _STEP + 16
        parts.append(_label(0, top - 4, f"{label}: {number}"))
        parts.append(_rect(0, top, number * _WIDTH / largest, "fill-time"))
    spoken = "; ".join(f"{label}: {number}" for label, number in rows)
    return _svg(name, title, spoken, len(rows) * _STEP, parts)


def _lanes(ending: Sequence[exhibits.ExceptionEvidence], now: datetime.datetime) -> Markup:
    """Return a lane for each exception, from now to its end."""
    seconds = [(each.expiry - now).total_seconds() for each in ending if each.expiry is not None]
    longest = max(seconds)
    bars: list[Markup] = []
    for number, (each, left) in enumerate(zip(ending, seconds, strict=True)):
        top, width = number * _STEP + 16, max(2.0, left * _WIDTH / longest)
        name = f"{each.namespace}/{each.name}"
        name = name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
        bars += [
            _label(0, top - 4, name),
            _label(_WIDTH, top - 4, f"in {tables.age(int(left))}", "end"),
            _rect(0, top, width, "fill-time"),
        ]
    height = len(ending) * _STEP + 18
    last = max(each.expiry for each in ending if each.expiry is not None)
    bars += [
        _label(0, height - 4, tables.moment(now) or ""),
        _label(_WIDTH, height - 4, tables.moment(last) or "", "end"),
    ]
    spoken = "; ".join(f"{each.namespace}/{each.name} ends {tables.moment(each.expiry)}" for each in ending)
    return _svg("expiries", "Time until each exception ends", spoken, height, bars)


def _periods(ending: Iterable[exhibits.ExceptionEvidence], now: datetime.datetime) -> Iterable[tuple[str, int]]:
    """Yield each period with the number of exceptions that end in it and in no period before."""
    days = [(each.expiry - now) / datetime.timedelta(days=1) for each in ending if each.expiry is not None]
    before = 0.0
    for name, until in _PERIODS:
        yield name, sum(before < each <= until for each in days)
        before = until
    yield "later", sum(each > before for each in days)


def _level(namespace: exhibits.NamespaceEvidence) -> str:
    if namespace.relaxed and namespace.enforce == labels.Level.PRIVILEGED.value:
        return _LEVELS[2]
    if namespace.enforce is None:
        return _LEVELS[4]
    return namespace.enforce if namespace.enforce in _LEVELS else _LEVELS[5]


def _figure(name: str, title: str, picture: Markup | None, table: Markup) -> Markup:
    shown = picture if picture is not None else element("p", "Nothing to draw.", class_="muted")
    heading = element("h3", title, id=f"{name}-heading")
    return element("section", heading, element("div", shown, table, class_="figure"), aria_labelledby=f"{name}-heading")


def _svg(name: str, title: str, spoken: str, height: int, parts: Iterable[Markup]) -> Markup:
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", spoken, id=f"{name}-desc"),
        *parts,
        viewBox=f"0 0 {_WIDTH} {height}",
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
    )


def _label(left: float, top: float, text: str, anchor: str = "start") -> Markup:
    return element("text", text, x=f"{left:.1f}", y=f"{top:.1f}", text_anchor=anchor)


def _rect(left: float, top: float, width: float, name: str) -> Markup:
    return element(
        "rect", x=f"{left:.1f}", y=f"{top:.1f}", width=f"{width:.1f}", height=str(_BAR), class_=f"bar {name}"
    )


def _patterns() -> Markup:
    """Return the patterns by which the verdicts differ without colour."""
    lines = {
        "uncovered": "M0,8 L8,0 M-2,2 L2,-2 M6,10 L10,6",
        "expired": "M0,4 L8,4",
        "unknown": "M0,0 L8,8 M0,8 L8,0",
        "static": "M4,0 L4,8",
        "exempt": "M3,3 h2 v2 h-2 z",
    }
    return element(
        "defs",
        [
            element(
                "pattern",
                element("rect", width="8", height="8", class_=f"ground-{name}"),
                element("path", d=path, class_=f"line-{name}"),
                id=f"pattern-{name}",
                width="8",
                height="8",
                patternUnits="userSpaceOnUse",
            )
            for name, path in lines.items()
        ],
    )


def _numbers(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, swatches: bool = False) -> Markup:
    """Return a small table. With swatches, each row begins with the fill of its verdict."""

    def row_head(name: str) -> Markup:
        swatch: Child = ""
        if swatches:
            box = element("rect", width="12", height="12", class_=f"bar fill-{name.lower()}")
            swatch = element("svg", box, viewBox="0 0 12 12", class_="swatch", aria_hidden="true")
        return element("th", swatch, name, scope="row")

    def number(text: str) -> Markup:
        return element("td", text, class_="number")

    def head(position: int, name: str) -> Markup:
        return element("th", name, scope="col", class_="number" if position else None)

    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", [head(position, name) for position, name in enumerate(heads)])),
        element("tbody", [element("tr", row_head(row[0]), list(map(number, row[1:]))) for row in rows]),
        class_="numbers",
    )
