"""The operator as a separate process on a test control plane, with only the token of its service account."""

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
    """Return the name of the overlay that turns enforcement on, for the Kubernetes version under test."""
    return "enforce" if binary.release().has("1.36") else "enforce-before-1.36"


def install(control_plane: cluster.Cluster, overlay: str | None = None) -> None:
    """Install the policies, crds/ and an overlay as in the README; by default, the overlay that enforces.

    The Deployment is scaled to 0, because kwok would only simulate its pod. The README waits five seconds between
    policies and CRDs; that is for clusters with tenants.
    """
    apply(control_plane, "-k", str(ROOT / "manifests" / "admission"))
    apply(control_plane, "--server-side", "-f", str(ROOT / "crds"))
    wait = ("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))
    completed = control_plane.kubectl(*wait)
    assert completed.returncode == 0, completed.stderr
    apply(control_plane, "-k", str(ROOT / "manifests" / "overlays" / (overlay or enforcing())))
    scaled = control_plane.kubectl("scale", "deployment", ACCOUNT, "-n", NAMESPACE, "--replicas=0")
    assert scaled.returncode == 0, scaled.stderr


def apply(control_plane: cluster.Cluster, *arguments: str) -> str:
    """Run kubectl apply and return its output. Raise AssertionError with its error output if it fails."""
    completed = control_plane.kubectl("apply", *arguments)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


class OperatorProcess:
    """A process `python -m hostnetwork_operator` that a test can start, kill and stop; also a context manager."""

    def __init__(
        self,
        control_plane: cluster.Cluster,
        *,
        name: str = "operator",
        environment: dict[str, str] | None = None,
        detached: bool = False,
        server: str | None = None,
        command: list[str] | None = None,
    ) -> None:
        self._cluster = control_plane
        self._server = server
        self.port, self.probe_port = cluster.free_ports(2)
        self._environment = environment or {}
        command = command or [sys.executable, "-m", "hostnetwork_operator"]
        self._component = processes.Component(name, command, control_plane.directory, detached=detached)

    def start(self, *, ready: bool = True, kubeconfig: pathlib.Path | None = None) -> Self:
        """Start the process, with a new token unless a kubeconfig is given.

        With `ready`, wait until the operator has evaluated every namespace once.
        """
        kubeconfig = kubeconfig or self._cluster.service_account(NAMESPACE, ACCOUNT, server=self._server)
        settings = {
            "KUBECONFIG": str(kubeconfig),
            "HOSTNETWORK_ADDRESS": "127.0.0.1",
            "HOSTNETWORK_PORT": str(self.port),
            "HOSTNETWORK_PROBE_PORT": str(self.probe_port),
        }
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self._component.start({**inherited, **settings, **self._environment})
        if ready:
            self._cluster.wait("the operator", self._answering)
        return self

    def _answering(self) -> bool:
        assert self._component.running(), f"the operator ended:\n{self._component.tail(20)}"
        return self.probe("/readyz") == 200

    def probe(self, path: str) -> int:
        """Return the HTTP status of a probe, or 0 if there is no answer."""
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
