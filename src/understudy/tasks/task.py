"""The interface of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

from understudy.answers import AnswerKind
from understudy.config import Settings
from understudy.records import Question, Rationale


class Task(Settings, ABC):
    """A data set and its answers. A subclass adds its settings as fields and says where the questions come from.

    Attributes:
        name: as in the configuration.
        cue: the words before the answer in a chain of thought, as the demonstrations and the reader use them.
        next_question: what a model writes when it runs on into a new question; completions are cut there.
    """

    name: ClassVar[str]
    cue: ClassVar[str] = "The answer is"
    next_question: ClassVar[tuple[str, ...]] = ("\nQ:", "\nQuestion:")

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

    def demonstrations(self, format: str) -> Sequence[tuple[Question, Rationale]]:
        """Worked examples for prompts in a format, none of them from a test split; empty if there are none."""
        return ()

    def human(self, question: Question, format: str) -> Rationale | None:
        """The rationale that a human wrote for `question`, in a format; None if there is none."""
        return None

    def notes(self) -> Sequence[str]:
        """What every report of a run on this task must say, in sentences."""
        return ()

    def grade(self, answer: str, question: Question) -> bool:
        """Whether `answer` is right.

        Raises:
            ValueError: the question has no gold answer.
        """
        if question.answer is None:
            raise ValueError(f"question {question.id!r} has no gold answer to grade against")
        return self.answer_kind.same(answer, question.answer)
