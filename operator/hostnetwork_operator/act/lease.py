"""The Lease whose holder may write: the requests that read and write it, and what it says.

This module decides nothing. control/leading decides when a process takes the Lease, renews it and stops writing.
"""

import datetime
from dataclasses import dataclass
from typing import Any, Final

from hostnetwork_operator.act import gateway

_API_VERSION: Final = "coordination.k8s.io/v1"
LEASE_SECONDS: Final = 10  # how long nobody else takes a Lease that is not renewed
_MOST_TRANSITIONS: Final = 2**31 - 1  # an int32 in the API


@dataclass(frozen=True, slots=True)
class HolderRecord:
    """What the Lease says. `version` is its resourceVersion, which every write changes. `holder` is '' if the Lease is
    free. `acquired` is a time in the form of the API, or '', and is only shown to people.
    """

    uid: str
    version: str
    holder: str = ""
    acquired: str = ""
    transitions: int = 0

    def taken_by(self, holder: str, now: datetime.datetime) -> "HolderRecord":
        """Return the record after `holder` has taken the Lease. Another writer of the Lease may have written any number
        of transitions, so the count begins again at its end.
        """
        following = self.transitions + 1 if 0 <= self.transitions < _MOST_TRANSITIONS else 1
        return HolderRecord(self.uid, self.version, holder, _micro_time(now), following)

    def released(self) -> "HolderRecord":
        """Return the record after its holder has released the Lease."""
        return HolderRecord(self.uid, self.version, "", self.acquired, self.transitions)


class LeaseObject:
    """One Lease, by its name `namespace/name`."""

    def __init__(self, api: gateway.Gateway, name: str) -> None:
        self._api = api
        self.name = name
        namespace, _, self._object_name = name.partition("/")
        self._path = f"/apis/{_API_VERSION}/namespaces/{namespace}/leases/{self._object_name}"

    async def read(self) -> HolderRecord:
        """Return what the Lease says. Raise gateway.ApiError."""
        return _record((await self._api.get(self._path)).body)

    async def write(self, record: HolderRecord, now: datetime.datetime) -> HolderRecord:
        """Write a record over the version that it names, and return it as the API server stored it.

        Raise gateway.ApiError: 409 if somebody has written the Lease since that version. The uid keeps a request from
        creating the Lease. The fields belong to the holder, so they are taken over from a person who has edited them:
        without force, one `kubectl edit` would leave the Lease to nobody.
        """
        spec: dict[str, Any] = {
            "holderIdentity": record.holder,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": _micro_time(now),
            "leaseTransitions": record.transitions,
        }
        if record.acquired:
            spec["acquireTime"] = record.acquired
        metadata = {"name": self._object_name, "uid": record.uid, "resourceVersion": record.version}
        body = {"apiVersion": _API_VERSION, "kind": "Lease", "metadata": metadata, "spec": spec}
        return _record((await self._api.apply(self._path, body, force=True)).body)


def _record(body: gateway.Body) -> HolderRecord:
    """Return what a Lease says. The gateway has checked uid and resourceVersion, and the API server the types."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    return HolderRecord(
        metadata["uid"],
        metadata["resourceVersion"],
        spec.get("holderIdentity") or "",
        spec.get("acquireTime") or "",
        spec.get("leaseTransitions") or 0,
    )


def _micro_time(moment: datetime.datetime) -> str:
    """Return a MicroTime, in UTC (k8s.io/apimachinery/pkg/apis/meta/v1)."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
