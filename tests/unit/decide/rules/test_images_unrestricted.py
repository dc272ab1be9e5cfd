"""The rule ImagesUnrestricted."""

from hostnetwork_operator.decide import rules
from tests.unit.builders import hne
from tests.unit.decide.rules import judged

EXAMPLE = judged.example(hne(**judged.AGENT))


def test_an_exception_without_images_is_warned_of() -> None:
    """An exception that lists images passes."""
    assert judged.result_of(rules.IMAGES_UNRESTRICTED, hne(**judged.AGENT, images=None)) == "warn"
    assert judged.result_of(rules.IMAGES_UNRESTRICTED, hne()) == "pass"
