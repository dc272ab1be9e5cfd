"""Possible cluster states from small pools, so that values collide: the same image, the same second, the same name."""

import datetime
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from hostnetwork_operator.api import conditions, exception, grant, labels, ledger, report
from hostnetwork_operator.decide import snapshot, terms
from tests.unit import builders
from tests.unit.builders import NOW, at

_IMAGES = (builders.IMAGE, "registry.example.com/app:2", builders.PINNED)
_NAMES = ("a", "b", "c")
# Close to the creation of the pods and to the present second. Also hours later, beyond the maximum durations.
_ENDS = (
    at(hours=1), at(seconds=1), at(minutes=10), at(hours=30), NOW, NOW, NOW, at(seconds=-1), at(minutes=-30),
    at(minutes=-59), at(minutes=-59, seconds=1), at(minutes=-61),
)  # fmt: skip
UID_BEFORE = "5f0c8f1e-0000-4000-8000-000000000000"

Fields = dict[str, Any]


def changed(pool: dict[str, tuple[object, ...]], most: int) -> st.SearchStrategy[Fields]:
    """Return a few fields that differ from the builders' values, so most samples are nearly in order."""
    steps = [(name, value) for name, values in pool.items() for value in values]
    return st.lists(st.sampled_from(steps), max_size=most).map(dict)


def paths(*host_paths: grant.HostPathAccess) -> frozenset[grant.HostPathAccess]:
    return frozenset(host_paths)


_JOB = snapshot.Reference("Job", builders.NAMESPACE, "trace", "uid-trace", "batch/v1")
_CRON_JOB = snapshot.Reference("CronJob", builders.NAMESPACE, "nightly", "uid-nightly", "batch/v1")
PODS: dict[str, tuple[object, ...]] = {
    "created": (at(minutes=-30), at(seconds=-1), NOW),
    "service_account": ("default",),
    "host_namespaces": (frozenset({builders.PID}), frozenset({builders.NETWORK, builders.IPC})),
    "images": (frozenset(_IMAGES[:2]), frozenset({"evil:1"})),
    "capabilities": (frozenset({"CHOWN"}), frozenset({"NET_ADMIN"}), frozenset({"NET_BIND_SERVICE", "NET_RAW"})),
    "privileged": (True,),
    "host_paths": (
        paths(builders.host_path("/proc/net")), paths(builders.host_path("/var/lib/x", write=True)),
        paths(builders.host_path("/var/library")),
    ),
    "mirror": (True,),
    "deleting": (True,),
    "owner": (
        snapshot.Reference("DaemonSet", builders.NAMESPACE, "agent", "uid-agent", "apps/v1"),
        _JOB,
    ),
    "verdict_label": ("Uncovered", "Expired", "Static"),
}  # fmt: skip

_EXCEPTIONS: dict[str, tuple[object, ...]] = {
    "service_account_name": ("default",),
    "host_namespaces": (("Network", "PID", "IPC"), ("PID",)),
    "images": (_IMAGES, _IMAGES[1:], (builders.PINNED,)),
    "capabilities": (("NET_ADMIN", "NET_RAW"), ("CHOWN",)),
    "privileged": (True,),
    "host_paths": (({"path": "/", "read_only": False},), ({"path": "/proc"}, {"path": "/var/lib", "read_only": False})),
    "pod_security_level": ("restricted", "privileged"),
    "expiry": _ENDS,
    "on_expiry": ("Delete", "Report"),
    "grace_period_seconds": (0, 300),
}
_REVIEWS: tuple[Fields, ...] = (
    {"time": at(minutes=-30)}, {"time": at(minutes=5)}, {"kubernetes_version": "1.35"},
    {"time": at(minutes=-90), "kubernetes_version": "1.36"},
)  # fmt: skip
_METADATA: dict[str, tuple[object, ...]] = {
    "generation": (2,),
    "creation_timestamp": (at(hours=-2), at(days=-2)),
    "deletion_timestamp": (NOW,),
}


@st.composite
def exceptions(draw: st.DrawFn, name: str) -> exception.HostNetworkException:
    kind = draw(st.sampled_from(["Diagnostic", "Application", "Infrastructure"]))
    spec = draw(changed(_EXCEPTIONS, 3))
    if kind != "Diagnostic":
        spec.pop("on_expiry", None)
    if kind == "Infrastructure":
        spec |= {"review": draw(st.sampled_from([None, *_REVIEWS])), "contact": "net@example.com"}
    metadata = draw(changed(_METADATA, 1))
    status = draw(statuses(int(metadata.get("generation", 1))))
    return builders.hne(name, metadata=metadata, status=status, type=kind, **spec)


@st.composite
def statuses(draw: st.DrawFn, generation: int) -> exception.ExceptionStatus:
    """A status that was never written, or that has any reason. The status decides only about Events and times."""
    reason = draw(st.sampled_from([None, *[conditions.Ready.ACTIVE] * 3, *conditions.Ready]))
    if reason is None:
        return exception.ExceptionStatus()
    ready = conditions.Condition(
        type="Ready",
        status="True" if reason is conditions.Ready.ACTIVE else "False",
        observed_generation=1,
        last_transition_time=at(minutes=-50),
        reason=reason.value,
        message="as it was",
    )
    return exception.ExceptionStatus(
        observed_generation=generation,
        namespace_uid=builders.UID,
        conditions=(ready,),
        covered_pods=draw(st.sampled_from([0, 1])),
    )


@st.composite
def records(draw: st.DrawFn, subject: exception.HostNetworkException) -> ledger.ExceptionRecord | None:
    """The ledger's record of an exception. Most records say that the present generation is approved."""
    kind = draw(st.sampled_from([*["approved"] * 6, "none", "refused", "kept", "elsewhere", "earlier", "other policy"]))
    generation = subject.metadata.generation
    return {
        "none": None,
        "refused": builders.approved(subject, approved=False, grant="", deletes=False, grace_period_seconds=0),
        "kept": builders.approved(subject, approved=False, kept=True),
        "elsewhere": builders.approved(subject, namespace_uid=UID_BEFORE),
        "earlier": builders.approved(subject, generation=generation - 1),
        "other policy": builders.approved(subject, generation=max(1, generation - 1), under="another"),
    }.get(kind, builders.approved(subject))


_TROUBLE = "configmaps is forbidden"
_STATES = (
    *[(ledger.State.INTACT, "")] * 12,
    (ledger.State.INTACT, _TROUBLE),
    (ledger.State.SEEDING, ""),
    (ledger.State.LOST, ""),
    (ledger.State.LOST, _TROUBLE),
    (ledger.State.UNREADABLE, _TROUBLE),
)


@st.composite
def ledgers(
    draw: st.DrawFn, namespace: snapshot.Namespace, subjects: tuple[exception.HostNetworkException, ...]
) -> snapshot.LedgerView:
    """A ledger that more or less fits the namespace, intact or not, writable or not."""
    state, trouble = draw(st.sampled_from(_STATES))
    keys_of_others = draw(st.sampled_from(_KEYS_OF_OTHERS))
    level_before = draw(st.sampled_from(["", "", "privileged", "restricted", None]))
    namespace_records = [builders.written(namespace, *keys_of_others)] * 4 + [
        None,
        ledger.NamespaceRecord(enforced=True, before=level_before),
    ]
    exception_records = {subject.metadata.uid: draw(records(subject)) for subject in subjects}
    return snapshot.LedgerView(
        state=state,
        trouble=trouble,
        namespace=draw(st.sampled_from(namespace_records)),
        exceptions={uid: record for uid, record in exception_records.items() if record is not None},
    )


@st.composite
def parts(draw: st.DrawFn) -> tuple[snapshot.Pod, tuple[exception.HostNetworkException, ...]]:
    """A pod that needs several things, and exceptions that each name some of them."""

    def some(*pool: Any) -> tuple[Any, ...]:
        return tuple(item for item in pool if draw(st.booleans()))

    pod = builders.pod(
        images=frozenset(some(*_IMAGES) or _IMAGES[:1]),
        capabilities=frozenset(some("NET_ADMIN", "NET_RAW")),
        host_namespaces=frozenset(some("Network", "PID") or ("Network",)),
    )
    subjects = tuple(
        builders.hne(
            name,
            images=some(*_IMAGES) or _IMAGES[:1],
            capabilities=some("NET_ADMIN", "NET_RAW"),
            host_namespaces=some("Network", "PID") or ("Network",),
        )
        for name in _NAMES
    )
    return pod, subjects


_POLICIES: dict[str, tuple[object, ...]] = {
    "pod_security": ({"enforce": "restricted"}, {"enforce": "privileged"}),
    "rules": (({"selector": {"matchLabels": {"team": "net"}}, "enforce": "privileged"},),),
    "exceptions": (
        {"imageDigests": "Require"}, {"maxDuration": {"Diagnostic": "1h"}},
        {"warnBefore": {"Diagnostic": "2h", "Application": "10m"}}, {"reviewEvery": "59m"}, {"reviewEvery": "65m"},
        {"unusedAfter": "1h"}, {"unusedAfter": "1h15m", "reviewOnUpgrade": False},
    ),
}  # fmt: skip
_MODES: tuple[Fields, ...] = (
    {},
    {"rollout": "Gated"},
    {"mode": "Audit"},
    {"mode": "Release"},
    {"exempt_namespaces": (builders.NAMESPACE,)},
)
_governed = st.builds(
    lambda mode, more: builders.governed(**{**more, **mode}), st.sampled_from(_MODES), changed(_POLICIES, 1)
)
_policies = st.one_of(*[_governed] * 4, st.sampled_from([builders.ABSENT, builders.UNKNOWN]))
_young_guards = {
    name: guard
    for name, guard in builders.guards(since=at(seconds=-1)).items()
    if name == labels.POLICY_HOST_NAMESPACES
}
_guards = st.sampled_from(
    [builders.guards()] * 5
    + [builders.guards(missing=[name]) for name in labels.POLICIES]
    + [builders.guards(missing=labels.POLICIES, excused=until) for until in (at(seconds=40), NOW)]
    # One policy is missing, another is not in force yet.
    + [{**builders.guards(missing=[name]), **_young_guards} for name in (labels.POLICY_RELAXED_NAMESPACE,)]
    + [builders.guards(since=at(minutes=-30)), *(builders.guards(since=at(seconds=-age)) for age in (5, 4, 4, 1, 1))]
)

_PRESENT_LABELS = (
    {}, builders.DENIED, builders.RELAXED, builders.DENIED, builders.RELAXED,
    {labels.ENFORCEMENT: "Held", **builders.AUDIT_AND_WARN}, {labels.ENFORCEMENT: "Audit", **builders.AUDIT_AND_WARN},
)  # fmt: skip
_LABELS: dict[str, tuple[object, ...]] = {
    labels.ENFORCEMENT: ("Deny", "nonsense", None),
    labels.GUARD: ("baseline", "restricted", None),
    labels.PSA_ENFORCE: ("privileged", "baseline", "restricted", "nonsense", None),
    labels.PSA_WARN: ("baseline", None),
    "team": ("net",),
}
_KEYS_OF_OTHERS = (
    frozenset(),
    frozenset(),
    frozenset({labels.PSA_ENFORCE}),
    frozenset({labels.PSA_WARN, labels.PSA_ENFORCE}),
)
_ANNOTATIONS: dict[str, tuple[object, ...]] = {
    labels.LEVEL_BEFORE: ("", "privileged", "baseline", None),
    labels.HELD_BY: ("since 2026-11-22T11:00:00Z: pod x", "nonsense"),
    labels.GRANT_PREFIX + "a": ("nonsense", "|" * 9),
    labels.GRANT_PREFIX + "gone": ("nonsense",),
}


@st.composite
def namespaces(draw: st.DrawFn, subjects: tuple[exception.HostNetworkException, ...]) -> snapshot.Namespace:
    """A namespace that is untouched, enforced, relaxed or held, or changed by a user with too many rights."""
    namespace_labels = draw(st.sampled_from(_PRESENT_LABELS))
    lines = {
        labels.GRANT_PREFIX + subject.metadata.name: terms.line_of(subject, builders.namespace())
        for subject in subjects
        if draw(st.booleans())
    }
    annotations = builders.ADOPTED if namespace_labels.get(labels.ENFORCEMENT) == "Deny" else {}
    namespace_labels = _merged(namespace_labels, draw(changed(_LABELS, 2)))
    return builders.namespace(
        labels=namespace_labels,
        annotations=_merged({**annotations, **lines}, draw(changed(_ANNOTATIONS, 1))),
        terminating=draw(st.sampled_from([False] * 9 + [True])),
    )


def _merged(present: Mapping[str, str], changes: Fields) -> dict[str, str]:
    return {key: value for key, value in {**present, **changes}.items() if value is not None}


_REPORTS = tuple(
    snapshot.StoredReport(kind, f"hostnetwork-{uid}", f"{kind.kind}-{uid}", owner, "as somebody left it")
    for kind in (report.OPEN_REPORT, report.POLICY_REPORT)
    for uid, owner in (("uid-agent", "DaemonSet"), ("uid-nightly", "CronJob"), ("uid-of-pod-a", "Pod"), ("x", "Job"))
)
_CONTESTED = snapshot.Record(
    reverts=(builders.at(minutes=-2), builders.at(minutes=-1)), written=builders.at(minutes=-1.5)
)


@st.composite
def snapshots(draw: st.DrawFn) -> snapshot.NamespaceSnapshot:
    """A namespace of a cluster in which anything may have happened, before the gate is asked."""
    subjects = tuple(draw(exceptions(name)) for name in _NAMES[: draw(st.integers(0, 3))])
    unreadable_pod = snapshot.UnreadablePod(builders.NAMESPACE, "odd", "uid-of-odd", "KeyError: 'image'")
    namespace = draw(namespaces(subjects))
    unreadable_count = draw(st.sampled_from([0] * 8 + [1]))
    unreadable = tuple(
        snapshot.UnreadableException(builders.NAMESPACE, subject.metadata.name, subject.metadata.uid, "odd", generation)
        for subject in subjects[:unreadable_count]
        for generation in [draw(st.sampled_from([subject.metadata.generation, 0, 7]))]
    )
    return snapshot.NamespaceSnapshot(
        namespace=namespace,
        ledger=draw(ledgers(namespace, subjects)),
        unreadable_exceptions=unreadable,
        pods=snapshot.PodSet.of(
            builders.pod(f"pod-{name}", **draw(changed(PODS, 2))) for name in _NAMES[: draw(st.integers(0, 3))]
        ),
        exceptions=subjects[unreadable_count:],
        policy=draw(_policies),
        guards=draw(_guards),
        clock_trusted=draw(st.sampled_from([True, True, True, False])),
        unreadable_pods=draw(st.sampled_from([(), (), (unreadable_pod,)])),
        record=draw(st.sampled_from([snapshot.Record()] * 5 + [_CONTESTED])),
        pods_complete=draw(st.sampled_from([True, True, True, False])),
        ordinary_pods=draw(st.sampled_from([None, False, True])),
        ordinary_releases=draw(st.sampled_from([frozenset(), frozenset({frozenset({"app=web"})})])),
        accounts=draw(
            st.sampled_from(
                [{}, *({"netdebug": snapshot.Account(NOW, exists=exists)} for exists in (True, False, None))]
            )
        ),
        kubernetes=draw(st.sampled_from([None, *[snapshot.MinorVersion(1, 36)] * 3])),
        report_kind=draw(st.sampled_from([None, report.OPEN_REPORT, report.OPEN_REPORT, report.POLICY_REPORT])),
        reports=tuple(draw(st.lists(st.sampled_from(_REPORTS), unique=True, max_size=3))),
        tops=draw(st.sampled_from([{}, {_JOB: _CRON_JOB}, {_JOB: _JOB}, {_JOB: None}])),
    )


# The holders that block enforcement, as in the gate's answer.
GATE_ANSWERS = st.sampled_from([(), ("Deployment web: host namespaces (hostNetwork=true) (level baseline)",)])


def shifted(state: snapshot.NamespaceSnapshot, delta: datetime.timedelta) -> snapshot.NamespaceSnapshot:
    """Return the snapshot with all past events and all expiries moved later by `delta`."""

    def move(moment: datetime.datetime | None) -> datetime.datetime | None:
        return None if moment is None else moment + delta

    subjects = []
    for subject in state.exceptions:
        metadata = subject.metadata.model_copy(
            update={
                "creation_timestamp": move(subject.metadata.creation_timestamp),
                "deletion_timestamp": move(subject.metadata.deletion_timestamp),
            }
        )
        spec = subject.spec.model_copy(update={"expiry": move(subject.spec.expiry)})
        if spec.review is not None:
            review = spec.review.model_copy(update={"time": move(spec.review.time)})
            spec = spec.model_copy(update={"review": review})
        status = subject.status.model_copy(
            update={
                "last_used_time": move(subject.status.last_used_time),
                "conditions": tuple(
                    condition.model_copy(update={"last_transition_time": move(condition.last_transition_time)})
                    for condition in subject.status.conditions
                ),
            }
        )
        subjects.append(subject.model_copy(update={"metadata": metadata, "spec": spec, "status": status}))
    exception_records = {
        uid: record.model_copy(update={"created": move(record.created), "grant": _line_moved(record.grant, delta)})
        for uid, record in state.ledger.exceptions.items()
    }
    annotations = {key: _line_moved(text, delta) for key, text in state.namespace.annotations.items()}
    return replace(
        state,
        namespace=replace(state.namespace, created=state.namespace.created + delta, annotations=annotations),
        pods=snapshot.PodSet.of(replace(pod, created=pod.created + delta) for pod in state.pods),
        exceptions=tuple(subjects),
        ledger=replace(state.ledger, exceptions=exception_records),
        guards={
            name: replace(guard, since=move(guard.since), excused=move(guard.excused))
            for name, guard in state.guards.items()
        },
        record=replace(
            state.record,
            reverts=tuple(moment + delta for moment in state.record.reverts),
            written=move(state.record.written),
        ),
        gate=replace(state.gate, asked=state.gate.asked + delta) if state.gate else None,
        accounts={name: replace(account, asked=account.asked + delta) for name, account in state.accounts.items()},
    )


def _line_moved(text: str, delta: datetime.timedelta) -> str:
    try:
        line = grant.Grant.decode(text)
    except grant.GrantError:
        return text
    return text if line.until == grant.ENDLESS else replace(line, until=line.until + delta).encode()
