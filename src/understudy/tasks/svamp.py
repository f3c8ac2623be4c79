"""SVAMP (Patel et al. 2021): one-step and two-step arithmetic word problems, 1,000 of them.

    {"id": "chal-994", "question": "Luke scored 84 points ... per round?", "answer": "42", "equation": "( 84.0 / 2.0 )", ...}

Read from a folder with `train.jsonl`, `test.jsonl` and, if there is one, `valid.jsonl`, or from all questions in their
published order (`full.jsonl`, or the hub), which are then split as Distilling Step-by-Step does: 800 / 200 by
`numpy.random.RandomState(0).permutation(1000)`. `answer = "expression"` takes the equation as the label, as that paper
does; it is graded by its value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from understudy import jsonl
from understudy.answers import AnswerKind, kind
from understudy.config import UserPath
from understudy.records import Question
from understudy.tasks.published import Hub, Published, Sourced, held_out_rows, others, permuted, text

_TRAIN_SHARE = 0.8


class Svamp(Published):
    """SVAMP: 1,000 arithmetic word problems; answers as numbers or as expressions."""

    name = "svamp"
    folder: UserPath = Path("svamp")
    """Folder with `train.jsonl` and `test.jsonl`, or with `full.jsonl`."""
    answer: Literal["number", "expression"] = "number"
    """What an answer is: the number, or the equation as in Distilling Step-by-Step."""
    validation: Literal["file", "step-by-step"] = "file"
    """The split `valid`: `valid.jsonl` if there is one, or the 80 of 800 that Distilling Step-by-Step holds out."""

    @property
    def answer_kind(self) -> AnswerKind:
        return kind(self.answer)

    @property
    def hub(self) -> Hub:
        return Hub("ChilleD/SVAMP", {"full": [(None, "train"), (None, "test")]})

    @property
    def splits(self) -> tuple[str, ...]:
        valid = self.validation == "step-by-step" or self.has("valid")
        return ("train", "valid", "test") if valid else ("train", "test")

    def rows(self, split: str) -> Iterator[Sourced]:
        if self.validation == "file" or split == "test":
            yield from self._published(split)
            return
        rows = list(self._published("train"))
        held_out = held_out_rows(len(rows))
        yield from (row for number, row in enumerate(rows) if (number in held_out) == (split == "valid"))

    def _published(self, split: str) -> Iterator[Sourced]:
        if self.has(split) or not self.has("full"):
            yield from self.part(split)
            return
        rows = sorted(self.part("full"), key=lambda row: int(str(row[2].get("id")).rpartition("-")[2] or 0))
        order = permuted(len(rows), "legacy")
        cut = int(len(rows) * _TRAIN_SHARE)
        yield from (rows[number] for number in (order[cut:] if split == "test" else order[:cut]))

    def to_question(self, row: jsonl.Row, split: str) -> Question:
        gold = row["equation"] if self.answer == "expression" else row["answer"]
        return Question(
            row["id"],
            text(row, "question"),
            self.gold(gold),
            extra={**others(row, "question", "answer"), "value": str(row["answer"])},
        )

    def from_hub(self, row: Mapping[str, Any], part: str, number: int) -> jsonl.Row:
        return {
            "id": row["ID"],
            "question": f"{row['Body'].strip()}\n{row['Question'].strip()}",
            "answer": kind("number").from_value(row["Answer"]),
            "equation": row["Equation"],
            "type": row["Type"],
        }

    def gold_value(self, question: Question) -> str:
        """The value in the data set: one published equation (a training row) does not give it."""
        return str(question.extra["value"])

    def answer_in(self, format: str, question: Question) -> str | None:
        """The value for a program, else the answer in the task's notation."""
        return question.extra["value"] if format == "program" else question.answer
