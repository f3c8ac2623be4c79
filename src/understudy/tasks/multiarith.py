"""MultiArith (Roy and Roth 2015): 600 arithmetic word problems of two and more steps.

    {"id": "multiarith-0", "question": "For Halloween Debby and her sister combined ...", "answer": "39",
     "equation": "X=((32.0+42.0)-35.0)"}

It is published in one part and used as a test; 20 of its questions stand there twice. The training split is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from understudy import jsonl
from understudy.answers import AnswerKind, kind
from understudy.config import UserPath
from understudy.records import Question
from understudy.tasks.published import Hub, OneFile, others, text


class Multiarith(OneFile):
    """MultiArith: 600 arithmetic word problems of several steps."""

    name = "multiarith"
    folder: UserPath = Path("multiarith")
    """Folder with `multiarith.jsonl`."""

    @property
    def answer_kind(self) -> AnswerKind:
        return kind("number")

    @property
    def stem(self) -> str:
        return "multiarith"

    @property
    def hub(self) -> Hub:
        return Hub("ChilleD/MultiArith", {"multiarith": [(None, "train"), (None, "test")]})

    def to_question(self, row: jsonl.Row, split: str) -> Question:
        return Question(
            row["id"], text(row, "question"), self.gold(row["answer"]), extra=others(row, "question", "answer")
        )

    def from_hub(self, row: Mapping[str, Any], part: str, number: int) -> jsonl.Row:
        return {"id": f"multiarith-{number}", "question": row["question"].strip(), "answer": row["final_ans"]}
