"""relaxed-namespace: if an exception lifted the level, the guard restricts all other pods to Baseline."""

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from hostnetwork_operator.api import grant as grants
from hostnetwork_operator.api import labels
from tests.admission import workbench
from tests.admission.workbench import Home, container, grant, pod
from tests.controlplane import api

ADMISSION = pathlib.Path(__file__).parent.parent.parent / "manifests/admission"
FILES = sorted(file for file in ADMISSION.glob("*.yaml") if file.stem != "kustomization")
Network, PID, IPC = labels.HostNamespace
ALL_HOSTS = frozenset(labels.HostNamespace)


def context(**fields: Any) -> dict[str, Any]:
    return {"securityContext": fields}


def in_pod(**fields: Any) -> dict[str, Any]:
    return pod(securityContext=fields)


PROBE = {"httpGet": {"port": 80, "host": "10.0.0.1"}}
VIOLATIONS: list[tuple[str, str, dict[str, Any], str]] = [
    ("hostNamespaces", "hostNetwork", pod(hostNetwork=True), "it shares host Network"),
    ("hostNamespaces", "hostPID", pod(hostPID=True), "it shares host PID"),
    ("hostNamespaces", "hostIPC", pod(hostIPC=True), "it shares host IPC"),
    (
        "capabilities",
        "add",
        pod(context(capabilities={"add": ["NET_RAW"]})),
        'container "c0" adds capabilities NET_RAW',
    ),
    ("capabilities", "ALL", pod(context(capabilities={"add": ["ALL"]})), "adds capabilities ALL"),
    ("capabilities", "small", pod(context(capabilities={"add": ["chown"]})), "adds capabilities chown"),
    ("capabilities", "CAP_", pod(context(capabilities={"add": ["CAP_CHOWN"]})), "adds capabilities CAP_CHOWN"),
    ("privileged", "true", pod(context(privileged=True)), 'container "c0" has privileged: true'),
    (
        "hostPathVolumes",
        "one",
        pod(volumes=[{"name": "v", "hostPath": {"path": "/etc"}}]),
        'volume "v" has hostPath /etc',
    ),
    ("hostPorts", "one", pod({"ports": [{"containerPort": 80, "hostPort": 81}]}), 'container "c0" has hostPort 81'),
    ("hostProbesAndHostLifecycle", "liveness", pod({"livenessProbe": PROBE}), "hook with host 10.0.0.1"),
    (
        "hostProbesAndHostLifecycle",
        "readiness",
        pod({"readinessProbe": {"tcpSocket": {"port": 80, "host": "localhost"}}}),
        "hook with host localhost",
    ),
    ("hostProbesAndHostLifecycle", "startup", pod({"startupProbe": PROBE}), "hook with host 10.0.0.1"),
    ("hostProbesAndHostLifecycle", "postStart", pod({"lifecycle": {"postStart": PROBE}}), "hook with host 10.0.0.1"),
    ("hostProbesAndHostLifecycle", "preStop", pod({"lifecycle": {"preStop": PROBE}}), "hook with host 10.0.0.1"),
    ("appArmorProfile", "pod", in_pod(appArmorProfile={"type": "Unconfined"}), "the pod has appArmorProfile.type"),
    (
        "appArmorProfile",
        "container",
        pod(context(appArmorProfile={"type": "Unconfined"})),
        'container "c0" has appArmorProfile.type Unconfined',
    ),
    ("seccompProfile", "pod", in_pod(seccompProfile={"type": "Unconfined"}), "the pod has seccompProfile.type"),
    (
        "seccompProfile",
        "container",
        pod(context(seccompProfile={"type": "Unconfined"})),
        'container "c0" has seccompProfile.type Unconfined',
    ),
    ("seLinuxOptions", "pod type", in_pod(seLinuxOptions={"type": "spc_t"}), "the pod has seLinuxOptions type spc_t"),
    ("seLinuxOptions", "user", pod(context(seLinuxOptions={"user": "u"})), 'container "c0" has seLinuxOptions user u'),
    ("seLinuxOptions", "role", pod(context(seLinuxOptions={"role": "r"})), "seLinuxOptions role r"),
    ("sysctls", "one", in_pod(sysctls=[{"name": "kernel.msgmax", "value": "1"}]), "the pod sets sysctl kernel.msgmax"),
    (
        "windowsHostProcess",
        "pod",
        pod(hostNetwork=True, securityContext={"windowsOptions": {"hostProcess": True}}),
        "the pod has windowsOptions.hostProcess: true",
    ),
    (
        "windowsHostProcess",
        "container",
        pod(context(windowsOptions={"hostProcess": True}), hostNetwork=True),
        'container "c0" has windowsOptions.hostProcess: true',
    ),
]
# A host process pod must share the host network, so the test grants that.
GRANTED = {"windowsHostProcess"}


@pytest.mark.parametrize(
    ("control", "body", "text"), [(v[0], v[2], v[3]) for v in VIOLATIONS], ids=[f"{v[0]} {v[1]}" for v in VIOLATIONS]
)
def test_each_control_of_baseline_refuses(relaxed: Home, control: str, body: dict[str, Any], text: str) -> None:
    """The control refuses a pod that violates it; the message names the control, the field, the value and a remedy."""
    if control in GRANTED:
        relaxed.give(web=grant())
    if control != "hostNamespaces":  # for that control, host-namespaces may answer first
        relaxed.refuses(body, f'violates the Baseline control "{control}": ', text, "; ")
        return
    relaxed.refuses(body)
    patch = {"metadata": {"labels": {labels.ENFORCEMENT: None}}}
    relaxed.cluster.admin.patch(relaxed.path, patch).expect(200)
    marker = f'" {text[3:]}, and no exception in force in its namespace covers the pod'
    relaxed.cluster.wait("the guard alone", lambda: marker in relaxed.create(body).message, 10)


INIT_VIOLATIONS = {
    "capabilities": context(capabilities={"add": ["NET_RAW"]}),
    "privileged": context(privileged=True),
    "hostPorts": {"ports": [{"containerPort": 80, "hostPort": 81}]},
    "appArmorProfile": context(appArmorProfile={"type": "Unconfined"}),
    "seccompProfile": context(seccompProfile={"type": "Unconfined"}),
    "seLinuxOptions": context(seLinuxOptions={"type": "spc_t"}),
}


@pytest.mark.parametrize("control", INIT_VIOLATIONS)
def test_init_containers_are_judged_like_the_others(relaxed: Home, control: str) -> None:
    """Init containers and sidecars have the same restrictions as containers."""
    for restart in ({}, {"restartPolicy": "Always"}):
        first = container(name="i", **INIT_VIOLATIONS[control], **restart)
        relaxed.refuses(pod(initContainers=[first]), f'violates the Baseline control "{control}": ', 'container "i"')


def test_a_sidecar_probe_must_not_name_a_host(relaxed: Home) -> None:
    """The policy also checks the probes of restartable init containers."""
    first = container(name="i", restartPolicy="Always", startupProbe=PROBE)
    relaxed.refuses(
        pod(initContainers=[first]), 'violates the Baseline control "hostProbesAndHostLifecycle": ', 'container "i"'
    )


@pytest.mark.parametrize("control", [c for c in INIT_VIOLATIONS if c != "hostPorts"])
def test_ephemeral_containers_are_judged_like_the_others(relaxed: Home, control: str) -> None:
    """An ephemeral container has the same restrictions as a container; a conforming ephemeral container is added."""
    path = relaxed.put_up(pod())
    answer = debug(relaxed, path, **INIT_VIOLATIONS[control])
    workbench.refused(answer, f'violates the Baseline control "{control}": ', 'container "debugger"')
    workbench.sound(debug(relaxed, path)).expect(200)


def debug(namespace: Home, path: str, **fields: Any) -> api.Response:
    patch = {"spec": {"ephemeralContainers": [container(name="debugger", **fields)]}}
    return namespace.cluster.admin.patch(f"{path}/ephemeralcontainers", patch, api.STRATEGIC)


CONFORMING: dict[str, dict[str, Any]] = {
    "plain": pod(),
    "empty contexts": pod(context(), securityContext={}),
    "false everywhere": pod(
        context(privileged=False, windowsOptions={"hostProcess": False}),
        hostNetwork=False,
        hostPID=False,
        hostIPC=False,
    ),
    "empty lists": pod({"ports": [], **context(capabilities={"add": [], "drop": ["ALL"]})}, volumes=[]),
    "Restricted": pod(
        context(
            allowPrivilegeEscalation=False,
            runAsNonRoot=True,
            capabilities={"drop": ["ALL"]},
            seccompProfile={"type": "RuntimeDefault"},
        )
    ),
    "Localhost profiles": pod(
        context(seccompProfile={"type": "Localhost", "localhostProfile": "a"}),
        securityContext={"appArmorProfile": {"type": "Localhost", "localhostProfile": "a"}},
    ),
    "probes of the pod itself": pod({"livenessProbe": {"httpGet": {"port": 80}}, "lifecycle": {}}),
    "exec and grpc": pod(
        {
            "livenessProbe": {"exec": {"command": ["a"]}},
            "readinessProbe": {"grpc": {"port": 1}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        }
    ),
    "container SELinux types": pod(context(seLinuxOptions={"type": "container_engine_t", "level": "s0"})),
    "safe sysctls": in_pod(sysctls=[{"name": "net.ipv4.tcp_rmem", "value": "4096 1 2"}]),
    "unmasked in its own user namespace": pod(context(procMount="Unmasked"), hostUsers=False),
    "Default procMount": pod(context(procMount="Default")),
    "Windows": pod(os={"name": "windows"}, securityContext={"windowsOptions": {"runAsUserName": "a"}}),
}


@pytest.mark.parametrize("name", CONFORMING)
def test_conforming_pods_pass_without_a_word(relaxed: Home, name: str) -> None:
    """A pod that meets Baseline is admitted under the guard without a warning, even beside broken grants."""
    relaxed.give(broken="|||", good=grant())
    assert relaxed.create(CONFORMING[name]).expect(201).warnings == ()


def test_windows_pods_are_no_exception(relaxed: Home) -> None:
    """Neither Baseline nor the guard has an exception for Windows pods."""
    relaxed.refuses(pod(os={"name": "windows"}, volumes=[{"name": "v", "hostPath": {"path": "/"}}]), "hostPathVolumes")


def test_app_armor_annotations_are_judged(relaxed: Home) -> None:
    """The annotation for older kubelets may have only the profiles that the field may have."""
    key = "container.apparmor.security.beta.kubernetes.io/"
    for value, passes in (("runtime/default", True), ("localhost/a", True), ("unconfined", False)):
        body = pod()
        body["metadata"]["annotations"] = {f"{key}c0": value}
        assert (relaxed.create(body).status == 201) is passes, value
    body = pod(context(appArmorProfile={"type": "RuntimeDefault"}))
    body["metadata"]["annotations"] = {f"{key}nobody": "unconfined"}
    answer = relaxed.create(body)
    if "ValidatingAdmissionPolicy" in answer.message:
        workbench.refused(answer, 'violates the Baseline control "appArmorProfile": ', "annotation")
    else:  # validation refuses an unknown container
        answer.expect(422)


# -- covered pods -----------------------------------------------------------------------------------------------------


def covered_pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return pod(*containers, **{"hostNetwork": True, **spec})


GREEDY = grant(
    host_namespaces=ALL_HOSTS,
    privileged=True,
    capabilities=("NET_ADMIN",),
    host_paths=(grants.HostPathAccess("/", read_only=False),),
)


def test_what_a_grant_names_is_not_judged_again(relaxed: Home) -> None:
    """A covered pod may use what its grant names: host namespaces, capabilities, privileged and host paths.

    It may use host ports too.
    """
    relaxed.give(web=GREEDY)
    first = {
        **context(privileged=True, capabilities={"add": ["NET_ADMIN"]}),
        "ports": [{"containerPort": 80, "hostPort": 80}],
        "livenessProbe": PROBE,
        "volumeMounts": [{"name": "v", "mountPath": "/mnt"}],
    }
    volumes = [{"name": "v", "hostPath": {"path": "/etc"}}]
    relaxed.admits(covered_pod(first, hostPID=True, hostIPC=True, volumes=volumes))
    # The same containers in a pod that the grant does not cover.
    relaxed.refuses(covered_pod(first, {"image": "other:1"}, hostPID=True, volumes=volumes))


JUDGED_BY_LEVEL = {
    "appArmorProfile": {"appArmorProfile": {"type": "Unconfined"}},
    "seccompProfile": {"seccompProfile": {"type": "Unconfined"}},
    "seLinuxOptions": {"seLinuxOptions": {"type": "spc_t"}},
    "sysctls": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]},
    "windowsHostProcess": {"windowsOptions": {"hostProcess": True}},
}


@pytest.mark.parametrize("control", JUDGED_BY_LEVEL)
def test_the_rest_is_judged_by_the_level_of_the_grant(relaxed: Home, control: str) -> None:
    """A covered pod must meet the other controls at grant level baseline, but not at level privileged."""
    body = covered_pod(hostPID=True, hostIPC=True, securityContext=JUDGED_BY_LEVEL[control])
    if control == "sysctls":
        body["spec"]["hostIPC"] = False  # validation treats kernel.msg* as part of the IPC namespace
    relaxed.give(web=GREEDY)
    relaxed.refuses(body, f'violates the Baseline control "{control}": ')
    relaxed.give(web=grant(host_namespaces=ALL_HOSTS, level=labels.Level.PRIVILEGED))
    relaxed.admits(body)
    relaxed.give(web=grant(host_namespaces=ALL_HOSTS, level=labels.Level.RESTRICTED))
    relaxed.refuses(body, "all violated controls: ", control, "runAsNonRoot")


def test_proc_mount_is_judged_as_far_as_validation_lets_it(relaxed: Home) -> None:
    """Kubernetes 1.36 refuses Unmasked outside a user namespace; inside a user namespace Baseline allows it."""
    for spec in ({}, {"hostUsers": True}):
        answer = relaxed.create(pod(context(procMount="Unmasked"), **spec))
        assert "`hostUsers` must be false to use `Unmasked`" in answer.message
    relaxed.admits(pod(context(procMount="Unmasked"), hostUsers=False))


def test_proc_mount_is_refused_where_validation_is_laxer(make_namespace: Callable[..., Home]) -> None:
    """A copy of the policy without the exception for user namespaces refuses Unmasked in every kind of container."""
    namespace = make_namespace()
    clause = "expression: variables.version >= 35 && has(object.spec.hostUsers) && !object.spec.hostUsers"
    text = (ADMISSION / "relaxed-namespace.yaml").read_text()
    assert clause in text
    text = text.replace(clause, "expression: 'false'").replace("relaxed-namespace", "no-user-namespaces")
    policy, binding = yaml.safe_load_all(text)
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}}
    binding["spec"]["matchResources"]["namespaceSelector"] = selector
    base = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
    namespace.cluster.admin.post(f"{base}ies", policy).expect(201)
    namespace.cluster.admin.post(f"{base}ybindings", binding).expect(201)
    try:
        fields = context(procMount="Unmasked")
        body = pod(fields, hostUsers=False)
        namespace.cluster.wait("the copy in force", lambda: namespace.create(body).status == 403, 10)
        namespace.refuses(body, 'violates the Baseline control "procMount": ', 'container "c0" has procMount Unmasked')
        namespace.refuses(
            pod(initContainers=[container(name="i", **fields)], hostUsers=False), 'container "i" has procMount'
        )
        path = namespace.put_up(pod(hostUsers=False))
        workbench.refused(debug(namespace, path, **fields), 'container "debugger" has procMount')
        namespace.admits(pod(context(procMount="Default"), hostUsers=False))
    finally:
        namespace.cluster.admin.delete(f"{base}ybindings/{binding['metadata']['name']}").expect(200)
        namespace.cluster.admin.delete(f"{base}ies/{policy['metadata']['name']}").expect(200)


@pytest.mark.parametrize(
    ("control", "fields"),
    [
        ("hostPorts", {"ports": [{"containerPort": 80, "hostPort": 80}]}),
        ("hostProbesAndHostLifecycle", {"livenessProbe": PROBE}),
    ],
)
def test_host_ports_and_hosts_are_free_with_the_host_network_only(
    relaxed: Home, control: str, fields: dict[str, Any]
) -> None:
    """A covered pod that shares only the host's PIDs may have no more host ports or probe hosts than any other pod."""
    relaxed.give(web=GREEDY)
    relaxed.admits(pod(fields, hostNetwork=True))
    relaxed.refuses(pod(fields, hostPID=True), f'violates the Baseline control "{control}": ')
    relaxed.give(web=grant(host_namespaces=ALL_HOSTS, level=labels.Level.PRIVILEGED))
    relaxed.admits(pod(fields, hostPID=True))


def test_the_level_of_one_grant_is_not_lent_to_another(relaxed: Home) -> None:
    """The privileged level of a grant that does not cover the pod allows the pod nothing."""
    relaxed.give(web=grant(), loose=grant(images=("other:1",), level=labels.Level.PRIVILEGED))
    body = covered_pod(securityContext={"seccompProfile": {"type": "Unconfined"}})
    relaxed.refuses(body, 'violates the Baseline control "seccompProfile": ')


def test_only_host_namespace_pods_are_covered(relaxed: Home) -> None:
    """A grant for host-namespace pods allows nothing to a pod without host namespaces, even if everything else fits."""
    relaxed.give(web=GREEDY)
    relaxed.admits(covered_pod(context(privileged=True)))
    relaxed.refuses(pod(context(privileged=True)), 'violates the Baseline control "privileged": ')
    relaxed.refuses(
        pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), 'violates the Baseline control "hostPathVolumes": '
    )


def test_the_guard_refuses_whoever_asks(relaxed: Home) -> None:
    """A tenant with every verb in the namespace and an administrator may create only pods that meet Baseline."""
    for user in (relaxed.cluster.tenant(relaxed.name), None):
        relaxed.refuses(pod(context(privileged=True)), 'violates the Baseline control "privileged": ', user=user)


# -- changes ----------------------------------------------------------------------------------------------------------


def test_only_containers_make_an_update_worth_judging(make_namespace: Callable[..., Home]) -> None:
    """A violating pod from before the guard can be labelled, finalized and deleted; a new image is refused."""
    namespace = make_namespace(level="privileged")
    path = namespace.put_up(pod(context(privileged=True), initContainers=[container(name="i")]))
    namespace.cluster.admin.patch(namespace.path, {"metadata": {"labels": {labels.GUARD: "baseline"}}}).expect(200)
    namespace.cluster.wait("the guard", lambda: namespace.create(pod(context(privileged=True))).status == 403, 10)
    for metadata in (
        {"labels": {"a": "b"}, "finalizers": ["example.com/f"], "annotations": {"c": "d"}},
        {"finalizers": None, "labels": None},
    ):
        workbench.sound(namespace.cluster.admin.patch(path, {"metadata": metadata})).expect(200)
    for field, name in (("containers", "c0"), ("initContainers", "i")):
        image = {"spec": {field: [{"name": name, "image": "other:1"}]}}
        answer = namespace.cluster.admin.patch(path, image, api.STRATEGIC)
        workbench.refused(answer, 'violates the Baseline control "privileged": ')
    workbench.refused(debug(namespace, path), 'violates the Baseline control "privileged": ')
    namespace.cluster.admin.delete(path).expect(200, 202)


def test_an_ephemeral_container_is_judged_in_a_namespace_that_is_going(relaxed: Home) -> None:
    """In a terminating namespace a privileged ephemeral container is still refused; finalizers can be removed."""
    body = pod()
    body["metadata"]["finalizers"] = ["example.com/hold"]
    path = relaxed.put_up(body)
    relaxed.cluster.admin.delete(relaxed.path).expect(200)
    workbench.refused(debug(relaxed, path, **context(privileged=True)), 'violates the Baseline control "privileged": ')
    workbench.sound(relaxed.cluster.admin.patch(path, {"metadata": {"finalizers": None}})).expect(200)
    relaxed.cluster.wait("the namespace gone", lambda: relaxed.cluster.admin.get(relaxed.path).status == 404)


def test_the_guard_holds_beside_any_level(make_namespace: Callable[..., Home]) -> None:
    """The guard applies at any Pod Security level, also without a level, so restoring the level leaves no gap."""
    for values in ({"guard": "baseline"}, {"guard": "baseline", "level": "baseline"}):
        namespace = make_namespace(**values)
        assert namespace.create(pod(context(privileged=True))).status == 403
        namespace.admits(pod())


# -- mirror pods ------------------------------------------------------------------------------------------------------


def test_a_kubelet_shows_any_static_pod(relaxed: Home) -> None:
    """A kubelet may create a mirror pod of a privileged static pod; from other users the guard refuses it."""
    node = relaxed.cluster.nodes[0]
    uid = relaxed.cluster.admin.get(f"/api/v1/nodes/{node}").expect(200).body["metadata"]["uid"]
    body = pod(context(privileged=True), nodeName=node, volumes=[{"name": "v", "hostPath": {"path": "/"}}])
    owner = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid, "controller": True}
    body["metadata"] |= {"annotations": {labels.MIRROR: "a"}, "ownerReferences": [owner]}
    relaxed.admits(body, relaxed.cluster.node_user(node))
    relaxed.refuses(body, 'violates the Baseline control "privileged": ', user=relaxed.cluster.tenant(relaxed.name))


# -- cost limits ------------------------------------------------------------------------------------------------------


def test_the_largest_namespace_and_pod_are_within_the_cost_limit(relaxed: Home) -> None:
    """64 grants of 16 images in 128 KiB and a pod of 50 containers that use every field fit the limit."""
    images = [[f"registry.example.com/{group:02}/{n:02}/".ljust(112, "x") for n in range(16)] for group in range(63)]
    relaxed.give(**{f"g{group:02}": grant(images=tuple(images[group]), privileged=True) for group in range(63)})
    fields = {
        **context(
            privileged=True,
            capabilities={"add": ["CHOWN"] * 13},
            seccompProfile={"type": "RuntimeDefault"},
            seLinuxOptions={"type": "container_t"},
            procMount="Default",
        ),
        "ports": [{"containerPort": n, "hostPort": n, "name": f"p{n}"} for n in range(1, 20)],
        "livenessProbe": PROBE,
        "startupProbe": PROBE,
        "lifecycle": {"preStop": PROBE, "postStart": PROBE},
    }

    def body(last: str) -> dict[str, Any]:
        # In a host network pod, ports of one protocol must differ between the containers.
        first = {**fields, "image": images[62][0]}
        without_ports = {key: value for key, value in fields.items() if key != "ports"}
        other_containers = [{**without_ports, "image": images[62][n % 16]} for n in range(48)]
        return covered_pod(first, *other_containers, {**without_ports, "image": last})

    relaxed.admits(body(images[62][1]))
    relaxed.refuses(body("other:1"))
    relaxed.admits(pod(*({"livenessProbe": {"httpGet": {"port": 80}}} for _ in range(50))))
    relaxed.refuses(pod(*(fields | {"ports": []} for _ in range(50))), "violates the Baseline control")


def test_annotations_cost_no_pod_its_admission(relaxed: Home) -> None:
    """30,000 annotations on a pod make no difference."""
    annotations = {f"{number:x}": "" for number in range(30000)}
    for body, status in ((pod(), 201), (pod({"lifecycle": {}}), 201), (pod(context(privileged=True)), 403)):
        body["metadata"]["annotations"] = annotations
        assert relaxed.create(body).status == status


# -- one text for both levels -----------------------------------------------------------------------------------------


def test_both_levels_are_judged_with_the_same_words() -> None:
    """The guard's two policies differ only in name, binding and the last match condition."""
    baseline, to_baseline = yaml.safe_load_all((ADMISSION / "relaxed-namespace.yaml").read_text())
    restricted, to_restricted = yaml.safe_load_all((ADMISSION / "relaxed-namespace-restricted.yaml").read_text())
    *shared, last = baseline["spec"].pop("matchConditions")
    *shared_too, last_too = restricted["spec"].pop("matchConditions")
    assert baseline["spec"] == restricted["spec"]
    assert shared == shared_too
    assert last_too["expression"].startswith(last["expression"])
    assert selected(to_baseline) == ["baseline"]
    assert selected(to_restricted) == ["restricted"]


def selected(binding: dict[str, Any]) -> list[str]:
    """Return the values of the guard label that a binding selects."""
    (expression,) = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert (expression["key"], expression["operator"]) == (labels.GUARD, "In")
    return list(expression["values"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_file_is_one_policy_with_its_bindings(file: pathlib.Path) -> None:
    """A file has one fail-closed policy without parameters, named after the file, and bindings named after the policy.

    Only exempt-names reads the policy object and fails open: otherwise, without the object or its CRD, nobody could
    create a Namespace.
    """
    policy, *bindings = yaml.safe_load_all(file.read_text())
    name = f"{file.stem}.{labels.GROUP}"
    assert policy["metadata"]["name"] == name
    reads = file.stem == "exempt-names"
    assert policy["spec"]["failurePolicy"] == ("Ignore" if reads else "Fail")
    assert ("paramKind" in policy["spec"]) is reads
    assert bindings
    for binding in bindings:
        assert binding["spec"]["policyName"] == name
        assert binding["metadata"]["name"].startswith(file.stem + "-")
        assert binding["metadata"]["name"].endswith("." + labels.GROUP)
        assert binding["spec"].get("paramRef", {}).get("parameterNotFoundAction") == ("Allow" if reads else None)


def test_the_api_server_finds_no_fault_with_the_types(relaxed: Home) -> None:
    """The API server's type checking of each policy, against every type that it matches, gives no warning."""
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
    policies = [item for item in relaxed.cluster.admin.items(path) if item["metadata"]["name"].endswith(labels.GROUP)]
    assert {item["metadata"]["name"].split(".")[0] for item in policies} == {file.stem for file in FILES}
    for item in policies:
        assert item["status"].get("typeChecking", {}).get("expressionWarnings", []) == []


def test_every_policy_is_shipped() -> None:
    """The kustomization lists every file in manifests/admission."""
    resources = yaml.safe_load((ADMISSION / "kustomization.yaml").read_text())["resources"]
    assert resources == [file.name for file in FILES]
