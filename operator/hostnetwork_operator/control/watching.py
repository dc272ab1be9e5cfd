"""Runs kopf, which watches. If a watch fails for good, kopf ends but not this process, and kopf is started again."""

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Any, Final

import kopf
from kubernetes.aio import client

from hostnetwork_operator import logs
from hostnetwork_operator.api import labels
from hostnetwork_operator.control import handlers, heard, intake, loops, refused, resync, session
from hostnetwork_operator.observe import store

_log = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 2.0
_IDENTITY: Any = labels.MANAGER  # Any, because kopf does not export the type
# For how long a failure counts. If kopf cannot watch at all, it fails again every two seconds; an outage ends sooner.
_FAILED_SECONDS: Final = 60.0


class Watching:
    """Runs kopf and knows how watching goes. Without watches, changes are found only by lists, minutes late."""

    def __init__(
        self,
        configuration: client.Configuration,
        taking: intake.Intake,
        lists: resync.Resync,
        refusals: refused.Refused,
        hears: Callable[[str], bool],
    ) -> None:
        self._configuration = configuration
        self._intake = taking
        self._lists = lists
        self._refusals = refusals
        self._hears = hears
        self._heard = heard.Heard(handlers.WATCHED)
        self._why = ""
        self._when = 0.0

    @property
    def trouble(self) -> str:
        """Return why watching is failing, or has failed within the last minute, or ''."""
        long_ago = asyncio.get_running_loop().time() - self._when > _FAILED_SECONDS
        if self._why and not long_ago:
            return f"watching failed within the last minute: {self._why}"
        return self._heard.trouble()

    async def keep(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set. SIGTERM and SIGINT set it.

        kopf determines only once which kinds it can watch. So kopf is started again when a kind is served again that
        was missing.
        """
        while not stop.is_set():
            self._lists.recovered.clear()
            self._heard.begin()
            ending = asyncio.Event()
            renewing = asyncio.create_task(self._end_when_recovered(ending, stop))
            registry = handlers.registry(self._intake)
            logins = session.Logins(self._configuration, self._missed, self._listed, ending, self._hears, self._heard)
            kopf.on.login(registry=registry, id="login")(logins.log_in)
            _end_with(registry, ending)
            try:
                with loops.idle():  # `heard` notes whether kopf hears anything
                    await kopf.operator(
                        registry=registry,
                        settings=handlers.settings(),
                        clusterwide=True,
                        standalone=True,
                        # Only peers read the identity, and there are none. Without an identity, kopf asks for the
                        # user's name, and the user of the container image has none.
                        identity=_IDENTITY,
                        stop_flag=ending,
                    )
                if not self._lists.recovered.is_set():
                    stop.set()
            except Exception as error:
                # kopf gave up, for whatever reason: log that, list everything, and start kopf again.
                take_signals(stop)
                self._why, self._when = f"{type(error).__name__}: {error}", asyncio.get_running_loop().time()
                self._lists.relist()  # kopf lists no kind that is not served now, and would not learn of it later
                logs.log(_log, logging.ERROR, "watch-failed", error=self._why)
                await loops.sleep(_PAUSE_SECONDS)
            finally:
                renewing.cancel()
                await logins.close()

    def _missed(self, kind: session.Kind, why: str) -> None:
        self._intake.missed(kind, why) if isinstance(kind, store.Kind) else self._refusals.relist()

    def _listed(self, kind: session.Kind) -> None:
        self._lists.relist(kind) if isinstance(kind, store.Kind) else self._refusals.relist()

    async def _end_when_recovered(self, ending: asyncio.Event, stop: asyncio.Event) -> None:
        await self._lists.recovered.wait()
        take_signals(stop)
        ending.set()


def _end_with(registry: kopf.OperatorRegistry, ending: asyncio.Event) -> None:
    @kopf.on.cleanup(registry=registry, id="end")
    async def end(**_: object) -> None:
        ending.set()  # otherwise kopf waits five seconds for its own task that waits for the flag


def take_signals(stop: asyncio.Event) -> None:
    """Have SIGTERM and SIGINT set `stop`.

    kopf replaces the handlers of both signals when it starts, ends gracefully at a signal, and does not restore the
    handlers. So the handlers are set again when a run of kopf begins to end, for a signal before the next run.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
