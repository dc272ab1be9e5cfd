"""The operator decodes answers of the API server within limits and without managedFields, or not at all."""

import json
from typing import Any

import pytest

from hostnetwork_operator import bodies

NEST = b'{"f:a":' * 9_990 + b"{}" + b"}" * 9_990


def test_managed_fields_are_empty_and_all_else_stays() -> None:
    """In each object of a list and in the template of a workload, also with blanks and escapes around them."""
    entry = {"manager": "x", "fieldsV1": {'k:{"a":"]"}': {}, "v:[[1]]": {}, "\\": {}, 'x\\"': {}}}
    body: dict[str, Any] = {
        "items": [{"metadata": {"name": "a", "managedFields": [entry, entry]}}, {"metadata": {"managedFields": []}}],
        "spec": {"template": {"metadata": {"managedFields": [entry], "labels": {"a": "b"}}}},
    }
    empty = {
        "items": [{"metadata": {"name": "a", "managedFields": []}}, {"metadata": {"managedFields": []}}],
        "spec": {"template": {"metadata": {"managedFields": [], "labels": {"a": "b"}}}},
    }
    for blanks in (None, 2):
        assert empty == bodies.decode(json.dumps(body, indent=blanks).encode())


@pytest.mark.parametrize(
    "metadata",
    [
        {"annotations": {"managedFields": "[1]", "a": '"managedFields":[1,2'}},
        {"labels": {"managedFields": "a"}, "managedFields": None},
        {"annotations": {"a": '{"managedFields":[{"manager":"x"}]}'}},
        {"annotations": {'x"managedFields': [1], '\\"managedFields': [2]}},
        {"annotations": {"a": "\\", "managedFields ": [1]}},
    ],
)
def test_text_is_never_taken_for_managed_fields(metadata: dict[str, Any]) -> None:
    """An annotation or a label of that name stays, and so does every text that contains the key."""
    assert bodies.decode(json.dumps({"metadata": metadata}).encode()) == {"metadata": metadata}


def test_a_nest_is_cut_out() -> None:
    """An object whose managedFields are nested 9,990 deep is decoded like any other."""
    data = b'{"metadata":{"managedFields":[{"fieldsV1":' + NEST + b'}],"name":"a"}}'
    assert bodies.decode(data) == {"metadata": {"managedFields": [], "name": "a"}}
    assert bodies.checked(data)[0] == b'{"metadata":{"managedFields":[],"name":"a"}}'


def test_bytes_that_are_no_text_are_cut_out() -> None:
    """The API server returns fieldsV1 as a client wrote it, even if the bytes are not UTF-8."""
    data = b'{"metadata":{"managedFields":[{"fieldsV1":{"f:\xff":{}}}]}}'
    assert bodies.decode(data) == {"metadata": {"managedFields": []}}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no JSON at character 0"),
        (b"<html>", "no JSON at character 0"),
        (b'{"a":', "no JSON at character 5"),
        (b'{"a":"b', "no JSON at character 5"),
        (b'{"a":"\xff"}', "invalid UTF-8 at byte 6"),
        (b'{"a":' + b"1" * 5000 + b"}", "ValueError in the JSON"),
        (b"[]", "no JSON object"),
        (b'{"spec":' + NEST + b"}", "deeper than 100 levels"),
        (b'{"spec":' + NEST[: len(NEST) // 2], "deeper than 100 levels"),
        (b'{"metadata":{"managedFields":[{"a":"]', "managedFields without an end"),
        (b'{"metadata":{"managedFields":[' + b"[" * 20_000, "more than 10000 brackets in managedFields"),
    ],
)
def test_every_failure_is_a_decode_error(data: bytes, why: str) -> None:
    """The error says what is wrong in our own words, and quotes nothing of the answer."""
    for decode in (bodies.decode, bodies.checked):
        with pytest.raises(bodies.DecodeError) as raised:
            decode(data)
        assert why == raised.value.why == str(raised.value)


def test_what_is_too_long_is_not_decoded() -> None:
    """An answer of 16 MiB is decoded. An answer with one byte more is not."""
    text = b'{"a":"' + b"x" * (bodies.BYTES - 8) + b'"}'
    assert list(bodies.decode(text)) == ["a"]
    with pytest.raises(bodies.DecodeError, match="longer than 16777216 bytes"):
        bodies.decode(text + b" ")


@pytest.mark.parametrize(("opening", "closing"), [(b'{"a":', b"}"), (b"[", b"]"), (b'[{"a":', b"}]")])
def test_a_hundred_levels_are_decoded_and_no_more(opening: bytes, closing: bytes) -> None:
    """The limit applies to objects and to arrays, whatever brackets the texts beside them contain."""
    beside = b'"b":"]]]}}}[[[{{{\\"","}":"{","c":[' + b",".join([b'{"d":[]}'] * 200) + b"],"
    levels = opening.count(b"{") + opening.count(b"[")

    def nested(depth: int) -> bytes:
        times = (depth - 1) // levels
        return b"{" + beside + b'"a":' + opening * times + b"1" + closing * times + b"}"

    assert "a" in bodies.decode(nested(bodies.DEPTH - 1))
    with pytest.raises(bodies.DecodeError, match="deeper than 100 levels"):
        bodies.decode(nested(bodies.DEPTH + 2))


def test_brackets_in_texts_hide_no_depth() -> None:
    """A closing bracket in each key does not make up for an opening one."""
    data = b'{"}":' * 150 + b"1" + b"}" * 150
    with pytest.raises(bodies.DecodeError, match="deeper than 100 levels"):
        bodies.decode(data)
