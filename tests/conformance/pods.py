"""Pods for the conformance tests: what every control of the Pod Security Standards reads, in every way to say it.

A pod begins in order. A touch then says one more thing of it, of one of its containers or of all: a value that a
control allows, one that it forbids, or nothing where something is asked for. Few touches a pod, so that a control often
decides alone. The fields are those of k8s.io/pod-security-admission, policy/check_*.go.
"""

import copy
import dataclasses
from typing import Any, Final

from hypothesis import strategies as st

Body = dict[str, Any]
IMAGE: Final = "registry.example.com/app:1"
_APPARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"


@dataclasses.dataclass(frozen=True)
class Touch:
    """What is said: `pod` of its spec, `one` of one container, `every` of all; None takes a field away."""

    control: str
    pod: Body = dataclasses.field(default_factory=dict)
    one: Body = dataclasses.field(default_factory=dict)
    every: Body = dataclasses.field(default_factory=dict)
    volume: Body | None = None
    annotation: str | None = None  # the AppArmor annotation of that one container


def context(**fields: Any) -> Body:
    return {"securityContext": fields}


def _everywhere(control: str, field: str, *values: object) -> list[Touch]:
    """Each value at the pod, and at one container."""
    return [
        touch
        for value in values
        for touch in (Touch(control, pod=context(**{field: value})), Touch(control, one=context(**{field: value})))
    ]


def _one(control: str, field: str, *values: object) -> list[Touch]:
    return [Touch(control, one=context(**{field: value})) for value in values]


_PROFILES: Final = ({"type": "RuntimeDefault"}, {"type": "Localhost", "localhostProfile": "p"}, {"type": "Unconfined"})
_SELINUX: Final[tuple[Body, ...]] = (
    {}, {"type": ""}, {"level": "s0:c1"}, {"user": "", "role": ""},
    *({"type": f"container_{kind}"} for kind in ("t", "init_t", "kvm_t", "engine_t")),
    {"type": "spc_t"}, {"type": "Container_t"}, {"user": "u"}, {"role": "r", "type": "container_t"},
)  # fmt: skip
_CAPABILITIES: Final[tuple[Body | None, ...]] = (
    None, {}, {"add": []}, {"drop": []}, {"drop": ["ALL"]}, {"drop": ["all"]}, {"drop": ["NET_RAW"]},
    {"drop": ["CAP_ALL"]}, {"drop": ["NET_RAW", "ALL"]}, {"add": ["ALL"], "drop": ["ALL"]},
    *(
        {"add": added, "drop": ["ALL"]}
        for added in (
            [], ["NET_BIND_SERVICE"], ["CHOWN"], ["NET_ADMIN"], ["CAP_CHOWN"], ["net_bind_service"], ["SYS_ADMIN"],
            ["NET_BIND_SERVICE", "SYS_TIME"], ["CHOWN", "AUDIT_WRITE"], ["MKNOD", "SETFCAP", "SYS_CHROOT"],
        )
    ),
)  # fmt: skip
_SYSCTLS: Final[tuple[list[str], ...]] = (
    [], ["net.ipv4.tcp_rmem"], ["net/ipv4/tcp_rmem"], ["kernel.shm_rmid_forced"], ["kernel.sem"], ["kernel.msgmax"],
    ["net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies"], ["net.ipv4.ping_group_range", "net.core.somaxconn"],
    ["net.ipv4.ip_unprivileged_port_start"], ["net.ipv4.tcp_keepalive_time"],
    ["net.ipv4.tcp_fin_timeout", "fs.mqueue.a"], ["net.ipv4.tcp_slow_start_after_idle"], ["net.ipv4.tcp_notsent_lowat"],
    ["net.ipv4.ip_local_reserved_ports"], ["net.ipv4.tcp_wmem", "net.ipv4.tcp_keepalive_probes"],
)  # fmt: skip
_ALLOWED_VOLUMES: Final[tuple[Body, ...]] = (
    {}, {"emptyDir": {}}, {"emptyDir": {"medium": "Memory"}}, {"configMap": {"name": "c"}}, {"csi": {"driver": "d"}},
    {"secret": {"secretName": "s"}}, {"downwardAPI": {"items": []}}, {"persistentVolumeClaim": {"claimName": "c"}},
    {"projected": {"sources": []}}, {"image": {"reference": IMAGE}},
    {"ephemeral": {"volumeClaimTemplate": {"spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}},
)  # fmt: skip
_RESTRICTED_VOLUMES: Final[tuple[Body, ...]] = (
    {"gcePersistentDisk": {"pdName": "p"}}, {"awsElasticBlockStore": {"volumeID": "v"}},
    {"gitRepo": {"repository": "r"}},
    {"nfs": {"server": "s", "path": "/"}}, {"iscsi": {"targetPortal": "t", "iqn": "iqn.2001-04.com.a:s", "lun": 0}},
    {"glusterfs": {"endpoints": "e", "path": "p"}}, {"rbd": {"monitors": ["m"], "image": "i"}},
    {"flexVolume": {"driver": "example.com/d"}}, {"cinder": {"volumeID": "v"}}, {"cephfs": {"monitors": ["m"]}},
    {"flocker": {"datasetName": "d"}}, {"fc": {"targetWWNs": ["w"], "lun": 0}},
    {"azureFile": {"secretName": "s", "shareName": "s"}}, {"vsphereVolume": {"volumePath": "p"}},
    {"quobyte": {"registry": "r:1", "volume": "v"}}, {"azureDisk": {"diskName": "d", "diskURI": "https://blob/d.vhd"}},
    {"photonPersistentDisk": {"pdID": "p"}}, {"portworxVolume": {"volumeID": "v"}},
    {"scaleIO": {"gateway": "g", "system": "s", "secretRef": {"name": "n"}, "volumeName": "v"}},
    {"storageos": {"volumeName": "v"}},
)  # fmt: skip
_HOST_PATHS: Final[tuple[Body, ...]] = (
    {"hostPath": {"path": "/"}},
    {"hostPath": {"path": "/var/lib/x", "type": "DirectoryOrCreate"}},
)
_PORTS: Final[tuple[list[Body], ...]] = (
    [], [{"containerPort": 80}], [{"containerPort": 80, "hostPort": 0}], [{"containerPort": 80, "hostPort": 80}],
    [{"containerPort": 81}, {"containerPort": 53, "hostPort": 53, "protocol": "UDP"}],
)  # fmt: skip
_HANDLERS: Final[tuple[Body, ...]] = (
    {"httpGet": {"port": 80}}, {"httpGet": {"port": 80, "host": ""}}, {"httpGet": {"port": 80, "host": "localhost"}},
    {"tcpSocket": {"port": 80, "host": "10.0.0.1"}},
)  # fmt: skip
_HANDLING: Final = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
_HANDLING_OF_ONE: Final[list[Body]] = [
    {"lifecycle": {}},
    *({field: handler} for field in _HANDLING[:3] for handler in _HANDLERS),
    *({"lifecycle": {hook: handler}} for hook in ("postStart", "preStop") for handler in _HANDLERS),
]
_HOST_PROCESS: Final = context(windowsOptions={"hostProcess": True})
_USER_NAMESPACE: Final[Body] = {"hostUsers": False}

# What can be said, by the control that it is about.
TOUCHES: Final[dict[str, list[Touch]]] = {
    "hostNamespaces": [
        Touch("hostNamespaces", pod={field: value})
        for field in ("hostNetwork", "hostPID", "hostIPC")
        for value in (True, False)
    ],
    "privileged": [
        Touch("privileged", one=context(privileged=True, allowPrivilegeEscalation=None)),
        Touch("privileged", one=context(privileged=True, allowPrivilegeEscalation=True)),
        *_one("privileged", "privileged", *(True, False)),
    ],
    "capabilities": _one("capabilities", "capabilities", *_CAPABILITIES),
    "hostPathVolumes": [Touch("hostPathVolumes", volume=source) for source in _HOST_PATHS],
    "restrictedVolumes": [
        Touch("restrictedVolumes", volume=source) for source in (*_ALLOWED_VOLUMES, *_RESTRICTED_VOLUMES)
    ],
    "hostPorts": [Touch("hostPorts", one={"ports": ports}) for ports in _PORTS],
    "hostProbesAndHostLifecycle": [Touch("hostProbesAndHostLifecycle", one=one) for one in _HANDLING_OF_ONE],
    "appArmorProfile": [
        *_everywhere("appArmorProfile", "appArmorProfile", None, *_PROFILES),
        *(
            Touch("appArmorProfile", annotation=value)
            for value in ("", "runtime/default", "localhost/a", "localhost/", "unconfined")
        ),
    ],
    "seccompProfile": [
        *_everywhere("seccompProfile", "seccompProfile", None, *_PROFILES),
        Touch("seccompProfile", pod=context(seccompProfile=_PROFILES[2]), every=context(seccompProfile=None)),
    ],
    "seLinuxOptions": _everywhere("seLinuxOptions", "seLinuxOptions", *_SELINUX),
    "procMount": [
        *_one("procMount", "procMount", "Default", "Unmasked"),
        *(Touch("procMount", pod=_USER_NAMESPACE, one=context(procMount=value)) for value in ("Unmasked", "Default")),
    ],
    "sysctls": [
        Touch("sysctls", pod=context(sysctls=[{"name": name, "value": "1"} for name in names])) for names in _SYSCTLS
    ],
    "windowsHostProcess": [
        Touch("windowsHostProcess", pod={"hostNetwork": True, **_HOST_PROCESS}),
        Touch("windowsHostProcess", pod={"hostNetwork": True}, every=_HOST_PROCESS),
        *_everywhere("windowsHostProcess", "windowsOptions", {"hostProcess": False}, {"runAsUserName": "u"}),
    ],
    "allowPrivilegeEscalation": _one(
        "allowPrivilegeEscalation",
        "allowPrivilegeEscalation",
        *(None, True, False),
    ),
    "runAsNonRoot": [
        *_everywhere("runAsNonRoot", "runAsNonRoot", *(None, False, True)),
        Touch("runAsNonRoot", pod=context(runAsNonRoot=None), every=context(runAsNonRoot=None)),
        Touch("runAsNonRoot", pod=_USER_NAMESPACE | context(runAsNonRoot=None), every=context(runAsNonRoot=None)),
        Touch("runAsNonRoot", pod=_USER_NAMESPACE, one=context(runAsNonRoot=False)),
    ],
    "runAsUser": [
        *_everywhere("runAsUser", "runAsUser", None, 0, 1000),
        Touch("runAsUser", pod=_USER_NAMESPACE, one=context(runAsUser=0)),
    ],
    "no context": [
        Touch("no context", pod={"securityContext": None}), Touch("no context", pod={"hostUsers": True}),
        Touch("no context", one={"securityContext": None}), Touch("no context", pod=_USER_NAMESPACE),
        Touch("no context", one={"securityContext": {}}), Touch("no context", pod={"os": {"name": "linux"}}),
    ],
}  # fmt: skip
# API validation refuses these in a Windows pod.
_LINUX_ONLY_POD: Final = ("hostPID", "hostIPC", "hostUsers")
_LINUX_ONLY: Final = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "privileged", "allowPrivilegeEscalation",
    "procMount", "runAsUser", "sysctls",
)  # fmt: skip


def containers(spec: Body) -> list[Body]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def base(level: str, kinds: list[str], where: str = "containers") -> Body:
    """A pod in order at that level. `kinds`: regular, init, sidecar.

    `where` stands what a pod and a container can both say: pod, containers, both.
    """
    spec: Body = {"containers": []}
    inherited = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}} if level == "restricted" else {}
    if where != "containers" and inherited:
        spec["securityContext"] = dict(inherited)
    for number, kind in enumerate(kinds):
        one: Body = {"name": f"{kind}-{number}", "image": IMAGE}
        if kind == "sidecar":
            one["restartPolicy"] = "Always"
        if level == "restricted":
            own = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
            one["securityContext"] = own if where == "pod" else {**own, **inherited}
        spec.setdefault("containers" if kind == "regular" else "initContainers", []).append(one)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def say(body: Body, touch: Touch, target: int) -> None:
    """Says one thing more of this pod; of its container number `target` where it is about one."""
    spec = body["spec"]
    one = containers(spec)[target]
    touch = copy.deepcopy(touch)  # what is said of two pods is not the same object
    _merge(spec, touch.pod)
    _merge(one, touch.one)
    for each in containers(spec):
        _merge(each, touch.every)
    if any(field in touch.one for field in _HANDLING) and one in spec.get("initContainers", []):
        one["restartPolicy"] = "Always"  # only a sidecar may have them
    if touch.volume is not None:
        volumes = spec.setdefault("volumes", [])
        volumes.append({"name": f"v{len(volumes)}", **touch.volume})
    if touch.annotation is not None:
        body["metadata"].setdefault("annotations", {})[_APPARMOR + one["name"]] = touch.annotation


def for_windows(body: Body) -> None:
    """The same for Windows, without what API validation knows as of Linux."""
    spec = body["spec"]
    spec["os"] = {"name": "windows"}
    for field in _LINUX_ONLY_POD:
        spec.pop(field, None)
    for each in (spec, *containers(spec)):
        for field in _LINUX_ONLY:
            (each.get("securityContext") or {}).pop(field, None)


def _merge(into: Body, said: Body) -> None:
    for field, value in said.items():
        if field == "securityContext" and value:
            value = {**into.get(field, {}), **value}
            value = {name: each for name, each in value.items() if each is not None}
        if value is None:
            into.pop(field, None)
        else:
            into[field] = value


_OF_RESTRICTED_ONLY: Final = {"allowPrivilegeEscalation", "restrictedVolumes", "runAsNonRoot", "runAsUser"}


def _touches(level: str) -> st.SearchStrategy[Touch]:
    """Any touch, by control; what only Restricted judges seldom at Baseline."""
    often = sorted(set(TOUCHES) - (_OF_RESTRICTED_ONLY if level == "baseline" else set()))
    either = st.sampled_from([*often, *often, *often, *sorted(TOUCHES)])
    return either.flatmap(lambda control: st.sampled_from(TOUCHES[control]))


_TOUCHES: Final = {level: _touches(level) for level in ("baseline", "restricted")}


@st.composite
def pods(draw: st.DrawFn, level: str, most: int = 3) -> Body:
    """A pod of one to four containers that is in order at that level but for what up to `most` touches say."""
    kinds = ["regular", *draw(st.lists(st.sampled_from(["regular", "init", "sidecar"]), max_size=3))]
    body = base(level, kinds, draw(st.sampled_from(["containers", "pod", "both"])))
    for _ in range(min(most, draw(st.sampled_from([1, 0, 1, 1, 1, 2, 2, 3])))):
        say(body, draw(_TOUCHES[level]), draw(st.integers(0, len(kinds) - 1)))
    if draw(st.integers(0, 11)) == 11:
        for_windows(body)
    return body


# Pods that stand when an ephemeral container is added to them: in order, at both ends of inheriting, and not in order.
STANDING: Final[dict[str, Body]] = {
    "own": base("restricted", ["regular", "init"]),
    "inheriting": base("restricted", ["regular"], "pod"),
    "bare": base("baseline", ["regular", "sidecar"]),
    "user-namespace": base("restricted", ["regular"], "pod"),
    "windows": base("restricted", ["regular"], "pod"),
    "privileged": base("baseline", ["regular"]),
}
STANDING["user-namespace"]["spec"] |= _USER_NAMESPACE
for_windows(STANDING["windows"])
STANDING["privileged"]["spec"]["containers"][0] |= context(privileged=True)
for _name, _body in STANDING.items():
    _body["metadata"]["name"] = _name
EPHEMERAL_TOUCHES: Final = [
    touch for some in TOUCHES.values() for touch in some if "securityContext" in touch.one and not touch.pod
]


@st.composite
def ephemeral_containers(draw: st.DrawFn) -> tuple[str, Body]:
    """A pod that stands, by name, and an ephemeral container for it."""
    name = draw(st.sampled_from(sorted(STANDING)))
    like = base(draw(st.sampled_from(["restricted", "baseline"])), ["regular"])
    for touch in draw(st.lists(st.sampled_from(EPHEMERAL_TOUCHES), max_size=2)):
        say(like, touch, 0)
    if name == "windows" and draw(st.integers(0, 3)):
        for_windows(like)
    return name, {**like["spec"]["containers"][0], "name": "debugger"}
