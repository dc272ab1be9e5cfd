"""Each `kubectl hostnetwork` in the documents is a command that exists, with flags that it has."""

import contextlib
import io
import re
import shlex
from collections.abc import Iterator

import click
import pytest

from hostnetwork_operator.cli import main
from tests.docs import markdown

_BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_END = frozenset({">", "|", "||", "&&", ";", "2>&1"})  # of a command in a shell


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words after `kubectl hostnetwork` of each command in a block of code."""
    for block in _BLOCK.findall(text):
        for line in map(str.strip, block.replace("\\\n", " ").splitlines()):
            words = shlex.split(line, comments=True) if line.startswith("kubectl hostnetwork ") else []
            end = next((number for number, word in enumerate(words) if word in _END), len(words))
            if words:
                yield words[2:end]


FOUND = [
    pytest.param(words, id=f"{path.name}: {' '.join(words)[:60]}")
    for path in sorted([markdown.ROOT / "README.md", *(markdown.ROOT / "docs").rglob("*.md")])
    for words in commands(path.read_text())
]


@pytest.mark.parametrize("words", FOUND)
def test_a_command_of_the_documents_exists(words: list[str]) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(click.exceptions.Exit):
        group = main.root.make_context("kubectl hostnetwork", list(words))
        name, command, rest = main.root.resolve_command(group, [*group._protected_args, *group.args])
        assert command is not None, words
        command.make_context(name, rest, parent=group)


def test_there_are_such_commands() -> None:
    verbs = {words.values[0][0] for words in FOUND}  # type: ignore[union-attr, index]
    assert verbs >= set(main.VERBS)
