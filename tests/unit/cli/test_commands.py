"""The command without a cluster: help, completion, wrong usage, exit statuses, and what is imported for them."""

import importlib
import pathlib
import subprocess
import sys

import click
import pytest

from hostnetwork_operator.cli import complete, main

BIN = pathlib.Path(sys.executable).parent
# Modules that need a large part of the 0.3 s that help and completion may take.
HEAVY = ("aiohttp", "asyncio", "kopf", "kubernetes", "pydantic", "yaml")


@pytest.mark.parametrize("verb", main.VERBS)
def test_the_list_of_verbs_says_what_each_verb_says(verb: str) -> None:
    command = importlib.import_module(f"hostnetwork_operator.cli.{verb}").command
    assert command.name == verb
    assert command.short_help == main.VERBS[verb]


@pytest.mark.parametrize("verb", main.VERBS)
def test_the_help_of_a_verb_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"kubectl hostnetwork {verb}" in text.partition("Examples:")[2]
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("verb", main.VERBS)
def test_every_flag_is_explained(verb: str) -> None:
    command = importlib.import_module(f"hostnetwork_operator.cli.{verb}").command
    for parameter in command.params:
        assert not isinstance(parameter, click.Option) or parameter.help, parameter.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stats"], "unknown command 'stats'"),
        (["status", "-n", "a", "-A"], "use either -n or -A"),
        (["status", "-o", "xml"], "'xml' is not one of 'table', 'wide', 'json', 'yaml', 'name'"),
        (["status", "--fail-on", "Covered,Foo"], "'Foo' is not a verdict"),
        (["status", "--request-timeout", "1y"], "'1y' is not a duration"),
        (["status", "--as-group", "a"], "--as-group needs --as"),
        (["status", "-w", "-o", "json"], "-w shows a table"),
        (["status", "-w", "--fail-on", "Unknown"], "use either -w or --fail-on"),
        (["exceptions", "-w", "-o", "yaml"], "-w shows a table"),
        (["exceptions", "-w", "--fail-on", "any"], "use either -w or --fail-on"),
        (["status", "-n", "a/../b"], "'a/../b' is not the name of a namespace"),
        (["why", "-n", "A", "ds/x"], "'A' is not the name of a namespace"),
        (["status", "surplus"], "unexpected extra argument"),
        (["grant", "ds/a", "--owner", "a", "--reason", "a"], "use --yes to write without asking, or --dry-run"),
        (["revoke", "a"], "nobody can be asked, because stdin or stderr is no terminal"),
        (["grant", "ds/a", "--yes", "--dry-run"], "use either --dry-run or --yes"),
        (["grant", "ds/a", "--owner", "a", "--yes"], "--reason is missing"),
        (["grant", "ds/a", "b", "c", "--yes"], "name one workload"),
        (["renew", "a", "--yes"], "say the new end with --for or --until"),
        (["renew", "a", "--for", "1h", "--until", "2999-01-01T00:00:00Z"], "use either --for or --until"),
        (["renew", "a", "--for", "0", "--yes"], "--for must be at least 1s"),
        (["review", "a/../b", "--yes"], "'a/../b' is not the name of an exception"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


def test_the_flags_of_a_verb_may_stand_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    """As with kubectl: `-n kube-system status`. A value that is the name of a verb is a value."""
    assert main._verb_first(["-n", "status", "status", "-A"]) == ["status", "-n", "status", "-A"]
    assert main._verb_first(["-l", "status", "exceptions"]) == ["exceptions", "-l", "status"]
    assert main._verb_first(["--owner", "grant", "grant", "x"]) == ["grant", "--owner", "grant", "x"]
    assert main._verb_first(["--help"]) == ["--help"]
    assert main.run(["-n", "a", "status", "-A"]) == 2
    assert "use either -n or -A" in capsys.readouterr().err


def test_a_kubeconfig_that_does_not_exist_is_named(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["status", "--kubeconfig", str(tmp_path / "none")]) == 1
    said = capsys.readouterr()
    assert said.err == f"error: no kubeconfig at '{tmp_path / 'none'}'; set KUBECONFIG or use --kubeconfig\n"
    assert said.out == ""


@pytest.mark.parametrize(
    ("words", "choices"),
    [
        (["sta"], ["status"]),
        (["status", "-o", ""], ["table", "wide", "json", "yaml", "name"]),
        (["status", "--fail-on", "Covered,u"], ["Covered,Uncovered", "Covered,Unknown"]),
        (["status", "--req"], ["--request-timeout"]),
        (["why", "d"], ["deploy/", "ds/"]),
        (["nothing", "st"], ["status"]),
    ],
)
def test_words_are_completed(
    words: list[str], choices: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-hostnetwork", *words])
    complete.main()
    *lines, directive = capsys.readouterr().out.splitlines()
    assert [line.partition("\t")[0] for line in lines] == choices
    assert directive == (":6" if choices[-1].endswith("/") else ":4")


@pytest.mark.parametrize("arguments", [["--help"], ["status", "--help"], ["--version"]])
def test_help_imports_nothing_that_takes_time(arguments: list[str]) -> None:
    """The import of kubernetes.aio alone takes 0.7 s, and people wait for help and for completion."""
    code = (
        "import sys; from hostnetwork_operator.cli import main; status = main.run(sys.argv[1:]);"
        f"print([name for name in {HEAVY} if name in sys.modules], status, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *arguments]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert completed.stderr == "[] 0\n"
    assert completed.stdout


def test_the_commands_are_installed() -> None:
    for name in ("kubectl-hostnetwork", "kubectl_complete-hostnetwork"):
        assert (BIN / name).is_file()
