"""docs/reference/reports.md describes exactly what the code writes into reports."""

from hostnetwork_operator.api import labels
from hostnetwork_operator.api import report as words
from hostnetwork_operator.decide import report, rules, snapshot
from tests.docs import markdown
from tests.unit import builders

PAGE = markdown.ROOT / "docs" / "reference" / "reports.md"
ODD = snapshot.UnreadablePod(builders.NAMESPACE, "odd", "uid-of-odd", "KeyError: 'image'")


def entries() -> list[words.Entry]:
    """Return the entries for covered, uncovered, expired, static and unreadable pods, and for a refused workload."""
    covered, ended = builders.hne(), builders.hne("ended", service_account_name="late", expiry=builders.at(minutes=-1))
    pods = [
        builders.pod(),
        builders.pod("other", service_account="other"),
        builders.pod("late", service_account="late"),
        builders.pod("static", mirror=True),
    ]
    agent_image = frozenset({"quay.io/cilium/cilium:v1"})
    shortage = builders.shortage("cilium", pod=builders.pod(service_account="nobody", images=agent_image))
    version = snapshot.MinorVersion(1, 36)
    state = builders.seen(*pods, ODD, covered, ended, kubernetes=version, shortages=(shortage,))
    plan = builders.planned(state)
    assert {pod_verdict.verdict for pod_verdict in plan.verdicts} == set(labels.Verdict) - {"Exempt", "Unknown"}
    return [
        entry
        for workload_report in report.reports(state, plan.judged, plan.found, plan.refused)
        for entry in workload_report.entries
    ]


def test_every_result_is_documented_and_no_other() -> None:
    """The table has the policy, the rule and each result of the rule about pods; the findings have their own pages."""
    rows = [[markdown.codes(cell) for cell in row[:3]] for row in markdown.table("report-results", PAGE)]
    pods = {(policy, rule, result) for (policy,), (rule,), (result,) in rows[:-1]}
    results = {(entry.policy, entry.rule, entry.result.value) for entry in entries() if entry.policy == report.POLICY}
    assert results == pods
    assert rows[-1][0] == [report.FINDINGS_POLICY]
    assert {entry.rule for entry in entries() if entry.policy == report.FINDINGS_POLICY} <= {r.id for r in rules.RULES}
    # A finding never fails: it only deserves attention.
    assert set(rows[-1][2]) == {word.value for word in words.Result} - {"fail"}


def test_every_property_is_documented_and_no_other() -> None:
    """The table has the properties, and the id that every result has."""
    properties = {name for entry in entries() for name in entry.properties} | {"resultID"}
    assert properties == {markdown.codes(row[0])[0] for row in markdown.table("report-properties", PAGE)}


def test_both_kinds_are_named_as_they_are_served() -> None:
    """The page names each kind's resource and version."""
    text = PAGE.read_text()
    for kind in (words.OPEN_REPORT, words.POLICY_REPORT):
        assert f"`{kind.plural}.{kind.group}`, {kind.version}" in text.replace("\n", " ")
        assert f"kubectl get {kind.plural}.{kind.group} -A -l {labels.MANAGED_BY}={labels.MANAGER}" in text
