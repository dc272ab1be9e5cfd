"""Which workloads count as refused, and which Events are due about them."""

import datetime
from typing import Any

import pytest

from hostnetwork_operator.api import labels, report
from hostnetwork_operator.decide import effects, messages, plan, refusals, snapshot
from tests.unit import builders
from tests.unit.builders import IMAGE, NOW, at, denied, hne, planned, pod, seen, shortage


def due_events(namespace_plan: plan.NamespacePlan) -> list[effects.EmitEvent]:
    """Return the Events that are due about workloads."""
    ours = {messages.Reason.REFUSED, messages.Reason.WAITING}
    return [e for e in namespace_plan.effects if isinstance(e, effects.EmitEvent) and e.reason in ours]


def plan_of(*objects: Any, **fields: Any) -> plan.NamespacePlan:
    """Return the plan of an enforced namespace in which these exceptions are in force."""
    return planned(seen(*objects, namespace=denied(*objects), **fields))


def test_an_uncovered_workload_is_refused() -> None:
    """The workload is counted. One Event on it says what the workload uses, and what to request."""
    agent = pod(
        capabilities=frozenset({"SYS_TIME"}), privileged=True, host_paths=frozenset({builders.host_path("/proc")})
    )
    namespace_plan = plan_of(shortages=(shortage(pod=agent),))
    assert refusals.count(namespace_plan.refused) == 1
    (event,) = due_events(namespace_plan)
    assert (event.reason, event.type, event.regarding.name) == ("HostNamespacesRefused", "Warning", "agent")
    assert "the namespace has no HostNetworkException" in event.message
    draft = (
        "serviceAccountName: netdebug, hostNamespaces: [Network], privileged: true, capabilities: [SYS_TIME],"
        f' hostPaths: [{{path: /proc, readOnly: true}}], images: ["{IMAGE}"]'
    )
    assert event.message.endswith(draft)


def test_the_event_names_the_agent_that_the_workload_looks_like() -> None:
    """By its top owner and its next pod. A guess from the kind of the workload is not in the message."""
    top = snapshot.Reference("Deployment", builders.NAMESPACE, "cilium-operator", "uid-of-top", "apps/v1")
    image = frozenset({"quay.io/cilium/operator-generic:v1"})
    lacking = shortage("cilium-operator-5d8f", "ReplicaSet", top=top, pod=pod(images=image))
    looks = (
        "a pod uses host namespace Network, looks like Cilium operator (Infrastructure, likely), and the namespace has"
    )
    (event,) = due_events(plan_of(shortages=(lacking,)))
    assert looks in event.message
    (event,) = due_events(plan_of(shortages=(shortage("cilium", pod=pod()),)))
    assert "looks like" not in event.message


def test_the_nearest_exception_and_what_it_lacks_are_named() -> None:
    """The explanation is the same as that of coverage for a pod."""
    (event,) = due_events(plan_of(hne(host_namespaces=("PID",)), shortages=(shortage(),)))
    assert "Closest: 'net' (the pod uses host namespaces that the exception does not list: Network)" in event.message


@pytest.mark.parametrize("enforcement", ["Audit", "Held", None])
def test_where_enforcement_is_off_nothing_is_refused(enforcement: str | None) -> None:
    """In Audit and Held, and in an exempt namespace, a workload that lacks pods lacks them for another reason."""
    namespace_labels = {labels.ENFORCEMENT: enforcement} if enforcement else {}
    refused = refusals.find(
        seen(namespace=builders.namespace(labels=namespace_labels), shortages=(shortage(),)), (), NOW, exempt=False
    )
    assert refused == ()
    assert refusals.find(seen(shortages=(shortage(),)), (), NOW, exempt=True) == ()


def test_a_namespace_that_ends_has_no_refused_workload() -> None:
    """No pod is admitted into the namespace, whatever exceptions say."""
    assert planned(seen(namespace=denied(terminating=True), shortages=(shortage(),))).refused == ()


def test_a_covered_workload_is_not_refused() -> None:
    """Its next pod is admitted, even if the workload is older than the exception."""
    namespace_plan = plan_of(hne(), shortages=(shortage(pod=pod(created=at(hours=-500))),))
    assert refusals.count(namespace_plan.refused) == 0
    assert due_events(namespace_plan) == []


def test_an_exception_that_has_ended_covers_no_next_pod() -> None:
    """A workload that is older than the end of its exception is refused: its next pod would be created now."""
    ended = hne(expiry=at(minutes=-1))
    old_workload = shortage(pod=pod(created=at(minutes=-50)))
    (refusal,) = planned(seen(ended, shortages=(old_workload,))).refused
    assert refusal.refused
    assert "before the pod was created" in refusal.verdict.why


def test_a_workload_counts_once_with_all_its_parts() -> None:
    """Two ReplicaSets of a Deployment are one refused workload with one Event."""
    top = snapshot.Reference("Deployment", builders.NAMESPACE, "web", "uid-of-web", "apps/v1")
    parts = [shortage(name, "ReplicaSet", top=top) for name in ("web-1", "web-2")]
    namespace_plan = plan_of(shortages=tuple(parts))
    assert refusals.count(namespace_plan.refused) == 1
    assert [event.regarding for event in due_events(namespace_plan)] == [top]


def test_an_event_is_emitted_once_per_cause() -> None:
    """An Event that was emitted is not due again for a quarter of an hour. An Event with another cause is due."""
    (event,) = due_events(plan_of(shortages=(shortage(),)))
    emitted_before = {event.key: NOW}
    assert due_events(plan_of(shortages=(shortage(emitted=emitted_before),))) == []
    assert len(due_events(plan_of(shortages=(shortage(emitted={event.key: at(minutes=-15)}),)))) == 1
    assert len(due_events(plan_of(hne(host_namespaces=("PID",)), shortages=(shortage(emitted=emitted_before),)))) == 1


def test_no_event_rests_on_what_was_read_long_ago() -> None:
    """The workload may have its pods by now, so the operator reads it again first."""
    assert due_events(plan_of(shortages=(shortage(read=at(seconds=-11)),))) == []
    assert len(due_events(plan_of(shortages=(shortage(read=at(seconds=-10)),)))) == 1


@pytest.mark.parametrize(("since", "due"), [(None, False), (at(seconds=-59), False), (at(seconds=-60), True)])
def test_a_controller_that_waits_is_reported_after_a_minute(since: datetime.datetime | None, due: bool) -> None:
    """The minute counts from when an exception is known to cover its pods until the workload was last read."""
    namespace_plan = plan_of(hne(), shortages=(shortage(covered=since),))
    assert [event.reason for event in due_events(namespace_plan)] == (["ControllerWaiting"] if due else [])


def test_how_long_a_controller_may_wait_is_given() -> None:
    """The snapshot says how long the minute is."""
    namespace_plan = plan_of(
        hne(), shortages=(shortage(covered=at(seconds=-3)),), patience=datetime.timedelta(seconds=3)
    )
    assert [event.reason for event in due_events(namespace_plan)] == ["ControllerWaiting"]


@pytest.mark.parametrize(
    ("kind", "top", "command"),
    [
        ("DaemonSet", None, "kubectl rollout restart daemonset/agent -n payments"),
        ("StatefulSet", None, "kubectl rollout restart statefulset/agent -n payments"),
        ("ReplicaSet", "Deployment", "kubectl rollout restart deployment/top -n payments"),
        ("ReplicaSet", None, "kubectl annotate replicaset/agent -n payments --overwrite retried-at=$(date +%s)"),
        ("Job", "CronJob", "kubectl annotate job/agent -n payments --overwrite retried-at=$(date +%s)"),
    ],
)
def test_the_command_fits_the_workload(kind: str, top: str | None, command: str) -> None:
    """The command is a rollout restart if kubectl has one for the kind, otherwise a change of the waiting workload."""
    lacking = shortage(kind=kind, covered=at(minutes=-2))
    if top:
        owner = snapshot.Reference(top, builders.NAMESPACE, "top", "uid-of-top", "apps/v1")
        lacking = shortage(kind=kind, covered=at(minutes=-2), top=owner)
    (event,) = due_events(plan_of(hne(), shortages=(lacking,)))
    assert command in event.message
    assert "exception 'net'" in event.message


def test_a_long_template_leaves_room_for_all_parts() -> None:
    """Of many long images and paths the message has the first ones. Every part of the message is there."""
    images = frozenset(f"registry.example.com/{'i' * 200}:{number}" for number in range(50))
    paths = frozenset(builders.host_path(f"/{'p' * 200}/{number}") for number in range(50))
    (event,) = due_events(plan_of(shortages=(shortage(pod=pod(images=images, host_paths=paths)),)))
    for text in (
        "host namespace Network",
        "serviceAccountName: netdebug",
        "hostPaths: [{path: /",
        'images: ["registry',
    ):
        assert text in event.message[:1024]


def test_a_report_has_the_refusal_and_loses_it() -> None:
    """A workload without a pod has a report too, which ends with the refusal."""
    namespace_plan = plan_of(shortages=(shortage(),), report_kind=report.OPEN_REPORT)
    (write,) = [e for e in namespace_plan.effects if isinstance(e, effects.WriteReport)]
    assert [(entry.rule, entry.result.value) for entry in write.report.entries] == [("RefusedWorkload", "fail")]
    assert write.report.owner.uid == "uid-of-agent"
    covered_plan = plan_of(hne(), shortages=(shortage(),), report_kind=report.OPEN_REPORT)
    assert [e for e in covered_plan.effects if isinstance(e, effects.WriteReport)] == []


def test_a_report_of_pods_has_the_refusal_beside_the_verdict() -> None:
    """If an owner already has pods and its next pods are refused, one report has both."""
    lacking = shortage()
    running = pod(owner=lacking.workload)
    namespace_plan = planned(seen(running, report_kind=report.OPEN_REPORT, shortages=(lacking,)))
    (write,) = [e for e in namespace_plan.effects if isinstance(e, effects.WriteReport)]
    assert [entry.rule for entry in write.report.entries] == ["HostNamespaces", "RefusedWorkload"]


def test_a_workload_that_cannot_be_judged_stops_nothing() -> None:
    """If the operator cannot judge one workload, it reports the others, and the namespace has its plan."""
    odd_capabilities: Any = {1, "x"}
    namespace_plan = plan_of(shortages=(shortage("odd", pod=pod(capabilities=odd_capabilities)), shortage("usual")))
    assert [refusal.shortage.workload.name for refusal in namespace_plan.refused] == ["usual"]


RELAXED = {labels.PSA_ENFORCE: "privileged", labels.GUARD: "baseline"}
HOST = labels.POLICY_HOST_NAMESPACES


def refusals_in(guards: Any, level: str) -> Any:
    """Return the refusals for one workload that lacks pods, in a namespace that enforces this level."""
    namespace = denied(labels={**RELAXED, labels.PSA_ENFORCE: level})
    return refusals.find(seen(namespace=namespace, shortages=(shortage(),), guards=guards), (), NOW, exempt=False)


@pytest.mark.parametrize("level", ["baseline", "restricted", "no level at all"])
def test_pod_security_refuses_without_the_admission_policy(level: str) -> None:
    """Every level except privileged refuses pods with host namespaces. A text that is no level counts as restricted."""
    for guards in (builders.guards(missing=[HOST]), builders.guards(since=NOW), {}):
        assert refusals.count(refusals_in(guards, level)) == 1


def test_without_the_admission_policy_privileged_refuses_nothing() -> None:
    """The workload lacks pods for another reason, so it is neither counted nor reported."""
    assert refusals_in(builders.guards(missing=[HOST]), "privileged") == ()
    assert refusals_in({}, "privileged") == ()
    namespace_plan = plan_of(
        hne(host_namespaces=("PID",)), shortages=(shortage(),), guards=builders.guards(missing=[HOST])
    )
    assert namespace_plan.refused == ()
    assert due_events(namespace_plan) == []
    assert refusals.count(refusals_in(builders.guards(missing=[labels.POLICY_EXCEPTION_WRITERS]), "privileged")) == 1


@pytest.mark.parametrize(
    "guards",
    [builders.guards(since=at(seconds=-4)), builders.guards(missing=[HOST], excused=at(seconds=1))],
    ids=["just applied", "half of an upgrade"],
)
def test_a_policy_that_may_be_in_force_leaves_it_open(guards: dict[str, snapshot.Guard]) -> None:
    """The operator counts, emits and corrects nothing, because an upgrade takes a minute at most."""
    assert refusals_in(guards, "privileged") is None
    assert due_events(plan_of(hne(host_namespaces=("PID",)), shortages=(shortage(),), guards=guards)) == []


def test_what_is_not_known_is_not_none() -> None:
    """Before the first list of Events there is no count and no Event. In Audit nothing is refused even then."""
    namespace_plan = plan_of(shortages=None)
    assert (namespace_plan.refused, refusals.count(namespace_plan.refused), due_events(namespace_plan)) == (
        None,
        None,
        [],
    )
    audited_namespace = builders.namespace(labels={labels.ENFORCEMENT: "Audit"})
    assert refusals.find(seen(namespace=audited_namespace, shortages=None), (), NOW, exempt=False) == ()


def stored_reports(*objects: Any) -> tuple[snapshot.StoredReport, ...]:
    """Return the reports that exist once a workload is refused."""
    namespace_plan = planned(seen(*objects, report_kind=report.OPEN_REPORT, shortages=(shortage(),)))
    writes = [e for e in namespace_plan.effects if isinstance(e, effects.WriteReport)]
    digests = [(write.report, report.digest(write.report.body(report.OPEN_REPORT))) for write in writes]
    return tuple(
        snapshot.StoredReport(report.OPEN_REPORT, wanted.name, "uid", wanted.owner.kind, digest)
        for wanted, digest in digests
    )


@pytest.mark.parametrize("objects", [(), (pod(owner=shortage().workload),)], ids=["no pod", "a pod of before"])
def test_a_restart_changes_no_report(objects: tuple[Any, ...]) -> None:
    """While nothing is known about refused workloads, an existing report is neither deleted nor written."""
    kinds = effects.DeleteReport | effects.WriteReport
    reports = stored_reports(*objects)
    assert len(reports) == 1
    unknown_plan, known_plan = (
        planned(seen(*objects, report_kind=report.OPEN_REPORT, reports=reports, shortages=shortages))
        for shortages in (None, ())
    )
    assert [e for e in unknown_plan.effects if isinstance(e, kinds)] == []
    assert len([e for e in known_plan.effects if isinstance(e, kinds)]) == 1


def test_a_new_report_waits_for_nothing() -> None:
    """A pod that the operator finds at its start is reported. An exempt namespace loses its reports."""
    namespace_plan = planned(seen(pod(), report_kind=report.OPEN_REPORT, shortages=None))
    assert len([e for e in namespace_plan.effects if isinstance(e, effects.WriteReport)]) == 1
    policy_state = builders.governed(exempt_namespaces=(builders.NAMESPACE,))
    exempt_plan = planned(
        seen(report_kind=report.OPEN_REPORT, reports=stored_reports(), shortages=None, policy=policy_state),
    )
    assert len([e for e in exempt_plan.effects if isinstance(e, effects.DeleteReport)]) == 1
