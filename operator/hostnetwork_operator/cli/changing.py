"""Changes the spec of an exception as the person who runs the command: shows the change, has it checked, asks, writes.

What is shown is what was read before the question. A change that gives something is not written if the spec has changed
since then.
"""

import asyncio
import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from hostnetwork_operator.act import gateway, versions
from hostnetwork_operator.api import conditions, exception
from hostnetwork_operator.cli import asking, connect, errors, flags, progress, reading, tables, writing
from hostnetwork_operator.decide import consequences, plan, register, snapshot
from hostnetwork_operator.observe import live, parse


@dataclass(frozen=True, slots=True)
class Present:
    """An exception as it was read at `now`, with its namespace and what the operator plans for it.

    A person who may write exceptions may not be able to read everything that a plan needs. Then `entry` and `plan` are
    None, and what is shown is what the operator has reported in the status. `state` is None without the namespace.
    `kubernetes` is the minor version, '' if it cannot be told.
    """

    body: writing.Body
    entry: register.Registered | None
    state: snapshot.NamespaceSnapshot | None
    plan: plan.NamespacePlan | None
    now: datetime.datetime
    kubernetes: str
    reading: reading.Reading

    @property
    def spec(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.body["spec"]
        return found

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.body["metadata"]["namespace"])

    @property
    def ready(self) -> str:
        """The reason of the condition Ready; '' if it is not known."""
        if self.entry is not None and self.entry.state is not None:
            return str(self.entry.state)
        return str((writing.condition(self.body, conditions.ConditionType.READY) or {}).get("reason") or "")

    @property
    def why(self) -> str:
        """The sentence for the reason."""
        if self.entry is not None:
            return self.entry.why
        return str((writing.condition(self.body, conditions.ConditionType.READY) or {}).get("message") or "")

    @property
    def pods(self) -> int:
        """The number of covered pods."""
        return self.entry.covered if self.entry is not None else writing.covered(self.body)

    @property
    def ended(self) -> bool:
        """Whether the expiry has passed, by the spec: a status that claims an end must not keep a person from one."""
        subject = parse.host_network_exception(self.body)
        return isinstance(subject, exception.HostNetworkException) and subject.spec.until <= self.now


@dataclass(frozen=True, slots=True)
class Intent:
    """A change that a person wants: the merge patch of the spec for a moment of the API server, and the texts about it.

    `gives`: the change gives something, so the spec must still be the one that was shown. `moves_end`: nothing is
    written if the operator would find the exception Invalid afterwards. `command` is what a person without the right
    hands to one who has it.
    """

    spec: Callable[[datetime.datetime], Mapping[str, Any]]
    lines: list[str]
    question: str
    command: str
    gives: bool = field(kw_only=True)
    moves_end: bool = field(default=False, kw_only=True)
    done: Callable[[writing.Body], bool] = writing.decided
    shown: str = ""  # YAML


@dataclass(frozen=True, slots=True)
class _CheckedChange:
    present: Present
    intent: Intent
    answer: writing.Body | None
    refused: str = ""
    approvers: tuple[str, ...] = ()


def run(
    target: flags.Target,
    namespace: str | None,
    name: str,
    intend: Callable[[Present], Intent | None],
    form: flags.Format,
    done: str,
    *,
    dry_run: bool,
    yes: bool,
) -> int:
    """Carry out what `intend` makes of the present exception: nothing if that is None, and `intend` has said why.

    Return the exit status. Raise what `intend` raises.
    """
    checked = asyncio.run(_check(target, namespace, name, intend))
    if checked is None:
        return errors.Exit.FINE
    intent = checked.intent
    if checked.refused:
        return _hand_over(checked)
    if intent.shown and not (yes and form is not flags.Format.TABLE):
        click.echo(f"{intent.shown}\n", err=True)
    for line in intent.lines:
        tables.say(line, "  ")
    writing.say_unread(checked.present.reading, "the state of the exception is what the operator has reported")
    if dry_run:
        writing.show(checked.answer or {}, form, f"{done} (server dry run)")
        tables.say(f"The API server would accept the change. {asking.NOTHING_WRITTEN}")
        return errors.Exit.FINE
    if not yes and not asking.agreed(intent.question):
        return errors.Exit.FAILED
    asyncio.run(_write(target, checked, form, done))
    return errors.Exit.FINE


async def _check(
    target: flags.Target, namespace: str | None, name: str, intend: Callable[[Present], Intent | None]
) -> _CheckedChange | None:
    async with connect.connect(target) as connection:
        with progress.shown("reading the exception"):
            present = await _read(connection, namespace or connection.namespace, name)
        intent = intend(present)
        if intent is None:
            return None
        try:
            answer = await writing.dry_patch(connection, present.body, intent.spec(present.now))
        except gateway.ApiError as error:
            if not await writing.lacks_right(connection, error, "patch", present.namespace):
                raise
            approvers = tuple(await writing.approvers(connection))
            return _CheckedChange(present, intent, None, error.message or error.reason, approvers)
    writing.say_warnings(answer)
    subject = parse.host_network_exception(answer.body)
    if intent.moves_end and present.state is not None and isinstance(subject, exception.HostNetworkException):
        wrong = consequences.mistake(subject, present.state, present.now)
        if wrong:
            raise errors.CommandError(f"error: the exception would be Invalid: {wrong}")
    return _CheckedChange(present, intent, answer.body)


async def _read(connection: connect.Connection, namespace: str, name: str) -> Present:
    try:
        body = (await connection.gateway.get(writing.path(namespace, name))).body
    except gateway.ApiError as error:
        if error.status == 404 and not error.gone:
            raise errors.CommandError(writing.NOT_SERVED) from error
        raise
    kubernetes = await _version(connection)
    read = await reading.read(connection, live.Scope(namespace), pods=reading.WhichPods.OF_EXCEPTIONS)
    now = read.now.replace(microsecond=0)
    pairs = [pair for pair in read.plans() if pair[0].namespace.name == namespace]
    entry = next((each for each in register.register(pairs) if each.name == name and each.subject), None)
    state, namespace_plan = pairs[0] if pairs else (None, None)
    if read.not_looked_at or entry is None:
        return Present(body, None, state, None, now, kubernetes, read)
    return Present(body, entry, state, namespace_plan, now, kubernetes, read)


async def _version(connection: connect.Connection) -> str:
    """Return the minor version of Kubernetes; '' if it cannot be told."""
    try:
        return str((await versions.ask(connection.gateway)).minor)
    except versions.VersionError:
        return ""
    except gateway.ApiError as error:
        if error.status in {0, 401}:
            raise
        return ""


async def _write(target: flags.Target, checked: _CheckedChange, form: flags.Format, done: str) -> None:
    intent, body = checked.intent, checked.present.body
    async with connect.connect(target) as connection:
        await connection.gateway.get(writing.path(checked.present.namespace, checked.present.name))  # for the time
        spec = intent.spec(connection.clock.now())
        written = await writing.patch(connection, body, spec, versioned=intent.gives)
        if form is flags.Format.TABLE:
            writing.show(written, form, done)
        with progress.shown("waiting for the operator"):
            seen = await writing.reported(connection, written, intent.done)
    if form is not flags.Format.TABLE:
        writing.show(seen, form, done)
    writing.say_state(seen)


def _hand_over(checked: _CheckedChange) -> int:
    """Write the command that a person who may not change the exception gives to one who may."""
    tables.say(f"Error from server (Forbidden): {checked.refused}")
    tables.say(f"You may not change the exception. {asking.NOTHING_WRITTEN} Hand over the command on stdout.")
    for line in checked.approvers:
        tables.say(line, "  ")
    click.echo(tables.cell(checked.intent.command))
    return errors.Exit.FAILED


def head(present: Present) -> str:
    """Return a line about an exception: what it is, whose, its state, and how many pods it covers."""
    spec = present.spec
    name = f"hne/{present.name} in namespace {present.namespace}: {spec.get('type')}, owner {spec.get('owner')}."
    if not present.ready:
        return f"{name} Whether the exception is in force is not known."
    return f"{name} {present.ready}: {present.why}; it covers {tables.count(present.pods, 'pod')}."


def approves(present: Present) -> list[str]:
    """Return a line if any change of the spec approves an exception that is not approved now."""
    if present.ready != conditions.Ready.NOT_APPROVED:
        return []
    return ["The exception is not approved now. Your change approves the whole exception as it is above."]


def as_yaml(present: Present) -> str:
    """Return the spec of an exception as YAML."""
    return tables.as_yaml({"spec": dict(present.spec)})


def moved(field_name: str, old: str | None, new: str) -> str:
    """Return a line about a field that changes."""
    return f"{field_name}: {new}, as before" if old == new else f"{field_name}: {old or 'none'} → {new}"
