"""What every stage works on: a run, that is a resolved configuration and the directory it lives in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from understudy.answers import Number
from understudy.config import Config
from understudy.formats import Format
from understudy.methods import AsksTeacher, Method, Role, Source, vote
from understudy.procedures import Procedure
from understudy.progress import Progress, Silent
from understudy.prompts import Prompter
from understudy.records import Prediction, Question, Sampling
from understudy.rundir import RunDir
from understudy.sandbox import Sandbox
from understudy.stages.subset import Subset
from understudy.tasks import Task
from understudy.teachers import Teacher


@dataclass(frozen=True, slots=True)
class Run:
    """A resolved configuration in its directory.

    Attributes:
        config: as given; the parts below were made from it.
        dir: where its files are.
        folder: where relative paths of the configuration start.
        progress: where long work shows how far it is.
    """

    config: Config
    task: Task
    method: Method
    teacher: Teacher
    dir: RunDir
    folder: Path = Path()
    progress: Progress = field(default_factory=Silent)
    _subsets: list[Subset] = field(default_factory=list, init=False, repr=False, compare=False)

    def questions(self, split: str) -> Iterator[Question]:
        """The questions of a split, up to the configured limit; of the training split the configured fraction of these."""
        questions = itertools.islice(self.task.questions(split), self.config.limit)
        return filter(self._subset.__contains__, questions) if self._is_cut(split) else questions

    def asked(self, source: Source) -> Iterator[Question]:
        """The questions that a source asks, in the order of its files."""
        for split in source.splits:
            if split in self.task.splits:
                yield from self.questions(split)

    def size(self, *splits: str) -> int:
        """How many questions these splits have, as `questions` gives them."""
        there = [split for split in splits if split in self.task.splits]
        return sum(self._subset.size if self._is_cut(split) else self.whole(split) for split in there)

    def whole(self, split: str) -> int:
        """How many questions a split has up to the configured limit, of which a fraction may be taken."""
        size = self.task.size(split)
        return size if self.config.limit is None else min(size, self.config.limit)

    def _is_cut(self, split: str) -> bool:
        return split == "train" and self.config.fraction < 1

    @property
    def _subset(self) -> Subset:
        """The fraction of the training questions, drawn when it is first needed."""
        if not self._subsets:
            questions = itertools.islice(self.task.questions("train"), self.config.limit)
            self._subsets.append(Subset(questions, self.config.fraction, self.config.fraction_seed))
        return self._subsets[0]

    @property
    def fraction_note(self) -> str:
        """What must be said where a run takes a fraction of the training questions; "" if it takes all."""
        if not self._is_cut("train"):
            return ""
        taken, whole = self._subset.size, self.whole("train")
        return f"{taken:,} of {whole:,} training questions are taken: fraction = {self.config.fraction:g}."

    def asked_formats(self) -> list[Format]:
        """The formats that the teacher is asked for."""
        sources = [source for role in self.method.roles() for source in role.sources]
        at_test = [self.method.format] if isinstance(self.method, AsksTeacher) else []
        return [*(source.format for source in sources if source.by == "teacher"), *at_test]

    def samples(self, source: Source) -> int:
        return self.config.generate.samples if source.samples is None else source.samples

    def writing(self, source: Source) -> Sampling:
        """How the completions of a source are written."""
        settings = self.config.generate
        temperature = settings.temperature if source.temperature is None else source.temperature
        return Sampling(temperature, settings.max_tokens, settings.top_p)

    def answer(self, question: Question) -> Procedure[Prediction]:
        """How one question is answered: as the method does, or by the vote of several such answers."""
        votes = self.config.evaluate.votes
        if votes == 1:
            return self.method.answer(self.task, question)
        return vote(self.task, [self.method.answer(self.task, question) for _ in range(votes)])

    @property
    def sampling(self) -> Sampling:
        """How an answer is written: greedily, unless several vote."""
        settings = self.config.evaluate
        return Sampling(settings.temperature if settings.votes > 1 else 0.0, settings.max_tokens)

    def prompter(self) -> Prompter:
        """Whoever writes the prompts for the teacher.

        Raises:
            ConfigError: a template cannot be read.
        """
        return Prompter(self.config.prompt, self.config.seed, self.folder)

    def sandbox(self) -> Sandbox:
        """A sandbox with the configured limits, to be used in a `with` block."""
        limits = self.config.sandbox
        return Sandbox(limits.timeout_s, limits.memory_mb, limits.engine)

    def role(self, name: str) -> Role:
        return next(role for role in self.method.roles() if role.name == name)

    def grade(self, answer: str, question: Question) -> bool:
        """Whether `answer` is right: the task's word, unless the configuration grades numbers in another way.

        Raises:
            ValueError: the question has no gold answer.
        """
        kind, settings = self.task.answer_kind, self.config.grade
        if question.answer is None or not self.graded_otherwise or not isinstance(kind, Number):
            return self.task.grade(answer, question)
        gold = self.task.gold_value(question)
        if settings.numbers == "rounded-as-pad":
            return kind.rounds_to(answer, gold)
        return kind.same(answer, gold, Fraction(str(settings.tolerance)))

    @property
    def graded_otherwise(self) -> bool:
        """Whether numbers are graded as `[grade]` says. The user's own grader has the last word."""
        return bool(self.config.grade.note) and isinstance(self.task.answer_kind, Number) and self.task.grader is None

    @property
    def test_splits(self) -> Sequence[str]:
        """The splits that no training question may come from."""
        return [split for split in self.task.splits if split not in ("train", "valid")]

    def task_state(self) -> dict[str, object]:
        """What the questions of this run depend on."""
        state = {"task": self.task.name, "fingerprint": self.task.fingerprint(), "limit": self.config.limit}
        drawn = {"fraction": [self.config.fraction, self.config.fraction_seed]} if self._is_cut("train") else {}
        return {**state, **drawn, **self.task.user_files()}

    def resolved(self) -> dict[str, Any]:
        """The configuration as JSON, with what the task worked out by itself."""
        table = self.config.model_dump(mode="json")
        return {**table, "task": {**table["task"], **self.task.resolved()}}
