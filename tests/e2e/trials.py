"""Many samples at the same time, each in a namespace of its own: one wait for all samples, one result per sample."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import yaml

from tests.controlplane import api
from tests.e2e import agents
from tests.e2e.conftest import LABEL, PSA, World


@dataclasses.dataclass(frozen=True)
class Trial:
    """A sample and the namespace in which it is tried; `late` lists what did not happen there, and why if known."""

    sample: agents.Sample
    namespace: str
    late: list[str] = dataclasses.field(default_factory=list)


Trials = Mapping[str, Trial]


@contextlib.contextmanager
def create(world: World, samples: Mapping[str, agents.Sample], **labels: str) -> Iterator[Trials]:
    """Create a namespace with these labels per sample, and delete all at the end: two agents cannot share a port."""
    trials = {name: Trial(sample, world.namespace(deny=False, labels=labels)) for name, sample in samples.items()}
    yield trials
    for trial in trials.values():
        world.admin.delete(f"/api/v1/namespaces/{trial.namespace}").expect(200)


def until(
    world: World, trials: Trials, what: str, probe: Callable[[Trial], object], deadline_seconds: float = 30
) -> None:
    """Wait until `probe` is true for every trial. From then on a late trial is left out and delays no other trial."""
    waiting = on_time(trials)

    def is_over() -> bool:
        waiting[:] = [trial for trial in waiting if not probe(trial)]
        return not waiting

    with contextlib.suppress(AssertionError):  # the test of each agent asserts the result for that agent
        world.until(what, is_over, deadline_seconds)
    for trial in waiting:
        trial.late.append(what)


def on_time(trials: Trials) -> list[Trial]:
    return [trial for trial in trials.values() if not trial.late]


def apply(world: World, objects: Iterable[tuple[Trial, dict[str, Any]]]) -> None:
    """Apply all objects to the namespaces of their trials with one `kubectl apply`."""
    bodies = [
        {**body, "metadata": {**body["metadata"], "namespace": trial.namespace}}
        for trial, body in objects
        if not trial.late
    ]
    if bodies:
        completed = world.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(bodies))
        assert completed.returncode == 0, completed.stderr


def grant(world: World, trial: Trial, name: str, spec: dict[str, Any]) -> None:
    """Create an exception with that spec; the trial is late if the API server refuses the exception."""
    body = {"apiVersion": f"{LABEL}/v1alpha1", "kind": "HostNetworkException"}
    answer = world.admin.post(world.exceptions(trial.namespace), {**body, "metadata": {"name": name}, "spec": spec})
    if answer.status != 201:
        trial.late.append(f"exception {name}: {answer.message}")


def relax(world: World, trials: Trials, name: str) -> None:
    """Create the exception of each sample under `name`, and wait until it is in force and its namespace is relaxed."""
    for trial in trials.values():
        grant(world, trial, name, trial.sample.exception["spec"])
    until(world, trials, "it is in force", lambda trial: world.ready(trial.namespace, name) == "Active")
    # The gate checks a Held namespace again once a minute.
    until(world, trials, "it is enforced", lambda trial: world.enforced(trial.namespace), deadline_seconds=60)
    until(world, trials, "it is relaxed", lambda trial: world.labels(trial.namespace)[PSA] == "privileged")


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
def try_smaller(
    world: World, samples: Mapping[str, agents.Sample]
) -> Iterator[Mapping[str, tuple[Trial, api.Response | None]]]:
    """Yield the API server's answer to each sample's pod while all exceptions that grant a little less are in force.

    A trial is late if that could not be tried, or if the pod is refused although the whole exception is in force too.
    """
    with create(world, samples) as trials:
        until(world, trials, "it is enforced", lambda trial: world.enforced(trial.namespace))
        apply(world, ((trial, body) for trial in trials.values() for body in trial.sample.objects[:-1]))
        for trial in trials.values():
            for name, spec in _smaller(trial).items():
                grant(world, trial, name, spec)
        until(world, trials, "all smaller exceptions are in force", lambda trial: _in_force(world, trial), 60)
        _wait_for_witness(world, trials)
        answers = {name: None if trial.late else _dry_run(world, trial) for name, trial in trials.items()}
        for trial in trials.values():
            grant(world, trial, "sample", trial.sample.exception["spec"])
        until(world, trials, "admitted with nothing taken away", lambda trial: _dry_run(world, trial).status == 201)
        yield {name: (trial, answers[name]) for name, trial in trials.items()}


def enough(world: World, trial: Trial) -> str:
    """Delete the smaller exceptions one by one until the pod is refused; return what the last one did not grant."""
    world.admin.delete(f"{world.exceptions(trial.namespace)}/sample").expect(200)
    for name, (removed, _) in zip(_smaller(trial), agents.smaller(trial.sample), strict=True):
        world.admin.delete(f"{world.exceptions(trial.namespace)}/{name}").expect(200)
        world.until("its grant has gone", lambda name=name: name not in world.grants(trial.namespace))
        _wait_for_witness(world, {name: trial}, f"without-{name}")
        if _dry_run(world, trial).status != 201:
            return removed
    return "no exception at all"


def _smaller(trial: Trial) -> dict[str, dict[str, Any]]:
    return {f"less-{number}": spec for number, (_, spec) in enumerate(agents.smaller(trial.sample))}


def _in_force(world: World, trial: Trial) -> bool:
    return set(_smaller(trial)) <= set(world.grants(trial.namespace))


def _dry_run(world: World, trial: Trial) -> api.Response:
    return world.admin.post(f"{world.pods(trial.namespace)}?dryRun=All", trial.sample.pod)


def _wait_for_witness(world: World, trials: Trials, name: str = "witness") -> None:
    """Wait until the API server decides by a grant written now, and so by every earlier write and removal."""
    image = f"registry.example.com/{name}:1"
    pod = {"containers": [{"name": "main", "image": image}]}
    for trial in on_time(trials):
        world.exception(trial.namespace, name, images=[image]).expect(201)
    what = "the grants are seen"
    until(world, trials, what, lambda trial: world.pod(trial.namespace, name, dry_run=True, **pod).status == 201)
