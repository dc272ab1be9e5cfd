"""The exception of a debug session covers its pod, with less it does not, and its revocation ends the pod."""

import datetime
import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

from hostnetwork_operator.api import exception, labels, meta
from hostnetwork_operator.api.conditions import Ready
from hostnetwork_operator.decide import coverage, debugging, snapshot, validity
from hostnetwork_operator.observe import parse
from tests.docs import markdown
from tests.unit.builders import IMAGE, NAMESPACE, NOW, at

PAGE = markdown.ROOT / "docs" / "howto" / "exceptions-for-agents.md"


def session(**fields: Any) -> debugging.DebugSession:
    defaults: dict[str, Any] = {
        "name": "debug-node-1-x7k2f",
        "namespace": NAMESPACE,
        "node": "node-1",
        "image": IMAGE,
        "owner": "jane",
        "reason": "Debug node node-1, ticket INC-1",
        "ticket": "INC-1",
        "expiry": at(hours=1),
        "profile": debugging.PROFILES[debugging.NETWORK],
    }
    return debugging.DebugSession(**{**defaults, **fields})


def pod_of(wanted: debugging.DebugSession, created: datetime.datetime = NOW) -> snapshot.Pod:
    body = debugging.pod(wanted, NOW)
    meta = {**body["metadata"], "uid": "u", "resourceVersion": "1", "creationTimestamp": str(created)}
    found = parse.pod({"metadata": meta, "spec": body["spec"]})
    assert isinstance(found, snapshot.Pod)
    return found


def standing(body: dict[str, Any], reason: Ready = Ready.ACTIVE) -> validity.Standing:
    meta = {**body["metadata"], "uid": "e", "generation": 1, "resourceVersion": "1", "creationTimestamp": str(NOW)}
    parsed = exception.HostNetworkException.model_validate({"metadata": meta, "spec": body["spec"]})
    return validity.Standing(parsed, reason, "")


@pytest.mark.parametrize("profile", debugging.PROFILES)
def test_the_exception_of_a_profile_covers_its_pod_and_no_less_does(profile: str) -> None:
    """Without any one of the fields that grant something, the exception covers the pod no longer."""
    wanted = session(profile=debugging.PROFILES[profile])
    body, pod = debugging.exception(wanted), pod_of(wanted)
    assert coverage.covers(standing(body), pod).covers
    for field in ("capabilities", "privileged", "hostPaths"):
        if field in body["spec"]:
            less = {**body, "spec": {key: value for key, value in body["spec"].items() if key != field}}
            assert not coverage.covers(standing(less), pod).covers, field
    for each in body["spec"]["hostNamespaces"]:
        fewer = [name for name in body["spec"]["hostNamespaces"] if name != each]
        less = {**body, "spec": {**body["spec"], "hostNamespaces": fewer}}
        assert not coverage.covers(standing(less), pod).covers, each


def test_a_profile_has_what_kubectl_debug_gives_the_pod() -> None:
    """The table of the documentation, which a test compares with kubectl, says the same of each profile."""
    for name, _, needs in markdown.table("debug-profiles", PAGE):
        profile = markdown.codes(name)[0]
        if profile not in debugging.PROFILES:
            continue
        said = {key: value for snippet in markdown.codes(needs) for key, value in yaml.safe_load(snippet).items()}
        spec = debugging.exception(session(profile=debugging.PROFILES[profile]))["spec"]
        keys = ("hostNamespaces", "hostPaths", "capabilities", "privileged")
        assert {key: spec[key] for key in keys if key in spec} == said


def test_host_namespaces_are_added_to_a_profile() -> None:
    added = debugging.with_host_namespaces(debugging.PROFILES[debugging.NETWORK], pid=True, ipc=False)
    assert added.host_namespaces == (labels.HostNamespace.NETWORK, labels.HostNamespace.PID)
    pod = debugging.pod(session(profile=added), NOW)["spec"]
    assert (pod["hostNetwork"], pod["hostPID"], "hostIPC" in pod) == (True, True, False)


def test_the_pod_ends_with_its_client_and_at_the_expiry() -> None:
    """A shell ends at the end of its input, nothing restarts it, and the kubelet ends it at the expiry."""
    pod = debugging.pod(session(interactive=True, terminal=True), at(seconds=0.4))["spec"]
    (container,) = pod["containers"]
    assert (container["stdin"], container["stdinOnce"], container["tty"]) == (True, True, True)
    assert (pod["restartPolicy"], pod["activeDeadlineSeconds"]) == ("Never", 3600)
    assert pod["automountServiceAccountToken"] is False
    assert pod["nodeName"] == "node-1"


def test_without_input_there_is_no_stdin() -> None:
    """A command that reads its stdin finds its end, instead of waiting for a client that sends nothing."""
    (container,) = debugging.pod(session(command=("ip", "route")), NOW)["spec"]["containers"]
    assert container["command"] == ["ip", "route"]
    assert not {"stdin", "stdinOnce", "tty"} & set(container)


@pytest.mark.parametrize("milliseconds", [0, 1, 999, 1000, 60_000])
def test_a_revoked_exception_leaves_its_pod_expired(milliseconds: int) -> None:
    """Whenever the session ends, the pod is Expired, so that the operator deletes it, and never Uncovered."""
    wanted = session()
    created = NOW  # the API server writes whole seconds
    moment = debugging.revoked_at(created + datetime.timedelta(milliseconds=milliseconds), created)
    assert moment <= created + datetime.timedelta(milliseconds=milliseconds + 1000)
    revoked = replace(wanted, expiry=moment)
    over = standing(debugging.exception(revoked), Ready.EXPIRED)
    verdict = coverage.judge(pod_of(wanted, created), [over], exempt=False)
    assert verdict.verdict is labels.Verdict.EXPIRED


def test_without_a_pod_the_expiry_is_now() -> None:
    assert debugging.revoked_at(at(seconds=5, milliseconds=700), None) == at(seconds=5)


@pytest.mark.parametrize("node", ["node-1", "ip-10-0-0-1.eu-central-1.compute.internal", "n" * 253, "n" * 50 + ".xyz"])
def test_a_name_is_the_name_of_an_exception_and_of_a_pod(node: str) -> None:
    name = debugging.name(node, "x7k2f")
    assert len(name) <= 63
    assert meta.is_name(name)  # the same form
    assert name.startswith("debug-n" if node[0] == "n" else "debug-ip-10-")
    assert name.endswith("-x7k2f")
    assert ".-" not in name


@pytest.mark.parametrize("text", ["", "-a", "a/b", "A", "a" * 254, "a b", "..", "a%2f"])
def test_what_cannot_be_a_node_is_no_node(text: str) -> None:
    assert not meta.is_name(text)


def test_both_objects_are_json() -> None:
    wanted = session(profile=debugging.PROFILES["sysadmin"])
    assert json.loads(json.dumps([debugging.exception(wanted), debugging.pod(wanted, NOW)]))
