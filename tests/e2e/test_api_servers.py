"""The operator asks each API server at its own address whether the API server has the seal, and for its version.

The API servers register themselves in EndpointSlice default/kubernetes, as on a cluster with several control plane
nodes. Their addresses are on the loopback interface (tests/controlplane/loopback.py).
"""

import shutil
from collections.abc import Iterator

import pytest

from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import snapshot
from tests.controlplane import cluster as controlplane
from tests.controlplane import loopback, operator

pytestmark = pytest.mark.since("1.37", "admission policies from files")
_POLICY = f"/apis/{labels.GROUP}/v1alpha1/hostnetworkexceptionpolicies/default"
_SLICE = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"


@pytest.fixture
def addresses() -> Iterator[tuple[str, str]]:
    try:
        with loopback.two_addresses() as both:
            yield both
    except PermissionError:
        pytest.skip("needs the right to add addresses to the loopback interface (root)")


def _condition(cluster: controlplane.Cluster, kind: str) -> dict[str, str]:
    conditions = cluster.admin.get(_POLICY).expect(200).body.get("status", {}).get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == kind), {})


def _registered(cluster: controlplane.Cluster) -> set[str]:
    answer = cluster.admin.get(_SLICE)
    endpoints = (answer.body.get("endpoints") or []) if answer.status == 200 else []
    return {address for endpoint in endpoints for address in endpoint["addresses"]}


def test_an_api_server_without_the_seal_is_noticed(addresses: tuple[str, str]) -> None:
    """Condition, Event and metric name the API server that lacks the file; they change back when it has the file."""
    first, second = addresses
    with controlplane.Cluster(sealed=True, address=first) as cluster:
        operator.install(cluster)
        cluster.wait("the first API server is registered", lambda: _registered(cluster) == {first})
        fast = {"HOSTNETWORK_RESYNC_SECONDS": "1"}
        with operator.OperatorProcess(cluster, environment=fast) as process:
            cluster.wait("sealed", lambda: _condition(cluster, "Sealed").get("reason") == "Sealed")
            assert _condition(cluster, "Sealed")["status"] == "True"
            tested = _condition(cluster, "KubernetesTested")
            assert (tested["status"], str(snapshot.NEWEST_TESTED) in tested["message"]) == ("True", True)
            sealed = f'hostnetwork_api_server_sealed{{address="{first}:{cluster.ports.apiserver}"}} 1.0'
            cluster.wait("the metric", lambda: sealed in process.metrics())

            etcd = f"http://127.0.0.1:{cluster.ports.etcd}"
            cluster.add_apiserver(etcd, address=second, sealed=False)
            cluster.wait("both are registered", lambda: _registered(cluster) == {first, second})
            cluster.wait("noticed", lambda: _condition(cluster, "Sealed").get("reason") == "PartlySealed")
            assert f"{second}:{cluster.ports.apiserver};" in _condition(cluster, "Sealed")["message"]
            missing = f'hostnetwork_api_server_sealed{{address="{second}:{cluster.ports.apiserver}"}} 0.0'
            cluster.wait("the metric", lambda: missing in process.metrics())
            cluster.wait("the Event", lambda: "PolicyPartlySealed" in _reasons(cluster))
            cluster.remove_apiserver()

            assert cluster.seal is not None
            shutil.copy(controlplane.STATIC / "open" / "seal.yaml", cluster.seal / "seal.yaml")
            reasons = {"NotSealed", "SealUnknown"}  # unknown while the second is registered, and no longer answers
            cluster.wait("open", lambda: _condition(cluster, "Sealed").get("reason") in reasons)
            opened = sealed.replace(" 1.0", " 0.0")
            cluster.wait("the metric", lambda: opened in process.metrics())
            shutil.copy(controlplane.STATIC / "seal.yaml", cluster.seal / "seal.yaml")
            cluster.wait("the metric", lambda: sealed in process.metrics())


def test_the_probe_changes_nothing(addresses: tuple[str, str]) -> None:
    """Without a seal, the dry run succeeds; the decoy stays as it was, and no other policy may be changed."""
    first, _ = addresses
    with controlplane.Cluster(address=first, audit=True) as cluster:
        operator.install(cluster)
        decoy = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{labels.SEAL_PROBE}"
        before = cluster.admin.get(decoy).expect(200).body["metadata"]["resourceVersion"]
        with operator.OperatorProcess(cluster, environment={"HOSTNETWORK_RESYNC_SECONDS": "1"}):
            cluster.wait("not sealed", lambda: _condition(cluster, "Sealed").get("reason") == "NotSealed")
        assert cluster.admin.get(decoy).expect(200).body["metadata"]["resourceVersion"] == before
        user = f"system:serviceaccount:{operator.NAMESPACE}:{operator.ACCOUNT}"
        patches = [
            event
            for event in cluster.audit_events()
            if event["verb"] == "patch"
            and event["user"]["username"] == user
            and event["objectRef"]["resource"] == "validatingadmissionpolicies"
        ]
        assert patches
        assert {event["objectRef"]["name"] for event in patches} == {labels.SEAL_PROBE}
        assert all("dryRun=All" in event["requestURI"] for event in patches)
        account = cluster.api(cluster.service_account(operator.NAMESPACE, operator.ACCOUNT))
        other = decoy.replace(labels.SEAL_PROBE, labels.POLICY_HOST_NAMESPACES)
        assert account.patch(other, {"metadata": {"annotations": {"a": "b"}}}).status == 403


def _reasons(cluster: controlplane.Cluster) -> set[str]:
    events = cluster.admin.items("/api/v1/namespaces/default/events")
    return {event["reason"] for event in events if event["involvedObject"]["kind"] == "HostNetworkExceptionPolicy"}
