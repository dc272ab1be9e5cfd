"""The operator applies labels that are already set before it relies on them.

If the apply fails, the write follows nevertheless.
"""

from typing import Any, cast

import pytest

from hostnetwork_operator import bodies
from hostnetwork_operator.act import gateway, namespaces
from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import effects
from tests.unit.builders import DENIED, namespace

CLAIMS = {labels.ENFORCEMENT: "Deny"}


class Server:
    """A server that answers an apply with `status`, and a patch with the body of the patch."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.applied: list[dict[str, Any]] = []

    async def apply(self, path: str, body: dict[str, Any], deadline: float) -> bodies.Answer:
        self.applied.append(body)
        if self.status != 200:
            raise gateway.ApiError("PATCH", path, self.status, "", "")
        return bodies.Answer({"metadata": {"resourceVersion": "8"}})

    async def patch(self, path: str, body: dict[str, Any], deadline: float) -> bodies.Answer:
        return bodies.Answer(body)


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("status", [200, 409, 500, 0])
async def test_a_claim_keeps_no_write_back(status: int, versioned: bool) -> None:
    """The apply is valid for the judged version of the namespace, the write for the version that the apply led to."""
    server, namespace_state = Server(status), namespace(labels=DENIED)
    effect = effects.WriteNamespace(
        namespace_state, effects.Action.ENFORCE, {}, {labels.LEVEL_BEFORE: ""}, versioned=versioned, claims=CLAIMS
    )
    metadata = (await namespaces.write(cast("Any", server), effect, 0.0))["metadata"]
    version = namespace_state.resource_version if versioned else None
    (applied,) = (body["metadata"] for body in server.applied)
    assert (applied["labels"], applied["uid"], applied.get("resourceVersion")) == (CLAIMS, namespace_state.uid, version)
    assert metadata.get("resourceVersion") == ("8" if versioned and status == 200 else version)
    assert metadata["annotations"] == {labels.LEVEL_BEFORE: ""}


async def test_where_nothing_is_claimed_nothing_is_applied() -> None:
    """The operator sends one request only."""
    server = Server(200)
    effect = effects.WriteNamespace(namespace(), effects.Action.ENFORCE, {labels.ENFORCEMENT: "Deny"}, {})
    await namespaces.write(cast("Any", server), effect, 0.0)
    assert server.applied == []
