"""Somebody undoes what the operator writes: what counts as that, what is still written then, and when it ends.

A namespace here does what plans say and what another writer does to it, minute by minute.
"""

import datetime
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hostnetwork_operator.api import exception, labels
from hostnetwork_operator.decide import contest, effects, plan, settle, snapshot
from tests.property import cluster
from tests.unit import builders
from tests.unit.builders import DENIED, NOW, at, denied, governed, hne, namespace, reasons, seen

Harm = Callable[[snapshot.Namespace], snapshot.Namespace]


class Place:
    """A namespace, what is remembered of it, and the writes that were made."""

    def __init__(self, *subjects: exception.HostNetworkException, **fields: Any) -> None:
        self.seen = seen(*subjects, **{"namespace": namespace(), **fields})
        self.writes: list[effects.WriteNamespace] = []
        self.contests = 0

    def look(self, now: datetime.datetime = NOW) -> plan.NamespacePlan:
        """As control/reconcile does: plan, count what was reverted, plan again, carry out, remember."""
        settled = settle.settle(self.seen, now)
        self.contests += len(settled.events)
        while builders.records(settled.plan):
            settled = settle.settle(builders.stored(settled.state, settled.plan), now)
            self.contests += len(settled.events)
        self.seen, made = settled.state, settled.plan
        record = made.record
        for write in made.writes:
            record = contest.written(record, write, now)
            self.writes.append(write)
        self.seen = replace(cluster.carry_out(self.seen, made), record=record)
        return made

    def settle(self, now: datetime.datetime = NOW) -> plan.NamespacePlan:
        made = self.look(now)
        while made.effects:
            made = self.look(now)
        return made

    def harm(self, how: Harm) -> None:
        self.seen = replace(self.seen, namespace=how(self.seen.namespace))

    def war(
        self, how: Harm, seconds: int, now: datetime.datetime = NOW, every: int = 1
    ) -> list[effects.WriteNamespace]:
        """Let another writer do the harm once in `every` seconds. Return what the operator wrote meanwhile."""
        before = len(self.writes)
        for second in range(1, seconds + 1, every):
            self.harm(how)
            self.look(now + datetime.timedelta(seconds=second))
        return self.writes[before:]

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.seen.namespace.labels)


def loosened(one: snapshot.Namespace) -> snapshot.Namespace:
    """A tool that applies privileged, with setlevel."""
    return replace(one, labels={**one.labels, labels.PSA_ENFORCE: "privileged"})


def stripped(one: snapshot.Namespace) -> snapshot.Namespace:
    """`kubectl replace` with a manifest that has neither labels nor annotations."""
    return replace(one, labels={}, annotations={})


def unguarded(one: snapshot.Namespace) -> snapshot.Namespace:
    return replace(one, labels={key: value for key, value in one.labels.items() if key != labels.GUARD})


def saved(one: snapshot.Namespace) -> Harm:
    """`kubectl replace` with the namespace as it was then."""
    return lambda now: replace(now, labels=one.labels, annotations=one.annotations)


@pytest.mark.parametrize("how", [loosened, stripped, unguarded])
def test_a_war_of_an_hour_is_a_handful_of_writes(how: Harm) -> None:
    """Two in ten minutes, and one Event each time it begins."""
    place = Place(*([] if how is loosened else [hne(type="Infrastructure")]))
    place.settle()
    assert len(place.war(how, 60)) <= 2
    assert place.contests == 1
    assert len(place.war(how, 3600, at(minutes=1), every=4)) <= 6 * 4
    assert place.contests <= 8


@pytest.mark.parametrize("how", [stripped, unguarded])
def test_nothing_is_left_lifted_without_what_holds_the_others(how: Harm) -> None:
    """Neither while it goes on nor after: privileged stands only with its guard and a grant, once the plan is done."""
    place = Place(hne())
    place.settle()
    for second in range(900):
        place.harm(how)
        place.look(at(seconds=second))
        if place.labels.get(labels.PSA_ENFORCE) == "privileged":
            assert place.labels[labels.GUARD] == "baseline"
            assert place.seen.namespace.grants


def levelled(level: str, **more: str) -> Harm:
    return lambda one: replace(one, labels={**one.labels, labels.PSA_ENFORCE: level, **more})


def without(*keys: str) -> Harm:
    return lambda one: replace(one, labels={key: text for key, text in one.labels.items() if key not in keys})


@pytest.mark.parametrize("gone", [(labels.PSA_ENFORCE,), (labels.PSA_ENFORCE, labels.PSA_VERSIONS[0])])
def test_a_removal_that_is_asked_for_is_no_revert(gone: tuple[str, ...]) -> None:
    """The remedy of LevelOwnedByOther, followed as often as somebody sets the level again, with the version or not."""
    place = Place(hne())
    place.settle()
    for minute in range(1, 9, 2):
        place.harm(levelled("restricted", **{labels.PSA_VERSIONS[0]: "latest"}))
        assert reasons(place.settle(at(minutes=minute))) == {"net": "LevelOwnedByOther"}
        place.harm(without(*gone))
        assert reasons(place.settle(at(minutes=minute + 1))) == {"net": "Active"}
    assert place.contests == 0


def test_an_older_version_that_is_put_back_is_a_revert() -> None:
    """It loosens what the operator has tightened."""
    place = Place()
    place.settle()
    pinned = levelled("baseline", **{labels.PSA_VERSIONS[0]: "v1.0"})
    assert len(place.war(pinned, 60)) <= 2
    assert place.contests == 1


def test_a_grant_that_agrees_with_the_other_writer_ends_the_contest() -> None:
    """A vendor's namespace is privileged in Git, synced twice; its exception is granted with the guard, at once."""
    place = Place()
    place.settle()
    place.harm(loosened)
    place.settle(at(minutes=1))
    place.harm(loosened)
    assert place.settle(at(minutes=2)).contested is not None
    subject = hne(type="Infrastructure")
    more = seen(subject, namespace=place.seen.namespace)
    place.seen = replace(
        place.seen, exceptions=(subject,), ledger=replace(more.ledger, namespace=place.seen.ledger.namespace)
    )
    made = place.settle(at(minutes=3))
    assert reasons(made) == {"net": "Active"}
    assert (place.labels[labels.PSA_ENFORCE], place.labels[labels.GUARD]) == ("privileged", "baseline")
    assert place.seen.namespace.grants
    assert len(place.war(loosened, 600, at(minutes=4))) == 0


def test_a_grant_in_a_contest_is_given_once_a_minute_at_most() -> None:
    """The other one takes grants and guard away each time."""
    place = Place()
    place.settle()
    for minute in (1, 2):
        place.harm(loosened)
        place.settle(at(minutes=minute))
    subject = hne(type="Infrastructure")
    more = seen(subject, namespace=place.seen.namespace)
    place.seen = replace(
        place.seen, exceptions=(subject,), ledger=replace(more.ledger, namespace=place.seen.ledger.namespace)
    )
    bare = replace(place.seen.namespace, labels={**place.labels, labels.PSA_ENFORCE: "privileged"})
    assert len(place.war(saved(bare), 300, at(minutes=3))) <= 7


def test_one_revert_is_repaired() -> None:
    """As ever."""
    place = Place()
    place.settle()
    place.harm(loosened)
    made = place.settle()
    assert (place.labels[labels.PSA_ENFORCE], made.contested) == ("baseline", None)


def test_the_second_within_ten_minutes_is_not_until_ten_minutes_after_it() -> None:
    """Then it is written again, and the third revert is the first of new ones."""
    place = Place()
    place.settle()
    place.harm(loosened)
    place.settle()
    place.harm(loosened)
    made = place.settle(at(minutes=3))
    assert (place.labels[labels.PSA_ENFORCE], made.contested) == ("privileged", at(minutes=13))
    assert made.next_check == at(minutes=13)
    place.settle(at(minutes=13) - datetime.timedelta(microseconds=1))
    assert place.labels[labels.PSA_ENFORCE] == "privileged"
    made = place.settle(at(minutes=13))
    assert (place.labels[labels.PSA_ENFORCE], made.contested) == ("baseline", None)
    place.harm(loosened)
    made = place.settle(at(minutes=13, seconds=1))
    assert (place.labels[labels.PSA_ENFORCE], made.contested) == ("baseline", None)


def test_two_reverts_in_more_than_ten_minutes_are_two_repairs() -> None:
    """A person who corrects the same thing twice a day is no war."""
    place = Place()
    place.settle()
    for minutes in (1, 11, 21):
        place.harm(loosened)
        place.settle(at(minutes=minutes))
        assert place.labels[labels.PSA_ENFORCE] == "baseline"


def test_what_the_operator_leaves_alone_is_no_revert() -> None:
    """A tenant who tightens everything, a label of others, and a policy that changes its mind."""
    place = Place()
    place.settle()
    stricter = {labels.PSA_ENFORCE: "restricted"}
    place.harm(lambda one: replace(one, labels={**one.labels, **stricter}))
    place.settle()
    for level in ("baseline", "restricted", "privileged"):
        other = {labels.PSA_AUDIT: level, labels.PSA_WARN: level}
        place.harm(lambda one, other=other: replace(one, labels={**one.labels, **other}))
        place.settle()
    for enforce in ("restricted", "baseline", "privileged"):
        place.seen = replace(place.seen, policy=governed(pod_security={"enforce": enforce}))
        place.settle()
    assert place.seen.record.reverts == ()


def test_a_failed_write_is_no_revert() -> None:
    """It may have been carried out, or not: either way nobody has undone anything."""
    place = Place()
    place.settle()
    place.harm(loosened)
    (write,) = builders.writes(plan.plan_namespace(place.seen, NOW))
    place.seen = replace(place.seen, record=contest.unsure(place.seen.record, write))
    assert settle.settle(place.seen, NOW).reverted == ()


def test_a_grant_that_stands_stays_and_a_new_one_waits() -> None:
    """What other people rest on is not taken for a quarrel about the audit label; the new exception says why."""
    place = Place(hne("old", type="Infrastructure"))
    place.settle()

    def unaudited(one: snapshot.Namespace) -> snapshot.Namespace:
        return replace(one, labels={key: value for key, value in one.labels.items() if key != labels.PSA_AUDIT})

    assert len(place.war(unaudited, 60)) == 1
    place.seen = replace(place.seen, exceptions=(*place.seen.exceptions, hne("new")))
    made = place.settle(at(minutes=1))
    assert reasons(made) == {"old": "Active", "new": "Contested"}
    assert set(place.seen.namespace.grants) == {"old"}
    assert "namespace payments is contested" in {s.exception.metadata.name: s.why for s in made.standings}["new"]
    assert (place.labels[labels.PSA_ENFORCE], place.labels[labels.GUARD]) == ("privileged", "baseline")
    after = place.settle(at(minutes=15))
    assert reasons(after) == {"old": "Active", "new": "Active"}


def test_revocations_and_restores_are_still_written() -> None:
    """An exception that ends meanwhile is taken in the same second, and the level goes back with it."""
    place = Place(hne(expiry=at(minutes=2)))
    place.settle()
    place.war(lambda one: replace(one, labels={k: v for k, v in one.labels.items() if k != labels.PSA_WARN}), 60)
    assert place.labels[labels.PSA_ENFORCE] == "privileged"
    made = place.look(at(minutes=2))
    assert [write.action for write in builders.writes(made)] == [effects.Action.RESTORE]
    assert (place.labels[labels.PSA_ENFORCE], place.seen.namespace.grants) == ("baseline", {})


def test_an_end_that_is_moved_meanwhile_counts_only_once_it_is_written() -> None:
    """Until then the old end: operator and admission policy say the same of a pod."""
    place = Place(hne(expiry=at(minutes=2)))
    place.settle()
    place.war(lambda one: replace(one, labels={k: v for k, v in one.labels.items() if k != labels.PSA_WARN}), 60)
    place.seen = replace(place.seen, exceptions=(hne(expiry=at(minutes=30)),))
    assert reasons(place.look(at(minutes=1))) == {"net": "Active"}
    assert reasons(place.look(at(minutes=2))) == {"net": "Contested"}
    assert place.seen.namespace.grants == {}
    assert reasons(place.settle(at(minutes=12))) == {"net": "Active"}


def test_a_grant_that_is_put_back_is_taken_once_a_minute() -> None:
    """Somebody with setlevel replaces the namespace by a copy from before the revocation, again and again."""
    place = Place(hne())
    place.settle()
    copy = saved(place.seen.namespace)
    place.seen = replace(place.seen, exceptions=())
    place.settle()
    assert place.labels[labels.PSA_ENFORCE] == "baseline"
    assert len(place.war(copy, 300)) <= 6
    assert {write.action for write in place.writes[-3:]} == {effects.Action.RESTORE}


def test_enforcement_is_remembered_where_label_and_note_were_removed_together() -> None:
    """It does not fall back to Held because of what has come in since."""
    place = Place(policy=governed(rollout="Immediate"))
    place.settle()
    place.seen = replace(place.seen, policy=governed(rollout="Gated"))
    place.harm(stripped)
    made = place.look()
    assert (builders.gate_level(made), made.enforcement) == (None, labels.Enforcement.DENY)
    assert place.labels[labels.ENFORCEMENT] == "Deny"


def test_a_level_of_others_that_is_looser_than_the_target_is_not_loosened() -> None:
    """Force tightens only: first the target is written, then the exception may lift what is the operator's."""
    stands = denied()
    kept = builders.recorded(stands, hne(), theirs=(labels.PSA_ENFORCE,))
    place = Place(hne(), namespace=stands, policy=governed(pod_security={"enforce": "restricted"}), ledger=kept)
    made = place.look()
    assert reasons(made) == {"net": "LevelOwnedByOther"}
    assert place.labels[labels.PSA_ENFORCE] == "restricted"
    assert reasons(place.look()) == {"net": "Active"}
    assert place.labels[labels.PSA_ENFORCE] == "privileged"


def test_what_is_said_names_the_labels_and_how_to_find_who_writes_them() -> None:
    """Not who has them: managedFields say what a tenant likes."""
    text = contest.described(denied(), [labels.PSA_ENFORCE])
    assert text.startswith("contested: another client undid writes of the operator here")
    assert labels.PSA_ENFORCE in text
    assert "kubectl get namespace payments -o yaml --show-managed-fields" in text


def test_a_level_that_is_tightened_again_and_again_is_no_contest() -> None:
    """Tightening is free for everybody: what was lifted is not lifted again, and nothing is counted."""
    place = Place(hne(type="Infrastructure"))
    place.settle()
    assert place.labels[labels.PSA_ENFORCE] == "privileged"
    for number, level in enumerate(("baseline", "restricted", "baseline", "restricted")):
        tightened = {labels.PSA_ENFORCE: level}
        place.harm(lambda one, tightened=tightened: replace(one, labels={**one.labels, **tightened}))
        made = place.settle(at(seconds=number))
        assert (reasons(made), place.labels[labels.PSA_ENFORCE]) == ({"net": "LevelOwnedByOther"}, level)
    assert (place.seen.record.reverts, place.contests) == ((), 0)


def test_tightening_short_of_the_target_is_no_contest() -> None:
    """A lifted namespace whose target is restricted, set to baseline again and again: stricter, though not enough."""
    place = Place(hne(type="Infrastructure"), policy=governed(pod_security={"enforce": "restricted"}))
    place.settle()
    assert place.labels[labels.PSA_ENFORCE] == "privileged"
    for number in range(4):
        place.harm(lambda one: replace(one, labels={**one.labels, labels.PSA_ENFORCE: "baseline"}))
        made = place.settle(at(seconds=number))
        assert (reasons(made), place.labels[labels.PSA_ENFORCE]) == ({"net": "Active"}, "privileged")
    assert (place.seen.record.reverts, place.contests) == ((), 0)


def test_removing_a_level_that_somebody_set_is_no_revert() -> None:
    """The exception asks for that. The level is lifted again, and nothing is counted."""
    place = Place(hne(type="Infrastructure"))
    place.settle()
    for seconds in (1, 3):
        place.harm(lambda one: replace(one, labels={**one.labels, labels.PSA_ENFORCE: "baseline"}))
        place.settle(at(seconds=seconds))
        place.harm(lambda one: replace(one, labels={k: v for k, v in one.labels.items() if k != labels.PSA_ENFORCE}))
        made = place.settle(at(seconds=seconds + 1))
        assert (reasons(made), place.labels[labels.PSA_ENFORCE]) == ({"net": "Active"}, "privileged")
    assert place.seen.record.reverts == ()


def test_what_label_at_birth_wrote_counts_as_written() -> None:
    """And what the operator wrote before it was started again: two reverts of that are two."""
    place = Place(namespace=denied())
    place.look()
    assert place.writes == []
    assert len(place.war(loosened, 60)) == 1
    assert place.contests == 1
    born = {labels.BORN_WITH: "enforce,enforce-version,audit,audit-version,warn,warn-version"}
    place = Place(namespace=namespace(labels=DENIED, annotations=born), ledger=snapshot.LedgerView())
    place.look()
    assert [sorted(write.labels) for write in place.writes] == [[]]
    assert len(place.war(loosened, 60)) == 1
    assert place.contests == 1
