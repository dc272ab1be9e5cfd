"""`kubectl debug node/…` as docs/howto/exceptions-for-agents.md describes it, with the real kubectl; Windows paths."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.controlplane import api
from tests.docs import markdown
from tests.e2e import agents, homes
from tests.e2e.conftest import LABEL, PSA, World

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
    usual = {"type": "Diagnostic", "owner": "team-sre", "reason": "Look at a node from the node", "ticket": "INC-4712"}
    return {"spec": {**usual, "expiry": world.time(3600), "images": [IMAGE], **PROFILES[profile]}}


@pytest.fixture(scope="module")
def debugged(tended: World) -> Iterator[homes.Homes]:
    """A namespace per profile with the exception of the table, after waiting for kubectl to make the pod."""
    asked = {profile: agents.Sample((), _exception(tended, profile)) for profile in EXCEPTED}
    with homes.made(tended, asked) as made:
        profiles = {home.namespace: profile for profile, home in made.items()}

        def admitted(home: homes.Home) -> bool:
            return tended.cluster.kubectl(*_debug(profiles[home.namespace], home.namespace)).returncode == 0

        homes.until(tended, made, "it is enforced", lambda home: tended.enforced(home.namespace))
        for home in made.values():
            homes.grant(tended, home, "debug", home.sample.exception["spec"])
        homes.until(tended, made, "it is relaxed", lambda home: tended.labels(home.namespace)[PSA] == "privileged")
        homes.until(tended, made, "kubectl debug is admitted", admitted)
        covered = "its pod is covered"
        homes.until(tended, made, covered, lambda home: tended.status(home.namespace, "debug").get("coveredPods") == 1)
        yield made


@pytest.fixture(scope="module")
def lessened(tended: World, debugged: homes.Homes) -> Iterator[Mapping[str, tuple[homes.Home, api.Response | None]]]:
    """The answer to each profile's pod while all exceptions that grant a little less are in force."""
    samples = {}
    for profile, home in debugged.items():
        # At most one pod: kubectl makes none if it is refused.
        for pod in tended.admin.items(tended.pods(home.namespace)):
            body = {"kind": "Pod", "metadata": {}, "spec": pod["spec"]}
            samples[profile] = agents.Sample((body,), home.sample.exception)
    with homes.lessened(tended, samples) as answered:
        yield answered


def test_the_table_has_every_profile_of_kubectl(world: World) -> None:
    """The table has the profiles that kubectl's help names, and the deprecated `legacy`."""
    text = world.cluster.kubectl("debug", "--help").stdout
    (options,) = re.findall(r"--profile=.*\n?\s*Options are (.*?)[.]", text)
    assert set(re.findall(r'"(\w+)"', options)) | {"legacy"} == set(PROFILES)


@pytest.mark.parametrize("profile", EXCEPTED)
def test_the_exception_of_a_profile_admits_kubectl_debug(world: World, debugged: homes.Homes, profile: str) -> None:
    """In an enforced namespace the pod of that profile is admitted, covered and not flagged."""
    assert debugged[profile].late == []
    assert homes.flags(world, debugged[profile].namespace) == set()


@pytest.mark.parametrize("profile", EXCEPTED)
def test_the_exception_of_a_profile_is_the_smallest(
    world: World, lessened: Mapping[str, tuple[homes.Home, api.Response | None]], profile: str
) -> None:
    """If any one grant is removed from the exception, the pod is refused; under the whole exception it is admitted.

    All these smaller exceptions are in force together.
    """
    assert profile in lessened, "kubectl debug made no pod"
    home, answer = lessened[profile]
    assert answer is not None, home.late
    assert answer.status == 403, f"this is enough already: {homes.enough(world, home)}"
    assert home.late == []


@pytest.mark.parametrize("profile", ORDINARY)
def test_a_profile_without_host_namespaces_needs_no_exception(world: World, profile: str) -> None:
    """kubectl debug is admitted in a namespace that is enforced at baseline and has no exception."""
    namespace = world.namespace()
    done = world.cluster.kubectl(*_debug(profile, namespace))
    assert done.returncode == 0, done.stderr
    (pod,) = world.admin.items(world.pods(namespace))
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"])


def test_no_exception_holds_a_path_with_a_drive(world: World) -> None:
    """Even an exception for the whole disk covers no pod that mounts a path with a drive; without the drive it does."""
    namespace = world.namespace()
    world.exception(namespace, hostPaths=[{"path": "/", "readOnly": False}]).expect(201)
    mounts = [{"name": "log", "mountPath": "/log"}]

    def tried(path: str) -> api.Response:
        container = {"name": "main", "image": "registry.example.com/netshoot:v0.14", "volumeMounts": mounts}
        volumes = [{"name": "log", "hostPath": {"path": path}}]
        return world.pod(namespace, dry_run=True, os={"name": "windows"}, containers=[container], volumes=volumes)

    world.until("admitted without the drive", lambda: tried("/var/log").status == 201)
    answer = tried(r"C:\var\log")
    assert answer.status == 403
    assert LABEL in answer.message
