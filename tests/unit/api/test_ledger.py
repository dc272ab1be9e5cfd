"""Records of the ledger and their texts."""

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
    """decode recognizes each kind of record by the prefix of its data key."""
    assert ledger.decode(key, ledger.encode(record)) == record


def test_a_record_is_small() -> None:
    """A record has short names of Pod Security labels, and no fields with default values."""
    record = ledger.NamespaceRecord(ours={labels.PSA_ENFORCE: ("baseline",)})
    assert json.loads(ledger.encode(record)) == {"ours": {"enforce": ["baseline"]}}
    assert len(ledger.encode(approved(hne()))) < 400


@pytest.mark.parametrize(
    ("key", "text"),
    [("hne.uid", "{}"), ("hne.uid", "nonsense"), ("guard.x", "[]"), ("other", "{}"), ("ledger", '{"id": "x"}')],
)
def test_anything_else_is_an_error(key: str, text: str) -> None:
    """The operator does not guess at a damaged record, and rejects a ledger of an unknown format."""
    with pytest.raises((ValidationError, ValueError)):
        ledger.decode(key, text)


def test_the_objects_of_the_ledger_are_those_that_the_role_names() -> None:
    """RBAC lists each object that the operator may change."""
    assert ledger.SHARDS[0] == "hostnetwork-ledger-1"
    assert len(set(ledger.SHARDS)) == 32
