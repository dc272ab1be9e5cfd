"""Each sample in a namespace that existed before enforcement: its exception takes the namespace from Held to Deny."""

from collections.abc import Iterator

import pytest

from tests.e2e import agents, homes
from tests.e2e.conftest import LABEL, PSA, World

_POLICY = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"


@pytest.fixture(scope="module")
def audited(tended: World) -> Iterator[World]:
    """The policy with a rule that leaves namespaces labelled `wave: later` in Audit; the rule is removed afterwards."""
    rule = {"selector": {"matchLabels": {"wave": "later"}}, "mode": "Audit"}
    tended.admin.patch(_POLICY, {"spec": {"rules": [rule]}}).expect(200)
    yield tended
    tended.admin.patch(_POLICY, {"spec": {"rules": []}}).expect(200)


@pytest.fixture(scope="module")
def held(audited: World) -> Iterator[homes.Homes]:
    """Each sample, running in a namespace that came under enforcement without an exception and is Held."""
    with homes.made(audited, agents.read(audited.time(3600)), wave="later") as made:
        homes.until(audited, made, "it is in Audit", lambda home: _enforcement(audited, home) == "Audit")
        homes.apply(audited, ((home, body) for home in made.values() for body in home.sample.living()))
        homes.until(audited, made, "its pods run", lambda home: _runs(audited, home), deadline_seconds=60)
        for home in made.values():
            adopted = {"metadata": {"labels": {"wave": None}}}
            audited.admin.patch(f"/api/v1/namespaces/{home.namespace}", adopted).expect(200)
        homes.until(audited, made, "its agent holds it", lambda home: _holds(audited, home))
        yield made


@pytest.fixture(scope="module")
def excepted(audited: World, held: homes.Homes) -> homes.Homes:
    """The held samples with their exceptions, after waiting until the namespaces are enforced and relaxed."""
    for home in held.values():
        homes.grant(audited, home, "sample", home.sample.exception["spec"])
    homes.until(audited, held, "it is in force", lambda home: audited.ready(home.namespace, "sample") == "Active")
    homes.until(audited, held, "it is enforced", lambda home: audited.enforced(home.namespace), deadline_seconds=60)
    homes.until(audited, held, "it is relaxed", lambda home: audited.labels(home.namespace)[PSA] == "privileged")
    homes.until(audited, held, "no pod is flagged", lambda home: not homes.flags(audited, home.namespace))
    return held


def _enforcement(world: World, home: homes.Home) -> str | None:
    return world.labels(home.namespace).get(f"{LABEL}/enforcement")


def _held_by(world: World, home: homes.Home) -> str:
    return str(world.metadata(home.namespace).get("annotations", {}).get(f"{LABEL}/held-by", ""))


def _holds(world: World, home: homes.Home) -> bool:
    subject = f"{home.sample.workload['kind']} {home.sample.workload['metadata']['name']}: "
    return _enforcement(world, home) == "Held" and subject in _held_by(world, home)


def _runs(world: World, home: homes.Home) -> bool:
    at_rest = home.sample.workload["kind"] in {"CronJob", "Job", "ReplicaSet"}
    return homes.running(world, home.namespace) == ([] if at_rest else home.sample.owners(len(world.cluster.nodes)))


@pytest.mark.parametrize("name", agents.NAMES)
def test_the_exception_of_a_sample_takes_a_living_namespace_to_deny(
    world: World, excepted: homes.Homes, name: str
) -> None:
    """Under the exception the operator enforces and relaxes the Held namespace; the agent runs on, and may restart."""
    home = excepted[name]
    assert home.late == [], _held_by(world, home)
    assert world.labels(home.namespace)[f"{LABEL}/guard"] == "baseline"
    assert _held_by(world, home) == ""
    assert _runs(world, home)
    world.admin.post(f"{world.pods(home.namespace)}?dryRun=All", home.sample.pod).expect(201)
