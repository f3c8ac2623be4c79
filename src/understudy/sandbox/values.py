"""Which values may come out of a program: exact data, small enough for anything that is done with it later.

    reason(Fraction(1, 3))   -> None                           it may
    reason([[1]] * 10**6)    -> ("output", "...")              too much of it
    reason({1, 2})           -> ("error", "NoAnswer: ...")     not a number, text, list, tuple or dict

A small value can still be a bomb: `for i in range(60): x = [x, x]` is 60 objects, and 2**60 elements to whoever
compares, prints or stores it; `10**5000` cannot be printed at all; `int(Decimal("1e999999999"))` fills the memory.
So an element is counted as often as it is reached, and the count is bounded.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Literal

NODES = 256
"""Most elements of a value, those of its elements included."""
DEPTH = 4
"""Deepest nesting of lists, tuples and dicts."""
CHARACTERS = 4096
"""Most characters of a value's texts and digits of its numbers, together. Python prints integers up to 4,300 digits."""

Refusal = tuple[Literal["output", "error"], str]


def reason(value: object) -> Refusal | None:
    """Why `value` is not let out of the sandbox: the status and the error of the outcome; None if it is."""
    waiting: list[tuple[object, int]] = [(value, 0)]
    nodes = characters = 0
    while waiting:
        item, depth = waiting.pop()
        nodes += 1
        kind = type(item)  # exact types only: a subclass could do anything when it is compared or printed
        if kind in (list, tuple, dict):
            assert isinstance(item, list | tuple | dict)
            if depth >= DEPTH:
                return "output", f"the answer is nested deeper than {DEPTH}"
            if nodes + len(waiting) + len(item) > NODES:
                return "output", f"the answer has more than {NODES} elements"
            waiting.extend((part, depth + 1) for part in item)
            if isinstance(item, dict):
                waiting.extend((part, depth + 1) for part in item.values())
            continue
        size = _size(item)
        if size is None:
            return "error", f"NoAnswer: the answer is of type {kind.__name__}, not a number, text, list, tuple or dict"
        characters += size
        if characters > CHARACTERS:
            return "output", f"the answer has more than {CHARACTERS} characters or digits"
    return None


def _size(item: object) -> int | None:
    """Characters or decimal digits of a plain value; None if it is none of ours."""
    kind = type(item)
    if item is None or kind in (bool, float):
        return 1
    if isinstance(item, str) and kind is str:
        return len(item)
    if isinstance(item, int) and kind is int:
        return _digits(item)
    if isinstance(item, Fraction) and kind is Fraction:
        return _digits(item.numerator) + _digits(item.denominator)
    if isinstance(item, Decimal) and kind is Decimal:
        _, digits, exponent = item.as_tuple()
        return len(digits) + (abs(exponent) if isinstance(exponent, int) else 0)
    return None


def _digits(number: int) -> int:
    """Decimal digits of `number`, at most one too many; counted without printing it."""
    return number.bit_length() * 30103 // 100000 + 1
