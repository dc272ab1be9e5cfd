"""docs/reference/admission.md says what the files of manifests/ say."""

import re

from generate import admission_page

from tests.docs import markdown

_ROW = re.compile(r"^\| `([\w-]+)` \|", re.MULTILINE)


def _table(name: str) -> str:
    found = re.search(rf"<!-- table: {name} -->\n((?:\|.*\n)+)", admission_page.PAGE.read_text())
    assert found, name
    return found[1]


def test_every_policy_has_its_row_by_hand() -> None:
    """Each policy that there is, in admission/ and in components/, is described; none twice."""
    described = _ROW.findall(_table("purposes"))
    there = {admission_page.short(policy["metadata"]["name"]) for _, policy, _ in admission_page.policies()}
    assert there <= set(described)
    assert len(described) == len(set(described))
    # Components may not be part of a checkout; nothing else is described that is not there.
    assert set(described) - there <= {"label-at-birth", "labels-kept", "diagnostic-deadline"}


def test_every_control_has_its_row() -> None:
    """Each control that relaxed-namespace has a validation for stands in the column of its level."""
    rows = [[markdown.codes(cell) for cell in row.strip("|").split("|")] for row in _table("controls").splitlines()[2:]]
    listed = {
        (level, name)
        for row in rows
        for level, cell in zip(("Baseline", "Restricted"), row[1:], strict=True)
        for name in cell
    }
    assert admission_page.controls() <= listed
    assert {control for control in listed if control[0] == "Baseline"} <= admission_page.controls()


def test_the_walk_finds_the_files() -> None:
    """At least the seven policies of manifests/admission, each with a binding."""
    found = admission_page.policies()
    assert len(found) >= 7
    assert [policy["metadata"]["name"] for _, policy, bound in found if not bound] == []
