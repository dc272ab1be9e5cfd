"""own-namespaces: only a holder of `setlevel` can delete the operator's three namespaces or change their levels."""

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from hostnetwork_operator.api import labels
from tests.admission import objects, workbench
from tests.controlplane import api, operator
from tests.controlplane import cluster as controlplane

NAMESPACES = "/api/v1/namespaces"
NAMES = (labels.SYSTEM_NAMESPACE, *labels.PREVIEW_NAMESPACES)
BASE = operator.ROOT / "manifests" / "base"
FILES = {
    labels.SYSTEM_NAMESPACE: BASE / "namespace.yaml",
    **{name: BASE / f"{name.removeprefix('hostnetwork-')}-namespace.yaml" for name in labels.PREVIEW_NAMESPACES},
}
LEVELS = (labels.PSA_ENFORCE, labels.PSA_AUDIT, labels.PSA_WARN, *labels.PSA_VERSIONS)
VALUES = [
    (label, value)
    for label in LEVELS
    for value in (("v1.30", "latest", None) if label in labels.PSA_VERSIONS else (*labels.Level, None))
]
RESOURCES = "namespaces,namespaces/status,namespaces/finalize"
VERBS = ("get", "list", "create", "update", "patch", "delete", "deletecollection")
Body = dict[str, Any]


@pytest.fixture(scope="module")
def policy_cluster() -> Iterator[controlplane.Cluster]:
    """A separate control plane for this module, with the three namespaces and the policies in force."""
    with controlplane.Cluster() as control_plane:
        for name in NAMES:
            operator.apply(control_plane, "-f", str(FILES[name]))
        operator.apply(control_plane, "--server-side", "-f", str(operator.ROOT / "crds"))
        operator.apply(control_plane, "-k", str(operator.ROOT / "manifests" / "admission"))
        prober = control_plane.api(workbench.may(control_plane, "own-prober", "namespaces", "delete"))
        path = f"{NAMESPACES}/{NAMES[0]}?dryRun=All"
        control_plane.wait("own-namespaces in force", lambda: "own-namespaces: " in prober.delete(path).message)
        yield control_plane


def _user(policy_cluster: controlplane.Cluster, name: str, *more: str) -> pathlib.Path:
    user = workbench.may(policy_cluster, name, RESOURCES, *VERBS, *more)
    policy_cluster.wait_for_right(user, {"resource": "namespaces", "subresource": "status", "verb": "patch"})
    return user


ATTACKERS: dict[str, Callable[[controlplane.Cluster, str], pathlib.Path]] = {
    "creator": lambda policed, _: _user(policed, "own-creator"),
    "tenant": lambda policed, name: policed.tenant(name),
}


@pytest.fixture(params=ATTACKERS)
def who(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def attacker(policy_cluster: controlplane.Cluster, who: str, name: str) -> api.Api:
    """A client of a user who may write the Namespace, without `setlevel`."""
    return policy_cluster.api(ATTACKERS[who](policy_cluster, name))


@pytest.fixture(scope="module")
def holder(policy_cluster: controlplane.Cluster) -> api.Api:
    """A client of a user with `setlevel` and the same verbs."""
    return policy_cluster.api(_user(policy_cluster, "own-setlevel", "setlevel"))


def refused(answer: api.Response, *texts: str) -> None:
    workbench.refused(answer, "own-namespaces: ", *texts)


def requests_for(path: str, body: Body, change: Body) -> dict[str, objects.Request]:
    """Return each method's request for this change of metadata, in a dry run; `body` is the current Namespace."""
    new_body = {**body, "metadata": {**body["metadata"], **change}}
    if isinstance(change.get("labels"), dict):
        merged = {**body["metadata"].get("labels", {}), **change["labels"]}
        new_body["metadata"]["labels"] = {key: value for key, value in merged.items() if value is not None}
    del new_body["metadata"]["resourceVersion"]  # controllers write the object too
    json, patch = "application/json", {"metadata": change}
    requests = {
        "merge patch": ("PATCH", f"{path}?dryRun=All", patch, api.MERGE),
        "strategic patch": ("PATCH", f"{path}?dryRun=All", patch, api.STRATEGIC),
        "replace": ("PUT", f"{path}?dryRun=All", new_body, json),
        "status": ("PATCH", f"{path}/status?dryRun=All", patch, api.MERGE),
        "replace status": ("PUT", f"{path}/status?dryRun=All", new_body, json),
        "finalize": ("PUT", f"{path}/finalize?dryRun=All", new_body, json),
    }
    if None not in change.get("labels", {}).values():
        apply_body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": body["metadata"]["name"], **change}}
        requests["apply"] = ("PATCH", f"{path}?dryRun=All&fieldManager=me&force=true", apply_body, api.APPLY)
    return requests


# -- refused writes ----------------------------------------------------------------------------------------------------


def test_nobody_deletes_one(policy_cluster: controlplane.Cluster, attacker: api.Api, name: str) -> None:
    """No delete option makes a difference, also in a dry run; namespaces have no deletecollection."""
    path, text = (
        f"{NAMESPACES}/{name}",
        f'needs the cluster-wide verb setlevel on namespaces.{labels.GROUP}, got DELETE of namespace "{name}"',
    )
    uid = policy_cluster.admin.get(path).expect(200).body["metadata"]["uid"]
    for options in (
        None,
        {"gracePeriodSeconds": 0},
        {"propagationPolicy": "Foreground"},
        {"propagationPolicy": "Orphan"},
        {"preconditions": {"uid": uid}},
    ):
        refused(attacker.delete(path, options), text)
        refused(attacker.delete(f"{path}?dryRun=All", options), text)
    assert attacker.delete(NAMESPACES).status in {403, 405}
    assert attacker.delete(f"{NAMESPACES}?fieldSelector=metadata.name%3D{name}").status in {403, 405}
    metadata = policy_cluster.admin.get(path).expect(200).body["metadata"]
    assert (metadata["uid"], metadata.get("deletionTimestamp")) == (uid, None)


def test_kubectl_deletes_none(policy_cluster: controlplane.Cluster, who: str, name: str) -> None:
    """kubectl shows the refusal and the remedy, with --force too."""
    user = ATTACKERS[who](policy_cluster, name)
    for flags in ((), ("--force",), ("--now",), ("--cascade=orphan",)):
        completed = policy_cluster.kubectl("delete", "namespace", name, "--wait=false", *flags, user=user)
        assert completed.returncode != 0
        assert "(Forbidden)" in completed.stderr
        assert "; ask a user who has the verb" in completed.stderr


@pytest.mark.parametrize(("label", "value"), VALUES)
def test_no_pod_security_label_changes(
    policy_cluster: controlplane.Cluster, attacker: api.Api, name: str, label: str, value: str | None
) -> None:
    """No method that writes a Namespace can add, change or remove the label, to a stricter or a looser value."""
    path = f"{NAMESPACES}/{name}"
    body = policy_cluster.admin.get(path).expect(200).body
    now = body["metadata"]["labels"].get(label)
    for method, request in requests_for(path, body, {"labels": {label: value}}).items():
        answer = workbench.sound(objects.ask(attacker, request))
        if value == now and method != "finalize":  # only the namespace controller may write finalize
            assert answer.status == 200, f"{method}: {answer.message}"
        else:
            # namespace-labels also refuses a looser value and any write of finalize; Kubernetes does not define which
            # policy answers.
            workbench.refused(answer)
            if value == "restricted" and method != "finalize":
                refused(answer, label, '"restricted"', "leave the label unchanged")


def test_no_owner_is_named(policy_cluster: controlplane.Cluster, attacker: api.Api, name: str) -> None:
    """Otherwise the garbage collector would delete the Namespace for a user who may not delete it."""
    path = f"{NAMESPACES}/{name}"
    body = policy_cluster.admin.get(path).expect(200).body
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": "nowhere", "uid": "0" * 32}
    for method, request in requests_for(path, body, {"ownerReferences": [owner]}).items():
        answer = workbench.sound(objects.ask(attacker, request))
        workbench.refused(answer)
        if method != "finalize":
            refused(answer, "to change the ownerReferences", "leave the ownerReferences unchanged")


def test_the_garbage_collector_deletes_none(policy_cluster: controlplane.Cluster, name: str) -> None:
    """If an administrator set an owner that does not exist, the Namespace stays."""
    account = "system:serviceaccount:kube-system:generic-garbage-collector"
    collector = policy_cluster.api(policy_cluster.user(account, "system:serviceaccounts", "system:authenticated"))
    refused(collector.delete(f"{NAMESPACES}/{name}"), f'got DELETE of namespace "{name}"')


def test_nobody_makes_one(policy_cluster: controlplane.Cluster, holder: api.Api, name: str) -> None:
    """A creator cannot recreate any of the namespaces, by POST or by apply; a holder of setlevel can."""
    creator = policy_cluster.api(_user(policy_cluster, "own-creator"))
    body = yaml.safe_load(FILES[name].read_text())
    path = f"{NAMESPACES}/{name}"
    policy_cluster.admin.delete(path).expect(200)
    policy_cluster.wait("it is gone", lambda: policy_cluster.admin.get(path).status == 404)
    try:
        for new_body in (body, {"metadata": {"name": name}}, {"metadata": {"name": name, "generateName": "x-"}}):
            refused(creator.post(NAMESPACES, new_body), f'got CREATE of namespace "{name}"')
            refused(creator.post(f"{NAMESPACES}?dryRun=All", new_body), f'got CREATE of namespace "{name}"')
        refused(creator.apply(path, body, "me", force=True), f'got CREATE of namespace "{name}"')
        creator.post(f"{NAMESPACES}?dryRun=All", {"metadata": {"generateName": f"{name}-"}}).expect(201)
        creator.post(f"{NAMESPACES}?dryRun=All", {"metadata": {"generateName": "x-"}}).expect(201)
        holder.apply(path, body, "maker").expect(201)
    finally:
        operator.apply(policy_cluster, "-f", str(FILES[name]))


# -- allowed writes ----------------------------------------------------------------------------------------------------


def test_what_is_not_the_operators_is_free(policy_cluster: controlplane.Cluster) -> None:
    """A creator can create, label and delete a namespace with a similar name, and give it an owner."""
    creator = policy_cluster.api(_user(policy_cluster, "own-creator"))
    for name in ("hostnetwork-systems", "hostnetwork-preview", "hostnetwork-preview-baseline-2"):
        path = f"{NAMESPACES}/{name}"
        creator.post(NAMESPACES, {"metadata": {"name": name}}).expect(201)
        creator.patch(path, {"metadata": {"labels": {labels.PSA_WARN: "restricted"}}}).expect(200)
        owner = {"metadata": {"ownerReferences": objects.OWNERS[:1]}}
        creator.patch(f"{path}?dryRun=All", owner).expect(200)
        creator.delete(path).expect(200)
        policy_cluster.wait("it is gone", lambda path=path: policy_cluster.admin.get(path).status == 404)


def test_other_writes_of_one_pass(policy_cluster: controlplane.Cluster, attacker: api.Api, name: str) -> None:
    """Other labels, annotations, finalizers and conditions can change, and so can a write that changes nothing."""
    path = f"{NAMESPACES}/{name}"
    body = policy_cluster.admin.get(path).expect(200).body
    for change in (
        {"labels": {"team": "a", "example.com/enforce": "x"}},
        {"annotations": {labels.PSA_WARN: "restricted", "note": "x"}},
        {"finalizers": ["example.com/held"]},
        {},
    ):
        for method, request in requests_for(path, body, change).items():
            if method != "finalize":  # namespace-labels reserves finalize for the namespace controller
                workbench.sound(objects.ask(attacker, request)).expect(200)
    condition = {"type": "T", "status": "True", "reason": "R", "message": "m"}
    attacker.patch(f"{path}/status?dryRun=All", {"status": {"conditions": [condition]}}).expect(200)


def test_a_holder_of_setlevel_writes_all_of_it(
    policy_cluster: controlplane.Cluster, holder: api.Api, name: str
) -> None:
    """A holder of setlevel and a cluster administrator may write everything, by any method."""
    path = f"{NAMESPACES}/{name}"
    body = policy_cluster.admin.get(path).expect(200).body
    for client in (holder, policy_cluster.admin):
        client.delete(f"{path}?dryRun=All").expect(200)
        for change in (
            {"labels": {labels.PSA_WARN: "privileged", labels.PSA_AUDIT: "restricted"}},
            {"labels": {labels.PSA_ENFORCE: None}},
            {"ownerReferences": objects.OWNERS[:1]},
        ):
            for request in requests_for(path, body, change).values():
                workbench.sound(objects.ask(client, request)).expect(200)


def test_the_operator_labels_its_namespace(policy_cluster: controlplane.Cluster) -> None:
    """The operator governs hostnetwork-system like any namespace that is not exempt."""
    account = workbench.operator(policy_cluster)
    policy_cluster.wait_for_right(account, {"resource": "namespaces", "verb": "patch"})
    change = {"labels": {labels.ENFORCEMENT: "Deny", labels.PSA_WARN: "baseline", labels.PSA_VERSIONS[0]: "latest"}}
    path = f"{NAMESPACES}/{labels.SYSTEM_NAMESPACE}?dryRun=All"
    workbench.sound(policy_cluster.api(account).patch(path, {"metadata": change})).expect(200)


def test_an_administrator_deletes_one_and_it_goes(
    policy_cluster: controlplane.Cluster, attacker: api.Api, who: str, name: str
) -> None:
    """The namespace controller finalizes the namespace, and a second DELETE by any user changes nothing.

    Finalizers can be removed.
    """
    path = f"{NAMESPACES}/{name}"
    policy_cluster.admin.patch(path, {"metadata": {"finalizers": ["example.com/held"]}}).expect(200)
    policy_cluster.admin.delete(path).expect(200)
    uid = policy_cluster.admin.get(path).expect(200).body["metadata"]["uid"]
    if who == "creator":  # by now the tenant may have no rights left
        workbench.sound(attacker.delete(path)).expect(200, 409)
        change = {"metadata": {"labels": {labels.PSA_WARN: "restricted", labels.PSA_AUDIT: "baseline"}}}
        workbench.refused(attacker.patch(path, change))
    client = attacker if who == "creator" else policy_cluster.admin
    client.patch(path, {"metadata": {"finalizers": None}}).expect(200)
    policy_cluster.wait("it is gone", lambda: policy_cluster.admin.get(path).status == 404)
    operator.apply(policy_cluster, "-f", str(FILES[name]))
    assert policy_cluster.admin.get(path).expect(200).body["metadata"]["uid"] != uid


# -- the largest namespaces --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", objects.LARGEST)
def test_no_expression_fails_for_the_largest(policy_cluster: controlplane.Cluster, sort: str) -> None:
    """Beside as much metadata as the API server stores, each request gets its expected answer."""
    name = labels.PREVIEW_NAMESPACES[0]
    path = f"{NAMESPACES}/{name}"
    creator = policy_cluster.api(_user(policy_cluster, "own-creator"))
    objects.enlarge(policy_cluster.admin, path, sort)
    dry = f"{path}?dryRun=All"
    for change in ({"labels": {labels.PSA_WARN: "restricted"}}, {"ownerReferences": objects.OWNERS[:1]}):
        objects.judge(objects.ask(creator, ("PATCH", dry, {"metadata": change}, api.MERGE)), 403, (sort, change))
    if sort == "annotations":  # the namespace's own annotation changes; namespace-size would refuse a new annotation
        change = {"annotations": {next(iter(objects.smallest(1))): "x"}}
        objects.judge(objects.ask(creator, ("PATCH", dry, {"metadata": change}, api.MERGE)), 200, sort)
    refused(objects.ask(creator, ("DELETE", dry, None, "application/json")), "got DELETE")
    assert objects.failures(policy_cluster) == []
    policy_cluster.admin.patch(path, {"metadata": {"finalizers": None, "ownerReferences": None}}).expect(200)
    policy_cluster.admin.delete(path).expect(200)
    policy_cluster.wait("it is gone", lambda: policy_cluster.admin.get(path).status == 404)
    operator.apply(policy_cluster, "-f", str(FILES[name]))


def test_the_names_are_those_of_the_operator() -> None:
    """The match condition lists the namespaces that the operator calls its own."""
    policy, _ = yaml.safe_load_all((operator.ROOT / "manifests" / "admission" / "own-namespaces.yaml").read_text())
    conditions = {condition["name"]: condition["expression"] for condition in policy["spec"]["matchConditions"]}
    names = conditions["of-hostnetwork-operator"].split("[")[1].rstrip("] \n")
    assert [word.strip(" '") for word in names.split(",")] == list(NAMES)
    (expression,) = [
        variable["expression"] for variable in policy["spec"]["variables"] if variable["name"] == "changedLevels"
    ]
    assert {word for word in expression.split("'") if word.startswith(labels.PSA_PREFIX)} == set(LEVELS)
