"""The lists of a report as tables that work on paper, on a phone, and without JavaScript.

A list that is long is grouped, and a group opens at a click. Paper shows every group.
"""

import datetime
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from hostnetwork_operator.api import conditions, exception
from hostnetwork_operator.cli import tables
from hostnetwork_operator.cli.markup import NOTHING, Child, Markup, element, join
from hostnetwork_operator.decide import exhibits, rules
from hostnetwork_operator.decide.exhibits import Restriction, ViolationKind

_DIGEST: Final = re.compile("(@sha256:[0-9a-f]{12})[0-9a-f]{52}$")
Part = TypeVar("Part")
_OPEN_ROWS: Final = 40  # so many rows are open at first, so that the page stays short
_ATTENTION: Final = ("Uncovered", "Expired", "Unknown")
_OUTSIDE: Final = ("Static", "Exempt")
_BAD: Final = frozenset({"Uncovered", "Expired", "None", "Invalid", "NotApproved", "FAIL", "high"})
_GOOD: Final = frozenset({"Covered", "PodSecurity", "AdmissionPolicy", "Active", "PASS"})
_VIOLATIONS: Final = {
    ViolationKind.NAMESPACE_OPEN: "Namespaces without a policy",
    ViolationKind.UNCOVERED: "Workloads whose pods have no exception",
    ViolationKind.EXPIRED: "Workloads whose exception has expired",
    ViolationKind.UNKNOWN: "Workloads about which the verdict is not known",
}
_WORKLOAD_HEADS: Final = ("Workload", "Looks like", "Pods", "Verdict", "Exception", "Uses")
_UNREAD: Final = "The exceptions could not be read."
_RESTRICTIONS: Final = {
    Restriction.POD_SECURITY: "Pod Security",
    Restriction.ADMISSION_POLICY: "Admission policy",
    Restriction.NONE: "Nothing",
    Restriction.UNKNOWN: "Not known",
}


def violations(found: exhibits.AuditEvidence) -> Markup:
    """Return what a person must act on, by kind."""
    if not found.violations:
        return _nothing("There is nothing to act on in what was looked at.")
    groups = []
    for kind, title in _VIOLATIONS.items():
        of_kind = [each for each in found.violations if each.kind is kind]
        rows = [
            (
                join([element("b", each.namespace), f"/{each.subject}" if each.subject else ""]),
                join([_said(each.sentence), _small(f"pods since {_day(each.since)}") if each.since else ""]),
                _remedy(each.remedy),
            )
            for each in of_kind
        ]
        if of_kind:
            groups.append((f"{title}: {len(of_kind)}", rows, NOTHING))
    return _groups("Violations", ("Where", "What", "What to do"), groups, (25, 40, 35))


def namespaces(found: exhibits.AuditEvidence) -> Markup:
    """Return the namespaces: those that nothing restricts first."""
    if not found.namespaces:
        return _nothing("No namespace could be looked at.")
    unsure = {Restriction.NONE, Restriction.UNKNOWN}
    open_ones = [each for each in found.namespaces if each.counted and each.restriction in unsure]
    restricted = [each for each in found.namespaces if each.counted and each.restriction not in unsure]
    others = [each for each in found.namespaces if not each.counted]
    groups = _parts(
        _namespace,
        ("Without a policy, or not known", open_ones),
        ("With a policy", restricted),
        ("Of Kubernetes itself, not counted", others),
    )
    heads = ("Namespace", "Refused by", "Pod Security labels", "Enforcement", "Level written by", "hostNetwork pods")
    return _groups("Namespaces", heads, groups, (15, 25, 20, 15, 10, 15))


def workloads(found: exhibits.AuditEvidence) -> Markup:
    """Return the workloads by namespace. Namespaces with something to act on come first."""
    if not found.workloads:
        return _nothing("No pod that shares a namespace of its node was seen.")
    by_namespace = [
        (name, list(members)) for name, members in itertools.groupby(found.workloads, key=lambda each: each.namespace)
    ]
    by_namespace.sort(key=lambda group: (not any(each.verdict in _ATTENTION for each in group[1]), group[0]))
    groups = []
    for name, members in by_namespace:
        counts = Counter(each.verdict.value for each in members)
        counted = ", ".join(f"{number} {verdict}" for verdict, number in sorted(counts.items()))
        groups.append(
            (f"{name}: {tables.count(len(members), 'workload')}, {counted}", list(map(_workload, members)), NOTHING)
        )
    note = element("p", "Digests of images are shortened here. The evidence at the end has them whole.", class_="muted")
    return join([note, _groups("Workloads", _WORKLOAD_HEADS, groups, (15, 15, 15, 20, 15, 20))])


def exceptions(found: exhibits.AuditEvidence) -> Markup:
    """Return the register of exceptions: those that do not work first, those that have ended last."""
    if not found.exceptions:
        if not found.governance.installed:
            return _nothing("The API server does not serve HostNetworkExceptions.")
        return _nothing(_UNREAD if _unread(found) else "There is no exception.")
    broken: list[exhibits.ExceptionEvidence] = []
    in_force: list[exhibits.ExceptionEvidence] = []
    ended: list[exhibits.ExceptionEvidence] = []
    for each in found.exceptions:
        over = each.state is conditions.Ready.EXPIRED and not each.remaining_pods
        (in_force if each.in_force else ended if over else broken).append(each)
    groups = _parts(
        _exception, ("Not in force, or expired with pods left", broken), ("In force", in_force), ("Ended", ended)
    )
    heads = ("Exception", "Owner", "Reason", "Allows", "Time", "State")
    return _groups("Exceptions", heads, groups, (15, 15, 15, 20, 15, 20))


def findings(found: exhibits.AuditEvidence) -> Markup:
    """Return the findings about exceptions by rule, each rule with what to do."""
    if not found.findings:
        return _nothing(_UNREAD if _unread(found) else "No rule warns about an exception.")
    by_rule: dict[str, list[exhibits.FindingEvidence]] = {}
    for each in found.findings:
        by_rule.setdefault(each.rule, []).append(each)
    remedies = {rule.id: rule.remedy for rule in rules.RULES}
    heads, groups = ("Exception", "What"), []
    for name, members in by_rule.items():
        rows = [(join([element("b", each.namespace), f"/{each.exception}"]), _said(each.sentence)) for each in members]
        remedy = remedies.get(name, members[0].remedy)
        note = element("p", _badge(members[0].severity), " What to do: ", _remedy(remedy))
        groups.append((f"{name}: {len(members)}", rows, note))
    return _groups("Findings about exceptions", heads, groups, (35, 65))


def duties(found: exhibits.AuditEvidence) -> Markup:
    """Return who may do what, as RBAC grants it."""
    rows = []
    for each in found.duties:
        if each.holders is None:
            holders: Markup = element("span", "not known: RBAC could not be read")
        elif not each.holders:
            holders = element("span", "nobody but members of the group system:masters")
        else:
            holders = element("ul", [element("li", name) for name in each.holders])
        rows.append((element("b", each.right), holders))
    note = (
        "As RBAC grants it. Members of the group system:masters may do all of this. Not named are users who can get"
        " such a right: by the verbs bind, escalate or impersonate, by writing RBAC, or by using the service account"
        " of a holder."
    )
    return join([element("p", note), _table("Who may do what", ("Right", "Who"), rows, (30, 70))])


def governance(found: exhibits.AuditEvidence) -> Markup:
    """Return what governs the cluster: the policy, the admission policies and the operator."""
    governed = found.governance
    parts: list[Markup] = []
    if not governed.installed:
        parts.append(element("p", "hostnetwork-operator is not installed: its kinds are not served."))
    spec = governed.policy.spec
    if spec is not None:
        exempt = ", ".join(spec.get("exemptNamespaces", ())) or "none"
        rules = tables.count(len(spec.get("rules") or ()), "rule")
        facts = [
            ("Mode", str(spec.get("mode"))),
            ("Pod Security level", str((spec.get("podSecurity") or {}).get("enforce"))),
            ("Exempt namespaces", exempt),
            ("Rules for some namespaces", f"{rules}; the JSON has them"),
            ("Created", f"{_day(governed.policy.created)}, generation {governed.policy.generation}"),
        ]
        parts += [element("h3", "HostNetworkExceptionPolicy"), pairs(facts)]
    elif governed.installed:
        what = "There is none that can be read." if governed.policy.known else "Not known: it could not be read."
        parts.append(element("p", f"HostNetworkExceptionPolicy: {what}"))
    operator = governed.operator
    running = {None: "not known", False: "not found", True: f"{operator.available_replicas} available"}[operator.found]
    parts += [element("h3", "Operator"), pairs([("Replicas", running), ("Image", operator.image or "not known")])]
    rows = [
        (
            element("code", each.name),
            _badge({None: "not known", True: "in place", False: "missing"}[each.in_place]),
            join([f"since {tables.moment(each.since)}" if each.since else "", _said(each.why_not)]),
        )
        for each in governed.admission_policies
    ]
    return join(
        [*parts, _table("Admission policies of the operator", ("Policy", "State", "Detail"), rows, (45, 15, 40))]
    )


def mapping(found: exhibits.AuditEvidence) -> Markup:
    """Return the related controls of other frameworks."""
    rows = [(element("b", each.id), each.framework, each.title, each.relation, each.source) for each in found.mapping]
    note = "Each id and title was compared with the source in the last column. Whether a control is met is not said."
    heads = ("Id", "Framework", "Title", "Relation", "Source")
    return join([element("p", note), _table("Related controls", heads, rows, (10, 20, 30, 15, 25))])


def pairs(facts: Iterable[tuple[str, Child]]) -> Markup:
    """Return facts with their names."""
    return element("dl", [join([element("dt", name), element("dd", value)]) for name, value in facts])


def _unread(found: exhibits.AuditEvidence) -> bool:
    """Return whether the exceptions could not be read: not looked at is not none."""
    return any(each.what == exception.PLURAL for each in found.scope.not_looked_at)


def _parts(
    row: Callable[[Part], Sequence[Child]], *parts: tuple[str, Sequence[Part]]
) -> list[tuple[str, list[Sequence[Child]], Markup]]:
    """Return a group for each part that has members, with its title and their number."""
    return [(f"{title}: {len(members)}", list(map(row, members)), NOTHING) for title, members in parts if members]


def _namespace(each: exhibits.NamespaceEvidence) -> Sequence[Child]:
    psa = [f"enforce {each.enforce or 'none'}" + (f" ({each.enforce_version})" if each.enforce_version else "")]
    psa += [f"{name} {value}" for name, value in (("audit", each.audit), ("warn", each.warn)) if value]
    marks = [word for word, true in (("exempt", each.exempt), ("lifted for an exception", each.relaxed)) if true]
    marks += ["terminating"] if each.terminating else []
    marks += [f"guard {each.guard}"] if each.guard else []
    by = {None: "not known", True: "the operator", False: "another client"}[each.level_by_operator]
    return (
        element("b", each.name),
        join([_badge(each.restriction, _RESTRICTIONS[each.restriction]), _small(each.why)]),
        join([", ".join(psa)]),
        join([each.enforcement or "off", _small(", ".join(marks))]),
        by if each.enforce else "-",
        str(each.host_network_pods),
    )


def _workload(each: exhibits.WorkloadEvidence) -> Sequence[Child]:
    seen = each.class_
    looks: Child = "cannot be read"
    if seen is not None:
        looks = join([f"{seen.type}", _small(f"{seen.agent or 'no known agent'}, {seen.confidence}")])
    verdicts = ", ".join(f"{number} {verdict}" for verdict, number in each.verdicts.items())
    covered: Child = "none"
    if each.exceptions:
        until = f"ends {_minute(each.expiry)}" if each.expiry else "no expiry"
        covered = join([_said(", ".join(each.exceptions)), _small(f"{each.owner or 'no owner'}; {until}")])
    on = f"{tables.count(each.pods, 'pod')} on {tables.count(each.nodes, 'node')}"
    since = f"since {_day(each.since)}" if each.since else ""
    # Why the others have their verdict is among the violations.
    why = each.why if each.verdict in _OUTSIDE else ""
    return (
        join([element("b", each.name), _small(each.kind)]),
        looks,
        join([on, _small(f"{', '.join(each.host_namespaces) or 'not known'}; {since}")]),
        join([_badge(each.verdict), _small(verdicts if len(each.verdicts) > 1 else ""), _small(why)]),
        covered,
        _uses(each),
    )


def _uses(each: exhibits.WorkloadEvidence) -> Markup:
    facts: list[Child] = [element("li", f"service account {', '.join(each.service_accounts) or 'not known'}")]
    facts += [
        element("li", element("code", _image(image.name)), "" if image.pinned else " (no digest)")
        for image in each.images
    ]
    facts += _extras(each)
    return element("ul", facts, class_="uses")


def _exception(each: exhibits.ExceptionEvidence) -> Sequence[Child]:
    kind = " ".join(filter(None, (each.type, f"({each.component})" if each.component else "")))
    state = each.state or "Unreadable"
    why = "" if each.in_force else each.why
    pods = tables.count(each.covered_pods, "pod") + " covered"
    pods = f"{tables.count(each.remaining_pods, 'pod')} left" if each.remaining_pods else pods
    end = f"ends {_minute(each.expiry)}" if each.expiry else "no expiry" if each.state else "end not known"
    review = _day(each.reviewed) + (f" for {each.reviewed_for}" if each.reviewed_for else "") if each.reviewed else ""
    return (
        join([element("b", each.name), _small(each.namespace), _small(kind)]),
        join(
            [
                _said(each.owner or "-"),
                _small(each.contact or ""),
                _small(f"ticket {each.ticket}" if each.ticket else ""),
            ]
        ),
        _said(each.reason or "-"),
        _allows(each),
        element(
            "ul",
            element("li", f"created {_day(each.created)}"),
            element("li", end),
            element("li", f"reviewed {review}") if review else "",
            class_="uses",
        ),
        join([_badge(state), _small(pods), _small(why), _small(", ".join(each.findings))]),
    )


def _allows(each: exhibits.ExceptionEvidence) -> Child:
    if each.state is None:
        return "not known"
    facts: list[Child] = [
        element("li", f"service account {each.service_account}"),
        element("li", ", ".join(each.host_namespaces) or "no host namespace"),
        element("li", f"otherwise level {each.pod_security_level}"),
    ]
    facts += [element("li", element("code", _image(image))) for image in each.images or ()]
    facts += [element("li", "any image")] if each.images is None else []
    facts += _extras(each)
    return element("ul", facts, class_="uses")


def _extras(each: exhibits.WorkloadEvidence | exhibits.ExceptionEvidence) -> list[Child]:
    facts: list[Child] = [element("li", "privileged")] if each.privileged else []
    facts += [element("li", f"capabilities {', '.join(each.capabilities)}")] if each.capabilities else []
    facts += [
        element("li", element("code", path.path), " (read only)" if path.read_only else " (writable)")
        for path in each.host_paths
    ]
    facts += [element("li", "ports of the node")] if each.host_ports else []
    return facts


def _groups(
    caption: str,
    heads: Sequence[str],
    groups: Sequence[tuple[str, Sequence[Sequence[Child]], Markup]],
    widths: Sequence[int],
) -> Markup:
    """Return groups that open at a click, each with a note. The first groups are open, as far as they are short."""
    shown, parts = 0, []
    for title, rows, note in groups:
        shown += len(rows)
        is_open = shown <= _OPEN_ROWS
        parts.append(
            element(
                "details",
                element("summary", title),
                note,
                _table(f"{caption}: {title}", heads, rows, widths),
                open=is_open,
            )
        )
    return join(parts)


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Child]], widths: Sequence[int]) -> Markup:
    """Return a table whose columns have these widths in percent, a multiple of five.

    On a narrow screen each row is a card, so the roles are said and each cell has its head.
    """
    return element(
        "table",
        element("caption", caption),
        element("colgroup", [element("col", class_=f"w{width}") for width in widths]),
        element(
            "thead",
            element("tr", [element("th", head, scope="col", role="columnheader") for head in heads], role="row"),
            role="rowgroup",
        ),
        element(
            "tbody",
            [
                element(
                    "tr",
                    element("th", cells[0], scope="row", role="rowheader", data_label=heads[0]),
                    [
                        element("td", cell, role="cell", data_label=head)
                        for head, cell in zip(heads[1:], cells[1:], strict=True)
                    ],
                    role="row",
                )
                for cells in rows
            ],
            role="rowgroup",
        ),
        role="table",
        class_="list",
    )


def _badge(value: str, word: str = "") -> Markup:
    """Return a word with a mark before it, so that colour is never the only difference."""
    name = "bad" if value in _BAD or value == "missing" else "good" if value in _GOOD or value == "in place" else "open"
    mark = {"bad": "✕", "good": "✓", "open": "•"}[name]
    return element("span", element("span", mark, aria_hidden="true"), " ", word or value, class_=f"badge {name}")


def _said(text: str) -> Markup:
    """Return a text of a user. It keeps its direction to itself."""
    return element("bdi", text)


def _small(text: str) -> Markup:
    return element("small", element("bdi", text)) if text else NOTHING


def _remedy(text: str) -> Markup:
    """Return a remedy, with its command as one."""
    words, kubectl, command = text.partition("kubectl ")
    return join([words, element("code", kubectl + command) if kubectl else ""])


def _image(name: str) -> str:
    """Return an image with the beginning of its digest."""
    return _DIGEST.sub(r"\1…", name)


def _nothing(text: str) -> Markup:
    return element("p", text, class_="muted")


def _minute(moment: datetime.datetime) -> str:
    return f"{moment.astimezone(datetime.UTC):%Y-%m-%d %H:%MZ}"


def _day(moment: datetime.datetime | None) -> str:
    return (tables.moment(moment) or "")[:10] or "not known"
