"""What `make generate` writes is committed as it would be written now, and marked as generated."""

import pathlib
import re

import pytest
from generate import policies, steps

GUARDS = ("admission/relaxed-namespace-restricted.yaml", "admission/relaxed-namespace.yaml")
REFUSING = ("admission/host-namespaces.yaml", *GUARDS)
READING_GRANTS = (*REFUSING, "components/diagnostic-deadline/diagnostic-deadline.yaml")


def relative(path: pathlib.Path) -> str:
    return str(path.relative_to(steps.ROOT))


@pytest.mark.parametrize("step", steps.STEPS)
def test_what_is_generated_is_up_to_date(step: str) -> None:
    """Each generated file is byte for byte what its inputs make of it, and no file is left over."""
    stale = [relative(path) for path in steps.stale(step)]
    assert not stale, f"run `make generate`: {', '.join(stale)}"


def test_git_knows_what_is_generated() -> None:
    """.gitattributes marks the generated files, with shipped.py of the release before, and no other file."""
    marked: set[pathlib.Path] = set()
    for line in (steps.ROOT / ".gitattributes").read_text().splitlines():
        if not line.startswith("#"):
            pattern, attribute = line.split()
            files = set(steps.ROOT.glob(pattern))
            assert files, pattern
            marked = marked | files if attribute == "linguist-generated" else marked - files
    texts = {path: text for files in steps.STEPS.values() for path, text in files().items() if text is not None}
    whole = {path for path, text in texts.items() if "<!-- generated -->" not in text}
    before = steps.ROOT / "operator/hostnetwork_operator/api/shipped_before.py"
    assert sorted(map(relative, whole | {before})) == sorted(map(relative, marked))


def test_policies_that_say_the_same_take_it_from_one_fragment() -> None:
    """Which grants cover a pod is one text in four policies, the refusal one in three, the guard one at both levels."""
    uses: dict[str, list[str]] = {path.stem: [] for path in policies.FRAGMENTS.iterdir()}
    for source in sorted(policies.SOURCES.rglob("*.yaml")):
        for fragment in re.findall(r"(?m)^#include fragments/(\S+)\.yaml$", source.read_text()):
            uses[fragment].append(str(source.relative_to(policies.SOURCES)))
    assert {name: tuple(sources) for name, sources in uses.items()} == {
        "covers": READING_GRANTS,
        "refusal": REFUSING,
        "guarded-requests": GUARDS,
        "baseline-judges": GUARDS,
        "pod-security-standards": GUARDS,
    }
