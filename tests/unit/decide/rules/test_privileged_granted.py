"""The rule PrivilegedGranted."""

from hostnetwork_operator.decide import rules
from tests.unit.builders import hne
from tests.unit.decide.rules import judged

EXAMPLE = judged.example(hne(privileged=True))


def test_an_exception_for_privileged_containers_is_warned_of() -> None:
    """An exception without privileged passes."""
    assert judged.result_of(rules.PRIVILEGED_GRANTED, hne(privileged=True)) == "warn"
    assert judged.result_of(rules.PRIVILEGED_GRANTED, hne()) == "pass"
