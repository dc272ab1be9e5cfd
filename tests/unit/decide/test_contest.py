"""Another client undoes the operator's writes: what counts as a revert, what is still written, and when that ends.

In these tests the operator and another client change a namespace in turn, minute by minute.
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

Change = Callable[[snapshot.Namespace], snapshot.Namespace]


class Place:
    """A namespace, what the operator remembers of it, and the writes that were made."""

    def __init__(self, *subjects: exception.HostNetworkException, **fields: Any) -> None:
        self.state = seen(*subjects, **{"namespace": namespace(), **fields})
        self.writes: list[effects.WriteNamespace] = []
        self.contests = 0

    def reconcile(self, now: datetime.datetime = NOW) -> plan.NamespacePlan:
        """Do as control/reconcile does: plan, count the reverts, plan again, carry out, and remember the writes."""
        settlement = settle.settle(self.state, now)
        self.contests += len(settlement.events)
        while builders.records(settlement.plan):
            settlement = settle.settle(builders.stored(settlement.state, settlement.plan), now)
            self.contests += len(settlement.events)
        self.state, namespace_plan = settlement.state, settlement.plan
        record = namespace_plan.record
        for write in namespace_plan.writes:
            record = contest.written(record, write, now)
            self.writes.append(write)
        self.state = replace(cluster.carry_out(self.state, namespace_plan), record=record)
        return namespace_plan

    def settle(self, now: datetime.datetime = NOW) -> plan.NamespacePlan:
        namespace_plan = self.reconcile(now)
        while namespace_plan.effects:
            namespace_plan = self.reconcile(now)
        return namespace_plan

    def change(self, change: Change) -> None:
        self.state = replace(self.state, namespace=change(self.state.namespace))

    def change_repeatedly(
        self, change: Change, seconds: int, now: datetime.datetime = NOW, every: int = 1
    ) -> list[effects.WriteNamespace]:
        """Let another client change the namespace once in `every` seconds. Return what the operator wrote meanwhile."""
        before = len(self.writes)
        for second in range(1, seconds + 1, every):
            self.change(change)
            self.reconcile(now + datetime.timedelta(seconds=second))
        return self.writes[before:]

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.state.namespace.labels)


def loosen(current: snapshot.Namespace) -> snapshot.Namespace:
    """Apply privileged, as a tool with the verb setlevel may do."""
    return replace(current, labels={**current.labels, labels.PSA_ENFORCE: "privileged"})


def strip(current: snapshot.Namespace) -> snapshot.Namespace:
    """Replace the namespace, as `kubectl replace` does with a manifest that has neither labels nor annotations."""
    return replace(current, labels={}, annotations={})


def remove_guard(current: snapshot.Namespace) -> snapshot.Namespace:
    return replace(current, labels={key: value for key, value in current.labels.items() if key != labels.GUARD})


def put_back(earlier: snapshot.Namespace) -> Change:
    """Return a change like `kubectl replace` with an earlier copy of the namespace."""
    return lambda current: replace(current, labels=earlier.labels, annotations=earlier.annotations)


@pytest.mark.parametrize("change", [loosen, strip, remove_guard])
def test_a_war_of_an_hour_is_a_handful_of_writes(change: Change) -> None:
    """At most two writes in the first minute and 24 in the next hour, and one Event each time a contest begins."""
    place = Place(*([] if change is loosen else [hne(type="Infrastructure")]))
    place.settle()
    assert len(place.change_repeatedly(change, 60)) <= 2
    assert place.contests == 1
    assert len(place.change_repeatedly(change, 3600, at(minutes=1), every=12)) <= 6 * 4
    assert place.contests <= 8


@pytest.mark.parametrize("change", [strip, remove_guard])
def test_nothing_is_left_lifted_without_what_holds_the_others(change: Change) -> None:
    """During a contest and after it, the level is privileged only with the guard and a grant.

    This applies once a plan is carried out.
    """
    place = Place(hne())
    place.settle()
    for second in range(0, 900, 5):
        place.change(change)
        place.reconcile(at(seconds=second))
        if place.labels.get(labels.PSA_ENFORCE) == "privileged":
            assert place.labels[labels.GUARD] == "baseline"
            assert place.state.namespace.grants


def set_level(level: str, **more: str) -> Change:
    return lambda current: replace(current, labels={**current.labels, labels.PSA_ENFORCE: level, **more})


def remove_labels(*keys: str) -> Change:
    return lambda current: replace(
        current, labels={key: text for key, text in current.labels.items() if key not in keys}
    )


@pytest.mark.parametrize("removed_keys", [(labels.PSA_ENFORCE,), (labels.PSA_ENFORCE, labels.PSA_VERSIONS[0])])
def test_a_removal_that_is_asked_for_is_no_revert(removed_keys: tuple[str, ...]) -> None:
    """The remedy of LevelOwnedByOther is no revert, however often the level is set again.

    It does not matter whether the version is removed with the level.
    """
    place = Place(hne())
    place.settle()
    for minute in range(1, 9, 2):
        place.change(set_level("restricted", **{labels.PSA_VERSIONS[0]: "latest"}))
        assert reasons(place.settle(at(minutes=minute))) == {"net": "LevelOwnedByOther"}
        place.change(remove_labels(*removed_keys))
        assert reasons(place.settle(at(minutes=minute + 1))) == {"net": "Active"}
    assert place.contests == 0


def test_an_older_version_that_is_put_back_is_a_revert() -> None:
    """The older version loosens what the operator has tightened."""
    place = Place()
    place.settle()
    pinned = set_level("baseline", **{labels.PSA_VERSIONS[0]: "v1.0"})
    assert len(place.change_repeatedly(pinned, 60)) <= 2
    assert place.contests == 1


def test_a_grant_that_agrees_with_the_other_writer_ends_the_contest() -> None:
    """A vendor's namespace is privileged in Git, and was synced twice.

    Its exception is granted immediately, with the guard.
    """
    place = Place()
    place.settle()
    place.change(loosen)
    place.settle(at(minutes=1))
    place.change(loosen)
    assert place.settle(at(minutes=2)).contested is not None
    subject = hne(type="Infrastructure")
    state = seen(subject, namespace=place.state.namespace)
    place.state = replace(
        place.state, exceptions=(subject,), ledger=replace(state.ledger, namespace=place.state.ledger.namespace)
    )
    namespace_plan = place.settle(at(minutes=3))
    assert reasons(namespace_plan) == {"net": "Active"}
    assert (place.labels[labels.PSA_ENFORCE], place.labels[labels.GUARD]) == ("privileged", "baseline")
    assert place.state.namespace.grants
    assert len(place.change_repeatedly(loosen, 600, at(minutes=4))) == 0


def test_a_grant_in_a_contest_is_given_once_a_minute_at_most() -> None:
    """The other writer removes the grants and the guard each time."""
    place = Place()
    place.settle()
    for minute in (1, 2):
        place.change(loosen)
        place.settle(at(minutes=minute))
    subject = hne(type="Infrastructure")
    state = seen(subject, namespace=place.state.namespace)
    place.state = replace(
        place.state, exceptions=(subject,), ledger=replace(state.ledger, namespace=place.state.ledger.namespace)
    )
    bare_namespace = replace(place.state.namespace, labels={**place.labels, labels.PSA_ENFORCE: "privileged"})
    assert len(place.change_repeatedly(put_back(bare_namespace), 300, at(minutes=3))) <= 7


def test_one_revert_is_repaired() -> None:
    """The operator writes the level again, and no contest begins."""
    place = Place()
    place.settle()
    place.change(loosen)
    namespace_plan = place.settle()
    assert (place.labels[labels.PSA_ENFORCE], namespace_plan.contested) == ("baseline", None)


def test_the_second_within_ten_minutes_is_not_until_ten_minutes_after_it() -> None:
    """After that the operator writes again, and a third revert is the first of a new count."""
    place = Place()
    place.settle()
    place.change(loosen)
    place.settle()
    place.change(loosen)
    namespace_plan = place.settle(at(minutes=3))
    assert (place.labels[labels.PSA_ENFORCE], namespace_plan.contested) == ("privileged", at(minutes=13))
    assert namespace_plan.next_check == at(minutes=13)
    place.settle(at(minutes=13) - datetime.timedelta(microseconds=1))
    assert place.labels[labels.PSA_ENFORCE] == "privileged"
    namespace_plan = place.settle(at(minutes=13))
    assert (place.labels[labels.PSA_ENFORCE], namespace_plan.contested) == ("baseline", None)
    place.change(loosen)
    namespace_plan = place.settle(at(minutes=13, seconds=1))
    assert (place.labels[labels.PSA_ENFORCE], namespace_plan.contested) == ("baseline", None)


def test_two_reverts_in_more_than_ten_minutes_are_two_repairs() -> None:
    """A person who corrects the same thing twice a day does not start a contest."""
    place = Place()
    place.settle()
    for minutes in (1, 11, 21):
        place.change(loosen)
        place.settle(at(minutes=minutes))
        assert place.labels[labels.PSA_ENFORCE] == "baseline"


def test_what_the_operator_leaves_alone_is_no_revert() -> None:
    """A tenant who tightens everything, labels that another client owns, and a policy that changes cause no revert."""
    place = Place()
    place.settle()
    stricter = {labels.PSA_ENFORCE: "restricted"}
    place.change(lambda current: replace(current, labels={**current.labels, **stricter}))
    place.settle()
    for level in ("baseline", "restricted", "privileged"):
        other_levels = {labels.PSA_AUDIT: level, labels.PSA_WARN: level}
        place.change(
            lambda current, other_levels=other_levels: replace(current, labels={**current.labels, **other_levels})
        )
        place.settle()
    for enforce in ("restricted", "baseline", "privileged"):
        place.state = replace(place.state, policy=governed(pod_security={"enforce": enforce}))
        place.settle()
    assert place.state.record.reverts == ()


def test_a_failed_write_is_no_revert() -> None:
    """The write may or may not have been carried out. In both cases nobody has undone anything."""
    place = Place()
    place.settle()
    place.change(loosen)
    (write,) = builders.writes(plan.plan_namespace(place.state, NOW))
    place.state = replace(place.state, record=contest.unsure(place.state.record, write))
    assert settle.settle(place.state, NOW).reverted == ()


def test_a_grant_that_stands_stays_and_a_new_one_waits() -> None:
    """A contest about the audit label does not revoke a grant that other people rely on.

    The new exception says why it waits.
    """
    place = Place(hne("old", type="Infrastructure"))
    place.settle()

    def remove_audit(current: snapshot.Namespace) -> snapshot.Namespace:
        return replace(current, labels={key: value for key, value in current.labels.items() if key != labels.PSA_AUDIT})

    assert len(place.change_repeatedly(remove_audit, 60)) == 1
    place.state = replace(place.state, exceptions=(*place.state.exceptions, hne("new")))
    namespace_plan = place.settle(at(minutes=1))
    assert reasons(namespace_plan) == {"old": "Active", "new": "Contested"}
    assert set(place.state.namespace.grants) == {"old"}
    assert (
        "namespace payments is contested" in {s.exception.metadata.name: s.why for s in namespace_plan.standings}["new"]
    )
    assert (place.labels[labels.PSA_ENFORCE], place.labels[labels.GUARD]) == ("privileged", "baseline")
    later_plan = place.settle(at(minutes=15))
    assert reasons(later_plan) == {"old": "Active", "new": "Active"}


def test_revocations_and_restores_are_still_written() -> None:
    """If an exception ends meanwhile, its grant is revoked in the same second, and the level is restored with it."""
    place = Place(hne(expiry=at(minutes=2)))
    place.settle()
    place.change_repeatedly(
        lambda current: replace(current, labels={k: v for k, v in current.labels.items() if k != labels.PSA_WARN}), 60
    )
    assert place.labels[labels.PSA_ENFORCE] == "privileged"
    namespace_plan = place.reconcile(at(minutes=2))
    assert [write.action for write in builders.writes(namespace_plan)] == [effects.Action.RESTORE]
    assert (place.labels[labels.PSA_ENFORCE], place.state.namespace.grants) == ("baseline", {})


def test_an_end_that_is_moved_meanwhile_counts_only_once_it_is_written() -> None:
    """Until then the old end counts, so that the operator and the admission policy judge a pod alike."""
    place = Place(hne(expiry=at(minutes=2)))
    place.settle()
    place.change_repeatedly(
        lambda current: replace(current, labels={k: v for k, v in current.labels.items() if k != labels.PSA_WARN}), 60
    )
    place.state = replace(place.state, exceptions=(hne(expiry=at(minutes=30)),))
    assert reasons(place.reconcile(at(minutes=1))) == {"net": "Active"}
    assert reasons(place.reconcile(at(minutes=2))) == {"net": "Contested"}
    assert place.state.namespace.grants == {}
    assert reasons(place.settle(at(minutes=12))) == {"net": "Active"}


def test_a_grant_that_is_put_back_is_taken_once_a_minute() -> None:
    """A user with setlevel replaces the namespace again and again, with a copy from before the revocation."""
    place = Place(hne())
    place.settle()
    put_back_copy = put_back(place.state.namespace)
    place.state = replace(place.state, exceptions=())
    place.settle()
    assert place.labels[labels.PSA_ENFORCE] == "baseline"
    assert len(place.change_repeatedly(put_back_copy, 300)) <= 6
    assert {write.action for write in place.writes[-3:]} == {effects.Action.RESTORE}


def test_enforcement_is_remembered_where_label_and_note_were_removed_together() -> None:
    """The namespace does not fall back to Held because of objects that were created since."""
    place = Place(policy=governed(rollout="Immediate"))
    place.settle()
    place.state = replace(place.state, policy=governed(rollout="Gated"))
    place.change(strip)
    namespace_plan = place.reconcile()
    assert (builders.gate_level(namespace_plan), namespace_plan.enforcement) == (None, labels.Enforcement.DENY)
    assert place.labels[labels.ENFORCEMENT] == "Deny"


def test_a_level_of_others_that_is_looser_than_the_target_is_not_loosened() -> None:
    """The operator only tightens a level that another client set.

    After it has written the target, the exception may lift that level, which is now the operator's.
    """
    enforced_namespace = denied()
    ledger_view = builders.recorded(enforced_namespace, hne(), theirs=(labels.PSA_ENFORCE,))
    place = Place(
        hne(), namespace=enforced_namespace, policy=governed(pod_security={"enforce": "restricted"}), ledger=ledger_view
    )
    namespace_plan = place.reconcile()
    assert reasons(namespace_plan) == {"net": "LevelOwnedByOther"}
    assert place.labels[labels.PSA_ENFORCE] == "restricted"
    assert reasons(place.reconcile()) == {"net": "Active"}
    assert place.labels[labels.PSA_ENFORCE] == "privileged"


def test_what_is_said_names_the_labels_and_how_to_find_who_writes_them() -> None:
    """The text does not name the other client, because managedFields say whatever a tenant likes."""
    text = contest.described(denied(), [labels.PSA_ENFORCE])
    assert text.startswith("contested: another client undid writes of the operator here")
    assert labels.PSA_ENFORCE in text
    assert "kubectl get namespace payments -o yaml --show-managed-fields" in text


def test_a_level_that_is_tightened_again_and_again_is_no_contest() -> None:
    """Everybody may tighten. The operator does not lift the level again, and counts nothing."""
    place = Place(hne(type="Infrastructure"))
    place.settle()
    assert place.labels[labels.PSA_ENFORCE] == "privileged"
    for number, level in enumerate(("baseline", "restricted", "baseline", "restricted")):
        tightened = {labels.PSA_ENFORCE: level}
        place.change(lambda current, tightened=tightened: replace(current, labels={**current.labels, **tightened}))
        namespace_plan = place.settle(at(seconds=number))
        assert (reasons(namespace_plan), place.labels[labels.PSA_ENFORCE]) == ({"net": "LevelOwnedByOther"}, level)
    assert (place.state.record.reverts, place.contests) == ((), 0)


def test_tightening_short_of_the_target_is_no_contest() -> None:
    """The target of a relaxed namespace is restricted, and somebody sets baseline again and again.

    Baseline is stricter than privileged, though not enough.
    """
    place = Place(hne(type="Infrastructure"), policy=governed(pod_security={"enforce": "restricted"}))
    place.settle()
    assert place.labels[labels.PSA_ENFORCE] == "privileged"
    for number in range(4):
        place.change(lambda current: replace(current, labels={**current.labels, labels.PSA_ENFORCE: "baseline"}))
        namespace_plan = place.settle(at(seconds=number))
        assert (reasons(namespace_plan), place.labels[labels.PSA_ENFORCE]) == ({"net": "Active"}, "privileged")
    assert (place.state.record.reverts, place.contests) == ((), 0)


def test_removing_a_level_that_somebody_set_is_no_revert() -> None:
    """The exception asks for that removal. The operator lifts the level again, and counts nothing."""
    place = Place(hne(type="Infrastructure"))
    place.settle()
    for seconds in (1, 3):
        place.change(lambda current: replace(current, labels={**current.labels, labels.PSA_ENFORCE: "baseline"}))
        place.settle(at(seconds=seconds))
        place.change(
            lambda current: replace(
                current, labels={k: v for k, v in current.labels.items() if k != labels.PSA_ENFORCE}
            )
        )
        namespace_plan = place.settle(at(seconds=seconds + 1))
        assert (reasons(namespace_plan), place.labels[labels.PSA_ENFORCE]) == ({"net": "Active"}, "privileged")
    assert place.state.record.reverts == ()


def test_what_label_at_birth_wrote_counts_as_written() -> None:
    """Labels that the operator wrote before a restart count too: two reverts of either start a contest."""
    place = Place(namespace=denied())
    place.reconcile()
    assert place.writes == []
    assert len(place.change_repeatedly(loosen, 60)) == 1
    assert place.contests == 1
    born = {labels.BORN_WITH: "enforce,enforce-version,audit,audit-version,warn,warn-version"}
    place = Place(namespace=namespace(labels=DENIED, annotations=born), ledger=snapshot.LedgerView())
    place.reconcile()
    assert [sorted(write.labels) for write in place.writes] == [[]]
    assert len(place.change_repeatedly(loosen, 60)) == 1
    assert place.contests == 1
