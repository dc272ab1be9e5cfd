"""A cluster as large as Kubernetes gets: nodes, namespaces, and pods of agents on every node, written into etcd.

At `agents` = 40,000 the cluster has 5,000 nodes, 2,000 namespaces, 150,000 pods and 500 exceptions. Everything is in
proportion to `agents`. Each of eight namespaces has one agent, with a pod on every node. Three of the namespaces are
exempt, and an exception covers the agent of each of the other five. The agent of the last namespace has only hostPID.

No scheduler, kubelet or controller runs. What they would do in a rollout is written into etcd as well.
"""

import time
import uuid
from collections.abc import Iterator

from tests.controlplane import operator

from bench import etcd
from bench.etcd import Body, StoredWorld
from bench.world import LABEL, SETTLE_SECONDS, exception, parallel, say

AGENTS = 8
STRAY = "bench.example.com/stray"  # a label
_EXEMPT = 3
_POLICY = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"
_NEW_IMAGE = "registry.example.com/agent:v2"


class Fleet(StoredWorld):
    """The cluster with `agents` host-namespace pods; the operator is not started."""

    def __init__(self, agents: int) -> None:
        super().__init__(agents * 15 // 4)
        self.agents = agents
        self.nodes_count = agents // AGENTS
        self.homes = [f"agents-{number}" for number in range(AGENTS)]
        self.teams = [f"team-{number:04}" for number in range(max(60, agents // 20) - AGENTS)]
        self.exceptions = agents // 80
        # Namespaces with an exception and without pods. Beside ordinary pods, the exception would be told of them ten
        # minutes after its creation: in the quiet time.
        self.excepted = self.teams[-(self.exceptions - AGENTS + _EXEMPT) :]
        self._pod: Body = {}
        self._replaced: dict[tuple[int, int], Body] = {}  # by agent and node: the pod that replaced the first one

    # -- population -------------------------------------------------------------------------------------------------

    def _populate(self) -> None:
        began = time.monotonic()
        operator.install(self.cluster)
        exempt = {"exemptNamespaces": ["kube-system", "kube-public", "kube-node-lease", *self.homes[:_EXEMPT]]}
        self.api.patch(_POLICY, {"spec": exempt}).expect(200)
        self.accounts(etcd.PREVIEWS)
        time.sleep(SETTLE_SECONDS)
        say(f"{self.nodes_count} nodes, {len(self.teams) + AGENTS} namespaces, {self.exceptions} exceptions")
        # Namespaces that exist before the policies would be Held, so these are created after the policies.
        self.make([*self.homes, *self.teams])
        self.accounts([self.homes[0], *self.teams[:20], *self.excepted])
        parallel(self._except, [*self.homes[_EXEMPT:], *self.excepted])
        say(f"{self.pods} pods, {self.agents} of them host-namespace pods")
        self._pod = self.pattern(self.homes[0], etcd.web_pod("pattern"))
        self.api.delete(f"/api/v1/namespaces/{self.homes[0]}/pods/pattern", {"gracePeriodSeconds": 0}).expect(200)
        self.store(self._node(number) for number in range(self.nodes_count))
        self.store(map(etcd.put, self._every_pod()))
        self.cluster.wait("all pods", lambda: self.count() >= self.pods, 300)
        self.until_current()
        say(f"there after {time.monotonic() - began:.0f} s")

    def _except(self, namespace: str) -> None:
        subject = exception("agent", 0)
        spec = subject["spec"]
        del spec["expiry"], spec["ticket"], spec["images"]
        shared = "PID" if namespace == self.homes[-1] else "Network"
        account = "agent" if namespace in self.homes else "default"  # which has no host-namespace pod
        spec |= {"type": "Infrastructure", "serviceAccountName": account, "hostNamespaces": [shared]}
        spec |= {"contact": "bench@example.com", "component": "NodeAgent", "podSecurityLevel": "privileged"}
        self.post(f"/apis/{LABEL}/v1alpha1/namespaces/{namespace}/hostnetworkexceptions", subject)

    def _every_pod(self) -> Iterator[Body]:
        with_pods = len(self.teams) - len(self.excepted)
        for home in range(AGENTS):
            for node in range(self.nodes_count):
                yield self.agent(home, f"agent-{node:05}", node)
        for number in range(self.pods - self.agents):
            yield etcd.like(self._pod, self.teams[number % with_pods], f"web-{number}")

    def agent(self, home: int, name: str, node: int, *, new: bool = False) -> Body:
        """Return a pod of an agent as its DaemonSet makes it, running on a node."""
        pod = etcd.like(self._pod, self.homes[home], name)
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
        spec = pod["spec"]
        spec |= {"serviceAccountName": "agent", "serviceAccount": "agent", "nodeName": f"node-{node}"}
        spec |= {"hostPID": True} if home == AGENTS - 1 else {"hostNetwork": True}
        if new:
            spec["containers"] = [{**container, "image": _NEW_IMAGE} for container in spec["containers"]]
        return pod

    def stray(self, namespace: str, name: str) -> Body:
        """Return a pod with hostNetwork that no exception covers, as if it had been created before enforcement."""
        pod = etcd.like(self._pod, namespace, name)
        pod["spec"] = {**pod["spec"], "hostNetwork": True, "nodeName": "node-0"}
        pod["metadata"] |= {"creationTimestamp": _now(), "labels": {STRAY: ""}}
        return pod

    def _node(self, number: int) -> Body:
        meta = {"name": f"node-{number}", "uid": str(uuid.uuid4()), "creationTimestamp": "2026-01-01T00:00:00Z"}
        return etcd.put_at(f"/registry/minions/node-{number}", {"apiVersion": "v1", "kind": "Node", "metadata": meta})

    def replace(self, home: int, number: int) -> None:
        """Replace the pod of an agent on a node, as its DaemonSet, the scheduler and the kubelet do: six events."""
        node, time_round = number % self.nodes_count, number // self.nodes_count
        old = self._replaced.get((home, node)) or self.agent(home, f"agent-{node:05}", node)
        stamp = _now()
        ending = {**old, "metadata": {**old["metadata"], "deletionTimestamp": stamp, "deletionGracePeriodSeconds": 30}}
        new = self.agent(home, f"agent-{node:05}-{time_round}", node, new=True)
        new["metadata"]["creationTimestamp"] = stamp
        unscheduled = {**new, "spec": {k: v for k, v in new["spec"].items() if k != "nodeName"}, "status": {}}
        for operation in (
            etcd.put(ending),
            etcd.put({**ending, "status": {**ending["status"], "phase": "Succeeded"}}),
            etcd.delete(old),
            etcd.put(unscheduled),
            etcd.put({**new, "status": {"phase": "Pending"}}),
            etcd.put(new),
        ):
            self.run([operation])
        self._replaced[home, node] = new


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
