"""Before an exception is created: what the policy allows, whether the API server takes it, and who may approve it."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from hostnetwork_operator import clock
from hostnetwork_operator.act import gateway
from hostnetwork_operator.cli import approving, connect, errors
from tests.unit import serving

BODY = {"metadata": {"namespace": "debug", "name": "x"}, "spec": {"expiry": "2026-11-22T13:00:00Z"}}
RBAC = "rbac.authorization.k8s.io"


def policy(**spec: Any) -> web.Response:
    metadata = {"name": "default", "uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return web.json_response({"metadata": metadata, "spec": {"mode": "Enforce", **spec}})


def status(code: int, reason: str, message: str = "scripted") -> web.Response:
    return web.json_response({"kind": "Status", "reason": reason, "message": message}, status=code)


@contextlib.asynccontextmanager
async def answering(*answers: web.Response) -> AsyncIterator[connect.Connection]:
    """Yield a connection to a server that gives these answers, one after another."""
    left = iter(answers)

    async def answer(_: web.Request) -> web.StreamResponse:
        return next(left)

    server_clock = clock.ServerClock()
    async with serving.gateway_to(answer, server_clock) as api:
        yield connect.Connection(api, server_clock, "debug")


@pytest.mark.parametrize(
    ("answer", "namespace", "message"),
    [
        (policy(exceptions={"maxDuration": {"Diagnostic": "30m"}}), "debug", "--for must be at most 30m .* got 1h"),
        (policy(exemptNamespaces=["debug"]), "debug", "namespace debug is exempt, so the operator would not end"),
        (policy(), "hostnetwork-preview-baseline", "namespace hostnetwork-preview-baseline is exempt"),
        (policy(mode="Release"), "debug", "the policy has mode Release, so the operator would not end"),
    ],
)
async def test_what_the_policy_does_not_allow_is_said(answer: web.Response, namespace: str, message: str) -> None:
    async with answering(answer) as connection:
        with pytest.raises(errors.CommandError, match=message):
            await approving.check_policy(connection, namespace, 3600)


@pytest.mark.parametrize(
    "answer", [policy(), status(403, "Forbidden"), status(404, "NotFound"), policy(mode="Odd"), policy(rules="odd")]
)
async def test_a_policy_that_allows_or_cannot_be_read_stops_nothing(answer: web.Response) -> None:
    """The API server and the operator decide, whatever the command could read."""
    async with answering(answer) as connection:
        await approving.check_policy(connection, "debug", 3600)


def reviews(*, approve: bool, create: bool) -> list[web.Response]:
    """Return the answers to the two reviews of access."""
    metadata = {"name": "review", "uid": "u", "resourceVersion": "1"}
    return [
        web.json_response({"kind": "Review", "metadata": metadata, "status": {"allowed": each}}, status=201)
        for each in (approve, create)
    ]


async def test_a_missing_right_is_an_answer() -> None:
    """Other errors are about the exception, and end the command."""
    refused = status(403, "Forbidden", "needs approve")
    async with answering(
        refused, *reviews(approve=False, create=True), status(403, "Forbidden"), status(422, "Invalid")
    ) as connection:
        found = await approving.check(connection, BODY)
        assert isinstance(found, approving.NotAllowed)
        assert found.why == "Error from server (Forbidden): needs approve"
        with pytest.raises(gateway.ApiError, match="Invalid"):
            await approving.check(connection, BODY)


async def test_an_approver_who_is_refused_is_not_sent_to_an_approver() -> None:
    """The admission policies refuse an exception that is wrong with the status of a missing right."""
    refused = status(403, "Forbidden", "spec.expiry is too late")
    async with answering(refused, *reviews(approve=True, create=True)) as connection:
        with pytest.raises(gateway.ApiError, match="too late"):
            await approving.check(connection, BODY)


async def test_where_nothing_is_installed_kubectl_debug_is_named() -> None:
    """An API server answers in plain text for a kind that it does not serve, and with a Status for a namespace."""
    answers = (web.Response(text="404 page not found", status=404), status(404, "NotFound", "namespaces not found"))
    async with answering(*answers) as connection:
        with pytest.raises(errors.CommandError, match=r"is not installed, .* use kubectl debug"):
            await approving.check(connection, BODY)
        with pytest.raises(gateway.ApiError, match="namespaces not found"):
            await approving.check(connection, BODY)


def rbac(*users: str) -> tuple[web.Response, web.Response]:
    """Return the answers to the lists of ClusterRoles and ClusterRoleBindings."""
    meta = {"name": "approver", "uid": "u", "resourceVersion": "1"}
    rule = {"apiGroups": ["hostnetwork-operator.github.io"], "resources": ["*"], "verbs": ["approve"]}
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "approver"}
    subjects = [{"apiGroup": RBAC, "kind": "User", "name": user} for user in users]
    lists = ([{"metadata": meta, "rules": [rule]}], [{"metadata": meta, "roleRef": reference, "subjects": subjects}])
    first, second = (
        web.json_response({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": items}) for items in lists
    )
    return first, second


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        (rbac("ann"), "- User ann by approver"),
        (rbac(), "Nobody may approve exceptions but the members of the group system:masters."),
        ((status(403, "Forbidden"),), "because you may not read RBAC: ask an administrator."),
    ],
)
async def test_who_may_approve_is_said(
    answers: tuple[web.Response, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = status(403, "Forbidden", "needs \x1b[31mapprove")
    async with answering(refused, *reviews(approve=False, create=False), *answers) as connection:
        refusal = await approving.check(connection, BODY)
    assert isinstance(refusal, approving.NotAllowed)
    approving.hand_over(BODY, refusal)
    first, second, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith("Error from server (Forbidden): needs ")
    assert "\x1b" not in first
    assert last.endswith(sentence)
    assert "applies it before 2026-11-22T13:00:00Z" in second
