"""operator-limits: the operator's own account can do the operator's work and nothing else.

The tests use the account's real token. `operator_client` has the shipped rights. `unlimited_client` is the same account
with cluster-admin, so a refusal comes from the policy and not from RBAC.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hostnetwork_operator.api import labels
from tests.admission import objects, workbench
from tests.controlplane import api, operator
from tests.controlplane import cluster as controlplane

_numbers = itertools.count(1)
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
CUSTOM = f"/apis/{labels.API_VERSION}"
SYSTEM = ("kube-system", "kube-public", "kube-node-lease")
GRANT = labels.GRANT_PREFIX
DENIED = {labels.ENFORCEMENT: "Deny", labels.PSA_ENFORCE: "baseline"}
RELAXED = {labels.ENFORCEMENT: "Deny", labels.PSA_ENFORCE: "privileged", labels.GUARD: "baseline"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[controlplane.Cluster]:
    """A separate control plane for this module without label-at-birth, with an agent pod in each system namespace."""
    with controlplane.Cluster() as control_plane:
        operator.install(control_plane, "enforce-before-1.36")
        operator.apply(control_plane, "-f", str(operator.ROOT / "tests" / "reports"))
        for name in SYSTEM:
            account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
            control_plane.wait("its service account", lambda path=account: control_plane.admin.get(path).status == 200)
            agent_pod = workbench.pod(hostNetwork=True)
            agent_pod["metadata"]["name"] = "agent"
            control_plane.admin.post(f"/api/v1/namespaces/{name}/pods", agent_pod).expect(201)
        yield control_plane


@pytest.fixture(scope="module")
def operator_client(cluster: controlplane.Cluster) -> api.Api:
    """A client with the operator's token; operator-limits is in force."""
    client = cluster.api(cluster.service_account(labels.SYSTEM_NAMESPACE, labels.MANAGER))
    patch = {"metadata": {"labels": {"team": "mine"}}}
    cluster.wait("operator-limits", lambda: client.patch("/api/v1/namespaces/default?dryRun=All", patch).status == 403)
    return client


@pytest.fixture
def unlimited_client(cluster: controlplane.Cluster, operator_client: api.Api) -> Iterator[api.Api]:
    """A client with the same account, which RBAC allows everything meanwhile."""
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subject = {"kind": "ServiceAccount", "namespace": labels.SYSTEM_NAMESPACE, "name": labels.MANAGER}
    binding = {"metadata": {"name": "by-mistake"}, "roleRef": role, "subjects": [subject]}
    cluster.admin.post(f"{RBAC}/clusterrolebindings", binding).expect(201)
    cluster.wait("its rights", lambda: operator_client.get("/api/v1/secrets").status == 200)
    yield operator_client
    cluster.admin.delete(f"{RBAC}/clusterrolebindings/by-mistake").expect(200)
    cluster.wait("the end of its rights", lambda: operator_client.get("/api/v1/secrets").status == 403)


Make = Callable[..., str]


@pytest.fixture
def make_namespace(cluster: controlplane.Cluster) -> Make:
    """Return a function that creates a namespace with these labels and annotations and returns its path."""

    def create(
        values: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        finalizers: tuple[str, ...] = (),
    ) -> str:
        name = f"limits-{next(_numbers)}"
        metadata = {
            "name": name,
            "labels": values or {},
            "annotations": annotations or {},
            "finalizers": list(finalizers),
        }
        cluster.admin.post("/api/v1/namespaces", {"metadata": metadata}).expect(201)
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        cluster.wait("its service account", lambda: cluster.admin.get(account).status == 200)
        return f"/api/v1/namespaces/{name}"

    return create


def write(
    client: api.Api,
    path: str,
    values: dict[str, str | None] | None = None,
    annotations: dict[str, str | None] | None = None,
    **metadata: Any,
) -> api.Response:
    body = {"metadata": {"labels": values or {}, "annotations": annotations or {}, **metadata}}
    return workbench.sound(client.patch(path, body))


def create_pod(cluster: controlplane.Cluster, path: str, name: str = "", **spec: Any) -> str:
    """Create a pod as an administrator and return its path."""
    body = workbench.pod(**spec)
    body["metadata"]["name"] = name or body["metadata"]["name"]
    cluster.admin.post(f"{path}/pods", body).expect(201)
    return f"{path}/pods/{body['metadata']['name']}"


# -- the operator's own writes pass -----------------------------------------------------------------------------------

Sequence = list[tuple[dict[str, str | None], dict[str, str | None]]]
WORK: dict[str, tuple[dict[str, str], dict[str, str], Sequence]] = {
    "enforce, relax, restore": (
        {"team": "a", labels.PSA_ENFORCE: "privileged"},
        {"note": "b"},
        [
            ({labels.PSA_AUDIT: "restricted", labels.PSA_WARN: "restricted"}, {labels.HELD_BY: "since x: a pod"}),
            ({labels.ENFORCEMENT: "Held"}, {}),
            ({**DENIED, labels.PSA_VERSIONS[0]: "latest"}, {labels.LEVEL_BEFORE: "privileged", labels.HELD_BY: None}),
            ({**RELAXED}, {GRANT + "a": "line", GRANT + "b": "line"}),
            ({}, {GRANT + "a": "shorter"}),
            ({labels.PSA_ENFORCE: "baseline"}, {GRANT + "a": None, GRANT + "b": None}),
            ({labels.PSA_ENFORCE: "restricted", labels.GUARD: "restricted"}, {}),
        ],
    ),
    "a target of privileged": ({}, {}, [({**DENIED, labels.PSA_ENFORCE: "privileged"}, {labels.LEVEL_BEFORE: ""})]),
    "to Audit, where nothing stood before": (
        RELAXED,
        {labels.LEVEL_BEFORE: "", GRANT + "a": "line"},
        [({labels.ENFORCEMENT: "Audit", labels.GUARD: None, labels.PSA_ENFORCE: None}, {labels.LEVEL_BEFORE: None})],
    ),
    "to Audit, where another level stood before": (
        DENIED,
        {labels.LEVEL_BEFORE: "privileged"},
        [({labels.ENFORCEMENT: "Audit", labels.PSA_ENFORCE: "privileged"}, {labels.LEVEL_BEFORE: None})],
    ),
    "to exempt": (
        {**RELAXED, labels.PSA_AUDIT: "restricted"},
        {labels.LEVEL_BEFORE: "restricted", GRANT + "a": "line"},
        [
            ({}, {GRANT + "a": None}),
            (
                {
                    labels.ENFORCEMENT: None,
                    labels.GUARD: None,
                    labels.PSA_AUDIT: None,
                    labels.PSA_ENFORCE: "restricted",
                },
                {labels.LEVEL_BEFORE: None},
            ),
        ],
    ),
    "out of what label-at-birth wrote": (
        DENIED,
        {},
        [
            ({}, {labels.LEVEL_BEFORE: ""}),
            ({labels.ENFORCEMENT: "Audit", labels.PSA_ENFORCE: None}, {labels.LEVEL_BEFORE: None}),
        ],
    ),
    "out of what label-at-birth said": (
        DENIED,
        {labels.BORN_WITH: "enforce,audit"},
        [({labels.PSA_ENFORCE: "baseline"}, {labels.BORN_WITH: None, labels.LEVEL_BEFORE: ""})],
    ),
    "back to what it said": ({}, {}, [(DENIED, {labels.BORN_WITH: ""}), ({}, {labels.BORN_WITH: "enforce"})]),
    "repairs of what somebody removed": ({}, {labels.LEVEL_BEFORE: "", labels.HELD_BY: "x"}, [(DENIED, {})]),
}


@pytest.mark.parametrize("name", WORK)
def test_the_operators_writes_of_a_namespace_pass(operator_client: api.Api, make_namespace: Make, name: str) -> None:
    """Each step of each sequence passes, and so does the gate's dry run at any time."""
    values, annotations, steps = WORK[name]
    path = make_namespace(values, annotations)
    for new_labels, new_annotations in steps:
        for level in ("baseline", "restricted", "privileged"):
            write(operator_client, f"{path}?dryRun=All", {labels.PSA_ENFORCE: level}).expect(200)
        write(operator_client, path, dict(new_labels), dict(new_annotations)).expect(200)


def test_the_operators_writes_of_pods_pass(
    cluster: controlplane.Cluster, operator_client: api.Api, make_namespace: Make
) -> None:
    """The operator can write and remove each verdict through pods/status, and delete pods with each host namespace."""
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        path = create_pod(cluster, make_namespace(), **{field: True})
        for verdict in ("Uncovered", "Expired", "Static", "Unknown", None):
            write(operator_client, f"{path}/status", {labels.VERDICT: verdict}).expect(200)
        operator_client.delete(path, {"gracePeriodSeconds": 0}).expect(200)


MANY: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "20,000 annotations": ({}, {f"a/{number}": "" for number in range(20_000)}),
    "as many as fit": ({}, {f"{number:x}a": "" for number in range(36_000)}),
    "60,000 labels": ({f"a{number:x}a": "" for number in range(60_000)}, {}),
    "as many as are looped over, with long keys": (
        {f"{number}.{'a' * 60}.{'b' * 60}.{'c' * 60}/{'e' * 63}": "v" * 63 for number in range(980)},
        {f"{number:03d}.{'a' * 60}.{'b' * 60}/{'e' * 63}": "" for number in range(930)},
    ),
}


@pytest.mark.parametrize(
    ("values", "annotations"),
    [(objects.smallest(150_000), {}), ({}, objects.smallest(size=objects.ROOM))],
    ids=["as many labels as etcd stores", "as many annotations as there can be"],
)
def test_a_level_is_put_back_in_the_largest_namespace(
    cluster: controlplane.Cluster,
    operator_client: api.Api,
    make_namespace: Make,
    values: objects.Map,
    annotations: objects.Map,
) -> None:
    """A tenant who empties managedFields has room for more keys, but the keys cannot prevent the restore of a level."""
    path = make_namespace(RELAXED, {GRANT + "a": "line", labels.LEVEL_BEFORE: ""})
    objects.fill(cluster.admin, path, "labels", values)
    objects.fill(cluster.admin, path, "annotations", annotations)
    metadata = {"labels": {labels.PSA_ENFORCE: "baseline"}, "annotations": {GRANT + "a": None}}
    answer = objects.ask(operator_client, ("PATCH", path, {"metadata": metadata}, api.MERGE))
    workbench.sound(answer).expect(200)


@pytest.mark.parametrize("name", MANY)
def test_a_level_is_put_back_however_many_keys_a_tenant_has_written(
    operator_client: api.Api, make_namespace: Make, name: str
) -> None:
    """No loop exceeds the CEL cost limit: the restore passes, and so do the next grant and its removal."""
    values, annotations = MANY[name]
    path = make_namespace({**values, **RELAXED}, {**annotations, GRANT + "a": "line", labels.LEVEL_BEFORE: ""})
    write(operator_client, path, {labels.PSA_ENFORCE: "baseline"}, {GRANT + "a": None}).expect(200)
    write(operator_client, path, {labels.PSA_ENFORCE: "privileged"}, {GRANT + "b": "line"}).expect(200)
    removals: dict[str, str | None] = {labels.ENFORCEMENT: None, labels.GUARD: None, labels.PSA_ENFORCE: None}
    write(operator_client, path, removals, {GRANT + "b": None, labels.LEVEL_BEFORE: None}).expect(200)


@pytest.mark.parametrize("many", [10_000, 60_000])
def test_a_pod_with_many_labels_is_flagged(
    cluster: controlplane.Cluster, operator_client: api.Api, make_namespace: Make, many: int
) -> None:
    """A tenant cannot hide a pod behind labels that are too expensive to compare.

    A thief of the token cannot change any other label of the pod.
    """
    body = workbench.pod(hostNetwork=many < 30_000)  # pod-size refuses a larger host-namespace pod
    body["metadata"]["labels"] = objects.smallest(many)
    path = f"{make_namespace()}/pods"
    objects.ask(cluster.admin, ("POST", path, body, "application/json")).expect(201)
    path += f"/{body['metadata']['name']}/status"

    def label(values: dict[str, str | None]) -> api.Response:
        return workbench.sound(
            objects.ask(operator_client, ("PATCH", path, {"metadata": {"labels": values}}, api.MERGE))
        )

    for verdict, other in (("Uncovered", {"0": "x"}), (None, {"0": None, "new": ""})):
        label({labels.VERDICT: verdict}).expect(200)
        workbench.refused(
            label({labels.VERDICT: "Unknown", **other}), "on a pod the operator may only write the verdict label"
        )


OWNER = {"apiVersion": objects.MARKER, "kind": objects.MARKER, "name": objects.MARKER, "uid": objects.MARKER}


def test_bytes_that_are_no_text_on_a_namespace_keep_no_level_open(
    cluster: controlplane.Cluster, operator_client: api.Api, make_namespace: Make
) -> None:
    """A patch is JSON, so it replaces such bytes by U+FFFD: the restore passes, and a thief changes nothing.

    A second restore after that passes too.
    """
    path = make_namespace(
        RELAXED, {GRANT + "a": "line", labels.LEVEL_BEFORE: "", "bytes": objects.MARKER, "note": "Text"}
    )
    _own(cluster, path, OWNER)
    objects.spoil(cluster.admin, path)
    for annotations in ({"note": "changed"}, {"bytes": "changed"}, {"bytes": None}, {"new": "x"}, {"note": "text"}):
        workbench.refused(write(operator_client, path, {}, dict(annotations)), "got a change of another annotation")
    for owners in ([], [{**OWNER, "name": "x"}], [{**OWNER, "controller": True}]):
        answer = workbench.sound(operator_client.patch(path, {"metadata": {"ownerReferences": owners}}))
        workbench.refused(answer, "got a change of spec, finalizers or ownerReferences")
    for _ in range(2):
        write(operator_client, f"{path}?dryRun=All", {labels.PSA_ENFORCE: "baseline"}, {GRANT + "a": None}).expect(200)
        write(operator_client, path, {labels.PSA_ENFORCE: "baseline"}, {GRANT + "a": None}).expect(200)


@pytest.mark.parametrize("many", [50, 1500, 2500])
def test_bytes_that_are_no_text_among_many_owners_keep_no_level_open(
    cluster: controlplane.Cluster, operator_client: api.Api, make_namespace: Make, many: int
) -> None:
    """The restore passes whatever the number of owners, and a thief cannot add an owner."""
    path = make_namespace(RELAXED, {GRANT + "a": "line"})
    _own(cluster, path, *({**OWNER, "uid": f"{number}"} for number in range(many)))
    objects.spoil(cluster.admin, path)
    owners = cluster.admin.get(path).expect(200).body["metadata"]["ownerReferences"]
    assert len(owners) == many
    answer = operator_client.patch(path, {"metadata": {"ownerReferences": [*owners, {**OWNER, "uid": "new"}]}})
    workbench.refused(answer, "got a change of spec, finalizers or ownerReferences")
    write(operator_client, path, {labels.PSA_ENFORCE: "baseline"}, {GRANT + "a": None}).expect(200)


def _own(cluster: controlplane.Cluster, path: str, *owners: dict[str, Any]) -> None:
    cluster.admin.patch(path, {"metadata": {"ownerReferences": list(owners)}}).expect(200)


def test_a_pod_with_bytes_that_are_no_text_is_flagged(
    cluster: controlplane.Cluster, operator_client: api.Api, make_namespace: Make
) -> None:
    """Such bytes in annotations or owners do not hide a pod, and a thief can change nothing but the verdict label."""
    body = workbench.pod(hostNetwork=True, nodeName="node-1")
    body["metadata"]["annotations"] = {"bytes": objects.MARKER, "note": "Text"}
    path = f"{make_namespace()}/pods"
    cluster.admin.post(path, body).expect(201)
    path += f"/{body['metadata']['name']}"
    objects.spoil(cluster.admin, path)
    for annotations in ({"note": "text"}, {"bytes": "changed"}, {"new": "x"}, {"bytes": None}):
        answer = write(operator_client, f"{path}/status", {labels.VERDICT: "Unknown"}, dict(annotations))
        workbench.refused(answer, "on a pod the operator may only write the verdict label")
    write(operator_client, f"{path}/status", {labels.VERDICT: "Uncovered"}).expect(200)


# -- what the policy alone refuses ------------------------------------------------------------------------------------

OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"labels": {"team": "mine"}}, "got a change of another label"),
    ({"labels": {"present": "changed"}}, "got a change of another label"),
    ({"labels": {"present": None}}, "got a change of another label"),
    ({"labels": {"istio-injection": "disabled", labels.PSA_WARN: "baseline"}}, "got a change of another label"),
    ({"labels": {labels.VERDICT: "Uncovered"}}, "got a change of another label"),
    ({"labels": {labels.GROUP + "/anything": "x"}}, "got a change of another label"),
    ({"annotations": {"team": "mine"}}, "got a change of another annotation"),
    ({"annotations": {"present": "changed"}}, "got a change of another annotation"),
    ({"annotations": {"present": None}}, "got a change of another annotation"),
    ({"annotations": {labels.GROUP + "/anything": "x"}}, "got a change of another annotation"),
    ({"annotations": {"grant.example.com/a": "x"}}, "got a change of another annotation"),
    ({"finalizers": []}, "got a change of spec, finalizers or ownerReferences"),
    ({"finalizers": ["example.com/kept", "example.com/more"]}, "got a change of spec, finalizers or ownerReferences"),
    (
        {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "x"}]},
        "got a change of spec, finalizers or ownerReferences",
    ),
]


@pytest.mark.parametrize("dry", [False, True], ids=["real", "dry"])
@pytest.mark.parametrize(("metadata", "text"), OTHERS, ids=[str(metadata) for metadata, _ in OTHERS])
def test_nothing_of_others_on_a_namespace(
    operator_client: api.Api, make_namespace: Make, metadata: dict[str, Any], text: str, dry: bool
) -> None:
    """The account cannot change other labels, annotations, finalizers or owners.

    This holds for the change alone, together with an allowed change, and by each kind of patch.
    """
    path = make_namespace({"present": "x", **DENIED}, {"present": "x"}, ("example.com/kept",)) + (
        "?dryRun=All" if dry else ""
    )
    workbench.refused(operator_client.patch(path, {"metadata": metadata}), "operator-limits", text)
    with_allowed_change = {
        "metadata": {**metadata, "labels": {**metadata.get("labels", {}), labels.PSA_AUDIT: "restricted"}}
    }
    workbench.refused(operator_client.patch(path, with_allowed_change), "operator-limits", text)
    if "finalizers" not in metadata:  # a strategic patch adds to finalizers
        workbench.refused(operator_client.patch(path, {"metadata": metadata}, api.STRATEGIC), "operator-limits", text)


# A number of keys that once made the policy skip the comparison, so a stolen token could hide other changes behind
# them.
SMOKE: dict[str, str | None] = {f"smoke-{number}": "" for number in range(1001)}


def test_keys_of_ones_own_making_hide_nothing_on_a_namespace(operator_client: api.Api, make_namespace: Make) -> None:
    """Beside 1,001 new labels or annotations, the account cannot write another key or more than 64 grants."""
    path = make_namespace({"team": "a", **DENIED}, {"note": "b"})
    for values, text in (
        ({**SMOKE, "team": None}, "got a change of another label"),
        ({**SMOKE, "team": "mine"}, "got a change of another label"),
        (SMOKE, "got a change of another label"),
    ):
        workbench.refused(write(operator_client, path, values), "operator-limits", text)
    for annotations in (
        SMOKE,
        {**SMOKE, "note": None},
        {**SMOKE, **{f"{GRANT}{number}": "x" for number in range(200)}},
    ):
        workbench.refused(
            write(operator_client, path, {}, annotations), "operator-limits", "got a change of another annotation"
        )


def test_no_namespace_is_made_so_large_that_it_is_no_longer_looked_at(
    operator_client: api.Api, make_namespace: Make
) -> None:
    """However many requests a thief sends, the thief can add only the operator's few keys to a namespace."""
    path = make_namespace({"team": "a"}, {"note": "b"})
    for step in range(0, 3000, 1000):
        keys: dict[str, str | None] = {f"smoke-{step + number}": "" for number in range(1000)}
        workbench.refused(write(operator_client, path, keys), "got a change of another label")
        workbench.refused(write(operator_client, path, {}, keys), "got a change of another annotation")
        grants: dict[str, str | None] = {f"{GRANT}g{step + number}": "x" for number in range(1000)}
        workbench.refused(
            write(operator_client, path, {}, grants),
            "the operator may write at most 64 grants on a Namespace, got more",
        )


@pytest.mark.parametrize("field", ["labels", "annotations"])
def test_a_namespace_that_its_tenant_has_filled_gets_nothing_new_of_others(
    operator_client: api.Api, make_namespace: Make, field: str
) -> None:
    """With 2,500 keys, which the policy does not compare one by one, the account can add and remove none.

    64 grants stay the maximum.
    """
    many_keys = {f"many-{number}": "" for number in range(2500)}
    path = make_namespace(
        many_keys if field == "labels" else {}, {**(many_keys if field == "annotations" else {}), GRANT + "a": "line"}
    )
    for change in ({"new": "x"}, {"many-1": None}, {"many-1": None, "new": "x", "newer": "x"}):
        answer = workbench.sound(operator_client.patch(path, {"metadata": {field: change}}))
        workbench.refused(answer, f"got a change of another {field.removesuffix('s')}")
    grants: dict[str, str | None] = {f"{GRANT}g{number}": "line" for number in range(64)}
    workbench.refused(
        write(operator_client, path, {}, grants),
        "operator-limits: the operator may write at most 64 grants on a Namespace, got more",
    )
    del grants[GRANT + "g0"]
    write(operator_client, path, {}, grants).expect(200)
    write(operator_client, path, {labels.PSA_ENFORCE: "baseline"}, dict.fromkeys([*grants, GRANT + "a"])).expect(200)


@pytest.mark.parametrize("present", [0, 1, 64])
def test_no_more_grants_than_the_operator_ever_writes(
    operator_client: api.Api, make_namespace: Make, present: int
) -> None:
    """With more than 64 grants the token could fill a namespace until the policy no longer compares its keys."""
    namespace_path = make_namespace(DENIED, {f"{GRANT}{number}": "line" for number in range(present)})
    grants: dict[str, str | None] = {f"{GRANT}more-{number}": "line" for number in range(65 - present)}
    workbench.refused(
        write(operator_client, namespace_path, {}, grants),
        "operator-limits: the operator may write at most 64 grants on a Namespace, got more",
    )
    del grants["grant.hostnetwork-operator.github.io/more-0"]
    write(operator_client, namespace_path, {}, grants).expect(200)


def test_grants_beyond_the_limit_can_go(operator_client: api.Api, make_namespace: Make) -> None:
    """If an administrator wrote more than 64 grants, the operator can remove them one by one."""
    path = make_namespace(DENIED, {f"{GRANT}{number}": "line" for number in range(70)})
    write(operator_client, path, {}, {GRANT + "0": None}).expect(200)
    write(operator_client, path, {}, {GRANT + "1": None, GRANT + "new": "line"}).expect(200)


@pytest.mark.parametrize("name", [*SYSTEM, *labels.PREVIEW_NAMESPACES])
def test_nothing_is_written_into_a_system_namespace_that_nobody_governs(
    cluster: controlplane.Cluster, operator_client: api.Api, name: str
) -> None:
    """The account can write no grant and no level, which could stop the system's pods.

    Removals pass, and an administrator can allow more with one label.
    """
    path = f"/api/v1/namespaces/{name}"
    text = f'the operator may not add or change labels and annotations of namespace "{name}" while'
    for values, annotations in (
        ({labels.ENFORCEMENT: "Deny", labels.PSA_ENFORCE: "restricted"}, {labels.LEVEL_BEFORE: ""}),
        ({labels.ENFORCEMENT: "Audit"}, {}),
        ({labels.PSA_AUDIT: "restricted"}, {}),
        ({}, {GRANT + "a": "line"}),
    ):
        level_before = cluster.admin.get(path).expect(200).body["metadata"]["labels"].get(labels.PSA_ENFORCE, "")
        sent = {key: level_before if key == labels.LEVEL_BEFORE else value for key, value in annotations.items()}
        workbench.refused(write(operator_client, path, dict(values), dict(sent)), text, "enforcement=Audit once")
    cluster.admin.patch(path, {"metadata": {"annotations": {GRANT + "old": "line"}}}).expect(200)
    workbench.refused(write(operator_client, path, {}, {GRANT + "old": "other"}), text)
    write(operator_client, path, {}, {GRANT + "old": None}).expect(200)
    cluster.admin.patch(path, {"metadata": {"labels": {labels.ENFORCEMENT: "Audit"}}}).expect(200)
    write(operator_client, path, {labels.PSA_AUDIT: "restricted"}, {GRANT + "a": "line"}).expect(200)
    write(operator_client, path, {labels.ENFORCEMENT: None, labels.PSA_AUDIT: None}, {GRANT + "a": None}).expect(200)


def test_no_other_request_about_namespaces(
    cluster: controlplane.Cluster, unlimited_client: api.Api, make_namespace: Make
) -> None:
    """The account cannot create, delete or finalize a namespace, write /status or use deletecollection."""
    path = make_namespace(DENIED)
    body = cluster.admin.get(path).expect(200).body
    del body["metadata"]["resourceVersion"]  # controllers write the object too
    text = "of namespaces and pods, the operator may only update namespaces and pods/status and delete pods, got "
    answer = unlimited_client.post("/api/v1/namespaces", {"metadata": {"name": "another"}})
    workbench.refused(answer, text + "CREATE of namespaces")
    workbench.refused(unlimited_client.delete(path), text + "DELETE of namespaces")
    patch = {"metadata": {"labels": {labels.PSA_AUDIT: "baseline"}}}
    workbench.refused(unlimited_client.patch(f"{path}/status", patch), text + "UPDATE of namespaces/status")
    finalized = {**body, "spec": {"finalizers": []}}
    workbench.refused(unlimited_client.put(f"{path}/finalize", finalized), text + "UPDATE of namespaces/finalize")
    new_body = {**body, "metadata": {**body["metadata"], "labels": {**body["metadata"]["labels"], "team": "mine"}}}
    workbench.refused(unlimited_client.put(path, new_body), "got a change of another label")
    apply_body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": body["metadata"]["name"], "labels": {"a": "b"}},
    }
    workbench.refused(
        unlimited_client.apply(path, apply_body, labels.MANAGER, force=True), "got a change of another label"
    )


def test_no_other_request_about_pods(
    cluster: controlplane.Cluster, unlimited_client: api.Api, make_namespace: Make
) -> None:
    """The account cannot patch, replace, enter, evict or bind a pod, or add an ephemeral container."""
    # The pod is bound to a node. Otherwise the scheduler would write its spec between the read and the replacement.
    path = create_pod(cluster, make_namespace(), hostNetwork=True, nodeName="node-1")
    body = cluster.admin.get(path).expect(200).body
    del body["metadata"]["resourceVersion"]  # controllers write the object too
    name = body["metadata"]["name"]
    text = "of namespaces and pods, the operator may only update namespaces and pods/status and delete pods, got "
    patch = {"metadata": {"labels": {labels.VERDICT: "Uncovered"}}}
    workbench.refused(unlimited_client.patch(path, patch), text + "UPDATE of pods;")
    new_body = {**body, "metadata": {**body["metadata"], "labels": {"a": "b"}}}
    workbench.refused(unlimited_client.put(path, new_body), text + "UPDATE of pods;")
    ephemeral = {"spec": {"ephemeralContainers": [{"name": "d", "image": workbench.IMAGE}]}}
    answer = unlimited_client.patch(f"{path}/ephemeralcontainers", ephemeral, api.STRATEGIC)
    workbench.refused(answer, text + "UPDATE of pods/ephemeralcontainers;")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    workbench.refused(unlimited_client.post(f"{path}/eviction", eviction), text + "CREATE of pods/eviction;")
    target = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name},
        "target": {"kind": "Node", "name": "node-1"},
    }
    workbench.refused(unlimited_client.post(f"{path}/binding", target), text + "CREATE of pods/binding;")
    for subresource, query in (
        ("exec", "?command=id&stdout=true"),
        ("attach", "?stdout=true"),
        ("portforward", "?ports=80"),
        ("proxy", ""),
    ):
        for method in ("GET", "POST"):
            answer = unlimited_client.request(method, f"{path}/{subresource}{query}")
            workbench.refused(answer, text + f"CONNECT of pods/{subresource};")


POD_STATUS: list[dict[str, Any]] = [
    {"status": {"phase": "Failed"}},
    {"status": {"message": "x"}},
    {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
    {"metadata": {"labels": {"app": "other"}}},
    {"metadata": {"labels": {"new": "x"}}},
    {"metadata": {"labels": {"app": None}}},
    {"metadata": {"annotations": {"new": "x"}}},
    {"metadata": {"finalizers": ["example.com/held"]}},
]


@pytest.mark.parametrize("change", POD_STATUS, ids=str)
def test_through_the_status_of_a_pod_nothing_but_the_verdict(
    cluster: controlplane.Cluster, operator_client: api.Api, make_namespace: Make, change: dict[str, Any]
) -> None:
    """Neither alone nor together with a verdict; the status decides which endpoints a Service has."""
    path = create_pod(cluster, make_namespace(), hostNetwork=True)
    cluster.admin.patch(path, {"metadata": {"labels": {"app": "a"}}}).expect(200)
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    cluster.admin.patch(f"{path}/status", ready).expect(200)
    metadata = change.get("metadata", {})
    with_verdict = {
        **change,
        "metadata": {**metadata, "labels": {**metadata.get("labels", {}), labels.VERDICT: "Uncovered"}},
    }
    for body in (change, with_verdict):
        message = workbench.refused(
            operator_client.patch(f"{path}/status", body), "on a pod the operator may only write the verdict label"
        )
        assert "operator-limits" in message


@pytest.mark.parametrize("name", ["limits", *SYSTEM])
def test_labels_of_ones_own_making_hide_nothing_on_a_pod(
    cluster: controlplane.Cluster, operator_client: api.Api, make_namespace: Make, name: str
) -> None:
    """Beside 1,001 new labels the account cannot change a pod's label.

    A changed label of a coredns pod would make its Deployment create new pods.
    """
    namespace_path = make_namespace() if name == "limits" else f"/api/v1/namespaces/{name}"
    path = create_pod(cluster, namespace_path, f"dns-{name}", hostNetwork=True)
    cluster.admin.patch(path, {"metadata": {"labels": {"k8s-app": "kube-dns"}}}).expect(200)
    for values in (SMOKE, {**SMOKE, "k8s-app": None}, {**SMOKE, "k8s-app": "x", labels.VERDICT: "Uncovered"}):
        answer = write(operator_client, f"{path}/status", values)
        workbench.refused(answer, "operator-limits: on a pod the operator may only write the verdict label")
    assert cluster.admin.get(path).expect(200).body["metadata"]["labels"]["k8s-app"] == "kube-dns"
    write(operator_client, f"{path}/status", {labels.VERDICT: "Uncovered"}).expect(200)


@pytest.mark.parametrize("verdict", ["Covered", "Exempt", "", "x"])
def test_no_verdict_that_is_never_written(
    cluster: controlplane.Cluster, operator_client: api.Api, make_namespace: Make, verdict: str
) -> None:
    """The operator never sets Covered or Exempt but removes the label.

    An empty value means nothing, and the policy allows it.
    """
    path = create_pod(cluster, make_namespace(), hostNetwork=True)
    answer = write(operator_client, f"{path}/status", {labels.VERDICT: verdict})
    if verdict:
        workbench.refused(
            answer, "may only set the verdict label to Uncovered, Expired, Static or Unknown, got another value"
        )


@pytest.mark.parametrize("name", SYSTEM)
def test_no_pod_of_the_system_is_deleted(unlimited_client: api.Api, cluster: controlplane.Cluster, name: str) -> None:
    """By a single DELETE, by deletecollection and in a dry run."""
    pods = f"/api/v1/namespaces/{name}/pods"
    text = "operator-limits: the operator may not delete pods in kube-system, kube-public and kube-node-lease"
    for path in (f"{pods}/agent", f"{pods}/agent?dryRun=All", pods):
        workbench.refused(unlimited_client.delete(path), text)
    assert "deletionTimestamp" not in cluster.admin.get(f"{pods}/agent").expect(200).body["metadata"]


def test_no_ordinary_pod_is_deleted(
    cluster: controlplane.Cluster, unlimited_client: api.Api, make_namespace: Make
) -> None:
    """By a single DELETE, by deletecollection and in a dry run; host-namespace pods beside it can be deleted."""
    namespace_path = make_namespace()
    path = create_pod(cluster, namespace_path)
    text = "operator-limits: the operator may only delete pods with hostNetwork, hostPID or hostIPC"
    for target in (path, f"{path}?dryRun=All", f"{namespace_path}/pods"):
        workbench.refused(unlimited_client.delete(target), text)
    host_pod = create_pod(cluster, namespace_path, hostNetwork=True)
    unlimited_client.delete(host_pod).expect(200)
    assert "deletionTimestamp" not in cluster.admin.get(path).expect(200).body["metadata"]


def test_no_mirror_pod_is_deleted(
    cluster: controlplane.Cluster, operator_client: api.Api, make_namespace: Make
) -> None:
    """The static pod would run on without a visible pod object."""
    node = cluster.admin.get("/api/v1/nodes/node-1").expect(200).body["metadata"]
    namespace_path = make_namespace()
    body = workbench.pod(nodeName="node-1", hostNetwork=True)
    owner = {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": node["uid"], "controller": True}
    body["metadata"] |= {"annotations": {labels.MIRROR: "x"}, "ownerReferences": [owner]}
    cluster.api(cluster.node_user("node-1")).post(f"{namespace_path}/pods", body).expect(201)
    answer = operator_client.delete(f"{namespace_path}/pods/{body['metadata']['name']}")
    workbench.refused(answer, "operator-limits: the operator may not delete mirror pods")


def test_nobody_else_is_held(cluster: controlplane.Cluster, make_namespace: Make) -> None:
    """Administrators, controllers and kubelets can do all of this, and a namespace with pods can be deleted."""
    namespace_path = make_namespace({"present": "x"}, {}, ("example.com/kept",))
    path = create_pod(cluster, namespace_path, nodeName="node-1")
    node = cluster.api(cluster.node_user("node-1"))
    node.patch(f"{path}/status", {"status": {"message": "m"}}).expect(200)
    write(cluster.admin, namespace_path, {"present": None, "team": "a"}, {"note": "b"}, finalizers=None).expect(200)
    cluster.admin.delete(namespace_path).expect(200)
    cluster.wait("it is gone", lambda: cluster.admin.get(namespace_path).status == 404)


# -- what a stolen token cannot do in an installation -----------------------------------------------------------------


def _forbidden() -> list[tuple[str, str, Any]]:
    """Return the method, path and body of requests that are useful to a thief; an ordinary pod runs in {home}."""
    pod, new_namespace = workbench.pod(hostNetwork=True), {"metadata": {"name": "new"}}
    all_rights = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subjects = [{"kind": "ServiceAccount", "namespace": labels.SYSTEM_NAMESPACE, "name": labels.MANAGER}]
    admin = {**new_namespace, "roleRef": role, "subjects": subjects}
    own_path = f"/api/v1/namespaces/{labels.SYSTEM_NAMESPACE}"
    exceptions = CUSTOM + "/namespaces/{name}/hostnetworkexceptions"
    policy = f"{CUSTOM}/hostnetworkexceptionpolicies"
    token_request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    audit = {"spec": {"validationActions": ["Audit"]}}
    guard = f"{ADMISSION}/validatingadmissionpolicies/{labels.POLICY_HOST_NAMESPACES}"
    binding_path = f"{ADMISSION}/validatingadmissionpolicybindings/operator-limits-deny.{labels.GROUP}"
    return [
        # With these a thief can become another user.
        ("GET", "/api/v1/secrets", None),
        ("GET", f"{own_path}/secrets", None),
        ("POST", f"{own_path}/secrets", new_namespace),
        ("GET", "/api/v1/configmaps", None),
        ("POST", f"{own_path}/configmaps", new_namespace),
        ("POST", f"{own_path}/serviceaccounts/{labels.MANAGER}/token", token_request),
        ("POST", "/api/v1/namespaces/kube-system/serviceaccounts/default/token", token_request),
        ("POST", "{home}/serviceaccounts", new_namespace),
        ("GET", f"{RBAC}/clusterrolebindings", None),
        ("POST", f"{RBAC}/clusterrolebindings", admin),
        ("POST", f"{RBAC}/namespaces/kube-system/rolebindings", admin),
        ("POST", f"{RBAC}/clusterroles", {**new_namespace, "rules": all_rights}),
        ("PATCH", f"{RBAC}/clusterroles/{labels.MANAGER}", {"rules": all_rights}),
        ("DELETE", f"{RBAC}/clusterroles/{labels.MANAGER}", None),
        ("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", new_namespace),
        # Pods.
        ("POST", "{home}/pods", pod),
        ("POST", "{home}/pods?dryRun=All", pod),
        ("POST", "/api/v1/namespaces/kube-system/pods", pod),
        *(("POST", f"/api/v1/namespaces/{name}/pods", pod) for name in labels.PREVIEW_NAMESPACES),
        ("PATCH", "{home}/pods/plain", {"metadata": {"labels": {labels.VERDICT: "Uncovered"}}}),
        ("PATCH", "{home}/pods/plain/ephemeralcontainers", {"spec": {}}),
        ("PATCH", "{home}/pods/plain/resize", {"spec": {}}),
        ("PATCH", "{home}/pods/plain/status", {"status": {"phase": "Failed"}}),
        ("PATCH", "{home}/pods/plain/status", {"metadata": {"labels": {"app": "b"}}}),
        ("PATCH", "{home}/pods/plain/status", {"metadata": {"finalizers": ["a.example.com/b"]}}),
        ("GET", "{home}/pods/plain/log", None),
        ("POST", "{home}/pods/plain/exec?command=id&stdout=true", None),
        ("GET", "{home}/pods/plain/exec?command=id&stdout=true", None),
        ("POST", "{home}/pods/plain/attach?stdout=true", None),
        ("POST", "{home}/pods/plain/portforward?ports=80", None),
        ("GET", "{home}/pods/plain/proxy/", None),
        ("POST", "{home}/pods/plain/eviction", {"metadata": {"name": "plain"}}),
        ("POST", "{home}/pods/plain/binding", {"metadata": {"name": "plain"}, "target": {"name": "node-1"}}),
        ("DELETE", "{home}/pods/plain", None),
        ("DELETE", "{home}/pods", None),
        ("DELETE", "/api/v1/namespaces/kube-system/pods/agent", None),
        ("DELETE", "/api/v1/namespaces/kube-system/pods", None),
        # Objects that create pods.
        ("POST", "/apis/apps/v1/namespaces/{name}/deployments", new_namespace),
        ("POST", "/apis/apps/v1/namespaces/kube-system/daemonsets", new_namespace),
        ("POST", "/apis/batch/v1/namespaces/{name}/jobs", new_namespace),
        ("DELETE", "/apis/batch/v1/namespaces/{name}/jobs", None),
        ("PATCH", f"/apis/apps/v1/namespaces/{labels.SYSTEM_NAMESPACE}/deployments/{labels.MANAGER}", {"spec": {}}),
        # Namespaces.
        ("POST", "/api/v1/namespaces", new_namespace),
        ("DELETE", "{home}", None),
        ("PATCH", "{home}", {"metadata": {"labels": {"team": "b"}}}),
        ("PATCH", "{home}", {"metadata": {"annotations": {"team": "b"}}}),
        ("PATCH", "{home}", {"metadata": {"finalizers": ["a.example.com/b"]}}),
        ("PATCH", "{home}/status", {"metadata": {"labels": {labels.PSA_ENFORCE: "privileged"}}}),
        ("PUT", "{home}/finalize", {"metadata": {"name": "{name}"}, "spec": {"finalizers": []}}),
        ("PATCH", "/api/v1/namespaces/kube-system", {"metadata": {"labels": {labels.PSA_ENFORCE: "restricted"}}}),
        ("PATCH", "/api/v1/namespaces/kube-system", {"metadata": {"annotations": {GRANT + "a": "x"}}}),
        # Objects that govern host namespaces.
        ("POST", exceptions, new_namespace),
        ("PATCH", exceptions + "/a", {"spec": {"expiry": "2099-01-01T00:00:00Z"}}),
        ("DELETE", exceptions + "/a", None),
        ("DELETE", exceptions, None),
        ("PATCH", f"{policy}/default", {"spec": {"mode": "Audit"}}),
        ("DELETE", f"{policy}/default", None),
        ("POST", policy, {"metadata": {"name": "default"}, "spec": {"mode": "Audit"}}),
        ("PATCH", guard, {"spec": {"failurePolicy": "Ignore"}}),
        ("DELETE", guard, None),
        ("PATCH", binding_path, audit),
        ("DELETE", binding_path, None),
        ("POST", f"{ADMISSION}/mutatingwebhookconfigurations", new_namespace),
        ("POST", f"{ADMISSION}/validatingwebhookconfigurations", new_namespace),
        (
            "DELETE",
            f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/hostnetworkexceptions.{labels.GROUP}",
            None,
        ),
        # The rest of a cluster.
        ("GET", "/api/v1/nodes", None),
        ("PATCH", "/api/v1/nodes/node-1", {"metadata": {"labels": {"a": "b"}}}),
        ("DELETE", "/api/v1/nodes/node-1", None),
        ("GET", "/api/v1/nodes/node-1/proxy/", None),
        ("POST", "/api/v1/persistentvolumes", new_namespace),
        ("DELETE", "{home}/events", None),
        ("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", new_namespace),
        ("PATCH", "/apis/apiregistration.k8s.io/v1/apiservices/v1.", {"spec": {}}),
        ("GET", "/metrics", None),
        ("GET", "/logs/", None),
    ]


@pytest.mark.parametrize(("method", "path", "body"), _forbidden(), ids=lambda value: str(value)[:60])
def test_what_a_thief_would_like_is_forbidden(
    cluster: controlplane.Cluster, operator_client: api.Api, target_path: str, method: str, path: str, body: Any
) -> None:
    """With the shipped rights, RBAC or a policy answers 403 to each request."""
    name = target_path.rsplit("/", 1)[1]
    target = path.format(home=target_path, name=name)
    if isinstance(body, dict) and body.get("metadata", {}).get("name") == "{name}":
        body = {**body, "metadata": {"name": name}}
    content_type = api.MERGE if method == "PATCH" else "application/json"
    answer = operator_client.request(method, target, body, content_type)
    assert answer.status == 403, f"{answer.status}: {answer.message[:500]}"
    if " cannot " not in answer.message:  # not an RBAC refusal
        workbench.refused(answer, "preview-dry-run: " if "/hostnetwork-preview-" in target else "operator-limits: ")


@pytest.fixture(scope="module")
def target_path(cluster: controlplane.Cluster, operator_client: api.Api) -> str:
    path = "/api/v1/namespaces/thiefs-home"
    metadata = {"name": "thiefs-home", "labels": {"team": "a"}}
    cluster.admin.post("/api/v1/namespaces", {"metadata": metadata}).expect(201)
    cluster.wait("its account", lambda: cluster.admin.get(f"{path}/serviceaccounts/default").status == 200)
    create_pod(cluster, path, "plain")
    return path


def test_the_list_is_long() -> None:
    """Threat T22 requires at least 60 requests."""
    assert len(_forbidden()) >= 60


# -- reports ----------------------------------------------------------------------------------------------------------

REPORTS = (
    ("/apis/openreports.io/v1alpha1", "Report", "reports"),
    ("/apis/wgpolicyk8s.io/v1alpha2", "PolicyReport", "policyreports"),
)


@pytest.mark.parametrize(("group", "kind", "plural"), REPORTS, ids=[kind for _, kind, _ in REPORTS])
def test_only_its_own_reports(
    cluster: controlplane.Cluster, operator_client: api.Api, make_namespace: Make, group: str, kind: str, plural: str
) -> None:
    """The account can create, change and delete reports with the operator's names, but no report of another tool."""
    path_suffix = make_namespace().removeprefix("/api/v1")
    path = f"{group}{path_suffix}/{plural}"
    cluster.wait("the kind", lambda: cluster.admin.get(path).status == 200)
    body = {"apiVersion": group.removeprefix("/apis/"), "kind": kind, "results": [{"policy": "p", "result": "pass"}]}
    own_report, other_report = ({**body, "metadata": {"name": name}} for name in ("hostnetwork-1", "1"))
    text = "operator-limits: the operator may only write reports with the name hostnetwork-<uid>, got another name"
    workbench.refused(operator_client.post(path, other_report), text)
    workbench.refused(operator_client.post(path, {**body, "metadata": {"generateName": "any-"}}), text)
    cluster.admin.post(path, other_report).expect(201)
    workbench.refused(operator_client.patch(f"{path}/1", {"results": []}), text)
    workbench.refused(operator_client.delete(f"{path}/1"), text)
    operator_client.post(path, own_report).expect(201)
    operator_client.patch(f"{path}/hostnetwork-1", {"results": []}).expect(200)
    operator_client.delete(f"{path}/hostnetwork-1").expect(200)
