from __future__ import annotations

import gzip
import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy import jsonl
from understudy.evidence.overlap import normalise, overlapping
from understudy.records import Question

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Tom has 3 apples.", "tom has 3 apples"),
        ("Tom has  3\napples", " Tom has 3 apples "),
        ("Tom's 1,000 apples", "Tom\u2019s 1000 apples"),
        ("they did n't show up", "They didn't show up."),
        ("a well-known (old) rule", "a well known old rule"),
        ("It costs $ 5", "It costs $5"),
        ("12 \u2212 5", "12 - 5"),
        ("\uff11\uff12 pens", "12 pens"),
    ],
)
def test_case_punctuation_and_blanks_do_not_matter(text: str, other: str) -> None:
    assert normalise(text) == normalise(other)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Tom has 3 apples", "Tom has 4 apples"),
        ("3 5", "35"),
        ("3.5 litres", "35 litres"),
        ("What is 2 + 3?", "What is 2 - 3?"),
        ("What is 2 * 3?", "What is 2 / 3?"),
        ("(2 + 3) * 4", "2 + (3 * 4)"),
        ("It costs $5", "It costs 5"),
        ("It costs 5%", "It costs 5"),
        ("...", "!!!"),
        ("\u0915\u0940", "\u0915\u093e"),
    ],
)
def test_what_changes_the_meaning_matters(text: str, other: str) -> None:
    assert normalise(text) != normalise(other)


@given(st.text(string.ascii_letters + string.digits + " .,!?'-", max_size=60))
def test_normalising_ignores_case_and_outer_blanks_of_any_text(text: str) -> None:
    assert normalise(text.upper()) == normalise(f"  {text.lower()} ")


@given(st.text(max_size=40))
def test_normalising_is_total_and_only_a_blank_text_becomes_empty(text: str) -> None:
    assert normalise(text) or not text.strip()


def test_the_ids_of_training_questions_that_are_test_questions_are_found() -> None:
    train = [Question("a", "Tom has 3 apples."), Question("b", "Tom has 4 apples."), Question("c", "TOM HAS 3 APPLES")]
    assert overlapping(iter(train), iter([Question("t", "tom has 3 apples")])) == {"a", "c"}


def test_without_test_questions_nothing_overlaps() -> None:
    assert overlapping([Question("a", "Tom has 3 apples.")], []) == set()


def test_a_question_with_a_lone_surrogate_is_compared_like_any_other() -> None:
    assert overlapping([Question("a", "odd \ud800")], [Question("t", "ODD \ud800")]) == {"a"}


def test_the_published_program_data_hold_487_multiarith_questions() -> None:
    if not DATA.exists() and not os.environ.get("CI"):
        pytest.skip("the published data are not beside the repository")

    def questions(path: str) -> list[Question]:
        return [Question(row["id"], row["question"]) for row in jsonl.read(DATA / path)]

    with gzip.open(DATA / "svamp_programs/train.jsonl.gz") as file:
        assert sum(1 for _ in file) == 2481
    train = questions("svamp_programs/train.jsonl.gz")
    assert len(overlapping(train, questions("multiarith/multiarith.jsonl"))) == 487
    assert overlapping(train, questions("svamp_programs/test.jsonl")) == set()
