"""A plan that takes over what earlier plans found equals the plan that is made from nothing.

Random histories of one namespace: pods come, change and go; exceptions, the policy, guards, records and answers change;
time passes. After every step the plan is made in both ways. Events may be lost or come twice, so the earlier plan may
be older than the step before, or of another history.
"""

import dataclasses
import datetime
from typing import Any

import hypothesis
from hypothesis import strategies as st

from hostnetwork_operator.api import labels, report
from hostnetwork_operator.decide import effects, gathering, messages, plan, snapshot
from hostnetwork_operator.observe import pod_index
from tests.property import cluster, strategies
from tests.unit import builders
from tests.unit.builders import NOW

_OTHER_FIELDS = sorted(
    each.name for each in dataclasses.fields(snapshot.NamespaceSnapshot) if each.name not in {"pods", "plain_pods"}
)
_NAMES = [f"pod-{number}" for number in range(8)]
_OWN: dict[str, tuple[object, ...]] = {
    "node": ("node-2", ""),
    "created": (builders.at(minutes=-30), builders.at(seconds=-1), NOW, builders.at(seconds=1)),
    "to_be_gone": (builders.at(minutes=-5), builders.at(seconds=30)),
    "resource_version": ("8",),
}


class History:
    """One namespace while it changes, with its pods in the index of the store."""

    def __init__(self, state: snapshot.NamespaceSnapshot) -> None:
        self.index = pod_index.PodIndex()
        self.plain = snapshot.PodSet()
        self.state = state
        self.now = NOW
        self.plans: list[plan.NamespacePlan] = []
        self.taken_over = self.calm_changes = 0
        for pod in state.pods:
            self.index.put(pod)

    def put(self, name: str, fields: dict[str, Any]) -> None:
        """Create a pod, or change the pod of this name. The same event may come twice."""
        for _ in range(2):
            self.index.put(builders.pod(name, **fields))

    def remove(self, name: str) -> None:
        self.index.remove(name)

    def list_plain(self, pods: list[dict[str, Any]]) -> None:
        """List the pods without host namespaces."""
        plain = [{**fields, "host_namespaces": frozenset()} for fields in pods]
        self.plain = snapshot.PodSet.of(builders.pod(f"plain-{i}", **fields) for i, fields in enumerate(plain))

    def change(self, other: snapshot.NamespaceSnapshot, field: str) -> None:
        """Change one thing that is not a pod."""
        self.state = dataclasses.replace(self.state, **{field: getattr(other, field)})

    def answer(self, accounts: dict[str, bool | None]) -> None:
        """Learn which service accounts exist."""
        answers = {name: snapshot.Account(self.now, exists=exists) for name, exists in accounts.items()}
        self.state = dataclasses.replace(self.state, accounts=answers)

    def guard(self, name: str, missing: bool) -> None:
        """Remove an admission policy, or put it back."""
        guards = builders.guards(missing=[name] if missing else [], since=self.now - datetime.timedelta(seconds=3))
        self.state = dataclasses.replace(self.state, guards=guards)

    def touch(self) -> None:
        """Read the exceptions again, unchanged: equal objects that are not the same."""
        copies = tuple(subject.model_copy(deep=True) for subject in self.state.exceptions)
        self.state = dataclasses.replace(self.state, exceptions=copies)

    def wait(self, seconds: int) -> None:
        self.now += datetime.timedelta(seconds=seconds)

    def act(self) -> None:
        """Carry out the latest plan, and remember what was written."""
        latest = self.plans[-1]
        written = dict(self.state.written)
        for effect in latest.effects:
            if about := gathering.subject(effect):
                written[about] = snapshot.LastWrite(self.now, gathering.gist(effect))
        after = cluster.carry_out(dataclasses.replace(self.state, pods=self.index.pods()), latest)
        for name in _NAMES:
            self.index.remove(name)
        for pod in after.pods:
            self.index.put(pod)
        self.state = dataclasses.replace(after, written=written, record=latest.record)

    def check(self, back: int) -> None:
        """Make the plan in both ways and compare."""
        pods = self.index.pods()
        every = list(pods)
        assert repr(snapshot.PodSet.of(reversed(every)).groups) == repr(pods.groups)
        state = dataclasses.replace(self.state, pods=pods, plain_pods=self.plain)
        anew = plan.plan_namespace(dataclasses.replace(state, pods=snapshot.PodSet.of(every)), self.now)
        previous = self.plans[-1 - back] if len(self.plans) > back else None
        found = plan.plan_namespace(state, self.now, previous)
        if previous is not None and found.kept is not None and previous.kept is not None:
            self.taken_over += found.kept.ground is previous.kept.ground
        self.plans.append(found)
        for each in dataclasses.fields(plan.NamespacePlan):
            taken_over, from_nothing = (getattr(builders.bare(made), each.name) for made in (found, anew))
            assert taken_over == from_nothing, each.name
        for alike in pods.groups:
            if snapshot.kind(alike.first) in found.calm:
                self._one_more_and_one_less(state, found, alike)

    def _one_more_and_one_less(
        self, state: snapshot.NamespaceSnapshot, found: plan.NamespacePlan, alike: snapshot.AlikePods
    ) -> None:
        """Compare the plans with another pod of a calm kind, and with one less. Nothing but numbers may differ."""
        another = dataclasses.replace(alike.first, name="another", uid="another", created=self.now)
        changed = [[*state.pods, another]]
        ending = dataclasses.replace(alike.first, deleting=True)
        changed.append([ending if pod is alike.first else pod for pod in state.pods])
        remaining = [pod for pod in state.pods if pod is not alike.first]
        if any(snapshot.kind(pod) == snapshot.kind(alike.first) for pod in remaining):
            changed.append(remaining)
        for pods in changed:
            self.calm_changes += 1
            after = plan.plan_namespace(dataclasses.replace(state, pods=snapshot.PodSet.of(pods)), self.now)
            assert after.urgent == found.urgent
            assert after.needs == found.needs
            assert [e for e in after.deferrable if not gathering.subject(e)] == [
                e for e in found.deferrable if not gathering.subject(e)
            ]
            known = {_told(e) for e in found.deferrable} | self._present(state)
            assert {_told(e) for e in after.deferrable} - known == set()

    def _present(self, state: snapshot.NamespaceSnapshot) -> set[object]:
        """Return what the statuses and the reports say that are stored."""
        statuses = (
            effects.WriteExceptionStatus(messages.reference(subject), subject.status) for subject in state.exceptions
        )
        return {_told(each) for each in statuses} | {("report", stored.name) for stored in state.reports}


def _told(effect: effects.Effect) -> object:
    """Return what an effect tells, without the numbers. Of a stored report only the name is known."""
    if isinstance(effect, effects.WriteReport) and effect.uid:
        return "report", effect.report.name
    return gathering.subject(effect), gathering.gist(effect)


_PODS = st.builds(
    lambda own, rest: {**own, **rest}, strategies.changed(_OWN, 2), strategies.changed(strategies.PODS, 1)
)
_EXISTS = st.sampled_from([True, False, None])
_STEPS: dict[Any, tuple[int, tuple[st.SearchStrategy[Any], ...]]] = {
    History.put: (8, (st.sampled_from(_NAMES), _PODS)),
    History.remove: (4, (st.sampled_from(_NAMES),)),
    History.list_plain: (1, (st.lists(strategies.changed(strategies.PODS, 2), max_size=3),)),
    History.change: (3, (strategies.snapshots(), st.sampled_from(_OTHER_FIELDS))),
    History.touch: (1, ()),
    History.answer: (2, (st.dictionaries(st.sampled_from(["netdebug", "default"]), _EXISTS),)),
    History.guard: (1, (st.sampled_from(labels.POLICIES), st.booleans())),
    History.wait: (5, (st.sampled_from([0, 1, 3, 5, 6, 60, 600, 1800, 3600, 86400, 40 * 86400]),)),
    History.act: (5, ()),
}
_WEIGHTED = [step for step, (weight, _) in _STEPS.items() for _ in range(weight)]


@st.composite
def orderly(draw: st.DrawFn) -> snapshot.NamespaceSnapshot:
    """An enforced namespace with approved exceptions that are granted, as most namespaces are most of the time."""
    subjects = [draw(strategies.exceptions(name)) for name in ("a", "b", "c")[: draw(st.integers(0, 3))]]
    pods = [builders.pod(name, **draw(_PODS)) for name in _NAMES[: draw(st.integers(0, 8))]]
    granted = [subject for subject in subjects if subject.metadata.deletion_timestamp is None]
    return builders.seen(
        *pods,
        *subjects,
        namespace=builders.denied(*granted),
        every_pod_listed=NOW,
        report_kind=draw(st.sampled_from([None, report.OPEN_REPORT])),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    steps = draw(st.lists(st.sampled_from(_WEIGHTED), min_size=10, max_size=30))
    return [(step, draw(st.integers(0, 2)), *(draw(values) for values in _STEPS[step][1])) for step in steps]


# What can be taken over wrongly is found only where several steps fit together.
@hypothesis.settings(max_examples=4 * hypothesis.settings.default.max_examples)
@hypothesis.given(st.one_of(orderly(), orderly(), strategies.snapshots()), histories())
def test_what_is_taken_over_changes_no_plan(state: snapshot.NamespaceSnapshot, steps: list[Any]) -> None:
    """After every step of every history, and whichever earlier plan is given."""
    history = History(state)
    history.check(0)
    for step, back, *arguments in steps:
        step(history, *arguments)
        history.check(back)
    hypothesis.event(f"grounds taken over: {min(history.taken_over, 5)}, calm: {history.calm_changes > 0}")
