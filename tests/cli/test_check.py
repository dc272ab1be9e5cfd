"""`kubectl hostnetwork check`: in a pipe and without a cluster, and with --server as the API server answers."""

import json
import pathlib
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from hostnetwork_operator.api import labels
from tests.cli.conftest import COMMAND, hostnetwork, run
from tests.controlplane import cluster
from tests.e2e import agents
from tests.e2e.conftest import IMAGE, World

SAMPLES = agents.read("2999-01-01T00:00:00Z")


def checked(*arguments: str, stdin: str, status: int) -> dict[str, int]:
    """Return the result of a check of stdin, in an environment that has no cluster."""
    completed = run("check", "-f", "-", "-o", "json", *arguments, kubeconfig="/nowhere", stdin=stdin)
    assert completed.returncode == status, completed.stderr
    document: dict[str, int] = json.loads(completed.stdout)
    return document


def in_namespace(name: str, *bodies: dict[str, Any]) -> str:
    """Return the objects as YAML, each in a namespace."""
    return yaml.safe_dump_all([{**body, "metadata": {**body["metadata"], "namespace": name}} for body in bodies])


def test_every_sample_passes_with_its_exception_and_not_without() -> None:
    """tests/e2e/test_agents.py shows that the API server says the same of each sample."""
    workloads = "---\n".join(in_namespace(name, *sample.objects) for name, sample in SAMPLES.items())
    exceptions = "---\n".join(in_namespace(name, sample.exception) for name, sample in SAMPLES.items())
    without = checked(stdin=workloads, status=3)
    fields = ("hostNetwork", "hostPID", "hostIPC")
    sharing = sum(any(sample.pod["spec"].get(field) for field in fields) for sample in SAMPLES.values())
    assert without["refused"] == sharing > 30
    assert checked(stdin=f"{workloads}---\n{exceptions}", status=0)["refused"] == 0


def test_the_directory_of_the_samples_is_read_whole() -> None:
    """All files at once. Nothing in them is unreadable but times that a reader must fill in."""
    command = [COMMAND, "check", "-f", str(agents.SAMPLES), "-o", "github"]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert completed.returncode == 1
    unreadable = completed.stderr.splitlines()
    assert all("spec.expiry" in line for line in unreadable), unreadable
    assert len([line for line in completed.stdout.splitlines() if "would be refused" in line]) > 30


@pytest.mark.parametrize("flag", [("-n", "kube-system"), ("--exempt", "default")])
def test_exempt_namespaces_refuse_nothing(flag: tuple[str, str]) -> None:
    text = (pathlib.Path(agents.SAMPLES) / "node-exporter.yaml").read_text()
    assert checked(*flag, stdin=text, status=0)["refused"] == 0
    assert checked(stdin=text, status=3)["refused"] == 1


# -- with --server

FORMS = ("text", "json", "sarif", "junit", "github")
RBAC = "/apis/rbac.authorization.k8s.io/v1"
UNCONFINED = {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}
PRIVILEGED = {"securityContext": {"privileged": True}}


def pod(name: str, container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": IMAGE, **(container or {})}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers, **spec}}


def exception(world: World, name: str = "capture", seconds: float = 3600, **spec: Any) -> dict[str, Any]:
    fixed = {"type": "Diagnostic", "owner": "sre", "reason": "Capture SYN retries", "ticket": "INC-1"}
    return {
        "apiVersion": labels.API_VERSION,
        "kind": "HostNetworkException",
        "metadata": {"name": name},
        "spec": {**fixed, "expiry": world.time(seconds), "images": [IMAGE], **spec},
    }


# A pod of each kind: what Pod Security says about it, and whether it is refused for its host namespaces too.
PODS = (
    pod("plain"),
    pod("privileged", PRIVILEGED),
    pod("covered", hostNetwork=True),
    pod("covered-and-more", UNCONFINED, hostNetwork=True),
    pod("uncovered", hostPID=True),
)


def asked(
    target: cluster.Cluster, text: str, *arguments: str, status: int, user: pathlib.Path | None = None
) -> dict[str, Any]:
    """Return the result of a check of a text with --server."""
    arguments = ("check", "--server", "-f", "-", "-o", "json", *arguments)
    completed = hostnetwork(target, *arguments, stdin=text, user=user)
    assert completed.returncode == status, completed.stderr + completed.stdout
    document: dict[str, Any] = json.loads(completed.stdout)
    return document


def refusals(document: dict[str, Any]) -> dict[str, tuple[bool, bool]]:
    """Return by the name of the pod whether it is refused for host namespaces, and by Pod Security."""
    return {
        each["name"]: (each["verdict"] in {"Uncovered", "Expired"}, each["podSecurity"]["refused"])
        for each in document["pods"]
    }


def test_the_server_says_of_a_namespace_to_come_what_it_does_in_it(world: World) -> None:
    """First the check, then the namespace, the exception and the pods are created: the same pods are refused."""
    bodies = (exception(world), *PODS)
    document = asked(world.cluster, in_namespace("not-yet", *bodies), status=3)
    assert document["asked"] == {"hostNamespaces": True, "podSecurity": True}
    assert {(each["podSecurity"]["level"], each["podSecurity"]["version"]) for each in document["pods"]} == {
        ("baseline", "latest")
    }
    assert refusals(document) == {
        "plain": (False, False),
        "privileged": (False, True),
        "covered": (False, False),
        "covered-and-more": (False, True),
        "uncovered": (True, True),
    }
    assert document["refused"] == 3
    namespace = world.namespace()
    world.admin.post(world.exceptions(namespace), exception(world)).expect(201)
    world.until("it is granted", lambda: world.grants(namespace))
    world.until("its grant counts", lambda: world.pod(namespace, "probe").status == 201)
    refused = {body["metadata"]["name"]: world.admin.post(world.pods(namespace), body).status == 403 for body in PODS}
    assert refused == {name: any(kinds) for name, kinds in refusals(document).items()}
    # The namespace is relaxed now. The answers are still those of the level that will be restored.
    assert world.labels(namespace)[labels.PSA_ENFORCE] == "privileged"
    again = asked(world.cluster, in_namespace(namespace, *bodies), status=3)
    assert refusals(again) == refusals(document)


def test_what_is_granted_in_the_cluster_counts(world: World) -> None:
    namespace = world.namespace()
    world.exception(namespace, "capture").expect(201)
    world.until("it is granted", lambda: world.grants(namespace))
    covered = in_namespace(namespace, PODS[2])
    assert refusals(asked(world.cluster, covered, status=0)) == {"covered": (False, False)}
    assert checked(stdin=covered, status=3)["refused"] == 1


def test_a_file_that_changes_what_was_approved_is_refused_and_the_grant_stays(world: World) -> None:
    """First the check, then the exception of the file and the pod are sent: the API server says the same of both."""
    namespace = world.namespace()
    world.exception(namespace, "capture").expect(201)
    world.until("a pod under it is admitted", lambda: world.pod(namespace, "probe", dry_run=True).status == 201)
    for spec, changed in (
        ({"images": ["other:1"]}, ["images"]),
        ({"type": "Application", "capabilities": ["NET_ADMIN"]}, ["type", "capabilities"]),
        ({"owner": "another team"}, []),
    ):
        written = exception(world, "capture", **spec)
        document = asked(world.cluster, in_namespace(namespace, written, PODS[2]), status=3 if changed else 0)
        assert [each["changed"] for each in document["refusedExceptions"]] == ([changed] if changed else [])
        assert refusals(document) == {"covered": (False, False)}
        answer = world.admin.patch(f"{world.exceptions(namespace)}/capture?dryRun=All", {"spec": written["spec"]})
        assert answer.status == (422 if changed else 200)
        assert all(name in str(answer.body) for name in changed)
        assert world.admin.post(f"{world.pods(namespace)}?dryRun=All", PODS[2]).status == 201


def tightened(world: World, namespace: str, text: str, value: str) -> None:
    """Assert that check says of the covered pod that Pod Security refuses it. Then set the level: it does."""
    document = asked(world.cluster, text, status=3)
    assert refusals(document) == {"covered": (False, True)}
    path = f"/api/v1/namespaces/{namespace}"
    world.admin.patch(path, {"metadata": {"labels": {labels.PSA_ENFORCE: value}}}).expect(200)
    world.until("the operator says so", lambda: world.ready(namespace) == "LevelOwnedByOther")
    answer = world.admin.post(f"{world.pods(namespace)}?dryRun=All", PODS[2])
    assert (answer.status, "violates PodSecurity" in str(answer.body)) == (403, True)
    world.until("the grant is removed", lambda: not world.grants(namespace))
    assert refusals(asked(world.cluster, text, status=3)) == {"covered": (True, True)}


@pytest.mark.parametrize("value", ["baseline", "restricted"])
def test_a_level_that_a_file_sets_in_an_enforced_namespace_stays_in_force_for_a_covered_pod(
    world: World, value: str
) -> None:
    """Check says so before. Every client that may change the namespace may tighten its level, and the operator does not
    lift that level.
    """
    namespace = world.namespace()
    world.exception(namespace, "capture").expect(201)
    world.until("a pod under it is admitted", lambda: world.pod(namespace, "probe", dry_run=True).status == 201)
    covered = in_namespace(namespace, PODS[2])
    assert refusals(asked(world.cluster, covered, status=0)) == {"covered": (False, False)}
    metadata = {"name": namespace, "labels": {labels.PSA_ENFORCE: value}}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    tightened(world, namespace, f"{covered}---\n{yaml.safe_dump(body)}", value)


def test_a_level_that_another_client_has_tightened_refuses_a_covered_pod(world: World) -> None:
    namespace = world.namespace()
    path = f"/api/v1/namespaces/{namespace}"
    world.admin.patch(path, {"metadata": {"labels": {labels.PSA_ENFORCE: "restricted"}}}).expect(200)
    world.exception(namespace, "capture").expect(201)
    world.until("the operator says so", lambda: world.ready(namespace) == "LevelOwnedByOther")
    text = in_namespace(namespace, exception(world, "capture"), PODS[2])
    (found,) = asked(world.cluster, text, status=3)["pods"]
    assert (found["verdict"], found["podSecurity"]["level"]) == ("Covered", "restricted")
    assert f"remove the label {labels.PSA_ENFORCE}" in found["podSecurity"]["why"]
    assert world.admin.post(f"{world.pods(namespace)}?dryRun=All", PODS[2]).status == 403


def test_a_kind_that_is_not_of_kubernetes_is_asked_about_once_its_path_is_given(world: World) -> None:
    """Without the path nothing is called clean."""
    rollout = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "web"},
        "spec": {"template": {"spec": PODS[1]["spec"]}},
    }
    text = in_namespace("not-yet", rollout)
    document = asked(world.cluster, text, status=1)
    assert document["asked"]["podSecurity"] is False
    assert [each["podTemplate"] for each in document["notChecked"]] == ["spec.template"]
    completed = hostnetwork(world.cluster, "check", "--server", "-f", "-", stdin=text)
    assert "Pod Security was not asked about 1 of 1 pod." in completed.stdout
    document = asked(world.cluster, text, "--pod-template", "spec.template", status=3)
    assert refusals(document) == {"web": (False, True)}


def counts(form: str, output: str) -> tuple[int, int, int]:
    """Return how many pods are refused for host namespaces, how many by Pod Security, and how many gaps there are."""
    match form:
        case "json":
            kinds = refusals(json.loads(output)).values()
            return sum(host for host, _ in kinds), sum(by for _, by in kinds), len(json.loads(output)["notAsked"])
        case "sarif":
            rules = [each["ruleId"] for each in json.loads(output)["runs"][0]["results"]]
            return rules.count("HostNamespaces"), rules.count("PodSecurity"), rules.count("NotAsked")
        case "junit":
            suite = ElementTree.fromstring(output)
            failed = [case.attrib["name"] for case in suite.findall("testcase") if case.find("failure") is not None]
            by = sum(name.startswith("PodSecurity of ") for name in failed)
            return len(failed) - by, by, len(suite.findall(".//error"))
    by = output.count("violates PodSecurity")
    return output.count("would be refused: ") - by, by, output.count("was not asked about Pod")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_counts_what_the_server_says(world: World, form: str) -> None:
    text = in_namespace("not-yet", exception(world), *PODS)
    completed = hostnetwork(world.cluster, "check", "--server", "-f", "-", "-o", form, stdin=text)
    assert (completed.returncode, counts(form, completed.stdout)) == (3, (1, 2 + 1, 0))
    allowed = hostnetwork(world.cluster, "check", "--server", "-f", "-", "--fail-on", "nothing", stdin=text)
    assert allowed.returncode == 0
    assert allowed.stdout.endswith(
        "6 documents, 5 pods, 3 with host namespaces, 3 would be refused (2 by Pod Security alone; 1 for both reasons,"
        " host namespaces and Pod Security). Pod Security was asked.\n"
    )


def test_one_pod_that_cannot_be_asked_about_hides_no_other(world: World) -> None:
    broken = pod("broken", {"ports": [{"containerPort": "http"}]})
    completed = hostnetwork(
        world.cluster, "check", "--server", "-f", "-", stdin=in_namespace("not-yet", broken, *PODS[:2])
    )
    assert completed.returncode == 1
    assert "Pod Security was not asked about Pod broken in namespace not-yet: " in completed.stdout
    assert "Pod privileged in namespace not-yet would be refused: violates PodSecurity" in completed.stdout
    assert "Pod Security was not asked about 1 of 3 pods." in completed.stdout


def test_the_namespace_of_the_context_is_that_of_objects_that_name_none(world: World, tmp_path: pathlib.Path) -> None:
    kubeconfig = yaml.safe_load(world.cluster.kubeconfig.read_text())
    kubeconfig["contexts"][0]["context"]["namespace"] = "kube-system"
    (tmp_path / "config").write_text(yaml.safe_dump(kubeconfig))
    text = yaml.safe_dump(PODS[4])
    (found,) = asked(world.cluster, text, "--kubeconfig", str(tmp_path / "config"), status=0)["pods"]
    assert (found["namespace"], found["verdict"]) == ("kube-system", "Exempt")
    (found,) = asked(world.cluster, text, "-n", "not-yet", status=3)["pods"]
    assert (found["namespace"], found["verdict"]) == ("not-yet", "Uncovered")


def test_nothing_is_stored(world: World) -> None:
    """Every request that could write is a dry run in a preview namespace."""
    count = world.request_count()
    asked(world.cluster, in_namespace("not-yet", *PODS), status=3)
    writes = [
        event["requestURI"]
        for number, event in enumerate(world.cluster.audit_events())
        if number >= count and event["verb"] in {"create", "update", "patch"} and "masters" in str(event["user"])
    ]
    assert writes
    assert all("dryRun=All" in uri and "/hostnetwork-preview-" in uri for uri in writes), writes


@pytest.fixture
def pipeline(world: World) -> Iterator[World]:
    """The user `pipeline` has no rights; a test binds ClusterRoles to the user."""
    yield world
    for namespace in ("", *labels.PREVIEW_NAMESPACES):
        scope = f"{RBAC}/namespaces/{namespace}/rolebindings" if namespace else f"{RBAC}/clusterrolebindings"
        for body in world.admin.items(scope):
            if body["metadata"]["name"].startswith("pipeline"):
                world.admin.delete(f"{scope}/{body['metadata']['name']}").expect(200)


def bind(world: World, role: str, namespace: str = "") -> None:
    scope = f"{RBAC}/namespaces/{namespace}/rolebindings" if namespace else f"{RBAC}/clusterrolebindings"
    body = {
        "metadata": {"name": f"pipeline-{role}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "pipeline"}],
    }
    world.admin.post(scope, body).expect(201)


def test_a_user_without_rights_is_told_which_and_nothing_is_called_clean(pipeline: World) -> None:
    """The namespace and the policy are unknown first, then the dry run is forbidden. With both rights it is allowed."""
    world, text = pipeline, in_namespace("default", PODS[0], PODS[4])

    def lines() -> str:
        return hostnetwork(world.cluster, "check", "--server", "-f", "-", "--as", "pipeline", stdin=text).stdout

    document = asked(world.cluster, text, "--as", "pipeline", status=1)
    assert document["asked"] == {"hostNamespaces": True, "podSecurity": False}
    assert [each["podSecurity"] for each in document["pods"]] == [None, None]
    assert document["pods"][1]["verdict"] == "Uncovered"
    assert "Error from server (Forbidden): hostnetworkexceptionpolicies" in lines()
    assert "bind the ClusterRole hostnetwork-exception-viewer" in lines()
    bind(world, "hostnetwork-exception-viewer")
    world.until("the policy may be read", lambda: 'namespaces "default" is forbidden' in lines())
    assert "you need the right to get the namespace" in lines()
    bind(world, "view")
    world.until("the namespace may be read", lambda: "the API server refused a dry run" in lines())
    assert f"bind the ClusterRole {labels.PREVIEW_ROLE} in the namespaces {labels.PREVIEW_NAMESPACES[0]} and" in lines()
    assert "Pod Security was not asked about 2 of 2 pods." in lines()
    for namespace in labels.PREVIEW_NAMESPACES:
        bind(world, labels.PREVIEW_ROLE, namespace)
    world.until("Pod Security answers", lambda: lines().endswith("Pod Security was asked.\n"))
    document = asked(world.cluster, text, "--as", "pipeline", status=3)
    assert refusals(document) == {"plain": (False, False), "uncovered": (True, True)}


@pytest.mark.parametrize("form", FORMS)
def test_where_the_preview_namespaces_are_missing_nothing_is_called_clean(bare: cluster.Cluster, form: str) -> None:
    """Host namespaces are judged all the same, and each form says what was not asked and the remedy."""
    text = in_namespace("default", PODS[0])
    completed = hostnetwork(bare, "check", "--server", "-f", "-", "-o", form, stdin=text)
    assert completed.returncode == 1
    assert "Pod Security was not asked about Pod plain in namespace default: " in completed.stdout + completed.stderr
    said = completed.stdout.replace("\\", "")
    assert "kubectl apply -k manifests/base" in said
    if form == "json":
        assert json.loads(said)["asked"]["podSecurity"] is False
    else:
        assert counts(form, completed.stdout) == (0, 0, 1)
    assert asked(bare, in_namespace("default", PODS[4]), status=1)["pods"][0]["verdict"] == "Uncovered"


def test_a_server_that_does_not_answer_is_named(bare: cluster.Cluster) -> None:
    nowhere = bare.administrator_at("https://127.0.0.1:1")
    arguments = ("check", "--server", "-f", "-", "--request-timeout", "2s")
    completed = hostnetwork(bare, *arguments, stdin=in_namespace("default", PODS[0]), user=nowhere)
    assert (completed.returncode, completed.stdout) == (1, "")
    assert completed.stderr.startswith("error: the server https://127.0.0.1:1 does not answer (")
