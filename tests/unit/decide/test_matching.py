"""A text is compared with a pattern of the catalogue, and a repository with all entries at a time."""

import pytest

from hostnetwork_operator.decide import catalogue, matching


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("cilium", "cilium", True),
        ("cilium-1", "cilium", False),
        ("apply-a-on-b-with-c", "apply-*-on-*-with-*", True),
        ("apply-a-on-b-with-c-on-d", "apply-*-on-*-with-*", True),
        ("apply-a-with-b-on-c", "apply-*-on-*-with-*", False),
        ("apply--on--with-", "apply-*-on-*-with-*", True),
        ("1.dkr.ecr.eu.amazonaws.com/eks/agent", "*.dkr.ecr.*.amazonaws.com/eks/agent", True),
        ("1.dkr.ecr.eu/x.amazonaws.com/eks/agent", "*.dkr.ecr.*.amazonaws.com/eks/agent", False),
        ("x/1.dkr.ecr.eu.amazonaws.com/eks/agent", "*.dkr.ecr.*.amazonaws.com/eks/agent", False),
        ("quayXio/cilium", "quay.io/cilium", False),
    ],
)
def test_a_star_is_any_text_without_a_slash(text: str, pattern: str, expected: bool) -> None:
    assert matching.fits(text, (pattern,)) is expected


def test_all_repositories_of_an_entry_fit_and_one_other_fits_none() -> None:
    """A repository that ends with the path of one of an entry may be a mirror."""
    position, agent = next((p, a) for p, a in enumerate(catalogue.AGENTS) if a.name == "Flannel")
    published = set(agent.images)
    mirrors = {f"mirror.example.com/cache/{image.partition('/')[2]}" for image in published}
    assert matching.by_images(frozenset(published))[position] == matching.PUBLISHED
    assert matching.by_images(frozenset(mirrors))[position] == matching.MIRRORED
    assert matching.by_images(frozenset({*published, *mirrors}))[position] == matching.MIRRORED
    assert matching.by_images(frozenset({*published, "docker.io/library/busybox"})) == {}
    assert matching.by_images(frozenset()) == {}


def test_a_star_in_a_registry_identifies_no_repository() -> None:
    """Such a repository may be a mirror, also as it is published, and so is a set of images with one of these."""
    position, agent = next((p, a) for p, a in enumerate(catalogue.AGENTS) if a.name == "AWS EBS CSI node")
    starred = {image.replace("*", "1") for image in agent.images if "*" in image}
    named = {image for image in agent.images if "*" not in image}
    assert matching.by_images(frozenset(starred))[position] == matching.MIRRORED
    assert matching.by_images(frozenset({*starred, *named}))[position] == matching.MIRRORED
    assert matching.by_images(frozenset(named))[position] == matching.PUBLISHED
