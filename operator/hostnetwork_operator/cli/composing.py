"""Composes the smallest exception for a workload from its template and its pods."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hostnetwork_operator.api.exception import ExceptionType
from hostnetwork_operator.api.labels import HostNamespace, Level
from hostnetwork_operator.cli import connect, draft_text, errors, reading, tables, workloads
from hostnetwork_operator.decide import classify, draft, selection, snapshot, spared
from hostnetwork_operator.observe import live, preview


@dataclass(frozen=True, slots=True)
class Composition:
    """A draft, and the namespace as it was read for the draft."""

    drafted: draft_text.Drafted
    reading: reading.Reading


async def of_workload(
    connection: connect.Connection,
    namespace: str,
    arguments: tuple[str, ...],
    kind: str | None,
    pods: reading.WhichPods = reading.WhichPods.ON_THE_HOST_NETWORK,
) -> Composition:
    """Return the draft for the workload that a person names. `kind` is the type of the exception, if not by the class.

    `pods` are the pods that are read beside those of the workload. Raise CommandError if there is no draft.
    """
    name_of_kind, name = workloads.words(arguments)
    named = await workloads.find(connection, namespace, name_of_kind, name)
    living = [named.template]
    if name_of_kind != "Pod":
        existing = preview.existing(connection.gateway, namespace)
        living += [each async for each in existing if each.identity == named.subject.uid]
    readable = [each.pod for each in living if isinstance(each.pod, snapshot.Pod)]
    if len(readable) < len(living):
        raise errors.CommandError(f"error: {name} in namespace {namespace} cannot be read, so nothing is drafted")
    if not any(draft.needs_an_exception(pod) for pod in readable):
        raise errors.CommandError(
            f"error: {tables.kind(name_of_kind)}/{named.subject.name} in namespace {namespace} needs no exception:"
            " it shares no host namespace, and uses no host path, host port, added capability or privileged container"
        )
    images = await digests(connection, namespace)
    read = await reading.read(connection, live.Scope(namespace), pods=pods)
    standard = version(read.cluster.snapshot(namespace))
    return Composition(await of_templates(connection, named.subject, living, images, kind, standard), read)


async def of_templates(
    connection: connect.Connection,
    subject: snapshot.Reference,
    living: Sequence[snapshot.Living],
    images: Mapping[tuple[str, str], Sequence[str]],
    kind: str | None,
    standard: str,
) -> draft_text.Drafted:
    """Return the draft for the templates and pods of one workload, all of which could be read.

    `images` is the result of `digests`, and `standard` that of `version`.
    """
    pods = [each.pod for each in living if isinstance(each.pod, snapshot.Pod)]
    questions = [
        spared.rest(each.body, network=HostNamespace.NETWORK in pod.host_namespaces, ports=not pod.host_namespaces)
        for each, pod in zip(living, pods, strict=True)
    ]
    found = await preview.strictest(connection.gateway, questions, standard)
    level = found if isinstance(found, Level) else Level.BASELINE
    seen = classify.of_pods(subject, pods)
    drafted = draft.draft(subject, pods, seen, level, ExceptionType(kind) if kind else None)
    return draft_text.Drafted(drafted, subject, seen, images, "" if isinstance(found, Level) else found)


def version(state: snapshot.NamespaceSnapshot | None) -> str:
    """Return the version of the Pod Security Standards for a namespace: that of the policy, or `latest`."""
    settings = selection.settings(state).pod_security if state is not None else None
    return settings.version if settings is not None else "latest"


async def digests(connection: connect.Connection, namespace: str | None) -> dict[tuple[str, str], list[str]]:
    """Return the digests under which each image runs in each namespace. A tag may be another image elsewhere."""
    found: dict[tuple[str, str], set[str]] = {}
    path = "/api/v1/pods" if namespace is None else f"/api/v1/namespaces/{namespace}/pods"
    async for page in live.pages(connection.gateway, path):
        for body in page.items:
            status = body.get("status") or {}
            statuses = [s for key in ("initContainerStatuses", "containerStatuses") for s in status.get(key) or ()]
            ids = {s.get("name"): str(s.get("imageID") or "") for s in statuses}
            for container in (*(body["spec"].get("initContainers") or ()), *body["spec"]["containers"]):
                digest = re.search(r"sha256:[0-9a-f]{64}$", ids.get(container["name"], ""))
                if digest:
                    found.setdefault((body["metadata"]["namespace"], container["image"]), set()).add(digest[0])
    return {key: sorted(digests) for key, digests in found.items()}
