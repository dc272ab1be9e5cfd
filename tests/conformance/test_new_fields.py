"""What Kubernetes 1.33 to 1.37 added to pods: Pod Security Admission and the guard say the same of it.

docs/explanation/pod-fields.md says of each field whether it reaches the host. An API server drops a field that it does
not know, or whose feature is off. The verdict is then that of the pod without the field.
"""

import copy
import pathlib
import re
from typing import Any, Final

import pytest

from tests.conformance import pods
from tests.conformance.sides import Side
from tests.controlplane import cluster as controlplane

PAGE = pathlib.Path(__file__).parent.parent.parent / "docs" / "explanation" / "pod-fields.md"
Body = dict[str, Any]
_CLAIM: Final = [{"name": "gpu", "resourceClaimName": "gpu"}]
# The field as the page names it, and what a pod gets: of its spec, of its first container, of its volumes.
FIELDS: Final[dict[str, tuple[Body, Body, Body]]] = {
    "hostUsers": ({"hostUsers": False}, {}, {}),
    "resources": ({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}, {}, {}),
    "resourceClaims": ({"resourceClaims": _CLAIM}, {"resources": {"claims": [{"name": "gpu"}]}}, {}),
    "hostnameOverride": ({"hostnameOverride": "node-1"}, {}, {}),
    "schedulingGroup": ({"schedulingGroup": {"podGroupName": "group"}}, {}, {}),
    "evictionResponders": ({"evictionResponders": [{"name": "example.com/responder"}]}, {}, {}),
    "containers[*].restartPolicyRules": (
        {},
        {
            "restartPolicy": "Never",
            "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
        },
        {},
    ),
    "containers[*].env[*].valueFrom.fileKeyRef": (
        {},
        {"env": [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "env", "key": "A"}}}]},
        {"emptyDir": {}},
    ),
    "containers[*].volumeMounts[*].bindMountOptions": (
        {},
        {"volumeMounts": [{"name": "v", "mountPath": "/v", "bindMountOptions": ["noexec", "nodev", "nosuid"]}]},
        {"emptyDir": {}},
    ),
    "containers[*].*Probe.httpGet.protocol": (
        {},
        {"readinessProbe": {"httpGet": {"port": 80, "protocol": "HTTP2"}}},
        {},
    ),
    "containers[*].*Probe.grpc.mode": ({}, {"readinessProbe": {"grpc": {"port": 80, "mode": "Plaintext"}}}, {}),
    "volumes[*].image": ({}, {}, {"image": {"reference": "registry.example.com/model:1"}}),
    "volumes[*].projected.sources[*].podCertificate": (
        {},
        {},
        {
            "projected": {
                "sources": [
                    {
                        "podCertificate": {
                            "signerName": "example.com/signer",
                            "keyType": "ED25519",
                            "credentialBundlePath": "bundle.pem",
                        }
                    }
                ]
            }
        },
    ),
    "volumes[*].projected.defaultUser": ({}, {}, {"projected": {"defaultUser": 0, "sources": []}}),
    "volumes[*].emptyDir.mode": ({}, {}, {"emptyDir": {"mode": 0o1777}}),
}


@pytest.fixture(scope="module", params=["baseline", "restricted"])
def level(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def psa(governed: controlplane.Cluster, level: str) -> Side:
    """Return a namespace that Pod Security Admission holds to the level."""
    return Side.set_up(governed, f"new-psa-{level}", level=level)


@pytest.fixture(scope="module")
def guard(governed: controlplane.Cluster, level: str) -> Side:
    """Return a relaxed namespace with that guard."""
    return Side.set_up(governed, f"new-guard-{level}", guard=level)


def pod(level: str, field: str) -> Body:
    """Return a pod that is in order at the level and has the field."""
    of_spec, of_container, of_volume = copy.deepcopy(FIELDS[field])
    body = pods.base(level, ["regular"])
    body["spec"] |= of_spec
    body["spec"]["containers"][0] |= of_container
    if of_volume:
        body["spec"]["volumes"] = [{"name": "v", **of_volume}]
    return body


@pytest.mark.parametrize("field", FIELDS)
def test_both_admit_an_ordinary_pod_with_the_field(psa: Side, guard: Side, level: str, field: str) -> None:
    """A rollout that uses the field is refused neither before an exception nor while it is in force."""
    verdicts = psa.create(pod(level, field)), guard.create(pod(level, field))
    assert verdicts[0].agrees(verdicts[1]), verdicts
    assert verdicts[0].word in {"admitted", "not judged"}, verdicts


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("namespaces", [{"hostNetwork": True}, {"hostPID": True}, {"hostIPC": True}], ids=str)
def test_no_field_makes_up_for_host_namespaces(
    psa: Side, guard: Side, level: str, field: str, namespaces: Body
) -> None:
    """The pod is refused for its host namespaces. API validation refuses some pods first."""
    body = pod(level, field)
    body["spec"] |= namespaces
    for verdict in (psa.create(body), guard.create(body)):
        assert verdict.word == "not judged" or "hostNamespaces" in verdict.controls, verdict
        assert verdict.word != "admitted"


def test_the_page_has_every_field() -> None:
    """The table of the page names the fields of this test, and no other."""
    rows = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(FIELDS)
