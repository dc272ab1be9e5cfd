"""A cluster with a population, and the operator as a separate process with only its own token.

README.md describes the population. Measures add what they need, under their own names.
"""

import concurrent.futures
import datetime
import sys
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.controlplane import cluster, operator

LABEL = "hostnetwork-operator.github.io"
VERDICT = f"{LABEL}/verdict"
ENFORCEMENT = f"{LABEL}/enforcement"
LEVEL_BEFORE = f"{LABEL}/level-before"
PSA_ENFORCE = "pod-security.kubernetes.io/enforce"
IMAGE = "registry.example.com/netshoot:v0.14"
OFFENDERS = 50
NAMESPACES = 20
_THREADS = 8
SETTLE_SECONDS = 6.0  # an exception counts only if it was written when its admission policy was 5 s old
_POLICY = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"
Element = TypeVar("Element")
Result = TypeVar("Result")
_AUDITED = {"selector": {"matchLabels": {"bench": "audited"}}, "mode": "Audit"}


class World:
    """`pods` pods (or none) in 20 namespaces, 50 of them uncovered host-namespace pods; the operator is not started."""

    def __init__(self, pods: int, *, audit: bool = True, environment: dict[str, str] | None = None) -> None:
        self.pods = pods
        self.cluster = cluster.Cluster(audit=audit)
        self.operator = operator.OperatorProcess(self.cluster, environment=environment)
        self.offenders: set[str] = set()
        self.teams = [f"team-{number:02}" for number in range(NAMESPACES)]

    @property
    def api(self) -> Any:
        return self.cluster.admin

    def __enter__(self) -> Self:
        try:
            self._start()
            self._populate()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.operator.stop()
        self.cluster.stop()

    def _start(self) -> None:
        say("a control plane")
        self.cluster.start()

    def _populate(self) -> None:
        # The population comes first, the policies second: later namespaces are enforced from their creation.
        self.namespaces(self.teams)
        if self.pods:
            self._fill()
        operator.install(self.cluster)
        settled = time.monotonic() + SETTLE_SECONDS
        self.api.patch(_POLICY, {"spec": {"rules": [_AUDITED]}}).expect(200)
        time.sleep(max(0.0, settled - time.monotonic()))

    def _fill(self) -> None:
        say(f"{self.pods} pods, {OFFENDERS} of them host-namespace pods")
        places = [self.teams[number % NAMESPACES] for number in range(self.pods)]
        pods = [(place, host_pod(f"host-{index}")) for index, place in enumerate(places[:OFFENDERS])]
        pods += [(place, ordinary_pod(f"ordinary-{index}")) for index, place in enumerate(places[OFFENDERS:])]
        uids = self.create_pods(pods)
        self.offenders = set(uids[:OFFENDERS])

    # -- create ---------------------------------------------------------------------------------------------------

    def namespaces(self, names: list[str], labels: dict[str, str] | None = None) -> None:
        """Create namespaces and wait for their service accounts, because no pod is admitted before."""
        bodies = [{"metadata": {"name": name, "labels": labels or {}}} for name in names]
        parallel(lambda body: self.api.post("/api/v1/namespaces", body).expect(201), bodies)
        wanted = set(names)
        self.cluster.wait("the service accounts", lambda: wanted <= self._with_account())

    def enforced(self, names: list[str]) -> None:
        """Create clean namespaces, which are enforced from creation, and wait until the operator has adopted all."""
        self.namespaces(names)
        wanted = set(names)
        self.cluster.wait("namespaces taken up", lambda: wanted <= self._adopted(), 180)

    def audited(self, names: list[str]) -> None:
        """Create namespaces with mode: Audit in the policy object."""
        self.namespaces(names, {"bench": "audited"})
        wanted = set(names)
        self.cluster.wait("enforcement=Audit", lambda: wanted <= self.labelled(f"{ENFORCEMENT}=Audit"), 60)

    def create_pods(self, pods: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
        """Create (namespace, body) pairs with 8 threads, and return the uids in the same order."""
        return parallel(lambda pair: self.create_pod(*pair), pods)

    def create_pod(self, namespace: str, body: dict[str, Any]) -> str:
        answer = self.api.post(f"/api/v1/namespaces/{namespace}/pods", body).expect(201)
        return str(answer.body["metadata"]["uid"])

    def admitted(self, namespace: str, body: dict[str, Any]) -> bool:
        """Return whether the API server would admit the pod now."""
        status = self.api.post(f"/api/v1/namespaces/{namespace}/pods?dryRun=All", body).expect(201, 403, 422).status
        return bool(status == 201)

    def create_exception(self, namespace: str, expiry: float) -> None:
        """Create a Diagnostic exception for `host_pod` until `expiry` (whole Unix seconds)."""
        path = f"/apis/{LABEL}/v1alpha1/namespaces/{namespace}/hostnetworkexceptions"
        self.api.post(path, exception("bench", expiry)).expect(201)

    # -- read -----------------------------------------------------------------------------------------------------

    def labelled(self, selector: str) -> set[str]:
        """Return the names of the namespaces that a label selector selects."""
        return {item["metadata"]["name"] for item in self.api.items(f"/api/v1/namespaces?labelSelector={selector}")}

    def _adopted(self) -> set[str]:
        """Return the namespaces whose earlier level the operator has recorded, its first write when it enforces."""
        namespaces = self.api.items(f"/api/v1/namespaces?labelSelector={ENFORCEMENT}=Deny")
        return {
            body["metadata"]["name"] for body in namespaces if LEVEL_BEFORE in body["metadata"].get("annotations", {})
        }

    def _with_account(self) -> set[str]:
        accounts = self.api.items("/api/v1/serviceaccounts?fieldSelector=metadata.name%3Ddefault")
        return {item["metadata"]["namespace"] for item in accounts}


def parallel(make: Callable[[Element], Result], elements: Iterable[Element]) -> list[Result]:
    """Call `make` for each element in 8 threads and return the results in order; raise the first error."""
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(make, elements))


def host_pod(name: str) -> dict[str, Any]:
    """Return a pod with hostNetwork that is scheduled and that kwok reports as running."""
    containers = [{"name": "main", "image": IMAGE}]
    return {"metadata": {"name": name}, "spec": {"hostNetwork": True, "containers": containers}}


def ordinary_pod(name: str) -> dict[str, Any]:
    """Return a pod without host namespaces that the scheduler ignores, so only the API server works on it."""
    containers = [{"name": "main", "image": "registry.example.com/web:1"}]
    return {
        "metadata": {"name": name},
        "spec": {"schedulingGates": [{"name": f"{LABEL}/bench"}], "containers": containers},
    }


def exception(name: str, expiry: float) -> dict[str, Any]:
    moment = datetime.datetime.fromtimestamp(expiry, datetime.UTC)
    return {
        "apiVersion": f"{LABEL}/v1alpha1",
        "kind": "HostNetworkException",
        "metadata": {"name": name},
        "spec": {
            "type": "Diagnostic",
            "owner": "team-bench",
            "reason": "Measure how long it takes",
            "ticket": "BENCH-1",
            "expiry": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            "images": [IMAGE],
        },
    }


def say(text: str) -> None:
    """Print progress to stderr, so that stdout has only the table."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
