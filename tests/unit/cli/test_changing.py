"""What people read before they change an exception: what the change does, and what it approves."""

import dataclasses
import datetime
import shlex
from typing import Any

import click
import pytest

from hostnetwork_operator.cli import changing, errors, flags, reading, renew, review, revoke
from hostnetwork_operator.decide import plan, register
from hostnetwork_operator.observe import cluster, store
from tests.unit.builders import NOW, at, denied, hne, pod, recorded, seen

LATER = flags.End(at(hours=3), 0)


def present(*, approved: bool = True, **spec: Any) -> changing.Present:
    """Return the exception `net` as the command reads it, with a pod that it fits."""
    subject = hne(**spec)
    namespace = denied(subject) if approved else denied()
    fields: dict[str, Any] = {} if approved else {"ledger": recorded(namespace)}
    if not approved:  # created before exception-writers
        metadata = subject.metadata.model_copy(update={"creation_timestamp": NOW - datetime.timedelta(days=3)})
        subject = subject.model_copy(update={"metadata": metadata})
    state = seen(subject, pod(), namespace=namespace, **fields)
    namespace_plan = plan.plan_namespace(state, NOW)
    (entry,) = register.register([(state, namespace_plan)])
    body = subject.model_dump(mode="json", by_alias=True, exclude_none=True)
    whole = cluster.Cluster(store.Store(lambda: NOW), lambda _: state.ledger, lambda: True)
    read = reading.Reading(whole, NOW, installed=True, not_looked_at=())
    return changing.Present(body, entry, state, namespace_plan, NOW, "1.36", read)


def test_a_change_of_an_exception_that_is_not_approved_says_that_it_approves() -> None:
    """And shows all of it. A revocation gives nothing, so it does not."""
    approves = "The exception is not approved now. Your change approves the whole exception as it is above."
    for intent in (renew._intent(present(approved=False), LATER, {}), review._intent(present(approved=False))):
        assert approves in intent.lines
        assert "serviceAccountName: netdebug" in intent.shown
        assert intent.gives
    for other in (renew._intent(present(), LATER, {}), revoke._intent(present(approved=False), None)):
        assert other is not None
        assert approves not in other.lines


def test_who_may_not_read_everything_is_shown_what_the_operator_has_reported() -> None:
    """The role of an approver gives the right to write exceptions, and no right to read the ledger."""
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "NotApproved",
        "message": "nothing proves",
        "observedGeneration": 1,
    }
    whole = present()
    body = {**whole.body, "status": {"conditions": [condition], "coveredPods": 2}}
    known = dataclasses.replace(whole, body=body, entry=None, plan=None)
    intent = renew._intent(known, LATER, {})
    assert intent.lines[0].endswith(" NotApproved: nothing proves; it covers 2 pods.")
    assert "The exception is not approved now." in intent.lines[-1]
    condition["observedGeneration"] = 0
    stale = revoke._intent(known, None)
    assert stale is not None
    assert stale.lines[0].endswith(" Whether the exception is in force is not known.")
    assert "The operator deletes its 2 pods, unless another exception covers them." in stale.lines


def test_a_renewal_changes_what_a_person_said_and_nothing_else() -> None:
    intent = renew._intent(present(), LATER, {"reason": None, "ticket": "INC-2"})
    assert intent.spec(NOW) == {"expiry": "2026-11-22T15:00:00Z", "ticket": "INC-2"}
    head, *changes = intent.lines
    assert head.startswith("hne/net in namespace payments: Diagnostic, owner team-sre-network. Active: ")
    assert changes == [
        "expiry: 2026-11-22T13:00:00Z → 2026-11-22T15:00:00Z, in 3h",
        "ticket: INC-4711 → INC-2",
    ]
    assert intent.command == "kubectl hostnetwork renew net -n payments --until 2026-11-22T15:00:00Z --ticket INC-2"
    earlier = renew._intent(present(), flags.End(None, 60), {})
    assert "The new end is earlier than the present end." in earlier.lines


@pytest.mark.parametrize("words", ["$(reboot)", "it's", "a\nb", "-y"])
def test_the_command_that_is_handed_over_is_safe_to_paste(words: str) -> None:
    command = renew._intent(present(), LATER, {"reason": words}).command
    assert shlex.split(command)[-2:] == ["--reason", words]


def test_an_end_that_has_passed_is_not_renewed_and_not_reviewed() -> None:
    ended = present(expiry=at(minutes=-1))
    with pytest.raises(errors.CommandError, match="an end that has passed cannot change"):
        renew._intent(ended, LATER, {})
    with pytest.raises(errors.CommandError, match="nothing to review"):
        review._intent(ended)


def test_an_end_in_the_past_is_a_revocation() -> None:
    with pytest.raises(click.UsageError, match="kubectl hostnetwork revoke net -n payments"):
        renew._intent(present(), flags.End(NOW, 0), {})


def test_a_revocation_is_a_moment_ahead_of_the_pods() -> None:
    """A pod that was created in this second is deleted too: it was created before the expiry."""
    intent = revoke._intent(present(), "done")
    assert intent is not None
    assert intent.spec(at(hours=0.5, seconds=0.9)) == {
        "expiry": "2026-11-22T12:30:03Z",
        "reason": "Capture SYN retries on node-7; revoked: done",
    }
    assert "The operator deletes 1 pod: capture." in intent.lines
    assert not intent.gives


def test_what_has_ended_is_not_revoked_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert revoke._intent(present(expiry=at(minutes=-1)), None) is None
    assert "has ended already" in capsys.readouterr().err


def test_a_status_that_claims_an_end_keeps_nobody_from_a_revocation() -> None:
    """A person who may not read everything sees the status, which a tenant may have written in a bad moment."""
    honest = present()
    generation = honest.body["metadata"]["generation"]
    ready = {"type": "Ready", "status": "False", "reason": "Expired", "message": "", "observedGeneration": generation}
    body = {**honest.body, "status": {"conditions": [ready]}}
    claimed = dataclasses.replace(honest, body=body, entry=None, plan=None)
    assert claimed.ready == "Expired"
    assert revoke._intent(claimed, None) is not None


def test_a_review_is_of_now_and_of_this_kubernetes() -> None:
    """Findings are shown, and what has been reviewed before."""
    before = {"time": at(days=-30), "kubernetes_version": "1.35"}
    intent = review._intent(present(review=before))
    assert intent.spec(NOW) == {"review": {"time": "2026-11-22T12:00:00Z", "kubernetesVersion": "1.36"}}
    assert "reviewed at: 2026-10-23T12:00:00Z → 2026-11-22T12:00:00Z" in intent.lines
    assert "reviewed for Kubernetes: 1.35 → 1.36" in intent.lines
    assert "its pods: capture" in intent.lines
    assert any(line.startswith("ContactMissing: ") for line in intent.lines)
    unknown = review._intent(dataclasses.replace(present(), kubernetes=""))
    assert unknown.spec(NOW) == {"review": {"time": "2026-11-22T12:00:00Z"}}
