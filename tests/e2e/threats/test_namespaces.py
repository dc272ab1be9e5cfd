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
def attacker(request: pytest.FixtureRequest, attacked: World, relaxed: str) -> api.Api:
    """A client that may write that Namespace, without the verb setlevel."""
    return ACTORS[request.param](attacked, relaxed)


def _attempts(world: World, client: api.Api, namespace: str, at: tuple[str, ...], value: str | None) -> None:
    """Write one label or annotation in every way through every subresource, and assert that each write is refused."""
    path = f"/api/v1/namespaces/{namespace}"
    before = world.metadata(namespace)
    for subresource in SUBRESOURCES:
        seen = world.admin.get(path).expect(200).body
        tried = 0
        for way, answer in writes(client, path + subresource, seen, at, value):
            if answer.status in {404, 405} and subresource == "/finalize":
                continue  # finalize can only be replaced
            tried += 1
            by = ("namespace-labels", "validation") if value == "nonsense" else ("namespace-labels",)
            try:
                refused(answer, by)
            except AssertionError as error:
                raise AssertionError(f"{way} through {subresource or 'the namespace'}: {error}") from error
        assert tried
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
    attacked: World, relaxed: str, attacker: api.Api, label: str, value: str | None
) -> None:
    """T2: In a relaxed namespace no verb and no subresource changes a level, version, guard or enforcement."""
    _attempts(attacked, attacker, relaxed, ("metadata", "labels", label), value)


@pytest.mark.parametrize("value", ["privileged", None])
def test_an_enforced_level_is_not_loosened(attacked: World, enforced: str, value: str | None) -> None:
    """T2: Where Baseline is enforced, a tenant can neither set privileged nor remove the level, but may tighten it."""
    attacker = tenant(attacked, enforced)
    _attempts(attacked, attacker, enforced, ("metadata", "labels", PSA), value)
    refused(attacker.post(attacked.pods(enforced), pod(hostPID=True)), "PSA")
    stricter = {"metadata": {"labels": {PSA: "restricted"}}}
    for subresource in ("", "/status"):
        attacker.patch(f"/api/v1/namespaces/{enforced}{subresource}?dryRun=All", stricter).expect(200)


def test_a_namespace_is_not_made_anew(attacked: World, enforced: str) -> None:
    """T2: A tenant gets no other Namespace by replacing, creating or deleting collections of namespaces."""
    attacker = tenant(attacked, enforced)
    body = {"metadata": {"name": enforced, "labels": {PSA: "privileged"}}}
    refused(attacker.post("/api/v1/namespaces", {"metadata": {"name": "another"}}), "RBAC")
    seen = attacked.admin.get(f"/api/v1/namespaces/{enforced}").body
    whole = {**seen, "metadata": {**seen["metadata"], "labels": {}, "annotations": {}}}
    refused(attacker.put(f"/api/v1/namespaces/{enforced}", whole), "namespace-labels")
    applied = {"apiVersion": "v1", "kind": "Namespace", **body}
    refused(attacker.apply(f"/api/v1/namespaces/{enforced}", applied, "me", force=True), "namespace-labels")
    assert attacker.delete("/api/v1/namespaces").status in {403, 405}


def test_a_tenant_who_shares_a_label_keeps_nothing_open(attacked: World) -> None:
    """T2, A3: A tenant who applies the relaxed level and the grant becomes their co-owner; both end all the same."""
    namespace = attacked.namespace()
    lift(attacked, namespace, seconds=8, onExpiry="Report")
    metadata = attacked.metadata(namespace)
    ours = {key: value for key, value in metadata["labels"].items() if "pod-security" in key or LABEL in key}
    grants = {key: value for key, value in metadata["annotations"].items() if key.startswith(GRANT)}
    assert grants
    identity = {"apiVersion": "v1", "kind": "Namespace"}
    applied = {**identity, "metadata": {"name": namespace, "labels": ours, "annotations": grants}}
    path = f"/api/v1/namespaces/{namespace}"
    tenant(attacked, namespace).apply(path, applied, "me").expect(200)
    attacked.until("it is restored", lambda: attacked.labels(namespace)[PSA] == "baseline")
    attacked.until("the grant is gone", lambda: attacked.grants(namespace) == {})
    again = tenant(attacked, namespace).apply(path, applied, "me", force=True)
    refused(again, "namespace-labels")
    refused(attacked.pod(namespace, dry_run=True, serviceAccountName="agent"), (*POD_GUARDS, "PSA"))


FORCED: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "a looser level": ({}, {PSA: "privileged"}),
    "its last own label left out": ({"team": "a"}, {}),
    "another enforcement": ({"team": "a"}, {"team": "a", f"{LABEL}/enforcement": "Audit"}),
}


@pytest.mark.parametrize("change", FORCED)
def test_a_forced_apply_deletes_no_namespace(attacked: World, change: str) -> None:
    """T2: `kubectl apply --force` by a user who may delete namespaces stops at the refusal; uid and content stay.

    kubectl treats a 422 as an immutable field: it deletes the namespace with its content and creates it again.
    """
    deployer = _deployer(attacked)
    name = f"forced-{list(FORCED).index(change)}"

    def apply(labels: dict[str, str], *flags: str) -> subprocess.CompletedProcess[str]:
        metadata = {"name": name, **({"labels": labels} if labels else {})}
        text = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        return attacked.cluster.kubectl("apply", *flags, "-f", "-", user=deployer, stdin=text)

    first, second = FORCED[change]
    assert apply(first).returncode == 0
    content = f"/api/v1/namespaces/{name}/configmaps"
    attacked.cluster.api(deployer).post(content, {"metadata": {"name": "data"}, "data": {"a": "b"}}).expect(201)
    uid = attacked.metadata(name)["uid"]
    before = attacked.labels(name)
    done = apply(second, "--force", "--timeout=60s")
    if not second and binary.release().has("1.36"):  # labels-kept restores our labels
        assert done.returncode == 0, done.stderr
        assert attacked.labels(name) == {key: text for key, text in before.items() if key not in first}
    else:
        assert done.returncode != 0, done.stdout
        assert "namespace-labels: " in done.stderr
        assert "(Forbidden)" in done.stderr
    assert attacked.metadata(name)["uid"] == uid
    attacked.admin.get(f"{content}/data").expect(200)


def _deployer(world: World) -> pathlib.Path:
    """Return the kubeconfig of a user who rolls out namespaces and their content, and may delete both."""
    verbs = ["get", "list", "watch", "create", "update", "patch", "delete"]
    rule = {"apiGroups": [""], "resources": ["namespaces", "pods", "configmaps"], "verbs": verbs}
    return holders_kubeconfig(world, "deployer", rule)


@pytest.mark.alone
def test_a_tenant_who_fills_his_namespace_gains_nothing(attacked: World) -> None:
    """T2: 88,000 annotations hide no grant, let no forced apply delete the namespace, and keep no level open.

    namespace-size no longer lets a tenant write them, but they may be older than that policy.
    """
    namespace = attacked.namespace()
    attacked.exception(namespace, seconds=40, onExpiry="Report").expect(201)
    attacked.until("it is relaxed", lambda: attacked.labels(namespace)[PSA] == "privileged")
    attacker, path = tenant(attacked, namespace), f"/api/v1/namespaces/{namespace}"
    objects.fill(attacked.admin, path, "annotations", objects.smallest(size=objects.ROOM - 1000))
    uid = attacked.metadata(namespace)["uid"]
    note = next(key for key in attacked.metadata(namespace)["annotations"] if "hostnetwork" not in key)
    forged = {"metadata": {"annotations": {f"{GRANT}mine": "x", note: None}}}
    # The patch replaces one annotation by another, so namespace-size does not refuse it. The API server needs half a
    # minute for so large an object on a busy machine.
    refused(attacker.request("PATCH", path, forged, api.MERGE, timeout=120), "namespace-labels", "mine")
    metadata = {"name": namespace, "labels": {f"{LABEL}/enforcement": "Audit"}}
    text = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    words = ("apply", "--force", "--timeout=60s", "-f", "-")
    deployer = _deployer(attacked)
    for _ in range(10):
        done = attacked.cluster.kubectl(*words, user=deployer, stdin=text)
        # A request that takes the API server more than 34 s gets no answer.
        if "Timeout: request did not complete" not in done.stderr:
            break
    assert "(Forbidden)" in done.stderr
    # kubectl adds an annotation of its own, so either policy may answer.
    assert "namespace-labels: " in done.stderr or "namespace-size: " in done.stderr
    assert attacked.metadata(namespace)["uid"] == uid
    attacked.until("the level is back", lambda: attacked.labels(namespace)[PSA] == "baseline")
    attacked.until("the grant is gone", lambda: attacked.grants(namespace) == {})


@pytest.mark.alone
def test_no_tenant_fills_his_namespace_against_the_operator(attacked: World) -> None:
    """A17: A tenant cannot fill the room of the operator's writes; bytes that are not UTF-8 keep no level open."""
    namespace = attacked.namespace()
    attacked.exception(namespace, seconds=20, onExpiry="Report").expect(201)
    attacked.until("it is relaxed", lambda: attacked.labels(namespace)[PSA] == "privileged")
    attacker, path = tenant(attacked, namespace), f"/api/v1/namespaces/{namespace}"
    conditions = [{"type": f"T{number}", "status": "True", "message": "x" * 30_000} for number in range(40)]
    for what, change in (
        ("200 labels", {"metadata": {"labels": objects.LONGEST}}),
        ("500 annotations", {"metadata": {"annotations": objects.smallest(600)}}),
        ("metadata.finalizers", {"metadata": {"finalizers": objects.FINALIZERS}}),
        ("50 ownerReferences", {"metadata": {"ownerReferences": objects.OWNERS}}),
        ("50,000 characters", {"metadata": {"ownerReferences": [{**objects.OWNERS[0], "name": "x" * 900_000}]}}),
        ("200,000 characters", {"status": {"conditions": conditions}}),
    ):
        refused(attacker.patch(path + ("/status" if "status" in change else ""), change), "namespace-size", what)
    notes = {"metadata": {"annotations": {"bytes": objects.MARKER}}}
    attacker.patch(path, notes).expect(200)
    with pytest.raises(AssertionError, match="namespace-size: annotations of a Namespace must be UTF-8"):
        objects.spoil(attacker, path)
    objects.spoil(attacked.admin, path)
    attacked.until("the level is back", lambda: attacked.labels(namespace)[PSA] == "baseline")
    attacked.until("the grant is gone", lambda: attacked.grants(namespace) == {})


# -- the operator's own namespaces -------------------------------------------------------------------------------------

OWN = (SYSTEM_NAMESPACE, *PREVIEW_NAMESPACES)
OWN_ATTACKERS: dict[str, Callable[[World, str], api.Api]] = {"a creator": _editor, "a tenant": tenant}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("who", OWN_ATTACKERS)
def test_nobody_deletes_a_namespace_of_the_operator(attacked: World, who: str, name: str) -> None:
    """A19: Neither a creator nor a tenant deletes such a namespace, not even through an owner that does not exist."""
    attacker, path = OWN_ATTACKERS[who](attacked, name), f"/api/v1/namespaces/{name}"
    before = attacked.metadata(name)
    refused(attacker.delete(f"{path}?dryRun=All"), "own-namespaces", f'got DELETE of namespace "{name}"')
    for options in (None, {"gracePeriodSeconds": 0}, {"propagationPolicy": "Orphan"}):
        refused(attacker.delete(path, options), "own-namespaces")
    assert attacker.delete("/api/v1/namespaces").status in {403, 405}
    owners = [{**objects.OWNERS[0], "apiVersion": "v1", "kind": "Namespace", "name": "nowhere"}]
    seen = attacked.admin.get(path).expect(200).body
    for subresource in ("", "/status"):
        for _, answer in writes(attacker, path + subresource, seen, ("metadata", "ownerReferences"), owners):
            refused(answer, "own-namespaces", "to change the ownerReferences")
    after = attacked.metadata(name)
    assert (after["uid"], after.get("ownerReferences")) == (before["uid"], None)
    assert "deletionTimestamp" not in after


def test_a_creator_does_not_delete_the_ledger(attacked: World) -> None:
    """A19: `kubectl delete namespace hostnetwork-system` is refused, and existing grants end in time."""
    namespace = attacked.namespace()
    attacked.granted_pod(namespace, seconds=30)
    verbs = ["get", "list", "watch", "create", "update", "patch", "delete"]
    creator = holders_kubeconfig(attacked, "creator", {"apiGroups": [""], "resources": ["namespaces"], "verbs": verbs})
    dry = ("--dry-run=server",)
    for flags in (dry, ("--wait=false",), ("--now", "--wait=false"), ("--force", "--wait=false")):
        done = attacked.cluster.kubectl("delete", "namespace", *OWN, *flags, user=creator)
        assert done.stderr.count("own-namespaces: ") == len(OWN), done.stdout + done.stderr
        assert done.stderr.count("(Forbidden)") == len(OWN)
    attacked.until("the pod is deleted", lambda: attacked.is_deleted(namespace), 60)
    attacked.until("the level is back", lambda: attacked.labels(namespace)[PSA] == "baseline")
    assert attacked.grants(namespace) == {}
    body = {"metadata": {"name": "hostnetwork-system"}}
    refused(attacked.cluster.api(creator).post("/api/v1/namespaces?dryRun=All", body), "own-namespaces", "CREATE")


@pytest.mark.parametrize("listed", ["by name", "by rule"])
def test_no_creator_makes_a_namespace_that_is_let_off(attacked: World, listed: str) -> None:
    """A28: Only a holder of setlevel can create a namespace by a name that the policy exempts; it is exempt then."""
    before = attacked.admin.get(POLICY).expect(200).body["spec"]
    name = f"let-off-{listed.replace(' ', '-')}"
    rule = {"selector": {"matchLabels": {"kubernetes.io/metadata.name": name}}, "mode": "Audit"}
    change: dict[str, Any] = {"rules": [rule, *(before.get("rules") or [])]}
    if listed == "by name":
        change = {"exemptNamespaces": [*before["exemptNamespaces"], name]}
    attacked.admin.patch(POLICY, {"spec": change}).expect(200)
    creator = holder(
        attacked, "creator-of-names", {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create"]}
    )
    body = {"metadata": {"name": name}}
    try:
        dry = "/api/v1/namespaces?dryRun=All"
        attacked.until("the API server has seen it", lambda: creator.post(dry, body).status == 403)
        refused(
            creator.post("/api/v1/namespaces", body), "exempt-names", name, "needs the cluster-wide verb setlevel on"
        )
        creator.post(dry, {"metadata": {"name": f"{name}-2"}}).expect(201)
        attacked.admin.post("/api/v1/namespaces", body).expect(201)
    finally:
        attacked.admin.patch(POLICY, {"spec": {key: before.get(key) for key in change}}).expect(200)


@pytest.mark.parametrize("level", FROM_LOOSE)
def test_no_creator_pins_an_old_version(attacked: World, level: str) -> None:
    """A32: The operator soon replaces a version from before most controls, beside any level and by any creator."""
    version = f"{PSA}-version"
    verbs = ["get", "create", "update", "patch"]
    creator = holder(attacked, "creator-of-levels", {"apiGroups": [""], "resources": ["namespaces"], "verbs": verbs})
    for number, who in enumerate((creator, attacked.admin)):
        name = f"pinned-{level}-{number}"
        body = {"metadata": {"name": name, "labels": {PSA: level, version: "v1.0"}}}
        made = who.post("/api/v1/namespaces", body).expect(201)
        if who is creator and binary.release().has("1.36"):
            assert "overridden-at-birth: a looser value" in made.warnings[0]
            assert f'on namespace "{name}" label ' in made.warnings[0]
            assert made.body["metadata"]["labels"][version] == "latest"
        attacked.until("it is as the policy says", lambda name=name: attacked.labels(name).get(version) == "latest")
        wanted = max(level, "baseline", key=FROM_LOOSE.index)
        attacked.until("its level too", lambda name=name, wanted=wanted: attacked.labels(name).get(PSA) == wanted)
        again = creator.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {version: "v1.0"}}})
        refused(again, "namespace-labels")


@pytest.mark.alone
def test_many_exceptions_hold_up_no_neighbour(attacked: World) -> None:
    """A31: Next to a namespace with 520 exceptions a pod is deleted in time; only the 500 oldest are judged."""
    crowded, neighbour = attacked.namespace(), attacked.namespace()
    attacked.granted_pod(neighbour, seconds=60)
    exception = f"{attacked.exceptions(neighbour)}/capture"
    ends = datetime.datetime.fromisoformat(attacked.admin.get(exception).body["spec"]["expiry"])
    names = [f"crowd-{number:03}" for number in range(520)]
    of_nobody = {"type": "Infrastructure", "contact": "net@example.com", "serviceAccountName": "agent"}
    pinned = {"images": [f"registry.example.com/agent@sha256:{'0' * 64}"], "ticket": None, "expiry": None}
    for name in names:
        attacked.exception(crowded, name, **of_nobody, **pinned).expect(201)
    attacked.until("it is deleted", lambda: deletions(attacked, neighbour), 120)
    asked = datetime.datetime.fromisoformat(deletions(attacked, neighbour)[0]["requestReceivedTimestamp"])
    assert ends <= asked <= ends + datetime.timedelta(seconds=5)

    def ready() -> dict[str, str]:
        found = attacked.admin.items(attacked.exceptions(crowded))
        return {one["metadata"]["name"]: _ready(one) for one in found}

    attacked.until("each is judged or not", lambda: "" not in ready().values(), 120)
    assert sum(reason == "TooMany" for reason in ready().values()) == 20
    for name in names[:40]:
        attacked.admin.delete(f"{attacked.exceptions(crowded)}/{name}").expect(200)
    attacked.until("the others have room", lambda: "TooMany" not in ready().values(), 60)


def _ready(body: dict[str, Any]) -> str:
    found = body.get("status", {}).get("conditions", [])
    return next((str(one["reason"]) for one in found if one["type"] == "Ready"), "")


TIGHTENED: dict[str, tuple[str, str]] = {
    "hostnetwork-preview-baseline": ("pod-security.kubernetes.io/warn", "restricted"),
    "hostnetwork-preview-restricted": ("pod-security.kubernetes.io/enforce", "restricted"),
}


@pytest.mark.parametrize("name", TIGHTENED)
@pytest.mark.parametrize("who", OWN_ATTACKERS)
def test_nobody_labels_a_preview_namespace(attacked: World, who: str, name: str) -> None:
    """A20: Neither attacker changes a Pod Security label there, by any verb or subresource, even to tighten it."""
    attacker, path = OWN_ATTACKERS[who](attacked, name), f"/api/v1/namespaces/{name}"
    label, value = TIGHTENED[name]
    seen = attacked.admin.get(path).expect(200).body
    for subresource in SUBRESOURCES:
        tried = 0
        for _, answer in writes(attacker, path + subresource, seen, ("metadata", "labels", label), value):
            if answer.status in {404, 405} and subresource == "/finalize":
                continue  # finalize can only be replaced
            tried += 1
            if subresource == "/finalize":  # namespace-labels refuses this too
                refused(answer, ("own-namespaces", "namespace-labels"))
            else:
                refused(answer, "own-namespaces", label, f'to "{value}"')
        assert tried
    assert attacked.labels(name) == seen["metadata"]["labels"]
    attacker.patch(f"{path}?dryRun=All", {"metadata": {"labels": {"team": "a"}}}).expect(200)


def test_a_creator_does_not_silence_the_gate(attacked: World) -> None:
    """A20: After every attempt on the preview namespaces, the operator enforces a namespace with a pod in it."""
    before = attacked.admin.get(POLICY).expect(200).body["spec"]
    rules = [{"selector": {"matchLabels": {KEPT: "audit"}}, "mode": "Audit"}]
    attacked.admin.patch(POLICY, {"spec": {"rules": [*rules, *(before.get("rules") or [])]}}).expect(200)
    try:
        namespace = attacked.namespace(deny=False, labels={KEPT: "audit"})
        attacked.until("Audit", lambda: attacked.labels(namespace).get(f"{LABEL}/enforcement") == "Audit")
        attacked.admin.post(attacked.pods(namespace), pod("ordinary")).expect(201)
        creator = _editor(attacked, namespace)
        for name in PREVIEW_NAMESPACES:
            for label, value in (("warn", "restricted"), ("audit", "restricted"), ("enforce", "restricted")):
                change = {"metadata": {"labels": {f"pod-security.kubernetes.io/{label}": value}}}
                if attacked.labels(name).get(f"pod-security.kubernetes.io/{label}") != value:
                    refused(creator.patch(f"/api/v1/namespaces/{name}", change), "own-namespaces")
    finally:
        attacked.admin.patch(POLICY, {"spec": {"rules": before.get("rules")}}).expect(200)
    attacked.until("it is enforced", lambda: attacked.labels(namespace).get(f"{LABEL}/enforcement") == "Deny", 90)
    refused(tenant(attacked, namespace).post(attacked.pods(namespace), pod(hostNetwork=True)), "PSA")


# -- T3: forging -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["theirs", "mine"])
def test_a_grant_is_not_forged(attacked: World, relaxed: str, attacker: api.Api, name: str) -> None:
    """T3: No verb and no subresource changes or removes a grant in force, or copies it under another name."""
    line = attacked.grants(relaxed)["theirs"].replace("|agent|", "|default|")
    assert "|default|" in line
    _attempts(attacked, attacker, relaxed, ("metadata", "annotations", GRANT + name), line)
    if name == "theirs":
        _attempts(attacked, attacker, relaxed, ("metadata", "annotations", GRANT + name), None)
    refused(attacker_pod(attacked, relaxed), POD_GUARDS)


def attacker_pod(world: World, namespace: str) -> api.Response:
    """Return the answer to a pod that the forged grant would admit."""
    return tenant(world, namespace).post(world.pods(namespace), pod(hostNetwork=True))


def test_no_namespace_is_born_with_a_grant(attacked: World, relaxed: str) -> None:
    """T3: A user who may create namespaces creates none with a grant, a guard or enforcement of their own."""
    editor = _editor(attacked, relaxed)
    line = attacked.grants(relaxed)["theirs"]
    born: dict[str, dict[str, str]] = {
        f"annotation {GRANT}mine": {"annotations": {GRANT + "mine": line}},  # type: ignore[dict-item]
        f"label {LABEL}/guard": {"labels": {f"{LABEL}/guard": "privileged"}},  # type: ignore[dict-item]
        f"label {LABEL}/enforcement": {"labels": {f"{LABEL}/enforcement": "Audit"}},  # type: ignore[dict-item]
        f"annotation {LABEL}/level-before": {"annotations": {f"{LABEL}/level-before": "privileged"}},  # type: ignore[dict-item]
    }
    for what, fields in born.items():
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "born", **fields}}
        for answer in (
            editor.post("/api/v1/namespaces", body),
            editor.post("/api/v1/namespaces?dryRun=All", body),
            editor.apply("/api/v1/namespaces/born", body, "me", force=True),
            editor.post("/api/v1/namespaces", {**body, "metadata": {"generateName": "born-", **fields}}),
        ):
            refused(answer, "namespace-labels", what)
    assert attacked.admin.get("/api/v1/namespaces/born").status == 404
    plain = {"metadata": {"name": "born", "labels": {"team": "a"}}}
    editor.post("/api/v1/namespaces?dryRun=All", plain).expect(201)


def test_a_grant_that_nobody_may_write_is_taken_away(attacked: World, relaxed: str) -> None:
    """T3: A grant that an administrator copied from elsewhere admits nothing, and the operator removes it."""
    namespace = attacked.namespace()
    line = attacked.grants(relaxed)["theirs"].replace("|agent|", "|default|")
    path = f"/api/v1/namespaces/{namespace}"
    attacked.admin.patch(path, {"metadata": {"annotations": {GRANT + "copied": line}}}).expect(200)
    refused(attacker_pod(attacked, namespace), "PSA")
    attacked.until("it is taken away", lambda: attacked.grants(namespace) == {})
    forged = line.replace(line.split("|")[0], attacked.metadata(namespace)["uid"])
    attacked.admin.patch(path, {"metadata": {"annotations": {GRANT + "forged": forged}}}).expect(200)
    attacked.until("so is one with the right uid", lambda: attacked.grants(namespace) == {})
    assert attacked.labels(namespace)[PSA] == "baseline"


# -- a Namespace that enforcement does not reach -----------------------------------------------------------------------


def test_a_namespace_of_this_second_is_judged(attacked: World) -> None:
    """CVE-2025-46342: A pod that comes before caches know its new Namespace is judged by the Namespace's labels."""
    rules = [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create"]}]
    rules.append({"apiGroups": [LABEL], "resources": ["namespaces"], "verbs": ["setlevel"]})
    creator = holder(attacked, "namespace-creator", *rules)
    for number in range(10):
        name = f"brand-new-{number}"
        body = {"metadata": {"name": name, "labels": {f"{LABEL}/enforcement": "Deny"}}}
        creator.post("/api/v1/namespaces", body).expect(201)
        answer = attacked.admin.post(attacked.pods(name), pod(hostIPC=True))
        while "serviceaccount" in answer.message:  # a new namespace gets its account within milliseconds
            answer = attacked.admin.post(attacked.pods(name), pod(hostIPC=True))
        refused(answer, ("host-namespaces", "PSA"))


def test_a_rule_by_a_guarded_label_is_not_for_tenants(attacked: World, kept: str) -> None:
    """A6: No tenant writes a label under our prefix by which a rule selects."""
    namespace = attacked.namespace()
    refused(
        tenant(attacked, namespace).patch(
            f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {KEPT: "agents"}}}
        ),
        "namespace-labels",
        KEPT,
    )
    assert attacked.labels(namespace)[PSA] == "baseline"


def test_a_rule_by_a_free_label_is_warned_of_and_leaving_it_is_told(attacked: World) -> None:
    """A6: The author of a rule that a tenant's label can trigger is warned; when a tenant does so, an Event says so."""
    before = attacked.admin.get(POLICY).expect(200).body["spec"]
    rules = [{"selector": {"matchLabels": {"wave": "later"}}, "mode": "Audit"}]
    answer = attacked.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
    assert (
        "rule-selectors: spec.rules select by label wave, which any user who may write a Namespace can"
        in answer.warnings[0]
    )
    try:
        namespace = attacked.namespace()
        attacker = tenant(attacked, namespace)
        attacker.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"wave": "later"}}}).expect(200)
        left = ("Namespace", namespace, "EnforcementAudit")
        attacked.until("it is told", lambda: left in attacked.events(namespace))
    finally:
        attacked.admin.patch(POLICY, {"spec": {"rules": before.get("rules")}}).expect(200)


def test_no_tenant_writes_so_much_that_enforcement_finds_no_room(attacked: World) -> None:
    """A7: Annotations up to their limit, written while a namespace is in Audit, do not prevent Enforce."""
    before = attacked.admin.get(POLICY).expect(200).body["spec"]
    rules = [{"selector": {"matchLabels": {f"{LABEL}/wave": "later"}}, "mode": "Audit"}]
    attacked.admin.patch(POLICY, {"spec": {"rules": rules}}).expect(200)
    try:
        namespace = attacked.namespace(deny=False, labels={f"{LABEL}/wave": "later"})
        enforcement = f"{LABEL}/enforcement"
        attacked.until("in Audit", lambda: attacked.labels(namespace).get(enforcement) == "Audit")
        path = f"/api/v1/namespaces/{namespace}"
        attacker = tenant(attacked, namespace)
        for size in (2**power for power in reversed(range(18))):
            attacker.patch(path, {"metadata": {"annotations": {f"a/{size}": "x" * size}}})
        attacked.admin.patch(path, {"metadata": {"labels": {f"{LABEL}/wave": None}}}).expect(200)
        refusals = "hostnetwork_namespace_writes_total{"
        attacked.until(
            "enforced or shown",
            lambda: (
                attacked.labels(namespace).get(enforcement) == "Deny"
                or any(
                    line.startswith(refusals) and 'outcome="invalid"' in line
                    for line in attacked.operator.metrics().splitlines()
                )
            ),
        )
        assert attacked.labels(namespace).get(enforcement) == "Deny"
    finally:
        attacked.admin.patch(POLICY, {"spec": {"rules": before.get("rules")}}).expect(200)


# -- /finalize ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("going", [False, True], ids=["living", "going"])
def test_no_tenant_finalizes(attacked: World, going: bool) -> None:
    """A2: Only the namespace controller may empty the finalizers, because that would leave pods running."""
    namespace = attacked.namespace()
    attacker = tenant(attacked, namespace)
    path = f"/api/v1/namespaces/{namespace}"
    hold = {"metadata": {"name": "hold", "finalizers": ["example.com/hold"]}}
    attacker.post(f"{path}/configmaps", hold).expect(201)
    if going:
        attacker.delete(path).expect(200)
    body = attacked.admin.get(path).body
    body["spec"]["finalizers"] = []
    for client in (attacker, _editor(attacked, namespace)):
        refused(client.put(f"{path}/finalize", body), "namespace-labels", "only the namespace controller may write")
    attacker.delete(path)
    attacker.patch(f"{path}/configmaps/hold", {"metadata": {"finalizers": None}}).expect(200)
    attacked.until("it goes all the same", lambda: attacked.admin.get(path).status == 404, 60)


def test_what_a_finalized_namespace_leaves_is_worth_nothing(attacked: World) -> None:
    """A2: After an authorized finalize the exception reappears in the next namespace of that name, and grants nothing.

    A user with `approve` brings it into force by changing its spec.
    """
    namespace = attacked.namespace()
    attacked.granted_pod(namespace)
    path = f"/api/v1/namespaces/{namespace}"
    uid = attacked.metadata(namespace)["uid"]
    blocker = {"metadata": {"name": "hold", "finalizers": ["example.com/hold"]}}
    attacked.admin.post(f"{path}/configmaps", blocker).expect(201)
    # First the finalizers, then the deletion, so that the namespace controller does nothing in between.
    body = attacked.admin.get(path).body
    body["spec"]["finalizers"] = []
    attacked.admin.put(f"{path}/finalize", body).expect(200)
    attacked.admin.delete(path).expect(200)
    attacked.admin.delete(path).expect(200, 409)  # the first marks it, the second removes it
    attacked.until("it is gone", lambda: attacked.admin.get(path).status == 404)
    attacked.admin.post("/api/v1/namespaces", {"metadata": {"name": namespace}}).expect(201)
    assert attacked.metadata(namespace)["uid"] != uid
    assert host_pods(attacked, namespace) == ["capture"]
    attacked.until("judged anew", lambda: attacked.ready(namespace) == "NotApproved")
    attacked.until("the pod is flagged", lambda: attacked.verdict(namespace, "capture") == "Uncovered")
    assert attacked.grants(namespace) == {}
    attacked.admin.patch(f"{attacked.exceptions(namespace)}/capture", {"metadata": {"labels": {"a": "b"}}}).expect(200)
    assert attacked.ready(namespace) == "NotApproved"
    reviewed = {"spec": {"review": {"time": attacked.time()}}}
    attacked.admin.patch(f"{attacked.exceptions(namespace)}/capture", reviewed).expect(200)
    attacked.until("approved", lambda: attacked.ready(namespace) == "Active")
    attacked.admin.patch(f"{path}/configmaps/hold", {"metadata": {"finalizers": None}}).expect(200)


# -- the honest neighbours ---------------------------------------------------------------------------------------------


def test_twenty_namespaces_go_with_the_operator_down(attacked: World) -> None:
    """T19: Tenants delete namespaces with exceptions, grants and covered pods while the operator is dead."""
    names = [attacked.namespace() for _ in range(20)]
    for name in names:
        lift(attacked, name)
        body = pod("agent", hostNetwork=True, serviceAccountName="agent", terminationGracePeriodSeconds=0)
        attacked.admin.post(attacked.pods(name), body).expect(201)
    attacked.operator.kill()
    try:
        for name in names:
            tenant(attacked, name).delete(f"/api/v1/namespaces/{name}").expect(200)
        gone = {f"/api/v1/namespaces/{name}" for name in names}
        attacked.until("all gone", lambda: all(attacked.admin.get(path).status == 404 for path in gone), 60)
    finally:
        attacked.operator.start()


@pytest.mark.parametrize("flags", [[], ["--server-side", "--force-conflicts"]], ids=["client-side", "server-side"])
def test_a_chart_is_applied_again_without_a_change(attacked: World, flags: list[str]) -> None:
    """T2, honest: A Helm-like apply of a Namespace with its own labels and a workload passes, and again, unchanged.

    The operator's labels on the Namespace are neither contested nor removed.
    """
    namespace = attacked.namespace(labels={"team": "payments"})
    lift(attacked, namespace)
    before = attacked.labels(namespace)
    helm = {"app.kubernetes.io/managed-by": "Helm"}
    labelled = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {**helm, "a": "b"}}}
    covered = workload("Deployment", "agent", hostNetwork=True, serviceAccountName="agent")
    objects: list[dict[str, Any]] = [labelled, covered, workload("CronJob", "plain")]
    for body in objects[1:]:
        body["metadata"] |= {"namespace": namespace, "labels": helm}
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    user = attacked.cluster.tenant(namespace)
    for again in (False, True):
        done = attacked.cluster.kubectl("apply", *flags, "-f", "-", user=user, stdin=text)
        assert done.returncode == 0, done.stderr
        if again and not flags:
            assert done.stdout.count("unchanged") == 3, done.stdout
        attacked.until("its pod runs", lambda: host_pods(attacked, namespace))
    assert {**before, **labelled["metadata"]["labels"]} == attacked.labels(namespace)  # type: ignore[index]
    assert set(attacked.grants(namespace)) == {"theirs"}
    versions = [
        attacked.admin.get(f"{workloads(namespace, 'Deployment')}/agent").body["metadata"]["generation"],
        len(host_pods(attacked, namespace)),
    ]
    assert versions == [1, 1]


def test_a_namespaces_own_labels_are_free(attacked: World, relaxed: str) -> None:
    """T2, honest: A tenant adds, changes and removes labels and annotations of their own by every verb."""
    attacker = tenant(attacked, relaxed)
    path = f"/api/v1/namespaces/{relaxed}"
    for value in ("a", "b", None):
        for subresource in ("", "/status"):
            for field in ("labels", "annotations"):
                for way, answer in writes(
                    attacker, path + subresource, attacked.admin.get(path).body, ("metadata", field, "team"), value
                ):
                    assert answer.status == 200 or (way == "JSON patch" and value is None) or answer.status == 409, (
                        f"{way}: {answer.status} {refuser(answer)}"
                    )
