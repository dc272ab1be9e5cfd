"""People are shown what is known: workloads by attention, and Unknown where the ledger could not be read."""

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


@pytest.mark.parametrize("state_of_ledger", [ledger.State.UNREADABLE, ledger.State.INTACT])
def test_without_the_ledger_an_approval_is_not_known(state_of_ledger: ledger.State) -> None:
    """A pod that no exception matches stays Uncovered: no approval would change that."""
    view = snapshot.LedgerView(state=state_of_ledger, trouble="forbidden")
    found = workloads(seen(pod("fits"), pod("other", service_account="other"), hne(), namespace=denied(), ledger=view))
    assert found["other"].verdict == "Uncovered"
    expected = "Unknown" if state_of_ledger is ledger.State.UNREADABLE else "Uncovered"
    assert found["fits"].verdict == expected
    if expected == "Unknown":
        assert "whether exception 'net' is approved is not known" in found["fits"].why


def test_namespaces_are_counted_by_enforcement_and_level() -> None:
    states = [seen(), seen(namespace=denied(hne()), exceptions=(hne(),))]
    overview = inventory.overview((state, planned(state)) for state in states)
    assert overview.enforcement == {"Deny": 2}
    assert overview.levels == {"baseline": 1, "relaxed": 1}
    assert overview.pods == {}
