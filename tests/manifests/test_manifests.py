"""The files of crds/ and manifests/, applied to a real API server as in the README."""

import json
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import hostnetwork_operator
from hostnetwork_operator import config
from hostnetwork_operator.api import exception, labels, policy, report
from hostnetwork_operator.control import access
from tests.controlplane import binary, operator
from tests.controlplane import cluster as controlplane
from tests.docs import markdown

ROOT = pathlib.Path(__file__).parent.parent.parent
MANIFESTS = ROOT / "manifests"
METRICS_AUTH = MANIFESTS / "components" / "metrics-auth"
EVIDENCE = MANIFESTS / "components" / "evidence"
STANDBY = MANIFESTS / "components" / "standby"
STANDBY_PAGE = markdown.files(ROOT / "docs" / "howto" / "standby.md")
MONITORING = markdown.files(ROOT / "docs" / "howto" / "monitoring.md")
STATIC = set((MANIFESTS / "static").rglob("*.yaml"))  # not for kubectl: tests/admission/test_seal.py
OVERLAYS = ("audit", "enforce", "enforce-before-1.36")
RBAC = "/apis/rbac.authorization.k8s.io/v1"
NAMESPACE = "team"


@pytest.fixture(scope="module")
def cluster() -> Iterator[controlplane.Cluster]:
    """A separate control plane for this module, because an overlay decides how the whole cluster is governed."""
    with controlplane.Cluster() as control_plane:
        control_plane.admin.post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}).expect(201)
        yield control_plane


@pytest.fixture(scope="module")
def installed(cluster: controlplane.Cluster) -> controlplane.Cluster:
    """The control plane with crds/ and the unmodified overlay enforce."""
    _apply(cluster, "--server-side", "-f", str(ROOT / "crds"))
    completed = cluster.kubectl("wait", "--for=condition=Established", "-f", str(ROOT / "crds"))
    assert completed.returncode == 0, completed.stderr
    _apply(cluster, "-k", str(MANIFESTS / "overlays" / operator.enforcing()))
    return cluster


@pytest.fixture(scope="module")
def monitoring(installed: controlplane.Cluster, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """kubectl's output line per object after adding the monitoring component to the overlay."""
    _apply(installed, "-f", str(ROOT / "tests" / "manifests" / "monitoring-definitions.yaml"))
    kinds = ("crd/podmonitors.monitoring.coreos.com", "crd/prometheusrules.monitoring.coreos.com")
    assert installed.kubectl("wait", "--for=condition=Established", *kinds).returncode == 0
    kustomization = "resources: [../manifests/overlays/audit]\ncomponents: [../manifests/monitoring]\n"
    return _apply_beside_an_overlay(installed, tmp_path_factory.mktemp("checkout"), kustomization)


@pytest.fixture(scope="module")
def readers(
    installed: controlplane.Cluster, monitoring: list[str], tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """kubectl's output line per object after adding metrics-auth too, as in docs/howto/monitoring.md."""
    return _apply_beside_an_overlay(installed, tmp_path_factory.mktemp("checkout"), MONITORING["kustomization.yaml"])


@pytest.fixture(scope="module")
def auditors(
    installed: controlplane.Cluster, readers: list[str], tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """kubectl's output line per object after adding the evidence too, as in docs/howto/audit.md."""
    kustomization = MONITORING["kustomization.yaml"].replace(
        "/metrics-auth]", "/metrics-auth, ../manifests/components/evidence]"
    )
    return _apply_beside_an_overlay(installed, tmp_path_factory.mktemp("checkout"), kustomization)


@pytest.fixture(scope="module")
def standby(
    installed: controlplane.Cluster, auditors: list[str], tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """kubectl's output line per object after adding the standby too, as in docs/howto/standby.md."""
    kustomization = STANDBY_PAGE["kustomization.yaml"].replace(
        "/standby]", "/standby, ../manifests/components/metrics-auth]"
    )
    return _apply_beside_an_overlay(installed, tmp_path_factory.mktemp("checkout"), kustomization)


def _apply_beside_an_overlay(cluster: controlplane.Cluster, checkout: pathlib.Path, kustomization: str) -> list[str]:
    """Apply a user's own kustomization on top of the enforcing overlay."""
    shutil.copytree(MANIFESTS, checkout / "manifests")
    (checkout / "my-cluster").mkdir()
    enforcing_kustomization = kustomization.replace("overlays/audit", f"overlays/{operator.enforcing()}")
    (checkout / "my-cluster" / "kustomization.yaml").write_text(enforcing_kustomization)
    return _apply(cluster, "-k", str(checkout / "my-cluster")).splitlines()


def _apply(cluster: controlplane.Cluster, *arguments: str) -> str:
    """Run kubectl apply and return its output.

    Raise AssertionError if it fails or warns, for example of an unknown field.
    """
    completed = cluster.kubectl("apply", "--validate=strict", *arguments)
    assert completed.returncode == 0, completed.stderr
    assert completed.stderr == ""
    return completed.stdout


def _bodies(path: pathlib.Path) -> list[dict[str, Any]]:
    return [body for body in yaml.safe_load_all(path.read_text()) if body]


def _identity(body: dict[str, Any]) -> tuple[str, str, str, str]:
    metadata = body["metadata"]
    return body["apiVersion"], body["kind"], metadata.get("namespace", ""), metadata["name"]


def _included_files(directory: pathlib.Path) -> set[pathlib.Path]:
    """Return the files that a kustomization includes, itself too."""
    file = directory / "kustomization.yaml"
    files = {file}
    body = _bodies(file)[0]
    generated_names = [name for generator in body.get("configMapGenerator", ()) for name in generator["files"]]
    for name in [*body["resources"], *body.get("components", ()), *generated_names]:
        path = (directory / name).resolve()
        files |= _included_files(path) if path.is_dir() else {path}
    return files


def _deployment() -> dict[str, Any]:
    return _bodies(MANIFESTS / "base" / "deployment.yaml")[0]


def _cluster_role(name: str) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = _bodies(MANIFESTS / "rbac" / f"{name}-clusterrole.yaml")[0]["rules"]
    return rules


# -- the files --------------------------------------------------------------------------------------------------------


def test_every_file_is_part_of_an_overlay() -> None:
    """No file under manifests/ is left out, because only applied files take effect.

    Four components are optional. The API server reads the files of static/ from its own disk.
    """
    included = set().union(*(_included_files(MANIFESTS / "overlays" / name) for name in OVERLAYS))
    monitoring = _included_files(MANIFESTS / "monitoring") | {MANIFESTS / "monitoring" / "rules.yaml"}
    optional = monitoring.union(*map(_included_files, (METRICS_AUTH, EVIDENCE, STANDBY)))
    assert included & optional == set()
    assert {path for path in MANIFESTS.rglob("*") if path.is_file()} - STATIC == included | optional


def test_the_overlays_differ_in_the_policy_only() -> None:
    """Between audit and enforce only the HostNetworkExceptionPolicy changes, and enforce adds the components."""
    overlays = MANIFESTS / "overlays"
    audit, enforce = _included_files(overlays / "audit"), _included_files(overlays / "enforce")
    components = {path for path in enforce if MANIFESTS / "components" in path.parents}
    assert {path.name for path in audit ^ (enforce - components)} == {"kustomization.yaml", "policy.yaml"}
    component_names = {"diagnostic-deadline", "label-at-birth", "labels-kept"}
    assert {path.stem for path in components} == {"kustomization", *component_names}
    modes = {name: _bodies(overlays / name / "policy.yaml")[0]["spec"]["mode"] for name in ("audit", "enforce")}
    assert modes == {"audit": "Audit", "enforce": "Enforce"}


def test_the_overlay_for_older_clusters_lacks_the_components_only(cluster: controlplane.Cluster) -> None:
    """enforce-before-1.36 renders as enforce without the kinds that older clusters do not serve."""

    def rendered(overlay: str) -> list[dict[str, Any]]:
        completed = cluster.kubectl("kustomize", str(MANIFESTS / "overlays" / overlay))
        assert completed.returncode == 0, completed.stderr
        return [body for body in yaml.safe_load_all(completed.stdout) if body]

    all_bodies, bodies_before_1_36 = rendered("enforce"), rendered("enforce-before-1.36")
    assert bodies_before_1_36 == [body for body in all_bodies if not body["kind"].startswith("MutatingAdmissionPolicy")]
    assert len(all_bodies) == len(bodies_before_1_36) + 7


def test_one_namespace_and_one_service_account_everywhere() -> None:
    """The admission policies allow writes by exactly the account that base creates and binds and the pod uses."""
    account = _bodies(MANIFESTS / "base" / "serviceaccount.yaml")[0]["metadata"]
    subject = _bodies(MANIFESTS / "rbac" / "operator-clusterrolebinding.yaml")[0]["subjects"]
    pod = _deployment()["spec"]["template"]["spec"]
    assert (account["namespace"], account["name"]) == ("hostnetwork-system", "hostnetwork-operator")
    assert subject == [{"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}]
    assert (_deployment()["metadata"]["namespace"], pod["serviceAccountName"]) == (
        account["namespace"],
        account["name"],
    )
    assert _bodies(MANIFESTS / "base" / "namespace.yaml")[0]["metadata"]["name"] == account["namespace"]
    user = f"system:serviceaccount:{account['namespace']}:{account['name']}"
    assert user == labels.OPERATOR_USER
    text = "\n".join(path.read_text() for path in (MANIFESTS / "admission").glob("*.yaml"))
    users = set(re.findall(r"system:serviceaccount:[\w:-]+", text))
    assert {name for name in users if ":kube-system:" not in name} == {user}


def test_admission_policies_fail_closed_and_are_bound() -> None:
    """Each policy has failurePolicy Fail and a binding in its file; each watched policy has one with Deny.

    Only exempt-names fails open. It reads the policy object, and without that kind nobody could create a namespace.
    """
    denying_policies = set()
    for path in (MANIFESTS / "admission").glob("*.yaml"):
        bodies = [body for body in _bodies(path) if "metadata" in body]
        policies = [body for body in bodies if body["kind"] == "ValidatingAdmissionPolicy"]
        binding_specs = [body["spec"] for body in bodies if body["kind"] == "ValidatingAdmissionPolicyBinding"]
        failure_policy = "Ignore" if path.stem == "exempt-names" else "Fail"
        assert [body["spec"]["failurePolicy"] for body in policies] == [failure_policy] * len(policies)
        assert {spec["policyName"] for spec in binding_specs} == {body["metadata"]["name"] for body in policies}
        denying_policies |= {spec["policyName"] for spec in binding_specs if "Deny" in spec["validationActions"]}
    assert denying_policies - {f"exempt-names.{labels.GROUP}"} == set(labels.POLICIES)


def test_every_refusal_of_a_policy_is_forbidden() -> None:
    """Each rule of a denying policy answers 403, because `kubectl apply --force` deletes the object after a 422."""
    denying_count = 0
    for path in sorted((MANIFESTS / "admission").glob("*.yaml")):
        policy, *bindings = yaml.safe_load_all(path.read_text())
        if any("Deny" in binding["spec"]["validationActions"] for binding in bindings):
            denying_count += 1
            reasons = {validation.get("reason", "Invalid") for validation in policy["spec"]["validations"]}
            assert reasons == {"Forbidden"}, path.name
    assert denying_count == len(labels.POLICIES) + 1  # the operator does not watch exempt-names


def test_the_deployment_is_one_pod_that_gives_up_what_it_can() -> None:
    """Replicas, security context, ports and probes have exactly these values."""
    spec = _deployment()["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["image"] == f"hostnetwork-operator:{hostnetwork_operator.__version__}"
    ports = {"http": config.Config().port, "probes": config.Config().probe_port}
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == ports
    probes = {name: probe["httpGet"] for name, probe in container.items() if name.endswith("Probe")}
    assert probes == {
        "startupProbe": {"path": "/healthz", "port": "probes"},
        "livenessProbe": {"path": "/healthz", "port": "probes"},
        "readinessProbe": {"path": "/readyz", "port": "probes"},
    }
    assert {"volumes", "hostNetwork", "hostPID", "hostIPC"} & pod.keys() == set()


def test_the_operator_has_few_rights() -> None:
    """The role has no wildcard, secrets or exec, and cannot create or patch pods or write policies or exceptions."""
    rights = {
        (group, resource, verb)
        for rule in _cluster_role("operator")
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert not any("*" in part for right in rights for part in right)
    assert all("nonResourceURLs" not in rule for rule in _cluster_role("operator"))
    (seal_rule,) = (rule for rule in _cluster_role("operator") if "resourceNames" in rule)
    assert seal_rule["resourceNames"] == [labels.SEAL_PROBE]  # no binding names the probe, so it restricts nothing
    writes = {right for right in rights if right[2] not in {"get", "list", "watch"}}
    assert writes == {
        ("", "pods", "delete"),
        ("", "pods/status", "patch"),
        ("", "namespaces", "patch"),
        ("", "events", "create"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies", "patch"),
        ("batch", "jobs", "delete"),
        *(
            (kind.group, kind.plural, verb)
            for kind in (report.OPEN_REPORT, report.POLICY_REPORT)
            for verb in ("create", "patch", "delete")
        ),
        (labels.GROUP, "hostnetworkexceptions/status", "patch"),
        (labels.GROUP, "hostnetworkexceptionpolicies/status", "patch"),
    }
    assert {resource for _, resource, _ in rights} & {"secrets", "configmaps", "pods/exec"} == set()


def test_the_component_for_readers_brings_two_rights_and_a_role_for_them() -> None:
    """The component may only create reviews; readers get only /metrics, and the reader role has no binding."""
    (auth_role,) = _bodies(METRICS_AUTH / "metrics-auth-clusterrole.yaml")
    assert auth_role["rules"] == [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
        {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
    ]
    (reader_role,) = _bodies(METRICS_AUTH / "metrics-reader-clusterrole.yaml")
    assert reader_role["rules"] == [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
    assert reader_role["metadata"]["name"] == access.READER
    (binding,) = _bodies(METRICS_AUTH / "metrics-auth-clusterrolebinding.yaml")
    account = _bodies(MANIFESTS / "base" / "serviceaccount.yaml")[0]["metadata"]
    assert binding["roleRef"]["name"] == auth_role["metadata"]["name"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    ]


# -- on the API server ------------------------------------------------------------------------------------------------


def test_the_component_for_readers_changes_the_deployment_and_the_pod_monitor(
    installed: controlplane.Cluster, readers: list[str]
) -> None:
    """The variables name the mount of the Secret from the page's Certificate, and Prometheus asks for its DNS name.

    The probes are as before, and the pod is admitted at restricted.
    """
    assert [line.split()[0] for line in readers if not line.endswith(" unchanged")] == [
        "clusterrole.rbac.authorization.k8s.io/hostnetwork-operator-metrics-auth",
        "clusterrole.rbac.authorization.k8s.io/hostnetwork-operator-metrics-reader",
        "clusterrolebinding.rbac.authorization.k8s.io/hostnetwork-operator-metrics-auth",
        "deployment.apps/hostnetwork-operator",
        "podmonitor.monitoring.coreos.com/hostnetwork-operator",
    ]
    (certificate,) = yaml.safe_load_all(MONITORING["certificate.yaml"])
    path = "/apis/apps/v1/namespaces/hostnetwork-system/deployments/hostnetwork-operator"
    pod = installed.admin.get(path).expect(200).body["spec"]["template"]["spec"]
    (container,), (volume,), (mount,) = pod["containers"], pod["volumes"], pod["containers"][0]["volumeMounts"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    settings = config.from_environment(variables)
    assert (settings.metrics_auth, settings.metrics_cert_dir) == ("TokenReview", mount["mountPath"])
    assert (volume["name"], mount["readOnly"]) == (mount["name"], True)
    assert volume["secret"]["secretName"] == certificate["spec"]["secretName"]
    base_container = _deployment()["spec"]["template"]["spec"]["containers"][0]
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[name]["httpGet"] == {**base_container[name]["httpGet"], "scheme": "HTTP"}
    monitor = "/apis/monitoring.coreos.com/v1/namespaces/hostnetwork-system/podmonitors/hostnetwork-operator"
    (endpoint,) = installed.admin.get(monitor).expect(200).body["spec"]["podMetricsEndpoints"]
    tls = endpoint["tlsConfig"]
    assert (endpoint["scheme"], tls["serverName"]) == ("https", certificate["spec"]["dnsNames"][0])
    assert tls["ca"]["secret"] == {"name": certificate["spec"]["secretName"], "key": "ca.crt"}
    body = {"metadata": {"generateName": "check-"}, "spec": pod}
    pods = "/api/v1/namespaces/hostnetwork-system/pods"
    assert installed.admin.post(f"{pods}?dryRun=All", body).expect(201).warnings == ()


@pytest.mark.parametrize(
    "overlay",
    [
        pytest.param(name, marks=[pytest.mark.since("1.36", "MutatingAdmissionPolicy")] * (name == "enforce"))
        for name in OVERLAYS
    ],
)
def test_an_overlay_applies_and_a_second_time_changes_nothing(installed: controlplane.Cluster, overlay: str) -> None:
    """The overlay passes strict validation without a warning, and a second apply changes no object."""
    path = MANIFESTS / "overlays" / overlay
    _apply(installed, "-k", str(path))
    versions = _versions(installed, path)
    lines = _apply(installed, "-k", str(path)).splitlines()
    assert versions == _versions(installed, path)
    # kubectl reports `configured` for a rule that omits the default `scope: "*"`; the API server changes nothing.
    other_lines = [line for line in lines if not re.match("(validating|mutating)admissionpolicy[.]", line)]
    assert [line for line in other_lines if not line.endswith(" unchanged")] == []
    assert len(lines) == len(versions)
    expected = {_identity(body) for file in _included_files(path) for body in _bodies(file) if "metadata" in body}
    if overlay == "enforce-before-1.36":
        expected = {identity for identity in expected if not identity[1].startswith("MutatingAdmissionPolicy")}
    assert set(versions) == expected


def _versions(cluster: controlplane.Cluster, overlay: pathlib.Path) -> dict[tuple[str, str, str, str], Any]:
    """Return per object what changes with its spec: the generation, or the resourceVersion for kinds without one.

    A status may change meanwhile, so it must not count.
    """
    completed = cluster.kubectl("get", "-k", str(overlay), "-o", "json")
    assert completed.returncode == 0, completed.stderr
    bodies = json.loads(completed.stdout)["items"]
    return {_identity(body): body["metadata"].get("generation", body["metadata"]["resourceVersion"]) for body in bodies}


def test_the_component_for_auditors_adds_objects(auditors: list[str]) -> None:
    created = [line.split()[0] for line in auditors if line.endswith(" created")]
    assert sorted(created) == sorted(
        f"{kind}/hostnetwork-evidence"
        for kind in (
            "clusterrole.rbac.authorization.k8s.io",
            "clusterrolebinding.rbac.authorization.k8s.io",
            "cronjob.batch",
            "persistentvolumeclaim",
            "role.rbac.authorization.k8s.io",
            "rolebinding.rbac.authorization.k8s.io",
            "serviceaccount",
        )
    )


def test_the_account_for_the_evidence_only_reads() -> None:
    """No secrets and no write."""
    roles = [_bodies(EVIDENCE / f"evidence-{name}.yaml")[0] for name in ("clusterrole", "role")]
    rules = [rule for role in roles for rule in role["rules"]]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list"}
    assert not {"*", "secrets"} & {resource for rule in rules for resource in rule["resources"]}


def test_the_standby_may_only_get_and_patch_one_lease() -> None:
    """RBAC cannot restrict the names of created objects, so the Lease is a manifest, and its spec is the holder's."""
    (role,) = _bodies(STANDBY / "standby-role.yaml")
    (lease,) = _bodies(STANDBY / "standby-lease.yaml")
    (binding,) = _bodies(STANDBY / "standby-rolebinding.yaml")
    account = _bodies(MANIFESTS / "base" / "serviceaccount.yaml")[0]["metadata"]
    rule = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "patch"]}
    assert role["rules"] == [{**rule, "resourceNames": [lease["metadata"]["name"]]}]
    assert {body["metadata"]["namespace"] for body in (role, lease, binding)} == {account["namespace"]}
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == ("Role", role["metadata"]["name"])
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    ]
    assert "spec" not in lease


def test_the_standby_changes_the_deployment_and_can_be_taken_off(
    installed: controlplane.Cluster, standby: list[str]
) -> None:
    """Two replicas that are replaced one at a time, on two nodes if possible, with the Lease, also beside metrics-auth.

    The overlay alone leads back to one replica.
    """
    assert [line.split()[0] for line in standby if line.endswith((" created", " configured"))][-4:] == [
        "role.rbac.authorization.k8s.io/hostnetwork-operator-lease",
        "rolebinding.rbac.authorization.k8s.io/hostnetwork-operator-lease",
        "deployment.apps/hostnetwork-operator",
        "lease.coordination.k8s.io/hostnetwork-operator",
    ]
    path = "/apis/apps/v1/namespaces/hostnetwork-system/deployments/hostnetwork-operator"
    spec = installed.admin.get(path).expect(200).body["spec"]
    assert (spec["replicas"], spec["strategy"]) == (
        2,
        {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
    )
    pod = spec["template"]["spec"]
    (term,) = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    assert term["podAffinityTerm"]["labelSelector"] == spec["selector"]
    settings = config.from_environment({each["name"]: each["value"] for each in pod["containers"][0]["env"]})
    (lease,) = _bodies(STANDBY / "standby-lease.yaml")
    assert settings.lease == f"{lease['metadata']['namespace']}/{lease['metadata']['name']}"
    assert settings.metrics_auth == "TokenReview"
    pods = "/api/v1/namespaces/hostnetwork-system/pods"
    body = {"metadata": {"generateName": "check-"}, "spec": pod}
    assert installed.admin.post(f"{pods}?dryRun=All", body).expect(201).warnings == ()
    _apply(installed, "-k", str(MANIFESTS / "overlays" / operator.enforcing()))
    spec = installed.admin.get(path).expect(200).body["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    (variable,) = spec["template"]["spec"]["containers"][0]["env"]
    assert config.from_environment({variable["name"]: variable["value"]}) == config.Config()


@pytest.mark.parametrize("names", [("standby", "metrics-auth"), ("metrics-auth", "standby")])
def test_components_do_not_remove_each_others_settings(
    cluster: controlplane.Cluster, tmp_path: pathlib.Path, names: tuple[str, str]
) -> None:
    """Without the Lease, both replicas of the standby would write. So the order of the components must not matter."""
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    (tmp_path / "mine").mkdir()
    components = [f"../manifests/components/{name}" for name in names]
    body = {"resources": ["../manifests/overlays/audit"], "components": components}
    (tmp_path / "mine" / "kustomization.yaml").write_text(yaml.safe_dump(body))
    completed = cluster.kubectl("kustomize", str(tmp_path / "mine"))
    assert completed.returncode == 0, completed.stderr
    (deployment,) = [each for each in yaml.safe_load_all(completed.stdout) if each and each["kind"] == "Deployment"]
    variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    assert sorted(each["name"] for each in variables) == [
        "HOSTNETWORK_LEASE",
        "HOSTNETWORK_LOG_LEVEL",
        "HOSTNETWORK_METRICS_AUTH",
        "HOSTNETWORK_METRICS_CERT_DIR",
    ]


@pytest.mark.usefixtures("standby")
def test_every_object_of_every_file_is_there(installed: controlplane.Cluster) -> None:
    """The API server returns each object of every file; components only if the cluster serves them."""
    missing = []
    paths = {*MANIFESTS.rglob("*.yaml"), *(ROOT / "crds").glob("*.yaml")} - STATIC
    if not binary.release().has("1.36"):
        paths -= (
            set((MANIFESTS / "components").rglob("*.yaml"))
            - set(METRICS_AUTH.glob("*.yaml"))
            - set(EVIDENCE.glob("*.yaml"))
            - set(STANDBY.glob("*.yaml"))
        )
    for path in sorted(paths):
        for body in (body for body in _bodies(path) if "metadata" in body):
            completed = installed.kubectl("get", "-f", "-", "-o", "name", stdin=yaml.safe_dump(body))
            if completed.returncode:
                missing.append((path.name, completed.stderr))
    assert missing == []


def test_the_crds_apply_again_without_a_change(installed: controlplane.Cluster) -> None:
    """A second server-side apply does not change the resource versions."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

    def versions() -> dict[str, str]:
        own_metadata = [
            body["metadata"] for body in installed.admin.items(path) if body["spec"]["group"] == labels.GROUP
        ]
        return {metadata["name"]: metadata["resourceVersion"] for metadata in own_metadata}

    versions_before = versions()
    _apply(installed, "--server-side", "-f", str(ROOT / "crds"))
    assert versions_before == versions()
    assert set(versions_before) == {f"{plural}.{labels.GROUP}" for plural in (exception.PLURAL, policy.PLURAL)}


def test_the_admission_policies_type_check(installed: controlplane.Cluster) -> None:
    """The API server has checked every policy and warns of no expression."""
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"

    def checked() -> bool:
        return all(
            body.get("status", {}).get("observedGeneration") == body["metadata"]["generation"]
            for body in installed.admin.items(path)
        )

    installed.wait("type checks", checked)
    warnings = {
        body["metadata"]["name"]: body["status"]["typeChecking"]["expressionWarnings"]
        for body in installed.admin.items(path)
        if body["status"].get("typeChecking", {}).get("expressionWarnings")
    }
    assert warnings == {}


def test_the_operators_pod_is_admitted_at_restricted(installed: controlplane.Cluster) -> None:
    """The namespace enforces restricted; the ReplicaSet's pod exists, and Pod Security gives no warning."""
    namespace_labels = (
        installed.admin.get("/api/v1/namespaces/hostnetwork-system").expect(200).body["metadata"]["labels"]
    )
    for mode in (labels.PSA_ENFORCE, labels.PSA_AUDIT, labels.PSA_WARN):
        assert namespace_labels[mode] == "restricted"
    pods = "/api/v1/namespaces/hostnetwork-system/pods"
    installed.wait("the operator's pod", lambda: len(installed.admin.items(pods)) == 1)
    template = _deployment()["spec"]["template"]
    body = {"metadata": {"generateName": "check-"}, "spec": template["spec"]}
    assert installed.admin.post(f"{pods}?dryRun=All", body).expect(201).warnings == ()
    host_network_body = {**body, "spec": {**template["spec"], "hostNetwork": True}}
    installed.admin.post(f"{pods}?dryRun=All", host_network_body).expect(403)


def test_every_right_of_the_operator_is_bound(installed: controlplane.Cluster) -> None:
    """With its own token alone, the operator may do what the ClusterRole lists, and none of the forbidden requests."""
    account = installed.service_account(operator.NAMESPACE, operator.ACCOUNT)
    client = installed.api(account)

    def may(group: str, resource: str, verb: str, name: str = "") -> bool:
        resource, _, subresource = resource.partition("/")
        attributes = {
            "group": group,
            "resource": resource,
            "subresource": subresource,
            "verb": verb,
            "namespace": NAMESPACE,
            "name": name,
        }
        return client.may(attributes)

    for rule in _cluster_role("operator"):
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                (name,) = rule.get("resourceNames", [""])
                assert may(rule["apiGroups"][0], resource, verb, name), f"{verb} {resource} {name}"
    for group, resource, verb in (
        ("", "secrets", "get"),
        ("", "pods", "create"),
        ("", "pods", "patch"),
        ("", "pods/exec", "create"),
        ("", "namespaces", "create"),
        ("", "namespaces", "delete"),
        (labels.GROUP, "namespaces", "setlevel"),
        (labels.GROUP, "hostnetworkexceptions", "approve"),
        (labels.GROUP, "hostnetworkexceptions", "delete"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies", "patch"),
    ):
        assert not may(group, resource, verb), f"{verb} {resource}"


# -- monitoring -------------------------------------------------------------------------------------------------------


def test_the_monitoring_component_adds_three_objects_and_changes_none(monitoring: list[str]) -> None:
    """The component works beside an overlay, as documented, if the Prometheus Operator's kinds exist."""
    assert [line.split()[0] for line in monitoring if not line.endswith(" unchanged")] == [
        "configmap/hostnetwork-operator-dashboard",
        "podmonitor.monitoring.coreos.com/hostnetwork-operator",
        "prometheusrule.monitoring.coreos.com/hostnetwork-operator",
    ]


def test_the_pod_monitor_finds_the_operators_port() -> None:
    """The PodMonitor selects the Deployment's pods in their namespace, and uses the container's name for the port."""
    monitor = _bodies(MANIFESTS / "monitoring" / "podmonitor.yaml")[0]
    deployment = _deployment()
    assert monitor["metadata"]["namespace"] == deployment["metadata"]["namespace"]
    assert monitor["spec"]["selector"] == deployment["spec"]["selector"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert endpoint["port"] in {port["name"] for port in container["ports"]}
    assert endpoint["honorLabels"] is True
    assert monitor["spec"]["jobLabel"] in deployment["spec"]["template"]["metadata"]["labels"]


# -- rights on exceptions ---------------------------------------------------------------------------------------------


def _bound(cluster: controlplane.Cluster, role: str, name: str) -> controlplane.api.Api:
    """Return a client of a user with this ClusterRole in one namespace, through a RoleBinding."""
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
    }
    cluster.admin.post(f"{RBAC}/namespaces/{NAMESPACE}/rolebindings", binding).expect(201, 409)
    return cluster.api(cluster.user(name))


def _exception_body() -> dict[str, Any]:
    (body,) = _bodies(ROOT / "tests" / "samples" / "exceptions" / "node-exporter.yaml")
    return {**body, "metadata": {"name": "node-exporter", "namespace": NAMESPACE}}


_PATH = f"/apis/{labels.API_VERSION}/namespaces/{NAMESPACE}/{exception.PLURAL}"


@pytest.mark.parametrize("role", ["view", "edit", "admin"])
def test_whoever_views_a_namespace_sees_its_exceptions_and_writes_none(
    installed: controlplane.Cluster, role: str
) -> None:
    """The viewer role is aggregated to view, and so to edit and admin; the approver role is aggregated to none."""
    client = _bound(installed, role, f"{role}er")
    installed.wait("the aggregated right", lambda: client.get(_PATH).status == 200, deadline_seconds=20)
    answer = client.post(f"{_PATH}?dryRun=All", _exception_body()).expect(403)
    assert "cannot create resource" in answer.message
    client.get(f"/apis/{labels.API_VERSION}/namespaces/default/{exception.PLURAL}").expect(403)
    aggregated = [
        body["metadata"]["name"]
        for body in installed.admin.items(f"{RBAC}/clusterroles")
        if any(key.startswith("rbac.authorization.k8s.io/aggregate-to") for key in body["metadata"].get("labels", {}))
        and "hostnetwork" in body["metadata"]["name"]
    ]
    assert aggregated == ["hostnetwork-exception-viewer"]


def test_an_approver_in_one_namespace_approves_nothing(installed: controlplane.Cluster) -> None:
    """Through a RoleBinding the approver role passes RBAC, but exception-writers refuses; cluster-wide it counts."""
    client = _bound(installed, "hostnetwork-exception-approver", "halfway")
    installed.wait("its right", lambda: client.get(_PATH).status == 200, deadline_seconds=20)

    def refused() -> bool:
        answer = client.post(f"{_PATH}?dryRun=All", _exception_body())
        return "needs the cluster-wide verb approve on hostnetworkexceptions" in answer.message

    installed.wait("the refusal", refused, deadline_seconds=20)
    binding = {
        "metadata": {"name": "approvers"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "hostnetwork-exception-approver",
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "approving"}],
    }
    installed.admin.post(f"{RBAC}/clusterrolebindings", binding).expect(201)
    approver = installed.api(installed.user("approving"))
    installed.wait(
        "the approval",
        lambda: approver.post(f"{_PATH}?dryRun=All", _exception_body()).status == 201,
        deadline_seconds=20,
    )
