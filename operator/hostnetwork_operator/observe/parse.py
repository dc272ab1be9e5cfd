"""API objects (plain dicts) to the frozen types that decisions read.

Absent, null and empty mean the same in Kubernetes, so they mean the same here. What is not understood is an error of
that object alone, and becomes an Unreadable one: cannot tell is its own answer.
"""

import datetime
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import pydantic

from hostnetwork_operator.api import exception, fingerprint, grant, labels, policy, report
from hostnetwork_operator.decide import guards, snapshot

Body = Mapping[str, Any]
# Whoever wrote before managedFields were kept, as the API server calls it. A namespace that was made by a server-side
# apply without labels has none until the next one, and this owns everything then that was written meanwhile.
_NOBODY: Final = "before-first-apply"
_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
_FIELDS: Final = {
    "hostNetwork": labels.HostNamespace.NETWORK,
    "hostPID": labels.HostNamespace.PID,
    "hostIPC": labels.HostNamespace.IPC,
}


def host_namespaces(body: Body) -> frozenset[labels.HostNamespace]:
    """Which namespaces of its node a pod shares (Pod Security Standards, Host Namespaces); none for an ordinary pod."""
    spec = body.get("spec") or {}
    return frozenset(name for field, name in _FIELDS.items() if spec.get(field))


def runs_or_will(body: Body) -> bool:
    """Whether a pod is neither at its end nor on its way out."""
    ended = (body.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
    return not ended and not body["metadata"].get("deletionTimestamp")


def watched(body: Body) -> bool:
    """Whether the pod watch tells of it: there is a field selector for hostNetwork, and none for the other two."""
    return bool((body.get("spec") or {}).get("hostNetwork"))


def pod(body: Body) -> snapshot.Pod | snapshot.UnreadablePod:
    """A host-namespace pod."""
    meta = body["metadata"]
    try:
        return _pod(body)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
        return snapshot.UnreadablePod(meta["namespace"], meta["name"], meta["uid"], why)


def job_as_pod(body: Body) -> snapshot.Pod | snapshot.UnreadablePod:
    """A pod as a Job's template makes it, as old as the Job."""
    return pod({"metadata": body["metadata"], "spec": body["spec"]["template"]["spec"]})


def _pod(body: Body) -> snapshot.Pod:
    meta, spec = body["metadata"], body["spec"]
    containers = [container for kind in _CONTAINERS for container in spec.get(kind) or ()]
    contexts = [container.get("securityContext") or {} for container in containers]
    added = [(context.get("capabilities") or {}).get("add") or () for context in contexts]
    annotations = meta.get("annotations") or {}
    return snapshot.Pod(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        created=_time(meta["creationTimestamp"]),
        service_account=spec.get("serviceAccountName") or "default",
        host_namespaces=host_namespaces(body),
        images=frozenset(_text(container["image"]) for container in containers),
        capabilities=frozenset(_text(name) for names in added for name in _list(names)),
        privileged=any(context.get("privileged") for context in contexts),
        host_paths=_host_paths(spec, containers),
        mirror=labels.MIRROR in annotations,
        deleting=bool(meta.get("deletionTimestamp")),
        to_be_gone=_time(meta["deletionTimestamp"]) if meta.get("deletionTimestamp") else None,
        node=spec.get("nodeName") or "",
        owner=controller(body),
        verdict_label=(meta.get("labels") or {}).get(labels.VERDICT),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text expected, got {value!r}")
    return value


def _list(value: object) -> Iterable[object]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"list expected, got {value!r}")
    return value


def _host_paths(spec: Body, containers: Iterable[Body]) -> frozenset[grant.HostPath]:
    mounts = [mount for container in containers for mount in container.get("volumeMounts") or ()]
    made = set()
    for volume in spec.get("volumes") or ():
        if volume.get("hostPath"):
            writable = any(m["name"] == volume["name"] and not m.get("readOnly") for m in mounts)
            made.add(grant.HostPath(volume["hostPath"]["path"], read_only=not writable))
    return frozenset(made)


def controller(body: Body) -> snapshot.Reference | None:
    """Whoever controls an object, as that says itself."""
    meta = body["metadata"]
    # A claim, which whoever creates a pod can forge: Events are told to it, nothing is decided by it.
    for owner in meta.get("ownerReferences") or ():
        if owner.get("controller"):
            return snapshot.Reference(
                owner["kind"], meta["namespace"], owner["name"], owner["uid"], owner["apiVersion"]
            )
    return None


def namespace(body: Body) -> snapshot.Namespace:
    """A Namespace, with whoever else owns its Pod Security labels."""
    meta = body["metadata"]
    return snapshot.Namespace(
        name=meta["name"],
        uid=meta["uid"],
        created=_time(meta["creationTimestamp"]),
        resource_version=meta["resourceVersion"],
        labels=MappingProxyType(meta.get("labels") or {}),
        annotations=MappingProxyType(meta.get("annotations") or {}),
        others=MappingProxyType(_others(meta)),
        terminating=bool(meta.get("deletionTimestamp")),
    )


def _others(meta: Body) -> dict[str, frozenset[str]]:
    owners: dict[str, set[str]] = {}
    for entry in meta.get("managedFields") or ():
        fields = ((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:labels") or {}
        if entry.get("manager") == _NOBODY and f"f:{labels.ENFORCEMENT}" in fields:
            continue  # it took over what the operator or label-at-birth wrote
        for field in fields:
            label = field.removeprefix("f:")
            if label.startswith(labels.PSA_PREFIX) and entry.get("manager") != labels.MANAGER:
                owners.setdefault(label, set()).add(entry.get("manager") or "somebody")
    return {label: frozenset(names) for label, names in owners.items()}


def host_network_exception(body: Body) -> exception.HostNetworkException | snapshot.UnreadableException:
    """An exception; one that does not fit the models grants nothing."""
    try:
        return exception.HostNetworkException.model_validate(body)
    except pydantic.ValidationError as error:
        meta = body["metadata"]
        return snapshot.UnreadableException(meta["namespace"], meta["name"], meta["uid"], _first(error))


def host_network_policy(body: Body) -> snapshot.PolicyObject:
    """A policy, with its spec or what is wrong with it."""
    meta = body["metadata"]
    spec, mistake = None, ""
    try:
        spec = policy.PolicySpec.model_validate(body.get("spec"))
    except pydantic.ValidationError as error:
        mistake = _first(error)
    try:
        status = policy.PolicyStatus.model_validate(body.get("status") or {})
    except pydantic.ValidationError:
        status = policy.PolicyStatus()
    return snapshot.PolicyObject(
        meta["uid"], meta["resourceVersion"], int(meta.get("generation", 0)), status, spec, mistake
    )


def standing_report(body: Body, kind: report.Kind) -> snapshot.Report:
    """A report as it stands."""
    meta = body["metadata"]
    owner: Body = next(iter(meta.get("ownerReferences") or ()), {})
    return snapshot.Report(kind, meta["name"], meta["uid"], owner.get("kind", ""), report.digest(body))


def admission_policy(body: Body) -> guards.AdmissionPolicy:
    """A ValidatingAdmissionPolicy."""
    meta, spec = body["metadata"], body.get("spec") or {}
    return guards.AdmissionPolicy(
        name=meta["name"],
        changed=_changed(meta),
        fails_closed=spec.get("failurePolicy", "Fail") == "Fail",
        selects=fingerprint.selects(spec),
        says=fingerprint.says(spec),
        deleting="deletionTimestamp" in meta,
    )


def admission_binding(body: Body) -> guards.Binding:
    """A ValidatingAdmissionPolicyBinding."""
    meta, spec = body["metadata"], body.get("spec") or {}
    return guards.Binding(
        name=meta["name"],
        policy=spec.get("policyName", ""),
        changed=_changed(meta),
        denies="Deny" in (spec.get("validationActions") or ()),
        bound=fingerprint.bound(spec),
        deleting="deletionTimestamp" in meta,
    )


def _changed(meta: Body) -> datetime.datetime:
    """When the object was made, or by managedFields somebody last wrote something together with its spec.

    So what was weakened and mended while nobody looked is as young as its mending.
    """
    entries = [entry for entry in meta.get("managedFields") or () if "f:spec" in (entry.get("fieldsV1") or {})]
    return max(_time(text) for text in (meta["creationTimestamp"], *(e["time"] for e in entries if e.get("time"))))


def _first(error: pydantic.ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)
