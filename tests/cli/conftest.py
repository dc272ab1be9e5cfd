"""The command as people run it, on a governed cluster and on one with nothing installed."""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.controlplane import cluster
from tests.e2e.conftest import World, module_world, package_world, unattended, world

__all__ = ["module_world", "package_world", "unattended", "world"]

COMMAND = pathlib.Path(sys.executable).parent / "kubectl-hostnetwork"


def hostnetwork(
    target: cluster.Cluster, *arguments: str, user: pathlib.Path | None = None, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `kubectl hostnetwork`, as the administrator or as another user."""
    environment = {"PATH": os.environ["PATH"], "KUBECONFIG": str(user or target.kubeconfig)}
    return subprocess.run(
        [COMMAND, *arguments], env=environment, input=stdin, capture_output=True, text=True, timeout=120, check=False
    )


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


__all__ += ["World", "bare", "hostnetwork", "result"]
