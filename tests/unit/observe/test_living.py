"""What the gate asks about: the pods that templates create and the pods that exist, without what differs by chance."""

from typing import Any

import pytest

from hostnetwork_operator.api import labels
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe import living, parse
from tests.unit.builders import NOW
from tests.unit.observe.test_parse import META, body


def owner_metadata(uid: str) -> dict[str, Any]:
    owner = {"apiVersion": "apps/v1", "kind": "X", "name": "x", "uid": uid, "controller": True}
    return {"ownerReferences": [owner]}


def workload(kind: str = "Deployment", uid: str = "d", **fields: Any) -> living.Workload:
    metadata = {**META, "name": "web", "uid": uid, **fields.pop("metadata", {})}
    template = {"spec": body()["spec"]}
    spec = {"jobTemplate": {"spec": {"template": template}}} if kind == "CronJob" else {"template": template}
    return living.workload(kind, {"metadata": metadata, "spec": spec, **fields})


@pytest.mark.parametrize("kind", ["CronJob", "Deployment", "Job", "ReplicationController"])
def test_a_template_is_read_as_the_pod_that_it_makes(kind: str) -> None:
    """The pod counts from the creation of its workload."""
    subject = workload(kind)
    assert isinstance(subject.living.pod, snapshot.Pod)
    assert frozenset({labels.HostNamespace.NETWORK}) == subject.living.pod.host_namespaces
    assert (subject.uid, subject.owner, subject.ended, subject.living.created) == (
        "d",
        "",
        False,
        NOW,
    )


def test_a_workload_with_an_owner_that_is_not_read_is_as_old_as_itself() -> None:
    """A user can name any object as the owner of a workload, and could otherwise block enforcement for ever."""
    subject = workload(metadata=owner_metadata("elsewhere"))
    assert (subject.owner, subject.living.created, subject.living.identity) == ("elsewhere", NOW, "d")


@pytest.mark.parametrize(
    ("status", "ended"),
    [({"type": "Complete", "status": "True"}, True), ({"type": "Failed", "status": "False"}, False)],
)
def test_a_job_ends(status: dict[str, str], ended: bool) -> None:
    """After its end a Job creates no pods, so it blocks nothing."""
    assert ended is workload("Job", status={"conditions": [status]}).ended


def test_what_has_no_template_makes_no_pods() -> None:
    """A ReplicationController may have no template.

    A question about nothing would be refused, and block enforcement for ever.
    """
    assert living.workload("ReplicationController", {"metadata": META, "spec": {"replicas": 0}}).ended


def pods(*pages: list[dict[str, Any]], workloads: tuple[living.Workload, ...] = ()) -> list[snapshot.Living]:
    reader = living.Pods({item.uid: item for item in workloads})
    for page in pages:
        reader.page(page)
    return reader.living()


def metadata_at(minute: int, **metadata: Any) -> dict[str, Any]:
    name = f"at-{minute}"
    return {"name": name, "uid": name, "creationTimestamp": f"2026-11-22T12:{minute:02}:00Z", **metadata}


def image(item: snapshot.Living) -> str:
    return str(item.body["spec"]["containers"][0]["image"])


def test_a_pod_belongs_to_the_workload_at_the_top() -> None:
    """The pod counts from the creation of that workload."""
    (item,) = pods(
        [body(metadata=owner_metadata("r"))],
        workloads=(workload(), workload("ReplicaSet", "r", metadata=owner_metadata("d"))),
    )
    assert (item.kind, item.name, item.created) == ("Deployment", "web", NOW)


@pytest.mark.parametrize("owners", [{"a": "a"}, {"a": "b", "b": "a"}, {"b": "c", "c": "d", "d": "b", "a": "b"}])
def test_owners_in_a_circle_count_for_nothing(owners: dict[str, str]) -> None:
    """Each of these workloads is its own top owner. A tenant can write any owner, at any time."""
    workloads = {uid: workload(uid=uid, metadata=owner_metadata(owner)) for uid, owner in owners.items()}
    assert [living.top(item, workloads) for item in workloads.values()] == list(workloads.values())


def test_thousands_of_owners_one_after_the_other_count_for_nothing() -> None:
    """To follow all of them for each of thousands of pods would take minutes."""
    workloads = {
        str(number): workload(uid=str(number), metadata=owner_metadata(str(number + 1))) for number in range(5000)
    }
    assert living.top(workloads["0"], workloads) is workloads["0"]
    assert living.top(workloads["4998"], workloads) is workloads["4999"]


@pytest.mark.parametrize("at_once", [True, False])
def test_of_the_pods_of_a_workload_the_newest_counts(at_once: bool) -> None:
    """The newest pod has what admission makes of the template now. It counts on whatever page it comes."""
    pod_bodies = [
        body({"image": f"app:{minute}"}, metadata=metadata_at(minute, **owner_metadata("d"))) for minute in (1, 3, 2)
    ]
    (item,) = pods(*([pod_bodies] if at_once else [[pod_body] for pod_body in pod_bodies]), workloads=(workload(),))
    assert image(item) == "app:3"


def test_pods_that_are_just_alike_are_asked_about_once() -> None:
    """Names, nodes and tokens make no difference. A pod whose owner is not read counts from its own creation."""
    token = {"volumes": [{"name": "kube-api-access-x7k2p", "projected": {"sources": []}}], "nodeName": "node-1"}
    container = {
        "volumeMounts": [
            {"name": "kube-api-access-x7k2p", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
        ]
    }
    items = pods([
        body(metadata={"name": "a"}),
        body(container, metadata={"name": "b", "uid": "v"}, **token),
        body(metadata=owner_metadata("elsewhere")),
        body({"image": "other"}),
    ])  # fmt: skip
    assert [(item.name, item.created) for item in items] == [("a", NOW), ("capture", NOW), ("capture", NOW)]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_younger_pod_does_not_hide_an_older_one_just_like_it(at_once: bool) -> None:
    """A pod that was created after the namespace was first Held does not block enforcement.

    The older pod still does.
    """
    pod_bodies = [body(metadata=metadata_at(minute)) for minute in (2, 1, 3)]
    (item,) = pods(*([pod_bodies] if at_once else [[pod_body] for pod_body in pod_bodies]))
    assert item.name == "at-1"


def test_what_has_ended_is_left_out() -> None:
    """Even if it is the only pod."""
    assert pods([{**body(), "status": {"phase": "Succeeded"}}]) == []


def test_a_host_path_that_calls_itself_a_token_is_asked_about() -> None:
    """Only a projected volume may be left out."""
    volumes = [{"name": "kube-api-access-x", "hostPath": {"path": "/"}}]
    assert volumes == living.asked({}, body(volumes=volumes)["spec"])["spec"]["volumes"]


def test_a_question_has_what_is_judged_and_nothing_else() -> None:
    """Profiles in annotations stay. What other admission or another namespace would refuse does not."""
    profile = {"container.apparmor.security.beta.kubernetes.io/c0": "unconfined"}
    meta = {"annotations": {**profile, "example.com/note": "x"}, "labels": {"inject": "true"}}
    dropped = {"nodeName": "n", "priority": 7, "priorityClassName": "gone", "ephemeralContainers": [], "overhead": {}}
    question = living.asked(meta, body(serviceAccountName="other", hostUsers=False, **dropped)["spec"])
    assert {"name": "gate", "annotations": profile} == question["metadata"]
    assert {"hostNetwork", "hostUsers", "volumes", "containers", "initContainers"} == set(question["spec"]) - {
        "serviceAccountName",
        "automountServiceAccountToken",
    }
    assert (question["spec"]["serviceAccountName"], question["spec"]["automountServiceAccountToken"]) == (
        "default",
        False,
    )


@pytest.mark.parametrize(
    ("metadata", "status", "lives"),
    [
        ({}, {"phase": "Pending"}, True),
        ({}, {"phase": "Succeeded"}, False),
        ({}, {"phase": "Failed"}, False),
        ({"deletionTimestamp": "2026-11-22T12:00:00Z"}, {"phase": "Running"}, False),
    ],
)
def test_what_ends_is_not_asked_about(metadata: dict[str, str], status: dict[str, str], lives: bool) -> None:
    """Nobody creates it again."""
    assert lives is parse.runs_or_will({**body(metadata=metadata), "status": status})


@pytest.mark.parametrize("controlled", [True, False])
def test_what_cannot_be_decoded_is_as_old_as_its_metadata_say(controlled: bool) -> None:
    """Whatever owner the metadata name."""
    meta = {**META, "name": "web", **(owner_metadata("u") if controlled else {})}
    item = living.unreadable("Deployment", meta, "too deep")
    assert item.created == NOW
    assert item.pod == snapshot.UnreadablePod(meta["namespace"], "web", meta["uid"], "too deep")
