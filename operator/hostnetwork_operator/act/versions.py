"""Asks the API server for its version of Kubernetes. An upgrade changes the version while the operator runs."""

import asyncio
import logging
from typing import Final, NamedTuple

from hostnetwork_operator import logs
from hostnetwork_operator.act import gateway
from hostnetwork_operator.decide import snapshot

_log = logging.getLogger(__name__)
OLDEST: Final = snapshot.MinorVersion(1, 32)  # field selectors, ValidatingAdmissionPolicy v1, authorizer in CEL
_PAUSE_SECONDS: Final = 2.0
_PATH: Final = "/version"
_QUOTED: Final = 100  # characters that are quoted of a text from the API server


class VersionError(Exception):
    """The API server reports a version that cannot be understood. The message is one line with the remedy."""


class ServerVersion(NamedTuple):
    """The minor version of the API server, and its version in the usual form."""

    minor: snapshot.MinorVersion
    text: str


async def ask(api: gateway.Gateway) -> ServerVersion:
    """Return the version of the API server.

    Raise VersionError. Raise gateway.ApiError also for an answer without a version: the answer may not come from the
    API server.
    """
    body = (await api.get(_PATH)).body
    texts = [body.get(key) for key in ("major", "minor", "gitVersion")]
    major, minor, git_version = (text if isinstance(text, str) else None for text in texts)
    if major is None or minor is None or git_version is None:
        raise gateway.ApiError(
            "GET", _PATH, 0, "Unexpected", "the answer must have major, minor and gitVersion as text"
        )
    # The first two may be empty in an API server that a vendor has built.
    for text in (f"{major}.{minor}", git_version):
        try:
            return ServerVersion(snapshot.MinorVersion.parse(text), git_version)
        except ValueError:
            continue
    raise VersionError(
        f"the version of Kubernetes must begin with a major and a minor version such as 1.36, got major"
        f" {major[:_QUOTED]!r}, minor {minor[:_QUOTED]!r} and gitVersion {git_version[:_QUOTED]!r}; run an API server"
        " whose GET /version has the version"
    )


async def first(api: gateway.Gateway) -> ServerVersion:
    """Wait for the API server, and return as `ask` does. Raise VersionError, also if the version is too old."""
    while True:
        try:
            version = await ask(api)
            break
        except gateway.ApiError as error:
            logs.log(_log, logging.ERROR, "api-server-unreachable", error=str(error), retry_seconds=_PAUSE_SECONDS)
            await asyncio.sleep(_PAUSE_SECONDS)
    if version.minor < OLDEST:
        raise VersionError(f"Kubernetes must be {OLDEST} or newer, got {version.text}; upgrade the cluster")
    return version
