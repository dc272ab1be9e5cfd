"""docs/howto/ledger.md: each command runs, on a cluster whose ledger is started, backed up, lost and restored."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from hostnetwork_operator.api import labels, ledger
from tests.controlplane import cluster, operator
from tests.docs import markdown
from tests.docs import test_readme_commands as readme

DOCUMENT = markdown.ROOT / "docs" / "howto" / "ledger.md"
BLOCKS = {block.name: block for block in markdown.blocks(DOCUMENT)}
EXCEPTIONS = f"/apis/{labels.API_VERSION}/namespaces/monitoring/hostnetworkexceptions"
CONFIGMAPS = f"/api/v1/namespaces/hostnetwork-system/configmaps?labelSelector={labels.MANAGED_BY}%3D{labels.MANAGER}"
POLICY = f"/apis/{labels.API_VERSION}/hostnetworkexceptionpolicies/default"
DELETED = "kubectl delete configmaps -n hostnetwork-system -l app.kubernetes.io/managed-by=hostnetwork-operator"
_run_blocks: set[str] = set()


class Keeper(readme.Reader):
    """An administrator with an agent from before the admission policies."""

    def __init__(self, control_plane: cluster.Cluster, checkout: pathlib.Path) -> None:
        super().__init__(control_plane, checkout)
        self.name = ""

    def arrange(self) -> None:
        """Create the CRDs and an exception first, then everything else."""
        self.api.post("/api/v1/namespaces", {"metadata": {"name": "monitoring"}}).expect(201)
        self.paste("kubectl apply --server-side -f crds/ && kubectl wait --for=condition=Established -f crds/")
        self.paste(f"kubectl apply -f {readme.SAMPLES / 'exceptions' / 'node-exporter.yaml'}")
        self.paste(f"kubectl apply -k manifests/overlays/{operator.enforcing()}")
        self.paste("kubectl scale deployment hostnetwork-operator -n hostnetwork-system --replicas=0")
        readme._installed(self)

    def follow(self, name: str) -> str:
        _run_blocks.add(name)
        return self.paste(BLOCKS[name].script)

    def sees(self, reason: str) -> None:
        self.until(f"it is {reason}", lambda: self.exception("monitoring", "node-exporter")[0] == reason)

    def ledger(self) -> str:
        """Return the reason of LedgerIntact."""
        conditions = self.api.get(POLICY).expect(200).body.get("status", {}).get("conditions", [])
        return str(next((condition["reason"] for condition in conditions if condition["type"] == "LedgerIntact"), ""))

    def stored(self) -> dict[str, dict[str, str]]:
        """Return the data of each ConfigMap by its name."""
        return {body["metadata"]["name"]: body["data"] for body in self.api.items(CONFIGMAPS)}

    def events(self, reason: str) -> list[dict[str, Any]]:
        return self.api.items(f"/api/v1/namespaces/default/events?fieldSelector=reason%3D{reason}")


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    with readme.following(Keeper) as user:
        yield user


def test_the_first_start_names_what_nothing_proves(keeper: Keeper) -> None:
    """An exception from before the policies is NotApproved, and the Event names it; an approver approves it."""
    keeper.sees("NotApproved")
    keeper.until("the Event", lambda: keeper.events("PolicyLedgerSeeded"))
    (event,) = keeper.events("PolicyLedgerSeeded")
    assert "monitoring/node-exporter" in event["message"]
    keeper.follow("approve")
    keeper.sees("Active")


def test_it_can_be_looked_at(keeper: Keeper) -> None:
    """Every command shows something, and the record exists."""
    keeper.until("it is recorded", lambda: keeper.ledger() == "Recorded")
    keeper.until("it is counted", lambda: '"exceptions":1' in keeper.follow("look"))
    assert "hostnetwork-ledger-1" in keeper.follow("look")
    uid = keeper.api.get(f"{EXCEPTIONS}/node-exporter").body["metadata"]["uid"]
    record = ledger.decode(ledger.EXCEPTION + uid, keeper.stored()["hostnetwork-ledger-1"][ledger.EXCEPTION + uid])
    assert isinstance(record, ledger.ExceptionRecord)
    assert record.approved


def test_what_is_deleted_while_the_operator_runs_is_put_back(keeper: Keeper) -> None:
    """The next record or resync restores deleted ConfigMaps, and no approval is lost meanwhile."""
    keeper.follow("backup")
    before = keeper.stored()
    keeper.paste(DELETED)
    keeper.follow("approve")
    keeper.until("all is back", lambda: _keys(keeper.stored()) == _keys(before))
    keeper.sees("Active")


def _keys(stored: dict[str, dict[str, str]]) -> dict[str, Any]:
    return {name: data.keys() for name, data in stored.items()}


def test_a_loss_is_said_and_a_backup_brings_it_back(keeper: Keeper) -> None:
    """After a loss while the operator is down, the agent's grant stays and is reported as unproven.

    After the restore the exception is Active.
    """
    keeper.follow("backup")
    assert keeper.operator.stop() == 0
    keeper.paste(DELETED)
    keeper.operator.start()
    keeper.sees("ApprovalUnproven")
    keeper.until("it is said", lambda: keeper.ledger() == "GrantsUnproven")
    assert "node-exporter" in keeper.follow("unproven")
    assert keeper.operator.stop() == 0
    keeper.follow("restore")
    keeper.paste("kubectl scale deployment hostnetwork-operator -n hostnetwork-system --replicas=0")
    keeper.operator.start()
    keeper.sees("Active")
    keeper.until("it is recorded", lambda: keeper.ledger() == "Recorded")


def test_every_command_of_the_document_was_run() -> None:
    """The tests ran every block."""
    assert set(BLOCKS) == _run_blocks
    assert DOCUMENT.read_text().count("```bash") == len(BLOCKS)
