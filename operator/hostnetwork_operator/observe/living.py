"""What lives in a namespace, as the gate asks about it: templates and pods, as the pods that they would make.

All that Pod Security Admission judges is kept, and nothing else: whatever else the API server says about a pod takes
the room that its warnings have. Nothing is judged here.
"""

import contextlib
import datetime
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import parse

Body = Mapping[str, Any]
# What Pod Security Standards are about, in 1.37 and before; `os` says which of it applies.
_SPEC: Final = ("hostIPC", "hostNetwork", "hostPID", "hostUsers", "os", "securityContext")
_CONTAINER: Final = ("name", "image", "restartPolicy", "securityContext")
_PORT: Final = ("containerPort", "hostPort", "hostIP", "protocol")
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS: Final = ("postStart", "preStop")
_HANDLERS: Final = ("httpGet", "tcpSocket")
# Volumes that every level allows; their sources are nothing that is judged.
_ALLOWED: Final = frozenset({
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
})  # fmt: skip
_MOUNTING: Final = ("initContainers", "containers", "ephemeralContainers")
# Profiles were annotations before they were fields, and are judged still.
_JUDGED: Final = (
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/",
)
# Kubernetes itself makes one step, as from a Job to its CronJob. Other controllers may stand above and between.
_LONGEST_CHAIN: Final = 8


@dataclass(frozen=True, slots=True)
class Workload:
    """Something that makes pods from a template; `ended` is what makes none: a Job at its end, one without template."""

    uid: str
    owner: str  # uid of its controller, or ''
    ended: bool
    living: snapshot.Living


def workload(kind: str, body: Body) -> Workload:
    """A workload of a kind that observe/preview lists. What its template lacks, its pods will have from the API."""
    meta, spec = body["metadata"], body["spec"]
    template = (spec["jobTemplate"]["spec"] if kind == "CronJob" else spec).get("template") or {}
    owner = parse.controller(body)
    spec_of_pod = template.get("spec") or {}
    ended = kind == "Job" and any(
        condition["type"] in {"Complete", "Failed"} and condition["status"] == "True"
        for condition in (body.get("status") or {}).get("conditions") or ()
    )
    return Workload(
        uid=meta["uid"],
        owner=owner.uid if owner else "",
        ended=ended or not spec_of_pod,  # a ReplicationController may have none
        living=snapshot.Living(
            kind,
            meta["name"],
            meta["uid"],
            datetime.datetime.fromisoformat(meta["creationTimestamp"]),
            parse.pod({"metadata": meta, "spec": spec_of_pod}),
            asked(template.get("metadata") or {}, spec_of_pod),
        ),
    )


def read(kind: str, body: Body) -> Workload | snapshot.Living:
    """A workload; as an unreadable one where it is not understood."""
    try:
        return workload(kind, body)
    except Exception as error:  # whatever it is about one object, all others are still looked at
        return unreadable(kind, body["metadata"], f"{type(error).__name__}: {error}")


def unreadable(kind: str, meta: Mapping[str, Any], why: str) -> snapshot.Living:
    """A workload or pod of which only the metadata could be read."""
    created = datetime.datetime.fromisoformat(meta["creationTimestamp"])
    pod = snapshot.UnreadablePod(meta["namespace"], meta["name"], meta["uid"], why)
    return snapshot.Living(kind, meta["name"], meta["uid"], created, pod, {})


def top(one: Workload, workloads: Mapping[str, Workload]) -> Workload:
    """Return the workload at the end of the owners of `one`, by uid in `workloads`; `one` itself where nobody owns it.

    Owner references are claims: they may lead in a circle, or from each of thousands of workloads to the next. Such a
    workload counts as nobody's.
    """
    found = one
    for _ in range(_LONGEST_CHAIN + 1):
        owner = workloads.get(found.owner)
        if owner is None:
            return found
        found = owner
    return one


def weight(found: snapshot.Living) -> int:
    """Return how many bytes the question is that it becomes."""
    return len(json.dumps(found.body))


class Pods:
    """Of the pods of a namespace, page by page, one of each workload and one of all that are just like it.

    Only those are read in full: to read all of them costs more than all else that a look does. `weight` is that of what
    is kept.
    """

    def __init__(self, workloads: Mapping[str, Workload]) -> None:
        self._workloads = workloads
        self._kept: dict[str, tuple[str, snapshot.Living]] = {}  # by key: when it was made, and what it is
        self._unread: list[snapshot.Living] = []
        self.weight = 0

    def page(self, bodies: Iterable[Body]) -> None:
        """Takes in those that run or will."""
        chosen: dict[str, tuple[str, Body, Workload | None]] = {}
        for body in bodies:
            with self._setting_aside(body):
                if not parse.runs_or_will(body):
                    continue
                top, made = self._top(body), str(body["metadata"]["creationTimestamp"])
                key = top.uid if top is not None else _likeness(body)
                before = chosen.get(key) or self._kept.get(key)
                if before is None or _rather(made, before[0], of_workload=top is not None):
                    chosen[key] = made, body, top
        for key, (made, body, top) in chosen.items():
            with self._setting_aside(body):
                self._keep(key, made, _pod(body, top, key))

    def living(self) -> list[snapshot.Living]:
        return [*(found for _, found in self._kept.values()), *self._unread]

    def _keep(self, key: str, made: str, found: snapshot.Living) -> None:
        self.weight += weight(found) - (weight(self._kept[key][1]) if key in self._kept else 0)
        self._kept[key] = made, found

    @contextlib.contextmanager
    def _setting_aside(self, body: Body) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever it is about one pod, all others are still looked at
            self._unread.append(unreadable("Pod", body["metadata"], f"{type(error).__name__}: {error}"))

    def _top(self, body: Body) -> Workload | None:
        owner = parse.controller(body)
        found = self._workloads.get(owner.uid) if owner else None
        return top(found, self._workloads) if found is not None else None


def _rather(made: str, before: str, *, of_workload: bool) -> bool:
    """Of one workload the newest: it has what admission makes of the template now, a sidecar for instance. Of pods by
    themselves the oldest: what came after the namespace was first Held does not hold, and must not hide what does.
    """
    return made > before if of_workload else made < before


def _likeness(body: Body) -> str:
    """The same for pods that are judged alike, by Pod Security Admission and by exceptions."""
    owner, spec = parse.controller(body), body["spec"]
    alike: list[Any] = [asked(body["metadata"], spec), owner.uid if owner else None]
    if parse.host_namespaces(body) or _uses_its_node(spec):  # then exceptions tell pods apart by what follows
        mounts = [one.get("volumeMounts") for kind in _MOUNTING for one in spec.get(kind) or ()]
        alike += [spec.get("serviceAccountName"), [[m for m in some or () if not _is_token(m)] for some in mounts]]
    return hashlib.sha256(json.dumps(alike, sort_keys=True).encode()).hexdigest()


def _uses_its_node(spec: Body) -> bool:
    """Return whether an exception for pods without host namespaces may cover a pod: a quick look, before it is read."""
    containers = [one for kind in _MOUNTING for one in spec.get(kind) or ()]
    contexts = [one.get("securityContext") or {} for one in containers]
    return (
        any(volume.get("hostPath") for volume in spec.get("volumes") or ())
        or any(own.get("privileged") or (own.get("capabilities") or {}).get("add") for own in contexts)
        or any(port.get("hostPort") for one in containers for port in one.get("ports") or ())
    )


def _is_token(mount: Body) -> bool:
    # Each pod has one of its own, by a name of its own; nothing else that begins so is mounted there.
    return str(mount.get("mountPath")) == "/var/run/secrets/kubernetes.io/serviceaccount"


def _pod(body: Body, top: Workload | None, key: str) -> snapshot.Living:
    meta = body["metadata"]
    read, question = parse.pod(body), asked(meta, body["spec"])
    if top is not None:
        return replace(top.living, pod=read, body=question)
    created = datetime.datetime.fromisoformat(meta["creationTimestamp"])
    return snapshot.Living("Pod", meta["name"], key, created, read, question)


def asked(meta: Body, spec: Body) -> dict[str, Any]:
    """The pod that is asked about: all that Pod Security Admission judges, and no more than makes it valid."""
    annotations = {key: value for key, value in (meta.get("annotations") or {}).items() if key.startswith(_JUDGED)}
    volumes = [volume for volume in spec.get("volumes") or () if not (volume.keys() - {"name"}) <= _ALLOWED]
    made: dict[str, Any] = {field: spec[field] for field in _SPEC if spec.get(field) is not None}
    made |= {kind: [_container(one) for one in spec.get(kind) or ()] for kind in ("initContainers", "containers")}
    own = {"serviceAccountName": "default", "automountServiceAccountToken": False}
    return {"metadata": {"name": "gate", "annotations": annotations}, "spec": {**made, "volumes": volumes, **own}}


def _container(one: Body) -> dict[str, Any]:
    made: dict[str, Any] = {field: one[field] for field in _CONTAINER if one.get(field) is not None}
    # The API server warns of a port that is there twice, also under two names.
    ports = dict.fromkeys(tuple((field, port.get(field)) for field in _PORT) for port in one.get("ports") or ())
    if ports:
        made["ports"] = [{field: value for field, value in port if value is not None} for port in ports]
    made |= {key: probe for key in _PROBES if (probe := _handler(one.get(key)))}
    lifecycle = one.get("lifecycle") or {}
    hooks = {key: hook for key in _HOOKS if (hook := _handler(lifecycle.get(key)))}
    return {**made, "lifecycle": hooks} if hooks else made


def _handler(handler: Body | None) -> dict[str, Any]:
    """What a probe or a hook calls, where it names a host."""
    for way in _HANDLERS:
        host = ((handler or {}).get(way) or {}).get("host")
        if host:
            return {way: {"host": host, "port": 1}}
    return {}
