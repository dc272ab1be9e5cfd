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
def churn(*ways: Callable[[int], api.Response], first: int = 50) -> Iterator[None]:
    """Send these writes in turn from THREADS threads, without pause; the body begins after `first` successes."""
    stop, taken = threading.Event(), [0] * THREADS

    def patch(number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            with contextlib.suppress(api.ConnectionFailedError):
                taken[number] += ways[number % len(ways)](count).status == 200

    threads = [threading.Thread(target=patch, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        # How long the first writes take depends on the machine.
        deadline = time.monotonic() + 60
        while sum(taken) <= first:
            assert time.monotonic() < deadline, "that is no churn"
            time.sleep(0.01)
        yield
        assert all(thread.is_alive() for thread in threads), "the churn ended before what it should hold up"
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def note(client: api.Api, path: str) -> Callable[[int], api.Response]:
    """Return a write that sets a new annotation value each time."""
    return lambda count: client.patch(path, {"metadata": {"annotations": {"example.com/churn": str(count)}}})


def unseen(client: api.Api, path: str) -> Callable[[int], api.Response]:
    """Return the same write for an object so large that reading the answers would take longer than causing them."""

    def write(count: int) -> api.Response:
        body = {"metadata": {"annotations": {"example.com/churn": str(count)}}}
        return client.request("PATCH", path, body, api.MERGE, timeout=60, accept=api.METADATA)

    return write


def churning(world: World, namespace: str, name: str = "capture") -> contextlib.AbstractContextManager[None]:
    """Churn as the tenant of a namespace: on the Namespace, the pod and the exception at the same time."""
    attacker = tenant(world, namespace)
    paths = (f"/api/v1/namespaces/{namespace}", f"{world.pods(namespace)}/{name}")
    return churn(*(note(attacker, path) for path in (*paths, f"{world.exceptions(namespace)}/{name}")))


def done(world: World, verb: str, resource: str, namespace: str, since: int, holds: str = "") -> datetime.datetime:
    """Return when the operator's successful write arrived, from the audit log; `holds` is a part of its body."""
    for event in world.writes(since):
        target = event["objectRef"]
        where = target.get("namespace") or target.get("name")
        sent = str(event.get("requestObject", ""))
        fine = event["responseStatus"]["code"] < 300 and holds in sent
        if fine and (event["verb"], target["resource"], where) == (verb, resource, namespace):
            return datetime.datetime.fromisoformat(event["requestReceivedTimestamp"])
    raise AssertionError(f"no {verb} of {resource} in {namespace}")


def conflicts(world: World, namespace: str, since: int) -> list[str]:
    """Return the operator's writes in the namespace that met a conflict; none should, because they carry no version."""
    refused = (e for e in world.writes(since) if e["responseStatus"]["code"] == 409 and e["verb"] != "create")
    uris = [f"{event['verb']} {event['requestURI']}" for event in refused]
    return [uri for uri in uris if f"/namespaces/{namespace}" in uri]


def gone(world: World, namespace: str, name: str = "capture") -> bool:
    answer = world.admin.get(f"{world.pods(namespace)}/{name}")
    return answer.status == 404 or "deletionTimestamp" in answer.body["metadata"]


def test_an_expiry_is_carried_out_under_churn(attacked: World) -> None:
    """A11: With churn on namespace, pod and exception, the level is restored and the DELETE is sent each time."""
    late = []
    for _ in range(EXPIRIES):
        namespace = attacked.namespace()
        attacked.granted_pod(namespace, seconds=15)
        ends = attacked.admin.get(f"{attacked.exceptions(namespace)}/capture").body["spec"]["expiry"]
        since = attacked.request_count()
        with churning(attacked, namespace):
            attacked.until("the level is back", lambda n=namespace: attacked.labels(n)[PSA] == "baseline", 15 + 30)
            attacked.until("the DELETE is sent", lambda n=namespace: gone(attacked, n), DEADLINE_SECONDS)
        moments = (
            done(attacked, "patch", "namespaces", namespace, since, "baseline"),
            done(attacked, "delete", "pods", namespace, since),
        )
        late.append((max(moments) - datetime.datetime.fromisoformat(ends)).total_seconds())
        attacked.until("its status says so", lambda n=namespace: attacked.ready(n) == "Expired")
        assert conflicts(attacked, namespace, since) == []
    shown = ", ".join(f"{seconds:.2f}" for seconds in sorted(late))
    print(f"{EXPIRIES} expiries under churn: seconds {shown}; median {statistics.median(late):.2f}")


def test_a_permanent_grant_is_revoked_under_churn(attacked: World) -> None:
    """A11: An approver deletes the exception of an agent: its grant is revoked, and the next pod is refused."""
    namespace = attacked.namespace()
    attacked.granted_pod(namespace, **AGENT)
    since = attacked.request_count()
    with churning(attacked, namespace):
        attacked.admin.delete(f"{attacked.exceptions(namespace)}/capture").expect(200)
        attacked.until("the grant is gone", lambda: "capture" not in attacked.grants(namespace), DEADLINE_SECONDS)
        attacked.until("no pod comes in", lambda: attacked.pod(namespace, "late", dry_run=True).status == 403)
    attacked.until("the flag", lambda: attacked.verdict(namespace, "capture") == "Uncovered")
    assert conflicts(attacked, namespace, since) == []


def test_no_large_pod_under_churn_holds_up_a_flag(attacked: World) -> None:
    """A36: Beside the largest covered pod that a tenant can make, pods of others are flagged.

    Larger pods are refused.
    """
    rules = [{"selector": {"matchLabels": {KEPT: "audit"}}, "mode": "Audit"}]
    attacked.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
    audited, namespace = attacked.namespace(deny=False, labels={KEPT: "audit"}), attacked.namespace()
    attacked.until("Audit", lambda: attacked.labels(audited).get(f"{LABEL}/enforcement") == "Audit")
    attacker, pods = tenant(attacked, namespace), attacked.pods(namespace)

    def of(size: int) -> dict[str, Any]:
        # Each `<` takes six bytes in the JSON of the API server.
        parts = [{"name": "main", "image": IMAGE, "args": ["<" * size]}]
        return pod("capture", hostNetwork=True, containers=parts, schedulingGates=[{"name": "a.b/c"}])

    attacked.exception(namespace).expect(201)
    attacked.until("in force", lambda: attacked.pod(namespace, dry_run=True).status == 201)
    refused(attacker.request("POST", pods, of(1_400_000), timeout=60), "pod-size")
    attacker.request("POST", pods, of(890_000), timeout=60).expect(201)
    try:
        with churn(unseen(attacker, f"{pods}/capture"), first=10):
            for number in range(3):
                attacked.pod(audited, f"other-{number}").expect(201)
                name = f"other-{number}"
                attacked.until("the flag", lambda n=name: attacked.verdict(audited, n) == "Uncovered", DEADLINE_SECONDS)
    finally:
        attacked.admin.patch(POLICY, {"spec": {"rules": None}}).expect(200)


def test_enforcement_goes_on_under_churn(attacked: World) -> None:
    """A11: A namespace goes from Audit to Enforce although its tenant patches it without pause."""
    rules = [{"selector": {"matchLabels": {KEPT: "audit"}}, "mode": "Audit"}]
    attacked.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
    namespace = attacked.namespace(deny=False, labels={KEPT: "audit"})
    path = f"/api/v1/namespaces/{namespace}"
    attacked.until("Audit", lambda: attacked.labels(namespace).get(f"{LABEL}/enforcement") == "Audit")
    since = attacked.request_count()
    try:
        with churn(note(tenant(attacked, namespace), path)):
            attacked.admin.patch(POLICY, {"spec": {"rules": None}}).expect(200)
            attacked.until("Deny", lambda: attacked.labels(namespace)[f"{LABEL}/enforcement"] == "Deny", 60)
            attacked.until("the level", lambda: attacked.labels(namespace).get(PSA) == "baseline")
        assert conflicts(attacked, namespace, since) == []
    finally:
        attacked.admin.patch(POLICY, {"spec": {"rules": None}}).expect(200)


def test_a_namespace_that_is_born_loose_is_tightened_under_churn(attacked: World) -> None:
    """A11: A creator makes a privileged namespace and patches it without pause: the operator sets its level.

    A privileged pod is then refused.
    """
    rule: dict[str, Any] = {"apiGroups": [""], "resources": ["namespaces"], "verbs": VERBS}
    creator = holder(attacked, "creator", rule)
    name = "born-loose"
    path = f"/api/v1/namespaces/{name}"
    attacked.operator.stop()
    creator.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": {PSA: "privileged"}}}).expect(201)
    since = attacked.request_count()
    with churn(note(creator, path)):
        attacked.operator.start(ready=False)
        attacked.until("the level", lambda: attacked.labels(name).get(PSA) == "baseline", 60)
        privileged = pod("root", containers=[{"name": "c", "image": IMAGE, "securityContext": {"privileged": True}}])
        dry = f"{attacked.pods(name)}?dryRun=All"
        attacked.until("and is known to who admits pods", lambda: attacked.admin.post(dry, privileged).status == 403)
    assert conflicts(attacked, name, since) == []
    attacked.admin.delete(path).expect(200)


def test_a_stopped_process_takes_nothing_that_was_renewed_meanwhile(attacked: World) -> None:
    """A11: The operator is suspended before an expiry and resumed after a renewal: its old plans revoke nothing."""
    namespace = attacked.namespace()
    attacked.granted_pod(namespace, seconds=10)
    path = f"{attacked.exceptions(namespace)}/capture"
    ends = datetime.datetime.fromisoformat(attacked.admin.get(path).body["spec"]["expiry"])
    since = attacked.request_count()
    attacked.until("it is near", lambda: attacked.now() >= ends - datetime.timedelta(seconds=3))
    os.kill(attacked.operator.pid, signal.SIGSTOP)
    try:
        attacked.admin.patch(path, {"spec": {"expiry": attacked.time(3600)}}).expect(200)
        attacked.until("after the old expiry", lambda: attacked.now() > ends + datetime.timedelta(seconds=4))
    finally:
        os.kill(attacked.operator.pid, signal.SIGCONT)
    later = attacked.now() + datetime.timedelta(seconds=6)
    attacked.holds_until(later, "granted", lambda: "capture" in attacked.grants(namespace))
    assert not gone(attacked, namespace)
    touched = [event for event in attacked.writes(since) if event["objectRef"].get("name") == namespace]
    assert [event["requestObject"] for event in touched if PSA in str(event.get("requestObject", {}))] == []


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
    attacked: World, poison: Callable[[api.Api, str], None]
) -> None:
    """A18: A tenant stores the year 10000 in the Namespace; when an approver deletes the exception, its grant ends."""
    namespace = attacked.namespace()
    path = f"/api/v1/namespaces/{namespace}"
    attacked.granted_pod(namespace, "agent", **AGENT)
    poison(tenant(attacked, namespace), path)
    assert attacked.admin.patch(path, {"metadata": {"annotations": {"a": "b"}}}).status == 422
    attacked.admin.delete(f"{attacked.exceptions(namespace)}/agent").expect(200)
    attacked.until("the level is back", lambda: attacked.labels(namespace)[PSA] == "baseline")
    assert attacked.grants(namespace) == {}
    conditions = attacked.admin.get(path).expect(200).body["status"].get("conditions", [])
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
        stored = client.get(path).expect(200).body["metadata"]
        if any(one["manager"] == "x" for one in stored.get("managedFields", ())):
            return
        body["metadata"]["resourceVersion"] = stored["resourceVersion"]
    raise AssertionError("never stored")


def test_no_managed_fields_leave_no_room_for_enforcement(attacked: World) -> None:
    """A18: A tenant fills the Namespace with managedFields up to etcd's limit: it still goes from Audit to Enforce."""
    rules = [{"selector": {"matchLabels": {KEPT: "audit"}}, "mode": "Audit"}]
    attacked.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
    try:
        namespace = attacked.namespace(deny=False, labels={KEPT: "audit"})
        attacked.until("Audit", lambda: attacked.labels(namespace).get(f"{LABEL}/enforcement") == "Audit")
        _fill(tenant(attacked, namespace), f"/api/v1/namespaces/{namespace}")
        attacked.admin.patch(POLICY, {"spec": {"rules": None}}).expect(200)
        attacked.until("Deny", lambda: attacked.labels(namespace)[f"{LABEL}/enforcement"] == "Deny")
        assert attacked.labels(namespace)[PSA] == "baseline"
    finally:
        attacked.admin.patch(POLICY, {"spec": {"rules": None}}).expect(200)
