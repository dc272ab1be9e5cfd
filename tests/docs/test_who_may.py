"""docs/howto/who-may.md: its commands name exactly the users who hold a verb."""

import pytest

from hostnetwork_operator.api import labels
from tests.admission import workbench
from tests.controlplane import cluster as controlplane
from tests.docs import markdown
from tests.docs import test_readme_commands as readme
from tests.governed import cluster, governed

__all__ = ["cluster", "governed"]

DOCUMENT = markdown.ROOT / "docs" / "howto" / "who-may.md"
BLOCKS = {block.name: block for block in markdown.blocks(DOCUMENT)}


@pytest.fixture(scope="module")
def reader(governed: controlplane.Cluster, tmp_path_factory: pytest.TempPathFactory) -> readme.Reader:
    """A reader of the README on a cluster where some users hold the verbs and some only seem to."""
    workbench.may(governed, "by-name", "namespaces", "setlevel")
    workbench.may(governed, "of-the-core-group", "namespaces", "*")
    workbench.may(governed, "of-our-group", "*", "*", group=labels.GROUP)
    workbench.may(governed, "approver", "hostnetworkexceptions", "approve", group=labels.GROUP)
    return readme.Reader(governed, tmp_path_factory.mktemp("reader"))


def _holders(output: str) -> set[str]:
    return {
        line.split(" by ")[0].removeprefix("User ").rsplit("-", 1)[0] for line in output.splitlines() if " by " in line
    }


def test_one_user_is_asked_for(reader: readme.Reader) -> None:
    """For a user without rights both answers are no."""
    lines = reader.paste(BLOCKS["one"].script).splitlines()
    assert [line for line in lines if line in {"yes", "no"}] == ["no", "no"]


@pytest.mark.parametrize(
    ("verb", "resource", "holders", "others"),
    [
        ("setlevel", "namespaces", {"by-name", "of-our-group"}, {"of-the-core-group", "approver"}),
        ("approve", "hostnetworkexceptions", {"approver", "of-our-group"}, {"of-the-core-group", "by-name"}),
    ],
)
def test_everybody_is_listed(
    reader: readme.Reader, verb: str, resource: str, holders: set[str], others: set[str]
) -> None:
    """The list has holders by name and by wildcard, and cluster administrators.

    The verb `*` on core resources is not enough.
    """
    script = BLOCKS["list"].script.replace("VERB=setlevel RESOURCE=namespaces", f"VERB={verb} RESOURCE={resource}")
    output = reader.paste(script)
    listed = _holders(output)
    assert holders <= listed
    assert not others & listed
    assert "Group system:masters by cluster-admin" in output
