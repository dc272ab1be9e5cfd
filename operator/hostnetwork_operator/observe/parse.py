"""The conversion of API objects (plain dicts) to the frozen types that decisions read.

Absent, null and empty mean the same in Kubernetes, so they mean the same here. An object that cannot be understood is
an error of that object alone. The result is an unreadable object: "cannot tell" is a result of its own.
"""

import datetime
import functools
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import pydantic

from hostnetwork_operator.api import exception, fingerprint, grant, labels, policy, report
from hostnetwork_operator.decide import guards, snapshot

Body = Mapping[str, Any]
_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
# Types of host paths that count as written. The kubelet creates a missing directory or file. A process that reaches a
# socket can write to it, also through a read-only mount.
_WRITTEN_TYPES: Final = frozenset({"DirectoryOrCreate", "FileOrCreate", "Socket"})
_LONG_SECONDS: Final = 1_000_000_000
_NEVER: Final = datetime.datetime(9000, 1, 1, tzinfo=datetime.UTC)
_FIELDS: Final = {
    "hostNetwork": labels.HostNamespace.NETWORK,
    "hostPID": labels.HostNamespace.PID,
    "hostIPC": labels.HostNamespace.IPC,
}


def host_namespaces(body: Body) -> frozenset[labels.HostNamespace]:
    """Return which namespaces of its node a pod shares; none for an ordinary pod.

    Pod Security Standards, Host Namespaces.
    """
    spec = body.get("spec") or {}
    return frozenset(name for field, name in _FIELDS.items() if spec.get(field))


def runs_or_will(body: Body) -> bool:
    """Return whether a pod has not ended and is not being deleted."""
    ended = (body.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
    return not ended and not body["metadata"].get("deletionTimestamp")


def release(body: Body) -> frozenset[str]:
    """Return what a pod was installed with according to its labels. This is a claim."""
    pod_labels = body["metadata"].get("labels") or {}
    return _release(*(str(pod_labels.get(key) or "") for key in labels.RELEASE))


@functools.lru_cache(maxsize=1024)
def _release(*values: str) -> frozenset[str]:
    """Return a release: the same object for all pods of a workload, because a DaemonSet has thousands of pods."""
    return frozenset(f"{key}={value}" for key, value in zip(labels.RELEASE, values, strict=True) if value)


def watched(body: Body) -> bool:
    """Return whether the pod watch reports a pod.

    There is a field selector for hostNetwork, and none for hostPID and hostIPC.
    """
    return bool((body.get("spec") or {}).get("hostNetwork"))


def pod(body: Body) -> snapshot.Pod | snapshot.UnreadablePod:
    """Return a pod, or an unreadable pod if it cannot be understood."""
    meta = body["metadata"]
    try:
        return _pod(body)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
        return snapshot.UnreadablePod(meta["namespace"], meta["name"], meta["uid"], why)


def job_as_pod(body: Body) -> snapshot.Pod | snapshot.UnreadablePod:
    """Return the pod that a Job's template makes, with the creation time of the Job."""
    return pod({"metadata": body["metadata"], "spec": body["spec"]["template"]["spec"]})


def _pod(body: Body) -> snapshot.Pod:
    meta, spec = body["metadata"], body["spec"]
    containers = [container for kind in _CONTAINERS for container in spec.get(kind) or ()]
    contexts = [container.get("securityContext") or {} for container in containers]
    # A privileged container has every capability, so it does not matter which ones it adds.
    added = [(c.get("capabilities") or {}).get("add") or () for c in contexts if not c.get("privileged")]
    annotations = meta.get("annotations") or {}
    return snapshot.Pod(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        created=moment(meta["creationTimestamp"]),
        service_account=_text(spec.get("serviceAccountName") or "default"),
        host_namespaces=host_namespaces(body),
        images=frozenset(_text(container["image"]) for container in containers),
        capabilities=frozenset(_text(name) for names in added for name in _list(names)),
        privileged=any(context.get("privileged") for context in contexts),
        host_paths=_host_paths(spec, containers),
        host_ports=any(port.get("hostPort") for container in containers for port in container.get("ports") or ()),
        mirror=labels.MIRROR in annotations,
        deleting=bool(meta.get("deletionTimestamp")),
        to_be_gone=_to_be_gone(meta),
        node=sys.intern(_text(spec.get("nodeName") or "")),  # each agent has a pod on the node
        owner=controller(body),
        verdict_label=_label(meta, labels.VERDICT),
        release=release(body),
    )


def _to_be_gone(meta: Body) -> datetime.datetime | None:
    """Return when the grace period of a pod ends; None if the pod is not being deleted.

    The client that deletes a pod sets the length of its grace period. With 293 years the API server's sum overflows,
    and the deletionTimestamp may be any moment.
    """
    if not meta.get("deletionTimestamp"):
        return None
    return (
        _NEVER if (meta.get("deletionGracePeriodSeconds") or 0) > _LONG_SECONDS else moment(meta["deletionTimestamp"])
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text expected, got {value!r}")
    return value


def _label(meta: Body, name: str) -> str | None:
    value = (meta.get("labels") or {}).get(name)
    return None if value is None else _text(value)


def _list(value: object) -> Iterable[object]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"list expected, got {value!r}")
    return value


def _host_paths(spec: Body, containers: Iterable[Body]) -> frozenset[grant.HostPathAccess]:
    mounts = [mount for container in containers for mount in container.get("volumeMounts") or ()]
    host_paths = set()
    for volume in spec.get("volumes") or ():
        if volume.get("hostPath"):
            source = volume["hostPath"]
            written = _text(source.get("type") or "") in _WRITTEN_TYPES
            written |= any(m["name"] == volume["name"] and not m.get("readOnly") for m in mounts)
            host_paths.add(grant.HostPathAccess(_text(source["path"]), read_only=not written))
    return frozenset(host_paths)


def controller(body: Body) -> snapshot.Reference | None:
    """Return the controller of an object according to the object's own owner references; None if it has none."""
    meta = body["metadata"]
    references = meta.get("ownerReferences")
    # A claim: a user who creates a pod can forge it. Events are emitted for the controller; no decision depends on it.
    for owner in references if isinstance(references, list) else ():
        if isinstance(owner, Mapping) and owner.get("controller"):
            kind, name, uid, version = (owner.get(field) for field in ("kind", "name", "uid", "apiVersion"))
            if all(isinstance(text, str) for text in (kind, name, uid, version)):
                return snapshot.Reference(str(kind), meta["namespace"], str(name), str(uid), str(version))
    return None


def namespace(body: Body) -> snapshot.Namespace:
    """Return a Namespace."""
    meta = body["metadata"]
    return snapshot.Namespace(
        name=meta["name"],
        uid=meta["uid"],
        created=moment(meta["creationTimestamp"]),
        resource_version=meta["resourceVersion"],
        labels=MappingProxyType(meta.get("labels") or {}),
        annotations=MappingProxyType(meta.get("annotations") or {}),
        terminating=bool(meta.get("deletionTimestamp")),
    )


def host_network_exception(body: Body) -> exception.HostNetworkException | snapshot.UnreadableException:
    """Return an exception, or an unreadable exception if it cannot be understood.

    A status that does not fit the schema counts as an empty status: no decision depends on the status.
    """
    try:
        return exception.HostNetworkException.model_validate({**body, "status": _status(body)})
    except pydantic.ValidationError as error:
        return unreadable_exception(body["metadata"], _first(error))


def unreadable_exception(meta: Body, why: str) -> snapshot.UnreadableException:
    """Return an exception of which only the metadata can be read."""
    generation = int(meta.get("generation", 0))
    return snapshot.UnreadableException(meta["namespace"], meta["name"], meta["uid"], why, generation)


def _status(body: Body) -> exception.ExceptionStatus:
    try:
        return exception.ExceptionStatus.model_validate(body.get("status") or {})
    except pydantic.ValidationError:
        return exception.ExceptionStatus()


def host_network_policy(body: Body) -> snapshot.PolicyObject:
    """Return a policy, either with its spec or with what is wrong with the spec."""
    spec, mistake = None, ""
    try:
        spec = policy.PolicySpec.model_validate(body.get("spec"))
    except pydantic.ValidationError as error:
        mistake = _first(error)
    try:
        status = policy.PolicyStatus.model_validate(body.get("status") or {})
    except pydantic.ValidationError:
        status = policy.PolicyStatus()
    return replace(unreadable_policy(body["metadata"], mistake), status=status, spec=spec)


def unreadable_policy(meta: Body, why: str) -> snapshot.PolicyObject:
    """Return a policy of which only the metadata can be read."""
    return snapshot.PolicyObject(
        uid=meta["uid"],
        created=moment(meta["creationTimestamp"]),
        resource_version=meta["resourceVersion"],
        generation=int(meta.get("generation", 0)),
        status=policy.PolicyStatus(),
        spec=None,
        mistake=why,
    )


def standing_report(body: Body, kind: report.ReportKind) -> snapshot.StoredReport:
    """Return a report as it is stored in the cluster."""
    meta = body["metadata"]
    owner: Body = next(iter(meta.get("ownerReferences") or ()), {})
    return snapshot.StoredReport(kind, meta["name"], meta["uid"], owner.get("kind", ""), report.digest(body))


def admission_policy(body: Body) -> guards.AdmissionPolicy:
    """Return a ValidatingAdmissionPolicy."""
    meta, spec = body["metadata"], body.get("spec") or {}
    return guards.AdmissionPolicy(
        name=meta["name"],
        uid=meta["uid"],
        generation=int(meta.get("generation", 0)),
        created=moment(meta["creationTimestamp"]),
        fails_closed=spec.get("failurePolicy", "Fail") == "Fail",
        selects=fingerprint.selects(spec),
        says=fingerprint.says(spec),
        deleting="deletionTimestamp" in meta,
    )


def admission_binding(body: Body) -> guards.Binding:
    """Return a ValidatingAdmissionPolicyBinding."""
    meta, spec = body["metadata"], body.get("spec") or {}
    return guards.Binding(
        name=meta["name"],
        uid=meta["uid"],
        generation=int(meta.get("generation", 0)),
        created=moment(meta["creationTimestamp"]),
        policy=spec.get("policyName", ""),
        denies="Deny" in (spec.get("validationActions") or ()),
        bound=fingerprint.bound(spec),
        deleting="deletionTimestamp" in meta,
    )


def _first(error: pydantic.ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def moment(text: str) -> datetime.datetime:
    """Return a time as the API server writes it."""
    return datetime.datetime.fromisoformat(text)
