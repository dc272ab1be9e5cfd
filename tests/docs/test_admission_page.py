"""docs/reference/admission.md agrees with the files in manifests/."""

import re

from generate import admission_page

from tests.docs import markdown

_ROW = re.compile(r"^\| `([\w-]+)` \|", re.MULTILINE)


def _table(name: str) -> str:
    match = re.search(rf"<!-- table: {name} -->\n((?:\|.*\n)+)", admission_page.PAGE.read_text())
    assert match, name
    return match[1]


def test_every_policy_has_its_row_by_hand() -> None:
    """The page describes each policy in admission/ and components/, and none twice."""
    documented = _ROW.findall(_table("purposes"))
    existing = {admission_page.short(policy["metadata"]["name"]) for _, policy, _ in admission_page.policies()}
    assert existing <= set(documented)
    assert len(documented) == len(set(documented))
    # A checkout may lack the components. Otherwise the page describes only policies that exist.
    assert set(documented) - existing <= {"label-at-birth", "labels-kept", "diagnostic-deadline"}


def test_every_control_has_its_row() -> None:
    """Each control for which relaxed-namespace has a validation is in the column of its level."""
    rows = [[markdown.codes(cell) for cell in row.strip("|").split("|")] for row in _table("controls").splitlines()[2:]]
    documented = {
        (level, name)
        for row in rows
        for level, cell in zip(("Baseline", "Restricted"), row[1:], strict=True)
        for name in cell
    }
    assert admission_page.controls() <= documented
    assert {control for control in documented if control[0] == "Baseline"} <= admission_page.controls()


def test_the_walk_finds_the_files() -> None:
    """The walk finds at least the seven policies of manifests/admission, each with a binding."""
    policies = admission_page.policies()
    assert len(policies) >= 7
    assert [policy["metadata"]["name"] for _, policy, bindings in policies if not bindings] == []
