"""The grant line: one text for one grant, and nothing hostile in it."""

import dataclasses
import datetime

import pytest

from hostnetwork_operator.api import grant, labels
from tests.unit import builders
from tests.unit.builders import NETWORK, PID

GRANT = grant.Grant(
    namespace_uid=builders.UID,
    type="Diagnostic",
    until=datetime.datetime(2026, 11, 22, 16, tzinfo=datetime.UTC),
    service_account="netdebug",
    host_namespaces=frozenset({PID, NETWORK}),
    privileged=True,
    level=labels.Level.BASELINE,
    capabilities=("NET_ADMIN", "SYS_PTRACE"),
    host_paths=(grant.HostPathAccess("/proc", read_only=True), grant.HostPathAccess("/var/lib", read_only=False)),
    images=("a:1", "b:2"),
)
LINE = (
    f"{builders.UID}|Diagnostic|2026-11-22T16:00:00Z|netdebug|Network PID|true|baseline|NET_ADMIN SYS_PTRACE"
    "|ro:/proc rw:/var/lib|a:1 b:2"
)


def test_a_grant_is_ten_fields_in_order() -> None:
    """Bars separate fields, and spaces separate list items. Lists are sorted."""
    assert GRANT.encode() == LINE
    assert len(LINE.split("|")) == grant.FIELDS


def test_a_line_is_read_as_it_was_written() -> None:
    """decode returns the grant that encode was given."""
    assert grant.Grant.decode(LINE) == GRANT


def test_an_exception_without_lists_has_dashes() -> None:
    """An empty list is a dash, any image is a star, and no expiry is the year 9999."""
    shortest = dataclasses.replace(
        GRANT, until=grant.ENDLESS, privileged=False, capabilities=(), host_paths=(), images=None
    )
    assert (
        f"{builders.UID}|Diagnostic|9999-12-31T23:59:59Z|netdebug|Network PID|false|baseline|-|-|*" == shortest.encode()
    )
    assert shortest == grant.Grant.decode(shortest.encode())


def test_a_grant_without_host_namespaces_is_of_the_second_format() -> None:
    """It has two more fields, so no reader of the first format takes it for a grant."""
    plain = dataclasses.replace(GRANT, type="Application", host_namespaces=frozenset(), host_ports=True)
    line = (
        f"{builders.UID}|Application|2026-11-22T16:00:00Z|netdebug|-|true|baseline|NET_ADMIN SYS_PTRACE"
        "|ro:/proc rw:/var/lib|a:1 b:2|v2|true"
    )
    assert line == plain.encode()
    assert plain == grant.Grant.decode(line)
    assert len(line.split("|")) == grant.FIELDS_OF_V2
    assert dataclasses.replace(plain, host_ports=False) == grant.Grant.decode(line.removesuffix("true") + "false")


@pytest.mark.parametrize("line", [LINE + "|v2|true", LINE + "|v2|false", LINE.replace("Network PID", "-")])
def test_each_format_has_its_own_grants(line: str) -> None:
    """A grant with host namespaces has the first format only, and any other grant the second only.

    So one grant has one line.
    """
    with pytest.raises(grant.GrantError):
        grant.Grant.decode(line)


@pytest.mark.parametrize("last", ["v2|True", "v2|", "v3|true", "|true", "v2|true|", "true"])
def test_nothing_else_is_of_the_second_format(last: str) -> None:
    """The version and the word after it must match letter by letter."""
    with pytest.raises(grant.GrantError):
        grant.Grant.decode(LINE.replace("Network PID", "-") + "|" + last)


def test_host_ports_come_with_the_host_network() -> None:
    """A grant with host namespaces cannot name host ports, because the first format has no field for them."""
    with pytest.raises(grant.GrantError, match="hostPorts"):
        dataclasses.replace(GRANT, host_ports=True).encode()


def test_the_order_and_number_of_items_make_no_other_line() -> None:
    """Two grants that allow the same have the same line."""
    shuffled = dataclasses.replace(GRANT, capabilities=("SYS_PTRACE", "NET_ADMIN", "NET_ADMIN"), images=("b:2", "a:1"))
    assert shuffled.encode() == LINE


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-",
        "*",
        "a b",
        "a|b",
        "a\nb",
        "a\tb",
        "a\x00b",
        "a\x1bb",
        "a\x7fb",
        "a\x85b",
        "a\u00a0b",
        "a\u200bb",
        "a\u200eb",
        "a\u202eb",
        "a\u2028b",
        "a\u2066b",
        "a\ufeffb",
        "a\u3000b",
    ],
)
@pytest.mark.parametrize("field", ["namespace_uid", "type", "service_account", "capabilities", "images", "host_paths"])
def test_hostile_values_have_no_line(field: str, value: str) -> None:
    """In every field, a value is refused if it is empty, or if it separates, hides or reverses text."""
    hostile: object = value
    if field in {"capabilities", "images"}:
        hostile = ("ok", value)
    if field == "host_paths":
        if value in {"", "-", "*"}:
            return  # after `ro:` these values are no separators
        hostile = (grant.HostPathAccess("/" + value, read_only=True),)
    with pytest.raises(grant.GrantError, match="is empty or contains a separator"):
        dataclasses.replace(GRANT, **{field: hostile}).encode()


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (0, ""),
        (0, "-"),
        (1, ""),
        (2, "2026-11-22T16:00:00+00:00"),
        (2, "2026-11-22T16:00:00.0Z"),
        (2, "2026-02-30T00:00:00Z"),
        (2, "2026-11-22t16:00:00z"),
        (2, "٢٠٢٦-11-22T16:00:00Z"),
        (2, ""),
        (3, "net debug"),
        (3, "*"),
        (4, "network"),
        (4, "PID Network"),
        (4, "Network  PID"),
        (4, "Network Network"),
        (5, "True"),
        (5, ""),
        (6, "Baseline"),
        (6, ""),
        (7, ""),
        (7, "- -"),
        (7, "SYS_PTRACE NET_ADMIN"),
        (7, " NET_ADMIN"),
        (8, "/proc"),
        (8, "rx:/proc"),
        (8, ""),
        (8, "ro:/proc\trw:/x"),
        (9, ""),
        (9, "b:2 a:1"),
        (9, "a:1 *"),
        (9, "a:1 "),
    ],
)
def test_a_line_that_encode_did_not_write_is_no_grant(field: int, text: str) -> None:
    """Any other spelling of a field is refused, because two readers could interpret it differently."""
    fields = LINE.split("|")
    fields[field] = text
    with pytest.raises(grant.GrantError):
        grant.Grant.decode("|".join(fields))


@pytest.mark.parametrize("line", ["", "|" * 9, "|" * 10, LINE + "|", "|" + LINE, LINE.rsplit("|", 1)[0], LINE + "\n"])
def test_a_line_with_another_count_of_fields_is_no_grant(line: str) -> None:
    """A grant has ten or twelve fields, not nine or eleven, and nothing after them."""
    with pytest.raises(grant.GrantError):
        grant.Grant.decode(line)


@pytest.mark.parametrize(
    "moment",
    [
        grant.ENDLESS,
        datetime.datetime(1, 1, 1, tzinfo=datetime.UTC),
        datetime.datetime(2026, 11, 22, 16, tzinfo=datetime.UTC),
    ],
)
def test_times_are_twenty_characters(moment: datetime.datetime) -> None:
    """Every moment has the same width, so comparing the texts compares the times. parse_time returns the moment."""
    assert len(grant.format_time(moment)) == 20
    assert moment == grant.parse_time(grant.format_time(moment))


def test_a_time_in_another_zone_is_written_in_utc() -> None:
    """Half past midnight on New Year's Day in Berlin is still the old year in UTC."""
    berlin = datetime.timezone(datetime.timedelta(hours=1))
    assert grant.format_time(datetime.datetime(2027, 1, 1, 0, 30, tzinfo=berlin)) == "2026-12-31T23:30:00Z"
