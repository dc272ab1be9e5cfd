"""`kubectl hostnetwork check`, in a pipe and without a cluster: the samples with their exceptions, and without."""

import json
import os
import pathlib
import subprocess

import pytest
import yaml

from tests.cli.conftest import COMMAND
from tests.e2e import agents

SAMPLES = agents.read("2999-01-01T00:00:00Z")


def checked(*arguments: str, stdin: str, status: int) -> dict[str, int]:
    """Return the result of a check of stdin, in an environment that has no cluster."""
    completed = subprocess.run(
        [COMMAND, "check", "-f", "-", "-o", "json", *arguments],
        env={"PATH": os.environ["PATH"], "KUBECONFIG": "/nowhere"},
        input=stdin, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert completed.returncode == status, completed.stderr
    document: dict[str, int] = json.loads(completed.stdout)
    return document


def in_namespace(name: str, *bodies: dict[str, object]) -> str:
    """Return the objects as YAML, each in a namespace."""
    return yaml.safe_dump_all([{**body, "metadata": {**body["metadata"], "namespace": name}} for body in bodies])  # type: ignore[dict-item]


def test_every_sample_passes_with_its_exception_and_not_without() -> None:
    """tests/e2e/test_agents.py shows that the API server says the same of each sample."""
    workloads = "---\n".join(in_namespace(name, *sample.objects) for name, sample in SAMPLES.items())
    exceptions = "---\n".join(in_namespace(name, sample.exception) for name, sample in SAMPLES.items())
    without = checked(stdin=workloads, status=3)
    fields = ("hostNetwork", "hostPID", "hostIPC")
    sharing = sum(any(sample.pod["spec"].get(field) for field in fields) for sample in SAMPLES.values())
    assert without["refused"] == sharing > 30
    assert checked(stdin=f"{workloads}---\n{exceptions}", status=0)["refused"] == 0


def test_the_directory_of_the_samples_is_read_whole() -> None:
    """All files at once. Nothing in them is unreadable but times that a reader must fill in."""
    command = [COMMAND, "check", "-f", str(agents.SAMPLES), "-o", "github"]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert completed.returncode == 1
    unreadable = completed.stderr.splitlines()
    assert all("spec.expiry" in line for line in unreadable), unreadable
    assert len([line for line in completed.stdout.splitlines() if "would be refused" in line]) > 30


@pytest.mark.parametrize("flag", [("-n", "kube-system"), ("--exempt", "default")])
def test_exempt_namespaces_refuse_nothing(flag: tuple[str, str]) -> None:
    text = (pathlib.Path(agents.SAMPLES) / "node-exporter.yaml").read_text()
    assert checked(*flag, stdin=text, status=0)["refused"] == 0
    assert checked(stdin=text, status=3)["refused"] == 1
