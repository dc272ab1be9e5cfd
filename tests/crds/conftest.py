"""A cluster with both CRDs and no other object of the operator."""

import pathlib
from collections.abc import Iterator

import pytest

from tests.controlplane import cluster as controlplane

CRDS = pathlib.Path(__file__).parent.parent.parent / "crds"


@pytest.fixture(scope="package")
def cluster() -> Iterator[controlplane.Cluster]:
    """A separate cluster: in the shared cluster the admission policies would answer first."""
    with controlplane.Cluster() as running:
        yield running


@pytest.fixture(scope="package")
def crd_cluster(cluster: controlplane.Cluster) -> controlplane.Cluster:
    """The cluster with crds/ applied as in the README and established."""
    completed = cluster.kubectl("apply", "--server-side", "-f", str(CRDS))
    assert completed.returncode == 0, completed.stderr
    wait = cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(CRDS))
    assert wait.returncode == 0, wait.stderr
    # The CRDs are served first; a moment later discovery lists them, and kubectl uses discovery.
    cluster.wait("discovery", lambda: cluster.kubectl("explain", "hne").returncode == 0)
    cluster.wait("discovery", lambda: cluster.kubectl("explain", "hnep").returncode == 0)
    return cluster
