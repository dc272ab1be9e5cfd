"""No policy expression fails for any exception or policy object: each write passes, or a rule answers 403."""

import itertools
from typing import Any

import pytest

from hostnetwork_operator.api import exception, labels, policy
from tests.admission import objects, workbench
from tests.admission.objects import OWNERS, ROOM, Sort
from tests.controlplane import api
from tests.controlplane import cluster as controlplane

_numbers = itertools.count(1)


def _valid(cluster: controlplane.Cluster, kind: str) -> dict[str, Any]:
    expiry = f"{workbench.seconds_from_now(cluster, 3600):%Y-%m-%dT%H:%M:%SZ}"
    spec: dict[str, Any] = {"type": kind, "owner": "team-net", "reason": "Because it must be so."}
    if kind == "Infrastructure":
        return {**spec, "serviceAccountName": "agent"}
    return {**spec, "ticket": "INC-1", "images": [workbench.IMAGE], "expiry": expiry, "gracePeriodSeconds": 30}


SORTS = {
    "nothing": lambda: Sort(),
    "labels and annotations": lambda: Sort(objects.smallest(6000), objects.smallest(6000)),
    "lists": lambda: Sort(metadata={"finalizers": objects.FINALIZERS, "ownerReferences": OWNERS}),
}
if objects.FUZZ > objects.SLICE:
    SORTS["the most annotations"] = lambda: Sort(annotations=objects.smallest(size=ROOM))
REFUSED, PASSES = 403, 200
ADDS_A_LABEL = {"metadata": {"labels": {"own": "x"}}}
ADDS_FINALIZERS = {"metadata": {"finalizers": ["example.com/a", "example.com/a"]}}
# Actor, subresource, change, and the status of the answer to this merge patch in a dry run.
CASES: list[tuple[str, str, dict[str, Any], int]] = [
    ("tenant", "", ADDS_A_LABEL, PASSES),
    ("tenant", "", {"metadata": {"labels": None, "annotations": None, "finalizers": None}}, PASSES),
    ("tenant", "", ADDS_FINALIZERS, PASSES),
    ("tenant", "", {"metadata": {"managedFields": [{}]}}, PASSES),
    ("tenant", "", {"metadata": {"ownerReferences": OWNERS[1:] + OWNERS[:1]}}, REFUSED),
    ("tenant", "", {"spec": {"owner": "me"}}, REFUSED),
    ("tenant", "", {"spec": {"reason": "x" * 1024, "contact": "\U0001f600" * 253}}, REFUSED),
    ("tenant", "/status", {"status": {"coveredPods": 1.0}}, REFUSED),
    ("tenant", "/status", {"metadata": {"labels": {"own": "x"}}}, REFUSED),
    ("approver", "", {"spec": {"owner": "x" * 253, "gracePeriodSeconds": 1.0}}, PASSES),
    ("approver", "", {"spec": {"expiry": "2999-12-31T23:59:59Z"}}, REFUSED),
    ("approver", "", {"spec": {"expiry": "2000-01-01T00:00:00Z"}}, PASSES),
    ("approver", "", {"metadata": {"ownerReferences": OWNERS[1:]}}, PASSES),
    ("collector", "", {"metadata": {"ownerReferences": OWNERS[1:], "finalizers": None}}, PASSES),
    ("collector", "", {"spec": {"owner": "me"}}, REFUSED),
    ("operator", "/status", {"status": {"coveredPods": 2, "samplePods": ["a"] * 10, "conditions": None}}, PASSES),
    ("operator", "", {"spec": {"owner": "me"}}, REFUSED),
]


@pytest.mark.alone
@pytest.mark.parametrize("sort", SORTS)
def test_whatever_is_on_an_exception_each_write_has_its_answer(governed: controlplane.Cluster, sort: str) -> None:
    """Each request gets its expected answer beside thousands of labels, finalizers or owners and a large status."""
    name = f"any-{next(_numbers)}"
    governed.admin.post("/api/v1/namespaces", {"metadata": {"name": name}}).expect(201)
    collection = f"/apis/{labels.API_VERSION}/namespaces/{name}/{exception.PLURAL}"
    path = f"{collection}/a"
    verbs = ("get", "create", "update", "patch", "delete", "approve")
    approver = workbench.may(governed, "any-approver", exception.PLURAL, *verbs, group=labels.GROUP)
    governed.wait_for_right(approver, {"group": labels.GROUP, "resource": exception.PLURAL, "verb": "approve"})
    clients = {
        "tenant": governed.api(governed.tenant(name)),
        "approver": governed.api(approver),
        "collector": governed.api(governed.service_account("kube-system", "generic-garbage-collector")),
        "operator": governed.api(workbench.operator(governed)),
    }
    contents = SORTS[sort]()
    spec = _valid(governed, "Diagnostic")
    identity = {"apiVersion": labels.API_VERSION, "kind": exception.KIND}
    metadata = {"name": "a", "labels": {"team": "a"}, "annotations": {"note": "b"}, "ownerReferences": OWNERS[:1]}
    objects.judge(clients["tenant"].post(collection, {**identity, "metadata": metadata, "spec": spec}), 403, "create")
    body = {**identity, "metadata": {**metadata, **contents.metadata}, "spec": spec}
    objects.judge(clients["approver"].post(collection, body), 201, "create")
    objects.fill(governed.admin, path, "labels", contents.labels)
    objects.fill(governed.admin, path, "annotations", contents.annotations)
    objects.judge(clients["operator"].patch(f"{path}/status", {"status": _largest_status()}), 200, "status")
    for actor, subresource, patch, expected in CASES:
        is_full = sort != "nothing" and actor == "tenant"  # above 100,000 bytes of metadata, a tenant adds nothing
        is_larger = patch == ADDS_A_LABEL or (patch == ADDS_FINALIZERS and sort != "lists")
        status = REFUSED if is_full and is_larger else expected
        answer = objects.ask(clients[actor], ("PATCH", f"{path}{subresource}?dryRun=All", patch, api.MERGE))
        objects.judge(answer, status, (sort, actor, subresource, str(patch)[:200]))
    generated_body = {**body, "metadata": {**body["metadata"], "name": None, "generateName": "a-"}}
    create_request = ("POST", f"{collection}?dryRun=All", generated_body, "application/json")
    for actor, status in (("tenant", 403), ("approver", 201), ("operator", 403)):
        objects.judge(objects.ask(clients[actor], create_request), status, (sort, actor, "create"))
    for actor, status in (("tenant", 403), ("approver", 200), ("collector", 200), ("operator", 403)):
        objects.judge(clients[actor].delete(f"{path}?dryRun=All"), status, (sort, actor, "delete"))
    objects.judge(clients["tenant"].delete(f"{collection}?dryRun=All"), 403, (sort, "deletecollection"))
    assert objects.failures(governed) == []


def _largest_status() -> dict[str, Any]:
    condition = {
        "status": "True",
        "message": "m" * 4500,
        "reason": "R" * 1024,
        "lastTransitionTime": "2026-11-22T16:00:00Z",
    }
    kinds = ("Ready", *(f"{number}".ljust(316, "x") for number in range(15)))
    return {"conditions": [{**condition, "type": kind} for kind in kinds], "samplePods": ["a" * 253] * 10}


@pytest.mark.parametrize("kind", ["Diagnostic", "Application", "Infrastructure"])
def test_odd_specs_are_no_trouble(governed: controlplane.Cluster, kind: str) -> None:
    """With floats for integers, null and empty fields, and the longest texts, a tenant gets 403.

    An approver gets the answer of the CRD.
    """
    collection = f"/apis/{labels.API_VERSION}/namespaces/default/{exception.PLURAL}"
    tenant = governed.api(governed.tenant("default"))
    base = {"apiVersion": labels.API_VERSION, "kind": exception.KIND, "metadata": {"name": "odd"}}
    for spec in (
        {},
        {"gracePeriodSeconds": 30.0},
        {"gracePeriodSeconds": None, "contact": None, "expiry": None},
        {"capabilities": [], "hostPaths": [], "hostNamespaces": None},
        {"expiry": "2999-12-31T23:59:59Z", "reason": "x" * 1024, "owner": "x" * 253},
        {"expiry": "2000-01-01T00:00:00Z"},
        {"expiry": "2026-02-31T00:00:00Z"},
        {"expiry": 5},
        {"type": None},
    ):
        body = {**base, "spec": {**_valid(governed, kind), **spec}}
        for client in (tenant, governed.admin):
            answer = workbench.sound(client.post(f"{collection}?dryRun=All&fieldValidation=Ignore", body))
            if "ValidatingAdmissionPolicy" in answer.message:
                assert answer.status == 403, (spec, answer.message)
            else:  # the CRD answered before the policy
                assert answer.status in {201, 400, 422}, (spec, answer.message)
                assert client is governed.admin or answer.status != 201, spec
    assert objects.failures(governed) == []


# -- rules -----------------------------------------------------------------------------------------------------------


def _rules(number: int, size: int, *, names: bool) -> list[dict[str, Any]]:
    keys = [[f"{rule:02}x{key:02}".ljust(size, "x") for key in range(number)] for rule in range(64)]
    expressions = [[{"key": key, "operator": "Exists"} for key in expression_keys] for expression_keys in keys]
    return [
        {
            "selector": {
                "matchExpressions": expression_keys,
                **({"matchLabels": dict.fromkeys(keys[rule], "")} if names else {}),
            }
        }
        for rule, expression_keys in enumerate(expressions)
    ]


RULES: dict[str, Any] = {
    "none": [],
    "null": None,
    "an empty selector": [{"selector": {}}],
    "empty lists": [{"selector": {"matchLabels": {}, "matchExpressions": []}}],
    "the most keys": _rules(64, 100, names=True),
    "the longest keys": _rules(64, 300, names=False),
    "one key of a megabyte": [{"selector": {"matchLabels": {"k" * 1_450_000: ""}}}],
}


@pytest.mark.parametrize("rules", RULES)
def test_whatever_a_rule_selects_by_the_warning_is_a_sentence(governed: controlplane.Cluster, rules: str) -> None:
    """The API server admits the largest policy object that etcd stores, and no expression spoils its warning."""
    path = f"/apis/{labels.API_VERSION}/{policy.PLURAL}?dryRun=All"
    identity = {"apiVersion": labels.API_VERSION, "kind": policy.KIND, "metadata": {"name": "default"}}
    body = {**identity, "spec": {"mode": "Enforce", "rules": RULES[rules]}}
    answer = objects.ask(governed.admin, ("POST", path, body, "application/json"))
    objects.judge(answer, 201, rules)
    is_free = "key" in rules
    assert [text for text in answer.warnings if "rule-selectors: " in text] == list(answer.warnings)
    assert len(answer.warnings) == is_free
    assert objects.failures(governed) == []
