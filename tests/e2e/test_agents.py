"""Each sample runs under its exception in a namespace that refuses it otherwise, and under nothing less than that."""

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.docs import markdown
from tests.e2e import agents
from tests.e2e.conftest import LABEL, PSA, World


@pytest.fixture(params=agents.NAMES)
def sample(request: pytest.FixtureRequest, world: World) -> agents.Sample:
    return agents.Sample.read(request.param, world.time(3600))


@pytest.fixture
def namespace(world: World) -> Iterator[str]:
    """A namespace under enforcement at baseline; it goes, since two agents cannot listen on one port of a node."""
    name = world.namespace()
    yield name
    world.admin.delete(f"/api/v1/namespaces/{name}").expect(200)


def _apply(world: World, namespace: str, *objects: dict[str, Any]) -> None:
    if not objects:
        return
    done = world.cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(objects))
    assert done.returncode == 0, done.stderr


def _except(world: World, namespace: str, name: str, spec: dict[str, Any]) -> None:
    body = {"apiVersion": f"{LABEL}/v1alpha1", "kind": "HostNetworkException"}
    world.admin.post(world.exceptions(namespace), {**body, "metadata": {"name": name}, "spec": spec}).expect(201)


def _set_going(world: World, namespace: str, sample: agents.Sample) -> int:
    """The workload's controller has pods to make now; how many."""
    kind, name = sample.workload["kind"], sample.workload["metadata"]["name"]
    path = f"{namespace}/{kind.lower()}s/{name}"
    if kind == "ReplicaSet":
        path = f"/apis/apps/v1/namespaces/{path}/scale"
        world.admin.patch(path, {"spec": {"replicas": 1}}).expect(200)
    if kind == "CronJob":
        path = f"/apis/batch/v1/namespaces/{path}"
        world.admin.patch(path, {"spec": {"schedule": "* * * * *"}}).expect(200)
    return len(world.cluster.nodes) if kind == "DaemonSet" else 1


def _ran(world: World, namespace: str) -> list[str]:
    """Owners of the pods that run, or have run to their end."""
    pods = [p for p in world.admin.items(world.pods(namespace)) if p["status"].get("phase") in {"Running", "Succeeded"}]
    return [owner["kind"] for pod in pods for owner in pod["metadata"].get("ownerReferences", [{"kind": "Pod"}])]


def _warned(sample: agents.Sample) -> set[str]:
    """The findings that the page admits to, and that of a pod without a service account."""
    spec = sample.exception["spec"]
    account = {"DefaultServiceAccount"} if "serviceAccountName" not in spec else set()
    return {"ImageNotPinned"} | ({"PrivilegedGranted"} if spec.get("privileged") else set()) | account


def test_a_sample_runs_under_its_exception(world: World, sample: agents.Sample, namespace: str) -> None:
    """Its controller's pods are admitted and run, all of them covered, while everybody else is held to baseline."""
    _except(world, namespace, "sample", sample.exception["spec"])
    world.until("the exception is in force", lambda: world.ready(namespace, "sample") == "Active")
    world.until("the namespace is relaxed", lambda: world.labels(namespace)[PSA] == "privileged")
    assert world.labels(namespace)[f"{LABEL}/guard"] == "baseline"
    _apply(world, namespace, *sample.objects)
    count = _set_going(world, namespace, sample)
    kind = {"CronJob": "Job"}.get(sample.workload["kind"], sample.workload["kind"])
    # A CronJob starts with the next minute, and a controller that was refused waits before it tries again.
    world.until("its pods run", lambda: _ran(world, namespace)[:count] == [kind] * count, deadline_seconds=90)
    if kind != "Job":  # whose pod has come to its end
        world.until("they are covered", lambda: world.status(namespace, "sample").get("coveredPods") == count)
    told = {
        reason for kind, name, reason in world.events(namespace) if (kind, name) == ("HostNetworkException", "sample")
    }
    assert told - {"Active", "Expiring"} == _warned(sample)
    assert {world.verdict(namespace, pod["metadata"]["name"]) for pod in world.admin.items(world.pods(namespace))} == {
        None
    }


def test_the_exception_of_a_sample_is_the_smallest(world: World, sample: agents.Sample, namespace: str) -> None:
    """With any one grant of it taken away, all such exceptions in force together, its pod is refused; with it, not."""
    _apply(world, namespace, *sample.objects[:-1])
    lesser = dict(agents.smaller(sample))
    names = {f"less-{number}": taken for number, taken in enumerate(lesser)}
    for name, taken in names.items():
        _except(world, namespace, name, lesser[taken])
    world.until("all are in force", lambda: set(names) <= set(world.grants(namespace)))
    _witnessed(world, namespace, "witness")
    answer = world.admin.post(f"{world.pods(namespace)}?dryRun=All", sample.pod)
    assert answer.status == 403, f"this is enough already: {_enough(world, namespace, sample, names)}"
    assert "admission" in answer.message.lower(), answer.message
    _except(world, namespace, "sample", sample.exception["spec"])
    path = f"{world.pods(namespace)}?dryRun=All"
    world.until("admitted with nothing taken away", lambda: world.admin.post(path, sample.pod).status == 201)


def test_the_page_can_be_followed(world: World) -> None:
    """Its commands, in a namespace that they make themselves, leave the speaker running on both nodes."""
    (block,) = markdown.blocks(markdown.ROOT / "docs" / "howto" / "exceptions-for-agents.md")
    for line in block.script.splitlines():
        done = world.cluster.kubectl(*shlex.split(line)[1:])
        assert done.returncode == 0, f"{line}: {done.stderr}"
    world.until("it runs", lambda: _ran(world, "metallb-system") == ["DaemonSet"] * 2)
    world.cluster.kubectl("delete", "namespace", "metallb-system")


def _witnessed(world: World, namespace: str, name: str) -> None:
    """The API server judges by a grant of that name, which is written now, and so by all that stand or went before."""
    image = f"registry.example.com/{name}:1"
    world.exception(namespace, name, images=[image]).expect(201)
    pod = {"containers": [{"name": "main", "image": image}]}
    world.until("the grants are seen", lambda: world.pod(namespace, name, dry_run=True, **pod).status == 201)


def _enough(world: World, namespace: str, sample: agents.Sample, names: dict[str, str]) -> str:
    """What had been taken away from the exception without which the pod is no longer admitted."""
    for name, taken in names.items():
        world.admin.delete(f"{world.exceptions(namespace)}/{name}").expect(200)
        world.until("its grant has gone", lambda name=name: name not in world.grants(namespace))
        _witnessed(world, namespace, f"without-{name}")
        if world.admin.post(f"{world.pods(namespace)}?dryRun=All", sample.pod).status != 201:
            return taken
    return "no exception at all"
