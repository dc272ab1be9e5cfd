"""For random JSON, `bodies.decode` returns the result of json with every managedFields empty."""

import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hostnetwork_operator import bodies

# Characters that resemble JSON structure, and the key itself.
_TEXTS = st.one_of(
    st.text(max_size=8),
    st.text(alphabet='"\\[]{}:,\nmé', max_size=12),
    st.sampled_from(["managedFields", '"managedFields":[', 'x"managedFields', '{"managedFields":[{}]}', "\\", '\\"']),
)
_KEYS = st.one_of(_TEXTS, st.sampled_from(["managedFields", "metadata", "annotations", "f:spec"]))
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), _TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_KEYS, inner, max_size=4)),
    max_leaves=25,
)
_METADATA = st.fixed_dictionaries(
    {"name": _TEXTS, "annotations": st.dictionaries(_KEYS, _TEXTS, max_size=3)},
    optional={"managedFields": st.one_of(st.none(), st.lists(st.dictionaries(_KEYS, _VALUES, max_size=3), max_size=3))},
)
_OBJECTS = st.fixed_dictionaries({"metadata": _METADATA, "spec": _VALUES})
_BODIES = st.one_of(_OBJECTS, st.fixed_dictionaries({"items": st.lists(_OBJECTS, max_size=3)}))


def _without_managed_fields(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: [] if key == "managedFields" and isinstance(inner, list) else _without_managed_fields(inner)
            for key, inner in value.items()
        }
    return [_without_managed_fields(inner) for inner in value] if isinstance(value, list) else value


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


@given(_BODIES, st.booleans(), st.sampled_from([None, 0, 3]))
def test_decoding_changes_nothing_but_managed_fields(
    body: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    """This holds for any texts and keys, with and without whitespace, in ASCII or not."""
    data = json.dumps(body, ensure_ascii=ascii_only, indent=indent).encode(errors="surrogatepass")
    try:
        data.decode()
    except UnicodeDecodeError:
        return
    assert bodies.decode(data) == _without_managed_fields(json.loads(data))
    assert json.loads(bodies.checked(data)[0]) == _without_managed_fields(json.loads(data))


@given(_BODIES, st.integers(1, 12))
def test_depth_is_known_without_decoding(body: dict[str, Any], limit: int) -> None:
    """The check is exact: it says whether arrays and objects are nested deeper than the limit."""
    data = json.dumps(body).encode()
    assert bodies._exceeds(data, limit) == (_depth(body) > limit)


@given(st.binary(max_size=60) | st.text(alphabet='"\\[]{}:,1', max_size=60).map(str.encode))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    """Any bytes give an object or a DecodeError, in managedFields or after them."""
    for prefix in (b"", b'{"managedFields":[', b'{"managedFields":[],"a":'):
        with contextlib.suppress(bodies.DecodeError):
            assert isinstance(bodies.decode(prefix + data), dict)
