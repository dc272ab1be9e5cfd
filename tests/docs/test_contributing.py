"""CONTRIBUTING.md lists exactly the files that a change of a kind touches by hand."""

import pathlib
import re

import pytest
from generate import steps

from tests.controlplane import binary
from tests.docs import markdown

ROOT = markdown.ROOT
PAGE = ROOT / "CONTRIBUTING.md"
PACKAGE = ROOT / "operator" / "hostnetwork_operator"


def listed(table: str, **names: str) -> set[pathlib.Path]:
    """Return the files of a table, with the <placeholders> filled in; the table omits the path of the package."""
    files = set()
    for row in markdown.table(table, PAGE):
        name = re.sub(r"<(\w+)>", lambda match: names[match[1]], markdown.codes(row[0])[0])
        files.add(ROOT / name if (ROOT / name).exists() else PACKAGE / name)
    return files


def naming(pattern: str, *directories: str) -> set[pathlib.Path]:
    """Return the hand-written files in these directories whose text matches."""
    generated = {path for files in steps.STEPS.values() for path in files()}
    paths = {path for name in directories for path in (ROOT / name).rglob("*.*") if path.suffix != ".pyc"}
    return {path for path in paths - generated if path.is_file() and re.search(pattern, path.read_text())}


def relative(files: set[pathlib.Path]) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in files)


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ("field-files", {}),
        ("field-files-sometimes", {}),
        ("finding-files", {"rule": "contact_missing", "Id": "ContactMissing"}),
        ("kubernetes-files", {"minor": "1.33"}),
        ("command-files", {"verb": "status"}),
    ],
)
def test_every_file_of_a_list_exists(table: str, names: dict[str, str]) -> None:
    """The test uses an example for each placeholder."""
    assert [str(path) for path in listed(table, **names) if not path.is_file()] == []


def test_a_field_that_admission_checks_is_in_these_files_and_no_other() -> None:
    """Every file of the list names hostPaths, and no file outside the lists names hostPaths or hostPorts."""
    required, optional = listed("field-files"), listed("field-files-sometimes")
    files_with_paths = naming(r"\bhost_paths\b|\bg\.paths\b", "operator", "policies", "manifests")
    files_with_ports = naming(r"\bhost_ports\b|\bg\.ports\b", "operator", "policies", "manifests")
    assert relative(required) == relative(files_with_paths - optional)
    assert relative(files_with_ports - required - optional) == []


def test_a_finding_is_in_these_files_and_no_other() -> None:
    """DefaultServiceAccount is in each listed file, and elsewhere only in the list of Events."""
    files = listed("finding-files", rule="default_service_account", Id="DefaultServiceAccount")
    pattern = r"(?i)\bdefault_service_account\b|\bDefaultServiceAccount\b"
    files_with_name = naming(pattern, "operator", "policies", "manifests", "docs/reference/findings", "tests/unit")
    assert relative(files) == relative(files_with_name)


def test_a_command_is_in_these_files_and_no_other() -> None:
    """The words of `status --fail-on` are in no other file; other verbs are named by the messages of other modules."""
    files = listed("command-files", verb="status")
    assert relative(files) == relative(
        naming(r"(?m)kubectl hostnetwork status\b|\"status\": \"Show", "operator", "tests/cli")
    )


def test_a_version_of_kubernetes_is_in_these_files_and_no_other() -> None:
    """Each tested version is in RELEASES and its module, its minor version is in the README, and no default has it."""
    files = set.union(*(listed("kubernetes-files", minor=release.minor) for release in binary.RELEASES[1:]))
    directories = ("operator", "policies", "manifests", "charts", "tests/controlplane", "tests/conformance")
    for release in binary.RELEASES:
        module_file = binary.MODULE / release.module_file
        assert module_file in files
        assert f"k8s.io/kubernetes v{release.version}\n" in module_file.read_text()
        assert release.minor in markdown.README.read_text()
        files_with_version = naming(rf"(?<![\w.])v?{re.escape(release.version)}\b", *directories)
        assert relative({path for path in files_with_version if path.suffix != ".sum"} - files) == []
    assert "KUBERNETES ?=" not in (ROOT / "Makefile").read_text()
