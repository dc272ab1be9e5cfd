"""Namespaces to which the admission policies apply."""

import itertools
import pathlib
from collections.abc import Callable, Iterator

import pytest

from hostnetwork_operator.api import labels
from tests.admission import workbench
from tests.controlplane import cluster as controlplane
from tests.governed import cluster, governed, new_namespace

__all__ = ["cluster", "governed", "new_namespace"]

MANIFESTS = pathlib.Path(__file__).parent.parent.parent / "manifests"
_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def full_cluster() -> Iterator[controlplane.Cluster]:
    """A separate control plane with all policies, including the mutating policies, and no operator."""
    files = sorted(file for file in (MANIFESTS / "components").rglob("*.yaml") if file.stem == file.parent.name)
    with controlplane.Cluster() as control_plane:
        for arguments in (
            ("--server-side", "-f", str(MANIFESTS.parent / "crds")),
            ("-k", str(MANIFESTS / "admission")),
            *(("-f", str(file)) for file in files),
        ):
            completed = control_plane.kubectl("apply", *arguments)
            assert completed.returncode == 0, completed.stderr
        # The API server activates the policies one after another, all within about a second.
        probe = {"metadata": {"generateName": "probe-", "labels": {labels.GUARD: "x"}}}
        creator = control_plane.api(workbench.may(control_plane, "prober", "namespaces", "create"))
        path = "/api/v1/namespaces?dryRun=All"

        def in_force() -> bool:
            probe["metadata"]["labels"] = {labels.GUARD: "x"}
            if creator.post(path, probe).status != 403:
                return False
            probe["metadata"]["labels"] = {}
            return labels.ENFORCEMENT in creator.post(path, probe).expect(201).body["metadata"].get("labels", {})

        control_plane.wait("the policies in force", in_force)
        yield control_plane


@pytest.fixture
def make_namespace(governed: controlplane.Cluster) -> Callable[..., workbench.Home]:
    """Return a function that creates a namespace with the given labels on a cluster whose policies are in force."""

    def make(**values: str) -> workbench.Home:
        name = f"home-{next(_numbers)}"
        keys = {"enforcement": labels.ENFORCEMENT, "guard": labels.GUARD, "level": labels.PSA_ENFORCE}
        metadata = {"name": name, "labels": {keys[key]: value for key, value in values.items()}}
        governed.admin.post("/api/v1/namespaces", {"metadata": metadata}).expect(201)
        namespace = workbench.Home(governed, name)
        account = f"{namespace.path}/serviceaccounts/default"
        governed.wait("its service account", lambda: governed.admin.get(account).status == 200)
        return namespace

    return make


@pytest.fixture
def deny(make_namespace: Callable[..., workbench.Home]) -> workbench.Home:
    """A namespace where enforcement is on."""
    return make_namespace(enforcement="Deny")


@pytest.fixture
def relaxed(make_namespace: Callable[..., workbench.Home]) -> workbench.Home:
    """A namespace at level privileged that a guard restricts."""
    return make_namespace(enforcement="Deny", guard="baseline", level="privileged")
