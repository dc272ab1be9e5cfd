"""A class says what a workload looks like. A forged name, image path or namespace leads to no certain class."""

import dataclasses
import re
from typing import Any

import pytest

from hostnetwork_operator.api import labels
from hostnetwork_operator.api.exception import Component, ExceptionType
from hostnetwork_operator.decide import catalogue, classify, matching, snapshot
from hostnetwork_operator.decide.classify import Confidence
from tests.unit.builders import pod

AGENTS = {agent.name: agent for agent in catalogue.AGENTS}
_LETTERS = dict(zip("NPI", labels.HostNamespace, strict=True))
# A debug tool and an agent of which the user may choose everything look alike.
WITH_IMAGES = [agent.name for agent in catalogue.AGENTS if agent.images]


def written(pattern: str) -> str:
    """Return a text that fits the pattern. A registry has a dot in its name."""
    return pattern.replace("*/", "registry.example.com/", 1).replace("*", "x")


def published(agent: catalogue.Agent, **fields: str) -> classify.Evidence:
    """Return a workload as the project publishes it: the first of each alternative, and every image."""
    namespace = fields.get("namespace", written(agent.namespaces[0]) if agent.namespaces else "apps")
    name = fields.get("name", written(agent.workloads[0]) if agent.workloads else "agent")
    registry = fields.get("registry")
    images = {written(image) + ":v1.2" for image in agent.images} or {"registry.example.com/tools:1"}
    if registry is not None:
        images = {f"{registry}/{image.partition('/')[2]}" for image in images}
    if "image" in fields:
        images = {fields["image"]}
    account = fields.get("account", written(agent.accounts[0]) if agent.accounts else "default")
    shares = frozenset(_LETTERS[letter] for letter in fields.get("shares", agent.host_namespaces))
    kind = "DaemonSet" if agent.type is ExceptionType.INFRASTRUCTURE else "Pod"
    only = pod(
        name, namespace=namespace, service_account=account, images=frozenset(images), host_namespaces=shares
    )  # fmt: skip
    return classify.Evidence(namespace, kind, name, (only,))


def seen(agent: catalogue.Agent, **fields: str) -> classify.Classification:
    return classify.classify(published(agent, **fields))


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_is_known_as_it_is_published(name: str) -> None:
    """It is certain if the project publishes a namespace, a service account and images in registries of its own."""
    agent = AGENTS[name]
    found = seen(agent)
    alike = AGENTS[found.agent]
    assert (found.type, found.component) == (agent.type, agent.component), found
    assert alike == agent or (alike.images, alike.workloads) == (agent.images, agent.workloads) or not agent.images
    owned = bool(agent.images) and not any("*" in image for image in agent.images)
    certain = bool(agent.namespaces and agent.accounts and owned)
    assert (found.confidence is Confidence.CERTAIN) is certain, found.reasons


@pytest.mark.parametrize("name", WITH_IMAGES)
def test_an_impostor_is_not_certain(name: str) -> None:
    """Neither by name, nor with a path at another registry, nor in the namespace of an application."""
    agent = AGENTS[name]
    by_name = seen(agent, image="registry.example.com/shop/frontend:1")
    if by_name.agent:  # the name is also that of a debug tool of which the user chooses the image
        assert (by_name.type, by_name.confidence) == (ExceptionType.DIAGNOSTIC, Confidence.LIKELY)
    else:
        assert by_name.confidence is Confidence.UNKNOWN
        assert any(reason.startswith("the name is that of ") for reason in by_name.reasons) or not agent.workloads
    assert seen(agent, registry="mirror.example.com/proxy").confidence is not Confidence.CERTAIN
    assert seen(agent, namespace="shop").confidence is not Confidence.CERTAIN
    assert seen(agent, account="frontend").confidence is not Confidence.CERTAIN


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("Dynatrace OneAgent", "evil.example.com/linux/oneagent:1"),
        ("AWS VPC CNI", "999999999999.dkr.ecr.us-east-1.amazonaws.com/amazon-k8s-cni:v1"),
        ("AWS EBS CSI node", "999999999999.dkr.ecr.us-east-1.amazonaws.com.evil.example.com/eks/livenessprobe:v1"),
    ],
)
def test_a_registry_that_anyone_may_own_is_not_certain(name: str, image: str) -> None:
    """The catalogue has a `*` for the tenant of a vendor or the account of a cloud. The impostor may have either."""
    found = seen(AGENTS[name], image=image)
    assert (found.agent, found.confidence) == (name, Confidence.LIKELY)
    assert any("may be a mirror" in reason for reason in found.reasons)


@pytest.mark.parametrize("name", AGENTS)
def test_no_text_of_an_impostor_is_in_a_class(name: str) -> None:
    """Type, component, agent and confidence are words of the catalogue, and so is the clause about them."""
    agent = AGENTS[name]
    evil = "evil\u202e.example.com"
    for fields in ({"registry": evil}, {"account": evil}, {"namespace": evil}, {"name": evil}, {"shares": "NPI"}):
        found = seen(agent, **fields)
        assert found.agent in {"", *AGENTS}
        clause = f"looks like {found.agent} ({found.type}, {found.confidence})"
        known = found.agent != "" and found.confidence is not Confidence.UNKNOWN
        assert classify.clause(found) == (clause if known else "")


def test_what_is_too_long_or_too_much_is_no_agent() -> None:
    """A tenant writes images and the names of owners. The operator compares none that no agent could have."""
    agent = AGENTS["Cilium agent"]
    image, name = agent.images[0], "cluster-backup-job-" + "x" * 237
    crowd = [f"{image}:{number}" for number in range(65)]

    def found(images: list[str]) -> str:
        only = pod(namespace="kube-system", service_account="cilium", images=frozenset(images))
        return classify.classify(classify.Evidence("kube-system", "DaemonSet", "cilium", (only,))).agent

    assert (found(crowd[:64]), found(crowd)) == ("Cilium agent", "")
    path = image.partition("/")[2]
    longest = "r" * (255 - len(path) - len(".io/")) + ".io"
    assert (found([f"{longest}/{path}"]), found([f"r{longest}/{path}"])) == ("Cilium agent", "")
    backup = AGENTS["OpenShift etcd backup job"]
    assert (seen(backup, name=name[:255]).agent, seen(backup, name=name).agent) == (backup.name, "")
    accounts = tuple(
        pod(namespace="kube-system", service_account=f"a{n}", images=frozenset({image})) for n in range(65)
    )
    assert classify.classify(classify.Evidence("kube-system", "DaemonSet", "cilium", accounts)).agent == ""


def test_pods_that_are_deleted_and_the_order_of_pods_choose_no_class() -> None:
    """While a rollout replaces the pods of another image, the class is that of the pods that stay."""
    agent = AGENTS["Cilium agent"]
    (new,) = published(agent).pods
    old = dataclasses.replace(new, name="old", images=frozenset({"registry.example.com/shop:1"}))
    going = dataclasses.replace(old, deleting=True)

    def found(*pods: snapshot.Pod) -> classify.Classification:
        return classify.classify(published(agent)._replace(pods=pods))

    before = dataclasses.replace(new, name="old", images=frozenset({f"{agent.images[0]}:before"}), deleting=True)
    assert found(new, before) == found(before, new) == found(new) == found(dataclasses.replace(new, deleting=True))
    assert (found(new, going).type, found(new, going).agent) == (found(new).type, found(new).agent)
    assert found(new, going) == found(going, new)
    assert found(new, old) == found(old, new) == found(going) != found(new)


@pytest.mark.parametrize(
    "other",
    [
        {"images": frozenset({"registry.example.com/miner:1"})},
        {"service_account": "default"},
        {"host_namespaces": frozenset(labels.HostNamespace)},
    ],
)
def test_while_a_pod_that_is_deleted_differs_no_class_is_certain(other: dict[str, Any]) -> None:
    """The user who creates a pod chooses the grace period, and the containers run until its end."""
    agent = AGENTS["Cilium agent"]
    workload = published(agent)
    going = dataclasses.replace(workload.pods[0], name="going", deleting=True, **other)
    found = classify.classify(workload._replace(pods=(*workload.pods, going)))
    assert (found.agent, found.confidence) == (agent.name, Confidence.LIKELY)
    assert "being deleted" in found.reasons[-1]


def test_a_replica_set_has_the_name_of_its_deployment() -> None:
    """Without a report the operator does not ask who owns a ReplicaSet or Job. Their controllers add a suffix."""
    workload = published(AGENTS["Cilium operator"], namespace="shop", account="shop", name="cilium-operator-5d8f")
    assert classify.classify(workload._replace(kind="ReplicaSet")).agent == "Cilium operator"
    assert classify.classify(workload._replace(kind="StatefulSet")).agent == ""


@pytest.mark.parametrize("name", [a.name for a in catalogue.AGENTS if a.images and "I" not in a.host_namespaces])
def test_what_shares_more_than_the_agent_needs_is_not_certain(name: str) -> None:
    assert seen(AGENTS[name], shares="NPI").confidence is not Confidence.CERTAIN


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("busybox", "docker.io/library/busybox"),
        ("busybox:1.37@sha256:" + "0" * 64, "docker.io/library/busybox"),
        ("weaveworks/weave-kube:2", "docker.io/weaveworks/weave-kube"),
        ("docker.io/traefik:v3", "docker.io/library/traefik"),
        ("localhost/tool", "localhost/tool"),
        ("registry:5000/tool:1", "registry:5000/tool"),
        ("quay.io/cilium/cilium", "quay.io/cilium/cilium"),
    ],
)
def test_a_short_image_is_completed_as_a_runtime_does(image: str, repository: str) -> None:
    assert classify.repository(image) == repository


def test_what_is_in_no_catalogue_is_classed_by_its_kind() -> None:
    """A guess from the kind is unknown, and says so."""
    for kind, expected in (("DaemonSet", "Infrastructure"), ("Pod", "Diagnostic"), ("Deployment", "Application")):
        found = classify.classify(classify.Evidence("shop", kind, "frontend", (pod(),)))
        assert (found.type, found.agent, found.confidence) == (expected, "", Confidence.UNKNOWN)
        assert found.reasons
    assert classify.classify(classify.Evidence("a", "DaemonSet", "b", (pod(),))).component is Component.OTHER


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("node-debugger-node-1-abcde", "kubectl debug"),
        ("node-shell-5f0c8f1e-0000-4000-8000-000000000001", "Lens"),
        ("k9s-shell-4711", "k9s"),
        ("nsenter-a1b2c3", "kubectl-node-shell"),
    ],
)
def test_stray_debug_pods_are_recognised(name: str, tool: str) -> None:
    """By their names, so they are likely and not certain: anyone can choose a name. The user chooses the image."""
    tools = [agent for agent in catalogue.AGENTS if any(matching.fits(name, (w,)) for w in agent.workloads)]
    (agent, *_) = [each for each in tools if each.name.startswith(tool)]
    image = f"{written(agent.images[0])}:1" if agent.images else "registry.example.com/tools:1"
    shares = frozenset(_LETTERS[letter] for letter in agent.host_namespaces)
    namespace = agent.namespaces[0] if agent.namespaces else "default"
    stray = pod(name, namespace=namespace, service_account="default", images=frozenset({image}), host_namespaces=shares)
    found = classify.classify(classify.Evidence(namespace, "Pod", name, (stray,)))
    assert (found.type, found.confidence) == (ExceptionType.DIAGNOSTIC, Confidence.LIKELY)
    assert found.agent in {each.name for each in tools}


def test_every_entry_can_be_matched() -> None:
    """An entry has something that identifies it, a source with a version, and well-formed patterns."""
    assert len(catalogue.AGENTS) >= 60
    assert len(AGENTS) == len(catalogue.AGENTS)
    for agent in catalogue.AGENTS:
        assert agent.images or agent.workloads, agent.name
        assert re.fullmatch(r"[\w.-]+/[\w.-]+ \S+", agent.source), agent.source
        assert agent.version
        assert re.fullmatch("N?P?I?", agent.host_namespaces), agent.name
        assert (agent.component is None) is (agent.type is not ExceptionType.INFRASTRUCTURE), agent.name
        for image in agent.images:
            assert re.fullmatch(r"[a-z0-9.*:/_-]+", image), image
            assert "*" not in image.partition("/")[2], image
            assert classify.repository(written(image)) == written(image) or image.count("/") == 1, image
        assert dataclasses.astuple(agent)
