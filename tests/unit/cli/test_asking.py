"""Questions: only yes is yes, and nobody is asked who is not there."""

import io
import sys

import click
import pytest

from hostnetwork_operator.cli import asking


class _Terminal(io.TextIOWrapper):
    """A stdin or stderr that is a terminal, with these bytes to read."""

    def __init__(self, typed: bytes = b"") -> None:
        super().__init__(io.BytesIO(typed), encoding="utf-8")

    def isatty(self) -> bool:
        return True


def typing(typed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", _Terminal(typed))


@pytest.mark.parametrize(
    ("typed", "agreed"), [("y", True), ("YES ", True), ("", False), ("n", False), ("yy", False), ("ja", False)]
)
def test_only_yes_is_yes(typed: str, monkeypatch: pytest.MonkeyPatch, *, agreed: bool) -> None:
    typing(f"{typed}\n".encode(), monkeypatch)
    assert asking.agreed("Create the exception?") is agreed


def test_what_is_no_text_is_no(monkeypatch: pytest.MonkeyPatch) -> None:
    typing(b"\xff\n", monkeypatch)
    assert not asking.agreed("Create the exception?")


def test_the_end_of_the_input_ends_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Ctrl-D does at a terminal."""
    typing(b"", monkeypatch)
    with pytest.raises(click.Abort):
        asking.agreed("Create the exception?")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "Create the exception? [y/N] \nNothing was written.\n")


def test_a_text_is_asked_only_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty answer is no answer, and without a terminal nobody is asked."""
    monkeypatch.setattr(sys, "stderr", _Terminal())
    typing(b" team-sre \n\n", monkeypatch)
    assert asking.text("--owner", "who is responsible") == "team-sre"
    with pytest.raises(click.UsageError, match="--owner is missing: who is responsible"):
        asking.text("--owner", "who is responsible")
    monkeypatch.setattr(sys, "stdin", io.StringIO("team-sre\n"))
    with pytest.raises(click.UsageError, match="--owner is missing"):
        asking.text("--owner", "who is responsible")
