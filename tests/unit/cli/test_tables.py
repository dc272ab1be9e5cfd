"""Tables fit a terminal, are whole in a pipe, and show hostile text as text."""

import datetime
import json

import pytest
import yaml

from hostnetwork_operator.api import labels
from hostnetwork_operator.cli import tables
from tests.unit.builders import NOW, at

# What a tenant may write into the name of an image or the owner of an exception, and people paste into terminals.
HOSTILE = {
    "an escape": "\x1b[2Jteam",
    "a bell and a carriage return": "team\r\x07",
    "a direction mark": "team\u202eevil",
    "a zero-width joiner": "te\u200dam",
    "a line break": "te\nam",
    "a line separator": "te\u2028am",
    "a C1 control": "\x9b31mteam",
    "half of a surrogate pair": "te\ud800am",
}
TABLE = tables.Table(
    ("NAMESPACE", "WORKLOAD", "OWNER", "WHY"),
    (
        ("kube-system", "ds/kube-proxy", "", "because " * 30),
        ("payments", "deploy/legacy-proxy-with-a-long-name", "", "x"),
    ),
    frozenset({"WHY"}),
)


def test_a_table_in_a_pipe_is_whole() -> None:
    assert TABLE.lines() == [
        "NAMESPACE    WORKLOAD                              OWNER",
        "kube-system  ds/kube-proxy                         -",
        "payments     deploy/legacy-proxy-with-a-long-name  -",
    ]
    assert ("because " * 30).strip() in TABLE.lines(wide=True)[1]


@pytest.mark.parametrize("width", range(20, 120, 7))
def test_a_table_fits_the_terminal(width: int) -> None:
    """Columns without content go first, then the widest column is cut, and each cell keeps a few characters."""
    lines = TABLE.lines(wide=True, width=width)
    assert max(map(len, lines)) <= max(width, 34)
    assert "OWNER" not in lines[0]
    assert len(lines) == 3


def test_names_are_whole_as_long_as_something_else_can_be_cut_or_left_out() -> None:
    """People paste names. What has no room is named."""
    table = tables.Table(
        ("NAMESPACE", "WORKLOAD", "CLASS", "OWNER"),
        (("kube-system", "ds/kube-proxy-with-a-long-name", "Infrastructure??", "team-platform-network"),),
        flexible=("OWNER", "CLASS"),
    )
    expected = {
        90: "kube-system  ds/kube-proxy-with-a-long-name  Infrastructure??  team-platform-network",
        75: "kube-system  ds/kube-proxy-with-a-long-name  Infrastruct…??  team-platform…",
        60: "kube-system  ds/kube-proxy-with-a-long-name  Infrastructu…??",
        58: "kube-system  ds/kube-proxy-with-a-long-name  Infrastruc…??",
        50: "kube-system  ds/kube-proxy-with-a-long-name",
        30: "kube-system  ds/kube-proxy-wi…",
    }
    assert {width: table.lines(width=width)[1] for width in expected} == expected
    assert [table.left_out(width) for width in (None, 75, 60, 50)] == [(), (), ("OWNER",), ("CLASS", "OWNER")]


def test_letters_that_take_two_columns_keep_the_table_straight() -> None:
    """An owner may be written in any script."""
    table = tables.Table(("OWNER", "PODS"), (("平台团队网络", "1"), ("e\u0301quipe", "2")), flexible=("OWNER",))
    assert table.lines() == ["OWNER         PODS", "平台团队网络  1", "e\u0301quipe        2"]
    assert table.lines(width=17)[1] == "平台团队网…  1"
    wide = tables.Table(("OWNER", "PODS"), (("平" * 10_000, "1"),), flexible=("OWNER",))
    assert wide.lines(width=80)[1].count("平") == 36


@pytest.mark.parametrize("rows", [(), (("", ""),), (("a", ""),), (("", "b" * 200),)])
def test_a_table_without_content_has_its_columns(rows: tuple[tuple[str, ...], ...]) -> None:
    for prose in (True, False):
        lines = tables.Table(("NAMESPACE", "REASON"), rows, prose=prose).lines(width=12)
        assert len(lines) >= 1 + len(rows)


def test_prose_is_wrapped_instead_of_cut() -> None:
    """Each word of the reason is there, below the first line of its row."""
    table = tables.Table(
        ("NAMESPACE", "REASON"), (("payments", "the pod must not share the host network"),), prose=True
    )
    assert table.lines(width=40) == [
        "NAMESPACE  REASON",
        "payments   the pod must not share the",
        "           host network",
    ]
    assert table.lines()[1] == "payments   the pod must not share the host network"


def test_a_tree_is_wrapped_and_its_commands_are_not() -> None:
    branches = (
        ("the namespace has no exception", ["one two three four five"]),
        ("put right", ["kubectl do it now please"]),
    )
    assert tables.tree(branches, 22) == [
        "├─ the namespace has",
        "│  │  no exception",
        "│  └─ one two three",
        "│     four five",
        "└─ put right",
        "   └─ kubectl do it now please",
    ]


def test_without_headers_an_empty_table_is_nothing() -> None:
    empty = tables.Table(("NAMESPACE",), ())
    assert (empty.lines(headers=False), empty.lines()) == ([], ["NAMESPACE"])
    assert TABLE.lines(headers=False)[0].startswith("kube-system")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_moves_no_cursor(text: str) -> None:
    """A table has one line per row and only printable characters. JSON and YAML keep the text, escaped."""
    (line,) = tables.Table(("OWNER",), ((text,),)).lines(headers=False)
    assert line.isprintable()
    result = {"owner": text}
    for rendered, read in ((tables.as_json(result), json.loads), (tables.as_yaml(result), yaml.safe_load)):
        assert rendered.replace("\n", "").isprintable()
        assert read(rendered) == result


def test_json_and_yaml_have_the_same_values() -> None:
    """Also for the values of enums, which are texts to Python."""
    result = {"enforcement": labels.Enforcement.DENY, "level": None, "pods": 3}
    assert json.loads(tables.as_json(result)) == yaml.safe_load(tables.as_yaml(result))


def test_a_text_of_ten_thousand_characters_stays_in_its_cell() -> None:
    (line,) = tables.Table(("OWNER", "PODS"), (("x" * 10_000, "3"),)).lines(headers=False, width=80)
    assert len(line) <= 80
    assert line.endswith("3")


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        (datetime.timedelta(seconds=30), "in 30s"),
        (datetime.timedelta(hours=2, minutes=5, seconds=7), "in 2h5m"),
        (datetime.timedelta(days=3, hours=4), "in 3d4h"),
        (datetime.timedelta(days=-90), "90d ago"),
        (datetime.timedelta(0), "0s ago"),
    ],
)
def test_times_are_told_as_kubectl_tells_ages(delta: datetime.timedelta, expected: str) -> None:
    assert tables.until(NOW + delta, NOW) == expected


def test_a_time_is_written_as_kubernetes_writes_it() -> None:
    assert tables.moment(at(hours=1)) == "2026-11-22T13:00:00Z"
    assert (tables.moment(None), tables.until(None, NOW)) == (None, "")
