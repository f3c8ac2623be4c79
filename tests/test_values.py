"""What may come out of a program, with a twin just beyond each limit."""

from __future__ import annotations

from collections import Counter, OrderedDict
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.sandbox.values import CHARACTERS, DEPTH, NODES, reason


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def shared(doublings: int) -> list[Any]:
    value: list[Any] = [1]
    for _ in range(doublings):
        value = [value, value]
    return value


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -3,
        2.5,
        float("nan"),
        float("inf"),
        "18",
        "",
        Fraction(1, 3),
        Decimal("1.50"),
        Decimal("NaN"),
        [1, (2, 3), {"a": 4}],
        nested(DEPTH),
        shared(DEPTH - 1),
        list(range(NODES - 1)),
        "x" * CHARACTERS,
        10**4000,
        Decimal("1e4000"),
        {(1, 2): [3]},
    ],
    ids=lambda value: type(value).__name__,
)
def test_small_exact_data_may_come_out(value: object) -> None:
    assert reason(value) is None


@pytest.mark.parametrize(
    "value",
    [
        nested(DEPTH + 2),
        list(range(NODES)),
        "x" * (CHARACTERS + 1),
        ["x" * 2048, "x" * 2049],
        10**5000,
        -(10**5000),
        Fraction(1, 10**5000),
        Decimal("1e999999"),
        Decimal("1e-999999"),
        shared(DEPTH),
        shared(60),
        cyclic(),
        {i: i for i in range(NODES)},
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_bomb_is_refused_as_output(value: object) -> None:
    refusal = reason(value)
    assert refusal is not None
    assert refusal[0] == "output"


@pytest.mark.parametrize(
    "value",
    [1 + 2j, {1}, b"x", object(), len, range(3), Counter("a"), OrderedDict(), type("Int", (int,), {})(3), [1, {2}]],
    ids=lambda value: type(value).__name__,
)
def test_anything_but_exact_builtin_data_is_no_answer(value: object) -> None:
    refusal = reason(value)
    assert refusal is not None
    assert refusal[0] == "error"
    assert refusal[1].startswith("NoAnswer: ")


@settings(deadline=None)
@given(st.integers(min_value=-(10**4300), max_value=10**4300))
def test_an_integer_that_may_come_out_can_be_printed(number: int) -> None:
    if reason(number) is None:
        assert int(str(number)) == number


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
        max_leaves=400,
    )
)
def test_what_may_come_out_is_within_the_limits_counted_plainly(value: object) -> None:
    def parts(item: Any) -> list[Any]:
        return (
            [*item, *(item.values() if isinstance(item, dict) else ())] if isinstance(item, list | tuple | dict) else []
        )

    def count(item: Any) -> int:
        return 1 + sum(map(count, parts(item)))

    def depth(item: Any) -> int:
        return isinstance(item, list | tuple | dict) + max(map(depth, parts(item)), default=0)

    if reason(value) is None:
        assert count(value) <= NODES
        assert depth(value) <= DEPTH
    else:
        assert count(value) > NODES or depth(value) > DEPTH or len(str(value)) > CHARACTERS
