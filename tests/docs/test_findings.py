"""The pages of docs/reference/findings and the rules in the code agree; no page is missing and none is left over."""

import importlib

import pytest

from hostnetwork_operator.decide import findings, rules
from tests.docs import markdown
from tests.unit.decide.rules import judged

PAGES = markdown.ROOT / "docs/reference/findings"


def example(rule: rules.Rule) -> findings.Finding:
    """Return the finding for the example in the rule's unit test."""
    name = rule.judge.__module__.rpartition(".")[2]
    module = importlib.import_module(f"tests.unit.decide.rules.test_{name}")
    return judged.warns(rule, module.EXAMPLE)


def test_every_rule_has_a_page_and_no_other() -> None:
    """There is one page per rule, and the index."""
    pages = {str(path.relative_to(markdown.ROOT)) for path in PAGES.glob("*.md")}
    assert {rule.page for rule in rules.RULES} | {"docs/reference/findings/README.md"} == pages


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.id)
def test_a_page_says_what_the_code_says(rule: rules.Rule) -> None:
    """The page has the id, the severity with its source, the code's text for an example, and the remedy."""
    text = (markdown.ROOT / rule.page).read_text()
    assert text.startswith(f"# {rule.id}\n\nSeverity {rule.severity} ({rule.source}).\n")
    assert f"## For example\n\n```text\n{example(rule).sentence}\n```\n" in text
    assert text.endswith(f"## What to do\n\n```text\n{rule.remedy}\n```\n")
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## What", "## Why", "## Where it shows", "## For example", "## What to do"]
