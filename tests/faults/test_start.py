"""CRDs of another release: the operator ends with one line and the remedy, and works once the CRDs are its own."""

import copy
import json
import os
import subprocess
import sys
from typing import Any

from hostnetwork_operator.api import crd, exception, policy
from tests.controlplane import cluster, operator
from tests.e2e.conftest import LABEL

OPENAPI = f"/openapi/v3/apis/{LABEL}/v1alpha1"


def _replace(control_plane: cluster.Cluster, definition: dict[str, Any]) -> None:
    """Replace the CRD of this name, whose objects are deleted with it."""
    name = definition["metadata"]["name"]
    control_plane.kubectl("delete", "crd", name, "--ignore-not-found")
    path = control_plane.directory / "crd.json"
    path.write_text(json.dumps(definition))
    operator.apply(control_plane, "--server-side", "-f", str(path))
    completed = control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", name)
    assert completed.returncode == 0, completed.stderr


def _published_fields(control_plane: cluster.Cluster, kind: str) -> dict[str, Any]:
    """Return the fields of a kind's status, as the API server publishes them."""
    schemas = control_plane.admin.get(OPENAPI).body.get("components", {}).get("schemas", {})
    matching = (schema for name, schema in schemas.items() if name.endswith(f".{kind}"))
    return dict(next(matching, {}).get("properties", {}).get("status", {}).get("properties", {}))


def _error_line(control_plane: cluster.Cluster) -> str:
    """Assert that the operator ends with status 1 and one line on stderr, and return the line."""
    kubeconfig = control_plane.service_account(operator.NAMESPACE, operator.ACCOUNT)
    environment = {"PATH": os.environ["PATH"], "KUBECONFIG": str(kubeconfig), "HOSTNETWORK_ADDRESS": "127.0.0.1"}
    environment |= {"HOSTNETWORK_PORT": "0", "HOSTNETWORK_PROBE_PORT": "0"}
    command = [sys.executable, "-m", "hostnetwork_operator"]
    completed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert completed.returncode == 1, completed.stdout + completed.stderr
    assert "Traceback" not in completed.stdout
    (line,) = completed.stderr.splitlines()
    return line


def test_the_operator_ends_where_a_crd_is_of_another_release() -> None:
    """The CRD has another version, or lacks a field; with its own CRDs the operator starts."""
    with cluster.Cluster() as control_plane:
        operator.install(control_plane)
        other_crd = copy.deepcopy(crd.exceptions_crd())
        other_crd["spec"]["versions"][0]["name"] = "v1beta9"
        _replace(control_plane, other_crd)
        control_plane.wait("it is served", lambda: control_plane.admin.get(f"/apis/{LABEL}/v1beta9").status == 200)
        subject = f"hostnetwork-operator: CRD {exception.PLURAL}.{LABEL} must "
        line = _error_line(control_plane)
        assert line.startswith(f"{subject}serve version v1alpha1 for operator "), line
        assert "got v1beta9; run kubectl apply --server-side -f crds/" in line

        _replace(control_plane, crd.exceptions_crd())
        crd_without_field = copy.deepcopy(crd.policies_crd())
        del crd_without_field["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"][
            "pods"
        ]
        _replace(control_plane, crd_without_field)
        expected_fields = {"namespaces"}
        control_plane.wait(
            "it is published",
            lambda: (
                expected_fields <= (status_fields := _published_fields(control_plane, policy.KIND).keys())
                and "pods" not in status_fields
            ),
        )
        line = _error_line(control_plane)
        assert f"CRD {policy.PLURAL}.{LABEL} must have every field of operator " in line
        assert (
            "got a CRD without status.pods, status.pods.covered, status.pods.expired and 2 more; run kubectl app"
            in line
        )

        operator.install(control_plane)
        control_plane.wait("it is published", lambda: "pods" in _published_fields(control_plane, policy.KIND))
        process = operator.OperatorProcess(control_plane).start()
        assert process.stop() == 0
