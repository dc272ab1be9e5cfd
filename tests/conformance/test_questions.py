"""The gate's question is valid wherever the pod is, and its answer is what the guard says of the pod.

The API allows some fields of a pod only beside others. A question is a pod with fields taken out: what Pod Security
does not judge, and what an exception spares. So every rule of the API that couples a field with another has a pod here,
and Kubernetes' own fixtures, the samples and random pods find what is not in the list. All of them are created where
nothing is enforced, and the gate looks at them there as the operator has it look.
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
from tests.controlplane import cluster as controlplane
from tests.controlplane import operator
from tests.e2e import agents
from tests.unit import builders

pytestmark = pytest.mark.timeout(7200)  # the long run; a slice takes seconds
Body = dict[str, Any]
T = TypeVar("T")
LEVELS: Final = ("baseline", "restricted")
_A_LOOK: Final = 300  # pods; the gate asks at most 1,000 questions


def _pod(*containers: Body, **spec: Any) -> Body:
    own = [{"name": f"c{number}", "image": pods.IMAGE, **given} for number, given in enumerate(containers or ({},))]
    return {"metadata": {}, "spec": {"containers": own, **spec}}


def _init(*containers: Body, **fields: Any) -> Body:
    own = [{"name": f"i{number}", "image": pods.IMAGE, **given} for number, given in enumerate(containers)]
    return _pod(initContainers=own, **fields)


def _noted(body: Body, **annotations: str) -> Body:
    """The pod with annotations of its container, by the words that their names begin with."""
    names = {"apparmor": "container.apparmor.security.beta.kubernetes.io/c0"}
    names["seccomp"] = "container.seccomp.security.alpha.kubernetes.io/c0"
    body["metadata"]["annotations"] = {names[word]: value for word, value in annotations.items()}
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


# Every rule of pkg/apis/core/validation/validation.go of Kubernetes 1.36 that couples a field which a question leaves
# out with another: its function, what it says, and a pod that is valid by it.
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
    # No rule, but so many warnings that a verdict could have been left out.
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
    ("validateAppArmorAnnotationsAndFieldsMatchOnCreate", "annotation and field"): _noted(
        _pod(pods.context(appArmorProfile={"type": "RuntimeDefault"}), **_NETWORK), apparmor="runtime/default"
    ),
    ("ValidateAppArmorPodAnnotations", "an annotation has its container"): _noted(
        _pod(_PRIVILEGED, **_HOST), apparmor="localhost/agent"
    ),
    ("ValidateSeccompPodAnnotations", "known profiles"): _noted(_pod(**_NETWORK), seccomp="runtime/default"),
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


# -- the gate, where the pods are -------------------------------------------------------------------------------------

_CAPABILITIES: Final = ("NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_TIME", "CHOWN", "NET_BIND_SERVICE", "ALL")
# Each names all that can be named, for the pods of an account of its own.
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
    """A clock by which every pod is from before the namespace came under enforcement, which is at the look."""

    monotonic = staticmethod(time.monotonic)

    @staticmethod
    def now() -> datetime.datetime:
        return datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True)
class Place:
    """A namespace in which nothing is enforced, where pods are created and the gate looks at them."""

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
        found = []
        for level, spec in WIDE.items():
            made = {"metadata": {**metadata, "name": level, "uid": f"uid-of-{level}"}, "spec": spec}
            found.append(exception.HostNetworkException.model_validate(made))
        return tuple(found)

    def take(self, name: str, body: Body, account: str) -> bool:
        """Whether the control plane takes the pod, as that account's and with an image of its own."""
        made = copy.deepcopy(body)
        made["metadata"] = {**made.get("metadata", {}), "name": name}
        made["spec"]["serviceAccountName"] = account
        made["spec"]["containers"][0]["image"] = f"registry.example.com/{name}"  # no two pods are alike
        answer = self.cluster.admin.post(f"{self.path}/pods", made)
        assert answer.status in (201, 422), answer.message
        return answer.status == 201

    def look(self, target: str) -> dict[str, str]:
        """What holds enforcement at that level back, by the name of the pod; all pods go afterwards."""
        home = dataclasses.replace(self.namespace, labels={}, uid=builders.UID)  # which the ledger knows
        policy = builders.governed(rollout="Gated", pod_security={"enforce": target})
        seen = builders.seen(*self.exceptions, namespace=home, policy=policy)
        answer = asyncio.run(self._answer(seen, labels.Level(target)))
        assert not answer.failed, answer.failed
        self.cluster.admin.delete(f"{self.path}/pods", {"gracePeriodSeconds": 0}).expect(200)
        self.cluster.wait("no pod", lambda: not self.cluster.admin.items(f"{self.path}/pods"))
        return dict(text.removeprefix("Pod ").split(": ", 1) for text in answer.holders)

    async def _answer(self, seen: snapshot.NamespaceSnapshot, target: labels.Level) -> snapshot.GateAnswer:
        configuration = client.Configuration()
        await config.load_kube_config(str(self.cluster.kubeconfig), client_configuration=configuration)
        asker = gateway.Gateway(configuration, clock.ServerClock(), lambda _method, _code: None)
        try:
            return await preview.look(asker, seen, target, _LongAfterwards())
        finally:
            await asker.close()


@pytest.fixture(scope="module")
def place(governed: controlplane.Cluster) -> Place:
    """That namespace with its accounts, and the preview namespaces as they are installed."""
    for level in LEVELS:
        operator.apply(governed, "-f", str(operator.ROOT / f"manifests/base/preview-{level}-namespace.yaml"))
        path = f"/api/v1/namespaces/hostnetwork-preview-{level}/serviceaccounts"
        governed.admin.post(path, {"metadata": {"name": "default"}}).expect(201, 409)
    made = Place(governed)
    metadata = {"name": made.name, "labels": {labels.PSA_ENFORCE: "privileged"}}
    governed.admin.post("/api/v1/namespaces", {"metadata": metadata}).expect(201)
    for account in _ACCOUNTS:
        governed.admin.post(f"{made.path}/serviceaccounts", {"metadata": {"name": account}}).expect(201, 409)
    return made


def _looks(some: list[T]) -> Iterator[list[T]]:
    """As many at a time as the gate is to look at."""
    yield from (some[start : start + _A_LOOK] for start in range(0, len(some), _A_LOOK))


def unasked(place: Place, target: str, bodies: dict[str, Body]) -> tuple[dict[str, str], set[str]]:
    """What the gate could not ask about, and the pods that the control plane does not take: by what they are, and as
    an account's whose pods no exception covers, or one does.
    """
    refused: dict[str, str] = {}
    untaken: set[str] = set()
    for some in _looks(list(itertools.product(bodies, _ACCOUNTS))):
        names = {f"p{number}": f"{what} as {account}" for number, (what, account) in enumerate(some)}
        for name, (what, account) in zip(names, some, strict=True):
            if not place.take(name, bodies[what], account):
                untaken.add(what)
        holding = place.look(target)
        refused |= {names[name]: text for name, text in holding.items() if "not known" in text}
    return refused, untaken


@pytest.mark.parametrize("target", LEVELS)
def test_the_question_is_valid_by_every_rule_of_the_api(place: Place, target: str) -> None:
    """Of each rule a pod that is valid by it, whether an exception covers it or none."""
    refused, untaken = unasked(place, target, {": ".join(rule): body for rule, body in RULES.items()})
    # Kubernetes 1.33 knows no such policy of a container that is not an init container.
    assert untaken == ({"validateContainerRestartPolicy: rules only beside restartPolicy"} if sides.OLDER else set())
    assert refused == {}


@pytest.mark.parametrize("level", LEVELS)
def test_the_question_is_valid_for_every_fixture(place: Place, level: str) -> None:
    """Of the oldest and newest version, as it is and with the host's network."""
    bodies = {}
    for file in test_equal_to_psa.fixtures(level):
        body = test_equal_to_psa.load(file)
        what = "/".join(file.parts[-3:])
        bodies[what] = body
        bodies[f"{what} with hostNetwork"] = {**body, "spec": {**body["spec"], "hostNetwork": True}}
    refused, untaken = unasked(place, level, bodies)
    assert len(untaken) < len(bodies) / 3
    assert refused == {}


def test_the_question_is_valid_for_every_sample(place: Place) -> None:
    """Of tests/samples, each template as a pod."""
    bodies = {}
    for file in sorted(agents.SAMPLES.glob("*.yaml")):
        for made in yaml.safe_load_all(file.read_text()):
            if made["kind"] != "ServiceAccount":
                bodies[file.stem] = agents.Sample((made,), {}).pod
    refused, untaken = unasked(place, "baseline", bodies)
    assert len(bodies) > 10
    assert untaken == set()
    assert refused == {}


# -- random pods ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Asked:
    """A random pod that the control plane takes, as that account's, and why it holds, '' if it does not."""

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
def asked(place: Place) -> list[Asked]:
    """Random pods, two of three of which an exception may cover, and what the gate says of them at Baseline."""
    drawn: list[tuple[Body, str]] = []
    sampling.search(sampling.samples(600) // 2, _pods(), drawn.append)
    found = []
    for some in _looks(drawn):
        taken = {f"p{number}": one for number, one in enumerate(some) if place.take(f"p{number}", *one)}
        holding = place.look("baseline")
        found += [Asked(*one, holding.get(name, "")) for name, one in taken.items()]
    assert len(found) > len(drawn) * 3 / 4
    return found


def test_the_question_is_valid_for_random_pods(asked: list[Asked]) -> None:
    """Whatever their fields are together."""
    assert [one for one in asked if "not known" in one.why] == []


def test_the_gate_says_of_a_covered_pod_what_the_guard_says(
    governed: controlplane.Cluster, place: Place, asked: list[Asked]
) -> None:
    """The same controls, at the level of its exception: what the gate lets pass is not refused afterwards."""
    guard = sides.Side.set_up(governed, "questions-guarded", guard="baseline")
    home = workbench.Home(governed, guard.name)
    for account in _ACCOUNTS:
        governed.admin.post(f"{home.path}/serviceaccounts", {"metadata": {"name": account}}).expect(201, 409)
    namespace = parse.namespace(governed.admin.get(home.path).expect(200).body)
    home.give(**{one.metadata.name: terms.line_of(one, namespace) for one in place.exceptions})
    tally, differing = sides.Tally(), []
    for one in asked:
        level = one.account.removeprefix("at-")
        if level not in LEVELS or not parse.host_namespaces(one.body):
            continue
        body = {**one.body, "spec": {**one.body["spec"], "serviceAccountName": one.account}}
        by_guard = guard.create(body)
        tally.add(by_guard)
        asked_at = re.search(r"\(level (\w+)\)", one.why)  # the target, where the exception does not cover it
        words = sides.CONTROLS[asked_at[1] if asked_at else level].items()
        by_gate = {control for control, begin in words if re.search(rf"[:,] {begin} \(", f": {one.why}")}
        # The guard names host namespaces alone where no exception covers the pod.
        alike = by_gate == by_guard.controls if by_guard.all_shown else by_guard.controls <= by_gate
        if not alike or bool(one.why) is not (by_guard.word == "refused"):
            differing.append(f"{body}: gate: {one.why or 'clean'}, guard: {by_guard.text or 'admitted'}")
    assert differing == []
    assert tally.words["admitted"] > 20
    assert tally.words["refused"] > 20
