"""The guard has the same verdict on every pod as Pod Security Admission at the same level, by the same controls.

The tests ask the real API server in server-side dry runs. The pods are Kubernetes' own fixtures, pods with a single
value of a field, random pods, and pods that a grant covers. The fixtures come with k8s.io/pod-security-admission at the
version that the test control plane is built from. If API validation refuses a pod first, neither side judges the pod.
Such a pod is counted separately and proves nothing.
"""

import collections
import copy
import datetime
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import strategies as st

from hostnetwork_operator.api import conditions, exception, labels
from hostnetwork_operator.decide import coverage, snapshot, terms, validity
from hostnetwork_operator.observe import parse
from tests.admission import workbench
from tests.conformance import exceptions, pods, sampling, sides
from tests.conformance.sides import Side, Tally, Verdict
from tests.controlplane import binary, golang
from tests.controlplane import cluster as controlplane

pytestmark = pytest.mark.timeout(7200)  # for the long run; the run of `make test` takes seconds
CONTROLPLANE = pathlib.Path(__file__).parent.parent / "controlplane"
LEVELS = ("baseline", "restricted")


@pytest.fixture(scope="module", params=LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def by_psa(governed: controlplane.Cluster) -> dict[str, Side]:
    """Return a namespace for each level that Pod Security Admission enforces."""
    return {level: Side.set_up(governed, f"psa-{level}", level=level) for level in (*LEVELS, "privileged")}


@pytest.fixture(scope="module")
def by_guard(governed: controlplane.Cluster, level: str) -> Side:
    """Return a relaxed namespace whose guard has the level."""
    return Side.set_up(governed, f"guard-{level}", guard=level)


# -- Kubernetes' own fixtures -----------------------------------------------------------------------------------------


OLDEST = 19  # Before v1.19 Pod Security Admission judges annotations for seccomp; the guard judges v1.19 instead.


def fixtures(level: str) -> dict[int, list[pathlib.Path]]:
    """Return the files of the fixtures of the level, by minor version."""
    go, module_file = golang.find_or_install(), f"-modfile={binary.release().module_file}"
    command = [go, "list", "-m", module_file, "-f", "{{.Dir}}", "k8s.io/pod-security-admission"]
    directory = subprocess.run(command, cwd=CONTROLPLANE, capture_output=True, text=True, check=False).stdout.strip()
    if not directory:
        download_command = [go, "mod", "download", module_file, "k8s.io/pod-security-admission"]
        subprocess.run(download_command, cwd=CONTROLPLANE, check=True)
        directory = subprocess.run(command, cwd=CONTROLPLANE, capture_output=True, text=True, check=True).stdout.strip()
    directories = (pathlib.Path(directory) / "test/testdata" / level).iterdir()
    by_minor = {int(version.name.removeprefix("v1.")): sorted(version.rglob("*.yaml")) for version in directories}
    return dict(sorted(by_minor.items()))


def load(file: pathlib.Path) -> dict[str, Any]:
    """Return the pod of a fixture, under a name that the API server accepts."""
    body: dict[str, Any] = yaml.safe_load(file.read_text())
    body["metadata"]["name"] = body["metadata"]["name"].replace("_", "-")
    return body


def test_the_guard_agrees_on_every_fixture(
    by_psa: dict[str, Side], by_guard: Side, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both sides have equal verdicts on the fixtures of the oldest and the newest version, at version latest."""
    tally, unjudged, differing, unexpected = Tally(), [], [], []
    by_minor = list(fixtures(level).values())
    for file in (*by_minor[0], *by_minor[-1]):
        version, expected, name = file.parts[-3:]
        psa, guard = by_psa[level].create(load(file)), by_guard.create(load(file))
        if not psa.agrees(guard):
            differing.append(f"{file}: Pod Security: {psa}, guard: {guard}")
        elif psa.word == "not judged":
            unjudged.append(f"{version}/{expected}/{name}: {psa.text}")
        elif (psa.word == "admitted") is not (expected == "pass"):
            unexpected.append(f"{version}/{expected}/{name}: {psa.word}")
        tally.add(psa, f"{version} {expected}:")
    with capsys.disabled():
        print(tally.table(f"fixtures of {level}", level))
        print("\n".join(["  judged by neither, API validation came first:", *(f"    {line}" for line in unjudged)]))
        print(
            "\n".join(
                ["  another verdict at version latest than at their own:", *(f"    {line}" for line in unexpected)]
            )
        )
    assert differing == []
    assert [line for line in unexpected if line.startswith("v1.3")] == []
    assert all("/fail/procmount" in line for line in unjudged), unjudged
    assert set(tally.decided) | {"procMount"} == set(sides.CONTROLS[level]) - sides.UNKNOWN_TO_PSA


def test_the_guard_agrees_at_each_pinned_version(
    governed: controlplane.Cluster, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both sides have equal verdicts on the fixtures of each version, if both judge by that version."""
    tally, differing, unexpected = Tally(), [], []
    for minor, files in fixtures(level).items():
        if minor < OLDEST:
            continue
        version = f"v1.{minor}"
        name = f"{level}-1-{minor}"
        by_psa = Side.set_up(governed, f"pinned-psa-{name}", version, level=level)
        by_guard = Side.set_up(governed, f"pinned-guard-{name}", version, guard=level)
        for file in files:
            psa, guard = by_psa.create(load(file)), by_guard.create(load(file))
            if not psa.agrees(guard):
                differing.append(f"{file}: Pod Security: {psa}, guard: {guard}")
            elif psa.word != "not judged" and (psa.word == "admitted") is not (file.parts[-2] == "pass"):
                unexpected.append(f"{file}: {psa.word}")
            tally.add(psa)
    with capsys.disabled():
        print(tally.table(f"fixtures of {level} at each version", level))
    assert differing == []
    assert unexpected == []


# -- each value of each field -----------------------------------------------------------------------------------------


def single_values(level: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a description and a pod for each value of each field, in each kind of container and in a Windows pod."""
    for control, touches in pods.TOUCHES.items():
        for touch in touches:
            for where in ("containers", "pod") if level == "restricted" else ("containers",):
                for index in range(3 if touch.container or touch.annotation is not None else 1):
                    body = pods.base(level, ["init", "sidecar", "regular", "regular"], where)
                    pods.apply_touch(body, touch, index)
                    yield f"{control} {touch}", body
                    if index == 2:
                        pods.for_windows(body := copy.deepcopy(body))
                        yield f"{control} on Windows {touch}", body


def test_the_guard_agrees_on_each_value_of_each_field(
    by_psa: dict[str, Side], by_guard: Side, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both sides have equal verdicts on each single value. Each control refuses at least one pod alone."""
    tally, differing = Tally(), []
    for description, body in single_values(level):
        psa, guard = by_psa[level].create(body), by_guard.create(body)
        tally.add(psa)
        if not psa.agrees(guard):
            differing.append(f"{description}: {body['spec']}: Pod Security: {psa}, guard: {guard}")
    with capsys.disabled():
        print(tally.table(f"single values at {level}", level))
    assert differing == []
    assert set(tally.alone) | sides.NEVER_ALONE[level] == set(sides.CONTROLS[level]) - sides.UNKNOWN_TO_PSA


def test_the_guard_agrees_on_each_ephemeral_container(
    by_psa: dict[str, Side], by_guard: Side, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both sides have equal verdicts on an ephemeral container with each single value, in each existing pod."""
    tally, differing = Tally(), []
    for pod_name in pods.EXISTING_PODS:
        for touch in pods.EPHEMERAL_TOUCHES:
            body = pods.base(level, ["regular"], "pod")
            pods.apply_touch(body, touch, 0)
            container = {**body["spec"]["containers"][0], "name": "debugger"}
            psa, guard = by_psa[level].debug(pod_name, container), by_guard.debug(pod_name, container)
            tally.add(psa)
            if not psa.agrees(guard):
                differing.append(f"{container} in {pod_name}: Pod Security: {psa}, guard: {guard}")
    with capsys.disabled():
        print(tally.table(f"ephemeral containers at {level}", level))
    assert differing == []


# -- random pods ------------------------------------------------------------------------------------------------------


def test_the_guard_agrees_on_random_pods(
    by_psa: dict[str, Side], by_guard: Side, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both sides have equal verdicts on random pods. One sample in six is an ephemeral container of an existing pod."""
    tally = Tally()

    def judge(sample: dict[str, Any] | tuple[str, dict[str, Any]]) -> None:
        if isinstance(sample, tuple):
            psa, guard = by_psa[level].debug(*sample), by_guard.debug(*sample)
        else:
            psa, guard = by_psa[level].create(sample), by_guard.create(sample)
        tally.add(psa)
        assert psa.agrees(guard), f"Pod Security: {psa}\nguard: {guard}\npod: {sample}"

    new_pods = pods.pods(level)
    new_pods_and_containers = st.one_of(*[new_pods] * 5, pods.ephemeral_containers())
    sampling.search(sampling.samples(600) // 2, new_pods_and_containers, judge)
    with capsys.disabled():
        print(tally.table(f"random pods at {level}", level))
    assert tally.words["not judged"] < sum(tally.words.values()) / 4
    assert set(tally.alone) >= set(sides.CONTROLS[level]) - sides.NEVER_ALONE[level] - sides.UNKNOWN_TO_PSA


# -- pods that a grant covers -----------------------------------------------------------------------------------------

_GRANTS, _ACCOUNTS = 45, 30  # some accounts have two grants, of the same level or of two levels
_FAR = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
_LAXEST_FIRST = ("privileged", "baseline", "restricted")
Granted = list[tuple[dict[str, Any], validity.Standing]]


@pytest.fixture(scope="module")
def granted(governed: controlplane.Cluster, by_guard: Side) -> Granted:
    """Return the specs and standings of random exceptions that are granted in the namespace of the guard."""
    specs: list[dict[str, Any]] = []
    sampling.search(_GRANTS, exceptions.specs("replaced"), specs.append)
    namespace = workbench.Home(governed, by_guard.name)
    namespace_state = parse.namespace(governed.admin.get(namespace.path).expect(200).body)
    for account in (*exceptions.ACCOUNTS, *(f"a{number}" for number in range(_ACCOUNTS))):
        governed.admin.post(f"{namespace.path}/serviceaccounts", {"metadata": {"name": account}}).expect(201, 409)
    granted_exceptions, grant_lines = [], {}
    for number, spec in enumerate(specs):
        name, account = f"e{number}", f"a{number % _ACCOUNTS}"
        spec = {**spec, "serviceAccountName": account}
        subject = exceptions.parsed(name, spec, _FAR)
        granted_exceptions.append((spec, validity.Standing(subject, conditions.Ready.ACTIVE, "")))
        grant_lines[name] = terms.line_of(subject, namespace_state)
    namespace.give(**grant_lines)
    return granted_exceptions


@st.composite
def near_a_grant(draw: st.DrawFn, granted: Granted) -> dict[str, Any]:
    """Draw a pod that is similar to what a grant allows and to what the grant's level allows."""
    spec, _ = draw(st.sampled_from(granted))
    level = "baseline" if spec["podSecurityLevel"] == "privileged" else spec["podSecurityLevel"]
    body: dict[str, Any] = draw(exceptions.covered(spec, draw(pods.pods(level, most=2))))
    if draw(st.sampled_from([False, False, False, True])):
        body = draw(exceptions.missed(spec, body))
    return body


def spared(body: dict[str, Any], spec: exception.ExceptionSpec) -> dict[str, Any]:
    """Return the pod without the capabilities, privileged, host paths and host ports that the exception names."""
    body = copy.deepcopy(body)
    pod = body["spec"]
    pod.pop("serviceAccountName", None)
    volume_names = {
        volume["name"]
        for volume in pod.get("volumes", [])
        if "hostPath" in volume
        and any(
            (volume["hostPath"]["path"] + "/").startswith(f"{host_path.path.rstrip('/')}/")
            for host_path in spec.host_paths
        )
    }
    pod["volumes"] = [volume for volume in pod.get("volumes", []) if volume["name"] not in volume_names]
    for container in pods.containers(pod):
        container["volumeMounts"] = [
            mount for mount in container.get("volumeMounts", []) if mount["name"] not in volume_names
        ]
        context = container.get("securityContext") or {}
        if spec.host_ports:
            for port in container.get("ports", []):
                port.pop("hostPort", None)
        if spec.privileged and context.pop("privileged", None):
            context.get("capabilities", {}).pop("add", None)
        if added := (context.get("capabilities") or {}).get("add"):
            context["capabilities"]["add"] = [name for name in added if name not in spec.capabilities]
    return body


def covering(granted: Granted, body: dict[str, Any], level: str) -> exception.ExceptionSpec | None:
    """Return the exception that covers the pod, the laxest if two do. No exception covers an ordinary pod."""
    pod = parse.pod({**body, "metadata": {**body["metadata"], **_METADATA}})
    assert isinstance(pod, snapshot.Pod), pod
    if not coverage.relies_on_a_grant(pod, labels.Level(level)):
        return None
    specs = [standing.exception.spec for _, standing in granted if coverage.covers(standing, pod).covers]
    return min(specs, key=lambda spec: _LAXEST_FIRST.index(spec.pod_security_level), default=None)


def expected(
    by_psa: dict[str, Side], level: str, spec: exception.ExceptionSpec | None, body: dict[str, Any]
) -> Verdict:
    """Return the verdict of Pod Security without what the exception names, at the exception's or the guard's level."""
    if spec is None:
        return by_psa[level].create(spared(body, _NOTHING))
    if not spec.host_namespaces:  # such an exception makes nothing stricter
        laxer_level = min(level, spec.pod_security_level, key=_LAXEST_FIRST.index)
        return by_psa[laxer_level].create(spared(body, spec))
    # Other fields depend on the host namespaces, so the pod keeps them, and the verdict is taken without them.
    verdict = by_psa[spec.pod_security_level].create(spared(body, spec))
    return verdict.without(_WITH_THE_HOST_NETWORK if body["spec"].get("hostNetwork") else {"hostNamespaces"})


def test_the_guard_agrees_on_covered_pods_apart_from_what_the_grant_names(
    by_psa: dict[str, Side],
    by_guard: Side,
    level: str,
    granted: Granted,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A covered pod must meet the level of its grant apart from what the grant names, other pods that of the guard."""
    tallies: dict[str, Tally] = collections.defaultdict(Tally)

    def judge(body: dict[str, Any]) -> None:
        spec = covering(granted, body, level)
        psa, guard = expected(by_psa, level, spec, body), by_guard.create(body)
        if guard.word == "not judged":
            assert " is invalid: " in guard.text, guard.text  # API validation
            tallies["not judged"].add(guard)
            return
        tallies["not covered" if spec is None else f"covered, at {spec.pod_security_level}"].add(psa)
        assert psa.agrees(guard), f"Pod Security: {psa}\nguard: {guard}\ncovered by: {spec!r}\npod: {body}"

    sampling.search(sampling.samples(600) // 2, near_a_grant(granted), judge)
    with capsys.disabled():
        for name, tally in sorted(tallies.items()):
            print(tally.table(f"beside guard {level}: {name}", "restricted" if "restricted" in name else level))
    assert tallies["not judged"].words.total() < sum(tally.words.total() for tally in tallies.values()) / 4
    alone = tallies["covered, at baseline"].alone | tallies["covered, at restricted"].alone
    assert "windowsHostProcess" in alone  # without a grant for the host network, this control never refuses a pod alone
    for grant_level in LEVELS:
        assert tallies[f"covered, at {grant_level}"].words["admitted"]
        assert tallies[f"covered, at {grant_level}"].words["refused"]


_METADATA = {"namespace": "", "uid": "", "resourceVersion": "", "creationTimestamp": "2026-01-01T00:00:00Z"}
_WITH_THE_HOST_NETWORK = {"hostNamespaces", "hostPorts", "hostProbesAndHostLifecycle"}
_NOTHING = exceptions.parsed("nothing", {"type": "Application", "owner": "o", "reason": "Nothing at all"}, None).spec
