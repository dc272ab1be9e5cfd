"""Texts for a terminal contain no characters that break a line, hide text or reverse its direction."""

import pytest

from hostnetwork_operator.api import plaintext


@pytest.mark.parametrize(
    "odd", ["\n", "\r", "\t", "\x1b", "\x00", "\x85", "\u2028", "\u2029", "\u200b", "\u202e", "\u2066"]
)
def test_nothing_breaks_or_turns_a_line(odd: str) -> None:
    """Control and format characters, and line and paragraph separators, are removed."""
    assert plaintext.of(f"app{odd}:1") == "app:1"


@pytest.mark.parametrize("text", ["", "app:1", "привет", "日本語", "a b", "é", "🐳", "a\u00a0b"])
def test_everything_else_stays(text: str) -> None:
    """Letters of every script stay, and so do spaces of every width."""
    assert plaintext.of(text) == text
