"""The Events: who gets which Event, and the key that makes repeated requests one Event."""

import dataclasses
from typing import Any

import pytest

from hostnetwork_operator.api import conditions, exception, labels
from hostnetwork_operator.decide import coverage, effects, messages, snapshot, validity
from tests.unit.builders import DENIED, NOW, hne, namespace, planned, pod, seen, writes

Reason = messages.Reason
OWNER = snapshot.Reference("DaemonSet", "payments", "agent", "uid-of-agent", "apps/v1")


def verdict(kind: labels.Verdict, *subjects: exception.HostNetworkException, **fields: Any) -> coverage.PodVerdict:
    return coverage.PodVerdict(pod(**fields), kind, "so it is", subjects)


@pytest.mark.parametrize(
    ("kind", "reason", "type_"),
    [
        (labels.Verdict.UNCOVERED, "HostNamespacesUncovered", "Warning"),
        (labels.Verdict.EXPIRED, "HostNamespacesExpired", "Warning"),
        (labels.Verdict.STATIC, "HostNamespacesStatic", "Normal"),
        (labels.Verdict.COVERED, "HostNamespacesCovered", "Normal"),
    ],
)
def test_each_verdict_has_a_reason(kind: labels.Verdict, reason: str, type_: str) -> None:
    """The Event is on the pod. It says which host namespaces the pod uses, and why the pod has this verdict."""
    (event,) = messages.verdict_events(verdict(kind))
    assert (pod().reference, reason, type_) == (event.regarding, event.reason, event.type)
    assert event.message.startswith("uses host namespace Network, and so it is")


def test_the_owner_is_told_too() -> None:
    """Owners look for Events on the workload."""
    on_pod, on_owner = messages.verdict_events(verdict(labels.Verdict.UNCOVERED, owner=OWNER))
    assert (pod().reference, OWNER) == (on_pod.regarding, on_owner.regarding)
    assert "a pod of this workload uses" in on_owner.message


def test_an_uncovered_pod_is_told_the_way_out() -> None:
    """The message says to remove hostNetwork, or to request an exception for the service account of the pod."""
    (event,) = messages.verdict_events(verdict(labels.Verdict.UNCOVERED))
    remedy = ". Remove hostNetwork, or request a HostNetworkException for service account 'netdebug' (kubectl explain "
    assert event.message.endswith(f"{remedy}hne.spec)")


def test_an_uncovered_pod_is_told_which_agent_it_looks_like() -> None:
    """In both Events, and before the explanation, which may be long. A guess from the kind of the owner is not told."""
    looks = "uses host namespace Network, looks like Cilium agent (Infrastructure, likely), and so it is"
    image = frozenset({"quay.io/cilium/cilium:v1"})
    owner = dataclasses.replace(OWNER, name="cilium")
    for event in messages.verdict_events(verdict(labels.Verdict.UNCOVERED, owner=owner, images=image)):
        assert looks in event.message
    for event in messages.verdict_events(verdict(labels.Verdict.UNCOVERED, owner=owner)):
        assert "looks like" not in event.message
    for event in messages.verdict_events(verdict(labels.Verdict.EXPIRED, owner=owner, images=image)):
        assert "looks like" not in event.message


def test_the_key_says_the_verdict_and_the_exceptions() -> None:
    """A restart therefore repeats no Event, and another exception leads to another Event."""
    once, again = (messages.verdict_events(verdict(labels.Verdict.COVERED, hne("a")))[0].key for _ in range(2))
    assert once == again
    assert once != messages.verdict_events(verdict(labels.Verdict.COVERED, hne("b")))[0].key
    assert once != messages.verdict_events(verdict(labels.Verdict.EXPIRED, hne("a")))[0].key


def test_a_deletion_is_told_on_every_exception() -> None:
    """Each exception gets one Event per deleted pod."""
    events = messages.deletion_events(verdict(labels.Verdict.EXPIRED, hne("a"), hne("b")))
    assert [event.regarding.name for event in events] == ["a", "b"]
    assert {("ExpiredPodDeleted", "the operator deleted pod capture: so it is", "uid-of-capture")} == {
        (event.reason, event.message, event.key) for event in events
    }


@pytest.mark.parametrize("before", [None, *conditions.Ready])
@pytest.mark.parametrize("reason", list(conditions.Ready))
def test_a_standing_is_told_when_its_reason_changes(before: conditions.Ready | None, reason: conditions.Ready) -> None:
    """Only Active and Expired are no warnings. Without a change of the reason there is no Event."""
    ready = (
        [conditions.Condition(type="Ready", status="False", last_transition_time=NOW, reason=before.value, message="m")]
        if before
        else []
    )
    subject = hne(status=exception.ExceptionStatus(conditions=tuple(ready)))
    events = messages.standing_events(validity.Standing(subject, reason, "so it is"))
    if before is reason:
        assert events == ()
    else:
        (event,) = events
        assert ("HostNetworkException", "net", reason.value, "so it is") == (
            event.regarding.kind,
            event.regarding.name,
            event.reason,
            event.message,
        )
        assert ("Normal" if reason.value in {"Active", "Expired"} else "Warning") == event.type


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (effects.Action.ENFORCE, "LevelEnforced"),
        (effects.Action.HOLD, "EnforcementHeld"),
        (effects.Action.AUDIT, "EnforcementAudit"),
        (effects.Action.RELAX, "LevelRelaxed"),
        (effects.Action.RESTORE, "LevelRestored"),
        (effects.Action.REPAIR, "LabelsRepaired"),
        (effects.Action.RELEASE, "NamespaceReleased"),
        (effects.Action.REVOKE, None),
        (effects.Action.GRANT, None),
    ],
)
def test_a_write_is_told_where_it_changes_how_the_namespace_stands(action: str, reason: str | None) -> None:
    """The Event is on the namespace, among the namespace's own Events, once per version."""
    write = effects.WriteNamespace(namespace(labels=DENIED), action, {labels.ENFORCEMENT: "Deny"}, {})
    events = messages.namespace_events(write, ())
    assert [reason] * (reason is not None) == [event.reason for event in events]
    for event in events:
        assert (
            event.regarding.kind,
            event.regarding.namespace,
            event.regarding.name,
        ) == ("Namespace", "payments", "payments")
        assert f"{action} 11" == event.key
        assert ("Warning" if reason == "LabelsRepaired" else "Normal") == event.type


def test_relaxing_and_restoring_name_the_level_and_the_exceptions() -> None:
    """The Events name the level, the exceptions that lifted it, and those that have ended."""
    (relax,) = writes(planned(seen(hne("a"), hne("b"))))
    text = "the level is privileged while an exception is in force (a, b); all other pods must meet the guard"
    assert relax.events[0].message == text
    write = effects.WriteNamespace(
        namespace(), effects.Action.RESTORE, {labels.PSA_ENFORCE: "baseline"}, {labels.GRANT_PREFIX + "a": None}
    )
    text = "the operator restored level baseline; grants that ended or were revoked: a"
    assert messages.namespace_events(write, ())[0].message == text
