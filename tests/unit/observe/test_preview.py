"""What the gate check makes of the answers of the API server."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from hostnetwork_operator import bodies
from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import preview
from tests.unit.builders import IMAGE, NOW, governed, namespace, seen

FORBIDS = 'would violate PodSecurity "baseline:latest": privileged'
POD = {
    "metadata": {
        "name": "web",
        "namespace": "payments",
        "uid": "u",
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-01T00:00:00Z",
    },
    "spec": {"containers": [{"name": "main", "image": IMAGE}]},
}


class Asker:
    """An API server with one pod.

    It answers a question with what `say` returns, and forbids what every level forbids.
    """

    def __init__(self, say: Callable[[], bodies.Answer]) -> None:
        self._say = say

    async def get(self, path: str, **_: Any) -> bodies.Answer:
        return bodies.Answer({"metadata": {"resourceVersion": "9"}, "items": [POD] if "/pods?" in path else []})

    async def preview(self, path: str, body: Any) -> bodies.Answer:
        return bodies.Answer(None, warnings=(FORBIDS,)) if body["spec"].get("hostPID") else self._say()


class Clock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def look(answer: bodies.Answer, before: snapshot.GateAnswer | None = None) -> snapshot.GateAnswer:
    state = replace(seen(namespace=namespace(), policy=governed(rollout="Gated")), gate=before)
    return asyncio.run(preview.look(Asker(lambda: answer), state, labels.Level.BASELINE, Clock()))


@pytest.mark.parametrize("answer", [bodies.Answer(None, refused="no"), bodies.Answer(None, warnings=("x" * 4000,))])
def test_what_is_not_known_is_asked_again(answer: bodies.Answer) -> None:
    """The pod is a holder for now, and an answer in the next check counts.

    The gate does not ask again about what is known.
    """
    first = look(answer)
    assert first.holders[0].startswith("Pod web: not known, because")
    assert first.answers == {}
    second = look(bodies.Answer(None), first)
    assert second.clean
    assert list(look(answer, second).holders) == []


@pytest.mark.parametrize(
    ("refusal", "policy"),
    [
        (
            "pods \"gate\" is forbidden: ValidatingAdmissionPolicy 'team' with binding 'all' denied request: a label",
            "ValidatingAdmissionPolicy 'team'",
        ),
        (
            'admission webhook "validate.kyverno.svc-fail" denied the request: \n\nresource Pod/x/gate was blocked',
            'admission webhook "validate.kyverno.svc-fail"',
        ),
        ("policy 'labels' with binding 'all' denied request: no such key: team", "policy 'labels'"),
        ('admission webhook "old.example.com" does not support dry run', 'admission webhook "old.example.com"'),
        (
            'Internal error occurred: failed calling webhook "check.example.com": timeout',
            'webhook "check.example.com"',
        ),
    ],
)
def test_a_policy_that_refuses_the_question_is_named_with_the_remedy(refusal: str, policy: str) -> None:
    """The policy is named before its own text, which may be long."""
    namespaces = "hostnetwork-preview-baseline and hostnetwork-preview-restricted"
    remedy = f"{policy} refuses the dry run; exclude the namespaces {namespaces} from that policy; got: {refusal}"
    assert preview.explained(refusal) == remedy
    (holder,) = look(bodies.Answer(None, refused=refusal)).holders
    assert holder == f"Pod web: not known, because the API server refused the dry run: {remedy} (level baseline)"


@pytest.mark.parametrize(
    "refusal",
    [
        'Pod "gate" is invalid: spec.hostNetwork: Invalid value: false',
        f"pods \"gate\" is forbidden: ValidatingAdmissionPolicy 'a.{labels.GROUP}' with binding 'b' denied request: no",
        'pods "gate" is forbidden: exceeded quota: admission webhook "x" denied the request',
    ],
)
def test_what_no_policy_of_others_refuses_has_no_remedy(refusal: str) -> None:
    """A validation error, a policy of the operator's own, and a text that only mentions a webhook."""
    assert preview.explained(refusal) == refusal


def test_a_missing_right_has_the_remedy() -> None:
    refusal = (
        'pods is forbidden: User "ci" cannot create resource "pods" in API group "" in the namespace'
        ' "hostnetwork-preview-baseline"'
    )
    remedy = (
        "bind the ClusterRole hostnetwork-operator-preview in the namespaces hostnetwork-preview-baseline and"
        " hostnetwork-preview-restricted"
    )
    assert preview.explained(refusal) == f"{refusal}; {remedy}"
