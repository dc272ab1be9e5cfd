"""The smallest exception that covers what a workload's pods use, without what only a person can say.

Each field is what the pods use, and nothing more: an exception with less of one field covers them no longer. Owner,
reason, ticket and expiry are a person's words. The API server refuses a draft without them.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hostnetwork_operator.api import exception, grant, labels
from hostnetwork_operator.decide import classify, coverage, snapshot


@dataclass(frozen=True, slots=True)
class Justification:
    """What only a person can say about an exception. '' and None are left out."""

    owner: str
    reason: str
    contact: str = ""
    ticket: str = ""
    expiry: datetime.datetime | None = None

    @property
    def spec(self) -> dict[str, str]:
        """The fields of an exception, in the order in which people read them."""
        fields = {"owner": self.owner, "contact": self.contact, "reason": self.reason, "ticket": self.ticket}
        expiry = "" if self.expiry is None else grant.format_time(self.expiry)
        return {name: text for name, text in {**fields, "expiry": expiry}.items() if text}


@dataclass(frozen=True, slots=True)
class Draft:
    """What an exception for these pods must allow. The names are those of the fields of an exception.

    `wide` says what about the draft is far-reaching, and `inexpressible` what the pods use that no exception can list.
    """

    namespace: str
    name: str
    type: exception.ExceptionType
    component: exception.Component | None
    service_account: str
    host_namespaces: tuple[labels.HostNamespace, ...]
    images: tuple[str, ...]
    capabilities: tuple[str, ...]
    privileged: bool
    host_paths: tuple[exception.HostPath, ...]
    host_ports: bool
    level: labels.Level
    wide: tuple[str, ...]
    inexpressible: tuple[str, ...]

    def with_suffix(self, suffix: str) -> "Draft":
        """Return the same draft under another name."""
        return replace(self, name=f"{_name(self.name[: 62 - len(suffix)])}-{suffix}")

    def manifest(self, justification: Justification) -> dict[str, Any]:
        """Return the exception as an object of the API."""
        component = {} if self.component is None else {"component": self.component.value}
        return {
            "apiVersion": labels.API_VERSION,
            "kind": exception.KIND,
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {"type": self.type.value, **component, **justification.spec, **self.spec},
        }

    @property
    def spec(self) -> dict[str, Any]:
        """What the exception allows, as an object of the API has it; fields with their default value are left out."""
        paths = [{"path": each.path, **({} if each.read_only else {"readOnly": False})} for each in self.host_paths]
        fields = {
            "serviceAccountName": self.service_account,
            "hostNamespaces": [name.value for name in self.host_namespaces],
            "images": list(self.images),
        }
        optional = {
            "capabilities": list(self.capabilities),
            "privileged": self.privileged,
            "hostPaths": paths,
            "hostPorts": self.host_ports,
            "podSecurityLevel": "" if self.level is labels.Level.BASELINE else self.level.value,
        }
        return {**fields, **{key: value for key, value in optional.items() if value}}


def draft(
    subject: snapshot.Reference,
    pods: Sequence[snapshot.Pod],
    seen: classify.Classification,
    level: labels.Level,
    kind: exception.ExceptionType | None = None,
) -> Draft:
    """Return the draft for these pods, of which there is at least one; all have one service account.

    `level` is the strictest level that every pod meets beside what the draft allows. `kind` overrides the type of the
    class.
    """
    shared = {name for pod in pods for name in pod.host_namespaces}
    privileged = any(pod.privileged for pod in pods)
    if privileged and level is labels.Level.RESTRICTED:
        level = labels.Level.BASELINE  # restricted forbids privilege escalation
    beyond = {c for pod in pods for c in pod.capabilities} - coverage.capabilities_without_naming(level)
    paths, odd = _paths(pods)
    chosen = kind or seen.type
    if chosen is exception.ExceptionType.DIAGNOSTIC and not shared:
        chosen = exception.ExceptionType.APPLICATION  # the CRD allows no empty hostNamespaces for type Diagnostic
    infrastructure = chosen is exception.ExceptionType.INFRASTRUCTURE
    component = (seen.component or exception.Component.OTHER) if infrastructure else None
    return Draft(
        namespace=subject.namespace,
        name=_name(subject.name),
        type=chosen,
        component=component,
        service_account=pods[0].service_account,
        host_namespaces=tuple(name for name in labels.HostNamespace if name in shared),
        images=tuple(sorted({image for pod in pods for image in pod.images})),
        capabilities=tuple(sorted(beyond)),
        privileged=privileged,
        host_paths=paths,
        host_ports=not shared and any(pod.host_ports for pod in pods),
        level=level,
        wide=tuple(_wide(pods, paths, beyond, level, privileged=privileged)),
        inexpressible=odd,
    )


def needs_an_exception(pod: snapshot.Pod) -> bool:
    """Return whether a pod uses what Baseline forbids and an exception can allow."""
    return coverage.relies_on_a_grant(pod, labels.Level.BASELINE)


def _paths(pods: Sequence[snapshot.Pod]) -> tuple[tuple[exception.HostPath, ...], tuple[str, ...]]:
    """Return the host paths, without those that another one allows, and what cannot be a host path of an exception."""
    writable: dict[str, bool] = {}
    for pod in pods:
        for mount in pod.host_paths:
            path = mount.path if mount.path == "/" else mount.path.rstrip("/") or "/"
            writable[path] = writable.get(path, False) or not mount.read_only
    odd = {path for path in writable if not _can_be_listed(path)}
    allowed = [path for path in sorted(writable) if path not in odd]
    kept = [
        path
        for path in allowed
        if not any(
            other != path and coverage.within(path, other) and (writable[other] or not writable[path])
            for other in allowed
        )
    ]
    entries = tuple(exception.HostPath(path=path, read_only=not writable[path]) for path in kept)
    return entries, tuple(f"host path {path}" for path in sorted(odd))


def _can_be_listed(path: str) -> bool:
    """Return whether the CRD accepts the path (api/exception)."""
    return path.startswith("/") and not set(path) & set(" |\\") and ".." not in path.split("/") and path.isprintable()


def _wide(
    pods: Sequence[snapshot.Pod],
    paths: Sequence[exception.HostPath],
    beyond: set[str],
    level: labels.Level,
    *,
    privileged: bool,
) -> list[str]:
    found = []
    if privileged:
        found.append("a privileged container has root rights on the node")
    for path in paths:
        if path.path in {"/", "/etc", "/var", "/var/lib", "/var/lib/kubelet", "/opt", "/opt/cni/bin", "/root"}:
            access = "read" if path.read_only else "write"
            found.append(f"the pods {access} {path.path} of the node")
        elif path.path.endswith(".sock"):
            found.append(f"{path.path} is a socket: a read-only mount gives the whole API behind the socket too")
    if beyond & {"SYS_ADMIN", "CAP_SYS_ADMIN", "ALL"}:
        found.append("SYS_ADMIN is nearly as much as privileged")
    if any(pod.service_account == "default" for pod in pods):
        found.append("every pod of the namespace that names no service account can use the exception")
    if level is labels.Level.PRIVILEGED:
        found.append("podSecurityLevel privileged checks nothing else about the pods")
    return found


def _name(text: str) -> str:
    """Return a name of an exception: at most 63 characters."""
    return text[:63].rstrip("-.")
