"""Many samples at the same time, each in a namespace of its own: one wait for all samples, one result per sample."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import yaml

from tests.controlplane import api
from tests.e2e import agents
from tests.e2e.conftest import LABEL, World


@dataclasses.dataclass(frozen=True)
class Home:
    """A sample and the namespace in which it is tried; `late` lists what did not happen there, and why if known."""

    sample: agents.Sample
    namespace: str
    late: list[str] = dataclasses.field(default_factory=list)


Homes = Mapping[str, Home]


@contextlib.contextmanager
def made(world: World, samples: Mapping[str, agents.Sample], **labels: str) -> Iterator[Homes]:
    """Create a namespace with these labels per sample, and delete all at the end: two agents cannot share a port."""
    homes = {name: Home(sample, world.namespace(deny=False, labels=labels)) for name, sample in samples.items()}
    yield homes
    for home in homes.values():
        world.admin.delete(f"/api/v1/namespaces/{home.namespace}").expect(200)


def until(world: World, homes: Homes, what: str, probe: Callable[[Home], object], deadline_seconds: float = 30) -> None:
    """Wait until `probe` is true for every home. From then on a late home is left out and delays no other home."""
    waiting = on_time(homes)

    def done() -> bool:
        waiting[:] = [home for home in waiting if not probe(home)]
        return not waiting

    with contextlib.suppress(AssertionError):  # the test of each agent asserts the result for that agent
        world.until(what, done, deadline_seconds)
    for home in waiting:
        home.late.append(what)


def on_time(homes: Homes) -> list[Home]:
    return [home for home in homes.values() if not home.late]


def apply(world: World, objects: Iterable[tuple[Home, dict[str, Any]]]) -> None:
    """Apply all objects to the namespaces of their homes with one `kubectl apply`."""
    bodies = [
        {**body, "metadata": {**body["metadata"], "namespace": home.namespace}}
        for home, body in objects
        if not home.late
    ]
    if bodies:
        done = world.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(bodies))
        assert done.returncode == 0, done.stderr


def grant(world: World, home: Home, name: str, spec: dict[str, Any]) -> None:
    """Create an exception with that spec; the home is late if the API server refuses the exception."""
    body = {"apiVersion": f"{LABEL}/v1alpha1", "kind": "HostNetworkException"}
    answer = world.admin.post(world.exceptions(home.namespace), {**body, "metadata": {"name": name}, "spec": spec})
    if answer.status != 201:
        home.late.append(f"exception {name}: {answer.message}")


def running(world: World, namespace: str) -> list[str]:
    """Return the owner kinds of the pods that run or have succeeded."""
    pods = [p for p in world.admin.items(world.pods(namespace)) if p["status"].get("phase") in {"Running", "Succeeded"}]
    return [owner["kind"] for pod in pods for owner in pod["metadata"].get("ownerReferences", [{"kind": "Pod"}])]


def flags(world: World, namespace: str) -> set[str]:
    """Return the verdicts in the labels of the namespace's pods."""
    pods = world.admin.items(world.pods(namespace))
    return {pod["metadata"].get("labels", {}).get(f"{LABEL}/verdict", "") for pod in pods} - {""}


# -- less than the exception ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def lessened(
    world: World, samples: Mapping[str, agents.Sample]
) -> Iterator[Mapping[str, tuple[Home, api.Response | None]]]:
    """Yield the API server's answer to each sample's pod while all exceptions that grant a little less are in force.

    A home is late if that could not be tried, or if the pod is refused although the whole exception is in force too.
    """
    with made(world, samples) as homes:
        until(world, homes, "it is enforced", lambda home: world.enforced(home.namespace))
        apply(world, ((home, body) for home in homes.values() for body in home.sample.objects[:-1]))
        for home in homes.values():
            for name, spec in _smaller(home).items():
                grant(world, home, name, spec)
        until(world, homes, "all smaller exceptions are in force", lambda home: _in_force(world, home), 60)
        _witnessed(world, homes)
        answers = {name: None if home.late else _tried(world, home) for name, home in homes.items()}
        for home in homes.values():
            grant(world, home, "sample", home.sample.exception["spec"])
        until(world, homes, "admitted with nothing taken away", lambda home: _tried(world, home).status == 201)
        yield {name: (home, answers[name]) for name, home in homes.items()}


def enough(world: World, home: Home) -> str:
    """Delete the smaller exceptions one by one until the pod is refused; return what the last one did not grant."""
    world.admin.delete(f"{world.exceptions(home.namespace)}/sample").expect(200)
    for name, (taken, _) in zip(_smaller(home), agents.smaller(home.sample), strict=True):
        world.admin.delete(f"{world.exceptions(home.namespace)}/{name}").expect(200)
        world.until("its grant has gone", lambda name=name: name not in world.grants(home.namespace))
        _witnessed(world, {name: home}, f"without-{name}")
        if _tried(world, home).status != 201:
            return taken
    return "no exception at all"


def _smaller(home: Home) -> dict[str, dict[str, Any]]:
    return {f"less-{number}": spec for number, (_, spec) in enumerate(agents.smaller(home.sample))}


def _in_force(world: World, home: Home) -> bool:
    return set(_smaller(home)) <= set(world.grants(home.namespace))


def _tried(world: World, home: Home) -> api.Response:
    return world.admin.post(f"{world.pods(home.namespace)}?dryRun=All", home.sample.pod)


def _witnessed(world: World, homes: Homes, name: str = "witness") -> None:
    """Wait until the API server decides by a grant written now, and so by every earlier write and removal."""
    image = f"registry.example.com/{name}:1"
    pod = {"containers": [{"name": "main", "image": image}]}
    for home in on_time(homes):
        world.exception(home.namespace, name, images=[image]).expect(201)
    tried = "the grants are seen"
    until(world, homes, tried, lambda home: world.pod(home.namespace, name, dry_run=True, **pod).status == 201)
