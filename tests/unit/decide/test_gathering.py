"""Numbers are written every five seconds at most; everything that a person acts on is written at once."""

import dataclasses

from hostnetwork_operator.api import report
from hostnetwork_operator.decide import effects, gathering, messages, plan, snapshot
from tests.property import cluster
from tests.unit.builders import NOW, at, denied, hne, pod, seen

OWNER = snapshot.Reference("DaemonSet", "payments", "agent", "uid-of-agent", "apps/v1")


def pods(count: int, **fields: object) -> list[snapshot.Pod]:
    return [pod(f"agent-{number:02}", owner=OWNER, **fields) for number in range(count)]


def settled(count: int) -> snapshot.NamespaceSnapshot:
    """Return a quiet namespace with so many covered pods, whose status was written at NOW."""
    subject = hne()
    state = seen(*pods(count), subject, namespace=denied(subject), every_pod_listed=NOW)
    state, _ = cluster.settled(state, NOW, (), 5)
    written = effects.WriteExceptionStatus(messages.reference(subject), state.exceptions[0].status)
    return dataclasses.replace(state, written={subject.metadata.uid: snapshot.LastWrite(NOW, gathering.gist(written))})


def statuses(state: snapshot.NamespaceSnapshot, seconds: float) -> list[effects.Effect]:
    planned = plan.plan_namespace(state, at(seconds=seconds))
    return [effect for effect in planned.deferrable if isinstance(effect, effects.WriteExceptionStatus)]


def test_a_number_waits_for_the_others_of_five_seconds() -> None:
    """The plan says when to come back for it."""
    state = dataclasses.replace(settled(2), pods=snapshot.PodSet.of(pods(3)))
    assert statuses(state, 4.9) == []
    assert plan.plan_namespace(state, at(seconds=1)).next_check == at(seconds=5)
    assert len(statuses(state, 5)) == 1


def test_the_first_and_the_last_pod_are_written_at_once() -> None:
    """Whether an exception is in use at all is no number."""
    assert len(statuses(dataclasses.replace(settled(2), pods=snapshot.NO_PODS), 1)) == 1
    assert len(statuses(dataclasses.replace(settled(0), pods=snapshot.PodSet.of(pods(1))), 1)) == 1


def test_a_condition_is_written_at_once() -> None:
    """A status with new numbers and another condition is written whole."""
    state = dataclasses.replace(settled(2), pods=snapshot.PodSet.of(pods(3)))
    ended = state.exceptions[0].spec.model_copy(update={"expiry": at(seconds=1)})
    subject = state.exceptions[0].model_copy(update={"spec": ended})
    assert len(statuses(dataclasses.replace(state, exceptions=(subject,)), 1)) == 1


def test_a_new_report_is_written_at_once_and_a_changed_number_is_not() -> None:
    """A report whose result changes is written at once too."""
    state = seen(*pods(2), report_kind=report.OPEN_REPORT, every_pod_listed=NOW)
    (first,) = [e for e in plan.plan_namespace(state, NOW).deferrable if isinstance(e, effects.WriteReport)]
    state, _ = cluster.settled(state, NOW, (), 5)
    last = snapshot.LastWrite(NOW, gathering.gist(first))
    state = dataclasses.replace(state, written={first.report.name: last}, pods=snapshot.PodSet.of(pods(3)))

    def writes(state: snapshot.NamespaceSnapshot) -> int:
        planned = plan.plan_namespace(state, at(seconds=1)).deferrable
        return sum(isinstance(effect, effects.WriteReport) for effect in planned)

    assert writes(state) == 0
    assert writes(dataclasses.replace(state, reports=())) == 1
    static = snapshot.PodSet.of(pods(3, mirror=True))
    assert writes(dataclasses.replace(state, pods=static)) == 3


def test_nothing_is_told_before_all_pods_are_known() -> None:
    """After a start, a status and a report would take back what the process before has told. Labels do not wait."""
    other = snapshot.Reference("DaemonSet", "payments", "other", "uid-of-other", "apps/v1")
    fields = {"pods_complete": False, "report_kind": report.OPEN_REPORT}
    state = dataclasses.replace(
        settled(2), pods=snapshot.PodSet.of([*pods(1), pod("stray", owner=other, images=frozenset({"x"}))])
    )
    told = [type(effect) for effect in plan.plan_namespace(dataclasses.replace(state, **fields), NOW).deferrable]
    assert told == [effects.WriteVerdict]
    fields["pods_complete"] = True
    told = [
        type(effect) for effect in plan.plan_namespace(dataclasses.replace(state, **fields), at(seconds=6)).deferrable
    ]
    assert {effects.WriteVerdict, effects.WriteExceptionStatus, effects.WriteReport} == set(told)


def test_a_clock_that_was_put_back_makes_nothing_wait() -> None:
    """What was written in the future counts as written long ago."""
    state = dataclasses.replace(settled(2), pods=snapshot.PodSet.of(pods(3)))
    assert len(statuses(state, -1)) == 1
