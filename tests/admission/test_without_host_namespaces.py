"""Grants for pods without host namespaces: what such a pod may use, and that nothing else changes."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from hostnetwork_operator.api import grant as grants
from hostnetwork_operator.api import labels
from tests.admission import workbench
from tests.admission.workbench import IMAGE, Home, container, grant, pod
from tests.controlplane import api

NONE: frozenset[labels.HostNamespace] = frozenset()
PROC = grants.HostPathAccess("/proc", read_only=True)


@pytest.fixture(params=["baseline", "restricted"])
def guarded(request: pytest.FixtureRequest, make_namespace: Callable[..., Home]) -> Home:
    """A relaxed namespace with enforcement on."""
    return make_namespace(enforcement="Deny", guard=str(request.param), level="privileged")


def plain(**fields: Any) -> grants.Grant:
    return grant(**{"host_namespaces": NONE, "level": labels.Level.BASELINE, **fields})


def mounting(path: str, *, read_only: bool = True) -> dict[str, Any]:
    mount = {"name": "v", "mountPath": "/v", "readOnly": read_only}
    return pod({"volumeMounts": [mount]}, volumes=[{"name": "v", "hostPath": {"path": path}}])


def context(**fields: Any) -> dict[str, Any]:
    return pod({"securityContext": fields})


PORT = pod({"ports": [{"containerPort": 80, "hostPort": 80}]})
ALLOWED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("host path", {"host_paths": (PROC,)}, mounting("/proc/net")),
    ("host port", {"host_ports": True}, PORT),
    ("capability", {"capabilities": ("NET_ADMIN",)}, context(capabilities={"add": ["NET_ADMIN"]})),
    ("privileged", {"privileged": True}, context(privileged=True, capabilities={"add": ["SYS_ADMIN"]})),
]


@pytest.mark.parametrize(("fields", "body"), [row[1:] for row in ALLOWED], ids=[row[0] for row in ALLOWED])
def test_a_grant_without_host_namespaces_allows_what_it_names(
    guarded: Home, fields: dict[str, Any], body: dict[str, Any]
) -> None:
    """A pod without host namespaces may use what the grant names, and is refused without the grant."""
    guarded.give(agent=None)
    guarded.refuses(body, "relaxed-namespace: ")
    guarded.give(agent=plain(**fields))
    guarded.admits(body)
    guarded.give(agent=plain())
    guarded.refuses(body, "relaxed-namespace: ")


@pytest.mark.parametrize(
    "more",
    [
        {"images": ("other:1",)},
        {"service_account": "other"},
        {"until": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)},
        {"host_namespaces": frozenset({labels.HostNamespace.NETWORK}), "host_ports": False},
    ],
    ids=["image", "account", "ended", "with host namespaces"],
)
@pytest.mark.parametrize("body", [row[2] for row in ALLOWED], ids=[row[0] for row in ALLOWED])
def test_another_grant_covers_no_pod_without_host_namespaces(
    guarded: Home, body: dict[str, Any], more: dict[str, Any]
) -> None:
    """Account, image and expiry must match too, and a grant with host namespaces covers only other pods."""
    everything = {
        "host_paths": (PROC,), "host_ports": True, "capabilities": ("NET_ADMIN",), "privileged": True,
    }  # fmt: skip
    guarded.give(agent=plain(**{**everything, **more}))
    guarded.refuses(body, "relaxed-namespace: ")


def test_it_admits_no_host_namespace_pod(guarded: Home) -> None:
    """The pod is refused, and the refusal names the closest exception."""
    guarded.give(agent=plain(privileged=True, images=None))
    guarded.refuses(pod(hostNetwork=True), '"agent" allows no host namespaces')


def test_an_ordinary_pod_of_the_account_is_judged_as_before(guarded: Home) -> None:
    """The guard applies to a pod that uses nothing a grant can name: the grant's level is for covered pods only."""
    guarded.give(agent=plain(privileged=True, level=labels.Level.PRIVILEGED))
    unconfined = {"seccompProfile": {"type": "Unconfined"}}
    guarded.refuses(pod(securityContext=unconfined), "seccompProfile")
    guarded.admits(pod({"securityContext": {"privileged": True}}, securityContext=unconfined))


def test_nothing_becomes_stricter(make_namespace: Callable[..., Home]) -> None:
    """A pod that meets the guard is admitted, even if a stricter exception covers the pod."""
    namespace = make_namespace(enforcement="Deny", guard="baseline", level="privileged")
    namespace.give(agent=plain(level=labels.Level.RESTRICTED, capabilities=("CHOWN",), host_paths=(PROC,)))
    namespace.admits(context(capabilities={"add": ["CHOWN"]}))
    namespace.admits(mounting("/proc"))


def test_no_change_of_such_a_pod_is_covered(guarded: Home) -> None:
    """The guard applies to a new image and to an ephemeral container, because then the creation time proves nothing."""
    guarded.give(agent=plain(privileged=True, images=None))
    path = guarded.put_up(context(privileged=True))
    image = {"spec": {"containers": [{"name": "c0", "image": "other:1"}]}}
    workbench.refused(guarded.cluster.admin.patch(path, image, api.STRATEGIC), "relaxed-namespace: ", "privileged")
    debugger = {"spec": {"ephemeralContainers": [container(name="debugger", image=IMAGE)]}}
    answer = guarded.cluster.admin.patch(f"{path}/ephemeralcontainers", debugger, api.STRATEGIC)
    workbench.refused(answer, "relaxed-namespace: ", "privileged")
    patch = {"metadata": {"labels": {"a": "b"}}}
    workbench.sound(guarded.cluster.admin.patch(path, patch)).expect(200)


def test_probe_hosts_are_nothing_that_can_be_granted(guarded: Home) -> None:
    """Only a pod with the host network may set probe hosts, because there localhost is the node's anyway."""
    guarded.give(agent=plain(privileged=True))
    probe = {"httpGet": {"port": 80, "host": "10.0.0.1"}}
    guarded.refuses(
        pod({"securityContext": {"privileged": True}, "livenessProbe": probe}), "hostProbesAndHostLifecycle"
    )


def test_a_default_capability_opts_no_pod_out_of_the_guard(guarded: Home) -> None:
    """A capability that the guard allows needs no grant, so a grant does not cover a pod because of it."""
    guarded.give(agent=plain(level=labels.Level.PRIVILEGED, host_paths=(PROC,)))
    allowed = ["CHOWN"] if _baseline(guarded) else ["NET_BIND_SERVICE"]
    body = pod(
        {"securityContext": {"capabilities": {"add": allowed}}},
        securityContext={"seccompProfile": {"type": "Unconfined"}},
    )
    guarded.refuses(body, "seccompProfile")


def test_a_backslash_hides_no_other_directory(guarded: Home) -> None:
    """On a Windows node a backslash separates segments and `..` goes up, so no grant covers such a path."""
    guarded.give(
        agent=plain(host_paths=(grants.HostPathAccess("/var/log", read_only=True),)),
        shared=grant(host_paths=(grants.HostPathAccess("/var/log", read_only=True),)),
    )
    guarded.admits(mounting("/var/log/pods"))
    guarded.refuses(
        mounting("/var/log/a\\..\\..\\Users"), "hostPathVolumes" if _baseline(guarded) else "restrictedVolumes"
    )
    mounting_pod = mounting("/var/log/a\\..\\..\\Users")
    mounting_pod["spec"]["hostNetwork"] = True
    guarded.refuses(mounting_pod, '"shared" does not allow host path')


def _baseline(namespace: Home) -> bool:
    namespace_labels = namespace.cluster.admin.get(namespace.path).expect(200).body["metadata"]["labels"]
    return bool(namespace_labels[labels.GUARD] == "baseline")


def test_grants_cost_an_ordinary_pod_nothing_that_it_could_fail_by(guarded: Home) -> None:
    """With 64 grants of both kinds and an image name of a million characters, no expression fails."""
    all_grants = [plain(images=tuple(f"r.example.com/{n}:1" for n in range(16))), grant()]
    guarded.give(**{f"g{n:02}": all_grants[n % 2] for n in range(60)})
    container_context = {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    guarded.admits(pod({"image": "x" * 1_000_000, "securityContext": container_context}))
    guarded.refuses(
        pod({"image": "x" * 800_000, "securityContext": container_context}, hostNetwork=True), "no exception in force"
    )
