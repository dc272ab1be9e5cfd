"""`exceptions`: the register of exceptions, what needs attention first."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from hostnetwork_operator.cli import errors, flags, tables, watching

if TYPE_CHECKING:
    from hostnetwork_operator.cli import clusters, connect, reading
    from hostnetwork_operator.decide import register

_EXAMPLES: Final = """\b
Examples:
  # Every exception: what does not work first, then what ends soon or is not used
  kubectl hostnetwork exceptions
\b
  # What ends within a week, with owner and ticket
  kubectl hostnetwork exceptions --expiring 7d -o wide
\b
  # Fail a job if an exception covers nothing, or nobody has reviewed it in time
  kubectl hostnetwork exceptions --unused --review-due --fail-on any"""
_COLUMNS: Final = (
    "NAMESPACE", "NAME", "TYPE", "COMPONENT", "OWNER", "CONTACT", "TICKET",
    "STATE", "PODS", "EXPIRES", "FINDINGS", "WHY",
)  # fmt: skip
_WIDE: Final = frozenset({"COMPONENT", "CONTACT", "TICKET", "WHY"})


@click.command(name="exceptions", epilog=_EXAMPLES, short_help="List exceptions, what needs attention first")
@flags.namespaces
@flags.selector("Only exceptions with these labels, such as team=web.")
@click.option(
    "--expiring", "expiring_seconds", type=flags.DURATION, metavar="DURATION", help="In force, ends within 7d."
)
@click.option("--unused", is_flag=True, help="In force, and covers no pod.")
@click.option("--review-due", is_flag=True, help="A person must review the exception.")
@click.option("--fail-on", type=click.Choice(["any"]), help="Exit 3 if the list has an exception.")
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
    expiring_seconds: float | None,
    unused: bool,
    review_due: bool,
    fail_on: str | None,
    watch: bool,
) -> int:
    """List the exceptions with their owners, states, pods and ends.

    First what is not in force, then expired exceptions whose pods are left, then what ends soon, needs a review or is
    not used. With several filters, an exception is listed that fits any of them.
    """
    if watch:
        watching.check(form, fail_on, targets)
    import asyncio

    from hostnetwork_operator.cli import clusters

    wanted = Filters(selector, expiring_seconds, unused=unused, review_due=review_due)
    if watch:
        return asyncio.run(_watch(targets[0], namespace, wanted, form, headers=headers))
    answers = asyncio.run(clusters.ask(targets, lambda connection: look(connection, namespace, wanted)))
    clusters.show(answers, _view(), form, headers=headers)
    results = [each.result for each in answers if each.result is not None]
    if clusters.unreached(answers) or any(result.reading.not_looked_at for result in results):
        return errors.Exit.FAILED
    return errors.Exit.FINDINGS if fail_on and any(result.entries for result in results) else errors.Exit.FINE


@dataclass(frozen=True, slots=True)
class Filters:
    """Which exceptions to list: those with these labels, and of these all, or those that fit one of the filters."""

    selector: str
    expiring_seconds: float | None
    unused: bool
    review_due: bool

    def pick(self, entries: "tuple[register.Registered, ...]", read: "reading.Reading") -> "list[register.Registered]":
        import datetime

        if self.expiring_seconds is None and not self.unused and not self.review_due:
            return list(entries)
        period = datetime.timedelta(seconds=self.expiring_seconds or 0)
        return [
            entry
            for entry in entries
            if (self.expiring_seconds is not None and entry.ends_within(period, read.now))
            or (self.unused and entry.unused)
            or (self.review_due and entry.review_due)
        ]


@dataclass(frozen=True, slots=True)
class Register:
    """What the command found, for every form."""

    entries: "list[register.Registered]"
    reading: "reading.Reading"


async def _watch(
    target: flags.Target, namespace: str | None, wanted: Filters, form: flags.Format, *, headers: bool
) -> int:
    from hostnetwork_operator.cli import clusters, connect

    view = _view()

    def show(result: Register) -> None:
        clusters.show([clusters.ClusterAnswer(target.context, result)], view, form, headers=headers)

    async with connect.connect(target) as connection:
        await watching.watch(lambda: look(connection, namespace, wanted), _table, show, form, headers=headers)


async def look(connection: "connect.Connection", namespace: str | None, wanted: Filters) -> Register:
    """Read the cluster, and return the exceptions that are wanted."""
    from hostnetwork_operator.cli import reading
    from hostnetwork_operator.decide import register
    from hostnetwork_operator.observe import live

    read = await reading.read(connection, live.Scope(namespace), pods=reading.WhichPods.OF_EXCEPTIONS)
    entries = register.register(read.plans())
    if wanted.selector:
        within = f"/namespaces/{namespace}" if namespace else ""
        matching = await reading.selected(connection, f"{live.CUSTOM}{within}/hostnetworkexceptions", wanted.selector)
        entries = tuple(entry for entry in entries if (entry.namespace, entry.name) in matching)
    return Register(wanted.pick(entries, read), read)


def _view() -> "clusters.View[Register]":
    from hostnetwork_operator.cli import clusters

    return clusters.View(document, _table, _names, _summary, lambda result: result.reading)


def _names(result: Register) -> list[str]:
    return [f"hostnetworkexception.hostnetwork-operator.github.io/{entry.name}" for entry in result.entries]


def _table(result: Register) -> tables.Table:
    rows = []
    for entry in result.entries:
        spec = entry.subject.spec if entry.subject is not None else None
        rows.append((
            entry.namespace,
            entry.name,
            spec.type if spec else "",
            (spec.component or "") if spec else "",
            spec.owner if spec else "",
            (spec.contact or "") if spec else "",
            (spec.ticket or "") if spec else "",
            entry.state or "Unreadable",
            str(entry.covered or entry.remaining),
            tables.until(spec.expiry, result.reading.now) if spec else "",
            ",".join(finding.rule.id for finding in entry.warnings),
            entry.why,
        ))  # fmt: skip
    return tables.Table(_COLUMNS, tuple(rows), _WIDE, flexible=("TYPE", "OWNER", "FINDINGS"))


def _summary(result: Register, _context: str | None) -> list[str]:
    if not result.reading.installed:
        return ["The API server does not serve HostNetworkExceptions: hostnetwork-operator is not installed."]
    in_force = sum(entry.in_force for entry in result.entries)
    return [f"{tables.count(len(result.entries), 'exception')}, {in_force} in force."]


def document(result: Register) -> dict[str, Any]:
    """Return the result as it is written with -o json and -o yaml."""
    return {
        "apiVersion": tables.API_VERSION,
        "kind": "HostNetworkExceptionRegister",
        "time": tables.moment(result.reading.now),
        "installed": result.reading.installed,
        "exceptions": [_entry(entry) for entry in result.entries],
        "notLookedAt": tables.not_looked_at(result.reading.not_looked_at),
    }


def _entry(entry: "register.Registered") -> dict[str, Any]:
    spec = entry.subject.spec if entry.subject is not None else None
    return {
        "namespace": entry.namespace,
        "name": entry.name,
        "type": spec and spec.type.value,
        "component": spec and spec.component and spec.component.value,
        "owner": spec and spec.owner,
        "contact": spec and spec.contact,
        "reason": spec and spec.reason,
        "ticket": spec and spec.ticket,
        "expiry": spec and tables.moment(spec.expiry),
        "state": entry.state and entry.state.value,
        "inForce": entry.in_force,
        "why": entry.why,
        "coveredPods": entry.covered,
        "remainingPods": entry.remaining,
        "findings": [
            {"id": finding.rule.id, "message": finding.sentence, "remedy": finding.remedy} for finding in entry.warnings
        ],
    }
