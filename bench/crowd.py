"""A cluster with very many pods: the API server creates two, and the others are copies of these in etcd (bench/etcd).

50,000 creates take more than ten minutes; the copies took 40 s.
"""

import time
from collections.abc import Iterator

from tests.controlplane import operator

from bench import etcd
from bench.etcd import Body, StoredWorld
from bench.world import NAMESPACES, SETTLE_SECONDS, VERDICT, host_pod, say


class Crowd(StoredWorld):
    """`pods` running pods in 20 namespaces, 1 of 50 an uncovered host-namespace pod; the operator is not started.

    The operator lists everything again every `resync_seconds`.
    """

    def __init__(self, pods: int, resync_seconds: int) -> None:
        super().__init__(pods, {f"HOSTNETWORK_{name}RESYNC_SECONDS": str(resync_seconds) for name in ("", "FULL_")})
        self.host_pods = pods // 50

    def reported(self) -> int:
        """Return the number of pods with a verdict label."""
        return len(self.api.items(f"/api/v1/pods?labelSelector={VERDICT}"))

    def _populate(self) -> None:
        self.make(self.teams)
        self.accounts(self.teams)
        say(f"{self.pods} pods, {self.host_pods} of them host-namespace pods")
        began = time.monotonic()
        self.store(map(etcd.put, self._copies()))
        self.cluster.wait("all pods", lambda: self.count() == self.pods, 120)
        self.until_current()
        say(f"there after {time.monotonic() - began:.0f} s")
        operator.install(self.cluster)
        self.accounts(etcd.PREVIEWS)
        time.sleep(SETTLE_SECONDS)

    def _copies(self) -> Iterator[Body]:
        host, web = (self.pattern(self.teams[0], body) for body in (host_pod("host-0"), etcd.web_pod("web-0")))
        for number in range(self.pods):
            kind, pattern = ("host", host) if number < self.host_pods else ("web", web)
            name = f"{kind}-{number if kind == 'host' else number - self.host_pods}"
            namespace = self.teams[number % NAMESPACES]
            if (namespace, name) not in {(self.teams[0], "host-0"), (self.teams[0], "web-0")}:  # these two exist
                yield etcd.like(pattern, namespace, name)
