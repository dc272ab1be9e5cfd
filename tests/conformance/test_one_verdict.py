"""Python and the API server agree about every host-namespace pod, for any exceptions, at every moment.

Python runs decide/validity and decide/coverage on the exceptions and the pod as the operator reads them, at the second
of the pod's creation. The API server evaluates host-namespaces, bound to Deny, with the grants that the operator would
write. The API server reports that second itself: a policy of the test warns with the creationTimestamp, and a refusal
has the warning too. So the test guesses no sample near an expiry and drops none.
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

pytestmark = pytest.mark.timeout(7200)  # for the long run; an ordinary run takes seconds
_SECOND = datetime.timedelta(seconds=1)
_LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_PODS_A_GROUP = 10
# The criteria that decide, in the order of the conditions. An exception of another namespace is never a grant in this
# namespace, and a pod with host namespaces needs nothing more for host ports.
_NEVER = {coverage.Criterion.NAMESPACE, coverage.Criterion.HOST_PORTS}
_DECIDING = [each for each in coverage.Criterion if each not in _NEVER]


@pytest.fixture(scope="module")
def namespace(governed: controlplane.Cluster) -> workbench.Home:
    """A namespace where enforcement is on, and where the API server reports the second of each creation."""
    name = "one-verdict"
    metadata = {"name": name, "labels": {labels.ENFORCEMENT: "Deny"}}
    governed.admin.post("/api/v1/namespaces", {"metadata": metadata}).expect(201)
    namespace = workbench.Home(governed, name)
    for account in exceptions.ACCOUNTS:
        governed.admin.post(f"{namespace.path}/serviceaccounts", {"metadata": {"name": account}}).expect(201, 409)
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
    governed.wait("the second told", lambda: second_of(namespace.create(workbench.pod())) is not None, 10)
    return namespace


def second_of(answer: api.Response) -> datetime.datetime | None:
    """Return when the pod was created, or would have been created, as the API server reports."""
    for text in answer.warnings:
        if match := re.search(r"created (\S+Z)", text):
            return datetime.datetime.fromisoformat(match[1])
    return None


# Seconds from the write of the grants to the expiry: before, in and after the second of the pods' creation.
_ENDS = st.sampled_from([None, None, 3600, 3600, 0, 1, 1, 2, 2, -1])
_APPROVED = st.sampled_from([True] * 19 + [False])


@dataclasses.dataclass(frozen=True)
class Group:
    """Exceptions, each with its end and whether it is approved, and pods that resemble what they allow."""

    excepted: list[tuple[dict[str, Any], int | None, bool]]
    pods: list[dict[str, Any]]


@st.composite
def groups(draw: st.DrawFn) -> Group:
    """Draw one to four exceptions, and pods that an exception covers, or does not cover for one or two reasons."""
    number = draw(st.sampled_from([1, 1, 2, 3, 4]))
    entries = [(draw(exceptions.specs()), draw(_ENDS), draw(_APPROVED)) for _ in range(number)]
    bodies = []
    for _ in range(draw(st.integers(1, _PODS_A_GROUP))):
        spec, _, _ = draw(st.sampled_from(entries))
        kinds = ["regular", *draw(st.lists(st.sampled_from(["regular", "init", "sidecar"]), max_size=2))]
        body = draw(exceptions.covered(spec, pods.base("baseline", kinds)))
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
            body = draw(exceptions.missed(spec, body))
        if not parse.host_namespaces(
            body
        ):  # the exception is for pods without host namespaces, and must not cover this pod
            body["spec"]["hostNetwork"] = True
            body["spec"].pop("hostUsers", None)
        bodies.append(body)
    return Group(entries, bodies)


def _stand(subject: exception.HostNetworkException, now: datetime.datetime, *, approved: bool) -> validity.Standing:
    state = approval.ApprovalState.APPROVED if approved else approval.ApprovalState.REFUSED
    return validity.stand(subject, None, approval.Ruling(state), now)


class Judge:
    """Compares Python and the API server on groups, and counts the results."""

    def __init__(self, namespace: workbench.Home) -> None:
        self.namespace = namespace
        self.namespace_state = parse.namespace(namespace.cluster.admin.get(namespace.path).expect(200).body)
        self.counted: collections.Counter[str] = collections.Counter()
        self.decided: collections.Counter[coverage.Criterion] = collections.Counter()
        self.edges: collections.Counter[str] = collections.Counter()

    def __call__(self, group: Group) -> None:
        now = workbench.seconds_from_now(self.namespace.cluster, 0)
        subjects = []
        for number, (spec, seconds, approved) in enumerate(group.excepted):
            until = None if seconds is None else now + seconds * _SECOND
            subjects.append((exceptions.parsed(f"e{number}", spec, until), approved))
        # Expired grants stay written, as they do while the operator is down.
        lines = {
            subject.metadata.name: terms.line_of(subject, self.namespace_state)
            for subject, approved in subjects
            if _stand(subject, _LONG_AGO, approved=approved).in_force
        }
        self.namespace.give(**{name: lines.get(name) for name in ("e0", "e1", "e2", "e3")})
        self.counted["grants written"] += len(lines)
        for body in group.pods:
            self._judge(body, subjects)

    def _judge(self, body: dict[str, Any], subjects: list[tuple[exception.HostNetworkException, bool]]) -> None:
        answer = self.namespace.create(body)
        created = second_of(answer)
        if created is None:  # API validation came first
            assert answer.status == 422, answer.message
            assert "ValidatingAdmissionPolicy" not in answer.message, answer.message
            self.counted["not judged"] += 1
            return
        by_server = answer.status == 201
        if not by_server:
            workbench.refused(answer, "ValidatingAdmissionPolicy 'host-namespaces.")
        standings = [_stand(subject, created, approved=approved) for subject, approved in subjects]
        metadata = {
            "namespace": "", "name": "p", "uid": "u", "resourceVersion": "1",
            "creationTimestamp": created.isoformat(),
        }  # fmt: skip
        pod = parse.pod({**(answer.body if by_server else body), "metadata": metadata})
        assert isinstance(pod, snapshot.Pod), pod
        verdict = coverage.judge(pod, standings, exempt=False)
        by_python = verdict.verdict is labels.Verdict.COVERED
        assert by_python == by_server, (
            f"Python: {verdict.verdict}, {verdict.why}\nAPI server: {answer.status} {answer.message}\n"
            f"exceptions: {[subject.spec for subject, _ in subjects]}\npod created {created}: {body['spec']}"
        )
        self.counted["covered" if by_server else "refused"] += 1
        failed = [coverage.covers(standing, pod).failed for standing in standings]
        if not by_python:
            criteria = list(coverage.Criterion)
            self.decided[max((criterion for criterion in failed if criterion), key=criteria.index)] += 1
        self._count_edges(created, standings, failed)

    def _count_edges(
        self,
        created: datetime.datetime,
        standings: list[validity.Standing],
        failed: list[coverage.Criterion | None],
    ) -> None:
        """Count the samples that the expiry of one exception decides, because no other exception covers the pod."""
        expiries = [
            standing.exception.spec.until
            for standing, criterion in zip(standings, failed, strict=True)
            if criterion in (None, coverage.Criterion.CREATED_BEFORE_EXPIRY, coverage.Criterion.IN_FORCE)
        ]
        if len(expiries) == 1:
            match (created - expiries[0]) // _SECOND:
                case -1:
                    self.edges["one second before"] += 1
                case 0:
                    self.edges["in the second itself"] += 1
                case seconds if 1 <= seconds <= 5:
                    self.edges["1 to 5 seconds after"] += 1

    def table(self) -> str:
        lines = ["\none verdict: " + ", ".join(f"{count:,} {word}" for word, count in sorted(self.counted.items()))]
        lines += [f"  refused for {criterion.value:24}{self.decided[criterion]:6,}" for criterion in _DECIDING]
        lines += [f"  expiry alone decides, {edge:24}{count:6,}" for edge, count in sorted(self.edges.items())]
        return "\n".join(lines)


def test_python_and_the_api_server_give_one_verdict(
    namespace: workbench.Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both give the same answer for every random pod with one to four random exceptions, also near an expiry."""
    judge = Judge(namespace)
    count = sampling.samples(300)
    sampling.search(count // 4, groups(), judge)  # about five pods per group
    with capsys.disabled():
        print(judge.table())
    assert judge.counted["covered"] + judge.counted["refused"] >= count
    assert min(judge.counted["covered"], judge.counted["refused"]) > count / 5
    assert judge.counted["not judged"] < count / 10
    assert set(judge.decided) == set(_DECIDING)
    assert set(judge.edges) == {"one second before", "in the second itself", "1 to 5 seconds after"}
