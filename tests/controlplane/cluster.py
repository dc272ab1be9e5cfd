"""A whole Kubernetes control plane on free loopback ports: etcd, API server, controller manager, scheduler, kwok.

There is no kubelet and no network. kwok reports that nodes are ready and pods are running, so no probe is made and no
packet is sent. kwok also answers the API server as the kubelet of every node: the log of a container, and what an
attachment shows, are the lines of one file (`container_log`). Everything that the API server and the controllers decide
is real.

The controller manager runs with one credential per controller and without system:masters, as on real clusters.
Otherwise admission policies would never see the garbage collector or the namespace controller under their own names.
"""

import base64
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import yaml

from tests.controlplane import api, binary, pki, processes

# Each deadline is this many times as long as an idle machine of two cores needs, because a busy machine is slower.
PATIENCE = 3
LOOPBACK = "127.0.0.1"
STAGES = pathlib.Path(__file__).parent / "stages.yaml"
STATIC = pathlib.Path(__file__).parent.parent.parent / "manifests" / "static"
_AUDIT_POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "omitManagedFields": True,
    "rules": [
        {"level": "None", "resources": [{"group": "coordination.k8s.io"}]},
        {"level": "Metadata", "verbs": ["get", "list", "watch"]},
        {"level": "RequestResponse"},
    ],
}


class NotReadyError(Exception):
    """A component did not become ready in time. The message ends with the logs."""


@dataclasses.dataclass(frozen=True)
class Ports:
    etcd: int
    etcd_peer: int
    apiserver: int
    controller_manager: int
    scheduler: int
    kubelet: int


class Cluster:
    """A control plane in `directory`. Without an argument the directory is temporary, and `stop` removes it.

    The control plane is a context manager. With `detached`, the components survive this process, and
    `make cluster-down` ends them by pid.
    """

    def __init__(
        self,
        directory: pathlib.Path | None = None,
        *,
        nodes: int = 2,
        audit: bool = False,
        detached: bool = False,
        durable: bool = False,
        sealed: bool = False,
        address: str = LOOPBACK,
    ) -> None:
        self._temporary = directory is None
        self.directory = directory or pathlib.Path(tempfile.mkdtemp(prefix="hno-cluster-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.nodes = tuple(f"node-{number}" for number in range(1, nodes + 1))
        self.audit_log = self.directory / "audit.log" if audit else None
        self.executables = binary.find_or_build()
        # Any other address than 127.0.0.1 comes from tests/controlplane/loopback.py. The API servers register such an
        # address in EndpointSlice default/kubernetes, which must have no address of 127.0.0.0/8.
        self.address = address
        self.authority = pki.Authority(self.directory / "pki")
        self.ports = Ports(*free_ports(6))
        # What every container writes: lines as a container runtime logs them, `TIME stdout F TEXT`.
        self.container_log = self.directory / "container.log"
        self.url = f"https://{address}:{self.ports.apiserver}"
        self._durable = durable
        # The directory of admission policies that the API server reads from files; None if it reads none.
        self.seal = self.directory / "seal" if sealed else None
        self._users: dict[tuple[str, tuple[str, ...]], pathlib.Path] = {}
        self._apis: dict[pathlib.Path, api.Api] = {}
        self.kubeconfig = self.user("admin", "system:masters")
        assert self.kubeconfig == admin_kubeconfig(self.directory)
        self.components = {
            name: processes.Component(
                name, [*self.executables.command(name), *flags], self.directory, detached=detached
            )
            for name, flags in self._flags().items()
        }

    # -- start and stop -------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start all components and wait until the API server, the controllers and the nodes are ready.

        Raise NotReadyError if they are not ready in time.
        """
        try:
            self.components["etcd"].start()
            self.start_apiserver()
            self._check_version()
            for name in ("kube-controller-manager", "kube-scheduler", "kwok"):
                self.components[name].start()
            for node in self.nodes:
                self.admin.post("/api/v1/nodes", _node(node)).expect(201)
            self.wait(
                "the default service account",
                lambda: self._exists("/api/v1/namespaces/default/serviceaccounts/default"),
            )
            self.wait("ready nodes", self._nodes_ready)
        except BaseException:
            self.stop()
            raise
        return self

    def start_apiserver(self) -> None:
        """Start the API server and wait until it answers on /readyz."""
        self.components["kube-apiserver"].start()
        self.wait_for_apiserver()

    def wait_for_apiserver(self, deadline_seconds: float = 60) -> None:
        self.wait("kube-apiserver", self._apiserver_ready, deadline_seconds)

    def kill_apiserver(self) -> None:
        self.components["kube-apiserver"].kill()

    def add_apiserver(self, etcd: str, *, address: str = LOOPBACK, sealed: bool = True) -> str:
        """Start a second API server with the same keys and wait until it answers. Return its URL.

        `etcd` is the URL of the first API server's etcd, or of a proxy for it. The other components use the first API
        server, and only the first writes the audit log. At another address than the default the second API server has
        the port of the first. Without `sealed` the second reads no seal, even if the first does.
        """
        (port,) = free_ports(1) if address == LOOPBACK else (self.ports.apiserver,)
        omitted_flags = ("--audit", "--etcd-servers", *(() if sealed else ("--admission-control-config-file",)))
        # If a flag is repeated, the last value counts. The values of a list are added up.
        command = [
            argument for argument in self.components["kube-apiserver"].command if not argument.startswith(omitted_flags)
        ]
        command += [f"--etcd-servers={etcd}", f"--secure-port={port}", f"--bind-address={address}"]
        command += [f"--advertise-address={address}"] if address != LOOPBACK else []
        name = "kube-apiserver-2"
        self.components[name] = processes.Component(name, command, self.directory, detached=False)
        self.components[name].start()
        url = f"https://{address}:{port}"
        client = self.api(self.administrator_at(url))
        self.wait("the second kube-apiserver", lambda: _ready(client))
        return url

    def remove_apiserver(self) -> None:
        """End the second API server."""
        self.components.pop("kube-apiserver-2").kill()

    def stop(self) -> None:
        """End every component, and remove the directory if it is temporary."""
        for client in self._apis.values():
            client.close()
        self._apis.clear()
        # An API server without etcd does not stop on SIGTERM. So it is stopped before etcd, with a deadline.
        for component in reversed(self.components.values()):
            component.stop(deadline_seconds=5)
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def wait(self, condition: str, probe: Callable[[], object], deadline_seconds: float = 60) -> None:
        """Wait until `probe` returns true. Raise NotReadyError with the end of every log.

        The wait fails at the deadline, or as soon as a component has ended.
        """
        deadline = time.monotonic() + PATIENCE * deadline_seconds
        while time.monotonic() < deadline:
            if probe():
                return
            ended = [
                component
                for component in self.components.values()
                if component._process is not None and not component.running()
            ]
            if ended:
                break
            time.sleep(0.05)
        tails = "\n".join(
            f"--- {component.name} {'runs' if component.running() else 'DOES NOT RUN'}, {component.log}\n"
            f"{component.tail()}"
            for component in self.components.values()
        )
        raise NotReadyError(f"{condition}: not there after {deadline_seconds:.0f} s\n{tails}")

    # -- clients ----------------------------------------------------------------------------------------------------

    @property
    def admin(self) -> api.Api:
        return self.api(self.kubeconfig)

    def api(self, kubeconfig: pathlib.Path) -> api.Api:
        """Return a JSON client with the identity of `kubeconfig`."""
        if kubeconfig not in self._apis:
            self._apis[kubeconfig] = api.Api.from_kubeconfig(kubeconfig)
        return self._apis[kubeconfig]

    def user(self, name: str, *groups: str) -> pathlib.Path:
        """Return a kubeconfig of a user with a client certificate. Ordinary RBAC objects give the user rights."""
        if (name, groups) not in self._users:
            file_name = "-".join([name, *groups]).replace(":", "_").replace("/", "_")
            certificate, key = self.authority.issue(file_name, name, groups)
            identity = {"client-certificate": str(certificate), "client-key": str(key)}
            self._users[name, groups] = self._write_kubeconfig(file_name, identity)
        return self._users[name, groups]

    def administrator_at(self, server: str) -> pathlib.Path:
        """Return the administrator's kubeconfig for another address of the API server."""
        identity = yaml.safe_load(self.kubeconfig.read_text())["users"][0]["user"]
        return self._write_kubeconfig(f"admin-{server.rsplit(':', 1)[1]}", identity, server)

    def node_user(self, node: str) -> pathlib.Path:
        """Return a kubeconfig that NodeRestriction and the Node authorizer treat as a kubelet's."""
        return self.user(f"system:node:{node}", "system:nodes")

    def tenant(self, namespace: str, name: str = "tenant") -> pathlib.Path:
        """Return a kubeconfig of the strongest tenant that RBAC allows, with `*` on `*` in one namespace alone."""
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": f"all-{name}"},
            "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
        }
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"{name}-{namespace}"}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": f"all-{name}"}
        binding = {**role, "kind": "RoleBinding", "roleRef": reference, "subjects": [subject]}
        del binding["rules"]
        base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        self.admin.post(f"{base}/roles", role).expect(201, 409)
        self.admin.post(f"{base}/rolebindings", binding).expect(201, 409)
        user = self.user(f"{name}-{namespace}", "system:authenticated")
        self.wait_for_right(user, {"namespace": namespace, "group": "*", "resource": "*", "verb": "*"})
        return user

    def wait_for_right(self, user: pathlib.Path, attributes: dict[str, str]) -> None:
        """Wait until the API server grants the right. Its authorizer learns of Roles and bindings through a watch."""
        self.wait(f"{user.name}: {attributes}", lambda: self.api(user).may(attributes))

    def service_account(
        self, namespace: str, name: str, seconds: int = 86400, server: str | None = None
    ) -> pathlib.Path:
        """Return a kubeconfig with only a bound token of the service account. Each call requests a new token.

        `server` is the address of a proxy for the API server.
        """
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        token = self.admin.post(path, request).expect(201).body["status"]["token"]
        file_name = f"sa-{namespace}-{name}" if server is None else f"sa-{namespace}-{name}-{server.rsplit(':', 1)[1]}"
        return self._write_kubeconfig(file_name, {"token": token}, server)

    def kubectl(
        self, *arguments: str, user: pathlib.Path | None = None, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl. No exit status raises an error."""
        command = [*self.executables.command("kubectl"), f"--kubeconfig={user or self.kubeconfig}", *arguments]
        environment = {**os.environ, "KUBECACHEDIR": str(self.directory / "kubectl-cache")}
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, env=environment, timeout=PATIENCE * 120, check=False
        )

    def audit_bytes(self) -> int:
        """Return the length of the audit log, from which `audit_events` yields only what comes after."""
        assert self.audit_log is not None, "this cluster was started without audit=True"
        return self.audit_log.stat().st_size

    def audit_events(self, begin: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the events of the audit log from this byte on, oldest first."""
        assert self.audit_log is not None, "this cluster was started without audit=True"
        with self.audit_log.open("rb") as log:
            log.seek(begin)
            for line in log:
                with contextlib.suppress(json.JSONDecodeError):  # the last line may be half written
                    yield json.loads(line.replace(api.NEST, b"{}"))

    # -- flags and files --------------------------------------------------------------------------------------------

    def _flags(self) -> dict[str, list[str]]:
        pki_directory = self.authority.directory
        certificate, key = self.authority.issue("apiserver", "kube-apiserver")
        signing = self.authority.signing_key("service-accounts.key")
        ca = str(self.authority.certificate_path)
        etcd = f"http://127.0.0.1:{self.ports.etcd}"
        etcd_peer = f"http://127.0.0.1:{self.ports.etcd_peer}"
        audit = self._audit_flags()
        manager = self.user("system:kube-controller-manager")
        scheduler = self.user("system:kube-scheduler")
        return {
            "etcd": [
                f"--data-dir={self.directory / 'etcd'}",
                f"--listen-client-urls={etcd}",
                f"--advertise-client-urls={etcd}",
                f"--listen-peer-urls={etcd_peer}",
                f"--initial-advertise-peer-urls={etcd_peer}",
                f"--initial-cluster=default={etcd_peer}",
                "--log-level=error",
                *([] if self._durable else ["--unsafe-no-fsync"]),
            ],
            "kube-apiserver": [
                f"--etcd-servers={etcd}",
                f"--bind-address={self.address}",
                f"--secure-port={self.ports.apiserver}",
                f"--tls-cert-file={certificate}",
                f"--tls-private-key-file={key}",
                f"--client-ca-file={ca}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={signing}",
                f"--service-account-signing-key-file={signing}",
                "--service-cluster-ip-range=10.96.0.0/16",
                *self._reconciler_flags(),
                "--external-hostname=127.0.0.1",
                "--vmodule=validator=2",  # the log names each messageExpression that failed, and no answer does
                f"--cert-dir={pki_directory}",
                *audit,
                *self._seal_flags(),
            ],
            "kube-controller-manager": [
                f"--kubeconfig={manager}",
                f"--authentication-kubeconfig={manager}",
                f"--authorization-kubeconfig={manager}",
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={signing}",
                f"--root-ca-file={ca}",
                "--bind-address=127.0.0.1",
                f"--secure-port={self.ports.controller_manager}",
                f"--cert-dir={pki_directory / 'controller-manager'}",
                "--leader-elect=false",
                "--controllers=*,-node-ipam-controller",
            ],
            "kube-scheduler": [
                f"--kubeconfig={scheduler}",
                f"--authentication-kubeconfig={scheduler}",
                f"--authorization-kubeconfig={scheduler}",
                "--bind-address=127.0.0.1",
                f"--secure-port={self.ports.scheduler}",
                f"--cert-dir={pki_directory / 'scheduler'}",
                "--leader-elect=false",
            ],
            "kwok": [
                f"--kubeconfig={self.kubeconfig}",
                f"--config={STAGES}",
                f"--config={self._streams()}",
                # kwok answers as the kubelet of every node, so the API server can attach to a container.
                f"--server-address={LOOPBACK}:{self.ports.kubelet}",
                f"--node-ip={LOOPBACK}",
                f"--node-port={self.ports.kubelet}",
                "--manage-all-nodes=true",
                "--node-lease-duration-seconds=40",
            ],
        }

    def _streams(self) -> pathlib.Path:
        """Return a configuration in which the log of every container, and what an attachment shows, is one file."""
        self.container_log.touch()
        kinds = {"ClusterLogs": "logs", "ClusterAttach": "attaches"}
        objects = [
            {
                "apiVersion": "kwok.x-k8s.io/v1alpha1",
                "kind": kind,
                "metadata": {"name": "containers"},
                "spec": {key: [{"logsFile": str(self.container_log)}]},
            }
            for kind, key in kinds.items()
        ]
        path = self.directory / "streams.yaml"
        path.write_text(yaml.safe_dump_all(objects))
        return path

    def _audit_flags(self) -> list[str]:
        if self.audit_log is None:
            return []
        policy = self.directory / "audit-policy.yaml"
        policy.write_text(yaml.safe_dump(_AUDIT_POLICY))
        return [
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-mode=blocking",
            # In megabytes. At the default of 100 the API server begins a new file, and the tests read only one.
            "--audit-log-maxsize=10000",
        ]

    def _reconciler_flags(self) -> list[str]:
        if self.address == LOOPBACK:
            return ["--endpoint-reconciler-type=none"]
        return ["--endpoint-reconciler-type=lease", f"--advertise-address={self.address}"]

    def _seal_flags(self) -> list[str]:
        if self.seal is None:
            return []
        self.seal.mkdir()
        shutil.copy(STATIC / "seal.yaml", self.seal)
        configuration = (STATIC / "apiserver" / "admission-configuration.yaml").read_text()
        manifests_directory = yaml.safe_load(configuration)["plugins"][0]["configuration"]["staticManifestsDir"]
        file = self.directory / "admission-configuration.yaml"
        file.write_text(configuration.replace(manifests_directory, str(self.seal)))
        return [f"--admission-control-config-file={file}"]

    def _write_kubeconfig(self, name: str, identity: dict[str, str], server: str | None = None) -> pathlib.Path:
        ca = base64.b64encode(self.authority.certificate_path.read_bytes()).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": server or self.url, "certificate-authority-data": ca}}],
            "users": [{"name": name, "user": identity}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "current-context": "test",
        }
        path = self.directory / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path

    def _check_version(self) -> None:
        # Ready-made executables (KUBEBUILDER_ASSETS, PATH) may have another version than the release.
        server_version = self.admin.get("/version").expect(200).body["gitVersion"]
        tested_minor = binary.release().minor
        if not server_version.startswith(f"v{tested_minor}."):
            raise NotReadyError(
                f"the API server is {server_version}, to be tested is {tested_minor}: unset KUBEBUILDER_ASSETS, or set"
                f" KUBERNETES to one of {', '.join(release.minor for release in binary.RELEASES)}"
            )

    def _apiserver_ready(self) -> bool:
        return _ready(self.admin)

    def _exists(self, path: str) -> bool:
        return self.admin.get(path).status == 200

    def _nodes_ready(self) -> bool:
        nodes = self.admin.get("/api/v1/nodes").expect(200).body["items"]
        ready = [
            node
            for node in nodes
            for condition in node.get("status", {}).get("conditions", [])
            if condition["type"] == "Ready" and condition["status"] == "True"
        ]
        return len(ready) == len(self.nodes)


def admin_kubeconfig(directory: pathlib.Path) -> pathlib.Path:
    """Return the path of the administrator's kubeconfig of a cluster in `directory`."""
    return directory / "admin-system_masters.kubeconfig"


def _ready(client: api.Api) -> bool:
    with contextlib.suppress(api.ConnectionFailedError):
        return client.get("/readyz").status == 200
    return False


def _node(name: str) -> dict[str, Any]:
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def free_ports(count: int) -> list[int]:
    """Return loopback ports on which no process listens now.

    The ports are below the range of outgoing connections (from 32768). Any client could take a port of that range
    before a component listens on the port. Several clusters start at the same time.
    """
    # All ports stay open until the last is found. Otherwise the same port could be found twice.
    with contextlib.ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            listener = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                listener.bind(("127.0.0.1", random.randint(15000, 32000)))
                ports.append(listener.getsockname()[1])
        return ports
