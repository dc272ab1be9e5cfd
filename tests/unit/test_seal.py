"""The check of a directory of static policies finds each fault with which an API server would not start.

tests/admission/test_seal.py starts an API server with the same faults (FAULTS).
"""

import pathlib
import shutil
from collections.abc import Callable

import pytest

from hostnetwork_operator import seal

ROOT = pathlib.Path(__file__).parent.parent.parent
STATIC = ROOT / "manifests" / "static"


def write(path: pathlib.Path, text: str) -> None:
    """Write a file with one rename: an API server that reads a file while it is empty takes that for an empty seal."""
    path.with_suffix(".next").write_text(text)
    path.with_suffix(".next").rename(path)


def replaced(old: str, new: str) -> Callable[[pathlib.Path], None]:
    """Return a change of the seal's file."""

    def change(directory: pathlib.Path) -> None:
        text = (directory / "seal.yaml").read_text()
        assert old in text
        write(directory / "seal.yaml", text.replace(old, new, 1))

    return change


def second(name: str, text: str) -> Callable[[pathlib.Path], None]:
    """Return a change that adds a file."""
    return lambda directory: write(directory / name, text)


# What is wrong with the directory, and what the check says of it.
FAULTS: dict[str, tuple[Callable[[pathlib.Path], None], str]] = {
    "no YAML": (replaced("spec:", "spec: ["), "must be YAML or JSON"),
    "a key twice": (replaced("  failurePolicy: Fail\n", "  failurePolicy: Fail\n" * 2), "'failurePolicy' occurs twice"),
    "an unknown field": (replaced("failurePolicy", "failPolicy"), "got spec.failPolicy"),
    "another version": (replaced("io/v1\n", "io/v1beta1\n"), "ValidatingAdmissionPolicy of admissionregistration.k8s"),
    "another kind": (second("map.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"), "got ConfigMap"),
    "another name": (
        replaced("operator.static.k8s.io\nspec", "operator.github.io\nspec"),
        "must end in .static.k8s.io",
    ),
    "a parameter": (
        replaced("  failurePolicy: Fail\n", "  failurePolicy: Fail\n  paramKind: {apiVersion: v1, kind: ConfigMap}\n"),
        "must have no paramKind",
    ),
    "no policy": (replaced("policyName: seal.", "policyName: seel."), "must name a policy of the same directory"),
    "a name twice": (
        lambda directory: write(directory / "seal-open.yaml", (STATIC / "open" / "seal.yaml").read_text()),
        "got it twice",
    ),
    "comments before the first ---": (
        lambda directory: write(
            directory / "seal.yaml", (STATIC / "seal.yaml").read_text().replace("apiVersion:", "---\napiVersion:", 1)
        ),
        "got comments alone",
    ),
    "a list of nothing": (second("list.json", "[]"), "got list"),
}


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a directory with the closed seal."""
    shutil.copy(STATIC / "seal.yaml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_with_the_file(
    directory: pathlib.Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    """The exit status is 1, and stdout stays empty."""
    change, message = FAULTS[fault]
    change(directory)
    assert seal.main(["check", str(directory)]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), err.startswith(f"error: {directory}")) == ("", 1, True), err
    assert message in err


def test_the_shipped_files_are_fine(capsys: pytest.CaptureFixture[str]) -> None:
    """The check says whether the seal is closed or open."""
    for place, word in ((STATIC, "closed"), (STATIC / "open", "OPEN")):
        assert seal.main(["check", str(place)]) == 0
        assert f"the seal is {word}" in capsys.readouterr().out


def test_a_directory_with_the_seal_and_another_policy(
    directory: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check names the policy whose expressions it cannot check; files of other suffixes do not count."""
    other = (STATIC / "seal.yaml").read_text().replace("seal.hostnetwork-operator", "other.example")
    (directory / "other.yml").write_text(other)
    (directory / "seal.yaml.bak").write_text("][")
    assert seal.main(["check", str(directory)]) == 0
    assert capsys.readouterr().out == (
        f"{directory}: the seal is closed; an API server can load the files\n"
        "note: policy other.example.static.k8s.io is not of this release; only the API server checks its expressions\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "variables.same",
            "true || variables.same",
            "policy seal.hostnetwork-operator.static.k8s.io must have the text",
        ),
        (
            "validationActions: [Deny]",
            "validationActions: [Audit]",
            "binding seal.hostnetwork-operator.static.k8s.io must",
        ),
    ],
)
def test_a_seal_of_another_text_is_no_seal(
    directory: pathlib.Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str
) -> None:
    """The API server would load the file, and the seal would not hold what this release promises."""
    replaced(old, new)(directory)
    assert seal.main(["check", str(directory)]) == 1
    assert message in capsys.readouterr().err


def test_no_seal_and_no_directory(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty directory loads and does nothing, so the check refuses it."""
    assert seal.main(["check", str(tmp_path)]) == 1
    assert "must have the policy and the binding" in capsys.readouterr().err
    assert seal.main(["check", str(tmp_path / "none")]) == 1
    assert "must be readable, got No such file or directory" in capsys.readouterr().err


def test_the_configuration_must_name_the_directory(directory: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The shipped file names the directory on the node."""
    shipped_file = STATIC / "apiserver" / "admission-configuration.yaml"
    words = ["check", str(directory), "--configuration", str(shipped_file)]
    assert seal.main([*words, "--path", "/etc/kubernetes/hostnetwork-operator"]) == 0
    assert seal.main(words) == 1
    assert f"must be {directory}, got ['/etc/kubernetes/hostnetwork-operator']" in capsys.readouterr().err


def test_usage() -> None:
    """A wrong command has exit status 2."""
    with pytest.raises(SystemExit) as raised:
        seal.main(["close"])
    assert raised.value.code == 2
