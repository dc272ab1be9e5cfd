"""API objects become what decisions read. An object that is not understood is Unreadable, and breaks nothing else."""

import copy
from typing import Any

import pytest

from hostnetwork_operator.api import exception, fingerprint, grant, labels, policy
from hostnetwork_operator.decide import guards, snapshot
from hostnetwork_operator.observe import parse
from tests.unit.builders import NOW

META = {
    "namespace": "payments",
    "name": "capture",
    "uid": "u",
    "resourceVersion": "7",
    "creationTimestamp": "2026-11-22T12:00:00Z",
}


def body(*containers: dict[str, Any], metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    named = [{"name": f"c{n}", "image": "app:1", **one} for n, one in enumerate(containers or ({},))]
    return {"metadata": {**META, **(metadata or {})}, "spec": {"hostNetwork": True, "containers": named, **spec}}


def read(*containers: dict[str, Any], **fields: Any) -> snapshot.Pod:
    made = parse.pod(body(*containers, **fields))
    assert isinstance(made, snapshot.Pod), made
    return made


def test_a_plain_pod_is_read() -> None:
    """Absent fields get the defaults of Kubernetes."""
    assert (
        snapshot.Pod(
            namespace="payments",
            name="capture",
            uid="u",
            resource_version="7",
            created=NOW,
            service_account="default",
            host_namespaces=frozenset({labels.HostNamespace.NETWORK}),
            images=frozenset({"app:1"}),
        )
        == read()
    )


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({}, set()),
        ({"hostNetwork": True}, {"Network"}),
        ({"hostPID": True, "hostIPC": True}, {"PID", "IPC"}),
        ({"hostNetwork": False, "hostPID": None}, set()),
        (None, set()),
    ],
)
def test_host_namespaces_are_those_that_are_true(spec: dict[str, Any] | None, names: set[str]) -> None:
    """False, null and absent mean the same."""
    assert names == set(parse.host_namespaces({"spec": spec}))


LISTS = ("initContainers", "containers", "ephemeralContainers")


@pytest.mark.parametrize("kind", LISTS)
def test_every_container_of_every_kind_counts(kind: str) -> None:
    """Its image, its capabilities, its privilege, its mounts and its host ports."""
    bad = {
        "name": "bad",
        "image": "evil:1",
        "volumeMounts": [{"name": "v", "mountPath": "/x"}],
        "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}},
        "ports": [{"containerPort": 80, "hostPort": 80}],
    }
    plain = [{"name": "c", "image": "app:1"}]
    lists = {"containers": plain, kind: [*plain, bad]} if kind == "containers" else {"containers": plain, kind: [bad]}
    found = read(**lists, volumes=[{"name": "v", "hostPath": {"path": "/etc"}}])
    assert ({"app:1", "evil:1"}, {"SYS_ADMIN"}, True) == (found.images, found.capabilities, found.host_ports)
    bad["securityContext"] = {"privileged": True}
    assert read(**lists).privileged
    assert {grant.HostPathAccess("/etc", read_only=False)} == found.host_paths


def test_what_a_privileged_container_adds_is_nothing() -> None:
    """A privileged container has every capability. Capabilities that another container of the pod adds count."""
    adds = {"capabilities": {"add": ["SYS_ADMIN"]}}
    privileged = {"name": "p", "image": "a:1", "securityContext": {"privileged": True, **adds}}
    other = {"name": "c", "image": "a:1", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}
    assert {"NET_ADMIN"} == read(containers=[privileged, other]).capabilities


def test_all_three_lists_are_read() -> None:
    """No list is forgotten when others exist."""
    assert {"a:0", "a:1", "a:2"} == read(
        **{kind: [{"name": "c", "image": f"a:{n}"}] for n, kind in enumerate(LISTS)}
    ).images


@pytest.mark.parametrize(
    ("mounts", "read_only"),
    [
        ([], True),
        ([[{"readOnly": True}]], True),
        ([[{}]], False),
        ([[{"readOnly": False}]], False),
        ([[{"readOnly": True}, {}]], False),
        ([[{"readOnly": True}], [{"readOnly": False}]], False),
        ([[{"readOnly": True}], [{"readOnly": True}]], True),
    ],
)
def test_a_host_path_is_read_only_where_every_mount_is(mounts: list[list[dict[str, Any]]], read_only: bool) -> None:
    """One mount that writes is enough. A volume that no container mounts is read-only."""
    containers = [
        {"volumeMounts": [{"name": "v", "mountPath": f"/{n}", **m} for n, m in enumerate(some)]} for some in mounts
    ]
    other = {"name": "w", "emptyDir": {}}
    found = read(*containers, volumes=[other, {"name": "v", "hostPath": {"path": "/var/lib", "type": ""}}])
    assert {grant.HostPathAccess("/var/lib", read_only=read_only)} == found.host_paths


@pytest.mark.parametrize("kind", ["DirectoryOrCreate", "FileOrCreate", "Socket", "", "Directory", "File", None])
def test_a_type_that_writes_is_never_read_only(kind: str | None) -> None:
    """The kubelet creates what does not exist, and a socket can be written to through a read-only mount, too."""
    mount = {"name": "v", "mountPath": "/v", "readOnly": True}
    found = read({"volumeMounts": [mount]}, volumes=[{"name": "v", "hostPath": {"path": "/run/s", "type": kind}}])
    writes = kind in {"DirectoryOrCreate", "FileOrCreate", "Socket"}
    assert {grant.HostPathAccess("/run/s", read_only=not writes)} == found.host_paths


def test_mounts_of_other_volumes_say_nothing() -> None:
    """Only mounts with the name of the volume count. A volume that is no hostPath has no host path."""
    found = read(
        {"volumeMounts": [{"name": "w", "mountPath": "/w"}]}, volumes=[{"name": "v", "hostPath": {"path": "/etc"}}]
    )
    assert {grant.HostPathAccess("/etc", read_only=True)} == found.host_paths


@pytest.mark.parametrize("value", [None, [], {}], ids=str)
def test_absent_null_and_empty_are_the_same(value: Any) -> None:
    """This applies to every list and every context that is read."""
    empty = {"securityContext": value or {}, "volumeMounts": value or []}
    null = {"securityContext": None, "volumeMounts": None}
    spec = {"volumes": value or [], "initContainers": value or None, "serviceAccountName": (value and "") or None}
    assert read() == read(empty, **spec) == read(null, **spec)
    assert read() == read({"securityContext": {"capabilities": None}})
    assert read() == read({"securityContext": {"capabilities": {"add": None}}})
    assert read() == read(metadata={"labels": None, "annotations": None, "ownerReferences": None})


def test_the_service_account_and_node_are_read() -> None:
    """They are read as the API server has filled them in."""
    found = read(serviceAccountName="netdebug", nodeName="node-1")
    assert (found.service_account, found.node) == ("netdebug", "node-1")


def test_a_mirror_pod_is_known_by_its_annotation() -> None:
    """Whatever its value: the API server lets only kubelets set it."""
    assert read(metadata={"annotations": {labels.MIRROR: ""}}).mirror
    assert not read(metadata={"annotations": {"other": "x"}}).mirror


def test_a_pod_on_its_way_out_is_known() -> None:
    """The deletion timestamp shows it."""
    assert read(metadata={"deletionTimestamp": "2026-11-22T12:00:00Z"}).deleting


@pytest.mark.parametrize(
    ("time", "seconds"), [("2026-11-22T12:00:00Z", 18446744074), ("1734-03-01T00:00:00Z", 9223372037)]
)
def test_a_grace_that_overflows_never_ends(time: str, seconds: int) -> None:
    """The API server computes an end in the past from such a grace period, and stores the grace period as requested."""
    going = read(metadata={"deletionTimestamp": time, "deletionGracePeriodSeconds": seconds})
    assert going.to_be_gone is not None
    assert going.to_be_gone.year == 9000


def test_the_verdict_label_is_read_as_it_stands() -> None:
    """Even if it is forged."""
    assert read(metadata={"labels": {labels.VERDICT: "Covered"}}).verdict_label == "Covered"


def test_the_owner_is_the_controller() -> None:
    """Of several owner references the one that controls counts. The owner is in the namespace of the pod."""
    one = {"kind": "Thing", "name": "x", "uid": "1", "apiVersion": "v1"}
    two = {"kind": "DaemonSet", "name": "agent", "uid": "2", "apiVersion": "apps/v1", "controller": True}
    owner = snapshot.Reference("DaemonSet", "payments", "agent", "2", "apps/v1")
    assert owner == read(metadata={"ownerReferences": [one, two]}).owner
    assert None is read(metadata={"ownerReferences": [one]}).owner


@pytest.mark.parametrize("owners", [[{"controller": True}], ["text"], 7, {"kind": "Job"}])
def test_an_owner_that_is_not_understood_is_none(owners: Any) -> None:
    """No decision rests on an owner, so the pod is judged nevertheless."""
    assert read(metadata={"ownerReferences": owners}).owner is None


def without(path: str) -> dict[str, Any]:
    made = copy.deepcopy(
        body({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, volumes=[{"name": "v", "hostPath": {"path": "/"}}])
    )
    *parents, last = path.split(".")
    at: Any = made
    for part in parents:
        at = at[int(part) if part.isdigit() else part]
    del at[last]
    return made


@pytest.mark.parametrize(
    "broken",
    [
        without("spec"),
        without("metadata.resourceVersion"),
        without("metadata.creationTimestamp"),
        without("spec.containers.0.image"),
        without("spec.volumes.0.name"),
        body(volumes=[{"name": "v", "hostPath": {"type": ""}}]),
        without("spec.containers.0.volumeMounts.0.name"),
        {**body(), "spec": None},
        {**body(), "spec": "text"},
        body(metadata={"creationTimestamp": "yesterday"}),
        body(metadata={"creationTimestamp": None}),
        body(metadata={"creationTimestamp": 7}),
        body(containers=7),
        body(containers=["text"]),
        body(containers=[None]),
        body(initContainers={"a": 1}),
        body(volumes=[7]),
        body(volumes=[{"name": "v", "hostPath": "text"}]),
        body({"securityContext": "text"}),
        body({"securityContext": {"capabilities": ["text"]}}),
        body({"securityContext": {"capabilities": {"add": 7}}}),
        body({"image": ["a"]}),
        body({"image": {}}),
        body({"volumeMounts": [7]}, volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
        body(metadata={"annotations": 7}),
        body(metadata={"labels": "text"}),
    ],
)
def test_a_pod_that_is_not_understood_is_unreadable(broken: dict[str, Any]) -> None:
    """The result says what was wrong with the pod. Such a pod is neither covered nor uncovered."""
    made = parse.pod(broken)
    assert isinstance(made, snapshot.UnreadablePod)
    assert (made.namespace, made.name, made.uid) == ("payments", "capture", "u")
    assert made.why


# -- namespaces -----------------------------------------------------------------------------------------------------


def managed(manager: str | None, *fields: str) -> dict[str, Any]:
    entry = {"fieldsV1": {"f:metadata": {"f:labels": {f"f:{field}": {} for field in fields}}}}
    return {**entry, "manager": manager} if manager is not None else entry


def test_a_namespace_is_read() -> None:
    """Whatever its managedFields say: a tenant can reset them, or write under any name."""
    found = parse.namespace(
        {
            "metadata": {
                **META,
                "labels": {"team": "net"},
                "managedFields": [{"manager": "argocd", "time": "0000-01-01T00:00:00Z", "fieldsV1": 7}, {}],
                "deletionTimestamp": "2026-11-22T12:00:00Z",
            }
        }
    )
    assert (found.labels, found.annotations, found.terminating, found.created) == ({"team": "net"}, {}, True, NOW)


def test_a_bare_namespace_is_read() -> None:
    """A namespace needs only what every object has."""
    found = parse.namespace({"metadata": META})
    assert (found.labels, found.annotations, found.enforcement, found.terminating) == ({}, {}, None, False)


@pytest.mark.parametrize(("value", "known"), [("Deny", True), ("deny", False), ("", False), ("Off", False)])
def test_an_enforcement_label_with_another_value_is_none(value: str, known: bool) -> None:
    """Only the three words of the enforcement label count."""
    found = parse.namespace({"metadata": {**META, "labels": {labels.ENFORCEMENT: value}}})
    assert known is (found.enforcement is not None)


def test_grants_are_found_by_their_prefix() -> None:
    """The rest of the key is the name of the exception. Other annotations are no grants."""
    notes = {labels.GRANT_PREFIX + "net": "line", labels.HELD_BY: "x", "grant.example.com/other": "y"}
    assert parse.namespace({"metadata": {**META, "annotations": notes}}).grants == {"net": "line"}


# -- our own kinds --------------------------------------------------------------------------------------------------

SPEC = {
    "type": "Diagnostic",
    "owner": "o",
    "reason": "Capture SYN retries",
    "ticket": "t",
    "expiry": "2026-11-22T16:00:00Z",
    "images": ["app:1"],
}


def test_an_exception_is_read() -> None:
    """The metadata and the status are read too."""
    found = parse.host_network_exception(
        {"metadata": META, "spec": SPEC, "status": {"namespaceUID": "n", "coveredPods": 2}}
    )
    assert isinstance(found, exception.HostNetworkException)
    assert (
        found.metadata.name,
        found.spec.type,
        found.status.namespace_uid,
        found.status.covered_pods,
    ) == ("capture", "Diagnostic", "n", 2)


@pytest.mark.parametrize(
    "spec",
    [
        None,
        {},
        {**SPEC, "type": "Future"},
        {**SPEC, "expiry": "soon"},
        {**SPEC, "images": "app:1"},
        {**SPEC, "hostNamespaces": ["UTS"]},
    ],
    ids=["null", "empty", "type", "expiry", "images", "namespaces"],
)
def test_an_exception_of_another_release_is_unreadable(spec: Any) -> None:
    """The result names the field that does not fit. Such an exception grants nothing."""
    found = parse.host_network_exception({"metadata": {**META, "generation": 4}, "spec": spec})
    assert isinstance(found, snapshot.UnreadableException)
    assert (found.namespace, found.name, found.uid) == ("payments", "capture", "u")
    assert found.why.startswith("spec")
    assert found.generation == 4


@pytest.mark.parametrize("status", [7, {"conditions": [{"type": "Ready"}]}, {"coveredPods": -1}, None], ids=str)
def test_a_status_that_does_not_fit_makes_no_exception_unreadable(status: Any) -> None:
    """While exception-writers is missing, a tenant can write any status. No decision rests on a status."""
    found = parse.host_network_exception({"metadata": META, "spec": SPEC, "status": status})
    assert isinstance(found, exception.HostNetworkException)
    assert found.status == exception.ExceptionStatus()


def test_a_policy_is_read() -> None:
    """The spec and the generation are read."""
    found = parse.host_network_policy({"metadata": {**META, "generation": 2}, "spec": {"mode": "Audit"}})
    assert (
        found.uid,
        found.resource_version,
        found.generation,
        found.mistake,
        found.spec and found.spec.mode,
    ) == ("u", "7", 2, "", policy.Mode.AUDIT)


@pytest.mark.parametrize(
    "spec", [None, {}, {"mode": "Never"}, {"mode": "Audit", "exceptions": {"unusedAfter": "1d"}}], ids=str
)
def test_a_broken_policy_says_what_is_wrong(spec: Any) -> None:
    """The policy exists, has no spec, and names the field."""
    found = parse.host_network_policy({"metadata": META, "spec": spec, "status": {"conditions": 7}})
    assert None is found.spec
    assert found.mistake
    assert policy.PolicyStatus() == found.status


@pytest.mark.parametrize(
    ("spec", "closed"),
    [({"failurePolicy": "Fail"}, True), ({}, True), (None, True), ({"failurePolicy": "Ignore"}, False)],
)
def test_an_admission_policy_fails_closed_unless_it_says_ignore(spec: Any, closed: bool) -> None:
    """Fail is the default of Kubernetes."""
    found = parse.admission_policy({"metadata": {**META, "generation": 3}, "spec": spec})
    assert (found.name, found.uid, found.generation, found.created) == ("capture", "u", 3, NOW)
    assert (found.fails_closed, found.deleting) == (closed, False)


@pytest.mark.parametrize(
    ("actions", "denies"), [(["Deny"], True), (["Deny", "Audit"], True), (["Warn", "Audit"], False), (None, False)]
)
def test_a_binding_denies_where_deny_is_among_its_actions(actions: Any, denies: bool) -> None:
    """Warn and Audit refuse nothing."""
    given = {
        "metadata": {**META, "generation": 3, "deletionTimestamp": "2026-11-22T12:00:00Z"},
        "spec": {"policyName": "p", "validationActions": actions},
    }
    expected = guards.Binding(
        name="capture",
        uid="u",
        generation=3,
        created=NOW,
        policy="p",
        denies=denies,
        bound=fingerprint.bound(given["spec"]),
        deleting=True,
    )
    assert expected == parse.admission_binding(given)
