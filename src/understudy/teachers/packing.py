"""How the store writes an answer: compact JSON in zlib's format, and the completion's text once.

    packed({"text": "def ..."}) -> b'x\x01...{"text":"def ..."}...'       unpacked(b"x\x01...") -> {"text": "def ..."}

It knows nothing of tables. Nothing is pickled: whatever stands in a damaged or foreign file is read as data only.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from understudy.records import Json

_TEXT_APART = " text apart"
LONG = 4096
"""Bytes from which on a row is compressed, not only wrapped: for a usual answer that takes a fifth of the time of asking."""
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def packed(row: Json) -> bytes:
    """JSON, compressed if it is long."""
    return _shortened(_compact(row))


def packed_around(request: str, **rest: Any) -> bytes:
    """As `packed` with a "request" whose JSON is written already, which takes long."""
    return _shortened(f'{{"request":{request},{_compact(rest)[1:]}')


def _shortened(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return zlib.compress(data, 1 if len(data) >= LONG else 0)


def unpacked(packed: bytes) -> Json:
    """What was packed.

    Raises:
        TypeError, ValueError, zlib.error: it is damaged.
    """
    row: Json = json.loads(zlib.decompress(packed).decode("utf-8", "surrogatepass"))
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
