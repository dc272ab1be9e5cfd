"""One debug session: the exception, the pod under it, and the terminal attached to the pod.

Whatever happens after the exception was created, `debug_end` revokes the exception: at the end of the stream, after an
error, and after Ctrl-C, SIGTERM and SIGHUP. If this client dies, the exception ends at its expiry.
"""

import asyncio
import contextlib
import datetime
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import conditions, grant
from hostnetwork_operator.cli import attach, connect, debug_end, errors, progress, tables, writing
from hostnetwork_operator.decide import debugging

_FAST_SECONDS: Final = 0.1  # between two questions while a person waits
_SLOW_SECONDS: Final = 0.5
_PATIENT_AFTER: Final = 50  # questions
_FORCE_SECONDS: Final = 20.0  # until the exception is in force: the operator needs a second
_REASON_SECONDS: Final = 3.0  # how long the operator may give the same reason against the exception
_REFUSED_SECONDS: Final = 5.0  # until each API server knows that the level is lifted: about a second
_START_SECONDS: Final = 300.0  # until the container runs: an image can be large
_EXIT_SECONDS: Final = 5.0  # until the kubelet has reported the end of the process
_LATE_SECONDS: Final = 10.0  # after the expiry and the grace period, until the client goes
# Reasons of the kubelet why a container does not start, and will not without another session.
_HOPELESS: Final = frozenset(
    {"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CrashLoopBackOff"}
)
_WAITS: Final = frozenset({conditions.Ready.NOT_RECORDED.value, ""})


async def run(connection: connect.Connection, session: debugging.DebugSession, exception: Mapping[str, Any]) -> int:
    """Run the session, and return the exit status of the command."""
    started = debug_end.StartedSession(connection, session, exception)
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a session runs in a task")
    signals = _Signals(task)
    with signals.handled():
        try:
            try:
                return await _Work(started).work()
            except asyncio.CancelledError:
                if not signals.caught:
                    raise
                task.uncancel()
                return 128 + signals.caught[0]
        finally:
            signals.ending = True
            await debug_end.end(started)


@dataclass(slots=True)
class _Signals:
    """The signals that ask to end. The first ends the work of the task, and the second also ends the wait for what
    follows: a person who presses Ctrl-C once must not keep the exception from being revoked.
    """

    task: "asyncio.Task[Any]"
    caught: list[int] = field(default_factory=list)
    ending: bool = False

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals. A signal that the caller has set to be ignored, as nohup does, stays ignored."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        heeded = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
        for number in heeded:
            loop.add_signal_handler(number, self._catch, number)
        try:
            yield
        finally:
            for number in heeded:
                loop.remove_signal_handler(number)

    def _catch(self, number: int) -> None:
        self.caught.append(number)
        if not self.ending or len(self.caught) > 1:
            self.task.cancel()


@dataclass(frozen=True, slots=True)
class _Work:
    """The steps of a session until its end."""

    started: debug_end.StartedSession

    @property
    def connection(self) -> connect.Connection:
        return self.started.connection

    @property
    def session(self) -> debugging.DebugSession:
        return self.started.session

    async def work(self) -> int:
        """Return the exit status of the process in the pod."""
        session = self.session
        await self._create_exception()
        tables.say(
            f"exception {session.name} in namespace {session.namespace}: for {session.owner}, ticket {session.ticket},"
            f" until {grant.format_time(session.expiry)} at the latest"
        )
        with progress.shown("waiting until the exception is in force"):
            await self._create_pod()
        with progress.shown(f"waiting for the kubelet of node {session.node}"):
            ended = await self._start()
        return await self._status(attach.Attachment() if ended else await self._attach())

    async def _attach(self) -> attach.Attachment:
        """Attach to the container until it ends, and not much longer than until the exception ends."""
        session = self.session
        try:
            async with asyncio.timeout(self._seconds_left()):
                return await attach.attach(
                    self.connection.gateway,
                    f"{self.started.pod}/attach?container={debugging.CONTAINER}",
                    interactive=session.interactive,
                    terminal=session.terminal,
                    opened=self._say_attached,
                )
        except TimeoutError:
            raise errors.CommandError(f"error: the exception ended at {grant.format_time(session.expiry)}") from None

    async def _create_exception(self) -> None:
        started = self.started
        started.tried = True
        try:
            answer = await self.connection.gateway.create(writing.path(self.session.namespace), started.exception)
        except gateway.ApiError as error:
            # A refusal proves that nothing was created, unless an earlier answer was lost.
            started.tried = error.lost or error.unanswered
            raise
        started.uid = answer.body["metadata"]["uid"]

    async def _create_pod(self) -> None:
        """Create the pod when the exception is in force. The API server may need a moment to learn of a lifted level,
        so a refusal is asked again.
        """
        api, clock = self.connection.gateway, self.connection.clock
        began, reason, since = clock.monotonic(), "", clock.monotonic()
        while clock.monotonic() < began + _FORCE_SECONDS:
            ready = writing.condition((await api.get(self.started.path)).body, conditions.ConditionType.READY) or {}
            if ready.get("reason", "") != reason:
                reason, since = ready.get("reason", ""), clock.monotonic()
            if ready.get("status") == "True":
                try:
                    return await self._post_pod()
                except gateway.ApiError as error:
                    if error.status != 403 or clock.monotonic() > since + _REFUSED_SECONDS:
                        raise
            elif reason not in _WAITS and clock.monotonic() > since + _REASON_SECONDS:
                raise errors.CommandError(f"error: the exception is not in force: {reason}: {ready.get('message', '')}")
            await asyncio.sleep(_FAST_SECONDS)
        raise errors.CommandError(
            f"error: after {_FORCE_SECONDS:.0f} s the operator has not put the exception into force; see whether it"
            " runs: kubectl hostnetwork doctor"
        )

    async def _post_pod(self) -> None:
        body = debugging.pod(self.session, self.connection.clock.now())
        self.started.pod_tried = True
        try:
            answer = await self.connection.gateway.create(self.started.pods, body)
        except gateway.ApiError as error:
            self.started.pod_tried = error.lost or error.unanswered
            raise
        self.started.created = datetime.datetime.fromisoformat(answer.body["metadata"]["creationTimestamp"])

    async def _start(self) -> bool:
        """Wait until the container runs. Return whether it has ended already. Raise CommandError if it cannot run."""
        began, asked, said = self.connection.clock.monotonic(), 0, ""
        while self.connection.clock.monotonic() < began + _START_SECONDS:
            body = (await self.connection.gateway.get(self.started.pod)).body
            state = _state(body)
            if "running" in state or "terminated" in state:
                return "terminated" in state
            status = body.get("status") or {}
            if status.get("phase") in {"Failed", "Succeeded"} or "deletionTimestamp" in body["metadata"]:
                why = f"{status.get('reason') or 'it was deleted'}: {status.get('message') or ''}".rstrip(": ")
                raise errors.CommandError(f"error: pod {self.session.name} has ended before its container ran: {why}")
            waiting = state.get("waiting") or {}
            reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
            if reason in _HOPELESS:
                raise errors.CommandError(
                    f"error: the container does not start: {reason}: {message or self.session.image}; correct --image,"
                    " or what the message names"
                )
            if message and reason != said:
                said = reason
                tables.say(f"waiting: {reason}: {message}")
            asked += 1
            await asyncio.sleep(_FAST_SECONDS if asked < _PATIENT_AFTER else _SLOW_SECONDS)
        raise errors.CommandError(
            f"error: after {_START_SECONDS:.0f} s the container does not run; see kubectl describe node"
            f" {self.session.node}"
        )

    def _say_attached(self) -> None:
        if self.session.terminal:
            tables.say("Attached. If you see no prompt, press Enter.")

    def _seconds_left(self) -> float:
        left = (self.session.expiry - self.connection.clock.now()).total_seconds()
        return max(0.0, left) + debugging.GRACE_SECONDS + _LATE_SECONDS

    async def _status(self, found: attach.Attachment) -> int:
        """Return the exit status of the process. The kubelet does not tell the client of an attachment.

        If the process ended before the attachment, its output is in its log.
        """
        if found.status:
            return found.status
        deadline = self.connection.clock.monotonic() + _EXIT_SECONDS
        while self.connection.clock.monotonic() < deadline:
            try:
                body = (await self.connection.gateway.get(self.started.pod)).body
            except gateway.ApiError as error:
                if not error.gone:
                    raise
                break
            terminated = _state(body).get("terminated")
            if terminated is not None:
                if not found.output:
                    await self._show_log()
                return int(terminated.get("exitCode") or 0)
            if "deletionTimestamp" in body["metadata"]:
                break
            await asyncio.sleep(_FAST_SECONDS)
        else:
            if found.status == 0:
                return errors.Exit.FINE
            raise errors.CommandError(f"error: the connection to pod {self.session.name} was lost: {found.why}")
        raise errors.CommandError(f"error: pod {self.session.name} was deleted; see whether its exception has ended")

    async def _show_log(self) -> None:
        """Show what a process wrote before the attachment."""
        try:
            await attach.show_log(self.connection.gateway, f"{self.started.pod}/log?container={debugging.CONTAINER}")
        except gateway.ApiError as error:
            tables.say(f"not looked at: the log of pod {self.session.name}: {error.message or error.reason}")


def _state(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the state of the container, as the kubelet has it; {} before the kubelet has written."""
    statuses = (body.get("status") or {}).get("containerStatuses") or ()
    state: Mapping[str, Any] = statuses[0].get("state") or {} if statuses else {}
    return state
