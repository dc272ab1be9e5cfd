"""The CRDs have a description for every field and can be installed."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from hostnetwork_operator.api import exception, labels, policy
from tests.controlplane import cluster as controlplane
from tests.crds.conftest import CRDS


def properties(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from properties(field, f"{path}.{name}")
        yield from properties(field.get("items", {}), f"{path}.{name}[]")


@pytest.mark.parametrize("plural", [exception.PLURAL, policy.PLURAL])
def test_every_field_is_described(plural: str) -> None:
    """Each field at each depth has its own description, except metadata, which Kubernetes describes."""
    definition = yaml.safe_load((CRDS / f"{plural}.yaml").read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    fields = dict(properties(schema, ""))
    assert len(fields) > 20
    assert schema["description"]
    assert [path for path, field in fields.items() if len(field.get("description", "")) < 8] == [".metadata"]


@pytest.mark.parametrize("plural", [exception.PLURAL, policy.PLURAL])
def test_kubectl_explains_every_field(crd_cluster: controlplane.Cluster, plural: str) -> None:
    """`kubectl explain --recursive` lists each field, and `kubectl explain` shows the descriptions."""
    definition = yaml.safe_load((CRDS / f"{plural}.yaml").read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    completed = crd_cluster.kubectl("explain", "--recursive", plural)
    assert completed.returncode == 0, completed.stderr
    listed = {line.split("\t")[0].strip() for line in completed.stdout.splitlines()}
    assert set() == {path.rsplit(".", 1)[1] for path, _ in properties(schema, "")} - listed
    spec = crd_cluster.kubectl("explain", f"{plural}.spec").stdout
    assert "<no description>" not in spec
    text = " ".join(spec.split())
    for name, field in schema["properties"]["spec"]["properties"].items():
        assert f"{name} <" in text
        assert field["description"] in text


@pytest.mark.parametrize("plural", [exception.PLURAL, policy.PLURAL])
def test_the_api_server_has_nothing_against_them(crd_cluster: controlplane.Cluster, plural: str) -> None:
    """The CRD is established, its schema is structural, its names are accepted and its rules fit the cost limit."""
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{labels.GROUP}"
    conditions = crd_cluster.admin.get(path).expect(200).body["status"]["conditions"]
    assert {c["type"]: c["status"] for c in conditions} == {"Established": "True", "NamesAccepted": "True"}
