"""Ways to an exception without an approver, or to more than was approved (T4 to T6, A22)."""

import datetime
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.controlplane import api
from tests.controlplane.operator import ROOT
from tests.e2e.conftest import IMAGE, LABEL, PSA, World
from tests.e2e.threats.conftest import (
    POD_GUARDS,
    RBAC,
    VERBS,
    author,
    container,
    fill,
    holder,
    holders_kubeconfig,
    lift,
    pod,
    refused,
    refuser,
    tenant,
    writes,
)

APPROVE = "the cluster-wide verb approve on hostnetworkexceptions"
OTHER = "registry.example.com/other:1"
CRD = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/hostnetworkexceptions.{LABEL}"


def _bound_tenant(world: World, namespace: str) -> api.Api:
    """Return a tenant who has bound the approvers' ClusterRole as far as RBAC allows: in the namespace only."""
    attacker = tenant(world, namespace)
    subject = {"apiGroup": RBAC, "kind": "User", "name": f"tenant-{namespace}"}
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "hostnetwork-exception-approver"}
    body = {"metadata": {"name": "mine"}, "roleRef": reference, "subjects": [subject]}
    attacker.post(f"/apis/{RBAC}/v1/namespaces/{namespace}/rolebindings", body).expect(201, 409)
    refused(attacker.post(f"/apis/{RBAC}/v1/clusterrolebindings", body), "RBAC")
    return attacker


def _author(world: World, namespace: str) -> api.Api:
    return author(world)


ACTORS: dict[str, Callable[[World, str], api.Api]] = {
    "a tenant with every verb": tenant,
    "a tenant bound to approvers in his namespace": _bound_tenant,
    "who may write all exceptions": _author,
}


@pytest.fixture(params=ACTORS)
def attacker(request: pytest.FixtureRequest, world: World, relaxed: str) -> api.Api:
    """A client that may write exceptions in that namespace, without the cluster-wide verb approve."""
    return ACTORS[request.param](world, relaxed)


def approver(world: World) -> api.Api:
    rule = {"apiGroups": [LABEL], "resources": ["hostnetworkexceptions"], "verbs": [*VERBS, "approve"]}
    return holder(world, "exception-approver", rule)


def exception_body(world: World, name: str = "mine", version: str = "v1alpha1", **spec: Any) -> dict[str, Any]:
    full_spec = {
        "type": "Diagnostic",
        "owner": "me",
        "reason": "I would like to have it",
        "ticket": "X-1",
        "expiry": world.time(3600),
        "images": [IMAGE],
        **spec,
    }
    identity = {"apiVersion": f"{LABEL}/{version}", "kind": "HostNetworkException"}
    return {**identity, "metadata": {"name": name}, "spec": full_spec}


# -- T4: making one ----------------------------------------------------------------------------------------------------


def test_nobody_makes_his_own_exception(world: World, relaxed: str, attacker: api.Api) -> None:
    """T4, CVE-2024-48921: With every verb in a namespace a tenant makes no exception; the refusal names the remedy."""
    path, body = world.exceptions(relaxed), exception_body(world)
    grants_before = world.grants(relaxed)
    for answer in (
        attacker.post(path, body),
        attacker.post(f"{path}?dryRun=All", body),
        attacker.post(f"{path}?fieldValidation=Ignore", {**body, "status": {"namespaceUID": "x"}, "approved": True}),
        attacker.post(path, {**body, "metadata": {"generateName": "mine-"}}),
        attacker.post(path, exception_body(world, type="Infrastructure", serviceAccountName="default")),
        attacker.apply(f"{path}/mine", body, "me"),
        attacker.apply(f"{path}/mine", body, "me", force=True),
    ):
        refused(answer, "exception-writers", APPROVE, "ClusterRole hostnetwork-exception-approver")
    assert attacker.put(f"{path}/mine", body).status in {404, 422}
    names = [body_stored["metadata"]["name"] for body_stored in world.admin.items(path)]
    assert names == ["theirs"]
    assert world.grants(relaxed) == grants_before


def test_kubectl_makes_no_exception(world: World, relaxed: str) -> None:
    """T4: kubectl create, apply and replace --force show the refusal; RBAC refuses impersonation."""
    user, text = world.cluster.tenant(relaxed), json.dumps(exception_body(world))
    for arguments in (["create"], ["apply"], ["apply", "--server-side"], ["replace", "--force"]):
        completed = world.cluster.kubectl(*arguments, "-n", relaxed, "-f", "-", user=user, stdin=text)
        assert completed.returncode != 0
        assert APPROVE in completed.stderr, completed.stderr
    operator = "--as=system:serviceaccount:hostnetwork-system:hostnetwork-operator"
    completed = world.cluster.kubectl(
        "create", "--validate=false", operator, "-n", relaxed, "-f", "-", user=user, stdin=text
    )
    assert "cannot impersonate" in completed.stderr, completed.stderr


def test_an_exception_of_another_namespace_covers_nothing_here(world: World, enforced: str, relaxed: str) -> None:
    """T4, CVE-2024-48921: An exception counts in its own namespace, and in no other."""
    body = pod(hostNetwork=True, serviceAccountName="agent")
    account = {"metadata": {"name": "agent"}}
    world.admin.post(f"/api/v1/namespaces/{enforced}/serviceaccounts", account).expect(201, 409)
    refused(tenant(world, enforced).post(world.pods(enforced), body), "PSA")
    tenant(world, relaxed).post(f"{world.pods(relaxed)}?dryRun=All", body).expect(201)


# -- T5: changing one --------------------------------------------------------------------------------------------------

EDITS: list[tuple[str, Any]] = [
    ("expiry", "extended"),
    ("owner", "me"),
    ("contact", "me@example.com"),
    ("reason", "another reason altogether"),
    ("ticket", "X-2"),
    ("onExpiry", "Report"),
    ("gracePeriodSeconds", 300),
    ("review", {"time": "2026-11-22T16:00:00Z"}),
    ("images", [IMAGE, OTHER]),
    ("serviceAccountName", "default"),
    ("hostNamespaces", ["Network", "PID"]),
    ("capabilities", ["SYS_ADMIN"]),
    ("privileged", True),
    ("hostPaths", [{"path": "/", "readOnly": False}]),
    ("podSecurityLevel", "privileged"),
    ("type", "Application"),
]
MUTABLE = {"expiry", "owner", "contact", "reason", "ticket", "review", "onExpiry", "gracePeriodSeconds"}


@pytest.mark.parametrize(("field", "value"), EDITS, ids=[name for name, _ in EDITS])
def test_what_was_approved_stays(world: World, relaxed: str, attacker: api.Api, field: str, value: Any) -> None:
    """T5: Without approve no verb changes a field of the spec; with approve only fields that widen nothing change."""
    value = world.time(7200) if value == "extended" else value
    path = f"{world.exceptions(relaxed)}/theirs"
    body_before = world.admin.get(path).expect(200).body
    grants = world.grants(relaxed)
    for method, answer in writes(attacker, path, body_before, ("spec", field), value):
        # For a field that never changes, the CRD may refuse first.
        refusers = ("exception-writers",) if field in MUTABLE else ("exception-writers", "validation")
        try:
            refused(answer, refusers)
        except AssertionError as error:
            raise AssertionError(f"{method}: {error}") from error
    current = world.admin.get(path).expect(200).body
    assert current["spec"] == body_before["spec"]
    assert world.grants(relaxed) == grants
    answer = approver(world).patch(f"{path}?dryRun=All", {"spec": {field: value}})
    if field in MUTABLE:
        answer.expect(200)
    else:
        refused(answer, "validation", "immutable" if "immutable" in answer.message else field)


def test_a_number_written_otherwise_raises_no_generation(world: World, relaxed: str, attacker: api.Api) -> None:
    """T5: Without approve no verb raises the generation of an exception by writing 30.0 in place of 30."""
    path = f"{world.exceptions(relaxed)}/theirs"
    body_before = world.admin.get(path).expect(200).body
    assert body_before["spec"]["gracePeriodSeconds"] == 30
    for method, answer in writes(attacker, path, body_before, ("spec", "gracePeriodSeconds"), 30.0):
        if method == "server-side apply":  # decoded as YAML, where 30.0 is 30
            answer.expect(200)
        else:
            refused(answer, "exception-writers", APPROVE)
    assert world.admin.get(path).body["metadata"]["generation"] == body_before["metadata"]["generation"]
    reviewed = {"spec": {"gracePeriodSeconds": 30.0}}
    approver(world).patch(f"{path}?dryRun=All", reviewed).expect(200)


def test_none_is_deleted_or_replaced(world: World, relaxed: str, attacker: api.Api) -> None:
    """T5: delete, deletecollection and an added owner need approve; labels and finalizers are free."""
    path = world.exceptions(relaxed)
    refused(attacker.delete(f"{path}/theirs"), "exception-writers", "to delete a HostNetworkException")
    refused(attacker.delete(f"{path}/theirs?dryRun=All"), "exception-writers", "to delete a HostNetworkException")
    refused(attacker.delete(path), "exception-writers", "to delete a HostNetworkException")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000"}
    current = world.admin.get(f"{path}/theirs").body
    for _, answer in writes(attacker, f"{path}/theirs", current, ("metadata", "ownerReferences"), [owner]):
        refused(answer, "exception-writers", "ownerReferences")
    attacker.patch(f"{path}/theirs", {"metadata": {"labels": {"a": "b"}}}).expect(200)
    attacker.patch(f"{path}/theirs", {"metadata": {"labels": None}}).expect(200)


def test_nobody_but_the_operator_says_what_one_is_worth(world: World, relaxed: str, attacker: api.Api) -> None:
    """T5: Only the operator writes the status; administrators and approvers cannot."""
    path = f"{world.exceptions(relaxed)}/theirs"
    admin = world.admin
    for client in (attacker, admin):
        current = admin.get(path).body
        field_path = ("status", "namespaceUID")
        for _, answer in writes(client, f"{path}/status", current, field_path, "00000000-0000-0000-0000-000000000000"):
            refused(answer, "exception-writers", "only the operator may write the status")
    assert world.status(relaxed, "theirs")["namespaceUID"] == world.metadata(relaxed)["uid"]


def test_a_ceiling_is_measured_from_the_api_servers_clock(world: World, relaxed: str) -> None:
    """T5: A forged creationTimestamp makes no exception last longer, not even an approver's."""
    far_expiry = (world.now() + datetime.timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = exception_body(world, expiry=far_expiry)
    body["metadata"]["creationTimestamp"] = (world.now() + datetime.timedelta(days=29, hours=12)).isoformat()
    answer = approver(world).post(world.exceptions(relaxed), body)
    refused(answer, "exception-writers", "must be within 24h of creation")


# -- T6: other versions, other words -----------------------------------------------------------------------------------


def test_every_served_version_is_judged_alike(world: World, relaxed: str, attacker: api.Api) -> None:
    """T6, kyverno#17367: By each served version the same exception is refused, and reads the same."""
    served = [v["name"] for v in world.admin.get(CRD).expect(200).body["spec"]["versions"] if v["served"]]
    specs = []
    for version in served:
        path = f"/apis/{LABEL}/{version}/namespaces/{relaxed}/hostnetworkexceptions"
        refused(attacker.post(path, exception_body(world, version=version)), "exception-writers", APPROVE)
        refused(attacker.patch(f"{path}/theirs", {"spec": {"owner": "me"}}), "exception-writers", APPROVE)
        refused(attacker.delete(f"{path}/theirs"), "exception-writers", APPROVE)
        specs.append(world.admin.get(f"{path}/theirs").expect(200).body["spec"])
    assert specs
    assert all(spec == specs[0] for spec in specs)


def test_every_policy_matches_every_version() -> None:
    """T6, kyverno#17367: No policy names a version of the objects that it judges, so a new version bypasses none."""
    for file in sorted((ROOT / "manifests" / "admission").glob("*.yaml")):
        for body in yaml.safe_load_all(file.read_text()):
            rules = body.get("spec", {}).get("matchConstraints", {}).get("resourceRules", [])
            for rule in rules:
                assert rule["apiVersions"] == ["*"], file.name
                assert body["spec"]["matchConstraints"].get("matchPolicy", "Equivalent") == "Equivalent", file.name


def test_what_is_not_in_the_schema_means_nothing(world: World) -> None:
    """T6: Unknown fields, a status and misspelled fields are neither in the stored object nor in the grant."""
    namespace = world.namespace()
    body = exception_body(world, "odd", approved=True, Privileged=True, host_paths=["/"])
    body |= {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Active"}]}, "spek": {}}
    path = f"{world.exceptions(namespace)}?fieldValidation=Ignore"
    stored = approver(world).post(path, body).expect(201).body
    assert {"approved", "Privileged", "host_paths"} & set(stored["spec"]) == set()
    assert "status" not in stored
    assert "spek" not in stored
    world.until("granted", lambda: "odd" in world.grants(namespace))
    assert world.grants(namespace)["odd"].split("|")[5:9] == ["false", "baseline", "-", "-"]


# -- two never add up --------------------------------------------------------------------------------------------------


COMBINED: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        "images",
        {"images": [IMAGE]},
        {"images": [OTHER]},
        {"containers": [container(), container(name="other", image=OTHER)]},
    ),
    (
        "host namespaces",
        {"hostNamespaces": ["Network"]},
        {"hostNamespaces": ["PID"]},
        {"hostNetwork": True, "hostPID": True},
    ),
    (
        "privileged by one, the image by the other",
        {"images": [IMAGE]},
        {"images": [OTHER], "privileged": True, "podSecurityLevel": "privileged"},
        {"containers": [container(securityContext={"privileged": True})]},
    ),
    (
        "a capability by one, a path by the other",
        {"capabilities": ["NET_ADMIN"]},
        {"hostPaths": [{"path": "/proc", "readOnly": True}]},
        {
            "containers": [container(securityContext={"capabilities": {"add": ["NET_ADMIN"]}})],
            "volumes": [{"name": "proc", "hostPath": {"path": "/proc"}}],
        },
    ),
    (
        "the level of one, the image of the other",
        {"images": [IMAGE]},
        {"images": [OTHER], "podSecurityLevel": "privileged"},
        {"containers": [container(securityContext={"seccompProfile": {"type": "Unconfined"}})]},
    ),
]


@pytest.mark.parametrize(("first", "second", "pod_spec"), [c[1:] for c in COMBINED], ids=[c[0] for c in COMBINED])
def test_two_exceptions_never_add_up(
    world: World, first: dict[str, Any], second: dict[str, Any], pod_spec: dict[str, Any]
) -> None:
    """GHSA-gg4x-fgg2-h9w9: A pod that needs two exceptions is refused, whichever of the two is looser.

    A pod that one exception covers is admitted.
    """
    namespace = world.namespace()
    for name, spec in (("first", first), ("second", second)):
        world.exception(namespace, name, **spec).expect(201)
    world.until("both granted", lambda: set(world.grants(namespace)) == {"first", "second"})
    attacker = tenant(world, namespace)
    dry_run_path = f"{world.pods(namespace)}?dryRun=All"
    honest_pod = pod(hostNetwork=True)
    world.until("the first covers its pod", lambda: attacker.post(dry_run_path, honest_pod).status == 201)
    refused(attacker.post(world.pods(namespace), pod(**{"hostNetwork": True, **pod_spec})), POD_GUARDS)


# -- the end of one ----------------------------------------------------------------------------------------------------


def test_after_the_end_all_say_the_same(world: World) -> None:
    """kyverno#17473: From its expiry an exception counts nowhere; API server, status, label, metric and level agree."""
    namespace = world.namespace()
    world.granted_pod(namespace, seconds=5, onExpiry="Report")
    world.until("the pod is flagged", lambda: world.verdict(namespace, "capture") == "Expired")
    world.until("its status", lambda: world.ready(namespace) == "Expired")
    refused(world.pod(namespace, "another"), (*POD_GUARDS, "PSA"))
    assert world.labels(namespace)[PSA] == "baseline"
    assert world.grants(namespace) == {}

    def is_counted() -> bool:
        text = world.operator.metrics()
        lines = (
            f'{{namespace="{namespace}",verdict="Expired"}} 1.0',
            f'{{namespace="{namespace}",verdict="Covered"}} 0.0',
        )
        return all(f"hostnetwork_pods{line}" in text for line in lines)

    world.until("the metrics", is_counted)
    assert world.status(namespace)["coveredPods"] == 0


def test_what_is_revoked_admits_no_more(world: World) -> None:
    """CVE-2021-43979: An expiry moved to now reaches the API server's copy of the Namespace; no pod is admitted."""
    namespace = world.namespace()
    world.exception(namespace, onExpiry="Report").expect(201)
    world.until("in force", lambda: world.pod(namespace, dry_run=True).status == 201)
    revoked = {"spec": {"expiry": world.time()}}
    approver(world).patch(f"{world.exceptions(namespace)}/capture", revoked).expect(200)
    world.until("refused", lambda: world.pod(namespace, dry_run=True).status != 201)
    end = world.now() + datetime.timedelta(seconds=1)
    world.holds_until(end, "refused", lambda: world.pod(namespace, dry_run=True).status in {403, 422})


def test_a_finalizer_of_a_tenant_keeps_no_exception_in_force(world: World) -> None:
    """T5: A tenant may put a finalizer on an exception; after the exception is deleted, its grant still ends."""
    namespace = world.namespace()
    world.granted_pod(namespace)
    path = f"{world.exceptions(namespace)}/capture"
    attacker = tenant(world, namespace)
    attacker.patch(path, {"metadata": {"finalizers": ["example.com/hold"]}}).expect(200)
    approver(world).delete(path).expect(200)
    world.until("its grant is gone", lambda: world.grants(namespace) == {})
    world.until("its pod is flagged", lambda: world.verdict(namespace, "capture") == "Uncovered")
    refused(world.pod(namespace, "another"), (*POD_GUARDS, "PSA"))
    assert world.admin.get(path).status == 200
    attacker.patch(path, {"metadata": {"finalizers": None}}).expect(200)
    assert world.admin.get(path).status == 404


def test_no_tenant_fills_an_exception_against_its_end(world: World) -> None:
    """A22: A tenant who fills an exception leaves room for an earlier expiry and a deletion, which end its grant."""
    namespace = world.namespace()
    spec = {"type": "Infrastructure", "expiry": None, "ticket": None, "serviceAccountName": "default"}
    world.granted_pod(namespace, **spec)
    path = f"{world.exceptions(namespace)}/capture"
    attacker = tenant(world, namespace)
    attacker.patch(path, {"metadata": {"finalizers": ["example.com/hold"]}}).expect(200)
    answers = fill(attacker, path, 11_400)
    revoked = {"spec": {"expiry": world.time()}}
    approver(world).request("PATCH", path, revoked, api.MERGE, 60).expect(200)
    world.until("its grant is gone", lambda: world.grants(namespace) == {})
    refused(world.pod(namespace, "another"), (*POD_GUARDS, "PSA"))
    world.until("its status says so", lambda: world.ready(namespace) == "Expired")
    approver(world).delete(path).expect(200)
    for answer in answers:
        refused(answer, "exception-writers", "the metadata of a HostNetworkException may have at most 100,000 bytes")
    attacker.patch(path, {"metadata": {"finalizers": None}}).expect(200)


FORCED: dict[str, tuple[list[str], str, str]] = {
    "without approve, another owner": (
        [],
        "owner",
        "to create a HostNetworkException or change its spec, a user needs the cluster-wide verb approve",
    ),
    "with approve, beyond the ceiling": (["approve"], "expiry", "spec.expiry must be within 24h of creation"),
}


@pytest.mark.parametrize("change", FORCED)
def test_a_forced_apply_deletes_no_exception(world: World, change: str) -> None:
    """T5: A refused `kubectl apply --force` deletes no exception, neither by an author nor by an approver.

    kubectl treats a 422 as an immutable field: the approver's exception and its grant would be removed.
    """
    extra_verbs, field, text = FORCED[change]
    namespace = world.namespace()
    rule = {"apiGroups": [LABEL], "resources": ["hostnetworkexceptions"], "verbs": [*VERBS, *extra_verbs]}
    user = holders_kubeconfig(world, f"deployer-of-exceptions-{len(extra_verbs)}", rule)
    body = exception_body(world, "forced")
    world.admin.post(world.exceptions(namespace), body).expect(201)
    uid_before = world.admin.get(f"{world.exceptions(namespace)}/forced").body["metadata"]["uid"]
    body["spec"][field] = world.time(30 * 86400) if field == "expiry" else "another-team"
    arguments = ("apply", "--force", "--timeout=60s", "-n", namespace, "-f", "-")
    completed = world.cluster.kubectl(*arguments, user=user, stdin=json.dumps(body))
    assert completed.returncode != 0, completed.stdout
    assert f"exception-writers: {text}" in completed.stderr
    assert "(Forbidden)" in completed.stderr
    body_after = world.admin.get(f"{world.exceptions(namespace)}/forced").expect(200).body
    assert body_after["metadata"]["uid"] == uid_before
    assert body_after["spec"][field] != body["spec"][field]


# -- the honest neighbours ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["Foreground", "Background"])
def test_the_garbage_collector_takes_an_exception_along(world: World, policy: str) -> None:
    """T5, honest: An exception with an owner is deleted with its owner, also in the foreground, and its grant ends."""
    namespace = world.namespace()
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    owner = world.admin.post(maps, {"metadata": {"name": "release"}}).expect(201).body
    body = exception_body(world, "owned")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "release", "uid": owner["metadata"]["uid"]}
    body["metadata"]["ownerReferences"] = [{**reference, "blockOwnerDeletion": True}]
    approver(world).post(world.exceptions(namespace), body).expect(201)
    world.until("granted", lambda: "owned" in world.grants(namespace))
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy}
    tenant(world, namespace).delete(f"{maps}/release", options).expect(200)
    world.until("gone", lambda: world.admin.get(f"{world.exceptions(namespace)}/owned").status == 404)
    world.until("its grant too", lambda: world.grants(namespace) == {})


def test_applying_the_same_again_is_no_change(world: World) -> None:
    """T5, honest: A user who may not approve applies a chart with an approved exception again, unchanged."""
    namespace = world.namespace()
    lift(world, namespace, "chart", "agent")
    body = world.admin.get(f"{world.exceptions(namespace)}/chart").body
    manifest = {key: body[key] for key in ("apiVersion", "kind", "spec")}
    manifest["metadata"] = {"name": "chart", "namespace": namespace}
    user = world.cluster.tenant(namespace)
    for flags in ([], ["--server-side", "--force-conflicts"]):
        completed = world.cluster.kubectl("apply", *flags, "-f", "-", user=user, stdin=json.dumps(manifest))
        assert completed.returncode == 0, completed.stderr
    assert world.ready(namespace, "chart") == "Active"
    widened = {**manifest, "spec": {**manifest["spec"], "owner": "me"}}
    completed = world.cluster.kubectl("apply", "-f", "-", user=user, stdin=json.dumps(widened))
    assert APPROVE in completed.stderr
    assert refuser(tenant(world, namespace).delete(f"{world.exceptions(namespace)}/chart")) == "exception-writers"
