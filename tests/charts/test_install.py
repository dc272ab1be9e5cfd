"""The installation file for kubectl and the Helm chart contain the objects of crds/ and manifests/."""

import datetime
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from charts import render
from hostnetwork_operator.api import labels
from tests.charts import helm
from tests.controlplane import binary, cluster, operator
from tests.docs import markdown
from tests.docs import test_readme_commands as readme

DOCUMENT = markdown.ROOT / "docs" / "howto" / "install.md"
UNINSTALL = markdown.ROOT / "docs" / "howto" / "uninstall.md"
BLOCKS = {block.name: block for document in (DOCUMENT, UNINSTALL) for block in markdown.blocks(document)}
NAMESPACE = "hostnetwork-system"
RELEASE = "hostnetwork-operator"
IMAGE = "registry.example.com:5000/platform/hostnetwork-operator"
DIGEST = "sha256:" + "0" * 64
VALUES = {
    "audit": ["mode=Audit"],
    "enforce": ["mode=Enforce"],
    "enforce-before-1.36": ["mode=Enforce", "components=false"],
}
GUARDS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
POLICY_KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
SAMPLE = readme.SAMPLES / "exceptions" / "node-exporter.yaml"
Identity = tuple[str, str, str, str]


class Person(readme.Reader):
    """A user who follows docs/howto/install.md, with helm on the PATH."""

    def __init__(self, control_plane: cluster.Cluster, checkout: pathlib.Path, program: pathlib.Path) -> None:
        super().__init__(control_plane, checkout)
        self.run: set[str] = set()
        shutil.copytree(render.CHART, checkout / "charts" / render.CHART.name)
        (checkout / ".bin" / "helm").symlink_to(program)
        # Runs `make install-yaml` as make would, without setting up a .venv in this checkout.
        script = f'#!/bin/sh\ncd {render.ROOT} && exec {sys.executable} -m charts.render "$1" "${{2#IMAGE=}}"\n'
        (checkout / ".bin" / "make").write_text(script)
        (checkout / ".bin" / "make").chmod(0o755)
        (checkout / "dist").symlink_to(render.ROOT / "dist")

    def follow(self, name: str) -> str:
        """Run a block of the page.

        On Kubernetes before 1.36, use the other file and the other value that the page names.
        """
        self.run.add(name)
        script = BLOCKS[name].script
        if not binary.release().has("1.36"):
            script = script.replace("install-enforce.yaml", f"install-{operator.enforcing()}.yaml")
            script = script.replace("--set mode=Enforce", "--set mode=Enforce --set components=false")
        return self.paste(script)

    def mode(self) -> str:
        return self.paste("kubectl get hnep default -o jsonpath='{.spec.mode}'")

    def assert_policies_before_definitions(self) -> None:
        """Assert that each policy and binding is unchanged and at least five seconds older than the first CRD."""
        policies_and_bindings = [*filter(_restricts, self.api.items(GUARDS)), *self.api.items(BINDINGS)]
        assert len(policies_and_bindings) == len(_bodies(render.admission_yaml()))
        # The API server raises the generation with each change of the spec, also with a change of an expression's text.
        assert {body["metadata"]["generation"] for body in policies_and_bindings} == {1}
        definitions = self.api.items("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
        first_definition = min(_created(body) for body in definitions if "hostnetwork" in body["metadata"]["name"])
        assert max(_created(body) for body in policies_and_bindings) + datetime.timedelta(seconds=5) <= first_definition

    def assert_exception_counts(self) -> None:
        """Assert that an exception written now becomes approved without trustAtInstall and without further steps."""
        assert self.paste("kubectl get hnep default -o jsonpath='{.spec.exceptions.trustAtInstall}'") == ""
        self.paste("kubectl get namespace monitoring || kubectl create namespace monitoring")
        self.paste(f"kubectl create -f {SAMPLE}")
        with self.operator:
            self.until("it is Active", lambda: self.exception("monitoring", "node-exporter")[0] == "Active")


def _restricts(body: dict[str, Any]) -> bool:
    """Return whether the object is not the probe of the seal, a policy that no binding names."""
    return bool(body["metadata"]["name"] != labels.SEAL_PROBE)


def _created(body: dict[str, Any]) -> datetime.datetime:
    return datetime.datetime.fromisoformat(body["metadata"]["creationTimestamp"])


@pytest.fixture(scope="module")
def program() -> pathlib.Path:
    return helm.find_or_build()


@pytest.fixture(scope="module")
def person(program: pathlib.Path) -> Iterator[Person]:
    """A user on a fresh control plane of this module, with nothing installed."""
    with tempfile.TemporaryDirectory(prefix="hno-install-") as checkout, cluster.Cluster() as control_plane:
        yield Person(control_plane, pathlib.Path(checkout), program)


def _helm(program: pathlib.Path, *arguments: str) -> str:
    completed = _try(program, *arguments)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def _try(program: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as directory:
        environment = {"HOME": directory, "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            [str(program), *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False
        )


def _template(program: pathlib.Path, *values: str) -> list[dict[str, Any]]:
    arguments = ["template", RELEASE, str(render.CHART), "--namespace", NAMESPACE, "--include-crds"]
    arguments += ["--kube-version", "1.36.0", *(argument for value in values for argument in ("--set", value))]
    return _bodies(_helm(program, *arguments))


def _bodies(text: str) -> list[dict[str, Any]]:
    return [body for body in yaml.safe_load_all(text) if body]


def _by_identity(bodies: list[dict[str, Any]]) -> dict[Identity, dict[str, Any]]:
    by_identity = {}
    for body in bodies:
        metadata = body["metadata"]
        by_identity[body["apiVersion"], body["kind"], metadata.get("namespace", ""), metadata["name"]] = body
    assert len(by_identity) == len(bodies), "an object twice"
    return by_identity


def _without_blank_lines(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_blank_lines(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_blank_lines(item) for item in value]
    return re.sub(r"\n+", "\n", value) if isinstance(value, str) else value


# -- the installation file --------------------------------------------------------------------------------------------


def test_the_file_of_the_policies_has_them_word_for_word() -> None:
    """The file has all of manifests/admission and nothing else, in exactly the text of the Helm chart."""
    bodies = _by_identity(_bodies(render.admission_yaml()))
    assert {identity[1] for identity in bodies} == set(POLICY_KINDS)
    assert len(bodies) == len(_bodies(render._kustomized({"resources": ["../../manifests/admission"]})))
    chart = "".join((render.CHART / "templates" / path.name).read_text() for path in render._policies())
    assert all(text in chart for text in render.admission_yaml().split("---\n"))


@pytest.mark.parametrize("overlay", render.OVERLAYS)
def test_the_one_file_has_the_policies_first_then_the_definitions(overlay: str) -> None:
    """The file has admission.yaml, crds/ and the rest of the overlay, each namespace before its objects.

    The file omits nothing.
    """
    text = render.install_yaml(overlay)
    policies = render.admission_yaml()
    assert text.startswith(f"{policies}---\n")
    bodies = _bodies(text)
    kinds = [body["kind"] for body in bodies[len(_bodies(policies)) :] if _restricts(body)]
    assert [kind == "CustomResourceDefinition" for kind in kinds[:3]] == [True, True, False]
    assert kinds[2] == "Namespace"
    assert set(kinds) & set(POLICY_KINDS) == set()
    assert kinds.count("HostNetworkExceptionPolicy") == 1
    by_identity = _by_identity(bodies)
    expected = _by_identity(_bodies(render._kustomized({"resources": [f"../../manifests/overlays/{overlay}"]})))
    actual = {identity: body for identity, body in by_identity.items() if identity[1] != "CustomResourceDefinition"}
    assert _without_blank_lines(actual) == _without_blank_lines(expected)
    namespaces = {identity[3] for identity in by_identity if identity[1] == "Namespace"}
    # Every cluster has the namespace default, in which the operator may read the addresses of the API servers.
    assert {identity[2] for identity in by_identity} <= {"", "default", *namespaces}


@pytest.mark.parametrize(
    ("image", "expected"),
    [(f"{IMAGE}:1.2", f"{IMAGE}:1.2"), (f"{IMAGE}@{DIGEST}", f"{IMAGE}@{DIGEST}"), ("", "hostnetwork-operator:0.1.0")],
)
def test_the_image_of_the_one_file_can_be_said(image: str, expected: str) -> None:
    """A tag and a digest work, also with a registry port; without an image the file has the image of manifests/."""
    text = render.install_yaml("audit", image)
    assert re.findall(r"image: (\S+)", text) == [expected]


@pytest.mark.parametrize("image", ["nginx", f"{IMAGE}", "registry.example.com:5000/x"])
def test_an_image_without_a_version_is_refused(image: str) -> None:
    """Without a version the image would be :latest."""
    with pytest.raises(SystemExit, match="must have a tag or a digest"):
        render.install_yaml("audit", image)


def test_the_one_file_is_applied_at_the_second_go(person: Person) -> None:
    """The first apply creates everything except the policy object, whose kind is new; the second creates that.

    Then mode Enforce can be applied. An exception counts as soon as the steps are done.
    """
    person.follow("render")
    person.follow("policies")
    arguments = (
        "apply",
        "--server-side",
        "--dry-run=server",
        "-f",
        str(person.checkout / "dist" / "install-audit.yaml"),
    )
    first_apply = person.cluster.kubectl(*arguments)
    assert first_apply.returncode == 1
    assert 'no matches for kind "HostNetworkExceptionPolicy"' in first_apply.stderr
    lines = person.follow("file").splitlines()
    bodies = _bodies((person.checkout / "dist" / "install-audit.yaml").read_text())
    assert len([line for line in lines if "serverside-applied" in line]) == 2 * len(bodies) - 1
    person.assert_exception_counts()
    person.assert_policies_before_definitions()
    assert person.mode() == "Audit"
    _wait_for_pod(person.cluster)
    person.follow("file-enforce")
    assert person.mode() == "Enforce"
    person.assert_policies_before_definitions()
    person.follow("delete-file")
    _wait_until_removed(person.cluster)


def _wait_for_pod(control_plane: cluster.Cluster) -> None:
    """Wait until the Deployment has its pod, and check the pod's system priority."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app.kubernetes.io/name%3Dhostnetwork-operator"
    control_plane.wait("the operator's pod", lambda: control_plane.admin.items(path), deadline_seconds=90)
    (pod,) = control_plane.admin.items(path)
    assert pod["spec"]["priority"] == 2_000_000_000
    assert "hostNetwork" not in pod["spec"]


def _wait_until_removed(control_plane: cluster.Cluster) -> None:
    kinds = control_plane.kubectl("api-resources", "--verbs=list", "-o", "name").stdout.split()
    listed_kinds = ",".join(kind for kind in kinds if kind.split(".")[0] != "events")

    def remaining() -> list[str]:
        names = control_plane.kubectl("get", listed_kinds, "-A", "-o", "name", "--ignore-not-found").stdout.split()
        return [name for name in names if "hostnetwork" in name]

    control_plane.wait("nothing left", lambda: not remaining())


# -- the chart --------------------------------------------------------------------------------------------------------


def test_the_chart_has_the_version_of_the_package() -> None:
    """Chart version and appVersion equal the package's version, and the image in manifests/ has it too."""
    version = tomllib.loads((render.ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = _bodies((render.CHART / "Chart.yaml").read_text())[0]
    assert (chart["version"], chart["appVersion"]) == (version, version)
    assert f"image: hostnetwork-operator:{version}\n" in (render.MANIFESTS / "base" / "deployment.yaml").read_text()


@pytest.mark.parametrize("overlay", render.OVERLAYS)
def test_helm_renders_what_kustomize_renders(program: pathlib.Path, overlay: str) -> None:
    """Helm and kustomize render the same objects, field for field.

    Only the annotation differs that tells Helm to keep the namespace, which contains Helm's release record.

    kustomize adds blank lines to folded text, which changes no CEL expression. So the test ignores blank lines.
    """
    from_helm = _by_identity(_template(program, *VALUES[overlay]))
    annotations = from_helm["v1", "Namespace", "", NAMESPACE]["metadata"].pop("annotations")
    assert annotations == {"helm.sh/resource-policy": "keep"}
    from_kustomize = _by_identity(_bodies(render.install_yaml(overlay)))
    assert _without_blank_lines(from_helm) == _without_blank_lines(from_kustomize)


def test_helm_renders_monitoring_as_kustomize_does(program: pathlib.Path) -> None:
    """monitoring.enabled adds manifests/monitoring, field for field; monitoring.labels adds the given labels."""
    without_monitoring = _by_identity(_template(program))
    with_monitoring = _by_identity(_template(program, "monitoring.enabled=true"))
    assert {key: with_monitoring[key] for key in without_monitoring} == without_monitoring
    added = {key: body for key, body in with_monitoring.items() if key not in without_monitoring}
    assert added == _by_identity(_bodies(render.monitoring_yaml()))
    assert sorted(key[1] for key in added) == ["ConfigMap", "PodMonitor", "PrometheusRule"]
    with_labels = _by_identity(_template(program, "monitoring.enabled=true", "monitoring.labels.release=prometheus"))
    for key in added:
        assert with_labels[key]["metadata"]["labels"].pop("release") == "prometheus"
    assert with_labels == with_monitoring


def _both(program: pathlib.Path, values: list[str], components: list[str]) -> dict[tuple[str, ...], Any]:
    """Return the objects that Helm renders, once they are those that kustomize renders with the same components."""
    from_helm = _by_identity(_template(program, *values))
    paths = [f"../../manifests/{component}" for component in components]
    text = render._kustomized({"resources": ["../../manifests/overlays/audit"], "components": paths})
    del from_helm["v1", "Namespace", "", NAMESPACE]["metadata"]["annotations"]
    from_helm = {identity: body for identity, body in from_helm.items() if identity[1] != "CustomResourceDefinition"}
    assert _without_blank_lines(from_helm) == _without_blank_lines(_by_identity(_bodies(text)))
    return from_helm


def test_helm_renders_metrics_auth_as_kustomize_does(program: pathlib.Path) -> None:
    """metricsAuth.enabled adds and changes what the component does, field for field, with and without monitoring."""
    for values, components in (([], []), (["monitoring.enabled=true"], ["monitoring"])):
        objects = _both(program, ["metricsAuth.enabled=true", *values], [*components, "components/metrics-auth"])
        assert sum("metrics" in identity[3] for identity in objects) == 3


def test_helm_renders_the_standby_as_kustomize_does(program: pathlib.Path) -> None:
    """standby.enabled adds and changes what the component does, field for field, with and without metricsAuth."""
    for values, components in (([], []), (["metricsAuth.enabled=true"], ["components/metrics-auth"])):
        objects = _both(program, ["standby.enabled=true", *values], [*components, "components/standby"])
        assert objects["apps/v1", "Deployment", NAMESPACE, RELEASE]["spec"]["replicas"] == 2


def test_helm_renders_the_evidence_as_kustomize_does(program: pathlib.Path) -> None:
    """evidence.enabled adds what the component adds, with the image of the values; the archive outlives the release."""
    from_helm = _by_identity(_template(program, "evidence.enabled=true", f"image.repository={IMAGE}"))
    without = _by_identity(_template(program))
    added = {key: body for key, body in from_helm.items() if key not in without}
    file_texts = [path.read_text() for path in render.EVIDENCE.glob("evidence-*.yaml")]
    expected = _by_identity([body for text in file_texts for body in _bodies(text)])
    claim = added["v1", "PersistentVolumeClaim", NAMESPACE, "hostnetwork-evidence"]["metadata"]
    assert claim.pop("annotations") == {"helm.sh/resource-policy": "keep"}
    job = expected["batch/v1", "CronJob", NAMESPACE, "hostnetwork-evidence"]["spec"]["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    container["image"] = f"{IMAGE}:{container['image'].rpartition(':')[2]}"
    assert added == expected
    assert len(added) == 7


def test_the_prometheus_rule_is_the_plain_file() -> None:
    """The spec of the PrometheusRule equals rules.yaml, which Prometheus reads."""
    text = (render.MONITORING / "prometheusrule.yaml").read_text()
    assert _bodies(text)[0]["spec"] == _bodies((render.MONITORING / "rules.yaml").read_text())[0]


def test_values_change_what_they_name(program: pathlib.Path) -> None:
    """The values set the image by tag and by digest and the resources, and change nothing else."""
    default_objects = _by_identity(_template(program))
    key = ("apps/v1", "Deployment", NAMESPACE, RELEASE)
    for values, image in (
        ([f"image.repository={IMAGE}"], f"{IMAGE}:0.1.0"),
        ([f"image.repository={IMAGE}", "image.tag=1.2-rc1"], f"{IMAGE}:1.2-rc1"),
        ([f"image.repository={IMAGE}", "image.tag=1.2-rc1", f"image.digest={DIGEST}"], f"{IMAGE}@{DIGEST}"),
    ):
        changed_objects = _by_identity(_template(program, *values, "resources.limits.memory=1Gi"))
        container = changed_objects[key]["spec"]["template"]["spec"]["containers"][0]
        assert (container["image"], container["resources"]["limits"]) == (image, {"memory": "1Gi"})
        container |= {
            field: default_objects[key]["spec"]["template"]["spec"]["containers"][0][field] for field in container
        }
        assert changed_objects == default_objects


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["--namespace", "platform"],
            'must be hostnetwork-system, because the admission policies name it, got "platform"',
        ),
        (["--namespace", NAMESPACE, "--set", "mode=enforce"], "mode"),
        (["--namespace", NAMESPACE, "--set", "replicas=2"], "replicas"),
        (["--namespace", NAMESPACE, "--set", "image.digest=sha256:1"], "digest"),
        (["--namespace", NAMESPACE, "--set", "monitoring.enabled=yes"], "monitoring"),
        (["--namespace", NAMESPACE, "--set", "metricsAuth.enabled=yes"], "metricsAuth"),
        (["--namespace", NAMESPACE, "--set", "standby.enabled=2"], "standby"),
        (
            ["--namespace", NAMESPACE, "--set", "mode=Enforce", "--kube-version", "1.35.2"],
            "the components of mode Enforce need Kubernetes 1.36, got v1.35.2; use --set components=false",
        ),
        (["--namespace", NAMESPACE, "--kube-version", "1.31.0"], "incompatible with Kubernetes"),
    ],
)
def test_what_cannot_work_is_refused(program: pathlib.Path, arguments: list[str], complaint: str) -> None:
    """The error for another namespace or mode, an unknown value or a cluster that is too old names the problem."""
    completed = _try(program, "template", RELEASE, str(render.CHART), "--kube-version", "1.36.0", *arguments)
    assert completed.returncode != 0
    assert complaint in completed.stderr


def test_helm_installs_upgrades_and_uninstalls(person: Person) -> None:
    """Helm installs into a namespace that it adopts, in Audit and then in Enforce.

    Helm adopts the policies, which exist five seconds before its CRDs, without a change. So an exception counts as soon
    as the steps are done. A rule set by hand stays, and uninstalling leaves nothing.
    """
    person.follow("render")
    person.follow("helm-policies")
    person.follow("helm")
    person.assert_exception_counts()
    person.assert_policies_before_definitions()
    assert {_release_of(body) for body in person.api.items(GUARDS)} == {RELEASE}
    _wait_for_pod(person.cluster)
    assert person.mode() == "Audit"
    rules = '{"spec":{"rules":[{"selector":{"matchLabels":{"team":"web"}},"mode":"Audit"}]}}'
    person.paste(f"kubectl patch hnep default --type=merge -p '{rules}'")
    person.follow("helm-crds")
    person.follow("helm-enforce")
    assert person.mode() == "Enforce"
    assert "team" in person.paste("kubectl get hnep default -o jsonpath='{.spec.rules}'")
    if binary.release().has("1.36"):
        assert len(person.api.items("/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies")) == 3
    person.assert_policies_before_definitions()
    _upgrade_policy(person)
    person.follow("delete-helm")
    _wait_until_removed(person.cluster)


def _release_of(body: dict[str, Any]) -> str:
    """Return the name of the Helm release that owns the object."""
    return str(body["metadata"].get("annotations", {}).get("meta.helm.sh/release-name", ""))


def _upgrade_policy(person: Person) -> None:
    """Upgrade to a chart with a changed policy: Helm changes the policy, whoever applied its first text."""
    template = person.checkout / "charts" / RELEASE / "templates" / "exception-expiry.yaml"
    template.write_text(template.read_text().replace("failurePolicy: Fail", "failurePolicy: Ignore"))
    person.follow("helm-enforce")
    policies = [body for body in person.api.items(GUARDS) if "exception-expiry" in body["metadata"]["name"]]
    assert [body["spec"]["failurePolicy"] for body in policies] == ["Ignore"]


def test_every_command_of_the_document_was_run(person: Person) -> None:
    """The tests ran every block."""
    assert {block.name for block in markdown.blocks(DOCUMENT)} <= person.run
    assert DOCUMENT.read_text().count("```bash") == len(markdown.blocks(DOCUMENT))
