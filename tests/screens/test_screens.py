"""What a person sees of each verb, compared with the files beside this module: at 80 and 100 columns, and in a pipe.

The command runs against a scripted API server. WRITE_SCREENS=1 writes the files anew; read the difference before you
commit.
"""

import asyncio
import contextlib
import datetime
import io
import os
import pathlib
import re
import shlex
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from aiohttp import web

from hostnetwork_operator import clock
from hostnetwork_operator.api import labels
from hostnetwork_operator.cli import main, tables
from hostnetwork_operator.control import policy_status
from hostnetwork_operator.observe import live
from tests.unit import serving
from tests.unit.builders import IMAGE
from tests.unit.shell import world
from tests.unit.shell.apiserver import ApiServer, Body, until

SCREENS = pathlib.Path(__file__).parent
MANIFESTS = SCREENS / "manifests.yaml"
# Verbs that write are shown as dry runs. Their times are those of the day on which the test runs.
_WRITES = {
    "grant": [
        "grant", "-n", "legacy", "deploy/legacy-proxy-of-the-old-shop", "--type", "Application", "--for", "7d",
        "--owner", "team-web", "--reason", "VRRP of the old shop, until its move", "--ticket", "SHOP-12", "--dry-run",
    ],
    "renew": ["renew", "capture-inc4711", "-n", "debug", "--for", "7d", "--ticket", "INC-4712", "--dry-run"],
    "revoke": ["revoke", "capture-inc4711", "-n", "debug", "--reason", "capture is complete", "--dry-run"],
    "review": ["review", "node-exporter", "-n", "monitoring", "--dry-run"],
}  # fmt: skip
_TIME = re.compile(r"\b20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_COMMANDS = {
    **{verb: [verb] for verb in main.VERBS if verb not in {"check", "debug", "draft", "report", "why"}},
    **_WRITES,
    "status-wide": ["status", "-o", "wide"],
    "why-uncovered": ["why", "-n", "legacy", "deploy/legacy-proxy-of-the-old-shop"],
    "why-covered": ["why", "-n", "monitoring", "ds/node-exporter"],
    # A session itself needs a kubelet, and what it creates has the time in it.
    "debug": [
        *("debug", "node/node-1", "-n", "kube-system", "--image", IMAGE, "--ticket", "INC-4711", "--owner", "ann")
    ],
    "doctor-pre": ["doctor", "--pre"],
    "draft": ["draft", "-n", "legacy", "deploy/legacy-proxy-of-the-old-shop"],
    "draft-for-approval": ["draft", "-n", "monitoring", "ds/node-exporter", "--for-approval"],
    "check": ["check", "-f", "manifests.yaml"],
    "report": ["report", "--out", "/dev/null"],
    "check-server": ["check", "-f", "manifests.yaml", "--server"],
}
_DIGEST = re.compile(r"\b[0-9a-f]{64}$", re.MULTILINE)
_WIDTHS = {"80 columns": 80, "100 columns": 100, "a pipe": None}


class _Server(ApiServer):
    """The scripted server, with what only the command asks: reviews of access, and dry runs with Pod Security."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        if request.path.endswith("/selfsubjectaccessreviews"):
            allowed = body["spec"]["resourceAttributes"]["resource"] != "clusterrolebindings"
            metadata = {"uid": "u", "name": "review", "resourceVersion": "1"}
            return web.json_response(
                {"kind": "Review", "metadata": metadata, "status": {"allowed": allowed}}, status=201
            )
        if request.query.get("dryRun") and request.path.endswith("/pods"):
            level = "restricted" if "restricted" in request.path else "baseline"
            text = f'would violate PodSecurity \\"{level}:latest\\": host namespaces (hostNetwork=true)'
            warned = level == "restricted" or {"hostNetwork", "hostPID", "hostIPC"} & set(body["spec"])
            metadata = {
                "name": "asked",
                "uid": "u",
                "resourceVersion": "1",
                "creationTimestamp": "2026-01-01T00:00:00Z",
            }
            answer = web.json_response({"kind": "Pod", **body, "metadata": metadata}, status=201)
            if warned:
                answer.headers["Warning"] = f'299 - "{text}"'
            return answer
        if request.query.get("dryRun") and "/hostnetworkexceptions" in request.path:
            return web.json_response(self._dry_run(request, body))
        return await super().answer(request)

    def _dry_run(self, request: web.Request, body: Body) -> Body:
        """Return an exception as a dry run leaves it."""
        metadata = {"uid": "u", "resourceVersion": "1", "generation": 1, "creationTimestamp": _moment()}
        present = self.objects.get(request.path, {"metadata": metadata})
        spec = {**present.get("spec", {}), **body["spec"]}
        return {**body, **present, "metadata": {**body["metadata"], **present["metadata"]}, "spec": spec}


def _moment() -> str:
    return f"{clock.of_this_machine():%Y-%m-%dT%H:%M:%SZ}"


def _host_pod(image: str, **spec: Any) -> Body:
    return {"hostNetwork": True, "nodeName": "node-1", "containers": [{"name": "main", "image": image}], **spec}


def _workload(server: ApiServer, namespace: str, plural: str, kind: str, name: str, pod: Body) -> None:
    """Store a workload of apps/v1 with one pod."""
    path = f"/apis/apps/v1/namespaces/{namespace}/{plural}/{name}"
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    server.put(path, {"apiVersion": "apps/v1", "kind": kind, "metadata": {"uid": name}, "spec": {"template": template}})
    reference = {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": name, "controller": True}
    metadata = {"uid": f"{name}-x7k2p", "labels": {"app": name}, "ownerReferences": [reference]}
    server.put(f"/api/v1/namespaces/{namespace}/pods/{name}-x7k2p", {"metadata": metadata, "spec": pod})


def _arrange(server: ApiServer) -> None:
    """Store an agent with its exception, a diagnostic, and a workload that nobody approved."""
    del server.objects[world.NAMESPACE_PATH]
    for name in ("kube-system", "legacy", "monitoring", "debug", "hostnetwork-system", *labels.PREVIEW_NAMESPACES):
        server.put(f"/api/v1/namespaces/{name}", {"metadata": {}})
    proxy = _host_pod("registry.example.com/haproxy:3.2")
    _workload(server, "legacy", "deployments", "Deployment", "legacy-proxy-of-the-old-shop", proxy)
    exporter = _host_pod("quay.io/prometheus/node-exporter:v1.9.1", hostPID=True, serviceAccountName="node-exporter")
    _workload(server, "monitoring", "daemonsets", "DaemonSet", "node-exporter", exporter)
    kube_proxy = _host_pod("registry.k8s.io/kube-proxy:v1.37.2", serviceAccountName="kube-proxy")
    _workload(server, "kube-system", "daemonsets", "DaemonSet", "kube-proxy", kube_proxy)
    capture = {"metadata": {"uid": "capture"}, "spec": _host_pod(IMAGE, serviceAccountName="debugger")}
    server.put("/api/v1/namespaces/debug/pods/node-debugger-node-1-z7lvl", capture)
    server.put("/api/v1/nodes/node-1", {"metadata": {}})
    quiet = {"metadata": {}, "spec": {"podSelector": {"matchLabels": {"app": "node-exporter"}}}}
    server.put("/apis/networking.k8s.io/v1/namespaces/monitoring/networkpolicies/default-deny", quiet)
    server.put("/apis/networking.k8s.io/v1/namespaces/legacy/networkpolicies/shop", {"metadata": {}, "spec": {
        "podSelector": {"matchLabels": {"app": "shop"}}}})  # fmt: skip
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    for file in (world.ROOT / "manifests" / "rbac").glob("*role*.yaml"):
        body = yaml.safe_load(file.read_text())
        namespace = f"/namespaces/{body['metadata']['namespace']}" if "namespace" in body["metadata"] else ""
        server.put(f"{rbac}{namespace}/{body['kind'].lower()}s/{body['metadata']['name']}", body)
    reference = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "hostnetwork-exception-approver",
    }
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "platform-security"}
    binding = {"metadata": {}, "roleRef": reference, "subjects": [subject]}
    server.put(f"{rbac}/clusterrolebindings/approvers", binding)
    deployment = {"metadata": {}, "spec": {"template": {"spec": {"containers": [{"name": "main", "image": IMAGE}]}}}}
    path = "/apis/apps/v1/namespaces/hostnetwork-system/deployments/hostnetwork-operator"
    server.put(path, {**deployment, "status": {"availableReplicas": 1}})
    agent = yaml.safe_load((world.ROOT / "tests/samples/exceptions/node-exporter.yaml").read_text())
    agent["spec"]["images"] = ["quay.io/prometheus/node-exporter:v1.9.1"]
    now, base = clock.of_this_machine(), f"{live.CUSTOM}/namespaces"
    created = {"creationTimestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
    server.put(f"{base}/monitoring/hostnetworkexceptions/node-exporter", {"metadata": created, "spec": agent["spec"]})
    for name, ends in (
        # Such a time is shown the same for half an hour.
        ("capture-inc4711", datetime.timedelta(days=3, hours=4, minutes=30)),
        ("capture-inc4602", -datetime.timedelta(days=2, minutes=30)),
    ):
        body = world.diagnostic(now + ends, type="Application", serviceAccountName="debugger")
        server.put(f"{base}/debug/hostnetworkexceptions/{name}", {**body, "metadata": created})


async def _judge(server: ApiServer, ready: Callable[[], list[str]]) -> None:
    async with world.operating(server) as core:
        await until(lambda: ready() == ["Active", "Active", "Expired"], "the exceptions are judged")
        keeping = asyncio.create_task(core.policy_status.keep())
        await until(lambda: server.objects[world.POLICY].get("status", {}).get("conditions"), "the policy has a status")
        keeping.cancel()


async def _govern(server: ApiServer) -> None:
    """Let the operator's own parts govern the cluster. Then one namespace is held, as the gate would do it."""

    def ready() -> list[str]:
        bodies = server.under(f"{live.CUSTOM}/hostnetworkexceptions")
        conditions = [c for body in bodies for c in body.get("status", {}).get("conditions", ())]
        return sorted(condition["reason"] for condition in conditions if condition["type"] == "Ready")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy_status, "_GATHER_SECONDS", 0.01)
        await _judge(server, ready)
    held = "since 2026-11-22T14:56:33Z: Deployment legacy-proxy-of-the-old-shop: host namespaces (hostNetwork=true)"
    legacy = server.objects["/api/v1/namespaces/legacy"]["metadata"]
    legacy["labels"] = {labels.ENFORCEMENT: "Held"}
    legacy["annotations"] = {labels.HELD_BY: f"{held} (level baseline)"}


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """The scripted API server in a thread of its own, because the command has an event loop of its own."""
    server = _Server()
    server.objects = world.installed().objects
    _arrange(server)
    ready, done = threading.Event(), threading.Event()
    urls: list[str] = []

    async def serve() -> None:
        await _govern(server)
        async with serving.url_of(server.answer) as url:
            urls.append(url)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(60), "the cluster was not arranged"
    path = tmp_path_factory.mktemp("kubeconfig") / "config"
    context = {"name": "demo", "context": {"cluster": "demo", "user": "ann", "namespace": "default"}}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "demo", "cluster": {"server": urls[0]}}],
        "users": [{"name": "ann", "user": {}}],
        "contexts": [context],
        "current-context": "demo",
    }
    path.write_text(yaml.safe_dump(config))
    yield path
    done.set()
    thread.join(60)


def _screen(arguments: list[str], width: int | None) -> str:
    """Return what the command writes to stdout and stderr, and its exit status."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr), pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "width_of", lambda _: width)
        status = main.run(arguments)
    said = stderr.getvalue()
    if arguments[0] in _WRITES:
        stdout, said = (
            io.StringIO(_TIME.sub("YYYY-MM-DDThh:mm:ssZ", stdout.getvalue())),
            _TIME.sub("YYYY-MM-DDThh:mm:ssZ", said),
        )
    errors = "".join(f"stderr: {line}\n" if line else "stderr:\n" for line in said.splitlines())
    # The evidence has the time, so its digest is another one each time.
    return _DIGEST.sub("0" * 64, f"{stdout.getvalue()}{errors}exit status {status}\n")


def _wrapped(screen: str) -> list[str]:
    """Return the lines of a screen, without kubectl's line about an object that was written."""
    lines = screen.replace("stderr: ", "").splitlines()
    return [line for line in lines if not line.startswith("hostnetworkexception.")]


def test_every_screen_is_as_people_saw_it(kubeconfig: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One test, so that one worker arranges the cluster.

    No text in a terminal is wider than the terminal, except a draft and the exception of a grant, which are
    files, and an error, which is one line.
    """
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.chdir(SCREENS)
    for name, arguments in _COMMANDS.items():
        screens = {place: _screen(arguments, width) for place, width in _WIDTHS.items()}
        text = f"$ kubectl hostnetwork {shlex.join(arguments)}\n"
        text += "".join(f"\n== In {place} ==\n{screen}" for place, screen in screens.items())
        path = SCREENS / f"{name}.txt"
        if os.environ.get("WRITE_SCREENS"):
            path.write_text(text)
        assert path.read_text() == text
        if "-o" not in arguments and arguments[0] not in {"debug", "draft", "grant"}:
            assert max(map(len, _wrapped(screens["80 columns"]))) <= 80


def test_every_verb_has_a_screen() -> None:
    assert {arguments[0] for arguments in _COMMANDS.values()} == set(main.VERBS)
    assert {path.stem for path in SCREENS.glob("*.txt")} == set(_COMMANDS)
