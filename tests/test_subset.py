"""A fraction of the training data: which questions, that they are nested, and that the teacher is asked no others."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from doubles import Sums, Told, right, run_of
from understudy.cli import cli
from understudy.config import Train
from understudy.methods.single_task import SingleTask
from understudy.methods.step_by_step import StepByStep
from understudy.pipeline import walk
from understudy.procedures import Ask
from understudy.records import Question
from understudy.report.page import render_text_table
from understudy.stages.estimate import estimate, render
from understudy.stages.subset import Subset

FRACTIONS = st.floats(0.001, 1)
QUESTIONS = st.lists(st.tuples(st.integers(0, 10**9), st.booleans()), unique_by=lambda pair: pair[0], max_size=60).map(
    lambda pairs: [Question(f"q{number}", "?", "1" if gold else None) for number, gold in pairs]
)


def taken(questions: list[Question], fraction: float, seed: int = 0) -> list[str]:
    subset = Subset(questions, fraction, seed)
    found = [question.id for question in questions if question in subset]
    assert len(found) == subset.size
    return found


@given(QUESTIONS, FRACTIONS)
def test_it_is_that_share_of_the_questions_with_and_without_a_gold_answer(
    questions: list[Question], fraction: float
) -> None:
    found = set(taken(questions, fraction))
    for group in ([q for q in questions if q.answer is not None], [q for q in questions if q.answer is None]):
        assert sum(q.id in found for q in group) == pytest.approx(math.ceil(fraction * len(group) - 1e-9))


@given(QUESTIONS, FRACTIONS, FRACTIONS, st.integers(0, 3))
def test_a_smaller_share_lies_within_a_larger_one(questions: list[Question], a: float, b: float, seed: int) -> None:
    small, large = sorted((a, b))
    assert set(taken(questions, small, seed)) <= set(taken(questions, large, seed))


@given(QUESTIONS, FRACTIONS)
def test_the_order_of_the_questions_plays_no_part(questions: list[Question], fraction: float) -> None:
    assert set(taken(questions, fraction)) == set(taken(questions[::-1], fraction))


def test_another_seed_draws_others() -> None:
    questions = [Question(str(number), "?", "1") for number in range(100)]
    assert len(set(taken(questions, 0.5, 0)) & set(taken(questions, 0.5, 1))) == pytest.approx(25, abs=15)


class HalfLabelled(Sums):
    """Every other training question has no gold answer."""

    def questions(self, split: str) -> Iterator[Question]:
        for number, question in enumerate(super().questions(split)):
            yield Question(question.id, question.text) if split == "train" and number % 2 else question


def chain(ask: Ask, sample: int) -> str:
    return f"Add one. The answer is {right(ask, sample)}."


def test_only_the_share_is_asked_and_learned_from_and_it_is_said(tmp_path: Path) -> None:
    teacher = Told.by(chain)
    task = HalfLabelled(train=40)
    whole = Train(validation=0)
    run = run_of(tmp_path / "quarter", StepByStep(), teacher, task, fraction=0.25, train=whole)
    assert [line.samples for line in estimate(run)] == [10]
    assert render(run, estimate(run)).startswith("10 of 40 training questions are taken: fraction = 0.25.")
    walk(run)
    quarter = {ask.key for ask in teacher.asked}
    gold = {question.id for question in task.questions("train") if question.answer is not None}
    assert len(quarter & gold) == len(quarter - gold) == 5
    examples = [json.loads(line) for line in run.dir.examples("student").read_text().splitlines()]
    assert {row["question"] for row in examples if row["objective"] == "rationale"} == quarter
    assert {row["question"] for row in examples if row["objective"] == "label"} == quarter & gold
    assert "10 of 40 training questions are taken" in run.dir.page.read_text()
    assert "25 %" in render_text_table([run.dir.root])
    assert json.loads(run.dir.metrics.read_text())["splits"]["test"]["n"] == 5

    walk(run_of(tmp_path / "half", StepByStep(), teacher, task, fraction=0.5, train=whole), until="generate")
    assert quarter < {ask.key for ask in teacher.asked}
    assert len(teacher.asked) == 20  # those of the quarter were in the store


def test_the_share_is_drawn_from_those_within_the_limit(tmp_path: Path) -> None:
    run = run_of(tmp_path, SingleTask(), fraction=0.5, limit=6)
    assert [question.id for question in run.questions("train")] == sorted(
        question.id for question in run.questions("train") if int(question.id[6:]) < 6
    )
    assert run.size("train") == 3
    assert run.size("test") == 5


def test_a_changed_share_asks_again_and_all_of_it_is_no_share(tmp_path: Path) -> None:
    drawn = [(1.0, 0), (0.5, 0), (0.25, 0), (0.5, 1)]
    runs = [run_of(tmp_path, SingleTask(), fraction=share, fraction_seed=seed) for share, seed in drawn]
    assert len({json.dumps(run.task_state()) for run in runs}) == 4
    assert run_of(tmp_path, SingleTask(), fraction_seed=1).task_state() == runs[0].task_state()
    assert runs[0].fraction_note == ""


def test_the_plan_says_it(tmp_path: Path) -> None:
    config = tmp_path / "my.toml"
    config.write_text('task = { name = "wordsums", train = 30, test = 2 }\nmethod = "finetune"\nfraction = 0.1\n')
    planned = CliRunner().invoke(cli, ["plan", str(config)])
    assert "3 of 30 training questions are taken: fraction = 0.1." in planned.stdout
    assert "training questions" not in CliRunner().invoke(cli, ["plan", str(config), "fraction=1.0"]).stdout
