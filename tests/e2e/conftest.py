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

    def __init__(self, running: cluster.Cluster) -> None:
        self.cluster = running
        self.admin = running.admin
        self.operator = operator.OperatorProcess(running)

    # -- doing ----------------------------------------------------------------------------------------------------

    def namespace(self, *, deny: bool = True, old: bool = False, labels: dict[str, str] | None = None) -> str:
        """Create a namespace and return its name; with `deny`, wait until the operator enforces it.

        The namespace is created with the labels of label-at-birth. With `old` it has none of them, as if mode Audit had
        left it behind.
        """
        name = f"e2e-{next(_numbers)}"
        given = {**(labels or {}), **({f"{LABEL}/enforcement": "Audit"} if old else {})}
        self.admin.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": given}}).expect(201)
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        # After an outage kube-controller-manager waits up to 60 s (30 s and as much jitter) before it watches again.
        self.until("its service account", lambda: self.admin.get(account).status == 200, deadline_seconds=120)
        if deny:
            self.until(f"{name} enforced", lambda: self.enforced(name))
        return name

    def exception(self, namespace: str, name: str = "capture", *, seconds: float = 3600, **spec: Any) -> api.Response:
        """Create a Diagnostic exception for IMAGE that expires in so many seconds."""
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
        wanted = {"hostNetwork": True, "containers": [{"name": "main", "image": IMAGE}], **spec}
        query = "?dryRun=All" if dry_run else ""
        return self.admin.post(f"{self.pods(namespace)}{query}", {"metadata": {"name": name}, "spec": wanted})

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
        found: dict[str, Any] = self.admin.get(f"/api/v1/namespaces/{namespace}").expect(200).body["metadata"]
        return found

    def labels(self, namespace: str) -> dict[str, str]:
        return dict(self.metadata(namespace)["labels"])

    def enforced(self, namespace: str) -> bool:
        """Return whether the operator has enforced the namespace; the label alone may come from label-at-birth."""
        noted = f"{LABEL}/level-before" in self.metadata(namespace).get("annotations", {})
        return noted and self.labels(namespace).get(f"{LABEL}/enforcement") == "Deny"

    def grants(self, namespace: str) -> dict[str, str]:
        annotations = self.metadata(namespace).get("annotations", {})
        return {key.split("/")[1]: value for key, value in annotations.items() if key.startswith("grant.")}

    def status(self, namespace: str, name: str = "capture") -> dict[str, Any]:
        return dict(self.admin.get(f"{self.exceptions(namespace)}/{name}").expect(200).body.get("status", {}))

    def condition(self, namespace: str, name: str = "capture", kind: str = "Ready") -> dict[str, Any]:
        found = [c for c in self.status(namespace, name).get("conditions", []) if c["type"] == kind]
        return dict(found[0]) if found else {}

    def ready(self, namespace: str, name: str = "capture") -> str:
        return str(self.condition(namespace, name).get("reason", ""))

    def verdict(self, namespace: str, pod: str) -> str | None:
        body = self.admin.get(f"{self.pods(namespace)}/{pod}").body
        return str(body["metadata"].get("labels", {}).get(f"{LABEL}/verdict", "")) or None

    def gone(self, namespace: str, pod: str = "capture") -> bool:
        return self.admin.get(f"{self.pods(namespace)}/{pod}").status == 404

    def events(self, namespace: str) -> list[tuple[str, str, str]]:
        """Return kind, name and reason of the operator's Events, with repetitions."""
        found = self.admin.items(f"/api/v1/namespaces/{namespace}/events")
        ours = [e for e in found if e["source"].get("component") == "hostnetwork-operator"]
        return sorted((e["involvedObject"]["kind"], e["involvedObject"]["name"], e["reason"]) for e in ours)

    def time(self, seconds: float = 0) -> str:
        """Return the API server's time plus so many seconds."""
        return f"{self.now() + datetime.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"

    def now(self) -> datetime.datetime:
        probe = {"metadata": {"name": "what-time-is-it"}}
        answer = self.admin.post("/api/v1/namespaces/default/configmaps?dryRun=All", probe).expect(201)
        return datetime.datetime.fromisoformat(answer.body["metadata"]["creationTimestamp"])

    def writes(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the operator's writes from the audit log, without dry runs and without the first `since` requests."""
        verbs = {"create", "update", "patch", "delete", "deletecollection"}
        return [
            event
            for event in itertools.islice(self.cluster.audit_events(), since, None)
            if event["user"]["username"] == OPERATOR and event["verb"] in verbs and "dryRun" not in event["requestURI"]
        ]

    def recorded(self, key: str) -> dict[str, Any]:
        """Return what the ledger has under a data key, or {}."""
        path = "/api/v1/namespaces/hostnetwork-system/configmaps"
        selected = f"{path}?labelSelector={MANAGED_BY.replace('/', '%2F')}%3D{MANAGER}"
        found = (body["data"].get(key) for body in self.admin.items(selected))
        return next((json.loads(text) for text in found if text), {})

    def audited(self) -> int:
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
    with cluster.Cluster(audit=True) as running:
        operator.install(running)
        world = World(running)
        world.operator = operator.OperatorProcess(running, environment=environment)
        since = world.now()
        # An exception counts only if it was written when its admission policies were five seconds old.
        world.until("the policies have settled", lambda: world.now() > since + datetime.timedelta(seconds=6))
        yield world
        world.operator.stop()


@pytest.fixture(scope="package")
def installed() -> Iterator[World]:
    """The cluster of `enforced`, shared by all files of this package."""
    with enforced() as made:
        yield made


@pytest.fixture(scope="module")
def tended(installed: World) -> World:
    """The cluster with the operator running, for objects that one file creates once."""
    if not installed.operator.running():
        installed.operator.start()
    return installed


@pytest.fixture
def world(installed: World) -> World:
    """The cluster with the operator running."""
    if not installed.operator.running():
        installed.operator.start()
    return installed


@pytest.fixture
def unattended(installed: World) -> World:
    """The cluster for a test that stops, kills and starts the operator as it likes."""
    if not installed.operator.running():
        installed.operator.start()
    return installed
