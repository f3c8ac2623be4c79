"""The accuracies of the PaLM outputs that Distilling Step-by-Step released, read and graded as a run does it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from understudy.formats import Cot
from understudy.procedures import Driver
from understudy.records import Completion, Rationale
from understudy.tasks import TASKS

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not DATA.is_dir() and not os.environ.get("CI"), reason="the published data sets are not beside the repository"
)


def counted(format: Cot, name: str, split: str, **settings: object) -> tuple[int, int]:
    """How many of the first outputs of a split are right, and how many questions it has."""
    task = TASKS.find(name).model_validate({"folder": DATA / (name if name != "anli" else "anli1"), **settings})
    questions = list(task.questions(split))
    texts = (Completion(q.extra["teacher_outputs"][0]["text"]) for q in questions)
    readings = [(q.id, format.read(task, q, text)) for q, text in zip(questions, texts, strict=True)]
    results: Counter[bool] = Counter()
    for question, found in zip(questions, Driver({}, lambda programs: []).run(readings), strict=True):
        answer = found.answer if isinstance(found, Rationale) else None
        results[answer is not None and task.grade(answer, question)] += 1
    return results[True], len(questions)


@pytest.mark.parametrize(
    ("name", "split", "questions", "published", "ours"),
    [
        ("svamp", "train", 800, 585, 593),
        ("svamp", "test", 200, 148, 155),
        ("cqa", "train", 7793, 5766, 5843),
        ("cqa", "test", 1221, 943, 954),
        ("anli", "train", 1000, 668, 668),  # the published validation part
        ("anli", "test", 1000, 656, 656),
        ("esnli", "train", 9842, 7201, 7201),  # the published validation part
        ("esnli", "test", 9824, 7171, 7171),
    ],
)
def test_the_released_outputs_are_right_as_often_as_published(
    name: str, split: str, questions: int, published: int, ours: int
) -> None:
    settings = {"answer": "expression"} if name == "svamp" else {}
    assert counted(Cot("published"), name, split, **settings) == (published, questions)
    assert counted(Cot(), name, split, **settings) == (ours, questions)
