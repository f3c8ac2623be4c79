"""SVAMP (Patel et al. 2021): one-step and two-step arithmetic word problems, 1,000 of them.

    {"id": "chal-994", "question": "Luke scored 84 points ... per round?", "answer": "42", "equation": "( 84.0 / 2.0 )", ...}

Read from a folder with `train.jsonl`, `test.jsonl` and, if there is one, `valid.jsonl`: the split of Distilling
Step-by-Step is 800 / 200. `answer = "expression"` takes the equation as the label, as that paper does; it is graded
by its value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from understudy import jsonl
from understudy.answers import AnswerKind, kind
from understudy.config import UserPath
from understudy.errors import DataError
from understudy.records import Question, Rationale
from understudy.rundir import digest, file_digest
from understudy.tasks.task import Task


class Svamp(Task):
    """SVAMP: 1,000 arithmetic word problems; answers as numbers or as expressions."""

    name = "svamp"
    folder: UserPath = Path("svamp")
    """Folder with `train.jsonl` and `test.jsonl`."""
    answer: Literal["number", "expression"] = "number"
    """What an answer is: the number, or the equation as in Distilling Step-by-Step."""

    @property
    def answer_kind(self) -> AnswerKind:
        return kind(self.answer)

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "valid", "test") if (self.folder / "valid.jsonl").exists() else ("train", "test")

    def questions(self, split: str) -> Iterator[Question]:
        path = self.folder / f"{split}.jsonl"
        if not path.exists():
            raise DataError(
                f"no such file. The task svamp reads train.jsonl and test.jsonl from a folder: task.folder=FOLDER, or "
                f"data=FOLDER holding {self.folder.name}/",
                path,
            )
        for line, row in jsonl.read_numbered(path):
            try:
                gold = row["equation"] if self.answer == "expression" else row["answer"]
                extra = {name: value for name, value in row.items() if name not in ("id", "question", "answer")}
                yield Question(
                    row["id"], row["question"], self.answer_kind.read(gold), extra={**extra, "value": row["answer"]}
                )
            except KeyError as error:
                raise DataError(f"no {error}; the columns are {', '.join(row)}", path, line) from None

    def fingerprint(self) -> str:
        files = sorted(self.folder.glob("*.jsonl"))
        return digest([self.answer, {file.name: file_digest(file) for file in files}])

    def grade(self, answer: str, question: Question) -> bool:
        """By value against the answer of the data set: one published equation (a training row) does not give it."""
        return self.answer_kind.same(answer, question.extra["value"])

    def demonstrations(self, format: str) -> Sequence[tuple[Question, Rationale]]:
        shown = []
        for number, (text, chain, expression, value, program) in enumerate(_DEMONSTRATIONS):
            answer = expression if self.answer == "expression" else value
            body = {"label": "", "cot": chain, "program": program}[format]
            shown.append((Question(f"demonstration-{number}", text, answer), Rationale(body, answer)))
        return shown


_DEMONSTRATIONS = (
    (
        "A baker put 48 rolls on 6 trays, the same number on each.\nHow many rolls are on one tray?",
        "48 rolls are shared by 6 trays. 48 / 6 = 8.",
        "( 48 / 6 )",
        "8",
        "def solution():\n    rolls = 48\n    trays = 6\n    result = rolls / trays\n    return result",
    ),
    (
        "Nina had 35 stamps. She sent 12 letters with one stamp each and bought 9 more.\nHow many stamps does she have?",
        "After the letters 35 - 12 = 23 stamps are left. With the new ones 23 + 9 = 32.",
        "( ( 35 - 12 ) + 9 )",
        "32",
        "def solution():\n    stamps = 35\n    sent = 12\n    bought = 9\n    return stamps - sent + bought",
    ),
    (
        "A cinema has 14 rows of 20 seats, and 3 seats are broken.\nHow many rows does the cinema have?",
        "The question asks for the rows alone, and they are given.",
        "( 14 )",
        "14",
        "def solution():\n    rows = 14\n    result = rows\n    return result",
    ),
    (
        "Omar is 31 years old and his sister is 17 years old.\nHow many years older is Omar than his sister?",
        "The difference of their ages is 31 - 17 = 14.",
        "( 31 - 17 )",
        "14",
        "def solution():\n    omar = 31\n    sister = 17\n    result = omar - sister\n    return result",
    ),
)
