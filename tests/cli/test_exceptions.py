"""`kubectl hostnetwork exceptions`: the register agrees with the operator, and what needs attention comes first."""

import json
import pathlib
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.cli.conftest import COMMAND, hostnetwork, result
from tests.controlplane import cluster
from tests.e2e.conftest import IMAGE, World


@pytest.fixture(scope="module")
def register(module_world: World) -> str:
    """A namespace with an exception that covers a pod, one that is unused and ends soon, and one that has ended."""
    world = module_world
    namespace = world.namespace()
    world.granted_pod(namespace, "in-use")
    world.exception(namespace, "spare", seconds=600, serviceAccountName="spare").expect(201)
    world.exception(namespace, "short", seconds=3, serviceAccountName="short").expect(201)
    agent = {"type": "Infrastructure", "ticket": None, "expiry": None, "images": [IMAGE], "hostNamespaces": ["PID"]}
    world.exception(namespace, "agent", serviceAccountName="agent", **agent).expect(201)
    world.until("it has ended", lambda: world.ready(namespace, "short") == "Expired")
    world.until("it is in force", lambda: world.ready(namespace, "agent") == "Active")
    return namespace


def names(world: World, namespace: str, *arguments: str, status: int = 0) -> list[str]:
    document = result(world.cluster, "exceptions", "-n", namespace, *arguments, status=status)
    return [entry["name"] for entry in document["exceptions"]]


def test_the_register_agrees_with_the_operator(world: World, register: str) -> None:
    """Each exception has the reason of its condition Ready and the number of its pods, as the operator wrote them."""
    document = result(world.cluster, "exceptions", "-n", register)
    assert document["notLookedAt"] == []
    shown = {entry["name"]: (entry["state"], entry["coveredPods"]) for entry in document["exceptions"]}
    written = {
        name: (world.ready(register, name), world.status(register, name).get("coveredPods"))
        for name in ("in-use", "spare", "short", "agent")
    }
    assert shown == written


def test_what_needs_attention_comes_first(world: World, register: str) -> None:
    """What ends soon or is not used is before what is fine; an exception that ended long ago without pods is last."""
    order = names(world, register)
    assert order.index("spare") < order.index("short")
    assert order[-1] == "short"


def test_filters_choose_and_can_fail_a_job(world: World, register: str) -> None:
    assert names(world, register, "--expiring", "20m") == ["spare"]
    assert set(names(world, register, "--unused")) == {"spare", "agent"}
    assert names(world, register, "--expiring", "1s") == []
    arguments = ("exceptions", "-n", register, "--expiring", "20m", "--fail-on", "any")
    assert hostnetwork(world.cluster, *arguments).returncode == 3
    assert hostnetwork(world.cluster, *arguments[:3], "--expiring", "1s", "--fail-on", "any").returncode == 0


def test_a_selector_chooses_by_labels(world: World, register: str) -> None:
    """A selector that the API server does not understand is an error, not an empty list."""
    path = f"{world.exceptions(register)}/spare"
    world.admin.patch(path, {"metadata": {"labels": {"team": "web"}}}).expect(200)
    assert names(world, register, "-l", "team=web") == ["spare"]
    assert names(world, register, "-l", "team in (db, mail)") == []
    assert names(world, register, "-l", "team!=web,!other", "--unused") == ["agent"]
    shown = hostnetwork(world.cluster, "exceptions", "-l", "team==")
    wrong = hostnetwork(world.cluster, "exceptions", "-l", "=web")
    assert (shown.returncode, wrong.returncode) == (0, 1)
    assert wrong.stderr.startswith("Error from server (BadRequest): ")
    world.admin.patch(path, {"metadata": {"labels": {"team": None}}}).expect(200)


@pytest.fixture
def watched(world: World, register: str) -> Iterator[str]:
    """The path of an exception that is not there yet, and is deleted afterwards."""
    path = f"{world.exceptions(register)}/watched"
    yield path
    world.admin.delete(path).expect(200)


def test_watch_shows_an_exception_that_is_created(world: World, register: str, watched: str) -> None:
    environment = {"PATH": "/usr/bin:/bin", "KUBECONFIG": str(world.cluster.kubeconfig), "PYTHONUNBUFFERED": "1"}
    command = [COMMAND, "exceptions", "-n", register, "-w", "-l", "watched=yes", "--no-headers"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        world.exception(register, "watched", serviceAccountName="watched").expect(201)
        world.admin.patch(watched, {"metadata": {"labels": {"watched": "yes"}}}).expect(200)
        seen = any("watched" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert seen, errors
    assert (process.returncode, "Traceback" in errors) == (130, False), errors


@pytest.mark.parametrize("form", ["table", "wide", "json", "yaml", "name"])
def test_every_form_has_the_same_exceptions(world: World, register: str, form: str) -> None:
    shown = hostnetwork(world.cluster, "exceptions", "-n", register, "-o", form, "--no-headers")
    assert shown.returncode == 0
    documents: dict[str, Any] = {"json": json.loads, "yaml": yaml.safe_load}
    if form in documents:
        assert len(documents[form](shown.stdout)["exceptions"]) == 4
    else:
        assert len(shown.stdout.splitlines()) == 4


def test_where_nothing_is_installed_there_are_none(bare: cluster.Cluster) -> None:
    shown = hostnetwork(bare, "exceptions")
    assert shown.returncode == 0
    assert "hostnetwork-operator is not installed" in shown.stderr
    assert len(shown.stdout.splitlines()) == 1


def test_names_are_completed(world: World, register: str) -> None:
    """From the cluster that the flags name, within a second. Without a cluster there is no name and no error."""
    kubeconfig = str(world.cluster.kubeconfig)

    def choices(*words: str) -> list[str]:
        command = [COMMAND.with_name("kubectl_complete-hostnetwork"), *words]
        completed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        assert completed.stderr == ""
        return completed.stdout.splitlines()

    assert choices("status", "--kubeconfig", kubeconfig, "-n", register) == [register, ":4"]
    assert choices("renew", "--kubeconfig", kubeconfig, "-n", register, "s") == ["short", "spare", ":4"]
    assert choices("status", "--kubeconfig", "/nowhere", "-n", "") == [":4"]


def test_several_clusters_are_one_list(world: World, register: str, three_clusters: pathlib.Path) -> None:
    """A cluster that does not answer is named, hides no other, and makes the exit status 1."""
    contexts = ("--context", "governed", "--context", "bare")
    listed = hostnetwork(world.cluster, "exceptions", *contexts, user=three_clusters)
    assert (listed.returncode, "governed: " in listed.stderr, "bare: " in listed.stderr) == (0, True, True)
    assert listed.stdout.splitlines()[0].split()[:2] == ["CLUSTER", "NAMESPACE"]
    assert {line.split()[0] for line in listed.stdout.splitlines()[1:]} == {"governed"}
    for verb in ("status", "exceptions"):
        shown = hostnetwork(world.cluster, verb, *contexts, "--context", "gone", "-o", "json", user=three_clusters)
        assert shown.returncode == 1
        assert "not looked at: cluster gone: " in shown.stderr
        found = {each["context"]: each for each in json.loads(shown.stdout)["clusters"]}
        assert found["governed"]["result"] == {
            **result(world.cluster, verb),
            "time": found["governed"]["result"]["time"],
        }
        assert found["bare"]["result"]["installed"] is False
        assert "does not answer" in found["gone"]["error"]
    for flags in (("-w", *contexts), ("--context", "bare", "--context", "bare")):
        assert hostnetwork(world.cluster, "status", *flags, user=three_clusters).returncode == 2
    assert hostnetwork(world.cluster, "doctor", *contexts, user=three_clusters).returncode == 2
