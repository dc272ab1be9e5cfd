"""pod-size: no user can make a host-namespace pod so large that it has no room for its deletionTimestamp."""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.admission import objects, workbench
from tests.controlplane import api
from tests.controlplane import cluster as controlplane

Body = dict[str, Any]
MOST = 900_000
_numbers = itertools.count(1)
HOSTS = ("hostNetwork", "hostPID", "hostIPC")


@pytest.fixture(scope="module")
def pods_path(governed: controlplane.Cluster) -> str:
    """The path of the pods of a namespace without enforcement in which pod-size is in force."""
    governed.admin.post("/api/v1/namespaces", {"metadata": {"name": "pod-size"}}).expect(201)
    account = "/api/v1/namespaces/pod-size/serviceaccounts/default"
    governed.wait("its service account", lambda: governed.admin.get(account).status == 200)
    pods = "/api/v1/namespaces/pod-size/pods"
    large = pod(hostNetwork=True, args="x" * 1_000_000)
    governed.wait("pod-size", lambda: governed.admin.post(f"{pods}?dryRun=All", large).status == 403)
    return pods


@pytest.fixture(scope="module")
def tenant(governed: controlplane.Cluster, pods_path: str) -> api.Api:
    """A client of a user with every verb in that namespace."""
    return governed.api(governed.tenant("pod-size"))


@pytest.fixture(scope="module")
def controller(governed: controlplane.Cluster, pods_path: str) -> api.Api:
    """A client of a kube-system service account that may write all pods, as a controller would."""
    path = "/api/v1/namespaces/kube-system/serviceaccounts"
    governed.admin.post(path, {"metadata": {"name": "pod-writer"}}).expect(201, 409)
    rbac = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": "pod-writer"},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "kube-system", "name": "pod-writer"}],
    }
    governed.admin.post(f"/apis/{rbac}/v1/clusterrolebindings", binding).expect(201, 409)
    user = governed.service_account("kube-system", "pod-writer")
    governed.wait_for_right(user, {"resource": "pods", "verb": "create"})
    return governed.api(user)


def pod(args: str = "", metadata: Body | None = None, **spec: Any) -> Body:
    """Return a pod on a node that does not exist, so no kubelet runs the pod and a DELETE only marks it."""
    body = workbench.pod({"args": [args]}, **{"nodeName": "nowhere", **spec})
    body["metadata"] |= metadata or {}
    return body


def put_up(client: api.Api, pods_path: str, body: Body) -> str:
    answer = objects.ask(client, ("POST", pods_path, body, "application/json")).expect(201)
    return f"{pods_path}/{answer.body['metadata']['name']}"


def managed_fields(text: str) -> list[Body]:
    fields = {"f:metadata": {f"f:{text}": {}}}
    entry = {"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}
    return [entry]


def patch(client: api.Api, path: str, change: Body, content_type: str = api.MERGE) -> api.Response:
    return workbench.sound(objects.ask(client, ("PATCH", path, change, content_type)))


def refused(answer: api.Response, text: str = "at most 900000 bytes") -> str:
    return workbench.refused(answer, "pod-size: ", text)


def labels(size: int) -> Body:
    return {f"l{number:05d}-" + "k" * 56: "v" * 63 for number in range(size // 133)}


# Per way: the subresource, and a merge patch that makes a pod this many bytes larger.
WAYS: dict[str, tuple[str, Callable[[int], Body]]] = {
    "labels": ("", lambda size: {"metadata": {"labels": labels(size // 2)}}),  # their managedFields take the other half
    "managedFields": ("", lambda size: {"metadata": {"managedFields": managed_fields("x" * size)}}),
    "finalizers": ("", lambda size: {"metadata": {"finalizers": [f"a.b/{n:06}" for n in range(size // 40)]}}),
    "owners": ("", lambda size: {"metadata": {"ownerReferences": [{**objects.OWNERS[0], "name": "x" * size}]}}),
    "status": ("/status", lambda size: {"status": {"message": "x" * size}}),
}


@pytest.mark.parametrize("host", HOSTS)
def test_the_bound_is_reached_and_not_passed(pods_path: str, tenant: api.Api, host: str) -> None:
    """A pod of exactly 900,000 bytes is created and a pod with one byte more is refused, for each host namespace."""
    body = pod("x" * MOST, **{host: True})
    message = refused(tenant.post(f"{pods_path}?dryRun=All", body))
    beyond = int(re.findall(r"got (\d+) \(0 before\)", message)[0]) - MOST
    for size, status in ((MOST - beyond, 201), (MOST - beyond + 1, 403)):
        body["spec"]["containers"][0]["args"] = ["x" * size]
        objects.judge(tenant.post(f"{pods_path}?dryRun=All", body), status, size)


@pytest.mark.parametrize("part", WAYS)
def test_no_write_passes_the_bound(pods_path: str, tenant: api.Api, part: str) -> None:
    """Whatever part of the pod grows, a write well below the bound passes and a write beyond the bound is refused."""
    subresource, make_change = WAYS[part]
    path = put_up(tenant, pods_path, pod(hostNetwork=True))
    patch(tenant, path + subresource, make_change(800_000)).expect(200)
    refused(patch(tenant, path + subresource, make_change(1_300_000)))
    body = {**tenant.get(path).expect(200).body}
    for field, values in make_change(1_300_000).items():
        body[field] = {**body[field], **values}
    del body["metadata"]["resourceVersion"]
    refused(objects.ask(tenant, ("PUT", path + subresource, body, "application/json")))
    tenant.delete(path, {"gracePeriodSeconds": 0})


def test_ephemeral_containers_and_applies_are_bounded(pods_path: str, tenant: api.Api) -> None:
    """The bound applies to an ephemeral container, and to a server-side apply that creates or changes a pod."""
    path = put_up(tenant, pods_path, pod(hostNetwork=True))
    debugger = {"name": "debugger", "image": workbench.IMAGE, "args": ["x" * 950_000]}
    change = {"spec": {"ephemeralContainers": [debugger]}}
    refused(patch(tenant, f"{path}/ephemeralcontainers", change, api.STRATEGIC))
    identity = {"apiVersion": "v1", "kind": "Pod"}
    apply_body = {**identity, "metadata": {"labels": labels(600_000)}}
    refused(workbench.sound(tenant.apply(path, apply_body, "me")))
    body = pod("x" * 950_000, hostNetwork=True)
    refused(workbench.sound(tenant.apply(f"{pods_path}/{body['metadata']['name']}", body, "me")))


def test_a_large_pod_stays_shrinks_and_does_not_grow(pods_path: str, tenant: api.Api, controller: api.Api) -> None:
    """Beyond the bound, a user can keep or shrink the pod; controllers have another 50,000 bytes for their work."""
    annotations = {"a": "x" * 100_000}
    body = pod("x" * 800_000, {"annotations": annotations}, hostNetwork=True, nodeName="node-1")
    container = body["spec"]["containers"][0]
    container["resources"] = {"requests": {"cpu": "1"}}
    path = put_up(controller, pods_path, body)
    refused(patch(tenant, path, {"metadata": {"labels": {"own": "x"}}}))
    resize = {"spec": {"containers": [{"name": container["name"], "resources": {"requests": {"cpu": "1001m"}}}]}}
    refused(patch(tenant, f"{path}/resize", resize, api.STRATEGIC))
    for subresource in ("/status", "/resize"):  # these subresources ignore managedFields in a request
        patch(tenant, path + subresource, {"metadata": {"managedFields": managed_fields("x" * 500_000)}}).expect(200)
    refused(patch(tenant, path, {"metadata": {"managedFields": managed_fields("x" * 50_000)}}))
    patch(controller, f"{path}/status", {"metadata": {"labels": {"own": "x"}}}).expect(200)
    patch(tenant, path, {"metadata": {"labels": {"own": "y"}, "annotations": {"a": "x" * 99_000}}}).expect(200)
    refused(patch(tenant, path, {"metadata": {"annotations": {"a": "x" * 99_500}}}))
    refused(patch(controller, path, {"metadata": {"annotations": {"a": "x" * 180_000}}}), "at most 950000 bytes")
    patch(tenant, path, {"metadata": {"annotations": None, "labels": {"own": "z"}}}).expect(200)
    tenant.delete(path, {"gracePeriodSeconds": 0})


@pytest.mark.parametrize("collection", ["pods/{}/binding", "bindings"])
def test_a_binding_merges_no_more_than_there_is_room_for(pods_path: str, tenant: api.Api, collection: str) -> None:
    """A Binding's labels and annotations become the pod's, so the policy bounds them; an ordinary Binding passes."""
    path = put_up(tenant, pods_path, pod(hostNetwork=True, nodeName=None, schedulerName="nobody"))
    name = path.split("/")[-1]
    binding_path = pods_path.removesuffix("pods") + collection.format(name)
    target = {"target": {"apiVersion": "v1", "kind": "Node", "name": "nowhere"}}
    for metadata in ({"labels": labels(110_000)}, {"annotations": {"a": "x" * 110_000}}):
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, **metadata}, **target}
        refused(
            objects.ask(tenant, ("POST", binding_path, body, "application/json")),
            "the metadata of a Binding may have at most",
        )
    body["metadata"] = {"name": name, "annotations": {"a": "b"}, "labels": {"zone": "a"}}
    workbench.sound(tenant.post(binding_path, body)).expect(201)
    assert tenant.get(path).body["metadata"]["annotations"] == {"a": "b"}


@pytest.mark.parametrize("collection", ["pods/{}/binding", "bindings"])
@pytest.mark.parametrize("host", [{"hostNetwork": True}, {}], ids=["host network", "ordinary"])
def test_a_binding_makes_no_mirror_pod(pods_path: str, tenant: api.Api, collection: str, host: Body) -> None:
    """A Binding with the annotation of static pods is refused, for any value and any pod."""
    path = put_up(tenant, pods_path, pod(**host, nodeName=None, schedulerName="nobody"))
    name = path.split("/")[-1]
    binding_path = pods_path.removesuffix("pods") + collection.format(name)
    target = {"target": {"apiVersion": "v1", "kind": "Node", "name": "nowhere"}}
    for value in ("", "abc"):
        metadata = {"name": name, "annotations": {"a": "b", "kubernetes.io/config.mirror": value}}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, **target}
        refused(tenant.post(binding_path, body), "a Binding may not have the annotation kubernetes.io/config.mirror")
    assert "annotations" not in tenant.get(path).body["metadata"]


def test_ordinary_pods_are_left_alone(pods_path: str, tenant: api.Api) -> None:
    """Only the API server's limit applies to a pod without host namespaces.

    Usual writes of a host-namespace pod pass.
    """
    tenant.post(f"{pods_path}?dryRun=All", pod("x" * 1_200_000)).expect(201)
    path = put_up(tenant, pods_path, pod(hostNetwork=True))
    for subresource, change in (
        ("", {"metadata": {"labels": {"a": "b"}, "finalizers": ["example.com/a"]}}),
        ("/status", {"status": {"message": "m"}}),
        ("", {"metadata": {"finalizers": None}}),
    ):
        patch(tenant, path + subresource, change).expect(200)


def test_bytes_that_are_no_text_are_measured(pods_path: str, tenant: api.Api) -> None:
    """Each such byte counts as four characters: 60,000 pass, 240,000 are refused, and a later patch passes."""
    for size, status in ((60_000, 200), (240_000, 403)):
        mark = b"M" * size
        path = put_up(tenant, pods_path, pod("", {"annotations": {"a": mark.decode()}}, hostNetwork=True))
        body = tenant.protobuf(path).replace(mark, b"\xff" * size)
        objects.judge(tenant.request("PUT", path, body, api.PROTOBUF), status, size)
        patch(tenant, path, {"metadata": {"labels": {"a": "b"}}}).expect(200)


# Content that takes most room in etcd for its size: control characters in managedFields, arguments, labels.
DENSE: dict[str, Callable[[int], Body]] = {
    "control characters": lambda size: pod(
        "", {"managedFields": managed_fields("\x01" * (size // 4))}, hostNetwork=True
    ),
    "arguments": lambda size: pod("x" * size, hostNetwork=True),
    "labels": lambda size: pod("", {"labels": labels(size // 2)}, hostNetwork=True),
}


@pytest.mark.parametrize("what", DENSE)
def test_what_is_admitted_can_be_deleted(pods_path: str, tenant: api.Api, what: str) -> None:
    """A DELETE marks a pod at the bound with the largest Binding and content that takes most room in etcd."""
    body = DENSE[what](MOST - 8000)
    body["metadata"]["finalizers"] = ["example.com/kept"]
    body["spec"] |= {"nodeName": None, "schedulerName": "nobody"}
    path = put_up(tenant, pods_path, body)
    name = path.split("/")[-1]
    metadata = {"name": name, "annotations": {"a": "x" * 99_000}}
    target = {"apiVersion": "v1", "kind": "Node", "name": "nowhere"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
    tenant.post(f"{path}/binding", binding).expect(201)
    stored = len(tenant.protobuf(path))
    assert stored > (1_300_000 if what == "control characters" else 600_000)
    tenant.delete(path).expect(200)
    assert "deletionTimestamp" in tenant.get(path).body["metadata"]
    patch(tenant, path, {"metadata": {"finalizers": None}})
    tenant.delete(path, {"gracePeriodSeconds": 0})


def largest() -> Iterator[tuple[str, Body]]:
    """Yield pods as large as a request allows, 3 MiB."""
    yield "arguments", pod("x" * 2_900_000, hostNetwork=True)
    yield "escaped", pod("\x85" * 1_450_000, hostNetwork=True)
    yield "wide", pod("\U0001f600" * 700_000, hostNetwork=True)
    yield "empty labels", pod("", {"labels": {f"l{number}": "" for number in range(60_000)}}, hostNetwork=True)
    yield "finalizers", pod("", {"finalizers": [f"a.b/{n}" for n in range(60_000)]}, hostNetwork=True)
    yield "control characters", pod("", {"managedFields": managed_fields("\x01" * 450_000)}, hostNetwork=True)
    fields = {f"f:{number:06}": {} for number in range(90_000)}
    yield "managed keys", pod("", {"managedFields": [{**managed_fields("x")[0], "fieldsV1": fields}]}, hostNetwork=True)


def test_no_expression_fails_for_the_largest(governed: controlplane.Cluster, pods_path: str, tenant: api.Api) -> None:
    """The largest pods that fit into a request get 403, and no expression fails or exceeds the cost limit."""
    for description, body in largest():
        data = json.dumps(body, ensure_ascii=False).encode()
        objects.judge(
            objects.ask(tenant, ("POST", f"{pods_path}?dryRun=All", data, "application/json")), 403, description
        )
    encoded = json.dumps(
        pod("", {"managedFields": [{**managed_fields("x")[0], "fieldsV1": "@"}]}, hostNetwork=True)
    ).encode()
    body = encoded.replace(b'"@"', api.NEST)
    objects.judge(objects.ask(tenant, ("POST", f"{pods_path}?dryRun=All", body, "application/json")), 201, "a nest")
    assert objects.failures(governed) == []
