"""The interface of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from understudy.answers import AnswerKind
from understudy.config import Settings, UserPath
from understudy.errors import DataError
from understudy.jsonl import Row
from understudy.records import Question, Rationale
from understudy.rundir import file_digest
from understudy.tasks.grader import Grader
from understudy.tasks.tables import Reading, filled, is_empty, to_question


class Task(Settings, ABC):
    """A data set and its answers. A subclass adds its settings as fields and says where the questions come from.

    Attributes:
        name: as in the configuration.
        cue: the words before the answer in a chain of thought, as the demonstrations and the reader use them.
        next_question: what a model writes when it runs on into a new question; completions are cut there.
        human_formats: the formats in which `human` may have a rationale, whether or not the files at hand hold any.
    """

    name: ClassVar[str]
    cue: ClassVar[str] = "The answer is"
    next_question: ClassVar[tuple[str, ...]] = ("\nQ:", "\nQuestion:")
    human_formats: ClassVar[tuple[str, ...]] = ()
    demonstrations_path: UserPath | None = None
    """File of worked examples instead of the task's own: rows with `question`, `answer`, and `cot`, `program` or `socratic`;
    `understudy draft` writes a first version of one."""
    grader: Grader = None
    """Your own `module:function`, which says of (answer, question) whether it is right; see docs/safety.md."""

    @property
    @abstractmethod
    def answer_kind(self) -> AnswerKind:
        """What an answer is: one of `answers.KINDS`."""

    @property
    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """The names of the splits: `train` and `test`, `valid` if there is one, then further test splits."""

    @abstractmethod
    def questions(self, split: str) -> Iterator[Question]:
        """The questions of a split, streamed, always in the same order.

        Raises:
            DataError: a file is missing or a row is not as expected; says file:line.
        """

    def size(self, split: str) -> int:
        """How many questions a split has; a task that knows without reading them overrides this."""
        return sum(1 for _ in self.questions(split))

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes when the questions or their grading could change: a run whose task has another one is done again."""

    def user_files(self) -> dict[str, str]:
        """The digests of the user's worked examples and grader: a run is done again when they change, too."""
        files = {"demonstrations": self.demonstrations_path, "grader": self.grader and self.grader.file}
        return {name: file_digest(file) for name, file in files.items() if file and file.is_file()}

    def user_notes(self) -> Sequence[str]:
        """What every report must say of the user's part in the task, in sentences."""
        shown = (
            self.demonstrations_path
            and f"The worked examples are the user's own, from {self.demonstrations_path.name}."
        )
        graded = self.grader and f"Which answers are right was said by the user's own function {self.grader.name}."
        return tuple(note for note in (shown, graded) if note)

    def own_settings(self, *without: str) -> dict[str, Any]:
        """The settings, as JSON, without those that every task has and those named."""
        return self.model_dump(mode="json", exclude={*Task.model_fields, *without})

    def guesses(self) -> Sequence[str]:
        """What of `resolved` is a guess, in sentences for the user to look at before anything is spent."""
        return ()

    def resolved(self) -> dict[str, Any]:
        """The settings that the task worked out itself, as they would be declared: they belong to a run's configuration."""
        return {}

    def demonstrations(self, format: str) -> Sequence[tuple[Question, Rationale]]:
        """Worked examples for prompts in a format, the user's or the task's own; empty if there are none.

        Raises:
            DataError: the user's file is missing, or a row of it is not as expected or not corrected yet.
        """
        if self.demonstrations_path is None:
            return self.own_demonstrations(format)
        shown: dict[str, tuple[Question, Rationale]] = {}
        for line, row in self.worked_rows:
            place = self.demonstrations_path, line
            if format != "label" and is_empty(row.get(format)):
                continue
            if not is_empty(row.get("fault")):
                raise DataError(
                    f'this draft has the fault {row["fault"]!r}. Correct it and delete its "fault", or delete the line',
                    *place,
                )
            question = self.demonstrated(row, place)
            if question.answer is None:
                raise DataError('no "answer". A worked example needs one', *place)
            text = "" if format == "label" else str(row[format]).strip("\n")
            shown.setdefault(question.text, (question, Rationale(text, question.answer)))
        return list(shown.values())

    @cached_property
    def worked_rows(self) -> Sequence[tuple[int, Row]]:
        """The rows of `demonstrations_path` with their lines, read once: a teacher may be asked for every question."""
        return list(filled(self.demonstrations_path)) if self.demonstrations_path else ()

    def demonstrated(self, row: Row, place: tuple[Path, int]) -> Question:
        """The question of a row of `demonstrations_path`."""
        return to_question(row, Reading(answer=self.answer_kind.name), place, f"demonstration-{place[1]}")

    def own_demonstrations(self, format: str) -> Sequence[tuple[Question, Rationale]]:
        """The worked examples that come with the task, none of them from a test split."""
        return ()

    def as_published(self, text: str) -> tuple[str, str] | None:
        """Rationale and label as the published code reads a completion, letter by letter, "" for a label that it does not
        find; None where no such code is known that differs from what the format does for this kind of answer.
        """
        return None

    def human(self, question: Question, format: str) -> Rationale | None:
        """The rationale that a human wrote for `question`, in a format; None if there is none."""
        return None

    def notes(self) -> Sequence[str]:
        """What every report of a run on this task must say, in sentences."""
        return ()

    def grade(self, answer: str, question: Question) -> bool:
        """Whether `answer` is right: the user's grader says it if there is one.

        Raises:
            ValueError: the question has no gold answer.
            DataError: the user's grader failed.
        """
        if question.answer is None:
            raise ValueError(f"question {question.id!r} has no gold answer to grade against")
        if self.grader is not None:
            return bool(self.grader(answer, question))
        return self.answer_kind.same(answer, self.gold_value(question))

    def gold_value(self, question: Question) -> str:
        """The gold answer that answers are compared with."""
        return question.answer or ""
