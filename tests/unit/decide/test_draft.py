"""A draft is the smallest exception: for each sample it has the fields of the sample's own exception, and no others."""

from typing import Any

import pytest

from hostnetwork_operator.api import exception, labels
from hostnetwork_operator.api.exception import Component, ExceptionType
from hostnetwork_operator.api.grant import HostPathAccess
from hostnetwork_operator.decide import classify, draft, snapshot
from hostnetwork_operator.observe import parse
from tests.e2e import agents
from tests.unit.builders import IMAGE, NAMESPACE, NOW, PID, pod

SAMPLES = agents.read("2026-11-22T13:00:00Z")
SEEN = classify.Classification(ExceptionType.INFRASTRUCTURE, None, "", classify.Confidence.UNKNOWN, ())
TOP = snapshot.Reference("DaemonSet", NAMESPACE, "agent", "uid-of-agent", "apps/v1")


def drafted(*pods: snapshot.Pod, level: labels.Level = labels.Level.BASELINE, **fields: Any) -> draft.Draft:
    return draft.draft(TOP, pods, SEEN, level, **fields)


def template(sample: agents.Sample) -> snapshot.Pod:
    """Return a pod as the template of a sample makes it."""
    body = sample.pod
    meta = {"name": "pod", "namespace": NAMESPACE, "uid": "u", "resourceVersion": "1", "creationTimestamp": str(NOW)}
    found = parse.pod({"metadata": meta, "spec": body["spec"]})
    assert isinstance(found, snapshot.Pod)
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_the_draft_for_a_sample_is_its_exception(name: str) -> None:
    """Those are the smallest: tests/e2e/test_agents.py shows that with less of one field the pods are refused."""
    sample = SAMPLES[name]
    spec = exception.ExceptionSpec.model_validate(sample.exception["spec"])
    found = drafted(template(sample), level=spec.pod_security_level, kind=spec.type)
    assert (found.service_account, found.privileged, found.host_ports, found.level) == (
        spec.service_account,
        spec.privileged,
        spec.host_ports,
        spec.pod_security_level,
    )
    assert set(found.host_namespaces) == set(spec.host_namespaces)
    assert set(found.images) == set(spec.images or ())
    assert set(found.capabilities) == set(spec.capabilities)
    assert {(p.path, p.read_only) for p in found.host_paths} == {(p.path, p.read_only) for p in spec.host_paths}
    assert found.inexpressible == ()


def test_a_path_below_another_is_left_out_unless_it_needs_more() -> None:
    mounts = [("/", True), ("/var/log", True), ("/run/", False), ("/run/x", True), ("/opt", True), ("/opt/bin", False)]
    paths = frozenset(HostPathAccess(path, read_only=read_only) for path, read_only in mounts)
    found = drafted(pod(host_paths=paths))
    assert [(p.path, p.read_only) for p in found.host_paths] == [("/", True), ("/opt/bin", False), ("/run", False)]


@pytest.mark.parametrize("path", ["relative", "/with space", "/a|b", "C:\\x", "/a/../b", "/bell\x07"])
def test_a_path_that_no_exception_can_list_is_said(path: str) -> None:
    found = drafted(pod(host_paths=frozenset({HostPathAccess(path, read_only=True)})))
    assert (found.host_paths, found.inexpressible) == ((), (f"host path {path}",))


def test_a_draft_covers_template_and_pods_together() -> None:
    """A webhook may have rewritten the images of the pods: both are listed."""
    mirror = "mirror.example.com/netshoot@sha256:" + "1" * 64
    found = drafted(pod(), pod(images=frozenset({mirror}), host_namespaces=frozenset({PID})))
    assert found.images == (mirror, IMAGE)
    assert found.host_namespaces == (labels.HostNamespace.NETWORK, labels.HostNamespace.PID)


def test_restricted_is_not_drafted_with_privileged() -> None:
    """The CRD refuses both together. At restricted more capabilities must be listed than at baseline."""
    assert drafted(pod(privileged=True), level=labels.Level.RESTRICTED).level is labels.Level.BASELINE
    found = drafted(
        pod(capabilities=frozenset({"CHOWN", "NET_ADMIN", "NET_BIND_SERVICE"})), level=labels.Level.RESTRICTED
    )
    assert found.capabilities == ("CHOWN", "NET_ADMIN")


def test_the_type_is_that_of_the_class_unless_a_person_says_another() -> None:
    assert (drafted(pod()).type, drafted(pod()).component) == (ExceptionType.INFRASTRUCTURE, Component.OTHER)
    found = drafted(pod(), kind=ExceptionType.DIAGNOSTIC)
    assert (found.type, found.component) == (ExceptionType.DIAGNOSTIC, None)


def test_what_is_wide_is_said() -> None:
    paths = frozenset(
        {HostPathAccess("/", read_only=False), HostPathAccess("/run/containerd/containerd.sock", read_only=True)}
    )
    found = drafted(pod(privileged=True, host_paths=paths, service_account="default"))
    assert found.wide == (
        "a privileged container has root rights on the node",
        "the pods write / of the node",
        "every pod of the namespace that names no service account can use the exception",
    )
    assert drafted(pod()).wide == ()


def test_who_needs_no_exception() -> None:
    assert draft.needs_an_exception(pod())
    assert draft.needs_an_exception(pod(host_namespaces=frozenset(), host_ports=True))
    assert not draft.needs_an_exception(pod(host_namespaces=frozenset(), capabilities=frozenset({"CHOWN"})))


def test_the_manifest_of_a_draft_is_what_the_api_accepts() -> None:
    """What nobody has said is left out, and a component is there for type Infrastructure only."""
    found = drafted(pod())
    manifest = found.manifest(draft.Justification("team-sre", "Reads packets of its node"))
    assert manifest["metadata"] == {"name": "agent", "namespace": NAMESPACE}
    assert manifest["spec"] == {
        "type": "Infrastructure",
        "component": "Other",
        "owner": "team-sre",
        "reason": "Reads packets of its node",
        **found.spec,
    }
    justification = draft.Justification("team-sre", "Reads packets of its node", "sre@example.com", "INC-1", NOW)
    spec = drafted(pod(), kind=ExceptionType.APPLICATION).manifest(justification)["spec"]
    assert exception.ExceptionSpec.model_validate(spec).expiry == NOW
    assert (spec["contact"], spec["ticket"], "component" in spec) == ("sre@example.com", "INC-1", False)


def test_a_diagnostic_without_host_namespaces_is_drafted_as_an_application() -> None:
    """The CRD allows an empty list of host namespaces for types Infrastructure and Application only."""
    found = drafted(pod(host_namespaces=frozenset(), host_ports=True), kind=ExceptionType.DIAGNOSTIC)
    assert (found.type, found.host_namespaces) == (ExceptionType.APPLICATION, ())
