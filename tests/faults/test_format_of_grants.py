"""Policies and operator are upgraded in either order, and an excepted pod can be created at any moment meanwhile.

`before/` has two admission policies from the time when grants had only the first format.
"""

import contextlib
import pathlib
import threading
from collections.abc import Iterator

import pytest

from tests.controlplane import api, operator
from tests.e2e.conftest import IMAGE, LABEL, World

BEFORE = pathlib.Path(__file__).parent / "before"
NOW = operator.ROOT / "manifests" / "admission"
# Kubernetes before 1.36 may crash when a policy with variables is replaced while it is evaluated
# (kubernetes/kubernetes#135757), which this test does all the time.
pytestmark = pytest.mark.since("1.36", "policies that can be replaced while they are evaluated")
AGENT = {"type": "Infrastructure", "serviceAccountName": "default", "expiry": None}
_PLAIN = {"hostNetwork": False, "volumes": [{"name": "v", "hostPath": {"path": "/proc"}}]}


@pytest.fixture
def world_and_namespace(unattended: World) -> Iterator[tuple[World, str]]:
    """A namespace with an exception for host-namespace pods and an exception for other pods, both granted."""
    name = unattended.namespace()
    unattended.exception(name, "agent", **AGENT).expect(201)
    plain_spec = {**AGENT, "hostNamespaces": [], "hostPaths": [{"path": "/proc", "readOnly": True}]}
    unattended.exception(name, "plain", **plain_spec).expect(201)
    unattended.until("both are granted", lambda: set(unattended.grants(name)) == {"agent", "plain"})
    unattended.until("an excepted pod is admitted", lambda: unattended.pod(name, dry_run=True).status == 201)
    try:
        yield unattended, name
    finally:
        _apply(unattended, NOW)
        unattended.until("all is as before", lambda: unattended.pod(name, dry_run=True, **_PLAIN).status == 201)


def _apply(world: World, directory: pathlib.Path) -> None:
    """Write these two policies with `kubectl apply`."""
    for file in ("host-namespaces", "relaxed-namespace"):
        operator.apply(world.cluster, "-f", str(directory / f"{file}.yaml"))


@contextlib.contextmanager
def always_admitted(world: World, namespace: str) -> Iterator[list[api.Response]]:
    """Create an excepted pod all the time, in dry runs; assert that the API server admits every pod."""
    answers: list[api.Response] = []
    stopped = threading.Event()

    def create() -> None:
        client = api.Api.from_kubeconfig(world.cluster.kubeconfig)
        body = {
            "metadata": {"name": "again"},
            "spec": {"hostNetwork": True, "containers": [{"name": "main", "image": IMAGE}]},
        }
        while not stopped.wait(0.02):
            answers.append(client.post(f"{world.pods(namespace)}?dryRun=All", body))
        client.close()

    thread = threading.Thread(target=create, daemon=True)
    thread.start()
    try:
        yield answers
    finally:
        stopped.set()
        thread.join(60)
    assert answers
    assert [answer.message for answer in answers if answer.status != 201] == []


def _plain_is_refused(world: World, namespace: str) -> bool:
    return world.pod(namespace, dry_run=True, **_PLAIN).status == 403


def test_policies_that_come_first_admit_what_an_older_operator_granted(world_and_namespace: tuple[World, str]) -> None:
    """Without any operator, older and newer policies replace each other under grants of the first format."""
    world, name = world_and_namespace
    world.operator.stop()
    with always_admitted(world, name):
        _apply(world, BEFORE)
        world.until("the older policies are in force", lambda: _plain_is_refused(world, name))
        _apply(world, NOW)
        world.until("the newer are", lambda: not _plain_is_refused(world, name))
    assert len(world.grants(name)["agent"].split("|")) == 10
    assert len(world.grants(name)["plain"].split("|")) == 12


def test_an_operator_that_comes_first_leaves_what_older_policies_admit(world_and_namespace: tuple[World, str]) -> None:
    """The operator finds unknown policies, counts them as missing after a minute, and revokes no grant."""
    world, name = world_and_namespace
    world.operator.stop()
    _apply(world, BEFORE)
    world.until("the older policies are in force", lambda: _plain_is_refused(world, name))
    with always_admitted(world, name):
        world.operator.start()
        sample = f'hostnetwork_admission_policy_intact{{policy="host-namespaces.{LABEL}"}} 0.0'
        world.until("the operator misses them", lambda: sample in world.operator.metrics())
        path = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"

        def is_missing() -> bool:
            conditions = world.admin.get(path).body["status"]["conditions"]
            return any(
                condition["type"] == "Guarded" and condition["reason"] not in {"Intact", "Changing"}
                for condition in conditions
            )

        world.until("it takes them for no half of an upgrade", is_missing, deadline_seconds=120)
        assert "agent" in world.grants(name)
        _apply(world, NOW)
        world.until("the exception is in force", lambda: world.ready(name, "agent") == "Active")
        world.until("and the other is", lambda: not _plain_is_refused(world, name))
