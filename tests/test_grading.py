"""Grading in a run: the verdicts of evaluation, strict and lenient, and the settings that grade numbers in another way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doubles import Asks, Sums, Told, run_of
from understudy import jsonl
from understudy.answers import AnswerKind, kind
from understudy.config import Config, Grade, parse
from understudy.methods.few_shot import FewShotCot
from understudy.methods.single_task import SingleTask
from understudy.pipeline import walk
from understudy.procedures import Ask
from understudy.records import Prediction, Question
from understudy.stages.evaluation import judge

THIRD = Question("q", "What is 10 / 3?", "3.333")
AS_PAD = "rounded-as-pad"


class Rounded(Sums):
    """Gold answers are rounded to three decimals: question i is 10 / (i + 3)."""

    name = "rounded"
    kind: str = "number"

    @property
    def answer_kind(self) -> AnswerKind:
        return kind(self.kind)

    def questions(self, split: str) -> Iterator[Question]:
        for number, question in enumerate(super().questions(split)):
            yield Question(
                question.id, f"{split}: 10 / {number + 3}", f"{10 / (number + 3):.3f}".rstrip("0").rstrip(".")
            )


def graded(folder: Path, answer: str, gold: str, kind: str = "number", **grade: Any) -> bool:
    run = run_of(folder, Asks(), task=Rounded(kind=kind), grade=Grade(**grade))
    return run.grade(answer, Question("q", "?", gold))


@pytest.mark.parametrize(
    ("answer", "fault", "evidence", "result", "lenient"),
    [
        ("3.333", "", {}, "correct", None),
        ("3", "", {}, "wrong", None),
        (None, "no_answer", {"lenient": "3.333"}, "no_answer", "correct"),
        (None, "no_answer", {"lenient": "3"}, "no_answer", "wrong"),
        (None, "no_answer", {}, "no_answer", None),
        (None, "truncated", {"finish": ["length"]}, "no_answer", None),
        ("3", "", {"lenient": "3.333"}, "wrong", None),  # a strict answer is the answer
        ("3.333", "", {"lenient": "3"}, "correct", None),
        (None, "failed", {"lenient": "3.333"}, "error", None),  # not the model's fault: not judged at all
        (None, "unsupported", {}, "error", None),
    ],
)
def test_a_lenient_answer_is_graded_where_there_is_no_strict_one(
    tmp_path: Path, answer: str | None, fault: str, evidence: dict[str, Any], result: str, lenient: str | None
) -> None:
    run = run_of(tmp_path, Asks())
    verdict = judge(run, THIRD, Prediction(answer, ("text",), fault, evidence))
    assert (verdict.result, verdict.evidence.get("lenient_result")) == (result, lenient)
    assert (verdict.question, verdict.answer, verdict.gold, verdict.texts) == ("q", answer, "3.333", ("text",))
    assert {**verdict.evidence, "lenient_result": None} == {**evidence, "lenient_result": None}


def test_lenient_answers_of_an_evaluation_are_counted_beside_the_strict_ones(tmp_path: Path) -> None:
    replies = {"test-1000": "1001", "test-1001": "1002 or 1003", "test-1002": "1002 or 1003", "test-1003": "none"}
    run = run_of(tmp_path, Asks(), Told.by(lambda ask, sample: replies[ask.key]), Sums(test=4))
    walk(run)
    found = json.loads(run.dir.metrics.read_text())["splits"]["test"]
    assert (found["correct"], found["no_answer"], found["wrong"]) == (1, 3, 0)
    assert (found["accuracy"], found["lenient_accuracy"]) == (1 / 4, 2 / 4)


@pytest.mark.parametrize("answer", ["10 / 3", "3.33333", "3.3335", "3.3325"])
def test_a_rounded_gold_answer_is_reached_only_with_a_tolerance(tmp_path: Path, answer: str) -> None:
    answer = kind("number").read(answer) or answer
    assert not graded(tmp_path, answer, "3.333", kind="expression")
    assert graded(tmp_path, answer, "3.333", kind="expression", tolerance=0.0005)


@pytest.mark.parametrize(
    ("answer", "gold"),
    [("3.3341", "3.333"), ("-3.333", "3.333"), ("333.3", "3.333"), ("6", "5"), ("1000000", "1000001"), ("none", "3")],
)
def test_a_tolerance_takes_nothing_that_is_farther_away(tmp_path: Path, answer: str, gold: str) -> None:
    assert not graded(tmp_path, answer, gold, tolerance=0.0005)


def test_whole_numbers_are_the_same_only_if_equal_whatever_the_tolerance(tmp_path: Path) -> None:
    assert not graded(tmp_path, "7", "8", tolerance=0.499)
    assert graded(tmp_path, "7.6", "8", tolerance=0.499)


def test_a_tolerance_leaves_texts_alone(tmp_path: Path) -> None:
    assert not graded(tmp_path, "3.3334", "3.333", kind="text", tolerance=0.1)
    assert not graded(tmp_path, "5.4", "5", kind="text", numbers=AS_PAD)


@pytest.mark.parametrize(
    ("answer", "gold", "by_value", "as_pad"),
    [
        ("5", "5", True, True),
        ("5.4", "5", False, True),
        ("4.6", "5", False, True),
        ("4.5", "4", False, True),  # to the even number, as Python rounds
        ("5.5", "5", False, False),
        ("6", "5", False, False),
        ("2.5", "2.5", True, False),  # a gold answer that is not whole cannot be reached
        ("none", "5", False, False),
    ],
)
def test_rounding_as_pad_does_is_another_rule_that_must_be_named(
    tmp_path: Path, answer: str, gold: str, by_value: bool, as_pad: bool
) -> None:
    assert graded(tmp_path, answer, gold) == by_value
    assert graded(tmp_path, answer, gold, numbers=AS_PAD) == as_pad


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"tolerance": 0.5}, "grade.tolerance = 0.5"),
        ({"tolerance": 0}, "grade.tolerance = 0"),
        ({"numbers": "pad"}, "grade.numbers = 'pad'"),
        ({"numbers": "rounded"}, "grade.numbers = 'rounded'"),
        ({"numbers": AS_PAD, "tolerance": 0.01}, "give tolerance or numbers, not both"),
        ({"round": True}, "unknown key"),
    ],
)
def test_a_rule_that_is_not_named_in_full_is_a_mistake(table: dict[str, Any], said: str) -> None:
    _, problems = parse(Config, {"task": "wordsums", "method": "pad", "grade": table})
    assert [said in problem for problem in problems] == [True]


def test_the_filter_and_the_evaluation_grade_alike(tmp_path: Path) -> None:
    def exact(ask: Ask, sample: int) -> str:
        number = int(ask.key.rsplit("-", 1)[1]) % 1000
        return f"So. The answer is {10 / (number + 3)}."

    counts = []
    for name, grade in (("strict", Grade()), ("near", Grade(tolerance=0.0005))):
        task = Rounded(train=4, test=4)
        learned = run_of(tmp_path / f"{name}-filter", SingleTask(), Told.by(exact), task, grade=grade)
        walk(learned, until="filter")
        asked = run_of(tmp_path / name, FewShotCot(), Told.by(exact), task, grade=grade)
        walk(asked)
        correct = [row["result"] for row in jsonl.read(asked.dir.predictions)].count("correct")
        counts.append((len(list(jsonl.read(learned.dir.rationales("rationale")))), correct))
    assert counts == [(2, 2), (4, 4)]  # 10 / 3 and 10 / 6 are rounded, 10 / 4 and 10 / 5 are not


@pytest.mark.parametrize(
    ("grade", "kind", "notes"),
    [
        (Grade(), "number", []),
        (Grade(tolerance=0.01), "number", ["within 0.01 of the gold answer"]),
        (Grade(numbers=AS_PAD), "number", ["as the code of PaD does"]),
        (Grade(numbers=AS_PAD), "text", []),
    ],
)
def test_every_report_says_how_numbers_were_graded_if_not_by_value(
    tmp_path: Path, grade: Grade, kind: str, notes: list[str]
) -> None:
    run = run_of(tmp_path, Asks(), Told.by(lambda ask, sample: "1"), Rounded(kind=kind), grade=grade)
    walk(run)
    said = json.loads(run.dir.manifest.read_text())["notes"]
    assert [note in "".join(said) for note in notes] == [True] * len(said)
    page, card = run.dir.page.read_text(), run.dir.card.read_text()
    assert all(note in page and note in card for note in notes)


def test_a_change_of_the_rule_grades_again(tmp_path: Path) -> None:
    results = []
    for tolerance in (1e-6, 0.0005):
        teacher = Told.by(lambda ask, sample: str(10 / 3))
        run = run_of(tmp_path, Asks(), teacher, Rounded(test=1), grade=Grade(tolerance=tolerance))
        walk(run)
        results += [row["result"] for row in jsonl.read(run.dir.predictions)]
    assert results == ["wrong", "correct"]
