"""Wrong usage of `debug`, each with the reason."""

import sys

import pytest

from hostnetwork_operator.cli import complete, main

IMAGE = ("--image", "registry.example.com/netshoot:1")
TICKET = ("--ticket", "INC-1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["node/a", *IMAGE], "--ticket is required: a Diagnostic exception needs one"),
        (["node/a", *TICKET], "--image is required, because the exception lists the image exactly"),
        ([*IMAGE, *TICKET], "name one node, such as node/node-1"),
        (["node-1", *IMAGE, *TICKET], "name one node, such as node/node-1"),
        (["pod/web", *IMAGE, *TICKET], "name one node, such as node/node-1"),
        (["node/../../secrets/x", *IMAGE, *TICKET], "name one node, such as node/node-1"),
        (["node/a", *IMAGE, *TICKET, "--for", "25h"], "--for must be between 1s and 24h"),
        (["node/a", *IMAGE, *TICKET, "--for", "0"], "--for must be between 1s and 24h"),
        (["node/a", *IMAGE, *TICKET, "--profile", "restricted"], "'restricted' is not one of"),
        (["node/a", *IMAGE, *TICKET, "-t"], "-t needs a terminal as stdin"),
        (["node/a", *TICKET, "--adopt", "pod"], "--adopt takes the node and the image of the pod"),
        ([*IMAGE, *TICKET, "--adopt", "pod"], "--adopt takes the node and the image of the pod"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["debug", *arguments]) == 2
    said = capsys.readouterr()
    assert message in " ".join(said.err.split())
    assert said.out == ""


def test_the_shell_is_told_that_a_node_comes_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-hostnetwork", "debug", "n"])
    complete.main()
    assert capsys.readouterr().out == "node/\n:6\n"
