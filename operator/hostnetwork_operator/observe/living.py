"""What exists in a namespace, as the gate asks about it: each template and each pod, in the form of a pod.

The question keeps every field that Pod Security Admission evaluates, and no other field. The API server limits the
length of its warnings, so a warning about any other field would take the room of the verdict. This module decides
nothing.
"""

import contextlib
import datetime
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import parse

Body = Mapping[str, Any]
# The fields that Pod Security Standards are about, in 1.37 and before; `os` says which of the standards apply.
_SPEC: Final = ("hostIPC", "hostNetwork", "hostPID", "hostUsers", "os", "securityContext")
_CONTAINER: Final = ("name", "image", "restartPolicy", "securityContext")
_PORT: Final = ("containerPort", "hostPort", "hostIP", "protocol")
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS: Final = ("postStart", "preStop")
_HANDLERS: Final = ("httpGet", "tcpSocket")
# Types of volumes that every level allows. Pod Security Admission does not evaluate what is in them.
_ALLOWED: Final = frozenset({
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
})  # fmt: skip
_MOUNTING: Final = ("initContainers", "containers", "ephemeralContainers")
# Profiles were annotations before they were fields. Pod Security Admission still evaluates the annotations.
_JUDGED: Final = (
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/",
)
# Kubernetes' own controllers need one step, as from a Job to its CronJob. Other controllers may be above and between.
_LONGEST_CHAIN: Final = 8


@dataclass(frozen=True, slots=True)
class Workload:
    """An object that makes pods from a template.

    `ended` is a workload that makes no more pods: a Job that has ended, or a workload without a template.
    """

    uid: str
    owner: str  # uid of its controller, or ''
    ended: bool = field(kw_only=True)
    living: snapshot.Living


def workload(kind: str, body: Body) -> Workload:
    """Return a workload of a kind that observe/preview lists.

    Its template may lack fields; the API server adds them to the pods.
    """
    meta, spec = body["metadata"], body["spec"]
    template = (spec["jobTemplate"]["spec"] if kind == "CronJob" else spec).get("template") or {}
    owner = parse.controller(body)
    pod_spec = template.get("spec") or {}
    ended = kind == "Job" and any(
        condition["type"] in {"Complete", "Failed"} and condition["status"] == "True"
        for condition in (body.get("status") or {}).get("conditions") or ()
    )
    return Workload(
        uid=meta["uid"],
        owner=owner.uid if owner else "",
        ended=ended or not pod_spec,  # a ReplicationController may have no template
        living=snapshot.Living(
            kind,
            meta["name"],
            meta["uid"],
            datetime.datetime.fromisoformat(meta["creationTimestamp"]),
            parse.pod({"metadata": meta, "spec": pod_spec}),
            asked(template.get("metadata") or {}, pod_spec),
        ),
    )


def read(kind: str, body: Body) -> Workload | snapshot.Living:
    """Return a workload, or an unreadable object where the workload cannot be read."""
    try:
        return workload(kind, body)
    except Exception as error:  # whatever is wrong with this object, the other objects must still be read
        return unreadable(kind, body["metadata"], f"{type(error).__name__}: {error}")


def unreadable(kind: str, meta: Mapping[str, Any], why: str) -> snapshot.Living:
    """Return a workload or pod of which only the metadata could be read."""
    created = datetime.datetime.fromisoformat(meta["creationTimestamp"])
    pod = snapshot.UnreadablePod(meta["namespace"], meta["name"], meta["uid"], why)
    return snapshot.Living(kind, meta["name"], meta["uid"], created, pod, {})


def top(workload: Workload, workloads: Mapping[str, Workload]) -> Workload:
    """Return the top owner of `workload` among `workloads` (by uid), or `workload` itself where none of them owns it.

    Owner references are claims: they may lead in a circle, or from each of thousands of workloads to the next. In
    either case, `workload` counts as a workload without an owner.
    """
    current = workload
    for _ in range(_LONGEST_CHAIN + 1):
        owner = workloads.get(current.owner)
        if owner is None:
            return current
        current = owner
    return workload


def weight(item: snapshot.Living) -> int:
    """Return the size in bytes of the question about a template or pod."""
    return len(json.dumps(item.body))


class _Candidate(NamedTuple):
    """A pod of a page that the gate may ask about."""

    created: str
    body: Body
    workload: Workload | None


class _Chosen(NamedTuple):
    """A pod that the gate asks about, unless a later page has another that it should ask about."""

    created: str
    living: snapshot.Living


class Pods:
    """The pods of a namespace that the gate asks about, chosen page by page.

    They are one pod of each workload and, of the pods without a workload, one of each set of pods that are alike. Only
    these pods are read in full: to read all pods costs more than the rest of a gate check. `weight` is the size in
    bytes of the questions about the chosen pods.
    """

    def __init__(self, workloads: Mapping[str, Workload]) -> None:
        self._workloads = workloads
        self._chosen: dict[str, _Chosen] = {}
        self._unread: list[snapshot.Living] = []
        self.weight = 0

    def page(self, bodies: Iterable[Body]) -> None:
        """Add the pods of one page that run or will run."""
        chosen: dict[str, _Candidate] = {}
        for body in bodies:
            with self._setting_aside(body):
                if not parse.runs_or_will(body):
                    continue
                top, created = self._top(body), str(body["metadata"]["creationTimestamp"])
                key = top.uid if top is not None else _likeness(body)
                before = chosen.get(key) or self._chosen.get(key)
                if before is None or _rather(created, before.created, of_workload=top is not None):
                    chosen[key] = _Candidate(created, body, top)
        for key, candidate in chosen.items():
            with self._setting_aside(candidate.body):
                self._keep(key, _Chosen(candidate.created, _pod(candidate.body, candidate.workload, key)))

    def living(self) -> list[snapshot.Living]:
        return [*(chosen.living for chosen in self._chosen.values()), *self._unread]

    def _keep(self, key: str, chosen: _Chosen) -> None:
        self.weight += weight(chosen.living) - (weight(self._chosen[key].living) if key in self._chosen else 0)
        self._chosen[key] = chosen

    @contextlib.contextmanager
    def _setting_aside(self, body: Body) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever is wrong with this pod, the other pods must still be read
            self._unread.append(unreadable("Pod", body["metadata"], f"{type(error).__name__}: {error}"))

    def _top(self, body: Body) -> Workload | None:
        owner = parse.controller(body)
        workload = self._workloads.get(owner.uid) if owner else None
        return top(workload, self._workloads) if workload is not None else None


def _rather(created: str, before: str, *, of_workload: bool) -> bool:
    """Return whether the gate asks about a pod created at `created` rather than about one created at `before`.

    Of one workload, the newest pod counts: it has what admission now adds to the template, a sidecar for instance. Of
    pods without a workload, the oldest counts: a pod created after the namespace was first Held does not block
    enforcement, and must not hide a pod that does.
    """
    return created > before if of_workload else created < before


def _likeness(body: Body) -> str:
    """Return a hash that is the same for pods that Pod Security Admission and exceptions cannot tell apart."""
    owner, spec = parse.controller(body), body["spec"]
    compared: list[Any] = [asked(body["metadata"], spec), owner.uid if owner else None]
    if parse.host_namespaces(body) or _uses_its_node(spec):  # then exceptions also tell pods apart by these fields
        mounts = [container.get("volumeMounts") for kind in _MOUNTING for container in spec.get(kind) or ()]
        compared += [
            spec.get("serviceAccountName"),
            [[m for m in container_mounts or () if not _is_token(m)] for container_mounts in mounts],
        ]
    return hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()


def _uses_its_node(spec: Body) -> bool:
    """Return whether an exception for pods without host namespaces may cover a pod.

    This is a quick check of the body, before the pod is read in full.
    """
    containers = [container for kind in _MOUNTING for container in spec.get(kind) or ()]
    contexts = [container.get("securityContext") or {} for container in containers]
    return (
        any(volume.get("hostPath") for volume in spec.get("volumes") or ())
        or any(context.get("privileged") or (context.get("capabilities") or {}).get("add") for context in contexts)
        or any(port.get("hostPort") for container in containers for port in container.get("ports") or ())
    )


def _is_token(mount: Body) -> bool:
    # Each pod has its own token volume, under its own name. Only that volume is mounted at this path.
    return str(mount.get("mountPath")) == "/var/run/secrets/kubernetes.io/serviceaccount"


def _pod(body: Body, top: Workload | None, key: str) -> snapshot.Living:
    meta = body["metadata"]
    read_pod, question = parse.pod(body), asked(meta, body["spec"])
    if top is not None:
        return replace(top.living, pod=read_pod, body=question)
    created = datetime.datetime.fromisoformat(meta["creationTimestamp"])
    return snapshot.Living("Pod", meta["name"], key, created, read_pod, question)


def asked(meta: Body, spec: Body) -> dict[str, Any]:
    """Return the pod to ask about: all that Pod Security Admission evaluates, and beyond that only what is required."""
    annotations = {key: value for key, value in (meta.get("annotations") or {}).items() if key.startswith(_JUDGED)}
    volumes = [volume for volume in spec.get("volumes") or () if not (volume.keys() - {"name"}) <= _ALLOWED]
    fields: dict[str, Any] = {field: spec[field] for field in _SPEC if spec.get(field) is not None}
    fields |= {
        kind: [_container(container) for container in spec.get(kind) or ()] for kind in ("initContainers", "containers")
    }
    account = {"serviceAccountName": "default", "automountServiceAccountToken": False}
    return {"metadata": {"name": "gate", "annotations": annotations}, "spec": {**fields, "volumes": volumes, **account}}


def _container(body: Body) -> dict[str, Any]:
    container: dict[str, Any] = {field: body[field] for field in _CONTAINER if body.get(field) is not None}
    # The API server warns of a port that is listed twice, also under two names.
    ports = dict.fromkeys(tuple((field, port.get(field)) for field in _PORT) for port in body.get("ports") or ())
    if ports:
        container["ports"] = [{field: value for field, value in port if value is not None} for port in ports]
    container |= {key: probe for key in _PROBES if (probe := _handler(body.get(key)))}
    lifecycle = body.get("lifecycle") or {}
    hooks = {key: hook for key in _HOOKS if (hook := _handler(lifecycle.get(key)))}
    return {**container, "lifecycle": hooks} if hooks else container


def _handler(handler: Body | None) -> dict[str, Any]:
    """Return what a probe or a hook calls if it names a host, otherwise nothing."""
    for method in _HANDLERS:
        host = ((handler or {}).get(method) or {}).get("host")
        if host:
            return {method: {"host": host, "port": 1}}
    return {}
