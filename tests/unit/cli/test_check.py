"""`check` gives one result in five forms, with exit statuses that do not depend on the form, and no text gets out."""

import json
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from hostnetwork_operator.cli import checked, forms, main, tables
from hostnetwork_operator.decide import checking
from hostnetwork_operator.observe import manifests
from tests.unit.builders import NOW
from tests.unit.observe.test_manifests import POD, ROLLOUT

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
            return output.count("would be refused: "), output.count("not YAML")
    return output.count("would be refused: "), output.count("not YAML")


@pytest.mark.parametrize("form", forms.RENDER)
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


@pytest.mark.parametrize("form", forms.RENDER)
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


@pytest.mark.parametrize("form", forms.RENDER)
def test_a_kind_that_the_command_does_not_know_is_not_called_fine(
    form: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its pod template shares a host namespace, and no flag says where the template is."""
    (tmp_path / "a.yaml").write_text(ROLLOUT)
    status = main.run(["check", "-f", str(tmp_path), "-o", form])
    said = capsys.readouterr()
    assert status == 1
    assert "Rollout web (argoproj.io/v1alpha1) has a pod template that was not checked" in said.out
    assert "use --pod-template spec.template" in (said.out if form == "text" else said.err)
    status, output = run(capsys, "-f", str(tmp_path), "-o", form, "--pod-template", "spec.template")
    assert (status, refused(form, output)) == (3, (1, 0))


@pytest.mark.parametrize("text", [POD, ROLLOUT, ""])
def test_a_pod_template_path_that_fits_nothing_is_an_error(
    text: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(text)
    arguments = ("check", "-f", str(tmp_path), "--pod-template", "spec.template", "--pod-template", "spec.tmplate")
    assert main.run([*arguments, "--fail-on", "nothing"]) == 1
    assert "no object has a pod template there" in capsys.readouterr().err


def test_a_pod_template_path_may_fit_an_object_that_cannot_be_read(
    directory: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error is then the document, and not the path."""
    assert main.run(["check", "-f", str(directory), "--pod-template", "spec.template"]) == 1
    assert "--pod-template" not in capsys.readouterr().err


COMMANDS = (
    "::stop-commands::x",
    " ::stop-commands::x",
    "##[add-mask]x",
    "a ##[add-mask]x",
    "a##vso[task.x]y",
    "\x1b::x",
)


@pytest.mark.parametrize("form", ["text", "github"])
@pytest.mark.parametrize("name", COMMANDS)
def test_no_name_is_a_command_of_a_pipeline(
    form: str, name: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitHub reads `::` at the beginning of a line, after spaces, and `##[` anywhere. The log has stderr too."""
    monkeypatch.chdir(tmp_path)
    pathlib.Path(f"{name}.yaml").write_text(f"{POD.replace('capture', json.dumps(name))}---\nkind: [\n")
    assert main.run(["check", "-f", ".", "-o", form]) == 1
    said = capsys.readouterr()
    own = ("::error file=", "::notice::")
    lines = [line for line in (said.out + said.err).splitlines() if not (form == "github" and line.startswith(own))]
    assert lines
    assert not [line for line in lines if line.lstrip().startswith("::") or re.search(r"##\w*\[", line)]
    assert main.run(["check", "-f", f"{name}/nowhere"]) == 1
    assert not re.search(r"##\w*\[", capsys.readouterr().err)


def test_text_keeps_within_a_terminal_and_is_whole_in_a_pipe(
    directory: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)
    _, whole = run(capsys, "-f", "a.yaml", "-f", "sub/b.yml")
    monkeypatch.setattr(tables, "width_of", lambda _: 60)
    _, wrapped = run(capsys, "-f", "a.yaml", "-f", "sub/b.yml")
    assert max(map(len, whole.splitlines())) > 60 >= max(map(len, wrapped.splitlines()))
    assert wrapped.replace("\n  ", " ") == whole


@pytest.mark.parametrize("name", ["nowhere.yaml", "empty"])
def test_a_file_that_cannot_be_read_is_named(
    name: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main.run(["check", "-f", str(tmp_path / name)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: the ")
    assert name in said.err


# -- with what a server has said

HOSTILE = "privileged\x1b[2J\n::error::forged \u202e<b>&amp;</b>%0A"


def with_server(refusal: str, why: str) -> checked.CheckResult:
    """Return a result of three pods: one is refused for its host namespaces and by Pod Security, one is allowed, and
    about one Pod Security was not asked.
    """
    plain = POD.replace("hostNetwork: true", "hostNetwork: false")
    found = manifests.read([("a.yaml", "---\n".join((POD, plain, plain)))], "default", NOW)
    host, allowed, unasked = found.templates
    verdict = checking.judge(host.pod, (), exempt=False)
    answer = checked.PodSecurityAnswer("baseline", "latest", refusal)
    pods = [
        checked.Checked(host, verdict, answer),
        checked.Checked(allowed, None, checked.PodSecurityAnswer("baseline", "latest", "")),
        checked.Checked(unasked, None),
    ]
    return checked.result(found, pods, [checked.NotAsked(pods[2], 1, why)], server=True)


def counted(form: str, output: str) -> tuple[int, int, int]:
    """Return how many pods are refused for host namespaces, how many by Pod Security, and how many are not asked about,
    as one form says it.
    """
    match form:
        case "json":
            document = json.loads(output)
            host = sum(each["verdict"] == "Uncovered" for each in document["pods"])
            by = sum(bool(each["podSecurity"] and each["podSecurity"]["refused"]) for each in document["pods"])
            assert [each["podSecurity"] is None for each in document["pods"]].count(True) == 1
            return host, by, sum(each["pods"] for each in document["notAsked"])
        case "sarif":
            (run,) = json.loads(output)["runs"]
            ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
            assert [ids[each["ruleIndex"]] for each in run["results"]] == [each["ruleId"] for each in run["results"]]
            rules = [each["ruleId"] for each in run["results"]]
            return rules.count("HostNamespaces"), rules.count("PodSecurity"), rules.count("NotAsked")
        case "junit":
            suite = ElementTree.fromstring(output)
            assert len(suite.findall("testcase")) == int(suite.attrib["tests"])
            assert len(suite.findall(".//failure")) == int(suite.attrib["failures"])
            failed = [case.attrib["name"] for case in suite.findall("testcase") if case.find("failure") is not None]
            by = sum(name.startswith("PodSecurity of ") for name in failed)
            return len(failed) - by, by, len(suite.findall(".//error"))
    by = output.count("violates PodSecurity")
    return output.count("would be refused: ") - by, by, output.count("was not asked about Pod")


@pytest.mark.parametrize("form", forms.RENDER)
@pytest.mark.parametrize("text", ["privileged", HOSTILE])
def test_every_form_has_what_the_server_says_as_text(form: str, text: str) -> None:
    output = forms.RENDER[form](with_server(text, text))
    assert counted(form, output) == (1, 1, 1)
    assert output.replace("\n", "").isprintable()
    errors = sum(line.startswith("::error") for line in output.splitlines())
    assert errors == (3 if form == "github" else 0)


@pytest.mark.parametrize(
    ("result", "counts", "asked"),
    [
        (
            with_server("privileged", "no"),
            (
                "3 documents, 3 pods, 1 with host namespaces, 1 would be refused"
                " (1 for both reasons, host namespaces and Pod Security)."
            ),
            "Pod Security was not asked about 1 of 3 pods.",
        ),
        (
            checked.CheckResult(manifests.read([], "default", NOW), (), server=True),
            "0 documents, 0 pods, 0 with host namespaces, 0 would be refused.",
            "Pod Security was not asked, because no pod was found.",
        ),
        (
            checked.CheckResult(manifests.read([], "default", NOW), ()),
            "0 documents, 0 with host namespaces, 0 would be refused.",
            "Pod Security was not asked.",
        ),
    ],
)
def test_every_form_says_what_was_asked(result: checked.CheckResult, counts: str, asked: str) -> None:
    """Pod Security was asked only if it was asked about every pod."""
    summary = f"{counts} {asked}"
    assert forms.text(result).splitlines()[-1] == summary
    assert forms.github(result).splitlines()[-1] == f"::notice::{summary}"
    (invocation,) = json.loads(forms.sarif(result))["runs"][0]["invocations"]
    assert [each["message"]["text"] for each in invocation["toolExecutionNotifications"]] == [summary]
    assert invocation["executionSuccessful"] is (not result.gaps)
    (written,) = ElementTree.fromstring(forms.junit(result)).findall("properties/property")
    assert written.attrib == {"name": "summary", "value": summary}
    by_pod_security = asked == "Pod Security was asked."
    assert json.loads(forms.as_json(result))["asked"] == {"hostNamespaces": True, "podSecurity": by_pod_security}


def test_the_summary_counts_each_pod_once() -> None:
    """A pod that is refused for two reasons is one pod."""
    answers = {0: "privileged", 1: "", 2: "privileged", 3: "privileged"}
    plain = POD.replace("hostNetwork: true", "hostNetwork: false")
    found = manifests.read([("a.yaml", "---\n".join((POD, POD, plain, plain)))], "default", NOW)
    pods = [
        checked.Checked(
            template,
            checking.judge(template.pod, (), exempt=False),
            checked.PodSecurityAnswer("baseline", "latest", answers[number]),
        )
        for number, template in enumerate(found.templates)
    ]
    assert (
        "4 would be refused (1 for host namespaces alone; 2 by Pod Security alone; 1 for both reasons, host namespaces"
        " and Pod Security). "
    ) in forms.text(checked.result(found, pods, server=True))


def test_only_with_a_server_a_template_without_host_namespaces_is_missed() -> None:
    """Without a server, only host namespaces are judged, and such a template has none."""
    found = manifests.read([("a.yaml", ROLLOUT.replace("hostNetwork: true", "hostNetwork: false"))], "default", NOW)
    assert [len(checked.result(found, (), server=server).gaps) for server in (False, True)] == [0, 1]
    beside = manifests.read([("a.yaml", f"{POD}---\n{ROLLOUT}")], "default", NOW)
    allowed = checked.Checked(beside.templates[0], None, checked.PodSecurityAnswer("baseline", "latest", ""))
    for manifest, pods, total in ((found, [], "1 of 1 pod"), (beside, [allowed], "1 of 2 pods")):
        result = checked.result(manifest, pods, server=True)
        assert json.loads(forms.as_json(result))["asked"]["podSecurity"] is False
        assert f"1 pod template not checked. Pod Security was not asked about {total}.\n" in forms.text(result)


@pytest.mark.parametrize("form", forms.RENDER)
def test_every_form_names_an_exception_that_the_api_server_would_refuse(form: str) -> None:
    found = manifests.read([("a.yaml", EXCEPTION)], "default", NOW)
    change = checked.RefusedChange(found.exceptions[0], ("images", "type"))
    result = checked.result(found, (), changes=[change], server=True)
    output = forms.RENDER[form](result)
    match form:
        case "json":
            (written,) = json.loads(output)["refusedExceptions"]
            assert written == {
                "file": "a.yaml", "line": 1, "namespace": "debug", "name": "capture", "changed": ["images", "type"]
            }  # fmt: skip
        case "sarif":
            (one,) = json.loads(output)["runs"][0]["results"]
            assert one["ruleId"] == "RefusedChange"
        case "junit":
            suite = ElementTree.fromstring(output)
            assert (suite.attrib["tests"], len(suite.findall(".//failure"))) == ("1", 1)
        case _:
            assert "the granted exception that cannot change: images, type; create" in output
            assert "1 exception would be refused" in output


@pytest.mark.parametrize(
    "flag", [("--context", "a"), ("--kubeconfig", "a"), ("--as", "a"), ("--request-timeout", "1s")]
)
def test_flags_for_a_server_need_a_server(
    flag: tuple[str, str], directory: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise a pipeline would seem to ask the cluster that it names."""
    assert main.run(["check", "-f", str(directory), *flag]) == 2
    assert "need --server" in capsys.readouterr().err


def test_without_a_server_no_client_is_imported(directory: pathlib.Path) -> None:
    code = (
        "import sys; from hostnetwork_operator.cli import main; main.run(['check', '-f', sys.argv[1]]);"
        "print([name for name in ('aiohttp', 'asyncio', 'kubernetes') if name in sys.modules], file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, str(directory)]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert completed.stderr == "[]\n"
    assert completed.stdout.endswith("Pod Security was not asked.\n")
