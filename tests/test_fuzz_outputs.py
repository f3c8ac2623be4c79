"""Mutants of published outputs: no reader raises, and what it reads is an answer; long texts are answered in bounds."""

from __future__ import annotations

import os
import random

import pytest

from fuzz_outputs import FORMATS, Any, check, published, run
from understudy.answers import KINDS, MAX_SIDES
from understudy.formats import Cot
from understudy.formats.format import REFUSAL
from understudy.procedures import Driver
from understudy.records import Completion, Question, Rationale


@pytest.mark.thorough
def test_ten_thousand_mutants_of_outputs_are_read_without_an_exception() -> None:
    seeds = published()
    if not seeds:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("the published data sets are not here")
    found, failures = run(seeds, 10_000, seed=1)
    assert failures == []
    assert found["answer"] > 3000
    assert {"no answer", "truncated", "no_steps", "no_program", "refusal", "not_an_answer"} <= set(found)


LONG = [
    "(",
    "()",
    "(1",
    "answer:",
    "the ",
    "The answer is ",
    "1",
    "1,",
    "1 ",
    "1=",
    " ",
    "\n",
    "\n x",
    "-",
    "a ** b\n",
    "```\n",
    "x, ",
]


@pytest.mark.thorough
@pytest.mark.parametrize("unit", LONG)
def test_a_hundred_thousand_characters_come_to_an_end(unit: str) -> None:
    text = f"The answer is {unit * (100_000 // len(unit))}x"
    for seed in range(6):
        assert len(list(check(text, random.Random(seed)))) == len(FORMATS)


@pytest.mark.parametrize("unit", ["(", "(1", "\n", "\n "])
def test_a_million_characters_come_to_an_end_where_readers_once_went_over_them_again_and_again(unit: str) -> None:
    """With the square of the length this would take hours, far beyond the time limit of a test."""
    text = f"The answer is {unit * 1_000_000}x"
    reading = Cot("published").read(Any(kind="expression"), Question("q", "?"), Completion(text))
    [found] = Driver({}, lambda programs: []).run([("q", reading)])
    assert isinstance(found, Rationale)
    assert found.answer is None


def test_a_refusal_is_looked_for_in_one_line_at_a_time() -> None:
    found = REFUSAL.search("Well.\n\n\n  Sorry")
    assert found is not None
    assert found[0] == "  Sorry"


def test_a_failing_reader_is_reported_with_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(KINDS["number"])
    monkeypatch.setattr(kind, "find", lambda *arguments: 1 / 0)
    _, failures = run(["The sea."], 50, seed=1)
    assert failures
    assert all(failure.startswith("ZeroDivisionError: division by zero\n'") for failure in failures)


def test_an_equation_of_many_sides_is_no_expression() -> None:
    expression = KINDS["expression"]
    assert expression.read("=".join(["1 + 1"] * MAX_SIDES)) == "1 + 1"
    assert expression.read("=".join(["1 + 1"] * (MAX_SIDES + 1))) is None
