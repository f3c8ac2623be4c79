"""Tasks whose questions this project writes itself, offline, with exact solutions: what `wordsums` and `kinfolk` share.

    train-0, train-1, ...   test-0, ...     # a row follows from (seed, split, number) alone, and can be made anew

Not the tasks that are published without a training split, whose training questions are made: see `generated`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic import Field

from understudy.errors import DataError
from understudy.records import Question, Rationale
from understudy.rundir import digest
from understudy.tasks.task import Task

DEMONSTRATIONS = 8
"""How many worked examples there are for prompts."""


class Bundled(Task):
    """A task that writes its questions and knows their solutions.

    Attributes:
        version: of the generator: goes up whenever a row comes out differently for the same settings.
    """

    version: ClassVar[int] = 1
    seed: int = 0
    """Another seed gives other questions; what is held out from training stays the same."""
    train: int = Field(4000, ge=1)
    """How many training questions."""
    test: int = Field(400, ge=1)
    """How many questions each test split has."""

    @abstractmethod
    def make(self, split: str, index: int) -> Question:
        """Question number `index`, from 0, of a split; the split `demonstrations` is for worked examples."""

    @abstractmethod
    def solution(self, question: Question, format: str) -> Rationale:
        """The exact rationale of `question` in a format.

        Raises:
            ValueError: there is none in this format.
        """

    def questions(self, split: str) -> Iterator[Question]:
        if split not in self.splits:
            raise DataError(f"{self.name} has no split {split!r}; there are {', '.join(self.splits)}")
        return (self.make(split, index) for index in range(self.size(split)))

    def size(self, split: str) -> int:
        return self.train if split == "train" else self.test

    def question(self, id: str) -> Question:
        """The question of that id (`test-17`), made anew.

        Raises:
            KeyError: there is none.
        """
        split, _, index = id.rpartition("-")
        if split in self.splits and index.isdecimal() and int(index) < self.size(split):
            return self.make(split, int(index))
        raise KeyError(id)

    def fingerprint(self) -> str:
        return digest([self.name, self.version, self.own_settings()])

    def own_demonstrations(self, format: str) -> Sequence[tuple[Question, Rationale]]:
        """Worked examples from a stream of their own; none in a format without solutions."""
        if format not in self.human_formats:
            return ()
        shown = [self.make("demonstrations", index) for index in range(DEMONSTRATIONS)]
        return [(question, self.solution(question, format)) for question in shown]

    def human(self, question: Question, format: str) -> Rationale | None:
        """The exact rationale, in place of one that a human wrote."""
        return self.solution(question, format) if format in self.human_formats else None
