"""The operator's copy of its ledger: what it reads, where a record is stored, and what counts as a loss."""

from typing import Any

import pytest

from hostnetwork_operator.api import ledger, policy
from hostnetwork_operator.observe import ledger as copies
from tests.unit.builders import UID, approved, denied, hne, seen, written

KNOWN = policy.LedgerCounts(id="before")
RECORD = approved(hne())


class Stored:
    """ConfigMaps as the API server keeps them."""

    def __init__(self) -> None:
        self.bodies: dict[str, dict[str, Any]] = {}

    def write(self, copy: copies.Ledger, records: dict[str, ledger.Record | None]) -> list[str]:
        """Carry out the changes that the copy wants. Return the names of the objects, in order."""
        changes = copy.changes(records)
        for change in changes:
            name = change.shard.name
            body = self.bodies.setdefault(name, {"metadata": {"name": name, "uid": f"uid-of-{name}"}, "data": {}})
            for key, text in change.texts.items():
                body["data"].pop(key, None)
                if text is not None:
                    body["data"][key] = text
            copy.stored(change, body)
        return [change.shard.name for change in changes]

    def read(self, counts: policy.LedgerCounts | None = None) -> copies.Ledger:
        copy = copies.Ledger()
        copy.load(list(self.bodies.values()), counts)
        return copy


def first_ledger(**records: ledger.Record) -> tuple[Stored, copies.Ledger]:
    """Return a ledger after its first start, with records of these exceptions."""
    stored = Stored()
    copy = stored.read()
    copy.settle()
    stored.write(copy, {ledger.EXCEPTION + uid: record for uid, record in records.items()})
    return stored, copy


def test_before_it_is_read_nothing_is_known() -> None:
    """That is not the same as an empty ledger."""
    copy = copies.Ledger()
    assert copy.state is ledger.State.UNREADABLE
    assert copy.trouble


def test_where_there_never_was_one_it_is_begun() -> None:
    """The state lasts until everything was judged once, also across a restart."""
    stored = Stored()
    copy = stored.read()
    assert copy.state is ledger.State.SEEDING
    assert stored.write(copy, {"hne.a": RECORD}) == ["hostnetwork-ledger-1"]
    assert stored.read().state is ledger.State.SEEDING
    copy.settle()
    stored.write(copy, {})
    second_copy = stored.read()
    assert (second_copy.state, second_copy.id, second_copy.get("hne.a")) == (ledger.State.INTACT, copy.id, RECORD)


def test_where_the_policy_knows_of_one_that_is_gone_it_is_lost() -> None:
    """A new ledger with another id is begun. The loss lasts across a restart, too."""
    copy = Stored().read(KNOWN)
    assert copy.state is ledger.State.LOST
    assert copy.id not in {"", KNOWN.id}
    stored = Stored()
    stored.write(copy, {"hne.a": RECORD})
    assert stored.read(KNOWN).state is ledger.State.LOST


@pytest.mark.parametrize("harm", ["object", "index", "text"])
def test_a_part_that_is_gone_or_damaged_is_a_loss(harm: str) -> None:
    """The records that are left still count."""
    stored, copy = first_ledger(a=RECORD)
    copy._shards["hostnetwork-ledger-1"].texts["hne.filler"] = "x" * ledger.SHARD_BYTES  # full
    assert stored.write(copy, {"hne.b": RECORD}) == ["hostnetwork-ledger-2", "hostnetwork-ledger-1"]
    if harm == "object":
        del stored.bodies["hostnetwork-ledger-1"]
    elif harm == "index":
        del stored.bodies["hostnetwork-ledger-1"]["data"][ledger.INDEX]
    else:
        stored.bodies["hostnetwork-ledger-1"]["data"]["hne.a"] = "damaged"
    second_copy = stored.read()
    assert (second_copy.state, second_copy.get("hne.b")) == (ledger.State.LOST, RECORD)


def test_a_missing_second_object_is_a_loss() -> None:
    """The index in the first object counts the objects."""
    stored, copy = first_ledger(a=RECORD)
    copy._shards["hostnetwork-ledger-1"].texts["hne.filler"] = "x" * ledger.SHARD_BYTES
    stored.write(copy, {"hne.b": RECORD})
    del stored.bodies["hostnetwork-ledger-2"]
    assert stored.read().state is ledger.State.LOST


def test_what_is_damaged_is_removed_once_everything_was_judged() -> None:
    """Otherwise the next start would find a loss again."""
    stored, _ = first_ledger(a=RECORD)
    stored.bodies["hostnetwork-ledger-1"]["data"]["hne.gone"] = "damaged"
    copy = stored.read()
    copy.settle()
    stored.write(copy, {})
    assert stored.read().state is ledger.State.INTACT


def test_objects_that_are_not_the_ledgers_are_left_alone() -> None:
    """Every namespace has a ConfigMap kube-root-ca.crt."""
    stored, copy = first_ledger(a=RECORD)
    other = {"metadata": {"name": "kube-root-ca.crt", "uid": "u"}, "data": {"hne.x": "y"}}
    stored.bodies["kube-root-ca.crt"] = other
    assert stored.read().get("hne.x") is None
    assert copy.repairs(stored.bodies.values()) == []


def test_nothing_is_written_twice() -> None:
    """Neither a record that is stored already, nor the removal of a record that does not exist."""
    stored, copy = first_ledger(a=RECORD)
    assert stored.write(copy, {"hne.a": RECORD, "hne.nobody": None}) == []
    assert stored.write(copy, {"hne.a": None}) == ["hostnetwork-ledger-1"]
    assert copy.get("hne.a") is None


def test_a_record_stays_in_its_object_and_a_new_one_goes_where_there_is_room() -> None:
    """An object that gets room again is filled again."""
    stored, copy = first_ledger()
    big = {f"hne.{number}": RECORD.model_copy(update={"grant": "x" * 4000}) for number in range(200)}
    names = stored.write(copy, dict(big))
    assert names == ["hostnetwork-ledger-2", "hostnetwork-ledger-3", "hostnetwork-ledger-4", "hostnetwork-ledger-1"]
    sizes = [sum(len(k) + len(t) for k, t in body["data"].items()) for body in stored.bodies.values()]
    assert max(sizes) <= ledger.SHARD_BYTES
    assert stored.read().state is ledger.State.INTACT
    stored.write(copy, {"hne.0": None})
    assert stored.write(copy, {"hne.new": RECORD}) == ["hostnetwork-ledger-1"]


def test_a_record_that_finds_no_room_keeps_no_other_from_being_stored() -> None:
    """The record is omitted. Only the view of its own namespace and the summary say so."""
    stored, copy = first_ledger()
    huge = RECORD.model_copy(update={"grant": "x" * ledger.SHARD_BYTES})
    stored.write(copy, {"hne.huge": huge, "hne.small": RECORD})
    assert (copy.omitted, copy.get("hne.huge"), copy.get("hne.small")) == ({"hne.huge"}, None, RECORD)
    trouble = "the ledger is full: 32 ConfigMaps of 256 KiB"
    views = [copy.view(seen(hne(name, metadata={"uid": name}))) for name in ("huge", "small")]
    assert [view.trouble for view in views] == [trouble, ""]
    assert copy.summary().trouble == trouble
    stored.write(copy, {"hne.huge": RECORD})
    assert (copy.omitted, copy.summary().trouble) == (set(), "")


def test_what_somebody_has_changed_or_removed_is_put_back() -> None:
    """The copy of this process counts, because only the operator has loaded or written it."""
    stored, copy = first_ledger(a=RECORD, b=RECORD)
    data = stored.bodies["hostnetwork-ledger-1"]["data"]
    data["hne.a"], data["hne.forged"] = "{}", ledger.encode(RECORD)
    del data["hne.b"]
    (change,) = copy.repairs(stored.bodies.values())
    text = ledger.encode(RECORD)
    assert change.texts == {"hne.a": text, "hne.b": text, "hne.forged": None}
    (change,) = copy.repairs([])
    assert (change.shard.uid, change.texts["hne.a"]) == ("", text)


def test_a_view_has_the_namespace_by_uid_and_its_exceptions() -> None:
    """The view does not have the record of an earlier namespace of that name."""
    state = seen(hne("a"), hne("b"), namespace=denied(hne("a")))
    record = written(state.namespace)
    stored, copy = first_ledger(**{"uid-of-a": RECORD, "uid-of-c": RECORD})
    stored.write(copy, {ledger.NAMESPACE + UID: record, ledger.NAMESPACE + "another": ledger.NamespaceRecord()})
    view = copy.view(state)
    assert (view.state, view.trouble, view.namespace) == (ledger.State.INTACT, "", record)
    assert view.exceptions == {"uid-of-a": RECORD}


def test_the_summary_counts_what_status_and_metrics_show() -> None:
    """A ledger with grants that nothing proves is not intact, and neither is a ledger that cannot be written."""
    unproven = RECORD.model_copy(update={"approved": False, "kept": True})
    stored, copy = first_ledger(a=RECORD, b=unproven, c=RECORD.model_copy(update={"approved": False}))
    for uid, record in {
        "a": ledger.NamespaceRecord(enforced=True, before=""),
        "b": ledger.NamespaceRecord(enforced=True, before="restricted"),
        "c": ledger.NamespaceRecord(enforced=True),  # since a loss, nobody knows the previous level
        "d": ledger.NamespaceRecord(chosen={"a": "b"}, under="g"),
    }.items():
        stored.write(copy, {ledger.NAMESPACE + uid: record})
    summary = copy.summary()
    assert summary.counts == policy.LedgerCounts(id=copy.id, exceptions=1, namespaces=4, unproven=1, levels_unknown=1)
    assert not summary.intact
    stored.write(copy, {"hne.b": None})
    assert copy.summary().intact
    copy.trouble = "forbidden"
    assert not copy.summary().intact


def test_what_a_newer_release_wrote_is_not_read() -> None:
    """That is no loss: nothing is recorded again, and the message says what to do."""
    stored, _ = first_ledger(**{UID: RECORD})
    data = stored.bodies[ledger.SHARDS[0]]["data"]
    index = ledger.decode(ledger.INDEX, data[ledger.INDEX])
    assert isinstance(index, ledger.Index)
    data[ledger.INDEX] = ledger.encode(index.model_copy(update={"format": ledger.FORMAT + 1}))
    copy = stored.read()
    assert copy.state is ledger.State.UNREADABLE
    assert "newer release" in copy.trouble
    data[ledger.INDEX] = ledger.encode(index)
    assert stored.read().state is ledger.State.INTACT


def test_an_index_that_is_none_is_a_loss() -> None:
    """Whatever text is stored there."""
    stored, _ = first_ledger(**{UID: RECORD})
    for text in ('{"id":"a","format":1,"state":"Odd"}', "", "[]", '{"id":"a"}', "{" * 5000):
        stored.bodies[ledger.SHARDS[0]]["data"][ledger.INDEX] = text
        assert stored.read(KNOWN).state is ledger.State.LOST
