"""The samples of tests/samples that have an exception in tests/samples/exceptions, and what is less than it."""

import copy
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any, Self

import yaml

SAMPLES = pathlib.Path(__file__).parent.parent / "samples"
# node-debug has no manifest: kubectl debug makes its pod.
NAMES = tuple(sorted({path.stem for path in (SAMPLES / "exceptions").glob("*.yaml")} - {"node-debug"}))
OTHER_IMAGE = "registry.example.com/other:1"
_STRICTER = {"privileged": "baseline", "baseline": "restricted"}


@dataclasses.dataclass(frozen=True)
class Sample:
    """A workload with what it needs (a service account), and the exception that is shown for it."""

    objects: tuple[dict[str, Any], ...]
    exception: dict[str, Any]

    @classmethod
    def read(cls, name: str, expiry: str) -> Self:
        """The two files of that name; `expiry`, `…Z`, where the exception wants one filled in."""
        objects = tuple(yaml.safe_load_all((SAMPLES / f"{name}.yaml").read_text()))
        text = (SAMPLES / "exceptions" / f"{name}.yaml").read_text()
        return cls(objects, yaml.safe_load(text.replace("$EXPIRY", expiry)))

    @property
    def workload(self) -> dict[str, Any]:
        return self.objects[-1]

    def owners(self, nodes: int) -> list[str]:
        """The kind that owns each of its pods once its controller has made them, on so many nodes."""
        kind = self.workload["kind"]
        return [{"CronJob": "Job", "Deployment": "ReplicaSet"}.get(kind, kind)] * (nodes if kind == "DaemonSet" else 1)

    def living(self) -> tuple[dict[str, Any], ...]:
        """The same objects; a Job is suspended, since a Job that has come to its end is not there to be refused."""
        if self.workload["kind"] != "Job":
            return self.objects
        return (*self.objects[:-1], {**self.workload, "spec": {**self.workload["spec"], "suspend": True}})

    @property
    def pod(self) -> dict[str, Any]:
        """A pod as the workload's controller makes it; of a pod one more like it."""
        kind, spec = self.workload["kind"], self.workload["spec"]
        job = spec["jobTemplate"]["spec"] if kind == "CronJob" else spec
        template = self.workload if kind == "Pod" else job["template"]
        labels = template["metadata"].get("labels", {})
        return {"metadata": {"generateName": "sample-", "labels": labels}, "spec": template["spec"]}


def read(expiry: str) -> dict[str, Sample]:
    """Every sample by its name."""
    return {name: Sample.read(name, expiry) for name in NAMES}


def smaller(sample: Sample) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every exception that grants a little less than that of `sample`, each with what was taken away.

    A list that may not be empty names something else instead.
    """
    spec = sample.exception["spec"]
    volumes = [volume["hostPath"]["path"] for volume in sample.pod["spec"].get("volumes", []) if "hostPath" in volume]
    mounted = [path.rstrip("/") or "/" for path in volumes]
    for field, instead in (("hostNamespaces", ["IPC"]), ("images", [OTHER_IMAGE]), ("capabilities", [])):
        given = spec.get(field, ["Network"] if field == "hostNamespaces" else [])
        for one in given:
            yield f"{field} without {one}", {**spec, field: [other for other in given if other != one] or instead}
    for field in ("privileged", "hostPorts"):
        if spec.get(field):
            yield f"not {field}", {**spec, field: False}
    for number, path in enumerate(spec.get("hostPaths", [])):
        where = path["path"]
        yield f"hostPaths without {where}", _with_path(spec, number)
        prefix = where.rstrip("/") + "/"
        inside = [{**path, "path": other} for other in mounted if other.startswith(prefix)]
        narrower = [{**path, "path": f"{prefix}less"}] if where in mounted else inside
        yield f"hostPaths with less of {where}", _with_path(spec, number, *narrower)
        if not path["readOnly"]:
            yield f"hostPaths with {where} read-only", _with_path(spec, number, {**path, "readOnly": True})
    yield from _stricter(spec)
    yield "another service account", {**spec, "serviceAccountName": "another"}


def _stricter(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    level = spec.get("podSecurityLevel", "baseline")
    # A privileged container cannot meet restricted, and the API refuses who asks for both. Without host namespaces a
    # grant makes nothing stricter than the guard of the namespace, which is baseline in these tests.
    if level == "baseline" and (spec.get("privileged") or spec.get("hostNamespaces") == []):
        return
    if level in _STRICTER:
        yield f"podSecurityLevel {_STRICTER[level]}", {**spec, "podSecurityLevel": _STRICTER[level]}


def _with_path(spec: dict[str, Any], number: int, *instead: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(spec)
    changed["hostPaths"][number : number + 1] = instead
    return changed
