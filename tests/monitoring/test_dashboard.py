"""The Grafana dashboard queries existing metrics in valid PromQL, and its panels do not overlap."""

import json
import pathlib
import re
import subprocess
from typing import Any

import pytest
import yaml

from charts import render
from tests.monitoring import exposed, promtool

DASHBOARD: dict[str, Any] = json.loads((render.MONITORING / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
# The values that Grafana would use for its variables.
_VARIABLES = {"$__rate_interval": "5m", "$namespace": ".*"}


def _expression(target: dict[str, Any]) -> str:
    text: str = target["expr"]
    for name, value in _VARIABLES.items():
        text = text.replace(name, value)
    return text


@pytest.mark.parametrize(
    ("title", "target"), QUERIES, ids=lambda part: part if isinstance(part, str) else part["refId"]
)
def test_a_query_names_metrics_that_exist(title: str, target: dict[str, Any]) -> None:
    """The table of metrics has every metric, and every label in a selector, a sum or the legend."""
    assert exposed.unknown(target["expr"]) == set(), title
    grouped = {label for group in re.findall(r"\bby \(([^)]*)\)", target["expr"]) for label in group.split(", ")}
    assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= grouped


def test_every_query_is_promql(tmp_path: pathlib.Path) -> None:
    """promtool accepts each query as the expression of a rule."""
    rules = [{"record": f"query:{number}", "expr": _expression(target)} for number, (_, target) in enumerate(QUERIES)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    command = [str(promtool.find_or_fetch()), "check", "rules", "--lint=none", str(file)]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert f"{len(QUERIES)} rules found" in completed.stdout
    assert not [rule for rule in rules if "$" in rule["expr"]]


def test_every_metric_of_ours_is_on_it() -> None:
    """The dashboard has every metric of the table, except the version."""
    text = " ".join(target["expr"] for _, target in QUERIES)
    absent = {name for name in exposed.METRICS if name.startswith("hostnetwork_") and not re.search(rf"\b{name}", text)}
    assert absent == set()


def test_variables_are_declared() -> None:
    """Each variable in a panel is declared, and the namespace variable queries a metric that has the label."""
    declared = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(PANELS))) - {"__rate_interval"}
    assert used == set(declared)
    definition = declared["namespace"]["definition"]
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", definition).groups()  # type: ignore[union-attr]
    assert label in exposed.METRICS[metric]
    assert declared["namespace"]["query"]["query"] == definition


def test_panels_are_told_apart_and_do_not_overlap() -> None:
    """Each panel has its own id, title and description, and no two panels share a cell of the 24 columns."""
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    assert [panel["title"] for panel in PANELS if not panel["description"].endswith(".")] == []
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
