"""Every place that reads what a tenant may write, with the reason why the tenant gains nothing (ADR 0026).

A new place fails the test until its author has found out who can write the value, when, and what a forged value would
gain. The threat model has the same list by fact: docs/explanation/threat-model.md, "What is believed".
"""

import ast
import pathlib
from collections.abc import Iterator

from tests.docs import markdown

PACKAGE = markdown.ROOT / "operator" / "hostnetwork_operator"
LAYERS = ("observe", "decide", "control", "act")
# Fields of objects that a tenant may write, and the names of their contents in the code.
CLAIMS = {
    "labels",
    "annotations",
    "status",
    "conditions",
    "phase",
    "managedFields",
    "ownerReferences",
    "enforcement",
    "grants",
    "mirror",
    "verdict_label",
    "owner",
}
# Objects that the operator itself creates: plans, effects and ledger records. Their parts have the same names.
OWN_OBJECTS = {
    "before",
    "decision",
    "difference",
    "effect",
    "following",
    "namespace_plan",
    "owned",
    "part",
    "plan",
    "write",
}
# The names of HTTP answers and of the gateway's errors.
ANSWERS = {"error", "response"}

REASONS: dict[str, tuple[str, ...]] = {
    # -- passes a claim on and decides nothing
    "parses a Namespace; who reads its labels and annotations stands below": (
        "decide.snapshot:Namespace.enforcement",
        "decide.snapshot:Namespace.grants",
        "observe.parse:namespace",
    ),
    "parses a pod: whether it says that it is a mirror pod, its verdict label, and its controller": (
        "observe.parse:_label",
        "observe.parse:_pod",
        "observe.parse:controller",
    ),
    "parses the status of an exception, which is compared with what is to stand there, and decides nothing": (
        "observe.parse:_status",
        "observe.parse:host_network_exception",
    ),
    # -- decides nothing: the claim is shown, or compared with the wanted value
    "a status is written where it differs, and an Event told once; a forged one costs one write": (
        "decide.messages:standing_events",
        "decide.plan:_Planner._find",
        "decide.plan:_Planner._status",
        "decide.plan:_Planner._status_of_used",
        "decide.status:_looming",
        "decide.status:status_for",
        "decide.status:reported",
    ),
    "a finding (Unused, MixedNamespace) that is shown and decides nothing": ("decide.rules.rule:Case.last_used",),
    "why an exception covers nothing, in words: a static pod is nobody's": (
        "decide.unused:_others",
        "decide.unused:why",
    ),
    "with what a pod was installed: who forges it turns a warning (MixedNamespace) into a note, which opens nothing": (
        "observe.parse:release",
    ),
    "a flag is written where the label differs; verdicts come from what cannot change": ("decide.plan:_flagged",),
    "who answers for an exception: text of an approved spec": ("decide.rules.contact_missing:_judge",),
    "how much room annotations leave: an exception for which a tenant leaves none is withheld": (
        "decide.snapshot:Namespace.room",
    ),
    "which of too many exceptions are judged: who writes a grant, while namespace-labels is away, has it already": (
        "decide.approval:_judged",
    ),
    "what a contest withholds is given with its guard where somebody else has lifted the level: a tenant who claims"
    " that, in a moment without namespace-labels, gains a guard": ("decide.contest:agrees",),
    "a young namespace that says Held is left alone: namespace-labels keeps the label from creators, and in"
    " a moment without it one gains the minutes of restoreGrace": ("decide.level:_restored_until",),
    "how often a status is written": ("control.pace:_key", "decide.gathering:gist"),
    "which pods are judged together: pods with any difference are not, whoever wrote it": ("decide.snapshot:kind",),
    "since when no pod of an exception is left, for a report: exception-writers refuses every other writer of a status,"
    " and nothing is decided by the time": ("decide.listing:_cleaned_up",),
    "what a person is shown; nothing is granted by a class or a row": (
        "decide.classify:_traits",
        "decide.explain:explain",
        "observe.manifests:_read",
        "decide.checking:changed",
        "decide.checking:governed",
        "decide.terms:granted",
        "decide.inventory:Overview.enforcement",
        "decide.inventory:of_pods",
        "decide.inventory:namespace",
        "decide.listing:_restriction",
        "decide.listing:_namespace",
        "decide.listing:_workload",
        "decide.listing:exception",
    ),
    "words for people": (
        "decide.draft:Justification.spec",
        "decide.messages:_namespace_text",
        "decide.messages:verdict_events",
        "decide.plan:unchanged",
        "decide.writes:_action",
    ),
    "the owner of a pod or workload names a row of a report and where Events go, and which Job is asked for its own"
    " template before it is deleted": (
        "decide.deletion:_job_of",
        "decide.messages:finding_events",
        "decide.messages:job_events",
        "decide.messages:owner_events",
        "decide.report:_between",
        "decide.report:top_owner",
        "decide.report:reports",
        "observe.parse:standing_report",
    ),
    "which workloads lack pods: who writes a false status of his own workload is told what is true, that its pods would"
    " be refused (A37)": (
        "observe.refused:_counted",
        "observe.refused:shortage",
    ),
    "whether Pod Security refuses the pods of a workload: the API server enforces the very label that is read": (
        "decide.refusals:_refuses",
    ),
    "when a workload is read again: whether pods that name it as their owner have come": (
        "control.shortages:Shortages.heed",
    ),
    # -- only tightens
    "the verdict Static: nothing is deleted. The API takes the annotation from kubelets alone, and from who binds a pod"
    " by hand. Such a pod was covered when it was admitted (T11)": ("decide.coverage:judge",),
    "enforcement that has been on stays on: a claim makes it stricter": ("decide.level:_once_on",),
    "until Deny is written, the gate's answer counts, for a minute at most: a claim of Deny drops it, and asks again": (
        "control.gate_check:_is_begun",
    ),
    "without a policy object what stands stays, and nothing new is granted": (
        "decide.level:_standing_target",
        "decide.level:decide",
    ),
    "a level of somebody else bars lifting: who writes it bars his own grants": ("decide.level:lifting_is_barred",),
    "labels under our prefix that the ledger does not prove only tighten; labels under other prefixes are the rule"
    " author's choice, and rule-selectors warns him (A6)": (
        "decide.level:settings_for",
        "decide.selection:present",
        "decide.selection:settings",
    ),
    "a write gives or takes by what it changes: what is taken for giving is written with the version that was judged": (
        "decide.writes:_loosens",
    ),
    "the version by which the guard judges: a version older than the policy's is written over in the same write, and"
    " Pod Security Admission judges by the same label": ("decide.level:_guard_version",),
    # -- compares the present value with the wanted value
    "what stands is compared with what is wanted; what differs is written": (
        "decide.level:changes",
        "decide.level:_fitting",
        "decide.level:level_of",
        "decide.level:_denying",
        "decide.level:_released",
        "decide.level:_level_before",
        "decide.level:_unless_theirs",
        "decide.writes:_grants",
    ),
    "a label is the operator's where the ledger, or what this process wrote last, has the very value": (
        "decide.ownership:owned",
        "decide.ownership:record",
    ),
    "what stands, and the ledger has as the operator's, is applied as it stands: nobody's value changes": (
        "decide.writes:_claims",
        "decide.writes:_write",
    ),
    "how often a write of the operator was undone; tightening never counts": (
        "decide.contest:_present",
        "decide.contest:_tightened",
        "decide.contest:planned",
    ),
    # -- believes a claim under a condition
    "while the ledger is lost or unreadable, a label that a rule selects by, unless it loosens what stands": (
        "decide.selection:_is_what_stands",
    ),
    "a grant that stands keeps its place, or stays, only for an exception that is approved otherwise; who writes a"
    " grant while namespace-labels is away has it already": (
        "decide.grants:_is_granted",
        "decide.grants:_withheld",
        "decide.grants:_within_limits",
        "decide.terms:is_granted",
        "decide.validity:_in_trouble",
    ),
    "believed only of a namespace that was created at least 5 s after namespace-labels, or by trustAtInstall": (
        "decide.ownership:_adopted",
    ),
    "since when a namespace is Held, before the ledger has it; never later than now": ("decide.level:_noted",),
    # -- the gate: what keeps a namespace in Audit or Held (docs/explanation/architecture.md#the-gate)
    "the gate: whether a pod or Job is at its end, what its template asks, and who makes it. A tenant can hold his own"
    " namespace with what is older than the moment since which it is Held": (
        "observe.living:workload",
        "observe.living:asked",
        "observe.parse:runs_or_will",
        "observe.living:top",
    ),
    # -- reads objects that RBAC protects
    "status of the HostNetworkExceptionPolicy: cluster-scoped, written by the operator alone": (
        "act.policies:_write",
        "control.bookkeeping:Bookkeeper.load",
        "decide.summary:clock_event",
        "decide.summary:guards_event",
        "decide.summary:ledger_event",
        "decide.summary:kubernetes_event",
        "decide.summary:policy_event",
        "decide.summary:policy_status",
        "decide.summary:seal_event",
        "decide.summary:_reported_missing",
        "decide.summary:_with",
        "decide.summary:_workloads",
        "observe.cluster:read.read_ledger",
        "observe.parse:host_network_policy",
    ),
    # -- reads no claim
    "names what it asks an API server to refuse, in a dry run; reads no claim": ("control.api_servers:",),
    "whether an address is ready, as the API servers say of themselves; a forged one gets no token": (
        "control.api_servers:_addresses",
    ),
    "what the API server answers to a review, which nobody else writes": ("control.access:_review",),
    "the name of a field in a schema that the API server publishes": ("decide.definitions:_paths",),
    "the status code of an HTTP answer": (
        "act.gateway:ApiError.gone",
        "act.gateway:ApiError.namespace_ends",
        "act.gateway:ApiError.outcome",
        "act.gateway:ApiError.passing",
        "act.gateway:ApiError.unanswered",
        "act.gateway:Gateway._once",
        "control.server:_serving.serve",
        "control.session:open_http.Response.json",
    ),
    "which right a request needs, and whether an answer is one: parts of a path and of a Review": (
        "act.forms:right",
        "act.forms:trouble",
    ),
    "which owner is asked for, as the plan names the owner": ("control.needs:Needs._find_owners",),
    "after a lost answer: whether the namespace has every value that was to be written": ("act.namespaces:_written",),
    "a change that the operator is to make": ("decide.writes:_Difference.nothing",),
    "names the field that is written": (
        "act.exceptions:write_status",
        "act.ledger:_create",
        "act.namespaces:_claim",
        "act.namespaces:write",
        "act.pods:write_verdict",
        "decide.debugging:_metadata",
        "decide.debugging:exception",
    ),
}


def _reads() -> Iterator[tuple[str, str]]:
    """Yield each place (module and function) and the claim that it reads."""
    for path in sorted(file for layer in LAYERS for file in (PACKAGE / layer).rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for function, claim in _reads_in(ast.parse(path.read_text()), ""):
            yield f"{module}:{function}", claim


def _reads_in(node: ast.AST, function: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        inner = function
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{function}.{child.name}".strip(".")
        if isinstance(child, ast.Constant) and child.value in CLAIMS:
            yield inner, str(child.value)
        is_called = isinstance(node, ast.Call) and node.func is child
        if (
            isinstance(child, ast.Attribute)
            and child.attr in CLAIMS
            and isinstance(child.ctx, ast.Load)
            and not is_called
        ):
            parts = ast.unparse(child.value).split(".")
            if parts[-1] not in OWN_OBJECTS | ANSWERS and (parts[0] not in OWN_OBJECTS or parts[-1] == "namespace"):
                yield inner, child.attr
        yield from _reads_in(child, inner)


def test_every_place_that_reads_a_claim_says_why_it_may() -> None:
    """Each place that reads a label, an annotation, a status or an owner has a reason that says who could write it."""
    reading_places = {place for place, _ in _reads()}
    listed_places = [place for places in REASONS.values() for place in places]
    assert sorted(reading_places - set(listed_places)) == []
    assert sorted(set(listed_places) - reading_places) == []
    assert len(listed_places) == len(set(listed_places))


def test_nothing_reads_managed_fields() -> None:
    """The operator cuts managedFields from every answer before decoding, and omits them from Namespace patches."""
    naming_files = {
        file.relative_to(PACKAGE)
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and _names_managed_fields(node)
    }
    assert naming_files <= {pathlib.Path("bodies.py"), pathlib.Path("act/namespaces.py")}


def _names_managed_fields(node: ast.Constant) -> bool:
    text = node.value.decode() if isinstance(node.value, bytes) else str(node.value)
    return text == "managedFields" or text.startswith('"managedFields"')


def test_a_new_place_is_seen() -> None:
    """The walk finds reads by attribute and by key, also in methods; objects of the operator itself are no claims."""
    code = """
class A:
    def one(self, namespace):
        return namespace.labels["a"]
def two(body):
    return body["metadata"].get("annotations")
def three(write, metric):
    metric.labels("a").inc()
    return write.labels
def four(write):
    return write.namespace.labels
"""
    assert list(_reads_in(ast.parse(code), "")) == [("A.one", "labels"), ("two", "annotations"), ("four", "labels")]
