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
def policed() -> Iterator[controlplane.Cluster]:
    """A separate control plane for this module, with the three namespaces and the policies in force."""
    with controlplane.Cluster() as running:
        for name in NAMES:
            operator.apply(running, "-f", str(FILES[name]))
        operator.apply(running, "--server-side", "-f", str(operator.ROOT / "crds"))
        operator.apply(running, "-k", str(operator.ROOT / "manifests" / "admission"))
        prober = running.api(workbench.may(running, "own-prober", "namespaces", "delete"))
        path = f"{NAMESPACES}/{NAMES[0]}?dryRun=All"
        running.wait("own-namespaces in force", lambda: "own-namespaces: " in prober.delete(path).message)
        yield running


def _user(policed: controlplane.Cluster, name: str, *more: str) -> pathlib.Path:
    user = workbench.may(policed, name, RESOURCES, *VERBS, *more)
    policed.wait_for_right(user, {"resource": "namespaces", "subresource": "status", "verb": "patch"})
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
def attacker(policed: controlplane.Cluster, who: str, name: str) -> api.Api:
    """A client of a user who may write the Namespace, without `setlevel`."""
    return policed.api(ATTACKERS[who](policed, name))


@pytest.fixture(scope="module")
def holder(policed: controlplane.Cluster) -> api.Api:
    """A client of a user with `setlevel` and the same verbs."""
    return policed.api(_user(policed, "own-setlevel", "setlevel"))


def refused(answer: api.Response, *texts: str) -> None:
    workbench.refused(answer, "own-namespaces: ", *texts)


def written(path: str, body: Body, change: Body) -> dict[str, objects.Request]:
    """Return each method's request for this change of metadata, in a dry run; `body` is the current Namespace."""
    whole = {**body, "metadata": {**body["metadata"], **change}}
    if isinstance(change.get("labels"), dict):
        merged = {**body["metadata"].get("labels", {}), **change["labels"]}
        whole["metadata"]["labels"] = {key: value for key, value in merged.items() if value is not None}
    del whole["metadata"]["resourceVersion"]  # controllers write the object too
    json, patch = "application/json", {"metadata": change}
    found = {
        "merge patch": ("PATCH", f"{path}?dryRun=All", patch, api.MERGE),
        "strategic patch": ("PATCH", f"{path}?dryRun=All", patch, api.STRATEGIC),
        "replace": ("PUT", f"{path}?dryRun=All", whole, json),
        "status": ("PATCH", f"{path}/status?dryRun=All", patch, api.MERGE),
        "replace status": ("PUT", f"{path}/status?dryRun=All", whole, json),
        "finalize": ("PUT", f"{path}/finalize?dryRun=All", whole, json),
    }
    if None not in change.get("labels", {}).values():
        applied = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": body["metadata"]["name"], **change}}
        found["apply"] = ("PATCH", f"{path}?dryRun=All&fieldManager=me&force=true", applied, api.APPLY)
    return found


# -- refused writes ----------------------------------------------------------------------------------------------------


def test_nobody_deletes_one(policed: controlplane.Cluster, attacker: api.Api, name: str) -> None:
    """No delete option makes a difference, also in a dry run; namespaces have no deletecollection."""
    path, text = (
        f"{NAMESPACES}/{name}",
        f'needs the cluster-wide verb setlevel on namespaces.{labels.GROUP}, got DELETE of namespace "{name}"',
    )
    uid = policed.admin.get(path).expect(200).body["metadata"]["uid"]
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
    metadata = policed.admin.get(path).expect(200).body["metadata"]
    assert (metadata["uid"], metadata.get("deletionTimestamp")) == (uid, None)


def test_kubectl_deletes_none(policed: controlplane.Cluster, who: str, name: str) -> None:
    """kubectl shows the refusal and the remedy, with --force too."""
    user = ATTACKERS[who](policed, name)
    for flags in ((), ("--force",), ("--now",), ("--cascade=orphan",)):
        done = policed.kubectl("delete", "namespace", name, "--wait=false", *flags, user=user)
        assert done.returncode != 0
        assert "(Forbidden)" in done.stderr
        assert "; ask a user who has the verb" in done.stderr


@pytest.mark.parametrize(("label", "value"), VALUES)
def test_no_pod_security_label_changes(
    policed: controlplane.Cluster, attacker: api.Api, name: str, label: str, value: str | None
) -> None:
    """No method that writes a Namespace can add, change or remove the label, to a stricter or a looser value."""
    path = f"{NAMESPACES}/{name}"
    body = policed.admin.get(path).expect(200).body
    now = body["metadata"]["labels"].get(label)
    for way, request in written(path, body, {"labels": {label: value}}).items():
        answer = workbench.sound(objects.ask(attacker, request))
        if value == now and way != "finalize":  # only the namespace controller may write finalize
            assert answer.status == 200, f"{way}: {answer.message}"
        else:
            # namespace-labels also refuses a looser value and any write of finalize; Kubernetes does not define which
            # policy answers.
            workbench.refused(answer)
            if value == "restricted" and way != "finalize":
                refused(answer, label, '"restricted"', "leave the label unchanged")


def test_no_owner_is_named(policed: controlplane.Cluster, attacker: api.Api, name: str) -> None:
    """Otherwise the garbage collector would delete the Namespace for a user who may not delete it."""
    path = f"{NAMESPACES}/{name}"
    body = policed.admin.get(path).expect(200).body
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": "nowhere", "uid": "0" * 32}
    for way, request in written(path, body, {"ownerReferences": [owner]}).items():
        answer = workbench.sound(objects.ask(attacker, request))
        workbench.refused(answer)
        if way != "finalize":
            refused(answer, "to change the ownerReferences", "leave the ownerReferences unchanged")


def test_the_garbage_collector_deletes_none(policed: controlplane.Cluster, name: str) -> None:
    """If an administrator set an owner that does not exist, the Namespace stays."""
    account = "system:serviceaccount:kube-system:generic-garbage-collector"
    collector = policed.api(policed.user(account, "system:serviceaccounts", "system:authenticated"))
    refused(collector.delete(f"{NAMESPACES}/{name}"), f'got DELETE of namespace "{name}"')


def test_nobody_makes_one(policed: controlplane.Cluster, holder: api.Api, name: str) -> None:
    """A creator cannot recreate any of the namespaces, by POST or by apply; a holder of setlevel can."""
    creator = policed.api(_user(policed, "own-creator"))
    body = yaml.safe_load(FILES[name].read_text())
    path = f"{NAMESPACES}/{name}"
    policed.admin.delete(path).expect(200)
    policed.wait("it is gone", lambda: policed.admin.get(path).status == 404)
    try:
        for given in (body, {"metadata": {"name": name}}, {"metadata": {"name": name, "generateName": "x-"}}):
            refused(creator.post(NAMESPACES, given), f'got CREATE of namespace "{name}"')
            refused(creator.post(f"{NAMESPACES}?dryRun=All", given), f'got CREATE of namespace "{name}"')
        refused(creator.apply(path, body, "me", force=True), f'got CREATE of namespace "{name}"')
        creator.post(f"{NAMESPACES}?dryRun=All", {"metadata": {"generateName": f"{name}-"}}).expect(201)
        creator.post(f"{NAMESPACES}?dryRun=All", {"metadata": {"generateName": "x-"}}).expect(201)
        holder.apply(path, body, "maker").expect(201)
    finally:
        operator.apply(policed, "-f", str(FILES[name]))


# -- allowed writes ----------------------------------------------------------------------------------------------------


def test_what_is_not_the_operators_is_free(policed: controlplane.Cluster) -> None:
    """A creator can create, label and delete a namespace with a similar name, and give it an owner."""
    creator = policed.api(_user(policed, "own-creator"))
    for name in ("hostnetwork-systems", "hostnetwork-preview", "hostnetwork-preview-baseline-2"):
        path = f"{NAMESPACES}/{name}"
        creator.post(NAMESPACES, {"metadata": {"name": name}}).expect(201)
        creator.patch(path, {"metadata": {"labels": {labels.PSA_WARN: "restricted"}}}).expect(200)
        owner = {"metadata": {"ownerReferences": objects.OWNERS[:1]}}
        creator.patch(f"{path}?dryRun=All", owner).expect(200)
        creator.delete(path).expect(200)
        policed.wait("it is gone", lambda path=path: policed.admin.get(path).status == 404)


def test_other_writes_of_one_pass(policed: controlplane.Cluster, attacker: api.Api, name: str) -> None:
    """Other labels, annotations, finalizers and conditions can change, and so can a write that changes nothing."""
    path = f"{NAMESPACES}/{name}"
    body = policed.admin.get(path).expect(200).body
    for change in (
        {"labels": {"team": "a", "example.com/enforce": "x"}},
        {"annotations": {labels.PSA_WARN: "restricted", "note": "x"}},
        {"finalizers": ["example.com/held"]},
        {},
    ):
        for way, request in written(path, body, change).items():
            if way != "finalize":  # namespace-labels reserves finalize for the namespace controller
                workbench.sound(objects.ask(attacker, request)).expect(200)
    condition = {"type": "T", "status": "True", "reason": "R", "message": "m"}
    attacker.patch(f"{path}/status?dryRun=All", {"status": {"conditions": [condition]}}).expect(200)


def test_a_holder_of_setlevel_writes_all_of_it(policed: controlplane.Cluster, holder: api.Api, name: str) -> None:
    """A holder of setlevel and a cluster administrator may write everything, by any method."""
    path = f"{NAMESPACES}/{name}"
    body = policed.admin.get(path).expect(200).body
    for client in (holder, policed.admin):
        client.delete(f"{path}?dryRun=All").expect(200)
        for change in (
            {"labels": {labels.PSA_WARN: "privileged", labels.PSA_AUDIT: "restricted"}},
            {"labels": {labels.PSA_ENFORCE: None}},
            {"ownerReferences": objects.OWNERS[:1]},
        ):
            for request in written(path, body, change).values():
                workbench.sound(objects.ask(client, request)).expect(200)


def test_the_operator_labels_its_namespace(policed: controlplane.Cluster) -> None:
    """The operator governs hostnetwork-system like any namespace that is not exempt."""
    account = workbench.operator(policed)
    policed.wait_for_right(account, {"resource": "namespaces", "verb": "patch"})
    change = {"labels": {labels.ENFORCEMENT: "Deny", labels.PSA_WARN: "baseline", labels.PSA_VERSIONS[0]: "latest"}}
    path = f"{NAMESPACES}/{labels.SYSTEM_NAMESPACE}?dryRun=All"
    workbench.sound(policed.api(account).patch(path, {"metadata": change})).expect(200)


def test_an_administrator_deletes_one_and_it_goes(
    policed: controlplane.Cluster, attacker: api.Api, who: str, name: str
) -> None:
    """The namespace controller finalizes the namespace, and a second DELETE by any user changes nothing.

    Finalizers can be removed.
    """
    path = f"{NAMESPACES}/{name}"
    policed.admin.patch(path, {"metadata": {"finalizers": ["example.com/held"]}}).expect(200)
    policed.admin.delete(path).expect(200)
    uid = policed.admin.get(path).expect(200).body["metadata"]["uid"]
    if who == "creator":  # by now the tenant may have no rights left
        workbench.sound(attacker.delete(path)).expect(200, 409)
        change = {"metadata": {"labels": {labels.PSA_WARN: "restricted", labels.PSA_AUDIT: "baseline"}}}
        workbench.refused(attacker.patch(path, change))
    client = attacker if who == "creator" else policed.admin
    client.patch(path, {"metadata": {"finalizers": None}}).expect(200)
    policed.wait("it is gone", lambda: policed.admin.get(path).status == 404)
    operator.apply(policed, "-f", str(FILES[name]))
    assert policed.admin.get(path).expect(200).body["metadata"]["uid"] != uid


# -- the largest namespaces --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", objects.LARGEST)
def test_no_expression_fails_for_the_largest(policed: controlplane.Cluster, sort: str) -> None:
    """Beside as much metadata as the API server stores, each request gets its expected answer."""
    name = labels.PREVIEW_NAMESPACES[0]
    path = f"{NAMESPACES}/{name}"
    creator = policed.api(_user(policed, "own-creator"))
    objects.enlarge(policed.admin, path, sort)
    dry = f"{path}?dryRun=All"
    for change in ({"labels": {labels.PSA_WARN: "restricted"}}, {"ownerReferences": objects.OWNERS[:1]}):
        objects.judge(objects.ask(creator, ("PATCH", dry, {"metadata": change}, api.MERGE)), 403, (sort, change))
    if sort == "annotations":  # the namespace's own annotation changes; namespace-size would refuse a new annotation
        change = {"annotations": {next(iter(objects.smallest(1))): "x"}}
        objects.judge(objects.ask(creator, ("PATCH", dry, {"metadata": change}, api.MERGE)), 200, sort)
    refused(objects.ask(creator, ("DELETE", dry, None, "application/json")), "got DELETE")
    assert objects.failures(policed) == []
    policed.admin.patch(path, {"metadata": {"finalizers": None, "ownerReferences": None}}).expect(200)
    policed.admin.delete(path).expect(200)
    policed.wait("it is gone", lambda: policed.admin.get(path).status == 404)
    operator.apply(policed, "-f", str(FILES[name]))


def test_the_names_are_those_of_the_operator() -> None:
    """The match condition lists the namespaces that the operator calls its own."""
    policy, _ = yaml.safe_load_all((operator.ROOT / "manifests" / "admission" / "own-namespaces.yaml").read_text())
    conditions = {one["name"]: one["expression"] for one in policy["spec"]["matchConditions"]}
    listed = conditions["of-hostnetwork-operator"].split("[")[1].rstrip("] \n")
    assert [word.strip(" '") for word in listed.split(",")] == list(NAMES)
    (looked_up,) = [one["expression"] for one in policy["spec"]["variables"] if one["name"] == "changedLevels"]
    assert {word for word in looked_up.split("'") if word.startswith(labels.PSA_PREFIX)} == set(LEVELS)
