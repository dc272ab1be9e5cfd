"""Parts of the documentation that tests compare with the software: commands, tables, links."""

import pathlib
import re
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).parent.parent.parent
README = ROOT / "README.md"
EXCEPTIONS = ROOT / "docs" / "howto" / "exceptions.md"
HELD = ROOT / "docs" / "howto" / "held-namespaces.md"
REASONS = ROOT / "docs" / "reference" / "reasons.md"
LABELS = ROOT / "docs" / "reference" / "labels.md"
DOCUMENTS = (README, *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")), *sorted(ROOT.glob("docs/**/*.md")))
_BLOCK = re.compile(
    r"<!-- run: (?P<name>[\w-]+) -->\n```bash\n(?P<script>.*?)```\n(?:\n```text\n(?P<shown>.*?)```\n)?", re.DOTALL
)
_FILE = re.compile(r"<!-- file: (?P<path>\S+) -->\n```yaml\n(?P<text>.*?)```\n", re.DOTALL)
_METRICS = re.compile(r"<!-- metrics: (?P<name>[\w-]+) -->\n```text\n(?P<lines>.*?)```\n", re.DOTALL)
_TABLE = re.compile(r"<!-- table: (?P<name>[\w-]+) -->\n(?P<rows>(?:\|.*\n)+)")
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """Commands that a reader pastes, and the output that the page shows below them, '' for none."""

    name: str
    script: str
    shown: str


def blocks(document: pathlib.Path) -> list[Block]:
    """Return every block of the document that is marked with `<!-- run: name -->`, in order."""
    matches = _BLOCK.finditer(document.read_text())
    return [Block(match["name"], match["script"], match["shown"] or "") for match in matches]


def files(document: pathlib.Path) -> dict[str, str]:
    """Return path to text of each file that the document shows, marked with `<!-- file: path -->`."""
    return {match["path"]: match["text"] for match in _FILE.finditer(document.read_text())}


def metrics(document: pathlib.Path) -> dict[str, list[str]]:
    """Return the lines of each block that is marked with `<!-- metrics: name -->`."""
    return {match["name"]: match["lines"].splitlines() for match in _METRICS.finditer(document.read_text())}


def table(name: str, document: pathlib.Path | None = None) -> list[list[str]]:
    """Return the cells of the table that a document marks with `<!-- table: name -->`, without the table's head.

    Without a document, search all documents. Raise ValueError if there is no table of that name, or more than one.
    """
    documents = DOCUMENTS if document is None else (document,)
    (rows,) = (
        match["rows"] for page in documents for match in _TABLE.finditer(page.read_text()) if match["name"] == name
    )
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in rows.splitlines()[2:]]


def column(name: str, number: int = 0) -> list[str]:
    """Return the first code word in each cell of a column; every row must have one."""
    return [_CODE.findall(row[number])[0] for row in table(name)]


def anchors(document: pathlib.Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub generates them."""
    lines = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL).splitlines()
    headings = [line.lstrip("# ").lower() for line in lines if line.startswith("#")]
    return {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings}


def codes(cell: str) -> list[str]:
    return _CODE.findall(cell.strip("| "))
