"""Namespaces that the policies look at."""

import itertools
from collections.abc import Callable

import pytest

from hostnetwork_operator.api import labels
from tests.admission import workbench
from tests.controlplane import cluster as controlplane

_numbers = itertools.count(1)


@pytest.fixture
def make_home(governed: controlplane.Cluster) -> Callable[..., workbench.Home]:
    """Makes a namespace with these labels, on a cluster with the policies in force."""

    def make(**values: str) -> workbench.Home:
        name = f"home-{next(_numbers)}"
        keys = {"enforcement": labels.ENFORCEMENT, "guard": labels.GUARD, "level": labels.PSA_ENFORCE}
        metadata = {"name": name, "labels": {keys[key]: value for key, value in values.items()}}
        governed.admin.post("/api/v1/namespaces", {"metadata": metadata}).expect(201)
        home = workbench.Home(governed, name)
        account = f"{home.path}/serviceaccounts/default"
        governed.wait("its service account", lambda: governed.admin.get(account).status == 200)
        return home

    return make


@pytest.fixture
def deny(make_home: Callable[..., workbench.Home]) -> workbench.Home:
    """A namespace where enforcement is on."""
    return make_home(enforcement="Deny")


@pytest.fixture
def relaxed(make_home: Callable[..., workbench.Home]) -> workbench.Home:
    """A namespace whose level is lifted, under the guard."""
    return make_home(enforcement="Deny", guard="baseline", level="privileged")
