"""docs/reference/cli.md: what each verb of `kubectl hostnetwork` says with --help."""

import pathlib
from typing import Final

import click

from generate import pages
from hostnetwork_operator.cli import main

PAGE: Final = pages.ROOT / "docs" / "reference" / "cli.md"
_WIDTH: Final = 100


def files() -> dict[pathlib.Path, str]:
    """Return the page with its generated part for the present verbs."""
    return {PAGE: pages.with_generated(PAGE, _verbs())}


def _verbs() -> str:
    with click.Context(main.root, info_name="kubectl hostnetwork", **main.root.context_settings) as root:
        parts = []
        for verb in main.VERBS:
            command = main.root.get_command(root, verb)
            assert command is not None  # noqa: S101 - VERBS has the modules
            with click.Context(command, parent=root, info_name=verb, terminal_width=_WIDTH) as context:
                lines = (line.rstrip() for line in command.get_help(context).splitlines())
            parts.append(f"## {verb}\n\n```text\n" + "\n".join(lines) + "\n```\n")
    return "\n".join(parts)
