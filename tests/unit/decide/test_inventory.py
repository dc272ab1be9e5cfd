"""People are shown what is known: workloads by attention, and Unknown where the ledger could not be read."""

import dataclasses

import pytest

from hostnetwork_operator.api import labels, ledger
from hostnetwork_operator.decide import inventory, snapshot
from tests.unit.builders import NAMESPACE, denied, hne, planned, pod, seen

SET = snapshot.Reference("DaemonSet", NAMESPACE, "agent", "uid-of-agent", "apps/v1")


def workloads(state: snapshot.NamespaceSnapshot) -> dict[str, inventory.HostWorkload]:
    return {workload.subject.name: workload for workload in inventory.workloads(state, planned(state))}


def test_pods_of_one_owner_are_one_workload_with_the_worst_verdict() -> None:
    """Its nodes, its exceptions and its host namespaces are those of all its pods."""
    pods = (pod("a", owner=SET, node="node-1"), pod("b", owner=SET, node="node-2", images=frozenset({"other:1"})))
    (workload,) = workloads(seen(*pods, hne(), namespace=denied(hne()))).values()
    assert (workload.verdict, workload.pods, workload.nodes, workload.exceptions) == ("Uncovered", 2, 2, ("net",))
    assert workload.verdicts == {labels.Verdict.COVERED: 1, labels.Verdict.UNCOVERED: 1}
    assert workload.owner == "team-sre-network"


def test_what_needs_attention_comes_first() -> None:
    unreadable = snapshot.UnreadablePod(NAMESPACE, "odd", "uid-of-odd", "TypeError")
    state = seen(
        pod("z"), pod("a", mirror=True), pod("m", service_account="other"), hne(), unreadable, namespace=denied(hne())
    )
    assert list(workloads(state)) == ["m", "odd", "z", "a"]


@pytest.mark.parametrize(
    ("exceptions", "approvals", "fits", "other"),
    [
        (True, True, "Uncovered", "Uncovered"),
        (True, False, "Unknown", "Uncovered"),
        (False, True, "Unknown", "Unknown"),
    ],
)
def test_what_was_not_read_makes_a_verdict_unknown(exceptions: bool, approvals: bool, fits: str, other: str) -> None:
    """Without the ledger, a pod that no exception matches stays Uncovered: no approval would change that."""
    view = snapshot.LedgerView(state=ledger.State.UNREADABLE, trouble="forbidden")
    pods = (pod("fits"), pod("other", service_account="other"))
    namespace_plan = planned(seen(*pods, hne(), namespace=denied(), ledger=view))
    known = {
        verdict.pod.name: inventory.as_known(
            verdict, namespace_plan.standings, exceptions=exceptions, approvals=approvals
        )
        for verdict in namespace_plan.verdicts
    }
    assert {name: verdict.verdict for name, verdict in known.items()} == {"fits": fits, "other": other}
    if fits == "Unknown":
        assert "not read" in known["fits"].why


@pytest.mark.parametrize(
    "forged",
    [{"name": "x; rm -rf ~"}, {"name": "$(id)"}, {"kind": "Dae mon"}, {"api_version": "apps/v1 --all"}, {"name": ""}],
)
def test_an_owner_that_cannot_exist_is_not_shown(forged: dict[str, str]) -> None:
    """Whoever creates a pod writes its owner, and people paste the command that names it."""
    owner = dataclasses.replace(SET, **forged)
    assert list(workloads(seen(pod("real", owner=owner)))) == ["real"]


def test_workloads_are_counted_by_class_and_worst_verdict() -> None:
    """By their top owners, as far as these are known. A pod that cannot be read is a workload that may be anything."""
    owner = snapshot.Reference("ReplicaSet", NAMESPACE, "web-1", "uid-of-web-1", "apps/v1")
    other = dataclasses.replace(owner, name="web-2", uid="uid-of-web-2")
    top = snapshot.Reference("Deployment", NAMESPACE, "web", "uid-of-web", "apps/v1")
    pods = (
        pod("a", owner=owner), pod("b", owner=other, service_account="other"), pod("c", owner=SET),
        pod("cilium", service_account="cilium", images=frozenset({"quay.io/cilium/cilium:v1"})),
        snapshot.UnreadablePod(NAMESPACE, "odd", "uid-of-odd", "TypeError"),
    )  # fmt: skip
    objects = (*pods, hne(), hne("cilium", service_account_name="cilium", images=None))
    expected = {
        ("Application", "unknown", "Uncovered"): 1,
        ("Infrastructure", "unknown", "Covered"): 1,
        ("Infrastructure", "likely", "Covered"): 1,
        ("Unknown", "unknown", "Unknown"): 1,
    }
    assert inventory.count(planned(seen(*objects, tops={owner: top, other: top}))) == expected
    expected["Application", "unknown", "Covered"] = 1
    assert inventory.count(planned(seen(*objects))) == expected


def test_namespaces_are_counted_by_enforcement_and_level() -> None:
    states = [seen(), seen(namespace=denied(hne()), exceptions=(hne(),))]
    overview = inventory.overview((state, planned(state)) for state in states)
    assert overview.enforcement == {"Deny": 2}
    assert overview.levels == {"baseline": 1, "relaxed": 1}
    assert overview.pods == {}
