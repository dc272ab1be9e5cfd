"""The life of an exception: it is applied, a pod uses it, and it ends."""

import datetime

from tests.e2e.conftest import IMAGE, LABEL, PSA, World


def test_an_applied_exception_admits_its_pod(world: World) -> None:
    """The operator lifts the level, the pod is admitted, and the exception's status names the pod."""
    name = world.namespace()
    assert world.pod(name).status == 403
    world.granted_pod(name)
    assert world.labels(name)[PSA] == "privileged"
    assert world.labels(name)[f"{LABEL}/guard"] == "baseline"
    assert world.status(name)["samplePods"] == ["capture"]
    assert world.ready(name) == "Active"
    assert world.verdict(name, "capture") is None


def test_a_grant_covers_nothing_else(world: World) -> None:
    """In a relaxed namespace host-namespaces refuses another image, and the guard refuses a privileged pod."""
    name = world.namespace()
    world.granted_pod(name)
    other_answer = world.pod(name, "other", containers=[{"name": "main", "image": "registry.example.com/other:1"}])
    assert other_answer.status == 403
    assert "ValidatingAdmissionPolicy" in other_answer.message
    privileged = {"name": "main", "image": IMAGE, "securityContext": {"privileged": True}}
    plain_answer = world.pod(name, "plain", hostNetwork=False, containers=[privileged])
    assert plain_answer.status == 403
    assert "relaxed-namespace" in plain_answer.message


def _warned(world: World, namespace: str) -> str:
    """Return the warnings for a user who applies the covered agent."""
    template = {
        "metadata": {"labels": {"app": "agent"}},
        "spec": {"hostNetwork": True, "containers": [{"name": "main", "image": IMAGE}]},
    }
    spec = {"selector": {"matchLabels": {"app": "agent"}}, "template": template}
    path = f"/apis/apps/v1/namespaces/{namespace}/daemonsets?dryRun=All"
    return "; ".join(world.admin.post(path, {"metadata": {"name": "agent"}, "spec": spec}).expect(201).warnings)


def test_the_warn_level_of_a_relaxed_namespace_follows_its_guard(unattended: World) -> None:
    """While the namespace is relaxed, the API server warns of violations of the guard's level only.

    When the exception ends, the policy's warn level is back, and nothing is contested.
    """
    name = unattended.namespace()
    assert 'PodSecurity "restricted:latest"' in _warned(unattended, name)
    unattended.granted_pod(name, seconds=25)
    warn, audit = (f"pod-security.kubernetes.io/{mode}" for mode in ("warn", "audit"))
    current = unattended.labels(name)
    assert (current[warn], current[audit], current[f"{LABEL}/guard"]) == ("baseline", "restricted", "baseline")
    assert "restricted" not in _warned(unattended, name)
    assert unattended.operator.stop() == 0
    unattended.operator.start()
    assert unattended.labels(name)[warn] == "baseline"
    unattended.until("restored", lambda: unattended.labels(name)[PSA] == "baseline", deadline_seconds=60)
    assert unattended.labels(name)[warn] == "restricted"
    reasons = [reason for _, _, reason in unattended.events(name)]
    assert {"NamespaceContested", "LabelsRepaired"}.isdisjoint(reasons)


def test_a_diagnostic_ends(world: World) -> None:
    """At the expiry the operator restores the namespace, deletes the pod and reports that; a new pod is refused."""
    name = world.namespace()
    world.granted_pod(name, seconds=8)
    world.until("its pod is deleted", lambda: world.is_deleted(name))
    world.until("the record says so", lambda: world.ready(name) == "Expired")
    world.until("it is cleaned up", lambda: world.condition(name, kind="CleanedUp").get("status") == "True")
    assert world.labels(name)[PSA] == "baseline"
    assert world.labels(name)[f"{LABEL}/guard"] == "baseline", "the guard stays for good"
    assert world.grants(name) == {}
    assert world.pod(name).status == 403
    reasons = [reason for _, _, reason in world.events(name)]
    expected = ["Active", "Expired", "ExpiredPodDeleted", "HostNamespacesExpired"]
    expected += ["LevelEnforced", "LevelRelaxed", "LevelRestored"]
    expected += ["ContactMissing", "DefaultServiceAccount", "Expiring", "ImageNotPinned"]
    assert sorted(expected) == sorted(reasons)


def test_who_uses_an_exception_is_told_before_it_ends(world: World) -> None:
    """From warnBefore on, the condition Expiring is True, and the exception and its pod get one Event each."""
    name = world.namespace()
    world.granted_pod(name)
    assert world.condition(name, kind="Expiring")["reason"] == "NotSoon"
    body = {"spec": {"expiry": world.time(1803)}}  # warnBefore of a Diagnostic: 30 minutes
    world.admin.patch(f"{world.exceptions(name)}/capture", body).expect(200)
    world.until("it is expiring", lambda: world.condition(name, kind="Expiring")["status"] == "True")
    subjects = [(kind, subject) for kind, subject, reason in world.events(name) if reason == "Expiring"]
    assert subjects == [("HostNetworkException", "capture"), ("Pod", "capture")]
    assert (
        "set a later spec.expiry before the end"
        in world.cluster.kubectl("describe", "pod", "capture", "-n", name).stdout
    )
    assert world.ready(name) == "Active"


def test_an_agent_reviewed_for_an_older_kubernetes_is_due(world: World) -> None:
    """The running API server's version counts; a review for that version settles the condition.

    Other findings are reported once.
    """
    name = world.namespace()
    version = world.admin.get("/version").body
    older = f"{version['major']}.{int(version['minor']) - 1}"
    spec = {"type": "Infrastructure", "serviceAccountName": "agent", "review": {"kubernetesVersion": older}}
    world.exception(name, "agent", ticket=None, expiry=None, images=None, **spec).expect(201)
    world.until("it is due", lambda: world.condition(name, "agent", "ReviewDue").get("reason") == "Overdue")
    reasons = [reason for _, subject, reason in world.events(name) if subject == "agent"]
    assert sorted(reasons) == ["Active", "ContactMissing", "ImagesUnrestricted", "ReviewDue"]
    review = {"spec": {"review": {"kubernetesVersion": f"{version['major']}.{version['minor']}"}}}
    world.admin.patch(f"{world.exceptions(name)}/agent", review).expect(200)
    world.until("it is reviewed", lambda: world.condition(name, "agent", "ReviewDue")["reason"] == "Reviewed")
    assert sorted(reason for _, subject, reason in world.events(name) if subject == "agent") == sorted(reasons)


def test_revoking_cleans_up(world: World) -> None:
    """An expiry that is moved to now ends the exception like an expiry that has passed."""
    name = world.namespace()
    world.granted_pod(name)
    body = {"spec": {"expiry": world.time(2)}}
    world.admin.patch(f"{world.exceptions(name)}/capture", body).expect(200)
    world.until("its pod is deleted", lambda: world.is_deleted(name))
    world.until("it is restored", lambda: world.labels(name)[PSA] == "baseline")


def test_extending_keeps_the_pod(world: World) -> None:
    """If the expiry is moved before it passes, the pod stays."""
    name = world.namespace()
    world.granted_pod(name, seconds=6)
    first_expiry = datetime.datetime.fromisoformat(
        world.admin.get(f"{world.exceptions(name)}/capture").body["spec"]["expiry"]
    )
    world.admin.patch(f"{world.exceptions(name)}/capture", {"spec": {"expiry": world.time(600)}}).expect(200)
    world.holds_until(first_expiry + datetime.timedelta(seconds=3), "the pod lives", lambda: not world.is_deleted(name))
    assert world.ready(name) == "Active"


def test_deleting_an_exception_flags_its_pods_and_deletes_none(world: World) -> None:
    """The grant ends; the pod becomes Uncovered and keeps running."""
    name = world.namespace()
    world.granted_pod(name)
    world.admin.delete(f"{world.exceptions(name)}/capture").expect(200)
    world.until("the pod is flagged", lambda: world.verdict(name, "capture") == "Uncovered")
    world.until("the level is restored", lambda: world.labels(name)[PSA] == "baseline")
    assert not world.is_deleted(name)


def test_an_application_that_ends_is_flagged_and_lives_on(world: World) -> None:
    """The operator deletes only pods of Diagnostic exceptions."""
    name = world.namespace()
    world.granted_pod(name, seconds=6, type="Application")
    world.until("the pod is flagged", lambda: world.verdict(name, "capture") == "Expired")
    world.until("the level is restored", lambda: world.labels(name)[PSA] == "baseline")
    world.until("CleanedUp tells", lambda: world.condition(name, kind="CleanedUp").get("reason") == "Reported")
    assert not world.is_deleted(name)


def test_a_diagnostic_that_only_reports_deletes_nothing(world: World) -> None:
    """With onExpiry: Report the operator flags the pod."""
    name = world.namespace()
    world.granted_pod(name, seconds=6, onExpiry="Report")
    world.until("the pod is flagged", lambda: world.verdict(name, "capture") == "Expired")
    assert not world.is_deleted(name)


def test_a_pod_covered_by_another_exception_is_spared(world: World) -> None:
    """The end of one exception does not affect a pod that another exception in force covers."""
    name = world.namespace()
    world.exception(name, "longer", seconds=3600).expect(201)
    world.exception(name, "shorter", seconds=6).expect(201)
    world.until("the pod is admitted", lambda: world.pod(name).status == 201)
    world.until("the shorter has ended", lambda: world.ready(name, "shorter") == "Expired")
    world.until("the longer covers it", lambda: world.status(name, "longer").get("coveredPods") == 1)
    assert not world.is_deleted(name)
    assert world.labels(name)[PSA] == "privileged"
    assert set(world.grants(name)) == {"longer"}


def test_describe_explains_itself(world: World) -> None:
    """kubectl describe of exception, pod and namespace says in words what the state is, and why."""
    name = world.namespace()
    world.granted_pod(name)
    world.exception(name, "typo", seconds=3600, serviceAccountName="nobody").expect(201)
    world.until("both are judged", lambda: world.ready(name, "typo") == "Active")
    table = world.cluster.kubectl("get", "hne", "-n", name).stdout
    assert "TYPE" in table
    assert "Diagnostic" in table
    assert "team-sre" in table
    description = world.cluster.kubectl("describe", "hne", "capture", "-n", name).stdout
    assert "in force until" in description
    assert "the exception covers 1 pod" in description
    world.admin.delete(f"{world.exceptions(name)}/capture").expect(200)
    world.until("the pod is flagged", lambda: world.verdict(name, "capture") == "Uncovered")
    pod = world.cluster.kubectl("describe", "pod", "capture", "-n", name).stdout
    assert "HostNamespacesUncovered" in pod
    assert "no exception covers the pod. Closest: 'typo'" in pod
    assert "for service account 'nobody'" in pod
    namespace = world.cluster.kubectl("describe", "ns", name).stdout
    assert "hostnetwork-operator.github.io/enforcement=Deny" in namespace


def test_kubectl_debug_node_ends_with_its_exception(world: World) -> None:
    """kubectl's own debug pod is admitted, covered, and deleted at the expiry."""
    name = world.namespace()
    spec = {"hostNamespaces": ["Network", "PID", "IPC"], "hostPaths": [{"path": "/", "readOnly": False}]}
    world.exception(name, "node-debug", seconds=12, images=["registry.example.com/busybox:1.37"], **spec).expect(201)
    arguments = ["debug", "node/node-1", "-n", name, "--image=registry.example.com/busybox:1.37", "--profile=general"]
    world.until("kubectl debug is admitted", lambda: world.cluster.kubectl(*arguments).returncode == 0)
    pods = [pod["metadata"]["name"] for pod in world.admin.items(world.pods(name))]
    assert len(pods) == 1
    assert pods[0].startswith("node-debugger-node-1-")
    world.until("it is covered", lambda: world.status(name, "node-debug").get("coveredPods") == 1)
    world.until("it is deleted", lambda: world.is_deleted(name, pods[0]))


def test_a_tenant_is_told_what_to_ask_for(world: World) -> None:
    """A tenant with every verb in the namespace can write no exception, and the refusal names the verb `approve`."""
    name = world.namespace()
    tenant = world.cluster.tenant(name)
    body = {
        "apiVersion": f"{LABEL}/v1alpha1",
        "kind": "HostNetworkException",
        "metadata": {"name": "mine"},
        "spec": {
            "type": "Diagnostic",
            "owner": "me",
            "reason": "I would like to have it",
            "ticket": "X-1",
            "expiry": world.time(600),
            "images": [IMAGE],
        },
    }
    answer = world.cluster.api(tenant).post(world.exceptions(name), body)
    assert answer.status == 403
    assert "approve" in answer.message
    assert world.grants(name) == {}


def test_an_exception_from_an_earlier_namespace_counts_for_nothing(world: World) -> None:
    """In a recreated namespace the exception of the earlier namespace grants nothing."""
    name = world.namespace()
    world.exception(name).expect(201)
    world.until("in force", lambda: world.ready(name) == "Active")
    first = world.status(name)["namespaceUID"]
    assert first == world.metadata(name)["uid"]
    world.admin.delete(f"/api/v1/namespaces/{name}").expect(200)
    world.until("it is gone", lambda: world.admin.get(f"/api/v1/namespaces/{name}").status == 404, 60)
    world.admin.post("/api/v1/namespaces", {"metadata": {"name": name}}).expect(201)
    world.until("enforced again", lambda: world.enforced(name))
    assert world.grants(name) == {}
