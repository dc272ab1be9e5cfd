"""The admission policies that share text: policies/X becomes manifests/X.

A line `#include fragments/NAME.yaml` stands for that file of policies/fragments, word for word. A fragment is indented
as the policies need it, may be a part of an expression, and may include others. All other policies are written by hand
in manifests/.
"""

import pathlib
import re
from typing import Final

_ROOT: Final = pathlib.Path(__file__).parent.parent
SOURCES: Final = _ROOT / "policies"
FRAGMENTS: Final = SOURCES / "fragments"
_MANIFESTS: Final = _ROOT / "manifests"
_HEADER: Final = "# Generated from policies/"
_INCLUDE: Final = re.compile(r"(?m)^#include (\S+)\n")


def files() -> dict[pathlib.Path, str | None]:
    """Return each policy that is built from fragments; None for a generated policy without a source."""
    sources = sorted(path for path in SOURCES.rglob("*.yaml") if path.parent != FRAGMENTS)
    orphans = [path for path in _MANIFESTS.rglob("*.yaml") if path.read_text().startswith(_HEADER)]
    return dict.fromkeys(orphans) | {_MANIFESTS / path.relative_to(SOURCES): _spliced(path) for path in sources}


def _spliced(source: pathlib.Path) -> str:
    header = f"{_HEADER}{source.relative_to(SOURCES)} by `make generate`; do not edit.\n#\n"
    return header + _included(source.read_text())


def _included(text: str) -> str:
    """Return the text with each fragment in the place of its line. A fragment may include other fragments."""
    return _INCLUDE.sub(lambda match: _included((SOURCES / match[1]).read_text()), text)
