"""What the gate asks about, and what it leaves out of the question for a pod that an exception covers."""

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
    one: snapshot.Pod | snapshot.UnreadablePod = PLAIN, body: dict[str, Any] = BODY, **fields: Any
) -> snapshot.Living:
    given = {"kind": "Deployment", "name": "web", "identity": "uid-of-web", "created": at(hours=-1)}
    return snapshot.Living(pod=one, body=body, **{**given, **fields})


def inquire(*some: snapshot.Living, home: snapshot.Namespace | None = None, **fields: Any) -> gate.Inquiry:
    """Return the inquiry with the exception `net`, which covers `pod()`."""
    spec = fields.pop("spec", {})
    made = seen(hne(**fields), namespace=home or namespace(), policy=governed(rollout="Gated", **spec))
    return gate.inquire(made, some, NOW)


def test_an_ordinary_pod_is_asked_about_as_it_is() -> None:
    """The question is about the target, in the version that the policy names."""
    found = inquire(living())
    (question,) = found.questions
    assert gate.Question("Deployment web", Level.BASELINE, BODY, "latest None", question.holder) == question
    assert ("latest", (), frozenset({"net"})) == (found.version, found.holding, found.excepted)


@pytest.mark.parametrize(("seconds", "asked"), [(0, 1), (1, 0)])
def test_what_came_after_the_moment_is_not_asked_about(seconds: int, asked: int) -> None:
    """The moment is in held-by. A tenant who creates an object afterwards cannot prevent enforcement."""
    held = {labels.HELD_BY: f"since {at(minutes=-5):%Y-%m-%dT%H:%M:%SZ}: Deployment old: privileged"}
    found = inquire(living(created=at(minutes=-5, seconds=seconds)), home=namespace(annotations=held))
    assert asked == len(found.questions)


def first_look(*some: snapshot.Living, reasons: str = "privileged", **record: Any) -> ledger.NamespaceRecord:
    """Return the ledger's record of a namespace after a gate check in which these objects were holders."""
    found = inquire(*some)
    holding, basis = gate.holding(found, dict.fromkeys((q.key for q in found.questions), reasons))
    given = {"held": at(minutes=-5), "holding": holding, "basis": basis}
    return ledger.NamespaceRecord(**{**given, **record})


def later(record: ledger.NamespaceRecord, *some: snapshot.Living, **fields: Any) -> list[str]:
    """Return the objects that a later gate check asks about."""
    home, subject = namespace(), hne(**fields)
    kept = recorded(home, subject, namespace=record)
    made = seen(subject, namespace=home, policy=governed(rollout="Gated"), ledger=kept)
    return [question.subject for question in gate.inquire(made, some, NOW).questions]


def test_what_did_not_hold_at_first_does_not_hold_later() -> None:
    """A template that was changed since cannot prevent enforcement.

    A holder stays a holder as long as it is refused, whatever else changes.
    """
    web, other = living(), living(name="other", identity="uid-of-other")
    record = first_look(web)
    changed = living(body={**BODY, "spec": {"hostNetwork": True}})
    assert later(record, web, other) == ["Deployment web"]
    assert later(record, changed) == ["Deployment web"]
    assert later(first_look(web, reasons=""), web) == []


def test_what_is_judged_by_something_else_is_looked_at_as_at_first() -> None:
    """With another level, other exceptions, or more holders than are kept, only the age of a workload counts."""
    web, other = living(), living(name="other", identity="uid-of-other")
    both = ["Deployment other", "Deployment web"]
    assert later(first_look(web), web, other, expiry=at(minutes=-1)) == both
    assert later(first_look(web, basis="else"), web, other) == both
    many = [living(name=f"w{number:03}", identity=f"{number}") for number in range(101)]
    record = first_look(*many)
    assert (record.holding, record.basis) == ((), "")
    assert later(record, web, other) == both
    assert later(first_look(*many[:100]), many[0], web) == ["Deployment w000"]


def test_the_ledger_keeps_the_first_look() -> None:
    """The record stays until the basis of the check changes.

    A check that failed does not change it, and nothing is kept once the namespace is not Held.
    """
    held, over = level.Decision(labels.Enforcement.HELD, since=at(minutes=-5)), level.Decision(labels.Enforcement.DENY)
    answer = snapshot.GateAnswer(Level.BASELINE, NOW, ("Deployment web: x",), holding=("b",), basis="one")
    looked = replace(seen(), gate=answer)
    new, old = ledger.NamespaceRecord(), ledger.NamespaceRecord(held=at(minutes=-5), holding=("a",), basis="one")
    assert gate.holder_fields(looked, new, held) == {"holding": ("b",), "basis": "one"}
    assert gate.holder_fields(looked, old, held) == {"holding": ("a",), "basis": "one"}
    assert gate.holder_fields(looked, old.model_copy(update={"basis": "two"}), held) == {
        "holding": ("b",),
        "basis": "one",
    }
    failed = replace(looked, gate=replace(answer, failed="timeout"))
    assert gate.holder_fields(failed, old, held) == {"holding": ("a",), "basis": "one"}
    assert gate.holder_fields(looked, old, over) == {"holding": (), "basis": ""}


def test_of_a_covered_pod_only_the_rest_is_asked() -> None:
    """What the exception allows is left out.

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
    before = copy.deepcopy(body)
    (question,) = inquire(living(pod(), body)).questions
    left = {"name": "main", "image": IMAGE, "securityContext": {"capabilities": {"drop": ["ALL"]}}}
    assert {
        "hostUsers": False, "volumes": [volumes[1]], "containers": [left], "initContainers": [left]
    } == question.body["spec"]  # fmt: skip
    assert before == body


def test_what_the_api_allows_only_beside_something_spared_goes_with_it() -> None:
    """Without the volume, no mount of a host path is left, and without privileged no Bidirectional propagation."""
    mounts = [{"name": "pods", "mountPath": "/pods", "mountPropagation": "Bidirectional"}]
    container = {"name": "main", "image": IMAGE, "securityContext": {"privileged": True}, "volumeMounts": mounts}
    volumes = [{"name": "pods", "hostPath": {"path": "/var/lib/kubelet/pods"}}]
    body = {**BODY, "spec": {"hostNetwork": True, "volumes": volumes, "containers": [container]}}
    (question,) = inquire(living(pod(), body)).questions
    (left,) = question.body["spec"]["containers"]
    assert left == {"name": "main", "image": IMAGE, "securityContext": {}}


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_host_process_keeps_the_host_network_and_is_not_told_about_it(everywhere: bool) -> None:
    """The API requires hostNetwork if the pod or a container has hostProcess. The exception covers hostNetwork."""
    windows = {"securityContext": {"windowsOptions": {"hostProcess": True}}}
    own = {"name": "main", "image": IMAGE, **({} if everywhere else windows)}
    body = {**BODY, "spec": {"hostNetwork": True, **(windows if everywhere else {}), "containers": [own]}}
    found = inquire(living(pod(), body))
    (question,) = found.questions
    assert question.body["spec"]["hostNetwork"] is True
    process = "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)"
    said = f"host namespaces (hostNetwork=true), {process}"
    lacks = "and exception 'net' requires podSecurityLevel baseline of covered pods"
    assert gate.holders(found, {question.key: said}) == (f"Deployment web: {process} (level baseline), {lacks}",)
    refused = "not known, because the API server refused the dry run: x"
    unanswered = {question.key: refused}
    assert gate.holders(found, unanswered, unanswered) == (f"Deployment web: {refused} (level baseline)",)


def test_host_ports_are_spared_only_with_the_network() -> None:
    """If a pod shares only process ids, Pod Security Admission checks host ports by themselves."""
    container = {"name": "main", "image": IMAGE, "ports": [{"containerPort": 80, "hostPort": 80}]}
    body = {"metadata": {"name": "gate"}, "spec": {"hostPID": True, "containers": [container]}}
    both = (labels.HostNamespace.NETWORK, labels.HostNamespace.PID)
    covered = pod(host_namespaces=frozenset({labels.HostNamespace.PID}))
    (question,) = inquire(living(covered, body), host_namespaces=both).questions
    assert [container] == question.body["spec"]["containers"]


@pytest.mark.parametrize(
    ("level", "asked"), [("restricted", Level.RESTRICTED), ("baseline", Level.BASELINE), ("privileged", None)]
)
def test_a_covered_pod_is_asked_about_at_the_level_of_its_exception(level: str, asked: Level | None) -> None:
    """Whatever the target. If the exception says privileged, there is nothing to ask."""
    found = inquire(living(pod()), pod_security_level=level, spec={"pod_security": {"enforce": "baseline"}})
    assert ([asked] if asked else []) == [question.level for question in found.questions]


def test_of_two_exceptions_that_cover_it_the_least_strict_counts() -> None:
    """The policy relaxed-namespace does the same."""
    both = hne("a", pod_security_level="restricted"), hne("b", pod_security_level="baseline")
    made = seen(*both, namespace=namespace(), policy=governed(rollout="Gated"))
    (question,) = gate.inquire(made, [living(pod())], NOW).questions
    assert question.level is Level.BASELINE


@pytest.mark.parametrize("lacking", [{"expiry": NOW}, {"images": ("registry.example.com/other:1",)}])
def test_an_exception_that_does_not_cover_spares_nothing(lacking: dict[str, Any]) -> None:
    """The exception is expired, or for another image. The pod would be refused, so it is a holder."""
    body = {**BODY, "spec": {**BODY["spec"], "hostNetwork": True}}
    (question,) = inquire(living(pod(), body), **lacking).questions
    assert (Level.BASELINE, body) == (question.level, question.body)


HOLDS = "host namespaces (hostNetwork=true)"


def said_of(*some: snapshot.Living, **fields: Any) -> list[str]:
    """Return the sentences about the holders if Pod Security Admission refuses everything that no exception covers."""
    found = inquire(*some, **fields)
    known = {question.key: "" if question.covered else HOLDS for question in found.questions}
    return list(gate.holders(found, known))


def test_the_holder_says_what_the_nearest_exception_lacks() -> None:
    """The sentence may name an exception that is not in force.

    There is no such sentence for a pod without host namespaces, which no exception covers.
    """
    body = {**BODY, "spec": {**BODY["spec"], "hostNetwork": True}}
    image = "registry.example.com/other:1"
    (lacking,) = said_of(living(pod(images=frozenset({image})), body))
    why = f"no exception covers the pod. Closest: 'net' (the pod uses images that the exception does not list: {image})"
    assert lacking == f"Deployment web: {HOLDS} (level baseline), and {why}"
    (ended,) = said_of(living(pod(), body), expiry=NOW)
    assert ended == f"Deployment web: {HOLDS} (level baseline), and exception 'net' ended at {NOW:%Y-%m-%dT%H:%M:%SZ}"
    assert said_of(living()) == [f"Deployment web: {HOLDS} (level baseline)"]
    made = seen(namespace=namespace(), policy=governed(rollout="Gated"))
    (question,) = gate.inquire(made, [living(pod(), body)], NOW).questions
    assert question.lacks == ""


def test_where_admission_rewrites_images_both_forms_are_named() -> None:
    """Whether the exception lists the image of the template or the image of the pods."""
    body = {**BODY, "spec": {**BODY["spec"], "hostNetwork": True}}
    digest = "mirror.example.com/netshoot@sha256:" + "a" * 64
    template, running = living(pod(), body), living(pod(images=frozenset({digest})), {**body, "metadata": {}})
    for listed, lacking in ((digest, IMAGE), (IMAGE, digest)):
        (said,) = said_of(template, running, images=(listed,))
        assert f"Closest: 'net' (the pod uses images that the exception does not list: {lacking}). " in said
        assert said.endswith(f"write an exception that lists all of these images: {digest}, {IMAGE}")
    (other,) = said_of(template, replace(running, identity="uid-of-other"), images=(digest,))
    assert "lists all of these" not in other
    host = replace(running, pod=pod(images=frozenset({digest}), privileged=True))
    assert all("lists all of these" not in said for said in said_of(template, host, images=(IMAGE, digest)))


def test_where_the_target_is_privileged_only_uncovered_host_namespaces_hold() -> None:
    """The gate asks nothing, because Pod Security Admission refuses nothing there. The policy host-namespaces does."""
    kept = {"pod_security": {"enforce": "privileged"}}
    some = (living(), living(pod(), kind="DaemonSet"), living(pod(service_account="other"), kind="Pod", name="x"))
    found = inquire(*some, spec=kept)
    assert found.questions == ()
    ((subject, why, _),) = found.holding
    assert subject == "Pod x"
    assert "for service account 'netdebug'; this pod runs as 'other'" in why
    assert gate.holders(found, {}) == (f"Pod x: {why}",)


def test_what_cannot_be_understood_holds() -> None:
    """An unknown answer is not clean."""
    found = inquire(living(snapshot.UnreadablePod("payments", "web", "u", "KeyError: 'image'")))
    ((subject, why, _),) = found.holding
    assert (subject, why) == ("Deployment web", "the operator cannot interpret the object: KeyError: 'image'")


def test_the_holders_are_named_once_and_in_order() -> None:
    """The reason of a template comes before the reason of its pods, and only objects with a reason are named."""
    worse = {**BODY, "spec": {**BODY["spec"], "hostPID": True}}
    found = inquire(living(), living(body=worse), living(kind="CronJob", name="b"), living(kind="Pod", name="a"))
    plain, other = found.questions[1].key, found.questions[2].key
    assert gate.holders(
        replace(found, questions=found.questions[1:3]), {plain: "privileged", other: "host namespaces"}
    ) == ("Deployment web: privileged (level baseline)",)
    assert gate.holders(found, {plain: "", other: ""}) == ()


def test_the_same_question_has_one_key() -> None:
    """Whatever object the question is about, and in whatever order its fields are.

    Another level is another question.
    """
    turned = dict(reversed(BODY.items()))
    keys = [gate.Question("a", Level.BASELINE, BODY).key, gate.Question("b", Level.BASELINE, turned).key]
    assert len(set(keys)) == 1
    assert gate.Question("a", Level.RESTRICTED, BODY).key not in keys


def test_other_standards_are_another_question() -> None:
    """The answer of an older version or of an older cluster does not count."""
    pinned = inquire(living(), spec={"pod_security": {"enforce": "baseline", "version": "v1.30"}})
    made = replace(seen(namespace=namespace(), policy=governed()), kubernetes=snapshot.MinorVersion(1, 37))
    upgraded = gate.inquire(made, [living()], NOW)
    assert len({one.questions[0].key for one in (inquire(living()), pinned, upgraded)}) == 3


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
    """Privileged, host paths and host ports.

    The host of a probe stays in the question, because only the host network allows it.
    """
    (question,) = inquire(living(SENSOR, AGENT), **FOR_PLAIN).questions
    assert (question.level, question.covered) == (Level.BASELINE, True)
    (container,) = question.body["spec"]["containers"]
    assert container["securityContext"] == {"runAsNonRoot": True}
    assert "ports" not in container
    assert container["livenessProbe"] == AGENT["spec"]["containers"][0]["livenessProbe"]
    assert question.body["spec"]["volumes"] == []


@pytest.mark.parametrize(("asked", "level"), [("restricted", Level.BASELINE), ("privileged", None)])
def test_such_an_exception_makes_nothing_stricter(asked: str, level: labels.Level | None) -> None:
    """The level is the target or the level of the exception, whichever is less strict, as in relaxed-namespace."""
    spec = {**FOR_PLAIN, "privileged": False, "pod_security_level": asked}
    sensor = replace(SENSOR, privileged=False)
    assert [question.level for question in inquire(living(sensor, AGENT), **spec).questions] == (
        [level] if level else []
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
