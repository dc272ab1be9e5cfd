"""What happens to a pod's owner, and to a pod that is not removed, when a Diagnostic ends."""

from typing import Any

import pytest

from tests.e2e.conftest import IMAGE, OPERATOR, World

NOWHERE = {"example.com/no-such-node": "true"}  # so that no pod of a Job is scheduled


def _template(**spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": IMAGE}
    return {"metadata": {"labels": {"app": "x"}}, "spec": {"hostNetwork": True, "containers": [container], **spec}}


def _job(**spec: Any) -> dict[str, Any]:
    return {"template": _template(restartPolicy="Never", nodeSelector=NOWHERE, **spec)}


def _deletes(world: World, namespace: str) -> list[tuple[str, dict[str, Any]]]:
    """Return resource and options of each successful DELETE by the operator in the namespace."""
    return [
        (event["objectRef"]["resource"], event["requestObject"])
        for event in world.writes()
        if event["verb"] == "delete"
        and event["objectRef"].get("namespace") == namespace
        and event["responseStatus"]["code"] == 200
    ]


def _pod_names(world: World, namespace: str, count: int = 1) -> list[str]:
    """Wait until the namespace has `count` pods, and return their names."""
    world.until("its pods", lambda: len(world.admin.items(world.pods(namespace))) == count, deadline_seconds=60)
    return [pod["metadata"]["name"] for pod in world.admin.items(world.pods(namespace))]


def _grant(world: World, namespace: str, seconds: float, **spec: Any) -> None:
    world.exception(namespace, seconds=seconds, **spec).expect(201)
    world.until("in force", lambda: world.pod(namespace, dry_run=True).status == 201)


def test_the_job_of_an_expired_diagnostic_goes_with_its_pod(world: World) -> None:
    """The operator deletes the Job once, by its uid, and its pods with it; no pod is recreated.

    The exception and the Job get an Event each.
    """
    name = world.namespace()
    jobs = f"/apis/batch/v1/namespaces/{name}/jobs"
    _grant(world, name, 12)
    world.admin.post(jobs, {"metadata": {"name": "trace"}, "spec": {**_job(), "backoffLimit": 6}}).expect(201)
    _pod_names(world, name)
    world.until("the Job is gone", lambda: world.admin.get(f"{jobs}/trace").status == 404)
    world.until("its pod is gone", lambda: world.admin.items(world.pods(name)) == [])
    world.until("it is cleaned up", lambda: world.condition(name, kind="CleanedUp").get("status") == "True")
    ((_, options),) = [deleted for deleted in _deletes(world, name) if deleted[0] == "jobs"]
    assert options["propagationPolicy"] == "Background"
    assert set(options["preconditions"]) == {"uid"}
    expected = [("HostNetworkException", "capture", "ExpiredJobDeleted"), ("Job", "trace", "ExpiredJobDeleted")]
    world.until("both are told", lambda: [e for e in world.events(name) if e[2] == "ExpiredJobDeleted"] == expected)
    assert not [event for event in world.events(name) if event[2] == "ExpiredPodOwnerLeft"]


def test_a_cron_job_stays_and_its_job_goes(world: World) -> None:
    """The CronJob belongs to its owner; the pods of its next Job are refused like all others."""
    name = world.namespace()
    batch = f"/apis/batch/v1/namespaces/{name}"
    _grant(world, name, 12)
    schedule = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": _job()}}
    world.admin.post(f"{batch}/cronjobs", {"metadata": {"name": "nightly"}, "spec": schedule}).expect(201)
    completed = world.cluster.kubectl("create", "job", "tonight", "--from=cronjob/nightly", "-n", name)
    assert completed.returncode == 0, completed.stderr
    _pod_names(world, name)
    world.until("the Job is gone", lambda: world.admin.get(f"{batch}/jobs/tonight").status == 404)
    assert world.admin.get(f"{batch}/cronjobs/nightly").status == 200


def test_a_job_that_makes_other_pods_stays(world: World) -> None:
    """A Job whose template no ended exception covers stays; the operator deletes only the pod that claims the Job."""
    name = world.namespace()
    jobs = f"/apis/batch/v1/namespaces/{name}/jobs"
    _grant(world, name, 12)
    body = {"metadata": {"name": "ordinary"}, "spec": {**_job(), "managedBy": "example.com/nobody"}}
    body["spec"]["template"]["spec"]["hostNetwork"] = False
    job = world.admin.post(jobs, body).expect(201).body
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "ordinary", "uid": job["metadata"]["uid"]}
    pod = _template()
    pod["metadata"] = {"name": "claims", "ownerReferences": [{**owner, "controller": True}]}
    world.admin.post(world.pods(name), pod).expect(201)
    world.until("the pod is gone", lambda: world.is_deleted(name, "claims"))
    world.until("the owner is told", lambda: ("Job", "ordinary", "ExpiredPodOwnerLeft") in world.events(name))
    assert world.admin.get(f"{jobs}/ordinary").status == 200


def test_another_owner_is_told_once_and_stays(world: World) -> None:
    """The operator deletes a ReplicaSet's two pods once each; its next pods are refused, and it gets one Event."""
    name = world.namespace()
    path = f"/apis/apps/v1/namespaces/{name}/replicasets"
    _grant(world, name, 12)
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "x"}}, "template": _template()}
    world.admin.post(path, {"metadata": {"name": "agent"}, "spec": spec}).expect(201)
    _pod_names(world, name, 2)
    world.until("its pods are gone", lambda: world.admin.items(world.pods(name)) == [])
    event = ("ReplicaSet", "agent", "ExpiredPodOwnerLeft")
    world.until("it is told", lambda: world.events(name).count(event) == 1)
    world.until("it is cleaned up", lambda: world.condition(name, kind="CleanedUp").get("status") == "True")
    assert [resource for resource, _ in _deletes(world, name)] == ["pods", "pods"]
    assert world.admin.get(f"{path}/agent").status == 200
    assert world.events(name).count(event) == 1


def test_a_pod_that_does_not_go_is_shown_and_never_forced(world: World) -> None:
    """A minute after the grace period CleanedUp says since when and where; the operator sends one DELETE only."""
    name = world.namespace()
    _grant(world, name, 8, gracePeriodSeconds=1)
    body = _template()
    body["metadata"] = {"name": "capture", "finalizers": ["example.com/hold"]}
    world.admin.post(world.pods(name), body).expect(201)
    world.until("it is shown", lambda: world.condition(name, kind="CleanedUp").get("reason") == "DeletionPending", 120)
    message = world.condition(name, kind="CleanedUp")["message"]
    deletion_time = world.admin.get(f"{world.pods(name)}/capture").body["metadata"]["deletionTimestamp"]
    assert f"capture since {deletion_time} on node" in message
    assert [resource for resource, _ in _deletes(world, name)] == ["pods"]
    world.admin.patch(f"{world.pods(name)}/capture", {"metadata": {"finalizers": None}}).expect(200)
    world.until("it is cleaned up", lambda: world.condition(name, kind="CleanedUp").get("status") == "True")


# With 18446744074 the API server's sum overflows, and the answer says that the grace period ends now.
@pytest.mark.parametrize("seconds", [10**9, 18446744074])
def test_a_grace_of_years_does_not_outlast_the_expiry(world: World, seconds: int) -> None:
    """If a pod's owner deleted it with a grace of years before the expiry, the operator shortens the grace.

    The pod gets the grace period of the exception.
    """
    name = world.namespace()
    _grant(world, name, 10)
    world.pod(name, "capture", nodeName="node-without-kubelet").expect(201)
    path = f"{world.pods(name)}/capture"
    world.admin.delete(path, {"gracePeriodSeconds": seconds}).expect(200)
    world.until("it is shortened", lambda: _grace(world, path) <= 30)
    assert [user for user in _deleters(world, name) if user == OPERATOR] == [OPERATOR]
    world.admin.delete(path, {"gracePeriodSeconds": 0}).expect(200)  # no kubelet removes it; it would be pending
    world.until("it is cleaned up", lambda: world.condition(name, kind="CleanedUp").get("status") == "True")


def _grace(world: World, path: str) -> int:
    answer = world.admin.get(path)
    return 0 if answer.status == 404 else int(answer.body["metadata"]["deletionGracePeriodSeconds"])


def _deleters(world: World, namespace: str) -> list[str]:
    return [
        event["user"]["username"]
        for event in world.cluster.audit_events()
        if event["verb"] == "delete" and event.get("objectRef", {}).get("namespace") == namespace
    ]
