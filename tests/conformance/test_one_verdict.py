"""Python and the API server say the same of every host-namespace pod, whatever is excepted, at every instant.

Python: decide/validity and decide/coverage, on the exceptions and the pod as the operator reads them, at the second of
the pod's creation. The API server: host-namespaces, bound to Deny, with the grants that the operator would write.
Which second the API server took, it says itself: a policy of the test's own warns with the creationTimestamp, and a
warning comes with a refusal too. So no sample near an expiry is guessed, and none is thrown away.
"""

import collections
import dataclasses
import datetime
import re
from typing import Any

import pytest
from hypothesis import strategies as st

from hostnetwork_operator.api import exception, labels
from hostnetwork_operator.decide import approval, coverage, snapshot, terms, validity
from hostnetwork_operator.observe import parse
from tests.admission import workbench
from tests.conformance import exceptions, pods, sampling
from tests.controlplane import api
from tests.controlplane import cluster as controlplane

pytestmark = pytest.mark.timeout(7200)  # the long run; a slice takes seconds
_SECOND = datetime.timedelta(seconds=1)
_LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_PODS_A_GROUP = 10
# What decides, in the order of the conditions. An exception of another namespace is never a grant in this one, and host
# ports are nothing of their own beside host namespaces.
_NEVER = {coverage.Criterion.NAMESPACE, coverage.Criterion.HOST_PORTS}
_DECIDING = [each for each in coverage.Criterion if each not in _NEVER]


@pytest.fixture(scope="module")
def home(governed: controlplane.Cluster) -> workbench.Home:
    """A namespace where enforcement is on, and where the API server tells the second of each creation."""
    name = "one-verdict"
    metadata = {"name": name, "labels": {labels.ENFORCEMENT: "Deny"}}
    governed.admin.post("/api/v1/namespaces", {"metadata": metadata}).expect(201)
    made = workbench.Home(governed, name)
    for account in exceptions.ACCOUNTS:
        governed.admin.post(f"{made.path}/serviceaccounts", {"metadata": {"name": account}}).expect(201, 409)
    base = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
    policy = {
        "metadata": {"name": "tell-the-second"},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
                ]
            },
            "validations": [
                {
                    "expression": "false",
                    "messageExpression": "'created ' + string(object.metadata.creationTimestamp)",
                }
            ],
        },
    }
    binding = {
        "metadata": {"name": "tell-the-second"},
        "spec": {
            "policyName": "tell-the-second",
            "validationActions": ["Warn"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}},
        },
    }
    governed.admin.post(f"{base}ies", policy).expect(201)
    governed.admin.post(f"{base}ybindings", binding).expect(201)
    governed.wait("the second told", lambda: second_of(made.create(workbench.pod())) is not None, 10)
    return made


def second_of(answer: api.Response) -> datetime.datetime | None:
    """When the pod was created, or would have been, by the API server's own word."""
    for text in answer.warnings:
        if told := re.search(r"created (\S+Z)", text):
            return datetime.datetime.fromisoformat(told[1])
    return None


# Seconds from the second in which the grants are written to the expiry: before, in and after the pods' own.
_ENDS = st.sampled_from([None, None, 3600, 3600, 0, 1, 1, 2, 2, -1])
_APPROVED = st.sampled_from([True] * 19 + [False])


@dataclasses.dataclass(frozen=True)
class Group:
    """Exceptions, and for each when it ends and whether it is approved; and pods near what they allow."""

    excepted: list[tuple[dict[str, Any], int | None, bool]]
    pods: list[dict[str, Any]]


@st.composite
def groups(draw: st.DrawFn) -> Group:
    """One to four exceptions, and pods that one of them covers or misses by a thing or two."""
    number = draw(st.sampled_from([1, 1, 2, 3, 4]))
    excepted = [(draw(exceptions.specs()), draw(_ENDS), draw(_APPROVED)) for _ in range(number)]
    some = []
    for _ in range(draw(st.integers(1, _PODS_A_GROUP))):
        spec, _, _ = draw(st.sampled_from(excepted))
        kinds = ["regular", *draw(st.lists(st.sampled_from(["regular", "init", "sidecar"]), max_size=2))]
        body = draw(exceptions.covered(spec, pods.base("baseline", kinds)))
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
            body = draw(exceptions.missed(spec, body))
        if not parse.host_namespaces(body):  # of an exception for other pods, which must cover none of these
            body["spec"]["hostNetwork"] = True
            body["spec"].pop("hostUsers", None)
        some.append(body)
    return Group(excepted, some)


def _stand(subject: exception.HostNetworkException, now: datetime.datetime, *, approved: bool) -> validity.Standing:
    standing = approval.ApprovalState.APPROVED if approved else approval.ApprovalState.REFUSED
    return validity.stand(subject, None, approval.Ruling(standing), now)


class Judge:
    """Judges groups on both sides, and keeps count."""

    def __init__(self, home: workbench.Home) -> None:
        self.home = home
        self.namespace = parse.namespace(home.cluster.admin.get(home.path).expect(200).body)
        self.counted: collections.Counter[str] = collections.Counter()
        self.decided: collections.Counter[coverage.Criterion] = collections.Counter()
        self.edges: collections.Counter[str] = collections.Counter()

    def __call__(self, group: Group) -> None:
        now = workbench.seconds_from_now(self.home.cluster, 0)
        made = []
        for number, (spec, ends, approved) in enumerate(group.excepted):
            until = None if ends is None else now + ends * _SECOND
            made.append((exceptions.parsed(f"e{number}", spec, until), approved))
        # What has ended stays written, as with the operator dead.
        lines = {
            each.metadata.name: terms.line_of(each, self.namespace)
            for each, approved in made
            if _stand(each, _LONG_AGO, approved=approved).in_force
        }
        self.home.give(**{name: lines.get(name) for name in ("e0", "e1", "e2", "e3")})
        self.counted["grants written"] += len(lines)
        for body in group.pods:
            self._judge(body, made)

    def _judge(self, body: dict[str, Any], made: list[tuple[exception.HostNetworkException, bool]]) -> None:
        answer = self.home.create(body)
        created = second_of(answer)
        if created is None:  # API validation came first
            assert answer.status == 422, answer.message
            assert "ValidatingAdmissionPolicy" not in answer.message, answer.message
            self.counted["not judged"] += 1
            return
        by_server = answer.status == 201
        if not by_server:
            workbench.refused(answer, "ValidatingAdmissionPolicy 'host-namespaces.")
        standings = [_stand(each, created, approved=approved) for each, approved in made]
        metadata = {
            "namespace": "", "name": "p", "uid": "u", "resourceVersion": "1",
            "creationTimestamp": created.isoformat(),
        }  # fmt: skip
        seen = parse.pod({**(answer.body if by_server else body), "metadata": metadata})
        assert isinstance(seen, snapshot.Pod), seen
        verdict = coverage.judge(seen, standings, exempt=False)
        by_python = verdict.verdict is labels.Verdict.COVERED
        assert by_python == by_server, (
            f"Python: {verdict.verdict}, {verdict.why}\nAPI server: {answer.status} {answer.message}\n"
            f"exceptions: {[each.spec for each, _ in made]}\npod created {created}: {body['spec']}"
        )
        self.counted["covered" if by_server else "refused"] += 1
        failed = [coverage.covers(standing, seen).failed for standing in standings]
        if not by_python:
            order = list(coverage.Criterion)
            self.decided[max((each for each in failed if each), key=order.index)] += 1
        self._count_edges(created, standings, failed)

    def _count_edges(
        self,
        created: datetime.datetime,
        standings: list[validity.Standing],
        failed: list[coverage.Criterion | None],
    ) -> None:
        """Of the samples where the expiry of one exception decides, and no other covers the pod."""
        fits = [
            standing.exception.spec.until
            for standing, each in zip(standings, failed, strict=True)
            if each in (None, coverage.Criterion.CREATED_BEFORE_EXPIRY, coverage.Criterion.IN_FORCE)
        ]
        if len(fits) == 1:
            match (created - fits[0]) // _SECOND:
                case -1:
                    self.edges["one second before"] += 1
                case 0:
                    self.edges["in the second itself"] += 1
                case late if 1 <= late <= 5:
                    self.edges["1 to 5 seconds after"] += 1

    def table(self) -> str:
        lines = ["\none verdict: " + ", ".join(f"{count:,} {word}" for word, count in sorted(self.counted.items()))]
        lines += [f"  refused for {each.value:24}{self.decided[each]:6,}" for each in _DECIDING]
        lines += [f"  expiry alone decides, {edge:24}{count:6,}" for edge, count in sorted(self.edges.items())]
        return "\n".join(lines)


def test_python_and_the_api_server_give_one_verdict(home: workbench.Home, capsys: pytest.CaptureFixture[str]) -> None:
    """The same answer for every random pod, beside one to four random exceptions, around their expiry too."""
    judge = Judge(home)
    count = sampling.samples(300)
    sampling.search(count // 4, groups(), judge)  # some five pods each
    with capsys.disabled():
        print(judge.table())
    assert judge.counted["covered"] + judge.counted["refused"] >= count
    assert min(judge.counted["covered"], judge.counted["refused"]) > count / 5
    assert judge.counted["not judged"] < count / 10
    assert set(judge.decided) == set(_DECIDING)
    assert set(judge.edges) == {"one second before", "in the second itself", "1 to 5 seconds after"}
