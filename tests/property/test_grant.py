"""The grant line: decoding returns what was encoded, and accepts nothing else."""

import dataclasses
import datetime
import unicodedata

import hypothesis
import pytest
from hypothesis import strategies as st

from hostnetwork_operator.api import grant, labels
from tests.unit import builders

_WORDS = st.text(st.sampled_from("aZ09._:/@-*|,\\\"'"), min_size=1, max_size=12).filter(
    lambda word: word not in {"-", "*"} and "|" not in word
)
_MOMENTS = st.datetimes(
    datetime.datetime(1970, 1, 1),  # noqa: DTZ001 - Hypothesis wants bounds without a zone
    datetime.datetime(9999, 12, 31, 23, 59, 59),  # noqa: DTZ001
    timezones=st.just(datetime.UTC),
).map(lambda moment: moment.replace(microsecond=0))
# Any characters, often with characters that separate, hide or reverse text.
_HOSTILE = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("| \t\n\r\v\f\0\x1b\x7f\x85\u00a0\u200b\u200e\u202e\u2028\u2029\u2066\ufeff\u3000-*"),
    ),
    max_size=8,
)


def _sorted(words: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(words, unique=True, max_size=4).map(lambda items: tuple(sorted(items)))


_GRANTS = st.builds(
    grant.Grant,
    namespace_uid=_WORDS,
    type=st.sampled_from(["Infrastructure", "Diagnostic", "Application"]),
    until=_MOMENTS,
    service_account=_WORDS,
    host_namespaces=st.frozensets(st.sampled_from(labels.HostNamespace)),
    privileged=st.booleans(),
    level=st.sampled_from(labels.Level),
    capabilities=_sorted(_WORDS),
    host_paths=st.lists(
        st.builds(grant.HostPathAccess, _WORDS.map(lambda word: "/" + word), read_only=st.booleans()),
        unique=True,
        max_size=4,
    ).map(lambda paths: tuple(sorted(paths, key=lambda p: ("ro:" if p.read_only else "rw:") + p.path))),
    images=st.none() | _sorted(_WORDS),
    host_ports=st.booleans(),
).filter(lambda candidate: not (candidate.host_ports and candidate.host_namespaces))
_GRANT = grant.Grant(
    namespace_uid=builders.UID,
    type="Diagnostic",
    until=builders.NOW,
    service_account="netdebug",
    host_namespaces=frozenset({builders.NETWORK}),
    privileged=False,
    level=labels.Level.BASELINE,
    capabilities=("NET_ADMIN",),
    host_paths=(grant.HostPathAccess("/proc", read_only=True),),
    images=("app:1",),
)


@hypothesis.given(_GRANTS)
def test_a_grant_is_read_as_it_was_written(original: grant.Grant) -> None:
    """decode(encode(grant)) is the grant, and the line has the fields of its format and no line break."""
    line = original.encode()
    assert original == grant.Grant.decode(line)
    assert len(line.split("|")) == (grant.FIELDS if original.host_namespaces else grant.FIELDS_OF_V2)
    assert [line] == line.splitlines()


@hypothesis.given(_HOSTILE, st.integers(0, grant.FIELDS - 1))
def test_only_what_encode_writes_is_a_grant(text: str, index: int) -> None:
    """A line with any text in place of a field is refused, or is exactly the encoding of its grant."""
    fields = _GRANT.encode().split("|")
    fields[index] = text
    line = "|".join(fields)
    try:
        decoded = grant.Grant.decode(line)
    except grant.GrantError:
        hypothesis.event("refused")
        return
    hypothesis.event("read")
    assert line == decoded.encode()


@hypothesis.given(st.text(max_size=80))
def test_no_text_breaks_the_reader(text: str) -> None:
    """The reader raises GrantError for any text that is not a grant, and no other error."""
    with pytest.raises(grant.GrantError):
        grant.Grant.decode(text)


@hypothesis.given(
    _HOSTILE, st.sampled_from(["namespace_uid", "type", "service_account", "capability", "path", "image"])
)
def test_hostile_text_makes_no_other_line(text: str, field: str) -> None:
    """A value with a separator, a space or an invisible character cannot be encoded.

    Any other value stays in its field.
    """
    match field:
        case "capability":
            original = dataclasses.replace(_GRANT, capabilities=(text,))
        case "path":
            original = dataclasses.replace(_GRANT, host_paths=(grant.HostPathAccess(text, read_only=False),))
        case "image":
            original = dataclasses.replace(_GRANT, images=(text,))
        case _:
            original = dataclasses.replace(_GRANT, **{field: text})
    try:
        line = original.encode()
    except grant.GrantError:
        return
    assert len(line.split("|")) == grant.FIELDS
    assert original == grant.Grant.decode(line)
    assert not [c for c in line if c != " " and (c.isspace() or unicodedata.category(c) == "Cc")]
