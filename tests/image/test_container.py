"""The image does the operator's main job without write access and with only its service account's rights."""

import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import pytest
import yaml

from hostnetwork_operator import config
from tests.cli.conftest import hostnetwork
from tests.controlplane import cluster, operator
from tests.e2e.conftest import LABEL, OPERATOR, PSA, World
from tests.faults import proxy
from tests.image import build, container

USER = 65532


@pytest.fixture(scope="module")
def image() -> Iterator[build.Image]:
    if os.getuid() != 0:
        pytest.skip("building and starting a container needs root; run it once with sudo, or in CI")
    container.check()
    with tempfile.TemporaryDirectory(prefix="hno-image-") as directory:
        yield build.build(pathlib.Path(directory))


@pytest.fixture(scope="module")
def world(image: build.Image) -> Iterator[World]:
    """overlays/enforce as in the README, with an older pod in namespace `legacy`; the operator is a container."""
    with cluster.Cluster(audit=True) as control_plane:
        operator.install(control_plane)
        world = World(control_plane)
        world.operator = container.Container(control_plane, image)
        yield world
        world.operator.stop()


def test_the_image_runs_what_the_deployment_says(image: build.Image) -> None:
    """The image's user is the Deployment's, and the Deployment changes neither command nor settings."""
    pod = container.deployed()
    (only,) = pod["containers"]
    assert (
        image.user
        == f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
        == f"{USER}:{USER}"
    )
    assert not {"command", "args", "volumeMounts"} & set(only)
    assert config.from_environment({each["name"]: each["value"] for each in only["env"]}) == config.Config()
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_nothing_can_be_written(world: World) -> None:
    """Not even the directories that are usually world-writable are writable."""
    code = "import os, sys; print([name for name in sys.argv[1:] if os.access(name, os.W_OK)])"
    places = ["/", "/tmp", "/var/tmp", "/run", "/dev", "/opt/venv", "/root", "/home"]
    completed = world.operator.run("python", "-c", code, *places)
    assert (completed.stdout, completed.returncode) == ("[]\n", 0), completed.stderr


def test_the_command_is_in_the_image(world: World) -> None:
    """With the completion, under the names by which kubectl finds a plugin."""
    assert world.operator.run("kubectl_complete-hostnetwork", "stat").stdout.startswith("status\t")
    completed = world.operator.run("kubectl-hostnetwork", "--version")
    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout.startswith("kubectl-hostnetwork, version ")


def test_the_main_job_from_a_container(world: World) -> None:
    """The operator flags the older pod, enforces a namespace, grants an exception and ends within its grace period."""
    legacy = world.namespace(deny=False, old=True)
    world.pod(legacy, "from-before").expect(201)
    since = world.now()
    world.operator.start()
    _check_limits(world.operator.pid)
    assert (world.operator.probe("/healthz"), world.operator.probe("/readyz")) == (200, 200)
    world.until("the pod from before is flagged", lambda: world.verdict(legacy, "from-before") == "Uncovered")
    assert world.labels(legacy)[f"{LABEL}/enforcement"] == "Held"
    world.until("the policies have settled", lambda: (world.now() - since).total_seconds() > 6)
    payments = world.namespace()
    assert world.pod(payments).status == 403
    world.granted_pod(payments)
    assert world.labels(payments)[PSA] == "privileged"
    writers = {event["objectRef"]["resource"] for event in world.writes()}
    assert {"namespaces", "pods", "hostnetworkexceptions", "events"} <= writers
    assert world.operator.stop() == 0
    assert {"namespaces", "pods", "hostnetworkexceptions"} <= _watched(world)
    lines = [json.loads(line) for line in world.operator.log.read_text().splitlines()]
    assert [line["event"] for line in lines if line["level"] != "info"] == []


def _watched(world: World) -> set[str]:
    """Return the resources for which the API server accepted the operator's watch."""
    events = [event for event in world.cluster.audit_events() if event["user"]["username"] == OPERATOR]
    return {
        event["objectRef"]["resource"]
        for event in events
        if event["verb"] == "watch" and event.get("responseStatus", {}).get("code") == 200
    }


def _check_limits(pid: int) -> None:
    """Check the process's limits in /proc, not the options of its start."""
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    assert (status["Uid"], status["Gid"], status["Groups"].strip()) == ("\t".join([str(USER)] * 4),) * 2 + ("",)
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["NSpid"].split()[-1]) == ("1", "1")
    mounts = [line.split() for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    assert [fields[5].split(",")[0] for fields in mounts if fields[4] == "/"] == ["ro"]


NAMESPACE = operator.NAMESPACE
EVIDENCE = operator.ROOT / "manifests" / "components" / "evidence"


def test_the_evidence_grows_from_day_to_day(world: World, tmp_path: pathlib.Path) -> None:
    """The controller makes the pod of the CronJob's Job. Its command runs in the image, on two days in a row.

    A directory stands for the volume of the claim, because no kubelet mounts one. For the second day, a proxy puts the
    clock of the API server's answers ahead.
    """
    # A component is included by a kustomization of its own.
    mine = tmp_path / "mine"
    shutil.copytree(EVIDENCE, mine / "evidence")
    (mine / "kustomization.yaml").write_text("components: [evidence]\n")
    operator.apply(world.cluster, "-k", str(mine))
    job = world.cluster.kubectl("create", "job", "today", "-n", NAMESPACE, "--from=cronjob/hostnetwork-evidence")
    assert (job.returncode, job.stderr) == (0, "")
    path = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app.kubernetes.io%2Fname%3Dhostnetwork-evidence"
    world.until("the pod of the Job", lambda: world.admin.items(path))
    (pod,) = (body["spec"] for body in world.admin.items(path))
    (only,) = pod["containers"]
    (mount,) = (each for each in only["volumeMounts"] if each["name"] == "evidence")
    security = pod["securityContext"]
    assert (security["runAsUser"], security["fsGroup"], pod["restartPolicy"]) == (USER, USER, "Never")
    claim = tmp_path / "claim"
    claim.mkdir()
    os.chown(claim, USER, USER)  # as a kubelet does for fsGroup
    world.cluster.service_account(NAMESPACE, pod["serviceAccountName"])

    def report(**environment: str) -> None:
        done = world.operator.run(
            *only["command"],
            *only["args"],
            account=pod["serviceAccountName"],
            volume=(mount["mountPath"], str(claim)),
            environment=environment,
        )
        assert done.returncode == 0, done.stderr

    report()
    kubeconfig = world.cluster.service_account(NAMESPACE, pod["serviceAccountName"])
    with proxy.Proxy(world.cluster.url, str(world.cluster.authority.certificate_path)) as tomorrow:
        tomorrow.ahead_seconds = lambda: 86_400.0
        config = yaml.safe_load(kubeconfig.read_text())
        config["clusters"][0]["cluster"] = {"server": tomorrow.url}
        (claim / "kubeconfig").write_text(yaml.safe_dump(config))
        report(KUBECONFIG=f"{mount['mountPath']}/kubeconfig")
    proved = hostnetwork(world.cluster, "report", "--verify", str(claim))
    assert (proved.returncode, proved.stdout.startswith("The chain is intact: 2 reports")) == (0, True), proved.stderr
    assert "2, on 2 days" in (claim / "report.html").read_text()
