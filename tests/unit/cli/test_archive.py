"""The archive of reports: whatever is changed, removed or inserted is found."""

import hashlib
import json
import pathlib
from collections.abc import Callable

import pytest

from hostnetwork_operator.cli import archive, errors
from tests.unit.decide.test_trend import a_report, an_exception

Change = Callable[[pathlib.Path], None]


def text(days: float, *names: str, cluster: str | None = "uid-of-kube-system") -> str:
    report = a_report(days, *(an_exception(name) for name in names))
    report["cluster"]["uid"] = cluster
    return json.dumps(report, sort_keys=True, indent=2) + "\n"


@pytest.fixture
def three_days(tmp_path: pathlib.Path) -> pathlib.Path:
    """An archive with a report of each of three days."""
    directory = tmp_path / "archive"
    for day in range(3):
        archive.append(directory, text(day, *"abc"[: day + 1]))
    return directory


def test_an_archive_is_intact_and_has_the_trend(three_days: pathlib.Path) -> None:
    found = archive.verify(three_days)
    assert (len(found.lines), found.broken, found.not_compared) == (3, (), ())
    assert [point.opened for point in archive.points(three_days)] == [(), ("shop/b",), ("shop/c",)]
    assert found.head == hashlib.sha256((three_days / "manifest.jsonl").read_bytes().splitlines()[-1]).hexdigest()


def test_the_files_can_be_checked_by_hand(three_days: pathlib.Path) -> None:
    """`sha256sum FILE` gives what the line has."""
    for line in (three_days / "manifest.jsonl").read_text().splitlines():
        values = json.loads(line)
        assert hashlib.sha256((three_days / values["file"]).read_bytes()).hexdigest() == values["sha256"]


def _edit(line: int, old: str, new: str) -> Change:
    def change(directory: pathlib.Path) -> None:
        path = directory / "manifest.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        assert old in lines[line]
        lines[line] = lines[line].replace(old, new)
        path.write_text("".join(lines))

    return change


def _without(*lines: int) -> Change:
    def change(directory: pathlib.Path) -> None:
        path = directory / "manifest.jsonl"
        kept = [each for number, each in enumerate(path.read_text().splitlines(keepends=True)) if number not in lines]
        path.write_text("".join(kept))

    return change


def _swapped(directory: pathlib.Path) -> None:
    path = directory / "manifest.jsonl"
    first, second, third = path.read_text().splitlines(keepends=True)
    path.write_text(first + third + second)


def _reports(directory: pathlib.Path) -> list[pathlib.Path]:
    return sorted(directory.glob("report-*.json"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda directory: _reports(directory)[1].write_text("{}"), "is not the report that was added"),
        (lambda directory: _reports(directory)[1].unlink(), "is missing"),
        (lambda directory: _reports(directory)[2].rename(_reports(directory)[0]), "is missing"),
        (lambda directory: (directory / "report-x.json").write_text("{}"), "report-x.json is in no line"),
        (_edit(1, '"inForce": 2', '"inForce": 1'), "line 3 of manifest.jsonl does not follow"),
        (_edit(2, '"inForce": 3', '"inForce": 1'), "line 3 of manifest.jsonl does not say what"),
        (_edit(1, "{", "{ "), "line 2 of manifest.jsonl is no line"),
        (_edit(1, "report-", "../report-"), "line 2 of manifest.jsonl is no line"),
        (_edit(1, '"number": 2', '"number": ' + "9" * 5000), "line 2 of manifest.jsonl is no line"),
        (_edit(1, "{", "[" * 100_000), "line 2 of manifest.jsonl is no line"),
        (_without(1), "line 2 of manifest.jsonl does not follow"),
        (_without(0), "line 1 of manifest.jsonl does not follow"),
        (_without(2), "is in no line of manifest.jsonl"),
        (_swapped, "line 2 of manifest.jsonl does not follow"),
        (lambda directory: (directory / "manifest.jsonl").open("a").write("{"), "line 4 of manifest.jsonl has no end"),
    ],
)  # fmt: skip
def test_what_is_changed_is_found(three_days: pathlib.Path, change: Change, said: str) -> None:
    change(three_days)
    found = archive.verify(three_days)
    assert any(said in sentence for sentence in found.broken), found.broken


def test_an_archive_that_is_cut_or_written_anew_differs_from_a_head_that_was_kept(three_days: pathlib.Path) -> None:
    head = archive.verify(three_days).head
    archive.append(three_days, text(3))
    assert archive.verify(three_days, head).broken == ()  # it has grown since
    _without(2, 3)(three_days)
    for path in _reports(three_days)[2:]:
        path.unlink()
    assert archive.verify(three_days).broken == ()
    (said,) = archive.verify(three_days, head).broken
    assert head in said


def test_an_append_that_was_interrupted_is_completed_or_forgotten(three_days: pathlib.Path) -> None:
    last = _reports(three_days)[-1]
    last.rename(three_days / ".incoming")  # the process ended before the report got its name
    assert archive.verify(three_days).broken == ()
    archive.append(three_days, text(3, "d"))
    assert last.exists()
    (three_days / ".incoming").write_text("half of a rep")  # ended before the line was written
    with (three_days / "manifest.jsonl").open("a") as manifest:
        manifest.write('{"cluster": ')  # ended within the line
    archive.append(three_days, text(4, "d"))
    assert (archive.verify(three_days).broken, len(archive.points(three_days))) == ((), 5)
    assert not (three_days / ".incoming").exists()


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (text(5, cluster="another"), "another cluster"),
        (text(5, cluster=None), "uid of the namespace kube-system"),
        (text(2), "of this time or a later one"),
        (text(0.5), "of this time or a later one"),
    ],
)
def test_a_report_that_does_not_continue_the_archive_is_refused(
    three_days: pathlib.Path, report: str, said: str
) -> None:
    before = (three_days / "manifest.jsonl").read_bytes()
    with pytest.raises(errors.CommandError, match=said):
        archive.append(three_days, report)
    assert (three_days / "manifest.jsonl").read_bytes() == before


def test_nothing_is_added_to_an_archive_that_is_broken(three_days: pathlib.Path) -> None:
    _edit(1, '"inForce": 2', '"inForce": 1')(three_days)
    with pytest.raises(errors.CommandError, match="does not follow"):
        archive.append(three_days, text(5))
    with pytest.raises(errors.CommandError, match="does not follow"):
        archive.points(three_days)


def test_where_there_is_no_archive_the_error_says_so(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.CommandError, match=r"has no manifest\.jsonl"):
        archive.verify(tmp_path)


def test_a_report_of_another_form_is_checked_by_its_digest_alone(three_days: pathlib.Path) -> None:
    """A later version of the command may have other fields. The report after that one has nothing to compare with."""
    report = json.loads(text(3, "d"))
    line = archive.append(three_days, text(3, "d"))
    del report["workloads"]
    content = json.dumps(report).encode()
    path = three_days / "manifest.jsonl"
    *lines, last = path.read_text().splitlines()
    last = last.replace(line.sha256, hashlib.sha256(content).hexdigest())
    path.write_text("\n".join([*lines, last]) + "\n")
    _reports(three_days)[-1].write_bytes(content)
    found = archive.verify(three_days)
    assert (found.broken, found.not_compared) == ((), (line.file,))
