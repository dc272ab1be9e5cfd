"""Asks each API server of the cluster for its version, and whether it has the seal (docs/howto/seal.md).

A cluster has several API servers behind one address. During an upgrade they have two versions, and each reads the seal
from its own disk. So the operator asks each of them at its own address, which EndpointSlice default/kubernetes has.
"""

import asyncio
import ipaddress
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hostnetwork_operator import bodies, logs
from hostnetwork_operator.act import gateway, identity, versions
from hostnetwork_operator.api import labels
from hostnetwork_operator.control import loops, schedule
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import store

_log = logging.getLogger(__name__)
# The API servers write this object (its reconciler is in kube-apiserver). No other slice counts.
_SLICE: Final = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
_PORT: Final = "https"
_MOST: Final = 32  # API servers
_SECONDS: Final = 3.0  # a node that is down does not answer, and the start of the operator waits for the answers
_INTERVAL_SECONDS: Final = 60.0  # an API server takes up a changed seal within a minute
_QUOTED: Final = 200  # characters of what an API server answers
_ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
_DECOY: Final = f"{_ADMISSION}/{labels.SEAL_PROBE}"
_PROBE: Final = {"metadata": {"annotations": {f"{labels.GROUP}/probe": "the seal refuses this change"}}}
# The API reserves names that end in .static.k8s.io for policies from files, and RBAC has another wording.
_REFUSED: Final = re.compile(
    rf"ValidatingAdmissionPolicy '{re.escape(labels.SEAL)}' with binding '[^']*' denied request"
)


async def keep(api: gateway.Gateway, cache: store.Store, when: schedule.Schedule, seconds: float) -> None:
    """Ask every `seconds`, or more often if that is long, until cancelled. An API server that does not answer changes
    no version.
    """
    while True:
        await loops.sleep(min(seconds, _INTERVAL_SECONDS))
        await look(api, cache, when)


async def look(api: gateway.Gateway, cache: store.Store, when: schedule.Schedule) -> None:
    """Ask the cluster and each API server, and store the answers."""
    before, changed = (cache.kubernetes(), cache.oldest_kubernetes()), False
    try:
        changed = cache.saw_kubernetes((await versions.ask(api)).minor)
    except (gateway.ApiError, versions.VersionError) as error:
        logs.log(_log, logging.WARNING, "version-unknown", error=str(error))
    changed |= cache.saw_api_servers(await ask(api))
    if not changed:
        return
    when.policy_changed.set()
    newest, oldest = cache.kubernetes(), cache.oldest_kubernetes()
    if (newest, oldest) != before:
        logs.log(_log, logging.INFO, "upgraded", newest=str(newest), oldest=str(oldest))
        when.wake_all()


async def ask(api: gateway.Gateway) -> snapshot.ApiServers:
    """Return what each API server says of itself. Never raises for what an API server answers."""
    try:
        endpoint_slice = (await api.get(_SLICE)).body
    except gateway.ApiError as error:
        return snapshot.ApiServers((), f"EndpointSlice default/kubernetes cannot be read: {error.reason}")
    try:
        addresses = sorted(set(_addresses(endpoint_slice)))[:_MOST]
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # another form than the API server writes
        return snapshot.ApiServers((), f"EndpointSlice default/kubernetes cannot be understood: {error}"[:_QUOTED])
    if not addresses:
        return snapshot.ApiServers((), "EndpointSlice default/kubernetes has no address")
    return snapshot.ApiServers(tuple(await asyncio.gather(*(_ask_one(api, address) for address in addresses))), "")


def _addresses(endpoint_slice: Mapping[str, Any]) -> Iterator[str]:
    """Yield each address as host:port. Who may write the object is in docs/explanation/threat-model.md."""
    ports = [
        port["port"]
        for port in endpoint_slice.get("ports") or ()
        if port.get("name") == _PORT and isinstance(port.get("port"), int)
    ]
    for endpoint in endpoint_slice.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready") is False:
            continue
        for text in endpoint.get("addresses") or ():
            address = ipaddress.ip_address(str(text))
            host = f"[{address}]" if address.version == 6 else str(address)
            yield from (f"{host}:{port}" for port in ports)


async def _ask_one(api: gateway.Gateway, address: str) -> snapshot.ApiServer:
    try:
        server = api.to(address)
    except identity.IdentityError as error:
        return snapshot.ApiServer(address, trouble=str(error))
    version, sealed = None, None
    try:
        async with asyncio.timeout(_SECONDS):
            version = (await versions.ask(server)).minor
            sealed, trouble = _sealed(await server.preview_patch(_DECOY, _PROBE))
    except TimeoutError:
        trouble = f"no answer within {_SECONDS:.0f} s"
    except (gateway.ApiError, versions.VersionError) as error:
        trouble = str(error)
    finally:
        await server.close()
    return snapshot.ApiServer(address, version, sealed, trouble[:_QUOTED])


def _sealed(answer: bodies.Answer) -> tuple[bool | None, str]:
    """Return whether the seal refused the change, and what else refused it."""
    if not answer.refused:
        return False, ""
    return (True, "") if _REFUSED.search(answer.refused) else (None, answer.refused)
