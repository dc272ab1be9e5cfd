"""The results of several clusters in every form."""

import json
import types
from typing import Any, cast

import pytest

from hostnetwork_operator.cli import clusters, flags, tables


def view(*not_looked_at: object) -> clusters.View[str]:
    """A verb whose result is one name."""
    return clusters.View(
        document=lambda result: {"name": result},
        table=lambda result: tables.Table(("NAME",), ((result,),)),
        names=lambda result: [f"thing/{result}"],
        summary=lambda result, context: [f"1 thing of {context}"],
        reading=lambda result: cast("Any", types.SimpleNamespace(not_looked_at=not_looked_at)),
    )


ONE = clusters.ClusterAnswer("west", "anvil")
OTHER = clusters.ClusterAnswer("east", "rope")
LOST: clusters.ClusterAnswer[str] = clusters.ClusterAnswer("north", None, "the server does not answer\x1b[2J")


def shown(
    capsys: pytest.CaptureFixture[str], answers: list[clusters.ClusterAnswer[str]], form: flags.Format
) -> tuple[str, str]:
    clusters.show(answers, view(), form, headers=True)
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_one_cluster_looks_as_if_there_were_no_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, [ONE], flags.Format.TABLE) == ("NAME\nanvil\n", "\n1 thing of west\n")
    assert shown(capsys, [ONE], flags.Format.NAME) == ("thing/anvil\n", "")
    assert json.loads(shown(capsys, [ONE], flags.Format.JSON)[0]) == {"name": "anvil"}


def test_rows_and_sentences_of_several_clusters_name_the_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = shown(capsys, [ONE, OTHER], flags.Format.TABLE)
    assert out.splitlines() == ["CLUSTER  NAME", "west     anvil", "east     rope"]
    assert err.split("\n") == ["", "west: 1 thing of west", "", "east: 1 thing of east", ""]
    assert shown(capsys, [ONE, OTHER], flags.Format.NAME)[0] == "west/thing/anvil\neast/thing/rope\n"


@pytest.mark.parametrize("form", list(flags.Format))
def test_a_cluster_that_cannot_be_looked_at_is_named_and_hides_no_other(
    capsys: pytest.CaptureFixture[str], form: flags.Format
) -> None:
    out, err = shown(capsys, [LOST, OTHER], form)
    assert "rope" in out
    assert "not looked at: cluster north: the server does not answer" in err
    assert "\x1b" not in out + err
    assert clusters.unreached([LOST, OTHER])
    if form is flags.Format.JSON:
        assert [sorted(each) for each in json.loads(out)["clusters"]] == [["context", "error"], ["context", "result"]]


def test_where_no_cluster_can_be_looked_at_there_is_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    lost: list[clusters.ClusterAnswer[str]] = [LOST, clusters.ClusterAnswer("south", None, "no kubeconfig")]
    out, err = shown(capsys, lost, flags.Format.TABLE)
    assert (out, len(err.splitlines())) == ("", 2)
