"""The places where the admission benchmark creates its pods: namespaces on parallel control planes.

Each place differs from another place in one respect only.
"""

import base64
import contextlib
import dataclasses
import sys
from typing import Any

from tests.controlplane import api, cluster, processes

from bench import audit
from bench.world import LABEL, PSA_ENFORCE, World, exception, host_pod, say

BARE, AGAIN, PSA = "no policy", "no policy, again (A/A)", "no policy, only the Pod Security labels"
TRIVIAL, WEBHOOK = "one trivial policy", "a webhook that answers at once"
EXEMPT, ENFORCED, RESTORED = "ours, exempt", "ours, enforced", "ours, enforced, relaxed once"
RELAXED = {number: f"ours, relaxed, {number} grants" for number in (1, 10, 64)}
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_NAME = "trivial.bench.example.com"
_RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["pods"]}


@dataclasses.dataclass(frozen=True)
class Place:
    """A client and a namespace."""

    client: api.Api
    namespace: str

    @property
    def pods(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"


def build(stack: contextlib.ExitStack) -> dict[str, Place]:
    """Return every place, ready for creates. Everything that runs for the places ends with the stack."""
    say("admission: five control planes side by side")
    bare, bare_again, trivial, with_webhook = (stack.enter_context(cluster.Cluster()) for _ in range(4))
    world = stack.enter_context(World(pods=0, audit=False))
    world.operator.start()
    relaxed = {number: f"relaxed-{number}" for number in RELAXED}
    world.enforced(["enforced", "restored", *relaxed.values()])
    _restore(world)
    for number, name in relaxed.items():
        _grant(world, name, number)
    _apply_trivial(trivial)
    _apply_webhook(with_webhook, stack)
    labels = world.api.get("/api/v1/namespaces/enforced").expect(200).body["metadata"]["labels"]
    levels = {key: value for key, value in labels.items() if key.startswith("pod-security.kubernetes.io/")}
    return {
        BARE: _namespace(bare, {}),
        AGAIN: _namespace(bare_again, {}),
        PSA: _namespace(bare, levels, "levels"),
        TRIVIAL: _namespace(trivial, {}),
        WEBHOOK: _namespace(with_webhook, {}),
        EXEMPT: Place(world.api, "kube-public"),
        ENFORCED: Place(world.api, "enforced"),
        RESTORED: Place(world.api, "restored"),
        **{RELAXED[number]: Place(world.api, name) for number, name in relaxed.items()},
    }


def _namespace(control_plane: cluster.Cluster, labels: dict[str, str], name: str = "place") -> Place:
    control_plane.admin.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}}).expect(201)
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    control_plane.wait("its service account", lambda: control_plane.admin.get(account).status == 200)
    return Place(control_plane.admin, name)


def _restore(world: World) -> None:
    """Restore a namespace after an exception: its level and grants are as before, and it keeps the guard."""
    world.create_exception("restored", int(audit.now()) + 3600)
    world.cluster.wait("relaxed", lambda: "restored" in world.labelled(f"{PSA_ENFORCE}=privileged"))
    path = f"/apis/{LABEL}/v1alpha1/namespaces/restored/hostnetworkexceptions/bench"
    world.api.delete(path).expect(200)
    world.cluster.wait("restored", lambda: "restored" in world.labelled(f"{PSA_ENFORCE}=baseline,{LABEL}/guard"))


def _grant(world: World, namespace: str, count: int) -> None:
    """Create `count` exceptions with 16 images each; the last is for `host_pod`."""
    path = f"/apis/{LABEL}/v1alpha1/namespaces/{namespace}/hostnetworkexceptions"
    expiry = int(audit.now()) + 7200
    for number in range(count - 1):
        body = exception(f"other-{number:02}", expiry)
        body["spec"]["images"] = [f"registry.example.com/team-{number:02}/agent-{image:02}:v1" for image in range(16)]
        world.api.post(path, body).expect(201)
    world.api.post(path, exception("bench", expiry)).expect(201)
    world.cluster.wait("the grants", lambda: _grants(world, namespace) == count)
    world.cluster.wait("a pod under one", lambda: world.admitted(namespace, host_pod("probe")))


def _grants(world: World, namespace: str) -> int:
    metadata: dict[str, Any] = world.api.get(f"/api/v1/namespaces/{namespace}").expect(200).body["metadata"]
    return sum(key.startswith(f"grant.{LABEL}/") for key in metadata.get("annotations", {}))


def _apply_trivial(control_plane: cluster.Cluster) -> None:
    """Apply a policy with one expression for every pod, bound to deny, and wait until it is in force."""
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [_RULE]},
        "validations": [{"expression": "object.metadata.name != 'refused'"}],
    }
    binding = {"policyName": _NAME, "validationActions": ["Deny"]}
    path = f"{_ADMISSION}/validatingadmissionpolic"
    control_plane.admin.post(f"{path}ies", {"metadata": {"name": _NAME}, "spec": spec}).expect(201)
    control_plane.admin.post(f"{path}ybindings", {"metadata": {"name": _NAME}, "spec": binding}).expect(201)
    dry_run_path = "/api/v1/namespaces/default/pods?dryRun=All"
    control_plane.wait(
        "the trivial policy", lambda: control_plane.admin.post(dry_run_path, host_pod("refused")).status == 422
    )


def _apply_webhook(control_plane: cluster.Cluster, stack: contextlib.ExitStack) -> None:
    """Run a webhook in a separate process for every pod, and wait until the API server calls it.

    While the webhook does not answer, the API server refuses pods.
    """
    certificate, key = control_plane.authority.issue("webhook", "webhook")
    (port,) = cluster.free_ports(1)
    webhook = {
        "name": _NAME,
        "clientConfig": {
            "url": f"https://127.0.0.1:{port}/",
            "caBundle": base64.b64encode(control_plane.authority.certificate_path.read_bytes()).decode(),
        },
        "rules": [_RULE],
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    path = f"{_ADMISSION}/validatingwebhookconfigurations"
    control_plane.admin.post(path, {"metadata": {"name": _NAME}, "webhooks": [webhook]}).expect(201)
    dry_run_path = "/api/v1/namespaces/default/pods?dryRun=All"
    control_plane.wait(
        "the webhook asked", lambda: control_plane.admin.post(dry_run_path, host_pod("probe")).status == 500
    )
    command = [sys.executable, "-m", "bench.webhook", str(port), str(certificate), str(key)]
    server = processes.Component("webhook", command, control_plane.directory, detached=False)
    server.start()
    stack.callback(server.stop)
    control_plane.wait(
        "the webhook answers", lambda: control_plane.admin.post(dry_run_path, host_pod("probe")).status == 201
    )
