"""relaxed-namespace-restricted: at target restricted, the guard restricts all other pods to Restricted."""

from collections.abc import Callable
from typing import Any

import pytest

from hostnetwork_operator.api import grant as grants
from hostnetwork_operator.api import labels
from tests.admission import workbench
from tests.admission.workbench import Home, container, grant, pod
from tests.controlplane import api

STRICT: dict[str, Any] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
FOR_ALL: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.fixture
def strict(make_namespace: Callable[..., Home]) -> Home:
    """A namespace at level privileged under the guard restricted."""
    return make_namespace(enforcement="Deny", guard="restricted", level="privileged")


def meeting(
    own_context: dict[str, Any] | None = None, for_all: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """Return a pod that meets Restricted, with changes to its container's context and its own context.

    None removes a field.
    """
    return pod(
        {"securityContext": merged(STRICT, own_context)}, **{"securityContext": merged(FOR_ALL, for_all), **spec}
    )


def merged(context: dict[str, Any], changes: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in {**context, **(changes or {})}.items() if value is not None}


UNCONFINED = {"type": "Unconfined"}
VIOLATIONS: list[tuple[str, dict[str, Any], str]] = [
    ("capabilities", meeting({"capabilities": None}), 'container "c0" does not set capabilities.drop: [ALL]'),
    ("capabilities", meeting({"capabilities": {"drop": ["NET_RAW"]}}), "does not set capabilities.drop: [ALL]"),
    ("capabilities", meeting({"capabilities": {"drop": ["all"]}}), "does not set capabilities.drop: [ALL]"),
    ("capabilities", meeting({"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}), "adds capabilities CHOWN"),
    (
        "restrictedVolumes",
        meeting(volumes=[{"name": "v", "nfs": {"server": "filer", "path": "/"}}]),
        'volume "v" has nfs filer',
    ),
    ("restrictedVolumes", meeting(volumes=[{"name": "v", "hostPath": {"path": "/a"}}]), 'volume "v" has hostPath /a'),
    (
        "restrictedVolumes",
        meeting(
            volumes=[{"name": "v", "iscsi": {"targetPortal": "a:1", "iqn": "iqn.2001-04.com.example:a", "lun": 0}}]
        ),
        'volume "v" has another type',
    ),
    ("seccompProfile", meeting(for_all={"seccompProfile": None}), 'container "c0" sets no seccompProfile, and the pod'),
    ("seccompProfile", meeting(for_all={"seccompProfile": UNCONFINED}), "the pod has seccompProfile.type Unconfined"),
    ("seccompProfile", meeting({"seccompProfile": UNCONFINED}), 'container "c0" has seccompProfile.type Unconfined'),
    (
        "allowPrivilegeEscalation",
        meeting({"allowPrivilegeEscalation": None}),
        'container "c0" does not set allowPrivilegeEscalation: false',
    ),
    ("allowPrivilegeEscalation", meeting({"allowPrivilegeEscalation": True}), "allowPrivilegeEscalation: false"),
    ("runAsNonRoot", meeting(for_all={"runAsNonRoot": None}), 'container "c0" does not set runAsNonRoot: true, and'),
    ("runAsNonRoot", meeting({"runAsNonRoot": True}, {"runAsNonRoot": False}), "the pod has runAsNonRoot: false"),
    ("runAsNonRoot", meeting({"runAsNonRoot": False}), 'container "c0" has runAsNonRoot: false'),
    ("runAsUser", meeting(for_all={"runAsUser": 0}), "the pod has runAsUser: 0"),
    ("runAsUser", meeting({"runAsUser": 0}), 'container "c0" has runAsUser: 0'),
]


@pytest.mark.parametrize(("control", "body", "text"), VIOLATIONS, ids=[f"{v[0]}: {v[2]}" for v in VIOLATIONS])
def test_each_control_of_restricted_refuses(strict: Home, control: str, body: dict[str, Any], text: str) -> None:
    """A pod that violates one control is refused for that control only.

    The message names the control, the field, the value and a remedy.
    """
    message = strict.refuses(body, f'violates the Restricted control "{control}": ', text, "; ")
    assert "all violated controls: " not in message


@pytest.mark.parametrize(
    ("control", "body"),
    [
        ("hostPorts", meeting() | {}),
        ("sysctls", meeting(for_all={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]})),
        ("seLinuxOptions", meeting({"seLinuxOptions": {"type": "spc_t"}})),
        ("appArmorProfile", meeting({"appArmorProfile": UNCONFINED})),
    ],
    ids=str,
)
def test_what_baseline_forbids_restricted_forbids(strict: Home, control: str, body: dict[str, Any]) -> None:
    """Restricted includes the controls of Baseline."""
    if control == "hostPorts":
        body["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": 80}]
    strict.refuses(body, f'violates the Baseline control "{control}": ')


CONFORMING: dict[str, dict[str, Any]] = {
    "plain": meeting(),
    "each container for itself": pod({"securityContext": {**STRICT, **FOR_ALL}}),
    "Localhost": meeting(for_all={"seccompProfile": {"type": "Localhost", "localhostProfile": "a"}}),
    "the port of a service": meeting({"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}),
    "a user": meeting({"runAsUser": 1000}, {"runAsUser": 65532}),
    "every volume of its own": meeting(
        volumes=[
            {"name": "a", "emptyDir": {}},
            {"name": "b", "configMap": {"name": "b"}},
            {"name": "c", "csi": {"driver": "d"}},
            {"name": "d", "downwardAPI": {}},
            {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}},
            {"name": "f", "persistentVolumeClaim": {"claimName": "f"}},
            {"name": "g", "projected": {"sources": []}},
            {"name": "h", "secret": {"secretName": "h"}},
            {"name": "i", "image": {"reference": "registry.example.com/a:1"}},
        ]
    ),
    "root in its own user namespace": pod(
        {"securityContext": {**STRICT, "runAsUser": 0, "runAsNonRoot": False}},
        hostUsers=False,
        securityContext={"seccompProfile": {"type": "RuntimeDefault"}},
    ),
    "Windows": pod(os={"name": "windows"}, securityContext={"runAsNonRoot": True}),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFORMING)
def test_pods_that_meet_restricted_pass(strict: Home, name: str) -> None:
    """A pod that meets Restricted is admitted without a warning."""
    assert strict.create(CONFORMING[name]).expect(201).warnings == ()


def test_windows_and_user_namespaces_spare_no_other_control(strict: Home) -> None:
    """Windows pods must not run as root, and root in a user namespace must still drop its capabilities."""
    strict.refuses(pod(os={"name": "windows"}), 'violates the Restricted control "runAsNonRoot": ')
    strict.refuses(pod(hostUsers=False), 'violates the Restricted control "capabilities": ')


@pytest.mark.parametrize("control", ["capabilities", "allowPrivilegeEscalation", "runAsNonRoot", "seccompProfile"])
@pytest.mark.parametrize("where", ["init", "sidecar", "ephemeral"])
def test_every_kind_of_container_must_say_it(strict: Home, control: str, where: str) -> None:
    """An init container, a sidecar or an ephemeral container is refused without the field and admitted with it."""
    complete = {**STRICT, **FOR_ALL}
    violating = container(name="x", securityContext={key: value for key, value in complete.items() if key != control})
    conforming = container(name="x", securityContext=complete)
    base = {"securityContext": None}
    context = {"securityContext": complete}
    if where == "ephemeral":
        path = strict.put_up(pod(context, **base))
        path_of_debug = f"{path}/ephemeralcontainers?dryRun=All"
        answers = [
            strict.cluster.admin.patch(path_of_debug, {"spec": {"ephemeralContainers": [candidate]}}, api.STRATEGIC)
            for candidate in (violating, conforming)
        ]
    else:
        extra = {"restartPolicy": "Always"} if where == "sidecar" else {}
        answers = [
            strict.create(pod(context, initContainers=[{**candidate, **extra}], **base))
            for candidate in (violating, conforming)
        ]
    workbench.refused(answers[0], f'violates the Restricted control "{control}": ', 'container "x"')
    workbench.sound(answers[1]).expect(200, 201)


def test_a_covered_pod_is_judged_by_its_grant(strict: Home) -> None:
    """Under the guard restricted a covered pod must meet Baseline, or Restricted if its exception says restricted."""
    strict.give(web=grant(capabilities=("NET_ADMIN",), host_paths=(grants.HostPathAccess("/proc", read_only=True),)))
    loose_pod = pod({"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}, hostNetwork=True)
    strict.admits(loose_pod)
    strict.refuses(pod({"securityContext": {}}), "violates the Restricted control ")
    level = labels.Level.RESTRICTED
    paths = (grants.HostPathAccess("/proc", read_only=True),)
    strict.give(web=grant(capabilities=("NET_ADMIN",), host_paths=paths, level=level))
    strict.refuses(loose_pod, 'violates the Restricted control "capabilities": ', "drop: [ALL]")
    granted_context = {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_BIND_SERVICE"]}}
    volume = {"name": "v", "hostPath": {"path": "/proc/sys"}}
    strict.admits(meeting(granted_context, hostNetwork=True, volumes=[volume]))
    nfs = {"name": "w", "nfs": {"server": "filer", "path": "/"}}
    strict.refuses(
        meeting(granted_context, hostNetwork=True, volumes=[volume, nfs]),
        'the Restricted control "restrictedVolumes": ',
        '"w"',
    )


def test_a_grant_may_ask_for_more_than_its_namespace(relaxed: Home) -> None:
    """Under the guard baseline a pod must meet Restricted if its exception says so; other pods only Baseline."""
    relaxed.give(web=grant(level=labels.Level.RESTRICTED))
    relaxed.refuses(pod(hostNetwork=True), "violates the Restricted control ")
    relaxed.admits(meeting(hostNetwork=True))
    relaxed.admits(pod())


def test_the_least_strict_of_the_grants_that_cover_counts(relaxed: Home) -> None:
    """If two grants fit a pod, one covering grant is enough."""
    relaxed.give(web=grant(level=labels.Level.RESTRICTED), too=grant())
    relaxed.admits(pod(hostNetwork=True))


def test_the_largest_pod_is_within_the_cost_limit(strict: Home) -> None:
    """A pod of 50 containers that violates nearly every control is refused for the controls, not for the cost."""
    strict.give(**{f"g{number:02}": grant(images=("other:1",) * 16) for number in range(63)})
    context = {
        "privileged": True,
        "runAsUser": 0,
        "runAsNonRoot": False,
        "capabilities": {"add": ["NET_ADMIN"] * 30},
        "seccompProfile": UNCONFINED,
        "seLinuxOptions": {"type": "spc_t"},
    }
    probe = {"httpGet": {"port": 80, "host": "10.0.0.1"}}
    containers = [
        {"securityContext": context, "livenessProbe": probe, "lifecycle": {"preStop": probe}} for _ in range(50)
    ]
    volumes = [{"name": f"v{number}", "hostPath": {"path": f"/{number}"}} for number in range(50)]
    strict.refuses(pod(*containers, volumes=volumes, hostPID=True))
    strict.refuses(
        pod(*containers, volumes=volumes), "all violated controls: ", "runAsUser", "hostProbesAndHostLifecycle"
    )
