"""namespace-size: only a holder of `setlevel` can make a Namespace too large for the operator to write."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from hostnetwork_operator.api import labels
from tests.admission import objects, workbench
from tests.controlplane import api
from tests.controlplane import cluster as controlplane

NAMESPACES = "/api/v1/namespaces"
Body = dict[str, Any]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def policy_cluster(governed: controlplane.Cluster) -> controlplane.Cluster:
    """A cluster on which namespace-size is in force."""
    creator = governed.api(workbench.may(governed, "size-prober", "namespaces", "create"))
    large = {"metadata": {"name": "probe", "labels": objects.smallest(201)}}
    governed.wait("namespace-size", lambda: creator.post(f"{NAMESPACES}?dryRun=All", large).status == 403)
    return governed


@pytest.fixture(scope="module")
def creator(policy_cluster: controlplane.Cluster) -> api.Api:
    """A user who may write every Namespace, without `setlevel`."""
    return _user(policy_cluster, "size-creator")


def _user(policy_cluster: controlplane.Cluster, name: str, *more: str) -> api.Api:
    resources = "namespaces,namespaces/status,namespaces/finalize"
    user = workbench.may(policy_cluster, name, resources, "get", "create", "update", "patch", "delete", *more)
    policy_cluster.wait_for_right(user, {"resource": "namespaces", "subresource": "status", "verb": "patch"})
    return policy_cluster.api(user)


def _owners(count: int, size: int = 0) -> list[Body]:
    return [{**objects.OWNERS[number], "name": f"o{number}" + "x" * size} for number in range(count)]


def _conditions(count: int, size: int = 0) -> list[Body]:
    return [{"type": f"T{number}", "status": "True", "message": "x" * size} for number in range(count)]


@dataclasses.dataclass(frozen=True)
class Bound:
    """A bound of namespace-size: how to build a change of a given size, where to write it, and the refusal's text."""

    most: int
    make: Callable[[int], Body]
    text: str
    at: str = ""
    born: bool = True  # whether a Namespace can be created with it


BOUNDS = {
    "labels": Bound(199, lambda n: {"metadata": {"labels": objects.smallest(n)}}, "200 labels"),
    "annotations": Bound(500, lambda n: {"metadata": {"annotations": objects.smallest(n)}}, "500 annotations"),
    "finalizers": Bound(50, lambda n: {"metadata": {"finalizers": objects.FINALIZERS[:n]}}, "50 metadata.finalizers"),
    "owners": Bound(50, lambda n: {"metadata": {"ownerReferences": _owners(n)}}, "50 ownerReferences"),
    "long owners": Bound(
        49_870, lambda n: {"metadata": {"ownerReferences": _owners(1, n)}}, "at most 50,000 characters"
    ),
    "conditions": Bound(
        50, lambda n: {"status": {"conditions": _conditions(n)}}, "50 status.conditions", "/status", born=False
    ),
    "long conditions": Bound(
        199_900,
        lambda n: {"status": {"conditions": _conditions(1, n)}},
        "at most 200,000 characters",
        "/status",
        born=False,
    ),
}
# The measured text also contains quotes and field names, which the tests do not count. So these tests exceed the bound
# clearly.
_MORE = {"long owners": 200, "long conditions": 200}


def beyond(name: str) -> int:
    return BOUNDS[name].most + _MORE.get(name, 1)


def create_namespace(policy_cluster: controlplane.Cluster, body: Body | None = None, subresource: str = "") -> str:
    """Create a Namespace with this content, written by an administrator, and return its path."""
    path = f"{NAMESPACES}/size-{next(_numbers)}"
    policy_cluster.admin.post(NAMESPACES, {"metadata": {"name": path.split("/")[-1]}}).expect(201)
    if body is not None:
        policy_cluster.admin.patch(path + subresource, body).expect(200)
    return path


@pytest.mark.parametrize("name", BOUNDS)
def test_each_bound_is_reached_and_not_passed(
    policy_cluster: controlplane.Cluster, creator: api.Api, name: str
) -> None:
    """A write at the bound passes.

    Beyond the bound, a creator and a tenant are refused, by patch, replacement and creation.
    """
    bound = BOUNDS[name]
    path = create_namespace(policy_cluster)
    tenant = policy_cluster.api(policy_cluster.tenant(path.split("/")[-1]))
    for client in (creator, tenant):
        workbench.sound(client.patch(path + bound.at, bound.make(bound.most))).expect(200)
        refused(client.patch(path + bound.at, bound.make(beyond(name))), bound.text)
        body = policy_cluster.admin.get(path).expect(200).body
        for field, values in bound.make(beyond(name)).items():
            for key, value in values.items():
                current = body[field].get(key)
                body[field][key] = {**current, **value} if isinstance(current, dict) else value
        del body["metadata"]["resourceVersion"]  # controllers write the object too
        refused(client.put(path + bound.at, body), bound.text)
    if bound.born:
        new_body = bound.make(beyond(name))
        new_body["metadata"]["generateName"] = "size-"
        refused(creator.post(f"{NAMESPACES}?dryRun=All", new_body), bound.text)


def refused(answer: api.Response, text: str) -> None:
    workbench.refused(answer, "namespace-size: ", text)


@pytest.mark.parametrize("name", BOUNDS)
def test_a_larger_one_stays_or_shrinks(policy_cluster: controlplane.Cluster, creator: api.Api, name: str) -> None:
    """Beyond the bound, after an administrator's write, a user can keep or shrink the content and change the rest.

    The content cannot grow.
    """
    bound = BOUNDS[name]
    size = beyond(name) + _MORE.get(name, 1)
    path = create_namespace(policy_cluster, bound.make(size), bound.at)
    refused(creator.patch(path + bound.at, bound.make(size + 1)), bound.text)
    creator.patch(path, {"metadata": {"labels": {"0": ""}, "annotations": {"0": ""}}}).expect(200)
    workbench.sound(creator.patch(path + bound.at, bound.make(size))).expect(200)
    body = policy_cluster.admin.get(path).expect(200).body
    del body["metadata"]["resourceVersion"]
    for field, values in bound.make(beyond(name)).items():
        body[field].update(values)
    workbench.sound(creator.put(path + bound.at, body)).expect(200)


def test_an_ordinary_namespace_is_never_refused(policy_cluster: controlplane.Cluster, creator: api.Api) -> None:
    """A namespace with 64 grants, 100 labels and 100 long annotations can be created, written and deleted."""
    grants = {f"{labels.GRANT_PREFIX}g{number}": "line" * 100 for number in range(64)}
    annotations = {f"field.cattle.io/{number}": '{"a": "b\\n\u00e4\u4e2d\U0001f600"}\n\t' * 20 for number in range(100)}
    values = {f"example.com/l{number}": "v" * 63 for number in range(100)}
    path = f"{NAMESPACES}/ordinary"
    metadata = {"name": "ordinary", "labels": values, "annotations": annotations, "finalizers": ["example.com/a"]}
    metadata["ownerReferences"] = _owners(3)
    creator.post(NAMESPACES, {"metadata": metadata}).expect(201)
    policy_cluster.admin.patch(path, {"metadata": {"annotations": grants}}).expect(200)
    tenant = policy_cluster.api(policy_cluster.tenant("ordinary"))
    for client in (tenant, creator):
        for subresource in ("", "/status"):
            client.patch(
                path + subresource, {"metadata": {"labels": {"a": "b"}, "annotations": {"a": subresource}}}
            ).expect(200)
    tenant.delete(path).expect(200)
    tenant.patch(path, {"metadata": {"finalizers": []}}).expect(200)
    policy_cluster.wait("it is gone", lambda: policy_cluster.admin.get(path).status == 404)


def test_spec_finalizers_are_bounded(policy_cluster: controlplane.Cluster, creator: api.Api) -> None:
    """A Namespace may be created with at most 50 spec.finalizers, one of them from the API server.

    Users cannot write /finalize.
    """
    for count in (49, 50):
        body = {"metadata": {"generateName": "size-"}, "spec": {"finalizers": objects.FINALIZERS[:count]}}
        answer = workbench.sound(creator.post(f"{NAMESPACES}?dryRun=All", body))
        if count == 49:
            answer.expect(201)
        else:
            refused(answer, "50 spec.finalizers, got 51 (0 before)")
    path = create_namespace(policy_cluster)
    body = policy_cluster.admin.get(path).expect(200).body
    body["spec"]["finalizers"] += objects.FINALIZERS[:50]
    workbench.refused(creator.put(f"{path}/finalize?dryRun=All", body))
    policy_cluster.admin.put(f"{path}/finalize?dryRun=All", body).expect(200)


def test_bytes_that_are_no_text_are_refused(policy_cluster: controlplane.Cluster, creator: api.Api) -> None:
    """A user cannot write bytes that are not UTF-8 into annotations; if such bytes exist, any other write passes."""
    path = create_namespace(policy_cluster, {"metadata": {"annotations": {"bytes": objects.MARKER}}})
    with pytest.raises(AssertionError, match="annotations of a Namespace must be UTF-8"):
        objects.spoil(creator, path)
    objects.spoil(policy_cluster.admin, path)
    body = creator.protobuf(path)
    assert creator.request("PUT", path, body, api.PROTOBUF).status == 200
    creator.patch(f"{path}?dryRun=All", {"metadata": {"annotations": {"note": "x"}}}).expect(200)
    creator.patch(f"{path}/status?dryRun=All", {"metadata": {"labels": {"a": "b"}}}).expect(200)


LARGE: Body = {
    "metadata": {
        "labels": objects.smallest(300),
        "annotations": objects.smallest(600),
        "finalizers": objects.FINALIZERS[:60],
        "ownerReferences": _owners(60),
    }
}


def test_the_operator_and_holders_of_setlevel_write_what_they_need(policy_cluster: controlplane.Cluster) -> None:
    """The bounds do not apply to the operator and holders of setlevel, in creation, patch and status."""
    path = create_namespace(policy_cluster)
    holder = _user(policy_cluster, "size-setlevel", "setlevel")
    workbench.sound(holder.patch(path, LARGE)).expect(200)
    holder.patch(f"{path}/status", {"status": {"conditions": _conditions(60, 4000)}}).expect(200)
    holder.post(f"{NAMESPACES}?dryRun=All", {"metadata": {**LARGE["metadata"], "name": "large"}}).expect(201)
    operator = policy_cluster.api(workbench.operator(policy_cluster))
    full_path = create_namespace(
        policy_cluster, {"metadata": {"annotations": objects.smallest(500), "labels": objects.smallest(200)}}
    )
    work = {
        "labels": {labels.ENFORCEMENT: "Deny", labels.PSA_ENFORCE: "baseline", labels.GUARD: "baseline"},
        "annotations": {f"{labels.GRANT_PREFIX}g{number}": "line" for number in range(64)},
    }
    policy_cluster.wait_for_right(workbench.operator(policy_cluster), {"resource": "namespaces", "verb": "patch"})
    workbench.sound(operator.patch(full_path, {"metadata": work})).expect(200)


def test_what_ends_a_namespace_is_never_refused(policy_cluster: controlplane.Cluster, creator: api.Api) -> None:
    """In a terminating namespace, finalizers can be removed one by one, and the policy does not measure writes."""
    path = create_namespace(policy_cluster, LARGE)
    creator.delete(path).expect(200)
    creator.patch(path, {"metadata": {"labels": {"more": "x"}, "finalizers": objects.FINALIZERS[:59]}}).expect(200)
    creator.patch(path, {"metadata": {"finalizers": []}}).expect(200)
    policy_cluster.wait("it is gone", lambda: policy_cluster.admin.get(path).status == 404)


@pytest.mark.parametrize("name", objects.LARGEST)
def test_no_expression_fails_for_the_largest(policy_cluster: controlplane.Cluster, creator: api.Api, name: str) -> None:
    """Beside as much metadata as the API server stores, a change passes and growth is refused within the cost limit."""
    path = create_namespace(policy_cluster)
    objects.enlarge(policy_cluster.admin, path, name)
    field = name if name != "owners" else "ownerReferences"
    now = policy_cluster.admin.get(path).expect(200).body["metadata"][field]
    grown: Any = [*now, objects.OWNERS[1]] if name == "owners" else {"new.example.com/x": "x"}
    grown = [*now, "example.com/x"] if name == "finalizers" else grown
    objects.judge(objects.ask(creator, ("PATCH", path, {"metadata": {field: grown}}, api.MERGE)), 403, name)
    unrelated = {"metadata": {"labels": {"0": "x"}} if name == "labels" else {"annotations": {"0": "x"}}}
    if name in {"owners", "finalizers"}:
        unrelated["metadata"][field] = now[:-1]  # type: ignore[assignment]
    objects.judge(objects.ask(creator, ("PATCH", path, unrelated, api.MERGE)), 200, name)
    assert objects.failures(policy_cluster) == []
