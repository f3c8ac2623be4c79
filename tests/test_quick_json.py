"""Quick JSON reads and writes whatever the standard library does."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.teachers.quick_json import dumps, loads

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # half a surrogate pair, too
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_read_by_both(value: Any) -> None:
    assert loads(dumps(value)) == json.loads(dumps(value)) == value
    assert loads(json.dumps(value).encode()) == value
    assert dumps(value).decode("utf-8"), "an endpoint must be able to read it"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"nan", b"NaN", b"-Infinity", b"1e999", b"1" * 5000, b'{"a": 1}x', b'{"a": 1, "a": 2}', b'"\\ud800"', b"\xff",
        b"\xef\xbb\xbf{}", '{"a": "é"}'.encode("utf-16"), b"[" * 500 + b"]" * 500, b"[" * 100_000, b'"a\tb"', b" 1 ", b"01",
        b"1.", b".5", b"'a'", b"[1,]", b"\xed\xa0\x80", b'"\xed\xa0\x80"', b'"a\x00b"', b"1e-999", b"-0",
    ],
)  # fmt: skip
def test_what_an_endpoint_may_say_is_read_as_by_the_standard_library(data: bytes) -> None:
    def outcome(read: Any) -> Any:
        try:
            value = read(data)
        except (ValueError, RecursionError) as error:
            return type(error).__name__
        return "nan" if isinstance(value, float) and math.isnan(value) else (type(value), value)

    assert outcome(loads) == outcome(json.loads)


@pytest.mark.parametrize("value", [object(), {"a": {object()}}])
def test_what_is_no_json_is_not_written(value: Any) -> None:
    with pytest.raises(TypeError):
        dumps(value)


def test_deep_values_are_written() -> None:
    value: Any = []
    for _ in range(400):
        value = [value]
    assert loads(dumps(value)) == value
