"""Puts the process together, runs it until SIGTERM, and shuts it down."""

import asyncio
import contextlib
import datetime
import functools
import gc
import logging
import os
import pathlib
from typing import Final

import hostnetwork_operator
from hostnetwork_operator import clock, config, logs, metrics
from hostnetwork_operator.act import definitions, gateway, identity, lease, versions
from hostnetwork_operator.control import (
    access,
    api_servers,
    certificate,
    gate_check,
    lag,
    leading,
    loops,
    operator,
    refused,
    resync,
    server,
    watching,
)

_log = logging.getLogger(__name__)
_DRAIN_SECONDS: Final = 8.0  # less than the Deployment's terminationGracePeriodSeconds


class StartError(Exception):
    """The operator cannot run here. The message says why, and what to do."""


async def run(settings: config.Config) -> None:
    """Run until SIGTERM or SIGINT. Raise StartError if the operator cannot run, LoopError if one of its loops ends."""
    certificate_pair = _pair(settings)
    stop = asyncio.Event()
    watching.take_signals(stop)
    measures = metrics.Metrics()
    server_clock = clock.ServerClock()

    def count(method: str, status: int) -> None:
        measures.count_request(method, status)
        loops.beat()

    async with contextlib.AsyncExitStack() as opened:
        try:
            first = gateway.Gateway(await identity.configure(), server_clock, count)
        except identity.IdentityError as error:
            raise StartError(str(error)) from error
        opened.push_async_callback(first.close)
        holding = _holding(first, settings, server_clock, measures, opened)
        api = first if holding is None else first.beside(may_write=holding.may_write)
        opened.push_async_callback(api.close)
        process = _Process(api, server_clock, measures, settings, stop, holding)
        # A standby too must be able to decide who may read its metrics.
        metrics_access = access.Access(access.reviewer(first)) if settings.metrics_auth == "TokenReview" else None
        ports = server.Ports(
            measures, process.unhealthy, process.unready, certificate_pair, metrics_access, process.role
        )
        opened.callback(ports.close)
        _open(ports, settings)
        await _until_stopped(process, stop)


def _holding(
    first: gateway.Gateway,
    settings: config.Config,
    server_clock: clock.ServerClock,
    measures: metrics.Metrics,
    opened: contextlib.AsyncExitStack,
) -> leading.Leading | None:
    """Return what decides by the Lease whether this process may write, None if no Lease is configured."""
    if not settings.lease:
        return None
    lease_api = first.beside(leading.REQUEST_OPTIONS)
    opened.push_async_callback(lease_api.close)
    holding = leading.Leading(lease.LeaseObject(lease_api, settings.lease), server_clock, leading.identity())
    measures.depend_on_lease(holding.may_write, holding.led.is_set)
    return holding


def _open(ports: server.Ports, settings: config.Config) -> None:
    """Listen on both ports. Raise StartError if that is not possible."""
    try:
        ports.open(settings.address, settings.port, settings.probe_port)
    except OSError as error:
        code = error.errno or 0
        # An error about a host name has a number below zero, and its own text.
        reason = os.strerror(code) if code > 0 else error.strerror
        remedy = "set HOSTNETWORK_PORT, HOSTNETWORK_PROBE_PORT or HOSTNETWORK_ADDRESS"
        raise StartError(f"cannot listen on {error.filename}: {reason}; {remedy}") from error


async def _until_stopped(process: "_Process", stop: asyncio.Event) -> None:
    """Run the process until `stop` is set, then end it in order. Raise as `run` does."""
    working = asyncio.create_task(process.work())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        logs.log(_log, logging.INFO, "stopping")
        await process.drain()
        if working.done():
            working.result()
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
        await process.release()


def _pair(settings: config.Config) -> certificate.Pair | None:
    """Return the certificate for /metrics, None if none is configured. Raise StartError if the certificate cannot be
    read, or if bearer tokens would be sent over plain HTTP.
    """
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


class _Process:
    """The operator and all its loops, which depend on each other: when one loop ends, all end."""

    def __init__(
        self,
        api: gateway.Gateway,
        server_clock: clock.ServerClock,
        measures: metrics.Metrics,
        settings: config.Config,
        stop: asyncio.Event,
        holding: leading.Leading | None = None,
    ) -> None:
        patience = datetime.timedelta(seconds=settings.controller_wait_seconds)
        core = self._core = operator.Operator(api, server_clock, measures, patience)
        api.on_recovery(core.hurry)
        self._holding = holding
        if holding is not None:
            holding.on_regained(core.hurry)
        self._settings = settings
        self._stop = stop
        self._loops = loops.Loops()
        self._ready = asyncio.Event()
        self.lists = resync.Resync(
            api, server_clock, core.store, core.books, core.memories, core.schedule, measures, settings
        )
        self._refusals = refused.Refused(
            api, server_clock, core.intake, core.shortages, core.plans, core.schedule, self._ready
        )
        self._watching = watching.Watching(
            api.configuration, core.intake, self.lists, self._refusals, core.shortages.hears
        )

    def unhealthy(self) -> str:
        """Return why the process should be restarted, or ''."""
        return self.lists.stale() or self._loops.stale()

    def unready(self) -> str:
        """Return why the process does not do all of its work, or ''. The work of a standby is to wait."""
        if self._holding is not None and (trouble := self._holding.trouble()):
            return trouble
        if self._waits():
            return ""
        if self._ready.is_set():
            return self._watching.trouble or self.lists.missing
        return next(iter(self.lists.trouble.values()), "the operator has not listed and evaluated everything yet")

    def role(self) -> str:
        """Return whether the process leads or is a standby, '' if no Lease is configured."""
        return self._holding.role() if self._holding is not None else ""

    async def work(self) -> None:
        """Wait for the Lease if one is configured, list what is watched, then run every loop until cancelled.
        Raise StartError or LoopError.
        """
        version_text = await self._check()
        logs.log(
            _log,
            logging.INFO,
            "starting",
            version=hostnetwork_operator.__version__,
            kubernetes=version_text,
            server=self._core.api.configuration.host,
        )
        if self._holding is None:
            await self._lead()
        else:
            take_over = functools.partial(self._take_over, self._holding.led)
            await self._loops.run([loops.Loop("lease", self._holding.keep), loops.Loop("leader", take_over)])

    async def release(self) -> None:
        """Release the Lease, if this process holds it. Nothing may write any more when this is called."""
        if self._holding is not None:
            await self._holding.release()

    def _waits(self) -> bool:
        return self._holding is not None and not self._holding.led.is_set()

    async def _check(self) -> str:
        """Return the version of Kubernetes. Raise StartError if the operator cannot work with this cluster."""
        try:
            cluster_version, version_text = await versions.first(self._core.api)
        except versions.VersionError as error:
            raise StartError(str(error)) from error
        if definitions_trouble := await definitions.trouble(self._core.api):
            raise StartError(definitions_trouble)
        self._core.store.saw_kubernetes(cluster_version)
        return version_text

    async def _take_over(self, led: asyncio.Event) -> None:
        """Wait until this process has the Lease, then lead. Raise StartError or LoopError."""
        with loops.idle():
            await led.wait()
        await self._check()  # the cluster or the CRDs may have been upgraded meanwhile
        await self._lead()

    async def _lead(self) -> None:
        core = self._core
        core.store.saw_api_servers(await api_servers.ask(core.api))
        await self.lists.fill()
        gc.collect()
        _keep_out_of_collections()
        with loops.idle():  # each of the loops has a pulse of its own
            await self._loops.run(self._every_loop())

    def _every_loop(self) -> list[loops.Loop]:
        core, settings = self._core, self._settings
        upgrades = functools.partial(api_servers.keep, core.api, core.store, core.schedule, settings.resync_seconds)
        watch = functools.partial(self._watching.keep, self._stop)
        return [
            *(loops.Loop("reconcile", core.reconciler.work) for _ in range(settings.workers)),
            *(loops.Loop("gate-check", core.gate_checks.work) for _ in range(gate_check.CHECKERS)),
            loops.Loop("count", core.pod_counts.work),
            loops.Loop("ledger", core.books.keep),
            loops.Loop("policy-status", core.policy_status.keep),
            loops.Loop("clock", core.clock_watch.keep),
            loops.Loop("lag", functools.partial(lag.keep, core.metrics)),
            loops.Loop("api-servers", upgrades),
            *self.lists.loops(),
            *self._refusals.loops(),
            loops.Loop("announce", self._announce, ends=True),
            loops.Loop("watch", watch, ends=True),
        ]

    async def drain(self) -> None:
        """Finish the reconciles that have begun, and emit the postponed Events: no later process knows these Events."""
        await asyncio.gather(
            self._core.reconciler.drain(_DRAIN_SECONDS), self._core.policy_status.drain(_DRAIN_SECONDS)
        )

    async def _announce(self) -> None:
        """Log when every namespace has been evaluated once, and mark the process as ready when each has been evaluated
        with all pods.
        """
        core = self._core
        with loops.idle():  # the other loops do the work, and each has a pulse of its own
            await core.until_evaluated()
            _keep_out_of_collections()  # the plans
            logs.log(_log, logging.INFO, "evaluated", namespaces=len(core.plans))
            await core.until_idle()
        await core.policy_status.settle_ledger()
        with loops.idle():
            await self.lists.every_pod.wait()
            await core.until_idle()
        self._ready.set()
        _keep_out_of_collections()
        logs.log(_log, logging.INFO, "ready", namespaces=len(core.plans))


def _keep_out_of_collections() -> None:
    """Have the garbage collector leave alone what exists now. A whole collection looks at every object and holds the
    event loop meanwhile: 47 ms with 40,000 pods in a store. Objects without cycles are freed all the same.
    """
    gc.freeze()
