"""The trend over several reports: what opened and ended, how long a clean-up took, and on which days nobody looked."""

import datetime
import json
from typing import Any

from hostnetwork_operator.decide import trend

DAY = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)


def at(days: float) -> str:
    return (DAY + datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def an_exception(name: str, *, state: str = "Active", uid: str = "", cleaned_up: str | None = None) -> dict[str, Any]:
    """Return an exception as a report has it; it expires at noon of day 1."""
    return {
        "namespace": "shop",
        "name": name,
        "uid": uid or f"uid-of-{name}",
        "state": state,
        "inForce": state == "Active",
        "expiry": at(1),
        "cleanedUp": cleaned_up,
    }


def a_report(
    days: float, *exceptions: dict[str, Any], verdicts: tuple[str, ...] = (), unread: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the parts of a report that the trend uses."""
    return {
        "generated": at(days),
        "cluster": {"uid": "uid-of-kube-system"},
        "scope": {"notLookedAt": [{"what": what} for what in unread]},
        "workloads": [{"verdict": verdict} for verdict in verdicts],
        "exceptions": list(exceptions),
    }


def test_a_report_counts_workloads_without_an_exception_in_force() -> None:
    found = trend.point(a_report(0, verdicts=("Covered", "Uncovered", "Expired", "Unknown", "Exempt", "Static")), None)
    assert (found.workloads, found.uncovered) == (6, 2)


def test_the_first_report_says_of_nothing_that_it_has_changed() -> None:
    found = trend.point(a_report(0, an_exception("new"), an_exception("old", state="Expired")), None)
    assert (found.in_force, found.opened, found.ended) == (1, (), ())


def test_exceptions_open_and_end_between_reports() -> None:
    """Also one that was in force only in between. One that was deleted and written again is another one."""
    before = a_report(0, an_exception("kept"), an_exception("ends"), an_exception("gone"), an_exception("again"))
    after = a_report(
        1,
        an_exception("kept"),
        an_exception("ends", state="Expired"),
        an_exception("new"),
        an_exception("short", state="Expired"),
        an_exception("again", uid="another"),
        an_exception("refused", state="NotApproved"),
    )
    found = trend.point(after, before)
    assert found.opened == ("shop/again", "shop/new", "shop/short")
    assert found.ended == ("shop/again", "shop/ends", "shop/gone", "shop/short")
    assert found.in_force == 3


def test_a_clean_up_counts_once() -> None:
    before = a_report(0, an_exception("done", state="Expired", cleaned_up=at(1)), an_exception("ends"))
    after = a_report(2, before["exceptions"][0], an_exception("ends", state="Expired", cleaned_up=at(1.5)))
    assert trend.point(after, before).clean_up_seconds == (43_200,)


def test_a_report_that_could_not_look_changes_nothing_and_makes_a_blind_day() -> None:
    """Else every exception would end on that day, and open again on the next."""
    before = a_report(0, an_exception("kept"))
    blind = trend.point(a_report(1, unread=("hostnetworkexceptions",)), before)
    assert (blind.blind, blind.opened, blind.ended) == (True, (), ())
    found = trend.trend([trend.point(before, None), blind, trend.point(a_report(2, an_exception("kept")), before)])
    assert found.blind == (DAY.date() + datetime.timedelta(days=1),)
    assert trend.point(a_report(1, unread=("ledger",)), before).blind is False


def test_a_day_without_a_report_is_blind() -> None:
    """A day has its last report. The exceptions of all its reports count."""
    first, second = a_report(0, an_exception("a")), a_report(0.1, an_exception("a"), an_exception("b"))
    last = a_report(3, an_exception("b"), verdicts=("Uncovered",))
    points = [trend.point(first, None), trend.point(second, first), trend.point(last, second)]
    found = trend.trend(points)
    assert [day.date.day for day in found.days] == [30, 1, 2, 3]
    assert [day.last and day.last.in_force for day in found.days] == [2, None, None, 1]
    assert [(day.opened, day.ended) for day in found.days] == [(1, 0), (0, 0), (0, 0), (0, 1)]
    assert len(found.blind) == 2
    assert found.median_clean_up_seconds is None


def test_a_point_is_read_as_it_was_written() -> None:
    before = a_report(0, an_exception("ends"))
    found = trend.point(a_report(1, an_exception("ends", state="Expired", cleaned_up=at(1))), before)
    assert found.clean_up_seconds == (0,)
    assert trend.of_document(found.time, json.loads(json.dumps(trend.document(found)))) == found
