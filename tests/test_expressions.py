"""`sandbox/expressions.py`: a grammar of right values, wrong twins and refusals."""

from __future__ import annotations

import string
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.sandbox.expressions import MAX_EXPONENT, MAX_LENGTH, ExpressionError, evaluate

VALUES = [
    ("51", 51),
    ("( 84.0 / 2.0 )", 42),
    ("( 12 + 5 ) * 3", 51),
    ("12 + 5 * 3", 27),
    ("7 - 2 - 1", 4),
    ("7 / 2", Fraction(7, 2)),
    ("7 // 2", 3),
    ("-7 // 2", -4),
    ("7 % 4", 3),
    ("2 ** 10", 1024),
    ("2 ** -2", Fraction(1, 4)),
    ("-2 ** 2", -4),
    ("2 ** 3 ** 2", 512),
    ("- - 3", 3),
    ("+4", 4),
    (".5 + 0.1", Fraction(3, 5)),
    ("0.1 + 0.2", Fraction(3, 10)),
    ("1,800 × 3 − 5", 5395),
    ("1,234,567 ÷ 1", 1234567),
    ("12\n+\t5", 17),
    ("0.50", Fraction(1, 2)),
    ("1 / 3 * 3", 1),
]

REFUSED = [
    ("", "invalid syntax"),
    ("1 / 0", "division by zero"),
    ("1 % 0", "division by zero"),
    ("0 ** -1", "division by zero"),
    ("9 ** 9 ** 9", "exponent"),
    ("2 ** 0.5", "whole number"),
    ("9" * 150 + "** 60", "bits"),
    ("some - 8", "'s'"),
    ("__import__('os')", "'_'"),
    ("1_000", "'_'"),
    ("0x10", "'x'"),
    ("2j", "'j'"),
    ("1 if 2", "'i'"),
    ("12, 5", "','"),
    ("1,80", "','"),
    ("$5", "'$'"),
    ("25%", "invalid syntax"),
    ("(1 + 2", "never closed"),
    ("1 + 2)", "unmatched"),
    ("2(3)", "not arithmetic"),
    ("...", "not arithmetic"),
    ("()", "not arithmetic"),
    ("١ + ١", "neither a digit"),
    ("1 + 2\x00", "neither a digit"),
    ("-" * 150 + "1", "deeper"),
    ("1" * (MAX_LENGTH + 1), "characters long"),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_an_expression_has_its_exact_value(text: str, value: int | Fraction) -> None:
    assert evaluate(text) == value


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_what_is_no_arithmetic_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text)
    assert reason in str(caught.value)


def test_the_largest_exponent_passes_and_the_next_does_not() -> None:
    assert evaluate(f"2 ** {MAX_EXPONENT}") == 2**MAX_EXPONENT
    with pytest.raises(ExpressionError):
        evaluate(f"2 ** {MAX_EXPONENT + 1}")


def test_a_long_sum_within_the_length_is_read() -> None:
    assert evaluate("+".join("1" * 100)) == 100


def test_a_huge_text_is_refused_by_its_length_alone() -> None:
    with pytest.raises(ExpressionError, match="characters long"):
        evaluate("(" * 1_000_000)


@given(st.one_of(st.text(), st.text(alphabet=string.digits + "+-*/%.,() ×÷−e_", max_size=220)))
def test_any_text_ends_in_a_number_or_an_expression_error(text: str) -> None:
    try:
        value: object = evaluate(text)
    except ExpressionError:
        value = Fraction(0)
    assert isinstance(value, Fraction)


numbers = st.fractions(max_denominator=1).map(lambda f: f % 1000)
trees = st.recursive(
    numbers.map(lambda n: (str(n), n)),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(
        lambda t: (
            f"( {t[0][0]} {t[1]} {t[2][0]} )",
            {"+": t[0][1] + t[2][1], "-": t[0][1] - t[2][1], "*": t[0][1] * t[2][1]}[t[1]],
        )
    ),
    max_leaves=12,
)


@given(trees)
def test_a_bracketed_tree_evaluates_to_the_value_of_the_tree(tree: tuple[str, Fraction]) -> None:
    text, value = tree
    assert evaluate(text) == value
