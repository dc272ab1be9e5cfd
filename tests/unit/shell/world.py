"""A cluster on a scripted API server, with one enforced namespace, and the operator's parts that work on it."""

import asyncio
import contextlib
import datetime
import pathlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import yaml

from hostnetwork_operator import clock, config, metrics
from hostnetwork_operator.api import labels
from hostnetwork_operator.control import loops, operator, resync
from hostnetwork_operator.observe import live, store
from tests.unit import serving
from tests.unit.builders import IMAGE, NAMESPACE
from tests.unit.shell.apiserver import ApiServer, Body

ROOT = pathlib.Path(__file__).parents[3]
NAMESPACE_PATH = f"/api/v1/namespaces/{NAMESPACE}"
POD, EXCEPTION = f"{NAMESPACE_PATH}/pods/capture", f"{live.CUSTOM}/namespaces/{NAMESPACE}/hostnetworkexceptions/capture"
POLICY = f"{live.CUSTOM}/hostnetworkexceptionpolicies/default"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1/validatingadmission"
_PLURALS = {"ValidatingAdmissionPolicy": "policies", "ValidatingAdmissionPolicyBinding": "policybindings"}
_KINDS = {kind.value: kind for kind in store.Kind if kind is not store.Kind.EVERY_POD}


def installed() -> ApiServer:
    """Return a server with the admission policies as shipped, one namespace, and the policy of the enforce overlay.

    The rollout of the policy is Immediate, without a gate.
    """
    server = ApiServer()
    for file in sorted((ROOT / "manifests" / "admission").glob("*.yaml")):
        for body in yaml.safe_load_all(file.read_text()):
            if body["kind"] in _PLURALS:
                server.put(f"{_ADMISSION}{_PLURALS[body['kind']]}/{body['metadata']['name']}", body)
    policy = yaml.safe_load((ROOT / "manifests" / "overlays" / "enforce" / "policy.yaml").read_text())
    policy["spec"]["rollout"] = "Immediate"
    server.put(POLICY, policy)
    server.put(NAMESPACE_PATH, {"metadata": {}})
    return server


def pod(**spec: Any) -> Body:
    """Return a pod that shares the network of the node."""
    containers = [{"name": "main", "image": IMAGE}]
    return {"metadata": {}, "spec": {"hostNetwork": True, "nodeName": "n", "containers": containers, **spec}}


def diagnostic(expiry: datetime.datetime, **spec: Any) -> Body:
    """Return an exception that covers `pod()` until `expiry`."""
    fields = {
        "type": "Diagnostic",
        "owner": "team-sre",
        "reason": "Capture SYN retries on a node",
        "ticket": "INC-4711",
        "hostNamespaces": ["Network"],
        "images": [IMAGE],
        "expiry": f"{expiry:%Y-%m-%dT%H:%M:%SZ}",
        **spec,
    }
    created = expiry - datetime.timedelta(hours=1)
    return {"metadata": {"creationTimestamp": f"{created:%Y-%m-%dT%H:%M:%SZ}"}, "spec": fields}


@asynccontextmanager
async def operating(server: ApiServer) -> AsyncIterator[operator.Operator]:
    """Run the operator's parts once all objects are listed. The server reports changes as watches do."""
    server_clock = clock.ServerClock()
    async with serving.gateway_to(server.answer, server_clock) as api:
        core = operator.Operator(api, server_clock, metrics.Metrics())
        api.on_recovery(core.hurry)
        lists = listing(core)

        def notify(plural: str, event: str, body: Body) -> None:
            if plural in _KINDS:
                core.intake.changed(_KINDS[plural], event, body)

        async with asyncio.timeout(120):
            await lists.fill()
            await lists._list(store.Kind.EVERY_POD)
        server.notify = notify
        parts = [
            loops.Loop("reconcile", core.reconciler.work),
            loops.Loop("gate-check", core.gate_checks.work),
            loops.Loop("ledger", core.books.keep),
        ]
        task = asyncio.create_task(loops.Loops().run(parts))
        try:
            yield core
        finally:
            server.notify = lambda kind, event, body: None
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def listing(core: operator.Operator, **settings: Any) -> resync.Resync:
    """Return the component that lists all objects into the operator's store."""
    configuration = config.Config().model_copy(update=settings)
    return resync.Resync(
        core.api, core.clock, core.store, core.books, core.memories, core.schedule, core.metrics, configuration
    )


def emitted(server: ApiServer) -> list[str]:
    """Return the reasons of all Events."""
    return sorted(body["reason"] for body in server.under("/api/v1/events"))


def enforce_level(server: ApiServer) -> str:
    return str(server.objects[NAMESPACE_PATH]["metadata"].get("labels", {}).get(labels.PSA_ENFORCE, ""))
