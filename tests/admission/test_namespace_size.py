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
def policed(governed: controlplane.Cluster) -> controlplane.Cluster:
    """A cluster on which namespace-size is in force."""
    creator = governed.api(workbench.may(governed, "size-prober", "namespaces", "create"))
    large = {"metadata": {"name": "probe", "labels": objects.smallest(201)}}
    governed.wait("namespace-size", lambda: creator.post(f"{NAMESPACES}?dryRun=All", large).status == 403)
    return governed


@pytest.fixture(scope="module")
def creator(policed: controlplane.Cluster) -> api.Api:
    """A user who may write every Namespace, without `setlevel`."""
    return _user(policed, "size-creator")


def _user(policed: controlplane.Cluster, name: str, *more: str) -> api.Api:
    resources = "namespaces,namespaces/status,namespaces/finalize"
    user = workbench.may(policed, name, resources, "get", "create", "update", "patch", "delete", *more)
    policed.wait_for_right(user, {"resource": "namespaces", "subresource": "status", "verb": "patch"})
    return policed.api(user)


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


def made(policed: controlplane.Cluster, body: Body | None = None, at: str = "") -> str:
    """Create a Namespace with this content, written by an administrator, and return its path."""
    path = f"{NAMESPACES}/size-{next(_numbers)}"
    policed.admin.post(NAMESPACES, {"metadata": {"name": path.split("/")[-1]}}).expect(201)
    if body is not None:
        policed.admin.patch(path + at, body).expect(200)
    return path


@pytest.mark.parametrize("name", BOUNDS)
def test_each_bound_is_reached_and_not_passed(policed: controlplane.Cluster, creator: api.Api, name: str) -> None:
    """A write at the bound passes.

    Beyond the bound, a creator and a tenant are refused, by patch, replacement and creation.
    """
    bound = BOUNDS[name]
    path = made(policed)
    tenant = policed.api(policed.tenant(path.split("/")[-1]))
    for client in (creator, tenant):
        workbench.sound(client.patch(path + bound.at, bound.make(bound.most))).expect(200)
        refused(client.patch(path + bound.at, bound.make(beyond(name))), bound.text)
        whole = policed.admin.get(path).expect(200).body
        for field, values in bound.make(beyond(name)).items():
            for key, value in values.items():
                given = whole[field].get(key)
                whole[field][key] = {**given, **value} if isinstance(given, dict) else value
        del whole["metadata"]["resourceVersion"]  # controllers write the object too
        refused(client.put(path + bound.at, whole), bound.text)
    if bound.born:
        born = bound.make(beyond(name))
        born["metadata"]["generateName"] = "size-"
        refused(creator.post(f"{NAMESPACES}?dryRun=All", born), bound.text)


def refused(answer: api.Response, text: str) -> None:
    workbench.refused(answer, "namespace-size: ", text)


@pytest.mark.parametrize("name", BOUNDS)
def test_a_larger_one_stays_or_shrinks(policed: controlplane.Cluster, creator: api.Api, name: str) -> None:
    """Beyond the bound, after an administrator's write, a user can keep or shrink the content and change the rest.

    The content cannot grow.
    """
    bound = BOUNDS[name]
    much = beyond(name) + _MORE.get(name, 1)
    path = made(policed, bound.make(much), bound.at)
    refused(creator.patch(path + bound.at, bound.make(much + 1)), bound.text)
    creator.patch(path, {"metadata": {"labels": {"0": ""}, "annotations": {"0": ""}}}).expect(200)
    workbench.sound(creator.patch(path + bound.at, bound.make(much))).expect(200)
    body = policed.admin.get(path).expect(200).body
    del body["metadata"]["resourceVersion"]
    for field, values in bound.make(beyond(name)).items():
        body[field].update(values)
    workbench.sound(creator.put(path + bound.at, body)).expect(200)


def test_an_ordinary_namespace_is_never_refused(policed: controlplane.Cluster, creator: api.Api) -> None:
    """A namespace with 64 grants, 100 labels and 100 long annotations can be created, written and deleted."""
    grants = {f"{labels.GRANT_PREFIX}g{number}": "line" * 100 for number in range(64)}
    notes = {f"field.cattle.io/{number}": '{"a": "b\\n\u00e4\u4e2d\U0001f600"}\n\t' * 20 for number in range(100)}
    values = {f"example.com/l{number}": "v" * 63 for number in range(100)}
    path = f"{NAMESPACES}/ordinary"
    metadata = {"name": "ordinary", "labels": values, "annotations": notes, "finalizers": ["example.com/a"]}
    metadata["ownerReferences"] = _owners(3)
    creator.post(NAMESPACES, {"metadata": metadata}).expect(201)
    policed.admin.patch(path, {"metadata": {"annotations": grants}}).expect(200)
    tenant = policed.api(policed.tenant("ordinary"))
    for client in (tenant, creator):
        for at in ("", "/status"):
            client.patch(path + at, {"metadata": {"labels": {"a": "b"}, "annotations": {"a": at}}}).expect(200)
    tenant.delete(path).expect(200)
    tenant.patch(path, {"metadata": {"finalizers": []}}).expect(200)
    policed.wait("it is gone", lambda: policed.admin.get(path).status == 404)


def test_spec_finalizers_are_bounded(policed: controlplane.Cluster, creator: api.Api) -> None:
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
    path = made(policed)
    body = policed.admin.get(path).expect(200).body
    body["spec"]["finalizers"] += objects.FINALIZERS[:50]
    workbench.refused(creator.put(f"{path}/finalize?dryRun=All", body))
    policed.admin.put(f"{path}/finalize?dryRun=All", body).expect(200)


def test_bytes_that_are_no_text_are_refused(policed: controlplane.Cluster, creator: api.Api) -> None:
    """A user cannot write bytes that are not UTF-8 into annotations; if such bytes exist, any other write passes."""
    path = made(policed, {"metadata": {"annotations": {"bytes": objects.MARKER}}})
    with pytest.raises(AssertionError, match="annotations of a Namespace must be UTF-8"):
        objects.spoil(creator, path)
    objects.spoil(policed.admin, path)
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


def test_the_operator_and_holders_of_setlevel_write_what_they_need(policed: controlplane.Cluster) -> None:
    """The bounds do not apply to the operator and holders of setlevel, in creation, patch and status."""
    path = made(policed)
    holder = _user(policed, "size-setlevel", "setlevel")
    workbench.sound(holder.patch(path, LARGE)).expect(200)
    holder.patch(f"{path}/status", {"status": {"conditions": _conditions(60, 4000)}}).expect(200)
    holder.post(f"{NAMESPACES}?dryRun=All", {"metadata": {**LARGE["metadata"], "name": "large"}}).expect(201)
    operator = policed.api(workbench.operator(policed))
    full = made(policed, {"metadata": {"annotations": objects.smallest(500), "labels": objects.smallest(200)}})
    work = {
        "labels": {labels.ENFORCEMENT: "Deny", labels.PSA_ENFORCE: "baseline", labels.GUARD: "baseline"},
        "annotations": {f"{labels.GRANT_PREFIX}g{number}": "line" for number in range(64)},
    }
    policed.wait_for_right(workbench.operator(policed), {"resource": "namespaces", "verb": "patch"})
    workbench.sound(operator.patch(full, {"metadata": work})).expect(200)


def test_what_ends_a_namespace_is_never_refused(policed: controlplane.Cluster, creator: api.Api) -> None:
    """In a terminating namespace, finalizers can be removed one by one, and the policy does not measure writes."""
    path = made(policed, LARGE)
    creator.delete(path).expect(200)
    creator.patch(path, {"metadata": {"labels": {"more": "x"}, "finalizers": objects.FINALIZERS[:59]}}).expect(200)
    creator.patch(path, {"metadata": {"finalizers": []}}).expect(200)
    policed.wait("it is gone", lambda: policed.admin.get(path).status == 404)


@pytest.mark.parametrize("name", objects.LARGEST)
def test_no_expression_fails_for_the_largest(policed: controlplane.Cluster, creator: api.Api, name: str) -> None:
    """Beside as much metadata as the API server stores, a change passes and growth is refused within the cost limit."""
    path = made(policed)
    objects.enlarge(policed.admin, path, name)
    field = name if name != "owners" else "ownerReferences"
    now = policed.admin.get(path).expect(200).body["metadata"][field]
    more: Any = [*now, objects.OWNERS[1]] if name == "owners" else {"new.example.com/x": "x"}
    more = [*now, "example.com/x"] if name == "finalizers" else more
    objects.judge(objects.ask(creator, ("PATCH", path, {"metadata": {field: more}}, api.MERGE)), 403, name)
    other = {"metadata": {"labels": {"0": "x"}} if name == "labels" else {"annotations": {"0": "x"}}}
    if name in {"owners", "finalizers"}:
        other["metadata"][field] = now[:-1]  # type: ignore[assignment]
    objects.judge(objects.ask(creator, ("PATCH", path, other, api.MERGE)), 200, name)
    assert objects.failures(policed) == []
