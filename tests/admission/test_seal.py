"""The seal (manifests/static): nobody changes or deletes our policies, CRDs and rights through the API.

The API server of these tests reads the seal from a directory, as on a control plane node.
"""

import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from hostnetwork_operator import seal
from hostnetwork_operator.api import labels
from tests.controlplane import api
from tests.controlplane import cluster as controlplane
from tests.unit.test_seal import FAULTS, write

pytestmark = pytest.mark.since("1.37", "admission policies from files")
ROOT = pathlib.Path(__file__).parent.parent.parent
STATIC = ROOT / "manifests" / "static"
APPLIED = (("-f", "crds"), ("-k", "manifests/admission"), ("-k", "manifests/components/label-at-birth"))
RIGHTS = ("operator-clusterrole.yaml", "operator-clusterrolebinding.yaml")
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
HOST_NAMESPACES = f"{ADMISSION}/validatingadmissionpolicies/host-namespaces.{labels.GROUP}"
BINDING = f"{ADMISSION}/validatingadmissionpolicybindings/host-namespaces-deny.{labels.GROUP}"
SEALED = {
    "policy": HOST_NAMESPACES,
    "binding": BINDING,
    "mutating policy": f"{ADMISSION}/mutatingadmissionpolicies/label-at-birth.{labels.GROUP}",
    "mutating binding": f"{ADMISSION}/mutatingadmissionpolicybindings/label-at-birth-all.{labels.GROUP}",
    "CRD": f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/hostnetworkexceptions.{labels.GROUP}",
    "ClusterRole": f"{RBAC}/clusterroles/hostnetwork-operator",
    "ClusterRoleBinding": f"{RBAC}/clusterrolebindings/hostnetwork-operator",
}
CHANGES: dict[str, dict[str, Any]] = {
    "a label": {"metadata": {"labels": {"a": "b"}}},
    "an annotation": {"metadata": {"annotations": {"a": "b"}}},
    "a finalizer": {"metadata": {"finalizers": ["example.com/stay"]}},
    "an owner that does not exist": {
        "metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "none", "uid": "none"}]}
    },
}


@pytest.fixture(scope="module")
def sealed() -> Iterator[controlplane.Cluster]:
    """A control plane with the seal and everything that it seals."""
    with controlplane.Cluster(sealed=True) as cluster:
        apply(cluster)
        yield cluster


def apply(cluster: controlplane.Cluster, *words: str) -> None:
    """Apply what is sealed, as one of the usual tools does."""
    for flag, path in (*APPLIED, *(("-f", f"manifests/rbac/{name}") for name in RIGHTS)):
        done = cluster.kubectl("apply", "--server-side", *words, flag, str(ROOT / path))
        assert done.returncode == 0, done.stderr


def refused(answer: api.Response) -> bool:
    return answer.status == 403 and "'seal.hostnetwork-operator.static.k8s.io'" in answer.message


@pytest.mark.parametrize("path", SEALED.values(), ids=SEALED)
def test_an_administrator_cannot_delete(sealed: controlplane.Cluster, path: str) -> None:
    """Neither by name nor all of a kind, and whether or not the administrator is in system:masters."""
    assert refused(sealed.admin.delete(path))
    assert refused(sealed.admin.delete(path, {"gracePeriodSeconds": 0, "propagationPolicy": "Orphan"}))
    collection, _, name = path.rpartition("/")
    assert refused(sealed.admin.delete(f"{collection}?fieldSelector=metadata.name%3D{name}"))
    assert sealed.admin.get(path).status == 200


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("path", SEALED.values(), ids=SEALED)
def test_an_administrator_cannot_change(sealed: controlplane.Cluster, path: str, change: dict[str, Any]) -> None:
    """Neither with a patch nor with a replacement. The garbage collector would delete an object whose owner does not
    exist.
    """
    assert refused(sealed.admin.patch(path, change))
    body = sealed.admin.get(path).expect(200).body
    body["metadata"] = {**body["metadata"], **change["metadata"]}
    assert refused(sealed.admin.put(path, body))


def test_an_administrator_cannot_weaken(sealed: controlplane.Cluster) -> None:
    """No other action, selector, expression, rule or subject."""
    assert refused(sealed.admin.patch(BINDING, {"spec": {"validationActions": ["Warn"]}}))
    selector = {"matchLabels": {"none": "none"}}
    assert refused(sealed.admin.patch(BINDING, {"spec": {"matchResources": {"namespaceSelector": selector}}}))
    assert refused(sealed.admin.patch(HOST_NAMESPACES, {"spec": {"failurePolicy": "Ignore"}}))
    assert refused(sealed.admin.patch(SEALED["ClusterRole"], {"rules": []}))
    assert refused(sealed.admin.patch(SEALED["ClusterRoleBinding"], {"subjects": None}))


def test_no_group_opens_the_seal(sealed: controlplane.Cluster) -> None:
    """An administrator may impersonate any user and any group. The seal asks for none."""
    for group in ("system:masters", "system:nodes", "hostnetwork-operator:seal"):
        done = sealed.kubectl("delete", "validatingadmissionpolicy", HOST_NAMESPACES.rpartition("/")[2], "--as=x",
                              f"--as-group={group}", "--as-group=system:masters")  # fmt: skip
        assert "'seal.hostnetwork-operator.static.k8s.io'" in done.stderr, done.stderr


def test_what_is_applied_again_passes(sealed: controlplane.Cluster) -> None:
    """Flux and Argo CD apply unchanged objects again and again, with their own managers. The status is written too."""
    apply(sealed)
    apply(sealed, "--force-conflicts", "--field-manager=kustomize-controller")
    for path in (SEALED["policy"], SEALED["CRD"]):
        body = sealed.admin.get(path).expect(200).body
        sealed.admin.put(path, body).expect(200)
        sealed.admin.put(f"{path}/status", body).expect(200, 409)


def test_objects_of_others_are_not_sealed(sealed: controlplane.Cluster) -> None:
    """A policy, a CRD and a role of another owner change and go as ever."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "other"},
        "rules": [],
    }
    policy = sealed.admin.get(HOST_NAMESPACES).expect(200).body
    policy = {**policy, "metadata": {"name": "host-namespaces.example.com"}}
    for collection, body in ((f"{RBAC}/clusterroles", role), (f"{ADMISSION}/validatingadmissionpolicies", policy)):
        sealed.admin.post(collection, body).expect(201)
        path = f"{collection}/{body['metadata']['name']}"
        sealed.admin.patch(path, CHANGES["a label"]).expect(200)
        sealed.admin.delete(path).expect(200)


def test_the_seal_opens_and_closes_by_its_file(sealed: controlplane.Cluster) -> None:
    """The API server takes up the file of open/ within a minute, and the seal again.

    A change while the seal is open gets a warning.
    """
    assert sealed.seal is not None
    probe = f"{HOST_NAMESPACES}?dryRun=All"
    try:
        _exchange(STATIC / "open" / "seal.yaml", sealed.seal)
        sealed.wait("the open seal", lambda: not refused(sealed.admin.patch(probe, CHANGES["a label"])), 60)
        done = sealed.kubectl("label", "validatingadmissionpolicy", HOST_NAMESPACES.rpartition("/")[2], "a=b")
        assert done.returncode == 0, done.stderr
        assert "Warning: Validation failed for ValidatingAdmissionPolicy 'seal." in done.stderr
        sealed.admin.patch(HOST_NAMESPACES, {"metadata": {"labels": {"a": None}}}).expect(200)
    finally:
        _exchange(STATIC / "seal.yaml", sealed.seal)
    sealed.wait("the closed seal", lambda: refused(sealed.admin.patch(probe, CHANGES["a label"])), 60)


def test_upgrade_downgrade_and_removal_need_the_seal_open(sealed: controlplane.Cluster, tmp_path: pathlib.Path) -> None:
    """docs/howto/seal.md: open, act, close. Break-glass removes a binding, uninstallation also the CRDs."""
    assert sealed.seal is not None
    probe = f"{HOST_NAMESPACES}?dryRun=All"

    def turn(source: pathlib.Path, *, closed: bool) -> None:
        assert sealed.seal is not None
        _exchange(source, sealed.seal)
        sealed.wait(str(source), lambda: refused(sealed.admin.patch(probe, CHANGES["a label"])) is closed, 60)

    def applied(directory: pathlib.Path) -> str:
        done = sealed.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(directory))
        assert (done.returncode == 0) is ("denied request: seal: " not in done.stderr), done.stderr
        return done.stderr

    present, other = ROOT / "manifests" / "admission", tmp_path / "admission"
    shutil.copytree(present, other)
    text = (other / "host-namespaces.yaml").read_text()
    (other / "host-namespaces.yaml").write_text(
        text.replace("host-namespaces: ", "host-namespaces of another release: ")
    )
    assert text.count("host-namespaces: ")
    try:
        for target in (other, present):  # the upgrade and the downgrade
            assert "denied request: seal: " in applied(target)
            turn(STATIC / "open" / "seal.yaml", closed=False)
            assert "Warning: Validation failed" in applied(target)
            turn(STATIC / "seal.yaml", closed=True)
        assert refused(sealed.admin.delete(BINDING))
        turn(STATIC / "open" / "seal.yaml", closed=False)
        sealed.admin.delete(BINDING).expect(200)
        for path in sealed.admin.items("/apis/apiextensions.k8s.io/v1/customresourcedefinitions"):
            sealed.admin.delete(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{path['metadata']['name']}")
    finally:
        sealed.wait("everything is back", lambda: _restored(sealed), 60)
        turn(STATIC / "seal.yaml", closed=True)


def _restored(cluster: controlplane.Cluster) -> bool:
    """Apply everything; return whether that worked. A CRD that is being deleted cannot be applied."""
    words = ("apply", "--server-side", "--force-conflicts")
    return all(
        cluster.kubectl(*words, flag, str(ROOT / path)).returncode == 0
        for flag, path in (*APPLIED, *(("-f", f"manifests/rbac/{name}") for name in RIGHTS))
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_no_api_server_starts_with_a_file_that_the_check_refuses(sealed: controlplane.Cluster, fault: str) -> None:
    """`python -m hostnetwork_operator.seal check` finds the fault first. The running API server keeps the seal."""
    assert sealed.seal is not None
    change, _ = FAULTS[fault]
    change(sealed.seal)
    try:
        assert seal.main(["check", str(sealed.seal)]) == 1
        with pytest.raises(controlplane.NotReadyError, match="kube-apiserver-2 DOES NOT RUN"):
            sealed.add_apiserver(f"http://127.0.0.1:{sealed.ports.etcd}")
        assert refused(sealed.admin.patch(HOST_NAMESPACES, CHANGES["a label"]))
    finally:
        sealed.remove_apiserver()
        _exchange(STATIC / "seal.yaml", sealed.seal)  # first, because an empty directory is an open seal
        for path in sealed.seal.iterdir():
            if path.name != "seal.yaml":
                path.unlink()
    assert seal.main(["check", str(sealed.seal)]) == 0


def test_an_empty_file_opens_the_seal(sealed: controlplane.Cluster) -> None:
    """A file that is written in place is empty for a moment, so administrators rename a file. The check finds this."""
    assert sealed.seal is not None
    write(sealed.seal / "seal.yaml", "")
    try:
        assert seal.main(["check", str(sealed.seal)]) == 1
        probe = f"{HOST_NAMESPACES}?dryRun=All"
        sealed.wait("the open seal", lambda: not refused(sealed.admin.patch(probe, CHANGES["a label"])), 90)
    finally:
        _exchange(STATIC / "seal.yaml", sealed.seal)
        sealed.wait("the closed seal", lambda: refused(sealed.admin.patch(probe, CHANGES["a label"])), 90)


def test_both_files_have_the_same_policy() -> None:
    """They differ in what the binding does."""
    closed, opened = (list(yaml.safe_load_all((STATIC / name).read_text())) for name in ("seal.yaml", "open/seal.yaml"))
    assert closed[0] == opened[0]
    assert (closed[1]["spec"].pop("validationActions"), opened[1]["spec"].pop("validationActions")) == (
        ["Deny"],
        ["Warn", "Audit"],
    )
    assert closed[1] == opened[1]


def _exchange(source: pathlib.Path, directory: pathlib.Path) -> None:
    """As an administrator does: the new file beside the old one, then a rename, so that no half file is read."""
    shutil.copy(source, directory / "seal.next")
    (directory / "seal.next").rename(directory / "seal.yaml")
