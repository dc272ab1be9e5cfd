"""The report as one HTML page for an auditor: no script, no address, nothing loaded, and the evidence inside.

The Content-Security-Policy of the page allows one style, by its digest, and nothing else. So even a text that became a
tag by a mistake here could run nothing, load nothing and send nothing.
"""

import base64
import hashlib
import importlib.resources
from dataclasses import dataclass
from typing import Final

from hostnetwork_operator.cli import report_charts, report_sections, tables
from hostnetwork_operator.cli.markup import Child, Markup, element, join, verbatim
from hostnetwork_operator.decide import exhibits, trend
from hostnetwork_operator.decide.exhibits import Determination

# Prints the digest of the evidence within a page.
CHECK: Final = (
    "python3 -c \"import hashlib,html,re,sys; page=open(sys.argv[1],encoding='utf-8',newline='').read();"
    " found=re.search('<pre id=.evidence.[^>]*>(.*?)</pre>',page,re.S)[1];"
    ' print(hashlib.sha256(html.unescape(found).encode()).hexdigest())" FILE.html'
)
_BLIND_DAYS: Final = 10  # that are named
_SECTIONS: Final = (
    ("scope", "What was looked at"),
    ("overview", "Overview"),
    ("trend", "Trend"),
    ("violations", "Violations"),
    ("namespaces", "Namespaces"),
    ("workloads", "Workloads"),
    ("exceptions", "Exceptions"),
    ("findings", "Findings"),
    ("duties", "Who may do what"),
    ("governance", "What governs the cluster"),
    ("method", "Method and limits"),
    ("mapping", "Related controls"),
    ("glossary", "Words"),
    ("evidence-section", "Evidence"),
)
_GLOSSARY: Final = tuple(
    (line.partition(": ")[0], line.partition(": ")[2])
    for line in """\
hostNetwork pod: a pod that shares the network of its node. The pod can read the traffic of the node.
exception: a HostNetworkException, a record with owner, reason, scope and end that allows such pods.
in force: valid, approved, not ended, and not withheld by the operator.
Covered: an exception in force covers the whole pod.
Uncovered: no exception in force covers the pod.
Expired: an exception that has ended covered the pod.
Static: the pod comes from a file on its node, and the API server cannot refuse it.
Exempt: the namespace is exempt by the HostNetworkExceptionPolicy, so no exception is asked for.
Unknown: the verdict could not be determined.
lifted: the Pod Security level of a namespace is privileged because an exception is in force. Admission policies hold \
all other pods to the level of the guard.
looks like: the class of a workload by a catalogue of published agents. The class decides nothing.
""".splitlines()
)
_MARKS: Final = {
    # A circle, a square and a diamond: three shapes, so that colour is not the only difference.
    Determination.PASS: (
        "good",
        "M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm-1.6 14.6-4-4L8 11l2.4 2.4L16 7.8l1.6 1.6z",
    ),
    Determination.FAIL: (
        "bad",
        "M3 3h18v18H3zM8.6 7 7 8.6l3.4 3.4L7 15.4 8.6 17l3.4-3.4 3.4 3.4 1.6-1.6-3.4-3.4L17 8.6 15.4 7 12 10.4z",
    ),
    Determination.NOT_DETERMINED: ("open", "M12 1l11 11-11 11L1 12zm-1.2 14v2.4h2.4V15zm0-8.6v7h2.4v-7z"),
}


@dataclass(frozen=True, slots=True)
class History:
    """The archive to which the report was added: the trend of its reports, their number, and its head."""

    trend: trend.Trend
    reports: int
    head: str


def render(found: exhibits.AuditEvidence, canonical: str, history: History | None = None) -> str:
    """Return the page. `canonical` is the canonical JSON of the evidence."""
    digest = exhibits.digest(canonical)
    style = _style()
    title = f"CIS {found.control.id} evidence: {found.cluster.name or 'cluster'}, {tables.moment(found.as_of)}"
    policy = f"default-src 'none'; style-src 'sha256-{_sha256(style)}'; base-uri 'none'; form-action 'none'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        # Written by hand: `text` would change the quotes of the policy.
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="robots", content="noindex"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        Markup(f"<style>{style}</style>"),
    )
    body = element(
        "body",
        _header(found, digest),
        _contents(),
        element("main", _main(found, canonical, digest, history)),
        _foot(found),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _main(found: exhibits.AuditEvidence, canonical: str, digest: str, history: History | None) -> list[Child]:
    contents = (
        _scope(found),
        element(
            "div",
            report_charts.expiries(found),
            report_charts.classes(found),
            report_charts.levels(found),
        ),
        _trend(history),
        report_sections.violations(found),
        report_sections.namespaces(found),
        report_sections.workloads(found),
        report_sections.exceptions(found),
        report_sections.findings(found),
        report_sections.duties(found),
        report_sections.governance(found),
        _method(found),
        report_sections.mapping(found),
        report_sections.pairs(_GLOSSARY),
        _evidence(canonical, digest),
    )
    sections: list[Child] = [_verdicts(found)]
    for (name, heading), content in zip(_SECTIONS, contents, strict=True):
        title = element("h2", heading, id=f"{name}-heading")
        sections.append(element("section", title, content, id=name, aria_labelledby=f"{name}-heading"))
    sections.append(_sign_off())
    return sections


def _header(found: exhibits.AuditEvidence, digest: str) -> Markup:
    control, cluster = found.control, found.cluster
    scope = "all namespaces" if found.scope.namespace is None else f"namespace {found.scope.namespace} only"
    facts: list[tuple[str, Child]] = [
        ("Control", f"{control.framework} {control.version}, {control.id} ({control.assessment}): {control.title}"),
        ("Cluster", element("bdi", cluster.name or "no name")),
        ("Cluster uid", element("code", cluster.uid or "not known")),
        ("Kubernetes", cluster.version or "not known"),
        ("Read at", element("time", tables.moment(found.generated) or "", datetime=tables.moment(found.generated))),
        ("Scope", scope),
        ("Mode", _mode(found)),
        ("Made by", f"{found.tool.name} {found.tool.version}"),
        ("SHA-256 of the evidence", element("code", digest)),
    ]
    if found.scope.contacts_masked:
        facts.append(("Contacts", "masked"))
    notices: list[Child] = [element("p", control.statement, class_="statement")]
    if found.as_of != found.generated:
        notices.append(
            element(
                "p",
                f"Judged for {tables.moment(found.as_of)}: what will have expired by then, if nothing else changes. The"
                " pods and exceptions are those of the time of reading.",
                class_="notice",
            )
        )
    return element(
        "header",
        element("p", "hostnetwork-operator", class_="brand"),
        element("h1", f"Host networking: evidence for CIS {control.id}"),
        notices,
        report_sections.pairs(facts),
    )


def _mode(found: exhibits.AuditEvidence) -> str:
    spec = found.governance.policy.spec
    if not found.governance.installed:
        return "hostnetwork-operator is not installed"
    if spec is None:
        return "no policy" if found.governance.policy.known else "not known"
    return str(spec.get("mode"))


def _trend(history: History | None) -> Markup:
    if history is None:
        return element(
            "p",
            "This report shows one moment. A report that is added to an archive every day (report --append DIR) shows"
            " what has changed.",
        )
    found = history.trend
    blind = ", ".join(map(str, found.blind[-_BLIND_DAYS:]))
    blind = f"{len(found.blind)}: {blind}" if len(found.blind) <= _BLIND_DAYS else f"{len(found.blind)}, last {blind}"
    cleaned = [seconds for day in found.days for seconds in day.clean_up_seconds]
    median = found.median_clean_up_seconds
    facts: list[tuple[str, Child]] = [
        ("Reports", f"{history.reports}, on {tables.count(len(found.days), 'day')}"),
        ("Blind days", blind if found.blind else "none"),
        (
            "Time to clean-up",
            f"median {tables.age(round(median))}, longest {tables.age(max(cleaned))}, of"
            f" {tables.count(len(cleaned), 'exception')}"
            if median is not None
            else "no exception ended with a clean-up",
        ),
        ("Head of the archive", element("code", history.head)),
    ]
    note = (
        "A day is blind if no report of the day could look at pods, namespaces and exceptions. An exception opens when"
        " it comes into force, and ends when it is in force no longer. The trend does not see an exception that was"
        " created and deleted between two reports. The time to clean-up is that from the expiry of an exception until"
        " none of its pods was left, as the operator wrote into the status."
    )
    return join([report_sections.pairs(facts), report_charts.days(found), element("p", note, class_="muted")])


def _contents() -> Markup:
    links = [element("li", element("a", heading, href=f"#{name}")) for name, heading in _SECTIONS]
    return element("nav", element("ul", links), aria_label="Contents")


def _verdicts(found: exhibits.AuditEvidence) -> Markup:
    cards = []
    for line in found.verdicts:
        name, path = _MARKS[line.result]
        mark = element("svg", element("path", d=path), viewBox="0 0 24 24", class_="mark", aria_hidden="true")
        cards.append(
            element(
                "li",
                element("h3", line.title),
                element("p", mark, element("strong", line.result), class_="result"),
                element("p", line.sentence),
                element("p", element("span", "Rule: "), line.rule, class_="rule"),
                class_=f"card {name}",
            )
        )
    heading = element("h2", "Three questions, three answers", id="verdicts-heading")
    why = (
        "The benchmark asks for a policy in each namespace, kube-bench counts running pods, and this operator asks for"
        " an exception for each pod. The answers differ for good reasons, so the report gives no overall result."
    )
    return element(
        "section",
        heading,
        element("p", why),
        element("ol", cards, class_="cards"),
        id="verdicts",
        aria_labelledby="verdicts-heading",
    )


def _scope(found: exhibits.AuditEvidence) -> Markup:
    summary = found.summary
    seen = (
        f"{tables.count(summary.namespaces, 'namespace')}; {tables.count(summary.pods, 'pod')} that share a namespace"
        f" of their node ({summary.host_network_pods} hostNetwork, {summary.host_pid_pods} hostPID,"
        f" {summary.host_ipc_pods} hostIPC) in {tables.count(summary.workloads, 'workload')};"
        f" {tables.count(summary.exceptions, 'exception')}, {summary.in_force} in force."
    )
    missing = [
        element("li", element("b", each.what), f": {each.why}; {each.consequence}")
        for each in found.scope.not_looked_at
    ]
    box: Markup = element("p", "Everything that the report needs could be read.")
    if missing:
        box = element(
            "div",
            element("h3", "Not looked at"),
            element("p", "The person who made the report could not read this. Not looked at is not clean."),
            element("ul", missing),
            class_="notice",
        )
    return join(
        [
            element("p", seen),
            box,
        ]
    )


def _method(found: exhibits.AuditEvidence) -> Markup:
    return join(
        [
            element("p", "These commands read the same objects, so that you can count again:"),
            element("ul", [element("li", element("code", each)) for each in found.method.queries], class_="plain"),
            element("h3", "Limits"),
            element("ul", [element("li", each) for each in found.method.limits]),
            element("h3", "What the report cannot contain"),
            element("p", "The API server does not keep this. Ask for it if you need it:"),
            element("ul", [element("li", each) for each in found.scope.not_contained]),
        ]
    )


def _evidence(canonical: str, digest: str) -> Markup:
    size = f"{len(canonical.encode()):,} bytes of JSON"
    return join(
        [
            element(
                "p",
                "Everything on this page is made from the JSON below. Its SHA-256 is ",
                element("code", digest),
                ".",
            ),
            element("p", "This command prints the SHA-256 of the JSON within the saved page:"),
            element("p", element("code", CHECK)),
            element("p", "The JSON is in the HTML file, and not on paper.", class_="print-only"),
            element(
                "details",
                element("summary", f"Show {size}"),
                element("pre", verbatim(canonical), id="evidence", tabindex="0", aria_label="Evidence as JSON"),
                class_="raw",
            ),
        ]
    )


def _sign_off() -> Markup:
    lines = [element("li", name) for name in ("Prepared by", "Reviewed by", "Date", "Signature")]
    return element("section", element("h2", "Sign-off"), element("ul", lines), class_="print-only sign-off")


def _foot(found: exhibits.AuditEvidence) -> Markup:
    return element("footer", element("p", found.control.statement))


def _style() -> str:
    text = importlib.resources.files("hostnetwork_operator.cli").joinpath("report.css").read_text(encoding="utf-8")
    return f"\n{text}"


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
