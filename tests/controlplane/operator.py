"""The operator as its own process against a test control plane, with nothing but the token of its service account."""

import os
import pathlib
import sys
import urllib.error
import urllib.request
from types import TracebackType
from typing import Self

from tests.controlplane import binary, cluster, processes

ROOT = pathlib.Path(__file__).parent.parent.parent
NAMESPACE = "hostnetwork-system"
ACCOUNT = "hostnetwork-operator"


def enforcing() -> str:
    """The overlay that turns enforcement on, by its name for the Kubernetes that is tested."""
    return "enforce" if binary.release().has("1.36") else "enforce-before-1.36"


def install(running: cluster.Cluster, overlay: str | None = None) -> None:
    """The policies, crds/ and an overlay as the README says, by default the enforcing one; the Deployment at 0, since
    kwok would only fake it. The five seconds between policies and CRDs are for clusters with tenants.
    """
    apply(running, "-k", str(ROOT / "manifests" / "admission"))
    apply(running, "--server-side", "-f", str(ROOT / "crds"))
    established = ("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))
    done = running.kubectl(*established)
    assert done.returncode == 0, done.stderr
    apply(running, "-k", str(ROOT / "manifests" / "overlays" / (overlay or enforcing())))
    scaled = running.kubectl("scale", "deployment", ACCOUNT, "-n", NAMESPACE, "--replicas=0")
    assert scaled.returncode == 0, scaled.stderr


def apply(running: cluster.Cluster, *words: str) -> str:
    """kubectl apply; what it printed. AssertionError with its complaint if it fails."""
    done = running.kubectl("apply", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


class OperatorProcess:
    """`python -m hostnetwork_operator`, started, killed and stopped; usable as a context manager."""

    def __init__(
        self,
        running: cluster.Cluster,
        *,
        name: str = "operator",
        environment: dict[str, str] | None = None,
        detached: bool = False,
        server: str | None = None,
        command: list[str] | None = None,
    ) -> None:
        self._cluster = running
        self._server = server
        self.port, self.probe_port = cluster.free_ports(2)
        self._environment = environment or {}
        command = command or [sys.executable, "-m", "hostnetwork_operator"]
        self._component = processes.Component(name, command, running.directory, detached=detached)

    def start(self, *, ready: bool = True, kubeconfig: pathlib.Path | None = None) -> Self:
        """With a fresh token, unless a kubeconfig is given; with `ready`, until it has judged everything once."""
        kubeconfig = kubeconfig or self._cluster.service_account(NAMESPACE, ACCOUNT, server=self._server)
        own = {
            "KUBECONFIG": str(kubeconfig),
            "HOSTNETWORK_ADDRESS": "127.0.0.1",
            "HOSTNETWORK_PORT": str(self.port),
            "HOSTNETWORK_PROBE_PORT": str(self.probe_port),
        }
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self._component.start({**kept, **own, **self._environment})
        if ready:
            self._cluster.wait("the operator", self._answering)
        return self

    def _answering(self) -> bool:
        assert self._component.running(), f"the operator ended:\n{self._component.tail(20)}"
        return self.probe("/readyz") == 200

    def probe(self, path: str) -> int:
        """HTTP status of a probe; 0 without an answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.probe_port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    @property
    def pid(self) -> int:
        return self._component.pid

    @property
    def log(self) -> pathlib.Path:
        return self._component.log

    def tail(self, lines: int = 20) -> str:
        return self._component.tail(lines)

    def running(self) -> bool:
        return self._component.running()

    def kill(self) -> None:
        self._component.kill()

    def stop(self) -> int | None:
        return self._component.stop(deadline_seconds=20)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
