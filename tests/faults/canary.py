"""An honest tenant who works all the time and must never be refused, whatever happens to the cluster.

The canary creates, updates and deletes ordinary pods, removes finalizers from pods (also from host-namespace pods), and
deletes namespaces that contain an exception. It records every answer. If the API server is away or not ready yet, the
answer is a gap, which is counted and never asserted. Any other answer that is not a success is a refusal.
"""

import collections
import itertools
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from tests import turns
from tests.controlplane import api, cluster
from tests.faults import answers

GROUP = "hostnetwork-operator.github.io"
_FINALIZER = "canary.example.com/held"
_numbers = itertools.count(1)


class Canary:
    """A tenant who works in `namespaces` for the time of a `with`, which fails if a request was refused.

    The `with` also fails if a deleted namespace still exists. `host_pods` are (namespace, name) of existing
    host-namespace pods; the canary forgets a pod that is deleted meanwhile.
    """

    def __init__(
        self,
        control_plane: cluster.Cluster,
        namespaces: Iterable[str],
        host_pods: Iterable[tuple[str, str]] = (),
        *,
        delete_namespaces_every: float = 5,
    ) -> None:
        self._api = api.Api.from_kubeconfig(control_plane.kubeconfig)
        self._namespaces = tuple(namespaces)
        self._host_pods = list(host_pods)
        self._number = next(_numbers)
        self._names = itertools.count(1)
        self._began = time.monotonic()
        self._stopped = threading.Event()
        self._held: list[str] = []
        self._ending: list[str] = []
        self._trouble: list[str] = []
        self._strict: set[str] = set()
        self.answers: list[answers.Answer] = []
        pod_namespaces, finalizer_namespaces, self._looks = (itertools.cycle(self._namespaces) for _ in range(3))
        self._threads = [
            threading.Thread(target=self._again, args=(seconds, work), daemon=True)
            for seconds, work in (
                (0.1, lambda: self._pod(next(pod_namespaces))),
                (1, lambda: self._finalizers(next(finalizer_namespaces))),
                (delete_namespaces_every, self._namespace),
            )
        ]

    # -- life -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        for name in self._namespaces:
            labels = self._api.get(f"/api/v1/namespaces/{name}").expect(200).body["metadata"].get("labels", {})
            if "restricted" in (labels.get(f"{GROUP}/guard"), labels.get("pod-security.kubernetes.io/enforce")):
                self._strict.add(name)
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=60)
        if error is None:
            self._finish()
        self._api.close()
        if error is None:
            assert self.findings() == [], f"{len(self.findings())} findings, first: {self.findings()[:5]}"
            idle_namespaces = [
                name
                for name in self._namespaces
                if not any(answer.passed and answer.where == name for answer in self.answers)
            ]
            assert idle_namespaces == [], f"no pod was ever created in {idle_namespaces}"

    def findings(self) -> list[str]:
        """Return the refusals, with the seconds since the start, the errors, and the namespaces that still exist."""
        refused = [f"at {answer.began - self._began:.2f} s {answer}" for answer in self.answers if answer.refused]
        return refused + self._trouble

    def passes(self, what: str, since: float = 0.0) -> list[answers.Answer]:
        """Return the requests of that kind that were sent after `since` and passed."""
        return [answer for answer in self.answers if answer.what == what and answer.passed and answer.began >= since]

    def __str__(self) -> str:
        sent = collections.Counter(answer.what for answer in self.answers if not answer.gap)
        refused = sum(answer.refused for answer in self.answers)
        unready = sum(answer.gap and answer.status != 0 for answer in self.answers)
        away = sum(answer.status == 0 for answer in self.answers)
        kinds = ", ".join(f"{count} x {what}" for what, count in sorted(sent.items()))
        return (
            f"ordinary work refused {refused} of {sum(sent.values())} ({kinds}); gaps: {away} away, {unready} unready"
        )

    # -- work -----------------------------------------------------------------------------------------------------

    def look(self, namespaces: int) -> None:
        """Check in the next `namespaces` namespaces whether the API server would admit an ordinary pod now."""
        for name in itertools.islice(self._looks, namespaces):
            body = self._body(name)
            self._ask("dry-run create", name, lambda n=name, b=body: self._api.post(f"{_pods(n)}?dryRun=All", b))

    def settle(self, deadline_seconds: float) -> None:
        """Wait until every namespace that the canary has deleted is gone; a namespace that remains is a finding."""
        deadline = time.monotonic() + cluster.PATIENCE * deadline_seconds
        for path in list(self._ending):
            seconds_left = max(1.0, deadline - time.monotonic())
            if not self._until(lambda p=path: self._api.get(p).status == 404, seconds_left):
                conditions = self._api.get(path).body.get("status", {}).get("conditions")
                self._trouble.append(f"{path} does not go in {deadline_seconds:.0f} s: {conditions}")
            self._ending.remove(path)

    def _pod(self, namespace: str) -> None:
        body = self._body(namespace)
        if self._ask("create", namespace, lambda: self._api.post(_pods(namespace), body)) != 201:
            return
        path = f"{_pods(namespace)}/{body['metadata']['name']}"
        label = {"metadata": {"labels": {"touched": "yes"}}}
        self._ask("update", namespace, lambda: self._api.patch(path, label))
        self._ask("delete", namespace, lambda: self._api.delete(path, {"gracePeriodSeconds": 0}))

    def _finalizers(self, namespace: str) -> None:
        body = self._body(namespace, finalizers=[_FINALIZER])
        if self._ask("create", namespace, lambda: self._api.post(_pods(namespace), body)) == 201:
            path = f"{_pods(namespace)}/{body['metadata']['name']}"
            self._held.append(path)
            self._ask("delete", namespace, lambda: self._api.delete(path, {"gracePeriodSeconds": 0}))
        self._held = [path for path in self._held if not self._release(path)]
        for owner, name in list(self._host_pods):
            path = f"{_pods(owner)}/{name}"
            patch = {"metadata": {"finalizers": [_FINALIZER]}}
            status = self._ask("host pod held", owner, lambda p=path, b=patch: self._api.patch(p, b), gone=True)
            if status == 404:
                self._host_pods.remove((owner, name))
            elif not self._release(path, "host pod released"):
                self._held.append(path)

    def _namespace(self) -> None:
        """Create a namespace, fill it with an exception, a pod and a ConfigMap, and delete it.

        `settle` checks later that the namespace is gone.
        """
        name = f"canary-{self._number}-{next(self._names)}"
        path = f"/api/v1/namespaces/{name}"
        new_namespace = {"metadata": {"name": name}}
        if self._ask("namespace create", name, lambda: self._api.post("/api/v1/namespaces", new_namespace)) != 201:
            return
        self._until(lambda: self._api.get(f"{path}/serviceaccounts/default").status == 200, 60)
        body, config_map = self._body(name), {"metadata": {"name": "plain"}}
        self._ask("create", name, lambda: self._api.post(_pods(name), body))
        self._ask("configmap create", name, lambda: self._api.post(f"{path}/configmaps", config_map))
        exceptions = f"/apis/{GROUP}/v1alpha1/namespaces/{name}/hostnetworkexceptions"
        self._ask("exception create", name, lambda: self._api.post(exceptions, _exception()), gone=True)
        self._ask("namespace delete", name, lambda: self._api.delete(path))
        self._ending.append(path)

    def _finish(self) -> None:
        self._held = [path for path in self._held if not self._until(lambda p=path: self._release(p), 30)]
        self._trouble += [f"{path}: its finalizer was not taken off" for path in self._held]
        for path in self._ending:
            # Delete again: the first DELETE may have met an API server that was away.
            self._ask("namespace delete", path.rsplit("/", 1)[1], lambda p=path: self._api.delete(p), gone=True)
        self.settle(120)

    def _release(self, path: str, what: str = "finalizer removal") -> bool:
        patch = {"metadata": {"finalizers": None}}
        namespace = path.split("/")[4]
        return self._ask(what, namespace, lambda: self._api.patch(path, patch), gone=True) in (200, 404)

    # -- asking ---------------------------------------------------------------------------------------------------

    def _ask(self, what: str, where: str, request: Callable[[], api.Response], *, gone: bool = False) -> int:
        """Record the answer and return its status. With `gone`, a missing object or kind is no refusal."""
        began = time.monotonic()
        try:
            answer = request()
            status, message = answer.status, answer.message
        except api.ConnectionFailedError as error:
            status, message = 0, str(error)
        # Caused by the canary or by the test: a conflict between writes, or an object, or (also 405) its whole kind,
        # that is being deleted.
        is_ending = "if the object is being deleted" in message or "while custom resource definition is term" in message
        is_expected = status == 409 or is_ending or (gone and status in (404, 405))
        if not is_expected:
            self.answers.append(answers.Answer(began, time.monotonic(), what, where, status, message))
        return status

    def _again(self, seconds: float, work: Callable[[], None]) -> None:
        while not self._stopped.is_set():
            if not turns.RUNNING.wait(0.1):
                continue
            began = time.monotonic()
            try:
                work()
            except Exception as error:  # a thread that dies unnoticed would find nothing
                self._trouble.append(f"the canary itself: {error!r}")
                return
            self._stopped.wait(max(0.02, began + seconds - time.monotonic()))

    def _until(self, probe: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + cluster.PATIENCE * seconds
        while time.monotonic() < deadline:
            try:
                if probe():
                    return True
            except api.ConnectionFailedError:
                pass
            time.sleep(0.1)
        return False

    def _body(self, namespace: str, **metadata: Any) -> dict[str, Any]:
        name = f"canary-{self._number}-{next(self._names)}"
        main: dict[str, Any] = {"name": "main", "image": "registry.example.com/app:1"}
        # One second: otherwise the deletion of a namespace with such a pod takes half a minute.
        spec: dict[str, Any] = {"containers": [main], "terminationGracePeriodSeconds": 1}
        if namespace in self._strict:
            spec["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
            main["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        return {"metadata": {"name": name, **metadata}, "spec": spec}


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def _exception() -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "HostNetworkException",
        "metadata": {"name": "node-agent"},
        "spec": {
            "type": "Infrastructure",
            "owner": "team-sre",
            "reason": "It goes with its namespace",
            "serviceAccountName": "agent",
        },
    }
