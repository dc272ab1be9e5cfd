"""What Events with reason FailedCreate lead to: the workload that they name, read live, and how many pods it lacks.

Whoever may create Events in a namespace writes what he likes into one. So an Event is only a reason to read: which
object it names is checked here, and the object itself says the rest. Nothing is judged here.
"""

import datetime
import enum
from collections.abc import Mapping
from typing import Any, Final

from hostnetwork_operator import bodies
from hostnetwork_operator.api import meta
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import live, parse

Body = Mapping[str, Any]
REASON: Final = "FailedCreate"  # of every controller in Kubernetes that makes pods
EVENTS_PATH: Final = f"/api/v1/events?fieldSelector=reason%3D{REASON}"
# Whole paths: a part of a path that a tenant writes steers the request.
_PATHS: Final = {
    ("apps/v1", "DaemonSet"): "/apis/apps/v1/namespaces/{}/daemonsets/{}",
    ("apps/v1", "ReplicaSet"): "/apis/apps/v1/namespaces/{}/replicasets/{}",
    ("apps/v1", "StatefulSet"): "/apis/apps/v1/namespaces/{}/statefulsets/{}",
    ("batch/v1", "Job"): "/apis/batch/v1/namespaces/{}/jobs/{}",
    ("v1", "ReplicationController"): "/api/v1/namespaces/{}/replicationcontrollers/{}",
}
_TOPS: Final = {
    ("apps/v1", "ReplicaSet"): ("apps/v1", "Deployment"),
    ("batch/v1", "Job"): ("batch/v1", "CronJob"),
}
_ENDED: Final = frozenset({"Complete", "Failed"})
_LONGEST_UID: Final = 64
# Of a workload that is kept in memory while its pods are refused; an agent's has 10 to 30 KiB with managedFields.
_MOST_BYTES: Final = 2**17


class Watched(enum.Enum):
    """What is watched and never stored, by the last part of its path."""

    EVENTS = "events"


class Standing(enum.Enum):
    """What a workload is that lacks no pod."""

    NOTHING = enum.auto()  # no such object, another one of its name, or one that shares no host namespaces
    ENOUGH = enum.auto()  # it has the pods that it wants; its status may be a moment behind


def claimed(event: Body) -> snapshot.Reference | None:
    """Return the workload that an Event names; None for anything that is not read for it."""
    involved, metadata = event.get("involvedObject"), event.get("metadata") or {}
    if event.get("reason") != REASON or not isinstance(involved, Mapping):
        return None
    kind, version, name, uid = (involved.get(field) for field in ("kind", "apiVersion", "name", "uid"))
    namespace = metadata.get("namespace")
    if not all(isinstance(text, str) and text for text in (kind, version, name, uid, namespace)):
        return None
    found = snapshot.Reference(str(kind), str(namespace), str(name), str(uid), str(version))
    same = involved.get("namespace") == namespace
    fits = meta.is_name(found.name) and meta.is_name(found.namespace) and len(found.uid) <= _LONGEST_UID
    return found if same and fits and (found.api_version, found.kind) in _PATHS else None


async def read(
    reader: live.Reader, claim: snapshot.Reference, now: datetime.datetime
) -> snapshot.Shortage | Standing | None:
    """Return what the workload of a claim lacks; None for one that cannot be decoded or is too large to be kept.

    Raise the gateway's errors, also where there is no such object.
    """
    path = _PATHS[claim.api_version, claim.kind].format(claim.namespace, claim.name)
    try:
        body = (await reader.get(path, most=_MOST_BYTES)).body
    except bodies.DecodeError:
        return None
    return shortage(body, claim, now)


def shortage(body: Body, claim: snapshot.Reference, now: datetime.datetime) -> snapshot.Shortage | Standing:
    """Return what a workload lacks that was read at `now`."""
    metadata = body["metadata"]
    if metadata["uid"] != claim.uid or metadata.get("deletionTimestamp"):
        return Standing.NOTHING
    spec = (body["spec"].get("template") or {}).get("spec") or {}
    # Of the workload's annotations and labels its pods have none.
    own = {key: metadata[key] for key in ("namespace", "name", "uid", "resourceVersion", "creationTimestamp")}
    pod = parse.pod({"metadata": own, "spec": spec})
    if isinstance(pod, snapshot.UnreadablePod) or not pod.host_namespaces:
        return Standing.NOTHING
    present, wanted = _counted(claim.kind, body["spec"], body.get("status") or {})
    if present >= wanted:
        return Standing.ENOUGH
    return snapshot.Shortage(claim, _top(body, claim), pod, present, wanted, now)


def _counted(kind: str, spec: Body, status: Body) -> tuple[int, int]:
    """Return how many pods there are, and how many are wanted."""
    if kind == "DaemonSet":
        return int(status.get("currentNumberScheduled") or 0), int(status.get("desiredNumberScheduled") or 0)
    if kind != "Job":
        replicas = spec.get("replicas")
        return int(status.get("replicas") or 0), 1 if replicas is None else int(replicas)
    if spec.get("suspend") or any(
        one.get("type") in _ENDED and one.get("status") == "True" for one in status.get("conditions") or ()
    ):
        return 0, 0
    wanted = 1 if spec.get("parallelism") is None else int(spec["parallelism"])
    if spec.get("completions") is not None:
        wanted = min(wanted, int(spec["completions"]) - int(status.get("succeeded") or 0))
    return int(status.get("active") or 0), wanted


def _top(body: Body, claim: snapshot.Reference) -> snapshot.Reference:
    """Return where people look for the workload: the Deployment of a ReplicaSet, the CronJob of a Job, else itself."""
    owner = parse.controller(body)
    if owner is None or _TOPS.get((claim.api_version, claim.kind)) != (owner.api_version, owner.kind):
        return claim
    fits = meta.is_name(owner.name) and meta.is_name(owner.uid) and len(owner.uid) <= _LONGEST_UID
    return owner if fits else claim
