"""What the forms of `debug` that write an exception share: who asks, whether the API server takes the exception, and
what is handed over to an approver if not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import fields, labels
from hostnetwork_operator.api import policy as policies
from hostnetwork_operator.cli import connect, errors, tables, writing

_LONGEST_OWNER: Final = 253
_NOT_INSTALLED: Final = (
    "error: the API server does not serve HostNetworkExceptions: hostnetwork-operator is not installed, so there is"
    " nothing to be excepted from; use kubectl debug"
)


async def owner(connection: connect.Connection, given: str | None) -> str:
    """Return the owner that a person gave, or the user as the API server knows it."""
    if given is not None:
        return given
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = await connection.gateway.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    return tables.cell(str(answer.body["status"]["userInfo"]["username"]))[:_LONGEST_OWNER]


async def check_policy(connection: connect.Connection, namespace: str, seconds: float) -> None:
    """Raise CommandError if the policy does not allow an exception of this length, or does not govern the namespace.

    The operator would call such an exception Invalid, and ends no pod in an exempt namespace. If the policy cannot be
    read, the exception is tried all the same.
    """
    try:
        body = (
            await connection.gateway.get(f"/apis/{labels.GROUP}/{labels.VERSION}/{policies.PLURAL}/{policies.NAME}")
        ).body
        spec = policies.HostNetworkExceptionPolicy.model_validate(body).spec
    except gateway.ApiError as error:
        if error.status not in {403, 404}:
            raise
        return
    except ValueError:  # the operator reports a policy that it cannot read
        return
    longest = spec.exceptions.max_duration.diagnostic
    if seconds > longest.total_seconds():
        raise errors.CommandError(
            f"error: --for must be at most {fields.format_duration(longest)} (exceptions.maxDuration of the"
            f" HostNetworkExceptionPolicy), got {tables.age(int(seconds))}"
        )
    released = spec.mode is policies.Mode.RELEASE
    if released or namespace in {*spec.exempt_namespaces, *labels.PREVIEW_NAMESPACES}:
        why = "the policy has mode Release" if released else f"namespace {namespace} is exempt"
        raise errors.CommandError(
            f"error: {why}, so the operator would not end the pod; use another namespace (-n), or kubectl debug"
        )


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """Why a person may not create an exception, and lines that name who may approve."""

    why: str
    approvers: tuple[str, ...]


async def check(connection: connect.Connection, body: Mapping[str, Any]) -> Mapping[str, Any] | NotAllowed:
    """Return the exception as the API server would store it, or why the person may not create it. Nothing is created.

    Raise ApiError for an exception that is wrong, and CommandError if the kind is not served.
    """
    try:
        checked: Mapping[str, Any] = (await writing.dry_create(connection, body)).body
    except gateway.ApiError as error:
        if error.status == 404 and not error.gone:
            raise errors.CommandError(_NOT_INSTALLED) from error
        if not await writing.lacks_right(connection, error, "create", body["metadata"]["namespace"]):
            raise
        why = f"Error from server ({error.reason or error.status}): {error.message}"
        return NotAllowed(why, tuple(await writing.approvers(connection)))
    return checked


def documents(*bodies: Mapping[str, Any]) -> str:
    """Return objects as YAML that kubectl applies."""
    return "\n---\n".join(map(tables.as_yaml, bodies))


def hand_over(body: Mapping[str, Any], refusal: NotAllowed) -> None:
    """Say on stderr that the exception is refused, and who can apply it."""
    tables.say(refusal.why)
    tables.say(
        f"Nothing was created. Hand the exception over to a user with the verb approve, who applies it before"
        f" {body['spec']['expiry']}."
    )
    for line in refusal.approvers:
        tables.say(line, "  ")
