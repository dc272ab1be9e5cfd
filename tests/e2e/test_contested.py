"""Other owners of a namespace's labels keep them, and the operator stops repairing what others undo repeatedly.

The other writers are real: server-side apply by a second manager, `kubectl apply`, `kubectl replace`, and loops that
undo the operator's write every second for a minute. The audit log shows how often the operator writes.
"""

import datetime
import json
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
import yaml

from tests.controlplane import binary, operator
from tests.e2e.conftest import ENFORCED, LABEL, PSA, World
from tests.faults import proxy

_WAR_SECONDS = 60
# The first repair, and the writes that a restore or a revocation adds meanwhile.
_HANDFUL = 4


def _writes(world: World, namespace: str) -> list[dict[str, Any]]:
    """Return the operator's successful writes of that Namespace."""
    return [
        event
        for event in world.writes()
        if event["objectRef"].get("resource") == "namespaces"
        and event["objectRef"].get("name") == namespace
        and event["responseStatus"]["code"] == 200
    ]


def _metric(world: World, process: operator.OperatorProcess | None = None) -> float:
    text = (process or world.operator).metrics()
    (line,) = [
        text_line for text_line in text.splitlines() if text_line.startswith("hostnetwork_contested_namespaces ")
    ]
    return float(line.split()[1])


def _contested_condition(world: World) -> dict[str, Any]:
    path = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"
    conditions = world.admin.get(path).expect(200).body.get("status", {}).get("conditions", [])
    return next((dict(condition) for condition in conditions if condition["type"] == "Contested"), {})


def _manifest(tmp_path: pathlib.Path, name: str, **labels: str) -> str:
    path = tmp_path / f"{name}.yaml"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    path.write_text(yaml.safe_dump(body))
    return str(path)


class Loop:
    """Call a function every second in its own thread until the `with` block ends, which raises the function's error."""

    def __init__(self, what: Callable[[], object]) -> None:
        self._what = what
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._error: Exception | None = None
        self.rounds = 0

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                self._what()
            except Exception as error:
                self._error = error
                return
            self.rounds += 1
            self._end.wait(1)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        if self._error is not None:
            raise self._error


def _replace(world: World, body: dict[str, Any]) -> Callable[[], object]:
    """PUT without a version, as `kubectl replace` does: the file replaces the whole object."""
    path = f"/api/v1/namespaces/{body['metadata']['name']}?fieldManager=kubectl-replace"
    return lambda: world.admin.put(path, body).expect(200)


# -- somebody else owns something -------------------------------------------------------------------------------------


def test_a_second_server_side_applier_keeps_its_level(world: World) -> None:
    """A second applier claims a level only by force; then its level stays and nothing is relaxed.

    Applying the value that the operator wrote is no claim. Once the applier drops the label, the exception is in force
    and no label is missing afterwards.
    """
    name = world.namespace()
    labels_before = world.labels(name)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {PSA: "baseline"}}}
    path = f"/api/v1/namespaces/{name}"
    world.admin.apply(path, body, "gitops").expect(200)
    world.exception(name).expect(201)
    world.until("the level is lifted", lambda: world.labels(name)[PSA] == "privileged")
    answer = world.admin.apply(path, body, "gitops")
    assert answer.status == 409
    assert "hostnetwork-operator" in answer.message
    world.admin.apply(path, body, "gitops", force=True).expect(200)
    world.until("it says so", lambda: world.ready(name) == "LevelOwnedByOther")
    assert "another client set the label" in world.condition(name)["message"]
    guard_labels = {f"{LABEL}/guard": "baseline", f"{LABEL}/guard-version": f"v{binary.release().minor}"}
    assert (world.labels(name), world.grants(name)) == ({**labels_before, **guard_labels}, {})
    world.admin.apply(path, {**body, "metadata": {"name": name}}, "gitops").expect(200)
    world.until("it is in force", lambda: world.ready(name) == "Active")
    world.until("lifted again", lambda: world.labels(name)[PSA] == "privileged")
    world.admin.delete(f"{world.exceptions(name)}/capture").expect(200)
    world.until("it is put back", lambda: world.labels(name) == {**labels_before, **guard_labels})


def test_audit_and_warn_of_another_applier_stay(world: World) -> None:
    """The operator leaves labels that enforce nothing to another applier, and writes every other label."""
    name = world.namespace()
    other_labels = {"pod-security.kubernetes.io/audit": "baseline", "pod-security.kubernetes.io/warn": "baseline"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": other_labels}}
    world.admin.apply(f"/api/v1/namespaces/{name}", body, "gitops", force=True).expect(200)
    count_before = len(_writes(world, name))
    world.granted_pod(name)
    assert {key: world.labels(name)[key] for key in other_labels} == other_labels
    assert world.labels(name)[PSA] == "privileged"
    assert len(_writes(world, name)) == count_before + 1


def test_who_follows_the_remedy_twice_contests_nothing(world: World) -> None:
    """LevelOwnedByOther asks for the removal of a level and its version; neither removal counts as a revert."""
    name = world.namespace()
    other_labels = {PSA: "restricted", f"{PSA}-version": "latest"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": other_labels}}
    path = f"/api/v1/namespaces/{name}"
    for number in ("first", "second"):
        world.admin.apply(path, body, "gitops", force=True).expect(200)
        world.exception(name, number).expect(201)
        world.until("the level is his", lambda number=number: world.ready(name, number) == "LevelOwnedByOther")
        world.admin.patch(path, {"metadata": {"labels": dict.fromkeys(other_labels)}}).expect(200)
        world.until("it is in force", lambda number=number: world.ready(name, number) == "Active")
        world.admin.delete(f"{world.exceptions(name)}/{number}").expect(200)
        world.until("it is put back", lambda: world.labels(name)[PSA] == "baseline")
    assert "NamespaceContested" not in {reason for _, _, reason in world.events(name)}


def test_an_exception_ends_the_contest_about_the_level_that_it_lifts(world: World) -> None:
    """If a vendor's namespace is privileged in Git and synced twice, an exception still ends the contest.

    The operator does not withhold the exception, and the guard restricts every other pod.
    """
    name = world.namespace()
    path = f"/api/v1/namespaces/{name}"

    def contested() -> bool:
        return "NamespaceContested" in {reason for _, _, reason in world.events(name)}

    for _ in range(2):
        world.admin.patch(path, {"metadata": {"labels": {PSA: "privileged"}}}).expect(200)
        world.until("it is put back, or contested", lambda: world.labels(name)[PSA] == "baseline" or contested())
    world.until("it is contested", contested)
    assert world.labels(name)[PSA] == "privileged"
    world.exception(name).expect(201)
    world.until("a pod under it is admitted", lambda: world.pod(name).status == 201)
    assert world.labels(name)[f"{LABEL}/guard"] == "baseline"
    answer = world.pod(name, "other", containers=[{"name": "main", "image": "registry.example.com/other:1"}])
    assert answer.status == 403
    world.until("it says so", lambda: world.ready(name) == "Active")


def test_kubectl_apply_of_a_level_is_left_alone(world: World, tmp_path: pathlib.Path) -> None:
    """The operator never lifts or deletes an applied level at the target or stricter; the exception reports it."""
    name = world.namespace()
    operator.apply(world.cluster, "-f", _manifest(tmp_path, name, **{PSA: "restricted"}))
    world.exception(name).expect(201)
    world.until("it says so", lambda: world.ready(name) == "LevelOwnedByOther")
    assert "another client set the label" in world.condition(name)["message"]
    assert world.labels(name)[PSA] == "restricted"
    operator.apply(world.cluster, "-f", _manifest(tmp_path, name))
    world.until("what he let go is written", lambda: world.labels(name).get(PSA) in {"baseline", "privileged"})
    world.until("and lifted", lambda: world.ready(name) == "Active" and world.labels(name)[PSA] == "privileged")


def test_one_kubectl_replace_is_repaired(world: World, tmp_path: pathlib.Path) -> None:
    """The replace removes every label, grant and note; the operator enforces again despite a violating pod."""
    name = world.namespace()
    world.granted_pod(name)
    completed = world.cluster.kubectl("replace", "-f", _manifest(tmp_path, name))
    assert completed.returncode == 0, completed.stderr
    world.until("relaxed again", lambda: world.labels(name).get(f"{LABEL}/guard") == "baseline")
    world.until("with its grant", lambda: list(world.grants(name)) == ["capture"])
    assert world.labels(name)[f"{LABEL}/enforcement"] == "Deny"
    reasons = [event[2] for event in world.events(name)]
    assert "NamespaceContested" not in reasons
    assert "EnforcementHeld" not in reasons


def test_a_tenant_cannot_make_his_namespace_contested(world: World) -> None:
    """A tenant with every verb can only tighten: the level is then theirs, nothing is granted or contested."""
    name = world.namespace()
    world.granted_pod(name)
    tenant = world.cluster.api(world.cluster.tenant(name))
    path = f"/api/v1/namespaces/{name}"
    for labels in ({PSA: None}, {f"{LABEL}/guard": None}, {f"{LABEL}/enforcement": "Audit"}):
        world.until("refused", lambda labels=labels: tenant.patch(path, {"metadata": {"labels": labels}}).status == 403)
    tenant.patch(path, {"metadata": {"labels": {PSA: "baseline"}}}).expect(200)
    world.until("the level is his", lambda: world.ready(name) == "LevelOwnedByOther")
    world.until("the grant is gone", lambda: world.grants(name) == {})
    assert tenant.patch(path, {"metadata": {"labels": {PSA: "privileged"}}}).status == 403
    tenant.patch(path, {"metadata": {"labels": {PSA: "restricted"}}}).expect(200)
    world.until("it is still his", lambda: world.ready(name) == "LevelOwnedByOther")
    assert ("Namespace", name, "NamespaceContested") not in world.events(name)


# -- wars of a minute -------------------------------------------------------------------------------------------------


def _war(world: World, name: str, harm: Callable[[], object]) -> list[dict[str, Any]]:
    """Run `harm` for a minute, and return what the operator wrote to the namespace meanwhile."""
    count_before = len(_writes(world, name))
    with Loop(harm) as loop:
        world.until("it is contested", lambda: ("Namespace", name, "NamespaceContested") in world.events(name))
        world.until("a minute is over", lambda: loop.rounds >= _WAR_SECONDS, deadline_seconds=4 * _WAR_SECONDS)
    new_writes = _writes(world, name)[count_before:]
    assert [event[2] for event in world.events(name)].count("NamespaceContested") == 1
    return new_writes


def test_a_tool_that_writes_privileged_each_second_is_not_fought(unattended: World) -> None:
    """The operator repairs the level once, then reports the contest in three places; host namespaces stay closed.

    A new exception, which wants the tool's level, is in force, with the guard for every other pod.
    """
    unattended.operator.stop()
    unattended.operator.start()  # start without any contested namespace
    name = unattended.namespace()
    count_before = len(_writes(unattended, name))
    path = f"/api/v1/namespaces/{name}?fieldManager=gitops"
    new_writes = _war(
        unattended, name, lambda: unattended.admin.patch(path, {"metadata": {"labels": {PSA: "privileged"}}})
    )
    assert 1 <= len(new_writes) <= _HANDFUL, new_writes
    assert [
        json.dumps(event["requestObject"]) for event in new_writes if "privileged" in str(event["requestObject"])
    ] == []
    unattended.until("the metric", lambda: _metric(unattended) == 1)
    unattended.until("the condition", lambda: _contested_condition(unattended).get("status") == "True")
    assert name in _contested_condition(unattended)["message"]
    assert unattended.pod(name, dry_run=True).status == 403
    assert len(_writes(unattended, name)) == count_before + len(new_writes)
    unattended.exception(name).expect(201)
    unattended.until("it is in force", lambda: unattended.ready(name) == "Active")
    assert unattended.labels(name)[f"{LABEL}/guard"] == "baseline"
    assert unattended.pod(name, dry_run=True).status == 201
    assert len(_writes(unattended, name)) == count_before + len(new_writes) + 1


def test_a_replace_each_second_takes_nothing_that_stands_half(unattended: World) -> None:
    """In a relaxed namespace no write of the operator leaves privileged without its guard and its grant."""
    name = unattended.namespace()
    unattended.granted_pod(name)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {PSA: "privileged"}}}
    new_writes = _war(unattended, name, _replace(unattended, body))
    assert len(new_writes) <= _HANDFUL, new_writes
    for event in new_writes:
        stored = event["responseObject"]["metadata"]
        if stored["labels"][PSA] == "privileged":
            assert stored["labels"][f"{LABEL}/guard"] == "baseline"
            assert [key for key in stored["annotations"] if key.startswith("grant.")]
    unattended.until("the exception says so", lambda: unattended.ready(name) == "Contested")


def test_a_copy_from_before_a_revocation_each_second_is_paced(unattended: World) -> None:
    """The copy brings the grant and the level back; the operator removes them once per minute, not once per second."""
    name = unattended.namespace()
    unattended.granted_pod(name)
    metadata_before = unattended.metadata(name)
    unattended.admin.delete(f"{unattended.exceptions(name)}/capture").expect(200)
    unattended.until("restored", lambda: unattended.labels(name)[PSA] == "baseline")
    metadata = {key: metadata_before[key] for key in ("name", "labels", "annotations")}
    copy = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    new_writes = _war(unattended, name, _replace(unattended, copy))
    assert 1 <= len(new_writes) <= _HANDFUL, new_writes
    assert {event["responseObject"]["metadata"]["labels"][PSA] for event in new_writes} == {"baseline"}
    unattended.until("once it is over", lambda: unattended.labels(name)[PSA] == "baseline", deadline_seconds=90)
    assert unattended.grants(name) == {}


def test_a_grant_that_ends_in_a_war_is_taken(unattended: World) -> None:
    """While a client removes a harmless label every second, the operator still revokes the grant at the expiry."""
    name = unattended.namespace()
    unattended.granted_pod(name, seconds=25)
    expiry = unattended.admin.get(f"{unattended.exceptions(name)}/capture").body["spec"]["expiry"]
    warn = "pod-security.kubernetes.io/warn"
    path = f"/api/v1/namespaces/{name}"
    with Loop(lambda: unattended.admin.patch(path, {"metadata": {"labels": {warn: None}}}).expect(200)):
        unattended.until("contested", lambda: ("Namespace", name, "NamespaceContested") in unattended.events(name))
        assert unattended.labels(name)[PSA] == "privileged"
        unattended.until("restored", lambda: unattended.labels(name)[PSA] == "baseline", deadline_seconds=60)
    parts = (f'"{PSA}": "baseline"', "/capture")  # the level, and the grant
    restore = next(
        e for e in _writes(unattended, name) if all(part in json.dumps(e["requestObject"]) for part in parts)
    )
    assert restore["requestReceivedTimestamp"] >= expiry.removesuffix("Z")
    assert unattended.grants(name) == {}


# -- the end ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def connection(unattended: World) -> Iterator[proxy.Proxy]:
    """A proxy to the API server whose clock the test can move."""
    with proxy.Proxy(unattended.cluster.url, str(unattended.cluster.authority.certificate_path)) as connection:
        yield connection


def test_it_ends_by_itself_ten_minutes_after_the_last_revert(unattended: World, connection: proxy.Proxy) -> None:
    """The operator counts by the API server's clock: it writes nothing before, and the wanted labels afterwards."""
    unattended.operator.stop()
    name = unattended.namespace(deny=False)
    process = operator.OperatorProcess(unattended.cluster, name="contested", server=connection.url)
    path = f"/api/v1/namespaces/{name}"
    with process:
        unattended.until("enforced", lambda: unattended.enforced(name))
        for _ in range(2):
            unattended.until("baseline", lambda: unattended.labels(name)[PSA] == "baseline")
            unattended.admin.patch(path, {"metadata": {"labels": {PSA: "privileged"}}}).expect(200)
        unattended.until("contested", lambda: _metric(unattended, process) == 1)
        connection.ahead_seconds = lambda: 300
        unattended.admin.patch(path, {"metadata": {"annotations": {"touched": "early"}}}).expect(200)
        end = unattended.now() + datetime.timedelta(seconds=3)
        unattended.holds_until(end, "contested", lambda: _metric(unattended, process) == 1)
        assert unattended.labels(name)[PSA] == "privileged"
        connection.ahead_seconds = lambda: 660
        unattended.admin.patch(path, {"metadata": {"annotations": {"touched": "late"}}}).expect(200)
        unattended.until("written again", lambda: unattended.labels(name)[PSA] == "baseline")
        unattended.until("not contested", lambda: _metric(unattended, process) == 0)
    assert {**ENFORCED, "kubernetes.io/metadata.name": name} == unattended.labels(name)
