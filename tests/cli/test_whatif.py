"""`kubectl hostnetwork whatif` asks what the operator's gate asks, and without the operator what Pod Security tells."""

from typing import Any

import pytest

from hostnetwork_operator.api import labels
from tests.cli.conftest import hostnetwork, result
from tests.cli.test_status import daemon_set
from tests.controlplane import cluster
from tests.e2e.conftest import IMAGE, World


def deployment(name: str, replicas: int, **spec: Any) -> dict[str, Any]:
    body = daemon_set(name, IMAGE)
    template = body["spec"]["template"]
    template["spec"] = {"containers": template["spec"]["containers"], **spec}
    return {**body, "kind": "Deployment", "spec": {**body["spec"], "replicas": replicas}}


def cron_job(name: str) -> dict[str, Any]:
    pod = {"spec": {"hostPID": True, "restartPolicy": "Never", "containers": [{"name": "main", "image": IMAGE}]}}
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": {"template": pod}}}
    return {"metadata": {"name": name}, "spec": spec}


def refused(document: dict[str, Any], namespace: str) -> dict[str, str]:
    (found,) = [each for each in document["namespaces"] if each["name"] == namespace]
    assert found["failed"] is None
    return {each["subject"]: each["reason"] for each in found["refused"]}


@pytest.fixture(scope="module")
def held(module_world: World) -> str:
    """A namespace that is Held by a pod, a Deployment without replicas and a suspended CronJob."""
    world = module_world
    world.operator.stop()
    namespace = world.namespace(deny=False, old=True)
    world.pod(namespace, "running").expect(201)
    apps, batch = f"/apis/apps/v1/namespaces/{namespace}", f"/apis/batch/v1/namespaces/{namespace}"
    world.admin.post(f"{apps}/deployments", deployment("zero", 0, hostNetwork=True)).expect(201)
    world.admin.post(f"{apps}/deployments", deployment("plain", 1)).expect(201)
    world.admin.post(f"{batch}/cronjobs", cron_job("nightly")).expect(201)
    world.operator.start()
    world.until("it is held", lambda: world.labels(namespace).get(labels.ENFORCEMENT) == "Held")
    return namespace


def test_the_command_names_what_holds_the_namespace(world: World, held: str) -> None:
    """Subject by subject, as the annotation of the operator says it. No exception is in the namespace."""
    found = refused(result(world.cluster, "whatif", "-n", held), held)
    assert set(found) == {"Pod running", "Deployment zero", "CronJob nightly"}
    held_by = world.metadata(held)["annotations"][labels.HELD_BY]
    for subject, reason in found.items():
        assert f"{subject}: {reason}" in held_by
    assert hostnetwork(world.cluster, "whatif", "-n", held, "--fail-on", "refused").returncode == 3


def test_a_stricter_level_refuses_more_and_an_exception_less(world: World, held: str) -> None:
    at_restricted = refused(result(world.cluster, "whatif", "-n", held, "--level", "restricted"), held)
    assert "Deployment plain" in at_restricted
    assert "level restricted" in at_restricted["Deployment plain"]
    world.exception(held, "capture").expect(201)
    world.until(
        "the exception counts",
        lambda: set(refused(result(world.cluster, "whatif", "-n", held), held)) == {"CronJob nightly"},
    )


def test_a_selector_chooses_namespaces(world: World, held: str) -> None:
    names = [each["name"] for each in result(world.cluster, "whatif", "-l", f"{labels.ENFORCEMENT}=Held")["namespaces"]]
    assert held in names
    assert "default" not in names
    document = result(world.cluster, "whatif", "-n", held, "-l", "no=such")
    assert document["namespaces"] == []


def test_clean_namespaces_are_those_that_can_be_enforced(world: World, held: str) -> None:
    """A namespace that could not be asked about is not among them, in any form."""
    clean = world.namespace(deny=False)
    for form in ("table", "wide", "json", "yaml", "name"):
        shown = hostnetwork(world.cluster, "whatif", "--clean", "-o", form, "--no-headers").stdout
        assert clean in shown
        assert held not in shown
    tenant = world.cluster.tenant(clean, "cleaner")
    asked = hostnetwork(world.cluster, "whatif", "-n", clean, "--clean", "-o", "name", user=tenant)
    assert (asked.returncode, asked.stdout) == (1, "")


def test_nothing_is_stored(world: World, held: str) -> None:
    """Every request that could write is a dry run."""
    count = world.request_count()
    hostnetwork(world.cluster, "whatif", "-n", held)
    writes = [
        event["requestURI"]
        for number, event in enumerate(world.cluster.audit_events())
        if number >= count and event["verb"] in {"create", "update", "patch"} and "masters" in str(event["user"])
    ]
    assert writes
    assert all("dryRun=All" in uri for uri in writes), writes


def test_without_the_operator_pod_security_is_asked(bare: cluster.Cluster) -> None:
    """Running pods are named, and the output says that templates were not asked about."""
    namespace = "what-if"
    bare.admin.post("/api/v1/namespaces", {"metadata": {"name": namespace}}).expect(201)
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    bare.wait("the account", lambda: bare.admin.get(account).status == 200)
    pod = {"hostNetwork": True, "containers": [{"name": "main", "image": IMAGE}]}
    bare.admin.post(f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": "capture"}, "spec": pod}).expect(201)
    document = result(bare, "whatif", "-n", namespace)
    assert [each["templatesAsked"] for each in document["namespaces"]] == [False]
    ((subject, reason),) = refused(document, namespace).items()
    assert subject == "Pod capture"
    assert "host namespaces" in reason
    shown = hostnetwork(bare, "whatif", "-n", namespace)
    assert "Only running pods were asked about" in shown.stderr
    assert labels.PSA_ENFORCE not in bare.admin.get(f"/api/v1/namespaces/{namespace}").body["metadata"]["labels"]


def test_a_warning_that_is_not_of_a_pod_is_shown_and_no_success(bare: cluster.Cluster) -> None:
    """It is no pod that would be refused, and Pod Security itself warns so if it did not check every pod."""
    namespace, name = "what-if-warned", "warns.example.com"
    bare.admin.post("/api/v1/namespaces", {"metadata": {"name": namespace}}).expect(201)
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["namespaces"]}
    spec = {
        "matchConstraints": {"resourceRules": [{**rule, "resourceNames": [namespace]}]},
        "validations": [{"expression": "false", "message": "the team must agree"}],
    }
    admission = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
    bare.admin.post(f"{admission}ies", {"metadata": {"name": name}, "spec": spec}).expect(201)
    bound = {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Warn"]}}
    bare.admin.post(f"{admission}ybindings", bound).expect(201)
    path = f"/api/v1/namespaces/{namespace}?dryRun=All"
    try:
        bare.wait("the policy warns", lambda: bare.admin.patch(path, {"metadata": {}}).warnings)
        (found,) = result(bare, "whatif", "-n", namespace, status=1)["namespaces"]
        assert found["refused"] == []
        assert "the team must agree" in found["failed"]
        shown = hostnetwork(bare, "whatif", "-n", namespace)
        assert f"not looked at: namespace {namespace}: " in shown.stderr
        assert "nothing would be refused in 0." in shown.stderr
    finally:
        for kind in ("ybindings", "ies"):
            bare.admin.delete(f"{admission}{kind}/{name}").expect(200)


def test_who_may_not_ask_is_told(world: World, held: str) -> None:
    """The right to create pods in the preview namespaces is missing: nothing is called clean."""
    shown = hostnetwork(world.cluster, "whatif", "-n", held, user=world.cluster.tenant(held, "asker"))
    assert shown.returncode == 1
    assert "not looked at: " in shown.stderr
