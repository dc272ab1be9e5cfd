"""Runs kopf, which watches: again and again, because a watch that fails for good ends kopf and not this process."""

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
_IDENTITY: Any = labels.MANAGER  # kopf does not export the type of it
_FAILED_SECONDS: Final = 60.0  # one that cannot watch at all fails every two seconds; an outage is over sooner


class Watching:
    """How watching goes. Without it everything is found all the same, but only by lists, minutes late."""

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
        """Why watching has failed of late, or ''."""
        late = asyncio.get_running_loop().time() - self._when > _FAILED_SECONDS
        if self._why and not late:
            return f"watching failed within the last minute: {self._why}"
        return self._heard.trouble()

    async def keep(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set, as it is on SIGTERM and SIGINT.

        kopf looks once for what it can watch. So it is begun anew when a kind has come back that was missing.
        """
        while not stop.is_set():
            self._lists.recovered.clear()
            self._heard.begin()
            ending = asyncio.Event()
            renewing = asyncio.create_task(self._end_when_recovered(ending))
            registry = handlers.registry(self._intake)
            logins = session.Logins(self._configuration, self._missed, self._listed, ending, self._hears, self._heard)
            kopf.on.login(registry=registry, id="login")(logins.log_in)
            _end_with(registry, ending)
            _take_signals(registry, stop, ending)
            try:
                with loops.idle():  # whether kopf hears anything is noted in `heard`
                    await kopf.operator(
                        registry=registry,
                        settings=handlers.settings(),
                        clusterwide=True,
                        standalone=True,
                        # Nobody reads it without peers; left out, kopf asks for the user's name, and the image's user
                        # has none.
                        identity=_IDENTITY,
                        stop_flag=ending,
                    )
                if not self._lists.recovered.is_set():
                    stop.set()
            except Exception as error:
                # Whatever kopf gave up on: said, and begun anew with complete lists.
                self._why, self._when = f"{type(error).__name__}: {error}", asyncio.get_running_loop().time()
                self._lists.relist()  # kopf lists no kind that is not served just now, and would not hear of it later
                logs.log(_log, logging.ERROR, "watch-failed", error=self._why)
                await loops.sleep(_PAUSE_SECONDS)
            finally:
                renewing.cancel()
                await logins.close()

    def _missed(self, kind: session.Kind, why: str) -> None:
        self._intake.missed(kind, why) if isinstance(kind, store.Kind) else self._refusals.relist()

    def _listed(self, kind: session.Kind) -> None:
        self._lists.relist(kind) if isinstance(kind, store.Kind) else self._refusals.relist()

    async def _end_when_recovered(self, ending: asyncio.Event) -> None:
        await self._lists.recovered.wait()
        ending.set()


def _end_with(registry: kopf.OperatorRegistry, ending: asyncio.Event) -> None:
    @kopf.on.cleanup(registry=registry, id="end")
    async def end(**_: object) -> None:
        ending.set()  # or kopf waits five seconds for its own waiter of the flag


def _take_signals(registry: kopf.OperatorRegistry, stop: asyncio.Event, ending: asyncio.Event) -> None:
    """Have SIGTERM and SIGINT end this process, and this run of kopf with it.

    kopf takes both signals when it begins, and leaves them to itself when it has ended: one that came before the next
    run, or while kopf ended to be begun anew, would be lost.
    """

    def interrupted() -> None:
        stop.set()
        ending.set()

    @kopf.on.startup(registry=registry, id="signals")
    async def take(**_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, interrupted)
