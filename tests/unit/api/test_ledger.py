"""Records of the ledger, as texts."""

import json

import pytest
from pydantic import ValidationError

from hostnetwork_operator.api import labels, ledger
from tests.unit.builders import NOW, approved, denied, hne, written

RECORDS: list[tuple[str, ledger.Record]] = [
    ("guard.exception-writers.hostnetwork-operator.github.io", ledger.GuardRecord(identity="abc", since=NOW)),
    ("hne.uid", approved(hne())),
    ("hne.uid", approved(hne(type="Infrastructure"), approved=False, kept=True)),
    ("ns.uid", written(denied(hne())) or ledger.NamespaceRecord()),
    ("ns.uid", ledger.NamespaceRecord(enforced=True, before="privileged")),
    ("ledger", ledger.Index(id="x", format=1, shards=3, state="Lost")),
]


@pytest.mark.parametrize(("key", "record"), RECORDS)
def test_a_record_is_read_as_it_was_written(key: str, record: ledger.Record) -> None:
    """Of every kind, by the prefix of its data key."""
    assert ledger.decode(key, ledger.encode(record)) == record


def test_a_record_is_small() -> None:
    """Without the names of Pod Security labels in full, and without what is as by default."""
    record = ledger.NamespaceRecord(ours={labels.PSA_ENFORCE: ("baseline",)})
    assert json.loads(ledger.encode(record)) == {"ours": {"enforce": ["baseline"]}}
    assert len(ledger.encode(approved(hne()))) < 400


@pytest.mark.parametrize(
    ("key", "text"),
    [("hne.uid", "{}"), ("hne.uid", "nonsense"), ("guard.x", "[]"), ("other", "{}"), ("ledger", '{"id": "x"}')],
)
def test_anything_else_is_an_error(key: str, text: str) -> None:
    """A damaged record is not guessed at, and a ledger of an unknown format is none."""
    with pytest.raises((ValidationError, ValueError)):
        ledger.decode(key, text)


def test_the_objects_of_the_ledger_are_those_that_the_role_names() -> None:
    """RBAC names what may be changed one by one."""
    assert ledger.SHARDS[0] == "hostnetwork-ledger-1"
    assert len(set(ledger.SHARDS)) == 32
