"""docs/howto/upgrade-an-agent.md: every block runs unchanged, in order, while the operator runs."""

from collections.abc import Iterator

import pytest

from tests.docs import markdown
from tests.docs import test_readme_commands as readme
from tests.docs.test_break_glass import Person

BLOCKS = markdown.blocks(markdown.ROOT / "docs" / "howto" / "upgrade-an-agent.md")


@pytest.fixture(scope="module")
def person() -> Iterator[Person]:
    with readme.following(Person) as user:
        yield user


def test_an_agent_is_upgraded_both_ways(person: Person) -> None:
    """Each block ends without an error: the exceptions are in force and the rollouts finish."""
    assert [block.name for block in BLOCKS] == ["agent", "second", "upgrade", "unused", "any-tag"]
    for block in BLOCKS:
        person.paste(block.script)
    pods = person.api.items("/api/v1/namespaces/agents/pods")
    images = {pod["spec"]["containers"][0]["image"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}
    assert images == {"registry.example.com/agent:1.2"}


def test_an_upgrade_that_came_first_is_refused_and_says_why(person: Person) -> None:
    """A DaemonSet with an image that no exception lists gets no pod, and the refusal says what is missing."""
    name = "registry.example.com/other:1.0"
    person.paste(f"kubectl set image daemonset/agent agent={name} -n agents")

    def reported() -> bool:
        events = person.api.items("/api/v1/namespaces/agents/events")
        text = f'"agent" does not list image {name}'
        return any(text in event["message"] for event in events if event["reason"] == "FailedCreate")

    person.until("the refusal", reported)
