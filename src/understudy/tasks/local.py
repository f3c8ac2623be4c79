"""The user's own file as a task.

    task = { path = "my.jsonl", answer = "number" }           # one file; a share of it becomes the test split
    task = { train = "train.csv", test = "test.csv", answer = "choice", columns = { question = "prompt" } }

    {"id": "a1", "question": "What is 6 * 7?", "answer": "42"}

Rows of `train` without an answer are unlabelled training questions. Columns that are not named are kept in `extra`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from understudy import jsonl
from understudy.answers import AnswerKind, kind
from understudy.config import UserPath
from understudy.errors import DataError
from understudy.procedures import derive_seed
from understudy.records import Question, Rationale
from understudy.rundir import digest, file_digest
from understudy.tasks.task import Task

Split = Literal["train", "valid", "test"]


class Local(Task):
    """Your own JSONL or CSV file, with the answer type you declare."""

    name = "local"
    path: UserPath | None = None
    """One file with all questions; `test_share` of them, chosen by id, become the test split."""
    train: UserPath | None = None
    """File of the training split, instead of `path`."""
    valid: UserPath | None = None
    """File of the validation split; without one, training holds a share of its questions out."""
    test: UserPath | None = None
    """File of the test split."""
    test_share: float = Field(0.2, gt=0, lt=1)
    """Share of `path` that becomes the test split."""
    answer: Literal["number", "expression", "choice", "label", "yes_no", "text"] = "text"
    """What an answer is: `number`, `expression`, `choice`, `label`, `yes_no` or `text`; it says how answers are compared."""
    columns: dict[Literal["id", "question", "answer", "choices"], str] = Field(default_factory=dict)
    """Names of the columns where they are not `id`, `question`, `answer` and `choices`."""
    demonstrations_path: UserPath | None = None
    """File of worked examples: rows with `question`, `answer`, and `cot` or `program`."""

    @model_validator(mode="after")
    def _has_files(self) -> Local:
        if self.path and (self.train or self.valid or self.test):
            raise ValueError("give either path (one file, split by us) or train and test, not both")
        if not self.path and not self.train:
            raise ValueError("give path = FILE, or train = FILE and test = FILE")
        return self

    @property
    def answer_kind(self) -> AnswerKind:
        return kind(self.answer)

    @property
    def splits(self) -> tuple[str, ...]:
        if self.path:
            return ("train", "test")
        return tuple(name for name in ("train", "valid", "test") if getattr(self, name))

    def questions(self, split: str) -> Iterator[Question]:
        file = self.path or getattr(self, split)
        seen: dict[str, int] = {}
        for line, row in rows(file):
            question = self._question(row, file, line, split)
            if question.id in seen:
                raise DataError(
                    f"id {question.id!r} stands already in line {seen[question.id]}. "
                    "Ids must differ: results are kept by them",
                    file,
                    line,
                )
            seen[question.id] = line
            if self.path and self._is_test(question.id) != (split == "test"):
                continue
            if split == "test" and question.answer is None:
                raise DataError(
                    f"no {self._column('answer')!r}. Rows of the test split need one; "
                    "unlabelled rows belong to the training split",
                    file,
                    line,
                )
            yield question

    def fingerprint(self) -> str:
        files = {
            name: file_digest(f)
            for name in ("path", "train", "valid", "test")
            if (f := getattr(self, name)) and f.is_file()
        }
        return digest([files, self.answer, self.columns, self.test_share])

    def demonstrations(self, format: str) -> Sequence[tuple[Question, Rationale]]:
        if not self.demonstrations_path:
            return ()
        shown = []
        for line, row in rows(self.demonstrations_path):
            question = self._question(row, self.demonstrations_path, line, "demonstrations")
            if format == "label" or row.get(format):
                shown.append((question, Rationale(str(row.get(format) or ""), question.answer)))
        return shown

    def _column(self, name: Literal["id", "question", "answer", "choices"]) -> str:
        return self.columns.get(name, name)

    def _is_test(self, identity: str) -> bool:
        return derive_seed("test split", identity) % 10_000 < self.test_share * 10_000

    def _question(self, row: Mapping[str, Any], file: Path, line: int, split: str) -> Question:
        text = row.get(self._column("question"))
        if not isinstance(text, str) or not text.strip():
            there = ", ".join(map(repr, row))
            raise DataError(
                f"no {self._column('question')!r}: expected text, found {text!r} among the columns {there}. "
                "Another name: task.columns.question=NAME",
                file,
                line,
            )
        gold = row.get(self._column("answer"))
        choices = row.get(self._column("choices")) or ()
        answer = (
            None
            if gold is None or str(gold).strip() == ""
            else self._answer(str(gold), tuple(map(str, choices)), file, line)
        )
        used = {self._column(name) for name in ("id", "question", "answer", "choices")}
        extra = {name: value for name, value in row.items() if name not in used}
        identity = row.get(self._column("id"))
        return Question(
            f"{split}-{line}" if identity is None else str(identity), text, answer, tuple(map(str, choices)), extra
        )

    def _answer(self, gold: str, choices: tuple[str, ...], file: Path, line: int) -> str:
        answer = self.answer_kind.read(gold, choices)
        if answer is None:
            among = f" among {list(choices)}" if choices else ""
            raise DataError(
                f"answer {gold!r} is no {self.answer}{among}. Mend the row, or declare another kind: task.answer=text",
                file,
                line,
            )
        return answer


def rows(path: Path) -> Iterator[tuple[int, jsonl.Row]]:
    """Line number and row of a JSONL or CSV file (told by its ending; `.gz` too)."""
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    if not suffixes or suffixes[-1] not in (".csv", ".tsv"):
        yield from jsonl.read_numbered(path)
        return
    try:
        with jsonl.open_text(path) as file:
            reader = csv.DictReader(file, delimiter="\t" if suffixes[-1] == ".tsv" else ",", strict=True)
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(
                        f"expected {len(reader.fieldnames or ())} columns as in line 1", path, reader.line_num
                    )
                yield reader.line_num, dict(row)
    except FileNotFoundError:
        raise DataError("no such file. Check the path; relative paths start at the configuration file", path) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as CSV in UTF-8 ({error})", path, None) from None
