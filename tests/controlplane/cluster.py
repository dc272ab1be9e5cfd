"""A whole Kubernetes control plane on free loopback ports: etcd, API server, controller manager, scheduler, kwok.

What it is not: there is no kubelet and no network. kwok says that nodes are ready and pods are running; a probe is
never made and a packet never sent. Everything that the API server and the controllers decide is real.

The controller manager runs with one credential per controller and without system:masters, as on real clusters:
otherwise admission policies would never see the garbage collector or the namespace controller under their own names.
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

# Every deadline is so many times what an idle machine of two cores needs: a busy one is slower, not different.
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
    """A component did not become ready in time; the message ends with its log."""


@dataclasses.dataclass(frozen=True)
class Ports:
    etcd: int
    etcd_peer: int
    apiserver: int
    controller_manager: int
    scheduler: int


class Cluster:
    """A control plane in `directory` (a temporary one that goes with it, unless given).

    Usable as a context manager. `detached` components outlive this process: `make cluster` ends them by pid.
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
        # Another address than 127.0.0.1 is one of tests/controlplane/loopback.py. The API servers register such an
        # address in EndpointSlice default/kubernetes, which must have no address of 127.0.0.0/8.
        self.address = address
        self.authority = pki.Authority(self.directory / "pki")
        self.ports = Ports(*free_ports(5))
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

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Everything up: the API server answers, the controllers work, the nodes are ready. Raises NotReadyError."""
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
        """The API server, until it answers on /readyz."""
        self.components["kube-apiserver"].start()
        self.wait_for_apiserver()

    def wait_for_apiserver(self, deadline_seconds: float = 60) -> None:
        self.wait("kube-apiserver", self._apiserver_ready, deadline_seconds)

    def kill_apiserver(self) -> None:
        self.components["kube-apiserver"].kill()

    def add_apiserver(self, etcd: str, *, address: str = LOOPBACK, sealed: bool = True) -> str:
        """A second API server with the same keys, on the etcd at that address: the first one's, or a way to it.

        Its URL, once it answers. Everything else stays with the first, which keeps the audit log for itself. At an
        address of its own it has the port of the first. Without `sealed` it reads no seal, even if the first does.
        """
        (port,) = free_ports(1) if address == LOOPBACK else (self.ports.apiserver,)
        left_out = ("--audit", "--etcd-servers", *(() if sealed else ("--admission-control-config-file",)))
        # Of a flag that is given twice the last counts, but for lists, which add up.
        command = [word for word in self.components["kube-apiserver"].command if not word.startswith(left_out)]
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
        """Ends the second API server."""
        self.components.pop("kube-apiserver-2").kill()

    def stop(self) -> None:
        """Ends every component and leaves nothing behind but a directory that was asked for."""
        for client in self._apis.values():
            client.close()
        self._apis.clear()
        # An API server whose etcd is gone does not stop on SIGTERM: it goes first, and is killed after a deadline.
        for component in reversed(self.components.values()):
            component.stop(deadline_seconds=5)
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def wait(self, what: str, probe: Callable[[], object], deadline_seconds: float = 60) -> None:
        """Until `probe` is true. Raises NotReadyError with every log's end."""
        until = time.monotonic() + PATIENCE * deadline_seconds
        while time.monotonic() < until:
            if probe():
                return
            dead = [c for c in self.components.values() if c._process is not None and not c.running()]
            if dead:
                break
            time.sleep(0.05)
        tails = "\n".join(
            f"--- {c.name} {'runs' if c.running() else 'DOES NOT RUN'}, {c.log}\n{c.tail()}"
            for c in self.components.values()
        )
        raise NotReadyError(f"{what}: not there after {deadline_seconds:.0f} s\n{tails}")

    # -- who --------------------------------------------------------------------------------------------------------

    @property
    def admin(self) -> api.Api:
        return self.api(self.kubeconfig)

    def api(self, kubeconfig: pathlib.Path) -> api.Api:
        """A JSON client with the identity of `kubeconfig`."""
        if kubeconfig not in self._apis:
            self._apis[kubeconfig] = api.Api.from_kubeconfig(kubeconfig)
        return self._apis[kubeconfig]

    def user(self, name: str, *groups: str) -> pathlib.Path:
        """A kubeconfig of a user by client certificate. Rights are given with ordinary RBAC objects."""
        if (name, groups) not in self._users:
            file = "-".join([name, *groups]).replace(":", "_").replace("/", "_")
            certificate, key = self.authority.issue(file, name, groups)
            identity = {"client-certificate": str(certificate), "client-key": str(key)}
            self._users[name, groups] = self._write_kubeconfig(file, identity)
        return self._users[name, groups]

    def administrator_at(self, server: str) -> pathlib.Path:
        """The administrator's kubeconfig for another address of the API server."""
        identity = yaml.safe_load(self.kubeconfig.read_text())["users"][0]["user"]
        return self._write_kubeconfig(f"admin-{server.rsplit(':', 1)[1]}", identity, server)

    def node_user(self, node: str) -> pathlib.Path:
        """The identity of a kubelet: NodeRestriction and the Node authorizer treat it as one."""
        return self.user(f"system:node:{node}", "system:nodes")

    def tenant(self, namespace: str, name: str = "tenant") -> pathlib.Path:
        """A user with `*` on `*` in one namespace and nothing else: the strongest tenant that RBAC can make."""
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
        """Until the API server knows of it: its authorizer hears of Roles and bindings by a watch."""
        self.wait(f"{user.name}: {attributes}", lambda: self.api(user).may(attributes))

    def service_account(
        self, namespace: str, name: str, seconds: int = 86400, server: str | None = None
    ) -> pathlib.Path:
        """A kubeconfig with nothing but a bound token of that service account, fresh at each call.

        `server` is another address of the API server: a proxy's.
        """
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        token = self.admin.post(path, request).expect(201).body["status"]["token"]
        file = f"sa-{namespace}-{name}" if server is None else f"sa-{namespace}-{name}-{server.rsplit(':', 1)[1]}"
        return self._write_kubeconfig(file, {"token": token}, server)

    def kubectl(
        self, *words: str, user: pathlib.Path | None = None, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs kubectl; never raises for its exit status."""
        command = [*self.executables.command("kubectl"), f"--kubeconfig={user or self.kubeconfig}", *words]
        environment = {**os.environ, "KUBECACHEDIR": str(self.directory / "kubectl-cache")}
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, env=environment, timeout=PATIENCE * 120, check=False
        )

    def audit_events(self) -> Iterator[dict[str, Any]]:
        """What the audit log holds, oldest first."""
        assert self.audit_log is not None, "this cluster was started without audit=True"
        with self.audit_log.open("rb") as lines:
            for line in lines:
                with contextlib.suppress(json.JSONDecodeError):  # the last line may be half written
                    yield json.loads(line.replace(api.NEST, b"{}"))

    # -- how --------------------------------------------------------------------------------------------------------

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
                "--vmodule=validator=2",  # the log names each messageExpression that failed; no answer does
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
                "--manage-all-nodes=true",
                "--node-lease-duration-seconds=40",
            ],
        }

    def _audit_flags(self) -> list[str]:
        if self.audit_log is None:
            return []
        policy = self.directory / "audit-policy.yaml"
        policy.write_text(yaml.safe_dump(_AUDIT_POLICY))
        return [
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-mode=blocking",
            # In megabytes. At 100, the default, the API server begins a new file, and the tests read one.
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
        place = yaml.safe_load(configuration)["plugins"][0]["configuration"]["staticManifestsDir"]
        file = self.directory / "admission-configuration.yaml"
        file.write_text(configuration.replace(place, str(self.seal)))
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
        # Executables of somebody's own (KUBEBUILDER_ASSETS, PATH) may be another version than is said to be tested.
        found = self.admin.get("/version").expect(200).body["gitVersion"]
        asked = binary.release().minor
        if not found.startswith(f"v{asked}."):
            raise NotReadyError(
                f"the API server is {found}, to be tested is {asked}: unset KUBEBUILDER_ASSETS, or set KUBERNETES to"
                f" one of {', '.join(one.minor for one in binary.RELEASES)}"
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
    """Where the administrator's kubeconfig of a cluster in `directory` lies."""
    return directory / "admin-system_masters.kubeconfig"


def _ready(client: api.Api) -> bool:
    with contextlib.suppress(api.ConnectionFailedError):
        return client.get("/readyz").status == 200
    return False


def _node(name: str) -> dict[str, Any]:
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now.

    Below the range that the kernel gives to outgoing connections (from 32768): a port of that range can be taken by
    any client between here and the moment a component listens on it. Several clusters start at the same time.
    """
    # All are held open until the last is known, or one could be found twice.
    with contextlib.ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            listener = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                listener.bind(("127.0.0.1", random.randint(15000, 32000)))
                ports.append(listener.getsockname()[1])
        return ports
