"""All data sets at once: every row of the files beside the repository, and the demonstrations."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from understudy import jsonl
from understudy.config import Part
from understudy.evidence.overlap import normalise
from understudy.formats import FORMATS
from understudy.procedures import Driver
from understudy.records import Completion, Question, Rationale
from understudy.sandbox import Sandbox
from understudy.tasks import TASKS
from understudy.tasks.published import Published

DATA = Path(__file__).parents[2] / "shared" / "data"
PUBLISHED = (
    "anli", "asdiv", "coin-flip", "cqa", "esnli", "gsm-hard", "gsm8k", "last-letters", "multiarith", "strategyqa", "svamp",
)  # fmt: skip
ARITHMETIC = ("asdiv", "gsm-hard", "gsm8k", "multiarith", "svamp")
SUPPORTED = {
    **dict.fromkeys((*ARITHMETIC, "coin-flip", "last-letters", "strategyqa"), ("label", "cot", "program", "socratic")),
    **dict.fromkeys(("anli", "cqa", "esnli"), ("label", "cot")),
    "kinfolk": ("label", "cot", "socratic"),
}


def data() -> Path:
    if not DATA.exists() and os.environ.get("CI") != "true":
        pytest.skip("the published data are not beside the repository")
    return DATA


def make(name: str, **options: Any) -> Published:
    task, problems = TASKS.make(Part(name=name, **options), [data()])
    assert not problems
    assert isinstance(task, Published)
    return task


@cache
def rows(name: str, split: str) -> tuple[Question, ...]:
    return tuple(make(name).questions(split))


@pytest.mark.parametrize(
    ("name", "split", "count"),
    [
        ("anli", "train", 1000), ("anli", "test", 1000), ("coin-flip", "test", 500), ("cqa", "train", 7793),
        ("cqa", "test", 1221), ("esnli", "train", 9842), ("esnli", "test", 9824), ("gsm8k", "train", 7473),
        ("gsm8k", "test", 1319), ("last-letters", "test", 500), ("strategyqa", "train", 2061), ("strategyqa", "test", 229),
        ("svamp", "train", 800), ("svamp", "test", 200),
    ],
)  # fmt: skip
def test_every_row_of_the_files_is_a_question(name: str, split: str, count: int) -> None:
    assert len(rows(name, split)) == count


@pytest.mark.parametrize(("name", "count"), [("asdiv", 2305), ("multiarith", 600), ("gsm-hard", 1319)])
def test_both_shares_together_are_the_whole_file(name: str, count: int) -> None:
    not_one_number = 70 if name == "asdiv" else 0
    assert len(rows(name, "train")) + len(rows(name, "test")) == count - not_one_number


@pytest.mark.parametrize("name", PUBLISHED)
def test_ids_are_unique_and_golds_are_in_their_own_notation(name: str) -> None:
    task = make(name)
    questions = [question for split in task.splits for question in rows(name, split)]
    assert len({question.id for question in questions}) == len(questions)
    for question in questions:
        if question.answer is not None:
            assert task.answer_kind.read(question.answer, question.choices) == question.answer
            assert task.grade(question.answer, question)


@pytest.mark.parametrize("name", PUBLISHED)
def test_no_test_question_lacks_its_answer_and_only_asdiv_has_unlabelled_ones(name: str) -> None:
    assert all(question.answer is not None for question in rows(name, "test"))
    unlabelled = sum(question.answer is None for question in rows(name, "train"))
    assert (unlabelled > 0) == (name == "asdiv")


@pytest.mark.parametrize(
    ("name", "format", "share"),
    [("gsm8k", "cot", 1), ("gsm8k", "socratic", 1), ("cqa", "cot", 1), ("esnli", "cot", 1), ("anli", "cot", 1),
     ("strategyqa", "cot", 1), ("strategyqa", "socratic", 0.38), ("asdiv", "program", 0.68)],
)  # fmt: skip
def test_humans_wrote_rationales(name: str, format: str, share: float) -> None:
    task = make(name)
    written = [task.human(question, format) for question in rows(name, "train")]
    found = [rationale for rationale in written if rationale is not None]
    assert len(found) / len(written) == pytest.approx(share, abs=0.01)
    assert all(rationale.text.strip() and "<<" not in rationale.text for rationale in found)


@pytest.mark.parametrize("name", sorted(SUPPORTED))
def test_there_are_four_demonstrations_and_more_for_every_format_and_none_for_others(name: str) -> None:
    task, _ = TASKS.make(Part(name=name))
    assert task is not None
    for format in ("label", "cot", "program", "socratic"):
        shown = task.demonstrations(format)
        assert (len(shown) >= 4) == (format in SUPPORTED[name])
        assert all((rationale.text == "") == (format == "label") for _, rationale in shown)


@pytest.mark.parametrize("name", sorted(SUPPORTED))
def test_demonstrations_are_read_back_to_their_gold_answers(name: str) -> None:
    with Sandbox() as sandbox:
        driver = Driver({}, sandbox.run)
        for options in [{}, {"answer": "expression"}] if name == "svamp" else [{}]:
            task, _ = TASKS.make(Part(name=name, **options))
            assert task is not None
            for format in (FORMATS[format]() for format in SUPPORTED[name] if format in FORMATS):
                shown = task.demonstrations(format.name)
                reading = [(q.id, format.read(task, q, Completion(format.write(task, r)))) for q, r in shown]
                for (question, rationale), found in zip(shown, driver.run(reading), strict=True):
                    assert isinstance(found, Rationale), (question, found)
                    assert (found.text, found.answer) == (rationale.text, rationale.answer)
                    assert task.grade(found.answer or "", question)


@pytest.mark.parametrize("name", [name for name in sorted(SUPPORTED) if "socratic" in SUPPORTED[name]])
def test_every_line_of_a_socratic_demonstration_is_a_sub_question_and_its_solution(name: str) -> None:
    task, _ = TASKS.make(Part(name=name))
    assert task is not None
    for _, rationale in task.demonstrations("socratic"):
        for line in rationale.text.split("\n"):
            asked, _, solution = line.partition(" ** ")
            assert asked.endswith("?")
            assert solution.endswith(".")


@pytest.mark.parametrize("name", ARITHMETIC)
def test_the_chains_of_arithmetic_demonstrations_end_in_their_answer(name: str) -> None:
    task = make(name)
    for format in ("cot", "socratic"):
        for question, rationale in task.demonstrations(format):
            found = task.answer_kind.find(rationale.text)
            assert found is not None
            assert task.grade(found, question), rationale


@cache
def published_questions() -> frozenset[str]:
    found: set[str] = set()
    for path in sorted(data().glob("*/*.jsonl*")):
        for row in jsonl.read(path):
            found.update(row[column] for column in ("question", "premise", "hypothesis") if column in row)
    return frozenset(normalise(text) for text in found)


def test_no_demonstration_is_a_published_question() -> None:
    assert len(published_questions()) > 40_000
    shown: set[str] = set()
    for name in PUBLISHED:
        for question, _ in make(name).demonstrations("label"):
            parts = [question.extra[part] for part in ("premise", "hypothesis") if part in question.extra]
            shown.update(normalise(text) for text in parts or [question.text.partition("\nAnswer Choices:")[0]])
    assert len(shown) > 50
    assert not shown & published_questions()
