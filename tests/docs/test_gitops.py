"""docs/howto/gitops.md: its overlays build, its orders are those of kubectl and Helm, its commands end in Active.

The tests do not run Flux and Argo CD. They build with kubectl what these tools would apply, and check the result.
"""

import datetime
import itertools
import pathlib
import re
import shutil
import subprocess
import time
from typing import Any

import pytest
import yaml

from charts import render
from hostnetwork_operator.api import labels
from tests.charts import helm
from tests.controlplane import binary, operator
from tests.docs import markdown
from tests.docs import test_readme_commands as readme

PAGE = markdown.ROOT / "docs" / "howto" / "gitops.md"
BLOCKS = {block.name: block for block in markdown.blocks(PAGE)}
FILES = markdown.files(PAGE)
POLICIES = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
EXCEPTION, POLICY_OBJECT = "HostNetworkException", "HostNetworkExceptionPolicy"
WAVE = "argocd.argoproj.io/sync-wave"
LEDGER = f"/apis/{labels.API_VERSION}/hostnetworkexceptionpolicies/default"
# A namespace and its exception that a repository contains from its first day.
EXCEPTIONS = """\
apiVersion: v1
kind: Namespace
metadata: {name: boot}
---
apiVersion: hostnetwork-operator.github.io/v1alpha1
kind: HostNetworkException
metadata: {name: agent, namespace: boot}
spec:
  type: Infrastructure
  owner: team-edge
  contact: edge@example.com
  reason: Serves the ports of the nodes
  serviceAccountName: agent
"""
Bodies = list[dict[str, Any]]
Identity = tuple[str, str, str]


def _bodies(text: str) -> Bodies:
    return [body for body in yaml.safe_load_all(text) if body]


def _by_identity(bodies: Bodies) -> dict[Identity, dict[str, Any]]:
    by_identity = {}
    for body in bodies:
        by_identity[body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"]] = body
    assert len(by_identity) == len(bodies), "an object twice"
    return by_identity


def _kinds(bodies: Bodies) -> list[str]:
    """Return the kinds in order, each once per run of equal kinds."""
    return [kind for kind, _ in itertools.groupby(body["kind"] for body in bodies)]


def _write(repository: pathlib.Path) -> None:
    """Create a Git repository as on the page: crds/, manifests/, exceptions/, dist/ and the files that it shows."""
    for name in ("crds", "manifests"):
        if not (repository / name).exists():
            shutil.copytree(markdown.ROOT / name, repository / name)
    files = {
        **FILES,
        "exceptions/boot.yaml": EXCEPTIONS,
        "dist/admission.yaml": render.admission_yaml(),
        "dist/install-enforce.yaml": render.install_yaml(operator.enforcing()),
        "argo-cd/install-audit.yaml": render.install_yaml("audit"),
        "argo-cd/exceptions.yaml": EXCEPTIONS,
    }
    for name, text in files.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)


@pytest.fixture
def repository(tmp_path: pathlib.Path) -> pathlib.Path:
    _write(tmp_path)
    return tmp_path


def _kustomize(directory: pathlib.Path) -> Bodies:
    command = [*binary.find_or_build().command("kubectl"), "kustomize", str(directory)]
    return _bodies(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _definitions() -> Bodies:
    return [body for path in render._definitions() for body in _bodies(path.read_text())]


def _as_helm_applies(bodies: Bodies) -> Bodies:
    """Return the objects in Helm's order: kinds unknown to Helm after all others, sorted by kind."""
    unknown = {EXCEPTION, POLICY_OBJECT, *POLICIES, *(kind.replace("Validating", "Mutating") for kind in POLICIES)}
    return sorted(bodies, key=lambda body: body["kind"] if body["kind"] in unknown else "")


# -- builds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlay", render.OVERLAYS)
def test_policies_and_operator_of_flux_are_the_overlay_and_no_object_has_two_owners(
    repository: pathlib.Path, overlay: str
) -> None:
    """The two Kustomizations together apply the ordinary overlay, object for object, except for minReadySeconds."""
    directory = repository / "hostnetwork-operator"
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text())
    assert kustomization["resources"] == ["../manifests/overlays/audit"]
    kustomization["resources"] = [f"../manifests/overlays/{overlay}"]
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    operator_objects, policies = (
        _by_identity(_kustomize(directory)),
        _by_identity(_kustomize(repository / "manifests" / "admission")),
    )
    # The probe of the seal is a policy that no binding names. It restricts nothing, so its order does not matter.
    probe = ("ValidatingAdmissionPolicy", "", labels.SEAL_PROBE)
    assert {identity[0] for identity in operator_objects.keys() - {probe}} & set(POLICIES) == set()
    assert {identity[0] for identity in policies} == set(POLICIES)
    deployment = operator_objects["Deployment", "hostnetwork-system", "hostnetwork-operator"]
    assert deployment["spec"].pop("minReadySeconds") == 10
    ordinary = {"resources": kustomization["resources"], "images": kustomization["images"]}
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(ordinary))
    assert {**policies, **operator_objects} == _by_identity(_kustomize(directory))


def test_each_kustomization_of_flux_waits_for_the_one_before(repository: pathlib.Path) -> None:
    """Policies, CRDs, operator and exceptions are ready in this order; Flux prunes nothing that exceptions need."""
    steps = _bodies(FILES["flux/hostnetwork.yaml"])
    assert [step["spec"]["path"] for step in steps] == [
        "./manifests/admission",
        "./crds",
        "./hostnetwork-operator",
        "./exceptions",
    ]
    for step in steps:
        directory = repository / step["spec"]["path"]
        assert list(directory.glob("*.yaml")), directory
        assert "force" not in step["spec"]
    for previous, step in itertools.pairwise(steps):
        assert previous["spec"]["wait"] is True
        assert step["spec"]["dependsOn"] == [{"name": previous["metadata"]["name"]}]
    assert [step["spec"]["prune"] for step in steps] == [False, False, True, True]


def test_the_waves_of_argo_cd_are_more_than_five_seconds_apart(repository: pathlib.Path) -> None:
    """The waves are policies, CRDs, operator, exceptions, with two seconds after each wave except the last.

    The waves omit no object.
    """
    bodies = _kustomize(repository / "argo-cd")
    waves: dict[int, set[str]] = {}
    for body in bodies:
        wave = int(body["metadata"].get("annotations", {}).get(WAVE, "0"))
        waves.setdefault(wave, set()).add(body["kind"])
    assert waves[-10] == set(POLICIES)
    assert waves[-5] == {"CustomResourceDefinition"}
    assert {"Deployment", POLICY_OBJECT, "Namespace"} <= waves[0]
    assert waves[10] == {EXCEPTION}
    assert 2 * (len(waves) - 1) > 5
    documents = [
        _bodies((repository / "argo-cd" / name).read_text()) for name in ("install-audit.yaml", "exceptions.yaml")
    ]
    assert _by_identity(bodies).keys() == _by_identity(list(itertools.chain(*documents))).keys()


def test_kubectl_sorts_as_the_page_says(repository: pathlib.Path) -> None:
    """The page's list is the order of these kinds in `kubectl apply -k`."""
    directory = repository / "all"
    directory.mkdir()
    for path in [*(repository / "crds").glob("*.yaml"), repository / "exceptions" / "boot.yaml"]:
        shutil.copy(path, directory)
    names = sorted(path.name for path in directory.glob("*.yaml"))
    body = {"resources": [*names, "../manifests/overlays/enforce"]}
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(body))
    match = re.search(r"-k` sorts: ([\w\s,]+)\.", PAGE.read_text().replace("apply\n-k", "apply -k"))
    assert match
    kinds = re.findall(r"\w+", match[1])
    assert len(kinds) > 8
    assert [kind for kind in _kinds(_kustomize(directory)) if kind in kinds] == kinds


def test_helm_sorts_as_the_page_says(repository: pathlib.Path) -> None:
    """Helm applies CRDs first and unknown kinds last and by name, so a chart's exceptions come before the policies."""
    chart = repository / "chart"
    shutil.copytree(render.CHART, chart)
    (chart / "templates" / "exceptions.yaml").write_text(EXCEPTIONS)
    arguments = ["template", "x", str(chart), "-n", "hostnetwork-system", "--include-crds", "--kube-version", "1.36.0"]
    command = [str(helm.find_or_build()), *arguments, "--set", "mode=Enforce"]
    bodies = _bodies(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    match = re.search(r"by the name of the kind: ([\w\s,]+)\.", PAGE.read_text())
    assert match
    kinds = re.findall(r"\w+", match[1])
    assert [kind for kind in _kinds(bodies) if kind in kinds] == kinds
    assert _kinds(bodies)[0] == "CustomResourceDefinition"
    assert _kinds(_as_helm_applies(bodies))[-6:] == _kinds(bodies)[-6:]


# -- syncs ------------------------------------------------------------------------------------------------------------


class Syncer(readme.Reader):
    """A user with a repository and a cluster where nothing is installed."""

    run: set[str] = set()

    def arrange(self) -> None:
        _write(self.checkout)

    def follow(self, name: str) -> str:
        self.run.add(name)
        return self.paste(BLOCKS[name].script)

    def ready(self) -> str:
        return self.exception("boot", "agent")[0]

    def sync(self, bodies: Bodies) -> int:
        """Apply the objects in this order as one file, every second until kubectl exits 0; return how often it failed.

        The operator starts as soon as its service account exists.
        """
        file = self.checkout / "sync.yaml"
        file.write_text("---\n".join(yaml.safe_dump(body) for body in bodies))
        for failures in range(30):
            status = self.cluster.kubectl("apply", "--server-side", "-f", str(file)).returncode
            if not self.operator.running():
                self.operator.start(ready=False)
            if status == 0:
                return failures
            time.sleep(1)
        raise AssertionError("the sync never succeeded")

    def define(self) -> None:
        """Apply the CRDs and wait until they are served, as Helm and Flux do first."""
        self.paste("kubectl apply --server-side -f crds/ && kubectl wait --for=condition=Established -f crds/")

    def created(self, path: str) -> datetime.datetime:
        metadata = self.api.get(path).expect(200).body["metadata"]
        return datetime.datetime.fromisoformat(metadata["creationTimestamp"])


GROUP = "/apis/admissionregistration.k8s.io/v1"
WRITERS = f"{GROUP}/validatingadmissionpolicies/exception-writers.hostnetwork-operator.github.io"
DEFINITION = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/hostnetworkexceptions.{labels.GROUP}"
AGENT = f"{readme.EXCEPTIONS}/namespaces/boot/hostnetworkexceptions/agent"


def _trusting(repository: pathlib.Path) -> Bodies:
    """Return the page's overlay that trusts at installation, for the Kubernetes version under test."""
    kustomization = repository / "trusting" / "kustomization.yaml"
    kustomization.write_text(readme.before_1_36(kustomization.read_text()) if _older() else kustomization.read_text())
    return _kustomize(kustomization.parent)


def _older() -> bool:
    return not binary.release().has("1.36")


@pytest.mark.parametrize("definitions_first", [True, False], ids=["definitions-first", "one-file"])
def test_with_trust_every_exception_ends_active(definitions_first: bool) -> None:
    """Exceptions that Helm applies before the policies become Active without further steps, by repeated syncs only.

    They stay Active after the policy object no longer sets trustAtInstall.
    """
    with readme.following(Syncer) as syncer:
        bodies = _as_helm_applies([*_trusting(syncer.checkout), *_bodies(EXCEPTIONS)])
        if definitions_first:
            syncer.define()
        failures = syncer.sync([*_definitions(), *bodies])
        assert (failures == 0) == definitions_first, "kinds that are new with a file are refused in the first run"
        if definitions_first:
            assert syncer.created(AGENT) <= syncer.created(WRITERS)
        syncer.until("it is Active", lambda: syncer.ready() == "Active")
        syncer.until("it is recorded", lambda: _recorded(syncer))
        patch = '[{"op": "remove", "path": "/spec/exceptions/trustAtInstall"}]'
        syncer.paste(f"kubectl patch hnep default --type=json -p '{patch}'")
        syncer.until("the policy is read", lambda: _observed(syncer))
        assert syncer.ready() == "Active"


def _recorded(syncer: Syncer) -> bool:
    status = syncer.api.get(LEDGER).expect(200).body.get("status", {})
    return bool(status.get("ledger", {}).get("exceptions") == 1)


def _observed(syncer: Syncer) -> bool:
    body = syncer.api.get(LEDGER).expect(200).body
    return bool(body["status"]["observedGeneration"] == body["metadata"]["generation"])


def test_without_an_order_only_an_approver_helps() -> None:
    """Exceptions from before the policies are NotApproved; another sync approves nothing, the page's commands do."""
    with readme.following(Syncer) as syncer:
        overlay = _kustomize(syncer.checkout / "manifests" / "overlays" / operator.enforcing())
        bodies = _as_helm_applies([*overlay, *_bodies(EXCEPTIONS)])
        syncer.define()
        assert syncer.sync(bodies) == 0
        syncer.until("it is NotApproved", lambda: syncer.ready() == "NotApproved")
        conditions = syncer.api.get(AGENT).body["status"]["conditions"]
        (message,) = [condition["message"] for condition in conditions if condition["type"] == "Ready"]
        assert "the exception was created before" in message or "less than 5 s after" in message
        assert syncer.sync(bodies) == 0
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            assert syncer.ready() == "NotApproved"
            time.sleep(0.2)
        assert "agent" in syncer.follow("approve")
        syncer.until("it is Active", lambda: syncer.ready() == "Active")


def test_the_two_commands_for_kubectl_end_active() -> None:
    """The policies, five seconds later everything else: an exception in these commands becomes Active without trust."""
    with readme.following(Syncer) as syncer:
        syncer.follow("kubectl")
        settled = syncer.created(WRITERS) + datetime.timedelta(seconds=5)
        # The first object of the second command, because the time that kubectl needs for the rest proves nothing.
        assert settled <= syncer.created(DEFINITION)
        assert syncer.api.get(WRITERS).body["metadata"]["generation"] == 1
        with syncer.operator:
            syncer.until("it is Active", lambda: syncer.ready() == "Active")


def test_the_page_shows_nothing_that_is_not_tested() -> None:
    """The tests above run each block, or build it if it is a file."""
    assert Syncer.run == set(BLOCKS)
    assert PAGE.read_text().count("```bash") == len(BLOCKS)
    assert set(FILES) == {
        "argo-cd/kustomization.yaml",
        "flux/hostnetwork.yaml",
        "hostnetwork-operator/kustomization.yaml",
        "trusting/kustomization.yaml",
    }
    assert PAGE.read_text().count("```yaml") == len(FILES)


def test_the_page_names_the_versions_that_are_tested() -> None:
    """The page names the versions of kubectl and Helm in the modules of the tests."""
    kubectl_version = re.search(r"k8s\.io/kubectl => k8s\.io/kubectl (v\S+)", (binary.MODULE / "go.mod").read_text())
    helm_version = re.search(r"helm\.sh/helm/v3 (v\S+)", (helm.MODULE / "go.mod").read_text())
    assert kubectl_version
    assert helm_version
    assert f"run kubectl {kubectl_version[1]} and Helm {helm_version[1]}" in PAGE.read_text()
