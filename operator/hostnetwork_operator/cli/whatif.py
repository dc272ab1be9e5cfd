"""`whatif`: what enforcement would refuse of what exists, namespace by namespace. Dry runs only."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from hostnetwork_operator.cli import errors, flags, progress, tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hostnetwork_operator.api import labels
    from hostnetwork_operator.cli import connect, reading
    from hostnetwork_operator.decide import snapshot

_EXAMPLES: Final = """\b
Examples:
  # What would the next rollout break if enforcement were on everywhere?
  kubectl hostnetwork whatif
\b
  # The same at a stricter level, in one namespace
  kubectl hostnetwork whatif -n payments --level restricted
\b
  # Fail a job while something would be refused
  kubectl hostnetwork whatif --fail-on refused
\b
  # The namespaces that can be enforced
  kubectl hostnetwork whatif --clean -o name"""
_COLUMNS: Final = ("NAMESPACE", "ENFORCEMENT", "LEVEL", "SUBJECT", "REASON")
_AT_ONCE: Final = 4  # namespaces that are asked about at the same time


@click.command(name="whatif", epilog=_EXAMPLES, short_help="Show what enforcement would refuse")
@flags.namespaces
@flags.selector("Only namespaces with these labels, such as team=web.")
@click.option("--level", type=click.Choice(["baseline", "restricted"]), help="The level. Default: that of the policy.")
@click.option("--clean", is_flag=True, help="Show the namespaces in which nothing would be refused instead.")
@click.option("--fail-on", type=click.Choice(["refused"]), help="Exit 3 if something would be refused.")
@flags.output
@flags.cluster
def command(
    *,
    target: flags.Target,
    form: flags.Format,
    headers: bool,
    namespace: str | None,
    selector: str,
    level: str | None,
    clean: bool,
    fail_on: str | None,
) -> int:
    """Show which pods and templates enforcement would refuse, less what exceptions cover.

    Asks the questions of the operator's gate, also about workloads that are scaled to zero and CronJobs. You need the
    right to create pods in the preview namespaces of the operator; the requests are dry runs. Where these namespaces
    are not installed, Pod Security is asked with a dry run of a label, which shows running pods and no templates.
    """
    import asyncio

    result = asyncio.run(look(target, namespace, selector, level))
    _print(result, form, clean=clean, headers=headers)
    if result.reading.not_looked_at or any(each.failed for each in result.namespaces):
        return errors.Exit.FAILED
    return errors.Exit.FINDINGS if fail_on and any(each.refused for each in result.namespaces) else errors.Exit.FINE


@dataclass(frozen=True, slots=True)
class WouldRefuse:
    """A pod or template that would be refused, and why. `subject` is its kind and name: `Deployment web`."""

    subject: str
    reason: str

    @property
    def short_subject(self) -> str:
        """The subject as `why` takes it: `deploy/web`."""
        kind, _, name = self.subject.partition(" ")
        return f"{tables.kind(kind)}/{name}"


@dataclass(frozen=True, slots=True)
class Asked:
    """What was found in one namespace. `failed` says why it could not be told, or ''. `templates`: whether templates
    were asked about, too.
    """

    namespace: str
    enforcement: str
    level: str
    refused: tuple[WouldRefuse, ...]
    failed: str = ""
    templates: bool = dataclasses.field(default=True, kw_only=True)

    @property
    def clean(self) -> bool:
        """Whether everything was asked about, and nothing would be refused."""
        return not self.refused and not self.failed


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What the command found, for every form: each namespace that is not exempt."""

    namespaces: tuple[Asked, ...]
    reading: "reading.Reading"


async def look(target: flags.Target, namespace: str | None, selector: str, level: str | None) -> WhatIf:
    """Ask the gate about each namespace whose labels match."""
    import asyncio

    from hostnetwork_operator.cli import connect, reading
    from hostnetwork_operator.observe import live

    async with connect.connect(target) as connection:
        with progress.shown("reading the cluster"):
            read = await reading.read(connection, live.Scope(namespace))
            matching = await reading.selected(connection, "/api/v1/namespaces", selector) if selector else None
        states = [
            state
            for state, plan in read.plans()
            if not plan.exempt and not state.namespace.terminating
            if matching is None or ("", state.namespace.name) in matching
        ]
        limit = asyncio.Semaphore(_AT_ONCE)
        preview = await connect.preview_is_there(connection)

        async def ask(state: "snapshot.NamespaceSnapshot") -> Asked:
            async with limit:
                return await (_gate if preview else _label)(connection, state, level)

        with progress.shown(f"asking about {tables.count(len(states), 'namespace')}"):
            found = await asyncio.gather(*map(ask, states))
    return WhatIf(tuple(found), read)


async def _gate(connection: "connect.Connection", state: "snapshot.NamespaceSnapshot", level: str | None) -> Asked:
    """Ask the questions of the gate, also about what came after enforcement was wanted."""
    from hostnetwork_operator.act import gateway
    from hostnetwork_operator.decide import selection
    from hostnetwork_operator.observe import preview

    state = _with_level(state, level)
    state = dataclasses.replace(state, gate=None, ledger=dataclasses.replace(state.ledger, namespace=None))
    target = selection.settings(state).target
    try:
        answer = await preview.look(connection.gateway, state, target, connection.clock)
    except gateway.ApiError as error:
        if error.status in {0, 401}:
            raise
        return _asked(state, target, (), preview.explained(error.message or error.reason))
    pairs = (holder.partition(": ") for holder in answer.holders)
    return _asked(state, target, tuple(WouldRefuse(subject, reason) for subject, _, reason in pairs), answer.failed)


async def _label(connection: "connect.Connection", state: "snapshot.NamespaceSnapshot", level: str | None) -> Asked:
    """Ask Pod Security with a dry run of its own label: the warnings name the running pods that violate the level."""
    from hostnetwork_operator.api import labels
    from hostnetwork_operator.decide import selection

    target = labels.Level(level) if level else selection.settings(_with_level(state, level)).target
    path = f"/api/v1/namespaces/{state.namespace.name}"
    answer = await connection.gateway.preview_patch(path, {"metadata": {"labels": {labels.PSA_ENFORCE: target.value}}})
    if answer.refused:
        return dataclasses.replace(_asked(state, target, (), answer.refused), templates=False)
    return dataclasses.replace(_asked(state, target, *warned(answer.warnings)), templates=False)


def warned(warnings: "Iterable[str]") -> tuple[tuple[WouldRefuse, ...], str]:
    """Return which pods these warnings of Pod Security about a label name, and every other warning as text.

    Pod Security warns that pods violate the level, and then names a pod in each warning, how many are like it, and why.
    Before that it warns if it could not list the pods, or checked only the first of them. So what is not about a pod
    makes the answer incomplete.
    """
    import re

    refused: list[WouldRefuse] = []
    others: list[str] = []
    violated = False
    for text in warnings:
        named = re.fullmatch(r"([a-z0-9][a-z0-9.-]*(?: \(and [0-9]+ other pods?\))?): (.+)", text, re.DOTALL)
        if text.startswith("existing pods in namespace "):
            violated = True
        elif named and violated:
            refused.append(WouldRefuse(f"Pod {named[1]}", named[2]))
        else:
            others.append(text)
    return tuple(refused), "; ".join(others)


def _with_level(state: "snapshot.NamespaceSnapshot", level: str | None) -> "snapshot.NamespaceSnapshot":
    """Return the namespace under a policy that enforces at this level: the policy of the cluster, or its defaults."""
    from hostnetwork_operator.api import labels, policy
    from hostnetwork_operator.decide import snapshot

    spec = state.policy.spec or policy.PolicySpec(mode=policy.Mode.ENFORCE)
    update: dict[str, Any] = {"mode": policy.Mode.ENFORCE}
    if level is not None:
        update["rules"] = ()
        update["pod_security"] = spec.pod_security.model_copy(update={"enforce": labels.Level(level)})
    wanted = snapshot.PolicyState(snapshot.Existence.PRESENT, spec.model_copy(update=update), state.policy.created)
    return dataclasses.replace(state, policy=wanted)


def _asked(
    state: "snapshot.NamespaceSnapshot", target: "labels.Level", refused: tuple[WouldRefuse, ...], failed: str = ""
) -> Asked:
    return Asked(state.namespace.name, state.namespace.enforcement or "", target.value, refused, failed)


def _print(result: WhatIf, form: flags.Format, *, clean: bool, headers: bool) -> None:
    chosen = [each for each in result.namespaces if (each.clean if clean else each.refused)]
    names = (f"namespace/{each.namespace}" for each in chosen)
    shown = dataclasses.replace(result, namespaces=tuple(chosen)) if clean else result
    table = _clean_table(chosen) if clean else _table(chosen)
    tables.show(form, lambda: document(shown), table, names, headers=headers)
    if form.for_people:
        click.echo(err=True)
        tables.say(_summary(result), "  ")
        tables.say_left_out(table, form)
    for each in result.namespaces:
        if each.failed:
            tables.say(f"not looked at: namespace {each.namespace}: {each.failed}", "  ")
    tables.say_not_looked_at(result.reading.not_looked_at)


def _table(namespaces: "Sequence[Asked]") -> tables.Table:
    rows = [
        (each.namespace, each.enforcement, each.level, refused.short_subject, refused.reason)
        for each in namespaces
        for refused in each.refused
    ]
    return tables.Table(_COLUMNS, tuple(rows), flexible=("LEVEL", "ENFORCEMENT"), prose=True)


def _clean_table(namespaces: "Sequence[Asked]") -> tables.Table:
    return tables.Table(_COLUMNS[:3], tuple((each.namespace, each.enforcement, each.level) for each in namespaces))


def _summary(result: WhatIf) -> str:
    clean = sum(each.clean for each in result.namespaces)
    refused = sum(len(each.refused) for each in result.namespaces)
    text = f"{tables.count(len(result.namespaces), 'namespace')}: nothing would be refused in {clean}."
    if refused:
        text += f" {tables.count(refused, 'pod or template', 'pods and templates')} would be refused in the others."
    if not all(each.templates for each in result.namespaces):
        text += " Only running pods were asked about, because the preview namespaces are not installed."
    return text


def document(result: WhatIf) -> dict[str, Any]:
    """Return the result as it is written with -o json and -o yaml."""
    return {
        "apiVersion": tables.API_VERSION,
        "kind": "HostNetworkWhatIf",
        "time": tables.moment(result.reading.now),
        "namespaces": [
            {
                "name": each.namespace,
                "enforcement": each.enforcement or None,
                "level": each.level,
                "templatesAsked": each.templates,
                "refused": [{"subject": refused.subject, "reason": refused.reason} for refused in each.refused],
                "failed": each.failed or None,
            }
            for each in result.namespaces
        ],
        "notLookedAt": tables.not_looked_at(result.reading.not_looked_at),
    }
