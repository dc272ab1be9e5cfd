"""Text for people that holds what somebody else has chosen: names of images, containers, volumes, capabilities."""

import unicodedata
from typing import Final

# Control and format characters, line and paragraph separators: they break a line, hide text or turn its direction.
_STRIPPED: Final = frozenset({"Cc", "Cf", "Zl", "Zp"})


def of(text: str) -> str:
    """Return the text without characters of the Unicode categories Cc, Cf, Zl and Zp."""
    if text.isprintable():
        return text
    return "".join(one for one in text if unicodedata.category(one) not in _STRIPPED)
