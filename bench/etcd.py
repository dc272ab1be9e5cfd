"""A cluster whose pods are written into etcd: creating very many through the API server takes many minutes.

For the operator there is no difference, because the API server serves what its etcd contains. Nothing else touches the
pods: no scheduler, kwok or controllers run (the garbage collector would delete pods of missing nodes).
"""

import base64
import json
import uuid
from collections.abc import Iterable
from typing import Any

import urllib3

from bench.world import IMAGE, World, parallel, say

PREVIEWS = ("hostnetwork-preview-baseline", "hostnetwork-preview-restricted")
_A_TRANSACTION = 100  # operations; etcd allows 128 and 1.5 MB
_READY = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
_WEB = "registry.example.com/web:1"
Body = dict[str, Any]


class StoredWorld(World):
    """A cluster with an API server and its etcd, and nothing else."""

    def __init__(self, pods: int, environment: dict[str, str] | None = None) -> None:
        super().__init__(pods, audit=False, environment=environment)
        self._http = urllib3.PoolManager()

    def _start(self) -> None:
        say("an API server with its etcd and nothing else")
        self.cluster.components["etcd"].start()
        self.cluster.start_apiserver()

    def make(self, namespaces: Iterable[str]) -> None:
        """Create namespaces."""
        parallel(lambda name: self.post("/api/v1/namespaces", {"metadata": {"name": name}}), namespaces)

    def accounts(self, namespaces: Iterable[str]) -> None:
        """Create the default service accounts, which the service account controller would create."""
        body = {"metadata": {"name": "default"}}
        parallel(lambda name: self.post(f"/api/v1/namespaces/{name}/serviceaccounts", body), namespaces)

    def post(self, path: str, body: Body) -> Any:
        return self.api.post(path, body).expect(201).body

    def count(self) -> int:
        """Return the number of pods."""
        first_page = self.api.get("/api/v1/pods?limit=1").expect(200).body
        return len(first_page["items"]) + int(first_page["metadata"].get("remainingItemCount", 0))

    def until_current(self) -> None:
        """Wait until the API server's cache has what was written into etcd: that takes longer than the write."""
        version = self.api.get("/api/v1/pods?limit=1").expect(200).body["metadata"]["resourceVersion"]
        path = f"/api/v1/pods?limit=1&resourceVersion={version}&resourceVersionMatch=NotOlderThan"
        self.cluster.wait("a current cache", lambda: self.api.get(path).status == 200, 300)

    def pattern(self, namespace: str, body: Body) -> Body:
        """Return a pod that the API server has created, on a node and running, as a kubelet would report it."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        body["spec"]["nodeName"] = "node-1"
        pod = self.post(path, body)
        self.api.patch(f"{path}/{pod['metadata']['name']}/status", {"status": _running_status(pod)}).expect(200)
        return dict(self.api.get(f"{path}/{pod['metadata']['name']}").expect(200).body)

    def store(self, operations: Iterable[Body]) -> None:
        """Run operations, as many in one transaction as etcd allows."""
        waiting: list[Body] = []
        for operation in operations:
            waiting.append(operation)
            if len(waiting) == _A_TRANSACTION:
                self.run(waiting)
                waiting = []
        if waiting:
            self.run(waiting)

    def run(self, operations: list[Body]) -> None:
        """Run operations in one transaction."""
        url = f"http://127.0.0.1:{self.cluster.ports.etcd}/v3/kv/txn"
        answer = self._http.request("POST", url, body=json.dumps({"success": operations}), timeout=60)
        assert answer.status == 200, f"etcd: {answer.status} {answer.data[:300]!r}"


def like(pattern: Body, namespace: str, name: str) -> Body:
    """Return another pod like this one, with a token volume of its own. The uid is always the same for a name."""
    pod = {**pattern, "metadata": {**pattern["metadata"], "name": name, "namespace": namespace}}
    pod["metadata"]["uid"] = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{namespace}/{name}"))
    pod["metadata"].pop("resourceVersion", None)  # etcd has its own version
    text = json.dumps(pod["spec"])
    for volume in pattern["spec"].get("volumes", ()):
        text = text.replace(volume["name"], f"kube-api-access-{uuid.uuid4().hex[:5]}")
    pod["spec"] = json.loads(text)
    return pod


def put(pod: Body) -> Body:
    """Return the operation that stores a pod. The API server reads JSON in etcd as well as its own format."""
    return put_at(pod_key(pod), pod)


def put_at(key: str, body: Body) -> Body:
    """Return the operation that stores an object under a key."""
    return {"requestPut": {"key": _base64(key), "value": _base64(json.dumps(body))}}


def delete(pod: Body) -> Body:
    """Return the operation that removes a pod."""
    return {"requestDeleteRange": {"key": _base64(pod_key(pod))}}


def pod_key(pod: Body) -> str:
    return f"/registry/pods/{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def web_pod(name: str) -> Body:
    """Return a pod with what a Deployment's pod usually has: a probe, resources, variables, labels."""
    variables = [{"name": f"SETTING_{number}", "value": f"value-{number}"} for number in range(8)]
    probe = {"httpGet": {"path": "/healthz", "port": 8080}}
    resources = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
    main = {"name": "main", "image": _WEB, "env": variables, "ports": [{"containerPort": 8080}]}
    sidecar = {"name": "proxy", "image": IMAGE, "resources": resources}
    labels = {"app.kubernetes.io/name": "web", "app.kubernetes.io/instance": "web", "pod-template-hash": "5d4f8c7b96"}
    containers = [{**main, "resources": resources, "readinessProbe": probe, "livenessProbe": probe}, sidecar]
    return {"metadata": {"name": name, "labels": labels}, "spec": {"containers": containers}}


def _running_status(pod: Body) -> Body:
    created = pod["metadata"]["creationTimestamp"]
    return {
        "phase": "Running",
        "hostIP": "10.0.0.1",
        "podIP": "10.1.2.3",
        "podIPs": [{"ip": "10.1.2.3"}],
        "startTime": created,
        "conditions": [{"type": name, "status": "True", "lastTransitionTime": created} for name in _READY],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": f"{container['image'].partition(':')[0]}@sha256:{'0' * 64}",
                "containerID": f"containerd://{'0' * 64}",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": created}},
            }
            for container in pod["spec"]["containers"]
        ],
    }


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
