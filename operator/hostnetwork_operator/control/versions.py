"""Asks the API server which Kubernetes it is. An upgrade changes the version under a running operator."""

import asyncio
import logging
from typing import Final

from hostnetwork_operator import logs
from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import loops, schedule
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import store

_log = logging.getLogger(__name__)
OLDEST: Final = snapshot.MinorVersion(1, 32)  # field selectors, ValidatingAdmissionPolicy v1, authorizer in CEL
_PAUSE_SECONDS: Final = 2.0
_PATH: Final = "/version"
_QUOTED: Final = 100  # characters of a text of the API server's


class VersionError(Exception):
    """The API server names a version that cannot be understood; the message is one line with the remedy."""


async def ask(api: gateway.Gateway) -> tuple[snapshot.MinorVersion, str]:
    """Return the minor version, and the version as people know it.

    Raise VersionError, and gateway.ApiError also for an answer that names no version: whoever answered may not be the
    API server.
    """
    body = (await api.get(_PATH)).body
    texts = [body.get(key) for key in ("major", "minor", "gitVersion")]
    major, minor, full = (text if isinstance(text, str) else None for text in texts)
    if major is None or minor is None or full is None:
        raise gateway.ApiError(
            "GET", _PATH, 0, "Unexpected", "the answer must have major, minor and gitVersion as text"
        )
    # Who builds an API server of his own may leave the first two empty.
    for text in (f"{major}.{minor}", full):
        try:
            return snapshot.MinorVersion.parse(text), full
        except ValueError:
            continue
    raise VersionError(
        f"the version of Kubernetes must begin with a major and a minor version such as 1.36, got major"
        f" {major[:_QUOTED]!r}, minor {minor[:_QUOTED]!r} and gitVersion {full[:_QUOTED]!r}; run an API server whose"
        " GET /version says its version"
    )


async def first(api: gateway.Gateway) -> tuple[snapshot.MinorVersion, str]:
    """Wait for the API server, and return as `ask` does. Raise VersionError, also for a version that is too old."""
    while True:
        try:
            found, shown = await ask(api)
            break
        except gateway.ApiError as error:
            logs.log(_log, logging.ERROR, "api-server-unreachable", error=str(error), retry_seconds=_PAUSE_SECONDS)
            await asyncio.sleep(_PAUSE_SECONDS)
    if found < OLDEST:
        raise VersionError(f"Kubernetes must be {OLDEST} or newer, got {shown}; upgrade the cluster")
    return found, shown


async def keep(api: gateway.Gateway, kept: store.Store, when: schedule.Schedule, seconds: float) -> None:
    """Ask for the version every so many seconds, until cancelled. What is not understood changes nothing."""
    while True:
        await loops.sleep(seconds)
        try:
            version, shown = await ask(api)
        except (gateway.ApiError, VersionError) as error:
            logs.log(_log, logging.WARNING, "version-unknown", error=str(error))
            continue
        if kept.saw_kubernetes(version):
            logs.log(_log, logging.INFO, "upgraded", kubernetes=shown)
            when.wake_all()
