"""ASDiv (Miao et al. 2020): 2,305 word problems of many kinds, from addition to ratios and remainders.

    {"id": "nluds-0001", "question": "Seven red apples and two green apples are in the basket.\nHow many ...?",
     "answer": "9", "answer_raw": "9 (apples)", "formula": "7+2=9", "solution_type": "Addition", ...}

It is published in one part; the training split is ours. An answer that is not one number (a ratio, several numbers, a
time) cannot be graded as one: such a question is unlabelled in training, as Distilling Step-by-Step used all of ASDiv,
and is left out of the test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from understudy import jsonl
from understudy.answers import AnswerKind, kind
from understudy.config import UserPath
from understudy.records import Question, Rationale
from understudy.tasks.published import Hub, OneFile, others, text

_UNIT = re.compile(r"\s*\([^()]*\)\s*$")
_ONE_NUMBER = re.compile(r"\s*(-?)\(?([0-9][0-9.,]*(?:/[0-9]+)?)\)?\s*")


class Asdiv(OneFile):
    """ASDiv: 2,305 word problems of many kinds."""

    name = "asdiv"
    human_formats: ClassVar[tuple[str, ...]] = ("cot", "program")
    folder: UserPath = Path("asdiv")
    """Folder with `asdiv.jsonl`."""

    @property
    def answer_kind(self) -> AnswerKind:
        return kind("number")

    @property
    def stem(self) -> str:
        return "asdiv"

    @property
    def hub(self) -> Hub:
        return Hub("EleutherAI/asdiv", {"asdiv": [(None, "validation")]}, revision="refs/convert/parquet")

    def to_question(self, row: jsonl.Row, split: str) -> Question | None:
        number = _ONE_NUMBER.fullmatch(str(row["answer"]))
        answer = self.answer_kind.read(number[1] + number[2]) if number else None
        if answer is None and split == "test":
            return None
        return Question(row["id"], text(row, "question"), answer, extra=others(row, "question"))

    def from_hub(self, row: Mapping[str, Any], part: str, number: int) -> jsonl.Row:
        return {
            "id": f"nluds-{number + 1:04}",
            "question": f"{row['body'].strip()}\n{row['question'].strip()}",
            "answer": _UNIT.sub("", row["answer"]),
            "answer_raw": row["answer"],
            "formula": row["formula"],
            "solution_type": row["solution_type"],
        }

    def human(self, question: Question, format: str) -> Rationale | None:
        """The published formula: as a chain of thought, or as a program if its value is the answer."""
        formula = str(question.extra.get("formula", ""))
        calculation, equals, _ = formula.partition("=")
        if question.answer is None or not equals:
            return None
        if format == "cot":
            return Rationale(f"{formula}.", question.answer)
        value = kind("expression").read(calculation)
        if format == "program" and value is not None and kind("expression").same(value, question.answer):
            return Rationale(f"def solution():\n    return {value}", question.answer)
        return None

    def notes(self) -> Sequence[str]:
        return (
            *super().notes(),
            "Questions of asdiv whose answer is not one number are unlabelled in training and left out of the test.",
        )
