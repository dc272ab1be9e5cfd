"""What the policy's status says of the API servers: their versions, and whether they have the seal."""

from typing import Any

import pytest

from hostnetwork_operator.api import conditions, policy
from hostnetwork_operator.api.conditions import KubernetesTested, Sealed
from hostnetwork_operator.decide import snapshot, summary
from tests.unit.builders import NOW

NEWEST = snapshot.NEWEST_TESTED
NEXT = snapshot.MinorVersion(1, NEWEST.minor + 1)
BEFORE = snapshot.MinorVersion(1, NEWEST.minor - 1)
OLD = snapshot.MinorVersion(1, snapshot.OLDEST_TESTED.minor - 1)


def policy_object(status: policy.PolicyStatus | None = None) -> snapshot.PolicyObject:
    return snapshot.PolicyObject(
        uid="uid-of-policy",
        generation=1,
        resource_version="1",
        spec=policy.PolicySpec(mode=policy.Mode.ENFORCE),
        mistake="",
        status=status or policy.PolicyStatus(),
        created=NOW,
    )


def condition(status: policy.PolicyStatus, kind: conditions.ConditionType) -> conditions.Condition:
    found = conditions.find(status.conditions, kind)
    assert found is not None
    return found


def server(name: str, **fields: Any) -> snapshot.ApiServer:
    return snapshot.ApiServer(f"{name}:6443", **fields)


def servers(states: str) -> snapshot.ApiServers:
    """Return API servers a, b, c …, each of them sealed, open, or silent."""
    sealed = {"sealed": True, "open": False, "silent": None}
    trouble = {"silent": "no answer within 3 s"}
    return snapshot.ApiServers(
        tuple(
            server(letter, sealed=sealed[state], trouble=trouble.get(state, ""))
            for letter, state in zip("abc", states.split(), strict=False)
        ),
        "",
    )


VERSIONS = [
    ((NEWEST,), KubernetesTested.TESTED, ["this operator is tested with"]),
    ((BEFORE, NEWEST), KubernetesTested.VERSIONS_DIFFER, [f"until all API servers run {NEWEST}", f"of {BEFORE}"]),
    (
        (NEXT,),
        KubernetesTested.NOT_TESTED,
        [f"run Kubernetes {NEXT}", f"Standards of {NEWEST}", "upgrade-kubernetes.md"],
    ),
    ((NEWEST, NEXT), KubernetesTested.NOT_TESTED, [f"run Kubernetes {NEWEST} and {NEXT}", f"Standards of {NEWEST}"]),
    ((OLD,), KubernetesTested.NOT_TESTED, [f"Standards of {OLD}"]),
]


@pytest.mark.parametrize(("versions", "reason", "texts"), VERSIONS)
def test_versions_of_api_servers_are_a_condition(
    versions: tuple[snapshot.MinorVersion, ...], reason: KubernetesTested, texts: list[str]
) -> None:
    """A cluster that is newer than what was tested is reported, and so are two versions at a time."""
    status = summary.with_kubernetes(policy.PolicyStatus(), versions, NOW)
    tested = condition(status, conditions.ConditionType.KUBERNETES_TESTED)
    assert (tested.status, tested.reason) == ("True" if reason is KubernetesTested.TESTED else "False", reason)
    assert all(text in tested.message for text in texts), tested.message


def test_before_the_first_answer_nothing_is_said_of_versions() -> None:
    """A condition that an earlier operator wrote stays."""
    status = summary.with_kubernetes(policy.PolicyStatus(), (NEXT,), NOW)
    assert summary.with_kubernetes(status, (), NOW) == status
    assert summary.kubernetes_event(policy_object(), ()) is None


def test_versions_are_told_when_they_change() -> None:
    """Not at an install on a tested version, and once for each change."""
    assert summary.kubernetes_event(policy_object(), (NEWEST,)) is None
    event = summary.kubernetes_event(policy_object(), (NEXT,))
    assert event is not None
    assert (event.type, event.reason) == ("Warning", "PolicyKubernetesNotTested")
    reported = policy_object(summary.with_kubernetes(policy.PolicyStatus(), (NEXT,), NOW))
    assert summary.kubernetes_event(reported, (NEXT,)) is None
    event = summary.kubernetes_event(reported, (NEWEST,))
    assert event is not None
    assert (event.type, event.reason) == ("Normal", "PolicyKubernetesTested")


SEALS = [
    (servers("sealed sealed"), Sealed.SEALED, "True", "all API servers (2) refuse changes"),
    (servers("sealed open"), Sealed.PARTLY_SEALED, "False", "other API servers have it: b:6443; copy"),
    (servers("sealed open silent"), Sealed.PARTLY_SEALED, "False", "other API servers have it: b:6443; copy"),
    (servers("open open"), Sealed.NOT_SEALED, "False", "no API server has the seal"),
    (servers("sealed silent"), Sealed.UNKNOWN, "Unknown", "have the seal: b:6443: no answer within 3 s"),
    (servers("open silent"), Sealed.UNKNOWN, "Unknown", "have the seal: b:6443: no answer within 3 s"),
    (snapshot.ApiServers((), "none is known"), Sealed.UNKNOWN, "Unknown", "have the seal: none is known"),
]


@pytest.mark.parametrize(("api_servers", "reason", "word", "text"), SEALS)
def test_the_seal_is_a_condition(api_servers: snapshot.ApiServers, reason: Sealed, word: str, text: str) -> None:
    """An API server that does not answer may lack the seal; an answer that is missing is no answer."""
    sealed = condition(summary.with_seal(policy.PolicyStatus(), api_servers, NOW), conditions.ConditionType.SEALED)
    assert (sealed.status, sealed.reason) == (word, reason)
    assert text in sealed.message


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (None, servers("sealed"), "PolicySealed"),
        (None, servers("open"), None),
        (None, servers("sealed open"), "PolicyPartlySealed"),
        (servers("sealed"), servers("open"), "PolicyNotSealed"),
        (servers("sealed"), servers("silent"), None),
        (servers("silent"), servers("open"), None),
        (servers("silent"), servers("sealed"), "PolicySealed"),
        (servers("open"), servers("sealed"), "PolicySealed"),
        (servers("sealed"), servers("sealed"), None),
    ],
)
def test_the_seal_is_told_when_it_comes_and_goes(
    before: snapshot.ApiServers | None, after: snapshot.ApiServers, reason: str | None
) -> None:
    """A cluster that never had the seal has no Event; nor has an answer that is missing."""
    status = policy.PolicyStatus() if before is None else summary.with_seal(policy.PolicyStatus(), before, NOW)
    event = summary.seal_event(policy_object(status), after)
    assert (event.reason if event else None) == reason
    assert event is None or event.type == ("Normal" if reason == "PolicySealed" else "Warning")
