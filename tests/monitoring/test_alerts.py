"""The alert rules fire when they should and not otherwise, according to promtool; each alert has its page."""

import pathlib
import re
import subprocess
from typing import Any

import pytest
import yaml

from charts import render
from hostnetwork_operator import clock
from tests.docs import markdown
from tests.monitoring import exposed, promtool

RULES = render.MONITORING / "rules.yaml"
TESTS = pathlib.Path(__file__).parent / "alerts"
PAGES = markdown.ROOT / "docs" / "howto" / "alerts"
SEVERITIES = ("critical", "warning", "info")
_ADDRESS = "https://github.com/hostnetwork-operator/hostnetwork-operator/blob/main/docs/howto/alerts/"


def _rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


ALERTS = sorted({rule["alert"] for rule in _rules()})


@pytest.fixture(scope="module")
def program() -> pathlib.Path:
    return promtool.find_or_fetch()


def _promtool(program: pathlib.Path, *arguments: str) -> None:
    completed = subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=600, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr


def test_the_rules_are_valid(program: pathlib.Path) -> None:
    """promtool reports no error and no warning."""
    _promtool(program, "check", "rules", "--lint=all", "--lint-fatal", str(RULES))


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_fires_and_is_silent_when_it_should(program: pathlib.Path, alert: str) -> None:
    """The alert fires or is silent at the times in its test file, with the labels and texts there.

    The file has at least one time of each kind.
    """
    file = TESTS / f"{alert}.yaml"
    checks = [check for test in yaml.safe_load(file.read_text())["tests"] for check in test["alert_rule_test"]]
    assert {check["alertname"] for check in checks} == {alert}
    assert {bool(check["exp_alerts"]) for check in checks} == {True, False}
    _promtool(program, "test", "rules", str(file))


def test_every_rule_is_seen_to_fire() -> None:
    """The test files cover each pair of alert and severity, and no test names an alert that does not exist."""
    fired = set()
    for file in TESTS.iterdir():
        for test in yaml.safe_load(file.read_text())["tests"]:
            for check in test["alert_rule_test"]:
                fired |= {(check["alertname"], expected["exp_labels"]["severity"]) for expected in check["exp_alerts"]}
    assert {(rule["alert"], rule["labels"]["severity"]) for rule in _rules()} == fired
    assert {file.stem for file in TESTS.iterdir()} == set(ALERTS)


@pytest.mark.parametrize("rule", _rules(), ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_a_rule_says_what_a_person_needs(rule: dict[str, Any]) -> None:
    """A rule has a name, one of three severities, a summary without variables, a description and its page's address."""
    assert re.fullmatch(r"Hostnetwork([A-Z][a-z]+)+", rule["alert"])
    assert rule["labels"] in [{"severity": severity} for severity in SEVERITIES]
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert "{{" not in annotations["summary"]
    assert annotations["runbook_url"] == f"{_ADDRESS}{rule['alert']}.md"


@pytest.mark.parametrize("rule", _rules(), ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_a_rule_asks_for_metrics_that_exist(rule: dict[str, Any]) -> None:
    """The table of metrics has every metric and every label in the rule's expression."""
    assert exposed.unknown(rule["expr"]) == set()
    label_names = set().union(*exposed.METRICS.values(), {"value"})
    used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["description"]))
    assert used <= label_names


def test_every_alert_has_a_page_and_no_other() -> None:
    """A page has the severity from the rules and the sections that a user looks for."""
    assert {page.stem for page in PAGES.glob("*.md")} == set(ALERTS)
    for alert in ALERTS:
        text = (PAGES / f"{alert}.md").read_text()
        severities = [rule["labels"]["severity"] for rule in _rules() if rule["alert"] == alert]
        assert text.startswith(f"# {alert}\n\nSeverity {', '.join(severities)}")
        headings = [line for line in text.splitlines() if line.startswith("## ")]
        assert headings == ["## What it means", "## Look", "## What to do", "## When it is no problem"], alert


def test_the_index_has_every_alert_and_no_other() -> None:
    """The table of alerts has name, severities and a link, in the order of the rules."""
    rows = markdown.table("alerts", markdown.ROOT / "docs" / "howto" / "monitoring.md")
    expected: dict[str, list[str]] = {}
    for rule in _rules():
        expected.setdefault(rule["alert"], []).append(rule["labels"]["severity"])
    assert [[row[0].strip("| "), row[1].strip()] for row in rows] == [
        [f"[`{alert}`](alerts/{alert}.md)", ", ".join(severities)] for alert, severities in expected.items()
    ]


def test_the_skew_that_alerts_is_the_skew_that_stops_deletes() -> None:
    """The threshold in the rule equals the clock's tolerance."""
    (rule,) = [rule for rule in _rules() if rule["alert"] == "HostnetworkClockSkew"]
    assert rule["expr"].endswith(f"> {clock.TOLERANCE_SECONDS:g}")
