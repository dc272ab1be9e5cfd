"""docs/tutorial/first-exception.md: every block runs in order, does what the page says and shows the page's output."""

import time
from collections.abc import Iterator

import pytest

from tests.controlplane import cluster
from tests.docs import markdown
from tests.docs import test_readme_commands as readme
from tests.docs.test_break_glass import missing

DOCUMENT = markdown.ROOT / "docs" / "tutorial" / "first-exception.md"
BLOCKS = markdown.blocks(DOCUMENT)
_REFUSED = {"refused", "another"}  # kubectl reports a refusal in these blocks and exits with 1


class Learner(readme.Reader):
    """A user with a fresh cluster, whose second terminal is the operator's process."""

    def arrange(self) -> None:
        """Do nothing: the page creates everything."""

    def follow(self, block: markdown.Block) -> str:
        return self.paste(f"{{ {block.script} }} 2>&1 || true" if block.name in _REFUSED else block.script)


@pytest.fixture(scope="module")
def learner() -> Iterator[Learner]:
    with readme.following(Learner) as user:
        yield user


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_a_step_of_the_lesson(learner: Learner, block: markdown.Block) -> None:
    """The block runs unchanged and shows the page's output; a block that only reads is repeated for a moment."""
    if learner.failed:
        pytest.skip(f"the step before it failed: {learner.failed}")
    learner.failed = block.name
    output = learner.follow(block)
    deadline = time.monotonic() + cluster.PATIENCE * 30
    is_repeatable = block.script.startswith("kubectl get") or block.name == "end"
    while is_repeatable and missing(block.shown, output) and time.monotonic() < deadline:
        time.sleep(0.5)
        output = learner.follow(block)
    assert missing(block.shown, output) == set(), output
    if block.name == "audit":
        readme._installed(learner)  # `make run` in the second terminal
    learner.failed = ""


def test_no_step_is_left_out() -> None:
    """Only the blocks that start and stop the cluster and the operator are not run."""
    others = DOCUMENT.read_text().count("```bash") - len(BLOCKS)
    starts = ('eval "$(make cluster)"\n', 'eval "$(make cluster)" && make run\n', "make cluster-down\n")
    assert [DOCUMENT.read_text().count(f"```bash\n{command}") for command in starts] == [1, 1, 1]
    assert others == len(starts)
