"""What puts a verdict right is a sentence and a command that a person can paste."""

import dataclasses

import pytest

from hostnetwork_operator.api import conditions, labels
from hostnetwork_operator.decide import explain, plan, snapshot
from tests.unit.builders import NAMESPACE, NOW, denied, hne, planned, pod, seen


def explained(state: snapshot.NamespaceSnapshot, made: plan.NamespacePlan | None = None) -> explain.Explanation:
    """Return the explanation of the pod `capture`."""
    found = explain.explain(state, made or planned(state), pod().reference, pod(), NOW)
    assert found is not None
    return found


def test_without_an_exception_the_remedy_is_a_draft() -> None:
    found = explained(seen(pod(), namespace=denied()))
    assert (found.workload.verdict, found.drafts, found.commands) == (labels.Verdict.UNCOVERED, True, ())


def test_what_is_covered_needs_no_remedy() -> None:
    found = explained(seen(pod(), hne(), namespace=denied(hne())))
    assert (found.workload.verdict, found.remedy, found.commands) == (labels.Verdict.COVERED, "", ())


_APPROVE = """kubectl patch hne net -n apps --type=merge -p '{"spec":{"review":{"time":"2026-11-22T12:00:00Z"}}}'"""
_WRITERS = "kubectl get namespace apps -o yaml --show-managed-fields"


@pytest.mark.parametrize(
    ("reason", "commands"),
    [
        ("NotApproved", ("kubectl get hne net -n apps -o yaml", _APPROVE)),
        ("Invalid", ("kubectl edit hne net -n apps",)),
        ("LevelOwnedByOther", (_WRITERS, "kubectl label namespace apps pod-security.kubernetes.io/enforce-")),
        ("Contested", (_WRITERS,)),
        ("TooMany", ("kubectl hostnetwork exceptions -n apps",)),
        ("GrantTooLarge", ("kubectl hostnetwork exceptions -n apps",)),
        ("GuardMissing", ("kubectl hostnetwork doctor",)),
        ("NoPolicy", ("kubectl hostnetwork doctor",)),
        ("NotRecorded", ("kubectl hostnetwork doctor",)),
    ],
)
def test_an_exception_that_is_not_in_force_has_commands(reason: str, commands: tuple[str, ...]) -> None:
    """The exception matches the pod, and something else keeps it from being in force. What a person approves or takes
    away is shown before.
    """
    state = seen(pod(), hne(), namespace=denied())
    made = planned(state)
    (standing,) = made.standings
    standing = dataclasses.replace(standing, reason=conditions.Ready(reason), why="because")
    verdicts = tuple(
        dataclasses.replace(each, verdict=labels.Verdict.UNCOVERED, why="because") for each in made.verdicts
    )
    found = explained(state, dataclasses.replace(made, standings=(standing,), judged=verdicts))
    assert found.commands == tuple(command.replace("apps", NAMESPACE) for command in commands)
    assert not found.drafts


def test_an_exception_that_does_not_match_is_replaced_by_another() -> None:
    """The terms of an exception cannot change after its approval."""
    found = explained(seen(pod(service_account="other"), hne(), namespace=denied(hne())))
    assert (found.drafts, found.commands) == (True, ())
    assert "cannot change" in found.remedy
