"""The operator in its image as the Deployment runs it: same user, no capabilities, nothing writable, process 1.

`unshare` and `setpriv` build the container from kernel features, because the test machine may have no container
runtime. Some things differ from a node: the container uses this machine's network, where the control plane listens on
localhost, and has no seccomp filter and no memory limit.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
from typing import Any, Self

import yaml

from tests.controlplane import cluster, operator
from tests.image import base, build

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# $1 is the image's file system, $2 the service account's volume, $3 the user, $4 the path of a volume and $5 the
# directory that is mounted there, both empty for none; the command follows.
_ENTER = f"""
root=$1 volume=$2 user=$3 path=$4 directory=$5; shift 5
mount --bind "$root" "$root"
mkdir -p "$root/$(chroot "$root" readlink -m {_ACCOUNT})"
mount --bind "$volume" "$root/$(chroot "$root" readlink -m {_ACCOUNT})"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755,size=64k dev "$root/dev"
for device in null zero full random urandom; do
  : > "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
if [ -n "$path" ]; then
  mkdir -p "$root$path"
  mount --bind "$directory" "$root$path"
fi
mount -o remount,bind,ro "$root"
exec unshare --root="$root" --wd=/ setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs \
  --inh-caps=-all --bounding-set=-all --pdeathsig=KILL "$@"
"""


def deployed() -> dict[str, Any]:
    """Return the pod of manifests/base/deployment.yaml."""
    manifest = yaml.safe_load((operator.ROOT / "manifests" / "base" / "deployment.yaml").read_text())
    pod: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return pod


def _links() -> dict[str, str]:
    """Return a kubelet's variables for a Service `hostnetwork-metrics`, unless the Deployment opts out of them."""
    return {} if deployed().get("enableServiceLinks") is False else {"HOSTNETWORK_METRICS_PORT": "tcp://10.96.0.7:8080"}


def check() -> None:
    """Raise base.ImageError if no container can be made."""
    try:
        base.run(["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"])
    except (base.ImageError, FileNotFoundError) as error:
        raise base.ImageError(f"{error}\nmounts are refused here; run the tests on a machine of their own") from error


class Container(operator.OperatorProcess):
    """The image's command, with the service account's volume and environment as a kubelet provides them."""

    def __init__(self, control_plane: cluster.Cluster, image: build.Image) -> None:
        self._image = image
        self._volume = control_plane.directory / "serviceaccount"
        super().__init__(control_plane, name="container", command=self._unshared_command(*image.command))

    def _unshared_command(self, *arguments: str, volume: tuple[str, str] = ("", "")) -> list[str]:
        user = str(deployed()["securityContext"]["runAsUser"])
        unshare = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        return [
            *unshare,
            "sh",
            "-euc",
            _ENTER,
            "sh",
            str(self._image.root),
            str(self._volume),
            user,
            *volume,
            *arguments,
        ]

    def start(self, *, ready: bool = True, kubeconfig: pathlib.Path | None = None) -> Self:
        """Start as a kubelet starts the pod: with the token and the API server's address, without a kubeconfig."""
        assert kubeconfig is None, "a container gets its token from its volume"
        self._write_volume()
        ports = {"HOSTNETWORK_PORT": str(self.port), "HOSTNETWORK_PROBE_PORT": str(self.probe_port)}
        self._component.start({**self._container_environment(), "HOSTNETWORK_ADDRESS": "127.0.0.1", **ports})
        if ready:
            self._cluster.wait("the operator in its container", self._answering)
        return self

    def _container_environment(self) -> dict[str, str]:
        address = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self._cluster.ports.apiserver),
        }
        return {**self._image.environment, **address, **_links()}

    def run(
        self,
        *arguments: str,
        account: str = operator.ACCOUNT,
        volume: tuple[str, str] = ("", ""),
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run another command in a second container of the same kind.

        `account` is the service account. `volume` is a path in the container, and the directory that is mounted there.
        """
        self._write_volume(account)
        command = self._unshared_command(*arguments, volume=volume)
        variables = {**self._container_environment(), **(environment or {})}
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)

    def _write_volume(self, account: str = operator.ACCOUNT) -> None:
        kubeconfig = self._cluster.service_account(operator.NAMESPACE, account)
        token = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"]
        shutil.rmtree(self._volume, ignore_errors=True)
        self._volume.mkdir()
        authority = self._cluster.authority.certificate_path.read_text()
        for name, text in (("token", token), ("ca.crt", authority), ("namespace", operator.NAMESPACE)):
            path = self._volume / name
            path.touch(mode=0o600)
            path.write_text(text)
            user = deployed()["securityContext"]["runAsUser"]
            os.chown(path, user, user)

    @property
    def pid(self) -> int:
        """The process id outside the container; inside, the id is 1."""
        outer = super().pid
        return int(pathlib.Path(f"/proc/{outer}/task/{outer}/children").read_text())

    def stop(self) -> int | None:
        """Stop as a kubelet does and return the exit status: SIGTERM, then SIGKILL after the pod's grace period."""
        if not self.running():
            return None
        # The process may end at any moment. Then its id or its list of children is missing, or the list is empty.
        with contextlib.suppress(ProcessLookupError, FileNotFoundError, ValueError):
            os.kill(self.pid, signal.SIGTERM)
        try:
            return self._component.wait(deployed()["terminationGracePeriodSeconds"])
        except subprocess.TimeoutExpired:
            self._component.kill()
            raise
