"""Manifests in files: the pods that they would make, and the exceptions, each with its file and line.

A document that cannot be read is an error with its line, and hides no other document. Nothing is asked of a cluster.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import yaml

from hostnetwork_operator.api import exception
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import parse

# Where kinds of Kubernetes itself have the spec of a pod.
_TEMPLATES: Final = {
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Deployment": ("spec", "template"),
    "Job": ("spec", "template"),
    "Pod": (),
    "PodTemplate": ("template",),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
}
_FIELDS: Final = ("hostNetwork", "hostPID", "hostIPC")
_DEPTH: Final = 100  # of lists in lists of objects, and of nodes


@dataclass(frozen=True, slots=True)
class Position:
    """Where something is written: the name of the file as the person gave it, and the line, from 1."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Template:
    """A pod as an object makes it. `place` is the field that shares a host namespace, or the object. `body` is the pod
    template as it is written.
    """

    kind: str
    name: str
    place: Position
    pod: snapshot.Pod
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WrittenNamespace:
    """A Namespace object with its labels."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A document or object that cannot be read, and why."""

    place: Position
    why: str


@dataclass(frozen=True, slots=True)
class Manifests:
    """What some files have. `documents` is the number of all documents, whatever they are."""

    templates: tuple[Template, ...]
    exceptions: tuple[exception.HostNetworkException, ...]
    namespaces: tuple[WrittenNamespace, ...]
    unreadable: tuple[Unreadable, ...]
    documents: int


class _ManifestLoader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """YAML as Kubernetes reads it, and faster where libyaml is there."""


Found = Template | exception.HostNetworkException | WrittenNamespace | Unreadable


def read(
    sources: Sequence[tuple[str, str]],
    namespace: str,
    now: datetime.datetime,
    paths: Sequence[tuple[str, ...]] = (),
) -> Manifests:
    """Return what these texts have; each has the name of its file. `namespace` is for objects that name none.

    `paths` are where objects of other kinds have a pod template.
    """
    templates: list[Template] = []
    exceptions: list[exception.HostNetworkException] = []
    namespaces: list[WrittenNamespace] = []
    unreadable: list[Unreadable] = []
    documents = 0
    for file, text in sources:
        for first_line, chunk in _chunks(text):
            try:
                node = yaml.compose(chunk, _ManifestLoader)
                objects = [] if node is None else list(_objects(node))
            except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
                unreadable.append(_not_yaml(file, first_line, error))
                documents += 1
                continue
            documents += node is not None
            for each in objects:
                found = _read(_Written(*each, file, first_line), namespace, now, paths)
                templates += (item for item in found if isinstance(item, Template))
                exceptions += (item for item in found if isinstance(item, exception.HostNetworkException))
                namespaces += (item for item in found if isinstance(item, WrittenNamespace))
                unreadable += (item for item in found if isinstance(item, Unreadable))
    return Manifests(tuple(templates), tuple(exceptions), tuple(namespaces), tuple(unreadable), documents)


def _not_yaml(file: str, first_line: int, error: Exception) -> Unreadable:
    mark = getattr(error, "problem_mark", None)
    why = getattr(error, "problem", None) or ("nested too deeply" if isinstance(error, RecursionError) else str(error))
    return Unreadable(Position(file, first_line + (mark.line if mark is not None else 0)), f"not YAML: {why}")


class _Written(NamedTuple):
    """An object as it is written: its body and node, and where the document begins."""

    body: Mapping[str, Any]
    node: yaml.Node
    file: str
    first_line: int

    def position(self, line: int) -> Position:
        return Position(self.file, self.first_line + line)


def _read(written: _Written, namespace: str, now: datetime.datetime, paths: Sequence[tuple[str, ...]]) -> list[Found]:
    """Return what an object has: an exception, the labels of a Namespace, or its pod templates; nothing if it has none
    of these.
    """
    body, position = written.body, written.position(written.node.start_mark.line)
    kind, meta = body.get("kind"), body.get("metadata")
    if not isinstance(kind, str) or not isinstance(meta, Mapping):
        return []  # values of a chart, a kustomization: no object
    name = str(meta.get("name") or meta.get("generateName") or "")
    known = {
        "name": name,
        "namespace": str(meta.get("namespace") or namespace),
        "uid": f"{position.file}:{position.line}",
        "resourceVersion": "0",
        "generation": 1,
        "creationTimestamp": now.isoformat(),
    }
    if kind == exception.KIND:
        subject = parse.host_network_exception({**body, "metadata": known, "status": {}})
        if isinstance(subject, snapshot.UnreadableException):
            return [Unreadable(position, f"{kind} {name}: {subject.why}")]
        return [subject]
    if kind == "Namespace" and body.get("apiVersion") == "v1":
        return [_namespace(name, meta.get("labels"))]
    group = str(body.get("apiVersion") or "").rpartition("/")[0]
    own = _TEMPLATES.get(kind) if group in {"", "apps", "batch"} else None
    found: list[Found] = []
    for path in [own] if own is not None else paths:
        template = _at(body, path)
        spec = template.get("spec") if isinstance(template, Mapping) else None
        if not isinstance(spec, Mapping):
            continue
        pod = parse.pod({"metadata": known, "spec": spec})
        if isinstance(pod, snapshot.UnreadablePod):
            found.append(Unreadable(position, f"{kind} {name}: {pod.why}"))
        else:
            place = written.position(_line(written.node, (*path, "spec")))
            found.append(Template(kind, name, place, pod, template))
    return found


def _namespace(name: str, labels: object) -> WrittenNamespace:
    present = labels.items() if isinstance(labels, Mapping) else ()
    return WrittenNamespace(name, {key: value for key, value in present if isinstance(value, str)})


def _at(body: Any, path: Sequence[str]) -> Any:
    for key in path:
        body = body.get(key) if isinstance(body, Mapping) else None
    return body


def _line(node: yaml.Node, path: Sequence[str]) -> int:
    """Return the line of the field that shares a host namespace in the node at the path, else that of the object."""
    object_line: int = node.start_mark.line
    current: yaml.Node | None = node
    for key in path:
        current = _value(current, key)
    for field in _FIELDS:
        if isinstance(current, yaml.MappingNode):
            for key_node, value in current.value:
                if key_node.value == field and value.value == "true":
                    return int(key_node.start_mark.line)
    return object_line


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key_node, value in node.value if key_node.value == key), None)


def _objects(node: yaml.Node, depth: int = 0) -> Iterator[tuple[Mapping[str, Any], yaml.Node]]:
    """Yield the objects of a document: itself, or the items of a list of objects."""
    loader = _ManifestLoader("")
    try:
        body = loader.construct_document(node)
    finally:
        loader.dispose()
    items = _value(node, "items")
    is_list = isinstance(body, Mapping) and str(body.get("kind", "")).endswith("List")
    if is_list and isinstance(items, yaml.SequenceNode):
        for item in items.value if depth < _DEPTH else ():
            yield from _objects(item, depth + 1)
    elif isinstance(body, Mapping):
        yield body, node


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """Yield each document with the number of its first line, so that a broken document hides no other.

    Only a line feed ends a line here. If YAML sees another end of a line, a document with two objects is broken, and
    nothing is hidden.
    """
    start = 1
    lines: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        marker, _, rest = line.rstrip("\r").partition(" ")
        if marker == "---":
            yield start, "\n".join(lines)
            start, lines = number, [rest]
        else:
            lines.append("" if line.startswith("%") and not any(lines) else line)  # a directive, such as %YAML 1.2
    yield start, "\n".join(lines)
