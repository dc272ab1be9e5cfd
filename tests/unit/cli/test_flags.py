"""The values of flags that verbs share: ends, times, and the names of exceptions."""

import datetime

import click
import pytest

from hostnetwork_operator.cli import flags
from tests.unit.builders import NOW, at


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-31T12:00:00Z", datetime.datetime(2026, 12, 31, 12, tzinfo=datetime.UTC)),
        ("2026-12-31T13:00:00.5+01:00", datetime.datetime(2026, 12, 31, 12, tzinfo=datetime.UTC)),
    ],
)
def test_a_time_is_in_utc_to_the_second(text: str, moment: datetime.datetime) -> None:
    assert flags.MOMENT.convert(text, None, None) == moment


@pytest.mark.parametrize("text", ["2026-12-31T12:00:00", "2026-12-31", "tomorrow", "", "0001-01-01T00:00:00+23:00"])
def test_a_time_without_a_zone_is_refused(text: str) -> None:
    """Whose noon that is, nobody could tell."""
    with pytest.raises(click.UsageError, match="is not a time with a time zone"):
        flags.MOMENT.convert(text, None, None)


@pytest.mark.parametrize(
    "text", ["capture", "hne/capture", "hostnetworkexception.hostnetwork-operator.github.io/capture"]
)
def test_an_exception_is_named_as_kubectl_names_it(text: str) -> None:
    assert flags.EXCEPTION.convert(text, None, None) == "capture"


@pytest.mark.parametrize("text", ["", "a/../b", "pod/capture", "Capture", "a" * 64, "a?x=y", "-a"])
def test_what_cannot_be_the_name_of_an_exception_is_refused(text: str) -> None:
    """The name becomes a part of the path of a request."""
    with pytest.raises(click.UsageError, match="is not the name of an exception"):
        flags.EXCEPTION.convert(text, None, None)


def test_an_end_counts_from_the_time_of_the_api_server() -> None:
    assert flags.End(None, 7200).at(at(seconds=0.7)) == at(hours=2)
    assert flags.End(NOW, 0).at(at(hours=5)) == NOW
    with pytest.raises(click.UsageError, match="too long"):
        flags.End(None, 1e12).at(NOW)
