"""GSM-Hard (Gao et al. 2022, arXiv 2211.10435): the GSM8K test questions with one number made large, 1,319 of them.

    {"id": "gsmhardv2-0", "question": "Janet's ducks lay 16 eggs per day. ... with 4933828. ...", "answer": -9867630.0,
     "program": "def solution(): ..."}

The gold answers are what the reference programs return: many are negative or fractional, where the story allows
neither. The programs come from a model, so they are no human rationales. The training split is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from understudy import jsonl
from understudy.answers import AnswerKind, kind
from understudy.config import UserPath
from understudy.records import Question
from understudy.tasks.published import Hub, OneFile, others, text


class Gsmhard(OneFile):
    """GSM-Hard: GSM8K's test questions with large numbers."""

    name = "gsm-hard"
    folder: UserPath = Path("gsmhard")
    """Folder with `gsmhardv2.jsonl`."""

    @property
    def answer_kind(self) -> AnswerKind:
        return kind("number")

    @property
    def stem(self) -> str:
        return "gsmhardv2"

    @property
    def hub(self) -> Hub:
        return Hub("reasoning-machines/gsm-hard", {"gsmhardv2": [(None, "train")]})

    @property
    def demonstrated_by(self) -> str:
        """Those of GSM8K: the same stories."""
        return "gsm8k"

    def to_question(self, row: jsonl.Row, split: str) -> Question:
        return Question(
            row["id"], text(row, "question"), self.gold(row["answer"]), extra=others(row, "question", "answer")
        )

    def from_hub(self, row: Mapping[str, Any], part: str, number: int) -> jsonl.Row:
        return {
            "id": f"gsmhardv2-{number}",
            "question": row["input"],
            "answer": row["target"],
            "program": row["code"],
        }

    def notes(self) -> Sequence[str]:
        return (
            *super().notes(),
            "gsm-hard is made from the test questions of GSM8K: a student that learnt from it must not be tested on GSM8K.",
        )
