"""Ways to stop or deafen the operator with an object that it reads (A13 to A15, A23).

A user who may write an object may write its managedFields. The API server stores thousands of nested objects in them,
and a time in a year that does not exist.
"""

import datetime
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.controlplane import api
from tests.e2e.conftest import OPERATOR, World
from tests.e2e.threats.conftest import VERBS, deletions, holder, lift, pod, tenant, workload, workloads

pytestmark = pytest.mark.alone
_ON_TIME_SECONDS = 5
_POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
_AUTHOR = {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["validatingadmissionpolicies"], "verbs": VERBS}
_numbers = itertools.count(1)
_NO_YEAR = "0000-01-01T00:00:00Z"


def _manage(world: World, user: api.Api, path: str, fields: bytes, time: str = "2026-11-22T11:00:00Z") -> None:
    """Replace the object, as the user, with these managedFields: a merge patch of that depth takes minutes."""
    entry = {"manager": "x", "operation": "Update", "time": time, "fieldsType": "FieldsV1", "fieldsV1": "FIELDS"}

    def replace_succeeds() -> bool:
        body = user.get(path).expect(200).body
        body["metadata"]["managedFields"] = [{**entry, "apiVersion": body["apiVersion"]}]
        answer = user.put(path, json.dumps(body).encode().replace(b'"FIELDS"', fields))
        return answer.expect(200, 409).status == 200

    world.until("managedFields are written", replace_succeeds)


# -- what a tenant writes on -------------------------------------------------------------------------------------------


def _namespace(world: World, namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}"


def _ordinary_pod(world: World, namespace: str) -> str:
    tenant(world, namespace).post(world.pods(namespace), pod("ordinary")).expect(201)
    return f"{world.pods(namespace)}/ordinary"


def _covered_pod(world: World, namespace: str) -> str:
    return f"{world.pods(namespace)}/capture"


def _deployment(world: World, namespace: str) -> str:
    path = workloads(namespace, "Deployment")
    tenant(world, namespace).post(path, workload("Deployment", "web")).expect(201)
    return f"{path}/web"


def _exception(world: World, namespace: str) -> str:
    return f"{world.exceptions(namespace)}/capture"


Target = Callable[[World, str], str]
TARGETS: dict[str, Target] = {
    "his Namespace": _namespace,
    "an ordinary pod": _ordinary_pod,
    "a covered pod": _covered_pod,
    "a Deployment": _deployment,
    "an exception for him": _exception,
}


@pytest.fixture
def paths_to_clean(world: World) -> Iterator[list[str]]:
    """Paths of objects whose managedFields are reset afterwards."""
    paths: list[str] = []
    yield paths
    for path in paths:
        world.admin.patch(path, {"metadata": {"managedFields": [{}]}}).expect(200, 404)
    if not world.operator.running():
        world.operator.start()


def _diagnostic(world: World, namespace: str, seconds: float) -> datetime.datetime:
    """Create a covered pod `capture`, and return when its exception ends."""
    world.granted_pod(namespace, seconds=seconds)
    expiry = world.admin.get(_exception(world, namespace)).expect(200).body["spec"]["expiry"]
    return datetime.datetime.fromisoformat(expiry)


def _assert_ends_on_time(
    world: World, namespace: str, expiry: datetime.datetime, ready: datetime.datetime | None = None
) -> None:
    """Assert that the operator deletes the namespace's pod within seconds of the expiry and removes the grant.

    An operator that was ready only after the expiry has these seconds from `ready`.
    """
    world.until(f"the pod in {namespace} is removed", lambda: world.is_deleted(namespace), 60)
    deleted_at = datetime.datetime.fromisoformat(deletions(world, namespace)[0]["requestReceivedTimestamp"])
    assert expiry <= deleted_at <= max(expiry, ready or expiry) + datetime.timedelta(seconds=_ON_TIME_SECONDS)
    world.until("the grant is removed", lambda: world.grants(namespace) == {})


# -- A13, A14: managedFields -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_a_nest_of_managed_fields_stops_nothing(world: World, paths_to_clean: list[str], target: str) -> None:
    """A13: A user nests managedFields 9,990 deep; the operator runs on, and each Diagnostic ends on time.

    The user's own Diagnostic ends on time, too.
    """
    victim, neighbour = world.namespace(), world.namespace()
    expiry = _diagnostic(world, victim, 15)
    pid = world.operator.pid
    paths_to_clean.append(TARGETS[target](world, victim))
    _manage(world, tenant(world, victim), paths_to_clean[0], api.NEST)
    _assert_ends_on_time(world, neighbour, _diagnostic(world, neighbour, 6))
    _assert_ends_on_time(world, victim, expiry)
    assert (pid, 200) == (world.operator.pid, world.operator.probe("/readyz"))


def test_nests_of_managed_fields_keep_the_operator_from_no_start(world: World, paths_to_clean: list[str]) -> None:
    """A13: With a nest on objects of every kind the operator starts, ends Diagnostics on time, and still enforces.

    Mode Audit has left the enforced namespace behind, so the gate reads its Deployment before the operator enforces.
    """
    neighbour, victim = world.namespace(), world.namespace()
    expiry = _diagnostic(world, victim, 30)
    world.operator.stop()
    old_namespace = world.namespace(deny=False, old=True)
    for namespace, targets in ((victim, TARGETS.values()), (old_namespace, (_namespace, _ordinary_pod, _deployment))):
        for path in [path_of(world, namespace) for path_of in targets]:
            paths_to_clean.append(path)
            _manage(world, tenant(world, namespace), path, api.NEST)
    world.operator.start()
    ready = world.now()
    _assert_ends_on_time(world, neighbour, _diagnostic(world, neighbour, 6))
    _assert_ends_on_time(world, victim, expiry, ready)
    world.until("his namespace is enforced", lambda: world.enforced(old_namespace))


def test_owners_in_a_circle_stop_nothing(world: World) -> None:
    """A23: Deployments own each other, one owns itself, and they own pods: the gate check still ends."""
    neighbour = world.namespace()
    world.operator.stop()
    old_namespace = world.namespace(deny=False, old=True)
    attacker, path = tenant(world, old_namespace), workloads(old_namespace, "Deployment")
    names = ("one", "two", "itself")
    bodies = {name: attacker.post(path, workload("Deployment", name, replicas=0)).expect(201).body for name in names}
    owners = {
        name: {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": body["metadata"]["uid"]}
        for name, body in bodies.items()
    }
    for name, owner in (("one", "two"), ("two", "one"), ("itself", "itself")):
        patch = {"metadata": {"ownerReferences": [{**owners[owner], "controller": True}]}}
        attacker.patch(f"{path}/{name}", patch).expect(200)
        owned_pod = pod(f"of-{name}")
        owned_pod["metadata"]["ownerReferences"] = [{**owners[name], "controller": True}]
        attacker.post(world.pods(old_namespace), owned_pod).expect(201)
    world.operator.start()
    _assert_ends_on_time(world, neighbour, _diagnostic(world, neighbour, 6))
    world.until("his namespace is enforced", lambda: world.enforced(old_namespace))


def _policy(world: World, namespace: str) -> str:
    """Create a policy as a user who may write policies of their own, and return its path."""
    name = f"own-{next(_numbers)}.example.com"
    rule = {"apiGroups": ["example.com"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["things"]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "true"}]}
    holder(world, "policy-author", _AUTHOR).post(_POLICIES, {"metadata": {"name": name}, "spec": spec}).expect(201)
    return f"{_POLICIES}/{name}"


def test_a_time_that_no_year_has_stops_nothing(world: World, paths_to_clean: list[str]) -> None:
    """A14: Users write the year 0 as a time in managedFields; the operator starts, and ends Diagnostics on time."""
    victim, neighbour = world.namespace(), world.namespace()
    expiry = _diagnostic(world, victim, 20)
    policy_path = _policy(world, victim)
    users = {policy_path: holder(world, "policy-author", _AUTHOR)}
    for path in [path_of(world, victim) for path_of in TARGETS.values()] + [policy_path]:
        paths_to_clean.append(path)
        _manage(world, users.get(path, tenant(world, victim)), path, b'{"f:spec":{"f:a":{}}}', _NO_YEAR)
        managed_fields = world.admin.get(path).expect(200).body["metadata"]["managedFields"]
        assert _NO_YEAR in {entry.get("time") for entry in managed_fields}
    _assert_ends_on_time(world, victim, expiry)
    expiry = _diagnostic(world, neighbour, 12)
    world.operator.kill()
    world.operator.start()
    _assert_ends_on_time(world, neighbour, expiry)


# -- A15: kopf's finalizer ---------------------------------------------------------------------------------------------


def _kopf_writes(world: World) -> list[dict[str, Any]]:
    requests = [event for event in world.cluster.audit_events() if event["user"]["username"] == OPERATOR]
    return [e for e in requests if e["userAgent"].startswith("kopf") and e["verb"] not in {"get", "list", "watch"}]


def test_the_finalizer_of_kopf_makes_the_operator_neither_deaf_nor_write(world: World) -> None:
    """A15: A user puts kopf's finalizer on an exception and goes on patching it.

    The grant ends within 2 s of a revocation.
    """
    namespace = world.namespace()
    lift(world, namespace)
    path = f"{world.exceptions(namespace)}/theirs"
    attacker = tenant(world, namespace)
    attacker.patch(path, {"metadata": {"finalizers": ["kopf.zalando.org/KopfFinalizerMarker"]}}).expect(200)
    stop = threading.Event()

    def churn() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            attacker.patch(path, {"metadata": {"annotations": {"example.com/turn": str(number)}}})

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        world.holds_until(world.now() + datetime.timedelta(seconds=3), "granted", lambda: world.grants(namespace))
        world.admin.delete(path).expect(200)
        world.until("the grant is removed", lambda: world.grants(namespace) == {}, 2 / 3)
    finally:
        stop.set()
        thread.join()
        world.admin.patch(path, {"metadata": {"finalizers": None}}).expect(200, 404)
    assert _kopf_writes(world) == []
