"""How the store writes an answer: compact JSON, in zlib's format where it is long, and the completion's text once.

    packed({"text": "def ..."}) -> b'{"text":"def ..."}'           unpacked(b'{"text":"def ..."}') -> {"text": "def ..."}
    packed({"text": "def ... "}) -> b"x\x01..."                    where that takes LONG bytes or more

It knows nothing of tables. Nothing is pickled: whatever stands in a damaged or foreign file is read as data only.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from understudy.records import Json
from understudy.teachers.quick_json import dumps, loads

_TEXT_APART = " text apart"
LONG = 4096
"""Bytes from which on a row is compressed: for a usual answer that takes a fifth of the time of asking."""


def packed(row: Json) -> bytes:
    """JSON, compressed if it is long."""
    return _shortened(dumps(row))


def packed_around(request: bytes, **rest: Any) -> bytes:
    """As `packed` with a "request" whose JSON is written already, which takes long."""
    return _shortened(b'{"request":%b,%b' % (request, dumps(rest)[1:]))


def _shortened(data: bytes) -> bytes:
    return zlib.compress(data, 1) if len(data) >= LONG else data


def squeezed(packed: bytes) -> bytes:
    """What was packed, compressed even where it is short, unless that makes it no shorter."""
    return min(zlib.compress(packed, 6), packed, key=len) if packed[:1] == b"{" else packed


def unpacked(packed: bytes) -> Json:
    """What was packed.

    Raises:
        TypeError, ValueError, zlib.error: it is damaged.
    """
    data = packed if packed[:1] == b"{" else zlib.decompress(packed)
    row: Json = loads(data)
    return row


def without_text(reply: Mapping[str, Any], text: str) -> Mapping[str, Any]:
    """A reply without the completion's text, which is kept already, where it holds it word for word."""
    try:
        [choice] = reply["choices"]
        if choice["message"]["content"] == text:
            return {
                **reply,
                "choices": [{**choice, "message": {**choice["message"], "content": None}}],
                _TEXT_APART: True,
            }
    except (KeyError, TypeError, ValueError):
        pass
    return reply


def with_text(reply: Json, text: str) -> Json:
    """The reply as it came, of one that `without_text` made."""
    if reply.pop(_TEXT_APART, False):
        reply["choices"][0]["message"]["content"] = text
    return reply
