"""Reports: one per owner of host-namespace pods, in the kind that is served, written only when they change."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from hostnetwork_operator.decide import catalogue
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
def separate_world() -> Iterator[World]:
    """A separate cluster that serves no report kind yet, with an operator that resyncs often."""
    with enforced(HOSTNETWORK_RESYNC_SECONDS=str(RESYNC_SECONDS)) as world:
        yield world


@pytest.fixture
def world(separate_world: World) -> World:
    """The cluster of `separate_world` with the operator running."""
    if not separate_world.operator.running():
        separate_world.operator.start()
    return separate_world


def serve(world: World, *kinds: Kind) -> None:
    """Install these CRDs, remove the others, and wait until the operator has seen that."""
    for kind, file in FILES.items():
        if kind in kinds:
            operator.apply(world.cluster, "-f", str(file))
        else:
            completed = world.cluster.kubectl("delete", "--ignore-not-found", "-f", str(file))
            assert completed.returncode == 0, completed.stderr
    for kind in FILES:
        status = 200 if kind in kinds else 404
        world.until(
            "the API server knows",
            lambda kind_served=kind, expected=status: world.admin.get("/".join(kind_served)).status == expected,
        )
    wait_for_resyncs(world)


def reports_by_owner(world: World, namespace: str, kind: Kind) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the namespace's reports by kind and name of their owner; none if the kind is not served."""
    answer = world.admin.get(f"{kind[0]}/namespaces/{namespace}/{kind[1]}")
    items = answer.expect(200).body["items"] if answer.status != 404 else []
    return {(report["scope"]["kind"], report["scope"]["name"]): report for report in items}


def results(report: dict[str, Any]) -> dict[str, str]:
    """Map each rule to its result word."""
    return {result["rule"]: result["result"] for result in report["results"]}


def template(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"hostNetwork": True, "containers": [{"name": "main", "image": IMAGE}], **spec},
    }


def deploy(world: World, namespace: str, name: str = "agent", replicas: int = 2) -> str:
    """Create a Deployment, wait until its pods are covered, and return its uid."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": template()}
    uid = world.admin.post(path, {"metadata": {"name": name}, "spec": spec}).expect(201).body["metadata"]["uid"]
    world.until("its pods", lambda: world.status(namespace).get("coveredPods", 0) >= replicas, deadline_seconds=60)
    return str(uid)


def namespace_with_grant(world: World, namespace: str = "") -> str:
    """Return a namespace with an exception in force, by default a new namespace."""
    namespace = namespace or world.namespace()
    world.exception(namespace).expect(201)
    world.until("in force", lambda: world.pod(namespace, dry_run=True).status == 201)
    return namespace


def report_writes(world: World, *namespaces: str) -> list[str]:
    """Return the operator's writes of reports in these namespaces, in order."""
    writes = [e for e in world.writes() if e["objectRef"]["resource"] in {"reports", "policyreports"}]
    return [f"{e['verb']} {e['requestURI']}" for e in writes if e["objectRef"].get("namespace") in namespaces]


def list_count(world: World) -> int:
    """Return how often the operator has listed reports."""
    uris = [e["requestURI"] for e in world.cluster.audit_events() if e["verb"] == "list"]
    return sum(OPEN[0] in uri for uri in uris)


def wait_for_resyncs(world: World, times: int = 2) -> None:
    """Wait until the operator has listed reports `times` more times."""
    count_before = list_count(world)
    world.until("it has listed reports again", lambda: list_count(world) >= count_before + times + 1)


def test_with_no_kind_served_nothing_is_asked_or_written(world: World) -> None:
    """No report is written, no owner read and no error logged, however often the operator checks for a report kind."""
    serve(world)
    namespace = namespace_with_grant(world)
    deploy(world, namespace)
    wait_for_resyncs(world)
    assert report_writes(world, namespace) == []
    assert not [e for e in world.cluster.audit_events() if "/replicasets/" in _get_uri(e)]
    lines = world.operator.log.read_text().splitlines()
    assert not [line for line in lines if '"level": "ERROR"' in line or "openreports" in line]


def _get_uri(event: dict[str, Any]) -> str:
    is_operator = event["user"]["username"].endswith(":hostnetwork-operator")
    return str(event["requestURI"]) if is_operator and event["verb"] == "get" else ""


@pytest.mark.parametrize("kind", [POLICY, OPEN], ids=["policyreport", "openreports"])
def test_a_report_says_how_a_deployment_stands(world: World, kind: Kind) -> None:
    """The report is named after the Deployment, owned by it, and has one counted result per rule.

    The result changes with the verdict, its resultID does not.
    """
    serve(world, kind)
    namespace = namespace_with_grant(world)
    uid = deploy(world, namespace)
    world.until("its report", lambda: reports_by_owner(world, namespace, kind))
    world.until(
        "it passes",
        lambda: results(reports_by_owner(world, namespace, kind)["Deployment", "agent"])["HostNamespaces"] == "pass",
    )
    (report,) = reports_by_owner(world, namespace, kind).values()
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "agent", "uid": uid}
    assert report["metadata"]["name"] == f"hostnetwork-{uid}"
    assert report["metadata"]["ownerReferences"] == [reference]
    assert report["scope"] == {**reference, "namespace": namespace}
    assert report.get("source") == ("hostnetwork-operator" if kind == OPEN else None)
    words_by_rule = results(report)
    assert words_by_rule["DefaultServiceAccount"] == "warn"
    assert len(words_by_rule) == len(report["results"])
    result_words = [entry["result"] for entry in report["results"]]
    assert report["summary"] == {word: result_words.count(word) for word in ("pass", "fail", "warn", "error", "skip")}
    ids = {entry["rule"]: entry["properties"]["resultID"] for entry in report["results"]}
    assert len(set(ids.values())) == len(ids)

    world.admin.delete(f"{world.exceptions(namespace)}/capture").expect(200)
    world.until(
        "it fails",
        lambda: results(reports_by_owner(world, namespace, kind)["Deployment", "agent"]) == {"HostNamespaces": "fail"},
    )
    (failed_report,) = reports_by_owner(world, namespace, kind).values()
    (result,) = failed_report["results"]
    assert "2 Uncovered" in result["message"]
    assert result["properties"]["pods"] == "2"
    assert result["properties"]["resultID"] == ids["HostNamespaces"]
    assert failed_report["metadata"]["uid"] == report["metadata"]["uid"]


def test_a_report_says_what_its_owner_looks_like(world: World) -> None:
    """The properties are the same whether the workload is covered or not. An impostor has the class of its kind."""
    serve(world, OPEN)
    agent = next(agent for agent in catalogue.AGENTS if agent.name == "node-exporter (kube-prometheus)")
    looks = {"class": "Infrastructure", "component": "MetricsExporter", "agent": agent.name, "confidence": "likely"}
    guess = {"class": "Infrastructure", "component": "Other", "agent": None, "confidence": "unknown"}
    for image, expected in ((f"{agent.images[0]}:v1", looks), (IMAGE, guess)):
        namespace = world.namespace()
        world.exception(namespace, images=[image]).expect(201)
        world.until("in force", lambda namespace=namespace: world.ready(namespace) == "Active")
        containers = [{"name": "main", "image": image}]
        spec = {"selector": {"matchLabels": {"app": "x"}}, "template": template(containers=containers)}
        path = f"/apis/apps/v1/namespaces/{namespace}/daemonsets"
        world.admin.post(path, {"metadata": {"name": "node-exporter"}, "spec": spec}).expect(201)

        def result(namespace: str = namespace) -> dict[str, Any]:
            report = reports_by_owner(world, namespace, OPEN).get(("DaemonSet", "node-exporter"))
            return dict(report["results"][0]) if report else {}

        for word in ("pass", "fail"):
            world.until(word, lambda word=word, result=result: result().get("result") == word)
            properties = result()["properties"]
            assert {name: properties.get(name) for name in expected} == expected
            if word == "pass":
                world.admin.delete(f"{world.exceptions(namespace)}/capture").expect(200)


def test_reports_are_about_top_owners(world: World) -> None:
    """Deployment, DaemonSet, StatefulSet, CronJob, Job and a bare pod have one report each.

    A controller between such an owner and its pods has none.
    """
    serve(world, OPEN)
    namespace = namespace_with_grant(world)
    admin, apps, batch = (
        world.admin,
        f"/apis/apps/v1/namespaces/{namespace}",
        f"/apis/batch/v1/namespaces/{namespace}",
    )
    selecting = {"selector": {"matchLabels": {"app": "x"}}, "template": template()}
    deploy(world, namespace)
    admin.post(f"{apps}/daemonsets", {"metadata": {"name": "node"}, "spec": selecting}).expect(201)
    stateful = {"metadata": {"name": "set"}, "spec": {**selecting, "serviceName": "set", "replicas": 2}}
    admin.post(f"{apps}/statefulsets", stateful).expect(201)
    job = {"template": template(restartPolicy="Never", nodeSelector={"example.com/no-such-node": "true"})}
    admin.post(f"{batch}/jobs", {"metadata": {"name": "once"}, "spec": job}).expect(201)
    schedule = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}}
    admin.post(f"{batch}/cronjobs", {"metadata": {"name": "nightly"}, "spec": schedule}).expect(201)
    completed = world.cluster.kubectl("create", "job", "tonight", "--from=cronjob/nightly", "-n", namespace)
    assert completed.returncode == 0, completed.stderr
    world.pod(namespace, "bare").expect(201)
    expected = {
        ("Deployment", "agent"), ("DaemonSet", "node"), ("StatefulSet", "set"), ("Job", "once"),
        ("CronJob", "nightly"), ("Pod", "bare"),
    }  # fmt: skip
    world.until("all reports", lambda: set(reports_by_owner(world, namespace, OPEN)) == expected, deadline_seconds=60)


def test_what_stands_is_not_written_again(world: World) -> None:
    """While the content stays the same, neither a list, nor a recreated pod, nor a restart causes a write."""
    serve(world, OPEN)
    namespace = namespace_with_grant(world)
    deploy(world, namespace)
    world.until("its report", lambda: reports_by_owner(world, namespace, OPEN))
    assert world.operator.stop() == 0
    world.operator.start()  # lists all pods, so that ordinary pods of this namespace are known
    wait_for_resyncs(world)
    writes_before = report_writes(world, namespace)
    pod = world.admin.items(world.pods(namespace))[0]["metadata"]["name"]
    world.admin.delete(f"{world.pods(namespace)}/{pod}").expect(200)
    world.until("another pod", lambda: world.is_deleted(namespace, pod))
    world.until("covered", lambda: world.status(namespace).get("coveredPods") == 2)
    assert world.operator.stop() == 0
    world.operator.start()
    wait_for_resyncs(world)
    assert report_writes(world, namespace) == writes_before
    assert len(writes_before) <= 4  # one per changed result: no pods yet, one pod, settled, all pods listed


def test_ordinary_pods_beside_the_workload_are_reported_once(world: World) -> None:
    """MixedNamespace is `skip` before the list of all pods, then `warn`, or `pass` if the workload is alone.

    More ordinary pods cause no write.
    """
    serve(world, OPEN)
    mixed, alone = namespace_with_grant(world), namespace_with_grant(world)
    deploy(world, mixed)
    deploy(world, alone)
    world.pod(mixed, "web", hostNetwork=False).expect(201)

    def mixed_result(namespace: str) -> str | None:
        report = reports_by_owner(world, namespace, OPEN).get(("Deployment", "agent"))
        return results(report).get("MixedNamespace") if report else None

    world.until("it is not known", lambda: mixed_result(mixed) == mixed_result(alone) == "skip")
    world.operator.stop()
    world.operator.start()
    world.until("it is mixed", lambda: mixed_result(mixed) == "warn")
    world.until("it is alone", lambda: mixed_result(alone) == "pass")
    wait_for_resyncs(world)
    writes_before = report_writes(world, mixed, alone)
    world.pod(mixed, "web-2", hostNetwork=False).expect(201)
    world.operator.stop()
    world.operator.start()
    wait_for_resyncs(world)
    assert report_writes(world, mixed, alone) == writes_before


def test_a_report_that_somebody_changed_or_removed_is_put_back(world: World) -> None:
    """The next list restores edited results and a deleted report."""
    serve(world, OPEN)
    namespace = namespace_with_grant(world)
    uid = deploy(world, namespace)
    path = f"{OPEN[0]}/namespaces/{namespace}/reports/hostnetwork-{uid}"
    world.until("its report", lambda: world.admin.get(path).status == 200)
    wait_for_resyncs(world)
    report_before = world.admin.get(path).body
    world.admin.patch(path, {"results": [], "metadata": {"labels": {"team": "x"}}}).expect(200)
    world.until("it is put back", lambda: world.admin.get(path).body["results"] == report_before["results"])
    assert world.admin.get(path).body["metadata"]["labels"]["team"] == "x"
    world.admin.delete(path).expect(200)
    world.until("it is made anew", lambda: world.admin.get(path).status == 200)


def test_a_workload_that_leaves_the_host_is_reported_no_more(world: World) -> None:
    """If hostNetwork is removed from the template, the operator deletes the report; the Deployment stays."""
    serve(world, OPEN)
    namespace = namespace_with_grant(world)
    deploy(world, namespace)
    world.until("its report", lambda: reports_by_owner(world, namespace, OPEN))
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/agent"
    world.admin.patch(path, {"spec": {"template": {"spec": {"hostNetwork": False}}}}).expect(200)
    world.until("it is gone", lambda: not reports_by_owner(world, namespace, OPEN), deadline_seconds=60)
    assert world.admin.get(path).status == 200


def test_the_garbage_collector_takes_a_report_with_its_owner(world: World) -> None:
    """Kubernetes deletes the reports of a Deployment and of a bare pod while the operator is stopped."""
    serve(world, OPEN)
    namespace = namespace_with_grant(world)
    deploy(world, namespace)
    world.pod(namespace, "bare").expect(201)
    world.until("both reports", lambda: len(reports_by_owner(world, namespace, OPEN)) == 2)
    assert world.operator.stop() == 0
    world.admin.delete(f"/apis/apps/v1/namespaces/{namespace}/deployments/agent").expect(200)
    world.admin.delete(f"{world.pods(namespace)}/bare").expect(200)
    # The garbage collector checks every 30 s for new kinds.
    world.until("both are gone", lambda: not reports_by_owner(world, namespace, OPEN), deadline_seconds=120)


def test_a_kind_that_comes_or_goes_is_taken_up_and_there_are_never_both(world: World) -> None:
    """The operator deletes PolicyReports when OpenReports are installed, and writes PolicyReports again afterwards.

    The operator runs on while the kinds come and go.
    """
    serve(world, POLICY)
    namespace = namespace_with_grant(world)
    deploy(world, namespace)
    pid = world.operator.pid
    world.until("a PolicyReport", lambda: reports_by_owner(world, namespace, POLICY))
    serve(world, POLICY, OPEN)
    world.until("a Report", lambda: reports_by_owner(world, namespace, OPEN))
    world.until("no PolicyReport", lambda: not reports_by_owner(world, namespace, POLICY))
    serve(world, POLICY)
    world.until("a PolicyReport again", lambda: reports_by_owner(world, namespace, POLICY))
    serve(world)
    wait_for_resyncs(world)
    lines = [line for line in world.operator.log.read_text().splitlines() if '"reconcile-failed"' in line]
    assert [line for line in lines if "report" in line] == []
    assert world.operator.pid == pid


def test_a_kind_that_goes_between_two_looks_is_no_failure(world: World) -> None:
    """A write for a kind that no longer exists is not retried; once the kind is back, the operator uses it."""
    serve(world, OPEN)
    namespace = namespace_with_grant(world)
    world.operator.stop()
    environment = {"HOSTNETWORK_RESYNC_SECONDS": "3600"}
    with operator.OperatorProcess(world.cluster, name="rare", environment=environment) as process:
        completed = world.cluster.kubectl("delete", "-f", str(FILES[OPEN]))
        assert completed.returncode == 0, completed.stderr
        deploy(world, namespace)
        unserved = 'hostnetwork_operator_effects_total{effect="WriteReport",outcome="unserved"} 1.0'
        world.until("it was told", lambda: unserved in process.metrics())
        assert "reconcile-failed" not in process.log.read_text()
    serve_again = world.operator.start()
    serve(world, OPEN)
    world.until("its report", lambda: reports_by_owner(world, namespace, OPEN))
    assert serve_again.running()


def test_exempt_or_released_a_namespace_has_no_reports(world: World) -> None:
    """Where the operator writes nothing, no report stays: in an exempt namespace, and in mode Release."""
    serve(world, OPEN)
    first, second = namespace_with_grant(world), namespace_with_grant(world)
    deploy(world, first)
    deploy(world, second)
    world.until("their reports", lambda: reports_by_owner(world, first, OPEN) and reports_by_owner(world, second, OPEN))
    spec_before = world.admin.get(_POLICY).expect(200).body["spec"]
    exempt = {"spec": {"exemptNamespaces": [*spec_before["exemptNamespaces"], first]}}
    world.admin.patch(_POLICY, exempt).expect(200)
    world.until("the first has none", lambda: not reports_by_owner(world, first, OPEN))
    assert reports_by_owner(world, second, OPEN)
    world.admin.patch(_POLICY, {"spec": {**spec_before, "mode": "Release"}}).expect(200)
    world.until("nobody has one", lambda: not world.admin.items(f"{OPEN[0]}/reports"))
    world.admin.patch(_POLICY, {"spec": spec_before}).expect(200)
    world.until("they are back", lambda: reports_by_owner(world, first, OPEN) and reports_by_owner(world, second, OPEN))


def test_a_kind_that_is_on_its_way_out_takes_no_report_and_that_is_no_failure(world: World) -> None:
    """While a finalizer delays the end of the CRD, the API server refuses reports.

    The operator still governs the namespace.
    """
    serve(world, OPEN)
    namespace = namespace_with_grant(world)
    reports = f"{OPEN[0]}/namespaces/{namespace}/{OPEN[1]}"
    body: dict[str, Any] = {
        "apiVersion": OPEN[0].removeprefix("/apis/"),
        "kind": "Report",
        "metadata": {"name": "held"},
    }
    kept_report = {**body, "metadata": {"name": "kept", "finalizers": ["example.com/kept"]}}
    world.admin.post(reports, kept_report).expect(201)
    definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/reports.openreports.io"
    world.admin.delete(definition).expect(200)
    try:
        refuses = (403, 405)  # 405 before Kubernetes 1.36
        world.until("it goes", lambda: world.admin.post(f"{reports}?dryRun=All", body).status in refuses)
        log_before = len(world.operator.log.read_text())
        world.pod(namespace, "late").expect(201)

        def create_statuses() -> list[int]:
            return [
                event["responseStatus"]["code"]
                for event in world.cluster.audit_events()
                if event["user"]["username"] == OPERATOR
                and event["verb"] == "create"
                and event["requestURI"].startswith(f"{reports}?")
            ]

        world.until("the operator has tried", create_statuses)
        assert set(create_statuses()) <= set(refuses)
        world.until("it is governed", lambda: world.status(namespace).get("coveredPods") == 1)
        wait_for_resyncs(world)
        assert "reconcile-failed" not in world.operator.log.read_text()[log_before:]
    finally:
        world.admin.patch(f"{reports}/kept", {"metadata": {"finalizers": None}}).expect(200)
    world.until("it is gone", lambda: world.admin.get(definition).status == 404)


def test_without_the_rights_everything_else_goes_on(world: World) -> None:
    """Under the ClusterRole of an older release namespaces are governed, no report is written, and the log says why."""
    serve(world, OPEN)
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/hostnetwork-operator"
    rules = world.admin.get(path).expect(200).body["rules"]
    namespace = world.namespace()  # enforced while the operator still has the rights for the gate
    older_rules = [rule for rule in rules if not {"openreports.io", "wgpolicyk8s.io", "apps"} & set(rule["apiGroups"])]
    world.operator.stop()
    log = world.operator.log
    log_before = len(log.read_text())
    world.admin.patch(path, {"rules": older_rules}).expect(200)
    try:
        world.operator.start()
        namespace_with_grant(world, namespace)
        deploy(world, namespace)
        wait_for_resyncs(world)
        assert report_writes(world, namespace) == []
        log_text = log.read_text()[log_before:]
        assert "run kubectl apply -k manifests/base to grant the operator's rights" in log_text
        assert "reconcile-failed" not in log_text
    finally:
        # Only the right to read owners is still missing: the operator knows the ReplicaSet as the owner.
        rules_without_apps = [rule for rule in rules if "apps" not in rule["apiGroups"]]
        world.admin.patch(path, {"rules": rules_without_apps}).expect(200)
    world.until("its report", lambda: reports_by_owner(world, namespace, OPEN))
    ((kind, _),) = reports_by_owner(world, namespace, OPEN)
    world.admin.patch(path, {"rules": rules}).expect(200)
    assert kind == "ReplicaSet"
    # The right counts from the next resync on, as soon as something happens in the namespace.
    wait_for_resyncs(world)
    world.pod(namespace, "bare").expect(201)
    expected = {("Deployment", "agent"), ("Pod", "bare")}
    world.until("it is the Deployment's", lambda: set(reports_by_owner(world, namespace, OPEN)) == expected)
