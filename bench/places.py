"""The places where the admission benchmark creates its pods: namespaces on three control planes.

Two API servers differ by more than a policy costs. So each API server has two places without what is measured there,
and the benchmark compares a place only with these.
"""

import base64
import contextlib
import dataclasses
import sys
from typing import Any

import yaml
from tests.controlplane import api, cluster, operator, processes

from bench import audit
from bench.world import LABEL, PSA_ENFORCE, World, exception, host_pod, say

TRIVIAL, WEBHOOK = "one trivial policy", "a webhook that answers immediately"
PSA, POD_SIZE = "only the Pod Security labels", "only pod-size"
ENFORCED, RESTORED = "ours, enforced", "ours, enforced, relaxed once"
RELAXED = {number: f"ours, relaxed, {number} grants" for number in (1, 10, 64)}
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_POLICIES, _BINDINGS = f"{_ADMISSION}/validatingadmissionpolicies", f"{_ADMISSION}/validatingadmissionpolicybindings"
_NAME = "trivial.bench.example.com"
_RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["pods"]}
_MEASURED = "bench.example.com/measured"  # this label selects the namespace that a policy or the webhook matches


@dataclasses.dataclass(frozen=True)
class Place:
    """A client and a namespace."""

    client: api.Api
    namespace: str

    @property
    def pods(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"


@dataclasses.dataclass(frozen=True)
class Side:
    """The places of one API server: two equal places to compare with, and the places that are compared.

    The name is that of the first equal place.
    """

    name: str
    base: Place
    again: Place
    others: dict[str, Place]

    @property
    def places(self) -> dict[str, Place]:
        """Return every place by its name in the table."""
        return {self.name: self.base, self.again_name: self.again, **self.others}

    @property
    def again_name(self) -> str:
        return f"{self.name}, again (A/A)"


def build(stack: contextlib.ExitStack) -> list[Side]:
    """Return the sides, ready for creates. Everything that runs for them ends with the stack."""
    say("admission: three control planes side by side")
    trivial, webhook = (stack.enter_context(cluster.Cluster()) for _ in range(2))
    world = stack.enter_context(World(pods=0, audit=False))
    world.operator.start()
    relaxed = {number: f"relaxed-{number}" for number in RELAXED}
    world.enforced(["enforced", "restored", *relaxed.values()])
    _restore(world)
    for number, name in relaxed.items():
        _grant(world, name, number)
    labels = world.api.get("/api/v1/namespaces/enforced").expect(200).body["metadata"]["labels"]
    levels = {key: value for key, value in labels.items() if key.startswith("pod-security.kubernetes.io/")}
    measured = {
        TRIVIAL: _namespace(trivial, "trivial", {_MEASURED: "trivial"}),
        POD_SIZE: _namespace(trivial, "pod-size", {_MEASURED: "pod-size"}),
        PSA: _namespace(trivial, "levels", levels),
    }
    called = _namespace(webhook, "webhook", {_MEASURED: "webhook"})
    _apply_trivial(trivial, measured[TRIVIAL])
    _apply_pod_size(trivial, measured[POD_SIZE])
    _apply_webhook(webhook, called, stack)
    ours = {
        ENFORCED: "enforced",
        RESTORED: "restored",
        **{RELAXED[number]: name for number, name in relaxed.items()},
    }
    return [
        # Both namespaces are exempt by name. Their API server evaluates only pod-size for their pods.
        Side(
            "ours, exempt",
            Place(world.api, "kube-public"),
            Place(world.api, "kube-node-lease"),
            {place: Place(world.api, namespace) for place, namespace in ours.items()},
        ),
        Side("trivial policy, not matched", _namespace(trivial, "base"), _namespace(trivial, "again"), measured),
        Side("webhook, not called", _namespace(webhook, "base"), _namespace(webhook, "again"), {WEBHOOK: called}),
    ]


def _namespace(control_plane: cluster.Cluster, name: str, labels: dict[str, str] | None = None) -> Place:
    control_plane.admin.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}}).expect(201)
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


def _apply_trivial(control_plane: cluster.Cluster, place: Place) -> None:
    """Apply a policy with one expression for every pod of the place, bound to deny, and wait until it is in force."""
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [_RULE]},
        "validations": [{"expression": "object.metadata.name != 'refused'"}],
    }
    binding = {"policyName": _NAME, "validationActions": ["Deny"], "matchResources": _selected("trivial")}
    place.client.post(_POLICIES, {"metadata": {"name": _NAME}, "spec": spec}).expect(201)
    place.client.post(_BINDINGS, {"metadata": {"name": _NAME}, "spec": binding}).expect(201)
    control_plane.wait("the trivial policy", lambda: _dry_run(place, host_pod("refused")) == 422)


def _apply_pod_size(control_plane: cluster.Cluster, place: Place) -> None:
    """Apply pod-size to the place only, and wait until it is in force.

    pod-size matches the pods of every namespace, and so those of the exempt namespaces that ours are compared with.
    """
    path = operator.ROOT / "manifests" / "admission" / "pod-size.yaml"
    policy, binding = yaml.safe_load_all(path.read_text())
    binding["spec"]["matchResources"] = _selected("pod-size")
    place.client.post(_POLICIES, policy).expect(201)
    place.client.post(_BINDINGS, binding).expect(201)
    too_large = host_pod("probe")
    too_large["spec"]["containers"][0]["env"] = [{"name": f"LARGE_{n}", "value": "x" * 100_000} for n in range(10)]
    control_plane.wait("pod-size", lambda: _dry_run(place, too_large) == 403)


def _dry_run(place: Place, body: dict[str, Any]) -> int:
    """Return the status that the API server answers to a dry run of the pod."""
    return place.client.post(f"{place.pods}?dryRun=All", body).status


def _selected(value: str) -> dict[str, Any]:
    """Return the selector of the namespaces that a policy or the webhook matches."""
    return {"namespaceSelector": {"matchLabels": {_MEASURED: value}}}


def _apply_webhook(control_plane: cluster.Cluster, place: Place, stack: contextlib.ExitStack) -> None:
    """Run a webhook in a separate process for every pod of the place, and wait until the API server calls it.

    While the webhook does not answer, the API server refuses these pods.
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
        **_selected("webhook"),
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    path = f"{_ADMISSION}/validatingwebhookconfigurations"
    control_plane.admin.post(path, {"metadata": {"name": _NAME}, "webhooks": [webhook]}).expect(201)
    control_plane.wait("the webhook called", lambda: _dry_run(place, host_pod("probe")) == 500)
    command = [sys.executable, "-m", "bench.webhook", str(port), str(certificate), str(key)]
    server = processes.Component("webhook", command, control_plane.directory, detached=False)
    server.start()
    stack.callback(server.stop)
    control_plane.wait("the webhook answers", lambda: _dry_run(place, host_pod("probe")) == 201)
