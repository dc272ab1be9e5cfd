"""Each sample runs under its exception in a namespace that otherwise refuses it, and no smaller exception is enough."""

import shlex
from collections.abc import Iterator, Mapping

import pytest

from tests.controlplane import api
from tests.docs import markdown
from tests.e2e import agents, homes
from tests.e2e.conftest import LABEL, PSA, World


@pytest.fixture(scope="module")
def excepted(tended: World) -> Iterator[homes.Homes]:
    """Apply each sample while its exception is in force, and wait until its pods run and are covered."""
    with homes.made(tended, agents.read(tended.time(3600))) as made:
        homes.until(tended, made, "it is enforced", lambda home: tended.enforced(home.namespace))
        for home in made.values():
            homes.grant(tended, home, "sample", home.sample.exception["spec"])
        homes.until(tended, made, "it is in force", lambda home: tended.ready(home.namespace, "sample") == "Active")
        homes.until(tended, made, "it is relaxed", lambda home: tended.labels(home.namespace)[PSA] == "privileged")
        homes.apply(tended, ((home, body) for home in made.values() for body in home.sample.objects))
        for home in homes.on_time(made):
            _set_going(tended, home)
        # A CronJob starts at the next minute, and a controller whose pod was refused waits before it retries.
        homes.until(tended, made, "its pods run", lambda home: _runs(tended, home), deadline_seconds=90)
        # The operator lists pods with only hostPID or hostIPC at its start and then hourly.
        tended.operator.stop()
        tended.operator.start()
        homes.until(tended, made, "its pods are covered", lambda home: _covered(tended, home))
        yield made


@pytest.fixture(scope="module")
def lessened(tended: World) -> Iterator[Mapping[str, tuple[homes.Home, api.Response | None]]]:
    """The answer to each sample's pod while all exceptions that grant a little less are in force."""
    with homes.lessened(tended, agents.read(tended.time(3600))) as answered:
        yield answered


def _set_going(world: World, home: homes.Home) -> None:
    """Make the workload's controller create pods."""
    kind, name = home.sample.workload["kind"], home.sample.workload["metadata"]["name"]
    path = f"{home.namespace}/{kind.lower()}s/{name}"
    if kind == "ReplicaSet":
        world.admin.patch(f"/apis/apps/v1/namespaces/{path}/scale", {"spec": {"replicas": 1}}).expect(200)
    if kind == "CronJob":
        world.admin.patch(f"/apis/batch/v1/namespaces/{path}", {"spec": {"schedule": "* * * * *"}}).expect(200)


def _runs(world: World, home: homes.Home) -> bool:
    expected = home.sample.owners(len(world.cluster.nodes))
    return homes.running(world, home.namespace)[: len(expected)] == expected


def _covered(world: World, home: homes.Home) -> bool:
    expected = home.sample.owners(len(world.cluster.nodes))
    # A Job's pod has already finished.
    return "Job" in expected or world.status(home.namespace, "sample").get("coveredPods") == len(expected)


def _warned(sample: agents.Sample) -> set[str]:
    """Return the findings that the page documents, and the finding for a pod without a service account."""
    spec = sample.exception["spec"]
    account = {"DefaultServiceAccount"} if "serviceAccountName" not in spec else set()
    return {"ImageNotPinned"} | ({"PrivilegedGranted"} if spec.get("privileged") else set()) | account


def test_the_page_can_be_followed(world: World) -> None:
    """The page's commands create a namespace and leave the speaker running on both nodes."""
    # This test runs first: later the speaker of the samples uses the ports.
    (block,) = markdown.blocks(markdown.ROOT / "docs" / "howto" / "exceptions-for-agents.md")
    for line in block.script.splitlines():
        done = world.cluster.kubectl(*shlex.split(line)[1:])
        assert done.returncode == 0, f"{line}: {done.stderr}"
    world.until("it runs", lambda: homes.running(world, "metallb-system") == ["DaemonSet"] * 2)
    world.cluster.kubectl("delete", "namespace", "metallb-system")


@pytest.mark.parametrize("name", agents.NAMES)
def test_a_sample_runs_under_its_exception(world: World, excepted: homes.Homes, name: str) -> None:
    """The controller's pods are admitted, run and are covered, while the guard holds every other pod to baseline."""
    home = excepted[name]
    assert home.late == []
    assert world.labels(home.namespace)[f"{LABEL}/guard"] == "baseline"
    exception = ("HostNetworkException", "sample")
    reported = {reason for kind, of, reason in world.events(home.namespace) if (kind, of) == exception}
    assert reported - {"Active", "Expiring"} == _warned(home.sample)
    assert homes.flags(world, home.namespace) == set()


@pytest.mark.parametrize("name", agents.NAMES)
def test_the_exception_of_a_sample_is_the_smallest(
    world: World, lessened: Mapping[str, tuple[homes.Home, api.Response | None]], name: str
) -> None:
    """If any one grant is removed from the exception, the pod is refused; under the whole exception it is admitted.

    All these smaller exceptions are in force together.
    """
    home, answer = lessened[name]
    assert answer is not None, home.late
    assert answer.status == 403, f"this is enough already: {homes.enough(world, home)}"
    assert "admission" in answer.message.lower(), answer.message
    assert home.late == []
