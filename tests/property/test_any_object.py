"""Whatever a field that the operator reads contains, no object fails a plan or a gate check.

The operator still handles all other objects. Each test replaces one or two fields of an object by any JSON, including
JSON that the API server would not store. Only the fields that the API server sets itself stay: name, namespace, uid,
resourceVersion, creationTimestamp.
"""

import asyncio
import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import hypothesis
from hypothesis import strategies as st

from hostnetwork_operator.act import events
from hostnetwork_operator.api import labels
from hostnetwork_operator.api import report as words
from hostnetwork_operator.decide import effects, plan, snapshot
from hostnetwork_operator.observe import live, preview, store
from tests.unit import builders
from tests.unit.builders import ADOPTED, IMAGE, NAMESPACE, NOW, RELAXED, UID, at, governed, hne, pod, seen

Body = dict[str, Any]
_SET_BY_SERVER = {"name", "namespace", "uid", "resourceVersion", "creationTimestamp", "generation"}
_ODD = [
    "",
    "apps/v1?x=",
    "../../secrets/x",
    "batch/v1",
    "Job",
    "ReplicaSet",
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "since 2026-11-22T11:00:00Z",
    "2026-11-22T12:00:00Z",
    "privileged",
    "{",
    '{"privileged": {}}',
    "a\nb\u2028\u202e",
    "x" * 300,
    "-1",
    "NaN",
]
_JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.sampled_from(_ODD),
    st.text(max_size=5),
    st.just({}),
    st.just([]),
    st.lists(st.sampled_from([*_ODD, None, 1, {}]), max_size=3),
    st.dictionaries(st.sampled_from(["name", "add", "controller", "x"]), st.sampled_from([*_ODD, None, 1]), max_size=2),
)
_OWNERS = [
    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u-set", "controller": True},
    {"apiVersion": "v1", "kind": "ConfigMap", "name": "mine", "uid": "u-map"},
]


def _meta(name: str, **fields: Any) -> Body:
    defaults = {
        "name": name,
        "namespace": NAMESPACE,
        "uid": f"uid-of-{name}",
        "resourceVersion": "7",
        "creationTimestamp": "2026-11-22T11:01:00Z",
        "labels": {labels.VERDICT: "Expired", "app": "x"},
        "annotations": {labels.MIRROR: "x", "seccomp.security.alpha.kubernetes.io/pod": "runtime/default"},
        "ownerReferences": _OWNERS,
        "deletionTimestamp": "2026-11-22T12:00:30Z",
        "deletionGracePeriodSeconds": 30,
    }
    return {**defaults, **fields}


_SPEC = {
    "hostNetwork": True,
    "hostPID": True,
    "serviceAccountName": "netdebug",
    "nodeName": "node-1",
    "securityContext": {"sysctls": [{"name": "kernel.x", "value": "1"}]},
    "initContainers": [{"name": "first", "image": IMAGE}],
    "containers": [
        {
            "name": "main",
            "image": IMAGE,
            "securityContext": {"privileged": True, "capabilities": {"add": ["NET_RAW"]}},
            "volumeMounts": [{"name": "logs", "mountPath": "/logs", "readOnly": True}],
            "ports": [{"containerPort": 1, "hostPort": 1}],
            "livenessProbe": {"httpGet": {"host": "127.0.0.1", "port": 1}},
            "lifecycle": {"preStop": {"tcpSocket": {"host": "127.0.0.1", "port": 1}}},
        }
    ],
    "ephemeralContainers": [{"name": "debug", "image": IMAGE}],
    "volumes": [
        {"name": "logs", "hostPath": {"path": "/var/log"}},
        {"name": "kube-api-access-x", "projected": {"sources": []}},
    ],
}
_POD = {"kind": "Pod", "metadata": _meta("odd"), "spec": _SPEC, "status": {"phase": "Running"}}
_TEMPLATE = {"metadata": {"annotations": {"a": "b"}}, "spec": _SPEC}
_CONDITIONS = {"conditions": [{"type": "Complete", "status": "False"}]}
_WORKLOADS = {
    kind: {
        "kind": kind,
        "metadata": _meta("odd"),
        "spec": {"jobTemplate": {"spec": {"template": _TEMPLATE}}} if kind == "CronJob" else {"template": _TEMPLATE},
        "status": _CONDITIONS,
    }
    for kind in preview.TEMPLATES
}
_NAMESPACE = {
    "metadata": _meta(
        NAMESPACE,
        uid=UID,
        labels=RELAXED,
        annotations={
            **ADOPTED,
            labels.HELD_BY: "since 2026-11-22T11:00:00Z: Pod a: b",
            labels.BORN_WITH: labels.PSA_ENFORCE,
            labels.GRANT_PREFIX + "net": "{}",
        },
    )
}
_EXCEPTION = {
    "metadata": _meta("other", generation=1),
    "spec": {
        **hne().spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        "expiry": "2026-11-22T13:00:00Z",
    },
    "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Active", "message": "m"}], "pods": 1},
}
_REPORT = {
    "metadata": _meta("hostnetwork-u"),
    "scope": {"kind": "Pod", "name": "odd"},
    "summary": {"fail": 1},
    "results": [{"policy": "host-namespaces", "message": "m", "properties": {"a": "b"}}],
}


def _paths(body: Any, parent: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths that a test may replace: everything below metadata, spec, status and other top-level fields."""
    steps = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for step, inner in steps:
        path = (*parent, step)
        if len(path) > 1 and not (parent == ("metadata",) and step in _SET_BY_SERVER):
            yield path
        yield from _paths(inner, path)


@dataclass(frozen=True)
class _Gone:
    """A marker that stands for an absent field."""


@st.composite
def _odd(draw: st.DrawFn, body: Body) -> Body:
    odd_body = copy.deepcopy(body)
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(list(_paths(odd_body))))
        inner = odd_body
        for step in path[:-1]:
            inner = inner[step]
        value = draw(st.one_of(_JUNK, st.just(_Gone())))
        if isinstance(value, _Gone):
            del inner[path[-1]]
        else:
            inner[path[-1]] = value
    return odd_body


def _state_with(*bodies: tuple[store.Kind, Body]) -> snapshot.NamespaceSnapshot:
    """Return a namespace with these objects, an ended exception and its pod `capture`, which must be deleted."""
    object_store = store.Store()
    object_store.put(
        store.Kind.NAMESPACE, {"metadata": {**_NAMESPACE["metadata"], "namespace": "", "deletionTimestamp": None}}
    )
    for kind, body in bodies:
        body["metadata"]["resourceVersion"] = "8"
        object_store.put(kind, body)
    stored_state = object_store.snapshot(NAMESPACE)
    assert stored_state is not None
    ended = hne(expiry=at(minutes=-1))
    usual_state = seen(
        ended, expired_pod(), namespace=stored_state.namespace, policy=governed(), report_kind=words.OPEN_REPORT
    )
    return replace(
        usual_state,
        pods=snapshot.PodSet.of((*usual_state.pods, *stored_state.pods)),
        unreadable_pods=stored_state.unreadable_pods,
        exceptions=(*usual_state.exceptions, *stored_state.exceptions),
        unreadable_exceptions=stored_state.unreadable_exceptions,
        reports=stored_state.reports,
    )


def expired_pod() -> snapshot.Pod:
    """Return a pod that `hne()` covered until the exception ended."""
    return pod(verdict_label="Expired")


def _rendered_plan(state: snapshot.NamespaceSnapshot) -> plan.NamespacePlan:
    """Return the plan after rendering everything that the operator would send for it."""
    namespace_plan = plan.plan_namespace(state, NOW)
    for effect in namespace_plan.effects:
        match effect:
            case effects.WriteReport():
                json.dumps(effect.report.body(effect.kind))
            case effects.WriteExceptionStatus():
                effect.status.model_dump_json(by_alias=True)
            case effects.EmitEvent():
                events.name_of(effect)
            case effects.WriteVerdict() | effects.DeletePod():
                for event in effect.events:
                    events.name_of(event)
    return namespace_plan


def _deleted_pods(namespace_plan: plan.NamespacePlan) -> set[str]:
    return {effect.pod.name for effect in namespace_plan.effects if isinstance(effect, effects.DeletePod)}


@dataclass
class _Answer:
    body: Any
    warnings: tuple[str, ...] = ()
    refused: str = ""


class _Asker:
    """An API server with these lists, by the last part of their paths; any other GET gets `body`."""

    def __init__(self, lists: dict[str, list[Body]], body: Body | None = None) -> None:
        self._lists = lists
        self._body = body

    async def get(self, path: str, **_: Any) -> _Answer:
        if self._body is not None:
            return _Answer(self._body)
        plural = path.split("?")[0].rsplit("/", 1)[-1]
        return _Answer({"metadata": {"resourceVersion": "9"}, "items": self._lists.get(plural, [])})

    async def preview(self, path: str, body: Any) -> _Answer:
        contexts = [container.get("securityContext") or {} for container in body["spec"]["containers"]]
        bad = body["spec"].get("hostPID") or any(context.get("privileged") for context in contexts)
        return _Answer({}, (f'would violate PodSecurity "{_level(path)}:latest": x',) if bad else ())


def _level(path: str) -> str:
    return path.split("/")[-2].removeprefix("hostnetwork-preview-")


class _Clock:
    def now(self) -> Any:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@hypothesis.given(_odd(_POD))
def test_no_pod_fails_a_plan(body: Body) -> None:
    """The operator deletes the expired pod, and gives the odd pod a verdict or counts it as Unknown."""
    namespace_plan = _rendered_plan(_state_with((store.Kind.POD, body)))
    assert "capture" in _deleted_pods(namespace_plan)
    assert len(namespace_plan.verdicts) + namespace_plan.unreadable == 2


@hypothesis.given(_odd(_POD), _odd(_WORKLOADS["ReplicaSet"]))
def test_no_owner_fails_a_plan(body: Body, owner: Body) -> None:
    """Whatever the API server returns for the owner, the result is the owner's owner, the owner, or none."""
    state = _state_with((store.Kind.POD, body))
    owners = builders.owners(_rendered_plan(state))
    tops = {reference: asyncio.run(live.top_of(_Asker({}, owner), reference)) for reference in owners}
    namespace_plan = _rendered_plan(replace(state, tops=tops))
    assert builders.owners(namespace_plan) == ()
    assert "capture" in _deleted_pods(namespace_plan)


_TEXTS = st.one_of(st.sampled_from(_ODD), st.text(max_size=20))
_LABELS = st.sampled_from([
    *RELAXED, labels.VERDICT, labels.PSA_ENFORCE, "app", labels.GRANT_PREFIX + "x", labels.LEVEL_BEFORE, labels.HELD_BY,
    labels.BORN_WITH,
])  # fmt: skip


@hypothesis.given(st.dictionaries(_LABELS, _TEXTS), st.dictionaries(_LABELS, _TEXTS))
def test_no_namespace_fails_a_plan(new_labels: dict[str, str], new_annotations: dict[str, str]) -> None:
    """Labels and annotations are strings that any user who may write the Namespace chooses."""
    state = _state_with()
    namespace = state.namespace
    namespace = replace(
        namespace, labels={**namespace.labels, **new_labels}, annotations={**namespace.annotations, **new_annotations}
    )
    _rendered_plan(replace(state, namespace=namespace))


@hypothesis.given(_odd(_EXCEPTION), _odd(_REPORT))
def test_no_exception_and_no_report_fails_a_plan(body: Body, report: Body) -> None:
    """An exception that cannot be parsed becomes an unreadable exception."""
    state = _state_with((store.Kind.EXCEPTION, body), (store.Kind.REPORT, report))
    assert len(state.exceptions) + len(state.unreadable_exceptions) == 2
    _rendered_plan(state)


@hypothesis.given(st.sampled_from(sorted(_WORKLOADS)).flatmap(lambda kind: _odd(_WORKLOADS[kind])), _odd(_POD))
def test_no_workload_and_no_pod_fails_a_look(body: Body, odd_pod: Body) -> None:
    """Another pod beside the odd objects blocks enforcement for its own violation."""
    plural = preview.TEMPLATES[body["kind"]].rsplit("/", 1)[-1]
    bad_spec = {"containers": [{"name": "main", "image": IMAGE, "securityContext": {"privileged": True}}]}
    plain_pod = {"metadata": _meta("plain", ownerReferences=[], deletionTimestamp=None), "spec": bad_spec}
    namespace = replace(_state_with().namespace, labels={}, annotations={})
    asker = _Asker({plural: [body], "pods": [odd_pod, plain_pod]})
    state = seen(namespace=namespace, policy=governed(rollout="Gated"), kubernetes=snapshot.MinorVersion(1, 36))
    answer = asyncio.run(preview.look(asker, state, labels.Level.BASELINE, _Clock()))
    assert not answer.failed
    assert "Pod plain: x (level baseline)" in answer.holders
