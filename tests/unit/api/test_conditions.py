"""Conditions follow the Kubernetes API conventions."""

from hostnetwork_operator.api import conditions
from tests.unit.builders import NOW, at


def condition(**fields: object) -> conditions.Condition:
    defaults = {
        "type": "Ready",
        "status": "True",
        "last_transition_time": NOW,
        "reason": "Active",
        "message": "so it is",
    }
    return conditions.Condition.model_validate({**defaults, **fields})


def test_a_condition_is_added_in_order() -> None:
    """There is one condition of each type, and they are sorted by type."""
    updated = conditions.set_condition((condition(type="Ready"),), condition(type="InUse"))
    assert [entry.type for entry in updated] == ["InUse", "Ready"]


def test_the_transition_time_stays_while_the_status_stays() -> None:
    """Reason and message change without a new transition."""
    before = (condition(last_transition_time=at(hours=-1), status="False", reason="Expired"),)
    (updated,) = conditions.set_condition(before, condition(status="False", reason="Invalid", message="other"))
    assert (at(hours=-1), "Invalid", "other") == (updated.last_transition_time, updated.reason, updated.message)


def test_the_transition_time_moves_with_the_status() -> None:
    """True to False is a transition."""
    before = (condition(last_transition_time=at(hours=-1)),)
    (updated,) = conditions.set_condition(before, condition(status="False"))
    assert updated.last_transition_time == NOW


def test_other_conditions_are_left_alone() -> None:
    """Also conditions of a type that this release does not know."""
    other = condition(type="Future", last_transition_time=at(hours=-1))
    assert other in conditions.set_condition((other,), condition())


def test_a_condition_is_found_by_type() -> None:
    """The result is None if the condition was never set."""
    assert condition() == conditions.find((condition(),), conditions.ConditionType.READY)
    assert None is conditions.find((condition(),), conditions.ConditionType.IN_USE)
