"""How an exception lists images: exactly as the pod names them, or any tag or any digest of one repository.

`NAME:*` lists NAME with any tag. `NAME@*` lists NAME with any sha256 digest, with or without a tag. Names are compared
letter by letter: no registry and no tag is assumed. The admission policies evaluate the same rule with CEL
(manifests/admission, variable `images`): a change here needs the same change there.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final

_LONGEST: Final = 700  # an entry has at most 512 characters and a tag 128, so no entry lists a longer image
_ANY_TAG: Final = ":*"
_ANY_DIGEST: Final = "@*"
_TAG: Final = ":[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_TAGGED: Final = re.compile(rf"([^@]+){_TAG}", re.DOTALL)
_PINNED: Final = re.compile(r"([^@]+)@sha256:[a-f0-9]{64}", re.DOTALL)


def listed(image: str, entries: Collection[str]) -> bool:
    """Return whether one of the entries of an exception lists the image of a container."""
    # No registry has an image that ends in *. Such an image must not pass because an entry has the same text.
    return _possible(image) and (image in entries or _repository(image) in entries)


def unlisted(images: Iterable[str], entries: Collection[str]) -> set[str]:
    """Return the images that no entry lists."""
    return {image for image in images if not listed(image, entries)}


def unused(entries: Iterable[str], images: Iterable[str]) -> list[str]:
    """Return the entries that list none of the images, sorted."""
    used = {form for image in images if _possible(image) for form in (image, _repository(image))}
    return sorted(set(entries) - used)


def any_of_a_repository(entry: str) -> bool:
    """Return whether an entry lists more than one image."""
    return entry.endswith((_ANY_TAG, _ANY_DIGEST))


def unpinned(entries: Iterable[str]) -> list[str]:
    """Return the entries that can list an image without a digest, sorted."""
    return sorted(entry for entry in entries if "@sha256:" not in entry and not entry.endswith(_ANY_DIGEST))


def _possible(image: str) -> bool:
    return len(image) <= _LONGEST and not image.endswith("*")


def _repository(image: str) -> str:
    """Return the entry that lists all images of the same repository and form; '' if no such entry exists."""
    if pinned := _PINNED.fullmatch(image):
        tagged = _TAGGED.fullmatch(pinned[1])
        return (tagged[1] if tagged else pinned[1]) + _ANY_DIGEST
    tagged = _TAGGED.fullmatch(image)
    return tagged[1] + _ANY_TAG if tagged else ""
