"""Paired differences: against the formulas, against published figures, and against chance."""

from __future__ import annotations

import math
from random import Random

import pytest

from understudy.evidence.comparison import Difference, accuracy, answered_right, compare, mcnemar
from understudy.evidence.metrics import wilson


def judged(*right: int) -> dict[str, bool]:
    return {f"q{number}": bool(value) for number, value in enumerate(right)}


def cells(both: int, first_only: int, second_only: int, neither: int) -> tuple[dict[str, bool], dict[str, bool]]:
    first = judged(*[1] * both, *[1] * first_only, *[0] * second_only, *[0] * neither)
    second = judged(*[1] * both, *[0] * first_only, *[1] * second_only, *[0] * neither)
    return first, second


def test_only_what_was_judged_counts() -> None:
    rows = [
        {"split": "test", "question": "a", "result": "correct", "question_text": "How many?"},
        {"split": "test", "question": "a", "result": "wrong", "question_text": "Another with the same id"},
        {"split": "test", "question": "b", "result": "wrong"},
        {"split": "test", "question": "c", "result": "no_answer"},
        {"split": "test", "question": "d", "result": "error"},
        {"split": "other", "question": "e", "result": "correct"},
    ]
    found = answered_right(rows, "test")
    assert [(name.split()[0], right) for name, right in found.items()] == [
        ("a", True),
        ("a", False),
        ("b", False),
        ("c", False),
    ]


def test_the_interval_is_the_adjusted_wald_interval() -> None:
    first, second = cells(both=50, first_only=20, second_only=5, neither=25)
    found = compare([first], [second])
    assert found is not None
    one, other = 21 / 102, 6 / 102
    half = 1.959964 * math.sqrt((one + other - (one - other) ** 2) / 102)
    assert found.value == pytest.approx(0.15)
    assert found.interval == pytest.approx((one - other - half, one - other + half), abs=1e-6)
    assert (found.n, found.first_only, found.second_only) == (100, 20, 5)
    assert found.sure


@pytest.mark.parametrize(
    ("first_only", "second_only", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (6, 0, 2 / 64), (5, 1, 2 * 7 / 64), (3, 3, 1.0), (9, 1, 2 * 11 / 1024)],
)
def test_the_exact_test(first_only: int, second_only: int, p: float) -> None:
    assert mcnemar(first_only, second_only) == mcnemar(second_only, first_only) == pytest.approx(p)


def test_the_test_of_many_questions_is_a_number() -> None:
    assert 0 < mcnemar(2000, 2200) < 0.01
    assert mcnemar(20_000, 30_000) < 1e-200


def test_the_other_way_round_it_is_the_negative() -> None:
    first, second = cells(both=5, first_only=4, second_only=1, neither=3)
    there, back = compare([first], [second]), compare([second], [first])
    assert there is not None
    assert back is not None
    assert there.value == -back.value
    assert there.interval == pytest.approx((-back.interval.high, -back.interval.low))


def test_equal_runs_differ_by_nothing_and_still_have_a_width() -> None:
    same = judged(1, 1, 0, 1)
    found = compare([same], [same])
    assert found is not None
    assert (found.value, found.p, found.sure) == (0, 1.0, False)
    assert found.interval.low < 0 < found.interval.high


def test_questions_that_one_run_was_not_judged_on_are_left_out() -> None:
    found = compare([judged(1, 1, 1)], [{"q0": True, "q2": False, "q9": True}])
    assert found is not None
    assert (found.n, found.value) == (2, 0.5)
    assert compare([judged(1)], [{"other": True}]) is None


def test_several_seeds_share_one_interval_and_show_each() -> None:
    found = compare([judged(1, 1, 0, 0), judged(1, 0, 1, 0)], [judged(0, 1, 0, 0), judged(0, 0, 0, 0)])
    assert found is not None
    assert found.by_seed == [0.25, 0.5]
    assert found.value == 0.375
    assert (found.first_only, found.second_only, found.p) == (None, None, None)
    tighter = compare([judged(1, 1, 0, 0)] * 2, [judged(0, 1, 0, 0)] * 2)
    alone = compare([judged(1, 1, 0, 0)], [judged(0, 1, 0, 0)])
    assert tighter is not None
    assert alone is not None
    assert tighter.interval == alone.interval, "the same run twice is no more evidence than once"


def test_the_accuracy_of_one_run_has_wilsons_interval_and_of_a_copy_no_narrower_one() -> None:
    run = judged(*[1] * 30, *[0] * 70)
    once, twice = accuracy([run]), accuracy([run, run])
    assert once is not None
    assert once == twice
    assert once[0] == 0.3
    assert once[1] == pytest.approx(wilson(30, 100))


def test_runs_that_err_on_other_questions_make_the_accuracy_surer() -> None:
    first, second = judged(*[1, 0] * 50), judged(*[0, 1, 1, 0] * 25)
    together, alone = accuracy([first, second]), accuracy([first])
    assert together is not None
    assert alone is not None
    assert together[0] == alone[0] == 0.5
    assert together[1] == pytest.approx(wilson(100, 200))
    assert accuracy([]) is None
    assert accuracy([judged(1), {"other": True}]) is None
    always = accuracy([judged(1, 1, 1)] * 3)
    assert always is not None
    assert always[1] == wilson(3, 3)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (2, 1)])
def test_seeds_come_in_pairs(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="expected the same seeds of both"):
        compare([judged(1)] * first, [judged(1)] * second)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    random, held, draws = Random(0), 0, 2000
    for _ in range(draws):
        easy = [random.random() < 0.6 for _ in range(60)]
        first = judged(*(random.random() < (0.9 if e else 0.3) for e in easy))
        second = judged(*(random.random() < (0.8 if e else 0.3) for e in easy))
        found = compare([first], [second])
        assert isinstance(found, Difference)
        held += found.interval.low <= 0.06 <= found.interval.high
    assert 0.93 <= held / draws <= 0.98
