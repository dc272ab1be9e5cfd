"""`kubectl hostnetwork draft`. tests/adoption shows that a draft that is filled in covers its workload."""

import pathlib

import pytest
import yaml

from tests.cli.conftest import hostnetwork
from tests.cli.test_status import daemon_set
from tests.controlplane import cluster
from tests.e2e.conftest import IMAGE, World


def filled_in(text: str, expiry: str) -> str:
    """Return a draft as a person completes it."""
    return (
        text.replace('owner: "" #', "owner: team-sre #")
        .replace('reason: "" #', "reason: The agent needs its node #")
        .replace('ticket: "" #', "ticket: INC-1 #")
        .replace('expiry: "" #', f"expiry: {expiry} #")
    )


def test_a_draft_says_what_a_person_must_know(world: World) -> None:
    """The digest that runs, the level that Pod Security allows, and for an approver what is wide."""
    namespace = world.namespace(deny=False, old=True)
    body = daemon_set("agent", IMAGE)
    container = body["spec"]["template"]["spec"]["containers"][0]
    container["securityContext"] = {"privileged": True}
    world.admin.post(f"/apis/apps/v1/namespaces/{namespace}/daemonsets", body).expect(201)
    shown = hostnetwork(world.cluster, "draft", "-n", namespace, "ds/agent", "--for-approval")
    assert (shown.returncode, shown.stderr) == (0, "")
    spec = yaml.safe_load(shown.stdout)["spec"]
    assert spec == {
        "type": "Infrastructure",
        "component": "Other",
        "owner": "",
        "reason": "",
        "serviceAccountName": "default",
        "hostNamespaces": ["Network"],
        "images": [IMAGE],
        "privileged": True,
    }
    assert "# - a privileged container has root rights on the node" in shown.stdout
    diagnostic = hostnetwork(world.cluster, "draft", "-n", namespace, "ds/agent", "--type", "Diagnostic")
    assert set(yaml.safe_load(diagnostic.stdout)["spec"]) >= {"ticket", "expiry"}
    assert 'expiry: "" # TODO: RFC 3339, such as 2026-12-31T12:00:00Z\n' in diagnostic.stdout


def test_two_workloads_of_one_name_have_two_drafts(world: World, tmp_path: pathlib.Path) -> None:
    """A Deployment and a DaemonSet may have one name. Their exceptions have two."""
    namespace = world.namespace(deny=False, old=True)
    daemons = daemon_set("web", IMAGE)
    deployment = {**daemons, "kind": "Deployment", "spec": {**daemons["spec"], "replicas": 0}}
    for body, plural in ((daemons, "daemonsets"), (deployment, "deployments")):
        world.admin.post(f"/apis/apps/v1/namespaces/{namespace}/{plural}", body).expect(201)
    shown = hostnetwork(world.cluster, "draft", "--all", "-n", namespace, "-o", str(tmp_path))
    assert shown.returncode == 0, shown.stderr
    names = {yaml.safe_load(path.read_text())["metadata"]["name"] for path in tmp_path.rglob("*.yaml")}
    assert names == {"web", "web-deployment"}


def run(world: World, namespace: str, digest: str) -> None:
    """Create a pod whose image runs under a digest, as a kubelet writes the status."""
    world.pod(namespace, "agent").expect(201)
    path = f"{world.pods(namespace)}/agent"
    world.until("the kubelet has written", lambda: world.admin.get(path).body["status"].get("phase") == "Running")
    state = {"ready": True, "restartCount": 0, "image": IMAGE, "imageID": f"{IMAGE}@{digest}"}
    (container,) = world.admin.get(path).expect(200).body["spec"]["containers"]
    body = {"status": {"containerStatuses": [{"name": container["name"], **state}]}}
    world.admin.patch(f"{path}/status", body).expect(200)


def test_the_digest_is_that_of_the_same_namespace(unattended: World, tmp_path: pathlib.Path) -> None:
    """Two teams may run one tag under two digests, for example from two mirrors."""
    world = unattended
    world.operator.stop()  # a running operator enforces in an empty namespace before the pod is created
    digests = {}
    for letter in "ab":
        namespace, digest = world.namespace(deny=False, old=True), f"sha256:{letter * 64}"
        run(world, namespace, digest)
        digests[namespace] = digest
    world.operator.start()
    for namespace, digest in digests.items():
        shown = hostnetwork(world.cluster, "draft", "-n", namespace, "pod/agent")
        assert f"# runs as {digest}\n" in shown.stdout
    shown = hostnetwork(world.cluster, "draft", "--all", "-o", str(tmp_path))
    assert shown.returncode == 0, shown.stderr
    for namespace, digest in digests.items():
        assert f"# runs as {digest}\n" in (tmp_path / namespace / "agent.yaml").read_text()


@pytest.fixture(scope="module")
def ungoverned(bare: cluster.Cluster) -> str:
    """A namespace of the cluster with nothing installed, which other files use too."""
    bare.admin.post("/api/v1/namespaces", {"metadata": {"name": "drafts"}}).expect(201)
    return "drafts"


def test_where_nothing_is_installed_the_level_is_said_to_be_a_guess(bare: cluster.Cluster, ungoverned: str) -> None:
    path = f"/apis/apps/v1/namespaces/{ungoverned}/daemonsets"
    bare.admin.post(path, daemon_set("agent", IMAGE)).expect(201)
    shown = hostnetwork(bare, "draft", "-n", ungoverned, "ds/agent")
    assert shown.returncode == 0
    assert "podSecurityLevel is a guess, because Pod Security was not asked" in shown.stderr
    assert "podSecurityLevel" not in shown.stdout


def test_what_needs_no_exception_gets_no_draft(bare: cluster.Cluster, ungoverned: str) -> None:
    plain = daemon_set("plain", IMAGE)
    del plain["spec"]["template"]["spec"]["hostNetwork"]
    bare.admin.post(f"/apis/apps/v1/namespaces/{ungoverned}/daemonsets", plain).expect(201)
    shown = hostnetwork(bare, "draft", "-n", ungoverned, "ds/plain")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith(f"error: ds/plain in namespace {ungoverned} needs no exception")


@pytest.mark.parametrize(
    "arguments", [(), ("--all",), ("ds/a", "-o", "x"), ("ds/a", "--all", "-o", "x"), ("a", "b", "c")]
)
def test_one_workload_or_all_with_a_directory(bare: cluster.Cluster, arguments: tuple[str, ...]) -> None:
    assert hostnetwork(bare, "draft", *arguments).returncode == 2
