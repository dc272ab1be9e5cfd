"""Random exceptions through the real model, and pods that each exception covers or misses by one thing."""

import copy
import datetime
from collections.abc import Sequence
from typing import Any, Final

from hypothesis import strategies as st

from hostnetwork_operator.api import exception, grant
from hostnetwork_operator.observe import parse
from tests.conformance import pods

Body = dict[str, Any]
# Names that resemble each other: a prefix, a suffix, another case, another separator.
ACCOUNTS: Final = ("default", "net", "net-debug", "netdebug", "net.debug", "n", "etdebug", "netdebug1")
_IMAGES: Final = (
    "registry.example.com/app:1", "registry.example.com/app:10", "registry.example.com/app", "app:1",
    "registry.example.com/App:1", "registry.example.com/app@sha256:" + "0" * 64, "-", "*",
    "registry.example.com/app:1@sha256:" + "0" * 64, "registry.example.com/app:*", "registry.example.com/app@*",
    "registry.example.com:5000/app:1", "registry.example.com/app/x:1",
    "registry.example.com/app@sha256:" + "0" * 63,
)  # fmt: skip
_PATHS: Final = (
    "/", "/proc", "/proc/", "/proc/net", "/var", "/var/lib", "/var/lib/", "/var/lib/kubelet", "/var/library", "/var/li",
    "/var//lib", "/var/Lib", "//", "/etc/ntp.conf", "/sys/fs/cgroup/", "/däta", "/a,b:c", "/rw:/var/lib",
)  # fmt: skip
_CAPABILITIES: Final = (
    "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_TIME", "CHOWN", "NET_BIND_SERVICE", "ALL", "CAP_SYS_BOOT",
)  # fmt: skip
_ADDED: Final = (
    *_CAPABILITIES, "SYS_BOOT", "CAP_NET_ADMIN", "CAP_CHOWN", "net_admin", "chown", "NET_ADMI", "NET_ADMIN2", "KILL",
    "MKNOD", "-",
)  # fmt: skip
_HOSTS: Final = {"Network": "hostNetwork", "PID": "hostPID", "IPC": "hostIPC"}


def _sample(pool: Sequence[str], most: int = 3, least: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(pool), min_size=least, max_size=most, unique=True)


_LEVELS: Final = ("baseline", "restricted", "privileged")
_NAMED_IMAGES: Final = tuple(image for image in _IMAGES if image[0].isalnum() and image[-1] != "*")  # the CRD's form
# Entries for a repository, only for type Infrastructure, and an image that each entry lists.
_REPOSITORIES: Final = {
    "registry.example.com/app:*": "registry.example.com/app:2",
    "registry.example.com/app@*": "registry.example.com/app:2@sha256:" + "1" * 64,
    "registry.example.com:5000/app:*": "registry.example.com:5000/app:1",
    "registry.example.com:*": "registry.example.com:1",
}


@st.composite
def specs(draw: st.DrawFn, account: str | None = None) -> Body:
    """Draw the spec of an exception as in YAML, without an expiry. Without an account, draw one of ACCOUNTS.

    A fifth of the exceptions whose type allows it are for pods without host namespaces.
    """
    kind = draw(st.sampled_from(list(exception.ExceptionType)))
    spec: Body = {"type": kind.value, "owner": "net", "reason": "Random, for the conformance test", "ticket": "T-1"}
    account = account or draw(st.sampled_from(ACCOUNTS))
    if account != "default" or kind == exception.ExceptionType.INFRASTRUCTURE or draw(st.booleans()):
        spec["serviceAccountName"] = account
    spec["hostNamespaces"] = draw(_sample(list(_HOSTS), least=1))
    if kind != exception.ExceptionType.DIAGNOSTIC and draw(st.sampled_from([True, False, False, False, False])):
        spec |= {"hostNamespaces": [], "hostPorts": draw(st.booleans())}
    if kind != exception.ExceptionType.INFRASTRUCTURE or draw(st.booleans()):
        spec["images"] = draw(_sample(_NAMED_IMAGES, least=1))
        if kind == exception.ExceptionType.INFRASTRUCTURE:
            spec["images"] += draw(_sample(list(_REPOSITORIES), most=2))
    spec["capabilities"] = draw(_sample(_CAPABILITIES))
    spec["podSecurityLevel"] = draw(st.sampled_from(_LEVELS))
    spec["privileged"] = spec["podSecurityLevel"] != "restricted" and draw(st.booleans())  # the CRD's rule
    spec["hostPaths"] = [{"path": path, "readOnly": draw(st.booleans())} for path in draw(_sample(_PATHS))]
    return spec


def parsed(name: str, spec: Body, until: datetime.datetime | None) -> exception.HostNetworkException:
    """Return the exception as the operator reads it."""
    if until is not None:
        spec = {**spec, "expiry": grant.format_time(until)}
    metadata = {
        "name": name, "namespace": "", "uid": f"uid-of-{name}", "resourceVersion": "1", "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    subject = parse.host_network_exception({"metadata": metadata, "spec": spec})
    assert isinstance(subject, exception.HostNetworkException), subject
    return subject


@st.composite
def covered(draw: st.DrawFn, spec: Body, original: Body) -> Body:
    """Draw a copy of the pod that uses parts of what the exception allows. A plain pod is then covered."""
    body = copy.deepcopy(original)
    pod = body["spec"]
    account = spec.get("serviceAccountName", "default")
    if account != "default" or draw(st.booleans()):
        pod["serviceAccountName"] = account
    pod.pop("hostUsers", None)  # API validation refuses host namespaces with a user namespace
    hosts = spec["hostNamespaces"]
    for name in draw(_sample(hosts, least=1)) if hosts else ():
        pod[_HOSTS[name]] = True
    images = st.sampled_from([_REPOSITORIES.get(entry, entry) for entry in spec.get("images", _NAMED_IMAGES)])
    for container in pods.containers(pod):
        container["image"] = draw(images)
    if pod.get("os") == {"name": "windows"}:
        pods.for_windows(body)
        pod.update({"hostNetwork": True} if hosts else {})
        return body
    container = draw(st.sampled_from(pods.containers(pod)))
    allowed = (
        ["NET_BIND_SERVICE"] if spec["podSecurityLevel"] == "restricted" else ["NET_BIND_SERVICE", "CHOWN", "MKNOD"]
    )
    if draw(st.booleans()) and (added := draw(_sample([*spec["capabilities"], *allowed], most=2))):
        _add(container, added)
    if spec["privileged"] and draw(st.booleans()):
        _privileged(draw, container)
        _add(container, draw(st.sampled_from([[], ["SYS_ADMIN"]])))
    if spec.get("hostPorts") and draw(st.booleans()):
        container["ports"] = [{"containerPort": 80, "hostPort": 80}]
    if spec["hostPaths"] and draw(st.booleans()):
        _mount_named(draw, spec, body)
    return body


def _mount_named(draw: st.DrawFn, spec: Body, body: Body) -> None:
    host_path = draw(st.sampled_from(spec["hostPaths"]))
    suffix = draw(st.sampled_from(["", "/", "x", "/x/y", "/."] if host_path["path"].endswith("/") else ["", "/", "/x"]))
    read_only = True if host_path["readOnly"] else draw(st.booleans())
    container = draw(st.sampled_from(pods.containers(body["spec"])))
    _mount(body, host_path["path"] + suffix, container, read_only=read_only)


@st.composite
def missed(draw: st.DrawFn, spec: Body, body: Body) -> Body:
    """Draw a copy of the pod with one change that the exception usually does not allow."""
    body = copy.deepcopy(body)
    pod = body["spec"]
    container = draw(st.sampled_from(pods.containers(pod)))
    match draw(st.sampled_from(["account", "hosts", "image", "capability", "privileged", "path", "mode"])):
        case "account":
            pod["serviceAccountName"] = draw(st.sampled_from(ACCOUNTS))
        case "hosts":
            other_names = [name for name in _HOSTS if name not in spec["hostNamespaces"]]
            pod[_HOSTS[draw(st.sampled_from(other_names or list(_HOSTS)))]] = True
        case "image":
            container["image"] = draw(st.sampled_from(_IMAGES))
        case "capability":  # in addition to capabilities that the exception allows, if there are any
            with_capabilities = [
                candidate
                for candidate in pods.containers(pod)
                if "capabilities" in (candidate.get("securityContext") or {})
            ]
            _add(
                draw(st.sampled_from([*with_capabilities, *with_capabilities, container])),
                [draw(st.sampled_from(_ADDED))],
            )
        case "privileged":
            _privileged(draw, container)
        case "path":  # any path, or a path that begins like a path of the exception
            prefixes = [path["path"].rstrip("/") for path in spec["hostPaths"]]
            similar = [f"{path}{suffix}" for path in prefixes for suffix in ("rary", "-", ".d/x")] or _PATHS
            path = draw(st.one_of(st.sampled_from(_PATHS), st.sampled_from(similar)))
            _mount(body, path, container, read_only=draw(st.booleans()))
        case "mode":  # of a path of the exception
            path = draw(st.sampled_from([host_path["path"] for host_path in spec["hostPaths"]] or ["/proc"]))
            _mount(body, path, container, read_only=draw(st.booleans()))
            if draw(st.booleans()):  # a second mount of the volume, in the same or another container
                second_container = draw(st.sampled_from(pods.containers(pod)))
                volume = pod["volumes"][-1]["name"]
                second_container.setdefault("volumeMounts", []).append({"name": volume, "mountPath": "/again"})
    return body


def _add(container: Body, added: list[str]) -> None:
    capabilities = container.setdefault("securityContext", {}).get("capabilities") or {}
    container["securityContext"]["capabilities"] = {**capabilities, "add": [*capabilities.get("add", []), *added]}


def _privileged(draw: st.DrawFn, container: Body) -> None:
    context = container.setdefault("securityContext", {})
    context["privileged"] = draw(st.sampled_from([True, True, False]))
    if context["privileged"]:
        context.pop("allowPrivilegeEscalation", None)  # API validation refuses false for a privileged container


def _mount(body: Body, path: str, container: Body, *, read_only: bool) -> None:
    volumes = body["spec"].setdefault("volumes", [])
    name = f"v{len(volumes)}"
    volumes.append({"name": name, "hostPath": {"path": path}})
    mount: Body = {"name": name, "mountPath": f"/{name}"}
    container.setdefault("volumeMounts", []).append({**mount, "readOnly": True} if read_only else mount)
