"""What lives in a namespace, as the gate asks about it: templates and pods, as the pods that they would make.

All that Pod Security Admission judges is kept, and nothing is judged here.
"""

import contextlib
import datetime
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import parse

Body = Mapping[str, Any]
_NOT_ASKED: Final = frozenset({
    "ephemeralContainers", "nodeName", "overhead", "preemptionPolicy", "priority", "priorityClassName",
    "serviceAccount",
})  # fmt: skip
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
            None if owner else datetime.datetime.fromisoformat(meta["creationTimestamp"]),
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
    created = (
        None if parse.controller({"metadata": meta}) else datetime.datetime.fromisoformat(meta["creationTimestamp"])
    )
    pod = snapshot.UnreadablePod(meta["namespace"], meta["name"], meta["uid"], why)
    return snapshot.Living(kind, meta["name"], created, pod, {})


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


class Pods:
    """Of the pods of a namespace, page by page, one of each workload and one of all that are just like it.

    Only those are read in full: to read all of them costs more than all else that a look does.
    """

    def __init__(self, workloads: Mapping[str, Workload]) -> None:
        self._workloads = workloads
        self._kept: dict[str, tuple[str, snapshot.Living]] = {}  # by key: when it was made, and what it is
        self._unread: list[snapshot.Living] = []

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
                self._kept[key] = made, _pod(body, top)

    def living(self) -> list[snapshot.Living]:
        return [*(found for _, found in self._kept.values()), *self._unread]

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
    owner = parse.controller(body)
    return json.dumps([asked(body["metadata"], body["spec"]), owner.uid if owner else None], sort_keys=True)


def _pod(body: Body, top: Workload | None) -> snapshot.Living:
    meta, owner = body["metadata"], parse.controller(body)
    read, question = parse.pod(body), asked(meta, body["spec"])
    if top is not None:
        return snapshot.Living(top.living.kind, top.living.name, top.living.created, read, question)
    created = None if owner else datetime.datetime.fromisoformat(meta["creationTimestamp"])
    return snapshot.Living("Pod", meta["name"], created, read, question)


def asked(meta: Body, spec: Body) -> dict[str, Any]:
    """The pod that is asked about: all that Pod Security Admission judges, and nothing that other admission, the
    scheduler or the service account adds or would stumble over in another namespace.
    """
    tokens = {volume["name"] for volume in spec.get("volumes") or () if _is_token(volume)}
    kept = {field: value for field, value in spec.items() if field not in _NOT_ASKED}
    kept["volumes"] = [volume for volume in spec.get("volumes") or () if volume["name"] not in tokens]
    for kind in ("initContainers", "containers"):
        kept[kind] = [
            {**one, "volumeMounts": [m for m in one.get("volumeMounts") or () if m["name"] not in tokens]}
            for one in spec.get(kind) or ()
        ]
    annotations = {key: value for key, value in (meta.get("annotations") or {}).items() if key.startswith(_JUDGED)}
    own = {"serviceAccountName": "default", "automountServiceAccountToken": False}
    return {"metadata": {"name": "gate", "annotations": annotations}, "spec": {**kept, **own}}


def _is_token(volume: Body) -> bool:
    # Each pod has one of its own, by a name of its own; PSA forbids projected volumes at no level.
    return "projected" in volume and volume["name"].startswith("kube-api-access-")
