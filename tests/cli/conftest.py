"""The command as people run it, on a governed cluster and on one with nothing installed."""

import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import yaml

from hostnetwork_operator.cli import main
from tests.controlplane import cluster
from tests.e2e.conftest import World, module_world, package_world, unattended, world

__all__ = ["module_world", "package_world", "unattended", "world"]

COMMAND = pathlib.Path(sys.executable).parent / "kubectl-hostnetwork"


def hostnetwork(
    target: cluster.Cluster, *arguments: str, user: pathlib.Path | None = None, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `kubectl hostnetwork`, as the administrator or as another user."""
    return run(*arguments, kubeconfig=str(user or target.kubeconfig), stdin=stdin)


def completed(
    target: cluster.Cluster, *arguments: str, user: pathlib.Path | None = None, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `kubectl hostnetwork` in a process of its own, for a verb that uses stdin and stdout themselves."""
    environment = {"PATH": os.environ["PATH"], "KUBECONFIG": str(user or target.kubeconfig)}
    return subprocess.run(
        [COMMAND, *arguments], env=environment, input=stdin, capture_output=True, text=True, timeout=120, check=False
    )


def run(*arguments: str, kubeconfig: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, because a new one needs a second for its imports alone.

    The tests of pipes, signals and terminals start COMMAND.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        mock.patch.dict(os.environ, {"KUBECONFIG": kubeconfig}),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO((stdin or "").encode()), encoding="utf-8")),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            status = main.run(list(arguments))
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
    said, complained = (stream.buffer.getvalue().decode() for stream in (out, err))  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(["kubectl-hostnetwork", *arguments], status, said, complained)


def result(
    target: cluster.Cluster, *arguments: str, status: int = 0, user: pathlib.Path | None = None
) -> dict[str, Any]:
    """Return the JSON of a command that ends with this status."""
    completed = hostnetwork(target, *arguments, "-o", "json", user=user)
    assert completed.returncode == status, completed.stderr
    document: dict[str, Any] = json.loads(completed.stdout)
    return document


@pytest.fixture(scope="package")
def bare() -> Iterator[cluster.Cluster]:
    """A cluster with nothing installed."""
    with cluster.Cluster() as control_plane:
        yield control_plane


@pytest.fixture
def three_clusters(world: World, bare: cluster.Cluster, tmp_path: pathlib.Path) -> pathlib.Path:
    """A kubeconfig with a governed cluster, one with nothing installed, and one that does not answer."""
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []}
    for name, target in (("governed", world.cluster), ("bare", bare), ("gone", bare)):
        config = yaml.safe_load(target.kubeconfig.read_text())
        server = {"server": "https://127.0.0.1:1"} if name == "gone" else config["clusters"][0]["cluster"]
        merged["clusters"].append({"name": name, "cluster": server})
        merged["users"].append({"name": name, "user": config["users"][0]["user"]})
        merged["contexts"].append({"name": name, "context": {"cluster": name, "user": name}})
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(merged))
    return path


__all__ += ["World", "bare", "completed", "hostnetwork", "result", "run", "three_clusters"]
