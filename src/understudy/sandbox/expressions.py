"""Arithmetic read without running it: `evaluate` turns a text into an exact number.

    evaluate("( 84.0 / 2.0 )")    # Fraction(42)
    evaluate("1,800 × 3 − 5")     # Fraction(5395)
    evaluate("9 ** 9 ** 9")       # ExpressionError: ... the exponent 387420489 is not within 64

Not a programming language and not `eval`: the text is parsed and only numbers, brackets, + - * / // % ** and signs are
understood. Length, nesting, exponents and digits are bounded, so any text is answered at once, with a number or an
`ExpressionError`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from fractions import Fraction

MAX_LENGTH = 200
"""Longest expression, in characters."""
MAX_DEPTH = 100
"""Deepest nesting of operations: a sum of 100 terms still passes."""
MAX_EXPONENT = 64
"""Largest exponent, either sign."""
MAX_BITS = 2048
"""Longest numerator or denominator that may arise on the way, in bits (about 600 digits)."""

_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-"})
_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,3}(?:,\d{3})+)(?![\d,])", re.ASCII)
_FOREIGN = re.compile(r"[^0-9+\-*/%.() ]")


class ExpressionError(ValueError):
    """The text is no arithmetic expression, or one beyond the bounds; the message gives the text and the reason."""


def evaluate(text: str) -> Fraction:
    """The exact value of an arithmetic expression.

    Raises:
        ExpressionError: it cannot be read, divides by zero or exceeds a bound. No text raises anything else.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"{text[:40]!r}... is {len(text)} characters long, expected at most {MAX_LENGTH}")
    plain = " ".join(_THOUSANDS.sub(_without_commas, text.translate(_SIGNS)).split())
    try:
        return _value(_parse(plain), plain, 0)
    except ExpressionError as error:
        raise ExpressionError(f"{text!r} is not a readable expression: {error}") from None


def _without_commas(number: re.Match[str]) -> str:
    return number[1].replace(",", "")


def _parse(plain: str) -> ast.expr:
    foreign = _FOREIGN.search(plain)
    if foreign:
        raise ExpressionError(f"{foreign[0]!r} is neither a digit, an operator nor a round bracket")
    try:
        return ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the parser's own bounds are among these
        raise ExpressionError(error.msg if isinstance(error, SyntaxError) else "nested too deep") from None


def _value(node: ast.expr, plain: str, depth: int) -> Fraction:
    if depth > MAX_DEPTH:
        raise ExpressionError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(plain[node.col_offset : node.end_col_offset])  # the digits as written: 0.1 is exactly 1/10
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        operand = _value(node.operand, plain, depth + 1)
        return -operand if isinstance(node.op, ast.USub) else operand
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left, plain, depth + 1), _value(node.right, plain, depth + 1)
        try:
            return _bounded(_OPERATORS[type(node.op)](left, right))
        except ZeroDivisionError:
            raise ExpressionError("division by zero") from None
    raise ExpressionError(f"{ast.get_source_segment(plain, node)!r} is not arithmetic")


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise ExpressionError(f"a number longer than {MAX_BITS} bits arises")
    return value


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise ExpressionError(f"the exponent {exponent} is not a whole number")
    if abs(exponent) > MAX_EXPONENT:
        raise ExpressionError(f"the exponent {exponent} is not within {MAX_EXPONENT}")
    return Fraction(base ** int(exponent))


_OPERATORS: Mapping[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: Fraction(a // b),
    ast.Mod: lambda a, b: a % b,
    ast.Pow: _power,
}
