"""The images that an entry of an exception lists."""

import pytest

from hostnetwork_operator.api import image

DIGEST = "@sha256:" + "0" * 64
AGENT = "registry.example.com/agent"


@pytest.mark.parametrize(
    ("image_name", "entry"),
    [
        (f"{AGENT}:1", f"{AGENT}:1"),
        (f"{AGENT}{DIGEST}", f"{AGENT}{DIGEST}"),
        (f"{AGENT}:1", f"{AGENT}:*"),
        (f"{AGENT}:_a.B-9", f"{AGENT}:*"),
        (f"{AGENT}:{'a' * 128}", f"{AGENT}:*"),
        (f"{AGENT}{DIGEST}", f"{AGENT}@*"),
        (f"{AGENT}:1{DIGEST}", f"{AGENT}@*"),
        ("host:5000/x:1", "host:5000/x:*"),
        (f"host:5000/x{DIGEST}", "host:5000/x@*"),
        ("agent", "agent"),
        ("host:5000", "host:*"),  # a repository named host, with a tag
    ],
)
def test_an_entry_lists(image_name: str, entry: str) -> None:
    """An entry lists the image as it is written, or any tag or any digest of its repository."""
    assert image.listed(image_name, {entry})
    assert image.unlisted([image_name], {entry}) == set()
    assert image.unused([entry], [image_name]) == []


@pytest.mark.parametrize(
    ("image_name", "entry"),
    [
        (AGENT, f"{AGENT}:*"),  # no tag is assumed
        (AGENT, f"{AGENT}@*"),
        (f"{AGENT}:1", f"{AGENT}@*"),
        (f"{AGENT}{DIGEST}", f"{AGENT}:*"),
        (f"{AGENT}:1{DIGEST}", f"{AGENT}:*"),
        (f"{AGENT}:1{DIGEST}", f"{AGENT}:1"),
        (f"{AGENT}-other:1", f"{AGENT}:*"),
        (f"{AGENT}/other:1", f"{AGENT}:*"),
        (f"other/{AGENT}:1", f"{AGENT}:*"),
        ("Registry.example.com/agent:1", f"{AGENT}:*"),
        ("docker.io/library/agent:1", "agent:*"),  # no registry is assumed
        ("agent:1", "docker.io/library/agent:*"),
        ("host:5000/x", "host:*"),
        ("host:5000/x:1", "host:*"),
        (f"host:5000/x{DIGEST}", "host@*"),
        (f"{AGENT}:{'a' * 129}", f"{AGENT}:*"),
        (f"{AGENT}:.a", f"{AGENT}:*"),
        (f"{AGENT}:", f"{AGENT}:*"),
        (f"{AGENT}:1\n", f"{AGENT}:*"),
        (f"{AGENT}@sha256:{'0' * 63}", f"{AGENT}@*"),
        (f"{AGENT}@sha256:{'0' * 65}", f"{AGENT}@*"),
        (f"{AGENT}@sha256:{'A' * 64}", f"{AGENT}@*"),
        (f"{AGENT}@sha512:{'0' * 64}", f"{AGENT}@*"),
        (f"{AGENT}@sha256:{'0' * 63}", f"{AGENT}@sha256:*"),
        (f"{AGENT}:*", f"{AGENT}:*"),  # no registry has such an image
        (f"{AGENT}@*", f"{AGENT}@*"),
        ("", ""),
        (f":1{DIGEST}", "@*"),
        ("r/" + "a" * 699, "r/" + "a" * 699),
    ],
)
def test_an_entry_does_not_list(image_name: str, entry: str) -> None:
    """An entry lists nothing beyond the rule: exactly that repository, letter by letter."""
    assert not image.listed(image_name, {entry} - {""})
    assert image.unlisted([image_name], {entry} - {""}) == {image_name}


def test_a_digest_alone_is_pinned() -> None:
    """Any digest of a repository counts as a digest. A tag does not."""
    assert image.unpinned([f"{AGENT}@*", f"{AGENT}:*", f"{AGENT}:1", f"{AGENT}{DIGEST}"]) == [
        f"{AGENT}:*",
        f"{AGENT}:1",
    ]
    wide = [entry for entry in (f"{AGENT}@*", f"{AGENT}:*", f"{AGENT}:1") if image.any_of_a_repository(entry)]
    assert wide == [f"{AGENT}@*", f"{AGENT}:*"]
