"""A governed cluster with the operator running, and the helpers that its tests use."""

import contextlib
import datetime
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hostnetwork_operator.api.labels import MANAGED_BY, MANAGER
from tests.controlplane import api, cluster, operator

LABEL = "hostnetwork-operator.github.io"
PSA = "pod-security.kubernetes.io/enforce"
# The labels that overlays/enforce puts on a namespace, by label-at-birth or by the operator.
ENFORCED = {
    f"{LABEL}/enforcement": "Deny",
    PSA: "baseline",
    f"{PSA}-version": "latest",
    "pod-security.kubernetes.io/audit": "restricted",
    "pod-security.kubernetes.io/audit-version": "latest",
    "pod-security.kubernetes.io/warn": "restricted",
    "pod-security.kubernetes.io/warn-version": "latest",
}
OPERATOR = "system:serviceaccount:hostnetwork-system:hostnetwork-operator"
IMAGE = "registry.example.com/netshoot:v0.14"
_numbers = itertools.count(1)


class World:
    """A cluster, its operator, and helpers that act on the cluster and observe it."""

    def __init__(self, control_plane: cluster.Cluster) -> None:
        self.cluster = control_plane
        self.admin = control_plane.admin
        self.operator = operator.OperatorProcess(control_plane)

    # -- doing ----------------------------------------------------------------------------------------------------

    def namespace(self, *, deny: bool = True, old: bool = False, labels: dict[str, str] | None = None) -> str:
        """Create a namespace and return its name; with `deny`, wait until the operator enforces it.

        The namespace is created with the labels of label-at-birth. With `old` it has none of them, as if mode Audit had
        left it behind.
        """
        name = f"e2e-{next(_numbers)}"
        namespace_labels = {**(labels or {}), **({f"{LABEL}/enforcement": "Audit"} if old else {})}
        self.admin.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": namespace_labels}}).expect(201)
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        # After an outage kube-controller-manager waits up to 60 s (30 s and as much jitter) before it watches again.
        self.until("its service account", lambda: self.admin.get(account).status == 200, deadline_seconds=120)
        if deny:
            self.until(f"{name} enforced", lambda: self.enforced(name))
        return name

    def exception(self, namespace: str, name: str = "capture", *, seconds: float = 3600, **spec: Any) -> api.Response:
        """Create a Diagnostic exception for IMAGE that expires in `seconds` seconds."""
        body = {
            "apiVersion": f"{LABEL}/v1alpha1",
            "kind": "HostNetworkException",
            "metadata": {"name": name},
            "spec": {
                "type": "Diagnostic",
                "owner": "team-sre",
                "reason": "Capture SYN retries on a node",
                "ticket": "INC-4711",
                "expiry": self.time(seconds),
                "images": [IMAGE],
                **spec,
            },
        }
        body["spec"] = {key: value for key, value in body["spec"].items() if value is not None}
        return self.admin.post(self.exceptions(namespace), body)

    def pod(self, namespace: str, name: str = "capture", *, dry_run: bool = False, **spec: Any) -> api.Response:
        """Create a hostNetwork pod of IMAGE."""
        pod_spec = {"hostNetwork": True, "containers": [{"name": "main", "image": IMAGE}], **spec}
        query = "?dryRun=All" if dry_run else ""
        return self.admin.post(f"{self.pods(namespace)}{query}", {"metadata": {"name": name}, "spec": pod_spec})

    def granted_pod(self, namespace: str, name: str = "capture", *, seconds: float = 3600, **spec: Any) -> None:
        """Create an exception and a pod under it, and wait until the operator reports the pod as covered."""
        self.exception(namespace, name, seconds=seconds, **spec).expect(201)
        self.until("a pod under it is admitted", lambda: self.pod(namespace, name).status == 201)
        self.until("it is covered", lambda: self.status(namespace, name).get("coveredPods") == 1)

    # -- seeing ---------------------------------------------------------------------------------------------------

    def pods(self, namespace: str) -> str:
        return f"/api/v1/namespaces/{namespace}/pods"

    def exceptions(self, namespace: str) -> str:
        return f"/apis/{LABEL}/v1alpha1/namespaces/{namespace}/hostnetworkexceptions"

    def metadata(self, namespace: str) -> dict[str, Any]:
        metadata: dict[str, Any] = self.admin.get(f"/api/v1/namespaces/{namespace}").expect(200).body["metadata"]
        return metadata

    def labels(self, namespace: str) -> dict[str, str]:
        return dict(self.metadata(namespace)["labels"])

    def enforced(self, namespace: str) -> bool:
        """Return whether the operator has enforced the namespace; the label alone may come from label-at-birth."""
        recorded = f"{LABEL}/level-before" in self.metadata(namespace).get("annotations", {})
        return recorded and self.labels(namespace).get(f"{LABEL}/enforcement") == "Deny"

    def grants(self, namespace: str) -> dict[str, str]:
        annotations = self.metadata(namespace).get("annotations", {})
        return {key.split("/")[1]: value for key, value in annotations.items() if key.startswith("grant.")}

    def status(self, namespace: str, name: str = "capture") -> dict[str, Any]:
        return dict(self.admin.get(f"{self.exceptions(namespace)}/{name}").expect(200).body.get("status", {}))

    def condition(self, namespace: str, name: str = "capture", kind: str = "Ready") -> dict[str, Any]:
        conditions = [
            condition for condition in self.status(namespace, name).get("conditions", []) if condition["type"] == kind
        ]
        return dict(conditions[0]) if conditions else {}

    def ready(self, namespace: str, name: str = "capture") -> str:
        return str(self.condition(namespace, name).get("reason", ""))

    def verdict(self, namespace: str, pod: str) -> str | None:
        body = self.admin.get(f"{self.pods(namespace)}/{pod}").body
        return str(body["metadata"].get("labels", {}).get(f"{LABEL}/verdict", "")) or None

    def is_deleted(self, namespace: str, pod: str = "capture") -> bool:
        return self.admin.get(f"{self.pods(namespace)}/{pod}").status == 404

    def events(self, namespace: str) -> list[tuple[str, str, str]]:
        """Return kind, name and reason of the operator's Events, with repetitions."""
        events = self.admin.items(f"/api/v1/namespaces/{namespace}/events")
        own_events = [e for e in events if e["source"].get("component") == "hostnetwork-operator"]
        return sorted((e["involvedObject"]["kind"], e["involvedObject"]["name"], e["reason"]) for e in own_events)

    def time(self, seconds: float = 0) -> str:
        """Return the API server's time plus `seconds`."""
        return f"{self.now() + datetime.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"

    def now(self) -> datetime.datetime:
        body = {"metadata": {"name": "what-time-is-it"}}
        answer = self.admin.post("/api/v1/namespaces/default/configmaps?dryRun=All", body).expect(201)
        return datetime.datetime.fromisoformat(answer.body["metadata"]["creationTimestamp"])

    def writes(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the operator's writes from the audit log, without dry runs and without the first `since` requests."""
        verbs = {"create", "update", "patch", "delete", "deletecollection"}
        return [
            event
            for event in itertools.islice(self.cluster.audit_events(), since, None)
            if event["user"]["username"] == OPERATOR and event["verb"] in verbs and "dryRun" not in event["requestURI"]
        ]

    def ledger_record(self, key: str) -> dict[str, Any]:
        """Return what the ledger has under a data key, or {}."""
        path = "/api/v1/namespaces/hostnetwork-system/configmaps"
        selected = f"{path}?labelSelector={MANAGED_BY.replace('/', '%2F')}%3D{MANAGER}"
        texts = (body["data"].get(key) for body in self.admin.items(selected))
        return next((json.loads(text) for text in texts if text), {})

    def request_count(self) -> int:
        """Return how many requests the audit log has, for `writes`."""
        return sum(1 for _ in self.cluster.audit_events())

    def until(self, what: str, probe: Callable[[], object], deadline_seconds: float = 30) -> None:
        """Wait until `probe` is true. Raise AssertionError with the operator's last log lines after the deadline."""
        deadline = time.monotonic() + cluster.PATIENCE * deadline_seconds
        while not probe():
            assert time.monotonic() < deadline, f"never: {what}\n{self.operator.tail(10)}"
            time.sleep(0.03)

    def holds_until(self, moment: datetime.datetime, what: str, probe: Callable[[], object]) -> None:
        """Assert that `probe` stays true until the API server's clock shows `moment`."""
        while self.now() < moment:
            assert probe(), f"no longer: {what}\n{self.operator.tail(10)}"


@contextlib.contextmanager
def enforced(**environment: str) -> Iterator[World]:
    """Yield a cluster as the README's enforce overlay leaves it, policies in force and the operator not started."""
    with cluster.Cluster(audit=True) as control_plane:
        operator.install(control_plane)
        world = World(control_plane)
        world.operator = operator.OperatorProcess(control_plane, environment=environment)
        install_time = world.now()
        # An exception counts only if it was written when its admission policies were five seconds old.
        world.until("the policies have settled", lambda: world.now() > install_time + datetime.timedelta(seconds=6))
        yield world
        world.operator.stop()


@pytest.fixture(scope="package")
def package_world() -> Iterator[World]:
    """The cluster of `enforced`, shared by all files of this package."""
    with enforced() as world:
        yield world


def _attended(world: World) -> World:
    """Start the operator if an earlier test has left it stopped."""
    if not world.operator.running():
        world.operator.start()
    return world


@pytest.fixture(scope="module")
def module_world(package_world: World) -> World:
    """The cluster with the operator running, for objects that one file creates once."""
    return _attended(package_world)


@pytest.fixture
def world(package_world: World) -> World:
    """The cluster with the operator running."""
    return _attended(package_world)


@pytest.fixture
def unattended(package_world: World) -> World:
    """The cluster for a test that stops, kills and starts the operator as it likes."""
    return _attended(package_world)
