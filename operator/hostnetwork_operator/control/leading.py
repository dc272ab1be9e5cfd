"""Holds the Lease: of several processes, only the holder of the Lease may write (docs/adr/0052).

A standby waits until the Lease is free, or until nobody has written it for 10 s. The leader renews it every 2 s, and
writes nothing later than 8 s after it sent the last renewal that succeeded. So the leader has stopped for 2 s before a
standby begins. Only the monotonic clock of each machine counts, never a time in the Lease: clocks of machines differ,
and whoever may write the Lease could choose the time.
"""

import asyncio
import logging
import math
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from hostnetwork_operator import logs
from hostnetwork_operator.act import gateway, lease
from hostnetwork_operator.control import loops
from hostnetwork_operator.observe import live

_log = logging.getLogger(__name__)
RENEW_SECONDS: Final = 2.0  # between two renewals of the leader, and between two reads of a standby
WRITE_SECONDS: Final = 8.0  # less than LEASE_SECONDS, by what two clocks and a busy machine may cost
# A request waits no longer than this for its answer: four renewals fit into WRITE_SECONDS.
REQUEST_OPTIONS: Final = gateway.RequestOptions(seconds=RENEW_SECONDS, attempts=1)
_REMEDY: Final = "use kubectl apply -k with an overlay that has the component standby (docs/howto/standby.md)"


class LeaseLostError(loops.LoopError):
    """This process held the Lease, and the Lease is no longer its own. The message says what the Lease says."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A record of the Lease as a standby has read it: for how many seconds it has not changed, and the monotonic moment
    of the last read, None if a read has failed since.
    """

    record: lease.HolderRecord
    quiet_seconds: float = 0.0
    read: float | None = None


def sighted(before: Sighting | None, record: lease.HolderRecord, now: float) -> Sighting:
    """Return the sighting after a read that was answered before `now`, a monotonic moment.

    The time of an outage does not count: the leader could not renew the Lease either, and is to keep it.
    """
    if before is None or (before.record.uid, before.record.version) != (record.uid, record.version):
        return Sighting(record, 0.0, now)
    gained = now - before.read if before.read is not None else 0.0
    return Sighting(record, before.quiet_seconds + gained, now)


def is_free(sighting: Sighting) -> bool:
    """Return whether a standby may take the Lease: it has no holder, or nobody has written it for LEASE_SECONDS.

    The leader sent the renewal that wrote this record before the first read that showed it. So by now it has stopped.
    """
    return not sighting.record.holder or sighting.quiet_seconds >= lease.LEASE_SECONDS


def identity() -> str:
    """Return a name for this process as a holder. A restarted container is another holder."""
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


class Leading:
    """One process and its Lease."""

    def __init__(self, lease_object: lease.LeaseObject, clock: live.Clock, holder: str) -> None:
        self._lease = lease_object
        self._clock = clock
        self._holder = holder
        self._regained: list[Callable[[], None]] = []
        self._record: lease.HolderRecord | None = None  # the last record that this process wrote or read as the leader
        self._sighting: Sighting | None = None
        self._until = -math.inf  # the monotonic moment until which this process may write
        self._trouble = ""
        self._cause: object = None  # of the trouble that was logged last
        self.led = asyncio.Event()  # set when this process has taken the Lease

    def may_write(self) -> bool:
        """Return whether this process may write now. Any thread may ask."""
        return self._clock.monotonic() < self._until

    def on_regained(self, call: Callable[[], None]) -> None:
        """Have `call` called when this process may write again after it was not allowed to for a while."""
        self._regained.append(call)

    def trouble(self) -> str:
        """Return why this process can neither write nor take the Lease over, or ''."""
        return "" if self.may_write() else self._trouble

    def role(self) -> str:
        """Return what this process is, in words."""
        if self.led.is_set():
            return f"the leader, as {self._holder}"
        holder = self._sighting.record.holder if self._sighting is not None else ""
        return f"a standby: Lease {self._lease.name} has the holder {holder or 'none'}"

    async def keep(self) -> None:
        """Wait for the Lease, take it, and renew it until cancelled. Raise LeaseLostError."""
        while True:
            begin = self._clock.monotonic()
            await self.turn()
            elapsed = self._clock.monotonic() - begin
            await loops.sleep(max(0.0, RENEW_SECONDS - elapsed))

    async def turn(self) -> None:
        """Renew the Lease if this process holds it, else read it, and take it if it is free. Raise LeaseLostError."""
        await (self._renew(self._record) if self._record is not None else self._seek())

    async def release(self) -> None:
        """Stop writing, and leave the Lease without a holder, so that a standby need not wait. An error is logged."""
        self._until = -math.inf
        if self._record is None:
            return
        try:
            # The answer to the last renewal may have been lost.
            current = await self._lease.read()
            if self._is_ours(current, self._record):
                await self._lease.write(current.released(), self._clock.now())
                logs.log(_log, logging.INFO, "lease-released", lease=self._lease.name)
        except gateway.ApiError as error:
            logs.log(_log, logging.WARNING, "lease-not-released", lease=self._lease.name, error=str(error))

    async def _seek(self) -> None:
        """Read the Lease, and take it if it is free."""
        try:
            record = await self._lease.read()
            self._sighting = sighting = self._see(record)
            if record.holder == self._holder:  # this process took the Lease, and the answer was lost
                await self._write(record)
            elif is_free(sighting):
                await self._write(record.taken_by(self._holder, self._clock.now()))
        except gateway.ApiError as error:
            if error.method == "GET" and self._sighting is not None:
                self._sighting = replace(self._sighting, read=None)
            if error.status != 409:  # otherwise another standby was faster, and the next read shows its record
                self._failed(error)
            return
        self._worked()
        if self._record is not None:
            logs.log(_log, logging.INFO, "leading", lease=self._lease.name, holder=self._holder)
            self.led.set()

    def _see(self, record: lease.HolderRecord) -> Sighting:
        before = self._sighting
        if before is None or before.record.holder != record.holder:
            logs.log(_log, logging.INFO, "standby", lease=self._lease.name, holder=record.holder)
        return sighted(before, record, self._clock.monotonic())

    async def _renew(self, record: lease.HolderRecord) -> None:
        """Renew the Lease. After an error, read it: the renewal may have been stored although its answer was lost."""
        may_write = self.may_write()
        try:
            await self._write(record)
        except gateway.ApiError as error:
            reading_error = await self._reread(record)
            if reading_error is not None or error.status != 409:
                self._failed(reading_error or error)
            return
        self._worked()
        if not may_write:
            for call in self._regained:
                call()

    async def _reread(self, record: lease.HolderRecord) -> gateway.ApiError | None:
        """Read the Lease, to renew it from its current version, or return why that failed. Raise LeaseLostError if the
        Lease is no longer our own.
        """
        try:
            current = await self._lease.read()
        except gateway.ApiError as error:
            return error
        if not self._is_ours(current, record):
            self._until = -math.inf
            logs.log(_log, logging.ERROR, "lease-lost", lease=self._lease.name, holder=current.holder)
            raise LeaseLostError(
                f"Lease {self._lease.name} must have this process as its holder, {self._holder}, got"
                f" {current.holder or 'none'}; another process leads or will lead, and this process ends and restarts"
                " as a standby"
            )
        self._record = current
        return None

    async def _write(self, record: lease.HolderRecord) -> None:
        """Write a record of this process, which may then write for longer. Raise gateway.ApiError."""
        sent = self._clock.monotonic()
        self._record = await self._lease.write(record, self._clock.now())
        self._until = sent + WRITE_SECONDS

    def _is_ours(self, current: lease.HolderRecord, record: lease.HolderRecord) -> bool:
        return (current.uid, current.holder) == (record.uid, self._holder)

    def _failed(self, error: gateway.ApiError) -> None:
        """Note why a request failed. Log it once, as long as requests fail in the same way."""
        reason = _explained(error, self._lease.name)
        self._trouble = reason
        if error.status != self._cause:
            self._cause = error.status
            level = logging.ERROR if error.status in {403, 404} else logging.WARNING
            logs.log(_log, level, "lease-failed", lease=self._lease.name, error=reason)

    def _worked(self) -> None:
        """Note that the requests of this turn succeeded."""
        if self._trouble:
            logs.log(_log, logging.INFO, "lease-recovered", lease=self._lease.name)
        self._trouble, self._cause = "", None


def _explained(error: gateway.ApiError, name: str) -> str:
    """Return a sentence about an error, with the remedy if a person must act."""
    if error.status == 404:
        return f"Lease {name} must exist, got none; {_REMEDY}"
    if error.status == 403:
        return f"the operator must be allowed to get and patch Lease {name}, got: {error.message}; {_REMEDY}"
    return f"Lease {name} cannot be read or written: {error}"
