from __future__ import annotations

from collections.abc import Sequence

import pytest

from understudy.procedures import Score
from understudy.records import Example
from understudy.students.nearest import NearestStudent, numbers, renumbered


def copied(train: Sequence[tuple[str, str]], question: str) -> str:
    return NearestStudent([Example(str(i), prompt, target) for i, (prompt, target) in enumerate(train)]).copy(question)


PENS = ("Tom has 5 pens and buys 3 more. How many pens has he?", "a = 5\nb = 3\nanswer = a + b")
ROWS = ("A field has 5 rows of 3 trees. How many trees are there?", "rows = 5\neach = 3\nanswer = rows * each")


def test_the_program_of_the_question_with_the_most_similar_words_is_copied() -> None:
    assert (
        copied([PENS, ROWS], "Ann has 12 pens and buys 7 more. How many pens has she?")
        == "a = 12\nb = 7\nanswer = a + b"
    )
    assert (
        copied([PENS, ROWS], "A garden has 4 rows of 9 trees. How many?") == "rows = 4\neach = 9\nanswer = rows * each"
    )


def test_of_equally_near_questions_the_first_is_copied() -> None:
    twin = (PENS[0], "answer = 0")
    assert copied([ROWS, PENS, twin], PENS[0]) == PENS[1]
    assert copied([ROWS, twin, PENS], PENS[0]) == "answer = 0"


def test_a_question_without_a_known_word_gets_the_first_program() -> None:
    assert copied([ROWS, PENS], "zzz") == ROWS[1]


def test_rare_words_weigh_more_than_frequent_ones() -> None:
    train = [("how many pens in all", "pens"), ("how many in all of it", "it"), ("how many in all", "bare")]
    assert copied(train, "how many of the pens pens in all") == "pens"


@pytest.mark.parametrize(
    ("program", "old", "new", "expected"),
    [
        ("a = 5\nb = 3", "5 and 3", "3 and 5", "a = 3\nb = 5"),
        ("v5 = 5", "5", "8", "v5 = 8"),
        ("a = 5\nb = 100", "5", "8", "a = 8\nb = 100"),
        ("a = 1000", "1,000 cars", "2,500 cars", "a = 2500"),
        ("a = 1_000", "1000", "7", "a = 7"),
        ("a = 5.0", "5", "8", "a = 8"),
        ("a = 0.5", ".5", "0.25", "a = 0.25"),
        ("f(5,3)", "5, then 3", "6, then 4", "f(6,4)"),
        ("a = 5\nb = 3", "5 and 3", "9", "a = 9\nb = 3"),
        ("a = 5 * 5", "5, again 5, then 2", "7 and 2", "a = 7 * 7"),
        ("a = 50", "5", "8", "a = 50"),
    ],
)
def test_numbers_are_replaced_by_position_and_value(program: str, old: str, new: str, expected: str) -> None:
    assert renumbered(program, numbers(old), numbers(new)) == expected


def test_a_program_copied_to_its_own_question_is_unchanged() -> None:
    assert copied([ROWS, PENS], PENS[0]) == PENS[1]


def test_a_score_is_the_value_of_the_nearest_prompt_and_target_together() -> None:
    student = NearestStudent(
        [
            Example("a", "Tom buys 3 pens.", "plus all along", "value", value=1.0),
            Example("b", "Tom buys 3 pens.", "minus for once", "value", value=0.0),
            Example("c", "Tom buys 3 pens.", "minus for ever"),
        ]
    )
    asked = Score("s", "Tom buys 7 pens.", ("minus for ever", "plus for once", "plus all"))
    assert student.score([asked, asked]) == [[0.0, 0.0, 1.0]] * 2


def test_without_values_every_score_is_zero() -> None:
    assert NearestStudent([Example("a", "Tom buys 3 pens.", "plus")]).score([Score("s", "Tom", ("x", "y"))]) == [[0, 0]]
