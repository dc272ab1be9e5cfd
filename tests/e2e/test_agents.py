"""Each sample runs under its exception in a namespace that otherwise refuses it, and no smaller exception is enough."""

import shlex
from collections.abc import Iterator, Mapping

import pytest

from tests.controlplane import api
from tests.docs import markdown
from tests.e2e import agents, trials
from tests.e2e.conftest import LABEL, World


@pytest.fixture(scope="module")
def covered_trials(module_world: World) -> Iterator[trials.Trials]:
    """Apply each sample while its exception is in force, and wait until its pods run and are covered."""
    with trials.create(module_world, agents.read(module_world.time(3600))) as by_name:
        trials.until(module_world, by_name, "it is enforced", lambda trial: module_world.enforced(trial.namespace))
        trials.relax(module_world, by_name, "sample")
        trials.apply(module_world, ((trial, body) for trial in by_name.values() for body in trial.sample.objects))
        for trial in trials.on_time(by_name):
            _set_going(module_world, trial)
        # A CronJob starts at the next minute, and a controller whose pod was refused waits before it retries.
        trials.until(
            module_world, by_name, "its pods run", lambda trial: _runs(module_world, trial), deadline_seconds=90
        )
        # The operator lists pods with only hostPID or hostIPC at its start and then hourly.
        module_world.operator.stop()
        module_world.operator.start()
        trials.until(module_world, by_name, "its pods are covered", lambda trial: _covered(module_world, trial))
        yield by_name


@pytest.fixture(scope="module")
def smaller_answers(module_world: World) -> Iterator[Mapping[str, tuple[trials.Trial, api.Response | None]]]:
    """The answer to each sample's pod while all exceptions that grant a little less are in force."""
    with trials.try_smaller(module_world, agents.read(module_world.time(3600))) as answers:
        yield answers


def _set_going(world: World, trial: trials.Trial) -> None:
    """Make the workload's controller create pods."""
    kind, name = trial.sample.workload["kind"], trial.sample.workload["metadata"]["name"]
    path = f"{trial.namespace}/{kind.lower()}s/{name}"
    if kind == "ReplicaSet":
        world.admin.patch(f"/apis/apps/v1/namespaces/{path}/scale", {"spec": {"replicas": 1}}).expect(200)
    if kind == "CronJob":
        world.admin.patch(f"/apis/batch/v1/namespaces/{path}", {"spec": {"schedule": "* * * * *"}}).expect(200)


def _runs(world: World, trial: trials.Trial) -> bool:
    expected = trial.sample.owners(len(world.cluster.nodes))
    return trials.running(world, trial.namespace)[: len(expected)] == expected


def _covered(world: World, trial: trials.Trial) -> bool:
    expected = trial.sample.owners(len(world.cluster.nodes))
    # A Job's pod has already finished.
    return "Job" in expected or world.status(trial.namespace, "sample").get("coveredPods") == len(expected)


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
        completed = world.cluster.kubectl(*shlex.split(line)[1:])
        assert completed.returncode == 0, f"{line}: {completed.stderr}"
    world.until("it runs", lambda: trials.running(world, "metallb-system") == ["DaemonSet"] * 2)
    world.cluster.kubectl("delete", "namespace", "metallb-system")


@pytest.mark.parametrize("name", agents.NAMES)
def test_a_sample_runs_under_its_exception(world: World, covered_trials: trials.Trials, name: str) -> None:
    """The controller's pods are admitted, run and are covered, while the guard holds every other pod to baseline."""
    trial = covered_trials[name]
    assert trial.late == []
    assert world.labels(trial.namespace)[f"{LABEL}/guard"] == "baseline"
    exception = ("HostNetworkException", "sample")
    reasons = {reason for kind, subject, reason in world.events(trial.namespace) if (kind, subject) == exception}
    assert reasons - {"Active", "Expiring"} == _warned(trial.sample)
    assert trials.flags(world, trial.namespace) == set()


@pytest.mark.parametrize("name", agents.NAMES)
def test_the_exception_of_a_sample_is_the_smallest(
    world: World, smaller_answers: Mapping[str, tuple[trials.Trial, api.Response | None]], name: str
) -> None:
    """If any one grant is removed from the exception, the pod is refused; under the whole exception it is admitted.

    All these smaller exceptions are in force together.
    """
    trial, answer = smaller_answers[name]
    assert answer is not None, trial.late
    assert answer.status == 403, f"this is enough already: {trials.enough(world, trial)}"
    assert "admission" in answer.message.lower(), answer.message
    assert trial.late == []
