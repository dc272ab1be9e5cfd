"""exception-writers and exception-expiry: who may write exceptions and their status, and how long exceptions last."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from hostnetwork_operator.api import grant as grants
from hostnetwork_operator.api import labels
from tests.admission import workbench
from tests.admission.workbench import Home
from tests.controlplane import api

APPROVE = "the cluster-wide verb approve on hostnetworkexceptions"
VERBS = ("get", "list", "create", "update", "patch", "delete", "deletecollection")


@pytest.fixture
def namespace(make_namespace: Callable[..., Home]) -> Home:
    return make_namespace(enforcement="Deny")


@pytest.fixture
def tenant(namespace: Home) -> api.Api:
    """A client with every verb on everything in the namespace, through a Role; including `approve` on exceptions."""
    return namespace.cluster.api(namespace.cluster.tenant(namespace.name))


@pytest.fixture
def approver(namespace: Home) -> api.Api:
    """A client with ordinary cluster-wide rights to write exceptions and the verb approve."""
    user = workbench.may(namespace.cluster, "approver", "hostnetworkexceptions", *VERBS, "approve", group=labels.GROUP)
    return namespace.cluster.api(user)


@pytest.fixture
def operator(namespace: Home) -> api.Api:
    return namespace.cluster.api(workbench.operator(namespace.cluster))


def exception_path(namespace: Home, name: str = "") -> str:
    path = f"/apis/{labels.API_VERSION}/namespaces/{namespace.name}/hostnetworkexceptions"
    return f"{path}/{name}" if name else path


def exception(namespace: Home, name: str, kind: str = "Diagnostic", hours: float = 1, **spec: Any) -> dict[str, Any]:
    """Return a valid exception that expires in `hours` hours."""
    expiry = workbench.seconds_from_now(namespace.cluster, int(hours * 3600))
    defaults: dict[str, Any] = {"type": kind, "owner": "team-net", "reason": "Because it must be so."}
    if kind == "Infrastructure":
        defaults |= {"serviceAccountName": "agent"}
    else:
        defaults |= {"ticket": "INC-1", "images": [workbench.IMAGE], "expiry": grants.format_time(expiry)}
    return {
        "apiVersion": labels.API_VERSION,
        "kind": "HostNetworkException",
        "metadata": {"name": name},
        "spec": {**defaults, **spec},
    }


def create(client: api.Api, namespace: Home, body: dict[str, Any]) -> api.Response:
    return workbench.sound(client.post(exception_path(namespace), body))


def write(client: api.Api, path: str, body: dict[str, Any]) -> api.Response:
    return workbench.sound(client.patch(path, body))


def in_hours(namespace: Home, hours: int, seconds: int = 0) -> str:
    now = workbench.seconds_from_now(namespace.cluster, seconds)
    return grants.format_time(now + datetime.timedelta(hours=hours))


# -- who may write ----------------------------------------------------------------------------------------------------


def test_a_tenant_writes_no_exception(namespace: Home, tenant: api.Api, approver: api.Api) -> None:
    """A tenant with every verb in the namespace cannot write or delete an exception; the refusal says whom to ask."""
    message = workbench.refused(create(tenant, namespace, exception(namespace, "mine")), APPROVE)
    assert "ClusterRole hostnetwork-exception-approver" in message
    create(approver, namespace, exception(namespace, "theirs")).expect(201)
    path = exception_path(namespace, "theirs")
    workbench.refused(write(tenant, path, {"spec": {"expiry": in_hours(namespace, 2)}}), APPROVE)
    workbench.refused(write(tenant, path, {"spec": {"owner": "me"}}), APPROVE)
    workbench.refused(workbench.sound(tenant.delete(path)), "to delete a HostNetworkException", APPROVE)
    workbench.refused(
        workbench.sound(tenant.delete(exception_path(namespace))), "to delete a HostNetworkException", APPROVE
    )
    apply_body = exception(namespace, "theirs", owner="me")
    workbench.refused(tenant.apply(path, apply_body, "me", force=True), APPROVE)
    workbench.refused(tenant.apply(exception_path(namespace, "new"), exception(namespace, "new"), "me"), APPROVE)


def test_a_tenant_makes_no_owner_that_takes_the_exception_along(
    namespace: Home, tenant: api.Api, approver: api.Api
) -> None:
    """Only a holder of approve may change ownerReferences, because the owner's deletion deletes the exception."""
    create(approver, namespace, exception(namespace, "a")).expect(201)
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000"}
    path = exception_path(namespace, "a")
    workbench.refused(write(tenant, path, {"metadata": {"ownerReferences": [owner]}}), "ownerReferences", APPROVE)
    owner_body = (
        namespace.cluster.admin.post(f"{namespace.path}/configmaps", {"metadata": {"name": "kept"}}).expect(201).body
    )
    owner |= {"name": "kept", "uid": owner_body["metadata"]["uid"]}
    write(approver, path, {"metadata": {"ownerReferences": [owner]}}).expect(200)
    workbench.refused(write(tenant, path, {"metadata": {"ownerReferences": None}}), "ownerReferences", APPROVE)
    workbench.refused(
        write(tenant, path, {"metadata": {"ownerReferences": [{**owner, "blockOwnerDeletion": True}]}}), APPROVE
    )


def test_labels_annotations_and_finalizers_of_an_exception_are_free(
    namespace: Home, tenant: api.Api, approver: api.Api
) -> None:
    """Any user with the ordinary right to write exceptions may change these fields, because they decide nothing."""
    create(approver, namespace, exception(namespace, "a")).expect(201)
    path = exception_path(namespace, "a")
    metadata = {"labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["example.com/f"]}
    write(tenant, path, {"metadata": metadata}).expect(200)
    write(tenant, path, {"metadata": {"labels": None, "annotations": None, "finalizers": None}}).expect(200)


def managed(size: int) -> list[dict[str, Any]]:
    fields = {"f:metadata": {f"f:{'x' * size}": {}}}
    identity = {"manager": "m", "operation": "Update", "apiVersion": labels.API_VERSION, "fieldsType": "FieldsV1"}
    return [{**identity, "fieldsV1": fields}]


GROWS: dict[str, Callable[[int], dict[str, Any]]] = {
    "labels": lambda size: {"labels": {f"l{n:05d}-" + "k" * 56: "v" * 63 for n in range(size // 266)}},
    "annotations": lambda size: {"annotations": {"a": "x" * size}},
    "finalizers": lambda size: {"finalizers": [f"a.b/{'x' * 50}{n:05}" for n in range(size // 160)]},
    "managedFields": lambda size: {"managedFields": managed(size)},
}


@pytest.mark.parametrize("what", GROWS)
def test_a_tenant_makes_no_exception_too_large(namespace: Home, tenant: api.Api, approver: api.Api, what: str) -> None:
    """A tenant may write metadata up to 100,000 bytes; an approver and the operator may write larger exceptions."""
    create(approver, namespace, exception(namespace, "a")).expect(201)
    path = exception_path(namespace, "a")
    write(tenant, path, {"metadata": GROWS[what](90_000)}).expect(200)
    for answer in (
        write(tenant, path, {"metadata": GROWS[what](190_000)}),
        workbench.sound(tenant.apply(path, apply_body_of(GROWS[what](190_000)), "me", force=True)),
    ):
        if what != "managedFields" or answer.status != 400:  # the API server accepts no managedFields in an apply
            workbench.refused(answer, "exception-writers: the metadata", "at most 100,000 bytes, got ")
    write(approver, path, {"metadata": GROWS[what](190_000)}).expect(200)
    size = {"annotations": {"note": "x" * 1000}}
    workbench.refused(write(tenant, path, {"metadata": size}), "100,000 bytes")
    write(tenant, path, {"metadata": {**GROWS[what](190_000), **GROWS[what](170_000)}}).expect(200)
    now = grants.format_time(workbench.seconds_from_now(namespace.cluster, 0))
    write(approver, path, {"spec": {"expiry": now}}).expect(200)


def apply_body_of(metadata: dict[str, Any]) -> dict[str, Any]:
    identity = {"apiVersion": labels.API_VERSION, "kind": "HostNetworkException"}
    return {**identity, "metadata": {"name": "a", **metadata}}


def test_a_status_is_bounded_too(namespace: Home, approver: api.Api, operator: api.Api) -> None:
    """The operator's token writes at most 100,000 bytes of status, whatever the size of the metadata."""
    create(approver, namespace, exception(namespace, "a")).expect(201)
    path = exception_path(namespace, "a")
    write(approver, path, {"metadata": {"annotations": {"a": "<" * 99_000}}}).expect(200)
    ready = status()["status"]["conditions"][0]
    for size, code in ((16_000, 200), (32_000, 403)):
        large = [{**ready, "type": f"T{number}", "message": "<" * size} for number in range(6)]
        answer = write(operator, f"{path}/status", {"status": {"conditions": large}})
        assert answer.status == code, answer.message
    workbench.refused(answer, "exception-writers: the status", "at most 100,000 bytes")
    write(operator, f"{path}/status", status()).expect(200)


def test_the_same_number_written_otherwise_needs_approve(namespace: Home, tenant: api.Api, approver: api.Api) -> None:
    """Writing 30.0 for 30 raises the generation, so an approver can write it and a tenant cannot, by any verb."""
    create(approver, namespace, exception(namespace, "a", gracePeriodSeconds=30)).expect(201)
    path = exception_path(namespace, "a")

    def generation() -> int:
        return int(namespace.cluster.admin.get(path).expect(200).body["metadata"]["generation"])

    current = namespace.cluster.admin.get(path).expect(200).body
    changed = {**current, "spec": {**current["spec"], "gracePeriodSeconds": 30.0}}
    apply_body = exception(namespace, "a", **changed["spec"])
    operation = {"op": "replace", "path": "/spec/gracePeriodSeconds", "value": 30.0}
    answers = {
        "replace": tenant.put(path, changed),
        "merge patch": tenant.patch(path, {"spec": {"gracePeriodSeconds": 30.0}}),
        "JSON patch": tenant.patch(path, [operation], api.JSON_PATCH),
        "dry run": tenant.patch(f"{path}?dryRun=All", {"spec": {"gracePeriodSeconds": 30.0}}),
    }
    for method, answer in answers.items():
        assert APPROVE in workbench.refused(answer), method
    # Custom resources do not support strategic patches. The API server reads an apply as YAML, where 30.0 is 30, so the
    # apply changes nothing.
    workbench.sound(tenant.patch(path, {"spec": {"gracePeriodSeconds": 30.0}}, api.STRATEGIC)).expect(415)
    workbench.sound(tenant.apply(path, apply_body, "me", force=True)).expect(200)
    assert generation() == 1
    write(approver, path, {"spec": {"gracePeriodSeconds": 30.0}}).expect(200)
    assert generation() == 2


def test_an_approver_writes_all_of_it(namespace: Home, approver: api.Api) -> None:
    """The cluster-wide verb approve allows a user to create, extend and delete exceptions."""
    create(approver, namespace, exception(namespace, "a")).expect(201)
    path = exception_path(namespace, "a")
    write(approver, path, {"spec": {"expiry": in_hours(namespace, 20), "contact": "a@example.com"}}).expect(200)
    workbench.sound(approver.delete(path)).expect(200)


def test_rights_to_write_are_not_rights_to_approve(namespace: Home) -> None:
    """Cluster-wide create, update and delete without approve do not allow a write; nor can the operator write."""
    user = workbench.may(namespace.cluster, "writer", "hostnetworkexceptions", *VERBS, group=labels.GROUP)
    for client in (namespace.cluster.api(user), namespace.cluster.api(workbench.operator(namespace.cluster))):
        workbench.refused(create(client, namespace, exception(namespace, "a")), APPROVE)


def status(reason: str = "Active", value: str = "True") -> dict[str, Any]:
    condition = {"type": "Ready", "status": value, "reason": reason, "message": "m"}
    return {"status": {"conditions": [{**condition, "lastTransitionTime": "2026-11-22T16:00:00Z"}]}}


def test_the_status_is_the_operators_alone(
    namespace: Home, tenant: api.Api, approver: api.Api, operator: api.Api
) -> None:
    """No tenant, approver or administrator can write the status; only the operator can."""
    create(approver, namespace, {**exception(namespace, "a"), **status()}).expect(201)
    path = exception_path(namespace, "a")
    assert "status" not in namespace.cluster.admin.get(path).expect(200).body
    for client in (tenant, namespace.cluster.admin):
        workbench.refused(write(client, f"{path}/status", status()), "only the operator may write the status")
    write(operator, f"{path}/status", status()).expect(200)
    write(namespace.cluster.admin, path, {**status("Expired", "False"), "metadata": {"labels": {"a": "b"}}}).expect(200)
    assert namespace.cluster.admin.get(path).body["status"]["conditions"][0]["reason"] == "Active"


# -- how long an exception lasts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "hours"), [("Diagnostic", 24), ("Application", 2160)])
def test_each_type_has_its_ceiling(namespace: Home, approver: api.Api, kind: str, hours: int) -> None:
    """An expiry that is too far after creation for its type is refused, at creation and on a later change."""
    refusal = workbench.refused(
        create(approver, namespace, exception(namespace, "late", kind, expiry=in_hours(namespace, hours, 60))),
        f"spec.expiry must be within {hours}h of creation for type {kind}",
    )
    assert "or earlier" in refusal
    create(approver, namespace, exception(namespace, "a", kind, expiry=in_hours(namespace, hours, -60))).expect(201)
    path = exception_path(namespace, "a")
    created = grants.parse_time(namespace.cluster.admin.get(path).body["metadata"]["creationTimestamp"])
    latest = created + datetime.timedelta(hours=hours)
    too_late = grants.format_time(latest + datetime.timedelta(seconds=1))
    workbench.refused(
        write(approver, path, {"spec": {"expiry": too_late}}), f'got "{too_late}"', grants.format_time(latest)
    )
    write(approver, path, {"spec": {"expiry": grants.format_time(latest)}}).expect(200)
    write(approver, path, {"spec": {"expiry": "2020-01-01T00:00:00Z"}}).expect(200)  # revokes the exception


def test_infrastructure_has_no_ceiling(namespace: Home, approver: api.Api) -> None:
    """An Infrastructure exception may end at any time or never."""
    create(approver, namespace, exception(namespace, "a", "Infrastructure")).expect(201)
    create(approver, namespace, exception(namespace, "b", "Infrastructure", expiry="2999-12-31T23:59:59Z")).expect(201)


@pytest.mark.parametrize("expiry", ["tomorrow", "", "2026-11-22", "2026-11-22T16:00:00+00:00", "9", None])
def test_an_expiry_that_is_no_time_is_refused(namespace: Home, approver: api.Api, expiry: str | None) -> None:
    """Only a UTC time with seconds is accepted; either the CRD or a policy may refuse other values."""
    body = exception(namespace, "a")
    body["spec"]["expiry"] = expiry
    assert create(approver, namespace, body).status == 422


def test_what_has_expired_does_not_come_back(namespace: Home, approver: api.Api, operator: api.Api) -> None:
    """If the status says Expired, not even an approver can change the expiry; the other fields stay editable."""
    create(approver, namespace, exception(namespace, "a")).expect(201)
    path = exception_path(namespace, "a")
    write(operator, f"{path}/status", status("Expired", "False")).expect(200)
    for expiry in (in_hours(namespace, 2), "2020-01-01T00:00:00Z", None):
        answer = write(approver, path, {"spec": {"expiry": expiry}})
        assert answer.status == 422, answer.message
    write(approver, path, {"spec": {"contact": "b@example.com"}}).expect(200)
    # The CRD refuses these changes before the policy. Only the policy refuses them for an exception without an expiry.
    create(approver, namespace, exception(namespace, "endless", "Infrastructure")).expect(201)
    path = exception_path(namespace, "endless")
    write(operator, f"{path}/status", status("Expired", "False")).expect(200)
    for client in (approver, namespace.cluster.admin):
        answer = write(client, path, {"spec": {"expiry": in_hours(namespace, 2)}})
        workbench.refused(
            answer, "spec.expiry of an expired exception cannot change", "create a new exception with another name"
        )


def test_an_exception_that_is_born_expired_is_warned_of(namespace: Home, approver: api.Api, tenant: api.Api) -> None:
    """The API server admits an expiry in the past with a warning at creation, and gives no warning otherwise."""
    answer = create(approver, namespace, exception(namespace, "old", expiry="2020-01-01T00:00:00Z")).expect(201)
    assert len(answer.warnings) == 1
    assert "has passed, got 2020-01-01T00:00:00Z at " in answer.warnings[0]
    for body in (exception(namespace, "new"), exception(namespace, "forever", "Infrastructure")):
        assert create(approver, namespace, body).expect(201).warnings == ()
    assert write(approver, exception_path(namespace, "old"), {"spec": {"owner": "other"}}).expect(200).warnings == ()
    workbench.refused(create(tenant, namespace, exception(namespace, "no", expiry="2020-01-01T00:00:00Z")), APPROVE)


# -- what must not be refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["Foreground", "Background"])
def test_the_garbage_collector_takes_an_exception_with_its_owner(
    namespace: Home, approver: api.Api, policy: str
) -> None:
    """The garbage collector deletes an owned exception with its owner, in foreground and in background deletion."""
    owner = (
        namespace.cluster.admin.post(f"{namespace.path}/configmaps", {"metadata": {"name": "owner"}}).expect(201).body
    )
    body = exception(namespace, "owned")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    body["metadata"]["ownerReferences"] = [{**reference, "blockOwnerDeletion": True}]
    create(approver, namespace, body).expect(201)
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy}
    namespace.cluster.admin.delete(f"{namespace.path}/configmaps/owner", options).expect(200)
    for path in (exception_path(namespace, "owned"), f"{namespace.path}/configmaps/owner"):
        namespace.cluster.wait(
            f"{path} gone",
            lambda path=path: namespace.cluster.admin.get(path).status == 404,  # type: ignore[misc]
        )


def test_an_exception_that_is_being_deleted_gives_up_its_finalizers(
    namespace: Home, tenant: api.Api, approver: api.Api
) -> None:
    """A deletion raises the generation; a tenant can still remove the finalizers, and the exception is then deleted."""
    body = exception(namespace, "held")
    body["metadata"]["finalizers"] = ["example.com/hold", "example.com/more"]
    create(approver, namespace, body).expect(201)
    path = exception_path(namespace, "held")
    workbench.sound(approver.delete(path)).expect(200)
    metadata = namespace.cluster.admin.get(path).expect(200).body["metadata"]
    assert metadata["generation"] == 2
    assert "deletionTimestamp" in metadata
    write(tenant, path, {"metadata": {"labels": {"a": "b"}, "finalizers": ["example.com/hold"]}}).expect(200)
    workbench.refused(write(tenant, path, {"spec": {"owner": "me"}}), APPROVE)
    write(tenant, path, {"metadata": {"finalizers": None}}).expect(200)
    namespace.cluster.wait("the exception gone", lambda: namespace.cluster.admin.get(path).status == 404)


def test_an_orphaned_exception_stays(namespace: Home, approver: api.Api) -> None:
    """If an owner is deleted with orphaning, the garbage collector removes the owner reference from the exception."""
    owner = (
        namespace.cluster.admin.post(f"{namespace.path}/configmaps", {"metadata": {"name": "owner"}}).expect(201).body
    )
    body = exception(namespace, "owned")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    body["metadata"]["ownerReferences"] = [reference]
    create(approver, namespace, body).expect(201)
    path = exception_path(namespace, "owned")

    def settled() -> bool:
        # The garbage collector learns of a new owner from its watch. A deletion before that orphans nothing.
        return namespace.cluster.admin.get(path).status == 200

    namespace.cluster.wait("the exception", settled)
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Orphan"}
    namespace.cluster.admin.delete(f"{namespace.path}/configmaps/owner", options).expect(200)
    namespace.cluster.wait(
        "the owner gone", lambda: namespace.cluster.admin.get(f"{namespace.path}/configmaps/owner").status == 404
    )
    metadata = namespace.cluster.admin.get(path).expect(200).body["metadata"]
    assert "ownerReferences" not in metadata


def test_shared_controller_credentials_may_delete(namespace: Home, approver: api.Api) -> None:
    """If all controllers share one user, that user can delete exceptions and remove owners, but not write a spec."""
    create(approver, namespace, exception(namespace, "a")).expect(201)
    base = "/apis/rbac.authorization.k8s.io/v1/clusterrole"
    rule = {"apiGroups": [labels.GROUP], "resources": ["hostnetworkexceptions"], "verbs": ["*"]}
    rule["verbs"] = ["delete", "patch", "get"]
    namespace.cluster.admin.post(f"{base}s", {"metadata": {"name": "collecting"}, "rules": [rule]}).expect(201, 409)
    rbac = "rbac.authorization.k8s.io"
    subject = {"apiGroup": rbac, "kind": "User", "name": "system:kube-controller-manager"}
    reference = {"apiGroup": rbac, "kind": "ClusterRole", "name": "collecting"}
    binding = {"metadata": {"name": "collecting"}, "roleRef": reference, "subjects": [subject]}
    namespace.cluster.admin.post(f"{base}bindings", binding).expect(201, 409)
    controllers = namespace.cluster.api(namespace.cluster.user("system:kube-controller-manager"))
    path = exception_path(namespace, "a")
    workbench.refused(write(controllers, path, {"spec": {"owner": "me"}}), APPROVE)
    write(controllers, path, {"metadata": {"ownerReferences": None, "finalizers": None}}).expect(200)
    workbench.sound(controllers.delete(path)).expect(200)


def test_a_namespace_takes_its_exceptions_along(namespace: Home, tenant: api.Api, approver: api.Api) -> None:
    """A namespace with exceptions can be deleted.

    While it terminates, any user may delete its exceptions and change their owners, but not their spec.
    """
    body = exception(namespace, "held")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    create(approver, namespace, body).expect(201)
    create(approver, namespace, exception(namespace, "plain")).expect(201)
    tenant.delete(namespace.path).expect(200)
    path = exception_path(namespace, "held")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000"}

    def owners_pass() -> bool:
        return write(tenant, f"{path}?dryRun=All", {"metadata": {"ownerReferences": [owner]}}).status == 200

    namespace.cluster.wait("owners free", owners_pass, 10)
    workbench.sound(tenant.delete(f"{path}?dryRun=All")).expect(200)
    workbench.refused(write(tenant, path, {"spec": {"owner": "me"}}), APPROVE)
    write(tenant, path, {"metadata": {"finalizers": None}}).expect(200)
    namespace.cluster.wait("the namespace gone", lambda: namespace.cluster.admin.get(namespace.path).status == 404)
