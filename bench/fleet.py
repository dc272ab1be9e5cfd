"""A cluster as large as Kubernetes gets: nodes, namespaces, and pods of agents on every node, written into etcd.

At `agents` = 40,000 the cluster has 5,000 nodes, 2,000 namespaces, 150,000 pods and 500 exceptions. Everything is in
proportion to `agents`. Each of eight namespaces has one agent, with a pod on every node. Three of the namespaces are
exempt, and an exception covers the agent of each of the other five. The agent of the last namespace has only hostPID.

No scheduler, kubelet or controller runs. What they would do in a rollout is written into etcd as well.
"""

import base64
import copy
import json
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import urllib3
from tests.controlplane import operator

from bench import crowd
from bench.world import LABEL, World, exception, parallel, say

AGENTS = 8
STRAY = "bench.example.com/stray"  # a label
_EXEMPT = 3
_A_TRANSACTION = 100  # puts; etcd allows 128 and 1.5 MB
_POLICY = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"
_PREVIEWS = ("hostnetwork-preview-baseline", "hostnetwork-preview-restricted")
_SETTLE_SECONDS = 6.0
_NEW_IMAGE = "registry.example.com/agent:v2"
Body = dict[str, Any]


class Fleet(World):
    """The cluster with `agents` host-namespace pods; the operator is not started."""

    def __init__(self, agents: int) -> None:
        super().__init__(0, audit=False)
        self.agents = agents
        self.nodes_count = agents // AGENTS
        self.pods = agents * 15 // 4
        self.homes = [f"agents-{number}" for number in range(AGENTS)]
        self.teams = [f"team-{number:04}" for number in range(max(60, agents // 20) - AGENTS)]
        self.exceptions = agents // 80
        self._http = urllib3.PoolManager()
        self._pod: Body = {}
        self._replaced: dict[tuple[int, int], Body] = {}  # by agent and node: the pod that replaced the first one

    # -- population -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        say("an API server with its etcd and nothing else")
        self.cluster.components["etcd"].start()
        self.cluster.start_apiserver()

    def _populate(self) -> None:
        began = time.monotonic()
        operator.install(self.cluster)
        exempt = {"exemptNamespaces": ["kube-system", "kube-public", "kube-node-lease", *self.homes[:_EXEMPT]]}
        self.api.patch(_POLICY, {"spec": exempt}).expect(200)
        self.accounts(_PREVIEWS)
        time.sleep(_SETTLE_SECONDS)
        say(f"{self.nodes_count} nodes, {len(self.teams) + AGENTS} namespaces, {self.exceptions} exceptions")
        # Namespaces that exist before the policies would be Held, so these are created after the policies.
        places = [*self.homes, *self.teams]
        parallel(lambda name: self._post("/api/v1/namespaces", {"metadata": {"name": name}}), places)
        self.accounts(self.teams[:20])
        covered = [*self.homes[_EXEMPT:], *self.teams[-(self.exceptions - AGENTS + _EXEMPT) :]]
        parallel(self._except, covered)
        say(f"{self.pods} pods, {self.agents} of them host-namespace pods")
        self._pod = self._pattern(self.homes[0])
        self._put(self._node(number) for number in range(self.nodes_count))
        self._put(self._every_pod())
        self.cluster.wait("all pods", lambda: self._count() >= self.pods, 300)
        say(f"there after {time.monotonic() - began:.0f} s")

    def accounts(self, namespaces: Iterable[str]) -> None:
        """Create the default service accounts, which the service account controller would create."""
        body = {"metadata": {"name": "default"}}
        parallel(lambda name: self._post(f"/api/v1/namespaces/{name}/serviceaccounts", body), list(namespaces))

    def _except(self, namespace: str) -> None:
        subject = exception("agent", 0)
        spec = subject["spec"]
        del spec["expiry"], spec["ticket"], spec["images"]
        shared = "PID" if namespace == self.homes[-1] else "Network"
        spec |= {"type": "Infrastructure", "serviceAccountName": "agent", "hostNamespaces": [shared]}
        spec |= {"contact": "bench@example.com", "component": "NodeAgent", "podSecurityLevel": "privileged"}
        self._post(f"/apis/{LABEL}/v1alpha1/namespaces/{namespace}/hostnetworkexceptions", subject)

    def _pattern(self, namespace: str) -> Body:
        """Return an ordinary pod as the API server stores it, running as a kubelet would report it."""
        self.accounts([namespace])
        pod = self._post(f"/api/v1/namespaces/{namespace}/pods", crowd.web_pod("pattern"))
        path = f"/api/v1/namespaces/{namespace}/pods/pattern"
        self.api.patch(f"{path}/status", {"status": crowd.running_status(pod)}).expect(200)
        body = dict(self.api.get(path).expect(200).body)
        self.api.delete(path, {"gracePeriodSeconds": 0}).expect(200)
        return body

    def _every_pod(self) -> Iterator[Body]:
        for home in range(AGENTS):
            for node in range(self.nodes_count):
                yield self.entry(self.agent(home, f"agent-{node:05}", node))
        for number in range(self.pods - self.agents):
            yield self.entry(self._like(self._pod, self.teams[number % len(self.teams)], f"web-{number}"))

    def agent(self, home: int, name: str, node: int, *, new: bool = False) -> Body:
        """Return a pod of an agent as its DaemonSet makes it, running on a node."""
        pod = self._like(self._pod, self.homes[home], name)
        pod["metadata"] |= {
            "labels": {"app.kubernetes.io/name": "agent", "controller-revision-hash": "new" if new else "old"},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "DaemonSet",
                    "name": "agent",
                    "uid": f"00000000-0000-4000-8000-00000000000{home}",
                    "controller": True,
                }
            ],
        }
        spec = pod["spec"] = copy.copy(pod["spec"])
        spec |= {"serviceAccountName": "agent", "serviceAccount": "agent", "nodeName": f"node-{node}"}
        spec |= {"hostPID": True} if home == AGENTS - 1 else {"hostNetwork": True}
        if new:
            spec["containers"] = [{**container, "image": _NEW_IMAGE} for container in spec["containers"]]
        return pod

    def stray(self, namespace: str, name: str) -> Body:
        """Return a pod with hostNetwork that no exception covers, as if it had been created before enforcement."""
        pod = self._like(self._pod, namespace, name)
        pod["spec"] = {**pod["spec"], "hostNetwork": True, "nodeName": "node-0"}
        pod["metadata"] |= {"creationTimestamp": _now(), "labels": {STRAY: ""}}
        return pod

    def _like(self, pattern: Body, namespace: str, name: str) -> Body:
        pod = copy.copy(pattern)
        pod["metadata"] = {**pattern["metadata"], "name": name, "namespace": namespace, "uid": str(uuid.uuid4())}
        pod["metadata"].pop("resourceVersion", None)  # etcd has its own version
        return pod

    def _node(self, number: int) -> Body:
        meta = {"name": f"node-{number}", "uid": str(uuid.uuid4()), "creationTimestamp": "2026-01-01T00:00:00Z"}
        return _put(f"/registry/minions/node-{number}", {"apiVersion": "v1", "kind": "Node", "metadata": meta})

    def _count(self) -> int:
        first_page = self.api.get("/api/v1/pods?limit=1").expect(200).body
        return len(first_page["items"]) + int(first_page["metadata"].get("remainingItemCount", 0))

    def _post(self, path: str, body: Body) -> Any:
        return self.api.post(path, body).expect(201).body

    # -- etcd -------------------------------------------------------------------------------------------------------

    def entry(self, pod: Body) -> Body:
        """Return the operation that stores a pod in etcd. The API server reads JSON there as well as its own format."""
        meta = pod["metadata"]
        return _put(f"/registry/pods/{meta['namespace']}/{meta['name']}", pod)

    def replace(self, home: int, number: int) -> None:
        """Replace the pod of an agent on a node, as its DaemonSet, the scheduler and the kubelet do: six events."""
        node, time_round = number % self.nodes_count, number // self.nodes_count
        old = self._replaced.get((home, node)) or self.agent(home, f"agent-{node:05}", node)
        stamp = _now()
        ending = {**old, "metadata": {**old["metadata"], "deletionTimestamp": stamp, "deletionGracePeriodSeconds": 30}}
        self.run([self.entry(ending)])
        self.run([self.entry({**ending, "status": {**ending["status"], "phase": "Succeeded"}})])
        key = f"/registry/pods/{self.homes[home]}/{old['metadata']['name']}"
        self.run([{"requestDeleteRange": {"key": _base64(key)}}])
        new = self.agent(home, f"agent-{node:05}-{time_round}", node, new=True)
        new["metadata"]["creationTimestamp"] = stamp
        unscheduled = {**new, "spec": {k: v for k, v in new["spec"].items() if k != "nodeName"}, "status": {}}
        self.run([self.entry(unscheduled)])
        self.run([self.entry({**new, "status": {"phase": "Pending"}})])
        self.run([self.entry(new)])
        self._replaced[home, node] = new

    def _put(self, operations: Iterable[Body]) -> None:
        waiting: list[Body] = []
        for operation in operations:
            waiting.append(operation)
            if len(waiting) == _A_TRANSACTION:
                self.run(waiting)
                waiting = []
        if waiting:
            self.run(waiting)

    def run(self, operations: list[Body]) -> None:
        """Run operations in one transaction of etcd."""
        url = f"http://127.0.0.1:{self.cluster.ports.etcd}/v3/kv/txn"
        answer = self._http.request("POST", url, body=json.dumps({"success": operations}), timeout=60)
        assert answer.status == 200, f"etcd: {answer.status} {answer.data[:300]!r}"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _put(key: str, body: Body) -> Body:
    return {"requestPut": {"key": _base64(key), "value": _base64(json.dumps(body))}}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
