"""A cluster as it is before adoption: namespaces with workloads of every kind, made from a seed.

Every pod starts before adoption, because no namespace enforces more than its pods meet. What each workload needs
afterwards is known from its making: nothing, an exception, or a change by its team.
"""

import enum
import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.e2e import agents

NODES: Final = 2
KINDS: Final = (
    *("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob", "Pod"),
)
_PSA: Final = "pod-security.kubernetes.io/enforce"
_WORKLOADS_AT_MOST: Final = 3


class Need(enum.Enum):
    """What a workload needs so that its pods start in an enforced namespace."""

    NOTHING = enum.auto()
    EXCEPTION = enum.auto()  # an exception can allow all that its pods use
    CHANGE = enum.auto()  # its team changes the pod, or its namespace stays Held


@dataclass(frozen=True)
class Workload:
    """An object that makes pods, or a pod. `pods` says how many pods there are of it by itself."""

    body: dict[str, Any]
    need: Need
    pods: int

    @property
    def kind(self) -> str:
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])


@dataclass(frozen=True)
class Tenant:
    """A namespace with its labels before adoption, its workloads, and the other objects that they need."""

    name: str
    workloads: tuple[Workload, ...]
    labels: dict[str, str] = field(default_factory=dict)
    others: tuple[dict[str, Any], ...] = ()

    @property
    def can_be_enforced(self) -> bool:
        return all(workload.need is not Need.CHANGE for workload in self.workloads)

    @property
    def objects(self) -> Iterator[dict[str, Any]]:
        """The objects to apply, with their namespace."""
        for body in (*self.others, *(workload.body for workload in self.workloads)):
            yield {**body, "metadata": {**body["metadata"], "namespace": self.name}}


def of_samples(samples: Iterable[tuple[str, agents.Sample]], nodes: int) -> tuple[Tenant, ...]:
    """Return a namespace for each sample of a real agent."""
    tenants = []
    for name, sample in samples:
        *others, workload = sample.living()
        kind, spec = workload["kind"], workload["spec"]
        pods = {"DaemonSet": nodes, "Pod": 1, "Job": 0, "CronJob": 0}.get(kind, spec.get("replicas", 1))
        tenants.append(Tenant(f"agent-{name}", (Workload(workload, Need.EXCEPTION, pods),), others=tuple(others)))
    return tuple(tenants)


def generate(count: int, seed: int) -> tuple[Tenant, ...]:
    """Return this number of namespaces, the same for the same seed. Every kind and every need is among the first 40."""
    randomness = random.Random(seed)
    characters = ("compliant", "compliant", "agent", "mixed", "broken")
    kinds = itertools.cycle(KINDS)
    tenants = []
    for number in range(count):
        character = characters[number % len(characters)]
        needs = _needs(character, randomness)
        workloads = tuple(
            _workload(f"{need.name.lower()}-{index}", next(kinds), need, randomness) for index, need in enumerate(needs)
        )
        strict = randomness.random() < 0.3 and character == "compliant"
        before = {_PSA: "baseline"} if strict else {_PSA: "privileged"} if randomness.random() < 0.3 else {}
        tenants.append(Tenant(f"tenant-{number:03}", workloads, {**before, "team": f"team-{number % 7}"}))
    return tuple(tenants)


def _needs(character: str, randomness: random.Random) -> list[Need]:
    count = randomness.randint(1, _WORKLOADS_AT_MOST)
    match character:
        case "agent":
            return [Need.EXCEPTION] * count
        case "mixed":
            return [Need.EXCEPTION, *[Need.NOTHING] * count]
        case "broken":
            return [Need.CHANGE, *randomness.choices([Need.NOTHING, Need.EXCEPTION], k=count - 1)]
        case _:
            return [Need.NOTHING] * count


# -- workloads --------------------------------------------------------------------------------------------------------


def _workload(name: str, kind: str, need: Need, randomness: random.Random) -> Workload:
    pod = {Need.NOTHING: _compliant, Need.EXCEPTION: _excepted, Need.CHANGE: _violating}[need](kind, randomness)
    pod["containers"][0]["image"] = f"registry.example.com/{name}:1"  # no exception covers another workload
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod}
    finite = {**template, "spec": {**pod, "restartPolicy": "Never"}}
    idle = randomness.random() < 0.25
    replicas = 0 if idle else randomness.randint(1, 2)
    version, spec, pods = {
        "Pod": ("v1", pod, 1),
        "ReplicationController": ("v1", {"replicas": replicas, "selector": labels, "template": template}, replicas),
        "DaemonSet": ("apps/v1", {"selector": {"matchLabels": labels}, "template": template}, NODES),
        # A Job that runs would be finished when it is asked about, and a finished Job blocks nothing.
        "Job": ("batch/v1", {"suspend": True, "template": finite}, 0),
        "CronJob": (
            "batch/v1",
            {"schedule": "0 0 1 1 *", "suspend": idle, "jobTemplate": {"spec": {"template": finite}}},
            0,
        ),
    }.get(
        kind, ("apps/v1", {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}, replicas)
    )
    return Workload({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}, need, pods)


# -- pods -------------------------------------------------------------------------------------------------------------


def _pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {**spec, "containers": [{"name": "main", **(container or {})}]}


def _compliant(_: str, randomness: random.Random) -> dict[str, Any]:
    """Return a pod that Baseline allows."""
    return randomness.choice(
        [
            _pod(),
            _pod({"ports": [{"containerPort": 8080}]}, serviceAccountName="default"),
            _pod({"securityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}}}),
            _pod(volumes=[{"name": "scratch", "emptyDir": {}}]),
            _pod({"securityContext": {"runAsUser": 0}}),
        ]
    )


def _excepted(kind: str, randomness: random.Random) -> dict[str, Any]:
    """Return a pod with what an exception can allow: one thing, or several."""
    logs = {"name": "logs", "hostPath": {"path": "/var/log"}}
    mount = {"name": "logs", "mountPath": "/logs", "readOnly": randomness.random() < 0.5}
    pods = [
        _pod(hostNetwork=True),
        _pod(hostPID=True),
        _pod(hostIPC=True, hostNetwork=True),
        _pod({"volumeMounts": [mount]}, volumes=[logs]),
        _pod({"volumeMounts": [mount]}, volumes=[logs], hostPID=True),
        _pod({"securityContext": {"privileged": True}}),
        _pod({"securityContext": {"capabilities": {"add": ["NET_ADMIN", "SYS_TIME"]}}}, hostNetwork=True),
        # What no field of an exception lists needs podSecurityLevel privileged.
        _pod(hostNetwork=True, securityContext={"seccompProfile": {"type": "Unconfined"}}),
    ]
    if kind == "DaemonSet":  # pods of other kinds could share a node, and two pods of a node need two ports
        port = randomness.randint(20_000, 60_000)
        pods.append(_pod({"ports": [{"containerPort": port, "hostPort": port}]}))
    return randomness.choice(pods)


def _violating(_: str, randomness: random.Random) -> dict[str, Any]:
    """Return a pod that Baseline forbids, and that gets no exception."""
    return randomness.choice(
        [
            _pod(hostNetwork=True),  # by mistake
            _pod(securityContext={"seccompProfile": {"type": "Unconfined"}}),
            _pod({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
            _pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}),
            _pod(securityContext={"seLinuxOptions": {"user": "system_u"}}),
            _pod(securityContext={"appArmorProfile": {"type": "Unconfined"}}),
        ]
    )
