"""The samples of tests/samples that have an exception in tests/samples/exceptions, and exceptions that grant less."""

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
    """A workload, the objects that it needs (a service account), and its sample exception."""

    objects: tuple[dict[str, Any], ...]
    exception: dict[str, Any]

    @classmethod
    def read(cls, name: str, expiry: str) -> Self:
        """Read the two files of that name; `expiry` (`…Z`) replaces `$EXPIRY` in the exception."""
        objects = tuple(yaml.safe_load_all((SAMPLES / f"{name}.yaml").read_text()))
        text = (SAMPLES / "exceptions" / f"{name}.yaml").read_text()
        return cls(objects, yaml.safe_load(text.replace("$EXPIRY", expiry)))

    @property
    def workload(self) -> dict[str, Any]:
        return self.objects[-1]

    def owners(self, nodes: int) -> list[str]:
        """Return the owner kind of each pod that the workload's controller makes on this number of nodes."""
        kind = self.workload["kind"]
        return [{"CronJob": "Job", "Deployment": "ReplicaSet"}.get(kind, kind)] * (nodes if kind == "DaemonSet" else 1)

    def living(self) -> tuple[dict[str, Any], ...]:
        """Return the same objects, with a Job suspended: the gate ignores a finished Job."""
        if self.workload["kind"] != "Job":
            return self.objects
        return (*self.objects[:-1], {**self.workload, "spec": {**self.workload["spec"], "suspend": True}})

    @property
    def pod(self) -> dict[str, Any]:
        """A pod as the workload's controller makes it; for a bare pod, another pod like it."""
        kind, spec = self.workload["kind"], self.workload["spec"]
        job = spec["jobTemplate"]["spec"] if kind == "CronJob" else spec
        template = self.workload if kind == "Pod" else job["template"]
        labels = template["metadata"].get("labels", {})
        return {"metadata": {"generateName": "sample-", "labels": labels}, "spec": template["spec"]}


def read(expiry: str) -> dict[str, Sample]:
    """Return every sample by its name."""
    return {name: Sample.read(name, expiry) for name in NAMES}


def smaller(sample: Sample) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every exception that grants a little less than that of `sample`, each with what was removed.

    If a list must not be empty, another value replaces the removed one.
    """
    spec = sample.exception["spec"]
    volumes = [volume["hostPath"]["path"] for volume in sample.pod["spec"].get("volumes", []) if "hostPath" in volume]
    mounted_paths = [path.rstrip("/") or "/" for path in volumes]
    for field, replacement in (("hostNamespaces", ["IPC"]), ("images", [OTHER_IMAGE]), ("capabilities", [])):
        entries = spec.get(field, ["Network"] if field == "hostNamespaces" else [])
        for entry in entries:
            yield (
                f"{field} without {entry}",
                {**spec, field: [kept_entry for kept_entry in entries if kept_entry != entry] or replacement},
            )
    for field in ("privileged", "hostPorts"):
        if spec.get(field):
            yield f"not {field}", {**spec, field: False}
    for number, path in enumerate(spec.get("hostPaths", [])):
        host_path = path["path"]
        yield f"hostPaths without {host_path}", _with_path(spec, number)
        prefix = host_path.rstrip("/") + "/"
        inside = [{**path, "path": kept_entry} for kept_entry in mounted_paths if kept_entry.startswith(prefix)]
        narrower = [{**path, "path": f"{prefix}less"}] if host_path in mounted_paths else inside
        yield f"hostPaths with less of {host_path}", _with_path(spec, number, *narrower)
        if not path["readOnly"]:
            yield f"hostPaths with {host_path} read-only", _with_path(spec, number, {**path, "readOnly": True})
    yield from _stricter(spec)
    yield "another service account", {**spec, "serviceAccountName": "another"}


def _stricter(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    level = spec.get("podSecurityLevel", "baseline")
    # A privileged container cannot meet restricted, and the API refuses an exception with both. Without host namespaces
    # a grant makes nothing stricter than the namespace's guard, which is baseline in these tests.
    if level == "baseline" and (spec.get("privileged") or spec.get("hostNamespaces") == []):
        return
    if level in _STRICTER:
        yield f"podSecurityLevel {_STRICTER[level]}", {**spec, "podSecurityLevel": _STRICTER[level]}


def _with_path(spec: dict[str, Any], number: int, *replacements: dict[str, Any]) -> dict[str, Any]:
    new_spec = copy.deepcopy(spec)
    new_spec["hostPaths"][number : number + 1] = replacements
    return new_spec
