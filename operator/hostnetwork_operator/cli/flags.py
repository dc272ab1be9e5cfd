"""The flags that verbs share, as kubectl has them. Imported for each completion, so it imports nothing but click."""

import contextlib
import datetime
import enum
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

Command = TypeVar("Command", bound=Callable[..., Any])
_UNLIMITED_SECONDS: Final = 86_400.0
TYPES: Final = ("Infrastructure", "Diagnostic", "Application")
_RESOURCES: Final = frozenset({"hne", "hostnetworkexception", "hostnetworkexceptions"})
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Format(enum.StrEnum):
    """The values of -o."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"

    @property
    def for_people(self) -> bool:
        """Whether a summary and hints go to stderr beside the result."""
        return self in {Format.TABLE, Format.WIDE}


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster a command is about, and as whom it asks."""

    kubeconfig: str | None = None
    context: str | None = None
    user: str | None = None
    groups: tuple[str, ...] = ()
    timeout_seconds: float | None = None  # None: the default of the gateway


class _Duration(click.ParamType[float]):
    """A duration as kubectl writes it: `30s`, `1m30s`, `7d`, or a number of seconds. The value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        if re.fullmatch(r"[0-9]{1,9}", value):
            return float(value)
        parts = re.findall(r"([0-9]{1,9})(ms|s|m|h|d)", value)
        if not parts or "".join(number + unit for number, unit in parts) != value:
            self.fail(f"{value!r} is not a duration such as 30s, 1h30m or 7d", param, ctx)
        return sum(int(number) * _UNITS[unit] for number, unit in parts)


class _NamespaceName(click.ParamType[str]):
    """The name of a namespace, which becomes a part of paths."""

    name = "namespace"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", value):
            self.fail(f"{value!r} is not the name of a namespace: small letters, digits and -, at most 63", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from hostnetwork_operator.cli import names

        return [CompletionItem(name) for name in names.namespaces(ctx, incomplete)]


class _WorkloadName(click.ParamType[str]):
    """A workload, such as `ds/node-exporter`."""

    name = "workload"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from hostnetwork_operator.cli import names

        return [CompletionItem(name) for name in names.workloads(ctx, incomplete)]


class _ExceptionName(click.ParamType[str]):
    """The name of an exception, which becomes a part of paths. `hne/NAME`, or what `-o name` prints, is the same."""

    name = "exception"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        resource, slash, name = str(value).rpartition("/")
        known = not slash or resource.partition(".")[0] in _RESOURCES
        if not known or len(name) > 63 or not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name):
            self.fail(
                f"{value!r} is not the name of an exception: small letters, digits, - and ., at most 63", param, ctx
            )
        return name

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from hostnetwork_operator.cli import names

        return [CompletionItem(name) for name in names.exceptions(ctx, incomplete)]


class _Moment(click.ParamType[datetime.datetime]):
    """A time in RFC 3339, such as 2026-12-31T12:00:00Z. The value is in UTC, to the second."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime.datetime:
        if isinstance(value, datetime.datetime):
            return value
        moment = None
        with contextlib.suppress(ValueError, OverflowError):
            moment = datetime.datetime.fromisoformat(value).astimezone(datetime.UTC).replace(microsecond=0)
        if moment is not None and datetime.datetime.fromisoformat(value).tzinfo is not None:
            return moment
        return self.fail(f"{value!r} is not a time with a time zone, such as 2026-12-31T12:00:00Z", param, ctx)


@dataclass(frozen=True, slots=True)
class End:
    """When an exception is to end: at a moment, or so many seconds after the API server's time."""

    moment: datetime.datetime | None
    seconds: float

    def at(self, now: datetime.datetime) -> datetime.datetime:
        """Return the end in UTC, to the second. Raise UsageError for a time that no calendar has."""
        if self.moment is not None:
            return self.moment
        try:
            return (now + datetime.timedelta(seconds=self.seconds)).replace(microsecond=0)
        except OverflowError:
            raise click.UsageError("--for is too long") from None


DURATION: Final = _Duration()
EXCEPTION: Final = _ExceptionName()
MOMENT: Final = _Moment()
NAMESPACE: Final = _NamespaceName()
WORKLOAD: Final = _WorkloadName()


def cluster(command: Command) -> Command:
    """Add the flags that choose the cluster and the user; the command gets them as `target`."""

    @functools.wraps(command)
    def with_target(*args: Any, targets: tuple[Target, ...], **others: Any) -> Any:
        if len(targets) > 1:
            raise click.UsageError("use --context once: this command is about one cluster")
        return command(*args, target=targets[0], **others)

    return _of_clusters(with_target, "The context of the kubeconfig to use.")  # type: ignore[return-value]


def clusters(command: Command) -> Command:
    """Add the flags that choose one or several clusters and the user; the command gets them as `targets`."""
    return _of_clusters(command, "The context to use. Repeat the flag for several clusters.")


def _of_clusters(command: Command, context_help: str) -> Command:
    @click.option("--kubeconfig", metavar="FILE", help="The kubeconfig to use instead of $KUBECONFIG.")
    @click.option("--context", "contexts", metavar="NAME", multiple=True, help=context_help)
    @click.option("--as", "user", metavar="USER", help="Ask as this user (impersonation).")
    @click.option("--as-group", "groups", metavar="GROUP", multiple=True, help="Ask as a member of this group.")
    @click.option(
        "--request-timeout",
        "timeout_seconds",
        type=DURATION,
        metavar="DURATION",
        help="How long a request may take: 30s.",
    )
    @functools.wraps(command)
    def with_targets(
        *args: Any,
        kubeconfig: str | None,
        contexts: tuple[str, ...],
        user: str | None,
        groups: tuple[str, ...],
        timeout_seconds: float | None,
        **others: Any,
    ) -> Any:
        if groups and not user:
            raise click.UsageError("--as-group needs --as")
        if repeated := next((name for name in contexts if contexts.count(name) > 1), None):
            raise click.UsageError(f"--context {repeated} is there twice")
        seconds = _UNLIMITED_SECONDS if timeout_seconds == 0 else timeout_seconds  # 0 as for kubectl: no timeout
        targets = tuple(Target(kubeconfig, context, user, groups, seconds) for context in contexts or (None,))
        return command(*args, targets=targets, **others)

    return with_targets  # type: ignore[return-value]


def namespaces(command: Command) -> Command:
    """Add -n and -A to a verb that is about all namespaces unless a person names one; the verb gets `namespace`."""

    @click.option(
        "-n",
        "--namespace",
        type=NAMESPACE,
        metavar="NAME",
        help="Only this namespace. Default: all namespaces.",
    )
    @click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces, which is the default.")
    @functools.wraps(command)
    def with_namespace(*args: Any, namespace: str | None, all_namespaces: bool, **others: Any) -> Any:
        if namespace is not None and all_namespaces:
            raise click.UsageError("use either -n or -A")
        return command(*args, namespace=namespace, **others)

    return with_namespace  # type: ignore[return-value]


def namespace(command: Command) -> Command:
    """Add -n to a verb that is about one namespace; the verb gets `namespace`, None for that of the context."""
    return click.option(
        "-n",
        "--namespace",
        type=NAMESPACE,
        metavar="NAME",
        help="The namespace. Default: that of the context.",
    )(command)


def watch(command: Command) -> Command:
    """Add -w; the command gets `watch`."""
    return click.option("-w", "--watch", is_flag=True, help="Show the table again whenever it has changed.")(command)


def selector(help_text: str) -> Callable[[Command], Command]:
    """Add -l with this help; the command gets `selector`, '' without the flag."""
    return click.option("-l", "--selector", metavar="LABELS", default="", help=help_text)


def output_of_one(command: Command) -> Command:
    """Add -o to a verb that shows one thing, in text or as JSON or YAML; the command gets `form`."""
    return _text_or(Format.JSON, Format.YAML)(command)


def _text_or(*forms: Format) -> Callable[[Command], Command]:
    """Return a decorator that adds -o with `text`, which is the default and gives Format.TABLE, and these forms."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(["text", *(form.value for form in forms)]),
        default="text",
        callback=lambda _context, _parameter, value: Format.TABLE if value == "text" else Format(value),
        help="The form of the output.",
    )


def output(command: Command) -> Command:
    """Add -o and --no-headers; the command gets `form` and `headers`."""
    command = click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice([form.value for form in Format]),
        default=Format.TABLE.value,
        callback=lambda _context, _parameter, value: Format(value),
        help="The form of the output.",
    )(command)
    return click.option(
        "--no-headers", "headers", is_flag=True, default=True, flag_value=False, help="No header line."
    )(command)


def exception_type(command: Command) -> Command:
    """Add --type; the command gets `kind`, None for that of the class."""
    return click.option(
        "--type", "kind", type=click.Choice(TYPES), help="The type of the exception. Default: by the class."
    )(command)


def end(command: Command) -> Command:
    """Add --for and --until; the command gets `end`, None without either flag."""

    @click.option(
        "--for", "seconds", type=DURATION, metavar="DURATION", help="The exception ends after this time: 2h, 7d."
    )
    @click.option(
        "--until", "moment", type=MOMENT, metavar="TIME", help="The exception ends at this time: 2026-12-31T12:00:00Z."
    )
    @functools.wraps(command)
    def with_end(*args: Any, seconds: float | None, moment: datetime.datetime | None, **others: Any) -> Any:
        if seconds is not None and moment is not None:
            raise click.UsageError("use either --for or --until")
        if seconds is not None and seconds < 1:
            raise click.UsageError("--for must be at least 1s")
        given = None if seconds is None and moment is None else End(moment, seconds or 0)
        return command(*args, end=given, **others)

    return with_end  # type: ignore[return-value]


def write(command: Command) -> Command:
    """Add --dry-run, -y and -o to a verb that writes an exception; the command gets `dry_run`, `yes` and `form`.

    A verb with these flags never waits for an answer that nobody can give.
    """

    @click.option(
        "--dry-run", is_flag=True, help="Ask the API server whether it would accept the change; write nothing."
    )
    @click.option("-y", "--yes", is_flag=True, help="Write without asking.")
    @_text_or(Format.YAML, Format.JSON, Format.NAME)
    @functools.wraps(command)
    def with_write(*args: Any, dry_run: bool, yes: bool, **others: Any) -> Any:
        from hostnetwork_operator.cli import asking

        if dry_run and yes:
            raise click.UsageError("use either --dry-run or --yes")
        if not (dry_run or yes or asking.possible()):
            raise click.UsageError(
                "nobody can be asked, because stdin or stderr is no terminal; use --yes to write without asking, or"
                " --dry-run to write nothing"
            )
        return command(*args, dry_run=dry_run, yes=yes, **others)

    return with_write  # type: ignore[return-value]
