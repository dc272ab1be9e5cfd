"""`check` gives one result in five forms, with exit statuses that do not depend on the form, and no text gets out."""

import json
import pathlib
import xml.etree.ElementTree as ElementTree

import pytest

from hostnetwork_operator.cli import check, main
from tests.unit.observe.test_manifests import POD

EXCEPTION = """\
apiVersion: hostnetwork-operator.github.io/v1alpha1
kind: HostNetworkException
metadata: {name: capture, namespace: debug}
spec:
  type: Diagnostic
  owner: sre
  reason: Capture SYN retries
  ticket: INC-1
  expiry: 2999-01-01T00:00:00Z
  images: ["tools:1"]
"""
EXEMPT = POD.replace("debug", "kube-system")


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> pathlib.Path:
    """One pod that is refused, one in an exempt namespace, and one broken document."""
    (tmp_path / "a.yaml").write_text(f"{POD}---\n{EXEMPT}")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.yml").write_text("kind: [\n")
    (tmp_path / "notes.txt").write_text(POD)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main.run(["check", *arguments])
    return status, capsys.readouterr().out


def refused(form: str, output: str) -> tuple[int, int]:
    """Return how many pods are refused and how many documents are broken, as one form says it."""
    match form:
        case "json":
            document = json.loads(output)
            return document["refused"], len(document["unreadable"])
        case "sarif":
            rules = [result["ruleId"] for result in json.loads(output)["runs"][0]["results"]]
            return rules.count("HostNamespaces"), rules.count("Unreadable")
        case "junit":
            suite = ElementTree.fromstring(output)
            assert len(suite.findall("testcase")) == int(suite.attrib["tests"])
            return len(suite.findall(".//failure")), len(suite.findall(".//error"))
        case "github":
            return output.count("would be refused"), output.count("not YAML")
    return output.count("would be refused: "), output.count("not YAML")


@pytest.mark.parametrize("form", check._RENDER)
def test_every_form_counts_the_same_and_has_the_same_status(
    form: str, directory: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, output = run(capsys, "-f", str(directory), "-o", form)
    assert (status, refused(form, output)) == (1, (1, 1))
    status, output = run(capsys, "-f", str(directory / "a.yaml"), "-o", form)
    assert (status, refused(form, output)) == (3, (1, 0))
    assert run(capsys, "-f", str(directory / "a.yaml"), "-o", form, "--fail-on", "nothing")[0] == 0
    (directory / "e.yaml").write_text(EXCEPTION)
    covered = ("-f", str(directory / "a.yaml"), "-f", str(directory / "e.yaml"))
    status, output = run(capsys, *covered, "-o", form)
    assert (status, refused(form, output)) == (0, (0, 0))


def test_the_line_is_that_of_the_field(directory: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, output = run(capsys, "-f", str(directory / "a.yaml"), "-o", "sarif")
    (result,) = json.loads(output)["runs"][0]["results"]
    location = result["locations"][0]["physicalLocation"]
    assert location["region"] == {"startLine": 6}
    assert location["artifactLocation"] == {"uri": str(directory / "a.yaml")}


def test_an_exception_that_has_ended_covers_nothing(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(POD + "---\n" + EXCEPTION.replace("2999", "2001"))
    status, output = run(capsys, "-f", str(tmp_path))
    assert status == 3
    assert "the exception ended at 2001-01-01T00:00:00Z" in output


@pytest.mark.parametrize("form", check._RENDER)
@pytest.mark.parametrize("text", ["\\x1b[2J", "\\r::error::forged", "<b>&amp;</b>", "\\u202e", "%0A::error::x"])
def test_hostile_names_stay_in_their_place(
    form: str, text: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No escape, no line of its own, no markup: in each form the name of a pod is a text."""
    (tmp_path / "a.yaml").write_text(POD.replace("name: capture", f'name: "{text}"'))
    status, output = run(capsys, "-f", str(tmp_path), "-o", form)
    assert (status, refused(form, output)) == (3, (1, 0))
    assert output.replace("\n", "").isprintable()
    assert sum(line.startswith("::error") for line in output.splitlines()) == (1 if form == "github" else 0)


@pytest.mark.parametrize("name", ["nowhere.yaml", "empty"])
def test_a_file_that_cannot_be_read_is_named(
    name: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main.run(["check", "-f", str(tmp_path / name)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: the ")
    assert name in said.err
