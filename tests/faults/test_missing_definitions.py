"""The definitions of our kinds are missing or deleted: what has expired ends, and everything else stays."""

from tests.controlplane import cluster, operator
from tests.e2e.conftest import LABEL, PSA, World, enforced


def test_a_missing_crd_is_named_and_waited_for() -> None:
    """Without crds/ the operator names the command that installs them, and works once they are installed."""
    with cluster.Cluster() as control_plane:
        operator.install(control_plane)
        for plural in ("hostnetworkexceptions", "hostnetworkexceptionpolicies"):
            control_plane.kubectl("delete", "crd", f"{plural}.{LABEL}")
        world = World(control_plane)
        world.operator.start(ready=False)
        world.until("it says so", lambda: "kubectl apply --server-side -f crds/" in world.operator.log.read_text())
        assert world.operator.probe("/readyz") == 503
        operator.install(control_plane)
        world.until("it is ready", lambda: world.operator.probe("/readyz") == 200, deadline_seconds=60)
        world.namespace()
        # A CRD is deleted while the operator runs: the process and all existing state stay, and the operator recovers.
        control_plane.kubectl("delete", "crd", f"hostnetworkexceptionpolicies.{LABEL}")
        world.until("it notices", lambda: "watch-failed" in world.operator.log.read_text(), deadline_seconds=90)
        assert world.operator.running()
        assert (world.operator.probe("/readyz"), world.operator.probe("/healthz")) == (503, 200)
        operator.install(control_plane)
        world.until("it governs again", lambda: world.namespace(), deadline_seconds=90)
        world.until("it is ready again", lambda: world.operator.probe("/readyz") == 200, deadline_seconds=90)
        world.operator.stop()


def test_a_diagnostic_ends_though_its_crd_is_gone() -> None:
    """If the CRDs are deleted while the operator is down, exceptions that the ledger has as expired end a minute later.

    Everything else stays as it is until the kind is back. The lack of a CRD revokes no agent's grant.
    """
    with enforced() as world:
        world.operator.start()
        ending, lasting, agents = world.namespace(), world.namespace(), world.namespace()
        world.granted_pod(ending, seconds=15, gracePeriodSeconds=0)
        world.granted_pod(lasting)
        world.granted_pod(agents, type="Infrastructure", expiry=None, ticket=None, serviceAccountName="default")
        assert world.operator.stop() == 0
        for plural in ("hostnetworkexceptions", "hostnetworkexceptionpolicies"):
            completed = world.cluster.kubectl("delete", "crd", f"{plural}.{LABEL}")
            assert completed.returncode == 0, completed.stderr
        world.operator.start(ready=False)
        world.until("its pod is deleted", lambda: world.is_deleted(ending), deadline_seconds=60)
        world.until("its level is back", lambda: world.labels(ending)[PSA] == "baseline" and not world.grants(ending))
        for name in (lasting, agents):
            assert world.labels(name)[PSA] == "privileged"
            assert "capture" in world.grants(name)
            assert not world.is_deleted(name)
        assert (world.operator.probe("/readyz"), world.operator.probe("/healthz")) == (503, 200)
        assert "kubectl apply --server-side -f crds/" in world.operator.log.read_text()
        operator.install(world.cluster)
        # A missing exception grants nothing, as if it alone had been deleted.
        world.until("it is judged by what there is", lambda: world.grants(agents) == {}, deadline_seconds=60)
        world.until("it is ready", lambda: world.operator.probe("/readyz") == 200, deadline_seconds=90)
        assert not world.is_deleted(lasting)
        assert not world.is_deleted(agents)
