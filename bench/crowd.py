"""A cluster with very many pods: the API server creates two, and the others are copies of these in etcd.

50,000 creates take more than ten minutes; the copies took 40 s. For the operator there is no difference, because the
API server serves what its etcd contains. Nothing else touches the pods: no scheduler, kwok or controllers run (the
garbage collector would delete pods of missing nodes).
"""

import base64
import copy
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import urllib3
from tests.controlplane import operator

from bench.world import IMAGE, NAMESPACES, SETTLE_SECONDS, VERDICT, World, host_pod, parallel, say

_A_TRANSACTION = 100  # puts; etcd allows 128 and 1.5 MB
_PREVIEWS = ("hostnetwork-preview-baseline", "hostnetwork-preview-restricted")
_READY = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
_WEB = "registry.example.com/web:1"


class Crowd(World):
    """`pods` running pods in 20 namespaces, 1 of 50 an uncovered host-namespace pod; the operator is not started.

    The operator lists everything again every `resync_seconds`.
    """

    def __init__(self, pods: int, resync_seconds: int) -> None:
        environment = {f"HOSTNETWORK_{name}RESYNC_SECONDS": str(resync_seconds) for name in ("", "FULL_")}
        super().__init__(pods, audit=False, environment=environment)
        self.host_pods = pods // 50

    def reported(self) -> int:
        """Return the number of pods with a verdict label."""
        return len(self.api.items(f"/api/v1/pods?labelSelector={VERDICT}"))

    def _start(self) -> None:
        say("an API server with its etcd and nothing else")
        self.cluster.components["etcd"].start()
        self.cluster.start_apiserver()

    def _populate(self) -> None:
        parallel(lambda name: self._post("/api/v1/namespaces", {"metadata": {"name": name}}), self.teams)
        self._accounts(self.teams)
        say(f"{self.pods} pods, {self.host_pods} of them host-namespace pods")
        began = time.monotonic()
        self._copy()
        self.cluster.wait("all pods", lambda: self._count() == self.pods, 120)
        say(f"there after {time.monotonic() - began:.0f} s")
        operator.install(self.cluster)
        self._accounts(_PREVIEWS)
        time.sleep(SETTLE_SECONDS)

    def _accounts(self, namespaces: tuple[str, ...] | list[str]) -> None:
        # These are the service account controller's work.
        body = {"metadata": {"name": "default"}}
        parallel(lambda name: self._post(f"/api/v1/namespaces/{name}/serviceaccounts", body), namespaces)

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self.api.post(path, body).expect(201).body

    def _count(self) -> int:
        first_page = self.api.get("/api/v1/pods?limit=1").expect(200).body
        return len(first_page["items"]) + int(first_page["metadata"].get("remainingItemCount", 0))

    def _copy(self) -> None:
        patterns = [self._pattern(host_pod("host-0")), self._pattern(web_pod("web-0"))]
        puts: list[dict[str, Any]] = []
        with urllib3.PoolManager() as pool:
            for name, namespace, pattern in self._places(patterns):
                puts.append({"requestPut": _entry(pattern, namespace, name)})
                if len(puts) == _A_TRANSACTION:
                    self._put(pool, puts)
                    puts = []
            self._put(pool, puts)

    def _places(self, patterns: list[dict[str, Any]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
        host, web = patterns
        created = {(pattern["metadata"]["namespace"], pattern["metadata"]["name"]) for pattern in patterns}
        for number in range(self.pods):
            kind, pattern = ("host", host) if number < self.host_pods else ("web", web)
            name = f"{kind}-{number if kind == 'host' else number - self.host_pods}"
            namespace = self.teams[number % NAMESPACES]
            if (self.teams[0], name) not in created:  # the API server created these two
                yield name, namespace, pattern

    def _put(self, pool: urllib3.PoolManager, puts: list[dict[str, Any]]) -> None:
        url = f"http://127.0.0.1:{self.cluster.ports.etcd}/v3/kv/txn"
        answer = pool.request("POST", url, body=json.dumps({"success": puts}), timeout=60)
        assert answer.status == 200, f"etcd: {answer.status} {answer.data[:300]!r}"

    def _pattern(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return a pod created by the API server, on a node and running, as a kubelet would report it."""
        path = f"/api/v1/namespaces/{self.teams[0]}/pods"
        body["spec"]["nodeName"] = "node-1"
        pod = self._post(path, body)
        self.api.patch(f"{path}/{pod['metadata']['name']}/status", {"status": running_status(pod)}).expect(200)
        return dict(self.api.get(f"{path}/{pod['metadata']['name']}").expect(200).body)


def web_pod(name: str) -> dict[str, Any]:
    """Return a pod with what a Deployment's pod usually has: a probe, resources, variables, labels."""
    variables = [{"name": f"SETTING_{number}", "value": f"value-{number}"} for number in range(8)]
    probe = {"httpGet": {"path": "/healthz", "port": 8080}}
    resources = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
    main = {"name": "main", "image": _WEB, "env": variables, "ports": [{"containerPort": 8080}]}
    sidecar = {"name": "proxy", "image": IMAGE, "resources": resources}
    labels = {"app.kubernetes.io/name": "web", "app.kubernetes.io/instance": "web", "pod-template-hash": "5d4f8c7b96"}
    containers = [{**main, "resources": resources, "readinessProbe": probe, "livenessProbe": probe}, sidecar]
    return {"metadata": {"name": name, "labels": labels}, "spec": {"containers": containers}}


def running_status(pod: dict[str, Any]) -> dict[str, Any]:
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


def _entry(pattern: dict[str, Any], namespace: str, name: str) -> dict[str, str]:
    """Return key and value for etcd. The API server reads JSON there as well as its own format."""
    pod = copy.copy(pattern)
    pod["metadata"] = {**pattern["metadata"], "name": name, "namespace": namespace, "uid": str(uuid.uuid4())}
    del pod["metadata"]["resourceVersion"]  # etcd has its own version
    volume_name = f"kube-api-access-{uuid.uuid4().hex[:5]}"
    text = json.dumps(pod)
    for volume in pattern["spec"].get("volumes", ()):
        text = text.replace(volume["name"], volume_name)  # each pod has a token volume with its own name
    key = f"/registry/pods/{namespace}/{name}"
    return {"key": _base64(key), "value": _base64(text)}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
