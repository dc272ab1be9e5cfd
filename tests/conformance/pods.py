"""Pods for the conformance tests, with each field that a control of the Pod Security Standards reads, in every form.

A new pod meets its level. A touch then changes a field of the pod, of one container or of all containers. It writes a
value that a control allows or forbids, or removes a field that a control requires. A pod has few touches, so a control
is often the only one that refuses the pod. The fields are those of k8s.io/pod-security-admission, policy/check_*.go.
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
    """A change of the pod's spec, of one container or of all containers. The value None removes a field."""

    control: str
    pod: Body = dataclasses.field(default_factory=dict)
    container: Body = dataclasses.field(default_factory=dict)
    every_container: Body = dataclasses.field(default_factory=dict)
    volume: Body | None = None
    annotation: str | None = None  # the AppArmor annotation of the one container


def context(**fields: Any) -> Body:
    return {"securityContext": fields}


def _context_touches(control: str, field: str, *values: object) -> list[Touch]:
    """Return two touches for each value: in the security context of the pod, and in that of one container."""
    return [
        touch
        for value in values
        for touch in (
            Touch(control, pod=context(**{field: value})),
            Touch(control, container=context(**{field: value})),
        )
    ]


def _container_touches(control: str, field: str, *values: object) -> list[Touch]:
    return [Touch(control, container=context(**{field: value})) for value in values]


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
_HANDLER_FIELDS: Final = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
_CONTAINERS_WITH_HANDLERS: Final[list[Body]] = [
    {"lifecycle": {}},
    *({field: handler} for field in _HANDLER_FIELDS[:3] for handler in _HANDLERS),
    *({"lifecycle": {hook: handler}} for hook in ("postStart", "preStop") for handler in _HANDLERS),
]
_HOST_PROCESS: Final = context(windowsOptions={"hostProcess": True})
_USER_NAMESPACE: Final[Body] = {"hostUsers": False}

# The touches of each control.
TOUCHES: Final[dict[str, list[Touch]]] = {
    "hostNamespaces": [
        Touch("hostNamespaces", pod={field: value})
        for field in ("hostNetwork", "hostPID", "hostIPC")
        for value in (True, False)
    ],
    "privileged": [
        Touch("privileged", container=context(privileged=True, allowPrivilegeEscalation=None)),
        Touch("privileged", container=context(privileged=True, allowPrivilegeEscalation=True)),
        *_container_touches("privileged", "privileged", *(True, False)),
    ],
    "capabilities": _container_touches("capabilities", "capabilities", *_CAPABILITIES),
    "hostPathVolumes": [Touch("hostPathVolumes", volume=source) for source in _HOST_PATHS],
    "restrictedVolumes": [
        Touch("restrictedVolumes", volume=source) for source in (*_ALLOWED_VOLUMES, *_RESTRICTED_VOLUMES)
    ],
    "hostPorts": [Touch("hostPorts", container={"ports": ports}) for ports in _PORTS],
    "hostProbesAndHostLifecycle": [
        Touch("hostProbesAndHostLifecycle", container=fields) for fields in _CONTAINERS_WITH_HANDLERS
    ],
    "appArmorProfile": [
        *_context_touches("appArmorProfile", "appArmorProfile", None, *_PROFILES),
        *(
            Touch("appArmorProfile", annotation=value)
            for value in ("", "runtime/default", "localhost/a", "localhost/", "unconfined")
        ),
    ],
    "seccompProfile": [
        *_context_touches("seccompProfile", "seccompProfile", None, *_PROFILES),
        Touch("seccompProfile", pod=context(seccompProfile=_PROFILES[2]), every_container=context(seccompProfile=None)),
    ],
    "seLinuxOptions": _context_touches("seLinuxOptions", "seLinuxOptions", *_SELINUX),
    "procMount": [
        *_container_touches("procMount", "procMount", "Default", "Unmasked"),
        *(
            Touch("procMount", pod=_USER_NAMESPACE, container=context(procMount=value))
            for value in ("Unmasked", "Default")
        ),
    ],
    "sysctls": [
        Touch("sysctls", pod=context(sysctls=[{"name": name, "value": "1"} for name in names])) for names in _SYSCTLS
    ],
    "windowsHostProcess": [
        Touch("windowsHostProcess", pod={"hostNetwork": True, **_HOST_PROCESS}),
        Touch("windowsHostProcess", pod={"hostNetwork": True}, every_container=_HOST_PROCESS),
        *_context_touches("windowsHostProcess", "windowsOptions", {"hostProcess": False}, {"runAsUserName": "u"}),
    ],
    "allowPrivilegeEscalation": _container_touches(
        "allowPrivilegeEscalation",
        "allowPrivilegeEscalation",
        *(None, True, False),
    ),
    "runAsNonRoot": [
        *_context_touches("runAsNonRoot", "runAsNonRoot", *(None, False, True)),
        Touch("runAsNonRoot", pod=context(runAsNonRoot=None), every_container=context(runAsNonRoot=None)),
        Touch(
            "runAsNonRoot",
            pod=_USER_NAMESPACE | context(runAsNonRoot=None),
            every_container=context(runAsNonRoot=None),
        ),
        Touch("runAsNonRoot", pod=_USER_NAMESPACE, container=context(runAsNonRoot=False)),
    ],
    "runAsUser": [
        *_context_touches("runAsUser", "runAsUser", None, 0, 1000),
        Touch("runAsUser", pod=_USER_NAMESPACE, container=context(runAsUser=0)),
    ],
    "no context": [
        Touch("no context", pod={"securityContext": None}), Touch("no context", pod={"hostUsers": True}),
        Touch("no context", container={"securityContext": None}), Touch("no context", pod=_USER_NAMESPACE),
        Touch("no context", container={"securityContext": {}}), Touch("no context", pod={"os": {"name": "linux"}}),
    ],
}  # fmt: skip
# API validation refuses these fields in a Windows pod.
_LINUX_ONLY_POD: Final = ("hostPID", "hostIPC", "hostUsers")
_LINUX_ONLY: Final = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "privileged", "allowPrivilegeEscalation",
    "procMount", "runAsUser", "sysctls",
)  # fmt: skip


def containers(spec: Body) -> list[Body]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def base(level: str, kinds: list[str], where: str = "containers") -> Body:
    """Return a pod that meets the level, with one container per kind: regular, init or sidecar.

    `where` says which security context has the fields that a pod and a container share: pod, containers or both.
    """
    spec: Body = {"containers": []}
    inherited = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}} if level == "restricted" else {}
    if where != "containers" and inherited:
        spec["securityContext"] = dict(inherited)
    for number, kind in enumerate(kinds):
        container: Body = {"name": f"{kind}-{number}", "image": IMAGE}
        if kind == "sidecar":
            container["restartPolicy"] = "Always"
        if level == "restricted":
            container_context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
            container["securityContext"] = container_context if where == "pod" else {**container_context, **inherited}
        spec.setdefault("containers" if kind == "regular" else "initContainers", []).append(container)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def apply_touch(body: Body, touch: Touch, index: int) -> None:
    """Apply the touch to the pod. A touch of one container applies to container number `index`."""
    spec = body["spec"]
    target = containers(spec)[index]
    touch = copy.deepcopy(touch)  # two pods must not share an object
    _merge(spec, touch.pod)
    _merge(target, touch.container)
    for container in containers(spec):
        _merge(container, touch.every_container)
    if any(field in touch.container for field in _HANDLER_FIELDS) and target in spec.get("initContainers", []):
        target["restartPolicy"] = "Always"  # of the init containers, only a sidecar may have handlers
    if touch.volume is not None:
        volumes = spec.setdefault("volumes", [])
        volumes.append({"name": f"v{len(volumes)}", **touch.volume})
    if touch.annotation is not None:
        body["metadata"].setdefault("annotations", {})[_APPARMOR + target["name"]] = touch.annotation


def for_windows(body: Body) -> None:
    """Make the pod a Windows pod, without the fields that API validation allows only for Linux."""
    spec = body["spec"]
    spec["os"] = {"name": "windows"}
    for field in _LINUX_ONLY_POD:
        spec.pop(field, None)
    for part in (spec, *containers(spec)):
        for field in _LINUX_ONLY:
            (part.get("securityContext") or {}).pop(field, None)


def _merge(target: Body, fields: Body) -> None:
    for field, value in fields.items():
        if field == "securityContext" and value:
            value = {**target.get(field, {}), **value}
            value = {name: setting for name, setting in value.items() if setting is not None}
        if value is None:
            target.pop(field, None)
        else:
            target[field] = value


_OF_RESTRICTED_ONLY: Final = {"allowPrivilegeEscalation", "restrictedVolumes", "runAsNonRoot", "runAsUser"}


def _touches(level: str) -> st.SearchStrategy[Touch]:
    """Draw a control, then a touch of it. At Baseline, controls of Restricted alone are drawn less often."""
    usual_controls = sorted(set(TOUCHES) - (_OF_RESTRICTED_ONLY if level == "baseline" else set()))
    controls = st.sampled_from([*usual_controls, *usual_controls, *usual_controls, *sorted(TOUCHES)])
    return controls.flatmap(lambda control: st.sampled_from(TOUCHES[control]))


_TOUCHES: Final = {level: _touches(level) for level in ("baseline", "restricted")}


@st.composite
def pods(draw: st.DrawFn, level: str, most: int = 3) -> Body:
    """Draw a pod of one to four containers that meets the level, apart from up to `most` touches."""
    kinds = ["regular", *draw(st.lists(st.sampled_from(["regular", "init", "sidecar"]), max_size=3))]
    body = base(level, kinds, draw(st.sampled_from(["containers", "pod", "both"])))
    for _ in range(min(most, draw(st.sampled_from([1, 0, 1, 1, 1, 2, 2, 3])))):
        apply_touch(body, draw(_TOUCHES[level]), draw(st.integers(0, len(kinds) - 1)))
    if draw(st.integers(0, 11)) == 11:
        for_windows(body)
    return body


# Pods that exist before an ephemeral container is added. Some meet Restricted, by the security context of the pod or of
# the containers, and some do not.
EXISTING_PODS: Final[dict[str, Body]] = {
    "own": base("restricted", ["regular", "init"]),
    "inheriting": base("restricted", ["regular"], "pod"),
    "bare": base("baseline", ["regular", "sidecar"]),
    "user-namespace": base("restricted", ["regular"], "pod"),
    "windows": base("restricted", ["regular"], "pod"),
    "privileged": base("baseline", ["regular"]),
}
EXISTING_PODS["user-namespace"]["spec"] |= _USER_NAMESPACE
for_windows(EXISTING_PODS["windows"])
EXISTING_PODS["privileged"]["spec"]["containers"][0] |= context(privileged=True)
for _name, _body in EXISTING_PODS.items():
    _body["metadata"]["name"] = _name
EPHEMERAL_TOUCHES: Final = [
    touch for touches in TOUCHES.values() for touch in touches if "securityContext" in touch.container and not touch.pod
]


@st.composite
def ephemeral_containers(draw: st.DrawFn) -> tuple[str, Body]:
    """Draw the name of an existing pod, and an ephemeral container for the pod."""
    name = draw(st.sampled_from(sorted(EXISTING_PODS)))
    body = base(draw(st.sampled_from(["restricted", "baseline"])), ["regular"])
    for touch in draw(st.lists(st.sampled_from(EPHEMERAL_TOUCHES), max_size=2)):
        apply_touch(body, touch, 0)
    if name == "windows" and draw(st.integers(0, 3)):
        for_windows(body)
    return name, {**body["spec"]["containers"][0], "name": "debugger"}
