"""All decision records have one form: status, date, supersession, then context, decision and consequences."""

import datetime
import pathlib
import re

import pytest

from tests.docs import markdown

DIRECTORY = markdown.ROOT / "docs" / "adr"
RECORDS = sorted(DIRECTORY.glob("[0-9]*.md"))
MOST_WORDS = 450  # without tables; half a page to a page
_HEAD = re.compile(
    r"# (?P<number>\d{4}): (?P<title>.+)\n\n"
    r"- Status: (?P<status>Accepted|Accepted, superseded in part|Superseded)\n"
    r"- Date: (?P<date>\d{4}-\d\d-\d\d)\n"
    r"(?:- Supersedes(?: in part)?: (?P<supersedes>.+)\n)?"
    r"(?:- Superseded(?: in part)? by: (?P<by>.+)\n)?"
    r"\n## Context\n"
)
_LINK = re.compile(r"\[(\d{4})\]")


def head(record: pathlib.Path) -> dict[str, str]:
    """Return the parts of a record's head, '' for a line that is absent."""
    match = _HEAD.match(record.read_text())
    assert match, f"{record.name} does not begin with number, title, status, date and Context"
    return {name: value or "" for name, value in match.groupdict().items()}


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name[:4])
def test_a_record_has_the_form(record: pathlib.Path) -> None:
    """A record has the number of its file name, a valid date, three sections and at most a page of text."""
    parts = head(record)
    assert parts["number"] == record.name[:4]
    assert datetime.date.fromisoformat(parts["date"])
    assert ("superseded" in parts["status"].lower()) == bool(parts["by"])
    text = record.read_text()
    assert re.findall(r"^#+ (.*)", text, re.MULTILINE)[1:] == ["Context", "Decision", "Consequences"]
    prose = "\n".join(line for line in text.splitlines() if not line.startswith("|"))
    assert len(prose.split()) <= MOST_WORDS


def test_both_records_say_what_supersedes_what() -> None:
    """If one record supersedes another, each names the other, and the superseding record is the later one."""
    supersedes = {(record.name[:4], other) for record in RECORDS for other in _LINK.findall(head(record)["supersedes"])}
    superseded = {(other, record.name[:4]) for record in RECORDS for other in _LINK.findall(head(record)["by"])}
    assert supersedes == superseded
    assert [pair for pair in supersedes if pair[0] <= pair[1]] == []


def test_the_index_has_every_record_and_no_other() -> None:
    """docs/adr/README.md lists each record in order, with the record's title, date and status."""
    expected = []
    for record in RECORDS:
        parts = head(record)
        number = f"[{parts['number']}]({record.name})"
        expected.append([number, parts["title"], parts["date"], parts["status"]])
    rows = markdown.table("records", DIRECTORY / "README.md")
    assert expected == [[cell.strip("| ") for cell in row] for row in rows]


def test_no_number_is_used_twice() -> None:
    """A number means the same record in every citation."""
    numbers = [record.name[:4] for record in RECORDS]
    assert sorted(set(numbers)) == numbers
