"""A report is one result in three forms: they have the same counts, the same bytes each time, and run nothing."""

import base64
import csv
import datetime
import functools
import hashlib
import html.parser
import io
import json
import pathlib
import re
import subprocess
from collections import Counter

import pytest

from hostnetwork_operator.cli import errors, report, report_csv, report_page
from hostnetwork_operator.decide import exhibits, trend
from tests.report_page import samples
from tests.unit.builders import NOW, at

SIZES = {"none": (0, 0), "thirty": (30, 7), "many": (3000, 60)}
# The caption of a table on the page begins with the first word, and its rows are those of the record.
CAPTIONS = {
    "Violations": "violation",
    "Namespaces": "namespace",
    "Workloads": "workload",
    "Exceptions": "exception",
    "Findings about exceptions": "finding",
    "Who may do what": "duty",
}


@functools.cache
def found(name: str) -> exhibits.AuditEvidence:
    number, namespaces = SIZES[name]
    return samples.many(number, namespaces) if number else samples.nothing()


@functools.cache
def rendered(name: str, form: str) -> str:
    return report.render(form, found(name), exhibits.canonical(found(name)))


class _Page(html.parser.HTMLParser):
    """Counts the rows of each table by its caption, and keeps the text of the verdicts and of the evidence."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: Counter[str] = Counter()
        self.results: list[str] = []
        self._caption, self._within, self._rows = "", "", 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        self._rows += tag == "tr"
        if tag == "table":
            self._caption, self._rows = "", -1  # one row has the heads

    def handle_data(self, data: str) -> None:
        if self._within == "caption":
            self._caption += data
        if self._within == "strong":
            self.results.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.rows[self._caption.partition(":")[0]] += self._rows
        self._within = ""


def page(name: str) -> _Page:
    parser = _Page()
    parser.feed(rendered(name, "html"))
    parser.close()
    return parser


def records(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


@pytest.mark.parametrize("name", ["none", "thirty"])
def test_every_form_has_the_same_counts(name: str) -> None:
    """No renderer filters, and none computes a result of its own. tests/report_page counts 3,000 workloads."""
    assert_same_counts(name)


def assert_same_counts(name: str) -> None:
    document = json.loads(rendered(name, "json"))
    rows = Counter(row["record"] for row in records(rendered(name, "csv")))
    shown = page(name)
    lists = {record: f"{record}s" for record in CAPTIONS.values()} | {"duty": "duties"}
    for caption, record in CAPTIONS.items():
        assert rows[record] == shown.rows[caption] == len(document[lists[record]]), record
    counted = ("namespaces", "workloads", "exceptions", "violations", "findings")
    assert {key: document["summary"][key] for key in counted} == {key: len(document[key]) for key in counted}
    results = [line["result"] for line in document["verdicts"]]
    assert results == shown.results == [r["result"] for r in records(rendered(name, "csv")) if r["record"] == "verdict"]


@pytest.mark.parametrize("form", ["html", "json", "csv"])
def test_the_same_evidence_has_the_same_bytes(form: str) -> None:
    again = samples.many(*SIZES["thirty"])
    assert report.render(form, again, exhibits.canonical(again)) == rendered("thirty", form)


@pytest.mark.parametrize("name", ["none", "thirty"])
def test_the_evidence_within_the_page_is_the_json(name: str, tmp_path: pathlib.Path) -> None:
    """The command on the page prints the digest that the page names, for the file as it was saved."""
    saved = tmp_path / "FILE.html"
    saved.write_text(rendered(name, "html"), encoding="utf-8")
    printed = subprocess.run(report_page.CHECK, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    digest = hashlib.sha256(rendered(name, "json").encode()).hexdigest()
    assert printed.stdout.strip() == digest
    assert rendered(name, "html").count(digest) == 2


def test_the_policy_of_the_page_allows_its_style_and_nothing_else() -> None:
    text = rendered("none", "html")
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    hashed = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{hashed}'; base-uri 'none'; form-action 'none'"
    assert text.index(f'<meta http-equiv="Content-Security-Policy" content="{policy}">') < text.index("<title>")
    assert not re.search(r"<script|<img|<link|<iframe|url\((?!#)|@import|\son[a-z]+=|\sstyle=", text)
    assert not re.search(r"https?://", text)


def test_a_page_says_what_was_not_looked_at_and_for_when_it_was_judged() -> None:
    text = report.render("html", samples.unseen(), exhibits.canonical(samples.unseen()))
    assert "Not looked at is not clean." in text
    assert "Judged for 2026-12-23T12:00:00Z" in text
    assert text.count("<strong>NOT DETERMINED</strong>") == 2
    assert "Judged for" not in rendered("thirty", "html")
    assert (text.count("The exceptions could not be read."), "There is no exception." in text) == (2, False)


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_a_cell_is_no_formula(sign: str) -> None:
    """Also behind characters that a spreadsheet drops: spaces, tabs, line ends, marks without a width."""
    for before in ("", " ", "\t", "\r\n", "\u200b", "\ufeff", "\u202e"):
        assert report_csv.cell(f"{before}{sign}HYPERLINK(1)") == f"'{sign}HYPERLINK(1)"
    assert report_csv.cell(f"a{sign}b") == f"a{sign}b"
    assert (report_csv.cell(None), report_csv.cell(0), report_csv.cell(-1)) == ("", "0", "'-1")


def test_a_hostile_text_stays_one_cell() -> None:
    """Quotes, separators and line ends of a text do not begin another cell."""
    hostile = '=cmd|"/C calc"!A0\r\n",;\t=1+1,"\x1b[2J\u202e' + "x" * 10_000
    text = report.render("csv", samples.hostile([hostile]), exhibits.canonical(samples.hostile([hostile])))
    rows = records(text)
    assert len(rows) == len(text.splitlines()) - 1
    for row in rows:
        assert set(row) == set(report_csv.COLUMNS)
        assert not any(cell.startswith(report_csv._FORMULA) for cell in row.values())
    assert not {"\x1b", "\u202e", "\t"} & set(text)


def test_a_long_text_is_whole_in_every_form() -> None:
    long = "x" * 10_000
    evidence = samples.hostile([long])
    for form in ("html", "json", "csv"):
        assert long in report.render(form, evidence, exhibits.canonical(evidence))


def test_a_moment_must_not_be_in_the_past() -> None:
    """A script may have taken the time a moment before the command. The API server keeps no earlier state."""
    assert report._moment(None, NOW) == report._moment(at(seconds=-59), NOW) == NOW
    assert report._moment(at(days=31), NOW) == at(days=31)
    with pytest.raises(errors.CommandError, match="is in the past, and the API server keeps no past"):
        report._moment(at(seconds=-61), NOW)
    with pytest.raises(errors.CommandError, match="more than ten years away"):
        report._moment(NOW + datetime.timedelta(days=3662), NOW)


def test_a_file_is_written_whole_and_a_device_is_not_replaced(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("before")
    report._replace(target, b"after")
    assert (target.read_text(), [path.name for path in tmp_path.iterdir()]) == ("after", ["report.html"])
    report._replace(pathlib.Path("/dev/null"), b"after")
    assert pathlib.Path("/dev/null").is_char_device()
    with pytest.raises(FileNotFoundError):
        report._replace(tmp_path / "none" / "report.html", b"after")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_page_of_an_archive_shows_its_days() -> None:
    """A day without a report is blind, not zero. The last 31 days are drawn, and the others are counted."""
    points = [
        trend.Point(at(days=-number), 5, 2, 3, ("shop/a",), (), (40,), blind=False)
        for number in (40, *range(30, 2, -1), 0)
    ]
    history = report_page.History(trend.trend(points), 30, "5" * 64)
    text = report_page.render(found("thirty"), rendered("thirty", "json"), history)
    assert "30, on 41 days" in text
    assert "11, last " in text
    assert text.count("fill-blind") == 1 + 2  # once in the style
    assert "median 40s, longest 40s, of 30 exceptions" in text
    assert "5" * 64 in text
    assert "This report shows one moment." in rendered("thirty", "html")
