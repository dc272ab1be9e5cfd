"""What people are told before they write: what a new exception opens, and what the end of one does to its pods."""

from typing import Any

import pytest

from hostnetwork_operator.api import exception, labels
from hostnetwork_operator.decide import consequences, plan, snapshot
from tests.unit.builders import IMAGE, NAMESPACE, NOW, at, denied, governed, hne, pod, seen

TOP = snapshot.Reference("DaemonSet", NAMESPACE, "agent", "uid-of-agent", "apps/v1")
END = at(seconds=2)


def of(*objects: Any, **fields: Any) -> tuple[snapshot.NamespaceSnapshot, plan.NamespacePlan]:
    subjects = [each for each in objects if isinstance(each, exception.HostNetworkException)]
    state = seen(*objects, namespace=denied(*subjects), **fields)
    return state, plan.plan_namespace(state, NOW)


def test_an_opening_tells_new_pods_from_covered_ones_and_from_those_of_others() -> None:
    """What another exception covers already is not new. A pod of another workload is named, whoever covers it."""
    own = pod("own", owner=TOP)
    other = pod("other")
    known = pod("known", owner=TOP, images=frozenset({"registry.example.com/known:1"}))
    state, namespace_plan = of(own, other, known, pod("elsewhere", service_account="x"),
                               hne("known", images=("registry.example.com/known:1",)))  # fmt: skip
    subject = hne("new", images=(IMAGE, "registry.example.com/known:1"))
    opening = consequences.opened(state, namespace_plan, subject, TOP, NOW)
    assert (opening.newly, opening.again, opening.others) == (("other", "own"), ("known",), ("other",))
    assert not opening.exempt


def test_an_opening_in_an_exempt_namespace_says_so() -> None:
    state, namespace_plan = of(pod(), policy=governed(exempt_namespaces=(NAMESPACE,)))
    assert consequences.opened(state, namespace_plan, hne("new"), TOP, NOW).exempt


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, ""),
        ({"expiry": at(hours=3)}, "spec.expiry must be no later than"),
        ({"images": ("registry.example.com/x:1",)}, ""),
    ],
)
def test_a_mistake_is_one_that_makes_the_exception_invalid(spec: dict[str, Any], told: str) -> None:
    """The API server accepts 24 hours, and the policy of this cluster two."""
    rules = governed(exceptions={"max_duration": {"Diagnostic": "2h"}})
    found = consequences.mistake(hne(**spec), seen(policy=rules), NOW)
    assert found.startswith(told)
    assert bool(found) is bool(told)


def test_the_pods_of_a_diagnostic_are_deleted() -> None:
    _, namespace_plan = of(hne(), pod("a"), pod("b"), pod("other", service_account="x"))
    ending = consequences.ended(namespace_plan, "net", END)
    assert ending == consequences.Ending(deleted=("a", "b"), flagged=(), kept=(), plain=())


@pytest.mark.parametrize(
    ("spec", "mode"),
    [({"on_expiry": "Report"}, "Enforce"), ({"type": "Application"}, "Enforce"), ({}, "Audit")],
)
def test_other_pods_are_flagged(spec: dict[str, Any], mode: str) -> None:
    """So are all pods where nothing is enforced."""
    subject = hne(**spec)
    state = seen(
        subject, pod(), policy=governed(mode=mode), **({} if mode == "Audit" else {"namespace": denied(subject)})
    )
    ending = consequences.ended(plan.plan_namespace(state, NOW), "net", END)
    assert ending == consequences.Ending(deleted=(), flagged=("capture",), kept=(), plain=())


def test_a_pod_that_another_exception_covers_is_kept() -> None:
    _, namespace_plan = of(hne(), hne("spare", expiry=at(minutes=30)), pod())
    for name in ("net", "spare"):
        assert consequences.ended(namespace_plan, name, END).kept == ("capture",)


def test_an_exception_that_is_not_in_force_ends_nothing() -> None:
    """Then the pod is not deleted, so nobody is told that it is."""
    subject = hne(type="Application", expiry=at(hours=-0.5))
    _, namespace_plan = of(subject, pod())
    assert consequences.ended(namespace_plan, "net", END) == consequences.Ending((), (), (), ())


def test_covered_pods_are_those_of_one_exception() -> None:
    plain = pod("plain", host_namespaces=frozenset(), privileged=True, service_account="p")
    state = seen(
        hne(), hne("plain", type="Infrastructure", host_namespaces=(), privileged=True, service_account_name="p"),
        pod(), plain_pods=(plain,), namespace=denied(),
    )  # fmt: skip
    namespace_plan = plan.plan_namespace(state, NOW)
    assert consequences.covered(namespace_plan, "net") == ("capture",)
    assert consequences.covered(namespace_plan, "plain") == ("plain",)
    assert consequences.ended(namespace_plan, "plain", END).plain == ("plain",)
    assert labels.Enforcement.DENY is namespace_plan.enforcement
