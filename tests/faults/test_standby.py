"""Two operators and one Lease: whatever happens to the leader, the other takes over, and they never write in turns.

Each process has a token of its own, so the audit log says which of them has sent a write. The tests print the times
that docs/howto/standby.md has.
"""

import base64
import contextlib
import datetime
import itertools
import json
import pathlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.controlplane import operator
from tests.e2e.conftest import LABEL, PSA, World, enforced
from tests.faults import cable, proxy

COMPONENT = operator.ROOT / "manifests" / "components" / "standby"
NAME = "hostnetwork-operator"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{operator.NAMESPACE}/leases/{NAME}"
_CREDENTIAL = "authentication.kubernetes.io/credential-id"
_numbers = itertools.count(1)
Report = Callable[[str, float], None]


class Replica:
    """One process of the operator, with a token of its own. `url` is its way to the API server."""

    def __init__(self, world: World, url: str) -> None:
        self.world = world
        self.name = f"replica-{next(_numbers)}"
        self.kubeconfig = world.cluster.service_account(operator.NAMESPACE, operator.ACCOUNT, server=url)
        self.credential = _credential(self.kubeconfig)
        environment = {"HOSTNETWORK_LEASE": f"{operator.NAMESPACE}/{NAME}"}
        self.process = operator.OperatorProcess(world.cluster, name=self.name, environment=environment)

    def start(self) -> None:
        self.process.start(ready=False, kubeconfig=self.kubeconfig)

    def leads(self) -> bool:
        """Return whether the process may write, by its metric."""
        with contextlib.suppress(OSError):
            return "hostnetwork_operator_leader 1.0" in self.process.metrics()
        return False

    def log_has(self, event: str) -> bool:
        return f'"event": "{event}"' in self.process.log.read_text()

    def signal(self, number: signal.Signals) -> None:
        self.process._component._signal(number)

    def exit_status(self) -> int:
        return self.process._component.wait(deadline_seconds=60)

    def last_line(self) -> str:
        return self.process.tail(1)


class Pair:
    """A leader and its standby, on a cluster of their own."""

    def __init__(self, world: World, leader: Replica, standby: Replica, cables: dict[Replica, cable.Cable]) -> None:
        self.world = world
        self.cables = cables
        self.leader = leader
        self.standby = standby
        self.since = world.request_count()

    def writers(self) -> list[Replica]:
        """Return who has sent each write that was carried out, in the order in which the writes came."""
        by_credential = {replica.credential: replica for replica in (self.leader, self.standby)}
        events = sorted(self._carried_out(), key=lambda event: event["requestReceivedTimestamp"])
        return [by_credential[event["user"]["extra"][_CREDENTIAL][0]] for event in events]

    def grants_given(self, namespace: str) -> int:
        """Return how often an operator has written a grant into the namespace."""
        events = [event for event in self._carried_out() if event["objectRef"].get("name") == namespace]
        annotations = [event["requestObject"]["metadata"].get("annotations") or {} for event in events]
        return sum(value is not None for texts in annotations for key, value in texts.items() if "grant." in key)

    def _carried_out(self) -> list[dict[str, Any]]:
        return [event for event in self.world.writes(self.since) if event["responseStatus"]["code"] < 300]

    def take_over(self) -> None:
        """Wait until the standby leads."""
        self.world.operator = self.standby.process
        self.world.until("the standby leads", self.standby.leads)

    def assert_one_after_the_other(self) -> None:
        """The leader wrote, then the standby wrote, and the leader never again."""
        expected = [self.leader, self.standby]
        assert [replica for replica, _ in itertools.groupby(self.writers())] == expected

    def assert_ended_once(self, namespace: str) -> None:
        """The diagnostic has ended: pod and grant are gone, no grant was given again, and no Event is repeated."""
        world = self.world
        world.until("the pod is deleted", lambda: world.is_deleted(namespace), deadline_seconds=60)
        world.until("the level is restored", lambda: world.labels(namespace)[PSA] == "baseline")
        world.until("the end is recorded", lambda: world.condition(namespace, kind="CleanedUp").get("status") == "True")
        world.until("it is reported", lambda: "ExpiredPodDeleted" in [reason for *_, reason in world.events(namespace)])
        assert world.grants(namespace) == {}
        assert self.grants_given(namespace) == 1
        events = world.events(namespace)
        assert len(events) == len(set(events))
        assert "NamespaceContested" not in [reason for *_, reason in events]


def _credential(kubeconfig: pathlib.Path) -> str:
    """Return the name that the API server has for the token of a kubeconfig in the audit log."""
    token = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"]
    payload = token.split(".")[1]
    return f"JTI={json.loads(base64.urlsafe_b64decode(payload + '=' * (-len(payload) % 4)))['jti']}"


@pytest.fixture(scope="module")
def cluster_with_lease() -> Iterator[World]:
    """A cluster with the objects of the component, and no operator. The Deployment stays at 0: kwok would fake pods."""
    with enforced() as world:
        for path in sorted(COMPONENT.glob("standby-*.yaml")):
            operator.apply(world.cluster, "-f", str(path))
        yield world


@pytest.fixture
def pair(cluster_with_lease: World) -> Iterator[Pair]:
    """Two processes that are started at the same moment: one of them leads, and both are ready."""
    world = cluster_with_lease
    with contextlib.ExitStack() as stack:
        networks = [stack.enter_context(cable.Cable(world.cluster.ports.apiserver)) for _ in range(2)]
        cables = {Replica(world, network.url): network for network in networks}
        replicas = first, second = tuple(cables)
        for replica in replicas:
            replica.start()
            stack.callback(replica.process.kill)
        world.operator = first.process
        world.until("one leads", lambda: [r.leads() for r in replicas] in ([True, False], [False, True]))
        world.until("both are ready", lambda: [r.process.probe("/readyz") for r in replicas] == [200, 200])
        yield Pair(world, *((first, second) if first.leads() else (second, first)), cables)
        for replica, network in cables.items():
            network.release()
            replica.process.stop()
    _renew_lease(world)


def _renew_lease(world: World) -> None:
    """Replace the Lease by one without a holder."""
    world.admin.delete(LEASE).expect(200)
    operator.apply(world.cluster, "-f", str(COMPONENT / "standby-lease.yaml"))


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """A function that prints how long something took."""

    def write(what: str, start: float) -> None:
        seconds = time.monotonic() - start
        with capsys.disabled():
            print(f"\n{what}: {seconds:.1f} s")

    return write


def test_one_leads_and_the_other_only_reads(pair: Pair) -> None:
    """The standby is ready and healthy, says that it is a standby, writes nothing and shows no state."""
    world = pair.world
    namespace = world.namespace()
    world.granted_pod(namespace)
    assert (pair.leader.leads(), pair.standby.leads()) == (True, False)
    assert set(pair.writers()) == {pair.leader}
    assert [pair.standby.process.probe(path) for path in ("/healthz", "/readyz")] == [200, 200]
    assert "hostnetwork_ledger_intact" not in pair.standby.process.metrics()
    assert "hostnetwork_ledger_intact" in pair.leader.process.metrics()
    reads = {
        event["requestURI"].split("?")[0]
        for event in world.cluster.audit_events()
        if event["user"].get("extra", {}).get(_CREDENTIAL) == [pair.standby.credential]
    }
    assert not [path for path in reads if "pods" in path or path.startswith("/api/v1")], reads


def test_after_kill_9_the_standby_ends_what_is_due(pair: Pair, report: Report) -> None:
    """The leader dies before the end of a diagnostic. The standby deletes the pod, and renews the Lease."""
    world = pair.world
    namespace = world.namespace()
    world.granted_pod(namespace, seconds=8)
    start = time.monotonic()
    pair.leader.process.kill()
    pair.take_over()
    report("kill -9 until the standby may write", start)
    world.until("its first write", lambda: pair.standby in pair.writers())
    report("kill -9 until the first write of the standby", start)
    pair.assert_ended_once(namespace)
    pair.assert_one_after_the_other()
    lease = world.admin.get(LEASE).expect(200).body["spec"]
    assert lease["leaseTransitions"] == 2
    world.until("it renews", lambda: world.admin.get(LEASE).body["spec"]["renewTime"] > lease["renewTime"])
    assert world.admin.get(LEASE).body["spec"]["holderIdentity"] == lease["holderIdentity"]


def test_a_leader_that_was_stopped_writes_nothing_afterwards(pair: Pair, report: Report) -> None:
    """SIGSTOP for 20 s, as when a node hangs. A diagnostic ends meanwhile, and the leader wakes up with it in hand."""
    world = pair.world
    namespace = world.namespace()
    world.granted_pod(namespace, seconds=8)
    start = time.monotonic()
    pair.leader.signal(signal.SIGSTOP)
    pair.take_over()
    report("SIGSTOP until the standby may write", start)
    pair.assert_ended_once(namespace)
    time.sleep(max(0.0, 20 - (time.monotonic() - start)))  # the time itself is tested
    pair.leader.signal(signal.SIGCONT)
    assert pair.leader.exit_status() == 1
    assert f"Lease {operator.NAMESPACE}/{NAME} must have this process as its holder" in pair.leader.last_line()
    pair.assert_one_after_the_other()
    pair.assert_ended_once(namespace)


def test_a_leader_that_is_cut_off_stops_before_the_standby_begins(pair: Pair, report: Report) -> None:
    """Two diagnostics end while the leader is cut off: one when the leader may still write, one when it may not.

    What the leader has sent for the first arrives when the network is whole again, and changes nothing then.
    """
    world = pair.world
    early, late = world.namespace(), world.namespace()
    for namespace, seconds in ((early, 9), (late, 18)):
        world.granted_pod(namespace, seconds=seconds)
    expiry = datetime.datetime.fromisoformat(
        world.admin.get(f"{world.exceptions(early)}/capture").expect(200).body["spec"]["expiry"]
    )
    world.holds_until(expiry - datetime.timedelta(seconds=3), "waiting", lambda: True)
    start = time.monotonic()
    pair.cables[pair.leader].hold()
    world.until("the leader stops", lambda: not pair.leader.leads())
    report("cut off until the leader has stopped", start)
    assert not pair.standby.leads()
    pair.take_over()
    report("cut off until the standby may write", start)
    for namespace in (early, late):
        pair.assert_ended_once(namespace)
    assert pair.leader.process.running()
    assert pair.leader.process.probe("/readyz") == 503
    assert pair.leader.process.probe("/healthz") == 200
    versions = [world.metadata(namespace)["resourceVersion"] for namespace in (early, late)]
    pair.cables[pair.leader].release()
    assert pair.leader.exit_status() == 1
    assert "must have this process as its holder" in pair.leader.last_line()
    for namespace in (early, late):
        pair.assert_ended_once(namespace)
    assert versions == [world.metadata(namespace)["resourceVersion"] for namespace in (early, late)]


def test_a_leader_that_cannot_renew_writes_nothing_although_it_could(cluster_with_lease: World) -> None:
    """The API server answers everything but what is about the Lease. The leader goes on to watch and to plan, and its
    gateway sends none of its writes, although nobody has told the leader that there is another one.
    """
    world = cluster_with_lease
    ca_path = str(world.cluster.authority.certificate_path)
    with (
        proxy.Proxy(world.cluster.url, ca_path) as connection,
        cable.Cable(world.cluster.ports.apiserver) as network,
        contextlib.ExitStack() as stack,
    ):
        pair = Pair(world, Replica(world, connection.url), Replica(world, network.url), {})
        for replica in (pair.leader, pair.standby):
            replica.start()
            stack.callback(replica.process.kill)
            world.operator = replica.process
            world.until("it is ready", lambda replica=replica: replica.process.probe("/readyz") == 200)
            world.until("the first leads", pair.leader.leads)
        before, after = world.namespace(), world.namespace()
        world.granted_pod(before, seconds=25)
        connection.refused = lambda _method, path: 503 if "/leases/" in path else 0
        world.until("the leader stops", lambda: not pair.leader.leads())
        pair.take_over()
        world.granted_pod(after, seconds=8)
        for namespace in (before, after):
            pair.assert_ended_once(namespace)
        pair.assert_one_after_the_other()
        assert 'outcome="stale"' in pair.leader.process.metrics()
        assert f"Lease {operator.NAMESPACE}/{NAME} cannot be read or written" in pair.leader.process.log.read_text()
        connection.refused = lambda _method, _path: 0
        assert pair.leader.exit_status() == 1
        pair.assert_one_after_the_other()
    _renew_lease(world)


def test_a_leader_that_ends_releases_the_lease(pair: Pair, report: Report) -> None:
    """On SIGTERM the standby need not wait for ten seconds, and nothing is done twice."""
    world = pair.world
    namespace = world.namespace()
    world.granted_pod(namespace, seconds=8)
    start = time.monotonic()
    assert pair.leader.process.stop() == 0
    report("SIGTERM until the end of the leader", start)
    pair.take_over()
    report("SIGTERM until the standby may write", start)
    assert pair.leader.log_has("lease-released")
    pair.assert_ended_once(namespace)
    pair.assert_one_after_the_other()


def test_a_standby_that_ends_changes_nothing(pair: Pair) -> None:
    """It releases nothing, and the leader stays the leader."""
    holder = pair.world.admin.get(LEASE).expect(200).body["spec"]["holderIdentity"]
    assert pair.standby.process.stop() == 0
    assert pair.leader.leads()
    assert pair.world.admin.get(LEASE).expect(200).body["spec"]["holderIdentity"] == holder


def test_an_outage_of_the_api_server_restarts_nobody(pair: Pair) -> None:
    """Neither can reach the Lease for 15 s. Afterwards the same process leads, and ends what was due meanwhile."""
    world = pair.world
    namespace = world.namespace()
    world.granted_pod(namespace, seconds=8)
    spec = world.admin.get(LEASE).expect(200).body["spec"]
    world.cluster.kill_apiserver()
    time.sleep(15)  # the outage itself is tested
    assert not pair.leader.leads()
    world.cluster.start_apiserver()
    world.until("the leader leads again", pair.leader.leads)
    pair.assert_ended_once(namespace)
    assert pair.leader.process.running()
    assert pair.standby.process.running()
    assert not pair.standby.leads()
    assert set(pair.writers()) == {pair.leader}
    lease = world.admin.get(LEASE).expect(200).body["spec"]
    keys = ("holderIdentity", "acquireTime", "leaseTransitions")
    assert {key: lease[key] for key in keys} == {key: spec[key] for key in keys}


@pytest.mark.parametrize("change", ["emptied", "deleted"])
def test_a_person_can_take_the_lease_away(pair: Pair, change: str) -> None:
    """With kubectl, which then owns the field. The leader ends, and the standby takes over."""
    kubectl = pair.world.cluster.kubectl
    arguments = ("lease", NAME, "-n", operator.NAMESPACE)
    if change == "emptied":
        patch = '{"spec":{"holderIdentity":""}}'
        assert kubectl("patch", *arguments, "--type=merge", "-p", patch).returncode == 0
    else:
        assert kubectl("delete", *arguments).returncode == 0
        pair.world.until("the standby reports it", lambda: pair.standby.process.probe("/readyz") == 503)
        assert "must exist, got none" in pair.standby.process.log.read_text()
        operator.apply(pair.world.cluster, "-f", str(COMPONENT / "standby-lease.yaml"))
    assert pair.leader.exit_status() == 1
    pair.take_over()
    namespace = pair.world.namespace()
    pair.world.granted_pod(namespace)


def test_the_account_may_write_no_other_lease(cluster_with_lease: World) -> None:
    """The operator's token can neither create a Lease nor write another, such as that of a controller or a node."""
    world = cluster_with_lease
    account = world.cluster.api(world.cluster.service_account(operator.NAMESPACE, operator.ACCOUNT))
    leases = LEASE.rsplit("/", 1)[0]
    assert account.get(LEASE).status == 200
    assert account.get(leases).status == 403
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "another"}}
    assert account.post(leases, body).status == 403
    assert account.patch(f"{leases}/another", {"spec": {}}).status == 403
    assert account.delete(LEASE).status == 403
    controllers = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager"
    assert account.patch(controllers, {"spec": {"holderIdentity": LABEL}}).status == 403
