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
def relaxed(complete: controlplane.Cluster) -> str:
    """The path of a namespace with the operator's labels and one other label."""
    name = f"kept-{next(_numbers)}"
    body = {"metadata": {"name": name, "labels": {**RELAXED, "team": "net"}}}
    complete.admin.post("/api/v1/namespaces", body).expect(201)
    return f"/api/v1/namespaces/{name}"


def _merged(client: api.Api, path: str) -> api.Response:
    return client.patch(path, {"metadata": {"labels": None}})


def _one_by_one(client: api.Api, path: str) -> api.Response:
    present = client.get(path).expect(200).body["metadata"]["labels"]
    return client.patch(path, {"metadata": {"labels": dict.fromkeys(present)}})


def _replaced(client: api.Api, path: str) -> api.Response:
    body = client.get(path.removesuffix("/status").removesuffix("/finalize")).expect(200).body
    del body["metadata"]["labels"]
    return client.put(path, body)


def _removed(client: api.Api, path: str) -> api.Response:
    return client.patch(path, [{"op": "remove", "path": "/metadata/labels"}], api.JSON_PATCH)


WAYS: dict[str, tuple[Callable[[api.Api, str], api.Response], str]] = {
    "labels: null": (_merged, ""),
    "labels: null in status": (_merged, "/status"),
    "each by name": (_one_by_one, ""),
    "a PUT without": (_replaced, ""),
    "a PUT of finalize": (_replaced, "/finalize"),
    "a JSON patch": (_removed, ""),
}


def labels_of(cluster: controlplane.Cluster, path: str) -> dict[str, str]:
    return dict(cluster.admin.get(path).expect(200).body["metadata"]["labels"])


@pytest.mark.parametrize("setlevel", [True, False], ids=["setlevel", "creator"])
@pytest.mark.parametrize("way", WAYS)
def test_who_leaves_no_label_takes_none_of_ours(
    complete: controlplane.Cluster, relaxed: str, way: str, setlevel: bool
) -> None:
    """By any method, the operator's labels keep their values and do not fall back to those of label-at-birth.

    Only the namespace controller and holders of setlevel may write finalize.
    """
    verbs = ("get", "patch", "update", *(["setlevel"] if setlevel else []))
    resources = "namespaces,namespaces/status,namespaces/finalize"
    client = complete.api(workbench.may(complete, "dropper" if setlevel else "careless", resources, *verbs))
    change, subresource = WAYS[way]
    answer = workbench.sound(change(client, relaxed + subresource))
    if subresource == "/finalize" and not setlevel:
        workbench.refused(answer, "only the namespace controller may write namespaces/finalize")
        return
    answer.expect(200)
    assert labels_of(complete, relaxed) == {NAME: relaxed.rpartition("/")[2], **RELAXED}


def test_a_manifest_that_loses_its_last_label_takes_none_of_ours(complete: controlplane.Cluster) -> None:
    """An administrator applied a manifest with a label and now applies it without: kubectl sends labels: null."""
    name = f"kept-{next(_numbers)}"

    def apply(*values: str) -> None:
        metadata: dict[str, Any] = {"name": name, **({"labels": dict.fromkeys(values, "x")} if values else {})}
        text = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        done = complete.kubectl("apply", "-f", "-", stdin=text)
        assert done.returncode == 0, done.stderr

    apply("team")
    path = f"/api/v1/namespaces/{name}"
    lifted = {labels.GUARD: "baseline", labels.PSA_ENFORCE: "privileged"}
    complete.admin.patch(path, {"metadata": {"labels": lifted}}).expect(200)
    before = labels_of(complete, path)
    apply()
    assert labels_of(complete, path) == {key: text for key, text in before.items() if key != "team"}
    assert labels_of(complete, path).items() >= lifted.items()


def test_who_has_setlevel_and_names_labels_is_obeyed(complete: controlplane.Cluster, relaxed: str) -> None:
    """A holder of setlevel can remove labels by name if the namespace keeps another label, as in break-glass.md."""
    client = complete.api(workbench.may(complete, "renamer", "namespaces", "get", "patch", "update", "setlevel"))
    gone = dict.fromkeys((labels.ENFORCEMENT, labels.GUARD))
    client.patch(relaxed, {"metadata": {"labels": {**gone, labels.PSA_ENFORCE: "baseline"}}}).expect(200)
    present = labels_of(complete, relaxed)
    assert (present.keys() & gone.keys(), present[labels.PSA_ENFORCE]) == (set(), "baseline")


def test_the_operator_takes_its_labels_off(complete: controlplane.Cluster, relaxed: str) -> None:
    """The operator can remove its labels even if no other label is left, as in mode Release."""
    complete.admin.patch(relaxed, {"metadata": {"labels": {"team": None}}}).expect(200)
    _one_by_one(complete.api(workbench.operator(complete)), relaxed).expect(200)
    assert labels_of(complete, relaxed).keys() == {NAME}


@pytest.mark.parametrize("enforcement", ["Audit", "Held"])
def test_a_level_that_nothing_enforces_is_its_owners(complete: controlplane.Cluster, enforcement: str) -> None:
    """If an owner removes privileged, the last label of the manifest, the policy does not silently restore it."""
    name = f"kept-{next(_numbers)}"
    values = {labels.ENFORCEMENT: enforcement, labels.PSA_ENFORCE: "privileged", labels.PSA_WARN: "baseline"}
    complete.admin.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": values}}).expect(201)
    path = f"/api/v1/namespaces/{name}"
    complete.admin.patch(path, {"metadata": {"labels": None}}).expect(200)
    kept = {labels.ENFORCEMENT: enforcement, labels.PSA_WARN: "baseline"}
    assert labels_of(complete, path) == {NAME: name, **kept}


def test_a_namespace_that_nobody_governs_is_its_owners(complete: controlplane.Cluster) -> None:
    """The Pod Security labels of an ungoverned namespace are not the operator's."""
    name = f"kept-{next(_numbers)}"
    values = {labels.ENFORCEMENT: "Audit", labels.PSA_WARN: "baseline"}
    complete.admin.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": values}}).expect(201)
    path = f"/api/v1/namespaces/{name}"
    complete.admin.patch(path, {"metadata": {"labels": {labels.ENFORCEMENT: None}}}).expect(200)
    complete.admin.patch(path, {"metadata": {"labels": None}}).expect(200)
    assert labels_of(complete, path).keys() == {NAME}
