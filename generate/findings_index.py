"""The table of docs/reference/findings/README.md: one row per rule, in the order of the code."""

import pathlib
from typing import Final

from generate import pages
from hostnetwork_operator.decide import rules

PAGE: Final = pages.ROOT / "docs" / "reference" / "findings" / "README.md"


def files() -> dict[pathlib.Path, str]:
    """Return the page with the rules of the code."""
    rows = [f"| [`{rule.id}`]({rule.id}.md) | {rule.severity} | {rule.source} |\n" for rule in rules.RULES]
    table = "<!-- table: findings -->\n| finding | severity | source |\n|---|---|---|\n" + "".join(rows)
    return {PAGE: pages.with_generated(PAGE, table)}
