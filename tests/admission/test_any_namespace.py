"""No policy expression fails for any Namespace that the API server accepts: each write passes, or a rule answers 403.

So the answer to each write is known in advance, whatever the Namespace contains, whoever writes it and by which method.
"""

import dataclasses
import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from hostnetwork_operator.api import labels
from tests.admission import objects, workbench
from tests.admission.objects import GRANT, ROOM, Sort
from tests.controlplane import api, binary
from tests.controlplane import cluster as controlplane

MUTATES = binary.release().has("1.36")
NAMESPACES = "/api/v1/namespaces"
_numbers = itertools.count(1)

SORTS = {
    "nothing": lambda: Sort(),
    "the most annotations": lambda: Sort(annotations=objects.smallest(size=ROOM)),
    "control characters": lambda: Sort(annotations={"a": "\x01" * ROOM}),
    "texts of grants": lambda: Sort(annotations=objects.pretending(ROOM - 2000)),
    "60,000 labels": lambda: Sort(objects.smallest(60_000)),
    "the longest labels": lambda: Sort(objects.LONGEST),
    "look-alikes": lambda: Sort(objects.look_alikes(5000), objects.look_alikes(3000)),
    "many of ours": lambda: Sort(
        {f"{labels.GROUP}/l{number}": "" for number in range(2000)},
        {f"{GRANT}g{number}": "line" for number in range(2000)},
    ),
    "lists": lambda: Sort(metadata={"finalizers": objects.FINALIZERS, "ownerReferences": objects.OWNERS}),
}
LARGEST = {
    "as many labels as etcd stores": lambda: Sort(objects.smallest(150_000)),
    "labels and annotations": lambda: Sort(objects.smallest(50_000), objects.smallest(50_000)),
}
if objects.FUZZ > objects.SLICE:
    SORTS |= LARGEST

BASE = {
    labels.ENFORCEMENT: "Deny",
    labels.GUARD: "baseline",
    labels.PSA_ENFORCE: "privileged",
    labels.PSA_AUDIT: "restricted",
    labels.PSA_VERSIONS[0]: "latest",
    "team": "a",
}
NOTES = {GRANT + "a": "line", labels.LEVEL_BEFORE: "", "note": "b"}
Change = dict[str, Any]  # to metadata, in the form of a merge patch
HONEST: dict[str, Change] = {
    "a label of his own": {"labels": {"own": "x"}},
    "another value of it": {"labels": {"team": "b"}},
    "no label of his own": {"labels": {"team": None}},
    "an annotation of his own": {"annotations": {"own": "x", f"b/{'c' * 63}": f'"{GRANT}other":"x'}},
    "no annotation of his own": {"annotations": {"note": None}},
    "both": {"labels": {"team": None, "own": "x"}, "annotations": {"note": "c"}},
    "a tighter level": {"labels": {labels.PSA_ENFORCE: "baseline"}},
    "a finalizer": {"finalizers": ["example.com/held"]},
    "nothing": {},
}
FORGED: dict[str, Change] = {
    "another enforcement": {"labels": {labels.ENFORCEMENT: "Audit"}},
    "no enforcement": {"labels": {labels.ENFORCEMENT: None}},
    "no guard, and a label of his own": {"labels": {labels.GUARD: None, "own": "x"}},
    "another label of ours": {"labels": {f"{labels.GROUP}/zz": "x"}},
    "a grant": {"annotations": {GRANT + "mine": "line"}},
    "another line": {"annotations": {GRANT + "a": "other"}},
    "no grant, and an annotation of his own": {"annotations": {GRANT + "a": None, "own": "x"}},
    "no note": {"annotations": {labels.LEVEL_BEFORE: None}},
    "another note": {"annotations": {f"{labels.GROUP}/zz": "x"}},
    "a looser level": {"labels": {labels.PSA_AUDIT: "baseline"}},
    "no level": {"labels": {labels.PSA_ENFORCE: None}},
    "an older version": {"labels": {labels.PSA_VERSIONS[0]: "v1.30"}},
    "no labels": {"labels": None},
    "no annotations": {"annotations": None},
}
WORK: dict[str, Change] = {
    "a restore": {"labels": {labels.PSA_ENFORCE: "baseline"}, "annotations": {GRANT + "a": None}},
    "the next grant": {"annotations": {GRANT + "next": "line"}},
    "a note": {"annotations": {labels.HELD_BY: "x", labels.LEVEL_BEFORE: None}},
    "out of it": {
        "labels": dict.fromkeys((labels.ENFORCEMENT, labels.GUARD, labels.PSA_ENFORCE, labels.PSA_AUDIT)),
        "annotations": {GRANT + "a": None, labels.LEVEL_BEFORE: None},
    },
}
STOLEN: dict[str, Change] = {
    "a label of others": {"labels": {"own": "x"}},
    "no label of others": {"labels": {"team": None, labels.PSA_WARN: "baseline"}},
    "an annotation of others": {"annotations": {"own": "x", GRANT + "a": None}},
    "no annotation of others": {"annotations": {"note": None}},
    "a finalizer": {"finalizers": ["example.com/held"]},
}
WAYS = ("merge patch", "strategic patch", "replace", "apply", "status", "replace status", "finalize")


@dataclasses.dataclass(frozen=True)
class Case:
    """A change to a Namespace by an actor, by one method, with the expected status of the answer."""

    actor: str
    way: str
    name: str
    change: Change
    status: int


def _cases() -> Iterator[Case]:
    for method, changes in itertools.product(WAYS, (HONEST, FORGED)):
        for name, change in changes.items():
            if method == "apply" and not _only_adds(change):
                continue
            # Only the namespace controller and holders of setlevel may write /finalize.
            # labels-kept restores the operator's labels
            restored = name == "no labels" and binary.release().has("1.36")
            status = 200 if (changes is HONEST or restored) and method != "finalize" else 403
            yield Case("tenant", method, name, change, status)
            yield Case("creator", method, name, change, status)
            yield Case("setlevel", method, name, change, 200)
    for method, changes in itertools.product(("merge patch", "replace", "status"), (WORK, STOLEN)):
        for name, change in changes.items():
            yield Case("operator", method, name, change, 200 if changes is WORK and method != "status" else 403)


def _only_adds(change: Change) -> bool:
    return bool(change) and all(isinstance(values, dict) and None not in values.values() for values in change.values())


CASES = tuple(_cases())
BOUNDS = {"labels": 200, "annotations": 500, "finalizers": 50, "ownerReferences": 50}  # namespace-size


def _too_large(metadata: dict[str, Any], before: dict[str, Any]) -> bool:
    """Return whether the metadata exceeds a bound of namespace-size and has grown."""
    sizes = {field: len(metadata.get(field) or ()) for field in BOUNDS}
    return any(sizes[field] > max(most, len(before.get(field) or ())) for field, most in BOUNDS.items())


def expected(case: Case, before: dict[str, Any]) -> int:
    """Return the expected status of the answer to a case, given the metadata before the change.

    Only holders of setlevel may let metadata grow beyond the bounds.
    """
    after = dict(before)
    for field, values in case.change.items():
        if isinstance(values, dict):
            merged = {**before.get(field, {}), **values}
            after[field] = {key: value for key, value in merged.items() if value is not None}
        elif case.way == "strategic patch" and isinstance(values, list):
            after[field] = [*before.get(field, []), *values]
        else:
            after[field] = values
    bound = case.actor in {"tenant", "creator"}
    return 403 if bound and _too_large(after, before) else case.status


def request(case: Case, path: str, body: dict[str, Any]) -> objects.Request:
    """Return the method, path, body and content type of a case in a dry run; `body` is the current Namespace."""
    patch = {"metadata": case.change}
    new_body = {**body, "metadata": {**body["metadata"], **case.change}}
    for field in ("labels", "annotations"):
        if isinstance(case.change.get(field), dict):
            merged = {**body["metadata"].get(field, {}), **case.change[field]}
            new_body["metadata"][field] = {key: value for key, value in merged.items() if value is not None}
    del new_body["metadata"]["resourceVersion"]  # controllers write the object too
    apply_body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": body["metadata"]["name"], **case.change},
    }
    json = "application/json"
    return {
        "merge patch": ("PATCH", f"{path}?dryRun=All", patch, api.MERGE),
        "strategic patch": ("PATCH", f"{path}?dryRun=All", patch, api.STRATEGIC),
        "replace": ("PUT", f"{path}?dryRun=All", new_body, json),
        "apply": ("PATCH", f"{path}?dryRun=All&fieldManager=me&force=true", apply_body, api.APPLY),
        "status": ("PATCH", f"{path}/status?dryRun=All", patch, api.MERGE),
        "replace status": ("PUT", f"{path}/status?dryRun=All", new_body, json),
        "finalize": ("PUT", f"{path}/finalize?dryRun=All", new_body, json),
    }[case.way]


@pytest.fixture(scope="module")
def policy_cluster(request: pytest.FixtureRequest) -> controlplane.Cluster:
    """A cluster with all policies; if the API server has no mutating policies, with the validating policies only."""
    cluster: controlplane.Cluster = request.getfixturevalue("full_cluster" if MUTATES else "governed")
    return cluster


@pytest.fixture(scope="module")
def actors(policy_cluster: controlplane.Cluster) -> dict[str, api.Api]:
    """Clients of the actors that write namespaces, except the tenant, who is a different user per namespace."""
    resources = "namespaces,namespaces/status,namespaces/finalize"
    verbs = ("get", "create", "update", "patch", "delete")
    users = {
        "creator": workbench.may(policy_cluster, "any-creator", resources, *verbs),
        "setlevel": workbench.may(policy_cluster, "any-setlevel", resources, *verbs, "setlevel"),
        "operator": workbench.operator(policy_cluster),
    }
    for user in users.values():
        policy_cluster.wait_for_right(user, {"resource": "namespaces", "subresource": "status", "verb": "patch"})
    return {name: policy_cluster.api(user) for name, user in users.items()}


@pytest.mark.alone
@pytest.mark.parametrize("sort", SORTS)
def test_whatever_is_on_a_namespace_each_write_has_its_answer(
    policy_cluster: controlplane.Cluster, actors: dict[str, api.Api], sort: str
) -> None:
    """Ordinary work passes; a write that decides about host namespaces gets 403, from any actor and by any method."""
    name = f"any-{next(_numbers)}"
    path = f"{NAMESPACES}/{name}"
    contents = SORTS[sort]()
    metadata = {"name": name, "labels": BASE, "annotations": NOTES, **contents.metadata}
    policy_cluster.admin.post(NAMESPACES, {"metadata": metadata}).expect(201)
    objects.fill(policy_cluster.admin, path, "labels", contents.labels)
    objects.fill(policy_cluster.admin, path, "annotations", contents.annotations)
    body = policy_cluster.admin.get(path).expect(200).body
    clients = {**actors, "tenant": policy_cluster.api(policy_cluster.tenant(name))}
    randomness = random.Random(f"{objects.SEED} {sort}")
    candidates = [case for case in CASES if case.way != "apply" or not contents.stepwise]
    for case in randomness.sample(candidates, min(contents.draws, len(candidates))):
        status = expected(case, body["metadata"])
        objects.judge(objects.ask(clients[case.actor], request(case, path, body)), status, (sort, case))
    assert objects.failures(policy_cluster) == []
    objects.judge(clients["tenant"].delete(f"{path}?dryRun=All"), 200, (sort, "delete"))


@pytest.mark.alone
@pytest.mark.parametrize("sort", [sort for sort, make in SORTS.items() if not make().stepwise])
def test_whatever_a_namespace_is_created_with_there_is_an_answer(
    policy_cluster: controlplane.Cluster, actors: dict[str, api.Api], sort: str
) -> None:
    """A creator's namespace is enforced from its creation, also by apply or with a generated name.

    The API server refuses a namespace that is created with a grant. Only a holder of setlevel may create a namespace
    beyond the bounds of namespace-size.
    """
    contents = SORTS[sort]()
    metadata = {"labels": contents.labels, "annotations": contents.annotations, **contents.metadata}
    status = 403 if sort == "many of ours" or _too_large(metadata, {}) else 201
    answer = objects.ask(actors["setlevel"], _create_request({**metadata, "generateName": "any-"}))
    objects.judge(answer, 201, (sort, "setlevel"))
    with_grant = {**metadata, "annotations": {**contents.annotations, GRANT + "mine": "line"}}
    answer = objects.ask(actors["creator"], _create_request({**metadata, "generateName": "any-"}))
    objects.judge(answer, status, (sort, "generateName"))
    if MUTATES and status == 201:
        assert answer.body["metadata"]["labels"][labels.ENFORCEMENT] == "Deny"
    objects.judge(
        objects.ask(actors["creator"], _create_request({**with_grant, "name": "any-new"})), 403, (sort, "hidden")
    )
    if not contents.heavy:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {**metadata, "name": "any-new"}}
        apply_request = ("PATCH", f"{NAMESPACES}/any-new?dryRun=All&fieldManager=me", body, api.APPLY)
        objects.judge(objects.ask(actors["creator"], apply_request), status, (sort, "apply"))
    assert objects.failures(policy_cluster) == []


def _create_request(metadata: dict[str, Any]) -> objects.Request:
    return "POST", f"{NAMESPACES}?dryRun=All", {"metadata": metadata}, "application/json"


ODD: dict[str, dict[str, Any]] = {
    "no labels, no annotations": {"labels": None, "annotations": None},
    "empty maps and lists": {"labels": {}, "annotations": {}, "finalizers": [], "ownerReferences": []},
    "lists that are null": {"finalizers": None, "ownerReferences": None, "managedFields": None},
    "managedFields emptied": {"managedFields": [{}]},
    "elements twice": {"finalizers": ["example.com/a", "example.com/a"]},
    "texts with quotes": {"annotations": {"a": '"', "b": '\\"', "c": "\\", "d": "}", "e": " ", "f": '{"', "g": ""}},
    "texts with lines": {"annotations": {"a": f'\n "{GRANT}mine":"x"\n', "b": "\u2028\U0001f600\ufffd\u0000x"}},
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_metadata_is_no_trouble(policy_cluster: controlplane.Cluster, actors: dict[str, api.Api], odd: str) -> None:
    """Beside absent, null and empty fields, repeated elements and any text, a tenant can label but not grant."""
    name = f"odd-{next(_numbers)}"
    path = f"{NAMESPACES}/{name}"
    objects.judge(actors["creator"].post(NAMESPACES, {"metadata": {"name": name, **ODD[odd]}}), 201, odd)
    tenant = policy_cluster.api(policy_cluster.tenant(name))
    for change, status in (({"labels": {"own": "x"}}, 200), ({"annotations": {GRANT + "mine": "x"}}, 403)):
        for url in (path, f"{path}/status"):
            objects.judge(tenant.patch(f"{url}?dryRun=All", {"metadata": change}), status, (odd, change))
            body = policy_cluster.admin.get(path).expect(200).body
            del body["metadata"]["resourceVersion"]  # controllers write the object too
            for field, values in change.items():
                body["metadata"].setdefault(field, {}).update(values)
            objects.judge(tenant.put(f"{url}?dryRun=All", body), status, (odd, change))
    assert objects.failures(policy_cluster) == []
