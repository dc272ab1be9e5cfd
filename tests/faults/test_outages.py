"""Something is missing, away or malformed: users see a clear error, and the operator recovers automatically."""

import json
import pathlib
import time
import urllib.error
import urllib.request

from tests.controlplane import cluster, operator
from tests.e2e.conftest import LABEL, PSA, World

ROOT = pathlib.Path(__file__).parent.parent.parent


def test_an_api_server_that_is_away_for_two_minutes_loses_nothing(unattended: World) -> None:
    """The process keeps running, and cleans up what ended meanwhile when the API server is back."""
    name = unattended.namespace()
    unattended.granted_pod(name, seconds=20)
    pid = unattended.operator.pid
    unattended.cluster.kill_apiserver()
    time.sleep(120)  # the outage itself is tested
    assert unattended.operator.running()
    unattended.cluster.start_apiserver()
    unattended.until("its pod is gone", lambda: unattended.is_deleted(name), deadline_seconds=60)
    unattended.until("it is restored", lambda: unattended.labels(name)[PSA] == "baseline")
    assert pid == unattended.operator.pid
    assert unattended.operator.running()
    other_namespace = unattended.namespace()
    unattended.granted_pod(other_namespace)


def test_an_api_server_that_is_not_there_yet_is_waited_for() -> None:
    """The operator starts first, reports what it waits for, is not ready, and works once the API server answers."""
    with cluster.Cluster() as control_plane:
        operator.install(control_plane)
        process = operator.OperatorProcess(control_plane)
        kubeconfig = control_plane.service_account(operator.NAMESPACE, operator.ACCOUNT)
        control_plane.kill_apiserver()
        process.start(ready=False, kubeconfig=kubeconfig)
        world = World(control_plane)
        world.operator = process
        world.until("it says so", lambda: "api-server-unreachable" in process.log.read_text())
        assert process.probe("/readyz") == 503
        assert process.probe("/healthz") == 200
        control_plane.start_apiserver()
        world.until("it is ready", lambda: process.probe("/readyz") == 200, deadline_seconds=60)
        assert process.stop() == 0


def test_a_missing_right_is_named_and_other_namespaces_go_on(unattended: World) -> None:
    """Without the right to patch namespaces, the log and the metrics report that, and the operator still flags pods.

    Once the right is back, the operator recovers automatically.
    """
    kubectl = unattended.cluster.kubectl
    role = json.loads(kubectl("get", "clusterrole", "hostnetwork-operator", "-o", "json").stdout)
    weaker_role = json.loads(json.dumps(role))
    for rule in weaker_role["rules"]:
        if rule["resources"] == ["namespaces"]:
            rule["verbs"].remove("patch")
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/hostnetwork-operator"
    del weaker_role["metadata"]["resourceVersion"]
    del role["metadata"]["resourceVersion"]
    unattended.admin.put(path, weaker_role).expect(200)
    try:
        name = unattended.namespace(deny=False, old=True)
        unattended.pod(name, "squatter").expect(201)
        unattended.until("it is flagged", lambda: unattended.verdict(name, "squatter") == "Uncovered")
        unattended.until("it is counted", lambda: 'outcome="forbidden"' in unattended.operator.metrics())
        assert 'cannot patch resource \\"namespaces\\"' in unattended.operator.log.read_text()
        assert unattended.operator.running()
    finally:
        unattended.admin.put(path, role).expect(200)
    unattended.admin.delete(f"{unattended.pods(name)}/squatter", {"gracePeriodSeconds": 0}).expect(200)
    unattended.until(
        "it heals", lambda: unattended.labels(name).get(f"{LABEL}/enforcement") == "Deny", deadline_seconds=120
    )


def test_a_deleted_policy_changes_nothing_that_stands(unattended: World) -> None:
    """Without a policy, enforcement stays, a grant in force ends on time, and nothing new is granted."""
    name = unattended.namespace()
    unattended.granted_pod(name, seconds=15)
    kubectl = unattended.cluster.kubectl
    assert kubectl("delete", "hnep", "default").returncode == 0
    try:
        later = unattended.namespace(deny=False, old=True)
        unattended.exception(name, "more", serviceAccountName="other").expect(201)
        unattended.until("it is not granted", lambda: unattended.ready(name, "more") == "NoPolicy")
        unattended.until("the pod is gone", lambda: unattended.is_deleted(name))
        unattended.until("restored", lambda: unattended.labels(name)[PSA] == "baseline")
        assert unattended.labels(name)[f"{LABEL}/enforcement"] == "Deny"
        assert unattended.labels(later)[f"{LABEL}/enforcement"] == "Audit"
        assert PSA not in unattended.labels(later)
    finally:
        assert kubectl("apply", "-f", str(ROOT / "manifests/overlays/enforce/policy.yaml")).returncode == 0
    unattended.until("governed again", lambda: unattended.labels(later).get(f"{LABEL}/enforcement") == "Deny")
    unattended.until("granted", lambda: unattended.ready(name, "more") == "Active")


def test_without_the_guard_nothing_is_relaxed(unattended: World) -> None:
    """After the deletion of relaxed-namespace a Diagnostic grant ends immediately, with reason GuardMissing.

    Once the policy is back, the grant is back.
    """
    name = unattended.namespace()
    unattended.granted_pod(name)
    kubectl = unattended.cluster.kubectl
    guard = f"relaxed-namespace.{LABEL}"
    assert kubectl("delete", "validatingadmissionpolicy", guard).returncode == 0
    try:
        unattended.until("the level is restored", lambda: unattended.labels(name)[PSA] == "baseline")
        unattended.until("it says why", lambda: unattended.ready(name) == "GuardMissing")
        assert guard in unattended.condition(name)["message"]
        assert f'hostnetwork_admission_policy_intact{{policy="{guard}"}} 0.0' in unattended.operator.metrics()
    finally:
        assert kubectl("apply", "-k", str(ROOT / "manifests/admission")).returncode == 0
    unattended.until("it is granted again", lambda: unattended.ready(name) == "Active")
    assert unattended.labels(name)[PSA] == "privileged"


def test_who_cannot_watch_is_not_ready(unattended: World) -> None:
    """/readyz names the kind that is not watched, without the right to watch pods and while the API server is away.

    Soon after the end of either, the operator is ready again.
    """
    world = unattended
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/hostnetwork-operator"
    rules = world.admin.get(path).expect(200).body["rules"]
    weaker_rules = [
        {**rule, "verbs": [verb for verb in rule["verbs"] if verb != "watch"]}
        if rule["resources"] == ["pods"]
        else rule
        for rule in rules
    ]
    assert weaker_rules != rules
    world.operator.stop()
    world.admin.patch(path, {"rules": weaker_rules}).expect(200)
    try:
        world.operator.start(ready=False)
        world.until(
            "it is not ready", lambda: "the watch of pods has failed" in _readyz_text(world), deadline_seconds=90
        )
    finally:
        world.admin.patch(path, {"rules": rules}).expect(200)
    world.until("it is ready", lambda: world.operator.probe("/readyz") == 200, deadline_seconds=60)
    world.cluster.kill_apiserver()
    try:
        world.until("it is not ready", lambda: "the watch of " in _readyz_text(world), deadline_seconds=60)
        assert world.operator.probe("/healthz") == 200
    finally:
        world.cluster.start_apiserver()
    world.until("it is ready", lambda: world.operator.probe("/readyz") == 200, deadline_seconds=60)


def test_without_the_right_to_read_admission_policies_diagnostics_end(unattended: World) -> None:
    """After a restart nothing new is granted, because the guards cannot be checked; existing grants still end."""
    world = unattended
    ending, lasting = world.namespace(), world.namespace()
    world.granted_pod(ending, seconds=60, terminationGracePeriodSeconds=0)
    world.granted_pod(lasting)
    world.operator.stop()
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/hostnetwork-operator"
    rules = world.admin.get(path).expect(200).body["rules"]
    weaker_rules = [rule for rule in rules if "validatingadmissionpolicies" not in rule["resources"]]
    assert weaker_rules != rules
    world.admin.patch(path, {"rules": weaker_rules}).expect(200)
    try:
        world.operator.start(ready=False)
        world.until("its pod is deleted", lambda: world.is_deleted(ending), deadline_seconds=150)
        world.until("its level is back", lambda: world.labels(ending)[PSA] == "baseline" and not world.grants(ending))
        assert "validatingadmissionpolicies" in _readyz_text(world)
        world.exception(ending, "later").expect(201)
        world.until("it is not granted", lambda: world.ready(ending, "later") in {"GuardMissing", "NotApproved"})
        assert "capture" in world.grants(lasting)
        assert not world.is_deleted(lasting)
    finally:
        world.admin.patch(path, {"rules": rules}).expect(200)
    world.until("it is ready", lambda: world.operator.probe("/readyz") == 200, deadline_seconds=60)


def _readyz_text(world: World) -> str:
    """Return the answer of /readyz if it is not 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{world.operator.probe_port}/readyz", timeout=5):
            return ""
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError:
        return ""
