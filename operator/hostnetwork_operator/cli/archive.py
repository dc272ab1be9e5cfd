"""An archive of reports: a directory with one file per report, and a manifest that chains them.

Each line of `manifest.jsonl` has the SHA-256 of its report and that of the line before. So nobody can change, remove or
insert a report without changing every later line. The SHA-256 of the last line is the head. Whoever keeps a head
elsewhere can prove that nobody has rewritten the archive up to there. The chain alone does not prove that: whoever may
write the directory may write all of it anew.
"""

import contextlib
import dataclasses
import datetime
import fcntl
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hostnetwork_operator.cli import errors
from hostnetwork_operator.decide import trend

MANIFEST: Final = "manifest.jsonl"
_START: Final = hashlib.sha256(b"").hexdigest()  # what the first line has for the line before
_INCOMING: Final = ".incoming"
_LOCK: Final = ".lock"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the manifest. `digest` is the SHA-256 of its bytes without the line end.

    `cluster` is the uid of the namespace kube-system of the cluster that the report is about.
    """

    number: int
    file: str
    sha256: str
    previous: str
    cluster: str
    point: trend.Point
    digest: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What the check of an archive found: its lines that are intact, and in `broken` a sentence for each fault.

    `head` is the SHA-256 of the last intact line. `not_compared` are reports of which only the SHA-256 was compared:
    they, or the reports before them, are missing or have a form that this version of the command does not know.
    """

    lines: tuple[Line, ...]
    broken: tuple[str, ...]
    not_compared: tuple[str, ...]

    @property
    def head(self) -> str:
        return self.lines[-1].digest if self.lines else _START


def append(directory: pathlib.Path, text: str) -> Line:
    """Add a report, given as its canonical JSON, and return its line.

    The report is first written beside the archive, then the line is added, and then the report gets its name. If the
    process ends in between, the next call completes or forgets the report.

    Raise CommandError if the manifest is broken, is about another cluster or has a later report, and OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        _forget_unfinished(directory / MANIFEST)
        lines, broken = _lines(directory)
        if broken:
            raise errors.CommandError(f"error: {directory}: {broken[0]}; see: kubectl hostnetwork report --verify DIR")
        _complete(directory, lines)
        report = json.loads(text)
        line = _line(lines, report, text, _last_report(directory, lines))
        incoming = directory / _INCOMING
        _write(incoming, text.encode())
        with (directory / MANIFEST).open("ab") as manifest:
            manifest.write(_encoded(line) + b"\n")
            manifest.flush()
            os.fsync(manifest.fileno())
        incoming.rename(directory / line.file)
        _sync(directory)
    return line


def points(directory: pathlib.Path) -> tuple[trend.Point, ...]:
    """Return what the reports of an archive add to the trend, in their order. Raise CommandError for a broken one."""
    lines, broken = _lines(directory)
    if broken:
        raise errors.CommandError(f"error: {directory}: {broken[0]}")
    return tuple(line.point for line in lines)


def verify(directory: pathlib.Path, head: str | None = None) -> Verification:
    """Check every line and every report of an archive. With `head`, also check that the archive has that line.

    Raise CommandError if there is no archive.
    """
    if not (directory / MANIFEST).is_file():
        raise errors.CommandError(f"error: {directory} has no {MANIFEST}; name a directory of report --append")
    lines, broken = _lines(directory)
    not_compared: list[str] = []
    before: Mapping[str, Any] | None = None
    comparable = True  # whether `before` is the report with which this one was compared when it was added
    for line in lines:
        content = _content(directory, line)
        if content is None:
            broken.append(f"{line.file} is missing, or is not the report that was added: its SHA-256 differs")
            comparable = False
            continue
        try:
            report = json.loads(content)
            same = trend.point(report, before) == line.point and report["cluster"]["uid"] == line.cluster
        except (ValueError, KeyError, TypeError):
            not_compared.append(line.file)
            comparable = False
            continue
        if not comparable:
            not_compared.append(line.file)
        elif not same:
            broken.append(f"line {line.number} of {MANIFEST} does not say what {line.file} says")
        if not line.point.blind:
            before, comparable = report, True
    named = {line.file for line in lines}
    strangers = sorted(path.name for path in directory.glob("*.json") if path.name not in named)
    broken += [f"{name} is in no line of {MANIFEST}" for name in strangers]
    if head is not None and head not in {line.digest for line in lines}:
        broken.append(f"no line has the SHA-256 {head}, so the archive is another one, or was written anew or cut")
    return Verification(tuple(lines), tuple(broken), tuple(not_compared))


def _lines(directory: pathlib.Path) -> tuple[list[Line], list[str]]:
    """Return the lines up to the first that is broken, and what is wrong with that one."""
    path = directory / MANIFEST
    content = path.read_bytes() if path.exists() else b""
    found: list[Line] = []
    *whole, rest = content.split(b"\n")
    for number, written in enumerate(whole, 1):
        line = _parsed(written)
        if line is None:
            return found, [f"line {number} of {MANIFEST} is no line of an archive"]
        expected = found[-1].digest if found else _START
        if (line.number, line.previous) != (number, expected):
            return found, [f"line {number} of {MANIFEST} does not follow the line before"]
        if found and not (line.cluster == found[0].cluster and line.point.time > found[-1].point.time):
            return found, [f"line {number} of {MANIFEST} is about another cluster, or about an earlier time"]
        found.append(line)
    # An append that was interrupted leaves a part of a line.
    return found, [f"line {len(whole) + 1} of {MANIFEST} has no end"] if rest else []


def _parsed(written: bytes) -> Line | None:
    try:
        values = json.loads(written)
        point = trend.of_document(datetime.datetime.fromisoformat(values["generated"]), values["trend"])
        line = Line(
            int(values["number"]),
            str(values["file"]),
            str(values["sha256"]),
            str(values["previous"]),
            str(values["cluster"]),
            point,
            hashlib.sha256(written).hexdigest(),
        )
        # A name with a path would make the check read another file.
        return line if line.file == _name(point.time) and _encoded(line) == written else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _line(lines: list[Line], report: Mapping[str, Any], text: str, before: Mapping[str, Any] | None) -> Line:
    point = trend.point(report, before)
    cluster = report["cluster"]["uid"]
    if cluster is None:
        raise errors.CommandError(
            "error: the uid of the namespace kube-system could not be read, so nobody can tell later which cluster the"
            " report is about; ask for the right to get that Namespace"
        )
    if lines and cluster != lines[0].cluster:
        raise errors.CommandError("error: the archive is about another cluster; use a directory for each cluster")
    if lines and point.time <= lines[-1].point.time:
        raise errors.CommandError("error: the archive has a report of this time or a later one; try again later")
    previous = lines[-1].digest if lines else _START
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    line = Line(len(lines) + 1, _name(point.time), sha256, previous, str(cluster), point, "")
    return dataclasses.replace(line, digest=hashlib.sha256(_encoded(line)).hexdigest())


def _encoded(line: Line) -> bytes:
    """Return the bytes of a line, without the line end."""
    values = {
        "cluster": line.cluster,
        "file": line.file,
        "generated": line.point.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "number": line.number,
        "previous": line.previous,
        "sha256": line.sha256,
        "trend": trend.document(line.point),
    }
    return json.dumps(values, sort_keys=True).encode()


def _name(time: datetime.datetime) -> str:
    return f"report-{time:%Y%m%dT%H%M%SZ}.json"


def _content(directory: pathlib.Path, line: Line) -> bytes | None:
    """Return the report of a line, None if there is none with its SHA-256.

    An append that was interrupted at its end leaves the report under another name.
    """
    for name in (line.file, _INCOMING):
        try:
            content = (directory / name).read_bytes()
        except OSError:
            continue
        if hashlib.sha256(content).hexdigest() == line.sha256:
            return content
    return None


def _last_report(directory: pathlib.Path, lines: list[Line]) -> Mapping[str, Any] | None:
    """Return the last report that is not blind. Raise CommandError if it is not the report that was added."""
    line = next((line for line in reversed(lines) if not line.point.blind), None)
    if line is None:
        return None
    content = _content(directory, line)
    if content is None:
        raise errors.CommandError(f"error: {directory / line.file} is missing, or is not the report that was added")
    report: Mapping[str, Any] = json.loads(content)
    return report


def _forget_unfinished(manifest: pathlib.Path) -> None:
    """Remove a last line without an end, which an interrupted append leaves. Its report never got its name."""
    if manifest.exists():
        content = manifest.read_bytes()
        if not content.endswith(b"\n"):
            os.truncate(manifest, content.rfind(b"\n") + 1)


def _complete(directory: pathlib.Path, lines: list[Line]) -> None:
    """Give a report its name that an interrupted append has added to the manifest, or forget the report."""
    incoming = directory / _INCOMING
    if not incoming.exists():
        return
    if lines and hashlib.sha256(incoming.read_bytes()).hexdigest() == lines[-1].sha256:
        incoming.rename(directory / lines[-1].file)
    else:
        incoming.unlink()


@contextlib.contextmanager
def _locked(directory: pathlib.Path) -> Iterator[None]:
    """Let nobody else append meanwhile."""
    with (directory / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: pathlib.Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: pathlib.Path) -> None:
    """Make the new name of a file survive a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
