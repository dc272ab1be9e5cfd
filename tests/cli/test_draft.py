"""`kubectl hostnetwork draft`: refused unread, and filled in, each draft takes its workload to Covered and Deny."""

import pathlib
from collections.abc import Iterator

import pytest
import yaml

from tests.cli.conftest import hostnetwork
from tests.cli.test_status import daemon_set
from tests.controlplane import cluster
from tests.e2e import agents, trials
from tests.e2e.conftest import IMAGE, World


def filled_in(text: str, expiry: str) -> str:
    """Return a draft as a person completes it."""
    return (
        text.replace('owner: "" #', "owner: team-sre #")
        .replace('reason: "" #', "reason: The agent needs its node #")
        .replace('ticket: "" #', "ticket: INC-1 #")
        .replace('expiry: "" #', f"expiry: {expiry} #")
    )


@pytest.fixture(scope="module")
def adopted(
    module_world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[trials.Trials, pathlib.Path]]:
    """Every sample, in a namespace that is not enforced yet, and the drafts of all."""
    world = module_world
    world.operator.stop()
    samples = agents.read(world.time(3600))
    directory = tmp_path_factory.mktemp("drafts")
    with trials.create(world, samples, **{"hostnetwork-operator.github.io/enforcement": "Audit"}) as created:
        trials.apply(world, [(trial, body) for trial in created.values() for body in trial.sample.living()])
        world.operator.start()
        completed = hostnetwork(world.cluster, "draft", "--all", "-o", str(directory), "--for-approval")
        assert completed.returncode == 0, completed.stderr
        yield created, directory


def test_every_sample_is_adopted_by_its_draft(world: World, adopted: tuple[trials.Trials, pathlib.Path]) -> None:
    """No draft is accepted as it is. Filled in, each covers its pods, and its namespace becomes enforced."""
    created, directory = adopted
    drafts = {path.parent.name: path.read_text() for path in directory.rglob("*.yaml")}
    assert set(drafts) >= {trial.namespace for trial in created.values()}
    for text in list(drafts.values())[:5]:
        refused = world.cluster.kubectl("apply", "-f", "-", stdin=text)
        assert refused.returncode == 1
        assert "spec.owner" in refused.stderr
    own = {trial.namespace: name for name, trial in created.items()}
    whole = "---\n".join(filled_in(text, world.time(3600)) for namespace, text in drafts.items() if namespace in own)
    applied = world.cluster.kubectl("apply", "-f", "-", stdin=whole)
    assert applied.returncode == 0, applied.stderr

    def waiting() -> list[str]:
        """Return the samples whose namespace is not enforced, or with a pod that is not covered."""
        late = []
        for namespace, name in own.items():
            verdicts = {
                pod["metadata"].get("labels", {}).get("hostnetwork-operator.github.io/verdict")
                for pod in world.admin.items(world.pods(namespace))
            }
            if not world.enforced(namespace) or verdicts - {None}:
                late.append(name)
        return late

    world.until("every sample is adopted", lambda: not waiting(), deadline_seconds=90)


def test_what_has_an_exception_gets_no_second_draft(
    world: World, adopted: tuple[trials.Trials, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    """Runs after the adoption: nothing is left to draft in these namespaces. A file that exists stays as it is."""
    created, directory = adopted
    namespaces = {trial.namespace for trial in created.values()}
    again = hostnetwork(world.cluster, "draft", "--all", "-o", str(tmp_path))
    assert again.returncode == 0, again.stderr
    assert {path.parent.name for path in tmp_path.rglob("*.yaml")} & namespaces == set()
    (kept, *_) = sorted(directory.rglob("*.yaml"))
    kept.write_text("mine")
    hostnetwork(world.cluster, "draft", "--all", "-o", str(directory))
    assert kept.read_text() == "mine"


def test_a_draft_says_what_a_person_must_know(world: World) -> None:
    """The digest that runs, the level that Pod Security allows, and for an approver what is wide."""
    namespace = world.namespace(deny=False, old=True)
    body = daemon_set("agent", IMAGE)
    container = body["spec"]["template"]["spec"]["containers"][0]
    container["securityContext"] = {"privileged": True}
    world.admin.post(f"/apis/apps/v1/namespaces/{namespace}/daemonsets", body).expect(201)
    shown = hostnetwork(world.cluster, "draft", "-n", namespace, "ds/agent", "--for-approval")
    assert (shown.returncode, shown.stderr) == (0, "")
    spec = yaml.safe_load(shown.stdout)["spec"]
    assert spec == {
        "type": "Infrastructure",
        "component": "Other",
        "owner": "",
        "reason": "",
        "serviceAccountName": "default",
        "hostNamespaces": ["Network"],
        "images": [IMAGE],
        "privileged": True,
    }
    assert "# - a privileged container has root rights on the node" in shown.stdout
    diagnostic = hostnetwork(world.cluster, "draft", "-n", namespace, "ds/agent", "--type", "Diagnostic")
    assert set(yaml.safe_load(diagnostic.stdout)["spec"]) >= {"ticket", "expiry"}


def test_two_workloads_of_one_name_have_two_drafts(world: World, tmp_path: pathlib.Path) -> None:
    """A Deployment and a DaemonSet may have one name. Their exceptions have two."""
    namespace = world.namespace(deny=False, old=True)
    daemons = daemon_set("web", IMAGE)
    deployment = {**daemons, "kind": "Deployment", "spec": {**daemons["spec"], "replicas": 0}}
    for body, plural in ((daemons, "daemonsets"), (deployment, "deployments")):
        world.admin.post(f"/apis/apps/v1/namespaces/{namespace}/{plural}", body).expect(201)
    shown = hostnetwork(world.cluster, "draft", "--all", "-n", namespace, "-o", str(tmp_path))
    assert shown.returncode == 0, shown.stderr
    names = {yaml.safe_load(path.read_text())["metadata"]["name"] for path in tmp_path.rglob("*.yaml")}
    assert names == {"web", "web-deployment"}


def test_where_nothing_is_installed_the_level_is_said_to_be_a_guess(bare: cluster.Cluster) -> None:
    bare.admin.post("/apis/apps/v1/namespaces/default/daemonsets", daemon_set("agent", IMAGE)).expect(201)
    shown = hostnetwork(bare, "draft", "-n", "default", "ds/agent")
    assert shown.returncode == 0
    assert "podSecurityLevel is a guess, because Pod Security was not asked" in shown.stderr
    assert "podSecurityLevel" not in shown.stdout


def test_what_needs_no_exception_gets_no_draft(bare: cluster.Cluster) -> None:
    plain = daemon_set("plain", IMAGE)
    del plain["spec"]["template"]["spec"]["hostNetwork"]
    bare.admin.post("/apis/apps/v1/namespaces/default/daemonsets", plain).expect(201)
    shown = hostnetwork(bare, "draft", "-n", "default", "ds/plain")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith("error: ds/plain in namespace default needs no exception")


@pytest.mark.parametrize(
    "arguments", [(), ("--all",), ("ds/a", "-o", "x"), ("ds/a", "--all", "-o", "x"), ("a", "b", "c")]
)
def test_one_workload_or_all_with_a_directory(bare: cluster.Cluster, arguments: tuple[str, ...]) -> None:
    assert hostnetwork(bare, "draft", *arguments).returncode == 2
