"""Reports: one per owner of host-namespace pods, in the kind that is served, written only when they change."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.controlplane import operator
from tests.e2e.conftest import IMAGE, LABEL, OPERATOR, World, enforced

CRDS = pathlib.Path(__file__).parent.parent / "reports"
OPEN = "/apis/openreports.io/v1alpha1", "reports"
POLICY = "/apis/wgpolicyk8s.io/v1alpha2", "policyreports"
FILES = {OPEN: CRDS / "openreports.yaml", POLICY: CRDS / "policyreports.yaml"}
_POLICY = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"
RESYNC_SECONDS = 2
Kind = tuple[str, str]


@pytest.fixture(scope="module")
def planned() -> Iterator[World]:
    """A separate cluster that serves no report kind yet, with an operator that resyncs often."""
    with enforced(HOSTNETWORK_RESYNC_SECONDS=str(RESYNC_SECONDS)) as made:
        yield made


@pytest.fixture
def reporting(planned: World) -> World:
    """The cluster of `planned` with the operator running."""
    if not planned.operator.running():
        planned.operator.start()
    return planned


def serve(world: World, *kinds: Kind) -> None:
    """Install these CRDs, remove the others, and wait until the operator has seen that."""
    for kind, file in FILES.items():
        if kind in kinds:
            operator.apply(world.cluster, "-f", str(file))
        else:
            done = world.cluster.kubectl("delete", "--ignore-not-found", "-f", str(file))
            assert done.returncode == 0, done.stderr
    for kind in FILES:
        status = 200 if kind in kinds else 404
        world.until("the API server knows", lambda k=kind, s=status: world.admin.get("/".join(k)).status == s)
    resynced(world)


def standing(world: World, namespace: str, kind: Kind) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the namespace's reports by kind and name of their owner; none if the kind is not served."""
    answer = world.admin.get(f"{kind[0]}/namespaces/{namespace}/{kind[1]}")
    items = answer.expect(200).body["items"] if answer.status != 404 else []
    return {(one["scope"]["kind"], one["scope"]["name"]): one for one in items}


def results(report: dict[str, Any]) -> dict[str, str]:
    """Map each rule to its result word."""
    return {one["rule"]: one["result"] for one in report["results"]}


def template(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"hostNetwork": True, "containers": [{"name": "main", "image": IMAGE}], **spec},
    }


def deployed(world: World, namespace: str, name: str = "agent", replicas: int = 2) -> str:
    """Create a Deployment, wait until its pods are covered, and return its uid."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": template()}
    uid = world.admin.post(path, {"metadata": {"name": name}, "spec": spec}).expect(201).body["metadata"]["uid"]
    world.until("its pods", lambda: world.status(namespace).get("coveredPods", 0) >= replicas, deadline_seconds=60)
    return str(uid)


def granted(world: World, namespace: str = "") -> str:
    """Return a namespace with an exception in force, by default a new namespace."""
    namespace = namespace or world.namespace()
    world.exception(namespace).expect(201)
    world.until("in force", lambda: world.pod(namespace, dry_run=True).status == 201)
    return namespace


def written(world: World, *namespaces: str) -> list[str]:
    """Return the operator's writes of reports in these namespaces, in order."""
    found = [e for e in world.writes() if e["objectRef"]["resource"] in {"reports", "policyreports"}]
    return [f"{e['verb']} {e['requestURI']}" for e in found if e["objectRef"].get("namespace") in namespaces]


def listed(world: World) -> int:
    """Return how often the operator has listed reports."""
    uris = [e["requestURI"] for e in world.cluster.audit_events() if e["verb"] == "list"]
    return sum(OPEN[0] in uri for uri in uris)


def resynced(world: World, times: int = 2) -> None:
    """Wait until the operator has listed reports so many times more."""
    before = listed(world)
    world.until("it has listed reports again", lambda: listed(world) >= before + times + 1)


def test_with_no_kind_served_nothing_is_asked_or_written(reporting: World) -> None:
    """No report is written, no owner read and no error logged, however often the operator checks for a report kind."""
    serve(reporting)
    namespace = granted(reporting)
    deployed(reporting, namespace)
    resynced(reporting)
    assert written(reporting, namespace) == []
    assert not [e for e in reporting.cluster.audit_events() if "/replicasets/" in _asked(e)]
    lines = reporting.operator.log.read_text().splitlines()
    assert not [line for line in lines if '"level": "ERROR"' in line or "openreports" in line]


def _asked(event: dict[str, Any]) -> str:
    ours = event["user"]["username"].endswith(":hostnetwork-operator")
    return str(event["requestURI"]) if ours and event["verb"] == "get" else ""


@pytest.mark.parametrize("kind", [POLICY, OPEN], ids=["policyreport", "openreports"])
def test_a_report_says_how_a_deployment_stands(reporting: World, kind: Kind) -> None:
    """The report is named after the Deployment, owned by it, and has one counted result per rule.

    The result changes with the verdict, its resultID does not.
    """
    serve(reporting, kind)
    namespace = granted(reporting)
    uid = deployed(reporting, namespace)
    reporting.until("its report", lambda: standing(reporting, namespace, kind))
    reporting.until(
        "it passes",
        lambda: results(standing(reporting, namespace, kind)["Deployment", "agent"])["HostNamespaces"] == "pass",
    )
    (report,) = standing(reporting, namespace, kind).values()
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "agent", "uid": uid}
    assert report["metadata"]["name"] == f"hostnetwork-{uid}"
    assert report["metadata"]["ownerReferences"] == [reference]
    assert report["scope"] == {**reference, "namespace": namespace}
    assert report.get("source") == ("hostnetwork-operator" if kind == OPEN else None)
    said = results(report)
    assert said["DefaultServiceAccount"] == "warn"
    assert len(said) == len(report["results"])
    words = [one["result"] for one in report["results"]]
    assert report["summary"] == {word: words.count(word) for word in ("pass", "fail", "warn", "error", "skip")}
    ids = {one["rule"]: one["properties"]["resultID"] for one in report["results"]}
    assert len(set(ids.values())) == len(ids)

    reporting.admin.delete(f"{reporting.exceptions(namespace)}/capture").expect(200)
    reporting.until(
        "it fails",
        lambda: results(standing(reporting, namespace, kind)["Deployment", "agent"]) == {"HostNamespaces": "fail"},
    )
    (failed,) = standing(reporting, namespace, kind).values()
    (result,) = failed["results"]
    assert "2 Uncovered" in result["message"]
    assert result["properties"]["pods"] == "2"
    assert result["properties"]["resultID"] == ids["HostNamespaces"]
    assert failed["metadata"]["uid"] == report["metadata"]["uid"]


def test_reports_are_about_top_owners(reporting: World) -> None:
    """Deployment, DaemonSet, StatefulSet, CronJob, Job and a bare pod have one report each.

    A controller between such an owner and its pods has none.
    """
    serve(reporting, OPEN)
    namespace = granted(reporting)
    admin, apps, batch = (
        reporting.admin,
        f"/apis/apps/v1/namespaces/{namespace}",
        f"/apis/batch/v1/namespaces/{namespace}",
    )
    selecting = {"selector": {"matchLabels": {"app": "x"}}, "template": template()}
    deployed(reporting, namespace)
    admin.post(f"{apps}/daemonsets", {"metadata": {"name": "node"}, "spec": selecting}).expect(201)
    stateful = {"metadata": {"name": "set"}, "spec": {**selecting, "serviceName": "set", "replicas": 2}}
    admin.post(f"{apps}/statefulsets", stateful).expect(201)
    job = {"template": template(restartPolicy="Never", nodeSelector={"example.com/no-such-node": "true"})}
    admin.post(f"{batch}/jobs", {"metadata": {"name": "once"}, "spec": job}).expect(201)
    schedule = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}}
    admin.post(f"{batch}/cronjobs", {"metadata": {"name": "nightly"}, "spec": schedule}).expect(201)
    done = reporting.cluster.kubectl("create", "job", "tonight", "--from=cronjob/nightly", "-n", namespace)
    assert done.returncode == 0, done.stderr
    reporting.pod(namespace, "bare").expect(201)
    expected = {
        ("Deployment", "agent"), ("DaemonSet", "node"), ("StatefulSet", "set"), ("Job", "once"),
        ("CronJob", "nightly"), ("Pod", "bare"),
    }  # fmt: skip
    reporting.until("all reports", lambda: set(standing(reporting, namespace, OPEN)) == expected, deadline_seconds=60)


def test_what_stands_is_not_written_again(reporting: World) -> None:
    """While the content stays the same, neither a list, nor a recreated pod, nor a restart causes a write."""
    serve(reporting, OPEN)
    namespace = granted(reporting)
    deployed(reporting, namespace)
    reporting.until("its report", lambda: standing(reporting, namespace, OPEN))
    assert reporting.operator.stop() == 0
    reporting.operator.start()  # lists all pods, so that ordinary pods of this namespace are known
    resynced(reporting)
    before = written(reporting, namespace)
    pod = reporting.admin.items(reporting.pods(namespace))[0]["metadata"]["name"]
    reporting.admin.delete(f"{reporting.pods(namespace)}/{pod}").expect(200)
    reporting.until("another pod", lambda: reporting.gone(namespace, pod))
    reporting.until("covered", lambda: reporting.status(namespace).get("coveredPods") == 2)
    assert reporting.operator.stop() == 0
    reporting.operator.start()
    resynced(reporting)
    assert written(reporting, namespace) == before
    assert len(before) <= 4  # one per changed result: no pods yet, one pod, settled, all pods listed


def test_ordinary_pods_beside_the_workload_are_reported_once(reporting: World) -> None:
    """MixedNamespace is `skip` before the list of all pods, then `warn`, or `pass` if the workload is alone.

    More ordinary pods cause no write.
    """
    serve(reporting, OPEN)
    mixed, own = granted(reporting), granted(reporting)
    deployed(reporting, mixed)
    deployed(reporting, own)
    reporting.pod(mixed, "web", hostNetwork=False).expect(201)

    def said(namespace: str) -> str | None:
        report = standing(reporting, namespace, OPEN).get(("Deployment", "agent"))
        return results(report).get("MixedNamespace") if report else None

    reporting.until("it is not known", lambda: said(mixed) == said(own) == "skip")
    reporting.operator.stop()
    reporting.operator.start()
    reporting.until("it is mixed", lambda: said(mixed) == "warn")
    reporting.until("it is alone", lambda: said(own) == "pass")
    resynced(reporting)
    before = written(reporting, mixed, own)
    reporting.pod(mixed, "web-2", hostNetwork=False).expect(201)
    reporting.operator.stop()
    reporting.operator.start()
    resynced(reporting)
    assert written(reporting, mixed, own) == before


def test_a_report_that_somebody_changed_or_removed_is_put_back(reporting: World) -> None:
    """The next list restores edited results and a deleted report."""
    serve(reporting, OPEN)
    namespace = granted(reporting)
    uid = deployed(reporting, namespace)
    path = f"{OPEN[0]}/namespaces/{namespace}/reports/hostnetwork-{uid}"
    reporting.until("its report", lambda: reporting.admin.get(path).status == 200)
    resynced(reporting)
    before = reporting.admin.get(path).body
    reporting.admin.patch(path, {"results": [], "metadata": {"labels": {"team": "x"}}}).expect(200)
    reporting.until("it is put back", lambda: reporting.admin.get(path).body["results"] == before["results"])
    assert reporting.admin.get(path).body["metadata"]["labels"]["team"] == "x"
    reporting.admin.delete(path).expect(200)
    reporting.until("it is made anew", lambda: reporting.admin.get(path).status == 200)


def test_a_workload_that_leaves_the_host_is_reported_no_more(reporting: World) -> None:
    """If hostNetwork is removed from the template, the operator deletes the report; the Deployment stays."""
    serve(reporting, OPEN)
    namespace = granted(reporting)
    deployed(reporting, namespace)
    reporting.until("its report", lambda: standing(reporting, namespace, OPEN))
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/agent"
    reporting.admin.patch(path, {"spec": {"template": {"spec": {"hostNetwork": False}}}}).expect(200)
    reporting.until("it is gone", lambda: not standing(reporting, namespace, OPEN), deadline_seconds=60)
    assert reporting.admin.get(path).status == 200


def test_the_garbage_collector_takes_a_report_with_its_owner(reporting: World) -> None:
    """Kubernetes deletes the reports of a Deployment and of a bare pod while the operator is stopped."""
    serve(reporting, OPEN)
    namespace = granted(reporting)
    deployed(reporting, namespace)
    reporting.pod(namespace, "bare").expect(201)
    reporting.until("both reports", lambda: len(standing(reporting, namespace, OPEN)) == 2)
    assert reporting.operator.stop() == 0
    reporting.admin.delete(f"/apis/apps/v1/namespaces/{namespace}/deployments/agent").expect(200)
    reporting.admin.delete(f"{reporting.pods(namespace)}/bare").expect(200)
    # The garbage collector checks every 30 s for new kinds.
    reporting.until("both are gone", lambda: not standing(reporting, namespace, OPEN), deadline_seconds=120)


def test_a_kind_that_comes_or_goes_is_taken_up_and_there_are_never_both(reporting: World) -> None:
    """The operator deletes PolicyReports when OpenReports are installed, and writes PolicyReports again afterwards.

    The operator runs on while the kinds come and go.
    """
    serve(reporting, POLICY)
    namespace = granted(reporting)
    deployed(reporting, namespace)
    pid = reporting.operator.pid
    reporting.until("a PolicyReport", lambda: standing(reporting, namespace, POLICY))
    serve(reporting, POLICY, OPEN)
    reporting.until("a Report", lambda: standing(reporting, namespace, OPEN))
    reporting.until("no PolicyReport", lambda: not standing(reporting, namespace, POLICY))
    serve(reporting, POLICY)
    reporting.until("a PolicyReport again", lambda: standing(reporting, namespace, POLICY))
    serve(reporting)
    resynced(reporting)
    lines = [line for line in reporting.operator.log.read_text().splitlines() if '"reconcile-failed"' in line]
    assert [line for line in lines if "report" in line] == []
    assert reporting.operator.pid == pid


def test_a_kind_that_goes_between_two_looks_is_no_failure(reporting: World) -> None:
    """A write for a kind that no longer exists is not retried; once the kind is back, the operator uses it."""
    serve(reporting, OPEN)
    namespace = granted(reporting)
    reporting.operator.stop()
    rare = {"HOSTNETWORK_RESYNC_SECONDS": "3600"}
    with operator.OperatorProcess(reporting.cluster, name="rare", environment=rare) as process:
        done = reporting.cluster.kubectl("delete", "-f", str(FILES[OPEN]))
        assert done.returncode == 0, done.stderr
        deployed(reporting, namespace)
        unserved = 'hostnetwork_operator_effects_total{effect="WriteReport",outcome="unserved"} 1.0'
        reporting.until("it was told", lambda: unserved in process.metrics())
        assert "reconcile-failed" not in process.log.read_text()
    serve_again = reporting.operator.start()
    serve(reporting, OPEN)
    reporting.until("its report", lambda: standing(reporting, namespace, OPEN))
    assert serve_again.running()


def test_exempt_or_released_a_namespace_has_no_reports(reporting: World) -> None:
    """Where the operator writes nothing, no report stays: in an exempt namespace, and in mode Release."""
    serve(reporting, OPEN)
    one, other = granted(reporting), granted(reporting)
    deployed(reporting, one)
    deployed(reporting, other)
    reporting.until("their reports", lambda: standing(reporting, one, OPEN) and standing(reporting, other, OPEN))
    before = reporting.admin.get(_POLICY).expect(200).body["spec"]
    exempt = {"spec": {"exemptNamespaces": [*before["exemptNamespaces"], one]}}
    reporting.admin.patch(_POLICY, exempt).expect(200)
    reporting.until("the first has none", lambda: not standing(reporting, one, OPEN))
    assert standing(reporting, other, OPEN)
    reporting.admin.patch(_POLICY, {"spec": {**before, "mode": "Release"}}).expect(200)
    reporting.until("nobody has one", lambda: not reporting.admin.items(f"{OPEN[0]}/reports"))
    reporting.admin.patch(_POLICY, {"spec": before}).expect(200)
    reporting.until("they are back", lambda: standing(reporting, one, OPEN) and standing(reporting, other, OPEN))


def test_a_kind_that_is_on_its_way_out_takes_no_report_and_that_is_no_failure(reporting: World) -> None:
    """While a finalizer delays the end of the CRD, the API server refuses reports.

    The operator still governs the namespace.
    """
    serve(reporting, OPEN)
    namespace = granted(reporting)
    reports = f"{OPEN[0]}/namespaces/{namespace}/{OPEN[1]}"
    body: dict[str, Any] = {
        "apiVersion": OPEN[0].removeprefix("/apis/"),
        "kind": "Report",
        "metadata": {"name": "held"},
    }
    kept = {**body, "metadata": {"name": "kept", "finalizers": ["example.com/kept"]}}
    reporting.admin.post(reports, kept).expect(201)
    definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/reports.openreports.io"
    reporting.admin.delete(definition).expect(200)
    try:
        refuses = (403, 405)  # 405 before Kubernetes 1.36
        reporting.until("it goes", lambda: reporting.admin.post(f"{reports}?dryRun=All", body).status in refuses)
        before = len(reporting.operator.log.read_text())
        reporting.pod(namespace, "late").expect(201)

        def asked() -> list[int]:
            return [
                event["responseStatus"]["code"]
                for event in reporting.cluster.audit_events()
                if event["user"]["username"] == OPERATOR
                and event["verb"] == "create"
                and event["requestURI"].startswith(f"{reports}?")
            ]

        reporting.until("the operator has tried", asked)
        assert set(asked()) <= set(refuses)
        reporting.until("it is governed", lambda: reporting.status(namespace).get("coveredPods") == 1)
        resynced(reporting)
        assert "reconcile-failed" not in reporting.operator.log.read_text()[before:]
    finally:
        reporting.admin.patch(f"{reports}/kept", {"metadata": {"finalizers": None}}).expect(200)
    reporting.until("it is gone", lambda: reporting.admin.get(definition).status == 404)


def test_without_the_rights_everything_else_goes_on(reporting: World) -> None:
    """Under the ClusterRole of an older release namespaces are governed, no report is written, and the log says why."""
    serve(reporting, OPEN)
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/hostnetwork-operator"
    rules = reporting.admin.get(path).expect(200).body["rules"]
    namespace = reporting.namespace()  # enforced while the operator still has the rights for the gate
    older = [rule for rule in rules if not {"openreports.io", "wgpolicyk8s.io", "apps"} & set(rule["apiGroups"])]
    reporting.operator.stop()
    log = reporting.operator.log
    before = len(log.read_text())
    reporting.admin.patch(path, {"rules": older}).expect(200)
    try:
        reporting.operator.start()
        granted(reporting, namespace)
        deployed(reporting, namespace)
        resynced(reporting)
        assert written(reporting, namespace) == []
        said = log.read_text()[before:]
        assert "run kubectl apply -k manifests/base to grant the operator's rights" in said
        assert "reconcile-failed" not in said
    finally:
        # Only the right to read owners is still missing: the operator knows the ReplicaSet as the owner.
        some = [rule for rule in rules if "apps" not in rule["apiGroups"]]
        reporting.admin.patch(path, {"rules": some}).expect(200)
    reporting.until("its report", lambda: standing(reporting, namespace, OPEN))
    ((kind, _),) = standing(reporting, namespace, OPEN)
    reporting.admin.patch(path, {"rules": rules}).expect(200)
    assert kind == "ReplicaSet"
    # The right counts from the next resync on, as soon as something happens in the namespace.
    resynced(reporting)
    reporting.pod(namespace, "bare").expect(201)
    expected = {("Deployment", "agent"), ("Pod", "bare")}
    reporting.until("it is the Deployment's", lambda: set(standing(reporting, namespace, OPEN)) == expected)
