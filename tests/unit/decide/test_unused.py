"""Why an exception covers nothing: what the condition says, when, and what the operator must ask first."""

from typing import Any

import pytest

from hostnetwork_operator.api import conditions, labels
from hostnetwork_operator.decide import coverage, plan, snapshot, unused, validity
from tests.unit.builders import (
    IMAGE,
    IPC,
    NETWORK,
    NOW,
    PID,
    accounts,
    at,
    count_at,
    governed,
    guards,
    hne,
    planned,
    pod,
    seen,
    statuses,
)

YES, NO, UNKNOWN = (snapshot.Account(NOW, exists=exists) for exists in (True, False, None))
MISSING = {"netdebug": NO}


def in_use(namespace_plan: plan.NamespacePlan, name: str = "net") -> tuple[str, str, str]:
    """Return status, reason and message of the condition that the plan writes."""
    condition = conditions.find(statuses(namespace_plan)[name].conditions, conditions.ConditionType.IN_USE)
    assert condition is not None
    return condition.status, condition.reason, condition.message


def reason(*objects: Any, **fields: Any) -> str:
    return in_use(planned(seen(hne(), *objects, **fields)))[1]


# -- what is said ---------------------------------------------------------------------------------------------------


def test_a_service_account_that_does_not_exist_is_named() -> None:
    """The message names the accounts of the pods, which shows a typo, and says what to do."""
    other = pod(service_account="netdebgu")
    assert in_use(planned(seen(hne(), other, accounts=MISSING))) == (
        "False",
        "ServiceAccountMissing",
        (
            "service account 'netdebug' does not exist in namespace 'payments', and the pods in the namespace that use"
            " host namespaces run as netdebgu; create the account (kubectl create serviceaccount netdebug -n payments),"
            " or write a new exception for the service account of the pods"
        ),
    )


@pytest.mark.parametrize("account", [YES, UNKNOWN])
def test_an_account_without_host_namespace_pods_is_named(account: snapshot.Account) -> None:
    """If nobody can tell whether the account exists, the message does not say that it is missing."""
    assert in_use(planned(seen(hne(), accounts={"netdebug": account}))) == (
        "False",
        "NoHostPods",
        (
            "no pod of service account 'netdebug' uses host namespace Network; if the API server refuses the pods, the"
            " Events of the workload say what the exception lacks (kubectl get events -n payments); if no pod needs the"
            " exception, delete the exception: kubectl delete hne net -n payments"
        ),
    )


def test_images_that_no_pod_has_are_named() -> None:
    """The message has the images of the pods, and the images that the exception lists."""
    assert in_use(planned(seen(hne(), pod(images=frozenset({"other:1"}))))) == (
        "False",
        "ImagesDiffer",
        (
            "the exception covers no pod of service account 'netdebug': the pod uses images that the exception does not"
            f" list: other:1, and the exception lists {IMAGE}; write a new exception that lists what the pods use, or"
            " change the pods"
        ),
    )


def test_what_the_nearest_pod_lacks_is_named() -> None:
    """Of several pods, the one whose failed condition comes last counts.

    The text has no pod name, because pods come and go.
    """
    pods = (pod("a", images=frozenset({"other:1"})), pod("b", capabilities=frozenset({"SYS_ADMIN"})))
    (_, word, text) = in_use(planned(seen(hne(), *pods)))
    assert word == "PodsDiffer"
    assert "'netdebug': the pod uses capabilities that the exception does not list: SYS_ADMIN; write a new" in text


def test_pods_that_another_exception_covers_are_named() -> None:
    """The exception that lasts longest covers them."""
    longer = hne("longer", expiry=at(hours=2))
    namespace_plan = planned(seen(hne(), longer, pod()))
    assert in_use(namespace_plan)[1] == "CoveredByAnother"
    assert (
        "exception 'longer' covers the pods, and lasts as long or longer; delete this exception if"
        in in_use(namespace_plan)[2]
    )
    assert in_use(namespace_plan, "longer")[1] == "PodsCovered"


def test_pods_of_kubelets_are_nobodys() -> None:
    """A static pod has no service account that an exception could be for."""
    assert reason(pod(mirror=True)) == "NoHostPods"


def test_unused_for_long_stays_the_reason_and_says_why() -> None:
    """The reason Unused warns. The message also says what a person can correct."""
    old = {"metadata": {"creation_timestamp": at(days=-90)}}
    subject = hne(type="Infrastructure", expiry=None, ticket=None, **old)
    (_, word, text) = in_use(planned(seen(subject, accounts=MISSING)))
    assert word == "Unused"
    assert "the exception has covered no pod since" in text
    assert text.endswith("or write a new exception for the service account of the pods")


@pytest.mark.parametrize(
    ("spec", "fields"),
    [({"expiry": NOW}, {}), ({}, {"guards": guards(missing=[labels.POLICY_HOST_NAMESPACES])})],
    ids=["ended", "without a guard"],
)
def test_an_exception_that_is_not_in_force_says_it_in_ready(spec: dict[str, Any], fields: dict[str, Any]) -> None:
    """InUse then has no reason of its own, and the operator asks for nothing."""
    namespace_plan = planned(seen(hne(**spec), accounts={}, **fields))
    assert in_use(namespace_plan) == ("False", "NoPods", "the exception covers no pod")
    assert accounts(namespace_plan) == ()


# -- when -----------------------------------------------------------------------------------------------------------


def test_a_reason_is_due_half_a_minute_after_the_creation() -> None:
    """An exception, its account and its pods may come with one apply. Meanwhile the operator asks for nothing."""
    subject = hne(metadata={"creation_timestamp": at(seconds=-29)})
    first_plan = planned(seen(subject, accounts={}))
    assert in_use(first_plan)[1] == "NoPods"
    assert (accounts(first_plan), first_plan.next_check) == ((), at(seconds=1))
    later_plan = plan.plan_namespace(seen(subject, accounts=MISSING), at(seconds=1))
    assert in_use(later_plan)[1] == "ServiceAccountMissing"


def test_an_account_is_asked_for_before_anything_is_said_of_it() -> None:
    """The operator therefore writes no status twice, even after a restart.

    If a pod shows that the account exists, the operator does not ask.
    """
    namespace_plan = planned(seen(hne(), accounts={}))
    assert (accounts(namespace_plan), statuses(namespace_plan)) == (("netdebug",), {})
    namespace_plan = planned(seen(hne(), pod(images=frozenset({"other:1"})), accounts={}))
    assert (accounts(namespace_plan), in_use(namespace_plan)[1]) == ((), "ImagesDiffer")
    assert accounts(planned(seen(hne(), pod(), accounts={}))) == ()


@pytest.mark.parametrize("account", [NO, UNKNOWN])
@pytest.mark.parametrize(("age", "seconds"), [(9, 60), (10, 600), (60, 600)])
def test_a_missing_account_is_asked_for_again_each_minute(account: snapshot.Account, age: int, seconds: int) -> None:
    """The operator also asks again for an account that it could not look up. Meanwhile the condition stays as it is.

    Ten minutes after the creation of the exception, the operator asks every ten minutes.
    """
    subject = hne(metadata={"creation_timestamp": at(minutes=-age)})
    namespace_plan = planned(seen(subject, accounts={"netdebug": account}))
    assert (accounts(namespace_plan), namespace_plan.next_check) == ((), at(seconds=seconds))
    later_plan = plan.plan_namespace(seen(subject, accounts={"netdebug": account}), at(seconds=seconds))
    assert accounts(later_plan) == ("netdebug",)
    assert in_use(later_plan) == in_use(namespace_plan)


def test_an_account_that_exists_is_asked_for_when_something_else_happens() -> None:
    """The operator plans no check for the account, so a steady cluster costs nothing."""
    namespace_plan = planned(seen(hne(), accounts={"netdebug": YES}))
    assert namespace_plan.next_check is not None
    assert namespace_plan.next_check > at(minutes=10)


def test_so_many_accounts_are_asked_for_and_no_more() -> None:
    """The operator does not know whether the other accounts exist. The conditions say what is known."""
    subjects = [hne(f"e{n:02}", service_account_name=f"a{n:02}") for n in range(20)]
    namespace_plan = planned(seen(*subjects, accounts={}))
    assert len(accounts(namespace_plan)) == unused.MOST
    assert in_use(namespace_plan, "e19")[1] == "NoHostPods"


# -- pods that no watch reports -------------------------------------------------------------------------------------


def plan_with_list(seconds: float, created: float = -1, **spec: Any) -> plan.NamespacePlan:
    """Return the plan for an exception that was created at `created`, with all pods listed at `seconds`.

    Both are in seconds relative to NOW.
    """
    subject = hne(metadata={"creation_timestamp": at(seconds=created)}, **spec)
    return planned(seen(subject, every_pod_listed=at(seconds=seconds)))


@pytest.mark.parametrize("host_namespaces", [(PID,), (IPC,), (NETWORK, PID)])
def test_the_pods_of_an_exception_for_host_pid_are_listed_each_minute_at_first(
    host_namespaces: tuple[labels.HostNamespace, ...],
) -> None:
    """The first list is half a minute after the creation of the exception, when a reason is due.

    Then there is one every minute, until the exception is ten minutes old.
    """
    spec: dict[str, Any] = {"host_namespaces": host_namespaces}
    assert count_at(plan_with_list(-1, **spec)) == at(seconds=29)
    assert count_at(plan_with_list(-300, created=-200, **spec)) == at(seconds=-170)
    assert count_at(plan_with_list(-1, created=-100, **spec)) == at(seconds=59)
    assert count_at(plan_with_list(-1, created=-590, **spec)) == at(seconds=10)
    assert count_at(plan_with_list(-1, created=-601, **spec)) is None
    assert count_at(plan_with_list(-1, host_namespaces=(NETWORK,))) is None


def test_a_namespace_whose_exception_covers_pods_is_not_listed() -> None:
    """The expected pods exist."""
    subject = hne(metadata={"creation_timestamp": at(minutes=-2)}, host_namespaces=(PID,))
    covered_pod = pod(host_namespaces=frozenset({PID}))
    assert count_at(planned(seen(subject, covered_pod, every_pod_listed=at(seconds=-90)))) is None


def test_nothing_is_said_of_pods_that_nobody_has_listed() -> None:
    """A list must be half a minute younger than the exception. The message says that it rests on a list."""
    spec: dict[str, Any] = {"host_namespaces": (PID,), "created": -40}
    assert in_use(plan_with_list(-11, **spec))[1] == "NoPods"
    (_, word, text) = in_use(plan_with_list(-10, **spec))
    assert word == "NoHostPods"
    assert "uses host namespace PID in the last list of all pods; if the API server" in text


def test_exempt_namespaces_say_it_too() -> None:
    """Exceptions in exempt namespaces are maintained like all others."""
    policy_state = governed(exempt_namespaces=("payments",))
    assert reason(policy=policy_state, accounts=MISSING) == "ServiceAccountMissing"


def test_pods_without_host_namespaces_are_not_named_as_pods_that_share_them() -> None:
    """They count for exceptions without host namespaces, and their accounts are no hint at a mistyped account."""
    subject = hne(service_account_name="typo", host_namespaces=("Network",))
    plain_verdict = coverage.PodVerdict(pod("sensor", host_namespaces=frozenset()), labels.Verdict.UNCOVERED, "")
    standing = validity.Standing(subject, conditions.Ready.ACTIVE, "")
    sentence = unused.why(standing, [plain_verdict], snapshot.Account(NOW, exists=False)).sentence
    assert "share host namespaces run as" not in sentence
