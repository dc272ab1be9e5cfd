"""Pages that are written by hand, except for the part between two marks."""

import pathlib
from typing import Final

ROOT: Final = pathlib.Path(__file__).parent.parent
_START: Final = "<!-- generated -->\n"
_END: Final = "<!-- end of generated -->\n"


def with_generated(page: pathlib.Path, text: str) -> str:
    """Return the page with the text between its marks. Raise ValueError unless the page has each mark once."""
    before, rest = page.read_text().split(_START)
    _, after = rest.split(_END)
    return f"{before}{_START}\n{text}\n{_END}{after}"
