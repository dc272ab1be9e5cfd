"""The pages of docs/reference/findings are the rules of the code: none missing, none too many, saying the same."""

from typing import Any

import pytest

from hostnetwork_operator.decide import findings, rules, snapshot
from tests.docs import markdown
from tests.unit import builders

PAGES = markdown.ROOT / "docs/reference/findings"
AGENT: dict[str, Any] = {"type": "Infrastructure"}
# For each rule, an exception of which it warns.
EXAMPLES: dict[rules.Rule, dict[str, Any]] = {
    rules.EXPIRING: {"expiry": builders.at(minutes=20)},
    rules.REVIEW_DUE: {**AGENT, "review": {"kubernetes_version": "1.35"}},
    rules.UNUSED: {**AGENT, "metadata": {"creation_timestamp": builders.at(hours=-720)}},
    rules.MIXED_NAMESPACE: {},
    rules.TOO_WIDE: {"capabilities": ("NET_ADMIN", "SYS_TIME")},
    rules.IMAGES_UNRESTRICTED: AGENT,
    rules.IMAGE_NOT_PINNED: {},
    rules.PRIVILEGED_GRANTED: {"privileged": True},
    rules.DEFAULT_SERVICE_ACCOUNT: {"service_account_name": None},
    rules.CONTACT_MISSING: {},
}


def example(rule: rules.Rule) -> findings.Finding:
    """What the code says of that exception, in a cluster at 1.36, beside a pod that it may cover."""
    pods = [builders.pod(capabilities=frozenset({"NET_ADMIN"}))] if rule is rules.TOO_WIDE else []
    seen = builders.seen(
        builders.hne(**EXAMPLES[rule]), *pods, kubernetes=snapshot.MinorVersion(1, 36), ordinary_pods=True
    )
    (found,) = [one for one in builders.planned(seen).findings if one.rule is rule]
    assert found.warns
    return found


def test_every_rule_has_a_page_and_no_other() -> None:
    """One page a rule, and the index."""
    pages = {str(path.relative_to(markdown.ROOT)) for path in PAGES.glob("*.md")}
    assert {rule.page for rule in findings.RULES} | {"docs/reference/findings/README.md"} == pages


@pytest.mark.parametrize("rule", findings.RULES, ids=lambda rule: rule.id)
def test_a_page_says_what_the_code_says(rule: rules.Rule) -> None:
    """Id, severity with its source, an example as the code words it, and the remedy."""
    text = (markdown.ROOT / rule.page).read_text()
    assert text.startswith(f"# {rule.id}\n\nSeverity {rule.severity} ({rule.source}).\n")
    assert f"## For example\n\n```text\n{example(rule).sentence}\n```\n" in text
    assert text.endswith(f"## What to do\n\n```text\n{rule.remedy}\n```\n")
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## What", "## Why", "## Where it shows", "## For example", "## What to do"]


def test_the_index_has_every_rule_and_no_other() -> None:
    """In the order of the code, with severity and source."""
    rows = [[row[0].split("`")[1], *row[1:]] for row in markdown.table("findings", PAGES / "README.md")]
    assert rows == [[rule.id, rule.severity.value, rule.source] for rule in findings.RULES]
