"""What the gate asks about, and what the gate leaves out of its question about a pod that an exception covers."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from hostnetwork_operator.api import labels, ledger
from hostnetwork_operator.decide import gate, level, snapshot
from tests.unit.builders import IMAGE, NOW, at, governed, hne, namespace, pod, recorded, seen

Level = labels.Level
BODY: dict[str, Any] = {"metadata": {"name": "gate"}, "spec": {"containers": [{"name": "main", "image": IMAGE}]}}
PLAIN = pod("plain", host_namespaces=frozenset())


def living(
    template: snapshot.Pod | snapshot.UnreadablePod = PLAIN, body: dict[str, Any] = BODY, **fields: Any
) -> snapshot.Living:
    defaults = {"kind": "Deployment", "name": "web", "identity": "uid-of-web", "created": at(hours=-1)}
    return snapshot.Living(pod=template, body=body, **{**defaults, **fields})


def inquire(*objects: snapshot.Living, within: snapshot.Namespace | None = None, **fields: Any) -> gate.Inquiry:
    """Return the inquiry with the exception `net`, which covers `pod()`."""
    spec = fields.pop("spec", {})
    state = seen(hne(**fields), namespace=within or namespace(), policy=governed(rollout="Gated", **spec))
    return gate.inquire(state, objects, NOW)


def test_an_ordinary_pod_is_asked_about_as_it_is() -> None:
    """The question is about the target, in the version that the policy names."""
    inquiry = inquire(living())
    (question,) = inquiry.questions
    assert gate.Question("Deployment web", Level.BASELINE, BODY, "latest None", question.holder) == question
    assert ("latest", (), frozenset({"net"})) == (inquiry.version, inquiry.holding, inquiry.excepted)


@pytest.mark.parametrize(("seconds", "count"), [(0, 1), (1, 0)])
def test_what_came_after_the_moment_is_not_asked_about(seconds: int, count: int) -> None:
    """The annotation held-by has the moment. A tenant who creates an object afterwards cannot prevent enforcement."""
    annotations = {labels.HELD_BY: f"since {at(minutes=-5):%Y-%m-%dT%H:%M:%SZ}: Deployment old: privileged"}
    inquiry = inquire(living(created=at(minutes=-5, seconds=seconds)), within=namespace(annotations=annotations))
    assert count == len(inquiry.questions)


def first_record(*objects: snapshot.Living, reasons: str = "privileged", **record: Any) -> ledger.NamespaceRecord:
    """Return the ledger's record of a namespace after a gate check in which these objects were holders."""
    inquiry = inquire(*objects)
    holding, basis = gate.holding(inquiry, dict.fromkeys((q.key for q in inquiry.questions), reasons))
    defaults = {"held": at(minutes=-5), "holding": holding, "basis": basis}
    return ledger.NamespaceRecord(**{**defaults, **record})


def later_subjects(record: ledger.NamespaceRecord, *objects: snapshot.Living, **fields: Any) -> list[str]:
    """Return the objects that a later gate check asks about."""
    held_namespace, subject = namespace(), hne(**fields)
    ledger_view = recorded(held_namespace, subject, namespace=record)
    state = seen(subject, namespace=held_namespace, policy=governed(rollout="Gated"), ledger=ledger_view)
    return [question.subject for question in gate.inquire(state, objects, NOW).questions]


def test_what_did_not_hold_at_first_does_not_hold_later() -> None:
    """A template that was changed since cannot prevent enforcement.

    A holder stays a holder as long as it is refused, whatever else changes.
    """
    web, other = living(), living(name="other", identity="uid-of-other")
    record = first_record(web)
    changed = living(body={**BODY, "spec": {"hostNetwork": True}})
    assert later_subjects(record, web, other) == ["Deployment web"]
    assert later_subjects(record, changed) == ["Deployment web"]
    assert later_subjects(first_record(web, reasons=""), web) == []


def test_what_is_judged_by_something_else_is_looked_at_as_at_first() -> None:
    """With another level, other exceptions, or more holders than are kept, only the age of a workload counts."""
    web, other = living(), living(name="other", identity="uid-of-other")
    both = ["Deployment other", "Deployment web"]
    assert later_subjects(first_record(web), web, other, expiry=at(minutes=-1)) == both
    assert later_subjects(first_record(web, basis="else"), web, other) == both
    many = [living(name=f"w{number:03}", identity=f"{number}") for number in range(101)]
    record = first_record(*many)
    assert (record.holding, record.basis) == ((), "")
    assert later_subjects(record, web, other) == both
    assert later_subjects(first_record(*many[:100]), many[0], web) == ["Deployment w000"]


def test_the_ledger_keeps_the_first_look() -> None:
    """The record stays until the basis of the check changes.

    A check that failed does not change it, and nothing is kept once the namespace is not Held.
    """
    held, denied = (
        level.Decision(labels.Enforcement.HELD, since=at(minutes=-5)),
        level.Decision(labels.Enforcement.DENY),
    )
    answer = snapshot.GateAnswer(Level.BASELINE, NOW, ("Deployment web: x",), holding=("b",), basis="one")
    state = replace(seen(), gate=answer)
    new_record, old_record = (
        ledger.NamespaceRecord(),
        ledger.NamespaceRecord(held=at(minutes=-5), holding=("a",), basis="one"),
    )
    assert gate.holder_fields(state, new_record, held) == {"holding": ("b",), "basis": "one"}
    assert gate.holder_fields(state, old_record, held) == {"holding": ("a",), "basis": "one"}
    assert gate.holder_fields(state, old_record.model_copy(update={"basis": "two"}), held) == {
        "holding": ("b",),
        "basis": "one",
    }
    failed_state = replace(state, gate=replace(answer, failed="timeout"))
    assert gate.holder_fields(failed_state, old_record, held) == {"holding": ("a",), "basis": "one"}
    assert gate.holder_fields(state, old_record, denied) == {"holding": (), "basis": ""}


def test_of_a_covered_pod_only_the_rest_is_asked() -> None:
    """The question leaves out what the exception allows.

    That is host namespaces, privileged, capabilities and host paths, and with Network also host ports and probe hosts.
    """
    container = {
        "name": "main",
        "image": IMAGE,
        "securityContext": {"privileged": True, "capabilities": {"add": ["SYS_TIME"], "drop": ["ALL"]}},
        "ports": [{"containerPort": 80, "hostPort": 80}],
        "livenessProbe": {"httpGet": {"host": "127.0.0.1", "port": 80}},
        "lifecycle": {"preStop": {"tcpSocket": {"host": "127.0.0.1", "port": 80}}},
    }
    volumes = [{"name": "proc", "hostPath": {"path": "/proc"}}, {"name": "tmp", "emptyDir": {"medium": "Memory"}}]
    spec = {"hostNetwork": True, "hostPID": True, "hostIPC": True, "hostUsers": False, "volumes": volumes}
    body = {"metadata": {"name": "gate"}, "spec": {**spec, "containers": [container], "initContainers": [container]}}
    body_before = copy.deepcopy(body)
    (question,) = inquire(living(pod(), body)).questions
    remaining = {"name": "main", "image": IMAGE, "securityContext": {"capabilities": {"drop": ["ALL"]}}}
    assert {
        "hostUsers": False, "volumes": [volumes[1]], "containers": [remaining], "initContainers": [remaining]
    } == question.body["spec"]  # fmt: skip
    assert body_before == body


def test_what_the_api_allows_only_beside_something_spared_goes_with_it() -> None:
    """Without the volume, no mount of a host path is left, and without privileged no Bidirectional propagation."""
    mounts = [{"name": "pods", "mountPath": "/pods", "mountPropagation": "Bidirectional"}]
    container = {"name": "main", "image": IMAGE, "securityContext": {"privileged": True}, "volumeMounts": mounts}
    volumes = [{"name": "pods", "hostPath": {"path": "/var/lib/kubelet/pods"}}]
    body = {**BODY, "spec": {"hostNetwork": True, "volumes": volumes, "containers": [container]}}
    (question,) = inquire(living(pod(), body)).questions
    (remaining,) = question.body["spec"]["containers"]
    assert remaining == {"name": "main", "image": IMAGE, "securityContext": {}}


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_host_process_keeps_the_host_network_and_is_not_told_about_it(everywhere: bool) -> None:
    """The API requires hostNetwork if the pod or a container has hostProcess. The exception covers hostNetwork."""
    windows = {"securityContext": {"windowsOptions": {"hostProcess": True}}}
    container = {"name": "main", "image": IMAGE, **({} if everywhere else windows)}
    body = {**BODY, "spec": {"hostNetwork": True, **(windows if everywhere else {}), "containers": [container]}}
    inquiry = inquire(living(pod(), body))
    (question,) = inquiry.questions
    assert question.body["spec"]["hostNetwork"] is True
    process = "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)"
    answer = f"host namespaces (hostNetwork=true), {process}"
    lacks = "and exception 'net' requires podSecurityLevel baseline of covered pods"
    assert gate.holders(inquiry, {question.key: answer}) == (f"Deployment web: {process} (level baseline), {lacks}",)
    no_answer = "not known, because the API server refused the dry run: x"
    unanswered = {question.key: no_answer}
    assert gate.holders(inquiry, unanswered, unanswered) == (f"Deployment web: {no_answer} (level baseline)",)


def test_host_ports_are_spared_only_with_the_network() -> None:
    """If a pod shares only process ids, Pod Security Admission also checks its host ports."""
    container = {"name": "main", "image": IMAGE, "ports": [{"containerPort": 80, "hostPort": 80}]}
    body = {"metadata": {"name": "gate"}, "spec": {"hostPID": True, "containers": [container]}}
    host_namespaces = (labels.HostNamespace.NETWORK, labels.HostNamespace.PID)
    covered_pod = pod(host_namespaces=frozenset({labels.HostNamespace.PID}))
    (question,) = inquire(living(covered_pod, body), host_namespaces=host_namespaces).questions
    assert [container] == question.body["spec"]["containers"]


@pytest.mark.parametrize(
    ("exception_level", "question_level"),
    [("restricted", Level.RESTRICTED), ("baseline", Level.BASELINE), ("privileged", None)],
)
def test_a_covered_pod_is_asked_about_at_the_level_of_its_exception(
    exception_level: str, question_level: Level | None
) -> None:
    """The target does not matter. If the exception says privileged, there is nothing to ask."""
    inquiry = inquire(living(pod()), pod_security_level=exception_level, spec={"pod_security": {"enforce": "baseline"}})
    assert ([question_level] if question_level else []) == [question.level for question in inquiry.questions]


def test_of_two_exceptions_that_cover_it_the_least_strict_counts() -> None:
    """The policy relaxed-namespace does the same."""
    subjects = hne("a", pod_security_level="restricted"), hne("b", pod_security_level="baseline")
    state = seen(*subjects, namespace=namespace(), policy=governed(rollout="Gated"))
    (question,) = gate.inquire(state, [living(pod())], NOW).questions
    assert question.level is Level.BASELINE


@pytest.mark.parametrize("lacking", [{"expiry": NOW}, {"images": ("registry.example.com/other:1",)}])
def test_an_exception_that_does_not_cover_spares_nothing(lacking: dict[str, Any]) -> None:
    """The exception is expired, or for another image. The pod would be refused, so it is a holder."""
    body = {**BODY, "spec": {**BODY["spec"], "hostNetwork": True}}
    (question,) = inquire(living(pod(), body), **lacking).questions
    assert (Level.BASELINE, body) == (question.level, question.body)


HOLDS = "host namespaces (hostNetwork=true)"


def holder_sentences(*objects: snapshot.Living, **fields: Any) -> list[str]:
    """Return the sentences about the holders if Pod Security Admission refuses everything that no exception covers."""
    inquiry = inquire(*objects, **fields)
    answers = {question.key: "" if question.covered else HOLDS for question in inquiry.questions}
    return list(gate.holders(inquiry, answers))


def test_the_holder_says_what_the_nearest_exception_lacks() -> None:
    """The sentence may name an exception that is not in force.

    There is no such sentence for a pod without host namespaces, which no exception covers.
    """
    body = {**BODY, "spec": {**BODY["spec"], "hostNetwork": True}}
    image = "registry.example.com/other:1"
    (sentence,) = holder_sentences(living(pod(images=frozenset({image})), body))
    why = f"no exception covers the pod. Closest: 'net' (the pod uses images that the exception does not list: {image})"
    assert sentence == f"Deployment web: {HOLDS} (level baseline), and {why}"
    (ended_sentence,) = holder_sentences(living(pod(), body), expiry=NOW)
    assert (
        ended_sentence
        == f"Deployment web: {HOLDS} (level baseline), and exception 'net' ended at {NOW:%Y-%m-%dT%H:%M:%SZ}"
    )
    assert holder_sentences(living()) == [f"Deployment web: {HOLDS} (level baseline)"]
    state = seen(namespace=namespace(), policy=governed(rollout="Gated"))
    (question,) = gate.inquire(state, [living(pod(), body)], NOW).questions
    assert question.lacks == ""


def test_where_admission_rewrites_images_both_forms_are_named() -> None:
    """It does not matter whether the exception lists the image of the template or the image of the pods."""
    body = {**BODY, "spec": {**BODY["spec"], "hostNetwork": True}}
    digest = "mirror.example.com/netshoot@sha256:" + "a" * 64
    template, running = living(pod(), body), living(pod(images=frozenset({digest})), {**body, "metadata": {}})
    for listed, lacking in ((digest, IMAGE), (IMAGE, digest)):
        (sentence,) = holder_sentences(template, running, images=(listed,))
        assert f"Closest: 'net' (the pod uses images that the exception does not list: {lacking}). " in sentence
        assert sentence.endswith(f"write an exception that lists all of these images: {digest}, {IMAGE}")
    (other_sentence,) = holder_sentences(template, replace(running, identity="uid-of-other"), images=(digest,))
    assert "lists all of these" not in other_sentence
    privileged_pod = replace(running, pod=pod(images=frozenset({digest}), privileged=True))
    assert all(
        "lists all of these" not in sentence
        for sentence in holder_sentences(template, privileged_pod, images=(IMAGE, digest))
    )


def test_where_the_target_is_privileged_only_uncovered_host_namespaces_hold() -> None:
    """The gate asks nothing, because Pod Security Admission refuses nothing there. The policy host-namespaces does."""
    spec = {"pod_security": {"enforce": "privileged"}}
    objects = (living(), living(pod(), kind="DaemonSet"), living(pod(service_account="other"), kind="Pod", name="x"))
    inquiry = inquire(*objects, spec=spec)
    assert inquiry.questions == ()
    ((subject, why, _),) = inquiry.holding
    assert subject == "Pod x"
    assert "for service account 'netdebug'; this pod runs as 'other'" in why
    assert gate.holders(inquiry, {}) == (f"Pod x: {why}",)


def test_what_cannot_be_understood_holds() -> None:
    """An unknown answer is not clean."""
    inquiry = inquire(living(snapshot.UnreadablePod("payments", "web", "u", "KeyError: 'image'")))
    ((subject, why, _),) = inquiry.holding
    assert (subject, why) == ("Deployment web", "the operator cannot interpret the object: KeyError: 'image'")


def test_the_holders_are_named_once_and_in_order() -> None:
    """The reason of a template comes before the reason of its pods, and only objects with a reason are named."""
    worse = {**BODY, "spec": {**BODY["spec"], "hostPID": True}}
    inquiry = inquire(living(), living(body=worse), living(kind="CronJob", name="b"), living(kind="Pod", name="a"))
    plain, other = inquiry.questions[1].key, inquiry.questions[2].key
    assert gate.holders(
        replace(inquiry, questions=inquiry.questions[1:3]), {plain: "privileged", other: "host namespaces"}
    ) == ("Deployment web: privileged (level baseline)",)
    assert gate.holders(inquiry, {plain: "", other: ""}) == ()


def test_the_same_question_has_one_key() -> None:
    """The key depends neither on the object that the question is about nor on the order of its fields.

    Another level is another question.
    """
    reordered = dict(reversed(BODY.items()))
    keys = [gate.Question("a", Level.BASELINE, BODY).key, gate.Question("b", Level.BASELINE, reordered).key]
    assert len(set(keys)) == 1
    assert gate.Question("a", Level.RESTRICTED, BODY).key not in keys


def test_other_standards_are_another_question() -> None:
    """The answer of an older version or of an older cluster does not count."""
    pinned_inquiry = inquire(living(), spec={"pod_security": {"enforce": "baseline", "version": "v1.30"}})
    state = replace(seen(namespace=namespace(), policy=governed()), kubernetes=snapshot.MinorVersion(1, 37))
    upgraded_inquiry = gate.inquire(state, [living()], NOW)
    assert len({inquiry.questions[0].key for inquiry in (inquire(living()), pinned_inquiry, upgraded_inquiry)}) == 3


# -- pods without host namespaces ---------------------------------------------------------------------------------

AGENT: dict[str, Any] = {
    "metadata": {"name": "gate"},
    "spec": {
        "volumes": [{"name": "v", "hostPath": {"path": "/proc"}}],
        "containers": [
            {
                "name": "main",
                "image": IMAGE,
                "ports": [{"containerPort": 80, "hostPort": 80}],
                "livenessProbe": {"httpGet": {"host": "10.0.0.1", "port": 1}},
                "securityContext": {"privileged": True, "runAsNonRoot": True},
            }
        ],
    },
}
SENSOR = pod("sensor", host_namespaces=frozenset(), privileged=True, host_ports=True)
FOR_PLAIN: dict[str, Any] = {"type": "Application", "host_namespaces": (), "privileged": True, "host_ports": True}


def test_what_an_exception_without_host_namespaces_names_is_left_out() -> None:
    """The question leaves out privileged, host paths and host ports.

    The host of a probe stays in the question, because only the host network allows it.
    """
    (question,) = inquire(living(SENSOR, AGENT), **FOR_PLAIN).questions
    assert (question.level, question.covered) == (Level.BASELINE, True)
    (container,) = question.body["spec"]["containers"]
    assert container["securityContext"] == {"runAsNonRoot": True}
    assert "ports" not in container
    assert container["livenessProbe"] == AGENT["spec"]["containers"][0]["livenessProbe"]
    assert question.body["spec"]["volumes"] == []


@pytest.mark.parametrize(("exception_level", "question_level"), [("restricted", Level.BASELINE), ("privileged", None)])
def test_such_an_exception_makes_nothing_stricter(exception_level: str, question_level: labels.Level | None) -> None:
    """The level is the target or the level of the exception, whichever is less strict, as in relaxed-namespace."""
    spec = {**FOR_PLAIN, "privileged": False, "pod_security_level": exception_level}
    sensor = replace(SENSOR, privileged=False)
    assert [question.level for question in inquire(living(sensor, AGENT), **spec).questions] == (
        [question_level] if question_level else []
    )


def test_an_ordinary_pod_of_the_account_is_asked_about_as_it_is_beside_such_an_exception() -> None:
    """A pod that uses nothing that the exception can name must meet the target."""
    (question,) = inquire(living(), **FOR_PLAIN).questions
    assert (question.body, question.covered, question.lacks) == (BODY, False, "")


def test_what_such_an_exception_lacks_is_said_of_pods_of_its_account() -> None:
    """For any other pod without host namespaces, no exception counts as close."""
    spec = {**FOR_PLAIN, "host_ports": False}
    (question,) = inquire(living(SENSOR, AGENT), **spec).questions
    assert "Closest: 'net' (the pod uses host ports" in question.lacks
    (other,) = inquire(living(replace(SENSOR, service_account="web"), AGENT), **spec).questions
    assert other.lacks == ""
    (beside,) = inquire(living(SENSOR, AGENT)).questions  # an exception for host-namespace pods
    assert beside.lacks == ""
