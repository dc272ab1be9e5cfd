"""The rule ImageNotPinned: images that can be replaced by others."""

from typing import Any

import pytest

from hostnetwork_operator.decide import rules
from tests.unit.builders import IMAGE, PINNED, hne
from tests.unit.decide.rules import judged

EXAMPLE = judged.example(hne())


@pytest.mark.parametrize(
    "spec",
    [
        {"images": (PINNED, IMAGE)},
        {**judged.AGENT, "images": (PINNED, "r.example.com/agent:*")},
        {**judged.AGENT, "images": ("r.example.com/agent@*",)},
    ],
)
def test_an_image_that_can_become_another_is_warned_of(spec: dict[str, Any]) -> None:
    """A tag, or any image of a repository, can become another image. Images that are pinned by digest pass."""
    assert judged.result_of(rules.IMAGE_NOT_PINNED, hne(**spec)) == "warn"
    assert judged.result_of(rules.IMAGE_NOT_PINNED, hne(images=(PINNED,))) == "pass"


def test_without_images_there_is_nothing_to_pin() -> None:
    """The rule ImagesUnrestricted warns then."""
    assert None is judged.result_of(rules.IMAGE_NOT_PINNED, hne(**judged.AGENT))
