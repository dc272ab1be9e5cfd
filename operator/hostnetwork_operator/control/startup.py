"""Puts the process together, runs it until SIGTERM, and takes it apart again."""

import asyncio
import datetime
import logging
import os
import pathlib
import signal
from collections.abc import Mapping
from typing import Any, Final

import kopf

import hostnetwork_operator
from hostnetwork_operator import clock, config, logs, metrics
from hostnetwork_operator.act import gateway, identity
from hostnetwork_operator.api import labels
from hostnetwork_operator.control import (
    access,
    certificate,
    counts,
    definitions,
    handlers,
    looks,
    operator,
    refused,
    resync,
    server,
    session,
)
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import store

_log = logging.getLogger(__name__)
OLDEST: Final = snapshot.MinorVersion(1, 32)  # field selectors, ValidatingAdmissionPolicy v1, authorizer in CEL
_PAUSE_SECONDS: Final = 2.0
_DRAIN_SECONDS: Final = 10.0  # within the Deployment's terminationGracePeriodSeconds
_IDENTITY: Any = labels.MANAGER  # kopf does not export the type of it
_WATCH_FAILED_SECONDS: Final = 60.0  # one that cannot watch at all fails every two seconds; an outage is over sooner


class _Watching:
    """How watching goes. Without it everything is found all the same, but only by lists, minutes late."""

    def __init__(self) -> None:
        self._why = ""
        self._when = 0.0

    def failed(self, why: str) -> None:
        self._why, self._when = why, asyncio.get_running_loop().time()

    @property
    def trouble(self) -> str:
        """Why watching has failed of late, or ''."""
        late = asyncio.get_running_loop().time() - self._when > _WATCH_FAILED_SECONDS
        return "" if late or not self._why else f"watching failed within the last minute: {self._why}"


class StartError(Exception):
    """The operator cannot run here; the message says why and what to do."""


async def run(settings: config.Config) -> None:
    """Until SIGTERM or SIGINT. Raises StartError."""
    pair = _pair(settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    measures = metrics.Metrics()
    server_clock = clock.ServerClock()
    try:
        api = gateway.Gateway(await identity.configure(), server_clock, measures.count_request)
    except identity.IdentityError as error:
        raise StartError(str(error)) from error
    patience = datetime.timedelta(seconds=settings.controller_wait_seconds)
    core = operator.Operator(api, server_clock, measures, patience)
    lists = resync.Resync(core, settings)
    ready, watching = asyncio.Event(), _Watching()
    readers = access.Access(access.reviewer(api)) if settings.metrics_auth == "TokenReview" else None
    ports = server.Ports(measures, lists.stale, lambda: _unready(ready, lists, watching), pair, readers)
    try:
        ports.open(settings.address, settings.port, settings.probe_port)
    except OSError as error:
        ports.close()
        await api.close()
        code = error.errno or 0
        why = os.strerror(code) if code > 0 else error.strerror  # that of a name is below zero, and has its own
        remedy = "set HOSTNETWORK_PORT, HOSTNETWORK_PROBE_PORT or HOSTNETWORK_ADDRESS"
        raise StartError(f"cannot listen on {error.filename}: {why}; {remedy}") from error
    working = asyncio.create_task(_work(core, lists, settings, ready, watching, stop))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        logs.log(_log, logging.INFO, "stopping")
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
        ports.close()
        await api.close()


def _pair(settings: config.Config) -> certificate.Pair | None:
    """Raises StartError, also where tokens would be sent over plain HTTP."""
    directory = settings.metrics_cert_dir
    if not directory:
        if settings.metrics_auth != "None":
            raise StartError(
                f"with HOSTNETWORK_METRICS_AUTH={settings.metrics_auth} bearer tokens must be sent over TLS, got no"
                " certificate; set HOSTNETWORK_METRICS_CERT_DIR to a directory with tls.crt and tls.key"
            )
        return None
    try:
        return certificate.Pair(pathlib.Path(directory))
    except OSError as error:
        raise StartError(
            f"HOSTNETWORK_METRICS_CERT_DIR must have a certificate in tls.crt and its key in tls.key, got {directory}:"
            f" {error}; mount a Secret of type kubernetes.io/tls there"
        ) from error


def _unready(ready: asyncio.Event, lists: resync.Resync, watching: _Watching) -> str:
    if ready.is_set():
        return watching.trouble or lists.missing
    return next(iter(lists.trouble.values()), "not everything is listed and judged yet")


async def _work(
    core: operator.Operator,
    lists: resync.Resync,
    settings: config.Config,
    ready: asyncio.Event,
    watching: _Watching,
    stop: asyncio.Event,
) -> None:
    version, shown = await _server_version(core.api)
    if trouble := await definitions.trouble(core.api):
        raise StartError(trouble)
    core.store.saw_kubernetes(version)
    logs.log(
        _log,
        logging.INFO,
        "starting",
        version=hostnetwork_operator.__version__,
        kubernetes=shown,
        server=core.api.configuration.host,
    )
    await lists.fill()
    tasks = [asyncio.create_task(core.work()) for _ in range(settings.workers)]
    tasks += [asyncio.create_task(looks.work(core)) for _ in range(looks.LOOKERS)]
    tasks.append(asyncio.create_task(counts.work(core)))
    tasks += [
        asyncio.create_task(coroutine)
        for coroutine in (
            lists.keep(),
            core.books.keep(),
            core.keep_policy_status(),
            core.keep_clock(),
            _keep_version(core, settings),
        )
    ]
    refusals = refused.Refused(core, ready)
    tasks.append(asyncio.create_task(refusals.keep()))
    tasks.append(asyncio.create_task(_announce(core, ready)))
    tasks.append(asyncio.create_task(_watch(core, lists, refusals, watching, stop)))
    try:
        await tasks[-1]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _announce(core: operator.Operator, ready: asyncio.Event) -> None:
    await core.until_idle()
    await core.settle_ledger()
    ready.set()
    logs.log(_log, logging.INFO, "ready", namespaces=len(core.plans))


async def _watch(
    core: operator.Operator,
    lists: resync.Resync,
    refusals: refused.Refused,
    watching: _Watching,
    stop: asyncio.Event,
) -> None:
    """kopf, again and again: a watch that fails for good ends kopf, not this process.

    kopf looks once for what it can watch. So it is begun anew when a kind has come back that was missing.
    """

    def missed(kind: session.Kind, why: str) -> None:
        core.missed(kind, why) if isinstance(kind, store.Kind) else refusals.relist()

    def listed(kind: session.Kind) -> None:
        lists.relist(kind) if isinstance(kind, store.Kind) else refusals.relist()

    while not stop.is_set():
        lists.recovered.clear()
        ending = asyncio.Event()
        renewing = asyncio.create_task(_when_recovered(lists, ending))
        registry = handlers.registry(core)
        logins = session.Logins(core.api.configuration, missed, listed, ending, core.shortages.hears)
        kopf.on.login(registry=registry, id="login")(logins.log_in)
        _end_with(registry, ending)
        try:
            await kopf.operator(
                registry=registry,
                settings=handlers.settings(),
                clusterwide=True,
                standalone=True,
                # Nobody reads it without peers; left out, kopf asks for the user's name, and the image's user has none.
                identity=_IDENTITY,
                stop_flag=ending,
            )
            if not lists.recovered.is_set():
                stop.set()  # SIGTERM, whose handler kopf takes from us
        except Exception as error:
            # Whatever kopf gave up on: said, and begun anew with complete lists.
            watching.failed(f"{type(error).__name__}: {error}")
            lists.relist()  # kopf lists no kind that is not served just now, and would not hear of it later
            logs.log(_log, logging.ERROR, "watch-failed", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            renewing.cancel()
            await logins.close()


async def _when_recovered(lists: resync.Resync, ending: asyncio.Event) -> None:
    await lists.recovered.wait()
    ending.set()


def _end_with(registry: kopf.OperatorRegistry, ending: asyncio.Event) -> None:
    @kopf.on.cleanup(registry=registry, id="end")
    async def end(**_: object) -> None:
        ending.set()  # or kopf waits five seconds for its own waiter of the flag


async def _keep_version(core: operator.Operator, settings: config.Config) -> None:
    """Asks again and again for the cluster's version, which an upgrade changes under a running operator."""
    while True:
        await asyncio.sleep(settings.resync_seconds)
        try:
            version, shown = _version((await core.api.get("/version")).body)
        except gateway.ApiError as error:
            logs.log(_log, logging.WARNING, "version-unknown", error=str(error))
            continue
        if core.store.saw_kubernetes(version):
            logs.log(_log, logging.INFO, "upgraded", kubernetes=shown)
            core.everything()


async def _server_version(api: gateway.Gateway) -> tuple[snapshot.MinorVersion, str]:
    """Waits for the API server. Raises StartError for one that is too old."""
    while True:
        try:
            body = (await api.get("/version")).body
            break
        except gateway.ApiError as error:
            logs.log(_log, logging.ERROR, "api-server-unreachable", error=str(error), retry_seconds=_PAUSE_SECONDS)
            await asyncio.sleep(_PAUSE_SECONDS)
    found, shown = _version(body)
    if found < OLDEST:
        raise StartError(f"Kubernetes must be {OLDEST} or newer, got {shown}; upgrade the cluster")
    return found, shown


def _version(body: Mapping[str, Any]) -> tuple[snapshot.MinorVersion, str]:
    return snapshot.MinorVersion.parse(f"{body['major']}.{body['minor']}"), str(body["gitVersion"])
