"""The operator's requests in the API server's audit log: the request, when it was received, when it was answered."""

import collections
import dataclasses
import datetime
import json
import pathlib
import time
from collections.abc import Iterable, Iterator
from typing import Any

from tests.controlplane import cluster, operator

_USER = f"system:serviceaccount:{operator.NAMESPACE}:{operator.ACCOUNT}"
_READS = frozenset({"get", "list", "watch"})


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A request; times are Unix seconds by the API server's clock."""

    verb: str
    resource: str  # with its subresource: pods/status
    namespace: str
    name: str
    dry_run: bool
    received: float
    answered: float
    status: int
    body: dict[str, Any]

    @property
    def writes(self) -> bool:
        return self.verb not in _READS and not self.dry_run


def by_operator(control_plane: cluster.Cluster, since: float, until: float = float("inf")) -> list[Request]:
    """Return the operator's requests in a period, oldest first; a request with several stages counts once."""
    requests: dict[str, Request] = {}
    for event in _events(control_plane):
        request = _request(event)
        if since <= request.received < until:
            requests[event["auditID"]] = request
    return sorted(requests.values(), key=lambda request: request.received)


def counts(requests: Iterable[Request]) -> dict[str, int]:
    """Return the number of reads per verb and of writes per verb and resource, most frequent first."""
    return dict(collections.Counter(_sort(request) for request in requests).most_common())


def _sort(request: Request) -> str:
    if request.verb in _READS:
        return f"{request.verb}, all"
    return f"{request.verb} {request.resource}{' (dry run)' if request.dry_run else ''}"


def now() -> float:
    """Return the time by the audit log's clock, which is this machine's: the API server runs here."""
    return time.time()


def _events(control_plane: cluster.Cluster) -> Iterator[dict[str, Any]]:
    assert control_plane.audit_log is not None, "this cluster was started without audit=True"
    # The API server starts a new file at 100 MB and renames the full file to audit-<time>.log.
    for path in sorted(pathlib.Path(control_plane.directory).glob("audit*.log")):
        with path.open() as lines:
            for line in lines:
                if _USER in line and line.endswith("\n"):
                    event = json.loads(line)
                    if event["user"]["username"] == _USER:
                        yield event


def _request(event: dict[str, Any]) -> Request:
    subject = event.get("objectRef") or {}
    resource = subject.get("resource", event["requestURI"].split("?")[0])
    return Request(
        verb=event["verb"],
        resource="/".join(part for part in (resource, subject.get("subresource", "")) if part),
        namespace=subject.get("namespace", ""),
        name=subject.get("name", ""),
        dry_run="dryRun=All" in event["requestURI"],
        received=_unix(event["requestReceivedTimestamp"]),
        answered=_unix(event["stageTimestamp"]),
        status=int((event.get("responseStatus") or {}).get("code", 0)),
        body=event.get("requestObject") or {},
    )


def _unix(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()
