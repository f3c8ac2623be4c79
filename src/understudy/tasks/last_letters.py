"""Last letters (Wei et al. 2022; the 500 questions of Kojima et al. 2022): join the last letters of four names.

    {"id": "last_letters-0", "question": "Take the last letters of each words in \"Whitney Erika Tj Benito\" and
     concatenate them.", "answer": "yajo"}

There is no published training split: ours is made with names of our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from understudy import jsonl
from understudy.answers import AnswerKind, kind
from understudy.config import UserPath
from understudy.tasks.generated import NAMES, Generated
from understudy.tasks.published import Hub

_WORDS = 4


class LastLetters(Generated):
    """Last letters: join the last letters of four names."""

    name = "last-letters"
    folder: UserPath = Path("last_letters")
    """Folder with `last_letters.jsonl`, the test."""

    @property
    def answer_kind(self) -> AnswerKind:
        return kind("text")

    @property
    def stem(self) -> str:
        return "last_letters"

    @property
    def hub(self) -> Hub:
        return Hub("ChilleD/LastLetterConcat", {"last_letters": [(None, "train"), (None, "test")]})

    def make(self, random: Random) -> jsonl.Row:
        names = random.sample(NAMES, _WORDS)
        question = f'Take the last letters of each words in "{" ".join(names)}" and concatenate them.'
        return {"question": question, "answer": "".join(name[-1] for name in names)}

    def from_hub(self, row: Mapping[str, Any], part: str, number: int) -> jsonl.Row:
        return {"id": f"last_letters-{number}", "question": row["question"].strip(), "answer": row["answer"]}
