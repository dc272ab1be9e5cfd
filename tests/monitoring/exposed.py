"""Which metrics exist, with their labels: docs/reference/metrics.md, which a test compares with a running operator."""

import re

from tests.docs import markdown

METRICS = {
    **{markdown.codes(row[0])[0]: set(markdown.codes(row[1])) for row in markdown.table("metrics")},
    # Of the client library's process collector, which the table names as a whole.
    **{name: set[str]() for name in ("process_resident_memory_bytes", "process_cpu_seconds_total")},
}
# What is put beside a metric by whoever scrapes it, and by a histogram.
_BESIDE = {"instance", "le"}
_NAME = re.compile(r"\b((?:hostnetwork|process)_\w+)\b(?:\{([^}]*)\})?")
_GROUPED = re.compile(r"\b(?:by|on|without|ignoring) ?\(([^)]*)\)")
_LABEL = re.compile(r"(\w+) ?(?:=~|!~|!=|=)")


def unknown(expression: str) -> set[str]:
    """Names in a PromQL expression that are no metric of ours, and labels that none of its metrics has."""
    wrong: set[str] = set()
    labels: set[str] = set(_BESIDE)
    found = _NAME.findall(expression)
    for name, selector in found:
        base = re.sub(r"_(bucket|count|sum)$", "", name)
        if base not in METRICS:
            wrong.add(name)
            continue
        labels |= METRICS[base]
        wrong |= set(_LABEL.findall(selector)) - METRICS[base] - _BESIDE
    for group in _GROUPED.findall(expression):
        wrong |= {label.strip() for label in group.split(",")} - labels
    return wrong if found else {"no metric at all"}
