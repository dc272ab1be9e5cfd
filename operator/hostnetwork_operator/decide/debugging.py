"""The exception and the pod of one debug session on a node, and the moment at which the exception is revoked.

The exception is the smallest that covers the pod. A profile has what the profile of the same name has in
`kubectl debug node/NODE --profile=NAME` (docs/howto/exceptions-for-agents.md#kubectl-debug-node). Without a profile the
pod shares the network of its node and nothing else. The command imports this module for its help, so the module imports
no model.
"""

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from hostnetwork_operator.api import grant, labels

CONTAINER: Final = "debugger"
# On both objects of a session: who made them, for people. Nothing is decided by the label.
MANAGED_BY: Final = "kubectl-hostnetwork"
# A shell as process 1 ignores SIGTERM. Nothing of a session is worth waiting for after its client has gone.
GRACE_SECONDS: Final = 5
_LONGEST_NAME: Final = 63  # of an exception
_HOST: Final = "host"  # the name of the volume, and the directory under which `kubectl debug` mounts the node's disk


@dataclass(frozen=True, slots=True)
class DebugProfile:
    """What the pod of a profile has. `disk`: the disk of the node is mounted at /host, writable."""

    host_namespaces: tuple[labels.HostNamespace, ...] = (labels.HostNamespace.NETWORK,)
    capabilities: tuple[str, ...] = ()
    disk: bool = False
    privileged: bool = False


_EACH: Final = tuple(labels.HostNamespace)
NETWORK: Final = "network"
PROFILES: Final[Mapping[str, DebugProfile]] = MappingProxyType(
    {
        NETWORK: DebugProfile(),
        "netadmin": DebugProfile(_EACH, capabilities=("NET_ADMIN", "NET_RAW")),
        "general": DebugProfile(_EACH, disk=True),
        "sysadmin": DebugProfile(_EACH, disk=True, privileged=True),
    }
)


@dataclass(frozen=True, slots=True)
class DebugSession:
    """What a person asks for. `name` is the name of the exception and of its pod. `command` is empty for the image's
    own. `interactive`: the person's input goes to the container. `expiry` is in UTC, to the second.
    """

    name: str
    namespace: str
    node: str
    image: str
    owner: str
    reason: str
    ticket: str
    expiry: datetime.datetime
    profile: DebugProfile
    command: tuple[str, ...] = ()
    service_account: str = "default"
    interactive: bool = field(default=False, kw_only=True)
    terminal: bool = field(default=False, kw_only=True)


def name(node: str, suffix: str) -> str:
    """Return the name of the exception and the pod of a session: `debug-<node>-<suffix>`, at most 63 characters."""
    room = _LONGEST_NAME - len("debug--") - len(suffix)
    return f"debug-{node[:room].rstrip('-.')}-{suffix}"


def expiry(now: datetime.datetime, seconds: float) -> datetime.datetime:
    """Return the end of a session that begins now: an expiry has no parts of seconds."""
    return (now + datetime.timedelta(seconds=seconds)).replace(microsecond=0)


def revoked_at(now: datetime.datetime, created: datetime.datetime | None) -> datetime.datetime:
    """Return the expiry that revokes an exception. `created` is the creation of the pod, if there is a pod.

    The expiry is later than the creation of the pod. Otherwise the pod would be Uncovered instead of Expired, because
    an exception covers only pods that were created before its expiry, and the operator would not delete the pod.
    """
    moment = now.replace(microsecond=0)
    return moment if created is None else max(moment, created + datetime.timedelta(seconds=1))


def with_host_namespaces(profile: DebugProfile, *, pid: bool, ipc: bool) -> DebugProfile:
    """Return the profile, with the PIDs and the IPC of the node if asked for."""
    wanted = {*profile.host_namespaces}
    wanted |= {labels.HostNamespace.PID} if pid else set()
    wanted |= {labels.HostNamespace.IPC} if ipc else set()
    ordered = tuple(each for each in labels.HostNamespace if each in wanted)
    return DebugProfile(ordered, profile.capabilities, profile.disk, profile.privileged)


def exception(session: DebugSession) -> dict[str, Any]:
    """Return the exception of a session: Diagnostic, with exactly what its pod has."""
    profile = session.profile
    optional = {
        "capabilities": list(profile.capabilities),
        "privileged": profile.privileged,
        "hostPaths": [{"path": "/", "readOnly": False}] if profile.disk else [],
    }
    return {
        "apiVersion": labels.API_VERSION,
        "kind": "HostNetworkException",
        "metadata": _metadata(session),
        "spec": {
            "type": "Diagnostic",
            "owner": session.owner,
            "reason": session.reason,
            "ticket": session.ticket,
            "expiry": grant.format_time(session.expiry),
            "serviceAccountName": session.service_account,
            "hostNamespaces": [each.value for each in profile.host_namespaces],
            "images": [session.image],
            **{key: value for key, value in optional.items() if value},
            "gracePeriodSeconds": GRACE_SECONDS,
        },
    }


def pod(session: DebugSession, now: datetime.datetime) -> dict[str, Any]:
    """Return the pod of a session.

    As with `kubectl debug node/…`, spec.nodeName and the toleration of every taint bring the pod also to a node that is
    cordoned or not ready. With stdinOnce, a shell ends when the connection of the client ends. The kubelet ends the pod
    at the expiry, also while the operator and the API server are down. The pod needs no token of its service account.
    """
    profile = session.profile
    shared = profile.host_namespaces
    security: dict[str, Any] = {}
    if profile.capabilities:
        security["capabilities"] = {"add": list(profile.capabilities)}
    if profile.privileged:
        security["privileged"] = True
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": session.image,
        **({"command": list(session.command)} if session.command else {}),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **({"stdin": True, "stdinOnce": True} if session.interactive else {}),
        **({"tty": True} if session.terminal else {}),
        **({"securityContext": security} if security else {}),
        **({"volumeMounts": [{"name": _HOST, "mountPath": f"/{_HOST}"}]} if profile.disk else {}),
    }
    fields = {
        labels.HostNamespace.NETWORK: "hostNetwork",
        labels.HostNamespace.PID: "hostPID",
        labels.HostNamespace.IPC: "hostIPC",
    }
    seconds = math.ceil((session.expiry - now).total_seconds())
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(session),
        "spec": {
            "nodeName": session.node,
            "serviceAccountName": session.service_account,
            "automountServiceAccountToken": False,
            **{fields[each]: True for each in shared},
            "restartPolicy": "Never",
            "activeDeadlineSeconds": max(1, seconds),
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
            **({"volumes": [{"name": _HOST, "hostPath": {"path": "/"}}]} if profile.disk else {}),
        },
    }


def _metadata(session: DebugSession) -> dict[str, Any]:
    return {
        "name": session.name,
        "namespace": session.namespace,
        "labels": {labels.MANAGED_BY: MANAGED_BY},
    }
