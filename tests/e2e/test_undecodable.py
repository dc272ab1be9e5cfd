"""A list on a real API server skips objects that cannot be decoded."""

import json
from typing import Any

import pytest
from kubernetes.aio import client, config

from hostnetwork_operator import clock
from hostnetwork_operator.act import gateway
from hostnetwork_operator.observe import live
from tests.controlplane import cluster as controlplane
from tests.governed import cluster

__all__ = ["cluster"]  # of its own: the controllers of a cluster cannot read such objects either

_GROUP = "undecodable.example.com"
_NEST = b'{"a":' * 150 + b"1" + b"}" * 150


@pytest.fixture
def things_path(cluster: controlplane.Cluster) -> str:
    """The path of a kind whose objects may be arbitrarily deep, also outside managedFields."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "things", "singular": "thing", "kind": "Thing"}
    spec = {"group": _GROUP, "scope": "Cluster", "names": names, "versions": [version]}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{_GROUP}"},
        "spec": spec,
    }
    cluster.admin.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).expect(201)
    path = f"/apis/{_GROUP}/v1/things"
    cluster.wait("the kind", lambda: cluster.admin.get(path).status == 200)
    return path


async def _list(path: str, kubeconfig: str) -> tuple[list[str], list[str], int]:
    """Return the names that were read, the names that were not, and the number of requests."""
    configuration, requests = client.Configuration(), list[Any]()
    await config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
    reader = gateway.Gateway(configuration, clock.ServerClock(), lambda *request: requests.append(request))
    try:
        pages = [page async for page in live.pages(reader, path)]
    finally:
        await reader.close()
    names = [item["metadata"]["name"] for page in pages for item in page.items]
    return names, [item.meta["name"] for page in pages for item in page.undecoded], len(requests)


async def test_a_list_goes_around_what_cannot_be_decoded(cluster: controlplane.Cluster, things_path: str) -> None:
    """Of 130 objects the first, a middle one and the last are 150 levels deep; the others are read in order."""
    names = [f"thing-{number:03}" for number in range(130)]
    deep_names = {names[0], names[70], names[129]}
    for name in names:
        body = {"apiVersion": f"{_GROUP}/v1", "kind": "Thing", "metadata": {"name": name}, "spec": "NEST"}
        nest = _NEST if name in deep_names else b"{}"
        cluster.admin.post(things_path, json.dumps(body).encode().replace(b'"NEST"', nest)).expect(201)
    names_read, undecoded, requests = await _list(things_path, str(cluster.kubeconfig))
    assert (names_read, undecoded) == ([name for name in names if name not in deep_names], sorted(deep_names))
    assert requests < 60
