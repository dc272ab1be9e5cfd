"""The existing metrics with their labels, from docs/reference/metrics.md.

Another test compares that page with a running operator.
"""

import re

from tests.docs import markdown

METRICS = {
    **{markdown.codes(row[0])[0]: set(markdown.codes(row[1])) for row in markdown.table("metrics")},
    # Metrics of the client library's process collector, which the table names only as a whole.
    **{name: set[str]() for name in ("process_resident_memory_bytes", "process_cpu_seconds_total")},
}
# Labels that a scraper or a histogram adds to a metric.
_BESIDE = {"instance", "le"}
_NAME = re.compile(r"\b((?:hostnetwork|process)_\w+)\b(?:\{([^}]*)\})?")
_GROUPED = re.compile(r"\b(?:by|on|without|ignoring) ?\(([^)]*)\)")
_LABEL = re.compile(r"(\w+) ?(?:=~|!~|!=|=)")


def unknown(expression: str) -> set[str]:
    """Return the unknown metric names in a PromQL expression, and the labels that none of its metrics has."""
    wrong: set[str] = set()
    labels: set[str] = set(_BESIDE)
    references = _NAME.findall(expression)
    for name, selector in references:
        base = re.sub(r"_(bucket|count|sum)$", "", name)
        if base not in METRICS:
            wrong.add(name)
            continue
        labels |= METRICS[base]
        wrong |= set(_LABEL.findall(selector)) - METRICS[base] - _BESIDE
    for group in _GROUPED.findall(expression):
        wrong |= {label.strip() for label in group.split(",")} - labels
    return wrong if references else {"no metric at all"}
