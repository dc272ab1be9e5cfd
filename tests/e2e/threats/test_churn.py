"""A tenant who patches their own objects without pause delays nothing that revokes, tightens or deletes.

HNO_EXPIRIES is the number of expiries that are carried out under churn.
"""

import contextlib
import datetime
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.controlplane import api
from tests.e2e.conftest import IMAGE, LABEL, PSA, World
from tests.e2e.threats.conftest import KEPT, POLICY, VERBS, holder, pod, refused, tenant

pytestmark = pytest.mark.alone
THREADS = 16
EXPIRIES = int(os.environ.get("HNO_EXPIRIES", "3"))
# An idle machine needs half a second. The tests assert only that churn does not delay the operator without end.
DEADLINE_SECONDS = 30
AGENT = {"type": "Infrastructure", "expiry": None, "ticket": None, "serviceAccountName": "default"}


@contextlib.contextmanager
def churn(*writes_in_turn: Callable[[int], api.Response], first: int = 50) -> Iterator[None]:
    """Send these writes in turn from THREADS threads, without pause; the body begins after `first` successes."""
    stop, successes = threading.Event(), [0] * THREADS

    def patch(number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            with contextlib.suppress(api.ConnectionFailedError):
                successes[number] += writes_in_turn[number % len(writes_in_turn)](count).status == 200

    threads = [threading.Thread(target=patch, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        # How long the first writes take depends on the machine.
        deadline = time.monotonic() + 60
        while sum(successes) <= first:
            assert time.monotonic() < deadline, "that is no churn"
            time.sleep(0.01)
        yield
        assert all(thread.is_alive() for thread in threads), "the churn ended before what it should hold up"
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def annotate(client: api.Api, path: str) -> Callable[[int], api.Response]:
    """Return a write that sets a new annotation value each time."""
    return lambda count: client.patch(path, {"metadata": {"annotations": {"example.com/churn": str(count)}}})


def annotate_unread(client: api.Api, path: str) -> Callable[[int], api.Response]:
    """Return the same write for an object so large that reading the answers would take longer than causing them."""

    def write(count: int) -> api.Response:
        body = {"metadata": {"annotations": {"example.com/churn": str(count)}}}
        return client.request("PATCH", path, body, api.MERGE, timeout=60, accept=api.METADATA)

    return write


def churn_as_tenant(world: World, namespace: str, name: str = "capture") -> contextlib.AbstractContextManager[None]:
    """Churn as the tenant of a namespace: on the Namespace, the pod and the exception at the same time."""
    attacker = tenant(world, namespace)
    paths = (f"/api/v1/namespaces/{namespace}", f"{world.pods(namespace)}/{name}")
    return churn(*(annotate(attacker, path) for path in (*paths, f"{world.exceptions(namespace)}/{name}")))


def write_time(
    world: World, verb: str, resource: str, namespace: str, since: int, body_part: str = ""
) -> datetime.datetime:
    """Return when the operator's successful write arrived, from the audit log; `body_part` is a part of its body."""
    for event in world.writes(since):
        target = event["objectRef"]
        namespace_name = target.get("namespace") or target.get("name")
        body_text = str(event.get("requestObject", ""))
        is_match = event["responseStatus"]["code"] < 300 and body_part in body_text
        if is_match and (event["verb"], target["resource"], namespace_name) == (verb, resource, namespace):
            return datetime.datetime.fromisoformat(event["requestReceivedTimestamp"])
    raise AssertionError(f"no {verb} of {resource} in {namespace}")


def conflicts(world: World, namespace: str, since: int) -> list[str]:
    """Return the operator's writes in the namespace that met a conflict; none should, because they carry no version."""
    conflicting = (e for e in world.writes(since) if e["responseStatus"]["code"] == 409 and e["verb"] != "create")
    uris = [f"{event['verb']} {event['requestURI']}" for event in conflicting]
    return [uri for uri in uris if f"/namespaces/{namespace}" in uri]


def is_deleting(world: World, namespace: str, pod_name: str = "capture") -> bool:
    answer = world.admin.get(f"{world.pods(namespace)}/{pod_name}")
    return answer.status == 404 or "deletionTimestamp" in answer.body["metadata"]


def test_an_expiry_is_carried_out_under_churn(world: World) -> None:
    """A11: With churn on namespace, pod and exception, the level is restored and the DELETE is sent each time."""
    delays = []
    for _ in range(EXPIRIES):
        namespace = world.namespace()
        world.granted_pod(namespace, seconds=15)
        expiry = world.admin.get(f"{world.exceptions(namespace)}/capture").body["spec"]["expiry"]
        since = world.request_count()
        with churn_as_tenant(world, namespace):
            world.until("the level is back", lambda n=namespace: world.labels(n)[PSA] == "baseline", 15 + 30)
            world.until("the DELETE is sent", lambda n=namespace: is_deleting(world, n), DEADLINE_SECONDS)
        write_times = (
            write_time(world, "patch", "namespaces", namespace, since, "baseline"),
            write_time(world, "delete", "pods", namespace, since),
        )
        delays.append((max(write_times) - datetime.datetime.fromisoformat(expiry)).total_seconds())
        world.until("its status says so", lambda n=namespace: world.ready(n) == "Expired")
        assert conflicts(world, namespace, since) == []
    text = ", ".join(f"{seconds:.2f}" for seconds in sorted(delays))
    print(f"{EXPIRIES} expiries under churn: seconds {text}; median {statistics.median(delays):.2f}")


def test_a_permanent_grant_is_revoked_under_churn(world: World) -> None:
    """A11: An approver deletes the exception of an agent: its grant is revoked, and the next pod is refused."""
    namespace = world.namespace()
    world.granted_pod(namespace, **AGENT)
    since = world.request_count()
    with churn_as_tenant(world, namespace):
        world.admin.delete(f"{world.exceptions(namespace)}/capture").expect(200)
        world.until("the grant is gone", lambda: "capture" not in world.grants(namespace), DEADLINE_SECONDS)
        world.until("no pod comes in", lambda: world.pod(namespace, "late", dry_run=True).status == 403)
    world.until("the flag", lambda: world.verdict(namespace, "capture") == "Uncovered")
    assert conflicts(world, namespace, since) == []


def test_no_large_pod_under_churn_holds_up_a_flag(world: World) -> None:
    """A36: Beside the largest covered pod that a tenant can make, pods of others are flagged.

    Larger pods are refused.
    """
    rules = [{"selector": {"matchLabels": {KEPT: "audit"}}, "mode": "Audit"}]
    world.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
    audit_namespace, namespace = world.namespace(deny=False, labels={KEPT: "audit"}), world.namespace()
    world.until("Audit", lambda: world.labels(audit_namespace).get(f"{LABEL}/enforcement") == "Audit")
    attacker, pods = tenant(world, namespace), world.pods(namespace)

    def pod_of_size(size: int) -> dict[str, Any]:
        # Each `<` takes six bytes in the JSON of the API server.
        containers = [{"name": "main", "image": IMAGE, "args": ["<" * size]}]
        return pod("capture", hostNetwork=True, containers=containers, schedulingGates=[{"name": "a.b/c"}])

    world.exception(namespace).expect(201)
    world.until("in force", lambda: world.pod(namespace, dry_run=True).status == 201)
    refused(attacker.request("POST", pods, pod_of_size(1_400_000), timeout=60), "pod-size")
    attacker.request("POST", pods, pod_of_size(890_000), timeout=60).expect(201)
    try:
        with churn(annotate_unread(attacker, f"{pods}/capture"), first=10):
            for number in range(3):
                world.pod(audit_namespace, f"other-{number}").expect(201)
                name = f"other-{number}"
                world.until(
                    "the flag", lambda n=name: world.verdict(audit_namespace, n) == "Uncovered", DEADLINE_SECONDS
                )
    finally:
        world.admin.patch(POLICY, {"spec": {"rules": None}}).expect(200)


def test_enforcement_goes_on_under_churn(world: World) -> None:
    """A11: A namespace goes from Audit to Enforce although its tenant patches it without pause."""
    rules = [{"selector": {"matchLabels": {KEPT: "audit"}}, "mode": "Audit"}]
    world.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
    namespace = world.namespace(deny=False, labels={KEPT: "audit"})
    path = f"/api/v1/namespaces/{namespace}"
    world.until("Audit", lambda: world.labels(namespace).get(f"{LABEL}/enforcement") == "Audit")
    since = world.request_count()
    try:
        with churn(annotate(tenant(world, namespace), path)):
            world.admin.patch(POLICY, {"spec": {"rules": None}}).expect(200)
            world.until("Deny", lambda: world.labels(namespace)[f"{LABEL}/enforcement"] == "Deny", 60)
            world.until("the level", lambda: world.labels(namespace).get(PSA) == "baseline")
        assert conflicts(world, namespace, since) == []
    finally:
        world.admin.patch(POLICY, {"spec": {"rules": None}}).expect(200)


def test_a_namespace_that_is_born_loose_is_tightened_under_churn(world: World) -> None:
    """A11: A creator makes a privileged namespace and patches it without pause: the operator sets its level.

    A privileged pod is then refused.
    """
    rule: dict[str, Any] = {"apiGroups": [""], "resources": ["namespaces"], "verbs": VERBS}
    creator = holder(world, "creator", rule)
    name = "born-loose"
    path = f"/api/v1/namespaces/{name}"
    world.operator.stop()
    creator.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": {PSA: "privileged"}}}).expect(201)
    since = world.request_count()
    with churn(annotate(creator, path)):
        world.operator.start(ready=False)
        world.until("the level", lambda: world.labels(name).get(PSA) == "baseline", 60)
        pod_body = pod("root", containers=[{"name": "c", "image": IMAGE, "securityContext": {"privileged": True}}])
        dry_run_path = f"{world.pods(name)}?dryRun=All"
        world.until("and is known to who admits pods", lambda: world.admin.post(dry_run_path, pod_body).status == 403)
    assert conflicts(world, name, since) == []
    world.admin.delete(path).expect(200)


def test_a_stopped_process_takes_nothing_that_was_renewed_meanwhile(world: World) -> None:
    """A11: The operator is suspended before an expiry and resumed after a renewal: its old plans revoke nothing."""
    namespace = world.namespace()
    world.granted_pod(namespace, seconds=10)
    path = f"{world.exceptions(namespace)}/capture"
    expiry = datetime.datetime.fromisoformat(world.admin.get(path).body["spec"]["expiry"])
    since = world.request_count()
    world.until("it is near", lambda: world.now() >= expiry - datetime.timedelta(seconds=3))
    os.kill(world.operator.pid, signal.SIGSTOP)
    try:
        world.admin.patch(path, {"spec": {"expiry": world.time(3600)}}).expect(200)
        world.until("after the old expiry", lambda: world.now() > expiry + datetime.timedelta(seconds=4))
    finally:
        os.kill(world.operator.pid, signal.SIGCONT)
    end = world.now() + datetime.timedelta(seconds=6)
    world.holds_until(end, "granted", lambda: "capture" in world.grants(namespace))
    assert not is_deleting(world, namespace)
    writes = [event for event in world.writes(since) if event["objectRef"].get("name") == namespace]
    assert [event["requestObject"] for event in writes if PSA in str(event.get("requestObject", {}))] == []


# -- A18: what makes every write of the operator fail ------------------------------------------------------------------

_TEN_THOUSAND = "9999-12-31T23:59:59-12:00"  # stored as 10000-01-01T11:59:59Z, which no client decodes again


def _year_in_the_status(client: api.Api, path: str) -> None:
    condition = {"type": "Odd", "status": "True", "lastTransitionTime": _TEN_THOUSAND}
    client.patch(f"{path}/status", {"status": {"conditions": [condition]}}).expect(200)


def _year_in_managed_fields(client: api.Api, path: str) -> None:
    body = client.get(path).expect(200).body
    entry = {"manager": "x", "operation": "Update", "apiVersion": "v1", "time": _TEN_THOUSAND}
    body["metadata"]["managedFields"] = [{**entry, "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {}}}]
    client.put(path, body).expect(200)


@pytest.mark.parametrize("poison", [_year_in_the_status, _year_in_managed_fields])
def test_no_time_that_cannot_be_decoded_keeps_a_level_lifted(
    world: World, poison: Callable[[api.Api, str], None]
) -> None:
    """A18: A tenant stores the year 10000 in the Namespace; when an approver deletes the exception, its grant ends."""
    namespace = world.namespace()
    path = f"/api/v1/namespaces/{namespace}"
    world.granted_pod(namespace, "agent", **AGENT)
    poison(tenant(world, namespace), path)
    assert world.admin.patch(path, {"metadata": {"annotations": {"a": "b"}}}).status == 422
    world.admin.delete(f"{world.exceptions(namespace)}/agent").expect(200)
    world.until("the level is back", lambda: world.labels(namespace)[PSA] == "baseline")
    assert world.grants(namespace) == {}
    conditions = world.admin.get(path).expect(200).body["status"].get("conditions", [])
    assert len(conditions) == (poison is _year_in_the_status), "the status stays as it was"


def _fill(client: api.Api, path: str) -> None:
    """Fill managedFields until etcd accepts less than two hundred more bytes of the object.

    If the object is a little too large, the API server stores it without managedFields, which fills nothing.
    """
    body = client.get(path).expect(200).body
    entry = {"manager": "x", "operation": "Update", "apiVersion": "v1", "time": "2026-11-22T11:00:00Z"}
    for size in range(1_573_000, 1_560_000, -150):
        fields = {"f:metadata": {"f:labels": {"f:" + "x" * size: {}}}}
        body["metadata"]["managedFields"] = [{**entry, "fieldsType": "FieldsV1", "fieldsV1": fields}]
        answer = client.put(path, body)
        assert answer.status == 200 or "too large" in answer.message
        metadata = client.get(path).expect(200).body["metadata"]
        if any(managed_entry["manager"] == "x" for managed_entry in metadata.get("managedFields", ())):
            return
        body["metadata"]["resourceVersion"] = metadata["resourceVersion"]
    raise AssertionError("never stored")


def test_no_managed_fields_leave_no_room_for_enforcement(world: World) -> None:
    """A18: A tenant fills the Namespace with managedFields up to etcd's limit: it still goes from Audit to Enforce."""
    rules = [{"selector": {"matchLabels": {KEPT: "audit"}}, "mode": "Audit"}]
    world.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
    try:
        namespace = world.namespace(deny=False, labels={KEPT: "audit"})
        world.until("Audit", lambda: world.labels(namespace).get(f"{LABEL}/enforcement") == "Audit")
        _fill(tenant(world, namespace), f"/api/v1/namespaces/{namespace}")
        world.admin.patch(POLICY, {"spec": {"rules": None}}).expect(200)
        world.until("Deny", lambda: world.labels(namespace)[f"{LABEL}/enforcement"] == "Deny")
        assert world.labels(namespace)[PSA] == "baseline"
    finally:
        world.admin.patch(POLICY, {"spec": {"rules": None}}).expect(200)
