"""The user's own file as a task.

    task = { path = "my.jsonl", answer = "number" }           # one file; a share of it becomes the test split
    task = { train = "train.csv", test = "test.parquet", columns = { question = "sentence" } }

    {"id": "a1", "question": "What is 6 * 7?", "answer": "42"}

JSON Lines, a JSON array, CSV, TSV and Parquet are read (see `tables`). Which column is what and of which kind the answers
are is guessed where it is not declared (see `guessing`). Rows of `train` without an answer are unlabelled training
questions. Columns that are nothing to us are kept in `extra`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from understudy.answers import AnswerKind, kind
from understudy.config import UserPath
from understudy.errors import DataError
from understudy.jsonl import Row
from understudy.procedures import derive_seed
from understudy.records import Question
from understudy.rundir import digest, file_digest
from understudy.tasks import guessing
from understudy.tasks.choices import Given, are_in, first_number
from understudy.tasks.tables import ROLES, STANDARD, Reading, filled, form, is_empty, read_choices, to_question
from understudy.tasks.task import Task

Split = Literal["train", "valid", "test"]


class Local(Task):
    """Your own JSONL, CSV or Parquet file."""

    name = "local"
    path: UserPath | None = None
    """One file with all questions; `test_share` of those with an answer, chosen by id, become the test split."""
    train: UserPath | None = None
    """File of the training split, instead of `path`."""
    valid: UserPath | None = None
    """File of the validation split; without one, training holds a share of its questions out."""
    test: UserPath | None = None
    """File of the test split."""
    test_share: float = Field(0.2, gt=0, lt=1)
    """Share of the questions of `path` with an answer that becomes the test split."""
    answer: Literal["number", "expression", "choice", "label", "yes_no", "text"] | None = None
    """What an answer is: `number`, `expression`, `choice`, `label`, `yes_no` or `text`; it says how answers are compared.
    None: guessed from the first rows."""
    labels: tuple[str, ...] = ()
    """The closed set of labels, where answers are labels; any other answer is then an error."""
    first_choice: Literal[0, 1] | None = None
    """Where answers name a choice or a label by its number: that of the first one. None: decided from all rows of the files,
    where they leave no doubt; a number that is the text of a choice is that text, unless others must be numbers."""
    show_choices: bool | None = None
    """Whether the choices are written below a question, each after its letter. None: unless the first rows have them in
    their text already."""
    columns: dict[Literal["id", "question", "answer", "choices"], str] = Field(default_factory=dict)
    """Names of the columns `id`, `question`, `answer` and `choices`; those left out are guessed from the file's."""
    guessed: tuple[str, ...] = ()
    """Which of these settings were guessed: a run notes it in its manifest, for the report."""

    @model_validator(mode="after")
    def _has_files(self) -> Local:
        if self.path and (self.train or self.valid or self.test):
            raise ValueError("give either path (one file, split by us) or train and test, not both")
        if not self.path and not self.train:
            raise ValueError("give path = FILE, or train = FILE and test = FILE")
        if self.labels and self.answer not in ("label", None):
            raise ValueError(f'labels are given, and answer is {self.answer!r}; expected answer = "label"')
        return self

    @property
    def answer_kind(self) -> AnswerKind:
        return kind(self.answer or self.reading.answer)

    @property
    def splits(self) -> tuple[str, ...]:
        if self.path:
            return ("train", "test")
        return tuple(name for name in ("train", "valid", "test") if getattr(self, name))

    @cached_property
    def reading(self) -> Reading:
        """What is declared, and what the first rows of the files say where nothing is.

        Raises:
            DataError: a file cannot be read, or its columns may be meant in several ways.
        """
        columns = {str(role): column for role, column in self.columns.items()}
        self._check_declared(columns)
        answer: str | None = self.answer or ("label" if self.labels else None)
        labels = self.labels
        for file in self._files:
            if answer and len(columns) == len(ROLES):
                break
            head = [row for _, row in islice(filled(file), guessing.ROWS)]
            for role in (role for role in ROLES if role not in columns):
                there = [name for name in dict.fromkeys(n for row in head for n in row) if name not in columns.values()]
                if found := guessing.guess_column(role, there, file):
                    columns[role] = found
            answers = [gold for row in head if "answer" in columns and not is_empty(gold := row.get(columns["answer"]))]
            if answers and not answer:
                with_choices = "choices" in columns and any(not is_empty(row.get(columns["choices"])) for row in head)
                answer, labels = guessing.guess_kind(answers, with_choices)
            if answer and "question" in columns and "answer" in columns:
                break
        first: int | None = self.first_choice
        show = self.show_choices
        if answer in ("choice", "label") and first is None:
            first = first_number((given for _, given in self._with_choices(columns, labels)), kind(answer))
        if answer == "choice" and show is None:
            shown = islice(self._with_choices(columns, labels), guessing.ROWS)
            show = not all(are_in(text, given.choices) for text, given in shown)
        named = [f"columns.{role}" for role in columns if role not in self.columns and columns[role] != role]
        read = {"answer": answer, "labels": labels or None, "first_choice": first, "show_choices": show}
        kinds = [key for key, value in read.items() if value is not None and getattr(self, key) in (None, ())]
        return Reading(columns, answer or "text", labels, first, bool(show), self.guessed or (*named, *kinds))

    def _check_declared(self, columns: Mapping[str, str]) -> None:
        """A declared column that no row has would make every answer, choice or id empty without a word."""
        heads = (islice(filled(file), guessing.ROWS) for file in self._files) if columns else ()
        there = list(dict.fromkeys(name for head in heads for _, row in head for name in row))
        for role, name in columns.items():
            if name not in there:
                found = ", ".join(map(repr, there))
                raise DataError(
                    f"no {name!r} in the first rows, as task.columns.{role} says; the columns are {found}",
                    self._files[0],
                )

    @property
    def _files(self) -> Sequence[Path]:
        return [file for file in (self.path, self.train, self.valid, self.test) if file]

    def _with_choices(self, columns: Mapping[str, str], labels: Sequence[str]) -> Iterator[tuple[str, Given]]:
        """The text and the answer of every row that has choices, or of all rows if there are labels."""
        names = {**STANDARD, **columns}
        for file in self._files:
            for line, row in filled(file):
                with suppress(ValueError):  # told when the row is read
                    if choices := read_choices(row.get(names["choices"])) or labels:
                        yield str(row.get(names["question"])), Given(row.get(names["answer"]), choices, file, line)

    def questions(self, split: str) -> Iterator[Question]:
        file = self.path or getattr(self, split)
        seen: dict[str, int] = {}
        for line, row in filled(file):
            unnamed = f"{'row' if self.path else split}-{line}"
            question = to_question(row, self.reading, (file, line), unnamed)
            if question.id in seen:
                raise DataError(
                    f"id {question.id!r} stands already in line {seen[question.id]}. "
                    "Ids must differ: results are kept by them",
                    file,
                    line,
                )
            seen[question.id] = line
            if self.path and self._is_test(question, unnamed) != (split == "test"):
                continue
            if split == "test" and question.answer is None:
                raise DataError(
                    f"no {self.reading.columns.get('answer', 'answer')!r}. Rows of the test split need one; "
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
        return digest([files, *self.reading[:3], self.test_share, *self._chosen.values()])

    @property
    def _chosen(self) -> dict[str, Any]:
        """How choices are named and shown; {} where there are none."""
        asked = self.reading.answer == "choice" or self.reading.first_choice is not None
        return {key: getattr(self.reading, key) for key in ("first_choice", "show_choices") if asked}

    def resolved(self) -> dict[str, Any]:
        names = ("columns", "answer", "labels", "guessed")
        return {**{name: getattr(self.reading, name) for name in names}, **self._chosen}

    def notes(self) -> Sequence[str]:
        return self.guesses()

    def guesses(self) -> Sequence[str]:
        forms = tuple(said for file in self._files if (said := form(file)))
        if not self.reading.guessed:
            return forms
        found = {**{f"columns.{role}": name for role, name in self.reading.columns.items()}, **self.reading._asdict()}
        listed = ", ".join(f"{key} = {json.dumps(found[key], ensure_ascii=False)}" for key in self.reading.guessed)
        return (*forms, f"Guessed from the first rows of {self._files[0].name}: {listed}.")

    def demonstrated(self, row: Row, place: tuple[Path, int]) -> Question:
        """As in the files, or under the standard names of the columns; a number is a choice's text if it can be one."""
        columns = {role: role if role in row else name for role, name in {**STANDARD, **self.reading.columns}.items()}
        reading, unnamed = self.reading._replace(columns=columns), f"demonstration-{place[1]}"
        with suppress(DataError):
            return to_question(row, reading._replace(first_choice=None), place, unnamed)
        return to_question(row, reading, place, unnamed)

    def _is_test(self, question: Question, unnamed: str) -> bool:
        """By the id, so that a question keeps its split when rows are added; without one, by the text."""
        key = question.text if question.id == unnamed else question.id
        share = derive_seed("test split", key) % 10_000
        return question.answer is not None and share < self.test_share * 10_000
