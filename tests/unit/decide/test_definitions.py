"""Which CRDs this operator works with, according to the API server."""

import copy
from typing import Any

import pytest

from hostnetwork_operator.api import crd, exception, labels, policy
from hostnetwork_operator.decide import definitions

BOTH = frozenset(definitions.PLURALS.values())


def _schemas() -> dict[str, Any]:
    crds = {exception.KIND: crd.exceptions_crd(), policy.KIND: crd.policies_crd()}
    return {
        kind: copy.deepcopy(body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]) for kind, body in crds.items()
    }


def test_our_own_definitions_are_no_trouble() -> None:
    """The definitions are as `make generate` writes them, with any other version beside them."""
    assert definitions.trouble(definitions.Served({labels.VERSION: BOTH, "v1": BOTH}, _schemas()), "0.1") == ""


@pytest.mark.parametrize("plurals", [{}, {labels.VERSION: frozenset()}, {labels.VERSION: frozenset([policy.PLURAL])}])
def test_a_kind_that_is_not_served_is_no_trouble(plurals: dict[str, frozenset[str]]) -> None:
    """The operator waits for the kind, as it waits for an API server."""
    assert definitions.trouble(definitions.Served(plurals), "0.1") == ""


def test_a_kind_of_another_version_is_named_with_the_remedy() -> None:
    """The message names the kind even if the other kind is served in the required version."""
    plurals = {labels.VERSION: frozenset([policy.PLURAL]), "v1beta9": frozenset([exception.PLURAL])}
    assert definitions.trouble(definitions.Served(plurals, _schemas()), "0.1") == (
        "CRD hostnetworkexceptions.hostnetwork-operator.github.io must serve version v1alpha1 for operator 0.1, got"
        " v1beta9; run kubectl apply --server-side -f crds/ of the release of this operator, or run the release of the"
        " operator that these CRDs belong to"
    )


def test_fields_that_a_definition_lacks_are_named() -> None:
    """The message names three fields, wherever in spec or status these fields are."""
    schemas = _schemas()
    properties = schemas[exception.KIND]["properties"]
    del properties["status"]["properties"]["samplePods"], properties["status"]["properties"]["conditions"]
    del properties["spec"]["properties"]["hostPaths"]["items"]["properties"]["readOnly"]
    message = definitions.trouble(definitions.Served({labels.VERSION: BOTH}, schemas), "0.1")
    assert "without spec.hostPaths.readOnly, status.conditions, status.conditions.lastTransitionTime and " in message
    assert " more; run kubectl apply --server-side -f crds/ of the release of this operator" in message


def test_fields_that_are_not_ours_are_no_trouble() -> None:
    """A CRD of a later release has everything that this operator needs."""
    schemas = _schemas()
    schemas[policy.KIND]["properties"]["spec"]["properties"]["later"] = {"type": "string"}
    assert definitions.trouble(definitions.Served({labels.VERSION: BOTH}, schemas), "0.1") == ""
