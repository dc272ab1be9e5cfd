"""Ways to another level, a forged grant or no enforcement through the Namespace object (T2, T3, T19, A19, A20)."""

import datetime
import json
import pathlib
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from hostnetwork_operator.api.labels import PREVIEW_NAMESPACES, SYSTEM_NAMESPACE
from tests.admission import objects
from tests.controlplane import api, binary
from tests.e2e.conftest import LABEL, PSA, World
from tests.e2e.threats.conftest import (
    KEPT,
    POD_GUARDS,
    POLICY,
    VERBS,
    deletions,
    holder,
    holders_kubeconfig,
    host_pods,
    lift,
    pod,
    refused,
    refuser,
    tenant,
    workload,
    workloads,
    writes,
)

GRANT = f"grant.{LABEL}/"
SUBRESOURCES = ("", "/status", "/finalize")
FROM_LOOSE = ("privileged", "baseline", "restricted")


def _editor(world: World, namespace: str) -> api.Api:
    rule = {"apiGroups": [""], "resources": ["namespaces", "namespaces/status", "namespaces/finalize"], "verbs": VERBS}
    return holder(world, "namespace-editor", rule)


ACTORS: dict[str, Callable[[World, str], api.Api]] = {
    "a tenant with every verb": tenant,
    "who may write all namespaces": _editor,
}


@pytest.fixture(params=ACTORS)
def attacker(request: pytest.FixtureRequest, world: World, relaxed: str) -> api.Api:
    """A client that may write that Namespace, without the verb setlevel."""
    return ACTORS[request.param](world, relaxed)


def _assert_writes_refused(
    world: World, client: api.Api, namespace: str, field_path: tuple[str, ...], value: str | None
) -> None:
    """Write one label or annotation in every way through every subresource, and assert that each write is refused."""
    path = f"/api/v1/namespaces/{namespace}"
    before = world.metadata(namespace)
    for subresource in SUBRESOURCES:
        current = world.admin.get(path).expect(200).body
        attempts = 0
        for method, answer in writes(client, path + subresource, current, field_path, value):
            if answer.status in {404, 405} and subresource == "/finalize":
                continue  # finalize can only be replaced
            attempts += 1
            refusers = ("namespace-labels", "validation") if value == "nonsense" else ("namespace-labels",)
            try:
                refused(answer, refusers)
            except AssertionError as error:
                raise AssertionError(f"{method} through {subresource or 'the namespace'}: {error}") from error
        assert attempts
    after = world.metadata(namespace)
    assert (before["labels"], before.get("annotations")) == (after["labels"], after.get("annotations"))


LEVELS: list[tuple[str, str | None]] = [
    (f"{PSA}", None),
    (f"{PSA}", "nonsense"),
    (f"{PSA}-version", "v1.0"),
    (f"{PSA}-version", None),
    ("pod-security.kubernetes.io/warn", None),
    (f"{LABEL}/guard", None),
    (f"{LABEL}/guard", "privileged"),
    (f"{LABEL}/enforcement", None),
    (f"{LABEL}/enforcement", "Audit"),
    (KEPT, "agents"),
]


@pytest.mark.parametrize(("label", "value"), LEVELS)
def test_the_labels_that_decide_stay(
    world: World, relaxed: str, attacker: api.Api, label: str, value: str | None
) -> None:
    """T2: In a relaxed namespace no verb and no subresource changes a level, version, guard or enforcement."""
    _assert_writes_refused(world, attacker, relaxed, ("metadata", "labels", label), value)


@pytest.mark.parametrize("value", ["privileged", None])
def test_an_enforced_level_is_not_loosened(world: World, enforced: str, value: str | None) -> None:
    """T2: Where Baseline is enforced, a tenant can neither set privileged nor remove the level, but may tighten it."""
    attacker = tenant(world, enforced)
    _assert_writes_refused(world, attacker, enforced, ("metadata", "labels", PSA), value)
    refused(attacker.post(world.pods(enforced), pod(hostPID=True)), "PSA")
    stricter = {"metadata": {"labels": {PSA: "restricted"}}}
    for subresource in ("", "/status"):
        attacker.patch(f"/api/v1/namespaces/{enforced}{subresource}?dryRun=All", stricter).expect(200)


def test_a_namespace_is_not_made_anew(world: World, enforced: str) -> None:
    """T2: A tenant gets no other Namespace by replacing, creating or deleting collections of namespaces."""
    attacker = tenant(world, enforced)
    body = {"metadata": {"name": enforced, "labels": {PSA: "privileged"}}}
    refused(attacker.post("/api/v1/namespaces", {"metadata": {"name": "another"}}), "RBAC")
    current = world.admin.get(f"/api/v1/namespaces/{enforced}").body
    replaced = {**current, "metadata": {**current["metadata"], "labels": {}, "annotations": {}}}
    refused(attacker.put(f"/api/v1/namespaces/{enforced}", replaced), "namespace-labels")
    apply_body = {"apiVersion": "v1", "kind": "Namespace", **body}
    refused(attacker.apply(f"/api/v1/namespaces/{enforced}", apply_body, "me", force=True), "namespace-labels")
    assert attacker.delete("/api/v1/namespaces").status in {403, 405}


def test_a_tenant_who_shares_a_label_keeps_nothing_open(world: World) -> None:
    """T2, A3: A tenant who applies the relaxed level and the grant becomes their co-owner; both end all the same."""
    namespace = world.namespace()
    lift(world, namespace, seconds=8, onExpiry="Report")
    metadata = world.metadata(namespace)
    operator_labels = {key: value for key, value in metadata["labels"].items() if "pod-security" in key or LABEL in key}
    grants = {key: value for key, value in metadata["annotations"].items() if key.startswith(GRANT)}
    assert grants
    identity = {"apiVersion": "v1", "kind": "Namespace"}
    apply_body = {**identity, "metadata": {"name": namespace, "labels": operator_labels, "annotations": grants}}
    path = f"/api/v1/namespaces/{namespace}"
    tenant(world, namespace).apply(path, apply_body, "me").expect(200)
    world.until("it is restored", lambda: world.labels(namespace)[PSA] == "baseline")
    world.until("the grant is gone", lambda: world.grants(namespace) == {})
    forced_answer = tenant(world, namespace).apply(path, apply_body, "me", force=True)
    refused(forced_answer, "namespace-labels")
    refused(world.pod(namespace, dry_run=True, serviceAccountName="agent"), (*POD_GUARDS, "PSA"))


FORCED: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "a looser level": ({}, {PSA: "privileged"}),
    "its last own label left out": ({"team": "a"}, {}),
    "another enforcement": ({"team": "a"}, {"team": "a", f"{LABEL}/enforcement": "Audit"}),
}


@pytest.mark.parametrize("change", FORCED)
def test_a_forced_apply_deletes_no_namespace(world: World, change: str) -> None:
    """T2: `kubectl apply --force` by a user who may delete namespaces stops at the refusal; uid and content stay.

    kubectl treats a 422 as an immutable field: it deletes the namespace with its content and creates it again.
    """
    deployer = _deployer(world)
    name = f"forced-{list(FORCED).index(change)}"

    def apply(labels: dict[str, str], *flags: str) -> subprocess.CompletedProcess[str]:
        metadata = {"name": name, **({"labels": labels} if labels else {})}
        text = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        return world.cluster.kubectl("apply", *flags, "-f", "-", user=deployer, stdin=text)

    first, second = FORCED[change]
    assert apply(first).returncode == 0
    content = f"/api/v1/namespaces/{name}/configmaps"
    world.cluster.api(deployer).post(content, {"metadata": {"name": "data"}, "data": {"a": "b"}}).expect(201)
    uid = world.metadata(name)["uid"]
    labels_before = world.labels(name)
    completed = apply(second, "--force", "--timeout=60s")
    if not second and binary.release().has("1.36"):  # labels-kept restores our labels
        assert completed.returncode == 0, completed.stderr
        assert world.labels(name) == {key: text for key, text in labels_before.items() if key not in first}
    else:
        assert completed.returncode != 0, completed.stdout
        assert "namespace-labels: " in completed.stderr
        assert "(Forbidden)" in completed.stderr
    assert world.metadata(name)["uid"] == uid
    world.admin.get(f"{content}/data").expect(200)


def _deployer(world: World) -> pathlib.Path:
    """Return the kubeconfig of a user who rolls out namespaces and their content, and may delete both."""
    verbs = ["get", "list", "watch", "create", "update", "patch", "delete"]
    rule = {"apiGroups": [""], "resources": ["namespaces", "pods", "configmaps"], "verbs": verbs}
    return holders_kubeconfig(world, "deployer", rule)


@pytest.mark.alone
def test_a_tenant_who_fills_his_namespace_gains_nothing(world: World) -> None:
    """T2: 88,000 annotations hide no grant, let no forced apply delete the namespace, and keep no level open.

    namespace-size no longer lets a tenant write them, but they may be older than that policy.
    """
    namespace = world.namespace()
    world.exception(namespace, seconds=40, onExpiry="Report").expect(201)
    world.until("it is relaxed", lambda: world.labels(namespace)[PSA] == "privileged")
    attacker, path = tenant(world, namespace), f"/api/v1/namespaces/{namespace}"
    objects.fill(world.admin, path, "annotations", objects.smallest(size=objects.ROOM - 1000))
    uid = world.metadata(namespace)["uid"]
    other_annotation = next(key for key in world.metadata(namespace)["annotations"] if "hostnetwork" not in key)
    patch = {"metadata": {"annotations": {f"{GRANT}mine": "x", other_annotation: None}}}
    # The patch replaces one annotation by another, so namespace-size does not refuse it. The API server needs half a
    # minute for so large an object on a busy machine.
    refused(attacker.request("PATCH", path, patch, api.MERGE, timeout=120), "namespace-labels", "mine")
    metadata = {"name": namespace, "labels": {f"{LABEL}/enforcement": "Audit"}}
    text = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    arguments = ("apply", "--force", "--timeout=60s", "-f", "-")
    deployer = _deployer(world)
    for _ in range(10):
        completed = world.cluster.kubectl(*arguments, user=deployer, stdin=text)
        # A request that takes the API server more than 34 s gets no answer.
        if "Timeout: request did not complete" not in completed.stderr:
            break
    assert "(Forbidden)" in completed.stderr
    # kubectl adds an annotation of its own, so either policy may answer.
    assert "namespace-labels: " in completed.stderr or "namespace-size: " in completed.stderr
    assert world.metadata(namespace)["uid"] == uid
    world.until("the level is back", lambda: world.labels(namespace)[PSA] == "baseline")
    world.until("the grant is gone", lambda: world.grants(namespace) == {})


@pytest.mark.alone
def test_no_tenant_fills_his_namespace_against_the_operator(world: World) -> None:
    """A17: A tenant cannot fill the room of the operator's writes; bytes that are not UTF-8 keep no level open."""
    namespace = world.namespace()
    world.exception(namespace, seconds=20, onExpiry="Report").expect(201)
    world.until("it is relaxed", lambda: world.labels(namespace)[PSA] == "privileged")
    attacker, path = tenant(world, namespace), f"/api/v1/namespaces/{namespace}"
    conditions = [{"type": f"T{number}", "status": "True", "message": "x" * 30_000} for number in range(40)]
    for limit, change in (
        ("200 labels", {"metadata": {"labels": objects.LONGEST}}),
        ("500 annotations", {"metadata": {"annotations": objects.smallest(600)}}),
        ("metadata.finalizers", {"metadata": {"finalizers": objects.FINALIZERS}}),
        ("50 ownerReferences", {"metadata": {"ownerReferences": objects.OWNERS}}),
        ("50,000 characters", {"metadata": {"ownerReferences": [{**objects.OWNERS[0], "name": "x" * 900_000}]}}),
        ("200,000 characters", {"status": {"conditions": conditions}}),
    ):
        refused(attacker.patch(path + ("/status" if "status" in change else ""), change), "namespace-size", limit)
    patch = {"metadata": {"annotations": {"bytes": objects.MARKER}}}
    attacker.patch(path, patch).expect(200)
    with pytest.raises(AssertionError, match="namespace-size: annotations of a Namespace must be UTF-8"):
        objects.spoil(attacker, path)
    objects.spoil(world.admin, path)
    world.until("the level is back", lambda: world.labels(namespace)[PSA] == "baseline")
    world.until("the grant is gone", lambda: world.grants(namespace) == {})


# -- the operator's own namespaces -------------------------------------------------------------------------------------

OWN = (SYSTEM_NAMESPACE, *PREVIEW_NAMESPACES)
OWN_ATTACKERS: dict[str, Callable[[World, str], api.Api]] = {"a creator": _editor, "a tenant": tenant}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("actor", OWN_ATTACKERS)
def test_nobody_deletes_a_namespace_of_the_operator(world: World, actor: str, name: str) -> None:
    """A19: Neither a creator nor a tenant deletes such a namespace, not even through an owner that does not exist."""
    attacker, path = OWN_ATTACKERS[actor](world, name), f"/api/v1/namespaces/{name}"
    metadata_before = world.metadata(name)
    refused(attacker.delete(f"{path}?dryRun=All"), "own-namespaces", f'got DELETE of namespace "{name}"')
    for options in (None, {"gracePeriodSeconds": 0}, {"propagationPolicy": "Orphan"}):
        refused(attacker.delete(path, options), "own-namespaces")
    assert attacker.delete("/api/v1/namespaces").status in {403, 405}
    owners = [{**objects.OWNERS[0], "apiVersion": "v1", "kind": "Namespace", "name": "nowhere"}]
    current = world.admin.get(path).expect(200).body
    for subresource in ("", "/status"):
        for _, answer in writes(attacker, path + subresource, current, ("metadata", "ownerReferences"), owners):
            refused(answer, "own-namespaces", "to change the ownerReferences")
    metadata_after = world.metadata(name)
    assert (metadata_after["uid"], metadata_after.get("ownerReferences")) == (metadata_before["uid"], None)
    assert "deletionTimestamp" not in metadata_after


def test_a_creator_does_not_delete_the_ledger(world: World) -> None:
    """A19: `kubectl delete namespace hostnetwork-system` is refused, and existing grants end in time."""
    namespace = world.namespace()
    world.granted_pod(namespace, seconds=30)
    verbs = ["get", "list", "watch", "create", "update", "patch", "delete"]
    creator = holders_kubeconfig(world, "creator", {"apiGroups": [""], "resources": ["namespaces"], "verbs": verbs})
    dry_run = ("--dry-run=server",)
    for flags in (dry_run, ("--wait=false",), ("--now", "--wait=false"), ("--force", "--wait=false")):
        completed = world.cluster.kubectl("delete", "namespace", *OWN, *flags, user=creator)
        assert completed.stderr.count("own-namespaces: ") == len(OWN), completed.stdout + completed.stderr
        assert completed.stderr.count("(Forbidden)") == len(OWN)
    world.until("the pod is deleted", lambda: world.is_deleted(namespace), 60)
    world.until("the level is back", lambda: world.labels(namespace)[PSA] == "baseline")
    assert world.grants(namespace) == {}
    body = {"metadata": {"name": "hostnetwork-system"}}
    refused(world.cluster.api(creator).post("/api/v1/namespaces?dryRun=All", body), "own-namespaces", "CREATE")


@pytest.mark.parametrize("listed", ["by name", "by rule"])
def test_no_creator_makes_a_namespace_that_is_let_off(world: World, listed: str) -> None:
    """A28: Only a holder of setlevel can create a namespace by a name that the policy exempts; it is exempt then."""
    spec_before = world.admin.get(POLICY).expect(200).body["spec"]
    name = f"let-off-{listed.replace(' ', '-')}"
    rule = {"selector": {"matchLabels": {"kubernetes.io/metadata.name": name}}, "mode": "Audit"}
    change: dict[str, Any] = {"rules": [rule, *(spec_before.get("rules") or [])]}
    if listed == "by name":
        change = {"exemptNamespaces": [*spec_before["exemptNamespaces"], name]}
    world.admin.patch(POLICY, {"spec": change}).expect(200)
    creator = holder(world, "creator-of-names", {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create"]})
    body = {"metadata": {"name": name}}
    try:
        dry_run_path = "/api/v1/namespaces?dryRun=All"
        world.until("the API server has seen it", lambda: creator.post(dry_run_path, body).status == 403)
        refused(
            creator.post("/api/v1/namespaces", body), "exempt-names", name, "needs the cluster-wide verb setlevel on"
        )
        creator.post(dry_run_path, {"metadata": {"name": f"{name}-2"}}).expect(201)
        world.admin.post("/api/v1/namespaces", body).expect(201)
    finally:
        world.admin.patch(POLICY, {"spec": {key: spec_before.get(key) for key in change}}).expect(200)


@pytest.mark.parametrize("level", FROM_LOOSE)
def test_no_creator_pins_an_old_version(world: World, level: str) -> None:
    """A32: The operator soon replaces a version from before most controls, beside any level and by any creator."""
    version = f"{PSA}-version"
    verbs = ["get", "create", "update", "patch"]
    creator = holder(world, "creator-of-levels", {"apiGroups": [""], "resources": ["namespaces"], "verbs": verbs})
    for number, client in enumerate((creator, world.admin)):
        name = f"pinned-{level}-{number}"
        body = {"metadata": {"name": name, "labels": {PSA: level, version: "v1.0"}}}
        answer = client.post("/api/v1/namespaces", body).expect(201)
        if client is creator and binary.release().has("1.36"):
            assert "overridden-at-birth: a looser value" in answer.warnings[0]
            assert f'on namespace "{name}" label ' in answer.warnings[0]
            assert answer.body["metadata"]["labels"][version] == "latest"
        world.until("it is as the policy says", lambda name=name: world.labels(name).get(version) == "latest")
        expected = max(level, "baseline", key=FROM_LOOSE.index)
        world.until("its level too", lambda name=name, expected=expected: world.labels(name).get(PSA) == expected)
        later_answer = creator.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {version: "v1.0"}}})
        refused(later_answer, "namespace-labels")


@pytest.mark.alone
def test_many_exceptions_hold_up_no_neighbour(world: World) -> None:
    """A31: Next to a namespace with 520 exceptions a pod is deleted in time; only the 500 oldest are judged."""
    crowded_namespace, neighbour = world.namespace(), world.namespace()
    world.granted_pod(neighbour, seconds=60)
    exception = f"{world.exceptions(neighbour)}/capture"
    expiry = datetime.datetime.fromisoformat(world.admin.get(exception).body["spec"]["expiry"])
    names = [f"crowd-{number:03}" for number in range(520)]
    agent_fields = {"type": "Infrastructure", "contact": "net@example.com", "serviceAccountName": "agent"}
    pinned = {"images": [f"registry.example.com/agent@sha256:{'0' * 64}"], "ticket": None, "expiry": None}
    for name in names:
        world.exception(crowded_namespace, name, **agent_fields, **pinned).expect(201)
    world.until("it is deleted", lambda: deletions(world, neighbour), 120)
    deleted_at = datetime.datetime.fromisoformat(deletions(world, neighbour)[0]["requestReceivedTimestamp"])
    assert expiry <= deleted_at <= expiry + datetime.timedelta(seconds=5)

    def ready_reasons() -> dict[str, str]:
        exceptions = world.admin.items(world.exceptions(crowded_namespace))
        return {body["metadata"]["name"]: _ready(body) for body in exceptions}

    world.until("each is judged or not", lambda: "" not in ready_reasons().values(), 120)
    assert sum(reason == "TooMany" for reason in ready_reasons().values()) == 20
    for name in names[:40]:
        world.admin.delete(f"{world.exceptions(crowded_namespace)}/{name}").expect(200)
    world.until("the others have room", lambda: "TooMany" not in ready_reasons().values(), 60)


def _ready(body: dict[str, Any]) -> str:
    conditions = body.get("status", {}).get("conditions", [])
    return next((str(condition["reason"]) for condition in conditions if condition["type"] == "Ready"), "")


TIGHTENED: dict[str, tuple[str, str]] = {
    "hostnetwork-preview-baseline": ("pod-security.kubernetes.io/warn", "restricted"),
    "hostnetwork-preview-restricted": ("pod-security.kubernetes.io/enforce", "restricted"),
}


@pytest.mark.parametrize("name", TIGHTENED)
@pytest.mark.parametrize("actor", OWN_ATTACKERS)
def test_nobody_labels_a_preview_namespace(world: World, actor: str, name: str) -> None:
    """A20: Neither attacker changes a Pod Security label there, by any verb or subresource, even to tighten it."""
    attacker, path = OWN_ATTACKERS[actor](world, name), f"/api/v1/namespaces/{name}"
    label, value = TIGHTENED[name]
    current = world.admin.get(path).expect(200).body
    for subresource in SUBRESOURCES:
        attempts = 0
        for _, answer in writes(attacker, path + subresource, current, ("metadata", "labels", label), value):
            if answer.status in {404, 405} and subresource == "/finalize":
                continue  # finalize can only be replaced
            attempts += 1
            if subresource == "/finalize":  # namespace-labels refuses this too
                refused(answer, ("own-namespaces", "namespace-labels"))
            else:
                refused(answer, "own-namespaces", label, f'to "{value}"')
        assert attempts
    assert world.labels(name) == current["metadata"]["labels"]
    attacker.patch(f"{path}?dryRun=All", {"metadata": {"labels": {"team": "a"}}}).expect(200)


def test_a_creator_does_not_silence_the_gate(world: World) -> None:
    """A20: After every attempt on the preview namespaces, the operator enforces a namespace with a pod in it."""
    spec_before = world.admin.get(POLICY).expect(200).body["spec"]
    rules = [{"selector": {"matchLabels": {KEPT: "audit"}}, "mode": "Audit"}]
    world.admin.patch(POLICY, {"spec": {"rules": [*rules, *(spec_before.get("rules") or [])]}}).expect(200)
    try:
        namespace = world.namespace(deny=False, labels={KEPT: "audit"})
        world.until("Audit", lambda: world.labels(namespace).get(f"{LABEL}/enforcement") == "Audit")
        world.admin.post(world.pods(namespace), pod("ordinary")).expect(201)
        creator = _editor(world, namespace)
        for name in PREVIEW_NAMESPACES:
            for label, value in (("warn", "restricted"), ("audit", "restricted"), ("enforce", "restricted")):
                change = {"metadata": {"labels": {f"pod-security.kubernetes.io/{label}": value}}}
                if world.labels(name).get(f"pod-security.kubernetes.io/{label}") != value:
                    refused(creator.patch(f"/api/v1/namespaces/{name}", change), "own-namespaces")
    finally:
        world.admin.patch(POLICY, {"spec": {"rules": spec_before.get("rules")}}).expect(200)
    world.until("it is enforced", lambda: world.labels(namespace).get(f"{LABEL}/enforcement") == "Deny", 90)
    refused(tenant(world, namespace).post(world.pods(namespace), pod(hostNetwork=True)), "PSA")


# -- T3: forging -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["theirs", "mine"])
def test_a_grant_is_not_forged(world: World, relaxed: str, attacker: api.Api, name: str) -> None:
    """T3: No verb and no subresource changes or removes a grant in force, or copies it under another name."""
    line = world.grants(relaxed)["theirs"].replace("|agent|", "|default|")
    assert "|default|" in line
    _assert_writes_refused(world, attacker, relaxed, ("metadata", "annotations", GRANT + name), line)
    if name == "theirs":
        _assert_writes_refused(world, attacker, relaxed, ("metadata", "annotations", GRANT + name), None)
    refused(post_host_pod(world, relaxed), POD_GUARDS)


def post_host_pod(world: World, namespace: str) -> api.Response:
    """Return the answer to a pod that the forged grant would admit."""
    return tenant(world, namespace).post(world.pods(namespace), pod(hostNetwork=True))


def test_no_namespace_is_born_with_a_grant(world: World, relaxed: str) -> None:
    """T3: A user who may create namespaces creates none with a grant, a guard or enforcement of their own."""
    editor = _editor(world, relaxed)
    line = world.grants(relaxed)["theirs"]
    fields_by_refusal: dict[str, dict[str, str]] = {
        f"annotation {GRANT}mine": {"annotations": {GRANT + "mine": line}},  # type: ignore[dict-item]
        f"label {LABEL}/guard": {"labels": {f"{LABEL}/guard": "privileged"}},  # type: ignore[dict-item]
        f"label {LABEL}/enforcement": {"labels": {f"{LABEL}/enforcement": "Audit"}},  # type: ignore[dict-item]
        f"annotation {LABEL}/level-before": {
            "annotations": {f"{LABEL}/level-before": "privileged"}  # type: ignore[dict-item]
        },
    }
    for text, fields in fields_by_refusal.items():
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "born", **fields}}
        for answer in (
            editor.post("/api/v1/namespaces", body),
            editor.post("/api/v1/namespaces?dryRun=All", body),
            editor.apply("/api/v1/namespaces/born", body, "me", force=True),
            editor.post("/api/v1/namespaces", {**body, "metadata": {"generateName": "born-", **fields}}),
        ):
            refused(answer, "namespace-labels", text)
    assert world.admin.get("/api/v1/namespaces/born").status == 404
    plain_body = {"metadata": {"name": "born", "labels": {"team": "a"}}}
    editor.post("/api/v1/namespaces?dryRun=All", plain_body).expect(201)


def test_a_grant_that_nobody_may_write_is_taken_away(world: World, relaxed: str) -> None:
    """T3: A grant that an administrator copied from elsewhere admits nothing, and the operator removes it."""
    namespace = world.namespace()
    line = world.grants(relaxed)["theirs"].replace("|agent|", "|default|")
    path = f"/api/v1/namespaces/{namespace}"
    world.admin.patch(path, {"metadata": {"annotations": {GRANT + "copied": line}}}).expect(200)
    refused(post_host_pod(world, namespace), "PSA")
    world.until("it is taken away", lambda: world.grants(namespace) == {})
    forged_line = line.replace(line.split("|")[0], world.metadata(namespace)["uid"])
    world.admin.patch(path, {"metadata": {"annotations": {GRANT + "forged": forged_line}}}).expect(200)
    world.until("so is one with the right uid", lambda: world.grants(namespace) == {})
    assert world.labels(namespace)[PSA] == "baseline"


# -- a Namespace that enforcement does not reach -----------------------------------------------------------------------


def test_a_namespace_of_this_second_is_judged(world: World) -> None:
    """CVE-2025-46342: A pod that comes before caches know its new Namespace is judged by the Namespace's labels."""
    rules = [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create"]}]
    rules.append({"apiGroups": [LABEL], "resources": ["namespaces"], "verbs": ["setlevel"]})
    creator = holder(world, "namespace-creator", *rules)
    for number in range(10):
        name = f"brand-new-{number}"
        body = {"metadata": {"name": name, "labels": {f"{LABEL}/enforcement": "Deny"}}}
        creator.post("/api/v1/namespaces", body).expect(201)
        answer = world.admin.post(world.pods(name), pod(hostIPC=True))
        while "serviceaccount" in answer.message:  # a new namespace gets its account within milliseconds
            answer = world.admin.post(world.pods(name), pod(hostIPC=True))
        refused(answer, ("host-namespaces", "PSA"))


def test_a_rule_by_a_guarded_label_is_not_for_tenants(world: World, agents_namespace: str) -> None:
    """A6: No tenant writes a label under our prefix by which a rule selects."""
    namespace = world.namespace()
    refused(
        tenant(world, namespace).patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {KEPT: "agents"}}}),
        "namespace-labels",
        KEPT,
    )
    assert world.labels(namespace)[PSA] == "baseline"


def test_a_rule_by_a_free_label_is_warned_of_and_leaving_it_is_told(world: World) -> None:
    """A6: The author of a rule that a tenant's label can trigger is warned; when a tenant does so, an Event says so."""
    spec_before = world.admin.get(POLICY).expect(200).body["spec"]
    rules = [{"selector": {"matchLabels": {"wave": "later"}}, "mode": "Audit"}]
    answer = world.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
    assert (
        "rule-selectors: spec.rules select by label wave, which any user who may write a Namespace can"
        in answer.warnings[0]
    )
    try:
        namespace = world.namespace()
        attacker = tenant(world, namespace)
        attacker.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"wave": "later"}}}).expect(200)
        event = ("Namespace", namespace, "EnforcementAudit")
        world.until("it is told", lambda: event in world.events(namespace))
    finally:
        world.admin.patch(POLICY, {"spec": {"rules": spec_before.get("rules")}}).expect(200)


def test_no_tenant_writes_so_much_that_enforcement_finds_no_room(world: World) -> None:
    """A7: Annotations up to their limit, written while a namespace is in Audit, do not prevent Enforce."""
    spec_before = world.admin.get(POLICY).expect(200).body["spec"]
    rules = [{"selector": {"matchLabels": {f"{LABEL}/wave": "later"}}, "mode": "Audit"}]
    world.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
    try:
        namespace = world.namespace(deny=False, labels={f"{LABEL}/wave": "later"})
        enforcement = f"{LABEL}/enforcement"
        world.until("in Audit", lambda: world.labels(namespace).get(enforcement) == "Audit")
        path = f"/api/v1/namespaces/{namespace}"
        attacker = tenant(world, namespace)
        for size in (2**power for power in reversed(range(18))):
            attacker.patch(path, {"metadata": {"annotations": {f"a/{size}": "x" * size}}})
        world.admin.patch(path, {"metadata": {"labels": {f"{LABEL}/wave": None}}}).expect(200)
        refusals = "hostnetwork_namespace_writes_total{"
        world.until(
            "enforced or shown",
            lambda: (
                world.labels(namespace).get(enforcement) == "Deny"
                or any(
                    line.startswith(refusals) and 'outcome="invalid"' in line
                    for line in world.operator.metrics().splitlines()
                )
            ),
        )
        assert world.labels(namespace).get(enforcement) == "Deny"
    finally:
        world.admin.patch(POLICY, {"spec": {"rules": spec_before.get("rules")}}).expect(200)


# -- /finalize ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_deleted", [False, True], ids=["living", "going"])
def test_no_tenant_finalizes(world: World, is_deleted: bool) -> None:
    """A2: Only the namespace controller may empty the finalizers, because that would leave pods running."""
    namespace = world.namespace()
    attacker = tenant(world, namespace)
    path = f"/api/v1/namespaces/{namespace}"
    config_map = {"metadata": {"name": "hold", "finalizers": ["example.com/hold"]}}
    attacker.post(f"{path}/configmaps", config_map).expect(201)
    if is_deleted:
        attacker.delete(path).expect(200)
    body = world.admin.get(path).body
    body["spec"]["finalizers"] = []
    for client in (attacker, _editor(world, namespace)):
        refused(client.put(f"{path}/finalize", body), "namespace-labels", "only the namespace controller may write")
    attacker.delete(path)
    attacker.patch(f"{path}/configmaps/hold", {"metadata": {"finalizers": None}}).expect(200)
    world.until("it goes all the same", lambda: world.admin.get(path).status == 404, 60)


def test_what_a_finalized_namespace_leaves_is_worth_nothing(world: World) -> None:
    """A2: After an authorized finalize the exception reappears in the next namespace of that name, and grants nothing.

    A user with `approve` brings it into force by changing its spec.
    """
    namespace = world.namespace()
    world.granted_pod(namespace)
    path = f"/api/v1/namespaces/{namespace}"
    uid = world.metadata(namespace)["uid"]
    config_map = {"metadata": {"name": "hold", "finalizers": ["example.com/hold"]}}
    world.admin.post(f"{path}/configmaps", config_map).expect(201)
    # First the finalizers, then the deletion, so that the namespace controller does nothing in between.
    body = world.admin.get(path).body
    body["spec"]["finalizers"] = []
    world.admin.put(f"{path}/finalize", body).expect(200)
    world.admin.delete(path).expect(200)
    world.admin.delete(path).expect(200, 409)  # the first marks it, the second removes it
    world.until("it is gone", lambda: world.admin.get(path).status == 404)
    world.admin.post("/api/v1/namespaces", {"metadata": {"name": namespace}}).expect(201)
    assert world.metadata(namespace)["uid"] != uid
    assert host_pods(world, namespace) == ["capture"]
    world.until("judged anew", lambda: world.ready(namespace) == "NotApproved")
    world.until("the pod is flagged", lambda: world.verdict(namespace, "capture") == "Uncovered")
    assert world.grants(namespace) == {}
    world.admin.patch(f"{world.exceptions(namespace)}/capture", {"metadata": {"labels": {"a": "b"}}}).expect(200)
    assert world.ready(namespace) == "NotApproved"
    reviewed = {"spec": {"review": {"time": world.time()}}}
    world.admin.patch(f"{world.exceptions(namespace)}/capture", reviewed).expect(200)
    world.until("approved", lambda: world.ready(namespace) == "Active")
    world.admin.patch(f"{path}/configmaps/hold", {"metadata": {"finalizers": None}}).expect(200)


# -- the honest neighbours ---------------------------------------------------------------------------------------------


def test_twenty_namespaces_go_with_the_operator_down(world: World) -> None:
    """T19: Tenants delete namespaces with exceptions, grants and covered pods while the operator is dead."""
    names = [world.namespace() for _ in range(20)]
    for name in names:
        lift(world, name)
        body = pod("agent", hostNetwork=True, serviceAccountName="agent", terminationGracePeriodSeconds=0)
        world.admin.post(world.pods(name), body).expect(201)
    world.operator.kill()
    try:
        for name in names:
            tenant(world, name).delete(f"/api/v1/namespaces/{name}").expect(200)
        paths = {f"/api/v1/namespaces/{name}" for name in names}
        world.until("all gone", lambda: all(world.admin.get(path).status == 404 for path in paths), 60)
    finally:
        world.operator.start()


@pytest.mark.parametrize("flags", [[], ["--server-side", "--force-conflicts"]], ids=["client-side", "server-side"])
def test_a_chart_is_applied_again_without_a_change(world: World, flags: list[str]) -> None:
    """T2, honest: A Helm-like apply of a Namespace with its own labels and a workload passes, and again, unchanged.

    The operator's labels on the Namespace are neither contested nor removed.
    """
    namespace = world.namespace(labels={"team": "payments"})
    lift(world, namespace)
    labels_before = world.labels(namespace)
    helm_labels = {"app.kubernetes.io/managed-by": "Helm"}
    namespace_body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": namespace, "labels": {**helm_labels, "a": "b"}},
    }
    deployment = workload("Deployment", "agent", hostNetwork=True, serviceAccountName="agent")
    bodies: list[dict[str, Any]] = [namespace_body, deployment, workload("CronJob", "plain")]
    for body in bodies[1:]:
        body["metadata"] |= {"namespace": namespace, "labels": helm_labels}
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies})
    user = world.cluster.tenant(namespace)
    for is_second in (False, True):
        completed = world.cluster.kubectl("apply", *flags, "-f", "-", user=user, stdin=text)
        assert completed.returncode == 0, completed.stderr
        if is_second and not flags:
            assert completed.stdout.count("unchanged") == 3, completed.stdout
        world.until("its pod runs", lambda: host_pods(world, namespace))
    assert {**labels_before, **namespace_body["metadata"]["labels"]} == world.labels(namespace)  # type: ignore[index]
    assert set(world.grants(namespace)) == {"theirs"}
    versions = [
        world.admin.get(f"{workloads(namespace, 'Deployment')}/agent").body["metadata"]["generation"],
        len(host_pods(world, namespace)),
    ]
    assert versions == [1, 1]


def test_a_namespaces_own_labels_are_free(world: World, relaxed: str) -> None:
    """T2, honest: A tenant adds, changes and removes labels and annotations of their own by every verb."""
    attacker = tenant(world, relaxed)
    path = f"/api/v1/namespaces/{relaxed}"
    for value in ("a", "b", None):
        for subresource in ("", "/status"):
            for field in ("labels", "annotations"):
                for method, answer in writes(
                    attacker, path + subresource, world.admin.get(path).body, ("metadata", field, "team"), value
                ):
                    assert answer.status == 200 or (method == "JSON patch" and value is None) or answer.status == 409, (
                        f"{method}: {answer.status} {refuser(answer)}"
                    )
