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


def _replace(running: cluster.Cluster, definition: dict[str, Any]) -> None:
    """Replace the CRD of this name, whose objects are deleted with it."""
    name = definition["metadata"]["name"]
    running.kubectl("delete", "crd", name, "--ignore-not-found")
    path = running.directory / "crd.json"
    path.write_text(json.dumps(definition))
    operator.apply(running, "--server-side", "-f", str(path))
    done = running.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", name)
    assert done.returncode == 0, done.stderr


def _published(running: cluster.Cluster, kind: str) -> dict[str, Any]:
    """Return the fields of a kind's status, as the API server publishes them."""
    schemas = running.admin.get(OPENAPI).body.get("components", {}).get("schemas", {})
    found = (schema for name, schema in schemas.items() if name.endswith(f".{kind}"))
    return dict(next(found, {}).get("properties", {}).get("status", {}).get("properties", {}))


def _refused(running: cluster.Cluster) -> str:
    """Assert that the operator ends with status 1 and one line on stderr, and return the line."""
    kubeconfig = running.service_account(operator.NAMESPACE, operator.ACCOUNT)
    given = {"PATH": os.environ["PATH"], "KUBECONFIG": str(kubeconfig), "HOSTNETWORK_ADDRESS": "127.0.0.1"}
    given |= {"HOSTNETWORK_PORT": "0", "HOSTNETWORK_PROBE_PORT": "0"}
    command = [sys.executable, "-m", "hostnetwork_operator"]
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout
    (line,) = done.stderr.splitlines()
    return line


def test_the_operator_ends_where_a_crd_is_of_another_release() -> None:
    """The CRD has another version, or lacks a field; with its own CRDs the operator starts."""
    with cluster.Cluster() as running:
        operator.install(running)
        other = copy.deepcopy(crd.exceptions_crd())
        other["spec"]["versions"][0]["name"] = "v1beta9"
        _replace(running, other)
        running.wait("it is served", lambda: running.admin.get(f"/apis/{LABEL}/v1beta9").status == 200)
        subject = f"hostnetwork-operator: CRD {exception.PLURAL}.{LABEL} must "
        line = _refused(running)
        assert line.startswith(f"{subject}serve version v1alpha1 for operator "), line
        assert "got v1beta9; run kubectl apply --server-side -f crds/" in line

        _replace(running, crd.exceptions_crd())
        lesser = copy.deepcopy(crd.policies_crd())
        del lesser["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["pods"]
        _replace(running, lesser)
        without = {"namespaces"}
        running.wait(
            "it is published",
            lambda: without <= (there := _published(running, policy.KIND).keys()) and "pods" not in there,
        )
        line = _refused(running)
        assert f"CRD {policy.PLURAL}.{LABEL} must have every field of operator " in line
        assert (
            "got a CRD without status.pods, status.pods.covered, status.pods.expired and 2 more; run kubectl app"
            in line
        )

        operator.install(running)
        running.wait("it is published", lambda: "pods" in _published(running, policy.KIND))
        process = operator.OperatorProcess(running).start()
        assert process.stop() == 0
