"""`kubectl hostnetwork debug`: a session under an exception of its own, which ends with it, whatever ends it.

The kubelet is simulated: an attachment shows what is added to one file, reads no input, and never ends. The tests of
tests/unit/cli/test_attach.py have the rest.
"""

import contextlib
import pathlib
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from hostnetwork_operator.api import labels
from tests.cli.conftest import COMMAND, completed
from tests.e2e.conftest import IMAGE, World

NODE = ("debug", "node/node-1", "--image", IMAGE, "--ticket", "INC-1")


class Session:
    """A session as a process, and the output so far."""

    def __init__(self, world: World, namespace: str, *arguments: str) -> None:
        self._world, self._namespace = world, namespace
        directory = pathlib.Path(world.cluster.directory)
        self._stdout, self._stderr = directory / f"{namespace}.out", directory / f"{namespace}.err"
        words = [*NODE, "-n", namespace, *arguments]
        environment = {"KUBECONFIG": str(world.cluster.kubeconfig)}
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self.process = subprocess.Popen(
                [COMMAND, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment
            )

    @property
    def out(self) -> str:
        return self._stdout.read_text()

    @property
    def err(self) -> str:
        return self._stderr.read_text()

    def exception(self) -> dict[str, Any]:
        (body,) = self._world.admin.items(self._world.exceptions(self._namespace))
        return dict(body)

    def until_attached(self) -> str:
        """Wait until what the container writes is shown. Return the name of the exception and its pod."""
        line = "the container writes"

        def shown() -> bool:
            assert self.process.poll() is None, self.err
            write(self._world, line)
            return line in self.out

        self._world.until("it is attached", shown)
        return str(self.exception()["metadata"]["name"])

    def end(self, number: int) -> int:
        """Send a signal, and return the exit status of the command."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


def write(world: World, line: str) -> None:
    """Have every container write a line, as a container runtime logs it."""
    with world.cluster.container_log.open("a") as log:
        log.write(f"{world.time()} stdout F {line}\n")


@contextlib.contextmanager
def started(world: World, namespace: str, *arguments: str) -> Iterator[Session]:
    session = Session(world, namespace, *arguments)
    try:
        yield session
    finally:
        session.process.kill()
        session.process.wait()


@pytest.fixture(scope="module")
def empty(module_world: World) -> str:
    """An enforced namespace in which the commands of this file create nothing."""
    return module_world.namespace()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_session_has_an_exception_that_ends_with_it(world: World, number: signal.Signals) -> None:
    """The pod is covered by the exception of the session. After Ctrl-C or a lost terminal the exception is revoked, and
    the operator deletes the pod.
    """
    namespace = world.namespace()
    with started(world, namespace) as session:
        name = session.until_attached()
        world.until("the pod is covered", lambda: world.status(namespace, name).get("samplePods") == [name])
        pod = world.admin.get(f"{world.pods(namespace)}/{name}").expect(200).body
        assert pod["spec"]["nodeName"] == "node-1"
        assert session.end(number) == 128 + number
        assert f"exception {name} is revoked" in session.err
        expiry = session.exception()["spec"]["expiry"]
        assert expiry <= world.time(1)
        world.until("the pod is deleted", lambda: world.is_deleted(namespace, name))
        world.until("it has ended", lambda: world.ready(namespace, name) == "Expired")
        deletions = [write for write in world.writes() if write["verb"] == "delete"]
        assert [write["objectRef"]["name"] for write in deletions][-1:] == [name]


def test_a_client_that_is_killed_leaves_an_exception_that_ends(world: World) -> None:
    """kill -9: nothing is revoked. At the expiry the operator deletes the pod, as of any Diagnostic exception."""
    namespace = world.namespace()
    with started(world, namespace, "--for", "15s") as session:
        name = session.until_attached()
        before = session.exception()["spec"]["expiry"]
        assert session.end(signal.SIGKILL) == -signal.SIGKILL
        world.until("the pod is deleted", lambda: world.is_deleted(namespace, name))
        assert session.exception()["spec"]["expiry"] == before
        assert world.time() >= before


def test_the_exit_status_is_that_of_the_process(world: World) -> None:
    """The process ends before the attachment, so what it wrote is read from its log."""
    namespace = world.namespace()
    write(world, "from the log")
    done = completed(world.cluster, *NODE, "-n", namespace, "--", "example.com/exits", "--image", "-x")
    assert done.returncode == 3, done.stderr
    assert done.stdout.endswith("from the log\n")
    (body,) = world.admin.items(world.exceptions(namespace))
    name = body["metadata"]["name"]
    assert f"exception {name} is revoked" in done.stderr
    world.until("the pod is deleted", lambda: world.is_deleted(namespace, name))


def test_without_an_operator_the_client_deletes_its_pod(unattended: World) -> None:
    """The operator dies during the session. The client revokes the exception, waits for a moment, and deletes."""
    world = unattended
    namespace = world.namespace()
    with started(world, namespace) as session:
        name = session.until_attached()
        world.operator.kill()
        assert session.end(signal.SIGTERM) == 128 + signal.SIGTERM
        assert "The operator has not deleted the pod within 5 s, so this command has" in session.err
        world.until("the pod is deleted", lambda: world.is_deleted(namespace, name))


def test_what_is_refused_leaves_nothing_in_force(world: World) -> None:
    """The exception is in force, and the API server refuses the pod: the exception is revoked all the same."""
    namespace = world.namespace()
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    world.admin.post(path, quota).expect(201)
    world.until("the quota counts", lambda: "hard" in world.admin.get(f"{path}/none").body.get("status", {}))
    done = completed(world.cluster, *NODE, "-n", namespace)
    assert done.returncode == 1
    assert "exceeded quota: none" in done.stderr
    (body,) = world.admin.items(world.exceptions(namespace))
    assert body["spec"]["expiry"] <= world.time()
    assert world.admin.items(world.pods(namespace)) == []


def test_a_person_who_may_not_approve_gets_the_yaml(world: World, empty: str) -> None:
    """The exception and the pod, as the API server takes them from an approver."""
    tenant = world.cluster.tenant(empty, "debugger")
    done = completed(world.cluster, *NODE, "-n", empty, "--profile", "netadmin", user=tenant)
    assert done.returncode == 1
    assert "a user needs the cluster-wide verb approve" in done.stderr
    assert "Who may approve exceptions is not known, because you may not read RBAC" in done.stderr
    assert world.admin.items(world.exceptions(empty)) == []
    exception, pod = yaml.safe_load_all(done.stdout)
    assert exception["spec"]["owner"] == f"debugger-{empty}"
    world.admin.post(f"{world.exceptions(empty)}?dryRun=All", exception).expect(201)
    assert pod["spec"]["nodeName"] == "node-1"


def test_who_may_approve_is_said_as_far_as_rbac_can_be_read(world: World, empty: str) -> None:
    """Also with --as: who asks is who is impersonated."""
    base = "/apis/rbac.authorization.k8s.io/v1"
    reader = {
        "metadata": {"name": "rbac-reader"},
        "rules": [{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["list"]}],
    }
    world.admin.post(f"{base}/clusterroles", reader).expect(201)
    for name, role, user in (("readers", "rbac-reader", "jane"), ("of-sre", "hostnetwork-exception-approver", "ann")):
        body = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }
        world.admin.post(f"{base}/clusterrolebindings", body).expect(201)
    done = completed(world.cluster, *NODE, "-n", empty, "--as", "jane", "--as-group", "system:authenticated")
    assert (done.returncode, "owner: jane" in done.stdout) == (1, True)
    assert "User ann by hostnetwork-exception-approver" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("node/node-9", "-n", "default"), 'Error from server (NotFound): nodes "node-9" not found'),
        (("node/node-1", "-n", "nowhere"), 'Error from server (NotFound): namespaces "nowhere" not found'),
        (("node/node-1", "-n", "kube-system"), "error: namespace kube-system is exempt, so the operator would not end"),
    ],
)
def test_what_cannot_work_is_said_first(world: World, arguments: tuple[str, ...], message: str) -> None:
    done = completed(world.cluster, "debug", *arguments, "--image", IMAGE, "--ticket", "INC-1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(message)


def test_a_dry_run_creates_nothing(world: World, empty: str) -> None:
    done = completed(world.cluster, *NODE, "-n", empty, "--dry-run", "--", "ip", "route")
    assert done.returncode == 0, done.stderr
    exception, pod = yaml.safe_load_all(done.stdout)
    assert exception["spec"]["hostNamespaces"] == ["Network"]
    assert pod["spec"]["containers"][0]["command"] == ["ip", "route"]
    assert world.admin.items(world.exceptions(empty)) == []


def test_a_stray_pod_is_adopted_and_ends(unattended: World) -> None:
    """A debug pod from before enforcement keeps its namespace Held. Under an exception it is covered, and deleted at
    the expiry.
    """
    world = unattended
    world.operator.stop()
    namespace = world.namespace(deny=False, old=True)
    world.pod(namespace, "stray", hostPID=True).expect(201)
    world.operator.start()
    world.until("it is held", lambda: world.labels(namespace).get(labels.ENFORCEMENT) == "Held")
    adopting = ("debug", "-n", namespace, "--adopt", "stray", "--ticket", "INC-1")
    tenant = world.cluster.tenant(namespace, "adopter")
    refused = completed(world.cluster, *adopting, user=tenant)
    assert (refused.returncode, world.admin.items(world.exceptions(namespace))) == (1, [])
    assert yaml.safe_load(refused.stdout)["spec"]["owner"] == f"adopter-{namespace}"
    done = completed(world.cluster, *adopting, "--name", "adopted")
    assert done.returncode == 0, done.stderr
    assert "exception adopted in namespace" in done.stderr
    spec = world.admin.get(f"{world.exceptions(namespace)}/adopted").expect(200).body["spec"]
    assert (spec["type"], spec["hostNamespaces"], spec["images"]) == ("Diagnostic", ["Network", "PID"], [IMAGE])
    again = completed(world.cluster, *adopting)
    assert again.returncode == 1
    assert "is not a stray pod: exception 'adopted' covers the pod" in again.stderr
    change = {"spec": {"expiry": world.time(1)}}
    world.admin.patch(f"{world.exceptions(namespace)}/adopted", change).expect(200)
    world.until("the pod is deleted", lambda: world.is_deleted(namespace, "stray"))


def test_a_pod_that_needs_no_exception_is_not_adopted(world: World, empty: str) -> None:
    world.pod(empty, "plain", hostNetwork=False).expect(201)
    done = completed(world.cluster, "debug", "-n", empty, "--adopt", "plain", "--ticket", "INC-1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "needs no exception" in done.stderr


def test_nodes_are_completed(world: World) -> None:
    words = ["debug", "--kubeconfig", str(world.cluster.kubeconfig), "node/node-"]
    command = [COMMAND.with_name("kubectl_complete-hostnetwork"), *words]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert completed.stdout.splitlines() == ["node/node-1", "node/node-2", ":4"]
