"""The guard says of every pod what Pod Security Admission says of it at that level, by the same controls.

Asked of the real API server, in server-side dry runs: of Kubernetes' own fixtures, which come with
k8s.io/pod-security-admission at the version that the test control plane is built from; of each value of each field
alone; of random pods; and of pods that a grant covers. What API validation refuses first, neither side judges: it is
counted apart and proves nothing.
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

pytestmark = pytest.mark.timeout(7200)  # the long run; a slice takes seconds
CONTROLPLANE = pathlib.Path(__file__).parent.parent / "controlplane"
LEVELS = ("baseline", "restricted")


@pytest.fixture(scope="module", params=LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def by_psa(governed: controlplane.Cluster) -> dict[str, Side]:
    """A namespace that Pod Security Admission holds to each level."""
    return {each: Side.set_up(governed, f"psa-{each}", level=each) for each in (*LEVELS, "privileged")}


@pytest.fixture(scope="module")
def by_guard(governed: controlplane.Cluster, level: str) -> Side:
    """A relaxed namespace with that guard."""
    return Side.set_up(governed, f"guard-{level}", guard=level)


# -- Kubernetes' own fixtures -----------------------------------------------------------------------------------------


OLDEST = 19  # Before v1.19 Pod Security Admission judges annotations for seccomp; the guard judges v1.19 instead.


def fixtures(level: str) -> dict[int, list[pathlib.Path]]:
    """The pods of each version of that level, by minor version."""
    go, file = golang.find_or_install(), f"-modfile={binary.release().module_file}"
    module = [go, "list", "-m", file, "-f", "{{.Dir}}", "k8s.io/pod-security-admission"]
    directory = subprocess.run(module, cwd=CONTROLPLANE, capture_output=True, text=True, check=False).stdout.strip()
    if not directory:
        download = [go, "mod", "download", file, "k8s.io/pod-security-admission"]
        subprocess.run(download, cwd=CONTROLPLANE, check=True)
        directory = subprocess.run(module, cwd=CONTROLPLANE, capture_output=True, text=True, check=True).stdout.strip()
    versions = (pathlib.Path(directory) / "test/testdata" / level).iterdir()
    by_minor = {int(version.name.removeprefix("v1.")): sorted(version.rglob("*.yaml")) for version in versions}
    return dict(sorted(by_minor.items()))


def load(file: pathlib.Path) -> dict[str, Any]:
    """The pod of a fixture, under a name that the API server takes."""
    body: dict[str, Any] = yaml.safe_load(file.read_text())
    body["metadata"]["name"] = body["metadata"]["name"].replace("_", "-")
    return body


def test_the_guard_agrees_on_every_fixture(
    by_psa: dict[str, Side], by_guard: Side, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal verdicts by the same controls for every fixture of the oldest and newest version, at version latest."""
    tally, unjudged, differing, astray = Tally(), [], [], []
    by_minor = list(fixtures(level).values())
    for file in (*by_minor[0], *by_minor[-1]):
        version, expected, name = file.parts[-3:]
        psa, guard = by_psa[level].create(load(file)), by_guard.create(load(file))
        if not psa.agrees(guard):
            differing.append(f"{file}: Pod Security: {psa}, guard: {guard}")
        elif psa.word == "not judged":
            unjudged.append(f"{version}/{expected}/{name}: {psa.text}")
        elif (psa.word == "admitted") is not (expected == "pass"):
            astray.append(f"{version}/{expected}/{name}: {psa.word}")
        tally.add(psa, f"{version} {expected}:")
    with capsys.disabled():
        print(tally.table(f"fixtures of {level}", level))
        print("\n".join(["  judged by neither, API validation came first:", *(f"    {line}" for line in unjudged)]))
        print("\n".join(["  another verdict at version latest than at their own:", *(f"    {a}" for a in astray)]))
    assert differing == []
    assert [line for line in astray if line.startswith("v1.3")] == []
    assert all("/fail/procmount" in line for line in unjudged), unjudged
    assert set(tally.decided) | {"procMount"} == set(sides.CONTROLS[level]) - sides.UNKNOWN_TO_PSA


def test_the_guard_agrees_at_each_pinned_version(
    governed: controlplane.Cluster, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal verdicts by the same controls for the fixtures of each version, where both judge by that version."""
    tally, differing, astray = Tally(), [], []
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
                astray.append(f"{file}: {psa.word}")
            tally.add(psa)
    with capsys.disabled():
        print(tally.table(f"fixtures of {level} at each version", level))
    assert differing == []
    assert astray == []


# -- each value of each field -----------------------------------------------------------------------------------------


def single_values(level: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each value of each field, said of a pod that is in order: in each kind of container, and in a Windows pod."""
    for control, touches in pods.TOUCHES.items():
        for touch in touches:
            for where in ("containers", "pod") if level == "restricted" else ("containers",):
                for target in range(3 if touch.one or touch.annotation is not None else 1):
                    body = pods.base(level, ["init", "sidecar", "regular", "regular"], where)
                    pods.say(body, touch, target)
                    yield f"{control} {touch}", body
                    if target == 2:
                        pods.for_windows(body := copy.deepcopy(body))
                        yield f"{control} on Windows {touch}", body


def test_the_guard_agrees_on_each_value_of_each_field(
    by_psa: dict[str, Side], by_guard: Side, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal verdicts for one value at a time, in each list of containers; each control decides alone."""
    tally, differing = Tally(), []
    for what, body in single_values(level):
        psa, guard = by_psa[level].create(body), by_guard.create(body)
        tally.add(psa)
        if not psa.agrees(guard):
            differing.append(f"{what}: {body['spec']}: Pod Security: {psa}, guard: {guard}")
    with capsys.disabled():
        print(tally.table(f"single values at {level}", level))
    assert differing == []
    assert set(tally.alone) | sides.NEVER_ALONE[level] == set(sides.CONTROLS[level]) - sides.UNKNOWN_TO_PSA


def test_the_guard_agrees_on_each_ephemeral_container(
    by_psa: dict[str, Side], by_guard: Side, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal verdicts for an ephemeral container with each single value, in pods in order and not in order."""
    tally, differing = Tally(), []
    for standing in pods.STANDING:
        for touch in pods.EPHEMERAL_TOUCHES:
            like = pods.base(level, ["regular"], "pod")
            pods.say(like, touch, 0)
            one = {**like["spec"]["containers"][0], "name": "debugger"}
            psa, guard = by_psa[level].debug(standing, one), by_guard.debug(standing, one)
            tally.add(psa)
            if not psa.agrees(guard):
                differing.append(f"{one} in {standing}: Pod Security: {psa}, guard: {guard}")
    with capsys.disabled():
        print(tally.table(f"ephemeral containers at {level}", level))
    assert differing == []


# -- random pods ------------------------------------------------------------------------------------------------------


def test_the_guard_agrees_on_random_pods(
    by_psa: dict[str, Side], by_guard: Side, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal verdicts by the same controls for random pods, a sixth of them by an ephemeral container they get."""
    tally = Tally()

    def judge(sample: dict[str, Any] | tuple[str, dict[str, Any]]) -> None:
        if isinstance(sample, tuple):
            psa, guard = by_psa[level].debug(*sample), by_guard.debug(*sample)
        else:
            psa, guard = by_psa[level].create(sample), by_guard.create(sample)
        tally.add(psa)
        assert psa.agrees(guard), f"Pod Security: {psa}\nguard: {guard}\npod: {sample}"

    created = pods.pods(level)
    either = st.one_of(*[created] * 5, pods.ephemeral_containers())
    sampling.search(sampling.samples(600) // 2, either, judge)
    with capsys.disabled():
        print(tally.table(f"random pods at {level}", level))
    assert tally.words["not judged"] < sum(tally.words.values()) / 4
    assert set(tally.alone) >= set(sides.CONTROLS[level]) - sides.NEVER_ALONE[level] - sides.UNKNOWN_TO_PSA


# -- pods that a grant covers -----------------------------------------------------------------------------------------

_GRANTS, _ACCOUNTS = 45, 30  # so that some accounts have two grants, of one level or of two
_FAR = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
_LAXEST_FIRST = ("privileged", "baseline", "restricted")
Granted = list[tuple[dict[str, Any], validity.Standing]]


@pytest.fixture(scope="module")
def granted(governed: controlplane.Cluster, by_guard: Side) -> Granted:
    """Random exceptions, as they are written and as they stand, granted in the namespace of the guard."""
    found: list[dict[str, Any]] = []
    sampling.search(_GRANTS, exceptions.specs("replaced"), found.append)
    home = workbench.Home(governed, by_guard.name)
    namespace = parse.namespace(governed.admin.get(home.path).expect(200).body)
    for account in (*exceptions.ACCOUNTS, *(f"a{number}" for number in range(_ACCOUNTS))):
        governed.admin.post(f"{home.path}/serviceaccounts", {"metadata": {"name": account}}).expect(201, 409)
    made, lines = [], {}
    for number, spec in enumerate(found):
        name, account = f"e{number}", f"a{number % _ACCOUNTS}"
        spec = {**spec, "serviceAccountName": account}
        one = exceptions.parsed(name, spec, _FAR)
        made.append((spec, validity.Standing(one, conditions.Ready.ACTIVE, "")))
        lines[name] = terms.line_of(one, namespace)
    home.give(**lines)
    return made


@st.composite
def near_a_grant(draw: st.DrawFn, granted: Granted) -> dict[str, Any]:
    """A pod near what some grant allows and near the level that it asks for."""
    spec, _ = draw(st.sampled_from(granted))
    level = "baseline" if spec["podSecurityLevel"] == "privileged" else spec["podSecurityLevel"]
    body: dict[str, Any] = draw(exceptions.covered(spec, draw(pods.pods(level, most=2))))
    if draw(st.sampled_from([False, False, False, True])):
        body = draw(exceptions.missed(spec, body))
    return body


def spared(body: dict[str, Any], spec: exception.ExceptionSpec) -> dict[str, Any]:
    """The pod without the capabilities, the privileged, the host paths and the host ports that the exception names."""
    body = copy.deepcopy(body)
    pod = body["spec"]
    pod.pop("serviceAccountName", None)
    paths = {
        volume["name"]
        for volume in pod.get("volumes", [])
        if "hostPath" in volume
        and any((volume["hostPath"]["path"] + "/").startswith(f"{p.path.rstrip('/')}/") for p in spec.host_paths)
    }
    pod["volumes"] = [volume for volume in pod.get("volumes", []) if volume["name"] not in paths]
    for one in pods.containers(pod):
        one["volumeMounts"] = [mount for mount in one.get("volumeMounts", []) if mount["name"] not in paths]
        own = one.get("securityContext") or {}
        if spec.host_ports:
            for port in one.get("ports", []):
                port.pop("hostPort", None)
        if spec.privileged and own.pop("privileged", None):
            own.get("capabilities", {}).pop("add", None)
        if added := (own.get("capabilities") or {}).get("add"):
            own["capabilities"]["add"] = [name for name in added if name not in spec.capabilities]
    return body


def covering(granted: Granted, body: dict[str, Any], level: str) -> exception.ExceptionSpec | None:
    """The exception that covers the pod, the laxest where two do. None covers an ordinary pod."""
    seen = parse.pod({**body, "metadata": {**body["metadata"], **_METADATA}})
    assert isinstance(seen, snapshot.Pod), seen
    if not coverage.relies_on_a_grant(seen, labels.Level(level)):
        return None
    found = [standing.exception.spec for _, standing in granted if coverage.covers(standing, seen).covers]
    return min(found, key=lambda spec: _LAXEST_FIRST.index(spec.pod_security_level), default=None)


def expected(
    by_psa: dict[str, Side], level: str, spec: exception.ExceptionSpec | None, body: dict[str, Any]
) -> Verdict:
    """What Pod Security says of the pod apart from what the exception names: at its level, or at the guard's."""
    if spec is None:
        return by_psa[level].create(spared(body, _NOTHING))
    if not spec.host_namespaces:  # then the exception makes nothing stricter
        least = min(level, spec.pod_security_level, key=_LAXEST_FIRST.index)
        return by_psa[least].create(spared(body, spec))
    # With its host namespaces, on which other fields hang; they are taken out of the answer.
    answer = by_psa[spec.pod_security_level].create(spared(body, spec))
    return answer.without(_WITH_THE_HOST_NETWORK if body["spec"].get("hostNetwork") else {"hostNamespaces"})


def test_the_guard_agrees_on_covered_pods_apart_from_what_the_grant_names(
    by_psa: dict[str, Side],
    by_guard: Side,
    level: str,
    granted: Granted,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A covered pod meets the level of its grant apart from exactly what the grant names, another the guard's."""
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
    assert "windowsHostProcess" in alone  # which never decides alone without a grant for the host network
    for each in LEVELS:
        assert tallies[f"covered, at {each}"].words["admitted"]
        assert tallies[f"covered, at {each}"].words["refused"]


_METADATA = {"namespace": "", "uid": "", "resourceVersion": "", "creationTimestamp": "2026-01-01T00:00:00Z"}
_WITH_THE_HOST_NETWORK = {"hostNamespaces", "hostPorts", "hostProbesAndHostLifecycle"}
_NOTHING = exceptions.parsed("nothing", {"type": "Application", "owner": "o", "reason": "Nothing at all"}, None).spec
