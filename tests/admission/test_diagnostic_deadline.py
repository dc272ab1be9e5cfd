"""diagnostic-deadline: the kubelet ends a pod under a Diagnostic grant after a day, even if nothing else runs."""

import datetime
import itertools
from typing import Any

import pytest

from hostnetwork_operator.api import grant as grants
from hostnetwork_operator.api import labels
from tests.admission import workbench
from tests.admission.workbench import Home, grant, pod
from tests.controlplane import cluster as controlplane

pytestmark = pytest.mark.since("1.36", "MutatingAdmissionPolicy")
DAY = 86400
NOON = datetime.datetime(2100, 1, 1, 12, tzinfo=datetime.UTC)
_numbers = itertools.count(1)


def create_namespace(cluster: controlplane.Cluster, enforcement: str | None = "Deny") -> Home:
    """Create a namespace at privileged with this value of the enforcement label."""
    body = {"metadata": {"name": f"deadline-{next(_numbers)}", "labels": {labels.PSA_ENFORCE: "privileged"}}}
    namespace = Home(cluster, cluster.admin.post("/api/v1/namespaces", body).expect(201).body["metadata"]["name"])
    cluster.admin.patch(namespace.path, {"metadata": {"labels": {labels.ENFORCEMENT: enforcement}}}).expect(200)
    cluster.admin.post(f"{namespace.path}/serviceaccounts", {"metadata": {"name": "default"}}).expect(201, 409)
    return namespace


def diagnostic(**fields: Any) -> grants.Grant:
    return grant(**{"type": "Diagnostic", "until": NOON, **fields})


def deadline(namespace: Home, body: dict[str, Any]) -> int | None:
    """Return the deadline with which the API server would store the pod."""
    stored = namespace.create(body).expect(201).body["spec"].get("activeDeadlineSeconds")
    return None if stored is None else int(stored)


@pytest.fixture
def namespace(full_cluster: controlplane.Cluster) -> Home:
    """An enforced namespace with a Diagnostic grant."""
    namespace = create_namespace(full_cluster)
    namespace.give(capture=diagnostic())
    return namespace


@pytest.mark.parametrize(
    ("requested", "stored"), [(None, DAY), (DAY + 1, DAY), (2**31 - 1, DAY), (DAY, DAY), (DAY - 1, DAY - 1), (1, 1)]
)
def test_a_day_is_the_most(namespace: Home, requested: int | None, stored: int) -> None:
    """A missing or larger deadline becomes one day; a smaller deadline stays."""
    fields = {} if requested is None else {"activeDeadlineSeconds": requested}
    assert deadline(namespace, pod(hostNetwork=True, **fields)) == stored


@pytest.mark.parametrize("restart", ["Always", "OnFailure", "Never"])
def test_whatever_its_restart_policy(namespace: Home, restart: str) -> None:
    """The kubelet fails a pod at its deadline even if the restart policy would restart its containers."""
    assert deadline(namespace, pod(hostNetwork=True, restartPolicy=restart)) == DAY


@pytest.mark.parametrize("field", ["hostNetwork", "hostPID", "hostIPC"])
def test_each_host_namespace_counts(namespace: Home, field: str) -> None:
    """A single host namespace is enough for the deadline."""
    namespace.give(capture=diagnostic(host_namespaces=frozenset(labels.HostNamespace)))
    assert deadline(namespace, pod(**{field: True})) == DAY


def test_an_ordinary_pod_is_left_as_it_is(namespace: Home) -> None:
    """The policy does not change a pod without host namespaces, even beside a Diagnostic grant that fits the pod."""
    assert deadline(namespace, pod()) is None
    assert deadline(namespace, pod(hostNetwork=False, activeDeadlineSeconds=DAY + 1)) == DAY + 1


def test_the_deadline_is_not_moved_afterwards(namespace: Home) -> None:
    """The deadline can be shortened, but not raised or removed."""
    path = namespace.put_up(pod(hostNetwork=True))
    for later in (DAY + 1, None):
        namespace.cluster.admin.patch(path, {"spec": {"activeDeadlineSeconds": later}}).expect(422)
    namespace.cluster.admin.patch(path, {"spec": {"activeDeadlineSeconds": 60}}).expect(200)


OTHER = datetime.timedelta(hours=1)


@pytest.mark.parametrize(
    ("other", "stored"),
    [
        (grant(), None),
        (grant(until=NOON), None),
        (grant(type="Application", until=NOON + OTHER), None),
        (grant(type="Application", until=NOON), None),
        (grant(type="Application", until=NOON - OTHER), DAY),
        (grant(until=NOON - OTHER), DAY),
        (diagnostic(until=NOON + OTHER), DAY),
        (grant(images=("another:1",)), DAY),
        (grant(service_account="another"), DAY),
    ],
    ids=[
        "permanent",
        "infrastructure of the same end",
        "longer application",
        "application of the same end",
        "shorter application",
        "shorter infrastructure",
        "another diagnostic",
        "for another image",
        "for another account",
    ],
)
def test_of_several_grants_the_longest_counts(namespace: Home, other: grants.Grant, stored: int | None) -> None:
    """A pod gets no deadline if a fitting grant of another type lasts at least as long as the Diagnostic grant."""
    namespace.give(other=other)
    assert deadline(namespace, pod(hostNetwork=True)) == stored


def test_under_another_type_alone_there_is_none(full_cluster: controlplane.Cluster) -> None:
    """Pods under Infrastructure and Application grants get no deadline."""
    namespace = create_namespace(full_cluster)
    for other_grant in (grant(), grant(type="Application", until=NOON)):
        namespace.give(one=other_grant)
        assert deadline(namespace, pod(hostNetwork=True)) is None
        assert deadline(namespace, pod(hostNetwork=True, activeDeadlineSeconds=DAY + 1)) == DAY + 1


def test_an_uncovered_pod_is_refused_as_before(namespace: Home) -> None:
    """The refusal has the message of host-namespaces, with or without a deadline in the pod."""
    for fields in ({}, {"activeDeadlineSeconds": 60}):
        namespace.refuses(pod({"image": "another:1"}, hostNetwork=True, **fields), "does not list image another:1")


def test_where_a_level_is_lifted(full_cluster: controlplane.Cluster) -> None:
    """The policy also writes the deadline in a namespace with a guard, at either guard level."""
    for guard in ("baseline", "restricted"):
        namespace = create_namespace(full_cluster)
        full_cluster.admin.patch(namespace.path, {"metadata": {"labels": {labels.GUARD: guard}}}).expect(200)
        namespace.give(capture=diagnostic())
        # The pod meets the guard's level, so only the level of its grant applies.
        full_cluster.wait("the deadline", lambda namespace=namespace: deadline(namespace, pod(hostNetwork=True)) == DAY)


def test_where_enforcement_is_held_or_audited(full_cluster: controlplane.Cluster) -> None:
    """Held namespaces get the deadline, because the operator deletes diagnostic pods there too.

    The policy sets no deadline in Audit and ungoverned namespaces.
    """
    for enforcement, stored in (("Deny", DAY), ("Held", DAY), ("Audit", None), (None, None)):
        namespace = create_namespace(full_cluster, enforcement)
        annotations = {labels.GRANT_PREFIX + "capture": namespace.line(diagnostic())}
        full_cluster.admin.patch(namespace.path, {"metadata": {"annotations": annotations}}).expect(200)
        if stored:
            full_cluster.wait(
                "the deadline", lambda namespace=namespace: deadline(namespace, pod(hostNetwork=True)) == DAY
            )
            continue
        namespace.give(infrastructure=grant(images=("another:1",)))
        assert deadline(namespace, pod(hostNetwork=True)) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda line: line.replace("|Diagnostic|", "|diagnostic|"),
        lambda line: line.replace("|baseline|", "|other|"),
        lambda line: line + "|",
        lambda line: "00000000-0000-4000-8000-000000000000" + line[36:],
        lambda line: "",
        lambda line: "||||||||||",
    ],
    ids=["type", "level", "longer", "other namespace", "empty", "separators"],
)
def test_a_malformed_grant_is_none(full_cluster: controlplane.Cluster, spoil: Any) -> None:
    """A malformed grant sets no deadline and breaks no other grant and no admission.

    The test uses a Held namespace, where nothing is refused.
    """
    namespace = create_namespace(full_cluster, "Held")
    namespace.give(capture=spoil(namespace.line(diagnostic())))
    assert deadline(namespace, pod(hostNetwork=True)) is None
    namespace.give(good=diagnostic())
    full_cluster.wait("the deadline", lambda: deadline(namespace, pod(hostNetwork=True)) == DAY)


def test_a_mirror_pod_of_a_kubelet_is_left_as_it_is(namespace: Home) -> None:
    """A mirror pod shows a pod that already runs.

    From any other user it is refused, so the annotation cannot evade the deadline.
    """
    node = namespace.cluster.nodes[0]
    uid = namespace.cluster.admin.get(f"/api/v1/nodes/{node}").expect(200).body["metadata"]["uid"]
    body = pod(hostNetwork=True, nodeName=node)
    body["metadata"]["annotations"] = {labels.MIRROR: "x"}
    namespace.refuses(body, "only a kubelet may set the annotation kubernetes.io/config.mirror")
    owner = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid, "controller": True}
    body["metadata"]["ownerReferences"] = [owner]
    created = namespace.create(body, namespace.cluster.node_user(node)).expect(201)
    assert "activeDeadlineSeconds" not in created.body["spec"]


def test_the_pods_of_a_deployment_have_it(namespace: Home) -> None:
    """The pod gets the deadline even though a template cannot set it, and the Deployment becomes available."""
    spec = {
        "selector": {"matchLabels": {"app": "capture"}},
        "template": {"metadata": {"labels": {"app": "capture"}}, "spec": pod(hostNetwork=True)["spec"]},
    }
    path = f"/apis/apps/v1/namespaces/{namespace.name}/deployments"
    namespace.cluster.admin.post(path, {"metadata": {"name": "capture"}, "spec": spec}).expect(201)
    pods = f"{namespace.path}/pods?labelSelector=app%3Dcapture"
    namespace.cluster.wait("its pod", lambda: namespace.cluster.admin.items(pods))
    assert [body["spec"]["activeDeadlineSeconds"] for body in namespace.cluster.admin.items(pods)] == [DAY]
    available = f"{path}/capture"
    namespace.cluster.wait(
        "it available", lambda: namespace.cluster.admin.get(available).body["status"].get("availableReplicas") == 1
    )


def test_a_pod_that_is_given_a_covered_image_on_its_way_has_it(namespace: Home) -> None:
    """The API server calls the policy again if another mutating policy writes the granted image, in either order."""
    base = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolic"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    mutation = f"[JSONPatch{{op: 'replace', path: '/spec/containers/0/image', value: '{workbench.IMAGE}'}}]"
    condition = f"has(object.metadata.labels) && 'mirror-{namespace.name}' in object.metadata.labels"
    spec = {
        "reinvocationPolicy": "Never",
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "own", "expression": condition}],
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": mutation}}],
    }
    admin = namespace.cluster.admin
    admin.post(f"{base}ies", {"metadata": {"name": "zz-mirror"}, "spec": spec}).expect(201)
    binding = {"metadata": {"name": "zz-mirror"}, "spec": {"policyName": "zz-mirror"}}
    admin.post(f"{base}ybindings", binding).expect(201)
    try:
        body = pod({"image": "another:1"}, hostNetwork=True)
        body["metadata"]["labels"] = {f"mirror-{namespace.name}": ""}
        namespace.cluster.wait("the other policy in force", lambda: namespace.create(body).status == 201)
        assert deadline(namespace, body) == DAY
    finally:
        admin.delete(f"{base}ybindings/zz-mirror").expect(200)
        admin.delete(f"{base}ies/zz-mirror").expect(200)


def test_the_largest_namespace_and_pod_are_within_the_budget(full_cluster: controlplane.Cluster) -> None:
    """With 64 grants of 16 images, a covered pod of 50 containers gets its deadline, an uncovered pod is refused."""
    namespace = create_namespace(full_cluster)
    images = [[f"registry.example.com/team/image-{number}-{index}:1" for index in range(16)] for number in range(63)]
    namespace.give(**{f"g{number:02}": diagnostic(images=tuple(names)) for number, names in enumerate(images)})
    containers = [{"image": images[62][number % 16]} for number in range(50)]
    assert deadline(namespace, pod(*containers, hostNetwork=True)) == DAY
    namespace.refuses(pod(*containers[:49], {"image": "another:1"}, hostNetwork=True))
    assert (
        workbench.sound(namespace.create(pod(*containers))).expect(201).body["spec"].get("activeDeadlineSeconds")
        is None
    )
