"""JSON at the speed of pydantic's own reader and writer, for what is done once a request.

    dumps({"text": "def ..."}) -> b'{"text":"def ..."}'            loads(b'{"text":"def ..."}') -> {"text": "def ..."}

They take a third of the time of the standard library's. What they cannot do (half a surrogate pair, a byte order mark,
UTF-16, a thousand levels) the standard library does, so both take what it takes, and fail as it fails.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json, to_json


def dumps(value: Any) -> bytes:
    """JSON in UTF-8; half a surrogate pair is written as an escape.

    Raises:
        TypeError, ValueError, RecursionError: it is no JSON.
    """
    try:
        return to_json(value)
    except ValueError:
        return json.dumps(value).encode()


def loads(data: bytes) -> Any:
    """The value that is written in JSON.

    Raises:
        ValueError, RecursionError: it is no JSON.
    """
    try:
        return from_json(data)
    except ValueError:
        return json.loads(data)
