"""The version of the cluster, which an upgrade changes under a running operator."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from hostnetwork_operator import logs
from hostnetwork_operator.act import gateway
from hostnetwork_operator.control import loops, schedule
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import store

_log = logging.getLogger(__name__)
OLDEST: Final = snapshot.MinorVersion(1, 32)  # field selectors, ValidatingAdmissionPolicy v1, authorizer in CEL
PAUSE_SECONDS: Final = 2.0


async def first(api: gateway.Gateway) -> tuple[snapshot.MinorVersion, str]:
    """Wait for the API server, and return its version and how it is written."""
    while True:
        try:
            return _parsed((await api.get("/version")).body)
        except gateway.ApiError as error:
            logs.log(_log, logging.ERROR, "api-server-unreachable", error=str(error), retry_seconds=PAUSE_SECONDS)
            await asyncio.sleep(PAUSE_SECONDS)


async def keep(api: gateway.Gateway, kept: store.Store, when: schedule.Schedule, seconds: float) -> None:
    """Ask for the version every so many seconds, until cancelled."""
    while True:
        await loops.sleep(seconds)
        try:
            version, shown = _parsed((await api.get("/version")).body)
        except gateway.ApiError as error:
            logs.log(_log, logging.WARNING, "version-unknown", error=str(error))
            continue
        if kept.saw_kubernetes(version):
            logs.log(_log, logging.INFO, "upgraded", kubernetes=shown)
            when.wake_all()


def _parsed(body: Mapping[str, Any]) -> tuple[snapshot.MinorVersion, str]:
    return snapshot.MinorVersion.parse(f"{body['major']}.{body['minor']}"), str(body["gitVersion"])
