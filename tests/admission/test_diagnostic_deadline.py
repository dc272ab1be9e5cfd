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


def make(cluster: controlplane.Cluster, enforcement: str | None = "Deny") -> Home:
    """Create a namespace at privileged with this value of the enforcement label."""
    body = {"metadata": {"name": f"deadline-{next(_numbers)}", "labels": {labels.PSA_ENFORCE: "privileged"}}}
    home = Home(cluster, cluster.admin.post("/api/v1/namespaces", body).expect(201).body["metadata"]["name"])
    cluster.admin.patch(home.path, {"metadata": {"labels": {labels.ENFORCEMENT: enforcement}}}).expect(200)
    cluster.admin.post(f"{home.path}/serviceaccounts", {"metadata": {"name": "default"}}).expect(201, 409)
    return home


def diagnostic(**fields: Any) -> grants.Grant:
    return grant(**{"type": "Diagnostic", "until": NOON, **fields})


def deadline(home: Home, body: dict[str, Any]) -> int | None:
    """Return the deadline with which the API server would store the pod."""
    stored = home.create(body).expect(201).body["spec"].get("activeDeadlineSeconds")
    return None if stored is None else int(stored)


@pytest.fixture
def home(complete: controlplane.Cluster) -> Home:
    """An enforced namespace with a Diagnostic grant."""
    made = make(complete)
    made.give(capture=diagnostic())
    return made


@pytest.mark.parametrize(
    ("asked", "stored"), [(None, DAY), (DAY + 1, DAY), (2**31 - 1, DAY), (DAY, DAY), (DAY - 1, DAY - 1), (1, 1)]
)
def test_a_day_is_the_most(home: Home, asked: int | None, stored: int) -> None:
    """A missing or larger deadline becomes one day; a smaller deadline stays."""
    given = {} if asked is None else {"activeDeadlineSeconds": asked}
    assert deadline(home, pod(hostNetwork=True, **given)) == stored


@pytest.mark.parametrize("restart", ["Always", "OnFailure", "Never"])
def test_whatever_its_restart_policy(home: Home, restart: str) -> None:
    """The kubelet fails a pod at its deadline even if the restart policy would restart its containers."""
    assert deadline(home, pod(hostNetwork=True, restartPolicy=restart)) == DAY


@pytest.mark.parametrize("field", ["hostNetwork", "hostPID", "hostIPC"])
def test_each_host_namespace_counts(home: Home, field: str) -> None:
    """A single host namespace is enough for the deadline."""
    home.give(capture=diagnostic(host_namespaces=frozenset(labels.HostNamespace)))
    assert deadline(home, pod(**{field: True})) == DAY


def test_an_ordinary_pod_is_left_as_it_is(home: Home) -> None:
    """The policy does not change a pod without host namespaces, even beside a Diagnostic grant that fits the pod."""
    assert deadline(home, pod()) is None
    assert deadline(home, pod(hostNetwork=False, activeDeadlineSeconds=DAY + 1)) == DAY + 1


def test_the_deadline_is_not_moved_afterwards(home: Home) -> None:
    """The deadline can be shortened, but not raised or removed."""
    path = home.put_up(pod(hostNetwork=True))
    for later in (DAY + 1, None):
        home.cluster.admin.patch(path, {"spec": {"activeDeadlineSeconds": later}}).expect(422)
    home.cluster.admin.patch(path, {"spec": {"activeDeadlineSeconds": 60}}).expect(200)


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
def test_of_several_grants_the_longest_counts(home: Home, other: grants.Grant, stored: int | None) -> None:
    """A pod gets no deadline if a fitting grant of another type lasts at least as long as the Diagnostic grant."""
    home.give(other=other)
    assert deadline(home, pod(hostNetwork=True)) == stored


def test_under_another_type_alone_there_is_none(complete: controlplane.Cluster) -> None:
    """Pods under Infrastructure and Application grants get no deadline."""
    home = make(complete)
    for one in (grant(), grant(type="Application", until=NOON)):
        home.give(one=one)
        assert deadline(home, pod(hostNetwork=True)) is None
        assert deadline(home, pod(hostNetwork=True, activeDeadlineSeconds=DAY + 1)) == DAY + 1


def test_an_uncovered_pod_is_refused_as_before(home: Home) -> None:
    """The refusal has the message of host-namespaces, with or without a deadline in the pod."""
    for given in ({}, {"activeDeadlineSeconds": 60}):
        home.refuses(pod({"image": "another:1"}, hostNetwork=True, **given), "does not list image another:1")


def test_where_a_level_is_lifted(complete: controlplane.Cluster) -> None:
    """The policy also writes the deadline in a namespace with a guard, at either guard level."""
    for guard in ("baseline", "restricted"):
        home = make(complete)
        complete.admin.patch(home.path, {"metadata": {"labels": {labels.GUARD: guard}}}).expect(200)
        home.give(capture=diagnostic())
        # The pod meets the guard's level, so only the level of its grant applies.
        complete.wait("the deadline", lambda home=home: deadline(home, pod(hostNetwork=True)) == DAY)


def test_where_enforcement_is_held_or_audited(complete: controlplane.Cluster) -> None:
    """Held namespaces get the deadline, because the operator deletes diagnostic pods there too.

    The policy sets no deadline in Audit and ungoverned namespaces.
    """
    for enforcement, stored in (("Deny", DAY), ("Held", DAY), ("Audit", None), (None, None)):
        home = make(complete, enforcement)
        annotations = {labels.GRANT_PREFIX + "capture": home.line(diagnostic())}
        complete.admin.patch(home.path, {"metadata": {"annotations": annotations}}).expect(200)
        if stored:
            complete.wait("the deadline", lambda home=home: deadline(home, pod(hostNetwork=True)) == DAY)
            continue
        home.give(infrastructure=grant(images=("another:1",)))
        assert deadline(home, pod(hostNetwork=True)) is None


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
def test_a_malformed_grant_is_none(complete: controlplane.Cluster, spoil: Any) -> None:
    """A malformed grant sets no deadline and breaks no other grant and no admission.

    The test uses a Held namespace, where nothing is refused.
    """
    home = make(complete, "Held")
    home.give(capture=spoil(home.line(diagnostic())))
    assert deadline(home, pod(hostNetwork=True)) is None
    home.give(good=diagnostic())
    complete.wait("the deadline", lambda: deadline(home, pod(hostNetwork=True)) == DAY)


def test_a_mirror_pod_of_a_kubelet_is_left_as_it_is(home: Home) -> None:
    """A mirror pod shows a pod that already runs.

    From any other user it is refused, so the annotation cannot evade the deadline.
    """
    node = home.cluster.nodes[0]
    uid = home.cluster.admin.get(f"/api/v1/nodes/{node}").expect(200).body["metadata"]["uid"]
    body = pod(hostNetwork=True, nodeName=node)
    body["metadata"]["annotations"] = {labels.MIRROR: "x"}
    home.refuses(body, "only a kubelet may set the annotation kubernetes.io/config.mirror")
    owner = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid, "controller": True}
    body["metadata"]["ownerReferences"] = [owner]
    created = home.create(body, home.cluster.node_user(node)).expect(201)
    assert "activeDeadlineSeconds" not in created.body["spec"]


def test_the_pods_of_a_deployment_have_it(home: Home) -> None:
    """The pod gets the deadline even though a template cannot set it, and the Deployment becomes available."""
    spec = {
        "selector": {"matchLabels": {"app": "capture"}},
        "template": {"metadata": {"labels": {"app": "capture"}}, "spec": pod(hostNetwork=True)["spec"]},
    }
    path = f"/apis/apps/v1/namespaces/{home.name}/deployments"
    home.cluster.admin.post(path, {"metadata": {"name": "capture"}, "spec": spec}).expect(201)
    pods = f"{home.path}/pods?labelSelector=app%3Dcapture"
    home.cluster.wait("its pod", lambda: home.cluster.admin.items(pods))
    assert [body["spec"]["activeDeadlineSeconds"] for body in home.cluster.admin.items(pods)] == [DAY]
    available = f"{path}/capture"
    home.cluster.wait(
        "it available", lambda: home.cluster.admin.get(available).body["status"].get("availableReplicas") == 1
    )


def test_a_pod_that_is_given_a_covered_image_on_its_way_has_it(home: Home) -> None:
    """The API server calls the policy again if another mutating policy writes the granted image, in either order."""
    base = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolic"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    write = f"[JSONPatch{{op: 'replace', path: '/spec/containers/0/image', value: '{workbench.IMAGE}'}}]"
    mine = f"has(object.metadata.labels) && 'mirror-{home.name}' in object.metadata.labels"
    spec = {
        "reinvocationPolicy": "Never",
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "own", "expression": mine}],
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": write}}],
    }
    admin = home.cluster.admin
    admin.post(f"{base}ies", {"metadata": {"name": "zz-mirror"}, "spec": spec}).expect(201)
    bound = {"metadata": {"name": "zz-mirror"}, "spec": {"policyName": "zz-mirror"}}
    admin.post(f"{base}ybindings", bound).expect(201)
    try:
        body = pod({"image": "another:1"}, hostNetwork=True)
        body["metadata"]["labels"] = {f"mirror-{home.name}": ""}
        home.cluster.wait("the other policy in force", lambda: home.create(body).status == 201)
        assert deadline(home, body) == DAY
    finally:
        admin.delete(f"{base}ybindings/zz-mirror").expect(200)
        admin.delete(f"{base}ies/zz-mirror").expect(200)


def test_the_largest_namespace_and_pod_are_within_the_budget(complete: controlplane.Cluster) -> None:
    """With 64 grants of 16 images, a covered pod of 50 containers gets its deadline, an uncovered pod is refused."""
    home = make(complete)
    images = [[f"registry.example.com/team/image-{number}-{one}:1" for one in range(16)] for number in range(63)]
    home.give(**{f"g{number:02}": diagnostic(images=tuple(names)) for number, names in enumerate(images)})
    covered = [{"image": images[62][number % 16]} for number in range(50)]
    assert deadline(home, pod(*covered, hostNetwork=True)) == DAY
    home.refuses(pod(*covered[:49], {"image": "another:1"}, hostNetwork=True))
    assert workbench.sound(home.create(pod(*covered))).expect(201).body["spec"].get("activeDeadlineSeconds") is None
