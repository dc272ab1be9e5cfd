"""`status`: every workload with host namespaces, in the order in which they need attention."""

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from hostnetwork_operator.cli import errors, flags, tables, watching

if TYPE_CHECKING:
    from hostnetwork_operator.cli import clusters, connect, reading
    from hostnetwork_operator.decide import inventory

_EXAMPLES: Final = """\b
Examples:
  # Every workload with host networking, also on a cluster with nothing installed
  kubectl hostnetwork status
\b
  # One namespace, with classes, nodes and reasons
  kubectl hostnetwork status -n monitoring -o wide
\b
  # Fail a job if a pod has no exception
  kubectl hostnetwork status --fail-on Uncovered,Expired"""
_COLUMNS: Final = (
    "NAMESPACE", "WORKLOAD", "CLASS", "AGENT", "PODS", "NODES", "SHARES",
    "VERDICT", "EXCEPTION", "OWNER", "EXPIRES", "WHY",
)  # fmt: skip
_WIDE: Final = frozenset({"AGENT", "NODES", "SHARES", "WHY"})
_ATTENTION: Final = frozenset({"Uncovered", "Expired", "Unknown"})
_SURE: Final = {"certain": "", "likely": "?", "unknown": "??"}
_VERDICTS: Final = ("Uncovered", "Expired", "Unknown", "Covered", "Static", "Exempt")


class _Verdicts(click.ParamType[frozenset[str]]):
    """A list of verdicts, such as `Uncovered,Expired`."""

    name = "verdicts"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[str]:
        if isinstance(value, frozenset):
            return value
        names = {text.strip().lower(): text.strip() for text in value.split(",")}
        known = {name.lower(): name for name in _VERDICTS}
        if wrong := [text for key, text in names.items() if key not in known]:
            self.fail(f"{wrong[0]!r} is not a verdict; use one or more of {', '.join(_VERDICTS)}", param, ctx)
        return frozenset(known[key] for key in names)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        head, _, last = incomplete.rpartition(",")
        prefix = f"{head}," if head else ""
        return [CompletionItem(prefix + name) for name in _VERDICTS if name.lower().startswith(last.lower())]


@click.command(name="status", epilog=_EXAMPLES, short_help="Show every workload with host networking")
@flags.namespaces
@flags.selector("Only pods with these labels, such as app=web.")
@click.option("--all", "every_pod", is_flag=True, help="Also pods with only hostPID or hostIPC: lists every pod.")
@click.option("--fail-on", type=_Verdicts(), metavar="VERDICTS", help="Exit 3 if a pod has one of these verdicts.")
@flags.watch
@flags.output
@flags.clusters
def command(
    *,
    targets: tuple[flags.Target, ...],
    form: flags.Format,
    headers: bool,
    namespace: str | None,
    selector: str,
    every_pod: bool,
    fail_on: frozenset[str] | None,
    watch: bool,
) -> int:
    """Show every workload with host networking: what it looks like, the verdict on its pods, and its exception.

    With --all, also workloads that share only the PIDs or the IPC of their nodes: that needs a list of every pod.

    Works on a cluster with nothing installed. What needs attention comes first. CLASS is what the workload looks like:
    ? means likely. ?? means unknown: nothing in the catalogue fits, or the workload shares more than the agent needs.
    Exits 1 if something could not be looked at.
    """
    if watch:
        watching.check(form, fail_on, targets)
    import asyncio

    from hostnetwork_operator.cli import clusters

    query = _Query(namespace, selector, every_pod=every_pod)
    if watch:
        return asyncio.run(_watch(targets[0], query, form, headers=headers))
    answers = asyncio.run(clusters.ask(targets, lambda connection: look(connection, query)))
    clusters.show(answers, _view(), form, headers=headers)
    ends = {exit_status(each.result, fail_on) for each in answers if each.result is not None}
    if clusters.unreached(answers) or errors.Exit.FAILED in ends:
        return errors.Exit.FAILED
    return max(ends)


@dataclass(frozen=True, slots=True)
class _Query:
    """What to look at."""

    namespace: str | None
    selector: str
    every_pod: bool = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class StatusResult:
    """What the command found, for every form. `reading` says what was not looked at.

    `every_pod`: whether pods with only hostPID or hostIPC were listed too.
    """

    overview: "inventory.Overview"
    reading: "reading.Reading"
    every_pod: bool = field(kw_only=True)


async def _watch(target: flags.Target, query: _Query, form: flags.Format, *, headers: bool) -> int:
    from hostnetwork_operator.cli import clusters, connect

    view = _view()

    def show(result: StatusResult) -> None:
        clusters.show([clusters.ClusterAnswer(target.context, result)], view, form, headers=headers)

    async with connect.connect(target) as connection:
        await watching.watch(lambda: look(connection, query), _table, show, form, headers=headers)


async def look(connection: "connect.Connection", query: _Query) -> StatusResult:
    """Read the cluster, and return the result."""
    from hostnetwork_operator.cli import reading
    from hostnetwork_operator.decide import inventory
    from hostnetwork_operator.observe import live

    pods = reading.WhichPods.ALL if query.every_pod else reading.WhichPods.ON_THE_HOST_NETWORK
    read = await reading.read(connection, live.Scope(query.namespace, query.selector), pods=pods)
    return StatusResult(inventory.overview(read.plans()), read, every_pod=query.every_pod)


def exit_status(result: StatusResult, fail_on: frozenset[str] | None) -> int:
    """Return the exit status. It does not depend on the form of the output."""
    unreadable = any(workload.classification is None for workload in result.overview.workloads)
    if result.reading.not_looked_at or unreadable:
        return errors.Exit.FAILED
    found = {verdict.value for verdict in result.overview.pods}
    return errors.Exit.FINDINGS if fail_on and found & fail_on else errors.Exit.FINE


def _view() -> "clusters.View[StatusResult]":
    from hostnetwork_operator.cli import clusters

    return clusters.View(document, _table, _names, _summary, lambda result: result.reading)


def _names(result: StatusResult) -> list[str]:
    subjects = [workload.subject for workload in result.overview.workloads]
    return [f"{tables.resource(subject)}/{subject.name}" for subject in subjects]


def _table(result: StatusResult) -> tables.Table:
    now = result.reading.now
    rows = []
    for workload in result.overview.workloads:
        seen = workload.classification
        rows.append((
            workload.subject.namespace,
            f"{tables.kind(workload.subject.kind)}/{workload.subject.name}",
            f"{seen.type}{_SURE[seen.confidence]}" if seen is not None else "",
            seen.agent if seen is not None else "",
            str(workload.pods),
            str(workload.nodes),
            ",".join(workload.host_namespaces),
            workload.verdict,
            ",".join(workload.exceptions),
            workload.owner,
            tables.until(workload.expiry, now),
            workload.why,
        ))  # fmt: skip
    return tables.Table(_COLUMNS, tuple(rows), _WIDE, flexible=("OWNER", "EXCEPTION", "CLASS"))


def _summary(result: StatusResult, context: str | None) -> list[str]:
    """Return the summary and the next step, for people."""
    overview = result.overview
    pods, kind = sum(overview.pods.values()), "host namespaces" if result.every_pod else "hostNetwork"
    counted = ", ".join(f"{number} {verdict}" for verdict, number in overview.pods.items())
    workloads = tables.count(len(overview.workloads), "workload")
    found = f"{tables.count(pods, 'pod')} with {kind} in {workloads}: {counted}."
    if not pods:
        found = f"No pod with {kind}." if not result.reading.not_looked_at else "No such pod seen."
    if not result.every_pod:
        found += " For pods with only hostPID or hostIPC, use --all."
    lines = [found]
    if overview.namespaces:
        governed = ", ".join(f"{number} {word}" for word, number in overview.enforcement.items())
        levels = ", ".join(f"{number} {word}" for word, number in overview.levels.items())
        lines.append(f"{tables.count(len(overview.namespaces), 'namespace')}: {governed}; {levels}.")
    if not result.reading.installed:
        lines.append("The API server does not serve HostNetworkExceptions: hostnetwork-operator is not installed.")
    first = next((w for w in overview.workloads if w.verdict in _ATTENTION), None)
    if first is not None:
        subject = tables.cell(f"{tables.kind(first.subject.kind)}/{first.subject.name}")
        where = f"--context {shlex.quote(context)} " if context else ""
        lines.append(f"Next: kubectl hostnetwork why {where}-n {first.subject.namespace} {subject}")
    return lines


def document(result: StatusResult) -> dict[str, Any]:
    """Return the result as it is written with -o json and -o yaml."""
    overview, read = result.overview, result.reading
    return {
        "apiVersion": tables.API_VERSION,
        "kind": "HostNetworkStatus",
        "time": tables.moment(read.now),
        "installed": read.installed,
        "everyPodListed": result.every_pod,
        "summary": {
            "workloads": len(overview.workloads),
            "pods": {verdict.value: number for verdict, number in overview.pods.items()},
            "namespaces": {"enforcement": overview.enforcement, "level": overview.levels},
        },
        "workloads": [_workload(workload) for workload in overview.workloads],
        "namespaces": [
            {
                "name": each.name,
                "enforcement": each.enforcement,
                "level": each.level or None,
                "relaxed": each.relaxed,
                "exempt": each.exempt,
            }
            for each in overview.namespaces
        ],
        "notLookedAt": tables.not_looked_at(read.not_looked_at),
    }


def _workload(workload: "inventory.HostWorkload") -> dict[str, Any]:
    subject, seen = workload.subject, workload.classification
    return {
        "apiVersion": subject.api_version,
        "kind": subject.kind,
        "namespace": subject.namespace,
        "name": subject.name,
        "class": tables.classification(seen),
        "hostNamespaces": [name.value for name in workload.host_namespaces],
        "verdict": workload.verdict.value,
        "why": workload.why,
        "verdicts": {verdict.value: number for verdict, number in sorted(workload.verdicts.items())},
        "exceptions": list(workload.exceptions),
        "owner": workload.owner or None,
        "expiry": tables.moment(workload.expiry),
        "pods": workload.pods,
        "nodes": workload.nodes,
    }
