"""docs/howto/uninstall.md, followed on a cluster with a history, leaves every namespace as it was before adoption.

HNO_NAMESPACES sets the number of namespaces (default 30). 300 namespaces are more than exemptNamespaces could name.
"""

import dataclasses
import datetime
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hostnetwork_operator.api import labels
from tests.controlplane import cluster, operator
from tests.docs import markdown
from tests.docs import test_readme_commands as readme

DOCUMENT = markdown.ROOT / "docs" / "howto" / "uninstall.md"
BLOCKS = {block.name: block for block in markdown.blocks(DOCUMENT)}
NAMESPACES = int(os.environ.get("HNO_NAMESPACES", "30"))
PSA = "pod-security.kubernetes.io"
TOOL = "registry.example.com/tool:1"
_run_blocks: set[str] = set()


@dataclasses.dataclass(frozen=True)
class Past:
    """A namespace before adoption, with its contents; `manager` owns its labels by server-side apply."""

    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    annotations: dict[str, str] = dataclasses.field(default_factory=dict)
    manager: str = ""
    offender: bool = False
    excepted: bool = False


PASTS = (
    Past(),
    Past({f"{PSA}/enforce": "privileged", "team": "web"}, {"example.com/cost-centre": "4711"}),
    Past({f"{PSA}/enforce": "restricted", f"{PSA}/enforce-version": "v1.30"}),
    Past({f"{PSA}/enforce": "baseline", f"{PSA}/warn": "baseline", f"{PSA}/audit": "privileged"}, manager="gitops"),
    Past({f"{PSA}/warn": "baseline", f"{PSA}/warn-version": "v1.31"}, offender=True),
    Past(excepted=True),
    Past({f"{PSA}/enforce": "privileged", f"{PSA}/enforce-version": "v1.29"}, excepted=True),
)
PAST = {f"ns-{number:03}": PASTS[number % len(PASTS)] for number in range(NAMESPACES)}


class Leaver(readme.Reader):
    """A user who adopted the operator everywhere and uninstalls it."""

    def __init__(self, control_plane: cluster.Cluster, checkout: pathlib.Path) -> None:
        super().__init__(control_plane, checkout)
        self.before: dict[str, Any] = {}

    def arrange(self) -> None:
        """Create namespaces with a history, and keep their labels and annotations for later comparison."""
        self.paste(f"kubectl apply -f {markdown.ROOT / 'tests/reports/openreports.yaml'}")
        (self.checkout / "my-cluster").mkdir()
        text = f"resources: [../manifests/overlays/{operator.enforcing()}]\n"
        (self.checkout / "my-cluster" / "kustomization.yaml").write_text(text)
        for name, past in PAST.items():
            metadata = {"name": name, "labels": past.labels, "annotations": past.annotations}
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
            if past.manager:
                self.api.apply(f"/api/v1/namespaces/{name}", body, past.manager).expect(201)
            else:
                self.api.post("/api/v1/namespaces", body).expect(201)
        for name, past in PAST.items():
            account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
            self.until("a service account", lambda path=account: self.api.get(path).status == 200)
            if past.offender:
                self.host_pod(name).expect(201)
        self.before = self.namespace_metadata()

    def adopt(self) -> None:
        """Apply the overlay enforce, start the operator and wait until all namespaces are governed."""
        self.paste("kubectl apply -k manifests/admission")
        self.paste("kubectl apply --server-side -f crds/ && kubectl wait --for=condition=Established -f crds/")
        self.paste("kubectl apply -k my-cluster")
        readme._installed(self)
        self.until("all governed", lambda: all(self.label(name, labels.ENFORCEMENT) for name in PAST))

    def host_pod(self, namespace: str, name: str = "agent") -> Any:
        spec = {"hostNetwork": True, "containers": [{"name": "c", "image": TOOL}]}
        return self.api.post(f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": name}, "spec": spec})

    def create_exceptions(self) -> None:
        """Create exceptions, and a pod under each exception once it is in force."""
        expiry = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=2)  # noqa: TID251
        spec = {"type": "Diagnostic", "owner": "team-sre", "reason": "Capture SYN retries on a node", "images": [TOOL]}
        body = {
            "apiVersion": labels.API_VERSION,
            "kind": "HostNetworkException",
            "metadata": {"name": "agent"},
            "spec": {**spec, "ticket": "INC-4711", "expiry": f"{expiry:%Y-%m-%dT%H:%M:%SZ}"},
        }
        excepted = [name for name, past in PAST.items() if past.excepted]
        for name in excepted:
            path = f"/apis/{labels.API_VERSION}/namespaces/{name}/hostnetworkexceptions"
            self.api.post(path, body).expect(201)
        for name in excepted:
            self.until("it is relaxed", lambda name=name: self.has_labels(name, "Deny", "privileged", "baseline"))
            self.until("a pod under it", lambda name=name: self.host_pod(name).status in {201, 409})

    def namespace_metadata(self) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
        """Return the labels and annotations of every namespace except the operator's."""
        return {
            body["metadata"]["name"]: (body["metadata"]["labels"], body["metadata"].get("annotations", {}))
            for body in self.api.items("/api/v1/namespaces")
            if not body["metadata"]["name"].startswith("hostnetwork-")
        }

    def follow(self, name: str) -> str:
        """Run a block; repeat a block that only reads until it shows the document's output."""
        _run_blocks.add(name)
        block = BLOCKS[name]
        output = self.paste(block.script)
        deadline = time.monotonic() + cluster.PATIENCE * 30
        while block.shown and output != block.shown and time.monotonic() < deadline:
            time.sleep(0.5)
            output = self.paste(block.script)
        assert output == block.shown or not block.shown, output
        return output

    def levels_unknown(self) -> int:
        """Return the number of namespaces whose earlier level is unknown, from the policy's status."""
        path = f"/apis/{labels.API_VERSION}/hostnetworkexceptionpolicies/default"
        return int(self.api.get(path).expect(200).body.get("status", {}).get("ledger", {}).get("levelsUnknown", 0))

    def reports(self) -> set[str]:
        """Return the namespaces with a report."""
        return {body["metadata"]["namespace"] for body in self.api.items("/apis/openreports.io/v1alpha1/reports")}

    def own_objects(self) -> list[str]:
        """Return every object of any kind whose name or group is the operator's, except Events."""
        kinds = self.paste("kubectl api-resources --verbs=list -o name").split()
        listed_kinds = ",".join(kind for kind in kinds if kind.split(".")[0] != "events")
        names = self.paste(f"kubectl get {listed_kinds} -A -o name --ignore-not-found").split()
        return [name for name in names if "hostnetwork" in name]

    def wait_until_governed(self, *, excepted: bool) -> None:
        """Wait until every namespace is enforced, or Held because of its host-namespace pod.

        If `excepted`, exceptions cover some of the pods.
        """
        for name, past in PAST.items():
            expected = "Held" if past.offender or (past.excepted and not excepted) else "Deny"
            self.until(f"{name} is {expected}", lambda n=name, w=expected: self.label(n, labels.ENFORCEMENT) == w)

    def release(self) -> None:
        for name in ("keep", "birth", "release", "released"):
            self.follow(name)


@pytest.fixture(scope="module")
def leaver() -> Iterator[Leaver]:
    with readme.following(Leaver) as user:
        user.adopt()
        yield user


def test_it_has_a_hold_on_all_of_them(leaver: Leaver) -> None:
    """Before the release there are enforced, relaxed and Held namespaces, and flagged pods."""
    leaver.create_exceptions()
    probes: dict[str, Callable[[str], bool]] = {
        name: (lambda n: leaver.has_labels(n, "Held", None)) if past.offender else (lambda n: _denied(leaver, n))
        for name, past in PAST.items()
    }
    for name, probe in probes.items():
        leaver.until(f"{name} stands", lambda probe=probe, name=name: probe(name))
    flagged = [name for name, past in PAST.items() if past.offender]
    leaver.until("flagged", lambda: all(leaver.flagged(name) == ["agent"] for name in flagged))
    inhabited = {name for name, past in PAST.items() if past.offender or past.excepted}
    leaver.until("reported", lambda: leaver.reports() == inhabited)
    assert set(leaver.namespace_metadata()) == set(leaver.before)


def _denied(leaver: Leaver, name: str) -> bool:
    return leaver.label(name, labels.ENFORCEMENT) == "Deny"


def test_released_every_namespace_is_as_it_was(leaver: Leaver) -> None:
    """Labels and annotations of every namespace are exactly as before adoption; pods run on, without a flag."""
    pods = {pod["metadata"]["uid"] for pod in leaver.api.items("/api/v1/pods")}
    assert leaver.levels_unknown() == 0
    leaver.release()
    assert leaver.namespace_metadata() == leaver.before
    pods_after = leaver.api.items("/api/v1/pods")
    assert {pod["metadata"]["uid"] for pod in pods_after} == pods
    assert not any(labels.VERDICT in pod["metadata"].get("labels", {}) for pod in pods_after)
    assert leaver.reports() == set()
    leaver.api.post("/api/v1/namespaces", {"metadata": {"name": "later"}}).expect(201)
    leaver.host_pod("ns-000", "anybody").expect(201)
    assert leaver.namespace_metadata()["later"] == ({"kubernetes.io/metadata.name": "later"}, {})
    leaver.api.delete("/api/v1/namespaces/later").expect(200)
    leaver.api.delete("/api/v1/namespaces/ns-000/pods/anybody").expect(200)


def test_a_release_is_taken_back_by_the_overlay(leaver: Leaver) -> None:
    """After the overlay is applied again, the operator governs as on the first day, and can be released again.

    A pod that violates the target blocks enforcement in its namespace.
    """
    leaver.paste("kubectl apply -k my-cluster")
    leaver.wait_until_governed(excepted=True)
    leaver.release()
    assert leaver.namespace_metadata() == leaver.before


def test_deleted_nothing_of_ours_is_in_the_cluster(leaver: Leaver) -> None:
    """No object of any kind is left except Events, and the namespaces are as before."""
    assert leaver.operator.stop() == 0
    leaver.follow("delete")
    leaver.follow("bindings")
    leaver.until("nothing is left", lambda: leaver.own_objects() == [])
    assert leaver.namespace_metadata() == leaver.before


def test_installed_again_it_picks_up(leaver: Leaver) -> None:
    """The operator governs as the first time; in Audit the levels are those from before."""
    leaver.adopt()
    leaver.wait_until_governed(excepted=False)
    leaver.follow("audit")
    for name, (before, _) in leaver.before.items():
        if not name.startswith("kube-"):
            leaver.until(
                "as it was", lambda n=name, b=before: leaver.label(n, labels.PSA_ENFORCE) == b.get(labels.PSA_ENFORCE)
            )


def test_gone_before_its_time_it_can_be_taken_off_all_the_same(leaver: Leaver) -> None:
    """The operator, the ledger, the policies and the CRDs are deleted while namespaces are enforced.

    After another installation all of it can be removed. The levels are restored from the annotations.
    """
    leaver.paste("kubectl apply -k my-cluster")
    leaver.until("enforced", lambda: _denied(leaver, "ns-000"))
    assert leaver.operator.stop() == 0
    leaver.follow("delete")
    report_prefix = "report.openreports.io/"
    leaver.until(
        "only what it left", lambda: not [name for name in leaver.own_objects() if not name.startswith(report_prefix)]
    )
    assert leaver.namespace_metadata() != leaver.before
    assert leaver.reports()
    leaver.adopt()
    leaver.until("it is said", lambda: leaver.levels_unknown() > 0)
    leaver.release()
    leaver.follow("levels-back")
    assert {name: _enforcing_metadata(*metadata) for name, metadata in leaver.namespace_metadata().items()} == {
        name: _enforcing_metadata(*metadata) for name, metadata in leaver.before.items()
    }
    assert leaver.reports() == set()


def _enforcing_metadata(
    namespace_labels: dict[str, str], annotations: dict[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the metadata without the Pod Security labels that refuse nothing."""
    return {
        key: value for key, value in namespace_labels.items() if key == f"{PSA}/enforce" or not key.startswith(PSA)
    }, annotations


def test_every_command_of_the_document_was_run() -> None:
    """The tests ran every block; tests/charts runs the blocks for the installation file and for Helm."""
    assert set(BLOCKS) == _run_blocks | {"delete-file", "delete-helm"}
    assert DOCUMENT.read_text().count("```bash") == len(BLOCKS)
