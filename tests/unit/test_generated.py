"""The committed files are what `make generate` writes now, and they are marked as generated."""

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
    """Each generated file is byte for byte what its inputs produce, and no file is left over."""
    stale = [relative(path) for path in steps.stale(step)]
    assert not stale, f"run `make generate`: {', '.join(stale)}"


def test_git_knows_what_is_generated() -> None:
    """.gitattributes marks the generated files and shipped_before.py, and no other file.

    The file shipped_before.py is the shipped.py of the previous release.
    """
    marked: set[pathlib.Path] = set()
    for line in (steps.ROOT / ".gitattributes").read_text().splitlines():
        if not line.startswith("#"):
            pattern, attribute = line.split()
            files = set(steps.ROOT.glob(pattern))
            assert files, pattern
            marked = marked | files if attribute == "linguist-generated" else marked - files
    texts = {path: text for files in steps.STEPS.values() for path, text in files().items() if text is not None}
    generated = {path for path, text in texts.items() if "<!-- generated -->" not in text}
    shipped_before = steps.ROOT / "operator/hostnetwork_operator/api/shipped_before.py"
    assert sorted(map(relative, generated | {shipped_before})) == sorted(map(relative, marked))


def test_policies_that_say_the_same_take_it_from_one_fragment() -> None:
    """Policies share text in fragments.

    Four policies share the text that says which grants cover a pod, three share the refusal, and both levels share the
    guard. What the text of a grant must be is the same for the verdict and for the refusal.
    """
    uses: dict[str, list[str]] = {path.stem: [] for path in policies.FRAGMENTS.iterdir()}
    for source in sorted(policies.SOURCES.rglob("*.yaml")):
        for fragment in re.findall(r"(?m)^#include fragments/(\S+)\.yaml$", source.read_text()):
            uses[fragment].append(str(source.relative_to(policies.SOURCES)))
    assert {name: tuple(sources) for name, sources in uses.items()} == {
        "covers": READING_GRANTS,
        "grant-form": ("fragments/covers.yaml", "fragments/refusal.yaml"),
        "refusal": REFUSING,
        "guarded-requests": GUARDS,
        "baseline-judges": GUARDS,
        "pod-security-standards": GUARDS,
    }
