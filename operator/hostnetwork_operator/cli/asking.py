"""Questions to the person at the terminal, on stderr, so that stdout has only the result.

No question is asked inside an event loop: there, Ctrl-C would not end a wait for an answer.
"""

import sys
from typing import Final

import click

from hostnetwork_operator.cli import tables

_YES: Final = frozenset({"y", "yes"})
NOTHING_WRITTEN: Final = "Nothing was written."


def possible() -> bool:
    """Return whether a person can be asked: stdin and stderr are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def agreed(question: str) -> bool:
    """Ask, and return whether the answer is yes. Everything but `y` and `yes` is no. Raise click.Abort for Ctrl-C."""
    answer = _answer(f"{question} [y/N] ").strip().lower() in _YES
    if not answer:
        tables.say(NOTHING_WRITTEN)
    return answer


def text(flag: str, what: str) -> str:
    """Ask for the value of a flag that was not given. Raise UsageError if there is nobody to ask, or no answer."""
    answer = _answer(f"{what} ({flag}): ").strip() if possible() else ""
    if not answer:
        raise click.UsageError(f"{flag} is missing: {what}")
    return answer


def _answer(prompt: str) -> str:
    try:
        sys.stderr.write(prompt)
        sys.stderr.flush()
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        answer = ""
    except UnicodeDecodeError:
        answer = "\n"  # no answer that anything here understands
    if not answer:  # Ctrl-C or Ctrl-D
        sys.stderr.write("\n")
        tables.say(NOTHING_WRITTEN)
        raise click.Abort
    return answer
