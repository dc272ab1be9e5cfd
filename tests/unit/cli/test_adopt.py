"""Which pods `debug --adopt` refuses. tests/cli/test_debug.py adopts one."""

from typing import Any

import pytest

from hostnetwork_operator.api.exception import ExceptionType
from hostnetwork_operator.api.grant import HostPathAccess
from hostnetwork_operator.api.labels import Level, Verdict
from hostnetwork_operator.cli import adopt, draft_text, errors
from hostnetwork_operator.decide import classify, coverage, draft, snapshot
from tests.unit.builders import NAMESPACE, pod

SEEN = classify.Classification(ExceptionType.DIAGNOSTIC, None, "", classify.Confidence.UNKNOWN, ())
OWNER = snapshot.Reference("DaemonSet", NAMESPACE, "agent", "uid-of-agent", "apps/v1")


def drafted(**fields: Any) -> draft_text.Drafted:
    subject = snapshot.Reference("Pod", NAMESPACE, "stray", "uid-of-stray", "v1")
    made = draft.draft(subject, [pod("stray", **fields)], SEEN, Level.BASELINE, ExceptionType.DIAGNOSTIC)
    return draft_text.Drafted(made, subject, SEEN, {}, "")


def verdict(word: Verdict, **fields: Any) -> coverage.PodVerdict:
    return coverage.PodVerdict(pod("stray", **fields), word, "why it is so")


@pytest.mark.parametrize("word", [Verdict.UNCOVERED, Verdict.EXPIRED, Verdict.UNKNOWN])
def test_a_stray_pod_is_adopted(word: Verdict) -> None:
    adopt._check(drafted(), verdict(word))


def test_a_pod_whose_verdict_is_not_known_is_tried() -> None:
    """A person who may not read approvals gets the answer of the API server."""
    adopt._check(drafted(), None)


@pytest.mark.parametrize("word", [Verdict.COVERED, Verdict.STATIC])
def test_a_pod_that_no_exception_is_needed_for_is_refused(word: Verdict) -> None:
    with pytest.raises(errors.CommandError, match="is not a stray pod: why it is so"):
        adopt._check(drafted(), verdict(word))


def test_a_pod_of_a_workload_is_refused() -> None:
    """Its controller would create it again. The message has the command for the workload."""
    with pytest.raises(errors.CommandError, match=f"kubectl hostnetwork draft -n {NAMESPACE} ds/agent"):
        adopt._check(drafted(), verdict(Verdict.UNCOVERED, owner=OWNER))


def test_a_pod_without_host_namespaces_is_refused() -> None:
    """A Diagnostic exception has at least one."""
    with pytest.raises(errors.CommandError, match="shares no host namespace"):
        adopt._check(drafted(host_namespaces=frozenset(), privileged=True), None)


def test_a_pod_that_no_exception_can_describe_is_refused() -> None:
    paths = frozenset({HostPathAccess("/a|b", read_only=True)})
    with pytest.raises(errors.CommandError, match=r"no exception can list what .* uses: host path /a\|b"):
        adopt._check(drafted(host_paths=paths), None)
