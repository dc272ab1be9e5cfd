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
    complete = [{"name": f"c{n}", "image": "app:1", **container} for n, container in enumerate(containers or ({},))]
    return {"metadata": {**META, **(metadata or {})}, "spec": {"hostNetwork": True, "containers": complete, **spec}}


def read_pod(*containers: dict[str, Any], **fields: Any) -> snapshot.Pod:
    pod = parse.pod(body(*containers, **fields))
    assert isinstance(pod, snapshot.Pod), pod
    return pod


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
        == read_pod()
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
    pod = read_pod(**lists, volumes=[{"name": "v", "hostPath": {"path": "/etc"}}])
    assert ({"app:1", "evil:1"}, {"SYS_ADMIN"}, True) == (pod.images, pod.capabilities, pod.host_ports)
    bad["securityContext"] = {"privileged": True}
    assert read_pod(**lists).privileged
    assert {grant.HostPathAccess("/etc", read_only=False)} == pod.host_paths


def test_what_a_privileged_container_adds_is_nothing() -> None:
    """A privileged container has every capability. Capabilities that another container of the pod adds count."""
    context = {"capabilities": {"add": ["SYS_ADMIN"]}}
    privileged = {"name": "p", "image": "a:1", "securityContext": {"privileged": True, **context}}
    other = {"name": "c", "image": "a:1", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}
    assert {"NET_ADMIN"} == read_pod(containers=[privileged, other]).capabilities


def test_all_three_lists_are_read() -> None:
    """No list is forgotten when others exist."""
    assert {"a:0", "a:1", "a:2"} == read_pod(
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
        {"volumeMounts": [{"name": "v", "mountPath": f"/{n}", **mount} for n, mount in enumerate(container_mounts)]}
        for container_mounts in mounts
    ]
    other = {"name": "w", "emptyDir": {}}
    pod = read_pod(*containers, volumes=[other, {"name": "v", "hostPath": {"path": "/var/lib", "type": ""}}])
    assert {grant.HostPathAccess("/var/lib", read_only=read_only)} == pod.host_paths


@pytest.mark.parametrize("kind", ["DirectoryOrCreate", "FileOrCreate", "Socket", "", "Directory", "File", None])
def test_a_type_that_writes_is_never_read_only(kind: str | None) -> None:
    """The kubelet creates what does not exist, and a socket can be written to through a read-only mount, too."""
    mount = {"name": "v", "mountPath": "/v", "readOnly": True}
    pod = read_pod({"volumeMounts": [mount]}, volumes=[{"name": "v", "hostPath": {"path": "/run/s", "type": kind}}])
    writes = kind in {"DirectoryOrCreate", "FileOrCreate", "Socket"}
    assert {grant.HostPathAccess("/run/s", read_only=not writes)} == pod.host_paths


def test_mounts_of_other_volumes_say_nothing() -> None:
    """Only mounts with the name of the volume count. A volume that is no hostPath has no host path."""
    pod = read_pod(
        {"volumeMounts": [{"name": "w", "mountPath": "/w"}]}, volumes=[{"name": "v", "hostPath": {"path": "/etc"}}]
    )
    assert {grant.HostPathAccess("/etc", read_only=True)} == pod.host_paths


@pytest.mark.parametrize("value", [None, [], {}], ids=str)
def test_absent_null_and_empty_are_the_same(value: Any) -> None:
    """This applies to every list and every context that is read."""
    empty = {"securityContext": value or {}, "volumeMounts": value or []}
    null = {"securityContext": None, "volumeMounts": None}
    spec = {"volumes": value or [], "initContainers": value or None, "serviceAccountName": (value and "") or None}
    assert read_pod() == read_pod(empty, **spec) == read_pod(null, **spec)
    assert read_pod() == read_pod({"securityContext": {"capabilities": None}})
    assert read_pod() == read_pod({"securityContext": {"capabilities": {"add": None}}})
    assert read_pod() == read_pod(metadata={"labels": None, "annotations": None, "ownerReferences": None})


def test_the_service_account_and_node_are_read() -> None:
    """They are read as the API server has filled them in."""
    pod = read_pod(serviceAccountName="netdebug", nodeName="node-1")
    assert (pod.service_account, pod.node) == ("netdebug", "node-1")


def test_a_mirror_pod_is_known_by_its_annotation() -> None:
    """Whatever its value: the API server lets only kubelets set it."""
    assert read_pod(metadata={"annotations": {labels.MIRROR: ""}}).mirror
    assert not read_pod(metadata={"annotations": {"other": "x"}}).mirror


def test_a_pod_on_its_way_out_is_known() -> None:
    """The deletion timestamp shows it."""
    assert read_pod(metadata={"deletionTimestamp": "2026-11-22T12:00:00Z"}).deleting


@pytest.mark.parametrize(
    ("time", "seconds"), [("2026-11-22T12:00:00Z", 18446744074), ("1734-03-01T00:00:00Z", 9223372037)]
)
def test_a_grace_that_overflows_never_ends(time: str, seconds: int) -> None:
    """The API server computes an end in the past from such a grace period, and stores the grace period as requested."""
    pod = read_pod(metadata={"deletionTimestamp": time, "deletionGracePeriodSeconds": seconds})
    assert pod.to_be_gone is not None
    assert pod.to_be_gone.year == 9000


def test_the_verdict_label_is_read_as_it_stands() -> None:
    """Even if it is forged."""
    assert read_pod(metadata={"labels": {labels.VERDICT: "Covered"}}).verdict_label == "Covered"


def test_the_owner_is_the_controller() -> None:
    """Of several owner references the one that controls counts. The owner is in the namespace of the pod."""
    other_reference = {"kind": "Thing", "name": "x", "uid": "1", "apiVersion": "v1"}
    controller_reference = {
        "kind": "DaemonSet",
        "name": "agent",
        "uid": "2",
        "apiVersion": "apps/v1",
        "controller": True,
    }
    owner = snapshot.Reference("DaemonSet", "payments", "agent", "2", "apps/v1")
    assert owner == read_pod(metadata={"ownerReferences": [other_reference, controller_reference]}).owner
    assert None is read_pod(metadata={"ownerReferences": [other_reference]}).owner


@pytest.mark.parametrize("owners", [[{"controller": True}], ["text"], 7, {"kind": "Job"}])
def test_an_owner_that_is_not_understood_is_none(owners: Any) -> None:
    """No decision rests on an owner, so the pod is judged nevertheless."""
    assert read_pod(metadata={"ownerReferences": owners}).owner is None


def pod_without(path: str) -> dict[str, Any]:
    pod = copy.deepcopy(
        body({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, volumes=[{"name": "v", "hostPath": {"path": "/"}}])
    )
    *parents, last = path.split(".")
    parent: Any = pod
    for step in parents:
        parent = parent[int(step) if step.isdigit() else step]
    del parent[last]
    return pod


@pytest.mark.parametrize(
    "broken",
    [
        pod_without("spec"),
        pod_without("metadata.resourceVersion"),
        pod_without("metadata.creationTimestamp"),
        pod_without("spec.containers.0.image"),
        pod_without("spec.volumes.0.name"),
        body(volumes=[{"name": "v", "hostPath": {"type": ""}}]),
        pod_without("spec.containers.0.volumeMounts.0.name"),
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
    unreadable = parse.pod(broken)
    assert isinstance(unreadable, snapshot.UnreadablePod)
    assert (unreadable.namespace, unreadable.name, unreadable.uid) == ("payments", "capture", "u")
    assert unreadable.why


# -- namespaces -----------------------------------------------------------------------------------------------------


def managed_entry(manager: str | None, *fields: str) -> dict[str, Any]:
    entry = {"fieldsV1": {"f:metadata": {"f:labels": {f"f:{field}": {} for field in fields}}}}
    return {**entry, "manager": manager} if manager is not None else entry


def test_a_namespace_is_read() -> None:
    """Whatever its managedFields say: a tenant can reset them, or write under any name."""
    namespace_state = parse.namespace(
        {
            "metadata": {
                **META,
                "labels": {"team": "net"},
                "managedFields": [{"manager": "argocd", "time": "0000-01-01T00:00:00Z", "fieldsV1": 7}, {}],
                "deletionTimestamp": "2026-11-22T12:00:00Z",
            }
        }
    )
    assert (
        namespace_state.labels,
        namespace_state.annotations,
        namespace_state.terminating,
        namespace_state.created,
    ) == ({"team": "net"}, {}, True, NOW)


def test_a_bare_namespace_is_read() -> None:
    """A namespace needs only what every object has."""
    namespace_state = parse.namespace({"metadata": META})
    assert (
        namespace_state.labels,
        namespace_state.annotations,
        namespace_state.enforcement,
        namespace_state.terminating,
    ) == ({}, {}, None, False)


@pytest.mark.parametrize(("value", "is_known"), [("Deny", True), ("deny", False), ("", False), ("Off", False)])
def test_an_enforcement_label_with_another_value_is_none(value: str, is_known: bool) -> None:
    """Only the three words of the enforcement label count."""
    namespace_state = parse.namespace({"metadata": {**META, "labels": {labels.ENFORCEMENT: value}}})
    assert is_known is (namespace_state.enforcement is not None)


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
    subject = parse.host_network_exception(
        {"metadata": META, "spec": SPEC, "status": {"namespaceUID": "n", "coveredPods": 2}}
    )
    assert isinstance(subject, exception.HostNetworkException)
    assert (
        subject.metadata.name,
        subject.spec.type,
        subject.status.namespace_uid,
        subject.status.covered_pods,
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
    unreadable = parse.host_network_exception({"metadata": {**META, "generation": 4}, "spec": spec})
    assert isinstance(unreadable, snapshot.UnreadableException)
    assert (unreadable.namespace, unreadable.name, unreadable.uid) == ("payments", "capture", "u")
    assert unreadable.why.startswith("spec")
    assert unreadable.generation == 4


@pytest.mark.parametrize("status", [7, {"conditions": [{"type": "Ready"}]}, {"coveredPods": -1}, None], ids=str)
def test_a_status_that_does_not_fit_makes_no_exception_unreadable(status: Any) -> None:
    """While exception-writers is missing, a tenant can write any status. No decision rests on a status."""
    subject = parse.host_network_exception({"metadata": META, "spec": SPEC, "status": status})
    assert isinstance(subject, exception.HostNetworkException)
    assert subject.status == exception.ExceptionStatus()


def test_a_policy_is_read() -> None:
    """The spec and the generation are read."""
    policy_object = parse.host_network_policy({"metadata": {**META, "generation": 2}, "spec": {"mode": "Audit"}})
    assert (
        policy_object.uid,
        policy_object.resource_version,
        policy_object.generation,
        policy_object.mistake,
        policy_object.spec and policy_object.spec.mode,
    ) == ("u", "7", 2, "", policy.Mode.AUDIT)


@pytest.mark.parametrize(
    "spec", [None, {}, {"mode": "Never"}, {"mode": "Audit", "exceptions": {"unusedAfter": "1d"}}], ids=str
)
def test_a_broken_policy_says_what_is_wrong(spec: Any) -> None:
    """The policy exists, has no spec, and names the field."""
    policy_object = parse.host_network_policy({"metadata": META, "spec": spec, "status": {"conditions": 7}})
    assert None is policy_object.spec
    assert policy_object.mistake
    assert policy.PolicyStatus() == policy_object.status


@pytest.mark.parametrize(
    ("spec", "closed"),
    [({"failurePolicy": "Fail"}, True), ({}, True), (None, True), ({"failurePolicy": "Ignore"}, False)],
)
def test_an_admission_policy_fails_closed_unless_it_says_ignore(spec: Any, closed: bool) -> None:
    """Fail is the default of Kubernetes."""
    parsed = parse.admission_policy({"metadata": {**META, "generation": 3}, "spec": spec})
    assert (parsed.name, parsed.uid, parsed.generation, parsed.created) == ("capture", "u", 3, NOW)
    assert (parsed.fails_closed, parsed.deleting) == (closed, False)


@pytest.mark.parametrize(
    ("actions", "denies"), [(["Deny"], True), (["Deny", "Audit"], True), (["Warn", "Audit"], False), (None, False)]
)
def test_a_binding_denies_where_deny_is_among_its_actions(actions: Any, denies: bool) -> None:
    """Warn and Audit refuse nothing."""
    binding_body = {
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
        bound=fingerprint.bound(binding_body["spec"]),
        deleting=True,
    )
    assert expected == parse.admission_binding(binding_body)
