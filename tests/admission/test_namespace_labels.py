"""namespace-labels: a namespace's users cannot write the keys of the Namespace that decide about host namespaces."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from hostnetwork_operator.api import labels
from tests.admission import objects, workbench
from tests.admission.workbench import Home
from tests.controlplane import api
from tests.controlplane import cluster as controlplane

_numbers = itertools.count(1)
PSA = labels.PSA_PREFIX


@pytest.fixture
def make_with_tenant(make_namespace: Callable[..., Home]) -> Callable[..., tuple[Home, api.Api]]:
    """Return a function that creates a namespace with labels and annotations.

    The function returns the namespace and a tenant with every verb in it.
    """

    def make(values: dict[str, str] | None = None, annotations: dict[str, str] | None = None) -> tuple[Home, api.Api]:
        namespace = make_namespace()
        patch = {"metadata": {"labels": values or {}, "annotations": annotations or {}}}
        namespace.cluster.admin.patch(namespace.path, patch).expect(200)
        return namespace, namespace.cluster.api(namespace.cluster.tenant(namespace.name))

    return make


def put(client: api.Api, namespace: Home, subresource: str, **metadata: dict[str, str | None]) -> api.Response:
    """Replace the whole Namespace with these labels or annotations changed, optionally through a subresource."""
    body = namespace.cluster.admin.get(namespace.path).expect(200).body
    for field, values in metadata.items():
        merged = {**body["metadata"].get(field, {}), **values}
        body["metadata"][field] = {key: value for key, value in merged.items() if value is not None}
    return workbench.sound(client.put(namespace.path + subresource, body))


OURS: list[tuple[str, str]] = [
    ("labels", labels.ENFORCEMENT),
    ("labels", labels.GUARD),
    ("labels", labels.GROUP + "/anything"),
    ("annotations", labels.LEVEL_BEFORE),
    ("annotations", labels.HELD_BY),
    ("annotations", labels.BORN_WITH),
    ("annotations", labels.GRANT_PREFIX + "mine"),
]


@pytest.mark.parametrize("subresource", ["", "/status", "/finalize"])
@pytest.mark.parametrize(("field", "key"), OURS)
def test_our_keys_are_not_for_tenants(
    make_with_tenant: Callable[..., tuple[Home, api.Api]], field: str, key: str, subresource: str
) -> None:
    """A tenant with every verb in the namespace cannot add, change or remove the operator's keys by any path."""
    noun = field.removesuffix("s")
    namespace, tenant = make_with_tenant()
    workbench.refused(
        put(tenant, namespace, subresource, **{field: {key: "x"}}), f"only the operator may write {noun} {key}"
    )
    namespace, tenant = make_with_tenant(**{{"labels": "values"}.get(field, field): {key: "x"}})
    workbench.refused(
        put(tenant, namespace, subresource, **{field: {key: "y"}}), f"only the operator may write {noun} {key}"
    )
    workbench.refused(
        put(tenant, namespace, subresource, **{field: {key: None}}), f"only the operator may write {noun} {key}"
    )
    workbench.refused(
        put(tenant, namespace, subresource, **{field: {key: ""}}), f"only the operator may write {noun} {key}"
    )


@pytest.mark.parametrize(("field", "key"), OURS)
def test_our_keys_are_not_for_creators(governed: controlplane.Cluster, field: str, key: str) -> None:
    """A user who may create namespaces and no more cannot create a namespace with one of the operator's keys."""
    creator = governed.api(workbench.may(governed, "creator", "namespaces", "create"))
    name = f"born-{next(_numbers)}"
    body = {"metadata": {"name": name, field: {key: "x"}}}
    refusal = f'only the operator may write {field.removesuffix("s")} {key} of namespace "{name}"; '
    workbench.refused(creator.post("/api/v1/namespaces?dryRun=All", body), refusal)
    plain_body = {"metadata": {"name": name, "labels": {PSA + "enforce": "privileged", "team": "a"}}}
    workbench.sound(creator.post("/api/v1/namespaces?dryRun=All", plain_body)).expect(201)


def test_deny_is_free_in_the_request_that_creates_and_never_after(
    make_with_tenant: Callable[..., tuple[Home, api.Api]],
) -> None:
    """label-at-birth writes Deny under the creator's name; a tenant can neither turn enforcement on nor change it."""
    namespace, tenant = make_with_tenant()
    creator = namespace.cluster.api(workbench.may(namespace.cluster, "creator", "namespaces", "create"))
    for value, status in (("Deny", 201), ("Held", 403), ("Audit", 403), ("DENY", 403), ("", 403)):
        body = {"metadata": {"generateName": "born-", "labels": {labels.ENFORCEMENT: value}}}
        answer = workbench.sound(creator.post("/api/v1/namespaces?dryRun=All", body))
        assert answer.status == status, (value, answer.message)
    for subresource in ("", "/status", "/finalize"):
        patch_answer = put(tenant, namespace, subresource, labels={labels.ENFORCEMENT: "Deny"})
        workbench.refused(patch_answer, f"only the operator may write label {labels.ENFORCEMENT} of")


def test_born_with_is_free_in_the_request_that_creates_an_enforced_namespace(governed: controlplane.Cluster) -> None:
    """label-at-birth writes born-with under the creator's name, beside enforcement=Deny and in one fixed form."""
    creator = governed.api(workbench.may(governed, "creator", "namespaces", "create"))
    for value, enforcement, status in (
        ("", "Deny", 201),
        ("enforce,audit", "Deny", 201),
        ("audit,enforce", "Deny", 403),
        ("enforce", None, 403),
        ("enforce", "Audit", 403),
        ("enforce," * 30_000, "Deny", 403),
    ):
        values = {labels.ENFORCEMENT: enforcement} if enforcement else {}
        metadata = {"generateName": "born-", "labels": values, "annotations": {labels.BORN_WITH: value}}
        answer = workbench.sound(creator.post("/api/v1/namespaces?dryRun=All", {"metadata": metadata}))
        assert answer.status == status, (value[:40], enforcement, answer.message)


def test_setlevel_and_the_operator_may(make_with_tenant: Callable[..., tuple[Home, api.Api]]) -> None:
    """A holder of the cluster-wide verb setlevel and the operator may write all these keys; update is not enough."""
    namespace, _ = make_with_tenant({PSA + "enforce": "restricted"})
    all_labels = {
        "labels": {labels.ENFORCEMENT: "Deny", labels.GUARD: "baseline", PSA + "enforce": "privileged"},
        "annotations": {labels.GRANT_PREFIX + "a": "x"},
    }
    with_setlevel = namespace.cluster.api(
        workbench.may(namespace.cluster, "labeller", "namespaces", "setlevel", "patch", "update")
    )
    without_setlevel = namespace.cluster.api(
        workbench.may(namespace.cluster, "labeller", "namespaces", "patch", "update")
    )
    workbench.refused(without_setlevel.patch(namespace.path, {"metadata": all_labels}))
    workbench.sound(with_setlevel.patch(f"{namespace.path}?dryRun=All", {"metadata": all_labels})).expect(200)
    operator = namespace.cluster.api(workbench.operator(namespace.cluster))
    workbench.sound(operator.patch(namespace.path, {"metadata": all_labels})).expect(200)


# old level, new level, whether a tenant may write the change; None means no label
LEVELS: list[tuple[str | None, str | None, bool]] = [
    (None, "restricted", True),
    (None, "baseline", True),
    ("privileged", "baseline", True),
    ("privileged", "restricted", True),
    ("baseline", "restricted", True),
    ("baseline", "privileged", False),
    ("restricted", "baseline", False),
    ("restricted", "privileged", False),
    ("restricted", None, False),
    ("baseline", None, False),
    ("privileged", None, False),
    (None, "nonsense", False),
    ("baseline", "nonsense", False),
    ("baseline", "", False),
    ("baseline", "Restricted", False),
]


@pytest.mark.parametrize("mode", ["enforce", "audit", "warn"])
@pytest.mark.parametrize(("old", "new", "free"), LEVELS)
def test_levels_are_tightened_freely_and_loosened_by_nobody_else(
    make_with_tenant: Callable[..., tuple[Home, api.Api]], mode: str, old: str | None, new: str | None, free: bool
) -> None:
    """A tenant can tighten a Pod Security label, but not loosen, remove or garble it, by any path."""
    key = PSA + mode
    namespace, tenant = make_with_tenant({key: old} if old else {})
    for subresource in ("/status", "/finalize", ""):
        answer = put(tenant, namespace, subresource, labels={key: new})
        if free and subresource != "/finalize":
            answer.expect(200)
            namespace.cluster.admin.patch(namespace.path, {"metadata": {"labels": {key: old}}}).expect(200)
        else:
            # Pod Security Admission itself refuses an invalid value, except through a subresource.
            by_policy = "namespace-labels" in answer.message
            assert answer.status == (403 if by_policy else 422), answer.message
            if by_policy and subresource != "/finalize":
                from_text = "from none" if old is None else f'from "{old}"'
                to_text = "to none" if new is None else f'to "{new}"'
                workbench.refused(answer, f"label {key}", from_text, to_text, "setlevel")


def test_privileged_where_no_level_was_loosens_enforce_only(
    make_with_tenant: Callable[..., tuple[Home, api.Api]],
) -> None:
    """enforce=privileged may loosen a cluster-wide default; audit and warn set to privileged loosen nothing."""
    namespace, tenant = make_with_tenant()
    workbench.refused(
        put(tenant, namespace, "", labels={PSA + "enforce": "privileged"}), 'enforce from none to "privileged"'
    )
    put(tenant, namespace, "", labels={PSA + "audit": "privileged", PSA + "warn": "privileged"}).expect(200)


VERSIONS: list[tuple[str | None, str | None, bool]] = [
    (None, "latest", True),
    ("v1.30", "v1.31", True),
    ("v1.9", "v1.10", True),
    ("v1.30", "latest", True),
    (None, "v1.36", False),
    ("latest", "v1.36", False),
    ("v1.31", "v1.30", False),
    ("v1.10", "v1.9", False),
    ("v1.30", None, False),
    ("latest", None, False),
    ("v1.30", "v1.99999999999999999999", False),
    ("v1.30", "v1.031", False),
    ("v1.30", "1.31", False),
    ("v1.30", "", False),
]


@pytest.mark.parametrize("mode", ["enforce", "audit", "warn"])
@pytest.mark.parametrize(("old", "new", "free"), VERSIONS)
def test_versions_move_forward_only(
    make_with_tenant: Callable[..., tuple[Home, api.Api]], mode: str, old: str | None, new: str | None, free: bool
) -> None:
    """A tenant can raise a pinned Pod Security version or set latest, but not pin, lower or remove a version."""
    key = f"{PSA}{mode}-version"
    namespace, tenant = make_with_tenant({key: old} if old else {})
    answer = put(tenant, namespace, "/status", labels={key: new})
    if free:
        answer.expect(200)
    else:
        workbench.refused(
            answer,
            f"a user needs the cluster-wide verb setlevel on namespaces.{labels.GROUP}, got a change of label {key} of",
        )
        assert put(tenant, namespace, "", labels={key: new}).status in {
            403,
            422,
        }  # Pod Security refuses an invalid version


def test_an_unreadable_old_value_is_replaced_by_the_strictest_only(
    make_with_tenant: Callable[..., tuple[Home, api.Api]],
) -> None:
    """Pod Security enforces restricted if a level is invalid, so any other level would loosen it."""
    namespace, tenant = make_with_tenant()
    body = namespace.cluster.admin.get(namespace.path).expect(200).body
    body["metadata"]["labels"] |= {PSA + "enforce": "nonsense", PSA + "warn-version": "nonsense"}
    namespace.cluster.admin.put(f"{namespace.path}/status", body).expect(200)
    workbench.refused(
        put(tenant, namespace, "/status", labels={PSA + "enforce": "baseline"}), 'from "nonsense" to "baseline"'
    )
    workbench.refused(
        put(tenant, namespace, "/status", labels={PSA + "warn-version": "v1.30"}), "warn-version of namespace"
    )
    put(tenant, namespace, "/status", labels={PSA + "warn-version": "latest"}).expect(200)
    put(tenant, namespace, "/status", labels={"team": "b"}).expect(200)
    put(tenant, namespace, "/status", labels={PSA + "enforce": "restricted"}).expect(200)


def test_everything_else_on_a_namespace_is_free(make_with_tenant: Callable[..., tuple[Home, api.Api]]) -> None:
    """Other labels and annotations, similar keys among them, can be written and removed without a warning."""
    operator_labels = {labels.ENFORCEMENT: "Deny", PSA + "enforce": "baseline"}
    namespace, tenant = make_with_tenant(operator_labels, {labels.GRANT_PREFIX + "a": "x"})
    other_labels: dict[str, str | None] = {
        "team": "a",
        f"not-{labels.GROUP}/a": "b",
        labels.GROUP: "c",
        PSA + "other": "d",
    }
    for subresource in ("", "/status"):
        put(tenant, namespace, subresource, labels=other_labels, annotations=other_labels).expect(200)
        put(
            tenant, namespace, subresource, labels=dict.fromkeys(other_labels), annotations=dict.fromkeys(other_labels)
        ).expect(200)


def test_finalize_is_for_the_namespace_controller(make_with_tenant: Callable[..., tuple[Home, api.Api]]) -> None:
    """A tenant cannot finalize a namespace, not even a terminating namespace; a holder of setlevel can."""
    namespace, tenant = make_with_tenant()
    body = namespace.cluster.admin.get(namespace.path).expect(200).body
    body["spec"]["finalizers"] = []
    workbench.refused(
        tenant.put(f"{namespace.path}/finalize", body), "only the namespace controller may write namespaces/finalize"
    )
    config_map = {"metadata": {"name": "hold", "finalizers": ["example.com/hold"]}}
    tenant.post(f"{namespace.path}/configmaps", config_map).expect(201)
    tenant.delete(namespace.path).expect(200)
    body = namespace.cluster.admin.get(namespace.path).expect(200).body
    body["spec"]["finalizers"] = []
    workbench.refused(
        tenant.put(f"{namespace.path}/finalize", body), "only the namespace controller may write namespaces/finalize"
    )
    forged_body = {"metadata": {"annotations": {labels.GRANT_PREFIX + "a": "x"}}}
    workbench.refused(tenant.patch(namespace.path, forged_body), "only the operator may write annotation ")
    finalizer = namespace.cluster.api(workbench.may(namespace.cluster, "finalizer", "namespaces/finalize", "update"))
    workbench.refused(
        finalizer.put(f"{namespace.path}/finalize", body), "only the namespace controller may write namespaces/finalize"
    )
    tenant.patch(f"{namespace.path}/configmaps/hold", {"metadata": {"finalizers": None}}).expect(200)
    namespace.cluster.wait("the namespace gone", lambda: namespace.cluster.admin.get(namespace.path).status == 404)


def test_shared_controller_credentials_may_finalize(make_with_tenant: Callable[..., tuple[Home, api.Api]]) -> None:
    """If all controllers share one user, that user can finalize namespaces."""
    namespace, _ = make_with_tenant()
    body = namespace.cluster.admin.get(namespace.path).expect(200).body
    base = "/apis/rbac.authorization.k8s.io/v1/clusterrole"
    rule = {"apiGroups": [""], "resources": ["namespaces/finalize"], "verbs": ["update"]}
    namespace.cluster.admin.post(f"{base}s", {"metadata": {"name": "finalizing"}, "rules": [rule]}).expect(201, 409)
    rbac = "rbac.authorization.k8s.io"
    subject = {"apiGroup": rbac, "kind": "User", "name": "system:kube-controller-manager"}
    reference = {"apiGroup": rbac, "kind": "ClusterRole", "name": "finalizing"}
    binding = {"metadata": {"name": "finalizing"}, "roleRef": reference, "subjects": [subject]}
    namespace.cluster.admin.post(f"{base}bindings", binding).expect(201, 409)
    controllers = namespace.cluster.api(namespace.cluster.user("system:kube-controller-manager"))
    workbench.sound(controllers.put(f"{namespace.path}/finalize", body)).expect(200)
    forged_body = namespace.cluster.admin.get(namespace.path).expect(200).body
    forged_body["metadata"]["labels"][labels.GUARD] = "privileged"
    workbench.refused(controllers.put(f"{namespace.path}/finalize", forged_body), "only the operator may write label ")


def test_a_namespace_with_everything_on_it_is_deleted(make_with_tenant: Callable[..., tuple[Home, api.Api]]) -> None:
    """A tenant can delete a namespace with the operator's keys, a grant, a pod and thousands of other labels."""
    many_keys: dict[str, str] = {f"l{number}": "" for number in range(5000)}
    operator_labels = {labels.ENFORCEMENT: "Deny", labels.GUARD: "baseline", PSA + "enforce": "privileged"}
    namespace, tenant = make_with_tenant(
        {**operator_labels, **many_keys}, {labels.GRANT_PREFIX + "a": "x", **many_keys}
    )
    namespace.put_up(workbench.pod())
    tenant.delete(namespace.path).expect(200)
    namespace.cluster.wait("the namespace gone", lambda: namespace.cluster.admin.get(namespace.path).status == 404)


def test_many_annotations_do_not_hold_up_the_operator(make_with_tenant: Callable[..., tuple[Home, api.Api]]) -> None:
    """If a tenant wrote 40,000 annotations, the operator can still restore a level in one write."""
    annotations = {f"{number:x}": "" for number in range(40000)}
    namespace, _ = make_with_tenant({PSA + "enforce": "privileged"}, annotations)
    operator = namespace.cluster.api(workbench.operator(namespace.cluster))
    restore = {"metadata": {"labels": {PSA + "enforce": "baseline"}, "annotations": {labels.GRANT_PREFIX + "a": None}}}
    answer = operator.request("PATCH", namespace.path, restore, api.MERGE, timeout=120)
    workbench.sound(answer).expect(200)


def test_a_grant_is_not_hidden_among_as_many_annotations_as_there_can_be(
    make_with_tenant: Callable[..., tuple[Home, api.Api]],
) -> None:
    """Among 88,000 annotations the policy finds and names a forged or removed grant.

    The tenant can still add and remove other annotations.
    """
    grant = labels.GRANT_PREFIX + "mine"
    namespace, tenant = make_with_tenant({}, {labels.GRANT_PREFIX + "theirs": "line", "note": "a"})
    objects.fill(namespace.cluster.admin, namespace.path, "annotations", objects.smallest(size=objects.ROOM))

    def patch(values: dict[str, str | None]) -> api.Response:
        body = {"metadata": {"annotations": values}}
        return workbench.sound(objects.ask(tenant, ("PATCH", f"{namespace.path}?dryRun=All", body, api.MERGE)))

    workbench.refused(patch({grant: "x", "note": None}), f"only the operator may write annotation {grant} of")
    workbench.refused(patch({labels.GRANT_PREFIX + "theirs": None}), "grant.hostnetwork-operator.github.io/theirs of")
    patch({"note": f', "{grant}":"x', "other": "b", "0": None}).expect(200)


# The labels of a namespace, and their replacement: not more labels than before, so namespace-size allows the write.
TOO_MANY = {
    "characters": (
        {f"{number:05}": "" for number in range(6500)},
        {f"{number:05}.{'a' * 57}.{'b' * 60}.{'c' * 60}/{'d' * 63}": "e" * 63 for number in range(6500)},
    ),
    "labels of ours": (
        {f"{labels.GROUP}/l{number}": "" for number in range(5002)},
        {f"{labels.GROUP}/l{number}": "x" for number in range(5002)},
    ),
}


@pytest.mark.parametrize("what", TOO_MANY)
def test_labels_beyond_what_can_be_compared_are_refused(
    make_with_tenant: Callable[..., tuple[Home, api.Api]], what: str
) -> None:
    """Labels that exceed the comparison limits get a 403 with the limit, never an error.

    The limits are above what etcd stores and above the number of the operator's labels that any namespace has.
    """
    before, after = TOO_MANY[what]
    namespace, tenant = make_with_tenant(before)
    patch = {"metadata": {"labels": {**dict.fromkeys(before), **after}}}
    answer = tenant.request("PATCH", f"{namespace.path}?dryRun=All", patch, api.MERGE, timeout=120)
    workbench.refused(answer, "compares at most 2,000,000 characters of labels and 5,000 labels", "got more")


def test_many_labels_do_not_spoil_the_message(make_with_tenant: Callable[..., tuple[Home, api.Api]]) -> None:
    """The refusal of a write to thousands of the operator's keys has the general sentence, which names no key."""
    annotations = {f"note-{number}": "x" for number in range(2000)}
    namespace, tenant = make_with_tenant({}, annotations)
    grants: dict[str, Any] = {f"{labels.GRANT_PREFIX}{number}": "x" for number in range(2000)}
    # Not more annotations than before, so namespace-size allows the write.
    answer = tenant.patch(namespace.path, {"metadata": {"annotations": {**dict.fromkeys(annotations), **grants}}})
    workbench.refused(answer, "only the operator may write annotations under hostnetwork-operator.github.io/")
