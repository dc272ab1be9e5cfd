"""The threat model names existing tests, and each test of tests/e2e/threats is in the rows that its docstring names."""

import ast
import pathlib
import re

from tests.docs import markdown

DOCUMENT = markdown.ROOT / "docs" / "explanation" / "threat-model.md"
THREATS = markdown.ROOT / "tests" / "e2e" / "threats"
REQUIRED = {f"T{number}" for number in (*range(1, 16), 19, 20, 22, 24, 25, 26)} | {f"A{n}" for n in range(1, 40)}
_ID = re.compile(r"\b(?:[TA]\d+|CVE-\d+-\d+|GHSA(?:-\w{4}){3}|kyverno#\d+)")


def _rows() -> list[list[str]]:
    return [row for name in ("threats", "attacks") for row in markdown.table(name, DOCUMENT)]


def _tests(file: pathlib.Path) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(file.read_text())
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {n.name: n for n in ast.walk(tree) if isinstance(n, kinds) and n.name.startswith("test_")}


def _test_names(text: str) -> set[str]:
    return set(re.findall(r"`(test_\w+)`", text))


def _ids(text: str) -> set[str]:
    return set(_ID.findall(text.split(":")[0]))


def test_every_threat_has_a_row_and_every_row_a_test() -> None:
    """Each threat that the project must answer is in a table once, with a defence and a test."""
    numbers = [number for row in _rows() for number in sorted(_ids(row[0]))]
    assert sorted(set(numbers)) == sorted(numbers)
    assert set(numbers) >= REQUIRED
    for row in _rows():
        assert row[1].strip(), row[0]
        assert _test_names(row[2]), row[0]


def test_every_test_that_is_named_exists() -> None:
    """Every test that the threat model names exists."""
    existing = {name for file in (markdown.ROOT / "tests").glob("**/test_*.py") for name in _tests(file)}
    assert _test_names(DOCUMENT.read_text()) - existing == set()


def test_every_test_of_a_threat_stands_in_its_row() -> None:
    """The ids at the beginning of a docstring lead to rows that name the test."""
    claimed = {
        (number, name)
        for file in THREATS.glob("test_*.py")
        for name, node in _tests(file).items()
        for number in _ids(ast.get_docstring(node) or "")
    }
    names = {name for file in THREATS.glob("test_*.py") for name in _tests(file)}
    assert {name for _, name in claimed} == names
    written = {(number, name) for row in _rows() for number in _ids(row[0]) for name in _test_names(row[2]) & names}
    assert claimed - written == set()


def test_no_attack_is_expected_to_work() -> None:
    """Every test that the document names must pass: none is marked as an expected failure."""
    tests = [node for file in THREATS.glob("test_*.py") for node in _tests(file).values()]
    assert [node.name for node in tests for mark in node.decorator_list if "xfail" in ast.unparse(mark)] == []


def test_every_policy_that_is_named_as_a_defence_is_there() -> None:
    """Each code word in the column of defences is a file in manifests/admission or a verb."""
    files = {file.stem for file in (markdown.ROOT / "manifests" / "admission").glob("*.yaml")}
    defences = {code for row in _rows() for code in markdown.codes(row[1])}
    verbs = {"approve", "setlevel"}
    assert {name for name in defences if "-" in name} - files == set()
    assert {name for name in defences if "-" not in name} <= verbs
