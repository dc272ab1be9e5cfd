"""The kubectl view of the objects: columns, short names, selectors."""

import json
from collections.abc import Iterator

import pytest

from hostnetwork_operator.api import exception, labels, policy
from tests.controlplane import cluster as controlplane

BASE = {"owner": "team-a", "reason": "Capture SYN retries on node-7", "serviceAccountName": "netdebug"}
DATED = {**BASE, "ticket": "INC-4711", "expiry": "2999-11-22T16:00:00Z", "images": ["app:1"]}
OBJECTS = {
    "capture": {**DATED, "type": "Diagnostic", "contact": "net@example.com"},
    "sip": {**DATED, "type": "Application", "owner": "team-b"},
    "cni": {**BASE, "type": "Infrastructure", "owner": "team-b"},
}
STATUS = {
    "coveredPods": 2,
    "conditions": [
        {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": "so it is",
            "lastTransitionTime": "2026-11-22T16:00:00Z",
        }
        for kind, reason in (("InUse", "PodsCovered"), ("Ready", "Active"))
    ],
}


@pytest.fixture(scope="module")
def sample_cluster(crd_cluster: controlplane.Cluster) -> Iterator[controlplane.Cluster]:
    """A cluster with three exceptions in namespace `shown`, one with a status, and a policy object for this module."""
    crd_cluster.admin.post("/api/v1/namespaces", {"metadata": {"name": "shown"}}).expect(201)
    path = f"/apis/{labels.API_VERSION}/namespaces/shown/{exception.PLURAL}"
    for name, spec in OBJECTS.items():
        body = {"apiVersion": labels.API_VERSION, "kind": exception.KIND, "metadata": {"name": name}, "spec": spec}
        crd_cluster.admin.post(path, body).expect(201)
    crd_cluster.admin.patch(f"{path}/capture/status", {"status": STATUS}).expect(200)
    body = {
        "kind": policy.KIND,
        "apiVersion": labels.API_VERSION,
        "metadata": {"name": "default"},
        "spec": {"mode": "Audit"},
    }
    policies = f"/apis/{labels.API_VERSION}/{policy.PLURAL}"
    crd_cluster.admin.post(policies, body).expect(201)
    yield crd_cluster
    crd_cluster.admin.delete(f"{policies}/{policy.NAME}").expect(200)


def rows(cluster: controlplane.Cluster, *arguments: str) -> list[list[str]]:
    completed = cluster.kubectl("get", *arguments, "-n", "shown")
    assert completed.returncode == 0, completed.stderr
    return [line.split() for line in completed.stdout.splitlines()]


def test_the_columns_say_who_what_until_when(sample_cluster: controlplane.Cluster) -> None:
    """`kubectl get hne` shows type, owner, ticket, readiness, pods and the expiry as written."""
    header, *lines = rows(sample_cluster, "hne")
    assert header == ["NAME", "TYPE", "OWNER", "TICKET", "READY", "PODS", "EXPIRY", "AGE"]
    columns = {line[0]: line[1:-1] for line in lines}
    assert columns["capture"] == ["Diagnostic", "team-a", "INC-4711", "Active", "2", "2999-11-22T16:00:00Z"]
    assert columns["cni"][:2] == ["Infrastructure", "team-b"]


def test_wide_shows_why_and_whom_to_ask(sample_cluster: controlplane.Cluster) -> None:
    """`kubectl get hne -o wide` adds the reason and the contact."""
    completed = sample_cluster.kubectl("get", "hne", "-n", "shown", "-o", "wide")
    header, capture, *_ = completed.stdout.splitlines()
    assert header.split()[-2:] == ["REASON", "CONTACT"]
    assert capture.rstrip().endswith("net@example.com")
    assert "Capture SYN retries on node-7" in capture


def test_policies_are_shown_by_their_short_name(sample_cluster: controlplane.Cluster) -> None:
    """`kubectl get hnep` shows the mode and the level."""
    header, line = rows(sample_cluster, "hnep")
    assert header == ["NAME", "MODE", "ENFORCE", "READY", "DENY", "HELD", "RELAXED", "UNCOVERED", "AGE"]
    assert line[:3] == ["default", "Audit", "baseline"]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("spec.type=Diagnostic", {"capture"}),
        ("spec.owner=team-b", {"sip", "cni"}),
        ("spec.owner=team-b,spec.type!=Application", {"cni"}),
        ("spec.owner=nobody", set()),
    ],
)
def test_type_and_owner_can_be_selected(sample_cluster: controlplane.Cluster, selector: str, names: set[str]) -> None:
    """The API server itself selects by spec.type and spec.owner."""
    completed = sample_cluster.kubectl("get", "hne", "-n", "shown", "-o", "json", f"--field-selector={selector}")
    assert completed.returncode == 0, completed.stderr
    assert names == {item["metadata"]["name"] for item in json.loads(completed.stdout)["items"]}
