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
from hostnetwork_operator.observe import parse, templates

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
class WrittenException:
    """An exception, and where it is written."""

    place: Position
    exception: exception.HostNetworkException


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
class UnknownTemplate:
    """A pod template of a kind that is not of Kubernetes, at a path that nobody gave. `shares`: a host namespace."""

    place: Position
    subject: str
    path: tuple[str, ...]
    shares: bool

    @property
    def why(self) -> str:
        path = ".".join(self.path)
        return f"{self.subject} has a pod template that was not checked; use --pod-template {path}"


@dataclass(frozen=True, slots=True)
class Manifests:
    """What some files have. `documents` is the number of all documents, whatever they are. `unused` are the paths at
    which no object has a pod template.
    """

    templates: tuple[Template, ...]
    exceptions: tuple[WrittenException, ...]
    namespaces: tuple[WrittenNamespace, ...]
    unreadable: tuple[Unreadable, ...]
    documents: int
    unknown: tuple[UnknownTemplate, ...] = ()
    unused: tuple[tuple[str, ...], ...] = ()


class _ManifestLoader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """YAML as Kubernetes reads it, and faster where libyaml is there."""


Found = Template | WrittenException | WrittenNamespace | Unreadable | UnknownTemplate


def read(
    sources: Sequence[tuple[str, str]],
    namespace: str,
    now: datetime.datetime,
    paths: Sequence[tuple[str, ...]] = (),
) -> Manifests:
    """Return what these texts have; each has the name of its file. `namespace` is for objects that name none.

    `paths` are where objects of other kinds have a pod template.
    """
    found: list[Found] = []
    used: set[tuple[str, ...]] = set()
    documents = 0
    for file, text in sources:
        for first_line, chunk in _chunks(text):
            try:
                node = yaml.compose(chunk, _ManifestLoader)
                objects = [] if node is None else list(_objects(node))
            except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
                found.append(_not_yaml(file, first_line, error))
                documents += 1
                continue
            documents += node is not None
            for each in objects:
                found += _read(_Written(*each, file, first_line), namespace, now, paths, used)
    return Manifests(
        tuple(each for each in found if isinstance(each, Template)),
        tuple(each for each in found if isinstance(each, WrittenException)),
        tuple(each for each in found if isinstance(each, WrittenNamespace)),
        tuple(each for each in found if isinstance(each, Unreadable)),
        documents,
        tuple(each for each in found if isinstance(each, UnknownTemplate)),
        tuple(path for path in paths if path not in used),
    )


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


def _read(
    written: _Written,
    namespace: str,
    now: datetime.datetime,
    paths: Sequence[tuple[str, ...]],
    used: set[tuple[str, ...]],
) -> list[Found]:
    """Return what an object has: an exception, the labels of a Namespace, or its pod templates; nothing if it has none
    of these. Add to `used` the paths that lead to a pod template.
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
        return [WrittenException(position, subject)]
    if kind == "Namespace" and body.get("apiVersion") == "v1":
        return [_namespace(name, meta.get("labels"))]
    own = templates.of_kind(kind, str(body.get("apiVersion") or ""))
    if own is not None:
        return [_template(written, known, *each) for each in templates.at(body, own)]
    found: list[Found] = []
    for path in paths:
        reached = [_template(written, known, *each) for each in templates.at(body, path)]
        used |= {path} if reached else set()
        found += reached
    return found + _unknown(written, name, paths)


def _template(
    written: _Written, known: Mapping[str, Any], path: templates.Path, body: Mapping[str, Any]
) -> Template | Unreadable:
    kind, name = written.body["kind"], known["name"]
    pod = parse.pod({"metadata": known, "spec": body["spec"]})
    if isinstance(pod, snapshot.UnreadablePod):
        return Unreadable(written.position(written.node.start_mark.line), f"{kind} {name}: {pod.why}")
    return Template(kind, name, written.position(_line(written.node, (*path, "spec"))), pod, body)


def _unknown(written: _Written, name: str, paths: Sequence[tuple[str, ...]]) -> list[Found]:
    """Return the pod templates that an object of another kind seems to have, and that no path reads.

    Such an object may make pods, and it may not: only the person knows. Passing over it in silence would call it fine.
    """
    subject = f"{written.body['kind']} {name} ({written.body.get('apiVersion')})"
    return [
        UnknownTemplate(
            written.position(_line(written.node, (*path, "spec"))),
            subject,
            templates.names(path),
            any(body["spec"].get(field) not in (None, False) for field in _FIELDS),
        )
        for path, body in templates.recognised(written.body)
        if templates.names(path) not in paths
    ]


def _namespace(name: str, labels: object) -> WrittenNamespace:
    present = labels.items() if isinstance(labels, Mapping) else ()
    return WrittenNamespace(name, {key: value for key, value in present if isinstance(value, str)})


def _line(node: yaml.Node, path: templates.Path) -> int:
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


def _value(node: yaml.Node | None, key: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int):
        return next(iter(node.value[key : key + 1]), None)  # a key may be written twice, with other lists
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
