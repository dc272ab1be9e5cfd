"""The names that the operator writes on objects of other people."""

import pathlib
import re

import pytest

import hostnetwork_operator
from hostnetwork_operator.api import labels

PACKAGE = pathlib.Path(hostnetwork_operator.__file__).parent
# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
_KEY = re.compile(r"([a-z0-9.-]{1,253})/([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)")


@pytest.mark.parametrize(
    "key",
    [
        labels.ENFORCEMENT,
        labels.GUARD,
        labels.HELD_BY,
        labels.LEVEL_BEFORE,
        labels.VERDICT,
        labels.GRANT_PREFIX + "n" * 63,
    ],
)
def test_every_key_is_one_that_kubernetes_takes(key: str) -> None:
    """Also the key for the grant of an exception with the longest name."""
    assert _KEY.fullmatch(key)


@pytest.mark.parametrize("values", [labels.Level, labels.Enforcement, labels.Verdict])
def test_every_value_is_one_that_kubernetes_takes(values: type[labels.Level]) -> None:
    """A value has at most 63 characters, and no spaces."""
    assert all(re.fullmatch(r"[A-Za-z]{1,63}", value) for value in values)


def test_levels_are_ordered() -> None:
    """Restricted is stricter than baseline, and baseline is stricter than privileged."""
    assert sorted(labels.Level, key=lambda level: level.strictness) == ["privileged", "baseline", "restricted"]


def test_the_group_is_written_in_one_place() -> None:
    """No other module spells out the group."""
    file_names = [file.name for file in PACKAGE.rglob("*.py") if '"hostnetwork-operator.github.io' in file.read_text()]
    assert file_names == ["labels.py"]


def test_the_source_root_has_no_init() -> None:
    """operator/__init__.py would shadow Python's own `operator` (style.md, section 1)."""
    assert not (PACKAGE.parent / "__init__.py").exists()
