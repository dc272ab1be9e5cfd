"""The evidence of a report: three answers that are never merged, and not looked at is never a pass."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import pytest

from hostnetwork_operator.api import exception, labels, policy
from hostnetwork_operator.cli import tables
from hostnetwork_operator.decide import benchmark, evidence, exhibits, plan, snapshot
from hostnetwork_operator.observe import store
from tests.unit.builders import (
    IMAGE,
    NETWORK,
    NOW,
    PID,
    PINNED,
    at,
    denied,
    guards,
    hne,
    namespace,
    planned,
    pod,
    recorded,
    seen,
)

FACTS = evidence.ReportFacts(
    generated=NOW,
    as_of=NOW,
    cluster=exhibits.ClusterIdentity("production", "uid-of-kube-system", "v1.37.2"),
    tool=exhibits.Tool("kubectl-hostnetwork", "0.1.0"),
    namespace=None,
    installed=True,
    not_looked_at=(),
    policy=None,
    guards=guards(),
    operator=exhibits.OperatorEvidence(found=True, image="registry.example.com/operator:1", available_replicas=1),
    duties=(exhibits.Duty("approve exceptions", ("Group sre by approver",)),),
)
PASS, FAIL, NOT_DETERMINED = exhibits.Determination
UNKNOWN_POD = snapshot.UnreadablePod("payments", "odd", "uid-of-odd", "TypeError")


def of(*states: snapshot.NamespaceSnapshot, **facts: Any) -> exhibits.AuditEvidence:
    return evidence.evidence([(s, planned(s)) for s in states], dataclasses.replace(FACTS, **facts))


def results(found: exhibits.AuditEvidence) -> list[str]:
    return [line.result for line in found.verdicts]


def unread(*kinds: str) -> tuple[exhibits.Unseen, ...]:
    return tuple(exhibits.Unseen(kind, "forbidden", "nothing is known") for kind in kinds)


def labelled(name: str = "payments", **present: str) -> snapshot.Namespace:
    return namespace(name=name, labels={key.replace("__", "/"): value for key, value in present.items()})


# -- the three answers ------------------------------------------------------------------------------------------------


def test_the_three_answers_are_independent() -> None:
    """A governed cluster in which an approved agent runs: a policy everywhere, a running pod, no pod without one."""
    assert results(of(seen(pod(), hne(), namespace=denied(hne())))) == [PASS, FAIL, PASS]
    assert results(of(seen(pod()))) == [PASS, FAIL, FAIL]
    assert results(of(seen())) == [PASS, PASS, PASS]
    assert results(of(seen(namespace=namespace()))) == [FAIL, PASS, PASS]


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ({labels.PSA_ENFORCE: "baseline"}, "PodSecurity"),
        ({labels.PSA_ENFORCE: "restricted"}, "PodSecurity"),
        ({labels.PSA_ENFORCE: "privileged"}, "None"),
        ({labels.PSA_ENFORCE: "baselin"}, "None"),
        ({labels.PSA_WARN: "restricted", labels.PSA_AUDIT: "restricted"}, "None"),
        ({labels.ENFORCEMENT: "Audit"}, "None"),
        ({labels.ENFORCEMENT: "Held"}, "None"),
        ({labels.ENFORCEMENT: "Deny", labels.PSA_ENFORCE: "privileged"}, "AdmissionPolicy"),
        ({}, "None"),
    ],
)
def test_what_restricts_a_namespace(present: dict[str, str], expected: str) -> None:
    """Only what refuses a pod counts: warn and audit labels, Audit and Held refuse nothing."""
    (row,) = of(seen(namespace=namespace(labels=present))).namespaces
    assert row.restriction == expected


def test_a_relaxed_namespace_is_restricted_only_while_the_admission_policy_is_in_place() -> None:
    relaxed = seen(hne(), namespace=denied(hne()))
    missing = guards(missing=[labels.POLICY_HOST_NAMESPACES])
    assert results(of(relaxed))[0] == PASS
    found = of(relaxed, guards=missing)
    assert (results(found)[0], found.namespaces[0].restriction) == (FAIL, "None")
    unlisted = of(relaxed, guards=missing, not_looked_at=unread("validatingadmissionpolicies"))
    assert (results(unlisted)[0], unlisted.namespaces[0].restriction) == (NOT_DETERMINED, "Unknown")
    assert unlisted.governance.admission_policies[0].in_place is None


def test_the_namespaces_of_kubernetes_are_shown_and_not_counted() -> None:
    """An exempt namespace of users is counted: exempt is a decision of this cluster, and not of the benchmark."""
    found = of(seen(namespace=labelled("kube-system")), seen(namespace=labelled("tools")))
    assert [(row.name, row.counted) for row in found.namespaces] == [("kube-system", False), ("tools", True)]
    assert found.verdicts[0].counts == {"namespaces": 1, "restricted": 0, "open": 1, "unknown": 0, "notCounted": 1}
    assert results(of(seen(namespace=labelled("kube-system"))))[0] == NOT_DETERMINED


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("namespaces", [NOT_DETERMINED] * 3),
        ("pods", [PASS, NOT_DETERMINED, NOT_DETERMINED]),
        ("hostnetworkexceptions", [PASS, PASS, NOT_DETERMINED]),
        ("hostnetworkexceptionpolicies", [PASS, PASS, NOT_DETERMINED]),
        ("ledger", [PASS, PASS, NOT_DETERMINED]),
        ("validatingadmissionpolicybindings", [PASS, PASS, NOT_DETERMINED]),
        ("roles", [PASS, PASS, PASS]),
    ],
)
def test_what_was_not_looked_at_is_not_determined(kind: str, expected: Sequence[str]) -> None:
    assert results(of(seen(), not_looked_at=unread(kind))) == expected


def test_what_was_seen_to_fail_fails_although_more_was_not_looked_at() -> None:
    """But without the policy nobody knows whether the namespace of a pod is exempt."""
    assert results(of(seen(pod()), not_looked_at=unread("ledger"))) == [PASS, FAIL, FAIL]
    assert results(of(seen(pod()), not_looked_at=unread("hostnetworkexceptionpolicies")))[2] == NOT_DETERMINED


def test_a_pod_that_cannot_be_read_is_no_pass() -> None:
    found = of(seen(UNKNOWN_POD))
    assert results(found) == [PASS, NOT_DETERMINED, NOT_DETERMINED]
    assert (found.summary.pods, found.summary.workloads) == (1, 1)


def test_only_host_network_counts_for_the_control() -> None:
    """A pod with hostPID alone is listed, and counts for no line."""
    found = of(seen(pod(host_namespaces=frozenset({PID}))))
    assert results(found) == [PASS, PASS, PASS]
    assert (found.summary.host_pid_pods, found.summary.host_network_pods, len(found.workloads)) == (1, 0, 1)


def test_static_and_exempt_pods_are_counted_apart() -> None:
    exempt = seen(pod(namespace="kube-system"), namespace=labelled("kube-system"))
    found = of(seen(pod("static", mirror=True)), exempt)
    assert results(found) == [PASS, FAIL, PASS]
    counts = found.verdicts[2].counts
    assert (counts["static"], counts["exempt"], counts["pods"]) == (1, 1, 2)
    assert "not counted: 1 Static, 1 Exempt" in found.verdicts[2].sentence


def test_the_kinds_have_the_names_of_the_reading() -> None:
    """What was not looked at is named by the kinds of the store."""
    kind = store.Kind
    named = evidence.PODS | evidence.NAMESPACES | evidence.ADMISSION
    assert named == {k.value for k in (kind.POD, kind.NAMESPACE, kind.ADMISSION_POLICY, kind.ADMISSION_BINDING)}
    assert {exception.PLURAL, policy.PLURAL} == {kind.EXCEPTION.value, kind.POLICY.value}


# -- the lists --------------------------------------------------------------------------------------------------------


def test_a_workload_shows_what_its_pods_use() -> None:
    pods = (
        pod("b", images=frozenset({PINNED}), node="node-2", created=at(days=-3), privileged=True),
        pod(
            "a",
            images=frozenset({IMAGE}),
            capabilities=frozenset({"NET_ADMIN"}),
            host_namespaces=frozenset({NETWORK, PID}),
        ),
    )
    owner = snapshot.Reference("DaemonSet", "payments", "agent", "uid-of-agent", "apps/v1")
    (row,) = of(seen(*(dataclasses.replace(each, owner=owner) for each in pods))).workloads
    assert (row.kind, row.name, row.pods, row.nodes, row.since) == ("DaemonSet", "agent", 2, 2, at(days=-3))
    assert row.images == (exhibits.ImageEvidence(IMAGE, pinned=False), exhibits.ImageEvidence(PINNED, pinned=True))
    assert (row.privileged, row.capabilities, row.verdict) == (True, ("NET_ADMIN",), "Uncovered")


def test_what_a_person_must_act_on_is_listed_with_a_remedy() -> None:
    found = of(seen(pod(), namespace=namespace()))
    assert [(each.kind, each.subject) for each in found.violations] == [
        ("NamespaceOpen", ""),
        ("Uncovered", "pod/capture"),
    ]
    assert found.violations[1].remedy == "kubectl hostnetwork why -n payments pod/capture"
    custom = snapshot.Reference("Rollout", "payments", "web", "uid-of-web", "example.com/v1")
    assert of(seen(pod(owner=custom))).violations[0].remedy == "kubectl hostnetwork why -n payments pod/NAME"


def test_an_exception_shows_what_its_approver_decided() -> None:
    found = of(seen(pod(), hne(contact="net@example.com"), namespace=denied(hne())))
    (row,) = found.exceptions
    assert (row.owner, row.contact, row.ticket, row.state) == (
        "team-sre-network",
        "net@example.com",
        "INC-4711",
        "Active",
    )
    assert (row.covered_pods, row.in_force, row.expiry) == (1, True, at(hours=1))
    assert {each.rule for each in found.findings} == set(row.findings)
    assert found.summary.findings == len(found.findings) > 0


def test_an_exception_that_cannot_be_read_is_listed() -> None:
    odd = snapshot.UnreadableException("payments", "odd", "uid-of-odd", "spec.type: wrong", 1)
    (row,) = of(seen(unreadable_exceptions=(odd,))).exceptions
    assert (row.name, row.state, row.in_force, row.why) == (
        "odd",
        None,
        False,
        "the exception cannot be read: spec.type: wrong",
    )


def test_a_level_is_the_operators_if_its_ledger_says_so() -> None:
    state = seen(ledger=snapshot.LedgerView())
    unknown = evidence.evidence([(state, plan.plan_namespace(state, NOW))], FACTS)
    assert (of(seen()).namespaces[0].level_by_operator, unknown.namespaces[0].level_by_operator) == (True, None)
    assert of(seen(ledger=recorded(denied(), theirs=[labels.PSA_ENFORCE]))).namespaces[0].level_by_operator is False


# -- the bytes --------------------------------------------------------------------------------------------------------


def test_the_same_input_has_the_same_bytes() -> None:
    """Also if the API server lists the namespaces, pods and exceptions in another order."""
    pods = [pod(str(number), service_account=f"account-{number}") for number in range(5)]
    subjects = [hne(str(number), service_account_name=f"account-{number}") for number in range(5)]
    other = seen(pod("other", namespace="other"), namespace=labelled("other"))
    first = of(seen(*pods, *subjects), other)
    second = of(other, seen(*reversed(subjects), *reversed(pods)))
    assert exhibits.canonical(first) == exhibits.canonical(second)
    assert exhibits.digest(exhibits.canonical(first)) == exhibits.digest(exhibits.canonical(second))
    later = of(seen(*pods, *subjects), other, generated=at(seconds=1))
    assert exhibits.canonical(first) != exhibits.canonical(later)


def test_the_json_has_the_form_of_kubernetes() -> None:
    found = of(seen(pod(), hne(), namespace=denied(hne())))
    text = exhibits.canonical(found)
    document = json.loads(text)
    assert text.isascii()
    assert (document["apiVersion"], document["kind"]) == (tables.API_VERSION, "HostNetworkEvidence")
    assert (document["generated"], document["asOf"]) == ("2026-11-22T12:00:00Z",) * 2
    assert document["workloads"][0]["class"]["type"] == "Diagnostic"
    assert document["workloads"][0]["verdicts"] == {"Covered": 1}
    assert document["exceptions"][0]["expiry"] == "2026-11-22T13:00:00Z"
    assert list(document) == sorted(document)


def test_hostile_text_stays_whole_and_within_ascii() -> None:
    """The evidence is exact. Whatever moves a cursor or reverses a line is escaped in its JSON."""
    hostile = "\u202eteam\u001b[2J" + "x" * 10_000
    subject = hne(owner="team")
    odd = subject.model_copy(update={"spec": subject.spec.model_copy(update={"owner": hostile})})
    text = exhibits.canonical(of(seen(odd)))
    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text)["exceptions"][0]["owner"] == hostile


# -- contacts ---------------------------------------------------------------------------------------------------------


def test_masked_contacts_are_the_same_mark_everywhere() -> None:
    found = of(
        seen(
            hne("a", contact="net@example.com", owner="Jane (jane@example.com)"),
            hne("b", contact="#sre-network", owner="net@Example.com"),
            hne("c", contact="net@example.com", reason="asked by jane@example.com, twice"),
        ),
        duties=(exhibits.Duty("approve exceptions", ("User jane@example.com by approver",)),),
    )
    hidden = exhibits.masked(found)
    text = exhibits.canonical(hidden)
    assert "@example.com" not in text.lower()
    assert "#sre-network" not in text
    a, b, c = hidden.exceptions
    assert a.contact == c.contact == b.owner == "[contact 1]"
    assert (b.contact, a.owner) == ("[contact 2]", "Jane ([contact 3])")
    assert (hidden.duties[0].holders, hidden.scope.contacts_masked) == (("User [contact 3] by approver",), True)


def test_masking_leaves_images_and_does_not_hang() -> None:
    """An image with a digest is no address. A long text without an address takes a moment, and not hours."""
    assert PINNED in exhibits.canonical(exhibits.masked(of(seen(pod(images=frozenset({PINNED}))))))
    odd = snapshot.UnreadablePod("payments", "odd", "uid-of-odd", "@" + "x" * 500_000)
    assert "x" * 500_000 in exhibits.canonical(exhibits.masked(of(seen(odd))))


# -- the texts --------------------------------------------------------------------------------------------------------


def test_each_related_control_names_its_source() -> None:
    for control in benchmark.MAPPING:
        assert all(dataclasses.astuple(control))
    assert len(set(benchmark.MAPPING)) == len(benchmark.MAPPING)
    assert set(policy.EXEMPT_BY_DEFAULT) == benchmark.SYSTEM_NAMESPACES
