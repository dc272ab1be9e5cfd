"""The rule ContactMissing."""

from hostnetwork_operator.decide import rules
from tests.unit.builders import hne
from tests.unit.decide.rules import judged

EXAMPLE = judged.example(hne())


def test_an_exception_without_contact_is_warned_of() -> None:
    """An exception with a contact passes."""
    assert judged.result_of(rules.CONTACT_MISSING, hne()) == "warn"
    assert judged.result_of(rules.CONTACT_MISSING, hne(contact="net@example.com")) == "pass"
