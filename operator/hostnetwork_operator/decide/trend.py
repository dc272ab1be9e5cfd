"""What changes from report to report: exceptions that open and end, workloads without an exception, and days without a
report.

The functions work on the documents of reports (decide/exhibits), because the earlier reports are files.
"""

import datetime
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hostnetwork_operator.api import conditions, labels

Document = Mapping[str, Any]
_WITHOUT: Final = frozenset({labels.Verdict.UNCOVERED.value, labels.Verdict.EXPIRED.value})
# Without these, a report cannot count what the trend shows: the day is blind.
_NEEDED: Final = frozenset({"pods", "namespaces", "hostnetworkexceptions"})


@dataclass(frozen=True, slots=True)
class Point:
    """What one report adds to the trend. `time` is when the cluster was read.

    `workloads` are those with host namespaces, `uncovered` those of them without an exception in force. `opened` and
    `ended` are the exceptions that have come into force and have ended since the report before, as NAMESPACE/NAME: both
    for an exception that was in force only between two reports. `clean_up_seconds` are the times from the expiry of an
    exception until none of its pods was left. `blind`: the report could not look at what the trend shows.
    """

    time: datetime.datetime
    workloads: int
    uncovered: int
    in_force: int
    opened: tuple[str, ...]
    ended: tuple[str, ...]
    clean_up_seconds: tuple[int, ...]
    blind: bool


@dataclass(frozen=True, slots=True)
class Day:
    """One day in UTC: its last report that is not blind, and what all its reports add.

    `last` is None on a blind day.
    """

    date: datetime.date
    last: Point | None
    opened: int
    ended: int
    clean_up_seconds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trend:
    """The days from the first report to the last one."""

    days: tuple[Day, ...]

    @property
    def blind(self) -> tuple[datetime.date, ...]:
        """The days without a report that could look at everything that the trend shows."""
        return tuple(day.date for day in self.days if day.last is None)

    @property
    def median_clean_up_seconds(self) -> float | None:
        """The median time from an expiry until no pod was left, None if no exception was cleaned up."""
        found = [seconds for day in self.days for seconds in day.clean_up_seconds]
        return statistics.median(found) if found else None


def point(report: Document, before: Document | None) -> Point:
    """Return what a report adds to the trend.

    `before` is the last report that is not blind, None if there is none. A blind report adds no change.
    """
    blind = any(each["what"] in _NEEDED for each in report["scope"]["notLookedAt"])
    changes = before is not None and not blind
    exceptions = _by_uid(report)
    earlier = _by_uid(before) if before is not None else {}
    workloads = report["workloads"]
    return Point(
        time=_time(report["generated"]),
        workloads=len(workloads),
        uncovered=sum(each["verdict"] in _WITHOUT for each in workloads),
        in_force=sum(each["inForce"] for each in exceptions.values()),
        opened=tuple(sorted(_opened(exceptions, earlier))) if changes else (),
        ended=tuple(sorted(_ended(exceptions, earlier))) if changes else (),
        clean_up_seconds=tuple(sorted(_clean_ups(exceptions, earlier))) if changes else (),
        blind=blind,
    )


def trend(points: Sequence[Point]) -> Trend:
    """Return the trend of these reports, of which there is at least one, in the order of their times."""
    first, last = points[0].time.date(), points[-1].time.date()
    dates = [first + datetime.timedelta(days=number) for number in range((last - first).days + 1)]
    by_date: dict[datetime.date, list[Point]] = {date: [] for date in dates}
    for each in points:
        by_date[each.time.date()].append(each)
    return Trend(tuple(_day(date, of_day) for date, of_day in by_date.items()))


def _day(date: datetime.date, points: Sequence[Point]) -> Day:
    seeing = [each for each in points if not each.blind]
    return Day(
        date,
        seeing[-1] if seeing else None,
        sum(len(each.opened) for each in points),
        sum(len(each.ended) for each in points),
        tuple(seconds for each in points for seconds in each.clean_up_seconds),
    )


def _by_uid(report: Document) -> dict[str, Document]:
    """Return the exceptions that could be read. An exception of the same name with another uid is another exception."""
    return {each["uid"]: each for each in report["exceptions"] if each["uid"] is not None}


def _opened(now: Mapping[str, Document], earlier: Mapping[str, Document]) -> Iterator[str]:
    for uid, each in now.items():
        old = earlier.get(uid)
        # An exception that is new and has expired was in force between the two reports.
        short = old is None and each["state"] == conditions.Ready.EXPIRED.value
        if short or (each["inForce"] and (old is None or not old["inForce"])):
            yield _name(each)


def _ended(now: Mapping[str, Document], earlier: Mapping[str, Document]) -> Iterator[str]:
    for uid, each in now.items():
        if uid not in earlier and each["state"] == conditions.Ready.EXPIRED.value:
            yield _name(each)
    for uid, old in earlier.items():
        if old["inForce"] and (uid not in now or not now[uid]["inForce"]):
            yield _name(old)


def _clean_ups(now: Mapping[str, Document], earlier: Mapping[str, Document]) -> Iterator[int]:
    for uid, each in now.items():
        before = earlier.get(uid)
        if each["cleanedUp"] is not None and (before is None or before["cleanedUp"] is None):
            yield max(0, int((_time(each["cleanedUp"]) - _time(each["expiry"])).total_seconds()))


def _name(entry: Document) -> str:
    return f"{entry['namespace']}/{entry['name']}"


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def document(found: Point) -> dict[str, Any]:
    """Return the point as it is written in a manifest."""
    return {
        "workloads": found.workloads,
        "uncovered": found.uncovered,
        "inForce": found.in_force,
        "opened": list(found.opened),
        "ended": list(found.ended),
        "cleanUpSeconds": list(found.clean_up_seconds),
        "blind": found.blind,
    }


def of_document(time: datetime.datetime, written: Document) -> Point:
    """Return the point that is written in a manifest. Raise KeyError, TypeError or ValueError for anything else."""
    return Point(
        time,
        int(written["workloads"]),
        int(written["uncovered"]),
        int(written["inForce"]),
        tuple(map(str, written["opened"])),
        tuple(map(str, written["ended"])),
        tuple(map(int, written["cleanUpSeconds"])),
        bool(written["blind"]),
    )
