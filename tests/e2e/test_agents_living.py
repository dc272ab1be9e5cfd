"""Each sample in a namespace that existed before enforcement: its exception takes the namespace from Held to Deny."""

from collections.abc import Iterator

import pytest

from tests.e2e import agents, trials
from tests.e2e.conftest import LABEL, World

_POLICY = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"


@pytest.fixture(scope="module")
def audit_world(module_world: World) -> Iterator[World]:
    """The policy with a rule that leaves namespaces labelled `wave: later` in Audit; the rule is removed afterwards."""
    rule = {"selector": {"matchLabels": {"wave": "later"}}, "mode": "Audit"}
    module_world.admin.patch(_POLICY, {"spec": {"rules": [rule]}}).expect(200)
    yield module_world
    module_world.admin.patch(_POLICY, {"spec": {"rules": []}}).expect(200)


@pytest.fixture(scope="module")
def held_trials(audit_world: World) -> Iterator[trials.Trials]:
    """Each sample, running in a namespace that came under enforcement without an exception and is Held."""
    with trials.create(audit_world, agents.read(audit_world.time(3600)), wave="later") as by_name:
        trials.until(audit_world, by_name, "it is in Audit", lambda trial: _enforcement(audit_world, trial) == "Audit")
        trials.apply(audit_world, ((trial, body) for trial in by_name.values() for body in trial.sample.living()))
        trials.until(audit_world, by_name, "its pods run", lambda trial: _runs(audit_world, trial), deadline_seconds=60)
        for trial in by_name.values():
            without_wave = {"metadata": {"labels": {"wave": None}}}
            audit_world.admin.patch(f"/api/v1/namespaces/{trial.namespace}", without_wave).expect(200)
        trials.until(audit_world, by_name, "its agent holds it", lambda trial: _holds(audit_world, trial))
        yield by_name


@pytest.fixture(scope="module")
def covered_trials(audit_world: World, held_trials: trials.Trials) -> trials.Trials:
    """The held samples with their exceptions, after waiting until the namespaces are enforced and relaxed."""
    trials.relax(audit_world, held_trials, "sample")
    trials.until(
        audit_world, held_trials, "no pod is flagged", lambda trial: not trials.flags(audit_world, trial.namespace)
    )
    return held_trials


def _enforcement(world: World, trial: trials.Trial) -> str | None:
    return world.labels(trial.namespace).get(f"{LABEL}/enforcement")


def _held_by(world: World, trial: trials.Trial) -> str:
    return str(world.metadata(trial.namespace).get("annotations", {}).get(f"{LABEL}/held-by", ""))


def _holds(world: World, trial: trials.Trial) -> bool:
    subject = f"{trial.sample.workload['kind']} {trial.sample.workload['metadata']['name']}: "
    return _enforcement(world, trial) == "Held" and subject in _held_by(world, trial)


def _runs(world: World, trial: trials.Trial) -> bool:
    is_idle = trial.sample.workload["kind"] in {"CronJob", "Job", "ReplicaSet"}
    return trials.running(world, trial.namespace) == ([] if is_idle else trial.sample.owners(len(world.cluster.nodes)))


@pytest.mark.parametrize("name", agents.NAMES)
def test_the_exception_of_a_sample_takes_a_living_namespace_to_deny(
    world: World, covered_trials: trials.Trials, name: str
) -> None:
    """Under the exception the operator enforces and relaxes the Held namespace; the agent runs on, and may restart."""
    trial = covered_trials[name]
    assert trial.late == [], _held_by(world, trial)
    assert world.labels(trial.namespace)[f"{LABEL}/guard"] == "baseline"
    assert _held_by(world, trial) == ""
    assert _runs(world, trial)
    world.admin.post(f"{world.pods(trial.namespace)}?dryRun=All", trial.sample.pod).expect(201)
