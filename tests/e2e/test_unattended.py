"""With the operator dead or idle nothing opens, no ordinary pod is refused, and nothing is written needlessly."""

import datetime
import re
import time

from tests.e2e.conftest import IMAGE, LABEL, PSA, World

# In a relaxed namespace both policies refuse; which of the two the API server names is undefined.
_REFUSED_BY = re.compile("ValidatingAdmissionPolicy '(host-namespaces|relaxed-namespace)")


def test_with_the_operator_stopped_a_grant_admits_nothing_from_its_expiry(unattended: World) -> None:
    """The API server admits the pod before the expiry and refuses it afterwards, and always admits ordinary pods."""
    name = unattended.namespace()
    unattended.granted_pod(name, seconds=8)
    expiry = unattended.admin.get(f"{unattended.exceptions(name)}/capture").body["spec"]["expiry"]
    unattended.operator.kill()
    admission_times: list[str] = []
    while unattended.time() < expiry:
        answer = unattended.pod(name, "another", dry_run=True)
        if answer.status == 201:
            admission_times.append(answer.body["metadata"]["creationTimestamp"])
        assert unattended.pod(name, "plain", dry_run=True, hostNetwork=False).status == 201
    assert admission_times
    assert max(admission_times) < expiry
    last_answer = unattended.pod(name, "another", dry_run=True)
    assert last_answer.status == 403
    assert _REFUSED_BY.search(last_answer.message), last_answer.message
    assert unattended.pod(name, "plain", dry_run=True, hostNetwork=False).status == 201
    unattended.operator.start()
    unattended.until("restored after the start", lambda: unattended.labels(name)[PSA] == "baseline")
    unattended.until("its pod is deleted", lambda: unattended.is_deleted(name))


def test_with_the_operator_stopped_images_and_ephemeral_containers_are_frozen(unattended: World) -> None:
    """kubectl set image and kubectl debug are refused for a host-namespace pod, and work for an ordinary pod."""
    name = unattended.namespace()
    unattended.granted_pod(name)
    unattended.pod(name, "plain", hostNetwork=False).expect(201)
    unattended.operator.kill()
    kubectl = unattended.cluster.kubectl
    completed = kubectl("set", "image", "pod/capture", "main=registry.example.com/other:1", "-n", name)
    assert completed.returncode != 0
    assert _REFUSED_BY.search(completed.stderr), completed.stderr
    assert kubectl("set", "image", "pod/plain", "main=registry.example.com/other:1", "-n", name).returncode == 0
    arguments = ["--image=registry.example.com/busybox:1.37", "-n", name, "--attach=false", "--profile=baseline"]
    completed = kubectl("debug", "pod/capture", *arguments)
    assert completed.returncode != 0
    assert _REFUSED_BY.search(completed.stderr), completed.stderr
    assert kubectl("debug", "pod/plain", *arguments).returncode == 0
    unattended.operator.start()


def test_nothing_is_written_when_nothing_changes(world: World) -> None:
    """With covered and uncovered pods, grants and Held namespaces, two resyncs cause no write."""
    # The exceptions of other tests grow older meanwhile, and some statuses change with their age.
    for body in world.admin.items(f"/apis/{LABEL}/v1alpha1/hostnetworkexceptions"):
        meta = body["metadata"]
        world.admin.delete(f"{world.exceptions(meta['namespace'])}/{meta['name']}").expect(200, 404)
    world.granted_pod(world.namespace())
    count_before = -1
    while (count := len(world.writes())) != count_before:
        count_before = count
        time.sleep(6)  # longer than the operator collects the policy's counts; the test is about a pause
    begin = world.cluster.audit_bytes()
    world.until(
        "the exceptions were listed again",
        lambda: sum(e["verb"] == "list" for e in world.cluster.audit_events(begin)) > 1,
        deadline_seconds=90,
    )
    assert [f"{e['verb']} {e['requestURI']}" for e in world.writes()[count_before:]] == []


def test_nobodys_object_carries_a_finalizer_or_an_annotation_of_kopf(world: World) -> None:
    """Pods, namespaces, exceptions and policies are as their owners made them, except for our labels and grants."""
    name = world.namespace()
    world.granted_pod(name)
    all_objects = [
        *world.admin.items("/api/v1/pods"),
        *world.admin.items("/api/v1/namespaces"),
        *world.admin.items(f"/apis/{LABEL}/v1alpha1/hostnetworkexceptions"),
        *world.admin.items(f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies"),
    ]
    assert len(all_objects) > 8
    for body in all_objects:
        metadata = body["metadata"]
        # Other tests put finalizers of example.com on their objects. A finalizer of kopf would begin with our API
        # group.
        finalizers = [text for text in metadata.get("finalizers", ()) if not text.startswith("example.com/")]
        assert not finalizers, metadata["name"]
        assert not [key for key in metadata.get("annotations", {}) if "kopf" in key], metadata["name"]


def test_ordinary_pods_are_not_watched(world: World) -> None:
    """The pod watch selects on the server, so no event of an ordinary pod reaches the operator. Lists have pages."""
    world.until("the watch is there", lambda: [e for e in _pod_requests(world) if e["verb"] == "watch"])
    for event in _pod_requests(world):
        if event["verb"] == "list":
            assert "limit=" in event["requestURI"], event["requestURI"]
            assert "resourceVersion=0" not in event["requestURI"], event["requestURI"]
            continue
        assert "fieldSelector=spec.hostNetwork%3Dtrue" in event["requestURI"], event["requestURI"]


def _pod_requests(world: World) -> list[dict[str, str]]:
    user = "system:serviceaccount:hostnetwork-system:hostnetwork-operator"
    return [
        event
        for event in world.cluster.audit_events()
        if event["user"]["username"] == user
        and event["verb"] in {"list", "watch"}
        and event["objectRef"]["resource"] == "pods"
    ]


def test_a_static_pods_mirror_is_shown_and_left_alone(world: World) -> None:
    """A kubelet's mirror pod is admitted without a grant, labelled Static, and never deleted."""
    name = world.namespace()
    node = world.admin.get("/api/v1/nodes/node-1").expect(200).body
    owner = {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": node["metadata"]["uid"], "controller": True}
    mirror = {
        "metadata": {
            "name": "static-proxy-node-1",
            "annotations": {"kubernetes.io/config.mirror": "abc", "kubernetes.io/config.source": "file"},
            "ownerReferences": [owner],
        },
        "spec": {"hostNetwork": True, "nodeName": "node-1", "containers": [{"name": "main", "image": IMAGE}]},
    }
    kubelet = world.cluster.api(world.cluster.node_user("node-1"))
    # Where PSA enforces Baseline it refuses mirror pods too, whichever client creates them; the static pods run unseen.
    assert kubelet.post(world.pods(name), mirror).status == 403
    world.exception(name).expect(201)
    world.until("relaxed", lambda: world.labels(name)[PSA] == "privileged")
    world.until("it is admitted", lambda: kubelet.post(world.pods(name), mirror).status in {201, 409})
    world.until("it is shown", lambda: world.verdict(name, "static-proxy-node-1") == "Static")
    world.admin.patch(f"{world.exceptions(name)}/capture", {"spec": {"expiry": world.time(1)}}).expect(200)
    world.until("the exception has ended", lambda: world.ready(name) == "Expired")
    end = world.now() + datetime.timedelta(seconds=3)
    world.holds_until(end, "the mirror pod is left alone", lambda: not world.is_deleted(name, "static-proxy-node-1"))
