"""`kubectl debug node/…` as docs/howto/exceptions-for-agents.md describes it, with the real kubectl; Windows paths."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.controlplane import api
from tests.docs import markdown
from tests.e2e import agents, trials
from tests.e2e.conftest import LABEL, World

PAGE = markdown.ROOT / "docs" / "howto" / "exceptions-for-agents.md"
IMAGE = "registry.example.com/busybox:1.37"
# Each profile, and what its exception needs beside the usual fields; empty if the pod needs no exception.
PROFILES: dict[str, dict[str, Any]] = {
    markdown.codes(profile)[0]: {
        field: value for snippet in markdown.codes(needs) for field, value in yaml.safe_load(snippet).items()
    }
    for profile, _, needs in markdown.table("debug-profiles", PAGE)
}
EXCEPTED = sorted(profile for profile, needs in PROFILES.items() if needs)
ORDINARY = sorted(profile for profile, needs in PROFILES.items() if not needs)


def _debug(profile: str, namespace: str) -> list[str]:
    return ["debug", "node/node-1", "-n", namespace, f"--image={IMAGE}", f"--profile={profile}"]


def _exception(world: World, profile: str) -> dict[str, Any]:
    defaults = {
        "type": "Diagnostic",
        "owner": "team-sre",
        "reason": "Look at a node from the node",
        "ticket": "INC-4712",
    }
    return {"spec": {**defaults, "expiry": world.time(3600), "images": [IMAGE], **PROFILES[profile]}}


@pytest.fixture(scope="module")
def debug_trials(module_world: World) -> Iterator[trials.Trials]:
    """A namespace per profile with the exception of the table, after waiting for kubectl to make the pod."""
    samples = {profile: agents.Sample((), _exception(module_world, profile)) for profile in EXCEPTED}
    with trials.create(module_world, samples) as by_name:
        profiles = {trial.namespace: profile for profile, trial in by_name.items()}

        def admitted(trial: trials.Trial) -> bool:
            return module_world.cluster.kubectl(*_debug(profiles[trial.namespace], trial.namespace)).returncode == 0

        trials.until(module_world, by_name, "it is enforced", lambda trial: module_world.enforced(trial.namespace))
        trials.relax(module_world, by_name, "debug")
        trials.until(module_world, by_name, "kubectl debug is admitted", admitted)
        what = "its pod is covered"
        trials.until(
            module_world,
            by_name,
            what,
            lambda trial: module_world.status(trial.namespace, "debug").get("coveredPods") == 1,
        )
        yield by_name


@pytest.fixture(scope="module")
def smaller_answers(
    module_world: World, debug_trials: trials.Trials
) -> Iterator[Mapping[str, tuple[trials.Trial, api.Response | None]]]:
    """The answer to each profile's pod while all exceptions that grant a little less are in force."""
    samples = {}
    for profile, trial in debug_trials.items():
        # At most one pod: kubectl makes none if it is refused.
        for pod in module_world.admin.items(module_world.pods(trial.namespace)):
            body = {"kind": "Pod", "metadata": {}, "spec": pod["spec"]}
            samples[profile] = agents.Sample((body,), trial.sample.exception)
    with trials.try_smaller(module_world, samples) as answers:
        yield answers


def test_the_table_has_every_profile_of_kubectl(world: World) -> None:
    """The table has the profiles that kubectl's help names, and the deprecated `legacy`."""
    text = world.cluster.kubectl("debug", "--help").stdout
    (options,) = re.findall(r"--profile=.*\n?\s*Options are (.*?)[.]", text)
    assert set(re.findall(r'"(\w+)"', options)) | {"legacy"} == set(PROFILES)


@pytest.mark.parametrize("profile", EXCEPTED)
def test_the_exception_of_a_profile_admits_kubectl_debug(
    world: World, debug_trials: trials.Trials, profile: str
) -> None:
    """In an enforced namespace the pod of that profile is admitted, covered and not flagged."""
    assert debug_trials[profile].late == []
    assert trials.flags(world, debug_trials[profile].namespace) == set()


@pytest.mark.parametrize("profile", EXCEPTED)
def test_the_exception_of_a_profile_is_the_smallest(
    world: World, smaller_answers: Mapping[str, tuple[trials.Trial, api.Response | None]], profile: str
) -> None:
    """If any one grant is removed from the exception, the pod is refused; under the whole exception it is admitted.

    All these smaller exceptions are in force together.
    """
    assert profile in smaller_answers, "kubectl debug made no pod"
    trial, answer = smaller_answers[profile]
    assert answer is not None, trial.late
    assert answer.status == 403, f"this is enough already: {trials.enough(world, trial)}"
    assert trial.late == []


@pytest.mark.parametrize("profile", ORDINARY)
def test_a_profile_without_host_namespaces_needs_no_exception(world: World, profile: str) -> None:
    """kubectl debug is admitted in a namespace that is enforced at baseline and has no exception."""
    namespace = world.namespace()
    completed = world.cluster.kubectl(*_debug(profile, namespace))
    assert completed.returncode == 0, completed.stderr
    (pod,) = world.admin.items(world.pods(namespace))
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"])


def test_no_exception_holds_a_path_with_a_drive(world: World) -> None:
    """Even an exception for the whole disk covers no pod that mounts a path with a drive; without the drive it does."""
    namespace = world.namespace()
    world.exception(namespace, hostPaths=[{"path": "/", "readOnly": False}]).expect(201)
    mounts = [{"name": "log", "mountPath": "/log"}]

    def dry_run(path: str) -> api.Response:
        container = {"name": "main", "image": "registry.example.com/netshoot:v0.14", "volumeMounts": mounts}
        volumes = [{"name": "log", "hostPath": {"path": path}}]
        return world.pod(namespace, dry_run=True, os={"name": "windows"}, containers=[container], volumes=volumes)

    world.until("admitted without the drive", lambda: dry_run("/var/log").status == 201)
    answer = dry_run(r"C:\var\log")
    assert answer.status == 403
    assert LABEL in answer.message
