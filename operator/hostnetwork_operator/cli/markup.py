"""HTML from values: every text and every attribute passes through one function that makes it harmless.

A name, an owner or a reason may be a script, a tag, or characters that hide or reverse a line. Markup is a type of its
own, so a text cannot become a tag by accident.
"""

import functools
import html
import re
from collections.abc import Iterable
from typing import Final, TypeAlias

from hostnetwork_operator.api import plaintext

_VOID: Final = frozenset({"col", "meta"})
_WHITE: Final = re.compile(r"\s+")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


NOTHING: Final = Markup()
Child: TypeAlias = "str | Iterable[Child]"


def text(value: str) -> Markup:
    """Return a text as HTML: one line, without characters that move the cursor, hide text or reverse its direction.

    A space at an end stays, because another element may follow.
    """
    line = _WHITE.sub(" ", value)
    if not line.isprintable():
        line = _WHITE.sub(" ", plaintext.of(line))
    return Markup(html.escape(line))


def verbatim(value: str) -> Markup:
    """Return an ASCII text as HTML, with its line ends: for JSON, in which everything else is escaped already."""
    if not value.isascii():
        raise ValueError("verbatim text must be ASCII")
    return Markup(html.escape(value))


def element(tag: str, *children: Child, **attributes: str | bool | None) -> Markup:
    """Return an element. Of an attribute's name, `_` at the end is left out and another `_` becomes `-`.

    An attribute that is True has no value. An attribute that is False or None is left out.
    """
    written = "".join([_attribute(name, value) for name, value in attributes.items()])
    if tag in _VOID:
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{join(children)}</{tag}>")


def join(children: Iterable[Child]) -> Markup:
    """Return the children one after the other, each text made harmless."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, str):
            parts.append(text(child))
        else:
            parts.append(join(child))
    return Markup("".join(parts))


@functools.lru_cache(maxsize=1024)  # the same few thousands of times in a long table
def _attribute(name: str, value: str | bool | None) -> str:  # noqa: FBT001 - as HTML has it
    key = name.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {key}" if value is True else f' {key}="{text(value)}"'
