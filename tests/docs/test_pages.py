"""The documents as a whole: the index names every page, every citation is valid, and the map names every module."""

import pathlib
import re

import pytest

from hostnetwork_operator.cli import main
from tests.docs import markdown

ROOT = markdown.ROOT
PACKAGE = ROOT / "operator" / "hostnetwork_operator"
INDEX = ROOT / "docs" / "README.md"
# Pages that name the other pages of a directory. The index names them.
INDEXES = (
    INDEX,
    ROOT / "docs" / "adr" / "README.md",
    ROOT / "docs" / "reference" / "findings" / "README.md",
    ROOT / "docs" / "howto" / "monitoring.md",
)
CITING = sorted(
    path
    for directory in ("operator", "manifests", "tests", "bench", "charts")
    for path in (ROOT / directory).rglob("*")
    if path.suffix in {".py", ".yaml", ".md", ".go"}
)
_CITATION = re.compile(r"\b(docs/[\w./-]+\.md)(?:#([\w-]+))?")
_RECORD = re.compile(r"\b(?:docs/adr/|ADR )(\d{4})\b")


def links(document: pathlib.Path) -> set[pathlib.Path]:
    """Return the files that a document links to."""
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
    return {(document.parent / target).resolve() for target in targets if not target.startswith("https://")}


def test_the_readme_can_be_read_at_one_sitting() -> None:
    """The README has at most 200 lines."""
    assert len(markdown.README.read_text().splitlines()) <= 200


def test_the_readme_links_the_index() -> None:
    """A reader of the README finds every other page."""
    assert INDEX in links(markdown.README)


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/**/*.md")), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_index_names_every_page(page: pathlib.Path) -> None:
    """docs/README.md links the page, or links the index of the page's directory, which links the page."""
    assert set(INDEXES) <= links(INDEX) | {INDEX}
    assert page in {INDEX}.union(*(links(index) for index in INDEXES))


def test_the_changelog_has_one_unreleased_section() -> None:
    """Only the newest version may be unreleased; sections and lines have the form of Keep a Changelog."""
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (.*)", text, re.MULTILINE)
    unreleased = [version for version in versions if "unreleased" in version.lower()]
    assert unreleased == versions[: len(unreleased)]
    assert len(unreleased) <= 1
    changes = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)", text, re.MULTILINE)) <= changes
    assert [line for line in text.splitlines() if len(line) > 130] == []


def test_every_citation_of_a_page_leads_to_a_section() -> None:
    """In code, manifests and tests, every cited page and record exists, and every anchor is a heading."""
    records = {path.name[:4] for path in (ROOT / "docs" / "adr").glob("0*.md")}
    wrong = []
    for path in CITING:
        text = path.read_text()
        for page, anchor in _CITATION.findall(text):
            target = ROOT / page
            if not target.exists() or (anchor and anchor not in markdown.anchors(target)):
                wrong.append(f"{path.relative_to(ROOT)}: {page}#{anchor}")
        wrong += [f"{path.relative_to(ROOT)}: {number}" for number in _RECORD.findall(text) if number not in records]
    assert wrong == []


def test_nothing_cites_a_document_that_is_not_here() -> None:
    """The contract is docs/explanation/architecture.md; no comment cites the page it was written from."""
    pattern = re.compile(r"\(design\b|\bdesign(?:\.md)?, (?:section|promise)|\bthe design\b")
    documents = [path for path in markdown.DOCUMENTS if path.name != "CHANGELOG.md"]
    citing = [path for path in [*CITING, *documents] if path != pathlib.Path(__file__)]
    assert [str(path.relative_to(ROOT)) for path in citing if pattern.search(path.read_text())] == []


@pytest.mark.parametrize("directory", ["api", "decide", "observe", "act", "control", "cli", "root"])
def test_the_map_names_every_module_and_no_other(directory: str) -> None:
    """The tables of docs/explanation/architecture.md list each module of the package once, in its directory.

    All verbs of the command are one row: docs/reference/cli.md lists them.
    """
    modules = PACKAGE if directory == "root" else PACKAGE / directory
    documented = [
        code for row in markdown.table(f"modules-{directory}") for code in markdown.codes(" | ".join(row[:2]))
    ]
    names = {path.name for path in modules.glob("*.py")} - {"__init__.py"}
    if directory == "cli":
        names = names - {f"{verb}.py" for verb in main.VERBS} | {"<verb>.py"}
    assert sorted(name for name in documented if name.endswith(".py")) == sorted(names)
