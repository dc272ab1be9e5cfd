"""The refusal of a host-namespace pod is the same whichever of two policies answers, and it says what helps."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from hostnetwork_operator.api import labels
from tests.admission import workbench
from tests.admission.workbench import IMAGE, Home, container, grant, pod
from tests.controlplane import api

PRIVILEGED = {"securityContext": {"privileged": True}}
EVERYTHING: dict[str, Any] = {
    "securityContext": {"capabilities": {"add": ["CAP_SYS_BOOT", "NET_ADMIN"]}},
    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
}
VOLUMES = [{"name": "v", "hostPath": {"path": "/var/lib"}}, {"name": "w", "hostPath": {"path": "/proc"}}]


def refusal_text(answer: api.Response) -> str:
    """Return the text of a policy's refusal without the policy's and the pod's name."""
    text = workbench.refused(answer).partition("denied request: ")[2]
    return re.sub('^host-namespaces: pod "pod-[0-9]+" shares', "host-namespaces: the pod shares", text)


@pytest.fixture(params=["baseline", "restricted"])
def namespaces(request: pytest.FixtureRequest, make_namespace: Callable[..., Home]) -> dict[str, Home]:
    """Namespaces where host-namespaces answers alone, the guard answers alone, and both can answer."""
    guard = str(request.param)
    return {
        "host-namespaces": make_namespace(enforcement="Deny"),
        "guard": make_namespace(guard=guard),
        "both": make_namespace(enforcement="Deny", guard=guard),
    }


def same_refusal(namespaces: dict[str, Home], request: Callable[[Home], api.Response]) -> str:
    """Return the refusal, which must be the same in all of the namespaces."""
    texts = {name: refusal_text(request(namespace)) for name, namespace in namespaces.items()}
    assert set(texts.values()) == {texts["both"]}, texts
    return texts["both"]


LACKS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("nothing is granted", {}, pod(hostNetwork=True), "(the namespace has none)"),
    ("account", {"near": grant(service_account="other")}, pod(hostPID=True), '"near" is for service account other'),
    ("hosts", {"near": grant()}, pod(hostPID=True), '"near" allows only host Network'),
    ("none", {"near": grant(host_namespaces=frozenset())}, pod(hostPID=True), '"near" allows no host namespaces'),
    ("image", {"near": grant()}, pod({"image": "x:1"}, hostNetwork=True), '"near" does not list image x:1'),
    ("privileged", {"near": grant()}, pod(PRIVILEGED, hostNetwork=True), '"near" does not allow privileged containers'),
    (
        "capability",
        {"near": grant(capabilities=("NET_ADMIN",))},
        pod(EVERYTHING, hostNetwork=True, volumes=VOLUMES),
        '"near" does not list capability CAP_SYS_BOOT',
    ),
    (
        "path",
        {"near": grant(capabilities=("NET_ADMIN", "CAP_SYS_BOOT"))},
        pod(EVERYTHING, hostNetwork=True, volumes=VOLUMES),
        '"near" does not allow host path /var/lib/ (writable)',
    ),
]


@pytest.mark.parametrize(("given", "body", "text"), [row[1:] for row in LACKS], ids=[row[0] for row in LACKS])
def test_each_refusal_says_what_the_nearest_exception_lacks(
    namespaces: dict[str, Home], given: dict[str, Any], body: dict[str, Any], text: str
) -> None:
    """Both policies name the closest exception and what it lacks, in the same words."""
    for namespace in namespaces.values():
        if given:
            namespace.give(y_far=grant(service_account="far"), **given)
    assert text in same_refusal(namespaces, lambda namespace: namespace.create(body))


def test_the_refusal_says_what_to_ask_for(namespaces: dict[str, Home]) -> None:
    """The draft lists everything that the pod uses, in the fields of an exception."""
    container_body = {**EVERYTHING, "image": "other:1"}
    text = same_refusal(
        namespaces,
        lambda namespace: namespace.create(pod(container_body, PRIVILEGED, hostNetwork=True, volumes=VOLUMES)),
    )
    for part in (
        "with serviceAccountName: default, hostNamespaces: [Network]",
        f', images: ["other:1", "{IMAGE}"]',
        ", privileged: true",
        ", capabilities: [CAP_SYS_BOOT, NET_ADMIN]",
        ", hostPaths: [{path: /var/lib/, readOnly: false}, {path: /proc/}]",
    ):
        assert part in text
    assert len(text.encode()) < 1024


def test_the_nearest_of_many_is_named(namespaces: dict[str, Home]) -> None:
    """The closest exception fails at the latest step of the coverage check; of two equals, the first by name wins."""
    given = {
        "a": grant(service_account="other"),
        "b": grant(images=("x:1",)),
        "c": grant(capabilities=("NET_ADMIN",)),
        "d": grant(capabilities=("NET_ADMIN",)),
    }
    for namespace in namespaces.values():
        namespace.give(**given)
    text = same_refusal(
        namespaces, lambda namespace: namespace.create(pod(EVERYTHING, hostNetwork=True, volumes=VOLUMES))
    )
    assert '(closest exception of 5: "c" does not list capability CAP_SYS_BOOT)' in text


def test_a_change_of_a_host_namespace_pod_is_refused_for_what_it_is(namespaces: dict[str, Home]) -> None:
    """An ephemeral container and another image get their own remedy, even though no exception covers the pod either."""
    patch: dict[str, Any] = {"metadata": {"labels": {labels.ENFORCEMENT: None, labels.GUARD: None}}}
    paths = {}
    for name, namespace in namespaces.items():
        namespace_labels = namespace.cluster.admin.get(namespace.path).expect(200).body["metadata"]["labels"]
        namespace.cluster.admin.patch(namespace.path, patch).expect(200)
        namespace.cluster.wait(
            "nobody to answer", lambda namespace=namespace: namespace.create(pod(hostPID=True)).status == 201, 10
        )
        paths[name] = namespace.put_up(pod(PRIVILEGED, hostNetwork=True))
        namespace.cluster.admin.patch(namespace.path, {"metadata": {"labels": namespace_labels}}).expect(200)
        namespace.cluster.wait(
            "somebody to answer", lambda namespace=namespace: namespace.create(pod(hostPID=True)).status == 403, 10
        )
    pod_paths = {namespace.name: paths[name] for name, namespace in namespaces.items()}
    debugger = {"spec": {"ephemeralContainers": [container(name="debugger", image="netshoot:1")]}}
    image = {"spec": {"containers": [{"name": "c0", "image": "netshoot:1"}]}}
    text = same_refusal(
        namespaces,
        lambda namespace: namespace.cluster.admin.patch(
            f"{pod_paths[namespace.name]}/ephemeralcontainers", debugger, api.STRATEGIC
        ),
    )
    assert (
        "ephemeral containers are not allowed in a pod that shares host namespaces; start a separate pod under a"
        in text
    )
    text = same_refusal(
        namespaces, lambda namespace: namespace.cluster.admin.patch(pod_paths[namespace.name], image, api.STRATEGIC)
    )
    assert "cannot change after its creation; delete the pod and create a new pod with the other images" in text


def test_a_forged_mirror_pod_is_refused_for_that(namespaces: dict[str, Home]) -> None:
    """The refusal names the annotation and no missing exception, because a real mirror pod needs no exception."""
    body = pod(hostNetwork=True, nodeName=namespaces["both"].cluster.nodes[0])
    body["metadata"]["annotations"] = {labels.MIRROR: "a-hash"}
    text = same_refusal(namespaces, lambda namespace: namespace.create(body))
    assert "only a kubelet may set the annotation kubernetes.io/config.mirror, for its static pods" in text
