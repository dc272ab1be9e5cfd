"""labels-kept: a request that removes all labels of a governed namespace does not remove the operator's labels.

The policy does this without the operator.
"""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from hostnetwork_operator.api import labels
from tests.admission import workbench
from tests.controlplane import api
from tests.controlplane import cluster as controlplane

pytestmark = pytest.mark.since("1.36", "MutatingAdmissionPolicy")
NAME = "kubernetes.io/metadata.name"
RELAXED = {
    labels.ENFORCEMENT: "Deny",
    labels.GUARD: "restricted",
    labels.PSA_ENFORCE: "privileged",
    labels.PSA_AUDIT: "baseline",
    labels.PSA_WARN: "baseline",
    **dict.fromkeys(labels.PSA_VERSIONS, "v1.33"),
}
_numbers = itertools.count(1)


@pytest.fixture
def relaxed_path(full_cluster: controlplane.Cluster) -> str:
    """The path of a namespace with the operator's labels and one other label."""
    name = f"kept-{next(_numbers)}"
    body = {"metadata": {"name": name, "labels": {**RELAXED, "team": "net"}}}
    full_cluster.admin.post("/api/v1/namespaces", body).expect(201)
    return f"/api/v1/namespaces/{name}"


def _merge(client: api.Api, path: str) -> api.Response:
    return client.patch(path, {"metadata": {"labels": None}})


def _one_by_one(client: api.Api, path: str) -> api.Response:
    current = client.get(path).expect(200).body["metadata"]["labels"]
    return client.patch(path, {"metadata": {"labels": dict.fromkeys(current)}})


def _replace(client: api.Api, path: str) -> api.Response:
    body = client.get(path.removesuffix("/status").removesuffix("/finalize")).expect(200).body
    del body["metadata"]["labels"]
    return client.put(path, body)


def _remove(client: api.Api, path: str) -> api.Response:
    return client.patch(path, [{"op": "remove", "path": "/metadata/labels"}], api.JSON_PATCH)


WAYS: dict[str, tuple[Callable[[api.Api, str], api.Response], str]] = {
    "labels: null": (_merge, ""),
    "labels: null in status": (_merge, "/status"),
    "each by name": (_one_by_one, ""),
    "a PUT without": (_replace, ""),
    "a PUT of finalize": (_replace, "/finalize"),
    "a JSON patch": (_remove, ""),
}


def labels_of(cluster: controlplane.Cluster, path: str) -> dict[str, str]:
    return dict(cluster.admin.get(path).expect(200).body["metadata"]["labels"])


@pytest.mark.parametrize("setlevel", [True, False], ids=["setlevel", "creator"])
@pytest.mark.parametrize("method", WAYS)
def test_who_leaves_no_label_takes_none_of_ours(
    full_cluster: controlplane.Cluster, relaxed_path: str, method: str, setlevel: bool
) -> None:
    """By any method, the operator's labels keep their values and do not fall back to those of label-at-birth.

    Only the namespace controller and holders of setlevel may write finalize.
    """
    verbs = ("get", "patch", "update", *(["setlevel"] if setlevel else []))
    resources = "namespaces,namespaces/status,namespaces/finalize"
    client = full_cluster.api(workbench.may(full_cluster, "dropper" if setlevel else "careless", resources, *verbs))
    remove_labels, subresource = WAYS[method]
    answer = workbench.sound(remove_labels(client, relaxed_path + subresource))
    if subresource == "/finalize" and not setlevel:
        workbench.refused(answer, "only the namespace controller may write namespaces/finalize")
        return
    answer.expect(200)
    assert labels_of(full_cluster, relaxed_path) == {NAME: relaxed_path.rpartition("/")[2], **RELAXED}


def test_a_manifest_that_loses_its_last_label_takes_none_of_ours(full_cluster: controlplane.Cluster) -> None:
    """An administrator applied a manifest with a label and now applies it without: kubectl sends labels: null."""
    name = f"kept-{next(_numbers)}"

    def apply(*values: str) -> None:
        metadata: dict[str, Any] = {"name": name, **({"labels": dict.fromkeys(values, "x")} if values else {})}
        text = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        completed = full_cluster.kubectl("apply", "-f", "-", stdin=text)
        assert completed.returncode == 0, completed.stderr

    apply("team")
    path = f"/api/v1/namespaces/{name}"
    lifted_labels = {labels.GUARD: "baseline", labels.PSA_ENFORCE: "privileged"}
    full_cluster.admin.patch(path, {"metadata": {"labels": lifted_labels}}).expect(200)
    labels_before = labels_of(full_cluster, path)
    apply()
    assert labels_of(full_cluster, path) == {key: text for key, text in labels_before.items() if key != "team"}
    assert labels_of(full_cluster, path).items() >= lifted_labels.items()


def test_who_has_setlevel_and_names_labels_is_obeyed(full_cluster: controlplane.Cluster, relaxed_path: str) -> None:
    """A holder of setlevel can remove labels by name if the namespace keeps another label, as in break-glass.md."""
    client = full_cluster.api(
        workbench.may(full_cluster, "renamer", "namespaces", "get", "patch", "update", "setlevel")
    )
    removals = dict.fromkeys((labels.ENFORCEMENT, labels.GUARD))
    client.patch(relaxed_path, {"metadata": {"labels": {**removals, labels.PSA_ENFORCE: "baseline"}}}).expect(200)
    remaining = labels_of(full_cluster, relaxed_path)
    assert (remaining.keys() & removals.keys(), remaining[labels.PSA_ENFORCE]) == (set(), "baseline")


def test_the_operator_takes_its_labels_off(full_cluster: controlplane.Cluster, relaxed_path: str) -> None:
    """The operator can remove its labels even if no other label is left, as in mode Release."""
    full_cluster.admin.patch(relaxed_path, {"metadata": {"labels": {"team": None}}}).expect(200)
    _one_by_one(full_cluster.api(workbench.operator(full_cluster)), relaxed_path).expect(200)
    assert labels_of(full_cluster, relaxed_path).keys() == {NAME}


@pytest.mark.parametrize("enforcement", ["Audit", "Held"])
def test_a_level_that_nothing_enforces_is_its_owners(full_cluster: controlplane.Cluster, enforcement: str) -> None:
    """If an owner removes privileged, the last label of the manifest, the policy does not silently restore it."""
    name = f"kept-{next(_numbers)}"
    values = {labels.ENFORCEMENT: enforcement, labels.PSA_ENFORCE: "privileged", labels.PSA_WARN: "baseline"}
    full_cluster.admin.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": values}}).expect(201)
    path = f"/api/v1/namespaces/{name}"
    full_cluster.admin.patch(path, {"metadata": {"labels": None}}).expect(200)
    expected = {labels.ENFORCEMENT: enforcement, labels.PSA_WARN: "baseline"}
    assert labels_of(full_cluster, path) == {NAME: name, **expected}


def test_a_namespace_that_nobody_governs_is_its_owners(full_cluster: controlplane.Cluster) -> None:
    """The Pod Security labels of an ungoverned namespace are not the operator's."""
    name = f"kept-{next(_numbers)}"
    values = {labels.ENFORCEMENT: "Audit", labels.PSA_WARN: "baseline"}
    full_cluster.admin.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": values}}).expect(201)
    path = f"/api/v1/namespaces/{name}"
    full_cluster.admin.patch(path, {"metadata": {"labels": {labels.ENFORCEMENT: None}}}).expect(200)
    full_cluster.admin.patch(path, {"metadata": {"labels": None}}).expect(200)
    assert labels_of(full_cluster, path).keys() == {NAME}
