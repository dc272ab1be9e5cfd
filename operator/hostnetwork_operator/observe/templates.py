"""Where an object in a file has pod templates: by its kind, by the paths that a person gives, or by their looks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Path = tuple[str | int, ...]  # of keys, and of places in lists

# Where kinds of Kubernetes itself have the spec of a pod.
_OF_KINDS: Final = {
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
_GROUPS: Final = frozenset({"", "apps", "batch"})


def of_kind(kind: str, api_version: str) -> tuple[str, ...] | None:
    """Return where a kind of Kubernetes has its pod template; None for any other kind."""
    return _OF_KINDS.get(kind) if api_version.rpartition("/")[0] in _GROUPS else None


def at(body: Any, names: Sequence[str]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the pod templates at a path of names, each with its place. The path goes through every item of a list."""
    reached: list[tuple[Path, Any]] = [((), body)]
    for name in names:
        reached = [
            ((*path, name), value[name])
            for path, value in _items(reached)
            if isinstance(value, Mapping) and name in value
        ]
    for path, value in _items(reached):
        if isinstance(value, Mapping) and isinstance(value.get("spec"), Mapping):
            yield path, value


def recognised(body: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield what looks like a pod template in an object of any kind: a `template` whose spec has containers.

    With aliases a short text names the same node without end, so each node is looked at once.
    """
    waiting: list[tuple[Path, Any]] = [((), body)]
    seen: set[int] = set()
    while waiting:
        path, value = waiting.pop()
        if not isinstance(value, Mapping | list) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, list):
            waiting += [((*path, number), item) for number, item in enumerate(value)]
            continue
        if _is_template(path, value):
            yield path, value
        waiting += [((*path, key), item) for key, item in value.items() if isinstance(key, str)]


def names(path: Path) -> tuple[str, ...]:
    """Return a path as a person writes it: without the places in lists."""
    return tuple(key for key in path if isinstance(key, str))


def _is_template(path: Path, value: Mapping[str, Any]) -> bool:
    name, spec = (names(path) or ("",))[-1], value.get("spec")
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    return name.lower().endswith("template") and isinstance(containers, list) and bool(containers)


def _items(reached: Sequence[tuple[Path, Any]]) -> list[tuple[Path, Any]]:
    """Return what was reached, with the items of a list instead of the list."""
    return [
        pair
        for path, value in reached
        for pair in (
            [((*path, number), item) for number, item in enumerate(value)]
            if isinstance(value, list)
            else [(path, value)]
        )
    ]
