"""The rule Unused: how long an exception may cover no pod."""

from hostnetwork_operator.api import exception
from hostnetwork_operator.decide import rules
from tests.unit.builders import at, governed, hne, pod
from tests.unit.decide.rules import judged

EXAMPLE = judged.example(hne(**judged.AGENT, metadata={"creation_timestamp": at(hours=-720)}))


def test_it_is_unused_so_long_after_its_last_pod() -> None:
    """The time counts from the creation if the exception never covered a pod.

    An exception that covers a pod is never unused.
    """
    subject = hne(**judged.AGENT, metadata={"creation_timestamp": at(hours=-720)})
    assert judged.result_of(rules.UNUSED, subject) == "warn"
    assert judged.result_of(rules.UNUSED, subject, now=at(seconds=-1)) == "pass"
    policy_state = governed(exceptions={"unusedAfter": "30m"})
    assert judged.result_of(rules.UNUSED, hne(), policy_state=policy_state) == "warn"
    assert judged.result_of(rules.UNUSED, hne(), pod(), policy_state=policy_state) == "pass"
    used_before = hne(**judged.AGENT, **judged.OLD, status=exception.ExceptionStatus(last_used_time=at(hours=-719)))
    assert judged.result_of(rules.UNUSED, used_before) == "pass"
    assert judged.result_of(rules.UNUSED, used_before, now=at(hours=1)) == "warn"
    used_now = hne(**judged.AGENT, **judged.OLD, status=exception.ExceptionStatus(covered_pods=1))
    assert judged.result_of(rules.UNUSED, used_now) == "pass"
