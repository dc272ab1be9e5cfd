"""Text for people that has parts from other users: the names of images, containers, volumes and capabilities."""

import unicodedata
from typing import Final

# Control and format characters, line and paragraph separators: they break a line, hide text or reverse its direction.
# Half of a surrogate pair has no form in UTF-8, so a text with one cannot be written at all.
_STRIPPED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def of(text: str) -> str:
    """Return the text without characters of the Unicode categories Cc, Cf, Cs, Zl and Zp."""
    if text.isprintable():
        return text
    return "".join(character for character in text if unicodedata.category(character) not in _STRIPPED)
