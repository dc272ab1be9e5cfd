"""The gate's question is valid for every valid pod, and its answer equals what the guard says about the pod.

The API allows some fields of a pod only together with other fields. A question is a pod without some of its fields:
fields that Pod Security does not evaluate, and what an exception allows. So for every rule of the API that couples one
field with another there is a pod here. The fixtures of Kubernetes, the samples and random pods find rules that are not
in the list. The tests create all pods where nothing is enforced, and the gate checks them there as in the operator.
"""

import asyncio
import copy
import dataclasses
import datetime
import itertools
import re
import time
from collections.abc import Iterator
from typing import Any, Final, TypeVar

import pytest
import yaml
from hypothesis import strategies as st
from kubernetes.aio import client, config

from hostnetwork_operator import clock
from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import exception, labels
from hostnetwork_operator.decide import snapshot, terms
from hostnetwork_operator.observe import parse, preview
from tests.admission import workbench
from tests.conformance import exceptions, pods, sampling, sides, test_equal_to_psa
from tests.controlplane import binary, operator
from tests.controlplane import cluster as controlplane
from tests.e2e import agents
from tests.unit import builders

pytestmark = pytest.mark.timeout(7200)  # for the long run; an ordinary run takes seconds
Body = dict[str, Any]
T = TypeVar("T")
LEVELS: Final = ("baseline", "restricted")
_A_LOOK: Final = 300  # pods; the gate asks at most 1,000 questions


def _pod(*containers: Body, **spec: Any) -> Body:
    complete = [
        {"name": f"c{number}", "image": pods.IMAGE, **container} for number, container in enumerate(containers or ({},))
    ]
    return {"metadata": {}, "spec": {"containers": complete, **spec}}


def _init(*containers: Body, **fields: Any) -> Body:
    complete = [{"name": f"i{number}", "image": pods.IMAGE, **container} for number, container in enumerate(containers)]
    return _pod(initContainers=complete, **fields)


def _annotated(body: Body, **annotations: str) -> Body:
    """Return the pod with annotations for its container; each keyword is the beginning of an annotation's name."""
    names = {"apparmor": "container.apparmor.security.beta.kubernetes.io/c0"}
    names["seccomp"] = "container.seccomp.security.alpha.kubernetes.io/c0"
    body["metadata"]["annotations"] = {names[prefix]: value for prefix, value in annotations.items()}
    return body


_HOST: Final[Body] = {"hostNetwork": True, "hostPID": True, "hostIPC": True}
_NETWORK: Final[Body] = {"hostNetwork": True}
_PID: Final[Body] = {"hostPID": True}
_DISK: Final[Body] = {"name": "disk", "hostPath": {"path": "/var/lib/kubelet"}}
_CLAIM: Final[Body] = {"name": "disk", "persistentVolumeClaim": {"claimName": "c"}}
_PRIVILEGED: Final = pods.context(privileged=True)
_HOST_PROCESS: Final = pods.context(windowsOptions={"hostProcess": True, "runAsUserName": "NT AUTHORITY\\SYSTEM"})
_WINDOWS: Final[Body] = {"os": {"name": "windows"}}
_PROBED: Final[Body] = {"livenessProbe": {"httpGet": {"port": 80, "host": "127.0.0.1"}, "periodSeconds": 5}}
_HOOKED: Final[Body] = {"lifecycle": {"preStop": {"tcpSocket": {"port": 80, "host": "127.0.0.1"}}}}
_RULED: Final[Body] = {
    "restartPolicy": "Never",
    "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
}


def _mounted(**mount: Any) -> Body:
    return {"volumeMounts": [{"name": "disk", "mountPath": "/disk", **mount}]}


def _ports(*ports: Body) -> Body:
    return {"ports": [{"containerPort": port["hostPort"], **port} for port in ports]}


# Every rule of pkg/apis/core/validation/validation.go of Kubernetes 1.36 that couples another field with a field that a
# question omits: the function, the rule, and a pod that is valid by the rule.
RULES: Final[dict[tuple[str, str], Body]] = {
    ("validateMountPropagation", "Bidirectional only in a privileged container"): _pod(
        _PRIVILEGED | _mounted(mountPropagation="Bidirectional"), {}, volumes=[_DISK], **_NETWORK
    ),
    ("validateMountPropagation", "Bidirectional in an init container"): _init(
        _PRIVILEGED | _mounted(mountPropagation="Bidirectional"), volumes=[_DISK], **_NETWORK
    ),
    ("validateMountRecursiveReadOnly", "needs readOnly, and no propagation"): _pod(
        _mounted(readOnly=True, recursiveReadOnly="IfPossible", mountPropagation="None"), volumes=[_DISK], **_HOST
    ),
    ("ValidateVolumeMounts", "each mount has a volume"): _pod(
        _mounted(subPathExpr="$(X)/y", mountPropagation="HostToContainer") | {"env": [{"name": "X", "value": "x"}]},
        volumes=[_DISK], **_NETWORK,
    ),
    ("ValidateVolumeDevices", "each device has a volume, which is a claim"): _pod(
        _PRIVILEGED | {"volumeDevices": [{"name": "disk", "devicePath": "/dev/disk"}]}, volumes=[_CLAIM], **_NETWORK
    ),
    ("ValidateSecurityContext", "privileged not beside allowPrivilegeEscalation: false"): _pod(
        pods.context(privileged=True, allowPrivilegeEscalation=True), **_HOST
    ),
    ("ValidateSecurityContext", "CAP_SYS_ADMIN not beside allowPrivilegeEscalation: false"): _pod(
        pods.context(capabilities={"add": ["SYS_ADMIN"], "drop": ["ALL"]}, allowPrivilegeEscalation=False), **_HOST
    ),
    ("ValidateSecurityContext", "procMount: Unmasked only beside hostUsers: false"): _pod(
        pods.context(procMount="Unmasked"), hostUsers=False
    ),
    ("validateHostUsers", "no host namespaces beside hostUsers: false"): _pod(hostUsers=True, **_HOST),
    ("validateWindowsHostProcessPod", "hostProcess only beside hostNetwork"): _pod(
        **_NETWORK, **_WINDOWS, **_HOST_PROCESS
    ),
    ("validateWindowsHostProcessPod", "hostProcess of each container"): _pod(
        _HOST_PROCESS, _HOST_PROCESS | _ports({"hostPort": 10250}), **_NETWORK, **_WINDOWS
    ),
    ("validateWindowsHostProcessPod", "hostProcess of init containers"): _pod(
        _HOST_PROCESS, initContainers=[{"name": "i", "image": pods.IMAGE, **_HOST_PROCESS}], **_NETWORK
    ),
    ("validateWindowsHostProcessPod", "hostPath for a host process"): _pod(
        _mounted(), volumes=[_DISK], **_NETWORK, **_WINDOWS, **_HOST_PROCESS
    ),
    ("validateWindows", "neither hostPID nor hostIPC, nor what Linux has"): _pod(
        pods.context(windowsOptions={"hostProcess": False}), **_NETWORK, **_WINDOWS
    ),
    ("validateLinux", "no windowsOptions"): _pod(_PRIVILEGED, os={"name": "linux"}, **_HOST),
    ("validatePodHostNetworkDeps", "hostPort is containerPort beside hostNetwork"): _pod(
        _ports({"hostPort": 80}, {"hostPort": 53, "protocol": "UDP"}), **_NETWORK
    ),
    ("validatePodHostNetworkDeps", "hostPort has a value of its own by default"): _pod(
        {"ports": [{"containerPort": 80}, {"containerPort": 81, "name": "metrics"}]}, **_NETWORK
    ),
    ("AccumulateUniqueHostPorts", "one port on two addresses"): _pod(
        _ports({"hostPort": 80, "hostIP": "127.0.0.1"}), _ports({"hostPort": 80, "hostIP": "127.0.0.2"}), **_NETWORK
    ),
    ("AccumulateUniqueHostPorts", "one port on two addresses without hostNetwork"): _pod(
        _ports({"hostPort": 80, "hostIP": "127.0.0.1"}, {"hostPort": 80, "hostIP": "127.0.0.2"}), **_PID
    ),
    # No rule, but so many warnings that the API server could have omitted a verdict.
    ("warningsForPodSpec", "hostIP beside hostPort"): _pod(
        _ports(*({"hostPort": 9000 + number, "hostIP": "127.0.0.1"} for number in range(60))), **_NETWORK
    ),
    ("warningsForPodSpec", "one port twice, but for its address"): _pod(
        _ports(*({"hostPort": 9000, "hostIP": f"127.0.0.{number}"} for number in range(1, 60))), **_NETWORK
    ),
    ("ValidateHostSysctl", "none of the network beside hostNetwork"): _pod(
        **_PID, **pods.context(sysctls=[{"name": "net.ipv4.tcp_syncookies", "value": "1"}])
    ),
    ("ValidateHostSysctl", "none of IPC beside hostIPC"): _pod(
        **_NETWORK, **pods.context(sysctls=[{"name": "kernel.shm_rmid_forced", "value": "1"}])
    ),
    ("validatePodSpecSecurityContext", "shareProcessNamespace not beside hostPID"): _pod(
        shareProcessNamespace=True, **_NETWORK
    ),
    ("validatePodHostName", "hostnameOverride not beside hostNetwork"): _pod(hostnameOverride="x.example.com", **_PID),
    ("validatePodDNSConfig", "None needs servers"): _pod(
        dnsPolicy="None", dnsConfig={"nameservers": ["192.0.2.1"]}, **_NETWORK
    ),
    ("validateInitContainers", "probes and hooks only beside restartPolicy: Always"): _init(
        {"restartPolicy": "Always", **_PROBED, **_HOOKED, **_ports({"hostPort": 80})}, **_NETWORK
    ),
    ("validateContainerRestartPolicy", "rules only beside restartPolicy"): _pod(_RULED, **_NETWORK),
    ("validateProbe", "one handler, a grace period of its own"): _pod(
        _PROBED | {"startupProbe": {"tcpSocket": {"port": 80, "host": "::1"}, "terminationGracePeriodSeconds": 5}},
        **_NETWORK,
    ),
    ("validateLifecycle", "a signal only beside os"): _pod(
        {"lifecycle": {**_HOOKED["lifecycle"], "stopSignal": "SIGUSR1"}}, os={"name": "linux"}, **_NETWORK
    ),
    ("validateAppArmorAnnotationsAndFieldsMatchOnCreate", "annotation and field"): _annotated(
        _pod(pods.context(appArmorProfile={"type": "RuntimeDefault"}), **_NETWORK), apparmor="runtime/default"
    ),
    ("ValidateAppArmorPodAnnotations", "an annotation has its container"): _annotated(
        _pod(_PRIVILEGED, **_HOST), apparmor="localhost/agent"
    ),
    ("ValidateSeccompPodAnnotations", "known profiles"): _annotated(_pod(**_NETWORK), seccomp="runtime/default"),
    ("validatePodMetadataAndSpec", "a token only beside a service account"): _pod(
        _mounted(), volumes=[{"name": "disk", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
        **_NETWORK,
    ),
    ("ValidateContainerResourceRequirements", "a claim of a container is one of the pod"): _pod(
        {"resources": {"claims": [{"name": "gpu"}], "requests": {"hugepages-2Mi": "2Mi", "cpu": "1"},
                       "limits": {"hugepages-2Mi": "2Mi"}}},
        resourceClaims=[{"name": "gpu", "resourceClaimName": "gpu"}], **_NETWORK,
    ),
}  # fmt: skip


# -- the gate, in the namespace of the pods ---------------------------------------------------------------------------

_CAPABILITIES: Final = ("NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_TIME", "CHOWN", "NET_BIND_SERVICE", "ALL")
# Each exception allows everything that an exception can allow, for the pods of one service account.
WIDE: Final[dict[str, Body]] = {
    level: {
        "type": "Infrastructure", "owner": "team", "reason": "Names all that can be named",
        "serviceAccountName": f"at-{level}", "hostNamespaces": ["Network", "PID", "IPC"],
        "privileged": level != "restricted", "capabilities": list(_CAPABILITIES), "podSecurityLevel": level,
        "hostPaths": [{"path": "/", "readOnly": False}],
    }
    for level in LEVELS
}  # fmt: skip
_ACCOUNTS: Final = ("default", *(str(spec["serviceAccountName"]) for spec in WIDE.values()))


class _LongAfterwards:
    """A clock by which every pod is older than the start of enforcement, which is the time of the gate check."""

    monotonic = staticmethod(time.monotonic)

    @staticmethod
    def now() -> datetime.datetime:
        return datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True)
class Place:
    """A namespace without enforcement, where the tests create pods and the gate checks them."""

    cluster: controlplane.Cluster
    name: str = "questions"

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.name}"

    @property
    def namespace(self) -> snapshot.Namespace:
        return parse.namespace(self.cluster.admin.get(self.path).expect(200).body)

    @property
    def exceptions(self) -> tuple[exception.HostNetworkException, ...]:
        metadata = {
            "namespace": self.name, "resourceVersion": "1", "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        subjects = []
        for level, spec in WIDE.items():
            body = {"metadata": {**metadata, "name": level, "uid": f"uid-of-{level}"}, "spec": spec}
            subjects.append(exception.HostNetworkException.model_validate(body))
        return tuple(subjects)

    def take(self, name: str, body: Body, account: str) -> bool:
        """Return whether the control plane accepts the pod with this service account and its own image."""
        pod = copy.deepcopy(body)
        pod["metadata"] = {**pod.get("metadata", {}), "name": name}
        pod["spec"]["serviceAccountName"] = account
        pod["spec"]["containers"][0]["image"] = f"registry.example.com/{name}"  # so no two pods are equal
        answer = self.cluster.admin.post(f"{self.path}/pods", pod)
        assert answer.status in (201, 422), answer.message
        return answer.status == 201

    def look(self, target: str) -> dict[str, str]:
        """Return what blocks enforcement at this level, by pod name, and delete all pods."""
        # The ledger of the builders has a record of this uid.
        namespace_state = dataclasses.replace(self.namespace, labels={}, uid=builders.UID)
        policy = builders.governed(rollout="Gated", pod_security={"enforce": target})
        state = builders.seen(*self.exceptions, namespace=namespace_state, policy=policy)
        answer = asyncio.run(self._answer(state, labels.Level(target)))
        assert not answer.failed, answer.failed
        self.cluster.admin.delete(f"{self.path}/pods", {"gracePeriodSeconds": 0}).expect(200)
        self.cluster.wait("no pod", lambda: not self.cluster.admin.items(f"{self.path}/pods"))
        return dict(text.removeprefix("Pod ").split(": ", 1) for text in answer.holders)

    async def _answer(self, state: snapshot.NamespaceSnapshot, target: labels.Level) -> snapshot.GateAnswer:
        configuration = client.Configuration()
        await config.load_kube_config(str(self.cluster.kubeconfig), client_configuration=configuration)
        api = gateway.Gateway(configuration, clock.ServerClock(), lambda _method, _code: None)
        try:
            return await preview.look(api, state, target, _LongAfterwards())
        finally:
            await api.close()


@pytest.fixture(scope="module")
def place(governed: controlplane.Cluster) -> Place:
    """The namespace with its accounts, and the preview namespaces as they are installed."""
    for level in LEVELS:
        operator.apply(governed, "-f", str(operator.ROOT / f"manifests/base/preview-{level}-namespace.yaml"))
        path = f"/api/v1/namespaces/hostnetwork-preview-{level}/serviceaccounts"
        governed.admin.post(path, {"metadata": {"name": "default"}}).expect(201, 409)
    new_place = Place(governed)
    metadata = {"name": new_place.name, "labels": {labels.PSA_ENFORCE: "privileged"}}
    governed.admin.post("/api/v1/namespaces", {"metadata": metadata}).expect(201)
    for account in _ACCOUNTS:
        governed.admin.post(f"{new_place.path}/serviceaccounts", {"metadata": {"name": account}}).expect(201, 409)
    return new_place


def _batches(elements: list[T]) -> Iterator[list[T]]:
    """Yield the elements in batches, each for one gate check."""
    yield from (elements[start : start + _A_LOOK] for start in range(0, len(elements), _A_LOOK))


def ask_gate(place: Place, target: str, bodies: dict[str, Body]) -> tuple[dict[str, str], set[str]]:
    """Return what the gate could not ask about, and the pods that the control plane does not accept.

    Each pod is tried with each account: the pods of one account are covered by no exception, the others by one each.
    """
    unanswered: dict[str, str] = {}
    rejected: set[str] = set()
    for batch in _batches(list(itertools.product(bodies, _ACCOUNTS))):
        names = {f"p{number}": f"{description} as {account}" for number, (description, account) in enumerate(batch)}
        for name, (description, account) in zip(names, batch, strict=True):
            if not place.take(name, bodies[description], account):
                rejected.add(description)
        holders = place.look(target)
        unanswered |= {names[name]: text for name, text in holders.items() if "not known" in text}
    return unanswered, rejected


@pytest.mark.parametrize("target", LEVELS)
def test_the_question_is_valid_by_every_rule_of_the_api(place: Place, target: str) -> None:
    """For each rule, the gate can ask about a pod that is valid by the rule, covered by an exception or not."""
    unanswered, rejected = ask_gate(place, target, {": ".join(rule): body for rule, body in RULES.items()})
    # Before 1.35 Kubernetes has no such restart policy for a container that is not an init container.
    has_rules = binary.release().has("1.35")
    assert rejected == (set() if has_rules else {"validateContainerRestartPolicy: rules only beside restartPolicy"})
    assert unanswered == {}


@pytest.mark.parametrize("level", LEVELS)
def test_the_question_is_valid_for_every_fixture(place: Place, level: str) -> None:
    """This includes fixtures of the oldest and the newest version, unchanged and with the host network."""
    bodies = {}
    by_minor = list(test_equal_to_psa.fixtures(level).values())
    for file in (*by_minor[0], *by_minor[-1]):
        body = test_equal_to_psa.load(file)
        description = "/".join(file.parts[-3:])
        bodies[description] = body
        bodies[f"{description} with hostNetwork"] = {**body, "spec": {**body["spec"], "hostNetwork": True}}
    unanswered, rejected = ask_gate(place, level, bodies)
    assert len(rejected) < len(bodies) / 3
    assert unanswered == {}


def test_the_question_is_valid_for_every_sample(place: Place) -> None:
    """The test makes a pod of each template in tests/samples."""
    bodies = {}
    for file in sorted(agents.SAMPLES.glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            if document["kind"] != "ServiceAccount":
                bodies[file.stem] = agents.Sample((document,), {}).pod
    unanswered, rejected = ask_gate(place, "baseline", bodies)
    assert len(bodies) > 10
    assert rejected == set()
    assert unanswered == {}


# -- random pods ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class AskedPod:
    """A random pod that the control plane accepts, its account, and why the pod blocks enforcement; '' if not."""

    body: Body
    account: str
    why: str


@st.composite
def _pods(draw: st.DrawFn) -> tuple[Body, str]:
    level = draw(st.sampled_from(LEVELS))
    body = draw(pods.pods(level))
    if draw(st.integers(0, 3)) == 0:
        return body, "default"
    return draw(exceptions.covered(WIDE[level], body)), str(WIDE[level]["serviceAccountName"])


@pytest.fixture(scope="module")
def asked_pods(place: Place) -> list[AskedPod]:
    """Random pods, most of which an exception may cover, and the gate's answers about them at Baseline."""
    drawn_pods: list[tuple[Body, str]] = []
    sampling.search(sampling.samples(600) // 2, _pods(), drawn_pods.append)
    results = []
    for batch in _batches(drawn_pods):
        accepted = {
            f"p{number}": drawn_pod for number, drawn_pod in enumerate(batch) if place.take(f"p{number}", *drawn_pod)
        }
        holders = place.look("baseline")
        results += [AskedPod(*drawn_pod, holders.get(name, "")) for name, drawn_pod in accepted.items()]
    assert len(results) > len(drawn_pods) * 3 / 4
    return results


def test_the_question_is_valid_for_random_pods(asked_pods: list[AskedPod]) -> None:
    """The gate can ask about every random pod, for any combination of fields."""
    assert [result for result in asked_pods if "not known" in result.why] == []


def test_the_gate_says_of_a_covered_pod_what_the_guard_says(
    governed: controlplane.Cluster, place: Place, asked_pods: list[AskedPod]
) -> None:
    """Both name the same controls, at the exception's level: the guard admits every pod that passes the gate."""
    guard = sides.Side.set_up(governed, "questions-guarded", guard="baseline")
    guarded = workbench.Home(governed, guard.name)
    for account in _ACCOUNTS:
        governed.admin.post(f"{guarded.path}/serviceaccounts", {"metadata": {"name": account}}).expect(201, 409)
    namespace = parse.namespace(governed.admin.get(guarded.path).expect(200).body)
    guarded.give(**{subject.metadata.name: terms.line_of(subject, namespace) for subject in place.exceptions})
    tally, differences = sides.Tally(), []
    for result in asked_pods:
        level = result.account.removeprefix("at-")
        if level not in LEVELS or not parse.host_namespaces(result.body):
            continue
        body = {**result.body, "spec": {**result.body["spec"], "serviceAccountName": result.account}}
        by_guard = guard.create(body)
        tally.add(by_guard)
        level_of_question = re.search(
            r"\(level (\w+)\)", result.why
        )  # the target, if the exception does not cover the pod
        controls = sides.CONTROLS[level_of_question[1] if level_of_question else level].items()
        by_gate = {control for control, prefix in controls if re.search(rf"[:,] {prefix} \(", f": {result.why}")}
        # If no exception covers the pod, the guard names only host namespaces.
        agree = by_gate == by_guard.controls if by_guard.all_shown else by_guard.controls <= by_gate
        if not agree or bool(result.why) is not (by_guard.word == "refused"):
            differences.append(f"{body}: gate: {result.why or 'clean'}, guard: {by_guard.text or 'admitted'}")
    assert differences == []
    assert tally.words["admitted"] > 20
    assert tally.words["refused"] > 20
