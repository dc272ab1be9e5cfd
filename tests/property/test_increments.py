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

from hostnetwork_operator.decide import gathering, plan, snapshot
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
        self.index = snapshot.PodIndex()
        self.plain = snapshot.PodSet()
        self.state = state
        self.now = NOW
        self.plans: list[plan.NamespacePlan] = []
        self.taken_over = 0
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
        assert builders.bare(found) == builders.bare(anew)


_PODS = st.builds(
    lambda own, rest: {**own, **rest}, strategies.changed(_OWN, 2), strategies.changed(strategies.PODS, 1)
)
_STEPS: dict[Any, tuple[int, tuple[st.SearchStrategy[Any], ...]]] = {
    History.put: (8, (st.sampled_from(_NAMES), _PODS)),
    History.remove: (4, (st.sampled_from(_NAMES),)),
    History.list_plain: (1, (st.lists(strategies.changed(strategies.PODS, 2), max_size=3),)),
    History.change: (3, (strategies.snapshots(), st.sampled_from(_OTHER_FIELDS))),
    History.touch: (1, ()),
    History.wait: (4, (st.sampled_from([0, 1, 3, 5, 6, 60, 600, 3600]),)),
    History.act: (4, ()),
}
_WEIGHTED = [step for step, (weight, _) in _STEPS.items() for _ in range(weight)]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    steps = draw(st.lists(st.sampled_from(_WEIGHTED), min_size=8, max_size=25))
    return [(step, draw(st.integers(0, 2)), *(draw(values) for values in _STEPS[step][1])) for step in steps]


@hypothesis.given(strategies.snapshots(), histories())
def test_what_is_taken_over_changes_no_plan(state: snapshot.NamespaceSnapshot, steps: list[Any]) -> None:
    """After every step of every history, and whichever earlier plan is given."""
    history = History(state)
    history.check(0)
    for step, back, *arguments in steps:
        step(history, *arguments)
        history.check(back)
    hypothesis.event(f"grounds taken over: {min(history.taken_over, 5)}")
