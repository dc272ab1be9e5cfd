"""Which entries of the catalogue fit an image or a name. An entry is given by its position in the catalogue.

In a pattern of the catalogue, `*` stands for any text without a slash. Tenants write the compared texts, so the time
of a comparison grows with the length of a text, and not with its square.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from hostnetwork_operator.decide import catalogue

PUBLISHED: Final = 2  # every image is in a repository of the agent
# Every image has the path of such a repository, at a registry that may be another's. If the registry has a `*` in the
# catalogue, many people can own a registry that fits, so no image of the entry is better than this.
MIRRORED: Final = 1


class _Positions(NamedTuple):
    """The positions of entries in the catalogue by what may identify them, where a pattern has a `*`."""

    repositories: Mapping[str, frozenset[int]]
    paths: Mapping[str, frozenset[int]]
    names: Mapping[str, frozenset[int]]
    name_patterns: Mapping[str, frozenset[int]]
    any_name_pattern: re.Pattern[str]
    without_images: frozenset[int]
    deepest: int  # the largest number of segments of a path


def by_images(repositories: frozenset[str]) -> dict[int, int]:
    """Return the entries that all repositories fit, and how well: PUBLISHED or MIRRORED."""
    published = mirrored = frozenset(range(len(catalogue.AGENTS) if repositories else 0))
    for name in repositories:
        mirrored &= _mirrored(name)
        published &= mirrored  # a repository of an entry ends with its own path
        if published:
            published &= _positions().repositories.get(name, frozenset())
        if not mirrored:
            break
    return dict.fromkeys(mirrored, MIRRORED) | dict.fromkeys(published, PUBLISHED)


def named(names: Iterable[str]) -> frozenset[int]:
    """Return the entries that have one of these names."""
    found = frozenset[int]()
    for name in names:
        found |= _positions().names.get(name, found)
        # Most names fit no pattern, and one comparison with all patterns is faster than one with each.
        if _positions().any_name_pattern.fullmatch(name):
            patterns = _positions().name_patterns
            found = found.union(*(at for pattern, at in patterns.items() if _pattern(pattern).fullmatch(name)))
    return found


def fits(text: str, patterns: Iterable[str]) -> bool:
    """Return whether a text fits one of the patterns."""
    return any(_pattern(pattern).fullmatch(text) for pattern in patterns)


def without_images() -> frozenset[int]:
    """Return the entries that have no images."""
    return _positions().without_images


def _mirrored(name: str) -> frozenset[int]:
    """Return the entries with a repository of which the name may be a mirror: the name ends with its path."""
    parts = name.rsplit("/", _positions().deepest)
    paths = ("/".join(parts[start:]) for start in range(1, len(parts)))
    return frozenset[int]().union(*(_positions().paths.get(path, ()) for path in paths))


@functools.cache
def _positions() -> _Positions:
    repositories, paths, names, name_patterns = (defaultdict[str, set[int]](set) for _ in range(4))
    for position, agent in enumerate(catalogue.AGENTS):
        for image in agent.images:
            if "*" not in image:
                repositories[image].add(position)
            paths[image.partition("/")[2]].add(position)
        for name in agent.workloads:
            (name_patterns if "*" in name else names)[name].add(position)
    return _Positions(
        _frozen(repositories),
        _frozen(paths),
        _frozen(names),
        _frozen(name_patterns),
        re.compile("|".join(_pattern(pattern).pattern for pattern in name_patterns)),
        frozenset(position for position, agent in enumerate(catalogue.AGENTS) if not agent.images),
        1 + max(path.count("/") for path in paths),
    )


def _frozen(positions: Mapping[str, set[int]]) -> dict[str, frozenset[int]]:
    return {key: frozenset(found) for key, found in positions.items()}


@functools.cache
def _pattern(pattern: str) -> re.Pattern[str]:
    head, *rest = map(re.escape, pattern.split("*"))
    # The first place at which a part fits is as good as any later one, so the comparison tries no other.
    between = "".join(f"(?>[^/]*?{part})" for part in rest[:-1])
    return re.compile(f"{head}{between}[^/]*{rest[-1]}" if rest else head)
