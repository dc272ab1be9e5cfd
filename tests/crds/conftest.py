"""A cluster that knows both kinds, and nothing else of ours."""

import pathlib
from collections.abc import Iterator

import pytest

from tests.controlplane import cluster as controlplane

CRDS = pathlib.Path(__file__).parent.parent.parent / "crds"


@pytest.fixture(scope="package")
def cluster() -> Iterator[controlplane.Cluster]:
    """One of its own: elsewhere the admission policies are installed, and would answer first."""
    with controlplane.Cluster() as running:
        yield running


@pytest.fixture(scope="package")
def described(cluster: controlplane.Cluster) -> controlplane.Cluster:
    """crds/ applied, as the README says, and established."""
    done = cluster.kubectl("apply", "--server-side", "-f", str(CRDS))
    assert done.returncode == 0, done.stderr
    waited = cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(CRDS))
    assert waited.returncode == 0, waited.stderr
    # Served, and a moment later told of by discovery, which is where kubectl looks.
    cluster.wait("discovery", lambda: cluster.kubectl("explain", "hne").returncode == 0)
    cluster.wait("discovery", lambda: cluster.kubectl("explain", "hnep").returncode == 0)
    return cluster
