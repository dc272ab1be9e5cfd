"""The number of requests for an Event that the API server can never store."""

from typing import Any

import pytest
from aiohttp import web

from hostnetwork_operator.act import events, gateway
from hostnetwork_operator.decide import effects, snapshot
from tests.unit import serving
from tests.unit.builders import NAMESPACE, NOW

EVENT = effects.EmitEvent(snapshot.Reference("Pod", NAMESPACE, "capture", "uid-1"), "Warning", "Reason", "text", "key")
MESSAGE = f"unable to create new content in namespace {NAMESPACE} because it is being terminated"
CAUSE = {"reason": "NamespaceTerminating", "message": MESSAGE, "field": "metadata.namespace"}
TERMINATING = {"reason": "Forbidden", "message": MESSAGE, "details": {"causes": [CAUSE]}}


@pytest.mark.parametrize(
    ("status", "answer"),
    [(403, TERMINATING), (404, {"reason": "NotFound", "message": f'namespaces "{NAMESPACE}" not found'})],
    ids=["terminating", "removed"],
)
async def test_an_event_in_a_namespace_that_ends_costs_one_request(status: int, answer: dict[str, Any]) -> None:
    """The namespace will never take the Event, so the operator neither tries again nor reads anything."""
    methods: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        methods.append(request.method)
        return web.json_response(answer, status=status)

    async with serving.gateway_to(refuse) as api:
        assert not await events.emit(api, EVENT, NOW)
    assert methods == ["POST"]


@pytest.mark.parametrize("details", [None, {"causes": [{"reason": "FieldValueInvalid"}]}, {"causes": "odd"}, "odd"])
async def test_a_refusal_that_only_speaks_of_an_end_is_an_error(details: Any) -> None:
    """The text of a webhook can say anything. Such an Event waits, and the operator tries again."""

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"reason": "Forbidden", "message": MESSAGE, "details": details}, status=403)

    async with serving.gateway_to(refuse) as api:
        with pytest.raises(gateway.ApiError) as raised:
            await events.emit(api, EVENT, NOW)
    assert (raised.value.status, raised.value.namespace_ends) == (403, False)
