"""The workloads that Events with reason FailedCreate name, read live, and how many pods each workload lacks.

A user who may create Events in a namespace can write anything into an Event. So an Event is only a reason to read the
object that it names. This module checks which object that is; all other facts come from the object itself. This module
decides nothing.
"""

import datetime
import enum
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from hostnetwork_operator import bodies
from hostnetwork_operator.api import meta
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import live, parse

Body = Mapping[str, Any]
REASON: Final = "FailedCreate"  # used by every controller in Kubernetes that makes pods
EVENTS_PATH: Final = f"/api/v1/events?fieldSelector=reason%3D{REASON}"
# Whole paths: a tenant who writes a part of a path could redirect the request.
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
# The largest workload that is kept in memory while its pods are refused. The workload of a usual agent has 10 to 30 KiB
# with managedFields.
_MOST_BYTES: Final = 2**17


class Watched(enum.Enum):
    """The kinds that are watched but never stored, by the last part of the path."""

    EVENTS = "events"


class NoShortage(enum.Enum):
    """Why a workload lacks no pod."""

    NOTHING = enum.auto()  # there is no such object, it has another uid, or its pods share no host namespaces
    ENOUGH = enum.auto()  # it has the pods that it wants; its status may be a moment behind


def claimed(event: Body) -> snapshot.Reference | None:
    """Return the workload that an Event names; None if the Event is no reason to read a workload."""
    involved, metadata = event.get("involvedObject"), event.get("metadata") or {}
    if event.get("reason") != REASON or not isinstance(involved, Mapping):
        return None
    kind, version, name, uid = (involved.get(field) for field in ("kind", "apiVersion", "name", "uid"))
    namespace = metadata.get("namespace")
    if not all(isinstance(text, str) and text for text in (kind, version, name, uid, namespace)):
        return None
    workload = snapshot.Reference(str(kind), str(namespace), str(name), str(uid), str(version))
    same = involved.get("namespace") == namespace
    fits = meta.is_name(workload.name) and meta.is_name(workload.namespace) and len(workload.uid) <= _LONGEST_UID
    return workload if same and fits and (workload.api_version, workload.kind) in _PATHS else None


async def read(
    reader: live.Reader, claim: snapshot.Reference, now: datetime.datetime
) -> snapshot.Shortage | NoShortage | None:
    """Return what the workload of a claim lacks; None if it cannot be decoded or is too large to be kept in memory.

    Raise the gateway's errors, also if there is no such object.
    """
    path = _PATHS[claim.api_version, claim.kind].format(claim.namespace, claim.name)
    try:
        body = (await reader.get(path, most=_MOST_BYTES)).body
    except bodies.DecodeError:
        return None
    return shortage(body, claim, now)


def shortage(body: Body, claim: snapshot.Reference, now: datetime.datetime) -> snapshot.Shortage | NoShortage:
    """Return what a workload lacks. `body` is the workload as it was read at `now`."""
    metadata = body["metadata"]
    if metadata["uid"] != claim.uid or metadata.get("deletionTimestamp"):
        return NoShortage.NOTHING
    spec = (body["spec"].get("template") or {}).get("spec") or {}
    # The pods do not inherit the annotations and labels of the workload.
    pod_metadata = {key: metadata[key] for key in ("namespace", "name", "uid", "resourceVersion", "creationTimestamp")}
    pod = parse.pod({"metadata": pod_metadata, "spec": spec})
    if isinstance(pod, snapshot.UnreadablePod) or not pod.host_namespaces:
        return NoShortage.NOTHING
    pods = _counted(claim.kind, body["spec"], body.get("status") or {})
    if pods.present >= pods.wanted:
        return NoShortage.ENOUGH
    return snapshot.Shortage(claim, _top(body, claim), pod, pods.present, pods.wanted, now)


class _Replicas(NamedTuple):
    """How many pods a workload has, and how many it wants."""

    present: int
    wanted: int


def _counted(kind: str, spec: Body, status: Body) -> _Replicas:
    """Return how many pods a workload has, and how many it wants."""
    if kind == "DaemonSet":
        present, wanted = status.get("currentNumberScheduled"), status.get("desiredNumberScheduled")
        return _Replicas(int(present or 0), int(wanted or 0))
    if kind != "Job":
        replicas = spec.get("replicas")
        return _Replicas(int(status.get("replicas") or 0), 1 if replicas is None else int(replicas))
    if spec.get("suspend") or any(
        condition.get("type") in _ENDED and condition.get("status") == "True"
        for condition in status.get("conditions") or ()
    ):
        return _Replicas(0, 0)
    wanted = 1 if spec.get("parallelism") is None else int(spec["parallelism"])
    if spec.get("completions") is not None:
        wanted = min(wanted, int(spec["completions"]) - int(status.get("succeeded") or 0))
    return _Replicas(int(status.get("active") or 0), wanted)


def _top(body: Body, claim: snapshot.Reference) -> snapshot.Reference:
    """Return the object under which users know the workload.

    For a ReplicaSet that is its Deployment, for a Job its CronJob, otherwise the workload itself.
    """
    owner = parse.controller(body)
    if owner is None or _TOPS.get((claim.api_version, claim.kind)) != (owner.api_version, owner.kind):
        return claim
    fits = meta.is_name(owner.name) and meta.is_name(owner.uid) and len(owner.uid) <= _LONGEST_UID
    return owner if fits else claim
