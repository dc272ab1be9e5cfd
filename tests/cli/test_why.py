"""`kubectl hostnetwork why`: the first condition that fails, what does not restrict the pods, and the remedy."""

import subprocess
from typing import Any

import pytest

from hostnetwork_operator.api import labels
from tests.cli.conftest import COMMAND, hostnetwork, result
from tests.cli.test_status import daemon_set
from tests.controlplane import cluster
from tests.e2e.conftest import IMAGE, World

OTHER = "registry.example.com/other:1"


def network_policy(world: World, namespace: str, name: str, **selector: Any) -> None:
    body = {"metadata": {"name": name}, "spec": {"podSelector": selector, "policyTypes": ["Ingress"]}}
    world.admin.post(f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies", body).expect(201)


@pytest.fixture(scope="module")
def place(module_world: World) -> str:
    """An enforced namespace with an exception for IMAGE, one that has ended, and two DaemonSets."""
    world = module_world
    namespace = world.namespace()
    world.granted_pod(namespace, "capture")
    world.exception(namespace, "over", seconds=2, serviceAccountName="over").expect(201)
    for name, image in (("refused", OTHER), ("admitted", IMAGE)):
        body = daemon_set(name, image)
        world.admin.post(f"/apis/apps/v1/namespaces/{namespace}/daemonsets", body).expect(201)
    network_policy(world, namespace, "all")
    network_policy(world, namespace, "of-refused", matchLabels={"app": "refused"})
    network_policy(world, namespace, "of-others", matchExpressions=[{"key": "app", "operator": "DoesNotExist"}])
    world.until("it has ended", lambda: world.ready(namespace, "over") == "Expired")
    world.until("a pod is there", lambda: result(world.cluster, "why", "-n", namespace, "ds/admitted")["pods"])
    return namespace


def test_a_refused_workload_is_explained_by_its_next_pod(world: World, place: str) -> None:
    """No pod exists. The nearest exception fails by its images, and a command drafts another exception."""
    found = result(world.cluster, "why", "-n", place, "ds/refused")
    assert (found["verdict"], found["fromTemplate"], found["pods"]) == ("Uncovered", True, 0)
    assert [(each["name"], each["failed"]) for each in found["exceptions"]] == [
        ("capture", "images"),
        ("over", "serviceAccountName"),
    ]
    assert OTHER in found["exceptions"][0]["why"]
    assert found["networkPolicies"] == ["all", "of-refused"]
    assert found["commands"] == [f"kubectl hostnetwork draft -n {place} ds/refused"]
    text = hostnetwork(world.cluster, "why", "-n", place, "daemonset", "refused").stdout
    assert text.startswith(f"ds/refused in namespace {place}: has no pod; the next would be Uncovered (shares Network)")
    assert "not restricted by these NetworkPolicies, which select it: all, of-refused" in text
    assert f"kubectl hostnetwork draft -n {place} ds/refused" in text


def test_a_covered_workload_and_its_pods_have_one_verdict(world: World, place: str) -> None:
    """The workload, each of its pods, and a pod without a controller are Covered, as the operator says."""
    found = result(world.cluster, "why", "-n", place, "ds/admitted")
    assert (found["verdict"], found["remedy"], found["commands"]) == ("Covered", None, [])
    assert found["exceptions"][0] == {
        **found["exceptions"][0], "name": "capture", "state": "Active", "covers": True, "failed": None
    }  # fmt: skip
    assert found["namespace"] == {**found["namespace"], "enforcement": "Deny", "level": "privileged", "relaxed": True}
    (pod, *_) = [
        pod["metadata"]["name"]
        for pod in world.admin.items(world.pods(place))
        if pod["metadata"]["name"].startswith("admitted-")
    ]
    for name in (pod, f"pod/{pod}", f"po/{pod}"):
        assert result(world.cluster, "why", "-n", place, name)["verdict"] == "Covered"
    alone = result(world.cluster, "why", "-n", place, "capture")
    assert (alone["verdict"], alone["networkPolicies"]) == ("Covered", ["all", "of-others"])


def test_why_a_namespace_is_held_is_said(unattended: World) -> None:
    """The annotation of the operator says what blocks enforcement: a pod that is older than enforcement."""
    world = unattended
    world.operator.stop()
    namespace = world.namespace(deny=False, old=True)
    world.pod(namespace, "from-before").expect(201)
    world.operator.start()
    world.until("it is held", lambda: world.labels(namespace).get(labels.ENFORCEMENT) == "Held")
    found = result(world.cluster, "why", "-n", namespace, "from-before")
    assert (found["verdict"], found["namespace"]["enforcement"]) == ("Uncovered", "Held")
    assert "from-before" in found["namespace"]["heldBy"]
    assert found["exceptions"] == []
    assert found["remedy"] == "create an exception that allows what the pods use"


def test_the_command_of_the_remedy_puts_it_right(world: World) -> None:
    """Another client has set a level, so the exception is not in force. The command that `why` prints removes it."""
    namespace = world.namespace()
    label = {"metadata": {"labels": {labels.PSA_ENFORCE: "restricted"}}}
    world.admin.patch(f"/api/v1/namespaces/{namespace}", label).expect(200)
    world.exception(namespace, "capture").expect(201)
    world.until("it is not in force", lambda: world.ready(namespace, "capture") == "LevelOwnedByOther")
    body = daemon_set("agent", IMAGE)
    world.admin.post(f"/apis/apps/v1/namespaces/{namespace}/daemonsets", body).expect(201)
    for command in result(world.cluster, "why", "-n", namespace, "ds/agent")["commands"]:
        done = world.cluster.kubectl(*command.split()[1:])
        assert done.returncode == 0, done.stderr
    world.until("it is in force", lambda: world.ready(namespace, "capture") == "Active")
    world.until(
        "it is covered", lambda: result(world.cluster, "why", "-n", namespace, "ds/agent")["verdict"] == "Covered"
    )


def test_what_shares_no_host_namespace_needs_no_exception(world: World) -> None:
    namespace = world.namespace()
    body = daemon_set("plain", IMAGE)
    del body["spec"]["template"]["spec"]["hostNetwork"]
    world.admin.post(f"/apis/apps/v1/namespaces/{namespace}/daemonsets", body).expect(201)
    shown = hostnetwork(world.cluster, "why", "-n", namespace, "ds/plain")
    assert (shown.returncode, shown.stdout) == (
        0, f"ds/plain in namespace {namespace}: shares no host namespace, so no exception is needed\n"
    )  # fmt: skip


def test_a_tenant_is_told_what_is_not_known(world: World, place: str) -> None:
    """He may not read the Namespace, so nothing is said about his pods: above all not that they need no exception."""
    shown = hostnetwork(world.cluster, "why", "-n", place, "capture", user=world.cluster.tenant(place, "asker"))
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith(f"error: namespace {place} cannot be read, so no verdict is known: ")


def test_workloads_are_completed(world: World, place: str) -> None:
    words = ["why", "--kubeconfig", str(world.cluster.kubeconfig), "-n", place, "ds/re"]
    command = [COMMAND.with_name("kubectl_complete-hostnetwork"), *words]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert completed.stdout.splitlines() == ["ds/refused", ":4"]


def test_what_does_not_exist_is_an_error_in_the_words_of_kubectl(bare: cluster.Cluster) -> None:
    shown = hostnetwork(bare, "why", "-n", "default", "ds/nothing")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == 'Error from server (NotFound): daemonsets.apps "nothing" not found\n'
    shown = hostnetwork(bare, "why", "gadget/x")
    assert shown.returncode == 1
    assert shown.stderr.startswith("error: the server doesn't have a workload type 'gadget'")
    shown = hostnetwork(bare, "why", "-n", "default", "pod/../../secrets/x")
    assert (shown.returncode, shown.stdout) == (1, "")
