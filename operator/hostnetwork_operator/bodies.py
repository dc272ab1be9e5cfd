"""Answers of the API server, from bytes to Python values: bounded in size and depth, and without managedFields.

Anyone who may write an object may write its managedFields, and the API server stores thousands of nested objects there.
No decision of the operator depends on managedFields, so their bytes are cut out before anything is decoded. Every
failure to decode raises the same exception, `DecodeError`, and the caller decides what follows (docs/adr/0029). This
module must not know what is decoded, nor which module needs it.
"""

import itertools
import json
import re
from dataclasses import dataclass
from typing import Any, Final

# The deepest object that the operator reads has about 15 levels. Python's own limit is about 990 levels in 3.11. That
# limit differs in later versions, and depends on the caller's stack.
DEPTH: Final = 100
# etcd stores 1.5 MiB per object, and JSON needs up to six bytes for a character. So the largest object fits in here.
BYTES: Final = 16 * 2**20
# How many square brackets outside strings one managedFields may have. The API server stores one pair.
_BRACKETS: Final = 10_000

# A quote inside a string has a backslash before it, and an opening quote has none. So a match is a key, and never a
# part of a text, if no backslash is before it.
_KEY: Final = re.compile(rb'"managedFields"\s*+:\s*+\[')
_ESCAPE: Final = ord("\\")
_OPENING: Final = ord("[")
# Everything up to the next square bracket outside strings, and that bracket. The possessive quantifiers (`++`, `*+`)
# never backtrack, so a match takes linear time.
_TO_BRACKET: Final = re.compile(rb'[^"\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"\[\]]*+)*+[\[\]]', re.DOTALL)
_NOT_SHAPE: Final = bytes(set(range(256)) - set(b'"{}[]'))
_STEPS: Final = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: a decoded body, and the texts of the Warning headers. `refused` says why there is no
    body, which only a dry run may lack.
    """

    body: Any
    warnings: tuple[str, ...] = ()
    refused: str = ""


class DecodeError(Exception):
    """The bytes are not a JSON object within the bounds. `why` is short, and does not quote the bytes."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class NoJsonError(DecodeError):
    """The bytes are nothing that an API server sends, whichever objects it stores."""


def decode(data: bytes) -> dict[str, Any]:
    """Return the JSON object with `[]` for every array `managedFields` in it. Raise DecodeError if that fails."""
    return _load(cut(data))


def checked(data: bytes) -> tuple[bytes, dict[str, Any]]:
    """Return the object that `decode` returns, and its JSON text for a decoder of a library. Raise DecodeError."""
    short = cut(data)
    return short, _load(short)


def cut(data: bytes) -> bytes:
    """Return the JSON text with `[]` for every array under a key `managedFields`, at any depth. Raise DecodeError."""
    if len(data) > BYTES:
        raise DecodeError(f"longer than {BYTES} bytes")
    pieces: list[bytes] = []
    begin = start = 0
    while match := _KEY.search(data, start):
        start = match.end()
        if data[match.start() - 1] != _ESCAPE:
            pieces.append(data[begin:start])
            begin = start = _end_of_array(data, start)
    return b"".join([*pieces, data[begin:]]) if pieces else data


def _end_of_array(data: bytes, start: int) -> int:
    """Return the position of the bracket that closes the array whose content begins at `start`."""
    # The usual case, in half of the time: no square bracket in a string, and no backslash that is part of a text.
    end = data.find(b"]", start)
    quotes = data.count(b'"', start, end) - data.count(rb"\"", start, end)
    if quotes % 2 == 0 and data.find(b"[", start, end) < 0 and data.find(rb"\\", start, end) < 0 <= end:
        return end
    opened = 1
    for _ in range(_BRACKETS):
        match = _TO_BRACKET.match(data, start)
        if match is None:
            raise DecodeError("managedFields without an end")
        start = match.end()
        opened += 1 if data[start - 1] == _OPENING else -1
        if opened == 0:
            return start - 1
    raise DecodeError(f"more than {_BRACKETS} brackets in managedFields")


def _load(data: bytes) -> dict[str, Any]:
    if _exceeds(data, DEPTH):
        raise DecodeError(f"deeper than {DEPTH} levels")
    try:
        value = json.loads(data.decode())
    except UnicodeDecodeError as error:
        raise DecodeError(f"invalid UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise NoJsonError(f"no JSON at character {error.pos}") from None
    except (ValueError, RecursionError) as error:  # ValueError: a number of thousands of digits
        raise DecodeError(f"{type(error).__name__} in the JSON") from None
    if not isinstance(value, dict):
        raise NoJsonError("no JSON object")
    return value


def _exceeds(data: bytes, limit: int) -> bool:
    """Return whether arrays and objects are nested deeper than `limit`, also if the text ends in the middle."""
    shape = remaining = _shape(data)
    levels = 0
    # One pass removes one or two of the innermost levels. A few passes are enough for a page of ordinary objects.
    while outer := remaining.replace(b"{}", b"").replace(b"[]", b""):
        if levels >= limit or 4 * len(outer) > 3 * len(remaining):
            return levels + _depth(remaining) > limit and _depth(shape) > limit
        remaining, levels = outer, levels + 2
    return levels + 2 > limit and _depth(shape) > limit


def _shape(data: bytes) -> bytes:
    """Return the brackets of a JSON text in their order, without the brackets in strings."""
    if b"\\" in data:
        data = data.replace(rb"\\", b"").replace(rb"\"", b"")
    quoted = data.translate(None, _NOT_SHAPE)
    # Adjacent quotes are removed in pairs, so each remaining quote still opens or closes a string as it did before.
    return b"".join(quoted.replace(b'""', b"").split(b'"')[::2])


def _depth(shape: bytes) -> int:
    return max(itertools.accumulate(map(_STEPS.__getitem__, shape), initial=0))
