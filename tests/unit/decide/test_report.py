"""Which reports should exist, what they say, and what is to be done about existing reports."""

import json
from typing import Any

import pytest

from hostnetwork_operator.api import report as words
from hostnetwork_operator.decide import catalogue, effects, plan, report, rules, snapshot
from tests.unit.builders import (
    IMAGE,
    NAMESPACE,
    UNKNOWN,
    denied,
    governed,
    hne,
    namespace,
    owners,
    planned,
    pod,
    seen,
    shortage,
)

OPEN, POLICY = words.OPEN_REPORT, words.POLICY_REPORT
SET = snapshot.Reference("ReplicaSet", NAMESPACE, "web-1", "uid-of-web-1", "apps/v1")
DEPLOYMENT = snapshot.Reference("Deployment", NAMESPACE, "web", "uid-of-web", "apps/v1")
DAEMONS = snapshot.Reference("DaemonSet", NAMESPACE, "node", "uid-of-node", "apps/v1")
# What a Deployment with the pods of `pod` looks like.
GUESS = {"class": "Application", "confidence": "unknown"}
AGENT = next(agent for agent in catalogue.AGENTS if agent.name == "node-exporter (kube-prometheus)")
EXEMPT = governed(exempt_namespaces=(NAMESPACE,))


def plan_of(*objects: Any, **fields: Any) -> plan.NamespacePlan:
    """Return the plan of a namespace in a cluster that serves OpenReports. The operator has looked up every owner."""
    return planned(seen(*objects, **{"report_kind": OPEN, "tops": {SET: DEPLOYMENT}, **fields}))


def reports_of(namespace_plan: plan.NamespacePlan) -> dict[str, words.Report]:
    """Return the reports that the plan writes, by the name of the owner."""
    return {e.report.owner.name: e.report for e in namespace_plan.effects if isinstance(e, effects.WriteReport)}


def deletions_of(namespace_plan: plan.NamespacePlan) -> list[tuple[str, str]]:
    """Return kind and name of each report that the plan deletes."""
    return [(e.kind.kind, e.subject.name) for e in namespace_plan.effects if isinstance(e, effects.DeleteReport)]


def results(owner_report: words.Report) -> dict[str, str]:
    return {entry.rule: entry.result.value for entry in owner_report.entries}


def verdict_entry(owner_report: words.Report) -> words.Entry:
    (entry,) = (entry for entry in owner_report.entries if entry.rule == report.RULE)
    return entry


def stored_report(owner_report: words.Report, kind: words.ReportKind = OPEN) -> snapshot.StoredReport:
    """Return the report as it is stored once it is written."""
    return snapshot.StoredReport(
        kind, owner_report.name, "uid", owner_report.owner.kind, words.digest(owner_report.body(kind))
    )


# -- for whom ---------------------------------------------------------------------------------------------------------


def test_pods_of_one_owner_share_a_report() -> None:
    """All pods of a DaemonSet share a report, whatever their verdicts. A pod without an owner has its own report."""
    pods = [pod("a", owner=DAEMONS), pod("b", owner=DAEMONS, service_account="other"), pod("c")]
    assert set(reports_of(plan_of(*pods, hne()))) == {"node", "c"}


def test_a_replica_sets_pods_are_their_deployments() -> None:
    """The report is about the Deployment, and is named after the Deployment's uid."""
    (owner_report,) = reports_of(plan_of(pod(owner=SET), hne())).values()
    assert owner_report.name == "hostnetwork-uid-of-web"
    assert owner_report.owner == words.Owner("apps/v1", "Deployment", "web", "uid-of-web")


def test_nothing_is_reported_before_an_owner_is_known() -> None:
    """The operator asks for the owner first. Levels and flags do not wait for the answer."""
    first_plan = plan_of(pod(owner=SET), pod("bare"), tops={})
    assert owners(first_plan) == (SET,)
    assert reports_of(first_plan) == {}
    assert [e for e in first_plan.effects if isinstance(e, effects.WriteVerdict)]
    assert owners(plan_of(pod(owner=SET))) == ()


def test_an_owner_that_is_not_there_counts_for_nothing() -> None:
    """A pod that names a ReplicaSet that does not exist has its own report."""
    assert set(reports_of(plan_of(pod(owner=SET), tops={SET: None}))) == {"capture"}


@pytest.mark.parametrize(
    "owner",
    [
        snapshot.Reference("DaemonSet", NAMESPACE, "node", "../../kube-system/x", "apps/v1"),
        snapshot.Reference("DaemonSet", NAMESPACE, "node", "UPPER", "apps/v1"),
        snapshot.Reference("DaemonSet", NAMESPACE, "node", "u" * 250, "apps/v1"),
        snapshot.Reference("ReplicaSet", NAMESPACE, "../../../pods", "uid /", "apps/v1"),
    ],
)
def test_a_forged_owner_is_no_address(owner: snapshot.Reference) -> None:
    """A uid that cannot be part of a name is ignored, and the operator does not request a path."""
    namespace_plan = plan_of(pod(owner=owner))
    assert owners(namespace_plan) == ()
    assert set(reports_of(namespace_plan)) == {"capture"}


def test_two_names_under_one_uid_are_one_report() -> None:
    """One of the names is forged. Two reports of one name would overwrite each other in turn."""
    forged = snapshot.Reference("DaemonSet", NAMESPACE, "zzz", DAEMONS.uid, "apps/v1")
    assert set(reports_of(plan_of(pod("a", owner=forged), pod("b", owner=DAEMONS)))) == {"node"}


def test_a_mirror_pod_stands_for_itself() -> None:
    """The owner of a mirror pod is its Node, which has nothing to do with the report."""
    node = snapshot.Reference("Node", NAMESPACE, "node-1", "uid-of-node-1")
    (owner_report,) = reports_of(plan_of(pod(mirror=True, owner=node))).values()
    assert (owner_report.owner.kind, results(owner_report)) == ("Pod", {"HostNamespaces": "skip"})


# -- what it says -----------------------------------------------------------------------------------------------------


def test_covered_pods_pass_with_the_findings_about_what_covers_them() -> None:
    """The report has every rule that applies, at most once, in a fixed order."""
    (owner_report,) = reports_of(plan_of(pod(owner=SET), pod("other", owner=SET), hne())).values()
    assert [entry.rule for entry in owner_report.entries][:2] == ["HostNamespaces", "Expiring"]
    assert results(owner_report)["HostNamespaces"] == "pass"
    assert (results(owner_report)["ContactMissing"], results(owner_report)["Unused"]) == ("warn", "pass")
    assert len(results(owner_report)) == len(owner_report.entries)


def test_an_uncovered_pod_fails_for_all() -> None:
    """One of three pods is enough. The message counts the pods, names the uncovered pod, and says what to do."""
    pods = [pod("a", owner=SET), pod("b", owner=SET), pod("c", owner=SET, service_account="other")]
    (owner_report,) = reports_of(plan_of(*pods, hne())).values()
    entry = verdict_entry(owner_report)
    assert entry.result is words.Result.FAIL
    assert entry.message.startswith(
        "pods with host namespaces: 2 Covered, 1 Uncovered; pod c uses host namespace Network, and "
    )
    assert "request a HostNetworkException for service account 'other'" in entry.message
    assert entry.properties == {"verdict": "Uncovered", "pods": "1", "names": "c", **GUESS}


def test_an_expired_pod_fails() -> None:
    """The message names the exception that ended. There are no findings about such an exception."""
    (owner_report,) = reports_of(
        plan_of(pod(), hne(expiry=pod().created.replace(minute=30), on_expiry="Report"))
    ).values()
    assert results(owner_report) == {"HostNamespaces": "fail"}
    assert "exception 'net' ended" in verdict_entry(owner_report).message


def test_a_pod_that_cannot_be_read_is_an_error() -> None:
    """If the operator cannot tell, the result is an error, not a pass."""
    odd = snapshot.UnreadablePod(NAMESPACE, "odd", "uid-of-odd", "KeyError: 'image'")
    (owner_report,) = reports_of(plan_of(odd)).values()
    assert (owner_report.owner.kind, results(owner_report)) == ("Pod", {"HostNamespaces": "error"})


def test_of_several_exceptions_the_worst_result_of_a_rule_counts() -> None:
    """The entry names all exceptions that have this result."""
    first = hne("a", service_account_name="one", contact="x@example.com")
    second, third = hne("b", service_account_name="two"), hne("c", service_account_name="three")
    pods = [pod(name, owner=SET, service_account=name) for name in ("one", "two", "three")]
    (owner_report,) = reports_of(plan_of(*pods, first, second, third)).values()
    (entry,) = (entry for entry in owner_report.entries if entry.rule == rules.CONTACT_MISSING.id)
    assert (entry.result, entry.properties["exceptions"]) == (words.Result.WARN, "b, c")
    assert entry.message.startswith("exception 'b': ")
    assert "kubectl patch hne b -n payments" in entry.message


def test_an_exception_that_covers_others_is_no_matter_of_this_workload() -> None:
    """The findings about an exception are in the reports of the workloads that it covers."""
    pods = [pod("a"), pod("b", service_account="two")]
    reports_by_owner = reports_of(plan_of(*pods, hne("x", privileged=True), hne("y", service_account_name="two")))
    assert (
        results(reports_by_owner["a"])["PrivilegedGranted"],
        results(reports_by_owner["b"])["PrivilegedGranted"],
    ) == ("warn", "pass")


def test_a_rollout_of_covered_pods_is_no_news() -> None:
    """Other names and numbers of covered pods change nothing."""
    (owner_report,) = reports_of(plan_of(pod("a", owner=SET), hne())).values()
    pods = [pod(name, owner=SET) for name in ("b", "c", "d")]
    assert reports_of(plan_of(*pods, hne(), reports=(stored_report(owner_report),))) == {}


def agent_pod(name: str, **fields: Any) -> snapshot.Pod:
    image = f"{AGENT.images[0]}:{fields.pop('tag', 'v1')}"
    return pod(name, owner=DAEMONS, images=frozenset({image}), service_account=AGENT.accounts[0], **fields)


def test_what_an_owner_looks_like_is_in_its_report() -> None:
    """The class is that of all pods of the owner, whatever their verdict."""
    subject = hne(service_account_name=AGENT.accounts[0], images=None)
    expected = {
        "class": "Infrastructure",
        "component": "MetricsExporter",
        "agent": "node-exporter (kube-prometheus)",
        "confidence": "likely",
    }
    for objects in ((agent_pod("a"), subject), (agent_pod("a"),)):
        properties = verdict_entry(reports_of(plan_of(*objects))["node"]).properties
        assert {name: properties[name] for name in expected} == expected
    properties = verdict_entry(reports_of(plan_of(pod(owner=SET)))["web"]).properties
    assert {name: properties.get(name) for name in expected} == {**dict.fromkeys(expected), **GUESS}


def test_a_rollout_changes_no_class() -> None:
    """Another tag, another order and a pod that is being deleted lead to no write."""
    subject = hne(service_account_name=AGENT.accounts[0], images=None)
    (owner_report,) = reports_of(plan_of(agent_pod("a"), agent_pod("b"), subject)).values()
    old = pod("a", owner=DAEMONS, service_account=AGENT.accounts[0], deleting=True)
    pods = (agent_pod("z", tag="v2"), old, agent_pod("c", tag="v1"))
    for some in (pods, pods[::-1]):
        assert reports_of(plan_of(*some, subject, reports=(stored_report(owner_report),))) == {}


def test_a_refused_workload_has_the_class_of_its_next_pod() -> None:
    """A pod that cannot be read has no class: its images are not known."""
    odd = snapshot.UnreadablePod(NAMESPACE, "odd", "uid-of-odd", "KeyError: 'image'")
    lacking = shortage("node", top=DAEMONS, pod=agent_pod("next"))
    plan_of_both = plan_of(pod("old", owner=DAEMONS), odd, shortages=(lacking,))
    entries = {entry.rule: entry for entry in reports_of(plan_of_both)["node"].entries}
    assert entries[report.RULE].properties.get("agent") is None
    assert entries[report.REFUSED_RULE].properties["agent"] == AGENT.name
    assert "class" not in verdict_entry(reports_of(plan_of_both)["odd"]).properties


def test_a_result_keeps_its_id() -> None:
    """The id stays if the result or the kind of the report changes. Each rule and each owner has another id."""
    (passing_report,) = reports_of(plan_of(pod(owner=SET), hne())).values()
    (failing_report,) = reports_of(plan_of(pod(owner=SET))).values()
    (other_report,) = reports_of(plan_of(pod(owner=DAEMONS))).values()

    def first_result_id(owner_report: words.Report, kind: words.ReportKind = OPEN) -> str:
        return str(owner_report.body(kind)["results"][0]["properties"]["resultID"])

    assert first_result_id(passing_report) == first_result_id(failing_report) == first_result_id(failing_report, POLICY)
    assert first_result_id(other_report) != first_result_id(failing_report)
    ids = [result["properties"]["resultID"] for result in passing_report.body(OPEN)["results"]]
    assert len(set(ids)) == len(ids)


# -- how large it is --------------------------------------------------------------------------------------------------


def test_a_report_stays_small_and_says_what_it_leaves_out() -> None:
    """A report about 1,301 pods and 64 exceptions with the longest names is below 64 KiB. Its counts are exact."""
    subjects = [
        hne(f"{number:02}" + "e" * 61, service_account_name=f"sa-{number}", privileged=True, images=(IMAGE,))
        for number in range(64)
    ]
    pods = [
        pod(f"{number:04}" + "p" * 240, owner=SET, service_account=f"sa-{number % 65}", images=frozenset({IMAGE}))
        for number in range(1_300)
    ]
    huge = pod("0" + "p" * 240, owner=SET, images=frozenset({"registry.example.com/" + "é" * 2_000}))
    (owner_report,) = reports_of(plan_of(*pods, huge, *subjects)).values()
    body = owner_report.body(OPEN)
    assert len(json.dumps(body, ensure_ascii=False).encode()) < 64 * 1024
    assert len(body["results"]) == len(rules.RULES)  # one of eleven rules is for Infrastructure only
    result = body["results"][0]
    assert result["properties"]["pods"] == "21"
    assert result["properties"]["names"].endswith(" and 11 more")
    assert result["properties"]["names"].count(", ") == 9
    assert body["results"][-1]["properties"]["exceptions"].endswith(" and 54 more")


def test_a_message_that_is_cut_says_so() -> None:
    """The message says how long it was, and is never cut in the middle of a character."""
    subject = pod(images=frozenset({"é" * 3_000}))
    (owner_report,) = reports_of(plan_of(subject, hne())).values()
    text = owner_report.body(OPEN)["results"][0]["message"]
    full = verdict_entry(owner_report).message
    assert text.endswith(f"… (cut here; the full text has {len(full.encode())} bytes)")
    assert len(text.encode()) < 1_100
    assert full.startswith(text.split("…")[0])


# -- what is done -----------------------------------------------------------------------------------------------------


def test_what_stands_as_it_should_is_left_alone() -> None:
    """This applies to both kinds of reports, also as the API server returns them."""
    for kind in (OPEN, POLICY):
        (owner_report,) = reports_of(plan_of(pod(owner=SET), hne(), report_kind=kind)).values()
        assert (
            reports_of(plan_of(pod(owner=SET), hne(), report_kind=kind, reports=(stored_report(owner_report, kind),)))
            == {}
        )
        server_body = owner_report.body(kind)
        server_body["metadata"] |= {"uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-11-22T12:00:00Z"}
        assert words.digest(server_body) == words.digest(owner_report.body(kind))


@pytest.mark.parametrize("field", ["source", "scope", "summary", "results"])
def test_what_somebody_changed_is_written_over(field: str) -> None:
    """The write is for the uid that the operator has read."""
    (owner_report,) = reports_of(plan_of(pod(), hne())).values()
    body = owner_report.body(OPEN)
    body[field] = None
    changed_report = snapshot.StoredReport(OPEN, owner_report.name, "its-uid", "Pod", words.digest(body))
    (effect,) = (
        e for e in plan_of(pod(), hne(), reports=(changed_report,)).effects if isinstance(e, effects.WriteReport)
    )
    assert effect.uid == "its-uid"


def test_a_report_of_nobody_goes_unless_its_pod_takes_it_along() -> None:
    """A Deployment without such pods continues to exist, so its report is deleted.

    The garbage collector deletes the report of a pod.
    """
    workload_report = snapshot.StoredReport(OPEN, "hostnetwork-x", "u", "Deployment", "d")
    pod_report = snapshot.StoredReport(OPEN, "hostnetwork-y", "u", "Pod", "d")
    assert deletions_of(plan_of(reports=(workload_report, pod_report))) == [("Report", "hostnetwork-x")]


def test_reports_of_others_are_left_alone() -> None:
    """This is true even if they have our label."""
    other_report = snapshot.StoredReport(OPEN, "cpol-x", "u", "Deployment", "d")
    assert deletions_of(plan_of(reports=(other_report,), policy=EXEMPT)) == []


def test_never_both_kinds() -> None:
    """Reports of the other kind are deleted before anything is written, whatever their owner."""
    old_report = snapshot.StoredReport(POLICY, "hostnetwork-uid-of-capture", "u", "Pod", "d")
    namespace_plan = plan_of(pod(), hne(), reports=(old_report,))
    assert deletions_of(namespace_plan) == [("PolicyReport", "hostnetwork-uid-of-capture")]
    report_effects = [e for e in namespace_plan.effects if isinstance(e, effects.WriteReport | effects.DeleteReport)]
    assert [type(e) for e in report_effects] == [effects.DeleteReport, effects.WriteReport]
    assert [e.uid for e in report_effects if isinstance(e, effects.WriteReport)] == [""]


@pytest.mark.parametrize("policy_state", [EXEMPT, governed(mode="Release")])
def test_where_nothing_is_written_no_report_stays(policy_state: snapshot.PolicyState) -> None:
    """In an exempt namespace and in mode Release all reports are deleted, even before their owners are known."""
    reports = tuple(
        snapshot.StoredReport(OPEN, f"hostnetwork-{kind}", "u", kind, "d") for kind in ("Pod", "Deployment")
    )
    namespace_plan = plan_of(pod(owner=SET), reports=reports, policy=policy_state, tops={}, namespace=namespace())
    assert len(deletions_of(namespace_plan)) == 2
    assert (reports_of(namespace_plan), owners(namespace_plan)) == ({}, ())


def test_without_a_kind_nothing_is_done_or_asked() -> None:
    """No report is written or deleted, and no owner is looked up."""
    reports = (snapshot.StoredReport(POLICY, "hostnetwork-x", "u", "Deployment", "d"),)
    namespace_plan = plan_of(pod(owner=SET), hne(), report_kind=None, tops={}, reports=reports)
    assert (reports_of(namespace_plan), deletions_of(namespace_plan), owners(namespace_plan)) == ({}, [], ())


def test_a_terminating_namespace_is_left_alone() -> None:
    """The namespace controller deletes everything."""
    reports = (snapshot.StoredReport(OPEN, "hostnetwork-x", "u", "Deployment", "d"),)
    namespace_plan = plan_of(pod(), reports=reports, namespace=denied(terminating=True))
    assert (reports_of(namespace_plan), deletions_of(namespace_plan)) == ({}, [])


def test_where_the_policy_cannot_be_read_findings_say_so() -> None:
    """A rule that needs the settings of the policy leads to an error, not to a pass."""
    (owner_report,) = reports_of(plan_of(pod(), hne(), policy=UNKNOWN, namespace=denied(hne()))).values()
    assert results(owner_report)["Expiring"] == "error"
