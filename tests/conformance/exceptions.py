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
# Look-alikes of each other: a prefix, a suffix, another case, another separator.
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


def _some(pool: Sequence[str], most: int = 3, least: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(pool), min_size=least, max_size=most, unique=True)


_LEVELS: Final = ("baseline", "restricted", "privileged")
_NAMED_IMAGES: Final = tuple(image for image in _IMAGES if image[0].isalnum() and image[-1] != "*")  # the CRD's form
# For type Infrastructure; and an image that each of them lists.
_REPOSITORIES: Final = {
    "registry.example.com/app:*": "registry.example.com/app:2",
    "registry.example.com/app@*": "registry.example.com/app:2@sha256:" + "1" * 64,
    "registry.example.com:5000/app:*": "registry.example.com:5000/app:1",
    "registry.example.com:*": "registry.example.com:1",
}


@st.composite
def specs(draw: st.DrawFn, account: str | None = None) -> Body:
    """The spec of an exception without its expiry, as it is written in YAML. No account: one of ACCOUNTS.

    A fifth of those that may be are for pods without host namespaces.
    """
    kind = draw(st.sampled_from(list(exception.ExceptionType)))
    spec: Body = {"type": kind.value, "owner": "net", "reason": "Random, for the conformance test", "ticket": "T-1"}
    account = account or draw(st.sampled_from(ACCOUNTS))
    if account != "default" or kind == exception.ExceptionType.INFRASTRUCTURE or draw(st.booleans()):
        spec["serviceAccountName"] = account
    spec["hostNamespaces"] = draw(_some(list(_HOSTS), least=1))
    if kind != exception.ExceptionType.DIAGNOSTIC and draw(st.sampled_from([True, False, False, False, False])):
        spec |= {"hostNamespaces": [], "hostPorts": draw(st.booleans())}
    if kind != exception.ExceptionType.INFRASTRUCTURE or draw(st.booleans()):
        spec["images"] = draw(_some(_NAMED_IMAGES, least=1))
        if kind == exception.ExceptionType.INFRASTRUCTURE:
            spec["images"] += draw(_some(list(_REPOSITORIES), most=2))
    spec["capabilities"] = draw(_some(_CAPABILITIES))
    spec["podSecurityLevel"] = draw(st.sampled_from(_LEVELS))
    spec["privileged"] = spec["podSecurityLevel"] != "restricted" and draw(st.booleans())  # the CRD's rule
    spec["hostPaths"] = [{"path": path, "readOnly": draw(st.booleans())} for path in draw(_some(_PATHS))]
    return spec


def parsed(name: str, spec: Body, until: datetime.datetime | None) -> exception.HostNetworkException:
    """The exception as the operator reads it."""
    if until is not None:
        spec = {**spec, "expiry": grant.format_time(until)}
    metadata = {
        "name": name, "namespace": "", "uid": f"uid-of-{name}", "resourceVersion": "1", "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    made = parse.host_network_exception({"metadata": metadata, "spec": spec})
    assert isinstance(made, exception.HostNetworkException), made
    return made


@st.composite
def covered(draw: st.DrawFn, spec: Body, given: Body) -> Body:
    """The given pod with as much of what the exception names as it likes: covered, if it was bare."""
    body = copy.deepcopy(given)
    pod = body["spec"]
    account = spec.get("serviceAccountName", "default")
    if account != "default" or draw(st.booleans()):
        pod["serviceAccountName"] = account
    pod.pop("hostUsers", None)  # API validation knows no host namespaces beside a user namespace
    hosts = spec["hostNamespaces"]
    for name in draw(_some(hosts, least=1)) if hosts else ():
        pod[_HOSTS[name]] = True
    images = st.sampled_from([_REPOSITORIES.get(entry, entry) for entry in spec.get("images", _NAMED_IMAGES)])
    for one in pods.containers(pod):
        one["image"] = draw(images)
    if pod.get("os") == {"name": "windows"}:
        pods.for_windows(body)
        pod.update({"hostNetwork": True} if hosts else {})
        return body
    one = draw(st.sampled_from(pods.containers(pod)))
    free = ["NET_BIND_SERVICE"] if spec["podSecurityLevel"] == "restricted" else ["NET_BIND_SERVICE", "CHOWN", "MKNOD"]
    if draw(st.booleans()) and (added := draw(_some([*spec["capabilities"], *free], most=2))):
        _add(one, added)
    if spec["privileged"] and draw(st.booleans()):
        _privileged(draw, one)
        _add(one, draw(st.sampled_from([[], ["SYS_ADMIN"]])))
    if spec.get("hostPorts") and draw(st.booleans()):
        one["ports"] = [{"containerPort": 80, "hostPort": 80}]
    if spec["hostPaths"] and draw(st.booleans()):
        _mount_named(draw, spec, body)
    return body


def _mount_named(draw: st.DrawFn, spec: Body, body: Body) -> None:
    named = draw(st.sampled_from(spec["hostPaths"]))
    below = draw(st.sampled_from(["", "/", "x", "/x/y", "/."] if named["path"].endswith("/") else ["", "/", "/x"]))
    read_only = True if named["readOnly"] else draw(st.booleans())
    one = draw(st.sampled_from(pods.containers(body["spec"])))
    _mount(body, named["path"] + below, one, read_only=read_only)


@st.composite
def missed(draw: st.DrawFn, spec: Body, body: Body) -> Body:
    """The same pod with one more thing that the exception may not name; sometimes it does."""
    body = copy.deepcopy(body)
    pod = body["spec"]
    one = draw(st.sampled_from(pods.containers(pod)))
    match draw(st.sampled_from(["account", "hosts", "image", "capability", "privileged", "path", "mode"])):
        case "account":
            pod["serviceAccountName"] = draw(st.sampled_from(ACCOUNTS))
        case "hosts":
            others = [name for name in _HOSTS if name not in spec["hostNamespaces"]]
            pod[_HOSTS[draw(st.sampled_from(others or list(_HOSTS)))]] = True
        case "image":
            one["image"] = draw(st.sampled_from(_IMAGES))
        case "capability":  # beside those that it does name, if there are any
            adding = [each for each in pods.containers(pod) if "capabilities" in (each.get("securityContext") or {})]
            _add(draw(st.sampled_from([*adding, *adding, one])), [draw(st.sampled_from(_ADDED))])
        case "privileged":
            _privileged(draw, one)
        case "path":  # anything, or what begins like a path that it does name
            named = [path["path"].rstrip("/") for path in spec["hostPaths"]]
            alike = [f"{path}{more}" for path in named for more in ("rary", "-", ".d/x")] or _PATHS
            path = draw(st.one_of(st.sampled_from(_PATHS), st.sampled_from(alike)))
            _mount(body, path, one, read_only=draw(st.booleans()))
        case "mode":  # of a path that it does name
            path = draw(st.sampled_from([named["path"] for named in spec["hostPaths"]] or ["/proc"]))
            _mount(body, path, one, read_only=draw(st.booleans()))
            if draw(st.booleans()):  # a second mount of it, in the same or another container
                again = draw(st.sampled_from(pods.containers(pod)))
                volume = pod["volumes"][-1]["name"]
                again.setdefault("volumeMounts", []).append({"name": volume, "mountPath": "/again"})
    return body


def _add(one: Body, added: list[str]) -> None:
    present = one.setdefault("securityContext", {}).get("capabilities") or {}
    one["securityContext"]["capabilities"] = {**present, "add": [*present.get("add", []), *added]}


def _privileged(draw: st.DrawFn, one: Body) -> None:
    own = one.setdefault("securityContext", {})
    own["privileged"] = draw(st.sampled_from([True, True, False]))
    if own["privileged"]:
        own.pop("allowPrivilegeEscalation", None)  # API validation: not false beside it


def _mount(body: Body, path: str, one: Body, *, read_only: bool) -> None:
    volumes = body["spec"].setdefault("volumes", [])
    name = f"v{len(volumes)}"
    volumes.append({"name": name, "hostPath": {"path": path}})
    mount: Body = {"name": name, "mountPath": f"/{name}"}
    one.setdefault("volumeMounts", []).append({**mount, "readOnly": True} if read_only else mount)
